//! What is logged: each event has a text form, the lines that scripts have looked for since before this program, and
//! a form as a JSON object, whose keys are OpenTelemetry's where it has some.

use std::fmt::{self, Display};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::Level;
use super::json::Object;
use crate::id::SessionName;
use crate::secret::Fingerprint;

/// Something that has happened.
pub struct Event<'a> {
    /// How much it matters.
    pub level: Level,
    /// The client that it is about, as lines begin with it.
    pub who: Option<&'a dyn Display>,
    /// Its address, for which there may be a level of its own.
    pub address: Option<IpAddr>,
    /// More about that client and its session, for objects.
    pub party: Option<&'a Party<'a>>,
    /// What has happened.
    pub what: What<'a>,
}

/// What has happened.
pub enum What<'a> {
    /// An event with no fields besides this text.
    Note(Topic, fmt::Arguments<'a>),
    /// The same, about the client; its line has a date.
    Dated(Topic, fmt::Arguments<'a>),
    /// The same, in a line without a date.
    Undated(Topic, fmt::Arguments<'a>),
    /// A WebSocket was granted.
    SessionStart(&'a SessionStart<'a>),
    /// Its target is being dialled; the text contains the target.
    SessionConnecting(&'a str),
    /// Its target was reached, after this time. Has no text form.
    SessionConnected(Duration),
    /// Its target could not be reached: target and reason.
    SessionFailed(&'a dyn Display, &'a dyn Display),
    /// It is over.
    SessionEnd(&'a SessionEnd<'a>),
    /// A request was answered.
    Request(&'a Request<'a>),
    /// A request was refused: status and reason.
    Refused(u16, &'a str),
    /// A connection that never was a session ended: the name of its ending, and the reason.
    ConnectionEnd(&'static str, &'a dyn Display),
}

/// The name of an event that has no fields of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// The service starts; what it will do.
    Start,
    /// Every reactor serves.
    Ready,
    /// Log files are reopened.
    Reload,
    /// Clients are sent away.
    Drain,
    /// The service ends.
    Stop,
    /// Something about certificates.
    Certificate,
    /// What was asked of the admin listener, and what its tokens are worth.
    Admin,
    /// Something about the program that is wrapped, or one that runs for a session.
    Program,
    /// Something about a recording.
    Recording,
    /// Something about a connection that is no session.
    Connection,
    /// Something about a session.
    Session,
    /// A fault of a client, or of a proxy in front, that its operator should know about.
    Hint,
    /// Lines that were left out or lost.
    Suppressed,
    /// Anything else.
    Message,
}

impl Topic {
    /// All of them.
    pub const ALL: [Topic; 14] = [
        Topic::Start,
        Topic::Ready,
        Topic::Reload,
        Topic::Drain,
        Topic::Stop,
        Topic::Certificate,
        Topic::Admin,
        Topic::Program,
        Topic::Recording,
        Topic::Connection,
        Topic::Session,
        Topic::Hint,
        Topic::Suppressed,
        Topic::Message,
    ];

    /// The value of `event`.
    pub fn name(self) -> &'static str {
        match self {
            Topic::Start => "start",
            Topic::Ready => "ready",
            Topic::Reload => "reload",
            Topic::Drain => "drain",
            Topic::Stop => "stop",
            Topic::Certificate => "certificate",
            Topic::Admin => "admin",
            Topic::Program => "program",
            Topic::Recording => "recording",
            Topic::Connection => "connection",
            Topic::Session => "session",
            Topic::Hint => "hint",
            Topic::Suppressed => "suppressed",
            Topic::Message => "message",
        }
    }
}

/// A client and its session, as far as they are known.
#[derive(Default)]
pub struct Party<'a> {
    /// The session's name.
    pub session: Option<SessionName>,
    /// What a trusted proxy calls the request.
    pub request_id: Option<&'a str>,
    /// The client's address, and its port, as a trusted proxy has given it or else the socket.
    pub client: Option<(IpAddr, Option<u16>)>,
    /// The socket's address and port.
    pub peer: Option<(IpAddr, Option<u16>)>,
    /// The path of the Unix socket that the client has come by, in place of an address.
    pub unix: Option<&'a dyn Display>,
    /// How the client's address is known.
    pub via: &'static str,
    /// Version and cipher suite of its TLS.
    pub tls: Option<(&'static str, String)>,
    /// The common name in its certificate.
    pub subject: Option<String>,
    /// What stands for its token.
    pub token: Option<Fingerprint>,
    /// The user that it has authenticated as.
    pub user: Option<&'a str>,
    /// Where the session goes, as it was asked for.
    pub server: Option<(&'a str, Option<u16>)>,
    /// The target's address that was dialled.
    pub target: Option<SocketAddr>,
}

/// A WebSocket that was granted.
pub struct SessionStart<'a> {
    /// Whether it came over TLS.
    pub secure: bool,
    /// The request's target without secrets, unless it is the usual one.
    pub path: Option<&'a str>,
    /// What the client calls itself.
    pub agent: Option<&'a str>,
}

/// A session that is over.
pub struct SessionEnd<'a> {
    /// Where it went.
    pub to: &'a dyn Display,
    /// How it ended, in words.
    pub words: &'a dyn Display,
    /// How it ended: the name of the ending.
    pub end: &'static str,
    /// Who has ended it: `client`, `target`, `gateway` or `operator`.
    pub by: &'static str,
    /// What went wrong, in more words, if anything did.
    pub error: Option<String>,
    /// Its duration, from the 101 on.
    pub duration: Duration,
    /// How long its target took, if that was reached.
    pub connect: Option<Duration>,
    /// Payload bytes that were written to the target.
    pub bytes_up: u64,
    /// Payload bytes that were read from the target.
    pub bytes_down: u64,
    /// How long nothing had moved up, and down.
    pub idle: Option<(Duration, Duration)>,
    /// The end that was refusing bytes.
    pub stalled: Option<&'static str>,
    /// The time to the client and back.
    pub rtt: Option<Duration>,
    /// The code of the client's Close; 1006 without one.
    pub close_code: u16,
    /// The code of our Close, if one was sent.
    pub close_sent: Option<u16>,
}

/// A request that was answered.
pub struct Request<'a> {
    /// The request line for the text form.
    pub line: &'a str,
    /// The status of the answer.
    pub status: u16,
    /// The method.
    pub method: &'a str,
    /// The request's target without secrets.
    pub target: &'a str,
    /// What the client calls itself.
    pub agent: Option<&'a str>,
    /// The length of the answer's body, where it is known.
    pub body: Option<u64>,
    /// Why the request was refused, or, if it looks like an upgrade, why it was not treated as one.
    pub reason: Option<&'a str>,
}

impl What<'_> {
    /// The value of `event`.
    pub fn name(&self) -> &'static str {
        match self {
            What::Note(topic, _) | What::Dated(topic, _) | What::Undated(topic, _) => topic.name(),
            What::SessionStart(_) => "session.start",
            What::SessionConnecting(_) => "session.connecting",
            What::SessionConnected(_) => "session.connected",
            What::SessionFailed(..) => "session.failed",
            What::SessionEnd(_) => "session.end",
            What::Request(_) => "http.request",
            What::Refused(..) => "refused",
            What::ConnectionEnd(..) => "connection.end",
        }
    }

    /// The lines of its text form, without the client and the date that they may begin with.
    pub(super) fn lines(&self, who: Option<&dyn Display>, say: &mut dyn FnMut(fmt::Arguments<'_>)) {
        match self {
            What::Note(_, text) | What::Dated(_, text) | What::Undated(_, text) => say(*text),
            What::SessionStart(start) => {
                let who = Shown(who);
                let kind = if start.secure { "SSL/TLS (wss://)" } else { "Plain non-SSL (ws://)" };
                say(format_args!("{who}{kind} WebSocket connection"));
                if let Some(path) = start.path {
                    say(format_args!("{who}Path: '{path}'"));
                }
            }
            What::SessionConnecting(announcement) => say(format_args!("{announcement}")),
            What::SessionConnected(_) => {}
            What::SessionFailed(to, why) => say(format_args!("Failed to connect to {to}: {why}")),
            What::SessionEnd(end) => say(format_args!("{}: {}", end.to, end.words)),
            What::Request(request) => say(format_args!("\"{}\" {} -", request.line, request.status)),
            What::Refused(status, reason) => say(format_args!("code {status}, message {reason}")),
            What::ConnectionEnd(_, words) => say(format_args!("{words}")),
        }
    }

    /// What its lines begin with.
    pub(super) fn head(&self) -> Head {
        match self {
            What::Note(..) => Head::Nothing,
            What::Undated(..) | What::ConnectionEnd(..) => Head::Client,
            What::Dated(..)
            | What::SessionStart(_)
            | What::SessionConnecting(_)
            | What::SessionConnected(_)
            | What::SessionFailed(..)
            | What::SessionEnd(_)
            | What::Request(_)
            | What::Refused(..) => Head::ClientAndDate,
        }
    }

    /// The fields that only this event has.
    fn fields(&self, object: &mut Object) {
        match self {
            What::Note(..)
            | What::Dated(..)
            | What::Undated(..)
            | What::SessionConnecting(_)
            | What::SessionFailed(..) => {}
            What::SessionStart(start) => {
                target(object, start.path.unwrap_or("/"));
                agent(object, start.agent);
            }
            What::SessionConnected(after) => object.seconds("connect_seconds", *after),
            What::SessionEnd(end) => end.fields(object),
            What::Request(request) => {
                object.text_of("http.request.method", request.method, WORD_MAX);
                target(object, request.target);
                object.number("http.response.status_code", request.status);
                object.maybe_number("http.response.body.size", request.body);
                agent(object, request.agent);
                object.maybe("reason", request.reason);
            }
            What::Refused(status, reason) => {
                object.number("http.response.status_code", *status);
                object.text("reason", reason);
            }
            What::ConnectionEnd(end, _) => object.text("end", end),
        }
    }
}

impl SessionEnd<'_> {
    fn fields(&self, object: &mut Object) {
        object.seconds("duration_seconds", self.duration);
        if let Some(connect) = self.connect {
            object.seconds("connect_seconds", connect);
        }
        object.number("bytes.up", self.bytes_up);
        object.number("bytes.down", self.bytes_down);
        if let Some((up, down)) = self.idle {
            object.seconds("idle_seconds.up", up);
            object.seconds("idle_seconds.down", down);
        }
        if let Some(rtt) = self.rtt {
            object.seconds("rtt_seconds", rtt);
        }
        object.maybe("stalled", self.stalled);
        object.text("end", self.end);
        object.text("end.by", self.by);
        object.number("close.code", self.close_code);
        object.maybe_number("close.sent", self.close_sent);
        object.maybe("error", self.error.as_ref());
    }
}

/// What a line begins with.
pub(super) enum Head {
    /// With its words.
    Nothing,
    /// With the client.
    Client,
    /// With the client and the local time.
    ClientAndDate,
}

/// `CLIENT: `, or nothing.
#[derive(Clone, Copy)]
struct Shown<'a>(Option<&'a dyn Display>);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |who| write!(f, "{who}: "))
    }
}

/// The words of the text form, the first line of them.
struct Words<'a>(&'a Event<'a>);

impl Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let What::SessionConnected(_) = self.0.what {
            return f.write_str("connected");
        }
        let (mut result, mut is_first) = (Ok(()), true);
        // The client has fields of its own.
        self.0.what.lines(None, &mut |line| {
            if std::mem::take(&mut is_first) {
                result = f.write_fmt(line);
            }
        });
        result
    }
}

impl<'a> Event<'a> {
    /// One that is about nobody.
    pub fn of(level: Level, what: What<'a>) -> Event<'a> {
        Event { level, who: None, address: None, party: None, what }
    }
}

impl Event<'_> {
    /// Writes the object. `stamp` is the time, and `service` the process: its instance and number.
    pub(super) fn write(
        &self,
        object: &mut Object,
        stamp: &dyn Display,
        (instance, pid): (&dyn Display, u32),
    ) {
        object.text("timestamp", stamp);
        object.text("severity", self.level.name());
        object.text("event", self.what.name());
        object.text_of("message", Words(self), MESSAGE_MAX);
        object.text("service.instance.id", instance);
        object.number("process.pid", pid);
        match (self.party, self.who) {
            (Some(party), _) => party.fields(object),
            (None, Some(who)) => object.text("client.address", who),
            (None, None) => {}
        }
        self.what.fields(object);
    }
}

impl Party<'_> {
    fn fields(&self, object: &mut Object) {
        object.maybe("session.id", self.session);
        object.maybe("request.id", self.request_id);
        match (self.client, self.unix) {
            (Some((address, _)), _) => object.text("client.address", address),
            (None, Some(path)) => object.text("client.address", path),
            (None, None) => {}
        }
        object.maybe_number("client.port", self.client.and_then(|(_, port)| port));
        object.maybe("network.peer.address", self.peer.map(|(address, _)| address));
        object.maybe_number("network.peer.port", self.peer.and_then(|(_, port)| port));
        object.text("via", self.via);
        object.text("network.transport", if self.unix.is_some() { "unix" } else { "tcp" });
        if let Some((version, cipher)) = &self.tls {
            object.text("tls.version", version);
            object.text("tls.cipher", cipher);
        }
        object.maybe("tls.client.subject", self.subject.as_ref());
        object.maybe("token.hash", self.token);
        object.maybe("user.id", self.user);
        object.maybe("server.address", self.server.map(|(address, _)| address));
        object.maybe_number("server.port", self.server.and_then(|(_, port)| port));
        object.maybe("network.target.address", self.target);
    }
}

/// Path and query apart, as OpenTelemetry has them.
fn target(object: &mut Object, target: &str) {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    object.text("url.path", path);
    object.maybe("url.query", query);
}

fn agent(object: &mut Object, agent: Option<&str>) {
    if let Some(agent) = agent {
        object.text_of("user_agent.original", agent, AGENT_MAX);
    }
}

/// The words of a line, in bytes.
const MESSAGE_MAX: usize = 4096;

/// What a client calls itself, likewise.
pub(super) const AGENT_MAX: usize = 256;

/// A method, likewise.
const WORD_MAX: usize = 32;
