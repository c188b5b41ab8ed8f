//! The gate: who is admitted, and to which target. It is asked before anything is granted, with one owned
//! question, and answers once.
//!
//! The order is fixed: the page that sent the client (`--allow-origin`), the auth plugin, the token. Whatever
//! can be decided without waiting is decided at once; the rest runs on helpers, and a client that leaves
//! gives up its place in the queue.

mod counts;
mod flights;
mod keeper;
mod naming;
mod reach;
mod tokens;
mod verdict;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::auth;
use crate::flight::{Asked, ReplyTo};
use crate::helpers::Stub;
use crate::http::origin::Origin;
use crate::http::request::Request;
use crate::log::Log;
use crate::token;
#[cfg(any(test, feature = "testing"))]
use crate::token::TokenPlugin;
pub use counts::Counts;
use keeper::{Keeper, Visit};
pub use reach::Reach;
use tokens::Tokens;
pub use verdict::{Asker, Grant, Question, TokenTarget, Verdict, Wants, Why, busy, overdue};
use verdict::{invalid_origin, refused};

/// The gate that every request has to pass. Clones are the same gate.
#[derive(Clone, Default)]
pub struct Gate(Option<Arc<Keeper>>);

/// What a gate is made of.
pub struct Settings {
    /// `--allow-origin`; empty without it.
    pub origins: Vec<AllowedOrigin>,
    /// `--auth-plugin` and its argument.
    pub auth: Option<(&'static auth::Plugin, auth::Source)>,
    /// `--web-auth`.
    pub web_auth: bool,
    /// `--token-plugin` and its argument.
    pub tokens: Option<(&'static token::Plugin, token::Source)>,
    /// `--host-token`.
    pub host_token: bool,
    /// Host and port that all sessions go to, if it is the same for all.
    pub target: Option<(String, u16)>,
    /// Where targets of tokens may be.
    pub reach: Reach,
    /// Where operators are notified.
    pub log: Arc<Log>,
}

/// A page that may open sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrigin {
    /// A page from the host that is asked for the session.
    Same,
    /// One of this origin.
    Of(Origin),
}

impl Gate {
    /// A gate that lets every request pass, and asks nothing.
    pub fn open() -> Gate {
        Gate(None)
    }

    /// A gate as the operator wants it.
    ///
    /// # Errors A plugin can't be loaded, in words for the operator. Then there is no gate at all, never an
    /// open one.
    pub fn new(settings: Settings) -> Result<Gate, String> {
        if settings.origins.is_empty() && settings.auth.is_none() && settings.tokens.is_none() {
            return Ok(Gate::open());
        }
        let auth = match &settings.auth {
            Some((class, source)) => Some((class.open)(source)?),
            None => None,
        };
        let tokens = match settings.tokens {
            Some((class, source)) => Some(Tokens::open(class, &source, settings.host_token, settings.reach)?),
            None => None,
        };
        let mut keeper = Keeper::new(settings.log);
        keeper.origins = settings.origins;
        keeper.auth = auth;
        keeper.for_pages = settings.web_auth;
        keeper.tokens = tokens;
        keeper.target = settings.target;
        Ok(Gate(Some(Arc::new(keeper))))
    }

    /// A gate that asks this plugin for a target and nothing else; for tests and fuzz targets.
    #[cfg(any(test, feature = "testing"))]
    pub fn of_tokens(plugin: Arc<dyn TokenPlugin>) -> Gate {
        let mut keeper = Keeper::new(Arc::new(Log::in_memory(false)));
        keeper.tokens = Some(Tokens::of(plugin));
        Gate(Some(Arc::new(keeper)))
    }

    /// Files and directories that hold secrets and must not be published, with the options that name them.
    pub fn files(&self) -> Vec<(&'static str, PathBuf)> {
        let Some(keeper) = &self.0 else { return Vec::new() };
        let of_auth = keeper.auth.iter().flat_map(|auth| auth.files()).map(|path| ("--auth-source", path));
        let of_tokens = keeper.tokens.iter().flat_map(|tokens| tokens.plugin.files());
        of_auth.chain(of_tokens.map(|path| ("--token-source", path))).collect()
    }

    /// Whether it may say that a target is to be told of its client.
    pub fn may_tell(&self) -> bool {
        let tokens = self.0.as_ref().and_then(|keeper| keeper.tokens.as_ref());
        tokens.is_some_and(|tokens| tokens.plugin.may_tell())
    }

    /// What it has asked since the start; `None` where it asks nothing.
    pub fn counts(&self) -> Option<&Counts> {
        self.0.as_ref().map(|keeper| &*keeper.counts)
    }

    /// The question to ask about a request; `None` where nothing has to be asked.
    pub fn question(
        &self,
        wants: Wants,
        request: &Request<'_>,
        asker: impl FnOnce() -> Asker,
    ) -> Option<Box<Question>> {
        let keeper = self.0.as_ref()?;
        if wants == Wants::Page && !keeper.for_pages {
            return None;
        }
        Some(Box::new(Question {
            wants,
            method: request.method.to_owned(),
            target: request.target.to_owned(),
            headers: request.fields().map(|(name, value)| (name.to_owned(), value.to_vec())).collect(),
            asker: asker(),
        }))
    }

    /// Asks. Without a question the answer is immediate. When the client of `stub` leaves, its place is free.
    pub fn ask(
        &self,
        question: Option<Box<Question>>,
        stub: impl FnOnce() -> Stub,
        to: impl FnOnce() -> ReplyTo<Verdict>,
    ) -> Asked<Verdict> {
        let (Some(keeper), Some(question)) = (&self.0, question) else {
            return Asked::Now(Verdict::Granted(Grant::default()));
        };
        if question.wants == Wants::Session && !keeper.allows_origin(&question) {
            return Asked::Now(refused(invalid_origin("the page's origin is not one of --allow-origin")));
        }
        match keeper.begin(Visit::new(question, stub(), to())) {
            Ok(()) => Asked::Later,
            Err(known) => {
                let (caller, verdict) = *known;
                caller.forget();
                Asked::Now(verdict)
            }
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Gate(kept)" } else { "Gate(open)" })
    }
}

/// Descriptors that lookups at a service can have open at a time: a connection for each, as many that are kept,
/// and those of name lookups.
pub const DESCRIPTORS_MAX: usize = 2 * keeper::THREADS_MAX + 16;

#[cfg(test)]
mod tests;
