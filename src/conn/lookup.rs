//! Asking the gate before anything is granted: one owned question, one job of a helper, one verdict. What came
//! behind the request waits with the client, and the client is not read meanwhile.

use std::time::Duration;

use super::client::Client;
use super::cx::{Answer, Cx, Turn};
use super::end::End;
use super::wanted::{PageRequest, SessionRequest};
use crate::flight::Asked;
use crate::gate::Verdict;
use crate::http::refusal::Refusal;
use crate::timers::Tick;

/// A request that waits for a verdict.
#[derive(Debug)]
pub struct Lookup {
    request: Request,
    verdict: Option<Verdict>,
    deadline: Tick,
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
        match cx.frontend.gate.ask(question, || cx.reply(Answer::Verdict)) {
            Asked::Now(verdict) => Turn::Done((request, verdict)),
            Asked::Later => {
                Turn::Wait(Box::new(Lookup { request, verdict: None, deadline: cx.now.after(LOOK_UP) }))
            }
            Asked::Busy => Turn::Done((request, Verdict::Refused(overdue()))),
        }
    }

    /// Takes in the verdict.
    pub fn answered(&mut self, verdict: Verdict) {
        self.verdict.get_or_insert(verdict);
    }

    /// Done when the verdict is there.
    ///
    /// # Errors
    /// The client left.
    pub fn step(mut self: Box<Self>, client: &Client) -> Result<Turn<Box<Lookup>, Decided>, End> {
        match self.verdict.take() {
            Some(verdict) => Ok(Turn::Done((self.request, verdict))),
            None if client.socket.is_hung_up() => Err(End::ClientReset(std::io::ErrorKind::ConnectionReset)),
            None => Ok(Turn::Wait(self)),
        }
    }

    /// When to call [`Lookup::expired`].
    pub fn deadline(&self) -> Tick {
        if self.verdict.is_some() { Tick::NEVER } else { self.deadline }
    }

    /// No verdict came in time: the next step refuses.
    pub fn expired(&mut self, cx: &Cx<'_>) {
        if cx.now >= self.deadline {
            self.verdict.get_or_insert(Verdict::Refused(overdue()));
        }
    }
}

/// The gate can't decide now.
fn overdue() -> Refusal {
    Refusal::new(503, "Service Unavailable").with("Retry-After", "5")
}

/// Time for a verdict, the wait for a helper included.
pub const LOOK_UP: Duration = Duration::from_secs(10);
