//! Origins (RFC 6454): which page a browser's request comes from, and whether that page is allowed to ask.

use super::forwarded;

/// An origin, in a form in which equal ones are equal text: scheme and host in lower case, the scheme's usual
/// port left out. What has no host, such as `null` and `file://`, is compared as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// Reads an origin as browsers send it, or as an operator writes it.
    pub fn of(text: &str) -> Origin {
        match split(text) {
            None => Origin(text.to_owned()),
            Some((scheme, authority)) => {
                let (host, port) = host_and_port(authority, usual_port(&scheme));
                match port {
                    Some(port) => Origin(format!("{scheme}://{host}:{port}")),
                    None => Origin(format!("{scheme}://{host}")),
                }
            }
        }
    }

    /// Whether this is an origin that a browser can send: `null`, or scheme, host and perhaps a port.
    pub fn is_possible(&self) -> bool {
        match self.0.split_once("://") {
            None => self.0 == "null",
            Some((scheme, rest)) => {
                !scheme.is_empty()
                    && !rest.contains(['/', '?', '#', '@', ',', '*'])
                    && !self.0.contains(|char: char| char.is_whitespace() || char.is_control())
            }
        }
    }
}

/// Whether a page of `origin` was loaded from the host that its request is for. The scheme is ignored: a
/// proxy in front may have terminated TLS, which is not known here. A Host without a port means the usual one
/// of the origin's scheme.
pub fn is_same_host(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = split(origin) else { return false };
    let usual = usual_port(&scheme);
    let of_origin = host_and_port(authority, usual);
    !of_origin.0.is_empty() && of_origin == host_and_port(host, usual)
}

/// The same if it is known whether the request came over TLS: then the page's scheme must match.
pub fn is_same(origin: &str, host: &str, is_tls: Option<bool>) -> bool {
    let of_page = || split(origin).and_then(|(scheme, _)| forwarded::is_tls(&scheme));
    let has_scheme = |is_tls| of_page() == Some(is_tls);
    is_tls.is_none_or(has_scheme) && is_same_host(origin, host)
}

/// The scheme, in lower case, and the part after `://` up to the path. `None` if there is no host.
fn split(text: &str) -> Option<(String, &str)> {
    let (scheme, authority) = text.split_once("://")?;
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    (!scheme.is_empty() && !authority.is_empty()).then(|| (scheme.to_ascii_lowercase(), authority))
}

/// The host in lower case, and the port if it is not the usual one.
fn host_and_port(authority: &str, usual: &str) -> (String, Option<String>) {
    let (host, port) = match authority.rsplit_once(':') {
        // The colons of an IPv6 address stand in brackets.
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, port),
        _ => (authority, ""),
    };
    let port = port.trim_start_matches('0');
    let port = (!port.is_empty() && port != usual).then(|| port.to_owned());
    (host.to_ascii_lowercase(), port)
}

fn usual_port(scheme: &str) -> &'static str {
    match scheme {
        "http" | "ws" => "80",
        "https" | "wss" => "443",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_ports_and_the_case_of_hosts_make_no_difference() {
        for (one, other) in [
            ("http://example.org", "http://example.org:80"),
            ("https://example.org:443", "https://EXAMPLE.org"),
            ("HTTP://a:080", "http://a"),
            ("http://[::1]:80", "http://[::1]"),
            ("http://localhost:3100/", "http://localhost:3100"),
            ("null", "null"),
            ("file://", "file://"),
        ] {
            assert_eq!(Origin::of(one), Origin::of(other));
        }
        for (one, other) in [
            ("http://example.org", "https://example.org"),
            ("http://example.org:443", "http://example.org"),
            ("http://example.org", "http://www.example.org"),
            ("http://example.org", "http://example.org.evil"),
            ("http://a:8080", "http://a:80800"),
            ("http://[::1]", "http://[::1]:1"),
            ("null", "NULL"),
            ("file://", "file:///"),
            ("null", "http://null"),
            ("http://a http://b", "http://a"),
            ("", "http://"),
        ] {
            assert_ne!(Origin::of(one), Origin::of(other));
        }
    }

    #[test]
    fn the_same_host_is_the_same_name_and_port() {
        for (origin, host) in [
            ("http://example.org", "example.org"),
            ("http://example.org", "EXAMPLE.ORG:80"),
            ("https://example.org", "example.org"),
            ("https://example.org", "example.org:443"),
            ("http://example.org:6080", "example.org:6080"),
            ("https://[::1]:6080", "[::1]:6080"),
        ] {
            assert!(is_same_host(origin, host), "{origin} {host}");
        }
        for (origin, host) in [
            ("http://evil.example", "example.org"),
            ("http://example.org", "example.org:443"),
            ("https://example.org", "example.org:80"),
            ("http://example.org:6081", "example.org:6080"),
            ("http://example.org", "example.org:6080"),
            ("null", "example.org"),
            ("file://", ""),
            ("http://", ""),
            ("http://:80", ""),
            ("", ""),
            ("http://example.org", ""),
            ("http://example.org.evil.example", "example.org"),
            ("http://user@example.org", "example.org"),
            ("http://example.org/path", "example.org"),
        ] {
            assert!(!is_same_host(origin, host), "{origin} {host}");
        }
    }

    #[test]
    fn an_operator_is_told_of_what_no_browser_sends() {
        for text in
            ["null", "http://a", "https://a:8443", "chrome-extension://abc", "file://", "http://[::1]:80"]
        {
            assert!(Origin::of(text).is_possible(), "{text}");
        }
        for text in
            ["example.org", "*", "http://a/b", "http://*.a", "a b", "://a", "http://u@a", "http://a,b"]
        {
            assert!(!Origin::of(text).is_possible(), "{text}");
        }
    }
}
