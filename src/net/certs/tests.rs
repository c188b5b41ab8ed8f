//! What handshakes find while files come, change, break and go. Both ends are the TLS library's, in memory.

use std::fs;
use std::path::Path;
use std::sync::mpsc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Error, HandshakeKind, ProtocolVersion, ServerConnection,
};

use super::scratch::{Made, Scratch};
use super::*;
use crate::log::Settings;

const PATIENCE: Duration = Duration::from_secs(20);

/// Certificates whose files are looked at for every handshake, and the log that goes with them.
struct Served {
    scratch: Scratch,
    log: Arc<Log>,
    certificates: Certificates,
}

impl Served {
    /// With `self.pem`, which need not be there, unless `change` says otherwise.
    fn open(scratch: Scratch, change: impl FnOnce(&mut ServerOptions)) -> Served {
        Served::open_with(scratch, Duration::ZERO, change)
    }

    fn open_with(scratch: Scratch, fresh: Duration, change: impl FnOnce(&mut ServerOptions)) -> Served {
        let settings = Settings { file: Some(scratch.path("log")), ..Settings::default() };
        let log = Arc::new(Log::open(&settings).expect("a log"));
        let mut options = ServerOptions {
            pairs: vec![Pair { cert: scratch.path("self.pem"), key: None }],
            key_password: None,
            versions: Versions::From12,
            suites: None,
            clients: None,
        };
        change(&mut options);
        let certificates = Certificates::open_with(&options, Arc::clone(&log), fresh);
        Served { scratch, log, certificates }
    }

    /// What a handshake gets that starts now.
    fn config(&self) -> Option<Arc<ServerConfig>> {
        let (done, answers) = mpsc::channel();
        let answer = move |config| done.send(config).expect("the test listens");
        match self.certificates.ask(Box::new(answer)) {
            Asked::Now(config) => config,
            Asked::Later => answers.recv_timeout(PATIENCE).expect("an answer"),
        }
    }

    /// The certificate that a client gets which asks for `name`.
    fn shown(&self, name: &str) -> CertificateDer<'static> {
        let config = self.config().expect("TLS is on");
        let (client, _) = shake(&anyone(), name, &config).expect("a handshake");
        client.peer_certificates().expect("a certificate")[0].clone().into_owned()
    }

    fn lines(&self) -> Vec<String> {
        self.log.flush(PATIENCE);
        self.scratch.text("log").lines().map(|line| line.replace(&self.dir(), "")).collect()
    }

    fn dir(&self) -> String {
        self.scratch.path("").display().to_string()
    }
}

/// Carries bytes between the two ends until both are through.
fn shake(
    client: &Arc<ClientConfig>,
    name: &str,
    server: &Arc<ServerConfig>,
) -> Result<(ClientConnection, ServerConnection), Error> {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let mut client = ClientConnection::new(Arc::clone(client), name).expect("a client");
    let mut server = ServerConnection::new(Arc::clone(server)).expect("a server");
    let mut bytes = Vec::new();
    // Tickets come after the handshake.
    for _ in 0..10 {
        while client.wants_write() {
            client.write_tls(&mut bytes).expect("a vector takes everything");
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).expect("there is room");
            server.process_new_packets()?;
        }
        bytes.clear();
        while server.wants_write() {
            server.write_tls(&mut bytes).expect("a vector takes everything");
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).expect("there is room");
            client.process_new_packets()?;
        }
        bytes.clear();
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok((client, server))
}

/// A client or target that asks nobody.
fn anyone() -> Arc<ClientConfig> {
    let options = TargetOptions { authorities: None, name: None };
    target_config(&options).expect("no files")
}

fn changed(change: impl FnOnce(&mut ClientConfig)) -> Arc<ClientConfig> {
    let mut config = (*anyone()).clone();
    config.resumption = rustls::client::Resumption::in_memory_sessions(8);
    change(&mut config);
    Arc::new(config)
}

/// A client that shows a certificate.
fn with_identity(made: &Made, more: &[&Made]) -> Arc<ClientConfig> {
    let mut chain = vec![made.cert.der().clone()];
    chain.extend(more.iter().map(|made| made.cert.der().clone()));
    let key = PrivateKeyDer::try_from(made.key.serialize_der()).expect("a key");
    let provider = suites::provider(None);
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verify::Anyone(
            provider.signature_verification_algorithms,
        )))
        .with_client_auth_cert(chain, key);
    Arc::new(config.expect("a usable key"))
}

/// A target with this certificate.
fn target(made: &Made, more: &[&Made]) -> Arc<ServerConfig> {
    let scratch = Scratch::new();
    let chain: String = more.iter().map(|made| made.cert.pem()).collect();
    scratch.file("self.pem", made.pem() + &chain);
    Served::open(scratch, |_| ()).config().expect("a certificate")
}

fn invalid<T>(result: Result<T, Error>) -> CertificateError {
    match result.map(drop) {
        Err(Error::InvalidCertificate(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn replace(scratch: &Scratch, name: &str, text: String) {
    fs::rename(scratch.file("new", text), scratch.path(name)).expect("renamed");
}

#[test]
fn a_certificate_that_appears_turns_tls_on_and_a_replaced_one_is_served() {
    let served = Served::open(Scratch::new(), |_| ());
    assert!(!served.certificates.is_asked_for() && served.config().is_none());
    assert_eq!(
        served.certificates.refusal(),
        format!("SSL connection but '{}self.pem' not found", served.dir())
    );
    let (first, second) = (Made::selfsigned(&["a"]), Made::selfsigned(&["a"]));
    replace(&served.scratch, "self.pem", first.pem());
    assert_eq!(served.shown("a"), *first.cert.der());
    replace(&served.scratch, "self.pem", second.pem());
    assert_eq!(served.shown("a"), *second.cert.der());
    assert_eq!(served.shown("a"), *second.cert.der());
    let line = "self.pem: this certificate is served from now on";
    assert_eq!(served.lines(), [line, line]);
}

#[test]
fn a_file_that_is_written_in_place_is_read_again() {
    let scratch = Scratch::new();
    let (first, second) = (Made::selfsigned(&["a"]), Made::selfsigned(&["b"]));
    let path = scratch.file("self.pem", first.pem());
    let served = Served::open(scratch, |_| ());
    assert_eq!(served.shown("a"), *first.cert.der());
    fs::write(path, second.pem()).expect("written");
    assert_eq!(served.shown("a"), *second.cert.der());
}

#[test]
fn a_broken_replacement_keeps_the_old_pair_and_says_so_once() {
    let scratch = Scratch::new();
    let (first, second) = (Made::selfsigned(&["a"]), Made::selfsigned(&["a"]));
    scratch.file("cert", first.cert.pem());
    scratch.file("key", first.key.serialize_pem());
    let served = Served::open(scratch, |options| {
        let dir = options.pairs[0].cert.parent().expect("a directory").to_owned();
        options.pairs = vec![Pair { cert: dir.join("cert"), key: Some(dir.join("key")) }];
    });
    for broken in [second.cert.pem(), String::new(), "text".into(), first.cert.pem()[..100].to_owned()] {
        replace(&served.scratch, "cert", broken);
        for _ in 0..3 {
            assert_eq!(served.shown("a"), *first.cert.der());
        }
    }
    fs::remove_file(served.scratch.path("cert")).expect("removed");
    for _ in 0..3 {
        assert_eq!(served.shown("a"), *first.cert.der());
    }
    replace(&served.scratch, "cert", second.cert.pem());
    replace(&served.scratch, "key", second.key.serialize_pem());
    assert_eq!(served.shown("a"), *second.cert.der());
    let stays = "; what was read before stays in use";
    assert_eq!(
        served.lines(),
        [
            format!("cert: the key does not belong to the certificate (key){stays}"),
            format!("cert: is empty{stays}"),
            format!("cert: there is no certificate in it (in PEM form){stays}"),
            format!("cert: the CERTIFICATE in it has no end{stays}"),
            format!("cert: not found{stays}"),
            "cert: this certificate is served from now on".into(),
        ]
    );
}

#[test]
fn a_pair_that_is_broken_at_the_start_is_said_and_served_once_it_is_mended() {
    let scratch = Scratch::new();
    let made = Made::selfsigned(&["a"]);
    scratch.file("self.pem", made.cert.pem());
    let served = Served::open(scratch, |_| ());
    assert!(served.config().is_none() && served.config().is_none() && served.certificates.is_asked_for());
    let text = "self.pem: there is no private key in it, and none was given with --key";
    assert_eq!(served.certificates.refusal(), format!("SSL connection but {}{text}", served.dir()));
    replace(&served.scratch, "self.pem", made.pem());
    assert_eq!(served.shown("a"), *made.cert.der());
    assert_eq!(served.lines(), [text, "self.pem: this certificate is served from now on"]);
}

#[test]
fn an_expired_certificate_is_served_with_a_warning() {
    let scratch = Scratch::new();
    let expired = || {
        Made::selfsigned_with(&["a"], &rcgen::PKCS_ECDSA_P256_SHA256, |params| {
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        })
    };
    let (first, second) = (expired(), expired());
    scratch.file("self.pem", first.pem());
    let served = Served::open(scratch, |_| ());
    assert_eq!(served.shown("a"), *first.cert.der());
    replace(&served.scratch, "self.pem", second.pem());
    assert_eq!(served.shown("a"), *second.cert.der());
    let warning = "self.pem: the certificate has expired: clients will refuse it";
    assert_eq!(served.lines(), [warning, "self.pem: this certificate is served from now on", warning]);
}

#[test]
fn files_are_looked_at_once_for_all_who_wait_and_not_again_while_the_result_is_fresh() {
    let scratch = Scratch::new();
    let made = Made::selfsigned(&["a"]);
    scratch.file("self.pem", made.pem());
    let served = Served::open_with(scratch, Duration::from_secs(3600), |_| ());
    fs::remove_file(served.scratch.path("self.pem")).expect("removed");
    let refused = || -> Answer { Box::new(|_| panic!("the answer was given at once")) };
    assert!(matches!(served.certificates.ask(refused()), Asked::Now(Some(_))));
    assert!(served.lines().is_empty(), "nobody looked");

    // The helper is held up, so that the flight lasts.
    let served = Served::open(served.scratch, |_| ());
    let store = lock(&served.certificates.shared.store);
    let (done, answers) = mpsc::channel();
    for _ in 0..100 {
        let done = done.clone();
        let answer = move |config: Option<Arc<ServerConfig>>| done.send(config.is_some()).expect("heard");
        assert!(matches!(served.certificates.ask(Box::new(answer)), Asked::Later));
    }
    assert_eq!(lock(&served.certificates.shared.found).flight.as_ref().map(|f| f.waiting.len()), Some(100));
    drop(store);
    for _ in 0..100 {
        assert_eq!(answers.recv_timeout(PATIENCE), Ok(false));
    }
    assert!(lock(&served.certificates.shared.found).flight.is_none());
}

#[test]
fn a_file_system_that_hangs_does_not_stop_what_was_good_before() {
    let scratch = Scratch::new();
    scratch.file("self.pem", Made::selfsigned(&["a"]).pem());
    let served = Served::open(scratch, |_| ());
    let store = lock(&served.certificates.shared.store);
    assert!(matches!(served.certificates.ask(Box::new(|_| ())), Asked::Later));
    let mut found = lock(&served.certificates.shared.found);
    let flight = found.flight.as_mut().expect("under way");
    flight.since = flight.since.checked_sub(2 * HANGING).expect("the machine runs for longer");
    drop(found);
    assert!(matches!(served.certificates.ask(Box::new(|_| ())), Asked::Now(Some(_))));
    drop(store);
}

#[test]
fn several_pairs_are_told_apart_by_the_name_that_is_asked_for() {
    let scratch = Scratch::new();
    let (first, second) = (Made::selfsigned(&["first.example"]), Made::selfsigned(&["*.second.example"]));
    scratch.file("self.pem", first.pem());
    scratch.file("second", second.pem());
    let served = Served::open(scratch, |options| {
        let dir = options.pairs[0].cert.parent().expect("a directory").to_owned();
        options.pairs.push(Pair { cert: dir.join("second"), key: None });
        options.pairs.push(Pair { cert: dir.join("third"), key: None });
    });
    assert_eq!(served.shown("first.example"), *first.cert.der());
    assert_eq!(served.shown("a.second.example"), *second.cert.der());
    assert_eq!(served.shown("192.0.2.1"), *first.cert.der());
    let third = Made::selfsigned(&["third.example"]);
    assert_eq!(served.shown("third.example"), *first.cert.der());
    replace(&served.scratch, "third", third.pem());
    assert_eq!(served.shown("third.example"), *third.cert.der());
    assert_eq!(served.lines(), ["third: not found", "third: this certificate is served from now on"]);
}

#[test]
fn versions_and_suites_are_those_asked_for() {
    let negotiated = |versions, suites: Option<&str>, tls12: bool| {
        let scratch = Scratch::new();
        scratch.file("self.pem", Made::selfsigned(&["a"]).pem());
        let served = Served::open(scratch, |options| {
            options.versions = versions;
            options.suites = suites.map(|list| parse_suites(list).expect("known names"));
        });
        let client = if tls12 { only_12() } else { anyone() };
        let (client, _) = shake(&client, "a", &served.config().expect("TLS is on")).ok()?;
        Some((client.protocol_version()?, client.negotiated_cipher_suite()?.suite()))
    };
    let suite = CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256;
    let name = Some("ECDHE-ECDSA-CHACHA20-POLY1305");
    assert_eq!(negotiated(Versions::From12, name, true), Some((ProtocolVersion::TLSv1_2, suite)));
    assert_eq!(negotiated(Versions::Only13, None, true), None);
    let suite = CipherSuite::TLS13_AES_128_GCM_SHA256;
    let name = Some("TLS_AES_128_GCM_SHA256");
    assert_eq!(negotiated(Versions::From12, name, false), Some((ProtocolVersion::TLSv1_3, suite)));
    assert_eq!(negotiated(Versions::From12, name, true), None);
    let found = negotiated(Versions::Only13, Some("ECDHE-ECDSA-AES128-GCM-SHA256"), false);
    assert_eq!(found.expect("1.3 is left as it is").0, ProtocolVersion::TLSv1_3);
}

fn only_12() -> Arc<ClientConfig> {
    let provider = suites::provider(None);
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .expect("a version")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verify::Anyone(
            provider.signature_verification_algorithms,
        )))
        .with_no_client_auth();
    Arc::new(config)
}

#[test]
fn http_1_1_is_answered_when_it_is_offered() {
    let server = target(&Made::selfsigned(&["a"]), &[]);
    for (offer, answer) in
        [(vec![], None), (vec!["http/1.1"], Some("http/1.1")), (vec!["h2", "http/1.1"], Some("http/1.1"))]
    {
        let offer: Vec<Vec<u8>> = offer.iter().map(|name: &&str| name.as_bytes().to_vec()).collect();
        let (client, _) =
            shake(&changed(|config| config.alpn_protocols = offer), "a", &server).expect("a handshake");
        assert_eq!(client.alpn_protocol(), answer.map(str::as_bytes));
    }
    let strange = changed(|config| config.alpn_protocols = vec![b"h2".to_vec()]);
    assert_eq!(shake(&strange, "a", &server).err(), Some(Error::NoApplicationProtocol));
    let (client, _) = shake(&strange, "a", &without_alpn(&server)).expect("a handshake");
    assert_eq!(client.alpn_protocol(), None);
}

#[test]
fn sessions_are_resumed_in_both_versions_and_across_a_new_certificate() {
    for client in [anyone(), only_12()] {
        let scratch = Scratch::new();
        scratch.file("self.pem", Made::selfsigned(&["a"]).pem());
        let served = Served::open(scratch, |_| ());
        let kind = || {
            let config = served.config().expect("TLS is on");
            shake(&client, "a", &config).expect("a handshake").1.handshake_kind()
        };
        assert_eq!(kind(), Some(HandshakeKind::Full));
        assert_eq!(kind(), Some(HandshakeKind::Resumed));
        replace(&served.scratch, "self.pem", Made::selfsigned(&["a"]).pem());
        assert_eq!(kind(), Some(HandshakeKind::Resumed));
    }
}

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
    let served = Served::open(scratch, |options| {
        let ca = options.pairs[0].cert.with_file_name("ca");
        options.clients = Some(Authorities::File(ca));
    });
    let server = served.config().expect("TLS is on");
    let try_with = |client: &Arc<ClientConfig>| shake(client, "a", &server);
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
fn other_authorities_end_the_resumption_of_sessions_and_broken_ones_let_nobody_in() {
    let scratch = Scratch::new();
    scratch.file("self.pem", Made::selfsigned(&["a"]).pem());
    let served = Served::open(scratch, |options| {
        let ca = options.pairs[0].cert.with_file_name("ca");
        options.clients = Some(Authorities::File(ca));
    });
    assert!(served.config().is_none());
    assert_eq!(served.certificates.refusal(), format!("SSL connection but {}ca: not found", served.dir()));
    let (first, second) = (Made::authority("first"), Made::authority("second"));
    replace(&served.scratch, "ca", first.cert.pem());
    let client = with_identity(&first.issue(&["me"], |_| ()), &[]);
    let kind = || {
        let config = served.config().expect("TLS is on");
        shake(&client, "a", &config).map(|ends| ends.1.handshake_kind())
    };
    assert_eq!(kind(), Ok(Some(HandshakeKind::Full)));
    assert_eq!(kind(), Ok(Some(HandshakeKind::Resumed)));
    replace(&served.scratch, "ca", "broken".into());
    assert_eq!(kind(), Ok(Some(HandshakeKind::Resumed)));
    replace(&served.scratch, "ca", second.cert.pem());
    assert_eq!(invalid(kind()), CertificateError::UnknownIssuer);
}

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
        assert!(shake(&config, name, &target(&good, &[])).is_ok(), "{name}");
    }
    for name in ["other.example", "192.0.2.2", "2001:db8::2"] {
        let error = invalid(shake(&config, name, &target(&good, &[])));
        assert!(matches!(error, CertificateError::NotValidForNameContext { .. }), "{name}: {error:?}");
    }
    let stranger = Made::selfsigned(&["host.example"]);
    let error = invalid(shake(&config, "host.example", &target(&stranger, &[])));
    assert_eq!(error, CertificateError::UnknownIssuer);
    let expired =
        authority.issue(&["host.example"], |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    assert!(shake(&config, "host.example", &target(&expired, &[])).is_err());
    assert!(shake(&anyone(), "other.example", &target(&expired, &[])).is_ok());
}

#[test]
fn a_selfsigned_target_is_believed_when_its_certificate_is_the_authority() {
    let scratch = Scratch::new();
    // As `openssl req -x509` makes it: an authority, with a common name only.
    let made = Made::authority("host.example");
    let config = targets(&scratch, &[&made]);
    assert!(shake(&config, "host.example", &target(&made, &[])).is_ok());
    assert_eq!(
        invalid(shake(&config, "other.example", &target(&made, &[]))),
        CertificateError::NotValidForName
    );
    let other = Made::authority("host.example");
    let error = invalid(shake(&config, "host.example", &target(&other, &[])));
    assert_eq!(error, CertificateError::UnknownIssuer, "same name, other key");
    let expired = Made::selfsigned_with(&["host.example"], &rcgen::PKCS_ECDSA_P256_SHA256, |params| {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    });
    let config = targets(&scratch, &[&expired]);
    assert_eq!(invalid(shake(&config, "host.example", &target(&expired, &[]))), CertificateError::Expired);
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
    let server = Served::open(kept, |_| ()).config().expect("a certificate");
    let authorities = Some(Authorities::File(scratch.path("cert")));
    let named = target_config(&TargetOptions { authorities, name: None }).expect("authorities");
    for client in [&anyone(), &only_12(), &named] {
        assert!(shake(client, "host.example", &server).is_ok());
    }
    assert_eq!(invalid(shake(&named, "other.example", &server)), CertificateError::NotValidForName);
    let others = targets(&scratch, &[&Made::authority("authority")]);
    assert_eq!(invalid(shake(&others, "host.example", &server)), CertificateError::UnknownIssuer);
}

#[test]
fn a_common_name_counts_for_targets_of_named_authorities_without_alternative_names() {
    let scratch = Scratch::new();
    let authority = Made::authority("authority");
    let config = targets(&scratch, &[&authority]);
    let common = authority.issue(&["host.example"], |params| params.subject_alt_names.clear());
    assert!(shake(&config, "host.example", &target(&common, &[])).is_ok());
    assert!(shake(&config, "other.example", &target(&common, &[])).is_err());
    let both = authority.issue(&["common.example"], |params| {
        params.subject_alt_names = vec![rcgen::SanType::DnsName("alt.example".try_into().expect("ascii"))];
    });
    assert!(shake(&config, "alt.example", &target(&both, &[])).is_ok());
    assert!(shake(&config, "common.example", &target(&both, &[])).is_err());
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
    assert_eq!(error(&scratch.path("none")), "none: not found");
    assert_eq!(error(&scratch.file("empty", "")), "empty: is empty");
    assert_eq!(error(&scratch.file("text", "text")), "text: there is no certificate in it (in PEM form)");
    let text = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    assert!(error(&scratch.file("bad", text)).starts_with("bad: certificate 1 in it can't be used: "));
}
