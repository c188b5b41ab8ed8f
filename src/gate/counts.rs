//! Counters of the gate's questions and their answers.
//!
//! Reactors and helpers count here, once per request, so the counters have a lock.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::keeper::LOOK_UP;
use crate::auth::Decision;
use crate::helpers::Stub;
use crate::metrics::{Auth, Histogram, Labelled, Lookup, TIMES};
use crate::token::Answer;

/// What was asked since the start.
pub struct Counts {
    /// Tokens that were looked up, by [`Lookup`].
    pub lookups: Labelled<{ Lookup::NAMES.len() }>,
    /// Their durations, if the answer was not known at once.
    pub lookup_times: Histogram<{ TIMES.len() }>,
    /// What the auth plugin has said, by [`Auth`].
    pub auths: Labelled<{ Auth::NAMES.len() }>,
    /// The counters have one writer at a time.
    writing: Mutex<()>,
}

impl Default for Counts {
    fn default() -> Counts {
        Counts {
            lookups: Labelled::default(),
            lookup_times: Histogram::new(TIMES),
            auths: Labelled::default(),
            writing: Mutex::default(),
        }
    }
}

impl Counts {
    /// Counts what an auth plugin has decided.
    pub(super) fn decided(&self, decision: &Decision) {
        let what = match decision {
            Decision::Admitted(_) => Auth::Ok,
            Decision::Denied(_) => Auth::Denied,
            Decision::Broken(_) => Auth::Error,
            // It is still to be decided.
            Decision::Unproven(_) => return,
        };
        self.write(|| self.auths.count(what as usize));
    }

    /// Counts a token whose answer was known.
    pub(super) fn known(&self) {
        self.write(|| self.lookups.count(Lookup::Cached as usize));
    }

    fn answered(&self, answer: &Answer, took: Duration) {
        let what = match answer {
            Answer::Found(..) => Lookup::Found,
            Answer::Unknown | Answer::Invalid(_) | Answer::Refused(_) => Lookup::Unknown,
            Answer::Broken(_) if took >= LOOK_UP => Lookup::Timeout,
            Answer::Broken(_) => Lookup::Error,
        };
        self.write(|| {
            self.lookups.count(what as usize);
            self.lookup_times.note(took);
        });
    }

    fn write(&self, count: impl FnOnce()) {
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        count();
    }
}

/// A lookup under way. If it is dropped while its client still waits, there was no room for it.
pub(super) struct Looking {
    counts: Arc<Counts>,
    begun: Instant,
    stub: Option<Stub>,
}

impl Looking {
    pub(super) fn begin(counts: &Arc<Counts>, stub: &Stub) -> Looking {
        Looking { counts: Arc::clone(counts), begun: Instant::now(), stub: Some(stub.clone()) }
    }

    /// Takes the answer in.
    pub(super) fn end(mut self, answer: &Answer) {
        self.stub = None;
        self.counts.answered(answer, self.begun.elapsed());
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        if self.stub.as_ref().is_some_and(Stub::is_wanted) {
            self.counts.write(|| self.counts.lookups.count(Lookup::Busy as usize));
        }
    }
}
