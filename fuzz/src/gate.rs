//! What must hold for files of tokens, passwords and rules, and for what clients show: queries, Authorization,
//! cookies and origins.

use std::net::SocketAddr;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use websockify::auth::count_users;
use websockify::http::credentials::{basic, cookies};
use websockify::http::origin::{Origin, is_same_host};
use websockify::http::path::redact;
use websockify::http::query;
use websockify::rules::{Rule, Rules};
use websockify::target::{Colons, Target};
use websockify::token::count_tokens;

/// No line spoils another one, what is a target can be dialled and is read alike again, and no rule lets through
/// what it denies.
pub fn token_files(data: &[u8]) {
    let (tokens, bad, lines) = count_tokens(data);
    assert!(tokens + bad <= lines && lines <= data.len() + 1);
    let (users, bad_users) = count_users(data);
    assert!(users + bad_users <= lines + 1);
    if let Some(at) = data.iter().position(|&byte| byte == b'\n') {
        let (first, rest) = (count_tokens(&data[..=at]), count_tokens(&data[at + 1..]));
        assert_eq!((bad, lines), (first.1 + rest.1, first.2 + rest.2), "a line has spoilt another");
        assert!(tokens <= first.0 + rest.0);
        assert_eq!(bad_users, count_users(&data[..=at]).1 + count_users(&data[at + 1..]).1);
    }
    for line in String::from_utf8_lossy(data).lines() {
        target(line);
        if let Some((_, text)) = line.split_once(": ") {
            target(text);
        }
        rule(line);
    }
}

fn target(text: &str) {
    let Some(found) = Target::parse(text, Colons::Last) else {
        assert_eq!(Target::parse(text, Colons::One), None, "{text}");
        return;
    };
    match &found {
        Target::Tcp { host, port } => {
            assert!(*port > 0 && !host.is_empty() && !host.contains(|char: char| char.is_control()));
            assert_eq!(Target::parse(&found.to_string(), Colons::Last).as_ref(), Some(&found));
            assert_eq!(Target::tcp(host, &port.to_string()).as_ref(), Some(&found));
        }
        Target::Unix(path) => assert!(!path.as_os_str().is_empty()),
    }
    if let Some(strict) = Target::parse(text, Colons::One) {
        assert_eq!(strict, found);
    }
}

fn rule(text: &str) {
    let Ok(rule) = Rule::parse(text) else { return };
    let deny = Rules::new(Vec::new(), vec![rule.clone()]);
    let allow = Rules::new(vec![rule.clone()], Vec::new());
    let both = Rules::new(vec![rule.clone()], vec![rule]);
    for address in
        ["10.1.2.3:5900", "169.254.169.254:80", "[::1]:22", "[fd00::1]:1", "[::ffff:10.1.2.3]:5900"]
    {
        let address: SocketAddr = address.parse().expect("an address");
        for host in ["host", "a.example.org", "10.1.2.3"] {
            let check = |rules: &Rules| rules.check_address(host, address, false).is_ok();
            assert!(!check(&both), "allowed and denied is denied: {text}");
            // What the rule denies is what it allows, but for what is denied to all.
            if check(&allow) {
                assert!(!check(&deny), "{text} {host} {address}");
            }
        }
    }
    for path in ["/run/vms/a", "/run/../x", "run/x"] {
        let _ =
            (deny.check_unix(Path::new(path), false, true), allow.check_unix(Path::new(path), true, false));
    }
}

/// A token is found once and stays hidden in logs; credentials, cookies and origins are read alike again. The input
/// is a request's target, Authorization, Cookie, Origin and Host, a line each.
pub fn credentials(data: &[u8]) {
    let mut lines = data.split(|&byte| byte == b'\n');
    let mut next = || lines.next().unwrap_or_default();
    let (target, authorization, cookie, origin, host) = (next(), next(), next(), next(), next());
    let target = String::from_utf8_lossy(target);
    query_string(&target);
    if let Some(name) = query::host_token(host) {
        assert!(!name.is_empty());
    }
    if let Ok(given) = basic(authorization) {
        assert!(!given.user.contains(':'));
        let text = [given.user.as_bytes(), b":", given.password.reveal()].concat();
        let again = basic(format!("bAsIc {}", STANDARD.encode(text)).as_bytes());
        assert_eq!(again.as_ref(), Ok(&given));
        assert!(!format!("{given:?}").contains("Secret("), "a password is not printed");
    }
    for value in cookies(cookie, "a") {
        assert!(!value.contains(&b';'));
    }
    let header = [b"b=1; ", cookie, b"; a=planted"].concat();
    assert_eq!(cookies(&header, "a").last(), Some(&b"planted"[..]));
    let (origin, host) = (String::from_utf8_lossy(origin), String::from_utf8_lossy(host));
    assert_eq!(Origin::of(&origin), Origin::of(&origin));
    if is_same_host(&origin, &host) && !host.contains('/') {
        let (scheme, _) = origin.split_once("://").expect("it has a host");
        assert_eq!(Origin::of(&format!("{scheme}://{host}")), Origin::of(&origin));
    }
}

fn query_string(target: &str) {
    let found = query::token(target);
    assert!(found.as_ref().is_none_or(|token| !token.ends_with('\n')));
    // The planted secret must be in no other place.
    if target.contains(['#', '\n']) || target.contains("pl4ntedS3cret") {
        return;
    }
    let mark = if target.contains('?') { '&' } else { '?' };
    let planted = format!("{target}{mark}token=pl4ntedS3cret");
    let expected = found.unwrap_or_else(|| "pl4ntedS3cret".to_owned());
    assert_eq!(query::token(&planted), Some(expected));
    assert!(!redact(&planted).contains("pl4ntedS3cret"), "{}", redact(&planted));
}
