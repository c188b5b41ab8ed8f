//! The service: opens what it needs, logs what it does, and waits for a reason to end.
//!
//! The main thread does no work itself. It waits on one channel for signals, reactors and the clock, and
//! tells the reactors what to do.

mod banner;
mod descriptors;
mod event;
mod frontends;
mod programs;
mod rebind;
mod sockets;
mod start;
mod watch;

use std::io;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use crate::child;
use crate::cli::Config;
use crate::conn::end::Kind;
use crate::conn::shared::Shared;
use crate::health::Phase;
use crate::log::{Level, Log, Topic, describe};
use crate::metrics::{Counter, Metrics};
use crate::net::listen::Listener;
use crate::os::daemon::Readiness;
pub use crate::os::fault::prepare as prepare_for_faults;
pub use crate::os::inherited::spare_outputs;
use crate::os::notify::Notify;
use crate::os::pid_file::PidFile;
use crate::reactor::{Control, Handle, Notice};
use crate::record::Recorder;
use event::Event;
use programs::Programs;
pub use rebind::rebind;
use start::Started;
use watch::{Due, Watch};

/// Runs the service to its end and returns the exit code: 0 when it ended as it was told to, 1 when it could
/// not start or had to give up.
pub fn run(config: &Config) -> ExitCode {
    match start::start(config) {
        Started::Serving(mut server) => {
            let code = server.wait();
            child::kill_remaining();
            server.log.flush(LOG_PATIENCE);
            code
        }
        Started::Over(code) => code,
    }
}

/// The stages of shutdown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Stopping {
    No,
    /// No new connections; existing ones continue.
    Finishing,
    /// Clients have been asked to go.
    Draining,
}

/// What SIGHUP means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HangUp {
    /// The log is to be reopened.
    Reopen,
    /// Nothing: it was ignored when the program was started, as nohup(1) does.
    Ignored,
    /// The terminal is gone, and the service ends.
    End,
}

struct Server {
    log: Arc<Log>,
    shared: Arc<Shared>,
    recorder: Option<Recorder>,
    events: Receiver<Event>,
    reactors: Vec<Handle>,
    running: usize,
    programs: Programs,
    /// Reactors that have been told to send every client away and have not said that they have.
    undrained: usize,
    /// At the latest then programs are asked to go: when all clients have been sent away, so that it is not the
    /// program's end that they hear of.
    programs_end_at: Option<Instant>,
    /// The wrapped program has ended, and its sessions get what it said last; those that are left then are ended.
    sessions_end_at: Option<Instant>,
    /// A signal has requested the end.
    is_told: bool,
    /// Whether clients can come, and are not all here already.
    has_listeners: bool,
    /// Who among them is alive.
    watch: Watch,
    /// The service manager, if there is one.
    manager: Notify,
    /// What is owed to the process that waits for the service in the background.
    readiness: Option<Readiness>,
    /// Removed at the end.
    _pid_file: Option<PidFile>,
    /// The admin sockets, whose files are removed at the end.
    _admin: Vec<Listener>,
    hang_up: HangUp,
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
    /// Waits until the last reactor has ended, and tells them what to do meanwhile.
    fn wait(&mut self) -> ExitCode {
        let mut code = ExitCode::SUCCESS;
        // For children that ended before their signal was waited for none comes any more.
        child::reap_orphans();
        while self.running > 0 || !self.programs.is_over() {
            match self.next_event() {
                Some(Event::Programs) => self.programs.look(Instant::now()),
                // The asker may have given up.
                Some(Event::Asked(answer)) => drop(answer.send(())),
                Some(Event::Signal(number)) => {
                    if self.obey_signal(number).is_break() {
                        break;
                    }
                }
                Some(Event::Reactor(Notice::Alive(index))) => {
                    if self.watch.answered(index) {
                        self.become_ready();
                    }
                }
                Some(Event::Reactor(Notice::SessionEnded(peer))) => {
                    if self.run_once && self.stopping == Stopping::No {
                        self.log.note(
                            Topic::Stop,
                            Level::Info,
                            format_args!("{peer}: exiting due to --run-once"),
                        );
                        self.drain();
                    }
                }
                Some(Event::Reactor(Notice::Drained)) => {
                    self.undrained = self.undrained.saturating_sub(1);
                    if self.undrained == 0 {
                        self.end_programs();
                    }
                }
                Some(Event::Reactor(Notice::ReactorEnded(index, result))) => {
                    self.running -= 1;
                    if self.running == 0 {
                        self.end_programs();
                    }
                    self.watch.ended(index);
                    if let Err(error) = result {
                        let text = format_args!("reactor {index} failed: {}", describe(&error));
                        self.log.note(Topic::Stop, Level::Error, text);
                        code = ExitCode::FAILURE;
                        self.drain();
                    }
                }
                None => self.check_clock(),
            }
        }
        self.programs.kill();
        if let Some(recorder) = &self.recorder {
            // What reactors still have is cut, and a script at any moment.
            recorder.flush(if self.running == 0 { RECORD_PATIENCE } else { Duration::ZERO });
        }
        self.shared.say_all_left_out();
        self.say_endings();
        match self.programs.code() {
            Some(program) if code == ExitCode::SUCCESS => ExitCode::from(program),
            _ => code,
        }
    }

    /// Handles a signal; `Break` if the service must end without waiting.
    fn obey_signal(&mut self, number: i32) -> ControlFlow<()> {
        match (number, self.hang_up) {
            (libc::SIGTERM | libc::SIGINT, _) | (libc::SIGHUP, HangUp::End) => {
                // A second signal ends at once.
                if self.stopping == Stopping::Draining {
                    return ControlFlow::Break(());
                }
                if self.sessions_end_at.is_none() {
                    self.log.note(Topic::Stop, Level::Info, format_args!("In exit"));
                }
                self.is_told = true;
                self.drain();
            }
            (libc::SIGUSR1, _) | (libc::SIGHUP, HangUp::Reopen) => {
                self.log.reopen();
                self.log.note_as_object(Topic::Reload, Level::Info, format_args!("logs are opened anew"));
            }
            (libc::SIGCHLD, _) => {
                child::reap_orphans();
                if self.programs.children_ended(Instant::now()) {
                    self.end_with_program();
                }
            }
            (number, _) => self.log.debug(format_args!("signal {number} is ignored")),
        }
        ControlFlow::Continue(())
    }

    /// Every reactor serves: a service manager or launcher that waits for that is notified.
    fn become_ready(&mut self) {
        self.shared.health.enter(Phase::Serving);
        self.log.note_as_object(Topic::Ready, Level::Info, format_args!("every worker serves"));
        let told = self.manager.ready();
        self.note_manager(told);
        if let Some(readiness) = self.readiness.take() {
            readiness.ready();
        }
        if !self.has_listeners {
            // The clients that came with the process are all there will be.
            self.finish();
        }
    }

    /// The wrapped program has ended, and with it the service: its sessions get what it said last, and nobody else
    /// is waited for.
    fn end_with_program(&mut self) {
        if self.stopping == Stopping::Draining {
            return;
        }
        self.log.note(Topic::Stop, Level::Info, format_args!("In exit"));
        self.sessions_end_at = Some(Instant::now() + LAST_WORDS);
        self.stop(Stopping::Finishing, || Control::Outlive(DRAIN));
    }

    /// Programs are no longer needed.
    fn end_programs(&mut self) {
        self.programs_end_at = None;
        self.programs.end(self.is_told, Instant::now());
    }

    fn ask_reactors(&self) {
        self.reactors.iter().for_each(|reactor| reactor.control(Control::Ping));
    }

    /// Logs that a notification of the service manager failed.
    fn note_manager(&self, told: io::Result<()>) {
        if let Err(error) = told {
            self.log.warn(format_args!("the service manager can't be reached: {}", describe(&error)));
        }
    }

    /// The next event, or `None` when it is time to look at the clock.
    fn next_event(&mut self) -> Option<Event> {
        match self.clock_wait() {
            None => self.events.recv().ok(),
            // Not even a flood of events keeps from it.
            Some(Duration::ZERO) => None,
            Some(wait) => self.events.recv_timeout(wait).ok(),
        }
    }

    /// Time until something is due that no event tells.
    fn clock_wait(&self) -> Option<Duration> {
        let moments = [self.watch.next(), self.programs.next(), self.programs_end_at, self.sessions_end_at];
        let next = moments.into_iter().flatten().min();
        let next = next.map(|next| next.saturating_duration_since(Instant::now()));
        if self.stopping != Stopping::No {
            return next;
        }
        let timeout = self.timeout.map(|timeout| timeout.saturating_sub(self.launched.elapsed()));
        // Connections are looked at once a second, which is as exact as the option's unit.
        let idle = self.idle_timeout.map(|_| IDLE_LOOK);
        [next, timeout, idle].into_iter().flatten().min()
    }

    fn check_clock(&mut self) {
        let now = Instant::now();
        if self.sessions_end_at.is_some_and(|end| now >= end) {
            self.sessions_end_at = None;
            self.drain();
        }
        if self.programs_end_at.is_some_and(|end| now >= end) {
            self.end_programs();
        }
        self.programs.look(now);
        match self.watch.look(now) {
            Due::Nothing => {}
            Due::Alive => {
                let told = self.manager.alive();
                self.note_manager(told);
                self.ask_reactors();
            }
            Due::Stuck => self.log.warn(format_args!("a reactor does not answer")),
        }
        if self.stopping != Stopping::No {
            return;
        }
        if let Some(timeout) = self.timeout
            && self.launched.elapsed() >= timeout
        {
            let text = format_args!("listener exit due to --timeout {}", timeout.as_secs());
            self.log.note(Topic::Stop, Level::Info, text);
            return self.finish();
        }
        let Some(idle) = self.idle_timeout else { return };
        let seen: u64 = self.reactors.iter().map(|reactor| reactor.metrics.accepted.total()).sum();
        if self.live() > 0 || seen != self.seen {
            self.active = Instant::now();
            self.seen = seen;
        } else if self.active.elapsed() >= idle {
            let text = format_args!("listener exit due to --idle-timeout {}", idle.as_secs());
            self.log.note(Topic::Stop, Level::Info, text);
            self.finish();
        }
    }

    fn live(&self) -> usize {
        self.reactors.iter().map(|reactor| reactor.metrics.live.load(Ordering::Relaxed)).sum()
    }

    /// Ends when the existing sessions have ended.
    fn finish(&mut self) {
        self.stop(Stopping::Finishing, || Control::Finish);
    }

    /// Ends soon: every client is asked to go.
    fn drain(&mut self) {
        let live = self.live();
        self.log.note_as_object(Topic::Drain, Level::Info, format_args!("{live} connections are sent away"));
        self.undrained = self.running;
        self.programs_end_at = Some(Instant::now() + PROGRAMS_STAY);
        self.stop(Stopping::Draining, || Control::Drain(DRAIN));
    }

    fn stop(&mut self, how: Stopping, control: impl Fn() -> Control) {
        if self.stopping == Stopping::No {
            self.log.debug(format_args!("Closing socket listening at {}", self.listening));
            let told = self.manager.stopping();
            self.note_manager(told);
        }
        self.stopping = how;
        self.shared.health.enter(match how {
            Stopping::Draining => Phase::Closing,
            Stopping::Finishing | Stopping::No => Phase::Finishing,
        });
        self.reactors.iter().for_each(|reactor| reactor.control(control()));
    }

    /// Logs how all connections ended (`--verbose`).
    fn say_endings(&self) {
        type Pick = fn(&Metrics) -> &Counter;
        let lookups: [(&str, Pick); 4] = [
            ("tokens found", |metrics| &metrics.tokens_found),
            ("tokens unknown", |metrics| &metrics.tokens_unknown),
            ("requests denied", |metrics| &metrics.denied),
            ("lookups failed", |metrics| &metrics.lookups_failed),
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
        if let Some((begun, failed)) = self.recorder.as_ref().map(Recorder::counts) {
            self.log.debug(format_args!("recordings begun: {begun}, ended before their sessions: {failed}"));
        }
    }
}

/// Time for clients to answer our Close when the process is asked to end; what is left then is cut.
const DRAIN: Duration = Duration::from_secs(3);

/// How long sessions get what a wrapped program said last before it ended; what is left then is ended.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// How long programs are left alone while clients are sent away, which takes milliseconds.
const PROGRAMS_STAY: Duration = Duration::from_millis(500);

/// How often `--idle-timeout` looks for connections.
const IDLE_LOOK: Duration = Duration::from_secs(1);

/// How long the exit waits for recordings to be written.
const RECORD_PATIENCE: Duration = Duration::from_secs(2);

/// How long the exit waits for an output that takes no lines.
const LOG_PATIENCE: Duration = Duration::from_secs(1);
