//! Private keys from PEM blocks.

use rustls::pki_types::PrivateKeyDer;

#[cfg(feature = "encrypted-keys")]
use super::encrypted::{decrypted_pkcs8, decrypted_traditional};
use super::pem::Block;

/// The first private key among `blocks`, decrypted; `None` if there is none.
///
/// # Errors
/// It can't be had, in words that follow the file's name.
pub(super) fn private_key(
    blocks: &[Block],
    password: Option<&[u8]>,
) -> Result<Option<PrivateKeyDer<'static>>, String> {
    let Some(block) = blocks.iter().find(|block| block.label.ends_with(SUFFIX)) else { return Ok(None) };
    let data = block.data()?;
    let traditional = || match block.header("Proc-Type") {
        Some(kind) if kind.ends_with("ENCRYPTED") => {
            decrypted_traditional(block, data, password.ok_or(NO_PASSWORD)?)
        }
        _ => Ok(data.to_vec()),
    };
    match block.label.as_str() {
        "PRIVATE KEY" => Ok(Some(PrivateKeyDer::Pkcs8(data.to_vec().into()))),
        "ENCRYPTED PRIVATE KEY" => {
            let key = decrypted_pkcs8(data, password.ok_or(NO_PASSWORD)?)?;
            Ok(Some(PrivateKeyDer::Pkcs8(key.into())))
        }
        "RSA PRIVATE KEY" => Ok(Some(PrivateKeyDer::Pkcs1(traditional()?.into()))),
        "EC PRIVATE KEY" => Ok(Some(PrivateKeyDer::Sec1(traditional()?.into()))),
        label => Err(format!("the key in it is of a kind that TLS can't use ({label})")),
    }
}

/// Whether the private key among `blocks` is not protected by a password.
pub(super) fn is_bare(blocks: &[Block]) -> bool {
    blocks.iter().find(|block| block.label.ends_with(SUFFIX)).is_some_and(|block| {
        block.label != "ENCRYPTED PRIVATE KEY"
            && !block.header("Proc-Type").is_some_and(|kind| kind.ends_with("ENCRYPTED"))
    })
}

/// What the labels of all private keys end in.
const SUFFIX: &str = "PRIVATE KEY";

#[cfg(not(feature = "encrypted-keys"))]
fn decrypted_pkcs8(_: &[u8], _: &[u8]) -> Result<Vec<u8>, String> {
    Err(NOT_BUILT.to_owned())
}

#[cfg(not(feature = "encrypted-keys"))]
fn decrypted_traditional(_: &Block, _: &[u8], _: &[u8]) -> Result<Vec<u8>, String> {
    Err(NOT_BUILT.to_owned())
}

/// What is missing for a key that a password protects.
const NO_PASSWORD: &str = match cfg!(feature = "encrypted-keys") {
    true => "the key in it is encrypted: give its password with --key-password",
    false => NOT_BUILT,
};

const NOT_BUILT: &str = "the key in it is encrypted, and this program was built without encrypted-keys";

#[cfg(test)]
mod tests {
    use super::super::pem;
    use super::*;

    #[test]
    fn a_file_without_a_key_has_none_and_a_strange_one_is_named() {
        let key = |label: &str, headers: &str| {
            let text = format!("-----BEGIN {label}-----\n{headers}MAMCAQA=\n-----END {label}-----\n");
            private_key(&pem::blocks(&text).expect("a block"), Some(b"password")).map(|key| key.is_some())
        };
        assert_eq!(key("CERTIFICATE", ""), Ok(false));
        assert_eq!(key("PRIVATE KEY", ""), Ok(true));
        assert_eq!(
            key("OPENSSH PRIVATE KEY", ""),
            Err("the key in it is of a kind that TLS can't use (OPENSSH PRIVATE KEY)".into())
        );
    }
}
