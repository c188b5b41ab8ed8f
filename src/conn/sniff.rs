//! The first byte decides: TLS or plain HTTP, on the same port.

use std::time::Duration;

use super::client::Client;
use super::end::End;
use super::{Cx, Turn};
use crate::net::socket::ReadEnd;
use crate::sniff::{self, Protocol};
use crate::timers::Tick;

/// Waiting for the first byte.
#[derive(Debug)]
pub struct Sniff {
    deadline: Tick,
}

impl Sniff {
    /// The clock starts now.
    pub fn begin(cx: &Cx<'_>) -> Sniff {
        Sniff { deadline: cx.now.after(FIRST_BYTE) }
    }

    /// Reads what is there and looks at its first byte; the bytes stay with the client.
    ///
    /// # Errors
    /// The client left.
    pub fn step(self, client: &mut Client, cx: &mut Cx<'_>) -> Result<Turn<Sniff, Protocol>, End> {
        if !client.socket.is_readable() {
            return Ok(Turn::Wait(self));
        }
        let mut ring = cx.rings.take();
        let result = client.socket.read(&mut ring.space()[..FIRST_READ_BYTES], cx.rings);
        let turn = match result {
            Ok(ReadEnd::Data(count)) => {
                client.kept = ring.space()[..count].to_vec();
                Ok(Turn::Done(sniff::classify(client.kept[0])))
            }
            Ok(ReadEnd::Blocked) => Ok(Turn::Wait(self)),
            Ok(ReadEnd::Eof) | Err(_) => Err(End::Probe),
        };
        cx.rings.give(ring);
        turn
    }

    /// When the first byte is overdue.
    pub fn deadline(&self) -> Tick {
        self.deadline
    }
}

/// Time from the accepting of a connection to its first byte.
pub const FIRST_BYTE: Duration = Duration::from_secs(3);

/// A request usually comes in one piece, with few frames behind it; the rest waits in the socket.
const FIRST_READ_BYTES: usize = 16 * 1024;
