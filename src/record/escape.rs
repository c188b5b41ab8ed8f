//! Bytes as the inside of a JavaScript string, as Python's `unicode_escape` writes Latin-1: printable ASCII as
//! it is, everything else in two or four characters.

/// The longest text of one byte.
pub(super) const LONGEST: usize = 4;

/// The text of each byte, and behind it its length.
static TABLE: [[u8; 8]; 256] = table();

const fn table() -> [[u8; 8]; 256] {
    let mut table = [[0; 8]; 256];
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
        table[byte] = [text[0], text[1], text[2], text[3], length, 0, 0, 0];
        byte += 1;
    }
    table
}

/// The length of the text of `bytes`.
pub(super) fn length(bytes: &[u8]) -> usize {
    // Comparisons instead of the table, and sums that fit a byte: that is what compilers can vectorise.
    let of = |byte: u8| {
        let is_printable = byte.wrapping_sub(b' ') <= b'~' - b' ';
        let is_short = (byte == b'\t') | (byte == b'\n') | (byte == b'\r');
        let is_marked = (byte == b'\\') | (byte == b'\'');
        4 - 3 * u8::from(is_printable) - 2 * u8::from(is_short) + u8::from(is_marked)
    };
    let mut blocks = bytes.chunks_exact(32);
    let whole: usize =
        blocks.by_ref().map(|block| usize::from(block.iter().fold(0, |sum, &byte| sum + of(byte)))).sum();
    whole + blocks.remainder().iter().map(|&byte| usize::from(of(byte))).sum::<usize>()
}

/// Writes the text of `bytes` to the start of `room`, which has [`LONGEST`] bytes for each, and returns its
/// length. What lies behind it there is overwritten, too.
pub(super) fn write(bytes: &[u8], room: &mut [u8]) -> usize {
    let mut at = 0;
    // Each byte's four characters are stored whole, and the next ones over those that do not count.
    let mut blocks = bytes.chunks_exact(BLOCK);
    for block in &mut blocks {
        let room = &mut room[at..at + BLOCK * LONGEST];
        let mut inside = 0;
        for &byte in block {
            let entry = &TABLE[usize::from(byte)];
            room[inside..inside + LONGEST].copy_from_slice(&entry[..LONGEST]);
            inside += usize::from(entry[LONGEST]);
        }
        at += inside;
    }
    for &byte in blocks.remainder() {
        let entry = &TABLE[usize::from(byte)];
        room[at..at + LONGEST].copy_from_slice(&entry[..LONGEST]);
        at += usize::from(entry[LONGEST]);
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
            for end in [start, start + 1, start + BLOCK - 1, start + BLOCK, start + 40, all.len()] {
                let bytes = &all[start..end.clamp(start, all.len())];
                let mut room = vec![0; bytes.len() * LONGEST];
                let count = write(bytes, &mut room);
                assert_eq!(String::from_utf8_lossy(&room[..count]), plainly(bytes));
                assert_eq!(length(bytes), count, "{bytes:?}");
            }
        }
    }

    #[test]
    fn the_longest_texts_do_not_overflow_the_sums() {
        for bytes in [vec![0xff; 1000], vec![b'a'; 1000], vec![b'\''; 1000], vec![b'\n'; 1000]] {
            assert_eq!(length(&bytes), plainly(&bytes).len());
        }
    }
}
