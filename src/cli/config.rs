//! What the service is told to do: the meaning of a command line, with everything in it checked.
//!
//! Paths are absolute where the field says so, so that nothing depends on the working directory after
//! the start. Times of zero or less mean "never" on the command line and are `None` here.

use super::plugins::{AuthPlugin, TokenPlugin};
use super::proxies::ProxyOptions;
use crate::certs::{Authorities, ServerOptions, TargetOptions};
use crate::gate::AllowedOrigin;
use crate::log;
use crate::net::listen::Address;
use crate::rules::Rules;
use crate::target::Target;
use crate::token::Remote;
use crate::web;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// A checked command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The directory that the program was started in, for the paths that stay relative: Unix sockets and
    /// the token source.
    pub directory: PathBuf,
    /// `--libserver`: without effect; [`Config::notices`] says so.
    pub libserver: bool,

    /// Where clients come from; never empty. A Unix socket's path is as it was given.
    pub listen: Vec<Address>,
    /// Where their bytes go.
    pub sessions: Sessions,
    /// All about TLS, on both sides.
    pub tls: TlsOptions,
    /// `--auth-plugin`: who is admitted.
    pub auth: Option<AuthPlugin>,
    /// `--allow-origin`, and what `--auth-cookie` implies: whose pages may open sessions. Empty: all.
    pub origins: Vec<AllowedOrigin>,

    /// `--web` and its kin: the files to serve. The root is absolute.
    pub web: Option<web::Settings>,
    /// `--web-auth`: files need authentication, too.
    pub web_auth: bool,

    /// `--daemon`: go into the background.
    pub daemon: bool,
    /// `--pid-file`: where the process's number is written, absolute.
    pub pid_file: Option<PathBuf>,
    /// `--run-once`: exit after one WebSocket session.
    pub run_once: bool,
    /// `--timeout`: stop listening this long after the start. Whole seconds, at most 136 years.
    pub timeout: Option<Duration>,
    /// `--idle-timeout`: exit after this long without a connection. Whole seconds, at most 136 years.
    pub idle_timeout: Option<Duration>,
    /// `--heartbeat`: the time between pings. Whole seconds, at most 136 years.
    pub heartbeat: Option<Duration>,

    /// `--workers`: threads that relay, 1 to 256.
    pub workers: usize,
    /// `--max-connections`: connections served at a time, at least 1; `None` follows from the limit of open
    /// files.
    pub max_connections: Option<usize>,
    /// `--memory-limit`: what may be held for peers that do not read, in bytes; at least 1 MiB.
    pub memory_limit_bytes: Option<usize>,

    /// `--admin`: where the admin listener is; a Unix socket's path is as it was given.
    pub admin: Option<Address>,
    /// `--admin-token-file`, absolute.
    pub admin_token_file: Option<PathBuf>,
    /// `--health-path`: begins with `/` and has no query.
    pub health_path: Option<String>,
    /// `--proxy-protocol`, `--trusted-proxy`, `--real-ip-header`, `--proxy-protocol-out`.
    pub proxies: ProxyOptions,

    /// `--verbose`, `--log-level`, `--log-format`, `--access-log`, `--log-tokens`, `--traffic`, `--log-file`, `--syslog`,
    /// `--legacy-syslog`. Paths are absolute.
    pub log: log::Settings,
    /// `--record`: the recordings' path before `.N`, absolute.
    pub record: Option<PathBuf>,
    /// Whether what clients send is recorded, too (`--record-input`).
    pub record_input: bool,
    /// `--target-config` named the token file; deprecated, and [`Config::notices`] says so.
    pub target_config: bool,
}

/// Where the bytes of the clients go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sessions {
    /// All to the same place. A Unix socket's path is as it was given.
    Fixed(Target),
    /// To a program that this one starts. The port that it listens on is the one of
    /// [`Config::listen`], moved to a free one.
    Wrapped {
        /// The program and its arguments; never empty.
        command: Vec<OsString>,
        /// What its exit means.
        mode: WrapMode,
        /// Connect to this socket, as it was given, instead of to the moved port.
        unix_target: Option<PathBuf>,
    },
    /// To a program that is started for each (`--wrap-stdin`).
    PerSession {
        /// The program and its arguments; never empty.
        command: Vec<OsString>,
    },
    /// Each to where its token says.
    Tokens {
        /// What knows the tokens.
        plugin: TokenPlugin,
        /// `--host-token`: the token is the name in the Host header.
        host_token: bool,
        /// `--token-once` and `--token-cache`.
        remote: Remote,
        /// `--allow-target` and `--deny-target`.
        rules: Rules,
    },
}

/// `--wrap-mode`: what the exit of the wrapped program means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrapMode {
    /// Exit with it.
    Exit,
    /// Go on.
    Ignore,
    /// Start it again.
    Respawn,
}

/// The options of TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    /// `--cert`, `--key`, `--key-password`, `--verify-client`, `--cafile`, `--ssl-version`, `--ssl-ciphers`: how
    /// clients are served. Paths are absolute and there is at least one pair; files need not exist.
    pub clients: ServerOptions,
    /// `--key-password=@FILE`: what holds the password, absolute.
    pub key_password_file: Option<PathBuf>,
    /// `--ssl-only`: refuse plain clients.
    pub only: bool,
    /// `--ssl-target`, `--ssl-target-ca`, `--ssl-target-name`, `--ssl-target-insecure`: TLS towards the
    /// target. Paths are absolute, and the name can be a server's.
    pub target: Option<TargetOptions>,
    /// What `--ssl-ciphers` names and nothing here has; [`Config::notices`] says so.
    pub ignored_ciphers: Vec<String>,
    /// `--ssl-version` asked for TLS 1.1, which is taken as 1.2; [`Config::notices`] says so.
    pub asks_1_1: bool,
}

impl Config {
    /// The name of the auth plugin, as the command line has it.
    pub fn auth_plugin(&self) -> Option<String> {
        let auth = self.auth.as_ref()?;
        Some(auth.python.as_ref().map_or_else(|| auth.class.name.to_owned(), |python| python.name.clone()))
    }

    /// The name of the token plugin, as the command line has it.
    pub fn token_plugin(&self) -> Option<String> {
        let Sessions::Tokens { plugin, .. } = &self.sessions else { return None };
        Some(
            plugin.python.as_ref().map_or_else(|| plugin.class.name.to_owned(), |python| python.name.clone()),
        )
    }

    /// What the user should know about the options, one log line each: those that are deprecated, have no
    /// effect, or mean something else than they say.
    pub fn notices(&self) -> Vec<String> {
        let ignored = self.tls.ignored_ciphers.join(", ");
        let ignored = format!("--ssl-ciphers: not supported, ignored: {ignored}");
        let unverified = self.tls.target.as_ref().is_some_and(|target| target.authorities.is_none());
        [
            (self.libserver, "--libserver has no effect"),
            (
                self.target_config,
                "--target-config is deprecated: use --token-plugin TokenFile --token-source FILE",
            ),
            (!self.tls.ignored_ciphers.is_empty(), &ignored),
            (self.tls.asks_1_1, "--ssl-version tlsv1_1 means tlsv1_2: TLS 1.1 is not supported"),
            (
                self.tls.clients.clients.is_some() && !self.tls.only,
                "--verify-client does not keep out clients without TLS: --ssl-only does",
            ),
            (
                self.tls.clients.clients == Some(Authorities::System),
                "--verify-client without --cafile: every client with a certificate from any of the system's authorities is admitted",
            ),
            (
                unverified,
                "warning: with --ssl-target-insecure the target's identity is not checked; an attacker on the network can read and change everything",
            ),
        ]
        .into_iter()
        .filter(|(wanted, _)| *wanted)
        .map(|(_, notice)| notice.to_owned())
        .collect()
    }
}
