//! A record as JSON, with the value of each round: written below `target/`, and read to write the tree's files
//! of it again (`--convert`).

use crate::figures::compare::{ACTIVE, Column, Row};
use crate::figures::demands::{Verdict, verdicts};
use crate::figures::record::{Record, TLS, role, without_build, without_places};
use crate::figures::stats::Ratio;
use crate::options::Form;
use crate::proxies::peers::PEERS;
use crate::scenarios::Trial;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The record as text.
pub(crate) fn to_json(record: &Record) -> String {
    let value = json!({
        "machine": record.machine,
        "command": record.command,
        "unix_time_s": record.unix_time_s,
        "commit": record.commit,
        "proxies": record.proxies.iter().map(|(name, version)| json!({
            "name": name,
            "version": version,
        })).collect::<Vec<_>>(),
        "tls": TLS,
        "rows": record.rows.iter().map(row_json).collect::<Vec<_>>(),
        "verdicts": verdicts(&record.rows).iter().map(verdict_json).collect::<Vec<_>>(),
    });
    format!("{value:#}\n")
}

/// The record that the text holds. What follows from the rest (verdicts, roles) is not read.
pub(crate) fn from_json(text: &str) -> Result<Record, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let machine = value["machine"].as_object().ok_or("no machine")?;
    let mut machine: BTreeMap<String, String> = machine
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.clone(), words(value)))
        .collect();
    if let Some(kernel) = machine.get_mut("kernel") {
        *kernel = without_build(kernel).to_owned();
    }
    let proxies =
        list(&value, "proxies")?.iter().map(|proxy| (words(&proxy["name"]), words(&proxy["version"])));
    Ok(Record {
        command: list(&value, "command")?.iter().map(words).collect(),
        commit: value["commit"].as_str().map(str::to_owned),
        unix_time_s: value["unix_time_s"].as_u64().ok_or("no time")?,
        machine,
        proxies: proxies.collect(),
        rows: list(&value, "rows")?.iter().map(row).collect::<Result<_, _>>()?,
    })
}

fn row_json(row: &Row) -> Value {
    json!({
        "trial": row.trial,
        "sessions": row.sessions,
        "proxy": row.peer,
        "role": role(row.role),
        "command": row.command.iter().map(|word| without_places(word)).collect::<Vec<_>>(),
        "failure": row.failure,
        "figures": row.figures.iter().map(|column| json!({
            "name": column.name,
            "comparable": column.comparable,
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

fn row(value: &Value) -> Result<Row, String> {
    let (trial, name) = (words(&value["trial"]), words(&value["proxy"]));
    let peer = PEERS.iter().find(|peer| peer.name == name).ok_or(format!("no proxy is called {name:?}"))?;
    let sessions = value["sessions"].as_u64().ok_or(format!("{trial}: no sessions"))?;
    let full = Trial::select(Form::Full, &[]).into_iter().find(|known| known.name() == trial);
    let full = full.ok_or(format!("no trial is called {trial:?}"))?;
    Ok(Row {
        sessions,
        is_scaled_down: sessions < full.scenario.sessions,
        peer: peer.name,
        role: peer.role,
        command: list(value, "command")?.iter().map(words).collect(),
        figures: list(value, "figures")?.iter().map(column).collect::<Result<_, _>>()?,
        failure: value["failure"].as_str().map(str::to_owned),
        trial,
    })
}

fn column(value: &Value) -> Result<Column, String> {
    let name = words(&value["name"]);
    let number = |value: &Value| value.as_f64().ok_or(format!("{name}: {value} is not a number"));
    let ratio = match &value["ratio"] {
        Value::Null => None,
        ratio => Some(Ratio {
            median: number(&ratio["median"])?,
            low: number(&ratio["low"])?,
            high: number(&ratio["high"])?,
        }),
    };
    // The first records did not say which figures are comparable; those have a ratio to the yardstick's.
    let comparable = value["comparable"].as_bool().unwrap_or(ratio.is_some() && name != ACTIVE);
    Ok(Column {
        median: number(&value["median"])?,
        values: list(value, "values")?.iter().map(number).collect::<Result<_, _>>()?,
        comparable,
        ratio,
        name,
    })
}

fn list<'v>(value: &'v Value, name: &str) -> Result<&'v [Value], String> {
    value[name].as_array().map(Vec::as_slice).ok_or_else(|| format!("no list of {name}"))
}

fn words(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::record::tests::record;

    #[test]
    fn what_was_written_is_read_as_it_was() {
        let text = to_json(&record());
        let read = from_json(&text).expect("our own text");
        assert_eq!(to_json(&read), text);
        let (one, other) = (&record().rows[0], &read.rows[0]);
        assert_eq!((other.sessions, other.is_scaled_down, other.role == one.role), (1, false, true));
        assert_eq!(other.figures[0].ratio, one.figures[0].ratio);
    }

    #[test]
    fn a_proxy_that_had_fewer_sessions_than_the_trial_is_read_as_such() {
        let text = to_json(&record()).replace("ws/down-4k", "ws/idle-9000");
        assert!(from_json(&text).expect("a known trial").rows[0].is_scaled_down);
    }

    #[test]
    fn a_record_of_before_has_its_comparable_figures_by_their_ratios() {
        let text: String =
            to_json(&record()).lines().filter(|line| !line.contains("\"comparable\"")).collect();
        let rows = from_json(&text).expect("still a record").rows;
        assert!(rows[0].figures[0].comparable && !rows[1].figures[0].comparable);
    }

    #[test]
    fn what_is_no_record_is_refused_with_a_reason() {
        let good = to_json(&record());
        let bent = [
            (good.replace("ws/down-4k", "ws/other"), "no trial is called"),
            (good.replace("\"plain\"", "\"plane\""), "no proxy is called"),
            (good.replace("\"rows\"", "\"lines\""), "no list of rows"),
            (good.replace("0.512345678", "\"half\""), "is not a number"),
            (good[..good.len() / 2].to_owned(), "EOF"),
        ];
        for (text, reason) in bent {
            let said = from_json(&text).err().expect("it is refused");
            assert!(said.contains(reason), "{said:?} does not say {reason:?}");
        }
    }
}
