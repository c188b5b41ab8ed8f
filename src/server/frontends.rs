//! From the command line to [`Frontend`]s: what the clients of each listener get.

use std::path::Path;
use std::sync::Arc;

use crate::certs::{self, Authorities, Certificates};
use crate::cli::{Config, Sessions as Asked};
use crate::conn::frontend::{Destination, Frontend, Sessions, TargetTls};
use crate::conn::tape::TapeOptions;
use crate::gate::Gate;
use crate::log::{Log, describe};
use crate::net::listen::Address;
use crate::target::Target;
use crate::web::{self, Extent, OwnFile, Pages};

use super::banner::using_tls;

/// The frontends, one for each listener, and what their sessions go to, in the words of the start line.
pub(super) struct Frontends {
    /// In the order of the listeners; behind them, of the clients that came with the process.
    pub(super) all: Vec<Arc<Frontend>>,
    /// `HOST:PORT`, a socket's path or what chooses the target.
    pub(super) going_to: String,
}

/// Opens what the frontends need. It waits for files; for start-up only.
///
/// # Errors
/// What can't be done, in words for the log.
pub(super) fn open(config: &Config, doors: usize, log: &Arc<Log>) -> Result<Frontends, String> {
    let destination = Arc::new(destination(config)?);
    let certificates = Arc::new(Certificates::open(&config.tls.clients, Arc::clone(log)));
    let target_tls = target_tls(config)?;
    let pages = pages(config, log)?;
    let going_to = destination.to_string();
    let frontend = Arc::new(Frontend {
        tls: Some(certificates),
        tls_only: config.tls.only,
        gate: Gate::open(),
        sessions: Some(Sessions::Fixed(destination)),
        pages,
        target_tls,
        heartbeat: config.heartbeat,
        tape: config.log.traffic.then_some(TapeOptions { traffic: true }),
    });
    Ok(Frontends { all: vec![frontend; doors], going_to })
}

/// The address with paths that no longer depend on the working directory.
pub(super) fn absolute(address: &Address, directory: &Path) -> Address {
    match address {
        Address::Unix { path, mode } => Address::Unix { path: directory.join(path), mode: *mode },
        Address::Tcp { .. } | Address::Inetd => address.clone(),
    }
}

fn destination(config: &Config) -> Result<Destination, String> {
    let suffix = using_tls(config);
    match &config.sessions {
        Asked::Fixed(Target::Unix(path)) => Ok(Destination {
            target: Target::Unix(config.directory.join(path)),
            announcement: format!("connecting to unix socket: {}{suffix}", path.display()),
        }),
        Asked::Fixed(target) => Ok(Destination {
            target: target.clone(),
            announcement: format!("connecting to: {target}{suffix}"),
        }),
        Asked::Wrapped { .. } => Err("wrapping a command is not available yet".into()),
        Asked::Tokens { .. } => Err("--token-plugin is not available yet".into()),
    }
}

fn target_tls(config: &Config) -> Result<Option<TargetTls>, String> {
    let Some(options) = config.tls.target.clone() else { return Ok(None) };
    Ok(Some(TargetTls { config: certs::target_config(&options)?, options }))
}

fn pages(config: &Config, log: &Log) -> Result<Option<Arc<Pages>>, String> {
    let Some(settings) = &config.web else { return Ok(None) };
    let settings = web::Settings { own: own_files(config), ..settings.clone() };
    let pages = Pages::open(settings.clone());
    let pages =
        pages.map_err(|error| format!("web root {}: {}", settings.root.display(), describe(&error)))?;
    for OwnFile { option, path, .. } in pages.own_below_root() {
        log.info(format_args!("{option} {} lies below the web root and is not published", path.display()));
    }
    Ok(Some(Arc::new(pages)))
}

/// What must never be published, wherever it lies.
fn own_files(config: &Config) -> Vec<OwnFile> {
    let mut own = Vec::new();
    let mut add = |path: Option<&Path>, extent, option| {
        if let Some(path) = path {
            own.push(OwnFile { path: config.directory.join(path), extent, option });
        }
    };
    for pair in &config.tls.clients.pairs {
        add(Some(&pair.cert), Extent::File, "--cert");
        add(pair.key.as_deref().filter(|key| *key != pair.cert), Extent::File, "--key");
    }
    let authorities = |from: Option<&Authorities>| match from {
        Some(Authorities::File(path)) => Some(path.clone()),
        Some(Authorities::System) | None => None,
    };
    add(authorities(config.tls.clients.clients.as_ref()).as_deref(), Extent::File, "--cafile");
    let target = config.tls.target.as_ref().and_then(|target| target.authorities.as_ref());
    add(authorities(target).as_deref(), Extent::File, "--ssl-target-ca");
    add(config.log.file.as_deref(), Extent::Series, "--log-file");
    add(config.record.as_deref(), Extent::Series, "--record");
    own
}
