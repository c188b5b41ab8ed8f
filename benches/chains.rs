//! What it costs to check the certificates that a peer sends: an honest chain, and the worst that were found.

use std::fs;
use std::hint::black_box;

use criterion::Criterion;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, SignatureAlgorithm,
};
use rustls::pki_types::{CertificateDer, UnixTime};
use websockify::certs::{Authorities, client_verifier};

pub(crate) fn chains(criterion: &mut Criterion) {
    let p256 = &PKCS_ECDSA_P256_SHA256;
    let root = Ca::new("root", p256);
    let same: Vec<Ca> = (0..12).map(|_| Ca::new("same", p256)).collect();
    let named_root: Vec<Ca> = (0..12).map(|_| Ca::new("root", p256)).collect();
    let issuer = Ca::new("issuer", p256);
    let good = [issuer.signed_by(&root, 0)];
    let mut bundle: Vec<_> = (0..200).map(|number| Ca::new(&format!("{number}"), p256)).map(own).collect();
    bundle.push(good[0].clone());
    let tiny = vec![CertificateDer::from(vec![0x30, 0x00]); 12_000];
    let all = |made: &[Ca]| made.iter().map(|made| made.signed_by(made, 0)).collect::<Vec<_>>();
    // Of five certificates, two at most of one name, these make the library go the most ways.
    let maze = |roots: &[&str], padding| {
        let of = |name: &str, issuer: &str| Ca::new(name, p256).signed_by(&Ca::new(issuer, p256), padding);
        let sent = [("a", "a"), ("a", "c"), ("b", "a"), ("b", "a"), ("c", "b")];
        let sent: Vec<_> = sent.iter().map(|(name, issuer)| of(name, issuer)).collect();
        let roots: Vec<Ca> = roots.iter().map(|name| Ca::new(name, p256)).collect();
        (roots, leaf(&Ca::new("b", p256), 0), sent)
    };
    let mut cases = vec![
        ("honest", vec![root.again()], leaf(&issuer, 0), good.to_vec()),
        ("honest, in a bundle of 200", vec![root.again()], leaf(&issuer, 0), bundle),
        ("10 of one name", vec![root.again()], leaf(&same[0], 0), all(&same[..10])),
        ("5 of the root's name", vec![root.again()], leaf(&named_root[0], 0), all(&named_root[..5])),
        ("12,000 of 2 bytes", vec![root.again()], leaf(&issuer, 0), tiny),
        ("a leaf of 60 KB", vec![root.again()], leaf(&same[0], 60_000), all(&same[..2])),
        ("10 of one name, large", vec![root.again()], leaf(&same[0], 0), {
            same[..10].iter().map(|made| made.signed_by(made, 5_600)).collect()
        }),
    ];
    for (what, roots, padding) in [
        ("maze", &["z"][..], 0),
        ("maze, large", &["z"], 2_900),
        ("maze of roots' names", &["a", "b", "c"], 0),
        ("maze of roots' names, large", &["a", "b", "c"], 2_900),
    ] {
        let (roots, leaf, sent) = maze(roots, padding);
        cases.push((what, roots, leaf, sent));
    }
    for (what, kind) in [
        ("5 of a P-384 root's name", &PKCS_ECDSA_P384_SHA384),
        ("5 of a P-521 root's name", &PKCS_ECDSA_P521_SHA512),
    ] {
        let others: Vec<Ca> = (0..5).map(|_| Ca::new("root", kind)).collect();
        cases.push((what, vec![Ca::new("root", kind)], leaf(&others[0], 0), all(&others)));
    }
    let mut group = criterion.benchmark_group("chains");
    for (what, roots, leaf, sent) in cases {
        let path = std::env::temp_dir().join(format!("websockify-chains-{}", std::process::id()));
        fs::write(&path, roots.iter().map(|root| root.pem()).collect::<String>()).expect("written");
        let verifier = client_verifier(&Authorities::File(path.clone())).expect("authorities");
        fs::remove_file(&path).expect("removed");
        group.bench_function(what, |bencher| {
            bencher.iter(|| verifier.verify_client_cert(black_box(&leaf), black_box(&sent), UnixTime::now()));
        });
    }
}

/// A name and a key that may sign certificates.
struct Ca {
    params: CertificateParams,
    key: KeyPair,
}

impl Ca {
    fn new(name: &str, kind: &'static SignatureAlgorithm) -> Ca {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ca { params, key: KeyPair::generate_for(kind).expect("a key") }
    }

    fn again(&self) -> Ca {
        let key = KeyPair::try_from(self.key.serialize_der()).expect("a key");
        Ca { params: self.params.clone(), key }
    }

    fn signed_by(&self, issuer: &Ca, padding: usize) -> CertificateDer<'static> {
        signed(self.params.clone(), &self.key, issuer, padding)
    }

    fn pem(&self) -> String {
        self.params.self_signed(&self.key).expect("a certificate").pem()
    }
}

fn own(made: Ca) -> CertificateDer<'static> {
    made.signed_by(&made, 0)
}

fn leaf(issuer: &Ca, padding: usize) -> CertificateDer<'static> {
    let params = CertificateParams::new(vec!["leaf.example".to_owned()]).expect("a name");
    signed(params, &KeyPair::generate().expect("a key"), issuer, padding)
}

/// A certificate with this many bytes of small extensions, which are the dearest to read.
fn signed(
    mut params: CertificateParams,
    key: &KeyPair,
    issuer: &Ca,
    padding: usize,
) -> CertificateDer<'static> {
    for number in 0..padding / 11 {
        let oid = [1, 3, (number / 128 + 1) as u64, (number % 128) as u64];
        params.custom_extensions.push(CustomExtension::from_oid_content(&oid, Vec::new()));
    }
    let issuer = Issuer::from_params(&issuer.params, &issuer.key);
    params.signed_by(key, &issuer).expect("a certificate").der().clone()
}
