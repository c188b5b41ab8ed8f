//! What one request head asks for, in owned form: nothing here borrows the head, and nothing is granted yet.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::gate;
use crate::http::body::{BodyError, Framing, Skipper};
use crate::http::refusal::Refusal;
use crate::http::request::Request;
use crate::web::{Pages, Question, ResponseOptions};
use crate::ws::handshake::Upgrade;

/// What a connection asks for next.
#[derive(Debug)]
pub enum Wanted {
    /// A WebSocket. The request is valid; nothing has been answered.
    Session(Box<SessionRequest>),
    /// Something that the web server answers.
    Page(Box<PageRequest>),
    /// Something that can't be granted, whatever the gate says.
    Refused(Refusal, RequestLine),
    /// Whether the service is ready, which is answered without a log line.
    Health(Refusal, RequestLine),
    /// Nothing more: the client has ended its side after the last answer.
    Nothing,
}

/// What is kept of a request line until its request is answered.
#[derive(Debug, Default)]
pub struct RequestLine {
    /// Its text in the log. Empty if it won't be logged, or could not be read.
    pub text: String,
    /// The method is HEAD: the answer has no body.
    pub head_only: bool,
    /// More of the request, where objects are written.
    pub seen: Option<Box<Seen>>,
}

/// What is logged of a request in fields, without secrets.
#[derive(Debug)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// The request's target.
    pub target: String,
    /// What the client calls itself.
    pub agent: Option<String>,
    /// Why the request is treated as a plain one although it looks like an upgrade.
    pub reason: Option<String>,
}

/// An upgrade that may be granted.
#[derive(Debug)]
pub struct SessionRequest {
    /// What to answer.
    pub upgrade: Upgrade,
    /// The request line.
    pub line: RequestLine,
    /// The request's target, for the log.
    pub target: LoggedTarget,
    /// The sub-protocols that the client offers, safe to log, if none of them is supported.
    pub foreign: Option<String>,
    /// What the gate is to be asked; `None` where it is open.
    pub question: Option<Box<gate::Question>>,
    /// The requested host, printable, if targets are told.
    pub host: Option<Box<str>>,
}

/// A request's target on its way to the log, which may never write it.
pub enum LoggedTarget {
    /// As it came, secrets included.
    Whole(Box<str>),
    /// Safe to log.
    Shown(String),
}

impl LoggedTarget {
    /// Keeps a target of up to [`TARGET_KEPT_MAX`] as it is; a longer one is made safe to log by `shown` at
    /// once, which shortens it.
    pub fn new(target: &str, shown: impl FnOnce(&str) -> String) -> LoggedTarget {
        match target.len() <= TARGET_KEPT_MAX {
            true => LoggedTarget::Whole(target.into()),
            false => LoggedTarget::Shown(shown(target)),
        }
    }

    /// The text for the log, made by `shown` if it has not been made yet; `None` for the usual `/`.
    pub fn to_log(&self, shown: impl FnOnce(&str) -> String) -> Option<Cow<'_, str>> {
        match self {
            LoggedTarget::Whole(target) if &**target == "/" => None,
            LoggedTarget::Whole(target) => Some(shown(target).into()),
            LoggedTarget::Shown(text) => Some(text.into()),
        }
    }
}

/// Without the secrets in it.
impl fmt::Debug for LoggedTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoggedTarget(***)")
    }
}

/// The longest target that is kept until it is known whether it is logged, in bytes.
const TARGET_KEPT_MAX: usize = 4096;

/// A plain request.
#[derive(Debug)]
pub struct PageRequest {
    /// The request line.
    pub line: RequestLine,
    /// What the answer depends on besides the request.
    pub options: ResponseOptions,
    /// What the answer will be.
    pub action: Action,
    /// Who answers.
    pub pages: Arc<Pages>,
    /// Requests answered on this connection before this one.
    pub served: u32,
    /// The body, which is read and discarded first so that the next request is found after it.
    pub body: Option<Skipper>,
    /// The client waits for `100 Continue` before it sends its body (RFC 9110, 10.1.1).
    pub awaits_continue: bool,
    /// What the gate is to be asked; `None` where it is open.
    pub question: Option<Box<gate::Question>>,
    /// The value of `Set-Cookie` in the answer.
    pub set_cookie: Option<String>,
}

/// How a plain request is answered.
#[derive(Debug)]
pub enum Action {
    /// With what the web server finds.
    Find(Question),
    /// With an error.
    Refuse(Refusal),
}

impl PageRequest {
    /// What a request asks of `pages`. `served` requests have been answered on its connection before.
    pub fn new(request: &Request<'_>, line: RequestLine, pages: Arc<Pages>, served: u32) -> PageRequest {
        let options = ResponseOptions {
            head_only: line.head_only,
            keep: wants_more(request) && served + 1 < REQUESTS_MAX,
            minor_version: request.minor_version,
        };
        let refusal = match request.method {
            "OPTIONS" => Refusal::new(204, ""),
            _ => Refusal::new(405, "Method Not Allowed"),
        };
        let mut page = PageRequest {
            line,
            options,
            action: Action::Refuse(refusal.with("Allow", "GET, HEAD, OPTIONS")),
            pages,
            served,
            body: None,
            awaits_continue: false,
            question: None,
            set_cookie: None,
        };
        let is_read = matches!(request.method, "GET" | "HEAD");
        let mut expectations = request.headers("expect");
        let expected = expectations.next().filter(|_| request.minor_version > 0);
        let body = Framing::of(request).and_then(|framing| Ok((framing, Skipper::new(framing)?)));
        match body {
            // A client with a longer body and a method that is refused is told about the method first.
            Err(BodyError::TooLong) if !is_read => page.options.keep = false,
            Err(error) => page.refuse_body(error),
            Ok((framing, _)) if expected.is_some_and(|what| !what.eq_ignore_ascii_case(b"100-continue")) => {
                page.action = Action::Refuse(Refusal::new(417, "Expectation Failed"));
                page.options.keep &= framing == Framing::None;
            }
            // The client waits for `100 Continue` and won't get it; it may send the body anyway, so the connection
            // is not kept.
            Ok((framing, _)) if expected.is_some() && !is_read => {
                page.options.keep &= framing == Framing::None;
            }
            Ok((framing, skipper)) => {
                if framing != Framing::None {
                    page.awaits_continue = expected.is_some();
                    page.body = Some(skipper);
                }
                if is_read {
                    page.action = Action::Find(Question::new(request, page.options));
                }
            }
        }
        page
    }

    /// Where the next request would begin is not known: this one is the last.
    pub fn refuse_body(&mut self, error: BodyError) {
        self.options.keep = false;
        self.action = Action::Refuse(Refusal::new(error.status().0, error.reason()));
    }
}

/// Whether the client will send more requests on this connection (RFC 9112, 9.3).
fn wants_more(request: &Request<'_>) -> bool {
    !request.has_token("connection", "close")
        && (request.minor_version > 0 || request.has_token("connection", "keep-alive"))
}

/// Requests on one connection. After this many a client may as well connect again, possibly to another
/// worker.
const REQUESTS_MAX: u32 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_is_not_logged_is_not_made_fit_for_the_log() {
        let never = |target: &str| -> String { panic!("{target} is not logged") };
        let usual = LoggedTarget::new("/websockify?token=x", never);
        assert!(LoggedTarget::new("/", never).to_log(never).is_none());
        assert_eq!(usual.to_log(str::to_uppercase).as_deref(), Some("/WEBSOCKIFY?TOKEN=X"));
        // Nothing of any length is kept for it.
        let long = LoggedTarget::new(&"/x".repeat(TARGET_KEPT_MAX), |target| target[..4].to_owned());
        assert_eq!(long.to_log(never).as_deref(), Some("/x/x"));
        assert!(!format!("{usual:?}").contains("token"));
    }
}
