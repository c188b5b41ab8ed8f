//! A session over TLS without sockets: a whole connection between scripted streams, one direction at a time.
//!
//! `cargo bench --bench tls`. What the client's end of TLS costs is left out of the time; what a stream's copy
//! costs is in it, and measured beside it as `plain`.

use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use websockify::conn::rig::wire::{self, BINARY};
use websockify::conn::rig::{Rig, Setup};
use websockify::id::Side;
use websockify::net::scripted::Step;

criterion_group!(benches, up, down);
criterion_main!(benches);

/// What moves in one measurement.
const BATCH: usize = 1 << 20;

fn up(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("client_to_target");
    group.throughput(Throughput::Bytes(BATCH as u64));
    for size in [64, 1 << 10, 16 << 10, 64 << 10] {
        let frames: Vec<u8> =
            (0..BATCH / size).flat_map(|_| wire::frame(BINARY, &vec![0x55; size])).collect();
        for (name, setup) in [("plain", Setup::default()), ("tls", secured())] {
            let mut rig = open(&setup);
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter_custom(|rounds| {
                    (0..rounds)
                        .map(|_| {
                            send(&mut rig, &frames);
                            rig.target.write_step(Step::Room(2 * BATCH));
                            timed(&mut rig, |rig| assert_eq!(rig.to_target.len(), BATCH))
                        })
                        .sum()
                });
            });
        }
    }
}

fn down(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("target_to_client");
    group.throughput(Throughput::Bytes(BATCH as u64));
    for size in [64, 1 << 10, 16 << 10, 64 << 10] {
        for (name, setup) in [("plain", Setup::default()), ("tls", secured())] {
            let mut rig = open(&setup);
            // The client's end is not measured, so nothing is opened there.
            rig.tls = None;
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter_custom(|rounds| {
                    (0..rounds)
                        .map(|_| {
                            for _ in 0..BATCH / size {
                                rig.target.read_step(Step::Bytes(vec![0x55; size]));
                            }
                            rig.client.write_step(Step::Room(4 * BATCH));
                            timed(&mut rig, |rig| assert!(rig.to_client.len() > BATCH))
                        })
                        .sum()
                });
            });
        }
    }
}

/// Runs until nothing is left to do, looks at the outcome and throws it away.
fn timed(rig: &mut Rig, check: impl FnOnce(&Rig)) -> Duration {
    rig.note(Side::Client, true, true, false);
    rig.note(Side::Target, true, true, false);
    let start = Instant::now();
    rig.settle();
    let time = start.elapsed();
    check(rig);
    black_box(&rig.to_client).len();
    rig.to_client.clear();
    rig.to_target.clear();
    rig.client.block_writes();
    rig.target.block_writes();
    time
}

/// A session that stands.
fn open(setup: &Setup) -> Rig {
    let mut rig = Rig::new(setup);
    for stream in [&rig.client, &rig.target] {
        stream.write_step(Step::Room(1 << 20));
    }
    send(&mut rig, wire::REQUEST);
    while rig.state() != "connect" {
        rig.wake();
        send(&mut rig, b"");
    }
    assert!(rig.dial());
    rig.wake();
    assert_eq!(rig.state(), "relay");
    rig.to_client.clear();
    for stream in [&rig.client, &rig.target] {
        stream.block_writes();
    }
    rig
}

/// The client sends this, sealed if it has TLS.
fn send(rig: &mut Rig, bytes: &[u8]) {
    let Some(tls) = &mut rig.tls else {
        return arrive(rig, bytes);
    };
    tls.writer().write_all(bytes).expect("its buffer has no limit");
    let mut records = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut records).expect("memory takes everything");
    }
    arrive(rig, &records);
}

/// A read brings so much at most, as one of a socket does.
fn arrive(rig: &Rig, bytes: &[u8]) {
    for piece in bytes.chunks(128 << 10) {
        rig.client.read_step(Step::Bytes(piece.to_vec()));
    }
}

fn secured() -> Setup {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let cert = params.self_signed(&key).expect("a certificate");
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .expect("a matching pair");
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).expect("a root");
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Setup { tls: Some((Arc::new(server), Arc::new(client))), ..Setup::default() }
}
