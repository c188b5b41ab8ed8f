//! The gateway as a child process: started, watched, signalled, and never left behind.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::DEADLINE;
use super::log::{Log, assert_is_for_people};

/// A running gateway. Dropping it kills it; a failing test prints the end of its log.
pub(crate) struct Server {
    child: Child,
    /// Lines on stderr.
    pub(crate) log: Log,
    /// Lines on stdout.
    pub(crate) stdout: Log,
    /// The TCP port it listens on; zero if it has none.
    pub(crate) port: u16,
    /// The Unix socket it listens on, if it does.
    pub(crate) unix: Option<PathBuf>,
    /// Clients speak TLS to it unless they say otherwise.
    pub(crate) is_secure: bool,
}

/// A command that starts the gateway; `WEBSOCKIFY_BIN` names another program to hold to the same tests.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The path of the program under test.
pub(crate) fn program() -> String {
    std::env::var("WEBSOCKIFY_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_websockify").to_owned())
}

impl Server {
    /// Whether clients speak TLS to a server of this type.
    pub(crate) const IS_SECURE: bool = false;

    /// Whether clients connect to a Unix socket of a server of this type.
    pub(crate) const IS_UNIX: bool = false;

    /// What a server of this type takes where the plain one takes these arguments.
    pub(crate) fn arguments(args: &[&str]) -> Vec<String> {
        args.iter().map(|&arg| arg.to_owned()).collect()
    }

    /// Starts the gateway on a free port of 127.0.0.1 in front of `target`.
    pub(crate) fn relay(target: &str) -> Self {
        Self::relay_with(target, &[])
    }

    /// The same with options.
    pub(crate) fn relay_with(target: &str, options: &[&str]) -> Self {
        Self::start(&[options, &["127.0.0.1:0", target]].concat())
    }

    /// Starts the gateway with these arguments and waits until it listens.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::launch(&mut command(args))
    }

    /// Starts it by a command that becomes it in the end, and waits until it listens.
    pub(crate) fn launch(command: &mut Command) -> Self {
        let mut server = Self::spawn(command);
        server.wait_until_it_listens();
        server
    }

    /// Waits for the lines that say so, and learns the port or the path from them.
    pub(crate) fn wait_until_it_listens(&mut self) {
        self.log.wait_for("  - proxying from ");
        let listening = self.log.wait_for("  - Listen on ");
        let (_, place) = listening.split_once("  - Listen on ").expect("it was waited for");
        // In an object, the message has an end.
        let place = place.split('"').next().unwrap_or_default();
        self.port = place.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or(0);
        self.unix = place.strip_prefix("unix socket ").map(Into::into);
    }

    /// Waits until the kernel says so, and learns the port from it: for logs that can't be read or don't tell it.
    pub(crate) fn wait_for_listener(&mut self) {
        super::eventually("the gateway to listen", || {
            self.port = self.listeners().first().map_or(0, |listener| listener.port);
            self.port > 0
        });
    }

    /// Starts a command and collects its output, without waiting for anything.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap_or_else(|error| panic!("starting {command:?}: {error}"));
        let log = child.stderr.take().map(Log::collect).unwrap_or_default();
        let stdout = child.stdout.take().map(Log::collect).unwrap_or_default();
        Self { child, log, stdout, port: 0, unix: None, is_secure: false }
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// What the log calls its clients: their address, or the socket's path.
    pub(crate) fn name_of_clients(&self) -> &str {
        self.unix.as_deref().and_then(Path::to_str).unwrap_or("127.0.0.1")
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name: `TERM`, `INT`, `KILL`.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &kill]).status().expect("a shell");
        assert!(status.success(), "{kill} failed");
    }

    /// Waits for the program's end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.wait_within(DEADLINE)
    }

    /// Waits for the program's end, at most so long.
    pub(crate) fn wait_within(&mut self, limit: Duration) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("wait for the child") {
                return status;
            }
            assert!(start.elapsed() < limit, "timed out waiting for the gateway to exit");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether the program still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("wait for the child").is_none()
    }

    /// Anonymous memory that is resident, in KiB: heap and stacks, without the program's file.
    pub(crate) fn memory_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("the gateway runs");
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("RssAnon is there");
        line.trim().trim_end_matches(" kB").parse().expect("a number of KiB")
    }

    /// The inode numbers of its sockets.
    pub(crate) fn sockets(&self) -> Vec<String> {
        let entries = std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("the gateway runs");
        let links = entries.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
        links
            .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
            .collect()
    }

    /// How many connections it holds a TCP socket for, to clients and to targets, dead ones included.
    pub(crate) fn connections(&self) -> usize {
        let listeners = all_listeners();
        let is_listener = |inode: &String| listeners.iter().any(|listener| listener.inode == *inode);
        self.sockets().iter().filter(|inode| !is_listener(inode)).count()
    }

    /// Its TCP sockets that listen, told by the kernel.
    pub(crate) fn listeners(&self) -> Vec<Listener> {
        let own = self.sockets();
        all_listeners().into_iter().filter(|listener| own.contains(&listener.inode)).collect()
    }
}

/// A row of the kernel's table of TCP sockets.
pub(crate) struct Listener {
    inode: String,
    /// The address in the kernel's hexadecimal form: 8 digits for IPv4, 32 for IPv6.
    pub(crate) address: String,
    pub(crate) port: u16,
}

/// Every TCP socket of this machine that listens.
fn all_listeners() -> Vec<Listener> {
    let tables =
        ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| std::fs::read_to_string(path).unwrap_or_default());
    let row = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let listens = *columns.get(3)? == "0A";
        let (address, port) = columns.get(1)?.rsplit_once(':')?;
        let (address, inode) = (address.to_owned(), (*columns.get(9)?).to_owned());
        let port = u16::from_str_radix(port, 16).ok()?;
        listens.then_some(Listener { inode, address, port })
    };
    tables.iter().flat_map(|table| table.lines().filter_map(row)).collect()
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(path) = &self.unix {
            let _ = std::fs::remove_file(path);
        }
        if std::thread::panicking() {
            let lines = self.log.lines();
            let tail = &lines[lines.len().saturating_sub(30)..];
            eprintln!("--- the end of the gateway's log\n{}\n---", tail.join("\n"));
        } else {
            self.log.lines().iter().for_each(|line| assert_is_for_people(line));
        }
    }
}
