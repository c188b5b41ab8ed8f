//! PEM files (RFC 7468, and RFC 1421 for the headers of encrypted keys) as people keep them: with text around
//! the blocks, any line ends, and blocks of other kinds.
//!
//! The `pem` crate reads the blocks, one at a time: so an error belongs to one block, and does not matter as
//! long as nobody asks for that block. What the crate is strict about is normalised before.

use pem::{Pem, PemError};

/// A block between a BEGIN and its END.
#[derive(Debug, PartialEq)]
pub(crate) struct Block {
    /// The kind: `CERTIFICATE`.
    pub(crate) label: String,
    content: Result<Pem, PemError>,
}

impl Block {
    /// The value of a header, such as `4,ENCRYPTED` for `Proc-Type`.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.content.as_ref().ok()?.headers().get(name)
    }

    /// The data.
    ///
    /// # Errors
    /// It is damaged; in words that follow the file's name.
    pub(crate) fn data(&self) -> Result<&[u8], String> {
        self.content.as_ref().map(Pem::contents).map_err(|error| match error {
            PemError::InvalidData(_) => format!("the {} in it is damaged (bad base64)", self.label),
            error => format!("the {} in it is damaged ({error})", self.label),
        })
    }
}

/// The blocks of a file, in order.
///
/// # Errors
/// A block does not end; in words that follow the file's name.
pub(crate) fn blocks(text: &str) -> Result<Vec<Block>, String> {
    let mut blocks = Vec::new();
    for part in tidy(text).split(BEGIN).skip(1) {
        let Some(label) = part.lines().next().and_then(|line| line.strip_suffix("-----")) else { continue };
        let content = pem::parse(format!("{BEGIN}{part}"));
        if matches!(content, Err(PemError::MalformedFraming | PemError::MismatchedTags(..))) {
            return Err(format!("the {label} in it has no end"));
        }
        blocks.push(Block { label: label.to_owned(), content });
    }
    Ok(blocks)
}

/// The same text, each line behind one `\n` and without blanks around it, and with no empty lines but those
/// that the crate wants between headers and data.
fn tidy(text: &str) -> String {
    let mut tidy = String::with_capacity(text.len());
    let mut is_header = false;
    // An editor may have put a byte order mark in front.
    let lines = text.trim_start_matches('\u{feff}').split(['\n', '\r']).map(str::trim);
    for line in lines.filter(|line| !line.is_empty()) {
        let was_header = std::mem::replace(&mut is_header, line.contains(':'));
        tidy.push_str(if was_header && !is_header { "\n\n" } else { "\n" });
        tidy.push_str(line);
    }
    tidy
}

/// What a block begins with.
const BEGIN: &str = "\n-----BEGIN ";

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
    fn what_is_damaged_is_no_matter_until_it_is_asked_for() {
        // Such a checksum line is no base64.
        let message = "-----BEGIN M-----\nVersion: 1\n\naGVsbG8=\n=abcd\n-----END M-----\n";
        let text = format!("{message}{PLAIN}");
        let blocks = blocks(&text).expect("two blocks");
        assert!(blocks[0].label == "M" && blocks[0].data().is_err() && blocks[0].header("Version").is_none());
        assert_eq!(blocks[1].data(), Ok(b"hello".as_slice()));
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
