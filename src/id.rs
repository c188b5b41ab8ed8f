//! Names of connections, and how a name and a side share one `mio::Token`; and the names by which operators
//! know sessions, the same in logs and everywhere else.
//!
//! Slots of the slab are reused; a generation is not, for four billion connections in one slot. So a late
//! event, timer or helper's answer meets a different generation and is dropped.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::str::FromStr;

/// Which connection of a reactor: its slot in the slab and the slot's generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnId {
    /// Index in the slab, below [`SLOTS_MAX`].
    pub slot: u32,
    /// How many connections used the slot before, modulo 2^32.
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

impl Side {
    /// Its name in logs.
    pub fn name(self) -> &'static str {
        match self {
            Side::Client => "client",
            Side::Target => "target",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
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

/// Identifies a running gateway: a random number chosen at startup, so that two processes never use the same
/// session name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Instance(u32);

impl Instance {
    /// Chooses one at random.
    pub fn draw() -> Instance {
        // The seeds of the standard library's hash maps are the system's random numbers.
        Instance(RandomState::new().build_hasher().finish() as u32)
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// The name of a session, for operators: `5f3a9c21-0-1a2b-7` is slot 0x1a2b of reactor 0 of one gateway, the seventh
/// connection in there. No two sessions have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionName {
    /// The process.
    pub instance: Instance,
    /// The index of its reactor.
    pub worker: u32,
    /// The connection there.
    pub id: ConnId,
}

impl SessionName {
    /// The longest name, in bytes.
    pub const LEN_MAX: usize = 8 + 1 + 10 + 1 + 8 + 1 + 8;
}

impl fmt::Display for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SessionName { instance, worker, id: ConnId { slot, generation } } = self;
        write!(f, "{instance}-{worker}-{slot:x}-{generation:x}")
    }
}

/// The text is not the name of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoName;

impl fmt::Display for NoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no name of a session")
    }
}

impl std::error::Error for NoName {}

impl FromStr for SessionName {
    type Err = NoName;

    /// Reads a name as [`SessionName`] writes it, and in no other spelling, so that equal names are equal texts.
    fn from_str(text: &str) -> Result<SessionName, NoName> {
        let mut parts = text.split('-');
        let mut number = |radix| {
            let part = parts.next()?;
            u32::from_str_radix(part, radix).ok()
        };
        let mut name = || {
            Some(SessionName {
                instance: Instance(number(16)?),
                worker: number(10)?,
                id: ConnId { slot: number(16)?, generation: number(16)? },
            })
        };
        name().filter(|name| name.to_string() == text).ok_or(NoName)
    }
}

/// The number of slots that fit into a token; higher tokens belong to the reactor itself.
pub const SLOTS_MAX: u32 = (1 << 31) - 16;

// A token carries 31 bits of slot, 32 of generation and one of side.
const _: () = assert!(usize::BITS == 64, "websockify needs a 64-bit machine");

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers in which every length and every digit occurs.
    fn numbers() -> Vec<u32> {
        let mut number = 1_u32;
        let mut next = move || {
            number = number.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
            number >> (number % 32)
        };
        (0..300).map(|_| next()).chain([0, 1, 0xf, 0x10, u32::MAX]).collect()
    }

    #[test]
    fn the_name_of_a_session_is_read_back_as_what_it_was_made_of_and_in_no_other_spelling() {
        let numbers = numbers();
        for (n, &slot) in numbers.iter().enumerate() {
            let at = |by: usize| numbers[(n * by + by) % numbers.len()];
            let id = ConnId { slot, generation: at(3) };
            let name = SessionName { instance: Instance(at(5)), worker: at(7) % 256, id };
            let text = name.to_string();
            assert_eq!(text.parse(), Ok(name), "{text}");
            assert!(text.len() <= SessionName::LEN_MAX, "{text}");
            // Whatever one character is changed to, the text is refused or is another name.
            for at in 0..text.len() {
                for sign in ["0", "a", "A", "+", "-", " ", "", "x", "00"] {
                    let other = format!("{}{sign}{}", &text[..at], &text[at + 1..]);
                    if let Ok(read) = other.parse::<SessionName>() {
                        assert_eq!(read.to_string(), other);
                        assert_eq!(read == name, other == text, "{other} for {text}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_no_name_of_a_session_is_refused() {
        for text in [
            "",
            "-",
            "---",
            "5f3a9c21",
            "5f3a9c21-0-1a2b",
            "5f3a9c21-0-1a2b-7-",
            "5f3a9c21-0-1a2b-7-1",
            "5F3a9c21-0-1a2b-7",
            "f3a9c21-0-1a2b-7",
            "05f3a9c21-0-1a2b-7",
            "5f3a9c21-00-1a2b-7",
            "5f3a9c21-+0-1a2b-7",
            "5f3a9c21-0-01a2b-7",
            "5f3a9c21-0-1a2b-100000000",
            "5f3a9c21-0-1a2b-7\n",
            "5f3a9c21-0-1a2b-\u{661}",
        ] {
            assert_eq!(text.parse::<SessionName>(), Err(NoName), "{text}");
        }
        let name: SessionName = "5f3a9c21-0-1a2b-7".parse().expect("a name");
        assert_eq!((name.worker, name.id), (0, ConnId { slot: 0x1a2b, generation: 7 }));
    }

    #[test]
    fn processes_draw_different_numbers() {
        let drawn: std::collections::HashSet<Instance> = (0..64).map(|_| Instance::draw()).collect();
        assert!(drawn.len() > 60, "{} of 64 differ", drawn.len());
    }

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
