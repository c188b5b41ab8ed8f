//! Where lines end up: standard error, standard output, a file, syslog. Everything here may block, and so
//! runs on the output's own thread; opening the file is the exception, and never blocks.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::sink::lines;
use super::syslog::Syslog;

/// Something that lines are written to.
pub(super) struct Output {
    kind: Kind,
    /// The last line was cut off, for example by a full disk.
    is_mid_line: bool,
    /// Writing failed, and that has been reported.
    is_failing: bool,
}

enum Kind {
    Stderr,
    Stdout,
    /// The same for lines.
    StdoutLines,
    /// A file, and what it is called.
    File(File, &'static str),
    Syslog(Box<Syslog>),
}

/// A log file and its name.
pub(super) struct File {
    file: fs::File,
    path: PathBuf,
}

/// Says a line on the other outputs.
pub(super) type Tell<'a> = &'a dyn Fn(&str);

impl Output {
    pub(super) fn stderr() -> Output {
        Output::of(Kind::Stderr)
    }

    /// For traffic marks, which are not lines.
    pub(super) fn stdout() -> Output {
        Output::of(Kind::Stdout)
    }

    /// For lines.
    pub(super) fn stdout_lines() -> Output {
        Output::of(Kind::StdoutLines)
    }

    /// A file; `what` names its content.
    pub(super) fn file(file: File, what: &'static str) -> Output {
        Output::of(Kind::File(file, what))
    }

    pub(super) fn syslog(syslog: Syslog) -> Output {
        Output::of(Kind::Syslog(Box::new(syslog)))
    }

    fn of(kind: Kind) -> Output {
        Output { kind, is_mid_line: false, is_failing: false }
    }

    /// The name of the thread that writes to it.
    pub(super) fn thread_name(&self) -> &'static str {
        match self.kind {
            Kind::Stderr => "log-stderr",
            Kind::Stdout => "traffic",
            Kind::StdoutLines => "access-log",
            Kind::File(..) => "log-file",
            Kind::Syslog(_) => "syslog",
        }
    }

    /// Reopens the outputs that have a name: a file that a rotation has moved away, or the connection to
    /// syslog.
    pub(super) fn reopen(&mut self, tell: Tell<'_>) {
        match &mut self.kind {
            Kind::File(file, what) => match File::open(&file.path) {
                Ok(new) => {
                    // Where it is still the same file, a line that was cut off is still there.
                    self.is_mid_line &= new.identity() == file.identity();
                    *file = new;
                }
                Err(error) => tell(&format!(
                    "{what} {} can't be reopened: {}; the old one stays in use",
                    file.path.display(),
                    describe(&error)
                )),
            },
            Kind::Syslog(syslog) => syslog.disconnect(),
            Kind::Stderr | Kind::Stdout | Kind::StdoutLines => {}
        }
    }

    /// Writes lines and returns how many of them were lost. Blocks for as long as the reader does.
    pub(super) fn write(&mut self, bytes: &[u8], tell: Tell<'_>) -> u64 {
        if let Kind::Syslog(syslog) = &mut self.kind {
            return syslog.write(bytes, tell);
        }
        if self.is_mid_line && !bytes.is_empty() {
            // The cut line ends here, so that it does not spoil this one.
            match self.write_all(b"\n") {
                (0, _) => return lines(bytes),
                _ => self.is_mid_line = false,
            }
        }
        let (written, result) = self.write_all(bytes);
        let is_marks = matches!(self.kind, Kind::Stdout);
        if let Some(last) = bytes[..written].last() {
            self.is_mid_line = !is_marks && *last != b'\n';
        }
        match (result, &self.kind) {
            (Ok(()), _) => self.is_failing &= bytes.is_empty(),
            (Err(error), Kind::File(file, what)) if !self.is_failing => {
                self.is_failing = true;
                let (path, error) = (file.path.display(), describe(&error));
                tell(&format!("{what} {path}: {error}; lines are lost until it can be written again"));
            }
            (Err(_), _) => self.is_failing = true,
        }
        lines(&bytes[written..])
    }

    /// How many bytes could be written, and why no more.
    fn write_all(&mut self, bytes: &[u8]) -> (usize, io::Result<()>) {
        let mut written = 0;
        while written < bytes.len() {
            match self.write_some(&bytes[written..]) {
                Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A FIFO that is full; or a full output that another process sharing the descriptor has made
                // non-blocking.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(RETRY_WAIT),
                // Closed, or the disk is full: these lines are gone, the next ones may do better.
                Err(error) => return (written, Err(error)),
            }
        }
        (written, Ok(()))
    }

    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.kind {
            Kind::Stderr => io::stderr().write(bytes),
            Kind::Stdout | Kind::StdoutLines => {
                let mut stdout = io::stdout().lock();
                let count = stdout.write(bytes)?;
                stdout.flush()?;
                Ok(count)
            }
            Kind::File(file, _) => file.file.write(bytes),
            Kind::Syslog(_) => Ok(bytes.len()),
        }
    }
}

impl File {
    /// Opens a log file for appending. Never blocks, whatever the path names: a FIFO without a reader, for
    /// example, is an error.
    ///
    /// # Errors
    /// The system's, or what lies there can't be a log.
    pub(super) fn open(path: &Path) -> io::Result<File> {
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = match OpenOptions::new().create(true).append(true).custom_flags(flags).open(path) {
            Ok(file) => file,
            // The error of a FIFO without a reader, and of every socket.
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => match standard(path) {
                Some(descriptor) => descriptor?.into(),
                None if is_fifo(path) => return Err(io::Error::other("no process reads this FIFO")),
                None => return Err(error),
            },
            Err(error) => return Err(error),
        };
        if file.metadata()?.file_type().is_block_device() {
            return Err(io::Error::other("a block device can't be a log file"));
        }
        Ok(File { file, path: path.to_owned() })
    }

    /// The file, in blocking mode.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn into_blocking(self) -> io::Result<fs::File> {
        let flags = rustix::fs::fcntl_getfl(&self.file)?;
        rustix::fs::fcntl_setfl(&self.file, flags - rustix::fs::OFlags::NONBLOCK)?;
        Ok(self.file)
    }

    fn identity(&self) -> Option<(u64, u64)> {
        self.file.metadata().ok().map(|found| (found.dev(), found.ino()))
    }
}

fn is_fifo(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo())
}

/// A descriptor like the one that `path` names, if it names standard output or error. Where those are
/// sockets, as under a service manager, they can't be opened by name.
fn standard(path: &Path) -> Option<io::Result<OwnedFd>> {
    match path.to_str()? {
        "/dev/stdout" | "/dev/fd/1" | "/proc/self/fd/1" => Some(io::stdout().as_fd().try_clone_to_owned()),
        "/dev/stderr" | "/dev/fd/2" | "/proc/self/fd/2" => Some(io::stderr().as_fd().try_clone_to_owned()),
        _ => None,
    }
}

/// An error in Python's form, which scripts look for: `[Errno 111] Connection refused`.
pub fn describe(error: &io::Error) -> String {
    let text = error.to_string();
    if text.contains("SUN_LEN") {
        // An error of std's own, which no manual explains.
        return format!("path is longer than {SUN_PATH_MAX} bytes");
    }
    match error.raw_os_error() {
        Some(code) => {
            let words = text.strip_suffix(&format!(" (os error {code})")).unwrap_or(&text);
            format!("[Errno {code}] {words}")
        }
        None => text,
    }
}

/// The longest path of a Unix socket, in bytes without the NUL (unix(7)).
pub const SUN_PATH_MAX: usize = 107;

/// Time between attempts at an output that does not block.
const RETRY_WAIT: Duration = Duration::from_millis(20);

/// A directory for a test.
#[cfg(test)]
pub(super) fn scratch(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("websockify-log-{name}-{}", std::process::id()));
    fs::create_dir_all(&dir).expect("a directory");
    dir
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use std::cell::RefCell;
    use std::io::Read;

    #[test]
    fn errors_are_told_in_the_words_of_the_system_or_in_ours() {
        let path = format!("/tmp/{}", "x".repeat(SUN_PATH_MAX));
        let error = std::os::unix::net::UnixStream::connect(path).expect_err("it is too long");
        assert_eq!(describe(&error), "path is longer than 107 bytes");
        assert_eq!(describe(&io::Error::from_raw_os_error(libc::EMFILE)), "[Errno 24] Too many open files");
        assert_eq!(describe(&io::Error::other("words")), "words");
    }

    #[test]
    fn opening_never_waits_and_what_can_be_no_log_is_refused() {
        let dir = scratch("open");
        let fifo = dir.join("fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a FIFO");
        let refused = |path: &Path| File::open(path).map(|_| ()).map_err(|error| describe(&error));
        assert_eq!(refused(&fifo), Err("no process reads this FIFO".to_owned()));
        assert_eq!(refused(&dir), Err("[Errno 21] Is a directory".to_owned()));
        let socket = dir.join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
        assert_eq!(refused(&socket), Err("[Errno 6] No such device or address".to_owned()));
        assert_eq!(refused(&dir.join("a/b")), Err("[Errno 2] No such file or directory".to_owned()));
        assert_eq!(refused(Path::new("/dev/null")), Ok(()));
        assert_eq!(refused(&dir.join("new")), Ok(()));
        fs::remove_dir_all(dir).expect("removed");
    }

    #[test]
    fn a_fifo_that_is_read_is_written_to() {
        let dir = scratch("fifo");
        let fifo = dir.join("fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a FIFO");
        let reader = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&fifo);
        let mut reader = reader.expect("a reader");
        let mut output = Output::file(File::open(&fifo).expect("it is read"), "log file");
        assert_eq!(output.write(b"line\n", &|text| panic!("{text}")), 0);
        let mut space = [0; 16];
        assert_eq!(reader.read(&mut space).expect("a line"), 5);
        fs::remove_dir_all(dir).expect("removed");
    }

    #[test]
    fn a_line_that_a_full_disk_cut_off_is_ended_before_the_next() {
        let dir = scratch("cut");
        let path = dir.join("log");
        let mut output = Output::file(File::open(&path).expect("a file"), "log file");
        assert_eq!(output.write(b"whole\nhal", &|text| panic!("{text}")), 0);
        assert_eq!(output.write(b"next\n", &|text| panic!("{text}")), 0);
        assert_eq!(fs::read(&path).expect("readable"), b"whole\nhal\nnext\n");
        output.write(b"hal", &|_| ());
        fs::rename(&path, dir.join("old")).expect("renamed");
        output.reopen(&|text| panic!("{text}"));
        output.write(b"first\n", &|_| ());
        assert_eq!(fs::read(&path).expect("readable"), b"first\n", "a new file begins with a line");
        fs::remove_dir_all(dir).expect("removed");
    }

    #[test]
    fn a_full_disk_is_told_once_until_there_is_room_again() {
        let told = RefCell::new(Vec::new());
        let tell = |text: &str| told.borrow_mut().push(text.to_owned());
        let mut output = Output::file(File::open(Path::new("/dev/full")).expect("a device"), "log file");
        assert_eq!(output.write(b"one\ntwo\n", &tell), 2);
        assert_eq!(output.write(b"three\n", &tell), 1);
        let expected = "log file /dev/full: [Errno 28] No space left on device; lines are lost until it can be \
                        written again";
        assert_eq!(*told.borrow(), [expected]);
    }
}
