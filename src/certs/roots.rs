//! The trusted certificate authorities, from a file or from the system.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_native_certs::ErrorKind;

use super::pair::certificates;
use super::verify::{Clients, Targets};
use super::{Authorities, checks, file, pem};

/// Authorities, loaded.
pub(super) struct Roots {
    store: Arc<RootCertStore>,
    /// The same as they were given.
    certs: Arc<[CertificateDer<'static>]>,
    /// Whether the operator has named a file, instead of using the system's.
    are_named: bool,
}

impl Roots {
    /// Loads authorities.
    ///
    /// # Errors
    /// There are none, or a file can't be used; in words for the log.
    pub(super) fn load(authorities: &Authorities) -> Result<Roots, String> {
        let mut store = RootCertStore::empty();
        let Authorities::File(path) = authorities else {
            let found = rustls_native_certs::load_native_certs();
            store.add_parsable_certificates(found.certs.iter().cloned());
            if store.is_empty() {
                let why = found.errors.first().map(unusable).unwrap_or_default();
                return Err(format!("no certificate authorities found on this system{why}"));
            }
            return Ok(Roots { store: Arc::new(store), certs: found.certs.into(), are_named: false });
        };
        let of_file = |text: String| format!("{}: {text}", path.display());
        let text = file::read(path).map_err(of_file)?;
        let certs = pem::blocks(&text).and_then(|blocks| certificates(&blocks)).map_err(of_file)?;
        for (number, cert) in (1..).zip(&certs) {
            let added = store.add(cert.clone());
            added
                .map_err(|_| of_file(format!("certificate {number} in it can't be used as an authority")))?;
        }
        Ok(Roots { store: Arc::new(store), certs: certs.into(), are_named: true })
    }

    /// Whether both are the same authorities.
    pub(super) fn is_same(&self, other: &Roots) -> bool {
        self.certs == other.certs
    }

    /// Checks the certificates that clients must have.
    ///
    /// # Errors
    /// The library can't use the authorities; in words for the log.
    pub(super) fn of_clients(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, String> {
        let roots = Arc::clone(&self.store);
        let metered = Arc::new(checks::metered(provider));
        let mut builder = WebPkiClientVerifier::builder_with_provider(roots, metered);
        if self.store.len() > HINTS_MAX {
            builder = builder.clear_root_hint_subjects();
        }
        let inner = builder.build().map_err(|error| error.to_string())?;
        Ok(Arc::new(Clients {
            inner,
            roots: Arc::clone(&self.store),
            trusted: Arc::clone(&self.certs),
            known: provider.signature_verification_algorithms,
        }))
    }

    /// Checks the certificates of targets.
    ///
    /// # Errors
    /// The library can't use the authorities; in words for the log.
    pub(super) fn of_targets(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, String> {
        let roots = Arc::clone(&self.store);
        let metered = Arc::new(checks::metered(provider));
        let builder = WebPkiServerVerifier::builder_with_provider(roots, metered);
        let inner = builder.build().map_err(|error| error.to_string())?;
        Ok(Arc::new(Targets {
            inner: Some(inner),
            roots: Arc::clone(&self.store),
            trusted: Arc::clone(&self.certs),
            takes_common_name: self.are_named,
            known: provider.signature_verification_algorithms,
        }))
    }
}

/// What checks clients, by itself; for benches.
///
/// # Errors
/// As for the authorities of a server.
#[cfg(any(test, feature = "testing"))]
pub fn client_verifier(authorities: &Authorities) -> Result<Arc<dyn ClientCertVerifier>, String> {
    Roots::load(authorities)?.of_clients(&super::suites::provider(None))
}

/// What checks targets, by itself; for benches.
///
/// # Errors
/// As for the authorities of targets.
#[cfg(any(test, feature = "testing"))]
pub fn target_verifier(authorities: &Authorities) -> Result<Arc<dyn ServerCertVerifier>, String> {
    Roots::load(authorities)?.of_targets(&super::suites::provider(None))
}

/// Why the system's authorities can't be used; follows the words about that.
fn unusable(error: &rustls_native_certs::Error) -> String {
    match &error.kind {
        ErrorKind::Io { inner, path } => format!(": {}: {}", path.display(), file::describe(inner)),
        ErrorKind::Pem(_) => format!(": a file of them is damaged ({})", error.context),
        ErrorKind::Os(_) | _ => format!(": {}", error.context),
    }
}

/// Clients are told the names of up to this many authorities, so that a browser offers only fitting certificates.
/// Those of a whole system would make each handshake some 15 KB longer.
const HINTS_MAX: usize = 20;
