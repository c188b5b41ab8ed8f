//! The web server (`--web`) from outside, byte by byte where it matters: what it serves, what it never
//! serves, and how its connections live.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, UNIX_EPOCH};

use super::Server;
use crate::common::client::{ACCEPT, Client, UPGRADE};
use crate::common::server::command;
use crate::common::target::Target;
use crate::common::{Scratch, eventually, text};

/// A web root in a scratch directory, with something beside it that must never be served.
struct Site {
    scratch: Scratch,
}

impl Site {
    fn new() -> Self {
        let site = Self { scratch: Scratch::new() };
        site.write("../secret.txt", "secret");
        for (name, content) in [
            ("a.txt", "0123456789"),
            ("app.js", "plain"),
            ("app.js.br", "brotli"),
            ("app.js.gz", "gzip"),
            ("session.7", "var VNC_frame_data = [\n'EOF'];\n"),
            (".htpasswd", "secret"),
            (".git/config", "secret"),
            (".well-known/x", "seen"),
            ("page/index.html", "the index"),
            ("old/index.htm", "the old index"),
            ("sub/one.txt", "1"),
            ("sub/<two>&.txt", "2"),
            ("sub/.hidden", "secret"),
            ("with space/a", "x"),
            ("tail\\", "backslash"),
        ] {
            site.write(name, content);
            site.set_date(name, 1_717_171_717);
        }
        site
    }

    fn root(&self) -> String {
        self.scratch.arg("root")
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.scratch.path("root").join(name);
        fs::create_dir_all(self.scratch.path("root")).expect("make the root");
        fs::create_dir_all(path.parent().expect("below the root")).expect("make a directory");
        fs::write(path, content).expect("write a file");
    }

    /// Sets a file's date, in seconds since the Unix epoch: one of just now is not sent to anybody.
    fn set_date(&self, name: &str, seconds: u64) {
        let file = fs::File::options().write(true).open(self.path(name)).expect("it is there");
        file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds)).expect("set a date");
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.scratch.path("root").join(name)
    }

    fn serve(&self) -> Server {
        self.serve_with(&[])
    }

    fn serve_with(&self, options: &[&str]) -> Server {
        Server::start(&[&["-v", "--web", &self.root()], options, &["127.0.0.1:0", "127.0.0.1:1"]].concat())
    }
}

/// What came back for one request.
struct Got {
    status: u16,
    head: crate::common::client::Answer,
    body: String,
}

impl Got {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }
}

/// Sends a request as it is and reads one answer; the connection stays where the answer ends.
fn ask(client: &mut Client, request: &str) -> Got {
    client.wire.send(request.as_bytes());
    read(client, request.starts_with("HEAD "))
}

fn read(client: &mut Client, head_only: bool) -> Got {
    let head = client.read_head();
    let length = head.header("content-length").map_or(0, |digits| digits.parse().expect("a length"));
    let body = if head_only { Vec::new() } else { client.wire.read_exactly(length) };
    let body = String::from_utf8_lossy(&body).into_owned();
    Got { status: head.status, head, body }
}

/// One GET on a connection of its own.
fn get(server: &Server, target: &str) -> Got {
    get_with(server, target, "")
}

fn get_with(server: &Server, target: &str, headers: &str) -> Got {
    ask(&mut Client::connect(server), &format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"))
}

#[test]
fn files_come_with_what_is_known_of_them() {
    let site = Site::new();
    let server = site.serve();
    for (target, kind, body) in [
        ("/a.txt", "text/plain; charset=utf-8", "0123456789"),
        ("/a.txt?x=/../y", "text/plain; charset=utf-8", "0123456789"),
        ("//a.txt", "text/plain; charset=utf-8", "0123456789"),
        ("///sub//one.txt", "text/plain; charset=utf-8", "1"),
        ("/app.js", "text/javascript; charset=utf-8", "plain"),
        ("/with%20space/a", "application/octet-stream", "x"),
        ("/.well-known/x", "application/octet-stream", "seen"),
        ("/page/", "text/html", "the index"),
        ("/old/", "text/html", "the old index"),
        ("/tail%5C", "application/octet-stream", "backslash"),
        ("http://example.org/a.txt", "text/plain; charset=utf-8", "0123456789"),
    ] {
        let got = get(&server, target);
        assert_eq!(
            (got.status, got.header("content-type"), &got.body[..]),
            (200, Some(kind), body),
            "{target}"
        );
        for name in ["server", "date", "last-modified", "etag", "x-content-type-options"] {
            assert!(got.header(name).is_some(), "{target}: {name}");
        }
        assert_eq!(got.header("cache-control"), Some("no-cache"), "{target}");
    }
    let recording = get(&server, "/session.7");
    assert_eq!(recording.header("x-content-type-options"), None, "a browser may guess that it is a script");
    let mut client = Client::connect(&server);
    let head = ask(&mut client, "HEAD /a.txt HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!((head.status, head.header("content-length")), (200, Some("10")));
    assert_eq!(
        ask(&mut client, "GET /sub/one.txt HTTP/1.1\r\nHost: a\r\n\r\n").body,
        "1",
        "no body was in between"
    );
}

#[test]
fn directories_have_a_slash_an_index_or_a_list() {
    let site = Site::new();
    let server = site.serve();
    for (target, location) in [
        ("/sub", "/sub/"),
        ("/sub?a=b&c", "/sub/?a=b&c"),
        ("//sub", "/sub/"),
        ("//sub/%2e%2e/page", "/page/"),
        ("/with%20space", "/with%20space/"),
    ] {
        let got = get(&server, target);
        assert_eq!(
            (got.status, got.header("location"), &got.body[..]),
            (301, Some(location), ""),
            "{target}"
        );
    }
    let list = get(&server, "/sub/");
    assert_eq!((list.status, list.header("content-type")), (200, Some("text/html; charset=utf-8")));
    for text in [
        "<title>Directory listing for /sub/</title>",
        "<li><a href=\"one.txt\">one.txt</a></li>",
        "<li><a href=\"%3Ctwo%3E%26.txt\">&lt;two&gt;&amp;.txt</a></li>",
        "content=\"light dark\"",
    ] {
        assert!(list.body.contains(text), "{text} in {}", list.body);
    }
    assert!(!list.body.contains("hidden"));
    assert!(get(&server, "/").body.contains("<a href=\"sub/\">sub/</a>"));
    let quiet = site.serve_with(&["--file-only"]);
    assert_eq!((get(&quiet, "/sub/").status, get(&quiet, "/").status), (404, 404));
    assert_eq!((get(&quiet, "/sub").status, get(&quiet, "/page/").status), (301, 200));
}

#[test]
fn nothing_leads_out_of_the_root_and_nothing_hangs() {
    let site = Site::new();
    let link = |name: &str, to: &str| symlink(to, site.path(name)).expect("link");
    link("out.txt", "../secret.txt");
    link("absolute.txt", &text(&site.scratch.path("secret.txt")));
    link("up", "..");
    link("etc", "/etc");
    link("loop", "loop");
    link("zero", "/dev/zero");
    link("inside.txt", "sub/one.txt");
    let made = std::process::Command::new("mkfifo").arg(site.path("pipe")).status().expect("mkfifo");
    assert!(made.success());
    let _socket = std::os::unix::net::UnixListener::bind(site.path("socket")).expect("bind");
    let server = site.serve();
    for target in [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/%2e%2e%2fsecret.txt",
        "/..%2fsecret.txt",
        "/sub/../../secret.txt",
        "/sub/..%2f..%2fsecret.txt",
        "/%252e%252e/secret.txt",
        "/..%5csecret.txt",
        "/..\\secret.txt",
        "/%c0%ae%c0%ae/secret.txt",
        "//etc/passwd",
        "/etc/passwd",
        "/out.txt",
        "/absolute.txt",
        "/up/secret.txt",
        "/up/root/a.txt",
        "/loop",
        "/zero",
        "/pipe",
        "/socket",
        "/.htpasswd",
        "/%2ehtpasswd",
        "/.git/config",
        "/.git/",
        "/sub/.hidden",
        "/a.txt/",
        "/a.txt/x",
        "/gone",
        "/gone/",
        &format!("/{}", "x".repeat(300)),
        &format!("/{}a.txt", "sub/".repeat(3000)),
        "/%ff%fe",
        "/a.txt%0d%0aX:y",
    ] {
        let got = get(&server, target);
        assert_eq!(got.status, 404, "{target}");
        assert!(!got.body.contains("secret"), "{target}");
    }
    assert_eq!(get(&server, "/a.txt%00").status, 400);
    assert_eq!(get(&server, "/inside.txt").body, "1");
    for target in
        ["//example.org/..", "/%2f%2fexample.org/..", "//example.org/%2e%2e/sub", "/\\example.org/../sub"]
    {
        let got = get(&server, target);
        let location = got.header("location").unwrap_or("/");
        assert!(location.starts_with('/') && !location.starts_with("//"), "{target} leads to {location}");
    }
    let open = site.serve_with(&["--web-outside-links", "--web-dot-files"]);
    for (target, body) in [("/out.txt", "secret"), ("/up/secret.txt", "secret"), ("/.git/config", "secret")] {
        assert_eq!(get(&open, target).body, body, "{target}");
    }
    for target in ["/loop", "/zero", "/pipe", "/socket", "/../secret.txt"] {
        assert_eq!(get(&open, target).status, 404, "{target}");
    }
}

#[test]
fn a_client_that_has_the_file_or_a_part_of_it_gets_no_more_than_it_needs() {
    let site = Site::new();
    let server = site.serve();
    // While a file is younger than the clock can tell, each answer has a tag of its own.
    let tag = |got: &Got| got.header("etag").map(str::to_owned);
    eventually("the tag stays", || tag(&get(&server, "/a.txt")) == tag(&get(&server, "/a.txt")));
    let first = get(&server, "/a.txt");
    let (tag, date) = (first.header("etag").expect("a tag"), first.header("last-modified").expect("a date"));
    let mut client = Client::connect(&server);
    for (headers, status, body) in [
        (format!("If-None-Match: {tag}"), 304, ""),
        ("If-None-Match: *".into(), 304, ""),
        (format!("If-Modified-Since: {date}"), 304, ""),
        (format!("If-Modified-Since: {date}\r\nIf-None-Match: \"x\""), 200, "0123456789"),
        ("If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT".into(), 200, "0123456789"),
        ("If-Match: \"x\"".into(), 412, "Precondition Failed\n"),
        ("Range: bytes=2-4".into(), 206, "234"),
        ("Range: bytes=-3".into(), 206, "789"),
        ("Range: bytes=10-".into(), 416, "Range Not Satisfiable\n"),
        ("Range: bytes=4-2".into(), 200, "0123456789"),
        (format!("Range: bytes=0-1\r\nIf-Range: {tag}"), 206, "01"),
        (format!("Range: bytes=0-1\r\nIf-Range: {date}"), 200, "0123456789"),
        ("Range: bytes=0-1\r\nIf-Range: \"x\"".into(), 200, "0123456789"),
    ] {
        let got = ask(&mut client, &format!("GET /a.txt HTTP/1.1\r\nHost: a\r\n{headers}\r\n\r\n"));
        assert_eq!((got.status, &got.body[..]), (status, body), "{headers}");
    }
    let part = get_with(&server, "/a.txt", "Range: bytes=2-4\r\n");
    assert_eq!(part.header("content-range"), Some("bytes 2-4/10"));
    assert_eq!(
        get_with(&server, "/a.txt", "Range: bytes=10-\r\n").header("content-range"),
        Some("bytes */10")
    );
    let parts = get_with(&server, "/a.txt", "Range: bytes=0-0,-1\r\n");
    let kind = parts.header("content-type").expect("a type");
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").expect("several parts");
    assert_eq!(parts.body.matches(boundary).count(), 3);
    assert!(parts.body.contains("Content-Range: bytes 9-9/10\r\n\r\n9\r\n"));
}

#[test]
fn compressed_siblings_are_sent_to_those_who_take_them() {
    let site = Site::new();
    let server = site.serve();
    for (accept, coding, body) in [
        ("gzip, deflate, br, zstd", Some("br"), "brotli"),
        ("gzip, deflate", Some("gzip"), "gzip"),
        ("br;q=0, gzip;q=0.5", Some("gzip"), "gzip"),
        ("identity", None, "plain"),
    ] {
        let got = get_with(&server, "/app.js", &format!("Accept-Encoding: {accept}\r\n"));
        assert_eq!((got.header("content-encoding"), &got.body[..]), (coding, body), "{accept}");
        assert_eq!(got.header("vary"), Some("Accept-Encoding"), "{accept}");
        assert_eq!(got.header("content-type"), Some("text/javascript; charset=utf-8"), "{accept}");
    }
}

#[test]
fn the_operator_decides_about_caching_and_further_headers() {
    let site = Site::new();
    let server = site.serve_with(&[
        "--web-cache-control=public, max-age=60",
        "--web-header",
        "Cross-Origin-Opener-Policy: same-origin",
        "--web-header=Access-Control-Allow-Origin: *",
    ]);
    for target in ["/a.txt", "/sub", "/sub/", "/gone"] {
        let got = get(&server, target);
        assert_eq!(got.header("cache-control"), Some("public, max-age=60"), "{target}");
        assert_eq!(got.header("cross-origin-opener-policy"), Some("same-origin"), "{target}");
        assert_eq!(got.header("access-control-allow-origin"), Some("*"), "{target}");
    }
}

#[test]
fn other_methods_are_refused_and_the_connection_goes_on() {
    let site = Site::new();
    let server = site.serve();
    let mut client = Client::connect(&server);
    for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "get"] {
        let got =
            ask(&mut client, &format!("{method} /a.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nGET"));
        assert_eq!((got.status, got.header("allow")), (405, Some("GET, HEAD, OPTIONS")), "{method}");
    }
    for target in ["*", "/", "/gone"] {
        let got = ask(&mut client, &format!("OPTIONS {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!((got.status, got.header("allow")), (204, Some("GET, HEAD, OPTIONS")));
        assert_eq!((got.header("content-length"), got.header("content-type")), (None, None));
    }
    assert_eq!(ask(&mut client, "GET /sub/one.txt HTTP/1.1\r\nHost: a\r\n\r\n").body, "1");
}

#[test]
fn requests_may_come_together_and_an_upgrade_may_be_the_last() {
    let site = Site::new();
    let target = Target::tcp().echo();
    let server = Server::start(&["--web", &site.root(), "127.0.0.1:0", &target.address]);
    let mut client = Client::connect(&server);
    let get = "GET /a.txt HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let head = "HEAD /a.txt HTTP/1.1\r\nHost: localhost\r\n\r\n";
    client.wire.send([get, head, "GET /gone HTTP/1.1\r\nHost: a\r\n\r\n", get, UPGRADE].concat().as_bytes());
    let statuses = [false, true, false, false].map(|head_only| read(&mut client, head_only).status);
    assert_eq!(statuses, [200, 200, 404, 200]);
    let answer = client.read_head();
    assert_eq!((answer.status, answer.header("sec-websocket-accept")), (101, Some(ACCEPT)));
    client.echo(b"relayed");
    client.close();
    let mut other = Client::connect(&server);
    other.wire.send(UPGRADE.replace("GET / ", "GET /a.txt ").as_bytes());
    assert_eq!(other.read_head().status, 101, "an upgrade wins over a file of the same name");
}

#[test]
fn a_connection_lives_as_long_as_both_sides_want() {
    let site = Site::new();
    let server = site.serve();
    for (request, stays) in [
        ("GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n", true),
        ("GET /a.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false),
        ("GET /a.txt HTTP/1.0\r\n\r\n", false),
        ("GET /a.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true),
        ("GET /gone HTTP/1.1\r\nHost: a\r\n\r\n", true),
        ("POST /a.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n", false),
        ("POST /a.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", false),
        ("POST /a.txt HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", false),
    ] {
        let mut client = Client::connect(&server);
        let got = ask(&mut client, request);
        assert_eq!(got.header("connection") == Some("close"), !stays, "{request}");
        if stays {
            assert_eq!(
                ask(&mut client, "GET /sub/one.txt HTTP/1.1\r\nHost: a\r\n\r\n").body,
                "1",
                "{request}"
            );
        } else {
            client.ended();
        }
    }
    let mut client = Client::connect(&server);
    client.wire.send(b"GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n");
    client.wire.finish();
    assert_eq!(read(&mut client, false).body, "0123456789", "a client may end its side behind its request");
    client.ended();
}

#[test]
fn a_client_that_waits_for_leave_to_send_is_not_kept_waiting() {
    let site = Site::new();
    let server = site.serve();
    let mut client = Client::connect(&server);
    let expect = "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    let go_on = ask(&mut client, &format!("GET /a.txt HTTP/1.1\r\nHost: a\r\n{expect}"));
    assert_eq!(go_on.status, 100);
    client.wire.send(b"abc");
    assert_eq!(read(&mut client, false).body, "0123456789");
    assert_eq!(ask(&mut client, &format!("POST /a.txt HTTP/1.1\r\nHost: a\r\n{expect}")).status, 405);
    client.ended();
}

#[test]
fn a_huge_file_reaches_a_slow_client_in_bounded_memory() {
    let site = Site::new();
    let large = File::create(site.path("large")).expect("create");
    large.set_len(2 << 30).expect("a sparse file");
    std::os::unix::fs::FileExt::write_all_at(&large, b"the end", (2 << 30) - 7).expect("write");
    let server = site.serve();
    let before = server.memory_kib();
    let mut clients: Vec<Client> = (0..20).map(|_| Client::connect_narrow(&server)).collect();
    for client in &mut clients {
        client.wire.send(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.read_head().header("content-length"), Some("2147483648"));
    }
    for client in &mut clients {
        assert!(client.wire.read_exactly(1 << 20).iter().all(|&byte| byte == 0));
    }
    let grown = server.memory_kib().saturating_sub(before);
    assert!(grown < 20 << 10, "20 downloads hold {grown} KiB");
    drop(clients);
    let tail = get_with(&server, "/large", "Range: bytes=2147483641-\r\n");
    assert_eq!((tail.status, &tail.body[..]), (206, "the end"));
}

#[test]
fn a_file_that_changes_while_it_is_sent_never_breaks_the_framing() {
    let site = Site::new();
    let content = vec![b'x'; 32 << 20];
    site.write("shrinks", &content);
    site.write("grows", &content);
    let server = site.serve();
    let mut client = Client::connect_narrow(&server);
    client.wire.send(b"GET /shrinks HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.read_head().header("content-length"), Some("33554432"));
    File::options()
        .write(true)
        .open(site.path("shrinks"))
        .and_then(|file| file.set_len(1000))
        .expect("shrink");
    client.wire.wait_until_gone();
    server.log.wait_for("a file could not be read to the end");

    let mut client = Client::connect_narrow(&server);
    client.wire.send(b"GET /grows HTTP/1.1\r\nHost: a\r\n\r\nGET /sub/one.txt HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.read_head().header("content-length"), Some("33554432"));
    // Appended, since rewriting it would let it shrink for a moment.
    let mut grows = File::options().append(true).open(site.path("grows")).expect("open");
    std::io::Write::write_all(&mut grows, b"more").expect("append");
    for _ in 0..32 {
        assert!(client.wire.read_exactly(1 << 20).iter().all(|&byte| byte == b'x'));
    }
    assert_eq!(read(&mut client, false).body, "1", "the next answer begins where it should");
}

#[test]
fn requests_are_logged_as_the_python_program_does_and_without_secrets() {
    let site = Site::new();
    let server = site.serve();
    let root = site.root();
    server.log.expect(&format!("  - Web server. Web root: {root}"), 1);
    get(&server, "/a.txt?token=abc");
    get(&server, "/gone?password=abc");
    ask(&mut Client::connect(&server), "DELETE /a.txt HTTP/1.1\r\nHost: a\r\n\r\n");
    server.log.wait_for("\"GET /a.txt?token=*** HTTP/1.1\" 200 -");
    server.log.wait_for("code 404, message File not found");
    server.log.wait_for("\"GET /gone?password=*** HTTP/1.1\" 404 -");
    server.log.wait_for("code 405, message Method Not Allowed");
    server.log.wait_for("\"DELETE /a.txt HTTP/1.1\" 405 -");
    assert!(server.log.lines().iter().all(|line| !line.contains("abc")));
    let quiet = site.serve_with(&["--file-only"]);
    quiet.log.expect(&format!("  - Web server (no directory listings). Web root: {root}"), 1);
}

#[test]
fn a_root_that_is_none_ends_the_program_at_once() {
    let site = Site::new();
    for root in [site.path("gone"), site.path("a.txt")] {
        let mut server = Server::spawn(&mut command(&["--web", &text(&root), "127.0.0.1:0", "127.0.0.1:1"]));
        assert_eq!(server.wait().code(), Some(1));
        let lines = server.log.wait_for_end();
        assert!(
            lines
                .iter()
                .any(|line| line.starts_with(&format!("websockify: error: --web {}: [Errno ", text(&root)))),
            "{lines:?}"
        );
    }
}

#[test]
fn a_web_root_that_is_replaced_by_another_is_served() {
    let site = Site::new();
    let (first, second) = (site.scratch.path("first"), site.scratch.path("second"));
    for (root, content) in [(&first, "1"), (&second, "2")] {
        fs::create_dir(root).expect("make a root");
        fs::write(root.join("a"), content).expect("write a file");
    }
    let current = site.scratch.path("current");
    // Links that releases are made with: to their own files by either name.
    for root in [&first, &second] {
        symlink(root.join("a"), root.join("by-release")).expect("link");
        symlink(current.join("a"), root.join("by-current")).expect("link");
    }
    symlink(&first, &current).expect("link");
    let server = Server::start(&["--web", &text(&current), "127.0.0.1:0", "127.0.0.1:1"]);
    let turn_to = |root: &Path| {
        symlink(root, site.scratch.path("next")).expect("link");
        fs::rename(site.scratch.path("next"), &current).expect("swap");
    };
    for (root, content) in [(&first, "1"), (&second, "2"), (&first, "1")] {
        turn_to(root);
        for target in ["/a", "/by-release", "/by-current"] {
            let got = get(&server, target);
            assert_eq!((got.status, &got.body[..]), (200, content), "{target}");
        }
    }
    // While it is turned to and fro, and what it was turned away from is taken away and comes back, whatever both
    // have is there.
    let (answers, away) = (AtomicU32::new(0), site.scratch.path("away"));
    std::thread::scope(|scope| {
        let turner = scope.spawn(|| {
            for turn in 0..200 {
                let (next, last) = if turn % 2 == 0 { (&second, &first) } else { (&first, &second) };
                let before = answers.load(Ordering::Relaxed);
                turn_to(next);
                fs::rename(last.join("a"), &away).expect("taken away");
                fs::rename(&away, last.join("a")).expect("back");
                // One request meets one turn at most: no release is turned to twice in a moment.
                let begun = Instant::now();
                while answers.load(Ordering::Relaxed) == before {
                    assert!(begun.elapsed() < Duration::from_secs(20), "the next answer comes");
                    std::thread::yield_now();
                }
            }
        });
        let mut client = Client::connect(&server);
        let mut wrong = Vec::new();
        while !turner.is_finished() {
            // A connection serves a thousand requests.
            if answers.load(Ordering::Relaxed) % 900 == 897 {
                client = Client::connect(&server);
            }
            for target in ["/a", "/by-release", "/by-current"] {
                let got = ask(&mut client, &format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
                answers.fetch_add(1, Ordering::Relaxed);
                if got.status != 200 || !["1", "2"].contains(&&got.body[..]) {
                    wrong.push((target, got.status));
                }
            }
        }
        assert_eq!(wrong, []);
    });
}

#[test]
fn what_may_not_be_read_is_not_there_and_the_log_says_why() {
    if Server::IS_SECURE {
        return;
    }
    let site = Site::new();
    site.write("shut/index.html", "the index");
    site.write("shut/a.txt", "a");
    site.write("closed/a.txt", "a");
    site.write("unlisted/a.txt", "a");
    for (name, mode) in [
        ("shut/index.html", 0o000),
        ("app.js", 0o000),
        ("page/index.html", 0o200),
        ("closed", 0o600),
        ("unlisted", 0o311),
        ("app.js.br", 0o000),
    ] {
        fs::set_permissions(site.path(name), fs::Permissions::from_mode(mode)).expect("set the mode");
    }
    symlink("closed/a.txt", site.path("to-closed")).expect("link");
    // What the superuser may is not a test.
    let prefix: &[&str] = match rustix::process::geteuid().is_root() {
        true => &["setpriv", "--reuid", "65531", "--clear-groups"],
        false => &["env"],
    };
    let program = crate::common::server::program();
    let run = |args: &[&str]| {
        let mut command = std::process::Command::new(prefix[0]);
        command.args(&prefix[1..]).arg(&program).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    if !run(&["--version"]).status().is_ok_and(|status| status.success()) {
        crate::common::skipped("the program can't be started as another user");
        return;
    }
    let server = crate::common::server::Server::launch(&mut run(&[
        "--web",
        &site.root(),
        "127.0.0.1:0",
        "127.0.0.1:1",
    ]));
    let get = |target: &str| {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: br, gzip\r\n\r\n");
        ask(&mut Client::connect(&server), &request)
    };
    let denied = ["/shut/", "/app.js", "/page/", "/closed/a.txt", "/to-closed", "/unlisted/"];
    for (at, target) in denied.into_iter().enumerate() {
        let got = get(target);
        assert_eq!((got.status, &got.body[..]), (404, "File not found\n"), "{target}");
        server.log.wait_for_nth("code 404, message File not found (Permission denied)", at + 1);
    }
    assert_eq!(get("/unlisted/a.txt").body, "a");
    assert_eq!(get("/shut/a.txt").body, "a");
}

/// Whether a program that other people wrote agrees; skipped, and said so, where it is not installed.
#[test]
fn curl_resumes_revalidates_and_reuses_connections() {
    if Server::IS_SECURE || !crate::common::has("curl") {
        return;
    }
    let site = Site::new();
    site.write("data", crate::common::flow::pattern(3_000_000));
    let server = site.serve();
    let url = |name: &str| format!("http://{}/{name}", server.address());
    let curl = |args: &[&str]| {
        let mut command = std::process::Command::new("curl");
        command.args(["-sS", "--max-time", "20"]).args(args).output().expect("curl runs")
    };
    let first = curl(&["-D", "-", "-o", "/dev/null", &url("data")]);
    let text_of = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(first.status.success(), "{}", text_of(&first.stderr));
    let partial = site.scratch.path("partial");
    fs::write(&partial, crate::common::flow::pattern(1_000_000)).expect("write");
    let resumed = curl(&["-C", "-", "-o", &text(&partial), &url("data")]);
    assert!(resumed.status.success(), "{}", text_of(&resumed.stderr));
    assert!(same(&partial, &site.path("data")));
    let reused =
        curl(&["-w", "%{num_connects} ", &url("a.txt"), &url("sub/one.txt"), &url("gone"), &url("a.txt")]);
    let reused = text_of(&reused.stdout);
    assert_eq!(reused, "01234567891 10 File not found\n0 01234567890 ");
    let post = curl(&[
        "-d",
        "x=y",
        "-H",
        "Expect: 100-continue",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        &url("a.txt"),
    ]);
    assert_eq!(text_of(&post.stdout), "405");
    let parts = text_of(&curl(&["-r", "0-1,5-6", &url("a.txt")]).stdout);
    assert!(parts.contains("Content-Range: bytes 5-6/10\r\n\r\n56"), "{parts}");
}

fn same(one: &Path, other: &Path) -> bool {
    fs::read(one).expect("readable") == fs::read(other).expect("readable")
}
