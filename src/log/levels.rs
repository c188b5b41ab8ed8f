//! Which lines are written: those of the configured level, until an operator asks for others while the service runs,
//! for everything or for some clients, for a while or until that is taken back.

use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use ipnet::IpNet;

use super::{Level, lock};

/// What is written of what happens. Shared by all threads.
pub struct Levels {
    configured: Level,
    /// Whether anybody has wishes: nobody looks for them else.
    is_changed: AtomicBool,
    wishes: Mutex<Vec<Wish>>,
}

/// What an operator wants to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Of these clients only; of everything else.
    pub clients: Option<IpNet>,
    /// Lines that matter less are not written.
    pub level: Level,
    /// Until then, or until it is taken back.
    pub until: Option<Instant>,
}

impl Levels {
    /// Those of the command line.
    pub(super) fn new(configured: Level) -> Levels {
        Levels { configured, is_changed: AtomicBool::new(false), wishes: Mutex::default() }
    }

    /// The level of the command line.
    pub fn configured(&self) -> Level {
        self.configured
    }

    /// Whether lines that matter so much are written about the client at `address`, or about what is no client's.
    #[inline]
    pub(super) fn wants(&self, level: Level, address: Option<IpAddr>) -> bool {
        if self.is_changed.load(Ordering::Relaxed) {
            return level <= self.at(address, Instant::now());
        }
        level <= self.configured
    }

    /// Writes from now on what is wished, in place of an earlier wish for the same clients.
    ///
    /// # Errors
    /// There are [`WISHES_MAX`] already.
    pub fn set(&self, wish: Wish, now: Instant) -> Result<(), TooMany> {
        self.with(now, |wishes| {
            wishes.retain(|other| other.clients != wish.clients);
            if wishes.len() >= WISHES_MAX {
                return Err(TooMany);
            }
            wishes.push(wish);
            Ok(())
        })
    }

    /// Takes wishes back; returns how many.
    pub fn take_back(&self, is_meant: impl Fn(&Wish) -> bool, now: Instant) -> usize {
        self.with(now, |wishes| {
            let before = wishes.len();
            wishes.retain(|wish| !is_meant(wish));
            before - wishes.len()
        })
    }

    /// The wishes that count, the oldest first.
    pub fn wishes(&self, now: Instant) -> Vec<Wish> {
        self.with(now, |wishes| wishes.clone())
    }

    #[cold]
    fn at(&self, address: Option<IpAddr>, now: Instant) -> Level {
        let address = address.map(|address| address.to_canonical());
        self.with(now, |wishes| {
            let has = |clients: &IpNet| address.is_some_and(|address| clients.contains(&address));
            let of_client = wishes
                .iter()
                .filter(|wish| wish.clients.as_ref().is_some_and(has))
                .map(|wish| wish.level)
                .max();
            let of_all = || wishes.iter().find(|wish| wish.clients.is_none()).map(|wish| wish.level);
            of_client.or_else(of_all).unwrap_or(self.configured)
        })
    }

    /// Forgets what is over, and works on the rest.
    fn with<T>(&self, now: Instant, work: impl FnOnce(&mut Vec<Wish>) -> T) -> T {
        let mut wishes = lock(&self.wishes);
        wishes.retain(|wish| wish.until.is_none_or(|until| now < until));
        let result = work(&mut wishes);
        self.is_changed.store(!wishes.is_empty(), Ordering::Relaxed);
        result
    }
}

/// There are as many wishes as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

/// Wishes at a time: all of them are looked at for each line.
pub const WISHES_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn wish(clients: Option<&str>, level: Level, until: Option<Instant>) -> Wish {
        Wish { clients: clients.map(|text| text.parse().expect("a network")), level, until }
    }

    /// The levels for these clients, and for everything else.
    fn seen(levels: &Levels, clients: &[&str], now: Instant) -> Vec<Level> {
        let addresses = clients.iter().map(|text| Some(text.parse().expect("an address")));
        addresses.chain([None]).map(|address| levels.at(address, now)).collect()
    }

    #[test]
    fn a_level_for_a_client_counts_for_it_alone_and_before_the_one_for_everything() {
        use Level::{Debug, Error, Info, Warning};
        let (levels, now) = (Levels::new(Info), Instant::now());
        let clients = ["10.0.0.7", "::ffff:10.0.0.7", "10.0.0.8", "fd00::7"];
        let all = |levels: &Levels| seen(levels, &clients, now);
        assert_eq!(all(&levels), [Info; 5]);
        assert_eq!(levels.set(wish(Some("10.0.0.7/32"), Debug, None), now), Ok(()));
        assert_eq!(all(&levels), [Debug, Debug, Info, Info, Info]);
        assert_eq!(levels.set(wish(None, Error, None), now), Ok(()));
        assert_eq!(all(&levels), [Debug, Debug, Error, Error, Error]);
        // Of several that are for a client, the one that says most.
        assert_eq!(levels.set(wish(Some("10.0.0.0/8"), Warning, None), now), Ok(()));
        assert_eq!(all(&levels), [Debug, Debug, Warning, Error, Error]);
        // A second one for the same clients is in place of the first.
        assert_eq!(levels.set(wish(Some("10.0.0.7/32"), Info, None), now), Ok(()));
        assert_eq!(all(&levels), [Info, Info, Warning, Error, Error]);
        assert_eq!(levels.take_back(|wish| wish.clients.is_none(), now), 1);
        assert_eq!(all(&levels), [Info, Info, Warning, Info, Info]);
        assert_eq!(levels.take_back(|_| true, now), 2);
        assert_eq!((all(&levels), levels.take_back(|_| true, now)), (vec![Info; 5], 0));
    }

    #[test]
    fn a_level_for_a_while_is_over_then_and_nobody_looks_for_it_any_more() {
        let (levels, now) = (Levels::new(Level::Info), Instant::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        levels.set(wish(None, Level::Debug, Some(after(600))), now).expect("there is room");
        levels.set(wish(Some("10.0.0.7/32"), Level::Error, Some(after(10))), now).expect("there is room");
        assert_eq!(seen(&levels, &["10.0.0.7"], after(9)), [Level::Error, Level::Debug]);
        assert_eq!(seen(&levels, &["10.0.0.7"], after(10)), [Level::Debug; 2]);
        assert_eq!(levels.wishes(after(599)), [wish(None, Level::Debug, Some(after(600)))]);
        assert!(levels.is_changed.load(Ordering::Relaxed));
        assert_eq!(seen(&levels, &["10.0.0.7"], after(600)), [Level::Info; 2]);
        assert!(!levels.is_changed.load(Ordering::Relaxed));
    }

    #[test]
    fn there_are_only_so_many_levels_and_one_that_is_there_can_be_changed() {
        let (levels, now) = (Levels::new(Level::Info), Instant::now());
        let client = |number: usize| format!("10.0.0.{number}/32");
        let over = now + Duration::from_secs(1);
        for number in 0..WISHES_MAX {
            assert_eq!(levels.set(wish(Some(&client(number)), Level::Debug, Some(over)), now), Ok(()));
        }
        assert_eq!(levels.set(wish(None, Level::Debug, None), now), Err(TooMany));
        assert_eq!(levels.set(wish(Some(&client(3)), Level::Error, Some(over)), now), Ok(()));
        assert_eq!(levels.wishes(now).len(), WISHES_MAX);
        assert_eq!(
            levels.set(wish(None, Level::Debug, None), over),
            Ok(()),
            "those that are over have no place"
        );
    }
}
