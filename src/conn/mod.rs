//! A connection: a client, perhaps a target, and one state after the other.
//!
//! ```text
//! Sniff ─▶ Tls ─▶ Handshake ─▶ Connect ─▶ Relay ─▶ Close ─▶ Gone
//!    └── plain ───▲   │  ▲ └─ refused ─▶ Reply ─────▲
//!                     ▼  └─ next                    │
//!                     Serve ─ last ─────────────────┘
//! ```
//! Set-up states are consumed by value and name no other state: each returns what it found, and
//! [`Conn::drive`] alone knows what follows what. Events, answers of helpers and deadlines only leave marks;
//! `drive` acts on all of them in one way.

pub mod client;
pub mod close;
pub mod connect;
pub mod end;
pub mod handshake;
pub mod relay;
#[doc(hidden)]
pub mod rig;
pub mod serve;
pub mod sniff;
#[cfg(test)]
mod tests;
pub mod tls;
mod traffic;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Poll, Registry};
use rustls::{ClientConfig, ServerConfig};

use crate::certs::{Certificates, TargetOptions};
use crate::http::path;
use crate::http::request::Request;
use crate::http::response::{self, Status};
use crate::id::{ConnId, Side};
use crate::limit::Limiter;
use crate::log::Log;
use crate::metrics::Metrics;
use crate::net::listen::Peer;
use crate::net::pipe::Splicer;
use crate::net::socket::Socket;
use crate::net::transport::Transport;
use crate::resolve::{Addresses, Resolver};
use crate::ring::Pool;
use crate::sniff::Protocol;
use crate::target::Target;
use crate::timers::Tick;
use crate::web::{Cut, Response};
use crate::ws::code;
use client::Client;
use close::Close;
use connect::{Connect, Dialled};
use end::{Blame, End, Kind};
use handshake::{Accepted, Asked, Handshake};
use relay::Relay;
use serve::{Files, Serve, Served};
use sniff::Sniff;
use tls::Tls;

/// What all connections of the process share. Replaced as a whole, never changed.
pub struct Shared {
    /// Where lines go.
    pub log: Arc<Log>,
    /// Looks names up.
    pub resolver: Resolver,
    /// Where every session goes.
    pub destination: Arc<Destination>,
    /// Time between two pings to a client (`--heartbeat`).
    pub heartbeat: Option<Duration>,
    /// Whether traffic marks are printed (`--traffic`).
    pub traffic: bool,
    /// Whether only one session is served (`--run-once`), and whether it has begun.
    pub once: Option<AtomicBool>,
    /// Keeps lines that peers cause from flooding the log; its kinds are those of [`End`].
    pub limiter: Limiter,
    /// What TLS clients are served with.
    pub tls: Option<Arc<Certificates>>,
    /// Whether clients without TLS are refused (`--ssl-only`).
    pub tls_only: bool,
    /// How targets are spoken to in TLS (`--ssl-target`).
    pub target_tls: Option<TargetTls>,
    /// What plain requests get (`--web`); 405 without it.
    pub web: Option<Files>,
}

/// TLS towards targets.
pub struct TargetTls {
    /// What rustls has to know.
    pub config: Arc<ClientConfig>,
    /// What the operator wants.
    pub options: TargetOptions,
}

impl Shared {
    /// The request line for the log, without secrets unless they are wanted.
    fn request_line(&self, request: &Request<'_>) -> String {
        let target = path::redact(request.target);
        let target = if self.log.shows_secrets() { request.target } else { &target };
        format!("{} {target} HTTP/1.{}", request.method, request.minor_version)
    }

    /// Writes a line that a peer has caused without being admitted, unless there were too many of its kind.
    pub fn say_limited(&self, end: &End, write: impl FnOnce(&Log)) {
        let Some(left_out) = self.limiter.admit(end.kind() as usize, Instant::now()) else {
            return;
        };
        self.say_left_out(end.kind(), left_out);
        write(&self.log);
    }

    /// Says how many lines were left out and not yet accounted for; at the end, when no other line will.
    pub fn say_all_left_out(&self) {
        for (kind, left_out) in Kind::ALL.iter().zip(self.limiter.left_out()) {
            self.say_left_out(*kind, left_out);
        }
    }

    fn say_left_out(&self, kind: Kind, lines: u64) {
        if lines > 0 {
            let kind = kind.name();
            self.log.info(format_args!("{lines} lines about connections of kind {kind} were left out"));
        }
    }

    /// Claims the one session of `--run-once`; always true without that option.
    fn claim_session(&self) -> bool {
        self.once.as_ref().is_none_or(|begun| !begun.swap(true, Ordering::Relaxed))
    }
}

/// A target and the words for it.
#[derive(Debug)]
pub struct Destination {
    /// Where to dial.
    pub target: Target,
    /// What is logged before a dial: `connecting to: HOST:PORT`.
    pub announcement: String,
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.target.fmt(f)
    }
}

/// What a helper found out for a connection.
pub enum Answer {
    /// Addresses of the target's name.
    Resolved(Addresses),
    /// What to serve a TLS client with; `None` without a usable certificate.
    Certificate(Option<Arc<ServerConfig>>),
    /// The answer to a plain request.
    File(Box<Response>),
    /// The next bytes of an answer, or that they can't be read.
    Chunk(Result<Vec<u8>, Cut>),
}

/// Where helpers leave their answers: the inbox of the connection's reactor.
#[derive(Clone)]
pub struct Replies(Arc<dyn Fn(ConnId, Answer) + Send + Sync>);

impl Replies {
    /// Answers are given to `deliver`, on the helper's thread.
    pub fn new(deliver: impl Fn(ConnId, Answer) + Send + Sync + 'static) -> Replies {
        Replies(Arc::new(deliver))
    }

    /// Leaves an answer for a connection, which may be gone by then.
    pub fn send(&self, id: ConnId, answer: Answer) {
        (self.0)(id, answer);
    }
}

/// What the reactor lends to a connection for one drive.
pub struct Cx<'a> {
    /// The connection's name.
    pub id: ConnId,
    /// The reactor's clock.
    pub now: Tick,
    /// Where sockets are registered.
    pub registry: &'a Registry,
    /// The reactor's rings.
    pub rings: &'a mut Pool,
    /// The reactor's pipe.
    pub splicer: &'a mut Splicer,
    /// The reactor's counters.
    pub metrics: &'a Metrics,
    /// What all connections share.
    pub shared: &'a Shared,
    /// Where helpers answer.
    pub replies: &'a Replies,
    /// How many connections of this reactor that move much wait for their turn.
    pub bulk_waiting: usize,
    /// Set by a connection that has used up its share of the turn and has more to do.
    pub again: bool,
    /// Bytes that this drive has worked on, whatever came of them.
    pub worked: usize,
}

/// What a reactor has to lend.
pub(crate) struct Lent {
    pub(crate) poll: Poll,
    /// The clock as of this pass of the loop.
    pub(crate) tick: Tick,
    pub(crate) rings: Pool,
    pub(crate) splicer: Splicer,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) replies: Replies,
    pub(crate) shared: Arc<Shared>,
}

impl Lent {
    /// Lends it to the connection of this name.
    pub(crate) fn to(&mut self, id: ConnId) -> Cx<'_> {
        Cx {
            id,
            now: self.tick,
            registry: self.poll.registry(),
            rings: &mut self.rings,
            splicer: &mut self.splicer,
            metrics: &self.metrics,
            shared: &self.shared,
            replies: &self.replies,
            bulk_waiting: 0,
            again: false,
            worked: 0,
        }
    }
}

/// How far a step came: not to its end, or there.
#[derive(Debug)]
pub enum Turn<S, T> {
    /// The state waits for an event, an answer or its deadline.
    Wait(S),
    /// The state is over, and this is what it found.
    Done(T),
}

/// One connection.
#[derive(Debug)]
pub struct Conn {
    client: Client,
    state: State,
    /// The process is ending: whatever the state, the connection is cut then.
    cut_at: Tick,
    /// Whether there was room for it.
    admitted: bool,
    /// Whether this became a WebSocket.
    upgraded: bool,
    /// Whether its ending has been counted and logged.
    ended: bool,
    /// What the pool knows of the bytes that have come from both ends and nobody has used yet.
    kept_bytes: u32,
    /// Whether the connection waits in the reactor's run queue.
    pub marked: bool,
    /// Whether it moved much when it was driven last.
    pub heavy: bool,
    /// Tells this connection from those that had its slot before.
    pub generation: u32,
}

#[derive(Debug)]
enum State {
    Sniff(Sniff),
    Tls(Tls),
    Handshake(Box<Handshake>),
    Serve(Box<Serve>),
    Connect(Box<Connect>),
    Relay(Relay),
    /// An answer of HTTP is being written.
    Reply(Tick),
    Close(Box<Close>),
    Gone,
}

impl Conn {
    /// A connection that has just been accepted, and whose socket is registered. One that is not `admitted`,
    /// because too many are there, is told so and closed.
    pub fn new(socket: Socket, peer: Peer, admitted: bool, cx: &Cx<'_>) -> Conn {
        cx.shared.log.debug(format_args!("{peer}: new connection"));
        Conn {
            client: Client::new(socket, peer),
            state: State::Sniff(Sniff::begin(cx)),
            cut_at: Tick::NEVER,
            admitted,
            upgraded: false,
            ended: false,
            kept_bytes: 0,
            marked: false,
            heavy: false,
            generation: cx.id.generation,
        }
    }

    /// Takes in an event of one of the sockets.
    pub fn note(&mut self, side: Side, event: &Event) {
        match side {
            Side::Client => self.client.socket.note(event),
            Side::Target => {
                if let Some(socket) = self.target() {
                    socket.note(event);
                }
            }
        }
    }

    /// The client's socket, for readiness that does not come from mio.
    pub fn client(&mut self) -> &mut Transport {
        &mut self.client.socket
    }

    /// The target's socket, if there is one now.
    pub fn target(&mut self) -> Option<&mut Transport> {
        match &mut self.state {
            State::Connect(connect) => connect.target(),
            State::Relay(relay) => relay.target(),
            State::Close(close) => close.target(),
            _ => None,
        }
    }

    /// Takes in what a helper found.
    pub fn answered(&mut self, answer: Answer) {
        match (answer, &mut self.state) {
            (Answer::Resolved(addresses), State::Connect(connect)) => connect.answered(addresses),
            (Answer::Certificate(config), State::Tls(tls)) => tls.answered(config),
            (Answer::File(reply), State::Serve(serve)) => serve.found(*reply),
            (Answer::Chunk(chunk), State::Serve(serve)) => serve.read(chunk),
            // The connection has gone on without it, to its end.
            (Answer::Resolved(_) | Answer::Certificate(_) | Answer::File(_) | Answer::Chunk(_), _) => {}
        }
    }

    /// Goes on as far as possible, through as many states as that takes. False when the connection is gone.
    pub fn drive(&mut self, cx: &mut Cx<'_>) -> bool {
        let alive = self.go_on(cx);
        if self.client.kept.capacity() > 0 && matches!(self.state, State::Reply(_) | State::Close(_)) {
            // Nobody reads it any more.
            self.client.kept = Vec::new();
        }
        let of_target = self.target().map_or(0, |target| target.unread());
        let kept = (self.client.kept.capacity() + self.client.socket.unread() + of_target) as u32;
        if kept != self.kept_bytes {
            cx.rings.discharge(self.kept_bytes as usize);
            cx.rings.charge(kept as usize);
            self.kept_bytes = kept;
        }
        alive
    }

    fn go_on(&mut self, cx: &mut Cx<'_>) -> bool {
        loop {
            let next = match &mut self.state {
                State::Relay(relay) => match relay.pump(&mut self.client, cx) {
                    Ok(None) => return true,
                    Ok(Some(end)) => Ok(self.close(end, cx)),
                    Err(end) => Err(end),
                },
                State::Close(close) => match close.step(&mut self.client, cx) {
                    Turn::Wait(()) => return true,
                    Turn::Done(()) => {
                        self.cut(cx);
                        return false;
                    }
                },
                State::Gone => return false,
                _ => match self.set_up(cx) {
                    Ok(Turn::Wait(state)) => {
                        self.state = state;
                        return true;
                    }
                    Ok(Turn::Done(state)) => Ok(state),
                    Err(end) => Err(end),
                },
            };
            match next {
                Ok(state) => self.state = state,
                Err(end) => {
                    self.finish(&end, cx);
                    if end.owes_alert() {
                        self.state = self.close_both(cx);
                        continue;
                    }
                    self.cut(cx);
                    return false;
                }
            }
        }
    }

    /// What a deadline that has come means for the state. The connection is to be driven afterwards.
    pub fn expired(&mut self, cx: &mut Cx<'_>) {
        let end = if cx.now >= self.cut_at {
            Some(self.end_or(End::Shutdown))
        } else {
            match &mut self.state {
                State::Sniff(sniff) => (cx.now >= sniff.deadline()).then_some(End::Silent),
                State::Tls(tls) => (cx.now >= tls.deadline()).then_some(End::SlowTls),
                State::Handshake(state) if cx.now < state.deadline() => None,
                State::Handshake(state) if state.is_resting() => {
                    self.state = self.close(End::Served, cx);
                    None
                }
                State::Handshake(_) => Some(End::SlowRequest),
                State::Serve(serve) => serve.expired(&self.client, cx),
                State::Connect(connect) => {
                    connect.expired(cx);
                    None
                }
                State::Relay(relay) => relay.expired(&mut self.client, cx).err(),
                State::Reply(deadline) => (cx.now >= *deadline).then_some(End::ClientStalled),
                State::Close(close) => {
                    close.expired(&self.client, cx);
                    None
                }
                State::Gone => None,
            }
        };
        if let Some(end) = end {
            self.finish(&end, cx);
            self.cut(cx);
        }
    }

    /// When to call [`Conn::expired`].
    pub fn deadline(&self) -> Tick {
        let deadline = match &self.state {
            State::Sniff(sniff) => sniff.deadline(),
            State::Tls(tls) => tls.deadline(),
            State::Handshake(handshake) => handshake.deadline(),
            State::Serve(serve) => serve.deadline(),
            State::Connect(connect) => connect.deadline(),
            State::Relay(relay) => relay.deadline(),
            State::Reply(deadline) => *deadline,
            State::Close(close) => close.deadline(),
            State::Gone => Tick::NEVER,
        };
        deadline.min(self.cut_at)
    }

    /// Ends the connection in order because the process ends; what is left of it is cut at `cut_at`.
    pub fn drain(&mut self, cut_at: Tick, cx: &mut Cx<'_>) {
        self.cut_at = cut_at;
        match &mut self.state {
            State::Relay(relay) => relay.drain(&mut self.client, cx),
            State::Connect(connect) => {
                connect.abandon(cx);
                let (to, close) = (Arc::clone(&connect.to), (code::GOING_AWAY, "Server is shutting down"));
                let relay = Relay::without_target(to, &mut self.client, End::Shutdown, close, cx);
                self.state = State::Relay(relay);
            }
            State::Sniff(_) | State::Tls(_) | State::Handshake(_) => {
                self.finish(&End::Shutdown, cx);
                self.cut(cx);
            }
            State::Serve(serve) => serve.be_last(),
            State::Reply(_) | State::Close(_) | State::Gone => {}
        }
    }

    /// Ends the session because its reactor holds too much for peers that do not read.
    pub fn overcommitted(&mut self, cx: &mut Cx<'_>) {
        let end = self.end_or(End::Overcommitted);
        self.finish(&end, cx);
        self.cut(cx);
    }

    /// Since when bytes are held for this connection that an end does not take, or does not complete;
    /// `Tick::NEVER` if none are. Whatever counts as held makes a connection one that can be ended for it.
    pub fn stalled_at(&self) -> Tick {
        match &self.state {
            State::Gone => Tick::NEVER,
            _ if !self.is_holding() => Tick::NEVER,
            State::Relay(relay) => relay.stalled_at(),
            State::Close(close) => close.stalled_at(),
            // A download can be asked for again, so it goes before any session; so does what has not
            // become a session yet.
            _ => Tick::ZERO,
        }
    }

    /// Whether bytes are held for this connection beyond a turn.
    fn is_holding(&self) -> bool {
        let for_others = match &self.state {
            State::Relay(relay) => relay.is_holding(),
            State::Close(close) => close.is_holding(),
            State::Serve(serve) => serve.is_holding(),
            State::Connect(connect) => connect.is_holding(),
            _ => false,
        };
        for_others || self.kept_bytes > 0 || self.client.socket.unsent() > 0
    }

    /// What a session that is closing ends with was decided before; anything else ends with `end`.
    fn end_or(&mut self, end: End) -> End {
        match &mut self.state {
            State::Relay(relay) => relay.end_or(end),
            _ => end,
        }
    }

    /// Whether this became a WebSocket.
    pub fn is_upgraded(&self) -> bool {
        self.upgraded
    }

    /// Who the client is.
    pub fn peer(&self) -> &Peer {
        &self.client.peer
    }

    /// One step of a state before the relay, and what follows it: the diagram above.
    #[inline(never)]
    fn set_up(&mut self, cx: &mut Cx<'_>) -> Result<Turn<State, State>, End> {
        let client = &mut self.client;
        Ok(match std::mem::replace(&mut self.state, State::Gone) {
            State::Sniff(state) => match state.step(client, cx)? {
                Turn::Wait(state) => Turn::Wait(State::Sniff(state)),
                Turn::Done(Protocol::Plain) if !self.admitted => Turn::Done(self.turn_away(cx)),
                Turn::Done(Protocol::Tls) if !self.admitted => return Err(End::Full),
                Turn::Done(Protocol::Plain) if cx.shared.tls_only => Turn::Done(self.refuse_plain(cx)),
                Turn::Done(Protocol::Plain) => Turn::Done(State::Handshake(Box::new(Handshake::begin(cx)))),
                Turn::Done(Protocol::Tls) => Turn::Done(State::Tls(Tls::begin(cx))),
            },
            State::Tls(state) => match state.step(client, cx)? {
                Turn::Wait(state) => Turn::Wait(State::Tls(state)),
                Turn::Done(()) => Turn::Done(State::Handshake(Box::new(Handshake::begin(cx)))),
            },
            State::Handshake(state) => match state.step(client, cx)? {
                Turn::Wait(state) => Turn::Wait(State::Handshake(state)),
                Turn::Done(Asked::Upgrade(accepted)) => Turn::Done(self.upgrade(&accepted, cx)),
                Turn::Done(Asked::Plain(serve)) => Turn::Done(State::Serve(serve)),
                Turn::Done(Asked::Refused(status)) => Turn::Done(self.reply(status, cx)),
                Turn::Done(Asked::Nothing) => Turn::Done(self.close(End::Served, cx)),
            },
            State::Serve(state) => self.serve(state, cx)?,
            State::Connect(state) => {
                let to = Arc::clone(&state.to);
                match state.step(client, cx)? {
                    Turn::Wait(state) => Turn::Wait(State::Connect(state)),
                    Turn::Done(dialled) => Turn::Done(self.relay(to, dialled, cx)),
                }
            }
            State::Reply(deadline) => match client.flush_out(cx.rings) {
                Ok(true) => Turn::Done(State::Close(Box::new(Close::begin(client, None, cx)))),
                Ok(false) => Turn::Wait(State::Reply(deadline)),
                Err(broken) => return Err(End::client_lost(broken)),
            },
            state => Turn::Wait(state),
        })
    }

    /// Answers a plain request; behind it comes another, or the end.
    fn serve(&mut self, state: Box<Serve>, cx: &mut Cx<'_>) -> Result<Turn<State, State>, End> {
        let shared = cx.shared;
        let Some(files) = &shared.web else { return Err(End::Served) };
        Ok(match state.step(&mut self.client, files, cx)? {
            Turn::Wait(state) => Turn::Wait(State::Serve(state)),
            Turn::Done(Served::Last) => Turn::Done(self.close(End::Served, cx)),
            Turn::Done(Served::Next(served)) => {
                let next = State::Handshake(Box::new(Handshake::again(&self.client, served, cx)));
                if self.client.kept.is_empty() {
                    return Ok(Turn::Done(next));
                }
                // Requests that came together are answered in turns of their own, so that others have theirs.
                cx.again = true;
                Turn::Wait(next)
            }
        })
    }

    /// Grants the upgrade: the 101 goes out now, before the target is dialled.
    fn upgrade(&mut self, accepted: &Accepted, cx: &mut Cx<'_>) -> State {
        let (log, peer) = (&cx.shared.log, &self.client.peer);
        if !cx.shared.claim_session() {
            let reason = "the one session of --run-once has begun";
            handshake::refuse(&mut self.client, Status(503), reason, &[], &accepted.line, cx);
            return self.reply(503, cx);
        }
        self.upgraded = true;
        cx.metrics.upgraded.add(1);
        log.peer_debug(peer, format_args!("\"{}\" 101 -", accepted.line));
        let kind = match self.client.socket.tls() {
            Some(_) => "SSL/TLS (wss://)",
            None => "Plain non-SSL (ws://)",
        };
        log.peer(peer, format_args!("{peer}: {kind} WebSocket connection"));
        if accepted.path != "/" {
            log.peer(peer, format_args!("{peer}: Path: '{}'", accepted.path));
        }
        if let Some(hint) = accepted.upgrade.hint {
            hint_once(cx, &hint);
        }
        let to = Arc::clone(&cx.shared.destination);
        log.peer(peer, format_args!("{}", to.announcement));
        self.client.out.push(&accepted.upgrade.response());
        State::Connect(Connect::begin(to, cx))
    }

    /// Too many connections are there: the client is told so before its request is read.
    fn turn_away(&mut self, cx: &Cx<'_>) -> State {
        let answer = response::refusal(Status(503), "too many connections", &[], false);
        self.client.out.push(&answer);
        self.finish(&End::Full, cx);
        State::Reply(cx.now.after(close::LINGER))
    }

    /// Only TLS is served, and this client does not speak it.
    fn refuse_plain(&mut self, cx: &Cx<'_>) -> State {
        let reason = "TLS is required here: use https:// or wss://";
        self.client.out.push(&response::refusal(Status(400), reason, &[], false));
        let (end, peer) = (End::Refused(400), &self.client.peer);
        let line = format_args!("{peer}: non-SSL connection received but disallowed");
        cx.shared.say_limited(&end, |log| log.info(line));
        self.reply(400, cx)
    }

    /// An answer is queued: write it, then close.
    fn reply(&mut self, status: u16, cx: &Cx<'_>) -> State {
        self.finish(&End::Refused(status), cx);
        State::Reply(cx.now.after(close::LINGER))
    }

    /// The dial is over: relay, or tell the client that there is no target.
    fn relay(&mut self, to: Arc<Destination>, dialled: Dialled, cx: &mut Cx<'_>) -> State {
        match dialled {
            Ok(target) => {
                if cx.shared.traffic {
                    cx.shared.log.traffic(traffic::LEGEND);
                }
                State::Relay(Relay::new(to, target, cx))
            }
            Err(failure) => {
                let line = format_args!("Failed to connect to {to}: {failure}");
                cx.shared.log.peer(&self.client.peer, line);
                let close = (code::INTERNAL_ERROR, "Failed to connect to downstream server");
                State::Relay(Relay::without_target(to, &mut self.client, End::Unreachable, close, cx))
            }
        }
    }

    /// The session is over in order: nothing is owed, both sockets are closed with care.
    fn close(&mut self, end: End, cx: &mut Cx<'_>) -> State {
        self.finish(&end, cx);
        self.close_both(cx)
    }

    /// Ends the writing side of whatever is open.
    fn close_both(&mut self, cx: &mut Cx<'_>) -> State {
        let target = match &mut self.state {
            State::Relay(relay) => {
                relay.release(cx.rings);
                relay.take_target()
            }
            _ => None,
        };
        State::Close(Box::new(Close::begin(&mut self.client, target, cx)))
    }

    /// Counts and logs the one reason for which the connection ends. What goes wrong while it is being closed
    /// is not another one.
    fn finish(&mut self, end: &End, cx: &Cx<'_>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let (log, peer) = (&cx.shared.log, &self.client.peer);
        cx.metrics.ended(end.kind() as usize);
        match (&self.state, end) {
            // Said when it was found out.
            (_, End::Refused(_)) => {}
            (State::Relay(relay), end) => {
                let to = &relay.to;
                match (end, end.kind().blame()) {
                    (End::Unreachable, _) => {}
                    (End::ClientReset(_) | End::ClientCut | End::TargetReset, _) | (_, Blame::Nobody) => {
                        log.peer_debug(peer, format_args!("{to}: {end}"));
                    }
                    _ => log.peer(peer, format_args!("{to}: {end}")),
                }
                if relay.has_target() {
                    log.peer_debug(peer, format_args!("{to}: Closed target"));
                }
            }
            (_, End::NoCertificate) => {
                let refusal = cx.shared.tls.as_ref().map(|certificates| certificates.refusal());
                let reason = refusal.unwrap_or_else(|| end.to_string());
                cx.shared.say_limited(end, |log| log.info(format_args!("{peer}: {reason}")));
            }
            (_, end) => match end.kind().blame() {
                _ if matches!(
                    end,
                    End::ClientReset(_) | End::ClientCut | End::HalfTls | End::HalfRequest
                ) =>
                {
                    log.debug(format_args!("{peer}: {end}"));
                }
                Blame::Nobody => log.debug(format_args!("{peer}: {end}")),
                _ => cx.shared.say_limited(end, |log| log.info(format_args!("{peer}: {end}"))),
            },
        }
    }

    /// Closes whatever is open, and gives back whatever is held.
    fn cut(&mut self, cx: &mut Cx<'_>) {
        match &mut self.state {
            State::Connect(connect) => connect.abandon(cx),
            State::Relay(relay) => relay.release(cx.rings),
            State::Serve(serve) => serve.release(cx.rings),
            _ => {}
        }
        if let Some(target) = self.target() {
            target.retire(cx.registry, cx.rings);
        }
        self.client.kept = Vec::new();
        self.client.socket.send_close_notify(cx.rings);
        self.client.socket.retire(cx.registry, cx.rings);
        self.state = State::Gone;
    }
}

/// Says once per process what a proxy in front of this one should be taught.
fn hint_once(cx: &Cx<'_>, hint: &dyn fmt::Display) {
    static SAID: AtomicBool = AtomicBool::new(false);
    if !SAID.swap(true, Ordering::Relaxed) {
        cx.shared.log.info(format_args!("{hint}"));
    }
}
