//! Chains of certificates, as clients and targets send them to the real program: whole bundles are believed, and
//! those that are made to be searched for long are not searched.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::common::Scratch;
use crate::common::client::Client;
use crate::common::server::Server;
use crate::common::target::Target;

struct Ca {
    params: CertificateParams,
    key: KeyPair,
}

impl Ca {
    fn new(name: &str) -> Ca {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ca { params, key: KeyPair::generate().expect("a key") }
    }

    fn own(&self) -> CertificateDer<'static> {
        self.params.self_signed(&self.key).expect("a certificate").der().clone()
    }

    fn sign(&self, params: &CertificateParams, key: &KeyPair) -> CertificateDer<'static> {
        let issuer = Issuer::from_params(&self.params, &self.key);
        params.signed_by(key, &issuer).expect("a certificate").der().clone()
    }

    /// A certificate for this host and its key, with others after it.
    fn host(
        &self,
        others: &[CertificateDer<'static>],
    ) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let params = CertificateParams::new(names).expect("names");
        let key = KeyPair::generate().expect("a key");
        let chain = [self.sign(&params, &key)].iter().chain(others).cloned().collect();
        (chain, PrivateKeyDer::try_from(key.serialize_der()).expect("a key"))
    }

    fn pem(&self) -> String {
        self.params.self_signed(&self.key).expect("a certificate").pem()
    }
}

/// A root, one that it has signed, and a bundle with both among a hundred others.
fn honest() -> (Ca, Ca, Vec<CertificateDer<'static>>) {
    let (root, issuer) = (Ca::new("root"), Ca::new("issuer"));
    let mut bundle: Vec<_> = (0..100).map(|number| Ca::new(&format!("stranger {number}")).own()).collect();
    bundle.insert(30, root.own());
    bundle.insert(80, root.sign(&issuer.params, &issuer.key));
    (root, issuer, bundle)
}

/// Chains by strangers, and what is wrong with them in the end.
fn hostile() -> [(Ca, Vec<CertificateDer<'static>>, &'static str); 2] {
    ["same", "root"].map(|name| {
        let many: Vec<Ca> = (0..10).map(|_| Ca::new(name)).collect();
        let sent = many.iter().map(Ca::own).collect();
        let text = match name {
            "root" => "certificate's signature is wrong",
            _ => "certificate has an unknown issuer (self-signed, or a CA that is not trusted)",
        };
        (many.into_iter().next().expect("ten"), sent, text)
    })
}

#[test]
fn chains_of_clients_are_not_searched_for_long_and_bundles_are_believed() {
    let scratch = Scratch::new();
    let (root, issuer, bundle) = honest();
    let own = Ca::new("gateway");
    std::fs::write(scratch.path("ca.pem"), root.pem()).expect("written");
    std::fs::write(scratch.path("self.pem"), own.pem() + &own.key.serialize_pem()).expect("written");
    let target = Target::tcp();
    let (cert, ca) = (scratch.arg("self.pem"), scratch.arg("ca.pem"));
    let server = Server::relay_with(&target.address, &["--cert", &cert, "--verify-client", "--cafile", &ca]);
    let mut trusted = RootCertStore::empty();
    trusted.add(own.own()).expect("an authority");
    let visit = |ca: &Ca, sent: &[CertificateDer<'static>]| {
        let (chain, key) = ca.host(sent);
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(super::certificates::Anyone))
            .with_client_auth_cert(chain, key)
            .expect("a pair");
        let name = ServerName::try_from("localhost").expect("a name");
        let session = ClientConnection::new(Arc::new(config), name).expect("a session");
        let stream = TcpStream::connect(server.address()).expect("connected");
        let mut stream = StreamOwned::new(session, stream);
        let mut answer = [0; 12];
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").and_then(|()| stream.read_exact(&mut answer))
    };
    for (stranger, sent, text) in hostile() {
        assert!(visit(&stranger, &sent).is_err());
        server.log.wait_for(&format!("TLS handshake failed: client's {text}"));
    }
    visit(&issuer, &bundle).expect("an honest client with a bundle of everything");
}

#[test]
fn chains_of_targets_are_not_searched_for_long_and_bundles_are_believed() {
    let scratch = Scratch::new();
    let (root, issuer, bundle) = honest();
    std::fs::write(scratch.path("ca.pem"), root.pem()).expect("written");
    let ca = scratch.arg("ca.pem");
    for (stranger, sent, text) in hostile() {
        let address = tls_target(stranger.host(&sent));
        let server = Server::relay_with(&address, &["--ssl-target", "--ssl-target-ca", &ca]);
        Client::open(&server).closed_with(1011);
        server.log.wait_for(text);
    }
    let address = tls_target(issuer.host(&bundle));
    let server = Server::relay_with(&address, &["--ssl-target", "--ssl-target-ca", &ca]);
    Client::open(&server).echo(b"through a bundle");
}

/// A target that sends back what it gets, over TLS.
fn tls_target((chain, key): (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)) -> String {
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a pair");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("bound").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let session = ServerConnection::new(Arc::clone(&config)).expect("a session");
            std::thread::spawn(move || super::certificates::echo(StreamOwned::new(session, stream)));
        }
    });
    address
}
