//! The proxies that are compared: a table, how each is found, and a running one.
//!
//! A new peer is a row. What cannot be found is left out, and the bench says so in a word.

use crate::e2e::procfs::{is_listening, tree};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::VecDeque;
use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// One row: a proxy, how to find it and how to start it.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) speaks: Speaks,
    program: Program,
    /// `{listen}`, `{target}` (each an address with its port) and `{config}` (a file) are filled in.
    args: &'static [&'static str],
    config: &'static str,
    version: &'static [&'static str],
    port: Port,
    /// How many times less work it is given, so that a slow peer does not take all the time.
    pub(crate) share: u64,
}

/// What a proxy is to its two ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// WebSocket to the client, bare bytes to the target.
    WebSocket,
    /// Moves bytes: a yardstick. The target speaks WebSocket itself.
    Bytes,
}

enum Program {
    Ours,
    ThisBench,
    OnPath(&'static str),
    PythonModule(&'static str),
}

enum Port {
    /// It takes port 0 and says on stderr what it got.
    Announced,
    /// It wants to be told a port.
    Told,
}

/// HAProxy with one thread; the argument is its splice option.
macro_rules! haproxy_config {
    ($splice:literal) => {
        concat!(
            "global\n  nbthread 1\n  maxconn 9300\n  maxpipes 400\ndefaults\n  mode tcp\n  timeout connect 5s\n",
            "  timeout client 1h\n  timeout server 1h\n  ",
            $splice,
            "\nlisten relay\n  bind {listen}\n  server target {target}\n"
        )
    };
}
pub(crate) const PEERS: &[Peer] = &[
    Peer {
        name: OURS,
        speaks: Speaks::WebSocket,
        program: Program::Ours,
        args: &["{listen}", "{target}"],
        config: "",
        version: &["--version"],
        port: Port::Announced,
        share: 1,
    },
    Peer {
        name: PLAIN,
        speaks: Speaks::Bytes,
        program: Program::ThisBench,
        args: &["--plain-relay", "{listen}", "{target}", "65536"],
        config: "",
        version: &[],
        port: Port::Announced,
        share: 1,
    },
    Peer {
        name: "plain-256k",
        speaks: Speaks::Bytes,
        program: Program::ThisBench,
        args: &["--plain-relay", "{listen}", "{target}", "262144"],
        config: "",
        version: &[],
        port: Port::Announced,
        share: 1,
    },
    Peer {
        name: "haproxy",
        speaks: Speaks::Bytes,
        program: Program::OnPath("haproxy"),
        args: &["-db", "-f", "{config}"],
        config: haproxy_config!("no option splice-auto"),
        version: &["-v"],
        port: Port::Told,
        share: 1,
    },
    Peer {
        name: "haproxy-splice",
        speaks: Speaks::Bytes,
        program: Program::OnPath("haproxy"),
        args: &["-db", "-f", "{config}"],
        config: haproxy_config!("option splice-auto"),
        version: &["-v"],
        port: Port::Told,
        share: 1,
    },
    Peer {
        name: "python",
        speaks: Speaks::WebSocket,
        program: Program::PythonModule("websockify"),
        args: &["-m", "websockify", "{listen}", "{target}"],
        config: "",
        version: &[
            "-c",
            "import importlib.metadata as m, sys; print('websockify', m.version('websockify'), 'python', sys.version.split()[0])",
        ],
        port: Port::Told,
        share: 16,
    },
];

/// This crate's own binary.
pub(crate) const OURS: &str = "ours";

/// The yardstick that every ratio is taken to.
pub(crate) const PLAIN: &str = "plain";

/// A peer that is present on this machine.
pub(crate) struct Found {
    pub(crate) peer: &'static Peer,
    program: PathBuf,
    pub(crate) version: String,
}

impl Peer {
    /// Looks for the peer; an error says in a word why it is left out.
    pub(crate) fn find(&'static self) -> Result<Found, String> {
        let program = match self.program {
            Program::Ours => env::var_os("WEBSOCKIFY_BIN")
                .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_websockify")), PathBuf::from),
            Program::ThisBench => env::current_exe().map_err(|error| error.to_string())?,
            Program::OnPath(name) => on_path(name).ok_or_else(|| format!("{name} is not on PATH"))?,
            Program::PythonModule(_) => {
                env::var_os("WEBSOCKIFY_PYTHON").map_or_else(|| PathBuf::from("python3"), PathBuf::from)
            }
        };
        let version = match self.version {
            [] => Ok(concat!("of this bench, version ", env!("CARGO_PKG_VERSION")).to_owned()),
            args => first_line(&program, args),
        };
        match (&self.program, version) {
            (Program::PythonModule(name), Err(_)) => {
                Err(format!("{} has no module {name} (WEBSOCKIFY_PYTHON names another)", program.display()))
            }
            (_, version) => {
                Ok(Found { peer: self, program, version: version.unwrap_or_else(|_| "unknown".into()) })
            }
        }
    }
}

/// A running proxy, killed with all its descendants when dropped.
pub(crate) struct Proxy<'f> {
    pub(crate) found: &'f Found,
    pub(crate) addr: SocketAddr,
    /// The command line as it was run.
    pub(crate) command: Vec<String>,
    pub(crate) listener: TcpListener,
    child: Child,
    last_words: Arc<Mutex<VecDeque<String>>>,
    config: Option<PathBuf>,
}

impl<'f> Proxy<'f> {
    /// Starts the proxy in front of a target of its own, under `wrapper` if there is one (`strace …`).
    pub(crate) fn start(found: &'f Found, wrapper: &[String]) -> io::Result<Proxy<'f>> {
        let mut result = Err(io::Error::other("not tried"));
        for _ in 0..START_TRIES {
            result = Proxy::try_start(found, wrapper);
            if result.is_ok() || matches!(found.peer.port, Port::Announced) {
                break;
            }
        }
        result.map_err(|error| io::Error::other(format!("{} did not start: {error}", found.peer.name)))
    }

    fn try_start(found: &'f Found, wrapper: &[String]) -> io::Result<Proxy<'f>> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let target = listener.local_addr()?;
        let told = match found.peer.port {
            Port::Announced => SocketAddr::from(([127, 0, 0, 1], 0)),
            Port::Told => TcpListener::bind(("127.0.0.1", 0))?.local_addr()?,
        };
        let fill = |text: &str, config: &str| {
            text.replace("{listen}", &told.to_string())
                .replace("{target}", &target.to_string())
                .replace("{config}", config)
        };
        let config = match found.peer.config {
            "" => None,
            text => {
                let path = env::temp_dir().join(format!("websockify-bench-{}.cfg", told.port()));
                fs::write(&path, fill(text, ""))?;
                Some(path)
            }
        };
        let config_name = config.as_deref().map(Path::to_string_lossy).unwrap_or_default();
        let mut command = wrapper.to_vec();
        command.push(found.program.to_string_lossy().into_owned());
        command.extend(found.peer.args.iter().map(|arg| fill(arg, &config_name)));
        let mut child = Command::new(&command[0])
            .args(&command[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let last_words = Arc::new(Mutex::new(VecDeque::new()));
        let announced = child.stderr.take().map(|stderr| listen_to(stderr, Arc::clone(&last_words)));
        let mut proxy = Proxy { found, addr: told, command, listener, child, last_words, config };
        proxy.addr = match (&found.peer.port, announced) {
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
        if let Some(config) = &self.config {
            let _ = fs::remove_file(config);
        }
    }
}

/// The program's path if a directory on PATH has it.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// The first line that a command prints, on either stream.
pub(crate) fn first_line(program: &Path, args: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(args).output().map_err(|error| error.to_string())?;
    let text = [output.stdout, output.stderr].concat();
    let line = String::from_utf8_lossy(&text).lines().next().unwrap_or_default().trim().to_owned();
    if output.status.success() && !line.is_empty() { Ok(line) } else { Err(line) }
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
