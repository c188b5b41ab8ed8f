//! What the integration tests share: the gateway as a child process, both of its ends as plain sockets,
//! and waits that fail with a reason. Nothing in here imports the library, so that a mistake shared by
//! encoder and decoder can't hide: frames are written and read by code of the tests' own.

pub(crate) mod admin;
pub(crate) mod background;
pub(crate) mod client;
pub(crate) mod debian;
pub(crate) mod doors;
pub(crate) mod flow;
pub(crate) mod foreign;
pub(crate) mod frame;
pub(crate) mod log;
pub(crate) mod namespace;
pub(crate) mod pieces;
pub(crate) mod process;
pub(crate) mod random;
pub(crate) mod redis;
pub(crate) mod script;
pub(crate) mod server;
pub(crate) mod skips;
pub(crate) mod target;
pub(crate) mod tls;
pub(crate) mod wire;

pub(crate) use skips::skipped;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long any single wait may take before the test fails. Far above what is needed, because machines
/// that run tests are busy; nothing is measured with it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Polls `condition` until it holds. Panics with `what` when the deadline passes first.
pub(crate) fn eventually(what: &str, condition: impl FnMut() -> bool) {
    eventually_within(DEADLINE, what, condition);
}

/// The same with a deadline of its own, for what takes its time by design.
pub(crate) fn eventually_within(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < limit, "timed out waiting for: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A port of 127.0.0.1 that was free just now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port()
}

/// Whether a program that other people wrote is on PATH; says so when it is not, since a test is skipped then.
pub(crate) fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|directory| directory.join(program).is_file());
    if !found {
        skipped(&format!("{program} is not on PATH"));
    }
    found
}

/// The block on a page of the documentation that begins so: with a comment, and the start of the block's first line.
pub(crate) fn documented(page: &str, beginning: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page);
    let text = std::fs::read_to_string(path).expect("the documentation is part of the repository");
    let (_, block) = text.split_once(beginning).unwrap_or_else(|| panic!("{page} has {beginning}"));
    let (_, block) = block.split_once('\n').expect("a block has lines");
    block.split_once("```").expect("a block has an end").0.to_owned()
}

/// A directory of its own for one test, removed at the end.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes the directory. Its path is short, since a Unix socket's path has at most 107 bytes.
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("wsk-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("make a scratch directory");
        Self(path)
    }

    /// The path of `name` in this directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The same as text, for a command line.
    pub(crate) fn arg(&self, name: &str) -> String {
        text(&self.path(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A path as text.
pub(crate) fn text(path: &Path) -> String {
    path.to_str().expect("scratch paths are UTF-8").to_owned()
}
