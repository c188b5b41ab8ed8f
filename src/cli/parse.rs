//! From words to the options and positionals that were given, by the rules of Python's `optparse`.
//!
//! `lexopt` cuts the words; which option a name means, what it takes and what goes wrong is ours. An error
//! is the text for the user, without the usage.

use super::options::{self, Kind, Row};
use super::python;
use lexopt::Arg;
use std::ffi::{OsStr, OsString};

/// What a command line holds, before anyone asks what it means.
pub(super) enum Parsed {
    /// `--help` was met before any error.
    Help,
    /// `--version` was met before any error.
    Version,
    /// Options and positionals.
    Given(Given),
}

/// The options and positionals of a command line.
#[derive(Default)]
pub(super) struct Given {
    /// In the order given; of two for one option the last counts, but for those of [`Given::texts`].
    options: Vec<(&'static Row, Value)>,
    /// The words that belong to no option, up to `--`.
    pub(super) positionals: Vec<OsString>,
    /// The words after `--`, if there was one.
    pub(super) after_dashes: Option<Vec<OsString>>,
}

enum Value {
    Flag,
    Text(OsString),
    Integer(i64),
}

impl Given {
    /// Whether the flag `name` was given, or the option of this name that needs no text.
    pub(super) fn flag(&self, name: &'static str) -> bool {
        self.last(name).is_some()
    }

    /// The text given for the option `name`. Empty text is no text: the Python program takes `--web=` as
    /// if it were not there, and scripts with an unset variable count on that.
    pub(super) fn text(&self, name: &'static str) -> Option<&OsStr> {
        match self.last(name)? {
            Value::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// Whether what was given last for the option `name` is empty text.
    pub(super) fn is_empty_text(&self, name: &'static str) -> bool {
        matches!(self.last(name), Some(Value::Text(text)) if text.is_empty())
    }

    /// All texts given for the options `names`, in order. Empty text is no text here, too.
    pub(super) fn texts(&self, names: &[&'static str]) -> impl Iterator<Item = (&'static str, &OsStr)> {
        self.options.iter().filter_map(move |(row, value)| match value {
            Value::Text(text) if names.contains(&row.name) && !text.is_empty() => {
                Some((row.name, text.as_os_str()))
            }
            _ => None,
        })
    }

    /// The number given for the option `name`.
    pub(super) fn integer(&self, name: &'static str) -> Option<i64> {
        match self.last(name)? {
            Value::Integer(number) => Some(*number),
            _ => None,
        }
    }

    fn last(&self, name: &'static str) -> Option<&Value> {
        debug_assert!(options::TABLE.iter().any(|row| row.name == name), "no row for --{name}");
        self.options.iter().rev().find(|(row, _)| row.name == name).map(|(_, value)| value)
    }
}

/// Reads all words, options standing anywhere before `--`. Errors come in the order of the words.
pub(super) fn read(args: impl IntoIterator<Item = OsString>) -> Result<Parsed, String> {
    let mut given = Given::default();
    let mut words = lexopt::Parser::from_args(args);
    // Otherwise `-D=x` would be a flag with a value; to optparse it is the option `-=`.
    words.set_short_equals(false);
    loop {
        if let Some(rest) = after_dashes(&mut words) {
            given.after_dashes = Some(rest);
            return Ok(Parsed::Given(given));
        }
        let (row, spelling) = match words.next().map_err(|error| error.to_string())? {
            None => return Ok(Parsed::Given(given)),
            Some(Arg::Value(word)) => {
                given.positionals.push(word);
                continue;
            }
            Some(Arg::Long(name)) => {
                let row = options::by_name(name)?;
                (row, format!("--{}", row.name))
            }
            Some(Arg::Short(letter)) => {
                let row = options::by_letter(letter).ok_or_else(|| format!("no such option: -{letter}"))?;
                (row, format!("-{letter}"))
            }
        };
        // A bundle's next letter is an option of its own, not a value.
        let long = spelling.starts_with("--");
        if row.value_name().is_none() && long && words.optional_value().is_some() {
            return Err(format!("{spelling} option does not take a value"));
        }
        let value = match row.kind {
            Kind::Help => return Ok(Parsed::Help),
            Kind::Version => return Ok(Parsed::Version),
            Kind::Flag => Value::Flag,
            Kind::OptionalText(_) => words.optional_value().map_or(Value::Flag, Value::Text),
            Kind::Text(_) | Kind::Integer(_) | Kind::Choice(..) => {
                // The next word is the value whatever it looks like, `--` included.
                let text = words.value().map_err(|_| format!("{spelling} option requires 1 argument"))?;
                value_of(row, &spelling, text)?
            }
        };
        given.options.push((row, value));
    }
}

/// Takes all words behind `--`, if that is the next one.
fn after_dashes(words: &mut lexopt::Parser) -> Option<Vec<OsString>> {
    let mut rest = words.try_raw_args()?;
    rest.next_if(|word| word == "--")?;
    Some(rest.collect())
}

fn value_of(row: &Row, spelling: &str, text: OsString) -> Result<Value, String> {
    match row.kind {
        Kind::Integer(_) => match text.to_str().and_then(python::option_integer) {
            Some(number) => Ok(Value::Integer(number)),
            None => Err(format!("option {spelling}: invalid integer value: {}", python::quoted(&text))),
        },
        Kind::Choice(_, words) if !words.iter().any(|word| text == *word) => {
            let words: Vec<String> = words.iter().map(|word| python::quoted(OsStr::new(word))).collect();
            let (text, words) = (python::quoted(&text), words.join(", "));
            Err(format!("option {spelling}: invalid choice: {text} (choose from {words})"))
        }
        _ => Ok(Value::Text(text)),
    }
}
