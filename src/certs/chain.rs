//! Which of the certificates that a peer sends are considered.
//!
//! The library looks for a path from the leaf to an authority in every order that the names allow, which
//! takes factorial time: ten certificates with the same name took 70 ms. Yet a peer may send whatever its
//! administrator put into a file, in any order: cross-signed certificates, old ones beside new ones, a whole
//! bundle. So the library gets only a few of them: those that a walk from the leaf along the issuers' names
//! reaches first.

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

use super::x509::{KeyIds, Names};

/// The certificates of `sent` that may be between `leaf` and an authority, nearest first.
pub(super) fn between<'s>(
    leaf: &CertificateDer<'_>,
    sent: &'s [CertificateDer<'_>],
    roots: &RootCertStore,
    trusted: &[CertificateDer<'_>],
) -> Vec<CertificateDer<'s>> {
    let Some(Names { issuer, .. }) = Names::of(leaf) else { return Vec::new() };
    let sent: Vec<Sent<'s>> = sent.iter().take(SENT_MAX).filter_map(Sent::read).collect();
    let mut chosen: Vec<&Sent<'s>> = Vec::new();
    let mut bytes = 0;
    // Wanted names, each with a certificate that has it as its issuer.
    let mut wanted: Vec<(&[u8], &[u8])> = vec![(issuer, leaf)];
    let mut at = 0;
    while let Some(&(name, child)) = wanted.get(at) {
        at += 1;
        for sent in of_name(name, child, &sent, roots, trusted) {
            if chosen.len() == CHOSEN_MAX || bytes + sent.der.len() > CHOSEN_BYTES_MAX {
                break;
            }
            bytes += sent.der.len();
            chosen.push(sent);
            if wanted.iter().all(|(name, _)| *name != sent.names.issuer) {
                wanted.push((sent.names.issuer, sent.der));
            }
        }
    }
    chosen.into_iter().map(|sent| CertificateDer::from(sent.der)).collect()
}

/// The best certificates of this name: those with the key that `child` names as its issuer's, and among these
/// those that an authority may have signed.
fn of_name<'a, 's>(
    name: &[u8],
    child: &[u8],
    sent: &'a [Sent<'s>],
    roots: &RootCertStore,
    trusted: &[CertificateDer<'_>],
) -> Vec<&'a Sent<'s>> {
    let mut found: Vec<&Sent<'s>> = Vec::new();
    for sent in sent.iter().filter(|sent| sent.names.subject == name) {
        // Only identical bytes are the same: cross-signed certificates differ in their issuers alone. Authorities
        // are known already.
        let is_known = trusted.iter().any(|cert| cert.as_ref() == sent.der);
        if !is_known && found.iter().all(|other| other.der != sent.der) {
            found.push(sent);
        }
        if found.len() == COMPARED_MAX {
            break;
        }
    }
    if found.len() > OF_NAME_MAX {
        let issuer_key = KeyIds::of(child).and_then(|ids| ids.authority);
        let is_root = |name: &[u8]| roots.roots.iter().any(|root| root.subject.as_ref() == name);
        found.sort_by_cached_key(|sent| {
            let key = KeyIds::of(sent.der).and_then(|ids| ids.subject);
            (issuer_key.is_none() || key != issuer_key, !is_root(sent.names.issuer))
        });
        found.truncate(OF_NAME_MAX);
    }
    found
}

/// A certificate that a peer sent, with what distinguishes it from others.
struct Sent<'s> {
    der: &'s [u8],
    names: Names<'s>,
}

impl<'s> Sent<'s> {
    fn read(cert: &'s CertificateDer<'_>) -> Option<Sent<'s>> {
        Some(Sent { der: cert, names: Names::of(cert)? })
    }
}

/// The most certificates that the library gets. Public chains have one to three.
pub(super) const CHOSEN_MAX: usize = 5;

/// The most with the same name. A certificate authority that was cross-signed or renewed has two. With two of
/// a name among five the library tries at most 18 paths; with five of a name, 325.
pub(super) const OF_NAME_MAX: usize = 2;

/// All of them together. The library parses each of them again for every step of every path. One has 1 to 2
/// KiB.
pub(super) const CHOSEN_BYTES_MAX: usize = 12 << 10;

/// How many of one name are compared to find the best.
const COMPARED_MAX: usize = 8;

/// How many are considered. The TLS library accepts 64 KiB of them, which is some hundred real ones.
const SENT_MAX: usize = 256;
