//! Signed and encrypted tokens.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use aws_lc_rs::{aead, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use websockify::token::JwtReader;

/// Whatever a token is, it is refused, unless it was signed with the key; and what is signed leads somewhere only if
/// its header names that algorithm and its claims name a target.
///
/// The first byte says which key, and whether the rest is a token as it stands or a header and a payload with a line
/// feed between, which are signed here.
pub fn jws(data: &[u8]) {
    let [mode, rest @ ..] = data else { return };
    if mode & 8 == 0 {
        refused(*mode, rest);
        return;
    }
    let (header, payload) = split(rest);
    let signed = [header, payload].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
    let token = sign(&signed);
    let read = SECRET.read(&token, time());
    for key in KEYS.iter() {
        assert!(key.read(&token, time()).is_err(), "signed with another key");
    }
    if read.is_ok() {
        assert!(contains(header, b"HS256") || header.contains(&b'\\'), "by the algorithm that was used");
        for name in [&b"host"[..], b"port"] {
            assert!(contains(payload, name) || payload.contains(&b'\\'));
        }
        assert!(SECRET.read(&format!("{signed}."), time()).is_err(), "without its signature");
        assert!(SECRET.read(&format!("{token}A"), time()).is_err(), "longer");
        assert!(SECRET.read(&token[..token.len() - 1], time()).is_err(), "shorter");
    }
}

/// The same of tokens that are encrypted: nothing that is not signed within leads anywhere, even if it decrypts.
pub fn jwe(data: &[u8]) {
    let [mode, rest @ ..] = data else { return };
    if mode & 8 == 0 {
        let _ = SECRET.decrypt(&String::from_utf8_lossy(rest));
        refused(*mode, rest);
        return;
    }
    let (header, content) = split(rest);
    // What is inside is signed if the mode says so.
    let content = match mode & 16 {
        0 => content.to_vec(),
        _ => sign(&[br#"{"alg":"HS256"}"#, content].map(|part| URL_SAFE_NO_PAD.encode(part)).join("."))
            .into_bytes(),
    };
    let token = seal(header, &content);
    if let Ok(opened) = SECRET.decrypt(&token) {
        assert_eq!(opened, content);
        assert!(contains(header, b"A256GCM") || header.contains(&b'\\'));
    }
    let read = SECRET.read(&token, time());
    assert!(read.is_err() || mode & 16 != 0 || content.iter().filter(|&&byte| byte == b'.').count() == 2);
    for key in KEYS.iter() {
        assert!(key.read(&token, time()).is_err(), "for another key");
    }
}

fn refused(mode: u8, token: &[u8]) {
    let token = String::from_utf8_lossy(token);
    let key = KEYS.get(usize::from(mode & 7)).unwrap_or(&SECRET);
    assert!(key.read(&token, time()).is_err(), "nobody has signed it: {token}");
}

fn split(data: &[u8]) -> (&[u8], &[u8]) {
    let at = data.iter().position(|&byte| byte == b'\n').unwrap_or(data.len());
    (&data[..at], data.get(at + 1..).unwrap_or_default())
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn sign(signed: &str) -> String {
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &KEY), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Encrypts by `dir` and `A256GCM`, whatever the header says.
fn seal(header: &[u8], content: &[u8]) -> String {
    let header = URL_SAFE_NO_PAD.encode(header);
    let key = aead::UnboundKey::new(&aead::AES_256_GCM, &KEY).expect("a key");
    let mut sealed = content.to_vec();
    let nonce = aead::Nonce::assume_unique_for_key([1; 12]);
    let tag = aead::LessSafeKey::new(key)
        .seal_in_place_separate_tag(nonce, aead::Aad::from(header.as_bytes()), &mut sealed)
        .expect("it is short enough");
    let [iv, sealed, tag] = [&[1; 12][..], &sealed, tag.as_ref()].map(|part| URL_SAFE_NO_PAD.encode(part));
    format!("{header}..{iv}.{sealed}.{tag}")
}

fn time() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

const KEY: [u8; 32] = *b"a secret of the fuzz targets, 32";

static SECRET: LazyLock<JwtReader> =
    LazyLock::new(|| JwtReader::new(URL_SAFE_NO_PAD.encode(KEY).as_bytes()).expect("a secret"));

/// Keys with which nothing was signed: of each kind one, made for this and used for nothing else.
static KEYS: LazyLock<Vec<JwtReader>> = LazyLock::new(|| {
    let files: [&[u8]; 5] = [
        include_bytes!("jwt/rsa.pem"),
        include_bytes!("jwt/p256.pem"),
        include_bytes!("jwt/p521.pem"),
        include_bytes!("jwt/ed25519.pem"),
        include_bytes!("jwt/secret"),
    ];
    files.iter().map(|file| JwtReader::new(file).expect("a key")).collect()
});
