//! Auth plugins as browsers and operators meet them: passwords before pages and sessions, cookies that stand for
//! them, origins, certificates, and files of secrets.

use std::fs;
use std::io::Write as _;
use std::process::Command;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::common::client::{Answer, Client, UPGRADE};
use crate::common::server::Server;
use crate::common::target::Target;
use crate::common::{Scratch, has, text, tls};

fn basic(credentials: &str) -> String {
    format!("Authorization: Basic {}\r\n", STANDARD.encode(credentials))
}

/// The answer to an upgrade with these header lines.
fn upgrade(server: &Server, headers: &str) -> Answer {
    let request = UPGRADE.replace("\r\n\r\n", "\r\n");
    Client::connect(server).ask(format!("{request}{headers}\r\n").as_bytes())
}

/// The answer to a plain request, whole.
fn page(server: &Server, line: &str, headers: &str) -> Answer {
    let mut client = Client::connect(server);
    client
        .wire
        .send(format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n").as_bytes());
    client.read_answer_to_end()
}

fn with_plugin(class: &str, source: &str, options: &[&str], target: &str) -> Server {
    let plugin = ["--auth-plugin", class, "--auth-source", source];
    Server::start(&[&plugin, options, &["127.0.0.1:0", target]].concat())
}

#[test]
fn a_password_is_asked_for_before_a_session() {
    let target = Target::tcp();
    let server = with_plugin("BasicHTTPAuth", "user:SECRET", &["--heartbeat", "30"], &target.address);
    for (headers, status) in [
        (String::new(), 401),
        (basic("user:secret"), 401),
        (basic("user:"), 401),
        (basic("other:SECRET"), 401),
        ("Authorization: Basic !!!\r\n".into(), 403),
        ("Authorization: Bearer abc\r\n".into(), 403),
        (format!("Authorization: Basic {}\r\n", STANDARD.encode("nocolon")), 403),
    ] {
        let answer = upgrade(&server, &headers);
        assert_eq!(answer.status, status, "{headers}");
        let challenge = (status == 401).then_some("Basic realm=\"Websockify\"");
        assert_eq!(answer.header("www-authenticate"), challenge, "{headers}");
    }
    assert!(target.is_untouched());
    for headers in [basic("user:SECRET"), basic("user:SECRET").replace("Basic", "bAsIc")] {
        assert_eq!(upgrade(&server, &headers).status, 101);
        target.accept();
    }
}

#[test]
fn passwords_may_be_in_utf_8_or_latin_1() {
    let target = Target::tcp().echo();
    let server = with_plugin("BasicHTTPAuth", "jörg:pässword", &[], &target.address);
    assert_eq!(upgrade(&server, &basic("jörg:pässword")).status, 101);
    let latin: Vec<u8> = "jörg:pässword".chars().map(|char| char as u8).collect();
    assert_eq!(upgrade(&server, &format!("Authorization: Basic {}\r\n", STANDARD.encode(latin))).status, 101);
    assert_eq!(upgrade(&server, &basic("jörg:passwort")).status, 401);
}

#[test]
fn web_auth_stands_before_files_and_listings_in_every_kind_of_request() {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.path("w/sub")).unwrap();
    fs::write(scratch.path("w/a.txt"), "content").unwrap();
    let target = Target::tcp().echo();
    let web = scratch.arg("w");
    let server = with_plugin(
        "websockify.auth_plugins.BasicHTTPAuth",
        "u:p",
        &["--web", &web, "--web-auth"],
        &target.address,
    );
    let right = basic("u:p");
    for path in ["/a.txt", "/", "/sub/", "/sub", "/missing", "/../x", "/%00"] {
        for (method, extra) in [
            ("GET", ""),
            ("HEAD", ""),
            ("GET", "Range: bytes=0-1\r\n"),
            ("GET", "Range: bytes=0-0,2-2\r\n"),
            ("GET", "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n"),
            ("GET", "If-None-Match: *\r\n"),
            ("POST", "Content-Length: 0\r\n"),
        ] {
            let line = format!("{method} {path}");
            for wrong in ["", &basic("u:q")] {
                let answer = page(&server, &line, &format!("{extra}{wrong}"));
                assert_eq!(answer.status, 401, "{line} {extra}");
                assert_eq!(answer.header("www-authenticate"), Some("Basic realm=\"Websockify\""));
                assert!(!answer.body.contains("content"));
            }
            let answer = page(&server, &line, &format!("{extra}{right}"));
            assert_ne!(answer.status, 401, "{line} {extra}");
        }
        // Health checks have no password, and their answer is the same for every path.
        let answer = page(&server, &format!("OPTIONS {path}"), "");
        assert_eq!((answer.status, answer.body.as_str()), (204, ""), "OPTIONS {path}");
    }
    assert_eq!(page(&server, "GET /a.txt", &right).body, "content");
    // Without --web-auth only sessions are asked.
    let open = with_plugin("BasicHTTPAuth", "u:p", &["--web", &web], &target.address);
    assert_eq!(page(&open, "GET /a.txt", "").status, 200);
    assert_eq!(upgrade(&open, "").status, 401);
}

#[test]
fn a_connection_stays_behind_a_401_so_that_the_browser_can_ask_again() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("w")).unwrap();
    fs::write(scratch.path("w/a"), "content").unwrap();
    let server =
        with_plugin("BasicHTTPAuth", "u:p", &["--web", &scratch.arg("w"), "--web-auth"], "127.0.0.1:1");
    let mut client = Client::connect(&server);
    for _ in 0..3 {
        for (headers, status) in [(String::new(), 401), (basic("u:p"), 200), (basic("u:x"), 401)] {
            let answer = client.ask(format!("GET /a HTTP/1.1\r\nHost: a\r\n{headers}\r\n").as_bytes());
            assert_eq!(answer.status, status);
            let length =
                answer.header("content-length").and_then(|digits| digits.parse().ok()).expect("a length");
            client.wire.read_exactly(length);
        }
    }
}

#[test]
fn a_cookie_admits_where_the_browser_sends_no_password() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("w")).unwrap();
    fs::write(scratch.path("w/vnc.html"), "page").unwrap();
    let users = scratch.arg("users");
    fs::write(&users, "me:one\nyou:two\n").unwrap();
    let target = Target::tcp().echo();
    let options = ["--web", &scratch.arg("w"), "--web-auth", "--auth-cookie"];
    let server = with_plugin("BasicHTTPAuth", &format!("@{users}"), &options, &target.address);
    let answer = page(&server, "GET /vnc.html", &basic("me:one"));
    let set = answer.header("set-cookie").expect("a cookie").to_owned();
    assert_eq!((answer.status, answer.body.as_str()), (200, "page"));
    assert!(set.starts_with(&format!("websockify-auth-{}=", server.port)), "{set}");
    assert!(set.ends_with("; Path=/; Max-Age=28800; HttpOnly; SameSite=Strict"), "{set}");
    let cookie = format!("Cookie: theme=dark; {}\r\n", set.split(';').next().unwrap());
    let same = format!("{cookie}Origin: http://localhost\r\n");
    assert_eq!(upgrade(&server, &same).status, 101);
    assert_eq!(page(&server, "GET /vnc.html", &cookie).status, 200);
    assert_eq!(page(&server, "GET /vnc.html", &cookie).header("set-cookie"), None, "it is there already");
    for (line, headers) in
        [("GET /vnc.html", "Range: bytes=0-1\r\n"), ("HEAD /vnc.html", ""), ("GET /gone", "")]
    {
        assert!(page(&server, line, &(basic("me:one") + headers)).header("set-cookie").is_some(), "{line}");
    }
    assert!(upgrade(&server, &basic("me:one")).header("set-cookie").is_some());
    // A browser sends it for any page, so the page's origin is looked at.
    assert_eq!(upgrade(&server, &format!("{cookie}Origin: http://evil.example\r\n")).status, 403);
    let tampered =
        cookie.replacen("one", "two", 1).replace(&cookie[cookie.len() - 5..cookie.len() - 3], "AA");
    assert_eq!(upgrade(&server, &tampered).status, 401);
    assert_eq!(page(&server, "GET /vnc.html", &basic("me:two")).header("set-cookie"), None);
    // It ends with the password, and with the process.
    fs::write(&users, "me:changed\nyou:two\n").unwrap();
    assert_eq!(upgrade(&server, &cookie).status, 401);
    fs::write(&users, "me:one\nyou:two\n").unwrap();
    assert_eq!(upgrade(&server, &cookie).status, 101);
    let another = with_plugin("BasicHTTPAuth", &format!("@{users}"), &options, &target.address);
    let renamed = cookie.replace(&server.port.to_string(), &another.port.to_string());
    assert_eq!(upgrade(&another, &renamed).status, 401);
}

#[test]
fn over_tls_the_cookie_is_for_tls_only() {
    let identity = tls::identity();
    let target = Target::tcp().echo();
    let files = ["--cert", &text(&identity.cert), "--key", &text(&identity.key), "--auth-cookie"];
    let server = with_plugin("BasicHTTPAuth", "u:p", &files, &target.address);
    let request = UPGRADE.replace("\r\n\r\n", "\r\n") + &basic("u:p") + "\r\n";
    let answer = Client::connect_tls(&server).ask(request.as_bytes());
    let set = answer.header("set-cookie").expect("a cookie");
    assert_eq!(answer.status, 101);
    assert!(set.ends_with("; HttpOnly; SameSite=Strict; Secure"), "{set}");
}

#[test]
fn only_pages_of_allowed_origins_open_sessions() {
    let target = Target::tcp().echo();
    let start = |options: &[&str]| Server::start(&[options, &["127.0.0.1:0", &target.address]].concat());
    let own = start(&["--allow-origin", "same-origin"]);
    let ask = |server: &Server, host: &str, origin: &str| {
        let request =
            UPGRADE.replace("Host: localhost", &format!("Host: {host}")).replace("\r\n\r\n", "\r\n");
        let answer = Client::connect(server).ask(format!("{request}Origin: {origin}\r\n\r\n").as_bytes());
        (answer.status, answer.reason)
    };
    for (host, origin) in [
        ("gw.example", "http://gw.example"),
        ("gw.example", "https://gw.example"),
        ("GW.example:6080", "http://gw.example:6080"),
        ("gw.example:443", "https://gw.example"),
        ("[::1]:6080", "http://[::1]:6080"),
    ] {
        assert_eq!(ask(&own, host, origin).0, 101, "{host} {origin}");
    }
    for (host, origin) in [
        ("gw.example", "http://evil.example"),
        ("gw.example", "null"),
        ("gw.example", "file://"),
        ("gw.example", "http://gw.example.evil.example"),
        ("gw.example:6080", "http://gw.example"),
        ("gw.example", "http://gw.example:8000"),
        ("gw.example", "gw.example"),
        ("gw.example", ""),
    ] {
        assert_eq!(ask(&own, host, origin), (403, "Invalid Origin".into()), "{host} {origin}");
    }
    assert_eq!(upgrade(&own, "").status, 101, "no browser");
    let listed =
        start(&["--allow-origin", "https://a.example http://b.example:81", "--allow-origin", "null"]);
    for origin in ["https://a.example", "https://A.example:443", "http://b.example:81", "null"] {
        assert_eq!(ask(&listed, "gw.example", origin).0, 101, "{origin}");
    }
    for origin in ["http://a.example", "http://gw.example", "http://b.example"] {
        assert_eq!(ask(&listed, "gw.example", origin).0, 403, "{origin}");
    }
}

#[test]
fn expect_origin_lets_nothing_else_in() {
    let target = Target::tcp().echo();
    let list = "http://localhost:3100 http://127.0.0.1:3100";
    let server = with_plugin("websockify.auth_plugins.ExpectOrigin", list, &[], &target.address);
    assert_eq!(upgrade(&server, "Origin: http://localhost:3100\r\n").status, 101);
    assert_eq!(upgrade(&server, "Origin: http://127.0.0.1:3100\r\n").status, 101);
    for headers in
        ["", "Origin: http://localhost\r\n", "Origin: null\r\n", "Origin: http://LOCALHOST:3101\r\n"]
    {
        let answer = upgrade(&server, headers);
        assert_eq!((answer.status, answer.reason.as_str()), (403, "Invalid Origin"), "{headers}");
    }
}

#[test]
fn a_line_at_the_start_warns_of_pages_where_nothing_else_does() {
    let notice = "any page that a browser shows can open sessions here";
    for (args, expected) in [
        (&["0.0.0.0:0", "127.0.0.1:1"][..], 1),
        (&["[::]:0", "127.0.0.1:1"], 1),
        (&["127.0.0.1:0", "127.0.0.1:1"], 0),
        (&["127.0.0.1:0", "127.0.0.1:1"], 0),
        (&["--allow-origin", "same-origin", "0.0.0.0:0", "127.0.0.1:1"], 0),
        (&["--auth-plugin", "BasicHTTPAuth", "--auth-source", "u:p", "0.0.0.0:0", "127.0.0.1:1"], 0),
    ] {
        let mut server = Server::start(args);
        server.signal("TERM");
        server.wait();
        let lines = server.log.wait_for_end();
        assert_eq!(lines.iter().filter(|line| line.contains(notice)).count(), expected, "{args:?}");
    }
}

/// A client's certificate of an authority, with this common name.
struct Authority {
    cert: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let cert = params.self_signed(&key).expect("a certificate");
        Authority { cert, issuer: Issuer::new(params, key) }
    }

    /// What a client needs that has a certificate with these common names.
    fn client(&self, names: &[&str]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(tls::identity().der.clone()).expect("a root");
        let builder = ClientConfig::builder().with_root_certificates(roots);
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for name in names {
            params.distinguished_name.push(DnType::CommonName, *name);
        }
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let chain: Vec<CertificateDer<'static>> = vec![cert.der().clone()];
        Arc::new(builder.with_client_auth_cert(chain, key).expect("a pair"))
    }
}

/// The status that a client with a certificate gets.
fn tls_status(server: &Server, config: &Arc<ClientConfig>, request: &str) -> u16 {
    let stream = std::net::TcpStream::connect(server.address()).expect("connect");
    let name = ServerName::try_from("localhost").expect("a name");
    let session = ClientConnection::new(Arc::clone(config), name).expect("a client");
    let mut stream = StreamOwned::new(session, stream);
    stream.write_all(request.as_bytes()).expect("sent");
    let mut head = [0; 12];
    std::io::Read::read_exact(&mut stream, &mut head).expect("an answer");
    String::from_utf8_lossy(&head[9..]).parse::<u16>().expect("a status")
}

#[test]
fn a_certificate_admits_by_its_common_name_and_no_header_does() {
    let scratch = Scratch::new();
    let authority = Authority::new();
    fs::write(scratch.path("ca.pem"), authority.cert.pem()).unwrap();
    fs::create_dir(scratch.path("w")).unwrap();
    fs::write(scratch.path("w/a"), "content").unwrap();
    let identity = tls::identity();
    let target = Target::tcp().echo();
    let server = with_plugin(
        "ClientCertCNAuth",
        "alice bob",
        &[
            "--cert",
            &text(&identity.cert),
            "--key",
            &text(&identity.key),
            "--verify-client",
            "--cafile",
            &scratch.arg("ca.pem"),
            "--web",
            &scratch.arg("w"),
            "--web-auth",
        ],
        &target.address,
    );
    let status = |config: &Arc<ClientConfig>, request: &str| tls_status(&server, config, request);
    let get = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
    let (alice, eve) = (authority.client(&["alice"]), authority.client(&["eve"]));
    // Twice, since the second may resume the session of the first.
    for _ in 0..2 {
        assert_eq!(status(&alice, UPGRADE), 101);
        assert_eq!(status(&alice, get), 200);
        assert_eq!(status(&eve, UPGRADE), 403);
        assert_eq!(status(&eve, get), 403);
    }
    assert_eq!(status(&authority.client(&["Alice"]), UPGRADE), 403);
    assert_eq!(status(&authority.client(&[]), UPGRADE), 403);
    for header in ["SSL_CLIENT_S_DN_CN", "ssl_client_s_dn_cn", "Ssl-Client-S-Dn-Cn"] {
        let spoofed = UPGRADE.replace("\r\n\r\n", &format!("\r\n{header}: alice\r\n\r\n"));
        assert_eq!(status(&eve, &spoofed), 403, "{header}");
        assert_eq!(upgrade(&server, &format!("{header}: alice\r\n")).status, 403, "without TLS");
    }
}

#[test]
fn a_plugin_that_is_a_program_hears_of_the_certificate_and_of_no_header_like_it() {
    let scratch = Scratch::new();
    let authority = Authority::new();
    fs::write(scratch.path("ca.pem"), authority.cert.pem()).unwrap();
    let identity = tls::identity();
    let target = Target::tcp().echo();
    let script = "while read -r line; do id=${line#*'\"id\":'}; id=${id%%[,\\}]*}; case $line in *[Ee]vil*) a=false ;; \
                  *'[\"SSL_CLIENT_S_DN_CN\",\"alice\"]'*) a=true ;; *) a=false ;; esac; \
                  echo \"{\\\"id\\\":$id,\\\"admitted\\\":$a}\"; done";
    let (cert, key, ca) = (text(&identity.cert), text(&identity.key), scratch.arg("ca.pem"));
    let options = ["--cert", &cert, "--key", &key, "--verify-client", "--cafile", &ca];
    let server = with_plugin("exec", script, &options, &target.address);
    let status = |config: &Arc<ClientConfig>, request: &str| tls_status(&server, config, request);
    let (alice, eve) = (authority.client(&["alice"]), authority.client(&["eve"]));
    assert_eq!(status(&alice, UPGRADE), 101);
    assert_eq!(status(&eve, UPGRADE), 403);
    for header in ["SSL_CLIENT_S_DN_CN", "ssl_client_s_dn_cn", "Ssl_Client_S_Dn_Cn"] {
        let with = |value: &str| UPGRADE.replace("\r\n\r\n", &format!("\r\n{header}: {value}\r\n\r\n"));
        assert_eq!(status(&eve, &with("alice")), 403, "{header}");
        assert_eq!(status(&alice, &with("evil")), 101, "{header} is not passed on");
        assert_eq!(upgrade(&server, &format!("{header}: alice\r\n")).status, 403, "without TLS");
    }
    assert_eq!(status(&alice, &UPGRADE.replace("\r\n\r\n", "\r\nX: evil\r\n\r\n")), 403, "others are");
}

#[test]
fn a_file_of_passwords_takes_what_other_programs_write() {
    if !has("openssl") {
        return;
    }
    let scratch = Scratch::new();
    let hash = |kind: &str| {
        let output = Command::new("openssl").args(["passwd", kind, "hunter2"]).output().expect("openssl");
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    };
    let bcrypt = "$2y$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe";
    let content = format!(
        "# users\nplain:hunter2\nsha5:{}\nsha6:{}\nbcrypt:{bcrypt}\napr:{}\n",
        hash("-5"),
        hash("-6"),
        hash("-apr1"),
    );
    fs::write(scratch.path("users"), content).unwrap();
    let target = Target::tcp().echo();
    let server = with_plugin("BasicHTTPAuth", &format!("@{}", scratch.arg("users")), &[], &target.address);
    server.log.expect("line 6 admits nobody: its hash is neither bcrypt (htpasswd -B) nor SHA-crypt", 1);
    for user in ["plain", "sha5", "sha6"] {
        assert_eq!(upgrade(&server, &basic(&format!("{user}:hunter2"))).status, 101, "{user}");
        assert_eq!(upgrade(&server, &basic(&format!("{user}:hunter3"))).status, 401, "{user}");
        assert_eq!(upgrade(&server, &basic(&format!("{user}:hunter2"))).status, 101, "{user}");
    }
    // That hash is what Python's crypt makes of this password.
    assert_eq!(upgrade(&server, &basic("bcrypt:password")).status, 101);
    for credentials in ["bcrypt:hunter2", "apr:hunter2", "nobody:hunter2", &format!("bcrypt:{bcrypt}")] {
        assert_eq!(upgrade(&server, &basic(credentials)).status, 401, "{credentials}");
    }
    fs::remove_file(scratch.path("users")).unwrap();
    assert_eq!(upgrade(&server, &basic("plain:hunter2")).status, 503);
}

/// A page asks for sixty files at once, each with the password.
#[test]
fn a_burst_of_requests_with_a_hashed_password_is_answered() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("w")).unwrap();
    fs::write(scratch.path("w/a"), "content").unwrap();
    let hash = "$2y$10$vI8aWBnW3fID.ZQ4/zo1G.1FkVHEwFMLWv2yRo32uymZoEkeVSJvW";
    fs::write(scratch.path("users"), format!("me:{hash}\n")).unwrap();
    let options = ["--web", &scratch.arg("w"), "--web-auth"];
    let server = with_plugin("BasicHTTPAuth", &format!("@{}", scratch.arg("users")), &options, "127.0.0.1:1");
    let request = format!("GET /a HTTP/1.1\r\nHost: a\r\n{}\r\n", basic("me:password"));
    let mut clients: Vec<Client> = (0..60).map(|_| Client::connect(&server)).collect();
    clients.iter_mut().for_each(|client| client.wire.send(request.as_bytes()));
    for client in &mut clients {
        assert_eq!(client.read_head().status, 200);
    }
    // Strangers can have passwords hashed, so that gives way to reactors.
    let tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).expect("it runs");
    let stats = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
    let stats: Vec<String> = stats.collect();
    let [hashing, relaying] =
        ["(passwords)", "(reactor-0)"].map(|name| niceness_of(&stats, name).expect(name));
    assert!(hashing > relaying, "{hashing} {relaying}");
}

/// The niceness of the thread of this name, from the lines that the kernel has about all of them.
fn niceness_of(stats: &[String], name: &str) -> Option<i32> {
    let stat = stats.iter().find(|stat| stat.contains(name))?;
    stat.rsplit(')').next()?.split_whitespace().nth(16)?.parse().ok()
}

#[test]
fn secrets_may_come_from_files() {
    if !has("openssl") {
        return;
    }
    let scratch = Scratch::new();
    let run = |line: String| {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert!(Command::new("openssl").args(words).output().expect("openssl").status.success(), "{line}");
    };
    let (key, cert, sealed) = (scratch.arg("k"), scratch.arg("c"), scratch.arg("s"));
    run(format!("req -x509 -newkey rsa:2048 -nodes -keyout {key} -out {cert} -subj /CN=localhost -days 2"));
    run(format!("pkcs8 -topk8 -in {key} -out {sealed} -passout pass:hunter2"));
    let target = Target::tcp().echo();
    fs::write(scratch.path("pw"), "hunter2\n").unwrap();
    fs::write(scratch.path("src"), format!("{}\n", scratch.arg("t"))).unwrap();
    fs::write(scratch.path("t"), format!("one: {}\n", target.address)).unwrap();
    let server = Server::start(&[
        "--cert",
        &cert,
        "--key",
        &sealed,
        "--key-password",
        &format!("@{}", scratch.arg("pw")),
        "--token-plugin",
        "TokenFile",
        "--token-source",
        &format!("@{}", scratch.arg("src")),
        "127.0.0.1:0",
    ]);
    server.log.wait_for("  - SSL/TLS support");
    assert_eq!(server.log.count("password"), 0);
    let mut client = Client::connect(&server);
    assert_eq!(client.ask(UPGRADE.replace("GET / ", "GET /?token=one ").as_bytes()).status, 101);
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &server.address().to_string(), "-brief"])
        .stdin(std::process::Stdio::null())
        .output()
        .expect("openssl");
    assert!(String::from_utf8_lossy(&output.stderr).contains("CONNECTION ESTABLISHED"), "{output:?}");
}
