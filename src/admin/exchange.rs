//! One request and its answer on a connection that ends with it.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use socket2::Socket;

use super::Role;
use super::answer::Answer;
use super::route;
use super::{Admin, security};
use crate::http::body::{BodyError, Framing};
use crate::http::host;
use crate::http::request::{HeadReader, Request};

/// A connection and the time that its request may take.
struct Stream {
    socket: Socket,
    until: Instant,
}

/// Reads a request, answers it and closes the connection. A peer that is gone or sends nothing gets no
/// answer.
pub(super) fn exchange(admin: &Admin, socket: Socket, is_unix: bool, role: Role) {
    let mut stream = Stream { socket, until: Instant::now() + REQUEST };
    let (head, rest) = match stream.read_head() {
        Ok(read) => read,
        Err(Some(answer)) => return stream.finish(&answer, false),
        Err(None) => return,
    };
    let request = match Request::parse(&head) {
        Ok(request) => request,
        Err(error) => return stream.finish(&Answer::error(error.status().0, error.to_string()), false),
    };
    let head_only = request.method == "HEAD";
    if let Err(refusal) = host::check(&request) {
        return stream.finish(&Answer::error(refusal.status.0, &refusal.reason), head_only);
    }
    let by = security::Caller::of(&stream.socket, is_unix);
    let answer = match stream.read_body(&request, rest) {
        Ok(body) => route::answer(admin, &request, &body, &by, role),
        Err(Some(answer)) => answer,
        Err(None) => return,
    };
    stream.finish(&answer, head_only);
}

impl Stream {
    /// A whole head, and what came after it.
    fn read_head(&mut self) -> Result<(Vec<u8>, Vec<u8>), Option<Answer>> {
        let (mut reader, mut bytes) = (HeadReader::new(), Vec::new());
        loop {
            match reader.scan(&bytes) {
                Ok(Some(length)) => {
                    let rest = bytes.split_off(length);
                    return Ok((bytes, rest));
                }
                Ok(None) if bytes.len() >= HEAD_MAX => {
                    return Err(Some(Answer::error(431, "request head is too large")));
                }
                Ok(None) => {}
                Err(error) => return Err(Some(Answer::error(error.status().0, error.to_string()))),
            }
            let room = HEAD_MAX - bytes.len();
            self.read_more(&mut bytes, room)?;
        }
    }

    /// The whole body, of which `body` is what came with the head.
    fn read_body(&mut self, request: &Request<'_>, mut body: Vec<u8>) -> Result<Vec<u8>, Option<Answer>> {
        let refused = |error: BodyError| Some(Answer::error(error.status().0, error.reason()));
        let length = match Framing::of(request).map_err(refused)? {
            Framing::None => 0,
            Framing::Length(length) if length <= BODY_MAX as u64 => length as usize,
            Framing::Length(_) => return Err(refused(BodyError::TooLong)),
            Framing::Chunked => return Err(Some(Answer::error(411, "a length is needed"))),
        };
        if length > body.len() && request.has_token("expect", "100-continue") {
            // If it can't be written, the body does not come either.
            let _ = self.write(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        while body.len() < length {
            let room = length - body.len();
            self.read_more(&mut body, room)?;
        }
        body.truncate(length);
        Ok(body)
    }

    /// Appends what comes next, at most `room` bytes.
    ///
    /// # Errors It took too long, which is answered, or nothing more comes.
    fn read_more(&mut self, bytes: &mut Vec<u8>, room: usize) -> Result<(), Option<Answer>> {
        let mut space = [0; HEAD_MAX];
        let most = room.min(space.len());
        match self.read(&mut space[..most]) {
            Ok(0) => Err(None),
            Ok(count) => {
                bytes.extend_from_slice(&space[..count]);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(Some(Answer::error(408, "request did not come in time")))
            }
            Err(_) => Err(None),
        }
    }

    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        loop {
            self.socket.set_read_timeout(Some(self.left()?))?;
            match (&self.socket).read(space) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.socket.set_write_timeout(Some(self.left()?))?;
            match (&self.socket).write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What is left of the time, as the system's time limits have it: over is what would block.
    fn left(&self) -> io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(left) }
    }

    /// Writes an answer and ends the connection. What the peer still sends is read for a moment, since a socket
    /// with unread input is closed by a reset, which would take the answer with it.
    fn finish(mut self, answer: &Answer, head_only: bool) {
        // The request may have taken all of its time.
        self.until = Instant::now() + ANSWER;
        if self.write(&answer.bytes(head_only)).is_err() || self.socket.shutdown(Shutdown::Write).is_err() {
            return;
        }
        self.until = Instant::now() + LINGER;
        let mut left = LINGER_BYTES;
        let mut space = [0; 4096];
        while let Ok(count) = self.read(&mut space)
            && count > 0
            && left > 0
        {
            left = left.saturating_sub(count);
        }
    }
}

/// Time for a whole request, however slowly it arrives.
const REQUEST: Duration = Duration::from_secs(10);

/// Time for a peer to read an answer.
const ANSWER: Duration = Duration::from_secs(10);

/// How long, and how much, a peer is still read after its answer.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 64 * 1024;

/// The longest head of a request.
const HEAD_MAX: usize = 8 * 1024;

/// The longest body of a request.
const BODY_MAX: usize = 4 * 1024;
