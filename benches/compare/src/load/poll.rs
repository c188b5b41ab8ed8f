//! epoll for the plain relay and the load generator: register once, edge-triggered, sticky readiness.
//!
//! Both sides of the measurement use the same few calls, so that what a proxy costs is compared with the
//! least that this kernel interface allows, and the generator itself stays cheap.

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fd::{AsFd, OwnedFd};
use rustix::net::{SocketFlags, accept_with};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// A set of descriptors and the events that the last wait brought.
pub(crate) struct Poll {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

/// What one event says about its descriptor.
#[derive(Clone, Copy)]
pub(crate) struct Ready {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The other end has sent FIN or RST: reads must go on until they say so, however short they are.
    pub(crate) hung_up: bool,
}

impl Poll {
    pub(crate) fn new() -> io::Result<Poll> {
        Ok(Poll { epoll: epoll::create(CreateFlags::CLOEXEC)?, events: Vec::with_capacity(256) })
    }

    /// Registers a stream for both directions, edge-triggered, for as long as it lives.
    pub(crate) fn add_stream(&self, stream: impl AsFd, token: u64) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(&self.epoll, stream, EventData::new_u64(token), flags)?)
    }

    /// Registers for reading, level-triggered: for listeners (no accept that only says "empty") and bells.
    pub(crate) fn add_level(&self, source: impl AsFd, token: u64) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, source, EventData::new_u64(token), EventFlags::IN)?)
    }

    /// Waits for events; `None` waits without end. A signal counts as no event.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.events.clear();
        let timeout = timeout.map(|wait| rustix::event::Timespec {
            tv_sec: wait.as_secs() as i64,
            tv_nsec: i64::from(wait.subsec_nanos()),
        });
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), timeout.as_ref()) {
            Ok(_) => Ok(()),
            Err(error) if error == rustix::io::Errno::INTR => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// How many events the last wait brought.
    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    /// One event of the last wait: the token and what happened.
    pub(crate) fn event(&self, index: usize) -> (u64, Ready) {
        let event = self.events[index];
        let (flags, data) = (event.flags, event.data);
        let broken = flags.intersects(EventFlags::ERR | EventFlags::HUP);
        let ready = Ready {
            readable: broken || flags.intersects(EventFlags::IN | EventFlags::RDHUP),
            writable: broken || flags.contains(EventFlags::OUT),
            hung_up: broken || flags.contains(EventFlags::RDHUP),
        };
        (data.u64(), ready)
    }
}

/// A non-blocking stream with its two sticky readiness bits: an event sets them, only a refusal clears them.
pub(crate) struct Socket {
    pub(crate) stream: TcpStream,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    hung_up: bool,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream) -> Socket {
        Socket { stream, readable: false, writable: false, hung_up: false }
    }

    pub(crate) fn note(&mut self, ready: Ready) {
        self.readable |= ready.readable;
        self.writable |= ready.writable;
        self.hung_up |= ready.hung_up;
    }

    /// `None`: nothing to read now. `Some(0)`: the end. A read that does not fill `buffer` has drained the
    /// socket, unless the other end has hung up and the end itself is still to be read.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let result = self.stream.read(buffer);
        self.note_read(result, buffer.len())
    }

    /// The same into the room that `buffer` has left, which must be some.
    pub(crate) fn read_onto(&mut self, buffer: &mut Vec<u8>) -> io::Result<Option<usize>> {
        let room = buffer.capacity() - buffer.len();
        let result = rustix::io::read(&self.stream, spare_capacity(buffer)).map_err(io::Error::from);
        self.note_read(result, room)
    }

    fn note_read(&mut self, result: io::Result<usize>, room: usize) -> io::Result<Option<usize>> {
        self.readable = matches!(&result, Ok(count) if *count == room || self.hung_up);
        match result {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            other => other.map(Some),
        }
    }

    /// How many bytes were taken. Fewer than all: the socket is full until an event says otherwise.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = match self.stream.write(bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            other => other?,
        };
        self.writable = taken == bytes.len();
        Ok(taken)
    }
}

/// Accepts one connection, non-blocking from its first moment; `None` when the queue is empty.
pub(crate) fn accept(listener: &TcpListener) -> io::Result<Option<TcpStream>> {
    match accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
        Ok(socket) => Ok(Some(TcpStream::from(socket))),
        Err(error) => match io::Error::from(error) {
            error if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            error if error.kind() == io::ErrorKind::ConnectionAborted => Ok(None),
            error => Err(error),
        },
    }
}
