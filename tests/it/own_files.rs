//! Files of the program's own below the web root, which noVNC's start script puts there: they are never served, in
//! no way to name them.

use std::fs;
use std::os::unix::fs::symlink;

use rcgen::{CertificateParams, KeyPair};

use crate::common::Scratch;
use crate::common::client::Client;
use crate::common::server::{Server, command};

/// What must not be seen.
const SECRET: &str = "PRIVATE KEY";

fn pair() -> String {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    params.self_signed(&key).expect("a certificate").pem() + &key.serialize_pem()
}

/// The answer to a request with these lines, by a connection of its own.
fn ask(server: &Server, line: &str, headers: &str) -> (u16, String) {
    let mut client = Client::connect(server);
    let request = format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n");
    client.wire.send(request.as_bytes());
    let answer = client.read_answer_to_end();
    (answer.status, answer.body)
}

fn get(server: &Server, path: &str) -> (u16, String) {
    ask(server, &format!("GET {path}"), "")
}

#[test]
fn a_key_below_the_web_root_is_not_there_for_anybody() {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.path("root/sub")).expect("made");
    let file =
        |name: &str, content: &str| fs::write(scratch.path("root").join(name), content).expect("written");
    file("self.pem", &pair());
    file("self.pem.gz", SECRET);
    file("app.js", "plain");
    file("self.pem.html", "a page about it");
    symlink("self.pem", scratch.path("root/link.txt")).expect("linked");
    symlink("../self.pem", scratch.path("root/sub/index.html")).expect("linked");
    symlink("self.pem", scratch.path("root/app.js.gz")).expect("linked");
    fs::hard_link(scratch.path("root/self.pem"), scratch.path("root/hard.txt")).expect("linked");
    let (root, cert) = (scratch.arg("root"), scratch.arg("root/self.pem"));
    let server = Server::start(&["--web", &root, "--cert", &cert, "127.0.0.1:0", "127.0.0.1:1"]);
    server.log.wait_for(&format!("--cert {cert} lies below the web root and is not published"));
    for path in [
        "/self.pem",
        "//self.pem",
        "/%73elf.pem",
        "/sub/../self.pem",
        "/./self.pem",
        "/self.pem?x",
        "/self.pem.gz",
        "/link.txt",
        "/hard.txt",
        "/sub/",
        "/sub/index.html",
        "/app.js.gz",
        "/self.pem/",
    ] {
        for (method, headers) in [
            ("GET", ""),
            ("HEAD", ""),
            ("GET", "Range: bytes=0-9\r\n"),
            ("GET", "Range: bytes=0-9,20-29\r\n"),
            ("GET", "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n"),
            ("GET", "If-None-Match: *\r\n"),
            ("GET", "Accept-Encoding: gzip, br\r\n"),
        ] {
            let (code, body) = ask(&server, &format!("{method} {path}"), headers);
            assert!(code == 404 && !body.contains(SECRET), "{method} {path} {headers}: {code} {body}");
            assert!(method == "HEAD" || body == get(&server, "/missing").1, "{body}");
        }
    }
    server.log.wait_for("code 404, message File is one of this program's own");
    let (code, body) = ask(&server, "GET /app.js", "Accept-Encoding: gzip\r\n");
    assert_eq!((code, body.as_str()), (200, "plain"), "a sibling that is the key is not taken");
    let (code, list) = get(&server, "/");
    assert!(code == 200 && list.contains("app.js") && list.contains("self.pem.html"), "{list}");
    for name in ["\"self.pem\"", "\"self.pem.gz\"", "link.txt", "hard.txt", "app.js.gz"] {
        assert!(!list.contains(name), "{name} in {list}");
    }
    assert_eq!(get(&server, "/self.pem.html").0, 200);
}

#[test]
fn what_is_replaced_or_comes_later_is_not_published_either() {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.path("root")).expect("made");
    fs::create_dir_all(scratch.path("archive")).expect("made");
    // Certbot's way: the name is a link to the file in use, here one below the root.
    let root = scratch.arg("root");
    let later = scratch.arg("root/later/key.pem");
    let live = scratch.arg("live.pem");
    symlink(scratch.path("root/one.pem"), &live).expect("linked");
    let args = ["--web", &root, "--cert", &live, "--key", &later, "127.0.0.1:0", "127.0.0.1:1"];
    let server = Server::start(&args);
    let write =
        |name: &str, content: String| fs::write(scratch.path("root").join(name), content).expect("written");
    write("one.pem", pair());
    write("two.pem", pair());
    assert_eq!(get(&server, "/one.pem").0, 404);
    assert_eq!(get(&server, "/two.pem").0, 200, "nobody names it");
    fs::remove_file(&live).and_then(|()| symlink(scratch.path("root/two.pem"), &live)).expect("turned");
    assert_eq!(get(&server, "/two.pem").0, 404);
    for _ in 0..3 {
        write("new", pair());
        fs::rename(scratch.path("root/new"), scratch.path("root/two.pem")).expect("renamed");
        assert_eq!(get(&server, "/two.pem").0, 404);
    }
    fs::create_dir(scratch.path("root/later")).expect("made");
    write("later/key.pem", pair());
    assert_eq!(get(&server, "/later/key.pem").0, 404);
    assert!(!get(&server, "/later/").1.contains("key.pem"));
}

#[test]
fn the_default_certificate_and_the_log_with_its_rotated_ones_are_not_published() {
    let scratch = Scratch::new();
    let file = |name: &str, content: &str| fs::write(scratch.path(name), content).expect("written");
    file("self.pem", &pair());
    file("log.1", "rotated");
    file("logbook", "public");
    let mut command = command(&["--web", ".", "--log-file", "log", "127.0.0.1:0", "127.0.0.1:1"]);
    let server = Server::launch(command.current_dir(scratch.path("")));
    for path in ["/self.pem", "/log", "/log.1"] {
        assert_eq!(get(&server, path).0, 404, "{path}");
    }
    assert_eq!(get(&server, "/logbook").1, "public");
    let list = get(&server, "/").1;
    assert!(list.contains("logbook") && !list.contains("self.pem") && !list.contains("log.1"), "{list}");
    server.log.wait_for("self.pem lies below the web root and is not published");
    // A certificate that is a directory hides nothing.
    let root = scratch.arg("");
    let server = Server::start(&["--web", &root, "--cert=", "127.0.0.1:0", "127.0.0.1:1"]);
    assert_eq!(get(&server, "/logbook").1, "public");
}

#[test]
fn what_lies_in_a_directory_of_tokens_is_not_there_also_as_a_link() {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.path("root/tokens/..2026")).expect("made");
    fs::write(scratch.path("root/tokens/..2026/t.cfg"), "SECRET: 127.0.0.1:1\n").expect("written");
    // As Kubernetes lays out a Secret.
    symlink("..2026", scratch.path("root/tokens/..data")).expect("linked");
    symlink("..data/t.cfg", scratch.path("root/tokens/t.cfg")).expect("linked");
    fs::create_dir(scratch.path("root/data")).expect("made");
    symlink("../data/public", scratch.path("root/tokens/public")).expect("linked");
    fs::write(scratch.path("root/data/public"), "other: 127.0.0.1:1\n").expect("written");
    let (root, tokens) = (scratch.arg("root"), scratch.arg("root/tokens"));
    let options = ["--web", &root, "--token-plugin", "TokenFile", "--token-source", &tokens];
    let server = Server::start(&[&options[..], &["--web-dot-files", "127.0.0.1:0"]].concat());
    fs::create_dir(scratch.path("root/tokens/sub")).expect("made");
    fs::write(scratch.path("root/tokens/sub/b.cfg"), "SECRET: 127.0.0.1:1\n").expect("written");
    for path in ["/tokens/t.cfg", "/tokens/public", "/tokens/sub/b.cfg", "/tokens/sub/"] {
        let (status, body) = get(&server, path);
        assert!(status == 404 && !body.contains(": 127"), "{path}: {status} {body}");
    }
}

#[test]
fn recordings_and_the_pid_file_are_not_there_and_pages_of_like_names_are() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("root")).expect("made");
    for name in ["vnc.html", "vnc.js", "vnc.7", "vnc.7.1", "vnc.7.gz"] {
        fs::write(scratch.path("root").join(name), name).expect("written");
    }
    let (root, record, pid) = (scratch.arg("root"), scratch.arg("root/vnc"), scratch.arg("root/ws.pid"));
    let options = ["--web", &root, "--record", &record, "--pid-file", &pid];
    let server = Server::start(&[&options[..], &["127.0.0.1:0", "127.0.0.1:1"]].concat());
    for path in ["/vnc.html", "/vnc.js"] {
        assert_eq!(get(&server, path), (200, path[1..].to_owned()));
    }
    for path in ["/vnc.7", "/vnc.7.1", "/vnc.7.gz", "/ws.pid"] {
        assert_eq!(get(&server, path).0, 404, "{path}");
    }
    let listing = get(&server, "/").1;
    assert!(
        listing.contains("vnc.html") && !listing.contains("vnc.7") && !listing.contains("ws.pid"),
        "{listing}"
    );
}
