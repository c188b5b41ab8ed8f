//! Frames on a real connection: what is relayed, what is answered, and what ends the session with
//! which code (RFC 6455 sections 5 and 7) without a byte of it reaching the target.

use super::Server;
use crate::common::client::Client;
use crate::common::frame::{BINARY, CLOSE, CONTINUATION, Frame, Length, PING, PONG, TEXT};
use crate::common::target::Target;

/// A session whose target the test holds.
fn session() -> (Server, Client, crate::common::wire::Wire) {
    let target = Target::tcp();
    let server = Server::relay(&target.address);
    let client = Client::open(&server);
    let wire = target.accept();
    (server, client, wire)
}

/// Sends a good message, then `bad`; expects the good one at the target and nothing after it.
fn is_refused(name: &str, bad: &[u8], code: u16) {
    let (_server, mut client, mut target) = session();
    client.send_binary(b"good");
    client.wire.send(bad);
    let (got, _) = client.closed();
    assert_eq!(got, Some(code), "{name}");
    assert_eq!(target.read_to_end(), b"good", "{name}: what the target got");
    drop(target);
    // The client may still be in the middle of something when it learns of the end.
    client.wire.send_what_goes(&Frame::binary(b"late").bytes());
    client.wire.send_what_goes(&Frame::close(code, "").bytes());
    client.wire.finish();
    client.ended();
}

#[test]
fn an_unmasked_frame_is_a_protocol_error() {
    is_refused("data", &Frame::binary(b"BAD").unmasked().bytes(), 1002);
    is_refused("empty data", &Frame::binary(b"").unmasked().bytes(), 1002);
    is_refused("a ping", &Frame::new(PING, b"BAD").unmasked().bytes(), 1002);
    is_refused("a close", &Frame::close(1000, "").unmasked().bytes(), 1002);
}

#[test]
fn a_reserved_bit_is_a_protocol_error() {
    for bits in 1..8 {
        is_refused("data", &Frame::binary(b"BAD").rsv(bits).bytes(), 1002);
    }
    is_refused("a ping", &Frame::new(PING, b"BAD").rsv(4).bytes(), 1002);
    is_refused("a close", &Frame::close(1000, "").rsv(1).bytes(), 1002);
    let behind_a_fragment = [Frame::binary(b"").more(), Frame::new(CONTINUATION, b"BAD").rsv(4)];
    is_refused("a continuation", &behind_a_fragment.map(|frame| frame.bytes()).concat(), 1002);
}

#[test]
fn a_reserved_opcode_is_a_protocol_error() {
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        is_refused(&format!("opcode {opcode}"), &Frame::new(opcode, b"BAD").bytes(), 1002);
        is_refused(&format!("empty opcode {opcode}"), &Frame::new(opcode, b"").bytes(), 1002);
    }
}

#[test]
fn a_fragmented_control_frame_is_a_protocol_error() {
    for opcode in [CLOSE, PING, PONG] {
        is_refused(&format!("opcode {opcode}"), &Frame::new(opcode, b"\x03\xe8BAD").more().bytes(), 1002);
    }
}

#[test]
fn a_control_frame_over_125_bytes_is_a_protocol_error() {
    for opcode in [CLOSE, PING, PONG] {
        let mut payload = vec![b'B'; 126];
        payload[..2].copy_from_slice(&1000_u16.to_be_bytes());
        is_refused(&format!("opcode {opcode}, 126 bytes"), &Frame::new(opcode, &payload).bytes(), 1002);
        let announced = Frame::new(opcode, b"").length(Length::Announced(1 << 62));
        is_refused(&format!("opcode {opcode}, 2^62 announced"), &announced.bytes(), 1002);
    }
}

#[test]
fn a_length_that_is_not_in_its_shortest_form_is_a_protocol_error() {
    is_refused("3 in 16 bits", &Frame::binary(b"BAD").length(Length::Sixteen).bytes(), 1002);
    is_refused("3 in 64 bits", &Frame::binary(b"BAD").length(Length::SixtyFour).bytes(), 1002);
    is_refused("65535 in 64 bits", &Frame::binary(&[b'B'; 65535]).length(Length::SixtyFour).bytes(), 1002);
    is_refused("0 in 16 bits", &Frame::binary(b"").length(Length::Sixteen).bytes(), 1002);
}

#[test]
fn a_length_with_its_highest_bit_set_is_a_protocol_error() {
    is_refused("2^63", &Frame::binary(b"BAD").length(Length::Announced(1 << 63)).bytes(), 1002);
    is_refused("2^64 - 1", &Frame::binary(b"BAD").length(Length::Announced(u64::MAX)).bytes(), 1002);
}

#[test]
fn a_continuation_of_nothing_is_a_protocol_error() {
    is_refused("final", &Frame::new(CONTINUATION, b"BAD").bytes(), 1002);
    is_refused("not final", &Frame::new(CONTINUATION, b"BAD").more().bytes(), 1002);
    is_refused("empty", &Frame::new(CONTINUATION, b"").bytes(), 1002);
    let behind_a_whole_message = [Frame::binary(b""), Frame::new(CONTINUATION, b"BAD")];
    is_refused("after a message", &behind_a_whole_message.map(|frame| frame.bytes()).concat(), 1002);
}

#[test]
fn a_message_inside_another_is_a_protocol_error() {
    let nested = [Frame::binary(b"").more(), Frame::binary(b"BAD")];
    is_refused("binary in binary", &nested.map(|frame| frame.bytes()).concat(), 1002);
    let behind_an_empty_fragment = [
        Frame::binary(b"").more(),
        Frame::new(CONTINUATION, b"").more(),
        Frame::new(PING, b"").more(),
        Frame::binary(b"BAD"),
    ];
    is_refused("behind empty fragments", &behind_an_empty_fragment.map(|frame| frame.bytes()).concat(), 1002);
}

#[test]
fn a_close_frame_with_a_bad_code_is_a_protocol_error() {
    for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
        is_refused(&format!("code {code}"), &Frame::close(code, "").bytes(), 1002);
    }
    is_refused("half a code", &Frame::new(CLOSE, &[3]).bytes(), 1002);
}

#[test]
fn a_close_reason_that_is_not_utf8_is_1007() {
    for reason in [&b"\xff"[..], b"abc\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"cut \xe2\x82"] {
        let payload = [&1000_u16.to_be_bytes()[..], reason].concat();
        is_refused(&format!("{reason:02x?}"), &Frame::new(CLOSE, &payload).bytes(), 1007);
    }
}

#[test]
fn a_text_message_is_refused_with_1003() {
    is_refused("whole", &Frame::new(TEXT, b"BAD").bytes(), 1003);
    is_refused("empty", &Frame::new(TEXT, b"").bytes(), 1003);
    is_refused("a first fragment", &Frame::new(TEXT, b"BAD").more().bytes(), 1003);
    is_refused("announced only", &Frame::new(TEXT, b"").length(Length::Announced(1 << 40)).bytes(), 1003);
}

#[test]
fn every_good_close_code_comes_back_with_its_reason() {
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999] {
        let (_server, mut client, mut target) = session();
        client.send(&Frame::close(code, "so long, ✓"));
        assert_eq!(client.closed(), (Some(code), "so long, ✓".to_owned()));
        assert_eq!(target.read_to_end(), b"");
        drop(target);
        client.ended();
    }
}

#[test]
fn the_longest_close_reason_comes_back_whole() {
    let (_server, mut client, target) = session();
    let reason = "r".repeat(123);
    client.send(&Frame::close(4000, &reason));
    assert_eq!(client.closed(), (Some(4000), reason));
    drop(target);
    client.ended();
}

#[test]
fn payloads_of_every_length_encoding_are_relayed() {
    let (_server, mut client, mut target) = session();
    for count in [1, 2, 124, 125, 126, 127, 128, 65535, 65536, 65537, 200_000] {
        let payload = crate::common::flow::pattern(count);
        let sender = client.wire.twin();
        let bytes = Frame::binary(&payload).bytes();
        let sending = std::thread::spawn(move || ({ sender }).send(&bytes));
        assert_eq!(target.read_exactly(count), payload, "{count} bytes towards the target");
        sending.join().expect("the sender failed");
        let mut back = target.twin();
        let answering = std::thread::spawn(move || back.send(&payload));
        client.check_data(count as u64);
        answering.join().expect("the target's sender failed");
    }
}

#[test]
fn every_masking_key_and_offset_is_undone() {
    let (_server, mut client, mut target) = session();
    let payload: Vec<u8> = (0..=255).collect();
    for (number, key) in [[0, 0, 0, 0], [255, 255, 255, 255], [1, 2, 3, 4], [0, 0, 0, 128]].iter().enumerate()
    {
        for count in 0..40 {
            let part = &payload[number..number + count];
            client.send(&Frame { mask: Some(*key), ..Frame::binary(part) });
            assert_eq!(target.read_exactly(count), part);
        }
    }
}

#[test]
fn empty_messages_and_empty_fragments_pass_without_a_byte() {
    let (_server, mut client, mut target) = session();
    client.send_binary(b"");
    client.send(&Frame::binary(b"").more());
    client.send(&Frame::new(CONTINUATION, b"").more());
    client.send(&Frame::new(CONTINUATION, b"a"));
    client.send_binary(b"");
    client.send_binary(b"b");
    assert_eq!(target.read_exactly(2), b"ab");
    assert!(target.is_silent());
    target.send(b"back");
    assert_eq!(client.data(4), b"back");
}

#[test]
fn fragments_stream_through_before_their_message_ends() {
    let (_server, mut client, mut target) = session();
    client.send(&Frame::binary(b"one").more());
    assert_eq!(target.read_exactly(3), b"one");
    client.send(&Frame::new(CONTINUATION, b"two").more());
    assert_eq!(target.read_exactly(3), b"two");
    client.send(&Frame::new(CONTINUATION, b"three"));
    assert_eq!(target.read_exactly(5), b"three");
}

#[test]
fn frames_delivered_byte_by_byte_are_reassembled() {
    let (_server, mut client, mut target) = session();
    let bytes = [
        Frame::binary(b"first").bytes(),
        Frame::new(PING, b"in between").bytes(),
        Frame::binary(&[7; 300]).more().bytes(),
        Frame::new(CONTINUATION, b"").bytes(),
        Frame::close(4001, "enough").bytes(),
    ]
    .concat();
    for byte in bytes {
        client.wire.send(&[byte]);
    }
    assert_eq!(target.read_exactly(305), [&b"first"[..], &[7; 300]].concat());
    assert_eq!(client.frame_of(PONG), b"in between");
    assert_eq!(client.closed(), (Some(4001), "enough".to_owned()));
}

#[test]
fn a_frame_cut_anywhere_is_relayed_whole() {
    let (_server, mut client, mut target) = session();
    let bytes = [Frame::binary(b"0123456789"), Frame::binary(&[7; 130])].map(|frame| frame.bytes()).concat();
    let expected = [&b"0123456789"[..], &[7; 130]].concat();
    for cut in 1..bytes.len() {
        client.wire.send(&bytes[..cut]);
        client.wire.send(&bytes[cut..]);
        assert_eq!(target.read_exactly(expected.len()), expected, "cut at {cut}");
    }
}

#[test]
fn a_ping_is_answered_with_its_payload() {
    let (_server, mut client, _target) = session();
    for payload in [&b""[..], b"x", b"\x00\xff\xfe", &[b'p'; 125]] {
        client.send(&Frame::new(PING, payload));
        assert_eq!(client.frame_of(PONG), payload);
    }
}

#[test]
fn pings_between_fragments_are_answered_in_order_and_never_reach_the_target() {
    let (_server, mut client, mut target) = session();
    client.send(&Frame::binary(b"one").more());
    client.send(&Frame::new(PING, b"1"));
    assert_eq!(client.frame_of(PONG), b"1");
    client.send(&Frame::new(CONTINUATION, b"two").more());
    client.send(&Frame::new(PING, b"2"));
    client.send(&Frame::new(PING, b"3"));
    client.send(&Frame::new(CONTINUATION, b"three"));
    assert_eq!(client.frame_of(PONG), b"2");
    assert_eq!(client.frame_of(PONG), b"3");
    assert_eq!(target.read_exactly(11), b"onetwothree");
    assert!(target.is_silent());
}

#[test]
fn an_unsolicited_pong_is_ignored() {
    let (_server, mut client, mut target) = session();
    client.send(&Frame::new(PONG, b"nobody asked"));
    client.send(&Frame::new(PONG, b""));
    client.send_binary(b"data");
    assert_eq!(target.read_exactly(4), b"data");
    target.send(b"back");
    assert_eq!(client.data(4), b"back");
}

#[test]
fn data_towards_the_client_is_binary() {
    let (_server, mut client, mut target) = session();
    target.send(b"text would be legal UTF-8 here");
    let frame = client.frame();
    assert_eq!(frame.opcode, BINARY);
}

#[test]
fn ten_thousand_unread_pings_cost_no_memory_and_end_in_the_newest_answer() {
    let server_target = Target::tcp().echo();
    let server = Server::relay(&server_target.address);
    Client::open(&server).echo(b"warm");
    let mut client = Client::connect_narrow(&server).upgrade();
    let before = server.memory_kib();
    let pings: Vec<u8> = (0..10_000)
        .flat_map(|number| Frame::new(PING, format!("{number:0>125}").as_bytes()).bytes())
        .collect();
    client.wire.send(&pings);
    client.send_binary(b"after the pings");
    let mut last = String::new();
    let grown = loop {
        let frame = client.frame();
        match frame.opcode {
            PONG => {
                let payload = String::from_utf8(frame.payload).expect("a payload of ours");
                assert!(payload > last, "answer {payload} after {last}");
                last = payload;
            }
            _ => {
                assert_eq!(frame.payload, b"after the pings");
                break server.memory_kib().saturating_sub(before);
            }
        }
    };
    while last != format!("{:0>125}", 9_999) {
        last = String::from_utf8(client.frame_of(PONG)).expect("a payload of ours");
    }
    assert!(grown <= 1024, "{grown} KiB more after a burst of pings");
}

#[test]
fn a_heartbeat_sends_pings_and_the_session_goes_on() {
    let target = Target::tcp().echo();
    let server = Server::relay_with(&target.address, &["--heartbeat", "1"]);
    let mut client = Client::open(&server);
    for _ in 0..2 {
        let payload = client.frame_of(PING);
        client.send(&Frame::new(PONG, &payload));
    }
    client.send_binary(b"still here");
    assert_eq!(client.data(10), b"still here");
}

#[test]
fn two_messages_in_one_packet_both_arrive() {
    let (_server, mut client, mut target) = session();
    client.wire.send(&[Frame::binary(b"one").bytes(), Frame::binary(b"two").bytes()].concat());
    assert_eq!(target.read_exactly(6), b"onetwo");
}

#[test]
fn what_follows_a_close_frame_is_ignored() {
    let (_server, mut client, mut target) = session();
    client.wire.send(&[Frame::close(1000, "").bytes(), Frame::binary(b"BAD").bytes()].concat());
    client.wire.send_what_goes(&Frame::new(PING, b"BAD").bytes());
    assert_eq!(client.closed(), (Some(1000), String::new()));
    assert_eq!(target.read_to_end(), b"");
    drop(target);
    client.ended();
}
