//! System calls per message, counted by `strace -c -f`.
//!
//! Each proxy is run twice, the second time with three times the work; the difference of the two counts,
//! divided by the difference in messages, is what a message costs without what starting and ending cost.

use crate::figures::compare::{Bench, amount};
use crate::proxies::found::{Found, on_path};
use crate::run::{Amount, run};
use crate::scenarios::{Job, Trial};
use std::collections::BTreeMap;
use std::fs;
use std::io;

/// Calls per message, in all and by name (most frequent first, rare ones left out).
pub(crate) struct Calls {
    pub(crate) per_message: f64,
    pub(crate) by_name: Vec<(String, f64)>,
}

/// True when strace is on PATH.
pub(crate) fn can_count() -> bool {
    on_path("strace").is_some()
}

/// Counts for one trial and proxy; `None` for a job that has no messages, and a wire that the proxy does not
/// serve.
pub(crate) fn count(bench: &Bench, trial: Trial, found: &Found) -> Option<io::Result<Calls>> {
    if matches!(trial.scenario.job, Job::Idle) || !trial.suits(found.peer) {
        return None;
    }
    let small = Amount { work: trial.scenario.quick.1, ..amount(trial, found, bench.options) };
    let large = Amount { work: small.work * 3, ..small };
    let few = traced(bench, trial, found, small);
    let both = few.and_then(|few| Ok((few, traced(bench, trial, found, large)?)));
    let both = both.and_then(|(few, many)| match many.0 > few.0 {
        true => Ok((few, many)),
        false => Err(io::Error::other("so little work is a single message")),
    });
    Some(both.map(|((few, calls_few), (many, calls_many))| {
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
    bench: &Bench,
    trial: Trial,
    found: &Found,
    amount: Amount,
) -> io::Result<(u64, BTreeMap<String, u64>)> {
    let path = bench.kit.path("strace");
    let wrapper = ["strace", "-f", "-c", "-o", &path.to_string_lossy()].map(str::to_owned);
    let proxy = bench.start(found, trial, &wrapper)?;
    let outcome = run(trial.scenario.job, amount, &proxy, None)
        .map_err(|error| io::Error::other(format!("{error}; {}", proxy.last_words())));
    proxy.stop_wrapped()?;
    Ok((outcome?.messages, parse(&fs::read_to_string(&path)?)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_read_with_and_without_errors() {
        let table = "% time     seconds  usecs/call     calls    errors syscall\n\
            ------ ----------- ----------- --------- --------- ----------------\n \
            50.00    0.000200           1       200           sendto\n \
            50.00    0.000200           1       100        10 recvfrom\n\
            ------ ----------- ----------- --------- --------- ----------------\n\
            100.00    0.000400           1       300        10 total\n";
        let calls = parse(table);
        assert_eq!(calls.len(), 2);
        assert_eq!((calls["sendto"], calls["recvfrom"]), (200, 100));
    }
}
