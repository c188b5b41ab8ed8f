//! How services are asked: the answer comes now, later or not at all. Equal questions share one flight, so
//! that a thousand of them cost one answer.

use std::time::{Duration, Instant};

/// Takes an answer, on whatever thread it was found.
pub type ReplyTo<T> = Box<dyn FnOnce(T) + Send>;

/// What a service returns when it is asked.
#[derive(Debug)]
pub enum Asked<T> {
    /// This is the answer; [`ReplyTo`] is not called.
    Now(T),
    /// The answer comes from a helper.
    Later,
    /// There are too many questions. No answer will come; the caller may ask again.
    Busy,
}

/// A question that is being answered, and those who wait for it.
pub struct Flight<T> {
    since: Instant,
    waiting: Vec<ReplyTo<T>>,
}

impl<T: Clone> Flight<T> {
    /// The question is asked now, for this one.
    pub fn begin(to: ReplyTo<T>) -> Flight<T> {
        Flight { since: Instant::now(), waiting: vec![to] }
    }

    /// A flight with no one waiting; for tests.
    #[cfg(any(test, feature = "testing"))]
    pub fn empty() -> Flight<T> {
        Flight { since: Instant::now(), waiting: Vec::new() }
    }

    /// Another one has the same question.
    pub fn join(&mut self, to: ReplyTo<T>) {
        self.waiting.push(to);
    }

    /// Whether the answer has taken so long that it may never come.
    pub fn is_hanging(&self, limit: Duration) -> bool {
        self.since.elapsed() > limit
    }

    /// How many are waiting.
    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Makes it as if the question had been asked that much earlier.
    #[cfg(test)]
    pub fn age(&mut self, by: Duration) {
        self.since = self.since.checked_sub(by).expect("the machine runs for longer");
    }

    /// Gives the answer to all who wait. No lock may be held meanwhile.
    pub fn land(self, answer: &T) {
        for to in self.waiting {
            to(answer.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn all_who_joined_a_flight_get_its_answer() {
        let (done, answers) = mpsc::channel();
        let to = || {
            let done = done.clone();
            Box::new(move |answer: u8| done.send(answer).expect("the test listens"))
        };
        let mut flight = Flight::begin(to());
        flight.join(to());
        assert!(!flight.is_hanging(Duration::from_secs(600)));
        assert!(flight.is_hanging(Duration::ZERO));
        flight.land(&7);
        drop(done);
        assert_eq!(answers.iter().collect::<Vec<u8>>(), [7, 7]);
    }
}
