//! URLs of services: the template with places for the token, and the targets of redirects.

use crate::secret::Secret;

/// Where to ask. It may reveal the token, so it is never printed.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Url {
    /// Whether it is https.
    pub(super) is_secure: bool,
    /// Name or address, without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// `user:password`, decoded.
    pub(super) credentials: Option<Secret>,
    /// Path and query, in the form that goes into a request.
    pub(super) target: String,
}

/// A URL with places for the token.
pub(super) struct Template {
    /// The text between the places.
    pieces: Vec<String>,
    /// Whether the token is part of the host's name.
    names_host: bool,
    /// Scheme and host, for the log.
    pub(super) name: String,
}

impl Url {
    /// Reads an absolute URL of http or https.
    ///
    /// # Errors
    /// What is wrong, without quoting the URL.
    pub(super) fn parse(text: &str) -> Result<Url, &'static str> {
        let (scheme, rest) = text.split_once("://").ok_or("it is no URL of http or https")?;
        let is_secure = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err("it is no URL of http or https"),
        };
        let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let (credentials, place) = match authority.rsplit_once('@') {
            Some((credentials, place)) => (Some(Secret::new(decode(credentials))), place),
            None => (None, authority),
        };
        let (host, port) = match place.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or("a bracket is missing in it")?;
                if host.parse::<std::net::Ipv6Addr>().is_err() {
                    return Err("its address is no IPv6 address");
                }
                match rest {
                    "" => (host, ""),
                    _ => (host, rest.strip_prefix(':').ok_or("its host is invalid")?),
                }
            }
            None => place.split_once(':').unwrap_or((place, "")),
        };
        let is_odd = |char: char| !char.is_ascii_alphanumeric() && !"-._~:".contains(char);
        if host.is_empty() || host.len() > HOST_BYTES_MAX || host.contains(is_odd) {
            return Err("its host is invalid");
        }
        let port = match port {
            "" if is_secure => 443,
            "" => 80,
            _ if port.bytes().all(|byte| byte.is_ascii_digit()) => port.parse().unwrap_or(0),
            _ => 0,
        };
        if port == 0 {
            return Err("its port is invalid");
        }
        let host = host.to_ascii_lowercase();
        Ok(Url { is_secure, host, port, credentials, target: normalised(target) })
    }

    /// Where a redirect from here leads.
    ///
    /// # Errors The target is not a valid URL.
    pub(super) fn join(&self, location: &str) -> Result<Url, &'static str> {
        let location = location.trim();
        let colon = location.find(|char: char| !char.is_ascii_alphanumeric() && !"+-.".contains(char));
        if colon.is_some_and(|at| at > 0 && location[at..].starts_with(':')) {
            return Ok(self.share(Url::parse(location)?));
        }
        if location.starts_with("//") {
            let scheme = if self.is_secure { "https" } else { "http" };
            return Ok(self.share(Url::parse(&format!("{scheme}:{location}"))?));
        }
        let (path, query) = match self.target.split_once('?') {
            Some((path, _)) => (path, &self.target[path.len()..]),
            None => (self.target.as_str(), ""),
        };
        let target = match location.as_bytes().first() {
            None | Some(b'#') => format!("{path}{query}"),
            Some(b'/') => location.to_owned(),
            Some(b'?') => format!("{path}{location}"),
            Some(_) => {
                let folder = path.rfind('/').map_or("/", |slash| &path[..=slash]);
                format!("{folder}{location}")
            }
        };
        Ok(Url { target: normalised(&target), ..self.clone() })
    }

    /// Credentials are sent on to the same server, plain or secure, and nowhere else.
    fn share(&self, mut to: Url) -> Url {
        let is_same = self.host == to.host
            && ((self.is_secure, self.port) == (to.is_secure, to.port)
                || (self.port, to.is_secure, to.port) == (80, true, 443));
        if is_same && to.credentials.is_none() {
            to.credentials.clone_from(&self.credentials);
        }
        to
    }

    /// `host[:port]`, as it stands in a request.
    pub(super) fn authority(&self) -> String {
        let host = self.bracketed();
        match (self.is_secure, self.port) {
            (false, 80) | (true, 443) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }

    /// The host, with brackets around an IPv6 address.
    pub(super) fn bracketed(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }
}

impl Template {
    /// Reads `--token-source`: `%s` is the token's place, `%%` is `%`, and `%20` is itself.
    ///
    /// # Errors
    /// What is wrong, without quoting the URL.
    pub(super) fn parse(text: &str) -> Result<Template, &'static str> {
        let (mut pieces, mut piece, mut rest) = (Vec::new(), String::new(), text.trim());
        while let Some((before, behind)) = rest.split_once('%') {
            piece.push_str(before);
            rest = match behind.as_bytes() {
                [b's', ..] => {
                    pieces.push(std::mem::take(&mut piece));
                    &behind[1..]
                }
                [b'%', ..] => {
                    piece.push('%');
                    &behind[1..]
                }
                [one, two, ..] if one.is_ascii_hexdigit() && two.is_ascii_hexdigit() => {
                    piece.push('%');
                    behind
                }
                _ => return Err("a % in it is neither %s nor %%"),
            };
        }
        piece.push_str(rest);
        pieces.push(piece);
        let mut template = Template { pieces, names_host: false, name: String::new() };
        let sample = Url::parse(&template.join(MARK))?;
        let scheme = if sample.is_secure { "https" } else { "http" };
        let host = sample.authority();
        template.names_host = host.contains(MARK);
        template.name = format!("{scheme}://{}", host.replace(MARK, "%s"));
        let credentials = sample.credentials.is_some_and(|secret| contains(secret.reveal(), MARK));
        if !template.names_host && !credentials && !sample.target.contains(MARK) {
            return Err("it has no %s for the token");
        }
        Ok(template)
    }

    /// The URL for this token.
    ///
    /// # Errors The token would change the structure of the URL.
    pub(super) fn expand(&self, token: &str) -> Result<Url, &'static str> {
        let is_part_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if self.names_host && !token.bytes().all(is_part_of_name) {
            return Err("it can't be part of a host's name");
        }
        let text = self.join(&encode(token));
        // In a path a token is one segment, and must not be a dot segment.
        let (own, plain) = (path(&text), self.join(MARK));
        let moves =
            own.split('/').zip(path(&plain).split('/')).any(|(name, own)| is_dots(name) && name != own);
        if moves {
            return Err("it would lead to another path");
        }
        Url::parse(&text).map_err(|_| "it makes no URL")
    }

    fn join(&self, token: &str) -> String {
        self.pieces.join(token)
    }
}

/// The path of the text of a URL.
fn path(text: &str) -> &str {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let rest = &rest[..rest.find(['?', '#']).unwrap_or(rest.len())];
    &rest[rest.find('/').unwrap_or(rest.len())..]
}

/// Whether a path segment is `.` or `..`, in any spelling.
fn is_dots(name: &str) -> bool {
    matches!(name.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")
}

/// Path and query in the form for a request: without a fragment, without dot segments, and percent-encoded
/// where necessary.
fn normalised(target: &str) -> String {
    let target = &target[..target.find('#').unwrap_or(target.len())];
    let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
    let mut names: Vec<&str> = Vec::new();
    let mut ends_in_folder = false;
    for name in path.split('/').skip(usize::from(path.starts_with('/'))) {
        ends_in_folder = is_dots(name);
        match is_dots(name) {
            false => names.push(name),
            true if name.len() % 2 == 0 => drop(names.pop()),
            true => {}
        }
    }
    let mut out = String::with_capacity(target.len() + 1);
    for name in &names {
        out.push('/');
        out.push_str(name);
    }
    if ends_in_folder || names.is_empty() {
        out.push('/');
    }
    out.push_str(query);
    let is_fine = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte);
    if out.bytes().all(is_fine) {
        return out;
    }
    percent(out.as_bytes(), is_fine)
}

/// The token with everything percent-encoded except unreserved characters.
fn encode(token: &str) -> String {
    percent(token.as_bytes(), |byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

fn percent(bytes: &[u8], is_fine: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        match is_fine(byte) {
            true => out.push(char::from(byte)),
            false => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Undoes percent-encoding; malformed sequences stay.
pub(in crate::token) fn decode(text: &str) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((&byte, behind)) = rest.split_first() {
        let digit = |at: usize| behind.get(at).and_then(|&digit| char::from(digit).to_digit(16));
        match (byte, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or(b'%'));
                rest = &behind[2..];
            }
            _ => {
                out.push(byte);
                rest = behind;
            }
        }
    }
    out
}

fn contains(bytes: &[u8], mark: &str) -> bool {
    bytes.windows(mark.len()).any(|window| window == mark.as_bytes())
}

/// For fuzzing: as [`crate::token::service_urls`].
#[cfg(any(test, feature = "testing"))]
pub(in crate::token) fn urls(
    template: &str,
    token: &str,
    location: &str,
) -> Option<[Option<(String, String)>; 2]> {
    let parts = |url: &Url| (url.authority(), url.target.clone());
    let url = Template::parse(template).ok()?.expand(token).ok();
    let next = url.as_ref().and_then(|url| url.join(location).ok());
    Some([url.as_ref().map(parts), next.as_ref().map(parts)])
}

/// Stands for the token where the template itself is looked at.
const MARK: &str = "token-6b7c0c5e";

/// The longest name that DNS has.
const HOST_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    fn text(url: &Url) -> String {
        let scheme = if url.is_secure { "https" } else { "http" };
        let secret = url.credentials.as_ref().map(|secret| String::from_utf8_lossy(secret.reveal()));
        let user = secret.map(|secret| format!("{secret}@")).unwrap_or_default();
        format!("{scheme}://{user}{}{}", url.authority(), url.target)
    }

    #[test]
    fn the_token_is_encoded_for_its_place() {
        for (template, token, expected) in [
            ("http://h/a?token=%s", "t", "http://h/a?token=t"),
            (
                "http://h/a?token=%s",
                "a&b=#c/../ +%\u{fc}",
                "http://h/a?token=a%26b%3D%23c%2F..%2F%20%2B%25%C3%BC",
            ),
            ("http://h/a?token=%s", "..", "http://h/a?token=.."),
            ("http://h:8086/%s/x", "a/../b", "http://h:8086/a%2F..%2Fb/x"),
            ("http://h/%s", "...", "http://h/..."),
            ("http://h/a%%20b/%s", "t", "http://h/a%20b/t"),
            ("http://h/a%20b/%s?c=%s", "t", "http://h/a%20b/t?c=t"),
            ("http://h/%%s/%s", "t", "http://h/%s/t"),
            ("http://h?%s", "t", "http://h/?t"),
            ("http://u:%s@h/", "p@ss:", "http://u:p@ss:@h/"),
            ("http://u:p%%40@h/%s", "t", "http://u:p@@h/t"),
            ("http://%s.internal:81/", "vm-1", "http://vm-1.internal:81/"),
            ("HTTPS://[::1]:8443/%s", "t", "https://[::1]:8443/t"),
            (" http://h/./a/../%s ", "t", "http://h/t"),
            ("http://h/\u{fc} {}/%s", "t", "http://h/%C3%BC%20%7B%7D/t"),
        ] {
            let template_read = Template::parse(template).unwrap_or_else(|why| panic!("{template}: {why}"));
            let url = template_read.expand(token).unwrap_or_else(|why| panic!("{template} {token}: {why}"));
            assert_eq!(text(&url), expected, "{template} {token}");
        }
    }

    #[test]
    fn a_token_that_would_make_another_url_is_refused() {
        for (template, token) in [
            ("http://h/%s", ".."),
            ("http://h/%s/x", "."),
            ("http://h/.%s/x", "."),
            ("http://h/%%2e%s/x", "."),
            ("http://%s.internal/", "h/"),
            ("http://%s.internal/", "a@b"),
            ("http://%s.internal/", "a:1"),
            ("http://%s/", "\u{fc}"),
        ] {
            assert!(Template::parse(template).expect(template).expand(token).is_err(), "{template} {token}");
        }
    }

    #[test]
    fn a_template_is_a_url_with_a_place() {
        for template in [
            "",
            "h/%s",
            "ftp://h/%s",
            "%s://h/",
            "http:///%s",
            "http://h/",
            "http://h/#%s",
            "http://h/%d",
            "http://h/%",
            "http://h:%s/",
            "http://h:0/%s",
            "http://h:65536/%s",
            "http://h:x/%s",
            "http://[::1/%s",
            "http://[h]/%s",
            "http://[::1]x/%s",
            "http://h h/%s",
            "http://\u{fc}/%s",
            "http://u@/%s",
            "http://h/%2",
        ] {
            assert!(Template::parse(template).is_err(), "{template}");
        }
        let name = |text| Template::parse(text).map(|template| template.name).expect(text);
        assert_eq!(name("http://u:secret@h:81/secret?a=%s"), "http://h:81");
        assert_eq!(name("https://%s.internal/secret"), "https://%s.internal");
    }

    /// The examples of RFC 3986, 5.4, as far as they are about http.
    #[test]
    fn redirects_lead_where_the_rfc_says() {
        let base = Url::parse("http://a/b/c/d;p?q").expect("a URL");
        for (location, expected) in [
            ("g", "/b/c/g"),
            ("./g", "/b/c/g"),
            ("g/", "/b/c/g/"),
            ("/g", "/g"),
            ("?y", "/b/c/d;p?y"),
            ("g?y", "/b/c/g?y"),
            ("#s", "/b/c/d;p?q"),
            ("g#s", "/b/c/g"),
            ("g?y#s", "/b/c/g?y"),
            (";x", "/b/c/;x"),
            ("g;x", "/b/c/g;x"),
            ("", "/b/c/d;p?q"),
            (".", "/b/c/"),
            ("./", "/b/c/"),
            ("..", "/b/"),
            ("../", "/b/"),
            ("../g", "/b/g"),
            ("../..", "/"),
            ("../../", "/"),
            ("../../g", "/g"),
            ("../../../g", "/g"),
            ("/./g", "/g"),
            ("/../g", "/g"),
            ("g.", "/b/c/g."),
            (".g", "/b/c/.g"),
            ("..g", "/b/c/..g"),
            ("./../g", "/b/g"),
            ("./g/.", "/b/c/g/"),
            ("g/./h", "/b/c/g/h"),
            ("g/../h", "/b/c/h"),
            ("g?y/./x", "/b/c/g?y/./x"),
            ("g?y/../x", "/b/c/g?y/../x"),
            ("g h\u{fc}", "/b/c/g%20h%C3%BC"),
        ] {
            assert_eq!(
                text(&base.join(location).expect(location)),
                format!("http://a{expected}"),
                "{location}"
            );
        }
        assert_eq!(text(&base.join("//g/x").unwrap()), "http://g/x");
        assert_eq!(text(&base.join("HTTPS://g").unwrap()), "https://g/");
        for location in ["g:h", "ftp://a/", "javascript:x", "//", "http:g", "http://"] {
            assert!(base.join(location).is_err(), "{location}");
        }
    }

    #[test]
    fn credentials_stay_with_their_server() {
        let base = Url::parse("http://u:p@a/").expect("a URL");
        for (location, expected) in [
            ("/x", true),
            ("http://a/x", true),
            ("//A:80/x", true),
            ("https://a/x", true),
            ("http://a:81/x", false),
            ("https://a:80/x", false),
            ("http://b/x", false),
            ("http://a.b/x", false),
        ] {
            assert_eq!(base.join(location).expect(location).credentials.is_some(), expected, "{location}");
        }
        let own = base.join("http://x:y@b/").expect("a URL");
        assert_eq!(own.credentials.expect("its own").reveal(), b"x:y");
    }
}
