//! Encrypted tokens (RFC 7516, RFC 7518).
//!
//! If anything is wrong with the wrapped key, a random one replaces it, and the token fails where a wrong key
//! makes it fail: so neither answers nor timing reveal the failing step.

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{self, DecryptingKey, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::kdf::{SskdfDigestAlgorithmId, get_sskdf_digest_algorithm, sskdf_digest};
use aws_lc_rs::key_wrap::{self, AesKek, KeyWrap as _};
use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm, OaepPrivateDecryptingKey};
use aws_lc_rs::{agreement, constant_time, hmac, rand};

use super::compact::{Header, decode};
use super::key::{Curve, Key, Opener};

/// An encrypted token's parts, in their order.
pub(super) struct Sealed<'a> {
    pub(super) header: &'a str,
    /// The key of the content, encrypted; empty if there is no need to send it.
    pub(super) wrapped: &'a str,
    pub(super) iv: &'a str,
    pub(super) ciphertext: &'a str,
    pub(super) tag: &'a str,
}

/// The decrypted content. That it decrypts says nothing about who wrote it.
///
/// # Errors
/// It does not decrypt with the key; in words for the operator.
pub(super) fn decrypt(sealed: &Sealed<'_>, key: &Key) -> Result<Vec<u8>, String> {
    let header = Header::parse(sealed.header)?;
    if header.get("zip").is_some() {
        return Err("it is compressed, which is not accepted".into());
    }
    let enc = header.text("enc")?;
    let Some(content) = CONTENTS.iter().find(|content| content.name == enc) else {
        return Err("its content is encrypted with an unsupported algorithm".into());
    };
    let key = match unwrap(&header, &decode(sealed.wrapped)?, content, &key.opener)? {
        Some(key) if key.len() == content.key_len => key,
        _ => {
            let mut key = vec![0; content.key_len];
            rand::fill(&mut key).map_err(|_| "the system gives no random numbers")?;
            key
        }
    };
    let (iv, tag) = (decode(sealed.iv)?, decode(sealed.tag)?);
    let ciphertext = decode(sealed.ciphertext)?;
    let opened = content.open(&key, &iv, sealed.header.as_bytes(), ciphertext, &tag);
    opened.map_err(|Unspecified| "it does not decrypt with the key".into())
}

/// The content's key; `None` if it can't be derived from the token.
///
/// # Errors
/// The algorithm does not go with the key.
fn unwrap(
    header: &Header,
    wrapped: &[u8],
    content: &Content,
    opener: &Opener,
) -> Result<Option<Vec<u8>>, String> {
    let alg = header.text("alg")?;
    Ok(match (opener, alg) {
        (Opener::Rsa(key), "RSA-OAEP") => rsa(key, &OAEP_SHA1_MGF1SHA1, wrapped),
        (Opener::Rsa(key), "RSA-OAEP-256") => rsa(key, &OAEP_SHA256_MGF1SHA256, wrapped),
        (Opener::Secret(secret), "dir") => wrapped.is_empty().then(|| secret.reveal().to_vec()),
        (Opener::Secret(secret), "A128KW" | "A192KW" | "A256KW") => {
            if secret.reveal().len() != key_wrap_len(alg) {
                return Err("the secret does not have the length that its algorithm needs".into());
            }
            aes_unwrap(secret.reveal(), wrapped, content.key_len)
        }
        (Opener::Ec(curve, key), "ECDH-ES") => {
            // The agreed key is the content's key itself, so the derivation uses the content's algorithm.
            let derived = agree(header, curve, key, content.name, content.key_len)?;
            derived.filter(|_| wrapped.is_empty())
        }
        (Opener::Ec(curve, key), "ECDH-ES+A128KW" | "ECDH-ES+A192KW" | "ECDH-ES+A256KW") => {
            let derived = agree(header, curve, key, alg, key_wrap_len(alg))?;
            derived.and_then(|key| aes_unwrap(&key, wrapped, content.key_len))
        }
        (Opener::Nothing, _) => {
            return Err("the key decrypts nothing: it is public, or for signatures".into());
        }
        _ => return Err("it is not encrypted with an algorithm that fits the key".into()),
    })
}

fn rsa(key: &OaepPrivateDecryptingKey, oaep: &'static OaepAlgorithm, wrapped: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![0; key.min_output_size()];
    key.decrypt(oaep, wrapped, &mut out, None).ok().map(|key| key.to_vec())
}

/// Bytes of the key that one of the algorithms with AES Key Wrap wraps with.
fn key_wrap_len(alg: &str) -> usize {
    match alg {
        _ if alg.ends_with("A128KW") => 16,
        _ if alg.ends_with("A192KW") => 24,
        _ => 32,
    }
}

/// Undoes AES Key Wrap (RFC 3394) of a key that has `len` bytes.
fn aes_unwrap(kek: &[u8], wrapped: &[u8], len: usize) -> Option<Vec<u8>> {
    if wrapped.len() != len + 8 {
        return None;
    }
    let cipher = match kek.len() {
        16 => &key_wrap::AES_128,
        32 => &key_wrap::AES_256,
        _ => return aes_192_unwrap(kek, wrapped),
    };
    let mut out = vec![0; len];
    let len = AesKek::new(cipher, kek).ok()?.unwrap(wrapped, &mut out).ok()?.len();
    out.truncate(len);
    Some(out)
}

/// The same with AES-192, which the library has as a cipher only. `wrapped` is of whole blocks of 8 bytes.
fn aes_192_unwrap(kek: &[u8], wrapped: &[u8]) -> Option<Vec<u8>> {
    let aes = DecryptingKey::ecb(UnboundCipherKey::new(&cipher::AES_192, kek).ok()?).ok()?;
    let (check, rest) = wrapped.split_first_chunk::<8>()?;
    let (mut check, mut out) = (*check, rest.to_vec());
    let blocks = out.len() / 8;
    for round in (0..6).rev() {
        for at in (0..blocks).rev() {
            let step = (blocks * round + at + 1) as u64;
            let mut block = [0; 16];
            block[..8].copy_from_slice(&(u64::from_be_bytes(check) ^ step).to_be_bytes());
            block[8..].copy_from_slice(&out[8 * at..8 * (at + 1)]);
            aes.decrypt(&mut block, DecryptionContext::None).ok()?;
            check.copy_from_slice(&block[..8]);
            out[8 * at..8 * (at + 1)].copy_from_slice(&block[8..]);
        }
    }
    constant_time::verify_slices_are_equal(&check, &[0xa6; 8]).is_ok().then_some(out)
}

/// The key that is agreed upon with the one in the header, by RFC 7518's section 4.6; nothing if that is not a point
/// of the curve.
///
/// # Errors
/// What is in the header is none of this curve.
fn agree(
    header: &Header,
    curve: &Curve,
    key: &agreement::PrivateKey,
    alg: &str,
    len: usize,
) -> Result<Option<Vec<u8>>, String> {
    let epk = header.get("epk").and_then(|epk| epk.as_object());
    let member = |name: &str| epk?.get(name)?.as_str();
    let coordinate =
        |name: &str| decode(member(name)?).ok().filter(|bytes| bytes.len() == curve.coordinate_len);
    let is_of_curve = member("kty") == Some("EC") && member("crv") == Some(curve.name);
    let (true, Some(x), Some(y)) = (is_of_curve, coordinate("x"), coordinate("y")) else {
        return Err("its epk is not a key on the key's curve".into());
    };
    let point = [&[4], &x[..], &y].concat();
    let (apu, apv) = (decode(header.text("apu")?)?, decode(header.text("apv")?)?);
    let mut info = Vec::new();
    for part in [alg.as_bytes(), &apu, &apv] {
        info.extend_from_slice(&(part.len() as u32).to_be_bytes());
        info.extend_from_slice(part);
    }
    info.extend_from_slice(&(8 * len as u32).to_be_bytes());
    let peer = agreement::UnparsedPublicKey::new(key.algorithm(), point);
    let derived = agreement::agree(key, peer, Unspecified, |shared| {
        // Concat KDF is the digest form of what SP 800-56C calls the one-step KDF.
        let hash = get_sskdf_digest_algorithm(SskdfDigestAlgorithmId::Sha256).ok_or(Unspecified)?;
        let mut key = vec![0; len];
        sskdf_digest(hash, shared, &info, &mut key)?;
        Ok(key)
    });
    Ok(derived.ok())
}

/// An algorithm for the content.
struct Content {
    name: &'static str,
    key_len: usize,
    cipher: Cipher,
}

enum Cipher {
    Gcm(&'static aead::Algorithm),
    /// The first half of the key signs and the other one encrypts.
    Cbc(&'static cipher::Algorithm, hmac::Algorithm),
}

impl Content {
    /// Verifies and decrypts.
    fn open(
        &self,
        key: &[u8],
        iv: &[u8],
        aad: &[u8],
        mut ciphertext: Vec<u8>,
        tag: &[u8],
    ) -> Result<Vec<u8>, Unspecified> {
        let len = match self.cipher {
            Cipher::Gcm(algorithm) => {
                // Otherwise a tag could borrow bytes from the ciphertext.
                if tag.len() != algorithm.tag_len() {
                    return Err(Unspecified);
                }
                ciphertext.extend_from_slice(tag);
                let key = LessSafeKey::new(UnboundKey::new(algorithm, key)?);
                let nonce = Nonce::try_assume_unique_for_key(iv)?;
                key.open_in_place(nonce, Aad::from(aad), &mut ciphertext)?.len()
            }
            Cipher::Cbc(algorithm, hash) => {
                let (signing, encrypting) = key.split_at(key.len() / 2);
                let iv: &[u8; 16] = iv.try_into().map_err(|_| Unspecified)?;
                let mut context = hmac::Context::with_key(&hmac::Key::new(hash, signing));
                for part in [aad, iv, &ciphertext[..], &(8 * aad.len() as u64).to_be_bytes()] {
                    context.update(part);
                }
                let full = context.sign();
                constant_time::verify_slices_are_equal(&full.as_ref()[..signing.len()], tag)?;
                let key = UnboundCipherKey::new(algorithm, encrypting)?;
                let context = DecryptionContext::Iv128(FixedLength::from(iv));
                PaddedBlockDecryptingKey::cbc_pkcs7(key)?.decrypt(&mut ciphertext, context)?.len()
            }
        };
        ciphertext.truncate(len);
        Ok(ciphertext)
    }
}

static CONTENTS: [Content; 6] = [
    Content { name: "A128GCM", key_len: 16, cipher: Cipher::Gcm(&aead::AES_128_GCM) },
    Content { name: "A192GCM", key_len: 24, cipher: Cipher::Gcm(&aead::AES_192_GCM) },
    Content { name: "A256GCM", key_len: 32, cipher: Cipher::Gcm(&aead::AES_256_GCM) },
    Content { name: "A128CBC-HS256", key_len: 32, cipher: Cipher::Cbc(&cipher::AES_128, hmac::HMAC_SHA256) },
    Content { name: "A192CBC-HS384", key_len: 48, cipher: Cipher::Cbc(&cipher::AES_192, hmac::HMAC_SHA384) },
    Content { name: "A256CBC-HS512", key_len: 64, cipher: Cipher::Cbc(&cipher::AES_256, hmac::HMAC_SHA512) },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
    }

    /// RFC 3394, sections 4.2 and 4.4, and 4.1 and 4.3 or 4.6 for the sizes that the library does.
    #[test]
    fn keys_are_unwrapped_as_in_the_examples_of_the_rfc() {
        let data = "00112233445566778899aabbccddeeff0001020304050607";
        for (kek, data, wrapped) in [
            (16, &data[..32], "1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5"),
            (24, &data[..32], "96778b25ae6ca435f92b5b97c050aed2468ab8a17ad84e5d"),
            (32, &data[..32], "64e8c3f9ce0f5ba263e9777905818a2a93c8191e7d6e8ae7"),
            (24, data, "031d33264e15d33268f24ec260743edce1c6c7ddee725a936ba814915c6762d2"),
            (32, data, "a8f9bc1612c68b3ff6e6f4fbe30e71e4769c8b80a32cb8958cd5d17d6b254da1"),
        ] {
            let (kek, data, mut wrapped) = ((0..kek).collect::<Vec<u8>>(), bytes(data), bytes(wrapped));
            assert_eq!(aes_unwrap(&kek, &wrapped, data.len()), Some(data.clone()));
            assert_eq!(aes_unwrap(&kek, &wrapped, data.len() - 8), None);
            assert_eq!(aes_unwrap(&kek, &wrapped[8..], data.len()), None);
            for at in 0..wrapped.len() {
                wrapped[at] ^= 1;
                assert_eq!(aes_unwrap(&kek, &wrapped, data.len()), None, "byte {at}");
                wrapped[at] ^= 1;
            }
        }
    }
}
