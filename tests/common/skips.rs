//! Tests that are skipped for want of something: said when it happens, and all of them once more at the end of
//! `cargo test`, where somebody looks.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

/// Says that a test is skipped, and why, also when its output is kept back. With `WEBSOCKIFY_NO_SKIPS` the test
/// fails instead.
pub(crate) fn skipped(reason: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    assert!(std::env::var_os("WEBSOCKIFY_NO_SKIPS").is_none(), "SKIPPED: {test}: {reason}");
    // In one piece, so that lines of tests beside it do not get mixed with it.
    let line = format!("SKIPPED: {test}: {reason}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
    // Where that can't be written, nothing is said again.
    if let Some(Ok(mut list)) = list().map(|path| OpenOptions::new().create(true).append(true).open(path)) {
        let _ = list.write_all(line.as_bytes());
    }
}

/// The list of what was skipped in this run of cargo, which is the parent of every program of tests.
pub(crate) fn list() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    Some(program.parent()?.join(format!("skipped-{}", std::os::unix::process::parent_id())))
}
