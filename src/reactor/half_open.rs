//! Connections whose first request is not complete yet, by origin. When all places are taken, one of these
//! makes room for a newcomer: the oldest of the origin that has most of them, so whoever fills the places
//! with half requests pays for it. A connection that is being served is never ended for another.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::id::ConnId;
use crate::net::listen::Origin;

/// Half-open connections of all reactors.
#[derive(Default)]
pub struct HalfOpen {
    table: Mutex<Table>,
    /// Connections that have given their place away and are not gone yet.
    leaving: AtomicUsize,
}

#[derive(Default)]
struct Table {
    origins: HashMap<Origin, BTreeMap<u64, Place>>,
    entered: u64,
}

/// Where a connection is: the index of its reactor, and its name there.
pub(super) type Place = (usize, ConnId);

/// What a half-open connection keeps until it is none any more.
#[derive(Debug)]
pub(super) struct Ticket {
    origin: Origin,
    number: u64,
}

impl HalfOpen {
    /// Adds a connection that was given a place.
    pub(super) fn enter(&self, origin: Origin, place: Place) -> Ticket {
        let mut table = self.lock();
        table.entered += 1;
        let number = table.entered;
        table.origins.entry(origin).or_default().insert(number, place);
        Ticket { origin, number }
    }

    /// The connection comes from elsewhere, as a proxy has said: it counts there, as the youngest.
    pub(super) fn moved(&self, ticket: &mut Ticket, origin: Origin) {
        if ticket.origin == origin {
            return;
        }
        let mut table = self.lock();
        let Some(places) = table.origins.get_mut(&ticket.origin) else { return };
        // One that has given its place away is leaving.
        let Some(place) = places.remove(&ticket.number) else { return };
        if places.is_empty() {
            table.origins.remove(&ticket.origin);
        }
        table.entered += 1;
        let number = table.entered;
        table.origins.entry(origin).or_default().insert(number, place);
        *ticket = Ticket { origin, number };
    }

    /// The connection has sent its first request, or is gone.
    pub(super) fn leave(&self, ticket: &Ticket) {
        let mut table = self.lock();
        let Some(places) = table.origins.get_mut(&ticket.origin) else { return self.has_left() };
        if places.remove(&ticket.number).is_none() {
            return self.has_left();
        }
        if places.is_empty() {
            table.origins.remove(&ticket.origin);
        }
    }

    /// Chooses the connection that gives up its place, and counts it as leaving until it has left.
    pub(super) fn displace(&self) -> Option<Place> {
        let mut table = self.lock();
        let (&origin, places) = table.origins.iter_mut().max_by_key(|(_, places)| places.len())?;
        let (_, place) = places.pop_first()?;
        if places.is_empty() {
            table.origins.remove(&origin);
        }
        self.leaving.fetch_add(1, Ordering::Relaxed);
        Some(place)
    }

    /// How many connections are counted as there and have given their place away.
    pub(super) fn leaving(&self) -> usize {
        self.leaving.load(Ordering::Relaxed)
    }

    fn has_left(&self) {
        self.leaving.fetch_sub(1, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::listen::Peer;

    fn origin(address: &str) -> Origin {
        Peer::Ip(address.parse().expect("an address")).origin()
    }

    fn place(slot: u32) -> Place {
        (0, ConnId { slot, generation: 7 })
    }

    #[test]
    fn the_oldest_of_the_origin_with_most_gives_its_place_away() {
        let half_open = HalfOpen::default();
        let crowd: Vec<Ticket> =
            (0..3).map(|slot| half_open.enter(origin("192.0.2.1"), place(slot))).collect();
        let other = half_open.enter(origin("192.0.2.2"), place(3));
        half_open.leave(&crowd[0]);
        assert_eq!(half_open.displace(), Some(place(1)));
        assert_eq!(half_open.leaving(), 1);
        half_open.leave(&crowd[1]);
        assert_eq!(half_open.leaving(), 0, "it has left");
        half_open.leave(&crowd[2]);
        assert_eq!(half_open.displace(), Some(place(3)));
        assert_eq!(half_open.displace(), None);
        half_open.leave(&other);
        assert!(half_open.lock().origins.is_empty() && half_open.leaving() == 0);
    }

    #[test]
    fn a_connection_counts_where_its_proxy_says_that_it_comes_from() {
        let half_open = HalfOpen::default();
        let mut tickets: Vec<Ticket> =
            (0..4).map(|slot| half_open.enter(origin("10.0.0.1"), place(slot))).collect();
        for (ticket, address) in tickets.iter_mut().zip(["192.0.2.1", "192.0.2.2", "192.0.2.2", "10.0.0.1"]) {
            half_open.moved(ticket, origin(address));
        }
        assert_eq!(half_open.displace(), Some(place(1)));
        // It is leaving, and stays so.
        half_open.moved(&mut tickets[1], origin("192.0.2.3"));
        assert_eq!(half_open.leaving(), 1);
        tickets.iter().for_each(|ticket| half_open.leave(ticket));
        assert!(half_open.lock().origins.is_empty() && half_open.leaving() == 0);
    }

    #[test]
    fn a_network_of_ipv6_is_one_origin_and_an_address_in_two_forms_is_one() {
        assert_eq!(origin("2001:db8:1:2::3"), origin("2001:db8:1:2:ffff::"));
        assert_ne!(origin("2001:db8:1:2::3"), origin("2001:db8:1:3::3"));
        assert_eq!(origin("192.0.2.1"), origin("::ffff:192.0.2.1"));
        assert_ne!(origin("192.0.2.1"), origin("192.0.2.2"));
        assert_ne!(origin("0.0.0.1"), origin("0:0:0:1::"));
    }
}
