//! What `/metrics` has. Most of it is read from the reactors' counters; nothing is kept for it.

use std::time::{Duration, SystemTime};

use super::exposition::Page;
use super::process;
use super::pulse::Findings;
use super::status::{self, State};
use super::{Admin, Gateway};
use crate::conn::end::Kind;
use crate::helpers;
use crate::http::response::Status;
use crate::metrics::{
    AcceptError, Auth, CLOSE_CODES, Closer, DURATIONS, Dial, Gauge, Handshake, Histogram, Lookup, Metrics,
    Ping, ProxyHeader, Resolve, Stage, TIMES, Transport, Way,
};

/// All families, in the order of a connection's life.
pub(super) fn page(admin: &Admin) -> String {
    let mut page = Page::default();
    let found = admin.pulse.feel(&admin.gateway);
    service(&mut page, admin, &found);
    connections(&mut page, &admin.gateway);
    sessions(&mut page, &admin.gateway);
    tls(&mut page, &admin.gateway);
    gate(&mut page, &admin.gateway);
    targets(&mut page, &admin.gateway);
    web(&mut page, &admin.gateway);
    memory(&mut page, &admin.gateway, &found);
    threads(&mut page, &admin.gateway, &found);
    log(&mut page, &admin.gateway);
    of_process(&mut page, admin.gateway.about.started);
    page.into_text()
}

/// The sum of a counter over all reactors.
fn sum(gateway: &Gateway, pick: impl Fn(&Metrics) -> u64) -> u64 {
    gateway.shared.metrics.iter().map(|metrics| pick(metrics)).sum()
}

/// How many connections ended for a reason.
fn ended(gateway: &Gateway, kind: Kind) -> u64 {
    sum(gateway, |metrics| metrics.endings().nth(kind as usize).unwrap_or(0))
}

/// The same for each value of a label.
fn sums<const N: usize>(gateway: &Gateway, pick: impl Fn(&Metrics) -> [u64; N]) -> [u64; N] {
    let mut total = [0; N];
    for metrics in &gateway.shared.metrics {
        total.iter_mut().zip(pick(metrics)).for_each(|(total, value)| *total += value);
    }
    total
}

/// The same for what goes up and down.
fn gauges<const N: usize>(gateway: &Gateway, pick: impl Fn(&Metrics) -> &[Gauge; N]) -> [u64; N] {
    sums(gateway, |metrics| pick(metrics).each_ref().map(Gauge::value))
}

/// The same for a histogram.
fn merged<const N: usize>(gateway: &Gateway, pick: impl Fn(&Metrics) -> &Histogram<N>) -> (Vec<u64>, u64) {
    let mut total = (vec![0; N + 1], 0);
    for metrics in &gateway.shared.metrics {
        let (counts, sum_ns) = pick(metrics).read();
        total.0.iter_mut().zip(counts).for_each(|(total, value)| *total += value);
        total.1 += sum_ns;
    }
    total
}

fn service(page: &mut Page, admin: &Admin, found: &Findings) {
    let gateway = &admin.gateway;
    let state = status::state(admin);
    let version = [("version", env!("CARGO_PKG_VERSION")), ("revision", status::REVISION)];
    page.gauge("websockify_build_info", "Which program this is.").with(&version, 1);
    page.gauge("websockify_state", "1 for the state of the service.");
    for other in State::ALL {
        page.by("state", other.name(), u8::from(state == other));
    }
    page.gauge("websockify_workers", "Threads that relay.").one(gateway.reactors.len());
    page.gauge("websockify_worker_answer_seconds", "How long the last question to a worker took, or takes.");
    page.each("worker", 0.., found.reactors.iter().map(|(_, took)| took.as_secs_f64()));
}

fn connections(page: &mut Page, gateway: &Gateway) {
    let (shared, all) = (&gateway.shared, &gateway.shared.metrics);
    let live = all.iter().map(|metrics| metrics.live.load(std::sync::atomic::Ordering::Relaxed));
    page.gauge("websockify_connections", "Connections in any state.").each("worker", 0.., live);
    page.gauge("websockify_connections_max", "Connections that may be served at a time.")
        .one(shared.places.connections_max);
    let stages = gauges(gateway, |metrics| &metrics.stages);
    page.gauge("websockify_connections_by_stage", "Connections by how far they are.").each(
        "stage",
        Stage::NAMES,
        stages,
    );
    page.counter("websockify_connections_accepted_total", "Connections accepted.").each(
        "worker",
        0..,
        all.iter().map(|metrics| metrics.accepted.total()),
    );
    page.counter("websockify_accept_errors_total", "Times that the system refused to accept a connection.")
        .each("result", AcceptError::NAMES, sums(gateway, |metrics| metrics.accept_errors.totals()));
    page.counter("websockify_proxy_headers_total", "What connections of trusted proxies began with.").each(
        "result",
        ProxyHeader::NAMES,
        sums(gateway, |metrics| metrics.proxy_headers.totals()),
    );
    let ended = |kind| ended(gateway, kind);
    page.counter("websockify_refused_total", "Connections and sessions for which a limit left no room.")
        .by("limit", "connections", ended(Kind::Full) + ended(Kind::Displaced))
        .by("limit", "target", ended(Kind::NotAllowed))
        .by("limit", "memory", ended(Kind::Overcommitted));
    page.counter("websockify_connection_endings_total", "Connections ended, by reason.").each(
        "reason",
        Kind::ALL.iter().map(|kind| kind.name()),
        Kind::ALL.iter().map(|kind| ended(*kind)),
    );
}

fn sessions(page: &mut Page, gateway: &Gateway) {
    let now = gauges(gateway, |metrics| &metrics.sessions);
    page.gauge("websockify_sessions", "WebSocket sessions.").each("transport", Transport::NAMES, now);
    page.counter("websockify_sessions_opened_total", "Upgrades granted.").each(
        "transport",
        Transport::NAMES,
        sums(gateway, |metrics| metrics.upgraded.totals()),
    );
    let durations = merged(gateway, |metrics| &metrics.durations);
    page.histogram(
        "websockify_session_duration_seconds",
        "How long sessions were.",
        &[],
        DURATIONS,
        &durations,
    );
    page.counter("websockify_relayed_bytes_total", "Payload bytes relayed.")
        .by("direction", "up", sum(gateway, |metrics| metrics.bytes_up.total()))
        .by("direction", "down", sum(gateway, |metrics| metrics.bytes_down.total()));
    let stalled = gauges(gateway, |metrics| &metrics.stalled);
    page.gauge("websockify_stalled_sessions", "Sessions whose receiving end takes nothing now.").each(
        "direction",
        Way::NAMES,
        stalled,
    );
    page.histogram(
        "websockify_client_round_trip_seconds",
        "From a ping to its answer (--heartbeat).",
        &[],
        TIMES,
        &merged(gateway, |metrics| &metrics.round_trips),
    );
    page.counter("websockify_pings_total", "Pings to clients; a client that misses them ends.").each(
        "result",
        Ping::NAMES,
        sums(gateway, |metrics| metrics.pings.totals()),
    );
    page.by("result", "missed", ended(gateway, Kind::ClientSilent));
    page.counter("websockify_revoked_sessions_total", "Sessions ended from outside.").by(
        "by",
        "admin",
        ended(gateway, Kind::Killed),
    );
    page.counter("websockify_close_frames_total", "Close frames, by who closes the session and their code.");
    for (by, name) in Closer::NAMES.iter().enumerate() {
        let totals = sums(gateway, |metrics| metrics.closes[by].totals());
        let codes = CLOSE_CODES.iter().map(u16::to_string).chain(["other".to_owned()]);
        for (code, total) in codes.zip(totals) {
            page.with(&[("by", name), ("code", &code)], total);
        }
    }
}

fn tls(page: &mut Page, gateway: &Gateway) {
    page.counter("websockify_tls_handshakes_total", "TLS handshakes of clients.");
    let totals = sums(gateway, |metrics| metrics.handshakes.totals());
    for (name, total) in Handshake::NAMES.iter().zip(totals) {
        let (version, resumed) = name.split_once(' ').unwrap_or((name, ""));
        page.with(&[("result", "ok"), ("version", version), ("resumed", resumed)], total);
    }
    page.by("result", "failed", ended(gateway, Kind::TlsFailed))
        .by("result", "cut", ended(gateway, Kind::HalfTls))
        .by("result", "slow", ended(gateway, Kind::SlowTls));
    page.histogram(
        "websockify_tls_handshake_seconds",
        "How long completed TLS handshakes took.",
        &[],
        TIMES,
        &merged(gateway, |metrics| &metrics.handshake_times),
    );
    let certificates = gateway.frontends.first().and_then(|frontend| frontend.tls.as_ref());
    let Some(report) = certificates.map(|certificates| certificates.report()) else { return };
    page.gauge(
        "websockify_certificate_expiry_timestamp_seconds",
        "When the certificate expires, in the order of --cert.",
    );
    for (pair, expiry) in report.expiries.iter().enumerate() {
        if let Some(expiry) = expiry {
            page.by("pair", &pair.to_string(), expiry);
        }
    }
    page.counter(
        "websockify_certificate_reloads_total",
        "Certificates that were read, and that could not be.",
    )
    .by("result", "ok", report.loaded)
    .by("result", "failed", report.failed);
}

fn gate(page: &mut Page, gateway: &Gateway) {
    let Some(counts) = gateway.frontends.first().and_then(|frontend| frontend.gate.counts()) else { return };
    if let Some(plugin) = &gateway.about.auth_plugin {
        page.counter("websockify_auth_total", "What the auth plugin has said.");
        for (name, total) in Auth::NAMES.iter().zip(counts.auths.totals()) {
            page.with(&[("plugin", plugin), ("result", name)], total);
        }
    }
    if let Some(plugin) = &gateway.about.token_plugin {
        page.counter("websockify_lookups_total", "Tokens looked up.");
        for (name, total) in Lookup::NAMES.iter().zip(counts.lookups.totals()) {
            page.with(&[("plugin", plugin), ("result", name)], total);
        }
        let help = "How long lookups of tokens took that were not known at once.";
        let times = counts.lookup_times.read();
        page.histogram("websockify_lookup_seconds", help, &[("plugin", plugin)], TIMES, &times);
    }
}

fn targets(page: &mut Page, gateway: &Gateway) {
    page.counter("websockify_resolves_total", "Names of targets looked up.").each(
        "result",
        Resolve::NAMES,
        sums(gateway, |metrics| metrics.resolves.totals()),
    );
    page.histogram(
        "websockify_resolve_seconds",
        "How long lookups of names took.",
        &[],
        TIMES,
        &merged(gateway, |metrics| &metrics.resolve_times),
    );
    page.counter("websockify_connects_total", "Targets dialled.").each(
        "result",
        Dial::NAMES,
        sums(gateway, |metrics| metrics.dials.totals()),
    );
    page.histogram(
        "websockify_connect_seconds",
        "From the grant of a session to its connected target.",
        &[],
        TIMES,
        &merged(gateway, |metrics| &metrics.dial_times),
    );
}

fn web(page: &mut Page, gateway: &Gateway) {
    page.counter("websockify_http_responses_total", "Requests answered, by status.");
    for (index, status) in Status::all().enumerate() {
        let total = sum(gateway, |metrics| metrics.responses.get(index).map_or(0, |counter| counter.total()));
        page.by("code", &status.0.to_string(), total);
    }
    page.counter("websockify_http_response_bytes_total", "Bytes of the bodies of files and lists.")
        .one(sum(gateway, |metrics| metrics.body_bytes.total()));
}

fn memory(page: &mut Page, gateway: &Gateway, found: &Findings) {
    let vitals = || found.reactors.iter().filter_map(|(vitals, _)| *vitals);
    page.gauge("websockify_held_bytes", "Bytes held for peers that do not read.")
        .one(vitals().map(|vitals| vitals.held_bytes).sum::<usize>());
    page.gauge("websockify_held_max_bytes", "Bytes that may be held (--memory-limit).")
        .one(gateway.about.held_bytes_max);
    page.gauge("websockify_rings_bytes", "Bytes of buffers that wait for their next use.")
        .one(vitals().map(|vitals| vitals.rings_bytes).sum::<usize>());
}

fn threads(page: &mut Page, gateway: &Gateway, found: &Findings) {
    let lanes = helpers::loads();
    page.gauge("websockify_helper_queue", "Jobs that wait for a thread.").each(
        "lane",
        lanes.iter().map(|lane| lane.name),
        lanes.iter().map(|lane| lane.waiting),
    );
    page.gauge("websockify_helper_threads", "Threads of helpers.");
    for lane in &lanes {
        page.with(&[("lane", lane.name), ("state", "busy")], lane.busy);
        page.with(&[("lane", lane.name), ("state", "idle")], lane.idle);
    }
    page.counter("websockify_helper_jobs_total", "Jobs of helpers.");
    for lane in &lanes {
        page.with(&[("lane", lane.name), ("result", "done")], lane.done);
        page.with(&[("lane", lane.name), ("result", "refused")], lane.refused);
    }
    let cpu = process::reactor_cpu(gateway.reactors.len().max(found.reactors.len()));
    page.counter("websockify_worker_cpu_seconds_total", "Processor time of a worker.");
    for (worker, time) in cpu.iter().enumerate() {
        if let Some(time) = time {
            page.by("worker", &worker.to_string(), time.as_secs_f64());
        }
    }
}

fn log(page: &mut Page, gateway: &Gateway) {
    let outputs = gateway.shared.log.counts();
    page.counter("websockify_log_lines_total", "Lines of the log, by output.").each(
        "output",
        outputs.iter().map(|output| output.name),
        outputs.iter().map(|output| output.lines),
    );
    page.counter("websockify_log_lines_lost_total", "Lines that an output did not take.").each(
        "output",
        outputs.iter().map(|output| output.name),
        outputs.iter().map(|output| output.lost),
    );
    page.counter("websockify_log_lines_suppressed_total", "Lines that there were too many of.")
        .one(gateway.shared.limiter.suppressed());
}

fn of_process(page: &mut Page, started: SystemTime) {
    let sizes = process::sizes();
    if let Some(time) = process::cpu() {
        page.counter("process_cpu_seconds_total", "Processor time of the process.").one(time.as_secs_f64());
    }
    for (name, help, value) in [
        ("process_resident_memory_bytes", "Resident memory.", sizes.resident),
        ("process_virtual_memory_bytes", "Address space.", sizes.virtual_bytes),
        ("process_threads", "Threads.", sizes.threads),
        ("process_open_fds", "Open files.", process::open_files()),
        ("process_max_fds", "Files that may be open.", process::open_files_max()),
    ] {
        if let Some(value) = value {
            page.gauge(name, help).one(value);
        }
    }
    let since = started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    page.gauge("process_start_time_seconds", "When the process was started, since 1970.")
        .one(since.as_secs_f64());
}
