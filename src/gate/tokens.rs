//! The token plugin of a gate, and what its answers lead to.

use std::path::PathBuf;
use std::sync::Arc;

use super::flights::Flights;
use super::{Question, Reach, TokenTarget, naming};
use crate::http::query;
use crate::log::Log;
use crate::secret::Fingerprint;
use crate::target::Target;
use crate::token::{self, Asks, TokenPlugin};

/// A token plugin.
pub(super) struct Tokens {
    pub(super) name: String,
    pub(super) plugin: Arc<dyn TokenPlugin>,
    /// Those who ask for the same token get one answer; nothing for a plugin that asks others each time.
    pub(super) flights: Option<Flights>,
    host_token: bool,
    /// Relative paths of sockets begin here.
    directory: PathBuf,
    is_remote: bool,
    reach: Arc<Reach>,
}

impl Tokens {
    /// The plugin `class` with its argument.
    ///
    /// # Errors
    /// It can't be had, in words for the operator.
    pub(super) fn open(
        class: &token::Plugin,
        source: &token::Source,
        host_token: bool,
        reach: Reach,
    ) -> Result<Tokens, String> {
        let is_shared = class.asks == Asks::Files || source.remote.cache.is_some();
        let name = source.python.as_ref().map_or_else(|| class.name.into(), |python| python.name.clone());
        Ok(Tokens {
            name,
            plugin: token::open(class, source)?,
            flights: is_shared.then(Flights::default),
            host_token,
            directory: source.directory.clone(),
            is_remote: class.asks == Asks::Service,
            reach: Arc::new(reach),
        })
    }

    /// A plugin of a test's own.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn of(plugin: Arc<dyn TokenPlugin>) -> Tokens {
        Tokens {
            name: "plugin".into(),
            plugin,
            flights: None,
            host_token: false,
            directory: "/".into(),
            is_remote: false,
            reach: Arc::default(),
        }
    }

    /// The token in a request.
    pub(super) fn token(&self, question: &Question) -> Option<String> {
        match self.host_token {
            true => question.values("host").next().and_then(query::host_token),
            false => query::token(&question.target),
        }
    }

    /// Where a token leads, and what is said of it.
    pub(super) fn place(&self, token: &str, target: Target, log: &Log) -> TokenTarget {
        let name = naming::target(&target, token, self.host_token, log);
        let (target, forbidden) = match target {
            Target::Unix(path) => {
                let path = self.directory.join(path);
                let forbidden = self.reach.check_unix(&path, self.is_remote).err();
                (Target::Unix(path), forbidden.map(|why| why.to_string()))
            }
            Target::Tcp { .. } => (target, None),
        };
        let (reach, token) = (Arc::clone(&self.reach), Fingerprint::of(token.as_bytes()));
        TokenTarget { target, name, reach, forbidden, expires: None, header: None, token }
    }
}
