//! Version 2: addresses in binary, and what else the proxy has to say, by type and length.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{Addresses, Fault, Proxied, ProxiedTls, REQUEST_ID_MAX, V2_MAX, crc32c, printable};

/// What every header of this version begins with.
pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Version and command of a connection of the proxy's own.
pub(super) const LOCAL: u8 = 0x20;

/// Version and command of a client's connection.
pub(super) const PROXY: u8 = 0x21;

/// Families and protocols.
pub(super) const UNSPECIFIED: u8 = 0x00;
pub(super) const TCP4: u8 = 0x11;
pub(super) const TCP6: u8 = 0x21;
const UNIX: u8 = 0x31;

/// Bytes of the signature, version and command, family and protocol, and the length of the rest.
pub(super) const FIXED: usize = 16;

/// Reads a header that begins with [`SIGNATURE`], as far as it has arrived.
pub(super) fn read(bytes: &[u8]) -> Result<Option<(Proxied, usize)>, Fault> {
    let Some((head, rest)) = bytes.split_at_checked(FIXED) else {
        // A wrong version is an error as soon as it has arrived.
        return match bytes.get(SIGNATURE.len()) {
            Some(byte) if byte >> 4 != 2 => Err(Fault::Version),
            _ => Ok(None),
        };
    };
    let is_local = match head[12] {
        LOCAL => true,
        PROXY => false,
        byte if byte >> 4 != 2 => return Err(Fault::Version),
        _ => return Err(Fault::Command),
    };
    let len = usize::from(u16::from_be_bytes([head[14], head[15]]));
    if len > V2_MAX {
        return Err(Fault::TooLong);
    }
    let Some(rest) = rest.get(..len) else { return Ok(None) };
    let whole = &bytes[..FIXED + len];
    let (addresses, values) = match (is_local, head[13]) {
        // The proxy's own connection. Family and addresses mean nothing, so where they end is only known if they are
        // of a known family.
        (true, family) => (None, &rest[width(family).unwrap_or(len).min(len)..]),
        (false, family) => addresses(family, rest)?,
    };
    let mut proxied = Proxied { addresses, ..Proxied::default() };
    let read = Values(values).try_for_each(|value| take(&value?, &mut proxied, whole));
    match (read, is_local) {
        // Whatever a proxy says about itself is discarded, except for a checksum that shows damage.
        (Err(Fault::Checksum), _) => Err(Fault::Checksum),
        (_, true) => Ok(Some((Proxied::default(), whole.len()))),
        (Err(fault), false) => Err(fault),
        (Ok(()), false) => Ok(Some((proxied, whole.len()))),
    }
}

/// How many bytes the addresses of a family have.
fn width(family: u8) -> Option<usize> {
    match family >> 4 {
        0 => Some(0),
        1 => Some(12),
        2 => Some(36),
        3 => Some(216),
        _ => None,
    }
}

fn addresses(family: u8, rest: &[u8]) -> Result<(Option<Addresses>, &[u8]), Fault> {
    let unknown = Fault::Family;
    let width = width(family).ok_or(unknown)?;
    let (block, values) = rest.split_at_checked(width).ok_or(Fault::AddressesCut)?;
    let port = |at: usize| u16::from_be_bytes([block[at], block[at + 1]]);
    let both = |source: IpAddr, destination: IpAddr, at: usize| {
        let source = SocketAddr::new(source, port(at));
        Some(Addresses { source, destination: SocketAddr::new(destination, port(at + 2)) })
    };
    let addresses = match family {
        // Unspecified, and Unix sockets: there is no address.
        UNSPECIFIED | UNIX => None,
        TCP4 => {
            let at = |n: usize| IpAddr::V4(Ipv4Addr::new(block[n], block[n + 1], block[n + 2], block[n + 3]));
            both(at(0), at(4), 8)
        }
        TCP6 => {
            let at = |n: usize| IpAddr::V6(std::array::from_fn::<u8, 16, _>(|i| block[n + i]).into());
            both(at(0), at(16), 32)
        }
        _ => return Err(unknown),
    };
    Ok((addresses, values))
}

/// Types and lengths with their values.
struct Values<'a>(&'a [u8]);

/// One of them.
struct Value<'a> {
    kind: u8,
    bytes: &'a [u8],
    /// Bytes that come after it.
    behind: usize,
}

impl<'a> Iterator for Values<'a> {
    type Item = Result<Value<'a>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = std::mem::take(&mut self.0);
        if rest.is_empty() {
            return None;
        }
        let cut = Fault::ValueCut;
        let Some(([kind, high, low], rest)) = rest.split_first_chunk() else { return Some(Err(cut)) };
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        let Some((bytes, rest)) = rest.split_at_checked(len) else { return Some(Err(cut)) };
        self.0 = rest;
        Some(Ok(Value { kind: *kind, bytes, behind: rest.len() }))
    }
}

/// Reads a value. Unknown ones are ignored.
fn take(value: &Value<'_>, proxied: &mut Proxied, whole: &[u8]) -> Result<(), Fault> {
    match value.kind {
        AUTHORITY => proxied.authority = printable(value.bytes, AUTHORITY_MAX),
        UNIQUE_ID => proxied.unique_id = printable(value.bytes, REQUEST_ID_MAX),
        SSL => proxied.tls = tls(value.bytes)?,
        CRC32C => {
            let sum = <[u8; 4]>::try_from(value.bytes);
            let sum = sum.map_err(|_| Fault::ChecksumLength)?;
            // It is computed with zeros in its own place.
            let (before, behind) = whole.split_at(whole.len() - value.behind);
            if u32::from_be_bytes(sum) != crc32c::of([&before[..before.len() - 4], &[0; 4], behind]) {
                return Err(Fault::Checksum);
            }
        }
        _ => {}
    }
    Ok(())
}

/// What is said about the client's TLS: flags, the result of the verification, and nested values.
fn tls(value: &[u8]) -> Result<Option<ProxiedTls>, Fault> {
    let cut = Fault::TlsCut;
    let Some(([flags, verify @ ..], values)) = value.split_first_chunk::<5>() else { return Err(cut) };
    let mut tls = ProxiedTls {
        // "The verify field will be zero if the client presented a certificate and it was successfully verified."
        is_verified: flags & (CERT_CONN | CERT_SESS) != 0 && verify == &[0; 4],
        ..ProxiedTls::default()
    };
    for value in Values(values) {
        let Value { kind, bytes, .. } = value?;
        match kind {
            SSL_VERSION => tls.version = printable(bytes, SSL_VERSION_MAX),
            SSL_CN => {
                // Text, without control characters that a log or a plugin would stumble over.
                let name = std::str::from_utf8(bytes).ok();
                let fits = |name: &&str| {
                    (1..=COMMON_NAME_MAX).contains(&name.len()) && !name.chars().any(char::is_control)
                };
                tls.common_name = name.filter(fits).map(Box::from);
            }
            _ => {}
        }
    }
    Ok((flags & CLIENT_SSL != 0).then_some(tls))
}

pub(super) const AUTHORITY: u8 = 0x02;
pub(super) const CRC32C: u8 = 0x03;
pub(super) const UNIQUE_ID: u8 = 0x05;
pub(super) const SSL: u8 = 0x20;
pub(super) const SSL_VERSION: u8 = 0x21;
pub(super) const SSL_CN: u8 = 0x22;

/// The client spoke TLS.
pub(super) const CLIENT_SSL: u8 = 0x01;
/// It showed a certificate on this connection.
pub(super) const CERT_CONN: u8 = 0x02;
/// It showed one when its TLS session began, perhaps on an earlier connection.
pub(super) const CERT_SESS: u8 = 0x04;

/// The longest host name, version or common name that is used, in bytes; longer ones are ignored.
pub(super) const AUTHORITY_MAX: usize = 255;
const SSL_VERSION_MAX: usize = 32;
pub(super) const COMMON_NAME_MAX: usize = 256;
