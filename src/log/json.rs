//! A line of the log as a JSON object: keys in order, every value bounded, and no control characters.

use std::fmt::{self, Display, Write as _};
use std::time::Duration;

use crate::printable::{is_shown, push_json_escape};

/// An object that is being written.
pub(super) struct Object {
    out: String,
    value_max: usize,
}

impl Object {
    /// An empty one, whose values are cut after this many bytes.
    pub(super) fn new(value_max: usize) -> Object {
        Object { out: String::with_capacity(512), value_max }
    }

    /// A text.
    pub(super) fn text(&mut self, key: &str, value: impl Display) {
        self.text_of(key, value, TEXT_MAX);
    }

    /// A text of at most `most` bytes, or less if all values have to be shorter.
    pub(super) fn text_of(&mut self, key: &str, value: impl Display, most: usize) {
        self.key(key);
        self.out.push('"');
        let most = most.min(self.value_max);
        let mut escaped = Escaped { out: &mut self.out, left: most };
        // Text that does not fit is an error, which ends the value.
        if write!(escaped, "{value}").is_err() {
            self.out.push_str("...");
        }
        self.out.push('"');
    }

    /// A text, if there is one.
    pub(super) fn maybe(&mut self, key: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    /// A whole number.
    pub(super) fn number(&mut self, key: &str, value: impl Into<u64>) {
        self.key(key);
        let _ = write!(self.out, "{}", value.into());
    }

    /// A whole number, if there is one.
    pub(super) fn maybe_number(&mut self, key: &str, value: Option<impl Into<u64>>) {
        if let Some(value) = value {
            self.number(key, value);
        }
    }

    /// A time in seconds, with at most six decimals.
    pub(super) fn seconds(&mut self, key: &str, value: Duration) {
        self.key(key);
        let digits = format!("{:06}", value.subsec_micros());
        let digits = digits.trim_end_matches('0');
        let _ = match digits {
            "" => write!(self.out, "{}", value.as_secs()),
            _ => write!(self.out, "{}.{digits}", value.as_secs()),
        };
    }

    /// The whole object, in one line without its end.
    pub(super) fn end(mut self) -> String {
        if self.out.is_empty() {
            self.out.push('{');
        }
        self.out.push('}');
        self.out
    }

    fn key(&mut self, key: &str) {
        self.out.push(if self.out.is_empty() { '{' } else { ',' });
        let _ = write!(self.out, "\"{key}\":");
    }
}

/// A text is cut after this many bytes by default.
const TEXT_MAX: usize = 1024;

/// Passes text on into a JSON string, until it is full.
struct Escaped<'a> {
    out: &'a mut String,
    left: usize,
}

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            let before = self.out.len();
            match c {
                '"' | '\\' => {
                    self.out.push('\\');
                    self.out.push(c);
                }
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                // Invisible characters and those that control a terminal are escaped, too.
                c if !is_shown(c) => push_json_escape(self.out, c),
                c => self.out.push(c),
            }
            let length = self.out.len() - before;
            if length > self.left {
                self.out.truncate(before);
                return Err(fmt::Error);
            }
            self.left -= length;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn object(text: &str, value_max: usize) -> Value {
        let mut object = Object::new(value_max);
        object.text("text", text);
        serde_json::from_str(&object.end()).expect("JSON")
    }

    #[test]
    fn every_character_comes_back_as_it_was_and_none_acts() {
        for start in (0..=0x10_ffff_u32).step_by(64) {
            let text: String = (start..start + 64).filter_map(char::from_u32).collect();
            let mut object = Object::new(usize::MAX);
            object.text("text", &text);
            let line = object.end();
            assert!(line.chars().all(is_shown), "{line}");
            let read: Value = serde_json::from_str(&line).expect("JSON");
            assert_eq!(read["text"], text);
        }
    }

    #[test]
    fn a_value_is_cut_between_characters_and_says_so() {
        for length in 0..40 {
            let text = "a\u{1}\u{20ac}\"\u{1f600}\u{e0041}".repeat(4);
            let cut = object(&text, length);
            let cut = cut["text"].as_str().expect("a text");
            assert!(text.starts_with(cut.strip_suffix("...").expect("it is cut")), "{cut}");
        }
        assert_eq!(object("as it is", 8)["text"], "as it is");
    }

    #[test]
    fn numbers_and_times_are_numbers() {
        let mut object = Object::new(100);
        object.number("bytes", u64::MAX);
        object.seconds("whole", Duration::from_secs(12));
        object.seconds("part", Duration::from_millis(12_340));
        object.seconds("little", Duration::from_micros(7));
        object.maybe_number("none", None::<u16>);
        object.maybe("nothing", None::<&str>);
        assert_eq!(
            object.end(),
            "{\"bytes\":18446744073709551615,\"whole\":12,\"part\":12.34,\"little\":0.000007}"
        );
    }
}
