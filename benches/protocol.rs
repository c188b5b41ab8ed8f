//! The protocol's cost without sockets: masking, frames in and out, a handshake, chains of certificates.
//!
//! `cargo bench --bench protocol`, or a part: `cargo bench --bench protocol -- decode`. Figures do not
//! travel between machines; `memcpy` is measured beside masking to compare with.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use websockify::http::path::redact;
use websockify::http::request::{HeadReader, Request};
use websockify::ws::decode::Decoder;
use websockify::ws::{encode, handshake, mask};

mod chains;

criterion_group!(benches, masking, decoding, encoding, opening, chains::chains);
criterion_main!(benches);

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// What one read of a socket may bring.
const FEED: usize = 128 << 10;

fn masking(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mask");
    for len in [7, 64, 1 << 10, 16 << 10, 64 << 10, 1 << 20] {
        group.throughput(Throughput::Bytes(len as u64));
        // A header's length apart, as a frame in a buffer is.
        let mut buf = vec![0x5a; len + 8];
        let from = vec![0x5a; len];
        group.bench_function(BenchmarkId::new("memcpy", len), |bencher| {
            bencher.iter(|| black_box(&mut buf[..len]).copy_from_slice(black_box(&from)));
        });
        group.bench_function(BenchmarkId::new("unmask", len), |bencher| {
            bencher.iter(|| mask::unmask(black_box(&mut buf[..len]), KEY, 1));
        });
        group.bench_function(BenchmarkId::new("unmask_down", len), |bencher| {
            bencher.iter(|| mask::unmask_down(black_box(&mut buf), 8, 0, len, KEY, 1));
        });
    }
}

/// Decodes at least a mebibyte of frames in feeds of [`FEED`] bytes. Decoding destroys its input, so each
/// feed is copied in first: `copy` is that share.
fn decoding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for len in [7, 64, 1 << 10, 16 << 10, 64 << 10, 1 << 20] {
        let stream = frames(len, (1 << 20).max(2 * len));
        let mut buf = vec![0; FEED];
        group.throughput(Throughput::Bytes(stream.len() as u64));
        group.bench_function(BenchmarkId::new("copy", len), |bencher| {
            bencher.iter(|| {
                for piece in stream.chunks(FEED) {
                    black_box(&mut buf[..piece.len()]).copy_from_slice(piece);
                }
            });
        });
        group.bench_function(BenchmarkId::new("copy and feed", len), |bencher| {
            bencher.iter(|| {
                let mut decoder = Decoder::new();
                let mut payload = 0;
                for piece in stream.chunks(FEED) {
                    buf[..piece.len()].copy_from_slice(piece);
                    payload += decoder.feed(black_box(&mut buf[..piece.len()]), &mut |_| {}).payload;
                }
                payload
            });
        });
    }
}

/// Whole masked frames with `len` bytes of payload each, about `total` bytes in all.
fn frames(len: usize, total: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(total + len + 14);
    while out.len() < total {
        let mut header = [0; encode::HEADROOM];
        let start = encode::header_before(&mut header, encode::HEADROOM, len);
        header[start + 1] |= 0x80;
        out.extend_from_slice(&header[start..]);
        out.extend_from_slice(&KEY);
        out.resize(out.len() + len, 0x5a);
    }
    out
}

fn encoding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    let mut buf = vec![0; encode::HEADROOM];
    for len in [7, 64, 1 << 10, 16 << 10, 64 << 10, 1 << 20] {
        group.bench_function(BenchmarkId::new("header_before", len), |bencher| {
            bencher.iter(|| encode::header_before(black_box(&mut buf), encode::HEADROOM, black_box(len)));
        });
    }
    let mut out = Vec::with_capacity(256);
    group.bench_function("pong", |bencher| {
        bencher.iter(|| {
            out.clear();
            encode::pong(&mut out, black_box(b"sixteen bytes..."));
        });
    });
}

fn opening(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("handshake");
    group.throughput(Throughput::Elements(1));
    group.bench_function("whole", |bencher| {
        bencher.iter(|| {
            let len = HeadReader::new().scan(black_box(BROWSER)).expect("valid").expect("complete");
            let request = Request::parse(&BROWSER[..len]).expect("valid");
            handshake::check(&request).expect("an upgrade").response(None)
        });
    });
    group.bench_function("head", |bencher| {
        bencher.iter(|| {
            let len = HeadReader::new().scan(black_box(BROWSER)).expect("valid").expect("complete");
            black_box(Request::parse(&BROWSER[..len]).expect("valid"));
        });
    });
    // Requests that cost most to say in the log, beside reading them: the first is what is to be kept down.
    let dear =
        ["/?%=&%=&".repeat(2000), format!("/{}", "%41/".repeat(4000)), format!("/?a={}", "x".repeat(16000))];
    for (name, target) in ["separators", "encoded", "long"].into_iter().zip(dear) {
        let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes();
        group.bench_function(BenchmarkId::new("read", name), |bencher| {
            bencher.iter(|| {
                let len = HeadReader::new().scan(black_box(&head)).expect("valid").expect("complete");
                black_box(Request::parse(&head[..len]).expect("valid").target.len())
            });
        });
        group.bench_function(BenchmarkId::new("redact", name), |bencher| {
            bencher.iter(|| redact(black_box(&target)));
        });
    }
    let usual = "/websockify?token=4ac1b6d9-6e39-4c9e-8f0e-6c0d1be0b0f7";
    group.bench_function(BenchmarkId::new("redact", "usual"), |bencher| {
        bencher.iter(|| redact(black_box(usual)));
    });
    group.bench_function("head a byte at a time", |bencher| {
        bencher.iter(|| {
            let mut reader = HeadReader::new();
            (1..=BROWSER.len()).find_map(|end| reader.scan(black_box(&BROWSER[..end])).expect("valid"))
        });
    });
}

/// What a browser sends for noVNC.
const BROWSER: &[u8] = b"GET /websockify?token=4ac1b6d9-6e39-4c9e-8f0e-6c0d1be0b0f7 HTTP/1.1\r\n\
    Host: console.example.com:6080\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: */*\r\n\
    Accept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Sec-WebSocket-Version: 13\r\n\
    Origin: https://console.example.com:6080\r\n\
    Sec-WebSocket-Protocol: binary\r\n\
    Sec-WebSocket-Extensions: permessage-deflate\r\n\
    Sec-WebSocket-Key: 7m5hyrl0ZZ9mJ8mVnWkQ4A==\r\n\
    DNT: 1\r\n\
    Connection: keep-alive, Upgrade\r\n\
    Cookie: session=8b1a9953c4611296a827abf8c47804d7\r\n\
    Sec-Fetch-Dest: empty\r\n\
    Sec-Fetch-Mode: websocket\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Pragma: no-cache\r\n\
    Cache-Control: no-cache\r\n\
    Upgrade: websocket\r\n\
    \r\n";
