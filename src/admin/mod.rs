//! The admin listener: what operators and their tools see of the service, and what they may do to it.
//!
//! It has threads of its own, which may block, and no part in any reactor, so it answers even if the reactors
//! do not, which is the point of a liveness check. Counters are read where they are; what only a reactor
//! knows is asked for by messages, like everything that is said to a reactor. Nobody imports this but the
//! server.

mod answer;
mod exchange;
mod exposition;
mod families;
mod health;
mod listen;
mod log;
mod process;
mod pulse;
mod route;
mod security;
mod sessions;
mod status;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Instant, SystemTime};

use crate::conn::shared::Shared;
use crate::net::listen::Listener;
use crate::reactor::{Frontends, Handle};
use pulse::Pulse;
use security::Security;

pub use listen::DESCRIPTORS_MAX;
pub use security::check_tokens;

/// What an admin socket serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    All,
    /// Only whether the service is alive and ready.
    Health,
}

impl Role {
    /// What a socket of this name from the service manager is for; `None` for one where clients come.
    pub fn of_name(name: &str) -> Option<Role> {
        match name {
            "admin" => Some(Role::All),
            "health" => Some(Role::Health),
            _ => None,
        }
    }
}

/// What the admin listener sees of the service.
pub struct Gateway {
    /// What all connections share.
    pub shared: Arc<Shared>,
    /// The ways into the reactors.
    pub reactors: Vec<Handle>,
    /// What the clients of each listener get.
    pub frontends: Frontends,
    /// Has the main thread answer there.
    pub ask_main: Box<dyn Fn(Sender<()>) + Send + Sync>,
    /// What does not change while the process lives.
    pub about: About,
}

/// What does not change while the process lives.
#[derive(Debug)]
pub struct About {
    /// When the service was started.
    pub started: SystemTime,
    /// The same by the monotonic clock.
    pub launched: Instant,
    /// What it listens on, and where each of these comes from.
    pub listeners: Vec<(String, &'static str)>,
    /// Bytes that may be held for peers that do not read.
    pub held_bytes_max: usize,
    /// The auth plugin's name, as the command line has it.
    pub auth_plugin: Option<String>,
    /// That of the token plugin.
    pub token_plugin: Option<String>,
}

/// Everything behind the admin listener. Its threads share it.
struct Admin {
    gateway: Gateway,
    security: Security,
    pulse: Pulse,
}

/// Serves these sockets from now on. They stay the caller's, who closes them at the end.
///
/// # Errors
/// The system gives no thread, or no second descriptor of a socket.
pub fn start(gateway: Gateway, tokens: Option<PathBuf>, sockets: &[(&Listener, Role)]) -> io::Result<()> {
    let pulse = Pulse::new(gateway.reactors.len());
    let security = Security::new(tokens, Arc::clone(&gateway.shared.log));
    let admin = Arc::new(Admin { gateway, security, pulse });
    sockets.iter().try_for_each(|(listener, role)| listen::serve(&admin, listener, *role))
}

/// Whether a socket may be served that strangers could reach.
///
/// # Errors
/// Why not, in words for the log.
pub fn check_address(listener: &Listener, role: Role, tokens: Option<&Path>) -> Result<(), String> {
    let is_beyond = listener.address().is_some_and(|address| !address.ip().to_canonical().is_loopback());
    if is_beyond && role == Role::All && tokens.is_none() {
        let name = listener.name();
        return Err(format!(
            "--admin {name}: others can reach this address, so --admin-token-file is needed"
        ));
    }
    Ok(())
}
