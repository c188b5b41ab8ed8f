//! The WebSocket protocol (RFC 6455), server side: the opening handshake, frames in, frames out.
//!
//! The relay carries a byte stream, so messages are never assembled: the decoder hands on payload as it
//! comes, and the encoder makes each chunk a message of its own.

pub mod decode;
pub mod encode;
pub mod handshake;
pub mod mask;

/// Close codes that this program sends or reports (RFC 6455, 7.4.1, and the IANA registry).
pub mod code {
    /// The session is over and all data has been delivered.
    pub const NORMAL: u16 = 1000;
    /// The server is shutting down.
    pub const GOING_AWAY: u16 = 1001;
    /// The peer broke the framing rules.
    pub const PROTOCOL_ERROR: u16 = 1002;
    /// The peer sent a kind of data that is not served here (text).
    pub const UNSUPPORTED: u16 = 1003;
    /// Stands for a Close frame without a code; never sent.
    pub const NO_STATUS: u16 = 1005;
    /// Stands for a connection that ended without a Close frame; never sent.
    pub const ABNORMAL: u16 = 1006;
    /// The peer sent text that is not UTF-8.
    pub const INVALID_DATA: u16 = 1007;
    /// The target could not be reached or broke the connection.
    pub const INTERNAL_ERROR: u16 = 1011;
}

/// The largest payload of a control frame, in bytes (RFC 6455, 5.5).
pub const CONTROL_MAX: usize = 125;

/// What a frame is (RFC 6455, 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// A further fragment of a message.
    Continuation = 0,
    /// A text message, or its first fragment.
    Text = 1,
    /// A binary message, or its first fragment.
    Binary = 2,
    /// The end of the connection.
    Close = 8,
    /// Must be answered by a pong with the same payload.
    Ping = 9,
    /// An answer to a ping, or a one-way sign of life.
    Pong = 10,
}

impl Opcode {
    /// The opcode in the low four bits of a frame's first byte; `None` for the reserved ones.
    pub const fn from_bits(bits: u8) -> Option<Opcode> {
        Some(match bits & 0x0f {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            _ => return None,
        })
    }

    /// Whether frames of this kind may come between the fragments of a message.
    pub const fn is_control(self) -> bool {
        self as u8 >= Opcode::Close as u8
    }
}
