//! The gate: who may, and where to. It is asked before anything is granted, with one owned question, and
//! answers once.
//!
//! The order is fixed: the page that sent the client (`--allow-origin`), the auth plugin, the token. What can be
//! said without waiting is said at once; the rest runs on helpers, and a client that leaves gives up its place
//! among those who wait.

mod flights;
mod naming;
mod reach;
mod verdict;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::auth::{self, Admitted, AuthPlugin, Decision, Presented};
use crate::flight::{Asked, ReplyTo};
use crate::helpers::{self, Lane, Stub};
use crate::http::origin::{self, Origin};
use crate::http::query;
use crate::http::request::Request;
use crate::log::Log;
use crate::target::Target;
use crate::token::{self, Answer, Asks, TokenPlugin};
use flights::{Flights, Waiter};
pub use reach::Reach;
use verdict::{Caller, answer_to, broken, forbidden, invalid_origin, refused, unknown};
pub use verdict::{Grant, Question, TokenTarget, Verdict, Wants, Why, busy, overdue};

/// What every request has to pass. Clones are the same gate.
#[derive(Clone, Default)]
pub struct Gate(Option<Arc<Keeper>>);

/// Whom and what there is to ask.
struct Keeper {
    origins: Vec<AllowedOrigin>,
    auth: Option<Box<dyn AuthPlugin>>,
    /// Whether the auth plugin is asked before pages, too.
    for_pages: bool,
    tokens: Option<Tokens>,
    log: Arc<Log>,
    /// Tokens are looked up here.
    lane: Lane,
    /// Auth plugins are asked here, so that tokens that hang hold up nobody's admission.
    asking: Lane,
    /// Host and port that all sessions go to, if it is the same for all.
    target: Option<(String, u16)>,
    /// Passwords are hashed here, so that those who guess hold up nobody's look-up.
    hashing: Lane,
}

struct Tokens {
    name: String,
    plugin: Arc<dyn TokenPlugin>,
    /// Those who ask for the same token get one answer; nothing for a plugin that asks others each time.
    flights: Option<Flights>,
    host_token: bool,
    /// Relative paths of sockets begin here.
    directory: PathBuf,
    is_remote: bool,
    reach: Arc<Reach>,
}

/// What a gate is made of.
pub struct Settings {
    /// `--allow-origin`; empty without it.
    pub origins: Vec<AllowedOrigin>,
    /// `--auth-plugin` and its argument.
    pub auth: Option<(&'static auth::Plugin, auth::Source)>,
    /// `--web-auth`.
    pub web_auth: bool,
    /// `--token-plugin` and its argument.
    pub tokens: Option<(&'static token::Plugin, token::Source)>,
    /// `--host-token`.
    pub host_token: bool,
    /// Host and port that all sessions go to, if it is the same for all.
    pub target: Option<(String, u16)>,
    /// Where targets of tokens may be.
    pub reach: Reach,
    /// Where operators are told.
    pub log: Arc<Log>,
}

/// A page that may open sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrigin {
    /// One that comes from the host that the session is asked of.
    Same,
    /// One of this origin.
    Of(Origin),
}

/// A request on its way through the gate.
struct Visit {
    question: Box<Question>,
    /// Whether its client is still there.
    stub: Stub,
    /// When the client's patience ends.
    deadline: Instant,
    to: Caller,
    set_cookie: Option<String>,
    /// What came of the look-up, where it was made before the auth plugin is asked.
    looked_up: Option<LookedUp>,
}

/// A token and its answer; nothing for a request without a token.
type LookedUp = Option<(String, Answer)>;

impl Gate {
    /// A gate that lets every request pass, and asks nothing.
    pub fn open() -> Gate {
        Gate(None)
    }

    /// A gate as the operator wants it.
    ///
    /// # Errors
    /// A plugin can't be had, in words for the operator. Then there is no gate, never an open one.
    pub fn new(settings: Settings) -> Result<Gate, String> {
        if settings.origins.is_empty() && settings.auth.is_none() && settings.tokens.is_none() {
            return Ok(Gate::open());
        }
        let auth = match &settings.auth {
            Some((class, source)) => Some((class.open)(source)?),
            None => None,
        };
        let tokens = match &settings.tokens {
            Some((class, source)) => {
                let is_shared = class.asks == Asks::Files || source.remote.cache.is_some();
                Some(Tokens {
                    name: source
                        .python
                        .as_ref()
                        .map_or_else(|| class.name.into(), |python| python.name.clone()),
                    plugin: token::open(class, source)?,
                    flights: is_shared.then(Flights::default),
                    host_token: settings.host_token,
                    directory: source.directory.clone(),
                    is_remote: class.asks == Asks::Service,
                    reach: Arc::new(settings.reach),
                })
            }
            None => None,
        };
        Ok(Gate(Some(Arc::new(Keeper {
            origins: settings.origins,
            auth,
            for_pages: settings.web_auth,
            tokens,
            log: settings.log,
            lane: Lane::new("gate", THREADS_MAX, QUESTIONS_MAX),
            asking: Lane::new("auth", THREADS_MAX, QUESTIONS_MAX),
            target: settings.target,
            hashing: Lane::new("passwords", HASHES_MAX, HASHES_WAITING_MAX),
        }))))
    }

    /// A gate that asks this plugin for a target and nothing else; for tests and fuzz targets.
    #[cfg(any(test, feature = "testing"))]
    pub fn of_tokens(plugin: Arc<dyn TokenPlugin>) -> Gate {
        Gate(Some(Arc::new(Keeper {
            origins: Vec::new(),
            auth: None,
            for_pages: false,
            tokens: Some(Tokens {
                name: "plugin".into(),
                plugin,
                flights: None,
                host_token: false,
                directory: "/".into(),
                is_remote: false,
                reach: Arc::default(),
            }),
            log: Arc::new(Log::in_memory(false)),
            lane: Lane::new("gate", THREADS_MAX, QUESTIONS_MAX),
            asking: Lane::new("auth", THREADS_MAX, QUESTIONS_MAX),
            target: None,
            hashing: Lane::new("passwords", HASHES_MAX, HASHES_WAITING_MAX),
        })))
    }

    /// Files and directories that hold secrets and must not be published, with the options that name them.
    pub fn files(&self) -> Vec<(&'static str, PathBuf)> {
        let Some(keeper) = &self.0 else { return Vec::new() };
        let of_auth = keeper.auth.iter().flat_map(|auth| auth.files()).map(|path| ("--auth-source", path));
        let of_tokens = keeper.tokens.iter().flat_map(|tokens| tokens.plugin.files());
        of_auth.chain(of_tokens.map(|path| ("--token-source", path))).collect()
    }

    /// The question to ask about a request; `None` where nothing has to be asked.
    pub fn question(
        &self,
        wants: Wants,
        request: &Request<'_>,
        client: Option<IpAddr>,
        tls: bool,
        common_name: impl FnOnce() -> Option<String>,
    ) -> Option<Box<Question>> {
        let keeper = self.0.as_ref()?;
        if wants == Wants::Page && !keeper.for_pages {
            return None;
        }
        Some(Box::new(Question {
            wants,
            method: request.method.to_owned(),
            target: request.target.to_owned(),
            headers: request.fields().map(|(name, value)| (name.to_owned(), value.to_vec())).collect(),
            client,
            tls,
            common_name: common_name(),
        }))
    }

    /// Asks. Without a question the answer is there at once. When the client of `stub` leaves, its place is free.
    pub fn ask(
        &self,
        question: Option<Box<Question>>,
        stub: impl FnOnce() -> Stub,
        to: impl FnOnce() -> ReplyTo<Verdict>,
    ) -> Asked<Verdict> {
        let (Some(keeper), Some(question)) = (&self.0, question) else {
            return Asked::Now(Verdict::Granted(Grant::default()));
        };
        if question.wants == Wants::Session && !keeper.allows_origin(&question) {
            return Asked::Now(refused(invalid_origin("the page's origin is not one of --allow-origin")));
        }
        let deadline = Instant::now() + LOOK_UP;
        let (to, set_cookie, looked_up) = (Caller::new(to()), None, None);
        let mut visit = Visit { question, stub: stub(), deadline, to, set_cookie, looked_up };
        let known = match &keeper.auth {
            Some(auth) if auth.wants_target() && visit.question.wants == Wants::Session => {
                match &keeper.tokens {
                    None => {
                        keeper.admit(visit);
                        Ok(())
                    }
                    Some(tokens) => {
                        match tokens.token(&visit.question) {
                            Some(token) => keeper.look_ahead(tokens, token, visit),
                            None => {
                                visit.looked_up = Some(None);
                                keeper.admit(visit);
                            }
                        }
                        Ok(())
                    }
                }
            }
            Some(auth) if auth.may_block() => {
                keeper.admit(visit);
                Ok(())
            }
            Some(_) => {
                let decision = keeper.decide(&visit);
                keeper.go_on(visit, decision)
            }
            None => keeper.look_up(visit),
        };
        match known {
            Ok(()) => Asked::Later,
            Err(known) => {
                let (caller, verdict) = *known;
                caller.forget();
                Asked::Now(verdict)
            }
        }
    }
}

/// What is known without a helper, and who wants to know it.
type Known = Box<(Caller, Verdict)>;

impl Keeper {
    /// Whether the page that has sent the client may open sessions. A client without an origin is no browser.
    fn allows_origin(&self, question: &Question) -> bool {
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
        let host = question.values("host").next().and_then(|host| std::str::from_utf8(host).ok());
        self.origins.iter().any(|allowed| match allowed {
            AllowedOrigin::Same => host.is_some_and(|host| origin::is_same_host(origin, host)),
            AllowedOrigin::Of(allowed) => *allowed == Origin::of(origin),
        })
    }

    /// Looks the token up before the auth plugin is asked, which wants to know where it leads.
    fn look_ahead(self: &Arc<Self>, tokens: &Tokens, token: String, mut visit: Visit) {
        let (keeper, stub, deadline, name) =
            (Arc::clone(self), visit.stub.clone(), visit.deadline, token.clone());
        self.find(tokens, token, stub, deadline, move |answer| {
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
        // If the lane is full, dropping the job answers.
        let _ = self.asking.submit_while(move || stub.is_wanted(), job);
    }

    /// What the auth plugin decides. May wait if the plugin may.
    fn decide(&self, visit: &Visit) -> Decision {
        let Some(auth) = &self.auth else { return Decision::Admitted(Admitted::default()) };
        let question = &visit.question;
        let target = match &visit.looked_up {
            None => self.target.as_ref().map(|(host, port)| (host.as_str(), *port)),
            Some(Some((_, Answer::Found(target) | Answer::FoundUntil(target, _)))) => match target {
                Target::Tcp { host, port } => Some((host.as_str(), *port)),
                Target::Unix(_) => None,
            },
            Some(_) => None,
        };
        let presented = Presented {
            headers: &question.headers,
            target,
            authorization: question.values("authorization").collect(),
            origins: question.values("origin").collect(),
            cookies: question.values("cookie").collect(),
            common_name: question.common_name.as_deref(),
        };
        auth.decide_until(&presented, visit.deadline)
    }

    /// Goes on with what the auth plugin has decided.
    fn go_on(self: &Arc<Self>, mut visit: Visit, decision: Decision) -> Result<(), Known> {
        let verdict = match decision {
            Decision::Admitted(Admitted { cookie }) => {
                visit.set_cookie = cookie.map(|cookie| cookie.set(visit.question.tls));
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
        let Visit { question, stub, deadline, to, set_cookie, looked_up } = visit;
        let tokens = match &self.tokens {
            Some(tokens) if question.wants == Wants::Session => tokens,
            _ => return Err(Box::new((to, Verdict::Granted(Grant { to: None, set_cookie })))),
        };
        if let Some(Some((token, answer))) = looked_up {
            return Err(Box::new((to, self.verdict(&token, answer, set_cookie))));
        }
        let Some(token) = tokens.token(&question) else {
            return Err(Box::new((to, refused(forbidden("there is no token in the request")))));
        };
        let (keeper, name) = (Arc::clone(self), token.clone());
        let found = move |answer| to.answer(keeper.verdict(&name, answer, set_cookie));
        self.find(tokens, token, stub, deadline, found);
        Ok(())
    }

    /// Has a token looked up. What takes the answer is dropped if nobody has time for the question.
    fn find(
        &self,
        tokens: &Tokens,
        token: String,
        stub: Stub,
        deadline: Instant,
        to: impl FnOnce(Answer) + Send + 'static,
    ) {
        let plugin = Arc::clone(&tokens.plugin);
        match &tokens.flights {
            Some(flights) => {
                let waiter = Waiter { stub, to: Box::new(to) };
                // One look-up may serve clients that came at different times; each has its own patience.
                let look_up = move |token: &str| plugin.look_up_until(token, Instant::now() + LOOK_UP);
                flights.ask(&token, waiter, &self.lane, look_up);
            }
            None => {
                let job = move || to(plugin.look_up_until(&token, deadline));
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
    fn verdict(&self, token: &str, answer: Answer, set_cookie: Option<String>) -> Verdict {
        let Some(tokens) = &self.tokens else { return broken("there is no token plugin".into()) };
        let name = || naming::token(token, &self.log);
        let granted = |target, expires| {
            let to = TokenTarget { expires, ..tokens.place(token, target, &self.log) };
            Verdict::Granted(Grant { to: Some(to), set_cookie })
        };
        match answer {
            Answer::Found(target) => granted(target, None),
            Answer::FoundUntil(target, expires) => granted(target, Some(expires)),
            Answer::Unknown => unknown(format!("token {} is not known to {}", name(), tokens.name)),
            Answer::Invalid(why) => unknown(format!("token {} is not good: {why}", name())),
            Answer::Refused(why) => refused(forbidden(format!("token {} is refused: {why}", name()))),
            Answer::Broken(why) => broken(format!("look-up of token {} failed: {why}", name())),
        }
    }
}

impl Tokens {
    /// The token in a request.
    fn token(&self, question: &Question) -> Option<String> {
        match self.host_token {
            true => question.values("host").next().and_then(query::host_token),
            false => query::token(&question.target),
        }
    }

    /// Where a token leads, and what is said of it.
    fn place(&self, token: &str, target: Target, log: &Log) -> TokenTarget {
        let name = naming::target(&target, token, self.host_token, log);
        let (target, forbidden) = match target {
            Target::Unix(path) => {
                let path = self.directory.join(path);
                let forbidden = self.reach.check_unix(&path, self.is_remote).err();
                (Target::Unix(path), forbidden.map(|why| why.to_string()))
            }
            Target::Tcp { .. } => (target, None),
        };
        TokenTarget { target, name, reach: Arc::clone(&self.reach), forbidden, expires: None }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Gate(kept)" } else { "Gate(open)" })
    }
}

/// Time for an answer, the wait for a helper included: a bit less than the client's connection waits for, so that
/// the log tells what did not answer.
const LOOK_UP: Duration = Duration::from_millis(9_700);

/// Questions that are decided at a time. One that hangs holds a thread.
const THREADS_MAX: usize = 32;

/// Descriptors that look-ups at a service can have open at a time: a connection for each, as many that are kept,
/// and those of name look-ups.
pub const DESCRIPTORS_MAX: usize = 2 * THREADS_MAX + 16;

/// Questions that wait for a thread. More are answered with 503.
const QUESTIONS_MAX: usize = 4096;

/// Passwords that are hashed at a time: those who guess must not get all processors.
const HASHES_MAX: usize = 2;

/// Passwords that wait to be hashed. A page asks for sixty files.
const HASHES_WAITING_MAX: usize = 1024;

#[cfg(test)]
mod tests;
