//! The kernel's buffers of a session, which are bounded as long as only one end waits.

use std::time::Duration;

use super::Relay;
use crate::conn::client::Client;
use crate::conn::cx::Cx;
use crate::id::Side;
use crate::timers::Tick;

/// The state of the kernel's buffers of a session's sockets.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct System {
    /// What the client sends is bounded.
    client: bool,
    /// What the target sends is bounded, or goes by what a far client takes.
    pub(super) target: bool,
    /// Nothing is bounded any more.
    released: bool,
}

impl Relay {
    /// Notes the size of a read: a buffer that may grow is bounded before it does.
    #[inline]
    pub(super) fn note_read(&mut self, from: Side, client: &Client, count: usize) {
        let is_bounded = match from {
            Side::Client => self.system.client,
            Side::Target => self.system.target,
        };
        if count >= GROWS_BYTES && !is_bounded {
            self.bound_unread(from, client);
        }
    }

    #[cold]
    fn bound_unread(&mut self, from: Side, client: &Client) {
        match from {
            Side::Client => {
                self.system.client = true;
                client.socket.bound_unread();
            }
            Side::Target => {
                self.system.target = true;
                if let Some(target) = &self.target {
                    target.bound_unread();
                }
            }
        }
    }

    /// When both ends will have waited so long that they may be waiting for each other; `Tick::NEVER` while
    /// one does not wait.
    pub(super) fn release_at(&self) -> Tick {
        let since = self.up.stalled_at.max(self.down.stalled_at);
        if since == Tick::NEVER || self.system.released { Tick::NEVER } else { since.after(EACH_OTHER) }
    }

    /// Ends that wait for each other get the kernel's full buffers, and what they refused is offered once
    /// more.
    pub(super) fn look_at_waits(&mut self, client: &mut Client, cx: &Cx<'_>) {
        if cx.now < self.release_at() {
            return;
        }
        self.system = System { client: true, target: true, released: true };
        self.down.set_fresh(None);
        client.socket.unbind();
        if let Some(target) = &mut self.target {
            target.unbind();
        }
    }
}

/// A smaller read does not make the buffer that it came from grow.
const GROWS_BYTES: usize = 4 * 1024;

/// Two ends that have read next to nothing for this long, each while bytes wait for it, may be waiting for
/// each other.
const EACH_OTHER: Duration = Duration::from_millis(250);
