//! Programs that others wrote, wrapped: VNC servers and telnet daemons, each as its users start it.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use super::Server;
use crate::common::client::Client;
use crate::common::server::command;
use crate::common::{Scratch, debian, eventually, eventually_within, free_port, has, skipped};

/// A client's bytes, whatever frames they come in.
struct Bytes {
    client: Client,
    left: Vec<u8>,
}

impl Bytes {
    fn open(server: &Server) -> Bytes {
        Bytes { client: Client::open(server), left: Vec::new() }
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        while self.left.len() < count {
            self.left.extend(self.client.frame().payload);
        }
        self.left.drain(..count).collect()
    }

    /// Reads up to this text, refusing every option that a telnet server speaks of.
    fn until(&mut self, text: &str) -> String {
        let mut shown = String::new();
        while !shown.contains(text) {
            match self.take(1)[0] {
                IAC => self.option(),
                byte => shown.push(char::from(byte)),
            }
        }
        shown
    }

    fn option(&mut self) {
        let refusal = match self.take(1)[0] {
            WILL => DONT,
            DO => WONT,
            SB => {
                // To its end; it is no answer to anything that we have said.
                let mut last = 0;
                loop {
                    let byte = self.take(1)[0];
                    if (last, byte) == (IAC, SE) {
                        return;
                    }
                    last = byte;
                }
            }
            WONT | DONT => return drop(self.take(1)),
            _ => return,
        };
        let option = self.take(1)[0];
        self.client.send_binary(&[IAC, refusal, option]);
    }

    /// The beginning of a VNC session: the size of the screen.
    fn screen(&mut self) -> (u16, u16) {
        assert_eq!(self.take(12), b"RFB 003.008\n");
        self.client.send_binary(b"RFB 003.008\n");
        let count = usize::from(self.take(1)[0]);
        assert!(self.take(count).contains(&1), "no password is wanted");
        self.client.send_binary(&[1]);
        assert_eq!(self.take(4), [0; 4], "let in");
        self.client.send_binary(&[1]);
        let size = self.take(4);
        (u16::from_be_bytes([size[0], size[1]]), u16::from_be_bytes([size[2], size[3]]))
    }
}

const IAC: u8 = 255;
const DONT: u8 = 254;
const DO: u8 = 253;
const WONT: u8 = 252;
const WILL: u8 = 251;
const SB: u8 = 250;
const SE: u8 = 240;

/// A display that nobody has, and the port of its VNC server, which is free.
fn display() -> (u16, u16) {
    // Tests at the same time begin at different numbers.
    static COUNT: AtomicU16 = AtomicU16::new(0);
    let first = 100 + (std::process::id() % 250) as u16 + 20 * COUNT.fetch_add(1, Ordering::Relaxed);
    let is_free = |number: u16| {
        !Path::new(&format!("/tmp/.X11-unix/X{number}")).exists()
            && !Path::new(&format!("/tmp/.X{number}-lock")).exists()
            && ["0.0.0.0", "::1"].iter().all(|address| !is_taken(address, 5900 + number))
    };
    let number = (first..first + 20).find(|number| is_free(*number)).expect("a free display");
    (number, 5900 + number)
}

/// Whether somebody has a port; nobody has one of a family that is not there.
fn is_taken(address: &str, port: u16) -> bool {
    matches!(TcpListener::bind((address, port)), Err(error) if error.kind() == ErrorKind::AddrInUse)
}

/// A home whose desktop is nothing.
fn home() -> Scratch {
    let home = Scratch::new();
    fs::create_dir(home.path(".vnc")).expect("a directory");
    let xstartup = home.path(".vnc/xstartup");
    fs::write(&xstartup, "#!/bin/sh\nexec sleep 300\n").expect("a script");
    fs::set_permissions(&xstartup, fs::Permissions::from_mode(0o755)).expect("a mode");
    home
}

#[test]
fn vncserver_goes_into_the_background_and_is_served_at_its_own_port() {
    if !has("vncserver") || !has("Xtigervnc") {
        return;
    }
    let home = home();
    let (display, port) = display();
    let (source, display) = (port.to_string(), format!(":{display}"));
    let vncserver = ["vncserver", "-geometry", "800x600", "-SecurityTypes", "None", &display];
    let mut command = command(
        &[&["-v", &format!("127.0.0.1:{source}"), "--wrap-mode=ignore", "--"], &vncserver[..]].concat(),
    );
    let mut server = Server::launch(command.env("HOME", home.path("")));
    server.log.wait_for("Wrapped command exited (or daemon). Returned 0");
    for _ in 0..2 {
        assert_eq!(Bytes::open(&server).screen(), (800, 600));
    }
    // It lives on without us, and is there for whoever comes next.
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    let socket = PathBuf::from(format!("/tmp/.X11-unix/X{}", &display[1..]));
    assert!(socket.exists());
    let files = fs::read_dir(home.path(".vnc")).expect("a directory").flatten().map(|entry| entry.path());
    let pid = files.into_iter().find(|path| path.extension() == Some("pid".as_ref())).expect("its number");
    let pid = fs::read_to_string(pid).expect("a file");
    // Its own `vncserver -kill` needs the port to be there.
    assert!(Command::new("kill").arg(pid.trim()).status().expect("kill(1)").success(), "it was there");
    eventually("the display to be gone", || !socket.exists());
}

#[test]
fn an_x_server_in_the_foreground_ends_with_us() {
    if !has("Xtigervnc") {
        return;
    }
    let (display, port) = display();
    let (source, display) = (port.to_string(), format!(":{display}"));
    let options = ["-rfbport", &source, "-geometry", "640x480", "-SecurityTypes", "None"];
    let arguments = [&["-v", &source, "--", "Xtigervnc", &display][..], &options].concat();
    let mut server = Server::launch(&mut command(&arguments));
    server.port = port;
    assert_eq!(Bytes::open(&server).screen(), (640, 480));
    server.signal("TERM");
    // It obeys with 0.
    assert_eq!(server.wait().code(), Some(0));
    assert!(!Path::new(&format!("/tmp/.X11-unix/X{}", &display[1..])).exists());
}

#[test]
fn a_desktop_behind_a_unix_socket_is_waited_for() {
    if !has("vncserver") || !has("Xtigervnc") {
        return;
    }
    let home = home();
    let (display, _) = display();
    let socket = home.arg("vnc-socket");
    let script = format!(
        "cd {} && exec vncserver -verbose -fg -SecurityTypes None -rfbunixpath {socket} -rfbport -1 :{display}",
        home.arg("")
    );
    let mut command = command(&[
        "--verbose",
        "--heartbeat=30",
        "127.0.0.1:0",
        "--unix-target",
        &socket,
        "--",
        "/bin/sh",
        "-c",
        &script,
    ]);
    let mut server = Server::launch(command.env("HOME", home.path("")));
    assert_eq!(Bytes::open(&server).take(4), b"RFB ");
    server.signal("TERM");
    server.wait();
    eventually("the display to be gone", || !Path::new(&format!("/tmp/.X11-unix/X{display}")).exists());
}

/// What telnet daemons start in place of login(1).
fn login(scratch: &Scratch) -> String {
    let path = scratch.path("login");
    fs::write(&path, "#!/bin/sh\necho \"MARK-$((6 * 7))\"\nexec cat\n").expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
    scratch.arg("login")
}

#[test]
fn telnetd_that_takes_one_client_only_serves_one_after_the_other() {
    let Some(telnetd) = debian::path("in.telnetd", &["usr/sbin"]) else { return };
    let scratch = Scratch::new();
    let login = login(&scratch);
    // Nothing but an RSA key will do.
    let (cert, key) = (scratch.arg("cert"), scratch.arg("key"));
    let request = [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=localhost",
        "-keyout",
        &key,
        "-out",
        &cert,
    ];
    if !has("openssl") {
        return;
    }
    assert!(Command::new("openssl").args(request).output().expect("openssl").status.success());
    let (cert, key) = (format!("cert={cert}"), format!("key={key}"));
    let port = free_port();
    let (port, source) = (port.to_string(), format!("127.0.0.1:{port}"));
    let daemon = [telnetd.as_str(), "-z", &cert, "-z", &key, "-L", &login, "-debug", &port];
    let server = Server::start(&[&["-v", &source, "--wrap-mode=respawn", "--"], &daemon[..]].concat());
    for life in 1..=2 {
        let mut client = Bytes::open(&server);
        client.until("MARK-42");
        client.client.send_binary(b"typed\r\n");
        client.until("typed");
        drop(client);
        server.log.wait_for_nth("Wrapped command exited (or daemon). Returned ", life);
    }
    server.signal("TERM");
}

#[test]
fn a_telnetd_for_inetd_serves_each_session_on_its_standard_input() {
    let Some(telnetd) = debian::path("telnetd", &["usr/sbin"]) else { return };
    let scratch = Scratch::new();
    let login = login(&scratch);
    let server = Server::start(&["-v", "--wrap-stdin", "127.0.0.1:0", "--", &telnetd, "-E", &login]);
    let mut clients: Vec<Bytes> = (0..3).map(|_| Bytes::open(&server)).collect();
    for client in &mut clients {
        client.until("MARK-42");
        client.client.send_binary(b"typed\r\n");
        client.until("typed");
    }
    drop(clients);
    server.log.wait_for_nth(" exited. Returned ", 3);
    eventually_within(Duration::from_secs(20), "no child to be left", || server.children() == 0);
}

/// What a web server of others says to a request through us.
fn page(server: &Server) -> String {
    let mut client = Client::open(server);
    client.send_binary(b"GET /marked HTTP/1.0\r\n\r\n");
    let mut answer = Vec::new();
    loop {
        let frame = client.frame();
        if frame.opcode != 2 {
            return String::from_utf8_lossy(&answer).into_owned();
        }
        answer.extend(frame.payload);
    }
}

#[test]
fn web_servers_of_others_are_wrapped_whatever_they_bind_to() {
    let scratch = Scratch::new();
    fs::write(scratch.path("marked"), "the marked page").expect("a page");
    let directory = scratch.arg("");
    let node = "require('http').createServer((_, r) => r.end('the marked page')).listen(+process.env.REBIND_OLD_PORT)";
    let rows: [(&str, Vec<&str>); 6] = [
        (
            "python3",
            vec!["sh", "-c", "exec python3 -m http.server --directory $0 $REBIND_OLD_PORT", &directory],
        ),
        (
            "python3",
            vec![
                "sh",
                "-c",
                "exec python3 -m http.server --bind 127.0.0.1 --directory $0 $REBIND_OLD_PORT",
                &directory,
            ],
        ),
        (
            "python3",
            vec![
                "sh",
                "-c",
                "exec python3 -m http.server --bind ::1 --directory $0 $REBIND_OLD_PORT",
                &directory,
            ],
        ),
        (
            "python3",
            vec![
                "sh",
                "-c",
                "exec python3 -m http.server --bind :: --directory $0 $REBIND_OLD_PORT",
                &directory,
            ],
        ),
        ("node", vec!["node", "-e", node]),
        (
            "socat",
            vec![
                "sh",
                "-c",
                "exec socat TCP-LISTEN:$REBIND_OLD_PORT,fork,reuseaddr 'SYSTEM:read line; echo the marked page'",
            ],
        ),
    ];
    for (program, words) in rows {
        if !has(program) {
            return;
        }
        let wants_v6 = words.iter().any(|word| word.contains("--bind :"));
        if wants_v6 && TcpListener::bind(("::1", 0)).is_err() {
            skipped("there is no IPv6 here");
            continue;
        }
        let mut server = Server::start(&[&["127.0.0.1:0", "--"], &words[..]].concat());
        let page = page(&server);
        assert!(page.contains("the marked page"), "{words:?}: {page}");
        server.signal("TERM");
        server.wait();
    }
}
