//! `/livez`, `/healthz` and `/readyz`: one line for each check that fails, and `ok` without one.

use super::Admin;
use super::answer::Answer;
use crate::health::Check;

/// Whether the process is alive, and nothing else: a restart does not repair a token service.
pub(super) fn live(admin: &Admin) -> Answer {
    let silent = admin.pulse.feel(&admin.gateway).silent;
    match silent.is_empty() {
        true => Answer::text(200, "ok\n"),
        false => Answer::text(503, silent.iter().map(|line| format!("{line}\n")).collect::<String>()),
    }
}

/// Whether new clients are welcome. `verbose` lists all checks.
pub(super) fn ready(admin: &Admin, verbose: bool) -> Answer {
    let checks = checks(admin);
    let is_ready = checks.iter().all(|check| check.failure.is_none());
    let status = if is_ready { 200 } else { 503 };
    let mut text = String::new();
    for Check { name, failure } in &checks {
        match failure {
            None if verbose => text.push_str(&format!("[+]{name} ok\n")),
            None => {}
            Some(reason) => text.push_str(&format!("[-]{name} failed: {reason}\n")),
        }
    }
    match (is_ready, verbose) {
        (true, false) => text.push_str("ok\n"),
        (true, true) => text.push_str("ready\n"),
        (false, true) => text.push_str("not ready\n"),
        (false, false) => {}
    }
    Answer::text(status, text)
}

/// All conditions of being ready, in the order in which they are reported.
pub(super) fn checks(admin: &Admin) -> Vec<Check> {
    let gateway = &admin.gateway;
    let silent = admin.pulse.feel(gateway).silent;
    let live = Check { name: "live", failure: (!silent.is_empty()).then(|| silent.join(", ")) };
    let mut checks = vec![live];
    if let Some(frontend) = gateway.frontends.first() {
        checks.extend(gateway.shared.checks(gateway.shared.live(), frontend.lacks_certificate()));
    }
    checks
}
