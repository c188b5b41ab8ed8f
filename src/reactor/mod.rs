//! A reactor: one thread, one poll, a slab of connections.
//!
//! Events, answers and deadlines only mark connections; then each marked connection is driven once. One
//! path for every cause. What reactors share is handed over through their inboxes: accepted sockets, helpers'
//! answers, and [`Control`]. On the data path they share nothing.

mod accept;
mod half_open;
mod handle;
mod pressure;
mod queue;
mod stopwatch;
#[cfg(test)]
mod tests;
mod walk;

use std::io;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mio::{Events, Poll, Token, Waker};
use slab::Slab;

use crate::conn::cx::{Cx, Inbox, Resources};
use crate::conn::end::{Blame, End};
use crate::conn::frontend::Frontend;
use crate::conn::shared::Shared;
use crate::conn::{Accepted, Conn};
use crate::id::{ConnId, SLOTS_MAX, Side};
use crate::log::{Event, Level, What};
use crate::metrics::Metrics;
use crate::net::listen::{Listener, Peer};
use crate::net::pipe::Splicer;
use crate::net::socket::Socket;
use crate::ring::Pool;
use crate::sys;
use crate::timers::{Tick, Timers};
use accept::{Acceptor, Arrivals, FIRST_DOOR, Placed};
use half_open::Ticket;
use handle::{Mailbox, Message};
use pressure::Burden;
use queue::{Account, Budget, Queue, Weight};
use stopwatch::Stopwatch;
use walk::{Walk, Walks};

pub use half_open::HalfOpen;
pub use handle::{Control, Frontends, Handle, Notice, Notify, Vitals};
pub use walk::Query;

/// One event loop with everything that belongs to it.
pub struct Reactor {
    index: usize,
    slots: Slab<Slot>,
    /// What the clients of each listener get now.
    frontends: Frontends,
    generation: u32,
    queue: Queue,
    timers: Timers,
    stopwatch: Stopwatch,
    resources: Resources,
    handle: Handle,
    messages: Receiver<Message>,
    notify: Notify,
    acceptor: Option<Acceptor>,
    /// The reactor ends with its last connection.
    stopping: bool,
    due: Vec<u32>,
    arrivals: Arrivals,
    half_open: Arc<HalfOpen>,
    /// Lists in progress, a piece per turn.
    walks: Walks,
    /// How often the poll was asked.
    passes: u64,
    trimmed_at: Tick,
}

/// A connection, and what the reactor knows of it.
struct Slot {
    conn: Conn,
    /// What its client gets; lent to the connection for each drive.
    frontend: Arc<Frontend>,
    /// Index of the listener it came by.
    door: u16,
    /// Tells this connection from those that had its slot before.
    generation: u32,
    /// While its first request is not whole.
    half_open: Option<Box<Ticket>>,
    /// Whether it waits in the run queue.
    marked: bool,
    /// Its recent cost.
    account: Account,
}

/// How a reactor is set up.
pub struct Options {
    /// Its name in notices.
    pub index: usize,
    /// Bytes that it may hold for peers that do not read.
    pub held_bytes_max: usize,
    /// Pipes that its sessions may keep at a time.
    pub pipes_max: usize,
    /// What it shares with the others.
    pub shared: Arc<Shared>,
    /// What the clients of each listener get.
    pub frontends: Frontends,
    /// Its counters, which anyone may read.
    pub metrics: Arc<Metrics>,
    /// The connections of all reactors whose first request is to come.
    pub half_open: Arc<HalfOpen>,
}

impl Reactor {
    /// A reactor without a listener.
    ///
    /// # Errors
    /// The system gives no poll or no waker.
    pub fn new(options: Options, notify: Notify) -> io::Result<Reactor> {
        let Options { index, held_bytes_max, pipes_max, shared, frontends, metrics, half_open } = options;
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let (sender, messages) = channel();
        let mailbox = Arc::new(Mailbox { sender: Mutex::new(sender), waker });
        let handle = Handle { mailbox, metrics };
        let way_back = handle.clone();
        let resources = Resources {
            worker: index as u32,
            poll,
            tick: Tick::ZERO,
            rings: Pool::new(held_bytes_max),
            splicer: Splicer::new(pipes_max),
            metrics: Arc::clone(&handle.metrics),
            inbox: Inbox::new(move |id, answer| {
                way_back.send(Message::Answer(id, answer));
            }),
            shared,
        };
        Ok(Reactor {
            index,
            slots: Slab::new(),
            frontends,
            generation: 0,
            queue: Queue::default(),
            timers: Timers::new(sys::uptime_ms()),
            stopwatch: Stopwatch::new(),
            resources,
            handle,
            messages,
            notify,
            acceptor: None,
            stopping: false,
            due: Vec::new(),
            arrivals: Arrivals::default(),
            half_open,
            walks: Walks::new(),
            passes: 0,
            trimmed_at: Tick::ZERO,
        })
    }

    /// The way into this reactor.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Makes this reactor the one that accepts, and places connections among `peers`, itself included. `overflow_max`
    /// connections beyond those that are served get a 503; any more are closed at once.
    ///
    /// # Errors
    /// A listener can't be watched, or there are too many.
    pub fn listen(
        &mut self,
        listeners: Vec<Listener>,
        peers: Vec<Handle>,
        overflow_max: usize,
    ) -> io::Result<()> {
        let poll = sys::descriptor(&self.resources.poll);
        self.acceptor =
            Some(Acceptor::new(listeners, poll, peers, overflow_max, Arc::clone(&self.half_open))?);
        Ok(())
    }

    /// Runs until it is asked to end and the last connection is gone.
    pub fn run(mut self) {
        let result = self.work();
        (self.notify)(Notice::ReactorEnded(self.index, result));
    }

    fn work(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        while !self.stopping || !self.slots.is_empty() {
            match self.resources.poll.poll(&mut events, self.wait()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => events.clear(),
                result => result?,
            }
            self.passes = self.passes.wrapping_add(1);
            self.resources.tick = self.timers.tick(sys::uptime_ms());
            for event in &events {
                match event.token() {
                    WAKER => self.read_inbox(),
                    Token(token) if token >= FIRST_DOOR => {
                        if let Some(acceptor) = &mut self.acceptor {
                            acceptor.note(token);
                        }
                    }
                    Token(token) => {
                        let (id, side) = ConnId::from_token(token);
                        if let Some(slot) = self.slot(id) {
                            slot.conn.note(side, event);
                            self.touch(id.slot);
                        }
                    }
                }
            }
            // In this order: after a pause of the whole process, input that came in time counts.
            self.turn();
            self.expire();
            self.accept();
            if !self.walks.is_empty() {
                self.walk();
            }
        }
        Ok(())
    }

    /// How long the poll may sleep.
    fn wait(&self) -> Option<Duration> {
        if !self.queue.is_empty() || !self.walks.is_empty() {
            return Some(Duration::ZERO);
        }
        let now = self.resources.tick;
        let trim = if self.resources.rings.has_surplus() { now.after(TRIM_WAIT) } else { Tick::NEVER };
        let accept = self.acceptor.as_ref().map_or(Tick::NEVER, Acceptor::retry_at);
        now.until(self.timers.next().min(trim).min(accept))
    }

    /// The connection of this name, if it is still there.
    fn slot(&mut self, id: ConnId) -> Option<&mut Slot> {
        self.slots.get_mut(id.slot as usize).filter(|slot| slot.generation == id.generation)
    }

    /// Puts a connection into the run queue, once.
    fn touch(&mut self, number: u32) {
        if let Some(slot) = self.slots.get_mut(number as usize)
            && !slot.marked
        {
            slot.marked = true;
            self.queue.push(number, &slot.account);
        }
    }

    /// Drives connections that were marked before this turn, each once.
    fn turn(&mut self) {
        let begun = self.stopwatch.start();
        self.queue.begin();
        let mixed = self.queue.has_others();
        if mixed && self.queue.has_light() {
            self.stopwatch.note_cpu();
        }
        while let Some(number) = self.queue.pop_light() {
            self.drive(number);
            self.relieve();
        }
        if mixed {
            self.drive_others(self.stopwatch.last().saturating_sub(begun));
        }
    }

    /// Drives connections that are not light, each line for as long as the light ones of the turn took.
    fn drive_others(&mut self, light: u64) {
        for weight in [Weight::Medium, Weight::Heavy] {
            let budget = Budget::new(light, self.stopwatch.last(), self.stopwatch.thresholds());
            while !budget.is_spent(self.stopwatch.last())
                && let Some(number) = self.queue.pop(weight)
            {
                self.drive(number);
                self.relieve();
            }
        }
        self.stopwatch.forget_cpu();
    }

    fn drive(&mut self, number: u32) {
        let Some(slot) = self.slots.get_mut(number as usize) else { return };
        slot.marked = false;
        if slot.conn.awaits_head() {
            slot.take_current(&self.frontends);
        }
        let id = ConnId { slot: number, generation: slot.generation };
        let mut cx = self.resources.to(id, &slot.frontend);
        cx.bulk_waiting = self.queue.bulk_waiting();
        let alive = slot.conn.drive(&mut cx);
        let (again, worked) = (cx.again, cx.worked);
        let cost = self.stopwatch.lap(slot.account.is_light());
        if let Some(ticket) = &mut slot.half_open {
            if slot.conn.awaits_first_request() {
                self.half_open.moved(ticket, slot.conn.who().origin());
            } else {
                slot.half_open.take().iter().for_each(|ticket| self.half_open.leave(ticket));
            }
        }
        if alive {
            slot.account.charge(cost, worked >= BULK_BYTES, self.stopwatch.thresholds(), self.resources.tick);
            self.timers.set(number, slot.conn.deadline());
            if again {
                self.touch(number);
            }
        } else {
            self.reap(number);
            // The cost of freeing it is not charged to the next one.
            self.stopwatch.start();
        }
    }

    /// Frees a connection that is gone.
    fn reap(&mut self, number: u32) {
        let Slot { conn, half_open, .. } = self.slots.remove(number as usize);
        half_open.iter().for_each(|ticket| self.half_open.leave(ticket));
        self.timers.set(number, Tick::NEVER);
        self.handle.metrics.live.fetch_sub(1, Ordering::Relaxed);
        // Nobody else waits for the ending of a session, and to wake another thread costs more than ours does.
        if conn.is_upgraded() && self.resources.shared.once.is_some() {
            (self.notify)(Notice::SessionEnded(conn.who().named()));
        }
    }

    /// Handles the connections whose deadline has come.
    fn expire(&mut self) {
        let now = self.resources.tick;
        if self.timers.is_due(now) {
            let mut due = std::mem::take(&mut self.due);
            self.timers.expire(now, |slot| due.push(slot));
            for number in due.drain(..) {
                // Input that came in time counts, even if it has not had its turn.
                if self.slots.get(number as usize).is_some_and(|slot| slot.marked && slot.conn.awaits_head())
                {
                    self.timers.set(number, now.plus(1));
                    continue;
                }
                self.with_conn(number, |conn, cx| conn.expired(cx));
            }
            self.due = due;
        }
        if now.since(self.trimmed_at) >= TRIM_WAIT {
            self.trimmed_at = now;
            self.stopwatch.compare();
            self.resources.rings.trim();
        }
    }

    /// Lets `act` work on a connection, and marks it.
    fn with_conn(&mut self, number: u32, act: impl FnOnce(&mut Conn, &mut Cx<'_>)) {
        let Some(slot) = self.slots.get_mut(number as usize) else { return };
        let id = ConnId { slot: number, generation: slot.generation };
        act(&mut slot.conn, &mut self.resources.to(id, &slot.frontend));
        self.touch(number);
    }

    /// If too much is held, ends some connections for which much is held, before more is held for others.
    #[inline]
    fn relieve(&mut self) {
        while self.resources.rings.is_overcommitted() && self.end_one() {}
    }

    /// Ends one connection for which something is held; false if there is none.
    #[inline(never)]
    fn end_one(&mut self) -> bool {
        let burdens = self.slots.iter().filter_map(|(number, slot)| {
            let (bytes, since, is_served) = slot.conn.burden()?;
            Some(Burden { number: number as u32, origin: slot.conn.who().origin(), bytes, since, is_served })
        });
        let Some(number) = pressure::choose(burdens.collect(), self.resources.tick) else { return false };
        self.with_conn(number, |conn, cx| conn.overcommitted(cx));
        self.drive(number);
        true
    }

    /// Takes everything out of the inbox.
    fn read_inbox(&mut self) {
        while let Ok(message) = self.messages.try_recv() {
            match message {
                Message::Accepted(placed) => self.add(placed),
                Message::Answer(id, answer) => {
                    let slot = self.slots.get_mut(id.slot as usize);
                    if let Some(slot) = slot.filter(|slot| slot.generation == id.generation) {
                        slot.conn.answered(answer, &self.handle.metrics);
                        self.touch(id.slot);
                    }
                }
                Message::Displaced(id) => self.displace(id),
                Message::Control(control) => self.obey(control),
            }
        }
    }

    fn obey(&mut self, control: Control) {
        match control {
            Control::Frontends(frontends) => self.frontends = frontends,
            Control::Ping => (self.notify)(Notice::Alive(self.index)),
            Control::Probe(answer) => {
                let rings = &self.resources.rings;
                let (held_bytes, rings_bytes) = (rings.held_bytes(), rings.free_bytes());
                // The asker may have given up.
                let _ = answer.send(Vitals { reactor: self.index, held_bytes, rings_bytes });
            }
            Control::List { query, answer } => self.walks.push_back(Walk::list(query, answer)),
            Control::EndWhere { filter, ending, answer } => {
                self.walks.push_back(Walk::end(filter, ending, answer));
            }
            Control::One { id, answer } => {
                let now = self.resources.tick;
                // The asker may have given up.
                let _ = answer.send(self.slot(id).and_then(|slot| slot.conn.row(id, now)));
            }
            Control::End { id, ending, answer } => {
                let is_there = self.slot(id).is_some_and(|slot| slot.conn.may_be_ended());
                if is_there {
                    self.with_conn(id.slot, |conn, cx| conn.end(ending, cx));
                }
                let _ = answer.send(is_there);
            }
            Control::Finish => self.stop(),
            Control::Outlive(patience) => self.send_away(patience, Conn::is_relaying),
            Control::Drain(patience) => {
                self.send_away(patience, |_| false);
                (self.notify)(Notice::Drained);
            }
        }
    }

    /// Continues the walk that has waited longest, for a piece.
    #[cold]
    fn walk(&mut self) {
        let Some(walk) = self.walks.pop_front() else { return };
        let mut ends = Vec::new();
        let left = walk.step(self.index, &self.slots, self.resources.tick, &mut ends);
        for (number, ending) in ends {
            self.with_conn(number, |conn, cx| conn.end(ending, cx));
        }
        self.walks.extend(left);
    }

    /// Accepts no more, and sends every client away but those who may stay.
    fn send_away(&mut self, patience: Duration, may_stay: impl Fn(&Conn) -> bool) {
        self.stop();
        let cut_at = self.resources.tick.after(patience);
        for slot in self.numbers() {
            self.with_conn(slot, |conn, cx| {
                if !may_stay(conn) {
                    conn.drain(cut_at, cx);
                }
            });
        }
    }

    /// Accepts no more, and ends with the last connection.
    fn stop(&mut self) {
        self.acceptor = None;
        self.stopping = true;
    }

    fn numbers(&self) -> Vec<u32> {
        self.slots.iter().map(|(number, _)| number as u32).collect()
    }

    /// Accepts what is waiting, and takes in what was placed here.
    fn accept(&mut self) {
        let now = self.resources.tick;
        let Some(acceptor) = self.acceptor.as_mut().filter(|acceptor| acceptor.has_work(now)) else { return };
        let mut arrivals = std::mem::take(&mut self.arrivals);
        let Resources { poll, shared, .. } = &self.resources;
        acceptor.accept(self.index, sys::descriptor(poll), now, self.passes, shared, &mut arrivals);
        for id in arrivals.displaced.drain(..) {
            self.displace(id);
        }
        for placed in arrivals.placed.drain(..) {
            self.add(placed);
        }
        self.arrivals = arrivals;
    }

    /// Ends a connection that has given its place away, unless its request has come meanwhile.
    fn displace(&mut self, id: ConnId) {
        if self.slot(id).is_some_and(|slot| slot.half_open.is_some()) {
            self.with_conn(id.slot, |conn, cx| conn.displaced(cx));
            self.drive(id.slot);
        }
    }

    /// Makes an accepted socket a connection of this reactor.
    fn add(&mut self, placed: Placed) {
        let Placed { io, peer, admitted, number, door } = placed;
        self.handle.metrics.accepted.add(1);
        let entry = self.slots.vacant_entry();
        let slot = entry.key() as u32;
        self.generation = self.generation.wrapping_add(1);
        let id = ConnId { slot, generation: self.generation };
        let mut socket = Socket::new(io);
        let end = match self.frontends.get(door) {
            _ if self.stopping => Err(End::Shutdown),
            _ if slot >= SLOTS_MAX => Err(End::Full(self.resources.shared.places)),
            None => Err(End::Shutdown),
            Some(frontend) => match socket.register(self.resources.poll.registry(), id.token(Side::Client)) {
                Ok(()) => Ok(Arc::clone(frontend)),
                Err(error) => Err(End::System(error.raw_os_error().unwrap_or(libc::EIO))),
            },
        };
        let frontend = match end {
            Ok(frontend) => frontend,
            Err(end) => {
                self.handle.metrics.ended(end.kind() as usize);
                self.handle.metrics.live.fetch_sub(1, Ordering::Relaxed);
                let shared = &self.resources.shared;
                let what = || What::ConnectionEnd(end.kind().name(), &end);
                match end.kind().blame() {
                    Blame::Nobody => {
                        shared.say_detail(peer.address(), |log| {
                            log.say(&about(&peer, Level::Debug, what()));
                        });
                    }
                    blame => {
                        shared.say_limited(&end, |log| log.say(&about(&peer, blame.level(), what())));
                    }
                }
                return;
            }
        };
        let half_open = admitted.then(|| self.half_open.enter(peer.origin(), (self.index, id)).into());
        let accepted = Accepted { socket, peer, admitted, number };
        let conn = Conn::new(accepted, &self.resources.to(id, &frontend));
        self.timers.set(slot, conn.deadline());
        let (generation, door) = (id.generation, door as u16);
        let account = Account::new();
        entry.insert(Slot { conn, frontend, door, generation, half_open, marked: false, account });
    }
}

impl Slot {
    /// What the listener's clients get now, for a request that is still to come.
    #[inline]
    fn take_current(&mut self, frontends: &Frontends) {
        if let Some(current) = frontends.get(usize::from(self.door))
            && !Arc::ptr_eq(current, &self.frontend)
        {
            self.frontend = Arc::clone(current);
        }
    }
}

/// An event about a client that never became a connection.
fn about<'a>(peer: &'a Peer, level: Level, what: What<'a>) -> Event<'a> {
    Event { level, who: Some(peer), address: peer.address(), party: None, what }
}

/// Above the tokens of connections and listeners.
const WAKER: Token = Token(usize::MAX);

/// Rings that were unused for this long go back to the system.
const TRIM_WAIT: Duration = Duration::from_secs(1);

/// A drive that works on this much is a piece of a bulk transfer.
const BULK_BYTES: usize = 32 * 1024;

/// Events taken from the system at a time.
const EVENTS_MAX: usize = 1024;

/// What an idle session without TLS takes, in bytes: its slot, and its place among the timers.
#[cfg(any(test, not(debug_assertions)))]
const IDLE_BYTES: usize = size_of::<Slot>() + size_of::<Tick>();

/// The most that it may take. ARCHITECTURE.md lists what it is made of.
#[cfg(any(test, not(debug_assertions)))]
const IDLE_BYTES_MAX: usize = 448;

// With debug assertions mio's sockets remember their poll.
#[cfg(not(debug_assertions))]
const _: () = assert!(IDLE_BYTES <= IDLE_BYTES_MAX);
