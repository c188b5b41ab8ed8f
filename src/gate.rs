//! The gate: who may, and where to. It is asked before anything is granted, with one owned question, and
//! answers once.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::flight::{Asked, ReplyTo};
use crate::helpers::Lane;
use crate::http::refusal::Refusal;
use crate::http::request::Request;
use crate::target::Target;

/// What every request has to pass.
#[derive(Debug, Default)]
pub struct Gate(Option<Kept>);

/// A gate with a keeper, who may block: it is asked on helper threads.
struct Kept {
    keeper: Arc<dyn Keeper>,
    lane: Lane,
}

/// Decides about requests. It runs on helper threads and may block.
pub trait Keeper: Send + Sync {
    /// The answer to a question.
    fn decide(&self, question: &Question) -> Verdict;
}

/// All that a decision may depend on, in bytes of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What is asked for.
    pub wants: Wants,
    /// The request's method.
    pub method: String,
    /// Path and query, as they came.
    pub target: String,
    /// Names, as they came, and values of all header fields, in their order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The client's address; `None` for a Unix socket.
    pub client: Option<IpAddr>,
    /// Whether the client speaks TLS.
    pub tls: bool,
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The request is granted.
    Granted(Grant),
    /// It is not, and this is the answer.
    Refused(Refusal),
}

/// What comes with a grant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// Where the session goes, where that is not the same for all.
    pub target: Option<Target>,
}

impl Gate {
    /// A gate that lets every request pass, and asks nothing.
    pub fn open() -> Gate {
        Gate(None)
    }

    /// A gate with this keeper.
    #[allow(dead_code, reason = "for the plugins of tokens and of authentication")]
    pub fn kept(keeper: Arc<dyn Keeper>) -> Gate {
        Gate(Some(Kept { keeper, lane: Lane::new("gate", THREADS_MAX, QUESTIONS_MAX) }))
    }

    /// The question to ask about a request; `None` where the gate is open.
    pub fn question(
        &self,
        wants: Wants,
        request: &Request<'_>,
        client: Option<IpAddr>,
        tls: bool,
    ) -> Option<Box<Question>> {
        self.0.as_ref()?;
        Some(Box::new(Question {
            wants,
            method: request.method.to_owned(),
            target: request.target.to_owned(),
            headers: request.fields().map(|(name, value)| (name.to_owned(), value.to_vec())).collect(),
            client,
            tls,
        }))
    }

    /// Asks. Without a question the answer is there at once.
    pub fn ask(
        &self,
        question: Option<Box<Question>>,
        to: impl FnOnce() -> ReplyTo<Verdict>,
    ) -> Asked<Verdict> {
        let (Some(kept), Some(question)) = (&self.0, question) else {
            return Asked::Now(Verdict::Granted(Grant::default()));
        };
        let (keeper, to) = (Arc::clone(&kept.keeper), to());
        match kept.lane.submit(Box::new(move || to(keeper.decide(&question)))) {
            Ok(()) => Asked::Later,
            Err(_) => Asked::Busy,
        }
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}

/// Questions that are decided at a time.
const THREADS_MAX: usize = 32;

/// Questions that wait for a thread. More are answered with 503.
const QUESTIONS_MAX: usize = 4096;
