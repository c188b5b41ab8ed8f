//! One HTTP request: an upgrade to WebSocket, a plain request for the web server, or something that is
//! answered with an error.
//!
//! The head is collected in the client's own buffer, so a thousand half-open handshakes hold no rings, and
//! whatever follows it, such as frames of an eager client, stays there for the relay.

use std::sync::Arc;
use std::time::Duration;

use super::client::Client;
use super::cx::{Cx, Turn};
use super::end::End;
use super::report;
use super::wanted::{LoggedTarget, PageRequest, RequestLine, SessionRequest, Wanted};
use crate::gate::{Asker, Wants};
use crate::http::refusal::Refusal;
use crate::http::request::{HeadError, HeadReader, Request};
use crate::http::{forwarded, host};
use crate::proxy::Version;
use crate::timers::Tick;
use crate::ws::handshake;

/// Waiting for a whole request head.
#[derive(Debug)]
pub struct Handshake {
    reader: HeadReader,
    deadline: Tick,
    /// Bytes that the reader has not seen yet are there.
    fresh: bool,
    /// Requests that were answered on this connection before.
    served: u32,
    /// Nothing of this request has come yet, and nothing needs to.
    resting: bool,
}

impl Handshake {
    /// Starts the clock; what the client has sent so far is examined first.
    pub fn begin(client: &Client, cx: &Cx<'_>) -> Handshake {
        let deadline = cx.now.after(REQUEST).min(client.first_request_by());
        Handshake { reader: HeadReader::new(), deadline, fresh: true, served: 0, resting: false }
    }

    /// Waits for a further request on a connection on which `served` were answered. None has to come.
    pub fn again(client: &Client, served: u32, cx: &Cx<'_>) -> Handshake {
        let resting = client.kept.is_empty();
        let patience = if resting { KEEP_ALIVE } else { REQUEST };
        Handshake { deadline: cx.now.after(patience), served, resting, ..Handshake::begin(client, cx) }
    }

    /// Reads until the head is complete, then decides what it asks for.
    ///
    /// # Errors
    /// The client left.
    pub fn step(
        mut self: Box<Self>,
        client: &mut Client,
        cx: &mut Cx<'_>,
    ) -> Result<Turn<Box<Handshake>, Wanted>, End> {
        loop {
            if self.fresh {
                self.fresh = false;
                match self.reader.scan(&client.kept) {
                    Ok(Some(len)) => return Ok(Turn::Done(self.answer(client, len, cx))),
                    Ok(None) => {}
                    Err(error) => return Ok(Turn::Done(malformed(&error))),
                }
            }
            if !client.socket.is_readable() {
                return Ok(Turn::Wait(self));
            }
            self.fresh = match client.read_more(cx) {
                Err(End::HalfRequest | End::ClientCut | End::ClientReset(_)) if self.resting => {
                    return Ok(Turn::Done(Wanted::Nothing));
                }
                more => more?,
            };
            if !self.fresh {
                // Records without data may come without end: others get their turn.
                cx.again |= client.socket.is_readable();
                return Ok(Turn::Wait(self));
            }
            if self.resting {
                self.resting = false;
                self.deadline = cx.now.after(REQUEST);
            }
        }
    }

    /// Whether nothing of a further request has come, so that the connection may end without that being an
    /// error.
    pub fn is_resting(&self) -> bool {
        self.resting
    }

    /// Whether no request was answered on this connection before.
    pub fn is_first(&self) -> bool {
        self.served == 0
    }

    /// The deadline of the request, however slowly it arrives.
    pub fn deadline(&self) -> Tick {
        self.deadline
    }

    /// Decides what the request whose head is the first `len` bytes asks for, and leaves the bytes after it.
    fn answer(&self, client: &mut Client, len: usize, cx: &Cx<'_>) -> Wanted {
        let mut head = std::mem::take(&mut client.kept);
        client.kept = head.split_off(len);
        let request = match Request::parse(&head) {
            Ok(request) => request,
            Err(error) => return malformed(&error),
        };
        let outside = client.who.identify(&request, &cx.frontend.proxies);
        if client.who.is_named_by_request() {
            report::named(client, cx);
        }
        let line = cx.shared.request_line(&request, &client.who);
        let question = |wants| {
            let asker = || Asker {
                address: client.who.address(),
                tls: client.socket.tls().is_some(),
                common_name: common_name(client),
                outside: outside.clone(),
            };
            cx.frontend.gate.question(wants, &request, asker)
        };
        let fault = host::check(&request).err().or_else(|| handshake::lost_upgrade(&request));
        if let Some(refusal) = fault {
            return Wanted::Refused(refusal, line);
        }
        if !handshake::is_upgrade(&request) {
            let is_check = request.method == "OPTIONS";
            if is_check || is_health(&request, cx.frontend.health_path.as_deref()) {
                match cx.shared.unready(cx.frontend.lacks_certificate()) {
                    Some(reason) => return Wanted::Health(Refusal::new(503, reason), line),
                    None if !is_check => return Wanted::Health(Refusal::new(200, "ok"), line),
                    None => {}
                }
            }
            let Some(pages) = &cx.frontend.pages else {
                // Only WebSockets are served, so a plain request is refused like a wrong method.
                let refusal = match is_check {
                    true => Refusal::new(204, ""),
                    false => Refusal::new(405, "Method Not Allowed"),
                };
                return Wanted::Refused(refusal.with("Allow", "GET, OPTIONS"), line);
            };
            let mut page = Box::new(PageRequest::new(&request, line, Arc::clone(pages), self.served));
            // Health checks and browsers that ask beforehand have no password.
            page.question = if is_check { None } else { question(Wants::Page) };
            return Wanted::Page(page);
        }
        match handshake::check(&request) {
            Ok(_) if cx.frontend.sessions.is_none() => {
                Wanted::Refused(Refusal::new(404, "no WebSocket is served here"), line)
            }
            Ok(upgrade) => {
                let target = LoggedTarget::new(request.target, |target| cx.shared.shown(target));
                let question = question(Wants::Session);
                let foreign = handshake::foreign_protocols(&request);
                let is_told = cx.frontend.proxies.out == Some(Version::V2) || cx.frontend.gate.may_tell();
                let host = is_told.then(|| forwarded::nearest(&[request.header("host")?])).flatten();
                let host = host.map(Box::from);
                Wanted::Session(Box::new(SessionRequest { upgrade, line, target, foreign, question, host }))
            }
            Err(refusal) => Wanted::Refused(refusal, line),
        }
    }
}

/// Whether a request asks at `path` whether the service is ready.
fn is_health(request: &Request<'_>, path: Option<&str>) -> bool {
    let asked = request.target.split(['?', '#']).next();
    path.is_some() && asked == path && matches!(request.method, "GET" | "HEAD")
}

/// An unreadable head is refused, and its request line is not logged.
fn malformed(error: &HeadError) -> Wanted {
    Wanted::Refused(Refusal::new(error.status().0, error.to_string()), RequestLine::default())
}

/// The name in the certificate that the client has proven to be its own, to us or to a trusted proxy.
fn common_name(client: &Client) -> Option<String> {
    let proxied = client.who.proxied().and_then(|proxied| proxied.tls.as_ref()).filter(|tls| tls.is_verified);
    if let Some(name) = proxied.and_then(|tls| tls.common_name.as_deref()) {
        return Some(name.to_owned());
    }
    client.common_name()
}

/// Time for a whole request head. A drip of single bytes does not extend it.
pub const REQUEST: Duration = Duration::from_secs(20);

/// How long a connection may be idle between two requests. Browsers load a page's files within this, and each
/// connection counts while it lasts.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);
