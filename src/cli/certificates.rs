//! The options about TLS: whose certificates are shown to clients, and whom to believe.

use std::ffi::OsStr;
use std::path::Path;

use super::Environment;
use super::check::{absolute, argument};
use super::config::TlsOptions;
use super::parse::Given;
use super::plugins::Argument;
use crate::certs::{self, Authorities, Pair, ServerOptions, TargetOptions, Versions};

pub(super) fn tls(given: &Given, env: &Environment) -> Result<TlsOptions, String> {
    let ciphers = given.text("ssl-ciphers").map(|text| certs::parse_suites(&text.to_string_lossy()));
    let ciphers = ciphers.transpose().map_err(|text| format!("option --ssl-ciphers: {text}"))?;
    let (ciphers, ignored_ciphers) = ciphers.unzip();
    let version = given.text("ssl-version").and_then(OsStr::to_str);
    let authorities = given.flag("verify-client").then(|| match given.text("cafile") {
        Some(file) => Authorities::File(absolute(&env.directory, Path::new(file))),
        None => Authorities::System,
    });
    if given.text("key-password").is_some() && !cfg!(feature = "encrypted-keys") {
        return Err("option --key-password: this program was built without encrypted-keys".to_owned());
    }
    let (key_password, key_password_file) = match given.text("key-password").map(|text| argument(text, env)) {
        None => (None, None),
        Some(Argument::Text(password)) => (Some(password.reveal().to_vec()), None),
        Some(Argument::File(path)) => (None, Some(path)),
    };
    let options = TlsOptions {
        key_password_file,
        clients: ServerOptions {
            pairs: pairs(given, env),
            key_password,
            versions: if version == Some("tlsv1_3") { Versions::Only13 } else { Versions::From12 },
            suites: ciphers,
            clients: authorities,
        },
        only: given.flag("ssl-only"),
        target: tls_target(given, env)?,
        ignored_ciphers: ignored_ciphers.unwrap_or_default(),
        asks_1_1: version == Some("tlsv1_1"),
    };
    if options.only && !options.clients.pairs.iter().any(|pair| (env.exists)(&pair.cert)) {
        let cert = given.texts(&["cert"]).next().map_or(OsStr::new(DEFAULT_CERT), |(_, text)| text);
        return Err(format!("SSL only and {} not found", cert.display()));
    }
    Ok(options)
}

/// Certificates and their keys. With as many keys as certificates, the nth key is for the nth certificate, in
/// whatever order they were given. Else some certificate has its key in its own file, so that only the place of
/// a key tells whose it is: it belongs to the certificate before it.
fn pairs(given: &Given, env: &Environment) -> Vec<Pair> {
    let path = |text: &OsStr| absolute(&env.directory, Path::new(text));
    let certs = || given.texts(&["cert"]).map(|(_, text)| path(text));
    let keys = || given.texts(&["key"]).map(|(_, text)| path(text));
    if certs().count() == keys().count() && certs().next().is_some() {
        return certs().zip(keys()).map(|(cert, key)| Pair { cert, key: Some(key) }).collect();
    }
    let mut pairs: Vec<Pair> = certs().map(|cert| Pair { cert, key: None }).collect();
    if pairs.is_empty() {
        pairs.push(Pair { cert: path(OsStr::new(DEFAULT_CERT)), key: None });
    }
    let mut seen: usize = 0;
    for (name, text) in given.texts(&["cert", "key"]) {
        match name {
            "cert" => seen += 1,
            // Of two keys for one certificate the last counts.
            _ => pairs[seen.saturating_sub(1)].key = Some(path(text)),
        }
    }
    pairs
}

/// TLS towards the target, if it is wanted.
fn tls_target(given: &Given, env: &Environment) -> Result<Option<TargetOptions>, String> {
    if !given.flag("ssl-target") {
        return Ok(None);
    }
    let ca = given.text("ssl-target-ca");
    let authorities = match (given.flag("ssl-target-insecure"), ca) {
        (true, Some(_)) => {
            return Err("You can't use --ssl-target-insecure with --ssl-target-ca".to_owned());
        }
        (true, None) => None,
        (false, Some(file)) => Some(Authorities::File(absolute(&env.directory, Path::new(file)))),
        (false, None) => Some(Authorities::System),
    };
    let name = given.text("ssl-target-name").map(|name| name.to_string_lossy().into_owned());
    let options = TargetOptions { authorities, name };
    certs::target_name(&options, None).map_err(|text| format!("option --ssl-target-name: {text}"))?;
    Ok(Some(options))
}

/// The certificate's file without `--cert`.
const DEFAULT_CERT: &str = "self.pem";
