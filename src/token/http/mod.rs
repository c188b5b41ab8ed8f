//! BaseTokenAPI and JSONTokenApi: the target is what a service answers to a GET of a URL with the token in it.
//!
//! The client is our own: it needs only one method, but guarantees that others lack: one deadline for names,
//! connections, TLS, redirects and slow answers; plain http through a proxy in absolute-form; and no URL in
//! the log.

mod proxy;
mod response;
mod url;

use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::link::{Dialer, Link, describe};
use super::{Answer, LOOK_UP, Source, TokenPlugin};
use crate::log::Log;
use crate::secret::Secret;
use crate::source::without_mark;
use crate::target::{Colons, Target};
use proxy::Proxies;
use response::{Decoder, Fault, Response};
use url::{Template, Url};

#[cfg(any(test, feature = "testing"))]
pub(super) use response::decode;
pub(super) use url::decode as percent_decode;
#[cfg(any(test, feature = "testing"))]
pub(super) use url::urls;

/// BaseTokenAPI.
pub(super) fn open_text(source: &Source) -> Result<Box<dyn TokenPlugin>, String> {
    open("BaseTokenAPI", source, |body| text_target(body).map(Answer::to))
}

/// JSONTokenApi.
pub(super) fn open_json(source: &Source) -> Result<Box<dyn TokenPlugin>, String> {
    open(JSON, source, json_answer)
}

fn open(
    name: &'static str,
    source: &Source,
    read: fn(&[u8]) -> Option<Answer>,
) -> Result<Box<dyn TokenPlugin>, String> {
    let text = source.text(name)?;
    let template = Template::parse(&text).map_err(|why| format!("{name}: --token-source: {why}"))?;
    let api = Api {
        name,
        template,
        read,
        client: Client { dialer: Dialer::default(), proxies: Proxies::from_environment() },
        log: Arc::clone(&source.log),
        said: Mutex::default(),
    };
    if api.template.name.starts_with("https:")
        && let Err(why) = api.client.dialer.tls()
    {
        api.log.warn(format_args!("warning: {name}: {why}"));
    }
    Ok(Box::new(api))
}

struct Api {
    name: &'static str,
    template: Template,
    /// Reads the body of an answer.
    read: fn(&[u8]) -> Option<Answer>,
    client: Client,
    log: Arc<Log>,
    /// The status that was logged last.
    said: Mutex<Option<u16>>,
}

impl TokenPlugin for Api {
    fn look_up(&self, token: &str) -> Answer {
        self.look_up_until(token, None, Instant::now() + LOOK_UP)
    }

    fn look_up_until(&self, token: &str, _: Option<IpAddr>, deadline: Instant) -> Answer {
        let url = match self.template.expand(token) {
            Ok(url) => url,
            Err(why) => return Answer::Refused(why.into()),
        };
        let response = match self.client.get(url, deadline) {
            Ok(response) => response,
            Err(why) => return Answer::Broken(format!("{}: {why}", self.template.name)),
        };
        self.complain(response.status);
        if !(200..300).contains(&response.status) {
            return Answer::Unknown;
        }
        match (self.read)(without_mark(&response.body)) {
            Some(answer) => answer,
            None => Answer::Broken(format!("{}: the answer does not name a target", self.template.name)),
        }
    }

    fn may_tell(&self) -> bool {
        self.name == JSON
    }
}

impl Api {
    /// Logs a status that means more than an unknown token, once until another one comes.
    fn complain(&self, status: u16) {
        let is_ordinary = (200..300).contains(&status) || matches!(status, 404 | 410);
        let worth = (!is_ordinary).then_some(status);
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if *said == worth {
            return;
        }
        *said = worth;
        drop(said);
        if let Some(status) = worth {
            let (name, service) = (self.name, &self.template.name);
            self.log.warn(format_args!(
                "warning: {name}: {service} answers with status {status}, so tokens are not known"
            ));
        }
    }
}

/// Asks services.
struct Client {
    dialer: Dialer,
    proxies: Proxies,
}

impl Client {
    /// Gets a URL, following redirects. The error is in words for the operator and reveals no part of the
    /// URL.
    fn get(&self, mut url: Url, deadline: Instant) -> Result<Response, String> {
        for _ in 0..=REDIRECTS_MAX {
            let response = self.ask(&url, deadline)?;
            let location = match (response.status, &response.location) {
                (301 | 302 | 303 | 307 | 308, Some(location)) => location,
                _ => return Ok(response),
            };
            let next =
                url.join(location).map_err(|why| format!("redirected to a URL that can't be used: {why}"))?;
            if url.is_secure && !next.is_secure {
                return Err("redirected from https to http".into());
            }
            url = next;
        }
        Err("redirected too often".into())
    }

    fn ask(&self, url: &Url, deadline: Instant) -> Result<Response, String> {
        let proxy = self.proxies.of_url(url)?;
        let (peer, role) = match proxy {
            Some(proxy) => (proxy, "the proxy: "),
            None => (url, ""),
        };
        let fault = |error: io::Error| describe(&error);
        let mut link = self
            .dialer
            .connect(&peer.host, peer.port, deadline)
            .and_then(|link| if peer.is_secure { self.dialer.secure(link, &peer.host) } else { Ok(link) })
            .map_err(|error| format!("{role}{}", fault(error)))?;
        if url.is_secure {
            if let Some(proxy) = proxy {
                connect(&mut link, url, proxy).map_err(|error| format!("{role}{}", fault(error)))?;
                link = self.dialer.secure(link, &url.host).map_err(fault)?;
            } else if !peer.is_secure {
                return Err("TLS is missing".into());
            }
        }
        let is_absolute = proxy.is_some() && !url.is_secure;
        let mut request = String::from("GET ");
        if is_absolute {
            request.push_str("http://");
            request.push_str(&url.authority());
        }
        request.push_str(&url.target);
        request.push_str(" HTTP/1.1\r\nHost: ");
        request.push_str(&url.authority());
        request.push_str("\r\nUser-Agent: ");
        request.push_str(AGENT);
        request.push_str("\r\nAccept: */*\r\nConnection: close\r\n");
        authorize(&mut request, "Authorization", url.credentials.as_ref());
        if is_absolute {
            authorize(
                &mut request,
                "Proxy-Authorization",
                proxy.and_then(|proxy| proxy.credentials.as_ref()),
            );
        }
        request.push_str("\r\n");
        let mut decoder = Decoder::default();
        exchange(&mut link, &request, &mut decoder, |_| false).map_err(fault)?;
        Ok(decoder.finish())
    }
}

/// Asks a proxy to connect to the server of an https URL.
fn connect(link: &mut Link, url: &Url, proxy: &Url) -> io::Result<()> {
    let place = format!("{}:{}", url.bracketed(), url.port);
    let mut request = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\nUser-Agent: {AGENT}\r\n");
    authorize(&mut request, "Proxy-Authorization", proxy.credentials.as_ref());
    request.push_str("\r\n");
    let mut decoder = Decoder::default();
    exchange(link, &request, &mut decoder, |decoder| decoder.status().is_some())?;
    match decoder.status() {
        Some(200..300) => Ok(()),
        status => Err(io::Error::other(format!("status {} to CONNECT", status.unwrap_or(0)))),
    }
}

/// Sends a request and reads its answer until it is whole or `is_enough`.
fn exchange(
    link: &mut Link,
    request: &str,
    decoder: &mut Decoder,
    is_enough: impl Fn(&Decoder) -> bool,
) -> io::Result<()> {
    let fault = |fault: Fault| io::Error::other(fault.to_string());
    link.write_all(request.as_bytes())?;
    link.flush()?;
    let mut space = [0; READ_SIZE];
    loop {
        let count = match link.read(&mut space) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            count => count?,
        };
        if count == 0 {
            return decoder.end().map_err(fault);
        }
        if decoder.take(&space[..count]).map_err(fault)? || is_enough(decoder) {
            return Ok(());
        }
    }
}

fn authorize(request: &mut String, field: &str, credentials: Option<&Secret>) {
    if let Some(credentials) = credentials {
        request.push_str(&format!("{field}: Basic {}\r\n", STANDARD.encode(credentials.reveal())));
    }
}

/// `host:port`.
fn text_target(body: &[u8]) -> Option<Target> {
    Target::parse(std::str::from_utf8(body).ok()?, Colons::One)
}

/// A target as JSON, and perhaps `"proxy_protocol": "v1"` or `"v2"` beside it.
fn json_answer(body: &[u8]) -> Option<Answer> {
    let body: Value = serde_json::from_slice(body).ok()?;
    Answer::found(json_target(&body)?, body.get("proxy_protocol"))
}

/// `{"host": …, "port": …}`, the port as a number or a string; the host may be `unix_socket` and the port a path.
fn json_target(body: &Value) -> Option<Target> {
    let host = body.get("host")?.as_str()?.trim();
    let port = match body.get("port")? {
        Value::String(port) => port.clone(),
        Value::Number(port) => port.as_u64()?.to_string(),
        _ => return None,
    };
    if host == "unix_socket" {
        return Target::parse(&format!("unix_socket:{port}"), Colons::One);
    }
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    Target::tcp(bare.filter(|address| address.contains(':')).unwrap_or(host), &port)
}

/// The class whose services answer in JSON.
const JSON: &str = "JSONTokenApi";

/// Redirects that are followed. Services have one or two.
const REDIRECTS_MAX: usize = 10;

/// Bytes read at a time.
const READ_SIZE: usize = 16 * 1024;

/// Our User-Agent.
const AGENT: &str = concat!("websockify/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests;
