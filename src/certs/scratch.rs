//! A directory for the files of one test, and the keys and certificates that tests put there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{CertificateParams, DnType, KeyPair, SignatureAlgorithm};

/// A directory that goes with the test.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> Scratch {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("websockify-certs-{}-{number}", std::process::id()));
        fs::create_dir_all(&dir).expect("a directory");
        Scratch(dir)
    }

    /// The path of a file in it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Makes a file in it, which only its owner may read, as it is with keys.
    pub(super) fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("changed");
        path
    }

    /// Runs the `openssl` command in it; false if there is no such command here.
    pub(super) fn openssl(&self, line: &str) -> bool {
        let mut command = Command::new("openssl");
        command.args(line.split_whitespace()).current_dir(&self.0).stdin(Stdio::null());
        let Ok(output) = command.output() else {
            crate::skips::skipped("openssl is not on PATH");
            return false;
        };
        assert!(output.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&output.stderr));
        true
    }

    /// Makes a self-signed X.509 version 1 certificate, which has no extensions.
    pub(super) fn version_one_certificate(&self, key: &str, subject: &str, cert: &str) {
        self.file("none.cnf", "[req]\ndistinguished_name=dn\n[dn]\n");
        self.openssl(&format!("req -new -config none.cnf -key {key} -subj {subject} -out request"));
        self.openssl(&format!("x509 -req -in request -signkey {key} -days 2 -out {cert}"));
    }

    /// What is in a file.
    pub(super) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("readable")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl AsRef<Path> for Scratch {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

/// A certificate and its key, made for a test.
pub(super) struct Made {
    pub(super) cert: rcgen::Certificate,
    pub(super) params: CertificateParams,
    pub(super) key: KeyPair,
}

impl Made {
    /// A self-signed certificate for these names; the first is the common name, too.
    pub(super) fn selfsigned(names: &[&str]) -> Made {
        Made::selfsigned_with(names, &rcgen::PKCS_ECDSA_P256_SHA256, |_| ())
    }

    pub(super) fn selfsigned_with(
        names: &[&str],
        algorithm: &'static SignatureAlgorithm,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Made {
        let mut params = params(names);
        change(&mut params);
        let key = KeyPair::generate_for(algorithm).expect("a key");
        Made { cert: params.self_signed(&key).expect("a certificate"), params, key }
    }

    /// A certificate for these names that `self` vouches for.
    pub(super) fn issue(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Made {
        let mut params = params(names);
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let issuer = rcgen::Issuer::from_params(&self.params, &self.key);
        Made { cert: params.signed_by(&key, &issuer).expect("a certificate"), params, key }
    }

    /// An authority.
    pub(super) fn authority(name: &str) -> Made {
        Made::selfsigned_with(&[name], &rcgen::PKCS_ECDSA_P256_SHA256, |params| {
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            params.subject_alt_names.clear();
        })
    }

    /// Certificate and key in one text.
    pub(super) fn pem(&self) -> String {
        format!("{}{}", self.cert.pem(), self.key.serialize_pem())
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names.clone()).expect("valid names");
    if let Some(name) = names.first() {
        params.distinguished_name.push(DnType::CommonName, name.as_str());
    }
    params
}
