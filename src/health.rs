//! Whether new clients are welcome, which balancers and service managers ask for: readiness. Whether the process is
//! alive is another question, which only the admin listener answers.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// What the main thread, the acceptor and the operator have set. Can be read without blocking.
#[derive(Debug, Default)]
pub struct Health {
    phase: AtomicU8,
    /// The operator has taken the service out of the rotation.
    withdrawn: AtomicBool,
    /// All places were taken, and fewer than a twentieth of them are free since.
    full: AtomicBool,
}

/// The phases of the service's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub enum Phase {
    /// Not every reactor serves yet.
    Starting,
    /// Clients are served.
    Serving,
    /// No new clients; existing ones continue.
    Finishing,
    /// Clients have been asked to go.
    Closing,
}

/// One condition of being ready.
#[derive(Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name in `/readyz?verbose`.
    pub name: &'static str,
    /// Why it does not hold; `None` if it does.
    pub failure: Option<String>,
}

impl Health {
    /// The current phase.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Starting,
            1 => Phase::Serving,
            2 => Phase::Finishing,
            _ => Phase::Closing,
        }
    }

    /// Enters a phase. It never goes back.
    pub fn enter(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::Relaxed);
    }

    /// Takes the service out of the rotation, or back into it.
    pub fn withdraw(&self, withdrawn: bool) {
        self.withdrawn.store(withdrawn, Ordering::Relaxed);
    }

    /// Whether the operator has taken it out.
    pub fn is_withdrawn(&self) -> bool {
        self.withdrawn.load(Ordering::Relaxed)
    }

    /// Notes that there was no place for a client.
    pub fn note_full(&self) {
        self.full.store(true, Ordering::Relaxed);
    }

    /// Whether the service counts as full with `live` connections: from when all places are taken until a
    /// twentieth is free again, so that a load balancer does not flap.
    pub fn is_full(&self, live: usize, most: usize) -> bool {
        let full = live >= most || live * 20 >= most * 19 && self.full.load(Ordering::Relaxed);
        self.full.store(full, Ordering::Relaxed);
        full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_service_is_ready_again_when_a_twentieth_is_free() {
        let health = Health::default();
        let table = [(99, false), (100, true), (99, true), (95, true), (94, false), (99, false), (150, true)];
        for (live, full) in table {
            assert_eq!(health.is_full(live, 100), full, "{live}");
        }
        health.is_full(0, 100);
        health.note_full();
        assert!(health.is_full(97, 100), "somebody was turned away between two looks");
        // With one place it is that place.
        assert!(health.is_full(1, 1) && !health.is_full(0, 1));
    }

    #[test]
    fn a_phase_never_goes_back() {
        let health = Health::default();
        for (entered, phase) in [
            (Phase::Serving, Phase::Serving),
            (Phase::Closing, Phase::Closing),
            (Phase::Finishing, Phase::Closing),
            (Phase::Serving, Phase::Closing),
        ] {
            health.enter(entered);
            assert_eq!(health.phase(), phase);
        }
    }
}
