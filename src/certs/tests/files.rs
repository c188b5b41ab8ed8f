//! Files that come, change, break and go.

use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn a_certificate_that_appears_turns_tls_on_and_a_replaced_one_is_served() {
    let served = Setup::open(Scratch::new(), |_| ());
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
    let served = Setup::open(scratch, |_| ());
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
    let served = Setup::open(scratch, |options| {
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
    let stays = "; the previous version stays in use";
    assert_eq!(
        served.lines(),
        [
            format!("--cert cert: the key does not belong to the certificate (key){stays}"),
            format!("--cert cert: is empty{stays}"),
            format!("--cert cert: there is no certificate in it (in PEM form){stays}"),
            format!("--cert cert: the CERTIFICATE in it has no end{stays}"),
            format!("--cert cert: not found{stays}"),
            "cert: this certificate is served from now on".into(),
        ]
    );
}

#[test]
fn a_pair_that_is_broken_at_the_start_is_said_and_served_once_it_is_mended() {
    let scratch = Scratch::new();
    let made = Made::selfsigned(&["a"]);
    scratch.file("self.pem", made.cert.pem());
    let served = Setup::open(scratch, |_| ());
    assert!(served.config().is_none() && served.config().is_none() && served.certificates.is_asked_for());
    let text = "self.pem: there is no private key in it, and none was given with --key";
    assert_eq!(served.certificates.refusal(), format!("SSL connection but --cert {}{text}", served.dir()));
    replace(&served.scratch, "self.pem", made.pem());
    assert_eq!(served.shown("a"), *made.cert.der());
    assert_eq!(
        served.lines(),
        [&format!("--cert {text}"), "self.pem: this certificate is served from now on"]
    );
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
    let served = Setup::open(scratch, |_| ());
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
    let served = Setup::open_with(scratch, Duration::from_secs(3600), |_| ());
    fs::remove_file(served.scratch.path("self.pem")).expect("removed");
    let refused = || -> ReplyTo<Served> { Box::new(|_| panic!("the answer was given at once")) };
    assert!(matches!(served.certificates.ask(refused()), Asked::Now(Some(_))));
    assert!(served.lines().is_empty(), "nobody looked");

    // The helper is held up, so that the flight lasts.
    let served = Setup::open(served.scratch, |_| ());
    let store = lock(&served.certificates.inner.store);
    let (done, answers) = mpsc::channel();
    for _ in 0..100 {
        let done = done.clone();
        let answer = move |config: Option<Arc<ServerConfig>>| done.send(config.is_some()).expect("heard");
        assert!(matches!(served.certificates.ask(Box::new(answer)), Asked::Later));
    }
    assert_eq!(lock(&served.certificates.inner.found).flight.as_ref().map(Flight::waiting), Some(100));
    drop(store);
    for _ in 0..100 {
        assert_eq!(answers.recv_timeout(PATIENCE), Ok(false));
    }
    assert!(lock(&served.certificates.inner.found).flight.is_none());
}

#[test]
fn a_file_system_that_hangs_does_not_stop_what_was_good_before() {
    let scratch = Scratch::new();
    scratch.file("self.pem", Made::selfsigned(&["a"]).pem());
    let served = Setup::open(scratch, |_| ());
    let store = lock(&served.certificates.inner.store);
    assert!(matches!(served.certificates.ask(Box::new(|_| ())), Asked::Later));
    let mut found = lock(&served.certificates.inner.found);
    let flight = found.flight.as_mut().expect("under way");
    flight.age(2 * HANGING);
    drop(found);
    assert!(matches!(served.certificates.ask(Box::new(|_| ())), Asked::Now(Some(_))));
    drop(store);
}

#[test]
fn a_key_that_makes_handshakes_slow_is_said() {
    for (bits, lines) in [
        (
            4096,
            &[
                "self.pem: each TLS handshake with its RSA key of 4096 bits costs about 18 times one with a P-256 key",
            ][..],
        ),
        (3072, &[]),
    ] {
        let scratch = Scratch::new();
        if !scratch.openssl(&format!("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:{bits} -out key")) {
            return;
        }
        scratch.openssl("req -x509 -new -key key -subj /CN=a -days 2 -out cert");
        scratch.file("self.pem", scratch.text("cert") + &scratch.text("key"));
        assert_eq!(Setup::open(scratch, |_| ()).lines(), lines);
    }
}

#[test]
fn a_key_that_everybody_may_read_is_said_and_one_with_a_password_is_not() {
    if !std::env::temp_dir().ancestors().all(|path| mode_of(path) & 0o005 == 0o005) {
        // Nobody else gets as far as that here.
        return;
    }
    let open = |scratch: &Scratch, names: &[&str]| {
        for (name, mode) in [("", 0o755)].into_iter().chain(names.iter().map(|name| (*name, 0o644))) {
            fs::set_permissions(scratch.path(name), fs::Permissions::from_mode(mode)).expect("changed");
        }
    };
    for (opened, key, is_said) in [
        (&["self.pem"][..], "self.pem", true),
        (&["cert", "key"], "key", true),
        (&["cert"], "key", false),
        (&[], "self.pem", false),
    ] {
        let (scratch, made) = (Scratch::new(), Made::selfsigned(&["a"]));
        scratch.file("self.pem", made.pem());
        scratch.file("cert", made.cert.pem());
        scratch.file("key", made.key.serialize_pem());
        open(&scratch, opened);
        let cert = if key == "self.pem" { key } else { "cert" };
        let (cert_file, key_file) = (scratch.path(cert), scratch.path(key));
        let served = Setup::open(scratch, |options| {
            options.pairs = vec![Pair { cert: cert_file, key: Some(key_file) }];
        });
        let line = format!("{cert}: every user of this machine may read its private key: chmod go= {key}");
        assert_eq!(served.lines(), is_said.then_some(line).into_iter().collect::<Vec<_>>());
    }
    let scratch = Scratch::new();
    let request = "req -x509 -newkey rsa:2048 -passout pass:secret -subj /CN=a -days 2 -keyout key -out cert";
    if cfg!(feature = "encrypted-keys") && scratch.openssl(request) {
        scratch.file("self.pem", scratch.text("cert") + &scratch.text("key"));
        open(&scratch, &["self.pem"]);
        let served = Setup::open(scratch, |options| options.key_password = Some(b"secret".to_vec()));
        assert_eq!((served.lines(), served.config().is_some()), (Vec::new(), true));
    }
}

fn mode_of(path: &std::path::Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode()
}
