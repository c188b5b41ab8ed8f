//! Private keys that a password protects (feature `encrypted-keys`).
//!
//! There are two kinds of encryption: that of PKCS#8 (`ENCRYPTED PRIVATE KEY`, by the `pkcs8` crate), and the
//! traditional one of OpenSSL, which is done here: headers in the PEM block, and a key derived by MD5. A key
//! decrypted with a wrong password is noise, now and then with valid padding, so its shape is checked, too.

use aes::{Aes128, Aes192, Aes256};
use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockCipherDecrypt, BlockModeDecrypt, KeyInit, KeyIvInit};
use des::{Des, TdesEde3};
use md5::{Digest, Md5};
use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::der::asn1::AnyRef;
use pkcs8::der::{Decode, Tag, Tagged};

use super::pem::Block;

/// The key in PKCS#8's own form of encryption (RFC 5958).
///
/// # Errors
/// It can't be decrypted; in words that follow the file's name.
pub(super) fn decrypted_pkcs8(data: &[u8], password: &[u8]) -> Result<Vec<u8>, String> {
    // The library reports object identifiers of ciphers, which help nobody.
    let unknown = || format!("{BAD_CIPHER} (openssl pkcs8 -topk8 -v2 aes-256-cbc -in OLD -out NEW)");
    let key = EncryptedPrivateKeyInfoRef::try_from(data).map_err(|_| unknown())?;
    match key.decrypt(password) {
        Ok(key) if is_key(key.as_bytes()) => Ok(key.as_bytes().to_vec()),
        Err(pkcs8::Error::EncryptedPrivateKey(error)) if error != pkcs8::pkcs5::Error::DecryptFailed => {
            Err(unknown())
        }
        _ => Err(BAD_PASSWORD.to_owned()),
    }
}

/// Undoes what `openssl rsa -aes256` does (RFC 1421 section 4.6.1.3 for the header; the derivation is
/// OpenSSL's own).
///
/// # Errors
/// It can't be decrypted; in words that follow the file's name.
pub(super) fn decrypted_traditional(block: &Block, data: &[u8], password: &[u8]) -> Result<Vec<u8>, String> {
    let info = block.header("DEK-Info").unwrap_or_default();
    let unknown = || format!("{BAD_CIPHER}: '{info}'");
    let (cipher, iv) = info.split_once(',').ok_or_else(unknown)?;
    let iv = from_hex(iv.trim()).ok_or_else(unknown)?;
    let decrypted = match cipher {
        "AES-128-CBC" => cbc::<Aes128>(data, password, &iv, 16),
        "AES-192-CBC" => cbc::<Aes192>(data, password, &iv, 24),
        "AES-256-CBC" => cbc::<Aes256>(data, password, &iv, 32),
        "DES-EDE3-CBC" => cbc::<TdesEde3>(data, password, &iv, 24),
        "DES-CBC" => cbc::<Des>(data, password, &iv, 8),
        _ => return Err(unknown()),
    };
    decrypted.filter(|key| is_key(key)).ok_or_else(|| BAD_PASSWORD.to_owned())
}

/// Decrypts, and takes the padding off. `None` if that does not fit.
fn cbc<C: BlockCipherDecrypt + KeyInit>(
    data: &[u8],
    password: &[u8],
    iv: &[u8],
    key_length: usize,
) -> Option<Vec<u8>> {
    let key = derived_key(password, iv.get(..8)?, key_length);
    Decryptor::<C>::new_from_slices(&key, iv).ok()?.decrypt_padded_vec::<Pkcs7>(data).ok()
}

/// OpenSSL's EVP_BytesToKey with MD5 and one round.
fn derived_key(password: &[u8], salt: &[u8], length: usize) -> Vec<u8> {
    let mut key = Vec::with_capacity(length + 16);
    let mut last: Vec<u8> = Vec::new();
    while key.len() < length {
        last = Md5::new().chain_update(&last).chain_update(password).chain_update(salt).finalize().to_vec();
        key.extend_from_slice(&last);
    }
    key.truncate(length);
    key
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pair = |pair: &[u8]| Some((digit(pair[0])? << 4 | digit(*pair.get(1)?)?) as u8);
    text.as_bytes().chunks(2).map(pair).collect()
}

/// Whether the bytes are one whole sequence, as every key is, which begins with a version number.
fn is_key(bytes: &[u8]) -> bool {
    AnyRef::from_der(bytes)
        .is_ok_and(|key| key.tag() == Tag::Sequence && key.value().starts_with(&[0x02, 0x01]))
}

const BAD_PASSWORD: &str = "the key in it can't be decrypted: the password (--key-password) is wrong";
pub(super) const BAD_CIPHER: &str = "the key in it is encrypted in a way that is not supported";

#[cfg(test)]
mod tests {
    use super::super::key::private_key;
    use super::super::pem;
    use super::*;

    #[test]
    fn a_key_is_derived_as_openssl_derives_it() {
        // `openssl enc -aes-256-cbc -md md5 -k secret -S 0102030405060708 -P`
        let key = derived_key(b"secret", &[1, 2, 3, 4, 5, 6, 7, 8], 32);
        let hex: String = key.iter().map(|byte| format!("{byte:02X}")).collect();
        assert_eq!(hex, "C9E5A1BD216DBE1317E230CEF48F38EE7F0E17AD64022144BCCEC4A1AA2879AB");
    }

    #[test]
    fn hexadecimal_digits_come_in_pairs() {
        assert_eq!(from_hex("00fFa0"), Some(vec![0, 255, 160]));
        assert_eq!(from_hex(""), Some(vec![]));
        assert_eq!(from_hex("0"), None);
        assert_eq!(from_hex("0g"), None);
        assert_eq!(from_hex("ü"), None);
    }

    #[test]
    fn a_strange_cipher_is_named_and_a_damaged_key_is_a_wrong_password() {
        let key = |label: &str, headers: &str| {
            let text = format!("-----BEGIN {label}-----\n{headers}MAMCAQA=\n-----END {label}-----\n");
            private_key(&pem::blocks(&text).expect("a block"), Some(b"password")).map(|key| key.is_some())
        };
        let encrypted = "Proc-Type: 4,ENCRYPTED\nDEK-Info: ";
        for (info, error) in [
            ("RC2-CBC,0011223344556677\n\n", format!("{BAD_CIPHER}: 'RC2-CBC,0011223344556677'")),
            ("AES-128-CBC\n\n", format!("{BAD_CIPHER}: 'AES-128-CBC'")),
            ("AES-128-CBC,001122\n\n", BAD_PASSWORD.to_owned()),
            ("AES-128-CBC,00112233445566778899aabbccddeeff\n\n", BAD_PASSWORD.to_owned()),
        ] {
            assert_eq!(key("RSA PRIVATE KEY", &format!("{encrypted}{info}")), Err(error));
        }
        assert!(key("ENCRYPTED PRIVATE KEY", "").expect_err("no such thing").starts_with(BAD_CIPHER));
    }
}
