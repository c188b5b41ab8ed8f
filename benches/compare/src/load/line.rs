//! The client's end of a connection, plain or TLS, with the manners of `poll::Socket`: readiness is sticky,
//! a read says `None` when there is nothing, a write says how much was taken.
//!
//! TLS is rustls's buffered session. Its handshake needs no code here: what is written before it is done
//! waits in the session, and whatever reading makes due is sent at once.

use crate::load::poll::{Ready, Socket};
use rustls::pki_types::{IpAddr, ServerName};
use rustls::{ClientConfig, ClientConnection};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

/// Where lines lead, and whether they are TLS.
#[derive(Clone)]
pub(crate) struct Dialer {
    pub(crate) addr: SocketAddr,
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

/// One connection.
pub(crate) struct Line {
    socket: Socket,
    tls: Option<Box<Tls>>,
}

struct Tls {
    session: ClientConnection,
    /// Read from the socket, and how much of it the session has taken.
    sealed: Vec<u8>,
    taken: usize,
    /// The session may hold plaintext, or the end of it, that nobody has read.
    has_more: bool,
}

impl Dialer {
    /// A line over a stream that is connected or connecting.
    pub(crate) fn line(&self, stream: TcpStream) -> io::Result<Line> {
        let tls = match &self.tls {
            None => None,
            Some(config) => {
                let name = ServerName::IpAddress(IpAddr::from(self.addr.ip()));
                let mut session =
                    ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
                session.set_buffer_limit(Some(UNSENT_MAX));
                Some(Box::new(Tls { session, sealed: Vec::new(), taken: 0, has_more: false }))
            }
        };
        Ok(Line { socket: Socket::new(stream), tls })
    }
}

impl Line {
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.socket.stream
    }

    /// Takes an event to heart, and sends what waits if there is room again.
    pub(crate) fn note(&mut self, ready: Ready) -> io::Result<()> {
        self.socket.note(ready);
        if let Some(tls) = &mut self.tls {
            tls.flush(&mut self.socket)?;
        }
        Ok(())
    }

    /// Sets both bits by hand, for a stream that blocks.
    pub(crate) fn set_ready(&mut self, ready: bool) {
        self.socket.readable = ready;
        self.socket.writable = ready;
    }

    pub(crate) fn is_readable(&self) -> bool {
        self.socket.readable || self.tls.as_ref().is_some_and(|tls| tls.has_more || tls.has_sealed())
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.socket.writable
    }

    /// True when the socket has taken all that was written.
    pub(crate) fn is_flushed(&self) -> bool {
        self.tls.as_ref().is_none_or(|tls| !tls.session.wants_write())
    }

    /// `None`: nothing to read now. `Some(0)`: the end.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match &mut self.tls {
            None => self.socket.read(buffer),
            Some(tls) => tls.read(&mut self.socket, buffer),
        }
    }

    /// How many bytes were taken. Fewer than all: there is no room until an event says otherwise.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.socket.write(bytes) };
        tls.flush(&mut self.socket)?;
        if tls.session.wants_write() && !tls.session.is_handshaking() {
            return Ok(0);
        }
        let taken = tls.session.writer().write(bytes)?;
        tls.flush(&mut self.socket)?;
        Ok(taken)
    }

    /// Writes a few bytes, for which there has to be room.
    pub(crate) fn write_small(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.write(bytes)? == bytes.len() {
            true => Ok(()),
            false => Err(io::Error::other("a socket had no room for a small message")),
        }
    }
}

impl Tls {
    fn has_sealed(&self) -> bool {
        self.taken < self.sealed.len()
    }

    fn read(&mut self, socket: &mut Socket, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match self.session.reader().read(buffer) {
                Ok(count) => {
                    // Perhaps only the end, which is not an event of the socket any more.
                    self.has_more = true;
                    return Ok(Some(count));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.has_more = false,
                // A FIN without close_notify ends the stream, too.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(Some(0)),
                Err(error) => return Err(error),
            }
            if !self.has_sealed() {
                self.taken = 0;
                self.sealed = Vec::new();
                if !socket.readable {
                    return Ok(None);
                }
                self.sealed.reserve(SEALED_BYTES);
                if socket.read_onto(&mut self.sealed)?.is_none() {
                    return Ok(None);
                }
            }
            self.taken += self.session.read_tls(&mut &self.sealed[self.taken..])?;
            self.session.process_new_packets().map_err(io::Error::other)?;
            self.flush(socket)?;
        }
    }

    fn flush(&mut self, socket: &mut Socket) -> io::Result<()> {
        while self.session.wants_write() && socket.writable {
            match self.session.write_tls(&mut socket.stream) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => socket.writable = false,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Bytes that a session keeps for a socket that takes nothing.
const UNSENT_MAX: usize = 256 * 1024;

/// What one read of a TLS socket may bring.
const SEALED_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::wire::put_frame;
    use crate::proxies::kit::Kit;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::{ServerConfig, ServerConnection, StreamOwned};
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::Arc;
    use std::thread;

    /// Reads a message, and sends it back with the end right after it.
    fn serve(listener: &TcpListener, config: ServerConfig, bytes: usize) {
        let (stream, _) = listener.accept().expect("a client comes");
        let session = ServerConnection::new(Arc::new(config)).expect("a usable configuration");
        let mut stream = StreamOwned::new(session, stream);
        let mut message = vec![0; bytes];
        stream.read_exact(&mut message).expect("the message is whole");
        stream.conn.set_buffer_limit(None);
        stream.conn.writer().write_all(&message).expect("there is room");
        stream.conn.send_close_notify();
        stream.flush().expect("the client reads");
        // The socket stays open: the end is the session's.
        let _ = stream.sock.read(&mut [0; 64]);
    }

    #[test]
    fn a_tls_line_carries_what_is_written_before_the_handshake_and_sees_the_end_behind_the_data() {
        let kit = Kit::make().expect("a directory");
        let Ok(tls) = &kit.tls else {
            eprintln!("SKIPPED: openssl is not here");
            assert!(std::env::var_os("WEBSOCKIFY_NO_SKIPS").is_none(), "openssl is not here");
            return;
        };
        let read = |name: &str| kit.path(name);
        let cert = CertificateDer::from_pem_file(read("cert.pem")).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(read("key.pem")).expect("a key");
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![cert], key);
        let config = config.expect("a matching pair");
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let addr = listener.local_addr().expect("an address");
        let mut message = Vec::new();
        put_frame(&mut message, &[7; 100_000], None);
        let bytes = message.len();
        let server = thread::spawn(move || serve(&listener, config, bytes));

        let dialer = Dialer { addr, tls: Some(Arc::clone(tls)) };
        let mut line = dialer.line(TcpStream::connect(addr).expect("a server")).expect("a line");
        line.set_ready(true);
        assert_eq!(line.write(&message).expect("no fault"), bytes);
        let (mut back, mut buffer) = (Vec::new(), vec![0; 1000]);
        loop {
            // The stream blocks, so there is always something to wait for.
            line.set_ready(back.len() < bytes);
            match line.read(&mut buffer).expect("no fault") {
                Some(0) => break,
                Some(count) => back.extend_from_slice(&buffer[..count]),
                None => assert!(back.len() < bytes, "the end came with the data and is not seen"),
            }
        }
        assert!(back == message);
        drop(line);
        server.join().expect("the server is content");
    }
}
