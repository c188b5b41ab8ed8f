//! Client to target: read, decode in place, write. A burst of small frames leaves in one write.

use super::{Down, Phase, Relay, TURN_BYTES, Up, read_nothing};
use crate::conn::client::{Client, Out};
use crate::conn::cx::Cx;
use crate::conn::end::End;
use crate::id::Side;
use crate::metrics::{Closer, Ping, Way};
use crate::net::fault::Broken;
use crate::net::socket::ReadEnd;
use crate::net::transport::Transport;
use crate::ring::Ring;
use crate::ws::code;
use crate::ws::decode::{Control, Decoder, Fed, Finish};

impl Relay {
    /// Moves what the client has sent, as far as the target accepts it.
    ///
    /// # Errors
    /// The client's connection is broken, and nothing is owed to the target.
    pub(super) fn pump_up(&mut self, client: &mut Client, cx: &mut Cx<'_>) -> Result<(), End> {
        let mut budget = TURN_BYTES;
        loop {
            if !self.flush_up(cx) {
                // The client is not read, so its reset would go unnoticed while the target refuses data. A
                // client that has already sent its Close is still owed the delivery.
                if client.socket.is_hung_up() && self.up_state != Up::Ended {
                    return Err(self.end_or(End::ClientReset(std::io::ErrorKind::ConnectionReset)));
                }
                return Ok(());
            }
            if self.up_state == Up::Ended {
                return Ok(());
            }
            if self.tape_is_full() {
                // As above. What was read before still goes to the disk.
                if client.socket.is_hung_up() {
                    return Err(self.end_or(End::ClientReset(std::io::ErrorKind::ConnectionReset)));
                }
                return Ok(());
            }
            if client.kept.is_empty() && !client.socket.is_readable() {
                return Ok(());
            }
            if budget == 0 {
                cx.again = true;
                return Ok(());
            }
            let mut ring = cx.rings.take();
            match self.read_client(client, &mut ring, cx) {
                Ok(ReadEnd::Data(count)) => {
                    budget = budget.saturating_sub(count);
                    cx.worked += count;
                    self.note_read(Side::Client, client, count);
                    self.heard_at = cx.now;
                    self.forward(client, ring, count, cx);
                }
                Ok(ReadEnd::Blocked) => {
                    cx.rings.give(ring);
                    read_nothing(&client.socket, cx);
                    return Ok(());
                }
                Ok(ReadEnd::Eof) => {
                    cx.rings.give(ring);
                    self.client_is_done = true;
                    self.client_ended(End::ClientClosed, None);
                }
                // What came until then is complete, and is still owed to the target.
                Err(Broken::Truncated) => {
                    cx.rings.give(ring);
                    self.client_ended(End::ClientCut, None);
                }
                Err(broken) => {
                    cx.rings.give(ring);
                    return Err(self.end_or(End::client_lost(broken)));
                }
            }
        }
    }

    /// First the bytes that came too early, then the socket.
    fn read_client(
        &mut self,
        client: &mut Client,
        ring: &mut Ring,
        cx: &mut Cx<'_>,
    ) -> Result<ReadEnd, Broken> {
        if client.kept.is_empty() {
            let most = self.target.as_ref().map_or(usize::MAX, Transport::write_max);
            let limit = self.up.read_limit(cx.rings, cx.now).min(most);
            return client.socket.read(&mut ring.space()[..limit], cx.rings);
        }
        let kept = std::mem::take(&mut client.kept);
        ring.space()[..kept.len()].copy_from_slice(&kept);
        Ok(ReadEnd::Data(kept.len()))
    }

    /// Decodes the `count` bytes that lie in the space of `ring` and offers their payload to the target.
    fn forward(&mut self, client: &mut Client, mut ring: Ring, count: usize, cx: &mut Cx<'_>) {
        let ends = self.tape.as_mut().and_then(|tape| tape.ends());
        let (pings, traffic, metrics) = (&mut self.pings, &mut self.traffic, cx.metrics);
        let mut pong = |payload: &[u8]| {
            if let Some(round_trip) = pings.answered(payload, traffic) {
                metrics.pings.count(Ping::Answered as usize);
                metrics.round_trips.note(round_trip);
            }
        };
        let fed = decode(&mut self.decoder, &mut client.out, &mut pong, &mut ring.space()[..count], ends);
        if self.tape.is_some() {
            let closing = matches!(fed.finish, Some(Finish::Close(_)));
            self.take_down_up(&ring.space()[..fed.payload], closing, cx);
        }
        if fed.payload > 0 && self.up_state == Up::Running {
            ring.fill(fed.payload);
            self.offer(ring, cx);
        } else {
            cx.rings.give(ring);
        }
        match fed.finish {
            None => {}
            Some(Finish::Close(frame)) => {
                self.close_code = Some(frame.code.unwrap_or(code::NO_STATUS));
                if matches!(self.phase, Phase::Open) {
                    cx.metrics.closed(Closer::Client, frame.code.unwrap_or(code::NO_STATUS));
                }
                self.client_ended(End::ClientClosed, Some(Box::new(frame)));
            }
            Some(Finish::Violation(violation)) => {
                if matches!(self.phase, Phase::Open) {
                    cx.metrics.closed(Closer::Us, violation.code());
                    client.out.close(Some(violation.code()), &violation.to_string());
                }
                self.client_ended(End::ClientViolated(violation), None);
            }
        }
    }

    /// Writes what is in `ring` to the target, and keeps what it refuses.
    fn offer(&mut self, mut ring: Ring, cx: &mut Cx<'_>) {
        let Some(target) = &mut self.target else { return cx.rings.give(ring) };
        match target.write(ring.data(), cx.rings) {
            Ok(count) => {
                ring.consume(count);
                let left = !ring.is_empty() || target.unsent() > 0;
                self.count_up(count, cx);
                self.up.offered(count, left, cx.now, cx.metrics.stalls(Way::Up));
                if self.tape.is_some() {
                    self.take_down_sent(Side::Target, count, ring.is_empty(), cx);
                }
                if ring.is_empty() {
                    cx.rings.give(ring);
                } else {
                    self.up.held = Some(cx.rings.hold(ring));
                }
            }
            Err(_) => {
                cx.rings.give(ring);
                self.target_refused(cx);
            }
        }
    }

    /// Writes what the target refused before; true when nothing of it is left.
    fn flush_up(&mut self, cx: &mut Cx<'_>) -> bool {
        if !self.up_waits() {
            return true;
        }
        let Some(target) = &mut self.target else { return true };
        let unsent = target.unsent();
        let held = self.up.held.as_mut();
        let written = match held {
            Some(held) => target.write(held.data(), cx.rings),
            None => target.flush(cx.rings).map(|_| 0),
        };
        match written {
            Ok(count) => {
                let taken = count + unsent.saturating_sub(target.unsent());
                self.count_up(count, cx);
                self.up.consume(count, cx.rings);
                let left = self.up_waits();
                self.up.offered(taken, left, cx.now, cx.metrics.stalls(Way::Up));
                if self.tape.is_some() {
                    self.take_down_sent(Side::Target, count, !left, cx);
                }
                !left
            }
            Err(_) => {
                self.target_refused(cx);
                true
            }
        }
    }

    /// The target's connection is broken for writing. What it sent last may still be unread in its socket, so
    /// that direction is read to its end before the client is told.
    fn target_refused(&mut self, cx: &mut Cx<'_>) {
        self.stop_forwarding(cx);
        if self.down_state == Down::Running {
            self.down_state = Down::Broken;
            if let Some(target) = &mut self.target {
                target.note_ready(true, false, false);
            }
        }
    }
}

impl Relay {
    /// The target accepts no more. The client is still read, for its Close.
    pub(super) fn stop_forwarding(&mut self, cx: &mut Cx<'_>) {
        self.up.release(cx.rings, cx.metrics.stalls(Way::Up));
        if let Some(target) = &mut self.target {
            target.stop_writing(cx.rings);
        }
        if self.up_state == Up::Running {
            self.up_state = Up::Discarding;
        }
    }
}

/// Decodes in place, answering pings as they come.
fn decode(
    decoder: &mut Decoder,
    out: &mut Out,
    pong: &mut impl FnMut(&[u8]),
    bytes: &mut [u8],
    ends: Option<&mut Vec<usize>>,
) -> Fed {
    let mut on_control = |control: Control<'_>| match control {
        Control::Ping(payload) => out.pong(payload),
        // An unsolicited pong is ignored (RFC 6455 section 5.5.3), and a solicited one has done most of its work by
        // keeping the middleboxes awake.
        Control::Pong(payload) => pong(payload),
    };
    match ends {
        Some(ends) => decoder.feed_and_note(bytes, &mut on_control, Some(ends)),
        None => decoder.feed(bytes, &mut on_control),
    }
}
