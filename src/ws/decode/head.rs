//! One frame header, read from the bytes available so far (RFC 6455, 5.2).
//!
//! A pure function of a prefix, so that a violation is found at its first byte, however the stream is split.

use super::Violation;
use crate::ws::{CONTROL_MAX, Opcode};

/// The longest header of a masked frame, in bytes.
pub(super) const MAX: usize = 14;

/// A client's frame header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) fin: bool,
    pub(super) opcode: Opcode,
    /// The payload's length in bytes, below 2^63.
    pub(super) len: u64,
    pub(super) key: [u8; 4],
    /// The header's own length in bytes, at most [`MAX`].
    pub(super) size: usize,
}

impl Head {
    /// Reads the header at the start of `input`; `None` means that it is longer than `input`. `in_message`
    /// says whether a fragmented message is open, so that a continuation is due.
    #[inline]
    pub(super) fn read(input: &[u8], in_message: bool) -> Result<Option<Head>, Violation> {
        let Some(&first) = input.first() else { return Ok(None) };
        let opcode = opcode(first, in_message)?;
        let Some(&second) = input.get(1) else { return Ok(None) };
        let short = second & !MASK;
        if second & MASK == 0 {
            return Err(Violation::Unmasked);
        }
        if opcode.is_control() && usize::from(short) > CONTROL_MAX {
            return Err(Violation::OversizedControl);
        }
        if opcode == Opcode::Close && short == 1 {
            return Err(Violation::BadCloseBody);
        }
        let Some((len, key_at)) = length(short, &input[2..])? else { return Ok(None) };
        let Some(key) = input[key_at..].first_chunk() else { return Ok(None) };
        Ok(Some(Head { fin: first & FIN != 0, opcode, len, key: *key, size: key_at + key.len() }))
    }
}

/// Checks a frame's first byte.
#[inline]
fn opcode(first: u8, in_message: bool) -> Result<Opcode, Violation> {
    if first & RESERVED != 0 {
        return Err(Violation::ReservedBits);
    }
    let Some(opcode) = Opcode::from_bits(first) else {
        return Err(Violation::ReservedOpcode(first & 0x0f));
    };
    match opcode {
        Opcode::Close | Opcode::Ping | Opcode::Pong if first & FIN == 0 => Err(Violation::FragmentedControl),
        Opcode::Continuation if !in_message => Err(Violation::UnexpectedContinuation),
        Opcode::Text | Opcode::Binary if in_message => Err(Violation::ExpectedContinuation),
        Opcode::Text => Err(Violation::Text),
        _ => Ok(opcode),
    }
}

/// The payload's length and where in the header the key begins, from the short length and what follows it.
#[inline]
fn length(short: u8, rest: &[u8]) -> Result<Option<(u64, usize)>, Violation> {
    match short {
        126 => {
            let Some(long) = rest.first_chunk() else { return Ok(None) };
            match u16::from_be_bytes(*long) {
                0..=125 => Err(Violation::NonMinimalLength),
                len => Ok(Some((u64::from(len), 4))),
            }
        }
        127 => {
            if rest.first().is_some_and(|&top| top & 0x80 != 0) {
                return Err(Violation::OversizedLength);
            }
            let Some(long) = rest.first_chunk() else { return Ok(None) };
            match u64::from_be_bytes(*long) {
                0..=0xffff => Err(Violation::NonMinimalLength),
                len => Ok(Some((len, 10))),
            }
        }
        _ => Ok(Some((u64::from(short), 2))),
    }
}

const FIN: u8 = 0x80;

/// RSV1 to RSV3: no extension is ever negotiated, so they must be zero.
const RESERVED: u8 = 0x70;

const MASK: u8 = 0x80;
