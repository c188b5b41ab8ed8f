//! Who a client is: what its socket says, and what a trusted proxy says in its place.

#![cfg_attr(not(feature = "testing"), allow(dead_code, reason = "who fills it follows"))]

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::facts::Facts;
use crate::net::listen::{Origin, Peer};

/// A client, as logs and limits know it. It is displayed by its real address as soon as that is known.
#[derive(Debug)]
pub struct Who {
    /// What the socket says.
    pub socket: Peer,
    /// What is known beyond that.
    pub facts: Option<Box<Facts>>,
}

impl Who {
    /// One of whom nothing is known but its socket.
    pub fn new(socket: Peer) -> Who {
        Who { socket, facts: None }
    }

    /// What is known beyond the socket, to add to it.
    pub fn facts_mut(&mut self) -> &mut Facts {
        self.facts.get_or_insert_default()
    }

    /// The address that a trusted proxy has given; port 0 if it gave none.
    pub fn real(&self) -> Option<SocketAddr> {
        self.facts.as_ref()?.real
    }

    /// The client's address: the real one where it is known, else the socket's; nothing for a Unix socket.
    pub fn address(&self) -> Option<IpAddr> {
        match (self.real(), &self.socket) {
            (Some(real), _) => Some(real.ip()),
            (None, Peer::Ip(address)) => Some(*address),
            (None, Peer::Unix(_)) => None,
        }
    }

    /// The client by the address that it is displayed by.
    pub fn named(&self) -> Peer {
        self.real().map_or_else(|| self.socket.clone(), |real| Peer::Ip(real.ip()))
    }

    /// Where the client comes from, as far as clients are told apart when places or memory are short.
    pub fn origin(&self) -> Origin {
        self.real().map_or_else(|| self.socket.origin(), |real| Peer::Ip(real.ip()).origin())
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
