//! The service: opens what it needs, says what it does, and waits for the reasons to end.
//!
//! The main thread does no work. It waits on one channel, into which signals, reactors and the clock speak,
//! and tells the reactors what follows.

mod banner;
mod event;
mod frontends;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::cli::Config;
use crate::conn::connect::describe;
use crate::conn::end::Kind;
use crate::conn::shared::Shared;
use crate::limit::Limiter;
use crate::log::Log;
use crate::metrics::{Counter, Metrics};
use crate::net::listen::Listener;
use crate::os::signal;
use crate::reactor::{self, Control, Frontends, Handle, Limits, Notice, Reactor};
use crate::resolve::Resolver;
use crate::ring::{HELD_BYTES_MAX, LEFTOVER_BYTES};
use crate::sys;
use crate::web;
use event::Event;

/// Runs the service to its end and returns the exit code: 0 when it ended as it was told to, 1 when it could
/// not start or had to give up.
pub fn run(config: Config) -> ExitCode {
    match Server::start(&config) {
        Ok(mut server) => {
            let code = server.wait();
            server.log.flush(LOG_PATIENCE);
            code
        }
        Err(failure) => {
            if let Some(log) = failure.log {
                log.flush(LOG_PATIENCE);
            } else {
                // There is no log: this is the one place where its thread is not there to write.
                use std::io::Write;
                let _ = writeln!(io::stderr(), "websockify: {}", failure.text);
            }
            ExitCode::FAILURE
        }
    }
}

/// Why the service did not start; said in `log` already, where there is one.
struct Failure {
    text: String,
    log: Option<Arc<Log>>,
}

/// How far the end has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Stopping {
    No,
    /// No new connections; those that are there go on.
    Finishing,
    /// Clients have been told to go.
    Draining,
}

struct Server {
    log: Arc<Log>,
    shared: Arc<Shared>,
    events: Receiver<Event>,
    reactors: Vec<Handle>,
    running: usize,
    launched: Instant,
    /// When there was a connection last.
    active: Instant,
    timeout: Option<Duration>,
    idle_timeout: Option<Duration>,
    run_once: bool,
    stopping: Stopping,
    /// Connections that had been accepted when the clock was last looked at.
    seen: u64,
    /// What is logged when the listener is closed.
    listening: String,
}

impl Server {
    fn start(config: &Config) -> Result<Server, Failure> {
        let launched = Instant::now();
        let early = |text: String| Failure { text, log: None };
        let signals = signal::block().map_err(|error| early(format!("signals: {error}")))?;
        sys::map_allocations_from(LEFTOVER_BYTES * 4);
        let log = Arc::new(open_log(config).map_err(early)?);
        let late = |text: String| {
            log.info(format_args!("{text}"));
            Failure { text, log: Some(Arc::clone(&log)) }
        };
        let limits = limits(config, &log);
        let (listeners, sources) = listen(config);
        banner::say(&log, config, &sources);
        let listeners = listeners.map_err(|error| late(format!("Opening socket failed: {error}")))?;
        let frontends = frontends::open(config, &listeners, &log).map_err(late)?;
        let (sender, events) = channel();
        let to_main = sender.clone();
        signal::forward(signals, move |number| drop(to_main.send(Event::Signal(number))))
            .map_err(|error| late(format!("signals: {error}")))?;
        let (suffix, going_to) = (banner::using_tls(config), &frontends.going_to);
        for source in &sources {
            log.info(format_args!("  - proxying from {source} to {going_to}{suffix}"));
        }
        config.notices().iter().for_each(|notice| log.info(format_args!("{notice}")));
        if let Some(notice) = banner::open_to_pages(config, &listeners) {
            log.info(format_args!("{notice}"));
        }
        let shared = Arc::new(Shared {
            log: Arc::clone(&log),
            resolver: Resolver::default(),
            limiter: Limiter::new(Kind::ALL.len()),
            once: config.run_once.then(AtomicBool::default),
            accepted: AtomicU64::new(0),
        });
        let reactors = start_reactors(config, limits, listeners, &shared, &frontends.all.into(), &sender)
            .map_err(|error| late(format!("starting a reactor failed: {error}")))?;
        Ok(Server {
            events,
            running: reactors.len(),
            reactors,
            launched,
            active: launched,
            timeout: config.timeout,
            idle_timeout: config.idle_timeout,
            run_once: config.run_once,
            stopping: Stopping::No,
            seen: 0,
            listening: sources.join(", "),
            log,
            shared,
        })
    }

    /// Waits until the last reactor has ended, and tells them what to do meanwhile.
    fn wait(&mut self) -> ExitCode {
        let mut code = ExitCode::SUCCESS;
        while self.running > 0 {
            match self.next_event() {
                Some(Event::Signal(libc::SIGHUP)) => self.log.reopen(),
                Some(Event::Signal(libc::SIGTERM | libc::SIGINT)) => {
                    // A second signal ends at once.
                    if self.stopping == Stopping::Draining {
                        break;
                    }
                    self.log.info(format_args!("In exit"));
                    self.drain();
                }
                Some(Event::Signal(number)) => self.log.debug(format_args!("signal {number} is ignored")),
                Some(Event::Reactor(Notice::SessionEnded(peer))) => {
                    if self.run_once && self.stopping == Stopping::No {
                        self.log.info(format_args!("{peer}: exiting due to --run-once"));
                        self.drain();
                    }
                }
                Some(Event::Reactor(Notice::ReactorEnded(index, result))) => {
                    self.running -= 1;
                    if let Err(error) = result {
                        self.log.info(format_args!("reactor {index} failed: {error}"));
                        code = ExitCode::FAILURE;
                        self.drain();
                    }
                }
                None => self.check_clock(),
            }
        }
        self.shared.say_all_left_out();
        self.say_endings();
        code
    }

    /// The next event, or `None` when it is time to look at the clock.
    fn next_event(&mut self) -> Option<Event> {
        let Some(wait) = self.clock_wait() else { return self.events.recv().ok() };
        self.events.recv_timeout(wait).ok()
    }

    /// Time until `--timeout` or `--idle-timeout` may be over.
    fn clock_wait(&self) -> Option<Duration> {
        if self.stopping != Stopping::No {
            return None;
        }
        let timeout = self.timeout.map(|timeout| timeout.saturating_sub(self.launched.elapsed()));
        // Connections are looked at once a second, which is as exact as the option's unit.
        let idle = self.idle_timeout.map(|_| IDLE_LOOK);
        [timeout, idle].into_iter().flatten().min()
    }

    fn check_clock(&mut self) {
        if self.stopping != Stopping::No {
            return;
        }
        if let Some(timeout) = self.timeout
            && self.launched.elapsed() >= timeout
        {
            self.log.info(format_args!("listener exit due to --timeout {}", timeout.as_secs()));
            return self.finish();
        }
        let Some(idle) = self.idle_timeout else { return };
        let seen: u64 = self.reactors.iter().map(|reactor| reactor.metrics.accepted.total()).sum();
        if self.live() > 0 || seen != self.seen {
            self.active = Instant::now();
            self.seen = seen;
        } else if self.active.elapsed() >= idle {
            self.log.info(format_args!("listener exit due to --idle-timeout {}", idle.as_secs()));
            self.finish();
        }
    }

    fn live(&self) -> usize {
        self.reactors.iter().map(|reactor| reactor.metrics.live.load(Ordering::Relaxed)).sum()
    }

    /// Ends when the sessions that are there have ended.
    fn finish(&mut self) {
        self.stop(Stopping::Finishing, || Control::Finish);
    }

    /// Ends soon: every client is told to go.
    fn drain(&mut self) {
        self.stop(Stopping::Draining, || Control::Drain(DRAIN));
    }

    fn stop(&mut self, how: Stopping, control: impl Fn() -> Control) {
        if self.stopping == Stopping::No {
            self.log.debug(format_args!("Closing socket listening at {}", self.listening));
        }
        self.stopping = how;
        self.reactors.iter().for_each(|reactor| reactor.control(control()));
    }

    /// How all connections ended, for an operator who wants to know (`--verbose`).
    fn say_endings(&self) {
        type Pick = fn(&Metrics) -> &Counter;
        let lookups: [(&str, Pick); 4] = [
            ("tokens found", |metrics| &metrics.tokens_found),
            ("tokens unknown", |metrics| &metrics.tokens_unknown),
            ("requests denied", |metrics| &metrics.denied),
            ("look-ups failed", |metrics| &metrics.lookups_failed),
        ];
        for (what, pick) in lookups {
            let count: u64 = self.reactors.iter().map(|reactor| pick(&reactor.metrics).total()).sum();
            if count > 0 {
                self.log.debug(format_args!("{what}: {count}"));
            }
        }
        for (index, kind) in Kind::ALL.iter().enumerate() {
            let count: u64 = self.reactors.iter().filter_map(|r| r.metrics.endings().nth(index)).sum();
            if count > 0 {
                self.log.debug(format_args!("connections ended as {}: {count}", kind.name()));
            }
        }
    }
}

fn open_log(config: &Config) -> Result<Log, String> {
    Log::open(&config.log).map_err(|error| match &config.log.file {
        Some(path) => format!("log file {}: {}", path.display(), describe(&error)),
        None => format!("log: {}", describe(&error)),
    })
}

/// Opens the listening sockets, and names them as they are then.
fn listen(config: &Config) -> (Result<Vec<Listener>, String>, Vec<String>) {
    let mut listeners = Ok(Vec::new());
    let mut sources = Vec::new();
    for address in &config.listen {
        let bound = Listener::bind(&frontends::absolute(address, &config.directory));
        sources.push(banner::source(address, bound.as_ref().ok().and_then(Listener::port)));
        match (&mut listeners, bound) {
            (Ok(listeners), Ok(bound)) => listeners.push(bound),
            (Ok(_), Err(error)) => listeners = Err(describe(&error)),
            (Err(_), _) => {}
        }
    }
    (listeners, sources)
}

/// Starts every reactor in a thread of its own; the first one listens.
fn start_reactors(
    config: &Config,
    limits: Limits,
    listeners: Vec<Listener>,
    shared: &Arc<Shared>,
    frontends: &Frontends,
    to_main: &Sender<Event>,
) -> io::Result<Vec<Handle>> {
    let held_bytes_max = config.memory_limit_bytes.unwrap_or(HELD_BYTES_MAX) / config.workers;
    let mut reactors = Vec::with_capacity(config.workers);
    for index in 0..config.workers {
        let to_main = to_main.clone();
        // The main thread may be gone already; then nobody needs the notice.
        let notify = Box::new(move |notice| drop(to_main.send(Event::Reactor(notice))));
        let options = reactor::Options {
            index,
            held_bytes_max,
            shared: Arc::clone(shared),
            frontends: Arc::clone(frontends),
            metrics: Arc::new(Metrics::new(Kind::ALL.len())),
        };
        reactors.push(Reactor::new(options, notify)?);
    }
    let handles: Vec<Handle> = reactors.iter().map(Reactor::handle).collect();
    if let Some(first) = reactors.first_mut() {
        first.listen(listeners, handles.clone(), limits)?;
    }
    for (index, reactor) in reactors.into_iter().enumerate() {
        thread::Builder::new().name(format!("reactor-{index}")).spawn(move || reactor.run())?;
    }
    Ok(handles)
}

/// How many connections there may be: each may need two descriptors, one for each end.
fn limits(config: &Config, log: &Log) -> Limits {
    let open_files = match sys::raise_open_files() {
        Ok(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
        Err(error) => {
            log.info(format_args!("the limit of open files is not known, taken as 1024: {error}"));
            1024
        }
    };
    let reserve = DESCRIPTORS_RESERVED.min(open_files / 2);
    let most = ((open_files - reserve) / 2).max(1);
    if let Some(asked) = config.max_connections
        && asked > most
    {
        log.info(format_args!(
            "--max-connections {asked} needs more than the {open_files} open files allowed"
        ));
    }
    let connections_max = config.max_connections.unwrap_or(most);
    Limits { connections_max, overflow_max: reserve / 4 }
}

/// Descriptors that are not for connections: the log, polls, name look-ups, files, clients that are told
/// that there is no room. Half of the limit where that is less.
const DESCRIPTORS_RESERVED: usize = 256;

// What the file lane can open, clients that are told that there is no room, and a few for the process itself.
const _: () = assert!(web::DESCRIPTORS_MAX + DESCRIPTORS_RESERVED / 4 <= DESCRIPTORS_RESERVED);

/// Time for clients to answer our Close when the process is told to end; what is left then is cut.
const DRAIN: Duration = Duration::from_secs(3);

/// How often `--idle-timeout` looks for connections.
const IDLE_LOOK: Duration = Duration::from_secs(1);

/// How long the exit waits for an output that takes no lines.
const LOG_PATIENCE: Duration = Duration::from_secs(1);
