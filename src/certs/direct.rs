//! Certificates that a listed authority has issued itself, but that the library refuses for their form: those
//! of X.509 version 1, which `openssl x509 -req` makes without an extensions file, and those that claim to be
//! an authority. OpenSSL accepts both.
//!
//! Everything that OpenSSL checks of two certificates is checked here: names, key identifiers, signature,
//! dates, permitted uses, and that no unknown extension is critical. Longer chains are never accepted here.

use rustls::CertificateError;
use rustls::pki_types::{CertificateDer, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{BasicConstraints, ExtendedKeyUsage, KeyUsage, NSCertType};
use x509_parser::nom::Parser;
use x509_parser::oid_registry::{
    OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER, OID_X509_EXT_BASIC_CONSTRAINTS, OID_X509_EXT_CERT_TYPE,
    OID_X509_EXT_CERTIFICATE_POLICIES, OID_X509_EXT_CRL_DISTRIBUTION_POINTS, OID_X509_EXT_EXTENDED_KEY_USAGE,
    OID_X509_EXT_KEY_USAGE, OID_X509_EXT_NAME_CONSTRAINTS, OID_X509_EXT_SUBJECT_ALT_NAME,
    OID_X509_EXT_SUBJECT_KEY_IDENTIFIER, Oid,
};
use x509_parser::prelude::{FromDer, X509Version};

use super::checks;
use super::x509::{KeyIds, Names, Signed, parser};

/// What a certificate is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Client,
    Server,
}

/// Whether `leaf` has a form that the library refuses and that is handled here.
pub(super) fn is_of_such_a_form(leaf: &[u8]) -> bool {
    parser()
        .parse(leaf)
        .is_ok_and(|(_, leaf)| leaf.version() == X509Version::V1 || is_authority(&leaf) == Ok(true))
}

/// Checks `leaf` except for its name, which the caller checks. To be called within a limit for signature
/// checks.
///
/// # Errors
/// What is wrong with it.
pub(super) fn verify(
    leaf: &[u8],
    authorities: &[CertificateDer<'_>],
    purpose: Purpose,
    now: UnixTime,
) -> Result<(), CertificateError> {
    let (_, cert) = parser().parse(leaf).map_err(|_| CertificateError::BadEncoding)?;
    let names = Names::of(leaf).ok_or(CertificateError::BadEncoding)?;
    let ids = KeyIds::of(leaf).ok_or(CertificateError::BadEncoding)?;
    let signed = Signed::of(leaf).ok_or(CertificateError::BadEncoding)?;
    // The signed part names the algorithm, too.
    if cert.tbs_certificate.signature != cert.signature_algorithm {
        return Err(CertificateError::BadEncoding);
    }
    is_usable(&cert, purpose, now)?;
    let usage = key_usage(&cert)?;
    let does_handshakes = |usage: KeyUsage| match purpose {
        Purpose::Client => usage.digital_signature() || usage.key_agreement(),
        Purpose::Server => usage.digital_signature() || usage.key_encipherment() || usage.key_agreement(),
    };
    let serves = |kinds: NSCertType| match purpose {
        Purpose::Client => kinds.ssl_client(),
        Purpose::Server => kinds.ssl_server(),
    };
    let kinds = read::<NSCertType>(&cert, &OID_X509_EXT_CERT_TYPE)?;
    if !usage.is_none_or(does_handshakes) || !kinds.is_none_or(serves) {
        return Err(CertificateError::InvalidPurpose);
    }
    let mut found = Err(CertificateError::UnknownIssuer);
    let namesakes =
        authorities.iter().filter(|der| Names::of(der).is_some_and(|of| of.subject == names.issuer));
    for authority in namesakes.take(TRIED_MAX) {
        let Ok((_, issuer)) = parser().parse(authority) else { continue };
        let its_own = KeyIds::of(authority).and_then(|ids| ids.subject);
        if ids.authority.is_some() && its_own.is_some() && ids.authority != its_own {
            continue;
        }
        let verified = signed.is_by(issuer.public_key().raw, checks::algorithms());
        match verified.then(|| may_issue(&issuer, purpose, now)) {
            Some(Ok(())) => return Ok(()),
            Some(Err(error)) => found = Err(error),
            None => {}
        }
    }
    found
}

/// Whether an authority that has signed a certificate was allowed to.
fn may_issue(issuer: &X509Certificate<'_>, purpose: Purpose, now: UnixTime) -> Result<(), CertificateError> {
    is_usable(issuer, purpose, now)?;
    // Name constraints are not supported here.
    if issuer.extensions().iter().any(|extension| extension.oid == OID_X509_EXT_NAME_CONSTRAINTS) {
        return Err(CertificateError::UnhandledCriticalExtension);
    }
    let signs = key_usage(issuer)?.map(|usage| usage.key_cert_sign());
    // One without extensions is an authority because it is in the list.
    let is_one = match (basic_constraints(issuer)?, signs) {
        (Some(constraints), _) => constraints.ca,
        (None, Some(_)) => true,
        (None, None) => issuer.version() == X509Version::V1,
    };
    match is_one && signs != Some(false) {
        true => Ok(()),
        false => Err(CertificateError::UnknownIssuer),
    }
}

/// Checks dates, purposes and critical extensions, as for both certificates.
fn is_usable(cert: &X509Certificate<'_>, purpose: Purpose, now: UnixTime) -> Result<(), CertificateError> {
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now < cert.validity().not_before.timestamp() {
        return Err(CertificateError::NotValidYet);
    }
    if now > cert.validity().not_after.timestamp() {
        return Err(CertificateError::Expired);
    }
    let mut seen: Vec<&Oid<'_>> = Vec::new();
    for extension in cert.extensions() {
        if extension.critical && !KNOWN.contains(&extension.oid) {
            return Err(CertificateError::UnhandledCriticalExtension);
        }
        if seen.contains(&&extension.oid) {
            return Err(CertificateError::BadEncoding);
        }
        seen.push(&extension.oid);
    }
    let serves = |purposes: ExtendedKeyUsage<'_>| match purpose {
        Purpose::Client => purposes.client_auth,
        Purpose::Server => purposes.server_auth,
    };
    let purposes = read::<ExtendedKeyUsage<'_>>(cert, &OID_X509_EXT_EXTENDED_KEY_USAGE)?;
    match purposes.is_none_or(serves) {
        true => Ok(()),
        false => Err(CertificateError::InvalidPurpose),
    }
}

fn is_authority(cert: &X509Certificate<'_>) -> Result<bool, CertificateError> {
    Ok(basic_constraints(cert)?.is_some_and(|constraints| constraints.ca))
}

fn basic_constraints(cert: &X509Certificate<'_>) -> Result<Option<BasicConstraints>, CertificateError> {
    read(cert, &OID_X509_EXT_BASIC_CONSTRAINTS)
}

fn key_usage(cert: &X509Certificate<'_>) -> Result<Option<KeyUsage>, CertificateError> {
    read(cert, &OID_X509_EXT_KEY_USAGE)
}

fn read<'c, T: FromDer<'c, x509_parser::error::X509Error>>(
    cert: &X509Certificate<'c>,
    oid: &Oid<'_>,
) -> Result<Option<T>, CertificateError> {
    let Some(found) = cert.extensions().iter().find(|extension| extension.oid == *oid) else {
        return Ok(None);
    };
    match T::from_der(found.value) {
        Ok(([], value)) => Ok(Some(value)),
        Ok(_) | Err(_) => Err(CertificateError::BadEncoding),
    }
}

/// Extensions that are evaluated, here or for names, and those that OpenSSL only accepts.
const KNOWN: [Oid<'static>; 9] = [
    OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER,
    OID_X509_EXT_CERTIFICATE_POLICIES,
    OID_X509_EXT_CRL_DISTRIBUTION_POINTS,
    OID_X509_EXT_SUBJECT_KEY_IDENTIFIER,
    OID_X509_EXT_BASIC_CONSTRAINTS,
    OID_X509_EXT_KEY_USAGE,
    OID_X509_EXT_EXTENDED_KEY_USAGE,
    OID_X509_EXT_SUBJECT_ALT_NAME,
    OID_X509_EXT_CERT_TYPE,
];

/// Authorities of one name whose keys are tried.
const TRIED_MAX: usize = 4;
