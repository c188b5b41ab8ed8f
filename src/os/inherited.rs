//! What the process inherited: sockets from a service manager (`LISTEN_FDS`, sd_listen_fds(3)) or from inetd
//! (standard input), and descriptors left open by mistake.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use rustix::fs::{FileType, fstat};

use crate::log::describe;
use crate::sys::process;

/// An inherited socket.
#[derive(Debug)]
pub struct Given {
    /// The socket.
    pub socket: OwnedFd,
    /// Its name from the manager, or its descriptor number.
    pub name: String,
}

/// What the manager put into the environment about sockets.
#[derive(Clone, Debug, Default)]
struct Variables {
    pid: Option<OsString>,
    fds: Option<OsString>,
    names: Option<OsString>,
}

impl Variables {
    fn of_process() -> Variables {
        let variable = |name| env::var_os(name);
        Variables {
            pid: variable("LISTEN_PID"),
            fds: variable("LISTEN_FDS"),
            names: variable("LISTEN_FDNAMES"),
        }
    }

    /// The descriptors meant for process `own`.
    fn range(&self, own: u32) -> Result<Range<RawFd>, String> {
        let none = FIRST..FIRST;
        let text = |value: &Option<OsString>| value.as_deref().and_then(OsStr::to_str).map(str::to_owned);
        // Meant for another one that has started this one, most likely.
        if text(&self.pid).and_then(|pid| pid.parse().ok()) != Some(own) {
            return Ok(none);
        }
        let Some(fds) = &self.fds else { return Ok(none) };
        match fds.to_str().and_then(|fds| fds.parse::<usize>().ok()) {
            Some(count) if count <= SOCKETS_MAX => Ok(FIRST..FIRST + count as RawFd),
            Some(count) => Err(format!("LISTEN_FDS: {count} sockets are more than {SOCKETS_MAX}")),
            None => Err(format!("LISTEN_FDS: {} is not a number", fds.display())),
        }
    }

    /// The name of the descriptor with this index.
    fn name(&self, index: usize) -> String {
        let names = self.names.as_deref().map(OsStr::to_string_lossy).unwrap_or_default();
        let name = names.split(':').nth(index).filter(|name| !name.is_empty());
        name.map_or_else(|| format!("descriptor {}", FIRST as usize + index), str::to_owned)
    }
}

/// How many sockets the service manager passed to this process, according to the environment.
pub fn count() -> usize {
    Variables::of_process().range(std::process::id()).map_or(0, |range| range.len())
}

/// Takes over the sockets passed by the service manager. Call once at startup, before the program opens anything
/// and before it goes into the background, where its PID is different.
///
/// # Errors
/// What is wrong with the environment or the descriptors, for the log.
pub fn take_sockets() -> Result<Vec<Given>, String> {
    let variables = Variables::of_process();
    let range = variables.range(std::process::id())?;
    if range.is_empty() {
        return Ok(Vec::new());
    }
    let count = range.len();
    let sockets = process::take_inherited(range)
        .map_err(|error| format!("LISTEN_FDS={count}, but not all are open: {}", describe(&error)))?;
    let named = |(index, socket)| Given { socket, name: variables.name(index) };
    Ok(sockets.into_iter().enumerate().map(named).collect())
}

/// Removes the variables meant for this process alone from the environment, so programs that it starts don't see
/// them. Call after all have been read and before a second thread exists.
///
/// # Errors
/// A second thread already exists.
pub fn forget_variables() -> io::Result<()> {
    VARIABLES.into_iter().try_for_each(process::remove_variable)
}

/// Takes over standard input and puts /dev/null in its place.
///
/// # Errors
/// Standard input is not a socket; for the log.
pub fn take_stdin() -> Result<Given, String> {
    let stdin = process::standard(0);
    let failed = |error: io::Error| format!("standard input: {}", describe(&error));
    if !is_socket(stdin) {
        return Err("--inetd needs a socket as standard input".into());
    }
    let socket = stdin.try_clone_to_owned().map_err(failed)?;
    rustix::stdio::dup2_stdin(null().map_err(failed)?).map_err(|error| failed(error.into()))?;
    Ok(Given { socket, name: "standard input".into() })
}

/// Replaces standard output and error by /dev/null if they are the same socket as standard input, so no log line
/// goes to a client. Call before anything is printed. Does nothing if standard input is not a socket.
///
/// # Errors
/// The system's.
pub fn spare_outputs() -> io::Result<()> {
    let stdin = process::standard(0);
    if !is_socket(stdin) {
        return Ok(());
    }
    if is_same(stdin, process::standard(1)) {
        rustix::stdio::dup2_stdout(null()?)?;
    }
    if is_same(stdin, process::standard(2)) {
        rustix::stdio::dup2_stderr(null()?)?;
    }
    Ok(())
}

fn null() -> io::Result<OwnedFd> {
    Ok(OpenOptions::new().read(true).write(true).open("/dev/null")?.into())
}

fn is_socket(descriptor: BorrowedFd<'_>) -> bool {
    fstat(descriptor).is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Socket)
}

fn is_same(one: impl AsFd, other: impl AsFd) -> bool {
    let identity = |descriptor: BorrowedFd<'_>| fstat(descriptor).map(|found| (found.st_dev, found.st_ino));
    matches!((identity(one.as_fd()), identity(other.as_fd())), (Ok(one), Ok(other)) if one == other)
}

/// Descriptors above standard error that came with the process and that nobody has meant for it: of a shell's
/// locks and pipes, for instance.
#[derive(Debug, Default)]
pub struct Strangers(Vec<RawFd>);

impl Strangers {
    /// Finds them. To be called at the start, before the program opens anything. Programs that this one
    /// starts don't get them. `is_daemon`: they will be closed, and are now if that can't be later.
    pub fn find(is_daemon: bool) -> Strangers {
        let meant = Variables::of_process().range(std::process::id()).unwrap_or(FIRST..FIRST);
        let all = match process::open_descriptors() {
            Ok(all) => all,
            // Without /proc nobody knows which they are, only that they are all there are.
            Err(_) if is_daemon => {
                process::close_from(meant.end);
                Vec::new()
            }
            Err(_) => Vec::new(),
        };
        let strangers: Vec<RawFd> = all.into_iter().filter(|number| !meant.contains(number)).collect();
        for &number in &strangers {
            // One that is not open any more is none.
            let _ = process::close_on_exec(number);
        }
        Strangers(strangers)
    }

    /// Closes them, for a service in the background, so that processes that wait for the end of a pipe continue.
    pub fn close(self) {
        process::close_strangers(&self.0);
    }
}

/// What a service manager says to the process that it starts, and to no other.
const VARIABLES: [&str; 7] = [
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "LISTEN_FDNAMES",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
];

/// The first descriptor that a service manager passes (SD_LISTEN_FDS_START).
const FIRST: RawFd = 3;

/// Sockets that are taken from a service manager. Each listener is a place among the tokens of the first
/// reactor's poll; a unit with more of them is a mistake.
pub const SOCKETS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    fn variables(pid: Option<&str>, fds: Option<&str>, names: Option<&str>) -> Variables {
        let own = |value: Option<&str>| value.map(OsString::from);
        Variables { pid: own(pid), fds: own(fds), names: own(names) }
    }

    #[test]
    fn sockets_are_taken_only_if_they_are_meant_for_this_process() {
        for (pid, fds, expected) in [
            (None, None, Ok(3..3)),
            (None, Some("1"), Ok(3..3)),
            (Some("77"), None, Ok(3..3)),
            (Some("78"), Some("1"), Ok(3..3)),
            (Some("78"), Some("nonsense"), Ok(3..3)),
            (Some("x"), Some("1"), Ok(3..3)),
            (Some("77"), Some("0"), Ok(3..3)),
            (Some("77"), Some("2"), Ok(3..5)),
            (Some("77"), Some("16"), Ok(3..19)),
            (Some("77"), Some("17"), Err("LISTEN_FDS: 17 sockets are more than 16".to_owned())),
            (Some("77"), Some("-1"), Err("LISTEN_FDS: -1 is not a number".to_owned())),
            (Some("77"), Some("1x"), Err("LISTEN_FDS: 1x is not a number".to_owned())),
        ] {
            assert_eq!(variables(pid, fds, None).range(77), expected, "{pid:?} {fds:?}");
        }
    }

    #[test]
    fn sockets_have_their_names_or_else_their_numbers() {
        let named = variables(None, None, Some("web::admin"));
        assert_eq!(
            (0..4).map(|index| named.name(index)).collect::<Vec<_>>(),
            ["web", "descriptor 4", "admin", "descriptor 6"]
        );
        assert_eq!(variables(None, None, None).name(0), "descriptor 3");
    }

    #[test]
    fn the_same_socket_is_known_by_any_descriptor() {
        let (one, other) = UnixStream::pair().expect("a pair");
        let copy = one.try_clone().expect("a copy");
        assert!(is_same(&one, &copy));
        assert!(!is_same(&one, &other));
        assert!(is_socket(one.as_fd()));
        assert!(!is_socket(null().expect("a device").as_fd()));
    }
}
