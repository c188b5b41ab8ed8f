//! A session's data path without a kernel: the relay between two scripted streams, and the TLS session that
//! may stand in front of it.
//!
//! `cargo bench --bench pump`, or a part: `cargo bench --bench pump -- up`. The scripts copy each byte once in
//! and twice out; `copies` is that share, measured beside it. A TLS session's records are also opened and sealed
//! by themselves.

use std::hint::black_box;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};
use websockify::conn::rig::{Rig, Setup, wire};
use websockify::net::scripted::{Handle, Scripted, Step};
use websockify::net::socket::{Io, ReadEnd, Socket};
use websockify::net::transport::Transport;
use websockify::ring::{HELD_BYTES_MAX, Pool};

criterion_group!(benches, up, down, tls_relay, sealed);
criterion_main!(benches);

/// Payload of one measured pass.
const PASS_BYTES: usize = 1 << 20;

/// What one read of a socket brings at most.
const READ_BYTES: usize = 128 << 10;

/// Room that no bench uses up.
const ENDLESS: usize = usize::MAX / 2;

/// Masked frames from the client become bytes for the target.
fn up(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("up");
    group.throughput(Throughput::Bytes(PASS_BYTES as u64));
    for len in [7, 64, 1 << 10, 16 << 10, 64 << 10, 1 << 20] {
        let payload = vec![0x5a; len];
        let stream: &'static [u8] = wire::frame(wire::BINARY, &payload).repeat(PASS_BYTES / len).leak();
        let mut rig = relaying();
        group.bench_function(BenchmarkId::new("relay", len), |bencher| {
            bencher.iter(|| {
                rig.client.read_step(Step::Data(stream));
                rig.wake();
                assert_eq!(rig.to_target.len(), PASS_BYTES / len * len);
                rig.to_target.clear();
            });
        });
        group.bench_function(BenchmarkId::new("copies", len), |bencher| copies(bencher, stream, READ_BYTES));
    }
}

/// Bytes from the target become frames for the client, one for each read.
fn down(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("down");
    group.throughput(Throughput::Bytes(PASS_BYTES as u64));
    let bytes: &'static [u8] = vec![0x5a; PASS_BYTES].leak();
    for len in [128, 4 << 10, 64 << 10, 1 << 20] {
        let mut rig = relaying();
        group.bench_function(BenchmarkId::new("relay", len), |bencher| {
            bencher.iter(|| {
                for piece in bytes.chunks(len) {
                    rig.target.read_step(Step::Data(piece));
                }
                rig.wake();
                assert!(rig.to_client.len() > PASS_BYTES);
                rig.to_client.clear();
            });
        });
        group.bench_function(BenchmarkId::new("copies", len), |bencher| copies(bencher, bytes, len));
    }
}

/// The relay with a client that has TLS, both ways.
fn tls_relay(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tls relay");
    group.throughput(Throughput::Bytes(PASS_BYTES as u64));
    for len in [7, 64, 1 << 10, 16 << 10, 64 << 10, 1 << 20] {
        let count = PASS_BYTES / len;
        let stream = wire::frame(wire::BINARY, &vec![0x5a; len]).repeat(count);
        let (mut rig, mut client) = relaying_tls();
        group.bench_function(BenchmarkId::new("up", len), |bencher| {
            bencher.iter_custom(|passes| {
                (0..passes)
                    .map(|_| time_relaying_up(&mut rig, &mut client, &stream, count * len))
                    .sum::<Duration>()
            });
        });
    }
    let bytes: &'static [u8] = vec![0x5a; PASS_BYTES].leak();
    for len in [128, 4 << 10, 64 << 10, 1 << 20] {
        let (mut rig, _client) = relaying_tls();
        group.bench_function(BenchmarkId::new("down", len), |bencher| {
            bencher.iter(|| {
                for piece in bytes.chunks(len) {
                    rig.target.read_step(Step::Data(piece));
                }
                rig.wake();
                assert!(rig.to_client.len() > PASS_BYTES, "sealed, and not opened by anyone");
                rig.to_client.clear();
            });
        });
    }
}

/// The client seals `stream`, which has this many bytes of payload; the time is that of relaying it.
fn time_relaying_up(rig: &mut Rig, client: &mut ClientConnection, stream: &[u8], payload: usize) -> Duration {
    let mut sealed = Vec::new();
    for piece in stream.chunks(READ_BYTES) {
        client.writer().write_all(piece).expect("there is no limit");
        while client.wants_write() {
            client.write_tls(&mut sealed).expect("memory takes everything");
        }
    }
    for piece in sealed.chunks(READ_BYTES) {
        rig.client.read_step(Step::Bytes(piece.to_vec()));
    }
    let start = Instant::now();
    rig.wake();
    let time = start.elapsed();
    assert_eq!(rig.to_target.len(), payload, "everything came");
    rig.to_target.clear();
    time
}

/// A session over TLS that has been opened and relays, and its client, whom nobody lets open anything.
fn relaying_tls() -> (Rig, Box<ClientConnection>) {
    let mut rig = Rig::new(&Setup { tls: Some(configs()), ..Setup::default() });
    rig.client.write_step(Step::Room(ENDLESS));
    rig.target.write_step(Step::Room(ENDLESS));
    let pass = |rig: &mut Rig| {
        let tls = rig.tls.as_mut().expect("a client with TLS");
        let mut sealed = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut sealed).expect("memory takes everything");
        }
        if !sealed.is_empty() {
            rig.client.read_step(Step::Bytes(sealed));
        }
        rig.wake();
    };
    while rig.tls.as_ref().is_some_and(|tls| tls.is_handshaking() || tls.wants_write()) {
        pass(&mut rig);
    }
    let tls = rig.tls.as_mut().expect("a client with TLS");
    tls.set_buffer_limit(None);
    tls.writer().write_all(wire::REQUEST).expect("there is no limit");
    pass(&mut rig);
    assert!(rig.dial(), "the connection wants its target");
    rig.wake();
    assert_eq!(rig.state(), "relay");
    rig.to_client.clear();
    let client = rig.tls.take().expect("a client with TLS");
    (rig, client)
}

/// What the scripts themselves cost: one read, one write, and taking what was written.
fn copies(bencher: &mut criterion::Bencher<'_>, bytes: &'static [u8], most: usize) {
    let (mut from, script) = Scripted::new([], []);
    let (mut to, other) = Scripted::new([], [Step::Room(ENDLESS)]);
    let (mut buffer, mut taken) = (vec![0; READ_BYTES], Vec::new());
    bencher.iter(|| {
        for piece in bytes.chunks(most) {
            script.read_step(Step::Data(piece));
        }
        while let Ok(count) = from.read(&mut buffer) {
            to.write_all(black_box(&buffer[..count])).expect("there is room");
        }
        taken.append(&mut other.take_written());
        taken.clear();
    });
}

/// A session that has been opened and relays.
fn relaying() -> Rig {
    let mut rig = Rig::new(&Setup::default());
    rig.client.write_step(Step::Room(ENDLESS));
    rig.target.write_step(Step::Room(ENDLESS));
    rig.client.read_step(Step::Data(wire::REQUEST));
    rig.wake();
    assert!(rig.dial(), "the connection wants its target");
    rig.wake();
    assert_eq!(rig.state(), "relay");
    rig.to_client.clear();
    rig
}

/// Records from a client are opened, bytes for a client are sealed.
fn sealed(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tls");
    for len in [64, 1 << 10, 16 << 10] {
        let bytes = vec![0x5a; len];
        let count = (PASS_BYTES / len).min(4096);
        group.throughput(Throughput::Bytes((count * len) as u64));
        let mut session = Session::open();
        group.bench_function(BenchmarkId::new("open", len), |bencher| {
            bencher.iter_custom(|passes| {
                (0..passes).map(|_| session.time_opening(&bytes, count)).sum::<Duration>()
            });
        });
        let mut session = Session::open();
        group.bench_function(BenchmarkId::new("seal", len), |bencher| {
            bencher.iter(|| session.seal(&bytes, count));
        });
    }
    group.throughput(Throughput::Elements(1));
    let configs = configs();
    group.bench_function("handshake, both ends", |bencher| bencher.iter(|| Session::between(&configs)));
}

/// A TLS session between the gateway's own end and a client of rustls's.
struct Session {
    ours: Transport,
    script: Handle,
    client: ClientConnection,
    rings: Pool,
    buffer: Vec<u8>,
}

impl Session {
    fn open() -> Session {
        Session::between(&configs())
    }

    fn between((server, client): &(Arc<ServerConfig>, Arc<ClientConfig>)) -> Session {
        let (stream, script) = Scripted::new([], [Step::Room(ENDLESS)]);
        let mut ours = Transport::Plain(Socket::new(Io::other(stream)));
        ours.serve_tls(Arc::clone(server), &[]).expect("a usable configuration");
        let name = ServerName::try_from("localhost").expect("a name");
        let client = ClientConnection::new(Arc::clone(client), name).expect("a client");
        let rings = Pool::new(HELD_BYTES_MAX);
        let mut session = Session { ours, script, client, rings, buffer: vec![0; READ_BYTES] };
        while session.client.is_handshaking() || session.client.wants_write() {
            session.send();
            session.ours.handshake(&mut session.rings).expect("both agree");
            let written = session.script.take_written();
            let mut rest = &written[..];
            while !rest.is_empty() {
                session.client.read_tls(&mut rest).expect("memory");
                session.client.process_new_packets().expect("both agree");
            }
        }
        session
    }

    /// Passes on what the client has sealed.
    fn send(&mut self) {
        let mut wire = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut wire).expect("memory takes everything");
        }
        for piece in wire.chunks(READ_BYTES) {
            self.script.read_step(Step::Bytes(piece.to_vec()));
        }
        self.ours.note_ready(true, true, false);
    }

    /// The client seals `count` times `bytes`; the time is that of opening them.
    fn time_opening(&mut self, bytes: &[u8], count: usize) -> Duration {
        self.client.set_buffer_limit(None);
        for _ in 0..count {
            self.client.writer().write_all(bytes).expect("there is no limit");
        }
        self.send();
        let start = Instant::now();
        let mut opened = 0;
        while opened < count * bytes.len() {
            match self.ours.read(&mut self.buffer, &mut self.rings).expect("whole records") {
                ReadEnd::Data(count) => opened += count,
                end => panic!("{end:?} after {opened} bytes"),
            }
        }
        start.elapsed()
    }

    fn seal(&mut self, bytes: &[u8], count: usize) {
        for _ in 0..count {
            let taken = self.ours.write(black_box(bytes), &mut self.rings).expect("there is room");
            assert_eq!(taken, bytes.len());
        }
        black_box(self.script.take_written());
    }
}

/// Both ends' configuration: ECDSA P-256, and the suite and the group that `end_to_end` offers.
fn configs() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let provider = Arc::new(CryptoProvider {
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    });
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("a suite for it")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .expect("a matching pair");
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).expect("a root");
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("a suite for it")
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}
