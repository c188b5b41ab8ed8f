//! What is measured: a table of scenarios, and how much work each is in each form of the bench.
//!
//! A new scenario of a known job is a row. Amounts are fixed, not timed, so that the same command does the
//! same work on every machine and for every peer (but for a slow peer's share).

use crate::options::Form;
use crate::proxies::peers::{BARE, Peer, TWO_WORKERS};
use crate::proxies::pin::Placement;

/// One row.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) job: Job,
    /// Sessions at the same time.
    pub(crate) sessions: u64,
    /// The work of one run, in the job's own units.
    pub(crate) work: u64,
    /// Sessions and work of one run in the quick form.
    pub(crate) quick: (u64, u64),
    /// What our own binary must stay below in the quick form, over ws and over wss: system calls per message
    /// under strace; of idle sessions, private bytes per session. Counts, not times, so they hold on any
    /// machine; where a batch depends on who is scheduled first, the limit is that of no batching at all.
    /// Infinite where another row stands for this one.
    pub(crate) most: [f64; 2],
    /// Left out unless the full form (or the quick one, which has less work) is asked for.
    pub(crate) full_only: bool,
    /// Whether the scheduler places the proxy and the load generator: on two cores to wake another thread costs an
    /// interrupt, which is not seen on one.
    pub(crate) is_unpinned: bool,
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
    /// Open and hold, with one session active among the idle (round trips of that one, in each pair of
    /// samples).
    Idle,
}

/// How the client speaks to the proxy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wire {
    Ws,
    Wss,
}

/// A scenario on a wire.
#[derive(Clone, Copy)]
pub(crate) struct Trial {
    pub(crate) scenario: &'static Scenario,
    pub(crate) wire: Wire,
}

impl Wire {
    pub(crate) const BOTH: [Wire; 2] = [Wire::Ws, Wire::Wss];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Wire::Ws => "ws",
            Wire::Wss => "wss",
        }
    }
}

impl Trial {
    /// All that the form has and a filter (a part of the name, like `ws/` or `wss/echo`), or no filter at all,
    /// selects.
    pub(crate) fn select(form: Form, filters: &[String]) -> Vec<Trial> {
        Wire::BOTH
            .iter()
            .flat_map(|&wire| SCENARIOS.iter().map(move |scenario| Trial { scenario, wire }))
            .filter(|trial| form != Form::Usual || !trial.scenario.full_only)
            .filter(|trial| {
                let name = trial.name();
                filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()))
            })
            .collect()
    }

    pub(crate) fn name(self) -> String {
        format!("{}/{}", self.wire.name(), self.scenario.name)
    }

    /// Whether this proxy takes part.
    pub(crate) fn suits(self, peer: &Peer) -> bool {
        let has_use = match peer.name {
            BARE => matches!(self.scenario.job, Job::Churn),
            TWO_WORKERS => self.scenario.is_unpinned,
            _ => true,
        };
        peer.start(self.wire).is_some() && has_use
    }

    /// Where the load generator runs.
    pub(crate) fn placement(self) -> Placement {
        match self.scenario.job {
            _ if self.scenario.is_unpinned => Placement::Anywhere,
            Job::Echo(_) | Job::Churn if self.scenario.sessions == 1 => Placement::Together,
            Job::Idle => Placement::Together,
            _ => Placement::Apart,
        }
    }

    /// Our own limit in the quick form.
    pub(crate) fn most(self) -> f64 {
        self.scenario.most[self.wire as usize]
    }
}

pub(crate) const SCENARIOS: &[Scenario] = &[
    row("down-128b", Job::Down(128), 1, 16 * MIB).quick(1, MIB).most(3.2, 3.2),
    row("down-4k", Job::Down(4 * KIB), 1, 40 * MIB).quick(1, 2 * MIB).most(3.2, 3.2),
    row("down-64k", Job::Down(64 * KIB), 1, 128 * MIB).quick(1, 4 * MIB).most(3.5, 8.0),
    row("down-1m", Job::Down(1024 * KIB), 1, 128 * MIB).quick(1, 8 * MIB).most(56.0, 128.0),
    full(row("down-128b-x8", Job::Down(128), 8, 16 * MIB).quick(8, 4 * MIB)),
    full(row("down-4k-x8", Job::Down(4 * KIB), 8, 128 * MIB).quick(8, 4 * MIB)),
    full(row("down-64k-x8", Job::Down(64 * KIB), 8, 128 * MIB).quick(8, 8 * MIB).most(3.5, 8.0)),
    full(row("down-1m-x8", Job::Down(1024 * KIB), 8, 128 * MIB).quick(8, 8 * MIB)),
    full(row("down-128b-x64", Job::Down(128), 64, 16 * MIB).quick(16, 4 * MIB)),
    full(row("down-4k-x64", Job::Down(4 * KIB), 64, 256 * MIB).quick(16, 4 * MIB)),
    full(row("down-64k-x64", Job::Down(64 * KIB), 64, 512 * MIB).quick(16, 4 * MIB)),
    full(row("down-1m-x64", Job::Down(1024 * KIB), 64, 512 * MIB).quick(16, 16 * MIB)),
    row("up-64b", Job::Up(64), 1, 16 * MIB).quick(1, MIB).most(0.01, 0.01),
    row("up-1k", Job::Up(KIB), 1, 40 * MIB).quick(1, 2 * MIB).most(0.1, 0.1),
    row("up-16k", Job::Up(16 * KIB), 1, 128 * MIB).quick(1, 4 * MIB).most(1.0, 4.0),
    row("up-64k", Job::Up(64 * KIB), 1, 128 * MIB).quick(1, 4 * MIB).most(3.5, 12.0),
    row("up-1m", Job::Up(1024 * KIB), 1, 128 * MIB).quick(1, 8 * MIB).most(56.0, 192.0),
    full(row("up-64k-x8", Job::Up(64 * KIB), 8, 128 * MIB).quick(8, 8 * MIB).most(3.5, 12.0)),
    full(row("up-64k-x64", Job::Up(64 * KIB), 64, 512 * MIB).quick(16, 4 * MIB)),
    row("echo-32b", Job::Echo(32), 1, 4_000).quick(1, 400).most(6.2, 6.2),
    row("echo-32b-x256", Job::Echo(32), 256, 25_600).quick(64, 640).most(6.2, 6.2),
    row("vnc-x50", Job::Mix, 50, 400).quick(20, 100).most(3.5, 5.0),
    full(row("vnc-x200", Job::Mix, 200, 400).quick(50, 50)),
    full(row("vnc-x500", Job::Mix, 500, 400).quick(50, 50)),
    full(row("vnc-x1000", Job::Mix, 1_000, 400).quick(50, 50)),
    row("idle-1000", Job::Idle, 1_000, 400).quick(1_000, 50).most(1024.0, 8192.0),
    full(row("idle-5000", Job::Idle, 5_000, 400).quick(100, 50)),
    full(row("idle-9000", Job::Idle, 9_000, 400).quick(100, 50)),
    row("churn", Job::Churn, 1, 400).quick(1, 40).most(45.0, 60.0),
    full(row("churn-x64", Job::Churn, 64, 3_200).quick(64, 128).most(45.0, 60.0)),
    unpinned(full(row("down-64k-unpinned-x64", Job::Down(64 * KIB), 64, 512 * MIB).quick(16, 4 * MIB))),
    unpinned(full(row("up-64k-unpinned-x64", Job::Up(64 * KIB), 64, 512 * MIB).quick(16, 4 * MIB))),
    unpinned(full(row("echo-unpinned-x256", Job::Echo(32), 256, 25_600).quick(64, 640))),
    unpinned(row("churn-unpinned", Job::Churn, 1, 400).quick(1, 40)),
    unpinned(full(row("churn-unpinned-x64", Job::Churn, 64, 3_200).quick(64, 128))),
];

const fn row(name: &'static str, job: Job, sessions: u64, work: u64) -> Scenario {
    Scenario {
        name,
        job,
        sessions,
        work,
        quick: (1, 1),
        most: [f64::INFINITY; 2],
        full_only: false,
        is_unpinned: false,
    }
}

const fn full(mut scenario: Scenario) -> Scenario {
    scenario.full_only = true;
    scenario
}

const fn unpinned(mut scenario: Scenario) -> Scenario {
    scenario.is_unpinned = true;
    scenario
}

impl Scenario {
    const fn quick(mut self, sessions: u64, work: u64) -> Scenario {
        self.quick = (sessions, work);
        self
    }

    const fn most(mut self, ws: f64, wss: f64) -> Scenario {
        self.most = [ws, wss];
        self
    }
}

const KIB: usize = 1024;
const MIB: u64 = 1024 * 1024;
