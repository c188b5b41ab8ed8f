//! A running proxy: started in front of a target's listener, killed with all its descendants.

use crate::load::line::Dialer;
use crate::proxies::found::Found;
use crate::proxies::kit::Kit;
use crate::proxies::peers::{Port, Role};
use crate::proxies::procfs::{is_listening, tree};
use crate::scenarios::Wire;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::VecDeque;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// A running proxy, killed with all its descendants when dropped.
pub(crate) struct Proxy<'f> {
    pub(crate) found: &'f Found,
    pub(crate) dialer: Dialer,
    /// The command line as it was run.
    pub(crate) command: Vec<String>,
    pub(crate) listener: TcpListener,
    child: Child,
    last_words: Arc<Mutex<VecDeque<String>>>,
    config: PathBuf,
}

impl<'f> Proxy<'f> {
    /// Starts the proxy in front of a target of its own, under `wrapper` if there is one (`strace …`).
    pub(crate) fn start(
        found: &'f Found,
        wire: Wire,
        kit: &Kit,
        wrapper: &[String],
    ) -> io::Result<Proxy<'f>> {
        let mut result = Err(io::Error::other("not tried"));
        for _ in 0..START_TRIES {
            result = Proxy::try_start(found, wire, kit, wrapper);
            if result.is_ok() || matches!(found.peer.port, Port::Announced) {
                break;
            }
        }
        result.map_err(|error| io::Error::other(format!("{} did not start: {error}", found.peer.name)))
    }

    fn try_start(found: &'f Found, wire: Wire, kit: &Kit, wrapper: &[String]) -> io::Result<Proxy<'f>> {
        let start = found.peer.start(wire).ok_or_else(|| io::Error::other("it does not serve this wire"))?;
        let tls = match wire {
            Wire::Ws => None,
            Wire::Wss => Some(kit.tls.clone().map_err(io::Error::other)?),
        };
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let target = listener.local_addr()?;
        let told = match found.peer.port {
            Port::Announced => SocketAddr::from(([127, 0, 0, 1], 0)),
            Port::Told => TcpListener::bind(("127.0.0.1", 0))?.local_addr()?,
        };
        let config = kit.path(&format!("{}.conf", target.port()));
        let fill = |text: &str| {
            kit.fill(&found.fill(text))
                .replace("{listen}", &told.to_string())
                .replace("{listen_port}", &told.port().to_string())
                .replace("{target}", &target.to_string())
                .replace("{target_port}", &target.port().to_string())
                .replace("{config}", &config.to_string_lossy())
        };
        fs::write(&config, fill(start.config))?;
        let args: Vec<String> =
            start.args.iter().map(|arg| fill(arg)).filter(|arg| !arg.is_empty()).collect();
        let mut command = found.command(wrapper);
        let mut child =
            command.args(&args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let last_words = Arc::new(Mutex::new(VecDeque::new()));
        let announced = child.stderr.take().map(|stderr| listen_to(stderr, Arc::clone(&last_words)));
        let command = std::iter::once(found.program.to_string_lossy().into_owned()).chain(args).collect();
        let dialer = Dialer { addr: told, tls };
        let mut proxy = Proxy { found, dialer, command, listener, child, last_words, config };
        proxy.dialer.addr = match (&found.peer.port, announced) {
            (Port::Announced, Some(announced)) => announced
                .recv_timeout(START_LIMIT)
                .map_err(|_| io::Error::other(format!("no address announced; {}", proxy.last_words())))?,
            _ => proxy.wait_until_listening(told)?,
        };
        Ok(proxy)
    }

    fn wait_until_listening(&mut self, told: SocketAddr) -> io::Result<SocketAddr> {
        let deadline = Instant::now() + START_LIMIT;
        while !is_listening(told.port()) {
            if self.child.try_wait()?.is_some() || Instant::now() > deadline {
                return Err(io::Error::other(format!("it does not listen; {}", self.last_words())));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(told)
    }

    /// True when the target has to answer the upgrade and to speak frames itself.
    pub(crate) fn moves_bytes(&self) -> bool {
        self.found.peer.role == Role::Yardstick && !self.is_bare()
    }

    /// True when sessions are opened and closed without a handshake.
    pub(crate) fn is_bare(&self) -> bool {
        self.found.peer.is_bare
    }

    /// The process that the tree's CPU time and memory are counted from.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The last lines that the proxy wrote to stderr.
    pub(crate) fn last_words(&self) -> String {
        let lines = self.last_words.lock().map(|lines| lines.iter().cloned().collect::<Vec<_>>());
        format!("its last words: {}", lines.unwrap_or_default().join(" | "))
    }

    /// Kills the proxy, leaving its wrapper to end by itself and to write what it counted.
    pub(crate) fn stop_wrapped(mut self) -> io::Result<()> {
        for pid in tree(self.pid())?.into_iter().skip(1) {
            kill(pid);
        }
        self.child.wait().map(drop)
    }
}

impl Drop for Proxy<'_> {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            for pid in tree(self.pid()).unwrap_or_default() {
                kill(pid);
            }
            let _ = self.child.wait();
        }
        let _ = fs::remove_file(&self.config);
    }
}

fn kill(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Reads a proxy's stderr to its end, so that it never stalls, and passes on the address it announces.
fn listen_to(
    stderr: impl io::Read + Send + 'static,
    last_words: Arc<Mutex<VecDeque<String>>>,
) -> Receiver<SocketAddr> {
    let (announce, announced) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let words = line.split_once("proxying from ").map(|(_, rest)| rest);
            if let Some(addr) = words.and_then(|rest| rest.split(' ').next()?.parse().ok()) {
                let _ = announce.send(addr);
            }
            if let Ok(mut kept) = last_words.lock() {
                kept.push_back(line);
                let excess = kept.len().saturating_sub(KEPT_LINES);
                kept.drain(..excess);
            }
        }
    });
    announced
}

const START_LIMIT: Duration = Duration::from_secs(10);
const START_TRIES: usize = 3;
const KEPT_LINES: usize = 5;
