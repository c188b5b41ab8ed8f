//! What must hold for any input. The fuzz targets call these, and so does `tests/corpus.rs` of the main
//! crate, which replays the corpus without nightly.
//!
//! In the inputs of the first two, the first byte says how many size bytes follow (0 to 7); they are the
//! sizes of the pieces, over and over. The rest is the stream.

use websockify::http::path::{SHOWN_MAX, redact};
use websockify::http::refusal::Refusal;
use websockify::http::request::{HEAD_MAX, HeadError, HeadReader, Request};
use websockify::os::rebind::Head;
use websockify::sniff::{Protocol, classify};
use websockify::ws::decode::{CloseFrame, Control, Decoder, Finish, Violation};
use websockify::ws::{CONTROL_MAX, encode, handshake};

mod certificates;
mod files;
mod framing;
mod gate;
mod jwt;
mod plugins;
mod proxies;
mod secrets;
mod services;
mod splice;
mod states;
mod tls;
#[path = "../../src/ws/decode/twin.rs"]
mod twin;
mod work;

pub use certificates::certificates;
pub use files::files;
pub use gate::{credentials, token_files};
pub use jwt::{jwe, jws};
pub use plugins::plugin_answers;
pub use proxies::{forwarded, proxy};
pub use secrets::secrets;
pub use services::{http_answers, redis_answers, service_urls_stay};
pub use splice::splice;
pub use states::states;
pub use tls::tls;
use twin::Yield;

/// Whatever a file holds, it is told what it is, by its beginning alone.
pub fn programs(data: &[u8]) {
    const LINE: usize = 256;
    match Head::of(data) {
        Head::Script(interpreter) => {
            assert!(data.starts_with(b"#!") && !interpreter.is_empty() && interpreter.len() < LINE);
            assert!(data[..data.len().min(LINE)].windows(interpreter.len()).any(|part| part == interpreter));
        }
        Head::Elf(_) | Head::Foreign => assert!(data.starts_with(b"\x7fELF")),
        Head::Other => assert!(!data.starts_with(b"\x7fELF")),
    }
}

/// Frames decode alike whole, in pieces, and with the plain twin; nothing follows the end.
pub fn decode(data: &[u8]) {
    let (sizes, stream) = plan(data);
    let mut expected = twin::decode(stream);
    // Where in the data a control frame stood is not reported.
    expected.controls.iter_mut().for_each(|control| control.2 = 0);
    assert_eq!(work::bounded("frames", stream.len(), || feed(&[], stream)), expected, "whole");
    assert_eq!(feed(sizes, stream), expected, "in pieces of {sizes:?}");
    if let Some(Finish::Close(close)) = &expected.finish {
        assert_eq!(echoed(close), expected.finish, "a close survives its echo");
    }
}

/// A request head is found at the same place whole and in pieces, keeps the limits, and is either parsed
/// and answered or refused with a status.
pub fn request_head(data: &[u8]) {
    let (sizes, stream) = plan(data);
    let whole = HeadReader::new().scan(stream);
    assert_eq!(scan(sizes, stream), whole, "in pieces of {sizes:?}");
    match whole {
        Ok(Some(len)) => {
            assert!(len <= HEAD_MAX && stream[..len].ends_with(b"\n"));
            assert_eq!(HeadReader::new().scan(&stream[..len]), whole, "what follows does not count");
            assert_eq!(HeadReader::new().scan(&stream[..len - 1]), Ok(None), "not a byte earlier");
            work::bounded("request", len, || request(&stream[..len]));
        }
        Ok(None) => assert!(stream.len() < HEAD_MAX, "there is an end to waiting"),
        Err(error) => refused(error),
    }
}

/// What is taken for TLS could not have been a request.
pub fn sniff(data: &[u8]) {
    let Some(&first) = data.first() else { return };
    if classify(first) == Protocol::Tls {
        assert!(matches!(HeadReader::new().scan(data), Err(HeadError::Malformed(_))));
    }
}

/// Takes the sizes of the pieces off the input.
fn plan(data: &[u8]) -> (&[u8], &[u8]) {
    match data {
        [count, rest @ ..] => rest.split_at(usize::from(count & 7).min(rest.len())),
        [] => (&[], &[]),
    }
}

/// Where each piece ends; a piece of size 0 is an empty one with one byte after it.
fn ends(sizes: &[u8], len: usize) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut end = 0;
    for &size in sizes.iter().cycle() {
        if size == 0 {
            ends.push(end);
        }
        end += usize::from(size).max(1);
        if end >= len {
            break;
        }
        ends.push(end);
    }
    ends.push(len);
    ends
}

fn feed(sizes: &[u8], stream: &[u8]) -> Yield {
    let mut decoder = Decoder::new();
    let mut out = Yield::default();
    let mut start = 0;
    for end in ends(sizes, stream.len()) {
        let mut piece = stream[start..end].to_vec();
        start = end;
        let mut controls = Vec::new();
        let fed = decoder.feed(&mut piece, &mut |control| {
            controls.push(match control {
                Control::Ping(body) => (9, body.to_vec(), 0),
                Control::Pong(body) => (10, body.to_vec(), 0),
            });
        });
        assert!(controls.iter().all(|(_, body, _)| body.len() <= CONTROL_MAX));
        if out.finish.is_some() {
            assert!(fed.payload == 0 && fed.finish.is_none() && controls.is_empty(), "the end is the end");
        }
        assert!(decoder.is_between_frames() || !decoder.is_between_messages());
        out.payload.extend_from_slice(&piece[..fed.payload]);
        out.controls.append(&mut controls);
        out.finish = out.finish.or(fed.finish);
    }
    out
}

/// Encodes a close, masks it with a key of zeros and decodes it again.
fn echoed(close: &CloseFrame) -> Option<Finish> {
    let mut frame = Vec::new();
    encode::close(&mut frame, close.code, &close.reason);
    assert!(frame.len() <= 2 + CONTROL_MAX);
    frame[1] |= 0x80;
    frame.splice(2..2, [0; 4]);
    feed(&[], &frame).finish
}

fn scan(sizes: &[u8], stream: &[u8]) -> Result<Option<usize>, HeadError> {
    let mut reader = HeadReader::new();
    for end in ends(sizes, stream.len()) {
        match reader.scan(&stream[..end]) {
            Ok(None) => {}
            answer => return answer,
        }
    }
    Ok(None)
}

fn request(head: &[u8]) {
    let request = match Request::parse(head) {
        Ok(request) => request,
        Err(error) => {
            assert_ne!(error, HeadError::Malformed("request head is incomplete"), "both agree on the end");
            return refused(error);
        }
    };
    assert!(request.target.starts_with('/') || request.target == "*");
    assert!(request.minor_version <= 1 && !request.method.is_empty());
    assert!(redact(request.target).len() <= SHOWN_MAX + 32, "what is logged of it is bounded");
    match handshake::check(&request) {
        Ok(upgrade) => {
            assert!(request.method == "GET" && handshake::is_upgrade(&request));
            assert_answer(&upgrade.response(None), b"HTTP/1.1 101 ", "");
        }
        Err(refused) => assert_answer(&refused.response("now", false), b"HTTP/1.1 4", &refused.reason),
    }
}

fn refused(error: HeadError) {
    assert!([400, 414, 431, 505].contains(&error.status().0));
    let refusal = Refusal::new(error.status().0, error.to_string());
    assert_answer(&refusal.response("now", false), b"HTTP/1.1 ", &error.to_string());
}

/// An answer is one head and one line of body, or none.
fn assert_answer(answer: &[u8], start: &[u8], body: &str) {
    assert!(answer.starts_with(start));
    let text = std::str::from_utf8(answer).expect("an answer is text");
    let (_, rest) = text.split_once("\r\n\r\n").expect("an answer has an end");
    assert_eq!(rest.trim_end_matches('\n'), body);
}
