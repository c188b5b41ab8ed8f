//! A rig for one connection: it owns what a reactor lends, and the connection between two scripted streams.
//! Time passes when it is told to. What must hold after every single drive is checked here, so that each
//! test and the fuzz target check it everywhere they go. Only they make a rig; it is compiled into the
//! library because fuzz targets can't reach into its tests.

mod tcp;
mod tls;
pub mod wire;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use mio::Poll;
use rustls::{ClientConfig, ClientConnection, ServerConfig};

use super::cx::{Answer, Cx, Inbox, Resources};
use super::end::Kind;
use super::frontend::{Awaited, Destination, Frontend, Proxies, RecordOptions, Sessions, TapeOptions};
use super::relay::Traffic;
use super::report;
use super::shared::Shared;
use super::state::State;
use super::{Accepted, Conn};
use crate::certs::Certificates;
use crate::gate::Gate;
use crate::health::{Health, Phase};
use crate::http::response::Status;
use crate::id::{ConnId, Instance, Side};
use crate::limit::Places;
use crate::log::Log;
use crate::metrics::{Gauge, Metrics};
use crate::net::listen::Peer;
use crate::net::pipe::{KEPT_MAX, Splicer};
use crate::net::scripted::{Handle, Scripted};
use crate::net::socket::{Io, Socket};
use crate::net::tls::UNREAD_MAX;
use crate::net::transport::Transport;
use crate::resolve::{Resolver, Unresolved};
use crate::ring::{HELD_BYTES_MAX, Pool, RING_BYTES};
use crate::target::Target;
use crate::timers::Tick;
use crate::web::{self, Pages};
pub use tcp::Ends;
pub use tls::accept;

/// What the connection lives under.
#[derive(Clone)]
pub struct Setup {
    /// `--heartbeat`.
    pub heartbeat: Option<Duration>,
    /// `--traffic`.
    pub traffic: bool,
    /// `--record`.
    pub record: Option<RecordOptions>,
    /// `--log-format json`, with an access log.
    pub json: bool,
    /// `--run-once`, and whether its one session has begun.
    pub once: Option<bool>,
    /// Whether there is room for the connection.
    pub admitted: bool,
    /// The reactor's budget for bytes that peers refuse.
    pub held_bytes_max: usize,
    /// How many pipes sessions may keep.
    pub pipes_max: usize,
    /// `--web`.
    pub web: Option<PathBuf>,
    /// What TLS clients are served with, and what such a client knows, which this one is then.
    pub tls: Option<(Arc<ServerConfig>, Arc<ClientConfig>)>,
    /// Who decides about requests; the usual one grants all.
    pub gate: Gate,
    /// `--health-path`.
    pub health_path: Option<&'static str>,
    /// The target is a program of ours, which will listen on this Unix socket; and whether it has ended.
    pub program: Option<(PathBuf, Arc<AtomicBool>)>,
    /// `--proxy-protocol`, `--trusted-proxy`, `--real-ip-header` and `--proxy-protocol-out`.
    pub proxies: Proxies,
}

impl Default for Setup {
    fn default() -> Setup {
        let held_bytes_max = HELD_BYTES_MAX;
        Setup {
            heartbeat: None,
            traffic: false,
            record: None,
            json: false,
            once: None,
            admitted: true,
            held_bytes_max,
            pipes_max: KEPT_MAX,
            web: None,
            tls: None,
            gate: Gate::open(),
            health_path: None,
            program: None,
            proxies: Proxies::default(),
        }
    }
}

/// One connection and its surroundings.
pub struct Rig {
    /// The far end of the client's stream.
    pub client: Handle,
    /// The far end of the target's stream.
    pub target: Handle,
    /// The client's end of its TLS session, if it has one. What it wants to write is for the test to pass on.
    pub tls: Option<Box<ClientConnection>>,
    /// Everything that the client was sent, opened if it was sealed.
    pub to_client: Vec<u8>,
    /// Bytes that the client's stream has taken.
    pub client_took: usize,
    /// Everything that the target was sent.
    pub to_target: Vec<u8>,
    /// How many other connections that move much wait for their turn.
    pub bulk_waiting: usize,
    resources: Resources,
    frontend: Arc<Frontend>,
    /// What helpers have found and the connection has not been told.
    answers: Receiver<Answer>,
    /// Dropped when it is gone, as the reactor does.
    conn: Option<Conn>,
    again: bool,
    worked: usize,
    /// The target's stream, until it is dialled.
    undialled: Option<Scripted>,
    /// The same over TCP.
    dialled: Option<mio::net::TcpStream>,
}

impl Rig {
    /// A connection that has just been accepted. Both streams are without bytes and without room.
    pub fn new(setup: &Setup) -> Rig {
        let (stream, client) = Scripted::new([], []);
        let (undialled, target) = Scripted::new([], []);
        let (sender, answers) = channel();
        let mut resources = Resources {
            worker: 0,
            poll: Poll::new().expect("the system has a descriptor to spare"),
            tick: Tick::ZERO,
            rings: Pool::new(setup.held_bytes_max),
            splicer: Splicer::new(setup.pipes_max),
            metrics: Arc::new(Metrics::new(Kind::ALL.len(), Status::all().count())),
            inbox: Inbox::new(move |_, answer| drop(sender.send(answer))),
            shared: Arc::new(shared(setup)),
        };
        let socket = Socket::new(Io::other(stream));
        let frontend = Arc::new(frontend(setup));
        let peer = Peer::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let accepted = Accepted { socket, peer, admitted: setup.admitted, number: 1 };
        let conn = Conn::new(accepted, &resources.to(ID, &frontend));
        Rig {
            client,
            target,
            tls: setup.tls.as_ref().map(|(_, client)| Box::new(tls::client(client))),
            to_client: Vec::new(),
            client_took: 0,
            to_target: Vec::new(),
            bulk_waiting: 0,
            resources,
            frontend,
            answers,
            conn: Some(conn),
            again: false,
            worked: 0,
            undialled: Some(undialled),
            dialled: None,
        }
    }

    /// Drives once, as a turn of the reactor does, and checks what must hold after it.
    ///
    /// # Panics
    /// When something does not hold.
    pub fn drive(&mut self) {
        let idle = self.client.idle_calls() + self.target.idle_calls();
        let driven = self.with(|conn, cx| (conn.drive(cx), cx.again, cx.worked));
        let Some((alive, again, worked)) = driven else { return };
        (self.again, self.worked) = (alive && again, worked);
        if !alive {
            self.conn = None;
        }
        let idle = self.client.idle_calls() + self.target.idle_calls() - idle;
        assert!(idle <= IDLE_CALLS_MAX, "{idle} reads and writes of one drive moved nothing");
        let mut written = self.client.take_written();
        self.client_took += written.len();
        match &mut self.tls {
            None => self.to_client.append(&mut written),
            Some(tls) => tls::open(tls, &written, &mut self.to_client),
        }
        self.to_target.append(&mut self.target.take_written());
        self.check();
    }

    /// Drives until the connection has nothing left to do without an event.
    ///
    /// # Panics
    /// When there is no end to it, or something does not hold.
    pub fn settle(&mut self) {
        for _ in 0..DRIVES_MAX {
            self.drive();
            if !self.again {
                return;
            }
        }
        panic!("no end to the turns in state {}", self.state());
    }

    /// An event of one of the sockets; what it means is done by the next drive.
    pub fn note(&mut self, side: Side, readable: bool, writable: bool, hung_up: bool) {
        let Some(conn) = &mut self.conn else { return };
        let socket = match side {
            Side::Client => Some(conn.client()),
            Side::Target => conn.target(),
        };
        if let Some(socket) = socket {
            socket.note_ready(readable, writable, hung_up);
        }
    }

    /// Both streams are ready for everything they have; drives until nothing is left to do.
    pub fn wake(&mut self) {
        self.note(Side::Client, true, true, false);
        self.note(Side::Target, true, true, false);
        self.settle();
    }

    /// Lets `time` pass, with every deadline coming exactly when it is due.
    ///
    /// # Panics
    /// When a deadline that has come stays, which would keep a reactor from sleeping.
    pub fn advance(&mut self, time: Duration) {
        let end = self.resources.tick.after(time);
        while self.due() <= end {
            self.resources.tick = self.resources.tick.max(self.due());
            self.with(|conn, cx| conn.expired(cx));
            self.settle();
            assert!(
                self.due() > self.resources.tick,
                "a deadline that has come stays, in state {}",
                self.state()
            );
        }
        self.resources.tick = self.resources.tick.max(end);
    }

    /// The process stands still for `time`, as one that was stopped does: all deadlines in it come at once,
    /// at its end.
    pub fn freeze(&mut self, time: Duration) {
        self.resources.tick = self.resources.tick.after(time);
        if self.due() <= self.resources.tick {
            self.with(|conn, cx| conn.expired(cx));
        }
        self.settle();
    }

    /// Dials: the scripted target is connecting from now on, and connected once it is writable. False when
    /// the connection is not there yet, or has a target.
    pub fn dial(&mut self) -> bool {
        let Some(Conn { state: State::Connect(connect), .. }) = &mut self.conn else { return false };
        let Some(stream) = self.undialled.take() else { return false };
        connect.dial_instead(Socket::connecting(Io::other(stream)));
        true
    }

    /// The target's name is answered with this many addresses at which nobody listens, and a last one, at which the
    /// scripted target does. False when the connection is not there yet, or has a target.
    pub fn answer_addresses(&mut self, refused: u8) -> bool {
        let Some(Conn { state: State::Connect(connect), .. }) = &mut self.conn else { return false };
        let Some(stream) = self.undialled.take() else { return false };
        connect.dial_last(Socket::connecting(Io::other(stream)));
        let addresses = (1..=refused + 1).map(|last| SocketAddr::from(([127, 83, 71, last], 0)));
        self.with(|conn, cx| conn.answered(Answer::Resolved(Ok(addresses.collect())), cx.metrics));
        self.settle();
        for _ in 0..refused {
            // A dial that was refused comes as a hang-up.
            let is_refused = matches!(&self.conn, Some(Conn { state: State::Connect(connect), .. }) if connect.tries_others());
            if is_refused {
                self.note(Side::Target, true, true, true);
                self.settle();
            }
        }
        true
    }

    /// The target's name is answered with an error. A late answer does nothing.
    pub fn answer_unknown(&mut self) {
        let words = String::from("Name or service not known");
        self.with(|conn, cx| conn.answered(Answer::Resolved(Err(Unresolved(words))), cx.metrics));
        self.settle();
    }

    /// Waits for what a helper has been asked, and tells the connection.
    ///
    /// # Panics
    /// When no helper answers.
    pub fn answer_from_helper(&mut self) {
        let answer = self.answers.recv_timeout(HELPER_PATIENCE).expect("a helper was asked");
        self.with(|conn, cx| conn.answered(answer, cx.metrics));
        self.settle();
    }

    /// Whether the web server waits for a helper.
    pub fn is_asking(&self) -> bool {
        matches!(&self.conn, Some(Conn { state: State::Serve(serve), .. }) if serve.is_asking())
    }

    /// Bytes of an answer of the web server that wait for the client.
    pub fn answer_bytes(&self) -> usize {
        match &self.conn {
            Some(Conn { state: State::Serve(serve), .. }) => serve.held_bytes(),
            _ => 0,
        }
    }

    /// The process ends: everything is cut after `patience`.
    pub fn drain(&mut self, patience: Duration) {
        let cut_at = self.resources.tick.after(patience);
        self.with(|conn, cx| conn.drain(cut_at, cx));
        self.settle();
    }

    /// What a reactor does with the longest stalled session when its budget is spent; false when this one
    /// is not stalled.
    pub fn end_overcommitted(&mut self) -> bool {
        if self.conn.as_ref().is_none_or(|conn| conn.burden().is_none()) {
            return false;
        }
        self.with(|conn, cx| conn.overcommitted(cx));
        self.settle();
        true
    }

    /// Claims the one session of `--run-once`; false when it has begun already.
    pub fn claims_session(&self) -> bool {
        self.resources.shared.claim_session()
    }

    /// Bytes that the last drive has worked on.
    pub fn worked(&self) -> usize {
        self.worked
    }

    /// What the session has moved.
    pub fn traffic(&self) -> Option<Traffic> {
        self.conn.as_ref()?.traffic().copied()
    }

    /// Gives unused rings back.
    pub fn trim(&mut self) {
        self.resources.rings.trim();
    }

    /// Whether the connection is still there.
    pub fn is_alive(&self) -> bool {
        self.conn.is_some()
    }

    /// Whether both streams are closed, the target's only if it was dialled.
    pub fn is_released(&self) -> bool {
        self.client.is_dropped() && (self.undialled.is_some() || self.target.is_dropped())
    }

    /// Whether the reactor holds more than its budget.
    pub fn is_overcommitted(&self) -> bool {
        self.resources.rings.is_overcommitted()
    }

    /// Bytes held for the connection beyond a turn.
    pub fn held_bytes(&self) -> usize {
        self.resources.rings.held_bytes()
    }

    /// Bytes for which it can be ended when memory is short, and for how long they have waited.
    pub fn burden(&self) -> Option<(usize, Duration)> {
        let (bytes, since, _) = self.conn.as_ref()?.burden()?;
        Some((bytes, self.resources.tick.since(since)))
    }

    /// Time until the connection's deadline, if it has one.
    pub fn deadline(&self) -> Option<Duration> {
        (self.due() != Tick::NEVER).then(|| self.due().since(self.resources.tick))
    }

    /// How the connection has ended, by name; empty while it has not.
    pub fn endings(&self) -> Vec<&'static str> {
        let counts = self.resources.metrics.endings().enumerate();
        counts.flat_map(|(kind, count)| (0..count).map(move |_| Kind::ALL[kind].name())).collect()
    }

    /// What was logged since the last call.
    pub fn take_log(&self) -> String {
        self.resources.shared.log.take_lines()
    }

    /// Marks of `--traffic` since the last call.
    pub fn take_traffic(&self) -> String {
        self.resources.shared.log.take_traffic()
    }

    /// What was written to the access log since the last call.
    pub fn take_access_log(&self) -> String {
        self.resources.shared.log.take_access_lines()
    }

    /// The name of the connection's state.
    pub fn state(&self) -> &'static str {
        self.conn.as_ref().map_or(&State::Gone, |conn| &conn.state).name()
    }

    /// What the next requests get; as a reactor has it, a connection is given it only before a head.
    pub fn reload(&mut self, frontend: Frontend) {
        if self.conn.as_ref().is_some_and(Conn::awaits_head) {
            self.frontend = Arc::new(frontend);
        }
    }

    /// What must hold after each drive, whatever has happened.
    fn check(&self) {
        let (state, endings) = (self.state(), self.endings());
        let held = self.resources.rings.held_bytes();
        let is_tcp = |conn: &Conn| matches!(&conn.client.socket, Transport::Plain(socket) if socket.is_tcp());
        let in_pipe = if self.conn.as_ref().is_some_and(is_tcp) { PIPE_BYTES_MAX } else { 0 };
        assert!(held <= SESSION_BYTES_MAX + in_pipe, "{held} bytes are held in state {state}");
        let burden = self.conn.as_ref().and_then(Conn::burden).map_or(0, |(bytes, ..)| bytes);
        assert!(held <= burden, "{held} bytes are held in state {state}, which knows of {burden}");
        let owed = self.conn.as_ref().map_or(0, |conn| conn.client.out.len());
        assert!(owed <= OUT_BYTES_MAX, "{owed} bytes of control frames wait in state {state}");
        if let Some(traffic) = self.traffic() {
            let (up, down) = (&self.resources.metrics.bytes_up, &self.resources.metrics.bytes_down);
            assert_eq!((traffic.bytes_up, traffic.bytes_down), (up.total(), down.total()), "of one session");
        }
        let over = matches!(state, "reply" | "close" | "gone");
        assert_eq!(endings.len(), usize::from(over), "endings in state {state}: {endings:?}");
        let metrics = &self.resources.metrics;
        let sum = |gauges: &[Gauge]| gauges.iter().map(Gauge::value).sum::<u64>();
        assert_eq!(sum(&metrics.stages), u64::from(self.conn.is_some()), "of one connection");
        let is_session = self.conn.as_ref().is_some_and(|conn| conn.is_upgraded() && !conn.ended);
        assert_eq!(sum(&metrics.sessions), u64::from(is_session), "in state {state}");
        let waits = sum(&metrics.stalled);
        assert!(waits <= 2 * u64::from(state == "relay"), "{waits} directions wait in state {state}");
        if self.conn.is_none() {
            assert_eq!(held, 0, "bytes are held for a connection that is gone");
            assert!(self.is_released(), "a socket is left open");
            return;
        }
        // Only a session that owes nothing to anybody may wait for ever. For the rest of what has begun to come
        // it is its peers that owe.
        let kept = self.conn.as_ref().map_or(0, |conn| conn.kept_bytes as usize);
        let owes = held > kept || owed > 0 || self.client.is_refusing() || self.target.is_refusing();
        assert!(
            self.again || self.deadline().is_some() || (state == "relay" && !owes),
            "no deadline in {state}"
        );
    }

    fn due(&self) -> Tick {
        self.conn.as_ref().map_or(Tick::NEVER, Conn::deadline)
    }

    fn with<R>(&mut self, act: impl FnOnce(&mut Conn, &mut Cx<'_>) -> R) -> Option<R> {
        let mut cx = self.resources.to(ID, &self.frontend);
        cx.bulk_waiting = self.bulk_waiting;
        Some(act(self.conn.as_mut()?, &mut cx))
    }
}

/// What all connections share in this setup.
pub fn shared(setup: &Setup) -> Shared {
    Shared {
        instance: Instance::draw(),
        log: Arc::new(if setup.json { Log::in_memory_as_json(true) } else { Log::in_memory(true) }),
        resolver: Resolver::silent(HOST),
        limiter: report::limiter(),
        places: Places { connections_max: 100, open_files: None },
        once: setup.once.map(AtomicBool::new),
        accepted: AtomicU64::new(1),
        health: serving(),
        metrics: Vec::new(),
    }
}

/// A service that every reactor of serves.
fn serving() -> Health {
    let health = Health::default();
    health.enter(Phase::Serving);
    health
}

/// What a listener's clients get in this setup.
pub fn frontend(setup: &Setup) -> Frontend {
    Frontend {
        tls: setup.tls.as_ref().map(|(server, _)| Arc::new(Certificates::fixed(Arc::clone(server)))),
        tls_only: false,
        gate: setup.gate.clone(),
        sessions: Some(Sessions::Fixed(Arc::new(destination(setup)))),
        pages: setup.web.as_ref().map(|root| {
            let settings = web::Settings { root: root.clone(), ..web::Settings::default() };
            Arc::new(Pages::open(settings).expect("the test has made its directory"))
        }),
        target_tls: None,
        heartbeat: setup.heartbeat,
        tape: (setup.traffic || setup.record.is_some())
            .then(|| TapeOptions { traffic: setup.traffic, record: setup.record.clone() }),
        health_path: setup.health_path.map(Into::into),
        proxies: setup.proxies.clone(),
    }
}

fn destination(setup: &Setup) -> Destination {
    match &setup.program {
        Some((path, over)) => {
            let awaited = Awaited { target: Target::Unix(path.clone()), over: Arc::clone(over) };
            Destination::program(awaited, "program", 5901, false)
        }
        None => {
            let target = Target::Tcp { host: HOST.into(), port: PORT };
            Destination::fixed(target, format!("{HOST}:{PORT}"), false)
        }
    }
}

/// Where nobody listens on any machine.
const PORT: u16 = 1;

/// The target's name, which nobody looks up.
const HOST: &str = "target.invalid";

const ID: ConnId = ConnId { slot: 0, generation: 1 };

/// What a session may hold: a ring for each direction, and what its client's TLS keeps.
const SESSION_BYTES_MAX: usize = 2 * RING_BYTES + UNREAD_MAX;

/// What is on its way between real sockets may stay in a pipe.
const PIPE_BYTES_MAX: usize = 512 * 1024;

/// What may wait for a frame boundary: an answer of HTTP, a bounded queue of pongs, one more of the largest
/// and a Close.
const OUT_BYTES_MAX: usize = 2048;

/// Reads and writes of one drive that may move nothing: each stream may block, end or fail in each
/// direction, once in the relay and once in what follows it.
const IDLE_CALLS_MAX: usize = 8;

/// Far more than a helper needs to read a small file on a busy machine.
const HELPER_PATIENCE: Duration = Duration::from_secs(20);

/// More turns than any test has work for.
const DRIVES_MAX: usize = 10_000;
