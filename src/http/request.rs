//! One request head: where it ends, and what it says (RFC 9112).
//!
//! Finding the end and parsing are two steps, since a head may come a byte at a time: [`HeadReader`] looks
//! at each byte once and refuses early what can never become a request; only a complete head is parsed.

mod head_reader;

use std::fmt;

use super::response::Status;
pub use head_reader::HeadReader;

/// The longest request line, in bytes with its line end: tokens may be whole JWTs that carry more.
pub const REQUEST_LINE_MAX: usize = 64 << 10;

/// The longest request head, in bytes: room for the longest request line and as much again for headers,
/// among which browsers send every cookie of the site, and Kerberos tickets of 64 KiB (`Authorization: Negotiate`).
pub const HEAD_MAX: usize = 128 << 10;

/// The most header lines: more than any browser behind any chain of proxies sends.
pub const HEADERS_MAX: usize = 100;

/// Why a request head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// It is not HTTP; says what is wrong with it.
    Malformed(&'static str),
    /// The request line exceeds [`REQUEST_LINE_MAX`].
    LineTooLong,
    /// The head exceeds [`HEAD_MAX`].
    TooLarge,
    /// There are more than [`HEADERS_MAX`] header lines.
    TooManyHeaders,
    /// Neither HTTP/1.0 nor HTTP/1.1; HTTP/2's preface among others.
    Version,
}

impl HeadError {
    /// The status to answer with.
    pub fn status(&self) -> Status {
        Status(match self {
            HeadError::Malformed(_) => 400,
            HeadError::LineTooLong => 414,
            HeadError::TooLarge | HeadError::TooManyHeaders => 431,
            HeadError::Version => 505,
        })
    }
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HeadError::Malformed(what) => what,
            HeadError::LineTooLong => "request line is too long",
            HeadError::TooLarge => "request head is too large",
            HeadError::TooManyHeaders => "too many header lines",
            HeadError::Version => "HTTP version is not supported",
        })
    }
}

impl std::error::Error for HeadError {}

/// A parsed request head. It borrows the bytes it was read from.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The method, a token; methods are case-sensitive.
    pub method: &'a str,
    /// Path and query: begins with `/`, or is `*`. Of an absolute-form target (`http://host/path`) only
    /// the path and query are kept.
    pub target: &'a str,
    /// 0 or 1: HTTP/1.0 or HTTP/1.1.
    pub minor_version: u8,
    headers: Vec<httparse::Header<'a>>,
}

impl<'a> Request<'a> {
    /// Parses a complete head, as [`HeadReader::scan`] has found it.
    pub fn parse(head: &'a [u8]) -> Result<Request<'a>, HeadError> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(head) {
            Ok(httparse::Status::Complete(len)) if len == head.len() => {}
            Ok(_) => return Err(HeadError::Malformed("request head is incomplete")),
            Err(error) => return Err(error.into()),
        }
        let (Some(method), Some(target), Some(minor_version)) =
            (request.method, request.path, request.version)
        else {
            return Err(HeadError::Malformed("request line is incomplete"));
        };
        let target = origin_form(target).ok_or(HeadError::Malformed("request target is malformed"))?;
        Ok(Request { method, target, minor_version, headers: request.headers.to_vec() })
    }

    /// The value of the first header line of this name (in any case), without white space around it.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers(name).next()
    }

    /// The values of all header lines of this name (in any case), in order.
    pub fn headers<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'a [u8]> + use<'s, 'a> {
        self.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| {
            // The parser leaves no other white space around a value.
            header.value.trim_ascii()
        })
    }

    /// Name, as it came, and value of each header line, in order.
    pub fn fields(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + '_ {
        self.headers.iter().map(|header| (header.name, header.value.trim_ascii()))
    }

    /// The members of a comma-separated list that may span several header lines, trimmed, without empty
    /// ones (RFC 9110, 5.6.1).
    pub fn list<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'a [u8]> + use<'s, 'a> {
        let members = self.headers(name).flat_map(|value| value.split(|&byte| byte == b','));
        members.map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
    }

    /// Whether the list in these header lines has this member, in any case.
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.list(name).any(|member| member.eq_ignore_ascii_case(token.as_bytes()))
    }
}

impl From<httparse::Error> for HeadError {
    fn from(error: httparse::Error) -> Self {
        match error {
            httparse::Error::Token => HeadError::Malformed("request line is malformed"),
            httparse::Error::Version => HeadError::Version,
            httparse::Error::HeaderName => HeadError::Malformed("header name is malformed"),
            httparse::Error::HeaderValue => HeadError::Malformed("header value is malformed"),
            httparse::Error::TooManyHeaders => HeadError::TooManyHeaders,
            httparse::Error::NewLine | httparse::Error::Status => {
                HeadError::Malformed("line end is malformed")
            }
        }
    }
}

/// Path and query of a request target (RFC 9112, 3.2); `None` for a form that only proxies serve, and for
/// what is not a target at all.
fn origin_form(target: &str) -> Option<&str> {
    if target.starts_with('/') || target == "*" {
        return Some(target);
    }
    let (scheme, rest) = target.split_once("://")?;
    if !["http", "https", "ws", "wss"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return None;
    }
    match rest.find(['/', '?', '#']) {
        Some(at) if rest[at..].starts_with('/') => Some(&rest[at..]),
        Some(_) => None,
        None => Some("/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(head: &str) -> Result<Request<'_>, HeadError> {
        Request::parse(head.as_bytes())
    }

    #[test]
    fn a_request_is_taken_apart() {
        let request =
            parse("GET /websockify?token=a HTTP/1.1\r\nHost: example.org\r\nX-Y:  z \r\n\r\n").unwrap();
        assert_eq!(
            (request.method, request.target, request.minor_version),
            ("GET", "/websockify?token=a", 1)
        );
        assert_eq!(request.header("host"), Some(&b"example.org"[..]));
        assert_eq!(request.header("x-y"), Some(&b"z"[..]));
        assert_eq!(request.header("absent"), None);
        assert_eq!(parse("HEAD / HTTP/1.0\r\n\r\n").unwrap().minor_version, 0);
    }

    #[test]
    fn lists_may_span_lines_and_any_case() {
        let head = "GET / HTTP/1.1\r\nConnection: keep-alive , Upgrade\r\nCONNECTION:\t,,close,\r\n\r\n";
        let request = parse(head).unwrap();
        for token in ["upgrade", "close", "Keep-Alive"] {
            assert!(request.has_token("connection", token), "{token}");
        }
        assert!(!request.has_token("connection", "keep"));
        assert!(!request.has_token("upgrade", "upgrade"));
        assert_eq!(request.headers("connection").count(), 2);
    }

    #[test]
    fn only_the_path_of_an_absolute_target_counts() {
        let table = [
            ("/a?b", Some("/a?b")),
            ("//a", Some("//a")),
            ("*", Some("*")),
            ("http://host:80/a?b=c", Some("/a?b=c")),
            ("WSS://user:pw@[::1]:443/a", Some("/a")),
            ("http://host", Some("/")),
            ("http://host?a", None),
            ("ftp://host/", None),
            ("host:443", None),
            ("a", None),
            ("?a", None),
        ];
        for (target, expected) in table {
            assert_eq!(origin_form(target), expected, "{target}");
        }
    }

    #[test]
    fn what_is_not_http_is_refused_with_its_status() {
        let table = [
            ("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nA : b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nA\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nA: \x01\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", 400),
            ("GET a HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\n", 400),
            ("GET / HTTP/1.1\r\n\r\nrest", 400),
            ("GET / HTTP/3.0\r\n\r\n", 505),
        ];
        for (head, status) in table {
            assert_eq!(parse(head).map(|_| ()).map_err(|error| error.status().0), Err(status), "{head:?}");
        }
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(HEADERS_MAX + 1));
        assert_eq!(parse(&many).map(|_| ()), Err(HeadError::TooManyHeaders));
    }
}
