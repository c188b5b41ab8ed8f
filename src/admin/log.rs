//! The level of the log while the service runs: for everything, or for the clients at an address.

use std::time::{Duration, Instant};

use ipnet::IpNet;
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::security::Caller;
use super::sessions::Parameters;
use crate::log::{Level, Log, TooMany, Topic, WISHES_MAX, Wish};
use crate::networks;

/// `GET /api/v1/log`.
pub(super) fn shown(log: &Log) -> Value {
    let now = Instant::now();
    // A second that has begun counts: what still holds is never shown with none left.
    let left = |wish: &Wish| {
        wish.until.map(|until| until.saturating_duration_since(now).as_millis().div_ceil(1000) as u64)
    };
    let wishes = log.levels().wishes(now);
    let of_all = wishes.iter().find(|wish| wish.clients.is_none());
    let addresses: Vec<Value> = wishes
        .iter()
        .filter_map(|wish| {
            let address = name(&wish.clients?);
            Some(json!({ "address": address, "level": wish.level.name(), "seconds": left(wish) }))
        })
        .collect();
    json!({
        "level": of_all.map_or(log.levels().configured(), |wish| wish.level).name(),
        "seconds": of_all.and_then(left),
        "configured": log.levels().configured().name(),
        "addresses": addresses,
    })
}

/// `PUT /api/v1/log`.
pub(super) fn set(log: &Log, object: &Map<String, Value>, by: &Caller) -> Result<Value, Answer> {
    let now = Instant::now();
    let (wish, seconds) = wish(object, now)?;
    let whose = wish.clients.as_ref().map_or_else(|| "everything".to_owned(), name);
    let time = seconds.map(|seconds| format!(" for {seconds} s")).unwrap_or_default();
    let text = format!("log level {} wanted for {whose}{time}", wish.level.name());
    said(log, &text, by, || log.levels().set(wish, now)).map_err(|TooMany| {
        Answer::error(400, format!("{WISHES_MAX} levels are set already; DELETE takes them back"))
    })?;
    Ok(shown(log))
}

/// `DELETE /api/v1/log`, of all, or with `address` for these clients.
pub(super) fn take_back(log: &Log, parameters: &Parameters<'_>, by: &Caller) -> Result<Value, Answer> {
    parameters.only(&["address"])?;
    let clients = parameters.parse("address", clients)?;
    // Without an address it would mean all.
    if clients.is_none() && !parameters.is_empty() {
        return Err(Answer::error(400, "'address' is empty"));
    }
    let now = Instant::now();
    let whose = clients.as_ref().map_or_else(|| "everything".to_owned(), name);
    let is_meant = |wish: &Wish| clients.is_none() || wish.clients == clients;
    if clients.is_some() && !log.levels().wishes(now).iter().any(is_meant) {
        return Err(Answer::error(404, "there is no level for this address"));
    }
    said(log, &format!("usual log level wanted for {whose}"), by, || log.levels().take_back(is_meant, now));
    Ok(shown(log))
}

/// Does what was asked for and says so, before or after: whenever the level of then lets it through.
fn said<T>(log: &Log, text: &str, by: &Caller, work: impl FnOnce() -> T) -> T {
    let say = || log.note(Topic::Admin, Level::Info, format_args!("admin: {text} (by {by})"));
    let is_before = log.wants(Level::Info, None);
    if is_before {
        say();
    }
    let result = work();
    if !is_before {
        say();
    }
    result
}

/// What a body asks for, and for how many seconds.
fn wish(object: &Map<String, Value>, now: Instant) -> Result<(Wish, Option<u64>), Answer> {
    let wrong = |text: String| Answer::error(400, text);
    // A key that is mistyped must not mean everything, or for ever.
    if let Some(key) = object.keys().find(|key| !["level", "address", "seconds"].contains(&key.as_str())) {
        return Err(wrong(format!("there is no '{key}'")));
    }
    let names = || Level::ALL.map(Level::name).join(", ");
    let level = object
        .get("level")
        .and_then(Value::as_str)
        .and_then(|name| Level::ALL.into_iter().find(|level| level.name() == name))
        .ok_or_else(|| wrong(format!("'level' must be one of {}", names())))?;
    let clients = object
        .get("address")
        .map(|value| {
            let clients = value.as_str().and_then(clients);
            clients.ok_or_else(|| wrong("'address' must be an address or a network".into()))
        })
        .transpose()?;
    let seconds = object
        .get("seconds")
        .map(|value| {
            let seconds = value.as_u64().filter(|seconds| (1..=SECONDS_MAX).contains(seconds));
            seconds.ok_or_else(|| wrong(format!("'seconds' must be a whole number from 1 to {SECONDS_MAX}")))
        })
        .transpose()?;
    let until = seconds.and_then(|seconds| now.checked_add(Duration::from_secs(seconds)));
    Ok((Wish { clients, level, until }, seconds))
}

/// The clients of an address or a network.
fn clients(text: &str) -> Option<IpNet> {
    networks::parse(text).map(|network| network.trunc())
}

/// These clients as they are written: one address without its length.
fn name(clients: &IpNet) -> String {
    match clients.prefix_len() == clients.max_prefix_len() {
        true => clients.addr().to_string(),
        false => clients.to_string(),
    }
}

/// The longest time of a level: a year. Without one it ends with the process.
const SECONDS_MAX: u64 = 365 * 24 * 60 * 60;
