//! Log lines, written by threads of their own, so that a stalled, full or closed stderr stops nobody.
//!
//! Whoever logs appends a line to a bounded queue and goes on. Each output (stderr, the log file, stdout
//! for traffic marks) has its own queue and thread, so one that is stuck does not hold up the others. What
//! does not fit is counted, and the count is said when there is room again.

use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::sys;

/// Where lines go, and which of them are wanted. Shared by all threads.
pub struct Log {
    verbose: bool,
    secrets: bool,
    stderr: Sink,
    file: Option<Sink>,
    traffic: Option<Sink>,
    stamp: Mutex<(i64, String)>,
}

/// What the log should do, from the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Whether `debug` lines are wanted (`--verbose`).
    pub verbose: bool,
    /// Whether tokens and passwords may appear (`--log-tokens`).
    pub secrets: bool,
    /// A file that gets the same lines as stderr (`--log-file`), appended to.
    pub file: Option<PathBuf>,
    /// Whether traffic marks go to stdout (`--traffic`).
    pub traffic: bool,
}

impl Log {
    /// Opens the outputs and starts their threads.
    ///
    /// # Errors
    /// The log file can't be opened, or a thread can't be started.
    pub fn open(settings: &Settings) -> io::Result<Log> {
        let file = match &settings.file {
            Some(path) => Some(Sink::start("log-file", Output::File(append(path)?, path.clone()))?),
            None => None,
        };
        Ok(Log {
            verbose: settings.verbose,
            secrets: settings.secrets,
            stderr: Sink::start("log-stderr", Output::Stderr)?,
            file,
            traffic: settings.traffic.then(|| Sink::start("traffic", Output::Stdout)).transpose()?,
            stamp: Mutex::new((i64::MIN, String::new())),
        })
    }

    /// A log without outputs: its lines stay in memory, bounded, for the test or fuzz target that made it.
    #[doc(hidden)]
    pub fn in_memory(verbose: bool) -> Log {
        let stamp = Mutex::new((i64::MIN, String::new()));
        Log { verbose, secrets: false, stderr: Sink::new(), file: None, traffic: Some(Sink::new()), stamp }
    }

    /// Takes the lines out of a log that was made with [`Log::in_memory`].
    #[doc(hidden)]
    pub fn take_lines(&self) -> String {
        let bytes = std::mem::take(&mut lock(&self.stderr.0.state).bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// A line as it is, at every level.
    pub fn info(&self, text: fmt::Arguments<'_>) {
        self.line(None, text);
    }

    /// A line as it is, only with `--verbose`.
    pub fn debug(&self, text: fmt::Arguments<'_>) {
        if self.verbose {
            self.line(None, text);
        }
    }

    /// A line about a connection: the peer's address, the local time and the text.
    pub fn peer(&self, peer: &dyn fmt::Display, text: fmt::Arguments<'_>) {
        self.line(Some(peer), text);
    }

    /// A line about a connection, only with `--verbose`.
    pub fn peer_debug(&self, peer: &dyn fmt::Display, text: fmt::Arguments<'_>) {
        if self.verbose {
            self.line(Some(peer), text);
        }
    }

    /// Whether `debug` lines are written.
    pub fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// Whether secrets may be written.
    pub fn shows_secrets(&self) -> bool {
        self.secrets
    }

    /// Whether traffic marks are wanted.
    pub fn wants_traffic(&self) -> bool {
        self.traffic.is_some()
    }

    /// Marks for stdout, as they are.
    pub fn traffic(&self, marks: &str) {
        if let Some(sink) = &self.traffic {
            sink.push(marks.as_bytes());
        }
    }

    /// Opens the log file anew, for a rotation that has moved it away. Does nothing without one.
    pub fn reopen(&self) {
        if let Some(sink) = &self.file {
            sink.reopen();
        }
    }

    /// Waits until everything is written, or until `patience` is over: a stuck output must not keep the
    /// process from ending.
    pub fn flush(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        for sink in [Some(&self.stderr), self.file.as_ref(), self.traffic.as_ref()].into_iter().flatten() {
            sink.flush(deadline);
        }
    }

    fn line(&self, peer: Option<&dyn fmt::Display>, text: fmt::Arguments<'_>) {
        let mut line = String::with_capacity(128);
        let written = match peer {
            Some(peer) => write!(Printable(&mut line), "{peer} - - [{}] {text}", self.stamp().1),
            None => write!(Printable(&mut line), "{text}"),
        };
        // Writing to a String can't fail; a Display that reports an error leaves a shorter line.
        let _ = written;
        line.push('\n');
        self.stderr.push(line.as_bytes());
        if let Some(file) = &self.file {
            file.push(line.as_bytes());
        }
    }

    /// The current local time as `22/Nov/2026 13:10:22`, worked out once a second.
    fn stamp(&self) -> MutexGuard<'_, (i64, String)> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
        let mut stamp = lock(&self.stamp);
        if stamp.0 != now {
            stamp.0 = now;
            stamp.1.clear();
            if let Some(t) = sys::local_time(now) {
                let month = MONTHS.get(t.month).copied().unwrap_or("???");
                let _ = write!(
                    stamp.1,
                    "{:02}/{month}/{:04} {:02}:{:02}:{:02}",
                    t.day, t.year, t.hour, t.minute, t.second
                );
            }
        }
        stamp
    }
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Passes text on with control characters as `\xNN`, so that what a peer sends can neither break a line in
/// two nor speak to a terminal.
struct Printable<'a>(&'a mut String);

impl fmt::Write for Printable<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if !text.chars().any(char::is_control) {
            self.0.push_str(text);
            return Ok(());
        }
        for c in text.chars() {
            if c.is_control() { write!(self.0, "\\x{:02x}", u32::from(c))? } else { self.0.push(c) }
        }
        Ok(())
    }
}

enum Output {
    Stderr,
    Stdout,
    File(File, PathBuf),
}

impl Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Output::Stderr => io::stderr().write(bytes),
            Output::Stdout => {
                let mut stdout = io::stdout().lock();
                let count = stdout.write(bytes)?;
                stdout.flush()?;
                Ok(count)
            }
            Output::File(file, _) => file.write(bytes),
        }
    }

    fn reopen(&mut self) {
        if let Output::File(file, path) = self
            && let Ok(new) = append(path)
        {
            *file = new;
        }
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// One output's queue and the thread behind it.
struct Sink(Arc<Queue>);

struct Queue {
    state: Mutex<Pending>,
    filled: Condvar,
    emptied: Condvar,
}

#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    lost_lines: u64,
    writing: bool,
    /// The thread sleeps until it is told that there is something.
    waiting: bool,
    reopen: bool,
}

impl Sink {
    /// A queue that nobody writes out.
    fn new() -> Sink {
        Sink(Arc::new(Queue {
            state: Mutex::new(Pending::default()),
            filled: Condvar::new(),
            emptied: Condvar::new(),
        }))
    }

    fn start(name: &str, output: Output) -> io::Result<Sink> {
        let sink = Sink::new();
        let queue = Arc::clone(&sink.0);
        thread::Builder::new().name(name.into()).stack_size(STACK_BYTES).spawn(move || queue.run(output))?;
        Ok(sink)
    }

    fn push(&self, line: &[u8]) {
        let mut state = lock(&self.0.state);
        if state.bytes.len() + line.len() > QUEUE_BYTES_MAX {
            state.lost_lines += 1;
            return;
        }
        state.bytes.extend_from_slice(line);
        let waiting = state.waiting;
        drop(state);
        if waiting {
            self.0.filled.notify_one();
        }
    }

    fn reopen(&self) {
        lock(&self.0.state).reopen = true;
        self.0.filled.notify_one();
    }

    fn flush(&self, deadline: Instant) {
        let mut state = lock(&self.0.state);
        while state.writing || !state.bytes.is_empty() {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { return };
            state = self.0.emptied.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Queue {
    fn run(&self, mut output: Output) {
        let mut batch = Vec::new();
        loop {
            let (reopen, lost_before) = self.next_batch(&mut batch);
            if reopen {
                output.reopen();
            }
            let note =
                if lost_before > 0 { format!("{lost_before} log lines were lost\n") } else { String::new() };
            let mut lost = write_all(&mut output, &batch);
            if write_all(&mut output, note.as_bytes()) > 0 {
                lost += lost_before;
            }
            batch.clear();
            batch.shrink_to(BATCH_BYTES_KEPT);
            let mut state = lock(&self.state);
            state.lost_lines += lost;
            state.writing = false;
            drop(state);
            self.emptied.notify_all();
        }
    }

    /// Waits for lines and moves them to `batch`; tells whether the file should be opened anew, and how many
    /// lines were lost behind those in the batch.
    fn next_batch(&self, batch: &mut Vec<u8>) -> (bool, u64) {
        let mut state = lock(&self.state);
        if state.bytes.is_empty() && !state.reopen {
            state.waiting = true;
            while state.bytes.is_empty() && !state.reopen {
                state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.waiting = false;
            drop(state);
            // A line seldom comes alone. Waiting a moment for the others saves a wake-up and a write for
            // each, which a gateway that opens thousands of sessions a second would feel.
            thread::sleep(BATCH_WAIT);
            state = lock(&self.state);
        }
        std::mem::swap(batch, &mut state.bytes);
        state.writing = true;
        (std::mem::take(&mut state.reopen), std::mem::take(&mut state.lost_lines))
    }
}

/// Writes what can be written and returns the number of lines that were lost.
fn write_all(output: &mut Output, mut bytes: &[u8]) -> u64 {
    while !bytes.is_empty() {
        match output.write(bytes) {
            Ok(count) if count > 0 => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Somebody who shares the descriptor has made it non-blocking, and it is full.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(RETRY_WAIT),
            // Closed, or the disk is full: these lines are gone, the next ones may do better.
            _ => return memchr::memchr_iter(b'\n', bytes).count() as u64,
        }
    }
    0
}

/// A thread that panicked while it held a lock has ended the process; the lock's content is sound.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lines that wait for one output. At about 100 bytes a line, some 10,000 lines.
const QUEUE_BYTES_MAX: usize = 1024 * 1024;

/// For so long lines are collected before they are written.
const BATCH_WAIT: Duration = Duration::from_millis(3);

/// A batch buffer larger than this is given back after a burst.
const BATCH_BYTES_KEPT: usize = 16 * 1024;

/// Between attempts at an output that another process has made non-blocking.
const RETRY_WAIT: Duration = Duration::from_millis(20);

/// The threads of the log format nothing and call nothing deep.
const STACK_BYTES: usize = 128 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn printable(text: &str) -> String {
        let mut out = String::new();
        write!(Printable(&mut out), "{text}").expect("a String takes everything");
        out
    }

    #[test]
    fn control_characters_are_shown_and_text_is_left_alone() {
        assert_eq!(printable("Path: '/w\u{e4}hler?x=1'"), "Path: '/w\u{e4}hler?x=1'");
        assert_eq!(printable("a\r\nb\u{1b}[2J\u{7f}\u{9b}"), "a\\x0d\\x0ab\\x1b[2J\\x7f\\x9b");
    }

    #[test]
    fn a_queue_that_nobody_writes_out_is_bounded_and_counts_what_it_lost() {
        let sink = Sink::new();
        let line = [b'x'; 1024];
        for _ in 0..1500 {
            sink.push(&line);
        }
        let state = lock(&sink.0.state);
        assert_eq!(state.bytes.len(), QUEUE_BYTES_MAX);
        assert_eq!(state.lost_lines, 1500 - 1024);
    }

    #[test]
    fn lines_reach_the_file_in_order_and_after_a_reopening_the_new_file() {
        let dir = std::env::temp_dir().join(format!("websockify-log-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        let path = dir.join("log");
        let sink = Sink::start("test", Output::File(append(&path).expect("a file"), path.clone()))
            .expect("a thread");
        sink.push(b"one\n");
        sink.push(b"two\n");
        sink.flush(Instant::now() + Duration::from_secs(10));
        assert_eq!(std::fs::read(&path).expect("readable"), b"one\ntwo\n");
        std::fs::rename(&path, dir.join("old")).expect("renamed");
        sink.reopen();
        sink.push(b"three\n");
        sink.flush(Instant::now() + Duration::from_secs(10));
        assert_eq!(std::fs::read(&path).expect("readable"), b"three\n");
        std::fs::remove_dir_all(&dir).expect("removed");
    }
}
