//! The gateway in the background, which is nobody's child: known by its pid file, and never left behind.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use super::client::Client;
use super::server::program;
use super::{Scratch, eventually};

/// A gateway that was started with `-D`. Dropping it kills it.
pub(crate) struct Background {
    /// Its number, from its pid file.
    pub(crate) pid: u32,
    /// The port it listens on, from its log file; zero if it has none.
    pub(crate) port: u16,
    /// Where its files are: `pid` and `log`.
    pub(crate) scratch: Scratch,
}

/// What every gateway in the background is started with, besides its own arguments.
pub(crate) fn options(scratch: &Scratch) -> Vec<String> {
    ["-D", "--pid-file", &scratch.arg("pid"), "--log-file", &scratch.arg("log")].map(str::to_owned).to_vec()
}

/// Runs a command to its end and collects what it prints, which takes until nobody holds its outputs any more.
pub(crate) fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("starting {command:?}: {error}"))
}

impl Background {
    /// Starts the gateway and waits for its launcher, not for anything else.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_in(Scratch::new(), args)
    }

    /// The same with files of the test's own in `scratch`.
    pub(crate) fn start_in(scratch: Scratch, args: &[&str]) -> Self {
        let mut command = Command::new(program());
        let output = run(command.args(options(&scratch)).args(args));
        assert!(output.status.success(), "{output:?}");
        Self::found(scratch)
    }

    /// The gateway that has just been started with [`options`].
    pub(crate) fn found(scratch: Scratch) -> Self {
        let pid = fs::read_to_string(scratch.path("pid")).expect("the pid file is there at once");
        let pid = pid.strip_suffix('\n').and_then(|pid| pid.parse().ok()).expect("a number and a line end");
        let mut gateway = Self { pid, port: 0, scratch };
        // The log has a thread of its own, so its lines may come later than the launcher's end.
        eventually("the start in the log", || gateway.log().contains("\n  - proxying from "));
        let log = gateway.log();
        let listening = log.lines().find_map(|line| line.strip_prefix("  - Listen on "));
        gateway.port = listening.and_then(|name| name.rsplit(':').next()?.parse().ok()).unwrap_or(0);
        gateway
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// A session that echoes and is closed by its client.
    pub(crate) fn visit(&self) {
        let mut client = Client::connect_to(self.address()).upgrade();
        client.echo(b"hello");
        client.close();
    }

    /// What the log file holds.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.scratch.path("log")).unwrap_or_default()
    }

    /// A file of its process in /proc.
    pub(crate) fn proc(&self, name: &str) -> PathBuf {
        format!("/proc/{}/{name}", self.pid).into()
    }

    /// A line of its status in /proc.
    pub(crate) fn status(&self, name: &str) -> String {
        let status = fs::read_to_string(self.proc("status")).expect("the gateway runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("{name} in {status}")).trim().to_owned()
    }

    /// Whether the process is there and is the gateway. One that has ended has no program.
    pub(crate) fn is_running(&self) -> bool {
        let own = fs::canonicalize(program()).expect("the gateway is there");
        fs::read_link(self.proc("exe")).is_ok_and(|found| found == own)
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        assert!(self.is_running(), "the gateway is gone: {}", self.log());
        let status = Command::new("kill").args([&format!("-{name}"), &self.pid.to_string()]).status();
        let status = status.expect("kill(1)");
        assert!(status.success(), "{:?}", status.signal());
    }

    /// Waits until it has ended.
    pub(crate) fn wait(&self) {
        eventually("the gateway in the background to end", || !self.is_running());
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if self.is_running() {
            self.signal("KILL");
        }
        if std::thread::panicking() {
            eprintln!("--- the gateway's log file\n{}\n---", self.log());
        }
    }
}
