//! A certificate and its key, loaded from their files and checked against each other.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::sign::{CertifiedKey, SigningKey};

use super::key::{is_bare, private_key};
use super::pem::{self, Block};
use super::x509::{CertInfo, first_element, key_bits, rsa_bits};
use super::{Pair, file};

/// A certificate that clients can be served with.
#[derive(Debug)]
pub(super) struct Loaded {
    /// The chain and the key.
    pub(super) certified: Arc<CertifiedKey>,
    /// What the certificate says.
    pub(super) info: CertInfo,
    /// The key's file, if it is readable by every user of this machine and not protected by a password.
    open_key: Option<PathBuf>,
}

/// Loads a pair.
///
/// # Errors
/// It can't be used; in words that begin with an option and a file's name.
pub(super) fn load(
    pair: &Pair,
    password: Option<&[u8]>,
    provider: &CryptoProvider,
) -> Result<Loaded, String> {
    let of_cert = |text: String| format!("--cert {}: {text}", pair.cert.display());
    let text = file::read(&pair.cert).map_err(of_cert)?;
    let blocks = pem::blocks(&text).map_err(of_cert)?;
    let chain = certificates(&blocks).map_err(of_cert)?;
    let info = chain.first().and_then(|leaf| CertInfo::of(leaf));
    let info = info.ok_or_else(|| of_cert("the first certificate in it can't be read".to_owned()))?;
    let mut is_key_bare = is_bare(&blocks);
    let key = match &pair.key {
        Some(path) => {
            let of_key = |text: String| format!("--key {}: {text}", path.display());
            let other = match *path != pair.cert {
                true => Some(pem::blocks(&file::read(path).map_err(of_key)?).map_err(of_key)?),
                false => None,
            };
            let blocks = other.as_ref().unwrap_or(&blocks);
            is_key_bare = is_bare(blocks);
            signing_key(blocks, password, provider, "there is no private key in it").map_err(of_key)?
        }
        None => signing_key(&blocks, password, provider, NO_KEY).map_err(of_cert)?,
    };
    check(&chain, &info, key.as_ref())
        .map_err(|text| of_cert(format!("{text} ({})", pair.key.as_ref().unwrap_or(&pair.cert).display())))?;
    let key_file = pair.key.as_ref().unwrap_or(&pair.cert);
    let open_key = (is_key_bare && file::is_open_to_all(key_file)).then(|| key_file.clone());
    Ok(Loaded { certified: Arc::new(CertifiedKey::new(chain, key)), info, open_key })
}

impl Loaded {
    /// What the operator should know about the certificate's dates, in words that follow the file's name.
    pub(super) fn warning(&self) -> Option<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
        let expired = self.info.not_after < now;
        let early = self.info.not_before > now;
        match (expired, early) {
            (true, _) => Some("the certificate has expired: clients will refuse it".to_owned()),
            (_, true) => Some("the certificate is not valid yet: clients will refuse it".to_owned()),
            _ => None,
        }
    }

    /// What the key costs, if that is a lot; in words that follow the file's name.
    pub(super) fn cost(&self) -> Option<String> {
        let bits = rsa_bits(&self.info.public_key).filter(|bits| *bits > RSA_BITS_USUAL)?;
        // Signing takes time proportional to the cube of the length. At 4096 bits it is 18 times (1,570 to 86
        // us a hello).
        let times = 18 * bits.pow(3) / 4096_usize.pow(3);
        Some(format!(
            "each TLS handshake with its RSA key of {bits} bits costs about {times} times one with a P-256 key"
        ))
    }

    /// Says that everybody may read the key.
    pub(super) fn exposure(&self) -> Option<String> {
        let file = self.open_key.as_ref()?.display();
        Some(format!("every user of this machine may read its private key: chmod go= {file}"))
    }

    /// Whether both show the same certificates.
    pub(super) fn same_chain(&self, other: &Loaded) -> bool {
        self.certified.cert == other.certified.cert
    }
}

/// All certificates among `blocks`, in order.
///
/// # Errors
/// One is damaged, or there is none; in words that follow the file's name.
pub(super) fn certificates(blocks: &[Block]) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut found = Vec::new();
    for block in blocks {
        match block.label.as_str() {
            "CERTIFICATE" | "X509 CERTIFICATE" => found.push(CertificateDer::from(block.data()?.to_vec())),
            // OpenSSL's own form, in which the certificate is followed by its trusted uses.
            "TRUSTED CERTIFICATE" => {
                let first = first_element(block.data()?).ok_or("the TRUSTED CERTIFICATE in it is damaged")?;
                found.push(CertificateDer::from(first.to_vec()));
            }
            _ => {}
        }
    }
    match found.is_empty() {
        true => Err("there is no certificate in it (in PEM form)".to_owned()),
        false => Ok(found),
    }
}

fn signing_key(
    blocks: &[Block],
    password: Option<&[u8]>,
    provider: &CryptoProvider,
    none: &str,
) -> Result<Arc<dyn SigningKey>, String> {
    let key = private_key(blocks, password)?.ok_or(none)?;
    provider.key_provider.load_private_key(key).map_err(|_| BAD_KEY.to_owned())
}

/// Whether the key is that of the first certificate.
fn check(chain: &[CertificateDer<'_>], info: &CertInfo, key: &dyn SigningKey) -> Result<(), String> {
    let Some(public) = key.public_key() else { return Ok(()) };
    let belongs_to = |info: &CertInfo| key_bits(&info.public_key) == key_bits(public.as_ref());
    if belongs_to(info) {
        return Ok(());
    }
    match chain.iter().skip(1).filter_map(|cert| CertInfo::of(cert)).any(|info| belongs_to(&info)) {
        true => Err("the key's certificate must be the first one in the file".to_owned()),
        false => Err("the key does not belong to the certificate".to_owned()),
    }
}

/// RSA keys up to this length need no remark.
const RSA_BITS_USUAL: usize = 3072;

const NO_KEY: &str = "there is no private key in it, and none was given with --key";

const BAD_KEY: &str = "the key in it is damaged, or of a kind that is not supported (RSA of 2048 to 8192 bits, \
                       ECDSA on P-256, P-384 or P-521, and Ed25519 are)";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::scratch::{Made, Scratch};
    use super::*;
    use rustls::crypto::aws_lc_rs::default_provider;

    fn loaded(cert: impl AsRef<Path>, key: Option<&Path>, password: Option<&str>) -> Result<Loaded, String> {
        let pair = Pair { cert: cert.as_ref().into(), key: key.map(Into::into) };
        load(&pair, password.map(str::as_bytes), &default_provider())
    }

    #[test]
    fn chain_and_key_may_be_in_one_file_or_in_two_or_in_one_that_is_named_twice() {
        let scratch = Scratch::new();
        let authority = Made::authority("authority");
        let made = authority.issue(&["a.example"], |_| ());
        let (chain, key) = (made.cert.pem() + &authority.cert.pem(), made.key.serialize_pem());
        let cert = scratch.file("cert", &chain);
        let key_file = scratch.file("key", &key);
        let chain_key = scratch.file("chain-key", chain.clone() + &key);
        let key_chain = scratch.file("key-chain", key.clone() + &chain);
        for (cert, key) in [
            (&cert, Some(&key_file)),
            (&chain_key, None),
            (&key_chain, None),
            (&chain_key, Some(&chain_key)),
            (&cert, Some(&chain_key)),
        ] {
            let loaded = loaded(cert, key.map(AsRef::as_ref), None).expect("a pair");
            assert_eq!(loaded.certified.cert, [made.cert.der().clone(), authority.cert.der().clone()]);
            assert_eq!(loaded.info.hosts, ["a.example"]);
            assert_eq!(loaded.warning(), None);
        }
    }

    #[test]
    fn comments_and_line_ends_of_windows_are_no_matter() {
        let scratch = Scratch::new();
        let pem =
            format!("Bag Attributes: \u{fc}\r\n{}", Made::selfsigned(&["a"]).pem().replace('\n', "\r\n"));
        let latin_1 = pem.chars().map(|c| c as u8).collect::<Vec<u8>>();
        assert!(loaded(scratch.file("c", latin_1), None, None).is_ok());
    }

    #[test]
    fn what_is_wrong_is_said_with_the_file_s_name() {
        let scratch = Scratch::new();
        let (one, other) = (Made::selfsigned(&["one"]), Made::selfsigned(&["other"]));
        let good = scratch.file("good", one.pem());
        let cert = scratch.file("cert", one.cert.pem());
        let key = scratch.file("key", other.key.serialize_pem());
        let swapped = scratch.file("swapped", other.cert.pem() + &one.cert.pem() + &one.key.serialize_pem());
        let cut = scratch.file("cut", &one.cert.pem()[..200]);
        let no_key =
            scratch.file("no-key", "-----BEGIN PRIVATE KEY-----\nMAMCAQA=\n-----END PRIVATE KEY-----");
        let no_cert =
            one.key.serialize_pem() + "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----";
        let no_cert = scratch.file("no-cert", no_cert);
        let (empty, missing) = (scratch.file("empty", ""), scratch.path("missing"));
        let mismatch = format!("the key does not belong to the certificate ({})", key.display());
        let order =
            format!("the key's certificate must be the first one in the file ({})", swapped.display());
        for (cert, key, guilty, text) in [
            (&missing, None, &missing, "not found"),
            (&good, Some(&missing), &missing, "not found"),
            (&empty, None, &empty, "is empty"),
            (&good, Some(&empty), &empty, "is empty"),
            (&cut, None, &cut, "the CERTIFICATE in it has no end"),
            (&key, None, &key, "there is no certificate in it (in PEM form)"),
            (&no_cert, None, &no_cert, "the first certificate in it can't be read"),
            (&cert, None, &cert, NO_KEY),
            (&good, Some(&cert), &cert, "there is no private key in it"),
            (&cert, Some(&cert), &cert, "there is no private key in it"),
            (&good, Some(&no_key), &no_key, BAD_KEY),
            (&good, Some(&key), &good, &mismatch),
            (&swapped, None, &swapped, &order),
        ] {
            let error = loaded(cert, key.map(AsRef::as_ref), None).expect_err(text);
            let option = if key.is_some_and(|key| key == guilty) { "--key" } else { "--cert" };
            assert_eq!(error, format!("{option} {}: {text}", guilty.display()));
        }
    }

    #[test]
    fn a_certificate_out_of_its_time_is_loaded_with_a_warning() {
        let scratch = Scratch::new();
        for (from, to, warned) in
            [(2000, 2020, Some("has expired")), (2000, 2900, None), (2800, 2900, Some("is not valid yet"))]
        {
            let made = Made::selfsigned_with(&["a"], &rcgen::PKCS_ECDSA_P256_SHA256, |params| {
                params.not_before = rcgen::date_time_ymd(from, 1, 1);
                params.not_after = rcgen::date_time_ymd(to, 1, 1);
            });
            let loaded = loaded(scratch.file("c", made.pem()), None, None).expect("a pair");
            match (loaded.warning(), warned) {
                (Some(warning), Some(words)) => assert!(warning.contains(words), "{warning}"),
                (warning, warned) => assert_eq!(warning.as_deref(), warned),
            }
        }
    }

    /// By which `openssl pkcs8` protects a key.
    const ENCRYPTIONS: [(&str, &str); 4] = [
        ("aes", "-v2 aes-256-cbc"),
        ("aes-sha1", "-v2 aes-128-cbc -v2prf hmacWithSHA1"),
        ("des3", "-v2 des3 -v2prf hmacWithSHA256"),
        ("scrypt", "-scrypt -scrypt_N 1024"),
    ];

    #[test]
    fn keys_of_every_kind_and_form_that_openssl_writes_are_loaded() {
        let scratch = Scratch::new();
        for (kind, traditional) in [
            ("RSA -pkeyopt rsa_keygen_bits:2048", true),
            ("EC -pkeyopt ec_paramgen_curve:P-256", true),
            ("EC -pkeyopt ec_paramgen_curve:P-384", true),
            ("EC -pkeyopt ec_paramgen_curve:P-521", true),
            ("ED25519", false),
        ] {
            if !scratch.openssl(&format!("genpkey -algorithm {kind} -out pkcs8")) {
                return;
            }
            scratch.openssl("req -x509 -new -key pkcs8 -subj /CN=a -days 2 -out cert");
            let mut forms = vec!["pkcs8"];
            let ways = if cfg!(feature = "encrypted-keys") { &ENCRYPTIONS[..] } else { &[] };
            for (name, encryption) in ways {
                scratch.openssl(&format!(
                    "pkcs8 -topk8 -in pkcs8 {encryption} -passout pass:secret -out {name}"
                ));
                forms.push(name);
            }
            if traditional {
                scratch.openssl("pkey -in pkcs8 -traditional -out traditional");
                forms.push("traditional");
                let ciphers = ["aes-128-cbc", "aes-192-cbc", "aes-256-cbc", "des-ede3-cbc"];
                for cipher in ciphers.into_iter().filter(|_| cfg!(feature = "encrypted-keys")) {
                    scratch.openssl(&format!(
                        "pkey -in pkcs8 -traditional -{cipher} -passout pass:secret -out {cipher}"
                    ));
                    assert!(scratch.text(cipher).contains("Proc-Type: 4,ENCRYPTED"));
                    forms.push(cipher);
                }
            }
            for form in forms {
                let (cert, key) = (scratch.path("cert"), scratch.path(form));
                loaded(&cert, Some(&key), Some("secret")).unwrap_or_else(|e| panic!("{kind} {form}: {e}"));
                let encrypted = !matches!(form, "pkcs8" | "traditional");
                for (password, text) in
                    [(None, "give its password with --key-password"), (Some("x"), "wrong")]
                {
                    match loaded(&cert, Some(&key), password) {
                        Ok(_) => assert!(!encrypted, "{kind} {form} {password:?}"),
                        Err(error) => assert!(encrypted && error.contains(text), "{kind} {form}: {error}"),
                    }
                }
            }
        }
    }

    #[test]
    fn keys_that_can_t_be_used_are_refused_with_a_reason() {
        let scratch = Scratch::new();
        for (kind, text) in [
            ("RSA -pkeyopt rsa_keygen_bits:1024", "RSA of 2048 to 8192 bits"),
            ("EC -pkeyopt ec_paramgen_curve:secp256k1", "ECDSA on P-256"),
            ("ED448", "Ed25519"),
        ] {
            if !scratch.openssl(&format!("genpkey -algorithm {kind} -out key")) {
                return;
            }
            scratch.openssl("req -x509 -new -key key -subj /CN=a -days 2 -out cert");
            let error = loaded(scratch.path("cert"), Some(&scratch.path("key")), None).expect_err(text);
            assert!(error.contains(text), "{error}");
        }
        scratch.openssl("pkcs8 -topk8 -in key -v1 PBE-SHA1-3DES -passout pass:secret -out old");
        let error = loaded(scratch.path("cert"), Some(&scratch.path("old")), Some("secret"));
        let text = match cfg!(feature = "encrypted-keys") {
            true => "in a way that is not supported",
            false => "was built without encrypted-keys",
        };
        assert!(error.expect_err("an old way").contains(text));
    }

    #[test]
    fn a_certificate_of_version_one_is_served_as_openssl_does() {
        let scratch = Scratch::new();
        if !scratch.openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key") {
            return;
        }
        scratch.version_one_certificate("key", "/CN=old.example", "cert");
        let loaded = loaded(scratch.path("cert"), Some(&scratch.path("key")), None).expect("a pair");
        assert!(loaded.info.is_for_host("old.example"));
    }
}
