//! The plain relay: what moving the bytes costs, and the yardstick of every figure.
//!
//! One thread, one buffer per busy direction, one `recv` and one `send` per piece. It makes no call that it
//! can do without: sockets are registered once and edge-triggered, a send follows its read at once,
//! writability is waited for only after a refusal, a read that did not fill the buffer has drained the
//! socket, and TCP_NODELAY is inherited from the listener. Idle sessions hold no buffer.
//!
//! The yardstick's buffer is 64 KiB. That is a little more than the loopback's largest segment (65,483
//! bytes), so each full send leaves in two; a relay with 256 KiB runs beside it as the harder measure.

use crate::load::poll::{Poll, Socket, accept};
use rustix::net::sockopt::set_tcp_nodelay;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
use slab::Slab;
use std::collections::VecDeque;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// Relays every connection to `listen` to `target` until the process is killed. Says the bound address on
/// stderr in the form that the bench looks for.
pub(crate) fn serve(listen: SocketAddr, target: SocketAddr, buffer_bytes: usize) -> io::Result<()> {
    let listener = TcpListener::bind(listen)?;
    listener.set_nonblocking(true)?;
    set_tcp_nodelay(&listener, true)?;
    let poll = Poll::new()?;
    poll.add_level(&listener, LISTENER)?;
    eprintln!("  - proxying from {} to {target}", listener.local_addr()?);
    let relay = Relay {
        poll,
        listener,
        target,
        sessions: Slab::new(),
        buffers: Buffers { spare: Vec::new(), bytes: buffer_bytes },
        queue: VecDeque::new(),
        dead: Vec::new(),
    };
    relay.run()
}

struct Relay {
    poll: Poll,
    listener: TcpListener,
    target: SocketAddr,
    sessions: Slab<Session>,
    buffers: Buffers,
    /// Sessions with work left over after their share of a turn.
    queue: VecDeque<usize>,
    /// Sessions that ended in this batch; their slots are freed after it, so that no event is mistaken.
    dead: Vec<usize>,
}

/// Buffers that no direction holds, the last used on top, so that it is still in the cache.
struct Buffers {
    spare: Vec<Box<[u8]>>,
    bytes: usize,
}

struct Session {
    client: Socket,
    target: Socket,
    up: Direction,
    down: Direction,
    queued: bool,
}

#[derive(Default)]
struct Direction {
    held: Option<Held>,
    ended: bool,
}

/// Bytes that were read and not yet taken by the other end.
struct Held {
    buffer: Box<[u8]>,
    from: usize,
    to: usize,
}

impl Relay {
    fn run(mut self) -> io::Result<()> {
        loop {
            let timeout = if self.queue.is_empty() { None } else { Some(Duration::ZERO) };
            self.poll.wait(timeout)?;
            for _ in 0..self.queue.len() {
                if let Some(key) = self.queue.pop_front() {
                    self.sessions[key].queued = false;
                    self.drive(key);
                }
            }
            for index in 0..self.poll.len() {
                match self.poll.event(index) {
                    (LISTENER, _) => self.accept()?,
                    (token, ready) => {
                        let key = (token >> 1) as usize;
                        let Session { client, target, .. } = &mut self.sessions[key];
                        if token & 1 == 1 {
                            target.note(ready)
                        } else {
                            client.note(ready)
                        }
                        self.drive(key);
                    }
                }
            }
            self.bury();
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        let Some(client) = accept(&self.listener)? else { return Ok(()) };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let target = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        set_tcp_nodelay(&target, true)?;
        match connect(&target, &self.target) {
            Ok(()) => {}
            Err(error) if error == rustix::io::Errno::INPROGRESS => {}
            Err(_) => return Ok(()),
        }
        let entry = self.sessions.vacant_entry();
        let token = (entry.key() as u64) << 1;
        self.poll.add_stream(&client, token)?;
        self.poll.add_stream(&target, token | 1)?;
        entry.insert(Session {
            client: Socket::new(client),
            target: Socket::new(TcpStream::from(target)),
            up: Direction::default(),
            down: Direction::default(),
            queued: false,
        });
        Ok(())
    }

    fn drive(&mut self, key: usize) {
        let Session { client, target, up, down, queued } = &mut self.sessions[key];
        let moved = up
            .pump(client, target, &mut self.buffers)
            .and_then(|more| Ok(more | down.pump(target, client, &mut self.buffers)?));
        match moved {
            Ok(_) if up.ended && down.ended => self.dead.push(key),
            Ok(true) if !*queued => {
                *queued = true;
                self.queue.push_back(key);
            }
            Ok(_) => {}
            Err(_) => self.dead.push(key),
        }
    }

    fn bury(&mut self) {
        while let Some(key) = self.dead.pop() {
            let Some(session) = self.sessions.try_remove(key) else { continue };
            if session.queued {
                self.queue.retain(|&other| other != key);
            }
            for direction in [session.up, session.down] {
                self.buffers.spare.extend(direction.held.map(|held| held.buffer));
            }
        }
    }
}

impl Direction {
    /// Moves what can be moved, within one turn's share. True: there is more to do without an event.
    fn pump(&mut self, from: &mut Socket, to: &mut Socket, buffers: &mut Buffers) -> io::Result<bool> {
        for _ in 0..READS_PER_TURN {
            if !self.flush(to, buffers)? || self.ended || !from.readable {
                return Ok(false);
            }
            let fresh = || vec![0; buffers.bytes].into_boxed_slice();
            let mut buffer = buffers.spare.pop().unwrap_or_else(fresh);
            match from.read(&mut buffer)? {
                None => buffers.spare.push(buffer),
                Some(0) => {
                    self.ended = true;
                    buffers.spare.push(buffer);
                    let _ = to.stream.shutdown(Shutdown::Write);
                }
                Some(count) => self.held = Some(Held { buffer, from: 0, to: count }),
            }
        }
        Ok(self.flush(to, buffers)? && from.readable && !self.ended)
    }

    /// Sends what is held; true when nothing is held any more.
    fn flush(&mut self, to: &mut Socket, buffers: &mut Buffers) -> io::Result<bool> {
        let Some(held) = &mut self.held else { return Ok(true) };
        if to.writable {
            held.from += to.write(&held.buffer[held.from..held.to])?;
        }
        let flushed = held.from == held.to;
        if flushed {
            buffers.spare.extend(self.held.take().map(|held| held.buffer));
        }
        Ok(flushed)
    }
}

const LISTENER: u64 = u64::MAX;

/// One direction's share of a turn, so that a flood does not starve other sessions.
const READS_PER_TURN: usize = 16;
