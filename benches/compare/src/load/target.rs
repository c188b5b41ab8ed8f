//! The target: a thread that plays the server behind a proxy, for any number of sessions.
//!
//! Behind a WebSocket proxy it sees bare payload. Behind a proxy that only moves bytes it plays along: it
//! answers the upgrade and speaks the frames itself, so that the client's side is the same for both.

use crate::load::block::Block;
use crate::load::mix::{EVENTS_PER_S, Message, Pace, UPDATES_PER_S, messages};
use crate::load::plays::{Session, Turn};
use crate::load::poll::{Poll, accept};
use slab::Slab;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What the target does once a session stands.
pub(crate) enum Play {
    /// Floods: each message of the block in a write of its own.
    Source(Block),
    /// Takes and verifies.
    Sink(Block),
    /// Sends back messages of this many bytes.
    Echo(usize),
    /// Sends updates at their pace and takes events.
    Mix { update: Message, event: Message },
    /// Waits for the end.
    Quiet,
}

/// A running target. Dropping it closes its sessions and ends the thread.
pub(crate) struct Target {
    commands: Sender<u64>,
    bell: UnixStream,
    events: Receiver<Event>,
    heard: RefCell<Heard>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread says.
pub(crate) enum Event {
    /// A session can be used.
    Ready,
    /// A session (of a mix: the target) has sent or verified all that it was told to.
    Done,
    /// How many nanoseconds an event of a mix was under way.
    Took(f64),
    Failed(String),
}

/// What it has said and nobody has asked for yet.
#[derive(Default)]
struct Heard {
    ready: usize,
    done: usize,
    times_ns: Vec<f64>,
    failure: Option<String>,
}

impl Target {
    /// Starts the target on its listener. `speaks_frames`: it is behind a proxy that only moves bytes.
    pub(crate) fn start(listener: &TcpListener, speaks_frames: bool, play: Play) -> io::Result<Target> {
        let listener = listener.try_clone()?;
        listener.set_nonblocking(true)?;
        let (bell, ear) = UnixStream::pair()?;
        let (commands, orders) = mpsc::channel();
        let (report, events) = mpsc::channel();
        let thread = thread::Builder::new().name("target".into()).spawn(move || {
            let result = Player::new(listener, ear, orders, report.clone(), speaks_frames, play)
                .and_then(|mut player| player.serve());
            if let Err(error) = result {
                let _ = report.send(Event::Failed(format!("the target: {error}")));
            }
        })?;
        Ok(Target { commands, bell, events, heard: RefCell::default(), thread: Some(thread) })
    }

    /// Tells every session to send or expect blocks until it has passed `until` of them; tells a mix to go
    /// on for `until` milliseconds.
    pub(crate) fn go(&self, until: u64) -> io::Result<()> {
        self.commands.send(until).map_err(|_| io::Error::other("the target has ended"))?;
        (&self.bell).write_all(&[1])
    }

    /// Waits until `sessions` more sessions can be used.
    pub(crate) fn wait_ready(&self, sessions: usize, deadline: Instant) -> io::Result<()> {
        self.wait(deadline, |heard| {
            let enough = heard.ready >= sessions;
            heard.ready -= if enough { sessions } else { 0 };
            enough
        })
    }

    /// How many of `sessions` more can't be used by `deadline`.
    pub(crate) fn missing(&self, sessions: usize, deadline: Instant) -> io::Result<usize> {
        match self.wait_ready(sessions, deadline) {
            Ok(()) => Ok(0),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(sessions - self.heard.borrow().ready),
            Err(error) => Err(error),
        }
    }

    /// Waits until `sessions` more of them have done what they were told.
    pub(crate) fn wait_done(&self, sessions: usize, deadline: Instant) -> io::Result<()> {
        self.wait(deadline, |heard| {
            let enough = heard.done >= sessions;
            heard.done -= if enough { sessions } else { 0 };
            enough
        })
    }

    /// The nanoseconds that each event was under way since this was last asked.
    pub(crate) fn take_times_ns(&self) -> Vec<f64> {
        std::mem::take(&mut self.heard.borrow_mut().times_ns)
    }

    /// What went wrong at the target, if something did.
    pub(crate) fn check(&self) -> io::Result<()> {
        let mut heard = self.heard.borrow_mut();
        self.events.try_iter().for_each(|event| heard.note(event));
        heard.failure.take().map_or(Ok(()), |why| Err(io::Error::other(why)))
    }

    fn wait(&self, deadline: Instant, mut enough: impl FnMut(&mut Heard) -> bool) -> io::Result<()> {
        loop {
            self.check()?;
            if enough(&mut self.heard.borrow_mut()) {
                return Ok(());
            }
            match self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(event) => self.heard.borrow_mut().note(event),
                Err(RecvTimeoutError::Timeout) => {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "the target waited in vain"));
                }
                Err(RecvTimeoutError::Disconnected) => return Err(io::Error::other("the target has ended")),
            }
        }
    }
}

impl Heard {
    fn note(&mut self, event: Event) {
        match event {
            Event::Ready => self.ready += 1,
            Event::Done => self.done += 1,
            Event::Took(time_ns) => self.times_ns.push(time_ns),
            Event::Failed(why) => self.failure = Some(why),
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.bell.shutdown(std::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Player {
    poll: Poll,
    listener: TcpListener,
    ear: UnixStream,
    orders: Receiver<u64>,
    report: Sender<Event>,
    speaks_frames: bool,
    play: Play,
    until: u64,
    /// Of a mix: when updates are due, and how many events are still to come.
    pace: Pace,
    events_left: u64,
    sessions: Slab<Session>,
    queue: VecDeque<usize>,
    scratch: Vec<u8>,
}

impl Player {
    fn new(
        listener: TcpListener,
        ear: UnixStream,
        orders: Receiver<u64>,
        report: Sender<Event>,
        speaks_frames: bool,
        play: Play,
    ) -> io::Result<Player> {
        let poll = Poll::new()?;
        poll.add_level(&listener, LISTENER)?;
        poll.add_level(&ear, EAR)?;
        Ok(Player {
            poll,
            listener,
            ear,
            orders,
            report,
            speaks_frames,
            play,
            until: 0,
            pace: Pace::new(0, UPDATES_PER_S, 0),
            events_left: 0,
            sessions: Slab::new(),
            queue: VecDeque::new(),
            scratch: vec![0; SCRATCH_BYTES],
        })
    }

    fn serve(&mut self) -> io::Result<()> {
        loop {
            self.send_due_updates()?;
            let pace = (!self.pace.is_over()).then(|| self.pace.wait());
            self.poll.wait(if self.queue.is_empty() { pace } else { Some(Duration::ZERO) })?;
            let mut ended = Vec::new();
            for index in 0..self.poll.len() {
                match self.poll.event(index) {
                    (LISTENER, _) => self.accept()?,
                    (EAR, _) => {
                        if self.ear.read(&mut [0; 64])? == 0 {
                            return Ok(());
                        }
                        self.obey();
                    }
                    (key, ready) => {
                        self.sessions[key as usize].socket.note(ready);
                        self.enqueue(key as usize);
                    }
                }
            }
            for _ in 0..self.queue.len() {
                let Some(key) = self.queue.pop_front() else { break };
                self.sessions[key].queued = false;
                match self.drive(key)? {
                    Turn::Wait => {}
                    Turn::More => self.enqueue(key),
                    Turn::Ended => ended.push(key),
                }
            }
            for key in ended {
                self.sessions.remove(key);
            }
        }
    }

    fn obey(&mut self) {
        while let Ok(until) = self.orders.try_recv() {
            self.until = until;
            if let Play::Mix { .. } = self.play {
                let sessions = self.sessions.len();
                self.pace = Pace::new(sessions, UPDATES_PER_S, messages(sessions, UPDATES_PER_S, until));
                self.events_left = messages(sessions, EVENTS_PER_S, until);
            }
            for key in 0..self.sessions.capacity() {
                if self.sessions.contains(key) {
                    self.enqueue(key);
                }
            }
        }
    }

    fn send_due_updates(&mut self) -> io::Result<()> {
        let Play::Mix { update, .. } = &mut self.play else { return Ok(()) };
        let before = self.pace.is_over();
        while let Some(number) = self.pace.next_due() {
            // Nothing ends while a mix goes on, so that the keys are 0, 1, 2, …
            let key = number as usize % self.sessions.len().max(1);
            let session = self.sessions.get_mut(key);
            let session = session.ok_or_else(|| io::Error::other("a session ended before its updates"))?;
            session.send_later(update.stamped())?;
        }
        if self.pace.is_over() && !before && self.events_left == 0 {
            let _ = self.report.send(Event::Done);
        }
        Ok(())
    }

    fn enqueue(&mut self, key: usize) {
        if !std::mem::replace(&mut self.sessions[key].queued, true) {
            self.queue.push_back(key);
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        let Some(stream) = accept(&self.listener)? else { return Ok(()) };
        stream.set_nodelay(true)?;
        let entry = self.sessions.vacant_entry();
        self.poll.add_stream(&stream, entry.key() as u64)?;
        entry.insert(Session::new(stream, self.speaks_frames));
        if !self.speaks_frames {
            let _ = self.report.send(Event::Ready);
        }
        Ok(())
    }

    fn drive(&mut self, key: usize) -> io::Result<Turn> {
        let Player { sessions, play, scratch, report, until, speaks_frames, .. } = self;
        let session = &mut sessions[key];
        if session.has_to_answer() {
            if !session.answer()? {
                return Ok(Turn::Wait);
            }
            let _ = report.send(Event::Ready);
        }
        let done = || drop(report.send(Event::Done));
        match play {
            Play::Source(block) => session.send(block, *until, done),
            Play::Sink(block) => session.verify(block, scratch, *until, done),
            Play::Echo(bytes) => session.echo(*bytes, *speaks_frames, scratch),
            Play::Mix { event, .. } => {
                let (left, over) = (&mut self.events_left, self.pace.is_over());
                session.take_events(event, scratch, |time_ns| {
                    let _ = report.send(Event::Took(time_ns));
                    *left = left.saturating_sub(1);
                    if *left == 0 && over {
                        done();
                    }
                })
            }
            Play::Quiet => Ok(session.wait_for_end(*speaks_frames, scratch)),
        }
    }
}

const LISTENER: u64 = u64::MAX;
const EAR: u64 = u64::MAX - 1;
const SCRATCH_BYTES: usize = 256 * 1024;
