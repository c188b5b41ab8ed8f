//! Where a proxy's program is, and what version it has. What is not here is left out, and the bench says so
//! in a word.

use crate::proxies::peers::{Peer, Program};
use crate::root;
use rustix::process::geteuid;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A peer that is present on this machine.
pub(crate) struct Found {
    pub(crate) peer: &'static Peer,
    pub(crate) program: PathBuf,
    pub(crate) version: String,
}

impl Found {
    /// Looks for the peer; an error says in a word why it is left out. `ours` is our own binary, if
    /// WEBSOCKIFY_BIN names no other.
    pub(crate) fn find(peer: &'static Peer, ours: &Path) -> Result<Found, String> {
        let program = match peer.program {
            Program::Ours => env::var_os("WEBSOCKIFY_BIN").map_or_else(|| ours.to_owned(), PathBuf::from),
            Program::ThisBench => env::current_exe().map_err(|error| error.to_string())?,
            Program::Named(name) => {
                installed(name).or_else(|| on_path(name)).ok_or_else(|| format!("{name} is not on PATH"))?
            }
            Program::Python => python(),
        };
        let mut found = Found { peer, program, version: String::new() };
        let args: Vec<String> = peer.version.iter().map(|arg| found.fill(arg)).collect();
        let mut command = found.command(&[]);
        found.version = version(command.args(args)).map_err(|error| match error.as_str() {
            "" => format!("{} does not tell its version", found.program.display()),
            _ => format!("{}: {error}", found.program.display()),
        })?;
        Ok(found)
    }

    /// The program under `wrapper` (`strace …`), if there is one, without arguments.
    pub(crate) fn command(&self, wrapper: &[String]) -> Command {
        let mut command = match wrapper.split_first() {
            None => Command::new(&self.program),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(&self.program);
                command
            }
        };
        if self.program.starts_with(peers_dir()) {
            command.env(
                "LD_LIBRARY_PATH",
                peers_dir().join(format!("debian/usr/lib/{}-linux-gnu", env::consts::ARCH)),
            );
        }
        command
    }

    /// Fills in what depends on places: `{prefix}` (above the program's directory), the Node peer's
    /// `{node_js}` and `{node_module}`; and for hitch, which does not work as root, `{unprivileged}`.
    pub(crate) fn fill(&self, text: &str) -> String {
        let prefix = self.program.parent().and_then(Path::parent).unwrap_or(Path::new("/usr"));
        let node_js = root().join("benches/peers/node.js");
        let node_module = peers_dir().join("node/node_modules/@maximegris/node-websockify");
        let unprivileged = if geteuid().is_root() { "--user=nobody" } else { "" };
        text.replace("{unprivileged}", unprivileged)
            .replace("{prefix}", &prefix.to_string_lossy())
            .replace("{node_js}", &node_js.to_string_lossy())
            .replace("{node_module}", &node_module.to_string_lossy())
    }
}

/// The program's path if a directory on PATH has it.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let directories = env::var_os("PATH")?;
    let usual = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    env::split_paths(&directories).chain(usual).map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// The first line that a command prints, on either stream, in which there is a number with a point.
pub(crate) fn version(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| error.to_string())?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let numbered = |line: &&str| line.as_bytes().windows(3).any(is_decimal);
    match (text.lines().find(numbered), text.lines().last()) {
        (Some(line), _) if output.status.success() => Ok(line.trim().to_owned()),
        (_, last) => Err(last.unwrap_or_default().trim().to_owned()),
    }
}

fn is_decimal(window: &[u8]) -> bool {
    window[0].is_ascii_digit() && window[1] == b'.' && window[2].is_ascii_digit()
}

/// The program if benches/peers/install has brought it.
fn installed(name: &str) -> Option<PathBuf> {
    ["debian/usr/sbin", "debian/usr/bin", "websocat/bin"]
        .iter()
        .map(|directory| peers_dir().join(directory).join(name))
        .find(|path| path.is_file())
}

fn python() -> PathBuf {
    let installed = peers_dir().join("python/bin/python3");
    match env::var_os("WEBSOCKIFY_PYTHON") {
        Some(named) => PathBuf::from(named),
        None if installed.is_file() => installed,
        None => PathBuf::from("python3"),
    }
}

fn peers_dir() -> PathBuf {
    root().join("target/peers")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_version_is_the_first_line_with_a_number_in_it() {
        let say = |script: &str| version(Command::new("sh").args(["-c", script]));
        assert_eq!(say("echo a tool; echo; echo of version 1.2"), Ok("of version 1.2".into()));
        assert_eq!(say("echo 1.2; false"), Err("1.2".into()));
        assert_eq!(say("echo no number; echo at all >&2"), Err("at all".into()));
    }
}
