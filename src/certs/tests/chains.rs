//! Chains as peers send them, honest and hostile ones, before both verifiers. What a chain costs is counted in
//! signatures.

use rcgen::{CertificateParams, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P521_SHA512};
use rustls::RootCertStore;
use rustls::pki_types::UnixTime;

use super::*;
use crate::certs::chain::{self, CHOSEN_BYTES_MAX, OF_NAME_MAX};
use crate::certs::checks;
use crate::certs::x509::Names;

/// An authority that `issuer` vouches for.
fn ca(issuer: &Made, name: &str) -> Made {
    issuer.issue(&[name], be_ca)
}

fn be_ca(params: &mut CertificateParams) {
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.subject_alt_names.clear();
}

/// The same name and key, vouched for by `issuer`.
fn cross_signed(made: &Made, issuer: &Made) -> Made {
    let key = KeyPair::try_from(made.key.serialize_der()).expect("a key");
    let params = made.params.clone();
    let cert = params.signed_by(&key, &Issuer::from_params(&issuer.params, &issuer.key));
    Made { cert: cert.expect("a certificate"), params, key }
}

/// What both verifiers find, and how many signatures they checked or refused to.
fn verdict(roots: &[&Made], leaf: &Made, sent: &[&Made]) -> (bool, usize) {
    let sent: Vec<_> = sent.iter().map(|made| made.cert.der().clone()).collect();
    verdict_of(roots, leaf.cert.der(), &sent)
}

fn verdict_of(roots: &[&Made], leaf: &CertificateDer<'_>, sent: &[CertificateDer<'_>]) -> (bool, usize) {
    let scratch = Scratch::new();
    let text: String = roots.iter().map(|made| made.cert.pem()).collect();
    let authorities = Authorities::File(scratch.file("ca", text));
    let client = client_verifier(&authorities).expect("authorities");
    let verified = client.verify_client_cert(leaf, sent, UnixTime::now());
    let (client, first) = (verified.is_ok(), checks::spent());
    let target = target_verifier(&authorities).expect("authorities");
    let name = ServerName::try_from("leaf.example").expect("a name");
    let verified = target.verify_server_cert(leaf, sent, &name, &[], UnixTime::now());
    let (target, second) = (verified.is_ok(), checks::spent());
    assert_eq!((client, first.checked, first.refused), (target, second.checked, second.refused));
    (client, first.checked + first.refused)
}

/// Whether the openssl command finds the same; true if there is none.
fn openssl_agrees(believed: bool, roots: &[&Made], leaf: &Made, sent: &[&Made]) -> bool {
    let scratch = Scratch::new();
    let text = |made: &[&Made]| made.iter().map(|made| made.cert.pem()).collect::<String>();
    scratch.file("ca", text(roots));
    scratch.file("sent", text(sent));
    scratch.file("leaf", leaf.cert.pem());
    let mut command = std::process::Command::new("openssl");
    command.args(["verify", "-no-CApath", "-no-CAstore", "-CAfile", "ca", "-untrusted", "sent", "leaf"]);
    command.current_dir(scratch.as_ref() as &std::path::Path);
    command.output().map_or(true, |output| output.status.success() == believed)
}

#[test]
fn chains_as_administrators_make_them_are_believed() {
    let (old, new) = (Made::authority("old root"), Made::authority("new root"));
    let new_by_old = cross_signed(&new, &old);
    let issuer = ca(&new, "issuer");
    let issuer_by_old = cross_signed(&issuer, &old);
    let renewed = ca(&new, "issuer");
    let renewed_again = ca(&new, "issuer");
    let leaf = issuer.issue(&["leaf.example"], |_| ());
    let strangers: Vec<Made> =
        (0..120).map(|number| Made::authority(&format!("stranger {number}"))).collect();
    let mut bundle: Vec<&Made> = strangers.iter().collect();
    bundle.insert(40, &new);
    bundle.insert(60, &new_by_old);
    bundle.insert(118, &issuer);
    let reversed: Vec<&Made> = bundle.iter().rev().copied().collect();
    let mut deep = vec![ca(&old, "deep 1")];
    for number in 2..=5 {
        deep.push(ca(&deep[deep.len() - 1], &format!("deep {number}")));
    }
    let deep_leaf = deep[4].issue(&["leaf.example"], |_| ());
    let deep: Vec<&Made> = deep.iter().collect();
    for (what, roots, leaf, sent) in [
        ("the usual one", &[&new][..], &leaf, &[&issuer][..]),
        ("with its root", &[&new], &leaf, &[&issuer, &new]),
        ("cross-signed, the new root trusted", &[&new], &leaf, &[&issuer, &new_by_old]),
        ("cross-signed, the old root trusted", &[&old], &leaf, &[&issuer, &new_by_old]),
        ("cross-signed, both roots sent", &[&old], &leaf, &[&old, &new_by_old, &new, &issuer]),
        ("twice the same", &[&new], &leaf, &[&issuer, &issuer, &issuer]),
        ("a whole bundle", &[&new], &leaf, &bundle),
        ("a whole bundle, backwards", &[&old], &leaf, &reversed),
        ("five in a row", &[&old], &deep_leaf, &deep),
        (
            "five in a row, shuffled",
            &[&old],
            &deep_leaf,
            &[deep[3], deep[0], &old, deep[4], deep[2], deep[1]],
        ),
    ] {
        assert!(verdict(roots, leaf, sent).0, "{what}");
        assert!(openssl_agrees(true, roots, leaf, sent), "{what}");
    }
    for (what, roots, leaf, sent) in [
        ("without the one between", &[&new][..], &leaf, &[][..]),
        ("another one of that name", &[&new], &leaf, &[&renewed]),
        ("another root", &[&old], &leaf, &[&issuer, &new]),
    ] {
        assert!(!verdict(roots, leaf, sent).0, "{what}");
        assert!(openssl_agrees(false, roots, leaf, sent), "{what}");
    }
    // The command takes the first of a name and no other one.
    for (root, sent) in [
        (&old, &[&new, &new_by_old, &issuer][..]),
        (&old, &[&issuer, &issuer_by_old]),
        (&new, &[&issuer_by_old, &issuer]),
        (&new, &[&renewed, &issuer]),
        (&old, &[&issuer, &issuer, &issuer, &issuer_by_old]),
    ] {
        assert!(verdict(&[root], &leaf, sent).0);
    }
    // Key identifiers tell which of many.
    let named =
        issuer.issue(&["leaf.example"], |params| params.use_authority_key_identifier_extension = true);
    assert!(verdict(&[&new], &named, &[&renewed, &renewed_again, &issuer]).0);
}

#[test]
fn certificates_of_one_name_cost_no_search() {
    let root = Made::authority("root");
    let many: Vec<Made> = (0..12).map(|_| Made::authority("same")).collect();
    let leaf = many[0].issue(&["leaf.example"], |_| ());
    let sent: Vec<_> = many.iter().map(|made| made.cert.der().clone()).collect();
    assert_eq!(verdict_of(&[&root], leaf.cert.der(), &sent), (false, 0));
    let chosen = chain::between(leaf.cert.der(), &sent, &RootCertStore::empty(), &[]);
    assert_eq!(chosen.len(), OF_NAME_MAX);
    assert_eq!(checks::spent().certificates, OF_NAME_MAX);
}

#[test]
fn certificates_that_have_a_roots_name_cost_few_signatures() {
    let root = Made::authority("root");
    let many: Vec<Made> = (0..12).map(|_| Made::authority("root")).collect();
    let leaf = many[0].issue(&["leaf.example"], |_| ());
    let (believed, signatures) = verdict(&[&root], &leaf, &many.iter().collect::<Vec<_>>());
    assert!(!believed && signatures <= 5, "{signatures}");
    // Two names that lead to each other, both of roots.
    let other = Made::authority("other");
    let mut sent: Vec<Made> = Vec::new();
    for _ in 0..4 {
        sent.push(ca(&many[0], "other"));
        sent.push(ca(&sent[0], "root"));
    }
    let (believed, signatures) = verdict(&[&root, &other], &leaf, &sent.iter().collect::<Vec<_>>());
    assert!(!believed && signatures <= 20, "{signatures}");
}

#[test]
fn of_signatures_that_take_long_fewer_are_checked() {
    let root = |algorithm| Made::selfsigned_with(&["root"], algorithm, be_ca);
    for (algorithm, most) in [(&PKCS_ECDSA_P256_SHA256, 5), (&PKCS_ECDSA_P521_SHA512, 2)] {
        let trusted = root(algorithm);
        let false_root = root(algorithm);
        let others: Vec<Made> = (0..5).map(|_| cross_signed(&root(algorithm), &false_root)).collect();
        let leaf = others[0].issue(&["leaf.example"], |_| ());
        let (believed, _) = verdict(&[&trusted], &leaf, &others.iter().collect::<Vec<_>>());
        assert!(!believed && checks::spent().checked == most, "{:?}", checks::spent());
        // An honest chain has the time that it needs.
        let issuer = ca(&trusted, "issuer");
        let leaf = issuer.issue(&["leaf.example"], |_| ());
        assert_eq!(verdict(&[&trusted], &leaf, &[&issuer]), (true, 2));
    }
}

#[test]
fn a_chain_that_takes_too_long_is_refused_with_that_reason() {
    let long = |issuer: Option<&Made>, name: &str| match issuer {
        None => Made::selfsigned_with(&[name], &PKCS_ECDSA_P521_SHA512, be_ca),
        Some(issuer) => cross_signed(&Made::selfsigned_with(&[name], &PKCS_ECDSA_P521_SHA512, be_ca), issuer),
    };
    let root = long(None, "root");
    let mut between = vec![long(Some(&root), "1")];
    for name in ["2", "3"] {
        between.push(long(between.last(), name));
    }
    let leaf = between[2].issue(&["leaf.example"], |_| ());
    let scratch = Scratch::new();
    let authorities = Authorities::File(scratch.file("ca", root.cert.pem()));
    let sent: Vec<_> = between.iter().map(|made| made.cert.der().clone()).collect();
    let client = client_verifier(&authorities).expect("authorities");
    let error =
        client.verify_client_cert(leaf.cert.der(), &sent, UnixTime::now()).expect_err("four of 330 us");
    let Error::InvalidCertificate(CertificateError::Other(error)) = error else { panic!("{error}") };
    assert_eq!(error.0.to_string(), "its chain takes too long to check");
    assert_eq!(checks::spent().checked, 3);
    let shorter = between[1].issue(&["leaf.example"], |_| ());
    assert!(client.verify_client_cert(shorter.cert.der(), &sent, UnixTime::now()).is_ok());
}

#[test]
fn what_is_chosen_is_bounded_and_damaged_certificates_are_left_out() {
    let root = Made::authority("root");
    let issuer = ca(&root, "issuer");
    let leaf = issuer.issue(&["leaf.example"], |_| ());
    let mut sent: Vec<CertificateDer<'static>> = Vec::new();
    for end in 0..issuer.cert.der().len() {
        sent.push(CertificateDer::from(issuer.cert.der()[..end].to_vec()));
    }
    assert!(chain::between(leaf.cert.der(), &sent, &RootCertStore::empty(), &[]).is_empty());
    sent.truncate(100);
    sent.push(issuer.cert.der().clone());
    assert!(verdict_of(&[&root], leaf.cert.der(), &sent).0);
    assert!(Names::of(&[]).is_none());
}

#[test]
fn what_is_chosen_has_few_bytes() {
    let names: Vec<String> = (0..200).map(|number| format!("name-{number}.padding.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let large = |issuer: &Made, name: &'static str| {
        let names: Vec<&str> = [name].into_iter().chain(names.iter().copied()).collect();
        issuer.issue(&names, |params| params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained))
    };
    let mut between = vec![Made::authority("root")];
    for name in ["1", "2", "3"] {
        between.push(large(&between[between.len() - 1], name));
    }
    let leaf = between[3].issue(&["leaf.example"], |_| ());
    let sent: Vec<_> = between.iter().map(|made| made.cert.der().clone()).collect();
    let length = |certs: &[CertificateDer<'_>]| certs.iter().map(|cert| cert.len()).sum::<usize>();
    let chosen = chain::between(leaf.cert.der(), &sent, &RootCertStore::empty(), &[]);
    assert!(length(&sent) > CHOSEN_BYTES_MAX && length(&chosen) <= CHOSEN_BYTES_MAX);
    assert_eq!(chosen.len(), 2);
    assert!(!verdict_of(&[&Made::authority("other")], leaf.cert.der(), &sent).0);
    assert_eq!(checks::spent().certificates, 2);
}
