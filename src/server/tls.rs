//! What the command line says about TLS, in the terms of those who do it.

use std::sync::Arc;

use crate::cli::{Config, TlsVersion};
use crate::conn::TargetTls;
use crate::log::Log;
use crate::net::certs::{self, Authorities, Certificates, Pair, ServerOptions, TargetOptions, Versions};

/// The certificates for clients. Files that are missing or broken are said so, and looked at again later.
///
/// # Errors
/// An option that can't be followed, in words for the log.
pub(super) fn certificates(config: &Config, log: &Arc<Log>) -> Result<Arc<Certificates>, String> {
    let tls = &config.tls;
    let options = ServerOptions {
        pairs: vec![Pair { cert: tls.cert.clone(), key: tls.key.clone() }],
        key_password: tls.key_password.as_ref().map(|word| word.as_encoded_bytes().to_vec()),
        versions: match tls.version {
            TlsVersion::V1_3 => Versions::Only13,
            TlsVersion::Default | TlsVersion::V1_1 | TlsVersion::V1_2 => Versions::From12,
        },
        suites: tls.ciphers.as_deref().map(certs::parse_suites).transpose()?,
        clients: tls.verify_client.then(|| match &tls.cafile {
            Some(file) => Authorities::File(file.clone()),
            None => Authorities::System,
        }),
    };
    Ok(Arc::new(Certificates::open(&options, Arc::clone(log))))
}

/// How to speak TLS to targets, if that is wanted.
///
/// # Errors
/// What is wrong with a file, in words for the log.
pub(super) fn target(config: &Config) -> Result<Option<TargetTls>, String> {
    if !config.tls.target {
        return Ok(None);
    }
    let options = TargetOptions { authorities: Some(Authorities::System), name: None };
    Ok(Some(TargetTls { config: certs::target_config(&options)?, options }))
}
