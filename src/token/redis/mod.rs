//! TokenRedis: the target is the value of a key.
//!
//! Connections are kept, up to the number of simultaneous lookups. A server that can't be reached, or does
//! not answer in time, is left alone for a pause that doubles; until then lookups fail at once.

mod reply;
mod source;

use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::link::{Dialer, Link, describe};
use super::{Answer, LOOK_UP, Source, TokenPlugin};
use crate::log::Log;
use crate::source::without_mark;
use crate::target::{Colons, Target};
use reply::Reply;
use source::Server;

#[cfg(any(test, feature = "testing"))]
pub(super) fn parse(bytes: &[u8]) -> Result<Option<usize>, String> {
    let found = reply::parse(bytes).map_err(|fault| fault.to_string())?;
    Ok(found.map(|(reply, length)| {
        if let Reply::Value(value) = reply {
            let _ = target(&value);
        }
        length
    }))
}

pub(super) fn open(source: &Source) -> Result<Box<dyn TokenPlugin>, String> {
    let server = Server::parse(&source.text("TokenRedis")?)?;
    source.log.info(format_args!("TokenRedis backend initialized ({})", server.name()));
    let dialer = Dialer::default();
    if server.is_secure
        && let Err(why) = dialer.tls()
    {
        source.log.warn(format_args!("warning: TokenRedis: {why}"));
    }
    let log = Arc::clone(&source.log);
    Ok(Box::new(TokenRedis { server, takes: source.remote.once, dialer, state: Mutex::default(), log }))
}

struct TokenRedis {
    server: Server,
    /// Whether a token is deleted when it is used (`--token-once`).
    takes: bool,
    dialer: Dialer,
    state: Mutex<State>,
    log: Arc<Log>,
}

/// Idle connections, and the server's recent failures.
#[derive(Default)]
struct State {
    idle: Vec<Idle>,
    /// Failures in a row.
    failures: u32,
    /// The last failure, and when the server is tried again.
    away: Option<(String, Instant)>,
}

struct Idle {
    link: Link,
    since: Instant,
}

/// Why there is no answer.
enum Fault {
    /// The connection is no longer usable.
    Lost(String),
    /// The server declined to answer.
    Declined(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Fault {
        Fault::Lost(describe(&error))
    }
}

impl TokenPlugin for TokenRedis {
    fn look_up(&self, token: &str) -> Answer {
        self.look_up_until(token, None, Instant::now() + LOOK_UP)
    }

    fn look_up_until(&self, token: &str, _: Option<IpAddr>, deadline: Instant) -> Answer {
        let key = format!("{}{token}", self.server.prefix);
        match self.get(key.as_bytes(), deadline) {
            Ok(None) => Answer::Unknown,
            Ok(Some(value)) => match target(&value) {
                Some(target) => Answer::to(target),
                None => Answer::Broken("the token's value in Redis does not name a target".into()),
            },
            Err(why) => Answer::Broken(format!("Redis at {}: {why}", self.server.name())),
        }
    }
}

impl TokenRedis {
    /// The value of a key.
    fn get(&self, key: &[u8], deadline: Instant) -> Result<Option<Vec<u8>>, String> {
        if Instant::now() >= deadline {
            // The time was spent waiting for a helper, which is not the server's fault.
            return Err("no time was left to ask".into());
        }
        // A kept connection may have died unnoticed; then the question is asked again on a new one. If the
        // first attempt deleted the token, it is gone, so no token is valid twice.
        if let Some(mut link) = self.kept(deadline) {
            match self.ask(&mut link, key) {
                Ok(value) => return Ok(self.keep(link, value)),
                Err(Fault::Declined(why)) => return Err(why),
                Err(Fault::Lost(why)) if Instant::now() >= deadline => return Err(self.failed(why)),
                Err(Fault::Lost(_)) => {}
            }
        }
        if let Some((why, until)) = &self.lock().away
            && Instant::now() < *until
        {
            return Err(format!("{why}; retrying soon"));
        }
        let answer = self.connect(deadline).and_then(|mut link| {
            let value = self.ask(&mut link, key)?;
            Ok(self.keep(link, value))
        });
        answer.map_err(|fault| match fault {
            Fault::Lost(why) => self.failed(why),
            Fault::Declined(why) => why,
        })
    }

    /// A connection from those that are kept.
    fn kept(&self, deadline: Instant) -> Option<Link> {
        let mut dead = Vec::new();
        let found = {
            let mut state = self.lock();
            loop {
                let Some(mut idle) = state.idle.pop() else { break None };
                if idle.since.elapsed() < IDLE_MAX && !idle.link.is_disturbed() {
                    idle.link.set_deadline(deadline);
                    break Some(idle.link);
                }
                dead.push(idle);
            }
        };
        drop(dead);
        found
    }

    /// Keeps a connection that has just answered.
    fn keep<T>(&self, link: Link, value: T) -> T {
        let mut state = self.lock();
        let was_away = state.away.take().is_some();
        state.failures = 0;
        // The oldest come first; those that a burst has left behind are closed by later callers.
        let old = state.idle.iter().take_while(|idle| idle.since.elapsed() >= IDLE_MAX).count();
        let old: Vec<Idle> = state.idle.drain(..old).collect();
        if state.idle.len() < LINKS_MAX {
            state.idle.push(Idle { link, since: Instant::now() });
        }
        drop(state);
        drop(old);
        if was_away {
            self.log.info(format_args!("TokenRedis: {} answers again", self.server.name()));
        }
        value
    }

    /// Notes a failure: the server is left alone for a while.
    fn failed(&self, why: String) -> String {
        let mut state = self.lock();
        let pause = PAUSE_MIN.saturating_mul(1 << state.failures.min(10)).min(PAUSE_MAX);
        state.failures = state.failures.saturating_add(1);
        let is_first = state.away.is_none();
        state.away = Some((why.clone(), Instant::now() + pause));
        let dead = std::mem::take(&mut state.idle);
        drop(state);
        drop(dead);
        if is_first {
            self.log.warn(format_args!("warning: TokenRedis: {}: {why}", self.server.name()));
        }
        why
    }

    /// A new connection, past its password and its database.
    fn connect(&self, deadline: Instant) -> Result<Link, Fault> {
        let server = &self.server;
        let mut link = self.dialer.connect(&server.host, server.port, deadline)?;
        if server.is_secure {
            link = self.dialer.secure(link, &server.host)?;
        }
        if let Some(password) = &server.password {
            let mut words: Vec<&[u8]> = vec![b"AUTH"];
            words.extend(server.user.as_ref().map(|user| user.reveal()));
            words.push(password.reveal());
            match question(&mut link, &words)? {
                // A server without passwords answers with this code; an unnecessary password does no harm.
                Reply::Error(code) if code == "ERR" => {}
                Reply::Error(code) => {
                    return Err(Fault::Declined(format!("the password is refused ({code})")));
                }
                _ => {}
            }
        }
        if server.db != 0 {
            let db = server.db.to_string();
            if let Reply::Error(code) = question(&mut link, &[b"SELECT", db.as_bytes()])? {
                return Err(Fault::Declined(format!("database {db} is refused ({code})")));
            }
        }
        Ok(link)
    }

    fn ask(&self, link: &mut Link, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let name: &[u8] = if self.takes { b"GETDEL" } else { b"GET" };
        match question(link, &[name, key])? {
            Reply::Value(value) => Ok(Some(value)),
            Reply::Nil => Ok(None),
            Reply::Error(code) => Err(Fault::Declined(match (code.as_str(), self.takes) {
                ("ERR", true) => "GETDEL is refused (ERR): --token-once needs Redis 6.2 or newer".into(),
                ("NOAUTH", _) => "it needs a password (NOAUTH)".into(),
                ("WRONGTYPE", _) => "the token's key holds no string (WRONGTYPE)".into(),
                _ => format!("{} is refused ({code})", String::from_utf8_lossy(name)),
            })),
            Reply::Status => Err(Fault::Lost(reply::Fault::NotRedis.to_string())),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks one question and reads its one answer.
fn question(link: &mut Link, words: &[&[u8]]) -> Result<Reply, Fault> {
    link.write_all(&reply::command(words))?;
    link.flush()?;
    let (mut bytes, mut space) = (Vec::new(), [0; READ_SIZE]);
    loop {
        let count = match link.read(&mut space) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            count => count?,
        };
        if count == 0 {
            return Err(Fault::Lost("the connection ended prematurely".into()));
        }
        bytes.extend_from_slice(&space[..count]);
        match reply::parse(&bytes) {
            Ok(None) => {}
            Ok(Some((reply, length))) if length == bytes.len() => return Ok(reply),
            Ok(Some(_)) => return Err(Fault::Lost(reply::Fault::NotRedis.to_string())),
            Err(fault) => return Err(Fault::Lost(fault.to_string())),
        }
    }
}

/// `host:port`, or `{"host": "host:port"}`.
fn target(value: &[u8]) -> Option<Target> {
    let text = std::str::from_utf8(without_mark(value)).ok()?.trim();
    if text.starts_with('{') {
        let value: Value = serde_json::from_str(text).ok()?;
        return Target::parse(value.get("host")?.as_str()?, Colons::One);
    }
    Target::parse(text, Colons::One)
}

/// A connection that was idle for this long is closed instead of used; servers and firewalls drop idle ones.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// Connections kept: one for each lookup that the gate does at a time.
const LINKS_MAX: usize = 32;

/// The pause after a first failure; it doubles.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// The longest pause, after which a recovered server is noticed.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Bytes read at a time.
const READ_SIZE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_a_target() {
        let tcp = |host: &str, port| Some(Target::Tcp { host: host.into(), port });
        for (value, expected) in [
            ("h:5900", tcp("h", 5900)),
            (" h:5900\n", tcp("h", 5900)),
            (r#"{"host": "h:5900"}"#, tcp("h", 5900)),
            (r#" {"host":"[::1]:5900","more":1}"#, tcp("::1", 5900)),
            ("[::1]:5900", tcp("::1", 5900)),
            ("unix_socket:/run/x", Some(Target::Unix("/run/x".into()))),
            ("::1:5900", None),
            (r#"{"host": "h", "port": 5900}"#, None),
            (r#"{"host": 5}"#, None),
            ("{", None),
            ("h", None),
            ("", None),
        ] {
            assert_eq!(target(value.as_bytes()), expected, "{value}");
        }
        assert_eq!(target(b"\xff:1"), None);
    }
}
