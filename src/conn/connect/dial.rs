//! How a dial begins, how it can end, and the words for that.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use mio::net::{TcpStream, UnixStream};
use socket2::SockRef;

use super::{Connect, RETRY_WAIT, Stage};
use crate::conn::client::Client;
use crate::conn::cx::{Answer, Cx};
use crate::conn::end::End;
use crate::conn::frontend::{Begun, Start, Started};
use crate::flight::Asked;
use crate::id::Side;
use crate::metrics::{Dial, Metrics, Resolve};
use crate::net::narrow;
use crate::net::socket::{Io, Socket};
use crate::net::transport::Transport;
use crate::net::tuning::{take_untuned, tune_tcp, wish};
use crate::resolve::{Addresses, Unresolved};

/// How a dial ended.
#[derive(Debug)]
pub enum Dialled {
    /// The target is there.
    Connected(Transport),
    /// It could not be reached, and this is the reason for the operator.
    Failed(Failure),
    /// The bytes kept of the client end its frames, with nothing for the target before that.
    Leaving,
    /// The client's stream has ended, likewise.
    Left(End),
}

/// Why there is no connection to a target.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// It could not be reached.
    Unreachable(String),
    /// It may not be dialled.
    NotAllowed(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Unreachable(why) => f.write_str(why),
            Failure::NotAllowed(why) => write!(f, "not allowed: {why}"),
        }
    }
}

impl Connect {
    /// Counts how the dial has ended.
    pub fn count(&self, dialled: &Dialled, metrics: &Metrics) {
        let kind = match dialled {
            Dialled::Connected(_) => {
                metrics.dial_times.note(self.begun.elapsed());
                Dial::Ok
            }
            Dialled::Failed(Failure::Unreachable(_)) => self.kind,
            Dialled::Failed(Failure::NotAllowed(_)) => Dial::NotAllowed,
            Dialled::Leaving | Dialled::Left(_) => return,
        };
        metrics.dials.count(kind as usize);
    }

    /// Counts what became of the lookup of the target's name.
    pub(super) fn note_resolved(&self, addresses: &Addresses, metrics: &Metrics) {
        let what = match addresses {
            Ok(_) => Resolve::Ok,
            Err(error) if error.is_unknown() => Resolve::Unknown,
            Err(_) => Resolve::Error,
        };
        metrics.resolves.count(what as usize);
        metrics.resolve_times.note(self.asked.elapsed());
    }

    /// Stores the program that a helper has started. A late one is dropped.
    pub fn started(&mut self, started: Started) {
        if matches!(self.stage, Stage::Starting) {
            self.stage = Stage::Begun(started);
        }
    }

    /// Has a program started for this client.
    pub(super) fn start(&mut self, start: &dyn Start, client: &Client, cx: &Cx<'_>) -> Option<Stage> {
        if std::mem::replace(&mut self.is_tried, true) {
            return None;
        }
        match start.start(client.who.named(), cx.reply(Answer::Started)) {
            Asked::Now(started) => Some(Stage::Begun(started)),
            Asked::Later => Some(Stage::Starting),
            Asked::Busy if cx.now < self.deadline => {
                self.is_tried = false;
                Some(Stage::Waiting(cx.now.after(RETRY_WAIT)))
            }
            Asked::Busy => {
                self.failure = Some("too many programs are being started".into());
                None
            }
        }
    }

    pub(super) fn dial_unix(&mut self, path: &Path, cx: &Cx<'_>) -> Option<Stage> {
        if std::mem::replace(&mut self.is_tried, true) {
            return None;
        }
        match UnixStream::connect(path) {
            Ok(stream) => {
                let mut socket = Socket::connecting(Io::Unix(stream));
                match socket.register(cx.registry, cx.id.token(Side::Target)) {
                    Ok(()) => Some(Stage::Dialling(socket.into(), self.deadline)),
                    Err(error) => {
                        self.fail(&error);
                        None
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && cx.now < self.deadline => {
                self.is_tried = false;
                Some(Stage::Waiting(cx.now.after(RETRY_WAIT)))
            }
            Err(error) => {
                self.fail(&error);
                None
            }
        }
    }
}

pub(super) fn dial_tcp(address: SocketAddr, client: &Client, cx: &Cx<'_>) -> io::Result<Socket> {
    let stream = if client.is_far() { narrow::connect(address)? } else { TcpStream::connect(address)? };
    let options = SockRef::from(&stream);
    tune_tcp(&options, Some(address.ip()));
    // Urgent data (telnet servers send it) stays in its place in the stream instead of being lost.
    wish("SO_OOBINLINE", options.set_out_of_band_inline(true));
    if let Some(text) = take_untuned() {
        cx.shared.log.warn(format_args!("{text}"));
    }
    // On this machine it is already connected, unless the backlog is full, and needs no event for that.
    let connected = address.ip().is_loopback() && stream.peer_addr().is_ok();
    let io = Io::Tcp(stream);
    let mut socket = if connected { Socket::new(io) } else { Socket::connecting(io) };
    socket.register(cx.registry, cx.id.token(Side::Target))?;
    Ok(socket)
}

/// The other end of a program's standard input and output.
pub(super) fn program(begun: Begun, cx: &Cx<'_>) -> io::Result<Socket> {
    let Begun { socket, place } = begun;
    socket.set_nonblocking(true)?;
    let mut socket = Socket::new(Io::Program(Box::new((UnixStream::from_std(socket), place))));
    socket.register(cx.registry, cx.id.token(Side::Target))?;
    Ok(socket)
}

pub(super) fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}

/// How a dial is counted that failed with `error`.
pub(super) fn kind(error: &io::Error) -> Dial {
    match error.raw_os_error() {
        Some(libc::ECONNREFUSED | libc::ENOENT) => Dial::Refused,
        Some(libc::ETIMEDOUT) => Dial::Timeout,
        Some(libc::EMFILE | libc::ENFILE) => Dial::NoDescriptor,
        _ => Dial::Unreachable,
    }
}

pub(super) fn timed_out() -> io::Error {
    io::Error::from_raw_os_error(libc::ETIMEDOUT)
}

pub(super) fn unresolved(error: &Unresolved) -> String {
    format!("[Errno -2] {error}")
}
