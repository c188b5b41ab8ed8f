//! Lists as proxies make them, and as clients forge them, with the client that is to come out.

use super::*;

/// Trusted: 10.0.0.0/8, 127.0.0.1, fd00::/8.
fn is_trusted(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.octets()[0] == 10 || address.is_loopback(),
        IpAddr::V6(address) => address.octets()[0] == 0xfd,
    }
}

/// What comes out of lines that are separated by `|`; `-` for nothing.
fn found(text: &str, form: Form) -> String {
    let lines: Vec<&[u8]> = text.split('|').map(|line| line.trim().as_bytes()).collect();
    client(&lines, form, is_trusted).map_or_else(|| "-".into(), |found| found.to_string())
}

const LISTS: &[(&str, &str)] = &[
    // One proxy.
    ("203.0.113.7", "203.0.113.7:0"),
    ("2001:db8::7", "[2001:db8::7]:0"),
    ("203.0.113.7:4711", "203.0.113.7:4711"),
    ("[2001:db8::7]", "[2001:db8::7]:0"),
    ("[2001:db8::7]:4711", "[2001:db8::7]:4711"),
    ("  203.0.113.7\t", "203.0.113.7:0"),
    ("::ffff:203.0.113.7", "203.0.113.7:0"),
    ("[::ffff:203.0.113.7]:80", "203.0.113.7:80"),
    // What the client claims stands on the left.
    ("1.2.3.4, 203.0.113.7", "203.0.113.7:0"),
    ("10.0.0.5, 203.0.113.7", "203.0.113.7:0"),
    ("127.0.0.1,203.0.113.7", "203.0.113.7:0"),
    ("evil, 203.0.113.7", "203.0.113.7:0"),
    ("\", 203.0.113.7", "203.0.113.7:0"),
    ("1.2.3.4 | 203.0.113.7", "203.0.113.7:0"),
    ("203.0.113.9, 203.0.113.8, 203.0.113.7", "203.0.113.7:0"),
    // Several proxies.
    ("203.0.113.7, 10.0.0.1", "203.0.113.7:0"),
    ("203.0.113.7, 10.0.0.1, 10.0.0.2, fd00::1", "203.0.113.7:0"),
    ("1.2.3.4, 203.0.113.7, 10.0.0.1", "203.0.113.7:0"),
    ("203.0.113.7 | 10.0.0.1", "203.0.113.7:0"),
    ("203.0.113.7, 10.0.0.2 | 10.0.0.1", "203.0.113.7:0"),
    ("1.2.3.4 | 203.0.113.7 | 10.0.0.1, 10.0.0.2", "203.0.113.7:0"),
    ("203.0.113.7, ::ffff:10.0.0.1", "203.0.113.7:0"),
    ("203.0.113.7:99, 10.0.0.1:80", "203.0.113.7:99"),
    // All are trusted: the leftmost.
    ("10.0.0.1", "10.0.0.1:0"),
    ("10.0.0.3, 10.0.0.2, 10.0.0.1", "10.0.0.3:0"),
    ("127.0.0.1 | fd00::1", "127.0.0.1:0"),
    // Empty elements are none.
    ("203.0.113.7,", "203.0.113.7:0"),
    (",, 203.0.113.7 , ,, 10.0.0.1,", "203.0.113.7:0"),
    ("203.0.113.7 | ", "203.0.113.7:0"),
    ("", "-"),
    (" , ,", "-"),
    // What is not an address ends the walk with what it had.
    ("unknown", "-"),
    ("203.0.113.7, unknown", "-"),
    ("203.0.113.7, unknown, 10.0.0.1", "10.0.0.1:0"),
    ("203.0.113.7, _hidden, 10.0.0.2, 10.0.0.1", "10.0.0.2:0"),
    ("203.0.113.7, example.org", "-"),
    ("203.0.113.7 10.0.0.1", "-"),
    ("203.0.113.07", "-"),
    ("203.0.113", "-"),
    ("0x7f000001", "-"),
    ("203.0.113.7:", "-"),
    ("203.0.113.7:65536", "-"),
    ("203.0.113.7:+80", "-"),
    ("203.0.113.7:80:90", "-"),
    ("[203.0.113.7]", "-"),
    ("[2001:db8::7", "-"),
    ("[2001:db8::7]80", "-"),
    ("[2001:db8::7]:", "-"),
    ("fe80::1%eth0", "-"),
    ("203.0.113.7/24", "-"),
    ("\"203.0.113.7\"", "-"),
    ("for=203.0.113.7", "-"),
    ("203.0.113.7; 10.0.0.1", "-"),
];

const FORWARDED: &[(&str, &str)] = &[
    ("for=203.0.113.7", "203.0.113.7:0"),
    ("For=\"203.0.113.7:4711\"", "203.0.113.7:4711"),
    ("for=\"[2001:db8:cafe::17]:4711\"", "[2001:db8:cafe::17]:4711"),
    ("for=\"[2001:db8:cafe::17]\"", "[2001:db8:cafe::17]:0"),
    ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60:0"),
    ("proto=https; by=10.0.0.1; for=203.0.113.7;", "203.0.113.7:0"),
    ("by=1.2.3.4;FOR=203.0.113.7", "203.0.113.7:0"),
    ("for=192.0.2.43, for=203.0.113.7", "203.0.113.7:0"),
    ("for=203.0.113.7, for=10.0.0.1;by=10.0.0.2", "203.0.113.7:0"),
    ("for=192.0.2.43 | for=203.0.113.7, for=\"[fd00::1]\"", "203.0.113.7:0"),
    ("for=203.0.113.7;host=\"a,b;c=d\\\",for=1.2.3.4\"", "203.0.113.7:0"),
    ("for=\"203.0.113.\\7\"", "203.0.113.7:0"),
    ("for=\"203.0.113.7:_gazonk\"", "203.0.113.7:0"),
    ("for=10.0.0.2, for=10.0.0.1", "10.0.0.2:0"),
    // A quote that the client has left open does not swallow what the proxy has said.
    ("for=\"evil, for=203.0.113.7", "203.0.113.7:0"),
    ("for=\"evil | for=203.0.113.7", "203.0.113.7:0"),
    ("for=\"1.2.3.4, for=203.0.113.7, for=10.0.0.1", "203.0.113.7:0"),
    ("for=1.2.3.4\", for=10.0.0.1", "10.0.0.1:0"),
    ("for=\"1.2.3.4\\\", for=10.0.0.1", "10.0.0.1:0"),
    // No address, or not known which.
    ("for=\"203.0.113.7:_\"", "-"),
    ("for=\"203.0.113.7:_a:_b\"", "-"),
    ("for=unknown", "-"),
    ("for=_hidden, for=10.0.0.1", "10.0.0.1:0"),
    ("for=203.0.113.7, for=\"_SEVKISEK\"", "-"),
    ("for=203.0.113.7, proto=https", "-"),
    ("for=203.0.113.7;for=1.2.3.4", "-"),
    ("203.0.113.7", "-"),
    ("for=", "-"),
    ("for=\"203.0.113.7", "-"),
    ("for=\"203.0.113.7\"x", "-"),
    ("for=203.0.113.7;secure", "-"),
    ("for=\"203.0.113.7\\", "-"),
];

#[test]
fn the_client_is_the_first_from_the_right_that_is_not_trusted() {
    assert!(LISTS.len() + FORWARDED.len() >= 60);
    for (list, expected) in LISTS {
        assert_eq!(found(list, Form::Addresses), *expected, "{list}");
    }
    for (list, expected) in FORWARDED {
        assert_eq!(found(list, Form::Forwarded), *expected, "{list}");
    }
}

#[test]
fn only_so_many_entries_and_bytes_are_looked_at() {
    let trusted = |count| vec!["10.0.0.1"; count].join(",");
    assert_eq!(found(&format!("203.0.113.7,{}", trusted(ENTRIES_MAX - 1)), Form::Addresses), "203.0.113.7:0");
    assert_eq!(found(&format!("203.0.113.7,{}", trusted(ENTRIES_MAX)), Form::Addresses), "10.0.0.1:0");
    let behind = |blanks: usize| format!("203.0.113.7,{}10.0.0.1", " ".repeat(blanks));
    assert_eq!(found(&behind(BYTES_MAX - 100), Form::Addresses), "203.0.113.7:0");
    assert_eq!(found(&behind(BYTES_MAX), Form::Addresses), "-");
    // What is cut off is not taken for what is left of it.
    for cut in 1..40 {
        let found = found(&behind(BYTES_MAX - cut), Form::Addresses);
        assert!(["203.0.113.7:0", "10.0.0.1:0", "-"].contains(&&found[..]), "{found}");
    }
    let lines = vec!["10.0.0.1"; 600].join("|");
    assert_eq!(found(&format!("203.0.113.7|{lines}"), Form::Addresses), "10.0.0.1:0");
}

#[test]
fn the_nearest_proxy_s_word_is_the_last_one() {
    let nearest = |lines: &[&str]| {
        let lines: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
        super::nearest(&lines).map(str::to_owned)
    };
    assert_eq!(nearest(&["https"]).as_deref(), Some("https"));
    assert_eq!(nearest(&["http, https"]).as_deref(), Some("https"));
    assert_eq!(nearest(&["http", "https,"]).as_deref(), Some("https"));
    assert_eq!(nearest(&["example.org:8443"]).as_deref(), Some("example.org:8443"));
    assert_eq!(nearest(&["a b"]), None);
    assert_eq!(nearest(&["\u{e9}"]), None);
    assert_eq!(nearest(&[]), None);
    assert_eq!(
        ["https", "WSS", "http", "ws", "ftp", ""].map(is_tls),
        [Some(true), Some(true), Some(false), Some(false), None, None]
    );
}
