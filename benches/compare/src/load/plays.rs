//! What one session of the target does in each play.

use crate::load::block::{Block, Cursor};
use crate::load::mix::{Cutter, Message};
use crate::load::poll::Socket;
use crate::load::wire::{ANSWER, KEY, SERVER_CLOSE, head_is_whole, put_frame};
use std::io;
use std::net::TcpStream;

/// One session of the target.
pub(crate) struct Session {
    pub(crate) socket: Socket,
    /// The request so far, while the target still has to answer it.
    head: Option<Vec<u8>>,
    /// Of a flood: its place.
    cursor: Cursor,
    /// Of an echo and a mix: the message that is not whole yet, and updates that found no room.
    partial: Cutter,
    unsent: Vec<u8>,
    /// It is in the queue of those that can go on.
    pub(crate) queued: bool,
}

/// How a session goes on after its turn.
pub(crate) enum Turn {
    Wait,
    More,
    Ended,
}

impl Session {
    /// A session that begins with the request if the target has to answer it.
    pub(crate) fn new(stream: TcpStream, answers: bool) -> Session {
        Session {
            socket: Socket::new(stream),
            queued: false,
            head: answers.then(Vec::new),
            cursor: Cursor::default(),
            partial: Cutter::default(),
            unsent: Vec::new(),
        }
    }

    pub(crate) fn has_to_answer(&self) -> bool {
        self.head.is_some()
    }

    /// Reads the request's head and answers it; true when that is done.
    pub(crate) fn answer(&mut self) -> io::Result<bool> {
        let Some(head) = &mut self.head else { return Ok(true) };
        let mut buffer = [0; 1024];
        while self.socket.readable {
            match self.socket.read(&mut buffer)? {
                Some(count) if count > 0 => head.extend_from_slice(&buffer[..count]),
                Some(_) => return Err(io::Error::other("a session ended within its request")),
                None => break,
            }
        }
        if !head_is_whole(head) {
            return Ok(false);
        }
        self.head = None;
        write_small(&mut self.socket, ANSWER)?;
        Ok(true)
    }

    pub(crate) fn send(&mut self, block: &mut Block, until: u64, done: impl Fn()) -> io::Result<Turn> {
        let start = self.cursor.number;
        while self.cursor.number < until && self.socket.writable {
            if self.cursor.number > start {
                return Ok(Turn::More);
            }
            let most = block.message_bytes() - self.cursor.at % block.message_bytes();
            let taken = self.socket.write(block.next(self.cursor, most))?;
            self.cursor.advance(taken, block.len());
            if self.cursor.number == until {
                done();
            }
        }
        if self.socket.readable && self.cursor.number >= until {
            return Ok(if self.socket.read(&mut [0; 64]).is_ok_and(|count| count.is_none()) {
                Turn::Wait
            } else {
                Turn::Ended
            });
        }
        Ok(Turn::Wait)
    }

    pub(crate) fn verify(
        &mut self,
        block: &mut Block,
        scratch: &mut [u8],
        until: u64,
        done: impl FnOnce(),
    ) -> io::Result<Turn> {
        if !self.socket.readable {
            return Ok(Turn::Wait);
        }
        let Cursor { number, at } = self.cursor;
        match self.socket.read(scratch) {
            Ok(None) => return Ok(Turn::Wait),
            Ok(Some(0)) if number >= until && at == 0 => return Ok(Turn::Ended),
            Ok(Some(0)) => {
                return Err(io::Error::other(format!("the stream ended in block {number} at {at}")));
            }
            Ok(Some(count)) if !block.check(&mut self.cursor, &scratch[..count]) => {
                return Err(io::Error::other(format!("wrong bytes up, in block {} or later", number)));
            }
            Ok(Some(_)) => {}
            Err(_) if number >= until && at == 0 => return Ok(Turn::Ended),
            Err(error) => return Err(error),
        }
        if number < until && self.cursor.number >= until {
            done();
        }
        Ok(if self.socket.readable { Turn::More } else { Turn::Wait })
    }

    pub(crate) fn echo(&mut self, bytes: usize, frames: bool, scratch: &mut [u8]) -> io::Result<Turn> {
        while self.socket.readable {
            let count = match self.socket.read(scratch) {
                Ok(None) => break,
                Ok(Some(0)) | Err(_) => return Ok(Turn::Ended),
                Ok(Some(count)) => count,
            };
            if !frames {
                write_small(&mut self.socket, &scratch[..count])?;
                continue;
            }
            let Session { socket, partial, .. } = self;
            let good = partial.feed(bytes + CLIENT_HEADER_BYTES, &scratch[..count], |frame| {
                let payload: Vec<u8> =
                    frame[CLIENT_HEADER_BYTES..].iter().zip(KEY.iter().cycle()).map(|(a, b)| a ^ b).collect();
                let mut answer = Vec::with_capacity(frame.len());
                put_frame(&mut answer, &payload, None);
                write_small(socket, &answer).is_ok()
            });
            if !good {
                return Err(io::Error::other("an echo could not be sent"));
            }
        }
        Ok(Turn::Wait)
    }

    /// Sends now what can be sent, and the rest when there is room.
    pub(crate) fn send_later(&mut self, message: &[u8]) -> io::Result<()> {
        let mut taken = 0;
        if self.unsent.is_empty() && self.socket.writable {
            taken = self.socket.write(message)?;
        }
        self.unsent.extend_from_slice(&message[taken..]);
        Ok(())
    }

    pub(crate) fn take_events(
        &mut self,
        event: &Message,
        scratch: &mut [u8],
        mut took_ns: impl FnMut(f64),
    ) -> io::Result<Turn> {
        if !self.unsent.is_empty() && self.socket.writable {
            let taken = self.socket.write(&self.unsent)?;
            self.unsent.drain(..taken);
        }
        while self.socket.readable {
            let count = match self.socket.read(scratch) {
                Ok(None) => break,
                Ok(Some(0)) | Err(_) => return Ok(Turn::Ended),
                Ok(Some(count)) => count,
            };
            let good = self.partial.feed(event.len(), &scratch[..count], |received| {
                event.age_ns(received).map(&mut took_ns).is_some()
            });
            if !good {
                return Err(io::Error::other("a wrong event came up"));
            }
        }
        Ok(Turn::Wait)
    }

    pub(crate) fn wait_for_end(&mut self, frames: bool, scratch: &mut [u8]) -> Turn {
        while self.socket.readable {
            match self.socket.read(scratch) {
                Ok(None) => return Turn::Wait,
                Ok(Some(0)) | Err(_) => return Turn::Ended,
                Ok(Some(_)) if frames => {
                    let _ = write_small(&mut self.socket, &SERVER_CLOSE);
                    return Turn::Ended;
                }
                Ok(Some(_)) => {}
            }
        }
        Turn::Wait
    }
}

/// Writes a few bytes to a socket that has room for them.
fn write_small(socket: &mut Socket, bytes: &[u8]) -> io::Result<()> {
    match socket.write(bytes)? == bytes.len() {
        true => Ok(()),
        false => Err(io::Error::other("a socket had no room for a small message")),
    }
}

/// A client's frame of up to 125 bytes: two bytes and the key.
const CLIENT_HEADER_BYTES: usize = 6;
