//! WebSocket frames (RFC 6455 section 5.2) written and read by hand, the broken ones included.

use super::flow::masked_at;
use super::wire::Wire;

/// The masking key, where a test does not choose another.
pub(crate) const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Continuation, text, binary, close, ping and pong.
pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// One frame, as it is sent or as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The last of its message.
    pub(crate) fin: bool,
    /// The reserved bits, as the three bits of a number.
    pub(crate) rsv: u8,
    /// The four bits of the opcode.
    pub(crate) opcode: u8,
    /// The masking key; `None` for an unmasked frame.
    pub(crate) mask: Option<[u8; 4]>,
    /// How the length is written.
    pub(crate) length: Length,
    /// The payload, unmasked.
    pub(crate) payload: Vec<u8>,
}

/// The encoding of a frame's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// The shortest that fits.
    Minimal,
    /// In two bytes, also if one would do.
    Sixteen,
    /// In eight bytes, also if fewer would do.
    SixtyFour,
    /// This number in eight bytes, whatever the payload's length.
    Announced(u64),
}

impl Frame {
    /// A masked, final frame, as a client sends it.
    pub(crate) fn new(opcode: u8, payload: &[u8]) -> Self {
        Self {
            fin: true,
            rsv: 0,
            opcode,
            mask: Some(KEY),
            length: Length::Minimal,
            payload: payload.to_vec(),
        }
    }

    /// A binary message in one frame.
    pub(crate) fn binary(payload: &[u8]) -> Self {
        Self::new(BINARY, payload)
    }

    /// A close frame with a code and a reason.
    pub(crate) fn close(code: u16, reason: &str) -> Self {
        Self::new(CLOSE, &[&code.to_be_bytes(), reason.as_bytes()].concat())
    }

    /// The same, not the last of its message.
    pub(crate) fn more(mut self) -> Self {
        self.fin = false;
        self
    }

    /// The same with reserved bits set.
    pub(crate) fn rsv(mut self, bits: u8) -> Self {
        self.rsv = bits;
        self
    }

    /// The same with its length written as told.
    pub(crate) fn length(mut self, length: Length) -> Self {
        self.length = length;
        self
    }

    /// The same without a mask.
    pub(crate) fn unmasked(mut self) -> Self {
        self.mask = None;
        self
    }

    /// The bytes on the wire.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head(self.payload.len());
        let start = bytes.len();
        bytes.extend_from_slice(&self.payload);
        apply_mask(&mut bytes[start..], self.mask.unwrap_or_default());
        bytes
    }

    /// The bytes of a binary message that carries `count` bytes of the test pattern.
    pub(crate) fn pattern(position: u64, count: usize) -> Vec<u8> {
        let mut bytes = Self::binary(&[]).head(count);
        bytes.extend_from_slice(&masked_at(position)[..count]);
        bytes
    }

    /// What comes before `count` bytes of payload.
    fn head(&self, count: usize) -> Vec<u8> {
        let mut bytes = vec![u8::from(self.fin) << 7 | self.rsv << 4 | self.opcode];
        let count = count as u64;
        let masked = u8::from(self.mask.is_some()) << 7;
        match self.length {
            Length::Minimal if count < 126 => bytes.push(masked | count as u8),
            Length::Minimal if count < 65536 => extend_16(&mut bytes, masked, count),
            Length::Sixteen => extend_16(&mut bytes, masked, count),
            Length::Minimal | Length::SixtyFour => extend_64(&mut bytes, masked, count),
            Length::Announced(announced) => extend_64(&mut bytes, masked, announced),
        }
        bytes.extend_from_slice(&self.mask.map_or(vec![], Vec::from));
        bytes
    }

    /// Code and reason of a close frame; no code when its payload is empty.
    pub(crate) fn close_reason(&self) -> (Option<u16>, String) {
        assert_eq!(self.opcode, CLOSE, "expected a close frame, got {self:?}");
        let code = self.payload.first_chunk().map(|&code| u16::from_be_bytes(code));
        let reason = self.payload.get(2..).unwrap_or_default().to_vec();
        (code, String::from_utf8(reason).expect("a close reason is UTF-8"))
    }

    /// Reads the next frame of a server, and holds it to the RFC: unmasked, nothing reserved, minimal.
    pub(crate) fn read(wire: &mut Wire) -> Self {
        let head = wire.read_exactly(2);
        let (fin, rsv, opcode) = (head[0] & 0x80 != 0, head[0] >> 4 & 7, head[0] & 0x0f);
        assert_eq!(head[1] & 0x80, 0, "a server's frames are not masked: {head:02x?}");
        assert_eq!(rsv, 0, "reserved bits without an extension: {head:02x?}");
        assert!(matches!(opcode, 0..=2 | 8..=10), "reserved opcode: {head:02x?}");
        let count = match head[1] {
            126 => wire.read_exactly(2).iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte)),
            127 => wire.read_exactly(8).iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte)),
            short => u64::from(short),
        };
        let minimal = match count {
            0..126 => head[1] < 126,
            126..65536 => head[1] == 126,
            _ => head[1] == 127 && count >> 63 == 0,
        };
        assert!(minimal, "length {count} not in its shortest form: {head:02x?}");
        assert!(opcode < 8 || (fin && count < 126), "a control frame is short and whole: {head:02x?}");
        let payload = wire.read_exactly(usize::try_from(count).expect("a frame that fits in memory"));
        Self { fin, rsv, opcode, mask: None, length: Length::Minimal, payload }
    }
}

/// Masks or unmasks in place; the key's first byte belongs to the first of `bytes`.
pub(crate) fn apply_mask(bytes: &mut [u8], key: [u8; 4]) {
    let wide = u64::from_ne_bytes([key[0], key[1], key[2], key[3], key[0], key[1], key[2], key[3]]);
    let mut groups = bytes.chunks_exact_mut(8);
    for group in &mut groups {
        let value = u64::from_ne_bytes(group.try_into().expect("groups of eight")) ^ wide;
        group.copy_from_slice(&value.to_ne_bytes());
    }
    for (at, byte) in groups.into_remainder().iter_mut().enumerate() {
        *byte ^= key[at % 4];
    }
}

fn extend_16(bytes: &mut Vec<u8>, masked: u8, count: u64) {
    bytes.push(masked | 126);
    bytes.extend_from_slice(&u16::try_from(count).expect("fits in 16 bits").to_be_bytes());
}

fn extend_64(bytes: &mut Vec<u8>, masked: u8, count: u64) {
    bytes.push(masked | 127);
    bytes.extend_from_slice(&count.to_be_bytes());
}
