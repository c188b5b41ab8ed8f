//! A reactor: one thread, one poll, a slab of connections.
//!
//! Events, answers and deadlines only mark connections; then each marked connection is driven once. One
//! path for every cause. What reactors share is handed over through their inboxes: accepted sockets, helpers'
//! answers, and [`Control`]. On the data path they share nothing.

mod accept;
mod queue;

use std::io;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mio::{Events, Poll, Token, Waker};
use slab::Slab;

use crate::conn::end::{Blame, End, Kind};
use crate::conn::{Answer, Conn, Cx, Lent, Replies, Shared};
use crate::id::{ConnId, SLOTS_MAX, Side};
use crate::metrics::Metrics;
use crate::net::listen::{Listener, Peer};
use crate::net::pipe::Splicer;
use crate::net::socket::{Io, Socket};
use crate::ring::Pool;
use crate::sys;
use crate::timers::{Tick, Timers};
use accept::{Acceptor, Placed};
use queue::Queue;

pub use accept::Limits;

/// What a reactor can be told from outside.
#[derive(Debug)]
pub enum Control {
    /// Accept no more, and end when the last connection has ended by itself.
    Finish,
    /// Accept no more, send every client away, and cut what is left after this time.
    Drain(Duration),
}

/// What a reactor tells the process.
#[derive(Debug)]
pub enum Notice {
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
    inbox: Arc<Inbox>,
    /// The reactor's counters.
    pub metrics: Arc<Metrics>,
}

struct Inbox {
    sender: Mutex<Sender<Message>>,
    waker: Waker,
}

enum Message {
    Accepted(Io, Peer, bool),
    Answer(ConnId, Answer),
    Control(Control),
}

impl Handle {
    /// Tells the reactor something.
    pub fn control(&self, control: Control) {
        self.send(Message::Control(control));
    }

    /// Hands an accepted socket over. It counts as the reactor's from now on.
    fn hand_over(&self, io: Io, peer: Peer, admitted: bool) {
        self.metrics.live.fetch_add(1, Ordering::Relaxed);
        if !self.send(Message::Accepted(io, peer, admitted)) {
            // It has ended because the process does, and counts no more by itself.
            self.metrics.live.fetch_sub(1, Ordering::Relaxed);
            self.metrics.accepted.add(1);
            self.metrics.ended(End::Shutdown.kind() as usize);
        }
    }

    fn live(&self) -> usize {
        self.metrics.live.load(Ordering::Relaxed)
    }

    /// False when the reactor has ended: it hears nothing more.
    fn send(&self, message: Message) -> bool {
        let sender = self.inbox.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let heard = sender.send(message).is_ok();
        if heard {
            let _ = self.inbox.waker.wake();
        }
        heard
    }
}

/// One event loop with everything that belongs to it.
pub struct Reactor {
    index: usize,
    conns: Slab<Conn>,
    generation: u32,
    queue: Queue,
    timers: Timers,
    lent: Lent,
    handle: Handle,
    messages: Receiver<Message>,
    notify: Notify,
    acceptor: Option<Acceptor>,
    /// Ends when the last connection has ended.
    stopping: bool,
    due: Vec<u32>,
    accepted: Vec<Placed>,
    trimmed_at: Tick,
}

impl Reactor {
    /// A reactor without a listener; `index` is its name in notices, `held_bytes_max` what it may hold for
    /// peers that do not read.
    ///
    /// # Errors
    /// The system gives no poll or no waker.
    pub fn new(
        index: usize,
        held_bytes_max: usize,
        shared: Arc<Shared>,
        notify: Notify,
    ) -> io::Result<Reactor> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let (sender, messages) = channel();
        let inbox = Arc::new(Inbox { sender: Mutex::new(sender), waker });
        let handle = Handle { inbox, metrics: Arc::new(Metrics::new(Kind::ALL.len())) };
        let way_back = handle.clone();
        let lent = Lent {
            poll,
            tick: Tick::ZERO,
            rings: Pool::new(held_bytes_max),
            splicer: Splicer::default(),
            metrics: Arc::clone(&handle.metrics),
            replies: Replies::new(move |id, answer| {
                way_back.send(Message::Answer(id, answer));
            }),
            shared,
        };
        Ok(Reactor {
            index,
            conns: Slab::new(),
            generation: 0,
            queue: Queue::default(),
            timers: Timers::new(sys::uptime_ms()),
            lent,
            handle,
            messages,
            notify,
            acceptor: None,
            stopping: false,
            due: Vec::new(),
            accepted: Vec::new(),
            trimmed_at: Tick::ZERO,
        })
    }

    /// The way into this reactor.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Makes this reactor the one that accepts, and places connections among `peers`, itself included.
    ///
    /// # Errors
    /// The listener can't be watched.
    pub fn listen(&mut self, listener: Listener, peers: Vec<Handle>, limits: Limits) -> io::Result<()> {
        self.acceptor = Some(Acceptor::new(listener, sys::descriptor(&self.lent.poll), peers, limits)?);
        Ok(())
    }

    /// Runs until it is told to end and the last connection is gone.
    pub fn run(mut self) {
        let result = self.work();
        (self.notify)(Notice::ReactorEnded(self.index, result));
    }

    fn work(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        while !self.stopping || !self.conns.is_empty() {
            match self.lent.poll.poll(&mut events, self.wait()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => events.clear(),
                result => result?,
            }
            self.lent.tick = self.timers.tick(sys::uptime_ms());
            for event in &events {
                match event.token() {
                    LISTENER => self.acceptor.iter_mut().for_each(Acceptor::note),
                    WAKER => self.read_inbox(),
                    Token(token) => {
                        let (id, side) = ConnId::from_token(token);
                        if let Some(conn) = self.conns.get_mut(id.slot as usize)
                            && conn.generation == id.generation
                        {
                            conn.note(side, event);
                            self.touch(id.slot);
                        }
                    }
                }
            }
            // In this order: after a pause of the whole process, what has come in time counts.
            self.turn();
            self.expire();
            self.accept();
        }
        Ok(())
    }

    /// How long the poll may sleep.
    fn wait(&self) -> Option<Duration> {
        if !self.queue.is_empty() {
            return Some(Duration::ZERO);
        }
        let now = self.lent.tick;
        let trim = if self.lent.rings.has_surplus() { now.after(TRIM_WAIT) } else { Tick::NEVER };
        let accept = self.acceptor.as_ref().map_or(Tick::NEVER, Acceptor::retry_at);
        now.until(self.timers.next().min(trim).min(accept))
    }

    /// Puts a connection into the run queue, once.
    fn touch(&mut self, slot: u32) {
        if let Some(conn) = self.conns.get_mut(slot as usize)
            && !conn.marked
        {
            conn.marked = true;
            self.queue.push(slot, conn.heavy);
        }
    }

    /// Drives connections that were marked before this turn, each once.
    fn turn(&mut self) {
        self.queue.begin();
        while let Some(slot) = self.queue.pop() {
            self.drive(slot);
        }
        while self.lent.rings.is_overcommitted() && self.end_longest_stalled() {}
    }

    fn drive(&mut self, slot: u32) {
        let key = slot as usize;
        let Some(conn) = self.conns.get_mut(key) else { return };
        conn.marked = false;
        let mut cx = self.lent.to(ConnId { slot, generation: conn.generation });
        cx.bulk_waiting = self.queue.heavy_len();
        if conn.drive(&mut cx) {
            let again = cx.again;
            conn.heavy = cx.worked >= HEAVY_BYTES;
            self.timers.set(slot, conn.deadline());
            if again {
                self.touch(slot);
            }
        } else {
            self.reap(slot);
        }
    }

    /// Lets go of a connection that is gone.
    fn reap(&mut self, slot: u32) {
        let conn = self.conns.remove(slot as usize);
        self.timers.set(slot, Tick::NEVER);
        self.handle.metrics.live.fetch_sub(1, Ordering::Relaxed);
        if conn.is_upgraded() || self.stopping {
            (self.notify)(Notice::SessionEnded(conn.peer().clone()));
        }
    }

    /// Tells the connections whose deadline has come.
    fn expire(&mut self) {
        let now = self.lent.tick;
        if self.timers.is_due(now) {
            let mut due = std::mem::take(&mut self.due);
            self.timers.expire(now, |slot| due.push(slot));
            for slot in due.drain(..) {
                self.with_conn(slot, |conn, cx| conn.expired(cx));
            }
            self.due = due;
        }
        if now.since(self.trimmed_at) >= TRIM_WAIT {
            self.trimmed_at = now;
            self.lent.rings.trim();
        }
    }

    /// Lets `act` work on a connection, and marks it.
    fn with_conn(&mut self, slot: u32, act: impl FnOnce(&mut Conn, &mut Cx<'_>)) {
        let Some(conn) = self.conns.get_mut(slot as usize) else { return };
        let mut cx = self.lent.to(ConnId { slot, generation: conn.generation });
        act(conn, &mut cx);
        self.touch(slot);
    }

    /// Ends the session that has been stalled for the longest time; false when none is.
    fn end_longest_stalled(&mut self) -> bool {
        let longest = self.conns.iter().min_by_key(|(_, conn)| conn.stalled_at());
        let Some((slot, conn)) = longest else { return false };
        if conn.stalled_at() == Tick::NEVER {
            return false;
        }
        self.with_conn(slot as u32, |conn, cx| conn.overcommitted(cx));
        self.drive(slot as u32);
        true
    }

    /// Takes everything out of the inbox.
    fn read_inbox(&mut self) {
        while let Ok(message) = self.messages.try_recv() {
            match message {
                Message::Accepted(io, peer, admitted) => self.add(io, peer, admitted),
                Message::Answer(id, answer) => {
                    if let Some(conn) = self.conns.get_mut(id.slot as usize)
                        && conn.generation == id.generation
                    {
                        conn.answered(answer);
                        self.touch(id.slot);
                    }
                }
                Message::Control(control) => self.obey(&control),
            }
        }
    }

    fn obey(&mut self, control: &Control) {
        match control {
            Control::Finish => self.stop(),
            Control::Drain(patience) => {
                self.stop();
                let cut_at = self.lent.tick.after(*patience);
                for slot in self.slots() {
                    self.with_conn(slot, |conn, cx| conn.drain(cut_at, cx));
                }
            }
        }
    }

    /// Accepts no more, and ends with the last connection.
    fn stop(&mut self) {
        self.acceptor = None;
        self.stopping = true;
    }

    fn slots(&self) -> Vec<u32> {
        self.conns.iter().map(|(slot, _)| slot as u32).collect()
    }

    /// Accepts what is waiting, and takes in what was placed here.
    fn accept(&mut self) {
        let Some(acceptor) = &mut self.acceptor else { return };
        let now = self.lent.tick;
        if !acceptor.has_work(now) {
            return;
        }
        let mut own = std::mem::take(&mut self.accepted);
        acceptor.accept(self.index, sys::descriptor(&self.lent.poll), now, &self.lent.shared, &mut own);
        for (io, peer, admitted) in own.drain(..) {
            self.add(io, peer, admitted);
        }
        self.accepted = own;
    }

    /// Makes an accepted socket a connection of this reactor.
    fn add(&mut self, io: Io, peer: Peer, admitted: bool) {
        self.handle.metrics.accepted.add(1);
        let entry = self.conns.vacant_entry();
        let slot = entry.key() as u32;
        self.generation = self.generation.wrapping_add(1);
        let id = ConnId { slot, generation: self.generation };
        let mut socket = Socket::new(io);
        let end = if self.stopping {
            Some(End::Shutdown)
        } else if slot >= SLOTS_MAX {
            Some(End::Full)
        } else {
            let registered = socket.register(self.lent.poll.registry(), id.token(Side::Client));
            registered.err().map(|error| End::System(error.kind()))
        };
        if let Some(end) = end {
            self.handle.metrics.ended(end.kind() as usize);
            self.handle.metrics.live.fetch_sub(1, Ordering::Relaxed);
            let log = &self.lent.shared.log;
            match end.kind().blame() {
                Blame::Nobody => log.debug(format_args!("{peer}: {end}")),
                _ => self.lent.shared.say_limited(&end, |log| log.info(format_args!("{peer}: {end}"))),
            }
            return;
        }
        let conn = Conn::new(socket, peer, admitted, &self.lent.to(id));
        self.timers.set(slot, conn.deadline());
        entry.insert(conn);
    }
}

const LISTENER: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);

/// Rings that nobody took for this long go back to the system.
const TRIM_WAIT: Duration = Duration::from_secs(1);

/// Who works on so much when it is driven waits behind the others the next time.
const HEAVY_BYTES: usize = 32 * 1024;

/// Events taken from the system at a time.
const EVENTS_MAX: usize = 1024;
