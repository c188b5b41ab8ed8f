//! The target: a thread that plays the server behind a proxy, for any number of sessions.
//!
//! Behind a WebSocket proxy it sees bare payload. Behind a proxy that only moves bytes it plays along: it
//! answers the upgrade and speaks the frames itself, so that the client's side is the same for both.

use crate::e2e::block::{Block, Cursor};
use crate::e2e::poll::{Poll, Socket, accept};
use crate::e2e::wire::{ANSWER, KEY, SERVER_CLOSE, head_is_whole, put_frame};
use slab::Slab;
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
    /// Waits for the end.
    Quiet,
}

/// A running target. Dropping it closes its sessions and ends the thread.
pub(crate) struct Target {
    commands: Sender<u64>,
    bell: UnixStream,
    events: Receiver<Event>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, PartialEq)]
enum Event {
    /// A session can be used.
    Ready,
    /// A session has sent or verified all that it was told to.
    Done,
    Failed(String),
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
        Ok(Target { commands, bell, events, thread: Some(thread) })
    }

    /// Tells every session to send or expect blocks until it has passed `until` of them.
    pub(crate) fn go(&self, until: u64) -> io::Result<()> {
        self.commands.send(until).map_err(|_| io::Error::other("the target has ended"))?;
        (&self.bell).write_all(&[1])
    }

    pub(crate) fn wait_ready(&self, sessions: usize, deadline: Instant) -> io::Result<()> {
        self.wait_for(&Event::Ready, sessions, deadline)
    }

    pub(crate) fn wait_done(&self, sessions: usize, deadline: Instant) -> io::Result<()> {
        self.wait_for(&Event::Done, sessions, deadline)
    }

    fn wait_for(&self, wanted: &Event, mut count: usize, deadline: Instant) -> io::Result<()> {
        while count > 0 {
            let wait = deadline.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(wait) {
                Ok(Event::Failed(why)) => return Err(io::Error::other(why)),
                Ok(event) => count -= usize::from(event == *wanted),
                Err(RecvTimeoutError::Timeout) => {
                    return Err(io::Error::other(format!("{count} sessions were never {wanted:?}")));
                }
                Err(RecvTimeoutError::Disconnected) => return Err(io::Error::other("the target has ended")),
            }
        }
        Ok(())
    }

    /// What went wrong at the target, if something did.
    pub(crate) fn check(&self) -> io::Result<()> {
        match self.events.try_iter().find(|event| matches!(event, Event::Failed(_))) {
            Some(Event::Failed(why)) => Err(io::Error::other(why)),
            _ => Ok(()),
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
    sessions: Slab<Session>,
    queue: VecDeque<usize>,
    scratch: Vec<u8>,
}

struct Session {
    socket: Socket,
    /// The request so far, while the target still has to answer it.
    head: Option<Vec<u8>>,
    /// The stream's place; of an echo and of a quiet session: bytes of an incomplete message.
    cursor: Cursor,
    partial: Vec<u8>,
    queued: bool,
}

/// How a session goes on after its turn.
enum Turn {
    Wait,
    More,
    Ended,
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
            sessions: Slab::new(),
            queue: VecDeque::new(),
            scratch: vec![0; SCRATCH_BYTES],
        })
    }

    fn serve(&mut self) -> io::Result<()> {
        loop {
            self.poll.wait(if self.queue.is_empty() { None } else { Some(Duration::ZERO) })?;
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
            for key in 0..self.sessions.capacity() {
                if self.sessions.contains(key) {
                    self.enqueue(key);
                }
            }
        }
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
        entry.insert(Session {
            socket: Socket::new(stream),
            head: self.speaks_frames.then(Vec::new),
            cursor: Cursor::default(),
            partial: Vec::new(),
            queued: false,
        });
        if !self.speaks_frames {
            let _ = self.report.send(Event::Ready);
        }
        Ok(())
    }

    fn drive(&mut self, key: usize) -> io::Result<Turn> {
        let Player { sessions, play, scratch, report, until, speaks_frames, .. } = self;
        let session = &mut sessions[key];
        if session.head.is_some() && !session.answer(report)? {
            return Ok(Turn::Wait);
        }
        match play {
            Play::Source(block) => session.send(block, *until, report),
            Play::Sink(block) => session.verify(block, scratch, *until, report),
            Play::Echo(bytes) => session.echo(*bytes, *speaks_frames, scratch),
            Play::Quiet => Ok(session.wait_for_end(*speaks_frames, scratch)),
        }
    }
}

impl Session {
    /// Reads the request's head and answers it; true when that is done.
    fn answer(&mut self, report: &Sender<Event>) -> io::Result<bool> {
        let Some(head) = &mut self.head else { return Ok(true) };
        let mut buffer = [0; 1024];
        while self.socket.readable {
            match self.socket.read(&mut buffer)? {
                Some(count) if count > 0 => head.extend_from_slice(&buffer[..count]),
                Some(_) => return Err(io::Error::other("a session ended within its request")),
                None => break,
            }
        }
        if !head_is_whole(head) {
            return Ok(false);
        }
        self.head = None;
        write_small(&mut self.socket, ANSWER)?;
        let _ = report.send(Event::Ready);
        Ok(true)
    }

    fn send(&mut self, block: &mut Block, until: u64, report: &Sender<Event>) -> io::Result<Turn> {
        let start = self.cursor.number;
        while self.cursor.number < until && self.socket.writable {
            if self.cursor.number > start {
                return Ok(Turn::More);
            }
            let most = block.message_bytes() - self.cursor.at % block.message_bytes();
            let taken = self.socket.write(block.next(self.cursor, most))?;
            self.cursor.advance(taken, block.len());
            if self.cursor.number == until {
                let _ = report.send(Event::Done);
            }
        }
        if self.socket.readable && self.cursor.number >= until {
            return Ok(if self.socket.read(&mut [0; 64]).is_ok_and(|count| count.is_none()) {
                Turn::Wait
            } else {
                Turn::Ended
            });
        }
        Ok(Turn::Wait)
    }

    fn verify(
        &mut self,
        block: &mut Block,
        scratch: &mut [u8],
        until: u64,
        report: &Sender<Event>,
    ) -> io::Result<Turn> {
        if !self.socket.readable {
            return Ok(Turn::Wait);
        }
        let Cursor { number, at } = self.cursor;
        match self.socket.read(scratch) {
            Ok(None) => return Ok(Turn::Wait),
            Ok(Some(0)) if number >= until && at == 0 => return Ok(Turn::Ended),
            Ok(Some(0)) => {
                return Err(io::Error::other(format!("the stream ended in block {number} at {at}")));
            }
            Ok(Some(count)) if !block.check(&mut self.cursor, &scratch[..count]) => {
                return Err(io::Error::other(format!("wrong bytes up, in block {} or later", number)));
            }
            Ok(Some(_)) => {}
            Err(_) if number >= until && at == 0 => return Ok(Turn::Ended),
            Err(error) => return Err(error),
        }
        if number < until && self.cursor.number >= until {
            let _ = report.send(Event::Done);
        }
        Ok(if self.socket.readable { Turn::More } else { Turn::Wait })
    }

    fn echo(&mut self, bytes: usize, frames: bool, scratch: &mut [u8]) -> io::Result<Turn> {
        while self.socket.readable {
            let count = match self.socket.read(scratch) {
                Ok(None) => break,
                Ok(Some(0)) | Err(_) => return Ok(Turn::Ended),
                Ok(Some(count)) => count,
            };
            if !frames {
                write_small(&mut self.socket, &scratch[..count])?;
                continue;
            }
            self.partial.extend_from_slice(&scratch[..count]);
            while self.partial.len() >= bytes + CLIENT_HEADER_BYTES {
                let frame: Vec<u8> = self.partial.drain(..bytes + CLIENT_HEADER_BYTES).collect();
                let mut answer = Vec::with_capacity(frame.len());
                let payload: Vec<u8> =
                    frame[CLIENT_HEADER_BYTES..].iter().zip(KEY.iter().cycle()).map(|(a, b)| a ^ b).collect();
                put_frame(&mut answer, &payload, None);
                write_small(&mut self.socket, &answer)?;
            }
        }
        Ok(Turn::Wait)
    }

    fn wait_for_end(&mut self, frames: bool, scratch: &mut [u8]) -> Turn {
        while self.socket.readable {
            match self.socket.read(scratch) {
                Ok(None) => return Turn::Wait,
                Ok(Some(0)) | Err(_) => return Turn::Ended,
                Ok(Some(_)) if frames => {
                    let _ = write_small(&mut self.socket, &SERVER_CLOSE);
                    return Turn::Ended;
                }
                Ok(Some(_)) => {}
            }
        }
        Turn::Wait
    }
}

/// Writes a few bytes to a socket that has room for them.
fn write_small(socket: &mut Socket, bytes: &[u8]) -> io::Result<()> {
    match socket.write(bytes)? == bytes.len() {
        true => Ok(()),
        false => Err(io::Error::other("a socket had no room for a small message")),
    }
}

const LISTENER: u64 = u64::MAX;
const EAR: u64 = u64::MAX - 1;
const SCRATCH_BYTES: usize = 256 * 1024;

/// A client's frame of up to 125 bytes: two bytes and the key.
const CLIENT_HEADER_BYTES: usize = 6;
