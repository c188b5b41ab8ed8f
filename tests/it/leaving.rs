//! Clients that leave while somebody else is waited for: a service that knows tokens, or a target that is reached and
//! owes its TLS handshake. Everything is free at once, and nobody's deadline is waited for.

use std::io::Read;
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::Server;
use crate::common::client::{Client, UPGRADE};
use crate::common::eventually;
use crate::common::frame::{Frame, PING, PONG};
use crate::common::target::Target;
use crate::common::tls::identity;

/// A way to leave; the client is kept where its socket has to stay open.
type Leave = fn(Client) -> Option<Client>;

fn reset(client: Client) -> Option<Client> {
    client.wire.reset();
    None
}

fn finish(client: Client) -> Option<Client> {
    client.wire.finish();
    Some(client)
}

/// How the connections ended, once the gateway has.
fn endings(mut server: Server) -> Vec<(String, u64)> {
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    server.endings()
}

#[test]
fn a_client_that_leaves_during_a_look_up_frees_everything() {
    let service = Target::tcp().serve(|mut wire| wire.wait_until_gone());
    let source = format!("http://{}/%s", service.address);
    let ping = Frame::new(PING, b"?").bytes();
    let ways: [(&[u8], Leave); 5] = [
        (b"", reset),
        (b"", finish),
        (&ping, finish),
        (&Frame::close(1001, "tab closed").bytes(), finish),
        (&Frame::binary(b"data").bytes(), reset),
    ];
    for (number, (behind, leave)) in ways.into_iter().enumerate() {
        let options = ["-v", "--token-plugin", "BaseTokenAPI", "--token-source", &source, "127.0.0.1:0"];
        let server = Server::start(&options);
        let mut client = Client::connect(&server);
        let upgrade = UPGRADE.replace("GET / ", "GET /?token=a ");
        client.wire.send(&[upgrade.as_bytes(), behind].concat());
        eventually("the lookup is on its way", || service.accepted() == number + 1);
        let _client = leave(client);
        eventually("the client to be let go of", || server.watched() == [2]);
        let endings = endings(server);
        assert!(
            matches!(&endings[..], [(name, 1)] if ["half-request", "client-reset", "client-cut"].contains(&&name[..])),
            "{behind:02x?}: {endings:?}"
        );
    }
}

/// A gateway whose target is reached and owes its TLS handshake, and a client that waits for it.
fn owed(target: &Target) -> (Server, Client, TcpStream) {
    let server = Server::relay_with(&target.address, &["-v", "--ssl-target", "--ssl-target-insecure"]);
    let client = Client::open(&server);
    let wire = target.accept();
    (server, client, wire.0.try_clone().expect("a copy").into())
}

#[test]
fn a_client_that_leaves_while_the_targets_tls_handshake_is_awaited_frees_everything() {
    let ways: [Leave; 4] = [
        reset,
        finish,
        |mut client| {
            client.send(&Frame::close(1001, "tab closed"));
            assert_eq!(client.closed(), (Some(1001), "tab closed".to_owned()));
            Some(client)
        },
        |mut client| {
            client.send(&Frame::new(PING, b"there?"));
            assert_eq!(client.frame_of(PONG), b"there?");
            finish(client)
        },
    ];
    for leave in ways {
        let target = Target::tcp();
        let (server, client, _wire) = owed(&target);
        let _client = leave(client);
        eventually("both sockets to be closed", || server.watched() == [2]);
        // Long before the handshake was given up.
        assert_eq!(server.log.count("Failed to connect"), 0);
        let endings = endings(server);
        assert!(
            matches!(&endings[..], [(name, 1)] if ["client-closed", "client-reset"].contains(&&name[..])),
            "{endings:?}"
        );
    }
}

#[test]
fn what_a_client_sent_before_it_left_reaches_a_target_whose_tls_handshake_comes_late() {
    let leaves: [&[u8]; 2] = [&Frame::close(1000, "done").bytes(), b""];
    for close in leaves {
        let target = Target::tcp();
        let (server, mut client, wire) = owed(&target);
        client.wire.send(&[&Frame::binary(b"last words").bytes(), close].concat());
        client.send(&Frame::new(PING, b"behind"));
        if close.is_empty() {
            client.wire.finish();
        }
        let key = PrivateKeyDer::from_pem_file(&identity().key).expect("a key");
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![identity().der.clone()], key).expect("a pair");
        let session = ServerConnection::new(Arc::new(config)).expect("a session");
        let mut stream = StreamOwned::new(session, wire);
        let mut got = Vec::new();
        stream.read_to_end(&mut got).expect("an end in order");
        assert_eq!(got, b"last words");
        drop(stream);
        if !close.is_empty() {
            assert_eq!(client.closed(), (Some(1000), "done".to_owned()));
        }
        eventually("both sockets to be closed", || server.watched() == [2]);
    }
}
