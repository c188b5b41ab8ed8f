//! What a certificate says about itself, as far as it decides something here: names, dates and key.
//!
//! A reader of its own, and not that of the TLS library, because it must not be stricter than the peers that
//! will read the same bytes: an X.509 version 1 certificate is served like any other. It never decides
//! whom to trust; chains and signatures are the library's.

use std::net::IpAddr;

/// Who a client is, by its certificate. Worth something only for a certificate that was verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientIdentity {
    /// The subject's common name; the last one if there are several.
    pub common_name: Option<String>,
    /// The subject's other names: host names, mail addresses, URIs and IP addresses, as they are written.
    pub alt_names: Vec<String>,
}

impl ClientIdentity {
    /// The identity in a certificate (DER, RFC 5280 section 4.1). `None` if it can't be read.
    pub fn of(certificate: &[u8]) -> Option<ClientIdentity> {
        let facts = Facts::of(certificate)?;
        let mut alt_names: Vec<String> = facts.hosts.clone();
        alt_names.extend(facts.others);
        alt_names.extend(facts.addresses.iter().map(IpAddr::to_string));
        Some(ClientIdentity { common_name: facts.common_name, alt_names })
    }
}

/// A certificate's content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// The subject's common name; the last one if there are several.
    pub(super) common_name: Option<String>,
    /// Whether there is a list of alternative names, which then counts instead of the common name.
    pub(super) has_alt_names: bool,
    /// DNS names.
    pub(super) hosts: Vec<String>,
    /// IP addresses.
    pub(super) addresses: Vec<IpAddr>,
    /// Mail addresses and URIs.
    pub(super) others: Vec<String>,
    /// Seconds since 1970 from which on it is valid, if that could be read.
    pub(super) not_before: Option<i64>,
    /// Seconds since 1970 up to which it is valid, if that could be read.
    pub(super) not_after: Option<i64>,
    /// Whether it names itself as its issuer, as a self-signed certificate does.
    pub(super) is_self_issued: bool,
    /// The public key with its type (SubjectPublicKeyInfo, in DER).
    pub(super) public_key: Vec<u8>,
}

impl Facts {
    /// Reads a certificate (DER). `None` if it is none.
    pub(super) fn of(certificate: &[u8]) -> Option<Facts> {
        let mut outer = Der(Der(certificate).expect(SEQUENCE)?);
        let mut fields = Der(outer.expect(SEQUENCE)?);
        fields.optional(VERSION);
        fields.expect(INTEGER)?; // serial number
        fields.expect(SEQUENCE)?; // signature algorithm
        let issuer = fields.expect(SEQUENCE)?;
        let mut validity = Der(fields.expect(SEQUENCE)?);
        let (not_before, not_after) = (validity.next()?, validity.next()?);
        let subject = fields.expect(SEQUENCE)?;
        let mut facts = Facts {
            common_name: common_name(subject),
            not_before: seconds(not_before),
            not_after: seconds(not_after),
            is_self_issued: issuer == subject,
            public_key: fields.whole(SEQUENCE)?.to_vec(),
            ..Facts::default()
        };
        fields.optional(ISSUER_ID);
        fields.optional(SUBJECT_ID);
        if let Some(extensions) = fields.optional(EXTENSIONS)
            && let Some(names) = alt_names(extensions)
        {
            facts.has_alt_names = true;
            facts.read_names(names);
        }
        Some(facts)
    }

    /// Whether the certificate is for the host `name`: by its alternative names, or by the common name if it
    /// has none of them.
    pub(super) fn is_for_host(&self, name: &str) -> bool {
        self.is_exactly_for(name) || self.host_names().any(|pattern| wildcard_matches(pattern, name))
    }

    /// As [`Facts::is_for_host`], without wildcards.
    pub(super) fn is_exactly_for(&self, name: &str) -> bool {
        self.host_names().any(|host| host.eq_ignore_ascii_case(name))
    }

    /// Whether the certificate is for the address `address`. Without alternative names a common name that is
    /// an address counts.
    pub(super) fn is_for_address(&self, address: IpAddr) -> bool {
        let common = self.common_name.as_deref().filter(|_| !self.has_alt_names);
        self.addresses.contains(&address) || common.is_some_and(|name| name.parse() == Ok(address))
    }

    fn host_names(&self) -> impl Iterator<Item = &str> {
        let common = self.common_name.as_deref().filter(|_| !self.has_alt_names);
        self.hosts.iter().map(String::as_str).chain(common)
    }

    /// The names of a GeneralNames value (RFC 5280 section 4.2.1.6).
    fn read_names(&mut self, names: &[u8]) {
        let mut names = Der(names);
        while let Some((tag, value)) = names.next() {
            match (tag, value) {
                (DNS_NAME, _) => self.hosts.push(String::from_utf8_lossy(value).into_owned()),
                (MAIL | URI, _) => self.others.push(String::from_utf8_lossy(value).into_owned()),
                (ADDRESS, _) => {
                    let four = <[u8; 4]>::try_from(value).map(IpAddr::from);
                    self.addresses.extend(four.or_else(|_| <[u8; 16]>::try_from(value).map(IpAddr::from)));
                }
                _ => {}
            }
        }
    }
}

/// The bits of a key (SubjectPublicKeyInfo, in DER), without its type, which can be written in more than one way.
pub(super) fn key_bits(info: &[u8]) -> Option<&[u8]> {
    let mut info = Der(sequence(info)?);
    info.expect(SEQUENCE)?;
    info.expect(BIT_STRING)
}

/// The content of the outermost sequence, if `der` is one.
pub(super) fn sequence(der: &[u8]) -> Option<&[u8]> {
    Der(der).expect(SEQUENCE)
}

/// The last common name of a Name (RFC 5280 section 4.1.2.4).
fn common_name(subject: &[u8]) -> Option<String> {
    let mut found = None;
    let mut parts = Der(subject);
    while let Some((SET, part)) = parts.next() {
        let mut attributes = Der(part);
        while let Some((SEQUENCE, attribute)) = attributes.next() {
            let mut attribute = Der(attribute);
            if attribute.expect(OBJECT_ID) == Some(COMMON_NAME)
                && let Some((tag, value)) = attribute.next()
            {
                found = text(tag, value).or(found);
            }
        }
    }
    found
}

/// A DirectoryString.
fn text(tag: u8, value: &[u8]) -> Option<String> {
    match tag {
        UTF8 | PRINTABLE | IA5 | NUMERIC => String::from_utf8(value.to_vec()).ok(),
        // Latin-1 in practice.
        TELETEX => Some(value.iter().map(|&byte| char::from(byte)).collect()),
        BMP => {
            let units: Vec<u16> =
                value.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
            String::from_utf16(&units).ok()
        }
        _ => None,
    }
}

/// The alternative names in the content of the extensions field.
fn alt_names(extensions: &[u8]) -> Option<&[u8]> {
    let mut extensions = Der(Der(extensions).expect(SEQUENCE)?);
    while let Some((SEQUENCE, extension)) = extensions.next() {
        let mut extension = Der(extension);
        if extension.expect(OBJECT_ID) == Some(ALT_NAMES) {
            extension.optional(BOOLEAN); // critical
            return Der(extension.expect(OCTET_STRING)?).expect(SEQUENCE);
        }
    }
    None
}

/// A UTCTime or GeneralizedTime in the only forms that RFC 5280 section 4.1.2.5 allows, as seconds since 1970.
fn seconds((tag, value): (u8, &[u8])) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match (tag, text.len()) {
        (UTC_TIME, 12) => {
            let year: i64 = text[..2].parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, &text[2..])
        }
        (GENERALIZED_TIME, 14) => (text[..4].parse().ok()?, &text[4..]),
        _ => return None,
    };
    let part = |at: usize| rest[at..at + 2].parse::<i64>().ok();
    let (month, day) = (part(0)?, part(2)?);
    let valid = (1..=12).contains(&month) && (1..=31).contains(&day);
    valid.then_some(days(year, month, day) * 86_400 + part(4)? * 3600 + part(6)? * 60 + part(8)?)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, negative before. Years begin in March here, so
/// that the leap day is the last one.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
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

/// Elements of DER (X.690 section 8.1), one after the other: tags of one byte, definite lengths.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next element's tag and content; `None` at the end, or where the bytes are no DER.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (bytes.iter().fold(0, |length, &byte| length << 8 | usize::from(byte)), rest)
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, value))
    }

    /// The next element's content, which must have this tag.
    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|element| element.0 == tag).map(|element| element.1)
    }

    /// The next element with its tag, which must be this one.
    fn whole(&mut self, tag: u8) -> Option<&'a [u8]> {
        let before = self.0;
        self.expect(tag)?;
        before.get(..before.len() - self.0.len())
    }

    /// The next element's content if it has this tag; else nothing is read.
    fn optional(&mut self, tag: u8) -> Option<&'a [u8]> {
        if self.0.first() == Some(&tag) { self.expect(tag) } else { None }
    }
}

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_ID: u8 = 0x06;
const UTF8: u8 = 0x0c;
const NUMERIC: u8 = 0x12;
const PRINTABLE: u8 = 0x13;
const TELETEX: u8 = 0x14;
const IA5: u8 = 0x16;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const BMP: u8 = 0x1e;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;

/// Optional fields of a certificate.
const VERSION: u8 = 0xa0;
const ISSUER_ID: u8 = 0x81;
const SUBJECT_ID: u8 = 0x82;
const EXTENSIONS: u8 = 0xa3;

/// Kinds of alternative names.
const MAIL: u8 = 0x81;
const DNS_NAME: u8 = 0x82;
const URI: u8 = 0x86;
const ADDRESS: u8 = 0x87;

/// id-at-commonName, 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// id-ce-subjectAltName, 2.5.29.17.
const ALT_NAMES: &[u8] = &[0x55, 0x1d, 0x11];

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair, SanType};

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
        let facts = Facts::of(&der).expect("a certificate");
        assert!(facts.is_for_host("A.Example") && facts.is_for_host("x.b.example"));
        assert!(facts.is_exactly_for("a.example") && !facts.is_exactly_for("x.b.example"));
        for other in ["b.example", "x.y.b.example", ".b.example", "jürgen", "xa.example", ""] {
            assert!(!facts.is_for_host(other), "{other}");
        }
        assert!(facts.is_for_address([192, 0, 2, 1].into()) && !facts.is_for_address([192, 0, 2, 2].into()));
    }

    #[test]
    fn the_common_name_counts_only_without_alternative_names() {
        let common = |name: &str, sans: Vec<SanType>| {
            let der = made(|params| {
                params.distinguished_name.push(DnType::CommonName, name);
                params.subject_alt_names = sans;
            });
            Facts::of(&der).expect("a certificate")
        };
        assert!(common("host.example", vec![]).is_for_host("host.example"));
        assert!(common("192.0.2.7", vec![]).is_for_address([192, 0, 2, 7].into()));
        let mail = vec![SanType::Rfc822Name("me@example".try_into().expect("ascii"))];
        assert!(!common("host.example", mail).is_for_host("host.example"));
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
    fn both_forms_of_time_are_read() {
        for (tag, text, expected) in [
            (UTC_TIME, "700101000000Z", Some(0)),
            (UTC_TIME, "261122131022Z", Some(1_795_353_022)),
            (UTC_TIME, "500101000000Z", Some(-631_152_000)),
            (UTC_TIME, "491231235959Z", Some(2_524_607_999)),
            (GENERALIZED_TIME, "20240229120000Z", Some(1_709_208_000)),
            (GENERALIZED_TIME, "99991231235959Z", Some(253_402_300_799)),
            (GENERALIZED_TIME, "20241329120000Z", None),
            (GENERALIZED_TIME, "2024022912000Z", None),
            (UTC_TIME, "2611221310Z", None),
            (UTC_TIME, "26112213102+Z", None),
            (UTF8, "261122131022Z", None),
        ] {
            assert_eq!(seconds((tag, text.as_bytes())), expected, "{text}");
        }
    }

    #[test]
    fn a_certificate_that_is_cut_off_or_damaged_is_no_reason_to_panic() {
        let der = made(|params| {
            params.distinguished_name.push(DnType::CommonName, "name");
            params.subject_alt_names = vec![SanType::IpAddress([192, 0, 2, 1].into())];
        });
        for end in 0..der.len() {
            assert_eq!(Facts::of(&der[..end]), None, "{end}");
        }
        for at in 0..der.len() {
            for value in [0, 0x7f, 0x80, 0x84, 0xff] {
                let mut der = der.clone();
                der[at] = value;
                let _ = Facts::of(&der);
            }
        }
    }
}
