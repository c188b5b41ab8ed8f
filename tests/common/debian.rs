//! What Debian has, unpacked for the tests by `.ci/prepare` or installed.

use std::path::Path;
use std::process::Command;

use super::skipped;

/// Where it is unpacked.
const UNPACKED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/ci/debian");

/// Where programs are, first those that are unpacked.
pub(crate) const PROGRAMS: &[&str] = &["usr/sbin", "usr/bin", "/usr/sbin", "/usr/bin", "/usr/local/bin"];

/// The path of a file in one of these places, the relative ones of what is unpacked. Without it the test is skipped.
pub(crate) fn path(name: &str, places: &[&str]) -> Option<String> {
    let mut paths = places.iter().map(|place| Path::new(UNPACKED).join(place).join(name));
    let found = paths.find(|path| path.exists());
    if found.is_none() {
        skipped(&format!("{name} is not there: .ci/prepare unpacks it"));
    }
    found.map(|path| super::text(&path))
}

/// A command that starts the program of this path, with the libraries that were unpacked beside it.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    if program.starts_with(UNPACKED) {
        let machine = std::env::consts::ARCH;
        command.env("LD_LIBRARY_PATH", format!("{UNPACKED}/usr/lib/{machine}-linux-gnu"));
    }
    command
}
