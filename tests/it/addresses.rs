//! Who the client is, behind proxies that others wrote: by the PROXY protocol, by header fields, and what targets are told.
//! The configurations are those of `docs/operating.md`, with ports and paths of the test's own.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use socket2::{Domain, Socket, Type};

use crate::common::admin::Admin;
use crate::common::client::{Answer, Client, UPGRADE};
use crate::common::foreign::Foreign;
use crate::common::server::Server;
use crate::common::target::Target;
use crate::common::wire::Wire;
use crate::common::{self, DEADLINE, Scratch, debian, eventually, tls};

/// Where clients connect from, so that their address is not the proxy's.
const CLIENT: [u8; 4] = [127, 0, 0, 5];

/// The text of the block in the documentation behind this mark.
fn documented(mark: &str) -> String {
    common::documented("operating.md", &format!("<!-- run by tests/it/addresses.rs: {mark} -->\n```"))
}

/// The documented options of the gateway, up to the address that it listens at.
fn options(mark: &str) -> Vec<String> {
    let line = documented(&format!("websockify {mark}"));
    let words = line.split_whitespace().skip(1).map(str::to_owned);
    words.take_while(|word| !word.starts_with("127.0.0.1:") && word != "desktop:5900").collect()
}

/// A gateway as documented, in front of `target`.
fn gateway(mark: &str, more: &[&str], target: &str) -> Server {
    let identity = tls::identity();
    let options: Vec<String> = options(mark)
        .into_iter()
        .map(|word| match word.as_str() {
            "cert.pem" => identity.cert.display().to_string(),
            "key.pem" => identity.key.display().to_string(),
            _ => word,
        })
        .collect();
    let options: Vec<&str> = options.iter().map(String::as_str).chain(more.iter().copied()).collect();
    Server::relay_with(target, &[&["-v"], &options[..]].concat())
}

/// A proxy that others wrote.
struct Proxy(Foreign);

impl Proxy {
    /// HAProxy with the documented configuration and these replacements, listening at a port of its own.
    fn haproxy(mark: &str, replacements: &[(&str, &str)]) -> Option<Proxy> {
        let program = debian::path("haproxy", debian::PROGRAMS)?;
        let text = replaced(documented(&format!("haproxy {mark}")), replacements);
        Some(Proxy(Foreign::start(|port, scratch| {
            fs::write(scratch.path("conf"), listening(&text, port)).expect("written");
            let mut command = debian::command(&program);
            command.args(["-db", "-f", &scratch.arg("conf")]);
            command
        })))
    }

    /// The same with nginx.
    fn nginx(mark: &str, replacements: &[(&str, &str)]) -> Option<Proxy> {
        let program = debian::path("nginx", debian::PROGRAMS)?;
        let modules = ["usr/lib/nginx/modules", "/usr/lib/nginx/modules"];
        let module = debian::path("ngx_stream_module.so", &modules)?;
        let text = replaced(documented(&format!("nginx {mark}")), replacements);
        Some(Proxy(Foreign::start(|port, scratch| {
            let (pid, temp) = (scratch.arg("pid"), scratch.arg("temp"));
            let own = format!(
                "load_module {module};\ndaemon off; master_process off; worker_processes 1; pid {pid};\n\
                 error_log stderr; events {{}}\n"
            );
            let http = format!(
                "http {{ access_log off; client_body_temp_path {temp}; proxy_temp_path {temp};\n\
                 fastcgi_temp_path {temp}; uwsgi_temp_path {temp}; scgi_temp_path {temp};"
            );
            let text = listening(&text, port).replace("http {", &http);
            fs::write(scratch.path("conf"), own + &text).expect("written");
            let mut command = debian::command(&program);
            command.args(["-p", "/tmp", "-c", &scratch.arg("conf")]);
            command
        })))
    }

    /// A connection through the proxy, from an address of its own.
    fn connect(&self) -> Client {
        Client { wire: Wire::new(self.dial()) }
    }

    fn dial(&self) -> Socket {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from((CLIENT, 0)).into()).expect("an address of this machine");
        let address = SocketAddr::from(([127, 0, 0, 1], self.0.port));
        socket.connect(&address.into()).expect("the proxy listens");
        socket
    }
}

/// A configuration with each of these words replaced.
fn replaced(mut text: String, replacements: &[(&str, &str)]) -> String {
    for (word, replacement) in replacements {
        assert!(text.contains(word), "{word} in {text}");
        text = text.replace(word, replacement);
    }
    text
}

/// A documented configuration that listens at this port of 127.0.0.1.
fn listening(text: &str, port: u16) -> String {
    text.replace(":443", &format!("127.0.0.1:{port}"))
        .replace("listen 443", &format!("listen 127.0.0.1:{port}"))
        .replace("127.0.0.1:5900 accept", &format!("127.0.0.1:{port} accept"))
        .replace("127.0.0.1:5900 proxy", &format!("127.0.0.1:{port} proxy"))
}

/// A session through a proxy: it echoes, and every line about it begins with the client's address.
fn assert_named(server: &Server, client: &mut Client) {
    client.echo(b"hello");
    server.log.wait_for("127.0.0.5: Plain non-SSL (ws://) WebSocket connection");
    server.log.wait_for("connecting to: ");
    let lines = server.log.lines();
    let of_session =
        lines.iter().filter(|line| line.contains("connecting to: ") || line.contains("WebSocket connection"));
    assert!(of_session.clone().count() >= 2);
    of_session.for_each(|line| assert!(line.starts_with("127.0.0.5 - - ["), "{line}"));
}

fn in_front_of(server: &Server) -> String {
    format!("127.0.0.1:{}", server.port)
}

#[test]
fn haproxy_names_the_client_by_both_versions_of_the_proxy_protocol() {
    let target = Target::tcp().echo();
    for version in ["send-proxy-v2", "send-proxy"] {
        // Without TLS, so that the request can be seen to come behind the header.
        let server = gateway("stream", &[], &target.address);
        let replacements = [("127.0.0.1:6080", &in_front_of(&server)[..]), ("send-proxy-v2", version)];
        let Some(proxy) = Proxy::haproxy("tcp", &replacements) else { return };
        let client = proxy.connect();
        assert_named(&server, &mut client.upgrade());
    }
}

#[test]
fn haproxy_passes_wss_through_and_names_the_client() {
    let target = Target::tcp().echo();
    let server = gateway("tcp", &[], &target.address);
    let Some(proxy) = Proxy::haproxy("tcp", &[("127.0.0.1:6080", &in_front_of(&server))]) else { return };
    let mut client = Client { wire: Wire::new(tls::wrap(proxy.dial(), false)) }.upgrade();
    client.echo(b"hello");
    server.log.wait_for("127.0.0.5: SSL/TLS (wss://) WebSocket connection");
}

#[test]
fn haproxy_names_the_client_at_a_unix_socket() {
    let (target, scratch) = (Target::tcp().echo(), Scratch::new());
    let path = scratch.arg("s");
    let options = options("unix");
    let options: Vec<&str> =
        options.iter().map(|word| if word == "/run/websockify.sock" { &path } else { &word[..] }).collect();
    let server = Server::start(&[&["-v"], &options[..], &[&target.address]].concat());
    let Some(proxy) = Proxy::haproxy("unix", &[("/run/websockify.sock", &path)]) else { return };
    let client = proxy.connect();
    assert_named(&server, &mut client.upgrade());
}

/// A client of TLS that trusts the identity of these tests, with a certificate for `name` if there is one.
fn secure(proxy: &Proxy, certificate: Option<(&Path, &Path)>) -> StreamOwned<ClientConnection, Socket> {
    let socket = proxy.dial();
    socket.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    let mut roots = RootCertStore::empty();
    roots.add(tls::identity().der.clone()).expect("a root");
    let config = ClientConfig::builder().with_root_certificates(roots);
    let config = match certificate {
        None => config.with_no_client_auth(),
        Some((cert, key)) => {
            use rustls::pki_types::pem::PemObject;
            let chain = vec![rustls::pki_types::CertificateDer::from_pem_file(cert).expect("a certificate")];
            let key = PrivateKeyDer::from_pem_file(key).expect("a key");
            config.with_client_auth_cert(chain, key).expect("they fit")
        }
    };
    let name = ServerName::try_from("localhost").expect("a name");
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).expect("a client"), socket)
}

/// Asks for a session with these header lines, and returns the answer's status.
fn status(mut stream: impl std::io::Read + Write, headers: &str) -> u16 {
    let request = UPGRADE.replace("\r\n\r\n", &format!("\r\n{headers}\r\n"));
    stream.write_all(request.as_bytes()).expect("sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        head.push(byte[0]);
    }
    Answer::parse(&String::from_utf8(head).expect("ASCII")).status
}

/// HAProxy's own certificate with its key, and an authority with a certificate for `me`: their paths.
fn certificates(scratch: &Scratch) -> [String; 4] {
    let identity = tls::identity();
    let read = |path: &Path| fs::read_to_string(path).expect("the identity has files");
    fs::write(scratch.path("site.pem"), read(&identity.cert) + &read(&identity.key)).expect("written");
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "clients");
    let authority_key = KeyPair::generate().expect("a key");
    let authority_cert = authority.self_signed(&authority_key).expect("a certificate");
    fs::write(scratch.path("clients.pem"), authority_cert.pem()).expect("written");
    let mut mine = CertificateParams::default();
    mine.distinguished_name.push(DnType::CommonName, "me");
    let key = KeyPair::generate().expect("a key");
    let cert = mine.signed_by(&key, &Issuer::new(authority, authority_key)).expect("a certificate");
    fs::write(scratch.path("me.pem"), cert.pem()).expect("written");
    fs::write(scratch.path("me.key"), key.serialize_pem()).expect("written");
    ["site.pem", "clients.pem", "me.pem", "me.key"].map(|name| scratch.arg(name))
}

#[test]
fn haproxy_tells_of_the_clients_tls_and_certificate_with_a_checksum() {
    let scratch = Scratch::new();
    let [site, clients, cert, key] = certificates(&scratch);
    let target = Target::tcp().echo();
    let auth = ["--auth-plugin", "ClientCertCNAuth", "--auth-source", "me"];
    let server = gateway("tls", &auth, &target.address);
    let replacements = [
        ("127.0.0.1:6080", &in_front_of(&server)[..]),
        ("/etc/haproxy/site.pem", &site),
        ("/etc/haproxy/clients.pem", &clients),
    ];
    let Some(proxy) = Proxy::haproxy("tls", &replacements) else { return };
    let me = Some((Path::new(&cert), Path::new(&key)));
    let origin = |scheme: &str| format!("Origin: {scheme}://localhost\r\n");
    assert_eq!(status(secure(&proxy, me), &origin("https")), 101);
    server.log.wait_for("127.0.0.5: named by 127.0.0.1 (proxy-protocol) over TLSv1.3, request ");
    assert_eq!(status(secure(&proxy, me), ""), 101, "no browser");
    assert_eq!(
        status(secure(&proxy, me), &origin("http")),
        403,
        "the page came over http, the session over TLS"
    );
    assert_eq!(status(secure(&proxy, None), ""), 403, "without a certificate");
}

#[test]
fn haproxy_names_the_client_in_a_header_field() {
    let scratch = Scratch::new();
    let [site, ..] = certificates(&scratch);
    let target = Target::tcp().echo();
    let server = gateway("http", &[], &target.address);
    let replacements = [("127.0.0.1:6080", &in_front_of(&server)[..]), ("/etc/haproxy/site.pem", &site)];
    let Some(proxy) = Proxy::haproxy("http", &replacements) else { return };
    assert_header_fields(&server, &proxy);
}

#[test]
fn nginx_names_the_client_in_a_header_field() {
    let scratch = Scratch::new();
    let [site, ..] = certificates(&scratch);
    let target = Target::tcp().echo();
    let server = gateway("http", &[], &target.address);
    let replacements = [("127.0.0.1:6080", &in_front_of(&server)[..]), ("/etc/nginx/site.pem", &site)];
    let Some(proxy) = Proxy::nginx("http", &replacements) else { return };
    assert_header_fields(&server, &proxy);
}

/// What a client claims of its address changes nothing, and the page's origin must be that which the proxy was asked for.
fn assert_header_fields(server: &Server, proxy: &Proxy) {
    let claims = "X-Forwarded-For: 192.0.2.66\r\nX-Real-IP: 192.0.2.66\r\nForwarded: for=192.0.2.66\r\n";
    assert_eq!(status(secure(proxy, None), claims), 101);
    server.log.wait_for("127.0.0.5: Plain non-SSL (ws://) WebSocket connection");
    assert_eq!(status(secure(proxy, None), "Origin: https://localhost\r\n"), 101);
    assert_eq!(status(secure(proxy, None), "Origin: http://localhost\r\n"), 403);
    assert_eq!(
        status(secure(proxy, None), "Origin: https://evil.example\r\nX-Forwarded-Host: evil.example\r\n"),
        403
    );
    assert_eq!(server.log.count("192.0.2.66"), 0);
}

#[test]
fn nginx_names_the_client_by_the_proxy_protocol() {
    let target = Target::tcp().echo();
    let server = gateway("stream", &[], &target.address);
    let Some(proxy) = Proxy::nginx("stream", &[("127.0.0.1:6080", &in_front_of(&server))]) else { return };
    let client = proxy.connect();
    assert_named(&server, &mut client.upgrade());
}

/// HAProxy as the target, which answers with what it was told: source, destination, host and session.
fn telling(secure: bool) -> Option<(Proxy, Scratch)> {
    let scratch = Scratch::new();
    let [site, ..] = certificates(&scratch);
    let tls = if secure { format!("accept-proxy ssl crt {site}") } else { "accept-proxy".into() };
    let answer = "http-request return status 200 content-type text/plain lf-string \
                  \"%[src] %[src_port] %[dst] %[dst_port] [%[fc_pp_authority]] [%[fc_pp_unique_id]]\"";
    let replacements =
        [("mode tcp", "mode http"), ("accept-proxy", &tls[..]), ("default_backend desktops", answer)];
    Some((Proxy::haproxy("target", &replacements)?, scratch))
}

/// What that target answers a session.
fn told(client: &mut Client) -> String {
    client.send_binary(b"GET / HTTP/1.0\r\n\r\n");
    let mut answer = String::new();
    while !answer.contains("]\r\n") && !answer.ends_with(']') {
        answer += &String::from_utf8(client.frame().payload).expect("text");
    }
    answer.rsplit("\r\n\r\n").next().expect("a body").to_owned()
}

#[test]
fn haproxy_as_the_target_is_told_the_client_before_tls_and_without() {
    for (version, secure) in [("v1", false), ("v2", false), ("v2", true)] {
        let Some((target, _scratch)) = telling(secure) else { return };
        let address = target.0.address();
        let tls: &[&str] = if secure { &["--ssl-target", "--ssl-target-insecure"] } else { &[] };
        let options = ["--access-log", "-", "--proxy-protocol-out", version];
        let server = Server::relay_with(&address, &[&options, tls].concat());
        let client = Client::connect_from(CLIENT, &server);
        let port = client.wire.port();
        let told = told(&mut client.upgrade());
        let ends = format!("127.0.0.5 {port} 127.0.0.1 {}", server.port);
        match version {
            "v1" => assert_eq!(told, format!("{ends} [] []")),
            _ => {
                let name = told
                    .strip_prefix(&format!("{ends} [localhost] ["))
                    .and_then(|rest| rest.strip_suffix(']'));
                let name = name.unwrap_or_else(|| panic!("{told}"));
                // The session's name: instance, worker, slot, generation.
                let parts: Vec<&str> = name.split('-').collect();
                assert!(parts.len() == 4 && parts[0].len() == 8 && parts[1] == "0", "{name}");
                let end = server.stdout.wait_for("session.end");
                let end: serde_json::Value = serde_json::from_str(&end).expect("JSON");
                assert_eq!(end["session.id"], name);
            }
        }
    }
}

#[test]
fn nginx_as_the_target_is_told_the_client() {
    let answer = "return \"$proxy_protocol_addr $proxy_protocol_port \
                  $proxy_protocol_server_addr $proxy_protocol_server_port\"";
    let replacements = [("proxy_pass 127.0.0.1:5901", answer)];
    for version in ["v1", "v2"] {
        let Some(target) = Proxy::nginx("target", &replacements) else { return };
        let server = Server::relay_with(&target.0.address(), &["--proxy-protocol-out", version]);
        let client = Client::connect_from(CLIENT, &server);
        let port = client.wire.port();
        let expected = format!("127.0.0.5 {port} 127.0.0.1 {}", server.port);
        assert_eq!(client.upgrade().data(expected.len()), expected.as_bytes(), "{version}");
    }
}

#[test]
fn the_client_of_a_proxy_is_told_to_the_target_with_what_it_has_connected_to() {
    let Some((target, _scratch)) = telling(false) else { return };
    let out = ["--proxy-protocol-out", "v2"];
    let server = gateway("stream", &out, &target.0.address());
    let Some(proxy) = Proxy::haproxy("tcp", &[("127.0.0.1:6080", &in_front_of(&server))]) else { return };
    let client = proxy.connect();
    let port = client.wire.port();
    let told = told(&mut client.upgrade());
    assert!(told.starts_with(&format!("127.0.0.5 {port} 127.0.0.1 {} [", proxy.0.port)), "{told}");
}

/// What the target gets first of all, for a session that sends nothing.
fn first_bytes(server: &Server, target: &Target, count: usize) -> Vec<u8> {
    let _client = Client::open(server);
    target.accept().read_exactly(count)
}

#[test]
fn a_client_without_an_address_is_unknown_or_local_to_the_target() {
    let (target, scratch) = (Target::tcp(), Scratch::new());
    for (version, expected) in [("v1", &b"PROXY UNKNOWN\r\n"[..]), ("v2", b"\r\n\r\n\0\r\nQUIT\n\x20\0")] {
        let path = scratch.arg(version);
        let server =
            Server::start(&["--proxy-protocol-out", version, "--unix-listen", &path, &target.address]);
        let mut client = Client::connect_unix(&scratch.path(version));
        assert_eq!(client.ask(UPGRADE.as_bytes()).status, 101);
        assert_eq!(target.accept().read_exactly(expected.len()), expected);
        drop(server);
    }
}

#[test]
fn a_target_at_a_unix_socket_is_told_too() {
    let scratch = Scratch::new();
    let target = Target::unix(&scratch.path("t"));
    let server =
        Server::start(&["--proxy-protocol-out", "v1", "--unix-target", &scratch.arg("t"), "127.0.0.1:0"]);
    assert_eq!(first_bytes(&server, &target, 20), b"PROXY TCP4 127.0.0.1");
}

/// A gateway that trusts 127.0.0.1, and asks for headers.
fn trusting(target: &str, more: &[&str]) -> Server {
    Server::relay_with(
        target,
        &[&["-v", "--proxy-protocol", "on", "--trusted-proxy", "127.0.0.1"], more].concat(),
    )
}

#[test]
fn a_header_in_pieces_and_the_request_in_the_same_packet_are_one_to_the_gateway() {
    let target = Target::tcp().echo();
    let server = trusting(&target.address, &[]);
    let header = b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\r\n";
    let mut together = Client::connect(&server);
    let answer = together.ask(&[&header[..], UPGRADE.as_bytes()].concat());
    assert_eq!(answer.status, 101);
    together.echo(b"together");
    let mut apart = Client::connect(&server);
    for byte in header {
        apart.wire.send(&[*byte]);
        std::thread::yield_now();
    }
    assert_eq!(apart.ask(UPGRADE.as_bytes()).status, 101);
    apart.echo(b"apart");
    eventually("two sessions in the log", || server.log.count("203.0.113.9: Plain non-SSL") == 2);
}

#[test]
fn who_is_not_trusted_can_not_name_itself() {
    let target = Target::tcp().echo();
    let server = trusting(&target.address, &["--real-ip-header", "X-Forwarded-For"]);
    for header in [
        &b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\r\n"[..],
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c",
        b"PROXY UNKNOWN\r\n",
    ] {
        let mut client = Client::connect_from(CLIENT, &server);
        let answer = client.ask(&[header, UPGRADE.as_bytes()].concat());
        assert_eq!(answer.status, 400, "{answer:?}");
    }
    let mut direct = Client::connect_from(CLIENT, &server);
    let claim = UPGRADE.replace("\r\n\r\n", "\r\nX-Forwarded-For: 203.0.113.9\r\nX-Request-Id: evil\r\n\r\n");
    assert_eq!(direct.ask(claim.as_bytes()).status, 101);
    direct.echo(b"hello");
    server.log.wait_for("127.0.0.5: Plain non-SSL (ws://) WebSocket connection");
    assert_eq!(server.log.count("203.0.113.9: "), 0);
}

#[test]
fn a_trusted_proxy_without_a_header_is_refused_with_that_reason_and_its_checks_are_silent() {
    let target = Target::tcp().echo();
    let server = trusting(&target.address, &[]);
    let mut client = Client::connect(&server);
    client.wire.send(UPGRADE.as_bytes());
    client.wire.wait_until_gone();
    server
        .log
        .wait_for("127.0.0.1: no PROXY header that can be read: the connection does not begin with one");
    let before = server.log.count("PROXY header");
    drop(Client::connect(&server));
    server.log.wait_for("client closed the connection before sending anything");
    // What proxies send for themselves has no client, and is the proxy's.
    let mut local = Client::connect(&server);
    assert_eq!(local.ask(&[b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", UPGRADE.as_bytes()].concat()).status, 101);
    server.log.wait_for("127.0.0.1: Plain non-SSL");
    let mut unknown = Client::connect(&server);
    assert_eq!(unknown.ask(&[b"PROXY UNKNOWN\r\n", UPGRADE.as_bytes()].concat()).status, 101);
    assert!(server.log.count("PROXY header that can be read") <= before);
}

#[test]
fn each_connection_of_a_trusted_proxy_is_counted_by_what_it_begins_with() {
    let target = Target::tcp().echo();
    let server = trusting(&target.address, &["--admin", "0"]);
    let admin = Admin::of(&server);
    admin.eventually_ready();
    let counted = || {
        let page = admin.get("/metrics").body;
        ["v1", "v2", "local", "missing", "broken"].map(|result| {
            let series = format!("websockify_proxy_headers_total{{result=\"{result}\"}} ");
            let value = page.lines().find_map(|line| line.strip_prefix(&series)).expect("a series");
            value.parse::<u32>().expect("a number")
        })
    };
    let v2 = |command: u8| {
        let addresses = [203, 0, 113, 9, 192, 0, 2, 1, 0x12, 0x67, 1, 0xbb];
        [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, 0x11, 0, 12], &addresses].concat()
    };
    assert_eq!(counted(), [0; 5]);
    for (header, expected) in [
        (b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\r\n".to_vec(), [1, 0, 0, 0, 0]),
        (b"PROXY UNKNOWN\r\n".to_vec(), [2, 0, 0, 0, 0]),
        (v2(0x21), [2, 1, 0, 0, 0]),
        (v2(0x20), [2, 1, 1, 0, 0]),
    ] {
        let mut client = Client::connect(&server);
        assert_eq!(client.ask(&[&header[..], UPGRADE.as_bytes()].concat()).status, 101);
        client.echo(b"hello");
        assert_eq!(counted(), expected, "{header:?}");
    }
    for (bytes, expected) in [
        (UPGRADE.as_bytes().to_vec(), [2, 1, 1, 1, 0]),
        (b"PROXY TCP4 203.0.113.9\r\n".to_vec(), [2, 1, 1, 1, 1]),
        (v2(0x22), [2, 1, 1, 1, 2]),
    ] {
        let mut client = Client::connect(&server);
        client.wire.send(&bytes);
        client.wire.wait_until_gone();
        eventually("it to be counted", || counted() == expected);
    }
    // Who is not trusted sends none, and a check of the port that says nothing is none.
    let mut direct = Client::connect_from(CLIENT, &server);
    assert_eq!(direct.ask(UPGRADE.as_bytes()).status, 101);
    drop(Client::connect(&server));
    server.log.wait_for("client closed the connection before sending anything");
    assert_eq!(counted(), [2, 1, 1, 1, 2]);
}

#[test]
fn plugins_are_told_who_the_client_is() {
    let (target, scratch) = (Target::tcp().echo(), Scratch::new());
    let port = target.address.rsplit(':').next().expect("a port").to_owned();
    let asked = scratch.arg("asked");
    let script = format!(
        "while read -r line; do echo \"$line\" >>{asked}; id=${{line#*'\"id\":'}}; id=${{id%%[,\\}}]*}}; \
         echo \"{{\\\"id\\\":$id,\\\"admitted\\\":true,\\\"target\\\":[\\\"127.0.0.1\\\",{port}]}}\"; done"
    );
    let options = [
        "--trusted-proxy",
        "127.0.0.1",
        "--token-plugin",
        "exec",
        "--token-source",
        &script,
        "--auth-plugin",
        "exec",
        "--auth-source",
        &script,
    ];
    let server = Server::start(&[&options[..], &["127.0.0.1:0"]].concat());
    let mut client = Client::connect(&server);
    let request = UPGRADE
        .replace("GET /", "GET /?token=a")
        .replace("\r\n\r\n", "\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n");
    assert_eq!(client.ask(request.as_bytes()).status, 101);
    let asked = fs::read_to_string(scratch.path("asked")).expect("it was asked");
    for method in ["lookup", "authenticate"] {
        let line =
            asked.lines().find(|line| line.contains(&format!("\"method\":\"{method}\""))).expect(method);
        assert!(line.contains("\"client\":\"203.0.113.9\""), "{line}");
    }
}

#[test]
fn trusted_networks_come_from_a_file_and_a_bad_one_ends_the_start() {
    let (target, scratch) = (Target::tcp().echo(), Scratch::new());
    fs::write(scratch.path("trusted"), "# proxies\n10.0.0.0/8 127.0.0.0/24\n").expect("written");
    let file = format!("@{}", scratch.arg("trusted"));
    let server = Server::relay_with(
        &target.address,
        &["-v", "--trusted-proxy", &file, "--real-ip-header", "Forwarded"],
    );
    let mut client = Client::connect(&server);
    let request = UPGRADE.replace("\r\n\r\n", "\r\nForwarded: for=\"[2001:db8::9]:1\", for=10.1.2.3\r\n\r\n");
    assert_eq!(client.ask(request.as_bytes()).status, 101);
    server.log.wait_for("2001:db8::9: Plain non-SSL (ws://) WebSocket connection");
    fs::write(scratch.path("trusted"), "10.0.0.0/8\n10.0.0.0/33\n").expect("written");
    let mut failed =
        Server::spawn(&mut crate::common::server::command(&["--trusted-proxy", &file, "127.0.0.1:0", "a:1"]));
    assert_eq!(failed.wait_within(Duration::from_secs(30)).code(), Some(1));
    failed.log.wait_for("line 2: neither an address, a network nor unix: '10.0.0.0/33'");
}
