//! PROXY headers: what a proxy writes at the beginning of a connection about the one that it has accepted
//! (<https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>), in both directions.

mod crc32c;
mod v1;
mod v2;
mod write;

use std::fmt;
use std::net::SocketAddr;

pub use write::{Header, Version};

/// What a PROXY header says about the connection that a proxy has accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxied {
    /// Its source and destination; `None` for a health check of the proxy, and for a connection without
    /// addresses.
    pub addresses: Option<Addresses>,
    /// The host that the client has asked the proxy for, for example by SNI: printable ASCII.
    pub authority: Option<Box<str>>,
    /// What the proxy calls the connection: printable ASCII, at most [`REQUEST_ID_MAX`] bytes.
    pub unique_id: Option<Box<str>>,
    /// What the proxy says about the client's TLS; `None` without TLS.
    pub tls: Option<ProxiedTls>,
}

/// Both ends of a connection that a proxy has accepted, of the same family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The client's.
    pub source: SocketAddr,
    /// The one that the client has connected to.
    pub destination: SocketAddr,
}

/// The address with a mapped IPv4 address as what it is.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// What a proxy says of its client's TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxiedTls {
    /// The version, such as `TLSv1.3`: printable ASCII.
    pub version: Option<Box<str>>,
    /// The common name in the client's certificate.
    pub common_name: Option<Box<str>>,
    /// Whether the client has shown a certificate and the proxy has verified it.
    pub is_verified: bool,
}

/// Why bytes are not a PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// They begin like no version.
    Missing,
    /// A line of version 1 does not end within 107 bytes, or version 2 announces more than [`V2_MAX`].
    TooLong,
    /// The connection ended before it was whole.
    CutOff,
    /// It did not come in time.
    Late,
    /// A line of version 1 ends with LF alone.
    LineEnd,
    /// A line of version 1 has other bytes.
    NotAscii,
    /// The second word of version 1 is none of its three.
    LineFamily,
    /// A line of version 1 has too few words or too many.
    Words,
    /// An address of version 1 can't be read.
    Address,
    /// A port of version 1 can't be read.
    Port,
    /// The version in binary is not 2.
    Version,
    /// The command of version 2 is none of its two.
    Command,
    /// The family of version 2 is none that TCP or a Unix stream socket has.
    Family,
    /// The addresses of version 2 do not fit into it.
    AddressesCut,
    /// A value of version 2 does not fit into it.
    ValueCut,
    /// The checksum of version 2 does not have four bytes.
    ChecksumLength,
    /// What version 2 says about TLS can't be read.
    TlsCut,
    /// The checksum of version 2 does not match its bytes.
    Checksum,
}

impl Fault {
    /// Whether there is no header, rather than one that can't be read.
    pub fn is_absence(self) -> bool {
        matches!(self, Fault::Missing | Fault::Late)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Missing => "the connection does not begin with one",
            Fault::TooLong => "it is too long",
            Fault::CutOff => "the connection ended before it was whole",
            Fault::Late => "it did not come in time",
            Fault::LineEnd => "version 1: its line ends without a carriage return",
            Fault::NotAscii => "version 1: it is not ASCII",
            Fault::LineFamily => "version 1: it is neither TCP4, TCP6 nor UNKNOWN",
            Fault::Words => "version 1: it has not two addresses and two ports",
            Fault::Address => "version 1: an address is none of its family",
            Fault::Port => "version 1: a port is no number up to 65535",
            Fault::Version => "version 2: its version is another one",
            Fault::Command => "version 2: its command is neither LOCAL nor PROXY",
            Fault::Family => "version 2: its family or protocol is another one",
            Fault::AddressesCut => "version 2: its addresses are cut off",
            Fault::ValueCut => "version 2: a value is cut off",
            Fault::ChecksumLength => "version 2: its checksum has not four bytes",
            Fault::TlsCut => "version 2: what it says of TLS is cut off",
            Fault::Checksum => "version 2: its checksum is wrong",
        })
    }
}

/// Reads the header at the beginning of `bytes`: what it says, and its length. `None` until it is whole.
///
/// # Errors They are not one, whatever follows.
pub fn read(bytes: &[u8]) -> Result<Option<(Proxied, usize)>, Fault> {
    let begins = |signature: &[u8]| {
        let len = bytes.len().min(signature.len());
        bytes[..len] == signature[..len]
    };
    match (begins(v2::SIGNATURE), begins(v1::PREFIX)) {
        (true, _) => v2::read(bytes),
        (false, true) => v1::read(bytes),
        (false, false) => Err(Fault::Missing),
    }
}

/// What a header is that [`read`] has found whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A line of text.
    V1,
    /// In binary, about a connection that the proxy has accepted.
    V2,
    /// In binary, about a connection of the proxy's own.
    Local,
}

impl Kind {
    /// That of the header at the beginning of `bytes`.
    pub fn of(bytes: &[u8]) -> Kind {
        match bytes.strip_prefix(v2::SIGNATURE) {
            None => Kind::V1,
            Some(rest) if rest.first() == Some(&v2::LOCAL) => Kind::Local,
            Some(_) => Kind::V2,
        }
    }
}

/// A value that may be shown: not empty, printable ASCII without blanks, at most `max` bytes.
fn printable(value: &[u8], max: usize) -> Option<Box<str>> {
    let fits = (1..=max).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic);
    std::str::from_utf8(value).ok().filter(|_| fits).map(Box::from)
}

/// The longest name of a request or a connection that is kept, in bytes; longer ones are dropped.
pub const REQUEST_ID_MAX: usize = 128;

/// Bytes behind the fixed part of a header of version 2 that are accepted; addresses and what usual proxies add
/// are a tenth of it.
pub const V2_MAX: usize = 2048;

#[cfg(test)]
mod tests;
