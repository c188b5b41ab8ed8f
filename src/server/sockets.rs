//! The sockets the service listens on: opened by itself or inherited.

use std::os::fd::AsFd;

use crate::admin::{self, Role};
use crate::cli::Config;
use crate::log::{Log, describe};
use crate::net::listen::{Address, Listener, Peer, adopt_connection, is_listening};
use crate::net::socket::Io;
use crate::os::inherited::{self, Given};

use super::banner::Source;

/// The sockets of the service.
pub(super) struct Sockets {
    /// Those that accept clients, with the name of each in the startup lines.
    pub(super) listeners: Vec<(Listener, Source)>,
    /// Those of the admin listener.
    pub(super) admin: Vec<(Listener, Role)>,
    /// Inherited client connections.
    pub(super) clients: Vec<(Io, Peer)>,
    /// Where the sockets come from.
    pub(super) origin: Origin,
}

/// Where sockets come from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The service has opened them.
    Own,
    /// From the service manager (`LISTEN_FDS`).
    Manager,
    /// From inetd, as standard input.
    Inetd,
}

/// Takes over the inherited sockets. Call at startup, before anything is opened.
///
/// # Errors
/// What is wrong with them, for the log.
pub(super) fn take_given(config: &Config) -> Result<(Vec<Given>, Origin), String> {
    let given = inherited::take_sockets()?;
    if !given.is_empty() {
        return Ok((given, Origin::Manager));
    }
    if config.listen.contains(&Address::Inetd) {
        return Ok((vec![inherited::take_stdin()?], Origin::Inetd));
    }
    Ok((given, Origin::Own))
}

impl Origin {
    /// As shown to the operator.
    pub(super) fn name(self) -> &'static str {
        match self {
            Origin::Own => "command line",
            Origin::Manager => "service manager",
            Origin::Inetd => "inetd",
        }
    }
}

impl Sockets {
    /// Uses the inherited sockets or, if there are none, opens those of the command line.
    ///
    /// # Errors
    /// What could not be opened, for the log, and the names of all requested ones.
    pub(super) fn open(
        config: &Config,
        given: Vec<Given>,
        origin: Origin,
    ) -> Result<Sockets, (String, Vec<Source>)> {
        let mut sockets = Sockets { listeners: Vec::new(), admin: Vec::new(), clients: Vec::new(), origin };
        let result = match origin {
            Origin::Own => sockets.bind(config),
            Origin::Manager | Origin::Inetd => {
                given.into_iter().try_for_each(|given| sockets.adopt(given, config))
            }
        };
        match result.and_then(|()| sockets.bind_admin(config)) {
            Ok(()) => Ok(sockets),
            Err(text) => {
                let wanted = config.listen.iter().map(|address| Source::of(address, None)).collect();
                Err((text, wanted))
            }
        }
    }

    fn bind(&mut self, config: &Config) -> Result<(), String> {
        for address in &config.listen {
            // A relative path is meant as it stands: the directory is still the one of the start.
            let listener = Listener::bind(address)
                .map_err(|error| format!("Opening socket failed: {}", describe(&error)))?;
            let source = Source::of(address, listener.port());
            self.listeners.push((listener, source));
        }
        Ok(())
    }

    /// Opens the admin listener, unless the service manager has.
    fn bind_admin(&mut self, config: &Config) -> Result<(), String> {
        let is_given = self.admin.iter().any(|(_, role)| *role == Role::All);
        if let Some(address) = config.admin.as_ref().filter(|_| !is_given) {
            let listener =
                Listener::bind(address).map_err(|error| format!("--admin: {}", describe(&error)))?;
            self.admin.push((listener, Role::All));
        }
        let tokens = config.admin_token_file.as_deref();
        self.admin.iter().try_for_each(|(listener, role)| admin::check_address(listener, *role, tokens))
    }

    fn adopt(&mut self, given: Given, config: &Config) -> Result<(), String> {
        let Given { socket, name } = given;
        let failed = |error: std::io::Error| format!("the socket {name}: {}", describe(&error));
        if let Some(role) = Role::of_name(&name).filter(|_| self.origin == Origin::Manager) {
            self.admin.push((Listener::adopt(socket).map_err(failed)?, role));
            return Ok(());
        }
        if !is_listening(socket.as_fd()).map_err(failed)? {
            self.clients.push(adopt_connection(socket).map_err(failed)?);
            return Ok(());
        }
        let listener = Listener::adopt(socket).map_err(failed)?;
        // Scripts wait for the words of the command line.
        let named = config.listen.iter().find(|address| is_at(address, &listener));
        let source = match (self.origin, named) {
            (Origin::Inetd, _) => Source::Inetd,
            (_, Some(address)) => Source::of(address, listener.port()),
            (_, None) if listener.port().is_none() => Source::Unix(listener.name()),
            (_, None) => Source::Tcp(listener.name()),
        };
        self.listeners.push((listener, source));
        Ok(())
    }

    /// The name of each source in the startup lines.
    pub(super) fn sources(&self) -> Vec<Source> {
        let clients = self.clients.iter().map(|_| Source::Inetd);
        self.listeners.iter().map(|(_, source)| source.clone()).chain(clients).collect()
    }

    /// Warns about addresses of the command line that match no socket from the manager.
    pub(super) fn say_differences(&self, log: &Log, config: &Config) {
        if self.origin != Origin::Manager {
            return;
        }
        for address in &config.listen {
            let is_there = self.listeners.iter().any(|(listener, _)| is_at(address, listener));
            let what = match address {
                Address::Tcp { port, .. } if *port != 0 => format!("port {port}"),
                Address::Unix { path, .. } => path.display().to_string(),
                Address::Tcp { .. } | Address::Inetd => continue,
            };
            if !is_there {
                log.warn(format_args!(
                    "warning: none of the sockets from the service manager is {what}; they are used anyway"
                ));
            }
        }
    }
}

/// Whether the command line means this socket. Only the port of an address counts: `ListenStream=6080` creates
/// `[::]:6080`.
fn is_at(address: &Address, listener: &Listener) -> bool {
    match address {
        Address::Tcp { port, .. } => listener.port() == Some(*port),
        Address::Unix { path, .. } => {
            listener.port().is_none() && listener.name() == path.display().to_string()
        }
        Address::Inetd => false,
    }
}
