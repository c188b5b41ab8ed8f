//! One against many: how long the echoes of an established session take, first alone and then beside what
//! other clients do meanwhile. Each line of the table is one such thing:
//!
//! - `bulk`: four sessions that move as many bytes as they can, two in each direction;
//! - `hellos`: 64 clients that send a ClientHello to an RSA-4096 key, wait until it is answered, and leave;
//! - `chains`: two clients whose certificates (a leaf and ten authorities of one name, none of them issued by
//!   the authority that is trusted) take the most time to refuse.
//!
//! `cargo bench --bench fairness`, with names behind `--` only those; `WEBSOCKIFY_BIN` names another program
//! that takes the same command line, `WEBSOCKIFY_FAIRNESS_SECONDS` says how long each is watched (5). It fails
//! when it could not measure, and never because something was slow. Meant for a machine with a core to spare.

#[path = "../tests/common/mod.rs"]
#[allow(dead_code, reason = "the bench uses a part of what the integration tests share")]
mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use common::DEADLINE;
use common::Scratch;
use common::client::Client;
use common::flow::pattern;
use common::frame::Frame;
use common::process::size;
use common::server::Server;
use common::target::{Target, echo};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_RSA_SHA256, RsaKeySize,
};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, Error, RootCertStore};

fn main() {
    // Cargo says `--bench` to every bench.
    let asked: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let names = SITUATIONS.map(|(name, _)| name);
    if let Some(unknown) = asked.iter().find(|name| !names.contains(&name.as_str())) {
        eprintln!("fairness: no situation is called {unknown:?}; there are {}", names.join(", "));
        std::process::exit(2);
    }
    println!("{:<30} {:>7} {:>10} {:>10} {:>10}", "an echo", "echoes", "p50", "p99", "longest");
    for (_, run) in SITUATIONS.iter().filter(|(name, _)| asked.is_empty() || asked.iter().any(|a| a == name))
    {
        run();
    }
}

const SITUATIONS: [(&str, fn()); 3] = [("bulk", bulk), ("hellos", hellos), ("chains", chains)];

fn bulk() {
    let scene = Scene::new(&[]);
    let mut load = Load::default();
    let mut streams = Vec::new();
    for number in 0..BULKS {
        let bulk = Client::open(&scene.server);
        streams.push(match number % 2 {
            0 => (bulk.wire, scene.target.accept(), Frame::binary(&pattern(64 << 10)).bytes()),
            _ => (scene.target.accept(), bulk.wire, pattern(64 << 10)),
        });
    }
    let alone = scene.measure();
    for (mut from, mut to, chunk) in streams {
        load.add(move || from.0.write_all(&chunk).is_ok().then_some(chunk.len() as u64));
        let mut space = vec![0; 256 << 10];
        load.add(move || matches!(to.0.read(&mut space), Ok(count) if count > 0).then_some(0));
    }
    scene.compare(&alone, "beside four bulk streams", load, "MiB", f64::from(1 << 20));
}

fn hellos() {
    let files = Scratch::new();
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_4096).expect("a key");
    let cert = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let cert = cert.self_signed(&key).expect("a certificate");
    std::fs::write(files.path("rsa.pem"), cert.pem() + &key.serialize_pem()).expect("a writable directory");
    let scene = Scene::new(&["--cert", &files.arg("rsa.pem")]);
    let alone = scene.measure();
    let mut load = Load::default();
    let (address, hello) = (scene.server.address(), hello());
    for _ in 0..HELLO_CLIENTS {
        let hello = hello.clone();
        load.add(move || {
            let mut stream = connect(address)?;
            stream.write_all(&hello).ok()?;
            let mut record = [0; 5];
            stream.read_exact(&mut record).ok()?;
            // Of a refusal nothing could be learned.
            (record[0] == HANDSHAKE).then_some(1)
        });
    }
    scene.compare(&alone, "beside hellos to RSA-4096", load, "hellos", 1.0);
}

fn chains() {
    let files = Scratch::new();
    let own = KeyPair::generate().expect("a key");
    let cert = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let cert = cert.self_signed(&own).expect("a certificate");
    std::fs::write(files.path("own.pem"), cert.pem() + &own.serialize_pem()).expect("a writable directory");
    std::fs::write(files.path("root.pem"), authority("the root that is trusted").pem())
        .expect("a writable directory");
    let trust = ["--verify-client", "--cafile", &files.arg("root.pem")];
    let scene = Scene::new(&[&["--cert", &files.arg("own.pem")], &trust[..]].concat());
    let alone = scene.measure();

    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).expect("a root");
    let authorities: Vec<_> = (0..AUTHORITIES).map(|_| authority("an authority")).collect();
    let key = KeyPair::generate().expect("a key");
    let leaf = CertificateParams::new(["client".to_owned()]).expect("a name");
    let leaf = leaf.signed_by(&key, &authorities[0]).expect("a certificate");
    let chain = std::iter::once(leaf.der()).chain(authorities.iter().map(|issuer| issuer.der()));
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_client_auth_cert(
            chain.cloned().collect(),
            PrivateKeyDer::try_from(key.serialize_der()).expect("a key"),
        )
        .expect("a matching pair");
    let (address, config) = (scene.server.address(), Arc::new(config));
    let mut load = Load::default();
    for _ in 0..CHAIN_CLIENTS {
        let config = Arc::clone(&config);
        load.add(move || is_refused(address, &config).then_some(1));
    }
    scene.compare(&alone, "beside the worst chains", load, "chains", 1.0);
}

/// A gateway with an established session, whose target sends back what it gets.
struct Scene {
    server: Server,
    target: Target,
    client: std::cell::RefCell<Client>,
}

impl Scene {
    fn new(options: &[&str]) -> Scene {
        let target = Target::tcp();
        let server = Server::relay_with(&target.address, options);
        let client = Client::open(&server);
        let wire = target.accept();
        thread::spawn(move || echo(wire));
        Scene { server, target, client: client.into() }
    }

    /// Echoes of 64 bytes, one after the other with a pause, for the time that is asked for; longer if there are
    /// too few of them.
    fn measure(&self) -> Vec<Duration> {
        let window = Duration::from_secs(size("WEBSOCKIFY_FAIRNESS_SECONDS", 5) as u64);
        let (start, message, mut client) = (Instant::now(), pattern(64), self.client.borrow_mut());
        let mut times = Vec::new();
        while start.elapsed() < window || times.len() < FEWEST {
            assert!(start.elapsed() < window + DEADLINE, "only {} echoes: too few to tell", times.len());
            let sent = Instant::now();
            client.echo(&message);
            times.push(sent.elapsed());
            thread::sleep(PAUSE);
        }
        times.sort_unstable();
        times
    }

    /// Measures beside the load and prints both lines.
    fn compare(self, alone: &[Duration], name: &str, load: Load, unit: &str, per_unit: f64) {
        // The load is there before the first echo.
        common::eventually("the load to begin", || load.done() > 0 || load.has_failed());
        let (before, start) = (load.done(), Instant::now());
        let beside = self.measure();
        let rate = (load.done() - before) as f64 / per_unit / start.elapsed().as_secs_f64();
        assert!(!load.has_failed(), "{name}: a client could not do what it should");
        assert!(rate > 0.0, "{name}: nothing was done meanwhile");
        println!("{}", line("alone", alone));
        println!("{}   {rate:.0} {unit}/s", line(name, &beside));
        load.stop(self.server);
    }
}

fn line(name: &str, times: &[Duration]) -> String {
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    let (p50, p99, longest) = (at(0.5), at(0.99), at(1.0));
    format!("{name:<30} {:>7} {p50:>7.2} ms {p99:>7.2} ms {longest:>7.2} ms", times.len())
}

/// What others do meanwhile: threads that each do one thing again and again.
#[derive(Default)]
struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    done: AtomicU64,
    stop: AtomicBool,
    failed: AtomicBool,
}

impl Load {
    /// Adds a thread that takes a step after the other; each tells how much was done by it, or that it failed.
    fn add(&mut self, mut step: impl FnMut() -> Option<u64> + Send + 'static) {
        let shared = Arc::clone(&self.shared);
        self.threads.push(thread::spawn(move || {
            while !shared.stop.load(Ordering::Relaxed) {
                match step() {
                    Some(done) => _ = shared.done.fetch_add(done, Ordering::Relaxed),
                    None => return shared.failed.store(true, Ordering::Relaxed),
                }
            }
        }));
    }

    fn done(&self) -> u64 {
        self.shared.done.load(Ordering::Relaxed)
    }

    fn has_failed(&self) -> bool {
        self.shared.failed.load(Ordering::Relaxed)
    }

    /// Ends the gateway, too, so that no step waits for it.
    fn stop(self, server: Server) {
        self.shared.stop.store(true, Ordering::Relaxed);
        drop(server);
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

fn connect(address: SocketAddr) -> Option<TcpStream> {
    let stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(DEADLINE)).ok()?;
    Some(stream)
}

/// A ClientHello, as bytes.
fn hello() -> Vec<u8> {
    let config = ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    let mut client = client(&Arc::new(config));
    let mut hello = Vec::new();
    client.write_tls(&mut hello).expect("memory takes everything");
    hello
}

/// Whether a client with these certificates is refused by an alert.
fn is_refused(address: SocketAddr, config: &Arc<ClientConfig>) -> bool {
    let Some(mut stream) = connect(address) else { return false };
    let mut client = client(config);
    loop {
        // The client's side of TLS 1.3 is done before its certificates are looked at.
        match client.complete_io(&mut stream) {
            // The end, without an alert.
            Ok((0, 0)) => return false,
            Ok(_) => {}
            Err(error) => {
                let fault = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
                return matches!(fault, Some(Error::AlertReceived(_)));
            }
        }
    }
}

fn client(config: &Arc<ClientConfig>) -> ClientConnection {
    let name = ServerName::try_from("localhost").expect("a name");
    ClientConnection::new(Arc::clone(config), name).expect("a usable configuration")
}

/// A certificate that may sign others, signed by itself.
fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate")
}

const BULKS: usize = 4;
const HELLO_CLIENTS: usize = 64;
const CHAIN_CLIENTS: usize = 2;
/// Beside the leaf; the TLS library gives up after this many orders of them have been tried.
const AUTHORITIES: usize = 10;
/// Between two echoes.
const PAUSE: Duration = Duration::from_millis(2);
/// Below this many echoes there is no 99th percentile.
const FEWEST: usize = 100;
/// The type of a TLS record that carries a handshake (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 22;
