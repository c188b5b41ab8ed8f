//! What logs tell of the end of a session, in fields: by them alone an operator tells how it went.

use serde_json::Value;

use super::wire::{BINARY, PONG, frame};
use super::*;
use crate::ring::RING_BYTES;

const MINUTE: Duration = Duration::from_secs(60);

fn open(pace: Pace, heartbeat: Option<Duration>) -> Session {
    Session::open(pace, &Setup { json: true, heartbeat, ..Setup::default() })
}

fn objects(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The one end of the session, which both logs have.
fn end_of(session: &Session) -> Value {
    let of_end = |lines: String| -> Vec<Value> {
        objects(&lines).into_iter().filter(|object| object["event"] == "session.end").collect()
    };
    let (log, access) = (of_end(session.rig.take_log()), of_end(session.rig.take_access_log()));
    let [end] = &access[..] else { panic!("{access:#?}") };
    let without_time = |end: &Value| {
        let mut end = end.clone();
        end["timestamp"] = Value::Null;
        end
    };
    assert_eq!(log.iter().map(without_time).collect::<Vec<_>>(), [without_time(end)]);
    end.clone()
}

fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object[key].as_str().unwrap_or("-")
}

#[test]
fn a_client_that_is_slow_and_one_that_takes_nothing_any_more_are_told_apart() {
    // Takes little, but more than nothing, until it leaves.
    let mut slow = open(Pace { client_room: 1000, ..SMOOTH }, None);
    slow.target_sends(&vec![7; 2 * RING_BYTES]);
    for _ in 0..20 {
        slow.rig.client.write_step(Step::Room(2000));
        slow.rig.note(Side::Client, false, true, false);
        slow.rig.note(Side::Target, true, true, false);
        slow.rig.settle();
        slow.rig.advance(MINUTE);
    }
    slow.client_closes(1000, "");
    slow.run_to_the_end();
    let slow = end_of(&slow);
    // Takes something, and then nothing.
    let mut stalled = open(Pace { client_room: 0, ..SMOOTH }, None);
    stalled.target_sends(&vec![7; 2 * RING_BYTES]);
    stalled.run();
    stalled.rig.advance(HOUR);
    let stalled = end_of(&stalled);
    assert_eq!((text(&slow, "end"), text(&slow, "end.by")), ("client-closed", "client"));
    assert_eq!((text(&stalled, "end"), text(&stalled, "end.by")), ("client-stalled", "gateway"));
    assert_eq!((text(&stalled, "stalled"), text(&stalled, "severity")), ("client", "info"));
    let idle = stalled["idle_seconds.down"].as_f64().expect("seconds");
    assert!(idle >= 15.0 * 60.0, "{stalled}");
    assert_eq!(slow["close.code"].as_u64(), Some(1000));
}

#[test]
fn a_target_that_takes_nothing_any_more_is_told_as_such() {
    let mut session = open(Pace { target_room: 0, ..SMOOTH }, None);
    session.client_sends(&frame(BINARY, &[7; 3000]));
    session.run();
    session.rig.advance(HOUR);
    let end = end_of(&session);
    assert_eq!((text(&end, "end"), text(&end, "end.by")), ("target-stalled", "gateway"));
    assert_eq!((text(&end, "stalled"), text(&end, "severity")), ("target", "warn"));
    assert_eq!(end["bytes.up"].as_u64(), Some(0));
}

#[test]
fn a_client_that_leaves_in_order_and_one_that_has_vanished_are_told_apart() {
    let heartbeat = Duration::from_secs(20);
    let mut clean = open(SMOOTH, Some(heartbeat));
    clean.rig.advance(heartbeat);
    clean.run();
    let pings = clean.received().pings;
    clean.client_sends(&frame(PONG, pings.last().expect("a ping")));
    clean.client_closes(1000, "");
    clean.run_to_the_end();
    let clean = end_of(&clean);
    assert_eq!((text(&clean, "end"), text(&clean, "end.by")), ("client-closed", "client"));
    assert_eq!((clean["close.code"].as_u64(), clean["close.sent"].as_u64()), (Some(1000), Some(1000)));
    assert!(clean["rtt_seconds"].as_f64().is_some_and(|rtt| rtt > 0.0), "{clean}");
    assert!(clean["stalled"].is_null(), "{clean}");

    let mut silent = open(SMOOTH, Some(heartbeat));
    silent.rig.client.write_step(Step::Room(ALL));
    silent.rig.note(Side::Client, false, true, false);
    silent.rig.advance(HOUR);
    let silent = end_of(&silent);
    assert_eq!((text(&silent, "end"), text(&silent, "end.by")), ("client-silent", "gateway"));
    assert_eq!((silent["close.code"].as_u64(), &silent["close.sent"]), (Some(1006), &Value::Null));
    assert!(silent["duration_seconds"].as_f64().is_some_and(|seconds| (50.0..60.0).contains(&seconds)));
    assert!(silent["rtt_seconds"].is_null(), "{silent}");
}

#[test]
fn a_session_whose_client_leaves_while_its_target_is_dialled_has_an_end_too() {
    let setup = Setup { json: true, ..Setup::default() };
    for ends_stream in [false, true] {
        let mut session = Session::accepted(SMOOTH, &setup);
        session.client_sends(wire::REQUEST);
        session.run();
        match ends_stream {
            true => session.rig.client.read_step(Step::Eof),
            false => session.client_closes(1001, ""),
        }
        session.run_to_the_end();
        let end = end_of(&session);
        assert_eq!(text(&end, "end"), "client-closed");
        assert_eq!(end["close.code"].as_u64(), Some(if ends_stream { 1006 } else { 1001 }));
        assert!(end["connect_seconds"].is_null(), "{end}");
    }
}

#[test]
fn a_process_that_ends_ends_each_session_once_also_while_it_is_dialled() {
    for dialled in [false, true] {
        let mut session = match dialled {
            true => open(SMOOTH, None),
            false => {
                let mut session = Session::accepted(SMOOTH, &Setup { json: true, ..Setup::default() });
                session.client_sends(wire::REQUEST);
                session.run();
                session
            }
        };
        session.rig.drain(Duration::from_secs(3));
        session.run_to_the_end();
        let end = end_of(&session);
        assert_eq!((text(&end, "end"), text(&end, "end.by")), ("shutdown", "operator"));
        assert_eq!(end["close.sent"].as_u64(), Some(1001));
    }
}

#[test]
fn a_secret_that_a_client_calls_itself_is_in_no_line() {
    let request = |head: &str| {
        [head.as_bytes(), b"User-Agent: x/1 (a\xff; Token: hunter2) 9f86d081884c7d659a2feaa0c55ad015\r\n\r\n"]
            .concat()
    };
    let upgrade = String::from_utf8(wire::REQUEST.to_vec()).expect("ASCII");
    let upgrade = upgrade.strip_suffix("\r\n").expect("a head has an end");
    for (head, event) in [(upgrade, "session.start"), ("GET /x HTTP/1.1\r\nHost: a\r\n", "http.request")] {
        let mut session = Session::accepted(SMOOTH, &Setup { json: true, ..Setup::default() });
        session.client_sends(&request(head));
        session.run();
        let lines = session.rig.take_log() + &session.rig.take_access_log();
        assert!(!lines.contains("hunter2") && !lines.contains("9f86d081"), "{lines}");
        let objects = objects(&lines);
        let told = objects.iter().filter(|object| object["event"] == event).collect::<Vec<_>>();
        assert!(!told.is_empty(), "{lines}");
        for object in told {
            assert_eq!(text(object, "user_agent.original"), "x/1 (a\u{fffd}; Token: ***) ***");
        }
    }
}
