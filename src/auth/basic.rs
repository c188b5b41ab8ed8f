//! BasicHTTPAuth: user and password by `Authorization: Basic`, and cookies that stand for them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::cookie::Cookies;
use super::passwords::{Passwords, Stored};
use super::{Admitted, Argument, AuthPlugin, Decision, Denial, Presented, Source};
use crate::http::credentials::{self, Credentials};
use crate::log::Log;
use crate::secret::{Key, Signature};
use crate::source::CachedFile;

pub(super) fn open(source: &Source) -> Result<Box<dyn AuthPlugin>, String> {
    let users = match &source.argument {
        None => Users::One(None),
        Some(Argument::Text(text)) => {
            let text = String::from_utf8_lossy(text.reveal()).into_owned();
            let one = text.split_once(':');
            Users::One(one.map(|(user, password)| (user.to_owned(), Stored::plain(password.as_bytes()))))
        }
        Some(Argument::File(path)) => Users::File(path.clone(), CachedFile::default()),
    };
    let basic = Basic {
        users,
        cookies: source.cookie.map(Cookies::new).transpose()?,
        proven: Proven { key: Key::random()?, until: Mutex::default() },
        log: Arc::clone(&source.log),
    };
    match basic.users {
        Users::One(None) => {
            let line = "warning: --auth-source is not user:password, so BasicHTTPAuth admits nobody";
            source.log.info(format_args!("{line}"));
        }
        Users::One(Some(_)) => {}
        Users::File(..) => {
            if let Err(why) = basic.passwords() {
                source.log.warn(format_args!("warning: --auth-source {why}"));
            }
        }
    }
    Ok(Box::new(Plugin(Arc::new(basic))))
}

struct Plugin(Arc<Basic>);

struct Basic {
    users: Users,
    cookies: Option<Cookies>,
    proven: Proven,
    log: Arc<Log>,
}

enum Users {
    /// From the command line; `None` without one.
    One(Option<(String, Stored)>),
    File(PathBuf, CachedFile<Passwords>),
}

/// Passwords that were verified a short while ago, so that the sixty files of a page cost one hash. A
/// signature of user, password and hash is stored.
struct Proven {
    key: Key,
    until: Mutex<HashMap<Signature, Instant>>,
}

impl AuthPlugin for Plugin {
    fn may_block(&self) -> bool {
        matches!(self.0.users, Users::File(..))
    }

    fn decide(&self, presented: &Presented<'_>) -> Decision {
        match &self.0.users {
            Users::One(one) => {
                let one = one.as_ref();
                let find = |user: &str| one.filter(|(known, _)| known == user).map(|(_, stored)| stored);
                self.0.decide(presented, find, one.map(|(_, stored)| stored))
            }
            Users::File(..) => match self.0.passwords() {
                Ok(passwords) => self.0.decide(presented, |user| passwords.get(user), passwords.decoy()),
                Err(why) => Decision::Broken(why),
            },
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        match &self.0.users {
            Users::One(_) => Vec::new(),
            Users::File(path, _) => vec![path.clone()],
        }
    }
}

impl Basic {
    /// Decides with the stored passwords. An unknown user is compared with the decoy, so that refusing one
    /// takes as long.
    fn decide<'a>(
        self: &Arc<Self>,
        presented: &Presented<'_>,
        find: impl Fn(&str) -> Option<&'a Stored>,
        decoy: Option<&'a Stored>,
    ) -> Decision {
        if let Some(cookies) = &self.cookies
            && let Some(user) = cookies.user(&presented.cookies, |user| find(user).map(Stored::text))
        {
            return Decision::Admitted(Admitted { user: Some(user.into()), cookie: None });
        }
        let given = match presented.authorization[..] {
            [] => return Decision::Denied(Denial::Unauthenticated("no user and password were sent")),
            [value] => credentials::basic(value),
            _ => Err(credentials::Malformed),
        };
        let Ok(given) = given else {
            return Decision::Denied(Denial::Forbidden("the Authorization header is malformed"));
        };
        let (stored, is_known) = match (find(&given.user), decoy) {
            (Some(stored), _) => (stored, true),
            (None, Some(decoy)) => (decoy, false),
            (None, None) => return wrong(),
        };
        if !stored.is_hashed() {
            let is_right = stored.is(given.password.reveal()) && is_known;
            return if is_right { self.admit(&given, stored) } else { wrong() };
        }
        if is_known && self.proven.has(&given, stored) {
            return self.admit(&given, stored);
        }
        let (basic, stored) = (Arc::clone(self), stored.clone());
        Decision::Unproven(Box::new(move || {
            // Another request with it may have been first.
            let is_right = basic.proven.has(&given, &stored) || stored.is(given.password.reveal());
            if !(is_right && is_known) {
                return wrong();
            }
            basic.proven.add(&given, &stored);
            basic.admit(&given, &stored)
        }))
    }

    fn admit(&self, given: &Credentials, stored: &Stored) -> Decision {
        let issue = |cookies: &Cookies| cookies.issue(&given.user, stored.text());
        let user = Some(given.user.as_str().into());
        Decision::Admitted(Admitted { user, cookie: self.cookies.as_ref().map(issue) })
    }

    /// What the file says.
    fn passwords(&self) -> Result<Arc<Passwords>, String> {
        let Users::File(path, file) = &self.users else { return Ok(Arc::default()) };
        let parse = |bytes: &[u8]| {
            let passwords = Passwords::parse(bytes);
            for (number, why) in passwords.bad.iter().take(COMPLAINTS_MAX) {
                self.log.warn(format_args!("{}: line {number} admits nobody: {why}", path.display()));
            }
            passwords
        };
        file.get(path, parse).map_err(|fault| format!("{}: {fault}", path.display()))
    }
}

impl Proven {
    fn has(&self, given: &Credentials, stored: &Stored) -> bool {
        let signature = self.sign(given, stored);
        let until = self.until.lock().unwrap_or_else(PoisonError::into_inner).get(&signature).copied();
        until.is_some_and(|until| Instant::now() < until)
    }

    fn add(&self, given: &Credentials, stored: &Stored) {
        let (signature, now) = (self.sign(given, stored), Instant::now());
        let mut proven = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        if proven.len() >= PROVEN_MAX {
            proven.retain(|_, until| *until > now);
        }
        if proven.len() < PROVEN_MAX {
            proven.insert(signature, now + PROVEN_LIFE);
        }
    }

    fn sign(&self, given: &Credentials, stored: &Stored) -> Signature {
        self.key.sign(&[given.user.as_bytes(), given.password.reveal(), stored.text()])
    }
}

fn wrong() -> Decision {
    Decision::Denied(Denial::Unauthenticated("wrong user or password"))
}

/// How long a password counts as proven.
const PROVEN_LIFE: Duration = Duration::from_secs(60);

/// Verified passwords that are remembered: the users of a minute. Any beyond are hashed each time.
const PROVEN_MAX: usize = 10_000;

/// Bad lines that are logged one by one.
const COMPLAINTS_MAX: usize = 10;
