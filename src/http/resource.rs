//! What a request target names: a way from the web root down, name by name.
//!
//! It is decoded once, then split, then `.` and `..` are taken out, in this order, so that no spelling of a
//! separator or of a dot is seen late. What is left goes only down. Whatever is sent back to a client is
//! re-encoded from that, never copied, so that it names this server and nothing else.

use std::fmt::Write as _;

/// The names on the way to a file or directory, and how it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Names from the root down, decoded: never empty, never `.` or `..`, without slash and NUL. Any other
    /// byte may stand in one.
    pub names: Vec<Vec<u8>>,
    /// Whether the target ended with a slash, so that only a directory can be meant. Always, for the root.
    pub slash: bool,
    /// What follows the question mark, as it came.
    pub query: Option<String>,
}

/// A NUL in a path: no file has one in its name, and libraries written in C would stop reading there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NulInPath;

impl Resource {
    /// Takes a request target apart; `target` begins with a slash.
    ///
    /// # Errors
    /// The decoded path has a NUL.
    pub fn parse(target: &str) -> Result<Resource, NulInPath> {
        let target = target.split('#').next().unwrap_or_default();
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        let decoded = decode(path.as_bytes());
        if decoded.contains(&0) {
            return Err(NulInPath);
        }
        let mut names: Vec<Vec<u8>> = Vec::new();
        for name in decoded.split(|&byte| byte == b'/') {
            match name {
                b"" | b"." => {}
                b".." => drop(names.pop()),
                name => names.push(name.to_vec()),
            }
        }
        let slash = path.ends_with('/') || names.is_empty();
        Ok(Resource { names, slash, query })
    }

    /// Whether a name on the way is hidden by a leading dot. `.well-known` is there to be seen (RFC 8615).
    pub fn is_hidden(&self) -> bool {
        self.names.iter().any(|name| is_hidden(name))
    }

    /// Path and query of the same thing as a directory, for `Location`. It begins with exactly one slash.
    pub fn location(&self) -> String {
        let mut out = String::from("/");
        for name in &self.names {
            encode(&mut out, name);
            out.push('/');
        }
        if let Some(query) = &self.query {
            out.push('?');
            push_printable(&mut out, query);
        }
        out
    }

    /// The decoded path as text for people: `/sub/`. What is not UTF-8 has replacement characters.
    pub fn shown(&self) -> String {
        let mut out = String::from("/");
        for (at, name) in self.names.iter().enumerate() {
            out.push_str(&String::from_utf8_lossy(name));
            if self.slash || at + 1 < self.names.len() {
                out.push('/');
            }
        }
        out
    }
}

/// Whether a name is hidden by its leading dot.
pub fn is_hidden(name: &[u8]) -> bool {
    name.starts_with(b".") && name != b".well-known"
}

/// Appends one name of a path, with everything encoded but letters, digits and `-._~` (RFC 3986, 2.3).
pub fn encode(out: &mut String, name: &[u8]) {
    for &byte in name {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => push_encoded(out, byte),
        }
    }
}

/// Appends text that is encoded already, as far as it has to be: what a header's value can't have is encoded now.
pub fn push_printable(out: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'!'..=b'~' => out.push(char::from(byte)),
            _ => push_encoded(out, byte),
        }
    }
}

fn push_encoded(out: &mut String, byte: u8) {
    // Writing to a String can't fail.
    let _ = write!(out, "%{byte:02X}");
}

/// Undoes percent encoding, once. A percent sign without two digits after it stays.
pub(super) fn decode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let digit = |at: usize| tail.get(at).and_then(|&byte| char::from(byte).to_digit(16));
        let (byte, taken) = match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => ((high * 16 + low) as u8, 3),
            _ => (*first, 1),
        };
        out.push(byte);
        rest = &rest[taken..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(target: &str) -> String {
        let resource = Resource::parse(target).expect("no NUL");
        let names: Vec<_> = resource.names.iter().map(|name| String::from_utf8_lossy(name)).collect();
        names.join("|")
    }

    #[test]
    fn a_target_leads_down_from_the_root_and_nowhere_else() {
        let table = [
            ("/", ""),
            ("//", ""),
            ("/a.txt", "a.txt"),
            ("//a.txt", "a.txt"),
            ("/a/b?c/../../d", "a|b"),
            ("/a#b", "a"),
            ("/..", ""),
            ("/../../etc/passwd", "etc|passwd"),
            ("/%2e%2e/a", "a"),
            ("/.%2E/a", "a"),
            ("/..%2fa", "a"),
            ("/a%2f..%2f..%2fb", "b"),
            ("/a/./b/../c", "a|c"),
            ("/...", "..."),
            ("/%252e%252e/a", "%2e%2e|a"),
            ("/..\\a", "..\\a"),
            ("/%5c..%5ca", "\\..\\a"),
            ("/%zz%4", "%zz%4"),
            ("/%C3%A4+b", "ä+b"),
        ];
        for (target, expected) in table {
            assert_eq!(names(target), expected, "{target}");
        }
    }

    #[test]
    fn a_nul_is_refused_however_it_is_written() {
        assert_eq!(Resource::parse("/a%00.txt"), Err(NulInPath));
        assert_eq!(Resource::parse("/a\0"), Err(NulInPath));
        assert_eq!(names("/a?b%00"), "a");
    }

    #[test]
    fn only_a_slash_of_its_own_at_the_end_means_a_directory() {
        let table =
            [("/", true), ("/a", false), ("/a/", true), ("/a%2f", false), ("/a/..", true), ("/a?/", false)];
        for (target, slash) in table {
            assert_eq!(Resource::parse(target).expect("no NUL").slash, slash, "{target}");
        }
    }

    #[test]
    fn a_location_names_this_server() {
        let table = [
            ("/sub", "/sub/"),
            ("//sub?a=b&c", "/sub/?a=b&c"),
            ("/a b/%0d%0aX:y", "/a%20b/%0D%0AX%3Ay/"),
            ("//evil.com/..//x", "/x/"),
            ("/%2fevil.com", "/evil.com/"),
            ("/\\evil.com", "/%5Cevil.com/"),
            ("/x?é\u{7f}", "/x/?%C3%A9%7F"),
            ("/%ff", "/%FF/"),
        ];
        for (target, expected) in table {
            assert_eq!(Resource::parse(target).expect("no NUL").location(), expected, "{target}");
        }
    }

    #[test]
    fn dot_files_are_told_from_the_rest() {
        for (target, hidden) in [
            ("/.git/config", true),
            ("/a/.b", true),
            ("/.well-known/x", false),
            ("/a.b", false),
            ("/./a", false),
        ] {
            assert_eq!(Resource::parse(target).expect("no NUL").is_hidden(), hidden, "{target}");
        }
    }

    #[test]
    fn a_path_is_shown_decoded() {
        assert_eq!(Resource::parse("/a%20b/c/?d").expect("no NUL").shown(), "/a b/c/");
        assert_eq!(Resource::parse("/a").expect("no NUL").shown(), "/a");
        assert_eq!(Resource::parse("/").expect("no NUL").shown(), "/");
    }
}
