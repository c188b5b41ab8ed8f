//! What is kept of a comparison: JSON with everything, CSV for a spreadsheet, and where it was measured.

use crate::figures::compare::Row;
use crate::figures::demands::{Verdict, verdicts};
use crate::figures::plots;
use crate::proxies::found::{Found, on_path, version};
use crate::proxies::peers::Role;
use crate::root;
use serde_json::{Value, json};
use std::env;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// Writes `NAME.json`, `NAME.csv` and the plots. `commit` is the one that was measured, as [`commit`] says it.
pub(crate) fn store(name: &str, commit: Option<&str>, found: &[Found], rows: &[Row]) -> io::Result<()> {
    let directory = directory();
    fs::create_dir_all(&directory)?;
    let record = json!({
        "machine": machine(),
        "command": env::args().skip(1).collect::<Vec<_>>(),
        "unix_time_s": SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        "commit": commit,
        "proxies": found.iter().map(|found| json!({
            "name": found.peer.name,
            "role": role(found.peer.role),
            "version": found.version,
        })).collect::<Vec<_>>(),
        "tls": "TLS 1.3, TLS_AES_128_GCM_SHA256, X25519, ECDSA P-256, no resumption",
        "rows": rows.iter().map(row_json).collect::<Vec<_>>(),
        "verdicts": verdicts(rows).iter().map(verdict_json).collect::<Vec<_>>(),
    });
    fs::write(directory.join(format!("{name}.json")), format!("{record:#}\n"))?;
    fs::write(directory.join(format!("{name}.csv")), csv(rows))?;
    for (plot, picture) in plots::draw(rows) {
        fs::write(directory.join(format!("{name}-{plot}.svg")), picture)?;
    }
    Ok(())
}

/// Where records lie.
pub(crate) fn directory() -> PathBuf {
    root().join("benches/record")
}

fn row_json(row: &Row) -> Value {
    json!({
        "trial": row.trial,
        "sessions": row.sessions,
        "proxy": row.peer,
        "command": row.command.iter().map(|word| without_places(word)).collect::<Vec<_>>(),
        "failure": row.failure,
        "figures": row.figures.iter().map(|column| json!({
            "name": column.name,
            "median": column.median,
            "values": column.values,
            "ratio": column.ratio.map(|ratio| json!({
                "median": ratio.median,
                "low": ratio.low,
                "high": ratio.high,
            })),
        })).collect::<Vec<_>>(),
    })
}

/// A word of a command line without where this tree and the bench's own files lie on this machine.
fn without_places(word: &str) -> String {
    let tree = format!("{}/", root().display());
    let files = env::temp_dir().join("websockify-bench-").to_string_lossy().into_owned();
    word.replace(&tree, "").replace(&files, "bench-")
}

fn verdict_json(verdict: &Verdict) -> Value {
    json!({
        "demand": verdict.demand,
        "trial": verdict.trial,
        "figure": verdict.figure,
        "most": verdict.most,
        "reached": verdict.reached.map(|ratio| ratio.median),
        "low": verdict.reached.map(|ratio| ratio.low),
        "high": verdict.reached.map(|ratio| ratio.high),
        "verdict": verdict.word,
    })
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Ours => "ours",
        Role::Peer => "peer",
        Role::Yardstick => "yardstick",
    }
}

fn csv(rows: &[Row]) -> String {
    let mut out =
        String::from("trial,sessions,proxy,role,figure,median,ratio,ratio_low,ratio_high,runs,failure\n");
    for row in rows {
        let who = format!("{},{},{},{}", row.trial, row.sessions, row.peer, role(row.role));
        let failure = row.failure.as_deref().unwrap_or_default().replace(['"', ',', '\n'], " ");
        if row.figures.is_empty() {
            let _ = writeln!(out, "{who},,,,,,0,{failure}");
        }
        for column in &row.figures {
            let ratio = column.ratio.map_or_else(
                || ",,".into(),
                |ratio| format!("{},{},{}", ratio.median, ratio.low, ratio.high),
            );
            let (name, median, runs) = (column.name, column.median, column.values.len());
            let _ = writeln!(out, "{who},{name},{median},{ratio},{runs},{failure}");
        }
    }
    out
}

/// The commit of this tree, and whether files differ from it; to be asked before anything is written.
pub(crate) fn commit() -> Option<String> {
    let output =
        Command::new("git").args(["describe", "--always", "--dirty"]).current_dir(root()).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn machine() -> Value {
    let field = |path: &str, name: &str| {
        let text = fs::read_to_string(path).ok()?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    json!({
        "cpu": field("/proc/cpuinfo", "model name"),
        "cores": fs::read_to_string("/proc/cpuinfo")
            .map_or(0, |text| text.lines().filter(|line| line.starts_with("processor")).count()),
        "memory": field("/proc/meminfo", "MemTotal"),
        "openssl": on_path("openssl").and_then(|path| version(Command::new(path).arg("version")).ok()),
        "rustc": version(Command::new("rustc").arg("--version")).ok(),
        "kernel": fs::read_to_string("/proc/sys/kernel/osrelease").ok().map(|text| text.trim().to_owned()),
    })
}
