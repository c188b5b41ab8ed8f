//! One lookup for all who ask for the same token at the same time.
//!
//! Those who come while it is under way get the answer of the next one, which begins when it has ended: so
//! nobody gets an answer that was read before they asked, and a token whose lookup hangs blocks one thread.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::helpers::{Lane, Stub};
use crate::token::Answer;

/// Lookups that wait or are under way.
#[derive(Clone, Default)]
pub(super) struct Flights(Arc<Mutex<Waiting>>);

type Waiting = HashMap<Box<str>, Vec<Waiter>>;

/// One who waits for the answer.
pub(super) struct Waiter {
    /// Whether the client is still there.
    pub(super) stub: Stub,
    /// Receives the answer; dropped if there will be none.
    pub(super) to: Box<dyn FnOnce(Answer) + Send>,
}

impl Flights {
    /// Has the token looked up by `look_up`, on `lane`. A waiter for whom there is no room is dropped.
    pub(super) fn ask(
        &self,
        token: &str,
        waiter: Waiter,
        lane: &Lane,
        look_up: impl Fn(&str) -> Answer + Send + 'static,
    ) {
        let mut left = Vec::new();
        {
            let mut flights = self.lock();
            if let Some(waiting) = flights.get_mut(token) {
                if waiting.len() >= WAITING_SWEPT && waiting.len() == waiting.capacity() {
                    // Waiters that have left make room before the list grows.
                    left.extend(waiting.extract_if(.., |waiter| !waiter.stub.is_wanted()));
                }
                if waiting.len() < WAITING_MAX {
                    waiting.push(waiter);
                } else {
                    left.push(waiter);
                }
                return;
            }
            flights.insert(token.into(), vec![waiter]);
        }
        let flight = Flight { flights: self.clone(), token: token.into() };
        let watch = Flight { flights: self.clone(), token: token.into() };
        // Dropping a job that found no room removes the flight with all who wait for it.
        let guard = Guard(Some(flight));
        let _ = lane.submit_while(move || watch.is_wanted(), move || guard.fly(look_up));
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A token that is asked for.
struct Flight {
    flights: Flights,
    token: Box<str>,
}

impl Flight {
    fn is_wanted(&self) -> bool {
        let flights = self.flights.lock();
        flights.get(&self.token).is_some_and(|waiting| waiting.iter().any(|waiter| waiter.stub.is_wanted()))
    }

    /// Takes everyone who is waiting now. If there is no one, the flight is over.
    fn board(&self) -> Option<Vec<Waiter>> {
        let mut flights = self.flights.lock();
        let waiting = flights.get_mut(&self.token)?;
        let taken = std::mem::take(waiting);
        if taken.is_empty() {
            flights.remove(&self.token);
            return None;
        }
        Some(taken)
    }

    /// No answer will come.
    fn cancel(&self) {
        // Dropped without the lock, since dropping notifies the waiting connections.
        let waiting = self.flights.lock().remove(&self.token);
        drop(waiting);
    }
}

/// The flight in a job that may never run.
struct Guard(Option<Flight>);

impl Guard {
    fn fly(mut self, look_up: impl Fn(&str) -> Answer) {
        let Some(flight) = self.0.take() else { return };
        while let Some(waiting) = flight.board() {
            if !waiting.iter().any(|waiter| waiter.stub.is_wanted()) {
                continue;
            }
            let answer = look_up(&flight.token);
            for waiter in waiting {
                (waiter.to)(answer.clone());
            }
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(flight) = self.0.take() {
            flight.cancel();
        }
    }
}

/// Clients that wait for one token.
const WAITING_MAX: usize = 4096;

/// From this many waiting clients on, those that have left are removed.
const WAITING_SWEPT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helpers::Ticket;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Duration;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn waiter(ticket: &Ticket, done: &Sender<Answer>) -> Waiter {
        let done = done.clone();
        Waiter { stub: ticket.stub(), to: Box::new(move |answer| drop(done.send(answer))) }
    }

    /// A lookup that says when it begins and waits until it may end.
    fn gated()
    -> (impl Fn(&str) -> Answer + Clone + Send + 'static, Receiver<()>, Sender<()>, Arc<AtomicUsize>) {
        let (started, starts) = channel();
        let (release, gate) = channel::<()>();
        let (gate, count) = (Arc::new(Mutex::new(gate)), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&count);
        let look_up = move |token: &str| {
            let number = counted.fetch_add(1, Ordering::Relaxed);
            started.send(()).expect("the test listens");
            let _ = gate.lock().unwrap().recv_timeout(PATIENCE);
            Answer::Refused(format!("{token} {number}"))
        };
        (look_up, starts, release, count)
    }

    #[test]
    fn those_who_ask_while_a_look_up_is_on_its_way_get_the_next_answer_together() {
        let (flights, lane) = (Flights::default(), Lane::new("test", 4, 10));
        let (look_up, starts, release, count) = gated();
        let (ticket, (done, answers)) = (Ticket::default(), channel());
        flights.ask("a", waiter(&ticket, &done), &lane, look_up.clone());
        starts.recv_timeout(PATIENCE).expect("a lookup");
        for _ in 0..100 {
            flights.ask("a", waiter(&ticket, &done), &lane, look_up.clone());
        }
        release.send(()).unwrap();
        assert_eq!(answers.recv_timeout(PATIENCE), Ok(Answer::Refused("a 0".into())));
        starts.recv_timeout(PATIENCE).expect("another lookup");
        release.send(()).unwrap();
        for _ in 0..100 {
            assert_eq!(answers.recv_timeout(PATIENCE), Ok(Answer::Refused("a 1".into())));
        }
        assert_eq!(count.load(Ordering::Relaxed), 2);
        while !flights.lock().is_empty() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_flight_without_room_in_the_lane_drops_those_who_wait() {
        let (flights, lane) = (Flights::default(), Lane::new("test", 1, 1));
        let (look_up, starts, release, _) = gated();
        let (ticket, (done, answers)) = (Ticket::default(), channel());
        flights.ask("a", waiter(&ticket, &done), &lane, look_up.clone());
        starts.recv_timeout(PATIENCE).expect("a lookup");
        flights.ask("b", waiter(&ticket, &done), &lane, look_up.clone());
        let (done_c, answers_c) = channel();
        flights.ask("c", waiter(&ticket, &done_c), &lane, look_up.clone());
        drop(done_c);
        assert!(answers_c.recv_timeout(PATIENCE).is_err(), "dropped");
        assert!(!flights.lock().contains_key("c"));
        // When the client of `b` leaves, its place is free.
        let other = Ticket::default();
        drop(ticket);
        let (done_d, answers_d) = channel();
        flights.ask("d", waiter(&other, &done_d), &lane, look_up);
        assert!(!flights.lock().contains_key("b"));
        release.send(()).unwrap();
        starts.recv_timeout(PATIENCE).expect("the lookup of d");
        release.send(()).unwrap();
        assert_eq!(answers_d.recv_timeout(PATIENCE), Ok(Answer::Refused("d 1".into())));
        drop((done, answers));
    }

    #[test]
    fn clients_that_have_left_do_not_pile_up_behind_a_look_up_that_hangs() {
        let (flights, lane) = (Flights::default(), Lane::new("test", 1, 1));
        let (look_up, starts, release, count) = gated();
        let (done, _answers) = channel();
        let stays = Ticket::default();
        flights.ask("a", waiter(&stays, &done), &lane, look_up.clone());
        starts.recv_timeout(PATIENCE).expect("a lookup");
        for _ in 0..100_000 {
            let leaves = Ticket::default();
            flights.ask("a", waiter(&leaves, &done), &lane, look_up.clone());
        }
        assert!(flights.lock()["a"].len() < 1000);
        release.send(()).unwrap();
        while !flights.lock().is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(count.load(Ordering::Relaxed), 1, "looked up for nobody");
        drop(stays);
    }
}
