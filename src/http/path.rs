//! Request targets in logs: the shape stays, the secrets go.
//!
//! A token or a password in a URL opens a machine, and many people read logs. No list of names can say where
//! one is, since each console has its own; so only what can't be one is shown: names, the settings of noVNC's
//! page, and path segments that neither look like a secret nor are where one is expected. The output is
//! bounded, and so is the work: nothing beyond the bound is examined.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::resource;

/// A request target as it may be logged: at most [`SHOWN_MAX`] bytes of it, and how long it is where that is more.
///
/// `***` stands for the value of each parameter that is not a setting of noVNC's page (`path` is none); for names
/// that are no plain words; and in the path for what looks random or like a signed token, follows a segment
/// such as `token` or `ticket`, or could be the user of a URL, in any encoding.
pub fn redact(target: &str) -> String {
    let mut out = Shown { text: String::with_capacity(SHOWN_MAX.min(target.len()) + 8), is_full: false };
    let query_at = memchr::memchr2(b'?', b'#', target.as_bytes()).unwrap_or(target.len());
    let (path, mut rest) = target.split_at(query_at);
    redact_path(path, &mut out);
    while !rest.is_empty() && !out.is_full {
        let (separator, behind) = rest.split_at(1);
        out.push(separator);
        let end = memchr::memchr(b'&', behind.as_bytes()).unwrap_or(behind.len());
        redact_parameter(&behind[..end], &mut out);
        rest = &behind[end..];
    }
    out.finish(target.len())
}

/// A request target as it is, for those who want to see secrets; cut like the other, but later.
pub fn unredacted(target: &str) -> String {
    let shown = prefix(target, SECRETS_SHOWN_MAX);
    let out = Shown { text: shown.to_owned(), is_full: shown.len() < target.len() };
    out.finish(target.len())
}

/// A method as it may be logged: a word in capitals, as all methods in use are.
pub fn redact_method(method: &str) -> &str {
    let is_word = method.len() <= METHOD_MAX && method.bytes().all(|byte| byte.is_ascii_uppercase());
    if is_word { method } else { MASK }
}

/// A name from a header as it may be logged.
pub fn redact_word(name: &[u8]) -> &str {
    let word = std::str::from_utf8(name).unwrap_or_default();
    // Many protocol names contain a number; secrets contain more than one.
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let is_name = word.len() <= WORD_MAX
        && word.bytes().any(|byte| byte.is_ascii_alphabetic())
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    if is_name && digits <= 3 && !word.contains("eyJ") && !is_random(word) { word } else { MASK }
}

/// What a client calls itself (`User-Agent`) as it may be logged: names of products, their versions and remarks.
/// `***` stands for what looks random or like a signed token, for what follows a word such as `token` or `bearer`, and
/// for what could be the user of a URL.
pub fn redact_agent(agent: &str) -> String {
    let mut shown = String::with_capacity(agent.len());
    let mut behind_place = false;
    for (word, separator) in pieces(agent, is_between_words) {
        if word.contains('@') || is_random(word) {
            shown.push_str(MASK);
            behind_place = false;
        } else {
            redact_parts(word, &mut behind_place, &mut shown);
        }
        shown.push_str(separator);
    }
    shown
}

/// Appends a word of an agent, part by part; `behind_place` if the part before it was a word such as `token`.
fn redact_parts(word: &str, behind_place: &mut bool, shown: &mut String) {
    for (part, separator) in pieces(word, is_within_words) {
        if !part.is_empty() {
            let judged = judge(part);
            let is_secret = *behind_place || matches!(judged, Segment::Secret | Segment::Odd);
            shown.push_str(if is_secret { MASK } else { part });
            let is_scheme = SCHEMES.iter().any(|scheme| part.eq_ignore_ascii_case(scheme));
            *behind_place = is_scheme || matches!(judged, Segment::Place);
        }
        shown.push_str(separator);
    }
}

/// The pieces of a text, each with the separators behind it.
fn pieces(text: &str, is_separator: fn(char) -> bool) -> impl Iterator<Item = (&str, &str)> {
    let split = move |piece: &str| piece.trim_end_matches(is_separator).len();
    text.split_inclusive(is_separator).map(move |piece| piece.split_at(split(piece)))
}

fn is_between_words(c: char) -> bool {
    c.is_whitespace() || matches!(c, '(' | ')' | ';' | ',')
}

fn is_within_words(c: char) -> bool {
    "/:=&?#{}\"".contains(c)
}

/// What is shown of a target.
struct Shown {
    text: String,
    is_full: bool,
}

impl Shown {
    fn push(&mut self, text: &str) {
        let shown = prefix(text, SHOWN_MAX - self.text.len());
        self.text.push_str(shown);
        self.is_full |= shown.len() < text.len();
    }

    /// The text, followed by the length of the target if something was cut off.
    fn finish(mut self, length: usize) -> String {
        if self.is_full {
            // Writing to a String can't fail.
            let _ = write!(self.text, "... ({length} bytes)");
        }
        self.text
    }
}

/// What begins `text`, of at most this many bytes.
fn prefix(text: &str, bytes_max: usize) -> &str {
    let end = (0..=bytes_max.min(text.len())).rfind(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}

/// One parameter of a query, `name=value`.
fn redact_parameter(piece: &str, out: &mut Shown) {
    let Some((name, value)) = piece.split_once('=') else {
        return out.push(if piece.is_empty() || SETTINGS.contains(&piece) { piece } else { MASK });
    };
    if SETTINGS.contains(&name) && is_plain_value(name, value) {
        return out.push(piece);
    }
    // A text that ends in padding characters is base64 and not a name.
    if is_word(name) && value.bytes().any(|byte| byte != b'=') {
        out.push(name);
        out.push("=");
    }
    out.push(MASK);
}

/// The path, a segment at a time.
fn redact_path(path: &str, out: &mut Shown) {
    let mut behind_place = false;
    let mut start = 0;
    while start <= path.len() && !out.is_full {
        let end = memchr::memchr(b'/', &path.as_bytes()[start..]).map_or(path.len(), |at| start + at);
        let segment = &path[start..end];
        match judge(segment) {
            _ if segment.is_empty() => {}
            // A segment that may end in the middle of a secret hides the next ones, too.
            Segment::Odd => {
                if let Some((name, _)) = segment.split_once('=').filter(|(name, _)| is_word(name)) {
                    out.push(name);
                    out.push("=");
                }
                return out.push(MASK);
            }
            judged => {
                let hidden = behind_place || matches!(judged, Segment::Secret);
                out.push(if hidden { MASK } else { segment });
                behind_place = matches!(judged, Segment::Place);
            }
        }
        if end < path.len() {
            out.push("/");
        }
        start = end + 1;
    }
}

/// What a segment of a path is.
enum Segment {
    Plain,
    /// It says that the next one is a secret.
    Place,
    Secret,
    /// It has characters that occur in parameters or URLs, but not in file names.
    Odd,
}

fn judge(segment: &str) -> Segment {
    if segment.len() > SEGMENT_MAX {
        return Segment::Odd;
    }
    let Some(plain) = decoded(segment) else { return Segment::Odd };
    // Names of packages begin with an @; the user of a URL stands before it.
    let user_ends = plain.strip_prefix('@').unwrap_or(&plain).contains('@');
    let is_odd = |c: char| c.is_control() || "/?#=&;{}\"\\".contains(c);
    if user_ends || plain.contains(is_odd) || (plain.contains(':') && !is_host_and_port(&plain)) {
        return Segment::Odd;
    }
    if plain.contains("eyJ") || is_random(&plain) || has_secret_behind_place(plain.trim()) {
        return Segment::Secret;
    }
    if is_place(plain.trim()) { Segment::Place } else { Segment::Plain }
}

/// Whether a segment contains both a place and its secret: `Bearer x`, `ticket-12`. What follows without a
/// blank is a secret only if it has a digit, since there are files such as `session-list.js`.
fn has_secret_behind_place(segment: &str) -> bool {
    let is_blank = |c: char| c.is_whitespace() || c == '+';
    segment.match_indices(|c: char| is_blank(c) || "-_.~,".contains(c)).any(|(at, _)| {
        let (name, behind) = segment.split_at(at);
        let has_digit = || behind.bytes().any(|byte| byte.is_ascii_digit());
        let is_scheme = || SCHEMES.iter().any(|scheme| name.eq_ignore_ascii_case(scheme));
        match behind.starts_with(is_blank) {
            true => is_scheme() || is_place(name),
            false => has_digit() && is_place(name),
        }
    })
}

/// Whether a segment says that the next one is a secret, in any case.
fn is_place(name: &str) -> bool {
    let begins = |text: &[u8], part: &str| {
        text.get(..part.len()).is_some_and(|text| text.eq_ignore_ascii_case(part.as_bytes()))
    };
    let has_part = |at: usize| PLACE_PARTS.iter().any(|part| begins(&name.as_bytes()[at..], part));
    PLACES.iter().any(|place| name.eq_ignore_ascii_case(place)) || (0..name.len()).any(has_part)
}

/// `segment` with percent encoding undone, a few times over; `None` if there are more layers. Invalid UTF-8
/// becomes replacement characters: the result is only examined, never shown.
fn decoded(segment: &str) -> Option<Cow<'_, str>> {
    let mut text = Cow::Borrowed(segment);
    for _ in 0..ENCODINGS_MAX {
        if !text.contains('%') {
            return Some(text);
        }
        let once = String::from_utf8_lossy(&resource::decode(text.as_bytes())).into_owned();
        if once == text {
            return Some(text);
        }
        text = Cow::Owned(once);
    }
    None
}

/// Whether this is a name that may be shown: letters, and at most two digits at its end.
fn is_word(name: &str) -> bool {
    let letters = name.trim_end_matches("[]").trim_end_matches(|c: char| c.is_ascii_digit());
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'-' | b'.');
    name.len() <= WORD_MAX
        && !letters.is_empty()
        && letters.bytes().all(is_letter)
        && name.bytes().filter(u8::is_ascii_digit).count() <= 2
        && !is_random(name)
}

/// Whether this can be the value of one of the [`SETTINGS`], and nothing else.
fn is_plain_value(name: &str, value: &str) -> bool {
    match name {
        "host" => {
            let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
            value.len() <= 64 && value.bytes().all(is_host) && !value.contains("eyJ") && !is_random(value)
        }
        _ => value.len() <= 8 && value.bytes().all(|byte| byte.is_ascii_alphanumeric()),
    }
}

/// A host's name or address, and a port.
fn is_host_and_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty()
            && !host.contains(':')
            && (1..=5).contains(&port.len())
            && port.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Whether a name looks so random that it may be a secret: hexadecimal, base64, a UUID.
fn is_random(text: &str) -> bool {
    if text.len() < RANDOM_MIN {
        return false;
    }
    let words = text.as_bytes().split(|byte| !byte.is_ascii_alphanumeric()).map(|word| {
        let (mut digits, mut small, mut capital) = (0, 0, 0);
        for byte in word {
            digits += usize::from(byte.is_ascii_digit());
            small += usize::from(byte.is_ascii_lowercase());
            capital += usize::from(byte.is_ascii_uppercase());
        }
        let is_mixed = digits > 0 && small + capital > 0;
        let is_base64 = word.len() >= 16 && small > 0 && capital > 0;
        if is_mixed || is_base64 || digits >= 8 { word.len() } else { 0 }
    });
    words.sum::<usize>() >= RANDOM_MIN
}

/// The most bytes of a target that are shown.
pub const SHOWN_MAX: usize = 256;

/// The same for those who want to see secrets (`--log-tokens`).
pub const SECRETS_SHOWN_MAX: usize = 4096;

/// The longest method that is shown, in bytes; `UPDATEREDIRECTREF` is the longest that is registered.
const METHOD_MAX: usize = 17;

/// What stands for a secret.
const MASK: &str = "***";

/// Settings of noVNC's page, whose values are not secrets.
const SETTINGS: &[&str] = &[
    "autoconnect",
    "bell",
    "clip",
    "compression",
    "cursor",
    "encrypt",
    "host",
    "keep_device_awake",
    "logging",
    "port",
    "quality",
    "reconnect",
    "reconnect_delay",
    "resize",
    "shared",
    "show_dot",
    "view_clip",
    "view_only",
];

/// Segments that say what the next one is.
const PLACES: &[&str] = &["auth", "bearer", "code", "key", "otp", "sid", "sig", "signature"];

/// What precedes credentials in a header, and so may do in a path.
const SCHEMES: &[&str] = &["basic", "digest", "negotiate"];

/// Parts of such segments.
const PLACE_PARTS: &[&str] =
    &["token", "ticket", "secret", "passw", "session", "jwt", "apikey", "credential"];

/// How many nested encodings are undone.
const ENCODINGS_MAX: usize = 4;

/// The longest segment that is examined, in bytes. Longer ones are hidden.
const SEGMENT_MAX: usize = 128;

/// The longest name of a parameter that is shown, in bytes.
const WORD_MAX: usize = 32;

/// This many bytes of unlikely words make a name random.
const RANDOM_MIN: usize = 16;

#[cfg(test)]
mod tests;
