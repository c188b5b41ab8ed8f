//! What handshakes find. Both ends are the TLS library's, in memory; the files are real ones.

mod believed;
mod chains;
mod clients;
mod files;
mod handshakes;
mod targets;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{CertificateError, ClientConfig, ClientConnection, Error, ServerConnection};
use std::fs;
use std::sync::mpsc;

use super::scratch::{Made, Scratch};
use super::*;
use crate::log::Settings;

const PATIENCE: Duration = Duration::from_secs(20);

/// Certificates whose files are looked at for every handshake, and the log that goes with them.
struct Setup {
    scratch: Scratch,
    log: Arc<Log>,
    certificates: Certificates,
}

impl Setup {
    /// With `self.pem`, which need not be there, unless `change` says otherwise.
    fn open(scratch: Scratch, change: impl FnOnce(&mut ServerOptions)) -> Setup {
        Setup::open_with(scratch, Duration::ZERO, change)
    }

    fn open_with(scratch: Scratch, fresh: Duration, change: impl FnOnce(&mut ServerOptions)) -> Setup {
        let settings = Settings { file: Some(scratch.path("log")), ..Settings::default() };
        let log = Arc::new(Log::prepare(&settings).expect("a log"));
        log.start().expect("threads");
        let mut options = ServerOptions {
            pairs: vec![Pair { cert: scratch.path("self.pem"), key: None }],
            key_password: None,
            versions: Versions::From12,
            suites: None,
            clients: None,
        };
        change(&mut options);
        let certificates = Certificates::open_with(&options, Arc::clone(&log), fresh);
        Setup { scratch, log, certificates }
    }

    /// What a handshake gets that starts now.
    fn config(&self) -> Option<Arc<ServerConfig>> {
        let (done, answers) = mpsc::channel();
        let answer = move |config| done.send(config).expect("the test listens");
        match self.certificates.ask(Box::new(answer)) {
            Asked::Now(config) => config,
            Asked::Busy => panic!("no lane is full"),
            Asked::Later => answers.recv_timeout(PATIENCE).expect("an answer"),
        }
    }

    /// The certificate that a client gets which asks for `name`.
    fn shown(&self, name: &str) -> CertificateDer<'static> {
        let config = self.config().expect("TLS is on");
        let (client, _) = handshake(&anyone(), name, &config).expect("a handshake");
        client.peer_certificates().expect("a certificate")[0].clone().into_owned()
    }

    fn lines(&self) -> Vec<String> {
        self.log.flush(PATIENCE);
        self.scratch.text("log").lines().map(|line| line.replace(&self.dir(), "")).collect()
    }

    fn dir(&self) -> String {
        self.scratch.path("").display().to_string()
    }
}

/// Carries bytes between the two ends until both are through.
fn handshake(
    client: &Arc<ClientConfig>,
    name: &str,
    server: &Arc<ServerConfig>,
) -> Result<(ClientConnection, ServerConnection), Error> {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let mut client = ClientConnection::new(Arc::clone(client), name).expect("a client");
    let mut server = ServerConnection::new(Arc::clone(server)).expect("a server");
    let mut bytes = Vec::new();
    // Tickets come after the handshake.
    for _ in 0..10 {
        while client.wants_write() {
            client.write_tls(&mut bytes).expect("a vector takes everything");
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).expect("there is room");
            server.process_new_packets()?;
        }
        bytes.clear();
        while server.wants_write() {
            server.write_tls(&mut bytes).expect("a vector takes everything");
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).expect("there is room");
            client.process_new_packets()?;
        }
        bytes.clear();
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok((client, server))
}

/// A client or target that asks nobody.
fn anyone() -> Arc<ClientConfig> {
    let options = TargetOptions { authorities: None, name: None };
    target_config(&options).expect("no files")
}

fn changed(change: impl FnOnce(&mut ClientConfig)) -> Arc<ClientConfig> {
    let mut config = (*anyone()).clone();
    config.resumption = rustls::client::Resumption::in_memory_sessions(8);
    change(&mut config);
    Arc::new(config)
}

/// A client that shows a certificate.
fn with_identity(made: &Made, more: &[&Made]) -> Arc<ClientConfig> {
    let mut chain = vec![made.cert.der().clone()];
    chain.extend(more.iter().map(|made| made.cert.der().clone()));
    let key = PrivateKeyDer::try_from(made.key.serialize_der()).expect("a key");
    let provider = suites::provider(None);
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verify::Targets::any(
            provider.signature_verification_algorithms,
        )))
        .with_client_auth_cert(chain, key);
    Arc::new(config.expect("a usable key"))
}

/// A target with this certificate.
fn target(made: &Made, more: &[&Made]) -> Arc<ServerConfig> {
    let scratch = Scratch::new();
    let chain: String = more.iter().map(|made| made.cert.pem()).collect();
    scratch.file("self.pem", made.pem() + &chain);
    Setup::open(scratch, |_| ()).config().expect("a certificate")
}

fn invalid<T>(result: Result<T, Error>) -> CertificateError {
    match result.map(drop) {
        Err(Error::InvalidCertificate(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn replace(scratch: &Scratch, name: &str, text: String) {
    fs::rename(scratch.file("new", text), scratch.path(name)).expect("renamed");
}

/// A client that asks nobody and speaks TLS 1.2 only.
fn only_12() -> Arc<ClientConfig> {
    let provider = suites::provider(None);
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .expect("a version")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verify::Targets::any(
            provider.signature_verification_algorithms,
        )))
        .with_no_client_auth();
    Arc::new(config)
}
