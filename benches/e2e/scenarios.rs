//! What is measured: a table of scenarios, and how much work each is in each form of the bench.
//!
//! A new scenario of a known job is a row. Amounts are fixed, not timed, so that the same command does the
//! same work on every machine and for every peer (but for a slow peer's share).

use crate::e2e::pin::Placement;

/// One row.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) job: Job,
    /// Sessions at the same time.
    pub(crate) sessions: u64,
    /// The work of one run, in the job's own units.
    pub(crate) work: u64,
    /// The work of one run in the quick form.
    pub(crate) quick: u64,
    /// What our own binary must stay below in the quick form: system calls per message under strace; of idle
    /// sessions, private bytes per session. Counts, not times, so they hold on any machine; where the batch
    /// depends on who is scheduled first, the limit is that of no batching at all.
    pub(crate) most: f64,
    /// Left out unless the full form is asked for.
    pub(crate) full_only: bool,
}

/// What the load generator does. The unit of work stands beside each.
#[derive(Clone, Copy)]
pub(crate) enum Job {
    /// The target floods the client with writes of this many bytes (bytes of payload, all sessions).
    Down(usize),
    /// The client floods the target with masked frames of this many bytes (bytes of payload, all sessions).
    Up(usize),
    /// Ping-pong with messages of this many bytes (round trips, all sessions).
    Echo(usize),
    /// Open, upgrade, close; `sessions` at a time (sessions).
    Churn,
    /// A desktop on each session: small events up, updates down, at their pace (milliseconds).
    Mix,
    /// Open and hold (no unit; the sessions are the work).
    Idle,
}

impl Scenario {
    /// True when a filter (a part of the name) or no filter at all selects the scenario.
    pub(crate) fn is_selected(&self, filters: &[String]) -> bool {
        filters.is_empty() || filters.iter().any(|filter| self.name.contains(filter.as_str()))
    }

    /// Where the load generator runs.
    pub(crate) fn placement(&self) -> Placement {
        match self.job {
            Job::Echo(_) | Job::Churn if self.sessions == 1 => Placement::Together,
            _ => Placement::Apart,
        }
    }
}

pub(crate) const SCENARIOS: &[Scenario] = &[
    row("down-1k", Job::Down(KIB), 1, 48 * MIB, 2 * MIB, 3.2),
    row("down-16k", Job::Down(16 * KIB), 1, 96 * MIB, 4 * MIB, 3.2),
    row("down-64k", Job::Down(64 * KIB), 1, 96 * MIB, 4 * MIB, 3.5),
    row("down-1m", Job::Down(1024 * KIB), 1, 96 * MIB, 8 * MIB, 56.0),
    full(row("down-64k-x8", Job::Down(64 * KIB), 8, 96 * MIB, 8 * MIB, 3.5)),
    full(row("down-64k-x64", Job::Down(64 * KIB), 64, 96 * MIB, 32 * MIB, 3.5)),
    row("up-64b", Job::Up(64), 1, 16 * MIB, MIB, 0.1),
    row("up-1k", Job::Up(KIB), 1, 64 * MIB, 2 * MIB, 0.2),
    row("up-16k", Job::Up(16 * KIB), 1, 96 * MIB, 4 * MIB, 1.0),
    row("up-64k", Job::Up(64 * KIB), 1, 96 * MIB, 4 * MIB, 3.5),
    row("up-1m", Job::Up(1024 * KIB), 1, 96 * MIB, 8 * MIB, 56.0),
    full(row("up-64k-x8", Job::Up(64 * KIB), 8, 96 * MIB, 8 * MIB, 3.5)),
    full(row("up-64k-x64", Job::Up(64 * KIB), 64, 96 * MIB, 32 * MIB, 3.5)),
    row("echo-32b", Job::Echo(32), 1, 4_000, 400, 6.2),
    row("echo-32b-x256", Job::Echo(32), 256, 25_600, 1_024, 6.2),
    row("churn", Job::Churn, 1, 400, 40, 45.0),
    full(row("churn-x64", Job::Churn, 64, 3_200, 128, 45.0)),
    row("vnc-x50", Job::Mix, 50, 400, 100, 3.5),
    full(row("vnc-x200", Job::Mix, 200, 400, 100, 3.5)),
    full(row("vnc-x500", Job::Mix, 500, 400, 100, 3.5)),
    row("idle", Job::Idle, 1_000, 0, 0, 1024.0),
    full(row("idle-9000", Job::Idle, 9_000, 0, 0, 1024.0)),
];

const fn row(name: &'static str, job: Job, sessions: u64, work: u64, quick: u64, most: f64) -> Scenario {
    Scenario { name, job, sessions, work, quick, most, full_only: false }
}

const fn full(mut scenario: Scenario) -> Scenario {
    scenario.full_only = true;
    scenario
}

const KIB: usize = 1024;
const MIB: u64 = 1024 * 1024;
