//! The file of a recording: a script that is valid at every moment, even if the process is killed.
//!
//! What noVNC's player loads is `var VNC_frame_data = [`, one string a line, and `'EOF'];`. While the session
//! goes on the last line reads `'EOF']//` instead, which has the same length. A batch of entries takes three
//! steps:
//!
//! ```text
//!   … 'EOF']//                                   as it was left
//!   … 'EOF']//12{RFB 003.008\n', 'EOF']//        (1) appended from the batch's ninth character on
//!   … '{12{RFB 003.008\n', 'EOF']//              (2) its first eight over the ending
//! ```
//! (1) may be torn anywhere, since all of it is part of the comment that the old ending begins: it has no line
//! break, because entries contain none, and those between entries are blanks for now. (2) makes the whole
//! batch valid at once. (3) Then the blanks become line breaks, which does not change the meaning.
//!
//! Step (2) must not be torn. A signal ends a write between the copies of two pages, never inside the copy of
//! one: the kernel looks for a fatal signal once before each page it copies to, and the source can't fault,
//! since it lies in one small array that has just been filled. So the nine bytes (a line break and the first
//! eight of the batch) must lie in one page of the file. If an entry would put the next ending across two
//! pages, its milliseconds get up to eight leading zeros to fill the page.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::escape;

/// What a script is written to. The two operations are pwrite(2), to its end, and ftruncate(2).
pub(super) trait Store {
    fn write(&self, bytes: &[u8], at: u64) -> io::Result<()>;
    fn cut(&self, length: u64) -> io::Result<()>;
}

impl Store for File {
    fn write(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.write_all_at(bytes, at)
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

/// Where an entry came from; in the file it stands around the milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Sent to the browser.
    Down = b'{' as isize,
    /// Received from it.
    Up = b'}' as isize,
}

/// A script that is being written.
#[derive(Debug)]
pub(super) struct Script<S> {
    store: S,
    /// Where the ending stands.
    end: u64,
}

/// The content of a new script, which is valid from the start.
pub(super) const EMPTY: &[u8] = b"var VNC_frame_data = [\n'EOF']//";

/// The ending while the session goes on. What follows on its line is a comment.
const ENDING: &[u8; 8] = b"'EOF']//";

/// The ending of a session that has ended.
const LAST: &[u8; 8] = b"'EOF'];\n";

impl<S: Store> Script<S> {
    /// Continues a file that contains [`EMPTY`].
    pub(super) fn new(store: S) -> Script<S> {
        Script { store, end: (EMPTY.len() - ENDING.len()) as u64 }
    }

    /// Begins a batch of entries, whose text passes through `text`.
    pub(super) fn batch<'a>(&'a mut self, text: &'a mut Text) -> Batch<'a, S> {
        text.clear();
        let base = self.end;
        Batch { script: self, text, base, first: *ENDING }
    }

    /// Writes the script's last line. What a failed write has left after the ending is cut off first.
    pub(super) fn finish(self, failed: bool) -> io::Result<()> {
        if failed {
            self.store.cut(self.end + ENDING.len() as u64)?;
        }
        self.commit(LAST)
    }

    /// Puts `first`, and a line break before it, in place of the ending.
    fn commit(&self, first: &[u8; 8]) -> io::Result<()> {
        let mut line = Commit([b'\n'; 9]);
        line.0[1..].copy_from_slice(first);
        debug_assert!(is_in_one_page(self.end));
        self.store.write(&line.0, self.end - 1)
    }
}

/// Aligned to more than its size, so that it never lies in two pages of memory.
#[repr(align(16))]
struct Commit([u8; 9]);

/// Whether an ending at `end` and the line break before it lie in one page.
fn is_in_one_page(end: u64) -> bool {
    (end - 1) / PAGE_BYTES == (end + 7) / PAGE_BYTES
}

/// The smallest page there is; larger ones are multiples.
const PAGE_BYTES: u64 = 4096;

/// Room for the text of entries on their way to a file; one for each thread that writes.
pub(super) struct Text {
    room: Box<[u8]>,
    length: usize,
    /// The ends of entries in it: the blanks that will become line breaks.
    ends: Vec<usize>,
}

impl Text {
    pub(super) fn new() -> Text {
        Text { room: vec![0; TEXT_BYTES].into_boxed_slice(), length: 0, ends: Vec::new() }
    }

    fn clear(&mut self) {
        self.length = 0;
        self.ends.clear();
    }

    fn push(&mut self, text: &[u8]) {
        self.room[self.length..self.length + text.len()].copy_from_slice(text);
        self.length += text.len();
    }

    fn spare(&self) -> usize {
        self.room.len() - self.length
    }
}

/// Small enough for a core's cache, and large enough that writes are few.
const TEXT_BYTES: usize = 128 * 1024;

/// Bytes that are escaped at a time.
const PIECE_BYTES: usize = 4096;

/// Room for a piece, for what stands around the payload of an entry, and for the ending.
const SLACK: usize = PIECE_BYTES * escape::LONGEST + 64;

/// What stands before the payload of an entry: a quote, a mark twice, zeros and the longest number.
const HEAD_BYTES_MAX: usize = 3 + ZEROS.len() + 20;

/// Before the milliseconds of an entry that must be a little longer.
const ZEROS: &[u8; 8] = b"00000000";

/// Entries that become valid together.
pub(super) struct Batch<'a, S> {
    script: &'a mut Script<S>,
    text: &'a mut Text,
    /// Where `text` belongs in the file.
    base: u64,
    /// The first characters of a batch whose text has been written in part.
    first: [u8; 8],
}

impl<S: Store> Batch<'_, S> {
    /// Adds an entry; what was added before is written first if there may not be enough room.
    pub(super) fn add(&mut self, mark: Mark, ms: u64, payload: &[u8]) -> io::Result<()> {
        // An entry that may be too long for the text is a batch of its own, and is written in parts.
        if self.text.length > 0
            && self.text.spare() < payload.len() * escape::LONGEST + SLACK + HEAD_BYTES_MAX
        {
            self.commit()?;
        }
        let (base, start) = (self.base, self.text.length);
        self.put(mark, 0, ms, payload)?;
        let end = self.base + self.text.length as u64;
        if !is_in_one_page(end) {
            // Once in some hundred entries: the same again, with zeros up to the end of the page. What has
            // been written of it is still a comment.
            let zeros = PAGE_BYTES - (end - 1) % PAGE_BYTES;
            (self.base, self.text.length) = (base, start);
            self.put(mark, zeros as usize, ms, payload)?;
        }
        self.text.ends.push(self.text.length - 1);
        if self.base > self.script.end {
            self.commit()?;
        }
        Ok(())
    }

    fn put(&mut self, mark: Mark, zeros: usize, ms: u64, payload: &[u8]) -> io::Result<()> {
        self.text.push(&[b'\'', mark as u8]);
        self.text.push(&ZEROS[..zeros]);
        self.text.push(ms.to_string().as_bytes());
        self.text.push(&[mark as u8]);
        for piece in payload.chunks(PIECE_BYTES) {
            if self.text.spare() < SLACK {
                self.spill()?;
            }
            let room = &mut self.text.room[self.text.length..];
            self.text.length += escape::write(piece, room);
        }
        // The line break comes when the next ending is overwritten, or when the batch is valid.
        self.text.push(b"', ");
        Ok(())
    }

    /// Whether all that was added is valid.
    pub(super) fn is_valid(&self) -> bool {
        self.text.length == 0 && self.base == self.script.end
    }

    /// Makes what was added valid.
    pub(super) fn commit(&mut self) -> io::Result<()> {
        if self.text.length == 0 {
            return Ok(());
        }
        self.text.push(ENDING);
        let (start, first) = (self.base, self.text.ends.first().copied());
        self.spill()?;
        self.script.commit(&self.first)?;
        self.script.end = self.base - ENDING.len() as u64;
        self.base = self.script.end;
        // The last one becomes a line break when the ending after it is overwritten.
        self.text.ends.pop();
        let (Some(first), Some(&last)) = (first, self.text.ends.last()) else { return Ok(()) };
        for end in self.text.ends.drain(..) {
            self.text.room[end] = b'\n';
        }
        self.script.store.write(&self.text.room[first..=last], start + first as u64)
    }

    /// Writes the text into the comment after the ending.
    fn spill(&mut self) -> io::Result<()> {
        let text = &self.text.room[..self.text.length];
        let skipped = if self.base == self.script.end {
            self.first.copy_from_slice(&text[..8]);
            8
        } else {
            0
        };
        self.script.store.write(&text[skipped..], self.base + skipped as u64)?;
        self.base += text.len() as u64;
        self.text.length = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
