//! From the command line to [`Frontend`]s: what the clients of each listener get.

use std::path::Path;
use std::sync::Arc;

use crate::certs::{self, Certificates};
use crate::cli::{Config, Sessions as Asked};
use crate::conn::connect::describe;
use crate::conn::frontend::{Destination, Frontend, Sessions, TargetTls};
use crate::conn::tape::TapeOptions;
use crate::gate::Gate;
use crate::log::Log;
use crate::net::listen::Address;
use crate::target::Target;
use crate::web::Pages;

use super::banner::using_tls;

/// The frontends, one for each listener, and what their sessions go to, in the words of the start line.
pub(super) struct Frontends {
    /// In the order of [`Config::listen`].
    pub(super) all: Vec<Arc<Frontend>>,
    /// `HOST:PORT`, a socket's path or what chooses the target.
    pub(super) going_to: String,
}

/// Opens what the frontends need. It waits for files; for start-up only.
///
/// # Errors
/// What can't be done, in words for the log.
pub(super) fn open(config: &Config, log: &Arc<Log>) -> Result<Frontends, String> {
    let destination = Arc::new(destination(config)?);
    let certificates = Arc::new(Certificates::open(&config.tls.clients, Arc::clone(log)));
    let target_tls = target_tls(config)?;
    let pages = pages(config)?;
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
    Ok(Frontends { all: vec![frontend; config.listen.len()], going_to })
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

fn pages(config: &Config) -> Result<Option<Arc<Pages>>, String> {
    let Some(settings) = &config.web else { return Ok(None) };
    match Pages::open(settings.clone()) {
        Ok(pages) => Ok(Some(Arc::new(pages))),
        Err(error) => Err(format!("web root {}: {}", settings.root.display(), describe(&error))),
    }
}
