//! Addresses as the command line writes them: `host:port`, split at the last colon, brackets dropped.
//!
//! Errors are the texts for the user. They begin like those of the Python program, which accepts any
//! number for a port and fails later; here a number that is not a port is an error.

use super::python;
use crate::log::SyslogAddress;
use crate::net::listen::Address;
use crate::target::Target;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// `[host:]port` to listen on. Port 0 lets the system choose.
pub(super) fn listen(word: &OsStr, prefer_ipv6: bool) -> Result<Address, String> {
    let what = "Error parsing listen port";
    let text = word.to_str().ok_or_else(|| wrong(what, word))?;
    let (host, port) = split(text).unwrap_or(("", text));
    Ok(Address::Tcp { host: host.to_owned(), port: port_number(port, 0, what, word)?, prefer_ipv6 })
}

/// `[host:]port` for the admin listener, which is for this machine alone unless a host is named, or `unix:path`.
pub(super) fn admin(word: &OsStr, mode: u32) -> Result<Address, String> {
    if let Some(path) = word.as_bytes().strip_prefix(b"unix:") {
        return match path {
            [] => Err(wrong("Error parsing admin address", word)),
            path => Ok(Address::Unix { path: OsStr::from_bytes(path).into(), mode }),
        };
    }
    let what = "Error parsing admin port";
    let text = word.to_str().ok_or_else(|| wrong(what, word))?;
    let (host, port) = split(text).unwrap_or(("", text));
    let host = if host.is_empty() { "127.0.0.1" } else { host };
    Ok(Address::Tcp { host: host.to_owned(), port: port_number(port, 0, what, word)?, prefer_ipv6: false })
}

/// `host:port` to connect to. An empty host stays one, since it is said like that, and means this one.
pub(super) fn target(word: &OsStr) -> Result<Target, String> {
    let what = "Error parsing target";
    let text = word.to_str().ok_or_else(|| wrong(what, word))?;
    if text.contains("://") {
        return Err(wrong(&format!("{what}: it is HOST:PORT, no URL"), word));
    }
    let (host, port) = split(text).ok_or_else(|| format!("{} (HOST:PORT is needed)", wrong(what, word)))?;
    Ok(Target::Tcp { host: host.to_owned(), port: port_number(port, 1, "Error parsing target port", word)? })
}

/// `host:port` for UDP, or the path of a Unix socket, which `absolute` resolves.
pub(super) fn syslog(
    text: &OsStr,
    absolute: impl Fn(&Path) -> std::path::PathBuf,
) -> Result<SyslogAddress, String> {
    match text.to_str().and_then(split) {
        None => Ok(SyslogAddress::Unix(absolute(Path::new(text)))),
        Some((host, port)) => {
            let host = if host.is_empty() { "localhost" } else { host };
            let port = port_number(port, 1, "Error parsing syslog port", text)?;
            Ok(SyslogAddress::Udp { host: host.to_owned(), port })
        }
    }
}

fn split(text: &str) -> Option<(&str, &str)> {
    let (host, port) = text.rsplit_once(':')?;
    Some((host.trim_matches(['[', ']']), port))
}

/// The text of the Python program, and what it is about.
fn wrong(what: &str, word: &OsStr) -> String {
    format!("{what}: {}", python::quoted(word))
}

/// `text` is the port in `word`.
fn port_number(text: &str, least: u16, what: &str, word: &OsStr) -> Result<u16, String> {
    let number = python::integer(text, 10).ok_or_else(|| wrong(what, word))?;
    match u16::try_from(number) {
        Ok(port) if port >= least => Ok(port),
        _ => Err(format!("{what}: {number} is not between {least} and 65535")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(word: &str) -> Result<(String, u16), String> {
        match listen(OsStr::new(word), false)? {
            Address::Tcp { host, port, .. } => Ok((host, port)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_source_is_split_at_its_last_colon_and_loses_its_brackets() {
        for (word, host, port) in [
            ("6080", "", 6080),
            (":6080", "", 6080),
            ("0", "", 0),
            ("0.0.0.0:443", "0.0.0.0", 443),
            ("localhost:65535", "localhost", 65535),
            ("[::1]:6080", "::1", 6080),
            ("::1:6080", "::1", 6080),
            ("[]:6080", "", 6080),
            ("[::]: 6080 ", "::", 6080),
            ("+6080", "", 6080),
            ("6_080", "", 6080),
        ] {
            assert_eq!(source(word), Ok((host.to_owned(), port)), "{word}");
        }
    }

    #[test]
    fn a_source_without_a_port_number_is_an_error() {
        for word in ["", "x", "host:", "host", "[::1]", "0x10", "6080/tcp", "host:1.5", ":"] {
            assert_eq!(source(word), Err(format!("Error parsing listen port: '{word}'")), "{word}");
        }
        let text = listen(OsStr::from_bytes(b"\xff:1"), false).expect_err("no text");
        assert!(text.starts_with("Error parsing listen port: '"), "{text}");
    }

    #[test]
    fn the_admin_listener_is_for_this_machine_unless_a_host_is_named() {
        let at = |word: &str| admin(OsStr::new(word), 0o600);
        for (word, host, port) in [
            ("9000", "127.0.0.1", 9000),
            (":9000", "127.0.0.1", 9000),
            ("0.0.0.0:9000", "0.0.0.0", 9000),
            ("[::1]:0", "::1", 0),
            ("localhost:1", "localhost", 1),
        ] {
            let address = Address::Tcp { host: host.to_owned(), port, prefer_ipv6: false };
            assert_eq!(at(word), Ok(address), "{word}");
        }
        let unix = |path: &str| Address::Unix { path: path.into(), mode: 0o600 };
        assert_eq!(at("unix:/run/a:1"), Ok(unix("/run/a:1")));
        assert_eq!(at("unix:a"), Ok(unix("a")));
        assert_eq!(at("unix:"), Err("Error parsing admin address: 'unix:'".to_owned()));
        assert_eq!(at("/run/a"), Err("Error parsing admin port: '/run/a'".to_owned()));
        assert_eq!(
            at("x:70000"),
            Err("Error parsing admin port: 70000 is not between 0 and 65535".to_owned())
        );
    }

    #[test]
    fn a_number_that_is_no_port_is_refused() {
        for (word, text) in [
            ("65536", "Error parsing listen port: 65536 is not between 0 and 65535"),
            ("host:-1", "Error parsing listen port: -1 is not between 0 and 65535"),
        ] {
            assert_eq!(source(word), Err(text.to_owned()));
        }
        for (word, text) in [
            ("host:0", "Error parsing target port: 0 is not between 1 and 65535"),
            ("host:70000", "Error parsing target port: 70000 is not between 1 and 65535"),
        ] {
            assert_eq!(target(OsStr::new(word)), Err(text.to_owned()));
        }
    }

    #[test]
    fn a_target_needs_host_and_port() {
        for (word, host, port) in [
            ("localhost:5900", "localhost", 5900),
            ("0.0.0.0:5900", "0.0.0.0", 5900),
            ("[fe80::1%eth0]:1", "fe80::1%eth0", 1),
            ("fe80::1:5900", "fe80::1", 5900),
            (":5900", "", 5900),
        ] {
            assert_eq!(target(OsStr::new(word)), Ok(Target::Tcp { host: host.to_owned(), port }), "{word}");
        }
        for (word, text) in [
            ("5900", "Error parsing target: '5900' (HOST:PORT is needed)"),
            ("host:vnc", "Error parsing target port: 'host:vnc'"),
            ("host:", "Error parsing target port: 'host:'"),
            ("ws://host:5900", "Error parsing target: it is HOST:PORT, no URL: 'ws://host:5900'"),
            ("tcp://host", "Error parsing target: it is HOST:PORT, no URL: 'tcp://host'"),
        ] {
            assert_eq!(target(OsStr::new(word)), Err(text.to_owned()));
        }
    }

    #[test]
    fn syslog_is_a_socket_without_a_colon_and_udp_with_one() {
        let at = |text: &str| syslog(OsStr::new(text), |path| Path::new("/start").join(path));
        assert_eq!(at("/dev/log"), Ok(SyslogAddress::Unix("/dev/log".into())));
        assert_eq!(at("log"), Ok(SyslogAddress::Unix("/start/log".into())));
        assert_eq!(at("logs:514"), Ok(SyslogAddress::Udp { host: "logs".into(), port: 514 }));
        assert_eq!(at("[::1]:514"), Ok(SyslogAddress::Udp { host: "::1".into(), port: 514 }));
        assert_eq!(at("logs:x"), Err("Error parsing syslog port: 'logs:x'".to_owned()));
    }
}
