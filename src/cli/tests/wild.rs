//! Command lines that are in use, each with all that it means.

use super::super::*;
use super::{complaint, config};
use crate::certs::{Authorities, Pair, ServerOptions, TargetOptions, Versions};
use crate::log;
use crate::net::listen::Address;
use crate::rules::Rules;
use crate::secret::Secret;
use crate::target::Target;
use crate::{auth, token, web};
use std::time::Duration;

/// Listening on `host:port` and relaying to `target`, everything else as without options.
fn proxy(host: &str, port: u16, sessions: Sessions) -> Config {
    Config {
        directory: "/start".into(),
        libserver: false,
        listen: vec![Address::Tcp { host: host.into(), port, prefer_ipv6: false }],
        sessions,
        tls: plain_tls(),
        auth: None,
        origins: Vec::new(),
        web: None,
        web_auth: false,
        daemon: false,
        pid_file: None,
        run_once: false,
        timeout: None,
        idle_timeout: None,
        heartbeat: None,
        proxies: ProxyOptions::default(),
        log: log::Settings::default(),
        record: None,
        record_input: true,
        target_config: false,
        workers: 1,
        max_connections: None,
        memory_limit_bytes: None,
        admin: None,
        admin_token_file: None,
        health_path: None,
    }
}

fn plain_tls() -> TlsOptions {
    cert("/start/self.pem")
}

fn cert(cert: &str) -> TlsOptions {
    with_pair(Pair { cert: cert.into(), key: None })
}

fn cert_and_key(cert: &str, key: &str) -> TlsOptions {
    with_pair(Pair { cert: cert.into(), key: Some(key.into()) })
}

fn with_pair(pair: Pair) -> TlsOptions {
    TlsOptions {
        clients: ServerOptions {
            pairs: vec![pair],
            key_password: None,
            versions: Versions::From12,
            suites: None,
            clients: None,
        },
        key_password_file: None,
        only: false,
        target: None,
        ignored_ciphers: Vec::new(),
        asks_1_1: false,
    }
}

fn web(root: &str) -> Option<web::Settings> {
    Some(web::Settings { root: root.into(), ..web::Settings::default() })
}

fn verbose() -> log::Settings {
    log::Settings { level: log::Level::Debug, ..log::Settings::default() }
}

fn tls_target() -> Option<TargetOptions> {
    Some(TargetOptions { authorities: Some(Authorities::System), name: None })
}

fn to(host: &str, port: u16) -> Sessions {
    Sessions::Fixed(Target::Tcp { host: host.into(), port })
}

fn to_socket(path: &str) -> Sessions {
    Sessions::Fixed(Target::Unix(path.into()))
}

fn wrapped(mode: WrapMode, unix_target: Option<&str>, command: &[&str]) -> Sessions {
    let command = command.iter().map(OsString::from).collect();
    Sessions::Wrapped { command, mode, unix_target: unix_target.map(PathBuf::from) }
}

fn argument(text: &str) -> Argument {
    Argument::Text(Secret::new(text))
}

fn tokens(class: &str, source: Option<&str>) -> Sessions {
    let class = token::plugin(class).expect(class);
    let plugin = TokenPlugin { class, source: source.map(argument), python: None };
    Sessions::Tokens { plugin, host_token: false, remote: Default::default(), rules: Rules::default() }
}

fn auth(class: &str, source: &str) -> Option<AuthPlugin> {
    let class = auth::plugin(class).expect(class);
    Some(AuthPlugin { class, source: Some(argument(source)), python: None, cookie: false })
}

fn secs(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

fn path(path: &str) -> Option<PathBuf> {
    Some(path.into())
}

fn check(rows: Vec<(&str, Config)>) {
    for (line, meaning) in rows {
        assert_eq!(config(line), meaning, "{line}");
    }
}

#[test]
fn launchers_of_novnc_and_others_are_understood() {
    check(vec![
        (
            "--web /w --cert c.pem --key k.pem 6080 localhost:5900 --heartbeat 30 --idle-timeout 60 \
             --record /r/rec --timeout 90 --web-auth --auth-plugin BasicHTTPAuth --auth-source u:p",
            Config {
                web: web("/w"),
                tls: cert_and_key("/start/c.pem", "/start/k.pem"),
                heartbeat: secs(30),
                idle_timeout: secs(60),
                record: path("/r/rec"),
                timeout: secs(90),
                web_auth: true,
                auth: auth("BasicHTTPAuth", "u:p"),
                ..proxy("", 6080, to("localhost", 5900))
            },
        ),
        ("6080 --heartbeat=30 n1:5901", Config { heartbeat: secs(30), ..proxy("", 6080, to("n1", 5901)) }),
        ("-D 5901 localhost:5902", Config { daemon: true, ..proxy("", 5901, to("localhost", 5902)) }),
        (
            "--daemon --idle-timeout=120 --timeout=120 5911 host:5900 --ssl-target --cert /c --key /k",
            Config {
                daemon: true,
                idle_timeout: secs(120),
                timeout: secs(120),
                tls: TlsOptions { target: tls_target(), ..cert_and_key("/c", "/k") },
                ..proxy("", 5911, to("host", 5900))
            },
        ),
        (
            "--run-once -D --timeout 30 --idle-timeout 30 6080 localhost:5900",
            Config {
                run_once: true,
                daemon: true,
                timeout: secs(30),
                idle_timeout: secs(30),
                ..proxy("", 6080, to("localhost", 5900))
            },
        ),
        (
            "--daemon --verbose --wrap-mode=ignore --record=/run/x/x.log 0.0.0.0:50970 h:33305",
            Config {
                daemon: true,
                log: verbose(),
                record: path("/run/x/x.log"),
                ..proxy("0.0.0.0", 50970, to("h", 33305))
            },
        ),
        (
            "--run-once -v 6080 localhost:5900",
            Config { run_once: true, log: verbose(), ..proxy("", 6080, to("localhost", 5900)) },
        ),
        ("--wrap-mode=ignore 0.0.0.0:6080 localhost:5900", proxy("0.0.0.0", 6080, to("localhost", 5900))),
    ]);
}

#[test]
fn wrapped_programs_are_understood() {
    let jupyter = ["/bin/sh", "-c", "cd /home && vncserver -fg"];
    let verbose_vnc = ["vncserver", "-verbose", "-xstartup", "/x"];
    let vnc = ["vncserver", "-xstartup", "/x", "-fg", ":1"];
    check(vec![
        (
            "--verbose --heartbeat=30 5901 --unix-target /run/x/x/vnc-socket -- \
             /bin/sh -c 'cd /home && vncserver -fg'",
            Config {
                log: verbose(),
                heartbeat: secs(30),
                ..proxy("", 5901, wrapped(WrapMode::Exit, Some("/run/x/x/vnc-socket"), &jupyter))
            },
        ),
        (
            "-v --web /novnc --heartbeat 30 5901 --unix-target S -- vncserver -verbose -xstartup /x",
            Config {
                log: verbose(),
                web: web("/novnc"),
                heartbeat: secs(30),
                ..proxy("", 5901, wrapped(WrapMode::Exit, Some("S"), &verbose_vnc))
            },
        ),
        (
            "--verbose --log-file=/run/x/websockify.log --heartbeat=30 5901 -- \
             vncserver -xstartup /x -fg :1",
            Config {
                log: log::Settings { file: path("/run/x/websockify.log"), ..verbose() },
                heartbeat: secs(30),
                ..proxy("", 5901, wrapped(WrapMode::Exit, None, &vnc))
            },
        ),
        (
            "5901 --wrap-mode=ignore -- vncserver -geometry 1024x768 :1",
            proxy("", 5901, wrapped(WrapMode::Ignore, None, &["vncserver", "-geometry", "1024x768", ":1"])),
        ),
        (
            "2023 --wrap-mode=respawn -- telnetd -debug 2023",
            proxy("", 2023, wrapped(WrapMode::Respawn, None, &["telnetd", "-debug", "2023"])),
        ),
        (
            "--wrap-stdin 2023 -- telnetd -h",
            proxy("", 2023, Sessions::PerSession { command: vec!["telnetd".into(), "-h".into()] }),
        ),
        (
            "--unix-listen s --wrap-stdin -- cat",
            Config {
                listen: vec![Address::Unix { path: "s".into(), mode: 0o600 }],
                ..proxy("", 0, Sessions::PerSession { command: vec!["cat".into()] })
            },
        ),
    ]);
}

#[test]
fn web_roots_and_certificates_are_understood() {
    let novnc = || Config { web: web("/usr/share/novnc"), ..proxy("", 8080, to("localhost", 5900)) };
    check(vec![
        ("--web /usr/share/novnc 8080 localhost:5900", novnc()),
        (
            "-D --web=/usr/share/novnc/ --cert=/none.pem 8080 localhost:5900",
            Config { daemon: true, tls: cert("/none.pem"), ..novnc() },
        ),
        (
            "-D --web=/usr/share/novnc/ --cert=~/.novnc/novnc.pem 8080 localhost:5900",
            Config { daemon: true, tls: cert("/start/~/.novnc/novnc.pem"), ..novnc() },
        ),
        (
            "0.0.0.0:6080 127.0.0.1:5901 --web=/usr/share/novnc",
            Config { web: web("/usr/share/novnc"), ..proxy("0.0.0.0", 6080, to("127.0.0.1", 5901)) },
        ),
        (
            "-v --web=/app :8000 host:5900",
            Config { log: verbose(), web: web("/app"), ..proxy("", 8000, to("host", 5900)) },
        ),
        (
            "--ssl-target --web=dist --cert=server.crt --key=server.key 64737 host:64738",
            Config {
                tls: TlsOptions {
                    target: tls_target(),
                    ..cert_and_key("/start/server.crt", "/start/server.key")
                },
                web: web("/start/dist"),
                ..proxy("", 64737, to("host", 64738))
            },
        ),
        (
            "--ssl-only --cert=/there/c.pem --key=/there/k.pem 0.0.0.0:443 0.0.0.0:5900",
            Config {
                tls: TlsOptions { only: true, ..cert_and_key("/there/c.pem", "/there/k.pem") },
                ..proxy("0.0.0.0", 443, to("0.0.0.0", 5900))
            },
        ),
        (
            "--cert=/etc/novnc.pem --key=/etc/novnc.pem 6080 localhost:5900",
            Config {
                tls: cert_and_key("/etc/novnc.pem", "/etc/novnc.pem"),
                ..proxy("", 6080, to("localhost", 5900))
            },
        ),
    ]);
}

#[test]
fn token_plugins_are_understood() {
    check(vec![
        (
            "--cert /there/self.pem --web /data/noVNC :443 --token-plugin TokenRedis \
             --token-source myredis.local:6379 --ssl-only --ssl-version tlsv1_2",
            Config {
                tls: TlsOptions { only: true, ..cert("/there/self.pem") },
                web: web("/data/noVNC"),
                ..proxy("", 443, tokens("TokenRedis", Some("myredis.local:6379")))
            },
        ),
        (
            "--token-plugin=TokenFile --token-source=/var/lib/x/vnc-tokens/ 6080",
            proxy("", 6080, tokens("TokenFile", Some("/var/lib/x/vnc-tokens/"))),
        ),
        (
            "-D --web /w 6080 --token-plugin TokenFileName --token-source tokens",
            Config {
                daemon: true,
                web: web("/w"),
                ..proxy("", 6080, tokens("TokenFileName", Some("tokens")))
            },
        ),
        (
            "--web=/w --token-plugin ReadOnlyTokenFile --token-source F 6080 --log-file f --daemon",
            Config {
                web: web("/w"),
                log: log::Settings { file: path("/start/f"), ..log::Settings::default() },
                daemon: true,
                ..proxy("", 6080, tokens("ReadOnlyTokenFile", Some("F")))
            },
        ),
        (
            "--token-plugin JSONTokenApi --token-source http://127.0.0.1:8086/api/getVncAddress?token=%s 6080",
            proxy("", 6080, tokens("JSONTokenApi", Some("http://127.0.0.1:8086/api/getVncAddress?token=%s"))),
        ),
        (
            "--web /opt/novnc --token-plugin JWTTokenApi --token-source KEYFILE 6080",
            Config { web: web("/opt/novnc"), ..proxy("", 6080, tokens("JWTTokenApi", Some("KEYFILE"))) },
        ),
        ("6080 --token-plugin JWTTokenApi", proxy("", 6080, tokens("JWTTokenApi", None))),
        (
            "--web=/w --token-plugin websockify.token_plugins.TokenFile --token-source T --file-only 6080",
            Config {
                web: web("/w").map(|web| web::Settings { listings: false, ..web }),
                ..proxy("", 6080, tokens("TokenFile", Some("T")))
            },
        ),
        (
            "--token-plugin UnixDomainSocketDirectory --token-source /run/s 6080",
            proxy("", 6080, tokens("UnixDomainSocketDirectory", Some("/run/s"))),
        ),
        (
            "-D --web=/w 8787 --target-config=/path/token.conf",
            Config {
                daemon: true,
                web: web("/w"),
                target_config: true,
                ..proxy("", 8787, tokens("TokenFile", Some("/path/token.conf")))
            },
        ),
        (
            "--cert=C --key=K 8080 --token-plugin TokenFile --token-source /tokens/ --log log.txt -v \
             --ssl-target --web=D",
            Config {
                tls: TlsOptions { target: tls_target(), ..cert_and_key("/start/C", "/start/K") },
                log: log::Settings { file: path("/start/log.txt"), ..verbose() },
                web: web("/start/D"),
                ..proxy("", 8080, tokens("TokenFile", Some("/tokens/")))
            },
        ),
    ]);
}

#[test]
fn auth_plugins_are_understood() {
    check(vec![
        (
            "--auth-plugin BasicHTTPAuth --auth-source 'user:SECRET' --heartbeat 30 6080 127.0.0.1:5900",
            Config {
                auth: auth("BasicHTTPAuth", "user:SECRET"),
                heartbeat: secs(30),
                ..proxy("", 6080, to("127.0.0.1", 5900))
            },
        ),
        (
            "--web D --auth-plugin websockify.auth_plugins.BasicHTTPAuth --auth-source 'u:p' --web-auth \
             6080 localhost:5900",
            Config {
                web: web("/start/D"),
                auth: auth("BasicHTTPAuth", "u:p"),
                web_auth: true,
                ..proxy("", 6080, to("localhost", 5900))
            },
        ),
        (
            "6080 localhost:5900 --auth-plugin websockify.auth_plugins.ExpectOrigin \
             --auth-source 'http://localhost:3100 http://127.0.0.1:3100'",
            Config {
                auth: auth("ExpectOrigin", "http://localhost:3100 http://127.0.0.1:3100"),
                ..proxy("", 6080, to("localhost", 5900))
            },
        ),
    ]);
}

#[test]
fn unix_sockets_and_inetd_are_understood() {
    check(vec![
        (
            "--inetd --web=/usr/share/novnc --unix-target=/run/x/vnc.sock",
            Config {
                listen: vec![Address::Inetd],
                web: web("/usr/share/novnc"),
                ..proxy("", 0, to_socket("/run/x/vnc.sock"))
            },
        ),
        (
            "--unix-listen=/run/vms/a/websock --unix-listen-mode=0660 --unix-target=/run/vms/a/vnc",
            Config {
                listen: vec![Address::Unix { path: "/run/vms/a/websock".into(), mode: 0o660 }],
                ..proxy("", 0, to_socket("/run/vms/a/vnc"))
            },
        ),
        ("--unix-target=./server.sock 8080", proxy("", 8080, to_socket("./server.sock"))),
    ]);
}

#[test]
fn what_is_an_error_in_the_wild_stays_one() {
    for (line, text) in [
        ("6080 localhost:5900 --web", "--web option requires 1 argument"),
        ("6080:127.0.0.1:6080", "Too few arguments"),
        ("--cert none --ssl-only 0", "SSL only and none not found"),
    ] {
        assert_eq!(complaint(line), text, "{line}");
    }
}
