//! Whom a log line is about, for the form with fields.

use std::net::SocketAddr;
use std::num::NonZeroU16;

use super::client::Client;
use super::cx::Cx;
use super::frontend::{Awaited, Destination, Way};
use crate::log::{Event, Level, Log, Party, What};
use crate::net::listen::Peer;
use crate::target::Target;

impl Client {
    /// Notes the client's port, which the kernel forgets when the connection breaks. Called if the log shows
    /// ports.
    pub(super) fn note_port(&mut self) {
        self.port = self.socket.peer_address().and_then(|address| NonZeroU16::new(address.port()));
    }
}

/// Logs an event about a client; `to` is where its session goes.
pub(super) fn say(
    log: &Log,
    level: Level,
    what: What<'_>,
    client: &Client,
    to: Option<&Destination>,
    cx: &Cx<'_>,
) {
    if !log.is_json() {
        return log.say(&event(level, None, what, client));
    }
    if log.wants(level, client.who.address()) {
        log.say(&event(level, Some(&of(client, to, None, cx)), what, client));
    }
}

/// An event about a client, of which more is told by `party`.
pub(super) fn event<'a>(
    level: Level,
    party: Option<&'a Party<'a>>,
    what: What<'a>,
    client: &'a Client,
) -> Event<'a> {
    Event { level, who: Some(&client.who), address: client.who.address(), party, what }
}

/// A client and its session; `target` is the address that was dialled.
pub(super) fn of<'a>(
    client: &'a Client,
    to: Option<&'a Destination>,
    target: Option<SocketAddr>,
    cx: &Cx<'_>,
) -> Party<'a> {
    let who = &client.who;
    let facts = who.facts.as_deref();
    let peer = match &who.socket {
        Peer::Ip(address) => Some((*address, port(client))),
        Peer::Unix(_) => None,
    };
    let real = who.real().map(|real| (real.ip(), NonZeroU16::new(real.port()).map(NonZeroU16::get)));
    Party {
        session: client.is_upgraded().then(|| cx.session_name()),
        request_id: facts.and_then(|facts| facts.request_id.as_deref()),
        client: real.or(peer),
        peer,
        unix: match &who.socket {
            Peer::Ip(_) => None,
            Peer::Unix(_) => Some(&who.socket),
        },
        via: who.via(),
        tls: client.socket.tls().and_then(|tls| tls.negotiated()),
        subject: client.common_name(),
        token: facts.and_then(|facts| facts.token),
        user: facts.and_then(|facts| facts.user.as_deref()),
        server: to.map(server),
        target,
    }
}

fn port(client: &Client) -> Option<u16> {
    let noted = client.port.map(NonZeroU16::get);
    noted.or_else(|| client.socket.peer_address().map(|address| address.port()))
}

/// Where a session goes, by its name in the log: its host may be a token.
fn server(to: &Destination) -> (&str, Option<u16>) {
    let is_tcp = match &to.way {
        Way::Dial(target) | Way::Await(Awaited { target, .. }) => matches!(target, Target::Tcp { .. }),
        Way::Start(_) => false,
    };
    let parts = to.name.rsplit_once(':').filter(|_| is_tcp);
    match parts.and_then(|(host, port)| Some((host, port.parse().ok()?))) {
        Some((host, port)) => (host.trim_start_matches('[').trim_end_matches(']'), Some(port)),
        None => (&to.name, None),
    }
}
