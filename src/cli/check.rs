//! From the options given to a [`Config`]: what depends on what, what the positionals are, which paths
//! become absolute.
//!
//! The checks run in the order of the Python program, so that a line with two mistakes gets the same
//! complaint. An error is the text for the user.

use super::address;
use super::config::{Config, Sessions, WrapMode};
use super::header;
use super::parse::Given;
use super::plugins::{self, Argument, AuthPlugin, TokenPlugin};
use super::{Environment, Fault, admin, certificates, novnc, proxies, python};
use crate::gate::AllowedOrigin;
use crate::http::origin::Origin;
use crate::log;
use crate::net::listen::Address;
use crate::plugin::PythonClass;
use crate::rules::{Rule, Rules};
use crate::target::Target;
use crate::token::{self, Asks, Remote};
use crate::web;

use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// The meaning of the options given.
pub(super) fn config(given: &Given, env: &Environment) -> Result<Config, Fault> {
    dependencies(given)?;
    let path = |name| given.text(name).map(|text| absolute(&env.directory, Path::new(text)));
    let syslog = match given.text("syslog") {
        None => None,
        Some(text) => Some(log::SyslogSettings {
            address: address::syslog(text, |path| absolute(&env.directory, path))?,
            legacy: given.flag("legacy-syslog"),
            daemon: given.flag("daemon"),
        }),
    };
    let tls = certificates::tls(given, env)?;
    let (listen, sessions) = ends(given, env)?;
    let auth = match given.text("auth-plugin") {
        None => None,
        Some(name) => {
            let (class, python) = plugins::auth(name)?;
            Some(AuthPlugin {
                class,
                source: given.text("auth-source").map(|text| match class.is_program {
                    true => Argument::text(text),
                    false => argument(text, env),
                }),
                python: python.map(|name| python_class(given, name)),
                cookie: given.flag("auth-cookie"),
            })
        }
    };
    let has_class = auth.as_ref().is_some_and(|auth| auth.python.is_some())
        || matches!(&sessions, Sessions::Tokens { plugin, .. } if plugin.python.is_some());
    if given.text("plugin-python").is_some() && !has_class {
        let text = "You must use --token-plugin or --auth-plugin with a Python class to use --plugin-python";
        return Err(Fault::Usage(text.to_owned()));
    }
    Ok(Config {
        directory: env.directory.clone(),
        libserver: given.flag("libserver"),
        listen: vec![listen],
        sessions,
        tls,
        origins: origins(given, auth.as_ref())?,
        auth,
        web: web(given, env)?,
        web_auth: given.flag("web-auth"),
        daemon: given.flag("daemon"),
        pid_file: path("pid-file"),
        run_once: given.flag("run-once"),
        timeout: seconds(given.integer("timeout")),
        idle_timeout: seconds(given.integer("idle-timeout")),
        heartbeat: seconds(given.integer("heartbeat")),
        workers: count(given, "workers", 256)?.unwrap_or(1),
        max_connections: count(given, "max-connections", 1 << 30)?,
        memory_limit_bytes: count(given, "memory-limit", 1 << 20)?.map(|mib| mib.saturating_mul(1 << 20)),
        admin: admin::address(given)?,
        admin_token_file: path("admin-token-file"),
        health_path: admin::health_path(given)?,
        proxies: proxies::options(given, env)?,
        log: log::Settings {
            level: level(given),
            format: match given.text("log-format").is_some_and(|word| word == "json") {
                true => log::Format::Json,
                false => log::Format::Text,
            },
            access: access(given, env)?,
            secrets: given.flag("log-tokens"),
            file: path("log-file"),
            syslog,
            traffic: given.flag("traffic"),
        },
        record: path("record"),
        record_input: given.text("record-input").is_none_or(|word| word != "no"),
        target_config: given.text("target-config").is_some(),
    })
}

/// The least important lines that are written. `--log-level` says more than `--verbose`.
fn level(given: &Given) -> log::Level {
    let word = given.text("log-level").and_then(OsStr::to_str);
    let usual = if given.flag("verbose") { log::Level::Debug } else { log::Level::Info };
    word.and_then(|word| log::Level::ALL.into_iter().find(|level| level.name() == word)).unwrap_or(usual)
}

/// Where the access log goes. Standard output must be nobody else's.
fn access(given: &Given, env: &Environment) -> Result<Option<log::Access>, String> {
    let Some(text) = given.text("access-log") else { return Ok(None) };
    if text != "-" {
        return Ok(Some(log::Access::File(absolute(&env.directory, Path::new(text)))));
    }
    for name in ["traffic", "daemon", "inetd"] {
        if given.flag(name) {
            return Err(format!(
                "You can't use --access-log - with --{name}: standard output is not free then"
            ));
        }
    }
    Ok(Some(log::Access::Stdout))
}

/// A number of things of which there must be at least one.
fn count(given: &Given, name: &'static str, most: i64) -> Result<Option<usize>, String> {
    match given.integer(name) {
        None => Ok(None),
        Some(n) if (1..=most).contains(&n) => Ok(usize::try_from(n).ok()),
        Some(n) => Err(format!("option --{name}: {n} is not between 1 and {most}")),
    }
}

/// Which option makes sense only together with which other one.
fn dependencies(given: &Given) -> Result<(), String> {
    let has = |name| given.text(name).is_some();
    for (used, name, needed) in [
        (has("token-source"), "token-source", "token-plugin"),
        (given.flag("host-token"), "host-token", "token-plugin"),
        (given.flag("token-once"), "token-once", "token-plugin"),
        (given.integer("token-cache").is_some(), "token-cache", "token-plugin"),
        (has("auth-source"), "auth-source", "auth-plugin"),
        (given.flag("web-auth"), "web-auth", "auth-plugin"),
        (given.flag("auth-cookie"), "auth-cookie", "auth-plugin"),
        (given.flag("web-auth"), "web-auth", "web"),
        (has("web-header"), "web-header", "web"),
        (has("web-cache-control"), "web-cache-control", "web"),
        (given.flag("web-dot-files"), "web-dot-files", "web"),
        (given.flag("web-outside-links"), "web-outside-links", "web"),
        (given.flag("legacy-syslog"), "legacy-syslog", "syslog"),
        (has("record-input"), "record-input", "record"),
        (has("admin-mode"), "admin-mode", "admin"),
        (has("ssl-target-ca"), "ssl-target-ca", "ssl-target"),
        (has("ssl-target-name"), "ssl-target-name", "ssl-target"),
        (given.flag("ssl-target-insecure"), "ssl-target-insecure", "ssl-target"),
    ] {
        let is_there = has(needed) || given.flag(needed) || needed == "web" && novnc::is_wanted(given);
        if used && !is_there {
            return Err(format!("You must use --{needed} to use --{name}"));
        }
    }
    if given.flag("wrap-stdin") {
        for (used, name) in [(has("wrap-mode"), "wrap-mode"), (has("unix-target"), "unix-target")] {
            if used {
                return Err(format!("You can't use --{name} with --wrap-stdin"));
            }
        }
        if given.after_dashes.as_ref().is_none_or(Vec::is_empty) {
            return Err("You must use a wrapped command (--) to use --wrap-stdin".to_owned());
        }
    }
    if has("web") && novnc::is_wanted(given) {
        return Err("You can't use --web with --novnc, which serves noVNC's own directory".to_owned());
    }
    for name in ["allow-target", "deny-target"] {
        if has(name) && !has("token-plugin") && !has("target-config") {
            return Err(format!("You must use --token-plugin to use --{name}"));
        }
    }
    Ok(())
}

/// A class of Python, and the interpreter that is to load it.
fn python_class(given: &Given, name: String) -> PythonClass {
    let interpreter = given.text("plugin-python").map_or_else(|| OsString::from("python3"), OsStr::to_owned);
    PythonClass { name, interpreter }
}

/// A value that may be in a file.
pub(super) fn argument(text: &OsStr, env: &Environment) -> Argument {
    Argument::of(text, |path| absolute(&env.directory, path))
}

/// Whose pages may open sessions. Browsers send a cookie whatever page they open a session for, so with
/// `--auth-cookie` only our own may, if no others are named.
fn origins(given: &Given, auth: Option<&AuthPlugin>) -> Result<Vec<AllowedOrigin>, String> {
    let mut origins = Vec::new();
    for (_, text) in given.texts(&["allow-origin"]) {
        for word in text.to_string_lossy().split([' ', '\t', '\n', ',']).filter(|word| !word.is_empty()) {
            origins.push(match word {
                "same-origin" => AllowedOrigin::Same,
                _ => match Origin::of(word) {
                    origin if origin.is_possible() => AllowedOrigin::Of(origin),
                    _ => {
                        return Err(format!(
                            "option --allow-origin: '{word}' is neither same-origin nor an origin such as \
                             https://example.org:8443"
                        ));
                    }
                },
            });
        }
    }
    let Some(auth) = auth.filter(|auth| auth.cookie) else { return Ok(origins) };
    if auth.class.name != "BasicHTTPAuth" {
        return Err("You must use --auth-plugin BasicHTTPAuth to use --auth-cookie".to_owned());
    }
    if !origins.contains(&AllowedOrigin::Same) {
        origins.push(AllowedOrigin::Same);
    }
    Ok(origins)
}

/// How the service of a token plugin is asked.
fn remote(given: &Given, class: &token::Plugin) -> Result<Remote, String> {
    let once = given.flag("token-once");
    if once && class.name != "TokenRedis" {
        return Err("You must use --token-plugin TokenRedis to use --token-once".to_owned());
    }
    let cache = seconds(given.integer("token-cache"));
    if once && cache.is_some() {
        return Err("You can't use --token-cache with --token-once".to_owned());
    }
    if class.asks == Asks::Files && cache.is_some() {
        return Err(format!("You can't use --token-cache with {}, which asks no service", class.name));
    }
    Ok(Remote { once, cache })
}

/// Where targets of tokens may be.
fn rules(given: &Given) -> Result<Rules, String> {
    let read = |name: &'static str| {
        let mut rules = Vec::new();
        for (_, text) in given.texts(&[name]) {
            let rule = Rule::parse(&text.to_string_lossy());
            rules.push(rule.map_err(|text| format!("option --{name}: {text}"))?);
        }
        Ok::<_, String>(rules)
    };
    Ok(Rules::new(read("allow-target")?, read("deny-target")?))
}

/// The files to serve.
fn web(given: &Given, env: &Environment) -> Result<Option<web::Settings>, Fault> {
    let cache_control = header::cache_control(given.text("web-cache-control"))?;
    let headers = given.texts(&["web-header"]).map(|(_, text)| header::field(text));
    let headers = headers.collect::<Result<_, _>>()?;
    if let Some(root) = given.text("web")
        && !env.directory.join(root).is_absolute()
    {
        return Err(format!("option --web: {}: the working directory is gone", python::quoted(root)).into());
    }
    let novnc = novnc::find(given, |path| absolute(&env.directory, path), env.exists)?;
    let root = given.text("web").map(|root| absolute(&env.directory, Path::new(root)));
    Ok(novnc.clone().or(root).map(|root| web::Settings {
        root,
        novnc: novnc.is_some(),
        listings: !given.flag("file-only"),
        outside_links: given.flag("web-outside-links"),
        dot_files: given.flag("web-dot-files"),
        cache_control,
        headers,
        own: Vec::new(),
    }))
}

/// Where to listen and where to connect, which share the positionals.
fn ends(given: &Given, env: &Environment) -> Result<(Address, Sessions), String> {
    let mut words = given.positionals.iter();
    let mut after_dashes = given.after_dashes.iter().flatten();
    let has_target = ["unix-target", "token-plugin", "target-config"].iter().any(|o| given.text(o).is_some());
    // With sockets from a service manager the source may be left out.
    let is_left_out = env.is_activated
        && given.after_dashes.is_none()
        && given.positionals.len() == usize::from(!has_target);
    let listen = match (given.flag("inetd"), given.text("unix-listen")) {
        (true, _) => Address::Inetd,
        (false, None) if is_left_out => Address::Inetd,
        (false, Some(path)) => {
            let mode = mode(given, "unix-listen-mode", "Error parsing listen unix socket mode")?;
            Address::Unix { path: path.into(), mode }
        }
        (false, None) => {
            // With no word in front of `--`, the first after it is the source.
            let word = words.next().or_else(|| after_dashes.next()).ok_or("Too few arguments")?;
            address::listen(word, given.flag("prefer-ipv6"))?
        }
    };
    let command: Vec<OsString> = after_dashes.cloned().collect();
    let unix_target = given.text("unix-target").map(PathBuf::from);
    let tokens = tokens(given, env);
    let target = match (command.is_empty(), &unix_target, &tokens) {
        (true, None, None) => Some(address::target(words.next().ok_or("Too few arguments")?)?),
        _ => None,
    };
    if words.next().is_some() {
        return Err("Too many arguments".to_owned());
    }
    let sessions = match (target, tokens, unix_target) {
        (Some(target), ..) => Sessions::Fixed(target),
        (None, Some(_), _) if !command.is_empty() => {
            return Err("You can't use --token-plugin with a wrapped command (--)".to_owned());
        }
        (None, Some(_), Some(_)) => return Err("You can't use --token-plugin with --unix-target".to_owned()),
        (None, Some((class, source)), None) => {
            let (class, python) = plugins::token(&class)?;
            let source = source.map(|text| match class.asks == Asks::Program {
                true => Argument::text(&text),
                false => argument(&text, env),
            });
            Sessions::Tokens {
                plugin: TokenPlugin { class, source, python: python.map(|name| python_class(given, name)) },
                host_token: given.flag("host-token"),
                remote: remote(given, class)?,
                rules: rules(given)?,
            }
        }
        (None, None, Some(path)) if command.is_empty() => Sessions::Fixed(Target::Unix(path)),
        (None, None, None) if given.flag("wrap-stdin") => Sessions::PerSession { command },
        (None, None, unix_target) => {
            if !matches!(listen, Address::Tcp { .. }) {
                return Err("A wrapped command (--) needs a source_port to take over: \
                            you can't use --inetd or --unix-listen with it"
                    .to_owned());
            }
            Sessions::Wrapped { command, mode: wrap_mode(given), unix_target }
        }
    };
    Ok((listen, sessions))
}

/// Name and argument of the token plugin. The older `--target-config` wins.
fn tokens(given: &Given, env: &Environment) -> Option<(OsString, Option<OsString>)> {
    if let Some(file) = given.text("target-config") {
        let file = absolute(&env.directory, Path::new(file));
        return Some(("TokenFile".into(), Some(file.into_os_string())));
    }
    let class = given.text("token-plugin")?.to_owned();
    Some((class, given.text("token-source").map(OsStr::to_owned)))
}

fn wrap_mode(given: &Given) -> WrapMode {
    match given.text("wrap-mode").and_then(OsStr::to_str) {
        Some("ignore") => WrapMode::Ignore,
        Some("respawn") => WrapMode::Respawn,
        _ => WrapMode::Exit,
    }
}

/// The permissions of a Unix socket, which the option `name` has; `what` begins the complaint.
pub(super) fn mode(given: &Given, name: &'static str, what: &str) -> Result<u32, String> {
    let Some(text) = given.text(name) else { return Ok(DEFAULT_MODE) };
    let number = text.to_str().and_then(|text| python::integer(text, 8));
    let number = number.ok_or_else(|| format!("{what}: {}", python::quoted(text)))?;
    match u32::try_from(number) {
        Ok(mode) if mode <= 0o7777 => Ok(mode),
        _ => Err(format!("{what}: {} is not between 0 and 7777", text.display())),
    }
}

/// A time option: zero and less mean never.
fn seconds(number: Option<i64>) -> Option<Duration> {
    // Capped, so that adding the time to a clock can't overflow.
    let seconds = number?.clamp(0, i64::from(u32::MAX)).unsigned_abs();
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

/// The path from the root, without `.` and `..`. As in Python that is done by the letters: `a/..` is
/// nothing, even if `a` is a symbolic link. `~` is a name like any other.
pub(super) fn absolute(directory: &Path, path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in directory.join(path).components() {
        match part {
            Component::CurDir => {}
            // The root's parent is the root.
            Component::ParentDir => drop(out.pop()),
            part => out.push(part),
        }
    }
    out
}

/// A Unix socket's permissions unless an option says otherwise: its owner's.
const DEFAULT_MODE: u32 = 0o600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_absolute_by_its_letters() {
        for (path, result) in [
            ("a", "/start/a"),
            ("./a/", "/start/a"),
            ("../a", "/a"),
            ("../../../a", "/a"),
            ("a/../b//c/.", "/start/b/c"),
            ("/x/../y", "/y"),
            ("/", "/"),
            (".", "/start"),
            ("~/a", "/start/~/a"),
        ] {
            assert_eq!(absolute(Path::new("/start"), Path::new(path)), Path::new(result), "{path}");
        }
    }

    #[test]
    fn times_of_zero_and_less_are_never_and_long_ones_are_capped() {
        assert_eq!(seconds(None), None);
        assert_eq!(seconds(Some(0)), None);
        assert_eq!(seconds(Some(-5)), None);
        assert_eq!(seconds(Some(30)), Some(Duration::from_secs(30)));
        assert_eq!(seconds(Some(i64::MAX)), Some(Duration::from_secs(4_294_967_295)));
    }
}
