//! `--novnc`: noVNC's directory is found and served, and `/` leads to its page, which connects at once.

use std::fs;
use std::path::Path;

use crate::common::Scratch;
use crate::common::client::Client;
use crate::common::server::{Server, command};

/// A directory with as much of noVNC as is asked for here.
fn novnc(scratch: &Scratch, name: &str) {
    let root = scratch.path(name);
    fs::create_dir_all(root.join("core")).expect("make the directory");
    fs::write(root.join("vnc.html"), "the page").expect("write the page");
    fs::write(root.join("core/rfb.js"), "the core").expect("write the core");
}

/// Status, Location and body of the answer to a request.
fn ask(server: &Server, line: &str) -> (u16, Option<String>, String) {
    let mut client = Client::connect(server);
    client.wire.send(format!("{line} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
    let head = client.read_head();
    let length = head.header("content-length").map_or(0, |digits| digits.parse().expect("a length"));
    let body = if line.starts_with("HEAD ") { Vec::new() } else { client.wire.read_exactly(length) };
    (head.status, head.header("location").map(str::to_owned), String::from_utf8_lossy(&body).into_owned())
}

#[test]
fn the_root_leads_to_the_page_with_its_token_and_the_rest_is_served() {
    let scratch = Scratch::new();
    novnc(&scratch, "mine");
    let option = format!("--novnc={}", scratch.arg("mine"));
    let server = Server::start(&["-v", &option, "127.0.0.1:0", "127.0.0.1:1"]);
    for (line, location) in [
        ("GET /", "vnc.html?autoconnect=1&path=websockify"),
        ("HEAD /", "vnc.html?autoconnect=1&path=websockify"),
        ("GET /?resize=scale", "vnc.html?autoconnect=1&path=websockify&resize=scale"),
        ("GET /?token=s3cret%26", "vnc.html?autoconnect=1&path=websockify%3Ftoken%3Ds3cret%2526"),
        ("GET http://example.org/?autoconnect=0", "vnc.html?path=websockify&autoconnect=0"),
    ] {
        assert_eq!(ask(&server, line), (302, Some(location.into()), String::new()), "{line}");
    }
    for (line, status, body) in [
        ("GET /vnc.html?autoconnect=1&path=websockify%3Ftoken%3Ds3cret", 200, "the page"),
        ("GET /core/rfb.js", 200, "the core"),
        ("GET /nothing", 404, "File not found\n"),
        ("GET /../../etc/passwd", 404, "File not found\n"),
    ] {
        assert_eq!(ask(&server, line), (status, None, body.into()), "{line}");
    }
    server.log.wait_for(&format!("Web root: {}", scratch.arg("mine")));
    server.log.wait_for("GET /nothing");
    assert_eq!(server.log.count("s3cret"), 0);
}

#[test]
fn it_is_found_in_the_directory_where_the_program_is_started() {
    // Where packages put it, another one may be found first; then that one is served.
    if ["/usr/share/novnc", "/usr/share/webapps/novnc", "/usr/local/share/novnc", "/opt/novnc"]
        .iter()
        .any(|place| Path::new(place).join("vnc.html").exists())
    {
        let server = Server::start(&["--novnc", "127.0.0.1:0", "127.0.0.1:1"]);
        assert_eq!(ask(&server, "GET /").0, 302);
        return;
    }
    let scratch = Scratch::new();
    novnc(&scratch, "noVNC");
    let mut start = command(&["--novnc", "127.0.0.1:0", "127.0.0.1:1"]);
    let server = Server::launch(start.current_dir(scratch.path("")));
    assert_eq!(ask(&server, "GET /vnc.html").2, "the page");
}

#[test]
fn where_it_is_not_found_one_line_says_so_and_the_exit_code_is_1() {
    let scratch = Scratch::new();
    let option = format!("--novnc={}", scratch.arg("nothing"));
    for more in [&[][..], &["-D"]] {
        let args = [&[&option[..]], more, &["127.0.0.1:0", "127.0.0.1:1"]].concat();
        let mut server = Server::spawn(&mut command(&args));
        assert_eq!(server.wait().code(), Some(1), "{more:?}");
        let lines = server.log.wait_for_end();
        let [line] = &lines[..] else { panic!("{lines:#?}") };
        let begin = format!(
            "websockify: --novnc: there is no vnc.html in {}; get noVNC with ",
            scratch.arg("nothing")
        );
        assert!(line.starts_with(&begin) && line.contains("\"apt-get install novnc\""), "{line}");
    }
}
