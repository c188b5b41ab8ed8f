use super::*;

fn rules(allow: &[&str], deny: &[&str]) -> Rules {
    let parse = |texts: &[&str]| texts.iter().map(|text| Rule::parse(text).expect(text)).collect();
    Rules::new(parse(allow), parse(deny))
}

/// Whether `host`, which stands for `address`, may be dialled.
fn may(rules: &Rules, host: &str, address: &str) -> bool {
    let address: SocketAddr = address.parse().expect(address);
    rules.check_name(host, address.port()).is_ok() && rules.check_address(host, address, false).is_ok()
}

#[test]
fn without_rules_everything_may_be_dialled_but_what_is_never_a_desktop() {
    let none = Rules::default();
    for address in
        ["10.0.0.1:5900", "127.0.0.1:1", "0.0.0.0:5900", "[::1]:5900", "[2001:db8::1]:22", "[::]:1"]
    {
        assert!(may(&none, "host", address), "{address}");
    }
    for address in [
        "169.254.169.254:80",
        "169.254.0.1:5900",
        "[::ffff:169.254.169.254]:80",
        "[64:ff9b::a9fe:a9fe]:80",
        "[fe80::1]:5900",
        "[febf::1]:5900",
        "224.0.0.251:5353",
        "239.255.255.255:1",
        "[ff02::1]:1",
        "[fd00:ec2::254]:80",
        "100.100.100.200:80",
        "168.63.129.16:80",
    ] {
        assert!(!may(&none, "host", address), "{address}");
    }
    for address in
        ["[fec0::1]:1", "[fd00:ec2::253]:80", "100.100.100.201:80", "223.255.255.255:1", "240.0.0.1:1"]
    {
        assert!(may(&none, "host", address), "{address}");
    }
}

#[test]
fn only_a_rule_that_names_the_address_lifts_what_is_built_in() {
    for rule in ["169.254.169.254", "169.254.0.0/16", "169.254.169.0/24:80", "[::ffff:169.254.169.254]"] {
        assert!(may(&rules(&[rule], &[]), "host", "169.254.169.254:80"), "{rule}");
    }
    for rule in ["0.0.0.0/0", "168.0.0.0/7", "host", "*.example", "169.254.169.254:81", "169.254.169.253"] {
        assert!(!may(&rules(&[rule], &[]), "host", "169.254.169.254:80"), "{rule}");
    }
    assert!(may(&rules(&["[fd00:ec2::254]:80"], &[]), "host", "[fd00:ec2::254]:80"));
    assert!(!may(&rules(&["fd00::/8"], &[]), "host", "[fd00:ec2::254]:80"));
    // What is denied stays so.
    assert!(!may(&rules(&["169.254.169.254"], &["169.254.0.0/16"]), "host", "169.254.169.254:80"));
}

#[test]
fn with_a_rule_that_allows_only_what_is_allowed_may_be_dialled() {
    let rules = rules(
        &["10.0.0.0/8:5900-5999,3389", "vnc.example.org", "*.lab.example.org:22", "[2001:db8::]/32"],
        &[],
    );
    for (host, address) in [
        ("10.1.2.3", "10.1.2.3:5900"),
        ("anything", "10.255.255.255:5999"),
        ("10.1.2.3", "10.1.2.3:3389"),
        ("10.1.2.3", "[::ffff:10.1.2.3]:5901"),
        ("vnc.example.org", "192.0.2.1:1"),
        ("VNC.Example.org.", "192.0.2.1:1"),
        ("a.lab.example.org", "192.0.2.1:22"),
        ("a.b.lab.example.org", "192.0.2.1:22"),
        ("::", "[2001:db8:ffff::1]:1"),
    ] {
        assert!(may(&rules, host, address), "{host} {address}");
    }
    for (host, address) in [
        ("10.1.2.3", "10.1.2.3:22"),
        ("10.1.2.3", "10.1.2.3:6000"),
        ("11.0.0.1", "11.0.0.1:5900"),
        ("vnc.example.org.evil", "192.0.2.1:1"),
        ("xvnc.example.org", "192.0.2.1:1"),
        ("lab.example.org", "192.0.2.1:22"),
        (".lab.example.org", "192.0.2.1:22"),
        ("a.lab.example.org", "192.0.2.1:23"),
        ("xlab.example.org", "192.0.2.1:22"),
        ("::", "[2001:db9::1]:1"),
    ] {
        assert!(!may(&rules, host, address), "{host} {address}");
    }
}

#[test]
fn what_is_denied_by_name_or_address_may_not_be_dialled() {
    let rules = rules(&[], &["10.0.0.0/8", "*.internal", "db.example.org:5432"]);
    assert!(!may(&rules, "host", "10.0.0.1:5900"));
    assert!(!may(&rules, "host", "[::ffff:10.0.0.1]:5900"));
    assert!(!may(&rules, "a.INTERNAL", "192.0.2.1:5900"));
    assert!(!may(&rules, "db.example.org", "192.0.2.1:5432"));
    assert!(may(&rules, "db.example.org", "192.0.2.1:5433"));
    assert!(may(&rules, "host", "11.0.0.1:5900"));
    let why = rules.check_address("host", "10.0.0.1:1".parse().unwrap(), false).unwrap_err();
    assert_eq!(why.to_string(), "--deny-target 10.0.0.0/8 forbids it");
}

#[test]
fn a_place_that_this_program_listens_on_needs_a_rule_for_itself() {
    let own: SocketAddr = "127.0.0.1:6080".parse().unwrap();
    assert!(Rules::default().check_address("localhost", own, true).is_err());
    assert!(rules(&["127.0.0.0/8"], &[]).check_address("localhost", own, true).is_err());
    assert!(rules(&["localhost"], &[]).check_address("localhost", own, true).is_err());
    assert!(rules(&["127.0.0.1:6080"], &[]).check_address("localhost", own, true).is_ok());
    assert!(Rules::default().check_unix(Path::new("/run/own"), true, false).is_err());
    assert!(rules(&["unix:/run/own"], &[]).check_unix(Path::new("/run/own"), true, false).is_ok());
}

#[test]
fn sockets_are_allowed_by_their_path() {
    let may = |rules: &Rules, path: &str, remote| rules.check_unix(Path::new(path), false, remote).is_ok();
    let none = Rules::default();
    assert!(may(&none, "/run/a", false) && !may(&none, "/run/a", true));
    let some = rules(&["unix:/run/vms/"], &[]);
    for remote in [false, true] {
        assert!(may(&some, "/run/vms/a/vnc", remote));
        assert!(!may(&some, "/run/vms", remote) && !may(&some, "/run/vmsx/a", remote));
        assert!(!may(&some, "/run/vms/../x", remote) && !may(&some, "run/vms/a", remote));
    }
    let hosts = rules(&["10.0.0.0/8"], &[]);
    assert!(!may(&hosts, "/run/a", false), "a rule that allows something allows nothing else");
    let denied = rules(&[], &["unix:/run/docker"]);
    assert!(!may(&denied, "/run/docker.sock", false) && may(&denied, "/run/x", false));
    assert!(some.are_about_unix() && !hosts.are_about_unix());
}

#[test]
fn a_rule_that_means_nothing_is_an_error() {
    for text in [
        "",
        ":5900",
        "10.0.0.0/33",
        "10.0.0/8",
        "300.1.1.1",
        "a/8",
        "[::1",
        "[a]:1",
        "[10.0.0.1]",
        "host:",
        "host:0",
        "host:5-4",
        "host:x",
        "host:1,",
        "host:65536",
        "*",
        "*.",
        "*x",
        "a*.b",
        "a b",
        "unix:",
        "unix:run",
        "unix:/a/../b",
        "http://a",
        "::1/129",
    ] {
        assert!(Rule::parse(text).is_err(), "{text}");
    }
    assert_eq!(Rule::parse("host:x"), Err("ports are written as 5900-5999,3389: 'host:x'".into()));
    for text in ["::1", "fd00::/8", "[fd00::/8]:1-2", "[fd00::]/8:1", "::", "0.0.0.0/0:1", "a_b", "unix:/"] {
        assert!(Rule::parse(text).is_ok(), "{text}");
    }
}
