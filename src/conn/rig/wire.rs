//! What a client puts on the wire and what it reads there: masked frames out, a strict reader in. Written
//! apart from the gateway's own encoder and decoder, so that they can't be wrong together.

/// A request for an upgrade, as short as it may be.
pub const REQUEST: &[u8] = b"GET /websockify HTTP/1.1\r\nHost: gateway\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// The first byte of a whole binary frame.
pub const BINARY: u8 = 0x82;
/// The first byte of a whole text frame.
pub const TEXT: u8 = 0x81;
/// The first byte of a Close.
pub const CLOSE: u8 = 0x88;
/// The first byte of a ping.
pub const PING: u8 = 0x89;
/// The first byte of a pong.
pub const PONG: u8 = 0x8a;

/// A client's frame with this first byte.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        len @ 0..=125 => out.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            out.push(0xfe);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            out.push(0xff);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&KEY);
    out.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

/// A client's Close.
pub fn close(code: u16, reason: &str) -> Vec<u8> {
    frame(CLOSE, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

/// What a client has received, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// The status of the HTTP answer; `None` when its head is not whole.
    pub status: Option<u16>,
    /// The payload of all data frames, a frame that is cut at the end included.
    pub data: Vec<u8>,
    /// Payloads of whole pings.
    pub pings: Vec<Vec<u8>>,
    /// Payloads of whole pongs.
    pub pongs: Vec<Vec<u8>>,
    /// Code and reason of a whole Close.
    pub close: Option<(Option<u16>, String)>,
    /// Whether the last frame is cut.
    pub is_cut: bool,
}

impl Received {
    /// Takes apart all that a client has received so far.
    ///
    /// # Panics
    /// When the bytes break a rule of HTTP or of RFC 6455 for servers.
    pub fn read(bytes: &[u8]) -> Received {
        let mut received = Received::default();
        let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else { return received };
        let head = std::str::from_utf8(&bytes[..end]).expect("a head is text");
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).expect("a status line");
        let status = status.parse().expect("a status");
        received.status = Some(status);
        if status == 101 {
            received.read_frames(&bytes[end + 4..]);
        }
        received
    }

    fn read_frames(&mut self, mut bytes: &[u8]) {
        while let Some(&first) = bytes.first() {
            assert_eq!(self.close, None, "a frame follows a Close");
            let Some((header, len)) = header(bytes) else {
                self.is_cut = true;
                return;
            };
            let body = &bytes[header..bytes.len().min(header.saturating_add(len))];
            self.is_cut = body.len() < len;
            match first {
                BINARY => self.data.extend_from_slice(body),
                _ if self.is_cut => {}
                PING => self.pings.push(body.to_vec()),
                PONG => self.pongs.push(body.to_vec()),
                CLOSE => self.close = Some(read_close(body)),
                _ => panic!("a server never sends a frame that begins with {first:#04x}"),
            }
            bytes = &bytes[header + body.len()..];
        }
    }
}

/// The length of a server's frame header, and of what follows it; `None` when the header is cut.
fn header(bytes: &[u8]) -> Option<(usize, usize)> {
    let second = *bytes.get(1)?;
    assert_eq!(second & 0x80, 0, "a server never masks");
    let (header, len) = match second {
        126 => (4, usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?))),
        127 => (10, u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?) as usize),
        len => (2, usize::from(len)),
    };
    assert!(header == 2 || bytes[0] & 8 == 0, "a control frame is too long");
    assert!(header != 4 || len > 125, "a length of {len} is not as short as can be");
    assert!(header != 10 || len > 0xffff, "a length of {len} is not as short as can be");
    Some((header, len))
}

fn read_close(body: &[u8]) -> (Option<u16>, String) {
    match body.split_first_chunk() {
        Some((code, reason)) => {
            let reason = std::str::from_utf8(reason).expect("a reason is text");
            (Some(u16::from_be_bytes(*code)), reason.into())
        }
        None => {
            assert!(body.is_empty(), "a Close of one byte");
            (None, String::new())
        }
    }
}

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
