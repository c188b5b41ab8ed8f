//! How a session ends: every row of the table in `docs/errors.md`, with the bytes that must still
//! arrive and the code that the client is told.

use std::time::{Duration, Instant};

use super::Server;
use crate::common::client::{Client, UPGRADE};
use crate::common::eventually;
use crate::common::flow::{Check, Flood, pattern};
use crate::common::frame::{CLOSE, Frame};
use crate::common::target::{DeafTarget, Target, echo};
use crate::common::wire::Wire;

const MIB: u64 = 1 << 20;

/// A session whose target the test holds.
fn session() -> (Server, Client, Wire) {
    let target = Target::tcp();
    let server = Server::relay(&target.address);
    let client = Client::open(&server);
    let wire = target.accept();
    (server, client, wire)
}

#[test]
fn the_targets_end_comes_behind_all_its_data_also_for_a_slow_client() {
    let target = Target::tcp();
    let server = Server::relay(&target.address);
    let mut client = Client::connect_narrow(&server).upgrade();
    let wire = target.accept();
    let sending = std::thread::spawn(move || {
        let mut wire = wire;
        wire.send_pattern(5 * MIB);
        wire.finish();
        wire
    });
    client.check_data(5 * MIB);
    assert_eq!(client.closed(), (Some(1000), "Target closed".to_owned()));
    // The target has only finished sending: what the client still has to say reaches it.
    let mut wire = sending.join().expect("the target's sender failed");
    client.send_binary(b"after your end");
    assert_eq!(wire.read_exactly(14), b"after your end");
    client.send(&Frame::close(1000, "Target closed"));
    assert_eq!(wire.read_to_end(), b"");
    client.ended();
}

#[test]
fn a_target_that_ends_while_the_client_is_not_reading_loses_nothing() {
    let target = Target::tcp();
    let server = Server::relay(&target.address);
    let mut client = Client::connect_narrow(&server).upgrade();
    let flood = Flood::pattern(target.accept(), 5 * MIB);
    // Either backpressure holds the target, or the buffers on the way have taken all of it.
    let closing = std::thread::spawn(move || {
        drop(flood.join());
    });
    client.check_data(5 * MIB);
    assert_eq!(client.closed_with(1000), "Target closed");
    closing.join().expect("the target's sender failed");
    client.send(&Frame::close(1000, ""));
    client.ended();
}

#[test]
fn a_target_that_ends_at_once_is_a_normal_end() {
    let (_server, mut client, target) = session();
    drop(target);
    assert_eq!(client.closed(), (Some(1000), "Target closed".to_owned()));
    client.send(&Frame::close(1000, ""));
    client.ended();
}

#[test]
fn a_target_that_answers_and_resets_is_heard_to_its_last_word() {
    let (_server, mut client, mut target) = session();
    client.send_binary(b"question");
    assert_eq!(target.read_exactly(8), b"question");
    let last_words = pattern(32 * 1024);
    target.send(&last_words);
    target.reset();
    client.check_data(32 * 1024);
    assert_eq!(client.closed().0, Some(1011));
    client.send(&Frame::close(1011, ""));
    client.ended();
}

#[test]
fn a_target_that_resets_without_a_word_is_1011() {
    let (_server, mut client, target) = session();
    target.reset();
    assert_eq!(client.closed().0, Some(1011));
}

#[test]
fn a_target_that_dies_under_an_upload_is_heard_to_its_last_word() {
    let target = Target::tcp_narrow();
    let server = Server::relay(&target.address);
    let mut client = Client::open(&server);
    let mut wire = target.accept();
    let bytes: Vec<u8> = (0..64).flat_map(|_| Frame::binary(&pattern(64 * 1024)).bytes()).collect();
    let mut sender = client.wire.twin();
    let sending = std::thread::spawn(move || sender.send_what_goes(&bytes));
    assert_eq!(wire.read_exactly(1000), pattern(1000));
    wire.send(b"enough of that");
    // Closing with unread bytes makes the kernel send a reset, and the gateway's writing fail.
    drop(wire);
    assert_eq!(client.data(14), b"enough of that");
    assert_eq!(client.closed().0, Some(1011));
    drop(client);
    sending.join().expect("the client's sender failed");
}

#[test]
fn a_clients_close_comes_behind_8_mib_for_a_slow_target() {
    let target = Target::tcp_narrow();
    let server = Server::relay(&target.address);
    let mut client = Client::open(&server);
    let mut wire = target.accept();
    let flood = client.flood(8 * MIB, 64 * 1024);
    let closing = std::thread::spawn(move || {
        let mut sender = flood.join();
        sender.send(&Frame::close(4321, "that was all").bytes());
    });
    // The target reads in small bites, so that megabytes are pending when the close frame is read.
    let mut check = Check::default();
    let mut bite = [0; 4096];
    while check.position < 8 * MIB {
        let count = wire.read_some(&mut bite);
        assert!(count > 0, "the target's stream ended after {} bytes", check.position);
        check.take(&bite[..count]);
    }
    assert_eq!(wire.read_to_end(), b"");
    closing.join().expect("the client's sender failed");
    drop(wire);
    assert_eq!(client.closed(), (Some(4321), "that was all".to_owned()));
    client.ended();
}

#[test]
fn a_close_frame_with_data_pending_to_a_stalled_target_delivers_it_first() {
    let target = Target::tcp_narrow();
    let server = Server::relay(&target.address);
    let mut client = Client::open(&server);
    let mut wire = target.accept();
    let flood = client.flood(64 * MIB, 64 * 1024);
    flood.wait_for_stall();
    let sent_at_stall = flood.sent();
    assert!(sent_at_stall < 64 * MIB);
    let closing = std::thread::spawn(move || flood.join().send(&Frame::close(1000, "").bytes()));
    wire.widen();
    Check::default().read(&mut wire, 64 * MIB);
    assert_eq!(wire.read_to_end(), b"");
    closing.join().expect("the client's sender failed");
    assert_eq!(client.closed_with(1000), "");
}

#[test]
fn an_empty_close_frame_is_echoed_empty() {
    let (_server, mut client, mut target) = session();
    client.send(&Frame::new(CLOSE, b""));
    assert_eq!(client.closed(), (None, String::new()));
    assert_eq!(target.read_to_end(), b"");
    drop(target);
    client.ended();
}

#[test]
fn a_client_that_closes_is_not_kept_waiting_by_a_target_that_stays() {
    let (_server, mut client, mut target) = session();
    client.send(&Frame::close(1000, "bye"));
    assert_eq!(client.closed(), (Some(1000), "bye".to_owned()));
    assert_eq!(target.read_to_end(), b"");
    // The target never ends its half: a deadline of the gateway's own does.
    client.ended();
}

#[test]
fn the_socket_of_a_client_that_has_ended_is_closed_while_its_target_stays() {
    let (server, mut client, mut target) = session();
    client.send(&Frame::close(1000, "bye"));
    assert_eq!(client.closed(), (Some(1000), "bye".to_owned()));
    assert_eq!(target.read_to_end(), b"");
    client.ended();
    drop(client);
    eventually("the client's socket to be closed", || server.connections() == 1);
}

/// A reset of ours would make the client's system forget what it has not read.
#[test]
fn frames_at_any_time_behind_a_close_do_not_cost_the_client_its_answer() {
    let target = Target::tcp().echo();
    let server = Server::relay(&target.address);
    for round in 0..400 {
        let mut client = Client::open(&server);
        client.send(&Frame::close(1000, "bye"));
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_micros(round / 4) {}
        client.wire.send_what_goes(&Frame::binary(b"late").bytes());
        assert_eq!(client.closed(), (Some(1000), "bye".to_owned()), "round {round}");
    }
}

#[test]
fn a_client_that_ends_without_a_close_frame_has_its_data_delivered() {
    let (_server, client, mut target) = session();
    let sending = std::thread::spawn(move || {
        let sender = client.flood(MIB, 16 * 1024).join();
        sender.finish();
        client
    });
    Check::default().read(&mut target, MIB);
    assert_eq!(target.read_to_end(), b"");
    drop(target);
    let mut client = sending.join().expect("the client's sender failed");
    client.wire.wait_until_gone();
}

#[test]
fn a_client_that_ends_in_the_middle_of_a_frame_has_its_part_delivered() {
    let (_server, mut client, mut target) = session();
    let whole = Frame::binary(b"0123456789").bytes();
    client.wire.send(&whole[..whole.len() - 4]);
    client.wire.finish();
    assert_eq!(target.read_to_end(), b"012345");
}

#[test]
fn a_client_that_resets_takes_its_target_along() {
    let (server, client, mut target) = session();
    client.wire.reset();
    target.wait_until_gone();
    eventually("both sockets to be closed", || server.connections() == 0);
}

#[test]
fn a_client_that_resets_behind_a_stalled_upload_is_noticed() {
    let target = Target::tcp_narrow();
    let server = Server::relay(&target.address);
    let client = Client::open(&server);
    let mut wire = target.accept();
    let flood = client.flood(64 * MIB, 64 * 1024);
    flood.wait_for_stall();
    drop(flood.stop());
    client.wire.reset();
    eventually("both sockets to be closed", || server.connections() == 0);
    wire.wait_until_gone();
}

#[test]
fn a_client_that_resets_under_a_stalled_download_takes_its_target_along() {
    let target = Target::tcp();
    let server = Server::relay(&target.address);
    let client = Client::connect_narrow(&server).upgrade();
    let mut wire = target.accept();
    let mut sender = wire.twin();
    let bytes = pattern(16 << 20);
    let sending = std::thread::spawn(move || sender.send_what_goes(&bytes));
    client.wire.reset();
    wire.wait_until_gone();
    sending.join().expect("the target's sender failed");
    eventually("both sockets to be closed", || server.connections() == 0);
}

#[test]
fn frames_in_the_same_packet_as_the_request_are_relayed() {
    let target = Target::tcp();
    let server = Server::relay(&target.address);
    let mut client = Client::connect(&server);
    let early = pattern(40_000);
    client.wire.send(
        &[UPGRADE.as_bytes(), &Frame::binary(b"first").bytes(), &Frame::binary(&early).bytes()].concat(),
    );
    assert_eq!(client.read_head().status, 101);
    let mut wire = target.accept();
    assert_eq!(wire.read_exactly(5), b"first");
    assert_eq!(wire.read_exactly(40_000), early);
}

#[test]
fn a_close_frame_in_the_same_packet_as_the_request_is_echoed_behind_its_data() {
    let target = Target::tcp();
    let server = Server::relay(&target.address);
    let mut client = Client::connect(&server);
    let frames = [Frame::binary(b"all I have").bytes(), Frame::close(1000, "done").bytes()].concat();
    client.wire.send(&[UPGRADE.as_bytes(), &frames].concat());
    assert_eq!(client.read_head().status, 101);
    assert_eq!(target.accept().read_to_end(), b"all I have");
    assert_eq!(client.closed(), (Some(1000), "done".to_owned()));
}

#[test]
fn frames_sent_while_the_target_is_dialled_are_relayed() {
    let target = DeafTarget::new();
    let server = Server::relay(target.address());
    let mut client = Client::open(&server);
    let flood = client.flood(4 * MIB, 16 * 1024);
    let (mut wire, _listener) = target.hear();
    Check::default().read(&mut wire, 4 * MIB);
    drop(flood.join());
    wire.send(b"heard");
    assert_eq!(client.data(5), b"heard");
}

#[test]
fn a_client_that_ends_while_the_target_is_dialled_is_delivered_first() {
    for close in [Frame::close(1000, "all said").bytes(), Vec::new()] {
        let target = DeafTarget::new();
        let server = Server::relay(target.address());
        let mut client = Client::open(&server);
        client.send_binary(&pattern(5000));
        client.wire.send(&close);
        client.wire.finish();
        server.log.wait_for("connecting to: ");
        let (mut wire, _listener) = target.hear();
        assert!(wire.read_to_end() == pattern(5000), "with a close frame of {} bytes", close.len());
        drop(wire);
        if !close.is_empty() {
            assert_eq!(client.closed(), (Some(1000), "all said".to_owned()));
        }
        client.wire.wait_until_gone();
    }
}

#[test]
fn a_close_frame_under_a_stalled_download_is_echoed_behind_whole_frames() {
    let target = Target::tcp();
    let server = Server::relay(&target.address);
    let mut client = Client::connect_narrow(&server).upgrade();
    let flood = Flood::pattern(target.accept(), 64 * MIB);
    flood.wait_for_stall();
    client.send(&Frame::close(1000, "enough"));
    let mut check = Check::default();
    let reason = loop {
        let frame = client.frame();
        match frame.opcode {
            CLOSE => break frame.close_reason(),
            _ => check.take(&frame.payload),
        }
    };
    assert_eq!(reason, (Some(1000), "enough".to_owned()));
    flood.abandon();
    client.ended();
}

#[test]
fn a_client_that_leaves_while_the_target_is_dialled_frees_everything() {
    let ways: [fn(Client) -> Option<Client>; 3] = [
        |client| {
            client.wire.reset();
            None
        },
        |client| {
            client.wire.finish();
            Some(client)
        },
        |mut client| {
            client.send(&Frame::close(1001, "tab closed"));
            assert_eq!(client.closed(), (Some(1001), "tab closed".to_owned()));
            client.wire.finish();
            Some(client)
        },
    ];
    for leave in ways {
        let target = DeafTarget::new();
        let server = Server::relay(target.address());
        let client = Client::open(&server);
        server.log.wait_for("connecting to: ");
        let _client = leave(client);
        eventually("both sockets to be closed", || server.connections() == 0);
        // Long before the dial was given up.
        assert!(!server.log.lines().iter().any(|line| line.contains("Failed to connect")));
    }
}

#[test]
fn term_tells_fifty_sessions_1001_and_exits_with_0() {
    let target = Target::tcp().echo();
    let mut server = Server::relay(&target.address);
    let mut clients: Vec<Client> = (0..50).map(|_| Client::open(&server)).collect();
    for client in &mut clients {
        client.echo(b"here");
    }
    server.signal("TERM");
    for client in &mut clients {
        assert_eq!(client.closed().0, Some(1001));
        client.send(&Frame::close(1001, ""));
        client.ended();
    }
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn term_ends_also_when_clients_are_stalled_or_silent() {
    let target = Target::tcp().serve(|mut wire| {
        if wire.read_exactly(5) == b"flood" {
            let part = pattern(64 * 1024);
            while std::io::Write::write_all(&mut &wire.0, &part).is_ok() {}
        } else {
            wire.send(b"ready");
            echo(wire);
        }
    });
    let mut server = Server::relay(&target.address);
    let mut stalled: Vec<Client> = (0..5).map(|_| Client::connect_narrow(&server).upgrade()).collect();
    for client in &mut stalled {
        client.send_binary(b"flood");
        client.frame();
    }
    let mut silent: Vec<Client> = (0..5).map(|_| Client::open(&server)).collect();
    for client in &mut silent {
        client.send_binary(b"ready");
        assert_eq!(client.data(5), b"ready");
    }
    // One has not even asked for anything yet.
    let _half_open = Client::connect(&server);
    server.signal("TERM");
    for client in &mut silent {
        assert_eq!(client.closed().0, Some(1001));
    }
    assert_eq!(server.wait_within(Duration::from_secs(10)).code(), Some(0));
}

#[test]
fn term_under_a_download_ends_it_behind_a_whole_frame() {
    let target = Target::tcp();
    let mut server = Server::relay(&target.address);
    let mut client = Client::open(&server);
    let flood = Flood::pattern(target.accept(), u64::MAX);
    let mut check = Check::default();
    while check.position < 4 * MIB {
        check.take(&client.frame().payload);
    }
    server.signal("TERM");
    let code = loop {
        let frame = client.frame();
        match frame.opcode {
            CLOSE => break frame.close_reason().0,
            _ => check.take(&frame.payload),
        }
    };
    assert_eq!(code, Some(1001));
    client.send(&Frame::close(1001, ""));
    flood.abandon();
    client.ended();
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_second_term_ends_at_once() {
    let target = Target::tcp().echo();
    let mut server = Server::relay(&target.address);
    let mut clients = [Client::open(&server), Client::open(&server)];
    clients.iter_mut().for_each(|client| client.echo(b"here"));
    server.signal("TERM");
    // Nobody answers the close frames, so the first signal alone would take a while.
    clients.iter_mut().for_each(|client| assert_eq!(client.closed().0, Some(1001)));
    server.signal("TERM");
    server.wait_within(Duration::from_secs(2));
}

#[test]
fn term_while_the_target_is_dialled_is_told_too() {
    let target = DeafTarget::new();
    let mut server = Server::relay(target.address());
    let mut client = Client::open(&server);
    server.log.wait_for("connecting to: ");
    server.signal("TERM");
    assert_eq!(client.closed().0, Some(1001));
    client.send(&Frame::close(1001, ""));
    client.ended();
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_client_that_sends_on_after_the_targets_end_still_reads_everything() {
    let (_server, mut client, mut target) = session();
    let uploading = client.flood(4 * MIB, 16 * 1024);
    target.send_pattern(256 * 1024);
    target.finish();
    // The target reads nothing for now: the gateway must hold both, and close neither by force.
    client.check_data(256 * 1024);
    assert_eq!(client.closed(), (Some(1000), "Target closed".to_owned()));
    Check::default().read(&mut target, 4 * MIB);
    uploading.join().send(&Frame::close(1000, "").bytes());
    assert_eq!(target.read_to_end(), b"");
    drop(target);
    client.ended();
}

#[test]
fn an_unsent_close_of_a_client_that_never_answers_is_not_waited_for_forever() {
    let (_server, mut client, target) = session();
    drop(target);
    assert_eq!(client.closed_with(1000), "Target closed");
    // No close frame from here, and no end either: the gateway's deadline ends it.
    client.ended();
}

#[test]
fn ended_sessions_leave_no_socket_behind() {
    let target = Target::tcp().echo();
    let server = Server::relay(&target.address);
    for number in 0..40 {
        let mut client = Client::open(&server);
        client.echo(b"here");
        match number % 4 {
            0 => client.close(),
            1 => client.wire.finish(),
            2 => client.wire.reset(),
            _ => drop(client),
        }
    }
    eventually("all sockets to be closed", || server.connections() == 0);
}

#[test]
fn urgent_data_behind_a_flood_comes_in_its_place_and_so_does_what_follows() {
    let (_server, mut client, wire) = session();
    let sending = std::thread::spawn(move || {
        let mut wire = wire;
        wire.send_pattern(16 * MIB);
        wire.0.send_out_of_band(b"!").expect("TCP has urgent data");
        wire.send(b"tail");
        wire.finish();
        wire
    });
    client.check_data(16 * MIB);
    assert_eq!(client.data(5), b"!tail");
    assert_eq!(client.closed(), (Some(1000), "Target closed".to_owned()));
    sending.join().expect("the target sends it all");
}
