//! Listening sockets: TCP by name or number, and Unix sockets with a mode, which are neither taken from a
//! running server nor left behind.

use std::fmt;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket as RawSocket, Type};

use super::socket::Io;
use super::tuning::{pace, tune_tcp, wish};
use crate::log::SUN_PATH_MAX;
use crate::resolve;
use crate::sys;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// TCP. An empty host means every address of this machine.
    Tcp {
        /// Name, literal or empty.
        host: String,
        /// Port; 0 lets the system choose.
        port: u16,
        /// Whether IPv6 comes first, and an empty host means `::` for both families.
        prefer_ipv6: bool,
    },
    /// A Unix socket that is made at this path.
    Unix {
        /// Where the socket is made.
        path: PathBuf,
        /// Its permissions, 0 to 0o7777.
        mode: u32,
    },
    /// The socket that is standard input (`--inetd`).
    Inetd,
}

/// A socket that accepts connections.
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket; its file is removed with it.
    Unix(UnixListener, SocketFile),
}

/// Who is at the other end, as logs name it.
#[derive(Clone, Debug)]
pub enum Peer {
    /// The address of a TCP client.
    Ip(IpAddr),
    /// A client of a Unix socket has no address; it goes by the socket's path.
    Unix(Arc<Path>),
}

/// Where clients come from, as far as they are distinguished when places are short: an IPv4 address, the network of an
/// IPv6 address (64 bits, which one client may have all of), or a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The bits of the address.
    V4(u32),
    /// The upper half of the address.
    V6(u64),
    /// Any client of a Unix socket.
    Unix,
}

impl Peer {
    /// The client's address; nothing for a Unix socket.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Peer::Ip(address) => Some(*address),
            Peer::Unix(_) => None,
        }
    }

    /// Where the client comes from.
    pub fn origin(&self) -> Origin {
        match self {
            Peer::Ip(address) => match address.to_canonical() {
                IpAddr::V4(address) => Origin::V4(address.to_bits()),
                IpAddr::V6(address) => Origin::V6((address.to_bits() >> 64) as u64),
            },
            Peer::Unix(_) => Origin::Unix,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Ip(address) => address.fmt(f),
            Peer::Unix(path) => path.display().fmt(f),
        }
    }
}

impl Listener {
    /// Opens a listening socket. Looks a host name up, so it may block; for startup only.
    ///
    /// # Errors
    /// No address to listen on, the address is in use, or the path is not ours to take.
    pub fn bind(address: &Address) -> io::Result<Listener> {
        match address {
            Address::Tcp { host, port, prefer_ipv6 } => bind_tcp(host, *port, *prefer_ipv6),
            Address::Unix { path, mode } => bind_unix(path, *mode),
            Address::Inetd => {
                Err(io::Error::new(io::ErrorKind::Unsupported, "--inetd has no address of its own"))
            }
        }
    }

    /// Makes a listener of a socket that came with the process. A Unix socket's file belongs to whoever made
    /// it, and stays.
    ///
    /// # Errors
    /// It is not a listening TCP or Unix stream socket.
    pub fn adopt(socket: OwnedFd) -> io::Result<Listener> {
        let socket = RawSocket::from(socket);
        let other = |what: &str| Err(io::Error::other(what));
        if socket.r#type()? != Type::STREAM {
            return other("not a stream socket");
        }
        if !socket.is_listener()? {
            return other("not a listening socket");
        }
        match socket.domain()? {
            Domain::IPV4 | Domain::IPV6 => {
                tune_tcp(&SockRef::from(&socket), None);
                socket.set_nonblocking(true)?;
                Ok(Listener::Tcp(TcpListener::from_std(socket.into())))
            }
            Domain::UNIX => {
                socket.set_nonblocking(true)?;
                let name: Arc<Path> = unix_name(&socket.local_addr()?).into();
                let file = SocketFile { path: Arc::clone(&name), name, identity: None };
                Ok(Listener::Unix(UnixListener::from_std(socket.into()), file))
            }
            _ => other("neither a TCP nor a Unix socket"),
        }
    }

    /// What the socket is bound to: `127.0.0.1:6080`, `[::]:6080` or a Unix socket's path.
    pub fn name(&self) -> String {
        match self {
            Listener::Tcp(listener) => {
                listener.local_addr().map_or_else(|_| "?".into(), |address| address.to_string())
            }
            Listener::Unix(_, file) => file.path.display().to_string(),
        }
    }

    /// Accepts one connection, if one is waiting.
    ///
    /// # Errors
    /// `WouldBlock` when none is, else the system's.
    pub fn accept(&self) -> io::Result<(Io, Peer)> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                pace(&stream, peer.ip());
                Ok((Io::Tcp(stream), Peer::Ip(peer.ip())))
            }
            Listener::Unix(listener, file) => {
                let (stream, _) = listener.accept()?;
                Ok((Io::Unix(stream), Peer::Unix(Arc::clone(&file.name))))
            }
        }
    }

    /// The port that was bound; `None` for a Unix socket.
    pub fn port(&self) -> Option<u16> {
        match self {
            Listener::Tcp(listener) => listener.local_addr().ok().map(|address| address.port()),
            Listener::Unix(..) => None,
        }
    }

    /// The address that was bound; `None` for a Unix socket.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Listener::Tcp(listener) => listener.local_addr().ok(),
            Listener::Unix(..) => None,
        }
    }

    /// The path of a Unix socket.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Listener::Tcp(_) => None,
            Listener::Unix(_, file) => Some(&file.path),
        }
    }

    /// Has `poll` report this listener under `token` for as long as clients are waiting; with `on` false not
    /// at all. Level-triggered, so that accept(2) is never called only to hear `WouldBlock`, which costs as
    /// much as accepting one.
    ///
    /// # Errors
    /// The system's.
    pub fn watch(&self, poll: BorrowedFd<'_>, token: usize, on: bool) -> io::Result<()> {
        sys::watch_level(poll, self.as_fd(), token, on)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Tcp(listener) => listener.as_fd(),
            Listener::Unix(listener, _) => listener.as_fd(),
        }
    }
}

/// Makes a connection of a connected socket that came with the process.
///
/// # Errors
/// It is not a connected TCP or Unix stream socket.
pub fn adopt_connection(socket: OwnedFd) -> io::Result<(Io, Peer)> {
    let socket = RawSocket::from(socket);
    let other = |what: &str| Err(io::Error::other(what));
    if socket.r#type()? != Type::STREAM {
        return other("not a stream socket");
    }
    let peer = match socket.peer_addr() {
        Err(error) if error.kind() == io::ErrorKind::NotConnected => {
            return other("neither a listening nor a connected socket");
        }
        result => result?,
    };
    match socket.domain()? {
        Domain::IPV4 | Domain::IPV6 => {
            let address = peer.as_socket().ok_or(io::ErrorKind::Unsupported)?.ip();
            tune_tcp(&SockRef::from(&socket), Some(address));
            socket.set_nonblocking(true)?;
            Ok((Io::Tcp(TcpStream::from_std(socket.into())), Peer::Ip(address)))
        }
        Domain::UNIX => {
            socket.set_nonblocking(true)?;
            let name = unix_name(&socket.local_addr()?);
            Ok((Io::Unix(UnixStream::from_std(socket.into())), Peer::Unix(name.into())))
        }
        _ => other("neither a TCP nor a Unix socket"),
    }
}

/// Whether a socket that came with the process waits for connections.
///
/// # Errors
/// It is not a socket.
pub fn is_listening(socket: BorrowedFd<'_>) -> io::Result<bool> {
    SockRef::from(&socket).is_listener()
}

/// A Unix socket's path, `@NAME` where that is abstract, and `unix` where it has none.
fn unix_name(address: &SockAddr) -> PathBuf {
    if let Some(path) = address.as_pathname() {
        return path.to_owned();
    }
    match address.as_abstract_namespace() {
        Some(name) => format!("@{}", String::from_utf8_lossy(name)).into(),
        None => "unix".into(),
    }
}

fn bind_tcp(host: &str, port: u16, prefer_ipv6: bool) -> io::Result<Listener> {
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for mut address in addresses(host, prefer_ipv6)? {
        address.set_port(port);
        match open_tcp(address) {
            Ok(listener) => return Ok(Listener::Tcp(listener)),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn addresses(host: &str, prefer_ipv6: bool) -> io::Result<Vec<SocketAddr>> {
    // `*` is what the Python program takes for all addresses, too.
    if host.is_empty() || host == "*" {
        let any: IpAddr =
            if prefer_ipv6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
        return Ok(vec![SocketAddr::new(any, 0)]);
    }
    let mut found =
        resolve::look_up(host).map_err(|error| io::Error::other(format!("[Errno -2] {error}")))?.to_vec();
    if prefer_ipv6 {
        found.sort_by_key(SocketAddr::is_ipv4);
    }
    Ok(found)
}

/// What is set here is inherited by every accepted socket, which saves a system call for each.
fn open_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    wish("SO_REUSEADDR", socket.set_reuse_address(true));
    if address.is_ipv6() {
        // `::` serves both families; a specific address only its own.
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    tune_tcp(&SockRef::from(&socket), None);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

fn bind_unix(path: &Path, mode: u32) -> io::Result<Listener> {
    if path.as_os_str().len() > SUN_PATH_MAX {
        let path = path.display();
        return Err(io::Error::other(format!("path is longer than {SUN_PATH_MAX} bytes: {path}")));
    }
    make_way(path)?;
    let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile::at(path)?;
    // Nobody can connect before `listen`, so the mode is in force from the first connection on.
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    socket.listen(BACKLOG)?;
    Ok(Listener::Unix(UnixListener::from_std(socket.into()), file))
}

/// Removes a socket that nobody listens on any more; anything else at `path` is not ours to remove.
fn make_way(path: &Path) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::other(format!("{} exists and is not a socket", path.display())));
    }
    // Non-blocking: a server whose queue is full may not accept for a long time.
    let probe = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
    probe.set_nonblocking(true)?;
    match probe.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // A server answers, or is too busy to, or refuses us: the socket is in use.
        _ => Err(io::Error::from_raw_os_error(libc::EADDRINUSE)),
    }
}

/// The file of a Unix socket. If this process made it, dropping this removes the file, unless another has been
/// put in its place.
#[derive(Debug)]
pub struct SocketFile {
    path: Arc<Path>,
    /// As it was given, which is the name of its clients in the log.
    name: Arc<Path>,
    /// Device and inode of the file that this process made.
    identity: Option<(u64, u64)>,
}

impl SocketFile {
    fn at(path: &Path) -> io::Result<SocketFile> {
        let metadata = fs::symlink_metadata(path)?;
        // Absolute, because the process may change its directory before the file is removed.
        let absolute = std::path::absolute(path)?;
        Ok(SocketFile {
            path: absolute.into(),
            name: path.into(),
            identity: Some((metadata.dev(), metadata.ino())),
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = self.identity.is_some_and(|identity| {
            fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == identity)
        });
        if ours {
            // If it can't be removed, the next start finds a socket that nobody listens on.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Connections that wait for `accept`; the system caps it (net.core.somaxconn).
const BACKLOG: i32 = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream as StdUnixStream;

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("websockify-listen-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a directory");
        path
    }

    fn unix(path: &Path) -> io::Result<Listener> {
        Listener::bind(&Address::Unix { path: path.into(), mode: 0o640 })
    }

    #[test]
    fn a_unix_socket_has_its_mode_and_goes_with_its_listener() {
        let dir = directory("mode");
        let path = dir.join("s");
        let listener = unix(&path).expect("bound");
        assert_eq!(fs::metadata(&path).expect("made").permissions().mode() & 0o777, 0o640);
        drop(listener);
        assert!(!path.exists());
        fs::remove_dir_all(dir).expect("removed");
    }

    #[test]
    fn a_dead_socket_is_replaced_and_a_living_one_is_not() {
        let dir = directory("stale");
        let path = dir.join("s");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket that nobody will serve"));
        let listener = unix(&path).expect("replaced");
        assert_eq!(unix(&path).err().and_then(|e| e.raw_os_error()), Some(libc::EADDRINUSE));
        drop(listener);
        fs::remove_dir_all(dir).expect("removed");
    }

    #[test]
    fn a_living_socket_whose_queue_is_full_is_not_waited_for() {
        let dir = directory("full");
        let path = dir.join("s");
        let busy = RawSocket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
        busy.bind(&SockAddr::unix(&path).expect("short")).expect("bound");
        busy.listen(0).expect("listens");
        let mut clients = Vec::new();
        loop {
            let client = RawSocket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
            client.set_nonblocking(true).expect("an option");
            let connected = client.connect(&SockAddr::unix(&path).expect("short"));
            clients.push(client);
            if connected.is_err() {
                break;
            }
        }
        assert_eq!(unix(&path).err().and_then(|error| error.raw_os_error()), Some(libc::EADDRINUSE));
        assert!(path.exists());
        fs::remove_dir_all(dir).expect("removed");
    }

    #[test]
    fn a_file_that_is_no_socket_is_never_deleted() {
        let dir = directory("file");
        let path = dir.join("precious");
        fs::write(&path, "data").expect("written");
        assert!(unix(&path).is_err());
        assert_eq!(fs::read(&path).expect("still there"), b"data");
        fs::remove_dir_all(dir).expect("removed");
    }

    #[test]
    fn a_socket_file_that_was_replaced_is_left_alone() {
        let dir = directory("replaced");
        let path = dir.join("s");
        let listener = unix(&path).expect("bound");
        fs::rename(&path, dir.join("kept")).expect("moved away");
        let other = std::os::unix::net::UnixListener::bind(&path).expect("another's");
        drop(listener);
        assert!(path.exists());
        drop(other);
        fs::remove_dir_all(dir).expect("removed");
    }

    #[test]
    fn a_listening_socket_that_came_with_the_process_is_served_and_its_file_stays() {
        let dir = directory("adopted");
        let path = dir.join("s");
        let theirs = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
        let listener = Listener::adopt(theirs.into()).expect("a listener");
        assert_eq!(listener.name(), path.display().to_string());
        assert_eq!(listener.accept().err().map(|e| e.kind()), Some(io::ErrorKind::WouldBlock));
        let _client = StdUnixStream::connect(&path).expect("connected");
        let (_, peer) = listener.accept().expect("a client");
        assert_eq!(peer.to_string(), path.display().to_string());
        drop(listener);
        assert!(path.exists());
        fs::remove_dir_all(dir).expect("removed");
    }

    #[test]
    fn what_can_not_listen_is_refused_by_name() {
        let told = |socket: OwnedFd| Listener::adopt(socket).err().map(|error| error.to_string());
        let (one, other) = StdUnixStream::pair().expect("a pair");
        assert_eq!(told(one.into()).as_deref(), Some("not a listening socket"));
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        assert_eq!(told(udp.into()).as_deref(), Some("not a stream socket"));
        drop(other);
    }

    #[test]
    fn a_connected_socket_that_came_with_the_process_is_a_connection() {
        let told = |socket: OwnedFd| match adopt_connection(socket) {
            Ok((_, peer)) => peer.to_string(),
            Err(error) => format!("error: {error}"),
        };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
        let client = std::net::TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        assert_eq!(told(listener.accept().expect("a client").0.into()), "127.0.0.1");
        assert_eq!(told(listener.into()), "error: neither a listening nor a connected socket");
        drop(client);
        let (one, _other) = StdUnixStream::pair().expect("a pair");
        assert_eq!(told(one.into()), "unix");
    }

    #[test]
    fn the_port_that_the_system_chose_is_known() {
        let address = Address::Tcp { host: "127.0.0.1".into(), port: 0, prefer_ipv6: false };
        assert!(Listener::bind(&address).expect("bound").port() > Some(0));
    }
}
