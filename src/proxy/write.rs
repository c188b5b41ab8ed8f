//! The PROXY header that is written to a target.

use std::net::{IpAddr, SocketAddr};

use super::{Addresses, ProxiedTls, REQUEST_ID_MAX, canonical, v1, v2};

/// The versions of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A line of text: addresses alone.
    V1,
    /// Binary, with everything else that is known.
    V2,
}

impl Version {
    /// The version that options and answers of services call so: `v1` or `v2`.
    pub fn named(name: &str) -> Option<Version> {
        match name {
            "v1" => Some(Version::V1),
            "v2" => Some(Version::V2),
            _ => None,
        }
    }
}

/// What a header says.
#[derive(Clone, Debug, Default)]
pub struct Header<'a> {
    /// Where the client comes from, and what it has connected to. Without them the header says that it has no address.
    pub addresses: Option<Addresses>,
    /// A name for the connection; at most [`REQUEST_ID_MAX`] bytes are sent.
    pub unique_id: Option<&'a str>,
    /// The host that the client has asked for; a longer one than [`AUTHORITY_MAX`](v2::AUTHORITY_MAX) is left out.
    pub authority: Option<&'a str>,
    /// The client's TLS.
    pub tls: Option<&'a ProxiedTls>,
}

impl Header<'_> {
    /// The bytes to send.
    pub fn to_bytes(&self, version: Version) -> Vec<u8> {
        match version {
            Version::V1 => self.line(),
            Version::V2 => self.binary(),
        }
    }

    fn line(&self) -> Vec<u8> {
        let Some(Addresses { source, destination }) = self.addresses.map(same_family) else {
            return b"PROXY UNKNOWN\r\n".to_vec();
        };
        let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
        let (from, to) = (source.ip(), destination.ip());
        let line = format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port());
        debug_assert!(line.len() <= v1::LINE_MAX);
        line.into_bytes()
    }

    fn binary(&self) -> Vec<u8> {
        let mut header = v2::SIGNATURE.to_vec();
        // LOCAL and unspecified, or PROXY and TCP over one of the two families.
        match self.addresses.map(same_family) {
            None => header.extend([v2::LOCAL, v2::UNSPECIFIED, 0, 0]),
            Some(Addresses { source, destination }) => {
                let family = if source.is_ipv4() { v2::TCP4 } else { v2::TCP6 };
                header.extend([v2::PROXY, family, 0, 0]);
                for address in [source.ip(), destination.ip()] {
                    match address {
                        IpAddr::V4(address) => header.extend(address.octets()),
                        IpAddr::V6(address) => header.extend(address.octets()),
                    }
                }
                header.extend(source.port().to_be_bytes());
                header.extend(destination.port().to_be_bytes());
            }
        }
        let fits = |text: &&str, max| (1..=max).contains(&text.len());
        if let Some(authority) = self.authority.filter(|text| fits(text, v2::AUTHORITY_MAX)) {
            value(&mut header, v2::AUTHORITY, authority.as_bytes());
        }
        if let Some(id) = self.unique_id.filter(|text| fits(text, REQUEST_ID_MAX)) {
            value(&mut header, v2::UNIQUE_ID, id.as_bytes());
        }
        if let Some(tls) = self.tls {
            value(&mut header, v2::SSL, &self::tls(tls));
        }
        let len = (header.len() - v2::FIXED) as u16;
        header[v2::FIXED - 2..v2::FIXED].copy_from_slice(&len.to_be_bytes());
        header
    }
}

/// Flags, the result of the verification, and what there is of version and name.
fn tls(tls: &ProxiedTls) -> Vec<u8> {
    let shown = if tls.is_verified { v2::CERT_CONN | v2::CERT_SESS } else { 0 };
    // Anything but 0 says that no certificate was verified.
    let mut bytes = vec![v2::CLIENT_SSL | shown, 0, 0, 0, u8::from(!tls.is_verified)];
    if let Some(version) = &tls.version {
        value(&mut bytes, v2::SSL_VERSION, version.as_bytes());
    }
    if let Some(name) = tls.common_name.as_ref().filter(|name| name.len() <= v2::COMMON_NAME_MAX) {
        value(&mut bytes, v2::SSL_CN, name.as_bytes());
    }
    bytes
}

/// Appends a value, which has less than 64 KiB.
fn value(to: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    to.push(kind);
    to.extend((bytes.len() as u16).to_be_bytes());
    to.extend(bytes);
}

/// Both addresses in one family: IPv4 as it is, or as mapped addresses beside one of IPv6.
fn same_family(Addresses { source, destination }: Addresses) -> Addresses {
    let (source, destination) = (canonical(source), canonical(destination));
    if source.is_ipv4() == destination.is_ipv4() {
        return Addresses { source, destination };
    }
    let mapped = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    };
    Addresses { source: mapped(source), destination: mapped(destination) }
}
