//! What the service is told to do: the meaning of a command line, with everything in it checked.
//!
//! Paths are absolute where the field says so, so that nothing depends on the working directory after
//! the start. Times of zero or less mean "never" on the command line and are `None` here.

use super::plugins::{AuthPlugin, TokenPlugin};
use crate::certs::{Pair, TargetOptions};
use crate::target::Target;
use rustls::CipherSuite;
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

    /// Where clients come from.
    pub listen: Listen,
    /// Where their bytes go.
    pub destination: Destination,
    /// All about TLS, on both sides.
    pub tls: TlsOptions,
    /// `--auth-plugin`: who is admitted.
    pub auth: Option<AuthPlugin>,

    /// `--web`: the directory of files to serve, absolute.
    pub web: Option<PathBuf>,
    /// `--file-only`: no directory listings.
    pub file_only: bool,
    /// `--web-auth`: files need authentication, too.
    pub web_auth: bool,
    /// `--web-outside-links`: symbolic links may lead out of the directory.
    pub web_outside_links: bool,
    /// `--web-dot-files`: names that begin with a dot are served.
    pub web_dot_files: bool,
    /// `--web-cache-control`: the value of `Cache-Control`, fit for a header.
    pub web_cache_control: String,
    /// `--web-header`: names and values, fit for a header, in the order given.
    pub web_headers: Vec<(String, String)>,

    /// `--daemon`: go into the background.
    pub daemon: bool,
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

    /// `--verbose`.
    pub verbose: bool,
    /// `--traffic`: a mark on stdout for each piece of data.
    pub traffic: bool,
    /// `--log-tokens`: secrets appear in the log.
    pub log_tokens: bool,
    /// `--log-file`: a copy of the log, absolute.
    pub log_file: Option<PathBuf>,
    /// `--syslog`: another copy of the log.
    pub syslog: Option<Syslog>,
    /// `--record`: the recordings' path before `.N`, absolute.
    pub record: Option<PathBuf>,
    /// `--target-config` named the token file; deprecated, and [`Config::notices`] says so.
    pub target_config: bool,
}

/// Where the service listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// On a TCP port.
    Tcp {
        /// Name or address literal without brackets; empty means all addresses.
        host: String,
        /// 0 to 65535; 0 lets the system choose.
        port: u16,
        /// `-6`: of a name with both kinds of addresses take the IPv6 one; for an empty host `::`.
        prefer_ipv6: bool,
    },
    /// On a Unix socket.
    Unix {
        /// As it was given.
        path: PathBuf,
        /// Permissions, 0 to 0o7777.
        mode: u32,
    },
    /// On the socket that is standard input.
    Inetd,
}

/// Where the bytes of the clients go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// All to the same place. A Unix socket's path is as it was given.
    Fixed(Target),
    /// To a program that this one starts. Its port is the one of [`Listen::Tcp`], moved to a free port.
    Wrapped {
        /// The program and its arguments; never empty.
        command: Vec<OsString>,
        /// What its exit means.
        mode: WrapMode,
        /// Connect to this socket, as it was given, instead of to the moved port.
        unix_target: Option<PathBuf>,
    },
    /// Each to where its token says.
    Tokens {
        /// What knows the tokens.
        plugin: TokenPlugin,
        /// `--host-token`: the token is the name in the Host header.
        host_token: bool,
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
    /// `--cert` and `--key`: certificate chains and their keys; absolute, and never empty. They need not
    /// exist.
    pub pairs: Vec<Pair>,
    /// `--key-password`.
    pub key_password: Option<OsString>,
    /// `--ssl-only`: refuse plain clients.
    pub only: bool,
    /// `--ssl-target`, `--ssl-target-ca`, `--ssl-target-name`, `--ssl-target-insecure`: TLS towards the
    /// target. Paths are absolute, and the name can be a server's.
    pub target: Option<TargetOptions>,
    /// `--verify-client`: require a client certificate.
    pub verify_client: bool,
    /// `--cafile`: whose client certificates count, absolute; without it the system's authorities.
    pub cafile: Option<PathBuf>,
    /// `--ssl-version`: the lowest version.
    pub version: TlsVersion,
    /// `--ssl-ciphers`: the cipher suites to accept.
    pub ciphers: Option<Vec<CipherSuite>>,
}

/// `--ssl-version`: the lowest version of TLS to accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// What the TLS library thinks right.
    Default,
    /// 1.1, taken as 1.2; [`Config::notices`] says so.
    V1_1,
    /// 1.2.
    V1_2,
    /// 1.3.
    V1_3,
}

/// `--syslog` and `--legacy-syslog`. The facility is daemon with `--daemon`, else user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syslog {
    /// Where the lines go.
    pub address: SyslogAddress,
    /// The older form of line.
    pub legacy: bool,
}

/// Where syslog listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyslogAddress {
    /// A Unix datagram socket, absolute.
    Unix(PathBuf),
    /// UDP.
    Udp {
        /// Name or address literal without brackets.
        host: String,
        /// 1 to 65535.
        port: u16,
    },
}

impl Config {
    /// What the user should know about the options, one log line each: those that are deprecated, have no
    /// effect, or mean something else than they say.
    pub fn notices(&self) -> Vec<&'static str> {
        let tls_1_1 = self.tls.version == TlsVersion::V1_1;
        let unverified = self.tls.target.as_ref().is_some_and(|target| target.authorities.is_none());
        [
            (self.libserver, "--libserver has no effect"),
            (
                self.target_config,
                "--target-config is deprecated: use --token-plugin TokenFile --token-source FILE",
            ),
            (tls_1_1, "--ssl-version tlsv1_1 is taken as tlsv1_2: TLS 1.1 is not supported"),
            (
                self.tls.verify_client && !self.tls.only,
                "--verify-client does not keep out clients without TLS: --ssl-only does",
            ),
            (
                unverified,
                "warning: with --ssl-target-insecure nobody checks who the target is; whoever is in between \
                 can read and change everything",
            ),
        ]
        .into_iter()
        .filter_map(|(wanted, notice)| wanted.then_some(notice))
        .collect()
    }
}
