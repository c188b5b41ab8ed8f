//! The target's end: listeners whose connections a test drives itself, or hands to a thread.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::DEADLINE;
use super::wire::Wire;

/// A service that the gateway dials.
pub(crate) struct Target {
    socket: Socket,
    /// `host:port`, or the path of a Unix socket: what the command line wants.
    pub(crate) address: String,
}

impl Target {
    /// Listens on a free port of 127.0.0.1.
    pub(crate) fn tcp() -> Self {
        Self::tcp_with(None)
    }

    /// The same with small receive buffers, so that a target that does not read is full soon.
    pub(crate) fn tcp_narrow() -> Self {
        Self::tcp_with(Some(16 * 1024))
    }

    fn tcp_with(receive_buffer: Option<usize>) -> Self {
        let target = Self::bound();
        if let Some(size) = receive_buffer {
            target.socket.set_recv_buffer_size(size).expect("receive buffer");
        }
        target.socket.listen(256).expect("listen");
        target
    }

    /// Holds a port on which nobody listens: dialling it is refused.
    pub(crate) fn refusing() -> Self {
        Self::bound()
    }

    fn bound() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("bind");
        let address = socket.local_addr().expect("bound").as_socket().expect("TCP").to_string();
        Self { socket, address }
    }

    /// Listens on a Unix socket.
    pub(crate) fn unix(path: &Path) -> Self {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
        socket.bind(&SockAddr::unix(path).expect("a short path")).expect("bind");
        socket.listen(256).expect("listen");
        Self { socket, address: super::text(path) }
    }

    /// The port of a TCP target.
    pub(crate) fn port(&self) -> &str {
        self.address.rsplit(':').next().unwrap_or_default()
    }

    /// The next connection.
    pub(crate) fn accept(&self) -> Wire {
        // On Linux, accept honours the socket's receive timeout.
        self.socket.set_read_timeout(Some(DEADLINE)).expect("read timeout");
        match self.socket.accept() {
            Ok((socket, _)) => Wire::new(socket),
            Err(error) => panic!("waiting for the gateway to dial the target: {error}"),
        }
    }

    /// Whether nobody waits to be accepted.
    pub(crate) fn is_untouched(&self) -> bool {
        self.socket.set_nonblocking(true).expect("non-blocking mode");
        let result = self.socket.accept();
        self.socket.set_nonblocking(false).expect("blocking mode");
        result.is_err()
    }

    /// Serves every connection with `serve` on a thread of its own, for as long as the test runs.
    pub(crate) fn serve(self, serve: impl Fn(Wire) + Send + Sync + 'static) -> Service {
        let accepted = Arc::new(AtomicUsize::new(0));
        let service = Service { address: self.address.clone(), accepted: accepted.clone() };
        let serve = Arc::new(serve);
        std::thread::spawn(move || {
            while let Ok((socket, _)) = self.socket.accept() {
                accepted.fetch_add(1, Ordering::Relaxed);
                let serve = serve.clone();
                std::thread::spawn(move || serve(Wire::new(socket)));
            }
        });
        service
    }

    /// Sends back what comes, and ends when the gateway does.
    pub(crate) fn echo(self) -> Service {
        self.serve(echo)
    }
}

/// A target that threads look after.
pub(crate) struct Service {
    /// What the command line wants.
    pub(crate) address: String,
    accepted: Arc<AtomicUsize>,
}

impl Service {
    /// How many connections have come so far.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

/// Sends back what comes on one connection until it ends.
pub(crate) fn echo(mut wire: Wire) {
    use std::io::Read;
    // A session may be silent for longer than the deadline of a test's wait.
    let _ = wire.0.set_read_timeout(None);
    let mut space = vec![0; 64 * 1024];
    while let Ok(count) = wire.0.read(&mut space) {
        if count == 0 {
            return;
        }
        wire.send_what_goes(&space[..count]);
    }
}

/// A listener that lets nobody in for now: its backlog is full, so that dialling it hangs.
pub(crate) struct DeafTarget {
    target: Target,
    fillers: Vec<Socket>,
}

impl DeafTarget {
    /// A listener that is deaf from the start.
    pub(crate) fn new() -> Self {
        Self::deafen(Target::bound())
    }

    /// Fills the smallest backlog with connections of its own until one hangs. What was accepted before
    /// goes on.
    pub(crate) fn deafen(target: Target) -> Self {
        target.socket.listen(0).expect("listen");
        let address = target.socket.local_addr().expect("bound");
        let mut fillers = Vec::new();
        loop {
            let filler = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            let connected = filler.connect_timeout(&address, Duration::from_millis(200)).is_ok();
            if !connected {
                return Self { target, fillers };
            }
            fillers.push(filler);
            assert!(fillers.len() < 100, "a backlog of zero takes no end of connections");
        }
    }

    /// What the command line wants.
    pub(crate) fn address(&self) -> &str {
        &self.target.address
    }

    /// Makes room, and returns the first connection that was not one of the fillers.
    pub(crate) fn hear(self) -> (Wire, Target) {
        let own: Vec<SockAddr> = self.fillers.iter().map(|f| f.local_addr().expect("connected")).collect();
        loop {
            let wire = self.target.accept();
            let peer = wire.0.peer_addr().expect("connected").as_socket();
            if !own.iter().any(|filler| filler.as_socket() == peer) {
                return (wire, self.target);
            }
        }
    }
}
