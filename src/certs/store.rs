//! The certificates in use, and their files: rereads what has changed and keeps what is valid.
//!
//! Everything here waits for files, so it runs at the start or on a helper.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ProducesTickets, ServerSessionMemoryCache};

use super::file::Stamp;
use super::pair::{Loaded, load};
use super::roots::Roots;
use super::sni::CertResolver;
use super::{Authorities, Pair, Report, ServerOptions, suites};
use crate::log::{Level, Log, Topic};

/// The configuration for clients, and what it was made from.
pub(super) struct Store {
    options: ServerOptions,
    log: Arc<Log>,
    provider: Arc<CryptoProvider>,
    pairs: Vec<Kept<Loaded>>,
    authorities: Kept<(Roots, Arc<dyn ClientCertVerifier>)>,
    /// Made with the first certificate, since its random numbers take a while. Never if clients show
    /// certificates: a resuming client's certificate would not be checked again, and may have expired
    /// meanwhile.
    resumption: Option<Resumption>,
    config: Option<Arc<ServerConfig>>,
    /// Whether the files have been checked before.
    started: bool,
    /// How often a certificate was read, and could not be.
    loaded: u64,
    failed: u64,
}

/// Something made from files: the last valid version.
struct Kept<T> {
    stamp: Option<Stamp>,
    good: Option<Arc<T>>,
    /// What is wrong with the files now. It has been logged.
    error: Option<String>,
}

/// State for resuming sessions without a full handshake. It outlives a change of certificates: a resuming
/// client has seen the previous one, which was valid.
struct Resumption {
    tickets: Option<Arc<dyn ProducesTickets>>,
    sessions: Arc<ServerSessionMemoryCache>,
}

impl Store {
    /// Nothing is read before the first [`Store::look`].
    pub(super) fn new(options: ServerOptions, log: Arc<Log>) -> Store {
        Store {
            provider: suites::provider(options.suites.as_deref()),
            pairs: options.pairs.iter().map(|_| Kept::default()).collect(),
            authorities: Kept::default(),
            resumption: None,
            config: None,
            started: false,
            loaded: 0,
            failed: 0,
            options,
            log,
        }
    }

    /// Rereads what has changed, and logs what is wrong with it, once. Returns the configuration for clients.
    pub(super) fn look(&mut self) -> Option<Arc<ServerConfig>> {
        let mut changed = self.look_at_authorities();
        for number in 0..self.pairs.len() {
            changed |= self.look_at_pair(number);
        }
        self.started = true;
        if changed {
            self.config = self.build();
        }
        self.config.clone()
    }

    /// Whether the files of a certificate are there, sound or not.
    #[cfg(test)]
    pub(super) fn is_asked_for(&self) -> bool {
        self.options.pairs.iter().any(|pair| is_there(&pair.cert))
    }

    /// What an operator may want to know.
    pub(super) fn report(&self) -> Report {
        let expiry = |pair: &Kept<Loaded>| Some(pair.good.as_ref()?.info.not_after);
        Report { expiries: self.pairs.iter().map(expiry).collect(), loaded: self.loaded, failed: self.failed }
    }

    /// Why TLS clients can't be served while they can't.
    pub(super) fn refusal(&self) -> String {
        let errors = self.pairs.iter().map(|pair| &pair.error).chain([&self.authorities.error]);
        match errors.flatten().next() {
            Some(error) => format!("SSL connection but {error}"),
            None => {
                let file = self.options.pairs.first().map(|pair| pair.cert.display().to_string());
                format!("SSL connection but '{}' not found", file.unwrap_or_default())
            }
        }
    }

    /// Whether there is another certificate now.
    fn look_at_pair(&mut self, number: usize) -> bool {
        let (pair, kept) = (&self.options.pairs[number], &mut self.pairs[number]);
        if !kept.has_changed(pair.paths()) {
            return false;
        }
        let cert = pair.cert.display();
        // A missing first certificate is not an error: many start scripts always pass `--cert`.
        if number == 0 && kept.good.is_none() && !is_there(&pair.cert) {
            kept.error = None;
            return false;
        }
        let loaded = load(pair, self.options.key_password.as_deref(), &self.provider);
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(text) => {
                self.failed += 1;
                kept.fail(&self.log, text);
                return false;
            }
        };
        self.loaded += 1;
        let recovered = kept.error.take().is_some();
        let changed = kept.good.as_ref().is_none_or(|old| !loaded.same_chain(old));
        if self.started && (changed || recovered) {
            self.log.note(
                Topic::Certificate,
                Level::Info,
                format_args!("{cert}: this certificate is served from now on"),
            );
        }
        if changed {
            for text in loaded.warning().into_iter().chain(loaded.cost()).chain(loaded.exposure()) {
                self.log.note(Topic::Certificate, Level::Warning, format_args!("{cert}: {text}"));
            }
            kept.good = Some(Arc::new(loaded));
        }
        changed
    }

    /// Whether other authorities vouch for clients now.
    fn look_at_authorities(&mut self) -> bool {
        let Some(authorities) = &self.options.clients else { return false };
        let kept = &mut self.authorities;
        let path = match authorities {
            Authorities::File(path) => Some(path.as_path()),
            Authorities::System => None,
        };
        // The system's are read once.
        if !kept.has_changed(path) {
            return false;
        }
        let loaded = Roots::load(authorities)
            .and_then(|roots| roots.of_clients(&self.provider).map(|verifier| (roots, verifier)));
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(text) => {
                let option = if path.is_some() { "--cafile " } else { "" };
                kept.fail(&self.log, format!("{option}{text}"));
                return false;
            }
        };
        kept.error = None;
        if kept.good.as_ref().is_some_and(|old| old.0.is_same(&loaded.0)) {
            return false;
        }
        kept.good = Some(Arc::new(loaded));
        true
    }

    fn build(&mut self) -> Option<Arc<ServerConfig>> {
        let good: Vec<Arc<Loaded>> = self.pairs.iter().filter_map(|pair| pair.good.clone()).collect();
        if good.is_empty() {
            return None;
        }
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(suites::versions(self.options.versions))
            .expect("every choice of suites leaves some of TLS 1.3");
        let builder = match (&self.options.clients, self.authorities.good.as_deref()) {
            (None, _) => builder.with_no_client_auth(),
            (Some(_), Some((_, verifier))) => builder.with_client_cert_verifier(Arc::clone(verifier)),
            // Clients that can't be checked are not let in.
            (Some(_), None) => return None,
        };
        let mut config = builder.with_cert_resolver(Arc::new(CertResolver::new(good, &self.provider)));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        match &self.options.clients {
            None => {
                let resumption = self.resumption.get_or_insert_with(Resumption::new);
                config.session_storage = Arc::clone(&resumption.sessions) as _;
                if let Some(tickets) = &resumption.tickets {
                    config.ticketer = Arc::clone(tickets);
                }
            }
            Some(_) => {
                // The first random numbers of a process cost 20 to 30 ms, which creating tickets has already
                // paid here. If there are none, the handshakes report it.
                let _ = self.provider.secure_random.fill(&mut [0; 32]);
                config.session_storage = Arc::new(NoServerSessionStorage {});
                config.send_tls13_tickets = 0;
            }
        }
        Some(Arc::new(config))
    }
}

impl<T> Default for Kept<T> {
    fn default() -> Kept<T> {
        Kept { stamp: None, good: None, error: None }
    }
}

impl<T> Kept<T> {
    /// Looks whether the files may have changed since this was asked last.
    fn has_changed<'a>(&mut self, paths: impl IntoIterator<Item = &'a Path>) -> bool {
        let stamp = Stamp::of(paths);
        if self.stamp.as_ref().is_some_and(|before| stamp.is_still(before)) {
            return false;
        }
        // Taken before the files are read: a change while they are read is noticed next time.
        self.stamp = Some(stamp);
        true
    }

    /// Notes what is wrong, and logs it unless that was logged last.
    fn fail(&mut self, log: &Log, text: String) {
        if self.error.as_ref() != Some(&text) {
            match self.good {
                Some(_) => log.note(
                    Topic::Certificate,
                    Level::Warning,
                    format_args!("{text}; the previous version stays in use"),
                ),
                None => log.note(Topic::Certificate, Level::Warning, format_args!("{text}")),
            }
        }
        self.error = Some(text);
        // The system may have been short of a resource: the same files are tried again.
        self.stamp = None;
    }
}

impl Resumption {
    fn new() -> Resumption {
        Resumption {
            // It fails when the system has no random numbers. Then every handshake is a full one.
            tickets: aws_lc_rs::Ticketer::new().ok(),
            sessions: ServerSessionMemoryCache::new(SESSIONS_MAX),
        }
    }
}

impl Pair {
    /// The files.
    fn paths(&self) -> impl Iterator<Item = &Path> {
        [Some(&self.cert), self.key.as_ref()].into_iter().flatten().map(AsRef::as_ref)
    }
}

/// Whether a file is there. An inaccessible file counts as existing: reading it then fails, and the reason is
/// logged.
pub fn is_there(path: &Path) -> bool {
    path.try_exists().unwrap_or(true)
}

/// Sessions kept for clients without ticket support; each takes a few hundred bytes.
const SESSIONS_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::super::scratch::Scratch;
    use super::*;

    #[test]
    fn what_has_failed_is_tried_again_although_its_files_are_the_same() {
        let scratch = Scratch::new();
        let path = scratch.file("file", "text");
        let file = std::fs::File::options().write(true).open(&path).expect("opened");
        file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(100)).expect("aged");
        let mut kept = Kept::<()>::default();
        let has_changed = |kept: &mut Kept<()>| kept.has_changed([path.as_path()]);
        assert!(has_changed(&mut kept) && !has_changed(&mut kept));
        kept.fail(&Log::in_memory(false), "Too many open files".into());
        assert!(has_changed(&mut kept), "the next look may find what this one could not");
        assert!(!has_changed(&mut kept));
    }
}
