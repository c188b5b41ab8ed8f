//! The end-to-end bench: a release binary of websockify beside its peers and beside a plain relay, on the
//! loopback, under a load generator that verifies every byte.
//!
//! From the ground up: `load`, the load generator; `proxies`, what is put under load; the table of `scenarios`
//! and one `run`; `figures`, the comparison and what is shown and kept of it; `options`, the command line.

mod figures;
mod load;
mod options;
mod proxies;
mod run;
mod scenarios;

use figures::compare::{Bench, Row, raise_file_limit, reference};
use figures::record::{Place, Record};
use figures::syscalls::Calls;
use figures::{demands, raw, report, syscalls};
use options::{Form, HELP, Options, Task, parse};
use proxies::found::Found;
use proxies::kit::Kit;
use proxies::peers::{OURS, PEERS, Peer, Role};
use proxies::pin::Cores;
use proxies::proxy::Proxy;
use proxies::relay;
use scenarios::{Job, Trial, Wire};
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The bench as a program: `ours` is the binary that is measured, `args` what stands behind the bench's own
/// name. The program that calls this is also started again as the plain relay.
pub fn main(ours: &Path, args: impl Iterator<Item = OsString>) -> ExitCode {
    let result = match parse(args) {
        Ok(Task::Compare(options)) => bench(ours, &options),
        Ok(Task::Convert(raw, place)) => convert(&raw, &place).map(|()| true),
        Ok(Task::PlainRelay(listen, target, buffer_bytes)) => relay::serve(listen, target, buffer_bytes)
            .map(|()| true)
            .map_err(|error| format!("plain relay: {error}")),
        Ok(Task::Version) => {
            println!("websockify's own bench, {}", env!("CARGO_PKG_VERSION"));
            Ok(true)
        }
        Ok(Task::Help) => {
            println!("{HELP}");
            Ok(true)
        }
        Err(error) => Err(error.to_string()),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("end_to_end: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The top of the source tree, where `target` and `benches` are.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the crate is two levels below the root")
}

/// Runs what was selected; false when our own binary or a reference failed somewhere. A peer's failure is
/// shown in its row and is the peer's affair.
fn bench(ours: &Path, options: &Options) -> Result<bool, String> {
    let limit = raise_file_limit().map_err(|error| error.to_string())?;
    let kit = Kit::make().map_err(|error| error.to_string())?;
    let found = find(ours, options)?;
    if let Err(why) = &kit.tls {
        println!("{:<15} skipped: {why}", "wss");
    }
    let asked = Trial::select(options.form, &options.filters);
    if asked.is_empty() {
        return Err(format!("no trial has any of {:?} in its name", options.filters));
    }
    let sessions = |trial: &Trial| match options.form {
        Form::Quick => trial.scenario.quick.0,
        Form::Usual | Form::Full => trial.scenario.sessions,
    };
    let selected: Vec<Trial> = asked
        .into_iter()
        .filter(|trial| trial.wire == Wire::Ws || kit.tls.is_ok())
        .filter(|trial| {
            let fits = 2 * sessions(trial) + SPARE_FILES <= limit;
            if !fits {
                println!("skipped: {} (the limit of open files is {limit})", trial.name());
            }
            fits
        })
        .collect();
    let found: Vec<Found> = match options.form {
        Form::Quick => found,
        Form::Usual | Form::Full => found.into_iter().filter(|found| is_able(found, &kit)).collect(),
    };
    let cores = if options.unpinned { None } else { Cores::split().map_err(|error| error.to_string())? };
    let bench = Bench { found: &found, kit: &kit, cores, options };
    // A smoke run without TLS is none. What the machine allows no files for has been said.
    let mut good = kit.tls.is_ok() || options.form != Form::Quick;
    if !options.syscalls {
        good &= measure(&bench, &selected)?;
    }
    if options.syscalls || options.form == Form::Quick {
        good &= count_calls(&bench, &selected);
    }
    Ok(good)
}

/// Writes the files of a record again.
fn convert(raw: &Path, place: &Place) -> Result<(), String> {
    let text = fs::read_to_string(raw).map_err(|error| format!("{}: {error}", raw.display()))?;
    let record = raw::from_json(&text).map_err(|error| format!("{}: {error}", raw.display()))?;
    let stem = record.store(place).map_err(|error| error.to_string())?;
    println!("recorded: {}.csv, .txt and plots", stem.display());
    Ok(())
}

/// Whether a proxy that is here starts for one wire at least; one that does not is left out with a word. A program of
/// ours that does not start is a failure, and is seen to be one.
fn is_able(found: &Found, kit: &Kit) -> bool {
    let starts = |wire| Proxy::start(found, wire, kit, &[]).map(drop).map_err(|error| error.to_string());
    let served = Wire::BOTH.into_iter().filter(|wire| found.peer.start(*wire).is_some());
    let served: Vec<Wire> = served.filter(|wire| *wire == Wire::Ws || kit.tls.is_ok()).collect();
    let tried: Vec<Result<(), String>> = served.into_iter().map(starts).collect();
    if found.peer.role == Role::Ours || tried.iter().any(Result::is_ok) {
        return true;
    }
    let why = tried.into_iter().find_map(Result::err).unwrap_or_else(|| "it serves no wire".into());
    println!("{:<15} skipped: {why}", report::name(found.peer.name, found.peer.role));
    false
}

fn measure(bench: &Bench, selected: &[Trial]) -> Result<bool, String> {
    let deadline = bench.options.limit().map(|limit| Instant::now() + limit);
    println!("{}", bench.announcement(selected));
    println!("{}", report::heading());
    let (mut record, mut stored) = (Record::new(bench.found), None);
    for (done, trial) in selected.iter().enumerate() {
        let left = (selected.len() - done) as u32;
        let share = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()) / left);
        for row in within_memory(bench, *trial, share) {
            println!("{}", report::line(&row));
            record.rows.push(row);
        }
        // Each time, so that a run that is cut off has not been for nothing.
        if let Some(place) = &bench.options.record {
            stored = Some(record.store(place).map_err(|error| error.to_string())?);
        }
    }
    if bench.options.form == Form::Full {
        println!("\n{}", report::verdicts(&demands::verdicts(&record.rows)));
    }
    if let Some(stem) = stored {
        println!("recorded: {}.csv, .txt and plots", stem.display());
    }
    let vital =
        |row: &&Row| row.peer == OURS || Wire::BOTH.into_iter().any(|wire| row.peer == reference(wire));
    Ok(record.rows.iter().filter(vital).all(|row| row.failure.is_none()))
}

/// The rows of a trial. In the quick form, idle sessions of ours that hold more than they may are a failure,
/// but only if they do so in each of a few tries: what the allocator keeps depends on the order of things.
fn within_memory(bench: &Bench, trial: Trial, share: Option<Duration>) -> Vec<Row> {
    let mut rows = bench.compare(trial, share);
    if bench.options.form != Form::Quick || !matches!(trial.scenario.job, Job::Idle) {
        return rows;
    }
    let held = |rows: &[Row]| {
        let ours = rows.iter().find(|row| row.peer == OURS)?;
        ours.figures.first().map(|column| column.median).filter(|held| *held > trial.most())
    };
    for _ in 1..COUNT_TRIES {
        if held(&rows).is_some() {
            rows = bench.compare(trial, share);
        }
    }
    if held(&rows).is_some() {
        for row in rows.iter_mut().filter(|row| row.peer == OURS) {
            row.failure.get_or_insert(format!("more than {} B per session", trial.most()));
        }
    }
    rows
}

fn count_calls(bench: &Bench, selected: &[Trial]) -> bool {
    if !syscalls::can_count() {
        println!("system calls: not counted (strace is not on PATH)");
        return false;
    }
    let quick = bench.options.form == Form::Quick && !bench.options.syscalls;
    let mut good = true;
    for trial in selected.iter().filter(|trial| !quick || trial.most().is_finite()) {
        for found in bench.found {
            let ours = found.peer.role == Role::Ours;
            if quick && !ours {
                continue;
            }
            let most = if quick { trial.most() } else { f64::INFINITY };
            match least_calls(bench, *trial, found, most) {
                Some(Ok(calls)) => {
                    println!("{}", report::calls_line(&trial.name(), found.peer.name, &calls));
                    if calls.per_message > most {
                        println!("{:<18} {:<15} FAILED: more than {most}", trial.name(), found.peer.name);
                        good = false;
                    }
                }
                Some(Err(error)) => {
                    println!("{:<18} {:<15} FAILED: {error}", trial.name(), found.peer.name);
                    good &= !ours;
                }
                None => {}
            }
        }
    }
    good
}

/// Counts, and again if there were more than `most`: how much comes in one piece depends on who is scheduled
/// when.
fn least_calls(
    bench: &Bench,
    trial: Trial,
    found: &Found,
    most: f64,
) -> Option<Result<Calls, std::io::Error>> {
    let mut best = syscalls::count(bench, trial, found)?;
    for _ in 1..COUNT_TRIES {
        let Ok(calls) = &best else { break };
        if calls.per_message <= most {
            break;
        }
        match syscalls::count(bench, trial, found)? {
            Ok(again) if again.per_message >= calls.per_message => {}
            again => best = again,
        }
    }
    Some(best)
}

/// The proxies asked for that are here.
fn find(ours: &Path, options: &Options) -> Result<Vec<Found>, String> {
    if let Some(unknown) = options.only.iter().find(|name| PEERS.iter().all(|peer| peer.name != **name)) {
        let known: Vec<&str> = PEERS.iter().map(|peer| peer.name).collect();
        return Err(format!("no proxy is called {unknown:?}; there are {}", known.join(", ")));
    }
    let mut found = Vec::new();
    for peer in PEERS.iter().filter(|peer| is_wanted(peer, options)) {
        match Found::find(peer, ours) {
            Ok(peer) => {
                println!("{:<15} {}", report::name(peer.peer.name, peer.peer.role), peer.version);
                found.push(peer);
            }
            Err(why) if peer.role == Role::Ours => return Err(why),
            Err(why) => println!("{:<15} skipped: {why}", report::name(peer.name, peer.role)),
        }
    }
    Ok(found)
}

fn is_wanted(peer: &Peer, options: &Options) -> bool {
    let is_reference = Wire::BOTH.into_iter().any(|wire| peer.name == reference(wire));
    match (options.only.is_empty(), options.form) {
        (false, _) => is_reference || options.only.iter().any(|name| name == peer.name),
        (true, Form::Quick) => peer.role == Role::Ours || peer.name == reference(Wire::Ws),
        (true, _) => true,
    }
}

/// Descriptors that are not a session's.
const SPARE_FILES: u64 = 200;

/// How often a count is taken before it is believed to be too high.
const COUNT_TRIES: usize = 3;
