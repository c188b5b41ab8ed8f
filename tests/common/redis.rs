//! A real Redis server, asked and told by its own client.

use std::ops::{Deref, DerefMut};
use std::process::Command;

use super::foreign::Foreign;
use super::has;

/// A Redis server of the test's own. It is killed at the end.
pub(crate) struct Redis(Foreign);

impl Redis {
    /// Starts one; nothing, with a line about it, where it is not installed.
    pub(crate) fn start(options: &[&str]) -> Option<Self> {
        Self::start_at("--port", options)
    }

    pub(crate) fn start_at(port_option: &str, options: &[&str]) -> Option<Self> {
        if !has("redis-server") || !has("redis-cli") {
            return None;
        }
        let is_ready = |server: &Foreign| server.said().contains("Ready to accept connections");
        let server = Foreign::start_until(is_ready, |port, scratch| {
            let mut command = Command::new("redis-server");
            command.args([port_option, &port.to_string(), "--bind", "127.0.0.1"]);
            command.args(["--save", "", "--appendonly", "no", "--dir", &scratch.arg("")]).args(options);
            command
        });
        Some(Self(server))
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

    pub(crate) fn number(&self, name: &str) -> u64 {
        let info = self.cli(&["info"]);
        let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("{name} in {info}"))
    }
}

impl Deref for Redis {
    type Target = Foreign;

    fn deref(&self) -> &Foreign {
        &self.0
    }
}

impl DerefMut for Redis {
    fn deref_mut(&mut self) -> &mut Foreign {
        &mut self.0
    }
}
