//! Verifies the certificates of clients and targets.
//!
//! The library's verifiers do the work. They reject some things that people use and OpenSSL accepts, so those
//! are added here: a self-signed certificate that is itself in the list of authorities (`openssl req -x509`
//! makes such); the host's name in the common name alone, but only when the operator has named a file of
//! authorities, since public ones don't issue that any more; certificates of version 1, and those that claim
//! to be authorities, if a listed one has issued them itself ([`direct`]); and signatures by the key of a
//! version 1 certificate that is accepted for another reason.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{self, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
};

use super::direct::{self, Purpose};
use super::x509::{self, CertInfo, Names};
use super::{chain, checks};

/// Checks clients.
#[derive(Debug)]
pub(super) struct Clients {
    pub(super) inner: Arc<dyn ClientCertVerifier>,
    pub(super) roots: Arc<RootCertStore>,
    /// Certificates that are trusted by themselves.
    pub(super) trusted: Arc<[CertificateDer<'static>]>,
    pub(super) known: WebPkiSupportedAlgorithms,
}

/// Checks targets.
#[derive(Debug)]
pub(super) struct Targets {
    /// `None` if every target is accepted; even then it must have its certificate's key.
    pub(super) inner: Option<Arc<WebPkiServerVerifier>>,
    pub(super) roots: Arc<RootCertStore>,
    /// Certificates that are trusted by themselves.
    pub(super) trusted: Arc<[CertificateDer<'static>]>,
    /// Whether a common name is enough if there are no alternative names.
    pub(super) takes_common_name: bool,
    pub(super) known: WebPkiSupportedAlgorithms,
}

type Signature<'a> = (&'a [u8], &'a CertificateDer<'a>, &'a DigitallySignedStruct);

impl Targets {
    /// Accepts every target that has its certificate's key.
    pub(super) fn any(known: WebPkiSupportedAlgorithms) -> Targets {
        Targets {
            inner: None,
            roots: Arc::new(RootCertStore::empty()),
            trusted: Arc::default(),
            takes_common_name: false,
            known,
        }
    }
}

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
            return in_time(&info(cert)?, now).map(|()| ClientCertVerified::assertion());
        }
        let chain = chain::between(cert, intermediates, &self.roots, &self.trusted);
        let verified = checks::limited(&chain, |chain| {
            let verified = self.inner.verify_client_cert(cert, chain, now);
            or_directly(verified, cert, &self.trusted, Purpose::Client, now, ClientCertVerified::assertion)
        });
        verified.map_err(|error| clearer(error, cert))
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
        let Some(inner) = &self.inner else { return Ok(ServerCertVerified::assertion()) };
        if self.trusted.contains(cert) {
            let info = info(cert)?;
            in_time(&info, now)?;
            if is_for(&info, name) {
                return Ok(ServerCertVerified::assertion());
            }
            let presented = info.host_names().map(str::to_owned).collect();
            let wrong = CertificateError::NotValidForNameContext { expected: name.to_owned(), presented };
            return Err(Error::InvalidCertificate(wrong));
        }
        let chain = chain::between(cert, intermediates, &self.roots, &self.trusted);
        // For certificates accepted without the library, the name is still to be checked.
        let verified = checks::limited(&chain, |chain| {
            let verified = inner.verify_server_cert(cert, chain, name, ocsp, now);
            let named = || Error::InvalidCertificate(CertificateError::NotValidForName);
            match or_directly(verified.map(Some), cert, &self.trusted, Purpose::Server, now, || None)? {
                Some(verified) => Ok(verified),
                None if info(cert)?.has_alternative_for(name) => Ok(ServerCertVerified::assertion()),
                None => Err(named()),
            }
        });
        let error = match verified {
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
        let is_common = || info(cert).is_ok_and(|info| !info.has_host_names && is_for(&info, name));
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

fn signed_12(of: Signature<'_>, known: &WebPkiSupportedAlgorithms) -> Result<HandshakeSignatureValid, Error> {
    by_bare_key(crypto::verify_tls12_signature(of.0, of.1, of.2, known), of, known)
}

fn signed_13(of: Signature<'_>, known: &WebPkiSupportedAlgorithms) -> Result<HandshakeSignatureValid, Error> {
    by_bare_key(crypto::verify_tls13_signature(of.0, of.1, of.2, known), of, known)
}

/// Checks a signature again with the key alone if the library can't use the certificate around it.
fn by_bare_key(
    result: Result<HandshakeSignatureValid, Error>,
    (message, cert, signature): Signature<'_>,
    known: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    match result {
        Err(Error::InvalidCertificate(CertificateError::Other(_))) => {
            let key = SubjectPublicKeyInfoDer::from(x509::public_key(cert).ok_or(BAD_ENCODING)?);
            crypto::verify_tls13_signature_with_raw_key(message, &key, signature, known)
        }
        result => result,
    }
}

/// Checks a certificate again if the library refused it for its form.
fn or_directly<T>(
    verified: Result<T, Error>,
    cert: &CertificateDer<'_>,
    authorities: &[CertificateDer<'_>],
    purpose: Purpose,
    now: UnixTime,
    good: impl FnOnce() -> T,
) -> Result<T, Error> {
    match verified {
        Err(Error::InvalidCertificate(CertificateError::Other(_))) if direct::is_of_such_a_form(cert) => {
            direct::verify(cert, authorities, purpose, now).map_err(Error::InvalidCertificate)?;
            Ok(good())
        }
        verified => verified,
    }
}

/// The library has an error of its own for a self-signed certificate that may sign others and is not trusted. To
/// an operator that is an unknown issuer.
fn clearer(error: Error, cert: &CertificateDer<'_>) -> Error {
    match error {
        Error::InvalidCertificate(CertificateError::Other(_))
            if Names::of(cert).is_some_and(|names| names.is_self_issued()) =>
        {
            Error::InvalidCertificate(CertificateError::UnknownIssuer)
        }
        error => error,
    }
}

fn info(cert: &CertificateDer<'_>) -> Result<CertInfo, Error> {
    CertInfo::of(cert).ok_or(BAD_ENCODING)
}

fn in_time(info: &CertInfo, now: UnixTime) -> Result<(), Error> {
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now < info.not_before {
        return Err(Error::InvalidCertificate(CertificateError::NotValidYet));
    }
    if now > info.not_after {
        return Err(Error::InvalidCertificate(CertificateError::Expired));
    }
    Ok(())
}

fn is_for(info: &CertInfo, name: &ServerName<'_>) -> bool {
    match name {
        ServerName::DnsName(name) => info.is_for_host(name.as_ref()),
        ServerName::IpAddress(address) => info.is_for_address((*address).into()),
        _ => false,
    }
}

const BAD_ENCODING: Error = Error::InvalidCertificate(CertificateError::BadEncoding);
