//! The rules that a client can break, each with the close code it earns.

use std::fmt;

use crate::ws::code;

/// A breach of the framing rules. Its `Display` is short enough to be a close frame's reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A frame without a mask (5.1).
    Unmasked,
    /// RSV1, RSV2 or RSV3 is set though no extension was negotiated (5.2).
    ReservedBits,
    /// An undefined opcode (5.2): 3 to 7 or 11 to 15.
    ReservedOpcode(u8),
    /// A control frame without FIN (5.5).
    FragmentedControl,
    /// A control frame of more than 125 bytes (5.5).
    OversizedControl,
    /// A length in more bytes than it needs (5.2).
    NonMinimalLength,
    /// A 64-bit length with the top bit set (5.2).
    OversizedLength,
    /// A continuation where no message is open (5.4).
    UnexpectedContinuation,
    /// A new message where a continuation is due (5.4).
    ExpectedContinuation,
    /// A text message: targets take bytes (RFC 6455 has 1003 for this).
    Text,
    /// A Close with a body of one byte (5.5.1).
    BadCloseBody,
    /// A close code that must not be sent (7.4).
    BadCloseCode(u16),
    /// A close reason that is not UTF-8 (5.5.1).
    BadCloseReason,
}

impl Violation {
    /// The close code to answer with.
    pub fn code(&self) -> u16 {
        match self {
            Violation::Text => code::UNSUPPORTED,
            Violation::BadCloseReason => code::INVALID_DATA,
            _ => code::PROTOCOL_ERROR,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Violation::Unmasked => "client frame is not masked",
            Violation::ReservedBits => "reserved bit is set",
            Violation::ReservedOpcode(opcode) => return write!(f, "reserved opcode {opcode}"),
            Violation::FragmentedControl => "control frame is fragmented",
            Violation::OversizedControl => "control frame is longer than 125 bytes",
            Violation::NonMinimalLength => "length is not in its shortest form",
            Violation::OversizedLength => "length has its top bit set",
            Violation::UnexpectedContinuation => "continuation without a message",
            Violation::ExpectedContinuation => "new message inside a fragmented one",
            Violation::Text => "text messages are not supported",
            Violation::BadCloseBody => "close frame has a body of one byte",
            Violation::BadCloseCode(code) => return write!(f, "invalid close code {code}"),
            Violation::BadCloseReason => "close reason is not valid UTF-8",
        })
    }
}
