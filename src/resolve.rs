//! Names to addresses, on helper threads, with one flight per name: a thousand clients that wait for the same
//! name cost one lookup.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::flight::{Asked, Flight, ReplyTo};
use crate::helpers::{Lane, Refused};

/// Addresses of a name in the order in which they are dialled, or why there are none. Their port is 0; what
/// makes them more than an `IpAddr` is the scope of a link-local IPv6 address.
pub type Addresses = Result<Arc<[SocketAddr]>, Unresolved>;

/// Why a name has no addresses, in the words of the system's resolver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unresolved(pub String);

impl Unresolved {
    /// Whether the lookup found that the name has no address. Any other error is the resolver's own, which it
    /// reports only as text.
    pub fn is_unknown(&self) -> bool {
        ["Name or service not known", "No address associated with hostname", "Name does not resolve"]
            .contains(&self.0.as_str())
    }
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Looks names up for all reactors of the process.
pub struct Resolver {
    lane: Lane,
    flights: Arc<Mutex<Flights>>,
}

type Flights = HashMap<String, Flight<Addresses>>;

impl Default for Resolver {
    fn default() -> Resolver {
        Resolver { lane: Lane::new("resolve", THREADS_MAX, NAMES_MAX), flights: Arc::default() }
    }
}

impl Resolver {
    /// A resolver for tests and fuzz targets that never answers about `host`: the question counts as asked.
    #[cfg(any(test, feature = "testing"))]
    pub fn silent(host: &str) -> Resolver {
        let resolver = Resolver::default();
        lock(&resolver.flights).insert(host.to_owned(), Flight::empty());
        resolver
    }

    /// Looks up `host`; `to` gets the result, on a helper thread.
    pub fn ask(&self, host: &str, to: ReplyTo<Addresses>) -> Asked<Addresses> {
        let mut flights = lock(&self.flights);
        // A flight that hangs may never land, and those who waited for it have left. The name is looked up
        // again.
        if let Some(flight) = flights.get_mut(host)
            && !flight.is_hanging(HANGING)
        {
            flight.join(to);
            return Asked::Later;
        }
        let name = host.to_owned();
        let shared = Arc::clone(&self.flights);
        let job = move || {
            let addresses = look_up(&name);
            let flight = lock(&shared).remove(&name);
            if let Some(flight) = flight {
                flight.land(&addresses);
            }
        };
        match self.lane.submit(Box::new(job)) {
            Ok(()) => {
                flights.insert(host.to_owned(), Flight::begin(to));
                Asked::Later
            }
            Err(Refused::Full) => Asked::Busy,
            Err(refused @ Refused::NoThread(_)) => Asked::Now(Err(Unresolved(refused.to_string()))),
        }
    }
}

/// The address that `host` is written as, if it is one and nothing needs to be looked up.
pub fn literal(host: &str) -> Option<SocketAddr> {
    host.parse().ok().map(|address: IpAddr| SocketAddr::new(address, 0))
}

/// Asks the system, and waits; an empty name is `localhost`. IPv4 addresses come first, in each family in the resolver's order.
///
/// # Errors
/// What the system's resolver said.
pub fn look_up(host: &str) -> Addresses {
    let host = if host.is_empty() { "localhost" } else { host };
    let found = (host, 0).to_socket_addrs().map_err(|error| Unresolved(describe(&error)))?;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses.sort_by_key(SocketAddr::is_ipv6);
    match addresses.is_empty() {
        true => Err(Unresolved("No address associated with hostname".into())),
        false => Ok(addresses.into()),
    }
}

/// The resolver's own words, without what std puts before them.
fn describe(error: &io::Error) -> String {
    let text = error.to_string();
    text.strip_prefix("failed to lookup address information: ").unwrap_or(&text).to_owned()
}

fn lock(flights: &Mutex<Flights>) -> MutexGuard<'_, Flights> {
    flights.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A dead name server costs about ten seconds, and a connection does not wait longer.
const HANGING: Duration = Duration::from_secs(30);

/// Names looked up at a time. A dead name server holds a thread for some ten seconds.
const THREADS_MAX: usize = 8;

/// Different names that wait for a thread.
const NAMES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::sync::mpsc;

    #[test]
    fn a_literal_needs_no_look_up_and_a_name_does() {
        assert_eq!(literal("127.0.0.1"), Some((Ipv4Addr::LOCALHOST, 0).into()));
        assert_eq!(literal("::1"), Some((Ipv6Addr::LOCALHOST, 0).into()));
        assert_eq!(literal("localhost"), None);
    }

    #[test]
    fn addresses_of_version_four_come_first() {
        let addresses = look_up("localhost").expect("every machine knows itself");
        assert!(addresses.is_sorted_by_key(|address| address.is_ipv6()), "{addresses:?}");
    }

    #[test]
    fn everyone_who_asks_for_a_name_gets_the_answer_and_no_flight_is_left() {
        let resolver = Resolver::default();
        let (done, answers) = mpsc::channel();
        for _ in 0..50 {
            let done = done.clone();
            let answer = move |found: Addresses| done.send(found.is_ok()).expect("the test listens");
            assert!(matches!(resolver.ask("localhost", Box::new(answer)), Asked::Later));
        }
        for _ in 0..50 {
            assert!(answers.recv_timeout(Duration::from_secs(20)).expect("an answer"));
        }
        assert!(lock(&resolver.flights).is_empty());
    }

    #[test]
    fn a_name_that_does_not_exist_is_reported_in_the_resolvers_words() {
        let error = look_up("does-not-exist.invalid").expect_err("reserved never to exist");
        let Unresolved(text) = error;
        assert!(!text.is_empty() && !text.starts_with("failed to lookup"), "{text}");
    }
}
