//! The server's and the client's side against rustls's buffered connections, which share the codec but none
//! of the driving, over a pipe that is split and squeezed as each test wants.

use std::io::{Read, Write};
use std::sync::Arc;

use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection};

use super::session::RECORD_PLAIN_MAX;
use super::*;
use crate::net::scripted::{Handle, Scripted, Step};
use crate::net::socket::Io;
use crate::ring::HELD_BYTES_MAX;
use crate::ring::RING_BYTES;

struct Configs {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

fn configs(version: &'static rustls::SupportedProtocolVersion) -> Configs {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    // Names that differ: an issuer of the same name with another key would be a forger, not a stranger.
    params.distinguished_name.push(DnType::CommonName, format!("{:?}", key.public_key_raw()));
    let cert = params.self_signed(&key).expect("a certificate");
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let server = ServerConfig::builder_with_protocol_versions(&[version])
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .expect("a matching pair");
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).expect("a root");
    let client = ClientConfig::builder_with_protocol_versions(&[version])
        .with_root_certificates(roots)
        .with_no_client_auth();
    Configs { server: Arc::new(server), client: Arc::new(client) }
}

fn name() -> ServerName<'static> {
    ServerName::try_from("localhost").expect("a name")
}

/// Ours at one end, rustls's at the other.
struct Pair {
    ours: Tls,
    script: Handle,
    peer: Connection,
    rings: Pool,
    /// What ours has read.
    got: Vec<u8>,
    /// Bytes that may pass in either direction at a time.
    grain: usize,
    /// What the peer has read.
    back: Vec<u8>,
    /// What the peer has sent and ours has not been given.
    wire: Vec<u8>,
}

impl Pair {
    fn new(configs: &Configs, ours_is_server: bool, grain: usize) -> Pair {
        let (stream, script) = Scripted::new([], []);
        let socket = Socket::new(Io::other(stream));
        let (session, peer) = if ours_is_server {
            let peer = ClientConnection::new(Arc::clone(&configs.client), name()).expect("a client");
            (Session::server(Arc::clone(&configs.server)), Connection::from(peer))
        } else {
            let peer = ServerConnection::new(Arc::clone(&configs.server)).expect("a server");
            (Session::client(Arc::clone(&configs.client), name()), Connection::from(peer))
        };
        let ours = Tls::new(socket, session.expect("a session"), &[]);
        let rings = Pool::new(HELD_BYTES_MAX);
        Pair { ours, script, peer, rings, got: Vec::new(), back: Vec::new(), grain, wire: Vec::new() }
    }

    /// Lets bytes pass, at most `grain` in each direction; false when there was nothing to do.
    fn pass(&mut self) -> bool {
        let mut moved = false;
        while self.peer.wants_write() {
            self.peer.write_tls(&mut self.wire).expect("memory takes everything");
        }
        if !self.wire.is_empty() {
            let rest = self.wire.split_off(self.grain.min(self.wire.len()));
            self.script.read_step(Step::Bytes(std::mem::replace(&mut self.wire, rest)));
            moved = true;
        }
        self.script.write_step(Step::Room(self.grain));
        self.script.write_step(Step::Block);
        self.ours.socket.note_ready(true, true, false);
        moved
    }

    fn take(&mut self) -> bool {
        let written = self.script.take_written();
        let mut rest = &written[..];
        while !rest.is_empty() {
            self.peer.read_tls(&mut rest).expect("memory");
            self.peer.process_new_packets().expect("ours speaks TLS");
            let mut space = [0; 4096];
            while let Ok(count @ 1..) = self.peer.reader().read(&mut space) {
                self.back.extend_from_slice(&space[..count]);
            }
        }
        !written.is_empty()
    }

    fn handshake(&mut self) {
        for _ in 0..100_000 {
            let moved = self.pass();
            let done = self.ours.handshake(&mut self.rings).expect("no fault");
            let taken = self.take();
            if done && !self.peer.is_handshaking() {
                return;
            }
            assert!(moved || taken || self.peer.wants_write(), "the handshake stalls");
        }
        panic!("the handshake does not end");
    }

    /// Reads everything available.
    fn read(&mut self, space: usize) -> Result<ReadEnd, Broken> {
        let mut space = vec![0; space];
        while self.ours.is_readable() {
            match self.ours.read(&mut space, &mut self.rings)? {
                ReadEnd::Data(count) => self.got.extend_from_slice(&space[..count]),
                ReadEnd::Blocked if self.ours.is_readable() => {}
                end => return Ok(end),
            }
        }
        Ok(ReadEnd::Blocked)
    }
}

fn pattern(len: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect()
}

const BOTH: [&rustls::SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

#[test]
fn a_handshake_and_an_echo_pass_whatever_the_grain_on_both_sides() {
    for version in BOTH {
        let configs = configs(version);
        for ours_is_server in [true, false] {
            for grain in [1, 2, 3, 5, 7, 64, 1000, usize::MAX / 2] {
                let mut pair = Pair::new(&configs, ours_is_server, grain);
                pair.handshake();
                pair.peer.writer().write_all(b"hello").expect("room");
                while pair.got.len() < 5 {
                    assert!(pair.pass());
                    pair.read(100).expect("no fault");
                }
                assert_eq!(pair.got, b"hello");
                assert_eq!(pair.ours.write(b"olleh", &mut pair.rings).expect("no fault"), 5);
                while pair.back.len() < 5 {
                    pair.pass();
                    pair.ours.flush(&mut pair.rings).expect("no fault");
                    pair.take();
                }
                assert_eq!(pair.back, b"olleh");
                assert!(pair.ours.incoming.is_empty() && pair.ours.sealed.is_none());
                assert_eq!(pair.rings.held_bytes(), 0, "an idle session holds nothing");
            }
        }
    }
}

#[test]
fn what_came_with_the_first_byte_is_part_of_the_stream_split_at_every_byte() {
    let configs = configs(&rustls::version::TLS13);
    let mut client = ClientConnection::new(Arc::clone(&configs.client), name()).expect("a client");
    let mut hello = Vec::new();
    client.write_tls(&mut hello).expect("memory");
    for split in 1..=hello.len() {
        let (stream, script) = Scripted::new([], [Step::Room(usize::MAX)]);
        let session = Session::server(Arc::clone(&configs.server)).expect("a session");
        let mut tls = Tls::new(Socket::new(Io::other(stream)), session, &hello[..split]);
        let mut rings = Pool::new(HELD_BYTES_MAX);
        assert!(!tls.handshake(&mut rings).expect("no fault"));
        if split < hello.len() {
            assert!(script.take_written().is_empty());
            script.read_step(Step::Bytes(hello[split..].to_vec()));
            tls.socket.note_ready(true, false, false);
            assert!(!tls.handshake(&mut rings).expect("no fault"));
        }
        assert_eq!(script.take_written()[0], 22, "the server's hello");
    }
}

#[test]
fn bulk_passes_both_ways_through_short_reads_and_writes() {
    for version in BOTH {
        let configs = configs(version);
        for grain in [777, 20_000, 300_000] {
            let mut pair = Pair::new(&configs, true, grain);
            pair.handshake();
            pair.peer.set_buffer_limit(None);
            let (up, down) = (pattern(400_000, 1), pattern(500_000, 2));
            pair.peer.writer().write_all(&up).expect("room");
            let mut sent = 0;
            while pair.got.len() < up.len() || pair.back.len() < down.len() {
                pair.pass();
                pair.read(5_000).expect("no fault");
                if pair.ours.flush(&mut pair.rings).expect("no fault") {
                    sent += pair.ours.write(&down[sent..], &mut pair.rings).expect("no fault");
                }
                assert!(pair.rings.held_bytes() <= RING_BYTES, "what waits is bounded");
                assert!(pair.ours.incoming.len() <= RECORD_MAX && pair.ours.opened.len() <= RECORD_PLAIN_MAX);
                pair.take();
            }
            assert!(pair.got == up && pair.back == down);
            assert_eq!((pair.ours.unsent(), pair.rings.held_bytes()), (0, 0));
        }
    }
}

#[test]
fn bulk_fills_its_records_and_leaves_in_one_write() {
    let configs = configs(&rustls::version::TLS13);
    let mut pair = Pair::new(&configs, true, usize::MAX / 2);
    pair.handshake();
    pair.pass();
    let taken = pair.ours.write(&vec![7; WRITE_MAX], &mut pair.rings).expect("no fault");
    assert_eq!(taken, WRITE_MAX);
    let written = pair.script.take_written();
    let record = 5 + RECORD_PLAIN_MAX + 1 + 16;
    assert_eq!(written.len(), 7 * record);
    assert!(written.chunks(record).all(|record| record[..3] == [23, 3, 3]));
}

#[test]
fn the_peers_close_notify_is_the_end_and_ours_comes_before_the_sockets() {
    for version in BOTH {
        let configs = configs(version);
        for grain in [1, 1000] {
            let mut pair = Pair::new(&configs, true, grain);
            pair.handshake();
            pair.peer.writer().write_all(b"last words").expect("room");
            pair.peer.send_close_notify();
            let mut end = ReadEnd::Blocked;
            while end != ReadEnd::Eof {
                assert!(pair.pass());
                end = pair.read(3).expect("no fault");
            }
            assert_eq!(pair.got, b"last words");
            assert_eq!(pair.read(3).expect("no fault"), ReadEnd::Eof, "and stays it");
            assert_eq!(pair.ours.write(b"answer", &mut pair.rings).expect("half-closed"), 6);
            pair.ours.shutdown_write(&mut pair.rings);
            while !pair.script.is_write_ended() {
                assert!(pair.ours.unsent() > 0, "the socket's end comes behind everything");
                pair.pass();
                pair.ours.flush(&mut pair.rings).expect("no fault");
            }
            pair.take();
            assert_eq!(pair.back, b"answer");
            assert!(pair.peer.process_new_packets().expect("TLS").peer_has_closed());
            assert!(pair.ours.write(b"x", &mut pair.rings).is_err());
        }
    }
}

#[test]
fn much_behind_a_close_notify_or_a_damaged_record_does_not_change_what_is_told() {
    let behind = vec![7; 3 * UNREAD_MAX];
    for damaged in [false, true] {
        let mut pair = Pair::new(&configs(&rustls::version::TLS13), true, 1 << 20);
        pair.handshake();
        let mut last = Vec::new();
        if damaged {
            last.extend([&[23, 3, 3, 0, 40][..], &[9; 40]].concat());
        } else {
            pair.peer.send_close_notify();
            pair.peer.write_tls(&mut last).expect("memory takes everything");
        }
        last.extend(&behind);
        pair.script.read_step(Step::Bytes(last));
        pair.ours.socket.note_ready(true, false, false);
        match pair.ours.read(&mut vec![0; 1 << 17], &mut pair.rings) {
            Ok(end) => assert!(!damaged && end == ReadEnd::Eof),
            Err(broken) => assert!(damaged && broken.to_string().contains("damaged"), "{broken}"),
        }
    }
}

#[test]
fn a_session_that_gives_up_writing_still_ends_the_sockets_side() {
    let mut pair = Pair::new(&configs(&rustls::version::TLS13), false, 1 << 20);
    pair.handshake();
    pair.script.block_writes();
    assert_eq!(pair.ours.write(&[7; 1000], &mut pair.rings).expect("sealed"), 1000);
    pair.ours.stop_writing(&mut pair.rings);
    assert_eq!((pair.ours.unsent(), pair.rings.held_bytes()), (0, 0));
    assert!(pair.ours.write(b"more", &mut pair.rings).is_err());
    pair.ours.shutdown_write(&mut pair.rings);
    pair.ours.flush(&mut pair.rings).expect("nothing is left");
    assert!(pair.script.is_write_ended());
}

#[test]
fn an_end_of_the_stream_alone_is_a_cut() {
    let configs = configs(&rustls::version::TLS13);
    for partial in [0, 3, 20] {
        let mut pair = Pair::new(&configs, true, 1 << 20);
        pair.handshake();
        pair.peer.writer().write_all(b"whole").expect("room");
        pair.pass();
        pair.peer.writer().write_all(b"not whole").expect("room");
        pair.peer.write_tls(&mut pair.wire).expect("memory");
        pair.script.read_step(Step::Bytes(pair.wire[..partial].to_vec()));
        pair.script.read_step(Step::Eof);
        assert!(matches!(pair.read(100), Err(Broken::Truncated)));
        assert_eq!(pair.got, b"whole");
        assert_eq!(pair.read(100).expect("the stream's end"), ReadEnd::Eof);
    }
}

#[test]
fn garbage_in_a_session_gives_what_came_before_then_a_fault_and_an_alert() {
    for version in BOTH {
        let configs = configs(version);
        for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[23, 3, 3, 0, 32, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]] {
            let mut pair = Pair::new(&configs, true, 1 << 20);
            pair.handshake();
            pair.take();
            pair.peer.writer().write_all(b"before").expect("room");
            pair.peer.write_tls(&mut pair.wire).expect("memory");
            pair.wire.extend_from_slice(garbage);
            pair.wire.extend_from_slice(&[0; 64]);
            pair.pass();
            let Err(Broken::Tls(fault)) = pair.read(100) else { panic!("no fault") };
            assert_eq!(pair.got, b"before");
            assert!(!fault.to_string().is_empty());
            assert!(!pair.script.take_written().is_empty(), "an alert");
            // What comes then is dropped, and nothing spins.
            pair.script.read_step(Step::Bytes(vec![1; 100_000]));
            pair.ours.shutdown_write(&mut pair.rings);
            assert!(pair.script.is_write_ended());
            while pair.ours.is_readable() {
                let end = pair.ours.read(&mut [0; 10], &mut pair.rings).expect("dropped");
                assert_eq!(end, ReadEnd::Blocked);
            }
        }
    }
}

#[test]
fn half_a_handshake_message_after_the_handshake_does_not_upset_writing() {
    // A server's tickets in many records, and data of ours after each byte of them: rustls has taken in a
    // part of a message then, and wants the same bytes again.
    let mut configs = configs(&rustls::version::TLS13);
    Arc::get_mut(&mut configs.server).expect("not shared").max_fragment_size = Some(32);
    let mut pair = Pair::new(&configs, false, 1 << 20);
    while pair.peer.is_handshaking() {
        pair.pass();
        pair.ours.handshake(&mut pair.rings).expect("no fault");
        pair.take();
    }
    pair.peer.writer().write_all(b"data").expect("room");
    while pair.peer.wants_write() {
        pair.peer.write_tls(&mut pair.wire).expect("memory");
    }
    let tickets = std::mem::take(&mut pair.wire);
    assert!(tickets.len() > 4 * 32, "several records: {}", tickets.len());
    for &byte in &tickets {
        pair.script.read_step(Step::Bytes(vec![byte]));
        pair.pass();
        pair.read(100).expect("no fault");
        assert_eq!(pair.ours.write(b"x", &mut pair.rings).expect("no fault"), 1);
    }
    pair.take();
    assert_eq!((pair.got.as_slice(), pair.back.len()), (&b"data"[..], tickets.len()));
}

#[test]
fn what_is_not_tls_and_what_cant_agree_is_said_so() {
    let (old, new) = (configs(&rustls::version::TLS12), configs(&rustls::version::TLS13));
    let refusal = |received: &[u8]| {
        let (stream, script) = Scripted::new([], [Step::Room(usize::MAX)]);
        let session = Session::server(Arc::clone(&new.server)).expect("a session");
        let mut tls = Tls::new(Socket::new(Io::other(stream)), session, received);
        let Err(Broken::Tls(fault)) = tls.handshake(&mut Pool::new(HELD_BYTES_MAX)) else {
            panic!("no fault")
        };
        let alert = script.take_written();
        assert_eq!(alert[0], 21);
        fault.to_string()
    };
    assert_eq!(refusal(b"\x80\x2e\x01\x03\x01 an old hello"), "not TLS");
    assert_eq!(refusal(b"\x16garbage and more of it"), "not TLS");
    let mut client = ClientConnection::new(Arc::clone(&old.client), name()).expect("a client");
    let mut hello = Vec::new();
    client.write_tls(&mut hello).expect("memory");
    assert_eq!(refusal(&hello), "no shared protocol version");
}

#[test]
fn a_client_that_does_not_trust_the_certificate_is_understood() {
    for version in BOTH {
        let (mine, other) = (configs(version), configs(version));
        let strangers = Configs { server: mine.server, client: other.client };
        let mut pair = Pair::new(&strangers, true, 1 << 20);
        let fault = loop {
            pair.pass();
            match pair.ours.handshake(&mut pair.rings) {
                Ok(_) => {}
                Err(Broken::Tls(fault)) => break fault,
                Err(broken) => panic!("{broken}"),
            }
            let written = pair.script.take_written();
            let mut rest = &written[..];
            while !rest.is_empty() {
                pair.peer.read_tls(&mut rest).expect("memory");
                let _ = pair.peer.process_new_packets();
            }
        };
        assert_eq!(fault.to_string(), "client rejected the certificate: unknown CA");
    }
}

#[test]
fn a_message_without_end_is_refused() {
    let configs = configs(&rustls::version::TLS13);
    let (stream, script) = Scripted::new([], [Step::Room(usize::MAX)]);
    let session = Session::server(configs.server).expect("a session");
    let mut tls = Tls::new(Socket::new(Io::other(stream)), session, &[]);
    let mut rings = Pool::new(HELD_BYTES_MAX);
    // A hello that announces 65,535 bytes, in records of 1,000.
    let mut begun = false;
    for _ in 0..1000 {
        let mut record = vec![22, 3, 1, 3, 232];
        record.extend(if begun { vec![0; 1000] } else { [&[1, 0, 255, 255][..], &[3; 996]].concat() });
        begun = true;
        script.read_step(Step::Bytes(record));
        tls.socket.note_ready(true, false, false);
        match tls.handshake(&mut rings) {
            Ok(done) => assert!(!done && tls.incoming.len() <= INCOMING_MAX + RECORD_MAX),
            Err(_) => return,
        }
    }
    panic!("it was read on and on");
}

#[test]
fn keys_are_changed_on_request_and_data_goes_on_both_ways() {
    let configs = configs(&rustls::version::TLS13);
    for ours_is_server in [true, false] {
        let mut pair = Pair::new(&configs, ours_is_server, 1 << 20);
        pair.handshake();
        for round in 1..=40 {
            pair.peer.refresh_traffic_keys().expect("TLS 1.3");
            pair.peer.writer().write_all(b"up").expect("room");
            pair.pass();
            pair.read(100).expect("no fault");
            // Our answer to the request goes out before the data.
            assert_eq!(pair.ours.write(b"down", &mut pair.rings).expect("no fault"), 4);
            pair.take();
            assert_eq!((pair.got.len(), pair.back.len()), (2 * round, 4 * round));
        }
    }
}

#[test]
fn a_flood_of_messages_without_data_ends_the_session() {
    let configs = configs(&rustls::version::TLS13);
    let mut pair = Pair::new(&configs, true, 1 << 20);
    pair.handshake();
    for _ in 0..100 {
        pair.peer.refresh_traffic_keys().expect("TLS 1.3");
        pair.pass();
        match pair.read(100) {
            Ok(_) => assert_eq!(pair.ours.unsent(), 0, "nothing piles up"),
            Err(_) => return,
        }
    }
    panic!("it went on and on");
}
