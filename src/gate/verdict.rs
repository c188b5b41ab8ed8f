//! What the gate is asked and what it answers, in bytes of their own, and the words of each refusal: the client's,
//! which say nothing about why, and the operator's, which name no secret.

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
use crate::secret::Fingerprint;
use crate::target::Target;

/// All that a decision may depend on, in bytes of its own.
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

/// What is known of a client beside its request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asker {
    /// Its address, the real one where a trusted proxy has said it; `None` for a Unix socket.
    pub address: Option<IpAddr>,
    /// Whether TLS is spoken on the connection.
    pub tls: bool,
    /// The common name in the certificate that it has proven to be its own, to us or to a trusted proxy.
    pub common_name: Option<String>,
    /// What a trusted proxy says of how it was asked.
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
    /// The client may not.
    Denied,
    /// The token is unknown.
    Unknown,
    /// Something does not work, or takes too long.
    Broken,
}

/// What comes with a grant.
#[derive(Clone, Debug, Default)]
pub struct Grant {
    /// Where the session goes, where that is not the same for all.
    pub to: Option<TokenTarget>,
    /// The value of `Set-Cookie` that the answer is to have.
    pub set_cookie: Option<String>,
    /// Whom the client has proven to be, for logs.
    pub user: Option<Arc<str>>,
}

/// Where a token leads.
#[derive(Clone, Debug)]
pub struct TokenTarget {
    /// Where to dial.
    pub target: Target,
    /// The target in lines of the log, without what would tell the token.
    pub name: String,
    /// What may be dialled.
    pub reach: Arc<Reach>,
    /// Why this may not, as far as that is known already.
    pub forbidden: Option<String>,
    /// Until when the token is good, if it says so.
    pub expires: Option<SystemTime>,
    /// What stands for the token where the session is named.
    pub token: Fingerprint,
}

impl Asker {
    /// Whether the client's own connection is one of TLS, wherever that ends.
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

/// What is asked may hold secrets in any place.
impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question").field("wants", &self.wants).finish_non_exhaustive()
    }
}

/// The one who has asked, and gets exactly one answer.
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

/// A question that got lost on the way, because a lane was full, is answered all the same.
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

/// So much is being asked that one more would wait for too long.
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
