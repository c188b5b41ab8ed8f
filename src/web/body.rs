//! The body of an answer: files and text in a row, read at any position.
//!
//! It never changes, so a piece that a client did not read need not be kept: it is read again. Its file is
//! closed on a helper, since on some file systems even that can block.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::helpers::Lane;
use crate::http::range::Span;

/// The body of one answer.
#[derive(Debug)]
pub struct Body {
    /// `None` when it is on its way to being closed.
    file: Option<File>,
    closing: Lane,
    parts: Vec<Part>,
    length: u64,
}

/// One piece of a body.
#[derive(Debug)]
pub(super) enum Part {
    /// Text between the spans of a file.
    Text(Vec<u8>),
    /// Bytes of the file.
    Span(Span),
}

/// Why a body ends before the length that was announced. There is no way to say so in HTTP/1.1 but to end the
/// connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The file is shorter than it was.
    Shrunk,
    /// The system could not read it.
    Failed(io::ErrorKind),
}

impl Body {
    pub(super) fn new(file: File, parts: Vec<Part>, closing: &Lane) -> Body {
        let length = parts.iter().map(Part::len).sum();
        Body { file: Some(file), closing: closing.clone(), parts, length }
    }

    /// Its length in bytes, as announced.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Appends up to `most` bytes from position `at` on; fewer only at the end.
    ///
    /// # Errors
    /// They are not there any more.
    pub fn read(&self, at: u64, most: usize, into: &mut Vec<u8>) -> Result<(), Cut> {
        let mut left = most;
        let mut skip = at;
        for part in &self.parts {
            let Some(have) = part.len().checked_sub(skip).filter(|&have| have > 0) else {
                skip -= part.len();
                continue;
            };
            let count = usize::try_from(have).unwrap_or(left).min(left);
            match part {
                Part::Text(text) => {
                    let from = usize::try_from(skip).unwrap_or(text.len()).min(text.len());
                    into.extend_from_slice(&text[from..][..count]);
                }
                Part::Span(span) => read_exactly(self.file.as_ref(), span.from + skip, count, into)?,
            }
            left -= count;
            skip = 0;
            if left == 0 {
                break;
            }
        }
        Ok(())
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            // The queue is longer than the number of files can be; if there is no thread, the file is closed
            // here.
            let _ = self.closing.submit(Box::new(move || drop(file)));
        }
    }
}

impl Part {
    fn len(&self) -> u64 {
        match self {
            Part::Text(text) => text.len() as u64,
            Part::Span(span) => span.len,
        }
    }
}

fn read_exactly(file: Option<&File>, from: u64, count: usize, into: &mut Vec<u8>) -> Result<(), Cut> {
    let file = file.ok_or(Cut::Failed(io::ErrorKind::NotConnected))?;
    let start = into.len();
    into.resize(start + count, 0);
    file.read_exact_at(&mut into[start..], from).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => Cut::Shrunk,
        kind => Cut::Failed(kind),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn body(name: &str) -> Body {
        let path = std::env::temp_dir().join(format!("websockify-body-{}-{name}", std::process::id()));
        let mut file = File::options().create_new(true).read(true).write(true).open(&path).expect("a file");
        std::fs::remove_file(&path).expect("removed");
        file.write_all(b"0123456789").expect("written");
        let parts = vec![
            Part::Text(b"head ".to_vec()),
            Part::Span(Span { from: 2, len: 3 }),
            Part::Text(Vec::new()),
            Part::Text(b" tail ".to_vec()),
            Part::Span(Span { from: 9, len: 1 }),
        ];
        Body::new(file, parts, &Lane::new("closing", 1, 10))
    }

    #[test]
    fn a_body_reads_the_same_in_any_pieces() {
        let body = body("pieces");
        let whole = b"head 234 tail 9";
        assert_eq!(body.length(), whole.len() as u64);
        for at in 0..=whole.len() {
            for most in 0..=whole.len() + 2 {
                let mut piece = Vec::new();
                body.read(at as u64, most, &mut piece).expect("all is there");
                assert_eq!(piece, &whole[at..whole.len().min(at + most)], "{most} from {at}");
            }
        }
    }

    #[test]
    fn a_file_that_has_shrunk_is_found_out() {
        let body = body("shrunk");
        body.file.as_ref().expect("open").set_len(9).expect("cut");
        let mut piece = Vec::new();
        assert_eq!(body.read(0, 14, &mut piece), Ok(()));
        assert_eq!(body.read(0, 15, &mut piece), Err(Cut::Shrunk));
    }
}
