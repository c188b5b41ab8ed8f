//! Sessions on disk (`--record`): each in a file of its own, which noVNC's player can play.
//!
//! A session hands over its data and continues. Its bytes wait in a queue of its own, whose bound the session
//! holds by not reading while [`Recording::is_full`], and are written by whichever thread of the lane is
//! free, one thread to a session at a time and a bounded share at a time. So a disk that is slow slows those
//! sessions that write to it, and a write that hangs holds one thread and one session; only when as many hang
//! as the lane has threads do other recorded sessions wait, each once its queue is full. A thread for each
//! session would isolate them fully, but cost thousands of threads; with one thread for all, one hanging
//! write would stop them all.
//!
//! A disk error ends a recording, with one line in the log, but never a session.

mod escape;
mod limits;
mod moment;
mod name;
mod script;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::helpers::Lane;
use crate::log::{Level, Log, Topic, describe};
use limits::{
    BUFFER_BYTES, BUFFERS_KEPT, LARGE_BYTES, LEFT_BYTES_MAX, NO_WAKE, ROOM_BYTES, SHARE_BYTES, SMALL_BYTES,
    THREADS_MAX,
};
use moment::{LENGTH_BYTES_MAX, MOMENT_BYTES, Moment, decode_payload, encode_length, gap_before};
use script::{Script, Text};

pub use limits::QUEUE_BYTES;
pub use script::Mark;

/// Records sessions. Clones share everything.
#[derive(Clone)]
pub struct Recorder(Arc<Inner>);

struct Inner {
    base: PathBuf,
    log: Arc<Log>,
    lane: Lane,
    files_max: usize,
    /// Files that are open or will be.
    open: Mutex<usize>,
    closed: Condvar,
    /// Unwritten bytes of sessions that have ended.
    left_bytes: AtomicUsize,
    begun: AtomicU64,
    failed: AtomicU64,
    /// Buffers of queues that were large and are empty now.
    buffers: Mutex<Vec<Vec<u8>>>,
}

/// Called on a thread of the lane: the file has been opened, or can't be, or a queue that was long is short.
pub type Wake = Box<dyn Fn() + Send + Sync>;

/// One session's recording. It ends when this is dropped: what is queued is written, then the last line.
pub struct Recording(Arc<Session>);

struct Session {
    recorder: Recorder,
    number: u64,
    /// The client's name in the log; `None` if the session is not logged.
    peer: Option<String>,
    start: Instant,
    wake: Wake,
    /// The file's name, as far as it is known.
    name: Mutex<PathBuf>,
    queue: Mutex<Queue>,
    /// Bytes that have been handed over and not written yet.
    queued: AtomicUsize,
    /// How short the queue has to become for a [`Wake`]; [`NO_WAKE`] without one.
    wake_at: AtomicUsize,
    /// The file has been opened, or can't be.
    opened: AtomicBool,
    /// Nothing more is recorded.
    over: AtomicBool,
    /// Held by the one thread that works for this session.
    disk: Mutex<Disk>,
}

#[derive(Default)]
struct Queue {
    /// Moments one after the other.
    bytes: Vec<u8>,
    /// A thread of the lane works for this session, or will.
    scheduled: bool,
    /// The session has ended.
    ended: bool,
    /// How much was unwritten when the session ended, as counted in [`Inner::left_bytes`].
    left: usize,
}

enum Disk {
    Unopened(Place),
    Open(Script<File>, Place),
    Closed,
}

/// One of the recorder's files.
struct Place(Recorder);

impl Recorder {
    /// Records to `base` with a number after it, at most `files_max` files at a time.
    pub fn new(base: PathBuf, files_max: usize, log: Arc<Log>) -> Recorder {
        Recorder(Arc::new(Inner {
            base,
            log,
            lane: Lane::new("record", THREADS_MAX, usize::MAX),
            files_max,
            open: Mutex::new(0),
            closed: Condvar::new(),
            left_bytes: AtomicUsize::new(0),
            begun: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            buffers: Mutex::default(),
        }))
    }

    /// Begins the recording of the session with this number. Its file is opened by the lane.
    pub fn begin(&self, number: u64, peer: Option<String>, wake: Wake) -> Recording {
        let place = self.place();
        let disk = place.map_or(Disk::Closed, Disk::Unopened);
        let has_place = matches!(disk, Disk::Unopened(_));
        let session = Arc::new(Session {
            recorder: self.clone(),
            number,
            peer,
            start: Instant::now(),
            wake,
            name: Mutex::new(name::first(&self.0.base, number)),
            queue: Mutex::default(),
            queued: AtomicUsize::new(0),
            wake_at: AtomicUsize::new(NO_WAKE),
            opened: AtomicBool::new(!has_place),
            over: AtomicBool::new(!has_place),
            disk: Mutex::new(disk),
        });
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        if has_place {
            session.schedule(lock(&session.queue));
        } else {
            session.say_failed(&"as many recordings as there may be are open");
        }
        Recording(session)
    }

    /// Waits until every recording of an ended session is written, or until `patience` is over.
    pub fn flush(&self, patience: Duration) {
        let open = lock(&self.0.open);
        let _ = self.0.closed.wait_timeout_while(open, patience, |open| *open > 0);
    }

    /// Recordings that were begun, and those of them that ended before their sessions.
    pub fn counts(&self) -> (u64, u64) {
        (self.0.begun.load(Ordering::Relaxed), self.0.failed.load(Ordering::Relaxed))
    }

    /// Makes every thread wait until the returned senders are dropped, like a hanging disk.
    #[cfg(test)]
    pub(crate) fn hang(&self) -> Vec<std::sync::mpsc::Sender<()>> {
        let hang = |_| {
            let (release, gate) = std::sync::mpsc::channel();
            let job = Box::new(move || _ = gate.recv());
            self.0.lane.submit(job).expect("threads");
            release
        };
        (0..THREADS_MAX).map(hang).collect()
    }

    fn place(&self) -> Option<Place> {
        let mut open = lock(&self.0.open);
        (*open < self.0.files_max).then(|| {
            *open += 1;
            Place(self.clone())
        })
    }

    fn buffer(&self) -> Vec<u8> {
        lock(&self.0.buffers).pop().unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES))
    }

    fn take_back(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() < BUFFER_BYTES {
            return;
        }
        buffer.clear();
        let mut buffers = lock(&self.0.buffers);
        if buffers.len() < BUFFERS_KEPT && buffer.capacity() <= 2 * BUFFER_BYTES {
            buffers.push(buffer);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *lock(&self.0.0.open) -= 1;
        self.0.0.closed.notify_all();
    }
}

impl Recording {
    /// Records messages of one moment, or pieces of messages, each as an entry.
    pub fn write<'a>(&self, mark: Mark, payloads: impl IntoIterator<Item = &'a [u8]>) {
        let session = &self.0;
        if self.is_over() {
            return;
        }
        let ms = u64::try_from(session.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut queue = lock(&session.queue);
        if self.is_over() {
            // It has failed in between and emptied the queue: anything added after that would count for ever.
            return;
        }
        let before = queue.bytes.len();
        queue.bytes.extend_from_slice(&Moment { mark, ms, gap: 0, length: 0 }.encode());
        let mut gap = 0;
        for payload in payloads {
            let needed = queue.bytes.len() + LENGTH_BYTES_MAX + payload.len();
            if needed > queue.bytes.capacity() && needed > SMALL_BYTES && needed <= BUFFER_BYTES {
                let mut large = session.recorder.buffer();
                large.extend_from_slice(&queue.bytes);
                queue.bytes = large;
            }
            if payload.len() >= LARGE_BYTES && queue.bytes.len() == before + MOMENT_BYTES {
                gap = gap_before(payload, &queue.bytes);
                queue.bytes.resize(before + MOMENT_BYTES + gap, 0);
            }
            encode_length(payload.len(), &mut queue.bytes);
            queue.bytes.extend_from_slice(payload);
        }
        let count = queue.bytes.len() - before;
        let moment = Moment { mark, ms, gap, length: count - MOMENT_BYTES - gap };
        queue.bytes[before..before + MOMENT_BYTES].copy_from_slice(&moment.encode());
        session.queued.fetch_add(count, Ordering::SeqCst);
        session.schedule(queue);
    }

    /// Whether the file has been opened, or can't be.
    pub fn is_opened(&self) -> bool {
        self.0.opened.load(Ordering::Acquire)
    }

    /// Whether nothing more is recorded.
    pub fn is_over(&self) -> bool {
        self.0.over.load(Ordering::Acquire)
    }

    /// Whether so much waits for the disk that nothing more should be read. If so, a [`Wake`] comes as soon as there
    /// is room again.
    pub fn is_full(&self) -> bool {
        let session = &self.0;
        if session.queued.load(Ordering::SeqCst) < QUEUE_BYTES {
            return false;
        }
        session.wake_at.store(ROOM_BYTES, Ordering::SeqCst);
        // It may have become short in between, unnoticed. A wake-up that still comes does no harm.
        session.queued.load(Ordering::SeqCst) > ROOM_BYTES
    }

    /// Bytes waiting for the disk, if they are worth counting. When there are any, a [`Wake`] comes as soon
    /// as a full queue has room again, or a shorter one is next to empty.
    pub fn held_bytes(&self) -> usize {
        let session = &self.0;
        let queued = session.queued.load(Ordering::SeqCst);
        if queued <= SMALL_BYTES {
            return 0;
        }
        let wake_at = if queued >= QUEUE_BYTES { ROOM_BYTES } else { SMALL_BYTES };
        session.wake_at.store(wake_at, Ordering::SeqCst);
        // It may have become short in between, unnoticed.
        let queued = session.queued.load(Ordering::SeqCst);
        if queued <= wake_at {
            session.wake_at.store(NO_WAKE, Ordering::SeqCst);
            (session.wake)();
        }
        queued
    }

    /// Ends the recording because the disk has accepted nothing for too long. What is queued is dropped.
    pub fn give_up(&self) {
        self.0.fail(&"the disk has taken nothing for too long");
    }
}

impl std::fmt::Debug for Recording {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Recording").field(&self.0.number).finish()
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let session = &self.0;
        let left_bytes = &session.recorder.0.left_bytes;
        let mut queue = lock(&session.queue);
        queue.ended = true;
        let mut left = 0;
        if !self.is_over() {
            queue.left = session.queued.load(Ordering::SeqCst);
            left = left_bytes.fetch_add(queue.left, Ordering::SeqCst) + queue.left;
        }
        session.schedule(queue);
        if left > LEFT_BYTES_MAX {
            session.fail(&"too much of ended sessions is unwritten");
        }
    }
}

impl Session {
    /// Schedules work for this session on the lane, unless it is scheduled already or nothing is left to do.
    fn schedule(self: &Arc<Session>, mut queue: MutexGuard<'_, Queue>) {
        if std::mem::replace(&mut queue.scheduled, true) {
            return;
        }
        drop(queue);
        self.submit();
    }

    fn submit(self: &Arc<Session>) {
        let session = Arc::clone(self);
        let job = Box::new(move || TEXT.with_borrow_mut(|text| session.work(text)));
        if let Err(refused) = self.recorder.0.lane.submit(job) {
            // It stays marked as scheduled, so this is logged once.
            self.fail(&refused);
        }
    }

    /// Writes what is queued, up to a share. Runs on the lane, once at a time.
    fn work(self: &Arc<Session>, text: &mut Text) {
        let mut disk = lock(&self.disk);
        if let Disk::Unopened(_) = &*disk {
            self.open(&mut disk);
        }
        let mut bytes = Vec::new();
        let mut share = SHARE_BYTES;
        loop {
            let mut queue = lock(&self.queue);
            if self.is_over() || (queue.bytes.is_empty() && queue.ended) {
                queue.bytes = Vec::new();
                let left = std::mem::take(&mut queue.left);
                let failed = self.over.swap(true, Ordering::AcqRel);
                // It stays marked as scheduled, so that it never is again.
                drop(queue);
                self.recorder.0.left_bytes.fetch_sub(left, Ordering::SeqCst);
                self.recorder.take_back(bytes);
                return self.close(&mut disk, failed);
            }
            if queue.bytes.is_empty() {
                queue.scheduled = false;
                let unused = std::mem::take(&mut queue.bytes);
                drop(queue);
                self.recorder.take_back(unused);
                return self.recorder.take_back(bytes);
            }
            if share == 0 && self.recorder.0.lane.has_waiting() {
                drop(queue);
                self.recorder.take_back(bytes);
                return self.submit();
            }
            bytes.clear();
            std::mem::swap(&mut bytes, &mut queue.bytes);
            drop(queue);
            share = share.saturating_sub(bytes.len());
            let Disk::Open(script, ..) = &mut *disk else { continue };
            if let Err(error) = self.write(script, &bytes, text) {
                self.fail(&describe(&error));
            }
        }
    }

    fn open(&self, disk: &mut Disk) {
        let Disk::Unopened(place) = std::mem::replace(disk, Disk::Closed) else { return };
        let log = &self.recorder.0.log;
        match name::create(&self.recorder.0.base, self.number, script::EMPTY) {
            Ok((file, path)) => {
                if let Some(peer) = &self.peer {
                    let text = format_args!("opening record file: {}", path.display());
                    log.peer(Topic::Recording, Level::Info, peer, text);
                }
                *lock(&self.name) = path;
                *disk = Disk::Open(Script::new(file), place);
            }
            Err(error) => self.fail(&describe(&error)),
        }
        self.opened.store(true, Ordering::Release);
        (self.wake)();
    }

    /// Writes entries, and subtracts them from the count once they are valid.
    fn write(&self, script: &mut Script<File>, mut moments: &[u8], text: &mut Text) -> io::Result<()> {
        let mut batch = script.batch(text);
        let mut unwritten = 0;
        while let Some((moment, rest)) = Moment::decode(moments) {
            moments = &rest[moment.length..];
            let mut payloads = &rest[..moment.length];
            unwritten += MOMENT_BYTES + moment.gap;
            while let Some((payload, rest)) = decode_payload(payloads) {
                batch.add(moment.mark, moment.ms, payload)?;
                unwritten += payloads.len() - rest.len();
                payloads = rest;
                if batch.is_valid() {
                    self.written(std::mem::take(&mut unwritten));
                }
            }
        }
        batch.commit()?;
        self.written(unwritten);
        Ok(())
    }

    fn written(&self, count: usize) {
        let less = |queued: usize| Some(queued.saturating_sub(count));
        let before = self.queued.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).unwrap_or(0);
        let wake_at = self.wake_at.load(Ordering::SeqCst);
        if wake_at != NO_WAKE && before.saturating_sub(count) <= wake_at {
            self.wake_at.store(NO_WAKE, Ordering::SeqCst);
            (self.wake)();
        }
    }

    /// Ends the recording because of a failure. The lane writes the file's last line, if it can.
    fn fail(&self, reason: &dyn std::fmt::Display) {
        if self.over.swap(true, Ordering::AcqRel) {
            return;
        }
        self.say_failed(reason);
        let dropped = std::mem::take(&mut lock(&self.queue).bytes);
        drop(dropped);
        self.written(usize::MAX);
    }

    fn say_failed(&self, reason: &dyn std::fmt::Display) {
        let inner = &self.recorder.0;
        inner.failed.fetch_add(1, Ordering::Relaxed);
        let name = lock(&self.name).clone();
        let line = format_args!("recording to {} ended: {reason}", name.display());
        if let Some(peer) = &self.peer {
            inner.log.peer(Topic::Recording, Level::Warning, peer, line);
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Writes the file's last line and closes it.
    fn close(&self, disk: &mut Disk, failed: bool) {
        let Disk::Open(script, _place) = std::mem::replace(disk, Disk::Closed) else { return };
        let finished = script.finish(failed);
        if let (Err(error), false) = (finished, failed) {
            self.say_failed(&format_args!("its last line could not be written: {}", describe(&error)));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

thread_local! {
    static TEXT: RefCell<Text> = RefCell::new(Text::new());
}
