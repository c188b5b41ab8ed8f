//! Chains of certificates as peers send them: honest ones and a stranger's, of the same names, in any order, damaged.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use websockify::certs::{Authorities, client_verifier, target_verifier};

use super::work;

/// Whatever is sent, a peer is believed only with a certificate that the authority has issued, in bounded time; and
/// with all that is between them such a certificate is believed, in any order. Each pair of bytes takes a certificate
/// of those below and perhaps damages it; the first is the peer's own.
pub fn certificates(data: &[u8]) {
    let world = world();
    let mut picks = Vec::new();
    let mut sent: Vec<CertificateDer<'static>> = Vec::new();
    for pair in data.chunks_exact(2).take(SENT_MAX) {
        let pick = usize::from(pair[0] & 63) % (world.certs.len() + 1);
        let mut der = match world.certs.get(pick) {
            Some(cert) => cert.to_vec(),
            None => data.to_vec(),
        };
        if pair[0] & 64 != 0 {
            let at = usize::from(pair[1]) * der.len() / 256;
            der[at] ^= 1 << (pair[1] & 7);
        }
        if pair[0] & 128 != 0 {
            der.truncate(usize::from(pair[1]) * der.len() / 256);
        }
        picks.push((pick, world.certs.get(pick).is_some_and(|cert| cert.as_ref() == der)));
        sent.push(der.into());
    }
    let Some((leaf, chain)) = sent.split_first() else { return };
    let (leaf_pick, is_whole) = picks[0];
    let bytes = sent.iter().map(|cert| cert.len()).sum();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
    let name = ServerName::try_from("host.example").expect("a name");
    let client =
        work::bounded("client", bytes, || world.clients.verify_client_cert(leaf, chain, now).is_ok());
    let target = work::bounded("target", bytes, || {
        world.targets.verify_server_cert(leaf, chain, &name, &[], now).is_ok()
    });
    let is_issued = is_whole && BELIEVED.contains(&leaf_pick);
    assert!(is_issued || (!client && !target), "believed: {picks:?}");
    assert!(!target || leaf_pick < NAMED, "believed by another name: {picks:?}");
    // What is between a leaf and the authority, by number; leaves come first.
    let between: &[usize] = match leaf_pick {
        0 | 3 => &[],
        1 => &[4],
        2 => &[4, 5],
        _ => return,
    };
    let is_there = |wanted: &usize| picks[1..].contains(&(*wanted, true));
    if is_whole && between.iter().all(is_there) && picks.len() <= FEW {
        assert!(client && target, "not believed: {picks:?}");
    }
}

struct World {
    certs: Vec<CertificateDer<'static>>,
    clients: Arc<dyn ClientCertVerifier>,
    targets: Arc<dyn ServerCertVerifier>,
}

/// A certificate, its parameters and its key.
type Made = (Certificate, CertificateParams, KeyPair);

fn make(name: &str, is_ca: bool, issuer: Option<&Made>) -> Made {
    let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2090, 1, 1);
    if is_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let key = KeyPair::generate().expect("a key");
    let cert = match issuer {
        Some((_, issuer, by)) => params.signed_by(&key, &Issuer::from_params(issuer, by)),
        None => params.self_signed(&key),
    };
    (cert.expect("a certificate"), params, key)
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let (root, stranger) = (make("authority", true, None), make("authority", true, None));
        let first = make("between", true, Some(&root));
        let second = make("below", true, Some(&first));
        let strange = make("between", true, Some(&stranger));
        let mut all = vec![
            make("host.example", false, Some(&root)),
            make("host.example", false, Some(&first)),
            make("host.example", false, Some(&second)),
            make("host.example", true, Some(&root)),
        ];
        let leaves = [&stranger, &strange].map(|issuer| make("host.example", false, Some(issuer)));
        // Many of one name, each signed by the next one, and a leaf below them.
        let mut crowd = vec![make("crowd", true, None)];
        for _ in 0..10 {
            crowd.push(make("crowd", true, crowd.last()));
        }
        let below_crowd = make("host.example", false, crowd.last());
        let file = std::env::temp_dir().join(format!("websockify-fuzz-{}.pem", std::process::id()));
        std::fs::write(&file, root.0.pem()).expect("written");
        let authorities = Authorities::File(file.clone());
        let clients = client_verifier(&authorities).expect("an authority");
        let targets = target_verifier(&authorities).expect("an authority");
        let _ = std::fs::remove_file(file);
        all.extend([first, second, root, stranger, strange]);
        all.extend(leaves);
        all.push(below_crowd);
        all.extend(crowd);
        World { certs: all.iter().map(|made| made.0.der().clone()).collect(), clients, targets }
    })
}

/// Those that the authority has issued, directly or not, and itself; the one that is issued by one between and is an
/// authority is none of them.
const BELIEVED: [usize; 6] = [0, 1, 2, 3, 4, 6];

/// The first of them are for the target's name.
const NAMED: usize = 4;

/// So few are all looked at.
const FEW: usize = 4;

const SENT_MAX: usize = 64;
