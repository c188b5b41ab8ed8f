//! How connections are counted and logged: each ending once, each answered request once, and no more lines
//! than the limiter allows.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Instant, SystemTime};

use super::client::Client;
use super::cx::Cx;
use super::end::{End, Kind};
use super::frontend::Destination;
use super::party;
use super::shared::Shared;
use super::wanted::{RequestLine, Seen, SessionRequest};
use super::who::Who;
use crate::gate::{Grant, Verdict, Why};
use crate::http::path;
use crate::http::request::Request;
use crate::http::response::Status;
use crate::limit::Limiter;
use crate::log::{self, Event, Level, Log, SessionStart, Topic, What};
use crate::net::transport::Transport;
use crate::ws::handshake::{self, Hint};

/// Counts the lines that peers can cause, for [`Shared::limiter`].
pub fn limiter() -> Limiter {
    Limiter::new(Kind::ALL.iter().map(|_| LINES_MAX).chain([SESSIONS_MAX, DETAILS_MAX]))
}

impl Shared {
    /// The request line of a client, for the log without secrets unless they are wanted.
    pub fn request_line(&self, request: &Request<'_>, who: &Who) -> RequestLine {
        let text = match self.log.wants(Level::Debug, who.address()) {
            true => {
                let method = path::redact_method(request.method);
                format!("{method} {} HTTP/1.{}", self.shown(request.target), request.minor_version)
            }
            // It will not be written.
            false => String::new(),
        };
        let seen = self.log.writes_objects().then(|| Box::new(self.seen(request)));
        RequestLine { text, head_only: request.method == "HEAD", seen }
    }

    /// What is logged of a request in fields.
    #[cold]
    fn seen(&self, request: &Request<'_>) -> Seen {
        let agent = request.header("user-agent").map(|agent| {
            let agent = String::from_utf8_lossy(&agent[..agent.len().min(AGENT_KEPT)]);
            if self.log.shows_secrets() { agent.into_owned() } else { path::redact_agent(&agent) }
        });
        Seen {
            method: path::redact_method(request.method).to_owned(),
            target: self.shown(request.target),
            agent,
            reason: handshake::why_plain(request),
        }
    }

    /// A request's target for the log, without secrets unless they are wanted.
    pub fn shown(&self, target: &str) -> String {
        if self.log.shows_secrets() { path::unredacted(target) } else { path::redact(target) }
    }

    /// Writes a line that a peer has caused without being admitted, unless there were too many of its kind.
    pub fn say_limited(&self, end: &End, write: impl FnOnce(&Log)) {
        if self.admits(end.kind() as usize) {
            write(&self.log);
        }
    }

    /// Writes a line about the client at `address` that only the level `debug` asks for, unless there were too many of
    /// them.
    pub fn say_detail(&self, address: Option<IpAddr>, write: impl FnOnce(&Log)) {
        if self.log.wants(Level::Debug, address) && self.admits(DETAILS) {
            write(&self.log);
        }
    }

    /// Whether one more of this topic may be written; says how many were left out before it.
    pub(super) fn admits(&self, topic: usize) -> bool {
        let left_out = self.limiter.admit(topic, Instant::now());
        self.say_left_out(topic, left_out.unwrap_or(0));
        left_out.is_some()
    }

    /// Logs how many lines were left out and not yet reported; at exit, when no later line will.
    pub fn say_all_left_out(&self) {
        for (topic, left_out) in self.limiter.left_out().enumerate() {
            self.say_left_out(topic, left_out);
        }
    }

    fn left_out(&self, text: fmt::Arguments<'_>) {
        self.log.note(Topic::Suppressed, Level::Info, text);
    }

    fn say_left_out(&self, topic: usize, count: u64) {
        match Kind::ALL.get(topic) {
            _ if count == 0 => {}
            Some(kind) => {
                let kind = kind.name();
                self.left_out(format_args!("{count} similar lines ({kind}) suppressed"));
            }
            None if topic == SESSIONS => {
                self.left_out(format_args!("{count} sessions not logged"));
            }
            None => self.left_out(format_args!("{count} lines of --verbose suppressed")),
        }
    }
}

/// A line about a session. If sessions are being left out of the log, it is limited like a line about a
/// connection that never became one.
pub(super) fn session_line(
    end: &End,
    level: Level,
    client: &Client,
    to: &Destination,
    what: What<'_>,
    cx: &Cx<'_>,
) {
    if client.is_logged {
        party::say(&cx.shared.log, level, what, client, Some(to), cx);
    } else {
        cx.shared.say_limited(end, |log| party::say(log, level, what, client, Some(to), cx));
    }
}

/// A line about a session that only the level `debug` asks for.
pub(super) fn detail(client: &Client, to: &Destination, text: fmt::Arguments<'_>, cx: &Cx<'_>) {
    if client.is_logged {
        detail_of(What::Dated(Topic::Session, text), client, Some(to), cx);
    }
}

/// The same about any connection.
pub(super) fn detail_of(what: What<'_>, client: &Client, to: Option<&Destination>, cx: &Cx<'_>) {
    let address = client.who.address();
    cx.shared.say_detail(address, |log| party::say(log, Level::Debug, what, client, to, cx));
}

/// Logs that a session could not begin, and keeps the reason for its end.
pub(super) fn not_reached(
    end: &End,
    to: &Destination,
    why: &dyn fmt::Display,
    client: &mut Client,
    cx: &Cx<'_>,
) {
    session_line(end, Level::Warning, client, to, What::SessionFailed(to, why), cx);
    if cx.shared.log.writes_objects() {
        client.who.facts_mut().failure = Some(why.to_string().into());
    }
}

/// Logs that the target was reached, if objects are written.
pub(super) fn connected(to: &Destination, target: &Transport, client: &Client, cx: &Cx<'_>) {
    let log = &cx.shared.log;
    if log.is_json() && client.is_logged {
        let party = party::of(client, Some(to), target.peer_address(), cx);
        let what = What::SessionConnected(cx.now.since(client.upgraded_at));
        log.say(&party::event(Level::Info, Some(&party), what, client));
    }
}

/// Logs what a trusted proxy has said about its client.
pub(super) fn named(client: &Client, cx: &Cx<'_>) {
    let who = &client.who;
    let Some(facts) = &who.facts else { return };
    cx.shared.say_detail(who.address(), |log| {
        let mut text = String::new();
        if let Some(via) = facts.via {
            text += &format!(" ({})", via.name());
        }
        if let Some(authority) = who.proxied().and_then(|proxied| proxied.authority.as_ref()) {
            text += &format!(" for {authority}");
        }
        if let Some(tls) = who.proxied().and_then(|proxied| proxied.tls.as_ref()) {
            text += &format!(" over {}", tls.version.as_deref().unwrap_or("TLS"));
        }
        if let Some(id) = &facts.request_id {
            text += &format!(", request {id}");
        }
        let words = format_args!("{who}: named by {}{text}", who.socket);
        let what = What::Note(Topic::Message, words);
        log.say(&Event { level: Level::Debug, who: None, address: who.address(), party: None, what });
    });
}

/// Counts what the gate has decided.
pub(super) fn decided(verdict: &Verdict, cx: &Cx<'_>) {
    let counter = match verdict {
        Verdict::Granted(Grant { to: Some(_), .. }) => &cx.metrics.tokens_found,
        Verdict::Granted(_) => return,
        Verdict::Refused(Why::Denied, _) => &cx.metrics.denied,
        Verdict::Refused(Why::Unknown, _) => &cx.metrics.tokens_unknown,
        Verdict::Refused(Why::Broken, _) => &cx.metrics.lookups_failed,
    };
    counter.add(1);
}

/// Logs that an upgrade is granted, and for how long its token is valid. Decides whether the session is one
/// of those that are logged.
pub(super) fn upgraded(request: &SessionRequest, to: &Destination, client: &mut Client, cx: &Cx<'_>) {
    let log = &cx.shared.log;
    if log.writes_objects() {
        client.note_port();
    }
    client.is_logged = cx.shared.admits(SESSIONS);
    if let Some(hint) = request.upgrade.hint {
        hint_once(cx, hint);
    }
    if !client.is_logged {
        return;
    }
    say_request(&request.line, Status(101), None, None, client, cx);
    let path = request.target.to_log(|target| cx.shared.shown(target));
    let start = SessionStart {
        secure: client.socket.tls().is_some(),
        path: path.as_deref(),
        agent: request.line.seen.as_ref().and_then(|seen| seen.agent.as_deref()),
    };
    party::say(log, Level::Info, What::SessionStart(&start), client, Some(to), cx);
    if let Some(left) = to.expires.and_then(|expires| expires.duration_since(SystemTime::now()).ok()) {
        let left = left.as_secs();
        detail(client, to, format_args!("its token is valid for another {left} s"), cx);
    }
    if let Some(offers) = &request.foreign {
        let text = format_args!(
            "client offered only the sub-protocols {offers}: browsers close the connection unless 'binary' is among them"
        );
        party::say(log, Level::Info, What::Dated(Topic::Session, text), client, Some(to), cx);
    }
}

/// Logs where a session goes.
pub(super) fn connecting(to: &Destination, client: &Client, cx: &Cx<'_>) {
    if client.is_logged {
        let what = What::SessionConnecting(&to.announcement);
        party::say(&cx.shared.log, Level::Info, what, client, Some(to), cx);
    }
}

/// Logs how a plain request is answered, with a body of this length.
pub(super) fn answered(
    line: &RequestLine,
    status: Status,
    reason: &str,
    body: u64,
    client: &Client,
    cx: &Cx<'_>,
) {
    cx.metrics.answered(status.index());
    refused(&End::Refused(status.0), line, status, reason, Some(body), client, cx);
}

/// Logs that a request is answered with an error, for the reason `end`, whose lines are limited in number.
pub(super) fn refused(
    end: &End,
    line: &RequestLine,
    status: Status,
    reason: &str,
    body: Option<u64>,
    client: &Client,
    cx: &Cx<'_>,
) {
    let is_error = status.0 >= 400;
    if is_error {
        let what = What::Refused(status.0, reason);
        cx.shared.say_limited(end, |log| party::say(log, Level::Info, what, client, None, cx));
    }
    let reason =
        if is_error { Some(reason) } else { line.seen.as_ref().and_then(|seen| seen.reason.as_deref()) };
    say_request(line, status, reason, body, client, cx);
}

/// Logs that a request was answered: with `--verbose`, and in the access log, where a session has its end
/// instead.
fn say_request(
    line: &RequestLine,
    status: Status,
    reason: Option<&str>,
    body: Option<u64>,
    client: &Client,
    cx: &Cx<'_>,
) {
    let (log, seen) = (&cx.shared.log, line.seen.as_deref());
    let request = log::Request {
        line: &line.text,
        status: status.0,
        method: seen.map_or("", |seen| &seen.method),
        target: seen.map_or("", |seen| &seen.target),
        agent: seen.and_then(|seen| seen.agent.as_deref()),
        body,
        reason,
    };
    if log.has_access() && status.0 != 101 {
        let party = party::of(client, None, None, cx);
        log.say_access(&party::event(Level::Info, Some(&party), What::Request(&request), client), false);
    }
    if !line.text.is_empty() && client.is_logged {
        detail_of(What::Request(&request), client, None, cx);
    }
}

/// Logs a hint about a client, or a proxy in front, once per process and kind.
fn hint_once(cx: &Cx<'_>, hint: Hint) {
    static SAID: AtomicU8 = AtomicU8::new(0);
    if SAID.fetch_or(hint.bit(), Ordering::Relaxed) & hint.bit() == 0 {
        cx.shared.log.note(Topic::Hint, Level::Info, format_args!("{hint}"));
    }
}

/// The topics after those for the kinds of endings: sessions, and lines of `--verbose`.
const SESSIONS: usize = Kind::ALL.len();
const DETAILS: usize = SESSIONS + 1;

/// Lines about connections that end for one kind of reason, in [`WINDOW`](crate::limit::WINDOW).
const LINES_MAX: u32 = 10;

/// Sessions that are logged, likewise: three lines when one begins and one when it ends.
const SESSIONS_MAX: u32 = 1000;

/// How much of a client's User-Agent is kept, in bytes.
const AGENT_KEPT: usize = 1024;

/// Lines of `--verbose`, likewise.
const DETAILS_MAX: u32 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::rig::{Setup, shared};

    #[test]
    fn a_flood_of_details_is_cut_and_counted() {
        let shared = shared(&Setup::default());
        for _ in 0..DETAILS_MAX + 5 {
            shared.say_detail(None, |log| log.debug(format_args!("-")));
        }
        assert_eq!(shared.log.take_lines().lines().count(), DETAILS_MAX as usize);
        shared.say_all_left_out();
        assert_eq!(shared.log.take_lines(), "5 lines of --verbose suppressed\n");
    }
}
