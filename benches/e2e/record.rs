//! What is kept of a comparison: JSON with everything, CSV for a spreadsheet, and where it was measured.

use crate::e2e::compare::Row;
use crate::e2e::peers::{Found, first_line};
use serde_json::{Value, json};
use std::env;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Writes `benches/record/NAME.json` and `NAME.csv`; returns their directory.
pub(crate) fn store(name: &str, found: &[Found], rows: &[Row]) -> io::Result<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/record");
    fs::create_dir_all(&directory)?;
    let record = json!({
        "machine": machine(),
        "command": env::args().skip(1).collect::<Vec<_>>(),
        "unix_time_s": SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        "commit": first_line(Path::new("git"), &["describe", "--always", "--dirty"]).ok(),
        "proxies": found.iter().map(|found| json!({
            "name": found.peer.name,
            "version": found.version,
        })).collect::<Vec<_>>(),
        "rows": rows.iter().map(row_json).collect::<Vec<_>>(),
    });
    fs::write(directory.join(format!("{name}.json")), format!("{record:#}\n"))?;
    fs::write(directory.join(format!("{name}.csv")), csv(rows))?;
    Ok(directory)
}

fn row_json(row: &Row) -> Value {
    json!({
        "scenario": row.scenario,
        "proxy": row.peer,
        "command": row.command,
        "failure": row.failure,
        "figures": row.figures.iter().map(|column| json!({
            "name": column.name,
            "median": column.median,
            "values": column.values,
            "ratio_to_plain": column.ratio.map(|ratio| json!({
                "median": ratio.median,
                "low": ratio.low,
                "high": ratio.high,
            })),
        })).collect::<Vec<_>>(),
    })
}

fn csv(rows: &[Row]) -> String {
    let mut out = String::from("scenario,proxy,figure,median,ratio,ratio_low,ratio_high,runs\n");
    for row in rows {
        for column in &row.figures {
            let ratio = column.ratio.map_or_else(
                || ",,".into(),
                |ratio| format!("{},{},{}", ratio.median, ratio.low, ratio.high),
            );
            let (median, runs) = (column.median, column.values.len());
            let _ = writeln!(out, "{},{},{},{median},{ratio},{runs}", row.scenario, row.peer, column.name);
        }
    }
    out
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
        "kernel": fs::read_to_string("/proc/sys/kernel/osrelease").ok().map(|text| text.trim().to_owned()),
    })
}
