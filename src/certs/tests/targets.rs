//! Which targets are believed.

use super::*;
use std::path::Path;

fn targets(scratch: &Scratch, trusted: &[&Made]) -> Arc<ClientConfig> {
    let bundle: String = trusted.iter().map(|made| made.cert.pem()).collect();
    let authorities = Some(Authorities::File(scratch.file("bundle", bundle)));
    target_config(&TargetOptions { authorities, name: None }).expect("authorities")
}

#[test]
fn targets_are_checked_by_chain_name_and_date() {
    let scratch = Scratch::new();
    let authority = Made::authority("authority");
    let config = targets(&scratch, &[&authority]);
    let good = authority.issue(&["host.example", "192.0.2.1", "2001:db8::1"], |_| ());
    for name in ["host.example", "192.0.2.1", "2001:db8::1"] {
        assert!(handshake(&config, name, &target(&good, &[])).is_ok(), "{name}");
    }
    for name in ["other.example", "192.0.2.2", "2001:db8::2"] {
        let error = invalid(handshake(&config, name, &target(&good, &[])));
        assert!(matches!(error, CertificateError::NotValidForNameContext { .. }), "{name}: {error:?}");
    }
    let stranger = Made::selfsigned(&["host.example"]);
    let error = invalid(handshake(&config, "host.example", &target(&stranger, &[])));
    assert_eq!(error, CertificateError::UnknownIssuer);
    let expired =
        authority.issue(&["host.example"], |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    assert!(handshake(&config, "host.example", &target(&expired, &[])).is_err());
    assert!(handshake(&anyone(), "other.example", &target(&expired, &[])).is_ok());
}

/// Whether a certificate is refused as one for `host.example`.
fn is_another_name(error: &CertificateError) -> bool {
    matches!(error, CertificateError::NotValidForNameContext { presented, .. } if presented == &["host.example"])
}

#[test]
fn a_selfsigned_target_is_believed_when_its_certificate_is_the_authority() {
    let scratch = Scratch::new();
    // As `openssl req -x509` makes it: an authority, with a common name only.
    let made = Made::authority("host.example");
    let config = targets(&scratch, &[&made]);
    assert!(handshake(&config, "host.example", &target(&made, &[])).is_ok());
    assert!(is_another_name(&invalid(handshake(&config, "other.example", &target(&made, &[])))));
    let other = Made::authority("host.example");
    let error = invalid(handshake(&config, "host.example", &target(&other, &[])));
    assert_eq!(error, CertificateError::UnknownIssuer, "same name, other key");
    let expired = Made::selfsigned_with(&["host.example"], &rcgen::PKCS_ECDSA_P256_SHA256, |params| {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    });
    let config = targets(&scratch, &[&expired]);
    assert_eq!(
        invalid(handshake(&config, "host.example", &target(&expired, &[]))),
        CertificateError::Expired
    );
}

#[test]
fn a_target_s_certificate_of_version_one_is_believed_when_it_is_named_or_nobody_asks() {
    let scratch = Scratch::new();
    if !scratch.openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key") {
        return;
    }
    scratch.version_one_certificate("key", "/CN=host.example", "cert");
    let pem = scratch.text("cert") + &scratch.text("key");
    let kept = Scratch::new();
    kept.file("self.pem", pem);
    let server = Setup::open(kept, |_| ()).config().expect("a certificate");
    let authorities = Some(Authorities::File(scratch.path("cert")));
    let named = target_config(&TargetOptions { authorities, name: None }).expect("authorities");
    for client in [&anyone(), &only_12(), &named] {
        assert!(handshake(client, "host.example", &server).is_ok());
    }
    assert!(is_another_name(&invalid(handshake(&named, "other.example", &server))));
    let others = targets(&scratch, &[&Made::authority("authority")]);
    assert_eq!(invalid(handshake(&others, "host.example", &server)), CertificateError::UnknownIssuer);
}

#[test]
fn a_common_name_counts_for_targets_of_named_authorities_without_alternative_names() {
    let scratch = Scratch::new();
    let authority = Made::authority("authority");
    let config = targets(&scratch, &[&authority]);
    let common = authority.issue(&["host.example"], |params| params.subject_alt_names.clear());
    assert!(handshake(&config, "host.example", &target(&common, &[])).is_ok());
    assert!(handshake(&config, "other.example", &target(&common, &[])).is_err());
    let both = authority.issue(&["common.example"], |params| {
        params.subject_alt_names = vec![rcgen::SanType::DnsName("alt.example".try_into().expect("ascii"))];
    });
    assert!(handshake(&config, "alt.example", &target(&both, &[])).is_ok());
    assert!(handshake(&config, "common.example", &target(&both, &[])).is_err());
}

#[test]
fn the_name_of_a_target_is_the_given_one_or_the_dialled_one() {
    let name = |given: Option<&str>, host: Option<&str>| {
        let options = TargetOptions { authorities: None, name: given.map(str::to_owned) };
        target_name(&options, host).map(|name| name.to_str().into_owned())
    };
    assert_eq!(name(None, Some("host.example")), Ok("host.example".into()));
    assert_eq!(name(None, Some("192.0.2.1")), Ok("192.0.2.1".into()));
    assert_eq!(name(None, Some("fe80::1%eth0")), Ok("fe80::1".into()));
    assert_eq!(name(None, None), Ok("localhost".into()));
    assert_eq!(name(Some("given"), Some("host.example")), Ok("given".into()));
    assert_eq!(name(None, Some("a b")), Err("'a b' can't be the name of a TLS server".into()));
}

#[test]
fn authorities_that_can_t_be_used_are_named() {
    let scratch = Scratch::new();
    let error = |path: &Path| {
        let authorities = Some(Authorities::File(path.into()));
        let error = target_config(&TargetOptions { authorities, name: None }).expect_err("unusable");
        error.replace(&scratch.path("").display().to_string(), "")
    };
    assert_eq!(error(&scratch.path("none")), "--ssl-target-ca none: not found");
    assert_eq!(error(&scratch.file("empty", "")), "--ssl-target-ca empty: is empty");
    assert_eq!(
        error(&scratch.file("text", "text")),
        "--ssl-target-ca text: there is no certificate in it (in PEM form)"
    );
    let text = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    let told = "--ssl-target-ca bad: certificate 1 in it can't be used as an authority";
    assert_eq!(error(&scratch.file("bad", text)), told);
}
