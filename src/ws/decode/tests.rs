//! The decoder against its plain twin, over every split of chosen streams and random splits of random ones.

use super::twin::{self, Yield};
use super::*;
use tungstenite::protocol::frame::{Frame, FrameHeader, coding};

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Feeds `stream` cut at `cuts` (ascending), one feed per piece.
fn feed_cut(stream: &[u8], cuts: &[usize]) -> Yield {
    let mut decoder = Decoder::new();
    let mut out = Yield::default();
    let mut start = 0;
    for &end in cuts.iter().chain([&stream.len()]) {
        let mut piece = stream[start..end].to_vec();
        start = end;
        let ended = out.finish.is_some();
        let mut controls = Vec::new();
        let fed = decoder.feed(&mut piece, &mut |control| {
            controls.push(match control {
                Control::Ping(body) => (9, body.to_vec()),
                Control::Pong(body) => (10, body.to_vec()),
            });
        });
        if ended {
            assert_eq!((fed, controls.len()), (Fed { payload: 0, finish: None }, 0), "nothing after the end");
            continue;
        }
        out.payload.extend_from_slice(&piece[..fed.payload]);
        // Where in the data a control frame stood is not reported.
        out.controls.extend(controls.into_iter().map(|(opcode, body)| (opcode, body, 0)));
        out.finish = fed.finish;
    }
    out
}

fn expected(stream: &[u8]) -> Yield {
    let mut out = twin::decode(stream);
    out.controls.iter_mut().for_each(|control| control.2 = 0);
    out
}

/// A masked frame with the shortest length.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        len @ 0..=125 => out.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            out.push(0xfe);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            out.push(0xff);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&KEY);
    out.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + at / 256) as u8).collect()
}

fn finish_of(stream: &[u8]) -> Option<Finish> {
    feed_cut(stream, &[]).finish
}

fn violation_of(stream: &[u8]) -> Option<Violation> {
    match finish_of(stream) {
        Some(Finish::Violation(violation)) => Some(violation),
        _ => None,
    }
}

/// Streams that reach every state of the decoder.
fn streams() -> Vec<Vec<u8>> {
    let mixed = [
        frame(0x82, b"RFB 003.008\n"),
        frame(0x89, b"are you there"),
        frame(0x82, b""),
        frame(0x02, b""),
        frame(0x8a, b""),
        frame(0x00, b"in "),
        frame(0x89, b"within"),
        frame(0x80, b"pieces"),
        frame(0x82, &bytes(126)),
        frame(0x88, b"\x03\xe8bye"),
        frame(0x82, b"after the end"),
    ]
    .concat();
    let burst = (0..20).flat_map(|len| frame(0x82, &bytes(len))).collect();
    let wrong = [frame(0x82, b"before"), frame(0x89, &bytes(125)), frame(0x81, b"text")].concat();
    let longest_close = [frame(0x82, b"x"), frame(0x88, &[b"\x0b\xb8", &[b'r'; 123][..]].concat())].concat();
    vec![mixed, burst, wrong, longest_close, [frame(0x82, &bytes(300)), frame(0x8b, b"")].concat()]
}

#[test]
fn every_split_in_two_and_every_narrow_split_in_three_yields_the_same() {
    for stream in streams() {
        let expected = expected(&stream);
        assert_eq!(feed_cut(&stream, &[]), expected);
        for first in 0..=stream.len() {
            // Three pieces meet in one header or control frame only when the middle one is short.
            for second in first..=stream.len().min(first + 20) {
                assert_eq!(feed_cut(&stream, &[first, second]), expected, "cut at {first} and {second}");
            }
        }
    }
}

#[test]
fn a_stream_in_equal_pieces_of_any_size_yields_the_same() {
    let long = [frame(0x82, &bytes(70_000)), frame(0x89, b"x"), frame(0x02, &bytes(65_535))].concat();
    let short = streams().into_iter().map(|stream| (stream, (1..40).chain([125, 126, 127]).collect()));
    for (stream, sizes) in short.chain([(long, vec![7, 126, 1000, 65_536])]) {
        let expected = expected(&stream);
        for size in sizes {
            let cuts: Vec<usize> = (size..stream.len()).step_by(size).collect();
            assert_eq!(feed_cut(&stream, &cuts), expected, "pieces of {size}");
        }
    }
}

#[test]
fn every_prefix_yields_what_it_holds() {
    for stream in streams() {
        for end in 0..=stream.len() {
            assert_eq!(feed_cut(&stream[..end], &[]), expected(&stream[..end]), "the first {end} bytes");
        }
    }
}

#[test]
fn random_streams_in_random_pieces_agree_with_the_twin() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for round in 0..2_000 {
        let mut stream = Vec::new();
        for _ in 0..random.below(8) {
            stream.extend(random_frame(&mut random));
        }
        for _ in 0..random.below(3) {
            // Damage: most streams end in a violation sooner or later.
            if let Some(len) = stream.len().checked_sub(1).filter(|&len| len > 0) {
                stream[random.below(len)] ^= 1 << random.below(8);
            }
        }
        let mut cuts: Vec<usize> = (0..random.below(6)).map(|_| random.below(stream.len() + 1)).collect();
        cuts.sort_unstable();
        assert_eq!(feed_cut(&stream, &cuts), expected(&stream), "round {round}, cut at {cuts:?}");
    }
}

fn random_frame(random: &mut Random) -> Vec<u8> {
    let first = [0x82, 0x82, 0x82, 0x02, 0x00, 0x80, 0x89, 0x8a, 0x88][random.below(9)];
    let len = match (first, random.below(60)) {
        (0x88, _) => 0,
        (0x89 | 0x8a, _) => random.below(126),
        (_, 0) => random.below(70_000),
        (_, 1..10) => random.below(300),
        _ => random.below(40),
    };
    frame(first, &bytes(len))
}

/// A small generator (xorshift), so that a failure repeats.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

#[test]
fn frames_of_an_independent_encoder_are_understood() {
    for len in [0, 1, 5, 64, 125, 126, 127, 1000, 0xffff, 0x10000, 100_000] {
        let mut frame = Frame::from_payload(
            FrameHeader { opcode: coding::OpCode::Data(coding::Data::Binary), ..FrameHeader::default() },
            bytes(len).into(),
        );
        frame.header_mut().mask = Some([0xa5, 0x01, 0x80, 0x7f]);
        let mut stream = Vec::new();
        frame.format(&mut stream).expect("writing to a Vec works");
        let out = feed_cut(&stream, &[]);
        assert_eq!((out.payload, out.finish), (bytes(len), None), "{len} bytes");
    }
}

#[test]
fn each_rule_broken_is_named() {
    let table: &[(&[u8], Violation)] = &[
        (&[0x82, 0x05], Violation::Unmasked),
        (&[0xc2], Violation::ReservedBits),
        (&[0xa2], Violation::ReservedBits),
        (&[0x92], Violation::ReservedBits),
        (&[0x83], Violation::ReservedOpcode(3)),
        (&[0x07], Violation::ReservedOpcode(7)),
        (&[0x8b], Violation::ReservedOpcode(11)),
        (&[0x8f], Violation::ReservedOpcode(15)),
        (&[0x09], Violation::FragmentedControl),
        (&[0x08], Violation::FragmentedControl),
        (&[0x89, 0xfe], Violation::OversizedControl),
        (&[0x88, 0xff], Violation::OversizedControl),
        (&[0x82, 0xfe, 0, 125], Violation::NonMinimalLength),
        (&[0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff], Violation::NonMinimalLength),
        (&[0x82, 0xff, 0x80], Violation::OversizedLength),
        (&[0x80], Violation::UnexpectedContinuation),
        (&[0x02, 0x80, 1, 2, 3, 4, 0x82], Violation::ExpectedContinuation),
        (&[0x02, 0x80, 1, 2, 3, 4, 0x01], Violation::ExpectedContinuation),
        (&[0x81], Violation::Text),
        (&[0x01], Violation::Text),
        (&[0x88, 0x81], Violation::BadCloseBody),
        (&[0x88, 0x82, 0, 0, 0, 0, 3, 0xed], Violation::BadCloseCode(1005)),
        (&[0x88, 0x83, 0, 0, 0, 0, 3, 0xe8, 0xff], Violation::BadCloseReason),
    ];
    for (stream, violation) in table {
        assert_eq!(violation_of(stream), Some(*violation), "{stream:02x?}");
        assert_eq!(finish_of(&stream[..stream.len() - 1]), None, "{stream:02x?} shows at its last byte");
    }
}

#[test]
fn each_violation_has_its_close_code_and_a_short_reason() {
    assert_eq!(Violation::Text.code(), 1003);
    assert_eq!(Violation::BadCloseReason.code(), 1007);
    for violation in [Violation::Unmasked, Violation::ReservedOpcode(3), Violation::BadCloseCode(u16::MAX)] {
        assert_eq!(violation.code(), 1002);
        assert!(violation.to_string().len() <= 123);
    }
}

#[test]
fn close_codes_that_may_be_sent_are_accepted_and_no_others() {
    for code in 0..=u16::MAX {
        let sendable = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
        let finish = finish_of(&frame(0x88, &code.to_be_bytes()));
        let expected = match sendable {
            true => Finish::Close(CloseFrame { code: Some(code), reason: "".into() }),
            false => Finish::Violation(Violation::BadCloseCode(code)),
        };
        assert_eq!(finish, Some(expected));
    }
}

#[test]
fn data_before_a_violation_in_the_same_feed_is_delivered() {
    let out = feed_cut(&[frame(0x82, b"kept"), frame(0x81, b"refused")].concat(), &[]);
    assert_eq!(out.payload, b"kept");
    assert_eq!(out.finish, Some(Finish::Violation(Violation::Text)));
}

#[test]
fn a_frame_of_any_announced_size_streams_through() {
    let mut decoder = Decoder::new();
    let mut head = [&[0x82, 0xff][..], &(1u64 << 62).to_be_bytes(), &[0; 4]].concat();
    assert_eq!(decoder.feed(&mut head, &mut |_| {}), Fed { payload: 0, finish: None });
    for _ in 0..3 {
        let mut data = bytes(100_000);
        assert_eq!(decoder.feed(&mut data, &mut |_| {}).payload, 100_000);
        assert_eq!(data, bytes(100_000), "a key of zeros changes nothing");
    }
    assert!(!decoder.is_between_frames());
}

#[test]
fn the_places_between_frames_and_messages_are_known() {
    let mut decoder = Decoder::new();
    let mut places = String::new();
    let stream = [frame(0x02, b"a"), frame(0x89, b"p"), frame(0x80, b"b"), frame(0x88, b"")].concat();
    for byte in stream {
        places.push(match (decoder.is_between_messages(), decoder.is_between_frames()) {
            (true, true) => 'M',
            (false, true) => 'F',
            (false, false) => '.',
            (true, false) => unreachable!("a message holds frames"),
        });
        decoder.feed(&mut [byte], &mut |_| {});
    }
    assert_eq!(places, "M......F......F......M.....");
    assert!(decoder.is_between_messages());
}

#[test]
fn an_idle_decoder_is_small_and_a_finished_one_keeps_nothing() {
    assert!(size_of::<Decoder>() <= 48, "{} bytes", size_of::<Decoder>());
    let mut decoder = Decoder::new();
    let ping = frame(0x89, b"split");
    decoder.feed(&mut ping[..8].to_vec(), &mut |_| {});
    assert!(decoder.partial.is_some());
    decoder.feed(&mut ping[8..].to_vec(), &mut |_| {});
    assert!(decoder.partial.is_none());
}

#[test]
fn a_ping_in_one_piece_is_never_copied() {
    let mut decoder = Decoder::new();
    let ping = frame(0x89, b"whole");
    decoder.feed(&mut ping[..6].to_vec(), &mut |_| {});
    assert!(decoder.partial.is_none(), "the header alone takes no box");
}

#[test]
fn the_ends_of_messages_are_noted_wherever_the_stream_is_split() {
    let frame = |fin: bool, opcode: u8, payload: &[u8]| {
        let mut bytes = vec![u8::from(fin) << 7 | opcode, 0x80 | payload.len() as u8, 1, 2, 3, 4];
        bytes.extend(payload.iter().zip([1, 2, 3, 4].iter().cycle()).map(|(byte, key)| byte ^ key));
        bytes
    };
    let stream = [
        frame(true, 2, b"one"),
        frame(true, 2, b""),
        frame(false, 2, b"tw"),
        frame(true, 9, b"ping"),
        frame(false, 0, b""),
        frame(true, 0, b"o"),
        frame(true, 2, &[b'x'; 100]),
    ]
    .concat();
    for split in 0..=stream.len() {
        let (mut decoder, mut ends, mut before) = (Decoder::new(), Vec::new(), 0);
        let mut pings = 0;
        for part in [&stream[..split], &stream[split..]] {
            let (mut part, mut here) = (part.to_vec(), Vec::new());
            let fed = decoder.feed_and_note(&mut part, &mut |_| pings += 1, Some(&mut here));
            ends.extend(here.into_iter().map(|end| end + before));
            before += fed.payload;
        }
        assert_eq!((ends, before, pings), (vec![3, 3, 6, 106], 106, 1), "split at {split}");
    }
}

#[test]
fn short_frames_that_reach_to_the_end_of_the_buffer_are_decoded_within_it() {
    for len in 0..=36 {
        let payload: Vec<u8> = (0..len).map(|at| at * 7 + 1).collect();
        for count in 1..=9 {
            let stream = frame(0x82, &payload).repeat(count);
            assert_eq!(feed_cut(&stream, &[]), expected(&stream), "{count} of {len} bytes");
        }
    }
}

#[test]
fn each_violation_has_words_of_its_own_that_fit_into_a_close_frame() {
    use Violation::*;
    let all = [
        Unmasked,
        ReservedBits,
        ReservedOpcode(11),
        FragmentedControl,
        OversizedControl,
        NonMinimalLength,
        OversizedLength,
        UnexpectedContinuation,
        ExpectedContinuation,
        Text,
        BadCloseBody,
        BadCloseCode(999),
        BadCloseReason,
    ];
    let mut words: Vec<String> = all.iter().map(Violation::to_string).collect();
    assert!(words.iter().all(|words| (10..=CONTROL_MAX - 2).contains(&words.len())), "{words:?}");
    words.sort();
    words.dedup();
    assert_eq!(words.len(), all.len(), "{words:?}");
    assert!(
        ReservedOpcode(11).to_string().ends_with(" 11") && BadCloseCode(999).to_string().ends_with(" 999")
    );
}
