//! Plain requests with a web server: what is answered, what is held meanwhile, and what follows.

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::conn::delivery::STALL;
use crate::net::scripted::Handle;

/// A web root of its own with a small and a large file, and a connection to its server.
struct Place {
    root: PathBuf,
    rig: Rig,
}

impl Place {
    fn new() -> Place {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("websockify-serve-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&root).expect("made");
        std::fs::write(root.join("small"), "small file").expect("written");
        std::fs::write(root.join("large"), large()).expect("written");
        let rig = Rig::new(&Setup { web: Some(root.clone()), ..Setup::default() });
        Place { root, rig }
    }

    /// A connection whose client takes everything.
    fn smooth() -> Place {
        let place = Place::new();
        place.rig.client.write_step(Step::Room(ALL));
        place
    }

    fn send(&mut self, bytes: &[u8]) {
        self.rig.client.read_step(Step::Bytes(bytes.to_vec()));
        self.rig.wake();
    }

    /// Sends a request for a file that one helper's answer is enough for, and returns the answer.
    fn fetch(&mut self, request: &str) -> String {
        self.send(request.as_bytes());
        self.rig.answer_from_helper();
        self.take()
    }

    fn take(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.rig.to_client)).expect("text")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

/// Larger than some chunks, and no multiple of one.
fn large() -> Vec<u8> {
    (0..400_001).map(|at| b'a' + (at % 23) as u8).collect()
}

const SMALL: &str = "GET /small HTTP/1.1\r\nHost: a\r\n\r\n";
const LARGE: &str = "GET /large HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_small_file_costs_one_answer_of_a_helper_and_the_connection_stays() {
    let mut place = Place::smooth();
    for _ in 0..3 {
        let answer = place.fetch(SMALL);
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nsmall file"),
            "{answer}"
        );
        assert_eq!(place.rig.state(), "handshake");
    }
    assert!(place.rig.take_log().contains("\"GET /small HTTP/1.1\" 200 -"));
}

#[test]
fn a_client_that_rests_and_leaves_has_been_served_however_it_leaves() {
    for leave in [
        |client: &Handle| client.read_step(Step::Eof),
        |client: &Handle| {
            client.reset(std::io::ErrorKind::ConnectionReset);
        },
    ] {
        let mut place = Place::smooth();
        place.fetch(SMALL);
        leave(&place.rig.client);
        place.rig.wake();
        assert_eq!(place.rig.endings(), ["served"]);
    }
}

#[test]
fn requests_that_come_together_are_answered_in_order() {
    let mut place = Place::smooth();
    let together =
        format!("{SMALL}GET /gone HTTP/1.1\r\nHost: a\r\n\r\nPUT / HTTP/1.1\r\nHost: a\r\n\r\n{SMALL}");
    for byte in together.bytes() {
        place.rig.client.read_step(Step::Bytes(vec![byte]));
    }
    place.rig.wake();
    for _ in 0..3 {
        place.rig.answer_from_helper();
    }
    let answers = place.take();
    let statuses: Vec<&str> = answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(statuses, ["200", "404", "405", "200"]);
}

#[test]
fn a_connection_ends_when_the_client_wants_it_to() {
    for (request, keep) in [
        ("GET /small HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false),
        ("GET /small HTTP/1.1\r\nHost: a\r\nConnection: Foo, Close\r\n\r\n", false),
        ("GET /small HTTP/1.0\r\n\r\n", false),
        ("GET /small HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true),
    ] {
        let mut place = Place::smooth();
        let answer = place.fetch(request);
        assert_eq!(answer.contains("Connection: close\r\n"), !keep, "{request}");
        assert_eq!(place.rig.state(), if keep { "handshake" } else { "close" }, "{request}");
    }
}

#[test]
fn an_upgrade_may_follow_a_file() {
    let mut place = Place::smooth();
    place.fetch(SMALL);
    place.send(wire::REQUEST);
    assert!(place.take().starts_with("HTTP/1.1 101 "));
    assert_eq!(place.rig.state(), "connect");
}

#[test]
fn a_body_is_read_away_to_the_byte_and_the_next_request_is_found_behind_it() {
    let bodies =
        ["Content-Length: 5\r\n\r\nGET /", "Transfer-Encoding: chunked\r\n\r\n3;x\r\nGET\r\n0\r\n\r\n"];
    for body in bodies {
        let stream = format!("POST /small HTTP/1.1\r\nHost: a\r\n{body}{SMALL}");
        for cut in (1..stream.len()).step_by(3) {
            let mut place = Place::smooth();
            place.send(&stream.as_bytes()[..cut]);
            place.send(&stream.as_bytes()[cut..]);
            place.rig.answer_from_helper();
            let answers = place.take();
            assert!(answers.starts_with("HTTP/1.1 405 ") && answers.ends_with("small file"), "cut at {cut}");
        }
    }
}

#[test]
fn a_body_that_can_not_be_read_away_ends_the_connection_behind_the_answer() {
    for (request, status) in [
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n", "405"),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n", "413"),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "501"),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx", "400"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n", "405"),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 200-ok\r\n\r\n", "417"),
    ] {
        let mut place = Place::smooth();
        place.send(request.as_bytes());
        let answer = place.take();
        assert_eq!(&answer[9..12], status, "{request}");
        assert!(answer.contains("Connection: close\r\n"), "{request}");
        assert_eq!((place.rig.state(), place.rig.endings()), ("close", vec!["served"]), "{request}");
    }
}

#[test]
fn a_client_that_waits_for_leave_to_send_a_body_gets_it() {
    let mut place = Place::smooth();
    place.send(b"GET /small HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(place.take(), "HTTP/1.1 100 Continue\r\n\r\n");
    place.send(b"abc");
    place.rig.answer_from_helper();
    assert!(place.take().ends_with("small file"));
    assert_eq!(place.rig.state(), "handshake");
}

#[test]
fn a_large_file_arrives_whole_whatever_the_client_takes_at_a_time() {
    for room in [5_000, 60_000, 300_000, ALL] {
        let mut place = Place::new();
        place.send(LARGE.as_bytes());
        while place.rig.state() == "serve" {
            if place.rig.is_asking() {
                place.rig.answer_from_helper();
            } else {
                place.rig.client.write_step(Step::Room(room));
                place.rig.wake();
            }
            if !place.rig.is_asking() {
                let held = place.rig.answer_bytes();
                assert!(held < 8 << 10, "{held} bytes are held for a client that takes nothing");
            }
        }
        let at = memchr::memmem::find(&place.rig.to_client, b"\r\n\r\n").expect("a head");
        assert!(place.rig.to_client[at + 4..] == large(), "with room for {room}");
    }
}

#[test]
fn a_file_that_shrinks_while_it_is_sent_ends_the_connection() {
    let mut place = Place::new();
    place.send(LARGE.as_bytes());
    place.rig.answer_from_helper();
    File::options()
        .write(true)
        .open(place.root.join("large"))
        .and_then(|file| file.set_len(100_000))
        .expect("cut");
    place.rig.client.write_step(Step::Room(ALL));
    place.rig.wake();
    while place.rig.is_asking() {
        place.rig.answer_from_helper();
    }
    assert_eq!((place.rig.is_alive(), place.rig.endings()), (false, vec!["file-lost"]));
}

#[test]
fn a_file_that_grows_while_it_is_sent_is_cut_at_the_announced_length() {
    let mut place = Place::new();
    place.send(LARGE.as_bytes());
    place.rig.answer_from_helper();
    std::fs::write(place.root.join("large"), [large(), large()].concat()).expect("written");
    place.rig.client.write_step(Step::Room(ALL));
    place.rig.wake();
    while place.rig.is_asking() {
        place.rig.answer_from_helper();
    }
    assert!(place.take().ends_with(std::str::from_utf8(&large()).expect("letters")));
    assert_eq!(place.rig.state(), "handshake");
}

#[test]
fn a_connection_that_rests_is_closed_in_order() {
    let mut place = Place::smooth();
    place.fetch(SMALL);
    place.rig.advance(Duration::from_secs(60));
    assert!(place.rig.client.is_write_ended());
    assert_eq!(place.rig.endings(), ["served"]);
    let mut place = Place::smooth();
    place.fetch(SMALL);
    place.rig.client.read_step(Step::Eof);
    place.rig.wake();
    assert_eq!((place.rig.is_alive(), place.rig.endings()), (false, vec!["served"]));
}

#[test]
fn a_further_request_has_the_time_of_a_first_one() {
    let mut place = Place::smooth();
    place.fetch(SMALL);
    place.rig.advance(Duration::from_secs(10));
    place.send(b"GET /");
    place.rig.advance(Duration::from_secs(15));
    assert_eq!(place.rig.state(), "handshake");
    place.rig.advance(Duration::from_secs(15));
    assert_eq!((place.rig.is_alive(), place.rig.endings()), (false, vec!["slow-request"]));
    let mut place = Place::smooth();
    place.fetch(SMALL);
    place.send(b"GET /");
    place.rig.client.read_step(Step::Eof);
    place.rig.wake();
    assert_eq!(place.rig.endings(), ["half-request"]);
}

#[test]
fn a_client_that_takes_nothing_is_given_up_and_a_slow_one_is_not() {
    let mut place = Place::new();
    place.send(LARGE.as_bytes());
    place.rig.answer_from_helper();
    for left in (0..20).rev() {
        place.rig.client.set_unacknowledged(100_000 + left);
        place.rig.advance(Duration::from_secs(30));
        assert_eq!(place.rig.state(), "serve", "{left} bytes are left");
    }
    place.rig.advance(Duration::from_secs(120));
    assert_eq!((place.rig.is_alive(), place.rig.endings()), (false, vec!["client-stalled"]));
}

#[test]
fn a_client_that_takes_a_byte_now_and_then_of_an_answer_is_given_up() {
    let mut place = Place::new();
    place.send(LARGE.as_bytes());
    place.rig.answer_from_helper();
    place.rig.client.set_unacknowledged(0);
    let mut passed = Duration::ZERO;
    while place.rig.is_alive() {
        assert!(passed < 2 * STALL, "still there, {} bytes taken", place.rig.client_took);
        place.rig.client.write_step(Step::Room(1));
        place.rig.wake();
        passed += Duration::from_secs(20);
        place.rig.advance(Duration::from_secs(20));
    }
    assert_eq!(place.rig.endings(), ["client-stalled"]);
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let mut place = Place::smooth();
    place.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
    place.rig.advance(Duration::from_secs(60));
    assert_eq!((place.rig.is_alive(), place.rig.endings()), (false, vec!["slow-request"]));
}

#[test]
fn files_that_are_out_of_reach_are_refused_after_a_while() {
    let mut place = Place::smooth();
    place.send(SMALL.as_bytes());
    place.rig.advance(Duration::from_secs(60));
    let answer = place.take();
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("Connection: close\r\n"), "{answer}");
    assert_eq!(place.rig.endings(), ["served"], "no other request may get the late answer");
    place.rig.answer_from_helper();
    assert_eq!(place.take(), "", "the late answer is for nobody");
}

#[test]
fn the_end_of_the_process_lets_an_answer_be_the_last() {
    let mut place = Place::smooth();
    place.send(SMALL.as_bytes());
    place.rig.drain(Duration::from_secs(3));
    place.rig.answer_from_helper();
    assert!(place.take().ends_with("small file"));
    assert_eq!((place.rig.state(), place.rig.endings()), ("close", vec!["served"]));
}

#[test]
fn a_connection_serves_a_limited_number_of_requests() {
    let mut place = Place::smooth();
    let mut requests = 0;
    while place.rig.state() != "close" {
        place.send(b"PUT / HTTP/1.1\r\nHost: a\r\n\r\n");
        requests += 1;
        assert!(requests <= 1000);
    }
    assert_eq!(requests, 1000);
    assert_eq!(place.take().matches("Connection: close").count(), 1);
}

#[test]
fn a_client_that_goes_away_in_the_middle_is_let_go() {
    let mut place = Place::new();
    place.send(LARGE.as_bytes());
    place.rig.client.reset(std::io::ErrorKind::ConnectionReset);
    place.rig.note(Side::Client, true, true, true);
    place.rig.settle();
    assert_eq!((place.rig.is_alive(), place.rig.endings()), (false, vec!["client-reset"]));
}

#[test]
fn a_page_that_its_client_does_not_take_counts_as_held_and_goes_first() {
    let mut place = Place::new();
    for number in 0..200 {
        std::fs::write(place.root.join(format!("one-of-many-{number}")), "").expect("written");
    }
    place.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    place.rig.answer_from_helper();
    assert!(place.rig.held_bytes() > 10_000, "{}", place.rig.held_bytes());
    place.rig.client.write_step(Step::Room(5_000));
    let before = place.rig.held_bytes();
    place.rig.wake();
    assert_eq!(place.rig.held_bytes(), before - 5_000);
    assert!(place.rig.end_overcommitted());
    assert_eq!((place.rig.endings(), place.rig.held_bytes()), (vec!["overcommitted"], 0));
}
