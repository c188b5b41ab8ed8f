//! The client: a fleet of WebSocket sessions through one proxy, driven from one thread.
//!
//! A fleet floods, or takes a flood, or plays ping-pong; every byte that comes back is compared. It talks
//! the same WebSocket to every proxy, whoever answers it.

use crate::load::block::{Block, Cursor};
use crate::load::line::{Dialer, Line};
use crate::load::mix::{
    Cutter, EVENT_BYTES, EVENTS_PER_S, Message, Pace, UPDATE_BYTES, UPDATES_PER_S, messages,
};
use crate::load::poll::Poll;
use crate::load::target::Target;
use crate::load::wire::{KEY, REQUEST, Stripper, check_answer, head_is_whole, put_frame};
use std::collections::VecDeque;
use std::io;
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Sessions that stand, and where each is in its stream.
pub(crate) struct Fleet {
    poll: Poll,
    members: Vec<Member>,
    queue: VecDeque<usize>,
    scratch: Vec<u8>,
    deadline: Instant,
}

struct Member {
    line: Line,
    stripper: Stripper,
    cursor: Cursor,
    queued: bool,
    /// Of a ping-pong: which session, which trip, when its message left, and what has come back of it.
    number: u64,
    trip: u64,
    sent_at: Instant,
    answer: Vec<u8>,
    /// Of a mix: the update that is not whole yet.
    cutter: Cutter,
}

impl Fleet {
    /// Opens `sessions` sessions, one after the other, and waits until the target has them all.
    pub(crate) fn open(
        proxy: &Dialer,
        sessions: usize,
        target: &Target,
        deadline: Instant,
    ) -> io::Result<Fleet> {
        let poll = Poll::new()?;
        let mut members = Vec::with_capacity(sessions);
        for index in 0..sessions {
            let line = upgrade(proxy, deadline)?;
            poll.add_stream(line.stream(), index as u64)?;
            members.push(Member {
                line,
                stripper: Stripper::default(),
                cursor: Cursor::default(),
                queued: false,
                number: index as u64,
                trip: 0,
                sent_at: Instant::now(),
                answer: Vec::new(),
                cutter: Cutter::default(),
            });
        }
        target.wait_ready(sessions, deadline)?;
        Ok(Fleet { poll, members, queue: VecDeque::new(), scratch: vec![0; SCRATCH_BYTES], deadline })
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Frames that the proxy has sent so far, in all sessions.
    pub(crate) fn frames(&self) -> u64 {
        self.members.iter().map(|member| member.stripper.frames).sum()
    }

    /// Takes and verifies the flood until every session has passed `until` blocks.
    pub(crate) fn receive(&mut self, block: &mut Block, until: u64, target: &Target) -> io::Result<()> {
        self.drive(target, |member, scratch| member.receive(block, scratch, until))
    }

    /// Floods until every session has sent `until` blocks.
    pub(crate) fn send(&mut self, block: &mut Block, until: u64, target: &Target) -> io::Result<()> {
        self.drive(target, |member, _| member.send(block, until))
    }

    /// Plays ping-pong with messages of `bytes` bytes until every session has made `until` trips. Returns
    /// each trip's nanoseconds.
    pub(crate) fn ping_pong(&mut self, bytes: usize, until: u64, target: &Target) -> io::Result<Vec<f64>> {
        let mut times = Vec::new();
        for member in &mut self.members {
            member.serve(bytes)?;
        }
        self.drive(target, |member, scratch| member.play(bytes, until, scratch, &mut times))?;
        Ok(times)
    }

    /// Sends events and takes updates for `duration_ms`. Returns the nanoseconds that each update was under
    /// way.
    pub(crate) fn mix(&mut self, duration_ms: u64, target: &Target) -> io::Result<Vec<f64>> {
        let sessions = self.members.len();
        let mut event = Message::new(EVENT_BYTES, true, true);
        let update = Message::new(UPDATE_BYTES, false, false);
        let mut pace = Pace::new(sessions, EVENTS_PER_S, messages(sessions, EVENTS_PER_S, duration_ms));
        let updates = messages(sessions, UPDATES_PER_S, duration_ms) as usize;
        let mut times = Vec::with_capacity(updates);
        while times.len() < updates || !pace.is_over() {
            while let Some(number) = pace.next_due() {
                self.members[number as usize % sessions].line.write_small(event.stamped())?;
            }
            self.poll.wait(Some(if pace.is_over() { LOOK_UP } else { pace.wait().min(LOOK_UP) }))?;
            for index in 0..self.poll.len() {
                let (member, ready) = self.poll.event(index);
                let member = &mut self.members[member as usize];
                member.line.note(ready)?;
                member.take_updates(&update, &mut self.scratch, &mut times)?;
            }
            target.check()?;
            if Instant::now() > self.deadline {
                return Err(io::Error::other(format!("{} of {updates} updates came in time", times.len())));
            }
        }
        Ok(times)
    }

    /// Runs `step` for each member that can go on until all of them are done.
    fn drive(
        &mut self,
        target: &Target,
        mut step: impl FnMut(&mut Member, &mut [u8]) -> io::Result<Step>,
    ) -> io::Result<()> {
        let mut busy = self.members.len();
        for index in 0..self.members.len() {
            self.enqueue(index);
        }
        let mut finished = vec![false; self.members.len()];
        while busy > 0 {
            for _ in 0..self.queue.len() {
                let Some(index) = self.queue.pop_front() else { break };
                self.members[index].queued = false;
                if finished[index] {
                    continue;
                }
                match step(&mut self.members[index], &mut self.scratch)? {
                    Step::Wait => {}
                    Step::More => self.enqueue(index),
                    Step::Done => {
                        finished[index] = true;
                        busy -= 1;
                    }
                }
            }
            if busy == 0 {
                break;
            }
            self.poll.wait(Some(if self.queue.is_empty() { LOOK_UP } else { Duration::ZERO }))?;
            for event in 0..self.poll.len() {
                let (index, ready) = self.poll.event(event);
                self.members[index as usize].line.note(ready)?;
                self.enqueue(index as usize);
            }
            if self.poll.len() == 0 && self.queue.is_empty() {
                target.check()?;
                if Instant::now() > self.deadline {
                    return Err(io::Error::other(format!("{busy} sessions were not done in time")));
                }
            }
        }
        Ok(())
    }

    fn enqueue(&mut self, index: usize) {
        if !std::mem::replace(&mut self.members[index].queued, true) {
            self.queue.push_back(index);
        }
    }
}

/// How a member goes on after its step.
enum Step {
    Wait,
    More,
    Done,
}

impl Member {
    fn receive(&mut self, block: &mut Block, scratch: &mut [u8], until: u64) -> io::Result<Step> {
        let Member { line, stripper, cursor, .. } = self;
        if !line.is_readable() {
            return Ok(Step::Wait);
        }
        let count = match line.read(scratch)? {
            None => return Ok(Step::Wait),
            Some(0) => return Err(io::Error::other(format!("the proxy hung up in block {}", cursor.number))),
            Some(count) => count,
        };
        stripper.feed(&scratch[..count], |payload| match block.check(cursor, payload) {
            true => Ok(()),
            false => Err(io::Error::other(format!("wrong bytes down, in block {}", cursor.number))),
        })?;
        Ok(match cursor.number >= until {
            true => Step::Done,
            false if line.is_readable() => Step::More,
            false => Step::Wait,
        })
    }

    fn send(&mut self, block: &mut Block, until: u64) -> io::Result<Step> {
        let Member { line, cursor, .. } = self;
        if cursor.number < until && line.is_writable() {
            let taken = line.write(block.next(*cursor, usize::MAX))?;
            cursor.advance(taken, block.len());
        }
        Ok(match cursor.number >= until {
            true if line.is_flushed() => Step::Done,
            false if line.is_writable() => Step::More,
            _ => Step::Wait,
        })
    }

    /// Sends the message of the next trip.
    fn serve(&mut self, bytes: usize) -> io::Result<()> {
        self.answer.clear();
        self.trip += 1;
        let mut frame = Vec::with_capacity(bytes + 16);
        put_frame(&mut frame, &ball(self.number, self.trip, bytes), Some(KEY));
        self.sent_at = Instant::now();
        self.line.write_small(&frame)
    }

    fn take_updates(&mut self, update: &Message, scratch: &mut [u8], times: &mut Vec<f64>) -> io::Result<()> {
        let Member { line, stripper, cutter, .. } = self;
        while line.is_readable() {
            let count = match line.read(scratch)? {
                None => break,
                Some(0) => return Err(io::Error::other("the proxy hung up")),
                Some(count) => count,
            };
            stripper.feed(&scratch[..count], |payload| {
                let good = cutter.feed(update.len(), payload, |received| {
                    update.age_ns(received).map(|time_ns| times.push(time_ns)).is_some()
                });
                if good { Ok(()) } else { Err(io::Error::other("a wrong update came down")) }
            })?;
        }
        Ok(())
    }

    /// Takes what came back and, when it is whole, goes on to the next trip.
    fn play(
        &mut self,
        bytes: usize,
        until: u64,
        scratch: &mut [u8],
        times: &mut Vec<f64>,
    ) -> io::Result<Step> {
        if !self.line.is_readable() {
            return Ok(Step::Wait);
        }
        let Member { line, stripper, answer, .. } = self;
        match line.read(scratch)? {
            None => return Ok(Step::Wait),
            Some(0) => return Err(io::Error::other("the proxy hung up")),
            Some(count) => stripper.feed(&scratch[..count], |payload| {
                answer.extend_from_slice(payload);
                Ok(())
            })?,
        }
        if self.answer.len() < bytes {
            return Ok(if self.line.is_readable() { Step::More } else { Step::Wait });
        }
        times.push(self.sent_at.elapsed().as_nanos() as f64);
        if self.answer != ball(self.number, self.trip, bytes) {
            return Err(io::Error::other(format!("session {} got a wrong answer", self.number)));
        }
        if self.trip >= until {
            return Ok(Step::Done);
        }
        self.serve(bytes)?;
        Ok(if self.line.is_readable() { Step::More } else { Step::Wait })
    }
}

/// Connects and upgrades; the stream is non-blocking afterwards.
fn upgrade(proxy: &Dialer, deadline: Instant) -> io::Result<Line> {
    let stream = TcpStream::connect(proxy.addr)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LOOK_UP))?;
    let mut line = proxy.line(stream)?;
    line.set_ready(true);
    line.write_small(REQUEST)?;
    let (mut head, mut buffer) = (Vec::new(), [0; 1024]);
    while !head_is_whole(&head) {
        line.set_ready(true);
        match line.read(&mut buffer)? {
            Some(0) => return Err(io::Error::other("the proxy hung up before it answered the upgrade")),
            Some(count) => head.extend_from_slice(&buffer[..count]),
            None if Instant::now() > deadline => return Err(io::Error::other("an upgrade was not answered")),
            None => {}
        }
    }
    check_answer(&head)?;
    line.stream().set_nonblocking(true)?;
    line.set_ready(false);
    Ok(line)
}

/// The message that session `number` sends on its trip `trip`.
fn ball(number: u64, trip: u64, bytes: usize) -> Vec<u8> {
    let seed = (number << 40 | trip).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    seed.to_le_bytes().into_iter().cycle().take(bytes).collect()
}

const SCRATCH_BYTES: usize = 256 * 1024;

/// How often a fleet that waits looks whether the target has failed or time is up.
const LOOK_UP: Duration = Duration::from_millis(100);
