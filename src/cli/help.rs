//! The texts of `--help`, `--version` and usage errors, made from the table of options.

use super::options::{Group, Row, TABLE};
use super::{novnc, plugins};
use crate::{auth, token};

/// What follows the program's name in each form of use.
pub(super) const FORMS: [&str; 4] = [
    "[options] [source_addr:]source_port target_addr:target_port",
    "[options] --token-plugin=CLASS [source_addr:]source_port",
    "[options] --unix-target=FILE [source_addr:]source_port",
    "[options] [source_addr:]source_port -- WRAP_COMMAND_LINE",
];

/// The other use of the program, which starts a command with its port moved.
pub(super) const REBIND_FORM: &str = "--rebind OLD_PORT NEW_PORT COMMAND [ARGUMENTS]";

/// The text of `--help`.
pub(super) fn help() -> String {
    let mut out = usage();
    out.push_str(&format!("    websockify {REBIND_FORM}\n"));
    for group in Group::ALL {
        out.push_str(&format!("\n{}:\n", group.title()));
        for row in TABLE.iter().filter(|row| row.group == group) {
            push_option(&mut out, row);
        }
    }
    out.push_str(EXAMPLES);
    out
}

/// What most people start with.
const EXAMPLES: &str = "
Examples:
  websockify 6080 localhost:5900
                        ws://HOST:6080/ leads to the VNC server here
  websockify --novnc 6080 localhost:5900
                        and http://HOST:6080/ is noVNC's page
  websockify --cert=chain.pem --key=key.pem --ssl-only 443 localhost:5900
                        the same in TLS only: wss://HOST/
  websockify --token-plugin=TokenFile --token-source=FILE 6080
                        ?token=T leads where FILE says: T: HOST:PORT
  websockify 5901 --wrap-mode=ignore -- vncserver :1
                        starts the VNC server, too
";

/// The text of `--version`.
pub(super) fn version() -> String {
    format!("websockify {}\n", env!("CARGO_PKG_VERSION"))
}

/// The whole text for a command line that can't be used.
pub(super) fn usage_error(text: &str) -> String {
    format!("{}\nwebsockify: error: {text}\nTry 'websockify --help'.\n", usage())
}

/// What an option does.
pub(super) fn description(row: &Row) -> String {
    let tokens = plugins::listed(token::PLUGINS.iter().map(|row| row.name));
    let auths = plugins::listed(auth::PLUGINS.iter().map(|row| row.name));
    let places = novnc::PLACES.join(", ");
    row.help
        .replace("{novnc-places}", &places)
        .replace("{token-plugins}", &tokens)
        .replace("{auth-plugins}", &auths)
}

fn usage() -> String {
    // The space after the colon is Python's, too.
    let mut out = String::from("Usage: \n");
    for form in FORMS {
        out.push_str(&format!("    websockify {form}\n"));
    }
    out
}

fn push_option(out: &mut String, row: &Row) {
    let short = row.short.map(|letter| format!("-{letter}, ")).unwrap_or_default();
    let (before, behind) = row.value_signs();
    let value = format!("{before}{}{behind}", row.value_name().unwrap_or_default());
    let names = format!("  {short}--{}{value}", row.name);
    let mut lines = wrapped(&description(row), WIDTH - INDENT).into_iter();
    // Names that reach into the column of the descriptions have a line of their own.
    if names.len() + 2 <= INDENT {
        out.push_str(&format!("{names:INDENT$}{}\n", lines.next().unwrap_or_default()));
    } else {
        out.push_str(&format!("{names}\n"));
    }
    for line in lines {
        out.push_str(&format!("{:INDENT$}{line}\n", ""));
    }
}

/// The words of `text` in lines of at most `width` characters. A longer word has a line of its own.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Columns in front of an option's description.
const INDENT: usize = 24;

/// Columns of the help: a terminal's 80, less two.
const WIDTH: usize = 78;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_in_the_help_once_and_no_line_is_too_long() {
        let help = help();
        for row in TABLE {
            let name = format!("--{}", row.name);
            let mentions = help.lines().filter(|line| {
                let names = line.strip_prefix("  ").unwrap_or_default();
                let names = if names.starts_with("--") { names } else { names.get(4..).unwrap_or_default() };
                names.split([' ', '=', '[']).next() == Some(&name)
            });
            assert_eq!(mentions.count(), 1, "{name}");
        }
        for line in help.lines() {
            assert!(line.len() <= WIDTH, "{line}");
            assert!(line.starts_with("Usage") || line == line.trim_end(), "{line:?}");
        }
    }

    #[test]
    fn help_looks_like_this() {
        let help = help();
        assert!(help.starts_with("Usage: \n    websockify [options] [source_addr:]source_port target_addr:"));
        assert!(help.contains(
            "\nGeneral:\n  -h, --help            print this help and exit\n  --version             print the"
        ));
        assert!(help.contains("\n  --unix-listen-mode=MODE\n                        permissions of the"));
    }
}
