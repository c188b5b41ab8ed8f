//! What a bulk transfer carries: one block of bytes, sent over and over, each time with its number in it.
//!
//! The sender writes prepared bytes and the receiver compares whole pieces, so the generator is cheap; the
//! number makes every lost, doubled or swapped stretch visible, also one as long as the block itself.

use crate::load::wire::{KEY, put_frame};

/// A block as it travels: bare payload, or the same payload in frames.
#[derive(Clone)]
pub(crate) struct Block {
    bytes: Vec<u8>,
    /// Where the number of the repetition lies: eight bytes, little-endian, xored with `mask`.
    stamp_at: usize,
    mask: [u8; STAMP_BYTES],
    /// The length of one message on the wire: a write, or a frame with its header.
    message_bytes: usize,
}

/// How the payload is wrapped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrapping {
    Bare,
    ServerFrames,
    ClientFrames,
}

impl Block {
    /// A block of messages of `message` payload bytes each, about `BLOCK_BYTES` in all. The payload is the
    /// same under each wrapping.
    pub(crate) fn new(message: usize, wrapping: Wrapping) -> Block {
        assert!(message >= STAMP_BYTES, "the number of the block fits into its first message");
        let count = messages_per_block(message);
        let payload = noise(message * count);
        let key = match wrapping {
            Wrapping::ClientFrames => Some(KEY),
            _ => None,
        };
        let bytes = match wrapping {
            Wrapping::Bare => payload,
            _ => payload.chunks(message).fold(Vec::new(), |mut wire, chunk| {
                put_frame(&mut wire, chunk, key);
                wire
            }),
        };
        let [a, b, c, d] = key.unwrap_or_default();
        let message_bytes = bytes.len() / count;
        Block { bytes, stamp_at: message_bytes - message, mask: [a, b, c, d, a, b, c, d], message_bytes }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The length of one message on the wire, in bytes.
    pub(crate) fn message_bytes(&self) -> usize {
        self.message_bytes
    }

    /// The next bytes of the stream at `cursor`, at most `most` and at most to the end of the block.
    pub(crate) fn next(&mut self, cursor: Cursor, most: usize) -> &[u8] {
        if cursor.at < self.stamp_at + STAMP_BYTES {
            let number = cursor.number.to_le_bytes();
            for (at, byte) in number.into_iter().enumerate() {
                self.bytes[self.stamp_at + at] = byte ^ self.mask[at];
            }
        }
        let rest = &self.bytes[cursor.at..];
        &rest[..most.min(rest.len())]
    }

    /// True when `data` is what the stream has at `cursor`, which moves past it.
    pub(crate) fn check(&mut self, cursor: &mut Cursor, mut data: &[u8]) -> bool {
        while !data.is_empty() {
            let expected = self.next(*cursor, data.len());
            let (piece, rest) = data.split_at(expected.len());
            if piece != expected {
                return false;
            }
            cursor.advance(piece.len(), self.bytes.len());
            data = rest;
        }
        true
    }
}

/// A place in a stream of blocks.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cursor {
    /// Blocks passed.
    pub(crate) number: u64,
    /// Bytes passed of the block.
    pub(crate) at: usize,
}

impl Cursor {
    pub(crate) fn advance(&mut self, count: usize, block_bytes: usize) {
        self.at += count;
        if self.at == block_bytes {
            *self = Cursor { number: self.number + 1, at: 0 };
        }
    }
}

/// How many messages of `message` payload bytes one block has.
pub(crate) fn messages_per_block(message: usize) -> usize {
    (BLOCK_BYTES / message).max(1)
}

/// Bytes without a pattern, the same in every run (xorshift).
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

/// Payload of a block unless a single message is longer.
const BLOCK_BYTES: usize = 256 * 1024;
const STAMP_BYTES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::wire::Stripper;

    fn stream(block: &mut Block, blocks: u64) -> Vec<u8> {
        (0..blocks).flat_map(|number| block.next(Cursor { number, at: 0 }, usize::MAX).to_vec()).collect()
    }

    #[test]
    fn every_wrapping_carries_the_same_payload() {
        for message in [64, 1024, 64 * 1024, 1024 * 1024] {
            let bare = stream(&mut Block::new(message, Wrapping::Bare), 3);
            let framed = stream(&mut Block::new(message, Wrapping::ServerFrames), 3);
            let mut payload = Vec::new();
            let fed = Stripper::default().feed(&framed, |piece| {
                payload.extend_from_slice(piece);
                Ok(())
            });
            assert!(fed.is_ok() && payload == bare);

            let masked = stream(&mut Block::new(message, Wrapping::ClientFrames), 3);
            let header = framed.len() / (bare.len() / message) - message;
            let unmasked: Vec<u8> = masked
                .chunks(message + header + 4)
                .flat_map(|frame| frame[header + 4..].iter().enumerate().map(|(at, byte)| byte ^ KEY[at % 4]))
                .collect();
            assert!(unmasked == bare);
        }
    }

    #[test]
    fn a_lost_block_and_a_swapped_byte_are_seen() {
        let mut block = Block::new(1024, Wrapping::Bare);
        let good = stream(&mut block, 3);
        let length = block.len();
        for piece in [1, 7, 1000, length] {
            let mut cursor = Cursor::default();
            assert!(good.chunks(piece).all(|data| block.check(&mut cursor, data)));
            assert_eq!((cursor.number, cursor.at), (3, 0));
        }
        let lost = [&good[..length], &good[2 * length..]].concat();
        assert!(!block.check(&mut Cursor::default(), &lost));
        let mut bent = good.clone();
        bent[2 * length + 99] ^= 1;
        assert!(!block.check(&mut Cursor::default(), &bent));
    }
}
