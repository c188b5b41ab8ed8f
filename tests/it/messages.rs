//! Messages name the option, the value and the cure.

use std::fs::{File, OpenOptions};
use std::process::{Command, Stdio};

use rustix::process::geteuid;

use crate::common::Scratch;
use crate::common::client::Client;
use crate::common::log::assert_is_for_people;
use crate::common::server::{Server, command, program};
use crate::common::tls;

/// The exit code and the lines of a start that fails.
fn start(args: &[&str]) -> (Option<i32>, Vec<String>) {
    let mut server = Server::spawn(&mut command(args));
    let code = server.wait().code();
    (code, server.log.wait_for_end())
}

#[test]
fn a_start_that_fails_says_what_to_change() {
    let scratch = Scratch::new();
    std::fs::write(scratch.path("file"), "").unwrap();
    std::fs::create_dir(scratch.path("dir")).unwrap();
    let (file, dir) = (scratch.arg("file"), scratch.arg("dir"));
    let long = scratch.arg(&"x".repeat(108));
    let missing = "[Errno 2] No such file or directory";
    let any = "127.0.0.1:0";
    for (args, code, told) in [
        (
            vec!["--unix-listen", &file, "a:1"],
            1,
            format!("Opening socket failed: {file} exists and is not a socket"),
        ),
        (
            vec!["--unix-listen", &dir, "a:1"],
            1,
            format!("Opening socket failed: {dir} exists and is not a socket"),
        ),
        (
            vec!["--unix-listen", &long, "a:1"],
            1,
            format!("Opening socket failed: path is longer than 107 bytes: {long}"),
        ),
        (
            vec!["--ssl-target", "--ssl-target-ca", "/missing", any, "a:1"],
            1,
            "websockify: error: --ssl-target-ca /missing: not found".into(),
        ),
        (vec!["--web", "/missing", any, "a:1"], 1, format!("websockify: error: --web /missing: {missing}")),
        (
            vec!["--log-file", "/missing/x", any, "a:1"],
            1,
            format!("websockify: error: --log-file /missing/x: {missing}"),
        ),
        (
            vec!["--pid-file", "/missing/x", any, "a:1"],
            1,
            format!("websockify: error: --pid-file /missing/x: {missing}"),
        ),
        (vec!["foo", "host:5900"], 2, "websockify: error: Error parsing listen port: 'foo'".into()),
        (vec!["6080", "host:vnc"], 2, "websockify: error: Error parsing target port: 'host:vnc'".into()),
        (
            vec!["6080", "5900"],
            2,
            "websockify: error: Error parsing target: '5900' (HOST:PORT is needed)".into(),
        ),
        (
            vec!["6080", "ws://host:5900"],
            2,
            "websockify: error: Error parsing target: it is HOST:PORT, no URL: 'ws://host:5900'".into(),
        ),
        (
            vec!["--ssl-ciphers", "RC4-SHA", any, "a:1"],
            2,
            "websockify: error: option --ssl-ciphers: none of the cipher suites in 'RC4-SHA' is supported"
                .into(),
        ),
    ] {
        let (got, mut lines) = start(&args);
        assert_eq!(got, Some(code), "{args:?}: {lines:?}");
        if code == 2 {
            assert_eq!(lines.pop().as_deref(), Some("Try 'websockify --help'."), "{args:?}");
        }
        let last = lines.last().map_or("", String::as_str);
        assert!(last.starts_with(&told), "{args:?}: {last}");
    }
}

#[test]
fn files_of_tls_that_can_not_be_used_are_named_with_their_option() {
    let scratch = Scratch::new();
    let cert = scratch.arg("cert");
    std::fs::write(&cert, "no certificate").unwrap();
    for (options, told) in [
        (vec!["--cert", &cert], format!("--cert {cert}: there is no certificate in it (in PEM form)")),
        (
            vec!["--cert", &cert, "--verify-client", "--cafile", "/missing"],
            "--cafile /missing: not found".into(),
        ),
    ] {
        let server = Server::relay_with("127.0.0.1:1", &[&options[..], &["--ssl-only"]].concat());
        server.log.expect(&told, 1);
        // A manager sees a service that runs.
        server.log.expect("--ssl-only: no TLS client can be served until this is mended", 1);
    }
    let server = Server::relay_with("127.0.0.1:1", &["--cert", &cert, "--key", "/missing"]);
    server.log.expect(&format!("--cert {cert}: there is no certificate in it (in PEM form)"), 1);
}

#[test]
fn a_key_that_is_not_there_is_named_with_its_option() {
    let cert = crate::common::text(&tls::identity().cert);
    let server = Server::relay_with("127.0.0.1:1", &["--cert", &cert, "--key", "/missing"]);
    server.log.expect("--key /missing: not found", 1);
}

#[test]
fn a_limit_of_processes_that_is_too_low_is_named() {
    // Root has no such limit. The program may lie where others don't get, so it is started by its open file.
    let mut command = Command::new(if geteuid().is_root() { "setpriv" } else { "env" });
    if geteuid().is_root() {
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    }
    command.args(["prlimit", "--nproc=1:1", "/proc/self/fd/0", "127.0.0.1:0", "127.0.0.1:1"]);
    command.stdin(File::open(program()).unwrap()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut server = Server::spawn(&mut command);
    assert_eq!(server.wait().code(), Some(1));
    let told = "websockify: error: can't start a thread: [Errno 11] Resource temporarily unavailable (limit of processes)";
    assert_eq!(server.log.wait_for_end().last().map(String::as_str), Some(told));
}

#[test]
fn whom_verify_client_lets_in_without_a_cafile_is_said() {
    let identity = crate::common::tls::identity();
    let (cert, key) = (crate::common::text(&identity.cert), crate::common::text(&identity.key));
    let told = "--verify-client without --cafile: ";
    for (options, count) in
        [(&["--verify-client"][..], 1), (&["--verify-client", "--cafile", &cert], 0), (&["--ssl-only"], 0)]
    {
        let server =
            Server::relay_with("127.0.0.1:1", &[&["--cert", &cert, "--key", &key], options].concat());
        server.log.wait_for("  - proxying from ");
        let mut server = server;
        server.signal("TERM");
        server.wait();
        let lines = server.log.wait_for_end();
        assert_eq!(
            lines.iter().filter(|line| line.starts_with(told)).count(),
            count,
            "{options:?}: {lines:?}"
        );
    }
}

#[test]
fn lists_of_ciphers_that_were_made_for_openssl_start_with_what_is_supported() {
    for (list, left_out) in [
        ("HIGH:!aNULL:!MD5", None),
        ("DEFAULT:@SECLEVEL=2", None),
        ("ECDHE-RSA-AES256-GCM-SHA384:DHE-RSA-AES256-SHA:AES256-SHA", Some("DHE-RSA-AES256-SHA, AES256-SHA")),
    ] {
        let mut server = Server::relay_with("127.0.0.1:1", &["--ssl-ciphers", list]);
        server.signal("TERM");
        server.wait();
        let lines = server.log.wait_for_end();
        let told = lines.iter().find(|line| line.starts_with("--ssl-ciphers"));
        let expected = left_out.map(|names| format!("--ssl-ciphers: not supported, ignored: {names}"));
        assert_eq!(told, expected.as_ref(), "{list}");
    }
}

#[test]
fn a_star_listens_on_all_addresses() {
    let server = Server::start(&["*:0", "127.0.0.1:1"]);
    server.log.wait_for(&format!("  - proxying from *:{} to 127.0.0.1:1", server.port));
    assert!(server.listeners().iter().any(|listener| listener.port == server.port));
}

#[test]
fn an_answer_that_can_not_be_written_is_exit_1() {
    for option in ["--help", "--version"] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output =
            Command::new(program()).arg(option).stdout(full).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{option}");
        let told = "websockify: error: standard output: [Errno 28] No space left on device\n";
        assert_eq!(String::from_utf8_lossy(&output.stderr), told, "{option}");
    }
}

#[test]
fn a_web_root_below_a_working_directory_that_is_gone_is_an_error() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path("gone")).unwrap();
    let script = "cd \"$1\" && rmdir \"$1\" && exec \"$0\" --web . 127.0.0.1:0 127.0.0.1:1";
    let output = Command::new("sh").args(["-c", script, &program(), &scratch.arg("gone")]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("websockify: error: option --web: '.': the working directory is gone\n"), "{told}");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn errors_for_programmers_are_seen() {
    for text in [
        "recording to a ended: NoThread(Os { code: 11, kind: WouldBlock, message: \"\" })",
        "it failed: Full { jobs: 3 }",
        "TLS failed: InvalidCertificate(UnknownIssuer)",
        "a: No such file or directory (os error 2)",
    ] {
        assert!(std::panic::catch_unwind(|| assert_is_for_people(text)).is_err(), "{text}");
    }
    for text in [
        "certificate has an unknown issuer (self-signed, or a CA that is not trusted)",
        "  - No SSL/TLS support (no cert file)",
        "connecting to command: 'Xvnc (a)' (port 1)",
        "127.0.0.1: Path: '/a{b}?c=(D)'",
    ] {
        assert_is_for_people(text);
    }
}

#[test]
fn what_libraries_and_the_system_say_is_told_in_words_for_people() {
    let scratch = Scratch::new();
    let long = format!("/tmp/{}", "x".repeat(120));
    let server = Server::start(&["--unix-target", &long, "127.0.0.1:0"]);
    Client::open(&server).closed_with(1011);
    server.log.expect(&format!("Failed to connect to {long}: path is longer than 107 bytes"), 1);
    let start = |args: &[&str], variables: &[(&str, &str)]| {
        let mut server = Server::spawn(command(args).envs(variables.iter().copied()));
        server.wait();
        server.log.wait_for_end().pop().unwrap_or_default()
    };
    let roots = [("SSL_CERT_FILE", "/missing"), ("SSL_CERT_DIR", "/missing")];
    assert_eq!(
        start(&["--ssl-target", "127.0.0.1:0", "a:1"], &roots),
        "websockify: error: no certificate authorities found on this system: /missing: not found"
    );
    let mut server = Server::launch(command(&["127.0.0.1:0", "a:1"]).env("NOTIFY_SOCKET", &long));
    server.log.expect(&format!("NOTIFY_SOCKET {long}: path is longer than 107 bytes"), 1);
    server.signal("TERM");
    server.wait();
    let directory = scratch.arg("");
    for (program, told) in
        [("/missing", "[Errno 2] No such file or directory"), (&*directory, "[Errno 13] Permission denied")]
    {
        let line = start(&["--rebind", "1", "2", program], &[]);
        assert_eq!(line, format!("websockify: {program}: {told}"));
    }
    assert_eq!(
        start(&["no-such-host.invalid:0", "a:1"], &[]),
        "Opening socket failed: [Errno -2] Name or service not known"
    );
}
