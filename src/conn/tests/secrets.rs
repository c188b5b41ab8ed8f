//! What a log line may be, whatever a client sends: one line, printable, bounded, and without a secret that was
//! planted in any of the places that consoles have for them, in any encoding.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::*;
use crate::printable::is_shown;

/// Numbers, so that a failure can be repeated from its seed (Knuth's linear generator).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    fn one_of<T: Copy>(&mut self, things: &[T]) -> T {
        things[self.below(things.len())]
    }
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// `text` with the signs that separate parts of a URL encoded.
fn component(text: &str) -> String {
    let encode = |c: char| if c.is_ascii_alphanumeric() { c.to_string() } else { percent(&c.to_string()) };
    text.chars().map(encode).collect()
}

/// The forms in which the secret could be written.
fn forms(secret: &str) -> Vec<String> {
    vec![
        secret.to_owned(),
        component(secret),
        percent(secret),
        percent(secret).to_lowercase(),
        component(&percent(secret)),
        secret.bytes().map(|byte| format!("{byte:02x}")).collect(),
        STANDARD.encode(secret).trim_end_matches('=').to_owned(),
        URL_SAFE_NO_PAD.encode(secret),
    ]
}

/// Names of parameters that consoles use, and others.
const NAMES: &[&str] = &[
    "token",
    "ticket",
    "vncticket",
    "session",
    "session_id",
    "sid",
    "code",
    "otp",
    "bearer",
    "passcode",
    "key[]",
    "k",
    "path",
    "x.y",
    "host",
    "resize",
    "autoconnect",
    "%74oken",
    "to+ken",
    "a%3Db%26token",
    "{\"token\"",
    "",
];

/// Settings and other things that stand around it.
const AROUND: &[&str] = &["autoconnect=true", "resize=scale", "a=b", "", "%=", "host=vm1", "x", "%zz=%", "="];

fn target(random: &mut Random, written: &str) -> String {
    let name = random.one_of(NAMES);
    let (before, behind) = (random.one_of(AROUND), random.one_of(AROUND));
    let directory = random.one_of(&["/", "/websockify", "/a/b.html", "/%2561/", "//", "/\u{202e}x"]);
    let plain = match random.below(9) {
        0 | 1 => return format!("{directory}?{before}&{name}={written}&{behind}"),
        2 => return format!("{directory}?{before}&{written}#{behind}"),
        3 => {
            let inner = format!("websockify?{before}&{name}={written}");
            let encoded = (0..random.below(6)).fold(inner, |text, _| component(&text));
            return format!("{directory}?path={encoded}&{behind}");
        }
        4 => return format!("{directory}?{before}#{name}={written}"),
        5 => format!("token/{written}/{behind}"),
        6 => format!("ws/ticket/{written}"),
        7 => format!("https://user:{written}@host/x"),
        _ => format!("{}={written}", random.one_of(&["token", "a", ";jsessionid", "{\"x\":1,\"token\""])),
    };
    let encoded = (0..random.below(5)).fold(plain, |text, _| component(&text));
    format!("{}/{encoded}?{behind}", directory.trim_end_matches('/'))
}

fn request(random: &mut Random, written: &str) -> String {
    let target = target(random, written);
    let method = random.one_of(&["GET", "GET", "GET", "HEAD", "POST", "tOk-"]);
    let method = if method == "tOk-" { component(written).replace('%', "-") } else { method.to_owned() };
    let upgrade =
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let upgrade = random.one_of(&[upgrade, upgrade, "", "Upgrade: websocket\r\n"]);
    let version = random.one_of(&["Sec-WebSocket-Version: 13\r\n", "", "Sec-WebSocket-Version: 99\r\n"]);
    let more = [
        String::new(),
        format!(
            "Origin: http://{written}@a\r\nCookie: a={written}\r\nReferer: http://a/?token={written}\r\n"
        ),
        format!("Authorization: Bearer {written}\r\nSec-WebSocket-Protocol: {written}\r\n"),
        format!("Sec-WebSocket-Key: {written}\r\nTransfer-Encoding: {written}\r\nExpect: {written}\r\n"),
        format!("{written}\r\n"),
        format!("Host: {written}\r\n"),
    ];
    let more = &more[random.below(more.len())];
    let http = random.one_of(&["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/9"]);
    format!("{method} {target} {http}\r\nHost: a\r\n{upgrade}{version}{more}\r\n")
}

#[test]
fn a_log_line_is_one_printable_bounded_line_without_a_planted_secret() {
    let web = std::env::temp_dir();
    for seed in 0..1500 {
        let mut random = Random(seed);
        let secret: String = (0..12 + random.below(300))
            .map(|at| {
                random.one_of(if at % 5 == 4 { b"-._~!$()*,+/@:" } else { b"aBcD3fGh1jKmNoPqR5tUvWxYz" })
            })
            .map(char::from)
            .collect();
        let forms = forms(&secret);
        let written = &forms[random.below(forms.len())];
        let request = request(&mut random, written);
        let web = (random.below(2) == 0).then(|| web.clone());
        let mut session = Session::accepted(SMOOTH, &Setup { web, ..Setup::default() });
        session.client_sends(request.as_bytes());
        session.run();
        let log = session.rig.take_log();
        assert!(log.is_empty() || log.ends_with('\n'));
        for line in log.lines() {
            assert!(line.chars().all(is_shown), "seed {seed}: {line:?}");
            assert!(line.len() <= LINE_MAX, "seed {seed}: {line}");
            let told = forms.iter().find(|form| line.contains(&form[..12]));
            assert_eq!(told, None, "seed {seed}: {line}\n{request}");
        }
    }
}

/// A request line of 256 bytes, each of which may be shown as a code, and what stands before and after it.
const LINE_MAX: usize = 1024;
