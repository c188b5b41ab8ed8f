//! Permissions: tokens, the Host that a browser was led to, the Origin of its page, and the header that no
//! form can send.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use socket2::Socket;

use super::answer::Answer;
use crate::http::origin::is_same_host;
use crate::http::request::Request;
use crate::log::{Level, Log, Topic};
use crate::secret::{self, Secret};
use crate::source::CachedFile;

/// What a peer may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grant {
    /// Look.
    Read,
    /// Look and change.
    Full,
}

/// Who asks, for the log.
#[derive(Debug)]
pub(super) enum Caller {
    /// A process of this user at a Unix socket.
    Unix(Option<u32>),
    /// Somebody at this address.
    Tcp(Option<String>),
}

impl Caller {
    /// The one at the other end of `socket`.
    pub(super) fn of(socket: &Socket, is_unix: bool) -> Caller {
        if is_unix {
            let credentials = rustix::net::sockopt::socket_peercred(socket);
            return Caller::Unix(credentials.ok().map(|credentials| credentials.uid.as_raw()));
        }
        let address = socket.peer_addr().ok().and_then(|address| address.as_socket());
        Caller::Tcp(address.map(|address| address.ip().to_canonical().to_string()))
    }

    fn is_unix(&self) -> bool {
        matches!(self, Caller::Unix(_))
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Caller::Unix(Some(uid)) => write!(f, "unix uid {uid}"),
            Caller::Unix(None) => f.write_str("unix"),
            Caller::Tcp(address) => f.write_str(address.as_deref().unwrap_or("unknown address")),
        }
    }
}

/// The tokens that are asked for, if any.
pub(super) struct Security {
    file: Option<PathBuf>,
    tokens: CachedFile<Result<Tokens, String>>,
    log: Arc<Log>,
    /// What is wrong with the file. It has been logged.
    said: Mutex<Option<String>>,
}

type Tokens = Vec<(Grant, Secret)>;

impl Security {
    /// With the tokens of this file, or none.
    pub(super) fn new(file: Option<PathBuf>, log: Arc<Log>) -> Security {
        Security { file, tokens: CachedFile::default(), log, said: Mutex::default() }
    }

    /// What the peer that sends this request may do.
    ///
    /// # Errors Nothing; the answer to it.
    pub(super) fn admit(&self, request: &Request<'_>, by: &Caller) -> Result<Grant, Answer> {
        let host = request.header("host").and_then(|host| std::str::from_utf8(host).ok());
        let grant = match &self.file {
            Some(path) => self.grant_of_token(path, request)?,
            None if by.is_unix() || host.is_some_and(is_of_this_machine) => Grant::Full,
            None => {
                let reason = "Host must be an address or localhost, since no token is asked for here";
                return Err(Answer::error(403, reason));
            }
        };
        if let Some(origin) = request.header("origin") {
            let origin = std::str::from_utf8(origin).unwrap_or_default();
            if !host.is_some_and(|host| is_same_host(origin, host)) {
                return Err(Answer::error(403, "Origin is another one than Host"));
            }
        }
        Ok(grant)
    }

    /// Whether this request may change something.
    ///
    /// # Errors
    /// No, and the close code and reason for the peer.
    pub(super) fn admit_change(grant: Grant, request: &Request<'_>) -> Result<(), Answer> {
        if grant != Grant::Full {
            return Err(Answer::error(403, "this token is for reading"));
        }
        if request.header("websockify-admin") != Some(b"1") {
            return Err(Answer::error(403, "the header 'Websockify-Admin: 1' is needed to change something"));
        }
        Ok(())
    }

    fn grant_of_token(&self, path: &Path, request: &Request<'_>) -> Result<Grant, Answer> {
        let tokens = self.tokens.get(path, parse).map_err(|fault| fault.to_string());
        let tokens = match tokens.as_deref() {
            Ok(Ok(tokens)) => tokens,
            Ok(Err(text)) => return Err(self.unusable(path, text)),
            Err(text) => return Err(self.unusable(path, text)),
        };
        *self.said.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let unauthorized = |reason| Err(Answer::error(401, reason).with("WWW-Authenticate", "Bearer"));
        let mut given = request.headers("authorization");
        let (Some(value), None) = (given.next(), given.next()) else {
            return unauthorized("a token is needed: Authorization: Bearer TOKEN");
        };
        let Some(given) = bearer(value) else { return unauthorized("Authorization is not 'Bearer TOKEN'") };
        // All are compared, so that the time does not reveal which one it is.
        let found = tokens.iter().fold(None, |found: Option<Grant>, (grant, token)| {
            let is_it = secret::is_same(token.reveal(), given);
            if is_it && found != Some(Grant::Full) { Some(*grant) } else { found }
        });
        found.map_or_else(|| unauthorized("this token is not known"), Ok)
    }

    /// A file that can't be read admits nobody. This is logged once.
    fn unusable(&self, path: &Path, text: &str) -> Answer {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.as_deref() != Some(text) {
            self.log.note(
                Topic::Admin,
                Level::Warning,
                format_args!("--admin-token-file {}: {text}; nobody is let in", path.display()),
            );
            *said = Some(text.to_owned());
        }
        Answer::error(503, "the file of tokens can't be used")
    }
}

/// Whether a Host header names this machine by an address or as `localhost`. Another name may be a stranger's whose
/// pages a browser was led here from.
fn is_of_this_machine(host: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split_once(']').is_some_and(|(address, _)| address.parse::<Ipv6Addr>().is_ok());
    }
    let name = host.split(':').next().unwrap_or_default();
    name.eq_ignore_ascii_case("localhost") || name.parse::<Ipv4Addr>().is_ok()
}

/// The token of `Bearer TOKEN` (RFC 6750, 2.1); the scheme may be in any case (RFC 9110, 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(BEARER.len())?;
    let token = rest.trim_ascii_start();
    (scheme.eq_ignore_ascii_case(BEARER) && token.len() < rest.len()).then_some(token)
}

/// The tokens in a file.
fn parse(bytes: &[u8]) -> Result<Tokens, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text".to_owned())?;
    let mut tokens = Tokens::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // The line itself is not repeated: it may be a token.
        let wrong = |what: &str| Err(format!("line {}: {what}", number + 1));
        let Some((word, token)) = line.split_once([' ', '\t']) else {
            return wrong("it is neither 'full TOKEN' nor 'read TOKEN'");
        };
        let token = token.trim_start();
        let grant = match word {
            "full" => Grant::Full,
            "read" => Grant::Read,
            _ => return wrong("it begins neither with 'full' nor with 'read'"),
        };
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return wrong("a token has printable ASCII characters and no space");
        }
        if token.len() < TOKEN_MIN {
            return wrong("a token has at least 16 characters");
        }
        tokens.push((grant, Secret::new(token)));
    }
    if tokens.is_empty() { Err("it has no token".to_owned()) } else { Ok(tokens) }
}

/// Whether a file of tokens can be used. Others who can read it are warned of.
///
/// # Errors
/// What is wrong with it, in words for the log.
pub fn check_tokens(path: &Path, log: &Log) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    let name = format!("--admin-token-file {}", path.display());
    let tokens = CachedFile::default().get(path, parse).map_err(|fault| format!("{name}: {fault}"))?;
    if let Err(text) = tokens.as_ref() {
        return Err(format!("{name}: {text}"));
    }
    if std::fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o004 != 0) {
        log.note(
            Topic::Admin,
            Level::Warning,
            format_args!("{name}: every user of this machine can read it (chmod o-r)"),
        );
    }
    Ok(())
}

const BEARER: &[u8] = b"Bearer";

/// The fewest characters of a token.
const TOKEN_MIN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_of_this_machine_if_it_is_an_address_or_localhost() {
        for host in
            ["127.0.0.1", "127.0.0.1:9000", "[::1]:9000", "[::1]", "localhost", "LOCALHOST:1", "10.0.0.1:1"]
        {
            assert!(is_of_this_machine(host), "{host}");
        }
        for host in
            ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "[evil]", "1.2.3", "::1"]
        {
            assert!(!is_of_this_machine(host), "{host}");
        }
    }

    #[test]
    fn a_file_of_tokens_is_read_whole_or_not_at_all() {
        let text =
            "# who may\n\nfull abcdefghijklmnop\n\tread\t  0123456789abcdef  \nfull x!\"#$%&'()*+,-./:\n";
        let tokens = parse(text.as_bytes()).expect("in order");
        let seen: Vec<(Grant, &[u8])> =
            tokens.iter().map(|(grant, token)| (*grant, token.reveal())).collect();
        assert_eq!(
            seen,
            [
                (Grant::Full, &b"abcdefghijklmnop"[..]),
                (Grant::Read, b"0123456789abcdef"),
                (Grant::Full, b"x!\"#$%&'()*+,-./:"),
            ]
        );
        for (text, error) in [
            ("", "it has no token"),
            ("# full abcdefghijklmnop", "it has no token"),
            ("full", "line 1: it is neither 'full TOKEN' nor 'read TOKEN'"),
            ("abcdefghijklmnop", "line 1: it is neither 'full TOKEN' nor 'read TOKEN'"),
            ("full abcdefghijklmno", "line 1: a token has at least 16 characters"),
            ("\nwrite abcdefghijklmnop", "line 2: it begins neither with 'full' nor with 'read'"),
            ("full abcdefghijklmnop x", "line 1: a token has printable ASCII characters and no space"),
        ] {
            assert_eq!(parse(text.as_bytes()).err().as_deref(), Some(error), "{text:?}");
        }
        assert!(parse(b"full \xff\xff").is_err());
    }

    #[test]
    fn only_a_bearer_token_is_one() {
        assert_eq!(bearer(b"Bearer x"), Some(&b"x"[..]));
        assert_eq!(bearer(b"bearer   x y"), Some(&b"x y"[..]));
        for value in [&b"Bearer"[..], b"Bearerx", b"Basic eDp5", b"x", b""] {
            assert_eq!(bearer(value), None, "{value:?}");
        }
    }
}
