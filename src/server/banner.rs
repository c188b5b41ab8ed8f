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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::cli::{Environment, Outcome, parse};
    use crate::source::scratch::Scratch;

    #[test]
    fn the_settings_are_the_lines_that_scripts_grep() {
        let scratch = Scratch::new();
        let certificate = scratch.file("cert.pem", "").display().to_string();
        let tcp = |name: &str| Source::Tcp(name.into());
        let none = "--cert /nowhere/self.pem";
        let (plain, secure) = ("  - No SSL/TLS support (no cert file)", "  - SSL/TLS support");
        let rows: [(String, Source, Vec<&str>); 7] = [
            (format!("{none} 8140 a:1"), tcp("127.0.0.1:8140"), vec!["  - Listen on 127.0.0.1:8140", plain]),
            (format!("{none} :6080 a:1"), tcp(":6080"), vec!["  - Listen on :6080", plain]),
            (format!("{none} --inetd a:1"), Source::Inetd, vec!["  - Listen for inetd connections", plain]),
            (
                format!("{none} --unix-listen /run/s a:1"),
                Source::Unix("/run/s".into()),
                vec!["  - Listen on unix socket /run/s", plain],
            ),
            (
                format!("{none} --web /srv 1 a:1"),
                tcp(":1"),
                vec!["  - Listen on :1", "  - Web server. Web root: /srv", plain],
            ),
            (
                format!("{none} --web /srv --file-only --daemon --record /r/f 1 a:1"),
                tcp(":1"),
                vec![
                    "  - Listen on :1",
                    "  - Web server (no directory listings). Web root: /srv",
                    plain,
                    "  - Backgrounding (daemon)",
                    "  - Recording to '/r/f.*'",
                ],
            ),
            (
                format!("--cert {certificate} --ssl-only 1 a:1"),
                tcp(":1"),
                vec!["  - Listen on :1", secure, "  - Deny non-SSL/TLS connections"],
            ),
        ];
        for (line, source, lines) in rows {
            let environment =
                Environment { directory: PathBuf::from("/"), exists: certs::is_there, is_activated: false };
            let words = line.split(' ').map(std::ffi::OsString::from);
            let config = match parse(words, &environment) {
                Outcome::Run(config) => config,
                other => panic!("{line}: {other:?}"),
            };
            let log = Log::in_memory(false);
            say(&log, &config, &[source], &[]);
            let expected = [&["WebSocket server settings:"], &lines[..]].concat();
            assert_eq!(log.take_lines().lines().collect::<Vec<_>>(), expected, "{line}");
        }
    }
}
