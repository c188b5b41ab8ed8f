//! How a session ends, row by row of the table in `docs/errors.md`, at every pace: who is told what, in which order, and
//! that every byte that was owed has arrived before.

use std::io::ErrorKind;
use std::time::Duration;

use super::wire::{BINARY, PING, TEXT, close, frame};
use super::*;

/// What must have happened in the end.
struct Ending {
    name: &'static str,
    to_target: &'static str,
    to_client: &'static str,
    /// The Close that the client got; code 0 stands for an empty one.
    told: Option<(u16, &'static str)>,
    /// Whether the writing side of the target was ended in order, so that it has got everything.
    target_fin: bool,
}

fn at_every_pace(ending: &Ending, play: impl Fn(&mut Session)) {
    for pace in Pace::all() {
        let mut session = Session::open(pace, &Setup::default());
        play(&mut session);
        session.run_to_the_end();
        let rig = &session.rig;
        let received = session.received();
        let told = received.close.as_ref().map(|(code, reason)| (code.unwrap_or(0), reason.as_str()));
        assert_eq!(rig.endings(), [ending.name], "{pace:?}");
        assert!(rig.take_log().contains("Closed target"), "{pace:?}");
        assert_eq!(String::from_utf8_lossy(&rig.to_target), ending.to_target, "{pace:?}");
        assert_eq!(String::from_utf8_lossy(&received.data), ending.to_client, "{pace:?}");
        assert_eq!(told, ending.told, "{pace:?}");
        assert_eq!(rig.target.is_write_ended(), ending.target_fin, "{pace:?}");
        assert!(!received.is_cut, "the last frame is whole: {pace:?}");
    }
}

fn data(text: &str) -> Vec<u8> {
    frame(BINARY, text.as_bytes())
}

#[test]
fn a_target_that_ends_is_followed_by_its_bytes_a_1000_and_what_the_client_still_has_to_say() {
    let ending = Ending {
        name: "target-closed",
        to_target: "question, and a late remark",
        to_client: "the whole answer",
        told: Some((1000, "Target closed")),
        target_fin: true,
    };
    at_every_pace(&ending, |session| {
        session.farewell = Some([data(", and a late remark"), close(1000, "")].concat());
        session.client_sends(&data("question"));
        session.run();
        session.target_sends(b"the whole answer");
        session.rig.target.read_step(Step::Eof);
        session.run();
    });
}

#[test]
fn a_target_that_ends_before_anything_was_sent_closes_with_1000() {
    let ending = Ending {
        name: "target-closed",
        to_target: "",
        to_client: "",
        told: Some((1000, "Target closed")),
        target_fin: true,
    };
    at_every_pace(&ending, |session| {
        session.rig.target.read_step(Step::Eof);
        session.run();
    });
}

#[test]
fn the_last_words_of_a_target_that_resets_arrive_before_the_1011() {
    let ending = Ending {
        name: "target-reset",
        to_target: "",
        to_client: "the last words",
        told: Some((1011, "Target connection broken")),
        target_fin: true,
    };
    at_every_pace(&ending, |session| {
        session.target_sends(b"the last words");
        session.rig.target.reset(ErrorKind::ConnectionReset);
        session.rig.note(Side::Target, true, true, true);
        session.client_sends(&data("into the void"));
        session.run();
    });
}

#[test]
fn a_target_that_refuses_data_is_read_to_its_end_before_the_1011() {
    let ending = Ending {
        name: "target-reset",
        to_target: "",
        to_client: "you are not welcome",
        told: Some((1011, "Target connection broken")),
        target_fin: true,
    };
    at_every_pace(&ending, |session| {
        session.rig.target.write_step(Step::Error(ErrorKind::BrokenPipe));
        session.client_sends(&data("hello?"));
        session.run();
        session.target_sends(b"you are not welcome");
        session.rig.target.read_step(Step::Eof);
        session.run();
    });
}

#[test]
fn the_clients_close_is_echoed_when_the_target_has_got_everything() {
    let ending = Ending {
        name: "client-closed",
        to_target: "all that I wanted to say",
        to_client: "",
        told: Some((3001, "enough")),
        target_fin: true,
    };
    at_every_pace(&ending, |session| {
        session.client_sends(&data("all that I wanted "));
        session.client_sends(&data("to say"));
        session.client_closes(3001, "enough");
        session.run();
    });
}

#[test]
fn an_empty_close_is_echoed_empty_and_what_follows_it_is_ignored() {
    let ending = Ending {
        name: "client-closed",
        to_target: "before",
        to_client: "",
        told: Some((0, "")),
        target_fin: true,
    };
    at_every_pace(&ending, |session| {
        session.farewell = None;
        session.client_sends(&[data("before"), frame(0x88, b""), data("after")].concat());
        session.run();
    });
}

#[test]
fn a_frame_on_its_way_to_the_client_is_completed_before_its_close_is_echoed() {
    let ending = Ending {
        name: "client-closed",
        to_target: "",
        to_client: "one frame",
        told: Some((1000, "")),
        target_fin: true,
    };
    at_every_pace(&ending, |session| {
        session.target_sends(b"one frame");
        session.run();
        session.client_closes(1000, "");
        session.run();
    });
}

#[test]
fn a_client_that_ends_without_a_close_gets_none_and_the_target_gets_everything() {
    let ending = Ending {
        name: "client-closed",
        to_target: "gone already",
        to_client: "",
        told: None,
        target_fin: true,
    };
    at_every_pace(&ending, |session| {
        session.client_sends(&data("gone already"));
        session.rig.client.read_step(Step::Eof);
        session.run();
    });
}

#[test]
fn a_client_that_ends_its_side_gets_the_rest_of_the_frame_that_has_begun() {
    for room in 1..20 {
        let mut session = Session::open(Pace { client_room: 0, ..SMOOTH }, &Setup::default());
        session.rig.client.write_step(Step::Room(room));
        session.target_sends(b"one frame that has begun");
        session.run();
        session.rig.client.read_step(Step::Eof);
        session.run();
        assert!(session.rig.is_alive() && session.received().is_cut);
        session.pace.client_room = 1;
        session.run_to_the_end();
        let received = session.received();
        assert_eq!((received.data, received.is_cut), (b"one frame that has begun".to_vec(), false));
        assert_eq!((received.close, session.rig.endings()), (None, vec!["client-closed"]));
    }
}

#[test]
fn a_client_that_resets_frees_its_target_at_once() {
    for pace in Pace::all() {
        let mut session = Session::open(pace, &Setup::default());
        session.target_leaves = false;
        session.rig.client.reset(ErrorKind::ConnectionReset);
        session.rig.note(Side::Client, true, true, true);
        session.run();
        assert_eq!(session.rig.endings(), ["client-reset"], "{pace:?}");
        assert!(session.rig.target.is_dropped(), "{pace:?}");
    }
}

#[test]
fn a_client_that_resets_behind_a_stalled_target_frees_it_at_once() {
    let mut session = Session::open(Pace { target_room: 0, ..SMOOTH }, &Setup::default());
    session.client_sends(&data("nobody takes this"));
    session.run();
    session.rig.client.reset(ErrorKind::ConnectionReset);
    session.rig.note(Side::Client, true, true, true);
    session.rig.settle();
    assert_eq!(session.rig.endings(), ["client-reset"]);
    assert!(session.rig.target.is_dropped());
}

#[test]
fn what_a_client_sent_before_its_close_is_owed_to_the_target_even_if_the_client_is_gone() {
    for target_room in [1, 7, ALL] {
        let mut session = Session::open(Pace { target_room, ..SMOOTH }, &Setup::default());
        session.target_sends(b"this can't be written any more");
        session.farewell = None;
        session.client_sends(&[data("this can, and must be"), close(1000, "")].concat());
        session.rig.client.reset(ErrorKind::ConnectionReset);
        session.rig.note(Side::Client, true, true, true);
        session.run_to_the_end();
        assert_eq!(session.rig.endings(), ["client-closed"]);
        assert_eq!(session.rig.to_target, b"this can, and must be");
        assert!(session.rig.target.is_write_ended(), "closed in order");
    }
}

#[test]
fn a_client_that_breaks_the_rules_is_told_and_its_target_gets_what_came_before() {
    let table: [(&[u8], u16); 4] = [
        (&[0x82, 1, b'x'], 1002),
        (&[0xc2, 0x80, 0, 0, 0, 0], 1002),
        (&[0x83, 0x80, 0, 0, 0, 0], 1002),
        (&[TEXT, 0x81, 0, 0, 0, 0, b'x'], 1003),
    ];
    for (garbage, code) in table {
        for pace in Pace::all() {
            let mut session = Session::open(pace, &Setup::default());
            session.farewell = None;
            session.client_sends(&[data("sound"), garbage.to_vec(), data("unheard")].concat());
            session.run_to_the_end();
            let told = session.received().close.expect("the client is told");
            assert_eq!((told.0, session.rig.endings()), (Some(code), vec!["client-violated"]), "{pace:?}");
            assert_eq!(session.rig.to_target, b"sound", "{pace:?}");
            assert!(session.rig.target.is_write_ended(), "{pace:?}");
        }
    }
}

#[test]
fn a_process_that_ends_sends_1001_at_the_next_frame_boundary() {
    for pace in Pace::all() {
        let mut session = Session::open(pace, &Setup::default());
        session.target_sends(b"on its way");
        session.rig.note(Side::Target, true, false, false);
        session.rig.settle();
        session.rig.drain(Duration::from_secs(3));
        session.run();
        let received = session.received();
        assert_eq!(received.close, Some((Some(1001), "Server is shutting down".into())), "{pace:?}");
        assert!(b"on its way".starts_with(&received.data), "{pace:?}");
        session.run_to_the_end();
        assert_eq!(session.rig.endings(), ["shutdown"], "{pace:?}");
    }
}

#[test]
fn a_process_that_ends_cuts_what_is_left_and_counts_it_once() {
    for settled in [false, true] {
        let mut session = Session::open(SMOOTH, &Setup::default());
        (session.client_leaves, session.target_leaves) = (false, false);
        if settled {
            session.client_closes(1000, "");
            session.run();
            assert_eq!(session.rig.state(), "close");
        } else {
            session.farewell = None;
        }
        session.rig.drain(Duration::from_secs(3));
        session.rig.advance(Duration::from_secs(4));
        assert!(!session.rig.is_alive());
        assert_eq!(session.rig.endings(), [if settled { "client-closed" } else { "shutdown" }]);
    }
}

#[test]
fn a_process_that_ends_while_dialling_sends_1001_and_leaves_the_target_alone() {
    for pace in Pace::all() {
        let mut session = Session::accepted(pace, &Setup::default());
        session.client_sends(wire::REQUEST);
        session.run();
        session.rig.drain(Duration::from_secs(3));
        session.run();
        assert_eq!(session.received().close.map(|close| close.0), Some(Some(1001)), "{pace:?}");
        assert_eq!(session.rig.endings(), ["shutdown"], "{pace:?}");
    }
}

#[test]
fn a_process_that_ends_drops_a_request_that_is_not_whole() {
    let mut session = Session::accepted(SMOOTH, &Setup::default());
    session.client_sends(&wire::REQUEST[..9]);
    session.run();
    session.rig.drain(Duration::from_secs(3));
    assert_eq!(session.rig.endings(), ["shutdown"]);
    assert!(session.rig.client.is_dropped());
}

#[test]
fn a_target_that_is_not_there_is_a_1011() {
    for pace in Pace::all() {
        let mut session = Session::accepted(pace, &Setup::default());
        session.client_sends(&[wire::REQUEST, &data("early")].concat());
        session.run();
        session.rig.answer_unknown();
        session.run();
        let told = session.received().close.expect("the client is told");
        assert_eq!(told, (Some(1011), "Failed to connect to downstream server".into()), "{pace:?}");
        assert_eq!(session.rig.endings(), ["unreachable"], "{pace:?}");
        session.run_to_the_end();
        assert!(!session.rig.take_log().contains("Closed target"), "{pace:?}");
        assert!(session.rig.to_target.is_empty(), "{pace:?}");
    }
}

#[test]
fn what_a_session_ends_with_stays_when_it_is_cut_before_its_client_has_answered() {
    for by_shutdown in [true, false] {
        let mut session = Session::open(Pace { target_room: 0, ..SMOOTH }, &Setup::default());
        session.farewell = None;
        session.client_sends(&data("what the target does not take"));
        session.run();
        session.rig.target.read_step(Step::Eof);
        session.run();
        assert!(session.received().close.is_some() && session.rig.is_alive());
        if by_shutdown {
            session.rig.drain(Duration::from_secs(3));
            session.rig.advance(Duration::from_secs(4));
        } else {
            assert!(session.rig.end_overcommitted());
        }
        assert_eq!((session.rig.endings(), session.rig.is_alive()), (vec!["target-closed"], false));
    }
}

#[test]
fn a_flood_of_pings_is_work_like_any_other() {
    let mut session = Session::open(SMOOTH, &Setup::default());
    session.client_sends(&frame(PING, b"").repeat(10_000));
    session.rig.note(Side::Client, true, true, false);
    session.rig.drive();
    assert!(session.rig.worked() >= 60_000, "{}", session.rig.worked());
    assert_eq!(session.rig.to_target, b"");
}

#[test]
fn the_session_that_is_ended_for_want_of_memory_gives_everything_back() {
    let setup = Setup { held_bytes_max: 1000, ..Setup::default() };
    let mut session = Session::open(Pace { client_room: 0, ..SMOOTH }, &setup);
    assert!(!session.rig.end_overcommitted(), "a session that holds nothing has to stay");
    session.target_sends(&[7; 5000]);
    session.run();
    assert!(session.rig.is_overcommitted());
    assert!(session.rig.end_overcommitted());
    assert_eq!((session.rig.endings(), session.rig.held_bytes()), (vec!["overcommitted"], 0));
    assert!(!session.rig.is_alive() && !session.rig.is_overcommitted());
}
