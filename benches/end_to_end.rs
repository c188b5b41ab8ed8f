//! The end-to-end bench: this crate's release binary beside its peers and beside a plain relay, on the
//! loopback, under a load generator that verifies every byte. `--help` has the options.

mod e2e;

use e2e::compare::{Row, compare, raise_file_limit};
use e2e::options::{Form, HELP, Options, Task, parse};
use e2e::peers::{Found, OURS, PEERS, PLAIN};
use e2e::pin::Cores;
use e2e::scenarios::{Job, SCENARIOS, Scenario};
use e2e::{record, relay, report, syscalls};
use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    let result = match parse(env::args_os().skip(1)) {
        Ok(Task::Compare(options)) => bench(&options),
        Ok(Task::PlainRelay(listen, target, buffer_bytes)) => relay::serve(listen, target, buffer_bytes)
            .map(|()| true)
            .map_err(|error| format!("plain relay: {error}")),
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

/// Runs what was selected; false when our own binary or the yardstick failed somewhere. A peer's failure is
/// shown in its row and is the peer's affair.
fn bench(options: &Options) -> Result<bool, String> {
    let limit = raise_file_limit().map_err(|error| error.to_string())?;
    let found = find(options)?;
    let selected: Vec<&'static Scenario> = SCENARIOS
        .iter()
        .filter(|scenario| scenario.is_selected(&options.filters))
        .filter(|scenario| options.form == Form::Full || !scenario.full_only)
        .filter(|scenario| {
            let fits = 2 * scenario.sessions + SPARE_FILES <= limit;
            if !fits {
                println!("skipped: {} (the limit of open files is {limit})", scenario.name);
            }
            fits
        })
        .collect();
    let mut good = true;
    if !options.syscalls {
        good &= measure(&selected, &found, options)?;
    }
    if options.syscalls || options.form == Form::Quick {
        good &= count_calls(&selected, &found, options);
    }
    Ok(good)
}

fn measure(selected: &[&'static Scenario], found: &[Found], options: &Options) -> Result<bool, String> {
    let cores = if options.unpinned { None } else { Cores::split().map_err(|error| error.to_string())? };
    println!("{}", report::heading());
    let mut rows: Vec<Row> = Vec::new();
    for scenario in selected {
        for mut row in compare(scenario, found, cores.as_ref(), options) {
            let held = row.figures.first().map_or(0.0, |column| column.median);
            let limited = options.form == Form::Quick && row.peer == OURS;
            if limited && matches!(scenario.job, Job::Idle) && held > scenario.most {
                row.failure.get_or_insert(format!("more than {} B per session", scenario.most));
            }
            println!("{}", report::line(&row));
            rows.push(row);
        }
    }
    if let Some(name) = &options.record {
        let directory = record::store(name, found, &rows).map_err(|error| error.to_string())?;
        println!("recorded: {}/{name}.json and .csv", directory.display());
    }
    Ok(rows.iter().all(|row| row.failure.is_none() || !is_vital(row.peer)))
}

fn count_calls(selected: &[&'static Scenario], found: &[Found], options: &Options) -> bool {
    if !syscalls::can_count() {
        println!("system calls: not counted (strace is not on PATH)");
        return true;
    }
    let mut good = true;
    for scenario in selected {
        for found in found {
            let peer = found.peer.name;
            if options.form == Form::Quick && !is_vital(peer) {
                continue;
            }
            match syscalls::count(scenario, found, options) {
                Some(Ok(calls)) => {
                    println!("{}", report::calls_line(scenario.name, peer, &calls));
                    if options.form == Form::Quick && peer == OURS && calls.per_message > scenario.most {
                        println!("{:<14} {peer:<15} FAILED: more than {}", scenario.name, scenario.most);
                        good = false;
                    }
                }
                Some(Err(error)) => {
                    println!("{:<14} {peer:<15} FAILED: {error}", scenario.name);
                    good &= !is_vital(peer);
                }
                None => {}
            }
        }
    }
    good
}

/// The proxies asked for that are here. The plain relay always is.
fn find(options: &Options) -> Result<Vec<Found>, String> {
    if let Some(unknown) = options.only.iter().find(|name| PEERS.iter().all(|peer| peer.name != **name)) {
        let known: Vec<&str> = PEERS.iter().map(|peer| peer.name).collect();
        return Err(format!("no proxy is called {unknown:?}; there are {}", known.join(", ")));
    }
    let mut found = Vec::new();
    for peer in PEERS {
        let wanted = options.only.is_empty() || options.only.iter().any(|name| name == peer.name);
        if !wanted && peer.name != PLAIN {
            continue;
        }
        match peer.find() {
            Ok(peer) => {
                println!("{:<15} {}", peer.peer.name, peer.version);
                found.push(peer);
            }
            Err(why) => println!("{:<15} skipped: {why}", peer.name),
        }
    }
    Ok(found)
}

fn is_vital(peer: &str) -> bool {
    peer == OURS || peer == PLAIN
}

/// Descriptors that are not a session's.
const SPARE_FILES: u64 = 200;
