//! A command line to run, once or for each session.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use rustix::fs::{Access, AtFlags, CWD};

use crate::child::{self, Child, Terms};
use crate::log::{self, describe};

/// A program and everything it is started with.
#[derive(Clone, Debug)]
pub(super) struct Program {
    /// Its name and arguments; never empty.
    pub(super) words: Vec<OsString>,
    /// Its working directory; by default ours.
    pub(super) directory: Option<PathBuf>,
    /// Environment variables in addition to ours.
    pub(super) variables: Vec<(&'static str, OsString)>,
    /// The file its output is appended to; by default it shares ours.
    pub(super) output: Option<PathBuf>,
}

/// Why a program could not be started.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::server) struct Fault {
    /// The exit code that a shell uses for programs that can't be started.
    pub(in crate::server) code: u8,
    /// The error text.
    pub(in crate::server) text: String,
}

impl From<String> for Fault {
    /// An error that has nothing to do with the program.
    fn from(text: String) -> Fault {
        Fault { code: 1, text }
    }
}

impl Program {
    /// The command line as the log shows it.
    pub(super) fn title(&self) -> String {
        self.words.join(OsStr::new(" ")).to_string_lossy().into_owned()
    }

    /// Starts it in its own process group.
    pub(super) fn start(
        &self,
        stdin: Stdio,
        stdout: Option<Stdio>,
        ends_with_us: bool,
    ) -> Result<Child, Fault> {
        let (name, arguments) = match self.words.split_first() {
            Some(words) => words,
            None => return Err(Fault { code: NOT_FOUND, text: "there is no command".into() }),
        };
        let output = || match &self.output {
            Some(path) => log::append_to(path).map(Stdio::from).map_err(|error| Fault {
                code: 1,
                text: format!("log file {}: {}", path.display(), describe(&error)),
            }),
            None => Ok(Stdio::inherit()),
        };
        let mut command = Command::new(name);
        command.args(arguments).stdin(stdin);
        command.stdout(match stdout {
            Some(stdout) => stdout,
            None => output()?,
        });
        command.stderr(output()?);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        let terms = Terms { own_group: true, ends_with_us, ..Terms::default() };
        child::start(command, terms).map_err(|error| self.fault(&error))
    }

    /// Checks that the program exists, without starting it.
    pub(super) fn find(&self) -> Result<(), Fault> {
        let here = env::current_dir().unwrap_or_default();
        let directory = self.directory.as_deref().unwrap_or(&here);
        let name = Path::new(self.words.first().map_or(OsStr::new(""), OsString::as_os_str));
        let folders = match name.as_os_str().as_bytes().contains(&b'/') {
            true => OsString::new(),
            false => env::var_os("PATH").unwrap_or_else(|| USUAL_PATH.into()),
        };
        let files = env::split_paths(&folders).map(|folder| directory.join(folder).join(name));
        let mut failure = io::Error::from_raw_os_error(libc::ENOENT);
        for file in files {
            match rustix::fs::accessat(CWD, &file, Access::EXEC_OK, AtFlags::EACCESS) {
                Ok(()) if file.is_file() => return Ok(()),
                Ok(()) | Err(rustix::io::Errno::ACCESS) => {
                    failure = io::Error::from_raw_os_error(libc::EACCES);
                }
                Err(_) => {}
            }
        }
        Err(self.fault(&failure))
    }

    fn fault(&self, error: &io::Error) -> Fault {
        let code = match error.kind() {
            io::ErrorKind::NotFound => NOT_FOUND,
            _ if error.raw_os_error().is_some_and(|code| SHORTAGES.contains(&code)) => 1,
            _ => NOT_EXECUTABLE,
        };
        let name = self.words.first().map(|name| name.display().to_string()).unwrap_or_default();
        Fault { code, text: format!("Starting '{name}' failed: {}", describe(error)) }
    }
}

/// The exit code a shell would report for a program that has ended.
pub(super) fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or(status.signal().map(|signal| SIGNALLED + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

/// The same as the Python program logs it: the negated signal.
pub(super) fn returned(status: ExitStatus) -> i32 {
    status.code().or(status.signal().map(|signal| -signal)).unwrap_or_default()
}

/// Where programs are searched for without PATH (execvp(3)).
const USUAL_PATH: &str = "/bin:/usr/bin";

/// There is no such command.
const NOT_FOUND: u8 = 127;

/// The command exists but can't be executed.
const NOT_EXECUTABLE: u8 = 126;

/// The system's errors when it has no room for another process, which are not about the command.
const SHORTAGES: [i32; 4] = [libc::EAGAIN, libc::ENOMEM, libc::EMFILE, libc::ENFILE];

/// Added to a signal's number.
const SIGNALLED: i32 = 128;
