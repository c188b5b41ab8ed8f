//! A program for each session (`--wrap-stdin`), as with inetd: the session's data on its standard input and output.
//!
//! Reactors ask for a program, a helper starts it, and what the reactor gets has a place in it that is dropped with the
//! session's socket. The main thread then tells the program to go, and takes how it has ended.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::command::{Fault, Program, returned};
use super::group::Leaving;
use crate::child::Child;
use crate::conn::frontend::{Begun, Start, Started};
use crate::flight::{Asked, ReplyTo};
use crate::helpers::{Lane, Refused};
use crate::log::{Level, Log, Topic, describe};
use crate::net::listen::Peer;

/// The programs of all sessions. Clones share them.
#[derive(Clone)]
pub(in crate::server) struct SessionPrograms(Arc<Inner>);

struct Inner {
    program: Program,
    title: String,
    log: Arc<Log>,
    lane: Lane,
    state: Mutex<State>,
    /// Wakes the main thread.
    wake: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct State {
    /// Programs that are starting, running, or asked to stop.
    count: usize,
    number: u64,
    running: HashMap<u64, Running>,
    leaving: Vec<(Peer, u32, Leaving)>,
    /// No more are started.
    closed: bool,
}

struct Running {
    peer: Peer,
    child: Child,
    /// Its session has closed its socket.
    is_over: bool,
}

impl SessionPrograms {
    /// Empty; `wake` is called when [`SessionPrograms::look`] has something to do.
    pub(super) fn new(
        program: Program,
        log: &Arc<Log>,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> SessionPrograms {
        SessionPrograms(Arc::new(Inner {
            title: program.title(),
            program,
            log: Arc::clone(log),
            lane: Lane::new("programs", THREADS_MAX, PROGRAMS_MAX),
            state: Mutex::default(),
            wake: Box::new(wake),
        }))
    }

    /// Stops programs whose sessions are over, and reaps those that have ended.
    pub(super) fn look(&self, now: Instant) {
        let mut state = self.0.lock();
        let all_over = state.closed;
        let over: Vec<u64> = state
            .running
            .iter()
            .filter(|(_, it)| it.is_over || all_over)
            .map(|(number, _)| *number)
            .collect();
        for number in over {
            if let Some(Running { peer, child, .. }) = state.running.remove(&number) {
                let pid = child.pid();
                state.leaving.push((peer, pid, Leaving::begin(child, now)));
            }
        }
        let before = state.leaving.len();
        state.leaving.retain_mut(|(peer, pid, leaving)| {
            leaving.look(now);
            if leaving.is_over() {
                self.0.say_end(peer, *pid, leaving);
            }
            !leaving.is_over()
        });
        state.count -= before - state.leaving.len();
    }

    /// When to call it even if nothing has happened.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.lock().leaving.iter().filter_map(|(_, _, leaving)| leaving.next()).min()
    }

    /// Starts no more, and stops all.
    pub(super) fn end(&self, now: Instant) {
        self.0.lock().closed = true;
        self.look(now);
    }

    /// Kills those still running after being asked to stop.
    pub(super) fn kill(&self) {
        self.0.lock().leaving.iter().for_each(|(_, _, leaving)| leaving.kill());
    }

    /// Whether none is left.
    pub(super) fn is_over(&self) -> bool {
        self.0.lock().count == 0
    }
}

impl Start for SessionPrograms {
    fn start(&self, peer: Peer, to: ReplyTo<Started>) -> Asked<Started> {
        {
            let mut state = self.0.lock();
            if state.closed {
                return Asked::Now(Err("the service ends".into()));
            }
            if state.count >= PROGRAMS_MAX {
                return Asked::Now(Err(format!("{PROGRAMS_MAX} programs are running")));
            }
            state.count += 1;
        }
        let inner = Arc::clone(&self.0);
        match self.0.lane.submit(Box::new(move || to(inner.begin(peer)))) {
            Ok(()) => Asked::Later,
            Err(refused) => {
                self.0.lock().count -= 1;
                match refused {
                    Refused::Full => Asked::Busy,
                    refused @ Refused::NoThread(_) => Asked::Now(Err(refused.to_string())),
                }
            }
        }
    }
}

impl Inner {
    /// Starts one, on a helper's thread.
    fn begin(self: Arc<Inner>, peer: Peer) -> Started {
        match self.spawn() {
            Ok((socket, child)) => {
                let number = {
                    let mut state = self.lock();
                    state.number += 1;
                    let number = state.number;
                    state.running.insert(number, Running { peer, child, is_over: false });
                    number
                };
                // The service may have begun to end meanwhile.
                (self.wake)();
                let place: Box<dyn Any + Send> = Box::new(Place { inner: self, number });
                Ok(Begun { socket, place })
            }
            Err(Fault { text, .. }) => {
                self.lock().count -= 1;
                (self.wake)();
                Err(text)
            }
        }
    }

    fn spawn(&self) -> Result<(UnixStream, Child), Fault> {
        let failed = |error: io::Error| Fault { code: 1, text: describe(&error) };
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        let theirs = OwnedFd::from(theirs);
        let input = Stdio::from(theirs.try_clone().map_err(failed)?);
        let child = self.program.start(input, Some(theirs.into()), true)?;
        Ok((ours, child))
    }

    fn say_end(&self, peer: &Peer, pid: u32, leaving: &Leaving) {
        let title = &self.title;
        match leaving.status() {
            Some(status) => {
                let returned = returned(status);
                let text = format_args!("'{title}' (process {pid}) exited. Returned {returned}");
                self.log.peer(Topic::Program, Level::Info, peer, text);
            }
            None => {
                let text = format_args!("'{title}' (process {pid}) can't be killed");
                self.log.peer(Topic::Program, Level::Info, peer, text);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session's place among the programs.
struct Place {
    inner: Arc<Inner>,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(running) = self.inner.lock().running.get_mut(&self.number) {
            running.is_over = true;
        }
        (self.inner.wake)();
    }
}

impl fmt::Debug for SessionPrograms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SessionPrograms").field(&self.0.title).finish()
    }
}

/// Most programs at a time, including those asked to stop. A process for each client is not what a gateway scales
/// with.
const PROGRAMS_MAX: usize = 256;

/// Most programs being started at a time.
const THREADS_MAX: usize = 4;
