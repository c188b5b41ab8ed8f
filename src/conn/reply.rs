//! An error of HTTP on its way to the client, which ends the connection.

use std::time::{SystemTime, UNIX_EPOCH};

use super::client::Client;
use super::cx::{Cx, Turn};
use super::delivery::LINGER;
use super::end::End;
use crate::http::conditional::date;
use crate::http::refusal::Refusal;
use crate::timers::Tick;

/// An answer that is queued for the client and not yet written.
#[derive(Debug)]
pub struct Reply {
    deadline: Tick,
}

impl Reply {
    /// Queues the answer. With `head_only` (for HEAD) its body is left out.
    pub fn begin(refusal: &Refusal, head_only: bool, client: &mut Client, cx: &Cx<'_>) -> Reply {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        cx.metrics.answered(refusal.status.index());
        client.out.push(&refusal.response(&date(now), head_only));
        Reply { deadline: cx.now.after(LINGER) }
    }

    /// Writes as much as the client accepts; done when everything is written.
    ///
    /// # Errors
    /// The client's connection broke.
    pub fn step(self, client: &mut Client, cx: &mut Cx<'_>) -> Result<Turn<Reply, ()>, End> {
        match client.flush_out(cx.rings) {
            Ok(true) => Ok(Turn::Done(())),
            Ok(false) => Ok(Turn::Wait(self)),
            Err(broken) => Err(End::client_lost(broken)),
        }
    }

    /// The deadline for the client to read it.
    pub fn deadline(&self) -> Tick {
        self.deadline
    }
}
