//! Sessions that are opened and closed at once: a fixed number in flight, each followed by the next.

use crate::load::line::Line;
use crate::load::poll::Poll;
use crate::load::target::Target;
use crate::load::wire::{CLIENT_CLOSE, REQUEST, SERVER_CLOSE, check_answer, head_is_whole};
use crate::proxies::proxy::Proxy;
use rustix::net::sockopt::set_tcp_nodelay;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
use std::io;
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// What became of the sessions.
pub(crate) struct Churned {
    /// Nanoseconds from connect to the 101, one per session; without a handshake, until the connection stands.
    pub(crate) upgraded_ns: Vec<f64>,
    /// Sessions whose Close was not answered by a Close and the end of the stream; without a handshake, by the end.
    pub(crate) unclean: usize,
}

/// Opens, upgrades and closes `count` sessions, `at_once` at a time.
pub(crate) fn churn(
    proxy: &Proxy,
    count: usize,
    at_once: usize,
    target: &Target,
    deadline: Instant,
) -> io::Result<Churned> {
    let mut poll = Poll::new()?;
    let mut churned = Churned { upgraded_ns: Vec::with_capacity(count), unclean: 0 };
    let mut started = at_once.min(count);
    let mut openings =
        (0..started).map(|slot| Opening::start(proxy, &poll, slot)).collect::<io::Result<Vec<_>>>()?;
    let mut ended = 0;
    while ended < count {
        poll.wait(Some(LOOK_UP))?;
        if poll.len() == 0 {
            target.check()?;
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("{ended} of {count} sessions were done in time")));
            }
        }
        for index in 0..poll.len() {
            let (slot, ready) = poll.event(index);
            let slot = slot as usize;
            openings[slot].line.note(ready)?;
            if !openings[slot].step(&mut churned)? {
                continue;
            }
            ended += 1;
            if started < count {
                started += 1;
                openings[slot] = Opening::start(proxy, &poll, slot)?;
            }
        }
    }
    Ok(churned)
}

struct Opening {
    line: Line,
    /// Without a handshake: the stream is ended as soon as it stands.
    is_bare: bool,
    started_at: Instant,
    stage: Stage,
    received: Vec<u8>,
}

#[derive(PartialEq)]
enum Stage {
    Connecting,
    Upgrading,
    Closing,
    Ended,
}

impl Opening {
    fn start(proxy: &Proxy, poll: &Poll, slot: usize) -> io::Result<Opening> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let started_at = Instant::now();
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        set_tcp_nodelay(&socket, true)?;
        match connect(&socket, &proxy.dialer.addr) {
            Ok(()) => {}
            Err(error) if error == rustix::io::Errno::INPROGRESS => {}
            Err(error) => return Err(error.into()),
        }
        poll.add_stream(&socket, slot as u64)?;
        let line = proxy.dialer.line(TcpStream::from(socket))?;
        let is_bare = proxy.is_bare();
        Ok(Opening { line, is_bare, started_at, stage: Stage::Connecting, received: Vec::new() })
    }

    /// Goes on as far as it can; true when the session is over.
    fn step(&mut self, churned: &mut Churned) -> io::Result<bool> {
        if self.stage == Stage::Ended {
            return Ok(false);
        }
        if self.stage == Stage::Connecting && self.line.is_writable() && self.is_bare {
            churned.upgraded_ns.push(self.started_at.elapsed().as_nanos() as f64);
            self.line.stream().shutdown(Shutdown::Write)?;
            self.stage = Stage::Closing;
        }
        if self.stage == Stage::Connecting && self.line.is_writable() {
            self.line.write_small(REQUEST)?;
            self.stage = Stage::Upgrading;
        }
        let mut buffer = [0; 1024];
        while self.line.is_readable() {
            match self.line.read(&mut buffer) {
                Ok(None) => break,
                Ok(Some(count)) if count > 0 => self.received.extend_from_slice(&buffer[..count]),
                Ok(Some(_)) | Err(_) if self.stage == Stage::Closing => {
                    let last: &[u8] = if self.is_bare { &[] } else { &SERVER_CLOSE };
                    churned.unclean += usize::from(self.received != last);
                    self.stage = Stage::Ended;
                    return Ok(true);
                }
                Ok(Some(_)) => return Err(io::Error::other("the proxy hung up before its 101")),
                Err(error) => return Err(error),
            }
            if self.stage == Stage::Upgrading && head_is_whole(&self.received) {
                check_answer(&self.received)?;
                churned.upgraded_ns.push(self.started_at.elapsed().as_nanos() as f64);
                self.received.clear();
                self.line.write_small(&CLIENT_CLOSE)?;
                self.stage = Stage::Closing;
            }
        }
        Ok(false)
    }
}

const LOOK_UP: Duration = Duration::from_millis(100);
