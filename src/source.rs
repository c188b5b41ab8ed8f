//! What an option points to: a text, or a file that is reread when it has changed.
//!
//! Other programs may change a file of tokens or passwords while it is read, so it is never parsed with half
//! a line at its end, and a result from a time when it could still change unnoticed is not kept.

use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::log::describe;

/// Why a file can't be used.
#[derive(Debug)]
pub enum Fault {
    /// It is a directory, a FIFO, a socket or a device. It was not opened.
    NotRegular,
    /// It has more bytes than [`BYTES_MAX`].
    TooLarge,
    /// The system's error.
    System(io::Error),
}

impl Fault {
    /// Whether there is no such file.
    pub fn is_missing(&self) -> bool {
        matches!(self, Fault::System(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::NotRegular => f.write_str("not a regular file"),
            Fault::TooLarge => write!(f, "larger than {} MiB", BYTES_MAX >> 20),
            Fault::System(error) if error.kind() == io::ErrorKind::NotFound => f.write_str("not found"),
            Fault::System(error) => f.write_str(&describe(error)),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Fault {
        Fault::System(error)
    }
}

/// What distinguishes one state of a file from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    /// That of the file or directory with this metadata.
    pub fn of(metadata: &Metadata) -> Identity {
        Identity {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether the next change could have the same time stamp, so that this identity proves nothing.
    pub fn is_young(&self) -> bool {
        // File systems without nanoseconds count in steps of up to two seconds.
        let granule = if self.changed.1 == 0 { 2 * SECOND } else { GRANULE };
        self.age().is_some_and(|age| age < granule)
    }

    /// Time since the last change; `None` if the timestamp is in the future.
    fn age(&self) -> Option<Duration> {
        let since = Duration::new(u64::try_from(self.changed.0).ok()?, u32::try_from(self.changed.1).ok()?);
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH + since).ok()
    }
}

/// A file's content, parsed once for each state of the file.
pub struct CachedFile<T> {
    kept: Mutex<Option<Kept<T>>>,
}

struct Kept<T> {
    /// `None` if the file may have changed since without a trace.
    identity: Option<Identity>,
    /// When the reading began.
    begun: Instant,
    value: Arc<T>,
}

impl<T> Default for CachedFile<T> {
    fn default() -> CachedFile<T> {
        CachedFile { kept: Mutex::new(None) }
    }
}

impl<T> CachedFile<T> {
    /// The file's current content. An unchanged file costs a `stat`; while it is parsed, only callers that
    /// need this file wait.
    ///
    /// # Errors
    /// The file can't be used.
    pub fn get(&self, path: &Path, parse: impl FnOnce(&[u8]) -> T) -> Result<Arc<T>, Fault> {
        let asked = Instant::now();
        let metadata = fs::metadata(path)?;
        check(&metadata)?;
        let identity = Identity::of(&metadata);
        let mut kept = lock(&self.kept);
        if let Some(kept) = &*kept
            // A caller that has waited for the lock uses what was read meanwhile.
            && (kept.identity == Some(identity) || kept.begun >= asked)
        {
            return Ok(Arc::clone(&kept.value));
        }
        let begun = Instant::now();
        let (bytes, identity) = read(path)?;
        let value = Arc::new(parse(without_mark(&bytes)));
        *kept = Some(Kept { identity, begun, value: Arc::clone(&value) });
        Ok(value)
    }
}

/// The bytes of a regular file, and its identity if that distinguishes the next state from this one. A last
/// line without a line end may be incomplete: it is awaited for a moment, and omitted if the file is still
/// changing then.
///
/// # Errors
/// The file can't be used.
pub fn read(path: &Path) -> Result<(Vec<u8>, Option<Identity>), Fault> {
    let deadline = Instant::now() + TORN_WAIT;
    loop {
        // Before it is opened, since that may have an effect on a device, and fails for a socket.
        check(&fs::metadata(path)?)?;
        let mut file = open(path)?;
        let before = file.metadata()?;
        check(&before)?;
        let before = Identity::of(&before);
        let mut bytes = Vec::with_capacity(usize::try_from(before.size).unwrap_or(0) + 1);
        // One byte more than allowed, so that a file that grows meanwhile is noticed.
        file.by_ref().take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > BYTES_MAX {
            return Err(Fault::TooLarge);
        }
        let is_stable = Identity::of(&file.metadata()?) == before;
        let is_settled = before.age().is_none_or(|age| age >= TORN_WAIT);
        let may_be_torn = !is_stable || !is_settled && !bytes.ends_with(b"\n") && !bytes.is_empty();
        if !may_be_torn {
            let identity = (!before.is_young()).then_some(before);
            return Ok((bytes, identity));
        }
        if Instant::now() >= deadline {
            let whole = memchr::memrchr(b'\n', &bytes).map_or(0, |at| at + 1);
            bytes.truncate(whole);
            return Ok((bytes, None));
        }
        thread::sleep(TORN_PAUSE);
    }
}

/// What `@FILE` stands for: the file's text without the line end after it. A pipe is read to its end, so that
/// a shell's `@<(command)` works. For the start: it may wait, for [`PIPE_WAIT`] at most.
///
/// # Errors
/// The file can't be used.
pub fn read_argument(path: &Path) -> Result<Vec<u8>, Fault> {
    let mut file = open(path)?;
    let kind = file.metadata()?.file_type();
    if !kind.is_file() && !std::os::unix::fs::FileTypeExt::is_fifo(&kind) {
        return Err(Fault::NotRegular);
    }
    let deadline = Instant::now() + PIPE_WAIT;
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline => {
                thread::sleep(TORN_PAUSE);
            }
            Err(error) => return Err(error.into()),
        }
        if bytes.len() > ARGUMENT_BYTES_MAX {
            return Err(Fault::TooLarge);
        }
    }
    let text = without_mark(&bytes);
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    Ok(text.strip_suffix(b"\r").unwrap_or(text).to_vec())
}

/// The candidates for a relative path: below the directory that the program was started in, or below the web
/// root, which the Python program makes its working directory.
#[derive(Clone, Debug)]
pub struct Place {
    first: PathBuf,
    second: Option<PathBuf>,
}

impl Place {
    /// The places of `path`.
    pub fn new(path: &Path, directory: &Path, web: Option<&Path>) -> Place {
        let second = web.filter(|_| path.is_relative()).map(|web| web.join(path));
        Place { first: directory.join(path), second }
    }

    /// All places where it may be.
    pub fn all(&self) -> Vec<PathBuf> {
        [Some(&self.first), self.second.as_ref()].into_iter().flatten().cloned().collect()
    }

    /// Where it is now. Looks at the file system.
    pub fn find(&self) -> &Path {
        match &self.second {
            Some(second) if !exists(&self.first) && exists(second) => second,
            _ => &self.first,
        }
    }
}

fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Opens for reading without blocking, even if the path is a FIFO or a terminal.
///
/// # Errors
/// The system's.
pub fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
}

fn check(metadata: &Metadata) -> Result<(), Fault> {
    match metadata.is_file() {
        false => Err(Fault::NotRegular),
        true if metadata.size() > BYTES_MAX => Err(Fault::TooLarge),
        true => Ok(()),
    }
}

/// The text without a byte order mark before it.
pub fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The largest file that is read whole: a million and a half of token lines.
pub const BYTES_MAX: u64 = 64 << 20;

/// The longest argument that `@FILE` may stand for.
const ARGUMENT_BYTES_MAX: usize = 1 << 20;

const SECOND: Duration = Duration::from_secs(1);

/// Twice the longest step of the clock that kernels stamp files with (10 ms).
const GRANULE: Duration = Duration::from_millis(20);

/// How long a last line without an end is taken for one that is still being written.
const TORN_WAIT: Duration = Duration::from_millis(200);

/// Time until such a file is read again.
const TORN_PAUSE: Duration = Duration::from_millis(10);

/// How long the writer of a pipe may take.
const PIPE_WAIT: Duration = Duration::from_secs(10);

#[cfg(test)]
pub(crate) mod scratch;
#[cfg(test)]
mod tests;
