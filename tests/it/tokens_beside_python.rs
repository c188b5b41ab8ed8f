//! The same tokens and credentials to Python websockify 0.13.0 and to this program. What differs has to be one of
//! the differences intended, which stand beside their case with their reason; and a case that names one has to show
//! it.
//!
//! `WEBSOCKIFY_PYTHON` names a Python that has websockify 0.13.0; without it the tests are skipped and say so.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::side_by_side::start_python_with;
use crate::common::Scratch;
use crate::common::client::{Client, UPGRADE};
use crate::common::server::Server;
use crate::common::target::Target;

/// What becomes of an upgrade: the first bytes of the target that it led to, or the status, or nothing at all.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Target(String),
    Status(u16),
    /// 101, and then no target.
    Nowhere,
    Dropped,
}

pub(super) fn python() -> Option<String> {
    let python = std::env::var("WEBSOCKIFY_PYTHON").ok();
    if python.is_none() {
        crate::common::skipped("WEBSOCKIFY_PYTHON does not name a Python with websockify 0.13.0");
    }
    python
}

pub(super) fn outcome(server: &Server, path: &str, headers: &str) -> Outcome {
    let mut client = Client::connect(server);
    let request = UPGRADE.replace("GET / ", &format!("GET {path} "));
    let request = match headers.starts_with("Host:") {
        true => request.replace("Host: localhost\r\n", headers),
        false => request.replace("\r\n\r\n", &format!("\r\n{headers}\r\n")),
    };
    client.wire.send(request.as_bytes());
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && client.wire.brings_something_into(&mut head) {}
    let head = String::from_utf8_lossy(&head).into_owned();
    match head.get(9..12).and_then(|digits| digits.parse().ok()) {
        None => Outcome::Dropped,
        Some(101) => {
            let frame = client.frame();
            match frame.opcode {
                2 => Outcome::Target(String::from_utf8_lossy(&frame.payload).into_owned()),
                _ => Outcome::Nowhere,
            }
        }
        Some(status) => Outcome::Status(status),
    }
}

/// A target that says its name.
pub(super) fn named(target: Target, name: &'static str) -> String {
    let address = target.address.clone();
    drop(target.serve(move |mut wire| {
        wire.send(name.as_bytes());
        crate::common::target::echo(wire);
    }));
    address
}

/// Where a token that nobody knows gets: there nothing, here a status.
pub(super) const REFUSED: &str = "a refused client is answered";

#[test]
fn token_files_mean_the_same_to_both() {
    let Some(python) = python() else { return };
    let scratch = Scratch::new();
    let one = named(Target::tcp(), "one");
    let socket = scratch.arg("s");
    named(Target::unix(&scratch.path("s")), "unix");
    let port = one.rsplit(':').next().unwrap().to_owned();
    let text = format!(
        "# comment: {one}\n  # indented: {one}\nplain: {one}\ntab:\t{one}\nspaces:   {one}  \n  led: {one}\n\
         crlf: {one}\r\nwith:colon: {one}\nwith space: {one}\nname: localhost:{port}\nunix: unix_socket:{socket}\n\
         twice: 127.0.0.1:1\ntwice: {one}\nnospace:{one}\nthree: {one}: x\nplus+sign: {one}\nünï: {one}\n\
         bare: ::ffff:127.0.0.1:{port}\nbracket: [::ffff:127.0.0.1]:{port}\nempty: :{port}\nlarge: 127.0.0.1:{}\n\
         last: {one}",
        65536 + port.parse::<u32>().unwrap(),
    );
    fs::write(scratch.path("t"), text).unwrap();
    let options = ["--token-plugin", "TokenFile", "--token-source", &scratch.arg("t")];
    let theirs = start_python_with(&python, &options, &[]);
    let ours = Server::start(&[&options[..], &["127.0.0.1:0"]].concat());
    let found = || Outcome::Target("one".into());
    for (query, expected, difference) in [
        ("token=plain", found(), None),
        ("token=tab", found(), None),
        ("token=spaces", found(), None),
        ("token=led", found(), None),
        ("token=crlf", found(), None),
        ("token=with:colon", found(), None),
        ("token=with%20space", found(), None),
        ("token=with+space", found(), None),
        ("token=name", found(), None),
        ("token=unix", Outcome::Target("unix".into()), None),
        ("token=twice", found(), None),
        ("token=plus%2Bsign", found(), None),
        ("token=%C3%BCn%C3%AF", found(), None),
        ("token=bare", found(), None),
        ("token=last", found(), None),
        ("token=plain%0A", found(), None),
        ("token=&token=plain", found(), None),
        ("token=plain&token=unix", found(), None),
        ("x=y&token=plain&z", found(), None),
        ("%74oken=plain", found(), None),
        ("token=bracket", found(), Some("brackets are taken, too")),
        ("token=empty", Outcome::Status(404), Some("no host is no target")),
        ("token=large", Outcome::Status(404), Some("ports above 65535 wrap there")),
        ("token=nospace", Outcome::Status(404), Some(REFUSED)),
        ("token=three", Outcome::Status(404), Some(REFUSED)),
        ("token=%23+comment", Outcome::Status(404), Some(REFUSED)),
        ("token=absent", Outcome::Status(404), Some(REFUSED)),
        ("token=PLAIN", Outcome::Status(404), Some(REFUSED)),
        ("token=plain%0D", Outcome::Status(404), Some(REFUSED)),
        ("token=x;token=plain", Outcome::Status(404), Some(REFUSED)),
        ("x;token=plain", Outcome::Status(403), Some(REFUSED)),
        ("token=", Outcome::Status(403), Some(REFUSED)),
        ("", Outcome::Status(403), Some(REFUSED)),
    ] {
        let path = format!("/websockify?{query}");
        let (their, our) = (outcome(&theirs, &path, ""), outcome(&ours, &path, ""));
        assert_eq!(our, expected, "{query}");
        assert_eq!(
            their != our,
            difference.is_some(),
            "{query}: {their:?} there, {our:?} here, {difference:?}"
        );
    }
}

#[test]
fn host_tokens_file_names_and_sockets_mean_the_same_to_both() {
    let Some(python) = python() else { return };
    let scratch = Scratch::new();
    for dir in ["names", "socks", "socks-other"] {
        fs::create_dir(scratch.path(dir)).unwrap();
    }
    let one = named(Target::tcp(), "one");
    named(Target::unix(&scratch.path("socks/s")), "unix");
    named(Target::unix(&scratch.path("socks-other/x")), "other");
    fs::write(scratch.path("t"), format!("vm1: {one}\n")).unwrap();
    fs::write(scratch.path("names/a"), format!(" {one}\n")).unwrap();
    let both = |options: &[&str]| {
        let theirs = start_python_with(&python, options, &[]);
        (theirs, Server::start(&[options, &["127.0.0.1:0"]].concat()))
    };
    let check = |servers: &(Server, Server), path: &str, headers: &str, expected: Outcome, differs: bool| {
        let (their, our) = (outcome(&servers.0, path, headers), outcome(&servers.1, path, headers));
        assert_eq!(our, expected, "{path} {headers}");
        assert_eq!(their != our, differs, "{path} {headers}: {their:?} there, {our:?} here");
    };
    let found = || Outcome::Target("one".into());
    let hosts =
        both(&["--token-plugin", "ReadOnlyTokenFile", "--token-source", &scratch.arg("t"), "--host-token"]);
    check(&hosts, "/?token=x", "Host: vm1:6080\r\n", found(), false);
    check(&hosts, "/", "Host: vm1\r\n", found(), false);
    check(&hosts, "/", "Host: VM1\r\n", Outcome::Status(404), true);
    let names = both(&["--token-plugin", "TokenFileName", "--token-source", &scratch.arg("names")]);
    check(&names, "/?token=a", "", found(), false);
    check(&names, "/?token=..%2F..%2Fa", "", found(), false);
    check(&names, "/?token=b", "", Outcome::Status(404), true);
    let socks =
        both(&["--token-plugin", "UnixDomainSocketDirectory", "--token-source", &scratch.arg("socks")]);
    check(&socks, "/?token=s", "", Outcome::Target("unix".into()), false);
    check(&socks, "/?token=absent", "", Outcome::Status(404), true);
    // A sibling whose name begins alike is let out there.
    check(&socks, "/?token=..%2Fsocks-other%2Fx", "", Outcome::Status(403), true);
    let conf = scratch.arg("t");
    let older = both(&["--target-config", &conf]);
    check(&older, "/?token=vm1", "", found(), false);
}

#[test]
fn credentials_and_origins_mean_the_same_to_both() {
    let Some(python) = python() else { return };
    let one = named(Target::tcp(), "one");
    let both = |options: &[&str]| {
        let theirs = start_python_with(&python, options, &[&one]);
        (theirs, Server::start(&[options, &["127.0.0.1:0", &one]].concat()))
    };
    let basic = |text: &str| format!("Authorization: Basic {}\r\n", STANDARD.encode(text));
    let passwords = both(&["--auth-plugin", "BasicHTTPAuth", "--auth-source", "user:pa:ss"]);
    let found = || Outcome::Target("one".into());
    for (headers, expected, difference) in [
        (basic("user:pa:ss"), found(), None),
        (basic("user:pa"), Outcome::Status(401), None),
        (basic("User:pa:ss"), Outcome::Status(401), None),
        (basic(":"), Outcome::Status(401), None),
        (String::new(), Outcome::Status(401), None),
        (basic("nocolon"), Outcome::Status(403), None),
        ("Authorization: Bearer x\r\n".into(), Outcome::Status(403), None),
        (basic("user:pa:ss").replace("Basic", "basic"), found(), Some("the scheme is in any case")),
        ("Authorization: Basic x\r\n".into(), Outcome::Status(403), Some("dropped at bad padding")),
    ] {
        let (their, our) = (outcome(&passwords.0, "/", &headers), outcome(&passwords.1, "/", &headers));
        assert_eq!(our, expected, "{headers}");
        assert_eq!(their != our, difference.is_some(), "{headers}: {their:?} there, {our:?} here");
    }
    let list = "http://localhost:3100 http://a.example:80 null";
    let origins = both(&["--auth-plugin", "websockify.auth_plugins.ExpectOrigin", "--auth-source", list]);
    for (headers, expected, difference) in [
        ("Origin: http://localhost:3100\r\n", found(), None),
        ("Origin: null\r\n", found(), None),
        ("Origin: http://localhost\r\n", Outcome::Status(403), None),
        ("", Outcome::Status(403), None),
        ("Origin: http://a.example\r\n", found(), Some("usual ports make no difference")),
    ] {
        let (their, our) = (outcome(&origins.0, "/", headers), outcome(&origins.1, "/", headers));
        assert_eq!(our, expected, "{headers}");
        assert_eq!(their != our, difference.is_some(), "{headers}: {their:?} there, {our:?} here");
    }
}
