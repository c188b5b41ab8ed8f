//! Where the gateway listens and what it dials: IPv4, IPv6 and Unix sockets at both ends, and what
//! becomes of the files.

use std::net::TcpStream;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use socket2::Socket;

use crate::common::client::Client;
use crate::common::frame::Frame;
use crate::common::server::{Server, command};
use crate::common::target::Target;
use crate::common::wire::Wire;
use crate::common::{Scratch, eventually};

fn client(socket: impl Into<Socket>) -> Client {
    Client { wire: Wire::new(socket.into()) }.upgrade()
}

/// The addresses that the gateway listens on, told by the kernel: another program may have the same port on
/// an address that this one left alone, so connecting there would prove nothing.
fn listened_on(server: &Server) -> Vec<String> {
    server.listeners().into_iter().map(|listener| listener.address).collect()
}

fn is_socket(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|data| data.file_type().is_socket())
}

#[test]
fn an_ipv6_address_is_listened_on() {
    let target = Target::tcp().echo();
    let server = Server::start(&["[::1]:0", &target.address]);
    let stream = TcpStream::connect(("::1", server.port)).expect("connect over IPv6");
    client(stream).echo(b"over IPv6");
    let line = server.log.wait_for("Plain non-SSL (ws://) WebSocket connection");
    assert!(crate::common::log::message(&line, "::1").is_some(), "{line}");
    assert_eq!(listened_on(&server), ["00000000000000000000000001000000"], "only this address was asked for");
}

#[test]
fn prefer_ipv6_listens_on_both() {
    let target = Target::tcp().echo();
    for option in ["-6", "--prefer-ipv6"] {
        let server = Server::start(&[option, "0", &target.address]);
        for host in ["127.0.0.1", "::1"] {
            let stream = TcpStream::connect((host, server.port)).expect("connect");
            client(stream).echo(host.as_bytes());
        }
        // An IPv4 client of a dual-stack socket is still that IPv4 client in the log.
        server.log.wait_for("127.0.0.1: Plain non-SSL (ws://) WebSocket connection");
    }
}

#[test]
fn without_a_host_only_ipv4_is_listened_on() {
    let target = Target::tcp();
    let server = Server::start(&["0", &target.address]);
    assert_eq!(listened_on(&server), ["00000000"]);
    client(TcpStream::connect(("127.0.0.1", server.port)).expect("connect over IPv4"));
}

#[test]
fn an_ipv6_target_is_dialled() {
    let listener = std::net::TcpListener::bind("[::1]:0").expect("bind");
    let port = listener.local_addr().expect("bound").port();
    let server = Server::start(&["127.0.0.1:0", &format!("[::1]:{port}")]);
    let mut client = Client::open(&server);
    client.send_binary(b"over IPv6");
    let (stream, _) = listener.accept().expect("accept");
    assert_eq!(Wire::new(stream.into()).read_exactly(9), b"over IPv6");
}

#[test]
fn the_target_0_0_0_0_is_this_host() {
    let target = Target::tcp();
    let server = Server::start(&["127.0.0.1:0", &format!("0.0.0.0:{}", target.port())]);
    let mut client = Client::open(&server);
    client.send_binary(b"here");
    assert_eq!(target.accept().read_exactly(4), b"here");
}

#[test]
fn a_name_without_an_address_is_1011() {
    let server = Server::start(&["127.0.0.1:0", "no-such-host.invalid:5900"]);
    let mut client = Client::open(&server);
    assert_eq!(client.closed_with(1011), "Failed to connect to downstream server");
    server.log.wait_for("Failed to connect to no-such-host.invalid:5900: ");
}

#[test]
fn a_name_is_resolved() {
    let target = Target::tcp();
    let server = Server::start(&["localhost:0", &format!("localhost:{}", target.port())]);
    server.log.wait_for(&format!("  - Listen on localhost:{}", server.port));
    let mut client = Client::open(&server);
    client.send_binary(b"by name");
    assert_eq!(target.accept().read_exactly(7), b"by name");
}

#[test]
fn a_unix_listener_has_mode_0600() {
    let (scratch, target) = (Scratch::new(), Target::tcp().echo());
    let server = Server::start(&["--unix-listen", &scratch.arg("ws"), &target.address]);
    let path = scratch.path("ws");
    server.log.wait_for(&format!("  - Listen on unix socket {}", path.display()));
    let mode = std::fs::metadata(&path).expect("the socket is there").permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    Client::connect_unix(&path).upgrade().echo(b"over a Unix socket");
    server.log.wait_for(&format!("  - proxying from {} to {}", path.display(), target.address));
    // Its clients have no address: the socket's path stands for it.
    let path = crate::common::text(&path);
    let line = server.log.wait_for("Plain non-SSL (ws://) WebSocket connection");
    let expected = format!("{path}: Plain non-SSL (ws://) WebSocket connection");
    assert_eq!(crate::common::log::message(&line, &path), Some(expected.as_str()));
}

#[test]
fn the_mode_of_a_unix_listener_can_be_told() {
    let (scratch, target) = (Scratch::new(), Target::tcp());
    for (text, mode) in [("0660", 0o660), ("666", 0o666), ("0o640", 0o640)] {
        let path = scratch.path(text);
        let option = format!("--unix-listen={}", path.display());
        let _server = Server::start(&[&option, "--unix-listen-mode", text, &target.address]);
        let found = std::fs::metadata(&path).expect("the socket is there").permissions().mode();
        assert_eq!(found & 0o7777, mode, "{text}");
    }
}

#[test]
fn a_unix_listener_is_removed_at_exit() {
    let (scratch, target) = (Scratch::new(), Target::tcp());
    let mut server = Server::start(&["--unix-listen", &scratch.arg("ws"), &target.address]);
    assert!(is_socket(&scratch.path("ws")));
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    assert!(!scratch.path("ws").exists());
}

#[test]
fn a_socket_that_a_killed_program_left_is_replaced() {
    let (scratch, target) = (Scratch::new(), Target::tcp().echo());
    let path = scratch.path("ws");
    drop(UnixListener::bind(&path).expect("bind"));
    assert!(is_socket(&path));
    let mut server = Server::start(&["--unix-listen", &scratch.arg("ws"), &target.address]);
    Client::connect_unix(&path).upgrade().echo(b"the new one");
    server.signal("KILL");
    server.wait();
    assert!(is_socket(&path), "a killed program leaves its socket");
    let _server = Server::start(&["--unix-listen", &scratch.arg("ws"), &target.address]);
    Client::connect_unix(&path).upgrade().echo(b"the next one");
}

#[test]
fn a_live_socket_is_not_stolen() {
    let (scratch, target) = (Scratch::new(), Target::tcp().echo());
    let path = scratch.path("ws");
    let _first = Server::start(&["--unix-listen", &scratch.arg("ws"), &target.address]);
    let mut second = Server::spawn(&mut command(&["--unix-listen", &scratch.arg("ws"), &target.address]));
    assert_eq!(second.wait().code(), Some(1));
    second.log.wait_for("Opening socket failed: ");
    assert!(is_socket(&path));
    Client::connect_unix(&path).upgrade().echo(b"still the first");
}

#[test]
fn a_file_that_is_no_socket_is_never_deleted() {
    let (scratch, target) = (Scratch::new(), Target::tcp());
    std::fs::write(scratch.path("file"), "precious").expect("write a file");
    std::fs::create_dir(scratch.path("dir")).expect("make a directory");
    std::os::unix::fs::symlink(scratch.path("file"), scratch.path("link")).expect("make a link");
    for name in ["file", "dir", "link"] {
        let mut server = Server::spawn(&mut command(&["--unix-listen", &scratch.arg(name), &target.address]));
        assert_eq!(server.wait().code(), Some(1), "{name}");
        server.log.wait_for("Opening socket failed: ");
    }
    assert_eq!(std::fs::read_to_string(scratch.path("file")).expect("still there"), "precious");
    assert!(scratch.path("dir").is_dir());
    assert!(scratch.path("link").is_symlink());
}

#[test]
fn a_unix_listener_that_was_replaced_is_not_removed_at_exit() {
    let (scratch, target) = (Scratch::new(), Target::tcp());
    let path = scratch.path("ws");
    let mut server = Server::start(&["--unix-listen", &scratch.arg("ws"), &target.address]);
    std::fs::remove_file(&path).expect("remove the socket");
    let _successor = UnixListener::bind(&path).expect("bind");
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    assert!(is_socket(&path), "the socket of another program was removed");
}

#[test]
fn a_unix_target_is_dialled() {
    let scratch = Scratch::new();
    let target = Target::unix(&scratch.path("vnc"));
    let server = Server::start(&["--unix-target", &target.address, "127.0.0.1:0"]);
    server.log.wait_for(&format!("  - proxying from 127.0.0.1:{} to {}", server.port, target.address));
    let mut client = Client::open(&server);
    client.send_binary(b"over a Unix socket");
    let mut wire = target.accept();
    assert_eq!(wire.read_exactly(18), b"over a Unix socket");
    server.log.wait_for(&format!("connecting to unix socket: {}", target.address));
    let sending = std::thread::spawn(move || wire.send_pattern(1 << 20));
    client.check_data(1 << 20);
    assert_eq!(client.closed(), (Some(1000), "Target closed".to_owned()));
    sending.join().expect("all was sent");
}

#[test]
fn a_target_without_a_host_is_this_one_and_is_told_as_it_was_given() {
    let target = Target::tcp().echo();
    let (_, port) = target.address.rsplit_once(':').expect("an address");
    let server = Server::start(&["127.0.0.1:0", &format!(":{port}")]);
    server.log.wait_for(&format!("  - proxying from 127.0.0.1:{} to :{port}", server.port));
    let mut client = Client::open(&server);
    client.echo(b"hello");
    server.log.wait_for(&format!("] connecting to: :{port}"));
}

#[test]
fn paths_of_unix_sockets_are_told_as_they_were_given() {
    let scratch = Scratch::new();
    let _target = Target::unix(&scratch.path("vnc")).echo();
    for (listen, target) in [("ws", "./vnc"), ("./ws", "vnc"), ("..//DIR/ws", "../DIR/vnc")] {
        let directory = scratch.path("");
        let name = directory.file_name().and_then(|name| name.to_str()).expect("UTF-8");
        let (listen, target) = (listen.replace("DIR", name), target.replace("DIR", name));
        let mut command = command(&["-v", "--unix-listen", &listen, "--unix-target", &target]);
        let mut server = Server::spawn(command.current_dir(&directory));
        server.log.wait_for(&format!("  - proxying from {listen} to {target}"));
        let mut client = Client::connect_unix(&scratch.path("ws")).upgrade();
        client.echo(b"hello");
        client.close();
        server.log.wait_for(&format!("] {target}: Closed target"));
        server.signal("TERM");
        server.wait();
        let lines = server.log.wait_for_end();
        for told in [
            format!("  - Listen on unix socket {listen}"),
            format!("{listen}: new connection"),
            format!("{listen}: Plain non-SSL (ws://) WebSocket connection"),
            format!("connecting to unix socket: {target}"),
        ] {
            assert!(lines.iter().any(|line| line.ends_with(&told)), "{told}: {lines:#?}");
        }
        let about_clients = lines.iter().filter(|line| line.contains(" - - ["));
        about_clients.for_each(|line| assert!(line.starts_with(&format!("{listen} - - [")), "{line}"));
    }
}

#[test]
fn a_unix_target_that_is_not_there_is_1011() {
    let scratch = Scratch::new();
    let server = Server::start(&["127.0.0.1:0", "--unix-target", &scratch.arg("missing")]);
    let mut client = Client::open(&server);
    assert_eq!(client.closed_with(1011), "Failed to connect to downstream server");
    server.log.wait_for("[Errno 2] No such file or directory");
}

#[test]
fn a_unix_target_that_is_busy_is_dialled_again() {
    let scratch = Scratch::new();
    let path = scratch.path("busy");
    let listener = Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).expect("a socket");
    listener.bind(&socket2::SockAddr::unix(&path).expect("a short path")).expect("bind");
    listener.listen(0).expect("listen");
    // With a backlog of zero one connection waits, and the next is told to try again.
    let filler = UnixStream::connect(&path).expect("connect");
    let server = Server::start(&["127.0.0.1:0", "--unix-target", &scratch.arg("busy")]);
    let mut client = Client::open(&server);
    client.send_binary(b"patience");
    server.log.wait_for("connecting to unix socket: ");
    let (waited, _) = listener.accept().expect("accept the filler");
    drop((waited, filler));
    let (served, _) = listener.accept().expect("accept the session");
    assert_eq!(Wire::new(served).read_exactly(8), b"patience");
}

#[test]
fn unix_sockets_at_both_ends_relay() {
    let scratch = Scratch::new();
    let target = Target::unix(&scratch.path("vnc"));
    let mut server = Server::start(&["--unix-listen", &scratch.arg("ws"), "--unix-target", &target.address]);
    let mut client = Client::connect_unix(&scratch.path("ws")).upgrade();
    let mut wire = target.accept();
    let upload = client.flood(8 << 20, 100_000);
    crate::common::flow::Check::default().read(&mut wire, 8 << 20);
    upload.join().send(&Frame::close(4000, "both").bytes());
    assert_eq!(wire.read_to_end(), b"");
    drop(wire);
    assert_eq!(client.closed(), (Some(4000), "both".to_owned()));
    client.ended();
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    eventually("the socket to be removed", || !scratch.path("ws").exists());
}
