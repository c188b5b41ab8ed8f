//! Which targets tokens may lead to: `--allow-target`, `--deny-target`, and what is never a target.
//!
//! Otherwise a token service that can be tricked into an answer would make the gateway dial, for its clients,
//! what only the gateway can reach: the metadata service of a cloud, or the gateway itself. A target from the
//! command line is never checked.
//!
//! A name is matched as the token has it, an address as it would be dialled, after the name was looked up.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Component, Path, PathBuf};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::networks;

/// All rules for targets of tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    allow: Vec<Rule>,
    deny: Vec<Rule>,
}

/// One rule: what, and at which ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    text: String,
    what: What,
    /// Empty: all.
    ports: Vec<RangeInclusive<u16>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Net(IpNet),
    Name(String),
    /// A name with this ending, which begins with a dot.
    Suffix(String),
    /// A path with this beginning.
    Unix(String),
}

/// Why a target may not be dialled, for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAllowed(String);

impl fmt::Display for NotAllowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Rules {
    /// The rules of the command line.
    pub fn new(allow: Vec<Rule>, deny: Vec<Rule>) -> Rules {
        Rules { allow, deny }
    }

    /// Whether the name `host` may be looked up: refused only if no result could be dialled.
    ///
    /// # Errors
    /// The rule that forbids it.
    pub fn check_name(&self, host: &str, port: u16) -> Result<(), NotAllowed> {
        self.deny.iter().find(|rule| rule.has_name(host, port)).map_or(Ok(()), |rule| Err(rule.denies()))
    }

    /// Whether `address`, which `host` stands for, may be dialled. `is_own` says whether this program listens
    /// there itself.
    ///
    /// # Errors
    /// Why not.
    pub fn check_address(&self, host: &str, address: SocketAddr, is_own: bool) -> Result<(), NotAllowed> {
        let (ip, port) = (canonical(address.ip()), address.port());
        if let Some(rule) =
            self.deny.iter().find(|rule| rule.has_name(host, port) || rule.has_address(ip, port))
        {
            return Err(rule.denies());
        }
        let names =
            |net: IpNet| self.allow.iter().any(|rule| rule.is_within(net) && rule.has_address(ip, port));
        if is_own && !names(IpNet::from(ip)) {
            return Err(NotAllowed("this program listens there itself".into()));
        }
        for (net, what) in FORBIDDEN {
            if net.contains(&ip) && !names(*net) {
                return Err(NotAllowed(format!("{what}; --allow-target {ip} would allow it")));
            }
        }
        let allowed = |rule: &Rule| rule.has_name(host, port) || rule.has_address(ip, port);
        if self.allow.is_empty() || self.allow.iter().any(allowed) {
            return Ok(());
        }
        Err(NotAllowed("no --allow-target rule allows it".into()))
    }

    /// Whether the Unix socket at `path` may be connected to. `is_remote` says that a remote service named
    /// it: then a rule has to allow it. No rule allows a path that contains `..`.
    ///
    /// # Errors
    /// Why not.
    pub fn check_unix(&self, path: &Path, is_own: bool, is_remote: bool) -> Result<(), NotAllowed> {
        self.check_unix_denied(path)?;
        let allowed = self.allow.iter().any(|rule| rule.has_path(path))
            && !path.components().any(|part| part == Component::ParentDir);
        if is_own && !allowed {
            return Err(NotAllowed("this program listens there itself".into()));
        }
        if allowed || (self.allow.is_empty() && !is_remote) {
            return Ok(());
        }
        Err(NotAllowed("no --allow-target unix: rule allows it".into()))
    }

    /// Whether the path is one that no rule denies.
    ///
    /// # Errors
    /// The rule that denies it.
    pub fn check_unix_denied(&self, path: &Path) -> Result<(), NotAllowed> {
        self.deny.iter().find(|rule| rule.has_path(path)).map_or(Ok(()), |rule| Err(rule.denies()))
    }

    /// Whether any rule is about Unix sockets.
    pub fn are_about_unix(&self) -> bool {
        self.allow.iter().chain(&self.deny).any(|rule| matches!(rule.what, What::Unix(_)))
    }
}

impl Rule {
    /// Reads `WHAT[:PORTS]`.
    ///
    /// # Errors
    /// What is wrong, in words for the user.
    pub fn parse(text: &str) -> Result<Rule, String> {
        let fault = |what: &str| format!("{what}: '{text}'");
        let rule = |what, ports| Rule { text: text.to_owned(), what, ports };
        if let Some(path) = text.strip_prefix("unix:") {
            let is_fit = path.starts_with('/') && !path.split('/').any(|part| part == "..");
            return match is_fit {
                true => Ok(rule(What::Unix(path.to_owned()), Vec::new())),
                false => Err(fault("unix: needs an absolute path without '..'")),
            };
        }
        // A bare IPv6 address or network, which has no ports.
        if let Some(net) = net_of(text) {
            return Ok(rule(What::Net(net), Vec::new()));
        }
        let (what, ports) = match text.strip_prefix('[') {
            Some(rest) => {
                let (inner, rest) = rest.split_once(']').ok_or_else(|| fault("']' is missing"))?;
                // Both [fd00::]/8 and [fd00::/8] are written.
                let (bits, ports) = match rest.split_once(':') {
                    Some((bits, ports)) => (bits, Some(ports)),
                    None => (rest, None),
                };
                let net = net_of(&format!("{inner}{bits}")).filter(|_| inner.contains(':'));
                (What::Net(net.ok_or_else(|| fault("no IPv6 address or network"))?), ports)
            }
            None => {
                let (what, ports) = match text.split_once(':') {
                    Some((what, ports)) => (what, Some(ports)),
                    None => (text, None),
                };
                (
                    what_of(what)
                        .ok_or_else(|| fault("no address, network, name, *.suffix or unix:/path"))?,
                    ports,
                )
            }
        };
        let ports = ports.map(ports_of).transpose().map_err(fault)?.unwrap_or_default();
        Ok(rule(what, ports))
    }

    fn has_port(&self, port: u16) -> bool {
        self.ports.is_empty() || self.ports.iter().any(|range| range.contains(&port))
    }

    fn has_name(&self, host: &str, port: u16) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        self.has_port(port)
            && match &self.what {
                What::Name(name) => host == *name,
                What::Suffix(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
                What::Net(_) | What::Unix(_) => false,
            }
    }

    fn has_address(&self, ip: IpAddr, port: u16) -> bool {
        matches!(self.what, What::Net(net) if net.contains(&ip)) && self.has_port(port)
    }

    fn has_path(&self, path: &Path) -> bool {
        match &self.what {
            What::Unix(prefix) => {
                // Without `.` and doubled slashes.
                let path: PathBuf = path.components().collect();
                path.to_string_lossy().starts_with(prefix.as_str())
            }
            _ => false,
        }
    }

    /// Whether the rule is about addresses of `net` alone.
    fn is_within(&self, net: IpNet) -> bool {
        matches!(self.what, What::Net(own) if net.contains(&own))
    }

    fn denies(&self) -> NotAllowed {
        NotAllowed(format!("--deny-target {} forbids it", self.text))
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits))
}

const fn v6(first: u16, second: u16, last: u16, bits: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, last), bits))
}

/// `ADDRESS` or `ADDRESS/BITS`.
fn net_of(text: &str) -> Option<IpNet> {
    networks::parse_as(text, canonical)
}

/// The address that is reached by this one: mapped IPv4 addresses, and those behind the well-known prefix of
/// NAT64, are IPv4 addresses.
pub fn canonical(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            IpAddr::V4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)))
        }
        _ => ip,
    }
}

fn what_of(text: &str) -> Option<What> {
    if let Some(net) = net_of(text) {
        return Some(What::Net(net));
    }
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let is_name = |name: &str| {
        let is_part = |char: char| char.is_alphanumeric() || "-_.".contains(char);
        // A mistyped network must not become a name that never matches.
        !name.is_empty()
            && name.chars().all(is_part)
            && !name.chars().all(|char| char.is_ascii_digit() || char == '.')
    };
    match name.strip_prefix('*') {
        Some(suffix) => {
            (suffix.starts_with('.') && is_name(&suffix[1..])).then(|| What::Suffix(suffix.to_owned()))
        }
        None => is_name(&name).then_some(What::Name(name)),
    }
}

/// `5900-5999,3389`.
fn ports_of(text: &str) -> Result<Vec<RangeInclusive<u16>>, &'static str> {
    let fault = "ports are written as 5900-5999,3389";
    let port = |text: &str| text.parse::<u16>().ok().filter(|&port| port > 0).ok_or(fault);
    text.split(',')
        .map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let range = port(first)?..=port(last)?;
            if range.is_empty() { Err(fault) } else { Ok(range) }
        })
        .collect()
}

/// What a target of a token may not be, unless a rule for these addresses allows it.
const FORBIDDEN: &[(IpNet, &str)] = &[
    (v4(169, 254, 0, 0, 16), "it is a link-local address"),
    (v6(0xfe80, 0, 0, 10), "it is a link-local address"),
    (v4(224, 0, 0, 0, 4), "it is a multicast address"),
    (v6(0xff00, 0, 0, 8), "it is a multicast address"),
    (v6(0xfd00, 0xec2, 0x254, 128), "it is the metadata service of a cloud"),
    (v4(100, 100, 100, 200, 32), "it is the metadata service of a cloud"),
    (v4(168, 63, 129, 16, 32), "it is the metadata service of a cloud"),
];

#[cfg(test)]
mod tests;
