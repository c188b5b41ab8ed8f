//! Python classes in the style of those that others wrote, asked by Python websockify 0.13.0 and by this program, by a
//! Python with that package and by one without it; and what classes of both are told of a client's certificate.
//!
//! `WEBSOCKIFY_PYTHON` names a Python that has websockify 0.13.0; without it the tests are skipped and say so.

use std::io::{Read as _, Write as _};
use std::process::Command;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::plugins::{CLASSES, bare_python, basic, found, start};
use super::side_by_side::start_python_in;
use super::tokens_beside_python::{Outcome, named, outcome, python};
use crate::common::client::UPGRADE;
use crate::common::server::Server;
use crate::common::target::Target;
use crate::common::{Scratch, has, text, tls};

/// A table of consoles.
fn database(scratch: &Scratch, host: &str, port: &str) -> String {
    let make = "import sqlite3, sys\nd = sqlite3.connect(sys.argv[1])\n\
                d.execute('CREATE TABLE consoles (token TEXT, host TEXT, port INTEGER)')\n\
                d.execute('INSERT INTO consoles VALUES (?, ?, ?)', ('vm one', sys.argv[2], sys.argv[3]))\nd.commit()";
    let path = scratch.arg("consoles.db");
    let made = Command::new("python3").args(["-c", make, &path, host, port]).status().expect("python3");
    assert!(made.success());
    path
}

/// `host,port,until.signature`, by OpenSSL's own tool.
fn signed(key: &str, text: &str) -> String {
    let line = format!("printf %s '{text}' | openssl dgst -sha256 -hmac '{key}' -r | cut -d' ' -f1");
    let output = Command::new("sh").args(["-c", &line]).output().expect("a shell");
    format!("{text}.{}", String::from_utf8(output.stdout).expect("digits").trim())
}

#[test]
fn classes_in_the_style_of_those_in_use_mean_the_same_to_both() {
    let Some(python) = python() else { return };
    if !has("openssl") {
        return;
    }
    let scratch = Scratch::new();
    let target = named(Target::tcp(), "one");
    let (host, port) = target.split_once(':').unwrap();
    let hour = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 3600;
    let address = URL_SAFE_NO_PAD.encode(&target);
    let good = signed("k3y", &format!("{host},{port},{hour}"));
    let old = signed("k3y", &format!("{host},{port},1000"));
    let forged = signed("other", &format!("{host},{port},{hour}"));
    let tenants = format!("ann:pw={target};bob:pw={host}:1");
    let unknown = || (Outcome::Dropped, Outcome::Status(404));
    let same = |outcome: fn() -> Outcome| (outcome(), outcome());
    let no_session = || Outcome::Status(302);
    let (ann, bob, eve) = (basic("ann:pw"), basic("bob:pw"), basic("eve:pw"));
    type Case<'a> = (&'a str, &'a str, (Outcome, Outcome));
    let cases: &[(&str, &str, &str, &[Case<'_>])] = &[
        (
            "--token-plugin",
            "style.Database",
            &database(&scratch, host, port),
            &[
                ("/?token=vm%20one", "", same(found)),
                ("/?token=vm+one", "", same(found)),
                ("/?token=vm", "", unknown()),
                ("/?token=%27%20OR%201--", "", unknown()),
            ],
        ),
        (
            "--token-plugin",
            "style.Address",
            "",
            &[
                (&format!("/?token={address}"), "", same(found)),
                ("/?token=!!", "", unknown()),
                ("/?token=%C3%BC%F0%9F%98%80", "", unknown()),
            ],
        ),
        (
            "--token-plugin",
            "style.Signed",
            "k3y",
            &[
                (&format!("/?token={good}"), "", same(found)),
                (&format!("/?token={old}"), "", unknown()),
                (&format!("/?token={forged}"), "", unknown()),
                ("/?token=.", "", unknown()),
            ],
        ),
        (
            "--auth-plugin",
            "style.Cookie",
            "abc",
            &[
                ("/", "Cookie: a=b; session=abc\r\n", same(found)),
                ("/", "cookie: session=abc\r\n", same(found)),
                ("/", "Cookie: session=abcd\r\n", same(no_session)),
                ("/", "", same(no_session)),
            ],
        ),
        (
            "--auth-plugin",
            "style.Tenants",
            &tenants,
            &[
                ("/", &ann, same(found)),
                ("/", &bob, same(|| Outcome::Status(403))),
                ("/", &eve, same(|| Outcome::Status(403))),
                ("/", "", same(|| Outcome::Status(401))),
                // The class does not expect it: dropped there.
                ("/", "Authorization: Basic gA==\r\n", (Outcome::Dropped, Outcome::Status(503))),
            ],
        ),
        (
            "--auth-plugin",
            "style.Pages",
            "https://.*[.]example[.]org$",
            &[
                ("/", "Origin: https://a.example.org\r\n", same(found)),
                ("/", "Origin: https://a.example.com\r\n", same(|| Outcome::Status(403))),
                ("/", "", same(|| Outcome::Status(403))),
            ],
        ),
    ];
    let bare = bare_python(&scratch);
    for (option, class, source, cases) in cases {
        let plugin = [*option, class, &option.replace("plugin", "source"), source];
        let rest: &[&str] = if *option == "--token-plugin" { &[] } else { &[&target] };
        let theirs = start_python_in(&python, &[("PYTHONPATH", CLASSES)], &plugin, rest);
        for interpreter in [&python, &bare] {
            let ours = start(&[&plugin[..], &["--plugin-python", interpreter, "127.0.0.1:0"], rest].concat());
            for (path, headers, (their, our)) in *cases {
                assert_eq!(outcome(&ours, path, headers), *our, "{class} {path} {headers}");
                assert_eq!(outcome(&theirs, path, headers), *their, "{class} {path} {headers}");
            }
        }
    }
}

#[test]
fn a_class_is_told_the_same_of_certificates_by_both() {
    let Some(python) = python() else { return };
    if !has("openssl") {
        return;
    }
    let scratch = Scratch::new();
    let make = |name: &str, subject: &str, options: &[&str]| {
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
        command.args(["-days", "2", "-utf8", "-subj", subject, "-out", &scratch.arg(&format!("{name}.pem"))]);
        command.args(["-keyout", &scratch.arg(&format!("{name}.key"))]).args(options);
        let made = command.output().expect("openssl");
        assert!(made.status.success(), "{subject}: {}", String::from_utf8_lossy(&made.stderr));
    };
    make("ca", "/CN=authority", &[]);
    let (ca, ca_key) = (scratch.arg("ca.pem"), scratch.arg("ca.key"));
    let identity = tls::identity();
    let (cert, key, target) = (text(&identity.cert), text(&identity.key), "127.0.0.1:1");
    let options = ["--cert", &cert, "--key", &key, "--verify-client", "--cafile", &ca];
    let options = [&options, &["--auth-plugin", "odd.Certificate"][..]].concat();
    let theirs = start_python_in(&python, &[("PYTHONPATH", CLASSES)], &options, &[target]);
    let ours = start(&[&options[..], &["--plugin-python", &python, "127.0.0.1:0", target]].concat());
    for (number, (subject, name)) in SUBJECTS.iter().enumerate() {
        let file = format!("client{number}");
        make(&file, subject, &["-CA", &ca, "-CAkey", &ca_key]);
        let (cert, key) = (scratch.path(&format!("{file}.pem")), scratch.path(&format!("{file}.key")));
        let mut roots = RootCertStore::empty();
        roots.add(identity.der.clone()).expect("a root");
        let config = ClientConfig::builder().with_root_certificates(roots);
        let cert = CertificateDer::from_pem_file(cert).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(key).expect("a key");
        let config = Arc::new(config.with_client_auth_cert(vec![cert], key).expect("a pair"));
        let told = match name {
            Some(name) => format!("403 [('SSL_CLIENT_S_DN_CN', '{name}')]"),
            None => "403 []".into(),
        };
        let spoofed = "SSL_CLIENT_S_DN_CN: evil\r\n";
        for headers in ["", spoofed] {
            assert_eq!(what_is_told(&theirs, &config, headers), told, "{subject} there");
        }
        // There these reach the class, and a lookup without regard to case finds them.
        let more = "ssl_client_s_dn_cn: evil\r\nSsl_Client_S_Dn_Cn: evil\r\nsSL_client_verify: evil\r\n";
        for headers in ["", spoofed, more] {
            assert_eq!(what_is_told(&ours, &config, headers), told, "{subject} here");
        }
    }
}

/// Subjects, and the name that a class is told: the last one, where of the attributes that are joined by `+` the
/// first one counts. Those are sorted by their encoding, and so by their length first.
const SUBJECTS: &[(&str, Option<&str>)] = &[
    ("/CN=alice", Some("alice")),
    ("/O=organisation", None),
    ("/C=DE/O=organisation/CN=alice/OU=unit/emailAddress=alice@example.org", Some("alice")),
    ("/CN=alice/CN=bob", Some("bob")),
    ("/CN=Jörg", Some("J\\xf6rg")),
    ("/CN=a 😀", Some("a \\U0001f600")),
    ("/CN= ", Some(" ")),
    ("/CN=a\r\nX: b", Some("a\\r\\nX: b")),
    ("/CN=a+O=organisation", Some("a")),
    ("/O=o+CN=alice", None),
    ("/CN=alice/O=o+CN=bobby", Some("alice")),
    ("/CN=a+CN=bob", Some("a")),
];

/// The status and the reason of an answer, in which the class says what it was told.
fn what_is_told(server: &Server, config: &Arc<ClientConfig>, headers: &str) -> String {
    let stream = std::net::TcpStream::connect(server.address()).expect("connect");
    let name = ServerName::try_from("localhost").expect("a name");
    let session = ClientConnection::new(Arc::clone(config), name).expect("a client");
    let mut stream = StreamOwned::new(session, stream);
    let request = UPGRADE.replace("\r\n\r\n", &format!("\r\n{headers}\r\n"));
    stream.write_all(request.as_bytes()).expect("sent");
    let mut line = Vec::new();
    let mut byte = [0; 1];
    while !line.ends_with(b"\r\n") {
        stream.read_exact(&mut byte).expect("an answer");
        line.push(byte[0]);
    }
    String::from_utf8(line).expect("text").trim_end().trim_start_matches("HTTP/1.1 ").to_owned()
}
