//! A real Redis server, asked and told by its own client.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Scratch, eventually, has};

/// A Redis server of the test's own. It is killed at the end.
pub(crate) struct Redis {
    child: Child,
    pub(crate) port: u16,
    pub(crate) scratch: Scratch,
    options: Vec<String>,
}

impl Redis {
    /// Starts one; nothing, with a line about it, where it is not installed.
    pub(crate) fn start(options: &[&str]) -> Option<Self> {
        Self::start_at("--port", options)
    }

    pub(crate) fn start_at(port_option: &str, options: &[&str]) -> Option<Self> {
        if !has("redis-server") || !has("redis-cli") {
            return None;
        }
        let scratch = Scratch::new();
        for _ in 0..20 {
            let free = TcpListener::bind("127.0.0.1:0").expect("bind");
            let port = free.local_addr().expect("bound").port();
            drop(free);
            let mut all: Vec<String> = vec![port_option.to_owned(), port.to_string()];
            all.extend(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"].map(str::to_owned));
            all.extend(["--dir".to_owned(), scratch.arg(""), "--logfile".to_owned(), scratch.arg("log")]);
            all.extend(options.iter().map(|&option| option.to_owned()));
            let mut child = launch(&all);
            let start = Instant::now();
            loop {
                let log = std::fs::read_to_string(scratch.path("log")).unwrap_or_default();
                if log.contains("Ready to accept connections") {
                    return Some(Self { child, port, scratch, options: all });
                }
                // Somebody else took the port.
                if child.try_wait().expect("wait").is_some() {
                    break;
                }
                assert!(start.elapsed() < Duration::from_secs(60), "Redis does not start");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        panic!("no port for Redis");
    }

    /// What the server's own client prints.
    pub(crate) fn cli(&self, words: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        command.args(["-p", &self.port.to_string()]).args(words);
        let output = command.output().expect("redis-cli runs");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    pub(crate) fn set(&self, key: &str, value: &str) {
        assert_eq!(self.cli(&["set", key, value]), "OK");
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
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
        self.child = launch(&self.options);
        let port = self.port;
        eventually("Redis is back", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    }

    pub(crate) fn number(&self, name: &str) -> u64 {
        let info = self.cli(&["info"]);
        let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("{name} in {info}"))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}

fn launch(options: &[String]) -> Child {
    let mut command = Command::new("redis-server");
    command.args(options).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("redis-server starts")
}
