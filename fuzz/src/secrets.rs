//! Secrets planted in request targets: none comes out, in any place, by any name, in any encoding.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use websockify::http::path::{SHOWN_MAX, redact};

use super::work;

/// What is logged of a target never has the secret that was planted in it. The first four bytes say which secret,
/// where, in how many encodings and of which kind; what follows stands before, as the parameter's name, and behind,
/// divided by zeros.
pub fn secrets(data: &[u8]) {
    let [secret, place, depth, kind, rest @ ..] = data else { return };
    let mut texts = rest.splitn(3, |&byte| byte == 0).map(graphic);
    let [before, name, behind] = [(); 3].map(|()| texts.next().unwrap_or_default());
    let secret = SECRETS[usize::from(*secret) % SECRETS.len()];
    let place = usize::from(*place) % (PLACES.len() + SHAPES.len());
    let form = PLACES.get(place).unwrap_or_else(|| &SHAPES[place - PLACES.len()]);
    if place >= PLACES.len() && secret == THOUGHT {
        return;
    }
    // What stands around it may be the same by chance, and is no secret there.
    if [&before, &name, &behind].into_iter().any(|text| holds(text, secret)) {
        return;
    }
    let depth = usize::from(*depth) % 4;
    let mut planted = secret.to_owned();
    for _ in 0..depth {
        planted = encode(&planted, *kind);
    }
    // A name that ends in a percent sign and what follows would be another secret.
    let target = form.replace("NAME", &name).replace("SECRET", &planted);
    let target =
        format!("/{before}{target}{}", if behind.is_empty() { behind } else { format!("&{behind}") });
    let shown = work::bounded("redact", target.len(), || redact(&target));
    assert!(
        shown.len() <= SHOWN_MAX + 32 && shown.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
    );
    assert!(!holds(&shown, secret), "{target} is shown as {shown}");
}

/// Whether a secret is in a text, in any of the encodings that are undone here.
fn holds(text: &str, secret: &str) -> bool {
    let forms = [secret.to_owned(), STANDARD.encode(secret), URL_SAFE_NO_PAD.encode(secret)];
    let mut seen = text.to_owned();
    (0..6).any(|_| {
        let found = forms.iter().any(|form| seen.contains(form));
        seen = decode(&seen);
        found
    })
}

/// Text as it may stand in a target.
fn graphic(bytes: &[u8]) -> String {
    let graphic = bytes.iter().filter(|byte| byte.is_ascii_graphic());
    graphic.map(|&byte| char::from(byte)).take(2000).collect()
}

/// The text in percent encoding: all of it, or what must be, in either case.
fn encode(text: &str, kind: u8) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match (kind % 4, byte) {
            (0, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_') => out.push(char::from(byte)),
            (3, byte) => out.push_str(&format!("%{byte:02x}")),
            (_, byte) => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The text without one level of percent encoding.
fn decode(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let digits = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.filter(|_| *first == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &tail[2..];
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// One that looks random, one that is signed, a UUID, and one that somebody has thought of.
const SECRETS: [&str; 4] = [
    "S3cr3tV4lu3xQ7zKp2Lm",
    "eyJhbGciOiJIUzI1NiJ9.eyJob3N0IjoiYSJ9.c2lnbmVkIGJ5IG1l",
    "0f8fad5b-d9cb-469f-a165-70867728950e",
    THOUGHT,
];

const THOUGHT: &str = "correct_horse!";

/// Where consoles put theirs. What somebody has thought of is known by its place alone.
const PLACES: [&str; 10] = [
    "?NAME=SECRET",
    "?a=b&NAME=SECRET",
    "#NAME=SECRET",
    "/token/SECRET",
    "/ws/ticket/SECRET",
    "/x?path=websockify%3Ftoken%3DSECRET",
    "/x?path=wss%3A%2F%2Fuser%3ASECRET%40host%2F",
    "/x?{\"NAME\":\"SECRET\"}",
    "/session/SECRET/",
    "?NAME[]=SECRET",
];

/// Where a secret is known by its shape alone, so not one that somebody has thought of.
const SHAPES: [&str; 4] = ["/SECRET", "/x/SECRET/y", "/SECRET?host=a", "/vnc.html/SECRET"];
