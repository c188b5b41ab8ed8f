//! The proxies that are compared: a table of what each is and how it is started. A new one is a row.

use crate::scenarios::Wire;

/// One row: a proxy, how to find it and how to start it.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) role: Role,
    pub(crate) program: Program,
    /// For ws and for wss; `None` where it can't.
    starts: [Option<Start>; 2],
    /// Arguments with which it tells its version, and ends.
    pub(crate) version: &'static [&'static str],
    pub(crate) port: Port,
    /// How many times less work it is given, so that a slow peer does not take all the time.
    pub(crate) share: u64,
    /// No handshake passes through it: its sessions are connections that are opened and closed, the least that an
    /// opening can cost.
    pub(crate) is_bare: bool,
    /// It has a process, or nearly, for each session: a few tell what one takes, and thousands don't fit.
    pub(crate) process_per_session: bool,
}

/// What a proxy is in the comparison.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Ours,
    /// It does the same: WebSocket to the client, bare bytes to the target.
    Peer,
    /// It only moves bytes (and takes TLS off them), to show what the least costs. The target speaks
    /// WebSocket itself.
    Yardstick,
}

/// How a proxy is started. Filled in are `{listen}` and `{target}` (addresses with their ports, which are
/// `{listen_port}` and `{target_port}`), `{config}` (a file with the configuration), the files of the
/// certificate (see `kit`), and what `found` knows about the program's place. An argument that comes out empty
/// is left out.
pub(crate) struct Start {
    pub(crate) args: &'static [&'static str],
    pub(crate) config: &'static str,
}

/// What is run.
pub(crate) enum Program {
    /// Our own binary.
    Ours,
    /// This program itself.
    ThisBench,
    /// A program of this name, installed under target/peers or on PATH.
    Named(&'static str),
    /// A Python that has websockify.
    Python,
}

/// How the port is agreed upon.
pub(crate) enum Port {
    /// It takes port 0 and says on stderr what it got.
    Announced,
    /// It wants to be told a port.
    Told,
}

impl Peer {
    /// How it is started for clients of this kind; `None` when it does not serve them.
    pub(crate) fn start(&self, wire: Wire) -> Option<&Start> {
        self.starts[wire as usize].as_ref()
    }
}

/// This crate's own binary.
pub(crate) const OURS: &str = "ours";

/// It with two reactors, for trials whose proxy may use more cores than one.
pub(crate) const TWO_WORKERS: &str = "ours-workers-2";

/// The yardstick of ws, and that of wss.
pub(crate) const PLAIN: &str = "plain";
pub(crate) const HAPROXY: &str = "haproxy";

/// The plain relay once more, without a handshake: what opening and closing two connections costs.
pub(crate) const BARE: &str = "plain-bare";

/// The slowest peer, and the one to be a replacement of.
pub(crate) const PYTHON: &str = "python";

const fn bare(args: &'static [&'static str]) -> Option<Start> {
    Some(Start { args, config: "" })
}

const fn configured(args: &'static [&'static str], config: &'static str) -> Option<Start> {
    Some(Start { args, config })
}

/// HAProxy with one thread; the arguments are its splice option and what `bind` gets besides the address.
macro_rules! haproxy {
    ($splice:literal, $bind:literal) => {
        configured(
            &["-db", "-f", "{config}"],
            concat!(
                "global\n  nbthread 1\n  maxconn 9300\n  maxpipes 400\ndefaults\n  mode tcp\n",
                "  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n  ",
                $splice,
                "\nlisten relay\n  bind {listen}",
                $bind,
                "\n  server target {target}\n"
            ),
        )
    };
}

/// nginx with one process; the arguments are what `listen` gets besides the address, and more directives.
macro_rules! nginx {
    ($listen:literal, $more:literal) => {
        configured(
            &["-e", "stderr", "-c", "{config}"],
            concat!(
                "load_module {prefix}/lib/nginx/modules/ngx_stream_module.so;\n",
                "daemon off;\nmaster_process off;\npid {config}.pid;\nerror_log stderr;\n",
                "events { worker_connections 19000; }\nstream {\n  server {\n    listen {listen}",
                $listen,
                ";\n    proxy_pass {target};\n    proxy_timeout 1h;\n",
                $more,
                "  }\n}\n"
            ),
        )
    };
}

/// Ours first, then those that do the same, then the yardsticks.
pub(crate) const PEERS: &[Peer] = &[
    Peer {
        name: OURS,
        role: Role::Ours,
        program: Program::Ours,
        starts: [
            bare(&["{listen}", "{target}"]),
            bare(&["--cert={cert}", "--key={key}", "{listen}", "{target}"]),
        ],
        version: &["--version"],
        port: Port::Announced,
        share: 1,
        is_bare: false,
        process_per_session: false,
    },
    Peer {
        name: TWO_WORKERS,
        role: Role::Peer,
        program: Program::Ours,
        starts: [
            bare(&["--workers=2", "{listen}", "{target}"]),
            bare(&["--workers=2", "--cert={cert}", "--key={key}", "{listen}", "{target}"]),
        ],
        version: &["--version"],
        port: Port::Announced,
        share: 1,
        is_bare: false,
        process_per_session: false,
    },
    Peer {
        name: PYTHON,
        role: Role::Peer,
        program: Program::Python,
        starts: [
            bare(&["-m", "websockify", "{listen}", "{target}"]),
            bare(&["-m", "websockify", "--cert={cert}", "--key={key}", "--ssl-only", "{listen}", "{target}"]),
        ],
        version: &[
            "-c",
            "import sys, websockify, numpy, importlib.metadata as m; \
             print('websockify', m.version('websockify'), 'numpy', numpy.__version__, 'python', sys.version.split()[0])",
        ],
        port: Port::Told,
        share: 16,
        is_bare: false,
        process_per_session: true,
    },
    Peer {
        name: "node",
        role: Role::Peer,
        program: Program::Named("node"),
        starts: [
            bare(&["{node_js}", "{node_module}", "{listen}", "{target}"]),
            bare(&["{node_js}", "{node_module}", "{listen}", "{target}", "{cert}", "{key}"]),
        ],
        version: &["{node_js}", "{node_module}"],
        port: Port::Told,
        share: 4,
        is_bare: false,
        process_per_session: false,
    },
    Peer {
        name: "websocat",
        role: Role::Peer,
        program: Program::Named("websocat"),
        starts: [
            bare(&["-b", "-E", "-B", "65536", "ws-listen:{listen}", "tcp:{target}"]),
            // Its TLS server stops at version 1.2; the load generator offers 1.3.
            None,
        ],
        version: &["--version"],
        port: Port::Told,
        share: 4,
        is_bare: false,
        process_per_session: false,
    },
    Peer {
        name: PLAIN,
        role: Role::Yardstick,
        program: Program::ThisBench,
        starts: [bare(&["--plain-relay", "{listen}", "{target}", "65536"]), None],
        version: &["--version"],
        port: Port::Announced,
        share: 1,
        is_bare: false,
        process_per_session: false,
    },
    Peer {
        name: "plain-256k",
        role: Role::Yardstick,
        program: Program::ThisBench,
        starts: [bare(&["--plain-relay", "{listen}", "{target}", "262144"]), None],
        version: &["--version"],
        port: Port::Announced,
        share: 1,
        is_bare: false,
        process_per_session: false,
    },
    Peer {
        name: BARE,
        role: Role::Yardstick,
        program: Program::ThisBench,
        starts: [bare(&["--plain-relay", "{listen}", "{target}", "65536"]), None],
        version: &["--version"],
        port: Port::Announced,
        share: 1,
        is_bare: true,
        process_per_session: false,
    },
    Peer {
        name: HAPROXY,
        role: Role::Yardstick,
        program: Program::Named("haproxy"),
        starts: [haproxy!("no option splice-auto", ""), haproxy!("no option splice-auto", " ssl crt {pem}")],
        version: &["-v"],
        port: Port::Told,
        share: 1,
        is_bare: false,
        process_per_session: false,
    },
    Peer {
        name: "haproxy-splice",
        role: Role::Yardstick,
        program: Program::Named("haproxy"),
        starts: [haproxy!("option splice-request\n  option splice-response", ""), None],
        version: &["-v"],
        port: Port::Told,
        share: 1,
        is_bare: false,
        process_per_session: false,
    },
    Peer {
        name: "nginx",
        role: Role::Yardstick,
        program: Program::Named("nginx"),
        starts: [
            nginx!("", ""),
            nginx!(
                " ssl",
                "    ssl_certificate {cert};\n    ssl_certificate_key {key};\n    ssl_protocols TLSv1.3;\n"
            ),
        ],
        version: &["-v"],
        port: Port::Told,
        share: 1,
        is_bare: false,
        process_per_session: false,
    },
    Peer {
        name: "hitch",
        role: Role::Yardstick,
        program: Program::Named("hitch"),
        starts: [
            None,
            bare(&[
                "--frontend=[127.0.0.1]:{listen_port}",
                "--backend=[127.0.0.1]:{target_port}",
                "--workers=1",
                "{unprivileged}",
                "--quiet",
                "{pem}",
            ]),
        ],
        version: &["-V"],
        port: Port::Told,
        share: 1,
        is_bare: false,
        process_per_session: false,
    },
    Peer {
        name: "socat",
        role: Role::Yardstick,
        program: Program::Named("socat"),
        starts: [
            bare(&[
                "TCP4-LISTEN:{listen_port},bind=127.0.0.1,fork,nodelay,backlog=1024",
                "TCP4:{target},nodelay",
            ]),
            None,
        ],
        version: &["-V"],
        port: Port::Told,
        share: 16,
        is_bare: false,
        process_per_session: true,
    },
];
