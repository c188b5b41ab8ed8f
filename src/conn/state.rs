//! The state of a connection, and the questions that every state has to answer. No match here has a `_` arm,
//! so the compiler asks all of them of a new state.
//!
//! A state that owns a socket or a charge is stepped in place, so that whatever happens it is found here when
//! the connection is cut. One that owns none is consumed by its step.

use super::close::Close;
use super::connect::Connect;
use super::cx::Cx;
use super::end::End;
use super::ended::Session;
use super::handshake::Handshake;
use super::lookup::Lookup;
use super::proxy::Proxy;
use super::relay::Relay;
use super::reply::Reply;
use super::serve::Serve;
use super::sniff::Sniff;
use super::tls::Tls;
use crate::metrics::Stage;
use crate::net::transport::Transport;
use crate::timers::Tick;

/// Where a connection stands.
#[expect(clippy::large_enum_variant, reason = "most connections are sessions that are relayed")]
#[derive(Debug)]
pub(super) enum State {
    /// Waiting for a trusted proxy's PROXY header.
    Proxy(Proxy),
    /// Waiting for the first byte.
    Sniff(Sniff),
    /// On the way to a TLS session with the client.
    Tls(Tls),
    /// Waiting for a request head.
    Handshake(Box<Handshake>),
    /// The gate is asked about a request.
    Lookup(Box<Lookup>),
    /// A plain request is answered.
    Serve(Box<Serve>),
    /// The target is dialled.
    Connect(Box<Connect>),
    /// A session.
    Relay(Relay),
    /// An error of HTTP is being written.
    Reply(Reply),
    /// Both sockets are closed in order.
    Close(Box<Close>),
    /// Nothing is left.
    Gone,
}

impl State {
    /// The state's name.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn name(&self) -> &'static str {
        match self {
            State::Proxy(_) => "proxy",
            State::Sniff(_) => "sniff",
            State::Tls(_) => "tls",
            State::Handshake(_) => "handshake",
            State::Lookup(_) => "lookup",
            State::Serve(_) => "serve",
            State::Connect(_) => "connect",
            State::Relay(_) => "relay",
            State::Reply(_) => "reply",
            State::Close(_) => "close",
            State::Gone => "gone",
        }
    }

    /// What it is counted as; `None` when nothing is left.
    pub(super) fn stage(&self) -> Option<Stage> {
        Some(match self {
            State::Proxy(_) => Stage::Proxy,
            State::Sniff(_) => Stage::Sniff,
            State::Tls(_) => Stage::Tls,
            State::Handshake(_) => Stage::Handshake,
            State::Lookup(_) => Stage::Lookup,
            State::Serve(_) | State::Reply(_) => Stage::Serve,
            State::Connect(_) => Stage::Connect,
            State::Relay(_) => Stage::Relay,
            State::Close(_) => Stage::Close,
            State::Gone => return None,
        })
    }

    /// When the state's deadline comes.
    pub(super) fn deadline(&self) -> Tick {
        match self {
            State::Proxy(proxy) => proxy.deadline(),
            State::Sniff(sniff) => sniff.deadline(),
            State::Tls(tls) => tls.deadline(),
            State::Handshake(handshake) => handshake.deadline(),
            State::Lookup(lookup) => lookup.deadline(),
            State::Serve(serve) => serve.deadline(),
            State::Connect(connect) => connect.deadline(),
            State::Relay(relay) => relay.deadline(),
            State::Reply(reply) => reply.deadline(),
            State::Close(close) => close.deadline(),
            State::Gone => Tick::NEVER,
        }
    }

    /// The target's socket, if there is one now.
    pub(super) fn target(&mut self) -> Option<&mut Transport> {
        match self {
            State::Connect(connect) => connect.target(),
            State::Relay(relay) => relay.target(),
            State::Close(close) => close.target(),
            State::Proxy(_)
            | State::Sniff(_)
            | State::Tls(_)
            | State::Handshake(_)
            | State::Lookup(_)
            | State::Serve(_)
            | State::Reply(_)
            | State::Gone => None,
        }
    }

    /// Bytes that are kept for the session outside of rings, while it is relayed.
    pub(super) fn kept_bytes(&self) -> usize {
        match self {
            State::Relay(relay) => relay.kept_bytes(),
            // Nothing is on it yet.
            State::Connect(_)
            | State::Proxy(_)
            | State::Sniff(_)
            | State::Tls(_)
            | State::Handshake(_)
            | State::Lookup(_)
            | State::Serve(_)
            | State::Reply(_)
            | State::Close(_)
            | State::Gone => 0,
        }
    }

    /// The session, while there is one or its target is looked for.
    pub(super) fn session(&self) -> Option<Session<'_>> {
        match self {
            State::Relay(relay) => Some(Session { to: &relay.to, relay: Some(relay) }),
            State::Connect(connect) => Some(Session { to: &connect.to, relay: None }),
            State::Proxy(_)
            | State::Sniff(_)
            | State::Tls(_)
            | State::Handshake(_)
            | State::Lookup(_)
            | State::Serve(_)
            | State::Reply(_)
            | State::Close(_)
            | State::Gone => None,
        }
    }

    /// Whether a request head is still to come before anything is granted.
    pub(super) fn awaits_head(&self) -> bool {
        match self {
            State::Proxy(_) | State::Sniff(_) | State::Tls(_) | State::Handshake(_) => true,
            State::Lookup(_)
            | State::Serve(_)
            | State::Connect(_)
            | State::Relay(_)
            | State::Reply(_)
            | State::Close(_)
            | State::Gone => false,
        }
    }

    /// Whether the connection's first request head is still to come.
    pub(super) fn awaits_first_request(&self) -> bool {
        match self {
            State::Proxy(_) | State::Sniff(_) | State::Tls(_) => true,
            State::Handshake(handshake) => handshake.is_first(),
            State::Lookup(_)
            | State::Serve(_)
            | State::Connect(_)
            | State::Relay(_)
            | State::Reply(_)
            | State::Close(_)
            | State::Gone => false,
        }
    }

    /// Whether the client's input is no longer read.
    pub(super) fn ignores_input(&self) -> bool {
        match self {
            State::Reply(_) | State::Close(_) => true,
            State::Proxy(_)
            | State::Sniff(_)
            | State::Tls(_)
            | State::Handshake(_)
            | State::Lookup(_)
            | State::Serve(_)
            | State::Connect(_)
            | State::Relay(_)
            | State::Gone => false,
        }
    }

    /// Bytes that are held here beyond a turn, without those of the client's side.
    pub(super) fn held_bytes(&self) -> usize {
        match self {
            State::Relay(relay) => relay.held_bytes(),
            State::Close(close) => close.held_bytes(),
            State::Serve(serve) => serve.charged_bytes(),
            State::Connect(connect) => connect.held_bytes(),
            State::Proxy(_)
            | State::Sniff(_)
            | State::Tls(_)
            | State::Handshake(_)
            | State::Lookup(_)
            | State::Reply(_)
            | State::Gone => 0,
        }
    }

    /// Since when what is held has been waiting; `None` for what is not served yet.
    pub(super) fn stalled_at(&self) -> Option<Tick> {
        match self {
            State::Relay(relay) => Some(relay.stalled_at()),
            State::Close(close) => Some(close.stalled_at()),
            State::Serve(serve) => Some(serve.begun_at()),
            State::Proxy(_)
            | State::Sniff(_)
            | State::Tls(_)
            | State::Handshake(_)
            | State::Lookup(_)
            | State::Connect(_)
            | State::Reply(_)
            | State::Gone => None,
        }
    }

    /// The ending that was decided before, for a session that is closing; otherwise `end`.
    pub(super) fn end_or(&mut self, end: End) -> End {
        match self {
            State::Relay(relay) => relay.end_or(end),
            State::Proxy(_)
            | State::Sniff(_)
            | State::Tls(_)
            | State::Handshake(_)
            | State::Lookup(_)
            | State::Serve(_)
            | State::Connect(_)
            | State::Reply(_)
            | State::Close(_)
            | State::Gone => end,
        }
    }

    /// Releases what is held, and closes what is open except the client's socket.
    pub(super) fn release(&mut self, cx: &mut Cx<'_>) {
        match self {
            State::Connect(connect) => connect.abandon(cx),
            State::Relay(relay) => relay.release(cx),
            State::Serve(serve) => serve.release(cx.rings),
            State::Proxy(_)
            | State::Sniff(_)
            | State::Tls(_)
            | State::Handshake(_)
            | State::Lookup(_)
            | State::Reply(_)
            | State::Close(_)
            | State::Gone => {}
        }
        if let Some(target) = self.target() {
            target.retire(cx.rings);
        }
    }
}
