//! What Python's `int` and `repr` make of a text, since scripts were written against them.

use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;

/// Python's `int(text, radix)`: surrounding white space, a sign, the radix's prefix, and single underscores
/// between digits are fine. Numbers beyond `i64` become its ends, which no option can tell from them.
/// Digits are ASCII only.
pub(super) fn integer(text: &str, radix: u32) -> Option<i64> {
    let text = text.trim();
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let prefixes = match radix {
        2 => ["0b", "0B"],
        8 => ["0o", "0O"],
        16 => ["0x", "0X"],
        _ => ["", ""],
    };
    let digits = match prefixes.iter().find_map(|prefix| text.strip_prefix(prefix)) {
        // One underscore may stand between the prefix and the first digit.
        Some(rest) if radix != 10 => rest.strip_prefix('_').unwrap_or(rest),
        _ => text,
    };
    let mut value: i64 = 0;
    for group in digits.split('_') {
        if group.is_empty() {
            return None;
        }
        for digit in group.chars() {
            let digit = i64::from(digit.to_digit(radix)?);
            value = value.saturating_mul(i64::from(radix)).saturating_add(digit);
        }
    }
    Some(if negative { -value } else { value })
}

/// An integer as `optparse` reads it: `0x` is hexadecimal, `0b` binary, any other leading zero octal. The
/// prefix must be the very first thing, which is why `-0x10` and ` 0x10` are not numbers.
pub(super) fn option_integer(text: &str) -> Option<i64> {
    let prefix = text.as_bytes().get(..2).unwrap_or_default();
    if prefix.eq_ignore_ascii_case(b"0x") {
        integer(text, 16)
    } else if prefix.eq_ignore_ascii_case(b"0b") {
        let digits = &text[2..];
        integer(if digits.is_empty() { "0" } else { digits }, 2)
    } else if text.starts_with('0') {
        integer(text, 8)
    } else {
        integer(text, 10)
    }
}

/// Python's `repr` of a text: in single quotes, or in double quotes when only that saves escaping. Bytes
/// that are not UTF-8 appear as the surrogates that Python reads them as.
pub(super) fn quoted(text: &OsStr) -> String {
    let bytes = text.as_bytes();
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            // Writing to a String never fails.
            let _ = match c {
                '\\' => write!(out, "\\\\"),
                '\t' => write!(out, "\\t"),
                '\n' => write!(out, "\\n"),
                '\r' => write!(out, "\\r"),
                c if c == quote => write!(out, "\\{c}"),
                c if (c.is_control() || c.is_whitespace() && c != ' ') && u32::from(c) < 0x100 => {
                    write!(out, "\\x{:02x}", u32::from(c))
                }
                c if c.is_whitespace() && c != ' ' => write!(out, "\\u{:04x}", u32::from(c)),
                c => write!(out, "{c}"),
            };
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\udc{byte:02x}");
        }
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row is what Python 3.11's own optparse made of the text.
    #[test]
    fn option_integers_are_those_of_optparse() {
        for (text, value) in [
            ("30", Some(30)),
            ("0", Some(0)),
            ("00", Some(0)),
            ("0x1e", Some(30)),
            ("0X1E", Some(30)),
            ("0x_1f", Some(31)),
            ("0x", None),
            ("0b1", Some(1)),
            ("0B101", Some(5)),
            ("0b", Some(0)),
            ("0b2", None),
            ("0b-1", Some(-1)),
            ("0b 1 ", Some(1)),
            ("0b0b1", Some(1)),
            ("030", Some(24)),
            ("0o30", Some(24)),
            ("0O30", Some(24)),
            ("0o", None),
            ("08", None),
            ("0_7", Some(7)),
            ("-5", Some(-5)),
            ("+5", Some(5)),
            ("- 5", None),
            ("--5", None),
            ("-0x10", None),
            ("-010", Some(-10)),
            (" 10 ", Some(10)),
            ("\t10\n", Some(10)),
            (" 0x10", None),
            (" 010", Some(10)),
            ("0 ", Some(0)),
            ("1_000", Some(1000)),
            ("1__0", None),
            ("_1", None),
            ("1_", None),
            ("", None),
            (" ", None),
            ("x", None),
            ("1.5", None),
            ("1e3", None),
            ("10s", None),
            ("é", None),
            ("\u{1f}1", None),
        ] {
            assert_eq!(option_integer(text), value, "{text:?}");
        }
    }

    #[test]
    fn numbers_beyond_the_range_saturate() {
        assert_eq!(option_integer("99999999999999999999"), Some(i64::MAX));
        assert_eq!(option_integer("-99999999999999999999"), Some(-i64::MAX));
    }

    /// Each row is what Python 3.11 prints.
    #[test]
    fn quoting_is_that_of_repr() {
        for (text, quoted_text) in [
            (&b"x"[..], "'x'"),
            (b"", "''"),
            (b"a'b", "\"a'b\""),
            (b"a\"b", "'a\"b'"),
            (b"a'\"b", "'a\\'\"b'"),
            (b"\\", "'\\\\'"),
            (b"\t\r\n\x01\x7f", "'\\t\\r\\n\\x01\\x7f'"),
            (b"\xff\n", "'\\udcff\\n'"),
            ("é €".as_bytes(), "'é €'"),
            ("\u{a0}\u{85}\u{2003}".as_bytes(), "'\\xa0\\x85\\u2003'"),
        ] {
            assert_eq!(quoted(OsStr::from_bytes(text)), quoted_text);
        }
    }
}
