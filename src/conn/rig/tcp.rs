//! A rig over TCP, for what scripted streams have not: pipes between sockets, and options of sockets.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::{ID, Rig, Setup};
use crate::conn::state::State;
use crate::conn::{Accepted, Conn};
use crate::metrics::Stage;
use crate::net::listen::Peer;
use crate::net::narrow;
use crate::net::socket::{Io, Socket};

/// The ends of both connections.
pub struct Ends {
    /// The client's.
    pub client: TcpStream,
    /// The target's.
    pub target: TcpStream,
    /// Ours of the client's connection, for looking at it and for filling it.
    pub to_client: TcpStream,
    /// Ours of the target's.
    pub to_target: TcpStream,
}

impl Rig {
    /// As [`Rig::new`], over TCP. The target's end is dialled by [`Rig::dial_tcp`].
    ///
    /// # Panics
    /// When the system has no sockets.
    pub fn over_tcp(setup: &Setup) -> (Rig, Ends) {
        let ((near, client), (dialled, target)) = (pair(), pair());
        Rig::between(setup, Ipv4Addr::LOCALHOST.into(), (near, client), (dialled, target))
    }

    /// The same with a client that is far, and a target's socket as it is dialled for such a one.
    ///
    /// # Panics
    /// When the system has no sockets, or finds none of them far.
    pub fn from_afar(setup: &Setup) -> (Rig, Ends) {
        let (near, client) = pair();
        answer_late(&near, &client);
        let listener = listener();
        let dialled = narrow::connect(listener.local_addr().expect("bound")).expect("it listens");
        let (target, _) = listener.accept().expect("it is there");
        target.set_nonblocking(true).expect("a socket");
        Rig::between(setup, Ipv4Addr::new(192, 0, 2, 1).into(), (near, client), (dialled.into(), target))
    }

    fn between(
        setup: &Setup,
        peer: IpAddr,
        (near, client): (TcpStream, TcpStream),
        (dialled, target): (TcpStream, TcpStream),
    ) -> (Rig, Ends) {
        let mut rig = Rig::new(setup);
        let twin = |stream: &TcpStream| stream.try_clone().expect("a descriptor");
        let ends = Ends { client, target, to_client: twin(&near), to_target: twin(&dialled) };
        let socket = Socket::new(Io::Tcp(mio::net::TcpStream::from_std(near)));
        let accepted = Accepted { socket, peer: Peer::Ip(peer), admitted: true, number: 1 };
        // It takes the place of the one that the rig has made.
        rig.resources.metrics.stages[Stage::Sniff as usize].lower();
        rig.conn = Some(Conn::new(accepted, &rig.resources.to(ID, &rig.frontend)));
        rig.dialled = Some(mio::net::TcpStream::from_std(dialled));
        (rig, ends)
    }

    /// As [`Rig::dial`], with the target's end of [`Rig::over_tcp`].
    pub fn dial_tcp(&mut self) -> bool {
        let Some(Conn { state: State::Connect(connect), .. }) = &mut self.conn else { return false };
        let Some(stream) = self.dialled.take() else { return false };
        connect.dial_instead(Socket::connecting(Io::Tcp(stream)));
        true
    }

    /// Pipes that are open and empty, and those that the session keeps.
    pub fn pipes(&self) -> (usize, usize) {
        self.resources.splicer.counts()
    }
}

fn listener() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port")
}

/// A TCP connection of this machine: our end, and the other. Little fits between them, so that each can refuse soon.
fn pair() -> (TcpStream, TcpStream) {
    let listener = listener();
    let far = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
    let (near, _) = listener.accept().expect("it is there");
    for end in [&near, &far] {
        end.set_nonblocking(true).expect("a socket");
        let end = SockRef::from(end);
        end.set_send_buffer_size(PAIR_BUFFER_BYTES).expect("a socket");
        end.set_recv_buffer_size(PAIR_BUFFER_BYTES).expect("a socket");
    }
    (near, far)
}

/// Lets the system find that `far` is far: it acknowledges as late as it may, some times.
fn answer_late(mut near: &TcpStream, mut far: &TcpStream) {
    let deadline = Instant::now() + PATIENCE;
    let round_trip = || crate::sys::round_trip(near.as_fd()).expect("TCP");
    while round_trip() < LATE {
        SockRef::from(far).set_tcp_quickack(false).expect("TCP");
        near.write_all(&[0]).expect("there is room");
        while crate::sys::unacknowledged(near.as_fd()).expect("TCP") > 0 {
            assert!(Instant::now() < deadline, "it answers soon, or never");
            std::thread::sleep(Duration::from_millis(1));
        }
        far.read_exact(&mut [0]).expect("it is there");
    }
}

/// What the system may keep for each end of a pair.
const PAIR_BUFFER_BYTES: usize = 64 * 1024;

/// Late enough for a client to be far, also when it has answered at once some times since.
const LATE: Duration = Duration::from_millis(20);

/// Far more than it takes for that.
const PATIENCE: Duration = Duration::from_secs(20);
