//! Where tokens may lead: the rules, and the addresses at which this program itself listens.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::rules::{NotAllowed, Rules, canonical};

/// Where sessions of tokens may go.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    rules: Rules,
    own_addresses: Vec<SocketAddr>,
    own_paths: Vec<PathBuf>,
}

impl Reach {
    /// By these rules, for a program that listens there.
    pub fn new(rules: Rules, own_addresses: Vec<SocketAddr>, own_paths: Vec<PathBuf>) -> Reach {
        Reach { rules, own_addresses, own_paths }
    }

    /// Whether the host of this name may be asked for.
    ///
    /// # Errors
    /// Why not.
    pub fn check_name(&self, host: &str, port: u16) -> Result<(), NotAllowed> {
        self.rules.check_name(host, port)
    }

    /// Whether `address`, which `host` stands for, may be dialled. Costs no waiting.
    ///
    /// # Errors
    /// Why not.
    pub fn check_address(&self, host: &str, address: SocketAddr) -> Result<(), NotAllowed> {
        self.rules.check_address(host, address, self.is_own(address))
    }

    /// Whether the Unix socket may be connected to. Looks at the file system.
    ///
    /// # Errors
    /// Why not.
    pub fn check_unix(&self, path: &Path, is_remote: bool) -> Result<(), NotAllowed> {
        let identity = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
        let own = || self.own_paths.iter().filter_map(|path| identity(path));
        let is_own = identity(path).is_some_and(|found| own().any(|own| own == found));
        self.rules.check_unix(path, is_own, is_remote)?;
        if self.rules.are_about_unix()
            && let Ok(real) = fs::canonicalize(path)
        {
            // A link must not bypass a deny rule; an allowed path may contain links.
            self.rules.check_unix_denied(&real)?;
        }
        Ok(())
    }

    /// Whether this program listens at `address`.
    fn is_own(&self, address: SocketAddr) -> bool {
        let ip = match canonical(address.ip()) {
            // Where connecting to the unspecified address leads.
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        let mut own = self.own_addresses.iter().filter(|own| own.port() == address.port());
        own.any(|own| match canonical(own.ip()) {
            own if own.is_unspecified() => is_local(ip),
            own => own == ip,
        })
    }
}

/// Whether an address is one of this machine: the system would send to it from itself.
fn is_local(ip: IpAddr) -> bool {
    if ip.is_loopback() {
        return true;
    }
    let any: IpAddr = if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let source = || {
        let socket = UdpSocket::bind((any, 0)).ok()?;
        // Nothing is sent: this only picks the source.
        socket.connect((ip, DISCARD)).ok()?;
        socket.local_addr().ok()
    };
    source().is_some_and(|source| source.ip() == ip)
}

/// Any port does, but not 0.
const DISCARD: u16 = 9;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Rule;
    use crate::source::scratch::Scratch;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    #[test]
    fn the_program_itself_is_no_target() {
        for (own, dialled) in [
            ("127.0.0.1:6080", "127.0.0.1:6080"),
            ("0.0.0.0:6080", "127.0.0.1:6080"),
            ("0.0.0.0:6080", "127.9.9.9:6080"),
            ("0.0.0.0:6080", "0.0.0.0:6080"),
            ("[::]:6080", "127.0.0.1:6080"),
            ("[::]:6080", "[::1]:6080"),
            ("[::]:6080", "[::ffff:127.0.0.1]:6080"),
            ("127.0.0.1:6080", "[::ffff:127.0.0.1]:6080"),
            ("127.0.0.1:6080", "0.0.0.0:6080"),
            ("[::1]:6080", "[::]:6080"),
        ] {
            let reach = Reach::new(Rules::default(), vec![own.parse().unwrap()], Vec::new());
            assert!(reach.check_address("host", dialled.parse().unwrap()).is_err(), "{own} {dialled}");
        }
        for (own, dialled) in [
            ("127.0.0.1:6080", "127.0.0.1:6081"),
            ("127.0.0.1:6080", "127.0.0.2:6080"),
            ("0.0.0.0:6080", "192.0.2.1:6080"),
            ("127.0.0.1:6080", "[::1]:6080"),
        ] {
            let reach = Reach::new(Rules::default(), vec![own.parse().unwrap()], Vec::new());
            assert!(reach.check_address("host", dialled.parse().unwrap()).is_ok(), "{own} {dialled}");
        }
    }

    #[test]
    fn an_address_of_an_interface_is_local() {
        // The address from which this machine would speak to another, if it has one.
        let Ok(socket) = UdpSocket::bind("0.0.0.0:0") else { return };
        if socket.connect("192.0.2.1:9").is_ok() {
            assert!(is_local(socket.local_addr().unwrap().ip()));
        }
        assert!(!is_local("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn links_do_not_lead_around_what_is_denied() {
        let scratch = Scratch::new();
        let _sockets =
            ["own", "docker"].map(|name| UnixListener::bind(scratch.path(name)).expect("a socket"));
        symlink("own", scratch.path("to-own")).unwrap();
        symlink("docker", scratch.path("to-docker")).unwrap();
        let real = fs::canonicalize(scratch.dir()).unwrap();
        let deny = Rule::parse(&format!("unix:{}/docker", real.display())).expect("a rule");
        let reach = Reach::new(Rules::new(Vec::new(), vec![deny]), Vec::new(), vec![scratch.path("own")]);
        for name in ["own", "to-own", "docker", "to-docker", "./docker", "x/../docker"] {
            let path = scratch.path(name);
            assert!(reach.check_unix(&path, false).is_err() || fs::canonicalize(path).is_err(), "{name}");
        }
        assert!(reach.check_unix(&scratch.path("other"), false).is_ok());
        assert!(reach.check_unix(&scratch.path("other"), true).is_err(), "a remote service needs a rule");
    }
}
