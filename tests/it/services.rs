//! Token plugins that ask a service over HTTP: what of its answers counts, what becomes of clients when it does not
//! answer as it should, and what nobody else notices of that.

use std::io::Write;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::common::client::{Client, UPGRADE, visit};
use crate::common::namespace::Namespace;
use crate::common::server::{Server, command};
use crate::common::target::{DeafTarget, Service, Target};
use crate::common::wire::Wire;
use crate::common::{Scratch, eventually, tls};

/// What a test's service has been asked: whole heads of requests.
#[derive(Clone, Default)]
pub(super) struct Asked(Arc<Mutex<Vec<String>>>);

impl Asked {
    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn last(&self) -> String {
        self.0.lock().unwrap().last().cloned().unwrap_or_default()
    }
}

/// A service of HTTP that answers each request, told by its first line, with these bytes, and then ends.
pub(super) fn service(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> (Service, Asked) {
    let asked = Asked::default();
    let noted = asked.clone();
    let service = Target::tcp().serve(move |mut wire| {
        let head = head(&mut wire);
        let first = head.lines().next().unwrap_or_default().to_owned();
        noted.0.lock().unwrap().push(head);
        wire.send_what_goes(answer(&first).as_bytes());
    });
    (service, asked)
}

fn head(wire: &mut Wire) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && wire.brings_something_into(&mut head) {}
    String::from_utf8(head).expect("a request is ASCII")
}

pub(super) fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

pub(super) fn found(location: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}

/// The gateway, without what the environment has for proxies, and with this more of it.
fn start_with(class: &str, source: &str, options: &[&str], environment: &[(&str, &str)]) -> Server {
    let plugin = ["--token-plugin", class, "--token-source", source];
    let mut command = command(&[&plugin, options, &["127.0.0.1:0"]].concat());
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    command.envs(environment.iter().copied());
    Server::launch(&mut command)
}

fn start(class: &str, source: &str, options: &[&str]) -> Server {
    start_with(class, source, options, &[])
}

fn status(server: &Server, token: &str) -> u16 {
    let mut client = Client::connect(server);
    let request = UPGRADE.replace("GET / ", &format!("GET /websockify?token={token} "));
    client.ask(request.as_bytes()).status
}

/// The status, and how long it took.
fn timed(server: &Server, token: &str) -> (u16, Duration) {
    let began = Instant::now();
    (status(server, token), began.elapsed())
}

#[test]
fn each_client_is_led_where_the_service_says() {
    let target = Target::tcp().echo();
    let (host, port) = target.address.split_once(':').unwrap();
    let (text, json) = (target.address.clone(), format!("{{\"host\": \"{host}\", \"port\": {port}}}"));
    let quoted = format!("{{\"host\":\"{host}\",\"port\":\"{port}\",\"name\":\"x\"}}");
    let (service, asked) = service(move |first| match first {
        "GET /t?token=one HTTP/1.1" => ok(&text),
        "GET /t?token=space HTTP/1.1" => ok(&format!("\r\n {text} \n")),
        "GET /t?token=chunks HTTP/1.1" => {
            let (one, two) = text.split_at(4);
            format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{one}\r\n{:x};a=b\r\n{two}\r\n0\r\n\r\n",
                two.len()
            )
        }
        "GET /t?token=to-end HTTP/1.1" => format!("HTTP/1.0 203 Fine\r\n\r\n{text}"),
        "GET /t?token=continued HTTP/1.1" => format!("HTTP/1.1 100 Continue\r\n\r\n{}", ok(&text)),
        "GET /t?token=json HTTP/1.1" => ok(&json),
        "GET /t?token=quoted HTTP/1.1" => ok(&quoted),
        "GET /t?token=a%26b%3D..%2F%23%20%25 HTTP/1.1" => ok(&text),
        _ => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".into(),
    });
    let source = format!("http://user:s%%40cret@{}/t?token=%s", service.address);
    let base = start("BaseTokenAPI", &source, &["-v"]);
    for token in ["one", "space", "chunks", "to-end", "continued", "a%26b%3D..%2F%23+%25"] {
        visit(&base, &format!("/websockify?token={token}"));
    }
    assert!(asked.last().contains(&format!("\r\nHost: {}\r\n", service.address)), "{}", asked.last());
    // `printf %s user:s@cret | base64`
    assert!(asked.last().contains("\r\nAuthorization: Basic dXNlcjpzQGNyZXQ=\r\n"), "{}", asked.last());
    for (token, code) in [("two", 404), ("json", 503)] {
        assert_eq!(status(&base, token), code, "{token}");
    }
    let json = start("JSONTokenApi", &source, &[]);
    for token in ["json", "quoted"] {
        visit(&json, &format!("/websockify?token={token}"));
    }
    for (token, code) in [("two", 404), ("one", 503)] {
        assert_eq!(status(&json, token), code, "{token}");
    }
    json.log.wait_for("to targets generated by JSONTokenApi");
}

#[test]
fn only_2xx_is_found_and_a_target_has_to_make_sense() {
    let target = Target::tcp().echo();
    let address = target.address.clone();
    let (service, _) = service(move |first| {
        let code = first.split(['=', ' ']).nth(2).unwrap_or_default().to_owned();
        match code.as_str() {
            "200" | "201" | "299" => {
                format!("HTTP/1.1 {code} X\r\nContent-Length: {}\r\n\r\n{address}", address.len())
            }
            "204" => "HTTP/1.1 204 No Content\r\n\r\n".into(),
            "empty" => ok(""),
            "nohost" => ok(":5900"),
            "noport" => ok("127.0.0.1"),
            "large" => ok("127.0.0.1:70000"),
            "colons" => ok("::1:5900"),
            "page" => ok("<html></html>"),
            "unix" => ok("unix_socket:/run/x"),
            "metadata" => ok("169.254.169.254:80"),
            code => format!("HTTP/1.1 {code} X\r\nContent-Length: {}\r\n\r\n{address}", address.len()),
        }
    });
    let server = start("BaseTokenAPI", &format!("http://{}/?t=%s", service.address), &[]);
    for code in ["200", "201", "299"] {
        visit(&server, &format!("/?token={code}"));
    }
    for code in ["300", "301", "304", "400", "401", "403", "404", "500", "503"] {
        assert_eq!(status(&server, code), 404, "{code}");
    }
    for token in ["204", "empty", "nohost", "noport", "large", "colons", "page"] {
        assert_eq!(status(&server, token), 503, "{token}");
    }
    // Said once for each change.
    server.log.expect("answers with status 500, so tokens are not known", 1);
    // The target is refused as one that can't be reached is.
    for token in ["unix", "metadata"] {
        let mut client = Client::connect(&server);
        assert_eq!(
            client.ask(UPGRADE.replace("GET / ", &format!("GET /?token={token} ")).as_bytes()).status,
            101
        );
        client.closed_with(1011);
    }
}

#[test]
fn a_socket_from_a_service_needs_a_rule() {
    let scratch = Scratch::new();
    let path = scratch.arg("s");
    let _socket = Target::unix(Path::new(&path)).echo();
    let answer = path.clone();
    let (service, _) = service(move |_| ok(&format!("unix_socket:{answer}\n")));
    let source = format!("http://{}/%s", service.address);
    let rule = format!("unix:{}/", path.rsplit_once('/').unwrap().0);
    visit(&start("BaseTokenAPI", &source, &["--allow-target", &rule]), "/?token=a");
    for options in [&[][..], &["--allow-target", "unix:/nowhere/"]] {
        let server = start("BaseTokenAPI", &source, options);
        let mut client = Client::connect(&server);
        assert_eq!(client.ask(UPGRADE.replace("GET / ", "GET /?token=a ").as_bytes()).status, 101);
        client.closed_with(1011);
    }
}

#[test]
fn redirects_are_followed_where_they_are_not_laxer() {
    let target = Target::tcp().echo();
    let address = target.address.clone();
    let (other, other_asked) = service(move |_| ok(&address));
    let elsewhere = format!("http://{}/x", other.address);
    let address = target.address.clone();
    let (service, asked) = service(move |first| {
        let path = first.split(' ').nth(1).unwrap_or_default();
        let (name, count) = path.trim_start_matches('/').split_once('-').unwrap_or((path, ""));
        match (name, count) {
            ("loop", _) => found("/loop-0"),
            ("elsewhere", _) => found(&elsewhere),
            ("scheme", _) => found("ftp://127.0.0.1/"),
            ("/none", _) => "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n".into(),
            (_, "0") => ok(&address),
            (name, count) => found(&format!("{name}-{}", count.parse::<u32>().unwrap() - 1)),
        }
    });
    let server = start("BaseTokenAPI", &format!("http://u:p@{}/%s", service.address), &[]);
    for token in ["hop-1", "hop-8", "hop-10"] {
        visit(&server, &format!("/?token={token}"));
        assert!(asked.last().contains("Authorization: Basic"), "{}", asked.last());
    }
    visit(&server, "/?token=elsewhere-0");
    assert!(!other_asked.last().contains("Authorization"), "credentials stay with their server");
    assert_eq!(status(&server, "none"), 404);
    let before = asked.count();
    for token in ["hop-11", "loop-1", "scheme-1"] {
        assert_eq!(status(&server, token), 503, "{token}");
    }
    assert_eq!(asked.count() - before, 11 + 11 + 1);
    server.log.expect("redirected too often", 2);
    server.log.expect("redirected to a URL that can't be used", 1);
}

#[test]
fn an_answer_that_lies_or_never_ends_is_an_error_and_bounded() {
    let target = Target::tcp().echo();
    let address = target.address.clone();
    let service = Target::tcp().serve(move |mut wire| {
        let head = head(&mut wire);
        let token = head.split(['/', ' ']).nth(2).unwrap_or_default().to_owned();
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        match token.as_str() {
            "short" => wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n127.0.0.1:5900"),
            "cut" => wire.send(format!("{chunked}100\r\n127.0.0.1:5900").as_bytes()),
            "two" => wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
            "ssh" => wire.send(b"SSH-2.0-OpenSSH_9.2p1\r\n"),
            "silent" => {}
            "announced" => wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n"),
            "gzip" => {
                wire.send(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b")
            }
            "fields" => {
                wire.send_what_goes(b"HTTP/1.1 200 OK\r\n");
                wire.send_what_goes(&b"A: b\r\n".repeat(1_000_000));
            }
            "megabytes" => {
                wire.send_what_goes(b"HTTP/1.1 200 OK\r\n\r\n");
                wire.send_what_goes(&vec![b'a'; 8 << 20]);
            }
            "chunks" => {
                wire.send_what_goes(chunked.as_bytes());
                wire.send_what_goes(&b"1\r\na\r\n".repeat(1 << 20));
            }
            "reset" => wire.reset(),
            // What is said behind the answer's end does not count.
            _ => wire.send_what_goes(format!("{}{}", ok(&address), "x".repeat(100_000)).as_bytes()),
        }
    });
    let server = start("BaseTokenAPI", &format!("http://{}/%s", service.address), &[]);
    for token in [
        "short",
        "cut",
        "two",
        "ssh",
        "silent",
        "announced",
        "gzip",
        "fields",
        "megabytes",
        "chunks",
        "reset",
    ] {
        let (code, time) = timed(&server, token);
        assert_eq!(code, 503, "{token}");
        assert!(time < Duration::from_secs(9), "{token} took {time:?}, so it ran into the deadline");
    }
    visit(&server, "/?token=more");
    let gone = start("BaseTokenAPI", &format!("http://{}/%s", Target::refusing().address), &[]);
    assert_eq!(status(&gone, "a"), 503);
    gone.log.wait_for("[Errno 111] Connection refused");
    let nowhere = start("BaseTokenAPI", "http://does-not-exist.invalid/%s", &[]);
    assert_eq!(status(&nowhere, "a"), 503);
}

/// The deadline is for the whole answer, by whatever it is made long. All are asked at the same time.
#[test]
fn there_is_one_deadline_however_an_answer_is_made_long() {
    let dripping = |wire: &mut Wire, bytes: &mut dyn Iterator<Item = Vec<u8>>| {
        for piece in bytes {
            std::thread::sleep(Duration::from_millis(300));
            if (&wire.0).write_all(&piece).is_err() {
                return;
            }
        }
    };
    let service = Target::tcp().serve(move |mut wire| {
        let head = head(&mut wire);
        let token = head.split(['/', ' ']).nth(2).unwrap_or_default().to_owned();
        match token.as_str() {
            "head" => dripping(
                &mut wire,
                &mut std::iter::repeat(b"HTTP/1.1 200 OK".to_vec()).flatten().map(|b| vec![b]),
            ),
            "fields" => {
                wire.send(b"HTTP/1.1 200 OK\r\n");
                dripping(&mut wire, &mut std::iter::repeat(b"A: b\r\n".to_vec()));
            }
            "body" => {
                wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
                dripping(&mut wire, &mut std::iter::repeat(b" ".to_vec()));
            }
            "chunks" => {
                wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                dripping(&mut wire, &mut std::iter::repeat(b"1\r\n \r\n".to_vec()));
            }
            "interim" => {
                dripping(&mut wire, &mut std::iter::repeat(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()))
            }
            token if token.starts_with("hops") => {
                std::thread::sleep(Duration::from_secs(3));
                wire.send_what_goes(found("hops").as_bytes());
            }
            _ => wire.wait_until_gone(),
        }
    });
    let deaf = DeafTarget::new();
    let server = start("BaseTokenAPI", &format!("http://{}/%s", service.address), &[]);
    let unconnected = start("BaseTokenAPI", &format!("http://{}/%s", deaf.address()), &[]);
    let unshaken = start("BaseTokenAPI", &format!("https://{}/%s", service.address), &[]);
    let proxy = [("https_proxy", service.address.as_str())];
    let unconnected_by_proxy = start_with("BaseTokenAPI", "https://service.invalid/%s", &[], &proxy);
    // The head of a record of TLS that goes on and on, and a value of Redis.
    let slow_tls = Target::tcp().serve(move |mut wire| {
        wire.send(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc");
        dripping(&mut wire, &mut std::iter::repeat(b"\x03".to_vec()));
    });
    let shaken_slowly = start("BaseTokenAPI", &format!("https://{}/%s", slow_tls.address), &[]);
    let slow_redis = Target::tcp().serve(move |mut wire| {
        wire.send(b"$9000\r\n");
        dripping(&mut wire, &mut std::iter::repeat(b"1".to_vec()));
    });
    let redis = start("TokenRedis", &slow_redis.address, &[]);
    std::thread::scope(|scope| {
        for token in ["head", "fields", "body", "chunks", "interim", "hops", "silence"] {
            let server = &server;
            scope.spawn(move || {
                let (code, time) = timed(server, token);
                assert_eq!(code, 503, "{token}");
                assert!(time < Duration::from_secs(12), "{token}: {time:?}");
            });
        }
        for (what, server) in [
            ("connecting", &unconnected),
            ("a TLS handshake", &unshaken),
            ("a TLS handshake that drips", &shaken_slowly),
            ("a proxy", &unconnected_by_proxy),
            ("Redis", &redis),
        ] {
            scope.spawn(move || {
                let (code, time) = timed(server, "a");
                assert_eq!(code, 503, "{what}");
                assert!(time < Duration::from_secs(12), "{what}: {time:?}");
                server.log.wait_for("no answer in time");
            });
        }
    });
    server.log.expect("no answer in time", 7);
}

#[test]
fn a_name_server_that_says_nothing_is_part_of_the_deadline() {
    let Some(network) = Namespace::new() else { return };
    network.set_name_server("127.0.0.1");
    network.set_hosts("127.0.0.1 service.test\n127.0.0.1 target.test\n");
    // It takes the questions and says nothing.
    let _name_server = network.run(|| UdpSocket::bind("127.0.0.1:53")).expect("a name server's port");
    let target = network.run(Target::tcp);
    let answer = format!("target.test:{}", target.port());
    let _target = target.echo();
    let service = network.run(Target::tcp).serve(move |mut wire| {
        head(&mut wire);
        wire.send_what_goes(ok(&answer).as_bytes());
    });
    let port = service.address.rsplit(':').next().unwrap();
    let launch = |class: &str, source: String| {
        let options = ["--token-plugin", class, "--token-source", &source, "127.0.0.1:0"];
        Server::launch(&mut network.command(&options))
    };
    let server = launch("BaseTokenAPI", format!("http://service.test:{port}/%s"));
    let redis = launch("TokenRedis", "redis.test".into());
    let request = UPGRADE.replace("GET / ", "GET /?token=a ");
    let mut session = network.run(|| Client::connect(&server));
    assert_eq!(session.ask(request.as_bytes()).status, 101);
    session.echo(b"before");
    network.set_hosts("127.0.0.1 target.test\n");
    let began = Instant::now();
    let mut hanging: Vec<Client> = (0..50)
        .map(|number| if number % 2 == 0 { &server } else { &redis })
        .map(|server| network.run(|| Client::connect(server)))
        .collect();
    for client in &mut hanging {
        client.wire.send(request.as_bytes());
        session.echo(b"hello");
    }
    for client in &mut hanging {
        assert_eq!(client.read_head().status, 503);
    }
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
    session.echo(b"after");
    server.log.wait_for("no answer in time");
    redis.log.wait_for("no answer in time");
}

#[test]
fn fifty_look_ups_at_a_service_that_hangs_harm_nobody_else() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path("w")).unwrap();
    std::fs::write(scratch.path("w/page.html"), "page").unwrap();
    let target = Target::tcp().echo();
    let address = format!("localhost:{}", target.address.rsplit(':').next().unwrap());
    let service = Target::tcp().serve(move |mut wire| match head(&mut wire) {
        head if head.contains("/good") => wire.send_what_goes(ok(&address).as_bytes()),
        _ => wire.wait_until_gone(),
    });
    let (web, auth) =
        (scratch.arg("w"), ["--web-auth", "--auth-plugin", "BasicHTTPAuth", "--auth-source", "u:p"]);
    let options = [&["--web", &web, "--token-cache", "60"], &auth[..]].concat();
    let mut server = start("BaseTokenAPI", &format!("http://{}/%s", service.address), &options);
    let basic = "Authorization: Basic dTpw\r\n";
    let upgrade = |token: &str| {
        UPGRADE
            .replace("GET / ", &format!("GET /?token={token} "))
            .replace("\r\n\r\n", &format!("\r\n{basic}\r\n"))
    };
    let mut session = Client::connect(&server);
    assert_eq!(session.ask(upgrade("good").as_bytes()).status, 101);
    session.echo(b"before");
    let began = Instant::now();
    let mut hanging: Vec<Client> = (0..50).map(|_| Client::connect(&server)).collect();
    for (number, client) in hanging.iter_mut().enumerate() {
        client.wire.send(upgrade(&format!("hangs{number}")).as_bytes());
    }
    eventually("32 lookups are on their way", || service.accepted() >= 33);
    let rounds = session.stays_quick(Duration::from_secs(3), || {
        let page = format!("GET /page.html HTTP/1.1\r\nHost: a\r\n{basic}\r\n");
        assert_eq!(Client::connect(&server).ask(page.as_bytes()).status, 200);
        let without = Client::connect(&server).ask(UPGRADE.replace("GET / ", "GET /?token=good ").as_bytes());
        assert_eq!(without.status, 401, "auth is asked first");
        // What is known of this token leads to a name, which is resolved.
        let mut another = Client::connect(&server);
        assert_eq!(another.ask(upgrade("good").as_bytes()).status, 101);
        another.echo(b"resolved");
    });
    assert!(rounds > 20, "{rounds} rounds in three seconds");
    for client in &mut hanging {
        assert_eq!(client.read_head().status, 503);
    }
    let time = began.elapsed();
    assert!(time < Duration::from_secs(12), "{time:?}");
    // When it answers again, so does the gateway.
    let mut next = Client::connect(&server);
    assert_eq!(next.ask(upgrade("good2").as_bytes()).status, 101);
    // TERM does not wait for lookups.
    let mut last = Client::connect(&server);
    last.wire.send(upgrade("hangs").as_bytes());
    let before = service.accepted();
    eventually("the lookup", || service.accepted() >= before);
    server.signal("TERM");
    let began = Instant::now();
    assert!(server.wait_within(Duration::from_secs(8)).code().is_some(), "{:?}", began.elapsed());
}

#[test]
fn clients_that_leave_give_up_their_look_ups_in_the_queue() {
    let service = Target::tcp().serve(|mut wire| {
        head(&mut wire);
        wire.wait_until_gone();
    });
    let server = start("BaseTokenAPI", &format!("http://{}/%s", service.address), &[]);
    let mut clients: Vec<Client> = (0..60).map(|_| Client::connect(&server)).collect();
    for client in &mut clients {
        client.wire.send(UPGRADE.replace("GET / ", "GET /?token=a ").as_bytes());
    }
    eventually("32 lookups are on their way", || service.accepted() == 32);
    drop(clients);
    eventually("the lookups are over", || server.connections() == 0);
    // Those in the queue were never asked.
    assert_eq!(service.accepted(), 32);
}

/// A certificate authority of its own, and a TLS server's files for `localhost`.
struct Authority {
    scratch: Scratch,
}

impl Authority {
    fn new() -> Self {
        let scratch = Scratch::new();
        let ca_key = KeyPair::generate().expect("a key");
        let mut ca = CertificateParams::new(Vec::new()).expect("no names");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = ca.self_signed(&ca_key).expect("a root");
        let issuer = Issuer::new(ca, ca_key);
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        let cert = params.signed_by(&key, &issuer).expect("a certificate");
        std::fs::write(scratch.path("ca.pem"), root.pem()).unwrap();
        std::fs::write(scratch.path("cert.pem"), cert.pem()).unwrap();
        std::fs::write(scratch.path("key.pem"), key.serialize_pem()).unwrap();
        Self { scratch }
    }

    /// A service of https with these files.
    fn serve(&self, answer: impl Fn(&str) -> String + Send + Sync + 'static) -> TlsService {
        TlsService::start(&self.scratch, answer)
    }
}

/// A service of https.
struct TlsService {
    port: u16,
    asked: Asked,
}

impl TlsService {
    fn start(scratch: &Scratch, answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        use rustls::pki_types::pem::PemObject;
        use rustls::pki_types::{CertificateDer, PrivateKeyDer};
        let cert = CertificateDer::from_pem_file(scratch.path("cert.pem")).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(scratch.path("key.pem")).expect("a key");
        let config = rustls::ServerConfig::builder().with_no_client_auth();
        let config = Arc::new(config.with_single_cert(vec![cert], key).expect("a pair"));
        let asked = Asked::default();
        let noted = asked.clone();
        let service = Target::tcp().serve(move |wire| {
            let conn = rustls::ServerConnection::new(Arc::clone(&config)).expect("a server");
            let mut stream = rustls::StreamOwned::new(conn, wire.0.try_clone().expect("a socket"));
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") {
                match std::io::Read::read(&mut stream, &mut byte) {
                    Ok(1) => head.push(byte[0]),
                    _ => return,
                }
            }
            let head = String::from_utf8(head).expect("a request is ASCII");
            let first = head.lines().next().unwrap_or_default().to_owned();
            noted.0.lock().unwrap().push(head);
            let _ = stream.write_all(answer(&first).as_bytes());
            let _ = stream.flush();
            if !first.contains("rude") {
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        });
        let port = service.address.rsplit(':').next().unwrap().parse().unwrap();
        Self { port, asked }
    }
}

#[test]
fn https_is_believed_by_the_systems_authorities_or_ssl_cert_file() {
    let authority = Authority::new();
    let target = Target::tcp().echo();
    let address = target.address.clone();
    let plain_address = target.address.clone();
    let (plain, _) = service(move |_| ok(&plain_address));
    let down = format!("http://{}/", plain.address);
    let service = authority.serve(move |first| match first.split(' ').nth(1) {
        Some("/down") => found(&down),
        // Without a length the end has to be said.
        Some("/open" | "/rude") => format!("HTTP/1.1 200 OK\r\n\r\n{address}"),
        _ => ok(&address),
    });
    let ca = authority.scratch.arg("ca.pem");
    let source = format!("https://localhost:{}/%s", service.port);
    let trusting = start_with("BaseTokenAPI", &source, &[], &[("SSL_CERT_FILE", &ca)]);
    visit(&trusting, "/?token=one");
    visit(&trusting, "/?token=open");
    assert_eq!(status(&trusting, "rude"), 503, "an answer that was cut is none");
    assert_eq!(status(&trusting, "down"), 503);
    trusting.log.wait_for("redirected from https to http");
    // http may lead to https.
    let up = format!("https://localhost:{}/up", service.port);
    let (upward, _) = self::service(move |_| found(&up));
    let source_up = format!("http://{}/%s", upward.address);
    visit(&start_with("BaseTokenAPI", &source_up, &[], &[("SSL_CERT_FILE", &ca)]), "/?token=one");
    // Another authority, and another name.
    let other = tls::identity().cert.display().to_string();
    let doubting = start_with("BaseTokenAPI", &source, &[], &[("SSL_CERT_FILE", &other)]);
    assert_eq!(status(&doubting, "one"), 503);
    doubting.log.wait_for("invalid peer certificate");
    let by_number = format!("https://127.0.0.1:{}/%s", service.port);
    assert_eq!(status(&start_with("BaseTokenAPI", &by_number, &[], &[("SSL_CERT_FILE", &ca)]), "one"), 503);
    // No authorities at all: said at the start, which goes on.
    let none = start_with(
        "BaseTokenAPI",
        &source,
        &[],
        &[("SSL_CERT_FILE", "/nowhere"), ("SSL_CERT_DIR", "/nowhere")],
    );
    assert_eq!(status(&none, "one"), 503);
    none.log.wait_for("warning: BaseTokenAPI: no certificate authorities");
}

#[test]
fn proxies_of_the_environment_are_used_as_their_scheme_wants() {
    let authority = Authority::new();
    let target = Target::tcp().echo();
    let address = target.address.clone();
    let service = authority.serve(move |_| ok(&address));
    // A proxy that knows both ways.
    let address = target.address.clone();
    let asked = Asked::default();
    let noted = asked.clone();
    let port = service.port;
    let proxy = Target::tcp().serve(move |mut wire| {
        let head = head(&mut wire);
        let first = head.lines().next().unwrap_or_default().to_owned();
        noted.0.lock().unwrap().push(head);
        if !first.starts_with("CONNECT ") {
            return wire.send_what_goes(ok(&address).as_bytes());
        }
        if first.contains("refused") {
            return wire.send_what_goes(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n");
        }
        wire.send(b"HTTP/1.1 200 Connection established\r\n\r\n");
        let onward = std::net::TcpStream::connect(("127.0.0.1", port)).expect("the service");
        let (mut from, mut to) = (wire.0.try_clone().unwrap(), onward.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        let _ = std::io::copy(&mut &onward, &mut &wire.0);
        wire.finish();
    });
    let ca = authority.scratch.arg("ca.pem");
    let by = format!("http://pu:pp@{}", proxy.address);
    let bare = proxy.address.clone();
    // `printf %s pu:pp | base64`, `printf %s u:p | base64`
    let (theirs, own) = ("\r\nProxy-Authorization: Basic cHU6cHA=\r\n", "\r\nAuthorization: Basic dTpw\r\n");
    for (name, value) in [("http_proxy", &by), ("HTTP_PROXY", &by), ("all_proxy", &by)] {
        let server =
            start_with("BaseTokenAPI", "http://u:p@service.invalid:81/x?t=%s", &[], &[(name, value)]);
        visit(&server, "/?token=a%26b");
        let head = asked.last();
        assert!(head.starts_with("GET http://service.invalid:81/x?t=a%26b HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("\r\nHost: service.invalid:81\r\n"), "{head}");
        assert!(head.contains(theirs) && head.contains(own), "{head}");
    }
    let source = format!("https://u:p@localhost:{port}/%s");
    for (name, value) in [("https_proxy", &by), ("HTTPS_PROXY", &bare)] {
        let before = asked.count();
        let server = start_with("BaseTokenAPI", &source, &[], &[(name, value), ("SSL_CERT_FILE", &ca)]);
        visit(&server, "/?token=one");
        let head = asked.last();
        assert_eq!(asked.count(), before + 1);
        assert!(head.starts_with(&format!("CONNECT localhost:{port} HTTP/1.1\r\n")), "{head}");
        assert!(head.contains(theirs) == (value == &by) && !head.contains(own), "{head}");
        let head = service.asked.last();
        assert!(
            head.starts_with("GET /one HTTP/1.1\r\n") && head.contains(own) && !head.contains(theirs),
            "{head}"
        );
    }
    // Not for this host, and not for this scheme.
    let before = asked.count();
    for environment in [
        &[("https_proxy", by.as_str()), ("no_proxy", "localhost")][..],
        &[("https_proxy", by.as_str()), ("NO_PROXY", "*")],
        &[("http_proxy", by.as_str())],
    ] {
        let environment = [environment, &[("SSL_CERT_FILE", ca.as_str())]].concat();
        visit(&start_with("BaseTokenAPI", &source, &[], &environment), "/?token=one");
    }
    assert_eq!(asked.count(), before);
    // A proxy that is itself asked by TLS.
    let secure = format!("https://pu:pp@localhost:{port}");
    let by_tls = [("http_proxy", secure.as_str()), ("SSL_CERT_FILE", &ca)];
    visit(&start_with("BaseTokenAPI", "http://service.invalid/%s", &[], &by_tls), "/?token=one");
    let head = service.asked.last();
    assert!(
        head.starts_with("GET http://service.invalid/one HTTP/1.1\r\n") && head.contains(theirs),
        "{head}"
    );
    // A proxy that refuses, is gone, or can't be used, is never passed by.
    for (source, name, value) in [
        ("https://refused.invalid/%s", "https_proxy", by.as_str()),
        (source.as_str(), "https_proxy", "socks5://127.0.0.1:1"),
        (source.as_str(), "https_proxy", "http://127.0.0.1:1"),
    ] {
        let server = start_with("BaseTokenAPI", source, &[], &[(name, value), ("SSL_CERT_FILE", &ca)]);
        assert_eq!(status(&server, "one"), 503, "{value}");
        server.log.wait_for("proxy");
    }
}

#[test]
fn what_was_found_is_kept_for_the_time_of_token_cache() {
    let target = Target::tcp().echo();
    let address = target.address.clone();
    let (service, asked) = service(move |first| match first.contains("/known") {
        true => {
            std::thread::sleep(Duration::from_millis(300));
            ok(&address)
        }
        false => "HTTP/1.1 404 Not Found\r\n\r\n".into(),
    });
    let source = format!("http://{}/%s", service.address);
    let server = start("BaseTokenAPI", &source, &["--token-cache", "600"]);
    // Those who come while it is asked get its answer.
    let mut clients: Vec<Client> = (0..20).map(|_| Client::connect(&server)).collect();
    for client in &mut clients {
        client.wire.send(UPGRADE.replace("GET / ", "GET /?token=known ").as_bytes());
    }
    for client in &mut clients {
        assert_eq!(client.read_head().status, 101);
    }
    visit(&server, "/?token=known");
    assert_eq!(asked.count(), 1);
    for _ in 0..3 {
        assert_eq!(status(&server, "unknown"), 404);
    }
    assert_eq!(asked.count(), 4);
    let server = start("BaseTokenAPI", &source, &["--token-cache=1"]);
    let before = asked.count();
    eventually("it is asked again", || {
        visit(&server, "/?token=known");
        asked.count() >= before + 2
    });
    let server = start("BaseTokenAPI", &source, &[]);
    let before = asked.count();
    for _ in 0..3 {
        visit(&server, "/?token=known");
    }
    assert_eq!(asked.count(), before + 3);
}

#[test]
fn no_part_of_a_url_reaches_the_log() {
    let target = Target::tcp();
    let (address, tries) = (target.address.clone(), Mutex::new(0));
    let (service, _) = service(move |_| {
        let mut tries = tries.lock().unwrap();
        *tries += 1;
        match *tries {
            1 => ok(&address),
            2 => "HTTP/1.1 401 tOk3nS3cret\r\nWWW-Authenticate: tOk3nS3cret\r\n\r\n".into(),
            3 => ok("tOk3nS3cret"),
            4 => "tOk3nS3cret\r\n\r\n".into(),
            5 => found("http://[tOk3nS3cret/"),
            6 => found("ftp://tOk3nS3cret/"),
            _ => found("http://127.0.0.1:1/tOk3nS3cret"),
        }
    });
    let proxied = format!("http://u:hunter2@{}/hunter2?t=%s", service.address);
    let mut server = start("BaseTokenAPI", &proxied, &["-v"]);
    let statuses: Vec<u16> = (0..7).map(|_| status(&server, "tOk3nS3cret")).collect();
    assert_eq!(statuses, [101, 404, 503, 503, 503, 503, 503]);
    server.signal("TERM");
    server.wait();
    let lines = server.log.wait_for_end();
    for secret in ["tOk3nS3cret", "hunter2", "dTpodW50ZXIy"] {
        let found: Vec<&String> = lines.iter().filter(|line| line.contains(secret)).collect();
        assert!(found.is_empty(), "{found:#?}");
    }
    // Nor do proxies' passwords, also those of proxies that can't be used or are gone.
    for proxy in
        ["http://pu:hunter2@127.0.0.1:1/hunter2", "socks5://pu:hunter2@127.0.0.1:1", "http://hunter2 x"]
    {
        let mut server = start_with("BaseTokenAPI", &proxied, &["-v"], &[("http_proxy", proxy)]);
        assert_eq!(status(&server, "tOk3nS3cret"), 503, "{proxy}");
        server.signal("TERM");
        server.wait();
        let lines = server.log.wait_for_end().join("\n");
        assert!(lines.contains("the proxy") && !lines.contains("hunter2"), "{lines}");
    }
    // Nor does what a start complains about.
    let output = Command::new(crate::common::server::program())
        .args([
            "--token-plugin",
            "BaseTokenAPI",
            "--token-source",
            "http://u:hunter2@h/hunter2",
            "127.0.0.1:0",
        ])
        .output()
        .expect("the program runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("it has no %s for the token"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}
