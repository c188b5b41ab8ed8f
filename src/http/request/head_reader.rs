//! Finds the end of a request head in a growing buffer.
//!
//! Each scan continues where the last one stopped, so that a head that comes a byte at a time costs no more
//! than one that comes whole, and the result does not depend on how the head was split.

use super::{HEAD_MAX, HEADERS_MAX, HeadError, REQUEST_LINE_MAX};

/// How far a request head has been scanned. One for each request.
#[derive(Clone, Debug)]
pub struct HeadReader {
    /// Bytes scanned.
    seen: usize,
    /// Where the line that is being read began.
    line: usize,
    part: Part,
    /// Complete header lines.
    headers: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Empty lines before the request line.
    Before,
    /// The request line's first word.
    Method,
    /// The rest of the request line.
    RequestLine,
    /// The first byte of a header line, which may be the last line.
    LineStart,
    /// The rest of a header line.
    HeaderLine,
}

impl HeadReader {
    /// A reader at the start of a request.
    pub const fn new() -> Self {
        HeadReader { seen: 0, line: 0, part: Part::Before, headers: 0 }
    }

    /// Scans the new bytes. `bytes` is everything since the start of the request; it only grows from one call
    /// to the next. `Ok(Some(len))` says that the head is `bytes[..len]`, `Ok(None)` that it is not complete.
    pub fn scan(&mut self, bytes: &[u8]) -> Result<Option<usize>, HeadError> {
        // Its signature looks like empty lines at first, so it is awaited whole before anything is refused.
        if self.part == Part::Before && bytes.starts_with(PROXY_V2) {
            return Err(PROXY_PROTOCOL);
        }
        let bytes = &bytes[..bytes.len().min(HEAD_MAX)];
        while self.seen < bytes.len() {
            match self.part {
                Part::Before => self.skip_empty(bytes[self.seen])?,
                Part::Method => self.read_method(bytes[self.seen])?,
                Part::RequestLine => self.read_request_line(bytes)?,
                Part::LineStart => match bytes[self.seen] {
                    b' ' | b'\t' => return Err(HeadError::Malformed("header line is folded")),
                    _ => self.part = Part::HeaderLine,
                },
                Part::HeaderLine => {
                    let Some(end) = self.find_line_end(bytes, bytes.len()) else { break };
                    if matches!(bytes[self.line..end], [b'\n'] | [b'\r', b'\n']) {
                        return Ok(Some(end));
                    }
                    self.headers += 1;
                    if self.headers > HEADERS_MAX {
                        return Err(HeadError::TooManyHeaders);
                    }
                    self.next_line(end);
                }
            }
        }
        if bytes.len() == HEAD_MAX { Err(HeadError::TooLarge) } else { Ok(None) }
    }

    /// Empty lines before the request are for old clients that end a body with one too many (RFC 9112, 2.2).
    fn skip_empty(&mut self, byte: u8) -> Result<(), HeadError> {
        match byte {
            b'\r' | b'\n' if self.seen < EMPTY_MAX => self.seen += 1,
            b'\r' | b'\n' => return Err(HeadError::Malformed("too many empty lines")),
            _ => {
                self.line = self.seen;
                self.part = Part::Method;
            }
        }
        Ok(())
    }

    /// Anything that does not begin with a word and a space is not a request, and its end need not be
    /// awaited.
    fn read_method(&mut self, byte: u8) -> Result<(), HeadError> {
        let len = self.seen - self.line;
        match byte {
            b' ' if len > 0 => self.part = Part::RequestLine,
            _ if len < METHOD_MAX && is_token(byte) => {}
            _ => return Err(HeadError::Malformed("request method is malformed")),
        }
        self.seen += 1;
        Ok(())
    }

    fn read_request_line(&mut self, bytes: &[u8]) -> Result<(), HeadError> {
        let limit = self.line + REQUEST_LINE_MAX;
        match self.find_line_end(bytes, limit) {
            Some(end) => {
                check_request_line(&bytes[self.line..end])?;
                self.part = Part::LineStart;
                self.next_line(end);
            }
            None if bytes.len() >= limit => return Err(HeadError::LineTooLong),
            None => {}
        }
        Ok(())
    }

    /// Searches on, up to `limit`, for the end of the line and returns where the next one begins.
    fn find_line_end(&mut self, bytes: &[u8], limit: usize) -> Option<usize> {
        let limit = limit.min(bytes.len());
        match memchr::memchr(b'\n', &bytes[self.seen..limit]) {
            Some(at) => Some(self.seen + at + 1),
            None => {
                self.seen = limit;
                None
            }
        }
    }

    fn next_line(&mut self, at: usize) {
        self.part = Part::LineStart;
        self.line = at;
        self.seen = at;
    }
}

impl Default for HeadReader {
    fn default() -> Self {
        HeadReader::new()
    }
}

/// Checks that a request line is three words, of which the last is a version that is served.
fn check_request_line(line: &[u8]) -> Result<(), HeadError> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut words = line.split(|&byte| byte == b' ');
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some(b"PROXY"), Some(b"TCP4" | b"TCP6" | b"UNKNOWN"), ..) => Err(PROXY_PROTOCOL),
        (Some(_), Some([_, ..]), Some(b"HTTP/1.0" | b"HTTP/1.1"), None) => Ok(()),
        (Some(_), Some([_, ..]), Some(version), None) if version.starts_with(b"HTTP/") => {
            Err(HeadError::Version)
        }
        (_, _, None, _) => Err(HeadError::Malformed("request line has no HTTP version")),
        _ => Err(HeadError::Malformed("request line is malformed")),
    }
}

/// The characters of a method (RFC 9110, 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// What HAProxy sends before a request with `send-proxy` or `send-proxy-v2`.
const PROXY_PROTOCOL: HeadError =
    HeadError::Malformed("PROXY protocol is not supported (HAProxy: leave out send-proxy)");

/// What version 2 of it begins with, up to its first byte that no empty line has.
const PROXY_V2: &[u8] = b"\r\n\r\n\0";

/// The most bytes of empty lines before a request.
const EMPTY_MAX: usize = 16;

/// The longest method, in bytes. The longest one registered with the IANA has 17.
const METHOD_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    type Scanned = Result<Option<usize>, HeadError>;

    fn whole(bytes: &[u8]) -> Scanned {
        HeadReader::new().scan(bytes)
    }

    /// A byte more at each scan, up to the first answer.
    fn dripped(bytes: &[u8]) -> Scanned {
        let mut reader = HeadReader::new();
        for end in 0..bytes.len() {
            match reader.scan(&bytes[..end]) {
                Ok(None) => {}
                answer => return answer,
            }
        }
        reader.scan(bytes)
    }

    #[track_caller]
    fn both(bytes: &[u8], expected: Scanned) {
        assert_eq!(whole(bytes), expected, "whole");
        assert_eq!(dripped(bytes), expected, "a byte at a time");
    }

    fn malformed(what: &'static str) -> Scanned {
        Err(HeadError::Malformed(what))
    }

    #[test]
    fn the_end_is_found_and_what_follows_is_left() {
        both(b"GET / HTTP/1.1\r\nA: b\r\n\r\nrest", Ok(Some(24)));
        both(b"GET / HTTP/1.0\n\nrest", Ok(Some(16)));
        both(b"\r\n\nGET / HTTP/1.1\r\n\r\n", Ok(Some(21)));
    }

    #[test]
    fn an_incomplete_head_is_waited_for() {
        let head = b"\r\nGET /path HTTP/1.1\r\nHost: a\r\n\r\n";
        for end in 0..head.len() {
            assert_eq!(whole(&head[..end]), Ok(None), "the first {end} bytes");
        }
        both(head, Ok(Some(head.len())));
    }

    #[test]
    fn what_can_never_be_a_request_is_refused_at_once() {
        both(b"\x00", malformed("request method is malformed"));
        both(b" /", malformed("request method is malformed"));
        both(b"RFB 003.008\n", malformed("request line has no HTTP version"));
        both(b"GET:", malformed("request method is malformed"));
        both(&[b'A'; METHOD_MAX + 1], malformed("request method is malformed"));
        both(&[b'\n'; EMPTY_MAX + 1], malformed("too many empty lines"));
        both(b"GET /\r\n", malformed("request line has no HTTP version"));
        both(b"GET  HTTP/1.1\r\n", malformed("request line is malformed"));
        both(b"GET /a b HTTP/1.1\r\n", malformed("request line is malformed"));
        both(b"GET / HTTP/1.1\r\nA: b\r\n ", malformed("header line is folded"));
        both(b"GET / HTTP/1.1\r\n\t", malformed("header line is folded"));
    }

    #[test]
    fn other_versions_are_told_from_garbage() {
        both(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Err(HeadError::Version));
        both(b"GET / HTTP/0.9\r\n", Err(HeadError::Version));
    }

    #[test]
    fn each_limit_holds_to_the_byte() {
        let line = |len: usize| format!("GET /{} HTTP/1.1\r\n", "a".repeat(len - 16)).into_bytes();
        both(&line(REQUEST_LINE_MAX), Ok(None));
        both(&line(REQUEST_LINE_MAX + 1), Err(HeadError::LineTooLong));
        both(&line(REQUEST_LINE_MAX + 1)[..REQUEST_LINE_MAX], Err(HeadError::LineTooLong));

        let head = |len: usize| format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "b".repeat(len - 23)).into_bytes();
        assert_eq!(head(HEAD_MAX).len(), HEAD_MAX);
        both(&head(HEAD_MAX), Ok(Some(HEAD_MAX)));
        both(&head(HEAD_MAX + 1), Err(HeadError::TooLarge));

        let lines = |count: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(count)).into_bytes();
        both(&lines(HEADERS_MAX), Ok(Some(lines(HEADERS_MAX).len())));
        both(&lines(HEADERS_MAX + 1), Err(HeadError::TooManyHeaders));
    }
}
