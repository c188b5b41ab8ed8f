//! Where Redis is: `host[:port[:db[:password[:namespace]]]]`, or a URL.

use crate::secret::Secret;
use crate::token::http::percent_decode;

/// A server, and what is needed to ask it.
pub(super) struct Server {
    /// Name or address, without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) is_secure: bool,
    pub(super) db: u32,
    pub(super) user: Option<Secret>,
    pub(super) password: Option<Secret>,
    /// What stands before the token in a key, with its colon.
    pub(super) prefix: String,
}

impl Server {
    /// Reads `--token-source`.
    ///
    /// # Errors Its form is unknown; the text does not quote it, as it may contain a password.
    pub(super) fn parse(text: &str) -> Result<Server, String> {
        let scheme = text.split_once("://").map(|(scheme, rest)| (scheme.to_ascii_lowercase(), rest));
        let server = match scheme {
            Some((scheme, rest)) if scheme == "redis" || scheme == "rediss" => url(rest, scheme == "rediss"),
            _ => fields(text),
        };
        server.ok_or_else(|| {
            "TokenRedis: the provided --token-source is not in the expected format \
             <host>[:<port>[:<db>[:<password>[:<namespace>]]]] or \
             redis[s]://[USER[:PASSWORD]@]HOST[:PORT][/DB[/NAMESPACE]]"
                .to_owned()
        })
    }

    /// `H:P`, as it is logged.
    pub(super) fn name(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// The form of the Python program.
fn fields(text: &str) -> Option<Server> {
    let mut fields = split(text).into_iter();
    let mut next = || fields.next().unwrap_or_default();
    let (host, port, db, password, namespace) = (next(), next(), next(), next(), next());
    let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&host).to_owned();
    if fields.next().is_some() || !is_host(&host) {
        return None;
    }
    Some(Server {
        host,
        port: port_of(&port)?,
        is_secure: false,
        db: number(&db)?,
        user: None,
        password: (!password.is_empty()).then(|| Secret::new(password)),
        prefix: prefix(&namespace),
    })
}

/// The parts between colons; a quoted part may contain colons, and so may a host in brackets.
fn split(text: &str) -> Vec<String> {
    let (mut parts, mut rest) = (Vec::new(), text);
    loop {
        let bracket = rest.strip_prefix('[').filter(|_| parts.is_empty()).and_then(|rest| rest.find(']'));
        let quoted = rest.strip_prefix('"').and_then(|inside| {
            let (part, behind) = inside.split_once('"')?;
            (!part.is_empty() && (behind.is_empty() || behind.starts_with(':'))).then_some((part, behind))
        });
        let (part, behind) = match (quoted, bracket) {
            (Some(quoted), _) => quoted,
            (None, Some(at)) if rest[at + 2..].is_empty() || rest[at + 2..].starts_with(':') => {
                rest.split_at(at + 2)
            }
            _ => rest.split_at(rest.find(':').unwrap_or(rest.len())),
        };
        parts.push(part.to_owned());
        match behind.strip_prefix(':') {
            Some(behind) => rest = behind,
            None => return parts,
        }
    }
}

/// Behind the scheme: `[USER[:PASSWORD]@]HOST[:PORT][/DB[/NAMESPACE]]`, each percent-encoded.
fn url(rest: &str, is_secure: bool) -> Option<Server> {
    if rest.contains(['?', '#']) {
        return None;
    }
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, password, place) = match authority.rsplit_once('@') {
        Some((login, place)) => match login.split_once(':') {
            Some((user, password)) => (user, password, place),
            None => (login, "", place),
        },
        None => ("", "", authority),
    };
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => rest.split_once(']').and_then(|(host, port)| match port {
            "" => Some((host, "")),
            _ => Some((host, port.strip_prefix(':')?)),
        })?,
        None => place.split_once(':').unwrap_or((place, "")),
    };
    let (db, namespace) = path.split_once('/').unwrap_or((path, ""));
    let namespace =
        String::from_utf8(percent_decode(namespace.strip_suffix('/').unwrap_or(namespace))).ok()?;
    let secret = |text: &str| (!text.is_empty()).then(|| Secret::new(percent_decode(text)));
    if !is_host(host) {
        return None;
    }
    Some(Server {
        host: host.to_owned(),
        port: port_of(port)?,
        is_secure,
        db: number(db)?,
        user: secret(user),
        password: secret(password),
        prefix: prefix(&namespace),
    })
}

fn is_host(host: &str) -> bool {
    let is_odd = |char: char| char.is_whitespace() || char.is_control() || "[]/@\"".contains(char);
    !host.is_empty() && !host.contains(is_odd)
}

fn port_of(text: &str) -> Option<u16> {
    let port = if text.is_empty() { PORT.into() } else { number(text)? };
    u16::try_from(port).ok().filter(|&port| port > 0)
}

fn number(text: &str) -> Option<u32> {
    let text = text.trim();
    match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true if text.is_empty() => Some(0),
        true => text.parse().ok(),
        false => None,
    }
}

fn prefix(namespace: &str) -> String {
    if namespace.is_empty() { String::new() } else { format!("{namespace}:") }
}

/// The default port of Redis.
const PORT: u16 = 6379;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        let server = Server::parse(text).ok()?;
        let secret = |secret: Option<Secret>| {
            secret.map_or("-".into(), |secret| String::from_utf8_lossy(secret.reveal()).into_owned())
        };
        let (tls, db, prefix) = (if server.is_secure { "tls " } else { "" }, server.db, &server.prefix);
        let name = server.name();
        Some(format!("{tls}{name} {db} {} {} {prefix}", secret(server.user), secret(server.password)))
    }

    #[test]
    fn fields_are_those_of_the_python_program() {
        for (text, expected) in [
            ("h", "h:6379 0 - - "),
            ("myredis.local:6379", "myredis.local:6379 0 - - "),
            ("h:", "h:6379 0 - - "),
            ("h:6380:1", "h:6380 1 - - "),
            ("h:::secret", "h:6379 0 - secret "),
            ("h::::ns", "h:6379 0 - - ns:"),
            ("h:6380:1:secret:ns", "h:6380 1 - secret ns:"),
            ("h::::\"one:two\"", "h:6379 0 - - one:two:"),
            ("h:::\"a:b\":\"c:d\"", "h:6379 0 - a:b c:d:"),
            ("\"::1\":6380", "::1:6380 0 - - "),
            ("[::1]:6380", "::1:6380 0 - - "),
            ("h:::a\"b", "h:6379 0 - a\"b "),
            ("h:::\"a\"b", "h:6379 0 - \"a\"b "),
            ("h::: a ", "h:6379 0 -  a  "),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_url_has_a_user_and_tls_too() {
        for (text, expected) in [
            ("redis://h", "h:6379 0 - - "),
            ("redis://h/", "h:6379 0 - - "),
            ("REDISS://h:1", "tls h:1 0 - - "),
            ("redis://:secret@h", "h:6379 0 - secret "),
            ("redis://user:s%3Ae%40c@h:1/2/ns", "h:1 2 user s:e@c ns:"),
            ("redis://user@h", "h:6379 0 user - "),
            ("redis://u:p@w@h//a%2Fb:c/", "h:6379 0 u p@w a/b:c:"),
            ("rediss://[::1]:1/3", "tls ::1:1 3 - - "),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_an_error_that_tells_no_password() {
        for text in [
            "",
            ":",
            ":6379",
            "h:x",
            "h:0",
            "h:70000",
            "h:1:x",
            "h:1:-1",
            "h:1:2:hunter2:ns:six",
            "redis://",
            "redis://h:x",
            "redis://h/x",
            "redis://u:hunter2@h?db=1",
            "redis://[::1",
            "redis://[::1]x",
            "redis://u:hunter2@/1",
            "h h",
            "http://hunter2@h",
            "redis://h/-1",
            "redis://h/1/%ff",
        ] {
            let why = Server::parse(text).err().unwrap_or_else(|| panic!("{text}"));
            assert!(!why.contains("hunter2"), "{why}");
        }
    }
}
