//! Startup, in order: inherited sockets, the log, listening sockets; then into the background, if requested; and
//! only then threads, polls and everything that needs them.
//!
//! If startup fails, the reason is printed and the exit status is 1. In the background both are passed to the
//! waiting launcher, which exits with that status.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Instant, SystemTime};

use crate::admin;
use crate::child;
use crate::cli::Config;
use crate::conn::end::Kind;
use crate::conn::report;
use crate::conn::shared::Shared;
use crate::health::Health;
use crate::http::response::Status;
use crate::log::{Level, Log, Topic, describe};
use crate::metrics::Metrics;
use crate::net::listen::Listener;
use crate::net::tuning::take_untuned;
use crate::os::daemon::{self, Launcher, Readiness, Side};
use crate::os::inherited::{self, Strangers};
use crate::os::notify::{Notify, Variables};
use crate::os::pid_file::PidFile;
use crate::os::signal;
use crate::reactor::{self, Frontends, HalfOpen, Handle, Reactor};
use crate::record::Recorder;
use crate::resolve::Resolver;
use crate::ring::{HELD_BYTES_MAX, LEFTOVER_BYTES};
use crate::sys::{self, Signals, process};

use super::descriptors::Descriptors;
use super::event::Event;
use super::programs::{Fault, Plan};
use super::sockets::{Sockets, take_given};
use super::watch::Watch;
use super::{HangUp, LOG_PATIENCE, Server, Stopping, banner, frontends};

/// How startup went.
pub(super) enum Started {
    /// The service runs in this process.
    Serving(Box<Server>),
    /// It does not, or it runs in another process; this one exits with this code.
    Over(ExitCode),
}

/// Why startup ended before the process could go into the background.
struct Failure {
    /// Once there is one.
    log: Option<Box<Log>>,
    text: String,
}

/// What is known about the process before it goes into the background.
struct Origin {
    launched: Instant,
    started: SystemTime,
    /// Its PID.
    pid: u32,
    /// What the service manager passed to it.
    manager: Variables,
}

/// Starts the service.
pub(super) fn start(config: &Config) -> Started {
    let origin = Origin {
        launched: Instant::now(),
        started: SystemTime::now(),
        pid: std::process::id(),
        manager: Variables::of_process(),
    };
    match prepare(config) {
        Ok((mut log, sockets, strangers)) if config.daemon => {
            match daemon::detach(config.web.as_ref().map_or(Path::new("/"), |web| &web.root)) {
                Ok(Side::Launcher(launcher)) => {
                    // They are the daemon's now; dropped here, a Unix socket's file would be removed.
                    std::mem::forget(sockets);
                    Started::Over(leave(launcher, &log))
                }
                Ok(Side::Daemon(readiness)) => {
                    strangers.close();
                    log.leave_stderr();
                    serve(config, log, sockets, origin, Some(readiness))
                }
                Err(error) => fail(&log, &format!("going into the background failed: {}", describe(&error))),
            }
        }
        Ok((log, sockets, _)) => serve(config, log, sockets, origin, None),
        Err(Failure { log: Some(log), text }) => fail(&log, &text),
        Err(Failure { log: None, text }) => {
            say_without_log(&fatal(&text));
            Started::Over(ExitCode::FAILURE)
        }
    }
}

/// Everything done before the process may go into the background: the launcher sees its errors, and it needs no
/// threads or polls.
fn prepare(config: &Config) -> Result<(Log, Sockets, Strangers), Failure> {
    let early = |text: String| Failure { log: None, text };
    signal::shield(config.log.has_file()).map_err(|error| early(format!("signals: {}", describe(&error))))?;
    let strangers = Strangers::find(config.daemon);
    let (given, from) = take_given(config).map_err(early)?;
    // A library that was loaded before this program may have a thread already; then they stay.
    let _ = inherited::forget_variables();
    if config.daemon {
        keep_meaning(&config.directory).map_err(|error| early(describe(&error)))?;
    }
    sys::map_allocations_from(LEFTOVER_BYTES * 4);
    let log = Log::prepare(&config.log).map_err(early)?;
    match Sockets::open(config, given, from) {
        Ok(sockets) => {
            banner::say(&log, config, &sockets.sources(), &sockets.admin);
            Ok((log, sockets, strangers))
        }
        Err((text, wanted)) => {
            banner::say(&log, config, &wanted, &[]);
            Err(Failure { log: Some(log.into()), text })
        }
    }
}

/// Makes relative paths that libraries read from the environment absolute, before the directory changes.
fn keep_meaning(directory: &Path) -> io::Result<()> {
    for name in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
        let Some(value) = std::env::var_os(name).filter(|value| !value.is_empty()) else { continue };
        // SSL_CERT_DIR may name several.
        let paths: Vec<_> = std::env::split_paths(&value).map(|path| directory.join(path)).collect();
        let absolute = std::env::join_paths(paths).unwrap_or(value);
        process::set_variable(name, OsStr::new(&absolute))?;
    }
    Ok(())
}

/// The rest of the launcher's work, once the service is in the background.
fn leave(launcher: Launcher, log: &Log) -> ExitCode {
    log.write_stderr();
    let (code, text) = launcher.wait();
    if code != 0 {
        say_without_log(&text);
    }
    ExitCode::from(code)
}

/// A failed start.
fn fail(log: &Log, text: &str) -> Started {
    log.note(Topic::Stop, Level::Error, format_args!("{}", fatal(text)));
    match log.start() {
        Ok(()) => log.flush(LOG_PATIENCE),
        // Then there is nobody else to write what waits for standard error.
        Err(_) => log.write_stderr(),
    }
    Started::Over(ExitCode::FAILURE)
}

/// The log line of an error that ends startup. Scripts look for the Python program's line about its socket.
fn fatal(text: &str) -> String {
    if text.starts_with("Opening socket failed: ") {
        text.to_owned()
    } else {
        format!("websockify: error: {text}")
    }
}

/// For the times when no log thread is running.
fn say_without_log(text: &str) {
    // In one piece, as every line. Who has closed standard error does not want to know.
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// Starts everything that serves clients. Threads exist from here on.
fn serve(
    config: &Config,
    log: Log,
    sockets: Sockets,
    origin: Origin,
    readiness: Option<Readiness>,
) -> Started {
    let result = begin(&log).map_err(Fault::from).and_then(|signals| {
        let log = Arc::new(log);
        let result = run(config, &log, sockets, origin, signals);
        if let Err(Fault { text, .. }) = &result {
            child::kill_remaining();
            log.note(Topic::Stop, Level::Error, format_args!("{}", fatal(text)));
            log.flush(LOG_PATIENCE);
        }
        result
    });
    match (result, readiness) {
        (Ok(mut server), readiness) => {
            server.readiness = readiness;
            Started::Serving(Box::new(server))
        }
        (Err(Fault { code, text }), readiness) => {
            if let Some(readiness) = readiness {
                readiness.failed(code, &fatal(&text));
            }
            Started::Over(ExitCode::from(code))
        }
    }
}

/// Blocks signals, then starts the log threads. They are the first threads and inherit the mask.
fn begin(log: &Log) -> Result<Signals, String> {
    let begun =
        signal::block().map_err(|error| format!("signals: {}", describe(&error))).and_then(|signals| {
            let started = log.start();
            started.map_err(|error| {
                format!("can't start a thread: {} (limit of processes)", describe(&error))
            })?;
            Ok(signals)
        });
    begun.inspect_err(|text| say_without_log(&fatal(text)))
}

fn run(
    config: &Config,
    log: &Arc<Log>,
    sockets: Sockets,
    origin: Origin,
    signals: Signals,
) -> Result<Server, Fault> {
    let hang_up = match config.log.has_file() {
        true => HangUp::Reopen,
        false if signal::hang_up_is_ignored() => HangUp::Ignored,
        false => HangUp::End,
    };
    let descriptors = Descriptors::share(config, log)?;
    let recordings_max = descriptors.recordings_max;
    let recorder = config.record.clone().map(|file| Recorder::new(file, recordings_max, Arc::clone(log)));
    if let Some(text) = take_untuned() {
        log.warn(format_args!("{text}"));
    }
    sockets.say_differences(log, config);
    let sources = sockets.sources();
    let open: Vec<&Listener> = sockets.listeners.iter().map(|(listener, _)| listener).collect();
    let (sender, events) = channel();
    let to_main = sender.clone();
    let wake = move || drop(to_main.send(Event::Programs));
    let (plan, way) = Plan::of(config, &open, log, wake)?;
    if let Some(path) = &config.admin_token_file {
        admin::check_tokens(path, log)?;
    }
    let beside: Vec<&Listener> = sockets.admin.iter().map(|(listener, _)| listener).collect();
    let listeners = frontends::Listeners { open: &open, beside: &beside, doors: sources.len() };
    let frontends = frontends::open(config, &listeners, log, recorder.as_ref(), way)?;
    let manager = Notify::open(&origin.manager, origin.pid).unwrap_or_else(|text| {
        log.warn(format_args!("{text}"));
        Notify::default()
    });
    let pid_file = match &config.pid_file {
        Some(path) => Some(
            PidFile::write(path)
                .map_err(|error| format!("--pid-file {}: {}", path.display(), describe(&error)))?,
        ),
        None => None,
    };
    let to_main = sender.clone();
    signal::forward(signals, move |number| drop(to_main.send(Event::Signal(number))))
        .map_err(|error| format!("signals: {}", describe(&error)))?;
    let (suffix, going_to) = (banner::using_tls(config), &frontends.going_to);
    for source in &sources {
        let text = format_args!("  - proxying from {source} to {going_to}{suffix}");
        log.note(Topic::Start, Level::Info, text);
    }
    config.notices().iter().for_each(|notice| log.warn(format_args!("{notice}")));
    if let Some(notice) = banner::open_to_pages(config, &open) {
        log.warn(format_args!("{notice}"));
    }
    let programs = plan.start(log)?;
    let shared = Arc::new(Shared {
        instance: log.instance(),
        log: Arc::clone(log),
        resolver: Resolver::default(),
        limiter: report::limiter(),
        places: descriptors.places,
        once: config.run_once.then(AtomicBool::default),
        accepted: AtomicU64::new(0),
        health: Health::default(),
        metrics: (0..config.workers)
            .map(|_| Arc::new(Metrics::new(Kind::ALL.len(), Status::all().count())))
            .collect(),
    });
    let told: Vec<(String, &'static str)> =
        sources.iter().map(|source| (source.to_string(), sockets.origin.name())).collect();
    let (listeners, clients, admin_sockets) = (sockets.listeners, sockets.clients, sockets.admin);
    let listeners: Vec<Listener> = listeners.into_iter().map(|(listener, _)| listener).collect();
    let doors = listeners.len();
    let frontends: Frontends = frontends.all.into();
    let reactors = start_reactors(config, &descriptors, listeners, &shared, &frontends, &sender)
        .map_err(|error| format!("starting a reactor failed: {}", describe(&error)))?;
    let listening: Vec<String> = sources.iter().map(|source| source.to_string()).collect();
    if !admin_sockets.is_empty() {
        let gateway = admin::Gateway {
            shared: Arc::clone(&shared),
            reactors: reactors.clone(),
            frontends,
            // A main thread that is gone answers nobody.
            ask_main: Box::new(move |answer| drop(sender.send(Event::Asked(answer)))),
            about: admin::About {
                started: origin.started,
                launched: origin.launched,
                listeners: told,
                held_bytes_max: config.memory_limit_bytes.unwrap_or(HELD_BYTES_MAX),
                auth_plugin: config.auth_plugin(),
                token_plugin: config.token_plugin(),
            },
        };
        let sockets: Vec<(&Listener, admin::Role)> =
            admin_sockets.iter().map(|(listener, role)| (listener, *role)).collect();
        admin::start(gateway, config.admin_token_file.clone(), &sockets)
            .map_err(|error| format!("--admin: {}", describe(&error)))?;
    }
    let server = Server {
        events,
        has_listeners: doors > 0,
        running: reactors.len(),
        watch: Watch::new(reactors.len(), manager.watchdog(), Instant::now()),
        manager,
        readiness: None,
        _pid_file: pid_file,
        _admin: admin_sockets.into_iter().map(|(listener, _)| listener).collect(),
        hang_up,
        reactors,
        programs,
        undrained: 0,
        programs_end_at: None,
        sessions_end_at: None,
        is_told: false,
        launched: origin.launched,
        active: origin.launched,
        timeout: config.timeout,
        idle_timeout: config.idle_timeout,
        run_once: config.run_once,
        stopping: Stopping::No,
        seen: 0,
        listening: listening.join(", "),
        log: Arc::clone(log),
        shared: Arc::clone(&shared),
        recorder,
    };
    server.ask_reactors();
    for (index, (io, peer)) in clients.into_iter().enumerate() {
        let number = shared.accepted.fetch_add(1, Ordering::Relaxed) + 1;
        server.reactors[index % server.reactors.len()].adopt(io, peer, doors + index, number);
    }
    Ok(server)
}

/// Starts every reactor in a thread of its own; the first one listens.
fn start_reactors(
    config: &Config,
    descriptors: &Descriptors,
    listeners: Vec<Listener>,
    shared: &Arc<Shared>,
    frontends: &Frontends,
    to_main: &Sender<Event>,
) -> io::Result<Vec<Handle>> {
    let held_bytes_max = config.memory_limit_bytes.unwrap_or(HELD_BYTES_MAX) / config.workers;
    let half_open = Arc::new(HalfOpen::default());
    let mut reactors = Vec::with_capacity(config.workers);
    for index in 0..config.workers {
        let to_main = to_main.clone();
        // The main thread may be gone already; then nobody needs the notice.
        let notify = Box::new(move |notice| drop(to_main.send(Event::Reactor(notice))));
        let options = reactor::Options {
            index,
            held_bytes_max,
            pipes_max: descriptors.pipes_max / config.workers,
            shared: Arc::clone(shared),
            frontends: Arc::clone(frontends),
            metrics: Arc::clone(&shared.metrics[index]),
            half_open: Arc::clone(&half_open),
        };
        reactors.push(Reactor::new(options, notify)?);
    }
    let handles: Vec<Handle> = reactors.iter().map(Reactor::handle).collect();
    if let Some(first) = reactors.first_mut() {
        first.listen(listeners, handles.clone(), descriptors.overflow_max)?;
    }
    for (index, reactor) in reactors.into_iter().enumerate() {
        thread::Builder::new().name(format!("reactor-{index}")).spawn(move || reactor.run())?;
    }
    Ok(handles)
}
