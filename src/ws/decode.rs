//! Frames from client to server, decoded from any split of the stream (RFC 6455, 5).
//!
//! The relay wants payload, not messages. So the decoder works inside the buffer that the socket was read
//! into: payload is unmasked and moved over the headers before it, and a burst of small frames becomes one
//! run of bytes. Only what a split leaves behind is kept here: at most a header, or the start of a control
//! frame. A data frame of any announced size streams through.

mod head;
mod violation;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod twin;

use super::{CONTROL_MAX, Opcode, mask};
use head::Head;
pub use violation::Violation;

/// A client's stream of frames, as far as it has been fed.
#[derive(Clone, Debug)]
pub struct Decoder {
    /// Payload bytes of the current frame that have not been fed yet.
    remaining: u64,
    /// The start of a control payload that a split cut; boxed, since that is rare.
    partial: Option<Box<Partial>>,
    /// The start of a header that a split cut.
    head: [u8; head::MAX],
    head_len: u8,
    /// The current frame's key, rotated to its next payload byte.
    key: [u8; 4],
    phase: Phase,
    /// A fragmented message has begun and not ended.
    in_message: bool,
}

/// A control frame from the client that has to be answered or noted; a Close is a [`Finish`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control<'a> {
    /// Must be answered by a pong with the same payload, at most [`CONTROL_MAX`] bytes.
    Ping(&'a [u8]),
    /// Answers our ping, or is just a sign of life.
    Pong(&'a [u8]),
}

/// What one [`Decoder::feed`] yielded.
#[derive(Debug, PartialEq, Eq)]
pub struct Fed {
    /// The length in bytes of the data payload at the buffer's start. It precedes `finish` in the stream.
    pub payload: usize,
    /// Set once, by the feed in which the stream ended.
    pub finish: Option<Finish>,
}

/// How a stream of frames ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// With a valid Close.
    Close(CloseFrame),
    /// With a breach of the rules.
    Violation(Violation),
}

/// A client's Close, to be echoed and logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    /// The close code; `None` when the body was empty.
    pub code: Option<u16>,
    /// The reason, at most 123 bytes.
    pub reason: Box<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Header,
    Data,
    Control(Opcode),
    Finished,
}

#[derive(Clone, Debug)]
struct Partial {
    len: u8,
    payload: [u8; CONTROL_MAX],
}

impl Decoder {
    /// A decoder at the start of a stream.
    pub const fn new() -> Self {
        Decoder {
            remaining: 0,
            partial: None,
            head: [0; head::MAX],
            head_len: 0,
            key: [0; 4],
            phase: Phase::Header,
            in_message: false,
        }
    }

    /// Consumes all of `buf` and leaves the data payload, unmasked and without gaps, in `buf[..fed.payload]`;
    /// the rest of the buffer is then meaningless. Control frames are reported in order through `on_control`.
    /// After a Close or a violation the rest of the input is ignored, and every later feed yields nothing.
    // It is inlined into the relay's loop: a call would cost 3 % of an echo. Everybody else calls the
    // function below.
    #[inline(always)]
    pub fn feed(&mut self, buf: &mut [u8], on_control: &mut dyn FnMut(Control<'_>)) -> Fed {
        self.decode(buf, on_control, None)
    }

    /// The same, and appends to `ends` the position in the payload of each message end.
    #[inline(never)]
    pub fn feed_and_note(
        &mut self,
        buf: &mut [u8],
        on_control: &mut dyn FnMut(Control<'_>),
        ends: Option<&mut Vec<usize>>,
    ) -> Fed {
        self.decode(buf, on_control, ends)
    }

    #[inline(always)]
    fn decode(
        &mut self,
        buf: &mut [u8],
        on_control: &mut dyn FnMut(Control<'_>),
        mut ends: Option<&mut Vec<usize>>,
    ) -> Fed {
        let mut at = 0;
        let mut payload = 0;
        loop {
            let available = buf.len() - at;
            match self.phase {
                Phase::Header => {
                    if ends.is_none() && self.is_between_messages() {
                        (at, payload) = take_burst(buf, at, payload);
                    }
                    match self.read_head(&buf[at..]) {
                        Ok(Some(len)) => at += len,
                        Ok(None) => return Fed { payload, finish: None },
                        Err(violation) => return self.finish(payload, Finish::Violation(violation)),
                    }
                }
                Phase::Data => {
                    let len = at_most(self.remaining, available);
                    mask::unmask_down(buf, at, payload, len, self.key, 0);
                    at += len;
                    payload += len;
                    if !self.advance(len) {
                        return Fed { payload, finish: None };
                    }
                    if let (Some(ends), false) = (&mut ends, self.in_message) {
                        ends.push(payload);
                    }
                }
                Phase::Control(opcode) => {
                    let len = at_most(self.remaining, available);
                    let piece = &mut buf[at..at + len];
                    mask::unmask(piece, self.key, 0);
                    at += len;
                    let whole = self.advance(len);
                    let partial = self.join(piece, whole);
                    if !whole {
                        return Fed { payload, finish: None };
                    }
                    match opcode {
                        Opcode::Ping => on_control(Control::Ping(body(&partial, piece))),
                        Opcode::Pong => on_control(Control::Pong(body(&partial, piece))),
                        _ => return self.finish(payload, close(body(&partial, piece))),
                    }
                }
                Phase::Finished => return Fed { payload, finish: None },
            }
        }
    }

    /// Whether the stream stands between two frames (also true at its start and after its end): a TCP end
    /// here truncates nothing.
    pub fn is_between_frames(&self) -> bool {
        match self.phase {
            Phase::Header => self.head_len == 0,
            Phase::Finished => true,
            Phase::Data | Phase::Control(_) => false,
        }
    }

    /// Whether the stream stands between two messages: between frames, with no message half sent.
    pub fn is_between_messages(&self) -> bool {
        self.is_between_frames() && !self.in_message
    }

    /// Takes a header from the start of `input`, together with what an earlier feed left. Returns how much of
    /// `input` it took; `None` means all of it, and more is needed.
    #[inline(always)]
    fn read_head(&mut self, input: &[u8]) -> Result<Option<usize>, Violation> {
        if self.head_len == 0 {
            match Head::read(input, self.in_message)? {
                Some(head) => {
                    self.begin(head);
                    return Ok(Some(head.size));
                }
                None => {
                    self.head[..input.len()].copy_from_slice(input);
                    self.head_len = input.len() as u8;
                    return Ok(None);
                }
            }
        }
        // Byte by byte: a header is short, and each byte may be the one that shows a violation.
        for (at, &byte) in input.iter().enumerate() {
            self.head[usize::from(self.head_len)] = byte;
            self.head_len += 1;
            if let Some(head) = Head::read(&self.head[..usize::from(self.head_len)], self.in_message)? {
                self.begin(head);
                return Ok(Some(at + 1));
            }
        }
        Ok(None)
    }

    fn begin(&mut self, head: Head) {
        self.head_len = 0;
        self.key = head.key;
        self.remaining = head.len;
        if head.opcode.is_control() {
            self.phase = Phase::Control(head.opcode);
        } else {
            self.phase = Phase::Data;
            self.in_message = !head.fin;
        }
    }

    /// Counts `len` payload bytes of the current frame; returns whether that was its end.
    fn advance(&mut self, len: usize) -> bool {
        self.remaining -= len as u64;
        if self.remaining == 0 {
            self.phase = Phase::Header;
            return true;
        }
        self.key = mask::aligned(self.key, len);
        false
    }

    /// Appends a piece to a control payload that is split; hands the payload over once it is whole. A
    /// payload in one piece stays where it is.
    fn join(&mut self, piece: &[u8], whole: bool) -> Option<Box<Partial>> {
        if self.partial.is_none() && (whole || piece.is_empty()) {
            return None;
        }
        let partial =
            self.partial.get_or_insert_with(|| Box::new(Partial { len: 0, payload: [0; CONTROL_MAX] }));
        let start = usize::from(partial.len);
        partial.payload[start..start + piece.len()].copy_from_slice(piece);
        partial.len += piece.len() as u8;
        if whole { self.partial.take() } else { None }
    }

    fn finish(&mut self, payload: usize, finish: Finish) -> Fed {
        self.phase = Phase::Finished;
        self.in_message = false;
        self.partial = None;
        Fed { payload, finish: Some(finish) }
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder::new()
    }
}

/// Decodes whole, unfragmented binary frames with short payloads for as long as they follow each other: what
/// keystrokes and games send, in a loop that keeps everything in registers. Whatever does not fit its simple
/// conditions is left to the general code. Takes and returns the positions of the input and the output.
#[inline(always)]
fn take_burst(buf: &mut [u8], mut at: usize, mut payload: usize) -> (usize, usize) {
    while let Some(&[0x82, second @ 0x80..=0xfd, a, b, c, d]) = buf[at..].first_chunk() {
        let from = at + 6;
        let len = usize::from(second & 0x7f);
        if from - payload < mask::SLACK || buf.len() - from < len + mask::SLACK {
            break;
        }
        mask::unmask_down_loosely(buf, from, payload, len, [a, b, c, d]);
        at = from + len;
        payload += len;
    }
    (at, payload)
}

/// The whole payload of a control frame: joined, or in one piece.
fn body<'a>(partial: &'a Option<Box<Partial>>, piece: &'a [u8]) -> &'a [u8] {
    match partial {
        Some(partial) => &partial.payload[..usize::from(partial.len)],
        None => piece,
    }
}

/// Reads the body of a Close (RFC 6455, 5.5.1 and 7.4).
fn close(body: &[u8]) -> Finish {
    let Some((code, reason)) = body.split_first_chunk() else {
        return match body {
            [] => Finish::Close(CloseFrame { code: None, reason: "".into() }),
            _ => Finish::Violation(Violation::BadCloseBody),
        };
    };
    let code = u16::from_be_bytes(*code);
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Finish::Violation(Violation::BadCloseCode(code));
    }
    match std::str::from_utf8(reason) {
        Ok(reason) => Finish::Close(CloseFrame { code: Some(code), reason: reason.into() }),
        Err(_) => Finish::Violation(Violation::BadCloseReason),
    }
}

/// The smaller of a frame's remaining length, which may exceed the address space, and a buffer's.
fn at_most(remaining: u64, available: usize) -> usize {
    usize::try_from(remaining).map_or(available, |remaining| remaining.min(available))
}
