//! What proxies say of their clients: PROXY headers, and lists in header fields.

use std::net::{IpAddr, SocketAddr};

use websockify::http::forwarded::{BYTES_MAX, ENTRIES_MAX, Form, client, nearest};
use websockify::proxy::{Header, Proxied, REQUEST_ID_MAX, V2_MAX, Version, read};

/// A PROXY header is found at the same place whole and in pieces, there is an end to waiting for it, and what it says
/// can be written and read again.
pub fn proxy(data: &[u8]) {
    let whole = read(data);
    for cut in 0..data.len().min(HEADER_MAX + 1) {
        match read(&data[..cut]) {
            Ok(None) => {}
            Ok(Some(found)) => assert_eq!(whole, Ok(Some(found)), "found at {cut}"),
            Err(_) => assert!(whole.is_err(), "refused at {cut}"),
        }
    }
    let Ok(Some((proxied, len))) = whole else {
        assert!(whole.is_err() || data.len() < HEADER_MAX, "there is an end to waiting");
        return;
    };
    assert!(len <= HEADER_MAX);
    assert_eq!(read(&data[..len]), Ok(Some((proxied.clone(), len))), "what follows does not count");
    assert_eq!(read(&data[..len - 1]), Ok(None), "not a byte earlier");
    let Proxied { addresses, authority, unique_id, tls } = &proxied;
    for text in
        [authority, unique_id, &tls.as_ref().and_then(|tls| tls.version.clone())].into_iter().flatten()
    {
        assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text:?} goes to the log");
    }
    assert!(unique_id.as_ref().is_none_or(|id| id.len() <= REQUEST_ID_MAX));
    let header = Header {
        addresses: *addresses,
        unique_id: unique_id.as_deref(),
        authority: authority.as_deref(),
        tls: tls.as_ref(),
    };
    let Some(addresses) = addresses else { return };
    // A mapped address is written as what it stands for, and two of them are of one family.
    let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let is_same = |read: SocketAddr, said: SocketAddr| canonical(read) == canonical(said);
    for version in [Version::V1, Version::V2] {
        let written = header.to_bytes(version);
        let (again, len) = read(&written).expect("ours is in order").expect("ours is whole");
        assert_eq!(len, written.len());
        let found = again.addresses.expect("it has some");
        assert!(is_same(found.source, addresses.source) && is_same(found.destination, addresses.destination));
        if version == Version::V2 {
            assert_eq!((&again.authority, &again.unique_id, &again.tls), (authority, unique_id, tls));
        }
    }
}

/// What a client claims never changes what a proxy has appended, and a plain reading of a list finds the same client.
///
/// The first byte chooses the form; what the client claims goes up to the first zero, and lines end with LF.
pub fn forwarded(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let form = if kind & 1 == 0 { Form::Addresses } else { Form::Forwarded };
    let mut halves = rest.splitn(2, |&byte| byte == 0);
    let (claimed, list) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
    let lines: Vec<&[u8]> = list.split(|&byte| byte == b'\n').collect();
    let found = client(&lines, form, is_trusted);
    assert!(nearest(&lines).is_none_or(|word| word.bytes().all(|byte| byte.is_ascii_graphic())));
    if let Some(found) = found.filter(|found| !is_trusted(found.ip())) {
        let line = [&[claimed][..], &lines].concat();
        assert_eq!(client(&line, form, is_trusted), Some(found), "claimed in a line of its own");
        let first = [claimed, b",", lines[0]].concat();
        let mut lines = lines.clone();
        lines[0] = &first;
        assert_eq!(client(&lines, form, is_trusted), Some(found), "claimed in the same line");
    }
    let words = || {
        lines
            .iter()
            .flat_map(|line| line.split(|&byte| byte == b','))
            .filter(|word| !word.trim_ascii().is_empty())
    };
    if form == Form::Addresses && list.len() < BYTES_MAX / 2 && words().count() <= ENTRIES_MAX {
        assert_eq!(found, plain(words().collect()), "read in a plain way");
    }
}

/// The same by words that were split without a thought for quotes, which no address has.
fn plain(words: Vec<&[u8]>) -> Option<SocketAddr> {
    let mut found = None;
    for word in words.into_iter().rev() {
        let Ok(word) = std::str::from_utf8(word.trim_ascii()) else { return found };
        // A port that is not told is none, and an address of one interface means nothing to others.
        let (word, hidden) = match word.rsplit_once(":_") {
            Some((word, name)) if !name.is_empty() && name.bytes().all(is_hidden) => (word, true),
            _ => (word, false),
        };
        let bare = word.strip_prefix('[').and_then(|word| word.strip_suffix(']'));
        let address: Option<SocketAddr> = match (bare, hidden) {
            _ if word.contains('%') => None,
            (Some(bare), _) => bare.parse().ok().map(|address| SocketAddr::new(IpAddr::V6(address), 0)),
            (None, true) => word.parse().ok().map(|address| SocketAddr::new(IpAddr::V4(address), 0)),
            (None, false) => {
                word.parse().ok().map(|address| SocketAddr::new(address, 0)).or(word.parse().ok())
            }
        };
        let Some(address) = address else { return found };
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        found = Some(address);
        if !is_trusted(address.ip()) {
            return found;
        }
    }
    found
}

/// RFC 7239, 6.3.
fn is_hidden(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'.' | b'_' | b'-')
}

/// 10.0.0.0/8 and fd00::/8.
fn is_trusted(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.octets()[0] == 10,
        IpAddr::V6(address) => address.octets()[0] == 0xfd,
    }
}

/// The longest header: the fixed part of version 2, and what may come after it.
const HEADER_MAX: usize = 16 + V2_MAX;
