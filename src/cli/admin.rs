//! Where the admin listener is, and the path at which the public port says whether the service is ready.

use super::address;
use super::check::mode;
use super::parse::Given;
use crate::net::listen::Address;

/// `--admin` and `--admin-mode`.
pub(super) fn address(given: &Given) -> Result<Option<Address>, String> {
    let mode = mode(given, "admin-mode", "Error parsing admin socket mode")?;
    given.text("admin").map(|text| address::admin(text, mode)).transpose()
}

/// `--health-path`. What a request can't ask for would never be answered.
pub(super) fn health_path(given: &Given) -> Result<Option<String>, String> {
    let Some(text) = given.text("health-path") else { return Ok(None) };
    let is_possible = |path: &&str| {
        path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#".contains(&byte))
    };
    match text.to_str().filter(is_possible) {
        Some(path) => Ok(Some(path.to_owned())),
        None => Err(format!(
            "option --health-path: '{}' is no path such as /healthz",
            text.to_string_lossy().escape_debug()
        )),
    }
}
