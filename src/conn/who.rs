//! Who a client is: what its socket says, and what a trusted proxy says instead.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::facts::{Facts, Via};
use super::frontend::Proxies;
use crate::http::forwarded::{self, Outside};
use crate::http::request::Request;
use crate::net::listen::{Origin, Peer};
use crate::proxy::{self, Addresses, Proxied, REQUEST_ID_MAX};

/// A client, as logs and limits know it. It is displayed by its real address as soon as that is known.
#[derive(Debug)]
pub struct Who {
    /// What the socket says.
    pub socket: Peer,
    /// Whatever else is known.
    pub facts: Option<Box<Facts>>,
}

impl Who {
    /// A client of which only the socket is known.
    pub fn new(socket: Peer) -> Who {
        Who { socket, facts: None }
    }

    /// Whatever else is known, for changing it.
    pub fn facts_mut(&mut self) -> &mut Facts {
        self.facts.get_or_insert_default()
    }

    /// The address that a trusted proxy has given; port 0 if it gave none.
    pub fn real(&self) -> Option<SocketAddr> {
        self.facts.as_ref()?.real
    }

    /// The client's address: the real one where it is known, else the socket's; nothing for a Unix socket.
    pub fn address(&self) -> Option<IpAddr> {
        self.real().map(|real| real.ip()).or_else(|| self.socket.address())
    }

    /// How the address is known, in the word for logs and for administrators.
    pub fn via(&self) -> &'static str {
        self.facts.as_ref().and_then(|facts| facts.via).map_or("direct", Via::name)
    }

    /// The client with the address that it is displayed with.
    pub fn named(&self) -> Peer {
        self.real().map_or_else(|| self.socket.clone(), |real| Peer::Ip(real.ip()))
    }

    /// Where the client comes from, as far as clients are distinguished when places or memory are short.
    pub fn origin(&self) -> Origin {
        self.real().map_or_else(|| self.socket.origin(), |real| Peer::Ip(real.ip()).origin())
    }

    /// Stores what the PROXY header of the connection says.
    pub fn take_proxied(&mut self, proxied: Proxied) {
        if proxied != Proxied::default() {
            self.facts_mut().proxied = Some(Box::new(proxied));
            self.forget_request();
        }
    }

    /// Stores what a trusted proxy says about a request. What an earlier request of the connection said is
    /// forgotten: it may have come from another client.
    pub fn identify(&mut self, request: &Request<'_>, proxies: &Proxies) -> Outside {
        if proxies.trusted.is_empty() {
            return Outside::default();
        }
        self.forget_request();
        let is_tls = self.proxied().and_then(|proxied| proxied.tls.as_ref()).map(|_| true);
        let is_trusted = match self.real() {
            Some(real) => proxies.trusted.contains(real.ip()),
            None => proxies.trusts(&self.socket),
        };
        if !is_trusted {
            return Outside { is_tls, host: None };
        }
        if let Some(header) = &proxies.header {
            let lines: Vec<&[u8]> = request.headers(&header.name).collect();
            if let Some(real) = forwarded::client(&lines, header.form, |ip| proxies.trusted.contains(ip)) {
                let facts = self.facts_mut();
                (facts.real, facts.via) = (Some(real), Some(Via::ForwardedHeader));
            }
        }
        let nearest = |name| forwarded::nearest(&request.headers(name).collect::<Vec<_>>());
        let id = ["x-request-id", "traceparent"].into_iter().find_map(nearest);
        if let Some(id) = id.filter(|id| id.len() <= REQUEST_ID_MAX) {
            self.facts_mut().request_id = Some(id.into());
        }
        let scheme = nearest("x-forwarded-proto").and_then(forwarded::is_tls);
        Outside { is_tls: scheme.or(is_tls), host: nearest("x-forwarded-host").map(str::to_owned) }
    }

    /// What the PROXY header of the connection says, if there was one that says anything.
    pub fn proxied(&self) -> Option<&Proxied> {
        self.facts.as_ref()?.proxied.as_deref()
    }

    /// Whether a request has named its client, or has a name itself.
    pub fn is_named_by_request(&self) -> bool {
        let Some(facts) = &self.facts else { return false };
        let unique_id = facts.proxied.as_ref().and_then(|proxied| proxied.unique_id.as_ref());
        facts.via == Some(Via::ForwardedHeader) || facts.request_id.as_ref() != unique_id
    }

    /// Keeps only what is known about the connection.
    fn forget_request(&mut self) {
        let Some(facts) = &mut self.facts else { return };
        let proxied = facts.proxied.as_deref();
        let source = proxied.and_then(|proxied| proxied.addresses).map(|addresses| addresses.source);
        facts.real = source.map(proxy::canonical);
        facts.via = facts.real.map(|_| Via::ProxyProtocol);
        facts.request_id = proxied.and_then(|proxied| proxied.unique_id.clone());
    }

    /// Where the client comes from and what it has connected to, as far as that is known: by the proxy, else by the
    /// socket, whose ends `socket` has. Nothing for a client without an address.
    pub fn addresses(&self, socket: impl FnOnce() -> Option<Addresses>) -> Option<Addresses> {
        let proxied = self.proxied().and_then(|proxied| proxied.addresses);
        let outer = proxied.or_else(socket);
        let Some(real) = self.real() else { return outer };
        let nowhere = match real.ip() {
            IpAddr::V4(_) => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
            IpAddr::V6(_) => SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0),
        };
        let destination = outer.map_or(nowhere, |addresses| addresses.destination);
        Some(Addresses { source: real, destination })
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.real() {
            Some(real) => real.ip().fmt(f),
            None => self.socket.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_goes_by_its_real_address_once_that_is_known() {
        let mut who = Who::new(Peer::Ip("10.0.0.1".parse().expect("an address")));
        assert_eq!((who.to_string(), who.named().to_string()), ("10.0.0.1".into(), "10.0.0.1".into()));
        let proxy = who.origin();
        who.facts_mut().real = Some("203.0.113.7:4711".parse().expect("an address"));
        assert_eq!((who.to_string(), who.named().to_string()), ("203.0.113.7".into(), "203.0.113.7".into()));
        assert_eq!(who.address(), Some("203.0.113.7".parse().expect("an address")));
        assert_ne!(who.origin(), proxy);
        assert_eq!(who.socket.to_string(), "10.0.0.1");
    }

    #[test]
    fn a_client_of_a_unix_socket_has_no_address_but_a_real_one() {
        let mut who = Who::new(Peer::Unix(std::path::Path::new("/run/s").into()));
        assert_eq!((who.to_string(), who.address(), who.origin()), ("/run/s".into(), None, Origin::Unix));
        who.facts_mut().real = Some("[2001:db8::1]:0".parse().expect("an address"));
        assert_eq!(who.to_string(), "2001:db8::1");
    }
}
