//! What a comparison needs besides programs: a directory for configurations, and a certificate that every
//! proxy serves and the load generator trusts.
//!
//! The certificate is made again for each run (ECDSA P-256). The generator offers one suite and one group,
//! and never resumes, so that every proxy does the same work whatever it would prefer.

use crate::proxies::found::on_path;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory of its own, removed when dropped, and what TLS needs.
pub(crate) struct Kit {
    directory: PathBuf,
    pub(crate) tls: Result<Arc<ClientConfig>, String>,
}

impl Kit {
    /// Makes the directory and, if openssl is here, the certificate in it.
    pub(crate) fn make() -> io::Result<Kit> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = env::temp_dir().join(format!("websockify-bench-{}-{number}", process::id()));
        fs::create_dir_all(&directory)?;
        let mut kit = Kit { directory, tls: Err("openssl is not on PATH".into()) };
        if let Some(openssl) = on_path("openssl") {
            kit.tls = kit.certify(&openssl).map_err(|error| error.to_string());
        }
        Ok(kit)
    }

    /// The path of a file in the directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Fills in the names of the certificate's files: `{cert}`, `{key}` and `{pem}` (both in one).
    pub(crate) fn fill(&self, text: &str) -> String {
        FILES.iter().fold(text.to_owned(), |text, (field, file)| {
            text.replace(field, &self.path(file).to_string_lossy())
        })
    }

    fn certify(&self, openssl: &Path) -> io::Result<Arc<ClientConfig>> {
        fs::write(self.path("openssl.cnf"), OPENSSL_CONFIG)?;
        let status = Command::new(openssl)
            .args(OPENSSL_ARGS)
            .current_dir(&self.directory)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        if !status.success() {
            return Err(io::Error::other("openssl makes no certificate"));
        }
        let (cert, key) = (fs::read(self.path("cert.pem"))?, fs::read(self.path("key.pem"))?);
        fs::write(self.path("both.pem"), [cert, key].concat())?;
        let cert = CertificateDer::from_pem_file(self.path("cert.pem")).map_err(io::Error::other)?;
        Ok(Arc::new(client(cert).map_err(io::Error::other)?))
    }
}

impl Drop for Kit {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A client that trusts this certificate and offers TLS_AES_128_GCM_SHA256 with X25519, nothing else.
fn client(cert: CertificateDer<'_>) -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(cert.into_owned())?;
    let provider = CryptoProvider {
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(config)
}

const FILES: [(&str, &str); 3] = [("{cert}", "cert.pem"), ("{key}", "key.pem"), ("{pem}", "both.pem")];

/// A leaf, not an authority: it is trusted by itself.
const OPENSSL_CONFIG: &str = "\
[req]
distinguished_name = name
x509_extensions = extensions
prompt = no
[name]
CN = websockify bench
[extensions]
basicConstraints = critical, CA:FALSE
subjectAltName = IP:127.0.0.1
";

#[rustfmt::skip]
const OPENSSL_ARGS: [&str; 15] = [
    "req", "-x509", "-config", "openssl.cnf", "-days", "30", "-nodes",
    "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-keyout", "key.pem", "-out", "cert.pem",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_kits_of_a_process_do_not_share_their_files() {
        let (one, other) = (Kit::make().expect("a directory"), Kit::make().expect("a directory"));
        fs::write(one.path("a"), "one").expect("writable");
        drop(other);
        assert_eq!(fs::read_to_string(one.path("a")).expect("still there"), "one");
    }
}
