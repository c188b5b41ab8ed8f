//! How a connection is counted and what is said about it: each ending once, each answered request once, and no
//! more lines than the limiter lets pass.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
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
use crate::log::Log;

impl Shared {
    /// The request line, for the log without secrets unless they are wanted.
    pub fn request_line(&self, request: &Request<'_>) -> RequestLine {
        let text = match self.log.is_verbose() {
            true => {
                let method = path::redact_method(request.method);
                format!("{method} {} HTTP/1.{}", self.target(request), request.minor_version)
            }
            // Nobody will write it.
            false => String::new(),
        };
        RequestLine { text, head_only: request.method == "HEAD" }
    }

    /// The request's target for the log, without secrets unless they are wanted.
    pub fn target(&self, request: &Request<'_>) -> String {
        let shown = if self.log.shows_secrets() { path::unredacted } else { path::redact };
        shown(request.target)
    }

    /// Writes a line that a peer has caused without being admitted, unless there were too many of its kind.
    pub fn say_limited(&self, end: &End, write: impl FnOnce(&Log)) {
        let Some(left_out) = self.limiter.admit(end.kind() as usize, Instant::now()) else { return };
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
            let peer = &client.peer;
            let refusal = cx.frontend.tls.as_ref().map(|certificates| certificates.refusal());
            let reason = refusal.unwrap_or_else(|| end.to_string());
            cx.shared.say_limited(end, |log| log.info(format_args!("{peer}: {reason}")));
        }
        (None, end) => {
            let (log, peer) = (&cx.shared.log, &client.peer);
            let is_usual =
                matches!(end, End::ClientReset(_) | End::ClientCut | End::HalfTls | End::HalfRequest);
            match end.kind().blame() {
                Blame::Nobody => log.debug(format_args!("{peer}: {end}")),
                _ if is_usual => log.debug(format_args!("{peer}: {end}")),
                blame => cx.shared.say_limited(end, |log| {
                    log.at(blame.level(), format_args!("{peer}: {end}"));
                }),
            }
        }
    }
}

fn session_ended(end: &End, session: &Session<'_>, client: &Client, cx: &Cx<'_>) {
    let (log, peer, to) = (&cx.shared.log, &client.peer, session.to);
    match (end, end.kind().blame()) {
        (End::Unreachable | End::NotAllowed, _) => {}
        (End::ClientReset(_) | End::ClientCut | End::TargetReset, _) | (_, Blame::Nobody) => {
            log.peer_debug(peer, format_args!("{to}: {end}"));
        }
        (_, blame) => log.peer_at(blame.level(), peer, format_args!("{to}: {end}")),
    }
    if session.has_target {
        log.peer_debug(peer, format_args!("{to}: Closed target"));
    }
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

/// Says that an upgrade is granted, and for how long its token is good.
pub(super) fn upgraded(request: &SessionRequest, expires: Option<SystemTime>, client: &Client, cx: &Cx<'_>) {
    let (log, peer) = (&cx.shared.log, &client.peer);
    log.peer_debug(peer, format_args!("\"{}\" 101 -", request.line.text));
    let kind = match client.socket.tls() {
        Some(_) => "SSL/TLS (wss://)",
        None => "Plain non-SSL (ws://)",
    };
    log.peer(peer, format_args!("{peer}: {kind} WebSocket connection"));
    if request.path != "/" {
        log.peer(peer, format_args!("{peer}: Path: '{}'", request.path));
    }
    if let Some(left) = expires.and_then(|expires| expires.duration_since(SystemTime::now()).ok()) {
        log.peer_debug(peer, format_args!("its token is good for another {} s", left.as_secs()));
    }
    if let Some(hint) = request.upgrade.hint {
        hint_once(cx, &hint);
    }
}

/// Says how a plain request is answered, or any request with an error.
pub(super) fn answered(line: &RequestLine, status: Status, reason: &str, client: &Client, cx: &Cx<'_>) {
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
            log.peer(&client.peer, format_args!("code {status}, message {reason}"));
        });
    }
    if !line.text.is_empty() {
        cx.shared.log.peer_debug(&client.peer, format_args!("\"{}\" {status} -", line.text));
    }
}

/// Says once per process what a proxy in front of this one should be taught.
fn hint_once(cx: &Cx<'_>, hint: &dyn fmt::Display) {
    static SAID: AtomicBool = AtomicBool::new(false);
    if !SAID.swap(true, Ordering::Relaxed) {
        cx.shared.log.info(format_args!("{hint}"));
    }
}
