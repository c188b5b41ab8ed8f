//! Dialling the target: one address after the other, never two at once, within one deadline.
//!
//! The client is not read meanwhile; what it sends waits in its socket, which bounds it.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mio::net::{TcpStream, UnixStream};
use socket2::SockRef;

use super::client::Client;
use super::cx::{Answer, Cx, Turn};
use super::end::End;
use super::frontend::{Destination, Frontend};
use super::tape::Tape;
use crate::certs;
use crate::flight::Asked;
use crate::id::Side;
use crate::log::describe;
use crate::net::fault::Broken;
use crate::net::socket::{Io, Socket, tune_tcp};
use crate::net::transport::Transport;
use crate::resolve::{self, Addresses, Unresolved};
use crate::target::Target;
use crate::timers::Tick;

/// On the way to a target.
#[derive(Debug)]
pub struct Connect {
    /// Where to.
    pub to: Arc<Destination>,
    /// What will take the session down.
    pub tape: Option<Box<Tape>>,
    /// Until then the dial waits for its recording's file; `Tick::NEVER` once it has been announced.
    open_until: Tick,
    stage: Stage,
    /// Whether the target's addresses are known.
    resolved: bool,
    /// Addresses that have not been tried.
    rest: VecDeque<SocketAddr>,
    deadline: Tick,
    failure: Option<String>,
    /// Why an address, or all of the target, may not be dialled.
    not_allowed: Option<String>,
    /// An address was reached and did not speak TLS in time: that is told, whatever becomes of the others.
    reached: bool,
}

#[derive(Debug)]
enum Stage {
    /// Something has to be tried next.
    Next,
    /// A helper looks the name up.
    Resolving,
    /// A socket is connecting; it gets until then.
    Dialling(Transport, Tick),
    /// A connected target's TLS handshake; it gets until then, too.
    Securing(Transport, Tick),
    /// A Unix socket's backlog or the lane of the helpers is full; it is tried again then.
    Waiting(Tick),
}

/// How a dial ended: a connected socket, or what to tell the operator.
pub type Dialled = Result<Transport, Failure>;

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
    /// Looks the target up if it has a name, else makes its address ready for dialling.
    pub fn begin(to: Arc<Destination>, tape: Option<Box<Tape>>, cx: &Cx<'_>) -> Box<Connect> {
        let mut connect = Connect {
            to,
            tape,
            open_until: cx.now.after(RECORD_OPEN),
            stage: Stage::Next,
            resolved: false,
            rest: VecDeque::new(),
            deadline: cx.now.after(CONNECT),
            failure: None,
            not_allowed: None,
            reached: false,
        };
        if let Target::Tcp { host, port } = &connect.to.target
            && let Some(address) = resolve::literal(host)
        {
            connect.resolved = true;
            connect.rest.push_back(with_port(address, *port));
        }
        Box::new(connect)
    }

    /// Has the target's name looked up.
    fn ask(&mut self, host: &str, cx: &Cx<'_>) -> Option<Stage> {
        match cx.shared.resolver.ask(host, cx.reply(Answer::Resolved)) {
            Asked::Later => Some(Stage::Resolving),
            Asked::Now(addresses) => {
                self.take(addresses);
                Some(Stage::Next)
            }
            // The lane is full of names that take their time; this one is tried again until the deadline.
            Asked::Busy if cx.now < self.deadline => Some(Stage::Waiting(cx.now.after(RETRY_WAIT))),
            Asked::Busy => {
                self.failure = Some("too many names are being looked up".into());
                None
            }
        }
    }

    /// Takes in the addresses that a helper found.
    pub fn answered(&mut self, addresses: Addresses) {
        if !matches!(self.stage, Stage::Resolving) {
            return;
        }
        self.stage = Stage::Next;
        self.take(addresses);
    }

    fn take(&mut self, addresses: Addresses) {
        self.resolved = true;
        match (addresses, &self.to.target) {
            (Ok(addresses), Target::Tcp { port, .. }) => {
                self.rest.extend(addresses.iter().map(|address| with_port(*address, *port)));
            }
            (Err(error), _) => self.failure = Some(unresolved(&error)),
            (Ok(_), Target::Unix(_)) => {}
        }
    }

    /// Goes on as far as possible.
    ///
    /// # Errors
    /// The client's connection broke.
    pub fn step(&mut self, client: &mut Client, cx: &mut Cx<'_>) -> Result<Turn<(), Dialled>, End> {
        client.flush_out(cx.rings).map_err(End::client_lost)?;
        if client.socket.is_hung_up() {
            return Err(End::ClientReset(io::ErrorKind::ConnectionReset));
        }
        if self.open_until != Tick::NEVER {
            // A name for the recording comes before the target's in the log, and its file before the dial.
            if self.tape.as_ref().is_some_and(|tape| !tape.is_opened()) && cx.now < self.open_until {
                return Ok(Turn::Wait(()));
            }
            self.open_until = Tick::NEVER;
            cx.shared.log.peer(&client.peer, format_args!("{}", self.to.announcement));
        }
        loop {
            self.stage = match std::mem::replace(&mut self.stage, Stage::Next) {
                Stage::Next => match self.next(cx) {
                    Some(stage) => stage,
                    None => {
                        return Ok(Turn::Done(Err(self.outcome())));
                    }
                },
                Stage::Dialling(socket, until) if socket.is_writable() => match socket.connected() {
                    Ok(true) => match self.secure(ready(socket), until, cx) {
                        Ok(stage) => stage,
                        Err(socket) => return Ok(Turn::Done(Ok(socket))),
                    },
                    Ok(false) => {
                        // An event for the dial's start; the next one decides.
                        self.stage = Stage::Dialling(socket, until);
                        return Ok(Turn::Wait(()));
                    }
                    Err(error) => {
                        self.give_up(socket, describe(&error), cx);
                        Stage::Next
                    }
                },
                Stage::Securing(mut socket, until) => match socket.handshake(cx.rings) {
                    Ok(true) => return Ok(Turn::Done(Ok(socket))),
                    Ok(false) => {
                        self.stage = Stage::Securing(socket, until);
                        return Ok(Turn::Wait(()));
                    }
                    Err(broken) => {
                        // A target was reached. It is not dialled again at another of its addresses, whose failure
                        // would be told in place of this one.
                        self.rest.clear();
                        self.give_up(socket, unsecured(&broken, cx.frontend), cx);
                        Stage::Next
                    }
                },
                stage => {
                    self.stage = stage;
                    return Ok(Turn::Wait(()));
                }
            };
        }
    }

    /// Lets go of an address that took too long, or of the whole dial; what is left is tried by the next step.
    pub fn expired(&mut self, cx: &mut Cx<'_>) {
        if cx.now >= self.deadline {
            self.rest.clear();
        }
        match std::mem::replace(&mut self.stage, Stage::Next) {
            Stage::Dialling(socket, until) if cx.now >= until => {
                self.give_up(socket, describe(&timed_out()), cx);
            }
            Stage::Securing(socket, until) if cx.now >= until => {
                self.give_up(socket, "TLS handshake failed: target did not answer in time".into(), cx);
                self.reached = true;
            }
            Stage::Waiting(until) if cx.now >= until.min(self.deadline) => {}
            Stage::Resolving if cx.now >= self.deadline => {
                self.resolved = true;
                self.failure = Some(describe(&timed_out()));
            }
            stage => self.stage = stage,
        }
    }

    /// When to call [`Connect::expired`].
    pub fn deadline(&self) -> Tick {
        if self.open_until != Tick::NEVER {
            return self.open_until;
        }
        match &self.stage {
            Stage::Dialling(_, until) | Stage::Securing(_, until) | Stage::Waiting(until) => {
                (*until).min(self.deadline)
            }
            _ => self.deadline,
        }
    }

    /// The socket that is connecting, for events.
    pub fn target(&mut self) -> Option<&mut Transport> {
        match &mut self.stage {
            Stage::Dialling(socket, _) | Stage::Securing(socket, _) => Some(socket),
            _ => None,
        }
    }

    /// Whether bytes are held for the target.
    pub fn is_holding(&self) -> bool {
        matches!(&self.stage, Stage::Securing(socket, _) if socket.unsent() > 0)
    }

    /// Closes the socket that is connecting, if there is one.
    pub fn abandon(&mut self, cx: &mut Cx<'_>) {
        if let Some(socket) = self.target() {
            socket.retire(cx.registry, cx.rings);
        }
        self.stage = Stage::Next;
        self.rest.clear();
    }

    /// Begins the target's TLS handshake, if there is to be one; gives the socket back if not.
    fn secure(&mut self, mut socket: Transport, until: Tick, cx: &mut Cx<'_>) -> Result<Stage, Transport> {
        let Some(tls) = &cx.frontend.target_tls else { return Err(socket) };
        let host = match &self.to.target {
            Target::Tcp { host, .. } => Some(host.as_str()),
            Target::Unix(_) => None,
        };
        let begun = certs::target_name(&tls.options, host).and_then(|name| {
            let config = Arc::clone(&tls.config);
            socket.speak_tls(config, name).map_err(|fault| fault.to_string())
        });
        match begun {
            Ok(()) => Ok(Stage::Securing(socket, until)),
            Err(failure) => {
                // It would be the same at any other of its addresses.
                self.rest.clear();
                self.give_up(socket, failure, cx);
                Ok(Stage::Next)
            }
        }
    }

    /// Goes on with `socket` as the one that is connecting; a scripted one is connected once it is writable.
    #[cfg(any(test, feature = "testing"))]
    pub fn dial_instead(&mut self, socket: Socket) {
        self.resolved = true;
        self.stage = Stage::Dialling(socket.into(), self.deadline);
    }

    /// What to tell when no address is left. One that was tried says more than one that was left out.
    fn outcome(&mut self) -> Failure {
        match (self.failure.take(), self.not_allowed.take()) {
            (Some(why), _) => Failure::Unreachable(why),
            (None, Some(why)) => Failure::NotAllowed(why),
            (None, None) => Failure::Unreachable(describe(&timed_out())),
        }
    }

    /// Starts on the next address; `None` when there is none.
    fn next(&mut self, cx: &Cx<'_>) -> Option<Stage> {
        let to = Arc::clone(&self.to);
        if let Some(why) = &to.forbidden {
            self.not_allowed = Some(why.clone());
            return None;
        }
        match &to.target {
            Target::Unix(path) => return self.dial_unix(path, cx),
            Target::Tcp { host, port } if !self.resolved => {
                if let Some(Err(why)) = to.reach.as_ref().map(|reach| reach.check_name(host, *port)) {
                    self.not_allowed = Some(why.to_string());
                    return None;
                }
                return self.ask(host, cx);
            }
            Target::Tcp { .. } => {}
        }
        while let Some(address) = self.rest.pop_front() {
            if let (Some(reach), Target::Tcp { host, .. }) = (&to.reach, &to.target)
                && let Err(why) = reach.check_address(host, address)
            {
                self.not_allowed = Some(why.to_string());
                continue;
            }
            match dial_tcp(address, cx) {
                Ok(socket) => {
                    // Each address gets an equal share of the time that is left.
                    let share = self.deadline.since(cx.now) / (self.rest.len() as u32 + 1);
                    return Some(Stage::Dialling(socket.into(), cx.now.after(share).min(self.deadline)));
                }
                Err(error) => self.fail(describe(&error)),
            }
        }
        None
    }

    fn dial_unix(&mut self, path: &Path, cx: &Cx<'_>) -> Option<Stage> {
        if self.failure.is_some() {
            return None;
        }
        match UnixStream::connect(path) {
            Ok(stream) => {
                let mut socket = Socket::connecting(Io::Unix(stream));
                match socket.register(cx.registry, cx.id.token(Side::Target)) {
                    Ok(()) => Some(Stage::Dialling(socket.into(), self.deadline)),
                    Err(error) => {
                        self.failure = Some(describe(&error));
                        None
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && cx.now < self.deadline => {
                Some(Stage::Waiting(cx.now.after(RETRY_WAIT)))
            }
            Err(error) => {
                self.failure = Some(describe(&error));
                None
            }
        }
    }

    fn give_up(&mut self, mut socket: Transport, failure: String, cx: &mut Cx<'_>) {
        socket.retire(cx.registry, cx.rings);
        self.fail(failure);
    }

    fn fail(&mut self, failure: String) {
        if !self.reached {
            self.failure = Some(failure);
        }
    }
}

fn dial_tcp(address: SocketAddr, cx: &Cx<'_>) -> io::Result<Socket> {
    let stream = TcpStream::connect(address)?;
    let options = SockRef::from(&stream);
    tune_tcp(&options, Some(address.ip()))?;
    // Urgent data (telnet servers send it) comes in its place in the stream instead of being lost.
    options.set_out_of_band_inline(true)?;
    let mut socket = Socket::connecting(Io::Tcp(stream));
    socket.register(cx.registry, cx.id.token(Side::Target))?;
    Ok(socket)
}

/// A connected socket may have been readable before; it is tried once.
fn ready(mut socket: Transport) -> Transport {
    socket.note_ready(true, true, false);
    socket
}

/// Why a target that was reached is not spoken to.
fn unsecured(broken: &Broken, frontend: &Frontend) -> String {
    let verifies = frontend.target_tls.as_ref().is_some_and(|tls| tls.options.authorities.is_some());
    match broken {
        Broken::Tls(fault) if verifies && fault.is_verification() => format!(
            "certificate verification failed: {fault}; \
             use --ssl-target-ca FILE, --ssl-target-name NAME or --ssl-target-insecure"
        ),
        Broken::Tls(_) => format!("TLS handshake failed: {broken}"),
        Broken::Truncated | Broken::System(_) => format!("TLS handshake failed: target left ({broken})"),
    }
}

fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}

fn timed_out() -> io::Error {
    io::Error::from_raw_os_error(libc::ETIMEDOUT)
}

fn unresolved(error: &Unresolved) -> String {
    format!("[Errno -2] {error}")
}

/// Time to reach a target, its name's look-up and all of its addresses included.
pub const CONNECT: Duration = Duration::from_secs(10);

/// Time for a recording's file to be opened; the session goes on without waiting any longer. A disk takes
/// milliseconds, and the time for the dial runs meanwhile.
const RECORD_OPEN: Duration = Duration::from_secs(2);

/// Until something that was full is tried again.
const RETRY_WAIT: Duration = Duration::from_millis(100);
