//! The command line: from words to a [`Config`], or to the text that is printed instead.
//!
//! Scripts written for the Python program start this one, so the grammar is that of Python's `optparse`,
//! down to the texts of its errors. Every option is one row of the table in `options`; help, man page and
//! errors are made from it. Nothing here touches files or sockets: what the surroundings decide comes in
//! as an [`Environment`].

mod address;
mod admin;
mod certificates;
mod check;
mod config;
mod header;
mod help;
#[cfg(test)]
mod manual;
mod novnc;
mod options;
mod parse;
mod plugins;
mod proxies;
mod python;
mod rebind;
#[cfg(test)]
mod tests;

pub use config::{Config, Sessions, TlsOptions, WrapMode};
pub use plugins::{Argument, AuthPlugin, TokenPlugin};
pub use proxies::ProxyOptions;
pub use rebind::Rebind;

use crate::certs;
use crate::os::inherited;
use parse::Parsed;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Start the service.
    Run(Box<Config>),
    /// Start a command in this process's place, with its port moved (`--rebind`).
    Rebind(Rebind),
    /// Print this text to stdout and exit 0 (`--help`, `--version`).
    Print(String),
    /// Print this text (usage and error, with its last newline) to stderr and exit 2.
    Usage(String),
    /// Print this text to stderr and exit 1: the command line is right, and something that it needs is not here.
    Missing(String),
}

/// Why a command line can't be followed, in words for the user.
#[derive(Debug)]
enum Fault {
    /// It is wrong.
    Usage(String),
    /// Something that it needs is not here.
    Missing(String),
}

impl From<String> for Fault {
    fn from(text: String) -> Fault {
        Fault::Usage(text)
    }
}

/// What the meaning of a command line depends on besides its words.
#[derive(Clone, Debug)]
pub struct Environment {
    /// The start directory: relative paths are resolved against it.
    pub directory: PathBuf,
    /// Whether a file exists (`--ssl-only` refuses to start without its certificate).
    pub exists: fn(&Path) -> bool,
    /// Whether a service manager has passed sockets: then there need be no source address.
    pub is_activated: bool,
}

impl Environment {
    /// The surroundings of this process. A start directory that can't be read leaves relative paths
    /// relative.
    pub fn of_process() -> Environment {
        Environment {
            directory: std::env::current_dir().unwrap_or_default(),
            exists: certs::is_there,
            is_activated: inherited::count() > 0,
        }
    }
}

/// The text for an answer on standard output that could not be written.
pub fn output_error(error: &std::io::Error) -> String {
    format!("websockify: error: standard output: {}\n", crate::log::describe(error))
}

/// Whether a command line asks for `--inetd`, before it is read: where standard error is a client's socket, even
/// an error in the command line must not go there.
pub fn asks_for_inetd(mut args: impl Iterator<Item = OsString>) -> bool {
    // Shorter beginnings are ambiguous.
    args.any(|arg| arg.to_str().is_some_and(|arg| arg.len() >= "--in".len() && "--inetd".starts_with(arg)))
}

/// Reads a command line (`args` without the program's name).
pub fn parse(args: impl IntoIterator<Item = OsString>, env: &Environment) -> Outcome {
    let mut words = args.into_iter().peekable();
    if words.next_if(|word| word == rebind::WORD).is_some() {
        return match rebind::read(words) {
            Ok(rebind) => Outcome::Rebind(rebind),
            Err(text) => Outcome::Usage(text),
        };
    }
    let given = match parse::read(words) {
        Ok(Parsed::Help) => return Outcome::Print(help::help()),
        Ok(Parsed::Version) => return Outcome::Print(help::version()),
        Ok(Parsed::Given(given)) => given,
        Err(text) => return Outcome::Usage(help::usage_error(&text)),
    };
    match check::config(&given, env) {
        Ok(config) => Outcome::Run(Box::new(config)),
        Err(Fault::Usage(text)) => Outcome::Usage(help::usage_error(&text)),
        Err(Fault::Missing(text)) => Outcome::Missing(format!("websockify: {text}\n")),
    }
}
