//! Who is driven first: what a connection costs decides, not what it has sent.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::common::client::Client;
use crate::common::server::Server;
use crate::common::target::Target;
use crate::common::{DEADLINE, Scratch, eventually, eventually_within};

/// Connections that send a hello at the same time.
const HELLOS: usize = 200;

#[test]
fn a_keystroke_does_not_wait_for_the_hellos_that_came_before_it() {
    let scratch = Scratch::new();
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_4096).expect("a key");
    let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let cert = params.self_signed(&key).expect("a certificate");
    std::fs::write(scratch.path("rsa.pem"), cert.pem() + &key.serialize_pem()).expect("written");
    let target = Target::tcp().echo();
    let server = Server::relay_with(&target.address, &["-v", "--cert", &scratch.arg("rsa.pem")]);
    let mut session = Client::open(&server);
    let mut accepted = 1;
    // A signature takes 1.6 ms, so there is time to count: two or three are usual, all of them was the case. In the first
    // second the gateway still learns how fast its machine is, and what else runs there makes light work look heavy.
    eventually_within(5 * DEADLINE, "a keystroke to be answered before half of the hellos", || {
        for _ in 0..10 {
            session.echo(b"known to be light");
        }
        let hellos: Vec<TcpStream> =
            (0..HELLOS).map(|_| TcpStream::connect(server.address()).expect("connected")).collect();
        accepted += HELLOS;
        server.log.expect("new connection", accepted);
        let before = answered_before_a_keystroke(&server, &mut session, &hellos);
        // They are not starved.
        let mut left = hellos;
        eventually("all hellos to be answered", || {
            left.retain(|stream| !is_answered(stream));
            left.is_empty()
        });
        before < HELLOS / 2
    });
}

/// How many of the connections have an answer to their hello when a session has one to a keystroke. Everything is
/// there before the gateway looks at anything, the keystroke last.
fn answered_before_a_keystroke(server: &Server, session: &mut Client, hellos: &[TcpStream]) -> usize {
    server.signal("STOP");
    let stat = format!("/proc/{}/stat", server.pid());
    eventually("the gateway to stand still", || {
        std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") T "))
    });
    let hello = hello();
    for mut stream in hellos {
        stream.write_all(&hello).expect("sent");
        stream.set_nonblocking(true).expect("set");
    }
    session.send_binary(b"a");
    server.signal("CONT");
    assert_eq!(session.data(1), b"a");
    hellos.iter().filter(|stream| is_answered(stream)).count()
}

/// What a client begins with.
fn hello() -> Vec<u8> {
    let config = ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let mut client = ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut hello = Vec::new();
    client.write_tls(&mut hello).expect("memory takes everything");
    hello
}

fn is_answered(mut stream: &TcpStream) -> bool {
    match stream.read(&mut [0; 64]) {
        Ok(count) => {
            assert!(count > 0, "the gateway has left");
            true
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => false,
        Err(error) => panic!("{error}"),
    }
}
