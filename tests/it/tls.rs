//! TLS as others speak it: openssl, curl and Python's ssl at both of the gateway's ends, and clients that
//! break it. What holds for sessions in general is in `wss.rs`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::common::client::{Client, UPGRADE};
use crate::common::frame::Frame;
use crate::common::server::Server;
use crate::common::target::Target;
use crate::common::tls::{identity, trusting};
use crate::common::{DEADLINE, eventually, has, text};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

/// A gateway with a certificate in front of a target that echoes.
fn gateway(options: &[&str]) -> Server {
    let target = Target::tcp().echo();
    let files = ["--cert", &text(&identity().cert), "--key", &text(&identity().key), "-v"];
    Server::relay_with(&target.address, &[&files, options].concat())
}

/// Runs a program to its end with `input` on its stdin, for at most so long.
fn run(command: &mut Command, input: &[u8]) -> Output {
    let mut child = start(command);
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_vec();
    let writing = std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
        stdin
    });
    let begun = Instant::now();
    while child.try_wait().expect("a child").is_none() {
        if begun.elapsed() > DEADLINE {
            let _ = child.kill();
            panic!("{command:?} does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(writing.join());
    child.wait_with_output().expect("its output")
}

fn start(command: &mut Command) -> Child {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    piped.spawn().unwrap_or_else(|error| panic!("starting {command:?}: {error}"))
}

/// openssl's client towards the gateway.
fn s_client(server: &Server, options: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &server.address().to_string(), "-servername", "localhost"]);
    command.args(["-CAfile", &text(&identity().cert), "-verify_return_error"]).args(options);
    command
}

/// Reads until what was read ends with `mark`.
fn read_until(source: &mut impl Read, mark: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(mark) {
        let mut byte = [0];
        source.read_exact(&mut byte).unwrap_or_else(|error| panic!("{error} after {bytes:?}"));
        bytes.push(byte[0]);
    }
    bytes
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn openssl_talks_in_both_versions_and_is_told_the_end() {
    if !has("openssl") {
        return;
    }
    let server = gateway(&[]);
    for version in ["-tls1_2", "-tls1_3"] {
        let mut child = start(&mut s_client(&server, &["-quiet", version]));
        let (mut stdin, mut stdout) =
            (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let frame = Frame::binary(b"through openssl").bytes();
        stdin.write_all(&[UPGRADE.as_bytes(), &frame].concat()).expect("room");
        assert!(read_until(&mut stdout, b"\r\n\r\n").starts_with(b"HTTP/1.1 101 "));
        assert_eq!(read_until(&mut stdout, b"openssl"), b"\x82\x0fthrough openssl");
        stdin.write_all(&Frame::close(1000, "").bytes()).expect("room");
        assert_eq!(read_until(&mut stdout, b"\x03\xe8"), b"\x88\x02\x03\xe8");
        eventually("openssl to end", || child.try_wait().expect("a child").is_some());
    }
    server.log.expect("127.0.0.1: SSL/TLS (wss://) WebSocket connection", 2);
}

#[test]
fn tls_1_1_is_taken_as_1_2_with_a_warning() {
    if !has("openssl") {
        return;
    }
    let server = gateway(&["--ssl-version", "tlsv1_1"]);
    server.log.expect("--ssl-version tlsv1_1 means tlsv1_2: TLS 1.1 is not supported", 1);
    let refused = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let output = run(&mut s_client(&server, &["-ign_eof", "-tls1_2"]), refused);
    assert!(contains(&output.stdout, b"HTTP/1.1 405 "), "{output:?}");
    let output = run(&mut s_client(&server, &["-ign_eof", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]), refused);
    assert!(!contains(&output.stdout, b"HTTP/1.1"), "{output:?}");
    server.log.wait_for("TLS handshake failed: no shared protocol version");
}

#[test]
fn sessions_are_resumed_and_alpn_is_answered() {
    if !has("openssl") {
        return;
    }
    let server = gateway(&[]);
    for version in ["-tls1_2", "-tls1_3"] {
        let scratch = crate::common::Scratch::new();
        let session = scratch.arg("session");
        let refused = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let first = ["-ign_eof", version, "-alpn", "h2,http/1.1", "-sess_out", &session];
        let output = run(&mut s_client(&server, &first), refused);
        assert!(contains(&output.stdout, b"ALPN protocol: http/1.1"), "{output:?}");
        assert!(contains(&output.stdout, b"New, TLSv1."), "{output:?}");
        let output = run(&mut s_client(&server, &["-ign_eof", version, "-sess_in", &session]), refused);
        assert!(contains(&output.stdout, b"Reused, TLSv1."), "{output:?}");
        assert!(contains(&output.stdout, b"HTTP/1.1 405 "), "{output:?}");
    }
}

#[test]
fn curl_believes_the_certificate_or_says_why_not() {
    if !has("curl") {
        return;
    }
    let server = gateway(&[]);
    let url = format!("https://localhost:{}/", server.port);
    let curl =
        |options: &[&str]| run(Command::new("curl").args(["-sS", "-i", "-4"]).args(options).arg(&url), b"");
    let output = curl(&["--cacert", &text(&identity().cert)]);
    assert!(output.status.success() && contains(&output.stdout, b"HTTP/1.1 405 "), "{output:?}");
    assert!(!curl(&[]).status.success());
    server.log.wait_for("127.0.0.1: TLS handshake failed: client rejected the certificate: unknown CA");
    assert!(!curl(&["--insecure", "--tls-max", "1.1"]).status.success());
    server.log.wait_for("127.0.0.1: TLS handshake failed: no shared protocol version");
}

#[test]
fn a_failed_handshake_says_what_is_not_shared() {
    if !has("openssl") {
        return;
    }
    let server = gateway(&["--ssl-version", "tlsv1_3"]);
    run(&mut s_client(&server, &["-tls1_2"]), b"");
    server.log.wait_for("TLS handshake failed: no shared protocol version");
    let server = gateway(&["--ssl-ciphers", "ECDHE-ECDSA-AES256-GCM-SHA384"]);
    run(&mut s_client(&server, &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"]), b"");
    server.log.wait_for("TLS handshake failed: no shared cipher suite");
    let server = gateway(&[]);
    run(&mut s_client(&server, &["-groups", "X448"]), b"");
    server.log.wait_for("TLS handshake failed: no shared key exchange group");
}

/// A client in Python that shakes hands, echoes, and leaves as `leave` says.
const PYTHON_CLIENT: &str = r#"
import socket, ssl, sys
port, ca, leave = int(sys.argv[1]), sys.argv[2], sys.argv[3]
tls = ssl.create_default_context(cafile=ca)
raw = socket.create_connection(("127.0.0.1", port))
sock = tls.wrap_socket(raw, server_hostname="localhost")
sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
def until(mark):
    got = b""
    while not got.endswith(mark):
        more = sock.recv(65536)
        assert more, got
        got += more
    return got
assert until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
sock.sendall(b"\x82\x85\0\0\0\0hello")
assert until(b"hello") == b"\x82\x05hello"
if leave == "in order":
    sock.sendall(b"\x88\x82\0\0\0\0\x03\xe8")
    assert until(b"\x03\xe8") == b"\x88\x02\x03\xe8"
    assert sock.recv(100) == b""  # close_notify: anything else raises
    sock.unwrap()
elif leave == "half":
    raw = sock.unwrap()           # waits for the other side's close_notify
elif leave == "cut":
    raw = socket.socket(fileno=sock.detach())
    raw.shutdown(socket.SHUT_RDWR)
print("done")
"#;

fn python(server: &Server, leave: &str) -> Output {
    let (port, ca) = (server.port.to_string(), text(&identity().cert));
    run(Command::new("python3").args(["-c", PYTHON_CLIENT, &port, &ca, leave]), b"")
}

#[test]
fn python_leaves_in_order_by_halves_or_at_once_and_each_is_understood() {
    if !has("python3") {
        return;
    }
    let server = gateway(&[]);
    for leave in ["in order", "half", "cut"] {
        let output = python(&server, leave);
        assert!(contains(&output.stdout, b"done"), "{leave}: {output:?}");
    }
    server.log.wait_for_nth("Client closed connection", 3);
    server.log.expect("Client closed connection (without ending TLS)", 1);
    eventually("all sockets to be closed", || server.connections() == 0);
}

/// A TLS client of rustls over a plain socket of the test's.
fn secure(server: &Server) -> StreamOwned<ClientConnection, TcpStream> {
    let stream = TcpStream::connect(server.address()).expect("connect");
    stream.set_read_timeout(Some(DEADLINE)).expect("a deadline");
    let name = ServerName::try_from("localhost").expect("a name");
    let conn = ClientConnection::new(Arc::clone(&trusting()), name).expect("a client");
    let mut tls = StreamOwned::new(conn, stream);
    tls.conn.complete_io(&mut tls.sock).expect("a handshake");
    tls
}

fn open(server: &Server) -> StreamOwned<ClientConnection, TcpStream> {
    let mut tls = secure(server);
    tls.write_all(UPGRADE.as_bytes()).expect("room");
    assert!(read_until(&mut tls, b"\r\n\r\n").starts_with(b"HTTP/1.1 101 "));
    tls
}

/// Reads to the end, however it comes, and returns what came before it.
fn drained(stream: &mut TcpStream) -> Vec<u8> {
    stream.set_read_timeout(Some(DEADLINE)).expect("a deadline");
    let mut bytes = Vec::new();
    let mut space = [0; 4096];
    loop {
        match stream.read(&mut space) {
            Ok(0) => return bytes,
            Ok(count) => bytes.extend_from_slice(&space[..count]),
            Err(error) => {
                assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "no end");
                return bytes;
            }
        }
    }
}

#[test]
fn what_only_looks_like_tls_is_told_and_ended() {
    let server = gateway(&[]);
    let huge: Vec<u8> = (0..200).flat_map(|_| [&[22, 3, 1, 64, 0][..], &[1; 16 * 1024]].concat()).collect();
    for garbage in [&b"\x16garbage after the first byte"[..], b"\x80\x2e\x01\x03\x01\0\x15\0\0\0\x10", &huge]
    {
        let mut stream = TcpStream::connect(server.address()).expect("connect");
        let _ = stream.write_all(garbage);
        let answer = drained(&mut stream);
        assert!(answer.is_empty() || answer[0] == 21, "an alert or nothing: {answer:?}");
    }
    server.log.wait_for_nth("127.0.0.1: TLS handshake failed: ", 3);
    assert!(server.log.count("TLS handshake failed: not TLS") >= 2);
    open(&server);
}

#[test]
fn plaintext_and_damage_inside_a_session_end_it_with_an_alert() {
    for garbage in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        &[23, 3, 3, 0, 19, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19],
    ] {
        let server = gateway(&[]);
        let mut tls = open(&server);
        tls.sock.write_all(garbage).expect("room");
        let answer = drained(&mut tls.sock);
        assert_eq!(answer[0], 23, "an alert, sealed: {answer:?}");
        server.log.wait_for("Client broke TLS: ");
        eventually("all sockets to be closed", || server.connections() == 0);
    }
}

#[test]
fn a_wish_to_renegotiate_is_refused_and_the_session_ends_or_goes_on() {
    if !has("openssl") {
        return;
    }
    let server = gateway(&[]);
    // A line with an R alone asks openssl's client to renegotiate.
    let mut child = start(&mut s_client(&server, &["-tls1_2"]));
    let mut stdin = child.stdin.take().expect("piped");
    eventually("the session to end", || {
        // It asks once a line; the first refusal may end it.
        let _ = stdin.write_all(b"R\n");
        child.try_wait().expect("a child").is_some()
    });
    let output = child.wait_with_output().expect("its output");
    assert!(contains(&output.stderr, b"RENEGOTIATING"), "{output:?}");
    assert!(contains(&output.stderr, b"no renegotiation"), "{output:?}");
    eventually("all sockets to be closed", || server.connections() == 0);
    open(&server);
}

#[test]
fn stalled_handshakes_keep_nobody_waiting_and_are_ended() {
    let server = gateway(&[]);
    let stalled: Vec<TcpStream> = (0..300)
        .map(|number| {
            let mut stream = TcpStream::connect(server.address()).expect("connect");
            // From nothing but the first byte to half of a hello.
            let hello = [&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3][..], &[7; 500]].concat();
            stream.write_all(&hello[..1 + number % 400]).expect("room");
            stream
        })
        .collect();
    eventually("all to be there", || server.connections() >= 300);
    open(&server);
    eventually("all to be gone", || server.connections() == 0);
    server.log.wait_for("TLS handshake timed out");
    drop(stalled);
}

#[test]
fn ssl_only_answers_a_plain_client_and_serves_tls() {
    let server = gateway(&["--ssl-only"]);
    server.log.expect("  - Deny non-SSL/TLS connections", 1);
    let mut plain = Client::connect(&server);
    plain.wire.send(UPGRADE.as_bytes());
    let answer = plain.read_answer_to_end();
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("TLS is required"), "{answer:?}");
    server.log.wait_for("127.0.0.1: non-SSL connection received but disallowed");
    open(&server);
}

#[test]
fn plain_and_tls_clients_share_a_port() {
    let server = gateway(&[]);
    let mut tls = open(&server);
    let mut plain = Client::open(&server);
    plain.echo(b"plain");
    tls.write_all(&Frame::binary(b"sealed").bytes()).expect("room");
    let mut frame = [0; 8];
    tls.read_exact(&mut frame).expect("an echo");
    assert_eq!(&frame, b"\x82\x06sealed");
}

#[test]
fn a_certificate_that_appears_turns_tls_on() {
    let scratch = crate::common::Scratch::new();
    let target = Target::tcp().echo();
    let server = Server::relay_with(&target.address, &["--cert", &scratch.arg("both.pem")]);
    server.log.expect("  - No SSL/TLS support (no cert file)", 1);
    let mut stream = TcpStream::connect(server.address()).expect("connect");
    stream.write_all(&[22, 3, 1]).expect("room");
    assert!(drained(&mut stream).is_empty());
    server.log.wait_for(&format!("127.0.0.1: SSL connection but '{}' not found", scratch.arg("both.pem")));
    let both = [&identity().cert, &identity().key].map(|path| std::fs::read(path).expect("a file")).concat();
    std::fs::write(scratch.path("new"), both).expect("write");
    std::fs::rename(scratch.path("new"), scratch.path("both.pem")).expect("rename");
    eventually("TLS to be on", || {
        let stream = TcpStream::connect(server.address()).expect("connect");
        let name = ServerName::try_from("localhost").expect("a name");
        let mut tls = StreamOwned::new(ClientConnection::new(trusting(), name).expect("a client"), stream);
        tls.conn.complete_io(&mut tls.sock).is_ok()
    });
    open(&server);
}

/// A TLS target in Python that echoes; it says on which port, and how a connection ended.
const PYTHON_TARGET: &str = r#"
import socket, ssl, sys, threading
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(sys.argv[1], sys.argv[2])
names = []
tls.sni_callback = lambda sock, name, context: print("name", name, flush=True)
if sys.argv[3] == "tcp":
    listener = socket.create_server(("127.0.0.1", 0))
    print("port", listener.getsockname()[1], flush=True)
else:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[3])
    listener.listen()
    print("port", 0, flush=True)
def serve(raw):
    try:
        sock = tls.wrap_socket(raw, server_side=True)
        while True:
            data = sock.recv(65536)
            if not data:
                print("ended", flush=True)
                sock.unwrap()
                return
            if data == b"leave":
                sock.sendall(b"bye")
                sock.unwrap()
                return
            if data == b"cut":
                raw = socket.socket(fileno=sock.detach())
                raw.shutdown(socket.SHUT_RDWR)
                return
            sock.sendall(data)
    except (ssl.SSLError, OSError) as error:
        print("error", error, flush=True)
while True:
    raw, _ = listener.accept()
    threading.Thread(target=serve, args=(raw,), daemon=True).start()
"#;

/// Starts it; the lines it prints, and the port in them.
pub(super) fn python_target(place: &str) -> (Server, String) {
    let mut command = Command::new("python3");
    command.args(["-c", PYTHON_TARGET, &text(&identity().cert), &text(&identity().key), place]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let target = Server::spawn(&mut command);
    let port = target.stdout.wait_for("port ");
    (target, port.trim_start_matches("port ").to_owned())
}

#[test]
fn targets_are_spoken_to_in_tls_and_their_ends_are_told_apart() {
    if !has("python3") {
        return;
    }
    let (target, port) = python_target("tcp");
    let ca = text(&identity().cert);
    let options = ["-v", "--ssl-target", "--ssl-target-ca", &ca];
    let server = Server::relay_with(&format!("localhost:{port}"), &options);
    server.log.expect(&format!("to localhost:{port} (using SSL)"), 1);
    let mut client = Client::open(&server);
    server.log.wait_for(&format!("connecting to: localhost:{port} (using SSL)"));
    target.stdout.wait_for("name localhost");
    for size in [1, 1000, 100_000, 3_000_000] {
        let flood = crate::common::flow::pattern(size);
        client.echo(&flood);
    }
    client.close();
    target.stdout.wait_for("ended");

    let mut client = Client::open(&server);
    client.send_binary(b"leave");
    assert_eq!(client.data(3), b"bye");
    assert_eq!(client.closed(), (Some(1000), "Target closed".to_owned()));

    let mut client = Client::open(&server);
    client.send_binary(b"cut");
    assert_eq!(client.closed(), (Some(1011), "Target connection broken".to_owned()));
}

#[test]
fn a_target_that_is_not_believed_is_1011_and_a_line_that_names_the_options() {
    if !has("python3") {
        return;
    }
    let (_target, port) = python_target("tcp");
    let place = format!("127.0.0.1:{port}");
    let server = Server::relay_with(&place, &["--ssl-target"]);
    let mut client = Client::open(&server);
    let told = (Some(1011), "Failed to connect to downstream server".to_owned());
    assert_eq!(client.closed(), told);
    let line = server.log.wait_for(&format!("Failed to connect to {place}: "));
    assert!(line.contains("certificate verification failed: "), "{line}");
    let advice = "; use --ssl-target-ca FILE or --ssl-target-insecure";
    assert!(line.ends_with(advice), "{line}");

    // The certificate is for a name, and the address is not a name of it.
    let ca = text(&identity().cert);
    let server = Server::relay_with(&place, &["--ssl-target", "--ssl-target-ca", &ca]);
    assert_eq!(Client::open(&server).closed(), told);
    let line = server.log.wait_for("certificate verification failed: ");
    let advice = "certificate is for another name (localhost, and not 127.0.0.1); \
                  use --ssl-target-name NAME or --ssl-target-insecure";
    assert!(line.ends_with(advice), "{line}");

    for options in
        [&["--ssl-target-ca", &ca, "--ssl-target-name", "localhost"][..], &["--ssl-target-insecure"]]
    {
        let server = Server::relay_with(&place, &[&["--ssl-target"], options].concat());
        Client::open(&server).echo(b"believed");
    }
}

#[test]
fn a_target_that_does_not_speak_tls_is_1011_and_says_so() {
    let target = Target::tcp().serve(|mut wire| {
        wire.send(b"220 plain.example ready\r\n");
        wire.wait_until_gone();
    });
    let server = Server::relay_with(&target.address, &["--ssl-target"]);
    let mut client = Client::open(&server);
    assert_eq!(client.closed().0, Some(1011));
    server.log.wait_for(&format!("Failed to connect to {}: TLS handshake failed: not TLS", target.address));
}

#[test]
fn a_unix_target_is_spoken_to_in_tls() {
    if !has("python3") {
        return;
    }
    let scratch = crate::common::Scratch::new();
    let place = scratch.arg("t");
    let (target, _) = python_target(&place);
    let ca = text(&identity().cert);
    let options = ["--ssl-target", "--ssl-target-ca", &ca, "--unix-target", &place, "127.0.0.1:0"];
    let server = Server::start(&options);
    Client::open(&server).echo(b"in a socket file");
    target.stdout.wait_for("name localhost");
}
