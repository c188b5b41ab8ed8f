//! Liveness: the main thread and each reactor are asked, and answer when they get to it. A recent answer is
//! reused, so that any number of probes causes no load.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Gateway;
use crate::reactor::{Control, Vitals};

/// Who was asked, and what came of it.
pub(super) struct Pulse(Mutex<State>);

struct State {
    main: Party,
    reactors: Vec<Party>,
    vitals: Vec<Option<Vitals>>,
    to_here: (Sender<Vitals>, Sender<()>),
    answers: (Receiver<Vitals>, Receiver<()>),
    /// When the last look ended.
    looked_at: Option<Instant>,
}

/// One who is asked.
#[derive(Clone, Copy, Default)]
struct Party {
    /// Since when a question waits for its answer.
    asked_at: Option<Instant>,
    /// How long the last one took, or has taken up to now.
    took: Duration,
    /// It has ended, so there is nothing to answer.
    has_ended: bool,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings {
    /// Those that have not answered in time, in words; empty if all have.
    pub(super) silent: Vec<String>,
    /// What each reactor has said last, and how long that took.
    pub(super) reactors: Vec<(Option<Vitals>, Duration)>,
}

impl Pulse {
    /// For this many reactors.
    pub(super) fn new(reactors: usize) -> Pulse {
        let ((vitals_here, vitals), (here, main)) = (channel(), channel());
        Pulse(Mutex::new(State {
            main: Party::default(),
            reactors: vec![Party::default(); reactors],
            vitals: vec![None; reactors],
            to_here: (vitals_here, here),
            answers: (vitals, main),
            looked_at: None,
        }))
    }

    /// Asks all, and waits for their answers for [`PATIENCE`] at most.
    pub(super) fn feel(&self, gateway: &Gateway) -> Findings {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked_at.is_none_or(|looked_at| looked_at.elapsed() >= GOOD_FOR) {
            state.ask(gateway);
            state.listen();
            state.looked_at = Some(Instant::now());
        }
        state.findings()
    }
}

impl State {
    /// Asks each who has no question before it.
    fn ask(&mut self, gateway: &Gateway) {
        let now = Instant::now();
        if self.main.asked_at.is_none() {
            self.main.asked_at = Some(now);
            (gateway.ask_main)(self.to_here.1.clone());
        }
        for (party, reactor) in self.reactors.iter_mut().zip(&gateway.reactors) {
            if party.asked_at.is_none() && !party.has_ended {
                let heard = reactor.ask(Control::Probe(self.to_here.0.clone()));
                party.has_ended = !heard;
                party.asked_at = heard.then_some(now);
            }
        }
    }

    /// Receives answers until all are there, or time is up.
    fn listen(&mut self) {
        let until = Instant::now() + PATIENCE;
        let left = || until.saturating_duration_since(Instant::now());
        while self.main.asked_at.is_some() && self.answers.1.recv_timeout(left()).is_ok() {
            self.main.answer();
        }
        while self.reactors.iter().any(|party| party.asked_at.is_some()) {
            let Ok(vitals) = self.answers.0.recv_timeout(left()) else { break };
            if let (Some(party), Some(kept)) =
                (self.reactors.get_mut(vitals.reactor), self.vitals.get_mut(vitals.reactor))
            {
                party.answer();
                *kept = Some(vitals);
            }
        }
    }

    fn findings(&self) -> Findings {
        let silence = |party: &Party| party.asked_at.map(|asked_at| asked_at.elapsed()).unwrap_or_default();
        let words = |name: String, party: &Party| {
            let silence = silence(party);
            (!silence.is_zero())
                .then(|| format!("{name} has not answered for {:.1} s", silence.as_secs_f64()))
        };
        let reactors = self.reactors.iter().enumerate();
        let silent = reactors.filter_map(|(index, party)| words(format!("worker {index}"), party));
        let found = self.vitals.iter().zip(&self.reactors);
        Findings {
            silent: words("the main thread".into(), &self.main).into_iter().chain(silent).collect(),
            reactors: found.map(|(vitals, party)| (*vitals, party.took.max(silence(party)))).collect(),
        }
    }
}

impl Party {
    fn answer(&mut self) {
        self.took = self.asked_at.take().map(|asked_at| asked_at.elapsed()).unwrap_or_default();
    }
}

/// A thread that takes longer than this to answer is not alive.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long an answer is valid. With the patience it is less than the two seconds in which a probe finds out.
const GOOD_FOR: Duration = Duration::from_millis(500);
