//! What a session knows of itself: bytes, moments, and how far its client is.

use super::wire::{BINARY, PONG, frame};
use super::*;
use crate::timers::Tick;

#[test]
fn a_session_has_moved_what_its_ends_have_seen() {
    for pace in Pace::all() {
        let mut session = Session::open(pace, &Setup::default());
        session.client_sends(&frame(BINARY, &[7; 300]));
        session.target_sends(&[8; 500]);
        session.client_sends(&frame(wire::PING, b"counts as nothing"));
        session.run();
        let traffic = session.rig.traffic().expect("a session");
        assert_eq!((traffic.bytes_up, traffic.bytes_down), (300, 500), "{pace:?}");
        assert_eq!((session.rig.to_target.len(), session.received().data.len()), (300, 500));
    }
}

#[test]
fn a_direction_was_active_when_payload_moved_last_and_not_when_none_could() {
    let mut session = Session::open(Pace { target_room: 0, ..SMOOTH }, &Setup::default());
    let begun = session.rig.traffic().expect("a session").begun;
    let second = Duration::from_secs(1);
    session.rig.advance(second);
    session.target_sends(b"down");
    session.run();
    let down = session.rig.traffic().expect("a session");
    assert!(down.active_down.since(begun) >= second && down.active_up == begun, "{down:?}");
    session.rig.advance(second);
    session.client_sends(&frame(BINARY, b"nobody takes it"));
    session.run();
    let refused = session.rig.traffic().expect("a session");
    assert_eq!(refused, down, "the target has taken nothing");
    session.rig.advance(second);
    session.pace.target_room = ALL;
    session.run();
    let up = session.rig.traffic().expect("a session");
    assert!(up.active_up.since(begun) >= 3 * second && up.active_down == down.active_down, "{up:?}");
    assert!(up.active_up < Tick::NEVER);
}

#[test]
fn the_answer_to_a_ping_tells_how_far_the_client_is_and_any_other_pong_nothing() {
    let heartbeat = Duration::from_secs(20);
    let setup = Setup { heartbeat: Some(heartbeat), ..Setup::default() };
    let mut session = Session::open(SMOOTH, &setup);
    session.client_sends(&frame(PONG, b""));
    session.run();
    session.rig.advance(heartbeat);
    session.client_sends(&frame(PONG, b""));
    session.run();
    assert_eq!(session.rig.traffic().and_then(|traffic| traffic.round_trip()), None);
    let pings = session.received().pings;
    let [ping] = &pings[..] else { panic!("{pings:?}") };
    session.client_sends(&frame(PONG, ping));
    session.run();
    let round_trip = session.rig.traffic().and_then(|traffic| traffic.round_trip());
    assert!(round_trip.is_some_and(|time| time < Duration::from_secs(60)), "{round_trip:?}");
}
