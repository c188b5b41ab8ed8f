//! Answering a plain request: a file, a page about a directory, or a refusal.
//!
//! Whatever can block happens on the lane of the files, one question or one chunk at a time for each
//! connection; the next chunk is requested when the one before it is written, and what a client does not read
//! is dropped and read again later. So a download that stalls holds its file, but no memory.

mod outgoing;

use std::time::Duration;

use super::client::Client;
use super::cx::{Answer, Cx, Turn};
use super::delivery::Pace;
use super::end::End;
use super::report;
use super::wanted::{Action, PageRequest};
use crate::flight::Asked;
use crate::http::body::Skipper;
use crate::http::refusal::Refusal;
use crate::ring::Pool;
use crate::timers::Tick;
use crate::web::{Chunk, Response};
use outgoing::Outgoing;

/// One plain request, from its head to the last byte of its answer.
#[derive(Debug)]
pub struct Serve {
    page: PageRequest,
    stage: Stage,
    deadline: Tick,
    overdue: bool,
    /// When the answer was found.
    begun_at: Tick,
    /// Whether the client reads fast enough.
    pace: Pace,
    /// Bytes of it that are written.
    written: usize,
    /// How much was unacknowledged at the last check.
    unacknowledged: usize,
    /// Bytes waiting for the client, as charged to the pool.
    charged: usize,
}

/// What happens to the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// It waits for the next request; this many have been answered.
    Next(u32),
    /// It is closed in order.
    Last,
}

#[derive(Debug)]
enum Stage {
    /// The request's body is read and discarded first, so that the next request is found after it.
    Skip(Skipper),
    /// The answer has not been requested.
    Ask,
    /// A helper is finding the answer.
    Finding,
    Found(Response),
    /// What is here of the answer is being written.
    Write(Outgoing),
    /// A helper reads the next chunk.
    Reading(Outgoing),
    /// The lane was full; the next chunk is requested again then.
    Pause(Outgoing, Tick),
    /// Announced bytes can't be read any more.
    Lost,
}

impl Serve {
    /// A request that has been granted; its body, if it has one, is still to come.
    pub fn begin(client: &mut Client, mut page: PageRequest, cx: &Cx<'_>) -> Box<Serve> {
        if page.awaits_continue && client.kept.is_empty() {
            client.out.push(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        let stage = page.body.take().map_or(Stage::Ask, Stage::Skip);
        let deadline = cx.now.after(BODY);
        Box::new(Serve {
            page,
            stage,
            deadline,
            overdue: false,
            begun_at: cx.now,
            pace: Pace::new(cx.now),
            written: 0,
            unacknowledged: usize::MAX,
            charged: 0,
        })
    }

    /// Stores the answer that a helper found.
    pub fn found(&mut self, response: Response) {
        if matches!(self.stage, Stage::Finding) {
            self.stage = Stage::Found(response);
        }
    }

    /// Stores the chunk that a helper read.
    pub fn read(&mut self, chunk: Chunk) {
        self.stage = match (std::mem::replace(&mut self.stage, Stage::Lost), chunk) {
            (Stage::Reading(mut outgoing), Ok(bytes)) => {
                outgoing.refill(bytes);
                Stage::Write(outgoing)
            }
            (Stage::Reading(_), Err(_)) => Stage::Lost,
            (stage, _) => stage,
        };
    }

    /// Goes on as far as possible.
    ///
    /// # Errors
    /// The client left, or the answer can't be completed.
    pub fn step(&mut self, client: &mut Client, cx: &mut Cx<'_>) -> Result<Turn<(), Served>, End> {
        self.release(cx.rings);
        if client.socket.is_hung_up() {
            return Err(End::ClientReset(std::io::ErrorKind::ConnectionReset));
        }
        loop {
            self.stage = match std::mem::replace(&mut self.stage, Stage::Lost) {
                Stage::Skip(skipper) => match self.skip(skipper, client, cx)? {
                    Turn::Wait(stage) => return Ok(self.wait(stage, cx)),
                    Turn::Done(()) => Stage::Ask,
                },
                Stage::Ask => self.ask(cx),
                Stage::Finding if self.overdue => {
                    // The answer may still come, and must not be taken for that to another request.
                    self.page.options.keep = false;
                    Stage::Found(self.refusal(&Refusal::new(503, "Files are not accessible")))
                }
                Stage::Found(mut response) => {
                    if let Some(cookie) = self.page.set_cookie.take() {
                        response.add_field("Set-Cookie", &cookie);
                    }
                    let line = &self.page.line;
                    report::answered(
                        line,
                        response.status,
                        &response.reason,
                        response.body_length(),
                        client,
                        cx,
                    );
                    self.deadline = cx.now.after(LOOK);
                    (self.begun_at, self.pace) = (cx.now, Pace::new(cx.now));
                    self.overdue = false;
                    Stage::Write(Outgoing::new(response))
                }
                Stage::Write(outgoing) => match self.write(outgoing, client, cx)? {
                    Turn::Wait(stage) => return Ok(self.wait(stage, cx)),
                    Turn::Done(Some(outgoing)) => self.ask_more(outgoing, cx),
                    Turn::Done(None) if self.page.options.keep => {
                        return Ok(Turn::Done(Served::Next(self.page.served + 1)));
                    }
                    Turn::Done(None) => return Ok(Turn::Done(Served::Last)),
                },
                Stage::Pause(outgoing, until) if cx.now >= until => self.read_on(outgoing, cx),
                Stage::Reading(_) if self.overdue => return Err(End::FileLost),
                Stage::Lost => return Err(End::FileLost),
                stage => return Ok(self.wait(stage, cx)),
            };
        }
    }

    /// When to call [`Serve::expired`].
    pub fn deadline(&self) -> Tick {
        match &self.stage {
            Stage::Pause(_, until) => (*until).min(self.deadline),
            Stage::Write(_) => self.deadline.min(self.pace.deadline()),
            _ => self.deadline,
        }
    }

    /// Handles an expired deadline: returns an end, or `None` if the next step has something to do.
    pub fn expired(&mut self, client: &Client, cx: &Cx<'_>) -> Option<End> {
        if cx.now < self.deadline() {
            return None;
        }
        match &self.stage {
            Stage::Skip(_) => return Some(End::SlowRequest),
            // The next step asks again.
            // The lane was full for as long as a read may take.
            Stage::Pause(..) if cx.now >= self.deadline => return Some(End::FileLost),
            Stage::Pause(..) => return None,
            Stage::Write(_) => {
                // The kernel may hold a lot for a slow client, which then takes long to need more.
                let left = client.socket.unacknowledged();
                if self.pace.is_too_slow(self.written.saturating_sub(left), cx.now) {
                    return Some(End::ClientStalled);
                }
                if cx.now < self.deadline {
                    return None;
                }
                if left >= self.unacknowledged {
                    return Some(End::ClientStalled);
                }
                self.unacknowledged = left;
            }
            _ => self.overdue = true,
        }
        self.deadline = cx.now.after(LOOK);
        None
    }

    /// Whether a helper has been asked and has not answered.
    #[cfg(any(test, feature = "testing"))]
    pub fn is_asking(&self) -> bool {
        matches!(self.stage, Stage::Finding | Stage::Reading(_))
    }

    /// Bytes that wait for the client.
    pub fn held_bytes(&self) -> usize {
        match &self.stage {
            Stage::Found(response) => response.bytes.len(),
            Stage::Write(outgoing) | Stage::Reading(outgoing) | Stage::Pause(outgoing, _) => {
                outgoing.bytes.len() - outgoing.sent
            }
            _ => 0,
        }
    }

    /// What waits for the client no longer counts as held: it is written now, or dropped.
    pub fn release(&mut self, rings: &mut Pool) {
        rings.discharge(std::mem::take(&mut self.charged));
    }

    /// Bytes that the client has refused and that are kept for it.
    pub fn charged_bytes(&self) -> usize {
        self.charged
    }

    /// When the answer was found, or the request came.
    pub fn begun_at(&self) -> Tick {
        self.begun_at
    }

    /// Makes this the connection's last request: the process is ending.
    pub fn be_last(&mut self) {
        self.page.options.keep = false;
    }

    /// Reads and discards the request's body.
    fn skip(
        &mut self,
        mut skipper: Skipper,
        client: &mut Client,
        cx: &mut Cx<'_>,
    ) -> Result<Turn<Stage, ()>, End> {
        client.flush_out(cx.rings).map_err(End::client_lost)?;
        loop {
            match skipper.skip(&client.kept) {
                Ok(count) => drop(client.kept.drain(..count)),
                Err(error) => {
                    self.page.refuse_body(error);
                    return Ok(Turn::Done(()));
                }
            }
            if skipper.is_done() {
                return Ok(Turn::Done(()));
            }
            if !client.socket.is_readable() || !client.read_more(cx)? {
                cx.again |= client.socket.is_readable();
                return Ok(Turn::Wait(Stage::Skip(skipper)));
            }
        }
    }

    fn ask(&mut self, cx: &Cx<'_>) -> Stage {
        let busy = Action::Refuse(Refusal::new(503, "Too many requests are waiting for files"));
        match std::mem::replace(&mut self.page.action, busy) {
            Action::Refuse(refusal) => Stage::Found(self.refusal(&refusal)),
            Action::Find(question) => {
                self.deadline = cx.now.after(FILE);
                match self.page.pages.ask(question, cx.reply(Answer::Page)) {
                    Asked::Now(response) => Stage::Found(*response),
                    Asked::Later => Stage::Finding,
                    // The next pass of the loop sends the refusal that has replaced the question.
                    Asked::Busy => Stage::Ask,
                }
            }
        }
    }

    fn ask_more(&mut self, outgoing: Outgoing, cx: &Cx<'_>) -> Stage {
        self.deadline = cx.now.after(FILE);
        self.read_on(outgoing, cx)
    }

    /// Has the next piece read; the deadline for it runs.
    fn read_on(&mut self, mut outgoing: Outgoing, cx: &Cx<'_>) -> Stage {
        let Some(body) = outgoing.body.clone() else { return Stage::Lost };
        let space = std::mem::take(&mut outgoing.bytes);
        outgoing.sent = 0;
        let (at, most) = (outgoing.at, outgoing.read_size);
        match self.page.pages.read(body, at, most, space, cx.reply(Answer::Chunk)) {
            Asked::Now(Ok(bytes)) => {
                outgoing.refill(bytes);
                Stage::Write(outgoing)
            }
            Asked::Now(Err(_)) => Stage::Lost,
            Asked::Later => Stage::Reading(outgoing),
            Asked::Busy => Stage::Pause(outgoing, cx.now.after(RETRY_WAIT)),
        }
    }

    /// Writes what is there. Done when more is wanted from the body, or with nothing when all is written.
    fn write(
        &mut self,
        mut outgoing: Outgoing,
        client: &mut Client,
        cx: &mut Cx<'_>,
    ) -> Result<Turn<Stage, Option<Outgoing>>, End> {
        if !client.flush_out(cx.rings).map_err(End::client_lost)? {
            return Ok(Turn::Wait(Stage::Write(outgoing)));
        }
        while outgoing.sent < outgoing.bytes.len() {
            let rest = &outgoing.bytes[outgoing.sent..];
            let rest = &rest[..rest.len().min(client.socket.write_max())];
            match client.socket.write(rest, cx.rings).map_err(End::client_lost)? {
                0 => break,
                count => {
                    let before = outgoing.body_sent();
                    outgoing.sent += count;
                    cx.metrics.body_bytes.add((outgoing.body_sent() - before) as u64);
                    self.written += count;
                    cx.worked += count;
                }
            }
            self.deadline = cx.now.after(LOOK);
            self.unacknowledged = usize::MAX;
        }
        let is_flushed = client.flush_out(cx.rings).map_err(End::client_lost)?;
        if outgoing.sent < outgoing.bytes.len() {
            outgoing.drop_the_unsent();
            return Ok(Turn::Wait(Stage::Write(outgoing)));
        }
        if !is_flushed {
            return Ok(Turn::Wait(Stage::Write(outgoing)));
        }
        if outgoing.is_whole() {
            return Ok(Turn::Done(None));
        }
        outgoing.grow_read_size();
        if client.socket.is_writable() {
            return Ok(Turn::Done(Some(outgoing)));
        }
        Ok(Turn::Wait(Stage::Write(outgoing)))
    }

    fn refusal(&self, refusal: &Refusal) -> Response {
        self.page.pages.refuse(refusal, self.page.options)
    }

    /// Waits in `stage`. What is left of an answer by then, the head of a file's or a whole page, counts as held.
    fn wait<T>(&mut self, stage: Stage, cx: &mut Cx<'_>) -> Turn<(), T> {
        self.stage = stage;
        if let Stage::Write(outgoing) = &mut self.stage {
            outgoing.drop_written();
        }
        self.charged = self.held_bytes();
        cx.rings.charge(self.charged);
        Turn::Wait(())
    }
}

/// Time for a request's body.
const BODY: Duration = Duration::from_secs(20);

/// Time for a helper to find or read a file. A disk that must spin up takes ten seconds.
const FILE: Duration = Duration::from_secs(30);

/// How often it is checked whether a client that needs nothing more still receives what it was sent. One that
/// has received nothing between two checks is given up.
const LOOK: Duration = Duration::from_secs(30);

/// Time until a full lane is tried again.
const RETRY_WAIT: Duration = Duration::from_millis(100);
