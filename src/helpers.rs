//! Threads for everything that can block, in bounded lanes, so that one dead server stalls only its own.
//!
//! A lane has a few threads, started when there is work, and a bounded queue before them. A job delivers its
//! answer through whatever it was built with (a reactor's inbox, for instance). The caller never waits for a
//! helper: threads are detached, and a stuck one does not delay the exit of the process.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use crate::log::describe;

/// Work that may block.
pub type Job = Box<dyn FnOnce() + Send>;

/// Kept by whoever waits for a job. Dropping it cancels a job that has not begun, which gives up its place in
/// the queue.
#[derive(Debug, Default)]
pub struct Ticket(Arc<()>);

/// The job's end of the [`Ticket`] that it was submitted with.
#[derive(Clone, Debug)]
pub struct Stub(Weak<()>);

impl Ticket {
    /// The part that goes with the job.
    pub fn stub(&self) -> Stub {
        Stub(Arc::downgrade(&self.0))
    }
}

impl Stub {
    /// Whether the job's result is still wanted.
    pub fn is_wanted(&self) -> bool {
        self.0.strong_count() > 0
    }
}

/// One kind of work with its own threads and its own queue. Clones share them.
#[derive(Clone)]
pub struct Lane(Arc<Inner>);

struct Inner {
    name: &'static str,
    threads_max: usize,
    queue_max: usize,
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Queued>,
    threads: usize,
    idle: usize,
    done: u64,
    refused: u64,
}

/// What a lane has done; lanes of the same name are added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// The lane's name.
    pub name: &'static str,
    /// Jobs that wait.
    pub waiting: usize,
    /// Threads with a job.
    pub busy: usize,
    /// Threads without one.
    pub idle: usize,
    /// Jobs that are done.
    pub done: u64,
    /// Jobs refused for lack of room or of a thread.
    pub refused: u64,
}

/// The load of every lane of the process, by name.
pub fn loads() -> Vec<Load> {
    let mut loads: Vec<Load> = Vec::new();
    let lanes: Vec<Arc<Inner>> = {
        let mut lanes = LANES.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.retain(|lane| lane.strong_count() > 0);
        lanes.iter().filter_map(Weak::upgrade).collect()
    };
    for lane in lanes {
        let state = lane.lock();
        let at = loads.iter().position(|load| load.name == lane.name).unwrap_or_else(|| {
            loads.push(Load { name: lane.name, ..Load::default() });
            loads.len() - 1
        });
        let load = &mut loads[at];
        load.waiting += state.queue.len();
        load.idle += state.idle;
        load.busy += state.threads - state.idle;
        load.done += state.done;
        load.refused += state.refused;
    }
    loads.sort_unstable_by_key(|load| load.name);
    loads
}

/// All lanes of the process.
static LANES: Mutex<Vec<Weak<Inner>>> = Mutex::new(Vec::new());

struct Queued {
    job: Job,
    wanted: Option<Box<dyn Fn() -> bool + Send>>,
}

impl Queued {
    fn is_wanted(&self) -> bool {
        self.wanted.as_ref().is_none_or(|wanted| wanted())
    }
}

/// Gives this thread a lower priority than reactors have, for expensive work that strangers can cause.
pub fn give_way() {
    // For process 0 Linux changes the calling thread only. A failure only makes the other threads slower.
    let _ = rustix::process::setpriority_process(None, NICENESS);
}

/// Halfway to the lowest priority: a tenth of the processor next to a busy reactor.
const NICENESS: i32 = 10;

/// In words for the log.
impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Full => f.write_str("too many others wait for a thread"),
            Refused::NoThread(error) => {
                write!(f, "can't start a thread: {} (limit of processes)", describe(error))
            }
        }
    }
}

/// Why a lane did not take a job.
#[derive(Debug)]
pub enum Refused {
    /// The queue is full.
    Full,
    /// No thread could be started, and the lane has none.
    NoThread(io::Error),
}

impl Lane {
    /// A lane of at most `threads_max` threads before which at most `queue_max` jobs wait.
    pub fn new(name: &'static str, threads_max: usize, queue_max: usize) -> Lane {
        let lane =
            Arc::new(Inner { name, threads_max, queue_max, state: Mutex::default(), filled: Condvar::new() });
        LANES.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&lane));
        Lane(lane)
    }

    /// Hands `job` to a thread of the lane, now or when one is free.
    ///
    /// # Errors
    /// The queue is full, or the system gives no thread and the lane has none.
    pub fn submit(&self, job: Job) -> Result<(), Refused> {
        self.push(Queued { job, wanted: None })
    }

    /// Like [`Lane::submit`], for a job that is skipped if it is no longer `wanted` when its turn comes; such
    /// a job also makes room for another one when the queue is full. It is then dropped, on any thread.
    ///
    /// # Errors
    /// As those of [`Lane::submit`].
    pub fn submit_while(
        &self,
        wanted: impl Fn() -> bool + Send + 'static,
        job: impl FnOnce() + Send + 'static,
    ) -> Result<(), Refused> {
        self.push(Queued { job: Box::new(job), wanted: Some(Box::new(wanted)) })
    }

    fn push(&self, queued: Queued) -> Result<(), Refused> {
        let mut state = self.0.lock();
        let mut left_out: Vec<Queued> = Vec::new();
        if state.queue.len() >= self.0.queue_max {
            let (wanted, unwanted): (Vec<_>, Vec<_>) = state.queue.drain(..).partition(Queued::is_wanted);
            state.queue.extend(wanted);
            left_out = unwanted;
        }
        if state.queue.len() >= self.0.queue_max {
            state.refused += 1;
            return Err(Refused::Full);
        }
        state.queue.push_back(queued);
        if state.idle < state.queue.len() && state.threads < self.0.threads_max {
            let inner = Arc::clone(&self.0);
            match thread::Builder::new().name(self.0.name.into()).spawn(move || inner.run()) {
                Ok(_) => state.threads += 1,
                Err(error) if state.threads == 0 => {
                    state.queue.pop_back();
                    state.refused += 1;
                    return Err(Refused::NoThread(error));
                }
                Err(_) => {} // The running threads will get to it.
            }
        }
        drop(state);
        self.0.filled.notify_one();
        // Dropping a job may take other locks.
        drop(left_out);
        Ok(())
    }
}

impl Lane {
    /// Whether a job is waiting for a thread: then a long-running one makes room.
    pub fn has_waiting(&self) -> bool {
        !self.0.lock().queue.is_empty()
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lane").field(&self.0.name).finish()
    }
}

impl Inner {
    fn run(&self) {
        let mut state = self.lock();
        loop {
            while let Some(queued) = state.queue.pop_front() {
                drop(state);
                if queued.is_wanted() {
                    (queued.job)();
                } else {
                    drop(queued);
                }
                state = self.lock();
                state.done += 1;
            }
            state.idle += 1;
            let (back, wait) =
                self.filled.wait_timeout(state, IDLE_WAIT).unwrap_or_else(PoisonError::into_inner);
            state = back;
            state.idle -= 1;
            if wait.timed_out() && state.queue.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread without work for this long ends.
const IDLE_WAIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn every_job_is_done_and_no_more_threads_than_allowed_do_them() {
        let lane = Lane::new("test", 3, 1000);
        let (done, answers) = mpsc::channel();
        for number in 0..500 {
            let done = done.clone();
            lane.submit(Box::new(move || done.send(number).expect("the test listens"))).expect("room");
        }
        let mut seen: Vec<i32> = (0..500).map(|_| answers.recv_timeout(PATIENCE).expect("done")).collect();
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..500));
        assert!(lane.0.lock().threads <= 3);
    }

    #[test]
    fn a_job_that_nobody_waits_for_is_left_out_and_gives_up_its_place() {
        let lane = Lane::new("test", 1, 2);
        let (release, gate) = mpsc::channel::<()>();
        let (started, starts) = mpsc::channel();
        let job = move || {
            started.send(()).expect("the test listens");
            let _ = gate.recv_timeout(PATIENCE);
        };
        lane.submit(Box::new(job)).expect("room");
        starts.recv_timeout(PATIENCE).expect("the first job has left the queue");
        let (done, answers) = mpsc::channel();
        let submit = |ticket: &Ticket, number: i32| {
            let (stub, done) = (ticket.stub(), done.clone());
            let wanted = move || stub.is_wanted();
            lane.submit_while(wanted, move || done.send(number).expect("the test listens"))
        };
        let (stays, leaves, comes, late) =
            (Ticket::default(), Ticket::default(), Ticket::default(), Ticket::default());
        submit(&stays, 1).expect("room");
        submit(&leaves, 2).expect("room");
        assert!(matches!(submit(&comes, 3), Err(Refused::Full)));
        drop(leaves);
        submit(&comes, 3).expect("the place of the one who has left");
        assert!(matches!(submit(&late, 4), Err(Refused::Full)));
        drop(comes);
        release.send(()).expect("the job waits");
        assert_eq!(answers.recv_timeout(PATIENCE), Ok(1));
        lane.submit(Box::new(move || done.send(5).expect("the test listens"))).expect("room");
        assert_eq!(answers.recv_timeout(PATIENCE), Ok(5), "nobody waited for the third");
    }

    #[test]
    fn a_stuck_job_fills_only_its_own_lane() {
        let stuck = Lane::new("stuck", 1, 2);
        let free = Lane::new("free", 1, 2);
        let (release, gate) = mpsc::channel::<()>();
        let (started, starts) = mpsc::channel();
        let job = move || {
            started.send(()).expect("the test listens");
            let _ = gate.recv_timeout(PATIENCE);
        };
        stuck.submit(Box::new(job)).expect("room");
        starts.recv_timeout(PATIENCE).expect("the first job has left the queue");
        stuck.submit(Box::new(|| ())).expect("room");
        stuck.submit(Box::new(|| ())).expect("room");
        assert!(matches!(stuck.submit(Box::new(|| ())), Err(Refused::Full)));
        let (done, answers) = mpsc::channel();
        free.submit(Box::new(move || done.send(()).expect("the test listens"))).expect("room");
        answers.recv_timeout(PATIENCE).expect("the other lane works");
        release.send(()).expect("the job waits");
    }
}
