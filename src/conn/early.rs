//! What a client sends while its target is being found: its pings are answered, and if it leaves before it
//! has sent anything for the target, that is noticed and no target is dialled.

use super::client::Client;
use super::cx::Cx;
use super::end::End;
use crate::net::fault::Broken;
use crate::net::socket::ReadEnd;
use crate::ws::decode::{Control, Decoder};

/// The client's frames so far: none of them has held anything for the target.
#[derive(Debug, Default)]
pub struct Early {
    decoder: Decoder,
    /// Something for the target has come. It and what follows wait for the target, which bounds the client.
    has_payload: bool,
}

/// The state of the client.
#[derive(Debug)]
pub enum Heard {
    /// It is waiting.
    Waiting,
    /// The bytes kept begin with its Close, or violate the protocol.
    Leaving,
    /// Its stream has ended, for this reason.
    Ended(End),
}

impl Early {
    /// Processes what has come from the client, until there is something for the target.
    ///
    /// # Errors
    /// The client's connection broke.
    pub fn listen(&mut self, client: &mut Client, cx: &mut Cx<'_>) -> Result<Heard, End> {
        let mut budget = TURN_BYTES;
        loop {
            if !client.kept.is_empty() && !self.has_payload && self.is_last(client) {
                return Ok(Heard::Leaving);
            }
            if self.has_payload || !client.socket.is_readable() {
                return Ok(Heard::Waiting);
            }
            if budget == 0 {
                cx.again = true;
                return Ok(Heard::Waiting);
            }
            match self.read(client, cx) {
                Ok(ReadEnd::Data(count)) => {
                    cx.worked += count;
                    budget = budget.saturating_sub(count);
                }
                Ok(ReadEnd::Blocked) => {
                    cx.again |= client.socket.is_readable();
                    return Ok(Heard::Waiting);
                }
                Ok(ReadEnd::Eof) => return Ok(Heard::Ended(End::ClientClosed)),
                Err(Broken::Truncated) => return Ok(Heard::Ended(End::ClientCut)),
                Err(broken) => return Err(End::client_lost(broken)),
            }
        }
    }

    /// The decoder, for the relay, which continues with the bytes kept.
    pub fn into_decoder(self) -> Decoder {
        self.decoder
    }

    fn read(&self, client: &mut Client, cx: &mut Cx<'_>) -> Result<ReadEnd, Broken> {
        let mut ring = cx.rings.take();
        let result = client.socket.read(&mut ring.space()[..READ_BYTES], cx.rings);
        if let Ok(ReadEnd::Data(count)) = result {
            client.kept = ring.space()[..count].to_vec();
        }
        cx.rings.give(ring);
        result
    }

    /// Examines the bytes kept. True if they contain nothing for the target and the stream of frames ends in
    /// them, cleanly or not.
    fn is_last(&mut self, client: &mut Client) -> bool {
        // These frames are decoded from here later, so nothing is used up yet.
        let (mut decoder, mut bytes) = (self.decoder.clone(), client.kept.clone());
        let mut pings: Vec<Vec<u8>> = Vec::new();
        let mut on_control = |control: Control<'_>| match control {
            Control::Ping(payload) => pings.push(payload.to_vec()),
            Control::Pong(_) => {}
        };
        let fed = decoder.feed_and_note(&mut bytes, &mut on_control, None);
        self.has_payload = fed.payload > 0;
        let is_last = fed.payload == 0 && fed.finish.is_some();
        if fed.payload == 0 && fed.finish.is_none() {
            self.decoder = decoder;
            client.kept = Vec::new();
            pings.iter().for_each(|payload| client.out.pong(payload));
        }
        is_last
    }
}

/// Whether the frames that a client has sent before its answer contain something for the target.
pub fn holds_payload(kept: &[u8]) -> bool {
    Decoder::default().feed_and_note(&mut kept.to_vec(), &mut |_| {}, None).payload > 0
}

/// Bytes read at a time: pings and a Close are small, and anything more waits.
const READ_BYTES: usize = 4096;

/// Bytes taken from one client in a turn.
const TURN_BYTES: usize = 64 * 1024;
