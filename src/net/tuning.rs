//! Options of TCP sockets: those that all have, and the bounds of their kernel buffers for unsent and unread
//! data.
//!
//! By default both grow with the speed of the data, to many MiB, and stay full for an end that has stopped
//! reading. But a client that writes all of a large message before it reads the first byte of its echo
//! depends on them. So they are bounded, and the bounds are lifted once both ends of a session may be waiting
//! for each other.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mio::net::TcpStream;
use socket2::{SockRef, TcpKeepalive};

use crate::log::describe;
use crate::sys;

/// Sets what TCP sockets here have: no delay of small writes, little that waits unsent and, unless the peer is on this
/// machine, whose kernel knows when it is gone, probes that find out about a silent one. What is set on a listener is
/// inherited by what it accepts. What may wait unsent is bounded ([`bound_unsent`]), and what stays on this machine is
/// not paced.
///
/// All of these are optional, and a system that lacks one is served without it; [`take_untuned`] reports
/// that.
pub fn tune_tcp(socket: &SockRef<'_>, peer: Option<IpAddr>) {
    wish("TCP_NODELAY", socket.set_tcp_nodelay(true));
    bound_unsent(socket);
    unpace(socket, peer);
    if peer.is_some_and(|peer| peer.is_loopback()) {
        return;
    }
    let probes = TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_EVERY);
    wish("SO_KEEPALIVE", socket.set_tcp_keepalive(&probes));
    wish("TCP_USER_TIMEOUT", socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX)));
}

/// Continues without an option that the system refuses, and keeps the process's first refusal for the log.
pub fn wish(option: &'static str, result: io::Result<()>) {
    if let Err(error) = result {
        let _ = UNTUNED.set((option, error));
    }
}

/// The first option that the system has refused, and why; once.
pub fn take_untuned() -> Option<String> {
    let (option, error) = UNTUNED.get()?;
    let said = UNTUNED_SAID.swap(true, Ordering::Relaxed);
    (!said).then(|| format!("this system refuses {option} ({}); continuing without it", describe(error)))
}

static UNTUNED: OnceLock<(&str, io::Error)> = OnceLock::new();
static UNTUNED_SAID: AtomicBool = AtomicBool::new(false);

/// Silence after which a peer is probed (TCP_KEEPIDLE). A peer that answers none of the probes for
/// [`UNACKNOWLEDGED_MAX`] is gone: where that option is set, the system counts time and not probes.
const PROBE_AFTER: Duration = Duration::from_secs(60);

/// Time between probes that are not answered.
const PROBE_EVERY: Duration = Duration::from_secs(20);

/// How long sent bytes may stay unacknowledged before the system breaks the connection (TCP_USER_TIMEOUT).
/// A closed window counts, so this must be no shorter than the time for which a peer may take nothing.
pub const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(16 * 60);

/// If the system's congestion control paces, connections on this machine are exempt: there is no link to
/// share, and a timer for each segment costs more than all the rest of a splice. A connection that begins
/// with pacing keeps its timer, so the listener disables it for all, and [`pace`] enables it again for those
/// from elsewhere.
fn unpace(socket: &SockRef<'_>, peer: Option<IpAddr>) {
    let control = CONTROL.get_or_init(|| socket.tcp_congestion().unwrap_or_default());
    if control.starts_with(PACING) && peer.is_none_or(|peer| peer.is_loopback()) {
        // tcp(7). Every system has it, and everybody may use it.
        wish("TCP_CONGESTION", socket.set_tcp_congestion(b"reno"));
    }
}

/// Gives an accepted connection from elsewhere the system's congestion control.
pub fn pace(tcp: &TcpStream, peer: IpAddr) {
    if !peer.to_canonical().is_loopback()
        && let Some(control) = CONTROL.get().filter(|control| control.starts_with(PACING))
    {
        wish("TCP_CONGESTION", SockRef::from(tcp).set_tcp_congestion(control));
    }
}

/// What the system gives a new connection.
static CONTROL: OnceLock<Vec<u8>> = OnceLock::new();

/// Congestion control that paces.
const PACING: &[u8] = b"bbr";

/// Bounds what waits unsent (TCP_NOTSENT_LOWAT). What is set on a listener is inherited by what it accepts.
fn bound_unsent(socket: &SockRef<'_>) {
    wish("TCP_NOTSENT_LOWAT", socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX));
}

/// Bounds how much a near peer can send that is not read. For a far one the kernel adapts to how much is in
/// flight.
pub fn bound_unread(tcp: &TcpStream) {
    // A bound that can't be taken back would stop sessions whose ends wait for each other.
    if !unbinds(tcp.as_fd()) {
        return;
    }
    if is_near(tcp) {
        wish("SO_RCVBUF", SockRef::from(tcp).set_recv_buffer_size(UNREAD_BYTES_MAX));
    }
}

/// Whether a peer is so near that what it may send unread can be bounded.
pub(super) fn is_near(tcp: &TcpStream) -> bool {
    sys::round_trip(tcp.as_fd()).is_ok_and(|time| time <= NEAR)
}

/// Gives both back to the system.
pub fn unbind(tcp: &TcpStream) {
    wish("TCP_NOTSENT_LOWAT", SockRef::from(tcp).set_tcp_notsent_lowat(0));
    if *UNBINDS.get().unwrap_or(&false) {
        wish("SO_BUF_LOCK", sys::lock_receive_buffer(tcp.as_fd(), false));
    }
    // Nobody is reading now, so the kernel would not let it grow.
    wish("SO_RCVLOWAT", sys::grow_receive_buffer(tcp.as_fd(), RELEASED_BYTES));
}

/// Whether a bound of SO_RCVBUF can be taken back (SO_BUF_LOCK, since Linux 5.14).
pub(super) fn unbinds(socket: BorrowedFd<'_>) -> bool {
    *UNBINDS.get_or_init(|| sys::buffers_are_locked(socket).is_ok())
}

static UNBINDS: OnceLock<bool> = OnceLock::new();

/// What a socket may hold that the system has not even tried to send. It asks for more when half of that is left, so two
/// rings go with one wait. A peer that has stopped reading leaves it there.
pub(super) const UNSENT_BYTES_MAX: u32 = 512 * 1024;

/// How much a near peer may send before it is read (SO_RCVBUF, which the kernel doubles and also uses for its
/// own structures). A far peer may send as much as the kernel finds the path to hold.
pub(super) const UNREAD_BYTES_MAX: usize = 384 * 1024;

/// What a peer can send at least once the bounds are lifted: the usual maximum of most systems. With what can
/// wait to be sent (`net.ipv4.tcp_wmem`) a client can write 16 MiB before it reads.
const RELEASED_BYTES: usize = 3 << 20;

/// A peer that answers within this is near.
const NEAR: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_leaves_this_machine_is_paced() {
        let listener =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        let of_system = listener.tcp_congestion().expect("an option");
        tune_tcp(&SockRef::from(&listener), None);
        let here = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        listener.bind(&here.into()).expect("a port");
        listener.listen(1).expect("listening");
        let listener = std::net::TcpListener::from(listener);
        let near = std::net::TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        let far = TcpStream::from_std(listener.accept().expect("accepted").0);
        let control = || SockRef::from(&far).tcp_congestion().expect("an option");
        pace(&far, [127, 0, 0, 1].into());
        assert!(!control().starts_with(PACING));
        pace(&far, [192, 0, 2, 1].into());
        assert_eq!(control(), of_system);
        drop(near);
    }

    #[test]
    fn a_peer_elsewhere_is_probed_and_one_on_this_machine_is_not() {
        let elsewhere = IpAddr::from([192, 0, 2, 1]);
        for (peer, probed) in [(None, true), (Some(elsewhere), true), (Some([127, 0, 0, 1].into()), false)] {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
            let socket = socket.expect("a socket");
            tune_tcp(&SockRef::from(&socket), peer);
            assert!(socket.tcp_nodelay().expect("an option"));
            assert_eq!(socket.keepalive().expect("an option"), probed);
            let patience = socket.tcp_user_timeout().expect("an option");
            assert_eq!(patience, probed.then_some(UNACKNOWLEDGED_MAX));
            if probed {
                assert_eq!(socket.tcp_keepalive_time().expect("an option"), PROBE_AFTER);
                assert_eq!(socket.tcp_keepalive_interval().expect("an option"), PROBE_EVERY);
            }
        }
    }
}
