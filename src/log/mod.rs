//! Log lines, written by threads of their own, so that a stalled, full or closed stderr blocks nothing.
//!
//! The logging thread appends a line to a bounded queue and continues. Each output (stderr, the log file,
//! syslog, stdout for traffic marks) has its own queue and thread, so one that is stuck does not hold up the
//! others. Lines that do not fit are counted, and the number is logged when there is room again.
//!
//! A log is prepared before the process forks into the background, when no thread may exist yet, and started
//! after it: until then lines wait in the queues.

mod event;
mod json;
mod levels;
mod output;
mod sink;
mod syslog;
#[cfg(test)]
mod tests;

use std::fmt::{self, Write as _};
use std::fs;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::id::Instance;
use crate::printable::Printable;
use crate::sys;
use event::Head;
use json::Object;
use output::Output;
use sink::{Form, LOG_FILE, STANDARD_ERROR, Sink};
use syslog::{Header, Syslog};

pub use event::{Event, Party, Request, SessionEnd, SessionStart, Topic, What};
pub use levels::{Levels, TooMany, WISHES_MAX, Wish};
pub use output::{SUN_PATH_MAX, describe};
pub use syslog::{SyslogAddress, SyslogSettings};

/// Where lines go, and which ones are written. Shared by all threads.
pub struct Log {
    levels: Levels,
    secrets: bool,
    format: Format,
    instance: Instance,
    /// Outputs of lines: standard error, file and syslog, as far as they are wanted.
    lines: Vec<Sink>,
    /// The output of the ends of sessions and of answered requests, as objects (`--access-log`).
    access: Option<Sink>,
    traffic: Option<Sink>,
    /// Outputs whose threads are not started yet.
    prepared: Mutex<Vec<(Sink, Output)>>,
    stamp: Mutex<(i64, String)>,
}

/// What the log should do, from the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Lines that matter less are not written (`--log-level`, `--verbose`).
    pub level: Level,
    /// The form of a line (`--log-format`).
    pub format: Format,
    /// Whether tokens and passwords may appear (`--log-tokens`).
    pub secrets: bool,
    /// A file that gets the same lines as stderr (`--log-file`), appended to.
    pub file: Option<PathBuf>,
    /// Gets a line for each ended session and each answered request (`--access-log`).
    pub access: Option<Access>,
    /// Syslog, which gets the same lines (`--syslog`).
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

impl Settings {
    /// Whether a file is written, which a rotation may move away.
    pub fn has_file(&self) -> bool {
        self.file.is_some() || matches!(self.access, Some(Access::File(_)))
    }
}

/// The severity of a line, which is passed to syslog; more severe levels compare as less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The service, or part of it, ends because of this.
    Error,
    /// The operator should look into it.
    Warning,
    /// Normal events.
    #[default]
    Info,
    /// Details, with `--verbose`.
    Debug,
}

impl Level {
    /// All of them, those that matter most first.
    pub const ALL: [Level; 4] = [Level::Error, Level::Warning, Level::Info, Level::Debug];

    /// Its name on the command line and in objects.
    pub fn name(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warning => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
        }
    }
}

/// The form of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// The lines of the Python program.
    #[default]
    Text,
    /// An object for each event.
    Json,
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// To standard output.
    Stdout,
    /// To this file, appended to.
    File(PathBuf),
}

/// Opens a log file for another program, which also appends to it.
///
/// # Errors The system's, or it is not a file that can be a log.
pub fn append_to(path: &Path) -> io::Result<fs::File> {
    output::File::open(path)?.into_blocking()
}

impl Log {
    /// Opens the outputs. Lines wait until [`Log::start`].
    ///
    /// # Errors
    /// A file can't be opened; in words, with its option.
    pub fn prepare(settings: &Settings) -> Result<Log, String> {
        let open = |option, path: &Path| {
            let name = path.display();
            output::File::open(path).map_err(|error| format!("{option} {name}: {}", describe(&error)))
        };
        let file = settings.file.as_deref().map(|path| open("--log-file", path)).transpose()?;
        let access = match &settings.access {
            Some(Access::File(path)) => Some(Output::file(open("--access-log", path)?, "access log")),
            Some(Access::Stdout) => Some(Output::stdout_lines()),
            None => None,
        };
        let instance = Instance::draw();
        let style = match settings.format {
            Format::Text => Style::Text,
            Format::Json => Style::Json(instance),
        };
        let plain = |name, style| Sink::new(name, Form::Plain, style);
        let mut prepared = vec![(plain(STANDARD_ERROR, style), Output::stderr())];
        let file = file.map(|file| Output::file(file, "log file"));
        prepared.extend(file.map(|output| (plain(LOG_FILE, style), output)));
        prepared.extend(settings.syslog.as_ref().map(|settings| {
            let form = Form::Syslog(Header::new(settings).into());
            (Sink::new("syslog", form, style), Output::syslog(Syslog::new(settings.address.clone())))
        }));
        let lines = prepared.iter().map(|(sink, _)| sink.clone()).collect();
        let access = access.map(|output| (plain("the access log", Style::Json(instance)), output));
        let access_sink = access.as_ref().map(|(sink, _)| sink.clone());
        prepared.extend(access);
        let traffic = settings.traffic.then(|| plain("standard output", Style::Text));
        prepared.extend(traffic.as_ref().map(|sink| (sink.clone(), Output::stdout())));
        Ok(Log {
            levels: Levels::new(settings.level),
            secrets: settings.secrets,
            format: settings.format,
            instance,
            lines,
            access: access_sink,
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

    /// Leaves standard error to the process that this one was forked from, which writes its lines with
    /// [`Log::write_stderr`]. To be called before [`Log::start`].
    pub fn leave_stderr(&mut self) {
        self.lines.remove(0);
        lock(&self.prepared).remove(0);
    }

    /// Writes what waits for standard error, without a thread. May block; meant for the process that has sent
    /// its service into the background.
    pub fn write_stderr(&self) {
        // If the reader is gone, there is nobody to tell.
        let _ = self.lines.first().map(|sink| io::stderr().write_all(&sink.take()));
    }

    /// A log without outputs: its lines stay in memory, bounded, for the test or fuzz target that made it.
    #[cfg(any(test, feature = "testing"))]
    pub fn in_memory(verbose: bool) -> Log {
        Log {
            levels: Levels::new(if verbose { Level::Debug } else { Level::Info }),
            secrets: false,
            format: Format::Text,
            instance: Instance::draw(),
            lines: vec![Sink::new("memory", Form::Plain, Style::Text)],
            access: None,
            traffic: Some(Sink::new("memory", Form::Plain, Style::Text)),
            prepared: Mutex::default(),
            stamp: Mutex::new((i64::MIN, String::new())),
        }
    }

    /// The same with objects, and with an access log.
    #[cfg(any(test, feature = "testing"))]
    pub fn in_memory_as_json(verbose: bool) -> Log {
        let log = Log::in_memory(verbose);
        let sink = || Sink::new("memory", Form::Plain, Style::Json(log.instance));
        Log { format: Format::Json, lines: vec![sink()], access: Some(sink()), ..log }
    }

    /// Takes the lines out of the access log of such a log.
    #[cfg(any(test, feature = "testing"))]
    pub fn take_access_lines(&self) -> String {
        let lines = self.access.as_ref().map(Sink::take).unwrap_or_default();
        String::from_utf8_lossy(&lines).into_owned()
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

    /// Logs a normal event.
    pub fn info(&self, text: fmt::Arguments<'_>) {
        self.note(Topic::Message, Level::Info, text);
    }

    /// Something that the operator should look into.
    pub fn warn(&self, text: fmt::Arguments<'_>) {
        self.note(Topic::Message, Level::Warning, text);
    }

    /// A detail, only with `--verbose`.
    pub fn debug(&self, text: fmt::Arguments<'_>) {
        self.note(Topic::Message, Level::Debug, text);
    }

    /// Something about that, in words.
    pub fn note(&self, topic: Topic, level: Level, text: fmt::Arguments<'_>) {
        self.say(&Event::of(level, What::Note(topic, text)));
    }

    /// Something that has no text form of its own.
    pub fn note_as_object(&self, topic: Topic, level: Level, text: fmt::Arguments<'_>) {
        if self.format == Format::Json {
            self.note(topic, level, text);
        }
    }

    /// Something about a client, in words.
    pub fn peer(&self, topic: Topic, level: Level, peer: &dyn fmt::Display, text: fmt::Arguments<'_>) {
        self.say(&Event { who: Some(peer), ..Event::of(level, What::Dated(topic, text)) });
    }

    /// Whether lines of this level are written about the client at `address`, or about what is no client's, so that
    /// callers don't format them for nothing.
    pub fn wants(&self, level: Level, address: Option<IpAddr>) -> bool {
        self.levels.wants(level, address)
    }

    /// Which lines are written, which can be changed.
    pub fn levels(&self) -> &Levels {
        &self.levels
    }

    /// Whether lines are JSON objects, which need more details.
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Whether objects are written anywhere, which need more details.
    pub fn writes_objects(&self) -> bool {
        self.is_json() || self.has_access()
    }

    /// Whether there is an access log.
    pub fn has_access(&self) -> bool {
        self.access.is_some()
    }

    /// The number of this process in its sessions' names.
    pub fn instance(&self) -> Instance {
        self.instance
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

    /// Reopens the outputs that have a name: the files, which a rotation may have moved away, and the
    /// connection to syslog. One that can't be opened is reported on the other outputs and stays as it was.
    pub fn reopen(&self) {
        self.lines.iter().chain(&self.access).for_each(Sink::reopen);
    }

    /// How many lines each output was given and did not take.
    pub fn counts(&self) -> Vec<Counts> {
        self.lines.iter().map(Sink::counts).collect()
    }

    /// Waits until everything is written, or until `patience` is over: a stuck output must not keep the
    /// process from ending. The number of lines that were not written is logged where possible.
    pub fn flush(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        self.lines.iter().chain(&self.access).chain(&self.traffic).for_each(|sink| sink.flush(deadline));
        let missing: Vec<String> =
            self.lines.iter().chain(&self.access).filter_map(Sink::undelivered).collect();
        for text in &missing {
            self.warn(format_args!("{text}"));
        }
        if !missing.is_empty() {
            self.lines.iter().for_each(|sink| sink.flush(Instant::now() + LAST_WORDS_WAIT));
        }
    }

    /// Writes an event in the log's form.
    pub fn say(&self, event: &Event<'_>) {
        if !self.wants(event.level, event.address) {
            return;
        }
        match self.format {
            Format::Text => event.what.lines(event.who, &mut |text| {
                let line = self.line(event, text);
                self.lines.iter().for_each(|sink| sink.say(event.level, &line));
            }),
            Format::Json => {
                let line = object(event, self.instance, VALUE_MAX);
                self.lines.iter().for_each(|sink| sink.say_object(event, &line));
            }
        }
    }

    /// Writes an event to the access log, whatever the level, and with `lines` also to a log that consists of objects.
    pub fn say_access(&self, event: &Event<'_>, lines: bool) {
        let lines = lines && self.is_json() && self.wants(event.level, event.address);
        if self.access.is_none() && !lines {
            return;
        }
        let object = object(event, self.instance, VALUE_MAX);
        if let Some(sink) = &self.access {
            sink.say(event.level, &object);
        }
        if lines {
            self.lines.iter().for_each(|sink| sink.say_object(event, &object));
        }
    }

    fn line(&self, event: &Event<'_>, text: fmt::Arguments<'_>) -> String {
        let mut line = String::with_capacity(128);
        let written = match (event.what.head(), event.who) {
            (Head::ClientAndDate, Some(who)) => {
                write!(Printable(&mut line), "{who} - - [{}] {text}", self.stamp().1)
            }
            (Head::Client, Some(who)) => write!(Printable(&mut line), "{who}: {text}"),
            (Head::Nothing, _) | (_, None) => write!(Printable(&mut line), "{text}"),
        };
        // Writing to a String can't fail; a Display that reports an error leaves a shorter line.
        let _ = written;
        if line.len() > LINE_BYTES_MAX {
            let end = (0..=LINE_BYTES_MAX).rev().find(|&at| line.is_char_boundary(at));
            line.truncate(end.unwrap_or(0));
            line.push_str("...");
        }
        line
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

/// The form of an output's own messages.
#[derive(Clone, Copy)]
enum Style {
    /// As a line of text.
    Text,
    /// As an object.
    Json(Instance),
}

impl Style {
    /// A line of the log's own.
    fn line(self, level: Level, text: &str) -> String {
        match self {
            Style::Text => text.to_owned(),
            Style::Json(instance) => {
                let what = What::Note(Topic::Suppressed, format_args!("{text}"));
                object(&Event::of(level, what), instance, VALUE_MAX)
            }
        }
    }
}

/// An event as an object, whose values have so many bytes at most.
fn object(event: &Event<'_>, instance: Instance, value_max: usize) -> String {
    let mut object = Object::new(value_max);
    event.write(&mut object, &Stamp(SystemTime::now()), (&instance, std::process::id()));
    object.end()
}

/// A moment in UTC, with milliseconds, as in RFC 3339.
struct Stamp(SystemTime);

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        match sys::utc_time(since.as_secs() as i64) {
            Some(t) => write!(
                f,
                "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
                t.year,
                t.month + 1,
                t.day,
                t.hour,
                t.minute,
                t.second,
                since.subsec_millis()
            ),
            None => f.write_str("-"),
        }
    }
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A thread that panicked while it held a lock has ended the process; the lock's content is sound.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Longer lines are cut: part of any line may come from a peer.
const LINE_BYTES_MAX: usize = 4096;

/// No value of an object is longer, and most are bounded closer, so that no object is longer than 16 KiB.
const VALUE_MAX: usize = 4096;

/// How long the exit waits for the line about lines that were not written.
const LAST_WORDS_WAIT: Duration = Duration::from_millis(100);
