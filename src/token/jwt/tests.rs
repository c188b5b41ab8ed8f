use super::*;

use std::fs;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, KeyPair as _, RsaKeyPair};
use aws_lc_rs::{aead, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::log::Log;
use crate::source::scratch::Scratch;
use crate::target::Target;
use crate::token::Remote;

const CLAIMS: &str = r#"{"host":"desktop","port":5900}"#;

/// 64 bytes, which is enough for each hash.
const SECRET: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0-Pw";

/// 32 of its bytes.
const SECRET_32: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn hashed(hash: hmac::Algorithm, secret: &[u8], header: &str, payload: &str) -> String {
    let signed = format!("{}.{}", encode(header), encode(payload));
    let signature = hmac::sign(&hmac::Key::new(hash, secret), signed.as_bytes());
    format!("{signed}.{}", encode(signature))
}

/// Signed with HS256 and a secret of this text, whatever the header says.
fn hs256(secret: &str, header: &str, payload: &str) -> String {
    hashed(hmac::HMAC_SHA256, &URL_SAFE_NO_PAD.decode(secret).expect("base64url"), header, payload)
}

/// Encrypted with the secret itself.
fn direct(secret: &str, header: &str, content: &[u8]) -> String {
    let key = URL_SAFE_NO_PAD.decode(secret).expect("base64url");
    let key = aead::LessSafeKey::new(aead::UnboundKey::new(&aead::AES_256_GCM, &key).expect("a key"));
    let (header, mut content) = (encode(header), content.to_vec());
    let nonce = aead::Nonce::assume_unique_for_key([7; 12]);
    let tag = key.seal_in_place_separate_tag(nonce, aead::Aad::from(header.as_bytes()), &mut content);
    format!("{header}..{}.{}.{}", encode([7; 12]), encode(&content), encode(tag.expect("sealed")))
}

fn pem(label: &str, der: &[u8]) -> String {
    ::pem::encode(&::pem::Pem::new(label, der))
}

fn key(file: &str) -> Key {
    match Key::parse(file.as_bytes()) {
        Ok(key) => key,
        Err(why) => panic!("{why}: {file}"),
    }
}

fn lands(token: &str, key: &Key) -> Result<String, String> {
    read(token, key, SystemTime::now()).map(|claims| claims.target.to_string())
}

/// RFC 7515, appendix A.1: a token that other people made, long expired.
#[test]
fn the_example_of_the_rfc_is_signed_by_its_key() {
    let key = key("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow");
    let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6\
                 Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    assert_eq!(lands(token, &key), Err("it has expired".into()));
    let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_300_819_379);
    assert_eq!(read(token, &key, at), Err("its host and port are not a target".into()));
    let not_signed = Err("its signature is not one of the key's".into());
    assert_eq!(lands(&token.replace("dBjft", "dBjfu"), &key), not_signed);
}

#[test]
fn a_secret_signs_by_the_hashes_that_are_not_longer_than_it() {
    let bytes: Vec<u8> = (0..64).collect();
    let hashes = [("HS256", hmac::HMAC_SHA256), ("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)];
    for len in [31, 32, 47, 48, 63, 64] {
        let key = key(&encode(&bytes[..len]));
        for (alg, hash) in hashes {
            let token = hashed(hash, &bytes[..len], &format!(r#"{{"alg":"{alg}"}}"#), CLAIMS);
            let expected = match len >= hash.tag_len() {
                true => Ok("desktop:5900".to_owned()),
                false if len < 32 => Err(Key::SHORT.to_owned()),
                false => Err(format!("the secret is shorter than the hash of {alg}")),
            };
            assert_eq!(lands(&token, &key), expected, "{alg} and {len} bytes");
            // A signature by another hash than the one that is named.
            for (other, _) in hashes.iter().filter(|(other, _)| *other != alg) {
                let token = hashed(hash, &bytes[..len], &format!(r#"{{"alg":"{other}"}}"#), CLAIMS);
                assert!(lands(&token, &key).is_err(), "{alg} for {other}");
            }
        }
    }
}

#[test]
fn what_the_header_asks_for_is_never_more_than_the_key_allows() {
    let secret = key(SECRET);
    let good = hs256(SECRET, r#"{"alg":"HS256"}"#, CLAIMS);
    assert!(lands(&good, &secret).is_ok());
    // What is not known is ignored, and so are keys that a token brings along.
    for header in [
        r#"{"alg":"HS256","typ":"JWT","cty":"x","kid":"../../etc/passwd"}"#,
        r#"{"alg":"HS256","jwk":{"kty":"oct","k":"AAAA"},"jku":"http://127.0.0.1:1/","x5u":"http://127.0.0.1:1/"}"#,
        r#"{"alg":"none","alg":"HS256"}"#,
    ] {
        assert!(lands(&hs256(SECRET, header, CLAIMS), &secret).is_ok(), "{header}");
    }
    let own = r#"{"alg":"HS256","jwk":{"kty":"oct","k":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"}}"#;
    assert!(lands(&hs256(SECRET_32, own, CLAIMS), &secret).is_err(), "signed with the key that it brings");
    for header in [
        "{}",
        "",
        "null",
        "[]",
        r#""HS256""#,
        r#"{"alg":"HS256"}x"#,
        r#"{"alg":"none"}"#,
        r#"{"alg":"None"}"#,
        r#"{"alg":"nOnE"}"#,
        r#"{"alg":""}"#,
        r#"{"alg":"hs256"}"#,
        r#"{"alg":"HS256 "}"#,
        r#"{"alg":"HS1"}"#,
        r#"{"alg":"RS256"}"#,
        r#"{"alg":"ES256"}"#,
        r#"{"alg":"EdDSA"}"#,
        r#"{"alg":"dir","enc":"A256GCM"}"#,
        r#"{"alg":null}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"alg":"HS256","crit":[]}"#,
        r#"{"alg":"HS256","crit":["exp"],"exp":1}"#,
        r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
        r#"{"alg":"HS256","b64":true}"#,
        r#"{"alg":"HS256","alg":"none"}"#,
    ] {
        assert!(lands(&hs256(SECRET, header, CLAIMS), &secret).is_err(), "{header}");
        let unsigned = format!("{}.{}", encode(header), encode(CLAIMS));
        assert!(lands(&format!("{unsigned}."), &secret).is_err(), "{header} without a signature");
    }
}

/// There is one way to write a token, so nothing else passes for it.
#[test]
fn a_token_that_is_written_otherwise_is_refused() {
    let key = key(SECRET);
    let good = hs256(SECRET, r#"{"alg":"HS256"}"#, CLAIMS);
    let (signed, signature) = good.rsplit_once('.').expect("dots");
    // The last character of 32 bytes has two bits that mean nothing.
    let last = signature.as_bytes()[signature.len() - 1];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let at = alphabet.iter().position(|&byte| byte == last).expect("in the alphabet");
    let twin = char::from(alphabet[at + 1]);
    let short = &signature[..signature.len() - 1];
    for token in [
        format!("{good}="),
        format!("{good} "),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{good}."),
        format!(".{good}"),
        format!("{good}.."),
        format!("{good}.{signature}.{signature}"),
        format!("{signed}.{short}{twin}"),
        format!("{signed}.{short}"),
        format!("{signed}.{signature}A"),
        format!("{signed}."),
        signed.to_owned(),
        good.replace('.', ".\n"),
        good.replace('.', ""),
        String::new(),
        ".".into(),
        "..".into(),
        "....".into(),
        "\0".into(),
        good.repeat(1000),
        format!(r#"{{"payload":"{}","signatures":[]}}"#, encode(CLAIMS)),
    ] {
        assert!(lands(&token, &key).is_err(), "{token:?}");
    }
    for at in 0..good.len() {
        let mut bytes = good.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        assert!(lands(std::str::from_utf8(&bytes).expect("text"), &key).is_err(), "byte {at}");
    }
}

/// The oldest confusion: the public key, which everybody has, as the secret of an HMAC.
#[test]
fn a_public_key_is_never_a_secret() {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
    let private: Pkcs8V1Der<'_> = pair.as_der().expect("encoded");
    let spki: aws_lc_rs::encoding::PublicKeyX509Der<'_> = pair.public_key().as_der().expect("encoded");
    let files = [
        pem("PUBLIC KEY", spki.as_ref()),
        pem("RSA PUBLIC KEY", pair.public_key().as_ref()),
        pem("PRIVATE KEY", private.as_ref()),
    ];
    for file in &files {
        let key = key(file);
        let secrets = [file.as_bytes(), file.trim().as_bytes(), spki.as_ref(), pair.public_key().as_ref()];
        for secret in secrets {
            for (alg, hash) in
                [("HS256", hmac::HMAC_SHA256), ("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)]
            {
                let token = hashed(hash, secret, &format!(r#"{{"alg":"{alg}"}}"#), CLAIMS);
                assert!(lands(&token, &key).is_err(), "{alg}");
            }
        }
        let signed = format!("{}.{}", encode(r#"{"alg":"RS256"}"#), encode(CLAIMS));
        let mut signature = vec![0; pair.public_modulus_len()];
        let random = SystemRandom::new();
        pair.sign(&signature::RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).expect("signed");
        assert_eq!(lands(&format!("{signed}.{}", encode(&signature)), &key), Ok("desktop:5900".into()));
        // The same signature under another name.
        for alg in ["PS256", "RS384", "ES256", "HS256"] {
            let signed = format!("{}.{}", encode(format!(r#"{{"alg":"{alg}"}}"#)), encode(CLAIMS));
            assert!(lands(&format!("{signed}.{}", encode(&signature)), &key).is_err(), "{alg}");
        }
    }
    // A damaged PEM file is an error, not a secret.
    for file in &files {
        for damaged in [
            file.replace("-----END", "-----FIN"),
            file.replace("MI", "!!"),
            file.lines().take(4).collect::<Vec<_>>().join("\n"),
            file.replace("KEY", "CHEESE"),
        ] {
            assert!(Key::parse(damaged.as_bytes()).is_err(), "{damaged}");
        }
    }
}

#[test]
fn what_is_encrypted_has_to_be_signed() {
    let key = key(SECRET_32);
    let header = r#"{"alg":"dir","enc":"A256GCM"}"#;
    let signed = hs256(SECRET_32, r#"{"alg":"HS256"}"#, CLAIMS);
    assert_eq!(lands(&direct(SECRET_32, header, signed.as_bytes()), &key), Ok("desktop:5900".into()));
    let unsigned = |content: &[u8]| lands(&direct(SECRET_32, header, content), &key);
    assert_eq!(unsigned(CLAIMS.as_bytes()), Err(UNSIGNED.into()));
    assert_eq!(unsigned(b""), Err(UNSIGNED.into()));
    assert_eq!(unsigned(b"\xff\xfe"), Err(UNSIGNED.into()));
    let twice = direct(SECRET_32, header, signed.as_bytes());
    assert_eq!(unsigned(twice.as_bytes()), Err(UNSIGNED.into()), "encrypted twice");
    let none = format!("{}.{}.", encode(r#"{"alg":"none"}"#), encode(CLAIMS));
    assert!(unsigned(none.as_bytes()).is_err());
    let other = hs256(SECRET, r#"{"alg":"HS256"}"#, CLAIMS);
    assert_eq!(unsigned(other.as_bytes()), Err("its signature is not one of the key's".into()));
}

#[test]
fn an_encrypted_token_that_asks_for_more_than_the_key_allows_is_refused() {
    let key = key(SECRET_32);
    let signed = hs256(SECRET_32, r#"{"alg":"HS256"}"#, CLAIMS);
    for header in [
        r#"{"alg":"dir","enc":"A256GCM","zip":"DEF"}"#,
        r#"{"alg":"dir","enc":"A256GCM","zip":null}"#,
        r#"{"alg":"dir","enc":"A256GCM","crit":["exp"]}"#,
        r#"{"alg":"dir","enc":"A128GCM"}"#,
        r#"{"alg":"dir","enc":"A128CBC-HS256"}"#,
        r#"{"alg":"dir","enc":"A256CBC-HS512"}"#,
        r#"{"alg":"dir","enc":"A257GCM"}"#,
        r#"{"alg":"dir","enc":""}"#,
        r#"{"alg":"dir","enc":1}"#,
        r#"{"alg":"dir"}"#,
        r#"{"enc":"A256GCM"}"#,
        r#"{"alg":"none","enc":"A256GCM"}"#,
        r#"{"alg":"A256KW","enc":"A256GCM"}"#,
        r#"{"alg":"A128KW","enc":"A256GCM"}"#,
        r#"{"alg":"A256GCMKW","enc":"A256GCM"}"#,
        r#"{"alg":"PBES2-HS256+A128KW","enc":"A256GCM","p2s":"AAAAAAAAAAA","p2c":4000000000}"#,
        r#"{"alg":"RSA1_5","enc":"A256GCM"}"#,
        r#"{"alg":"RSA-OAEP","enc":"A256GCM"}"#,
        r#"{"alg":"ECDH-ES","enc":"A256GCM","epk":{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}}"#,
    ] {
        assert!(lands(&direct(SECRET_32, header, signed.as_bytes()), &key).is_err(), "{header}");
    }
    let good = direct(SECRET_32, r#"{"alg":"dir","enc":"A256GCM"}"#, signed.as_bytes());
    let parts: Vec<&str> = good.split('.').collect();
    let [header, _, iv, ciphertext, tag] = parts[..] else { panic!("five parts") };
    let whole = [ciphertext, tag];
    let bytes = whole.map(|part| URL_SAFE_NO_PAD.decode(part).expect("base64url")).concat();
    let cut = bytes.len() - 8;
    for token in [
        // There is no key to send.
        format!("{header}.AAAA.{iv}.{ciphertext}.{tag}"),
        format!("{header}..{}.{ciphertext}.{tag}", encode([7; 16])),
        format!("{header}..{}.{ciphertext}.{tag}", encode([7; 11])),
        format!("{header}...{ciphertext}.{tag}"),
        format!("{header}..{iv}.{ciphertext}."),
        format!("{header}..{iv}..{tag}"),
        // Half of the tag moved over.
        format!("{header}..{iv}.{}.{}", encode(&bytes[..cut]), encode(&bytes[cut..])),
        format!("{header}..{iv}.{}.", encode(&bytes)),
        format!("{header}..{iv}.{ciphertext}.{tag}."),
        format!("{header}..{iv}.{ciphertext}"),
    ] {
        assert!(lands(&token, &key).is_err(), "{token}");
    }
}

#[test]
fn a_secret_is_taken_in_the_ways_that_people_write_it() {
    let token = hashed(hmac::HMAC_SHA256, &[0xfb; 32], r#"{"alg":"HS256"}"#, CLAIMS);
    let url = encode([0xfb; 32]);
    let other = url.replace('-', "+").replace('_', "/");
    for file in [
        url.clone(),
        format!("{url}\n"),
        format!("{url}\r\n"),
        format!(" {url} \n\n"),
        format!("{url}="),
        format!("{other}=\n"),
    ] {
        assert_eq!(lands(&token, &key(&file)), Ok("desktop:5900".into()), "{file:?}");
    }
    for file in ["", "\n", "not base64url!", "-----BEGIN \n", "two lines\nof text", "{\"k\":\"AAAA\"}", "é"]
    {
        assert!(Key::parse(file.as_bytes()).is_err(), "{file:?}");
    }
    assert!(Key::parse(b"\xff\xfe\x00").is_err());
}

fn plugin(scratch: &Scratch, text: Option<&str>) -> (Box<dyn TokenPlugin>, Arc<Log>) {
    let log = Arc::new(Log::in_memory(false));
    let source = Source {
        text: text.map(Into::into),
        directory: scratch.dir().into(),
        web: None,
        log: Arc::clone(&log),
        remote: Remote::default(),
        python: None,
    };
    (open(&source).expect("it starts whatever the key is"), log)
}

#[test]
fn a_key_that_changes_counts_at_once_and_one_that_is_gone_is_broken() {
    let scratch = Scratch::new();
    let target = Target::Tcp { host: "desktop".into(), port: 5900 };
    let (one, two) =
        (hs256(SECRET, r#"{"alg":"HS256"}"#, CLAIMS), hs256(SECRET_32, r#"{"alg":"HS256"}"#, CLAIMS));
    scratch.file("key", SECRET);
    let (plugin, log) = plugin(&scratch, Some("key"));
    assert_eq!(log.take_lines(), "");
    assert_eq!(plugin.files(), [scratch.path("key")]);
    for _ in 0..3 {
        assert_eq!(plugin.look_up(&one), Answer::to(target.clone()));
        assert!(matches!(plugin.look_up(&two), Answer::Invalid(_)));
    }
    scratch.file("key", format!("{SECRET_32}\n"));
    assert_eq!(plugin.look_up(&two), Answer::to(target.clone()));
    assert!(matches!(plugin.look_up(&one), Answer::Invalid(_)));
    scratch.file("key", "-----BEGIN PUBLIC KEY-----\n");
    assert!(matches!(plugin.look_up(&two), Answer::Broken(_)));
    fs::remove_file(scratch.path("key")).unwrap();
    let Answer::Broken(why) = plugin.look_up(&two) else { panic!("a key that is gone") };
    assert!(why.ends_with("key: not found"), "{why}");
    scratch.file("key", SECRET_32);
    assert_eq!(plugin.look_up(&two), Answer::to(target));
}

#[test]
fn without_a_key_every_token_is_refused_and_the_operator_is_told_at_the_start() {
    let scratch = Scratch::new();
    let token = hs256(SECRET, r#"{"alg":"HS256"}"#, CLAIMS);
    for text in [None, Some("")] {
        let (plugin, log) = plugin(&scratch, text);
        assert!(log.take_lines().contains("JWTTokenApi has no --token-source"));
        assert_eq!(plugin.look_up(&token), Answer::Invalid(NO_SOURCE.into()));
        assert!(plugin.files().is_empty());
    }
    let (plugin_of_nothing, log) = plugin(&scratch, Some("absent"));
    assert!(log.take_lines().contains("absent: not found"));
    assert!(matches!(plugin_of_nothing.look_up(&token), Answer::Broken(_)));
    scratch.file("short", "AAAA");
    let (plugin, log) = plugin(&scratch, Some("short"));
    assert!(log.take_lines().contains(Key::SHORT));
    assert!(matches!(plugin.look_up(&token), Answer::Invalid(_)));
}

#[test]
fn when_a_token_expires_is_kept() {
    let scratch = Scratch::new();
    scratch.file("key", SECRET);
    let (plugin, _) = plugin(&scratch, Some("key"));
    let payload = r#"{"host":"desktop","port":5900,"exp":4102444800}"#;
    let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(4_102_444_800);
    let target = Target::Tcp { host: "desktop".into(), port: 5900 };
    assert_eq!(
        plugin.look_up(&hs256(SECRET, r#"{"alg":"HS256"}"#, payload)),
        Answer::Found(target, Terms { expires: Some(at), header: None })
    );
}

/// What goes to the log has no part of the token in it.
#[test]
fn errors_say_nothing_of_the_token() {
    let key = key(SECRET);
    for header in [
        r#"{"alg":"MARKER"}"#,
        r#"{"alg":"HS256","crit":["MARKER"]}"#,
        r#"{"alg":"dir","enc":"MARKER"}"#,
        r#"{"MARKER":1}"#,
        r#"MARKER"#,
    ] {
        for payload in [r#"{"host":"MARKER","port":"MARKER"}"#, "MARKER", r#"{"exp":"MARKER"}"#] {
            for token in [hs256(SECRET, header, payload), format!("{}....", encode(header)), "MARKER".into()]
            {
                let error = lands(&token, &key).expect_err("refused");
                assert!(!error.contains("MARKER"), "{error}");
            }
        }
    }
}
