//! Frames from server to client (RFC 6455, 5.2): never masked, never fragmented, with the shortest possible
//! headers.
//!
//! A data header is written right in front of payload that already lies in its buffer, so that header and
//! payload leave in one write and nothing is copied. Control frames are small and simply appended.

use super::{CONTROL_MAX, Opcode};

/// Room to leave before the payload for the longest data header, in bytes.
pub const HEADROOM: usize = 10;

/// The length in bytes of a server's data header for a payload of `len` bytes.
pub fn header_len(len: usize) -> usize {
    match len {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => HEADROOM,
    }
}

/// Writes the header of one unfragmented binary frame right before `buf[payload_at..payload_at + len]` and
/// returns the index where the frame starts.
///
/// # Panics
///
/// When `payload_at` leaves less than [`header_len`] bytes of room, or more than the buffer.
pub fn header_before(buf: &mut [u8], payload_at: usize, len: usize) -> usize {
    let start = payload_at - header_len(len);
    let header = &mut buf[start..payload_at];
    header[0] = FIN | Opcode::Binary as u8;
    match len {
        0..=125 => header[1] = len as u8,
        126..=0xffff => {
            header[1] = 126;
            header[2..].copy_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            header[1] = 127;
            header[2..].copy_from_slice(&(len as u64).to_be_bytes());
        }
    }
    start
}

/// Appends a ping. Payload beyond [`CONTROL_MAX`] bytes is cut.
pub fn ping(out: &mut Vec<u8>, payload: &[u8]) {
    control(out, Opcode::Ping, payload);
}

/// Appends a pong. Payload beyond [`CONTROL_MAX`] bytes is cut.
pub fn pong(out: &mut Vec<u8>, payload: &[u8]) {
    control(out, Opcode::Pong, payload);
}

/// Appends a close frame. Without a code the body is empty (a reason needs a code); a reason of more than
/// 123 bytes is cut between characters.
pub fn close(out: &mut Vec<u8>, code: Option<u16>, reason: &str) {
    let Some(code) = code else { return control(out, Opcode::Close, &[]) };
    let mut end = reason.len().min(REASON_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let reason = &reason.as_bytes()[..end];
    out.extend_from_slice(&[FIN | Opcode::Close as u8, (2 + reason.len()) as u8]);
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(reason);
}

fn control(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    let payload = &payload[..payload.len().min(CONTROL_MAX)];
    out.extend_from_slice(&[FIN | opcode as u8, payload.len() as u8]);
    out.extend_from_slice(payload);
}

/// The last frame of a message.
const FIN: u8 = 0x80;

/// A close frame's body is a code of two bytes and the reason.
const REASON_MAX: usize = CONTROL_MAX - 2;

#[cfg(test)]
mod tests {
    use super::*;

    /// The header that precedes a payload of `len` bytes.
    fn header(len: usize) -> Vec<u8> {
        let mut buf = vec![0xee; HEADROOM + 4];
        let start = header_before(&mut buf, HEADROOM, len);
        assert!(buf[..start].iter().all(|&byte| byte == 0xee), "room before the header is untouched");
        assert_eq!(buf[HEADROOM..], [0xee; 4], "payload is untouched");
        buf[start..HEADROOM].to_vec()
    }

    #[test]
    fn each_length_takes_the_shortest_header() {
        assert_eq!(header(0), [0x82, 0]);
        assert_eq!(header(125), [0x82, 125]);
        assert_eq!(header(126), [0x82, 126, 0, 126]);
        assert_eq!(header(256), [0x82, 126, 1, 0]);
        assert_eq!(header(0xffff), [0x82, 126, 0xff, 0xff]);
        assert_eq!(header(0x10000), [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        for len in [0, 1, 125, 126, 127, 0xffff, 0x10000, 1 << 32] {
            assert_eq!(header(len).len(), header_len(len));
        }
    }

    #[test]
    fn a_pong_is_the_one_in_the_rfc() {
        let mut out = Vec::new();
        ping(&mut out, b"Hello");
        pong(&mut out, b"Hello");
        assert_eq!(out, b"\x89\x05Hello\x8a\x05Hello");
    }

    #[test]
    fn control_frames_never_exceed_their_limit() {
        let mut out = Vec::new();
        pong(&mut out, &[7; 300]);
        assert_eq!(out.len(), 2 + CONTROL_MAX);
        assert_eq!(out[1], 125);
    }

    #[test]
    fn a_close_carries_code_and_reason() {
        let mut out = Vec::new();
        close(&mut out, Some(1000), "Target closed");
        assert_eq!(out, b"\x88\x0f\x03\xe8Target closed");
    }

    #[test]
    fn a_close_without_a_code_is_empty() {
        let mut out = Vec::new();
        close(&mut out, None, "unheard");
        assert_eq!(out, [0x88, 0]);
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let mut out = Vec::new();
        close(&mut out, Some(1011), &format!("{}é{}", "x".repeat(122), "y".repeat(50)));
        assert_eq!(out[1], 2 + 122);
        assert_eq!(out.len(), 4 + 122);
        assert!(std::str::from_utf8(&out[4..]).is_ok());
    }
}
