//! The same tests over wss: a thread between a test's socket and the gateway speaks TLS, so that the test
//! itself does not know. An end, a reset and a full buffer at one side are the same at the other; an end of
//! the gateway's stream without a close_notify is a reset for the test.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustix::event::{PollFd, PollFlags, poll};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use socket2::{Domain, SockRef, Socket, Type};

/// A certificate for `localhost` that was made for this process, and its files.
pub(crate) struct Identity {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) der: CertificateDer<'static>,
}

/// The identity that gateways of this process have.
pub(crate) fn identity() -> &'static Identity {
    static IDENTITY: OnceLock<Identity> = OnceLock::new();
    IDENTITY.get_or_init(|| {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        let cert = params.self_signed(&key).expect("a certificate");
        let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
        let path = |name: &str| directory.join(format!("{}-{name}", std::process::id()));
        let identity = Identity { cert: path("cert.pem"), key: path("key.pem"), der: cert.der().clone() };
        std::fs::write(&identity.cert, cert.pem()).expect("write a certificate");
        std::fs::write(&identity.key, key.serialize_pem()).expect("write a key");
        let owners = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&identity.key, owners).expect("only its owner may read it");
        identity
    })
}

/// What a client needs that trusts that identity.
pub(crate) fn trusting() -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(identity().der.clone()).expect("a root");
    Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

/// Puts TLS on a connected socket; the result is its plain side. `narrow` keeps its buffers small.
pub(crate) fn wrap(raw: Socket, narrow: bool) -> Socket {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let plain = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    if narrow {
        plain.set_recv_buffer_size(16 * 1024).expect("receive buffer");
    }
    plain.connect(&listener.local_addr().expect("bound").into()).expect("connect");
    let (inner, _) = listener.accept().expect("the other end");
    let inner = Socket::from(inner);
    if narrow {
        inner.set_send_buffer_size(16 * 1024).expect("send buffer");
    }
    let name = ServerName::try_from("localhost").expect("a name");
    let conn = ClientConnection::new(trusting(), name).expect("a client");
    std::thread::spawn(move || Bridge::new(raw, inner, conn).run());
    plain
}

struct Bridge {
    raw: Socket,
    plain: Socket,
    conn: ClientConnection,
    /// Opened, and refused by the test's side so far.
    pending: Vec<u8>,
    /// The gateway has ended its side.
    raw_ended: bool,
    /// The test has ended its side.
    plain_ended: bool,
    told_plain: bool,
    told_raw: bool,
}

/// One side is broken: so is the other, now.
struct Broken;

impl Bridge {
    fn new(raw: Socket, plain: Socket, conn: ClientConnection) -> Self {
        for socket in [&raw, &plain] {
            socket.set_nonblocking(true).expect("non-blocking mode");
            let _ = socket.set_tcp_nodelay(true);
        }
        Self {
            raw,
            plain,
            conn,
            pending: Vec::new(),
            raw_ended: false,
            plain_ended: false,
            told_plain: false,
            told_raw: false,
        }
    }

    fn run(mut self) {
        while !(self.told_plain && self.told_raw) {
            if self.wait().and_then(|()| self.turn()).is_err() {
                // Dropping sends resets.
                for socket in [&self.raw, &self.plain] {
                    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
                }
                return;
            }
        }
    }

    fn wait(&self) -> Result<(), Broken> {
        let mut raw = PollFlags::empty();
        let mut plain = PollFlags::empty();
        raw.set(PollFlags::OUT, self.conn.wants_write());
        raw.set(PollFlags::IN, self.reads_raw());
        plain.set(PollFlags::OUT, !self.pending.is_empty());
        plain.set(PollFlags::IN, self.reads_plain());
        let fds = &mut [
            PollFd::from_borrowed_fd(self.raw.as_fd(), raw),
            PollFd::from_borrowed_fd(self.plain.as_fd(), plain),
        ];
        let _ = poll(fds, None);
        // A reset shows also while this end is not read.
        let reset = fds.iter().any(|fd| fd.revents().contains(PollFlags::ERR));
        if reset { Err(Broken) } else { Ok(()) }
    }

    fn reads_raw(&self) -> bool {
        !self.raw_ended && self.pending.is_empty()
    }

    fn reads_plain(&self) -> bool {
        !self.plain_ended && !self.conn.wants_write() && !self.conn.is_handshaking()
    }

    fn turn(&mut self) -> Result<(), Broken> {
        if self.reads_raw() {
            self.read_raw()?;
        }
        if !self.pending.is_empty()
            && let Some(count) = ready((&self.plain).write(&self.pending))?
        {
            self.pending.drain(..count);
        }
        if self.raw_ended && self.pending.is_empty() && !self.told_plain {
            self.told_plain = true;
            let _ = self.plain.shutdown(Shutdown::Write);
        }
        if self.reads_plain() {
            let mut space = [0; 16 * 1024];
            match ready((&self.plain).read(&mut space))? {
                Some(0) => {
                    self.plain_ended = true;
                    self.conn.send_close_notify();
                }
                Some(count) => self.conn.writer().write_all(&space[..count]).map_err(|_| Broken)?,
                None => {}
            }
        }
        while self.conn.wants_write() {
            if ready(self.conn.write_tls(&mut &self.raw))?.is_none() {
                break;
            }
        }
        if self.plain_ended && !self.conn.wants_write() && !self.told_raw {
            self.told_raw = true;
            let _ = self.raw.shutdown(Shutdown::Write);
        }
        Ok(())
    }

    fn read_raw(&mut self) -> Result<(), Broken> {
        match ready(self.conn.read_tls(&mut &self.raw))? {
            None => return Ok(()),
            Some(0) => return Err(Broken),
            Some(_) => {}
        }
        let state = self.conn.process_new_packets().map_err(|_| Broken)?;
        let mut space = vec![0; state.plaintext_bytes_to_read()];
        self.conn.reader().read_exact(&mut space).map_err(|_| Broken)?;
        self.pending = space;
        self.raw_ended = state.peer_has_closed();
        Ok(())
    }
}

/// `None` when it would block.
fn ready(result: std::io::Result<usize>) -> Result<Option<usize>, Broken> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(_) => Err(Broken),
    }
}
