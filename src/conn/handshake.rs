//! One HTTP request: an upgrade to WebSocket, a plain request for the web server, or something that is
//! answered with an error.
//!
//! The head is collected in the client's own buffer, so a thousand half-open handshakes hold no rings, and
//! what came behind it, frames of an eager client, stays there for the relay.

use std::time::Duration;

use super::client::Client;
use super::end::End;
use super::serve::Serve;
use super::{Cx, Turn};
use crate::http::path;
use crate::http::request::{HEAD_MAX, HeadReader, Request};
use crate::http::response::{self, Status};
use crate::net::socket::ReadEnd;
use crate::timers::Tick;
use crate::ws::handshake::{self, Upgrade};

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

/// What the request asks for.
#[derive(Debug)]
pub enum Asked {
    /// An upgrade that may be granted. Nothing has been answered yet.
    Upgrade(Accepted),
    /// Something that the web server answers.
    Plain(Box<Serve>),
    /// An error, whose answer is queued for the client.
    Refused(u16),
    /// No further request: the client has ended its side behind the last answer.
    Nothing,
}

/// A request for an upgrade that is in order.
#[derive(Debug)]
pub struct Accepted {
    /// What to answer.
    pub upgrade: Upgrade,
    /// The request line, fit for the log.
    pub line: String,
    /// The request's target without secrets, fit for the log.
    pub path: String,
}

impl Handshake {
    /// The clock starts now; what the client has sent so far is looked at first.
    pub fn begin(cx: &Cx<'_>) -> Handshake {
        Handshake {
            reader: HeadReader::new(),
            deadline: cx.now.after(REQUEST),
            fresh: true,
            served: 0,
            resting: false,
        }
    }

    /// A further request on a connection on which `served` were answered. It need not come.
    pub fn again(client: &Client, served: u32, cx: &Cx<'_>) -> Handshake {
        let resting = client.kept.is_empty();
        let patience = if resting { KEEP_ALIVE } else { REQUEST };
        Handshake { deadline: cx.now.after(patience), served, resting, ..Handshake::begin(cx) }
    }

    /// Reads until the head is whole, then decides what it asks for.
    ///
    /// # Errors
    /// The client left.
    pub fn step(
        mut self: Box<Self>,
        client: &mut Client,
        cx: &mut Cx<'_>,
    ) -> Result<Turn<Box<Handshake>, Asked>, End> {
        loop {
            if self.fresh {
                self.fresh = false;
                match self.reader.scan(&client.kept) {
                    Ok(Some(len)) => return Ok(Turn::Done(self.answer(client, len, cx))),
                    Ok(None) => {}
                    Err(error) => {
                        let asked = refuse(client, error.status(), &error.to_string(), &[], "", cx);
                        return Ok(Turn::Done(asked));
                    }
                }
            }
            if !client.socket.is_readable() {
                return Ok(Turn::Wait(self));
            }
            self.fresh = match read_more(client, cx) {
                Err(End::HalfRequest | End::ClientCut | End::ClientReset(_)) if self.resting => {
                    return Ok(Turn::Done(Asked::Nothing));
                }
                more => more?,
            };
            if !self.fresh {
                // Records without data may keep coming for as long as they are read: the others have their turn.
                cx.again |= client.socket.is_readable();
                return Ok(Turn::Wait(self));
            }
            if self.resting {
                self.resting = false;
                self.deadline = cx.now.after(REQUEST);
            }
        }
    }

    /// Whether nothing of a further request has come: the connection may end without anyone to blame.
    pub fn is_resting(&self) -> bool {
        self.resting
    }

    /// When the request is overdue, however it drips.
    pub fn deadline(&self) -> Tick {
        self.deadline
    }

    /// Decides about the request whose head is the first `len` bytes, and leaves what is behind it.
    fn answer(&self, client: &mut Client, len: usize, cx: &Cx<'_>) -> Asked {
        let mut head = std::mem::take(&mut client.kept);
        client.kept = head.split_off(len);
        let request = match Request::parse(&head) {
            Ok(request) => request,
            Err(error) => return refuse(client, error.status(), &error.to_string(), &[], "", cx),
        };
        let line = cx.shared.request_line(&request);
        if !handshake::is_upgrade(&request) {
            return match &cx.shared.web {
                Some(_) => Asked::Plain(Serve::begin(client, &request, line, self.served, cx)),
                // Only a WebSocket is served, so a plain request is refused like a wrong method.
                None => refuse(client, Status(405), "Method Not Allowed", &[], &line, cx),
            };
        }
        match handshake::check(&request) {
            Ok(upgrade) => {
                let path = if cx.shared.log.shows_secrets() {
                    request.target.to_owned()
                } else {
                    path::redact(request.target).into_owned()
                };
                Asked::Upgrade(Accepted { upgrade, line, path })
            }
            Err(refusal) => refuse(client, refusal.status, refusal.reason, refusal.extra, &line, cx),
        }
    }
}

/// Appends what the client has sent to what is kept; false when nothing was there.
pub(super) fn read_more(client: &mut Client, cx: &mut Cx<'_>) -> Result<bool, End> {
    // The reader refuses a head longer than HEAD_MAX, so there is always room for at least one byte.
    let room = (HEAD_MAX + 1).saturating_sub(client.kept.len()).max(1);
    let mut ring = cx.rings.take();
    let result = client.socket.read(&mut ring.space()[..room], cx.rings);
    let more = match result {
        Ok(ReadEnd::Data(count)) => {
            client.kept.reserve_exact(count);
            client.kept.extend_from_slice(&ring.space()[..count]);
            Ok(true)
        }
        Ok(ReadEnd::Blocked) => Ok(false),
        Ok(ReadEnd::Eof) => Err(End::HalfRequest),
        Err(broken) => Err(End::client_lost(broken)),
    };
    cx.rings.give(ring);
    more
}

/// Queues an error for the client, and says so in the log.
pub fn refuse(
    client: &mut Client,
    status: Status,
    reason: &str,
    extra: &[(&str, &str)],
    line: &str,
    cx: &Cx<'_>,
) -> Asked {
    client.out.push(&response::refusal(status, reason, extra, line.starts_with("HEAD ")));
    cx.shared.say_limited(&End::Refused(status.0), |log| {
        log.peer(&client.peer, format_args!("code {}, message {reason}", status.0));
    });
    if !line.is_empty() {
        cx.shared.log.peer_debug(&client.peer, format_args!("\"{line}\" {} -", status.0));
    }
    Asked::Refused(status.0)
}

/// Time for a whole request head. A drip of single bytes does not extend it.
pub const REQUEST: Duration = Duration::from_secs(20);

/// How long a connection may rest between two requests. Browsers load a page's files within this, and each
/// connection counts while it lasts.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);
