//! `--rebind`: programs whose port is moved, from a C program that binds in every odd way to servers that
//! others wrote.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use socket2::{Domain, Socket, Type};

use crate::common::namespace::Namespace;
use crate::common::server::program;
use crate::common::{Scratch, debian, eventually, has, skipped};

/// A port that somebody listens at, as the gateway does, and one that is held for the program.
struct Ports {
    old: u16,
    new: u16,
    has_v6: bool,
    _held: Vec<Socket>,
    _listener: TcpListener,
}

impl Ports {
    fn new() -> Ports {
        let dual = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0));
        let has_v6 = dual.is_ok() && TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
        let listener = dual.or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))).expect("a port");
        let old = listener.local_addr().expect("an address").port();
        loop {
            let v4 = held((Ipv4Addr::LOCALHOST, 0).into()).expect("a port");
            let new = v4.local_addr().expect("an address").as_socket().expect("an IP address").port();
            let v6 = held((Ipv6Addr::LOCALHOST, new).into());
            if !has_v6 || v6.is_ok() {
                let held = [Some(v4), v6.ok()].into_iter().flatten().collect();
                return Ports { old, new, has_v6, _held: held, _listener: listener };
            }
        }
    }

    /// The command with its port moved.
    fn rebind(&self, command: &str) -> Command {
        let mut rebind = Command::new(program());
        rebind.args(["--rebind", &self.old.to_string(), &self.new.to_string(), command]).stdin(Stdio::null());
        rebind
    }
}

fn held(address: SocketAddr) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.bind(&address.into())?;
    socket.set_reuse_address(true)?;
    Ok(socket)
}

/// A server that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Compiles the C program that binds.
fn binds(scratch: &Scratch, flags: &[&str]) -> Option<PathBuf> {
    if !has("cc") {
        return None;
    }
    let out = scratch.path("binds");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rebind/binds.c");
    let done = Command::new("cc").args(flags).args(["-O1", "-pthread", "-o"]).arg(&out).arg(source).output();
    let done = done.expect("cc can be started");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Some(out)
}

/// The lines of a run in this mode.
fn run(mut command: Command, ports: &Ports, mode: &str, scratch: &Scratch) -> Vec<String> {
    command.args([&ports.old.to_string(), &ports.new.to_string(), mode]).current_dir(scratch.path("."));
    let output = command.output().expect("it can be started");
    assert_eq!(text(&output.stderr), "", "{mode}");
    assert!(output.status.success(), "{mode}: {}", output.status);
    let lines = text(&output.stdout);
    let lines = lines.lines().filter(|line| ports.has_v6 || !line.contains("v6"));
    lines
        .map(|line| {
            line.replace(&format!(":{}", ports.old), ":OLD").replace(&format!(":{}", ports.new), ":NEW")
        })
        .collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Where the cases that are moved have to land.
const MOVED: &[(&str, &str)] = &[
    ("moved v4 any", "127.0.0.1"),
    ("moved v4 loopback", "127.0.0.1"),
    ("moved v4 another", "127.0.0.1"),
    ("moved v4 any without family", "127.0.0.1"),
    ("moved v6 any", "[::ffff:127.0.0.1]"),
    ("moved v6 loopback", "[::ffff:127.0.0.1]"),
    ("moved v6 mapped", "[::ffff:127.0.0.1]"),
    ("moved v6 without scope", "[::ffff:127.0.0.1]"),
    ("moved v6 only any", "[::1]"),
    ("moved v6 only loopback", "[::1]"),
    ("moved v4 non-blocking", "127.0.0.1"),
    ("moved v4 of 128 bytes", "127.0.0.1"),
    ("moved v4 unaligned", "127.0.0.1"),
    ("moved reuseport first", "127.0.0.1"),
    ("moved reuseport second", "127.0.0.1"),
    ("moved first of two", "127.0.0.1"),
    ("moved v6 loopback beside v4", "[::1]"),
    ("moved v6 only beside v4", "[::1]"),
    ("accepted", "127.0.0.1"),
    ("moved then bound again", "127.0.0.1"),
];

/// The same in other processes and places.
const MOVED_ELSEWHERE: &[(&str, &str)] = &[
    ("moved after fork", "127.0.0.1"),
    ("moved in a thread", "127.0.0.1"),
    ("moved in a handler", "127.0.0.1"),
    ("moved after exec", "127.0.0.1"),
    ("moved without environment", "127.0.0.1"),
];

/// What else has to be said, word for word.
const OTHERS: &[&str] = &[
    "listens 0",
    "second of two: EADDRINUSE seen=0.0.0.0:0 real=0.0.0.0:0",
    "reuse address 0",
    "v6 any beside v4: EADDRINUSE seen=[::]:0 real=[::]:0",
    "connects 0",
    "client as it is",
    "space 0: 0 errno 1234 len 16 untouched untouched untouched untouched",
    "space 1: 0 errno 1234 len 16 untouched untouched untouched untouched",
    "space 2: 0 errno 1234 len 16 untouched untouched untouched untouched",
    "space 4: 0 errno 1234 len 16 old old untouched untouched",
    "space 5: 0 errno 1234 len 16 old old ip untouched",
    "bound again: EINVAL seen=127.0.0.1:OLD real=127.0.0.1:NEW",
];

fn assert_moved(lines: &[String], expected: &[(&str, &str)], has_v6: bool) {
    for (name, ip) in expected.iter().filter(|(name, _)| has_v6 || !name.contains("v6")) {
        let line = format!("{name}: ok seen={ip}:OLD real={ip}:NEW");
        assert!(lines.contains(&line), "{line} is not among {lines:#?}");
    }
}

fn assert_said(lines: &[String], has_v6: bool) {
    for line in OTHERS.iter().filter(|line| has_v6 || !line.contains("v6")) {
        assert!(lines.iter().any(|found| found == line), "{line} is not among {lines:#?}");
    }
    let wrong = lines.iter().find(|line| line.starts_with("listens") && *line != "listens 0");
    assert_eq!(wrong, None);
    assert!(
        !lines.iter().any(|line| line.contains("errno changed") || line.contains("the child ended")),
        "{lines:#?}"
    );
}

#[test]
fn stream_sockets_are_moved_and_all_else_is_as_without_the_library() {
    let (scratch, ports) = (Scratch::new(), Ports::new());
    let Some(binds) = binds(&scratch, &[]) else { return };
    let binds = binds.to_str().expect("UTF-8");
    // The child that becomes another user has to reach the program.
    fs::set_permissions(scratch.path("."), fs::Permissions::from_mode(0o755)).expect("changed");
    let natural = run(Command::new(binds), &ports, "untouched", &scratch);
    assert!(natural.len() > if ports.has_v6 { 30 } else { 20 }, "{natural:#?}");

    let lines = run(ports.rebind(binds), &ports, "all", &scratch);
    assert_moved(&lines, MOVED, ports.has_v6);
    assert_moved(&lines, MOVED_ELSEWHERE, ports.has_v6);
    assert_said(&lines, ports.has_v6);
    let untouched: Vec<&String> = lines.iter().filter(|line| natural.contains(line)).collect();
    assert_eq!(untouched, natural.iter().collect::<Vec<_>>(), "as without the library");
    // Without the environment, and so without the library, it is the gateway's port again.
    assert_eq!(
        lines.last().map(String::as_str),
        Some("moved after exec: EADDRINUSE seen=0.0.0.0:0 real=0.0.0.0:0")
    );
}

/// A sandbox may forbid the call with which an address is read.
#[test]
fn an_address_is_read_without_a_fault_also_where_process_vm_readv_is_forbidden() {
    let (scratch, ports) = (Scratch::new(), Ports::new());
    let Some(binds) = binds(&scratch, &[]) else { return };
    let binds = binds.to_str().expect("UTF-8");
    let natural = run(Command::new(binds), &ports, "untouched", &scratch);
    let lines = run(ports.rebind(binds), &ports, "forbidden", &scratch);
    assert!(!lines.iter().any(|line| line == "not forbidden"), "{lines:#?}");
    assert_said(&lines, ports.has_v6);
    assert_moved(&lines, MOVED, ports.has_v6);
    let untouched: Vec<&String> = lines.iter().filter(|line| natural.contains(line)).collect();
    assert_eq!(untouched, natural.iter().collect::<Vec<_>>(), "as without the library");
}

/// What ours moves and Debian's does not, or the other way round, with the reason.
const DIFFERENT: &[(&str, &str)] = &[
    ("udp", "it is no stream socket"),
    ("moved v4 any without family", "Linux takes it for any IPv4 address"),
    ("moved v6 any", "IPv6 is moved, too"),
    ("moved v6 loopback", "IPv6 is moved, too"),
    ("moved v6 mapped", "IPv6 is moved, too"),
    ("moved v6 without scope", "IPv6 is moved, too"),
    ("moved v6 only any", "IPv6 is moved, too"),
    ("moved v6 only loopback", "IPv6 is moved, too"),
    ("moved v6 loopback beside v4", "IPv6 is moved, too"),
    ("moved v6 only beside v4", "IPv6 is moved, too"),
    ("v6 any beside v4", "IPv6 is moved, too, and its place is taken"),
    ("v6 socket, v4 address", "another error of the system, since theirs hands on another length"),
    ("v4 length 0", "the system refuses it"),
    ("v4 length 1", "the system refuses it"),
    ("v4 length 2", "the system refuses it"),
    ("v4 length 4", "the system refuses it"),
    ("v4 length 15", "the system refuses it"),
    ("v4 length 129", "the system refuses it"),
    ("v4 length 4096", "the system refuses it"),
    ("v4 length -1", "the system refuses it"),
];

/// Debian's package of the Python program has the library that this one comes after. In a network of its own, so that
/// nobody else has the ports.
#[test]
fn beside_debian_s_library_only_what_is_intended_is_different() {
    let Some(theirs) = debian::path("rebind.so", &["usr/lib/websockify"]) else { return };
    let scratch = Scratch::new();
    let (Some(network), Some(binds)) = (Namespace::new(), binds(&scratch, &[])) else { return };
    let binds = binds.to_str().expect("UTF-8");
    let preload = format!("LD_PRELOAD={theirs}");
    let run = |before: &[&str]| {
        let args = [&["--rebind", "5901", "5911"], before, &[binds, "5901", "5911", "forbidden"]].concat();
        let output = network.command(&args).current_dir(scratch.path(".")).output().expect("started");
        let place = |line: &str| {
            let (name, rest) = line.split_once(": ")?;
            Some((
                name.to_owned(),
                rest.split(" seen=").next()?.to_owned(),
                rest.split("real=").nth(1)?.to_owned(),
            ))
        };
        text(&output.stdout).lines().filter_map(place).collect::<Vec<_>>()
    };
    let (ours, theirs) = (run(&[]), run(&["env", &preload]));
    // With theirs the program crashes at its first pointer to nowhere.
    assert!(ours.len() > theirs.len() && theirs.len() > 35, "{ours:#?} {theirs:#?}");
    let pairs = ours.iter().zip(&theirs);
    let mut different: Vec<&str> = pairs.filter(|(a, b)| a != b).map(|(a, _)| a.0.as_str()).collect();
    let mut intended: Vec<&str> = DIFFERENT.iter().map(|(name, _)| *name).collect();
    different.sort_unstable();
    intended.sort_unstable();
    assert_eq!(different, intended, "{ours:#?} {theirs:#?}");
}

#[test]
fn a_program_with_musl_is_moved() {
    if !has("musl-gcc") {
        return;
    }
    let (scratch, ports) = (Scratch::new(), Ports::new());
    let one = scratch.arg("one");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rebind/one.c");
    let done = Command::new("musl-gcc").args(["-o", &one, source]).output().expect("musl-gcc can be started");
    assert!(done.status.success(), "{}", text(&done.stderr));
    let (output, errors) = ends(ports.rebind(&one).arg(ports.old.to_string()));
    assert_eq!(errors, "");
    assert_eq!(text(&output.stdout), format!("seen {} real {}\n", ports.old, ports.new));
}

#[test]
fn the_library_needs_no_other_and_names_no_version() {
    if !has("readelf") {
        return;
    }
    let ports = Ports::new();
    let output =
        ports.rebind("sh").args(["-c", "readelf -dVW --dyn-syms \"$LD_PRELOAD\""]).output().expect("started");
    let listing = text(&output.stdout);
    assert!(listing.contains(" getsockname\n") && listing.contains(" bind\n"), "{listing}");
    for word in ["NEEDED", "GLIBC", "@", "unwind", "Unwind", "personality", "malloc"] {
        assert!(!listing.contains(word), "{word}: {listing}");
    }
    let missing: Vec<&str> = listing
        .lines()
        .filter(|line| line.contains(" UND "))
        .filter_map(|line| line.split_whitespace().nth(7))
        .collect();
    for name in missing {
        let known = [
            "__errno_location",
            "dlsym",
            "getenv",
            "getpid",
            "getsockopt",
            "process_vm_readv",
            "setsockopt",
            "strlen",
            "syscall",
            "memcpy",
            "memset",
            "memcmp",
            "bcmp",
        ];
        assert!(known.contains(&name), "{name}: {listing}");
    }
}

/// Starts a server and fetches something from it at the port that it was moved to.
fn serves(ports: &Ports, name: &str, args: &[&str], ip: std::net::IpAddr, expected: &str) {
    let mut command = ports.rebind(name);
    let child = command.args(args).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().expect("started");
    let mut running = Running(child);
    let mut stream = None;
    eventually(&format!("{name} {args:?} listens"), || {
        assert_eq!(running.0.try_wait().expect("it is ours"), None, "{name} {args:?} has ended");
        stream = TcpStream::connect((ip, ports.new)).ok();
        stream.is_some()
    });
    let mut stream = stream.expect("connected");
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.contains(expected), "{name} {args:?}: {answer}");
}

#[test]
fn python_s_web_server_is_moved_with_every_family() {
    if !has("python3") {
        return;
    }
    let ports = Ports::new();
    let old = ports.old.to_string();
    let v4 = Ipv4Addr::LOCALHOST.into();
    serves(&ports, "python3", &["-m", "http.server", &old], v4, "HTTP/1.0 200 OK");
    serves(&ports, "python3", &["-m", "http.server", "--bind", "127.0.0.1", &old], v4, "HTTP/1.0 200 OK");
    if ports.has_v6 {
        serves(&ports, "python3", &["-m", "http.server", "--bind", "::", &old], v4, "HTTP/1.0 200 OK");
        let only = "import socket,sys; s=socket.create_server(('::',int(sys.argv[1])), family=socket.AF_INET6); \
                    c=s.accept()[0]; c.recv(99); c.sendall(str(s.getsockname()[1]).encode())";
        serves(&ports, "python3", &["-c", only, &old], Ipv6Addr::LOCALHOST.into(), &old);
    }
}

#[test]
fn node_is_moved_and_sees_the_port_that_it_asked_for() {
    if !has("node") {
        return;
    }
    let ports = Ports::new();
    let server = "const s = require('http').createServer((q, a) => a.end('port ' + s.address().port)); s.listen(+process.argv[1])";
    let expected = format!("port {}", ports.old);
    serves(&ports, "node", &["-e", server, &ports.old.to_string()], Ipv4Addr::LOCALHOST.into(), &expected);
}

#[test]
fn socat_is_moved() {
    if !has("socat") {
        return;
    }
    let ports = Ports::new();
    let listen = format!("TCP4-LISTEN:{},reuseaddr,fork", ports.old);
    serves(&ports, "socat", &[&listen, "SYSTEM:head -n 1"], Ipv4Addr::LOCALHOST.into(), "GET / HTTP");
}

fn ends(command: &mut Command) -> (Output, String) {
    let output = command.output().expect("started");
    let errors = text(&output.stderr);
    (output, errors)
}

#[test]
fn the_command_takes_the_place_and_its_end_is_its_own() {
    let ports = Ports::new();
    let (output, errors) = ends(ports.rebind("sh").args(["-c", "echo $PPID; exit 7"]));
    assert_eq!((output.status.code(), errors.as_str()), (Some(7), ""));
    assert_eq!(text(&output.stdout).trim(), std::process::id().to_string(), "no process is between");
    let (output, _) = ends(ports.rebind("sh").args(["-c", "kill -TERM $$"]));
    assert_eq!(output.status.signal(), Some(15));
    let (output, errors) = ends(&mut ports.rebind("no-such-command"));
    assert_eq!(output.status.code(), Some(127));
    assert!(errors.starts_with("websockify: no-such-command: [Errno 2] No such file"), "{errors}");
    let (output, errors) = ends(&mut ports.rebind("/etc/passwd"));
    assert_eq!(output.status.code(), Some(126));
    assert!(errors.starts_with("websockify: /etc/passwd: [Errno 13] Permission denied"), "{errors}");
    let (output, errors) = ends(Command::new(program()).args(["--rebind", "1", "x", "true"]));
    assert_eq!(output.status.code(), Some(2));
    assert!(errors.contains("Usage:") && errors.contains("Error parsing new port"), "{errors}");
}

#[test]
fn the_command_s_environment_has_the_ports_and_what_the_user_preloads() {
    let ports = Ports::new();
    let show = "echo $REBIND_OLD_PORT $REBIND_NEW_PORT $LD_PRELOAD; echo /proc/$$/fd/*";
    let preload = "libm.so.6 libdl.so.2";
    let (output, _) = ends(ports.rebind("sh").args(["-c", show]).env("LD_PRELOAD", preload));
    let said = text(&output.stdout);
    let (first, descriptors) = said.split_once('\n').expect("two lines");
    assert!(first.starts_with(&format!("{} {} /", ports.old, ports.new)), "{said}");
    assert!(first.ends_with(&format!(".so:{preload}")), "{said}");
    // No descriptor more than the shell has anyway.
    let (output, _) = ends(Command::new("sh").stdin(Stdio::null()).args(["-c", "echo /proc/$$/fd/*"]));
    let count = |text: &str| text.split_whitespace().count();
    assert_eq!(count(descriptors), count(&text(&output.stdout)), "{said}");
}

#[test]
fn the_library_lies_where_it_can_be_loaded() {
    let mount = "mount -t tmpfs -o noexec none /var/tmp || exit 99; exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", mount, "sh", &program(), "--rebind", "1", "2"]);
    command.args(["sh", "-c", "echo $LD_PRELOAD; ls -A /var/tmp"]);
    let Ok(output) = command.stdin(Stdio::null()).output() else { return skipped("unshare is not on PATH") };
    if !output.status.success() {
        return skipped(&format!("nothing can be mounted here: {}", text(&output.stderr)));
    }
    assert!(text(&output.stdout).starts_with("/tmp/websockify-rebind-0-"), "{output:?}");
    assert_eq!(text(&output.stdout).lines().count(), 1, "nothing is left behind: {output:?}");
    assert_eq!(text(&output.stderr), "", "the loader took it");
}

#[test]
fn programs_that_no_preload_reaches_are_named_and_started_all_the_same() {
    let (scratch, ports) = (Scratch::new(), Ports::new());
    let source = scratch.path("hello.c");
    fs::write(&source, "int main(void) { return 5; }").expect("written");
    if !has("cc") {
        return;
    }
    let said_of = |program: &str| {
        let (output, errors) = ends(ports.rebind(program).stdin(Stdio::null()));
        assert_eq!(output.status.code(), Some(5), "{errors}");
        errors
    };
    let compile = |name: &str, flags: &[&str]| {
        let out = scratch.arg(name);
        let done = Command::new("cc").args(flags).arg("-o").arg(&out).arg(&source).status().expect("cc");
        assert!(done.success(), "{flags:?}");
        out
    };
    let dynamic = compile("dynamic", &[]);
    assert_eq!(said_of(&dynamic), "");
    for flags in [&["-static"][..], &["-static-pie"]] {
        let fixed = compile("static", flags);
        let said = said_of(&fixed);
        assert!(
            said.starts_with(&format!("websockify: {fixed} is statically linked, so it can't")),
            "{said}"
        );
        assert!(
            said.ends_with("or use --unix-target or --wrap-stdin\n") && said.lines().count() == 1,
            "{said}"
        );
        // By the word alone, over PATH, and through a script.
        let (_, by_name) = ends(ports.rebind("static").env("PATH", scratch.path(".")));
        assert!(by_name.contains("is statically linked"), "{by_name}");
        let script = scratch.arg("script");
        fs::write(&script, format!("#! {fixed} -x\n")).expect("written");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("changed");
        assert_eq!(said_of(&script), said);
    }
    if !rustix::process::geteuid().is_root() {
        return skipped("only root makes files of others");
    }
    for (mode, user, group, reason) in [
        (0o4755, 65534, 0, Some("set-user-id")),
        (0o2755, 0, 65534, Some("set-group-id")),
        (0o4755, 0, 0, None),
    ] {
        chown(&dynamic, Some(user), Some(group)).expect("changed");
        fs::set_permissions(&dynamic, fs::Permissions::from_mode(mode)).expect("changed");
        let said = said_of(&dynamic);
        match reason {
            Some(reason) => assert!(said.contains(&format!("{dynamic} is {reason}, so")), "{said}"),
            None => assert_eq!(said, "", "root's own program gives root nothing"),
        }
    }
}
