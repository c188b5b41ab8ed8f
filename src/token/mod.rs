//! Token plugins, which find a client's target by its token. The classes are those of the Python program;
//! each is one file here and one row in [`PLUGINS`].
//!
//! A lookup may block, so it runs on a helper. A plugin says what it found and nothing about clients.

mod cache;
mod file;
mod file_name;
mod http;
mod jwt;
mod link;
mod program;
mod redis;
mod unix_dir;

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use crate::log::Log;
use crate::plugin::PythonClass;
use crate::proxy::Version;
use crate::source::Place;
use crate::target::Target;

/// Finds targets by tokens.
pub trait TokenPlugin: Send + Sync {
    /// Looks the token up. May wait.
    fn look_up(&self, token: &str) -> Answer;

    /// The same for a client that waits only until then, when plugins that ask a service give up. `client` is its
    /// address, unless the answer may serve others.
    fn look_up_until(&self, token: &str, client: Option<IpAddr>, deadline: Instant) -> Answer {
        let _ = (client, deadline);
        self.look_up(token)
    }

    /// The answer if it is known without asking anybody. Must not block.
    fn known(&self, token: &str) -> Option<Answer> {
        let _ = token;
        None
    }

    /// Whether it may answer that a target is to be told of its client.
    fn may_tell(&self) -> bool {
        false
    }

    /// Files and directories that reveal tokens, which must not be published.
    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }
}

/// The result of a lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The token stands for this target, on these terms.
    Found(Target, Terms),
    /// The token is unknown.
    Unknown,
    /// The token can't be valid; says why, for the operator. The client is told the same as for an unknown
    /// one.
    Invalid(String),
    /// The token must not be used; says why, for the operator.
    Refused(String),
    /// There is no answer because something failed; says what, for the operator.
    Broken(String),
}

/// What else an answer says about a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// How long the token is good.
    pub expires: Option<SystemTime>,
    /// The target is to be told of its client by this PROXY header.
    pub header: Option<Version>,
}

impl Answer {
    /// The token stands for this target, and no more is said.
    pub fn to(target: Target) -> Answer {
        Answer::Found(target, Terms::default())
    }

    /// What a service has found that answers in JSON; `header` is the value of `proxy_protocol`. Nothing if that is no version.
    fn found(target: Target, header: Option<&Value>) -> Option<Answer> {
        let header = match header {
            None | Some(Value::Null) => None,
            Some(name) => Some(Version::named(name.as_str()?)?),
        };
        Some(Answer::Found(target, Terms { header, ..Terms::default() }))
    }
}

/// One class of plugins.
pub struct Plugin {
    /// Its name, as Python has it.
    pub name: &'static str,
    /// What it asks.
    pub asks: Asks,
    /// Makes one of its argument.
    pub open: Open,
}

/// What a plugin asks for targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// Files of this machine, or nothing. Simultaneous lookups of the same token share an answer.
    Files,
    /// A service.
    Service,
    /// A program, which may treat each question differently.
    Program,
}

/// Makes a plugin from its argument; the error is in words for the operator.
pub type Open = fn(&Source) -> Result<Box<dyn TokenPlugin>, String>;

/// `--token-source`, and what is needed to interpret it.
#[derive(Clone)]
pub struct Source {
    /// The argument, if there is one.
    pub text: Option<OsString>,
    /// The directory that the program was started in.
    pub directory: PathBuf,
    /// The web root, where the Python program looks for relative paths.
    pub web: Option<PathBuf>,
    /// Where a plugin logs what is wrong with a file.
    pub log: Arc<Log>,
    /// How services are asked.
    pub remote: Remote,
    /// The class, for a plugin that is [`PYTHON`].
    pub python: Option<PythonClass>,
}

/// Options for plugins that ask a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remote {
    /// `--token-once`: a token is deleted when it is used.
    pub once: bool,
    /// `--token-cache`: how long a found target stays valid.
    pub cache: Option<Duration>,
}

impl Source {
    /// The argument of the plugin `name` as text.
    ///
    /// # Errors
    /// There is none, or it is not UTF-8.
    fn text(&self, name: &str) -> Result<String, String> {
        match &self.text {
            Some(text) if !text.is_empty() => {
                let text = text.to_str().ok_or_else(|| format!("{name}: --token-source is not UTF-8"))?;
                Ok(text.to_owned())
            }
            _ => Err(format!("{name} needs --token-source")),
        }
    }

    /// The place of the file or directory that the argument names, for the plugin `name`.
    ///
    /// # Errors
    /// There is no argument.
    fn place(&self, name: &str) -> Result<Place, String> {
        match &self.text {
            Some(text) if !text.is_empty() => {
                Ok(Place::new(Path::new(text), &self.directory, self.web.as_deref()))
            }
            _ => Err(format!("{name} needs --token-source")),
        }
    }
}

/// Two rows are the same if their names are.
impl PartialEq for Plugin {
    fn eq(&self, other: &Plugin) -> bool {
        self.name == other.name
    }
}

impl Eq for Plugin {}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Every class, in the order in which the help lists them.
pub const PLUGINS: &[Plugin] = &[
    Plugin { name: "TokenFile", asks: Asks::Files, open: file::open },
    // Each connection rereads it there, too, so there is no difference.
    Plugin { name: "ReadOnlyTokenFile", asks: Asks::Files, open: file::open },
    Plugin { name: "TokenFileName", asks: Asks::Files, open: file_name::open },
    Plugin { name: "BaseTokenAPI", asks: Asks::Service, open: http::open_text },
    Plugin { name: "JSONTokenApi", asks: Asks::Service, open: http::open_json },
    Plugin { name: "JWTTokenApi", asks: Asks::Files, open: jwt::open },
    Plugin { name: "TokenRedis", asks: Asks::Service, open: redis::open },
    Plugin { name: "UnixDomainSocketDirectory", asks: Asks::Files, open: unix_dir::open },
];

/// A command that is asked for targets.
pub const EXEC: Plugin = Plugin { name: "exec", asks: Asks::Program, open: program::open };

/// A Python class that is not built in.
pub const PYTHON: Plugin = Plugin { name: "a Python class", asks: Asks::Program, open: program::open };

#[cfg(any(test, feature = "testing"))]
pub use jwt::Reader as JwtReader;

/// For fuzzing: reads a token file, and says how many tokens, bad lines and lines there are.
#[cfg(any(test, feature = "testing"))]
pub fn count_tokens(bytes: &[u8]) -> (usize, usize, usize) {
    file::Tokens::parse(bytes).count()
}

/// For fuzzing: reads what a Redis server says, and says how long the first answer in it is, if that is whole.
///
/// # Errors
/// It is no answer.
#[cfg(any(test, feature = "testing"))]
pub fn redis_reply(bytes: &[u8]) -> Result<Option<usize>, String> {
    redis::parse(bytes)
}

/// For fuzzing: authority and target of the URL for a token, and of where a redirect from there leads; for each
/// nothing if there is none.
#[cfg(any(test, feature = "testing"))]
pub fn service_urls(template: &str, token: &str, location: &str) -> Option<[Option<(String, String)>; 2]> {
    http::urls(template, token, location)
}

/// For fuzzing: reads an answer of HTTP that comes in two pieces, and says its status and body.
#[cfg(any(test, feature = "testing"))]
pub fn http_response(bytes: &[u8], cut: usize) -> Option<(u16, Vec<u8>)> {
    http::decode(bytes, cut)
}

/// Makes a plugin of a class.
///
/// # Errors Its argument is invalid; in words for the operator.
pub fn open(class: &Plugin, source: &Source) -> Result<Arc<dyn TokenPlugin>, String> {
    let plugin = (class.open)(source)?;
    match source.remote.cache {
        Some(time) if class.asks != Asks::Files => Ok(Arc::new(cache::Cached::new(plugin, time))),
        _ => Ok(Arc::from(plugin)),
    }
}

/// Time for a lookup if the caller sets no deadline.
pub const LOOK_UP: Duration = Duration::from_secs(10);

/// The class of this name, short or with its Python module in front, as scripts do both.
pub fn plugin(name: &str) -> Option<&'static Plugin> {
    let name = name.strip_prefix("websockify.token_plugins.").unwrap_or(name);
    PLUGINS.iter().find(|plugin| plugin.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_found_by_its_short_and_its_dotted_name() {
        for row in PLUGINS {
            assert_eq!(plugin(row.name).expect(row.name).name, row.name);
            let dotted = format!("websockify.token_plugins.{}", row.name);
            assert_eq!(plugin(&dotted).expect(row.name).name, row.name);
        }
        for name in ["TokenFil", "tokenfile", "mine.TokenFile", "websockify.auth_plugins.TokenFile", ".", ""]
        {
            assert!(plugin(name).is_none(), "{name}");
        }
    }

    #[test]
    fn plugins_of_files_need_an_argument() {
        let log = Arc::new(Log::in_memory(false));
        // JWTTokenApi starts without a key, and refuses every token.
        for row in PLUGINS.iter().filter(|row| row.asks == Asks::Files && row.name != "JWTTokenApi") {
            for text in [None, Some("".into())] {
                let source = Source {
                    text,
                    directory: "/".into(),
                    web: None,
                    log: Arc::clone(&log),
                    remote: Remote::default(),
                    python: None,
                };
                assert!(
                    (row.open)(&source).err().expect("an error").ends_with("needs --token-source"),
                    "{}",
                    row.name
                );
            }
        }
    }
}
