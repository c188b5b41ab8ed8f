//! Whom `--verify-client` lets in.

use super::*;
use rustls::HandshakeKind;

#[test]
fn clients_without_a_valid_certificate_are_refused() {
    let scratch = Scratch::new();
    scratch.file("self.pem", Made::selfsigned(&["a"]).pem());
    let authority = Made::authority("authority");
    let between = authority.issue(&["between"], |params| {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    });
    let pinned = Made::authority("a client that is its own authority");
    scratch.file("ca", format!("{}{}", authority.cert.pem(), pinned.cert.pem()));
    let served = Setup::open(scratch, |options| {
        let ca = options.pairs[0].cert.with_file_name("ca");
        options.clients = Some(Authorities::File(ca));
    });
    let server = served.config().expect("TLS is on");
    let try_with = |client: &Arc<ClientConfig>| handshake(client, "a", &server);
    assert_eq!(try_with(&anyone()).err(), Some(Error::NoCertificatesPresented));
    let (_, seen) = try_with(&with_identity(&authority.issue(&["me"], |_| ()), &[])).expect("valid");
    let identity = ClientIdentity::of(&seen.peer_certificates().expect("verified")[0]);
    assert_eq!(
        identity,
        Some(ClientIdentity { common_name: Some("me".into()), alt_names: vec!["me".into()] })
    );
    let chained = between.issue(&["me"], |_| ());
    assert!(try_with(&with_identity(&chained, &[&between])).is_ok());
    assert!(try_with(&with_identity(&pinned, &[])).is_ok());
    assert_eq!(invalid(try_with(&with_identity(&chained, &[]))), CertificateError::UnknownIssuer);
    let stranger = Made::authority("authority").issue(&["me"], |_| ());
    assert!(try_with(&with_identity(&stranger, &[])).is_err());
    let expired = authority.issue(&["me"], |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    assert!(matches!(
        invalid(try_with(&with_identity(&expired, &[]))),
        CertificateError::Expired | CertificateError::ExpiredContext { .. }
    ));
    let host = authority.issue(&["me"], |params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    });
    assert!(try_with(&with_identity(&host, &[])).is_err(), "a certificate for servers only");
}

#[test]
fn clients_are_checked_each_time_they_come_by_the_last_authorities_that_were_in_order() {
    let scratch = Scratch::new();
    scratch.file("self.pem", Made::selfsigned(&["a"]).pem());
    let served = Setup::open(scratch, |options| {
        let ca = options.pairs[0].cert.with_file_name("ca");
        options.clients = Some(Authorities::File(ca));
    });
    assert!(served.config().is_none());
    assert_eq!(
        served.certificates.refusal(),
        format!("SSL connection but --cafile {}ca: not found", served.dir())
    );
    let (first, second) = (Made::authority("first"), Made::authority("second"));
    replace(&served.scratch, "ca", first.cert.pem());
    let client = with_identity(&first.issue(&["me"], |_| ()), &[]);
    let kind = || {
        let config = served.config().expect("TLS is on");
        handshake(&client, "a", &config).map(|ends| ends.1.handshake_kind())
    };
    assert_eq!(kind(), Ok(Some(HandshakeKind::Full)));
    assert_eq!(kind(), Ok(Some(HandshakeKind::Full)), "an expired certificate must not come back");
    replace(&served.scratch, "ca", "broken".into());
    assert_eq!(kind(), Ok(Some(HandshakeKind::Full)));
    replace(&served.scratch, "ca", second.cert.pem());
    assert_eq!(invalid(kind()), CertificateError::UnknownIssuer);
}
