//! One run: one scenario through one running proxy, verified, with what it cost.

use crate::figures::stats::quantile;
use crate::load::block::{Block, Wrapping, messages_per_block};
use crate::load::churn::churn;
use crate::load::client::Fleet;
use crate::load::mix::{EVENT_BYTES, EVENTS_PER_S, Message, UPDATE_BYTES, UPDATES_PER_S, messages};
use crate::load::target::{Play, Target};
use crate::proxies::procfs::{private_bytes, settled_cpu_s};
use crate::proxies::proxy::Proxy;
use crate::scenarios::Job;
use std::io;
use std::time::{Duration, Instant};

/// What a run found out.
pub(crate) struct Outcome {
    /// The scenario's main figure first.
    pub(crate) figures: Vec<Figure>,
    /// Samples of one figure with what each is compared with, where both are of the same proxy.
    pub(crate) pairs: Option<Pairs>,
    /// Messages that went through the proxy, warming up included: what system calls are divided by.
    pub(crate) messages: u64,
}

/// Samples taken in turns: with the load and without it.
#[derive(Clone, Default)]
pub(crate) struct Pairs {
    pub(crate) loaded: Vec<f64>,
    pub(crate) alone: Vec<f64>,
}

/// One run's size.
#[derive(Clone, Copy)]
pub(crate) struct Amount {
    pub(crate) sessions: u64,
    /// In the job's own units.
    pub(crate) work: u64,
    /// Of a job that takes its samples in pairs.
    pub(crate) pairs: usize,
}

/// One measured value.
#[derive(Clone, Copy)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
    pub(crate) kind: Kind,
}

/// What a figure is good for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Less is better, and a ratio to the value of another proxy says something.
    Compared,
    /// It stands beside the others.
    Beside,
    /// A count of what should not have happened.
    Mishap,
}

/// Runs so much of a job. `second` is another instance of the proxy, for a job that compares the two.
pub(crate) fn run(job: Job, amount: Amount, proxy: &Proxy, second: Option<&Proxy>) -> io::Result<Outcome> {
    let Amount { sessions, work, pairs } = amount;
    let deadline = Instant::now() + RUN_LIMIT;
    let run = Run { proxy, sessions: sessions as usize, deadline };
    match job {
        Job::Down(write) => run.bulk(write, work, true),
        Job::Up(frame) => run.bulk(frame, work, false),
        Job::Echo(bytes) => run.echo(bytes, work),
        Job::Churn => run.churn(work),
        Job::Mix => run.mix(work),
        Job::Idle => run.idle(work, pairs, second),
    }
}

struct Run<'p> {
    proxy: &'p Proxy<'p>,
    sessions: usize,
    deadline: Instant,
}

impl Run<'_> {
    fn bulk(&self, message: usize, work: u64, down: bool) -> io::Result<Outcome> {
        let payload_bytes = (messages_per_block(message) * message) as u64;
        let blocks = (work / self.sessions as u64 / payload_bytes).max(1);
        let warm = blocks.div_ceil(WARM_PART);
        let bytes_only = self.proxy.moves_bytes();
        let wrapping = match (bytes_only, down) {
            (false, _) => Wrapping::Bare,
            (true, true) => Wrapping::ServerFrames,
            (true, false) => Wrapping::ClientFrames,
        };
        let theirs = Block::new(message, wrapping);
        let mut own = Block::new(message, if down { Wrapping::Bare } else { Wrapping::ClientFrames });
        let target = self.target(if down { Play::Source(theirs) } else { Play::Sink(theirs) })?;
        let mut fleet = self.open(&target)?;
        let mut pass = |until: u64| {
            target.go(until)?;
            if down {
                return fleet.receive(&mut own, until, &target);
            }
            fleet.send(&mut own, until, &target)?;
            target.wait_done(self.sessions, self.deadline)
        };
        pass(warm)?;
        let meter = Meter::start(self.proxy)?;
        pass(warm + blocks)?;
        let (cpu_s, wall_s) = meter.stop()?;

        let sessions = self.sessions as u64;
        let gib = (blocks * payload_bytes * sessions) as f64 / GIB;
        let mut figures = vec![
            compared("CPU s/GiB", cpu_s / gib),
            beside("GiB/s", gib / wall_s),
            beside("% of a core", cpu_s / wall_s * 100.0),
        ];
        if down {
            let all_bytes = (warm + blocks) * payload_bytes * sessions;
            figures.push(beside("KiB/frame", all_bytes as f64 / fleet.frames() as f64 / 1024.0));
        }
        Ok(Outcome {
            figures,
            pairs: None,
            messages: (warm + blocks) * sessions * messages_per_block(message) as u64,
        })
    }

    fn echo(&self, bytes: usize, work: u64) -> io::Result<Outcome> {
        let trips = (work / self.sessions as u64).max(1);
        let warm = trips.div_ceil(WARM_PART);
        let target = self.target(Play::Echo(bytes))?;
        let mut fleet = self.open(&target)?;
        fleet.ping_pong(bytes, warm, &target)?;
        let meter = Meter::start(self.proxy)?;
        let times = fleet.ping_pong(bytes, warm + trips, &target)?;
        let (cpu_s, wall_s) = meter.stop()?;

        let count = times.len() as f64;
        Ok(Outcome {
            figures: vec![
                compared("CPU us/trip", cpu_s * 1e6 / count),
                compared("p50 us", quantile(&times, 0.5) / 1e3),
                compared("p99 us", quantile(&times, 0.99) / 1e3),
                compared("p99.9 us", quantile(&times, 0.999) / 1e3),
                beside("trips/s", count / wall_s),
            ],
            pairs: None,
            messages: (warm + trips) * self.sessions as u64,
        })
    }

    fn churn(&self, work: u64) -> io::Result<Outcome> {
        let count = work.max(1) as usize;
        let warm = count.div_ceil(WARM_PART as usize);
        let target = self.target(Play::Quiet)?;
        churn(self.proxy, warm, self.sessions, &target, self.deadline)?;
        let meter = Meter::start(self.proxy)?;
        let churned = churn(self.proxy, count, self.sessions, &target, self.deadline)?;
        let (cpu_s, wall_s) = meter.stop()?;
        let missing = target.missing(warm + count, Instant::now() + REACH_LIMIT)?;
        Ok(Outcome {
            figures: vec![
                compared("CPU us/opening", cpu_s * 1e6 / count as f64),
                compared("101 p50 us", quantile(&churned.upgraded_ns, 0.5) / 1e3),
                compared("101 p99 us", quantile(&churned.upgraded_ns, 0.99) / 1e3),
                compared("101 p99.9 us", quantile(&churned.upgraded_ns, 0.999) / 1e3),
                beside("sessions/s", count as f64 / wall_s),
                mishaps("unclean ends", churned.unclean),
                mishaps("targets not reached", missing),
            ],
            pairs: None,
            messages: (warm + count) as u64,
        })
    }

    fn mix(&self, duration_ms: u64) -> io::Result<Outcome> {
        let frames = self.proxy.moves_bytes();
        let target = self.target(Play::Mix {
            update: Message::new(UPDATE_BYTES, frames, false),
            event: Message::new(EVENT_BYTES, frames, frames),
        })?;
        let mut fleet = self.open(&target)?;
        let mut pass = |duration_ms: u64| {
            target.go(duration_ms)?;
            let updates_ns = fleet.mix(duration_ms, &target)?;
            target.wait_done(1, self.deadline)?;
            Ok::<_, io::Error>((updates_ns, target.take_times_ns()))
        };
        let warm_ms = duration_ms.div_ceil(WARM_PART);
        pass(warm_ms)?;
        let meter = Meter::start(self.proxy)?;
        let (updates_ns, events_ns) = pass(duration_ms)?;
        let (cpu_s, wall_s) = meter.stop()?;
        let sent =
            |per_s| messages(self.sessions, per_s, warm_ms) + messages(self.sessions, per_s, duration_ms);
        Ok(Outcome {
            figures: vec![
                compared("CPU us/message", cpu_s * 1e6 / (updates_ns.len() + events_ns.len()) as f64),
                compared("event p50 us", quantile(&events_ns, 0.5) / 1e3),
                compared("event p99 us", quantile(&events_ns, 0.99) / 1e3),
                compared("event p99.9 us", quantile(&events_ns, 0.999) / 1e3),
                compared("update p50 us", quantile(&updates_ns, 0.5) / 1e3),
                compared("update p99 us", quantile(&updates_ns, 0.99) / 1e3),
                beside("% of a core", cpu_s / wall_s * 100.0),
                // Less than all of it when the proxy or the load generator could not keep up.
                beside("% of the pace", duration_ms as f64 / 10.0 / wall_s),
            ],
            pairs: None,
            messages: sent(EVENTS_PER_S) + sent(UPDATES_PER_S),
        })
    }

    fn idle(&self, trips: u64, pairs: usize, second: Option<&Proxy>) -> io::Result<Outcome> {
        let target = self.target(Play::Echo(ECHO_BYTES))?;
        // The first sessions pay for what is made once; what is asked is the growth.
        let first = Fleet::open(&self.proxy.dialer, IDLE_BASE, &target, self.deadline)?;
        settled_cpu_s(self.proxy.pid())?;
        let before = private_bytes(self.proxy.pid())?;
        let fleet = self.open(&target)?;
        settled_cpu_s(self.proxy.pid())?;
        let after = private_bytes(self.proxy.pid())?;
        let growth = after.saturating_sub(before) as f64 / fleet.len() as f64;
        if growth == 0.0 && fleet.len() >= GROWTH_SESSIONS {
            return Err(io::Error::other("so many sessions take memory, and none was seen"));
        }
        let pairs = match second {
            Some(second) => Some(self.active_and_alone(&target, second, trips, pairs)?),
            None => None,
        };
        Ok(Outcome {
            figures: vec![compared("private B/session", growth), beside("sessions", fleet.len() as f64)],
            pairs,
            messages: (first.len() + fleet.len()) as u64,
        })
    }

    /// The p99 of one active session's round trips: in turns of one among those that stand, and of one that
    /// has another instance of the same proxy for itself. In microseconds.
    fn active_and_alone(
        &self,
        target: &Target,
        second: &Proxy,
        trips: u64,
        pairs: usize,
    ) -> io::Result<Pairs> {
        let quiet = Target::start(&second.listener, second.moves_bytes(), Play::Echo(ECHO_BYTES))?;
        let mut active = Fleet::open(&self.proxy.dialer, 1, target, self.deadline)?;
        let mut alone = Fleet::open(&second.dialer, 1, &quiet, self.deadline)?;
        active.ping_pong(ECHO_BYTES, trips, target)?;
        alone.ping_pong(ECHO_BYTES, trips, &quiet)?;
        let mut result = Pairs::default();
        for pair in 0..pairs as u64 {
            let until = (pair + 2) * trips;
            let p99_us = |times_ns: Vec<f64>| quantile(&times_ns, 0.99) / 1e3;
            // Who goes first changes, too.
            if pair % 2 == 0 {
                result.loaded.push(p99_us(active.ping_pong(ECHO_BYTES, until, target)?));
                result.alone.push(p99_us(alone.ping_pong(ECHO_BYTES, until, &quiet)?));
            } else {
                result.alone.push(p99_us(alone.ping_pong(ECHO_BYTES, until, &quiet)?));
                result.loaded.push(p99_us(active.ping_pong(ECHO_BYTES, until, target)?));
            }
        }
        Ok(result)
    }

    fn open(&self, target: &Target) -> io::Result<Fleet> {
        Fleet::open(&self.proxy.dialer, self.sessions, target, self.deadline)
    }

    fn target(&self, play: Play) -> io::Result<Target> {
        Target::start(&self.proxy.listener, self.proxy.moves_bytes(), play)
    }
}

/// CPU of the proxy's process tree and time on the wall.
struct Meter {
    pid: u32,
    cpu_s: f64,
    at: Instant,
}

impl Meter {
    fn start(proxy: &Proxy) -> io::Result<Meter> {
        let cpu_s = settled_cpu_s(proxy.pid())?;
        Ok(Meter { pid: proxy.pid(), cpu_s, at: Instant::now() })
    }

    /// Seconds of CPU and of wall since the start.
    fn stop(self) -> io::Result<(f64, f64)> {
        let wall_s = self.at.elapsed().as_secs_f64();
        Ok((settled_cpu_s(self.pid)? - self.cpu_s, wall_s))
    }
}

fn compared(name: &'static str, value: f64) -> Figure {
    Figure { name, value, kind: Kind::Compared }
}

fn beside(name: &'static str, value: f64) -> Figure {
    Figure { name, value, kind: Kind::Beside }
}

fn mishaps(name: &'static str, count: usize) -> Figure {
    Figure { name, value: count as f64, kind: Kind::Mishap }
}

const GIB: f64 = (1u64 << 30) as f64;

/// One part in this many of the work goes through before the measurement begins: windows open, pools fill.
const WARM_PART: u64 = 8;

/// What the active session among idle ones sends, in bytes.
const ECHO_BYTES: usize = 32;

/// Sessions that stand before the growth of memory is counted.
const IDLE_BASE: usize = 10;

/// This many sessions can't fit into what a process had in reserve.
const GROWTH_SESSIONS: usize = 1_000;

/// How long a target that was dialled may take to notice.
const REACH_LIMIT: Duration = Duration::from_secs(2);

const RUN_LIMIT: Duration = Duration::from_secs(60);
