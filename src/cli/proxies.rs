//! Proxies in front of this program, and what targets are told: `--proxy-protocol`, `--trusted-proxy`,
//! `--real-ip-header`, `--proxy-protocol-out`.

use std::ffi::OsStr;
use std::path::PathBuf;

use super::check::{absolute, argument};
use super::header::is_token;
use super::parse::Given;
use super::{Argument, Environment};
use crate::conn::frontend::{Proxies, RealIpHeader};
use crate::networks::Networks;
use crate::proxy::Version;

/// What the options say of proxies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyOptions {
    /// All but what is in files.
    pub proxies: Proxies,
    /// `--trusted-proxy @FILE`: files of further networks, absolute.
    pub files: Vec<PathBuf>,
}

/// The meaning of the options given. The error is the text for the user.
pub(super) fn options(given: &Given, env: &Environment) -> Result<ProxyOptions, String> {
    let (mut trusted, mut files) = (Networks::default(), Vec::new());
    for (_, text) in given.texts(&["trusted-proxy"]) {
        match argument(text, env) {
            Argument::File(path) => files.push(absolute(&env.directory, &path)),
            Argument::Text(_) => {
                let fault = |fault| format!("option --trusted-proxy: {fault}");
                trusted.add(&text.to_string_lossy()).map_err(fault)?;
            }
        }
    }
    let has_trusted = !trusted.is_empty() || !files.is_empty();
    for name in ["proxy-protocol", "real-ip-header"] {
        if !has_trusted && given.text(name).is_some_and(|word| word != "off" && word != "none") {
            return Err(format!("You must use --trusted-proxy to use --{name}"));
        }
    }
    let proxies = Proxies {
        protocol: given.text("proxy-protocol").is_some_and(|word| word == "on"),
        trusted,
        header: real_ip_header(given.text("real-ip-header"))?.filter(|_| has_trusted),
        out: given.text("proxy-protocol-out").and_then(OsStr::to_str).and_then(Version::named),
    };
    if proxies.out.is_some() && given.flag("wrap-stdin") {
        return Err("You can't use --proxy-protocol-out with --wrap-stdin".to_owned());
    }
    Ok(ProxyOptions { proxies, files })
}

fn real_ip_header(text: Option<&OsStr>) -> Result<Option<RealIpHeader>, String> {
    let Some(text) = text else { return Ok(Some(RealIpHeader::new(REAL_IP_HEADER))) };
    match text.to_str() {
        Some("none") => Ok(None),
        Some(name) if !name.is_empty() && name.bytes().all(is_token) => Ok(Some(RealIpHeader::new(name))),
        _ => Err(format!("option --real-ip-header: not a header's name: {}", text.display())),
    }
}

/// The header that is believed without `--real-ip-header`.
const REAL_IP_HEADER: &str = "X-Forwarded-For";
