//! Certificates: those that TLS clients are shown, and the checks of those of clients and targets.
//!
//! Files are checked when a handshake starts, at most once a second and never on a reactor's thread, so a
//! renewed certificate is served without a restart and one that appears enables TLS. The last valid version
//! stays in use until there is a better one.

mod chain;
mod checks;
mod direct;
#[cfg(feature = "encrypted-keys")]
mod encrypted;
mod file;
mod key;
mod pair;
pub(crate) mod pem;
mod roots;
#[cfg(test)]
mod scratch;
mod sni;
mod store;
mod suites;
mod target;
#[cfg(test)]
mod tests;
mod verify;
mod x509;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls::{CipherSuite, ServerConfig};

#[cfg(any(test, feature = "testing"))]
pub use roots::{client_verifier, target_verifier};
pub use sni::last_hello_shares_a_suite;
pub use store::is_there;
pub use suites::parse_suites;
pub use target::{target_config, target_name};
pub use x509::ClientIdentity;

use crate::flight::{Asked, Flight, ReplyTo};
use crate::helpers::Lane;
use crate::log::Log;
use store::Store;

/// How TLS clients are served, from the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerOptions {
    /// Certificates and their keys; the first is for clients that name no server, or one without a
    /// certificate. Paths are absolute. Files need not exist.
    pub pairs: Vec<Pair>,
    /// The password of encrypted keys (`--key-password`).
    pub key_password: Option<Vec<u8>>,
    /// Versions to accept.
    pub versions: Versions,
    /// Cipher suites to accept, from [`parse_suites`]; `None` for the library's choice.
    pub suites: Option<Vec<CipherSuite>>,
    /// The authorities for clients, if they must show a certificate (`--verify-client`).
    pub clients: Option<Authorities>,
}

/// A certificate chain and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The chain's file, which has the key, too, unless that is elsewhere.
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

/// Which authorities are trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authorities {
    /// The system's; if SSL_CERT_FILE or SSL_CERT_DIR is set, those there instead.
    System,
    /// Those in a file, in PEM form.
    File(PathBuf),
}

/// TLS towards targets (`--ssl-target`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetOptions {
    /// The authorities for targets; `None` when none is needed (`--ssl-target-insecure`).
    pub authorities: Option<Authorities>,
    /// The name that targets' certificates must be for, instead of the one that is dialled.
    pub name: Option<String>,
}

/// The certificates of the process. All reactors share them.
pub struct Certificates {
    inner: Arc<Inner>,
    lane: Lane,
    /// How long a result stays valid.
    fresh: Duration,
}

/// What an operator may want to know of certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// When each expires, in seconds since 1970, in the order of the pairs; `None` for one that is not there.
    pub expiries: Vec<Option<i64>>,
    /// How often a certificate was read.
    pub loaded: u64,
    /// How often one could not be read.
    pub failed: u64,
}

/// The configuration for a client; `None` if there is none, and [`Certificates::refusal`] says why.
pub type Served = Option<Arc<ServerConfig>>;

struct Inner {
    found: Mutex<Found>,
    /// Held while files are read, and never by a reactor.
    store: Mutex<Store>,
}

struct Found {
    config: Served,
    refusal: String,
    /// When the files were last checked.
    looked: Instant,
    /// A check of the files that is under way.
    flight: Option<Flight<Served>>,
}

impl Certificates {
    /// Loads the files that exist and logs those that are broken. Blocks; for start-up only.
    pub fn open(options: &ServerOptions, log: Arc<Log>) -> Certificates {
        Certificates::open_with(options, log, FRESH)
    }

    /// A fixed configuration without files; for tests and benches.
    #[cfg(any(test, feature = "testing"))]
    pub fn fixed(config: Arc<ServerConfig>) -> Certificates {
        let (versions, log) = (Versions::From12, Arc::new(Log::in_memory(false)));
        let options =
            ServerOptions { pairs: Vec::new(), key_password: None, versions, suites: None, clients: None };
        let certificates = Certificates::open_with(&options, log, Duration::MAX);
        lock(&certificates.inner.found).config = Some(config);
        certificates
    }

    fn open_with(options: &ServerOptions, log: Arc<Log>, fresh: Duration) -> Certificates {
        let looked = Instant::now();
        let mut store = Store::new(options.clone(), log);
        let config = store.look();
        let found = Found { config, refusal: store.refusal(), looked, flight: None };
        Certificates {
            inner: Arc::new(Inner { found: Mutex::new(found), store: Mutex::new(store) }),
            lane: Lane::new("certificates", 1, 1),
            fresh,
        }
    }

    /// Whether TLS clients can be served, as of the last check.
    pub fn are_there(&self) -> bool {
        lock(&self.inner.found).config.is_some()
    }

    /// Whether TLS clients can be served, for repeated questions. Never blocks: if the last check is more
    /// than a second ago, a helper checks the files, and the next caller gets its result.
    pub fn are_usable(&self) -> bool {
        match self.ask(Box::new(|_| {})) {
            Asked::Now(config) => config.is_some(),
            Asked::Later | Asked::Busy => self.are_there(),
        }
    }

    /// The configuration for a client whose handshake starts now. Never waits for a file: if the last check
    /// is more than a second ago, `to` gets the result from a helper.
    pub fn ask(&self, to: ReplyTo<Served>) -> Asked<Served> {
        let mut found = lock(&self.inner.found);
        if found.looked.elapsed() < self.fresh {
            return Asked::Now(found.config.clone());
        }
        let old = found.config.clone();
        match &mut found.flight {
            // The file system hangs: the last valid configuration is used; without one the client is refused
            // instead of waiting for an answer that may never come.
            Some(flight) if flight.is_hanging(HANGING) => return Asked::Now(old),
            Some(flight) => flight.join(to),
            flight @ None => {
                let inner = Arc::clone(&self.inner);
                if self.lane.submit(Box::new(move || inner.look())).is_err() {
                    return Asked::Now(old);
                }
                *flight = Some(Flight::begin(to));
            }
        }
        Asked::Later
    }

    /// What an operator may want to know. Blocks while the files are checked.
    pub fn report(&self) -> Report {
        lock(&self.inner.store).report()
    }

    /// Why TLS clients can't be served, for the log, when that is so: `SSL connection but 'FILE' not found`.
    pub fn refusal(&self) -> String {
        lock(&self.inner.found).refusal.clone()
    }

    /// Whether the file of a certificate is there, sound or not. Blocks; for start-up only.
    #[cfg(test)]
    pub fn is_asked_for(&self) -> bool {
        lock(&self.inner.store).is_asked_for()
    }
}

impl Inner {
    /// Checks the files and gives the result to all who wait.
    fn look(&self) {
        let looked = Instant::now();
        let (config, refusal) = {
            let mut store = lock(&self.store);
            (store.look(), store.refusal())
        };
        let mut found = lock(&self.found);
        found.config.clone_from(&config);
        found.refusal = refusal;
        found.looked = looked;
        let flight = found.flight.take();
        drop(found);
        if let Some(flight) = flight {
            flight.land(&config);
        }
    }
}

/// A thread that panicked while it held a lock has ended the process; the lock's content is sound.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A replaced certificate is served to handshakes that start this much later.
const FRESH: Duration = Duration::from_secs(1);

/// A check of files takes milliseconds.
const HANGING: Duration = Duration::from_secs(2);
