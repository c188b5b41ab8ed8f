//! Target to client: read behind room for a frame header, write the header before it, write both at once.

use super::bulk::Spliced;
use super::{Down, Phase, Relay, TURN_BYTES, read_nothing};
use crate::conn::client::Client;
use crate::conn::cx::Cx;
use crate::conn::end::End;
use crate::id::Side;
use crate::metrics::Way;
use crate::net::socket::ReadEnd;
use crate::net::transport::Transport;
use crate::ring::Ring;
use crate::ws::{code, encode};

impl Relay {
    /// Moves what the target has sent, as far as the client accepts it, with control frames in between. A
    /// client that can't be written to is not an error here: what it sent before it left is still owed to the
    /// target.
    pub(super) fn pump_down(&mut self, client: &mut Client, cx: &mut Cx<'_>) {
        let mut budget = TURN_BYTES;
        loop {
            // The rest of a frame comes first, then control frames, then the next frame.
            if !self.flush_down(client, cx) {
                return;
            }
            let unsent = client.socket.unsent();
            match client.flush_out(cx.rings) {
                Ok(true) => self.down.offered(0, false, cx.now, cx.metrics.stalls(Way::Down)),
                Ok(false) => {
                    let taken = unsent.saturating_sub(client.socket.unsent());
                    self.down.offered(taken, true, cx.now, cx.metrics.stalls(Way::Down));
                    return;
                }
                Err(_) => return self.client_refused(client, cx),
            }
            if self.down_state == Down::Ended || !client.socket.is_writable() {
                return;
            }
            if !self.target.as_ref().is_some_and(Transport::is_readable) || self.tape_is_full() {
                return;
            }
            if budget == 0 {
                cx.again = true;
                return;
            }
            match self.splice_down(client, cx) {
                Spliced::No => {}
                Spliced::Moved(count) => {
                    cx.worked += count;
                    budget = budget.saturating_sub(count);
                    self.note_moved(client, count, cx.now);
                    continue;
                }
                Spliced::Broken => {
                    self.target_ended(client, true, cx);
                    continue;
                }
                Spliced::Refused => return self.client_refused(client, cx),
            }
            let limit = self.down.read_limit(cx.rings, cx.now);
            let Some(target) = &mut self.target else { return };
            let mut ring = cx.rings.take();
            ring.leave_room(encode::HEADROOM);
            let most = client.socket.write_max().saturating_sub(encode::HEADROOM);
            let limit = limit.min(ring.space().len()).min(most);
            match target.read(&mut ring.space()[..limit], cx.rings) {
                Ok(ReadEnd::Data(count)) => {
                    self.bulk.note(count);
                    self.note_read(Side::Target, client, count);
                    self.note_moved(client, count, cx.now);
                    budget = budget.saturating_sub(count);
                    cx.worked += count;
                    self.deliver(client, ring, count, cx);
                }
                Ok(ReadEnd::Blocked) => {
                    cx.rings.give(ring);
                    read_nothing(target, cx);
                    return;
                }
                Ok(ReadEnd::Eof) => {
                    cx.rings.give(ring);
                    self.target_ended(client, false, cx);
                }
                Err(_) => {
                    cx.rings.give(ring);
                    self.target_ended(client, true, cx);
                }
            }
        }
    }

    /// Makes the `count` bytes that lie in the space of `ring` a frame, and offers it to the client.
    fn deliver(&mut self, client: &mut Client, mut ring: Ring, count: usize, cx: &mut Cx<'_>) {
        self.count_down(count, cx);
        ring.fill(count);
        if self.tape.is_some() {
            self.take_down_down(ring.data(), cx);
        }
        ring.prepend(encode::header_before);
        match client.socket.write(ring.data(), cx.rings) {
            Ok(count) => {
                ring.consume(count);
                let left = !ring.is_empty() || client.socket.unsent() > 0;
                self.down.offered(count, left, cx.now, cx.metrics.stalls(Way::Down));
                if self.tape.is_some() {
                    self.take_down_sent(Side::Client, count, ring.is_empty(), cx);
                }
                if ring.is_empty() {
                    cx.rings.give(ring);
                } else {
                    self.down.held = Some(cx.rings.hold(ring));
                }
            }
            Err(_) => {
                cx.rings.give(ring);
                self.client_refused(client, cx);
            }
        }
    }

    /// Writes the rest of a frame that the client refused before; true when nothing of it is left.
    fn flush_down(&mut self, client: &mut Client, cx: &mut Cx<'_>) -> bool {
        if self.down.has_pipe() {
            return self.flush_pipe(client, cx);
        }
        let Some(held) = &self.down.held else { return true };
        match client.socket.write(held.data(), cx.rings) {
            Ok(count) => {
                self.down.consume(count, cx.rings);
                let left = self.down.held.is_some();
                self.down.offered(count, left, cx.now, cx.metrics.stalls(Way::Down));
                if self.tape.is_some() {
                    self.take_down_sent(Side::Client, count, !left, cx);
                }
                !left
            }
            Err(_) => {
                self.client_refused(client, cx);
                true
            }
        }
    }

    /// The target will send nothing more: all of its bytes are framed, so the Close comes right after them.
    fn target_ended(&mut self, client: &mut Client, broken: bool, cx: &mut Cx<'_>) {
        let broken = broken || self.down_state == Down::Broken;
        self.down_state = Down::Ended;
        if broken {
            self.stop_forwarding(cx);
        }
        if matches!(self.phase, Phase::Open) {
            let (end, close) = if broken {
                (End::TargetReset, (code::INTERNAL_ERROR, "Target connection broken"))
            } else {
                (End::TargetClosed, (code::NORMAL, "Target closed"))
            };
            self.close(client, end, close, cx);
        }
    }

    /// The client can't be written to. It may have sent something, even a Close, before it left: that is read
    /// to the end, which comes at once.
    pub(super) fn client_refused(&mut self, client: &mut Client, cx: &mut Cx<'_>) {
        self.down_state = Down::Ended;
        self.down.release(cx.rings, cx.metrics.stalls(Way::Down));
        client.out.clear();
        client.socket.note_ready(true, false, false);
        cx.again = true;
    }
}
