//! The relay of a session: two directions pumped in place, and how they come to an end.
//!
//! `up` decodes what the client sends and writes it to the target; `down` frames what the target sends and
//! writes it to the client. Each moves on its own. What ends the session is decided here, in one place: a
//! phase says who is leaving and what is still owed, and [`Relay::pump`] is done when nothing is owed.

mod bulk;
mod direction;
mod down;
mod fresh;
mod system;
mod traffic;
mod up;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::client::Client;
use super::cx::Cx;
use super::delivery::{Delivery, STALL, UNANSWERED_MAX};
use super::end::End;
use super::frontend::Destination;
use super::tape::Tape;
use crate::id::Side;
use crate::metrics::{Closer, Ping, Way};
use crate::net::transport::Transport;
use crate::net::tuning::UNACKNOWLEDGED_MAX;
use crate::timers::Tick;
use crate::ws::decode::{CloseFrame, Decoder};
use direction::Direction;
pub use traffic::Traffic;

/// A session: a client, a target, and the bytes on their way.
#[derive(Debug)]
pub struct Relay {
    /// Where the session goes, for the log.
    pub to: Arc<Destination>,
    /// `None` when the target could not be reached, and the client is told so.
    target: Option<Transport>,
    decoder: Decoder,
    up: Direction,
    down: Direction,
    up_state: Up,
    down_state: Down,
    phase: Phase,
    /// The code of the Close that the client has sent, 1005 if it had none.
    close_code: Option<u16>,
    /// The client has ended its side: it will send nothing more.
    client_is_done: bool,
    bulk: bulk::Bulk,
    system: system::System,
    /// The session's recording.
    tape: Option<Box<Tape>>,
    /// When the client is pinged next.
    heartbeat_at: Tick,
    /// When the client was last heard, or its silence was last excused.
    heard_at: Tick,
    /// Ticks of silence after which the client counts as gone; pings are more frequent than that.
    silence_ticks: u32,
    /// Bytes that its system had not acknowledged at the last heartbeat.
    unacknowledged: u32,
    pings: traffic::Pings,
    /// What has been moved.
    traffic: Traffic,
}

/// Client to target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Up {
    /// Data goes to the target.
    Running,
    /// The target accepts no more. The client is still read for its Close, and its data is dropped.
    Discarding,
    /// Nothing more comes from the client.
    Ended,
}

/// Target to client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Down {
    /// Data goes to the client.
    Running,
    /// The target's connection broke or refused our data: what it sent last is still read.
    Broken,
    /// Nothing more is read from the target here.
    Ended,
}

/// How far the session is from its end.
#[derive(Debug)]
enum Phase {
    /// Both ends are there.
    Open,
    /// Our Close frame is queued or sent; the client's is awaited.
    Closing(Box<Closing>),
    /// Nothing more comes from the client; what it sent is flushed, then the frame, if one is owed, is sent.
    Ending(End, Option<Box<CloseFrame>>),
    /// The end has been handed out.
    Over,
}

#[derive(Debug)]
struct Closing {
    end: Option<End>,
    look_at: Tick,
    delivery: Delivery,
}

impl Relay {
    /// A session whose target is connected; the client's frames go on from `decoder`.
    pub fn new(
        to: Arc<Destination>,
        target: Transport,
        client: &mut Client,
        decoder: Decoder,
        tape: Option<Box<Tape>>,
        cx: &Cx<'_>,
    ) -> Relay {
        if let Some(tape) = &tape {
            tape.relaying(cx);
        }
        let fresh = fresh::Fresh::begin(client, &target, cx.now);
        let mut relay = Relay { tape, ..Relay::begin(to, Some(target), decoder, cx) };
        if let Some(fresh) = fresh {
            // If the target's buffer has grown already, it is bounded like any other.
            relay.system.target = fresh.bounds_target();
            relay.down.set_fresh(Some(fresh));
        }
        relay
    }

    /// A session whose client leaves before there is a target: the bytes kept are the end of its frames.
    pub fn leaving(to: Arc<Destination>, decoder: Decoder, cx: &Cx<'_>) -> Relay {
        Relay { up_state: Up::Discarding, down_state: Down::Ended, ..Relay::begin(to, None, decoder, cx) }
    }

    /// A session that ends before it began: the client is sent a Close with this code and its own is awaited.
    pub fn without_target(
        to: Arc<Destination>,
        client: &mut Client,
        end: End,
        close: (u16, &str),
        decoder: Decoder,
        cx: &Cx<'_>,
    ) -> Relay {
        let mut relay = Relay::leaving(to, decoder, cx);
        relay.close(client, end, close, cx);
        relay
    }

    fn begin(to: Arc<Destination>, target: Option<Transport>, decoder: Decoder, cx: &Cx<'_>) -> Relay {
        Relay {
            to,
            target,
            decoder,
            up: Direction::default(),
            down: Direction::default(),
            up_state: Up::Running,
            down_state: Down::Running,
            phase: Phase::Open,
            close_code: None,
            client_is_done: false,
            bulk: bulk::Bulk::default(),
            system: system::System::default(),
            tape: None,
            heartbeat_at: next_heartbeat(cx),
            heard_at: cx.now,
            silence_ticks: cx.frontend.heartbeat.map_or(0, |period| Tick::ticks_of(silence(period))),
            unacknowledged: 0,
            pings: traffic::Pings::default(),
            traffic: Traffic::new(cx.now),
        }
    }

    /// Moves what can be moved. `Ok(Some(end))` when nothing is owed to either side any more and both sockets
    /// can be closed cleanly.
    ///
    /// # Errors
    /// The session is over at once: the client's connection is broken.
    pub fn pump(&mut self, client: &mut Client, cx: &mut Cx<'_>) -> Result<Option<End>, End> {
        self.pump_up(client, cx)?;
        self.pump_down(client, cx);
        if let Some(tape) = &mut self.tape {
            tape.look(cx.now);
        }
        Ok(self.settle(client, cx))
    }

    /// Bytes that are kept for it outside of rings: those waiting for the disk, and those in a pipe.
    pub fn kept_bytes(&self) -> usize {
        let of_tape = self.tape.as_ref().map_or(0, |tape| tape.held_bytes());
        of_tape + self.down.pipe_len()
    }

    /// Whether neither end is read, because too much of the recording waits for the disk.
    fn tape_is_full(&self) -> bool {
        self.tape.as_ref().is_some_and(|tape| tape.is_full())
    }

    /// Since when the disk has accepted nothing.
    fn tape_stalled_at(&self) -> Tick {
        self.tape.as_ref().map_or(Tick::NEVER, |tape| tape.stalled_at())
    }

    /// Whether neither end has begun to leave.
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// Which end is not reading, if any.
    pub fn stalled_side(&self) -> Option<Side> {
        match (self.down.stalled_at, self.up.stalled_at) {
            (Tick::NEVER, Tick::NEVER) => None,
            (Tick::NEVER, _) => Some(Side::Target),
            _ => Some(Side::Client),
        }
    }

    /// The target's socket, for events.
    pub fn target(&mut self) -> Option<&mut Transport> {
        self.target.as_mut()
    }

    /// The code of the client's Close, if one came; 1005 if it had none.
    pub fn close_code(&self) -> Option<u16> {
        self.close_code
    }

    /// The end that refuses bytes now.
    pub fn stalled(&self) -> Option<Side> {
        match (self.up.stalled_at, self.down.stalled_at) {
            (Tick::NEVER, Tick::NEVER) => None,
            (up, down) if up < down => Some(Side::Target),
            _ => Some(Side::Client),
        }
    }

    /// The target's address, as long as the system knows it.
    pub fn target_address(&self) -> Option<SocketAddr> {
        self.target.as_ref()?.peer_address()
    }

    /// Whether there is a target's socket.
    pub fn has_target(&self) -> bool {
        self.target.is_some()
    }

    /// Takes the target's socket out, for closing it.
    pub fn take_target(&mut self) -> Option<Transport> {
        self.target.take()
    }

    /// Whether the client will send nothing more.
    pub fn client_is_done(&self) -> bool {
        self.client_is_done
    }

    /// Gives back what is held, at the session's end.
    pub fn release(&mut self, cx: &mut Cx<'_>) {
        self.up.release(cx.rings, cx.metrics.stalls(Way::Up));
        self.down.release(cx.rings, cx.metrics.stalls(Way::Down));
    }

    /// When an end began to refuse bytes: the earlier of the two directions. If none does, when the client was
    /// heard last, since only what it has begun can be held then.
    pub fn stalled_at(&self) -> Tick {
        match self.up.stalled_at.min(self.down.stalled_at).min(self.tape_stalled_at()) {
            Tick::NEVER => self.heard_at,
            stalled_at => stalled_at,
        }
    }

    /// Bytes that are held here for an end that refuses them, in whole buffers.
    pub fn held_bytes(&self) -> usize {
        self.up.capacity() + self.down.capacity() + self.target.as_ref().map_or(0, Transport::held_bytes)
    }

    /// Whether bytes are held here for an end that refuses them.
    fn is_holding(&self) -> bool {
        self.up_waits() || self.down.is_holding()
    }

    /// Sends the client a Close, at the next frame boundary, because we end the session.
    pub fn end(&mut self, client: &mut Client, end: End, close: (u16, &str), cx: &Cx<'_>) {
        if self.is_open() {
            self.down_state = Down::Ended;
            self.close(client, end, close, cx);
        }
    }

    /// Handles an expired deadline.
    ///
    /// # Errors
    /// The session is over.
    pub fn expired(&mut self, client: &mut Client, cx: &Cx<'_>) -> Result<(), End> {
        let target = self.target.as_ref();
        if self.up.is_stalled(|| target.map_or(0, Transport::unacknowledged), cx.now) {
            return Err(self.end_or(End::TargetStalled));
        }
        if self.down.is_stalled(|| client.socket.unacknowledged(), cx.now) {
            return Err(self.end_or(End::ClientStalled));
        }
        if let Some(tape) = &mut self.tape {
            tape.look(cx.now);
            if tape.stalled_at() != Tick::NEVER && cx.now.since(tape.stalled_at()) >= DISK_STALL {
                tape.give_up();
            }
        }
        self.look_at_waits(client, cx);
        self.beat(client, cx)?;
        if let Phase::Closing(closing) = &mut self.phase
            && cx.now >= closing.look_at
        {
            closing.look_at = cx.now.after(CLOSE / 2);
            // While the target is not reading, the client is not read either, and its Close can't be seen.
            let to_target = self.up.len() + self.target.as_ref().map_or(0, Transport::unsent);
            let undelivered = client.socket.unacknowledged() + self.down.len() + to_target;
            if closing.delivery.is_over(undelivered, cx.now)
                || closing.delivery.is_hopeless(client.socket.unanswered(), cx)
            {
                return Err(self.end_or(End::ClientStalled));
            }
        }
        Ok(())
    }

    /// When to call [`Relay::expired`].
    pub fn deadline(&self) -> Tick {
        let mut deadline = self.heartbeat_at;
        if deadline != Tick::NEVER {
            deadline = deadline.min(self.heard_at.plus(self.silence_ticks));
        }
        for direction in [&self.up, &self.down] {
            deadline = deadline.min(direction.deadline());
        }
        deadline = deadline.min(self.release_at());
        if self.tape_stalled_at() != Tick::NEVER {
            deadline = deadline.min(self.tape_stalled_at().after(DISK_STALL));
        }
        match &self.phase {
            Phase::Closing(closing) => deadline.min(closing.look_at),
            _ => deadline,
        }
    }

    /// Pings the client when it is time, and notices when it has not answered for too long.
    fn beat(&mut self, client: &mut Client, cx: &Cx<'_>) -> Result<(), End> {
        let silent = cx.now >= self.heard_at.plus(self.silence_ticks);
        if self.heartbeat_at == Tick::NEVER || (cx.now < self.heartbeat_at && !silent) {
            return Ok(());
        }
        // While the target is not reading, the client is not read either, and its pongs can't be seen. And a
        // client that does not read can't see our pings. But its TCP stack still acknowledges: as long as it
        // does, the silence is excused, and also while data sent before our pings still arrives.
        let left = client.socket.unacknowledged().try_into().unwrap_or(u32::MAX);
        let arrives = left < std::mem::replace(&mut self.unacknowledged, left);
        let excused =
            self.up_waits() || self.tape_is_full() || self.down.stalled_at != Tick::NEVER || arrives;
        // A process that was stopped has pinged nobody meanwhile, so nobody owes it an answer.
        let stopped = cx.now >= self.heartbeat_at.after(LATE_MAX);
        if stopped {
            self.heard_at = cx.now;
        } else if excused && client.socket.unanswered() <= UNANSWERED_MAX {
            // Whether its system answered is known as of the last heartbeat, not of this moment.
            let heartbeat = cx.frontend.heartbeat.map_or(0, |period| Tick::ticks_of(period * 3 / 4));
            self.heard_at = self.heard_at.max(cx.now.minus(heartbeat));
        } else if silent {
            return Err(self.end_or(End::ClientSilent));
        }
        if cx.now >= self.heartbeat_at {
            // Behind data that the client does not read, one ping is as good as many.
            if client.out.is_empty() {
                client.out.ping(&self.pings.send());
                cx.metrics.pings.count(Ping::Sent as usize);
            }
            self.heartbeat_at = next_heartbeat(cx);
        }
        Ok(())
    }

    /// Queues our Close frame and begins to wait for the client's.
    fn close(&mut self, client: &mut Client, end: End, (code, reason): (u16, &str), cx: &Cx<'_>) {
        let by = match &end {
            End::TargetClosed | End::TargetReset => Closer::Target,
            _ => Closer::Us,
        };
        cx.metrics.closed(by, code);
        client.out.close(Some(code), reason);
        self.heartbeat_at = Tick::NEVER;
        self.phase = Phase::Closing(Box::new(Closing {
            end: Some(end),
            look_at: cx.now.after(CLOSE / 2),
            delivery: Delivery::new(cx.now),
        }));
    }

    /// Nothing more comes from the client: `end` becomes the session's ending, unless something else ended it
    /// before.
    fn client_ended(&mut self, end: End, echo: Option<Box<CloseFrame>>) {
        self.up_state = Up::Ended;
        self.down_state = Down::Ended;
        self.heartbeat_at = Tick::NEVER;
        let was_open = matches!(self.phase, Phase::Open);
        let end = self.end_or(end);
        self.phase = Phase::Ending(end, if was_open { echo } else { None });
    }

    /// The reason that was decided before, else `end`.
    pub fn end_or(&mut self, end: End) -> End {
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Closing(mut closing) => closing.end.take().unwrap_or(end),
            Phase::Ending(decided, _) => decided,
            Phase::Open | Phase::Over => end,
        }
    }

    /// Whether bytes are waiting for the target.
    fn up_waits(&self) -> bool {
        self.up.held.is_some() || self.target.as_ref().is_some_and(|target| target.unsent() > 0)
    }

    /// Ends the session when everything that was owed has been written.
    fn settle(&mut self, client: &mut Client, cx: &mut Cx<'_>) -> Option<End> {
        let owed = self.is_holding();
        let Phase::Ending(_, echo) = &mut self.phase else { return None };
        if owed {
            return None;
        }
        if let Some(frame) = echo.take() {
            client.out.close(frame.code, &frame.reason);
        }
        match client.flush_last(cx.rings) {
            Ok(false) => {
                // This may be the first data that the client refuses, so its stall begins here.
                self.down.offered(0, true, cx.now, cx.metrics.stalls(Way::Down));
                None
            }
            Ok(true) => Some(self.end_or(End::ClientClosed)),
            // The client is gone and can't be told any more. The target is still closed gracefully: closing
            // it with unread data would destroy what was written to it last.
            Err(_) => {
                client.out.clear();
                Some(self.end_or(End::ClientClosed))
            }
        }
    }
}

/// Calls to the tape. Cold: most sessions have none, and the relay's own code stays small.
impl Relay {
    #[cold]
    fn take_down_up(&mut self, payload: &[u8], closing: bool, cx: &Cx<'_>) {
        if let Some(tape) = &mut self.tape {
            tape.up(payload, closing, cx);
        }
    }

    #[cold]
    fn take_down_down(&mut self, payload: &[u8], cx: &Cx<'_>) {
        if let Some(tape) = &mut self.tape {
            tape.down(payload, cx);
        }
    }

    /// `count` bytes were accepted; `whole` if that was all that was offered.
    #[cold]
    fn take_down_sent(&mut self, to: Side, count: usize, whole: bool, cx: &Cx<'_>) {
        if let Some(tape) = &mut self.tape
            && count > 0
        {
            tape.sent(to, whole, cx);
        }
    }
}

/// A read brought nothing. If there is still more, records without data were opened, which is work like any
/// other, and the rest gets its turn later.
fn read_nothing(from: &Transport, cx: &mut Cx<'_>) {
    if from.is_readable() {
        cx.worked += TURN_BYTES;
        cx.again = true;
    }
}

fn next_heartbeat(cx: &Cx<'_>) -> Tick {
    cx.frontend.heartbeat.map_or(Tick::NEVER, |period| cx.now.after(period))
}

/// The silence that ends a session: two and a half heartbeats, so that one lost answer does no harm, and
/// never so short that a network's hiccup does.
fn silence(heartbeat: Duration) -> Duration {
    (heartbeat * 5 / 2).max(SILENCE_MIN)
}

/// A client is never ended for a silence shorter than this, however short the heartbeat.
const SILENCE_MIN: Duration = Duration::from_secs(10);

/// A heartbeat that is later than this was held up by more than work.
const LATE_MAX: Duration = Duration::from_secs(1);

// The system must not break a connection before we do.
const _: () = assert!(UNACKNOWLEDGED_MAX.as_secs() > STALL.as_secs());

/// Time for a client to answer our Close, counted from when everything is delivered.
pub const CLOSE: Duration = Duration::from_secs(10);

/// A disk that accepts nothing for this long may never do: the session continues without its recording.
const DISK_STALL: Duration = Duration::from_secs(60);

/// Bytes that one direction may move in one turn before others have theirs.
const TURN_BYTES: usize = 128 * 1024;

/// What a session holds while it is relayed.
#[cfg(test)]
pub(super) fn parts() -> crate::parts::Parts {
    let relay = crate::parts::parts!(Relay: to, target, decoder, up, down, up_state, down_state, phase, close_code, client_is_done,
        bulk, system, tape, heartbeat_at, heard_at, silence_ticks, unacknowledged, pings, traffic);
    [relay, traffic::parts()].concat()
}
