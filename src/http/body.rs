//! Request bodies: how one is framed (RFC 9112, 6), and where it ends, so that it can be read and discarded.
//!
//! The bytes of a body are not used. But it must be certain where the next request begins, or the connection
//! is closed: requests are smuggled past proxies as bodies that are taken for requests.

use std::fmt;

use super::request::Request;
use super::response::Status;

/// The most bytes of a body that are read and discarded, chunk headers included. Beyond that, closing the
/// connection is cheaper for both sides.
pub const BODY_MAX: u64 = 64 << 10;

/// How a request's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// This many bytes, at least one.
    Length(u64),
    /// Chunks.
    Chunked,
}

/// What is wrong with a body; nothing after it can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// The headers that frame it contradict each other or are malformed.
    Framing,
    /// A transfer coding other than `chunked`.
    Coding,
    /// A chunk is malformed.
    Chunk,
    /// It exceeds [`BODY_MAX`].
    TooLong,
}

impl BodyError {
    /// The status to answer with.
    pub fn status(self) -> Status {
        Status(match self {
            BodyError::Framing | BodyError::Chunk => 400,
            BodyError::Coding => 501,
            BodyError::TooLong => 413,
        })
    }

    /// What is wrong, in a few words.
    pub fn reason(self) -> &'static str {
        match self {
            BodyError::Framing => "request body is framed in a malformed way",
            BodyError::Coding => "transfer coding is not supported",
            BodyError::Chunk => "chunk is malformed",
            BodyError::TooLong => "request body is too long",
        }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for BodyError {}

impl Framing {
    /// How the body of `request` is framed.
    ///
    /// # Errors Its headers are ambiguous, or another server on the way may have read them differently.
    pub fn of(request: &Request<'_>) -> Result<Framing, BodyError> {
        let mut lengths = request.headers("content-length");
        let length = lengths.next();
        if length.is_some() && lengths.any(|other| Some(other) != length) {
            return Err(BodyError::Framing);
        }
        // A server on the way may see a coding in an empty line or an empty member.
        let mut members = request.headers("transfer-encoding").flat_map(|value| value.split(|&b| b == b','));
        if members.any(|member| member.trim_ascii().is_empty()) {
            return Err(BodyError::Framing);
        }
        let mut codings = request.list("transfer-encoding");
        match (codings.next(), codings.next(), length) {
            (None, _, None) => Ok(Framing::None),
            (None, _, Some(digits)) => Framing::of_length(digits),
            (Some(_), _, Some(_)) => Err(BodyError::Framing),
            _ if request.minor_version == 0 => Err(BodyError::Framing),
            (Some(coding), None, None) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
            _ => Err(BodyError::Coding),
        }
    }

    fn of_length(digits: &[u8]) -> Result<Framing, BodyError> {
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(BodyError::Framing);
        }
        let add = |sum: u64, digit: &u8| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
        match digits.iter().fold(0, add) {
            0 => Ok(Framing::None),
            length => Ok(Framing::Length(length)),
        }
    }
}

/// Finds the end of a body in a stream that comes in any pieces.
#[derive(Clone, Debug)]
pub struct Skipper {
    part: Part,
    skipped: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// This many bytes, then the end.
    Plain(u64),
    /// The digits of a chunk's size; whether there was one already.
    Size(u64, bool),
    /// The blanks behind the size, which nothing but an extension may follow (RFC 9112, section 7.1.1).
    Blank(u64),
    /// What follows the size on its line.
    Extension(u64),
    /// The LF of that line.
    SizeEnd(u64),
    /// Bytes of a chunk.
    Data(u64),
    /// The line end behind a chunk; whether its CR was there.
    DataEnd(bool),
    /// A line behind the last chunk; whether it is empty so far.
    Trailer(bool),
    /// The LF of that line.
    TrailerEnd(bool),
    Done,
}

impl Skipper {
    /// At the start of a body.
    ///
    /// # Errors
    /// It is known to be too long.
    pub fn new(framing: Framing) -> Result<Skipper, BodyError> {
        let part = match framing {
            Framing::None => Part::Done,
            Framing::Length(length) if length > BODY_MAX => return Err(BodyError::TooLong),
            Framing::Length(length) => Part::Plain(length),
            Framing::Chunked => Part::Size(0, false),
        };
        Ok(Skipper { part, skipped: 0 })
    }

    /// Whether the body is over.
    pub fn is_done(&self) -> bool {
        self.part == Part::Done
    }

    /// Reads on through `bytes` and returns how many of them belong to the body.
    ///
    /// # Errors
    /// The body is malformed or too long.
    pub fn skip(&mut self, bytes: &[u8]) -> Result<usize, BodyError> {
        let mut at = 0;
        while at < bytes.len() && !self.is_done() {
            let rest = bytes.len() - at;
            let count = match &mut self.part {
                Part::Plain(left) | Part::Data(left) => {
                    let count = usize::try_from(*left).unwrap_or(rest).min(rest);
                    *left -= count as u64;
                    count
                }
                _ => {
                    self.part = self.part.next(bytes[at])?;
                    1
                }
            };
            self.part = match self.part {
                Part::Plain(0) => Part::Done,
                Part::Data(0) => Part::DataEnd(false),
                part => part,
            };
            at += count;
            self.skipped += count as u64;
            if self.skipped > BODY_MAX {
                return Err(BodyError::TooLong);
            }
        }
        Ok(at)
    }
}

impl Part {
    /// What follows one byte of a chunked body that is not data.
    fn next(self, byte: u8) -> Result<Part, BodyError> {
        Ok(match (self, byte) {
            (Part::Size(size, _), digit) if digit.is_ascii_hexdigit() => {
                let digit = char::from(digit).to_digit(16).unwrap_or(0);
                let size = size.checked_mul(16).ok_or(BodyError::TooLong)?;
                Part::Size(size + u64::from(digit), true)
            }
            (Part::Size(size, true) | Part::Blank(size) | Part::Extension(size), b'\r') => {
                Part::SizeEnd(size)
            }
            (Part::Size(size, true) | Part::Blank(size), b' ' | b'\t') => Part::Blank(size),
            (Part::Size(size, true) | Part::Blank(size), b';') => Part::Extension(size),
            // An LF alone ends a line for some servers and not for others, so it is nobody's line end here.
            (Part::Extension(_) | Part::Trailer(_), b'\n') => return Err(BodyError::Chunk),
            (Part::Extension(size), _) => Part::Extension(size),
            (Part::SizeEnd(0), b'\n') => Part::Trailer(true),
            (Part::SizeEnd(size), b'\n') => Part::Data(size),
            (Part::DataEnd(false), b'\r') => Part::DataEnd(true),
            (Part::DataEnd(true), b'\n') => Part::Size(0, false),
            (Part::Trailer(empty), b'\r') => Part::TrailerEnd(empty),
            (Part::Trailer(_), _) => Part::Trailer(false),
            (Part::TrailerEnd(true), b'\n') => Part::Done,
            (Part::TrailerEnd(false), b'\n') => Part::Trailer(true),
            _ => return Err(BodyError::Chunk),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(version: u8, headers: &str) -> Result<Framing, BodyError> {
        let head = format!("POST / HTTP/1.{version}\r\n{headers}\r\n");
        Framing::of(&Request::parse(head.as_bytes()).expect("well-formed"))
    }

    #[test]
    fn a_body_is_framed_beyond_doubt_or_not_at_all() {
        let table = [
            ("", Ok(Framing::None)),
            ("Content-Length: 0\r\n", Ok(Framing::None)),
            ("Content-Length: 12\r\n", Ok(Framing::Length(12))),
            ("Content-Length: 12\r\nContent-Length: 12\r\n", Ok(Framing::Length(12))),
            ("Content-Length: 99999999999999999999999\r\n", Ok(Framing::Length(u64::MAX))),
            ("Transfer-Encoding: Chunked\r\n", Ok(Framing::Chunked)),
            ("Content-Length: 12\r\nContent-Length: 13\r\n", Err(BodyError::Framing)),
            ("Content-Length: 1, 1\r\n", Err(BodyError::Framing)),
            ("Content-Length: +1\r\n", Err(BodyError::Framing)),
            ("Content-Length:\r\n", Err(BodyError::Framing)),
            ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", Err(BodyError::Framing)),
            ("Transfer-Encoding: gzip, chunked\r\n", Err(BodyError::Coding)),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Err(BodyError::Coding)),
            ("Transfer-Encoding: xchunked\r\n", Err(BodyError::Coding)),
            ("Transfer-Encoding:\r\n", Err(BodyError::Framing)),
            ("Transfer-Encoding:\r\nContent-Length: 3\r\n", Err(BodyError::Framing)),
            ("Transfer-Encoding: ,\r\n", Err(BodyError::Framing)),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: \t\r\n", Err(BodyError::Framing)),
            ("Transfer-Encoding: chunked,\r\n", Err(BodyError::Framing)),
            ("Transfer-Encoding: , chunked\r\n", Err(BodyError::Framing)),
        ];
        for (headers, expected) in table {
            assert_eq!(framing(1, headers), expected, "{headers}");
        }
        assert_eq!(framing(0, "Transfer-Encoding: chunked\r\n"), Err(BodyError::Framing));
    }

    /// The body's length, the same whole and a byte at a time.
    fn length(framing: Framing, stream: &[u8]) -> Result<Option<usize>, BodyError> {
        let run = |step: usize| {
            let mut skipper = Skipper::new(framing)?;
            let mut total = 0;
            for piece in stream.chunks(step) {
                total += skipper.skip(piece)?;
            }
            Ok(skipper.is_done().then_some(total))
        };
        let whole = run(stream.len().max(1));
        assert_eq!(run(1), whole, "a byte at a time");
        whole
    }

    #[test]
    fn the_end_of_a_body_is_found_to_the_byte() {
        let table: [(Framing, &str, Option<usize>); 7] = [
            (Framing::None, "GET", Some(0)),
            (Framing::Length(3), "abcGET", Some(3)),
            (Framing::Length(3), "ab", None),
            (Framing::Chunked, "0\r\n\r\nGET", Some(5)),
            (Framing::Chunked, "3\r\nabc\r\n00A;x=\"y\"\r\n0123456789\r\n0\r\n\r\nGET", Some(36)),
            (Framing::Chunked, "0\r\nA: b\r\nC: d\r\n\r\nGET", Some(17)),
            (Framing::Chunked, "3\r\nabc\r\n0\r\n", None),
        ];
        for (framing, stream, expected) in table {
            assert_eq!(length(framing, stream.as_bytes()), Ok(expected), "{stream}");
        }
    }

    #[test]
    fn malformed_chunks_and_long_bodies_are_refused() {
        let streams = [
            "\r\n",
            "x\r\n",
            ";\r\n",
            "3\r\nabcd",
            "3\r\nabc\rx",
            "-1\r\n",
            "3\n",
            "3;\n",
            "3 x\r\nabc\r\n",
            "3\t\"x\r\nabc\r\n",
            "3\rx",
            "3\r\nabc\n",
            "0\r\n\n",
            "0\r\nA\n",
            "0\r\n\rx",
        ];
        for stream in streams {
            assert_eq!(length(Framing::Chunked, stream.as_bytes()), Err(BodyError::Chunk), "{stream}");
        }
        let endless = "f".repeat(40);
        assert_eq!(length(Framing::Chunked, endless.as_bytes()), Err(BodyError::TooLong));
        let stuffing = format!("1;{}", "x".repeat(BODY_MAX as usize));
        assert_eq!(length(Framing::Chunked, stuffing.as_bytes()), Err(BodyError::TooLong));
        assert_eq!(length(Framing::Length(BODY_MAX + 1), b""), Err(BodyError::TooLong));
        let most = vec![b'x'; BODY_MAX as usize];
        assert_eq!(length(Framing::Length(BODY_MAX), &most), Ok(Some(BODY_MAX as usize)));
    }
}
