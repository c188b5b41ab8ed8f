//! Request targets in logs: the shape stays, the secrets go.
//!
//! A token or a password in a URL is a key to somebody's machine, and logs are read by many. Rather too
//! much is hidden than too little: names are looked for behind any separator and any number of encodings,
//! because front ends pass whole URLs inside of parameters (noVNC's `path=websockify%3Ftoken%3D…`).

use std::borrow::Cow;

/// A request target as it may be logged: the values of parameters whose names promise a secret (`token`,
/// `password` and their kin), and the user part of an embedded URL, are replaced by `***`.
pub fn redact(target: &str) -> Cow<'_, str> {
    let hidden = map_pieces(Cow::Borrowed(target), "&", hide_parameter);
    match hidden.contains("://") {
        true => map_pieces(hidden, "/?#&=", hide_user),
        false => hidden,
    }
}

/// Applies `hide` to each piece between separators. `hide` says from where to where a piece is secret.
fn map_pieces<'a>(
    text: Cow<'a, str>,
    separators: &str,
    hide: fn(&str, before: &str) -> Option<(usize, usize)>,
) -> Cow<'a, str> {
    let mut out = String::new();
    let mut copied = 0;
    let mut start = 0;
    for piece in text.split_inclusive(|char| separators.contains(char)) {
        let inner = piece.trim_end_matches(|char| separators.contains(char));
        if let Some((from, to)) = hide(inner, &text[..start]) {
            out.push_str(&text[copied..start + from]);
            out.push_str(MASK);
            copied = start + to;
        }
        start += piece.len();
    }
    if copied == 0 {
        return text;
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

/// Which part of one `&`-separated parameter is secret: what follows the first `=` behind a name that
/// promises a secret. When such a name shows only after decoding, everything from the first `=` or
/// encoded character on.
fn hide_parameter(piece: &str, _before: &str) -> Option<(usize, usize)> {
    let mut name_at = 0;
    for (at, _) in piece.match_indices('=') {
        if is_secret(&decoded(&piece[name_at..at])) {
            return Some((at + 1, piece.len()));
        }
        name_at = at + 1;
    }
    let plain = decoded(piece);
    let nested = plain.match_indices('=').any(|(at, _)| is_secret(&plain[..at]));
    let from = piece.find('=').map(|at| at + 1).or(piece.find('%'))?;
    nested.then_some((from, piece.len()))
}

/// Which part of a piece is the user of an embedded URL: up to the `@`, if `//` came before.
fn hide_user(piece: &str, before: &str) -> Option<(usize, usize)> {
    before.ends_with("://").then(|| piece.rfind('@'))?.map(|at| (0, at))
}

/// Whether the name that ends `text` promises a secret. It never reaches back beyond an `=`, so a target full
/// of them costs no more than another.
fn is_secret(text: &str) -> bool {
    let name = text.rsplit(['?', '&', ';', '#', '/', '=']).next().unwrap_or(text).trim();
    let name = name.to_ascii_lowercase();
    SECRET_NAMES.contains(&name.as_str()) || SECRET_PARTS.iter().any(|part| name.contains(part))
}

/// `text` with percent and plus encoding undone, several times over. What is not UTF-8 then gets
/// replacement characters: this is only looked at, never shown.
fn decoded(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    for _ in 0..ENCODINGS_MAX {
        if !text.contains(['%', '+']) {
            break;
        }
        text = Cow::Owned(decoded_once(text.as_bytes()));
    }
    text
}

fn decoded_once(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
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
    String::from_utf8_lossy(&out).into_owned()
}

/// What stands for a secret.
const MASK: &str = "***";

/// Names that are secret as a whole.
const SECRET_NAMES: &[&str] = &["auth", "authorization", "key", "pass", "pwd", "sig", "signature"];

/// Parts of names that make them secret, such as `access_token`.
const SECRET_PARTS: &[&str] = &["token", "passw", "secret", "jwt", "apikey", "api_key", "credential"];

/// How many encodings inside each other are undone.
const ENCODINGS_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_and_the_shape_stays() {
        let table = [
            ("/websockify?token=abc", "/websockify?token=***"),
            ("/?a=b&token=abc&c=d", "/?a=b&token=***&c=d"),
            ("/?TOKEN=abc&Token=def", "/?TOKEN=***&Token=***"),
            ("/?%74oken=abc", "/?%74oken=***"),
            ("/?+token+=abc", "/?+token+=***"),
            ("/?token=a=b;c?d#e/f", "/?token=***"),
            ("/?token=", "/?token=***"),
            ("/?access_token=a&password=b&passwd=c&pwd=d&jwt=e", {
                "/?access_token=***&password=***&passwd=***&pwd=***&jwt=***"
            }),
            ("/?a=b;token=c", "/?a=b;token=***"),
            ("/#token=a", "/#token=***"),
            ("/token=a/b?c=d", "/token=***"),
            ("token=a", "token=***"),
        ];
        for (target, expected) in table {
            assert_eq!(redact(target), expected);
        }
    }

    #[test]
    fn a_url_inside_of_a_parameter_is_searched_too() {
        let table = [
            ("/vnc.html?path=websockify?token=abc&x=y", "/vnc.html?path=websockify?token=***&x=y"),
            ("/vnc.html?path=websockify%3Ftoken%3Dabc&x=y", "/vnc.html?path=***&x=y"),
            ("/vnc.html?path=websockify%3Fa%3Db%26token%3Dabc", "/vnc.html?path=***"),
            ("/vnc.html?path=websockify%253Ftoken%253Dabc", "/vnc.html?path=***"),
            ("/websockify%3Ftoken=abc", "/websockify%3Ftoken=***"),
            ("/websockify%3Ftoken%3Dabc", "/websockify***"),
        ];
        for (target, expected) in table {
            assert_eq!(redact(target), expected);
        }
    }

    #[test]
    fn the_user_of_a_url_is_hidden() {
        let table = [
            ("http://user:pw@host/a?b=c", "http://***@host/a?b=c"),
            ("http://user:p@w@host", "http://***@host"),
            ("/?url=ws://user@host&a=me@there", "/?url=ws://***@host&a=me@there"),
            ("http://host/user@b", "http://host/user@b"),
            ("http://u:p@h/?token=x", "http://***@h/?token=***"),
        ];
        for (target, expected) in table {
            assert_eq!(redact(target), expected);
        }
    }

    #[test]
    fn what_holds_no_secret_is_left_as_it_is() {
        for target in
            ["/", "", "*", "/a%20b?c=d&e", "/monkey?host=a:5900", "/?tok=1&x=token", "/tokens/a", "/%zz?%=%"]
        {
            assert!(matches!(redact(target), Cow::Borrowed(same) if same == target), "{target}");
        }
    }
}
