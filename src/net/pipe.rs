//! Moving bytes from one TCP socket to another through a pipe, without copying them through this process
//! (splice(2)).
//!
//! A reactor has a few pipes. One is lent for a turn; what the receiving socket refuses stays in it, and the pipe with
//! its session, until there is room. When as many pipes are kept as there may be, it is read out instead.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::SendFlags;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

use super::socket::{Io, Socket};
use crate::timers::Tick;
use crate::ws::encode;

/// The pipes of a reactor, opened when they are needed.
#[derive(Debug)]
pub struct Splicer {
    /// Empty ones, the last used on top.
    free: Vec<Pipe>,
    /// Each session that keeps one holds a clone of this.
    place: Arc<()>,
    kept_max: usize,
    /// The system had no pipe to give, for example for lack of descriptors; it is asked again then.
    retry_at: Tick,
}

impl Splicer {
    /// No pipes yet. At most `kept_max` are kept at a time by sessions whose clients are not reading.
    pub fn new(kept_max: usize) -> Splicer {
        Splicer { free: Vec::new(), place: Arc::default(), kept_max, retry_at: Tick::ZERO }
    }

    /// Lends an empty pipe; `None` while none can be had.
    pub fn take(&mut self, now: Tick) -> Option<Pipe> {
        if let Some(pipe) = self.free.pop() {
            return Some(pipe);
        }
        if now < self.retry_at {
            return None;
        }
        let pipe = Pipe::open().ok();
        if pipe.is_none() {
            self.retry_at = now.after(RETRY);
        }
        pipe
    }

    /// Takes a pipe back. One that still holds bytes is closed.
    pub fn give(&mut self, pipe: Pipe) {
        if pipe.is_empty() && self.free.len() < FREE_MAX {
            self.free.push(pipe);
        }
    }

    /// The number of empty pipes, and of those that sessions keep.
    #[cfg(any(test, feature = "testing"))]
    pub fn counts(&self) -> (usize, usize) {
        (self.free.len(), Arc::strong_count(&self.place) - 1)
    }

    /// Whether a session may keep a pipe.
    pub fn may_keep(&self) -> bool {
        Arc::strong_count(&self.place) <= self.kept_max
    }

    /// Lets a session keep a pipe with what is in it; gives the pipe back if too many are kept.
    ///
    /// # Errors
    /// No more may be kept.
    pub fn keep(&self, pipe: Pipe) -> Result<Kept, Pipe> {
        if self.may_keep() { Ok(Kept { pipe, _place: Arc::clone(&self.place) }) } else { Err(pipe) }
    }
}

/// A pipe that stays with a session. It counts as kept until it is released or dropped.
#[derive(Debug)]
pub struct Kept {
    /// The pipe, with what the session's client refused.
    pub pipe: Pipe,
    _place: Arc<()>,
}

impl Kept {
    /// The pipe, which no longer counts as kept.
    pub fn release(self) -> Pipe {
        self.pipe
    }
}

/// A pipe with payload, and the headers of the frames that it is cut into on its way out.
#[derive(Debug)]
pub struct Pipe {
    reading: OwnedFd,
    writing: OwnedFd,
    /// Payload in it.
    filled: usize,
    /// Most payload of a frame.
    frame_max: usize,
    /// The rest of the payload of the current frame.
    of_frame: usize,
    header: [u8; encode::HEADROOM],
    /// Where the rest of that frame's header begins.
    header_at: usize,
}

impl Pipe {
    fn open() -> io::Result<Pipe> {
        let (reading, writing) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // A pipe holds this many pieces of what a socket received, and they can be small: a larger one takes
        // more. An ordinary user may be refused that, and then less is moved at a time.
        let _ = fcntl_setpipe_size(&writing, PIPE_BYTES);
        let (header, header_at) = ([0; encode::HEADROOM], encode::HEADROOM);
        Ok(Pipe { reading, writing, filled: 0, frame_max: 0, of_frame: 0, header, header_at })
    }

    /// Moves at most `most` bytes from `socket` into the empty pipe, which will leave it in frames with at most
    /// `frame_max` of them, and returns how many. None is no end of the stream: splice stops before urgent data and
    /// never passes it, so only a read can tell.
    ///
    /// # Errors
    /// The socket's.
    pub fn fill(&mut self, socket: &mut Socket, most: usize, frame_max: usize) -> io::Result<usize> {
        let Io::Tcp(tcp) = socket.io() else { return Ok(0) };
        let count = uninterrupted(|| splice(tcp.as_fd(), None, &self.writing, None, most, FLAGS))?;
        (self.filled, self.frame_max) = (count.unwrap_or(0), frame_max);
        self.begin_frame();
        Ok(self.filled)
    }

    /// Makes the header of the next frame, if there is payload for one.
    fn begin_frame(&mut self) {
        self.of_frame = self.filled.min(self.frame_max);
        if self.of_frame > 0 {
            self.header_at = encode::header_before(&mut self.header, encode::HEADROOM, self.of_frame);
        }
    }

    /// Moves what is in the pipe into `socket`, each frame behind its header, as far as there is room. Returns how
    /// much was taken, headers included.
    ///
    /// # Errors
    /// The socket's.
    pub fn drain(&mut self, socket: &mut Socket) -> io::Result<usize> {
        let mut taken = 0;
        while !self.is_empty() && socket.is_writable() {
            let Io::Tcp(tcp) = socket.io() else { break };
            let header = &self.header[self.header_at..];
            let result = if header.is_empty() {
                let more = if self.filled > self.of_frame { SpliceFlags::MORE } else { SpliceFlags::empty() };
                uninterrupted(|| splice(&self.reading, None, tcp.as_fd(), None, self.of_frame, FLAGS | more))?
            } else {
                let flags = SendFlags::MORE | SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
                uninterrupted(|| rustix::net::send(tcp, header, flags))?
            };
            match result {
                Some(0) => break,
                Some(count) if !header.is_empty() => {
                    taken += count;
                    self.header_at += count;
                }
                Some(count) => {
                    taken += count;
                    self.filled -= count;
                    self.of_frame -= count;
                    if self.of_frame == 0 {
                        self.begin_frame();
                    }
                }
                None => socket.note_full(),
            }
        }
        Ok(taken)
    }

    /// Number of bytes in the pipe, with what is left of the header that has begun.
    pub fn len(&self) -> usize {
        encode::HEADROOM - self.header_at + self.filled
    }

    /// Whether nothing is in the pipe.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads everything in the pipe into `space`, the header first, and returns its length. It is at most one
    /// frame.
    ///
    /// # Errors
    /// The system's; `space` is too small.
    pub fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let wanted = self.len();
        if self.filled > self.of_frame {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let space = space.get_mut(..wanted).ok_or(io::ErrorKind::OutOfMemory)?;
        let mut count = encode::HEADROOM - self.header_at;
        space[..count].copy_from_slice(&self.header[self.header_at..]);
        while count < wanted {
            match uninterrupted(|| rustix::io::read(&self.reading, &mut space[count..]))? {
                None | Some(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Some(more) => count += more,
            }
        }
        self.header_at = encode::HEADROOM;
        (self.filled, self.of_frame) = (0, 0);
        Ok(count)
    }
}

/// Repeats a call that a signal interrupted; `None` if it would block.
fn uninterrupted(mut call: impl FnMut() -> rustix::io::Result<usize>) -> io::Result<Option<usize>> {
    loop {
        match call() {
            Ok(count) => return Ok(Some(count)),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);

/// Size that is asked for: a place for each 4 KiB of it, and a piece of a KiB or more in each. As many as may be kept
/// stay below half of what an ordinary user may have (pipe-user-pages-soft, pipe(7)).
const PIPE_BYTES: usize = 512 * 1024;

/// Pipes that sessions may keep at a time in one process, unless the limit of open files is low.
pub const KEPT_MAX: usize = 64;

/// Empty pipes that are not closed.
const FREE_MAX: usize = 64;

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
            let count = pipe.fill(socket, 100_000, 1_000).expect("not broken");
            if count > 0 {
                return count;
            }
            assert!(std::time::Instant::now() < deadline, "nothing came");
        }
    }

    #[test]
    fn bytes_go_from_socket_to_socket_behind_their_header() {
        let ((mut target, mut from), (mut client, mut to)) = (pair(), pair());
        let mut splicer = Splicer::new(1);
        let mut pipe = splicer.take(Tick::ZERO).expect("a pipe");
        target.write_all(b"payload").expect("room");
        assert_eq!(filled(&mut pipe, &mut from), 7);
        assert_eq!(pipe.drain(&mut to).expect("not broken"), 9);
        assert!(pipe.is_empty());
        let mut read = [0; 9];
        client.read_exact(&mut read).expect("delivered");
        assert_eq!(&read, b"\x82\x07payload");
        drop(target);
    }

    #[test]
    fn a_burst_leaves_its_pipe_in_frames_wherever_the_socket_stops_taking_it() {
        for burst in [1_000, 1_001, 2_000, 20_500] {
            let ((mut target, mut from), (mut client, mut to, taken)) = (pair(), full());
            let payload: Vec<u8> = (0..burst).map(|at| at as u8).collect();
            target.write_all(&payload).expect("room");
            drop(target);
            let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
            while from_has(&from) < burst {
                assert!(std::time::Instant::now() < deadline, "the burst does not come");
            }
            let mut pipe = Splicer::new(1).take(Tick::ZERO).expect("a pipe");
            assert_eq!(filled(&mut pipe, &mut from), burst);
            let mut skipped = vec![0; taken];
            client.read_exact(&mut skipped).expect("delivered");
            let mut got = Vec::new();
            client.set_nonblocking(true).expect("set");
            // The client reads by little, so the socket refuses at many places.
            while !pipe.is_empty() {
                to.note_ready(false, true, false);
                pipe.drain(&mut to).expect("not broken");
                let mut some = [0; 300];
                let count = client.read(&mut some).unwrap_or(0);
                got.extend_from_slice(&some[..count]);
            }
            client.set_nonblocking(false).expect("set");
            got.extend(rest(client, to, 0));
            let frames: Vec<u8> = payload.chunks(1_000).flat_map(framed).collect();
            assert!(got == frames, "{burst} bytes came otherwise");
        }
    }

    fn framed(payload: &[u8]) -> Vec<u8> {
        let mut frame = match payload.len() {
            0..126 => vec![0x82, payload.len() as u8],
            _ => [&[0x82, 126][..], &(payload.len() as u16).to_be_bytes()].concat(),
        };
        frame.extend_from_slice(payload);
        frame
    }

    /// Bytes that `socket` has received and that are unread.
    fn from_has(socket: &Socket) -> usize {
        let Io::Tcp(tcp) = socket.io() else { return 0 };
        tcp.peek(&mut vec![0; 100_000]).unwrap_or(0)
    }

    /// A socket that accepts nothing more, its peer, and how much it has taken.
    fn full() -> (TcpStream, Socket, usize) {
        let (client, mut to) = pair();
        let mut taken = 0;
        while to.is_writable() {
            taken += to.write(&[7; 65_536]).expect("not broken");
        }
        (client, to, taken)
    }

    /// What the client of a socket gets when all is written and ended.
    fn rest(mut client: TcpStream, mut to: Socket, taken: usize) -> Vec<u8> {
        to.shutdown_write();
        let mut all = Vec::new();
        client.read_to_end(&mut all).expect("delivered");
        all.split_off(taken)
    }

    #[test]
    fn what_a_full_socket_refuses_can_be_read_out_again() {
        let ((mut target, mut from), (client, mut to, taken)) = (pair(), full());
        let mut pipe = Splicer::new(0).take(Tick::ZERO).expect("a pipe");
        target.write_all(b"payload").expect("room");
        filled(&mut pipe, &mut from);
        to.note_ready(false, true, false);
        let sent = pipe.drain(&mut to).expect("not broken");
        assert_eq!(sent + pipe.len(), 9);
        let mut space = [0; 64];
        let count = pipe.read(&mut space).expect("room for it");
        assert!(pipe.is_empty());
        let mut all = rest(client, to, taken);
        all.extend_from_slice(&space[..count]);
        assert_eq!(all, b"\x82\x07payload");
    }

    #[test]
    fn what_a_full_socket_refuses_stays_in_a_pipe_of_which_so_many_are_kept() {
        let ((mut target, mut from), (mut client, mut to, taken)) = (pair(), full());
        let mut splicer = Splicer::new(1);
        let mut pipe = splicer.take(Tick::ZERO).expect("a pipe");
        target.write_all(b"payload").expect("room");
        filled(&mut pipe, &mut from);
        let mut kept = splicer.keep(pipe).expect("the first");
        let other = splicer.take(Tick::ZERO).expect("another");
        let other = splicer.keep(other).expect_err("one is kept");
        let mut skipped = vec![0; taken];
        client.read_exact(&mut skipped).expect("delivered");
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while !kept.pipe.is_empty() {
            to.note_ready(false, true, false);
            kept.pipe.drain(&mut to).expect("not broken");
            assert!(std::time::Instant::now() < deadline, "there is room, and nothing is taken");
        }
        splicer.give(kept.release());
        assert_eq!(rest(client, to, 0), b"\x82\x07payload");
        drop(splicer.keep(other).expect("none is kept any more"));
    }

    #[test]
    fn a_pipe_with_somebodys_bytes_in_it_is_never_lent_to_another() {
        let (mut target, mut from) = pair();
        let mut splicer = Splicer::new(1);
        target.write_all(b"secret").expect("room");
        let mut pipe = splicer.take(Tick::ZERO).expect("a pipe");
        filled(&mut pipe, &mut from);
        splicer.give(pipe);
        assert!(splicer.take(Tick::ZERO).expect("another").is_empty());
    }
}
