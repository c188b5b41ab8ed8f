//! The comparison: every proxy in turn (A B C, B C A, …), so that what the machine does besides falls on
//! all of them, and every ratio taken within one round.

use crate::e2e::options::{Form, Options};
use crate::e2e::peers::{Found, PLAIN, Proxy};
use crate::e2e::pin::Cores;
use crate::e2e::run::{Figure, run};
use crate::e2e::scenarios::{Job, Scenario};
use crate::e2e::stats::{Ratio, median};
use rustix::process::{Resource, getrlimit, setrlimit};
use std::io;

/// What one proxy did in one scenario.
pub(crate) struct Row {
    pub(crate) scenario: &'static str,
    pub(crate) peer: &'static str,
    pub(crate) command: Vec<String>,
    /// The main figure first.
    pub(crate) figures: Vec<Column>,
    pub(crate) failure: Option<String>,
}

/// One figure over all rounds.
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) values: Vec<f64>,
    pub(crate) median: f64,
    /// To the plain relay.
    pub(crate) ratio: Option<Ratio>,
}

/// Runs one scenario through all proxies, and returns their rows in the order of `found`.
pub(crate) fn compare(
    scenario: &'static Scenario,
    found: &[Found],
    cores: Option<&Cores>,
    options: &Options,
) -> Vec<Row> {
    let mut lanes: Vec<Lane> =
        found.iter().map(|found| Lane::start(found, scenario, options, cores)).collect();
    for round in 0..options.rounds() {
        for turn in 0..lanes.len() {
            let index = (round + turn) % lanes.len();
            lanes[index].run(scenario);
        }
    }
    let plain = lanes.iter().find(|lane| lane.found.peer.name == PLAIN).map(|lane| lane.runs.clone());
    let plain = plain.unwrap_or_default();
    lanes.into_iter().map(|lane| lane.into_row(scenario, &plain)).collect()
}

/// Lifts the soft limit of open files to the hard one (proxies inherit it) and returns it.
pub(crate) fn raise_file_limit() -> io::Result<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)?;
    Ok(limit.current.unwrap_or(u64::MAX))
}

/// One proxy's way through the rounds of a scenario.
struct Lane<'f> {
    found: &'f Found,
    proxy: Option<Proxy<'f>>,
    command: Vec<String>,
    sessions: u64,
    work: u64,
    /// One entry per round; a lane that failed has no more.
    runs: Vec<Vec<Figure>>,
    failure: Option<String>,
    cores: Option<&'f Cores>,
}

impl<'f> Lane<'f> {
    fn start(found: &'f Found, scenario: &Scenario, options: &Options, cores: Option<&'f Cores>) -> Lane<'f> {
        let (sessions, work) = amounts(scenario, found, options);
        let mut lane = Lane {
            found,
            proxy: None,
            command: Vec::new(),
            sessions,
            work,
            runs: Vec::new(),
            failure: None,
            cores,
        };
        lane.restart(scenario);
        lane
    }

    fn restart(&mut self, scenario: &Scenario) {
        self.proxy = None;
        let start = || Proxy::start(self.found, &[]);
        let started = match self.cores {
            Some(cores) => cores.place(scenario.placement(), start).and_then(|started| started),
            None => start(),
        };
        match started {
            Ok(proxy) => {
                self.command.clone_from(&proxy.command);
                self.proxy = Some(proxy);
            }
            Err(error) => self.failure = Some(error.to_string()),
        }
    }

    fn run(&mut self, scenario: &Scenario) {
        if matches!(scenario.job, Job::Idle) && !self.runs.is_empty() {
            // Memory is asked of a process that has not lived before.
            self.restart(scenario);
        }
        let (Some(proxy), None) = (&self.proxy, &self.failure) else { return };
        match run(scenario, self.sessions, self.work, proxy) {
            Ok(outcome) => self.runs.push(outcome.figures),
            Err(error) => self.failure = Some(format!("{error}; {}", proxy.last_words())),
        }
    }

    fn into_row(self, scenario: &Scenario, plain: &[Vec<Figure>]) -> Row {
        let count = self.runs.first().map_or(0, Vec::len);
        let figures = (0..count)
            .map(|index| {
                let values: Vec<f64> = self.runs.iter().map(|run| run[index].value).collect();
                let theirs: Vec<f64> = plain.iter().take(values.len()).map(|run| run[index].value).collect();
                let Figure { name, comparable, .. } = self.runs[0][index];
                let ratio = if comparable { Ratio::of_pairs(&values, &theirs) } else { None };
                Column { name, median: median(&values), values, ratio }
            })
            .collect();
        Row {
            scenario: scenario.name,
            peer: self.found.peer.name,
            command: self.command,
            figures,
            failure: self.failure,
        }
    }
}

/// Sessions and work of one run for this peer, in the form asked for.
pub(crate) fn amounts(scenario: &Scenario, found: &Found, options: &Options) -> (u64, u64) {
    let quick = options.form == Form::Quick;
    let share = found.peer.share;
    let work = if quick { scenario.quick } else { scenario.work };
    let (sessions, work) = match scenario.job {
        Job::Down(_) | Job::Up(_) => (scenario.sessions, options.bytes.unwrap_or(work)),
        Job::Idle if quick => (scenario.sessions.min(QUICK_IDLE_SESSIONS) / share, 0),
        Job::Idle => (scenario.sessions / share, 0),
        _ => (scenario.sessions, work),
    };
    let fixed = quick || matches!(scenario.job, Job::Mix);
    (sessions.max(1), if fixed { work } else { work / share })
}

const QUICK_IDLE_SESSIONS: u64 = 200;
