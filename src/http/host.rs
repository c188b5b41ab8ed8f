//! The Host header (RFC 9112, 3.2): one, and a name with or without a port. With two, or with one that can be
//! read in two ways, a proxy and this server could each see a different host, and tokens may be taken from
//! it.

use super::refusal::Refusal;
use super::request::Request;

/// Checks the Host header of any request.
///
/// # Errors
/// It is malformed, there are several, or HTTP/1.1 has none.
pub fn check(request: &Request<'_>) -> Result<(), Refusal> {
    let mut hosts = request.headers("host");
    let reason = match (hosts.next(), hosts.next()) {
        (None, _) if request.minor_version > 0 => "Host header is missing",
        (Some(_), Some(_)) => "there are several Host headers",
        (Some(host), None) if !is_host(host) => "Host header is malformed",
        (None, _) | (Some(_), None) => return Ok(()),
    };
    Err(Refusal::new(400, reason))
}

/// `uri-host [ ":" port ]` (RFC 9110, 7.2), which may be empty. Non-ASCII bytes are tolerated, since some
/// clients send international names as they are.
fn is_host(value: &[u8]) -> bool {
    let (name, port) = match value {
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|&byte| byte == b']') else { return false };
            let is_address = |byte: &u8| byte.is_ascii_alphanumeric() || b":.%-_~".contains(byte);
            if end == 0 || !rest[..end].iter().all(is_address) {
                return false;
            }
            (&b""[..], &rest[end + 1..])
        }
        _ => value.split_at(value.iter().position(|&byte| byte == b':').unwrap_or(value.len())),
    };
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || !byte.is_ascii() || NAME_SIGNS.contains(byte);
    let is_port = match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    name.iter().all(is_name) && is_port
}

/// What a name may contain besides letters and digits (RFC 3986, 3.2.2). Commas are allowed there, too, but
/// some servers would read a list of two hosts.
const NAME_SIGNS: &[u8] = b"-._~%!$&'()*+;=";

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(version: u8, lines: &[u8]) -> Result<(), String> {
        let head = [format!("GET / HTTP/1.{version}\r\n").as_bytes(), lines, b"\r\n"].concat();
        let request = Request::parse(&head).expect("well-formed");
        check(&request).map_err(|refusal| {
            assert_eq!(refusal.status.0, 400);
            refusal.reason.into_owned()
        })
    }

    #[test]
    fn one_host_that_can_be_read_in_one_way_is_wanted() {
        for host in [
            "",
            "a",
            "vm_1.example.org:6080",
            "[::1]",
            "[fe80::1%25eth0]:80",
            "a:",
            "127.0.0.1:1",
            "w\u{e4}hler.example",
            "a%20b",
        ] {
            assert_eq!(checked(1, format!("Host: {host}\r\n").as_bytes()), Ok(()), "{host}");
        }
        for host in [
            "a b", "a/b", "u@a", "a,b", "a:b", "a:1:2", "[::1", "[]", "::1", "[::1]x", "\"a\"", "<a>",
            "a\tb", "a?b", "a#b", "a\\b", "a:123456", "[a b]",
        ] {
            let expected = Err("Host header is malformed".to_owned());
            assert_eq!(checked(1, format!("Host: {host}\r\n").as_bytes()), expected, "{host}");
            assert_eq!(checked(0, format!("Host: {host}\r\n").as_bytes()), expected, "{host}");
        }
        assert_eq!(checked(1, b""), Err("Host header is missing".to_owned()));
        assert_eq!(checked(0, b""), Ok(()));
        for version in [0, 1] {
            let two = checked(version, b"Host: a\r\nHOST: a\r\n");
            assert_eq!(two, Err("there are several Host headers".to_owned()));
        }
    }
}
