//! TLS towards targets (`--ssl-target`).

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::roots::Roots;
use super::suites;
use super::verify::Targets;
use super::{Authorities, TargetOptions, Versions};

/// How to speak TLS to targets.
///
/// # Errors
/// What is wrong with the authorities, in words for the log.
pub fn target_config(options: &TargetOptions) -> Result<Arc<ClientConfig>, String> {
    let provider = suites::provider(None);
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(suites::versions(Versions::From12))
        .expect("the provider's own suites are of these versions");
    let of_option = |text: String| match &options.authorities {
        Some(Authorities::File(_)) => format!("--ssl-target-ca {text}"),
        Some(Authorities::System) | None => text,
    };
    let verifier = match &options.authorities {
        Some(authorities) => Roots::load(authorities).map_err(of_option)?.of_targets(&provider)?,
        None => Arc::new(Targets::any(provider.signature_verification_algorithms)),
    };
    let config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    Ok(Arc::new(config))
}

/// The name that a target's certificate must be for, which is also sent as SNI unless it is an address: that of
/// `--ssl-target-name`, else `host` as it is dialled, else (for a Unix socket) `localhost`.
///
/// # Errors
/// It can't be the name of a server, in words for the log.
pub fn target_name(options: &TargetOptions, host: Option<&str>) -> Result<ServerName<'static>, String> {
    let name = options.name.as_deref().or(host).filter(|name| !name.is_empty()).unwrap_or("localhost");
    // A link-local address has its interface after it, which no certificate knows.
    let name = name.split_once('%').map_or(name, |(address, _)| address);
    ServerName::try_from(name.to_owned()).map_err(|_| format!("'{name}' can't be the name of a TLS server"))
}
