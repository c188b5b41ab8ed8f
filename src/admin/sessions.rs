//! Sessions: all in pages, the best by something, one; and their ends.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use super::Gateway;
use super::answer::Answer;
use super::security::Caller;
use super::status::{moment, seconds};
use crate::conn::row::{Ending, Filter, Order, Row};
use crate::http::query;
use crate::id::{SessionName, Side};
use crate::metrics::Gauge;
use crate::networks;
use crate::reactor::{Control, Query};

/// The parameters of a request.
pub(super) struct Parameters<'a>(&'a str);

impl<'a> Parameters<'a> {
    pub(super) fn of(text: &'a str) -> Parameters<'a> {
        Parameters(text)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn get(&self, name: &str) -> Option<String> {
        let value = self.0.split('&').find_map(|pair| query::value(pair, name))?;
        Some(query::decoded(value).into_owned())
    }

    /// A value in a form of its own.
    pub(super) fn parse<T>(
        &self,
        name: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Answer> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let wrong = || Answer::error(400, format!("'{name}' is not understood"));
        read(&text).map(Some).ok_or_else(wrong)
    }

    /// Only these are allowed: a mistyped filter must not mean all sessions.
    pub(super) fn only(&self, names: &[&str]) -> Result<(), Answer> {
        let mut pairs = self.0.split('&').filter(|pair| !pair.is_empty());
        match pairs.find(|pair| !names.contains(&&*query::name(pair))) {
            Some(pair) => Err(Answer::error(400, format!("there is no parameter '{}'", query::name(pair)))),
            None => Ok(()),
        }
    }

    fn filter(&self) -> Result<Filter, Answer> {
        Ok(Filter {
            address: self.parse("address", networks::parse)?,
            target: self.get("target"),
            token: self.get("token"),
            identity: self.get("identity"),
            idle_over: self.parse("idle_over", |text| text.parse().ok().map(Duration::from_secs))?,
            stalled: self.parse("stalled", |text| (text == "1").then_some(true))?.unwrap_or(false),
        })
    }
}

const FILTERS: [&str; 6] = ["address", "target", "token", "identity", "idle_over", "stalled"];

/// `GET /api/v1/sessions`.
pub(super) fn list(gateway: &Gateway, parameters: &Parameters<'_>) -> Result<Value, Answer> {
    parameters.only(&[&FILTERS[..], &["limit", "after", "sort"]].concat())?;
    let limit = parameters
        .parse("limit", |text| text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit)))?;
    let order = parameters.parse("sort", |text| match text {
        "bytes" => Some(Order::Bytes),
        "age" => Some(Order::Age),
        "idle" => Some(Order::Idle),
        _ => None,
    })?;
    let (worker, from) = parameters.parse("after", cursor)?.unwrap_or((0, 0));
    let query = Query { filter: parameters.filter()?, from, limit: limit.unwrap_or(LIMIT), order };
    let (rows, next, incomplete) = match order {
        Some(_) => best(gateway, &query),
        None => page(gateway, query, worker),
    };
    let sessions: Vec<Value> = rows.iter().map(|(worker, row)| object(gateway, *worker, row)).collect();
    let total =
        gateway.shared.metrics.iter().flat_map(|metrics| &metrics.sessions).map(Gauge::value).sum::<u64>();
    Ok(json!({ "sessions": sessions, "next": next, "total": total, "incomplete": incomplete }))
}

type Found = (Vec<(u32, Row)>, Option<String>, Vec<usize>);

/// The next sessions in the order of slots, worker by worker.
fn page(gateway: &Gateway, mut query: Query, first: u32) -> Found {
    let (mut rows, mut incomplete) = (Vec::new(), Vec::new());
    let limit = query.limit;
    let until = Instant::now() + PATIENCE;
    for (index, reactor) in gateway.reactors.iter().enumerate().skip(first as usize) {
        if rows.len() >= limit {
            return (rows, Some(format!("{index}-0")), incomplete);
        }
        let (answer, answers) = channel();
        query.limit = limit - rows.len();
        if !reactor.ask(Control::List { query: Arc::new(query.clone()), answer }) {
            continue;
        }
        query.from = 0;
        match answers.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(page) => {
                rows.extend(page.rows.into_iter().map(|row| (index as u32, row)));
                if let Some(next) = page.next {
                    return (rows, Some(format!("{index}-{next:x}")), incomplete);
                }
            }
            Err(RecvTimeoutError::Timeout) => incomplete.push(index),
            // It has ended meanwhile.
            Err(RecvTimeoutError::Disconnected) => {}
        }
    }
    (rows, None, incomplete)
}

/// The top sessions of all workers.
fn best(gateway: &Gateway, query: &Query) -> Found {
    let (answer, answers) = channel();
    let shared = Arc::new(query.clone());
    let asked: Vec<usize> = (0..gateway.reactors.len())
        .filter(|&index| {
            gateway.reactors[index].ask(Control::List { query: Arc::clone(&shared), answer: answer.clone() })
        })
        .collect();
    drop(answer);
    let (mut rows, mut silent, until) = (Vec::new(), asked, Instant::now() + PATIENCE);
    while !silent.is_empty() {
        let Ok(page) = answers.recv_timeout(until.saturating_duration_since(Instant::now())) else { break };
        silent.retain(|index| *index != page.reactor);
        rows.extend(page.rows.into_iter().map(|row| (page.reactor as u32, row)));
    }
    let rank = |row: &Row| match query.order {
        Some(Order::Bytes) => u128::from(row.bytes.0 + row.bytes.1),
        Some(Order::Age) => row.age.as_millis(),
        Some(Order::Idle) => row.idle.0.min(row.idle.1).as_millis(),
        None => 0,
    };
    rows.sort_by_key(|(worker, row)| (std::cmp::Reverse(rank(row)), *worker, row.id.slot));
    rows.truncate(query.limit);
    (rows, None, silent)
}

/// `WORKER-SLOT`, where the next page begins.
fn cursor(text: &str) -> Option<(u32, u32)> {
    let (worker, slot) = text.split_once('-')?;
    Some((worker.parse().ok()?, u32::from_str_radix(slot, 16).ok()?))
}

/// `GET /api/v1/sessions/{id}`.
pub(super) fn one(gateway: &Gateway, name: &str) -> Result<Value, Answer> {
    let name = known(gateway, name)?;
    let (answer, answers) = channel();
    let reactor = &gateway.reactors[name.worker as usize];
    if !reactor.ask(Control::One { id: name.id, answer }) {
        return Err(missing());
    }
    match answers.recv_timeout(PATIENCE) {
        Ok(Some(row)) => Ok(object(gateway, name.worker, &row)),
        Ok(None) | Err(RecvTimeoutError::Disconnected) => Err(missing()),
        Err(RecvTimeoutError::Timeout) => Err(silent(name.worker)),
    }
}

/// `DELETE /api/v1/sessions/{id}`.
pub(super) fn end_one(
    gateway: &Gateway,
    name: &str,
    parameters: &Parameters<'_>,
    by: &Caller,
) -> Result<Value, Answer> {
    parameters.only(&["code", "reason"])?;
    let (ending, name) = (ending(parameters)?, known(gateway, name)?);
    let (answer, answers) = channel();
    let reactor = &gateway.reactors[name.worker as usize];
    if !reactor.ask(Control::End { id: name.id, ending, answer }) {
        return Err(missing());
    }
    match answers.recv_timeout(PATIENCE) {
        Ok(true) => {
            gateway.shared.log.info(format_args!("admin: ended session {name} (by {by})"));
            Ok(json!({ "ended": 1 }))
        }
        Ok(false) | Err(RecvTimeoutError::Disconnected) => Err(missing()),
        Err(RecvTimeoutError::Timeout) => Err(silent(name.worker)),
    }
}

/// `DELETE /api/v1/sessions?…`.
pub(super) fn end_where(
    gateway: &Gateway,
    parameters: &Parameters<'_>,
    by: &Caller,
) -> Result<Value, Answer> {
    parameters.only(&["address", "target", "token", "identity", "all", "code", "reason"])?;
    let (filter, ending) = (parameters.filter()?, ending(parameters)?);
    let all = parameters.parse("all", |text| (text == "true").then_some(()))?.is_some();
    let words: Vec<String> = ["token", "address", "target", "identity"]
        .into_iter()
        .filter_map(|name| Some(format!("{name} {}", parameters.get(name)?)))
        .collect();
    if words.is_empty() != all {
        return Err(Answer::error(
            400,
            "either a filter (token, address, target, identity) or all=true is needed",
        ));
    }
    let words = if all { "all".to_owned() } else { format!("of {}", words.join(" and ")) };
    let (answer, answers) = channel();
    let filter = Arc::new(filter);
    let asked = gateway
        .reactors
        .iter()
        .filter(|reactor| {
            reactor.ask(Control::EndWhere { filter: Arc::clone(&filter), ending, answer: answer.clone() })
        })
        .count();
    drop(answer);
    let (mut ended, mut answered, until) = (0, 0, Instant::now() + PATIENCE);
    while answered < asked {
        let Ok(count) = answers.recv_timeout(until.saturating_duration_since(Instant::now())) else { break };
        ended += count;
        answered += 1;
    }
    gateway.shared.log.info(format_args!("admin: ended {ended} sessions, {words} (by {by})"));
    Ok(json!({ "ended": ended, "incomplete": asked - answered }))
}

/// What a client is told, and how its end is counted.
fn ending(parameters: &Parameters<'_>) -> Result<Ending, Answer> {
    let code = parameters.parse("code", |text| {
        let code: u16 = text.parse().ok()?;
        // Those that a server may send (RFC 6455, 7.4), and make sense here.
        [1000, 1001, 1008, 1011, 1012, 1013]
            .contains(&code)
            .then_some(code)
            .or((3000..=4999).contains(&code).then_some(code))
    })?;
    let reason = parameters.parse("reason", |text| match text {
        "ended" => Some("Session was ended by the operator"),
        "revoked" => Some("Access was withdrawn"),
        "maintenance" => Some("Maintenance"),
        _ => None,
    })?;
    Ok(Ending { code: code.unwrap_or(1008), reason: reason.unwrap_or("Session was ended by the operator") })
}

/// The name of a session that this process may have.
fn known(gateway: &Gateway, name: &str) -> Result<SessionName, Answer> {
    let name: SessionName = name.parse().map_err(|_| missing())?;
    let is_ours = name.instance == gateway.shared.instance && (name.worker as usize) < gateway.reactors.len();
    if is_ours { Ok(name) } else { Err(missing()) }
}

fn missing() -> Answer {
    Answer::error(404, "there is no such session")
}

fn silent(worker: u32) -> Answer {
    Answer::error(503, format!("worker {worker} does not answer"))
}

/// A session as the API shows it.
fn object(gateway: &Gateway, worker: u32, row: &Row) -> Value {
    let name = SessionName { instance: gateway.shared.instance, worker, id: row.id };
    let now = SystemTime::now();
    let client = row.client.map(|(ip, port)| json!({ "address": ip.to_string(), "port": port }));
    let peer =
        row.peer.map(|peer| json!({ "address": peer.ip().to_canonical().to_string(), "port": peer.port() }));
    let unix = row.unix.as_ref().map(|path| json!({ "unix": path }));
    let stalled = row.stalled.map(Side::name);
    let tls = row
        .tls
        .as_ref()
        .map(|tls| json!({ "version": tls.version, "suite": tls.suite, "client_cn": tls.common_name }));
    json!({
        "id": name.to_string(),
        "process": "current",
        "state": row.state,
        "transport": if row.tls.is_some() { "wss" } else { "ws" },
        "client": client,
        "peer": peer.or(unix),
        "via": row.via,
        "target": row.target,
        "token": row.token,
        "identity": row.identity.as_deref(),
        "request_id": row.request_id,
        "begun": now.checked_sub(row.age).and_then(moment),
        "duration_seconds": seconds(row.age),
        "expires": row.expires.and_then(moment),
        "bytes": { "up": row.bytes.0, "down": row.bytes.1 },
        "idle_seconds": { "up": seconds(row.idle.0), "down": seconds(row.idle.1) },
        "rtt_seconds": row.round_trip.map(|time| time.as_secs_f64()),
        "stalled": stalled,
        "held_bytes": row.held_bytes,
        "tls": tls,
    })
}

/// How long a worker may take for its part.
const PATIENCE: Duration = Duration::from_secs(2);

/// Sessions of a page, unless another number is asked for; and the most of them.
const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1000;
