//! Answering a plain request: a file, a page about a directory, or a refusal.
//!
//! Whatever can block happens on the lane of the files, one question or one chunk at a time for each
//! connection; the next chunk is asked for when the one before it is written, and what a client does not take
//! is dropped and read again later. So a download that stalls holds its file, but no memory.

mod outgoing;

use std::sync::Arc;
use std::time::Duration;

use super::client::Client;
use super::end::End;
use super::handshake::read_more;
use super::{Answer, Cx, Turn};
use crate::helpers::{Lane, Refused};
use crate::http::body::{BodyError, Framing, Skipper};
use crate::http::request::Request;
use crate::http::response::Status;
use crate::ring::Pool;
use crate::timers::Tick;
use crate::web::{self, Cut, Question, Response, ResponseOptions, Site};
use outgoing::Outgoing;

/// The web server's part of what connections share.
pub struct Files {
    site: Arc<Site>,
    lane: Lane,
}

/// One plain request, from its head to the last byte of its answer.
#[derive(Debug)]
pub struct Serve {
    /// The request line, fit for the log.
    line: String,
    options: ResponseOptions,
    wish: Wish,
    stage: Stage,
    /// Requests answered on this connection before this one.
    served: u32,
    deadline: Tick,
    overdue: bool,
    /// What the client had not acknowledged when that was last looked at.
    unacknowledged: usize,
    /// Bytes that wait for the client, as the pool knows them.
    charged: usize,
}

/// What becomes of the connection behind an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// It waits for the next request; so many have been answered.
    Next(u32),
    /// It is closed in order.
    Last,
}

/// What the answer will be.
#[derive(Debug)]
enum Wish {
    Find(Question),
    Refuse(Status, &'static str, &'static [(&'static str, &'static str)]),
}

#[derive(Debug)]
enum Stage {
    /// The request's body is read away first, so that the next request is found behind it.
    Skip(Skipper),
    /// Nothing has been looked for. Whoever needs to consent (`--web-auth`) is to be asked before this.
    Ask,
    /// A helper looks for the answer.
    Finding,
    Found(Response),
    /// The answer is written as far as it is here.
    Write(Outgoing),
    /// A helper reads the next chunk.
    Reading(Outgoing),
    /// The lane was full; the next chunk is asked for again then.
    Pause(Outgoing, Tick),
    /// What was promised can't be read any more.
    Lost,
}

impl Files {
    /// Serves `site` on helper threads of its own.
    pub fn new(site: Site) -> Files {
        Files { site: Arc::new(site), lane: Lane::new("files", THREADS_MAX, JOBS_MAX) }
    }
}

impl Serve {
    /// A request whose head has been read; its body, if it has one, is still to come. `served` requests have
    /// been answered on this connection before.
    pub fn begin(
        client: &mut Client,
        request: &Request<'_>,
        line: String,
        served: u32,
        cx: &Cx<'_>,
    ) -> Box<Serve> {
        let options = ResponseOptions {
            head_only: request.method == "HEAD",
            keep: wants_more(request) && served + 1 < REQUESTS_MAX,
            minor_version: request.minor_version,
        };
        let mut serve = Serve {
            line,
            options,
            wish: Wish::Refuse(Status(405), "Method Not Allowed", &[("Allow", "GET, HEAD")]),
            stage: Stage::Ask,
            served,
            deadline: cx.now.after(BODY),
            overdue: false,
            unacknowledged: usize::MAX,
            charged: 0,
        };
        let is_read = matches!(request.method, "GET" | "HEAD");
        let mut expectations = request.headers("expect");
        let expected = expectations.next().filter(|_| request.minor_version > 0);
        let body = Framing::of(request).and_then(|framing| Ok((framing, Skipper::new(framing)?)));
        match body {
            // A client that would send a longer body with a method that is refused is told that first of all.
            Err(BodyError::TooLong) if !is_read => serve.options.keep = false,
            Err(error) => serve.refuse_body(error),
            Ok((framing, _)) if expected.is_some_and(|what| !what.eq_ignore_ascii_case(b"100-continue")) => {
                serve.wish = Wish::Refuse(Status(417), "Expectation Failed", &[]);
                serve.options.keep &= framing == Framing::None;
            }
            // It waits for leave to send a body that nobody wants; whether it sends it nevertheless can't be
            // known.
            Ok((framing, _)) if expected.is_some() && !is_read => {
                serve.options.keep &= framing == Framing::None
            }
            Ok((framing, skipper)) => {
                if framing != Framing::None {
                    if expected.is_some() && client.kept.is_empty() {
                        client.out.push(b"HTTP/1.1 100 Continue\r\n\r\n");
                    }
                    serve.stage = Stage::Skip(skipper);
                }
                if is_read {
                    serve.wish = Wish::Find(Question::new(request, serve.options));
                }
            }
        }
        Box::new(serve)
    }

    /// Takes in the answer that a helper found.
    pub fn found(&mut self, response: Response) {
        if matches!(self.stage, Stage::Finding) {
            self.stage = Stage::Found(response);
        }
    }

    /// Takes in the chunk that a helper read.
    pub fn read(&mut self, chunk: Result<Vec<u8>, Cut>) {
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
    pub fn step(
        mut self: Box<Self>,
        client: &mut Client,
        files: &Files,
        cx: &mut Cx<'_>,
    ) -> Result<Turn<Box<Serve>, Served>, End> {
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
                Stage::Ask => self.ask(files, cx),
                Stage::Finding if self.overdue => {
                    // The answer may still come, and must not be taken for that to another request.
                    self.options.keep = false;
                    let reason = "Files are out of reach";
                    Stage::Found(self.refusal(files, Status(503), reason, &[]))
                }
                Stage::Found(response) => {
                    self.say(&response, client, cx);
                    self.deadline = cx.now.after(LOOK);
                    self.overdue = false;
                    Stage::Write(Outgoing::new(response))
                }
                Stage::Write(outgoing) => match self.write(outgoing, client, cx)? {
                    Turn::Wait(stage) => return Ok(self.wait(stage, cx)),
                    Turn::Done(Some(outgoing)) => self.ask_more(outgoing, files, cx),
                    Turn::Done(None) if self.options.keep => {
                        return Ok(Turn::Done(Served::Next(self.served + 1)));
                    }
                    Turn::Done(None) => return Ok(Turn::Done(Served::Last)),
                },
                Stage::Pause(outgoing, until) if cx.now >= until => self.read_on(outgoing, files, cx),
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
            _ => self.deadline,
        }
    }

    /// Says what it means that the deadline has come: an end, or that the next step has something to do.
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
                // The system may hold much for a slow client, which then takes long to ask for more.
                let left = client.socket.unacknowledged();
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

    /// What waits for the client counts as held no longer: it is written now, or dropped.
    pub fn release(&mut self, rings: &mut Pool) {
        rings.discharge(std::mem::take(&mut self.charged));
    }

    /// Whether the client has refused bytes.
    pub fn is_holding(&self) -> bool {
        self.charged > 0
    }

    /// No request is to follow this one: the process is ending.
    pub fn be_last(&mut self) {
        self.options.keep = false;
    }

    /// Reads the request's body away.
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
                    self.refuse_body(error);
                    return Ok(Turn::Done(()));
                }
            }
            if skipper.is_done() {
                return Ok(Turn::Done(()));
            }
            if !client.socket.is_readable() || !read_more(client, cx)? {
                cx.again |= client.socket.is_readable();
                return Ok(Turn::Wait(Stage::Skip(skipper)));
            }
        }
    }

    /// Where the next request would begin is not known: this one is the last.
    fn refuse_body(&mut self, error: BodyError) {
        self.options.keep = false;
        self.wish = Wish::Refuse(error.status(), error.reason(), &[]);
    }

    fn ask(&mut self, files: &Files, cx: &Cx<'_>) -> Stage {
        let no_answer = Wish::Refuse(Status(503), "Too many requests are waiting for files", &[]);
        match std::mem::replace(&mut self.wish, no_answer) {
            Wish::Refuse(status, reason, extra) => Stage::Found(self.refusal(files, status, reason, extra)),
            Wish::Find(question) => {
                let site = Arc::clone(&files.site);
                self.deadline = cx.now.after(FILE);
                match files.submit(cx, move || Answer::File(Box::new(site.answer(&question)))) {
                    Ok(()) => Stage::Finding,
                    // The next turn of the loop sends the refusal that has taken the question's place.
                    Err(_) => Stage::Ask,
                }
            }
        }
    }

    fn ask_more(&mut self, outgoing: Outgoing, files: &Files, cx: &Cx<'_>) -> Stage {
        self.deadline = cx.now.after(FILE);
        self.read_on(outgoing, files, cx)
    }

    /// Has the next piece read; the deadline for it runs.
    fn read_on(&mut self, mut outgoing: Outgoing, files: &Files, cx: &Cx<'_>) -> Stage {
        let Some(body) = outgoing.body.clone() else { return Stage::Lost };
        let (at, appetite) = (outgoing.at, outgoing.appetite);
        let mut chunk = std::mem::take(&mut outgoing.bytes);
        outgoing.sent = 0;
        chunk.clear();
        let job = move || {
            let result = body.read(at, appetite, &mut chunk);
            Answer::Chunk(result.map(|()| chunk))
        };
        match files.submit(cx, job) {
            Ok(()) => Stage::Reading(outgoing),
            Err(_) => Stage::Pause(outgoing, cx.now.after(RETRY_WAIT)),
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
                    outgoing.sent += count;
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
        outgoing.grow_appetite();
        if client.socket.is_writable() {
            return Ok(Turn::Done(Some(outgoing)));
        }
        Ok(Turn::Wait(Stage::Write(outgoing)))
    }

    fn refusal(
        &self,
        files: &Files,
        status: Status,
        reason: &'static str,
        extra: &[(&str, &str)],
    ) -> Response {
        files.site.refusal(status, reason, extra, self.options)
    }

    /// Says in the log how the request is answered.
    fn say(&self, response: &Response, client: &Client, cx: &Cx<'_>) {
        let Status(status) = response.status;
        if status >= 400 {
            cx.shared.say_limited(&End::Refused(status), |log| {
                log.peer(&client.peer, format_args!("code {status}, message {}", response.reason));
            });
        }
        cx.shared.log.peer_debug(&client.peer, format_args!("\"{}\" {status} -", self.line));
    }

    /// Waits in `stage`. What is left of an answer by then, the head of a file's or a whole page, counts as held.
    fn wait(mut self: Box<Self>, stage: Stage, cx: &mut Cx<'_>) -> Turn<Box<Serve>, Served> {
        self.stage = stage;
        if let Stage::Write(outgoing) = &mut self.stage {
            outgoing.shed();
        }
        self.charged = self.held_bytes();
        cx.rings.charge(self.charged);
        Turn::Wait(self)
    }
}

impl Files {
    fn submit(&self, cx: &Cx<'_>, job: impl FnOnce() -> Answer + Send + 'static) -> Result<(), Refused> {
        let (replies, id) = (cx.replies.clone(), cx.id);
        self.lane.submit(Box::new(move || replies.send(id, job())))
    }
}

/// Whether the client will send more requests on this connection (RFC 9112, 9.3).
fn wants_more(request: &Request<'_>) -> bool {
    !request.has_token("connection", "close")
        && (request.minor_version > 0 || request.has_token("connection", "keep-alive"))
}

/// Requests on one connection. After so many, a client may well connect again, wherever it is placed then.
const REQUESTS_MAX: u32 = 1000;

/// Time for a request's body.
const BODY: Duration = Duration::from_secs(20);

/// Time for a helper to find or read a file. A disk that must spin up takes ten seconds.
const FILE: Duration = Duration::from_secs(30);

/// How often it is looked at whether a client that asks for nothing more still takes what it was sent. One that
/// has taken nothing between two looks is given up.
const LOOK: Duration = Duration::from_secs(30);

/// Until a full lane is tried again.
const RETRY_WAIT: Duration = Duration::from_millis(100);

/// Threads for files. A file system that hangs holds one for each request.
const THREADS_MAX: usize = 8;

/// Descriptors that the threads can have open at a time.
pub const DESCRIPTORS_MAX: usize = THREADS_MAX * web::DESCRIPTORS_MAX;

/// Requests that wait for a thread. More are answered with 503.
const JOBS_MAX: usize = 1024;
