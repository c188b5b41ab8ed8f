//! What the command line means to the rest of the program, and the lines that say so at the start. Scripts
//! look for these lines, so their words are part of the interface.

use crate::certs;
use crate::cli::{Config, Destination as Place, Listen};
use crate::conn::Destination;
use crate::conn::connect::describe;
use crate::conn::serve::Files;
use crate::log::Log;
use crate::net::listen::Address;
use crate::target::Target;
use crate::web::{self, Site};

/// Where to listen.
///
/// # Errors
/// What can't be listened on, in words for the log.
pub(super) fn address(config: &Config) -> Result<Address, String> {
    match &config.listen {
        Listen::Tcp { host, port, prefer_ipv6 } => {
            Ok(Address::Tcp { host: host.clone(), port: *port, prefer_ipv6: *prefer_ipv6 })
        }
        Listen::Unix { path, mode } => Ok(Address::Unix { path: config.directory.join(path), mode: *mode }),
        Listen::Inetd => Err("--inetd is not available yet".into()),
    }
}

/// Where sessions go.
///
/// # Errors
/// What can't be done, in words for the log.
pub(super) fn destination(config: &Config) -> Result<Destination, String> {
    let suffix = using_tls(config);
    match &config.destination {
        Place::Fixed(Target::Unix(path)) => Ok(Destination {
            target: Target::Unix(config.directory.join(path)),
            announcement: format!("connecting to unix socket: {}{suffix}", path.display()),
        }),
        Place::Fixed(target) => Ok(Destination {
            target: target.clone(),
            announcement: format!("connecting to: {target}{suffix}"),
        }),
        Place::Wrapped { .. } => Err("wrapping a command is not available yet".into()),
        Place::Tokens { .. } => Err("--token-plugin is not available yet".into()),
    }
}

/// What is said behind a target's name when it is spoken to in TLS.
pub(super) fn using_tls(config: &Config) -> &'static str {
    if config.tls.target.is_some() { " (using SSL)" } else { "" }
}

/// What plain requests get.
///
/// # Errors
/// The web root is no directory or out of reach, in words for the log.
pub(super) fn files(config: &Config) -> Result<Option<Files>, String> {
    let Some(root) = &config.web else { return Ok(None) };
    let site = Site::open(web::Settings {
        root: root.clone(),
        listings: !config.file_only,
        outside_links: config.web_outside_links,
        dot_files: config.web_dot_files,
        cache_control: config.web_cache_control.clone(),
        headers: config.web_headers.clone(),
    });
    match site {
        Ok(site) => Ok(Some(Files::new(site))),
        Err(error) => Err(format!("web root {}: {}", root.display(), describe(&error))),
    }
}

/// What the service listens on, in the words of the last line of the settings. `port` is the one that was
/// bound, which differs from the one that was asked for when that was 0.
pub(super) fn source(config: &Config, port: Option<u16>) -> String {
    match &config.listen {
        Listen::Tcp { host, port: asked, .. } => format!("{host}:{}", port.unwrap_or(*asked)),
        Listen::Unix { path, .. } => path.display().to_string(),
        Listen::Inetd => "inetd".into(),
    }
}

/// Says what the service will do.
pub(super) fn say(log: &Log, config: &Config, port: Option<u16>) {
    log.info(format_args!("WebSocket server settings:"));
    match &config.listen {
        Listen::Tcp { .. } => log.info(format_args!("  - Listen on {}", source(config, port))),
        Listen::Unix { path, .. } => log.info(format_args!("  - Listen on unix socket {}", path.display())),
        Listen::Inetd => log.info(format_args!("  - Listen for inetd connections")),
    }
    if let Some(root) = &config.web {
        let quiet = if config.file_only { " (no directory listings)" } else { "" };
        log.info(format_args!("  - Web server{quiet}. Web root: {}", root.display()));
    }
    // Looked at here only for this line: a file that appears later turns TLS on.
    if config.tls.pairs.iter().any(|pair| certs::is_there(&pair.cert)) {
        log.info(format_args!("  - SSL/TLS support"));
    } else {
        log.info(format_args!("  - No SSL/TLS support (no cert file)"));
    }
    if config.tls.only {
        log.info(format_args!("  - Deny non-SSL/TLS connections"));
    }
}
