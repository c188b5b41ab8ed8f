//! How a connection is counted and what is said about it: each ending once, each answered request once, and no
//! more lines than the limiter lets pass.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Instant, SystemTime};

use super::client::Client;
use super::cx::Cx;
use super::end::{Blame, End, Kind};
use super::frontend::Destination;
use super::shared::Shared;
use super::wanted::{RequestLine, SessionRequest};
use crate::gate::{Grant, Verdict, Why};
use crate::http::path;
use crate::http::request::Request;
use crate::http::response::Status;
use crate::limit::Limiter;
use crate::log::{Level, Log};
use crate::ws::handshake::Hint;

/// Counts the lines that peers can cause, for [`Shared::limiter`].
pub fn limiter() -> Limiter {
    Limiter::new(Kind::ALL.iter().map(|_| LINES_MAX).chain([SESSIONS_MAX, DETAILS_MAX]))
}

impl Shared {
    /// The request line, for the log without secrets unless they are wanted.
    pub fn request_line(&self, request: &Request<'_>) -> RequestLine {
        let text = match self.log.is_verbose() {
            true => {
                let method = path::redact_method(request.method);
                format!("{method} {} HTTP/1.{}", self.shown(request.target), request.minor_version)
            }
            // Nobody will write it.
            false => String::new(),
        };
        RequestLine { text, head_only: request.method == "HEAD" }
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

    /// Writes a line that only `--verbose` asks for, unless there were too many of them.
    pub fn say_detail(&self, write: impl FnOnce(&Log)) {
        if self.log.is_verbose() && self.admits(DETAILS) {
            write(&self.log);
        }
    }

    /// Whether one more of this topic may be written; says how many were left out before it.
    fn admits(&self, topic: usize) -> bool {
        let left_out = self.limiter.admit(topic, Instant::now());
        self.say_left_out(topic, left_out.unwrap_or(0));
        left_out.is_some()
    }

    /// Says how many lines were left out and not yet accounted for; at the end, when no other line will.
    pub fn say_all_left_out(&self) {
        for (topic, left_out) in self.limiter.left_out().enumerate() {
            self.say_left_out(topic, left_out);
        }
    }

    fn say_left_out(&self, topic: usize, count: u64) {
        match Kind::ALL.get(topic) {
            _ if count == 0 => {}
            Some(kind) => {
                let kind = kind.name();
                self.log.info(format_args!("{count} similar lines ({kind}) suppressed"));
            }
            None if topic == SESSIONS => {
                self.log.info(format_args!("{count} sessions not logged"));
            }
            None => self.log.info(format_args!("{count} lines of --verbose suppressed")),
        }
    }
}

/// A session that ends.
pub(super) struct Session<'a> {
    /// Where it goes.
    pub(super) to: &'a Destination,
    /// Whether its target was reached.
    pub(super) has_target: bool,
}

/// Counts and logs the one reason for which a connection ends; `session` if it is one.
pub(super) fn ended(end: &End, session: Option<Session<'_>>, client: &Client, cx: &Cx<'_>) {
    cx.metrics.ended(end.kind() as usize);
    match (session, end) {
        // Said when it was found out.
        (_, End::Refused(_) | End::Denied(_) | End::UnknownToken(_) | End::LookupFailed(_)) => {}
        (Some(session), end) => session_ended(end, &session, client, cx),
        (None, End::NoCertificate) => {
            let peer = &client.who;
            let refusal = cx.frontend.tls.as_ref().map(|certificates| certificates.refusal());
            let reason = refusal.unwrap_or_else(|| end.to_string());
            cx.shared.say_limited(end, |log| log.info(format_args!("{peer}: {reason}")));
        }
        (None, end) => {
            let (shared, peer) = (&cx.shared, &client.who);
            let is_usual =
                matches!(end, End::ClientReset(_) | End::ClientCut | End::HalfTls | End::HalfRequest);
            match end.kind().blame() {
                Blame::Nobody => shared.say_detail(|log| log.debug(format_args!("{peer}: {end}"))),
                _ if is_usual => shared.say_detail(|log| log.debug(format_args!("{peer}: {end}"))),
                blame => cx.shared.say_limited(end, |log| {
                    log.at(blame.level(), format_args!("{peer}: {end}"));
                }),
            }
        }
    }
}

fn session_ended(end: &End, session: &Session<'_>, client: &Client, cx: &Cx<'_>) {
    let to = session.to;
    match (end, end.kind().blame()) {
        (End::Unreachable | End::NotAllowed, _) => {}
        (End::ClientReset(_) | End::ClientCut | End::TargetReset, _) | (_, Blame::Nobody) => {
            detail(client, format_args!("{to}: {end}"), cx);
        }
        (_, blame) => session_line(end, blame.level(), client, format_args!("{to}: {end}"), cx),
    }
    if session.has_target {
        detail(client, format_args!("{to}: Closed target"), cx);
    }
}

/// A line about how a session fares. One that is left out of the log is said like a connection that never became
/// one.
fn session_line(end: &End, level: Level, client: &Client, text: fmt::Arguments<'_>, cx: &Cx<'_>) {
    if client.is_logged {
        cx.shared.log.peer_at(level, &client.who, text);
    } else {
        cx.shared.say_limited(end, |log| log.peer_at(level, &client.who, text));
    }
}

/// A line about a session or a request that only `--verbose` asks for.
fn detail(client: &Client, text: fmt::Arguments<'_>, cx: &Cx<'_>) {
    if client.is_logged {
        cx.shared.say_detail(|log| log.peer_debug(&client.who, text));
    }
}

/// Says that a session could not begin.
pub(super) fn not_reached(end: &End, text: fmt::Arguments<'_>, client: &Client, cx: &Cx<'_>) {
    session_line(end, Level::Warning, client, text, cx);
}

/// Says what a trusted proxy has said of its client.
pub(super) fn named(client: &Client, cx: &Cx<'_>) {
    let who = &client.who;
    let Some(facts) = &who.facts else { return };
    cx.shared.say_detail(|log| {
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
        log.debug(format_args!("{who}: named by {}{text}", who.socket));
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

/// Says that an upgrade is granted, and for how long its token is good. Whether the session is one of those that
/// are logged is decided here.
pub(super) fn upgraded(
    request: &SessionRequest,
    expires: Option<SystemTime>,
    client: &mut Client,
    cx: &Cx<'_>,
) {
    client.is_logged = cx.shared.admits(SESSIONS);
    if let Some(hint) = request.upgrade.hint {
        hint_once(cx, hint);
    }
    if !client.is_logged {
        return;
    }
    let (log, peer) = (&cx.shared.log, &client.who);
    detail(client, format_args!("\"{}\" 101 -", request.line.text), cx);
    let kind = match client.socket.tls() {
        Some(_) => "SSL/TLS (wss://)",
        None => "Plain non-SSL (ws://)",
    };
    log.peer(peer, format_args!("{peer}: {kind} WebSocket connection"));
    if let Some(path) = request.target.to_log(|target| cx.shared.shown(target)) {
        log.peer(peer, format_args!("{peer}: Path: '{path}'"));
    }
    if let Some(left) = expires.and_then(|expires| expires.duration_since(SystemTime::now()).ok()) {
        detail(client, format_args!("its token is valid for another {} s", left.as_secs()), cx);
    }
    if let Some(offers) = &request.foreign {
        log.peer(
            peer,
            format_args!(
                "client offered only the sub-protocols {offers}: browsers close the connection unless 'binary' is among them"
            ),
        );
    }
}

/// Says where a session goes.
pub(super) fn connecting(to: &Destination, client: &Client, cx: &Cx<'_>) {
    if client.is_logged {
        cx.shared.log.peer(&client.who, format_args!("{}", to.announcement));
    }
}

/// Says how a plain request is answered, or any request with an error.
pub(super) fn answered(line: &RequestLine, status: Status, reason: &str, client: &Client, cx: &Cx<'_>) {
    cx.metrics.answered(status.index());
    refused(&End::Refused(status.0), line, status, reason, client, cx);
}

/// The same for a request that is refused for the reason `end`, of which there are only so many lines.
pub(super) fn refused(
    end: &End,
    line: &RequestLine,
    status: Status,
    reason: &str,
    client: &Client,
    cx: &Cx<'_>,
) {
    let Status(status) = status;
    if status >= 400 {
        cx.shared.say_limited(end, |log| {
            log.peer(&client.who, format_args!("code {status}, message {reason}"));
        });
    }
    if !line.text.is_empty() {
        detail(client, format_args!("\"{}\" {status} -", line.text), cx);
    }
}

/// Says once per process and kind what a client, or a proxy in front of this one, should be taught.
fn hint_once(cx: &Cx<'_>, hint: Hint) {
    static SAID: AtomicU8 = AtomicU8::new(0);
    if SAID.fetch_or(hint.bit(), Ordering::Relaxed) & hint.bit() == 0 {
        cx.shared.log.info(format_args!("{hint}"));
    }
}

/// The topics behind those of the kinds of endings: sessions, and lines of `--verbose`.
const SESSIONS: usize = Kind::ALL.len();
const DETAILS: usize = SESSIONS + 1;

/// Lines about connections that end for one kind of reason, in [`WINDOW`](crate::limit::WINDOW).
const LINES_MAX: u32 = 10;

/// Sessions that are logged, likewise: three lines when one begins and one when it ends.
const SESSIONS_MAX: u32 = 1000;

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
            shared.say_detail(|log| log.debug(format_args!("-")));
        }
        assert_eq!(shared.log.take_lines().lines().count(), DETAILS_MAX as usize);
        shared.say_all_left_out();
        assert_eq!(shared.log.take_lines(), "5 lines of --verbose suppressed\n");
    }
}
