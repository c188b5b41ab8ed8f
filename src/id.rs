//! Names of connections, and how a name and a side share one `mio::Token`.
//!
//! A slot of the slab is used again; a generation is not, for four billion connections of one slot. So an
//! event, a timer or a helper's answer that is late finds a different generation and is dropped.

use std::fmt;

/// Which connection of a reactor: its slot in the slab and the slot's generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnId {
    /// Index in the slab, below [`SLOTS_MAX`].
    pub slot: u32,
    /// How many connections had the slot before, modulo 2^32.
    pub generation: u32,
}

/// The two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The browser.
    Client,
    /// The server behind the gateway.
    Target,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Client => "client",
            Side::Target => "target",
        })
    }
}

impl ConnId {
    /// The token under which the socket of `side` is registered.
    pub fn token(self, side: Side) -> usize {
        let side = match side {
            Side::Client => 0,
            Side::Target => 1,
        };
        (self.generation as usize) << 32 | (self.slot as usize) << 1 | side
    }

    /// Reads a token made by [`ConnId::token`].
    pub fn from_token(token: usize) -> (ConnId, Side) {
        let side = if token & 1 == 0 { Side::Client } else { Side::Target };
        let slot = (token & u32::MAX as usize) >> 1;
        (ConnId { slot: slot as u32, generation: (token >> 32) as u32 }, side)
    }
}

/// Slots that a token has room for; the tokens above them belong to the reactor itself.
pub const SLOTS_MAX: u32 = (1 << 31) - 16;

// A token carries 31 bits of slot, 32 of generation and one of side.
const _: () = assert!(usize::BITS == 64, "websockify needs a 64-bit machine");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_gives_back_what_it_was_made_of() {
        for slot in [0, 1, 77, SLOTS_MAX - 1] {
            for generation in [0, 1, 0xdead_beef, u32::MAX] {
                for side in [Side::Client, Side::Target] {
                    let id = ConnId { slot, generation };
                    assert_eq!(ConnId::from_token(id.token(side)), (id, side));
                }
            }
        }
    }
}
