//! Going into the background: the launcher waits until the background process serves clients, and exits with the
//! status it reports.
//!
//! It takes a fork, a new session and a second fork, so the service has no terminal and can't acquire one. No
//! descriptors need closing afterwards: inherited ones were recorded at startup (`os::inherited`), and all others
//! are meant to stay open.

use std::fs::OpenOptions;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustix::process::{Pid, WaitOptions};

use crate::log::describe;
use crate::sys::process::{Fork, exit_now, fork};

/// Which of the two processes continues after [`detach`].
pub enum Side {
    /// The launcher.
    Launcher(Launcher),
    /// The background process.
    Daemon(Readiness),
}

/// The launcher's remaining work: waiting.
pub struct Launcher {
    word: PipeReader,
    child: Option<Pid>,
}

/// The report that the service owes the waiting launcher: how startup went. Empty once it has been sent.
pub struct Readiness(Arc<Mutex<Option<PipeWriter>>>);

/// The same, for a startup that ends where it can't be passed on.
static OWED: OnceLock<Readiness> = OnceLock::new();

/// Reports why startup has failed, if a launcher waits for that.
pub fn tell_launcher(text: &str) {
    if let Some(Readiness(word)) = OWED.get() {
        Readiness(Arc::clone(word)).failed(1, text);
    }
}

/// Goes into the background: a new session, no terminal, standard input, output and error on /dev/null, and
/// `directory` as the working directory. The umask is unchanged.
///
/// # Errors
/// A pipe or a process can't be created, or a second thread already exists. In the background, errors are
/// reported to the launcher instead.
pub fn detach(directory: &Path) -> io::Result<Side> {
    let (word, sender) = io::pipe()?;
    if let Fork::Parent(child) = fork()? {
        return Ok(Side::Launcher(Launcher { word, child: Pid::from_raw(child) }));
    }
    drop(word);
    let readiness = Readiness::new(sender);
    let _ = OWED.set(Readiness(Arc::clone(&readiness.0)));
    match settle(directory) {
        Ok(()) => Ok(Side::Daemon(readiness)),
        Err(text) => {
            readiness.failed(1, &format!("websockify: error: {text}"));
            exit_now(1)
        }
    }
}

/// Detaches the new process. Only its child returns from here.
fn settle(directory: &Path) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("going into the background failed: {error}");
    rustix::process::setsid().map_err(|error| failed(&describe(&error.into())))?;
    // The leader of a session could get a terminal again by opening one; its child can't.
    match fork() {
        Ok(Fork::Parent(_)) => exit_now(0),
        Ok(Fork::Child) => {}
        Err(error) => return Err(failed(&describe(&error))),
    }
    // A web root that is not there is told when it is opened.
    std::env::set_current_dir(directory)
        .or_else(|_| std::env::set_current_dir("/"))
        .map_err(|error| failed(&describe(&error)))?;
    let null = OpenOptions::new().read(true).write(true).open("/dev/null");
    let null = null.map_err(|error| format!("/dev/null: {}", describe(&error)))?;
    for replace in [rustix::stdio::dup2_stdin, rustix::stdio::dup2_stdout, rustix::stdio::dup2_stderr] {
        replace(&null).map_err(|error| failed(&describe(&error.into())))?;
    }
    Ok(())
}

impl Launcher {
    /// Waits until the service is ready and returns 0, or until it has failed and returns its exit code and error
    /// text.
    pub fn wait(mut self) -> (u8, String) {
        let word = self.hear();
        if let Some(child) = self.child {
            // The process in between, which ends at once.
            let _ = rustix::process::waitpid(Some(child), WaitOptions::empty());
        }
        match word {
            Some((code, text)) => (code, text),
            None => (1, "websockify: error: the service ended before it was ready".to_owned()),
        }
    }

    /// The service's report. It is length-prefixed rather than ended by end-of-file, so a stray open descriptor of
    /// the pipe can't make the launcher wait.
    fn hear(&mut self) -> Option<(u8, String)> {
        let mut head = [0; HEAD_BYTES];
        self.read(&mut head)?;
        let mut text = vec![0; usize::from(u16::from_le_bytes([head[1], head[2]]))];
        self.read(&mut text)?;
        Some((head[0], String::from_utf8_lossy(&text).into_owned()))
    }

    /// Fills `space`; `None` if the service ended first.
    fn read(&mut self, space: &mut [u8]) -> Option<()> {
        let (mut filled, mut errors) = (0, 0);
        while filled < space.len() {
            match self.word.read(&mut space[filled..]) {
                Ok(0) => return None,
                Ok(count) => filled += count,
                // What is there is not lost by it.
                Err(_) if errors < ERRORS_MAX => errors += 1,
                Err(_) => return None,
            }
        }
        Some(())
    }
}

impl Readiness {
    fn new(word: PipeWriter) -> Readiness {
        Readiness(Arc::new(Mutex::new(Some(word))))
    }

    /// Lets the launcher end with 0.
    pub fn ready(self) {
        self.send(0, "");
    }

    /// Lets the launcher say this and end with this code, which is not 0.
    pub fn failed(self, code: u8, text: &str) {
        self.send(code.max(1), text);
    }

    fn send(self, code: u8, text: &str) {
        let Some(mut pipe) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
        let text = &text.as_bytes()[..usize::from(length)];
        let mut word = &[&[code], &length.to_le_bytes()[..], text].concat()[..];
        let mut errors = 0;
        while !word.is_empty() {
            match pipe.write(word) {
                Ok(count) => word = &word[count..],
                Err(_) if errors < ERRORS_MAX => errors += 1,
                // A launcher that was killed does not want to know.
                Err(_) => return,
            }
        }
    }
}

/// What stands before the text of a word: the exit code, and the length of the text.
const HEAD_BYTES: usize = 3;

/// How many errors of the pipe are borne: a launcher without the word would wait, or say that the service has
/// failed.
const ERRORS_MAX: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    /// What a launcher makes of a daemon's word.
    fn told(word: impl FnOnce(Readiness)) -> (u8, String) {
        let (reader, writer) = io::pipe().expect("a pipe");
        word(Readiness::new(writer));
        Launcher { word: reader, child: None }.wait()
    }

    #[test]
    fn the_launcher_ends_with_the_daemons_word() {
        assert_eq!(told(Readiness::ready), (0, String::new()));
        assert_eq!(told(|daemon| daemon.failed(3, "no room")), (3, "no room".to_owned()));
        assert_eq!(told(|daemon| daemon.failed(0, "no room")).0, 1, "a failure is never a success");
        assert_eq!(told(drop), (1, "websockify: error: the service ended before it was ready".to_owned()));
        let long = "\u{20ac}".repeat(30_000);
        let (code, text) = told(|daemon| daemon.failed(1, &long[..60_000]));
        assert_eq!((code, text.len()), (1, 60_000), "as long as the pipe can hold");
    }

    #[test]
    fn the_launcher_waits_for_the_word_and_not_for_the_end_of_the_pipe() {
        for (code, text) in [(0, ""), (1, "websockify: error: no room")] {
            let (reader, writer) = io::pipe().expect("a pipe");
            // As a descriptor that could not be closed somewhere.
            let kept = writer.try_clone().expect("a copy");
            Readiness::new(writer).send(code, text);
            let (sender, words) = std::sync::mpsc::channel();
            let launcher = Launcher { word: reader, child: None };
            std::thread::spawn(move || sender.send(launcher.wait()));
            let word = words.recv_timeout(std::time::Duration::from_secs(10));
            assert_eq!(word, Ok((code, text.to_owned())));
            drop(kept);
        }
    }

    #[test]
    fn a_process_with_threads_does_not_fork() {
        // Tests run in threads of their own, so this one must be refused.
        assert!(detach(Path::new("/")).is_err());
    }
}
