//! While the target is dialled: what the client says meanwhile, and a program that is not there yet.

use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::wire::{BINARY, PING, TEXT, frame};
use super::*;
use crate::conn::connect::CONNECT;

const SECOND: Duration = Duration::from_secs(1);

/// A client that has got its 101 and whose target is looked for, `dialled` or not.
fn waiting(pace: Pace, dialled: bool, setup: &Setup) -> Session {
    let mut session = Session::accepted(pace, setup);
    session.client_sends(wire::REQUEST);
    session.run();
    assert_eq!((session.received().status, session.rig.state()), (Some(101), "connect"));
    if dialled {
        assert!(session.rig.dial());
        // It does not answer yet.
        session.rig.settle();
    }
    session
}

/// Runs without the target's socket ever being ready.
fn run_without_target(session: &mut Session) {
    for _ in 0..64 {
        session.react();
        session.rig.note(Side::Client, true, true, false);
        session.rig.settle();
    }
}

#[test]
fn a_close_while_the_target_is_looked_for_is_echoed_and_nobody_is_dialled_any_more() {
    for pace in Pace::all() {
        for dialled in [false, true] {
            let mut session = waiting(pace, dialled, &Setup::default());
            session.client_closes(1001, "tab closed");
            run_without_target(&mut session);
            let told = session.received().close;
            assert_eq!(told, Some((Some(1001), "tab closed".into())), "{pace:?} {dialled}");
            assert!(!dialled || session.rig.target.is_dropped(), "{pace:?}");
            assert_eq!(session.rig.endings(), ["client-closed"], "{pace:?}");
            assert!(!session.rig.is_alive(), "{pace:?} in {}", session.rig.state());
        }
    }
}

#[test]
fn a_client_that_ends_its_side_while_the_target_is_looked_for_frees_everything_at_once() {
    for dialled in [false, true] {
        // Also behind a ping, and in the middle of one.
        for before in [&b""[..], &frame(PING, b"?"), &frame(PING, b"??")[..5]] {
            let mut session = waiting(SMOOTH, dialled, &Setup::default());
            session.client_sends(before);
            session.rig.client.read_step(Step::Eof);
            run_without_target(&mut session);
            assert_eq!(session.rig.endings(), ["client-closed"], "{before:?}");
            assert!(!session.rig.is_alive() && session.rig.is_released(), "{before:?}");
        }
    }
}

#[test]
fn pings_are_answered_while_the_target_is_looked_for() {
    for pace in Pace::all() {
        let mut session = waiting(pace, true, &Setup::default());
        session.client_sends(&[frame(PING, b"one"), frame(PING, b"")].concat());
        run_without_target(&mut session);
        assert_eq!(session.received().pongs, [b"one".to_vec(), Vec::new()], "{pace:?}");
        assert_eq!(session.rig.state(), "connect");
        session.client_sends(&[frame(PING, b"two"), frame(BINARY, b"data"), frame(PING, b"three")].concat());
        session.run();
        assert_eq!(session.received().pongs.len(), 4, "each once: {pace:?}");
        assert_eq!(session.rig.to_target, b"data", "{pace:?}");
    }
}

#[test]
fn what_a_client_sends_for_its_target_before_it_leaves_is_delivered() {
    for pace in Pace::all() {
        let mut session = waiting(pace, true, &Setup::default());
        session.client_sends(&frame(BINARY, b"the last will"));
        session.client_closes(1000, "done");
        run_without_target(&mut session);
        assert_eq!((session.rig.state(), session.received().close), ("connect", None), "{pace:?}");
        session.run_to_the_end();
        assert_eq!(session.rig.to_target, b"the last will", "{pace:?}");
        assert_eq!(session.received().close, Some((Some(1000), "done".into())), "{pace:?}");
    }
}

#[test]
fn a_client_that_breaks_the_rules_is_told_before_there_is_a_target() {
    let breaches = [(1003, frame(TEXT, b"text")), (1002, vec![0x82, 0x01, 0x00]), (1002, frame(0x8f, b""))];
    for pace in Pace::all() {
        for (code, bytes) in &breaches {
            let mut session = waiting(pace, true, &Setup::default());
            session.client_sends(bytes);
            run_without_target(&mut session);
            let told = session.received().close.map(|close| close.0);
            assert_eq!(told, Some(Some(*code)), "{pace:?} {bytes:?}");
            assert_eq!(session.rig.endings(), ["client-violated"], "{pace:?}");
        }
    }
}

/// A program's Unix socket that is not there yet.
struct Program {
    path: PathBuf,
    over: Arc<AtomicBool>,
}

impl Program {
    fn new() -> Program {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("wsk-dial-{}-{number}", std::process::id()));
        Program { path, over: Arc::default() }
    }

    fn setup(&self) -> Setup {
        Setup { program: Some((self.path.clone(), Arc::clone(&self.over))), ..Setup::default() }
    }

    fn listen(&self) -> UnixListener {
        let _ = std::fs::remove_file(&self.path);
        UnixListener::bind(&self.path).expect("a socket in the temporary directory")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[test]
fn a_program_that_starts_is_dialled_until_it_listens() {
    let program = Program::new();
    let mut session = waiting(SMOOTH, false, &program.setup());
    session.rig.advance(2 * SECOND);
    // What a life of it has left behind refuses, too.
    drop(program.listen());
    session.rig.advance(3 * SECOND);
    assert_eq!((session.rig.state(), session.received().close), ("connect", None));
    let listener = program.listen();
    session.rig.advance(SECOND);
    session.rig.wake();
    assert_eq!(session.rig.state(), "relay");
    let (mut stream, _) = listener.accept().expect("the dial");
    stream.write_all(b"welcome").expect("a peer");
    session.rig.wake();
    assert_eq!(session.received().data, b"welcome");
}

#[test]
fn a_program_that_never_listens_is_a_1011_after_ten_seconds() {
    let program = Program::new();
    let mut session = waiting(SMOOTH, false, &program.setup());
    session.rig.take_log();
    session.rig.advance(CONNECT - SECOND);
    assert_eq!((session.rig.state(), session.received().close), ("connect", None));
    session.rig.advance(2 * SECOND);
    session.run();
    assert_eq!(session.received().close.map(|close| close.0), Some(Some(1011)));
    assert_eq!(session.rig.endings(), ["unreachable"]);
    let log = session.rig.take_log();
    let reason = "[Errno 2] No such file or directory (the wrapped program has not listened for 10 s)";
    assert!(log.contains(reason), "{log}");
}

#[test]
fn nobody_waits_for_a_program_that_has_ended_for_good() {
    let program = Program::new();
    let mut session = waiting(SMOOTH, false, &program.setup());
    session.rig.advance(SECOND);
    program.over.store(true, Ordering::Relaxed);
    session.rig.advance(SECOND);
    session.run();
    assert_eq!(session.received().close.map(|close| close.0), Some(Some(1011)));
    assert!(session.rig.take_log().contains("(the wrapped program has ended)"));
}

#[test]
fn a_client_that_leaves_is_not_dialled_for_when_the_program_comes() {
    let program = Program::new();
    let mut session = waiting(SMOOTH, false, &program.setup());
    session.rig.advance(SECOND);
    session.client_closes(1000, "");
    run_without_target(&mut session);
    assert!(!session.rig.is_alive());
    let listener = program.listen();
    listener.set_nonblocking(true).expect("an option");
    session.rig.advance(CONNECT);
    assert!(listener.accept().is_err(), "a program that takes one client only would have lost it");
}
