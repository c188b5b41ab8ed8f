//! Tokens and passwords: compared in constant time, named by a fingerprint where a log has to name them, and
//! never printed.

use std::fmt;

use aws_lc_rs::{constant_time, digest, hmac, rand};

/// Bytes that no log may show: `Debug` prints `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Wraps the bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Secret {
        Secret(bytes.into().into_boxed_slice())
    }

    /// The bytes, for those who have to use them.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Whether two secrets are the same. Hashes are compared, so the time reveals neither where they differ nor
/// the length of the stored one.
pub fn is_same(one: &[u8], other: &[u8]) -> bool {
    let hash = |bytes| digest::digest(&digest::SHA256, bytes);
    constant_time::verify_slices_are_equal(hash(one).as_ref(), hash(other).as_ref()).is_ok()
}

/// What stands for a secret where a line has to name it: the first 16 hexadecimal digits of its SHA-256. The
/// operator can compute it from the secret (`printf %s TOKEN | sha256sum`), and not the other way round.
pub fn fingerprint(secret: &[u8]) -> String {
    Fingerprint::of(secret).to_string()
}

/// The same as a number, for storage. `Display` writes the digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// Of this secret.
    pub fn of(secret: &[u8]) -> Fingerprint {
        let hash = digest::digest(&digest::SHA256, secret);
        Fingerprint(hash.as_ref().iter().take(8).fold(0, |bits, byte| bits << 8 | u64::from(*byte)))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// `text` with every occurrence of the secret replaced by `shown`, except inside of words: a secret `a` is
/// not revealed by every word that has an `a`.
pub fn hide(text: &str, secret: &str, shown: &str) -> String {
    if secret.is_empty() {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest_at = 0;
    for (at, found) in text.match_indices(secret) {
        let (before, after) = (&text[..at], &text[at + found.len()..]);
        let is_bounded =
            !before.ends_with(char::is_alphanumeric) && !after.starts_with(char::is_alphanumeric);
        if is_bounded || secret.len() >= LONG {
            out.push_str(&text[rest_at..at]);
            out.push_str(shown);
            rest_at = at + found.len();
        }
    }
    out.push_str(&text[rest_at..]);
    out
}

/// From this length on, in bytes, a secret is found in the middle of words, too.
const LONG: usize = 6;

/// A key of this process, drawn at its start and never written anywhere.
pub struct Key(hmac::Key);

/// What [`Key::sign`] makes.
pub type Signature = [u8; digest::SHA256_OUTPUT_LEN];

impl Key {
    /// A new one.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn random() -> Result<Key, String> {
        let mut bytes = [0; digest::SHA256_OUTPUT_LEN];
        rand::fill(&mut bytes).map_err(|_| "the system gives no random numbers".to_owned())?;
        Ok(Key(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// Signs the parts; where one ends matters: `["ab", "c"]` is not `["a", "bc"]`.
    pub fn sign(&self, parts: &[&[u8]]) -> Signature {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut signature = Signature::default();
        signature.copy_from_slice(context.sign().as_ref());
        signature
    }

    /// Whether `signature` is that of the parts, in constant time.
    pub fn verify(&self, parts: &[&[u8]], signature: &[u8]) -> bool {
        constant_time::verify_slices_are_equal(&self.sign(parts), signature).is_ok()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_equal_secrets_are_the_same() {
        assert!(is_same(b"user:pw", b"user:pw"));
        assert!(is_same(b"", b""));
        for other in [&b"user:pW"[..], b"user:p", b"user:pw ", b""] {
            assert!(!is_same(b"user:pw", other), "{other:?}");
        }
    }

    /// `printf %s abc | sha256sum`, and of nothing.
    #[test]
    fn a_fingerprint_is_the_beginning_of_the_hash() {
        assert_eq!(fingerprint(b"abc"), "ba7816bf8f01cfea");
        assert_eq!(fingerprint(b""), "e3b0c44298fc1c14");
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", Some(Secret::new("hunter2"))), "Some(***)");
        assert_eq!(Secret::new("hunter2").reveal(), b"hunter2");
    }

    #[test]
    fn a_signature_is_that_of_its_parts_and_its_key() {
        let key = Key::random().expect("random numbers");
        let signature = key.sign(&[b"ab", b"c"]);
        assert!(key.verify(&[b"ab", b"c"], &signature));
        assert!(!key.verify(&[b"a", b"bc"], &signature));
        assert!(!key.verify(&[b"abc"], &signature));
        assert!(!key.verify(&[b"ab", b"c"], &signature[..31]));
        assert!(!Key::random().expect("random numbers").verify(&[b"ab", b"c"], &signature));
    }
}
