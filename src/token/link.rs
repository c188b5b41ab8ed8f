//! Connections of plugins to their services: blocking sockets, and one deadline for everything, so that a
//! service can't prolong a lookup by sending a byte now and then.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::certs::{self, Authorities, TargetOptions};
use crate::flight::Asked;
use crate::resolve::{self, Addresses, Resolver};

/// Opens connections for one plugin. Names are looked up on a lane of its own, so that a hanging name server
/// delays no session's target.
#[derive(Default)]
pub(super) struct Dialer {
    resolver: Resolver,
    /// Loaded when it is first needed; a failure is retried.
    tls: Mutex<Option<Arc<ClientConfig>>>,
}

/// A connection, with any number of TLS layers.
pub(super) enum Link {
    Plain(Timed),
    Tls(Box<StreamOwned<ClientConnection, Link>>),
}

/// A socket, and when to give up.
pub(super) struct Timed {
    socket: TcpStream,
    deadline: Instant,
}

impl Dialer {
    /// Connects to the first address of `host` that answers.
    ///
    /// # Errors
    /// None does, the name is not known, or time is up.
    pub(super) fn connect(&self, host: &str, port: u16, deadline: Instant) -> io::Result<Link> {
        let addresses = self.resolve(host, deadline)?;
        let mut fault = None;
        for (at, address) in addresses.iter().enumerate() {
            let address = match *address {
                SocketAddr::V4(mut address) => {
                    address.set_port(port);
                    SocketAddr::V4(address)
                }
                SocketAddr::V6(mut address) => {
                    address.set_port(port);
                    SocketAddr::V6(address)
                }
            };
            // An address that does not answer leaves time for the next ones.
            let share = left(deadline)? / u32::try_from(addresses.len() - at).unwrap_or(u32::MAX);
            match TcpStream::connect_timeout(&address, share.max(SHARE_MIN)) {
                Ok(socket) => {
                    // A request is one write, and so loses nothing if this fails.
                    let _ = socket.set_nodelay(true);
                    return Ok(Link::Plain(Timed { socket, deadline }));
                }
                Err(error) => fault = Some(error),
            }
        }
        Err(fault.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
    }

    /// Puts TLS on a connection to `host`, whose certificate must be valid by the system's authorities.
    ///
    /// # Errors
    /// There are no authorities, the handshake fails, or time is up.
    pub(super) fn secure(&self, mut link: Link, host: &str) -> io::Result<Link> {
        let config = self.tls().map_err(io::Error::other)?;
        let name = host.split_once('%').map_or(host, |(address, _)| address);
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let mut conn = ClientConnection::new(config, name).map_err(io::Error::other)?;
        while conn.is_handshaking() {
            conn.complete_io(&mut link)?;
        }
        Ok(Link::Tls(Box::new(StreamOwned::new(conn, link))))
    }

    /// The system's authorities, or those of SSL_CERT_FILE.
    ///
    /// # Errors
    /// There are none, in words for the operator.
    pub(super) fn tls(&self) -> Result<Arc<ClientConfig>, String> {
        let mut tls = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = &*tls {
            return Ok(Arc::clone(config));
        }
        let options = TargetOptions { authorities: Some(Authorities::System), name: None };
        let config = certs::target_config(&options)?;
        *tls = Some(Arc::clone(&config));
        Ok(config)
    }

    fn resolve(&self, host: &str, deadline: Instant) -> io::Result<Arc<[SocketAddr]>> {
        if let Some(address) = resolve::literal(host) {
            return Ok(Arc::new([address]));
        }
        let (done, answer) = channel();
        // A caller that has given up no longer wants the answer.
        let to = Box::new(move |addresses: Addresses| drop(done.send(addresses)));
        let found = match self.resolver.ask(host, to) {
            Asked::Now(found) => found,
            Asked::Later => answer.recv_timeout(left(deadline)?).map_err(|_| overdue())?,
            Asked::Busy => return Err(io::Error::other("too many names are being looked up")),
        };
        found.map_err(|why| io::Error::other(why.to_string()))
    }
}

impl Link {
    /// Sets the deadline of what is read and written from now on.
    pub(super) fn set_deadline(&mut self, deadline: Instant) {
        match self {
            Link::Plain(timed) => timed.deadline = deadline,
            Link::Tls(stream) => stream.sock.set_deadline(deadline),
        }
    }

    /// Whether the other end has closed the connection, or sent something unasked.
    pub(super) fn is_disturbed(&self) -> bool {
        match self {
            Link::Plain(Timed { socket, .. }) => {
                let peeked = socket.set_nonblocking(true).and_then(|()| socket.peek(&mut [0]));
                let is_quiet = matches!(&peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
                !is_quiet || socket.set_nonblocking(false).is_err()
            }
            Link::Tls(stream) => stream.sock.is_disturbed(),
        }
    }
}

impl Read for Link {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        match self {
            Link::Plain(timed) => timed.wait(|socket, left| {
                socket.set_read_timeout(Some(left))?;
                socket.read(space)
            }),
            Link::Tls(stream) => stream.read(space),
        }
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Link::Plain(timed) => timed.wait(|socket, left| {
                socket.set_write_timeout(Some(left))?;
                socket.write(bytes)
            }),
            Link::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Link::Plain(_) => Ok(()),
            Link::Tls(stream) => stream.flush(),
        }
    }
}

impl Timed {
    fn wait(
        &mut self,
        mut step: impl FnMut(&mut TcpStream, Duration) -> io::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            match step(&mut self.socket, left(self.deadline)?) {
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                done => return done,
            }
        }
    }
}

/// The time that is left.
///
/// # Errors
/// None is.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(overdue()) } else { Ok(left) }
}

fn overdue() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
}

/// An error in words for the operator, without what the service said.
pub(super) fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut => "no answer in time".into(),
        io::ErrorKind::UnexpectedEof => "the connection ended prematurely".into(),
        _ => crate::log::describe(error),
    }
}

/// The least time that an address gets to answer a connection.
const SHARE_MIN: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(300)
    }

    fn linked(deadline: Instant) -> (Link, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = listener.local_addr().expect("bound").port();
        let link = Dialer::default().connect("localhost", port, deadline).expect("a connection");
        (link, listener.accept().expect("the other end").0)
    }

    #[test]
    fn a_peer_that_drips_does_not_move_the_deadline() {
        let (mut link, mut peer) = linked(soon());
        let dripping = thread::spawn(move || while peer.write_all(b"x").is_ok() {});
        let error = loop {
            if let Err(error) = link.read(&mut [0]) {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(link);
        dripping.join().expect("the peer saw the end");
    }

    #[test]
    fn reading_writing_and_connecting_end_at_the_deadline() {
        let (mut link, _peer) = linked(soon());
        assert_eq!(link.read(&mut [0]).expect_err("silence").kind(), io::ErrorKind::TimedOut);
        link.set_deadline(soon());
        let error = loop {
            if let Err(error) = link.write(&[0; 65536]) {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let past = Dialer::default().connect("127.0.0.1", 9, Instant::now());
        assert_eq!(past.err().map(|error| error.kind()), Some(io::ErrorKind::TimedOut));
    }

    #[test]
    fn a_tls_handshake_that_hangs_ends_at_the_deadline() {
        let (link, _peer) = linked(soon());
        let dialer = Dialer::default();
        let roots = rustls::RootCertStore::empty();
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        *dialer.tls.lock().unwrap() = Some(Arc::new(config));
        let secured = dialer.secure(link, "localhost");
        assert_eq!(secured.err().map(|error| error.kind()), Some(io::ErrorKind::TimedOut));
    }

    #[test]
    fn what_the_peer_does_between_two_questions_is_seen() {
        let (link, mut peer) = linked(soon());
        assert!(!link.is_disturbed());
        assert!(!link.is_disturbed(), "it blocks as before");
        peer.write_all(b"x").expect("written");
        while !link.is_disturbed() {
            thread::yield_now();
        }
        let (link, peer) = linked(soon());
        drop(peer);
        while !link.is_disturbed() {
            thread::yield_now();
        }
    }
}
