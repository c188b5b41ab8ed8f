//! Which of several certificates a client gets: one for the name that it asks for, with a key that it can
//! check.

use std::cell::Cell;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, SignatureScheme};

use super::pair::Loaded;

/// The certificates to choose from; never empty. The first is for clients that name no server, or an unknown
/// one.
#[derive(Debug)]
pub(super) struct CertResolver {
    certificates: Vec<Arc<Loaded>>,
    /// The supported cipher suites.
    suites: Vec<CipherSuite>,
}

thread_local! {
    /// Whether the last hello that this thread has seen names a supported cipher suite.
    static SHARES_A_SUITE: Cell<bool> = const { Cell::new(true) };
}

/// Whether the client whose hello this thread has just looked at has a cipher suite in common with us. The
/// library compares groups before suites, and a client with only old suites needs no group, so it names none.
pub fn last_hello_shares_a_suite() -> bool {
    SHARES_A_SUITE.get()
}

impl ResolvesServerCert for CertResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        SHARES_A_SUITE.set(hello.cipher_suites().iter().any(|suite| self.suites.contains(suite)));
        self.find(hello.server_name(), hello.signature_schemes()).map(|loaded| Arc::clone(&loaded.certified))
    }
}

impl CertResolver {
    /// A resolver for these certificates, with the suites of `provider`.
    pub(super) fn new(certificates: Vec<Arc<Loaded>>, provider: &CryptoProvider) -> CertResolver {
        CertResolver {
            certificates,
            suites: provider.cipher_suites.iter().map(|suite| suite.suite()).collect(),
        }
    }

    /// The certificate for a client that asks for `name` and understands signatures of `schemes`. An exact
    /// match is preferred to a wildcard, and among equals one with a fitting key type, so that there can be
    /// an RSA certificate for old clients besides another one.
    fn find(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<&Arc<Loaded>> {
        let name = name.map(|name| name.strip_suffix('.').unwrap_or(name));
        let default = self.certificates.first()?;
        let fit = |loaded: &Loaded| match name {
            Some(name) if loaded.info.is_exactly_for(name) => Fit::Exact,
            Some(name) if loaded.info.is_for_host(name) => Fit::Wildcard,
            // A certificate for the same hosts as the default can replace it.
            _ if loaded.info.hosts == default.info.hosts => Fit::Default,
            _ => Fit::None,
        };
        let best = self.certificates.iter().map(|loaded| fit(loaded)).max()?;
        let best = || self.certificates.iter().filter(|loaded| fit(loaded) == best);
        best().find(|loaded| loaded.certified.key.choose_scheme(schemes).is_some()).or_else(|| best().next())
    }
}

/// How well a certificate fits a name, from worst to best.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    None,
    Default,
    Wildcard,
    Exact,
}

#[cfg(test)]
mod tests {
    use super::super::Pair;
    use super::super::pair::load;
    use super::super::scratch::{Made, Scratch};
    use super::*;
    use rustls::crypto::aws_lc_rs::default_provider;

    fn choice(made: &[Made]) -> CertResolver {
        let scratch = Scratch::new();
        let load = |made: &Made| {
            let pair = Pair { cert: scratch.file("pair", made.pem()), key: None };
            Arc::new(load(&pair, None, &default_provider()).expect("a pair"))
        };
        CertResolver::new(made.iter().map(load).collect(), &default_provider())
    }

    fn found(choice: &CertResolver, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<usize> {
        let found = choice.find(name, schemes)?;
        choice.certificates.iter().position(|loaded| Arc::ptr_eq(loaded, found))
    }

    #[test]
    fn the_name_decides_and_the_first_is_for_all_others() {
        let choice = choice(&[
            Made::selfsigned(&["first.example"]),
            Made::selfsigned(&["*.example.org", "second.example"]),
            Made::selfsigned(&["a.example.org"]),
        ]);
        let any = [SignatureScheme::ECDSA_NISTP256_SHA256];
        for (name, number) in [
            (None, 0),
            (Some("first.example"), 0),
            (Some("second.example"), 1),
            (Some("SECOND.example"), 1),
            (Some("a.example.org"), 2),
            (Some("b.example.org"), 1),
            (Some("a.b.example.org"), 0),
            (Some("unknown.example"), 0),
        ] {
            assert_eq!(found(&choice, name, &any), Some(number), "{name:?}");
        }
    }

    #[test]
    fn among_certificates_for_a_name_the_client_gets_one_that_it_can_check() {
        let p384 = Made::selfsigned_with(&["a.example"], &rcgen::PKCS_ECDSA_P384_SHA384, |_| ());
        let choice = choice(&[Made::selfsigned(&["a.example"]), p384]);
        let (p256, p384) = (SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::ECDSA_NISTP384_SHA384);
        for name in [None, Some("a.example"), Some("unknown.example")] {
            assert_eq!(found(&choice, name, &[p384, p256]), Some(0));
            assert_eq!(found(&choice, name, &[p256]), Some(0));
            assert_eq!(found(&choice, name, &[p384]), Some(1));
            assert_eq!(found(&choice, name, &[SignatureScheme::ED25519]), Some(0));
        }
    }
}
