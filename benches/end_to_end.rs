//! The end-to-end bench: this crate's release binary beside its peers and beside a plain relay, on the
//! loopback, under a load generator that verifies every byte. `--help` has the options.

mod e2e;

use e2e::compare::{Bench, Row, raise_file_limit, reference};
use e2e::found::Found;
use e2e::kit::Kit;
use e2e::options::{Form, HELP, Options, Task, parse};
use e2e::peers::{OURS, PEERS, Peer, Role};
use e2e::pin::Cores;
use e2e::scenarios::{Job, Trial, Wire};
use e2e::syscalls::Calls;
use e2e::{demands, record, relay, report, syscalls};
use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    let result = match parse(env::args_os().skip(1)) {
        Ok(Task::Compare(options)) => bench(&options),
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

/// Runs what was selected; false when our own binary or a reference failed somewhere. A peer's failure is
/// shown in its row and is the peer's affair.
fn bench(options: &Options) -> Result<bool, String> {
    let limit = raise_file_limit().map_err(|error| error.to_string())?;
    let kit = Kit::make().map_err(|error| error.to_string())?;
    let found = find(options)?;
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

fn measure(bench: &Bench, selected: &[Trial]) -> Result<bool, String> {
    println!("{}", report::heading());
    let mut rows: Vec<Row> = Vec::new();
    let commit = record::commit();
    for trial in selected {
        for row in within_memory(bench, *trial) {
            println!("{}", report::line(&row));
            rows.push(row);
        }
        // Each time, so that a run that is cut off has not been for nothing.
        if let Some(name) = &bench.options.record {
            record::store(name, commit.as_deref(), bench.found, &rows).map_err(|error| error.to_string())?;
        }
    }
    if bench.options.form == Form::Full {
        println!("\n{}", report::verdicts(&demands::verdicts(&rows)));
    }
    if let Some(name) = &bench.options.record {
        println!("recorded: {}/{name}.json, .csv and plots", record::directory().display());
    }
    let vital =
        |row: &&Row| row.peer == OURS || Wire::BOTH.into_iter().any(|wire| row.peer == reference(wire));
    Ok(rows.iter().filter(vital).all(|row| row.failure.is_none()))
}

/// The rows of a trial. In the quick form, idle sessions of ours that hold more than they may are a failure,
/// but only if they do so in each of a few tries: what the allocator keeps depends on the order of things.
fn within_memory(bench: &Bench, trial: Trial) -> Vec<Row> {
    let mut rows = bench.compare(trial);
    if bench.options.form != Form::Quick || !matches!(trial.scenario.job, Job::Idle) {
        return rows;
    }
    let held = |rows: &[Row]| {
        let ours = rows.iter().find(|row| row.peer == OURS)?;
        ours.figures.first().map(|column| column.median).filter(|held| *held > trial.most())
    };
    for _ in 1..COUNT_TRIES {
        if held(&rows).is_some() {
            rows = bench.compare(trial);
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
fn find(options: &Options) -> Result<Vec<Found>, String> {
    if let Some(unknown) = options.only.iter().find(|name| PEERS.iter().all(|peer| peer.name != **name)) {
        let known: Vec<&str> = PEERS.iter().map(|peer| peer.name).collect();
        return Err(format!("no proxy is called {unknown:?}; there are {}", known.join(", ")));
    }
    let mut found = Vec::new();
    for peer in PEERS.iter().filter(|peer| is_wanted(peer, options)) {
        match Found::find(peer) {
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
