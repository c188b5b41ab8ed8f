//! From the command line to [`Frontend`]s: what the clients of each listener get.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::sync::Arc;

use crate::auth;
use crate::certs::{self, Authorities, Certificates, ServerOptions};
use crate::cli::{Argument, Config, Sessions as Asked, TokenPlugin};
use crate::conn::frontend::{self, Frontend, Proxies, RecordOptions, Sessions, TapeOptions, TargetTls};
use crate::gate::{self, Gate, Reach};
use crate::log::{self, Log, describe};
use crate::net::listen::Listener;
use crate::record::Recorder;
use crate::rules::Rules;
use crate::source;
use crate::target::Target;
use crate::token;
use crate::web::{self, Extent, OwnFile, Pages};

use super::programs::Way;

/// The frontends, one for each listener, and what their sessions go to, in the words of the start line.
pub(super) struct Frontends {
    /// In the order of the listeners; after them, of the clients that came with the process.
    pub(super) all: Vec<Arc<Frontend>>,
    /// `HOST:PORT`, a socket's path or what chooses the target.
    pub(super) going_to: String,
}

/// Where this program listens.
pub(super) struct Listeners<'a> {
    /// For clients.
    pub(super) open: &'a [&'a Listener],
    /// For others, where no session may lead to.
    pub(super) beside: &'a [&'a Listener],
    /// How many frontends are wanted.
    pub(super) doors: usize,
}

/// Opens what the frontends need. It waits for files; for start-up only.
///
/// # Errors
/// What can't be done, in words for the log.
pub(super) fn open(
    config: &Config,
    listeners: &Listeners<'_>,
    log: &Arc<Log>,
    recorder: Option<&Recorder>,
    (sessions, going_to): Way,
) -> Result<Frontends, String> {
    let certificates = Arc::new(Certificates::open(&server_options(config)?, Arc::clone(log)));
    if config.tls.only && !certificates.are_there() {
        log.warn(format_args!("--ssl-only: no TLS client can be served until this is mended"));
    }
    let target_tls = target_tls(config)?;
    let gate = gate(config, listeners, log, &sessions)?;
    let pages = pages(config, &gate, log)?;
    let frontend = Arc::new(Frontend {
        tls: Some(certificates),
        tls_only: config.tls.only,
        gate,
        sessions: Some(sessions),
        pages,
        target_tls,
        heartbeat: config.heartbeat,
        tape: tape(config, recorder),
        health_path: config.health_path.as_deref().map(Into::into),
        proxies: proxies(config)?,
    });
    Ok(Frontends { all: vec![frontend; listeners.doors], going_to })
}

/// How TLS clients are served, with the password for keys out of its file.
fn server_options(config: &Config) -> Result<ServerOptions, String> {
    let mut options = config.tls.clients.clone();
    if let Some(path) = &config.tls.key_password_file {
        options.key_password = Some(read("--key-password", path)?);
    }
    Ok(options)
}

/// The gate: who is admitted, and to which target.
fn gate(
    config: &Config,
    listeners: &Listeners<'_>,
    log: &Arc<Log>,
    sessions: &Sessions,
) -> Result<Gate, String> {
    let port = listeners.open.iter().find_map(|listener| listener.address()).map(|address| address.port());
    let own = || listeners.open.iter().chain(listeners.beside);
    let addresses: Vec<SocketAddr> = own().filter_map(|listener| listener.address()).collect();
    let web = config.web.as_ref().map(|web| web.root.clone());
    let auth = config.auth.as_ref().map(|plugin| {
        let argument = plugin.source.as_ref().map(|source| match source {
            Argument::Text(text) => auth::Argument::Text(text.clone()),
            Argument::File(path) => auth::Argument::File(path.clone()),
        });
        let cookie = plugin.cookie.then_some(port);
        let source = auth::Source {
            argument,
            cookie,
            log: Arc::clone(log),
            python: plugin.python.clone(),
            directory: config.directory.clone(),
            web: web.clone(),
        };
        (plugin.class, source)
    });
    let (tokens, host_token, rules) = match &config.sessions {
        Asked::Tokens { plugin, host_token, rules, remote } => {
            let text = match &plugin.source {
                Some(Argument::Text(text)) => Some(Argument::to_os_string(text)),
                Some(Argument::File(path)) => Some(OsString::from_vec(read("--token-source", path)?)),
                None => None,
            };
            let source = token::Source {
                text,
                directory: config.directory.clone(),
                web,
                log: Arc::clone(log),
                remote: *remote,
                python: plugin.python.clone(),
            };
            (Some((plugin.class, source)), *host_token, rules.clone())
        }
        Asked::Fixed(_) | Asked::Wrapped { .. } | Asked::PerSession { .. } => (None, false, Rules::default()),
    };
    let paths = own().filter_map(|listener| listener.path()).map(Path::to_owned).collect();
    Gate::new(gate::Settings {
        origins: config.origins.clone(),
        auth,
        web_auth: config.web_auth,
        tokens,
        host_token,
        target: fixed_target(sessions),
        reach: Reach::new(rules, addresses, paths),
        log: Arc::clone(log),
    })
}

/// Host and port that all sessions go to, if it is the same for all.
fn fixed_target(sessions: &Sessions) -> Option<(String, u16)> {
    let target = match sessions {
        Sessions::Tokens => return None,
        Sessions::Fixed(destination) => match &destination.way {
            frontend::Way::Dial(target) => target,
            frontend::Way::Await(awaited) => &awaited.target,
            frontend::Way::Start(_) => return None,
        },
    };
    match target {
        Target::Tcp { host, port } => Some((host.clone(), *port)),
        Target::Unix(_) => None,
    }
}

/// What `@FILE` stands for in the value of an option.
fn read(option: &str, path: &Path) -> Result<Vec<u8>, String> {
    source::read_argument(path).map_err(|fault| format!("{option} {}: {fault}", path.display()))
}

/// The settings for proxies, with the networks from files.
fn proxies(config: &Config) -> Result<Proxies, String> {
    let mut proxies = config.proxies.proxies.clone();
    for path in &config.proxies.files {
        let fault = |fault: String| format!("--trusted-proxy {}: {fault}", path.display());
        let bytes = read("--trusted-proxy", path)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| fault("it is no text".into()))?;
        proxies.trusted.add_file(text).map_err(fault)?;
    }
    Ok(proxies)
}

/// What is recorded of each session.
fn tape(config: &Config, recorder: Option<&Recorder>) -> Option<TapeOptions> {
    let input = config.record_input;
    let record = recorder.map(|recorder| RecordOptions { recorder: recorder.clone(), input });
    let traffic = config.log.traffic;
    (traffic || record.is_some()).then_some(TapeOptions { traffic, record })
}

fn target_tls(config: &Config) -> Result<Option<TargetTls>, String> {
    let Some(options) = config.tls.target.clone() else { return Ok(None) };
    Ok(Some(TargetTls { config: certs::target_config(&options)?, options }))
}

fn pages(config: &Config, gate: &Gate, log: &Log) -> Result<Option<Arc<Pages>>, String> {
    let Some(settings) = &config.web else { return Ok(None) };
    let settings = web::Settings { own: own_files(config, gate), ..settings.clone() };
    let pages = Pages::open(settings.clone());
    let pages = pages.map_err(|error| format!("--web {}: {}", settings.root.display(), describe(&error)))?;
    let mut own = pages.own_below_root();
    own.dedup_by(|one, other| (one.option, &one.path) == (other.option, &other.path));
    for OwnFile { option, path, .. } in own {
        log.info(format_args!("{option} {} lies below the web root and is not published", path.display()));
    }
    Ok(Some(Arc::new(pages)))
}

/// Files that must never be published, wherever they are.
fn own_files(config: &Config, gate: &Gate) -> Vec<OwnFile> {
    let mut own = Vec::new();
    let mut add = |path: Option<&Path>, extent, option| {
        if let Some(path) = path {
            own.push(OwnFile { path: config.directory.join(path), extent, option });
        }
    };
    for pair in &config.tls.clients.pairs {
        add(Some(&pair.cert), Extent::File, "--cert");
        add(pair.key.as_deref().filter(|key| *key != pair.cert), Extent::File, "--key");
    }
    let authorities = |from: Option<&Authorities>| match from {
        Some(Authorities::File(path)) => Some(path.clone()),
        Some(Authorities::System) | None => None,
    };
    add(authorities(config.tls.clients.clients.as_ref()).as_deref(), Extent::File, "--cafile");
    let target = config.tls.target.as_ref().and_then(|target| target.authorities.as_ref());
    add(authorities(target).as_deref(), Extent::File, "--ssl-target-ca");
    add(config.log.file.as_deref(), Extent::Series, "--log-file");
    if let Some(log::Access::File(path)) = &config.log.access {
        add(Some(path), Extent::Series, "--access-log");
    }
    add(config.record.as_deref(), Extent::Numbered, "--record");
    add(config.pid_file.as_deref(), Extent::File, "--pid-file");
    add(config.admin_token_file.as_deref(), Extent::File, "--admin-token-file");
    add(config.tls.key_password_file.as_deref(), Extent::File, "--key-password");
    if let Asked::Tokens { plugin: TokenPlugin { source: Some(Argument::File(path)), .. }, .. } =
        &config.sessions
    {
        add(Some(path), Extent::File, "--token-source");
    }
    for (option, path) in gate.files() {
        // It may be either, now or later.
        add(Some(&path), Extent::File, option);
        add(Some(&path), Extent::Directory, option);
    }
    own
}
