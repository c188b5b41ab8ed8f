//! `--rebind`: a command in this process's place, with the port that it binds moved.

use crate::cli::Rebind;
use crate::log::describe;
use crate::os::rebind::{self, Library};
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// Starts the command in this process's place, so that signals and the exit code are its own. Returns only when that
/// fails, with what a shell would exit with: 127 for a command that is not there, 126 for one that can't be
/// executed; and 1 if there is no place for the library.
pub fn rebind(asked: &Rebind) -> ExitCode {
    let library = match Library::place() {
        Ok(library) => library,
        Err(error) => {
            eprintln!("websockify: {error}");
            return ExitCode::FAILURE;
        }
    };
    let directory = std::env::current_dir().unwrap_or(PathBuf::from("."));
    let path = std::env::var_os("PATH");
    // It is started all the same, since what it starts may be moved.
    if let Some(unreachable) = rebind::unreachable_by_preload(&asked.program, &directory, path.as_deref()) {
        eprintln!("websockify: {unreachable}");
    }
    let user = std::env::var_os("LD_PRELOAD");
    let environment = rebind::environment(&library, asked.old, asked.new, user.as_deref());
    let error = Command::new(&asked.program).args(&asked.arguments).envs(environment).exec();
    eprintln!("websockify: {}: {}", asked.program.display(), describe(&error));
    ExitCode::from(if error.kind() == ErrorKind::NotFound { 127 } else { 126 })
}
