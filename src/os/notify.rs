//! Notifies the service manager that the service is ready, stopping, or alive (sd_notify(3)).
//!
//! The crate `sd-notify` is not used: it can't send to abstract sockets, and blocks forever on a manager that does
//! not read.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::log::describe;

/// The connection to the service manager, if there is one.
#[derive(Debug, Default)]
pub struct Notify {
    manager: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
    /// The process that the manager started.
    started: u32,
}

/// What the manager put into the environment.
#[derive(Clone, Debug, Default)]
pub struct Variables {
    socket: Option<OsString>,
    watchdog_usec: Option<OsString>,
    watchdog_pid: Option<OsString>,
}

impl Variables {
    /// Those of this process.
    pub fn of_process() -> Variables {
        Variables {
            socket: env::var_os("NOTIFY_SOCKET"),
            watchdog_usec: env::var_os("WATCHDOG_USEC"),
            watchdog_pid: env::var_os("WATCHDOG_PID"),
        }
    }
}

impl Notify {
    /// Uses the socket named in the environment. `started` is the PID of the process that the manager started,
    /// which differs from ours once the service is in the background.
    ///
    /// # Errors
    /// The address can't be used; for the log.
    pub fn open(variables: &Variables, started: u32) -> Result<Notify, String> {
        let Some(name) = variables.socket.as_deref().filter(|name| !name.is_empty()) else {
            return Ok(Notify::default());
        };
        let unusable = |why: &io::Error| format!("NOTIFY_SOCKET {}: {}", name.display(), describe(why));
        let address = address(name).map_err(|error| unusable(&error))?;
        let socket = UnixDatagram::unbound().map_err(|error| unusable(&error))?;
        socket.set_write_timeout(Some(SEND_WAIT)).map_err(|error| unusable(&error))?;
        let is_for = |pid: &OsStr| pid.to_str().is_some_and(|pid| pid.parse() == Ok(started));
        let is_watched = variables.watchdog_pid.as_deref().is_none_or(is_for);
        let usec = variables.watchdog_usec.as_deref().and_then(OsStr::to_str).and_then(|n| n.parse().ok());
        Ok(Notify {
            manager: Some((socket, address)),
            watchdog: usec.filter(|usec| is_watched && *usec > 0).map(Duration::from_micros),
            started,
        })
    }

    /// The manager's watchdog interval. Notify it after half of that.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// The service is ready; in the background, also its new PID.
    ///
    /// # Errors
    /// The system's.
    pub fn ready(&self) -> io::Result<()> {
        let own = std::process::id();
        if own == self.started { self.send("READY=1") } else { self.send(&format!("MAINPID={own}\nREADY=1")) }
    }

    /// The service is stopping.
    ///
    /// # Errors
    /// The system's.
    pub fn stopping(&self) -> io::Result<()> {
        self.send("STOPPING=1")
    }

    /// The service is alive.
    ///
    /// # Errors
    /// The system's.
    pub fn alive(&self) -> io::Result<()> {
        self.send("WATCHDOG=1")
    }

    fn send(&self, text: &str) -> io::Result<()> {
        match &self.manager {
            Some((socket, address)) => socket.send_to_addr(text.as_bytes(), address).map(drop),
            None => Ok(()),
        }
    }
}

fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest),
        [b'/', ..] => SocketAddr::from_pathname(name),
        _ => Err(io::Error::other("neither a path nor an abstract name")),
    }
}

/// A manager that reads nothing costs the main thread so much and not more.
const SEND_WAIT: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(socket: &str, usec: Option<&str>, pid: Option<&str>) -> Variables {
        Variables {
            socket: Some(socket.into()),
            watchdog_usec: usec.map(OsString::from),
            watchdog_pid: pid.map(OsString::from),
        }
    }

    fn read(manager: &UnixDatagram) -> String {
        let mut space = [0; 256];
        let count = manager.recv(&mut space).expect("a datagram");
        String::from_utf8_lossy(&space[..count]).into_owned()
    }

    #[test]
    fn a_manager_at_an_abstract_address_is_told() {
        let name = format!("websockify-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let manager = UnixDatagram::bind_addr(&address).expect("a socket");
        let own = std::process::id();
        let notify = Notify::open(&variables(&format!("@{name}"), None, None), own).expect("usable");
        notify.ready().expect("sent");
        assert_eq!(read(&manager), "READY=1");
        notify.alive().expect("sent");
        notify.stopping().expect("sent");
        assert_eq!((read(&manager), read(&manager)), ("WATCHDOG=1".into(), "STOPPING=1".into()));
        let forked = Notify::open(&variables(&format!("@{name}"), None, None), own + 1).expect("usable");
        forked.ready().expect("sent");
        assert_eq!(read(&manager), format!("MAINPID={own}\nREADY=1"));
    }

    #[test]
    fn a_manager_that_does_not_read_is_not_waited_for_without_end() {
        let name = format!("websockify-deaf-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let _manager = UnixDatagram::bind_addr(&address).expect("a socket");
        let notify = Notify::open(&variables(&format!("@{name}"), None, None), 1).expect("usable");
        let refused = (0..100_000).find_map(|_| notify.alive().err()).expect("its queue has an end");
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn the_watchdog_is_for_the_process_that_it_names() {
        for (usec, pid, expected) in [
            (None, None, None),
            (Some("2000000"), None, Some(Duration::from_secs(2))),
            (Some("2000000"), Some("77"), Some(Duration::from_secs(2))),
            (Some("2000000"), Some("78"), None),
            (Some("2000000"), Some("x"), None),
            (Some("0"), None, None),
            (Some("x"), None, None),
        ] {
            let notify = Notify::open(&variables("/nowhere", usec, pid), 77).expect("usable");
            assert_eq!(notify.watchdog(), expected, "{usec:?} {pid:?}");
        }
    }

    #[test]
    fn without_a_manager_nothing_is_sent_and_an_address_that_can_not_be_is_told() {
        assert!(Notify::open(&Variables::default(), 1).expect("usable").ready().is_ok());
        assert!(Notify::open(&variables("", None, None), 1).expect("usable").ready().is_ok());
        let too_long = format!("/{}", "x".repeat(200));
        for name in ["relative", "vsock:2:1234", &too_long] {
            let told = Notify::open(&variables(name, None, None), 1).expect_err("unusable");
            assert!(told.starts_with(&format!("NOTIFY_SOCKET {name}: ")), "{told}");
        }
        assert!(Notify::open(&variables("/nowhere/at/all", None, None), 1).expect("usable").ready().is_err());
    }
}
