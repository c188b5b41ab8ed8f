//! Dialling the target: one address after the other, never two at once, within one deadline. A program that
//! this one has started may not listen yet; its port is dialled again until the deadline.
//!
//! The client is read meanwhile until it sends something for the target, so that one that leaves is noticed.

mod announce;
mod dial;
mod secure;

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::client::Client;
use super::cx::{Answer, Cx, Turn};
use super::early::{Early, Heard};
use super::end::End;
use super::frontend::{Awaited, Destination, Started, Way};
use super::report;
use super::tape::Tape;
use crate::flight::Asked;
use crate::log::describe;
use crate::metrics::{Dial, Metrics, Resolve};
use crate::net::socket::Socket;
use crate::net::transport::Transport;
use crate::resolve::{self, Addresses};
use crate::target::Target;
use crate::timers::Tick;
use crate::ws::decode::Decoder;
pub use announce::header;
pub use dial::{Dialled, Failure};
use dial::{dial_tcp, program, timed_out, unresolved, with_port};
use secure::unsecured;

/// On the way to a target.
#[derive(Debug)]
pub struct Connect {
    /// Where to.
    pub to: Arc<Destination>,
    /// What will record the session.
    pub tape: Option<Box<Tape>>,
    /// The header that the target gets before anything else.
    header: Box<[u8]>,
    /// What the client has sent so far.
    early: Early,
    /// Until then the dial waits for its recording's file; `Tick::NEVER` once it has been announced.
    open_until: Tick,
    stage: Stage,
    /// Whether the target's addresses are known.
    resolved: bool,
    /// Addresses that have not been tried.
    rest: VecDeque<SocketAddr>,
    deadline: Tick,
    /// Why the last address failed, and how that is counted.
    failure: Option<String>,
    kind: Dial,
    /// When the session was granted, and when a name was asked for.
    begun: Instant,
    asked: Instant,
    /// At one of the addresses nobody listens, which may change if the target is a program of ours.
    is_absent: bool,
    /// A Unix socket has been tried.
    is_tried: bool,
    /// How often all addresses were tried.
    rounds: u32,
    /// Why an address, or all of the target, may not be dialled.
    not_allowed: Option<String>,
    /// An address was reached but did not complete TLS in time: that is reported, whatever happens with the
    /// others.
    reached: bool,
    /// For tests: replaces the last address.
    #[cfg(any(test, feature = "testing"))]
    scripted: Option<Socket>,
}

#[derive(Debug)]
enum Stage {
    /// Something has to be tried next.
    Next,
    /// A helper looks the name up.
    Resolving,
    /// A socket is connecting; it gets until then.
    Dialling(Transport, Tick),
    /// A connected target that is being told who its client is: this many bytes of it have been written. It gets until
    /// then, too.
    Announcing(Transport, Tick, usize),
    /// A connected target's TLS handshake; it gets until then, too.
    Securing(Transport, Tick),
    /// A helper starts a program.
    Starting,
    /// A program has been started, or could not be.
    Begun(Started),
    /// A Unix socket's backlog or the lane of the helpers is full, or nobody listens yet; it is tried again then.
    Waiting(Tick),
}

impl Connect {
    /// Looks the target up if it has a name, otherwise prepares its address for dialling. `header` is written
    /// to it first.
    pub fn begin(
        to: Arc<Destination>,
        tape: Option<Box<Tape>>,
        header: Box<[u8]>,
        cx: &Cx<'_>,
    ) -> Box<Connect> {
        let begun = Instant::now();
        let mut connect = Connect {
            to,
            tape,
            header,
            early: Early::default(),
            open_until: cx.now.after(RECORD_OPEN),
            stage: Stage::Next,
            resolved: false,
            rest: VecDeque::new(),
            deadline: cx.now.after(CONNECT),
            failure: None,
            kind: Dial::Timeout,
            begun,
            asked: begun,
            is_absent: false,
            is_tried: false,
            rounds: 0,
            not_allowed: None,
            reached: false,
            #[cfg(any(test, feature = "testing"))]
            scripted: None,
        };
        connect.find();
        Box::new(connect)
    }

    /// Prepares the target's addresses for dialling, if nothing has to be looked up.
    fn find(&mut self) {
        match &self.to.way {
            Way::Dial(Target::Tcp { host, port }) => {
                if let Some(address) = resolve::literal(host) {
                    self.resolved = true;
                    self.rest.push_back(with_port(address, *port));
                }
            }
            Way::Await(awaited) => {
                if let Target::Tcp { port, .. } = awaited.target {
                    self.resolved = true;
                    self.rest.extend(LOOPBACK.map(|address| SocketAddr::new(address, port)));
                }
            }
            Way::Dial(Target::Unix(_)) | Way::Start(_) => {}
        }
    }

    /// Has the target's name looked up.
    fn ask(&mut self, host: &str, cx: &Cx<'_>) -> Option<Stage> {
        self.asked = Instant::now();
        match cx.shared.resolver.ask(host, cx.reply(Answer::Resolved)) {
            Asked::Later => Some(Stage::Resolving),
            Asked::Now(addresses) => {
                self.note_resolved(&addresses, cx.metrics);
                self.take(addresses);
                Some(Stage::Next)
            }
            // The lane is full of slow lookups; this one is tried again until the deadline.
            Asked::Busy if cx.now < self.deadline => Some(Stage::Waiting(cx.now.after(RETRY_WAIT))),
            Asked::Busy => {
                cx.metrics.resolves.count(Resolve::Busy as usize);
                self.kind = Dial::NoAddress;
                self.failure = Some("too many names are being looked up".into());
                None
            }
        }
    }

    /// Stores the addresses that a helper found.
    pub fn answered(&mut self, addresses: Addresses, metrics: &Metrics) {
        if !matches!(self.stage, Stage::Resolving) {
            return;
        }
        self.note_resolved(&addresses, metrics);
        self.stage = Stage::Next;
        self.take(addresses);
    }

    fn take(&mut self, addresses: Addresses) {
        self.resolved = true;
        match (addresses, self.to.target()) {
            (Ok(addresses), Some(Target::Tcp { port, .. })) => {
                self.rest.extend(addresses.iter().map(|address| with_port(*address, *port)));
            }
            (Err(error), _) => {
                self.kind = Dial::NoAddress;
                self.failure = Some(unresolved(&error));
            }
            (Ok(_), Some(Target::Unix(_)) | None) => {}
        }
    }

    /// Goes on as far as possible.
    ///
    /// # Errors
    /// The client's connection broke.
    pub fn step(&mut self, client: &mut Client, cx: &mut Cx<'_>) -> Result<Turn<(), Dialled>, End> {
        if client.socket.is_hung_up() {
            return Err(End::ClientReset(io::ErrorKind::ConnectionReset));
        }
        let heard = self.early.listen(client, cx)?;
        client.flush_out(cx.rings).map_err(End::client_lost)?;
        match heard {
            Heard::Waiting => {}
            Heard::Leaving => return Ok(Turn::Done(Dialled::Leaving)),
            Heard::Ended(end) => return Ok(Turn::Done(Dialled::Left(end))),
        }
        if self.open_until != Tick::NEVER {
            // The recording's name is logged before the target's, and its file is opened before the dial.
            if self.tape.as_ref().is_some_and(|tape| !tape.is_opened()) && cx.now < self.open_until {
                return Ok(Turn::Wait(()));
            }
            self.open_until = Tick::NEVER;
            report::connecting(&self.to, client, cx);
        }
        loop {
            self.stage = match std::mem::replace(&mut self.stage, Stage::Next) {
                Stage::Next => match self.next(client, cx) {
                    Some(stage) => stage,
                    None if self.may_come(cx) => self.wait_for_program(cx),
                    None => return Ok(Turn::Done(Dialled::Failed(self.outcome()))),
                },
                Stage::Dialling(socket, until) if socket.is_writable() => match socket.connected() {
                    Ok(true) => Stage::Announcing(socket, until, 0),
                    Ok(false) => {
                        // This event is from the start of the dial; the next one decides.
                        self.stage = Stage::Dialling(socket, until);
                        return Ok(Turn::Wait(()));
                    }
                    Err(error) => {
                        self.give_up(socket, &error, cx);
                        Stage::Next
                    }
                },
                Stage::Announcing(mut socket, until, written) => {
                    match self.announce(&mut socket, written, cx) {
                        Ok(written) if written < self.header.len() => {
                            self.stage = Stage::Announcing(socket, until, written);
                            return Ok(Turn::Wait(()));
                        }
                        Ok(_) => match self.secure(socket, until, cx) {
                            Ok(stage) => stage,
                            Err(socket) => return Ok(Turn::Done(Dialled::Connected(socket))),
                        },
                        Err(broken) => {
                            self.give_up_tls(
                                socket,
                                format!("it did not take its PROXY header: {broken}"),
                                cx,
                            );
                            Stage::Next
                        }
                    }
                }
                Stage::Securing(mut socket, until) => match socket.handshake(cx.rings) {
                    Ok(true) => return Ok(Turn::Done(Dialled::Connected(socket))),
                    Ok(false) => {
                        self.stage = Stage::Securing(socket, until);
                        return Ok(Turn::Wait(()));
                    }
                    Err(broken) => {
                        // A target was reached. Its other addresses are not dialled, since their failure
                        // would be reported instead of this one.
                        self.rest.clear();
                        self.give_up_tls(socket, unsecured(&broken, cx.frontend), cx);
                        Stage::Next
                    }
                },
                Stage::Begun(Ok(begun)) => match program(begun, cx) {
                    Ok(socket) => Stage::Announcing(socket.into(), self.deadline, 0),
                    Err(error) => {
                        self.fail(&error);
                        Stage::Next
                    }
                },
                Stage::Begun(Err(why)) => {
                    self.kind = Dial::Unreachable;
                    self.failure = Some(why);
                    Stage::Next
                }
                stage => {
                    self.stage = stage;
                    return Ok(Turn::Wait(()));
                }
            };
        }
    }

    /// Gives up an address that took too long, or the whole dial; the next step tries what is left.
    pub fn expired(&mut self, cx: &mut Cx<'_>) {
        if cx.now >= self.deadline {
            self.rest.clear();
        }
        match std::mem::replace(&mut self.stage, Stage::Next) {
            Stage::Dialling(socket, until) | Stage::Announcing(socket, until, _) if cx.now >= until => {
                self.give_up(socket, &timed_out(), cx);
            }
            Stage::Securing(socket, until) if cx.now >= until => {
                self.give_up_tls(socket, "TLS handshake failed: target did not answer in time".into(), cx);
                self.reached = true;
            }
            Stage::Waiting(until) if cx.now >= until.min(self.deadline) => {}
            Stage::Resolving | Stage::Starting if cx.now >= self.deadline => {
                if !self.resolved && matches!(self.to.target(), Some(Target::Tcp { .. })) {
                    cx.metrics.resolves.count(Resolve::Timeout as usize);
                }
                self.resolved = true;
                self.kind = Dial::Timeout;
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
            Stage::Dialling(_, until)
            | Stage::Announcing(_, until, _)
            | Stage::Securing(_, until)
            | Stage::Waiting(until) => (*until).min(self.deadline),
            _ => self.deadline,
        }
    }

    /// The socket that is connecting, for events.
    pub fn target(&mut self) -> Option<&mut Transport> {
        match &mut self.stage {
            Stage::Dialling(socket, _) | Stage::Announcing(socket, ..) | Stage::Securing(socket, _) => {
                Some(socket)
            }
            _ => None,
        }
    }

    /// Bytes that are held for the target.
    pub fn held_bytes(&self) -> usize {
        match &self.stage {
            Stage::Securing(socket, _) => socket.held_bytes(),
            _ => 0,
        }
    }

    /// Closes the socket that is connecting, if there is one.
    pub fn abandon(&mut self, cx: &mut Cx<'_>) {
        if let Some(socket) = self.target() {
            socket.retire(cx.rings);
        }
        self.stage = Stage::Next;
        self.rest.clear();
    }

    /// The decoder of what the client has sent meanwhile; the relay continues with it.
    pub fn take_decoder(&mut self) -> Decoder {
        std::mem::take(&mut self.early).into_decoder()
    }

    /// Goes on with `socket` as the one that is connecting; a scripted one is connected once it is writable.
    #[cfg(any(test, feature = "testing"))]
    pub fn dial_instead(&mut self, socket: Socket) {
        self.resolved = true;
        self.stage = Stage::Dialling(socket.into(), self.deadline);
    }

    /// Has `socket` dialled in place of the last of the addresses that are to be answered.
    #[cfg(any(test, feature = "testing"))]
    pub fn dial_last(&mut self, socket: Socket) {
        self.scripted = Some(socket);
    }

    /// Whether that one is still to be dialled.
    #[cfg(any(test, feature = "testing"))]
    pub fn tries_others(&self) -> bool {
        self.scripted.is_some()
    }

    /// What a test wants dialled in place of the next address.
    #[cfg(any(test, feature = "testing"))]
    fn instead(&mut self) -> Option<Socket> {
        self.scripted.take_if(|_| self.rest.is_empty())
    }

    #[cfg(not(any(test, feature = "testing")))]
    #[expect(clippy::unused_self, reason = "the same call as in tests")]
    fn instead(&self) -> Option<Socket> {
        None
    }

    /// What to report when no address is left. The failure of one that was tried is more useful than that of
    /// one that was skipped.
    fn outcome(&mut self) -> Failure {
        match (self.failure.take(), self.not_allowed.take()) {
            (Some(why), _) => Failure::Unreachable(why + self.explanation()),
            (None, Some(why)) => Failure::NotAllowed(why),
            (None, None) => Failure::Unreachable(describe(&timed_out())),
        }
    }

    /// What is added if a program of ours was waited for.
    fn explanation(&self) -> &'static str {
        match &self.to.way {
            Way::Await(awaited) if awaited.is_over() => " (the wrapped program has ended)",
            Way::Await(_) if self.rounds > 0 => " (the wrapped program has not listened for 10 s)",
            Way::Await(_) | Way::Dial(_) | Way::Start(_) => "",
        }
    }

    /// Starts on the next address; `None` when there is none.
    fn next(&mut self, client: &Client, cx: &Cx<'_>) -> Option<Stage> {
        let to = Arc::clone(&self.to);
        if let Some(why) = &to.forbidden {
            self.not_allowed = Some(why.clone());
            return None;
        }
        match &to.way {
            Way::Start(start) => return self.start(&**start, client, cx),
            Way::Dial(Target::Unix(path)) | Way::Await(Awaited { target: Target::Unix(path), .. }) => {
                return self.dial_unix(path, cx);
            }
            Way::Dial(Target::Tcp { host, port }) if !self.resolved => {
                if let Some(Err(why)) = to.reach.as_ref().map(|reach| reach.check_name(host, *port)) {
                    self.not_allowed = Some(why.to_string());
                    return None;
                }
                return self.ask(host, cx);
            }
            Way::Dial(Target::Tcp { .. }) | Way::Await(Awaited { target: Target::Tcp { .. }, .. }) => {}
        }
        while let Some(address) = self.rest.pop_front() {
            if let (Some(reach), Some(Target::Tcp { host, .. })) = (&to.reach, to.target())
                && let Err(why) = reach.check_address(host, address)
            {
                self.not_allowed = Some(why.to_string());
                continue;
            }
            match self.instead().map_or_else(|| dial_tcp(address, client, cx), Ok) {
                Ok(socket) => {
                    // Each address gets an equal share of the time that is left.
                    let share = self.deadline.since(cx.now) / (self.rest.len() as u32 + 1);
                    return Some(Stage::Dialling(socket.into(), cx.now.after(share).min(self.deadline)));
                }
                Err(error) => self.fail(&error),
            }
        }
        None
    }

    /// Whether a program of ours does not listen yet but still may.
    fn may_come(&self, cx: &Cx<'_>) -> bool {
        let is_awaited = matches!(&self.to.way, Way::Await(awaited) if !awaited.is_over());
        is_awaited && self.is_absent && cx.now < self.deadline
    }

    /// All addresses are tried again, a little later each time.
    fn wait_for_program(&mut self, cx: &Cx<'_>) -> Stage {
        self.rounds += 1;
        (self.is_absent, self.is_tried) = (false, false);
        self.find();
        Stage::Waiting(cx.now.plus(self.rounds.min(AGAIN_TICKS_MAX)).min(self.deadline))
    }

    /// Notes that a connecting socket failed with `error`.
    fn give_up(&mut self, mut socket: Transport, error: &io::Error, cx: &mut Cx<'_>) {
        socket.retire(cx.rings);
        self.fail(error);
    }

    fn fail(&mut self, error: &io::Error) {
        // That nobody listens at one of a program's addresses is more useful than that the system lacks the
        // other one.
        let is_said = self.is_absent && matches!(self.to.way, Way::Await(_));
        self.is_absent |= matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound);
        if !self.reached && !is_said {
            self.kind = dial::kind(error);
            self.failure = Some(describe(error));
        }
    }
}

/// Time to reach a target, its name's lookup and all of its addresses included.
pub const CONNECT: Duration = Duration::from_secs(10);

/// Time for a recording's file to be opened; the session goes on without waiting any longer. A disk takes
/// milliseconds, and the time for the dial runs meanwhile.
const RECORD_OPEN: Duration = Duration::from_secs(2);

/// Time until something that was full is tried again.
const RETRY_WAIT: Duration = Duration::from_millis(100);

/// The most ticks until a program that does not listen yet is dialled again; a tick less for each of the first tries.
const AGAIN_TICKS_MAX: u32 = 5;

/// Where a program of ours listens, in the order in which it is tried.
const LOOPBACK: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
