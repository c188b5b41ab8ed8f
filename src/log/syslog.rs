//! Syslog: how a line becomes a message, and how it gets to the daemon, over a Unix socket or UDP.
//!
//! A daemon that is absent, stalled or being restarted holds up only the thread that writes to it. Lines wait
//! in the queue meanwhile; those that it has no room for are counted.

use std::fs;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use socket2::{Domain, SockAddr, Socket, Type};

use super::Level;
use super::output::{Tell, describe};
use crate::sys;

/// Where to send messages, and in which form (`--syslog`, `--legacy-syslog`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyslogSettings {
    /// Where it listens.
    pub address: SyslogAddress,
    /// The older form of message.
    pub legacy: bool,
    /// The facility is daemon and not user.
    pub daemon: bool,
}

/// Where syslog listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyslogAddress {
    /// A Unix socket for datagrams or, if it is not one, for a stream. Absolute.
    Unix(PathBuf),
    /// UDP.
    Udp {
        /// Name or address literal without brackets.
        host: String,
        /// 1 to 65535.
        port: u16,
    },
}

/// What precedes each message.
#[derive(Debug)]
pub(super) struct Header {
    facility: u8,
    legacy: bool,
    host: String,
}

impl Header {
    pub(super) fn new(settings: &SyslogSettings) -> Header {
        let name = rustix::system::uname();
        let host: String =
            name.nodename().to_string_lossy().chars().filter(char::is_ascii_graphic).take(HOST_MAX).collect();
        Header {
            facility: if settings.daemon { DAEMON } else { USER },
            legacy: settings.legacy,
            host: if host.is_empty() { "-".into() } else { host },
        }
    }

    /// The message for a line: `<14>1 2026-11-22T13:10:32Z HOST websockify PID - - TEXT` (RFC 5424), or
    /// `<14>websockify[PID]: TEXT`. Text beyond ASCII is marked by a byte order mark.
    pub(super) fn message(&self, level: Level, text: &str) -> Vec<u8> {
        self.message_at(level, text, SystemTime::now(), std::process::id())
    }

    fn message_at(&self, level: Level, text: &str, now: SystemTime, pid: u32) -> Vec<u8> {
        let severity = match level {
            // The Python program uses no higher severity.
            Level::Error | Level::Warning => 4,
            Level::Info => 6,
            Level::Debug => 7,
        };
        let priority = self.facility * 8 + severity;
        let mut head = if self.legacy {
            format!("<{priority}>websockify[{pid}]: ")
        } else {
            let (host, time) = (&self.host, timestamp(now));
            format!("<{priority}>1 {time} {host} websockify {pid} - - ")
        };
        if !text.is_ascii() {
            head.push('\u{feff}');
        }
        head.push_str(text);
        if head.len() > MESSAGE_BYTES_MAX {
            let whole = (0..=MESSAGE_BYTES_MAX).rfind(|at| head.is_char_boundary(*at));
            head.truncate(whole.unwrap_or(0));
        }
        // From here on messages are separated by line ends.
        head.replace('\n', " ").into_bytes()
    }
}

/// The time of day in UTC, as in RFC 3339; `-` where it is unknown.
fn timestamp(now: SystemTime) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
    match sys::utc_time(seconds) {
        Some(t) => format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
            t.year,
            t.month + 1,
            t.day,
            t.hour,
            t.minute,
            t.second
        ),
        None => "-".into(),
    }
}

/// The connection to a syslog daemon.
pub(super) struct Syslog {
    address: SyslogAddress,
    wire: Option<Wire>,
    /// It has been reported that the daemon can't be reached.
    is_told: bool,
}

enum Wire {
    /// The socket, and the identity of the file at its path when it was connected.
    Datagram(UnixDatagram, Option<(u64, u64)>),
    /// The same, and how much of the current message is written.
    Stream(Socket, Option<(u64, u64)>, usize),
    Udp(UdpSocket),
}

impl Syslog {
    pub(super) fn new(address: SyslogAddress) -> Syslog {
        Syslog { address, wire: None, is_told: false }
    }

    /// Leaves the daemon; the next message looks for it again.
    pub(super) fn disconnect(&mut self) {
        self.wire = None;
    }

    /// Delivers messages, each with a line end, and returns how many were lost. Blocks while no daemon
    /// accepts them.
    pub(super) fn write(&mut self, messages: &[u8], tell: Tell<'_>) -> u64 {
        let mut lost = 0;
        for message in messages.split_inclusive(|byte| *byte == b'\n') {
            loop {
                match self.send(message, &mut lost) {
                    Ok(()) => {
                        self.is_told = false;
                        break;
                    }
                    // Only this one message is at fault.
                    Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => {
                        lost += 1;
                        break;
                    }
                    Err(error) => self.wait(&error, tell),
                }
            }
        }
        lost
    }

    fn wait(&mut self, error: &io::Error, tell: Tell<'_>) {
        if !std::mem::replace(&mut self.is_told, true) {
            let name = match &self.address {
                SyslogAddress::Unix(path) => path.display().to_string(),
                SyslogAddress::Udp { host, port } => format!("{host}:{port}"),
            };
            tell(&format!("syslog {name}: {}; lines wait until it can be reached", describe(error)));
        }
        // A send that timed out has waited already.
        if error.kind() != io::ErrorKind::WouldBlock {
            thread::sleep(RETRY_WAIT);
        }
    }

    /// Tries to deliver a message: over the existing connection, or, if that is broken, over a new one.
    fn send(&mut self, message: &[u8], lost: &mut u64) -> io::Result<()> {
        if let Some(wire) = &mut self.wire {
            let Err(error) = wire.send(message) else { return Ok(()) };
            let is_udp = matches!(wire, Wire::Udp(_));
            match error.kind() {
                _ if error.raw_os_error() == Some(libc::EMSGSIZE) => return Err(error),
                // The daemon accepts nothing, but it has not been replaced.
                io::ErrorKind::WouldBlock if !self.is_replaced() => return Err(error),
                // The error belongs to the message before.
                io::ErrorKind::ConnectionRefused if is_udp => *lost += 1,
                _ => {}
            }
        }
        self.wire = None;
        let mut wire = Wire::connect(&self.address)?;
        let result = wire.send(message);
        self.wire = Some(wire);
        result
    }

    /// Whether there is another socket at the path now.
    fn is_replaced(&self) -> bool {
        match (&self.address, &self.wire) {
            (SyslogAddress::Unix(path), Some(Wire::Datagram(_, identity) | Wire::Stream(_, identity, _))) => {
                identity_of(path) != *identity
            }
            _ => false,
        }
    }
}

impl Wire {
    fn connect(address: &SyslogAddress) -> io::Result<Wire> {
        match address {
            SyslogAddress::Unix(path) => {
                let identity = identity_of(path);
                let datagram = UnixDatagram::unbound()?;
                datagram.set_write_timeout(Some(SEND_WAIT))?;
                match datagram.connect(path) {
                    Ok(()) => Ok(Wire::Datagram(datagram, identity)),
                    Err(error) if error.raw_os_error() == Some(libc::EPROTOTYPE) => {
                        let stream = Socket::new(Domain::UNIX, Type::STREAM, None)?;
                        // Applies to connecting, too: the daemon's queue may be full.
                        stream.set_write_timeout(Some(SEND_WAIT))?;
                        stream.connect(&SockAddr::unix(path)?)?;
                        Ok(Wire::Stream(stream, identity, 0))
                    }
                    Err(error) => Err(error),
                }
            }
            SyslogAddress::Udp { host, port } => {
                let mut found: Vec<SocketAddr> = (host.as_str(), *port).to_socket_addrs()?.collect();
                found.sort_by_key(SocketAddr::is_ipv6);
                let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
                for address in found {
                    match udp(address) {
                        Ok(socket) => return Ok(Wire::Udp(socket)),
                        Err(error) => failure = error,
                    }
                }
                Err(failure)
            }
        }
    }

    /// Sends one message, which has a line end; only streams need it.
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let text = message.strip_suffix(b"\n").unwrap_or(message);
        match self {
            Wire::Datagram(socket, _) => uninterrupted(|| socket.send(text)).map(drop),
            Wire::Udp(socket) => uninterrupted(|| socket.send(text)).map(drop),
            Wire::Stream(socket, _, written) => {
                while *written < message.len() {
                    *written += uninterrupted(|| (&*socket).write(&message[*written..]))?;
                }
                *written = 0;
                Ok(())
            }
        }
    }
}

fn uninterrupted(call: impl Fn() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.set_write_timeout(Some(SEND_WAIT))?;
    socket.connect(address)?;
    Ok(socket)
}

fn identity_of(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// The facilities of RFC 5424, table 1.
const USER: u8 = 1;
const DAEMON: u8 = 3;

/// The longest host name that RFC 5424 has room for.
const HOST_MAX: usize = 255;

/// Longer messages are cut: what rsyslog takes by default, and the least that all receivers should is 2 KiB.
const MESSAGE_BYTES_MAX: usize = 8 * 1024;

/// A daemon that reads nothing for this long is checked again: another may have replaced it.
const SEND_WAIT: Duration = Duration::from_secs(1);

/// Between attempts to reach a daemon that is not there.
const RETRY_WAIT: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::super::output::scratch;
    use super::super::sink::lines;
    use super::*;
    use std::cell::RefCell;
    use std::io::Read;
    use std::os::unix::net::UnixListener;
    use std::time::Instant;

    fn header(legacy: bool, daemon: bool) -> Header {
        let address = SyslogAddress::Unix("/dev/log".into());
        Header { host: "host.example".into(), ..Header::new(&SyslogSettings { address, legacy, daemon }) }
    }

    fn message(header: &Header, level: Level, text: &str) -> String {
        let time = UNIX_EPOCH + Duration::from_secs(1_795_353_032);
        String::from_utf8(header.message_at(level, text, time, 77)).expect("text")
    }

    #[test]
    fn both_forms_have_priority_time_host_and_pid() {
        for (level, legacy, daemon, expected) in [
            (Level::Info, false, false, "<14>1 2026-11-22T13:10:32Z host.example websockify 77 - - text"),
            (Level::Info, false, true, "<30>1 2026-11-22T13:10:32Z host.example websockify 77 - - text"),
            (Level::Warning, false, false, "<12>1 2026-11-22T13:10:32Z host.example websockify 77 - - text"),
            (Level::Debug, false, true, "<31>1 2026-11-22T13:10:32Z host.example websockify 77 - - text"),
            (Level::Info, true, false, "<14>websockify[77]: text"),
            (Level::Warning, true, true, "<28>websockify[77]: text"),
        ] {
            assert_eq!(message(&header(legacy, daemon), level, "text"), expected);
        }
    }

    #[test]
    fn text_beyond_ascii_is_marked_line_ends_are_blanks_and_a_long_one_is_cut() {
        let legacy = header(true, false);
        assert_eq!(message(&legacy, Level::Info, "w\u{e4}h"), "<14>websockify[77]: \u{feff}w\u{e4}h");
        assert_eq!(message(&legacy, Level::Info, "a\nb"), "<14>websockify[77]: a b");
        let cut = message(&legacy, Level::Info, &"\u{e4}".repeat(10_000));
        assert!((MESSAGE_BYTES_MAX - 1..=MESSAGE_BYTES_MAX).contains(&cut.len()), "{}", cut.len());
    }

    fn unix(path: &Path) -> Syslog {
        Syslog::new(SyslogAddress::Unix(path.into()))
    }

    #[test]
    fn a_datagram_socket_gets_each_line_by_itself() {
        let dir = scratch("datagram");
        let daemon = UnixDatagram::bind(dir.join("log")).expect("a socket");
        let lost = unix(&dir.join("log")).write(b"one\ntwo\n", &|text| panic!("{text}"));
        assert_eq!(lost, 0);
        let mut space = [0; 64];
        for expected in [&b"one"[..], b"two"] {
            let count = daemon.recv(&mut space).expect("a message");
            assert_eq!(&space[..count], expected);
        }
        fs::remove_dir_all(dir).expect("removed");
    }

    #[test]
    fn a_stream_socket_gets_lines() {
        let dir = scratch("stream");
        let daemon = UnixListener::bind(dir.join("log")).expect("a socket");
        let mut syslog = unix(&dir.join("log"));
        assert_eq!(syslog.write(b"one\ntwo\n", &|text| panic!("{text}")), 0);
        syslog.disconnect();
        let mut text = String::new();
        daemon.accept().expect("it came").0.read_to_string(&mut text).expect("text");
        assert_eq!(text, "one\ntwo\n");
        fs::remove_dir_all(dir).expect("removed");
    }

    #[test]
    fn a_daemon_that_comes_back_gets_what_waited_for_it_and_its_absence_is_told_once() {
        let dir = scratch("restart");
        let path = dir.join("log");
        let told = RefCell::new(Vec::new());
        let tell = |text: &str| told.borrow_mut().push(text.to_owned());
        let mut syslog = unix(&path);
        for round in 0..3 {
            // The socket of the daemon before is still there, and nobody reads it.
            let later = path.clone();
            let daemon = thread::spawn(move || {
                thread::sleep(RETRY_WAIT * 2);
                let _ = fs::remove_file(&later);
                let daemon = UnixDatagram::bind(&later).expect("a socket");
                let mut space = [0; 64];
                let count = daemon.recv(&mut space).expect("a message");
                space[..count].to_vec()
            });
            let line = format!("line {round}");
            assert_eq!(syslog.write(format!("{line}\n").as_bytes(), &tell), 0);
            assert_eq!(daemon.join().expect("a daemon"), line.as_bytes());
            assert_eq!(told.borrow().len(), round + 1, "{:?}", told.borrow());
            // Other tests start programs, and a process that has not become its program yet has this socket, too.
            let is_there = || UnixDatagram::unbound().is_ok_and(|socket| socket.send_to(b"", &path).is_ok());
            let deadline = Instant::now() + Duration::from_secs(20);
            while is_there() {
                assert!(Instant::now() < deadline, "the daemon is gone");
                thread::yield_now();
            }
        }
        let expected = [
            format!(
                "syslog {}: [Errno 2] No such file or directory; lines wait until it can be reached",
                path.display()
            ),
            format!(
                "syslog {}: [Errno 111] Connection refused; lines wait until it can be reached",
                path.display()
            ),
        ];
        assert_eq!(told.borrow()[..2], expected);
        fs::remove_dir_all(dir).expect("removed");
    }

    #[test]
    fn a_daemon_that_stalls_is_left_for_the_one_that_takes_its_place() {
        let dir = scratch("stalled");
        let path = dir.join("log");
        let stalled = UnixDatagram::bind(&path).expect("a socket");
        let later = path.clone();
        let (line, count) = (b"line\n", 2000);
        let successor = thread::spawn(move || {
            thread::sleep(RETRY_WAIT);
            fs::remove_file(&later).expect("removed");
            let daemon = UnixDatagram::bind(&later).expect("a socket");
            daemon.set_read_timeout(Some(SEND_WAIT * 5)).expect("an option");
            let mut space = [0; 64];
            let mut messages = 0;
            while daemon.recv(&mut space).expect("a message") == 4 {
                messages += 1;
            }
            messages
        });
        let mut syslog = unix(&path);
        let lost = syslog.write(&line.repeat(count), &|_| ());
        assert_eq!(syslog.write(b"end\n", &|_| ()), 0);
        stalled.set_nonblocking(true).expect("an option");
        let in_queue = std::iter::from_fn(|| stalled.recv(&mut [0; 64]).ok()).count();
        let messages = successor.join().expect("a daemon");
        assert!(messages > 0, "the stalled one had room for all");
        assert_eq!(lines(&line.repeat(count)), (in_queue + messages) as u64 + lost);
        fs::remove_dir_all(dir).expect("removed");
    }

    #[test]
    fn over_udp_a_line_that_nobody_took_is_counted_once_that_is_known() {
        let daemon = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let address = daemon.local_addr().expect("an address");
        let mut syslog = Syslog::new(SyslogAddress::Udp { host: "localhost".into(), port: address.port() });
        assert_eq!(syslog.write(b"one\n", &|text| panic!("{text}")), 0);
        let mut space = [0; 64];
        assert_eq!(daemon.recv(&mut space).expect("a message"), 3);
        drop(daemon);
        let lost: u64 = (0..3).map(|_| syslog.write(b"lost\n", &|text| panic!("{text}"))).sum();
        assert_eq!(lost, 2, "of three the last one's fate is not known yet");
        let daemon = UdpSocket::bind(address).expect("the same port");
        assert_eq!(syslog.write(b"back\n", &|text| panic!("{text}")), 1);
        let count = daemon.recv(&mut space).expect("a message");
        assert_eq!(&space[..count], b"back");
    }
}
