//! Accepting: one reactor owns the listener and places each connection at the reactor with the fewest, so
//! that sessions that last for days stay balanced, and any kind of listener can be shared.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Handle, LISTENER};
use crate::conn::Shared;
use crate::conn::end::End;
use crate::net::listen::{Listener, Peer};
use crate::net::socket::Io;
use crate::timers::Tick;

/// The listening socket, and the reactors among which its connections are placed.
pub(super) struct Acceptor {
    listener: Listener,
    /// Somebody is waiting.
    ready: bool,
    /// The system refused to accept, for want of descriptors for instance; the listener is not watched until
    /// then.
    retry_at: Tick,
    /// How many are accepted in this turn: twice as many as in the one before while somebody is always
    /// waiting, so that a single connection costs a single call and a crowd few turns.
    burst: usize,
    reactors: Vec<Handle>,
    limits: Limits,
}

/// How many connections there may be at a time.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// So many are served.
    pub connections_max: usize,
    /// So many more are told that there is no room; the rest is closed without a word.
    pub overflow_max: usize,
}

/// An accepted socket, and whether there is room for it.
pub(super) type Placed = (Io, Peer, bool);

impl Acceptor {
    /// Begins to watch `listener` with `poll`.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn new(
        listener: Listener,
        poll: BorrowedFd<'_>,
        reactors: Vec<Handle>,
        limits: Limits,
    ) -> io::Result<Acceptor> {
        listener.watch(poll, LISTENER.0, true)?;
        Ok(Acceptor { listener, ready: false, retry_at: Tick::NEVER, burst: 1, reactors, limits })
    }

    /// Takes in that somebody is waiting.
    pub(super) fn note(&mut self) {
        self.ready = true;
    }

    /// When to try again what the system refused.
    pub(super) fn retry_at(&self) -> Tick {
        self.retry_at
    }

    /// Whether [`Acceptor::accept`] has something to do; to be asked once a turn.
    pub(super) fn has_work(&mut self, now: Tick) -> bool {
        if !self.ready {
            self.burst = 1;
        }
        self.ready || now >= self.retry_at
    }

    /// Accepts what is waiting, as much as this turn may. What belongs to the reactor `own` goes to `kept`.
    pub(super) fn accept(
        &mut self,
        own: usize,
        poll: BorrowedFd<'_>,
        now: Tick,
        shared: &Shared,
        kept: &mut Vec<Placed>,
    ) {
        if now >= self.retry_at {
            let watched = self.listener.watch(poll, LISTENER.0, true).is_ok();
            self.retry_at = if watched { Tick::NEVER } else { now.after(ACCEPT_RETRY) };
        }
        if !std::mem::take(&mut self.ready) {
            return;
        }
        for _ in 0..self.burst {
            match self.listener.accept() {
                Ok((io, peer)) => self.place(own, io, peer, shared, kept),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.burst = 1;
                    return;
                }
                // The client left before it was accepted, or a signal came.
                Err(error) if is_of_the_connection(&error) => {}
                Err(error) => return self.pause(&error, poll, now, shared),
            }
        }
        self.burst = (self.burst * 2).min(ACCEPTS_MAX);
    }

    /// Gives a socket to the reactor with the fewest connections.
    fn place(&self, own: usize, io: Io, peer: Peer, shared: &Shared, kept: &mut Vec<Placed>) {
        let (mut live, mut fewest) = (0, (usize::MAX, 0));
        for (index, reactor) in self.reactors.iter().enumerate() {
            let count = reactor.live();
            live += count;
            fewest = fewest.min((count, index));
        }
        let reactor = &self.reactors[fewest.1];
        if live >= self.limits.connections_max + self.limits.overflow_max {
            // There is not even room to say that there is none.
            self.reactors[own].metrics.accepted.add(1);
            self.reactors[own].metrics.ended(End::Full.kind() as usize);
            shared.say_limited(&End::Full, |log| log.info(format_args!("{peer}: {}", End::Full)));
            return;
        }
        let admitted = live < self.limits.connections_max;
        if fewest.1 == own {
            reactor.metrics.live.fetch_add(1, Ordering::Relaxed);
            kept.push((io, peer, admitted));
        } else {
            reactor.hand_over(io, peer, admitted);
        }
    }

    /// Out of descriptors, most likely. What is waiting stays in the backlog for a while.
    fn pause(&mut self, error: &io::Error, poll: BorrowedFd<'_>, now: Tick, shared: &Shared) {
        let line = format_args!("accepting failed: {error}");
        shared.say_limited(&End::System(error.kind()), |log| log.info(line));
        // Told the level, the poll would report the same listener again and again.
        let _ = self.listener.watch(poll, LISTENER.0, false);
        self.retry_at = now.after(ACCEPT_RETRY);
    }
}

/// Errors of accept(2) that concern one connection only.
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Interrupted
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::TimedOut
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
    )
}

/// Connections accepted in one turn before those that are there have theirs.
const ACCEPTS_MAX: usize = 64;

/// Until accepting is tried again after the system refused.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
