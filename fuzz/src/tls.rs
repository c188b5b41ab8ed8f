//! A TLS session under arbitrary bytes: before, during and after the handshake, among records of an honest
//! peer, while we write and the socket is full.

use std::io::Write;
use std::sync::{Arc, OnceLock};

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection};
use websockify::net::fault::Broken;
use websockify::net::scripted::{Handle, Scripted, Step};
use websockify::net::socket::{Io, ReadEnd, Socket};
use websockify::net::transport::Transport;
use websockify::ring::{HELD_BYTES_MAX, Pool, RING_BYTES};

/// Whatever comes, nothing panics or spins, what waits is bounded, and what is read is what the honest peer
/// has sealed, from its first byte on, or less.
///
/// The first byte chooses our side and whether the handshake is done first; then come pairs of bytes, an
/// action and its size.
pub fn tls(data: &[u8]) {
    let [setup, rest @ ..] = data else { return };
    let mut run = Run::new(setup & 1 != 0, setup & 2 != 0);
    if setup & 4 != 0 {
        run.handshake();
    }
    let mut rest = rest;
    while let [action, size, more @ ..] = rest {
        rest = more;
        let size = usize::from(*size);
        match action % 11 {
            0 => {
                let (bytes, more) = rest.split_at(size.min(rest.len()));
                run.feed(bytes);
                rest = more;
            }
            1 => run.peer_says(&vec![0x55; size * 80]),
            2 => run.write(&vec![0xaa; size * size * 2]),
            3 => run.script.write_step(Step::Room(1 + size * size)),
            4 => run.read(size + 1),
            5 => drop(run.ours.flush(&mut run.rings)),
            6 => run.peer_leaves(),
            7 => run.ours.shutdown_write(&mut run.rings),
            8 => run.script.read_step(Step::Eof),
            9 => run.pass(size * 20, 0),
            _ => run.pass(size * 20, 1 << (size & 7)),
        }
        run.check();
    }
    run.ours.stop_writing(&mut run.rings);
    assert_eq!(run.rings.held_bytes(), 0, "everything was given back");
}

struct Run {
    ours: Transport,
    script: Handle,
    rings: Pool,
    peer: Connection,
    /// What the peer has sealed and ours has not been given.
    wire: Vec<u8>,
    said: usize,
    got: usize,
    /// The peer has said that it has nothing more to say.
    peer_left: bool,
    /// Ours has ended or failed; no plaintext may come any more.
    over: bool,
}

impl Run {
    fn new(server: bool, old: bool) -> Run {
        let (stream, script) = Scripted::new([], []);
        let mut ours = Transport::from(Socket::new(Io::other(stream)));
        let name = ServerName::try_from("localhost").expect("a name");
        let (server_config, client_config) = configs(old);
        let peer = if server {
            ours.serve_tls(server_config, &[]).expect("a session");
            Connection::from(ClientConnection::new(client_config, name).expect("a client"))
        } else {
            ours.speak_tls(client_config, name).expect("a session");
            Connection::from(ServerConnection::new(server_config).expect("a server"))
        };
        Run {
            ours,
            script,
            rings: Pool::new(HELD_BYTES_MAX),
            peer,
            wire: Vec::new(),
            said: 0,
            got: 0,
            peer_left: false,
            over: false,
        }
    }

    fn handshake(&mut self) {
        for _ in 0..10 {
            self.script.write_step(Step::Room(1 << 20));
            self.pass(1 << 20, 0);
            if matches!(self.ours.handshake(&mut self.rings), Ok(true)) && !self.peer.is_handshaking() {
                self.hear();
                self.script.block_writes();
                return;
            }
            self.hear();
        }
        panic!("an honest handshake does not end");
    }

    fn is_handshaking(&mut self) -> bool {
        if self.over {
            return false;
        }
        match self.ours.handshake(&mut self.rings) {
            Ok(done) => !done,
            Err(_) => {
                self.over = true;
                true
            }
        }
    }

    /// Gives ours so much of what the peer has sealed, the first byte damaged by `flip`.
    fn pass(&mut self, count: usize, flip: u8) {
        while self.peer.wants_write() {
            self.peer.write_tls(&mut self.wire).expect("memory");
        }
        let rest = self.wire.split_off(count.min(self.wire.len()));
        let mut piece = std::mem::replace(&mut self.wire, rest);
        if let Some(first) = piece.first_mut() {
            *first ^= flip;
        }
        self.feed(&piece);
    }

    fn feed(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.script.read_step(Step::Bytes(bytes.to_vec()));
        }
        self.ours.note_ready(true, true, false);
    }

    /// The peer takes what ours has written; it may not like it, after what was fed.
    fn hear(&mut self) {
        let written = self.script.take_written();
        if self.peer_left {
            // rustls has a debug assertion against a fatal alert behind a close_notify, which what was damaged
            // could make it send.
            return;
        }
        let mut rest = &written[..];
        while !rest.is_empty() && self.peer.read_tls(&mut rest).is_ok() {
            if self.peer.process_new_packets().is_err() {
                return;
            }
        }
    }

    fn peer_leaves(&mut self) {
        self.peer.send_close_notify();
        self.peer_left = true;
    }

    fn peer_says(&mut self, bytes: &[u8]) {
        if !self.peer.is_handshaking() {
            self.said += self.peer.writer().write(bytes).unwrap_or(0);
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.ours.note_ready(false, true, false);
        if !self.is_handshaking() {
            let taken = self.ours.write(bytes, &mut self.rings).unwrap_or(0);
            assert!(taken <= bytes.len());
        }
    }

    fn read(&mut self, space: usize) {
        if self.is_handshaking() {
            self.hear();
            return;
        }
        let mut space = vec![0; space];
        let before = self.script.idle_calls();
        for _ in 0..1 << 16 {
            if !self.ours.is_readable() {
                return;
            }
            match self.ours.read(&mut space, &mut self.rings) {
                Ok(ReadEnd::Data(count)) => {
                    assert!(!self.over, "data after the end");
                    assert!(
                        count > 0 && space[..count].iter().all(|&byte| byte == 0x55),
                        "{:?}",
                        &space[..count]
                    );
                    self.got += count;
                    assert!(self.got <= self.said, "more than was said");
                }
                Ok(ReadEnd::Blocked) => {}
                Ok(ReadEnd::Eof) => {
                    self.over = true;
                    return;
                }
                Err(broken) => {
                    assert!(!matches!(broken, Broken::Tls(_)) || !self.over, "a fault is told once");
                    self.over = true;
                    return;
                }
            }
            assert!(self.script.idle_calls() - before <= 8, "it spins");
        }
        panic!("no end to reading");
    }

    fn check(&self) {
        assert!(self.ours.unsent() <= RING_BYTES && self.rings.held_bytes() <= RING_BYTES);
    }
}

pub(super) fn configs(old: bool) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    static CONFIGS: OnceLock<[(Arc<ServerConfig>, Arc<ClientConfig>); 2]> = OnceLock::new();
    let both = CONFIGS.get_or_init(|| {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        let cert = params.self_signed(&key).expect("a certificate");
        [&rustls::version::TLS13, &rustls::version::TLS12].map(|version| {
            let der = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
            let server = ServerConfig::builder_with_protocol_versions(&[version])
                .with_no_client_auth()
                .with_single_cert(vec![cert.der().clone()], der)
                .expect("a matching pair");
            let mut roots = RootCertStore::empty();
            roots.add(cert.der().clone()).expect("a root");
            let client = ClientConfig::builder_with_protocol_versions(&[version])
                .with_root_certificates(roots)
                .with_no_client_auth();
            (Arc::new(server), Arc::new(client))
        })
    });
    both[usize::from(old)].clone()
}
