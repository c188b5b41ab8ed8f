//! Asking the gate before anything is granted: one owned question, one verdict. Bytes after the request wait
//! in the client's buffer, up to the size of a request head; they are read only to notice the end of the
//! stream, so that a client that leaves gives up its place in the queue.

use std::time::Duration;

use super::client::Client;
use super::cx::{Answer, Cx, Turn};
use super::early;
use super::end::End;
use super::wanted::{PageRequest, SessionRequest};
use crate::flight::Asked;
use crate::gate::{self, Verdict};
use crate::helpers::Ticket;
use crate::http::request::HEAD_MAX;
use crate::timers::Tick;

/// A request that is waiting for a verdict.
#[derive(Debug)]
pub struct Lookup {
    request: Request,
    verdict: Option<Verdict>,
    deadline: Tick,
    /// The question's place in the queue; dropping it frees it for another one.
    _place: Ticket,
}

/// What may be granted.
#[derive(Debug)]
pub enum Request {
    /// A WebSocket.
    Session(Box<SessionRequest>),
    /// Something that the web server answers.
    Page(Box<PageRequest>),
}

/// A request and what was decided about it.
pub type Decided = (Request, Verdict);

impl Lookup {
    /// Asks the gate; done at once when nothing has to be looked up.
    pub fn begin(mut request: Request, cx: &Cx<'_>) -> Turn<Box<Lookup>, Decided> {
        let question = match &mut request {
            Request::Session(session) => session.question.take(),
            Request::Page(page) => page.question.take(),
        };
        let place = Ticket::default();
        match cx.frontend.gate.ask(question, || place.stub(), || cx.reply(Answer::Verdict)) {
            Asked::Now(verdict) => Turn::Done((request, verdict)),
            Asked::Later => {
                let deadline = cx.now.after(LOOK_UP);
                Turn::Wait(Box::new(Lookup { request, verdict: None, deadline, _place: place }))
            }
            Asked::Busy => Turn::Done((request, gate::busy())),
        }
    }

    /// Stores the verdict.
    pub fn answered(&mut self, verdict: Verdict) {
        self.verdict.get_or_insert(verdict);
    }

    /// Done when the verdict has come.
    ///
    /// # Errors
    /// The client left.
    pub fn step(
        mut self: Box<Self>,
        client: &mut Client,
        cx: &mut Cx<'_>,
    ) -> Result<Turn<Box<Lookup>, Decided>, End> {
        if let Some(verdict) = self.verdict.take() {
            return Ok(Turn::Done((self.request, verdict)));
        }
        if client.socket.is_hung_up() {
            return Err(End::ClientReset(std::io::ErrorKind::ConnectionReset));
        }
        while client.socket.is_readable() && client.kept.len() < HEAD_MAX {
            match client.read_more(cx) {
                Ok(true) => {}
                Ok(false) => {
                    cx.again |= client.socket.is_readable();
                    break;
                }
                Err(End::HalfRequest | End::ClientCut) if !self.is_abandoned(client) => break,
                Err(end) => return Err(end),
            }
        }
        Ok(Turn::Wait(self))
    }

    /// Whether a client that has ended its side can be dropped. One that asks for a page may still read it,
    /// and one that has sent data after its upgrade may want it delivered; pings and a Close are not data.
    fn is_abandoned(&self, client: &Client) -> bool {
        matches!(self.request, Request::Session(_)) && !early::holds_payload(&client.kept)
    }

    /// When to call [`Lookup::expired`].
    pub fn deadline(&self) -> Tick {
        if self.verdict.is_some() { Tick::NEVER } else { self.deadline }
    }

    /// No verdict came in time: the next step refuses.
    pub fn expired(&mut self, cx: &Cx<'_>) {
        if cx.now >= self.deadline {
            self.verdict.get_or_insert_with(gate::overdue);
        }
    }
}

/// Time for a verdict, the wait for a helper included.
pub const LOOK_UP: Duration = Duration::from_secs(10);
