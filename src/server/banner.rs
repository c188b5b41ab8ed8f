//! The startup lines that say what the service will do. Scripts look for them, so their text is part of the
//! interface.

use std::fmt;
use std::net::SocketAddr;

use crate::admin::Role;
use crate::certs;
use crate::cli::Config;
use crate::log::{Level, Log, Topic};
use crate::net::listen::{Address, Listener};

/// What the service listens on, as the start lines call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// `HOST:PORT`, where an empty host stays empty.
    Tcp(String),
    /// A Unix socket's path.
    Unix(String),
    /// Standard input.
    Inetd,
}

impl Source {
    /// An address of the command line. `port` is the one that was bound, which differs from the one that was
    /// asked for when that was 0.
    pub(super) fn of(address: &Address, port: Option<u16>) -> Source {
        match address {
            Address::Tcp { host, port: asked, .. } => {
                Source::Tcp(format!("{host}:{}", port.unwrap_or(*asked)))
            }
            Address::Unix { path, .. } => Source::Unix(path.display().to_string()),
            Address::Inetd => Source::Inetd,
        }
    }
}

/// As in the last line of the settings.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Tcp(name) | Source::Unix(name) => f.write_str(name),
            Source::Inetd => f.write_str("inetd"),
        }
    }
}

/// Logs what the service will do.
pub(super) fn say(log: &Log, config: &Config, sources: &[Source], admin: &[(Listener, Role)]) {
    log.note(Topic::Start, Level::Info, format_args!("WebSocket server settings:"));
    for source in sources {
        match source {
            Source::Tcp(name) => log.note(Topic::Start, Level::Info, format_args!("  - Listen on {name}")),
            Source::Unix(name) => {
                log.note(Topic::Start, Level::Info, format_args!("  - Listen on unix socket {name}"))
            }
            Source::Inetd => {
                log.note(Topic::Start, Level::Info, format_args!("  - Listen for inetd connections"))
            }
        }
    }
    for (listener, role) in admin {
        let what = match role {
            Role::All => "Admin",
            Role::Health => "Health",
        };
        let text = format_args!("  - {what} on {}", listener.name());
        log.note(Topic::Start, Level::Info, text);
    }
    if let Some(web) = &config.web {
        let quiet = if web.listings { "" } else { " (no directory listings)" };
        log.note(
            Topic::Start,
            Level::Info,
            format_args!("  - Web server{quiet}. Web root: {}", web.root.display()),
        );
    }
    // Looked at here only for this line: a file that appears later turns TLS on.
    if config.tls.clients.pairs.iter().any(|pair| certs::is_there(&pair.cert)) {
        log.note(Topic::Start, Level::Info, format_args!("  - SSL/TLS support"));
    } else {
        log.note(Topic::Start, Level::Info, format_args!("  - No SSL/TLS support (no cert file)"));
    }
    if config.tls.only {
        log.note(Topic::Start, Level::Info, format_args!("  - Deny non-SSL/TLS connections"));
    }
    if config.daemon {
        log.note(Topic::Start, Level::Info, format_args!("  - Backgrounding (daemon)"));
    }
    if let Some(file) = &config.record {
        log.note(Topic::Start, Level::Info, format_args!("  - Recording to '{}.*'", file.display()));
    }
}

/// What an operator should know who listens beyond this machine and lets every page of the web in: a browser
/// inside opens sessions for whatever page it shows.
pub(super) fn open_to_pages(config: &Config, listeners: &[&Listener]) -> Option<&'static str> {
    let is_beyond = |address: SocketAddr| !address.ip().to_canonical().is_loopback();
    let is_open = config.auth.is_none() && config.origins.is_empty();
    let notice = "warning: any page that a browser shows can open sessions here, since neither --allow-origin nor \
                  --auth-plugin is given; --allow-origin same-origin allows only pages of this host";
    (is_open && listeners.iter().filter_map(|listener| listener.address()).any(is_beyond)).then_some(notice)
}

/// What is said behind a target's name when it is spoken to in TLS.
pub(super) fn using_tls(config: &Config) -> &'static str {
    if config.tls.target.is_some() { " (using SSL)" } else { "" }
}
