//! Each state's deadline: when it comes, what it means, and that it ends what it should and nothing else.

use std::time::Duration;

use super::wire::{BINARY, PONG, REQUEST, frame};
use super::*;
use crate::conn::client::FIRST_REQUEST;
use crate::conn::connect::CONNECT;
use crate::conn::delivery::{LEAST_BYTES, LINGER, STALL};
use crate::conn::handshake::REQUEST as REQUEST_TIME;
use crate::conn::relay::CLOSE;
use crate::conn::sniff::FIRST_BYTE;
use crate::ring::RING_BYTES;

const SECOND: Duration = Duration::from_secs(1);

/// Advances to `time` less a second, where the connection must still be there, and then past it.
fn pass(session: &mut Session, time: Duration) {
    let endings = session.rig.endings();
    session.rig.advance(time - SECOND);
    assert_eq!(session.rig.endings(), endings, "ended too early");
    session.rig.advance(2 * SECOND);
}

#[test]
fn a_client_that_sends_nothing_is_dropped() {
    let mut session = Session::accepted(SMOOTH, &Setup::default());
    pass(&mut session, FIRST_BYTE);
    assert_eq!((session.rig.endings(), session.rig.is_alive()), (vec!["silent"], false));
}

#[test]
fn a_request_that_drips_does_not_extend_its_deadline() {
    let mut session = Session::accepted(SMOOTH, &Setup::default());
    let mut passed = Duration::ZERO;
    for byte in REQUEST {
        if !session.rig.is_alive() {
            break;
        }
        session.client_sends(&[*byte]);
        session.run();
        session.rig.advance(SECOND / 2);
        passed += SECOND / 2;
    }
    assert_eq!(session.rig.endings(), ["slow-request"]);
    assert!(passed < REQUEST_TIME + 2 * SECOND);
}

#[test]
fn each_step_up_to_the_first_request_may_take_its_time_and_all_together_may_not() {
    let mut session = Session::accepted(SMOOTH, &Setup::default());
    session.rig.advance(FIRST_BYTE - SECOND);
    session.client_sends(b"GET / HTTP/1.1\r\n");
    session.run();
    pass(&mut session, FIRST_REQUEST - (FIRST_BYTE - SECOND));
    assert_eq!((session.rig.endings(), session.rig.is_alive()), (vec!["slow-request"], false));
}

#[test]
fn a_dial_that_takes_too_long_is_a_1011() {
    for dialled in [false, true] {
        let mut session = Session::accepted(SMOOTH, &Setup::default());
        session.client_sends(REQUEST);
        session.run();
        session.client_leaves = false;
        session.farewell = None;
        assert!(!dialled || session.rig.dial());
        session.rig.settle();
        session.rig.advance(CONNECT - SECOND);
        assert_eq!(session.received().close, None);
        session.rig.advance(2 * SECOND);
        session.run();
        assert_eq!(session.received().close.map(|close| close.0), Some(Some(1011)));
        session.rig.advance(CLOSE + LINGER + SECOND);
        assert_eq!((session.rig.endings(), session.rig.is_alive()), (vec!["unreachable"], false));
    }
}

#[test]
fn an_answer_that_comes_too_late_changes_nothing() {
    let mut session = Session::open(SMOOTH, &Setup::default());
    session.rig.answer_unknown();
    session.client_sends(&frame(BINARY, b"still here"));
    session.run();
    assert_eq!((session.rig.state(), &session.rig.to_target[..]), ("relay", &b"still here"[..]));
}

#[test]
fn a_refusal_that_nobody_takes_is_given_up_and_counted_once() {
    for admitted in [false, true] {
        let setup = Setup { admitted, ..Setup::default() };
        let mut session = Session::accepted(Pace { client_room: 0, ..SMOOTH }, &setup);
        session.client_sends(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        session.run();
        pass(&mut session, LINGER);
        assert!(!session.rig.is_alive());
        assert_eq!(session.rig.endings(), [if admitted { "refused" } else { "full" }]);
    }
}

#[test]
fn a_refused_client_that_does_not_leave_is_left() {
    let mut session = Session::accepted(SMOOTH, &Setup::default());
    session.client_leaves = false;
    session.client_sends(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nand what follows");
    session.run();
    assert!(session.rig.client.is_write_ended() && session.rig.is_alive());
    pass(&mut session, LINGER);
    assert!(!session.rig.is_alive());
}

#[test]
fn a_client_that_does_not_answer_our_close_is_waited_for_and_its_data_goes_to_the_target() {
    let mut session = Session::open(SMOOTH, &Setup::default());
    session.farewell = None;
    session.rig.target.read_step(Step::Eof);
    session.run();
    session.client_sends(&frame(BINARY, b"late"));
    session.run();
    assert_eq!(session.rig.to_target, b"late");
    pass(&mut session, CLOSE);
    assert_eq!((session.rig.endings(), session.rig.is_alive()), (vec!["target-closed"], false));
}

#[test]
fn a_client_that_still_takes_what_came_before_our_close_has_time_for_that() {
    let mut session = Session::open(SMOOTH, &Setup::default());
    session.farewell = None;
    session.target_sends(b"much");
    session.rig.target.read_step(Step::Eof);
    session.run();
    for left in (1..100).rev() {
        session.rig.client.set_unacknowledged(left * 1000);
        session.rig.advance(CLOSE);
        assert!(session.rig.is_alive());
    }
    session.rig.client.set_unacknowledged(0);
    session.rig.advance(CLOSE);
    assert_eq!((session.rig.endings(), session.rig.is_alive()), (vec!["target-closed"], false));
}

#[test]
fn a_client_can_not_answer_our_close_while_its_target_takes_nothing() {
    let mut session = Session::open(Pace { target_room: 0, ..SMOOTH }, &Setup::default());
    session.client_sends(&frame(BINARY, b"taken late"));
    session.run();
    session.rig.target.read_step(Step::Eof);
    session.run();
    session.rig.advance(3 * CLOSE);
    session.pace.target_room = ALL;
    session.run_to_the_end();
    assert_eq!(
        (session.rig.endings(), &session.rig.to_target[..]),
        (vec!["target-closed"], &b"taken late"[..])
    );
}

#[test]
fn peers_that_do_not_end_their_sides_are_left() {
    let mut session = Session::open(SMOOTH, &Setup::default());
    (session.client_leaves, session.target_leaves) = (false, false);
    session.client_closes(1000, "");
    session.run();
    assert_eq!(session.rig.state(), "close");
    session.target_sends(b"nobody hears this");
    session.run();
    session.rig.advance(LINGER / 2);
    assert!(session.rig.is_alive());
    session.rig.advance(LINGER + SECOND);
    assert_eq!((session.rig.endings(), session.rig.is_alive()), (vec!["client-closed"], false));
}

#[test]
fn a_target_that_takes_nothing_for_too_long_ends_the_session() {
    let mut session = Session::open(Pace { target_room: 0, ..SMOOTH }, &Setup::default());
    session.client_sends(&frame(BINARY, b"anybody there?"));
    session.run();
    pass(&mut session, STALL);
    assert_eq!((session.rig.endings(), session.rig.is_alive()), (vec!["target-stalled"], false));
}

#[test]
fn a_client_that_takes_nothing_for_too_long_ends_the_session() {
    let mut session = Session::open(Pace { client_room: 0, ..SMOOTH }, &Setup::default());
    session.rig.client.block_writes();
    session.target_sends(b"anybody there?");
    session.run();
    pass(&mut session, STALL);
    assert_eq!((session.rig.endings(), session.rig.is_alive()), (vec!["client-stalled"], false));
}

#[test]
fn an_end_that_takes_the_least_now_and_then_is_not_stalled_and_one_that_takes_a_byte_is() {
    for (client_room, room) in [(0, LEAST_BYTES), (1, LEAST_BYTES), (0, 1), (1, 1)] {
        let data = vec![b'x'; RING_BYTES / 2];
        let mut session = Session::open(SMOOTH, &Setup::default());
        session.rig.client.block_writes();
        session.rig.target.block_writes();
        session.pace = Pace { client_room: 0, target_room: 0, ..SMOOTH };
        session.client_sends(&frame(BINARY, &data));
        session.target_sends(&data);
        if client_room == 0 {
            session.pace.client_room = ALL;
        } else {
            session.pace.target_room = ALL;
        }
        session.run();
        for _ in 0..3 {
            session.rig.advance(STALL - 10 * SECOND);
            if client_room > 0 {
                session.rig.client.write_step(Step::Room(room));
            } else {
                session.rig.target.write_step(Step::Room(room));
            }
            session.rig.wake();
        }
        assert_eq!(session.rig.is_alive(), room == LEAST_BYTES, "{room} bytes at a time");
    }
}

#[test]
fn the_echo_of_a_close_that_nobody_takes_has_a_deadline() {
    let mut session = Session::open(SMOOTH, &Setup::default());
    session.rig.client.block_writes();
    session.pace.client_room = 0;
    session.client_closes(1000, "");
    session.run();
    assert!(session.rig.is_alive());
    session.rig.advance(STALL + SECOND);
    assert_eq!((session.rig.endings(), session.rig.is_alive()), (vec!["client-closed"], false));
}

#[test]
fn a_client_that_has_not_taken_what_came_before_our_close_has_the_time_of_a_stalled_one() {
    let mut session = Session::open(Pace { client_room: 0, ..SMOOTH }, &Setup::default());
    session.rig.client.block_writes();
    session.target_sends(&[b'x'; 1000]);
    session.run();
    session.rig.drain(100 * HOUR);
    session.rig.advance(STALL - 10 * SECOND);
    assert!(session.rig.is_alive());
    session.rig.advance(20 * SECOND);
    assert_eq!((session.rig.endings(), session.rig.is_alive()), (vec!["shutdown"], false));
}

#[test]
fn a_ping_that_is_late_is_sent_all_the_same() {
    let setup = Setup { heartbeat: Some(10 * SECOND), ..Setup::default() };
    let mut session = Session::open(SMOOTH, &setup);
    session.rig.freeze(10 * SECOND + SECOND / 2);
    session.run();
    assert_eq!(session.received().pings.len(), 1);
}

#[test]
fn an_idle_session_has_no_deadline_and_stays() {
    let mut session = Session::open(SMOOTH, &Setup::default());
    assert_eq!(session.rig.deadline(), None);
    session.rig.advance(100 * HOUR);
    assert!(session.rig.is_alive());
}

#[test]
fn a_heartbeat_pings_a_client_that_answers_and_ends_one_that_does_not() {
    let setup = Setup { heartbeat: Some(10 * SECOND), ..Setup::default() };
    let mut session = Session::open(SMOOTH, &setup);
    for beat in 1..20 {
        session.rig.advance(10 * SECOND);
        session.client_sends(&frame(PONG, b""));
        session.run();
        let pings = session.received().pings.len();
        assert!(pings + 1 >= beat && session.rig.is_alive(), "{pings} pings in {beat} beats");
    }
    session.rig.advance(60 * SECOND);
    assert_eq!((session.rig.endings(), session.rig.is_alive()), (vec!["client-silent"], false));
}

#[test]
fn a_heartbeat_excuses_everybody_when_the_process_was_stopped() {
    let setup = Setup { heartbeat: Some(SECOND), ..Setup::default() };
    let mut session = Session::open(SMOOTH, &setup);
    session.rig.freeze(600 * SECOND);
    session.run();
    assert_eq!((session.received().pings.len(), session.rig.is_alive()), (1, true));
    session.rig.advance(60 * SECOND);
    assert_eq!(session.rig.endings(), ["client-silent"]);
}

#[test]
fn pings_do_not_pile_up_behind_a_frame_that_nobody_takes() {
    let setup = Setup { heartbeat: Some(SECOND), ..Setup::default() };
    let mut session = Session::open(Pace { client_room: 0, ..SMOOTH }, &setup);
    session.target_sends(&vec![b'x'; RING_BYTES - 64]);
    session.run();
    for _ in 0..5 {
        session.rig.advance(STALL - 10 * SECOND);
        session.rig.client.write_step(Step::Room(LEAST_BYTES));
        session.rig.wake();
    }
    session.pace.client_room = ALL;
    session.run();
    assert_eq!(session.received().pings.len(), 1);
}

#[test]
fn a_heartbeat_does_not_end_a_client_whose_answers_wait_behind_a_stalled_target() {
    let setup = Setup { heartbeat: Some(SECOND), ..Setup::default() };
    let mut session = Session::open(Pace { target_room: 0, ..SMOOTH }, &setup);
    session.client_sends(&frame(BINARY, b"stuck"));
    session.run();
    session.rig.advance(300 * SECOND);
    assert!(session.rig.is_alive());
    session.pace.target_room = ALL;
    session.run();
    assert_eq!(session.rig.to_target, b"stuck");
    session.rig.advance(60 * SECOND);
    assert_eq!(session.rig.endings(), ["client-silent"]);
}

#[test]
fn a_heartbeat_does_not_end_a_client_to_whom_what_was_sent_before_still_arrives() {
    let setup = Setup { heartbeat: Some(10 * SECOND), ..Setup::default() };
    let mut session = Session::open(SMOOTH, &setup);
    for left in (1..20).rev() {
        session.rig.client.set_unacknowledged(left * 100_000);
        session.rig.advance(10 * SECOND);
        session.run();
        assert!(session.rig.is_alive(), "{left}");
    }
    assert!(session.received().pings.len() > 15);
    session.rig.advance(60 * SECOND);
    assert_eq!(session.rig.endings(), ["client-silent"], "now nothing arrives");
}

#[test]
fn with_a_heartbeat_a_client_that_vanishes_while_it_closes_is_not_waited_for_as_one_that_sleeps() {
    for (heartbeat, patience) in [(Some(10 * SECOND), 25 * SECOND), (None, STALL + CLOSE)] {
        let setup = Setup { heartbeat, ..Setup::default() };
        let mut session = Session::open(SMOOTH, &setup);
        (session.farewell, session.client_leaves, session.target_leaves) = (None, false, false);
        session.rig.client.set_unacknowledged(100);
        session.rig.client.set_unanswered(3);
        session.rig.target.read_step(Step::Eof);
        session.run();
        assert!(session.received().close.is_some());
        session.rig.advance(14 * SECOND);
        assert!(session.rig.is_alive());
        session.rig.advance(patience - 14 * SECOND);
        assert_eq!((session.rig.is_alive(), session.rig.endings()), (false, vec!["target-closed"]));
    }
}

#[test]
fn a_heartbeat_excuses_a_client_behind_a_stalled_target_only_while_its_system_answers() {
    let setup = Setup { heartbeat: Some(10 * SECOND), ..Setup::default() };
    let mut session = Session::open(Pace { target_room: 0, ..SMOOTH }, &setup);
    session.client_sends(&frame(BINARY, b"stuck"));
    session.run();
    session.rig.advance(300 * SECOND);
    assert!(session.rig.is_alive());
    session.rig.client.set_unanswered(3);
    session.rig.advance(30 * SECOND);
    assert_eq!(session.rig.endings(), ["client-silent"]);
}
