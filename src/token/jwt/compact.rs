//! The compact form of signed and encrypted tokens (RFC 7515, RFC 7516): parts in base64url with dots between.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

/// The first part, which describes the others.
pub(super) struct Header(Map<String, Value>);

impl Header {
    /// Reads it. Of two members with the same name the last one counts, as RFC 7515 allows.
    ///
    /// # Errors It is malformed, or requires an extension that is not supported and must not be ignored.
    pub(super) fn parse(part: &str) -> Result<Header, String> {
        let Ok(Value::Object(members)) = serde_json::from_slice(&decode(part)?) else {
            return Err("its header is not a JSON object".into());
        };
        // With `b64` the payload would be unencoded, and would be misread here.
        match ["crit", "b64"].into_iter().find(|name| members.contains_key(*name)) {
            Some(name) => Err(format!("its header has an unsupported extension ({name})")),
            None => Ok(Header(members)),
        }
    }

    /// The text of this name; an empty one if there is none.
    ///
    /// # Errors It is not text.
    pub(super) fn text(&self, name: &str) -> Result<&str, String> {
        match self.0.get(name) {
            None => Ok(""),
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(format!("its header's {name} is no text")),
        }
    }

    /// What stands under this name.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }
}

/// The bytes of a part. Only the canonical form is accepted: without padding, and with zeros in the trailing
/// bits.
///
/// # Errors They are not canonical.
pub(super) fn decode(part: &str) -> Result<Vec<u8>, String> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| "a part of it is not base64url".to_owned())
}
