//! The gate's questions and answers, owned, and the words of each refusal: the client's, which give no
//! reason, and the operator's, which contain no secret.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use super::reach::Reach;
use crate::auth::Denial;
use crate::flight::ReplyTo;
use crate::http::forwarded::Outside;
use crate::http::refusal::Refusal;
use crate::proxy::Version;
use crate::secret::Fingerprint;
use crate::target::Target;

/// All that a decision may depend on, owned.
#[derive(Clone, PartialEq, Eq)]
pub struct Question {
    /// What is asked for.
    pub wants: Wants,
    /// The request's method.
    pub method: String,
    /// Path and query, as they came.
    pub target: String,
    /// Names, as they came, and values of all header fields, in their order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Who asks.
    pub asker: Asker,
}

/// What is known about a client besides its request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asker {
    /// Its address, the real one where a trusted proxy has said it; `None` for a Unix socket.
    pub address: Option<IpAddr>,
    /// Whether TLS is spoken on the connection.
    pub tls: bool,
    /// The common name in the certificate that it has proven to be its own, to us or to a trusted proxy.
    pub common_name: Option<String>,
    /// What a trusted proxy says about the original request.
    pub outside: Outside,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// A session with a target.
    Session,
    /// A file or a listing.
    Page,
}

/// What the gate decides.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// The request is granted.
    Granted(Grant),
    /// It is not, for this reason, and this is the answer.
    Refused(Why, Refusal),
}

/// Why a request is not granted, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The client is not admitted.
    Denied,
    /// The token is unknown.
    Unknown,
    /// Something failed, or took too long.
    Broken,
}

/// What comes with a grant.
#[derive(Clone, Debug, Default)]
pub struct Grant {
    /// Where the session goes, if that is not the same for all.
    pub to: Option<TokenTarget>,
    /// The value of `Set-Cookie` that the answer is to have.
    pub set_cookie: Option<String>,
    /// The authenticated user, for logs.
    pub user: Option<Arc<str>>,
}

/// Where a token leads.
#[derive(Clone, Debug)]
pub struct TokenTarget {
    /// Where to dial.
    pub target: Target,
    /// The target's name in the log, without anything that would reveal the token.
    pub name: String,
    /// What may be dialled.
    pub reach: Arc<Reach>,
    /// Why this target may not, if that is known already.
    pub forbidden: Option<String>,
    /// When the token expires, if it says so.
    pub expires: Option<SystemTime>,
    /// The PROXY header that the target gets in place of `--proxy-protocol-out`.
    pub header: Option<Version>,
    /// The token's fingerprint, for logs and lists.
    pub token: Fingerprint,
}

impl Asker {
    /// Whether the client's own connection uses TLS, whether we or a proxy terminate it.
    pub fn is_over_tls(&self) -> bool {
        self.tls || self.outside.is_tls == Some(true)
    }
}

impl Question {
    /// The values of all fields of this name (in lower case).
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.headers.iter().filter(move |field| field.0.eq_ignore_ascii_case(name)).map(|field| &field.1[..])
    }
}

/// A question may contain secrets anywhere.
impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question").field("wants", &self.wants).finish_non_exhaustive()
    }
}

/// Whoever asked, and gets exactly one answer.
pub(super) struct Caller(Option<ReplyTo<Verdict>>);

impl Caller {
    pub(super) fn new(to: ReplyTo<Verdict>) -> Caller {
        Caller(Some(to))
    }

    pub(super) fn answer(mut self, verdict: Verdict) {
        if let Some(to) = self.0.take() {
            to(verdict);
        }
    }

    /// It has its answer already.
    pub(super) fn forget(mut self) {
        self.0 = None;
    }
}

/// A question that was dropped because a lane was full is answered, too.
impl Drop for Caller {
    fn drop(&mut self) {
        if let Some(to) = self.0.take() {
            to(busy());
        }
    }
}

/// The gate can't decide now.
pub fn overdue() -> Verdict {
    broken("the lookup takes too long".into())
}

/// There are so many questions that one more would wait too long.
pub fn busy() -> Verdict {
    broken("too many lookups are waiting".into())
}

pub(super) fn answer_to(denial: Denial) -> Refusal {
    match denial {
        Denial::Unauthenticated(why) => {
            let challenge = "Basic realm=\"Websockify\"";
            Refusal::new(401, "Unauthorized").with("WWW-Authenticate", challenge).noted(why)
        }
        Denial::Forbidden(why) => forbidden(why),
        Denial::InvalidOrigin => invalid_origin("the page's origin is not listed"),
        Denial::InItsWords(refusal) => *refusal,
    }
}

pub(super) fn forbidden(note: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal::new(403, "Forbidden").noted(note)
}

pub(super) fn invalid_origin(note: &'static str) -> Refusal {
    Refusal::new(403, "Invalid Origin").phrased().noted(note)
}

pub(super) fn refused(refusal: Refusal) -> Verdict {
    Verdict::Refused(Why::Denied, refusal)
}

pub(super) fn unknown(note: String) -> Verdict {
    Verdict::Refused(Why::Unknown, Refusal::new(404, "Not Found").noted(note))
}

pub(super) fn broken(note: String) -> Verdict {
    let refusal = Refusal::new(503, "Service Unavailable").with("Retry-After", RETRY_AFTER).noted(note);
    Verdict::Refused(Why::Broken, refusal)
}

/// Seconds after which a client may ask again when something does not work.
const RETRY_AFTER: &str = "5";
