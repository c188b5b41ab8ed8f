//! The comparison: round by round every proxy has its turn, in an order that is redrawn each time, so that
//! what the machine does besides falls on all of them, and every ratio is taken within one round.

use crate::figures::stats::{Random, Ratio, median};
use crate::options::{Form, Options};
use crate::proxies::found::Found;
use crate::proxies::kit::Kit;
use crate::proxies::peers::{HAPROXY, PLAIN, Role};
use crate::proxies::pin::{Cores, Placement};
use crate::proxies::procfs::settled_cpu_s;
use crate::proxies::proxy::Proxy;
use crate::run::{Amount, Figure, Kind, Pairs, run};
use crate::scenarios::{Job, Trial, Wire};
use rustix::process::{Resource, getrlimit, setrlimit};
use std::io;
use std::time::{Duration, Instant};

/// What one proxy did in one trial.
pub(crate) struct Row {
    /// The trial's name, the sessions that this proxy had, and whether they are fewer than the trial's.
    pub(crate) trial: String,
    pub(crate) sessions: u64,
    pub(crate) is_scaled_down: bool,
    pub(crate) peer: &'static str,
    pub(crate) role: Role,
    pub(crate) command: Vec<String>,
    /// The main figure first.
    pub(crate) figures: Vec<Column>,
    pub(crate) failure: Option<String>,
}

/// One figure over all rounds.
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) values: Vec<f64>,
    pub(crate) median: f64,
    /// True when less is better and a ratio to another proxy's says something.
    pub(crate) comparable: bool,
    /// To the wire's reference, or of a session among many to one alone.
    pub(crate) ratio: Option<Ratio>,
}

/// What the comparison runs with, the same for every trial.
pub(crate) struct Bench<'b> {
    pub(crate) found: &'b [Found],
    pub(crate) kit: &'b Kit,
    pub(crate) cores: Option<Cores>,
    pub(crate) options: &'b Options,
}

impl Row {
    pub(crate) fn column(&self, name: &str) -> Option<&Column> {
        self.figures.iter().find(|column| column.name == name)
    }
}

/// The yardstick that ratios are taken to.
pub(crate) fn reference(wire: Wire) -> &'static str {
    match wire {
        Wire::Ws => PLAIN,
        Wire::Wss => HAPROXY,
    }
}

impl<'b> Bench<'b> {
    /// Starts a proxy where the trial places it, under `wrapper` if there is one.
    pub(crate) fn start(&self, found: &'b Found, trial: Trial, wrapper: &[String]) -> io::Result<Proxy<'b>> {
        let start = || Proxy::start(found, trial.wire, self.kit, wrapper);
        match &self.cores {
            Some(cores) => cores.place(trial.placement(), start)?,
            None => start(),
        }
    }

    /// How long it will take, in a line.
    pub(crate) fn announcement(&self, selected: &[Trial]) -> String {
        let count = selected.len();
        if self.options.limit().is_some() {
            return format!(
                "{count} trials, about ten minutes at most; --pairs N takes the time that it takes"
            );
        }
        let lanes = |trial: &&Trial| self.found.iter().filter(|found| trial.suits(found.peer)).count();
        let runs: usize = selected.iter().map(|trial| lanes(&trial) * self.rounds(*trial)).sum();
        let minutes = (runs as f64 * SECONDS_PER_RUN / 60.0).ceil();
        format!("{count} trials, {runs} runs, about {minutes} min on a quiet machine")
    }

    fn rounds(&self, trial: Trial) -> usize {
        match trial.scenario.job {
            Job::Idle if trial.scenario.sessions > CROWD => self.options.rounds().min(CROWDED_ROUNDS),
            _ => self.options.rounds(),
        }
    }

    /// Runs one trial through all proxies that serve its wire, and returns their rows in the order of `found`. When
    /// its share of the time is over, rounds beyond the least are left out.
    pub(crate) fn compare(&self, trial: Trial, share: Option<Duration>) -> Vec<Row> {
        let began = Instant::now();
        let serves = |found: &&Found| trial.suits(found.peer);
        let mut lanes: Vec<Lane> =
            self.found.iter().filter(serves).map(|found| Lane::start(self, found, trial)).collect();
        let mut random = Random::new();
        let mut order: Vec<usize> = (0..lanes.len()).collect();
        for round in 0..self.rounds(trial) {
            if round >= ROUNDS_MIN && share.is_some_and(|share| began.elapsed() > share) {
                break;
            }
            random.shuffle(&mut order);
            for index in &order {
                lanes[*index].run();
            }
        }
        let yardstick = lanes.iter().find(|lane| lane.found.peer.name == reference(trial.wire));
        let yardstick = yardstick.map(|lane| lane.runs.clone()).unwrap_or_default();
        lanes.into_iter().map(|lane| lane.into_row(&yardstick)).collect()
    }
}

/// Lifts the soft limit of open files to the hard one (proxies inherit it) and returns it.
pub(crate) fn raise_file_limit() -> io::Result<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)?;
    Ok(limit.current.unwrap_or(u64::MAX))
}

/// One proxy's way through the rounds of a trial.
struct Lane<'b> {
    bench: &'b Bench<'b>,
    found: &'b Found,
    trial: Trial,
    amount: Amount,
    /// The proxy, and its second instance where the job wants one.
    proxies: Vec<Proxy<'b>>,
    command: Vec<String>,
    /// One entry per round; a lane that failed has no more.
    runs: Vec<Vec<Figure>>,
    pairs: Pairs,
    failure: Option<String>,
}

impl<'b> Lane<'b> {
    fn start(bench: &'b Bench<'b>, found: &'b Found, trial: Trial) -> Lane<'b> {
        let mut lane = Lane {
            bench,
            found,
            trial,
            amount: amount(trial, found, bench.options),
            proxies: Vec::new(),
            command: Vec::new(),
            runs: Vec::new(),
            pairs: Pairs::default(),
            failure: None,
        };
        // Of a job that starts afresh each time, nothing lies about while others have their turn.
        if !lane.is_fresh_each_time() {
            lane.restart();
        }
        lane
    }

    /// Memory is asked of a process that has not lived before.
    fn is_fresh_each_time(&self) -> bool {
        matches!(self.trial.scenario.job, Job::Idle)
    }

    fn restart(&mut self) {
        self.proxies.clear();
        for _ in 0..if self.is_fresh_each_time() { 2 } else { 1 } {
            match self.bench.start(self.found, self.trial, &[]) {
                Ok(proxy) => self.proxies.push(proxy),
                Err(error) => {
                    self.failure = Some(error.to_string());
                    self.proxies.clear();
                    return;
                }
            }
        }
        if let Some(proxy) = self.proxies.first() {
            self.command.clone_from(&proxy.command);
        }
    }

    fn run(&mut self) {
        if self.failure.is_some() {
            return;
        }
        if self.is_fresh_each_time() {
            self.restart();
        }
        let Some(proxy) = self.proxies.first() else { return };
        let held = match &self.bench.cores {
            Some(cores) if self.trial.placement() != Placement::Anywhere => {
                self.proxies.iter().try_for_each(|proxy| cores.hold(proxy.pid()))
            }
            Some(_) | None => Ok(()),
        };
        let job = self.trial.scenario.job;
        match held.and_then(|()| run(job, self.amount, proxy, self.proxies.get(1))) {
            Ok(outcome) => {
                let pairs = outcome.pairs.unwrap_or_default();
                self.runs.push(outcome.figures);
                self.pairs.loaded.extend(pairs.loaded);
                self.pairs.alone.extend(pairs.alone);
                // What a run leaves behind must not fall into the next proxy's.
                if let Err(error) = settled_cpu_s(proxy.pid()) {
                    self.failure = Some(error.to_string());
                }
            }
            Err(error) => self.failure = Some(format!("{error}; {}", proxy.last_words())),
        }
        if self.is_fresh_each_time() {
            self.proxies.clear();
        }
    }

    /// Whether something ended otherwise than it should in any run.
    fn mishap(&self) -> Option<String> {
        let mishaps = self.runs.iter().flatten().filter(|figure| figure.kind == Kind::Mishap);
        let worst = mishaps.max_by(|a, b| a.value.total_cmp(&b.value)).filter(|figure| figure.value > 0.0)?;
        Some(format!("{} {} in one run", worst.value, worst.name))
    }

    fn into_row(mut self, yardstick: &[Vec<Figure>]) -> Row {
        let is_peer = self.found.peer.role == Role::Peer;
        if !is_peer && self.failure.is_none() {
            self.failure = self.mishap();
        }
        let count = self.runs.first().map_or(0, Vec::len);
        let mut figures: Vec<Column> = (0..count)
            .map(|index| {
                let values: Vec<f64> = self.runs.iter().map(|run| run[index].value).collect();
                let theirs: Vec<f64> =
                    yardstick.iter().take(values.len()).map(|run| run[index].value).collect();
                let Figure { name, kind, .. } = self.runs[0][index];
                let comparable = kind == Kind::Compared;
                let ratio = if comparable { Ratio::of_pairs(&values, &theirs) } else { None };
                // One that ended badly among many that did not is still one.
                let middle = if kind == Kind::Mishap { values.iter().sum() } else { median(&values) };
                Column { name: name.into(), median: middle, values, comparable, ratio }
            })
            .collect();
        if !self.pairs.loaded.is_empty() {
            figures.push(Column {
                name: ACTIVE.into(),
                median: median(&self.pairs.loaded),
                comparable: false,
                ratio: Ratio::of_pairs(&self.pairs.loaded, &self.pairs.alone),
                values: self.pairs.loaded,
            });
        }
        Row {
            trial: self.trial.name(),
            sessions: self.amount.sessions,
            is_scaled_down: self.amount.sessions < self.trial.scenario.sessions,
            peer: self.found.peer.name,
            role: self.found.peer.role,
            command: self.command,
            figures,
            failure: self.failure,
        }
    }
}

/// Sessions and work of one run for this peer, in the form asked for.
pub(crate) fn amount(trial: Trial, found: &Found, options: &Options) -> Amount {
    let (scenario, share) = (trial.scenario, found.peer.share);
    let pairs = options.rounds();
    let (sessions, work) = match scenario.job {
        _ if options.form == Form::Quick => scenario.quick,
        Job::Down(_) | Job::Up(_) => (scenario.sessions, options.bytes.unwrap_or(scenario.work) / share),
        Job::Idle if found.peer.process_per_session => (PROCESSES_MAX, scenario.work),
        Job::Idle => (scenario.sessions, scenario.work),
        Job::Mix => (scenario.sessions, scenario.work),
        _ => (scenario.sessions, scenario.work / share),
    };
    Amount { sessions, work, pairs }
}

/// The round trips of one session among idle ones; its ratio is to one alone.
pub(crate) const ACTIVE: &str = "active p99 us";

/// Idle sessions of a proxy that has a process for each.
const PROCESSES_MAX: u64 = 128;

/// Rounds that a trial has however long they take.
const ROUNDS_MIN: usize = 3;

/// What a run takes on average, of all proxies and trials: for the announcement.
const SECONDS_PER_RUN: f64 = 0.7;

/// Thousands of sessions take seconds to open, and memory hardly differs from round to round. The latency
/// beside them is sampled in pairs within each round.
const CROWDED_ROUNDS: usize = 3;

/// More idle sessions than this are a crowd.
const CROWD: u64 = 1_000;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What a proxy did in one trial with one figure.
    pub(crate) fn row(
        trial: &str,
        peer: &'static str,
        role: Role,
        figure: &'static str,
        values: &[f64],
    ) -> Row {
        let column = Column {
            name: figure.into(),
            values: values.to_vec(),
            median: values[0],
            comparable: true,
            ratio: None,
        };
        Row {
            trial: trial.into(),
            sessions: 1,
            is_scaled_down: false,
            peer,
            role,
            command: Vec::new(),
            figures: vec![column],
            failure: None,
        }
    }
}
