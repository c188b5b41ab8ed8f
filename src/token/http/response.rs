//! An HTTP/1.1 response, decoded piece by piece, however it is split.

use std::fmt;

/// Decodes a response. Interim responses (1xx) are skipped.
#[derive(Default)]
pub(super) struct Decoder {
    state: State,
    /// The head, or the line that is being read.
    line: Vec<u8>,
    status: u16,
    location: Option<String>,
    body: Vec<u8>,
    /// Bytes that were not part of the body.
    overhead: usize,
}

/// An answer that is whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) status: u16,
    /// Where a redirect leads.
    pub(super) location: Option<String>,
    pub(super) body: Vec<u8>,
}

/// What comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    /// So much of the body.
    Sized(usize),
    /// A line with the size of a chunk.
    Size,
    /// So much of a chunk.
    Chunk(usize),
    /// The end of the line behind a chunk.
    ChunkEnd,
    /// Fields behind the last chunk.
    Trailer,
    /// The body, which ends with the connection.
    Rest,
    Whole,
}

/// What is wrong with a response, without any part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    NotHttp,
    HeadTooLarge,
    BodyTooLarge,
    BadLength,
    BadCoding,
    BadChunk,
    Truncated,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::NotHttp => "the answer is not HTTP/1",
            Fault::HeadTooLarge => "the answer's head is too large",
            Fault::BodyTooLarge => "the answer is larger than 64 KiB",
            Fault::BadLength => "the answer's length is invalid",
            Fault::BadCoding => "the answer has an encoding that was not requested",
            Fault::BadChunk => "the answer's chunks are invalid",
            Fault::Truncated => "the answer ended prematurely",
        })
    }
}

impl Decoder {
    /// Decodes bytes that were read; true when the response is complete.
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> Result<bool, Fault> {
        while !bytes.is_empty() && self.state != State::Whole {
            bytes = match self.state {
                State::Head => self.head(bytes)?,
                State::Sized(left) | State::Chunk(left) => self.sized(left, bytes)?,
                State::Size | State::ChunkEnd | State::Trailer => self.line(bytes)?,
                State::Rest => {
                    self.keep(bytes)?;
                    &[]
                }
                State::Whole => bytes,
            };
        }
        Ok(self.state == State::Whole)
    }

    /// The connection has ended.
    pub(super) fn end(&mut self) -> Result<(), Fault> {
        if self.state == State::Rest {
            self.state = State::Whole;
        }
        if self.state == State::Whole { Ok(()) } else { Err(Fault::Truncated) }
    }

    /// The status, if there is only a head so far; for CONNECT.
    pub(super) fn status(&self) -> Option<u16> {
        (self.state != State::Head).then_some(self.status)
    }

    /// The answer.
    pub(super) fn finish(self) -> Response {
        Response { status: self.status, location: self.location, body: self.body }
    }

    /// Adds to the head, line by line, so that nothing after it is taken for a part of it.
    fn head<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Fault> {
        let end = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
        let (own, rest) = bytes.split_at(end);
        self.count(own.len(), Fault::HeadTooLarge)?;
        self.line.extend_from_slice(own);
        if !(self.line.ends_with(b"\n\r\n") || self.line.ends_with(b"\n\n")) {
            return Ok(rest);
        }
        let head = std::mem::take(&mut self.line);
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut response = httparse::Response::new(&mut fields);
        match response.parse(&head) {
            Ok(httparse::Status::Complete(_)) => {}
            // Empty lines before it.
            Ok(httparse::Status::Partial) if head.trim_ascii().is_empty() => return Ok(rest),
            Ok(httparse::Status::Partial) => return Err(Fault::NotHttp),
            Err(httparse::Error::TooManyHeaders) => return Err(Fault::HeadTooLarge),
            Err(_) => return Err(Fault::NotHttp),
        }
        let status = response.code.ok_or(Fault::NotHttp)?;
        if (100..200).contains(&status) && status != 101 {
            return Ok(rest);
        }
        self.status = status;
        self.state = self.framing(response.headers)?;
        Ok(rest)
    }

    /// How the body's end is marked.
    fn framing(&mut self, fields: &[httparse::Header<'_>]) -> Result<State, Fault> {
        let mut length: Option<usize> = None;
        let (mut is_chunked, mut is_plain) = (false, true);
        for field in fields {
            let value = field.value.trim_ascii();
            if field.name.eq_ignore_ascii_case("content-length") {
                for value in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
                    let text =
                        std::str::from_utf8(value).ok().filter(|_| is_number).ok_or(Fault::BadLength)?;
                    let number = text.parse().unwrap_or(usize::MAX);
                    if length.is_some_and(|length| length != number) {
                        return Err(Fault::BadLength);
                    }
                    length = Some(number);
                }
            } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
                if is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Fault::BadCoding);
                }
                is_chunked = true;
            } else if field.name.eq_ignore_ascii_case("content-encoding") {
                is_plain &= value.is_empty() || value.eq_ignore_ascii_case(b"identity");
            } else if field.name.eq_ignore_ascii_case("location") {
                self.location.get_or_insert_with(|| String::from_utf8_lossy(value).into_owned());
            }
        }
        let is_success = (200..300).contains(&self.status);
        if is_success && !is_plain {
            return Err(Fault::BadCoding);
        }
        Ok(match length {
            _ if matches!(self.status, 101 | 204 | 304) => State::Whole,
            // Only the body of a successful response matters.
            _ if !is_success => State::Whole,
            _ if is_chunked => State::Size,
            Some(0) => State::Whole,
            Some(length) if length > BODY_MAX => return Err(Fault::BodyTooLarge),
            Some(length) => State::Sized(length),
            None => State::Rest,
        })
    }

    fn sized<'a>(&mut self, left: usize, bytes: &'a [u8]) -> Result<&'a [u8], Fault> {
        let (own, rest) = bytes.split_at(left.min(bytes.len()));
        self.keep(own)?;
        let left = left - own.len();
        self.state = match self.state {
            State::Sized(_) if left == 0 => State::Whole,
            State::Sized(_) => State::Sized(left),
            _ if left == 0 => State::ChunkEnd,
            _ => State::Chunk(left),
        };
        Ok(rest)
    }

    /// Reads a line between chunks.
    fn line<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Fault> {
        let end = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
        let (own, rest) = bytes.split_at(end);
        self.count(own.len(), Fault::BadChunk)?;
        self.line.extend_from_slice(own);
        if !own.ends_with(b"\n") {
            return Ok(rest);
        }
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.state = match self.state {
            State::ChunkEnd if line.is_empty() => State::Size,
            State::Trailer if line.is_empty() => State::Whole,
            State::Trailer => State::Trailer,
            State::Size => match size(line).ok_or(Fault::BadChunk)? {
                0 => State::Trailer,
                size if size > BODY_MAX => return Err(Fault::BodyTooLarge),
                size => State::Chunk(size),
            },
            _ => return Err(Fault::BadChunk),
        };
        Ok(rest)
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if bytes.len() > BODY_MAX - self.body.len() {
            return Err(Fault::BodyTooLarge);
        }
        self.body.extend_from_slice(bytes);
        Ok(())
    }

    fn count(&mut self, bytes: usize, fault: Fault) -> Result<(), Fault> {
        self.overhead += bytes;
        if self.overhead > OVERHEAD_MAX { Err(fault) } else { Ok(()) }
    }
}

/// The size of a chunk; after a semicolon there is an extension.
fn size(line: &[u8]) -> Option<usize> {
    let digits = line.split(|&byte| byte == b';').next()?.trim_ascii();
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(digits).ok().filter(|_| is_number)?;
    Some(usize::from_str_radix(text, 16).unwrap_or(usize::MAX))
}

/// The body of an answer: one host and one port.
pub(super) const BODY_MAX: usize = 64 * 1024;

/// Heads, lines around chunks and trailers together.
const OVERHEAD_MAX: usize = 64 * 1024;

/// Fields in a head.
const FIELDS_MAX: usize = 100;

/// For fuzzing: the answer in `bytes` cut at `cut`, and whether it is whole and in order.
#[cfg(any(test, feature = "testing"))]
pub(in crate::token) fn decode(bytes: &[u8], cut: usize) -> Option<(u16, Vec<u8>)> {
    let mut decoder = Decoder::default();
    let (one, two) = bytes.split_at(cut.min(bytes.len()));
    let is_whole = decoder.take(one).ok()? || decoder.take(two).ok()?;
    if !is_whole {
        decoder.end().ok()?;
    }
    assert!(decoder.body.len() <= BODY_MAX);
    let response = decoder.finish();
    Some((response.status, response.body))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer, by every way to cut it in two and byte by byte; they must agree.
    fn read(text: &str) -> Result<Response, Fault> {
        let whole = |pieces: Vec<&[u8]>| {
            let mut decoder = Decoder::default();
            for piece in pieces {
                if decoder.take(piece)? {
                    return Ok(decoder.finish());
                }
            }
            decoder.end()?;
            Ok(decoder.finish())
        };
        let found = whole(text.as_bytes().chunks(1).collect());
        for cut in 0..text.len().min(300) {
            let (one, two) = text.as_bytes().split_at(cut);
            assert_eq!(whole(vec![one, two]), found, "{text:?} cut at {cut}");
        }
        found
    }

    fn body(text: &str) -> Result<String, Fault> {
        read(text).map(|response| String::from_utf8(response.body).expect("text"))
    }

    #[test]
    fn the_body_ends_where_its_head_says() {
        for (text, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "abc"),
            ("HTTP/1.1 200 OK\r\ncontent-length:3\r\n\r\nabcdef", "abc"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\nContent-Length: 3\r\n\r\nabc", "abc"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""),
            ("HTTP/1.0 200 OK\r\n\r\nabc", "abc"),
            ("HTTP/1.1 200\r\n\r\n", ""),
            ("HTTP/1.1 200 OK\n\nabc", "abc"),
            ("\r\nHTTP/1.1 200 OK\r\n\r\nabc", "abc"),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", "a"),
            ("HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n", ""),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n",
                "abc",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nContent-Length: 9\r\n\r\n03 \nabc\n0\nA: b\n\n",
                "abc",
            ),
            ("HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\nContent-Length: 1\r\n\r\na", "a"),
        ] {
            assert_eq!(body(text).as_deref(), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn an_answer_that_lies_is_none() {
        for (text, fault) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc", Fault::Truncated),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n", Fault::Truncated),
            ("", Fault::Truncated),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", Fault::BadLength),
            ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nabc", Fault::BadLength),
            ("HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nabc", Fault::BadLength),
            ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nabc", Fault::BodyTooLarge),
            ("HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\nabc", Fault::BodyTooLarge),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Fault::BadCoding),
            ("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nabc", Fault::BadCoding),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", Fault::BadChunk),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", Fault::BadChunk),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n", Fault::BadChunk),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", Fault::Truncated),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", Fault::Truncated),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\n",
                Fault::BodyTooLarge,
            ),
            ("SSH-2.0-OpenSSH_9.2\r\n\r\n", Fault::NotHttp),
            ("HTTP/2 200\r\n\r\n", Fault::NotHttp),
        ] {
            assert_eq!(body(text), Err(fault), "{text:?}");
        }
    }

    #[test]
    fn what_is_too_large_ends_the_reading() {
        let feed = |head: &str, piece: &[u8]| {
            let mut decoder = Decoder::default();
            decoder.take(head.as_bytes()).expect("a head");
            (0..1000).find_map(|_| decoder.take(piece).err())
        };
        assert_eq!(feed("HTTP/1.1 200 OK\r\n\r\n", &[b'a'; 1000]), Some(Fault::BodyTooLarge));
        assert_eq!(feed("HTTP/1.1 200 OK\r\nA: ", &[b'a'; 1000]), Some(Fault::HeadTooLarge));
        assert_eq!(feed("HTTP/1.1 200 OK\r\n", &b"A: b\r\n".repeat(50)), Some(Fault::HeadTooLarge));
        assert_eq!(feed("", &b"HTTP/1.1 100 Continue\r\n\r\n".repeat(100)), Some(Fault::HeadTooLarge));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(
            feed(chunked, &b"100\r\n".iter().copied().chain([b'a'; 256]).chain(*b"\r\n").collect::<Vec<_>>()),
            Some(Fault::BodyTooLarge)
        );
        assert_eq!(feed(chunked, &[b'0'; 1000]), Some(Fault::BadChunk));
    }

    #[test]
    fn only_what_is_found_has_a_body() {
        let found =
            read("HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 9999999\r\n\r\n").expect("whole");
        assert_eq!((found.status, found.location.as_deref()), (302, Some("/x")));
        assert_eq!(
            read("HTTP/1.1 404 Not Found\r\nContent-Encoding: gzip\r\n\r\nabc").expect("whole").status,
            404
        );
    }
}
