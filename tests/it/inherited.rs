//! Sockets that the program is started with: from inetd as standard input, from a service manager as `LISTEN_FDS`;
//! and what the manager is notified in return.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_getfl};

use crate::common::admin::Admin;
use crate::common::background::{Background, options, run};
use crate::common::client::{Client, UPGRADE};
use crate::common::server::{Server, command, program};
use crate::common::target::Target;
use crate::common::wire::Wire;
use crate::common::{DEADLINE, Scratch, eventually, has};

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("a port")
}

fn visit(listener: &TcpListener) {
    let mut client = Client::connect_to(listener.local_addr().expect("bound")).upgrade();
    client.echo(b"hello");
    client.close();
}

fn copy(socket: &TcpListener) -> OwnedFd {
    socket.try_clone().expect("a copy").into()
}

/// The gateway with a log file in `scratch` and all three standard descriptors on this socket, as systemd's
/// `StandardInput=socket` has it.
fn on_socket(scratch: &Scratch, socket: OwnedFd, args: &[&str]) -> Server {
    let mut command = command(&["-v", "--log-file", &scratch.arg("log")]);
    let clone = || Stdio::from(socket.try_clone().expect("a copy"));
    command.args(args).stdin(clone()).stdout(clone()).stderr(clone());
    Server::spawn(&mut command)
}

fn log_of(scratch: &Scratch) -> String {
    fs::read_to_string(scratch.path("log")).unwrap_or_default()
}

#[test]
fn a_listening_standard_input_is_served() {
    let (target, socket) = (Target::tcp().echo(), listener());
    let mut command = command(&["--inetd", &target.address]);
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    command.stdin(copy(&socket)).stderr(writer.try_clone().expect("a copy"));
    let mut server = Server::spawn(&mut command);
    drop(command);
    visit(&socket);
    visit(&socket);
    let flags = fcntl_getfl(&writer).expect("flags");
    assert!(!flags.contains(OFlags::NONBLOCK), "standard error belongs to others, too");
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    drop(writer);
    let mut log = String::new();
    reader.read_to_string(&mut log).expect("text");
    let start = "WebSocket server settings:\n  - Listen for inetd connections\n";
    assert!(log.starts_with(start), "{log}");
    assert!(log.contains(&format!("  - proxying from inetd to {}\n", target.address)), "{log}");
}

#[test]
fn with_all_descriptors_on_a_listening_socket_no_log_line_reaches_a_client() {
    let (target, socket, scratch) = (Target::tcp().echo(), listener(), Scratch::new());
    let mut server = on_socket(&scratch, copy(&socket), &["--inetd", &target.address]);
    for _ in 0..5 {
        visit(&socket);
    }
    eventually("the sessions in the log", || log_of(&scratch).matches("connecting to: ").count() == 5);
    for number in 0..3 {
        let link = fs::read_link(format!("/proc/{}/fd/{number}", server.pid())).expect("it is open");
        assert_eq!(link, Path::new("/dev/null"), "descriptor {number}");
    }
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_listening_unix_socket_is_served_and_its_file_stays() {
    let (scratch, target) = (Scratch::new(), Target::tcp().echo());
    let socket = UnixListener::bind(scratch.path("w.sock")).expect("a socket");
    let mut server = on_socket(&scratch, socket.into(), &["--inetd", &target.address]);
    for _ in 0..2 {
        let mut client = Client::connect_unix(&scratch.path("w.sock")).upgrade();
        client.echo(b"hello");
        client.close();
    }
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    assert!(scratch.path("w.sock").exists(), "the file is the manager's");
}

/// The command line of the field: a listening socket, the web server and a Unix target.
#[test]
fn the_command_line_that_others_use_with_inetd_works() {
    let (scratch, socket) = (Scratch::new(), listener());
    fs::write(scratch.path("vnc.html"), "page").expect("a file");
    let target = Target::unix(&scratch.path("vnc.sock")).echo();
    let web = format!("--web={}", scratch.arg(""));
    let unix = format!("--unix-target={}", target.address);
    let mut server = on_socket(&scratch, copy(&socket), &["--inetd", &web, &unix]);
    visit(&socket);
    let mut client = Client::connect_to(socket.local_addr().expect("bound"));
    client.wire.send(b"GET /vnc.html HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(client.read_answer_to_end().body, "page");
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_connected_standard_input_is_served_and_then_the_program_ends() {
    let target = Target::tcp().echo();
    let (socket, scratch) = (listener(), Scratch::new());
    let near = TcpStream::connect(socket.local_addr().expect("bound")).expect("connected");
    let (far, _) = socket.accept().expect("a connection");
    let mut server = on_socket(&scratch, far.into(), &["--inetd", &target.address]);
    // Upgrading and echoing, the client would stumble over every byte of a log line.
    let mut client = Client { wire: Wire::new(near.into()) }.upgrade();
    client.echo(b"hello");
    client.close();
    assert_eq!(server.wait().code(), Some(0));
    let log = log_of(&scratch);
    assert!(log.contains("127.0.0.1: Plain non-SSL (ws://) WebSocket connection"), "{log}");
}

#[test]
fn a_connected_unix_socket_is_served_and_then_the_program_ends() {
    let (target, scratch) = (Target::tcp().echo(), Scratch::new());
    let (near, far) = UnixStream::pair().expect("a pair");
    let mut server = on_socket(&scratch, far.into(), &["--inetd", &target.address, "--workers", "2"]);
    let mut client = Client { wire: Wire::new(OwnedFd::from(near).into()) }.upgrade();
    client.echo(b"hello");
    client.close();
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_connected_client_that_asks_for_a_page_or_leaves_ends_the_program_too() {
    for request in ["GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", ""] {
        let scratch = Scratch::new();
        let (mut near, far) = UnixStream::pair().expect("a pair");
        let mut server = on_socket(&scratch, far.into(), &["--inetd", "127.0.0.1:1"]);
        near.write_all(request.as_bytes()).expect("room");
        near.shutdown(std::net::Shutdown::Write).expect("its end");
        let mut answer = String::new();
        near.read_to_string(&mut answer).expect("text");
        assert_eq!(answer.starts_with("HTTP/1.1 405 "), !request.is_empty(), "{answer}");
        assert_eq!(server.wait().code(), Some(0));
    }
}

#[test]
fn a_standard_input_that_is_no_stream_socket_is_an_error() {
    let udp: OwnedFd = UdpSocket::bind("127.0.0.1:0").expect("a socket").into();
    let null: OwnedFd = fs::File::open("/dev/null").expect("a device").into();
    for (stdin, told) in [
        (null, "websockify: error: --inetd needs a socket as standard input"),
        (udp, "websockify: error: the socket standard input: not a stream socket"),
    ] {
        let mut server = Server::spawn(command(&["--inetd", "127.0.0.1:1"]).stdin(stdin));
        assert_eq!(server.wait().code(), Some(1), "{told}");
        let lines = server.log.wait_for_end();
        assert_eq!(lines.last().map(String::as_str), Some(told), "{lines:?}");
    }
}

#[test]
fn not_even_an_error_in_the_command_line_reaches_a_client() {
    let (mut near, far) = UnixStream::pair().expect("a pair");
    let mut server = on_socket(&Scratch::new(), far.into(), &["--inetd", "--no-such-option", "127.0.0.1:1"]);
    let mut answer = String::new();
    near.read_to_string(&mut answer).expect("text");
    assert_eq!((answer.as_str(), server.wait().code()), ("", Some(2)));
}

/// A command that starts the gateway as a service manager does, with two sockets: what is standard input and
/// output of this command.
fn with_two(names: &str, args: &[&str]) -> Command {
    let script = format!(
        "exec 3<&0 4<&1 </dev/null >/dev/null; \
         export LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES={names}; exec \"$@\""
    );
    let mut command = Command::new("sh");
    command.args(["-c", &script, "sh", &program()]).args(args).stderr(Stdio::piped());
    command
}

#[test]
fn several_sockets_from_a_service_manager_are_served() {
    let (target, tcp, scratch) = (Target::tcp().echo(), listener(), Scratch::new());
    let unix = UnixListener::bind(scratch.path("w.sock")).expect("a socket");
    let mut command = with_two("web:local", &[&target.address]);
    command.stdin(copy(&tcp)).stdout(OwnedFd::from(unix));
    let mut server = Server::spawn(&mut command);
    drop(command);
    visit(&tcp);
    let mut client = Client::connect_unix(&scratch.path("w.sock")).upgrade();
    client.echo(b"hello");
    client.close();
    let address = tcp.local_addr().expect("bound");
    server.log.wait_for(&format!("  - Listen on {address}"));
    server.log.wait_for(&format!("  - Listen on unix socket {}", scratch.arg("w.sock")));
    server.log.wait_for(&format!("  - proxying from {address} to {}", target.address));
    let environment = fs::read(format!("/proc/{}/environ", server.pid())).expect("it runs");
    assert!(String::from_utf8_lossy(&environment).contains("LISTEN_FDS"), "the start was as it should be");
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    assert!(scratch.path("w.sock").exists(), "the file is the manager's");
}

#[test]
fn the_source_of_the_command_line_may_be_there_and_differ() {
    let target = Target::tcp().echo();
    for is_same in [true, false] {
        let (tcp, other) = (listener(), listener());
        let port = tcp.local_addr().expect("bound").port();
        let source = if is_same { format!(":{port}") } else { "127.0.0.1:1".to_owned() };
        let mut command = with_two("", &[&source, &target.address]);
        command.stdin(copy(&tcp)).stdout(copy(&other));
        let mut server = Server::spawn(&mut command);
        drop(command);
        visit(&tcp);
        visit(&other);
        let warning = "none of the sockets from the service manager is port 1; they are used anyway";
        if is_same {
            server.log.wait_for(&format!("  - proxying from :{port} to "));
            assert_eq!(server.log.count(warning), 0);
        } else {
            server.log.wait_for(warning);
        }
        server.signal("TERM");
        assert_eq!(server.wait().code(), Some(0));
    }
}

#[test]
fn sockets_that_can_not_be_served_are_refused_by_name() {
    let udp = || OwnedFd::from(UdpSocket::bind("127.0.0.1:0").expect("a socket"));
    for (names, first, told) in [
        ("log:web", udp(), "the socket log: not a stream socket"),
        ("", udp(), "the socket descriptor 3: not a stream socket"),
    ] {
        let mut command = with_two(names, &["127.0.0.1:1"]);
        let mut server = Server::spawn(command.stdin(first).stdout(copy(&listener())));
        assert_eq!(server.wait().code(), Some(1), "{names}");
        let lines = server.log.wait_for_end();
        assert_eq!(lines.last(), Some(&format!("websockify: error: {told}")), "{lines:?}");
    }
    let mut shell = Command::new("sh");
    shell.args([
        "-c",
        "LISTEN_PID=$$ LISTEN_FDS=3 exec \"$@\" 3<&0 4<&0 5<&-",
        "sh",
        &program(),
        "127.0.0.1:1",
    ]);
    let mut server = Server::spawn(shell.stdin(copy(&listener())).stderr(Stdio::piped()));
    assert_eq!(server.wait().code(), Some(1));
    server
        .log
        .wait_for("websockify: error: LISTEN_FDS=3, but not all are open: [Errno 9] Bad file descriptor");
}

#[test]
fn sockets_that_were_meant_for_another_process_are_left_alone() {
    let mut command = command(&["127.0.0.1:1"]);
    command.env("LISTEN_PID", "1").env("LISTEN_FDS", "1");
    let mut server = Server::spawn(&mut command);
    assert_eq!(server.wait().code(), Some(2), "without sockets the source is missing");
    server.log.wait_for("websockify: error: Too few arguments");
}

#[test]
fn sockets_named_admin_and_health_are_the_admins() {
    let (target, web, admin, scratch) = (Target::tcp().echo(), listener(), listener(), Scratch::new());
    let mut command = with_two("web:admin", &[&target.address]);
    let mut server = Server::spawn(command.stdin(copy(&web)).stdout(copy(&admin)));
    drop(command);
    let address = admin.local_addr().expect("bound");
    server.log.wait_for(&format!("  - Admin on {address}"));
    visit(&web);
    let admin = Admin::at(address);
    admin.eventually_ready();
    assert_eq!(admin.get("/api/v1/status").status, 200);
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));

    let health = UnixListener::bind(scratch.path("h.sock")).expect("a socket");
    let mut command = with_two("web:health", &[&target.address]);
    let mut server = Server::spawn(command.stdin(copy(&web)).stdout(OwnedFd::from(health)));
    drop(command);
    server.log.wait_for(&format!("  - Health on {}", scratch.arg("h.sock")));
    visit(&web);
    let health = Admin::at_unix(&scratch.path("h.sock"));
    health.eventually_ready();
    assert_eq!(health.get("/livez").status, 200);
    for path in ["/", "/api/v1/status", "/metrics"] {
        assert_eq!(health.get(path).status, 404, "{path}");
    }
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    assert!(scratch.path("h.sock").exists(), "the file is the manager's");
}

#[test]
fn an_idle_exit_leaves_the_socket_for_the_next_start() {
    let (target, socket) = (Target::tcp().echo(), listener());
    let start = || {
        let mut command = command(&["--inetd", "--idle-timeout", "1", &target.address]);
        Server::spawn(command.stdin(copy(&socket)))
    };
    let mut first = start();
    visit(&socket);
    assert_eq!(first.wait().code(), Some(0));
    // This client comes while nobody serves. It waits in the socket's queue, where a manager would see it.
    let mut client = Client::connect_to(socket.local_addr().expect("bound"));
    client.wire.send(UPGRADE.as_bytes());
    let mut second = start();
    assert_eq!(client.read_head().status, 101);
    client.echo(b"hello");
    client.close();
    assert_eq!(second.wait().code(), Some(0));
}

#[test]
fn systemd_socket_activate_starts_it_for_the_first_client() {
    if !has("systemd-socket-activate") {
        return;
    }
    let (target, scratch) = (Target::tcp().echo(), Scratch::new());
    let address = listener().local_addr().expect("bound");
    let path = scratch.arg("w.sock");
    let mut activate = Command::new("systemd-socket-activate");
    activate.args(["-l", &address.to_string(), "-l", &path, "--fdname=web:local"]);
    activate.args([&program(), &target.address]).stdin(Stdio::null()).stderr(Stdio::piped());
    let mut server = Server::spawn(&mut activate);
    server.log.wait_for(&path);
    // It becomes the gateway with the first client.
    let mut client = Client::connect_to(address).upgrade();
    client.echo(b"hello");
    client.close();
    let mut client = Client::connect_unix(Path::new(&path)).upgrade();
    client.echo(b"hello");
    client.close();
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    server.log.wait_for(&format!("  - proxying from {address} to {}", target.address));
}

#[test]
fn systemd_socket_activate_can_accept_for_it_too() {
    if !has("systemd-socket-activate") {
        return;
    }
    let target = Target::tcp().echo();
    let address = listener().local_addr().expect("bound");
    for flags in [&["--accept"][..], &["--accept", "--inetd"]] {
        let mut activate = Command::new("systemd-socket-activate");
        activate.args(flags).args(["-l", &address.to_string(), &program()]);
        if flags.contains(&"--inetd") {
            activate.arg("--inetd");
        }
        activate.args([&target.address]).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut server = Server::spawn(&mut activate);
        server.log.wait_for("Listening on ");
        for _ in 0..2 {
            let mut client = Client::connect_to(address).upgrade();
            client.echo(b"hello");
            client.close();
        }
        server.signal("TERM");
        server.wait();
    }
}

/// A service manager: where it listens, and its socket.
fn manager() -> (String, UnixDatagram) {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let name = format!("wsk-manager-{}-{number}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let socket = UnixDatagram::bind_addr(&address).expect("a socket");
    socket.set_read_timeout(Some(DEADLINE)).expect("an option");
    (format!("@{name}"), socket)
}

fn told(manager: &UnixDatagram) -> String {
    let mut space = [0; 512];
    let count = manager.recv(&mut space).expect("a datagram");
    String::from_utf8_lossy(&space[..count]).into_owned()
}

#[test]
fn the_manager_is_told_when_it_is_ready_and_when_it_stops() {
    let target = Target::tcp().echo();
    let (address, manager) = manager();
    let mut command = command(&["--workers", "3", "127.0.0.1:0", &target.address]);
    let mut server = Server::spawn(command.env("NOTIFY_SOCKET", address));
    assert_eq!(told(&manager), "READY=1");
    server.wait_until_it_listens();
    let mut client = Client::open(&server);
    client.echo(b"hello");
    server.signal("TERM");
    assert_eq!(told(&manager), "STOPPING=1");
    client.closed_with(1001);
    drop(client);
    assert_eq!(server.wait().code(), Some(0));
    manager.set_nonblocking(true).expect("an option");
    assert!(manager.recv(&mut [0; 64]).is_err(), "it is told once");
}

#[test]
fn a_daemon_tells_the_manager_who_it_is() {
    let target = Target::tcp();
    let (address, manager) = manager();
    let scratch = Scratch::new();
    let mut command = Command::new(program());
    command.args(options(&scratch)).args(["127.0.0.1:0", &target.address]).env("NOTIFY_SOCKET", address);
    assert!(run(&mut command).status.success());
    let gateway = Background::found(scratch);
    assert_eq!(told(&manager), format!("MAINPID={}\nREADY=1", gateway.pid));
}

#[test]
fn the_watchdog_is_fed_while_it_serves_and_while_it_ends() {
    let target = Target::tcp().echo();
    let (address, manager) = manager();
    let mut command = command(&["--workers", "2", "--timeout", "1", "127.0.0.1:0", &target.address]);
    command.env("NOTIFY_SOCKET", address).env("WATCHDOG_USEC", "200000");
    let mut server = Server::launch(&mut command);
    let mut client = Client::open(&server);
    assert_eq!(told(&manager), "READY=1");
    let mut words = Vec::new();
    while !words.contains(&"STOPPING=1".to_owned()) {
        words.push(told(&manager));
    }
    assert!(words.iter().filter(|word| *word == "WATCHDOG=1").count() >= 3, "{words:?}");
    // One worker has ended by now; the other one still has a client.
    for _ in 0..5 {
        assert_eq!(told(&manager), "WATCHDOG=1");
    }
    client.echo(b"still served");
    client.close();
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_manager_that_reads_nothing_or_is_not_there_holds_up_nothing() {
    let target = Target::tcp().echo();
    let (deaf, _manager) = manager();
    let filler = UnixDatagram::unbound().expect("a socket");
    filler.set_write_timeout(Some(Duration::from_millis(10))).expect("an option");
    let to = SocketAddr::from_abstract_name(deaf.trim_start_matches('@')).expect("a name");
    while filler.send_to_addr(b"x", &to).is_ok() {}
    for (address, line) in [
        (deaf.as_str(), "the service manager can't be reached: [Errno 11] "),
        ("/nowhere/notify", "the service manager can't be reached: [Errno 2] "),
        ("nonsense", "NOTIFY_SOCKET nonsense: neither a path nor an abstract name"),
    ] {
        let mut command = command(&["127.0.0.1:0", &target.address]);
        let mut server = Server::launch(command.env("NOTIFY_SOCKET", address));
        let mut client = Client::open(&server);
        client.echo(b"hello");
        client.close();
        server.log.wait_for(line);
        server.signal("TERM");
        assert_eq!(server.wait().code(), Some(0));
    }
}
