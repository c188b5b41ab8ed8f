//! The interface to a reactor from other threads: the messages to it and its notices.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mio::Waker;

use super::accept::Placed;
use super::walk::{Page, Query};
use crate::conn::cx::Answer;
use crate::conn::end::End;
use crate::conn::frontend::Frontend;
use crate::conn::row::{Ending, Filter, Row};
use crate::id::ConnId;
use crate::metrics::Metrics;
use crate::net::listen::Peer;
use crate::net::socket::Io;

/// What other threads can tell a reactor.
pub enum Control {
    /// From now on the clients of each listener get this. Sessions keep what they began with.
    #[allow(dead_code, reason = "for reloading by SIGHUP")]
    #[allow(dead_code, reason = "for reloading by SIGHUP")]
    Frontends(Frontends),
    /// Answer with [`Notice::Alive`].
    Ping,
    /// Answer there.
    Probe(Sender<Vitals>),
    /// List sessions.
    List {
        /// Which ones.
        query: Arc<Query>,
        /// Who gets the list.
        answer: Sender<Page>,
    },
    /// Describe one session.
    One {
        /// Which one.
        id: ConnId,
        /// Gets its row; `None` if it is gone, or is not a session.
        answer: Sender<Option<Row>>,
    },
    /// End one session.
    End {
        /// Which one.
        id: ConnId,
        /// Why.
        ending: Ending,
        /// Gets whether it existed.
        answer: Sender<bool>,
    },
    /// End all sessions of this kind.
    EndWhere {
        /// Which ones.
        filter: Arc<Filter>,
        /// Why.
        ending: Ending,
        /// Gets how many there were.
        answer: Sender<usize>,
    },
    /// Accept no more, and end when the last connection has ended by itself.
    Finish,
    /// The same for sessions that have a target; all others are sent away, and cut after this time.
    Outlive(Duration),
    /// Accept no more, send every client away, and cut what is left after this time.
    Drain(Duration),
}

/// A reactor's answer to a [`Control::Probe`].
#[derive(Clone, Copy, Debug)]
pub struct Vitals {
    /// Which one it is.
    pub reactor: usize,
    /// Bytes that it holds for peers that do not read.
    pub held_bytes: usize,
    /// Bytes of its rings that wait for their next use.
    pub rings_bytes: usize,
}

/// What the clients of each listener get, in the order of the listeners.
pub type Frontends = Arc<[Arc<Frontend>]>;

/// What a reactor tells the process.
#[derive(Debug)]
pub enum Notice {
    /// The reactor of this index has come to a [`Control::Ping`].
    Alive(usize),
    /// A reactor has sent every client away ([`Control::Drain`]): none is told anything else now.
    Drained,
    /// A WebSocket session has ended.
    SessionEnded(Peer),
    /// The reactor of this index has ended, because it was told to or because of an error.
    ReactorEnded(usize, io::Result<()>),
}

/// Passes notices on, from the reactor's thread.
pub type Notify = Box<dyn Fn(Notice) + Send>;

/// The way into a reactor from any thread.
#[derive(Clone)]
pub struct Handle {
    pub(super) mailbox: Arc<Mailbox>,
    /// The reactor's counters.
    pub metrics: Arc<Metrics>,
}

/// Where messages to one reactor are left.
pub(super) struct Mailbox {
    pub(super) sender: Mutex<Sender<Message>>,
    pub(super) waker: Waker,
}

/// A message to a reactor.
pub(super) enum Message {
    Accepted(Placed),
    Answer(ConnId, Answer),
    /// The connection must give up its place.
    Displaced(ConnId),
    Control(Control),
}

impl Handle {
    /// Tells the reactor something.
    pub fn control(&self, control: Control) {
        self.send(Message::Control(control));
    }

    /// The same for messages with an answer; false if the reactor has ended and there will be none.
    pub fn ask(&self, control: Control) -> bool {
        self.send(Message::Control(control))
    }

    /// Hands a client's socket over that came with the process. What it gets is told by the frontend with the
    /// index `door`; `number` counts it among the connections of the process.
    pub fn adopt(&self, io: Io, peer: Peer, door: usize, number: u64) {
        self.hand_over(Placed { io, peer, admitted: true, number, door });
    }

    /// Hands an accepted socket over. It counts as the reactor's from now on.
    pub(super) fn hand_over(&self, placed: Placed) {
        self.metrics.live.fetch_add(1, Ordering::Relaxed);
        if !self.send(Message::Accepted(placed)) {
            // It has ended because the process does, and counts no more by itself.
            self.metrics.live.fetch_sub(1, Ordering::Relaxed);
            self.metrics.accepted.add(1);
            self.metrics.ended(End::Shutdown.kind() as usize);
        }
    }

    pub(super) fn live(&self) -> usize {
        self.metrics.live.load(Ordering::Relaxed)
    }

    /// False if the reactor has ended.
    pub(super) fn send(&self, message: Message) -> bool {
        let sender = self.mailbox.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let heard = sender.send(message).is_ok();
        if heard {
            // A message that waits for the next event may wait for ever.
            let _ = (0..WAKES_MAX).find(|_| self.mailbox.waker.wake().is_ok());
        }
        heard
    }
}

/// How often a reactor is woken when the system reports that it can't be.
const WAKES_MAX: usize = 3;
