//! The claims of a token, read once its signature is verified.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

use crate::target::Target;

/// The claims that matter here.
#[derive(Debug, PartialEq)]
pub(super) struct Claims {
    /// Where it leads.
    pub(super) target: Target,
    /// When it expires, if it says so.
    pub(super) expires: Option<SystemTime>,
}

/// Reads the payload of a token that is used at time `now`.
///
/// # Errors It has no target, or is not valid now; in words for the operator.
pub(super) fn read(payload: &[u8], now: SystemTime) -> Result<Claims, String> {
    let Ok(Value::Object(claims)) = serde_json::from_slice(payload) else {
        return Err("its payload is not a JSON object".into());
    };
    let time = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    if seconds(&claims, "nbf")?.is_some_and(|from| time < from) {
        return Err("it is not valid yet".into());
    }
    let expires = seconds(&claims, "exp")?;
    if expires.is_some_and(|end| time >= end) {
        return Err("it has expired".into());
    }
    let target = target(&claims).ok_or("its host and port are not a target")?;
    // A time beyond the range of the clock counts as none.
    let expires = expires
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since));
    Ok(Claims { target, expires })
}

/// The target of the claims `host` and `port`; the host `unix_socket` has a path for its port.
fn target(claims: &Map<String, Value>) -> Option<Target> {
    let host = claims.get("host")?.as_str()?.trim();
    let (port, is_text) = match claims.get("port")? {
        Value::String(text) => (text.clone(), true),
        Value::Number(number) => (number.as_u64()?.to_string(), false),
        _ => return None,
    };
    if host == "unix_socket" {
        let path = port.trim();
        let is_path = is_text && !path.is_empty() && !path.contains('\0');
        return is_path.then(|| Target::Unix(path.into()));
    }
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    Target::tcp(address.filter(|address| address.contains(':')).unwrap_or(host), &port)
}

/// The number of seconds since 1970 under this name.
fn seconds(claims: &Map<String, Value>, name: &str) -> Result<Option<f64>, String> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::Number(number)) => Ok(number.as_f64()),
        Some(_) => Err(format!("its {name} is not a number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn read_at(text: &str, milliseconds: u64) -> Result<Claims, String> {
        read(text.as_bytes(), SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds))
    }

    fn target_of(host: &str, port: &str) -> Option<String> {
        let claims = read_at(&format!(r#"{{"host":{host},"port":{port}}}"#), NOW * 1000);
        claims.ok().map(|claims| claims.target.to_string())
    }

    #[test]
    fn host_and_port_are_the_target() {
        for (host, port, target) in [
            (r#""h""#, "5900", "h:5900"),
            (r#""h""#, r#""5900""#, "h:5900"),
            (r#"" h ""#, r#"" 5900 ""#, "h:5900"),
            (r#""::1""#, "1", "::1:1"),
            (r#""[::1]""#, "65535", "::1:65535"),
            (r#""unix_socket""#, r#""/run/x""#, "/run/x"),
            (r#""unix_socket""#, r#""relative/x""#, "relative/x"),
        ] {
            assert_eq!(target_of(host, port).as_deref(), Some(target), "{host} {port}");
        }
        for (host, port) in [
            (r#""""#, "5900"),
            ("null", "5900"),
            ("1", "5900"),
            (r#"["h"]"#, "5900"),
            (r#""h""#, "0"),
            (r#""h""#, "65536"),
            (r#""h""#, "-1"),
            (r#""h""#, "5900.0"),
            (r#""h""#, "5.9e3"),
            (r#""h""#, "null"),
            (r#""h""#, "true"),
            (r#""h""#, r#""""#),
            (r#""h""#, r#""0x10""#),
            (r#""h:1""#, r#""x""#),
            (r#""a b""#, "1"),
            (r#""a/b""#, "1"),
            (r#""[h]""#, "1"),
            (r#""unix_socket""#, r#""""#),
            (r#""unix_socket""#, "5900"),
            (r#""unix_socket""#, r#""/a\u0000b""#),
        ] {
            assert_eq!(target_of(host, port), None, "{host} {port}");
        }
        for text in
            ["", "[]", "1", "null", "{}", r#"{"host":"h"}"#, r#"{"port":1}"#, r#"{"host":"h","port":1}x"#]
        {
            assert!(read_at(text, NOW * 1000).is_err(), "{text}");
        }
    }

    #[test]
    fn a_token_is_good_from_its_nbf_on_and_before_its_exp() {
        let at = |times: &str, milliseconds: u64| {
            read_at(&format!(r#"{{"host":"h","port":1{times}}}"#), milliseconds).map(|claims| {
                claims.expires.map(|at| at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis())
            })
        };
        assert_eq!(at("", NOW * 1000), Ok(None));
        let exp = format!(r#","exp":{NOW}"#);
        assert_eq!(at(&exp, NOW * 1000 - 1), Ok(Some(u128::from(NOW) * 1000)));
        assert_eq!(at(&exp, NOW * 1000), Err("it has expired".into()));
        assert_eq!(at(&format!(r#","exp":{NOW}.5"#), NOW * 1000), Ok(Some(u128::from(NOW) * 1000 + 500)));
        let nbf = format!(r#","nbf":{NOW}"#);
        assert_eq!(at(&nbf, NOW * 1000 - 1), Err("it is not valid yet".into()));
        assert_eq!(at(&nbf, NOW * 1000), Ok(None));
        assert_eq!(at(r#","exp":-1"#, NOW * 1000), Err("it has expired".into()));
        assert_eq!(at(r#","exp":0"#, NOW * 1000), Err("it has expired".into()));
        assert_eq!(at(r#","nbf":-1,"exp":1e300"#, NOW * 1000), Ok(None));
        assert_eq!(at(r#","nbf":1e300"#, NOW * 1000), Err("it is not valid yet".into()));
    }

    #[test]
    fn times_that_are_no_numbers_are_refused() {
        for name in ["exp", "nbf"] {
            for value in [r#""1800000001""#, "null", "true", "[]", "{}"] {
                let text = format!(r#"{{"host":"h","port":1,"{name}":{value}}}"#);
                assert_eq!(read_at(&text, NOW * 1000), Err(format!("its {name} is not a number")), "{text}");
            }
            for value in ["1e999", "NaN", "Infinity"] {
                let text = format!(r#"{{"host":"h","port":1,"{name}":{value}}}"#);
                assert_eq!(
                    read_at(&text, NOW * 1000),
                    Err("its payload is not a JSON object".into()),
                    "{text}"
                );
            }
        }
    }
}
