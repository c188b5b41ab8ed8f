//! Headers in all forms, at every cut, and what is none.

use super::*;

fn said(bytes: &[u8]) -> Proxied {
    let (proxied, len) = read(bytes).expect("in order").expect("whole");
    assert_eq!(len, bytes.len());
    proxied
}

fn addresses(source: &str, destination: &str) -> Option<Addresses> {
    let parse = |text: &str| text.parse().expect("an address");
    Some(Addresses { source: parse(source), destination: parse(destination) })
}

/// A header of version 2: command, family, addresses and values.
fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let len = (rest.len() as u16).to_be_bytes();
    [v2::SIGNATURE, &[command, family], &len, rest].concat()
}

fn value(kind: u8, bytes: &[u8]) -> Vec<u8> {
    [&[kind], &(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

/// Whether bytes are refused as a header of this version.
fn is_of(version: &str, read: Result<Option<(Proxied, usize)>, Fault>) -> bool {
    read.is_err_and(|fault| fault.to_string().starts_with(version))
}

const V4: &[u8] = &[203, 0, 113, 7, 192, 0, 2, 1, 0x12, 0x67, 0x01, 0xbb];

/// Headers as HAProxy 2.6 and nginx 1.22 have sent them.
fn samples() -> Vec<(Vec<u8>, Proxied)> {
    let v4 = addresses("203.0.113.7:4711", "192.0.2.1:443");
    let with = |addresses| Proxied { addresses, ..Proxied::default() };
    let v6 = [
        &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1][..],
        &[0; 15],
        &[1, 0x12, 0x67, 0x01, 0xbb],
    ];
    let tls =
        [&[7, 0, 0, 0, 0][..], &value(0x21, b"TLSv1.3"), &value(0x22, b"me"), &value(0x23, b"AES")].concat();
    let rest =
        [V4, &value(2, b"example.org"), &value(5, b"abc-1"), &value(4, &[0; 9]), &value(0x20, &tls)].concat();
    let full = Proxied {
        addresses: v4,
        authority: Some("example.org".into()),
        unique_id: Some("abc-1".into()),
        tls: Some(ProxiedTls {
            version: Some("TLSv1.3".into()),
            common_name: Some("me".into()),
            is_verified: true,
        }),
    };
    vec![
        (b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n".to_vec(), with(v4)),
        (
            b"PROXY TCP6 2001:db8::1 ::1 4711 443\r\n".to_vec(),
            with(addresses("[2001:db8::1]:4711", "[::1]:443")),
        ),
        (b"PROXY UNKNOWN\r\n".to_vec(), Proxied::default()),
        (b"PROXY UNKNOWN ffff:f...f:ffff whatever 65535 x\r\n".to_vec(), Proxied::default()),
        (
            b"PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n".to_vec(),
            with(addresses("0.0.0.0:0", "255.255.255.255:65535")),
        ),
        (binary(0x21, 0x11, V4), with(v4)),
        (binary(0x21, 0x21, &v6.concat()), with(addresses("[2001:db8::1]:4711", "[::1]:443"))),
        (binary(0x21, 0x11, &rest), full),
        (binary(0x20, 0x00, &[]), Proxied::default()),
        (binary(0x20, 0x11, V4), Proxied::default()),
        // Of the proxy's own connection nothing counts, whatever it is.
        (binary(0x20, 0xff, &[1, 2, 3]), Proxied::default()),
        (binary(0x20, 0x00, &value(5, b"abc")), Proxied::default()),
        (binary(0x21, 0x00, &[]), Proxied::default()),
        (binary(0x21, 0x31, &[0; 216]), Proxied::default()),
    ]
}

#[test]
fn a_header_says_who_the_client_is() {
    for (bytes, proxied) in samples() {
        assert_eq!(said(&bytes), proxied, "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_header_is_whole_at_its_last_byte_and_not_before_and_what_follows_is_not_its() {
    for (bytes, proxied) in samples() {
        for cut in 0..bytes.len() {
            assert_eq!(read(&bytes[..cut]), Ok(None), "{} of {}", cut, bytes.escape_ascii());
        }
        for behind in
            [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01", b"\n", b"PROXY UNKNOWN\r\n", &[0; 4000]]
        {
            let both = [&bytes[..], behind].concat();
            assert_eq!(read(&both), Ok(Some((proxied.clone(), bytes.len()))));
        }
    }
}

#[test]
fn what_is_no_header_is_refused_as_soon_as_that_is_known() {
    let line = |text: &str| [text.as_bytes(), b"\r\n"].concat();
    for (bytes, cut) in [
        // Not even the beginning.
        (b"GET / HTTP/1.1".to_vec(), 1),
        (b"proxy TCP4".to_vec(), 1),
        (b"PROXY\tUNKNOWN\r\n".to_vec(), 6),
        (b"\x16\x03\x01\x02".to_vec(), 1),
        (b"\r\n\r\n\0\r\nQUIx".to_vec(), 11),
        ([v2::SIGNATURE, &[0x11]].concat(), 13),
        ([v2::SIGNATURE, &[0x31, 0x11, 0, 0]].concat(), 13),
        ([v2::SIGNATURE, &[0x22, 0x11, 0, 0]].concat(), 16),
        ([v2::SIGNATURE, &[0x21, 0x11, 0x08, 0x01]].concat(), 16),
        ([v2::SIGNATURE, &[0x20, 0x00, 0xff, 0xff]].concat(), 16),
    ] {
        assert!(read(&bytes[..cut]).is_err(), "{}", bytes.escape_ascii());
        assert_eq!(read(&bytes[..cut - 1]), Ok(None), "{}", bytes.escape_ascii());
    }
    for text in [
        "PROXY TCP4 1.2.3.4 5.6.7.8 1",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 ",
        "PROXY TCP4  1.2.3.4 5.6.7.8 1 2",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1\t2",
        "PROXY TCP4 1.2.3.04 5.6.7.8 1 2",
        "PROXY TCP4 1.2.3 5.6.7.8 1 2",
        "PROXY TCP4 ::1 ::1 1 2",
        "PROXY TCP6 1.2.3.4 5.6.7.8 1 2",
        "PROXY TCP6 ::1%eth0 ::1 1 2",
        "PROXY TCP6 [::1] [::1] 1 2",
        "PROXY TCP4 1.2.3.4 5.6.7.8 +1 2",
        "PROXY TCP4 1.2.3.4 5.6.7.8 01 2",
        "PROXY TCP4 1.2.3.4 5.6.7.8 65536 2",
        "PROXY TCP4 1.2.3.4 5.6.7.8 -1 2",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 x",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 ",
        "PROXY TCP 1.2.3.4 5.6.7.8 1 2",
        "PROXY tcp4 1.2.3.4 5.6.7.8 1 2",
        "PROXY UDP4 1.2.3.4 5.6.7.8 1 2",
        "PROXY UNKNOWNx",
        "PROXY ",
        "PROXY UNKNOWN \u{e9}",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r",
    ] {
        assert!(is_of("version 1: ", read(&line(text))), "{text}");
    }
    assert_eq!(read(b"PROXY UNKNOWN\n"), Err(Fault::LineEnd));
}

#[test]
fn a_line_has_107_bytes_and_no_more() {
    let line = |len: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(len - 16)).into_bytes();
    assert_eq!(read(&line(107)), Ok(Some((Proxied::default(), 107))));
    assert_eq!(read(&line(108)), Err(Fault::TooLong));
    assert_eq!(read(&line(108)[..107]), Err(Fault::TooLong));
    assert_eq!(read(&line(108)[..106]), Ok(None));
    let longest = format!("PROXY TCP6 {0} {0} 65535 65535\r\n", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    assert!(longest.len() <= 107 && read(longest.as_bytes()).expect("in order").is_some());
}

#[test]
fn a_binary_header_has_2048_bytes_behind_its_fixed_part_and_no_more() {
    let noop = |len: usize| binary(0x21, 0x11, &[V4, &value(4, &vec![0; len - 12 - 3])].concat());
    assert!(read(&noop(V2_MAX)).expect("in order").is_some());
    assert_eq!(read(&noop(V2_MAX + 1)), Err(Fault::TooLong));
}

#[test]
fn values_that_are_cut_off_are_refused_and_values_that_can_not_be_used_are_left_out() {
    let with = |values: &[u8]| read(&binary(0x21, 0x11, &[V4, values].concat()));
    for values in [
        &[5][..],
        &[5, 0],
        &[5, 0, 1],
        &[5, 0xff, 0xff, 0],
        &value(0x20, &[1, 0, 0, 0]),
        &value(0x20, &[1, 0, 0, 0, 0, 0x21]),
        &value(0x20, &[1, 0, 0, 0, 0, 0x21, 0, 9, 1]),
        &value(3, &[0; 3]),
        &value(3, &[0; 5]),
    ] {
        assert!(is_of("version 2: ", with(values)), "{values:?}");
    }
    assert!(is_of("version 2: ", read(&binary(0x21, 0x11, &V4[..11]))));
    assert!(is_of("version 2: ", read(&binary(0x21, 0x21, V4))));
    for family in [0x01, 0x10, 0x12, 0x13, 0x22, 0x32, 0x30, 0x41, 0xff] {
        assert!(is_of("version 2: ", read(&binary(0x21, family, &[0; 216]))), "{family:#x}");
    }
    let left_out = [
        value(5, b""),
        value(5, &[b'x'; 129]),
        value(5, b"a b"),
        value(5, b"a\nb"),
        value(5, b"\xc3\xa9"),
        value(2, b"a\r\nX: y"),
        value(2, &[b'x'; 256]),
        value(0x99, b"?"),
        // Flags that say that the client spoke no TLS.
        value(0x20, &[0, 0, 0, 0, 1]),
        value(0x20, &[6, 0, 0, 0, 0]),
    ]
    .concat();
    let plain = Proxied { addresses: addresses("203.0.113.7:4711", "192.0.2.1:443"), ..Proxied::default() };
    assert_eq!(with(&left_out), Ok(Some((plain, 16 + V4.len() + left_out.len()))));
}

#[test]
fn a_name_counts_only_where_the_proxy_has_verified_the_certificate() {
    let verified = |flags: u8, verify: [u8; 4], name: &[u8]| {
        let tls = [&[flags][..], &verify, &value(0x22, name)].concat();
        let proxied = said(&binary(0x21, 0x11, &[V4, &value(0x20, &tls)].concat()));
        proxied.tls.map(|tls| (tls.is_verified, tls.common_name.is_some()))
    };
    assert_eq!(verified(0x03, [0; 4], b"me"), Some((true, true)));
    assert_eq!(verified(0x05, [0; 4], b"me"), Some((true, true)));
    assert_eq!(verified(0x07, [0, 0, 0, 1], b"me"), Some((false, true)));
    assert_eq!(verified(0x07, [1, 0, 0, 0], b"me"), Some((false, true)));
    assert_eq!(verified(0x01, [0; 4], b"me"), Some((false, true)), "no certificate was shown");
    assert_eq!(verified(0x06, [0; 4], b"me"), None);
    assert_eq!(verified(0x07, [0; 4], "\u{d6}rg".as_bytes()), Some((true, true)));
    for name in [&b""[..], b"a\nb", b"\xff", &[b'x'; 257]] {
        assert_eq!(verified(0x07, [0; 4], name), Some((true, false)));
    }
}

#[test]
fn a_checksum_that_is_wrong_is_refused_whichever_bit_is() {
    let mut bytes =
        binary(0x21, 0x11, &[V4, &value(5, b"abc"), &value(3, &[0; 4]), &value(4, b"x")].concat());
    let at = bytes.len() - 4 - 4;
    let sum = crc32c::of([&bytes[..]]);
    bytes[at..at + 4].copy_from_slice(&sum.to_be_bytes());
    assert_eq!(said(&bytes).unique_id.as_deref(), Some("abc"));
    // Behind the length: what it would say otherwise is not known.
    for bit in 16 * 8..bytes.len() * 8 {
        let mut other = bytes.clone();
        other[bit / 8] ^= 1 << (bit % 8);
        let is_type_of_sum = (at - 3) * 8 <= bit && bit < (at - 2) * 8;
        assert!(is_type_of_sum || read(&other).is_err(), "bit {bit}");
    }
}

#[test]
fn what_is_written_is_read_as_the_same() {
    let tls =
        ProxiedTls { version: Some("TLSv1.2".into()), common_name: Some("me".into()), is_verified: true };
    let header = |addresses| Header {
        addresses,
        unique_id: Some("5f3a9c21-0-1a2b-7"),
        authority: Some("example.org:6080"),
        tls: Some(&tls),
    };
    for (source, destination) in [
        ("203.0.113.7:4711", "192.0.2.1:443"),
        ("[2001:db8::1]:1", "[::1]:65535"),
        ("0.0.0.0:0", "255.0.0.1:1"),
    ] {
        let both = addresses(source, destination);
        let all = said(&header(both).to_bytes(Version::V2));
        assert_eq!(all.addresses, both);
        assert_eq!(all.unique_id.as_deref(), Some("5f3a9c21-0-1a2b-7"));
        assert_eq!((all.authority.as_deref(), all.tls.as_ref()), (Some("example.org:6080"), Some(&tls)));
        assert_eq!(
            said(&header(both).to_bytes(Version::V1)),
            Proxied { addresses: both, ..Proxied::default() }
        );
    }
    // Two families become one, and mapped addresses are what they stand for.
    for (source, destination, read) in [
        ("203.0.113.7:1", "[2001:db8::1]:2", addresses("[::ffff:203.0.113.7]:1", "[2001:db8::1]:2")),
        ("[2001:db8::1]:1", "192.0.2.1:2", addresses("[2001:db8::1]:1", "[::ffff:192.0.2.1]:2")),
        ("203.0.113.7:1", "[::ffff:192.0.2.1]:2", addresses("203.0.113.7:1", "192.0.2.1:2")),
    ] {
        for version in [Version::V1, Version::V2] {
            assert_eq!(said(&header(addresses(source, destination)).to_bytes(version)).addresses, read);
        }
    }
    assert_eq!(header(None).to_bytes(Version::V1), b"PROXY UNKNOWN\r\n");
    let local = header(None).to_bytes(Version::V2);
    assert_eq!((local[12], said(&local)), (0x20, Proxied::default()));
    let long = "x".repeat(300);
    let cut = Header {
        unique_id: Some(&long),
        authority: Some(&long),
        ..header(addresses("1.2.3.4:5", "6.7.8.9:1"))
    };
    let read = said(&cut.to_bytes(Version::V2));
    assert_eq!((read.unique_id, read.authority), (None, None));
    let unverified = ProxiedTls { is_verified: false, ..tls.clone() };
    let read = said(
        &Header { tls: Some(&unverified), ..header(addresses("1.2.3.4:5", "6.7.8.9:1")) }
            .to_bytes(Version::V2),
    );
    assert_eq!(read.tls, Some(unverified));
}

#[test]
fn each_whole_header_is_of_one_kind_whatever_comes_behind_it() {
    for (bytes, _) in samples() {
        let is_line = bytes.starts_with(v1::PREFIX);
        let kind = match (is_line, bytes.get(12)) {
            (true, _) => Kind::V1,
            (false, Some(0x20)) => Kind::Local,
            (false, _) => Kind::V2,
        };
        assert_eq!(Kind::of(&bytes), kind, "{bytes:?}");
        assert_eq!(Kind::of(&[&bytes[..], b"GET / HTTP/1.1\r\n"].concat()), kind);
    }
    assert_eq!(Kind::of(&binary(0x20, 0, &[])), Kind::Local);
    assert_eq!(Kind::of(&binary(0x21, 0x11, V4)), Kind::V2);
    assert!(Fault::Missing.is_absence() && Fault::Late.is_absence() && !Fault::CutOff.is_absence());
}
