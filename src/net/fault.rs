//! What breaks a connection, and TLS errors in words that tell an operator what to do.

use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible, PeerMisbehaved};

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

    /// The options that would let us connect to a target whose certificate was rejected, in words; `None` if
    /// something else is wrong.
    pub fn remedy(&self) -> Option<&'static str> {
        let Error::InvalidCertificate(why) = &self.0.1 else { return None };
        Some(match why {
            CertificateError::UnknownIssuer => "use --ssl-target-ca FILE or --ssl-target-insecure",
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "use --ssl-target-name NAME or --ssl-target-insecure"
            }
            _ => "--ssl-target-insecure would ignore this",
        })
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
                // A target's fault has a log line of its own.
                if *peer == Side::Client {
                    f.write_str("client's ")?;
                }
                certificate(why, f)
            }
            Error::DecryptError => f.write_str("a record was damaged or does not belong to this session"),
            Error::PeerMisbehaved(PeerMisbehaved::ServerNameMustContainOneHostName) => {
                write!(f, "{peer}'s name for us (SNI) is not a host name, so the TLS library refuses it")
            }
            Error::PeerMisbehaved(why) => write!(f, "{peer} broke the protocol: {}", words(why)),
            Error::InvalidMessage(why) => write!(f, "{peer} sent a malformed message: {}", words(why)),
            Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
                write!(f, "{peer} sent a message out of turn")
            }
            Error::General(text) => f.write_str(text),
            error => write!(f, "TLS failed: {}", words(error)),
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
/// a certificate they don't like; all of these are about our certificate.
fn received(peer: Side, alert: AlertDescription, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let about_ours = match alert {
        AlertDescription::UnknownCA => "unknown CA",
        AlertDescription::BadCertificate => "bad certificate",
        AlertDescription::UnsupportedCertificate => "unsupported certificate",
        AlertDescription::CertificateRevoked => "revoked",
        AlertDescription::CertificateExpired => "expired",
        AlertDescription::CertificateUnknown => "certificate unknown",
        AlertDescription::AccessDenied => return write!(f, "{peer} denied access"),
        AlertDescription::CertificateRequired => return write!(f, "{peer} requires a certificate from us"),
        AlertDescription::ProtocolVersion => return f.write_str("no shared protocol version"),
        AlertDescription::InsufficientSecurity => {
            return write!(f, "{peer} finds our cipher suites too weak");
        }
        AlertDescription::UnrecognisedName => return write!(f, "{peer} does not serve this name"),
        AlertDescription::HandshakeFailure => {
            return write!(f, "{peer} found nothing in common, or needs a certificate from us");
        }
        AlertDescription::CloseNotify | AlertDescription::UserCanceled => {
            return write!(f, "{peer} left during the handshake");
        }
        AlertDescription::Unknown(code) => return write!(f, "{peer} gave up: alert {code}"),
        other => return write!(f, "{peer} gave up: {}", words(&other)),
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

/// Why a certificate is not accepted, in few words.
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
        CertificateError::NotValidForName => "certificate is for another name",
        CertificateError::NotValidForNameContext { expected, presented } => {
            let (expected, names) = (expected.to_str(), names(presented));
            return write!(f, "certificate is for another name ({names}, and not {expected})");
        }
        CertificateError::BadEncoding => "certificate can't be read",
        CertificateError::BadSignature => "certificate's signature is wrong",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "certificate is not for this purpose"
        }
        other => return write!(f, "certificate is not accepted: {}", words(other)),
    })
}

/// The name of one of the library's variants, as words: the library has no text for rare errors, and a
/// variant's fields are not meant for people.
fn words(variant: &dyn fmt::Debug) -> String {
    let name = format!("{variant:?}");
    let name = name.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
    let mut out = String::with_capacity(name.len() + 8);
    let mut before = ' ';
    for c in name.chars() {
        if c.is_ascii_uppercase() && before.is_ascii_lowercase() {
            out.push(' ');
        }
        out.push(c.to_ascii_lowercase());
        before = c;
    }
    out
}

/// A few of the names in a certificate, taken from the library's forms such as `DnsName("a.example")`.
fn names(presented: &[String]) -> String {
    let plain = |name: &String| match name.split_once('"') {
        Some((_, rest)) => rest.trim_end_matches(['"', ')']).to_owned(),
        None => name.clone(),
    };
    let shown: Vec<String> = presented.iter().take(NAMES_SHOWN).map(plain).collect();
    match (shown.is_empty(), presented.len() > NAMES_SHOWN) {
        (true, _) => "it has none".to_owned(),
        (false, false) => shown.join(", "),
        (false, true) => format!("{}, ...", shown.join(", ")),
    }
}

/// Names of a certificate in a log line.
const NAMES_SHOWN: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::CertRevocationListError;
    use rustls::pki_types::ServerName;

    #[test]
    fn each_cause_of_disbelief_has_the_options_that_cure_it() {
        for (why, cure) in [
            (CertificateError::UnknownIssuer, "use --ssl-target-ca FILE or --ssl-target-insecure"),
            (CertificateError::NotValidForName, "use --ssl-target-name NAME or --ssl-target-insecure"),
            (CertificateError::Expired, "--ssl-target-insecure would ignore this"),
            (CertificateError::NotValidYet, "--ssl-target-insecure would ignore this"),
        ] {
            let fault = Fault::new(Side::Target, Error::InvalidCertificate(why));
            assert_eq!(fault.remedy(), Some(cure), "{fault}");
        }
        assert_eq!(Fault::new(Side::Target, Error::DecryptError).remedy(), None);
    }

    #[test]
    fn no_form_of_the_library_is_shown_to_people() {
        let expected = ServerName::try_from("vm1.example").expect("a name");
        let presented = vec!["DnsName(\"a.example\")".to_owned(), "b.example".to_owned()];
        let context = CertificateError::NotValidForNameContext { expected, presented };
        for (error, text) in [
            (
                Error::InvalidCertificate(context),
                "certificate is for another name (a.example, b.example, and not vm1.example)",
            ),
            (
                Error::PeerMisbehaved(PeerMisbehaved::DuplicateClientHelloExtensions),
                "target broke the protocol: duplicate client hello extensions",
            ),
            (
                Error::InvalidMessage(InvalidMessage::MissingData("ServerName")),
                "target sent a malformed message: missing data",
            ),
            (Error::AlertReceived(AlertDescription::RecordOverflow), "target gave up: record overflow"),
            (Error::AlertReceived(AlertDescription::Unknown(0xfe)), "target gave up: alert 254"),
            (
                Error::InvalidCertificate(CertificateError::UnhandledCriticalExtension),
                "certificate is not accepted: unhandled critical extension",
            ),
            (Error::HandshakeNotComplete, "TLS failed: handshake not complete"),
            (
                Error::InvalidCertRevocationList(CertRevocationListError::BadSignature),
                "TLS failed: invalid cert revocation list",
            ),
        ] {
            assert_eq!(Fault::new(Side::Target, error).to_string(), text);
        }
    }
}
