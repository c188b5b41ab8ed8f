//! How a connection ends, counted and logged once.

use super::client::Client;
use super::cx::Cx;
use super::end::{Blame, End};
use super::frontend::Destination;
use super::party;
use super::relay::{Relay, Traffic};
use super::report::{detail, detail_of, session_line};
use crate::id::Side;
use crate::log::{Level, SessionEnd, Topic, What};
use crate::metrics::ProxyHeader;
use crate::ws::code;

/// A session that ends.
pub(super) struct Session<'a> {
    /// Where it goes.
    pub(super) to: &'a Destination,
    /// What is known of it, once its target was looked for.
    pub(super) relay: Option<&'a Relay>,
}

impl Session<'_> {
    /// Whether its target was reached.
    pub(super) fn has_target(&self) -> bool {
        self.relay.is_some_and(Relay::has_target)
    }
}

/// Counts and logs the one reason for which a connection ends; `session` if it is one.
pub(super) fn ended(end: &End, session: Option<Session<'_>>, client: &Client, cx: &Cx<'_>) {
    cx.metrics.ended(end.kind() as usize);
    if let End::BadProxyHeader(fault) = end {
        let result = if fault.is_absence() { ProxyHeader::Missing } else { ProxyHeader::Broken };
        cx.metrics.proxy_headers.count(result as usize);
    }
    if let Some(session) = &session {
        session_ended(end, session, client, cx);
    }
    match (session, end) {
        // Logged when it was found out.
        (_, End::Refused(_) | End::Denied(_) | End::UnknownToken(_) | End::LookupFailed(_)) => {}
        (Some(Session { relay: Some(_), .. }), _) => {}
        // In the form with fields that is the end of its session.
        (Some(_), _) if cx.shared.log.is_json() => {}
        (_, End::NoCertificate) => {
            let refusal = cx.frontend.tls.as_ref().map(|certificates| certificates.refusal());
            let reason = refusal.unwrap_or_else(|| end.to_string());
            let what = What::ConnectionEnd(end.kind().name(), &reason);
            cx.shared.say_limited(end, |log| party::say(log, Level::Info, what, client, None, cx));
        }
        (_, end) => {
            let is_usual =
                matches!(end, End::ClientReset(_) | End::ClientCut | End::HalfTls | End::HalfRequest);
            let what = What::ConnectionEnd(end.kind().name(), end);
            match end.kind().blame() {
                blame if is_usual || blame == Blame::Nobody => {
                    detail_of(what, client, None, cx);
                }
                blame => {
                    cx.shared.say_limited(end, |log| party::say(log, blame.level(), what, client, None, cx));
                }
            }
        }
    }
}

fn session_ended(end: &End, session: &Session<'_>, client: &Client, cx: &Cx<'_>) {
    let (log, to) = (&cx.shared.log, session.to);
    let is_usual = matches!(end, End::ClientReset(_) | End::ClientCut | End::TargetReset)
        || end.kind().blame() == Blame::Nobody;
    if log.writes_objects() {
        let level = if is_usual { Level::Info } else { end.kind().blame().level() };
        session_ended_in_fields(end, level, session, client, cx);
    }
    if log.is_json() || session.relay.is_none() {
        return;
    }
    let text = format_args!("{to}: {end}");
    match end {
        End::Unreachable | End::NotAllowed => {}
        _ if is_usual => detail(client, to, text, cx),
        _ => session_line(end, end.kind().blame().level(), client, to, What::Dated(Topic::Session, text), cx),
    }
    if session.has_target() {
        detail(client, to, format_args!("{to}: Closed target"), cx);
    }
}

#[cold]
fn session_ended_in_fields(end: &End, level: Level, session: &Session<'_>, client: &Client, cx: &Cx<'_>) {
    let log = &cx.shared.log;
    let traffic = session.relay.map(Relay::traffic);
    let reached = traffic.filter(|_| session.has_target());
    let failure = client.who.facts.as_ref().and_then(|facts| facts.failure.as_deref());
    let over = SessionEnd {
        to: session.to,
        words: end,
        end: end.kind().name(),
        by: end.by(),
        error: end.error().or_else(|| failure.map(str::to_owned)),
        duration: cx.now.since(client.upgraded_at),
        connect: reached.map(|traffic| traffic.begun.since(client.upgraded_at)),
        bytes_up: traffic.map_or(0, |traffic| traffic.bytes_up),
        bytes_down: traffic.map_or(0, |traffic| traffic.bytes_down),
        idle: reached.map(|traffic| (cx.now.since(traffic.active_up), cx.now.since(traffic.active_down))),
        stalled: session.relay.and_then(Relay::stalled).map(Side::name),
        rtt: traffic.and_then(Traffic::round_trip).or_else(|| client.socket.round_trip()),
        close_code: session.relay.and_then(Relay::close_code).unwrap_or(code::ABNORMAL),
        close_sent: client.out.close_code(),
    };
    let target = session.relay.and_then(Relay::target_address);
    let party = party::of(client, Some(session.to), target, cx);
    let event = party::event(level, Some(&party), What::SessionEnd(&over), client);
    let lines =
        log.is_json() && (client.is_logged || level < Level::Info && cx.shared.admits(end.kind() as usize));
    log.say_access(&event, lines);
}
