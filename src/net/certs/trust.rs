//! Who is believed: certificate authorities, and what is checked of a client's or a target's certificate.
//!
//! The library's verifier does the work. It does not accept two things that people have and that OpenSSL
//! accepts: a self-signed certificate that is itself listed as an authority (`openssl req -x509` makes those),
//! and a host's name in the common name only. [`Authorities`](super::Authorities) given in a file say what
//! their owner wants to trust, so there both are accepted here.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
};

use super::pair::certificates;
use super::x509::Facts;
use super::{Authorities, file, pem};

/// Authorities, loaded.
pub(super) struct Trust {
    roots: Arc<RootCertStore>,
    /// Those that a file of the operator's names, and none of the system's.
    named: Vec<CertificateDer<'static>>,
}

impl Trust {
    /// Loads authorities.
    ///
    /// # Errors
    /// There are none, or a file can't be used; in words for the log.
    pub(super) fn load(authorities: &Authorities) -> Result<Trust, String> {
        let mut roots = RootCertStore::empty();
        let Authorities::File(path) = authorities else {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                let why = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
                return Err(format!("this system has no certificate authorities{why}"));
            }
            return Ok(Trust { roots: Arc::new(roots), named: Vec::new() });
        };
        let of_file = |text: String| format!("{}: {text}", path.display());
        let text = file::read(path).map_err(of_file)?;
        let named = pem::blocks(&text).and_then(|blocks| certificates(&blocks)).map_err(of_file)?;
        for (number, authority) in (1..).zip(&named) {
            let added = roots.add(authority.clone());
            added.map_err(|error| of_file(format!("certificate {number} in it can't be used: {error}")))?;
        }
        Ok(Trust { roots: Arc::new(roots), named })
    }

    /// Checks the certificates that clients must have.
    ///
    /// # Errors
    /// The library finds no use for the authorities; in words for the log.
    pub(super) fn of_clients(
        self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, String> {
        let mut builder = WebPkiClientVerifier::builder_with_provider(self.roots, Arc::clone(provider));
        if self.named.is_empty() {
            // The names of all authorities of a system would make each handshake some 15 KB longer.
            builder = builder.clear_root_hint_subjects();
        }
        let inner = builder.build().map_err(|error| error.to_string())?;
        Ok(Arc::new(Clients { inner, named: self.named }))
    }

    /// Checks the certificates of targets.
    ///
    /// # Errors
    /// The library finds no use for the authorities; in words for the log.
    pub(super) fn of_targets(
        self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, String> {
        let builder = WebPkiServerVerifier::builder_with_provider(self.roots, Arc::clone(provider));
        let inner = builder.build().map_err(|error| error.to_string())?;
        Ok(Arc::new(Targets { inner, named: self.named }))
    }
}

/// Accepts any certificate, but not a target that does not have its key.
#[derive(Debug)]
pub(super) struct Anyone(pub(super) Arc<CryptoProvider>);

#[derive(Debug)]
struct Clients {
    inner: Arc<dyn ClientCertVerifier>,
    named: Vec<CertificateDer<'static>>,
}

#[derive(Debug)]
struct Targets {
    inner: Arc<WebPkiServerVerifier>,
    named: Vec<CertificateDer<'static>>,
}

impl ClientCertVerifier for Clients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if !self.named.contains(end_entity) {
            return self.inner.verify_client_cert(end_entity, intermediates, now);
        }
        in_time(&facts(end_entity)?, now).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

impl ServerCertVerifier for Targets {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.named.contains(end_entity) {
            let facts = facts(end_entity)?;
            in_time(&facts, now)?;
            return if is_for(&facts, name) {
                Ok(ServerCertVerified::assertion())
            } else {
                Err(wrong_name())
            };
        }
        let result = self.inner.verify_server_cert(end_entity, intermediates, name, ocsp, now);
        // The name is the last thing that is checked.
        let only_name = matches!(
            &result,
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
            ))
        );
        let accepts_common_name = only_name && !self.named.is_empty();
        if accepts_common_name && facts(end_entity).is_ok_and(|f| !f.has_alt_names && is_for(&f, name)) {
            return Ok(ServerCertVerified::assertion());
        }
        result
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trust({} authorities)", self.roots.len())
    }
}

fn facts(cert: &CertificateDer<'_>) -> Result<Facts, Error> {
    Facts::of(cert).ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))
}

fn in_time(facts: &Facts, now: UnixTime) -> Result<(), Error> {
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let error = match (facts.not_before, facts.not_after) {
        (Some(start), _) if now < start => CertificateError::NotValidYet,
        (_, Some(end)) if now > end => CertificateError::Expired,
        (Some(_), Some(_)) => return Ok(()),
        _ => CertificateError::BadEncoding,
    };
    Err(Error::InvalidCertificate(error))
}

fn is_for(facts: &Facts, name: &ServerName<'_>) -> bool {
    match name {
        ServerName::DnsName(name) => facts.is_for_host(name.as_ref()),
        ServerName::IpAddress(address) => facts.is_for_address((*address).into()),
        _ => false,
    }
}

fn wrong_name() -> Error {
    Error::InvalidCertificate(CertificateError::NotValidForName)
}
