//! Bytes as the inside of a JavaScript string, as Python's `unicode_escape` writes Latin-1: printable ASCII as
//! it is, everything else in two or four characters.

use crate::sys;

/// The longest text of one byte.
pub(super) const LONGEST: usize = 4;

/// The text of each byte in the low half of a word, and its length in the high half: one load brings both.
static TABLE: [u64; 256] = table();

const fn table() -> [u64; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (short, hex) = (byte as u8, b"0123456789abcdef");
        let (text, length) = match short {
            b'\\' | b'\'' => ([b'\\', short, 0, 0], 2),
            b'\t' => ([b'\\', b't', 0, 0], 2),
            b'\n' => ([b'\\', b'n', 0, 0], 2),
            b'\r' => ([b'\\', b'r', 0, 0], 2),
            b' '..=b'~' => ([short, 0, 0, 0], 1),
            _ => ([b'\\', b'x', hex[byte >> 4], hex[byte & 15]], 4),
        };
        table[byte] = u32::from_le_bytes(text) as u64 | (length as u64) << 32;
        byte += 1;
    }
    table
}

/// Room that is needed behind the longest text, since whole words are stored.
pub(super) const BEHIND: usize = 4;

/// Writes the text of `bytes` to the start of `room`, which has [`LONGEST`] bytes for each and [`BEHIND`] more, and
/// returns its length. What lies after it there is overwritten, too.
pub(super) fn write(bytes: &[u8], room: &mut [u8]) -> usize {
    let (taken, length) = sys::wide::escape(bytes, room);
    length + write_by_table(&bytes[taken..], &mut room[length..])
}

/// What [`write`] does with what the processor has no wide instructions for.
fn write_by_table(bytes: &[u8], room: &mut [u8]) -> usize {
    let mut at = 0;
    let mut blocks = bytes.chunks_exact(BLOCK);
    for block in &mut blocks {
        let Some(room) = room[at..].first_chunk_mut::<{ BLOCK * LONGEST + BEHIND }>() else { break };
        at += write_few(block, room);
    }
    at + write_few(blocks.remainder(), &mut room[at..])
}

/// Each byte's word is stored whole, and the next ones over what does not count of it.
#[inline(always)]
fn write_few(bytes: &[u8], room: &mut [u8]) -> usize {
    let mut at = 0;
    for &byte in bytes {
        let word = TABLE[usize::from(byte)];
        // An array is stored as one word; a slice would be copied by a call.
        let Some(place) = room[at..].first_chunk_mut() else { break };
        *place = word.to_le_bytes();
        at += (word >> 32) as usize;
    }
    at
}

/// Bytes whose room is looked for at a time.
const BLOCK: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    /// What Python 3.11 makes of each byte: `bytes([b]).decode('latin1').encode('unicode_escape')`, then `'`.
    fn plainly(bytes: &[u8]) -> String {
        let mut text = String::new();
        for &byte in bytes {
            match byte {
                b'\\' => text.push_str("\\\\"),
                b'\'' => text.push_str("\\'"),
                b'\t' => text.push_str("\\t"),
                b'\n' => text.push_str("\\n"),
                b'\r' => text.push_str("\\r"),
                0x20..=0x7e => text.push(char::from(byte)),
                _ => write!(text, "\\x{byte:02x}").expect("a String takes it"),
            }
        }
        text
    }

    #[test]
    fn every_byte_is_written_as_python_writes_it_at_every_place() {
        let all: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
        for start in 0..all.len() {
            for end in [
                start,
                start + 1,
                start + BLOCK - 1,
                start + BLOCK,
                start + 40,
                start + 64,
                start + 191,
                all.len(),
            ] {
                let bytes = &all[start..end.clamp(start, all.len())];
                for write in [write, write_by_table] {
                    let mut room = vec![0; bytes.len() * LONGEST + BEHIND];
                    let count = write(bytes, &mut room);
                    assert_eq!(String::from_utf8_lossy(&room[..count]), plainly(bytes));
                }
            }
        }
    }
}
