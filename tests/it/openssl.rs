//! openssl at both of the gateway's ends: keys of every kind with the chain that belongs to them, clients that
//! show certificates, and targets.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::common::client::{Client, UPGRADE};
use crate::common::server::Server;
use crate::common::target::Target;
use crate::common::{Scratch, eventually, has};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

/// Runs openssl in `scratch`; the words are separated by spaces.
fn openssl(scratch: &Scratch, line: &str) {
    let mut command = Command::new("openssl");
    command.args(line.split(' ')).current_dir(scratch.path("")).stdin(Stdio::null());
    let output = command.output().expect("openssl");
    assert!(output.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&output.stderr));
}

/// openssl's client with a WebSocket request on its way; what it prints and whether it left satisfied.
fn visit(server: &Server, scratch: &Scratch, options: &str) -> (String, bool) {
    let address = server.address().to_string();
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &address, "-servername", "localhost", "-ign_eof"]);
    command.args(options.split_whitespace()).current_dir(scratch.path(""));
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().expect("openssl");
    let mut stdin = child.stdin.take().expect("piped");
    // The gateway may have refused the client before it reads this.
    let _ = stdin.write_all(UPGRADE.replace("Upgrade: websocket\r\n", "").as_bytes());
    let output = child.wait_with_output().expect("its output");
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.success())
}

#[test]
fn clients_that_only_openssl_would_take_are_told_why_they_are_refused() {
    if !has("openssl") {
        return;
    }
    let scratch = Scratch::new();
    openssl(&scratch, "req -x509 -newkey rsa:2048 -nodes -keyout key -out cert -subj /CN=a -days 2");
    let target = Target::tcp().echo();
    let options = ["--cert", &scratch.arg("cert"), "--key", &scratch.arg("key")];
    let name = "client's name for us (SNI) is not a host name, so the TLS library refuses it";
    let group = "no shared key exchange group";
    for (offer, told) in [
        ("-servername a..b", Some(name)),
        ("-servername -x.y", Some(name)),
        ("-servername under_score.host", None),
        ("-servername 192.0.2.1", None),
        ("-groups P-521", Some(group)),
        ("-groups X448", Some(group)),
        ("-groups ffdhe2048", Some(group)),
        ("-groups P-521:P-256", None),
        ("-tls1_2 -cipher AES256-GCM-SHA384", Some("no shared cipher suite")),
        ("-tls1_2 -cipher ECDHE-RSA-AES256-SHA384", Some("no shared cipher suite")),
        ("-maxfraglen 1024", None),
    ] {
        let server = Server::relay_with(&target.address, &options);
        let (answer, _) = visit(&server, &scratch, offer);
        match told {
            Some(told) => {
                let line = server.log.wait_for("TLS handshake failed: ");
                assert_eq!(line, format!("127.0.0.1: TLS handshake failed: {told}"), "{offer}");
            }
            None => assert!(answer.contains("\nHTTP/1.1 "), "{offer}: {answer}"),
        }
    }
}

/// A root, an authority below it, and with each key a certificate for `localhost` from that one.
struct Chain(Scratch);

impl Chain {
    fn new() -> Chain {
        let scratch = Scratch::new();
        let small = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        openssl(
            &scratch,
            &format!("req -x509 {small} -keyout root.key -out root.pem -subj /CN=root -days 2"),
        );
        openssl(&scratch, &format!("req -new {small} -keyout mid.key -out mid.csr -subj /CN=mid"));
        std::fs::write(scratch.path("mid.ext"), "basicConstraints=critical,CA:TRUE\n").expect("written");
        std::fs::write(scratch.path("host.ext"), "subjectAltName=DNS:localhost\n").expect("written");
        let sign = "x509 -req -days 2 -CAcreateserial";
        openssl(
            &scratch,
            &format!("{sign} -in mid.csr -CA root.pem -CAkey root.key -extfile mid.ext -out mid.pem"),
        );
        Chain(scratch)
    }

    /// Makes `chain.pem`, the certificate of the key in the file `plain.key` and the one it comes from.
    fn issue(&self) {
        let scratch = &self.0;
        openssl(scratch, "req -new -key plain.key -out host.csr -subj /CN=localhost");
        let sign = "x509 -req -days 2 -CAcreateserial -in host.csr -CA mid.pem -CAkey mid.key";
        openssl(scratch, &format!("{sign} -extfile host.ext -out host.pem"));
        let chain = ["host.pem", "mid.pem"].map(|name| std::fs::read(scratch.path(name)).expect("made"));
        std::fs::write(scratch.path("chain.pem"), chain.concat()).expect("written");
    }
}

#[test]
fn keys_of_every_kind_are_opened_and_served_with_their_chain() {
    if !has("openssl") {
        return;
    }
    let chain = Chain::new();
    let scratch = &chain.0;
    let target = Target::tcp();
    for (kind, encrypted) in [
        ("RSA -pkeyopt rsa_keygen_bits:2048", "rsa -in plain.key -traditional -aes256 -passout pass:secret"),
        ("EC -pkeyopt ec_paramgen_curve:P-384", "ec -in plain.key -aes128 -passout pass:secret"),
        ("ED25519", "pkcs8 -topk8 -in plain.key -passout pass:secret"),
        ("RSA -pkeyopt rsa_keygen_bits:3072", "pkcs8 -topk8 -in plain.key -passout pass:secret"),
    ] {
        openssl(scratch, &format!("genpkey -algorithm {kind} -out plain.key"));
        openssl(scratch, &format!("{encrypted} -out locked.key"));
        chain.issue();
        let files = [scratch.arg("chain.pem"), scratch.arg("locked.key")];
        let options = ["--cert", &files[0], "--key", &files[1], "--key-password", "secret"];
        let server = Server::relay_with(&target.address, &options);
        for version in ["-tls1_2", "-tls1_3"] {
            let believing =
                format!("{version} -CAfile root.pem -verify_return_error -verify_hostname localhost");
            let (said, _) = visit(&server, scratch, &believing);
            assert!(said.contains("Verify return code: 0 (ok)"), "{kind} {version}: {said}");
            assert!(said.contains("HTTP/1.1 426 "), "{kind}: {said}");
        }
    }
}

/// A certificate for a client, in the files `NAME.pem` and `NAME.key`.
fn client(scratch: &Scratch, name: &str, issuer: Option<&Issuer<'_, KeyPair>>, expired: bool) {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    if expired {
        params.not_after = date_time_ymd(2020, 1, 1);
    }
    let key = KeyPair::generate().expect("a key");
    let cert = match issuer {
        Some(issuer) => params.signed_by(&key, issuer),
        None => params.self_signed(&key),
    };
    std::fs::write(scratch.path(&format!("{name}.pem")), cert.expect("a certificate").pem())
        .expect("written");
    std::fs::write(scratch.path(&format!("{name}.key")), key.serialize_pem()).expect("written");
}

#[test]
fn clients_must_show_a_certificate_and_the_log_says_what_is_wrong_with_it() {
    if !has("openssl") {
        return;
    }
    let scratch = Scratch::new();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let cert = params.self_signed(&key).expect("a certificate");
    std::fs::write(scratch.path("ca.pem"), cert.pem()).expect("written");
    let authority = Issuer::new(params, key);
    client(&scratch, "good", Some(&authority), false);
    client(&scratch, "expired", Some(&authority), true);
    client(&scratch, "stranger", None, false);
    let target = Target::tcp();
    let identity = crate::common::tls::identity();
    let files =
        [crate::common::text(&identity.cert), crate::common::text(&identity.key), scratch.arg("ca.pem")];
    let options = ["--cert", &files[0], "--key", &files[1], "--verify-client", "--cafile", &files[2]];
    let server = Server::relay_with(&target.address, &options);
    for version in ["-tls1_2", "-tls1_3"] {
        let (said, _) = visit(&server, &scratch, &format!("{version} -cert good.pem -key good.key"));
        assert!(said.contains("HTTP/1.1 4"), "{version}: {said}");
        for (name, trouble) in [
            ("", "client showed no certificate"),
            ("expired", "client's certificate has expired"),
            (
                "stranger",
                "client's certificate has an unknown issuer (self-signed, or a CA that is not trusted)",
            ),
        ] {
            let shown =
                if name.is_empty() { String::new() } else { format!("-cert {name}.pem -key {name}.key") };
            let before = server.log.count(trouble);
            let (said, _) = visit(&server, &scratch, &format!("{version} {shown}"));
            assert!(!said.contains("HTTP/1.1"), "{version} {name}: {said}");
            let line = server.log.wait_for_nth(trouble, before + 1);
            assert_eq!(line, format!("127.0.0.1: TLS handshake failed: {trouble}"));
        }
    }
    assert!(target.is_untouched());
}

/// Processor time that the first reactor has had so far.
fn reactor_time(server: &Server) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("a process");
    let of = |name: &str, task: &std::path::Path| std::fs::read_to_string(task.join(name)).expect("/proc");
    let reactor = tasks.flatten().map(|task| task.path()).find(|task| of("comm", task).trim() == "reactor-0");
    let times = of("schedstat", &reactor.expect("a reactor"));
    Duration::from_nanos(times.split(' ').next().and_then(|time| time.parse().ok()).expect("a number"))
}

#[test]
fn the_first_handshake_of_all_costs_little_more_than_a_later_one() {
    if !has("openssl") {
        return;
    }
    let identity = crate::common::tls::identity();
    let (cert, key) = (crate::common::text(&identity.cert), crate::common::text(&identity.key));
    for options in [&["--verify-client", "--cafile", &cert][..], &[]] {
        let options = [&["--cert", &cert, "--key", &key], options].concat();
        let server = Server::relay_with("127.0.0.1:1", &options);
        eventually("the reactor to be there", || server.watched() == [2]);
        let cost = || {
            let before = reactor_time(&server);
            visit(&server, &Scratch::new(), "-tls1_3");
            reactor_time(&server) - before
        };
        let (first, later) = (cost(), (0..3).map(|_| cost()).min().expect("three"));
        // The first random numbers of a process take 20 to 30 ms of work.
        assert!(first < later + Duration::from_millis(12), "{first:?}, later {later:?}: {options:?}");
    }
}

#[test]
fn what_a_client_and_the_gateway_do_not_have_in_common_is_said() {
    if !has("openssl") {
        return;
    }
    let scratch = Scratch::new();
    let target = Target::tcp();
    let identity = crate::common::tls::identity();
    let files = [crate::common::text(&identity.cert), crate::common::text(&identity.key)];
    let (suite, group, version, scheme) = (
        "no shared cipher suite",
        "no shared key exchange group",
        "no shared protocol version",
        "no shared signature scheme",
    );
    for (options, trouble) in [
        // Old suites need no group, so such a client names none.
        ("-tls1_2 -cipher AES128-SHA", suite),
        ("-tls1_2 -cipher AES128-GCM-SHA256", suite),
        ("-tls1_2 -cipher DHE-RSA-AES128-GCM-SHA256", suite),
        ("-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA", suite),
        // It is for RSA certificates.
        ("-tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256", suite),
        ("-tls1_3 -ciphersuites TLS_AES_128_CCM_SHA256", suite),
        ("-tls1_2 -cipher DHE-RSA-AES128-GCM-SHA256 -groups X448", suite),
        ("-tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256 -groups X448", group),
        ("-tls1_2 -groups brainpoolP256r1:secp521r1", group),
        ("-tls1_3 -groups X448", group),
        ("-tls1_1 -cipher ALL:@SECLEVEL=0", version),
        ("-tls1 -cipher ALL:@SECLEVEL=0", version),
        // As OpenSSL has it, too: no suite is left whose certificates it could check.
        ("-tls1_2 -sigalgs RSA+SHA256", suite),
        ("-tls1_3 -sigalgs RSA-PSS+SHA256", scheme),
    ] {
        // One each, since lines of one kind are limited.
        let server = Server::relay_with(&target.address, &["--cert", &files[0], "--key", &files[1]]);
        visit(&server, &scratch, options);
        let line = server.log.wait_for("TLS handshake failed: ");
        assert_eq!(line, format!("127.0.0.1: TLS handshake failed: {trouble}"), "{options}");
    }
    assert!(target.is_untouched());
}

/// openssl as a TLS server that sends each line back reversed; ends with the test.
struct Reversing(Child);

impl Drop for Reversing {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn openssl_is_spoken_to_as_a_target_in_both_versions() {
    if !has("openssl") {
        return;
    }
    let identity = crate::common::tls::identity();
    for version in ["-tls1_2", "-tls1_3"] {
        let mut command = Command::new("openssl");
        command.args(["s_server", "-accept", "127.0.0.1:0", "-rev", version, "-cert"]);
        command.arg(&identity.cert).arg("-key").arg(&identity.key);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut target = Reversing(command.spawn().expect("openssl"));
        let mut said = String::new();
        let mut stdout = target.0.stdout.take().expect("piped");
        while !said.ends_with('\n') || !said.contains("ACCEPT ") {
            let mut byte = [0];
            stdout.read_exact(&mut byte).expect("it says where it listens");
            said.push(char::from(byte[0]));
        }
        let port = said.trim_end().rsplit(':').next().expect("a port").to_owned();
        let ca = crate::common::text(&identity.cert);
        let options = ["-v", "--ssl-target", "--ssl-target-ca", &ca];
        let server = Server::relay_with(&format!("localhost:{port}"), &options);
        let mut client = Client::open(&server);
        client.send_binary(b"through openssl\n");
        assert_eq!(client.data(16), b"lssnepo hguorht\n", "{version}");
        client.close();
        eventually("all sockets to be closed", || server.connections() == 0);
    }
}
