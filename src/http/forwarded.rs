//! Header fields in which a proxy names the client of a request.
//!
//! Each proxy appends the address of its own client, so the rightmost entry comes from the nearest proxy, and
//! entries further left may come from anyone. Lists are read from the right, past the addresses of trusted
//! proxies; nothing to the left of the first other address is read.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// How a header field lists addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Addresses, separated by commas: `X-Forwarded-For` and its kin, which may have just one.
    Addresses,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// The client in the values of all lines of a field, in their order: from the right, past trusted addresses, the first
/// that is not trusted, or the last one that can be read. `None` if the very first word is not an address. Port 0 if none is
/// given; mapped IPv4 addresses are IPv4 addresses.
pub fn client(lines: &[&[u8]], form: Form, is_trusted: impl Fn(IpAddr) -> bool) -> Option<SocketAddr> {
    let mut client = None;
    for word in Words::new(lines).take(ENTRIES_MAX) {
        let word = word.and_then(|word| std::str::from_utf8(word).ok());
        let address = word.and_then(|word| match form {
            Form::Addresses => node(word),
            Form::Forwarded => forwarded_for(word).and_then(|node| self::node(&node)),
        });
        let Some(address) = address else { break };
        client = Some(address);
        if !is_trusted(address.ip()) {
            break;
        }
    }
    client
}

/// The value that the nearest proxy has written into a field with one value or a list of them.
pub fn nearest<'a>(lines: &[&'a [u8]]) -> Option<&'a str> {
    let word = Words::new(lines).next()??;
    std::str::from_utf8(word).ok().filter(|word| word.bytes().all(|byte| byte.is_ascii_graphic()))
}

/// What is known about how a request reached the outermost trusted proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outside {
    /// Whether it came over TLS; `None` if no proxy has said so.
    pub is_tls: Option<bool>,
    /// The host that it was sent to, where that is not the one in `Host`.
    pub host: Option<String>,
}

/// Whether a value of `X-Forwarded-Proto` means TLS.
pub fn is_tls(scheme: &str) -> Option<bool> {
    let is = |word: &&str| scheme.eq_ignore_ascii_case(word);
    if ["https", "wss"].iter().any(is) {
        return Some(true);
    }
    ["http", "ws"].iter().any(is).then_some(false)
}

/// The elements of a list over several lines, from the right, without empty ones. `None` in place of one that
/// can't be separated from what is left of it.
struct Words<'l, 'a> {
    lines: std::iter::Rev<std::slice::Iter<'l, &'a [u8]>>,
    line: Option<&'a [u8]>,
    /// Bytes that may still be examined.
    budget: usize,
}

impl<'l, 'a> Words<'l, 'a> {
    fn new(lines: &'l [&'a [u8]]) -> Words<'l, 'a> {
        Words { lines: lines.iter().rev(), line: None, budget: BYTES_MAX }
    }
}

impl<'a> Iterator for Words<'_, 'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some(line) = self.line.take() else {
                self.line = Some(self.lines.next()?);
                continue;
            };
            let unseen = line.len().saturating_sub(self.budget);
            let word = match last_comma(&line[unseen..]) {
                Ok(Some(comma)) => {
                    self.line = Some(&line[..unseen + comma]);
                    &line[unseen + comma + 1..]
                }
                // It begins before the part that is examined.
                Ok(None) if unseen > 0 => return None,
                Ok(None) => line,
                Err(Unclosed) => return Some(None),
            };
            self.budget = self.budget.saturating_sub(word.len() + 1);
            let word = word.trim_ascii();
            if !word.is_empty() {
                return Some(Some(word));
            }
        }
    }
}

/// A quoted string has no opening quote.
struct Unclosed;

/// The last comma outside of quoted strings.
fn last_comma(text: &[u8]) -> Result<Option<usize>, Unclosed> {
    let mut is_quoted = false;
    for at in (0..text.len()).rev() {
        match text[at] {
            b'"' if is_escaped(text, at) && is_quoted => {}
            b'"' => is_quoted = !is_quoted,
            b',' if !is_quoted => return Ok(Some(at)),
            _ => {}
        }
    }
    if is_quoted { Err(Unclosed) } else { Ok(None) }
}

/// Whether an odd number of backslashes stands before the sign at `at`.
fn is_escaped(text: &[u8], at: usize) -> bool {
    text[..at].iter().rev().take_while(|&&byte| byte == b'\\').count() % 2 == 1
}

/// The value of the parameter `for` of one element of `Forwarded`, if there is one such parameter and no more.
fn forwarded_for(element: &str) -> Option<String> {
    let mut found = None;
    let mut rest = element;
    loop {
        let (name, behind) = rest.split_once('=')?;
        let (value, behind) = match behind.strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let end = behind.find(';').unwrap_or(behind.len());
                (behind[..end].trim().to_owned(), &behind[end..])
            }
        };
        if name.trim().eq_ignore_ascii_case("for") && found.replace(value).is_some() {
            return None;
        }
        match behind.trim_start().strip_prefix(';') {
            Some(more) if !more.trim().is_empty() => rest = more,
            Some(_) => return found,
            None if behind.trim().is_empty() => return found,
            None => return None,
        }
    }
}

/// The value of a quoted string whose opening quote has been read, and what follows it (RFC 9110, 5.6.4).
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut signs = text.char_indices();
    while let Some((at, sign)) = signs.next() {
        match sign {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(signs.next()?.1),
            sign => value.push(sign),
        }
    }
    None
}

/// An address as proxies write it: with or without a port, IPv6 in brackets or not.
fn node(word: &str) -> Option<SocketAddr> {
    let (address, port) = match word.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            let port =
                if port.is_empty() { "" } else { port.strip_prefix(':').filter(|port| !port.is_empty())? };
            (IpAddr::V6(address.parse::<Ipv6Addr>().ok()?), port)
        }
        None => match word.parse::<IpAddr>() {
            Ok(address) => (address, ""),
            Err(_) => {
                let (address, port) = word.split_once(':')?;
                (IpAddr::V4(address.parse().ok()?), Some(port).filter(|port| !port.is_empty())?)
            }
        },
    };
    let port = match port.as_bytes() {
        // An obfuscated one (RFC 7239, 6.1).
        [] => 0,
        [b'_', hidden @ ..] if is_hidden(hidden) => 0,
        digits if digits.iter().all(u8::is_ascii_digit) => port.parse().ok()?,
        _ => return None,
    };
    Some(SocketAddr::new(address.to_canonical(), port))
}

/// What may follow the `_` of an obfuscated identifier (RFC 7239, 6.3).
fn is_hidden(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte))
}

/// Entries of a list that are examined. Chains of proxies are shorter.
pub const ENTRIES_MAX: usize = 32;

/// Bytes of a list that are examined, separators included.
pub const BYTES_MAX: usize = 4096;

#[cfg(test)]
mod tests;
