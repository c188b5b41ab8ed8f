//! Where a request carries its token: the query, or the name in Host.
//!
//! The rules are those of Python's `parse_qs` and of the Python program, since URLs are made for them.

use std::borrow::Cow;

/// The token in the query of a request target: the first parameter `token` that is not empty, decoded as the
/// fields of HTML forms are, without line feeds after it.
pub fn token(target: &str) -> Option<String> {
    // What follows a `#` is never sent to a server, except by clients that don't know better.
    let target = target.split('#').next()?;
    let (_, query) = target.split_once('?')?;
    let value = query.split('&').find_map(|pair| value(pair, "token"))?;
    Some(decoded(value).trim_end_matches('\n').to_owned())
}

/// The name of a parameter, decoded.
pub fn name(pair: &str) -> Cow<'_, str> {
    decoded(pair.split('=').next().unwrap_or_default())
}

/// The value of a parameter as it came, if this is its name and it has one.
pub fn value<'a>(pair: &'a str, wanted: &str) -> Option<&'a str> {
    let (_, value) = pair.split_once('=')?;
    (!value.is_empty() && name(pair) == wanted).then_some(value)
}

/// The token in the value of Host: the name without the port, and without brackets. Its case counts.
pub fn host_token(host: &[u8]) -> Option<String> {
    let host = std::str::from_utf8(host).ok()?;
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => host.split(':').next()?,
    };
    (!name.is_empty()).then(|| name.to_owned())
}

/// `text` with `+` and percent encoding undone. What is not UTF-8 then becomes U+FFFD.
pub fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains(['+', '%']) {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let digit = |at: usize| tail.get(at).and_then(|&byte| char::from(byte).to_digit(16));
        let (byte, taken) = match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => ((high * 16 + low) as u8, 3),
            (b'+', ..) => (b' ', 1),
            _ => (*first, 1),
        };
        out.push(byte);
        rest = &rest[taken..];
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row is what `parse_qs(urlparse(path)[4])['token'][0].rstrip('\n')` gives in Python 3.11.
    #[test]
    fn the_token_is_found_as_python_finds_it() {
        for (target, expected) in [
            ("/?token=abc", Some("abc")),
            ("/any/path?token=abc&x=y", Some("abc")),
            ("/?x=y&token=abc", Some("abc")),
            ("/?token=&token=b", Some("b")),
            ("/?token=a&token=b", Some("a")),
            ("/?token", None),
            ("/?token=", None),
            ("/?Token=a", None),
            ("/?tokens=a", None),
            ("/?%74oken=a", Some("a")),
            ("/?to+ken=a", None),
            ("/?token=a=b", Some("a=b")),
            ("/?token=a;b", Some("a;b")),
            ("/?x;token=a", None),
            ("/?token=a%20b+c", Some("a b c")),
            ("/?token=a%2Bb", Some("a+b")),
            ("/?token=a%0A", Some("a")),
            ("/?token=a%0a%0A", Some("a")),
            ("/?token=a%0D%0A", Some("a\r")),
            ("/?token=%0Aa", Some("\na")),
            ("/?token=%0A&token=b", Some("")),
            ("/?token=%C3%A9", Some("é")),
            ("/?token=%FF", Some("\u{fffd}")),
            ("/?token=%FF%41", Some("\u{fffd}A")),
            ("/?token=%E2%82", Some("\u{fffd}")),
            ("/?token=%zz%4", Some("%zz%4")),
            ("/?token=a#b", Some("a")),
            ("/#?token=a", None),
            ("/?a=b?token=c", None),
            ("/?a?token=c&token=d", Some("d")),
            ("//host/?token=a", Some("a")),
            ("/token=a", None),
            ("/", None),
            ("*", None),
            ("", None),
            ("/?&&token=a", Some("a")),
        ] {
            assert_eq!(token(target).as_deref(), expected, "{target}");
        }
    }

    #[test]
    fn the_name_in_host_loses_its_port_and_brackets() {
        for (host, expected) in [
            ("vm1.example.org", Some("vm1.example.org")),
            ("vm1.example.org:6080", Some("vm1.example.org")),
            ("VM1:80", Some("VM1")),
            ("[::1]:6080", Some("::1")),
            ("[::1]", Some("::1")),
            ("[::1", None),
            ("", None),
            (":6080", None),
            ("[]:1", None),
        ] {
            assert_eq!(host_token(host.as_bytes()).as_deref(), expected, "{host}");
        }
        assert_eq!(host_token(b"\xff"), None);
    }
}
