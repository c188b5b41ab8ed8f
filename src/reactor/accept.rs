//! Accepting: one reactor owns the listeners and places each connection at the reactor with the fewest, so
//! that sessions that last for days stay balanced, and any kind of listener can be shared.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Handle;
use super::about;
use super::half_open::HalfOpen;
use super::handle::Message;
use crate::conn::end::End;
use crate::conn::shared::Shared;
use crate::id::{ConnId, SLOTS_MAX};
use crate::log::{Level, What, describe};
use crate::metrics::AcceptError;
use crate::net::listen::{Listener, Peer};
use crate::net::socket::Io;
use crate::timers::Tick;

/// The listening sockets, and the reactors among which their connections are placed.
pub(super) struct Acceptor {
    doors: Vec<Door>,
    /// Whether connections are waiting at any of them.
    ready: bool,
    /// When the first of those that are not watched is to be watched again.
    retry_at: Tick,
    reactors: Vec<Handle>,
    /// Connections beyond those served that still get a 503; any more are closed at once.
    overflow_max: usize,
    half_open: Arc<HalfOpen>,
}

/// What one turn of accepting means for the reactor that accepts.
#[derive(Default)]
pub(super) struct Arrivals {
    /// Its connections that have given their place away.
    pub(super) displaced: Vec<ConnId>,
    /// Sockets that were placed with it.
    pub(super) placed: Vec<Placed>,
}

/// One listening socket.
struct Door {
    listener: Listener,
    /// Connections are waiting.
    ready: bool,
    /// The system refused to accept, for example for lack of descriptors; the listener is not watched until
    /// then.
    retry_at: Tick,
    /// How many are accepted in this turn: twice as many as in the one before while connections are always
    /// waiting, so that a single connection costs a single call and a crowd few turns.
    burst: usize,
    /// The pass of the reactor's loop in which connections were waiting last.
    busy_at: u64,
    /// Connections in a row that were lost before they were accepted.
    errors: u8,
}

/// An accepted socket on its way to a reactor.
pub(super) struct Placed {
    pub(super) io: Io,
    pub(super) peer: Peer,
    /// Whether there is room for it.
    pub(super) admitted: bool,
    /// How many connections the process had accepted when it came, itself included.
    pub(super) number: u64,
    /// Index of the listener it came by.
    pub(super) door: usize,
}

impl Acceptor {
    /// Begins to watch the listeners with `poll`.
    ///
    /// # Errors
    /// The system's, or that there are more than [`DOORS_MAX`].
    pub(super) fn new(
        listeners: Vec<Listener>,
        poll: BorrowedFd<'_>,
        reactors: Vec<Handle>,
        overflow_max: usize,
        half_open: Arc<HalfOpen>,
    ) -> io::Result<Acceptor> {
        if listeners.len() > DOORS_MAX {
            return Err(io::Error::other(format!("more than {DOORS_MAX} listeners")));
        }
        let mut doors = Vec::with_capacity(listeners.len());
        for (index, listener) in listeners.into_iter().enumerate() {
            listener.watch(poll, token_of(index), true)?;
            doors.push(Door {
                listener,
                ready: false,
                retry_at: Tick::NEVER,
                burst: 1,
                busy_at: 0,
                errors: 0,
            });
        }
        Ok(Acceptor { doors, ready: false, retry_at: Tick::NEVER, reactors, overflow_max, half_open })
    }

    /// Notes that connections are waiting at the listener with this token.
    pub(super) fn note(&mut self, token: usize) {
        if let Some(door) = self.doors.get_mut(token - FIRST_DOOR) {
            door.ready = true;
            self.ready = true;
        }
    }

    /// When to try again what the system refused.
    pub(super) fn retry_at(&self) -> Tick {
        self.retry_at
    }

    /// Whether [`Acceptor::accept`] has something to do.
    #[inline]
    pub(super) fn has_work(&self, now: Tick) -> bool {
        self.ready || now >= self.retry_at
    }

    /// Accepts what is waiting, as much as this turn may. What the reactor `own` has to do for it goes to `own_part`.
    pub(super) fn accept(
        &mut self,
        own: usize,
        poll: BorrowedFd<'_>,
        now: Tick,
        pass: u64,
        shared: &Shared,
        own_part: &mut Arrivals,
    ) {
        self.ready = false;
        for index in 0..self.doors.len() {
            if self.open(index, poll, now, pass) {
                self.accept_at(index, own, poll, now, shared, own_part);
            }
        }
        self.retry_at = self.doors.iter().map(|door| door.retry_at).min().unwrap_or(Tick::NEVER);
    }

    /// Watches a listener again when it is time, and returns whether connections are waiting at it.
    fn open(&mut self, index: usize, poll: BorrowedFd<'_>, now: Tick, pass: u64) -> bool {
        let door = &mut self.doors[index];
        if now >= door.retry_at {
            let watched = door.listener.watch(poll, token_of(index), true).is_ok();
            door.retry_at = if watched { Tick::NEVER } else { now.after(ACCEPT_RETRY) };
        }
        if !std::mem::take(&mut door.ready) {
            return false;
        }
        if door.busy_at.wrapping_add(1) != pass {
            // None were waiting in between: a single connection costs a single call.
            door.burst = (door.burst / 2).max(1);
        }
        door.busy_at = pass;
        true
    }

    fn accept_at(
        &mut self,
        index: usize,
        own: usize,
        poll: BorrowedFd<'_>,
        now: Tick,
        shared: &Shared,
        own_part: &mut Arrivals,
    ) {
        for _ in 0..self.doors[index].burst {
            match self.doors[index].listener.accept() {
                Ok((io, peer)) => {
                    self.doors[index].errors = 0;
                    self.place(own, index, io, peer, shared, own_part);
                    if !own_part.displaced.is_empty() {
                        // The newcomer is to be counted before the next one is looked at.
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.doors[index].burst = 1;
                    return;
                }
                // The client left before it was accepted, or a signal came.
                // A system that says so each time is asked again later.
                Err(error) if is_of_the_connection(&error) && self.doors[index].errors < ERRORS_MAX => {
                    self.doors[index].errors += 1;
                }
                Err(error) => return self.pause(index, own, &error, poll, now, shared),
            }
        }
        let door = &mut self.doors[index];
        door.burst = (door.burst * 2).min(ACCEPTS_MAX);
    }

    /// Gives a socket to the reactor with the fewest connections.
    fn place(&self, own: usize, door: usize, io: Io, peer: Peer, shared: &Shared, own_part: &mut Arrivals) {
        let number = shared.next_number();
        let (mut live, mut fewest) = (0, (usize::MAX, 0));
        for (index, reactor) in self.reactors.iter().enumerate() {
            let count = reactor.live();
            live += count;
            fewest = fewest.min((count, index));
        }
        let reactor = &self.reactors[fewest.1];
        live = live.saturating_sub(self.half_open.leaving());
        let most = shared.places.connections_max as usize;
        let admitted = live < most || self.make_room(own, own_part);
        if !admitted {
            shared.health.note_full();
        }
        if !admitted && live >= most + self.overflow_max {
            // There is not even room to send a 503.
            let end = End::Full(shared.places);
            self.reactors[own].metrics.accepted.add(1);
            self.reactors[own].metrics.ended(end.kind() as usize);
            let what = || What::ConnectionEnd(end.kind().name(), &end);
            shared.say_limited(&end, |log| log.say(&about(&peer, Level::Warning, what())));
            return;
        }
        let placed = Placed { io, peer, admitted, number, door };
        if fewest.1 == own {
            reactor.metrics.live.fetch_add(1, Ordering::Relaxed);
            own_part.placed.push(placed);
        } else {
            reactor.hand_over(placed);
        }
    }

    /// Makes a connection that has not sent a request yet give up its place; false if there is none.
    fn make_room(&self, own: usize, own_part: &mut Arrivals) -> bool {
        let Some((reactor, id)) = self.half_open.displace() else { return false };
        if reactor == own {
            own_part.displaced.push(id);
        } else {
            self.reactors[reactor].send(Message::Displaced(id));
        }
        true
    }

    /// Most likely out of descriptors. Waiting connections stay in the backlog for a while.
    fn pause(
        &mut self,
        index: usize,
        own: usize,
        error: &io::Error,
        poll: BorrowedFd<'_>,
        now: Tick,
        shared: &Shared,
    ) {
        let end = End::System(error.raw_os_error().unwrap_or(libc::EIO));
        let what = match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE) => AcceptError::Descriptors,
            Some(libc::ENOMEM | libc::ENOBUFS) => AcceptError::Memory,
            _ => AcceptError::Other,
        };
        self.reactors[own].metrics.accept_errors.count(what as usize);
        shared.say_limited(&end, |log| log.warn(format_args!("accepting failed: {}", describe(error))));
        // Level-triggered, the poll would report the same listener again and again.
        let door = &mut self.doors[index];
        door.errors = 0;
        let _ = door.listener.watch(poll, token_of(index), false);
        door.retry_at = now.after(ACCEPT_RETRY);
    }
}

/// The token of the listener with this index: above those of all connections, below the waker's.
fn token_of(door: usize) -> usize {
    FIRST_DOOR + door
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
            | io::ErrorKind::NetworkDown
    ) || matches!(
        error.raw_os_error(),
        Some(
            libc::EPROTO
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EOPNOTSUPP
                | libc::EPERM
        )
    )
}

/// Listeners of one process: as many as there are tokens above those of connections, less one for the waker.
pub(super) const DOORS_MAX: usize = 16;

/// The lowest token of a listener.
pub(super) const FIRST_DOOR: usize = usize::MAX - DOORS_MAX;

// Tokens of connections have a slot below SLOTS_MAX in their lower half, so none of them reaches the doors'.
const _: () = assert!(((SLOTS_MAX as usize - 1) << 1 | 1) < (FIRST_DOOR & u32::MAX as usize));

/// Connections accepted per turn before existing ones get theirs.
const ACCEPTS_MAX: usize = 64;

/// This many connections in a row may be lost before that is taken for an error of the listener.
const ERRORS_MAX: u8 = 16;

/// Time until accepting is tried again after the system refused.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
