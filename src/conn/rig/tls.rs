//! The client's end of a TLS session.

use std::io::Read;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

/// A client that is about to shake hands.
pub(super) fn client(config: &Arc<ClientConfig>) -> ClientConnection {
    let name = ServerName::try_from("localhost").expect("a name");
    let mut client =
        ClientConnection::new(Arc::clone(config), name).expect("the test's configuration is good");
    client.set_buffer_limit(None);
    client
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
