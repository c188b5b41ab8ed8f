//! Plugins that are programs: Python classes, commands, and what becomes of clients when a plugin hangs, ends or talks
//! without end.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::services::{ok, service};
use super::tokens_beside_python::{Outcome, named, outcome};
use crate::common::client::{Client, UPGRADE};
use crate::common::server::{Server, command};
use crate::common::target::Target;
use crate::common::{Scratch, documented, eventually, eventually_within, text};

/// Where the classes are.
pub(super) const CLASSES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/plugins");

/// The gateway with these options, which finds the classes.
pub(super) fn start(options: &[&str]) -> Server {
    Server::launch(&mut gateway(options))
}

fn gateway(options: &[&str]) -> Command {
    let mut command = command(options);
    command.env("PYTHONPATH", CLASSES).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// A Python without the package, and all others.
pub(super) fn bare_python(scratch: &Scratch) -> String {
    fs::write(scratch.path("python"), "#!/bin/sh\nexec python3 -S \"$@\"\n").unwrap();
    fs::set_permissions(scratch.path("python"), fs::Permissions::from_mode(0o755)).unwrap();
    scratch.arg("python")
}

/// A gateway whose tokens are looked up by a class of trouble.
fn troubled(scratch: &Scratch, options: &[&str]) -> (Server, String) {
    let target = named(Target::tcp(), "one");
    let port = target.rsplit(':').next().unwrap();
    let python = bare_python(scratch);
    let plugin = ["--token-plugin", "odd.Trouble", "--token-source", port, "--plugin-python", &python];
    (start(&[&plugin, options, &["127.0.0.1:0"]].concat()), target)
}

fn of_token(server: &Server, token: &str) -> Outcome {
    outcome(server, &format!("/?token={token}"), "")
}

pub(super) fn found() -> Outcome {
    Outcome::Target("one".into())
}

pub(super) fn basic(credentials: &str) -> String {
    format!("Authorization: Basic {}\r\n", STANDARD.encode(credentials))
}

#[test]
fn a_refusal_is_in_the_plugins_words_and_the_log_has_its_reason() {
    let scratch = Scratch::new();
    let target = named(Target::tcp(), "one");
    let (source, python) = (format!("ann:pw={target}"), bare_python(&scratch));
    let plugin = ["--auth-plugin", "style.Tenants", "--auth-source", &source, "--plugin-python", &python];
    let server = start(&[&plugin[..], &["127.0.0.1:0", &target]].concat());
    let ask = |headers: &str| {
        let request = UPGRADE.replace("\r\n\r\n", &format!("\r\n{headers}\r\n"));
        Client::connect(&server).ask(request.as_bytes())
    };
    let answer = ask("");
    assert_eq!((answer.status, answer.reason.as_str()), (401, "Who are you?"));
    assert_eq!(answer.header("www-authenticate"), Some("Basic realm=\"consoles\""));
    let answer = ask(&basic("eve:hunter2hunter2"));
    assert_eq!((answer.status, answer.reason.as_str()), (403, "Go away"));
    server.log.wait_for("code 403, message 403 unknown user eve");
    assert_eq!(server.log.count("hunter2"), 0);
}

#[test]
fn who_is_not_admitted_learns_nothing_of_tokens_from_a_class_either() {
    let scratch = Scratch::new();
    let target = named(Target::tcp(), "one");
    fs::write(scratch.path("t"), format!("mine: {target}\nhis: 127.0.0.1:1\n")).unwrap();
    fs::create_dir(scratch.path("w")).unwrap();
    fs::write(scratch.path("w/page"), "page").unwrap();
    let (source, python) = (format!("ann:pw={target}"), bare_python(&scratch));
    let web = scratch.arg("w");
    let server = start(&[
        "--auth-plugin",
        "style.Tenants",
        "--auth-source",
        &source,
        "--plugin-python",
        &python,
        "--token-plugin",
        "TokenFile",
        "--token-source",
        &scratch.arg("t"),
        "--web",
        &web,
        "--web-auth",
        "127.0.0.1:0",
    ]);
    let ann = basic("ann:pw");
    for (token, admitted) in [
        ("?token=mine", found()),
        ("?token=his", Outcome::Status(403)),
        ("?token=absent", Outcome::Status(404)),
        ("", Outcome::Status(403)),
    ] {
        assert_eq!(outcome(&server, &format!("/{token}"), ""), Outcome::Status(401), "{token}");
        assert_eq!(outcome(&server, &format!("/{token}"), &basic("eve:pw")), Outcome::Status(403), "{token}");
        assert_eq!(outcome(&server, &format!("/{token}"), &ann), admitted, "{token}");
    }
    let page = |headers: &str| {
        let request = format!("GET /page?token=his HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
        Client::connect(&server).ask(request.as_bytes()).status
    };
    assert_eq!((page(""), page(&ann)), (401, 200));
}

#[test]
fn what_goes_wrong_costs_its_own_client_an_error() {
    let scratch = Scratch::new();
    let (server, _) = troubled(&scratch, &[]);
    let fails = || Outcome::Status(503);
    for round in 0..2 {
        for (word, expected) in [
            ("fine", found()),
            ("die", fails()),
            ("fine", found()),
            ("abort", fails()),
            ("exit", fails()),
            ("raise", fails()),
            ("text", fails()),
            ("fine", found()),
            ("write", found()),
            ("lines", found()),
        ] {
            assert_eq!(of_token(&server, &format!("{word}-s3cret{round}")), expected, "{word}");
        }
    }
    server.log.wait_for("failed: the process exited with code 5");
    server.log.wait_for("failed: the process was killed by signal 6");
    server.log.wait_for("failed: SystemExit: 3");
    server.log.wait_for("RuntimeError: there is no ");
    server.log.wait_for("failed: ValueError: ");
    server.log.wait_for("token plugin odd.Trouble (");
    server.log.wait_for("read: ''");
    server.log.wait_for("{\"id\":2,\"target\":[\"127.0.0.1\",1]}");
    assert_eq!(server.log.count("s3cret"), 0);
    let lines = server.log.count(": line ");
    assert!((1..=200).contains(&lines), "{lines} of 2000 lines");
}

#[test]
fn a_plugin_that_hangs_or_talks_without_end_costs_one_client_ten_seconds_and_nobody_else() {
    let scratch = Scratch::new();
    let (mut server, _) = troubled(&scratch, &[]);
    let began = Instant::now();
    let words = ["hang", "child", "flood"];
    let mut clients: Vec<Client> = words
        .map(|word| {
            let mut client = Client::connect(&server);
            client.wire.send(UPGRADE.replace("GET / ", &format!("GET /?token={word} ")).as_bytes());
            client
        })
        .into();
    // Those that lead to a name have it resolved.
    for number in 0..20 {
        assert_eq!(of_token(&server, &format!("fine-{number}")), found());
        assert_eq!(of_token(&server, &format!("name-{number}")), found());
    }
    for (client, word) in clients.iter_mut().zip(words) {
        assert_eq!(client.read_head().status, 503, "{word}");
    }
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
    server.log.wait_for("failed: no answer in time");
    // The flood was cut: what was said is counted.
    server.log.wait_for(" more lines suppressed");
    assert!(server.log.count(": xxxx") <= 200, "{}", server.log.count(": xxxx"));
    // Nothing of the three is left, no child of theirs either.
    eventually("the three processes to be gone", || server.children() <= 18);
    assert_eq!(of_token(&server, "fine"), found());
    server.signal("TERM");
    assert!(server.wait_within(Duration::from_secs(8)).success());
}

#[test]
fn fifty_look_ups_at_a_class_that_hangs_harm_nobody_else() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("w")).unwrap();
    fs::write(scratch.path("w/page.html"), "page").unwrap();
    let echo = Target::tcp().echo();
    let python = bare_python(&scratch);
    let mut server = start(&[
        "--token-plugin",
        "odd.Trouble",
        "--token-source",
        echo.address.rsplit(':').next().unwrap(),
        "--plugin-python",
        &python,
        "--web",
        &scratch.arg("w"),
        "--web-auth",
        "--auth-plugin",
        "BasicHTTPAuth",
        "--auth-source",
        "u:p",
        "127.0.0.1:0",
    ]);
    let authorization = basic("u:p");
    let upgrade = |token: &str| {
        let request = UPGRADE.replace("GET / ", &format!("GET /?token={token} "));
        request.replace("\r\n\r\n", &format!("\r\n{authorization}\r\n"))
    };
    let mut session = Client::connect(&server);
    assert_eq!(session.ask(upgrade("fine").as_bytes()).status, 101);
    session.echo(b"before");
    let began = Instant::now();
    let mut hanging: Vec<Client> = (0..50).map(|_| Client::connect(&server)).collect();
    for client in &mut hanging {
        client.wire.send(upgrade("hang").as_bytes());
    }
    eventually("all processes to be there", || server.children() >= 16);
    let rounds = session.stays_quick(Duration::from_secs(4), || {
        let page = format!("GET /page.html HTTP/1.1\r\nHost: a\r\n{authorization}\r\n");
        assert_eq!(Client::connect(&server).ask(page.as_bytes()).status, 200);
        let without = Client::connect(&server).ask(UPGRADE.replace("GET / ", "GET /?token=fine ").as_bytes());
        assert_eq!(without.status, 401, "auth is asked first");
    });
    assert!(rounds > 5, "{rounds} rounds");
    for client in &mut hanging {
        assert_eq!(client.read_head().status, 503);
    }
    assert!(began.elapsed() < Duration::from_secs(14), "{:?}", began.elapsed());
    // When it answers again, so does the gateway, after what its processes cost.
    eventually_within(Duration::from_secs(30), "a lookup to succeed", || {
        Client::connect(&server).ask(upgrade("fine").as_bytes()).status == 101
    });
    // TERM waits for no lookup, and leaves no process.
    let children =
        fs::read_to_string(format!("/proc/{0}/task/{0}/children", server.pid())).unwrap_or_default();
    Client::connect(&server).wire.send(upgrade("hang").as_bytes());
    server.signal("TERM");
    assert!(server.wait_within(Duration::from_secs(8)).code().is_some());
    for child in children.split_whitespace() {
        eventually("the processes to be gone", || {
            let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            !stat.contains("(python") || stat.contains(") Z ")
        });
    }
}

#[test]
fn a_process_starts_as_from_a_shell_and_without_what_was_meant_for_the_gateway() {
    let scratch = Scratch::new();
    let python = bare_python(&scratch);
    fs::create_dir(scratch.path("w")).unwrap();
    let web = scratch.arg("w");
    let options = ["--token-plugin", "odd.Start", "--plugin-python", &python, "--web", &web, "127.0.0.1:0"];
    let mut inner = gateway(&options);
    for (name, value) in [
        ("LISTEN_FDS", "1"),
        ("LISTEN_PID", "1"),
        ("NOTIFY_SOCKET", "/nonexistent"),
        ("WATCHDOG_PID", "1"),
        ("MINE", "1"),
    ] {
        inner.env(name, value);
    }
    // A descriptor that nobody has marked, an ignored signal, and a limit.
    let mut outer = Command::new("sh");
    outer.args(["-c", "ulimit -Sn 1000; trap '' USR2 HUP; exec 7</dev/null; exec \"$@\"", "sh"]);
    outer.arg(inner.get_program()).args(inner.get_args());
    outer.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    outer.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
    let server = Server::launch(outer.stderr(std::process::Stdio::piped()));
    assert_eq!(of_token(&server, "a"), Outcome::Status(404));
    server.log.wait_for("blocked 0000000000000000 ignored 0000000001001000 group True");
    // Copies of its pipes, which none of its children gets, and the folder that was listed.
    let inherited = server.log.wait_for("inherited [0, 1, 2] all ");
    let count: u32 = inherited.rsplit(' ').next().and_then(|count| count.parse().ok()).expect("a count");
    assert!(count <= 6, "{inherited}");
    let folder = fs::canonicalize(&web).unwrap();
    server.log.wait_for(&format!("variables ['MINE'] folder {} soft 1000", text(&folder)));
}

#[test]
fn a_class_that_can_not_be_loaded_ends_the_start() {
    let scratch = Scratch::new();
    let python = bare_python(&scratch);
    for (option, class, why) in [
        ("--token-plugin", "absent.Class", "ModuleNotFoundError: No module named 'absent'"),
        ("--token-plugin", "style.Absent", "AttributeError: module 'style' has no attribute 'Absent'"),
        ("--token-plugin", "style.Signed", "AttributeError: 'NoneType' object has no attribute 'encode'"),
        ("--token-plugin", "odd.NoArgument", "TypeError: "),
        ("--auth-plugin", "absent.Class", "ModuleNotFoundError: No module named 'absent'"),
    ] {
        let plugin = [option, class, "--plugin-python", &python, "127.0.0.1:0"];
        let rest: &[&str] = if option == "--auth-plugin" { &["127.0.0.1:1"] } else { &[] };
        let mut server = Server::spawn(&mut gateway(&[&plugin[..], rest].concat()));
        assert_eq!(server.wait().code(), Some(1), "{class}");
        let kind = option.trim_start_matches("--").replace('-', " ");
        server.log.wait_for(&format!("can't load the {kind} {class}: {why}"));
        // Where it went wrong is there, too.
        server.log.expect("Traceback (most recent call last):", 1);
    }
    let absent = ["--token-plugin", "style.Address", "--plugin-python", "/nonexistent/python", "127.0.0.1:0"];
    let mut server = Server::spawn(&mut gateway(&absent));
    assert_eq!(server.wait().code(), Some(1));
    server.log.expect("style.Address: /nonexistent/python: [Errno 2] No such file or directory", 1);
    // One that takes for ever does not hold up the start for ever.
    let slow = ["--auth-plugin", "odd.Slow", "--plugin-python", &python, "127.0.0.1:0", "127.0.0.1:1"];
    let mut server = Server::spawn(&mut gateway(&slow));
    assert_eq!(server.wait_within(Duration::from_secs(30)).code(), Some(1));
    server.log.expect("can't load the auth plugin odd.Slow: no answer in time", 1);
}

#[test]
fn in_the_background_the_command_ends_with_the_plugins_error() {
    let scratch = Scratch::new();
    let (python, log) = (bare_python(&scratch), scratch.arg("log"));
    let options = [
        "-D",
        "--log-file",
        &log,
        "--token-plugin",
        "style.Absent",
        "--plugin-python",
        &python,
        "127.0.0.1:0",
    ];
    let mut server = Server::spawn(&mut gateway(&options));
    assert_eq!(server.wait().code(), Some(1));
    server.log.wait_for("AttributeError: module 'style' has no attribute 'Absent'");
}

#[test]
fn an_error_of_an_auth_plugin_tells_no_password() {
    let scratch = Scratch::new();
    let target = named(Target::tcp(), "one");
    let python = bare_python(&scratch);
    let plugin = ["--auth-plugin", "odd.Denied", "--plugin-python", &python, "127.0.0.1:0", &target];
    let server = start(&plugin);
    assert_eq!(outcome(&server, "/", &basic("ann:hunter2hunter2")), Outcome::Status(503));
    server.log.wait_for("auth plugin failed: KeyError");
    assert_eq!(server.log.count(&STANDARD.encode("ann:hunter2hunter2")), 0);
}

/// The example in the documentation, as it stands there.
#[test]
fn the_documented_command_is_a_plugin() {
    let script =
        documented("plugins.md", "In sh, for instance:\n\n<!-- run by tests/it/plugins.rs -->\n```sh");
    let script = script.replace("5900", "$PORT");
    let script = script.replace("\\\"localhost\\\",$PORT", "\\\"127.0.0.1\\\",$PORT");
    let target = named(Target::tcp(), "one");
    let mut command = gateway(&["--token-plugin", "exec", "--token-source", &script, "127.0.0.1:0"]);
    command.env("PORT", target.rsplit(':').next().unwrap());
    let server = Server::launch(&mut command);
    assert_eq!(of_token(&server, "demo"), found());
    assert_eq!(of_token(&server, "other"), Outcome::Status(404));
    server.log.expect("targets generated by exec", 1);
}

#[test]
fn what_a_program_has_found_is_kept_for_the_time_of_token_cache() {
    let scratch = Scratch::new();
    let target = named(Target::tcp(), "one");
    let port = target.rsplit(':').next().unwrap();
    let script = r#"while read -r line; do
        echo "$line" >>SEEN; id=${line#*'"id":'}; id=${id%%[,\}]*}
        case $line in *'"token":"good"'*) to='["127.0.0.1",PORT]' ;; *) to=null ;; esac
        echo "{\"id\":$id,\"target\":$to}"; done"#;
    let script = script.replace("SEEN", &scratch.arg("seen")).replace("PORT", port);
    let plugin = ["--token-plugin", "exec", "--token-source", &script, "--token-cache", "600"];
    let server = start(&[&plugin[..], &["127.0.0.1:0"]].concat());
    for _ in 0..3 {
        assert_eq!(of_token(&server, "good"), found());
        assert_eq!(of_token(&server, "absent"), Outcome::Status(404));
    }
    let asked = |token: &str| fs::read_to_string(scratch.path("seen")).unwrap().matches(token).count();
    assert_eq!((asked("good"), asked("absent")), (1, 3), "what was not found is asked for again");
}

#[test]
fn an_answer_in_json_says_which_header_its_target_gets() {
    let target = Target::tcp();
    let port = target.port().to_owned();
    let member = |token: &str| match token {
        "none" => String::new(),
        _ => format!(",\"proxy_protocol\":\"{token}\""),
    };
    let (service, _) = service(move |first| {
        let token = first.split(['=', ' ']).nth(2).unwrap_or_default();
        ok(&format!("{{\"host\":\"127.0.0.1\",\"port\":{port}{}}}", member(token)))
    });
    let script = r#"while read -r line; do
        id=${line#*'"id":'}; id=${id%%[,\}]*}; token=${line#*'"token":"'}; token=${token%%'"'*}
        case $token in none) more= ;; *) more=",\"proxy_protocol\":\"$token\"" ;; esac
        echo "{\"id\":$id,\"target\":[\"127.0.0.1\",PORT]$more}"; done"#;
    let script = script.replace("PORT", target.port());
    let url = format!("http://{}/?t=%s", service.address);
    for (class, source) in [("JSONTokenApi", &url), ("exec", &script)] {
        let options = ["--token-plugin", class, "--token-source", source, "--token-cache", "600"];
        let server = start(&[&options[..], &["127.0.0.1:0"]].concat());
        // The second time from the cache.
        for token in ["v1", "v2", "none", "v1", "v2", "none"] {
            let mut client = Client::connect(&server);
            let from = client.wire.port();
            let request = UPGRADE.replace("GET / ", &format!("GET /?token={token} "));
            assert_eq!(client.ask(request.as_bytes()).status, 101, "{class} {token}");
            let mut wire = target.accept();
            client.send_binary(b"data");
            match token {
                "v1" => {
                    let line = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {from} {}\r\ndata", server.port);
                    assert_eq!(wire.read_exactly(line.len()), line.as_bytes(), "{class}");
                }
                "v2" => {
                    let head = wire.read_exactly(16);
                    assert_eq!(head[..14], *b"\r\n\r\n\0\r\nQUIT\n\x21\x11", "{class}");
                    let length = usize::from(u16::from_be_bytes([head[14], head[15]]));
                    let rest = wire.read_exactly(length + 4);
                    assert_eq!(rest[8..10], from.to_be_bytes(), "{class}");
                    // What was asked for, by AUTHORITY.
                    assert!(rest.windows(12).any(|part| part == b"\x02\x00\x09localhost"), "{rest:?}");
                    assert!(rest.ends_with(b"data"), "{class}");
                }
                _ => assert_eq!(wire.read_exactly(4), b"data", "{class}"),
            }
        }
        assert_eq!(of_token(&server, "v9"), Outcome::Status(503), "{class}");
    }
}
