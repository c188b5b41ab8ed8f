//! Certificates and keys as an operator meets them: the lines at the start, files that come and change while
//! the gateway runs, and whom it believes when it is the one who asks.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, ServerConfig, ServerConnection,
    SignatureScheme, StreamOwned,
};

use crate::common::client::Client;
use crate::common::server::{Server, command};
use crate::common::target::Target;
use crate::common::{DEADLINE, Scratch, eventually};

/// A self-signed certificate as `openssl req -x509` makes it: it may sign others, and has its name as the
/// common name only.
struct Made {
    cert: rcgen::Certificate,
    key: KeyPair,
}

impl Made {
    fn new(name: &str) -> Made {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Made { cert: params.self_signed(&key).expect("a certificate"), key }
    }

    fn pem(&self) -> String {
        self.cert.pem() + &self.key.serialize_pem()
    }

    /// A TLS server on this host with this certificate, which sends back what it gets.
    fn echo(&self) -> u16 {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![self.cert.der().clone()], key);
        let config = Arc::new(config.expect("a pair"));
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = listener.local_addr().expect("bound").port();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let session = ServerConnection::new(Arc::clone(&config)).expect("a session");
                std::thread::spawn(move || echo(StreamOwned::new(session, stream)));
            }
        });
        port
    }
}

pub(crate) fn echo(mut stream: StreamOwned<ServerConnection, TcpStream>) {
    let mut bytes = [0; 1024];
    while let Ok(length @ 1..) = stream.read(&mut bytes) {
        if stream.write_all(&bytes[..length]).is_err() {
            return;
        }
    }
}

/// The certificate that a client is shown which asks for `name`; `None` if there is no handshake.
fn shown(server: &Server, name: &str) -> Option<CertificateDer<'static>> {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let mut client = ClientConnection::new(Arc::new(config), name).expect("a session");
    let mut stream = TcpStream::connect(server.address()).expect("connected");
    stream.set_read_timeout(Some(DEADLINE)).expect("a deadline");
    while client.is_handshaking() {
        match client.complete_io(&mut stream) {
            Ok(_) => {}
            Err(error) => {
                assert_ne!(error.kind(), ErrorKind::WouldBlock, "the gateway says nothing");
                return None;
            }
        }
    }
    client.peer_certificates().map(|chain| chain[0].clone())
}

#[derive(Debug)]
pub(crate) struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    // Whether the key belongs to it is not asked here: the clients of all other tests do.
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Moves a file to its place at once, as careful programs renew certificates.
fn place(scratch: &Scratch, name: &str, text: &str) {
    std::fs::write(scratch.path("new"), text).expect("written");
    std::fs::rename(scratch.path("new"), scratch.path(name)).expect("renamed");
}

#[test]
fn a_certificate_that_appears_turns_tls_on_and_a_new_one_is_served_without_a_restart() {
    let (scratch, target) = (Scratch::new(), Target::tcp());
    let file = scratch.arg("self.pem");
    let server = Server::relay_with(&target.address, &["--cert", &file]);
    assert!(server.log.lines().contains(&"  - No SSL/TLS support (no cert file)".to_owned()));
    assert_eq!(shown(&server, "a"), None);
    server.log.wait_for(&format!("127.0.0.1: SSL connection but '{file}' not found"));
    for _ in 0..2 {
        let made = Made::new("a");
        place(&scratch, "self.pem", &made.pem());
        eventually("the new certificate", || shown(&server, "a").as_ref() == Some(made.cert.der()));
    }
    server.log.wait_for_nth(&format!("{file}: this certificate is served from now on"), 2);
}

#[test]
fn a_handshake_that_starts_a_second_after_the_replacement_gets_the_new_certificate() {
    let (scratch, target) = (Scratch::new(), Target::tcp());
    place(&scratch, "self.pem", &Made::new("a").pem());
    let server = Server::relay_with(&target.address, &["--cert", &scratch.arg("self.pem")]);
    for _ in 0..3 {
        // Somebody asks all the time, so what was found last is as new as it can be.
        assert!(shown(&server, "a").is_some());
        let made = Made::new("a");
        place(&scratch, "self.pem", &made.pem());
        // The second is what is promised.
        std::thread::sleep(std::time::Duration::from_secs(1));
        assert_eq!(shown(&server, "a").as_ref(), Some(made.cert.der()));
    }
}

#[test]
fn a_certificate_that_may_not_be_looked_at_is_said_and_not_taken_for_none() {
    let (scratch, target) = (Scratch::new(), Target::tcp());
    // A file in the place of a directory can't be looked behind by anyone, root included.
    std::fs::write(scratch.path("file"), "").expect("written");
    let file = scratch.arg("file/self.pem");
    let server = Server::relay_with(&target.address, &["--cert", &file]);
    server.log.wait_for(&format!("{file}: "));
    server.log.expect("  - SSL/TLS support", 1);
}

#[test]
fn a_broken_certificate_at_the_start_is_said_and_every_tls_client_hears_of_it() {
    let (scratch, target) = (Scratch::new(), Target::tcp().echo());
    let file = scratch.arg("self.pem");
    std::fs::write(&file, Made::new("a").cert.pem()).expect("written");
    let server = Server::relay_with(&target.address, &["--cert", &file]);
    let trouble = format!("--cert {file}: there is no private key in it, and none was given with --key");
    assert!(server.log.lines().contains(&"  - SSL/TLS support".to_owned()));
    server.log.wait_for(&trouble);
    assert_eq!(shown(&server, "a"), None);
    server.log.wait_for(&format!("127.0.0.1: SSL connection but {trouble}"));
    Client::open(&server).echo(b"plain clients are served");
}

#[test]
fn several_certificates_are_chosen_by_name() {
    let (scratch, target) = (Scratch::new(), Target::tcp());
    let (one, two) = (Made::new("one.example"), Made::new("two.example"));
    std::fs::write(scratch.path("one.pem"), one.pem()).expect("written");
    std::fs::write(scratch.path("two.crt"), two.cert.pem()).expect("written");
    std::fs::write(scratch.path("two.key"), two.key.serialize_pem()).expect("written");
    let files = [scratch.arg("one.pem"), scratch.arg("two.crt"), scratch.arg("two.key")];
    let options = ["--cert", &files[0], "--cert", &files[1], "--key", &files[2]];
    let server = Server::relay_with(&target.address, &options);
    assert_eq!(shown(&server, "two.example").as_ref(), Some(two.cert.der()));
    assert_eq!(shown(&server, "one.example").as_ref(), Some(one.cert.der()));
    assert_eq!(shown(&server, "three.example").as_ref(), Some(one.cert.der()));
}

/// A gateway with TLS to a target, and what the operator says about trust.
fn gateway(port: u16, options: &[&str], variable: Option<(&str, &Path)>) -> Server {
    let target = format!("localhost:{port}");
    let mut command = command(&[&["--ssl-target"], options, &["127.0.0.1:0", &target]].concat());
    command.env_remove("SSL_CERT_FILE").env_remove("SSL_CERT_DIR");
    command.envs(variable);
    Server::launch(&mut command)
}

#[test]
fn a_self_signed_target_is_believed_by_each_way_to_name_it() {
    let scratch = Scratch::new();
    let made = Made::new("localhost");
    let port = made.echo();
    let file = scratch.path("target.pem");
    std::fs::write(&file, made.cert.pem()).expect("written");
    let path = scratch.arg("target.pem");
    let (ca, insecure) = (["--ssl-target-ca", &path], ["--ssl-target-insecure"]);
    // OpenSSL's way to name a file in a directory is a hash of the subject; the name is no matter here.
    let directory = file.parent().expect("a directory");
    for (options, variable) in [
        (&ca[..], None),
        (&insecure, None),
        (&[], Some(("SSL_CERT_FILE", file.as_path()))),
        (&[], Some(("SSL_CERT_DIR", directory))),
    ] {
        let server = gateway(port, options, variable);
        Client::open(&server).echo(b"hello");
        let target = format!("localhost:{port} (using SSL)");
        server.log.wait_for(&format!("connecting to: {target}"));
        server.log.expect(&format!(" to {target}"), 1);
        assert_eq!(server.log.count("warning: "), usize::from(options == insecure));
    }
}

#[test]
fn a_target_that_nobody_vouches_for_or_that_has_another_name_is_a_1011() {
    let scratch = Scratch::new();
    let made = Made::new("localhost");
    let port = made.echo();
    std::fs::write(scratch.path("target.pem"), made.cert.pem()).expect("written");
    std::fs::write(scratch.path("other.pem"), Made::new("localhost").cert.pem()).expect("written");
    let files = [scratch.arg("target.pem"), scratch.arg("other.pem")];
    for options in
        [&["--ssl-target-ca", &files[1]][..], &["--ssl-target-ca", &files[0], "--ssl-target-name", "other"]]
    {
        let server = gateway(port, options, None);
        let reason = Client::open(&server).closed_with(1011);
        assert_eq!(reason, "Failed to connect to downstream server");
        let line = server.log.wait_for(&format!("Failed to connect to localhost:{port}: "));
        assert!(line.contains("--ssl-target-insecure"), "{line}");
    }
}

#[test]
fn what_can_t_work_ends_the_start() {
    let scratch = Scratch::new();
    let path = scratch.arg("missing");
    let start = |options: &[&str]| {
        let mut server = Server::spawn(&mut command(&[options, &["127.0.0.1:0", "localhost:1"]].concat()));
        let code = server.wait().code();
        let mut lines = server.log.wait_for_end();
        let is_hint = lines.last().is_some_and(|line| line == "Try 'websockify --help'.");
        assert_eq!(is_hint, code == Some(2), "{lines:?}");
        lines.truncate(lines.len() - usize::from(is_hint));
        (code, lines.pop().unwrap_or_default())
    };
    let (code, line) = start(&["--ssl-target", "--ssl-target-ca", &path]);
    assert_eq!((code, line), (Some(1), format!("websockify: error: --ssl-target-ca {path}: not found")));
    let (code, line) = start(&["--ssl-ciphers", "RC4:MD5"]);
    assert_eq!(code, Some(2));
    assert!(
        line.contains("none of the cipher suites in 'RC4:MD5' is supported (known: TLS_AES_256_GCM_SHA384, "),
        "{line}"
    );
    let (code, line) = start(&["--ssl-only", "--cert", &path]);
    assert_eq!((code, line), (Some(2), format!("websockify: error: SSL only and {path} not found")));
}
