//! What is taken down of a session, and a disk that accepts nothing of it.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use super::wire::{BINARY, CLOSE, close, frame};
use super::*;
use crate::conn::frontend::RecordOptions;
use crate::log::Log;
use crate::record::Recorder;

/// What `play` leaves of marks behind the legend.
fn marks(pace: Pace, play: impl Fn(&mut Session)) -> String {
    let mut session = Session::open(pace, &Setup { traffic: true, ..Setup::default() });
    assert!(session.rig.take_traffic().ends_with("<. - Client send partial\n"));
    play(&mut session);
    session.run();
    session.rig.take_traffic()
}

#[test]
fn each_read_and_each_write_of_a_session_has_a_mark_and_parts_have_a_dot() {
    let up = |session: &mut Session| session.client_sends(&frame(BINARY, b"abc"));
    let down = |session: &mut Session| session.target_sends(b"abc");
    assert_eq!(marks(SMOOTH, up), "}>");
    assert_eq!(marks(Pace { target_room: 1, ..SMOOTH }, up), "}>.>.>");
    assert_eq!(marks(SMOOTH, down), "{<");
    assert_eq!(marks(Pace { client_room: 2, ..SMOOTH }, down), "{<.<.<");
    // A message in two frames, which come one by one.
    let halves = |session: &mut Session| {
        session.client_sends(&frame(2, b"ab"));
        session.client_sends(&frame(0x80, b"c"));
    };
    assert_eq!(marks(SMOOTH, halves), "}.>}>");
    assert_eq!(marks(SMOOTH, |session| session.client_closes(1000, "")), "");
    let last = |session: &mut Session| {
        session.farewell = None;
        session.client_sends(&[frame(BINARY, b"abc"), frame(CLOSE, b"")].concat());
    };
    assert_eq!(marks(SMOOTH, last), "}>");
}

/// A session that is recorded, and what the disk of its recording waits for.
struct Recorded {
    session: Session,
    disk: Option<Vec<std::sync::mpsc::Sender<()>>>,
    folder: PathBuf,
    log: Arc<Log>,
}

impl Recorded {
    /// One whose recording is open, and whose disk accepts nothing from now on.
    fn open(name: &str, heartbeat: Option<Duration>) -> Recorded {
        let folder = std::env::temp_dir().join(format!("websockify-tape-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("made");
        let log = Arc::new(Log::in_memory(true));
        let recorder = Recorder::new(folder.join("record"), 1, Arc::clone(&log));
        let record = Some(RecordOptions { recorder: recorder.clone(), input: true });
        let mut session = Session::accepted(SMOOTH, &Setup { record, heartbeat, ..Setup::default() });
        session.client_sends(wire::REQUEST);
        session.run();
        assert!(session.rig.dial());
        session.run();
        session.rig.answer_from_helper();
        session.run();
        assert_eq!(session.rig.state(), "relay");
        let disk = Some(recorder.hang());
        Recorded { session, disk, folder, log }
    }

    /// Both ends send more than waits for a disk.
    fn much(name: &str, heartbeat: Option<Duration>) -> Recorded {
        let mut recorded = Recorded::open(name, heartbeat);
        recorded.session.pace.read = 10_000;
        recorded.session.target_sends(&[b'd'; MUCH]);
        recorded.session.run();
        recorded.session.client_sends(&frame(BINARY, &[b'u'; 100]));
        recorded.session.run();
        let rig = &recorded.session.rig;
        assert!(recorded.session.received().data.len() < MUCH / 2 && rig.to_target.is_empty());
        assert!((1..MUCH).contains(&rig.held_bytes()), "{}", rig.held_bytes());
        recorded
    }

    /// All has come, in the end.
    fn is_whole(&mut self) {
        self.session.run();
        assert!(self.session.received().data == [b'd'; MUCH]);
        assert!(self.session.rig.to_target == [b'u'; 100]);
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        self.disk = None;
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn while_a_disk_takes_nothing_neither_end_is_read_and_nothing_is_lost() {
    let mut recorded = Recorded::much("slow", None);
    recorded.session.rig.advance(DISK - SECOND);
    recorded.session.run();
    assert!(recorded.session.rig.to_target.is_empty());
    let (bytes, waiting) = recorded.session.rig.burden().expect("it is the reason");
    assert!(bytes > 0 && waiting >= DISK - 2 * SECOND && waiting <= DISK, "{waiting:?}");
    recorded.disk = None;
    while recorded.session.received().data.len() < MUCH {
        recorded.session.rig.answer_from_helper();
        recorded.session.run();
    }
    recorded.is_whole();
}

#[test]
fn a_disk_that_has_taken_nothing_for_a_minute_is_given_up_and_the_session_goes_on() {
    let mut recorded = Recorded::much("hung", None);
    recorded.session.rig.advance(DISK + SECOND);
    recorded.is_whole();
    assert_eq!(recorded.session.rig.held_bytes(), 0);
    assert!(recorded.log.take_lines().contains("the disk has taken nothing for too long"));
}

#[test]
fn a_client_that_is_not_read_for_the_sake_of_a_disk_is_not_silent() {
    let mut recorded = Recorded::much("silent", Some(10 * SECOND));
    recorded.session.rig.advance(DISK - SECOND);
    recorded.session.run();
    assert!(recorded.session.rig.is_alive());
    assert!(recorded.session.rig.to_target.is_empty(), "nor is the disk given up early");
}

#[test]
fn a_client_that_resets_while_a_disk_takes_nothing_is_noticed() {
    let mut recorded = Recorded::much("reset", None);
    recorded.session.rig.client.reset(ErrorKind::ConnectionReset);
    recorded.session.rig.note(Side::Client, true, true, true);
    recorded.session.rig.settle();
    assert_eq!(recorded.session.rig.endings(), ["client-reset"]);
}

#[test]
fn what_waits_for_a_disk_has_waited_since_the_client_was_heard_while_no_end_is_stalled() {
    let mut recorded = Recorded::open("heard", None);
    recorded.session.rig.advance(5 * SECOND);
    recorded.session.client_sends(&frame(BINARY, &[b'u'; 30_000]));
    recorded.session.run();
    recorded.session.rig.advance(7 * SECOND);
    let (bytes, waiting) = recorded.session.rig.burden().expect("it waits");
    assert!(
        bytes >= 30_000 && waiting >= 7 * SECOND && waiting < 8 * SECOND,
        "{bytes} bytes for {waiting:?}"
    );
    recorded.session.client_sends(&close(1000, ""));
    recorded.session.run();
}

/// More than a disk may owe.
const MUCH: usize = 1 << 20;

/// How long a disk may take nothing.
const DISK: Duration = Duration::from_secs(60);

const SECOND: Duration = Duration::from_secs(1);
