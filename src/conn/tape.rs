//! What is recorded of a session: traffic marks, one character per event on stdout, for watching a session
//! (`--traffic`), and a recording of all data (`--record`).

use super::client::Client;
use super::cx::{Answer, Cx};
use crate::id::Side;
use crate::record::{Mark, Recording};
use crate::timers::Tick;

/// The tape of one session. A session without one pays nothing for it.
#[derive(Debug)]
pub struct Tape {
    traffic: bool,
    recording: Option<Recording>,
    input: bool,
    /// A message of the client has been recorded in part.
    in_message: bool,
    /// Where messages end in what the client has sent.
    ends: Vec<usize>,
    /// Complete messages since the target last accepted everything.
    unsent: usize,
    /// Since when the disk has accepted nothing although the queue was full; `Tick::NEVER` if it is not.
    stalled_at: Tick,
    /// How much was waiting for it then.
    waiting: usize,
}

impl Tape {
    /// Begins to record this client's session, which has been granted, if that is wanted. A helper opens the
    /// recording's file.
    pub fn begin(client: &Client, cx: &Cx<'_>) -> Option<Box<Tape>> {
        let options = cx.frontend.tape.as_ref()?;
        let recording = options.record.as_ref().map(|record| {
            let (inbox, id) = (cx.inbox.clone(), cx.id);
            let wake = Box::new(move || inbox.deliver(id, Answer::Recorded));
            let peer = client.is_logged.then(|| client.who.to_string());
            record.recorder.begin(client.number, peer, wake)
        });
        Some(Box::new(Tape {
            traffic: options.traffic,
            recording,
            input: options.record.as_ref().is_some_and(|record| record.input),
            in_message: false,
            ends: Vec::new(),
            unsent: 0,
            stalled_at: Tick::NEVER,
            waiting: 0,
        }))
    }

    /// Whether the recording's file has been opened, or can't be.
    pub fn is_opened(&self) -> bool {
        self.recording.as_ref().is_none_or(Recording::is_opened)
    }

    /// The session is about to be relayed.
    pub fn relaying(&self, cx: &Cx<'_>) {
        self.mark(LEGEND, cx);
    }

    /// Where the decoder notes the ends of messages, if they are needed.
    pub fn ends(&mut self) -> Option<&mut Vec<usize>> {
        let is_recorded = self.input && self.recording.as_ref().is_some_and(|recording| !recording.is_over());
        (self.traffic || is_recorded).then_some(&mut self.ends)
    }

    /// Payload came from the client, possibly empty; `closing` if a Close followed it. [`Tape::ends`] has the
    /// ends of messages in it.
    pub fn up(&mut self, payload: &[u8], closing: bool, cx: &Cx<'_>) {
        if self.traffic {
            self.unsent += self.ends.len();
            match self.ends.len() {
                0 if closing => {}
                0 => self.mark("}.", cx),
                count => self.mark(&"}".repeat(count), cx),
            }
        }
        if let Some(recording) = self.recording.as_ref().filter(|_| self.input)
            && (!payload.is_empty() || !self.ends.is_empty())
        {
            recording.write(Mark::Up, pieces(payload, &self.ends, self.in_message));
            self.in_message = self.ends.last().is_none_or(|&end| end < payload.len());
        }
        self.ends.clear();
    }

    /// Payload came from the target.
    pub fn down(&mut self, payload: &[u8], cx: &Cx<'_>) {
        self.mark("{", cx);
        if let Some(recording) = &self.recording {
            recording.write(Mark::Down, payload.chunks(ENTRY_BYTES_MAX));
        }
    }

    /// One end accepted bytes; `whole` if it accepted all that it was offered.
    pub fn sent(&mut self, to: Side, whole: bool, cx: &Cx<'_>) {
        match (to, whole) {
            // One for each message, though they may have left together.
            (Side::Target, true) if self.unsent > 1 => self.mark(&">".repeat(self.unsent), cx),
            (Side::Target, true) => self.mark(">", cx),
            (Side::Target, false) => self.mark(">.", cx),
            (Side::Client, true) => self.mark("<", cx),
            (Side::Client, false) => self.mark("<.", cx),
        }
        if (to, whole) == (Side::Target, true) {
            self.unsent = 0;
        }
    }

    /// Whether so much is waiting for the disk that neither end should be read.
    pub fn is_full(&self) -> bool {
        self.recording.as_ref().is_some_and(Recording::is_full)
    }

    /// Bytes waiting for the disk. An [`Answer::Recorded`] comes when few are left.
    pub fn held_bytes(&self) -> usize {
        self.recording.as_ref().map_or(0, Recording::held_bytes)
    }

    /// Since when the disk has accepted nothing of a full queue.
    pub fn stalled_at(&self) -> Tick {
        self.stalled_at
    }

    /// Checks whether the disk still accepts something.
    pub fn look(&mut self, now: Tick) {
        let waiting =
            self.recording.as_ref().filter(|recording| recording.is_full()).map(Recording::held_bytes);
        match waiting {
            None => self.stalled_at = Tick::NEVER,
            Some(waiting) => {
                if self.stalled_at == Tick::NEVER || waiting < self.waiting {
                    self.stalled_at = now;
                }
                self.waiting = waiting;
            }
        }
    }

    /// The disk has accepted nothing for too long: the session continues without its recording.
    pub fn give_up(&mut self) {
        if let Some(recording) = &self.recording {
            recording.give_up();
        }
        self.stalled_at = Tick::NEVER;
    }

    fn mark(&self, mark: &str, cx: &Cx<'_>) {
        if self.traffic {
            cx.shared.log.traffic(mark);
        }
    }
}

/// The messages in `payload`, each of which ends at one of `ends`, and the beginning of one that does not end
/// here. The rest of a message that was `begun` is omitted if it is empty.
fn pieces<'a>(payload: &'a [u8], ends: &[usize], begun: bool) -> impl Iterator<Item = &'a [u8]> {
    let rest = ends.last().copied().unwrap_or(0);
    let mut start = 0;
    let whole = ends.iter().enumerate().filter_map(move |(number, &end)| {
        let piece = &payload[std::mem::replace(&mut start, end)..end];
        (number > 0 || !begun || !piece.is_empty()).then_some(piece)
    });
    let open = Some(&payload[rest..]).filter(|open| !open.is_empty());
    whole.chain(open)
}

/// The longest entry of data from a target: the Python program reads no more at a time.
const ENTRY_BYTES_MAX: usize = 64 * 1024;

/// What the marks mean; printed at the start of each session.
const LEGEND: &str = "
Traffic Legend:
    }  - Client receive
    }. - Client receive partial
    {  - Target receive

    >  - Target send
    >. - Target send partial
    <  - Client send
    <. - Client send partial
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Log;
    use crate::record::Recorder;
    use std::sync::Arc;

    #[test]
    fn a_disk_that_hangs_is_noticed_and_given_up() {
        let log = Arc::new(Log::in_memory(false));
        let recorder = Recorder::new("/nowhere/np".into(), 9, Arc::clone(&log));
        let release = recorder.hang();
        let mut tape = Tape {
            traffic: false,
            recording: Some(recorder.begin(1, Some("127.0.0.1".into()), Box::new(|| ()))),
            input: true,
            in_message: false,
            ends: Vec::new(),
            unsent: 0,
            stalled_at: Tick::NEVER,
            waiting: 0,
        };
        let write = |tape: &Tape| {
            let recording = tape.recording.as_ref().expect("made above");
            recording.write(Mark::Down, [&[0; ENTRY_BYTES_MAX][..]]);
        };
        write(&tape);
        tape.look(Tick::ZERO);
        assert!(!tape.is_full() && tape.held_bytes() > ENTRY_BYTES_MAX && tape.stalled_at() == Tick::NEVER);
        write(&tape);
        let (begun, later) = (Tick::ZERO.plus(5), Tick::ZERO.plus(500));
        tape.look(begun);
        tape.look(later);
        assert!(tape.is_full() && !tape.is_opened());
        assert_eq!(tape.stalled_at(), begun, "nothing was taken since");
        tape.give_up();
        write(&tape);
        tape.look(later);
        assert_eq!((tape.is_full(), tape.held_bytes(), tape.stalled_at()), (false, 0, Tick::NEVER));
        let lines = log.take_lines();
        assert!(
            lines.ends_with("recording to /nowhere/np.1 ended: the disk has taken nothing for too long\n")
        );
        drop((tape, release));
    }

    #[test]
    fn a_message_in_one_piece_is_one_entry_and_a_piece_of_one_is_one_too() {
        let of = |payload: &'static str, ends: &[usize], begun| {
            pieces(payload.as_bytes(), ends, begun)
                .map(|piece| String::from_utf8_lossy(piece).into_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(of("", &[], false), [""; 0]);
        assert_eq!(of("", &[0], false), [""]);
        assert_eq!(of("abc", &[3], false), ["abc"]);
        assert_eq!(of("abc", &[0, 0, 3], false), ["", "", "abc"]);
        assert_eq!(of("abcde", &[2, 2], false), ["ab", "", "cde"]);
        assert_eq!(of("abc", &[], false), ["abc"]);
        assert_eq!(of("abc", &[], true), ["abc"]);
        assert_eq!(of("", &[0, 0], true), [""]);
        assert_eq!(of("abc", &[1], true), ["a", "bc"]);
    }
}
