//! The format of a session's queue: moments, each with its payloads.

use super::script::Mark;

/// What was handed over at one moment.
#[derive(Debug, PartialEq)]
pub(super) struct Moment {
    pub(super) mark: Mark,
    pub(super) ms: u64,
    /// The number of padding bytes that follow.
    pub(super) gap: usize,
    /// Length in bytes of what follows that: payloads, each preceded by its length.
    pub(super) length: usize,
}

/// Bytes of a moment in a queue.
pub(super) const MOMENT_BYTES: usize = 1 + 8 + 2 + 4;

impl Moment {
    /// Its form in a queue.
    pub(super) fn encode(&self) -> [u8; MOMENT_BYTES] {
        let mut bytes = [0; MOMENT_BYTES];
        bytes[0] = self.mark as u8;
        bytes[1..9].copy_from_slice(&self.ms.to_le_bytes());
        // A gap is shorter than a page, and a queue than 4 GiB by far.
        bytes[9..11].copy_from_slice(&(self.gap as u16).to_le_bytes());
        bytes[11..].copy_from_slice(&(self.length as u32).to_le_bytes());
        bytes
    }

    /// The first moment of `bytes`, and what follows it and its gap.
    pub(super) fn decode(bytes: &[u8]) -> Option<(Moment, &[u8])> {
        let (&[mark], rest) = bytes.split_first_chunk()?;
        let mark = if mark == Mark::Up as u8 { Mark::Up } else { Mark::Down };
        let (&ms, rest) = rest.split_first_chunk()?;
        let (&gap, rest) = rest.split_first_chunk()?;
        let (&length, rest) = rest.split_first_chunk()?;
        let (gap, length) = (usize::from(u16::from_le_bytes(gap)), u32::from_le_bytes(length) as usize);
        Some((Moment { mark, ms: u64::from_le_bytes(ms), gap, length }, rest.get(gap..)?))
    }
}

/// The gap to leave after `queue` before `payload` is copied there. A copy to an address slightly ahead of
/// its source, modulo the page size, takes several times as long, since processors compare only the low
/// address bits to decide whether a load must wait for a store; and large blocks of memory begin at the same
/// offset in a page.
pub(super) fn gap_before(payload: &[u8], queue: &[u8]) -> usize {
    let to = queue.as_ptr() as usize + queue.len();
    let ahead = to.wrapping_sub(payload.as_ptr() as usize) % PAGE_BYTES;
    if ahead < PAGE_BYTES / 4 { PAGE_BYTES / 2 } else { 0 }
}

const PAGE_BYTES: usize = 4096;

/// Appends a length in seven bits a byte, the low ones first: most messages are short, and many of them must not
/// take much more room in a queue than they took on the wire.
pub(super) fn encode_length(mut length: usize, bytes: &mut Vec<u8>) {
    while length > 0x7f {
        bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
}

/// The first payload of `bytes`, and what follows it.
pub(super) fn decode_payload(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0;
    for (at, &byte) in bytes.iter().enumerate().take(LENGTH_BYTES_MAX) {
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return bytes[at + 1..].split_at_checked(length);
        }
    }
    None
}

/// A length of 4 GiB, in seven bits a byte.
pub(super) const LENGTH_BYTES_MAX: usize = 5;
