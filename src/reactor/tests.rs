//! A reactor with real sockets: several listeners, and frontends that are exchanged while it runs.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::*;
use crate::conn::end::Kind;
use crate::conn::frontend::{Destination, Sessions};
use crate::conn::report;
use crate::conn::rig::wire;
use crate::conn::rig::{Setup, frontend};
use crate::health::Health;
use crate::http::response::Status;
use crate::id::Instance;
use crate::limit::Places;
use crate::log::Log;
use crate::net::listen::Address;
use crate::net::transport::Transport;
use crate::resolve::Resolver;
use crate::target::Target;

/// A running reactor.
struct Running {
    handle: Handle,
    ports: Vec<u16>,
    notices: Receiver<Notice>,
}

impl Running {
    /// One that listens as often as there are frontends.
    fn start(frontends: Vec<Arc<Frontend>>) -> Running {
        let address = Address::Tcp { host: "127.0.0.1".into(), port: 0, prefer_ipv6: false };
        let listeners: Vec<Listener> =
            frontends.iter().map(|_| Listener::bind(&address).expect("a port")).collect();
        let ports = listeners.iter().map(|listener| listener.port().expect("TCP")).collect();
        let (sender, notices) = channel();
        let options = Options {
            index: 0,
            held_bytes_max: 1 << 20,
            pipes_max: 1,
            shared: Arc::new(Shared {
                instance: Instance::draw(),
                log: Arc::new(Log::in_memory(true)),
                resolver: Resolver::default(),
                limiter: report::limiter(),
                places: Places { connections_max: 100, open_files: None },
                once: None,
                accepted: 0.into(),
                health: Health::default(),
                metrics: Vec::new(),
            }),
            frontends: frontends.into(),
            metrics: Arc::new(Metrics::new(Kind::ALL.len(), Status::all().count())),
            half_open: Arc::default(),
        };
        let notify = Box::new(move |notice| drop(sender.send(notice)));
        let mut reactor = Reactor::new(options, notify).expect("a poll");
        let handle = reactor.handle();
        reactor.listen(listeners, vec![handle.clone()], 10).expect("watched");
        std::thread::spawn(move || reactor.run());
        Running { handle, ports, notices }
    }

    fn connect(&self, listener: usize) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.ports[listener])).expect("accepted");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        stream
    }

    /// A session at this listener, past its 101.
    fn session(&self, listener: usize) -> TcpStream {
        let mut stream = self.connect(listener);
        stream.write_all(wire::REQUEST).expect("written");
        assert!(head(&mut stream).starts_with("HTTP/1.1 101 "));
        stream
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.control(Control::Drain(Duration::ZERO));
        while !matches!(self.notices.recv_timeout(PATIENCE), Ok(Notice::ReactorEnded(..)) | Err(_)) {}
    }
}

/// A target that sends its name to each who connects, and then what it gets back.
fn target(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("accepted");
            std::thread::spawn(move || {
                let mut echo = stream.try_clone().expect("a descriptor");
                let _ = stream.write_all(name.as_bytes());
                let _ = std::io::copy(&mut stream, &mut echo);
            });
        }
    });
    address
}

/// Sessions go to `target`, files come from `web`.
fn frontend_to(target: SocketAddr, web: Option<PathBuf>) -> Arc<Frontend> {
    let address = Target::Tcp { host: target.ip().to_string(), port: target.port() };
    let to = Destination::fixed(address, target.to_string(), false);
    let plain = frontend(&Setup { web, ..Setup::default() });
    Arc::new(Frontend { sessions: Some(Sessions::Fixed(Arc::new(to))), ..plain })
}

/// Reads one head.
fn head(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a whole head");
        bytes.push(byte[0]);
    }
    String::from_utf8(bytes).expect("text")
}

/// Reads one short frame's payload.
fn message(stream: &mut TcpStream) -> String {
    let mut header = [0; 2];
    stream.read_exact(&mut header).expect("a header");
    let mut payload = vec![0; usize::from(header[1])];
    stream.read_exact(&mut payload).expect("a payload");
    String::from_utf8(payload).expect("text")
}

/// Asks for a file on a connection that stays.
fn fetch(stream: &mut TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).expect("written");
    let head = head(stream);
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let mut body = vec![0; length.expect("a length").parse().expect("a number")];
    stream.read_exact(&mut body).expect("a body");
    String::from_utf8(body).expect("text")
}

const FILE: &str = "GET /file HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn the_clients_of_each_listener_get_what_its_frontend_says() {
    let running = Running::start(vec![
        frontend_to(target("first"), None),
        frontend_to(target("second"), None),
        Arc::new(Frontend { sessions: None, ..frontend(&Setup::default()) }),
    ]);
    assert_eq!(message(&mut running.session(0)), "first");
    assert_eq!(message(&mut running.session(1)), "second");
    let mut refused = running.connect(2);
    refused.write_all(wire::REQUEST).expect("written");
    assert!(head(&mut refused).starts_with("HTTP/1.1 404 "));
}

#[test]
fn a_reload_changes_what_comes_and_leaves_sessions_alone() {
    let root = std::env::temp_dir().join(format!("websockify-reload-{}", std::process::id()));
    for name in ["old", "new"] {
        std::fs::create_dir_all(root.join(name)).expect("made");
        std::fs::write(root.join(name).join("file"), name).expect("written");
    }
    let running = Running::start(vec![frontend_to(target("old"), Some(root.join("old")))]);
    let mut session = running.session(0);
    assert_eq!(message(&mut session), "old");
    let mut resting = running.connect(0);
    assert_eq!(fetch(&mut resting, FILE), "old");
    let mut begun = running.connect(0);
    begun.write_all(&FILE.as_bytes()[..10]).expect("written");
    let accepted = || running.handle.metrics.accepted.total();
    let deadline = std::time::Instant::now() + PATIENCE;
    while accepted() < 3 {
        assert!(std::time::Instant::now() < deadline, "not accepted");
        std::thread::yield_now();
    }

    let new = frontend_to(target("new"), Some(root.join("new")));
    running.handle.control(Control::Frontends(vec![new].into()));
    // What comes through the inbox behind the reload finds it done.
    assert_eq!(message(&mut running.session(0)), "new");
    assert_eq!(fetch(&mut resting, FILE), "new");
    assert_eq!(fetch(&mut begun, &FILE[10..]), "new");
    session.write_all(&wire::frame(wire::BINARY, b"still here")).expect("written");
    assert_eq!(message(&mut session), "still here");
    std::fs::remove_dir_all(&root).expect("removed");
}

#[test]
fn more_listeners_than_there_are_tokens_are_refused() {
    let address = Address::Tcp { host: "127.0.0.1".into(), port: 0, prefer_ipv6: false };
    let listeners = (0..=accept::DOORS_MAX).map(|_| Listener::bind(&address).expect("a port")).collect();
    let poll = Poll::new().expect("a poll");
    assert!(Acceptor::new(listeners, sys::descriptor(&poll), Vec::new(), 0, Arc::default()).is_err());
}

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn an_idle_session_holds_what_the_architecture_lists() {
    let slot = crate::parts::parts!(Slot: conn, frontend, door, generation, half_open, marked, account);
    let mut parts = [slot, crate::conn::parts()].concat();
    // With debug assertions mio's sockets remember their poll; what is listed is a release build.
    let more = size_of::<Transport>() - TRANSPORT_BYTES;
    for (name, bytes) in &mut parts {
        *bytes -= match *name {
            "Slot.conn" => 2 * more,
            "Conn.client" | "Conn.state" | "Client.socket" | "Relay.target" => more,
            _ => 0,
        };
    }
    let text = include_str!("../../ARCHITECTURE.md");
    let listed: Vec<(&str, usize)> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .filter(|(name, _)| name.contains('.'))
        .filter_map(|(name, rest)| Some((name, rest.split(' ').next()?.parse().ok()?)))
        .collect();
    assert_eq!(listed, parts, "the list in ARCHITECTURE.md and what there is");
    let total = IDLE_BYTES - 2 * more;
    assert!(text.contains(&format!("{total} bytes in all")), "{total} bytes in all");
    assert!(total <= IDLE_BYTES_MAX, "{total} bytes");
}

/// A transport without TLS, as a release build has it.
const TRANSPORT_BYTES: usize = 24;
