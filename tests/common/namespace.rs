//! Networks of the tests' own: a namespace in which packets can be lost without harm to anybody. Needs root
//! and iproute2's `ip`; where those are missing a test says so and is skipped.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::server::program;

/// A network namespace with its loopback up, removed at the end.
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes one; `None`, with a line about it, where that is not possible.
    pub(crate) fn new() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("wsk-{}-{number}", std::process::id());
        if !succeeds(Command::new("ip").args(["netns", "add", &name])) {
            super::skipped("a network namespace needs root and iproute2");
            return None;
        }
        let namespace = Self { name };
        namespace.ip("link set lo up");
        Some(namespace)
    }

    /// Two of them, joined by a cable whose ends are called `cable`, with the addresses 10.77.0.1 and
    /// 10.77.0.2. Each knows the other's hardware, so that nothing is ever asked for and found missing: a
    /// packet to an address that is gone is lost in silence.
    pub(crate) fn pair() -> Option<(Self, Self)> {
        let (near, far) = (Self::new()?, Self::new()?);
        near.ip(&format!(
            "link add cable address {NEAR} type veth peer name cable address {FAR} netns {}",
            far.name
        ));
        for (namespace, address, other, hardware) in
            [(&near, "10.77.0.1", "10.77.0.2", FAR), (&far, "10.77.0.2", "10.77.0.1", NEAR)]
        {
            namespace.ip(&format!("address add {address}/24 dev cable"));
            namespace.ip("link set cable up");
            namespace.ip(&format!("neigh replace {other} lladdr {hardware} dev cable nud permanent"));
        }
        Some((near, far))
    }

    /// Runs `ip` in this namespace; it must succeed.
    pub(crate) fn ip(&self, arguments: &str) {
        let mut command = Command::new("ip");
        command.args(["-n", &self.name]).args(arguments.split(' '));
        assert!(succeeds(&mut command), "ip {arguments}");
    }

    /// A command that starts the gateway in here.
    pub(crate) fn command(&self, arguments: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, &program()]).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Has names in here looked up at this address (of a server on port 53). To be said before the start.
    pub(crate) fn set_name_server(&self, address: &str) {
        let directory = self.settings();
        std::fs::create_dir_all(&directory).expect("make a directory in /etc/netns");
        let text = format!("nameserver {address}\n");
        std::fs::write(directory.join("resolv.conf"), text).expect("write resolv.conf");
    }

    /// Lets a name have this address without asking anybody, or with an empty text none. To be said before the
    /// start, and again at any time.
    pub(crate) fn set_hosts(&self, text: &str) {
        let directory = self.settings();
        std::fs::create_dir_all(&directory).expect("make a directory in /etc/netns");
        // Written in place, because what is mounted is the file and not its name.
        std::fs::write(directory.join("hosts"), text).expect("write hosts");
    }

    /// Does something on a thread inside; sockets that it opens stay inside.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let file = File::open(format!("/run/netns/{}", self.name)).expect("the namespace is there");
        let inside = || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).expect("enter it");
            work()
        };
        std::thread::scope(|scope| scope.spawn(inside).join()).expect("the work inside failed")
    }

    /// What `ip netns exec` puts in the place of the files in /etc.
    fn settings(&self) -> PathBuf {
        format!("/etc/netns/{}", self.name).into()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
        let _ = std::fs::remove_dir_all(self.settings());
    }
}

fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// The hardware addresses of a cable's ends.
const NEAR: &str = "02:00:00:00:00:01";
const FAR: &str = "02:00:00:00:00:02";
