//! `--token-cache`: what a service has found stays valid for a while.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Answer, Terms, TokenPlugin};

/// Caches the targets that a plugin has found, and no other answers.
pub(super) struct Cached {
    plugin: Box<dyn TokenPlugin>,
    time: Duration,
    found: Mutex<Found>,
}

/// Targets by their tokens. All stay valid for the same time, so they expire in the order in which they came.
#[derive(Default)]
struct Found {
    targets: HashMap<Arc<str>, (Answer, Instant)>,
    order: VecDeque<(Arc<str>, Instant)>,
}

impl Cached {
    pub(super) fn new(plugin: Box<dyn TokenPlugin>, time: Duration) -> Cached {
        Cached { plugin, time, found: Mutex::default() }
    }

    fn look(&self, token: &str, now: Instant) -> Option<Answer> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.targets.get(token).filter(|(_, until)| now < *until).map(|(answer, _)| answer.clone())
    }

    /// The time counts from when the service was asked, since its answer may have changed after that.
    fn keep(&self, token: &str, answer: &Answer, asked: Instant, now: Instant) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.sweep(now);
        let Some(until) = asked.checked_add(self.time).filter(|&until| now < until) else { return };
        if found.targets.contains_key(token) {
            return;
        }
        if found.targets.len() >= ENTRIES_MAX
            && let Some((oldest, _)) = found.order.pop_front()
        {
            found.targets.remove(&oldest);
        }
        let token: Arc<str> = token.into();
        found.order.push_back((Arc::clone(&token), until));
        found.targets.insert(token, (answer.clone(), until));
    }
}

impl Found {
    fn sweep(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(_, until)| *until <= now) {
            let Some((token, _)) = self.order.pop_front() else { return };
            self.targets.remove(&token);
        }
    }
}

impl TokenPlugin for Cached {
    fn look_up(&self, token: &str) -> Answer {
        self.look_up_until(token, None, Instant::now() + super::LOOK_UP)
    }

    fn look_up_until(&self, token: &str, _: Option<IpAddr>, deadline: Instant) -> Answer {
        let asked = Instant::now();
        // It may have been found while this question waited.
        if let Some(answer) = self.known(token) {
            return answer;
        }
        // What is kept serves other clients.
        let answer = self.plugin.look_up_until(token, None, deadline);
        if let Answer::Found(_, Terms { expires: None, .. }) = &answer {
            self.keep(token, &answer, asked, Instant::now());
        }
        answer
    }

    fn known(&self, token: &str) -> Option<Answer> {
        self.look(token, Instant::now())
    }

    fn may_tell(&self) -> bool {
        self.plugin.may_tell()
    }

    fn files(&self) -> Vec<PathBuf> {
        self.plugin.files()
    }
}

/// Tokens that are cached; a new one replaces the oldest. Each costs about 200 bytes.
const ENTRIES_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::Version;
    use crate::target::Target;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const TELLING: Terms = Terms { expires: None, header: Some(Version::V2) };

    /// Counts how often it is asked; knows tokens that begin with a `k` or a `t`.
    #[derive(Default)]
    struct Counter(Arc<AtomicUsize>);

    impl TokenPlugin for Counter {
        fn look_up(&self, token: &str) -> Answer {
            self.0.fetch_add(1, Ordering::Relaxed);
            match &token[..1] {
                "k" => Answer::to(Target::Unix(token.into())),
                "t" => Answer::Found(Target::Unix(token.into()), TELLING),
                _ => Answer::Unknown,
            }
        }
    }

    fn found(path: &str) -> Answer {
        Answer::to(Target::Unix(path.into()))
    }

    fn cached(time: Duration) -> (Cached, Arc<AtomicUsize>) {
        let counter = Counter::default();
        let count = Arc::clone(&counter.0);
        (Cached::new(Box::new(counter), time), count)
    }

    #[test]
    fn what_was_found_is_good_for_its_time_and_the_rest_is_asked_each_time() {
        let (cache, count) = cached(Duration::from_secs(600));
        for _ in 0..3 {
            assert_eq!(cache.look_up("k"), Answer::to(Target::Unix("k".into())));
            assert_eq!(cache.look_up("t"), Answer::Found(Target::Unix("t".into()), TELLING));
            assert_eq!(cache.look_up("x"), Answer::Unknown);
        }
        assert_eq!(count.load(Ordering::Relaxed), 1 + 1 + 3);
        let later = Instant::now() + Duration::from_secs(601);
        assert_eq!(cache.look("k", later), None);
        // It counts from the question, however long the answer took.
        let asked = Instant::now();
        cache.keep("slow", &found("s"), asked, asked + Duration::from_secs(500));
        assert!(cache.look("slow", asked + Duration::from_secs(599)).is_some());
        assert!(cache.look("slow", asked + Duration::from_secs(600)).is_none());
        cache.keep("late", &found("s"), asked, asked + Duration::from_secs(600));
        assert!(cache.look("late", asked).is_none());
    }

    #[test]
    fn there_are_never_more_than_may_be_and_what_is_over_goes() {
        let (cache, _) = cached(Duration::from_secs(600));
        for number in 0..ENTRIES_MAX + 5 {
            cache.look_up(&format!("k{number}"));
        }
        let now = Instant::now();
        assert!(cache.look("k4", now).is_none() && cache.look("k5", now).is_some());
        {
            let found = cache.found.lock().unwrap();
            assert_eq!((found.targets.len(), found.order.len()), (ENTRIES_MAX, ENTRIES_MAX));
        }
        let later = now + Duration::from_secs(700);
        cache.keep("new", &found("n"), later, later);
        let found = cache.found.lock().unwrap();
        assert_eq!((found.targets.len(), found.order.len()), (1, 1));
    }
}
