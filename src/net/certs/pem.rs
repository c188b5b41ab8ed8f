//! PEM files (RFC 7468, and RFC 1421 for the headers of encrypted keys) as people keep them: with text around
//! the blocks, any line ends, and blocks of other kinds.
//!
//! A reader of its own, because the TLS library's does not know the headers that traditional encrypted keys
//! have.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What stands between a BEGIN and its END.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block<'a> {
    /// The kind: `CERTIFICATE`.
    pub(super) label: &'a str,
    /// Names and values of the lines in front of the data: `Proc-Type`, `4,ENCRYPTED`.
    headers: Vec<(&'a str, &'a str)>,
    base64: String,
}

impl<'a> Block<'a> {
    /// The value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.iter().find(|header| header.0 == name).map(|header| header.1)
    }

    /// The data.
    ///
    /// # Errors
    /// It is not base64; in words that go behind the file's name.
    pub(super) fn data(&self) -> Result<Vec<u8>, String> {
        STANDARD.decode(&self.base64).map_err(|_| format!("the {} in it is damaged (bad base64)", self.label))
    }
}

/// The blocks of a file, in order.
///
/// # Errors
/// A block does not end; in words that go behind the file's name.
pub(super) fn blocks(text: &str) -> Result<Vec<Block<'_>>, String> {
    let mut blocks = Vec::new();
    let mut open: Option<Block<'_>> = None;
    let unended = |label: &str| format!("the {label} in it has no end");
    // An editor may have put a byte order mark in front.
    for line in text.trim_start_matches('\u{feff}').split(['\n', '\r']).map(str::trim) {
        if let Some(label) = marker(line, "-----BEGIN ") {
            if let Some(block) = open {
                return Err(unended(block.label));
            }
            open = Some(Block { label, headers: Vec::new(), base64: String::new() });
        } else if let Some(label) = marker(line, "-----END ") {
            match open.take() {
                Some(block) if block.label == label => blocks.push(block),
                Some(block) => return Err(unended(block.label)),
                None => {} // Text between blocks.
            }
        } else if let Some(block) = &mut open {
            match line.split_once(':') {
                Some((name, value)) => block.headers.push((name.trim(), value.trim())),
                None => block.base64.extend(line.split_ascii_whitespace()),
            }
        }
    }
    match open {
        Some(block) => Err(unended(block.label)),
        None => Ok(blocks),
    }
}

fn marker<'a>(line: &'a str, start: &str) -> Option<&'a str> {
    line.strip_prefix(start)?.strip_suffix("-----")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "-----BEGIN A B-----\naGVs\nbG8=\n-----END A B-----\n";

    fn hello(text: &str) -> usize {
        let blocks = blocks(text).expect("sound blocks");
        for block in &blocks {
            assert_eq!(block.label, "A B");
            assert_eq!(block.data().expect("base64"), b"hello");
        }
        blocks.len()
    }

    #[test]
    fn every_kind_of_line_end_will_do() {
        assert_eq!(hello(PLAIN), 1);
        assert_eq!(hello(&PLAIN.replace('\n', "\r\n")), 1);
        assert_eq!(hello(&PLAIN.replace('\n', "\r")), 1);
        assert_eq!(hello(PLAIN.trim_end()), 1);
        assert_eq!(hello(&PLAIN.replace('\n', "  \n\n")), 1);
    }

    #[test]
    fn text_around_the_blocks_is_no_matter() {
        assert_eq!(hello(""), 0);
        assert_eq!(hello("just text: with a colon\n-----END A B-----\n"), 0);
        assert_eq!(hello(&format!("# comment: x\nsubject=CN = a\n\n{PLAIN}\ntext\n{PLAIN}text")), 2);
        assert_eq!(hello(&format!("\u{feff}{PLAIN}")), 1);
    }

    #[test]
    fn headers_are_kept_apart_from_the_data() {
        let text = "-----BEGIN K-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: X,00\n\naGVsbG8=\n-----END K-----";
        let blocks = blocks(text).expect("a block");
        assert_eq!(blocks[0].header("Proc-Type"), Some("4,ENCRYPTED"));
        assert_eq!(blocks[0].header("DEK-Info"), Some("X,00"));
        assert_eq!(blocks[0].header("X"), None);
        assert_eq!(blocks[0].data().expect("base64"), b"hello");
    }

    #[test]
    fn a_block_without_its_end_and_bad_base64_are_named() {
        for text in [
            "-----BEGIN A B-----\naGVs\n",
            "-----BEGIN A B-----\n-----END C-----\n",
            "-----BEGIN A B-----\n-----BEGIN C-----\n",
        ] {
            assert_eq!(blocks(text), Err("the A B in it has no end".to_owned()));
        }
        let text = PLAIN.replace("aGVs", "aG!s");
        let error = blocks(&text).expect("a block")[0].data().expect_err("damaged");
        assert_eq!(error, "the A B in it is damaged (bad base64)");
    }
}
