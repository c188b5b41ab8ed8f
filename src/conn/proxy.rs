//! The PROXY header of a trusted proxy, before anything that its client has sent.

use std::time::Duration;

use super::client::Client;
use super::cx::{Cx, Turn};
use super::end::End;
use super::report;
use crate::metrics::ProxyHeader;
use crate::proxy::{self, Fault, Kind};
use crate::timers::Tick;

/// Waiting for a whole header.
#[derive(Debug)]
pub struct Proxy {
    deadline: Tick,
}

impl Proxy {
    /// The clock starts now.
    pub fn begin(cx: &Cx<'_>) -> Proxy {
        Proxy { deadline: cx.now.after(HEADER) }
    }

    /// Reads until the header is whole. What came after it stays with the client.
    ///
    /// # Errors
    /// There is no header, or the proxy left.
    pub fn step(self, client: &mut Client, cx: &mut Cx<'_>) -> Result<Turn<Proxy, ()>, End> {
        loop {
            if !client.kept.is_empty()
                && let Some((proxied, len)) = proxy::read(&client.kept).map_err(End::BadProxyHeader)?
            {
                cx.metrics.proxy_headers.count(match Kind::of(&client.kept) {
                    Kind::V1 => ProxyHeader::V1,
                    Kind::V2 => ProxyHeader::V2,
                    Kind::Local => ProxyHeader::Local,
                } as usize);
                client.kept = client.kept.split_off(len);
                client.who.take_proxied(proxied);
                report::named(client, cx);
                return Ok(Turn::Done(()));
            }
            if !client.socket.is_readable() {
                return Ok(Turn::Wait(self));
            }
            match client.read_more(cx) {
                Ok(true) => {}
                Ok(false) => return Ok(Turn::Wait(self)),
                // Proxies check like this whether the port is served.
                Err(_) if client.kept.is_empty() => return Err(End::Probe),
                Err(_) => return Err(End::BadProxyHeader(Fault::CutOff)),
            }
        }
    }

    /// The deadline of the header, however slowly it arrives.
    pub fn deadline(&self) -> Tick {
        self.deadline
    }
}

/// Time from accepting a connection to the end of its PROXY header. The proxy has it ready, so this allows
/// for retransmissions.
pub const HEADER: Duration = Duration::from_secs(5);
