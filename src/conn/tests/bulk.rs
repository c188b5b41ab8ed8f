//! Bulk data between sockets of TCP goes through a pipe: when, and that nothing of it is lost, whoever stops.

use std::io::Write;
use std::net::{TcpListener, TcpStream};

use socket2::SockRef;

use super::tcp::Tcp;
use super::wire::{BINARY, close, frame};
use super::*;
use crate::conn::relay::CLOSE;
use crate::ring::RING_BYTES;

/// A large read.
const LARGE: usize = 50_000;

/// A session in bulk whose client has taken everything.
fn in_bulk(setup: &Setup) -> Tcp {
    let mut tcp = Tcp::open(setup);
    for _ in 0..5 {
        tcp.moves_down(LARGE);
        tcp.take();
    }
    tcp
}

/// The same, and the next that came was refused by the client.
fn refused(setup: &Setup) -> Tcp {
    let mut tcp = in_bulk(setup);
    // A system may find room where there was none a moment before.
    for _ in 0..20 {
        tcp.fill_client();
        tcp.moves_down(LARGE);
        if tcp.rig.held_bytes() > 1 {
            break;
        }
    }
    tcp
}

#[test]
fn four_large_reads_in_a_row_are_bulk_and_smaller_ones_or_one_between_are_not() {
    for (reads, is_bulk) in [
        (&[LARGE; 3][..], false),
        (&[LARGE; 4], true),
        (&[40_000; 8], false),
        (&[LARGE, LARGE, LARGE, 1000, LARGE, LARGE, LARGE], false),
    ] {
        let mut tcp = Tcp::open(&Setup::default());
        for &count in reads {
            tcp.moves_down(count);
            tcp.take();
        }
        assert_eq!(tcp.rig.pipes(), (usize::from(is_bulk), 0), "{reads:?}");
        assert!(tcp.take_all().close.is_none());
        assert_eq!(tcp.frames_behind(0), reads, "a frame for each read");
    }
}

#[test]
fn what_a_client_refuses_of_bulk_stays_in_a_pipe_counts_as_held_and_comes_in_order() {
    let mut tcp = refused(&Setup::default());
    assert_eq!(tcp.rig.pipes(), (0, 1));
    let held = tcp.rig.held_bytes();
    assert!(held > 1 && held <= LARGE + 4, "{held}, with the header of its frame");
    assert!(tcp.rig.deadline().is_some(), "its client is stalled");
    // Nothing is read for it meanwhile.
    tcp.moves_down(LARGE);
    assert!(tcp.rig.held_bytes() <= held);
    tcp.take_all();
    assert_eq!((tcp.rig.pipes(), tcp.rig.held_bytes(), tcp.rig.deadline()), ((1, 0), 0, None));
}

#[test]
fn when_no_pipe_may_be_kept_what_a_client_refuses_is_read_out() {
    // The largest frame fits into a ring, header and all.
    for count in [LARGE, 2 * RING_BYTES] {
        let mut tcp = in_bulk(&Setup { pipes_max: 0, ..Setup::default() });
        assert_eq!(tcp.rig.pipes(), (1, 0), "it goes through a pipe");
        SockRef::from(&tcp.ends.to_target).set_recv_buffer_size(2 << 20).expect("a socket");
        SockRef::from(&tcp.ends.target).set_send_buffer_size(2 << 20).expect("a socket");
        tcp.fill_client();
        for _ in 0..count / LARGE {
            tcp.target_sends(LARGE);
        }
        tcp.rig.wake();
        assert_eq!(tcp.rig.pipes(), (1, 0));
        assert!((1..=RING_BYTES).contains(&tcp.rig.held_bytes()));
        tcp.take_all();
        assert_eq!(tcp.rig.held_bytes(), 0);
    }
}

#[test]
fn what_goes_through_a_pipe_is_work_and_has_its_turn_like_any_other() {
    let mut tcp = in_bulk(&Setup::default());
    tcp.target_sends(LARGE);
    tcp.rig.note(Side::Target, true, false, false);
    tcp.rig.drive();
    assert!(tcp.rig.worked() >= LARGE, "{}", tcp.rig.worked());
    tcp.take_all();
}

#[test]
fn a_client_that_sends_behind_its_close_gets_the_answer_all_the_same() {
    let mut tcp = Tcp::open(&Setup::default());
    tcp.client_sends(&close(1000, ""));
    // Nobody but the gateway has its socket now, so that what it does to it counts.
    tcp.ends.to_client = tcp.ends.client.try_clone().expect("a descriptor");
    tcp.rig.settle();
    (&tcp.ends.client).write_all(b"more").expect("there is room");
    tcp.take();
    assert_eq!(tcp.received().close, Some((Some(1000), String::new())));
}

#[test]
fn in_a_crowd_data_is_copied_unless_a_pipe_may_be_kept() {
    for (waiting, pipes_max, goes) in [(5, 0, false), (4, 0, true), (5, 1, true)] {
        let mut tcp = Tcp::open(&Setup { pipes_max, ..Setup::default() });
        tcp.rig.bulk_waiting = waiting;
        for _ in 0..6 {
            tcp.moves_down(LARGE);
            tcp.take();
        }
        assert_eq!(tcp.rig.pipes().0, usize::from(goes), "{waiting} wait, {pipes_max} may be kept");
        tcp.take_all();
    }
}

#[test]
fn what_is_taken_down_goes_through_no_pipe() {
    let mut tcp = in_bulk(&Setup { traffic: true, ..Setup::default() });
    tcp.moves_down(LARGE);
    tcp.take_all();
    assert_eq!(tcp.rig.pipes(), (0, 0));
    assert_eq!(tcp.rig.take_traffic().matches('{').count(), 1 + 6, "the legend has one, too");
}

#[test]
fn a_target_that_is_no_tcp_socket_needs_no_pipe() {
    let mut tcp = Tcp::accepted(Rig::over_tcp(&Setup::default()));
    assert!(tcp.rig.dial());
    for _ in 0..8 {
        tcp.rig.target.read_step(Step::Bytes(vec![b'x'; LARGE]));
        tcp.take();
    }
    assert_eq!((tcp.rig.pipes(), tcp.received().data.len()), ((0, 0), 8 * LARGE));
}

#[test]
fn a_close_is_answered_behind_what_is_in_the_pipe_and_a_target_that_ends_is_told_there() {
    for by_client in [true, false] {
        let mut tcp = refused(&Setup::default());
        if by_client {
            tcp.client_sends(&close(3000, "enough"));
        } else {
            tcp.ends.target.shutdown(std::net::Shutdown::Write).expect("connected");
        }
        tcp.rig.wake();
        assert_eq!((tcp.rig.state(), tcp.rig.endings()), ("relay", vec![]));
        let told = tcp.take_all().close.expect("a Close").0;
        assert_eq!(told, Some(if by_client { 3000 } else { 1000 }));
    }
}

#[test]
fn bulk_for_a_client_that_has_gone_or_of_a_target_that_resets_ends_the_session_for_that_reason() {
    for (is_kept, by_client, name) in [
        (false, true, "client-reset"),
        (true, true, "client-reset"),
        (false, false, "target-reset"),
        (true, false, "target-reset"),
    ] {
        let mut tcp = if is_kept { refused(&Setup::default()) } else { in_bulk(&Setup::default()) };
        if by_client {
            tcp.target_sends(LARGE);
            reset(&mut tcp.ends.client);
            tcp.rig.note(Side::Client, true, true, true);
        } else {
            reset(&mut tcp.ends.target);
            tcp.rig.note(Side::Target, true, true, true);
        }
        tcp.rig.settle();
        if !by_client {
            // What it had said is for the client all the same, and then the end.
            assert_eq!(tcp.take_to_close(), Some(1011));
            tcp.client_sends(&close(1011, ""));
        }
        // A reset may take its time.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while tcp.rig.endings().is_empty() {
            assert!(std::time::Instant::now() < deadline, "{name}, kept: {is_kept}");
            let side = if by_client { Side::Client } else { Side::Target };
            tcp.rig.note(side, true, true, true);
            tcp.rig.settle();
        }
        assert_eq!((tcp.rig.endings(), tcp.rig.held_bytes()), (vec![name], 0), "kept: {is_kept}");
    }
}

#[test]
fn what_a_client_sends_goes_on_while_bulk_for_it_is_in_a_pipe() {
    let mut tcp = refused(&Setup::default());
    tcp.client_sends(&frame(BINARY, b"the other way is open"));
    tcp.take_all();
    assert_eq!(tcp.got_up, b"the other way is open");
}

#[test]
fn a_process_that_ends_waits_for_clients_that_take_what_is_in_a_pipe() {
    let mut tcp = refused(&Setup::default());
    tcp.rig.drain(HOUR);
    tcp.rig.advance(3 * CLOSE);
    assert!(tcp.rig.is_alive());
    let received = tcp.take_all();
    assert_eq!(received.close.expect("a Close").0, Some(1001));
}

/// Closes a socket with a reset. What is in its place has nothing to say.
fn reset(socket: &mut TcpStream) {
    SockRef::from(&*socket).set_linger(Some(Duration::ZERO)).expect("a socket");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    *socket = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
}
