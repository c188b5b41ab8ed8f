//! Keys from files, and the algorithms that each may be used with.
//!
//! The key determines the algorithms. So a public key is never used as a secret, whatever a token says.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{OaepPrivateDecryptingKey, PrivateDecryptingKey, PublicEncryptingKey};
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, ParsedPublicKey, RsaKeyPair,
    RsaSubjectPublicKey, VerificationAlgorithm,
};
use aws_lc_rs::{agreement, hmac};
use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::certs::pem::{self, Block};
use crate::secret::Secret;

/// A key, ready for use.
pub(super) struct Key {
    verifiers: Vec<(&'static str, Verifier)>,
    pub(super) opener: Opener,
}

/// What verifies signatures of one algorithm.
pub(super) enum Verifier {
    /// With the secret that made them.
    Hmac(Box<hmac::Key>),
    /// With the public half of the key that made them.
    Public(ParsedPublicKey),
}

/// What unwraps the keys of encrypted tokens.
pub(super) enum Opener {
    /// A public key encrypts, and that is all.
    Nothing,
    /// A secret unwraps them, or is that key itself.
    Secret(Secret),
    /// An RSA key decrypts them.
    Rsa(OaepPrivateDecryptingKey),
    /// A key of this curve agrees about them with one that is in the token.
    Ec(&'static Curve, agreement::PrivateKey),
}

/// The parameters of an elliptic curve.
pub(super) struct Curve {
    /// Its name in tokens.
    pub(super) name: &'static str,
    /// Bytes of a coordinate.
    pub(super) coordinate_len: usize,
    alg: &'static str,
    verify: &'static dyn VerificationAlgorithm,
    sign: &'static EcdsaSigningAlgorithm,
    /// Nothing for a curve that is for signatures alone.
    agree: Option<&'static agreement::Algorithm>,
}

impl Key {
    /// Reads a key file: PEM, with any text around it, or else a secret in base64url. Of several keys the
    /// first private one is used, otherwise the first one.
    ///
    /// # Errors
    /// It holds no key that is of use; in words that follow the file's name.
    pub(super) fn parse(file: &[u8]) -> Result<Key, String> {
        let text = String::from_utf8_lossy(file);
        // A text with a PEM block, damaged or not, is never a secret.
        if !text.contains("-----BEGIN ") {
            return Key::secret(&text);
        }
        let blocks = pem::blocks(&text)?;
        let find = |is: &dyn Fn(&str) -> bool| blocks.iter().find(|block| is(&block.label));
        let private = find(&|label| label.ends_with("PRIVATE KEY"));
        let other = || find(&|label| matches!(label, "PUBLIC KEY" | "RSA PUBLIC KEY" | "CERTIFICATE"));
        let Some(block) = private.or_else(other) else { return Err("there is no key in it".into()) };
        if is_encrypted(block) {
            return Err("the key in it is protected by a password, which can't be given".into());
        }
        let der = block.data()?;
        let key = match block.label.as_str() {
            "PRIVATE KEY" => rsa_private(RsaKeyPair::from_pkcs8(der).ok())
                .or_else(|| ec_private(der))
                .or_else(|| ed25519_private(der)),
            "RSA PRIVATE KEY" => rsa_private(RsaKeyPair::from_der(der).ok()),
            "EC PRIVATE KEY" => ec_private(der),
            "CERTIFICATE" => X509Certificate::from_der(der)
                .ok()
                .and_then(|(_, certificate)| public(certificate.tbs_certificate.subject_pki.raw)),
            "PUBLIC KEY" | "RSA PUBLIC KEY" => public(der),
            _ => None,
        };
        key.ok_or_else(|| {
            format!("the {} in it is damaged, or of a kind or size that is not accepted", block.label)
        })
    }

    /// A secret in base64url; the other alphabet and padding are accepted, too, since both are in use.
    fn secret(text: &str) -> Result<Key, String> {
        let text = text.trim().replace('+', "-").replace('/', "_");
        let secret = LENIENT.decode(text).map_err(|_| "it is neither PEM nor a secret in base64url")?;
        if secret.is_empty() {
            return Err("it is empty".into());
        }
        let verifiers = HASHES
            .iter()
            .filter(|(_, hash)| secret.len() >= hash.tag_len())
            .map(|&(alg, hash)| (alg, Verifier::Hmac(hmac::Key::new(hash, &secret).into())))
            .collect();
        Ok(Key { verifiers, opener: Opener::Secret(Secret::new(secret)) })
    }

    /// A key that verifies with these algorithms.
    fn public(
        der: &[u8],
        algorithms: &[(&'static str, &'static dyn VerificationAlgorithm)],
        opener: Opener,
    ) -> Option<Key> {
        let verifiers = algorithms
            .iter()
            .map(|&(alg, verify)| Some((alg, Verifier::Public(ParsedPublicKey::new(verify, der).ok()?))))
            .collect::<Option<_>>()?;
        Some(Key { verifiers, opener })
    }

    /// What verifies signatures of this algorithm.
    ///
    /// # Errors
    /// The algorithm does not go with the key; in words for the operator.
    pub(super) fn verifier(&self, alg: &str) -> Result<&Verifier, String> {
        if let Some((_, verifier)) = self.verifiers.iter().find(|(name, _)| *name == alg) {
            return Ok(verifier);
        }
        let is_of_secrets = HASHES.iter().any(|(name, _)| *name == alg);
        match matches!(self.opener, Opener::Secret(_)) && is_of_secrets {
            true if self.verifies_nothing() => Err(Key::SHORT.into()),
            true => Err(format!("the secret is shorter than the hash of {alg}")),
            false => Err("it is not signed with an algorithm that fits the key".into()),
        }
    }

    /// Whether no signature can be verified.
    pub(super) fn verifies_nothing(&self) -> bool {
        self.verifiers.is_empty()
    }

    /// Why that may be.
    pub(super) const SHORT: &str = "the secret is shorter than any hash (32 bytes)";
}

/// An RSA key. Below 2048 bits there is none.
fn rsa(public: &RsaSubjectPublicKey, opener: Opener) -> Option<Key> {
    let spki: PublicKeyX509Der<'_> = public.as_der().ok()?;
    let encrypting = PublicEncryptingKey::from_der(spki.as_ref()).ok()?;
    if encrypting.key_size_bits() < RSA_BITS_MIN {
        return None;
    }
    Key::public(spki.as_ref(), RSA, opener)
}

fn rsa_private(pair: Option<RsaKeyPair>) -> Option<Key> {
    let pair = pair?;
    let pkcs8: Pkcs8V1Der<'_> = pair.as_der().ok()?;
    let private = PrivateDecryptingKey::from_pkcs8(pkcs8.as_ref()).ok()?;
    rsa(pair.public_key(), Opener::Rsa(OaepPrivateDecryptingKey::new(private).ok()?))
}

/// A private key of a curve, in PKCS#8 or as SEC 1 has it.
fn ec_private(der: &[u8]) -> Option<Key> {
    CURVES.iter().find_map(|curve| {
        let pair = EcdsaKeyPair::from_private_key_der(curve.sign, der).ok()?;
        let opener = match curve.agree {
            Some(agree) => Opener::Ec(curve, agreement::PrivateKey::from_private_key_der(agree, der).ok()?),
            None => Opener::Nothing,
        };
        Key::public(pair.public_key().as_ref(), &[(curve.alg, curve.verify)], opener)
    })
}

fn ed25519_private(der: &[u8]) -> Option<Key> {
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok()?;
    Key::public(pair.public_key().as_ref(), ED25519, Opener::Nothing)
}

/// A public key of any kind (RFC 5280's `SubjectPublicKeyInfo`, or PKCS#1's for RSA).
fn public(der: &[u8]) -> Option<Key> {
    let of_curve =
        || CURVES.iter().find_map(|curve| Key::public(der, &[(curve.alg, curve.verify)], Opener::Nothing));
    match RsaSubjectPublicKey::from_der(der) {
        Ok(public) => rsa(&public, Opener::Nothing),
        Err(_) => of_curve().or_else(|| Key::public(der, ED25519, Opener::Nothing)),
    }
}

fn is_encrypted(block: &Block) -> bool {
    let is_marked = block.header("Proc-Type").is_some_and(|kind| kind.ends_with("ENCRYPTED"));
    is_marked || block.label == "ENCRYPTED PRIVATE KEY"
}

/// Shorter RSA keys can be broken.
const RSA_BITS_MIN: usize = 2048;

const HASHES: &[(&str, hmac::Algorithm)] =
    &[("HS256", hmac::HMAC_SHA256), ("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)];

const RSA: &[(&str, &dyn VerificationAlgorithm)] = &[
    ("RS256", &signature::RSA_PKCS1_2048_8192_SHA256),
    ("RS384", &signature::RSA_PKCS1_2048_8192_SHA384),
    ("RS512", &signature::RSA_PKCS1_2048_8192_SHA512),
    ("PS256", &signature::RSA_PSS_2048_8192_SHA256),
    ("PS384", &signature::RSA_PSS_2048_8192_SHA384),
    ("PS512", &signature::RSA_PSS_2048_8192_SHA512),
];

/// The second name is RFC 9864's.
const ED25519: &[(&str, &dyn VerificationAlgorithm)] =
    &[("EdDSA", &signature::ED25519), ("Ed25519", &signature::ED25519)];

static CURVES: [Curve; 4] = [
    Curve {
        name: "P-256",
        coordinate_len: 32,
        alg: "ES256",
        verify: &signature::ECDSA_P256_SHA256_FIXED,
        sign: &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        agree: Some(&agreement::ECDH_P256),
    },
    Curve {
        name: "P-384",
        coordinate_len: 48,
        alg: "ES384",
        verify: &signature::ECDSA_P384_SHA384_FIXED,
        sign: &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
        agree: Some(&agreement::ECDH_P384),
    },
    Curve {
        name: "P-521",
        coordinate_len: 66,
        alg: "ES512",
        verify: &signature::ECDSA_P521_SHA512_FIXED,
        sign: &signature::ECDSA_P521_SHA512_FIXED_SIGNING,
        agree: Some(&agreement::ECDH_P521),
    },
    Curve {
        name: "secp256k1",
        coordinate_len: 32,
        alg: "ES256K",
        verify: &signature::ECDSA_P256K1_SHA256_FIXED,
        sign: &signature::ECDSA_P256K1_SHA256_FIXED_SIGNING,
        agree: None,
    },
];

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);
