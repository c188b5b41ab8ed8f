//! The few bytes of HTTP and RFC 6455 that the load generator speaks, written apart from the library that
//! is being measured: a fault on one side is not hidden by the same fault on the other.

use std::io;

/// The client's request. Its key is the one of RFC 6455 section 1.3, so that the answer is a constant.
pub(crate) const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// The answer of a target behind a proxy that only moves bytes.
pub(crate) const ANSWER: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A client's Close 1000, and the server's answer to it.
pub(crate) const CLIENT_CLOSE: [u8; 8] =
    [0x88, 0x82, KEY[0], KEY[1], KEY[2], KEY[3], 0x03 ^ KEY[0], 0xe8 ^ KEY[1]];
pub(crate) const SERVER_CLOSE: [u8; 4] = [0x88, 0x02, 0x03, 0xe8];

/// The masking key of every client frame. Any non-zero key costs the proxy the same.
pub(crate) const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// True when `head` holds a whole request or response head.
pub(crate) fn head_is_whole(head: &[u8]) -> bool {
    head.ends_with(b"\r\n\r\n")
}

/// Checks a 101 and its accept key.
pub(crate) fn check_answer(head: &[u8]) -> io::Result<()> {
    let text = String::from_utf8_lossy(head);
    let accepted = text.lines().any(|line| {
        line.split_once(':').is_some_and(|(name, value)| {
            name.eq_ignore_ascii_case("sec-websocket-accept")
                && value.trim() == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        })
    });
    match text.starts_with("HTTP/1.1 101 ") && accepted {
        true => Ok(()),
        false => Err(io::Error::other(format!("not the answer to an upgrade: {text:?}"))),
    }
}

/// Appends the header of a binary message of `length` bytes.
pub(crate) fn put_header(out: &mut Vec<u8>, length: usize, key: Option<[u8; 4]>) {
    let bit = if key.is_some() { 0x80 } else { 0 };
    out.push(0x82);
    match (length, u16::try_from(length)) {
        (..=125, _) => out.push(bit | length as u8),
        (_, Ok(short)) => {
            out.push(bit | 126);
            out.extend(short.to_be_bytes());
        }
        _ => {
            out.push(bit | 127);
            out.extend((length as u64).to_be_bytes());
        }
    }
    out.extend(key.into_iter().flatten());
}

/// Appends a whole binary message, masked if there is a key.
pub(crate) fn put_frame(out: &mut Vec<u8>, payload: &[u8], key: Option<[u8; 4]>) {
    put_header(out, payload.len(), key);
    let key = key.unwrap_or_default();
    out.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]));
}

/// Takes the headers out of a server's stream, whatever pieces it arrives in.
#[derive(Default)]
pub(crate) struct Stripper {
    header: [u8; 10],
    have: usize,
    payload_left: u64,
    /// Data frames begun so far.
    pub(crate) frames: u64,
}

impl Stripper {
    /// Hands each piece of payload to `each`. An error for anything but unmasked data frames.
    pub(crate) fn feed<'d>(
        &mut self,
        mut data: &'d [u8],
        mut each: impl FnMut(&'d [u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        while !data.is_empty() {
            if self.payload_left > 0 {
                let (piece, rest) =
                    data.split_at(usize::try_from(self.payload_left).unwrap_or(usize::MAX).min(data.len()));
                self.payload_left -= piece.len() as u64;
                data = rest;
                each(piece)?;
                continue;
            }
            self.header[self.have] = data[0];
            self.have += 1;
            data = &data[1..];
            if let Some(length) = self.parsed()? {
                self.payload_left = length;
                self.have = 0;
                self.frames += 1;
            }
        }
        Ok(())
    }

    fn parsed(&self) -> io::Result<Option<u64>> {
        let [first, second, rest @ ..] = &self.header;
        if !matches!(first & 0x7f, 0 | 2) {
            return Err(io::Error::other(format!("a frame that carries no data: {:02x?}", &self.header)));
        }
        Ok(match (self.have, second) {
            (2, 0..=125) => Some(u64::from(*second)),
            (4, 126) => Some(u64::from(u16::from_be_bytes([rest[0], rest[1]]))),
            (10, 127) => Some(u64::from_be_bytes(*rest)),
            (2.., 128..) => return Err(io::Error::other("a server's frame is masked")),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_of_frames_is_stripped_at_every_split() {
        let payloads: [&[u8]; 4] = [&[1; 3], &[], &[2; 126], &[3; 70_000]];
        let mut wire = Vec::new();
        for payload in payloads {
            put_frame(&mut wire, payload, None);
        }
        for split in (0..wire.len()).filter(|at| *at < 200 || *at % 997 == 0) {
            let (mut stripper, mut out) = (Stripper::default(), Vec::new());
            for piece in [&wire[..split], &wire[split..]] {
                let fed = stripper.feed(piece, |bytes| {
                    out.extend_from_slice(bytes);
                    Ok(())
                });
                assert!(fed.is_ok());
            }
            assert!(out == payloads.concat(), "split at {split}");
            assert_eq!(stripper.frames, 4);
        }
    }

    #[test]
    fn a_close_where_data_is_due_is_an_error() {
        assert!(Stripper::default().feed(&SERVER_CLOSE, |_| Ok(())).is_err());
    }
}
