//! Command lines that others have in their scripts, each run from its start to a session. Names of hosts, files and ports
//! are ours, and programs that are not here stand in for theirs; all else is as it was found. A port is 0 where it was
//! another, so that tests can run beside each other.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::services::{ok, service};
use super::tls::python_target;
use crate::common::background::{self, Background};
use crate::common::client::{Client, UPGRADE};
use crate::common::redis::Redis;
use crate::common::server::{Server, command, program};
use crate::common::target::{Service, Target};
use crate::common::tls::identity;
use crate::common::{Scratch, has, text};

/// What the lines speak of: an echo, a web root, a certificate, files.
struct World {
    scratch: Scratch,
    address: String,
    _target: Service,
}

/// How the clients of a line ask.
#[derive(Clone, Copy)]
enum Ask {
    Plain,
    Tls,
    /// With this token.
    Token(&'static str),
    /// Over TLS with this token.
    TlsToken(&'static str),
    /// With this header.
    Header(&'static str),
}

impl World {
    fn new() -> World {
        let scratch = Scratch::new();
        fs::create_dir(scratch.path("web")).expect("a directory");
        fs::write(scratch.path("web/vnc.html"), "the page").expect("a file");
        let target = Target::tcp();
        let address = target.address.clone();
        fs::create_dir(scratch.path("tokens")).expect("a directory");
        fs::write(scratch.path("tokens/all"), format!("t1: {address}\n")).expect("a file");
        fs::create_dir(scratch.path("names")).expect("a directory");
        fs::write(scratch.path("names/t1"), &address).expect("a file");
        World { scratch, address, _target: target.echo() }
    }

    /// The words of a line with its places filled in.
    fn words(&self, line: &str) -> Vec<String> {
        let port = self.address.rsplit(':').next().expect("a port");
        let fill = |word: &str| {
            word.replace("TARGET", &self.address)
                .replace("TPORT", port)
                .replace("DIR", self.scratch.arg("").trim_end_matches('/'))
                .replace("CERT", &text(&identity().cert))
                .replace("KEY", &text(&identity().key))
        };
        shell_words(line).iter().map(|word| fill(word)).collect()
    }

    /// Runs a line and a session, and looks at the web root if there is one.
    fn runs(&self, line: &str, ask: Ask) {
        let words = self.words(line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let is_daemon =
            words.iter().take_while(|word| **word != "--").any(|word| ["-D", "--daemon"].contains(word));
        if is_daemon {
            let scratch = Scratch::new();
            let options = background::options(&scratch);
            let options: Vec<&str> =
                options.iter().map(String::as_str).filter(|option| *option != "-D").collect();
            let mut command = Command::new(program());
            let output = background::run(command.args(&options).args(&words));
            assert!(output.status.success(), "{line}: {output:?}");
            let gateway = Background::found(scratch);
            session(line, gateway.address(), None, ask);
            // With --run-once it ends with the session.
            if !line.contains("--run-once") {
                page(line, gateway.address());
                gateway.signal("TERM");
            }
            return gateway.wait();
        }
        let server = Server::launch(&mut command(&words));
        session(line, server.address(), Some(&server), ask);
        if !line.contains("--ssl-only") && !line.contains("--run-once") {
            page(line, server.address());
        }
        server.signal("TERM");
    }
}

/// Words as a shell divides them, as far as these lines need it.
fn shell_words(line: &str) -> Vec<String> {
    let (mut words, mut quote) = (vec![String::new()], None);
    for char in line.chars() {
        let last = words.last_mut().expect("there is one");
        match (char, quote) {
            ('\'' | '"', None) => quote = Some(char),
            (char, Some(end)) if char == end => quote = None,
            (' ', None) if last.is_empty() => {}
            (' ', None) => words.push(String::new()),
            (char, _) => last.push(char),
        }
    }
    words
}

fn session(line: &str, address: SocketAddr, server: Option<&Server>, ask: Ask) {
    let mut client = match (ask, server) {
        (Ask::Tls | Ask::TlsToken(_), Some(server)) => Client::connect_tls(server),
        _ => Client::connect_to(address),
    };
    let request = match ask {
        Ask::Plain | Ask::Tls => UPGRADE.to_owned(),
        Ask::Token(token) | Ask::TlsToken(token) => {
            UPGRADE.replace("GET / ", &format!("GET /websockify?token={token} "))
        }
        Ask::Header(header) => UPGRADE.replace("\r\n\r\n", &format!("\r\n{header}\r\n\r\n")),
    };
    let answer = client.ask(request.as_bytes());
    assert_eq!(answer.status, 101, "{line}: {answer:?}");
    client.echo(b"end to end");
    client.close();
}

/// With `--web` the page is there, without it, or before a password, it is not.
fn page(line: &str, address: SocketAddr) {
    let answer = Client::connect_to(address).ask(b"GET /vnc.html HTTP/1.0\r\n\r\n");
    let expected = match (line.contains("--web"), line.contains("--web-auth")) {
        (true, false) => 200,
        (true, true) => 401,
        (false, _) => 405,
    };
    assert_eq!(answer.status, expected, "{line}");
}

/// `user:SECRET`, and what it is in a header.
const BASIC: &str = "Authorization: Basic dXNlcjpTRUNSRVQ=";

#[test]
fn lines_with_one_target_run() {
    let world = World::new();
    for (line, ask) in [
        // The launcher of noVNC.
        (
            "--web DIR/web --cert CERT --key KEY 0 TARGET --heartbeat 30 --idle-timeout 60 --record DIR/rec --timeout 90 \
             --web-auth --auth-plugin BasicHTTPAuth --auth-source user:SECRET",
            Ask::Header(BASIC),
        ),
        ("0 --heartbeat=30 TARGET", Ask::Plain),
        ("-D 0 localhost:TPORT", Ask::Plain),
        ("--run-once -D --timeout 30 --idle-timeout 30 0 localhost:TPORT", Ask::Plain),
        ("--web DIR/web 0 localhost:TPORT", Ask::Plain),
        ("-D --web=DIR/web/ --cert=\"CERT\" --key=KEY 0 localhost:TPORT", Ask::Plain),
        ("-D --web=DIR/web/ --cert=\"DIR/none.pem\" 0 localhost:TPORT", Ask::Plain),
        ("-D --web=DIR/web/ --cert=~/.novnc/novnc.pem 0 TARGET", Ask::Plain),
        ("0.0.0.0:0 127.0.0.1:TPORT --web=DIR/web", Ask::Plain),
        ("-v --web=DIR/web :0 TARGET", Ask::Plain),
        (
            "--auth-plugin BasicHTTPAuth --auth-source \"user:SECRET\" --heartbeat 30 0 127.0.0.1:TPORT",
            Ask::Header(BASIC),
        ),
        (
            "--web DIR/web --auth-plugin websockify.auth_plugins.BasicHTTPAuth --auth-source \"user:SECRET\" --web-auth 0 \
             localhost:TPORT",
            Ask::Header(BASIC),
        ),
        (
            "0 localhost:TPORT --auth-plugin websockify.auth_plugins.ExpectOrigin --auth-source \
             \"http://localhost:3100 http://127.0.0.1:3100\"",
            Ask::Header("Origin: http://127.0.0.1:3100"),
        ),
        ("--ssl-only --cert=CERT --key=KEY 0.0.0.0:0 0.0.0.0:TPORT", Ask::Tls),
        ("--wrap-mode=ignore 0.0.0.0:0 localhost:TPORT", Ask::Plain),
        ("--daemon --verbose --wrap-mode=ignore --record=DIR/x.log 0.0.0.0:0 TARGET", Ask::Plain),
    ] {
        world.runs(line, ask);
    }
    // One file twice.
    let both =
        [&identity().key, &identity().cert].map(|path| fs::read_to_string(path).expect("a file")).concat();
    fs::write(world.scratch.path("both.pem"), both).expect("a file");
    world.runs("--cert=DIR/both.pem --key=DIR/both.pem 0 localhost:TPORT", Ask::Tls);
    assert!(world.scratch.path("rec.1").exists(), "a recording");
}

#[test]
fn lines_with_tls_to_the_target_run() {
    if !has("python3") {
        return;
    }
    let world = World::new();
    let (_target, port) = python_target("tcp");
    fs::write(world.scratch.path("tls"), format!("t1: localhost:{port}\n")).expect("a file");
    for (line, ask) in [
        (
            "--daemon --idle-timeout=120 --timeout=120 0 localhost:PORT --ssl-target --cert CERT --key KEY",
            Ask::Plain,
        ),
        ("--ssl-target --web=DIR/web --cert=CERT --key=KEY 0 localhost:PORT", Ask::Tls),
        (
            "--cert=CERT --key=KEY 0 --token-plugin TokenFile --token-source DIR/tls --log DIR/log.txt -v --ssl-target \
             --web=DIR/web",
            Ask::TlsToken("t1"),
        ),
    ] {
        let words = world.words(&line.replace("PORT", &port));
        let mut command = match words[0].as_str() {
            "--daemon" => {
                let scratch = Scratch::new();
                let mut command = Command::new(program());
                command
                    .args(background::options(&scratch))
                    .args(&words)
                    .env("SSL_CERT_FILE", &identity().cert);
                assert!(background::run(&mut command).status.success(), "{line}");
                let gateway = Background::found(scratch);
                session(line, gateway.address(), None, ask);
                continue;
            }
            _ => command(&words.iter().map(String::as_str).collect::<Vec<_>>()),
        };
        let server = Server::launch(command.env("SSL_CERT_FILE", &identity().cert));
        session(line, server.address(), Some(&server), ask);
    }
}

#[test]
fn lines_with_tokens_run() {
    let world = World::new();
    let target = world.address.clone();
    let port: u16 = target.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let (api, _) = service(move |_| ok(&format!("{{\"host\": \"127.0.0.1\", \"port\": {port}}}")));
    for line in [
        "--token-plugin=TokenFile --token-source=DIR/tokens/ 0",
        "-D --web DIR/web 0 --token-plugin TokenFileName --token-source DIR/names",
        "--web=DIR/web --token-plugin ReadOnlyTokenFile --token-source DIR/tokens/all 0 --log-file DIR/f",
        "--web=DIR/web --token-plugin websockify.token_plugins.TokenFile --token-source DIR/tokens/all --file-only 0",
        "-D --web=DIR/web 0 --target-config=DIR/tokens/all",
    ] {
        world.runs(line, Ask::Token("t1"));
    }
    let url = format!("http://{}/api/getVncAddress?token=%s", api.address);
    world.runs(&format!("--token-plugin JSONTokenApi --token-source {url} 0"), Ask::Token("any"));
    // The name of a socket is the token: 192 bits.
    fs::create_dir(world.scratch.path("sockets")).expect("a directory");
    let name = "f3a1b2c3d4e5f60718293a4b5c6d7e8f9012a3b4c5d6e7f8";
    let _socket = Target::unix(&world.scratch.path("sockets").join(name)).echo();
    world.runs("--token-plugin UnixDomainSocketDirectory --token-source DIR/sockets 0", Ask::Token(name));
}

#[test]
fn lines_with_signed_tokens_run() {
    let world = World::new();
    let secret = [7; 32];
    fs::write(world.scratch.path("key"), URL_SAFE_NO_PAD.encode(secret)).expect("a file");
    let port = world.address.rsplit(':').next().expect("a port");
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let signed = format!(
        "{}.{}",
        part("{\"alg\":\"HS256\"}"),
        part(&format!("{{\"host\":\"127.0.0.1\",\"port\":\"{port}\"}}"))
    );
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), signed.as_bytes());
    let token: &'static str = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag)).leak();
    world.runs("--web DIR/web --token-plugin JWTTokenApi --token-source DIR/key 0", Ask::Token(token));
    // Without a source all are refused.
    let server = Server::start(&["0", "--token-plugin", "JWTTokenApi"]);
    let request = UPGRADE.replace("GET / ", &format!("GET /?token={token} "));
    assert_eq!(Client::connect_to(server.address()).ask(request.as_bytes()).status, 404);
}

#[test]
fn the_line_of_a_container_with_redis_runs() {
    let Some(redis) = Redis::start(&[]) else { return };
    let world = World::new();
    redis.set("t1", &world.address);
    let line = format!(
        "--cert CERT --key KEY --web DIR/web :0 --token-plugin TokenRedis --token-source {} --ssl-only --ssl-version tlsv1_2",
        redis.address()
    );
    world.runs(&line, Ask::TlsToken("t1"));
}

#[test]
fn lines_with_unix_sockets_and_inetd_run() {
    let world = World::new();
    let _vnc = Target::unix(&world.scratch.path("vnc")).echo();
    world.runs("--unix-target=DIR/vnc 0", Ask::Plain);
    let words = world.words("--unix-listen=DIR/websock --unix-listen-mode=0660 --unix-target=DIR/vnc");
    let server = Server::spawn(&mut command(&words.iter().map(String::as_str).collect::<Vec<_>>()));
    server.log.wait_for("  - proxying from ");
    Client::connect_unix(&world.scratch.path("websock")).upgrade().echo(b"from socket to socket");
    // As a service manager starts it: standard input is a listening socket.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let words = world.words("--inetd --web=DIR/web --unix-target=DIR/vnc");
    let mut inetd = command(&words.iter().map(String::as_str).collect::<Vec<_>>());
    let server = Server::spawn(inetd.stdin(Stdio::from(OwnedFd::from(listener))));
    server.log.wait_for("  - proxying from inetd to ");
    session("--inetd", address, None, Ask::Plain);
    page("--inetd --web", address);
}

/// An echo on the port that a program is told, or at a Unix socket, in the place of a VNC server.
const PROGRAM: &str = "import os,signal,socket;signal.alarm(60);p=os.environ.get('VNC_SOCKET');\
    s=socket.socket(socket.AF_UNIX if p else socket.AF_INET);\
    s.bind(p or ('',int(os.environ['REBIND_OLD_PORT'])));s.listen();c=s.accept()[0];\
    exec('while d:=c.recv(9999):c.sendall(d)')";

#[test]
fn lines_with_a_wrapped_program_run() {
    if !has("python3") {
        return;
    }
    let world = World::new();
    for line in [
        "--verbose --heartbeat=30 0 --unix-target DIR/s1 -- /bin/sh -c 'cd / && VNC_SOCKET=DIR/s1 exec python3 -c \"PROGRAM\"'",
        "-v --web DIR/web --heartbeat 30 0 --unix-target DIR/s2 -- env VNC_SOCKET=DIR/s2 python3 -c \"PROGRAM\" -xstartup x",
        "--verbose --log-file=DIR/websockify.log --heartbeat=30 0 -- python3 -c \"PROGRAM\" -xstartup x -fg",
        "0 --wrap-mode=ignore -- python3 -c \"PROGRAM\" -geometry 1024x768 :1",
        "0 --wrap-mode=respawn -- python3 -c \"PROGRAM\" -debug 2023",
    ] {
        // The program is a word, or in one, whatever quotes are in it.
        let mut words = world.words(line);
        for word in &mut words {
            *word = match word.contains("exec python3") {
                true => word.replace("\"PROGRAM\"", &format!("\"{PROGRAM}\"")),
                false => word.replace("PROGRAM", PROGRAM),
            };
        }
        let server = Server::launch(&mut command(&words.iter().map(String::as_str).collect::<Vec<_>>()));
        session(line, server.address(), None, Ask::Plain);
        server.signal("TERM");
    }
}

#[test]
fn a_line_whose_output_a_script_reads_runs() {
    if !has("stdbuf") {
        return;
    }
    let world = World::new();
    let mut command = Command::new("stdbuf");
    command.args(["-oL", &program(), "--run-once", "-v", "0", &world.address]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut server = Server::launch(&mut command);
    session("stdbuf", server.address(), None, Ask::Plain);
    assert_eq!(server.wait().code(), Some(0));
    server.log.wait_for("exiting due to --run-once");
}

#[test]
fn lines_that_are_errors_end_with_2_and_the_usual_words() {
    for (words, error) in [
        (&["6080", "localhost:5900", "--web"][..], "--web option requires 1 argument"),
        (&["6080:127.0.0.1:6080"], "Too few arguments"),
        (&["--cert", "none", "--ssl-only", "0"], "SSL only and none not found"),
    ] {
        let output = command(words).output().expect("the program runs");
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(&format!("\nwebsockify: error: {error}\n")), "{text}");
    }
}
