//! What the clients of one listener get. A reload replaces a frontend as a whole: a session keeps the one it
//! began with, and a connection that waits for a request takes its listener's current one before each head.

use std::fmt::{self, Debug};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use rustls::ClientConfig;

use crate::certs::{Certificates, TargetOptions};
use crate::flight::{Asked, ReplyTo};
use crate::gate::{Gate, Reach, TokenTarget};
use crate::http::forwarded::Form;
use crate::net::listen::Peer;
use crate::net::socket::Place;
use crate::networks::Networks;
use crate::proxy::Version;
use crate::record::Recorder;
use crate::target::Target;
use crate::web::Pages;

/// All that an operator has asked for on a listener.
pub struct Frontend {
    /// What TLS clients are served with.
    pub tls: Option<Arc<Certificates>>,
    /// Whether clients without TLS are refused (`--ssl-only`).
    pub tls_only: bool,
    /// The gate that every request has to pass.
    pub gate: Gate,
    /// Where sessions go; without it upgrades get 404.
    pub sessions: Option<Sessions>,
    /// What plain requests get (`--web`); 405 without it.
    pub pages: Option<Arc<Pages>>,
    /// TLS towards targets (`--ssl-target`).
    pub target_tls: Option<TargetTls>,
    /// Time between two pings to a client (`--heartbeat`).
    pub heartbeat: Option<Duration>,
    /// What is recorded of each session.
    pub tape: Option<TapeOptions>,
    /// The path at which a plain request learns whether the service is ready (`--health-path`).
    pub health_path: Option<Box<str>>,
    /// Who may say who a client is, and what targets are told of it.
    pub proxies: Proxies,
}

impl Frontend {
    /// Whether no client can be served, since all have to speak TLS and there is no certificate.
    pub fn lacks_certificate(&self) -> bool {
        self.tls_only && !self.tls.as_ref().is_some_and(|certificates| certificates.are_usable())
    }
}

/// What is recorded of each session of a listener.
#[derive(Clone)]
pub struct TapeOptions {
    /// Marks on stdout (`--traffic`).
    pub traffic: bool,
    /// Recordings (`--record`).
    pub record: Option<RecordOptions>,
}

/// How sessions are recorded.
#[derive(Clone)]
pub struct RecordOptions {
    /// What records them.
    pub recorder: Recorder,
    /// Whether what clients send is recorded, too (`--record-input`).
    pub input: bool,
}

/// Where sessions go.
#[derive(Clone, Debug)]
pub enum Sessions {
    /// All to the same target.
    Fixed(Arc<Destination>),
    /// Each to where the gate says.
    Tokens,
}

/// How a session comes to its target.
#[derive(Debug)]
pub enum Way {
    /// It is dialled, each of its addresses once.
    Dial(Target),
    /// A program that this one has started listens there, or will. If it is a port, at the loopback
    /// addresses.
    Await(Awaited),
    /// A program is started for the session, and its standard input and output are the other end.
    Start(Arc<dyn Start>),
}

/// Starts a program for each session.
pub trait Start: Send + Sync + Debug {
    /// Starts one for this client; `to` gets it, on a helper thread.
    fn start(&self, peer: Peer, to: ReplyTo<Started>) -> Asked<Started>;
}

/// A program that was started for a session; or, for the log, why it was not.
pub type Started = Result<Begun, String>;

/// A program that runs for a session.
#[derive(Debug)]
pub struct Begun {
    /// The other end of its standard input and output.
    pub socket: UnixStream,
    /// Dropped when the session has closed that end; the program ends then.
    pub place: Place,
}

/// A program that is dialled until it listens, for as long as a dial may take.
#[derive(Debug)]
pub struct Awaited {
    /// Where it listens.
    pub target: Target,
    /// Set when it has ended and will not be started again.
    pub over: Arc<AtomicBool>,
}

impl Awaited {
    /// Whether nothing will ever listen there again.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// A target and its names for people.
#[derive(Debug)]
pub struct Destination {
    /// How to reach it.
    pub way: Way,
    /// The target in lines of the log.
    pub name: String,
    /// What is logged before a dial: `connecting to: HOST:PORT`.
    pub announcement: String,
    /// The rules for what may be dialled; `None` for a target from the command line, which is never checked.
    pub reach: Option<Arc<Reach>>,
    /// Why this target must not be dialled, if that is known already.
    pub forbidden: Option<String>,
    /// When the token that led here expires, if it says so. Sessions continue after that.
    pub expires: Option<SystemTime>,
    /// The PROXY header that it gets in place of `--proxy-protocol-out`.
    pub header: Option<Version>,
}

impl Destination {
    /// A target of the command line; `name` is what was given.
    pub fn fixed(target: Target, name: String, over_tls: bool) -> Destination {
        let announcement = announcement(&target, &name, over_tls);
        let way = Way::Dial(target);
        Destination { way, name, announcement, reach: None, forbidden: None, expires: None, header: None }
    }

    /// A program of ours; `command` is what was started, and `port` what it was told to listen on.
    pub fn program(awaited: Awaited, command: &str, port: u16, over_tls: bool) -> Destination {
        let name = awaited.target.to_string();
        let announcement = format!("connecting to command: '{command}' (port {port}){}", suffix(over_tls));
        let way = Way::Await(awaited);
        Destination { way, name, announcement, reach: None, forbidden: None, expires: None, header: None }
    }

    /// A program for each session; `command` is what is started.
    pub fn started(start: Arc<dyn Start>, command: &str, over_tls: bool) -> Destination {
        let name = format!("'{command}'");
        let announcement = format!("connecting to command: {name}{}", suffix(over_tls));
        let way = Way::Start(start);
        Destination { way, name, announcement, reach: None, forbidden: None, expires: None, header: None }
    }

    /// Where to dial, if that is the way.
    pub fn target(&self) -> Option<&Target> {
        match &self.way {
            Way::Dial(target) | Way::Await(Awaited { target, .. }) => Some(target),
            Way::Start(_) => None,
        }
    }

    /// Where a token leads.
    pub fn of_token(to: TokenTarget, over_tls: bool) -> Destination {
        let announcement = announcement(&to.target, &to.name, over_tls);
        let TokenTarget { target, name, reach, forbidden, expires, header, token: _ } = to;
        let way = Way::Dial(target);
        Destination { way, name, announcement, reach: Some(reach), forbidden, expires, header }
    }
}

fn announcement(target: &Target, name: &str, over_tls: bool) -> String {
    let what = match target {
        Target::Tcp { .. } => "connecting to",
        Target::Unix(_) => "connecting to unix socket",
    };
    format!("{what}: {name}{}", suffix(over_tls))
}

fn suffix(over_tls: bool) -> &'static str {
    if over_tls { " (using SSL)" } else { "" }
}

/// What an operator has said about proxies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// Whether connections of trusted proxies begin with a PROXY header (`--proxy-protocol`).
    pub protocol: bool,
    /// Who is believed (`--trusted-proxy`).
    pub trusted: Networks,
    /// The header field that names the client (`--real-ip-header`).
    pub header: Option<RealIpHeader>,
    /// The PROXY header that targets get (`--proxy-protocol-out`).
    pub out: Option<Version>,
}

/// A header field by which a trusted proxy says who the client is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealIpHeader {
    /// Its name.
    pub name: String,
    /// How it lists addresses.
    pub form: Form,
}

impl RealIpHeader {
    /// The field of this name, a token of HTTP.
    pub fn new(name: &str) -> RealIpHeader {
        let form = match name.eq_ignore_ascii_case("Forwarded") {
            true => Form::Forwarded,
            false => Form::Addresses,
        };
        RealIpHeader { name: name.to_owned(), form }
    }
}

impl Proxies {
    /// Whether this peer's connection begins with a PROXY header.
    pub fn send_header(&self, peer: &Peer) -> bool {
        self.protocol && self.trusts(peer)
    }

    /// Whether what this peer says of its clients is believed.
    pub fn trusts(&self, peer: &Peer) -> bool {
        match peer {
            Peer::Ip(address) => self.trusted.contains(*address),
            Peer::Unix(_) => self.trusted.unix,
        }
    }
}

/// TLS towards targets.
pub struct TargetTls {
    /// The configuration for rustls.
    pub config: Arc<ClientConfig>,
    /// What the operator wants.
    pub options: TargetOptions,
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dial_is_announced_in_the_words_that_scripts_grep() {
        let tcp = || Target::Tcp { host: "desk".into(), port: 5900 };
        let fixed = |target: Target, over_tls| {
            let name = target.to_string();
            Destination::fixed(target, name, over_tls).announcement
        };
        assert_eq!(fixed(tcp(), false), "connecting to: desk:5900");
        assert_eq!(fixed(tcp(), true), "connecting to: desk:5900 (using SSL)");
        assert_eq!(fixed(Target::Unix("/run/t".into()), false), "connecting to unix socket: /run/t");
        let program = |over_tls| {
            let awaited = Awaited { target: tcp(), over: Arc::default() };
            Destination::program(awaited, "vnc -fg", 4711, over_tls).announcement
        };
        assert_eq!(program(false), "connecting to command: 'vnc -fg' (port 4711)");
        assert_eq!(program(true), "connecting to command: 'vnc -fg' (port 4711) (using SSL)");
    }
}
