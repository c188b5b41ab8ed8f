//! Telling a target who its client is.

use super::Connect;
use crate::conn::client::Client;
use crate::conn::cx::Cx;
use crate::conn::frontend::Destination;
use crate::net::fault::Broken;
use crate::net::transport::Transport;
use crate::proxy::{Header, ProxiedTls};

impl Connect {
    /// Writes the rest of the header to the target, and returns how much it has then.
    pub(super) fn announce(
        &self,
        socket: &mut Transport,
        mut written: usize,
        cx: &mut Cx<'_>,
    ) -> Result<usize, Broken> {
        while written < self.header.len() && socket.is_writable() {
            written += socket.write(&self.header[written..], cx.rings)?;
        }
        Ok(written)
    }
}

/// The PROXY header for the target `to` of this client's session, which asked for `host`; nothing where it gets none.
pub fn header(to: &Destination, client: &Client, host: Option<&str>, cx: &Cx<'_>) -> Box<[u8]> {
    let Some(version) = to.header.or(cx.frontend.proxies.out) else { return Box::default() };
    let tls = tls(client);
    let name = cx.session_name().to_string();
    let header = Header {
        addresses: client.who.addresses(|| client.socket.addresses()),
        unique_id: Some(&name),
        authority: host,
        tls: tls.as_ref(),
    };
    header.to_bytes(version).into()
}

/// The client's TLS, which ends here or at a proxy that says so.
fn tls(client: &Client) -> Option<ProxiedTls> {
    let proxied = client.who.proxied().and_then(|proxied| proxied.tls.clone());
    let Some(tls) = client.socket.tls() else { return proxied };
    proxied.or_else(|| {
        Some(ProxiedTls {
            // As OpenSSL writes it.
            version: tls.version().map(|version| format!("TLSv{version}").into()),
            // A client whose certificate is invalid does not get this far.
            is_verified: tls.peer_certificates().is_some_and(|chain| !chain.is_empty()),
            common_name: client.common_name().map(Box::from),
        })
    })
}
