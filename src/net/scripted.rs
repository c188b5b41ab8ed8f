//! A stream that follows a script, for tests, benches and fuzz targets: in each direction it is ready,
//! would block, fails or ends as the script says. It is compiled into the product, so that what is tested
//! is what is shipped; nothing but tests makes one.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::socket::Stream;

/// What a direction does next. A direction whose script is over would block.
#[derive(Clone, Debug)]
pub enum Step {
    /// A read brings these bytes, over as many reads as its spaces need.
    Data(&'static [u8]),
    /// The same with bytes that were made at run time.
    Bytes(Vec<u8>),
    /// A write takes this many bytes.
    Room(usize),
    /// `WouldBlock`, once.
    Block,
    /// The end of the stream, from here on.
    Eof,
    /// This error, from here on.
    Error(io::ErrorKind),
}

/// The stream that a connection owns.
#[derive(Debug)]
pub struct Scripted(Arc<Mutex<Script>>);

/// The test's handle to the same script: shows what was written, and adds steps.
#[derive(Clone, Debug)]
pub struct Handle(Arc<Mutex<Script>>);

#[derive(Debug, Default)]
struct Script {
    reads: VecDeque<Step>,
    writes: VecDeque<Step>,
    written: Vec<u8>,
    unacknowledged: usize,
    unanswered: u8,
    /// The last write was refused, in whole or in part.
    refusing: bool,
    /// Reads and writes that moved nothing.
    idle_calls: usize,
    write_ended: bool,
    dropped: bool,
}

impl Scripted {
    /// A stream whose reads and writes go as the two scripts say.
    pub fn new(
        reads: impl IntoIterator<Item = Step>,
        writes: impl IntoIterator<Item = Step>,
    ) -> (Scripted, Handle) {
        let script = Script {
            reads: reads.into_iter().collect(),
            writes: writes.into_iter().collect(),
            ..Script::default()
        };
        let shared = Arc::new(Mutex::new(script));
        (Scripted(Arc::clone(&shared)), Handle(shared))
    }
}

impl Handle {
    /// Adds a step to what reads bring.
    pub fn read_step(&self, step: Step) {
        lock(&self.0).reads.push_back(step);
    }

    /// Adds a step to what writes may do.
    pub fn write_step(&self, step: Step) {
        lock(&self.0).writes.push_back(step);
    }

    /// Takes back all room that was given: the next write would block.
    pub fn block_writes(&self) {
        lock(&self.0).writes.clear();
    }

    /// Lets every read and write fail from here on, after the bytes that a read could still bring: the
    /// peer has reset the connection.
    pub fn reset(&self, kind: io::ErrorKind) {
        let mut script = lock(&self.0);
        script.reads.retain(|step| matches!(step, Step::Data(_) | Step::Bytes(_)));
        script.reads.push_back(Step::Error(kind));
        script.writes.clear();
        script.writes.push_back(Step::Error(io::ErrorKind::BrokenPipe));
    }

    /// Takes everything that was written so far.
    pub fn take_written(&self) -> Vec<u8> {
        std::mem::take(&mut lock(&self.0).written)
    }

    /// How many steps of the reading script are left.
    pub fn reads_left(&self) -> usize {
        lock(&self.0).reads.len()
    }

    /// Whether bytes wait to be written: the last write was refused.
    pub fn is_refusing(&self) -> bool {
        lock(&self.0).refusing
    }

    /// How many reads and writes have moved nothing so far, which reveals a busy loop.
    pub fn idle_calls(&self) -> usize {
        lock(&self.0).idle_calls
    }

    /// Sets what the stream claims its peer has not acknowledged.
    pub fn set_unacknowledged(&self, bytes: usize) {
        lock(&self.0).unacknowledged = bytes;
    }

    /// Sets how often the stream claims to have repeated itself without an answer.
    pub fn set_unanswered(&self, times: u8) {
        lock(&self.0).unanswered = times;
    }

    /// Whether the writing side was ended in order.
    pub fn is_write_ended(&self) -> bool {
        lock(&self.0).write_ended
    }

    /// Whether the connection has closed the stream.
    pub fn is_dropped(&self) -> bool {
        lock(&self.0).dropped
    }
}

impl Read for Scripted {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let mut script = lock(&self.0);
        let (count, rest) = match script.reads.pop_front() {
            Some(Step::Data(data)) => {
                let count = data.len().min(space.len());
                space[..count].copy_from_slice(&data[..count]);
                (count, (count < data.len()).then(|| Step::Data(&data[count..])))
            }
            Some(Step::Bytes(mut data)) => {
                let count = data.len().min(space.len());
                space[..count].copy_from_slice(&data[..count]);
                data.drain(..count);
                (count, (!data.is_empty()).then_some(Step::Bytes(data)))
            }
            Some(Step::Eof) => {
                script.idle_calls += 1;
                (0, Some(Step::Eof))
            }
            Some(Step::Error(kind)) => {
                script.idle_calls += 1;
                script.reads.push_front(Step::Error(kind));
                return Err(kind.into());
            }
            Some(Step::Block | Step::Room(_)) | None => {
                script.idle_calls += 1;
                return Err(io::ErrorKind::WouldBlock.into());
            }
        };
        if let Some(rest) = rest {
            script.reads.push_front(rest);
        }
        Ok(count)
    }
}

impl Write for Scripted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut script = lock(&self.0);
        assert!(!script.write_ended, "written after the writing side was ended");
        let step = script.writes.pop_front();
        script.refusing = !matches!(step, Some(Step::Room(_) | Step::Error(_)));
        script.idle_calls += usize::from(!matches!(step, Some(Step::Room(_))));
        match step {
            Some(Step::Room(room)) => {
                let count = room.min(bytes.len());
                script.written.extend_from_slice(&bytes[..count]);
                if count < room {
                    script.writes.push_front(Step::Room(room - count));
                }
                Ok(count)
            }
            Some(Step::Error(kind)) => {
                script.writes.push_front(Step::Error(kind));
                Err(kind.into())
            }
            _ => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Scripted {
    fn shutdown_write(&mut self) -> io::Result<()> {
        lock(&self.0).write_ended = true;
        Ok(())
    }

    fn unacknowledged(&self) -> usize {
        lock(&self.0).unacknowledged
    }

    fn unanswered(&self) -> u8 {
        lock(&self.0).unanswered
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        lock(&self.0).dropped = true;
    }
}

fn lock(script: &Mutex<Script>) -> MutexGuard<'_, Script> {
    script.lock().unwrap_or_else(PoisonError::into_inner)
}
