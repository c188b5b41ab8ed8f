//! Auth plugins, which decide whether a client is admitted at all. The classes are those of the Python
//! program; each is one file here and one row in [`PLUGINS`].
//!
//! A plugin is asked before tokens are looked up, so that a client that is not admitted learns nothing about
//! them.

mod basic;
mod client_cert;
mod cookie;
mod list;
mod origin;
mod passwords;
mod program;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use crate::http::refusal::Refusal;
use crate::log::Log;
use crate::plugin::PythonClass;
use crate::secret::Secret;

/// Decides whether clients are admitted.
pub trait AuthPlugin: Send + Sync {
    /// Whether [`AuthPlugin::decide`] may wait, for a file.
    fn may_block(&self) -> bool;

    /// Decides about a client.
    fn decide(&self, presented: &Presented<'_>) -> Decision;

    /// The same for a client that waits only until then.
    fn decide_until(&self, presented: &Presented<'_>, deadline: Instant) -> Decision {
        let _ = deadline;
        self.decide(presented)
    }

    /// Whether [`Presented::target`] is needed, for which the token has to be looked up first.
    fn wants_target(&self) -> bool {
        false
    }

    /// Files that hold secrets, which must not be published.
    fn files(&self) -> Vec<PathBuf>;
}

/// What a client has presented.
#[derive(Clone, Debug, Default)]
pub struct Presented<'a> {
    /// Names, as they came, and values of all header fields, in their order.
    pub headers: &'a [(String, Vec<u8>)],
    /// The client's address, if it has one.
    pub client: Option<IpAddr>,
    /// Host and port that the client wants to go to, where they are known.
    pub target: Option<(&'a str, u16)>,
    /// The values of `Authorization`.
    pub authorization: Vec<&'a [u8]>,
    /// The values of `Origin`.
    pub origins: Vec<&'a [u8]>,
    /// The values of `Cookie`.
    pub cookies: Vec<&'a [u8]>,
    /// The common name in the certificate that the client has proven to be its own.
    pub common_name: Option<&'a str>,
}

/// What a plugin decides.
pub enum Decision {
    /// The client is admitted.
    Admitted(Admitted),
    /// It is not.
    Denied(Denial),
    /// The client is admitted if its password is right, which takes some processor time to check.
    Unproven(Box<dyn FnOnce() -> Decision + Send>),
    /// There is no decision because something failed; says what, for the operator.
    Broken(String),
}

/// What comes with being admitted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admitted {
    /// The authenticated user, for logs.
    pub user: Option<Arc<str>>,
    /// A cookie, name and value, that will admit the client for some time.
    pub cookie: Option<Cookie>,
}

/// A cookie for a client.
#[derive(Clone, PartialEq, Eq)]
pub struct Cookie {
    /// Its name.
    pub name: String,
    value: Secret,
}

/// Why a client is not admitted; the text is for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// Its credentials are missing or wrong.
    Unauthenticated(&'static str),
    /// It is not allowed.
    Forbidden(&'static str),
    /// The page that sent it is not allowed.
    InvalidOrigin,
    /// It is not allowed, and is answered in the plugin's own words.
    InItsWords(Box<Refusal>),
}

/// One class of plugins.
pub struct Plugin {
    /// Its name, as Python has it.
    pub name: &'static str,
    /// Whether it is a program, with processes of its own.
    pub is_program: bool,
    /// Makes one from its argument.
    pub open: fn(&Source) -> Result<Box<dyn AuthPlugin>, String>,
}

/// `--auth-source`, and what is needed to interpret it.
#[derive(Clone)]
pub struct Source {
    /// The argument, if there is one.
    pub argument: Option<Argument>,
    /// The port of the listener, for the name of the cookie that `--auth-cookie` asks for. Nothing without
    /// that option.
    pub cookie: Option<Option<u16>>,
    /// Where a plugin logs what is wrong with a file.
    pub log: Arc<Log>,
    /// The class, for a plugin that is [`PYTHON`].
    pub python: Option<PythonClass>,
    /// The directory that the program was started in.
    pub directory: PathBuf,
    /// The web root.
    pub web: Option<PathBuf>,
}

/// What a plugin was given.
#[derive(Clone)]
pub enum Argument {
    /// The text itself.
    Text(Secret),
    /// A file that holds it (`@FILE`), which is read again when it has changed.
    File(PathBuf),
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
    Plugin { name: "BasicHTTPAuth", is_program: false, open: basic::open },
    Plugin { name: "ExpectOrigin", is_program: false, open: origin::open },
    Plugin { name: "ClientCertCNAuth", is_program: false, open: client_cert::open },
];

/// A command that is asked about clients.
pub const EXEC: Plugin = Plugin { name: "exec", is_program: true, open: program::open };

/// A Python class that is not built in.
pub const PYTHON: Plugin = Plugin { name: "a Python class", is_program: true, open: program::open };

/// The class of this name, short or with its Python module in front, as scripts do both.
pub fn plugin(name: &str) -> Option<&'static Plugin> {
    let name = name.strip_prefix("websockify.auth_plugins.").unwrap_or(name);
    PLUGINS.iter().find(|plugin| plugin.name == name)
}

/// For fuzzing: reads a file of passwords, and says how many users and bad lines there are.
#[cfg(any(test, feature = "testing"))]
pub fn count_users(bytes: &[u8]) -> (usize, usize) {
    passwords::Passwords::parse(bytes).count()
}

impl Cookie {
    /// The value of `Set-Cookie` for it. Over TLS it is for TLS only.
    pub fn set(&self, tls: bool) -> String {
        let value = String::from_utf8_lossy(self.value.reveal());
        let secure = if tls { "; Secure" } else { "" };
        let seconds = cookie::LIFE.as_secs();
        format!("{}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}", self.name)
    }
}

impl std::fmt::Debug for Cookie {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cookie({}=***)", self.name)
    }
}

#[cfg(test)]
mod tests;
