//! The peers' ends of TLS sessions.

use std::io::Read;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConnection};

use super::Rig;
use crate::conn::Conn;
use crate::conn::cx::Cx;
use crate::net::scripted::Step;

/// A client that is about to shake hands.
pub(super) fn client(config: &Arc<ClientConfig>) -> ClientConnection {
    let name = ServerName::try_from("localhost").expect("a name");
    let mut client =
        ClientConnection::new(Arc::clone(config), name).expect("the test's configuration is good");
    client.set_buffer_limit(None);
    client
}

impl Rig {
    /// Makes the target's connection a TLS session with this server, over the same stream.
    ///
    /// # Panics
    /// When they can't agree.
    pub fn secure_target(&mut self, config: &Arc<ClientConfig>, server: &mut ServerConnection) {
        let name = ServerName::try_from("localhost").expect("a name");
        let config = Arc::clone(config);
        let speak =
            |conn: &mut Conn, _: &mut Cx<'_>| conn.target().expect("a target").speak_tls(config, name);
        self.with(speak).expect("a connection").expect("a good configuration");
        self.target.write_step(Step::Room(1 << 20));
        let mut is_over = false;
        while !is_over || server.is_handshaking() {
            let shake = |conn: &mut Conn, cx: &mut Cx<'_>| {
                let target = conn.target().expect("a target");
                target.note_ready(true, true, false);
                target.handshake(cx.rings).expect("they agree")
            };
            is_over = self.with(shake).expect("a connection");
            let sent = self.target.take_written();
            assert!(is_over || !sent.is_empty() || server.wants_write(), "nobody goes on");
            accept(server, &sent, &mut Vec::new());
            let mut answer = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut answer).expect("memory takes everything");
            }
            if !answer.is_empty() {
                self.target.read_step(Step::Bytes(answer));
            }
        }
    }
}

/// What a server reads of these sealed bytes is appended to `plain`.
///
/// # Panics
/// When it is no TLS.
pub fn accept(server: &mut ServerConnection, mut sealed: &[u8], plain: &mut Vec<u8>) {
    while !sealed.is_empty() && matches!(server.read_tls(&mut sealed), Ok(1..)) {
        let state = server.process_new_packets().expect("it is TLS");
        let start = plain.len();
        plain.resize(start + state.plaintext_bytes_to_read(), 0);
        server.reader().read_exact(&mut plain[start..]).expect("so much is there");
    }
}

/// Opens `sealed` and appends the plaintext to `plain`. What is no TLS shows in what is missing then.
pub(super) fn open(tls: &mut ClientConnection, mut sealed: &[u8], plain: &mut Vec<u8>) {
    while !sealed.is_empty() && matches!(tls.read_tls(&mut sealed), Ok(1..)) {
        let Ok(state) = tls.process_new_packets() else { return };
        let start = plain.len();
        plain.resize(start + state.plaintext_bytes_to_read(), 0);
        tls.reader().read_exact(&mut plain[start..]).expect("so much is there");
    }
}
