//! Version 1: a line of text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Addresses, Fault, Proxied};

/// What every header of this version begins with.
pub(super) const PREFIX: &[u8] = b"PROXY ";

/// Bytes of the longest line, its end included.
pub(super) const LINE_MAX: usize = 107;

/// Reads a header that begins with [`PREFIX`], as far as it has arrived.
pub(super) fn read(bytes: &[u8]) -> Result<Option<(Proxied, usize)>, Fault> {
    let there = &bytes[..bytes.len().min(LINE_MAX)];
    let Some(end) = memchr::memchr(b'\n', there) else {
        return if bytes.len() >= LINE_MAX { Err(Fault::TooLong) } else { Ok(None) };
    };
    let line = there[..end].strip_suffix(b"\r").ok_or(Fault::LineEnd)?;
    let line = std::str::from_utf8(line).ok().filter(|line| line.is_ascii());
    let line = line.ok_or(Fault::NotAscii)?;
    let mut words = line.split(' ').skip(1);
    let parse: fn(&str) -> Option<IpAddr> = match words.next() {
        // What follows may be anything: "the receiver must ignore anything presented before the CRLF".
        Some("UNKNOWN") => return Ok(Some((Proxied::default(), end + 1))),
        Some("TCP4") => |word| Some(IpAddr::V4(word.parse::<Ipv4Addr>().ok()?)),
        Some("TCP6") => |word| Some(IpAddr::V6(word.parse::<Ipv6Addr>().ok()?)),
        _ => return Err(Fault::LineFamily),
    };
    let words: Vec<&str> = words.collect();
    let [source, destination, source_port, destination_port] = words[..] else {
        return Err(Fault::Words);
    };
    let address = |word, port| {
        let address = parse(word).ok_or(Fault::Address)?;
        Ok(SocketAddr::new(address, number(port).ok_or(Fault::Port)?))
    };
    let addresses = Addresses {
        source: address(source, source_port)?,
        destination: address(destination, destination_port)?,
    };
    Ok(Some((Proxied { addresses: Some(addresses), ..Proxied::default() }, end + 1)))
}

/// Digits alone, without leading zeros.
fn number(word: &str) -> Option<u16> {
    let fits = word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    word.parse().ok().filter(|_| fits)
}
