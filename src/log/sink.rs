//! One output's queue, and the thread behind it.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::event::Event;
use super::output::Output;
use super::syslog::Header;
use super::{Counts, Level, Style, lock, object};

/// One output's queue. Clones share it.
#[derive(Clone)]
pub(super) struct Sink {
    queue: Arc<Queue>,
    form: Form,
    /// The form of its own messages.
    style: Style,
    /// The name of its output in lines about it.
    name: &'static str,
}

/// How a line is written down.
#[derive(Clone)]
pub(super) enum Form {
    /// As it is.
    Plain,
    /// As a message of syslog, made when the line is, so that it has the line's time.
    Syslog(Arc<Header>),
}

struct Queue {
    state: Mutex<Pending>,
    filled: Condvar,
    emptied: Condvar,
}

#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    lost_lines: u64,
    /// Since the start: lines that were said, and those of them that the output did not take.
    said: u64,
    lost: u64,
    /// Lines that the thread has taken and not finished.
    in_hand: u64,
    writing: bool,
    /// The thread sleeps until it is notified of work.
    waiting: bool,
    reopen: bool,
    /// A caller waits until everything is written.
    flushing: bool,
}

impl Pending {
    /// Whether the thread should not go on collecting lines.
    fn is_urgent(&self) -> bool {
        self.reopen || self.flushing || self.bytes.len() >= FULL_BYTES
    }
}

impl Sink {
    /// A queue without a writer yet.
    pub(super) fn new(name: &'static str, form: Form, style: Style) -> Sink {
        let queue =
            Queue { state: Mutex::new(Pending::default()), filled: Condvar::new(), emptied: Condvar::new() };
        Sink { queue: Arc::new(queue), form, style, name }
    }

    /// Whether both have the same queue.
    pub(super) fn is(&self, other: &Sink) -> bool {
        Arc::ptr_eq(&self.queue, &other.queue)
    }

    /// Starts the thread that writes the queue to `output`. Its own messages go to `others`.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(&self, output: Output, others: Vec<Sink>) -> io::Result<()> {
        let sink = self.clone();
        let builder = thread::Builder::new().name(output.thread_name().into()).stack_size(STACK_BYTES);
        builder.spawn(move || sink.run(output, &others))?;
        Ok(())
    }

    /// Queues a line, which has no line end.
    pub(super) fn say(&self, level: Level, line: &str) {
        match &self.form {
            Form::Plain => self.push(&[line.as_bytes(), b"\n"]),
            Form::Syslog(header) => self.push(&[&header.message(level, line), b"\n"]),
        }
    }

    /// Queues an event whose object this is. It is shortened if a message has less room than a line.
    pub(super) fn say_object(&self, event: &Event<'_>, line: &str) {
        match (&self.form, self.style) {
            (Form::Syslog(_), Style::Json(instance)) if line.len() > SYSLOG_OBJECT_MAX => {
                self.say(event.level, &object(event, instance, SYSLOG_VALUE_MAX));
            }
            _ => self.say(event.level, line),
        }
    }

    /// Queues a line about an output.
    fn tell(&self, text: &str) {
        self.say(Level::Warning, &self.style.line(Level::Warning, text));
    }

    /// Queues bytes as they are.
    pub(super) fn push(&self, parts: &[&[u8]]) {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let mut state = lock(&self.queue.state);
        state.said += 1;
        if state.bytes.len() + length > QUEUE_BYTES_MAX {
            state.lost_lines += 1;
            state.lost += 1;
            return;
        }
        let before = state.bytes.len();
        parts.iter().for_each(|part| state.bytes.extend_from_slice(part));
        // Woken only once: until it runs, further wake-ups are useless.
        let is_asleep = std::mem::take(&mut state.waiting);
        let wanted = is_asleep || (before < FULL_BYTES && state.bytes.len() >= FULL_BYTES);
        drop(state);
        if wanted {
            self.queue.filled.notify_one();
        }
    }

    /// Has the output reopened, before anything else is written.
    pub(super) fn reopen(&self) {
        lock(&self.queue.state).reopen = true;
        self.queue.filled.notify_one();
    }

    /// Waits until everything is written, or until `deadline`.
    pub(super) fn flush(&self, deadline: Instant) {
        let mut state = lock(&self.queue.state);
        state.flushing = true;
        self.queue.filled.notify_one();
        while state.writing || !state.bytes.is_empty() {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { break };
            state = self.queue.emptied.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.flushing = false;
    }

    /// What its output is called in metrics, and how many lines were said and lost since the start.
    pub(super) fn counts(&self) -> Counts {
        let state = lock(&self.queue.state);
        let name = OUTPUTS.iter().find(|(name, _)| *name == self.name).map_or(self.name, |(_, short)| short);
        Counts { name, lines: state.said, lost: state.lost }
    }

    /// Takes what is queued, for a caller that writes it without a thread.
    pub(super) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut lock(&self.queue.state).bytes)
    }

    /// How many lines are not written, or lost and not accounted for, in words; `None` if there are none.
    pub(super) fn undelivered(&self) -> Option<String> {
        let state = lock(&self.queue.state);
        let lines = state.lost_lines + state.in_hand + lines(&state.bytes);
        (lines > 0).then(|| format!("{lines} log lines did not reach {}", self.name))
    }

    fn run(&self, mut output: Output, others: &[Sink]) {
        let tell = |text: &str| others.iter().for_each(|sink| sink.tell(text));
        let mut batch = Vec::new();
        let mut is_first = true;
        loop {
            let (reopen, lost_before) = self.next_batch(&mut batch, std::mem::take(&mut is_first));
            if reopen {
                output.reopen(&tell);
            }
            let mut lost = output.write(&batch, &tell);
            let lost_now = lost;
            if lost_before > 0 && output.write(&self.note(lost_before), &tell) > 0 {
                lost += lost_before;
            }
            batch.clear();
            batch.shrink_to(BATCH_BYTES_KEPT);
            let mut state = lock(&self.queue.state);
            state.lost_lines += lost;
            state.lost += lost_now;
            state.in_hand = 0;
            state.writing = false;
            drop(state);
            self.queue.emptied.notify_all();
        }
    }

    /// The line that says how many are missing.
    fn note(&self, lost: u64) -> Vec<u8> {
        let text = self.style.line(Level::Warning, &format!("{lost} log lines were lost"));
        let mut note = match &self.form {
            Form::Plain => text.into_bytes(),
            Form::Syslog(header) => header.message(Level::Warning, &text),
        };
        note.push(b'\n');
        note
    }

    /// Waits for lines and moves them to `batch`; tells whether the file should be reopened, and how many
    /// lines were lost behind those in the batch.
    ///
    /// Lines seldom come alone, and the thread that logs one should not have to wake this one. So others
    /// are waited for a moment, and behind a batch those of another, before it sleeps until it is woken.
    fn next_batch(&self, batch: &mut Vec<u8>, is_first: bool) -> (bool, u64) {
        let mut state = lock(&self.queue.state);
        if !is_first {
            state = self.collect(state, NEXT_BATCH_WAIT);
        }
        if state.bytes.is_empty() && !state.reopen {
            while state.bytes.is_empty() && !state.reopen {
                state.waiting = true;
                state = self.queue.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.waiting = false;
            state = self.collect(state, BATCH_WAIT);
        }
        std::mem::swap(batch, &mut state.bytes);
        state.in_hand = lines(batch);
        state.writing = true;
        (std::mem::take(&mut state.reopen), std::mem::take(&mut state.lost_lines))
    }

    /// Waits a while for more lines, or until those that are there are urgent.
    fn collect<'a>(&self, state: MutexGuard<'a, Pending>, time: Duration) -> MutexGuard<'a, Pending> {
        let waited = self.queue.filled.wait_timeout_while(state, time, |state| !state.is_urgent());
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// The number of lines in `bytes`.
pub(super) fn lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

/// Outputs in lines about them.
pub(super) const STANDARD_ERROR: &str = "standard error";
pub(super) const LOG_FILE: &str = "the log file";

/// Those that metrics call otherwise.
const OUTPUTS: &[(&str, &str)] = &[(STANDARD_ERROR, "stderr"), (LOG_FILE, "file")];

/// An object that is longer is made again for syslog, with values of [`SYSLOG_VALUE_MAX`]: a message has 8 KiB.
const SYSLOG_OBJECT_MAX: usize = 7 * 1024;

/// What a value has then, in bytes.
const SYSLOG_VALUE_MAX: usize = 256;

/// Lines that wait for one output. At about 100 bytes a line, some 10,000 lines.
const QUEUE_BYTES_MAX: usize = 1024 * 1024;

/// A queue with this much is written without waiting for more.
const FULL_BYTES: usize = QUEUE_BYTES_MAX / 2;

/// For so long lines are collected behind the first one, before they are written.
const BATCH_WAIT: Duration = Duration::from_millis(3);

/// For so long they are collected behind a batch. A gateway that opens thousands of sessions a second would feel a
/// wake-up for each batch; a reader does not feel the wait.
const NEXT_BATCH_WAIT: Duration = Duration::from_millis(10);

/// A batch buffer larger than this is given back after a burst.
const BATCH_BYTES_KEPT: usize = 16 * 1024;

/// The threads of the log format little and call nothing deeper than a name lookup (for syslog over UDP).
const STACK_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::super::output::{File, scratch};
    use super::*;
    use std::fs;

    #[test]
    fn a_queue_that_nobody_writes_out_is_bounded_and_counts_what_it_lost() {
        let sink = Sink::new("the test", Form::Plain, Style::Text);
        let line = [b'x'; 1024];
        for _ in 0..1500 {
            sink.push(&[&line]);
        }
        let state = lock(&sink.queue.state);
        assert_eq!(state.bytes.len(), QUEUE_BYTES_MAX);
        assert_eq!(state.lost_lines, 1500 - 1024);
    }

    fn flush(sink: &Sink) {
        sink.flush(Instant::now() + Duration::from_secs(20));
    }

    #[test]
    fn lines_reach_the_file_in_order_and_after_a_reopening_the_new_file() {
        let dir = scratch("reopened");
        let path = dir.join("log");
        let sink = Sink::new("the test", Form::Plain, Style::Text);
        let others = Sink::new("the test", Form::Plain, Style::Text);
        sink.start(Output::file(File::open(&path).expect("a file"), "log file"), vec![others.clone()])
            .expect("a thread");
        sink.say(Level::Info, "one");
        sink.say(Level::Info, "two");
        flush(&sink);
        assert_eq!(fs::read(&path).expect("readable"), b"one\ntwo\n");
        fs::rename(&path, dir.join("old")).expect("renamed");
        sink.reopen();
        sink.say(Level::Info, "three");
        flush(&sink);
        assert_eq!(fs::read(&path).expect("readable"), b"three\n");
        assert_eq!(others.take(), b"", "what went well is not told");
        fs::remove_dir_all(dir).expect("removed");
    }

    #[test]
    fn lines_that_come_one_after_the_other_do_not_wake_the_thread_for_each() {
        let dir = scratch("stream");
        let sink = Sink::new("the test", Form::Plain, Style::Text);
        let output = Output::file(File::open(&dir.join("log")).expect("a file"), "log file");
        sink.start(output, Vec::new()).expect("a thread");
        let asleep = || lock(&sink.queue.state).waiting;
        let deadline = Instant::now() + Duration::from_secs(20);
        while !asleep() && Instant::now() < deadline {
            thread::yield_now();
        }
        let mut woken = 0;
        for _ in 0..1000 {
            woken += u32::from(asleep());
            sink.say(Level::Info, "a line");
        }
        flush(&sink);
        assert!(woken < 100, "{woken} lines found the thread asleep");
        fs::remove_dir_all(dir).expect("removed");
    }

    #[test]
    fn a_reopening_that_fails_is_told_to_the_others_and_tried_again_at_the_next() {
        let dir = scratch("refused");
        let path = dir.join("log");
        let (sink, others) = (
            Sink::new("the test", Form::Plain, Style::Text),
            Sink::new("the test", Form::Plain, Style::Text),
        );
        sink.start(Output::file(File::open(&path).expect("a file"), "log file"), vec![others.clone()])
            .expect("a thread");
        fs::rename(&path, dir.join("old")).expect("renamed");
        fs::create_dir(&path).expect("a directory in its place");
        sink.reopen();
        sink.say(Level::Info, "to the old one");
        flush(&sink);
        assert_eq!(fs::read(dir.join("old")).expect("readable"), b"to the old one\n");
        let told = String::from_utf8(others.take()).expect("text");
        let expected = format!("log file {} can't be reopened: [Errno 21] Is a directory; ", path.display());
        assert!(told.starts_with(&expected), "{told}");
        fs::remove_dir(&path).expect("removed");
        sink.reopen();
        sink.say(Level::Info, "to the new one");
        flush(&sink);
        assert_eq!(fs::read(&path).expect("readable"), b"to the new one\n");
        fs::remove_dir_all(dir).expect("removed");
    }
}
