//! `-D`: what the launcher prints, when it ends and with which status; and what the service in the background has
//! taken along. Beside it, where the Python program is there, what that one does.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::background::{Background, options, run};
use crate::common::client::Client;
use crate::common::server::{Server, program};
use crate::common::target::Target;
use crate::common::{Scratch, eventually, free_port, has, skipped, text};

#[test]
fn the_launcher_ends_with_0_when_the_daemon_serves() {
    let target = Target::tcp().echo();
    for _ in 0..10 {
        let gateway = Background::start(&["127.0.0.1:0", &target.address]);
        // Without waiting for anything: it listens, and obeys.
        gateway.visit();
        gateway.signal("TERM");
        gateway.wait();
        assert!(gateway.log().contains("\nIn exit\n"), "{}", gateway.log());
        assert!(!gateway.scratch.path("pid").exists(), "the pid file is removed");
    }
}

#[test]
fn a_signal_right_behind_the_launchers_end_is_obeyed() {
    let target = Target::tcp();
    for _ in 0..20 {
        let gateway = Background::start(&["127.0.0.1:0", &target.address]);
        gateway.signal("TERM");
        gateway.wait();
        assert!(gateway.log().contains("\nIn exit\n"), "{}", gateway.log());
    }
}

#[test]
fn the_launchers_output_ends_at_backgrounding() {
    let scratch = Scratch::new();
    let target = Target::tcp();
    let mut command = Command::new(program());
    let output = run(command.args(options(&scratch)).args(["127.0.0.1:0", &target.address]));
    let gateway = Background::found(scratch);
    let start = format!(
        "WebSocket server settings:\n  - Listen on 127.0.0.1:{}\n  - No SSL/TLS support (no cert file)\n  \
         - Backgrounding (daemon)\n",
        gateway.port
    );
    assert_eq!(String::from_utf8_lossy(&output.stderr), start);
    assert_eq!(output.stdout, b"");
    let rest = format!("  - proxying from 127.0.0.1:{} to {}\n", gateway.port, target.address);
    eventually("the last line in the file", || gateway.log() == start.clone() + &rest);
}

/// Runs a start that must fail, and returns what the launcher has printed.
fn failing(args: &[&str]) -> String {
    let scratch = Scratch::new();
    let mut command = Command::new(program());
    let output = run(command.args(["-D"]).args(args).current_dir(scratch.path("")));
    assert_eq!(output.status.code(), Some(1), "{args:?}: {output:?}");
    assert_eq!(output.stdout, b"");
    // It has left no process, and no file but what was asked for.
    let marker = text(&scratch.path(""));
    eventually("nothing to be left of it", || {
        let processes = fs::read_dir("/proc").expect("a system with /proc").flatten();
        let mut directories = processes.filter_map(|entry| fs::read_link(entry.path().join("cwd")).ok());
        !directories.any(|directory| text(&directory).starts_with(marker.trim_end_matches('/')))
    });
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_start_that_fails_is_the_launchers_to_tell_with_its_status() {
    let target = Target::tcp();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let source = taken.local_addr().expect("bound").to_string();
    let missing = "[Errno 2] No such file or directory";
    for (args, told) in [
        (vec![source.as_str(), "a:1"], "Opening socket failed: [Errno 98] Address already in use".to_owned()),
        (
            vec!["127.0.0.1:0", "a:1", "--log-file", "/missing/log"],
            format!("websockify: error: --log-file /missing/log: {missing}"),
        ),
        (
            vec!["127.0.0.1:0", "a:1", "--pid-file", "/missing/pid"],
            format!("websockify: error: --pid-file /missing/pid: {missing}"),
        ),
        (
            vec!["127.0.0.1:0", "a:1", "--web", "/missing"],
            format!("websockify: error: --web /missing: {missing}"),
        ),
        (
            vec!["127.0.0.1:0", &target.address, "--ssl-target", "--ssl-target-ca", "/missing.pem"],
            "websockify: error: --ssl-target-ca /missing.pem: not found".to_owned(),
        ),
    ] {
        let output = failing(&args);
        let last = output.lines().last().unwrap_or_default();
        assert!(last.contains(&told), "{args:?}: {output}");
    }
}

#[test]
fn a_start_that_gets_no_process_or_thread_says_so() {
    if !has("setpriv") || !has("prlimit") {
        return;
    }
    // A user of whom there is no other process.
    let limited = |processes: u32, arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65531", "--clear-groups", "prlimit", &format!("--nproc={processes}")]);
        run(command.arg(program()).args(arguments))
    };
    if !limited(64, &["--version"]).status.success() {
        skipped("the program can't be started as another user");
        return;
    }
    for options in [&["-D"][..], &[]] {
        for processes in 1..=3 {
            let output = limited(processes, &[options, &["127.0.0.1:0", "127.0.0.1:1"]].concat());
            let lines = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{options:?} {processes}: {lines}");
            let last = lines.lines().last().unwrap_or_default();
            assert!(
                last.contains("[Errno 11] Resource temporarily unavailable"),
                "{options:?} {processes}: {lines}"
            );
        }
    }
}

#[test]
fn a_pid_file_that_can_not_be_written_frees_the_port() {
    let source = format!("127.0.0.1:{}", free_port());
    failing(&[&source, "a:1", "--pid-file", "/missing/pid"]);
    assert!(TcpStream::connect(&source).is_err());
}

#[test]
fn the_daemon_has_left_everything_of_its_launcher_behind() {
    let scratch = Scratch::new();
    let target = Target::tcp().echo();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    // The pipe as descriptor 9 and a lock file as 8, with an umask that nobody else has.
    let script = "umask 0137; exec 9>&0 </dev/null 8>\"$0\"; exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, &scratch.arg("lock"), &program()]).args(options(&scratch));
    command.args(["127.0.0.1:0", &target.address]).stdin(Stdio::from(writer)).stderr(Stdio::null());
    let mut launcher = command.spawn().expect("a shell");
    drop(command);
    assert!(launcher.wait().expect("it ends").success());
    let gateway = Background::found(scratch);
    // Comes to its end when nobody holds the other one.
    crate::common::log::Log::collect(reader).wait_for_end();
    for entry in fs::read_dir(gateway.proc("fd")).expect("it runs").flatten() {
        let (number, link) = (entry.file_name(), fs::read_link(entry.path()).unwrap_or_default());
        let is_standard = ["0", "1", "2"].contains(&number.to_str().expect("a number"));
        assert_eq!(is_standard, link == Path::new("/dev/null"), "{number:?} is {link:?}");
        assert!(!text(&link).contains("lock"), "{number:?} is {link:?}");
    }
    assert_eq!(gateway.status("Umask"), "0137");
    assert_eq!(fs::read_link(gateway.proc("cwd")).expect("it runs"), Path::new("/"));
    let stat = fs::read_to_string(gateway.proc("stat")).expect("it runs");
    // Behind the name: state, parent, group, session, terminal.
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    assert_ne!(fields[1], std::process::id().to_string(), "its parent is somebody else");
    assert_ne!(fields[3], gateway.pid.to_string(), "the leader of a session could get a terminal");
    assert_eq!(fields[3], fields[2], "a session of its own");
    assert_eq!(fields[4], "0", "no terminal");
    gateway.visit();
}

#[test]
fn relative_paths_mean_what_they_meant_in_the_start_directory() {
    let scratch = Scratch::new();
    let web = scratch.path("web");
    fs::create_dir(&web).expect("a directory");
    fs::write(web.join("page.txt"), "page").expect("a file");
    let identity = crate::common::tls::identity();
    fs::copy(&identity.cert, scratch.path("cert.pem")).expect("a certificate");
    fs::copy(&identity.key, scratch.path("key.pem")).expect("a key");
    let target = Target::unix(&scratch.path("t.sock")).echo();
    let mut command = Command::new(program());
    command.current_dir(scratch.path("")).args(["-D", "--pid-file", "pid", "--log-file", "log"]);
    command.args(["--web", "web", "--cert", "cert.pem", "--key", "key.pem", "--unix-listen", "w.sock"]);
    let output = run(command.args(["--unix-target", "./t.sock"]));
    assert!(output.status.success(), "{output:?}");
    let gateway = Background::found(scratch);
    assert_eq!(fs::read_link(gateway.proc("cwd")).expect("it runs"), fs::canonicalize(&web).expect("there"));
    let mut client = Client::connect_unix(&gateway.scratch.path("w.sock")).upgrade();
    client.echo(b"hello");
    client.close();
    assert!(gateway.log().contains("  - SSL/TLS support\n"), "{}", gateway.log());
    fs::rename(gateway.scratch.path("log"), gateway.scratch.path("log.1")).expect("rotated");
    gateway.signal("HUP");
    eventually("a new log at the same place", || gateway.scratch.path("log").exists());
    gateway.signal("TERM");
    gateway.wait();
    assert!(!gateway.scratch.path("w.sock").exists(), "the socket is removed");
    drop(target);
}

#[test]
fn a_relative_token_source_and_relative_authorities_mean_what_they_meant() {
    let scratch = Scratch::new();
    let target = Target::tcp().echo();
    fs::create_dir(scratch.path("web")).expect("a directory");
    fs::write(scratch.path("tokens"), format!("desk: {}\n", target.address)).expect("a file");
    fs::copy(&crate::common::tls::identity().cert, scratch.path("ca.pem")).expect("a certificate");
    let mut command = Command::new(program());
    command.current_dir(scratch.path("")).args([
        "-D",
        "--pid-file",
        "pid",
        "--log-file",
        "log",
        "--web",
        "web",
    ]);
    command.args(["--token-plugin", "TokenFile", "--token-source", "tokens", "127.0.0.1:0"]);
    // Authorities are read when the program is in its directory already; a file that is not there would end it.
    command
        .args(["--verify-client", "--cert", "ca.pem"])
        .env("SSL_CERT_FILE", "ca.pem")
        .env("SSL_CERT_DIR", ".");
    let output = run(&mut command);
    assert!(output.status.success(), "{output:?}");
    let gateway = Background::found(scratch);
    let mut client = Client::connect_to(gateway.address());
    let request = crate::common::client::UPGRADE.replace("GET / ", "GET /?token=desk ");
    assert_eq!(client.ask(request.as_bytes()).status, 101);
    client.echo(b"hello");
    client.close();
    assert!(!gateway.log().contains("no certificate authorities"), "{}", gateway.log());
}

#[test]
fn sockets_of_a_service_manager_go_with_it() {
    let (scratch, target) = (Scratch::new(), Target::tcp().echo());
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let script = "exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh", &program()]).args(options(&scratch)).arg(&target.address);
    command.stdin(Stdio::from(std::os::fd::OwnedFd::from(socket.try_clone().expect("a copy"))));
    // Its number is another one in the background, and the sockets are still meant for it.
    assert!(command.output().expect("it runs").status.success());
    let gateway = Background::found(scratch);
    assert_eq!(gateway.port, socket.local_addr().expect("bound").port());
    gateway.visit();
}

#[test]
fn a_large_limit_of_open_files_costs_no_calls() {
    if !has("strace") {
        return;
    }
    let scratch = Scratch::new();
    let trace = scratch.arg("trace");
    let target = Target::tcp();
    // As high as it goes here.
    let script = "ulimit -Hn 1000000 2>/dev/null; ulimit -Sn $(ulimit -Hn); exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh", "strace", "-f", "-o", &trace, "-e", "trace=close,close_range,fcntl"]);
    command.arg(program()).args(options(&scratch)).args(["127.0.0.1:0", &target.address]);
    // The launcher of strace ends with the last process that it follows.
    let mut strace = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("strace");
    eventually("the daemon to be ready", || {
        fs::read_to_string(scratch.path("log")).is_ok_and(|log| log.contains("  - proxying from "))
            || strace.try_wait().expect("a child").is_some()
    });
    if !scratch.path("pid").exists() {
        skipped("strace can't follow processes here");
        return;
    }
    let gateway = Background::found(scratch);
    gateway.signal("TERM");
    strace.wait().expect("it ends with the daemon");
    let calls = fs::read_to_string(&trace).expect("a trace").lines().count();
    assert!(calls < 500, "{calls} calls");
}

#[test]
fn lifetime_options_work_in_the_background() {
    let target = Target::tcp().echo();
    let once = Background::start(&["--run-once", "--timeout", "60", "127.0.0.1:0", &target.address]);
    once.visit();
    once.wait();
    assert!(once.log().contains("exiting due to --run-once"), "{}", once.log());
    let idle = Background::start(&["--idle-timeout=1", "127.0.0.1:0", &target.address]);
    idle.wait();
    assert!(idle.log().contains("listener exit due to --idle-timeout 1"), "{}", idle.log());
    let timed = Background::start(&["--timeout=1", "127.0.0.1:0", &target.address]);
    timed.wait();
    assert!(timed.log().contains("listener exit due to --timeout 1"), "{}", timed.log());
}

/// The command lines of the field that need nothing but `-D`.
#[test]
fn the_command_lines_that_others_use_work() {
    let target = Target::tcp().echo();
    let web = Scratch::new();
    fs::write(web.path("vnc.html"), "page").expect("a file");
    let identity = crate::common::tls::identity();
    let (cert, key, dir) = (text(&identity.cert), text(&identity.key), format!("--web={}", web.arg("")));
    let missing = web.arg("missing.pem");
    let lines: [&[&str]; 6] = [
        &["127.0.0.1:0", &target.address],
        &[
            "--idle-timeout=120",
            "--timeout=120",
            "127.0.0.1:0",
            &target.address,
            "--cert",
            &cert,
            "--key",
            &key,
        ],
        &["--run-once", "--timeout", "30", "--idle-timeout", "30", "127.0.0.1:0", &target.address],
        &[&dir, "--cert", &missing, "127.0.0.1:0", &target.address],
        &[&dir, "--cert=~/.novnc/novnc.pem", "127.0.0.1:0", &target.address],
        &["--verbose", "--wrap-mode=ignore", "127.0.0.1:0", &target.address],
    ];
    for line in lines {
        let gateway = Background::start(line);
        gateway.visit();
        if line.contains(&"--run-once") {
            gateway.wait();
        }
    }
}

#[test]
fn the_python_program_leaves_its_launcher_in_the_same_way() {
    let Ok(python) = std::env::var("WEBSOCKIFY_PYTHON") else {
        skipped("WEBSOCKIFY_PYTHON does not name a Python with websockify 0.13.0");
        return;
    };
    let target = Target::tcp().echo();
    let web = Scratch::new();
    let mut seen = Vec::new();
    for program in [vec![python.as_str(), "-m", "websockify"], vec![&program()]] {
        let (scratch, source) = (Scratch::new(), format!("127.0.0.1:{}", free_port()));
        // A small limit, since the Python program closes one number after the other.
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n 256; exec \"$@\"", "sh"]).args(&program);
        command.args(["-D", "-v", "--log-file", &scratch.arg("log"), "--web", &web.arg("")]);
        let output = run(command
            .args([&source, &target.address])
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONWARNINGS", "ignore"));
        let log = || fs::read_to_string(scratch.path("log")).unwrap_or_default();
        eventually("it to serve", || log().contains("  - proxying from "));
        let mut client = Client::connect_to(source.parse().expect("an address")).upgrade();
        client.echo(b"hello");
        client.close();
        eventually("the session in the log", || log().contains("connecting to: "));
        let pid = listener_of(&source).expect("a process listens");
        let fd = |number: u8| fs::read_link(format!("/proc/{pid}/fd/{number}")).unwrap_or_default();
        seen.push((
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).replace(&source, "SOURCE").replace(&web.arg(""), "WEB/"),
            output.stdout.clone(),
            [fd(0), fd(1), fd(2)],
            fs::read_link(format!("/proc/{pid}/cwd")).expect("it runs"),
            log().replace(&source, "SOURCE").lines().filter(|line| line.starts_with("  - ")).count(),
        ));
        Command::new("kill").arg(pid.to_string()).status().expect("kill(1)");
        eventually("it to end", || listener_of(&source).is_none());
    }
    let [theirs, ours] = &seen[..] else { unreachable!("two programs were started") };
    let slashless = |text: &str| text.replace("WEB//", "WEB").replace("WEB/", "WEB");
    assert_eq!(slashless(&theirs.1), slashless(&ours.1));
    assert_eq!((theirs.0, &theirs.2, &theirs.3, &theirs.4), (ours.0, &ours.2, &ours.3, &ours.4));
    assert_eq!(theirs.5, ours.5, "as many lines of settings in the log file");
}

/// The process that listens on this address of 127.0.0.1, told by the kernel.
fn listener_of(source: &str) -> Option<u32> {
    let port: u16 = source.rsplit(':').next()?.parse().ok()?;
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let row = table.lines().find(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        columns.get(1).is_some_and(|local| *local == format!("0100007F:{port:04X}"))
            && columns.get(3) == Some(&"0A")
    })?;
    let socket = format!("socket:[{}]", row.split_whitespace().nth(9)?);
    fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let entries = fs::read_dir(process.path().join("fd")).ok()?;
        let links = entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
        links.into_iter().any(|link| link == Path::new(&socket)).then_some(pid)
    })
}

/// How each program ends with these options, behind an action: its status, and its last line but for addresses.
#[test]
fn every_end_is_that_of_the_python_program() {
    let Ok(python) = std::env::var("WEBSOCKIFY_PYTHON") else {
        skipped("WEBSOCKIFY_PYTHON does not name a Python with websockify 0.13.0");
        return;
    };
    let target = Target::tcp().echo();
    let visit = |source: &str| {
        let mut client = Client::connect_to(source.parse().expect("an address")).upgrade();
        client.echo(b"hello");
        client.close();
    };
    // Options, whether there is a session, and the signal.
    let cases: [(&[&str], bool, Option<&str>, &str); 5] = [
        (&["--run-once"], true, None, "127.0.0.1: exiting due to --run-once"),
        (&["--timeout", "1"], false, None, "listener exit due to --timeout 1"),
        (&["--idle-timeout", "1"], false, None, "listener exit due to --idle-timeout 1"),
        (&[], true, Some("TERM"), "In exit"),
        (&[], true, Some("INT"), "In exit"),
    ];
    for (options, is_visited, signal, last) in cases {
        for words in [vec![python.as_str(), "-m", "websockify"], vec![&program()]] {
            let run = || {
                let source = format!("127.0.0.1:{}", free_port());
                let mut command = Command::new(words[0]);
                command.args(&words[1..]).args(options).args([&source, &target.address]);
                command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONWARNINGS", "ignore");
                let mut server =
                    Server::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()));
                server.log.wait_for("  - proxying from ");
                if is_visited {
                    visit(&source);
                }
                // The Python program loses a signal that comes while it looks after a session's process.
                while let Some(name) = signal
                    && server.is_running()
                {
                    server.signal(name);
                    let start = Instant::now();
                    while server.is_running() && start.elapsed() < Duration::from_secs(5) {
                        std::thread::sleep(Duration::from_millis(10));
                    }
                }
                assert_eq!(server.wait().code(), Some(0), "{words:?} {options:?}");
                let lines = server.log.wait_for_end();
                // Sessions are processes there.
                lines.into_iter().rfind(|line| !line.starts_with("Terminating child ")).unwrap_or_default()
            };
            // A signal that comes in the middle of something there ends it with a trace of what it was doing.
            let is_caught_out = |line: &String| words.len() > 1 && line.ends_with(".Terminate");
            let said = (0..10).map(|_| run()).find(|line| !is_caught_out(line));
            assert_eq!(said.as_deref(), Some(last), "{words:?} {options:?}");
        }
    }
}
