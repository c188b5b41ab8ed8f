//! Text from outside that is shown to people: none of its characters may have an effect instead of being
//! visible.

use std::fmt::{self, Write};

/// Whether a character is one that is seen, or a space: not a control character, none that changes the
/// direction of text, ends a line or has no width (Unicode's categories Cc, Cf, Zl and Zp), and none that is
/// not assigned.
pub fn is_shown(c: char) -> bool {
    if c.is_ascii() {
        return matches!(c, ' '..='~');
    }
    if c.is_whitespace() {
        return !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}');
    }
    // The library knows what is printable, and calls marks that combine with what is before them unprintable
    // only where nothing is.
    let mut pair = [0; 5];
    pair[0] = b'a';
    let length = 1 + c.encode_utf8(&mut pair[1..]).len();
    std::str::from_utf8(&pair[..length]).is_ok_and(|pair| pair.escape_debug().nth(1) == Some(c))
}

/// Writes a character as JSON escapes, one for each of its UTF-16 units (RFC 8259, 7).
pub fn push_json_escape(out: &mut String, c: char) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        // Writing to a String can't fail.
        let _ = write!(out, "\\u{unit:04x}");
    }
}

/// Passes text on with what is not shown as `\xNN`, or `\u{NNNN}` beyond Latin-1.
pub struct Printable<'a>(pub &'a mut String);

impl Write for Printable<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            self.0.push_str(text);
            return Ok(());
        }
        for c in text.chars() {
            match u32::from(c) {
                _ if is_shown(c) => self.0.push(c),
                code @ ..=0xff => write!(self.0, "\\x{code:02x}")?,
                code => write!(self.0, "\\u{{{code:x}}}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn printable(text: &str) -> String {
        let mut out = String::new();
        write!(Printable(&mut out), "{text}").expect("a String takes everything");
        out
    }

    #[test]
    fn what_acts_is_shown_as_a_code_and_text_is_left_alone() {
        for text in [
            "Path: '/w\u{e4}hler?x=1'",
            "cafe\u{301} \u{928}\u{92e}\u{938}\u{94d}\u{924}\u{947} \u{65e5}\u{672c}\u{3000}\u{1f600}",
            "quotes ' \" and \\",
        ] {
            assert_eq!(printable(text), text);
        }
        assert_eq!(printable("a\r\nb\u{1b}[2J\u{7f}\u{9b}"), "a\\x0d\\x0ab\\x1b[2J\\x7f\\x9b");
        assert_eq!(printable("\u{202e}\u{2066}\u{2028}\u{200b}"), "\\u{202e}\\u{2066}\\u{2028}\\u{200b}");
        assert_eq!(printable("\u{ad}\u{feff}\u{e0041}\u{2029}"), "\\xad\\u{feff}\\u{e0041}\\u{2029}");
    }

    #[test]
    fn nothing_of_the_categories_cc_cf_zl_and_zp_is_shown_and_nothing_else_that_python_knows_is_hidden() {
        let script = "import unicodedata as u\n\
            print(u.unidata_version.split('.')[0])\n\
            for c in range(0x110000):\n\
            \x20 if not 0xd800 <= c < 0xe000: print(u.category(chr(c)))";
        let Ok(out) = Command::new("python3").args(["-c", script]).output() else {
            return crate::skips::skipped("python3 is not on PATH");
        };
        let out = String::from_utf8(out.stdout).expect("names of categories");
        let mut lines = out.lines();
        let version: u8 = lines.next().and_then(|line| line.parse().ok()).expect("a version");
        let mut seen = 0;
        for (c, category) in (0..0x11_0000).filter_map(char::from_u32).zip(lines) {
            let acts = ["Cc", "Cf", "Zl", "Zp"].contains(&category);
            // Private, or not assigned in one of the versions.
            let is_open = ["Co", "Cn"].contains(&category) || version > char::UNICODE_VERSION.0;
            assert!(is_open || is_shown(c) != acts, "U+{:04X} {category}", u32::from(c));
            assert!(!(acts && is_shown(c)), "U+{:04X} {category}", u32::from(c));
            seen += 1;
        }
        assert_eq!(seen, 0x11_0000 - 0x800);
    }
}
