//! `--rebind OLD_PORT NEW_PORT COMMAND`: another use of the program, with a command line of its own.
//!
//! It is recognised by the first word, since the command's words are no options of ours.

use super::help;
use std::ffi::{OsStr, OsString};

/// A command to be started with the port that it binds moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebind {
    /// The port that the command asks for.
    pub old: u16,
    /// The loopback port that it gets instead.
    pub new: u16,
    /// Its name or path.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

/// The first word of this use.
pub(super) const WORD: &str = "--rebind";

/// The words behind the first one. The error is the whole text for the user.
pub(super) fn read(words: impl IntoIterator<Item = OsString>) -> Result<Rebind, String> {
    let mut words = words.into_iter();
    let mut port = |what| match words.next() {
        None => Err(error("Too few arguments")),
        Some(word) => number(&word).ok_or_else(|| error(&format!("Error parsing {what} port"))),
    };
    let (old, new) = (port("old")?, port("new")?);
    let program = words.next().ok_or_else(|| error("Too few arguments"))?;
    Ok(Rebind { old, new, program, arguments: words.collect() })
}

fn number(word: &OsStr) -> Option<u16> {
    let text = word.to_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    text.parse().ok().filter(|port| *port > 0)
}

fn error(text: &str) -> String {
    format!("Usage: \n    websockify {}\n\nwebsockify: error: {text}\n", help::REBIND_FORM)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Rebind, String> {
        read(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn everything_behind_the_command_is_the_command_s() {
        let rebind = of("5901 5911 Xvnc :1 -rfbport 5901 --help --").expect("a command");
        assert_eq!((rebind.old, rebind.new, rebind.program), (5901, 5911, "Xvnc".into()));
        assert_eq!(rebind.arguments, [":1", "-rfbport", "5901", "--help", "--"]);
    }

    #[test]
    fn what_is_no_port_and_what_is_missing_are_errors() {
        for (line, text) in [
            ("", "Too few arguments"),
            ("1", "Too few arguments"),
            ("1 2", "Too few arguments"),
            ("0 2 x", "Error parsing old port"),
            ("+1 2 x", "Error parsing old port"),
            ("1 65536 x", "Error parsing new port"),
            ("1 -2 x", "Error parsing new port"),
        ] {
            let error = of(line).expect_err(line);
            assert!(error.starts_with("Usage: \n    websockify --rebind OLD_PORT"), "{error}");
            assert!(error.ends_with(&format!("\nwebsockify: error: {text}\n")), "{line}: {error}");
        }
    }
}
