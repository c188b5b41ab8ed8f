//! What a lookup by JWTTokenApi costs, the look at the key's file included: signed tokens by each kind of key, and
//! encrypted ones with a signature inside.
//!
//! `cargo bench --bench jwt`, or a part: `cargo bench --bench jwt -- RS256`. The throughput is lookups a second by one
//! thread.

use std::fs;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PrivateDecryptingKey, PublicEncryptingKey,
};
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use aws_lc_rs::{aead, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use websockify::log::Log;
use websockify::token::{self, Answer, Remote, Source, Terms, TokenPlugin};

criterion_group!(benches, look_ups);
criterion_main!(benches);

const CLAIMS: &str =
    r#"{"iss":"console.example.org","host":"desktop.example.org","port":5900,"nbf":1,"exp":4102444800}"#;

const SECRET: [u8; 32] = [0x5a; 32];

fn look_ups(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("jwt");
    group.throughput(Throughput::Elements(1));
    let mut measure = |name: &str, key: &str, token: &str| {
        let path = std::env::temp_dir().join(format!("websockify-bench-{}.key", std::process::id()));
        fs::write(&path, key).expect("written");
        // Old enough to be kept.
        std::thread::sleep(Duration::from_millis(50));
        let plugin = plugin(&path);
        assert!(matches!(plugin.look_up(token), Answer::Found(_, Terms { expires: Some(_), .. })), "{name}");
        group.bench_function(name, |bencher| bencher.iter(|| plugin.look_up(black_box(token))));
        let _ = fs::remove_file(&path);
    };

    let secret = URL_SAFE_NO_PAD.encode(SECRET);
    let hs256 = signed("HS256", |text| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &SECRET), text).as_ref().to_vec()
    });
    measure("HS256", &secret, &hs256);
    measure("dir A256GCM, HS256", &secret, &sealed("dir", &[], &SECRET, &hs256));

    let random = SystemRandom::new();
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
    let pkcs8: Pkcs8V1Der<'_> = rsa.as_der().expect("encoded");
    let rsa_file = pem("PRIVATE KEY", pkcs8.as_ref());
    let rsa_signed = |alg: &str, padding: &'static dyn signature::RsaEncoding| {
        signed(alg, |text| {
            let mut signature = vec![0; rsa.public_modulus_len()];
            rsa.sign(padding, &random, text, &mut signature).expect("signed");
            signature
        })
    };
    let rs256 = rsa_signed("RS256", &signature::RSA_PKCS1_SHA256);
    measure("RS256", &rsa_file, &rs256);
    measure("PS256", &rsa_file, &rsa_signed("PS256", &signature::RSA_PSS_SHA256));
    let wrapped = {
        let public: PublicEncryptingKey =
            PrivateDecryptingKey::from_pkcs8(pkcs8.as_ref()).expect("a key").public_key();
        let public = OaepPublicEncryptingKey::new(public).expect("a key");
        let mut out = vec![0; public.ciphertext_size()];
        public.encrypt(&OAEP_SHA256_MGF1SHA256, &SECRET, &mut out, None).expect("encrypted").to_vec()
    };
    measure("RSA-OAEP-256 A256GCM, RS256", &rsa_file, &sealed("RSA-OAEP-256", &wrapped, &SECRET, &rs256));

    let ec = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
    let es256 = signed("ES256", |text| ec.sign(&random, text).expect("signed").as_ref().to_vec());
    measure("ES256", &pem("PRIVATE KEY", ec.to_pkcs8v1().expect("encoded").as_ref()), &es256);

    let ed25519 = Ed25519KeyPair::generate().expect("a key");
    let eddsa = signed("EdDSA", |text| ed25519.sign(text).as_ref().to_vec());
    // An Ed25519 key as OpenSSL writes public ones: these bytes and then the key.
    let spki = [&SPKI_ED25519[..], ed25519.public_key().as_ref()].concat();
    measure("EdDSA", &pem("PUBLIC KEY", &spki), &eddsa);
    group.finish();
}

fn plugin(key: &std::path::Path) -> Arc<dyn TokenPlugin> {
    let source = Source {
        text: Some(key.into()),
        directory: "/".into(),
        web: None,
        log: Arc::new(Log::in_memory(false)),
        remote: Remote::default(),
        python: None,
    };
    token::open(token::plugin("JWTTokenApi").expect("a plugin"), &source).expect("a plugin")
}

fn pem(label: &str, der: &[u8]) -> String {
    pem::encode(&pem::Pem::new(label, der))
}

fn signed(alg: &str, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let header = format!(r#"{{"alg":"{alg}","typ":"JWT"}}"#);
    let text = [header.as_str(), CLAIMS].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
    let signature = sign(text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Encrypts by A256GCM.
fn sealed(alg: &str, wrapped: &[u8], key: &[u8], content: &str) -> String {
    let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{alg}","enc":"A256GCM"}}"#));
    let key = aead::LessSafeKey::new(aead::UnboundKey::new(&aead::AES_256_GCM, key).expect("a key"));
    let mut bytes = content.as_bytes().to_vec();
    let nonce = aead::Nonce::assume_unique_for_key([1; 12]);
    let tag = key
        .seal_in_place_separate_tag(nonce, aead::Aad::from(header.as_bytes()), &mut bytes)
        .expect("it is short enough");
    let parts = [wrapped, &[1; 12], &bytes, tag.as_ref()].map(|part| URL_SAFE_NO_PAD.encode(part));
    format!("{header}.{}", parts.join("."))
}

const SPKI_ED25519: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
