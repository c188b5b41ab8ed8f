//! A connection as seen from outside: its row in a list of sessions.

use std::sync::Arc;
use std::time::Duration;

use super::Conn;
use super::facts::Via;
use super::frontend::Destination;
use super::row::{Filter, Order, Row, Tls};
use super::state::State;
use crate::certs::ClientIdentity;
use crate::id::ConnId;
use crate::net::listen::Peer;
use crate::timers::Tick;

impl Conn {
    /// Where the session goes; `None` if it is not a session, or is already closing its sockets.
    fn destination(&self) -> Option<&Arc<Destination>> {
        match &self.state {
            State::Connect(connect) => Some(&connect.to),
            State::Relay(relay) => Some(&relay.to),
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

    /// Whether it is a session that neither end has begun to leave.
    pub fn may_be_ended(&self) -> bool {
        match &self.state {
            State::Connect(_) => true,
            State::Relay(relay) => relay.is_open(),
            State::Proxy(_)
            | State::Sniff(_)
            | State::Tls(_)
            | State::Handshake(_)
            | State::Lookup(_)
            | State::Serve(_)
            | State::Reply(_)
            | State::Close(_)
            | State::Gone => false,
        }
    }

    /// Whether it is a session that the filter matches.
    pub fn matches(&self, filter: &Filter, now: Tick) -> bool {
        let Some(to) = self.destination() else { return false };
        let facts = self.client.who.facts.as_ref();
        let has_token = |hash: &String| {
            facts.and_then(|facts| facts.token).is_some_and(|token| token.to_string() == *hash)
        };
        let is_of = |identity: &String| {
            facts.and_then(|facts| facts.user.as_deref()).is_some_and(|user| user == identity)
        };
        let is_there = |net: &crate::rules::Net| {
            self.client.who.address().is_some_and(|address| net.contains(address.to_canonical()))
        };
        let is_idle = |time: &Duration| {
            let (up, down) = self.idle(now);
            up.min(down) >= *time
        };
        filter.address.as_ref().is_none_or(is_there)
            && filter.target.as_ref().is_none_or(|target| to.name == *target)
            && filter.token.as_ref().is_none_or(has_token)
            && filter.identity.as_ref().is_none_or(is_of)
            && filter.idle_over.as_ref().is_none_or(is_idle)
            && (!filter.stalled || self.stalled_side().is_some())
    }

    /// Its rank in an order; the largest come first.
    pub fn rank(&self, order: Order, now: Tick) -> u64 {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        match order {
            Order::Bytes => self.traffic().map_or(0, |traffic| traffic.bytes_up + traffic.bytes_down),
            Order::Age => millis(now.since(self.client.upgraded_at)),
            Order::Idle => {
                let (up, down) = self.idle(now);
                millis(up.min(down))
            }
        }
    }

    /// The session's row; `None` if it is not a session.
    pub fn row(&self, id: ConnId, now: Tick) -> Option<Row> {
        let to = self.destination()?;
        let (who, socket) = (&self.client.who, &self.client.socket);
        let facts = who.facts.as_ref();
        let peer = socket.peer();
        let port = match who.real() {
            Some(real) => Some(real.port()).filter(|port| *port > 0),
            None => peer.map(|peer| peer.port()),
        };
        let tls = socket.tls().map(|tls| {
            let certificate = tls.peer_certificates().and_then(|chain| chain.first());
            Tls {
                version: if tls.kind().0 { "1.3" } else { "1.2" },
                suite: tls.suite().unwrap_or_default(),
                common_name: certificate.and_then(|one| ClientIdentity::of(one)?.common_name),
            }
        });
        let state = match &self.state {
            State::Connect(_) => "connecting",
            _ if self.may_be_ended() => "open",
            _ => "closing",
        };
        Some(Row {
            id,
            state,
            tls,
            client: who.address().map(|address| (address.to_canonical(), port)),
            peer,
            unix: match &who.socket {
                Peer::Unix(path) => Some(path.display().to_string()),
                Peer::Ip(_) => None,
            },
            via: match facts.and_then(|facts| facts.via) {
                None => "direct",
                Some(Via::ProxyProtocol) => "proxy-protocol",
                Some(Via::ForwardedHeader) => "header",
            },
            target: to.name.clone(),
            token: facts.and_then(|facts| facts.token).map(|token| token.to_string()),
            identity: facts.and_then(|facts| facts.user.clone()),
            request_id: facts.and_then(|facts| facts.request_id.clone()),
            age: now.since(self.client.upgraded_at),
            bytes: self.traffic().map_or((0, 0), |traffic| (traffic.bytes_up, traffic.bytes_down)),
            idle: self.idle(now),
            round_trip: self.traffic().and_then(|traffic| traffic.round_trip()),
            stalled: self.stalled_side(),
            held_bytes: self.burden().map_or(0, |(bytes, ..)| bytes),
            expires: to.expires,
        })
    }

    /// Time since payload moved last, up and down.
    fn idle(&self, now: Tick) -> (Duration, Duration) {
        let since = self.client.upgraded_at;
        let (up, down) =
            self.traffic().map_or((since, since), |traffic| (traffic.active_up, traffic.active_down));
        (now.since(up), now.since(down))
    }

    /// Which end is not reading, if any.
    fn stalled_side(&self) -> Option<crate::id::Side> {
        match &self.state {
            State::Relay(relay) => relay.stalled_side(),
            _ => None,
        }
    }
}
