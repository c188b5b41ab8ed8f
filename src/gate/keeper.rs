//! What the gate asks, and in which order: the page's origin, the auth plugin, the token.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::AllowedOrigin;
use super::counts::{Counts, Looking};
use super::flights::Waiter;
use super::naming;
use super::tokens::Tokens;
use super::verdict::{Caller, answer_to, broken, forbidden, refused, unknown};
use super::{Grant, Question, TokenTarget, Verdict, Wants};
use crate::auth::{Admitted, AuthPlugin, Decision, Presented};
use crate::flight::ReplyTo;
use crate::helpers::{self, Lane, Stub};
use crate::http::origin::{self, Origin};
use crate::log::Log;
use crate::target::Target;
use crate::token::{Answer, Terms};

/// What the gate consists of.
pub(super) struct Keeper {
    pub(super) origins: Vec<AllowedOrigin>,
    pub(super) auth: Option<Box<dyn AuthPlugin>>,
    /// Whether the auth plugin is asked before pages, too.
    pub(super) for_pages: bool,
    pub(super) tokens: Option<Tokens>,
    log: Arc<Log>,
    /// Tokens are looked up here.
    pub(super) lane: Lane,
    /// Auth plugins are asked here, so that hanging token lookups delay no admission.
    asking: Lane,
    /// Host and port that all sessions go to, if it is the same for all.
    pub(super) target: Option<(String, u16)>,
    /// Passwords are hashed here, so that guessed passwords delay no lookup.
    hashing: Lane,
    /// What has been asked.
    pub(super) counts: Arc<Counts>,
}

/// A request on its way through the gate.
pub(super) struct Visit {
    question: Box<Question>,
    /// Whether its client is still there.
    stub: Stub,
    /// When the client's patience ends.
    deadline: Instant,
    to: Caller,
    /// The grant so far.
    grant: Grant,
    /// The result of the lookup, if it was made before the auth plugin was asked.
    looked_up: Option<LookedUp>,
}

/// A token and its answer; nothing for a request without a token.
type LookedUp = Option<(String, Answer)>;

/// A verdict that needs no helper, and who gets it.
pub(super) type Known = Box<(Caller, Verdict)>;

impl Visit {
    pub(super) fn new(question: Box<Question>, stub: Stub, to: ReplyTo<Verdict>) -> Visit {
        let (to, deadline) = (Caller::new(to), Instant::now() + LOOK_UP);
        Visit { question, stub, deadline, to, grant: Grant::default(), looked_up: None }
    }
}

impl Keeper {
    /// One that asks nothing yet.
    pub(super) fn new(log: Arc<Log>) -> Keeper {
        Keeper {
            origins: Vec::new(),
            auth: None,
            for_pages: false,
            tokens: None,
            log,
            lane: Lane::new("gate", THREADS_MAX, QUESTIONS_MAX),
            asking: Lane::new("auth", THREADS_MAX, QUESTIONS_MAX),
            target: None,
            hashing: Lane::new("passwords", HASHES_MAX, HASHES_WAITING_MAX),
            counts: Arc::default(),
        }
    }

    /// Asks the first question about a visit whose origin is allowed.
    pub(super) fn begin(self: &Arc<Self>, mut visit: Visit) -> Result<(), Known> {
        let Some(auth) = &self.auth else { return self.look_up(visit) };
        if auth.wants_target()
            && visit.question.wants == Wants::Session
            && let Some(tokens) = &self.tokens
        {
            match tokens.token(&visit.question) {
                Some(token) => self.look_ahead(tokens, token, visit),
                None => {
                    visit.looked_up = Some(None);
                    self.admit(visit);
                }
            }
            return Ok(());
        }
        if auth.wants_target() && visit.question.wants == Wants::Session || auth.may_block() {
            self.admit(visit);
            return Ok(());
        }
        let decision = self.decide(&visit);
        self.go_on(visit, decision)
    }

    /// Whether the page that has sent the client may open sessions. A client without an origin is not a browser.
    pub(super) fn allows_origin(&self, question: &Question) -> bool {
        if self.origins.is_empty() {
            return true;
        }
        let origins: Vec<&[u8]> = question.values("origin").collect();
        let origin = match origins[..] {
            [] => return true,
            [origin] => std::str::from_utf8(origin),
            _ => return false,
        };
        let Ok(origin) = origin else { return false };
        let outside = &question.asker.outside;
        let sent = || question.values("host").next().and_then(|host| std::str::from_utf8(host).ok());
        let host = outside.host.as_deref().or_else(sent);
        self.origins.iter().any(|allowed| match allowed {
            AllowedOrigin::Same => host.is_some_and(|host| origin::is_same(origin, host, outside.is_tls)),
            AllowedOrigin::Of(allowed) => *allowed == Origin::of(origin),
        })
    }

    /// Looks the token up before the auth plugin is asked, for a plugin that is told the target.
    fn look_ahead(self: &Arc<Self>, tokens: &Tokens, token: String, mut visit: Visit) {
        let (keeper, stub, deadline, name) =
            (Arc::clone(self), visit.stub.clone(), visit.deadline, token.clone());
        let client = visit.question.asker.address;
        self.find(tokens, token, client, stub, deadline, move |answer| {
            visit.looked_up = Some(Some((name, answer)));
            keeper.admit(visit);
        });
    }

    /// Asks the auth plugin on a helper.
    fn admit(self: &Arc<Self>, visit: Visit) {
        let (keeper, stub) = (Arc::clone(self), visit.stub.clone());
        let job = move || {
            let decision = keeper.decide(&visit);
            keeper.deliver(visit, decision);
        };
        // If the lane is full, dropping the job answers the visit.
        let _ = self.asking.submit_while(move || stub.is_wanted(), job);
    }

    /// The auth plugin's decision. May block if the plugin may.
    fn decide(&self, visit: &Visit) -> Decision {
        let Some(auth) = &self.auth else { return Decision::Admitted(Admitted::default()) };
        let question = &visit.question;
        let target = match &visit.looked_up {
            None => self.target.as_ref().map(|(host, port)| (host.as_str(), *port)),
            Some(Some((_, Answer::Found(Target::Tcp { host, port }, _)))) => Some((host.as_str(), *port)),
            Some(_) => None,
        };
        let presented = Presented {
            headers: &question.headers,
            client: question.asker.address,
            target,
            authorization: question.values("authorization").collect(),
            origins: question.values("origin").collect(),
            cookies: question.values("cookie").collect(),
            common_name: question.asker.common_name.as_deref(),
        };
        auth.decide_until(&presented, visit.deadline)
    }

    /// Continues with the auth plugin's decision.
    fn go_on(self: &Arc<Self>, mut visit: Visit, decision: Decision) -> Result<(), Known> {
        self.counts.decided(&decision);
        let verdict = match decision {
            Decision::Admitted(Admitted { cookie, user }) => {
                visit.grant.user = user;
                visit.grant.set_cookie = cookie.map(|cookie| cookie.set(visit.question.asker.is_over_tls()));
                return self.look_up(visit);
            }
            Decision::Denied(denial) => refused(answer_to(denial)),
            Decision::Broken(why) => broken(format!("auth plugin failed: {why}")),
            Decision::Unproven(prove) => {
                let (keeper, stub) = (Arc::clone(self), visit.stub.clone());
                let job = move || {
                    helpers::give_way();
                    keeper.deliver(visit, prove());
                };
                let _ = self.hashing.submit_while(move || stub.is_wanted(), job);
                return Ok(());
            }
        };
        Err(Box::new((visit.to, verdict)))
    }

    /// Finds where an admitted client goes.
    fn look_up(self: &Arc<Self>, visit: Visit) -> Result<(), Known> {
        let Visit { question, stub, deadline, to, grant, looked_up } = visit;
        let tokens = match &self.tokens {
            Some(tokens) if question.wants == Wants::Session => tokens,
            _ => return Err(Box::new((to, Verdict::Granted(grant)))),
        };
        if let Some(Some((token, answer))) = looked_up {
            return Err(Box::new((to, self.verdict(&token, answer, grant))));
        }
        let Some(token) = tokens.token(&question) else {
            return Err(Box::new((to, refused(forbidden("there is no token in the request")))));
        };
        let (keeper, name) = (Arc::clone(self), token.clone());
        let found = move |answer| to.answer(keeper.verdict(&name, answer, grant));
        self.find(tokens, token, question.asker.address, stub, deadline, found);
        Ok(())
    }

    /// Has a token of this client looked up. The receiver of the answer is dropped if the lane is full.
    fn find(
        &self,
        tokens: &Tokens,
        token: String,
        client: Option<IpAddr>,
        stub: Stub,
        deadline: Instant,
        to: impl FnOnce(Answer) + Send + 'static,
    ) {
        let plugin = Arc::clone(&tokens.plugin);
        if let Some(answer) = plugin.known(&token) {
            self.counts.known();
            return to(answer);
        }
        let looking = Looking::begin(&self.counts, &stub);
        let to = move |answer: Answer| {
            looking.end(&answer);
            to(answer);
        };
        match &tokens.flights {
            Some(flights) => {
                let waiter = Waiter { stub, to: Box::new(to) };
                // One lookup may serve clients that came at different times; each has its own patience.
                let look_up = move |token: &str| plugin.look_up_until(token, None, Instant::now() + LOOK_UP);
                flights.ask(&token, waiter, &self.lane, look_up);
            }
            None => {
                let job = move || to(plugin.look_up_until(&token, client, deadline));
                let _ = self.lane.submit_while(move || stub.is_wanted(), job);
            }
        }
    }

    /// Answers a visit from a helper.
    fn deliver(self: &Arc<Self>, visit: Visit, decision: Decision) {
        if let Err(known) = self.go_on(visit, decision) {
            let (caller, verdict) = *known;
            caller.answer(verdict);
        }
    }

    /// What an answer about a token means for the client.
    fn verdict(&self, token: &str, answer: Answer, grant: Grant) -> Verdict {
        let Some(tokens) = &self.tokens else { return broken("there is no token plugin".into()) };
        let name = || naming::token(token, &self.log);
        match answer {
            Answer::Found(target, Terms { expires, header }) => {
                let to = TokenTarget { expires, header, ..tokens.place(token, target, &self.log) };
                Verdict::Granted(Grant { to: Some(to), ..grant })
            }
            Answer::Unknown => unknown(format!("token {} is not known to {}", name(), tokens.name)),
            Answer::Invalid(why) => unknown(format!("token {} is not valid: {why}", name())),
            Answer::Refused(why) => refused(forbidden(format!("token {} is refused: {why}", name()))),
            Answer::Broken(why) => broken(format!("lookup of token {} failed: {why}", name())),
        }
    }
}

/// Time for an answer, including the wait for a helper: a bit less than the connection's own deadline, so
/// that the log says what did not answer.
pub(super) const LOOK_UP: Duration = Duration::from_millis(9_700);

/// Questions that are decided at a time. One that hangs holds a thread.
pub(super) const THREADS_MAX: usize = 32;

/// Questions that wait for a thread. More are answered with 503.
const QUESTIONS_MAX: usize = 4096;

/// Passwords that are hashed at a time: guessing must not take all processors.
const HASHES_MAX: usize = 2;

/// Passwords that wait to be hashed. A page asks for sixty files.
const HASHES_WAITING_MAX: usize = 1024;
