//! A cache of directory listings, so that a list of ten thousand names is made once and not for everyone who
//! asks.

use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::tree::Missing;

/// A directory in one state: device, inode, and the seconds and nanoseconds of its mtime and ctime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    folder: (u64, u64),
    modified: (i64, i64),
    changed: (i64, i64),
}

/// The cached listings, the most recently used one last.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<Vec<List>>);

#[derive(Debug)]
struct List {
    state: State,
    /// When the reading of the directory began.
    began: Instant,
    /// A later change would show in the directory's timestamps.
    tells: bool,
    html: Arc<str>,
}

impl State {
    /// That of an open directory.
    ///
    /// # Errors
    /// The system can't say.
    pub(super) fn of(folder: impl AsFd) -> Result<State, Missing> {
        let stat = rustix::fs::fstat(folder)?;
        Ok(State {
            folder: (stat.st_dev, stat.st_ino),
            modified: (stat.st_mtime, stat.st_mtime_nsec as i64),
            changed: (stat.st_ctime, stat.st_ctime_nsec as i64),
        })
    }

    /// Whether a future change would show in the timestamps.
    fn tells(&self, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
        self.modified.0.max(self.changed.0) < now - COARSE_SECONDS
    }
}

impl Kept {
    /// The listing of a directory in this state for a question from `asked`. If the state can't reveal
    /// changes, only questions from before the reading began are served.
    pub(super) fn get(&self, state: &State, asked: Instant) -> Option<Arc<str>> {
        let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        lists.retain(|list| now.duration_since(list.began) < KEPT_FOR);
        let at = lists.iter().position(|list| list.state == *state && (list.tells || list.began >= asked))?;
        let list = lists.remove(at);
        let html = Arc::clone(&list.html);
        lists.push(list);
        Some(html)
    }

    /// Keeps the list of a directory that was in this state when the reading began.
    pub(super) fn put(&self, state: State, began: Instant, html: &Arc<str>) {
        self.put_at(state, began, html, SystemTime::now());
    }

    fn put_at(&self, state: State, began: Instant, html: &Arc<str>, now: SystemTime) {
        let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lists.retain(|list| list.state.folder != state.folder);
        lists.push(List { state, began, tells: state.tells(now), html: Arc::clone(html) });
        let mut bytes: usize = lists.iter().map(|list| list.html.len()).sum();
        while bytes > KEPT_BYTES_MAX {
            bytes -= lists.remove(0).html.len();
        }
    }
}

/// A directory with younger timestamps may change again without changing them.
const COARSE_SECONDS: i64 = 2;

/// The targets of links can change without changing the directory's timestamps, so no listing is older.
const KEPT_FOR: Duration = Duration::from_secs(10);

/// The size of all cached listings: some twenty of the longest.
pub(super) const KEPT_BYTES_MAX: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn state(inode: u64, seconds: i64) -> State {
        State { folder: (1, inode), modified: (seconds, 0), changed: (seconds, 0) }
    }

    fn at(seconds: i64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds as u64)
    }

    #[test]
    fn a_list_serves_until_its_directory_changes() {
        let (kept, began) = (Kept::default(), Instant::now());
        kept.put_at(state(1, 100), began, &"a".into(), at(103));
        let later = began + Duration::from_secs(1);
        assert_eq!(kept.get(&state(1, 100), later).as_deref(), Some("a"));
        assert_eq!(kept.get(&state(1, 101), later), None);
        assert_eq!(kept.get(&state(2, 100), later), None);
    }

    #[test]
    fn a_list_of_a_directory_that_has_just_changed_serves_those_who_asked_before_it_was_begun() {
        let (kept, asked) = (Kept::default(), Instant::now());
        let began = asked + Duration::from_millis(1);
        for now in [100, 101, 102, 50] {
            kept.put_at(state(1, 100), began, &"a".into(), at(now));
            assert_eq!(kept.get(&state(1, 100), asked).as_deref(), Some("a"));
            assert_eq!(kept.get(&state(1, 100), began + Duration::from_millis(1)), None, "at {now}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded_and_what_was_used_last_stays() {
        let (kept, began) = (Kept::default(), Instant::now());
        let long: Arc<str> = "x".repeat(KEPT_BYTES_MAX / 4).into();
        for inode in 0..100 {
            kept.put_at(state(inode, 100), began, &long, at(200));
            assert!(kept.get(&state(0, 100), began).is_some());
        }
        assert_eq!(kept.0.lock().expect("unpoisoned").len(), 4);
        kept.put_at(state(7, 100), began, &"x".repeat(KEPT_BYTES_MAX + 1).into(), at(200));
        assert_eq!(kept.0.lock().expect("unpoisoned").len(), 0);
    }

    #[test]
    fn no_list_is_kept_for_long() {
        let kept = Kept::default();
        let Some(long_ago) = Instant::now().checked_sub(KEPT_FOR) else { return };
        kept.put_at(state(1, 100), long_ago, &"a".into(), at(200));
        assert_eq!(kept.get(&state(1, 100), long_ago), None);
    }
}
