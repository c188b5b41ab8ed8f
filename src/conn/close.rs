//! Closing both sockets cleanly: after the last bytes, shut down the writing side, read and drop what still
//! comes, and close when the peer has ended its side, too, or at a deadline.
//!
//! A socket that is closed while unread input is waiting sends a reset, and a reset destroys what was sent
//! before it and not yet received. So neither side is closed while its peer may still miss something: the
//! deadline counts only once the peer's side has acknowledged everything.

use super::client::{Client, discard};
use super::cx::{Cx, Turn};
use super::delivery::{Delivery, LINGER};
use crate::net::socket::ReadEnd;
use crate::net::transport::Transport;
use crate::timers::Tick;

/// Both sockets while they are being closed.
#[derive(Debug)]
pub struct Close {
    client: Linger,
    target: Option<(Transport, Linger)>,
}

impl Close {
    /// Ends the writing side of both ends. The socket of a client that has ended its side (`is_done`) is
    /// closed at once if it has everything but the last few bytes: there is nothing to wait for, and the
    /// system delivers them with the end. A Close frame is not enough: some clients send more after it, and
    /// the reset would destroy our answer.
    pub fn begin(client: &mut Client, is_done: bool, target: Option<Transport>, cx: &mut Cx<'_>) -> Close {
        client.kept = Vec::new();
        let mut linger = Linger::new(cx.now);
        if is_done && client.socket.is_drained() && client.socket.unacknowledged() <= LAST_BYTES {
            client.socket.close(cx.rings);
            linger.done = true;
        } else {
            client.socket.shutdown_write(cx.rings);
        }
        let target = target.map(|mut target| {
            target.shutdown_write(cx.rings);
            (target, Linger::new(cx.now))
        });
        Close { client: linger, target }
    }

    /// Drops what comes; done when both ends have nothing more to say.
    pub fn step(&mut self, client: &mut Client, cx: &mut Cx<'_>) -> Turn<(), ()> {
        let mut ring = cx.rings.take();
        self.client.step(&mut client.socket, ring.space(), cx);
        if let Some((socket, linger)) = &mut self.target {
            linger.step(socket, ring.space(), cx);
        }
        cx.rings.give(ring);
        self.drop_finished_target(cx);
        match (self.client.done, &self.target) {
            (true, None) => return Turn::Done(()),
            // It is no longer needed, however long the target takes.
            (true, Some(_)) => client.socket.close(cx.rings),
            (false, _) => {}
        }
        Turn::Wait(())
    }

    /// Checks whether the peers still read what was sent; gives up on those that are done or don't.
    pub fn expired(&mut self, client: &Client, cx: &mut Cx<'_>) {
        self.client.expired(&client.socket, cx);
        if let Some((socket, linger)) = &mut self.target {
            linger.expired(socket, cx);
        }
    }

    /// When to call [`Close::expired`].
    pub fn deadline(&self) -> Tick {
        let target = self.target.as_ref().map_or(Tick::NEVER, |(_, linger)| linger.deadline());
        self.client.deadline().min(target)
    }

    /// The target's socket, for events, and for what is held when the connection is cut.
    pub fn target(&mut self) -> Option<&mut Transport> {
        self.target.as_mut().map(|(socket, _)| socket)
    }

    /// Bytes that are held for the target.
    pub fn held_bytes(&self) -> usize {
        self.target.as_ref().map_or(0, |(socket, _)| socket.held_bytes())
    }

    /// When either end last read something: the earlier of the two.
    pub fn stalled_at(&self) -> Tick {
        let target = self.target.as_ref().map_or(Tick::NEVER, |(_, linger)| linger.delivery.progress_at);
        self.client.delivery.progress_at.min(target)
    }

    fn drop_finished_target(&mut self, cx: &mut Cx<'_>) {
        if let Some((socket, linger)) = &mut self.target
            && linger.done
        {
            socket.retire(cx.rings);
            self.target = None;
        }
    }
}

/// One socket whose writing side has been ended.
#[derive(Debug)]
struct Linger {
    done: bool,
    look_at: Tick,
    /// Enough was dropped for this tick; a peer that floods must not keep a reactor busy with it.
    rest_until: Tick,
    delivery: Delivery,
}

impl Linger {
    fn new(now: Tick) -> Linger {
        Linger {
            done: false,
            look_at: now.after(LINGER / 2),
            rest_until: Tick::NEVER,
            delivery: Delivery::new(now),
        }
    }

    fn step(&mut self, socket: &mut Transport, space: &mut [u8], cx: &mut Cx<'_>) {
        if self.done {
            return;
        }
        if socket.flush(cx.rings).is_err() {
            self.done = true;
            return;
        }
        if self.rest_until != Tick::NEVER {
            if cx.now < self.rest_until {
                return;
            }
            self.rest_until = Tick::NEVER;
        }
        match discard(socket, space, DISCARD_BYTES, cx.rings) {
            Ok(ReadEnd::Blocked) if !socket.is_readable() => {}
            Ok(ReadEnd::Blocked | ReadEnd::Data(_)) => self.rest_until = cx.now.plus(1),
            Ok(ReadEnd::Eof) | Err(_) => self.done = true,
        }
    }

    fn expired(&mut self, socket: &Transport, cx: &Cx<'_>) {
        if self.done || cx.now < self.look_at {
            return;
        }
        self.look_at = cx.now.after(LINGER / 2);
        self.done = self.delivery.is_over(socket.unacknowledged(), cx.now)
            || self.delivery.is_hopeless(socket.unanswered(), cx);
    }

    fn deadline(&self) -> Tick {
        if self.done { Tick::NEVER } else { self.look_at.min(self.rest_until) }
    }
}

/// The most bytes of the answer to a client's Close, header included (RFC 6455 section 5.5).
const LAST_BYTES: usize = 127;

/// Bytes dropped in a tenth of a second.
const DISCARD_BYTES: usize = 256 * 1024;
