//! Log lines, written by threads of their own, so that a stalled, full or closed stderr blocks nothing.
//!
//! The logging thread appends a line to a bounded queue and continues. Each output (stderr, the log file, syslog,
//! stdout for traffic marks) has its own queue and thread, so one that is stuck does not hold up the others.
//! What does not fit is counted, and the count is said when there is room again.
//!
//! A log is prepared before the process goes into the background, where no thread may exist, and started
//! after it: until then lines wait in the queues.

mod output;
mod sink;
mod syslog;

use std::fmt::{self, Write as _};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::printable::Printable;
use crate::sys;
use output::Output;
use sink::{Form, Sink};
use syslog::{Header, Syslog};

pub use output::{SUN_PATH_MAX, describe};
pub use syslog::{SyslogAddress, SyslogSettings};

/// Where lines go, and which of them are wanted. Shared by all threads.
pub struct Log {
    verbose: bool,
    secrets: bool,
    /// Outputs of lines: standard error, file and syslog, as far as they are wanted.
    lines: Vec<Sink>,
    traffic: Option<Sink>,
    /// Outputs whose threads are not started yet.
    prepared: Mutex<Vec<(Sink, Output)>>,
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
    /// Syslog, which gets them, too (`--syslog`).
    pub syslog: Option<SyslogSettings>,
    /// Whether traffic marks go to stdout (`--traffic`).
    pub traffic: bool,
}

/// How many lines an output was given since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// The output: `stderr`, `file` or `syslog`.
    pub name: &'static str,
    /// Lines that were said.
    pub lines: u64,
    /// Those of them that the output did not take.
    pub lost: u64,
}

/// How much a line matters: syslog's severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The operator should look at it.
    Warning,
    /// What happens.
    Info,
    /// Details, with `--verbose`.
    Debug,
}

/// Opens a log file for another program that appends to it, too.
///
/// # Errors
/// The system's, or what lies there can't be a log.
pub fn append_to(path: &Path) -> io::Result<fs::File> {
    output::File::open(path)?.into_blocking()
}

impl Log {
    /// Opens the outputs. Lines wait until [`Log::start`].
    ///
    /// # Errors
    /// The log file can't be opened.
    pub fn prepare(settings: &Settings) -> io::Result<Log> {
        let file = match &settings.file {
            Some(path) => Some(Output::file(output::File::open(path)?)),
            None => None,
        };
        let mut prepared = vec![(Sink::new("standard error", Form::Plain), Output::stderr())];
        prepared.extend(file.map(|output| (Sink::new("the log file", Form::Plain), output)));
        prepared.extend(settings.syslog.as_ref().map(|settings| {
            let form = Form::Syslog(Header::new(settings).into());
            (Sink::new("syslog", form), Output::syslog(Syslog::new(settings.address.clone())))
        }));
        let lines = prepared.iter().map(|(sink, _)| sink.clone()).collect();
        let traffic = settings.traffic.then(|| Sink::new("standard output", Form::Plain));
        prepared.extend(traffic.as_ref().map(|sink| (sink.clone(), Output::stdout())));
        Ok(Log {
            verbose: settings.verbose,
            secrets: settings.secrets,
            lines,
            traffic,
            prepared: Mutex::new(prepared),
            stamp: Mutex::new((i64::MIN, String::new())),
        })
    }

    /// Starts the threads of the outputs.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(&self) -> io::Result<()> {
        for (sink, output) in std::mem::take(&mut *lock(&self.prepared)) {
            let others = self.lines.iter().filter(|other| !other.is(&sink)).cloned().collect();
            sink.start(output, others)?;
        }
        Ok(())
    }

    /// Leaves standard error to the process that this one was forked from: its lines are written by that one,
    /// with [`Log::write_stderr`]. To be called before [`Log::start`].
    pub fn leave_stderr(&mut self) {
        self.lines.remove(0);
        lock(&self.prepared).remove(0);
    }

    /// Writes what waits for standard error, without a thread. May block; meant for the process that has sent
    /// its service into the background.
    pub fn write_stderr(&self) {
        // A reader that is gone does not want to know.
        let _ = self.lines.first().map(|sink| io::stderr().write_all(&sink.take()));
    }

    /// A log without outputs: its lines stay in memory, bounded, for the test or fuzz target that made it.
    #[cfg(any(test, feature = "testing"))]
    pub fn in_memory(verbose: bool) -> Log {
        Log {
            verbose,
            secrets: false,
            lines: vec![Sink::new("memory", Form::Plain)],
            traffic: Some(Sink::new("memory", Form::Plain)),
            prepared: Mutex::default(),
            stamp: Mutex::new((i64::MIN, String::new())),
        }
    }

    /// Takes the lines out of a log that was made with [`Log::in_memory`].
    #[cfg(any(test, feature = "testing"))]
    pub fn take_lines(&self) -> String {
        String::from_utf8_lossy(&self.lines[0].take()).into_owned()
    }

    /// The same for the marks of sessions' traffic.
    #[cfg(any(test, feature = "testing"))]
    pub fn take_traffic(&self) -> String {
        self.traffic
            .as_ref()
            .map_or_else(String::new, |sink| String::from_utf8_lossy(&sink.take()).into_owned())
    }

    /// A line as it is, at every level.
    pub fn info(&self, text: fmt::Arguments<'_>) {
        self.line(Level::Info, None, text);
    }

    /// A line as it is, about something that the operator should look at.
    pub fn warn(&self, text: fmt::Arguments<'_>) {
        self.line(Level::Warning, None, text);
    }

    /// A line as it is, only with `--verbose`.
    pub fn debug(&self, text: fmt::Arguments<'_>) {
        if self.verbose {
            self.line(Level::Debug, None, text);
        }
    }

    /// A line about a connection: the peer's address, the local time and the text.
    pub fn peer(&self, peer: &dyn fmt::Display, text: fmt::Arguments<'_>) {
        self.line(Level::Info, Some(peer), text);
    }

    /// A line as it is, that matters so much.
    pub fn at(&self, level: Level, text: fmt::Arguments<'_>) {
        if self.verbose || level != Level::Debug {
            self.line(level, None, text);
        }
    }

    /// A line about a connection, that matters so much.
    pub fn peer_at(&self, level: Level, peer: &dyn fmt::Display, text: fmt::Arguments<'_>) {
        if self.verbose || level != Level::Debug {
            self.line(level, Some(peer), text);
        }
    }

    /// A line about a connection, only with `--verbose`.
    pub fn peer_debug(&self, peer: &dyn fmt::Display, text: fmt::Arguments<'_>) {
        if self.verbose {
            self.line(Level::Debug, Some(peer), text);
        }
    }

    /// Whether `debug` lines are written, so that they are not formatted in vain.
    pub fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// Whether secrets may be written.
    pub fn shows_secrets(&self) -> bool {
        self.secrets
    }

    /// Marks for stdout, as they are.
    pub fn traffic(&self, marks: &str) {
        if let Some(sink) = &self.traffic {
            sink.push(&[marks.as_bytes()]);
        }
    }

    /// Reopens the outputs that have a name: the log file, for a rotation that has moved it away, and the way to
    /// syslog. What can't be opened is told on the other outputs, and stays as it was.
    pub fn reopen(&self) {
        self.lines.iter().for_each(Sink::reopen);
    }

    /// How many lines each output was given and did not take.
    pub fn counts(&self) -> Vec<Counts> {
        self.lines.iter().map(Sink::counts).collect()
    }

    /// Waits until everything is written, or until `patience` is over: a stuck output must not keep the
    /// process from ending. How many lines did not get there is said where it can be.
    pub fn flush(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        self.lines.iter().chain(&self.traffic).for_each(|sink| sink.flush(deadline));
        let missing: Vec<String> = self.lines.iter().filter_map(Sink::undelivered).collect();
        for text in &missing {
            self.warn(format_args!("{text}"));
        }
        if !missing.is_empty() {
            self.lines.iter().for_each(|sink| sink.flush(Instant::now() + LAST_WORDS_WAIT));
        }
    }

    fn line(&self, level: Level, peer: Option<&dyn fmt::Display>, text: fmt::Arguments<'_>) {
        let mut line = String::with_capacity(128);
        let written = match peer {
            Some(peer) => write!(Printable(&mut line), "{peer} - - [{}] {text}", self.stamp().1),
            None => write!(Printable(&mut line), "{text}"),
        };
        // Writing to a String can't fail; a Display that reports an error leaves a shorter line.
        let _ = written;
        if line.len() > LINE_BYTES_MAX {
            let end = (0..=LINE_BYTES_MAX).rev().find(|&at| line.is_char_boundary(at));
            line.truncate(end.unwrap_or(0));
            line.push_str("...");
        }
        self.lines.iter().for_each(|sink| sink.say(level, &line));
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

/// A thread that panicked while it held a lock has ended the process; the lock's content is sound.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A longer line is cut: whatever is in it, some of it may be a peer's.
const LINE_BYTES_MAX: usize = 4096;

/// How long the exit waits for the line about lines that did not get to their output.
const LAST_WORDS_WAIT: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_of_bounded_length() {
        let log = Log::in_memory(false);
        log.info(format_args!("{}", "\u{20ac}\n".repeat(10_000)));
        let line = log.take_lines();
        assert!(line.ends_with("...\n") && line.len() <= LINE_BYTES_MAX + 4, "{} bytes", line.len());
    }
}
