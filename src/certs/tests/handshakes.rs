//! What is negotiated: certificate, version, suite, protocol, resumption.

use super::*;
use rustls::{HandshakeKind, ProtocolVersion};

#[test]
fn several_pairs_are_told_apart_by_the_name_that_is_asked_for() {
    let scratch = Scratch::new();
    let (first, second) = (Made::selfsigned(&["first.example"]), Made::selfsigned(&["*.second.example"]));
    scratch.file("self.pem", first.pem());
    scratch.file("second", second.pem());
    let served = Setup::open(scratch, |options| {
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
    assert_eq!(served.lines(), ["--cert third: not found", "third: this certificate is served from now on"]);
}

#[test]
fn versions_and_suites_are_those_asked_for() {
    let negotiated = |versions, suites: Option<&str>, tls12: bool| {
        let scratch = Scratch::new();
        scratch.file("self.pem", Made::selfsigned(&["a"]).pem());
        let served = Setup::open(scratch, |options| {
            options.versions = versions;
            options.suites = suites.map(|list| parse_suites(list).expect("known names").0);
        });
        let client = if tls12 { only_12() } else { anyone() };
        let (client, _) = handshake(&client, "a", &served.config().expect("TLS is on")).ok()?;
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

#[test]
fn http_1_1_is_answered_when_it_is_offered_and_other_protocols_alone_are_refused() {
    let server = target(&Made::selfsigned(&["a"]), &[]);
    for (offer, answer) in
        [(vec![], None), (vec!["http/1.1"], Some("http/1.1")), (vec!["h2", "http/1.1"], Some("http/1.1"))]
    {
        let offer: Vec<Vec<u8>> = offer.iter().map(|name: &&str| name.as_bytes().to_vec()).collect();
        let (client, _) =
            handshake(&changed(|config| config.alpn_protocols = offer), "a", &server).expect("a handshake");
        assert_eq!(client.alpn_protocol(), answer.map(str::as_bytes));
    }
    let strange = changed(|config| config.alpn_protocols = vec![b"h2".to_vec()]);
    assert_eq!(handshake(&strange, "a", &server).err(), Some(Error::NoApplicationProtocol));
}

#[test]
fn sessions_are_resumed_in_both_versions_and_across_a_new_certificate() {
    for client in [anyone(), only_12()] {
        let scratch = Scratch::new();
        scratch.file("self.pem", Made::selfsigned(&["a"]).pem());
        let served = Setup::open(scratch, |_| ());
        let kind = || {
            let config = served.config().expect("TLS is on");
            handshake(&client, "a", &config).expect("a handshake").1.handshake_kind()
        };
        assert_eq!(kind(), Some(HandshakeKind::Full));
        assert_eq!(kind(), Some(HandshakeKind::Resumed));
        replace(&served.scratch, "self.pem", Made::selfsigned(&["a"]).pem());
        assert_eq!(kind(), Some(HandshakeKind::Resumed));
    }
}
