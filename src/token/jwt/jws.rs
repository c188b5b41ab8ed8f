//! Signed tokens (RFC 7515).

use aws_lc_rs::hmac;

use super::compact::{Header, decode};
use super::key::{Key, Verifier};

/// The payload, if it is signed with the key.
///
/// # Errors
/// It is not; in words for the operator.
pub(super) fn verify(header: &str, payload: &str, signature: &str, key: &Key) -> Result<Vec<u8>, String> {
    let verifier = key.verifier(Header::parse(header)?.text("alg")?)?;
    let signature = decode(signature)?;
    // What is signed are the parts as they are written.
    let signed = [header, payload].join(".");
    let is_signed = match verifier {
        Verifier::Hmac(key) => hmac::verify(key, signed.as_bytes(), &signature).is_ok(),
        Verifier::Public(key) => key.verify_sig(signed.as_bytes(), &signature).is_ok(),
    };
    if is_signed { decode(payload) } else { Err("its signature is not one of the key's".into()) }
}
