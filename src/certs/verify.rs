//! What is checked of the certificate of a client or a target.
//!
//! The library's verifiers do the work. They don't accept some things that people have and OpenSSL accepts, so
//! those are added here: a self-signed certificate that is itself in the list of authorities (`openssl req
//! -x509` makes such); the host's name in the common name alone, but only when the operator has named a file of
//! authorities, since public ones don't issue that any more; and signatures by the key of a certificate of
//! version 1, once it is believed for another reason.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{self, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::x509::Facts;

/// Checks clients.
#[derive(Debug)]
pub(super) struct Clients {
    pub(super) inner: Arc<dyn ClientCertVerifier>,
    /// Certificates that need nobody to vouch for them.
    pub(super) trusted: Arc<[CertificateDer<'static>]>,
    pub(super) known: WebPkiSupportedAlgorithms,
}

/// Checks targets.
#[derive(Debug)]
pub(super) struct Targets {
    pub(super) inner: Arc<WebPkiServerVerifier>,
    /// Certificates that need nobody to vouch for them.
    pub(super) trusted: Arc<[CertificateDer<'static>]>,
    /// Whether a common name will do where there are no alternative names.
    pub(super) takes_common_name: bool,
    pub(super) known: WebPkiSupportedAlgorithms,
}

/// Believes every target, but it must have its certificate's key.
#[derive(Debug)]
pub(super) struct Anyone(pub(super) WebPkiSupportedAlgorithms);

type Signature<'a> = (&'a [u8], &'a CertificateDer<'a>, &'a DigitallySignedStruct);

impl ClientCertVerifier for Clients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        cert: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.trusted.contains(cert) {
            return in_time(&facts(cert)?, now).map(|()| ClientCertVerified::assertion());
        }
        self.inner.verify_client_cert(cert, intermediates, now).map_err(|error| clearer(error, cert))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signed_12((message, cert, signature), &self.known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signed_13((message, cert, signature), &self.known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.known.supported_schemes()
    }
}

impl ServerCertVerifier for Targets {
    fn verify_server_cert(
        &self,
        cert: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.trusted.contains(cert) {
            let facts = facts(cert)?;
            in_time(&facts, now)?;
            let wrong = Error::InvalidCertificate(CertificateError::NotValidForName);
            return if is_for(&facts, name) { Ok(ServerCertVerified::assertion()) } else { Err(wrong) };
        }
        let error = match self.inner.verify_server_cert(cert, intermediates, name, ocsp, now) {
            Ok(verified) => return Ok(verified),
            Err(error) => clearer(error, cert),
        };
        // The name is the last thing that the library checks.
        let only_name = matches!(
            &error,
            Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
            )
        );
        let is_common = || facts(cert).is_ok_and(|facts| !facts.has_alt_names && is_for(&facts, name));
        match only_name && self.takes_common_name && is_common() {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(error),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signed_12((message, cert, signature), &self.known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signed_13((message, cert, signature), &self.known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.known.supported_schemes()
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
        signed_12((message, cert, signature), &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signed_13((message, cert, signature), &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

fn signed_12(of: Signature<'_>, known: &WebPkiSupportedAlgorithms) -> Result<HandshakeSignatureValid, Error> {
    by_bare_key(crypto::verify_tls12_signature(of.0, of.1, of.2, known), of, known)
}

fn signed_13(of: Signature<'_>, known: &WebPkiSupportedAlgorithms) -> Result<HandshakeSignatureValid, Error> {
    by_bare_key(crypto::verify_tls13_signature(of.0, of.1, of.2, known), of, known)
}

/// Checks a signature again by the key alone if the library has no use for the certificate that the key is in.
fn by_bare_key(
    result: Result<HandshakeSignatureValid, Error>,
    (message, cert, signature): Signature<'_>,
    known: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    match result {
        Err(Error::InvalidCertificate(CertificateError::Other(_))) => {
            let key = SubjectPublicKeyInfoDer::from(facts(cert)?.public_key);
            crypto::verify_tls13_signature_with_raw_key(message, &key, signature, known)
        }
        result => result,
    }
}

/// The library has its own words for a self-signed certificate that may sign others and is not trusted. What
/// matters is that nobody knows it.
fn clearer(error: Error, cert: &CertificateDer<'_>) -> Error {
    match error {
        Error::InvalidCertificate(CertificateError::Other(_))
            if facts(cert).is_ok_and(|facts| facts.is_self_issued) =>
        {
            Error::InvalidCertificate(CertificateError::UnknownIssuer)
        }
        error => error,
    }
}

fn facts(cert: &CertificateDer<'_>) -> Result<Facts, Error> {
    Facts::of(cert).ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))
}

fn in_time(facts: &Facts, now: UnixTime) -> Result<(), Error> {
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now < facts.not_before {
        return Err(Error::InvalidCertificate(CertificateError::NotValidYet));
    }
    if now > facts.not_after {
        return Err(Error::InvalidCertificate(CertificateError::Expired));
    }
    Ok(())
}

fn is_for(facts: &Facts, name: &ServerName<'_>) -> bool {
    match name {
        ServerName::DnsName(name) => facts.is_for_host(name.as_ref()),
        ServerName::IpAddress(address) => facts.is_for_address((*address).into()),
        _ => false,
    }
}
