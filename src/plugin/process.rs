//! One process of a plugin, and one question to it at a time, with a deadline.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use serde_json::Value;

use super::protocol::{self, Answer, Fault, Question};
use super::stderr::{self, Secrets};
use crate::child::{self, Child, Terms};
use crate::log::{Log, describe};

/// A running process. Dropping it kills it with everything that it has started.
pub(super) struct Process {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    /// The number of the next question.
    id: u64,
    secrets: Secrets,
    is_over: Arc<AtomicBool>,
    /// Passes on what it prints.
    printing: Option<JoinHandle<()>>,
    /// Since when it has been idle.
    pub(super) idle_since: Instant,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The plugin says why, and can be asked again.
    Said(String),
    /// The process is no longer usable.
    Lost(String),
}

impl Process {
    /// Starts a process. What it prints goes to the log under the name `plugin`.
    ///
    /// # Errors
    /// It can't be started, in words for the operator.
    pub(super) fn start(mut command: Command, plugin: &str, log: &Arc<Log>) -> Result<Process, String> {
        let program = command.get_program().display().to_string();
        let failed = |error: io::Error| format!("{program}: {}", describe(&error));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let terms = Terms { own_group: true, ends_with_us: true, ..Terms::default() };
        let mut child = child::start(command, terms).map_err(failed)?;
        let pipes = (child.take_stdin(), child.take_stdout(), child.take_stderr());
        let (Some(stdin), Some(stdout), Some(pipe)) = pipes else {
            return Err(format!("{program}: there are no pipes"));
        };
        let mut process = Process {
            child,
            stdin,
            stdout,
            id: 0,
            secrets: Secrets::new(log),
            is_over: Arc::default(),
            printing: None,
            idle_since: Instant::now(),
        };
        rustix::io::ioctl_fionbio(&process.stdin, true).map_err(|error| failed(error.into()))?;
        rustix::io::ioctl_fionbio(&process.stdout, true).map_err(|error| failed(error.into()))?;
        let (secrets, is_over, log) =
            (process.secrets.clone(), Arc::clone(&process.is_over), Arc::clone(log));
        let whose = format!("{plugin} ({})", process.child.pid());
        let printing = thread::Builder::new()
            .name("plugin".into())
            .spawn(move || stderr::pass_on(pipe, &whose, &secrets, &is_over, &log));
        process.printing = Some(printing.map_err(failed)?);
        Ok(process)
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// There is none; after [`Failure::Lost`] there will never be one.
    pub(super) fn ask(&mut self, question: Question<'_>, deadline: Instant) -> Result<Answer, Failure> {
        match question {
            Question::LookUp { token, .. } => self.secrets.note_token(token),
            Question::Authenticate { headers, .. } => self.secrets.note_headers(headers),
            Question::Hello(_) => {}
        }
        self.id += 1;
        let line = self.exchange(question.line(self.id).as_bytes(), deadline).map_err(Failure::Lost)?;
        let mut answer = protocol::answer(&line, self.id).map_err(|fault| match fault {
            Fault::Said(text) => {
                Failure::Said(self.secrets.hide(&text.chars().take(SAID_MAX).collect::<String>()))
            }
            Fault::Rubbish(what) => Failure::Lost(what.to_owned()),
        })?;
        if let Some(Value::String(text)) = answer.get_mut(protocol::FOR_THE_LOG) {
            *text = self.secrets.hide(text);
        }
        Ok(answer)
    }

    /// Whether it is waiting for a question: it has not exited, and has written nothing unasked.
    pub(super) fn is_quiet(&self) -> bool {
        matches!(is_ready(&self.stdout, PollFlags::IN, Instant::now()), Ok(false))
    }

    /// Ends it, and waits a moment for its last output to be logged.
    pub(super) fn end(mut self) {
        let printing = self.printing.take();
        drop(self);
        let deadline = Instant::now() + ENDING;
        while printing.as_ref().is_some_and(|thread| !thread.is_finished()) && Instant::now() < deadline {
            thread::sleep(ENDING / 50);
        }
    }

    fn exchange(&mut self, question: &[u8], deadline: Instant) -> Result<Vec<u8>, String> {
        let mut rest = question;
        while !rest.is_empty() {
            match self.stdin.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    await_ready(&self.stdin, PollFlags::OUT, deadline)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(self.ending()),
            }
        }
        let mut line = Vec::new();
        let mut buffer = [0; READ_BYTES];
        loop {
            match self.stdout.read(&mut buffer) {
                Ok(0) => return Err(self.ending()),
                Ok(count) => line.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    await_ready(&self.stdout, PollFlags::IN, deadline)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(describe(&error)),
            }
            match line.iter().position(|byte| *byte == b'\n') {
                Some(end) if end + 1 == line.len() => return Ok(line),
                Some(_) => return Err("it answered with more than one line".into()),
                None if line.len() > ANSWER_BYTES_MAX => return Err("its answer is too long".into()),
                None => {}
            }
            if Instant::now() >= deadline {
                return Err(LATE.into());
            }
        }
    }

    /// How a process that has closed its pipes has ended.
    fn ending(&mut self) -> String {
        let deadline = Instant::now() + ENDING;
        while !self.child.has_ended() && Instant::now() < deadline {
            thread::sleep(ENDING / 50);
        }
        if !self.child.has_ended() {
            return "the process closed its pipes".into();
        }
        // Everything that it has started ends with it; afterwards its process ID may be reused.
        let _ = self.child.signal(Signal::KILL);
        match self.child.try_wait() {
            Ok(Some(status)) => match (status.code(), status.signal()) {
                (Some(code), _) => format!("the process exited with code {code}"),
                (None, Some(signal)) => format!("the process was killed by signal {signal}"),
                (None, None) => "the process has ended".into(),
            },
            Ok(None) | Err(_) => "the process has ended".into(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Fails if it has exited and was reaped; otherwise it will be reaped when it exits.
        let _ = self.child.signal(Signal::KILL);
        let _ = self.child.try_wait();
    }
}

/// Waits until a descriptor is ready for what is wanted, or at its end.
///
/// # Errors
/// The time is over.
fn await_ready(descriptor: impl AsFd, wanted: PollFlags, deadline: Instant) -> Result<(), String> {
    match is_ready(descriptor, wanted, deadline) {
        Ok(true) => Ok(()),
        Ok(false) => Err(LATE.into()),
        Err(error) => Err(describe(&error)),
    }
}

/// The same; false when the time is over.
pub(super) fn is_ready(descriptor: impl AsFd, wanted: PollFlags, deadline: Instant) -> io::Result<bool> {
    loop {
        let rest = deadline.saturating_duration_since(Instant::now());
        let rest = Timespec::try_from(rest).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&descriptor, wanted)], Some(&rest)) {
            Ok(count) => return Ok(count > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The error of a process that does not answer.
const LATE: &str = "no answer in time";

/// An answer is not longer than this, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What is read at a time.
const READ_BYTES: usize = 4096;

/// This many characters of a plugin's own error are logged.
const SAID_MAX: usize = 500;

/// A process that closes its pipes is about to exit; its status is awaited for this long.
const ENDING: Duration = Duration::from_millis(500);
