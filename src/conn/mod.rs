//! A connection: a client, perhaps a target, and one state after the other.
//!
//! ```text
//! Sniff ─▶ Tls ─▶ Handshake ─▶ Lookup ─▶ Connect ─▶ Relay ─▶ Close ─▶ Gone
//!    └─ plain ─────▲  ▲ │        │                            ▲
//!                  │  │ └─ refused ─▶ Reply ──────────────────┤
//!                  │  └─ next ─ Serve ◀─ page                 │
//!                  └─────────── Serve ── last ────────────────┘
//! ```
//! No state names another: each returns what it found, and [`Conn::drive`] alone knows what follows what.
//! Events, answers of helpers and deadlines only leave marks; `drive` acts on all of them in one way.

pub mod client;
pub mod close;
pub mod connect;
pub mod cx;
pub mod end;
pub mod frontend;
pub mod handshake;
pub mod lookup;
pub mod relay;
pub mod reply;
mod report;
#[cfg(any(test, feature = "testing"))]
pub mod rig;
pub mod serve;
pub mod shared;
pub mod sniff;
mod state;
pub mod tape;
#[cfg(test)]
mod tests;
pub mod tls;
pub mod wanted;

use std::sync::Arc;

use mio::event::Event;

use crate::gate::{Grant, TokenTarget, Verdict, Why};
use crate::http::refusal::Refusal;
use crate::id::Side;
use crate::log::Level;
use crate::net::listen::Peer;
use crate::net::socket::Socket;
use crate::net::transport::Transport;
use crate::sniff::Protocol;
use crate::timers::Tick;
use crate::ws::code;
use client::Client;
use close::Close;
use connect::{Connect, Dialled, Failure};
use cx::{Answer, Cx, Turn};
use end::End;
use frontend::{Destination, Sessions};
use handshake::Handshake;
use lookup::{Lookup, Request};
use relay::Relay;
use reply::Reply;
use serve::{Serve, Served};
use sniff::Sniff;
use state::State;
use tape::Tape;
use tls::Tls;
use wanted::{Action, PageRequest, SessionRequest, Wanted};

/// A socket that has been accepted.
pub struct Accepted {
    /// The client's socket; it is registered.
    pub socket: Socket,
    /// Who the client is.
    pub peer: Peer,
    /// Whether there is room for it. Without room it is told so and closed.
    pub admitted: bool,
    /// How many connections the process had accepted when it came, itself included.
    pub number: u64,
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
}

impl Conn {
    /// A connection that has just been accepted.
    pub fn new(accepted: Accepted, cx: &Cx<'_>) -> Conn {
        let Accepted { socket, peer, admitted, number } = accepted;
        cx.shared.log.debug(format_args!("{peer}: new connection"));
        Conn {
            client: Client::new(socket, peer, number),
            state: State::Sniff(Sniff::begin(cx)),
            cut_at: Tick::NEVER,
            admitted,
            upgraded: false,
            ended: false,
            kept_bytes: 0,
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
    #[cfg(any(test, feature = "testing"))]
    pub fn client(&mut self) -> &mut Transport {
        &mut self.client.socket
    }

    /// The target's socket, if there is one now.
    pub fn target(&mut self) -> Option<&mut Transport> {
        self.state.target()
    }

    /// Takes in what a helper found.
    pub fn answered(&mut self, answer: Answer) {
        match (answer, &mut self.state) {
            (Answer::Resolved(addresses), State::Connect(connect)) => connect.answered(addresses),
            (Answer::Certificate(config), State::Tls(tls)) => tls.answered(config),
            (Answer::Verdict(verdict), State::Lookup(lookup)) => lookup.answered(verdict),
            (Answer::Page(response), State::Serve(serve)) => serve.found(*response),
            (Answer::Chunk(chunk), State::Serve(serve)) => serve.read(chunk),
            // The connection has gone on without it, to its end.
            (
                Answer::Resolved(_)
                | Answer::Certificate(_)
                | Answer::Verdict(_)
                | Answer::Page(_)
                | Answer::Chunk(_),
                _,
            ) => {}
        }
    }

    /// Goes on as far as possible, through as many states as that takes. False when the connection is gone.
    pub fn drive(&mut self, cx: &mut Cx<'_>) -> bool {
        let alive = self.go_on(cx);
        if self.client.kept.capacity() > 0 && self.state.ignores_input() {
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
                State::Connect(connect) => match connect.step(&mut self.client, cx) {
                    Ok(Turn::Wait(())) => return true,
                    Ok(Turn::Done(dialled)) => {
                        let to = Arc::clone(&connect.to);
                        Ok(self.relay(to, dialled, cx))
                    }
                    Err(end) => Err(end),
                },
                State::Serve(serve) => match serve.step(&mut self.client, cx) {
                    Ok(Turn::Wait(())) => return true,
                    Ok(Turn::Done(Served::Last)) => Ok(self.close(End::Served, cx)),
                    Ok(Turn::Done(Served::Next(served))) => {
                        self.state = State::Handshake(Box::new(Handshake::again(&self.client, served, cx)));
                        // The next head has a turn of its own: others have theirs, and it finds the listener's
                        // frontend as it is then.
                        cx.again = !self.client.kept.is_empty() || self.client.socket.is_readable();
                        return true;
                    }
                    Err(end) => Err(end),
                },
                State::Sniff(_)
                | State::Tls(_)
                | State::Handshake(_)
                | State::Lookup(_)
                | State::Reply(_) => match self.set_up(cx) {
                    Ok(Turn::Wait(state)) => {
                        self.state = state;
                        return true;
                    }
                    Ok(Turn::Done(state)) => Ok(state),
                    Err(end) => Err(end),
                },
                State::Gone => return false,
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
            Some(self.state.end_or(End::Shutdown))
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
                State::Lookup(lookup) => {
                    lookup.expired(cx);
                    None
                }
                State::Serve(serve) => serve.expired(&self.client, cx),
                State::Connect(connect) => {
                    connect.expired(cx);
                    None
                }
                State::Relay(relay) => relay.expired(&mut self.client, cx).err(),
                State::Reply(reply) => (cx.now >= reply.deadline()).then_some(End::ClientStalled),
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
        self.state.deadline().min(self.cut_at)
    }

    /// Whether a request head is still to come: the connection may be given its listener's current frontend.
    pub fn awaits_head(&self) -> bool {
        self.state.awaits_head()
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
            State::Sniff(_) | State::Tls(_) | State::Handshake(_) | State::Lookup(_) => {
                self.finish(&End::Shutdown, cx);
                self.cut(cx);
            }
            State::Serve(serve) => serve.be_last(),
            State::Reply(_) | State::Close(_) | State::Gone => {}
        }
    }

    /// Ends the session because its reactor holds too much for peers that do not read.
    pub fn overcommitted(&mut self, cx: &mut Cx<'_>) {
        let end = self.state.end_or(End::Overcommitted);
        self.finish(&end, cx);
        self.cut(cx);
    }

    /// Since when bytes are held for this connection that an end does not take, or does not complete;
    /// `Tick::NEVER` if none are. Whatever counts as held makes a connection one that can be ended for it.
    pub fn stalled_at(&self) -> Tick {
        if self.is_holding() { self.state.stalled_at() } else { Tick::NEVER }
    }

    /// Whether bytes are held for this connection beyond a turn.
    fn is_holding(&self) -> bool {
        self.state.is_holding() || self.kept_bytes > 0 || self.client.socket.unsent() > 0
    }

    /// Whether this became a WebSocket.
    pub fn is_upgraded(&self) -> bool {
        self.upgraded
    }

    /// Who the client is.
    pub fn peer(&self) -> &Peer {
        &self.client.peer
    }

    /// One step of a state that owns no socket but the client's, and what follows it: the diagram above.
    #[inline(never)]
    fn set_up(&mut self, cx: &mut Cx<'_>) -> Result<Turn<State, State>, End> {
        let client = &mut self.client;
        Ok(match std::mem::replace(&mut self.state, State::Gone) {
            State::Sniff(state) => match state.step(client, cx)? {
                Turn::Wait(state) => Turn::Wait(State::Sniff(state)),
                Turn::Done(Protocol::Plain) if !self.admitted => Turn::Done(self.turn_away(cx)),
                Turn::Done(Protocol::Tls) if !self.admitted => return Err(End::Full),
                Turn::Done(Protocol::Plain) if cx.frontend.tls_only => Turn::Done(self.refuse_plain(cx)),
                Turn::Done(Protocol::Plain) => Turn::Done(State::Handshake(Box::new(Handshake::begin(cx)))),
                Turn::Done(Protocol::Tls) => Turn::Done(State::Tls(Tls::begin(cx))),
            },
            State::Tls(state) => match state.step(client, cx)? {
                Turn::Wait(state) => Turn::Wait(State::Tls(state)),
                Turn::Done(()) => Turn::Done(State::Handshake(Box::new(Handshake::begin(cx)))),
            },
            State::Handshake(state) => match state.step(client, cx)? {
                Turn::Wait(state) => Turn::Wait(State::Handshake(state)),
                Turn::Done(wanted) => Turn::Done(self.look_up(wanted, cx)),
            },
            State::Lookup(state) => match state.step(client, cx)? {
                Turn::Wait(state) => Turn::Wait(State::Lookup(state)),
                Turn::Done((request, verdict)) => Turn::Done(self.decided(request, verdict, cx)),
            },
            State::Reply(state) => match state.step(client, cx)? {
                Turn::Wait(state) => Turn::Wait(State::Reply(state)),
                Turn::Done(()) => Turn::Done(State::Close(Box::new(Close::begin(client, None, cx)))),
            },
            state @ (State::Serve(_)
            | State::Connect(_)
            | State::Relay(_)
            | State::Close(_)
            | State::Gone) => Turn::Wait(state),
        })
    }

    /// A request is there: the gate is asked, if there is anything to ask.
    fn look_up(&mut self, wanted: Wanted, cx: &mut Cx<'_>) -> State {
        let request = match wanted {
            Wanted::Session(session) => Request::Session(session),
            Wanted::Page(page) => Request::Page(page),
            Wanted::Refused(refusal, line) => return self.refuse(&refusal, &line, cx),
            Wanted::Nothing => return self.close(End::Served, cx),
        };
        match Lookup::begin(request, cx) {
            Turn::Wait(lookup) => State::Lookup(lookup),
            Turn::Done((request, verdict)) => self.decided(request, verdict, cx),
        }
    }

    /// The gate has decided.
    fn decided(&mut self, request: Request, verdict: Verdict, cx: &mut Cx<'_>) -> State {
        report::decided(&verdict, cx);
        match (request, verdict) {
            (Request::Session(session), Verdict::Granted(grant)) => self.upgrade(&session, grant, cx),
            (Request::Session(session), Verdict::Refused(why, refusal)) => {
                let status = refusal.status.0;
                let end = match why {
                    Why::Denied => End::Denied(status),
                    Why::Unknown => End::UnknownToken(status),
                    Why::Broken => End::LookupFailed(status),
                };
                self.refuse_as(&end, &refusal, &session.line, cx)
            }
            (Request::Page(mut page), Verdict::Granted(grant)) => {
                page.set_cookie = grant.set_cookie;
                self.serve(*page, cx)
            }
            (Request::Page(mut page), Verdict::Refused(why, refusal)) => {
                // The connection goes on behind the answer: browsers ask again with a password. But a verdict that
                // comes too late must not be taken for that of another request.
                page.options.keep &= why != Why::Broken;
                page.action = Action::Refuse(refusal);
                self.serve(*page, cx)
            }
        }
    }

    fn serve(&mut self, page: PageRequest, cx: &mut Cx<'_>) -> State {
        State::Serve(Serve::begin(&mut self.client, page, cx))
    }

    /// Grants the upgrade: the 101 goes out now, before the target is dialled.
    fn upgrade(&mut self, request: &SessionRequest, grant: Grant, cx: &mut Cx<'_>) -> State {
        let Grant { to, set_cookie } = grant;
        let Some(to) = destination(to, cx) else {
            return self.refuse(&Refusal::new(404, "Not Found"), &request.line, cx);
        };
        if !cx.shared.claim_session() {
            let refusal = Refusal::new(503, "the one session of --run-once has begun");
            return self.refuse(&refusal, &request.line, cx);
        }
        self.upgraded = true;
        cx.metrics.upgraded.add(1);
        report::upgraded(request, &to, &self.client, cx);
        self.client.out.push(&request.upgrade.response(set_cookie.as_deref()));
        State::Connect(Connect::begin(to, cx))
    }

    /// Too many connections are there: the client is told so before its request is read.
    fn turn_away(&mut self, cx: &Cx<'_>) -> State {
        let reply = Reply::begin(&Refusal::new(503, "too many connections"), false, &mut self.client, cx);
        self.finish(&End::Full, cx);
        State::Reply(reply)
    }

    /// Only TLS is served, and this client does not speak it.
    fn refuse_plain(&mut self, cx: &Cx<'_>) -> State {
        let refusal = Refusal::new(400, "TLS is required here: use https:// or wss://");
        let reply = Reply::begin(&refusal, false, &mut self.client, cx);
        let (end, peer) = (End::Refused(400), &self.client.peer);
        let line = format_args!("{peer}: non-SSL connection received but disallowed");
        cx.shared.say_limited(&end, |log| log.info(line));
        self.finish(&end, cx);
        State::Reply(reply)
    }

    /// The request is answered with an error, which ends the connection. `line` is the request's, or empty.
    fn refuse(&mut self, refusal: &Refusal, line: &str, cx: &Cx<'_>) -> State {
        self.refuse_as(&End::Refused(refusal.status.0), refusal, line, cx)
    }

    /// The same with an ending of its own.
    fn refuse_as(&mut self, end: &End, refusal: &Refusal, line: &str, cx: &Cx<'_>) -> State {
        let reply = Reply::begin(refusal, line.starts_with("HEAD "), &mut self.client, cx);
        report::refused(end, line, refusal.status, refusal.log_words(), &self.client, cx);
        self.finish(end, cx);
        State::Reply(reply)
    }

    /// The dial is over: relay, or tell the client that there is no target.
    fn relay(&mut self, to: Arc<Destination>, dialled: Dialled, cx: &mut Cx<'_>) -> State {
        match dialled {
            Ok(target) => State::Relay(Relay::new(to, target, Tape::begin(cx), cx)),
            Err(failure) => {
                let line = format_args!("Failed to connect to {to}: {failure}");
                cx.shared.log.peer_at(Level::Warning, &self.client.peer, line);
                let end = match failure {
                    Failure::Unreachable(_) => End::Unreachable,
                    Failure::NotAllowed(_) => End::NotAllowed,
                };
                // The client is told the same, so that it learns nothing.
                let close = (code::INTERNAL_ERROR, "Failed to connect to downstream server");
                State::Relay(Relay::without_target(to, &mut self.client, end, close, cx))
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
            State::Sniff(_)
            | State::Tls(_)
            | State::Handshake(_)
            | State::Lookup(_)
            | State::Serve(_)
            | State::Connect(_)
            | State::Reply(_)
            | State::Close(_)
            | State::Gone => {
                self.state.release(cx);
                None
            }
        };
        State::Close(Box::new(Close::begin(&mut self.client, target, cx)))
    }

    /// Counts and logs the one reason for which the connection ends. What goes wrong while it is being closed
    /// is not another one.
    fn finish(&mut self, end: &End, cx: &Cx<'_>) {
        if !std::mem::replace(&mut self.ended, true) {
            report::ended(end, self.state.session(), &self.client, cx);
        }
    }

    /// Closes whatever is open, and gives back whatever is held.
    fn cut(&mut self, cx: &mut Cx<'_>) {
        self.state.release(cx);
        self.client.kept = Vec::new();
        self.client.socket.send_close_notify(cx.rings);
        self.client.socket.retire(cx.registry, cx.rings);
        self.state = State::Gone;
    }
}

/// Where a granted session goes.
fn destination(to: Option<TokenTarget>, cx: &Cx<'_>) -> Option<Arc<Destination>> {
    match (to, &cx.frontend.sessions) {
        (Some(to), _) => Some(Arc::new(Destination::of_token(to, cx.frontend.target_tls.is_some()))),
        (None, Some(Sessions::Fixed(to))) => Some(Arc::clone(to)),
        (None, Some(Sessions::Tokens) | None) => None,
    }
}
