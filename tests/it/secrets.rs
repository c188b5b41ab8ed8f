//! Secrets planted in every place that a client, a file or the command line has for them, in every encoding; then
//! the whole log is read for them.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::common::Scratch;
use crate::common::client::{Client, UPGRADE};
use crate::common::server::Server;
use crate::common::target::Target;

/// What must not be in the log, in none of the forms that it may have.
const TOKEN: &str = "tOk3n-5ecret~9Zq";
const PASSWORD: &str = "pA55w0rd+x/9";
const COOKIE: &str = "c00kie5ecretv4lue";

/// The forms in which a secret could be written.
fn forms(secret: &str) -> Vec<String> {
    let percent = |all: bool| -> String {
        let keep = |byte: u8| !all && (byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte));
        secret
            .bytes()
            .map(|b| if keep(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
            .collect()
    };
    let twice = percent(true).replace('%', "%25");
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    vec![
        secret.to_owned(),
        percent(false),
        percent(true),
        percent(true).to_lowercase(),
        twice,
        hex,
        STANDARD.encode(secret).trim_end_matches('=').to_owned(),
        URL_SAFE_NO_PAD.encode(secret),
        STANDARD.encode(format!("user:{secret}")).trim_end_matches('=').to_owned(),
    ]
}

/// No line of the log has a form of a secret.
fn check(server: &mut Server, more: &[String]) {
    server.signal("TERM");
    server.wait();
    let mut lines = server.log.wait_for_end();
    assert!(lines.len() > 10, "there is a log");
    lines.extend(server.stdout.wait_for_end());
    let mut found = Vec::new();
    let secrets = [TOKEN, PASSWORD, COOKIE].map(forms).concat();
    for secret in secrets.iter().chain(more) {
        found.extend(lines.iter().filter(|line| line.contains(secret.as_str())).map(|line| (secret, line)));
    }
    assert!(found.is_empty(), "{found:#?}");
}

fn ask(server: &Server, request: &str) -> u16 {
    let mut client = Client::connect(server);
    client.wire.send(request.as_bytes());
    client.read_head().status
}

#[test]
fn tokens_passwords_and_cookies_reach_no_log() {
    for form in ["text", "json"] {
        plant_secrets(form);
    }
}

/// Plants secrets everywhere, and reads the log in this form and the access log for them.
fn plant_secrets(form: &str) {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.path("socks")).unwrap();
    fs::create_dir_all(scratch.path("w")).unwrap();
    let target = Target::tcp().echo();
    // The token in the socket's name, and a target that can't be reached.
    let reached = scratch.path("socks").join(format!("{TOKEN}2.sock"));
    let _socket = Target::unix(&reached).echo();
    let gone = scratch.path("socks").join(format!("gone-{TOKEN}3"));
    let file = scratch.path("t");
    fs::write(
        &file,
        format!(
            "{TOKEN}: {}\n{TOKEN}: bad line\n{TOKEN}2: unix_socket:{}\n{TOKEN}3: unix_socket:{}\n\
             {TOKEN}4: {TOKEN}4.invalid:5900\nbad {TOKEN}\n",
            target.address,
            reached.display(),
            gone.display(),
        ),
    )
    .unwrap();
    let users = scratch.arg("users");
    fs::write(&users, format!("user:{PASSWORD}\nbad {PASSWORD}\n{PASSWORD}:$1$unknown\n")).unwrap();
    let mut server = Server::start(&[
        "-v",
        "--log-format",
        form,
        "--access-log",
        "-",
        "--web",
        &scratch.arg("w"),
        "--web-auth",
        "--auth-cookie",
        "--auth-plugin",
        "BasicHTTPAuth",
        "--auth-source",
        &format!("@{users}"),
        "--token-plugin",
        "TokenFile",
        "--token-source",
        &scratch.arg("t"),
        "127.0.0.1:0",
    ]);
    let right = format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("user:{PASSWORD}")));
    let wrong = format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("user:{PASSWORD}x")));
    let bearer = format!("Authorization: Bearer {TOKEN}\r\nCookie: token={TOKEN}; a={COOKIE}\r\n");
    let own = format!("Cookie: websockify-auth-{}={COOKIE}.9.{COOKIE}\r\n", server.port);
    let odd = format!("Authorization: {PASSWORD}\r\nX-Token: {TOKEN}\r\nOrigin: http://{PASSWORD}\r\n");
    let query = forms(TOKEN);
    let mut paths: Vec<String> = query.iter().map(|form| format!("/websockify?token={form}")).collect();
    for (name, suffix) in
        [("token", "2"), ("token", "3"), ("token", "4"), ("token", "5"), ("Token", ""), ("to%6Ben", "")]
    {
        paths.push(format!("/websockify?{name}={TOKEN}{suffix}"));
        paths.push(format!("/?a=b&{name}={TOKEN}{suffix}&c=d"));
    }
    paths.push(format!("/vnc.html?path=websockify%3Ftoken%3D{TOKEN}"));
    paths.push(format!("/?password={PASSWORD}&access_token={TOKEN}"));
    paths.push(format!("/?token=%0A{TOKEN}"));
    for name in ["ticket", "vncticket", "session_id", "code", "otp", "passcode", "x"] {
        paths.push(format!("/?{name}={TOKEN}"));
    }
    paths.push(format!("/token/{TOKEN}/x"));
    paths.push(format!("/ws%2Fticket%2F{TOKEN}"));
    paths.push(format!("/vnc.html?path=https%3A%2F%2Fuser%3A{PASSWORD}%40h"));
    for path in &paths {
        for headers in [right.as_str(), &wrong, &bearer, &own, &odd, &(right.clone() + &bearer)] {
            let upgrade = UPGRADE.replace("GET / ", &format!("GET {path} "));
            ask(&server, &upgrade.replace("\r\n\r\n", &format!("\r\n{headers}\r\n")));
            ask(&server, &format!("GET {path} HTTP/1.1\r\nHost: a\r\n{headers}\r\n"));
        }
    }
    // Broken lookups name no token, either.
    fs::remove_file(&file).unwrap();
    for path in paths.iter().take(3) {
        let upgrade = UPGRADE.replace("GET / ", &format!("GET {path} "));
        ask(&server, &upgrade.replace("\r\n\r\n", &format!("\r\n{right}\r\n")));
    }
    fs::remove_file(&users).unwrap();
    ask(&server, &UPGRADE.replace("\r\n\r\n", &format!("\r\n{right}\r\n")));
    check(&mut server, &[]);
    let ends = server.stdout.count("session.end");
    assert!(ends > 10 && server.stdout.count("\"token.hash\"") >= ends, "{ends} sessions ended");
}

#[test]
fn sockets_and_files_named_by_tokens_are_not_told() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("d")).unwrap();
    let _socket = Target::unix(&scratch.path("d").join(TOKEN)).echo();
    fs::write(scratch.path("d").join(format!("{TOKEN}-bad")), "nonsense").unwrap();
    fs::write(scratch.path("d").join(format!("{TOKEN}-good")), "127.0.0.1:1\n").unwrap();
    for (class, tokens) in [
        ("UnixDomainSocketDirectory", ["", "-bad", "-absent", "%2F..%2Fx"]),
        ("TokenFileName", ["", "-bad", "-absent", "-good"]),
    ] {
        let mut server = Server::start(&[
            "-v",
            "--token-plugin",
            class,
            "--token-source",
            &scratch.arg("d"),
            "127.0.0.1:0",
        ]);
        for token in tokens {
            let mut client = Client::connect(&server);
            let path = format!("GET /?token={TOKEN}{token} ");
            if client.ask(UPGRADE.replace("GET / ", &path).as_bytes()).status == 101 && token.is_empty() {
                client.echo(b"hello");
                client.close();
            }
        }
        if class == "UnixDomainSocketDirectory" {
            let connecting = server.log.wait_for("connecting to unix socket: ");
            let name = connecting.rsplit('/').next().unwrap_or_default();
            assert!(name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit()), "{connecting}");
        }
        check(&mut server, &[]);
    }
}

#[test]
fn with_log_tokens_the_log_has_them() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("d")).unwrap();
    let _socket = Target::unix(&scratch.path("d").join(TOKEN)).echo();
    let server = Server::start(&[
        "--log-tokens",
        "--token-plugin",
        "UnixDomainSocketDirectory",
        "--token-source",
        &scratch.arg("d"),
        "127.0.0.1:0",
    ]);
    for token in [TOKEN.to_owned(), format!("{TOKEN}x")] {
        let path = format!("GET /?token={token} ");
        Client::connect(&server).ask(UPGRADE.replace("GET / ", &path).as_bytes());
    }
    server.log.wait_for(&format!("Path: '/?token={TOKEN}'"));
    server.log.wait_for(&format!("/{TOKEN}"));
    server.log.wait_for(&format!("token '{TOKEN}x' is not known to UnixDomainSocketDirectory"));
}

#[test]
fn the_password_of_the_command_line_reaches_no_log() {
    let target = Target::tcp().echo();
    let source = format!("user:{PASSWORD}");
    let mut server = Server::start(&[
        "-v",
        "--auth-plugin",
        "BasicHTTPAuth",
        "--auth-source",
        &source,
        "127.0.0.1:0",
        &target.address,
    ]);
    for credentials in [source.clone(), format!("{PASSWORD}:x"), PASSWORD.to_owned()] {
        let header = format!("Authorization: Basic {}", STANDARD.encode(credentials));
        for line in ["GET / HTTP/1.1", "GET /x HTTP/1.1"] {
            ask(
                &server,
                &UPGRADE
                    .replace("GET / HTTP/1.1", line)
                    .replace("\r\n\r\n", &format!("\r\n{header}\r\n\r\n")),
            );
            ask(&server, &format!("{line}\r\nHost: a\r\n{header}\r\n\r\n"));
        }
    }
    check(&mut server, &[source]);
}
