//! How what was moved stands in a session's queue: moments, each with its payloads.

use super::script::Mark;

/// What was handed over at one moment.
#[derive(Debug, PartialEq)]
pub(super) struct Moment {
    pub(super) mark: Mark,
    pub(super) ms: u64,
    /// Length in bytes of what follows: payloads, each behind its length.
    pub(super) length: usize,
}

/// Bytes of a moment in a queue.
pub(super) const MOMENT_BYTES: usize = 1 + 8 + 4;

impl Moment {
    /// As it stands in a queue.
    pub(super) fn encode(&self) -> [u8; MOMENT_BYTES] {
        let mut bytes = [0; MOMENT_BYTES];
        bytes[0] = self.mark as u8;
        bytes[1..9].copy_from_slice(&self.ms.to_le_bytes());
        // A queue is shorter than 4 GiB by far.
        bytes[9..].copy_from_slice(&(self.length as u32).to_le_bytes());
        bytes
    }

    /// The first moment of `bytes`, and what follows it.
    pub(super) fn decode(bytes: &[u8]) -> Option<(Moment, &[u8])> {
        let (&[mark, a, b, c, d, e, f, g, h, i, j, k, l], rest) = bytes.split_first_chunk()?;
        let mark = if mark == Mark::Up as u8 { Mark::Up } else { Mark::Down };
        let ms = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        Some((Moment { mark, ms, length: u32::from_le_bytes([i, j, k, l]) as usize }, rest))
    }
}

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
