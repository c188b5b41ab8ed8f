//! Where the bytes of a session go: a TCP address by name or number, or a Unix socket.

use std::fmt;
use std::path::PathBuf;

/// The far end of a relay, as the operator or a token names it. Names are not resolved here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// A host (name, IPv4 or bare IPv6 address, without brackets) and a port.
    Tcp {
        /// Host name or address literal; empty, which only the command line can say, for `localhost`.
        host: String,
        /// TCP port, 1 to 65535.
        port: u16,
    },
    /// A Unix stream socket in the file system.
    Unix(PathBuf),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Tcp { host, port } => write!(f, "{host}:{port}"),
            Target::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// How the text of a target takes an IPv6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colons {
    /// The last colon is before the port, so an address needs no brackets.
    Last,
    /// There is exactly one colon outside of brackets.
    One,
}

impl Target {
    /// Reads `host:port`, `[v6]:port` or `unix_socket:/path`. Nothing if it is none of them.
    pub fn parse(text: &str, colons: Colons) -> Option<Target> {
        let text = text.trim();
        if let Some(path) = text.strip_prefix(UNIX_PREFIX) {
            let path = path.trim();
            return (!path.is_empty() && !path.contains('\0')).then(|| Target::Unix(path.into()));
        }
        let (host, port) = text.rsplit_once(':')?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').filter(|address| address.contains(':'))?,
            None if colons == Colons::One && host.contains(':') => return None,
            None => host,
        };
        Target::tcp(host, port)
    }

    /// A target of TCP. Nothing if there is no host, or if `port` is not a number from 1 to 65535.
    pub fn tcp(host: &str, port: &str) -> Option<Target> {
        let (host, port) = (host.trim(), port.trim());
        let is_odd = |char: char| char.is_whitespace() || char.is_control() || "[]/@".contains(char);
        if host.is_empty() || host.len() > HOST_BYTES_MAX || host.contains(is_odd) {
            return None;
        }
        let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port: u16 = is_number.then(|| port.parse().ok()).flatten().filter(|&port| port > 0)?;
        Some(Target::Tcp { host: host.to_owned(), port })
    }
}

/// What stands before the path of a Unix socket.
const UNIX_PREFIX: &str = "unix_socket:";

/// The longest name that DNS has, and room for the scope of an address.
const HOST_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Option<Target> {
        Some(Target::Tcp { host: host.to_owned(), port })
    }

    #[test]
    fn a_target_is_host_and_port_or_a_path() {
        for (text, expected) in [
            ("localhost:5900", tcp("localhost", 5900)),
            ("127.0.0.1:5900", tcp("127.0.0.1", 5900)),
            (" host : 05900 ", tcp("host", 5900)),
            ("[::1]:5900", tcp("::1", 5900)),
            ("[fe80::1%eth0]:1", tcp("fe80::1%eth0", 1)),
            ("unix_socket:/run/a:b", Some(Target::Unix("/run/a:b".into()))),
            ("unix_socket: /run/a", Some(Target::Unix("/run/a".into()))),
            ("unix_socket:", None),
            ("unix_socket:a\0b", None),
            ("host", None),
            ("host:", None),
            (":5900", None),
            ("host:0", None),
            ("host:65536", None),
            ("host:70000", None),
            ("host:+1", None),
            ("host:-1", None),
            ("host:1e3", None),
            ("host:59 00", None),
            ("ho st:5900", None),
            ("http://host:5900", None),
            ("[::1]", None),
            ("[host]:5900", None),
            ("[::1:5900", None),
            ("", None),
            (":", None),
        ] {
            assert_eq!(Target::parse(text, Colons::Last), expected, "{text:?}");
            assert_eq!(Target::parse(text, Colons::One), expected, "{text:?}");
        }
        assert_eq!(Target::parse(&format!("{}:1", "a".repeat(256)), Colons::Last), None);
    }

    #[test]
    fn an_address_of_version_six_may_stand_bare_where_the_last_colon_counts() {
        assert_eq!(Target::parse("::1:5900", Colons::Last), tcp("::1", 5900));
        assert_eq!(Target::parse("::1:5900", Colons::One), None);
        assert_eq!(Target::parse("a:b:1", Colons::One), None);
    }
}
