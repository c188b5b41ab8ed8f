//! What a server sends, taken apart as it comes, however it is split; for tests that read without blocking.

use super::frame::{BINARY, CONTINUATION};

/// One piece of a server's stream.
#[derive(Debug)]
pub(crate) enum Piece<'a> {
    /// Payload of a data frame, or a part of it.
    Data(&'a [u8]),
    /// A control frame with its payload.
    Control(u8, &'a [u8]),
}

/// The state between two reads.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    /// A header, or a control frame, that is not whole yet.
    begun: Vec<u8>,
    /// Bytes that are left of a data frame.
    left: u64,
}

impl Pieces {
    /// Takes the next bytes apart. Panics at what no server may send.
    pub(crate) fn take(&mut self, mut bytes: &[u8], on: &mut impl FnMut(Piece<'_>)) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let count = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
                on(Piece::Data(&bytes[..count]));
                self.left -= count as u64;
                bytes = &bytes[count..];
                continue;
            }
            self.begun.push(bytes[0]);
            bytes = &bytes[1..];
            self.look(on);
        }
    }

    /// Whether the stream stands between two frames.
    pub(crate) fn is_between_frames(&self) -> bool {
        self.left == 0 && self.begun.is_empty()
    }

    /// Acts when what has begun is whole.
    fn look(&mut self, on: &mut impl FnMut(Piece<'_>)) {
        let &[first, second, ref rest @ ..] = &self.begun[..] else { return };
        assert_eq!(second & 0x80, 0, "a server's frames are not masked");
        assert_eq!(first & 0x70, 0, "reserved bits without an extension");
        let opcode = first & 0x0f;
        if opcode >= 8 {
            assert!(second < 126, "a control frame is short");
            if rest.len() == usize::from(second) {
                on(Piece::Control(opcode, rest));
                self.begun.clear();
            }
            return;
        }
        assert!(matches!(opcode, BINARY | CONTINUATION), "opcode {opcode}");
        let more = match second {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if rest.len() == more {
            let long = rest.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
            self.left = if more == 0 { u64::from(second) } else { long };
            self.begun.clear();
        }
    }
}
