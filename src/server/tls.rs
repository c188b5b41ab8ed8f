//! What the command line says about TLS, in the terms of those who do it.

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use crate::certs::{self, Authorities, Certificates, ServerOptions, Versions};
use crate::cli::{Config, TlsVersion};
use crate::conn::TargetTls;
use crate::log::Log;

/// The certificates for clients. Files that are missing or broken are said so, and looked at again later.
pub(super) fn certificates(config: &Config, log: &Arc<Log>) -> Arc<Certificates> {
    let tls = &config.tls;
    let options = ServerOptions {
        pairs: tls.pairs.clone(),
        key_password: tls.key_password.as_ref().map(|word| word.as_bytes().to_vec()),
        versions: match tls.version {
            TlsVersion::V1_3 => Versions::Only13,
            TlsVersion::Default | TlsVersion::V1_1 | TlsVersion::V1_2 => Versions::From12,
        },
        suites: tls.ciphers.clone(),
        clients: tls.verify_client.then(|| match &tls.cafile {
            Some(file) => Authorities::File(file.clone()),
            None => Authorities::System,
        }),
    };
    Arc::new(Certificates::open(&options, Arc::clone(log)))
}

/// How to speak TLS to targets, if that is wanted.
///
/// # Errors
/// What is wrong with a file, in words for the log.
pub(super) fn target(config: &Config) -> Result<Option<TargetTls>, String> {
    let Some(options) = config.tls.target.clone() else { return Ok(None) };
    Ok(Some(TargetTls { config: certs::target_config(&options)?, options }))
}
