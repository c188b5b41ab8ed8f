//! Routing of requests. Peers without permission learn nothing about what exists.

use serde_json::{Value, json};

use super::answer::Answer;
use super::security::{Caller, Security};
use super::sessions::{self, Parameters};
use super::{Admin, Role, families, health, log, status};
use crate::http::query;
use crate::http::request::Request;
use crate::log::{Level, Topic};

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Endpoint<'a> {
    Front,
    Metrics,
    Live,
    Ready,
    Status,
    Readiness,
    Sessions,
    Session(&'a str),
    Log,
}

impl Endpoint<'_> {
    /// The one at this path.
    fn at(path: &str) -> Option<Endpoint<'_>> {
        Some(match path {
            "/" => Endpoint::Front,
            "/metrics" => Endpoint::Metrics,
            "/livez" | "/healthz" => Endpoint::Live,
            "/readyz" => Endpoint::Ready,
            "/api/v1/status" => Endpoint::Status,
            "/api/v1/readiness" => Endpoint::Readiness,
            "/api/v1/sessions" => Endpoint::Sessions,
            "/api/v1/log" => Endpoint::Log,
            _ => Endpoint::Session(path.strip_prefix("/api/v1/sessions/").filter(|name| !name.is_empty())?),
        })
    }

    /// Whether it is for probes, which have no tokens and call this service by any name.
    fn is_health(self) -> bool {
        matches!(self, Endpoint::Live | Endpoint::Ready)
    }

    /// The methods that it has, as `Allow` tells them.
    fn methods(self) -> &'static str {
        match self {
            Endpoint::Front | Endpoint::Metrics | Endpoint::Live | Endpoint::Ready | Endpoint::Status => {
                "GET, HEAD"
            }
            Endpoint::Readiness => "PUT",
            Endpoint::Sessions | Endpoint::Session(_) => "GET, HEAD, DELETE",
            Endpoint::Log => "GET, HEAD, PUT, DELETE",
        }
    }
}

/// The answer to a request with this body.
pub(super) fn answer(admin: &Admin, request: &Request<'_>, body: &[u8], by: &Caller, role: Role) -> Answer {
    let (path, parameters) = request.target.split_once('?').unwrap_or((request.target, ""));
    let endpoint = Endpoint::at(path).filter(|endpoint| role == Role::All || endpoint.is_health());
    let is_health = endpoint.is_some_and(|endpoint| endpoint.is_health());
    let result = (|| {
        let grant = match is_health || role == Role::Health {
            true => None,
            false => Some(admin.security.admit(request, by)?),
        };
        let Some(endpoint) = endpoint else {
            return Err(Answer::error(404, "there is nothing at this path"));
        };
        if !endpoint.methods().split(", ").any(|method| method == request.method) {
            return Err(Answer::error(405, "this path has other methods").with("Allow", endpoint.methods()));
        }
        if let Some(grant) = grant
            && !matches!(request.method, "GET" | "HEAD")
        {
            Security::admit_change(grant, request)?;
        }
        act(admin, endpoint, request.method, parameters, body, by)
    })();
    result.unwrap_or_else(|refusal| refusal)
}

/// Does what a permitted peer asks for.
fn act(
    admin: &Admin,
    endpoint: Endpoint<'_>,
    method: &str,
    parameters: &str,
    body: &[u8],
    by: &Caller,
) -> Result<Answer, Answer> {
    Ok(match endpoint {
        Endpoint::Front => Answer::text(200, FRONT),
        Endpoint::Metrics => Answer::metrics(families::page(admin)),
        Endpoint::Live => health::live(admin),
        Endpoint::Ready => {
            let verbose = parameters.split('&').any(|pair| query::name(pair) == "verbose");
            health::ready(admin, verbose)
        }
        Endpoint::Status => Answer::json(200, &status::status(admin)),
        Endpoint::Readiness => readiness(admin, body, by)?,
        Endpoint::Sessions if method == "DELETE" => {
            Answer::json(200, &sessions::end_where(&admin.gateway, &Parameters::of(parameters), by)?)
        }
        Endpoint::Sessions => {
            Answer::json(200, &sessions::list(&admin.gateway, &Parameters::of(parameters))?)
        }
        Endpoint::Session(name) if method == "DELETE" => {
            Answer::json(202, &sessions::end_one(&admin.gateway, name, &Parameters::of(parameters), by)?)
        }
        Endpoint::Session(name) => Answer::json(200, &sessions::one(&admin.gateway, name)?),
        Endpoint::Log => {
            let log = &admin.gateway.shared.log;
            let shown = match method {
                "PUT" => log::set(log, &object(body)?, by)?,
                "DELETE" => log::take_back(log, &Parameters::of(parameters), by)?,
                _ => log::shown(log),
            };
            Answer::json(200, &shown)
        }
    })
}

/// Takes the service out of the rotation or back.
fn readiness(admin: &Admin, body: &[u8], by: &Caller) -> Result<Answer, Answer> {
    let object = object(body)?;
    let Some(Value::Bool(ready)) = object.get("ready") else {
        return Err(Answer::error(400, "'ready' must be true or false"));
    };
    admin.gateway.shared.health.withdraw(!ready);
    let what = if *ready { "ready again" } else { "not ready from now on" };
    let text = format_args!("admin: {what} (by {by})");
    admin.gateway.shared.log.note(Topic::Admin, Level::Info, text);
    Ok(Answer::json(200, &json!({ "ready": ready })))
}

/// The object in a request's body.
fn object(body: &[u8]) -> Result<serde_json::Map<String, Value>, Answer> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) | Err(_) => Err(Answer::error(400, "the body must be a JSON object")),
    }
}

/// What is at `/`.
const FRONT: &str = "\
websockify: administration

GET /metrics            for Prometheus
GET /livez              whether the process is alive
GET /readyz?verbose     whether new clients are welcome, and why not
GET /api/v1/status      what the service is doing
GET /api/v1/sessions    the sessions, in pages; one behind its name
DELETE                  the same path ends one, or all of a token, address, target or identity
PUT /api/v1/readiness   {\"ready\": false} takes it out of the rotation
GET /api/v1/log         the level of the log
PUT                     {\"level\": \"debug\", \"address\": \"10.0.0.7\", \"seconds\": 600} sets it; DELETE takes that back

websockify(1) says more under ADMIN.
";
