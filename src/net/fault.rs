//! What breaks a connection, and what goes wrong in TLS in words that tell an operator what to do.

use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

use crate::id::Side;

/// Why nothing more can be read or written.
#[derive(Debug)]
pub enum Broken {
    /// The system's word.
    System(io::ErrorKind),
    /// The stream ended, but its TLS session did not: something may be missing.
    Truncated,
    /// What TLS found wrong.
    Tls(Fault),
}

/// Why a session of TLS is broken.
#[derive(Debug)]
pub struct Fault(Box<(Side, Error)>);

impl Fault {
    /// What rustls found wrong with what `peer` sent or has.
    pub fn new(peer: Side, error: Error) -> Fault {
        Fault(Box::new((peer, error)))
    }

    /// Whether the peer's certificate was looked at and not believed.
    pub fn is_verification(&self) -> bool {
        matches!(self.0.1, Error::InvalidCertificate(_))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (peer, error) = &*self.0;
        match error {
            Error::AlertReceived(alert) => received(*peer, *alert, f),
            Error::PeerIncompatible(why) => f.write_str(incompatible(why)),
            Error::InvalidMessage(
                InvalidMessage::InvalidContentType
                | InvalidMessage::UnknownProtocolVersion
                | InvalidMessage::MessageTooLarge
                | InvalidMessage::InvalidEmptyPayload,
            ) => f.write_str("not TLS"),
            Error::NoCertificatesPresented => write!(f, "{peer} showed no certificate"),
            Error::InvalidCertificate(why) => {
                // A target's is told in a line that is about nothing else.
                if *peer == Side::Client {
                    f.write_str("client's ")?;
                }
                certificate(why, f)
            }
            Error::DecryptError => f.write_str("a record was damaged or is not of this session"),
            Error::PeerMisbehaved(why) => write!(f, "{peer} broke the protocol: {why:?}"),
            Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
                write!(f, "{peer} sent a message out of turn")
            }
            error => error.fmt(f),
        }
    }
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Broken {
        Broken::System(error.kind())
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::System(kind) => kind.fmt(f),
            Broken::Truncated => f.write_str("cut off without a close_notify"),
            Broken::Tls(fault) => fault.fmt(f),
        }
    }
}

/// What the peer's alert means (RFC 8446 section 6.2). OpenSSL and browsers differ in which one they send for
/// a certificate they don't like; all of them are about ours.
fn received(peer: Side, alert: AlertDescription, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let about_ours = match alert {
        AlertDescription::UnknownCA => "unknown CA",
        AlertDescription::BadCertificate => "bad certificate",
        AlertDescription::UnsupportedCertificate => "unsupported certificate",
        AlertDescription::CertificateRevoked => "revoked",
        AlertDescription::CertificateExpired => "expired",
        AlertDescription::CertificateUnknown => "certificate unknown",
        AlertDescription::AccessDenied => return write!(f, "{peer} denied access"),
        AlertDescription::CertificateRequired => return write!(f, "{peer} requires a certificate of ours"),
        AlertDescription::ProtocolVersion => return f.write_str("no shared protocol version"),
        AlertDescription::InsufficientSecurity => {
            return write!(f, "{peer} finds our cipher suites too weak");
        }
        AlertDescription::UnrecognisedName => return write!(f, "{peer} does not serve this name"),
        AlertDescription::HandshakeFailure => {
            return write!(f, "{peer} found nothing in common, or needs a certificate of ours");
        }
        AlertDescription::CloseNotify | AlertDescription::UserCanceled => {
            return write!(f, "{peer} left during the handshake");
        }
        other => return write!(f, "{peer} gave up: {other:?}"),
    };
    write!(f, "{peer} rejected the certificate: {about_ours}")
}

fn incompatible(why: &PeerIncompatible) -> &'static str {
    match why {
        PeerIncompatible::NoCipherSuitesInCommon => "no shared cipher suite",
        PeerIncompatible::NoKxGroupsInCommon
        | PeerIncompatible::NamedGroupsExtensionRequired
        | PeerIncompatible::EcPointsExtensionRequired
        | PeerIncompatible::NoEcPointFormatsInCommon
        | PeerIncompatible::UncompressedEcPointsRequired
        | PeerIncompatible::KeyShareExtensionRequired => "no shared key exchange group",
        PeerIncompatible::NoSignatureSchemesInCommon
        | PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon => "no shared signature scheme",
        // Only hellos of TLS 1.1 and older come without it.
        PeerIncompatible::SignatureAlgorithmsExtensionRequired
        | PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::SupportedVersionsExtensionRequired
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled => "no shared protocol version",
        PeerIncompatible::ExtendedMasterSecretExtensionRequired => {
            "no shared protocol version: TLS 1.2 without extended master secret"
        }
        _ => "nothing in common",
    }
}

/// Why a certificate is not believed, in few words.
fn certificate(why: &CertificateError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "certificate has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "certificate is not valid yet"
        }
        CertificateError::Revoked => "certificate is revoked",
        CertificateError::UnknownIssuer => {
            "certificate has an unknown issuer (self-signed, or a CA that is not trusted)"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "certificate is for another name"
        }
        CertificateError::BadEncoding => "certificate can't be read",
        CertificateError::BadSignature => "certificate's signature is wrong",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "certificate is not for this purpose"
        }
        other => return write!(f, "certificate is not believed: {other}"),
    })
}
