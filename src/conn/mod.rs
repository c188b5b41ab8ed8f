//! A connection: a client, perhaps a target, and one state after the other.
//!
//! ```text
//! (Proxy ─▶)
//! Sniff ─▶ Tls ─▶ Handshake ─▶ Lookup ─▶ Connect ─▶ Relay ─▶ Close ─▶ Gone
//!    └─ plain ─────▲  ▲ │        │                            ▲
//!                  │  │ └─ refused ─▶ Reply ──────────────────┤
//!                  │  └─ next ─ Serve ◀─ page                 │
//!                  └─────────── Serve ── last ────────────────┘
//! ```
//! No state names another: each returns what it found, and `drive` alone knows what follows what.
//! Events, answers of helpers and deadlines only leave marks; `drive` acts on all of them in one way.

pub mod client;
pub mod close;
pub mod connect;
pub mod cx;
pub mod delivery;
mod drive;
pub mod early;
pub mod end;
mod ended;
pub mod facts;
pub mod frontend;
pub mod handshake;
pub mod lookup;
mod party;
pub mod proxy;
pub mod relay;
pub mod reply;
pub mod report;
#[cfg(any(test, feature = "testing"))]
pub mod rig;
pub mod row;
pub mod serve;
pub mod shared;
pub mod sniff;
mod state;
pub mod tape;
#[cfg(test)]
mod tests;
pub mod tls;
mod view;
pub mod wanted;
pub mod who;

use std::sync::Arc;

use mio::event::Event;

use crate::id::Side;
use crate::log::{Topic, What};
use crate::metrics::{Metrics, Stage};
use crate::net::listen::Peer;
use crate::net::socket::Socket;
use crate::net::transport::Transport;
use crate::proxy::Fault;
use crate::timers::Tick;
use crate::ws::code;
use client::Client;
use cx::{Answer, Cx};
use end::End;
use proxy::Proxy;
use relay::{Relay, Traffic};
use row::Ending;
use sniff::Sniff;
use state::State;
use who::Who;

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
    /// When the connection is cut, whatever its state, because the process is ending.
    cut_at: Tick,
    /// Whether there was room for it.
    admitted: bool,
    /// Whether its ending has been counted and logged.
    ended: bool,
    /// How far it is, as it was counted last.
    stage: Option<Stage>,
    /// How many bytes received from both ends and not used yet are charged to the pool.
    kept_bytes: u32,
}

impl Conn {
    /// A connection that has just been accepted.
    pub fn new(accepted: Accepted, cx: &Cx<'_>) -> Conn {
        let Accepted { socket, peer, admitted, number } = accepted;
        let client = Client::new(socket, peer, number, cx.now);
        let what = What::Undated(Topic::Connection, format_args!("new connection"));
        report::detail_of(what, &client, None, cx);
        let state = match cx.frontend.proxies.send_header(&client.who.socket) {
            true => State::Proxy(Proxy::begin(cx)),
            false => State::Sniff(Sniff::begin(cx)),
        };
        let mut conn =
            Conn { client, state, cut_at: Tick::NEVER, admitted, ended: false, stage: None, kept_bytes: 0 };
        conn.note_stage(cx);
        conn
    }

    /// Applies an event to one of the sockets.
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

    /// Stores a helper's answer.
    pub fn answered(&mut self, answer: Answer, metrics: &Metrics) {
        match (answer, &mut self.state) {
            (Answer::Resolved(addresses), State::Connect(connect)) => connect.answered(addresses, metrics),
            (Answer::Started(started), State::Connect(connect)) => connect.started(started),
            (Answer::Certificate(config), State::Tls(tls)) => tls.answered(config),
            (Answer::Verdict(verdict), State::Lookup(lookup)) => lookup.answered(verdict),
            (Answer::Page(response), State::Serve(serve)) => serve.found(*response),
            (Answer::Chunk(chunk), State::Serve(serve)) => serve.read(chunk),
            // It only causes a drive.
            (Answer::Recorded, _) => {}
            // The connection has continued without it.
            (
                Answer::Resolved(_)
                | Answer::Certificate(_)
                | Answer::Verdict(_)
                | Answer::Page(_)
                | Answer::Chunk(_)
                | Answer::Started(_),
                _,
            ) => {}
        }
    }

    /// Continues as far as possible, through any number of states. False when the connection is gone.
    pub fn drive(&mut self, cx: &mut Cx<'_>) -> bool {
        let alive = self.go_on(cx);
        if self.client.kept.capacity() > 0 && self.state.ignores_input() {
            // Nobody reads it any more.
            self.client.kept = Vec::new();
        }
        let of_target = self.target().map_or(0, |target| target.unread());
        let of_state = self.state.kept_bytes();
        let kept = (self.client.kept.capacity() + self.client.socket.unread() + of_target + of_state) as u32;
        if kept != self.kept_bytes {
            cx.rings.discharge(self.kept_bytes as usize);
            cx.rings.charge(kept as usize);
            self.kept_bytes = kept;
        }
        alive
    }

    /// Handles an expired deadline. The connection must be driven afterwards.
    pub fn expired(&mut self, cx: &mut Cx<'_>) {
        let end = if cx.now >= self.cut_at {
            Some(self.state.end_or(End::Shutdown))
        } else {
            match &mut self.state {
                State::Proxy(proxy) if cx.now < proxy.deadline() => None,
                State::Proxy(_) if self.client.kept.is_empty() => Some(End::Silent),
                State::Proxy(_) => Some(End::BadProxyHeader(Fault::Late)),
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
        self.note_stage(cx);
    }

    /// Notes the connection's stage. Called after every change of state.
    fn note_stage(&mut self, cx: &Cx<'_>) {
        let stage = self.state.stage();
        if stage == self.stage {
            return;
        }
        if let Some(before) = std::mem::replace(&mut self.stage, stage) {
            cx.metrics.stages[before as usize].lower();
        }
        if let Some(stage) = stage {
            cx.metrics.stages[stage as usize].raise();
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

    /// Ends the connection cleanly because the process ends; what is left of it is cut at `cut_at`.
    pub fn drain(&mut self, cut_at: Tick, cx: &mut Cx<'_>) {
        self.cut_at = cut_at;
        match &mut self.state {
            State::Relay(_) | State::Connect(_) => {
                self.end_session(End::Shutdown, (code::GOING_AWAY, "Server is shutting down"), cx);
            }
            State::Proxy(_) | State::Sniff(_) | State::Tls(_) | State::Handshake(_) | State::Lookup(_) => {
                self.finish(&End::Shutdown, cx);
                self.cut(cx);
            }
            State::Serve(serve) => serve.be_last(),
            State::Reply(_) | State::Close(_) | State::Gone => {}
        }
        self.note_stage(cx);
    }

    /// Ends a session cleanly: its client is sent `close`, and its answer is awaited. Does nothing if it is
    /// closing already.
    fn end_session(&mut self, end: End, close: (u16, &str), cx: &mut Cx<'_>) {
        match &mut self.state {
            State::Relay(relay) => relay.end(&mut self.client, end, close, cx),
            State::Connect(connect) => {
                connect.abandon(cx);
                let (to, decoder) = (Arc::clone(&connect.to), connect.take_decoder());
                let relay = Relay::without_target(to, &mut self.client, end, close, decoder, cx);
                self.state = State::Relay(relay);
            }
            State::Proxy(_)
            | State::Sniff(_)
            | State::Tls(_)
            | State::Handshake(_)
            | State::Lookup(_)
            | State::Serve(_)
            | State::Reply(_)
            | State::Close(_)
            | State::Gone => {}
        }
    }

    /// Ends the session at the operator's request. The connection must be driven afterwards.
    pub fn end(&mut self, ending: Ending, cx: &mut Cx<'_>) {
        self.end_session(End::Killed, (ending.code, ending.reason), cx);
        self.note_stage(cx);
    }

    /// Whether its first request is still to come.
    pub fn awaits_first_request(&self) -> bool {
        self.state.awaits_first_request()
    }

    /// Ends the connection because another one was given its place.
    pub fn displaced(&mut self, cx: &mut Cx<'_>) {
        self.finish(&End::Displaced(cx.shared.places), cx);
        self.cut(cx);
    }

    /// Ends the session because its reactor holds too much for peers that do not read.
    pub fn overcommitted(&mut self, cx: &mut Cx<'_>) {
        let end = self.state.end_or(End::Overcommitted);
        self.finish(&end, cx);
        self.cut(cx);
    }

    /// How many bytes are held for this connection beyond a turn because an end does not read or does not
    /// complete something, and since when; and whether the connection is being served. `None` if there are
    /// none. A connection can be ended for any bytes that count as held.
    pub fn burden(&self) -> Option<(usize, Tick, bool)> {
        let bytes = self.state.held_bytes() + self.kept_bytes as usize + self.client.socket.held_bytes();
        let since = self.state.stalled_at();
        (bytes > 0).then(|| (bytes, since.unwrap_or(self.client.accepted_at), since.is_some()))
    }

    /// Whether this is a session whose target was reached and that is not closing its sockets yet.
    pub fn is_relaying(&self) -> bool {
        self.state.session().is_some_and(|session| session.has_target())
    }

    /// Whether this became a WebSocket.
    pub fn is_upgraded(&self) -> bool {
        self.client.is_upgraded()
    }

    /// What its session has moved so far; `None` without a session that has got as far as its target.
    pub fn traffic(&self) -> Option<&Traffic> {
        Some(self.state.session()?.relay?.traffic())
    }

    /// Who the client is.
    pub fn who(&self) -> &Who {
        &self.client.who
    }

    /// Counts and logs the one reason for which the connection ends. Faults while it is being closed are not
    /// a second reason.
    fn finish(&mut self, end: &End, cx: &Cx<'_>) {
        if !std::mem::replace(&mut self.ended, true) {
            if self.is_upgraded() {
                cx.metrics.sessions[self.client.transport() as usize].lower();
                cx.metrics.durations.note(cx.now.since(self.client.upgraded_at));
            }
            ended::ended(end, self.state.session(), &self.client, cx);
        }
    }

    /// Closes whatever is open, and releases whatever is held.
    fn cut(&mut self, cx: &mut Cx<'_>) {
        self.state.release(cx);
        self.client.kept = Vec::new();
        self.client.socket.send_close_notify(cx.rings);
        self.client.socket.retire(cx.rings);
        self.state = State::Gone;
        self.note_stage(cx);
    }
}

/// What a connection holds, while it is a session that is relayed.
#[cfg(test)]
pub(crate) fn parts() -> crate::parts::Parts {
    let conn = crate::parts::parts!(Conn: client, state, cut_at, admitted, ended, stage, kept_bytes);
    [conn, client::parts(), relay::parts()].concat()
}
