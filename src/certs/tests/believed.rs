//! What is believed, beside `openssl verify`: every kind of certificate that people make, below every kind of
//! authority. The two must agree on each, for clients and for targets of every name.

use rcgen::{CustomExtension, ExtendedKeyUsagePurpose as Purpose, IsCa, KeyUsagePurpose as Usage, SanType};
use rustls::pki_types::UnixTime;
use std::path::Path;
use std::process::Command;

use super::*;

type Change = fn(&mut rcgen::CertificateParams);

/// Leaves. The common name is `host.example` everywhere.
const LEAVES: [(&str, Change); 24] = [
    ("common name", |_| ()),
    ("the same name as a host", |params| params.subject_alt_names = vec![host("host.example")]),
    ("another host", |params| params.subject_alt_names = vec![host("other.example")]),
    ("a mail address", |params| params.subject_alt_names = vec![mail()]),
    ("an address", |params| params.subject_alt_names = vec![address()]),
    ("authority", be_ca),
    ("authority, host", |params| {
        be_ca(params);
        params.subject_alt_names = vec![host("host.example"), address()];
    }),
    ("authority, wildcard", |params| {
        be_ca(params);
        params.subject_alt_names = vec![host("*.example.org")];
    }),
    ("authority, mail", |params| {
        be_ca(params);
        params.subject_alt_names = vec![mail()];
    }),
    ("authority of length 0", |params| {
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    }),
    ("authority for servers", |params| {
        be_ca(params);
        params.extended_key_usages = vec![Purpose::ServerAuth];
    }),
    ("authority for clients", |params| {
        be_ca(params);
        params.extended_key_usages = vec![Purpose::ClientAuth];
    }),
    ("authority for both", |params| {
        be_ca(params);
        params.extended_key_usages = vec![Purpose::ClientAuth, Purpose::ServerAuth];
    }),
    ("authority for mail", |params| {
        be_ca(params);
        params.extended_key_usages = vec![Purpose::EmailProtection];
    }),
    ("authority for anything", |params| {
        be_ca(params);
        params.extended_key_usages = vec![Purpose::Any];
    }),
    ("authority that only signs certificates", |params| {
        be_ca(params);
        params.key_usages = vec![Usage::KeyCertSign, Usage::CrlSign];
    }),
    ("authority that signs anything", |params| {
        be_ca(params);
        params.key_usages = vec![Usage::DigitalSignature, Usage::KeyCertSign];
    }),
    ("authority that takes keys", |params| {
        be_ca(params);
        params.key_usages = vec![Usage::KeyEncipherment];
    }),
    ("authority, expired", |params| {
        be_ca(params);
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    }),
    ("authority, not yet", |params| {
        be_ca(params);
        params.not_before = rcgen::date_time_ymd(2099, 1, 1);
    }),
    ("authority, something critical", |params| {
        be_ca(params);
        params.custom_extensions = vec![custom(&[1, 2, 3, 4], &[5, 0], true)];
    }),
    ("authority, something else", |params| {
        be_ca(params);
        params.custom_extensions = vec![custom(&[1, 2, 3, 4], &[5, 0], false)];
    }),
    ("authority, an old client", |params| {
        be_ca(params);
        params.custom_extensions = vec![custom(NETSCAPE, &[3, 2, 7, 0x80], false)];
    }),
    ("authority, an old server", |params| {
        be_ca(params);
        params.custom_extensions = vec![custom(NETSCAPE, &[3, 2, 6, 0x40], false)];
    }),
];

/// Authorities, self-signed.
const AUTHORITIES: [(&str, Change); 9] = [
    ("plain", be_ca),
    ("of length 0", |params| params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Constrained(0))),
    ("signs certificates", |params| {
        be_ca(params);
        params.key_usages = vec![Usage::KeyCertSign];
    }),
    ("signs no certificates", |params| {
        be_ca(params);
        params.key_usages = vec![Usage::DigitalSignature];
    }),
    ("for clients", |params| {
        be_ca(params);
        params.extended_key_usages = vec![Purpose::ClientAuth];
    }),
    ("for servers", |params| {
        be_ca(params);
        params.extended_key_usages = vec![Purpose::ServerAuth];
    }),
    ("expired", |params| {
        be_ca(params);
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    }),
    ("no authority", |params| params.is_ca = IsCa::ExplicitNoCa),
    ("something critical", |params| {
        be_ca(params);
        params.custom_extensions = vec![custom(&[1, 2, 3, 4], &[5, 0], true)];
    }),
];

const NETSCAPE: &[u64] = &[2, 16, 840, 1, 113_730, 1, 1];

fn host(name: &str) -> SanType {
    SanType::DnsName(name.try_into().expect("ascii"))
}

fn mail() -> SanType {
    SanType::Rfc822Name("me@host.example".try_into().expect("ascii"))
}

fn address() -> SanType {
    SanType::IpAddress([192, 0, 2, 1].into())
}

fn custom(oid: &[u64], content: &[u8], critical: bool) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(oid, content.to_vec());
    extension.set_criticality(critical);
    extension
}

fn be_ca(params: &mut rcgen::CertificateParams) {
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
}

fn authority(change: Change) -> Made {
    Made::selfsigned_with(&["authority"], &rcgen::PKCS_ECDSA_P256_SHA256, |params| {
        params.subject_alt_names.clear();
        change(params);
    })
}

/// What both say: a line for each use that is believed.
fn verdicts(scratch: &Scratch, authorities: &Path, leaf: &Path) -> [Vec<&'static str>; 2] {
    let text = fs::read_to_string(leaf).expect("readable");
    let der = super::super::pem::blocks(&text).expect("sound")[0].data().expect("sound").to_vec();
    let (der, listed) = (CertificateDer::from(der), Authorities::File(authorities.into()));
    let now = UnixTime::now();
    let mut believed = [Vec::new(), Vec::new()];
    for (what, arguments) in [
        ("client", "-purpose sslclient"),
        ("host.example", "-purpose sslserver -verify_hostname host.example"),
        ("other.example", "-purpose sslserver -verify_hostname other.example"),
        ("www.example.org", "-purpose sslserver -verify_hostname www.example.org"),
        ("192.0.2.1", "-purpose sslserver -verify_ip 192.0.2.1"),
        ("192.0.2.2", "-purpose sslserver -verify_ip 192.0.2.2"),
    ] {
        let ours = match what {
            "client" => client_verifier(&listed)
                .is_ok_and(|verifier| verifier.verify_client_cert(&der, &[], now).is_ok()),
            name => {
                let name = ServerName::try_from(name).expect("a name");
                target_verifier(&listed)
                    .is_ok_and(|verifier| verifier.verify_server_cert(&der, &[], &name, &[], now).is_ok())
            }
        };
        let mut command = Command::new("openssl");
        command.arg("verify").args(arguments.split(' ')).arg("-no-CApath").arg("-no-CAstore");
        command.arg("-CAfile").arg(authorities).arg(leaf).current_dir(scratch);
        let theirs = command.output().expect("openssl runs").status.success();
        for (at, verdict) in [ours, theirs].into_iter().enumerate() {
            believed[at].extend(verdict.then_some(what));
        }
    }
    believed
}

#[test]
fn what_openssl_believes_is_believed_and_nothing_else() {
    let scratch = Scratch::new();
    if !scratch.openssl("version") {
        return;
    }
    let mut wrong = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    let mut compare = |what: String, authorities: &Path, leaf: &Path| {
        let [ours, theirs] = verdicts(&scratch, authorities, leaf);
        if ours != theirs {
            wrong.push(format!("{what}: ours {ours:?}, openssl's {theirs:?}"));
        }
        seen.insert(theirs);
    };
    for (number, (kind, change)) in AUTHORITIES.into_iter().enumerate() {
        let made = authority(change);
        let file = scratch.file("authority.pem", made.cert.pem());
        scratch.file("authority.key", made.key.serialize_pem());
        for (leaf, change) in LEAVES {
            // All below the plain one, and below the others those that the library has no say about.
            let few = ["authority", "authority, host", "authority for both"];
            if number > 0 && !few.contains(&leaf) {
                continue;
            }
            let issued = made.issue(&["host.example"], |params| {
                params.subject_alt_names.clear();
                change(params);
            });
            let path = scratch.file("leaf.pem", issued.cert.pem());
            compare(format!("{leaf} below {kind}"), &file, &path);
            // The file has another of the name before it, and the certificate says which key it was signed by.
            let namesake = authority(be_ca);
            let both = scratch.file("both.pem", namesake.cert.pem() + &made.cert.pem());
            if number == 0 {
                let issued = made.issue(&["host.example"], |params| {
                    params.subject_alt_names.clear();
                    params.use_authority_key_identifier_extension = true;
                    change(params);
                });
                let path = scratch.file("leaf.pem", issued.cert.pem());
                compare(format!("{leaf} below {kind} beside a namesake"), &both, &path);
            }
            let strange = scratch.file("namesake.pem", namesake.cert.pem());
            compare(format!("{leaf} below a namesake of {kind}"), &strange, &path);
        }
        // The recipe of most tutorials.
        scratch.file("none.cnf", "[req]\ndistinguished_name=dn\n[dn]\n");
        scratch.openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out leaf.key");
        scratch.openssl("req -new -config none.cnf -key leaf.key -subj /CN=host.example -out request");
        scratch.openssl(
            "x509 -req -in request -CA authority.pem -CAkey authority.key -set_serial 7 -out one.pem",
        );
        compare(format!("version 1 below {kind}"), &file, &scratch.path("one.pem"));
        let strange = scratch.file("namesake.pem", authority(be_ca).cert.pem());
        compare(format!("version 1 below a namesake of {kind}"), &strange, &scratch.path("one.pem"));
    }
    // An authority of version 1, and what it issues of either.
    scratch.openssl("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out authority.key");
    scratch.version_one_certificate("authority.key", "/CN=authority", "authority.pem");
    let file = scratch.path("authority.pem");
    scratch.file("ca.ext", "basicConstraints=critical,CA:TRUE\nsubjectAltName=DNS:host.example\n");
    scratch.file("san.ext", "subjectAltName=DNS:other.example\n");
    for ext in ["", "-extfile ca.ext", "-extfile san.ext"] {
        scratch.openssl(
            "req -new -config none.cnf -key leaf.key -subj /CN=host.example/CN=other.example -out request",
        );
        let line = "x509 -req -in request -CA authority.pem -CAkey authority.key -set_serial 7 -out one.pem";
        scratch.openssl(&format!("{line} {ext}"));
        compare(format!("below version 1, two names {ext}"), &file, &scratch.path("one.pem"));
        // The same with what it is trusted for after it, which is OpenSSL's own form.
        scratch.openssl(
            "x509 -in authority.pem -trustout -addtrust serverAuth -addtrust clientAuth -out trusted.pem",
        );
        compare(format!("below a trusted one {ext}"), &scratch.path("trusted.pem"), &scratch.path("one.pem"));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Otherwise nothing was compared.
    assert!(seen.len() >= 8, "{seen:?}");
}
