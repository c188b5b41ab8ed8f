//! The gate is asked before anything is granted, once, and whatever it answers the rest follows from that.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use super::*;
use crate::conn::frontend::Proxies;
use crate::gate::Gate;
use crate::proxy::Version;
use crate::target::Target;
use crate::token::{Answer, Terms, TokenPlugin};

/// Answers by the token: `ok`, `never` (until it is asked to go on), `v1` and `v2`, and no other is known.
#[derive(Default)]
struct Script {
    asked: AtomicUsize,
    released: (Mutex<bool>, Condvar),
}

impl TokenPlugin for Script {
    fn look_up(&self, token: &str) -> Answer {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if token == "never" {
            let mut released = self.released.0.lock().expect("sound");
            while !*released {
                released = self.released.1.wait(released).expect("sound");
            }
        }
        let target = Target::Tcp { host: "target.invalid".into(), port: 5900 };
        match token {
            "ok" | "never" => Answer::to(target),
            "v1" => Answer::Found(target, Terms { header: Some(Version::V1), expires: None }),
            "v2" => Answer::Found(target, Terms { header: Some(Version::V2), expires: None }),
            "broken" => Answer::Broken("the plugin does not work".into()),
            _ => Answer::Unknown,
        }
    }

    fn may_tell(&self) -> bool {
        true
    }

    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }
}

impl Script {
    fn release(&self) {
        *self.released.0.lock().expect("sound") = true;
        self.released.1.notify_all();
    }
}

/// A connection behind a gate that asks the plugin, which is also returned.
fn gated(setup: Setup) -> (Session, Arc<Script>) {
    let script = Arc::new(Script::default());
    let setup = Setup { gate: Gate::of_tokens(Arc::clone(&script) as _), ..setup };
    (Session::accepted(SMOOTH, &setup), script)
}

fn upgrade(token: &str) -> Vec<u8> {
    let request = String::from_utf8(wire::REQUEST.to_vec()).expect("text");
    request.replacen("/websockify", &format!("/websockify?token={token}"), 1).into_bytes()
}

#[test]
fn nothing_is_answered_or_dialled_before_the_verdict() {
    let (mut session, script) = gated(Setup::default());
    session.client_sends(&[&upgrade("ok")[..], &wire::frame(wire::BINARY, b"early")].concat());
    session.run();
    assert_eq!((session.rig.state(), session.received().status), ("lookup", None));
    assert!(!session.rig.dial());
    session.rig.answer_from_helper();
    session.run();
    assert_eq!((session.rig.state(), session.received().status), ("connect", Some(101)));
    assert!(session.rig.dial());
    session.run();
    // What came behind the request was kept.
    assert_eq!(session.rig.to_target, b"early");
    assert_eq!(script.asked.load(Ordering::Relaxed), 1);
}

#[test]
fn a_refused_client_claims_no_session_and_a_granted_one_does() {
    let (mut session, _script) = gated(Setup { once: Some(false), ..Setup::default() });
    session.client_sends(&upgrade("unknown"));
    session.run();
    session.rig.answer_from_helper();
    session.run();
    assert_eq!((session.received().status, session.rig.endings()), (Some(404), vec!["unknown-token"]));
    assert!(session.rig.claims_session(), "the one session of --run-once was burnt by a refused client");

    let (mut session, _script) = gated(Setup { once: Some(false), ..Setup::default() });
    session.client_sends(&upgrade("ok"));
    session.run();
    session.rig.answer_from_helper();
    assert!(!session.rig.claims_session());
}

#[test]
fn a_gate_that_does_not_answer_in_time_is_503_and_its_late_answer_is_dropped() {
    let (mut session, script) = gated(Setup::default());
    session.client_sends(&upgrade("never"));
    session.run();
    session.rig.advance(Duration::from_secs(11));
    session.run();
    let answer = String::from_utf8_lossy(&session.rig.to_client).into_owned();
    assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
    assert!(answer.contains("\r\nRetry-After: "), "{answer}");
    script.release();
    session.run();
    assert_eq!(session.received().status, Some(503));
    session.run_to_the_end();
    assert_eq!(session.rig.endings(), ["lookup-failed"]);
}

#[test]
fn a_client_that_resets_or_a_process_that_ends_does_not_wait_for_the_gate() {
    let (mut session, script) = gated(Setup::default());
    session.client_sends(&upgrade("never"));
    session.run();
    session.rig.note(Side::Client, true, true, true);
    session.rig.settle();
    assert_eq!((session.rig.is_alive(), session.rig.endings()), (false, vec!["client-reset"]));
    script.release();

    let (mut session, script) = gated(Setup::default());
    session.client_sends(&upgrade("never"));
    session.run();
    session.rig.drain(Duration::from_secs(3));
    assert_eq!((session.rig.is_alive(), session.rig.endings()), (false, vec!["shutdown"]));
    script.release();
}

#[test]
fn a_connection_takes_the_new_frontend_before_a_head_and_keeps_it_behind_one() {
    let closed = || Setup { gate: Gate::of_tokens(Arc::new(Script::default())), ..Setup::default() };
    // Half a head has come when the gate is closed: the whole one finds it closed.
    let mut session = Session::accepted(SMOOTH, &Setup::default());
    let head = upgrade("unknown");
    session.client_sends(&head[..40]);
    session.run();
    session.rig.reload(crate::conn::rig::frontend(&closed()));
    session.client_sends(&head[40..]);
    session.run();
    assert_eq!(session.rig.state(), "lookup");
    // A session that was granted before stays one.
    let mut session = Session::open(SMOOTH, &Setup::default());
    session.rig.reload(crate::conn::rig::frontend(&closed()));
    session.client_sends(&wire::frame(wire::BINARY, b"still here"));
    session.run();
    assert_eq!((session.rig.state(), &session.rig.to_target[..]), ("relay", &b"still here"[..]));
}

#[test]
fn a_client_that_leaves_does_not_wait_for_the_gate() {
    let (mut session, script) = gated(Setup::default());
    session.client_sends(&upgrade("never"));
    session.run();
    session.rig.client.read_step(Step::Eof);
    session.run();
    assert_eq!((session.rig.is_alive(), session.rig.endings()), (false, vec!["half-request"]));
    script.release();
}

#[test]
fn a_client_that_has_sent_nothing_but_control_frames_and_leaves_does_not_wait_for_the_gate() {
    let frames = [
        wire::frame(wire::PING, b"still there?"),
        wire::frame(wire::CLOSE, &[0x03, 0xe9]),
        wire::frame(wire::BINARY, b""),
        wire::frame(wire::PING, b"cut off")[..4].to_vec(),
    ];
    for frame in frames {
        let (mut session, script) = gated(Setup::default());
        session.client_sends(&[upgrade("never"), frame.clone()].concat());
        session.run();
        session.rig.client.read_step(Step::Eof);
        session.run();
        assert!(!session.rig.is_alive(), "{frame:02x?} in {}", session.rig.state());
        script.release();
    }
}

#[test]
fn data_behind_an_upgrade_is_meant_also_when_the_client_has_ended_its_side() {
    let (mut session, _script) = gated(Setup::default());
    session.client_sends(&[&upgrade("ok")[..], &wire::frame(wire::BINARY, b"last words")].concat());
    session.rig.client.read_step(Step::Eof);
    session.run();
    assert_eq!(session.rig.state(), "lookup");
    session.rig.answer_from_helper();
    session.run();
    assert!(session.rig.dial());
    session.run();
    assert_eq!(session.rig.to_target, b"last words");
}

#[test]
fn what_a_client_sends_before_the_verdict_is_bounded() {
    let (mut session, script) = gated(Setup::default());
    session.client_sends(&upgrade("never"));
    session.run();
    for _ in 0..64 {
        session.client_sends(&[0x82; 16 << 10]);
        session.run();
    }
    assert_eq!(session.rig.state(), "lookup");
    assert!(session.rig.held_bytes() <= 2 * crate::http::request::HEAD_MAX, "{}", session.rig.held_bytes());
    script.release();
}

#[test]
fn a_token_says_which_header_its_target_gets_whatever_the_option_says() {
    for out in [None, Some(Version::V1), Some(Version::V2)] {
        for (token, version) in [("v1", Some(Version::V1)), ("v2", Some(Version::V2)), ("ok", out)] {
            let proxies = Proxies { out, ..Proxies::default() };
            let (mut session, _script) = gated(Setup { proxies, ..Setup::default() });
            session.client_sends(&[&upgrade(token)[..], &wire::frame(wire::BINARY, b"early")].concat());
            session.run();
            session.rig.answer_from_helper();
            session.run();
            assert!(session.rig.dial());
            session.run();
            let told = &session.rig.to_target[..];
            match version {
                None => assert_eq!(told, b"early"),
                Some(Version::V1) => assert_eq!(told, b"PROXY UNKNOWN\r\nearly", "{out:?} {token}"),
                Some(Version::V2) => {
                    // A client without an address is LOCAL, whose reader passes over what else is said.
                    let (_, length) = crate::proxy::read(told).expect("in order").expect("whole");
                    let has_host = told.windows(10).any(|part| part == b"\x02\x00\x07gateway");
                    assert!(has_host, "{out:?} {token}: {told:?}");
                    assert_eq!(&told[length..], b"early");
                }
            }
        }
    }
}
