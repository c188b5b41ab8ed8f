//! What is right and wrong in a command line. The error texts are what the Python program prints for the
//! same line, where it has an error there.

use super::super::*;
use super::{complaint, complaint_of, config, environment, words};
use crate::certs::{Authorities, Pair, TargetOptions};
use crate::gate::AllowedOrigin;
use crate::http::origin::Origin;
use crate::log::{self, SyslogAddress, SyslogSettings};
use crate::net::listen::Address;
use crate::rules::{Rule, Rules};
use crate::target::Target;
use crate::token::{self, Remote};
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

#[test]
fn errors_are_those_of_the_python_program() {
    for (line, text) in [
        ("", "Too few arguments"),
        ("6080", "Too few arguments"),
        ("--verb", "Too few arguments"),
        ("--inetd", "Too few arguments"),
        ("6080 --", "Too few arguments"),
        ("--unix-listen s", "Too few arguments"),
        ("--unix-target= 6080", "Too few arguments"),
        ("6080 a:1 extra", "Too many arguments"),
        ("--inetd 6080 a:1", "Error parsing target: '6080' (HOST:PORT is needed)"),
        ("--inetd a:1 a:2", "Too many arguments"),
        ("--unix-listen s --unix-target t 6080", "Too many arguments"),
        ("--token-plugin TokenFile 6080 a:1", "Too many arguments"),
        ("x a:1", "Error parsing listen port: 'x'"),
        ("6080 foo", "Error parsing target: 'foo' (HOST:PORT is needed)"),
        ("6080 foo:x", "Error parsing target port: 'foo:x'"),
        ("x foo", "Error parsing listen port: 'x'"),
        ("--syslog host:x 6080 a:1", "Error parsing syslog port: 'host:x'"),
        ("--unix-listen s --unix-listen-mode 8 a:1", "Error parsing listen unix socket mode: '8'"),
        ("--unix-listen s --unix-listen-mode rw a:1", "Error parsing listen unix socket mode: 'rw'"),
        ("--nope 6080 a:1", "no such option: --nope"),
        ("--nope=3 6080 a:1", "no such option: --nope"),
        ("-x", "no such option: -x"),
        ("-Dx", "no such option: -x"),
        ("-D=v", "no such option: -="),
        ("-4", "no such option: -4"),
        ("--verbose=3", "--verbose option does not take a value"),
        ("--verb=3", "--verbose option does not take a value"),
        ("--verbose=", "--verbose option does not take a value"),
        ("--help=x", "--help option does not take a value"),
        ("--web", "--web option requires 1 argument"),
        ("--log", "--log-file option requires 1 argument"),
        ("--timeout x", "option --timeout: invalid integer value: 'x'"),
        ("--timeout=", "option --timeout: invalid integer value: ''"),
        ("--timeout=08", "option --timeout: invalid integer value: '08'"),
        ("--idle 1.5", "option --idle-timeout: invalid integer value: '1.5'"),
        ("--timeout --", "option --timeout: invalid integer value: '--'"),
        (
            "--ssl-version foo",
            "option --ssl-version: invalid choice: 'foo' (choose from 'default', 'tlsv1_1', 'tlsv1_2', \
             'tlsv1_3')",
        ),
        ("--wrap-m x", "option --wrap-mode: invalid choice: 'x' (choose from 'exit', 'ignore', 'respawn')"),
        ("--wrap-mode=", "option --wrap-mode: invalid choice: '' (choose from 'exit', 'ignore', 'respawn')"),
        ("--ssl", "ambiguous option: --ssl (--ssl-ciphers, --ssl-only, --ssl-target, --ssl-version?)"),
        ("--ssl=x", "ambiguous option: --ssl (--ssl-ciphers, --ssl-only, --ssl-target, --ssl-version?)"),
        ("--ver", "ambiguous option: --ver (--verbose, --verify-client?)"),
        ("--unix", "ambiguous option: --unix (--unix-listen, --unix-listen-mode, --unix-target?)"),
        ("--token-source x", "You must use --token-plugin to use --token-source"),
        ("--host-token", "You must use --token-plugin to use --host-token"),
        ("--token-once 6080 h:1", "You must use --token-plugin to use --token-once"),
        ("--token-cache 5 6080 h:1", "You must use --token-plugin to use --token-cache"),
        (
            "--token-plugin JSONTokenApi --token-once 6080",
            "You must use --token-plugin TokenRedis to use --token-once",
        ),
        (
            "--token-plugin TokenRedis --token-once --token-cache 5 6080",
            "You can't use --token-cache with --token-once",
        ),
        (
            "--token-plugin TokenFile --token-cache 5 6080",
            "You can't use --token-cache with TokenFile, which asks no service",
        ),
        ("--host-token --target-config f 6080", "You must use --token-plugin to use --host-token"),
        ("--auth-source x", "You must use --auth-plugin to use --auth-source"),
        ("--web-auth", "You must use --auth-plugin to use --web-auth"),
        ("--web-auth --auth-plugin X", "You must use --web to use --web-auth"),
        ("--legacy-syslog", "You must use --syslog to use --legacy-syslog"),
        ("--ssl-only 6080 a:1", "SSL only and self.pem not found"),
        ("--ssl-only", "SSL only and self.pem not found"),
    ] {
        assert_eq!(complaint(line), text, "{line}");
    }
}

#[test]
fn errors_of_our_own_say_what_to_do() {
    for (line, text) in [
        ("65536 a:1", "Error parsing listen port: 65536 is not between 0 and 65535"),
        ("6080 a:0", "Error parsing target port: 0 is not between 1 and 65535"),
        (
            "--unix-listen s --unix-listen-mode 17777 a:1",
            "Error parsing listen unix socket mode: 17777 is not between 0 and 7777",
        ),
        ("6080 a:1 -- cmd", "Too many arguments"),
        ("--ssl-target-ca f 1 a:2", "You must use --ssl-target to use --ssl-target-ca"),
        ("--ssl-target-name n 1 a:2", "You must use --ssl-target to use --ssl-target-name"),
        ("--ssl-target-insecure 1 a:2", "You must use --ssl-target to use --ssl-target-insecure"),
        (
            "--ssl-target --ssl-target-insecure --ssl-target-ca f 1 a:2",
            "You can't use --ssl-target-insecure with --ssl-target-ca",
        ),
        (
            "--ssl-target --ssl-target-name 'a b' 1 a:2",
            "option --ssl-target-name: 'a b' can't be the name of a TLS server",
        ),
        ("--ssl-only --cert a --cert b 1 a:2", "SSL only and a not found"),
        (
            "--inetd -- cmd",
            "A wrapped command (--) needs a source_port to take over: you can't use --inetd or \
             --unix-listen with it",
        ),
        ("--token-plugin TokenFile 6080 -- cmd", "You can't use --token-plugin with a wrapped command (--)"),
        ("--wrap-stdin 6080 a:1", "You must use a wrapped command (--) to use --wrap-stdin"),
        ("--wrap-stdin 6080 --", "You must use a wrapped command (--) to use --wrap-stdin"),
        ("--wrap-stdin --wrap-mode exit 6080 -- cmd", "You can't use --wrap-mode with --wrap-stdin"),
        ("--wrap-stdin --unix-target s 6080 -- cmd", "You can't use --unix-target with --wrap-stdin"),
        ("--token-plugin TokenFile 6080 --unix-target s", "You can't use --token-plugin with --unix-target"),
        ("--allow-target h 1 a:2", "You must use --token-plugin to use --allow-target"),
        ("--deny-target h 1 a:2", "You must use --token-plugin to use --deny-target"),
        (
            "--target-config f --allow-target 10.0.0.0/33 1",
            "option --allow-target: no address, network, name, *.suffix or unix:/path: '10.0.0.0/33'",
        ),
        (
            "--target-config f --deny-target h:x 1",
            "option --deny-target: ports are written as 5900-5999,3389: 'h:x'",
        ),
        ("--proxy-protocol on 1 a:2", "You must use --trusted-proxy to use --proxy-protocol"),
        ("--real-ip-header X-Real-IP 1 a:2", "You must use --trusted-proxy to use --real-ip-header"),
        (
            "--trusted-proxy 10.0.0.0/33 1 a:2",
            "option --trusted-proxy: neither an address, a network nor unix: '10.0.0.0/33'",
        ),
        (
            "--trusted-proxy ::1 --real-ip-header 'a b' 1 a:2",
            "option --real-ip-header: not a header's name: a b",
        ),
        (
            "--proxy-protocol-out v1 --wrap-stdin 6080 -- cmd",
            "You can't use --proxy-protocol-out with --wrap-stdin",
        ),
        ("--auth-cookie 1 a:2", "You must use --auth-plugin to use --auth-cookie"),
        (
            "--auth-cookie --auth-plugin ExpectOrigin 1 a:2",
            "You must use --auth-plugin BasicHTTPAuth to use --auth-cookie",
        ),
        (
            "--allow-origin example.org 1 a:2",
            "option --allow-origin: 'example.org' is neither same-origin nor an origin such as \
             https://example.org:8443",
        ),
        (
            "--token-plugin Tokens 6080",
            "can't load the token plugin Tokens: the built-in ones are TokenFile, ReadOnlyTokenFile, TokenFileName, \
             BaseTokenAPI, JSONTokenApi, JWTTokenApi, TokenRedis, UnixDomainSocketDirectory and exec; a Python \
             class has its module in front, as in package.Class",
        ),
        (
            "--token-plugin TokenFile --plugin-python python3 6080",
            "You must use --token-plugin or --auth-plugin with a Python class to use --plugin-python",
        ),
    ] {
        assert_eq!(complaint(line), text, "{line}");
    }
    let text = "option --ssl-ciphers: none of the cipher suites in 'RC4:MD5' is supported (known: TLS_AES_";
    assert!(complaint("--ssl-ciphers RC4:MD5 6080 a:1").starts_with(text));
    assert!(complaint("--auth-plugin mine 6080 a:1").starts_with("can't load the auth plugin mine: "));
}

#[test]
fn the_first_error_in_the_order_of_the_words_counts() {
    assert_eq!(complaint("--timeout x --nope"), "option --timeout: invalid integer value: 'x'");
    assert_eq!(complaint("--nope --help"), "no such option: --nope");
}

#[test]
fn an_error_comes_with_the_usage() {
    assert_eq!(
        parse(words("--nope"), &environment()),
        Outcome::Usage(
            "Usage: \n    websockify [options] [source_addr:]source_port target_addr:target_port\n    \
             websockify [options] --token-plugin=CLASS [source_addr:]source_port\n    \
             websockify [options] --unix-target=FILE [source_addr:]source_port\n    \
             websockify [options] [source_addr:]source_port -- WRAP_COMMAND_LINE\n\n\
             websockify: error: no such option: --nope\nTry 'websockify --help'.\n"
                .into()
        )
    );
}

#[test]
fn help_and_version_are_printed_before_later_errors() {
    for line in ["-h", "--help", "--hel", "-vh", "6080 -Dh --nope", "--help --timeout x"] {
        let Outcome::Print(text) = parse(words(line), &environment()) else { panic!("{line}") };
        assert!(text.starts_with("Usage: \n") && text.contains("--idle-timeout"), "{text}");
    }
    for line in ["--version", "--vers", "--version --nope"] {
        let version = format!("websockify {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(parse(words(line), &environment()), Outcome::Print(version), "{line}");
    }
}

#[test]
fn options_may_be_bundled_shortened_repeated_and_stand_anywhere() {
    let verbose = log::Settings { level: log::Level::Debug, ..log::Settings::default() };
    let expected =
        Config { log: verbose, daemon: true, heartbeat: Some(Duration::from_secs(30)), ..config("1 a:2") };
    for line in [
        "-Dv --heartbeat 30 1 a:2",
        "1 -vD a:2 --heartbeat=30",
        "1 a:2 -v --heart 0x1e --dae",
        "1 a:2 --verb -v -v -D --heartbeat 5 --heartbeat 036",
        "1 --heartb=0b11110 a:2 -D -v",
    ] {
        assert_eq!(config(line), expected, "{line}");
    }
}

#[test]
fn our_options_leave_abbreviations_of_python_s_alone() {
    assert_eq!(config("--log x 1 a:2").log.file, Some("/start/x".into()));
    assert_eq!(config("--lo x 1 a:2").log.file, Some("/start/x".into()));
    assert!(config("--log-t 1 a:2").log.secrets);
}

#[test]
fn a_value_may_look_like_an_option() {
    assert_eq!(config("--web -D 1 a:2").web.unwrap().root, Path::new("/start/-D"));
    assert_eq!(config("--web -- 1 a:2").web.unwrap().root, Path::new("/start/--"));
    assert_eq!(config("--web=--cert=x 1 a:2").web.unwrap().root, Path::new("/start/--cert=x"));
    assert_eq!(config("--timeout -5 1 a:2").timeout, None);
    assert_eq!(complaint("- a:2"), "Error parsing listen port: '-'");
}

#[test]
fn an_empty_value_counts_as_not_given() {
    let line = "--web= --record '' --log-file= --cert= --key= --cafile= --syslog= --target-config= \
                --unix-listen= --token-plugin= --token-source= --auth-plugin= --auth-source= \
                --ssl-ciphers= 1 a:2";
    assert_eq!(config(line), config("1 a:2"));
    assert_eq!(parse(words(line), &environment()), Outcome::Run(Box::new(config("1 a:2"))));
}

#[test]
fn times_of_zero_and_less_are_off() {
    assert_eq!(config("--timeout 0 --idle-timeout -1 --heartbeat 0 1 a:2"), config("1 a:2"));
    assert_eq!(config("--timeout 9_9 1 a:2").timeout, Some(Duration::from_secs(99)));
}

#[test]
fn words_behind_the_dashes_are_the_command() {
    let command = |line: &str| match config(line).sessions {
        Sessions::Wrapped { command, .. } => command,
        other => panic!("{other:?}"),
    };
    assert_eq!(command("1 -- cmd -v --nope -- x"), words("cmd -v --nope -- x"));
    // The Python program counts words, whichever side of the dashes they stand on.
    assert_eq!(command("-- 1 cmd -v"), words("cmd -v"));
    assert_eq!(config("1 a:2 --"), config("1 a:2"));
    assert_eq!(config("--unix-target s -- 1"), config("--unix-target s 1"));
}

#[test]
fn listening_follows_its_options() {
    let listen = |line: &str| config(line).listen.remove(0);
    let tcp = |host: &str, prefer_ipv6| Address::Tcp { host: host.into(), port: 1, prefer_ipv6 };
    assert_eq!(listen("-6 1 a:2"), tcp("", true));
    assert_eq!(listen("--prefer-ipv6 [::1]:1 a:2"), tcp("::1", true));
    assert_eq!(listen("--inetd --unix-listen s a:2"), Address::Inetd);
    assert_eq!(listen("--unix-listen s a:2"), Address::Unix { path: "s".into(), mode: 0o600 });
    assert_eq!(
        listen("--unix-listen s --unix-listen-mode 0o750 a:2"),
        Address::Unix { path: "s".into(), mode: 0o750 }
    );
    assert_eq!(listen("--unix-listen-mode nonsense 1 a:2"), tcp("", false));
}

#[test]
fn the_older_token_file_wins_over_the_plugin() {
    let Sessions::Tokens { plugin, host_token, .. } =
        config("--token-plugin TokenRedis --token-source r --host-token --target-config f 1").sessions
    else {
        panic!()
    };
    let source = Some(Argument::text(OsStr::new("/start/f")));
    assert_eq!(plugin, TokenPlugin { class: token::plugin("TokenFile").unwrap(), source, python: None });
    assert!(host_token);
}

#[test]
fn origins_and_rules_arrive() {
    let origins = |line: &str| config(&format!("{line} 1 a:2")).origins;
    let of = |text: &str| AllowedOrigin::Of(Origin::of(text));
    assert_eq!(origins(""), []);
    assert_eq!(
        origins("--allow-origin 'same-origin http://a' --allow-origin=https://b:1,null"),
        [AllowedOrigin::Same, of("http://a:80"), of("https://b:1"), of("null")]
    );
    let cookie = "--auth-plugin BasicHTTPAuth --auth-source u:p --auth-cookie";
    assert_eq!(origins(cookie), [AllowedOrigin::Same]);
    assert_eq!(origins(&format!("{cookie} --allow-origin http://a")), [of("http://a"), AllowedOrigin::Same]);
    let config =
        config("--target-config f --allow-target h:1 --allow-target 10.0.0.0/8 --deny-target unix:/x 1");
    let Sessions::Tokens { rules, .. } = config.sessions else { panic!() };
    let rule = |text: &str| Rule::parse(text).unwrap();
    assert_eq!(rules, Rules::new(vec![rule("h:1"), rule("10.0.0.0/8")], vec![rule("unix:/x")]));
}

#[test]
fn secrets_may_be_in_files() {
    let config = config(
        "--auth-plugin BasicHTTPAuth --auth-source @users --token-plugin TokenFile --token-source @/src 1",
    );
    let source = config.auth.unwrap().source;
    assert_eq!(source, Some(Argument::File("/start/users".into())));
    let Sessions::Tokens { plugin, .. } = config.sessions else { panic!() };
    assert_eq!(plugin.source, Some(Argument::File("/src".into())));
}

#[test]
#[cfg(feature = "encrypted-keys")]
fn the_rest_of_the_options_arrive() {
    use crate::certs::Versions;
    let config = config(
        "--traffic --libserver --ssl-version tlsv1_1 --ssl-ciphers TLS_AES_128_GCM_SHA256 --verify-client --cafile ca \
         --key-password pw --syslog logs:514 --legacy-syslog --target-config f 1",
    );
    assert!(config.log.traffic && config.libserver && config.tls.asks_1_1 && config.target_config);
    let tls = &config.tls.clients;
    assert_eq!(tls.versions, Versions::From12);
    assert_eq!(tls.suites, Some(vec![rustls::CipherSuite::TLS13_AES_128_GCM_SHA256]));
    assert_eq!(tls.clients, Some(Authorities::File("/start/ca".into())));
    assert_eq!(tls.key_password, Some(b"pw".to_vec()));
    let address = SyslogAddress::Udp { host: "logs".into(), port: 514 };
    let sealed = super::config("--key-password @pw 1 a:2").tls;
    assert_eq!((sealed.clients.key_password, sealed.key_password_file), (None, Some("/start/pw".into())));
    assert_eq!(config.log.syslog, Some(SyslogSettings { address, legacy: true, daemon: false }));
    assert_eq!(config.notices().len(), 4);
    assert_eq!(super::config("1 a:2").notices().len(), 0);
    assert_eq!(super::config("--ssl-version tlsv1_3 1 a:2").tls.clients.versions, Versions::Only13);
}

#[test]
fn certificates_and_keys_find_each_other() {
    let pair = |cert: &str, key: Option<&str>| Pair {
        cert: format!("/start/{cert}").into(),
        key: key.map(|key| format!("/start/{key}").into()),
    };
    for (line, pairs) in [
        ("", vec![pair("self.pem", None)]),
        ("--key k", vec![pair("self.pem", Some("k"))]),
        ("--cert a", vec![pair("a", None)]),
        ("--key k --cert a", vec![pair("a", Some("k"))]),
        ("--cert a --key k --key l", vec![pair("a", Some("l"))]),
        ("--cert a --cert b", vec![pair("a", None), pair("b", None)]),
        ("--cert a --key k --cert b --key l", vec![pair("a", Some("k")), pair("b", Some("l"))]),
        ("--cert a --cert b --key k --key l", vec![pair("a", Some("k")), pair("b", Some("l"))]),
        ("--key k --cert a --key l --cert b", vec![pair("a", Some("k")), pair("b", Some("l"))]),
        ("--cert a --cert b --key l", vec![pair("a", None), pair("b", Some("l"))]),
        ("--cert a --key k --cert b", vec![pair("a", Some("k")), pair("b", None)]),
        ("--key k --cert a --cert b", vec![pair("a", Some("k")), pair("b", None)]),
        ("--cert a --cert= --key= --cert b --key l", vec![pair("a", None), pair("b", Some("l"))]),
    ] {
        assert_eq!(config(&format!("{line} 1 a:2")).tls.clients.pairs, pairs, "{line}");
    }
}

#[test]
fn tls_to_the_target_is_what_its_options_say() {
    let target = |line: &str| config(&format!("{line} 1 a:2")).tls.target;
    let options =
        |authorities, name: Option<&str>| Some(TargetOptions { authorities, name: name.map(str::to_owned) });
    assert_eq!(target(""), None);
    assert_eq!(target("--ssl-t"), options(Some(Authorities::System), None));
    let file = Authorities::File("/start/ca".into());
    let line = "--ssl-target --ssl-target-ca ca --ssl-target-name vnc.example";
    assert_eq!(target(line), options(Some(file), Some("vnc.example")));
    let line = "--ssl-target --ssl-target-insecure";
    assert_eq!(target(line), options(None, None));
    assert!(config(&format!("{line} 1 a:2")).notices()[0].starts_with("warning: "));
}

#[test]
fn bytes_that_are_not_utf_8_pass_through_paths() {
    let with = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let args = vec![with(b"--web=\xff"), "--unix-target".into(), with(b"/\xfe"), "1".into()];
    let Outcome::Run(config) = parse(args, &environment()) else { panic!() };
    assert_eq!(config.web.unwrap().root.as_os_str().as_bytes(), b"/start/\xff");
    assert_eq!(config.sessions, Sessions::Fixed(Target::Unix(with(b"/\xfe").into())));

    let outcome = parse(vec!["--timeout".into(), with(b"\xff\n\"'")], &environment());
    assert_eq!(complaint_of(outcome), "option --timeout: invalid integer value: '\\udcff\\n\"\\''");
}

#[test]
#[cfg(not(feature = "encrypted-keys"))]
fn a_password_for_keys_needs_a_build_with_it() {
    let text = "option --key-password: this program was built without encrypted-keys";
    assert_eq!(complaint_of(parse(words("--key-password p 1 a:2"), &environment())), text);
}

#[test]
#[cfg(feature = "encrypted-keys")]
fn options_of_every_kind_start() {
    for line in [
        "-v --log-file f --traffic --run-once --timeout 1 --idle-timeout 1 -6 --heartbeat 1 --wrap-mode exit \
         --libserver --log-tokens 1 a:2",
        "--unix-listen s --unix-listen-mode 0660 --unix-target t",
        "--cert c --key k --key-password p --verify-client --cafile ca --ssl-version tlsv1_3 --ssl-ciphers \
         TLS_AES_128_GCM_SHA256 --ssl-target --ssl-target-ca ca --ssl-target-name n 1 a:2",
        "--ssl-target --ssl-target-insecure --ssl-only --cert /there/c.pem 1 a:2",
    ] {
        assert_eq!(parse(words(line), &environment()), Outcome::Run(Box::new(config(line))), "{line}");
    }
}

#[test]
fn with_sockets_from_a_service_manager_the_source_may_be_left_out() {
    let activated = Environment { is_activated: true, ..environment() };
    let parsed = |line: &str| match parse(words(line), &activated) {
        Outcome::Run(config) => Ok((config.listen, config.sessions)),
        other => Err(complaint_of(other)),
    };
    let fixed = |host: &str| Sessions::Fixed(Target::Tcp { host: host.to_owned(), port: 1 });
    let tcp = Address::Tcp { host: String::new(), port: 6080, prefer_ipv6: false };
    let socket = Sessions::Fixed(Target::Unix("t".into()));
    for (line, listen, sessions) in [
        ("a:1", Address::Inetd, fixed("a")),
        ("--inetd a:1", Address::Inetd, fixed("a")),
        ("6080 a:1", tcp.clone(), fixed("a")),
        ("--unix-target t", Address::Inetd, socket.clone()),
        ("--unix-target t 6080", tcp, socket),
    ] {
        assert_eq!(parsed(line), Ok((vec![listen], sessions)), "{line}");
    }
    assert_eq!(parsed("").map(|_| ()), Err("Too few arguments".to_owned()));
    assert_eq!(parsed("6080 a:1 b:2").map(|_| ()), Err("Too many arguments".to_owned()));
    // Without such sockets all is as it was.
    assert_eq!(complaint("a:1"), "Too few arguments");
}

#[test]
fn the_wish_for_inetd_is_known_before_the_line_is_read() {
    for (line, expected) in
        [("--inetd a:1", true), ("--bogus --in a:1", true), ("--i a:1", false), ("6080 a:1", false)]
    {
        assert_eq!(asks_for_inetd(words(line).into_iter()), expected, "{line}");
    }
}

#[test]
fn tokens_of_services_are_used_once_or_kept_for_a_while() {
    let remote =
        |options: &str| match config(&format!("--token-plugin TokenRedis --token-source r {options} 1"))
            .sessions
        {
            Sessions::Tokens { remote, .. } => remote,
            other => panic!("{other:?}"),
        };
    let cache = |seconds| Some(std::time::Duration::from_secs(seconds));
    assert_eq!(remote("--token-cache 5"), Remote { once: false, cache: cache(5) });
    assert_eq!(remote("--token-once"), Remote { once: true, cache: None });
    for nothing in ["--token-cache 0", "--token-cache=-1", ""] {
        assert_eq!(remote(nothing), Remote::default(), "{nothing}");
    }
    assert_eq!(remote("--token-cache 0 --token-once"), Remote { once: true, cache: None });
}
