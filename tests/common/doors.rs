//! The same tests for other doors: a gateway to which clients speak TLS, or whose clients connect to a Unix socket.
//! A test that takes its `Server` from its parent does not know which it has.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::server::{Server, command};
use super::{text, tls};

/// What clients come by.
pub(crate) trait Door {
    /// As [`Server::IS_SECURE`].
    const IS_SECURE: bool;
    /// As [`Server::IS_UNIX`].
    const IS_UNIX: bool;
    /// As [`Server::arguments`].
    fn arguments(args: &[&str]) -> Vec<String>;
}

/// A [`Server`] with a certificate, to which clients speak TLS.
pub(crate) type SecureServer = Behind<Tls>;

/// A [`Server`] that listens on a Unix socket.
pub(crate) type UnixServer = Behind<Unix>;

pub(crate) struct Tls;

pub(crate) struct Unix;

/// A [`Server`] behind such a door.
pub(crate) struct Behind<D>(Server, PhantomData<D>);

impl Door for Tls {
    const IS_SECURE: bool = true;
    const IS_UNIX: bool = false;

    fn arguments(args: &[&str]) -> Vec<String> {
        let identity = tls::identity();
        let mut all = Server::arguments(&["--cert", &text(&identity.cert), "--key", &text(&identity.key)]);
        all.extend(Server::arguments(args));
        all
    }
}

impl Door for Unix {
    const IS_SECURE: bool = false;
    const IS_UNIX: bool = true;

    fn arguments(args: &[&str]) -> Vec<String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("wsk-{}-{number}.sock", std::process::id()));
        let place = |&arg: &&str| {
            if arg == "127.0.0.1:0" { format!("--unix-listen={}", text(&path)) } else { arg.to_owned() }
        };
        args.iter().map(place).collect()
    }
}

impl<D: Door> Behind<D> {
    /// As [`Server::IS_SECURE`].
    pub(crate) const IS_SECURE: bool = D::IS_SECURE;

    /// As [`Server::IS_UNIX`].
    pub(crate) const IS_UNIX: bool = D::IS_UNIX;

    /// As [`Server::arguments`].
    pub(crate) fn arguments(args: &[&str]) -> Vec<String> {
        D::arguments(args)
    }

    /// As [`Server::relay`].
    pub(crate) fn relay(target: &str) -> Self {
        Self::relay_with(target, &[])
    }

    /// As [`Server::relay_with`].
    pub(crate) fn relay_with(target: &str, options: &[&str]) -> Self {
        Self::start(&[options, &["127.0.0.1:0", target]].concat())
    }

    /// As [`Server::start`].
    pub(crate) fn start(args: &[&str]) -> Self {
        let args = Self::arguments(args);
        Self::launch(&mut command(&args.iter().map(String::as_str).collect::<Vec<_>>()))
    }

    /// As [`Server::launch`]; the command has the [`Self::arguments`] of this door.
    pub(crate) fn launch(command: &mut Command) -> Self {
        Self::with_door(Server::launch(command))
    }

    /// As [`Server::spawn`]; the same holds.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        Self::with_door(Server::spawn(command))
    }

    fn with_door(mut server: Server) -> Self {
        server.is_secure = D::IS_SECURE;
        Self(server, PhantomData)
    }
}

impl<D> Deref for Behind<D> {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

impl<D> DerefMut for Behind<D> {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.0
    }
}
