//! A connection as seen from outside: its row in a list of sessions.

use std::time::Duration;

use ipnet::IpNet;

use super::Conn;
use super::ended::Session;
use super::relay::Relay;
use super::row::{Filter, Order, Row, Tls};
use crate::id::{ConnId, Side};
use crate::net::listen::Peer;
use crate::timers::Tick;

impl Conn {
    /// Whether it is a session that neither end has begun to leave.
    pub fn may_be_ended(&self) -> bool {
        self.state.session().is_some_and(|session| session.relay.is_none_or(Relay::is_open))
    }

    /// Whether it is a session that the filter matches.
    pub fn matches(&self, filter: &Filter, now: Tick) -> bool {
        let Some(Session { to, .. }) = self.state.session() else { return false };
        let facts = self.client.who.facts.as_ref();
        let has_token = |hash: &String| {
            facts.and_then(|facts| facts.token).is_some_and(|token| token.to_string() == *hash)
        };
        let is_of = |identity: &String| {
            facts.and_then(|facts| facts.user.as_deref()).is_some_and(|user| user == identity)
        };
        let is_there = |network: &IpNet| {
            self.client.who.address().is_some_and(|address| network.contains(&address.to_canonical()))
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
        let Session { to, relay } = self.state.session()?;
        let (who, socket) = (&self.client.who, &self.client.socket);
        let facts = who.facts.as_ref();
        let peer = socket.peer_address();
        let port = match who.real() {
            Some(real) => Some(real.port()).filter(|port| *port > 0),
            None => peer.map(|peer| peer.port()),
        };
        let tls = socket.tls().and_then(|tls| tls.negotiated());
        let tls = tls.map(|(version, suite)| Tls { version, suite, common_name: self.client.common_name() });
        let state = match relay {
            None => "connecting",
            Some(relay) if relay.is_open() => "open",
            Some(_) => "closing",
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
            via: who.via(),
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
    fn stalled_side(&self) -> Option<Side> {
        self.state.session()?.relay?.stalled_side()
    }
}
