//! The opening handshake (RFC 6455, 4.2): whether a request is an upgrade, whether it is allowed, and the
//! 101.
//!
//! Strict where a mistake could be an attack or could lose bytes; lenient where proxies and old clients in
//! the field are known to be wrong. Whatever is tolerated is reported to the operator as a [`Hint`].

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::http::host;
use crate::http::path;
use crate::http::refusal::Refusal;
use crate::http::request::Request;

/// Whether a request asks for a WebSocket; [`check`] decides whether it gets one.
pub fn is_upgrade(request: &Request<'_>) -> bool {
    request.has_token("upgrade", "websocket")
}

/// The answer to a request that can only be an upgrade whose `Upgrade` header was lost on the way.
pub fn lost_upgrade(request: &Request<'_>) -> Option<Refusal> {
    let is_handshake = |name| request.header(name).is_some();
    let is_lost =
        !is_upgrade(request) && (is_handshake("sec-websocket-key") || is_handshake("sec-websocket-version"));
    is_lost.then(|| {
        upgrade_required(
            "WebSocket handshake without \"Upgrade: websocket\": the proxy in front dropped it (nginx: \
             proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; \
             proxy_set_header Connection \"upgrade\";)",
        )
    })
}

/// Why a request is treated as a plain one although parts of it belong to an upgrade: which header is missing
/// or wrong. Safe to log.
pub fn why_plain(request: &Request<'_>) -> Option<String> {
    if is_upgrade(request) {
        return None;
    }
    if let Some(value) = request.header("upgrade") {
        return Some(format!("Upgrade is '{}' and not 'websocket'", path::redact_word(value)));
    }
    let is_there = |name| request.header(name).is_some();
    let signs =
        ["sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol", "sec-websocket-extensions"];
    let sign = signs.into_iter().find(|name| is_there(name));
    let sign = sign.or_else(|| request.has_token("connection", "upgrade").then_some("connection"));
    sign.map(|sign| format!("Upgrade header is missing, though {sign} asks for a WebSocket"))
}

/// The sub-protocols that a client offers, for the log, if there are any and none of them is `binary`:
/// browsers close a session that is answered without one of theirs.
pub fn foreign_protocols(request: &Request<'_>) -> Option<String> {
    let offers = || request.list("sec-websocket-protocol");
    if offers().next().is_none() || offers().any(|offer| offer == b"binary") {
        return None;
    }
    // Some clients put a token here instead of a name.
    let names: Vec<String> =
        offers().take(OFFERS_SHOWN).map(|offer| format!("'{}'", path::redact_word(offer))).collect();
    let more = if offers().nth(OFFERS_SHOWN).is_some() { ", ..." } else { "" };
    Some(format!("{}{more}", names.join(", ")))
}

/// The answer to an acceptable handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// The value of `Sec-WebSocket-Accept`.
    pub accept: [u8; 28],
    /// Whether the client offered the sub-protocol `binary`; it is sent only then.
    pub binary: bool,
    /// What is odd about the request, if anything.
    pub hint: Option<Hint>,
}

/// An oddity that was tolerated. `Display` gives one line for the operator's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// The request came as HTTP/1.0.
    Http10,
    /// `Connection` does not name `Upgrade`.
    NoConnectionUpgrade,
    /// A draft of the protocol, version 7 or 8.
    Draft(u8),
    /// The key is not 16 bytes in base64.
    OddKey,
}

impl Hint {
    /// A bit of its own for each kind, to remember that it was given.
    pub fn bit(self) -> u8 {
        match self {
            Hint::Http10 => 1,
            Hint::NoConnectionUpgrade => 2,
            Hint::Draft(_) => 4,
            Hint::OddKey => 8,
        }
    }
}

/// Checks a request for an upgrade.
pub fn check(request: &Request<'_>) -> Result<Upgrade, Refusal> {
    if !is_upgrade(request) {
        return Err(refuse("request is not a WebSocket upgrade"));
    }
    if request.method != "GET" {
        return Err(Refusal::new(405, "a WebSocket upgrade must be a GET").with("Allow", "GET"));
    }
    host::check(request)?;
    check_body(request)?;
    let version = check_version(request)?;
    let key = check_key(request)?;
    let offers = || request.list("sec-websocket-protocol");
    Ok(Upgrade {
        accept: accept(key),
        // Names of sub-protocols are case-sensitive.
        binary: offers().any(|offer| offer == b"binary"),
        hint: hint(request, version, key),
    })
}

impl Upgrade {
    /// The complete 101 answer, with this value of `Set-Cookie` if there is one.
    pub fn response(&self, set_cookie: Option<&str>) -> Vec<u8> {
        let mut out = Vec::with_capacity(192);
        out.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\n");
        out.extend_from_slice(b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ");
        out.extend_from_slice(&self.accept);
        out.extend_from_slice(b"\r\n");
        if self.binary {
            out.extend_from_slice(b"Sec-WebSocket-Protocol: binary\r\n");
        }
        if let Some(cookie) = set_cookie {
            out.extend_from_slice(b"Set-Cookie: ");
            out.extend_from_slice(cookie.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        out
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Hint::Http10 => {
                "WebSocket upgrade as HTTP/1.0: accepted, but the proxy in front should speak HTTP/1.1 \
                 (nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; \
                 proxy_set_header Connection \"upgrade\";)"
            }
            Hint::NoConnectionUpgrade => {
                "WebSocket upgrade without \"Connection: Upgrade\": accepted, but the proxy in front should \
                 forward it (nginx: proxy_set_header Connection \"upgrade\";)"
            }
            Hint::OddKey => {
                "WebSocket upgrade whose Sec-WebSocket-Key is not 16 bytes in base64: accepted, but the client \
                 should be updated (RFC 6455, 4.1)"
            }
            Hint::Draft(version) => {
                return write!(
                    f,
                    "WebSocket upgrade with the draft version {version}: accepted, but the client should be \
                     updated (RFC 6455 is version 13)"
                );
            }
        })
    }
}

/// A body would be taken for frames.
fn check_body(request: &Request<'_>) -> Result<(), Refusal> {
    let empty = |length: &[u8]| !length.is_empty() && length.iter().all(|&byte| byte == b'0');
    if request.header("transfer-encoding").is_some() || !request.headers("content-length").all(empty) {
        return Err(refuse("a WebSocket upgrade must not have a body"));
    }
    Ok(())
}

fn check_version(request: &Request<'_>) -> Result<u8, Refusal> {
    let mut versions = request.headers("sec-websocket-version");
    match (versions.next(), versions.next()) {
        (None, _) => Err(refuse("Sec-WebSocket-Version header is missing")),
        (Some(b"13"), None) => Ok(13),
        (Some(b"8"), None) => Ok(8),
        (Some(b"7"), None) => Ok(7),
        (Some(_), None) => Err(upgrade_required("WebSocket version is not supported")),
        (Some(_), Some(_)) => Err(refuse("there are several Sec-WebSocket-Version headers")),
    }
}

fn check_key<'a>(request: &Request<'a>) -> Result<&'a [u8], Refusal> {
    let mut keys = request.headers("sec-websocket-key");
    match (keys.next(), keys.next()) {
        (None, _) => Err(refuse("Sec-WebSocket-Key header is missing")),
        (Some(key), None) if is_usable(key) => Ok(key),
        (Some(_), None) => Err(refuse("Sec-WebSocket-Key is not 1 to 128 visible characters")),
        (Some(_), Some(_)) => Err(refuse("there are several Sec-WebSocket-Key headers")),
    }
}

/// Some front ends and devices send keys of other lengths, or without their padding. The proof is computed
/// from the text, so any key will do.
fn is_usable(key: &[u8]) -> bool {
    (1..=KEY_MAX).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic)
}

/// Whether a key is as it should be. 16 bytes in base64 are 22 digits and two padding characters. Stray bits
/// in the last digit are tolerated, since the example in the RFC itself has them.
fn is_key(key: &[u8]) -> bool {
    let is_digit = |&byte: &u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    key.len() == 24 && key.ends_with(b"==") && key[..22].iter().all(is_digit)
}

/// The proof that this server has read the key (RFC 6455, 4.2.2).
fn accept(key: &[u8]) -> [u8; 28] {
    let mut hash = sha1_smol::Sha1::new();
    hash.update(key);
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let mut accept = [0; 28];
    let len = STANDARD.encode_slice(hash.digest().bytes(), &mut accept);
    debug_assert_eq!(len.ok(), Some(accept.len()), "20 bytes are 28 in base64");
    accept
}

fn hint(request: &Request<'_>, version: u8, key: &[u8]) -> Option<Hint> {
    if request.minor_version == 0 {
        Some(Hint::Http10)
    } else if !request.has_token("connection", "upgrade") {
        Some(Hint::NoConnectionUpgrade)
    } else if version != 13 {
        Some(Hint::Draft(version))
    } else if !is_key(key) {
        Some(Hint::OddKey)
    } else {
        None
    }
}

fn refuse(reason: &'static str) -> Refusal {
    Refusal::new(400, reason)
}

/// A refusal that says what would be accepted.
fn upgrade_required(reason: &'static str) -> Refusal {
    Refusal::new(426, reason)
        .with("Sec-WebSocket-Version", "13")
        .with("Upgrade", "websocket")
        .with("Connection", "Upgrade, close")
}

/// The longest key, in bytes.
const KEY_MAX: usize = 128;

/// How many sub-protocols a log line names.
const OFFERS_SHOWN: usize = 4;

#[cfg(test)]
mod tests;
