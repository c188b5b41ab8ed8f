//! Plugins that are programs: Python classes written for the Python program, loaded by a bridge, and
//! commands.
//!
//! Each plugin has a few processes, started when they are needed. A process has one question at a time and
//! answers it with one line. One that hangs, exits or gives an invalid answer costs its current question, is
//! killed, and is replaced, at growing intervals if that continues.

mod process;
mod protocol;
mod stderr;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::log::{Log, describe};
use process::{Failure, Process};
use protocol::Hello;
#[cfg(any(test, feature = "testing"))]
pub use protocol::answer;
pub use protocol::{Answer, Question, admission, target};

/// A Python class, and what runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PythonClass {
    /// Its name with the module in front.
    pub name: String,
    /// `--plugin-python`: the interpreter.
    pub interpreter: OsString,
}

/// What is to be started.
#[derive(Clone)]
pub struct Settings {
    /// What the log calls it.
    pub name: String,
    /// The class; without one the source is a command.
    pub class: Option<PythonClass>,
    /// `token` or `auth`.
    pub kind: &'static str,
    /// The argument of the class, or the command.
    pub source: Option<OsString>,
    /// Where it is started.
    pub directory: PathBuf,
    /// The web root. Like the Python program a class works there once it is loaded.
    pub web: Option<PathBuf>,
    /// Where it logs what is wrong.
    pub log: Arc<Log>,
}

/// A plugin that can be asked. Clones are the same one.
#[derive(Clone)]
pub struct Plugin(Arc<Inner>);

struct Inner {
    settings: Settings,
    hello: Hello,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The most recently used one is last.
    idle: Vec<Process>,
    /// All that run or are being started.
    processes: usize,
    starting: usize,
    /// Questions waiting for a process.
    waiting: usize,
    /// Processes lost since the last answer.
    lost: u32,
    /// Before this moment none is started.
    not_before: Option<Instant>,
    /// Starts that have failed, and why the last one did.
    failed_starts: u64,
    last_words: String,
}

impl Plugin {
    /// Starts the first process, and waits for a while until it is ready.
    ///
    /// # Errors
    /// It does not become ready; in words for the operator.
    pub fn open(settings: Settings) -> Result<Plugin, String> {
        let name = &settings.name;
        let text = |text: &OsString| match text.to_str() {
            Some(text) => Ok(text.to_owned()),
            None => Err(format!("can't load the {name}: its source is not UTF-8")),
        };
        let source = settings.source.as_ref().map(text).transpose()?;
        if settings.class.is_none() && source.as_ref().is_none_or(String::is_empty) {
            return Err(format!("the {name} needs a command as --{}-source", settings.kind));
        }
        let hello = Hello {
            kind: settings.kind,
            class: settings.class.as_ref().map(|class| class.name.clone()),
            source: source.filter(|_| settings.class.is_some()),
            directory: settings.web.as_ref().map(|path| path.to_string_lossy().into_owned()),
        };
        let (state, changed) = (Mutex::default(), Condvar::new());
        let plugin = Plugin(Arc::new(Inner { settings, hello, state, changed }));
        let first =
            plugin.0.start().map_err(|why| format!("can't load the {}: {why}", plugin.0.settings.name))?;
        let mut state = plugin.0.lock();
        state.processes = 1;
        state.idle.push(first);
        drop(state);
        Ok(plugin)
    }

    /// Asks one of the processes, until `deadline`.
    ///
    /// # Errors
    /// There is no answer, in words for the operator.
    pub fn ask(&self, question: Question<'_>, deadline: Instant) -> Result<Answer, String> {
        let mut process = self.0.take(deadline)?;
        // A process that gets the question late must not be killed for that.
        let deadline = deadline.max(Instant::now() + ANSWER_MIN);
        match process.ask(question, deadline) {
            Ok(answer) => {
                self.0.give_back(process);
                Ok(answer)
            }
            Err(Failure::Said(why)) => {
                self.0.give_back(process);
                Err(why)
            }
            Err(Failure::Lost(why)) => {
                drop(process);
                self.0.lose();
                Err(why)
            }
        }
    }
}

impl Inner {
    /// Starts a process and waits until it is ready, with its own time limit.
    fn start(&self) -> Result<Process, String> {
        let Settings { name, class, source, directory, log, .. } = &self.settings;
        let mut command = match class {
            Some(class) => {
                let mut command = Command::new(&class.interpreter);
                // Unbuffered: what it prints is seen when it is printed.
                command.args(["-u", "-c", BRIDGE]);
                command
            }
            None => {
                let mut command = Command::new("/bin/sh");
                command.arg("-c").args(source);
                command
            }
        };
        command.current_dir(directory);
        let mut process = Process::start(command, name, log)?;
        match process.ask(Question::Hello(&self.hello), Instant::now() + START) {
            Ok(_) => Ok(process),
            Err(Failure::Said(why) | Failure::Lost(why)) => {
                process.end();
                Err(why)
            }
        }
    }

    /// Waits for an idle process.
    fn take(self: &Arc<Self>, deadline: Instant) -> Result<Process, String> {
        let mut state = self.lock();
        state.waiting += 1;
        let failed_starts = state.failed_starts;
        let taken = loop {
            if let Some(process) = state.idle.pop() {
                if process.is_quiet() {
                    break Ok(process);
                }
                // It has exited, or has written something unasked: that costs no question.
                drop(process);
                state.lose();
                continue;
            }
            if state.failed_starts != failed_starts && state.processes == 0 {
                break Err(state.last_words.clone());
            }
            let now = Instant::now();
            if now >= deadline {
                break Err("no process was free in time".into());
            }
            let mut until = deadline;
            if state.starting < state.waiting && state.processes < PROCESSES_MAX {
                match state.not_before.filter(|moment| now < *moment) {
                    Some(moment) => until = until.min(moment),
                    None => match self.start_another() {
                        Ok(()) => {
                            state.processes += 1;
                            state.starting += 1;
                        }
                        Err(why) => break Err(why),
                    },
                }
            }
            let rest = until.saturating_duration_since(now);
            state = self.changed.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0;
        };
        state.waiting -= 1;
        taken
    }

    /// Starts another process on a thread of its own, since the caller may stop waiting.
    fn start_another(self: &Arc<Self>) -> Result<(), String> {
        let inner = Arc::clone(self);
        let job = move || {
            let started = inner.start();
            let mut state = inner.lock();
            state.starting -= 1;
            match started {
                Ok(process) => state.idle.push(process),
                Err(why) => {
                    state.lose();
                    state.failed_starts += 1;
                    inner.settings.log.warn(format_args!("the {} did not start: {why}", inner.settings.name));
                    state.last_words = format!("it did not start: {why}");
                }
            }
            drop(state);
            inner.changed.notify_all();
        };
        let started = thread::Builder::new().name("plugin-start".into()).spawn(job);
        started.map(drop).map_err(|error| format!("it can't be started: {}", describe(&error)))
    }

    fn give_back(&self, mut process: Process) {
        let now = Instant::now();
        process.idle_since = now;
        let mut state = self.lock();
        state.lost = 0;
        state.not_before = None;
        state.idle.push(process);
        // One process always stays.
        let unused = match state.idle.first() {
            Some(first) if state.idle.len() > 1 && now.duration_since(first.idle_since) >= IDLE => {
                state.processes -= 1;
                Some(state.idle.remove(0))
            }
            _ => None,
        };
        drop(state);
        drop(unused);
        self.changed.notify_all();
    }

    fn lose(&self) {
        self.lock().lose();
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Notes that a process is gone. The first one is replaced at once, each further one after a longer
    /// pause.
    fn lose(&mut self) {
        self.processes -= 1;
        let pause = match self.lost {
            0 => Duration::ZERO,
            lost => RESTART_MIN.saturating_mul(1 << (lost - 1).min(16)).min(RESTART_MAX),
        };
        self.lost = self.lost.saturating_add(1);
        self.not_before = Some(Instant::now() + pause);
    }
}

/// The program that loads a class and answers for it.
const BRIDGE: &str = include_str!("bridge.py");

/// Processes of one plugin.
pub const PROCESSES_MAX: usize = 16;

/// Descriptors that one plugin can have open here: three pipes of each process, and those of one being started.
pub const DESCRIPTORS_MAX: usize = 3 * PROCESSES_MAX + 8;

/// Time to start and to load a class.
pub const START: Duration = Duration::from_secs(15);

/// The least time that a process has for an answer.
const ANSWER_MIN: Duration = Duration::from_secs(3);

/// A process that was idle for this long is ended when another one has answered.
const IDLE: Duration = Duration::from_secs(60);

/// The pause after the second process lost in a row; it doubles.
const RESTART_MIN: Duration = Duration::from_millis(100);

/// The longest pause.
const RESTART_MAX: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
