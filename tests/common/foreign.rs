//! Servers that others wrote, each on a port that was free and with a directory of its own.

use std::fs::{self, File};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use super::{Scratch, eventually, free_port};

/// A server that others wrote. Dropping it kills it; a failing test prints what it has said.
pub(crate) struct Foreign {
    child: Child,
    command: Command,
    pub(crate) port: u16,
    scratch: Scratch,
}

impl Foreign {
    /// Starts what `prepare` makes for a port and a directory, and waits until it listens.
    pub(crate) fn start(prepare: impl Fn(u16, &Scratch) -> Command) -> Self {
        Self::start_until(Self::listens, prepare)
    }

    /// The same with another sign of its being ready.
    pub(crate) fn start_until(
        is_ready: impl Fn(&Self) -> bool,
        prepare: impl Fn(u16, &Scratch) -> Command,
    ) -> Self {
        // Another process may be quicker to take a port that was free.
        for _ in 0..5 {
            let (port, scratch) = (free_port(), Scratch::new());
            let mut command = prepare(port, &scratch);
            let output = File::create(scratch.path("output")).expect("a file");
            let twin = output.try_clone().expect("a descriptor");
            let child = spawn(command.stdin(Stdio::null()).stdout(twin).stderr(output));
            let mut server = Self { child, command, port, scratch };
            let mut is_up = false;
            eventually(&format!("{:?} to be ready", server.command), || {
                is_up = is_ready(&server);
                is_up || server.child.try_wait().expect("a child").is_some()
            });
            if is_up {
                return server;
            }
            eprintln!("{:?} has ended: {}", server.command, server.said());
        }
        panic!("it does not start");
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn listens(&self) -> bool {
        TcpStream::connect(("127.0.0.1", self.port)).is_ok()
    }

    /// What it has written, on standard output and standard error.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.scratch.path("output")).unwrap_or_default()
    }

    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("a shell").success());
    }

    pub(crate) fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) fn restart(&mut self) {
        self.stop();
        self.child = spawn(&mut self.command);
        eventually("the server to be back", || self.listens());
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            eprintln!("--- the output of {:?}\n{}---", self.command, self.said());
        }
    }
}

fn spawn(command: &mut Command) -> Child {
    command.spawn().unwrap_or_else(|error| panic!("starting {command:?}: {error}"))
}
