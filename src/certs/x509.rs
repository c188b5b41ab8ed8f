//! The fields of a certificate that matter here: names, dates and key.
//!
//! Read by `x509-parser`, and not by the TLS library, because the reader must not be stricter than the peers
//! that will read the same bytes: an X.509 version 1 certificate is served like any other. Nothing read here
//! decides whom to trust; chains and signatures are left to the library.

use std::net::IpAddr;

use rustls::pki_types::{ServerName, SignatureVerificationAlgorithm};
use x509_parser::asn1_rs::{Any, BmpString, Oid, Tag};
use x509_parser::certificate::X509CertificateParser;
use x509_parser::extensions::{AuthorityKeyIdentifier, GeneralName, KeyIdentifier, SubjectAlternativeName};
use x509_parser::nom::Parser;
use x509_parser::oid_registry::{
    OID_X509_COMMON_NAME, OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER, OID_X509_EXT_SUBJECT_ALT_NAME,
    OID_X509_EXT_SUBJECT_KEY_IDENTIFIER,
};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::{AttributeTypeAndValue, SubjectPublicKeyInfo, X509Name};

/// Who a client is, according to its certificate. Meaningful only if the certificate was verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientIdentity {
    /// The subject's common name; the last one if there are several, as the Python program has it.
    pub common_name: Option<String>,
    /// The subject's other names: host names, mail addresses, URIs and IP addresses, as they are written.
    pub alt_names: Vec<String>,
}

impl ClientIdentity {
    /// The identity in a certificate (DER, RFC 5280 section 4.1). `None` if it can't be read.
    pub fn of(certificate: &[u8]) -> Option<ClientIdentity> {
        let info = CertInfo::of(certificate)?;
        let mut alt_names: Vec<String> = info.hosts.clone();
        alt_names.extend(info.others);
        alt_names.extend(info.addresses.iter().map(IpAddr::to_string));
        Some(ClientIdentity { common_name: info.common_name, alt_names })
    }
}

/// A certificate's content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CertInfo {
    /// The subject's common name; the last one if there are several, as the Python program has it.
    pub(super) common_name: Option<String>,
    /// All of the subject's common names.
    common_names: Vec<String>,
    /// Whether there is a list of alternative names: then no common name counts as an address.
    pub(super) has_alt_names: bool,
    /// Whether that has host names, or can't be read: then no common name counts as a host name.
    pub(super) has_host_names: bool,
    /// DNS names.
    pub(super) hosts: Vec<String>,
    /// IP addresses.
    pub(super) addresses: Vec<IpAddr>,
    /// Mail addresses and URIs.
    pub(super) others: Vec<String>,
    /// Seconds since 1970 from which on it is valid.
    pub(super) not_before: i64,
    /// Seconds since 1970 up to which it is valid.
    pub(super) not_after: i64,
    /// The public key with its type (SubjectPublicKeyInfo, in DER).
    pub(super) public_key: Vec<u8>,
}

impl CertInfo {
    /// Reads a certificate (DER). `None` if it is none.
    pub(super) fn of(certificate: &[u8]) -> Option<CertInfo> {
        let (_, certificate) = parser().parse(certificate).ok()?;
        let mut info = CertInfo {
            common_name: common_name(certificate.subject()),
            common_names: certificate.subject().iter_common_name().filter_map(text).collect(),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            public_key: certificate.public_key().raw.to_vec(),
            ..CertInfo::default()
        };
        let mut extensions = certificate.extensions().iter();
        if let Some(names) = extensions.find(|extension| extension.oid == OID_X509_EXT_SUBJECT_ALT_NAME) {
            // If the list is unreadable, the common name still does not count.
            info.has_alt_names = true;
            match SubjectAlternativeName::from_der(names.value) {
                Ok((_, names)) => info.read_names(&names.general_names),
                Err(_) => info.has_host_names = true,
            }
        }
        Some(info)
    }

    /// Whether the certificate is for the host `name`: by its alternative names, or by a common name if there are
    /// no host names among them.
    pub(super) fn is_for_host(&self, name: &str) -> bool {
        self.is_exactly_for(name) || self.host_names().any(|pattern| wildcard_matches(pattern, name))
    }

    /// As [`CertInfo::is_for_host`], without wildcards.
    pub(super) fn is_exactly_for(&self, name: &str) -> bool {
        self.host_names().any(|host| host.eq_ignore_ascii_case(name))
    }

    /// Whether the certificate is for the address `address`. Without alternative names a common name that is
    /// an address counts.
    pub(super) fn is_for_address(&self, address: IpAddr) -> bool {
        let common = self.common_names.last().filter(|_| !self.has_alt_names);
        self.addresses.contains(&address) || common.is_some_and(|name| name.parse() == Ok(address))
    }

    /// Whether the certificate is for `name` by its alternative names alone.
    pub(super) fn has_alternative_for(&self, name: &ServerName<'_>) -> bool {
        match name {
            ServerName::DnsName(name) => self.hosts.iter().any(|pattern| {
                pattern.eq_ignore_ascii_case(name.as_ref()) || wildcard_matches(pattern, name.as_ref())
            }),
            ServerName::IpAddress(address) => self.addresses.contains(&(*address).into()),
            _ => false,
        }
    }

    /// The names of hosts that it is for.
    pub(super) fn host_names(&self) -> impl Iterator<Item = &str> {
        let common = self.common_names.iter().filter(|_| !self.has_host_names);
        self.hosts.iter().chain(common).map(String::as_str)
    }

    fn read_names(&mut self, names: &[GeneralName<'_>]) {
        for name in names {
            match *name {
                GeneralName::DNSName(host) => {
                    self.has_host_names = true;
                    self.hosts.push(host.to_owned());
                }
                GeneralName::RFC822Name(other) | GeneralName::URI(other) => {
                    self.others.push(other.to_owned())
                }
                GeneralName::IPAddress(bytes) => {
                    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
                    self.addresses.extend(four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)));
                }
                _ => {}
            }
        }
    }
}

/// Subject and issuer, encoded, without tag and length.
pub(super) struct Names<'c> {
    pub(super) subject: &'c [u8],
    pub(super) issuer: &'c [u8],
}

impl Names<'_> {
    /// Skips to the names of a certificate (DER, RFC 5280 section 4.1) without reading the rest: there may be
    /// hundreds to compare. `None` if it is none.
    pub(super) fn of(certificate: &[u8]) -> Option<Names<'_>> {
        let (_, certificate) = Any::from_der(certificate).ok()?;
        let (_, fields) = Any::from_der(certificate.data).ok()?;
        let (mut rest, first) = Any::from_der(fields.data).ok()?;
        // Certificates of version 1 have no version, and begin with the serial number.
        if first.header.is_contextspecific() {
            (rest, _) = Any::from_der(rest).ok()?;
        }
        let (rest, _algorithm) = Any::from_der(rest).ok()?;
        let (rest, issuer) = Any::from_der(rest).ok()?;
        let (rest, _validity) = Any::from_der(rest).ok()?;
        let (_, subject) = Any::from_der(rest).ok()?;
        Some(Names { subject: subject.data, issuer: issuer.data })
    }

    /// Whether it names itself as its issuer, as a self-signed certificate does.
    pub(super) fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }
}

/// The keys that a certificate names, by numbers that their owners chose.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct KeyIds {
    /// Its own (SubjectKeyIdentifier).
    pub(super) subject: Option<Vec<u8>>,
    /// That of its issuer (AuthorityKeyIdentifier).
    pub(super) authority: Option<Vec<u8>>,
}

impl KeyIds {
    /// Reads them (DER). `None` if that is not a certificate.
    pub(super) fn of(certificate: &[u8]) -> Option<KeyIds> {
        let (_, certificate) = parser().parse(certificate).ok()?;
        let value = |oid: Oid<'_>| {
            certificate.extensions().iter().find(|extension| extension.oid == oid).map(|found| found.value)
        };
        let own =
            value(OID_X509_EXT_SUBJECT_KEY_IDENTIFIER).and_then(|value| KeyIdentifier::from_der(value).ok());
        let authority = value(OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER)
            .and_then(|value| AuthorityKeyIdentifier::from_der(value).ok())
            .and_then(|(_, authority)| authority.key_identifier);
        Some(KeyIds {
            subject: own.map(|(_, id)| id.0.to_vec()),
            authority: authority.map(|id| id.0.to_vec()),
        })
    }
}

/// What a certificate's issuer has signed, and how.
pub(super) struct Signed<'c> {
    content: &'c [u8],
    /// The AlgorithmIdentifier, without tag and length.
    algorithm: &'c [u8],
    signature: &'c [u8],
}

impl Signed<'_> {
    /// Of a certificate (DER, RFC 5280 section 4.1). `None` if it is none.
    pub(super) fn of(certificate: &[u8]) -> Option<Signed<'_>> {
        let ([], certificate) = Any::from_der(certificate).ok()? else { return None };
        let (rest, _) = Any::from_der(certificate.data).ok()?;
        let content = &certificate.data[..certificate.data.len() - rest.len()];
        let (rest, algorithm) = Any::from_der(rest).ok()?;
        let ([], signature) = Any::from_der(rest).ok()? else { return None };
        let [0, signature @ ..] = signature.data else { return None };
        Some(Signed { content, algorithm: algorithm.data, signature })
    }

    /// Whether the key (SubjectPublicKeyInfo, in DER) has signed it, by one of these algorithms.
    pub(super) fn is_by(&self, key: &[u8], known: &[&dyn SignatureVerificationAlgorithm]) -> bool {
        let Ok((_, info)) = Any::from_der(key) else { return false };
        let Ok((rest, kind)) = Any::from_der(info.data) else { return false };
        let Ok((_, bits)) = Any::from_der(rest) else { return false };
        let [0, bits @ ..] = bits.data else { return false };
        let mut fitting = known.iter().filter(|known| {
            known.signature_alg_id().as_ref() == self.algorithm
                && known.public_key_alg_id().as_ref() == kind.data
        });
        fitting.any(|known| known.verify_signature(bits, self.content, self.signature).is_ok())
    }
}

/// The public key of a certificate (DER) with its type (SubjectPublicKeyInfo, in DER).
pub(super) fn public_key(certificate: &[u8]) -> Option<Vec<u8>> {
    let (_, certificate) = parser().parse(certificate).ok()?;
    Some(certificate.public_key().raw.to_vec())
}

/// The first of the elements (DER) that `bytes` has.
pub(super) fn first_element(bytes: &[u8]) -> Option<&[u8]> {
    let (rest, _) = Any::from_der(bytes).ok()?;
    Some(&bytes[..bytes.len() - rest.len()])
}

/// Only a few extensions matter here; this reader need not find damage in the others.
pub(super) fn parser() -> X509CertificateParser {
    X509CertificateParser::new().with_deep_parse_extensions(false)
}

/// The bits of a key (SubjectPublicKeyInfo, in DER), without its type, which can be written in more than one way.
pub(super) fn key_bits(info: &[u8]) -> Option<Vec<u8>> {
    let (_, info) = SubjectPublicKeyInfo::from_der(info).ok()?;
    Some(info.subject_public_key.data.into_owned())
}

/// The length of an RSA key (SubjectPublicKeyInfo, in DER) in bits; `None` for other kinds.
pub(super) fn rsa_bits(info: &[u8]) -> Option<usize> {
    let (_, info) = SubjectPublicKeyInfo::from_der(info).ok()?;
    match info.parsed().ok()? {
        PublicKey::RSA(key) => Some(key.key_size()),
        _ => None,
    }
}

/// The common name that the Python program knows a client by: the last one, and of a multi-valued RDN only
/// the first attribute. If it can't be read, there is none, and no other replaces it.
fn common_name(subject: &X509Name<'_>) -> Option<String> {
    let firsts = subject.iter_rdn().filter_map(|part| part.iter().next());
    firsts.filter(|first| *first.attr_type() == OID_X509_COMMON_NAME).last().and_then(text)
}

/// A DirectoryString.
fn text(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    let value = attribute.attr_value();
    match value.tag() {
        // Latin-1 in practice.
        Tag::T61String => Some(value.data.iter().map(|&byte| char::from(byte)).collect()),
        Tag::BmpString => BmpString::try_from(value.clone()).ok().map(|text| text.string()),
        _ => attribute.as_str().ok().map(str::to_owned),
    }
}

/// Whether a pattern such as `*.example.com` is for `name`: the star stands for exactly one label, which is
/// the first (RFC 6125 section 6.4.3).
fn wildcard_matches(pattern: &str, name: &str) -> bool {
    let Some(suffix) = pattern.strip_prefix("*.") else { return false };
    match name.split_once('.') {
        Some((label, rest)) => !label.is_empty() && rest.eq_ignore_ascii_case(suffix),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair, SanType};
    use x509_parser::time::ASN1Time;

    fn made(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = CertificateParams::default();
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("a certificate").der().to_vec()
    }

    #[test]
    fn names_of_every_kind_are_read() {
        let der = made(|params| {
            params.distinguished_name.push(DnType::CommonName, "Jürgen");
            params.subject_alt_names = vec![
                SanType::DnsName("a.example".try_into().expect("ascii")),
                SanType::DnsName("*.b.example".try_into().expect("ascii")),
                SanType::Rfc822Name("me@example".try_into().expect("ascii")),
                SanType::URI("spiffe://example/me".try_into().expect("ascii")),
                SanType::IpAddress([192, 0, 2, 1].into()),
                SanType::IpAddress("2001:db8::1".parse().expect("an address")),
            ];
        });
        let identity = ClientIdentity::of(&der).expect("a certificate");
        assert_eq!(identity.common_name.as_deref(), Some("Jürgen"));
        assert_eq!(
            identity.alt_names,
            ["a.example", "*.b.example", "me@example", "spiffe://example/me", "192.0.2.1", "2001:db8::1"]
        );
        let info = CertInfo::of(&der).expect("a certificate");
        assert!(info.is_for_host("A.Example") && info.is_for_host("x.b.example"));
        assert!(info.is_exactly_for("a.example") && !info.is_exactly_for("x.b.example"));
        for other in ["b.example", "x.y.b.example", ".b.example", "jürgen", "xa.example", ""] {
            assert!(!info.is_for_host(other), "{other}");
        }
        assert!(info.is_for_address([192, 0, 2, 1].into()) && !info.is_for_address([192, 0, 2, 2].into()));
    }

    #[test]
    fn the_common_name_counts_only_without_alternative_names_of_its_kind() {
        let common = |name: &str, sans: Vec<SanType>| {
            let der = made(|params| {
                params.distinguished_name.push(DnType::CommonName, name);
                params.subject_alt_names = sans;
            });
            CertInfo::of(&der).expect("a certificate")
        };
        assert!(common("host.example", vec![]).is_for_host("host.example"));
        assert!(common("192.0.2.7", vec![]).is_for_address([192, 0, 2, 7].into()));
        let mail = vec![SanType::Rfc822Name("me@example".try_into().expect("ascii"))];
        assert!(common("host.example", mail).is_for_host("host.example"));
        let address = || vec![SanType::IpAddress([192, 0, 2, 1].into())];
        assert!(common("host.example", address()).is_for_host("host.example"));
        assert!(!common("192.0.2.7", address()).is_for_address([192, 0, 2, 7].into()));
        let host = vec![SanType::DnsName("other.example".try_into().expect("ascii"))];
        assert!(!common("host.example", host).is_for_host("host.example"));
    }

    #[test]
    fn a_list_of_alternative_names_that_can_t_be_read_still_rules_the_common_name_out() {
        let mut der = made(|params| {
            params.distinguished_name.push(DnType::CommonName, "host.example");
            params.subject_alt_names = vec![SanType::IpAddress([192, 0, 2, 1].into())];
        });
        // The extension's name, the length of its value, and the sequence therein.
        let list = [0x55, 0x1d, 0x11, 0x04, 0x08, 0x30];
        let at = der.windows(list.len()).position(|bytes| bytes == list).expect("the list");
        der[at + 5] = 0x31;
        let info = CertInfo::of(&der).expect("a certificate");
        assert!(info.has_alt_names && !info.is_for_host("host.example"));
    }

    #[test]
    fn a_certificate_from_before_1970_is_read() {
        let der = made(|params| params.not_before = rcgen::date_time_ymd(1950, 1, 1));
        assert_eq!(CertInfo::of(&der).expect("a certificate").not_before, -631_152_000);
    }

    #[test]
    fn old_kinds_of_text_are_read() {
        let teletex = |text: &str| DnValue::TeletexString(text.try_into().expect("ascii"));
        for (value, expected) in [
            (teletex("old"), "old"),
            (DnValue::BmpString("wide ü".try_into().expect("in the plane")), "wide ü"),
            (DnValue::PrintableString("plain".try_into().expect("ascii")), "plain"),
        ] {
            let der = made(|params| params.distinguished_name.push(DnType::CommonName, value));
            assert_eq!(
                ClientIdentity::of(&der).expect("a certificate").common_name.as_deref(),
                Some(expected)
            );
        }
    }

    #[test]
    fn a_name_that_can_not_be_read_is_none_and_no_other_stands_in_for_it() {
        let again = DnType::CustomDnType(vec![2, 5, 4, 3]);
        let mut der = made(|params| {
            params.distinguished_name.push(DnType::CommonName, "alice");
            params.distinguished_name.push(again, "J\u{fc}rgen");
        });
        let name = |der: &[u8]| ClientIdentity::of(der).expect("a certificate").common_name;
        assert_eq!(name(&der).as_deref(), Some("J\u{fc}rgen"));
        for at in 0..der.len() - 1 {
            if der[at..at + 2] == [0xc3, 0xbc] {
                der[at] = 0xff;
            }
        }
        assert_eq!(name(&der), None);
    }

    #[test]
    fn both_forms_of_time_are_read() {
        for (tag, text, expected) in [
            (Tag::UtcTime, "700101000000Z", Some(0)),
            (Tag::UtcTime, "261122131022Z", Some(1_795_353_022)),
            (Tag::UtcTime, "500101000000Z", Some(-631_152_000)),
            (Tag::UtcTime, "491231235959Z", Some(2_524_607_999)),
            (Tag::GeneralizedTime, "20240229120000Z", Some(1_709_208_000)),
            (Tag::GeneralizedTime, "99991231235959Z", Some(253_402_300_799)),
            (Tag::GeneralizedTime, "20241329120000Z", None),
            (Tag::GeneralizedTime, "2024022912000Z", None),
            (Tag::UtcTime, "2611221310Z", Some(1_795_353_000)),
            (Tag::UtcTime, "26112213102+Z", None),
            (Tag::Utf8String, "261122131022Z", None),
        ] {
            let der = [&[tag.0 as u8, text.len() as u8], text.as_bytes()].concat();
            let seconds = ASN1Time::from_der(&der).ok().map(|(_, time)| time.timestamp());
            assert_eq!(seconds, expected, "{text}");
        }
    }

    #[test]
    fn a_certificate_that_is_cut_off_or_damaged_is_no_reason_to_panic() {
        let der = made(|params| {
            params.distinguished_name.push(DnType::CommonName, "name");
            params.subject_alt_names = vec![SanType::IpAddress([192, 0, 2, 1].into())];
        });
        for end in 0..der.len() {
            assert_eq!(CertInfo::of(&der[..end]), None, "{end}");
        }
        for at in 0..der.len() {
            for value in 0..=u8::MAX {
                let mut der = der.clone();
                der[at] = value;
                let _ = CertInfo::of(&der);
            }
        }
    }
}
