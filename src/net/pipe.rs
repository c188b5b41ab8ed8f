//! Moving bytes from one TCP socket to another through a pipe, without copying them through this process
//! (splice(2)).
//!
//! A reactor has one pipe, which is empty whenever nobody is using it: what the receiving socket refuses is
//! read out of it at once. So it needs no place in the state of a session, and no descriptors of its own.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::net::SendFlags;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

use super::socket::{Io, Socket};
use crate::timers::Tick;

/// The pipe of a reactor, opened when it is first needed.
#[derive(Debug)]
pub struct Splicer {
    pipe: Option<Pipe>,
    /// The system gave none, for want of descriptors for instance; it is asked again then.
    retry_at: Tick,
}

impl Splicer {
    /// The pipe, empty; `None` while there is none to be had.
    pub fn pipe(&mut self, now: Tick) -> Option<&mut Pipe> {
        if self.pipe.as_ref().is_some_and(|pipe| pipe.filled > 0) {
            // Somebody's connection broke while its bytes were in here.
            self.pipe = None;
        }
        if self.pipe.is_none() && now >= self.retry_at {
            self.pipe = Pipe::open().ok();
            self.retry_at = now.after(RETRY);
        }
        self.pipe.as_mut()
    }
}

impl Default for Splicer {
    fn default() -> Splicer {
        Splicer { pipe: None, retry_at: Tick::ZERO }
    }
}

/// A pipe, and how many bytes are in it.
#[derive(Debug)]
pub struct Pipe {
    reading: OwnedFd,
    writing: OwnedFd,
    filled: usize,
}

impl Pipe {
    fn open() -> io::Result<Pipe> {
        let (reading, writing) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // A pipe holds so many pieces of what a socket received, and they can be small: a larger one takes
        // more. An ordinary user may be refused that, and then less is moved at a time.
        let _ = fcntl_setpipe_size(&writing, PIPE_BYTES);
        Ok(Pipe { reading, writing, filled: 0 })
    }

    /// Moves at most `most` bytes from `socket` into the pipe, and returns how many. None is no end of the
    /// stream: splice stops before urgent data and never passes it, so only a read can tell.
    ///
    /// # Errors
    /// The socket's.
    pub fn fill(&mut self, socket: &mut Socket, most: usize) -> io::Result<usize> {
        let Io::Tcp(tcp) = socket.io() else { return Ok(0) };
        loop {
            match splice(tcp.as_fd(), None, &self.writing, None, most, FLAGS).map_err(io::Error::from) {
                Ok(count) => {
                    self.filled += count;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes `header` to `socket`, and moves what is in the pipe behind it. Returns how much of the header
    /// was taken; what is left in the pipe is to be read out with [`Pipe::read`].
    ///
    /// # Errors
    /// The socket's.
    pub fn drain(&mut self, header: &[u8], socket: &mut Socket) -> io::Result<usize> {
        let Io::Tcp(tcp) = socket.io() else { return Ok(0) };
        let flags = SendFlags::MORE | SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let sent = match rustix::net::send(tcp, header, flags).map_err(io::Error::from) {
            Ok(count) => count,
            Err(error) if is_transient(&error) => 0,
            Err(error) => return Err(error),
        };
        if sent < header.len() {
            return Ok(sent);
        }
        while self.filled > 0 {
            let Io::Tcp(tcp) = socket.io() else { break };
            match splice(&self.reading, None, tcp.as_fd(), None, self.filled, FLAGS).map_err(io::Error::from)
            {
                Ok(0) => break,
                Ok(count) => self.filled -= count.min(self.filled),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    socket.note_full();
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }

    /// Number of bytes in the pipe.
    pub fn len(&self) -> usize {
        self.filled
    }

    /// Whether nothing is in the pipe.
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Reads everything that is in the pipe into `space`, and returns how much that is.
    ///
    /// # Errors
    /// The system's; `space` is too small.
    pub fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let wanted = self.filled;
        let space = space.get_mut(..wanted).ok_or(io::ErrorKind::OutOfMemory)?;
        let mut count = 0;
        while count < wanted {
            match rustix::io::read(&self.reading, &mut space[count..]).map_err(io::Error::from) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(more) => count += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.filled = 0;
        Ok(count)
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);

/// Size that is asked for; at 4 KiB a piece in the worst case it takes a whole ring's worth of small packets.
const PIPE_BYTES: usize = 1024 * 1024;

/// Time before the system is asked again for a pipe.
const RETRY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    fn pair() -> (TcpStream, Socket) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let near = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        let (far, _) = listener.accept().expect("accepted");
        far.set_nonblocking(true).expect("set");
        let mut socket = Socket::new(Io::Tcp(mio::net::TcpStream::from_std(far)));
        socket.note_ready(true, true, false);
        (near, socket)
    }

    /// Waits until `socket` has something.
    fn filled(pipe: &mut Pipe, socket: &mut Socket) -> usize {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        loop {
            let count = pipe.fill(socket, 100_000).expect("not broken");
            if count > 0 {
                return count;
            }
            assert!(std::time::Instant::now() < deadline, "nothing came");
        }
    }

    #[test]
    fn bytes_go_from_socket_to_socket_behind_their_header() {
        let ((mut target, mut from), (mut client, mut to)) = (pair(), pair());
        let mut splicer = Splicer::default();
        let pipe = splicer.pipe(Tick::ZERO).expect("a pipe");
        target.write_all(b"payload").expect("room");
        assert_eq!(filled(pipe, &mut from), 7);
        assert_eq!(pipe.drain(b"head ", &mut to).expect("not broken"), 5);
        assert!(pipe.is_empty());
        let mut read = [0; 12];
        client.read_exact(&mut read).expect("delivered");
        assert_eq!(&read, b"head payload");
        drop(target);
    }

    #[test]
    fn what_a_full_socket_refuses_can_be_read_out_again() {
        let ((mut target, mut from), (mut client, mut to)) = (pair(), pair());
        let mut taken = 0;
        while to.is_writable() {
            taken += to.write(&[7; 65_536]).expect("not broken");
        }
        let mut splicer = Splicer::default();
        let pipe = splicer.pipe(Tick::ZERO).expect("a pipe");
        target.write_all(b"payload").expect("room");
        filled(pipe, &mut from);
        let sent = pipe.drain(b"head ", &mut to).expect("not broken");
        let mut space = [0; 64];
        let mut rest = b"head "[sent..].to_vec();
        let count = pipe.read(&mut space).expect("room for it");
        rest.extend_from_slice(&space[..count]);
        client.shutdown(std::net::Shutdown::Write).expect("ended");
        to.shutdown_write();
        let mut all = Vec::new();
        client.read_to_end(&mut all).expect("delivered");
        all.extend_from_slice(&rest);
        assert_eq!(&all[taken..], b"head payload");
    }

    #[test]
    fn a_pipe_with_somebodys_bytes_in_it_is_never_lent_to_another() {
        let (mut target, mut from) = pair();
        let mut splicer = Splicer::default();
        target.write_all(b"secret").expect("room");
        filled(splicer.pipe(Tick::ZERO).expect("a pipe"), &mut from);
        assert!(splicer.pipe(Tick::ZERO.after(RETRY)).expect("another").is_empty());
    }
}
