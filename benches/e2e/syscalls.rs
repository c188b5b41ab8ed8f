//! System calls per message, counted by `strace -c -f`.
//!
//! Each proxy is run twice, the second time with three times the work; the difference of the two counts,
//! divided by the difference in messages, is what a message costs without what starting and ending cost.

use crate::e2e::compare::amounts;
use crate::e2e::options::Options;
use crate::e2e::peers::{Found, Proxy, on_path};
use crate::e2e::run::run;
use crate::e2e::scenarios::{Job, Scenario};
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io;
use std::process;

/// Calls per message, in all and by name (most frequent first, rare ones left out).
pub(crate) struct Calls {
    pub(crate) per_message: f64,
    pub(crate) by_name: Vec<(String, f64)>,
}

/// True when strace is on PATH.
pub(crate) fn can_count() -> bool {
    on_path("strace").is_some()
}

/// Counts for one scenario and proxy; `None` for a job that has no messages.
pub(crate) fn count(scenario: &Scenario, found: &Found, options: &Options) -> Option<io::Result<Calls>> {
    if matches!(scenario.job, Job::Idle) {
        return None;
    }
    let (sessions, _) = amounts(scenario, found, options);
    let small = traced(scenario, found, sessions, scenario.quick);
    let large = small.and_then(|small| Ok((small, traced(scenario, found, sessions, scenario.quick * 3)?)));
    Some(large.map(|((few, calls_few), (many, calls_many))| {
        let messages = (many - few) as f64;
        let mut by_name: Vec<(String, f64)> = calls_many
            .into_iter()
            .map(|(name, calls)| {
                let before = calls_few.get(&name).copied().unwrap_or(0);
                (name, (calls as f64 - before as f64) / messages)
            })
            .collect();
        by_name.sort_by(|a, b| b.1.total_cmp(&a.1));
        let per_message = by_name.iter().map(|(_, calls)| calls).sum();
        by_name.retain(|(_, calls)| *calls >= RARE * per_message);
        Calls { per_message, by_name }
    }))
}

/// Messages, and calls by name, of one run.
fn traced(
    scenario: &Scenario,
    found: &Found,
    sessions: u64,
    work: u64,
) -> io::Result<(u64, BTreeMap<String, u64>)> {
    let path = env::temp_dir().join(format!("websockify-bench-{}.strace", process::id()));
    let wrapper = ["strace", "-f", "-c", "-o", &path.to_string_lossy()].map(str::to_owned).to_vec();
    let proxy = Proxy::start(found, &wrapper)?;
    let outcome = run(scenario, sessions, work, &proxy)
        .map_err(|error| io::Error::other(format!("{error}; {}", proxy.last_words())));
    proxy.stop_wrapped()?;
    let table = fs::read_to_string(&path);
    let _ = fs::remove_file(&path);
    Ok((outcome?.messages, parse(&table?)))
}

/// Reads strace's summary: per cent, seconds, microseconds per call, calls, perhaps errors, name.
pub(crate) fn parse(table: &str) -> BTreeMap<String, u64> {
    table
        .lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (name, calls) = (words.last()?, words.get(3)?.parse().ok()?);
            (words.len() >= 5 && *name != "total").then(|| ((*name).to_owned(), calls))
        })
        .collect()
}

/// Calls below this part of all are not named.
const RARE: f64 = 0.005;
