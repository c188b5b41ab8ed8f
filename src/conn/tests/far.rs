//! A client that is far: how much may be on its way to it, and that none of the bounds stays when both ends wait.

use std::net::TcpStream;
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::SockRef;

use super::tcp::{Tcp, fill};
use super::wire::{BINARY, PONG, frame};
use super::*;
use crate::ring::RING_BYTES;
use crate::sys;

/// What may wait unsent for the client, what may come from the target that is not read, as the system counts it, and
/// whether that is fixed.
fn bounds(tcp: &Tcp) -> (u32, usize, bool) {
    let (client, target) = (SockRef::from(&tcp.ends.to_client), SockRef::from(&tcp.ends.to_target));
    (
        client.tcp_notsent_lowat().expect("TCP"),
        target.recv_buffer_size().expect("a socket"),
        sys::buffers_are_locked(tcp.ends.to_target.as_fd()).expect("Linux 5.14 or newer"),
    )
}

/// The target sends this many bytes as fast as the client takes them, in no time.
fn flows(tcp: &mut Tcp, count: usize) {
    let until = tcp.sent + count;
    while tcp.sent < until {
        tcp.sends_what_goes(until - tcp.sent);
        tcp.rig.wake();
        tcp.take_once();
    }
    tcp.take();
}

#[test]
fn to_a_far_client_no_more_is_on_its_way_than_it_takes_in_a_moment() {
    let mut tcp = Tcp::from_afar(&Setup::default());
    assert_eq!(bounds(&tcp), (LITTLE as u32, 2 * LITTLE, true));
    flows(&mut tcp, 20_000);
    let frames = tcp.frames_behind(0);
    assert!(frames.iter().all(|&len| len <= LITTLE), "{frames:?}");
    // 13 MB a second.
    flows(&mut tcp, 5_200_000);
    tcp.rig.advance(LOOK);
    flows(&mut tcp, 1000);
    assert_eq!(bounds(&tcp), (512 * 1024, 2 * 384 * 1024, true), "the usual bounds");
    let sent = tcp.sent;
    flows(&mut tcp, 100_000);
    assert!(tcp.frames_behind(sent).iter().any(|&len| len > LITTLE));
    // A few bytes in half a second.
    tcp.rig.advance(LOOK);
    flows(&mut tcp, 1000);
    // The target has seen a large window, so its segments are large, and one has to fit.
    assert_eq!(bounds(&tcp), (LITTLE as u32, 2 * SEGMENT, true));
    let sent = tcp.sent;
    flows(&mut tcp, 20_000);
    let frames = tcp.frames_behind(sent);
    assert!(frames.iter().all(|&len| len <= LITTLE), "{frames:?}");
    tcp.take_all();
}

#[test]
fn for_a_client_nearby_nothing_of_that_is_done_and_what_is_unread_is_bounded_when_it_could_grow() {
    let mut tcp = Tcp::open(&Setup::default());
    let unread = |tcp: &Tcp| {
        let of = |socket: &TcpStream| SockRef::from(socket).recv_buffer_size().expect("a socket");
        (of(&tcp.ends.to_client), of(&tcp.ends.to_target))
    };
    let (unsent, _, _) = bounds(&tcp);
    let (client, target) = unread(&tcp);
    tcp.moves_down(1000);
    tcp.client_sends(&frame(BINARY, &[b'u'; 1000]));
    assert_eq!(unread(&tcp), (client, target));
    tcp.moves_down(10_000);
    assert_eq!(unread(&tcp), (client, 2 * 384 * 1024));
    tcp.client_sends(&frame(BINARY, &[b'u'; 10_000]));
    assert_eq!(unread(&tcp), (2 * 384 * 1024, 2 * 384 * 1024));
    // Once.
    for socket in [&tcp.ends.to_client, &tcp.ends.to_target] {
        SockRef::from(socket).set_recv_buffer_size(100_000).expect("a socket");
    }
    tcp.moves_down(10_000);
    tcp.client_sends(&frame(BINARY, &[b'u'; 10_000]));
    assert_eq!(unread(&tcp), (200_000, 200_000));
    assert_eq!(bounds(&tcp).0, unsent);
    tcp.take_all();
    assert_eq!(tcp.frames_behind(0), [1000, 10_000, 10_000]);
}

#[test]
fn a_link_between_slow_and_fast_has_bounds_between() {
    let mut tcp = Tcp::from_afar(&Setup::default());
    flows(&mut tcp, 1_200_000);
    tcp.rig.advance(LOOK);
    flows(&mut tcp, 1000);
    // 3 MB a second are 12 KB in 4 ms.
    assert_eq!(bounds(&tcp), (4 * LITTLE as u32, 8 * LITTLE, true));
    // Larger reads change nothing about that.
    flows(&mut tcp, 20_000);
    assert_eq!(bounds(&tcp), (4 * LITTLE as u32, 8 * LITTLE, true));
    tcp.rig.advance(LOOK);
    flows(&mut tcp, 1000);
    // A segment of a target that has seen that window fits.
    assert_eq!(bounds(&tcp), (LITTLE as u32, 4 * LITTLE, true));
    tcp.take_all();
}

#[test]
fn the_bounds_stay_while_ends_do_not_wait_for_each_other_whatever_else_is_due() {
    let mut tcp = Tcp::from_afar(&Setup { heartbeat: Some(Duration::from_secs(10)), ..Setup::default() });
    let before = bounds(&tcp);
    for _ in 0..3 {
        tcp.rig.advance(Duration::from_secs(10));
        tcp.client_sends(&frame(PONG, b""));
    }
    assert_eq!(bounds(&tcp), before);
}

#[test]
fn bulk_for_a_far_client_goes_through_a_pipe_only_while_its_link_is_fast() {
    let mut tcp = Tcp::from_afar(&Setup::default());
    flows(&mut tcp, 5_200_000);
    tcp.rig.advance(LOOK);
    flows(&mut tcp, 1000);
    for _ in 0..4 {
        tcp.moves_down(LARGE);
        tcp.take();
    }
    assert_eq!(tcp.rig.pipes(), (1, 0));
    assert_eq!(tcp.frames_behind(tcp.sent - 4 * LARGE), [LARGE; 4], "a ring is read at a time");
    // What comes now is little for the time, and the next goes in small pieces again.
    tcp.rig.advance(LOOK);
    tcp.moves_down(LARGE);
    tcp.take();
    let sent = tcp.sent;
    tcp.moves_down(LARGE);
    tcp.take_all();
    let frames = tcp.frames_behind(sent);
    assert!(frames.iter().all(|&len| len <= LITTLE), "{frames:?}");
}

#[test]
fn a_far_client_and_a_target_that_wait_for_each_other_get_all_buffers_and_go_on() {
    let mut tcp = Tcp::from_afar(&Setup::default());
    tcp.fill_client();
    tcp.sends_what_goes(10_000);
    tcp.rig.wake();
    fill(&tcp.ends.to_target);
    tcp.client_sends(&frame(BINARY, &[b'u'; 3000]));
    tcp.rig.wake();
    assert!(tcp.rig.held_bytes() > 0);
    tcp.rig.advance(Duration::from_millis(200));
    assert_eq!(bounds(&tcp).0, LITTLE as u32);
    tcp.rig.advance(Duration::from_millis(200));
    let (unsent, unread, is_fixed) = bounds(&tcp);
    assert_eq!((unsent, is_fixed), (0, false));
    assert!(unread > RING_BYTES, "{unread}");
    // What was refused once is not refused for ever, and a single byte wakes whoever waits for it.
    tcp.take();
    assert_eq!(tcp.rig.held_bytes(), 0);
    assert!(tcp.got_up.ends_with(&[b'u'; 3000]));
    let sent = tcp.sent;
    tcp.target_sends(1);
    assert!(is_readable(&tcp.ends.to_target));
    tcp.rig.wake();
    flows(&mut tcp, 50_000);
    tcp.take_all();
    assert!(tcp.frames_behind(sent + 1).iter().any(|&len| len > LITTLE), "and there are no bounds any more");
}

#[test]
fn what_a_target_sends_is_bounded_also_where_its_buffer_is_not_small_any_more() {
    let (rig, ends) = Rig::from_afar(&Setup::default());
    // As a TLS handshake with the target leaves it.
    SockRef::from(&ends.to_target).set_recv_buffer_size(128 * 1024).expect("a socket");
    sys::lock_receive_buffer(ends.to_target.as_fd(), false).expect("Linux 5.14 or newer");
    let mut tcp = Tcp::accepted((rig, ends));
    assert!(tcp.rig.dial_tcp());
    tcp.rig.wake();
    flows(&mut tcp, 5_200_000);
    tcp.rig.advance(LOOK);
    flows(&mut tcp, 100_000);
    assert_eq!(bounds(&tcp), (512 * 1024, 2 * 384 * 1024, true));
    tcp.take_all();
}

fn is_readable(socket: &TcpStream) -> bool {
    let mut fds = [PollFd::new(socket, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).expect("a socket") == 1
}

/// The least that may be on its way at a time.
const LITTLE: usize = 3 * 1024;

/// A large read.
const LARGE: usize = 50_000;

/// The largest segment of the loopback.
const SEGMENT: usize = 64 * 1024;

/// Time over which the speed of a link is taken.
const LOOK: Duration = Duration::from_millis(400);
