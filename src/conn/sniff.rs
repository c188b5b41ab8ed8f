//! The first byte decides: TLS or plain HTTP, on the same port.

use std::time::Duration;

use super::client::Client;
use super::cx::{Cx, Turn};
use super::end::End;
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

    /// Looks at the first byte; it and what came with it stay with the client.
    ///
    /// # Errors
    /// The client left.
    pub fn step(self, client: &mut Client, cx: &mut Cx<'_>) -> Result<Turn<Sniff, Protocol>, End> {
        if client.kept.is_empty() {
            if !client.socket.is_readable() {
                return Ok(Turn::Wait(self));
            }
            match client.read_more(cx) {
                Ok(true) => {}
                Ok(false) => return Ok(Turn::Wait(self)),
                Err(_) => return Err(End::Probe),
            }
        }
        Ok(Turn::Done(sniff::classify(client.kept[0])))
    }

    /// When the first byte is overdue.
    pub fn deadline(&self) -> Tick {
        self.deadline
    }
}

/// Time from the accepting of a connection to its first byte. On a lossy link a first packet is retransmitted
/// after 1, 3 and 7 seconds.
pub const FIRST_BYTE: Duration = Duration::from_secs(10);
