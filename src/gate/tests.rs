use super::flights::Flights;
use super::keeper::LOOK_UP;
use super::*;
use crate::auth::Argument;
use crate::helpers::{Lane, Ticket};
use crate::http::origin::Origin;
use crate::secret::{Secret, fingerprint};
use crate::source::scratch::Scratch;
use crate::target::Target;
use crate::token::Answer;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// A gate under construction.
struct Build {
    settings: Settings,
}

impl Build {
    fn new() -> Build {
        let log = Arc::new(Log::in_memory(false));
        Build {
            settings: Settings {
                origins: Vec::new(),
                auth: None,
                web_auth: false,
                tokens: None,
                host_token: false,
                target: None,
                reach: Reach::default(),
                log,
            },
        }
    }

    fn auth(mut self, name: &str, argument: Argument) -> Build {
        let source = auth::Source {
            argument: Some(argument),
            cookie: None,
            log: Arc::clone(&self.settings.log),
            python: None,
            directory: "/start".into(),
            web: None,
        };
        self.settings.auth = Some((auth::plugin(name).expect(name), source));
        self
    }

    fn tokens(mut self, name: &str, path: &Path) -> Build {
        let source = token::Source {
            text: Some(path.into()),
            directory: "/start".into(),
            web: None,
            log: Arc::clone(&self.settings.log),
            remote: token::Remote::default(),
            python: None,
        };
        self.settings.tokens = Some((token::plugin(name).expect(name), source));
        self
    }

    fn gate(self) -> Gate {
        Gate::new(self.settings).expect("a gate")
    }
}

fn text(text: &str) -> Argument {
    Argument::Text(Secret::new(text))
}

fn question(wants: Wants, target: &str, headers: &[(&str, &str)]) -> Question {
    Question {
        wants,
        method: "GET".into(),
        target: target.into(),
        headers: headers.iter().map(|(name, value)| ((*name).into(), value.as_bytes().into())).collect(),
        asker: Asker::default(),
    }
}

/// Asks, and waits for the verdict.
fn ask(gate: &Gate, question: Question) -> Verdict {
    let (ticket, (done, answers)) = (Ticket::default(), channel());
    let to: ReplyTo<Verdict> = Box::new(move |verdict| done.send(verdict).expect("the test listens"));
    match gate.ask(Some(Box::new(question)), || ticket.stub(), || to) {
        Asked::Now(verdict) => verdict,
        Asked::Later => answers.recv_timeout(PATIENCE).expect("a verdict"),
        Asked::Busy => busy(),
    }
}

/// Status of a refusal, or where a granted session goes.
fn outcome(verdict: Verdict) -> String {
    match verdict {
        Verdict::Granted(Grant { to: Some(to), .. }) => to.target.to_string(),
        Verdict::Granted(_) => "granted".into(),
        Verdict::Refused(_, refusal) => refusal.status.0.to_string(),
    }
}

fn session(gate: &Gate, target: &str, headers: &[(&str, &str)]) -> String {
    outcome(ask(gate, question(Wants::Session, target, headers)))
}

#[test]
fn an_open_gate_asks_nothing() {
    let gate = Build::new().gate();
    let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let request = Request::parse(head).expect("a request");
    assert!(gate.question(Wants::Session, &request, || panic!("asked")).is_none());
    let asked = gate.ask(None, || panic!("asked"), || panic!("asked"));
    assert!(matches!(asked, Asked::Now(Verdict::Granted(Grant { to: None, set_cookie: None, user: None }))));
}

#[test]
fn a_question_holds_the_whole_request() {
    let gate = Build::new().auth("ExpectOrigin", text("null")).gate();
    let head = b"GET /a?b=c HTTP/1.1\r\nHost: a\r\nCookie: d\r\ncookie: e\r\n\r\n";
    let request = Request::parse(head).expect("a request");
    assert!(gate.question(Wants::Page, &request, Asker::default).is_none(), "no --web-auth");
    let asker = || Asker { tls: true, common_name: Some("me".into()), ..Asker::default() };
    let asked = gate.question(Wants::Session, &request, asker).expect("a question");
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("GET", "/a?b=c"));
    assert!(asked.values("cookie").eq([b"d", b"e"]));
    assert_eq!((asked.asker.tls, asked.asker.common_name.as_deref()), (true, Some("me")));
    assert_eq!(format!("{asked:?}"), "Question { wants: Session, .. }");
}

#[test]
fn the_answers_of_a_token_plugin_have_a_status_each() {
    let scratch = Scratch::new();
    let path = scratch.file("tokens", "a: host:5900\nb: unix_socket:run/x\n");
    let gate = Build::new().tokens("TokenFile", &path).gate();
    assert_eq!(session(&gate, "/websockify?token=a", &[]), "host:5900");
    assert_eq!(session(&gate, "/?token=b", &[]), "/start/run/x");
    assert_eq!(session(&gate, "/?token=c", &[]), "404");
    assert_eq!(session(&gate, "/?token=%0A&token=a", &[]), "404");
    assert_eq!(session(&gate, "/", &[]), "403");
    assert_eq!(session(&gate, "/?token=", &[("Host", "a")]), "403");
    std::fs::remove_file(&path).unwrap();
    let Verdict::Refused(Why::Broken, refusal) = ask(&gate, question(Wants::Session, "/?token=a", &[]))
    else {
        panic!("not broken")
    };
    let answer = String::from_utf8(refusal.response("now", false)).expect("text");
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nRetry-After: 5\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nService Unavailable\n"), "{answer}");
    assert!(refusal.log_words().ends_with("tokens: not found"), "{}", refusal.log_words());
}

#[test]
fn the_name_in_host_is_a_token_if_the_operator_wants_that() {
    let scratch = Scratch::new();
    let path = scratch.file("tokens", "vm1.example.org: host:5900\n");
    let mut build = Build::new().tokens("TokenFile", &path);
    build.settings.host_token = true;
    let gate = build.gate();
    assert_eq!(session(&gate, "/?token=x", &[("host", "vm1.example.org:6080")]), "host:5900");
    assert_eq!(session(&gate, "/", &[("Host", "VM1.example.org")]), "404");
    assert_eq!(session(&gate, "/", &[]), "403");
}

#[test]
fn no_word_of_a_verdict_tells_the_token() {
    let scratch = Scratch::new();
    let path = scratch.file("tokens", "a-very-secret-token: unix_socket:/run/a-very-secret-token.sock\n");
    let gate = Build::new().tokens("TokenFile", &path).gate();
    let mark = fingerprint(b"a-very-secret-token");
    let Verdict::Granted(Grant { to: Some(to), .. }) =
        ask(&gate, question(Wants::Session, "/?token=a-very-secret-token", &[]))
    else {
        panic!("not found")
    };
    assert_eq!(to.name, format!("/run/{mark}.sock"));
    std::fs::write(&path, "").unwrap();
    let Verdict::Refused(Why::Unknown, refusal) =
        ask(&gate, question(Wants::Session, "/?token=a-very-secret-token", &[]))
    else {
        panic!("found")
    };
    assert_eq!(refusal.log_words(), format!("token {mark} is not known to TokenFile"));
}

#[test]
fn who_is_not_admitted_learns_nothing_of_tokens() {
    let scratch = Scratch::new();
    let path = scratch.file("tokens", "a: host:5900\n");
    let gate = Build::new().auth("BasicHTTPAuth", text("u:p")).tokens("TokenFile", &path).gate();
    let right = [("Authorization", "Basic dTpw")];
    assert_eq!(session(&gate, "/?token=a", &right), "host:5900");
    assert_eq!(session(&gate, "/?token=b", &right), "404");
    for headers in [&[][..], &[("Authorization", "Basic dTpx")]] {
        assert_eq!(session(&gate, "/?token=a", headers), "401");
        assert_eq!(session(&gate, "/?token=b", headers), "401");
        assert_eq!(session(&gate, "/", headers), "401");
    }
    let Verdict::Refused(Why::Denied, refusal) = ask(&gate, question(Wants::Session, "/?token=a", &[]))
    else {
        panic!("granted")
    };
    let answer = String::from_utf8(refusal.response("now", false)).expect("text");
    assert!(answer.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{answer}");
    assert!(answer.contains("\r\nWWW-Authenticate: Basic realm=\"Websockify\"\r\n"), "{answer}");
}

#[test]
fn pages_are_asked_about_the_client_and_not_about_tokens() {
    let scratch = Scratch::new();
    let path = scratch.file("tokens", "a: host:5900\n");
    let mut build = Build::new().auth("BasicHTTPAuth", text("u:p")).tokens("TokenFile", &path);
    build.settings.web_auth = true;
    let gate = build.gate();
    let page = |headers: &[(&str, &str)]| outcome(ask(&gate, question(Wants::Page, "/vnc.html", headers)));
    assert_eq!(page(&[("Authorization", "Basic dTpw")]), "granted");
    assert_eq!(page(&[]), "401");
}

#[test]
fn a_wrong_page_is_told_so_in_the_status_line() {
    for gate in [Build::new().auth("ExpectOrigin", text("http://a")).gate(), {
        let mut build = Build::new();
        build.settings.origins = vec![AllowedOrigin::Of(Origin::of("http://a"))];
        build.gate()
    }] {
        assert_eq!(session(&gate, "/", &[("Origin", "http://a")]), "granted");
        let Verdict::Refused(Why::Denied, refusal) =
            ask(&gate, question(Wants::Session, "/", &[("Origin", "http://evil.example")]))
        else {
            panic!("granted")
        };
        assert!(refusal.response("now", false).starts_with(b"HTTP/1.1 403 Invalid Origin\r\n"));
    }
}

#[test]
fn allowed_origins_are_asked_of_browsers_and_for_sessions_only() {
    let mut build = Build::new();
    build.settings.origins =
        vec![AllowedOrigin::Same, AllowedOrigin::Of(Origin::of("https://console.example"))];
    build.settings.web_auth = true;
    let gate = build.gate();
    let host = ("Host", "gw.example:6080");
    for origin in ["http://gw.example:6080", "https://GW.example:6080", "https://console.example:443"] {
        assert_eq!(session(&gate, "/", &[host, ("Origin", origin)]), "granted", "{origin}");
    }
    for origin in ["http://gw.example", "http://evil.example", "null", "http://console.example", "", "\u{e9}"]
    {
        assert_eq!(session(&gate, "/", &[host, ("Origin", origin)]), "403", "{origin}");
        assert_eq!(outcome(ask(&gate, question(Wants::Page, "/", &[host, ("Origin", origin)]))), "granted");
    }
    assert_eq!(session(&gate, "/", &[host]), "granted", "no browser");
    let twice = [host, ("Origin", "https://console.example"), ("Origin", "https://console.example")];
    assert_eq!(session(&gate, "/", &twice), "403");
}

#[test]
fn a_gate_whose_plugin_can_not_be_had_is_none() {
    let build = Build::new().tokens("TokenFileName", Path::new("/nowhere/at/all"));
    assert_eq!(Gate::new(build.settings).err().as_deref(), Some("TokenFileName plugin requires a directory"));
    let build = Build::new().tokens("TokenRedis", Path::new("host:1:2:3:4:hunter2"));
    let why = Gate::new(build.settings).expect_err("six fields are an error");
    assert!(why.starts_with("TokenRedis: ") && !why.contains("hunter2"), "{why}");
}

#[test]
fn a_target_that_no_rule_allows_is_granted_and_marked() {
    let scratch = Scratch::new();
    let path = scratch.file("tokens", "a: unix_socket:/run/other\nb: unix_socket:/run/vms/b\n");
    let mut build = Build::new().tokens("TokenFile", &path);
    let allow = crate::rules::Rule::parse("unix:/run/vms/").expect("a rule");
    build.settings.reach =
        Reach::new(crate::rules::Rules::new(vec![allow], Vec::new()), Vec::new(), Vec::new());
    let gate = build.gate();
    for (token, is_forbidden) in [("a", true), ("b", false)] {
        let verdict = ask(&gate, question(Wants::Session, &format!("/?token={token}"), &[]));
        let Verdict::Granted(Grant { to: Some(to), .. }) = verdict else { panic!("{verdict:?}") };
        assert_eq!(to.forbidden.is_some(), is_forbidden, "{token}");
    }
}

/// A plugin that counts its lookups, and waits in each until it is asked to go on.
struct Slow {
    started: Mutex<Sender<String>>,
    release: Mutex<Receiver<()>>,
}

impl TokenPlugin for Slow {
    fn look_up(&self, token: &str) -> Answer {
        self.started.lock().unwrap().send(token.to_owned()).expect("the test listens");
        let _ = self.release.lock().unwrap().recv_timeout(PATIENCE);
        Answer::Unknown
    }

    fn known(&self, token: &str) -> Option<Answer> {
        (token == "known").then(|| Answer::to(Target::Unix("s".into())))
    }

    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }
}

/// A gate with that plugin; which lookups have begun; how to let one end.
fn slow(is_local: bool, lane: Lane) -> (Gate, Receiver<String>, Sender<()>) {
    let ((started, starts), (release, gate)) = (channel(), channel());
    let plugin = Arc::new(Slow { started: Mutex::new(started), release: Mutex::new(gate) });
    (Gate(Some(Arc::new(keeper(plugin, is_local, lane)))), starts, release)
}

/// One that looks tokens up on `lane`.
fn keeper(plugin: Arc<dyn TokenPlugin>, is_local: bool, lane: Lane) -> Keeper {
    let mut tokens = Tokens::of(plugin);
    tokens.flights = is_local.then(Flights::default);
    let mut keeper = Keeper::new(Arc::new(Log::in_memory(false)));
    (keeper.tokens, keeper.lane) = (Some(tokens), lane);
    keeper
}

fn send(gate: &Gate, token: &str, ticket: &Ticket, done: &Sender<Verdict>) {
    let done = done.clone();
    let to: ReplyTo<Verdict> = Box::new(move |verdict| drop(done.send(verdict)));
    let question = question(Wants::Session, &format!("/?token={token}"), &[]);
    let asked = gate.ask(Some(Box::new(question)), || ticket.stub(), || to);
    assert!(matches!(asked, Asked::Later));
}

#[test]
fn equal_questions_are_one_for_plugins_of_files_and_several_for_others() {
    for (is_local, look_ups) in [(true, 2), (false, 3)] {
        let (gate, starts, release) = slow(is_local, Lane::new("test", 4, 100));
        let (ticket, (done, answers)) = (Ticket::default(), channel());
        send(&gate, "a", &ticket, &done);
        starts.recv_timeout(PATIENCE).expect("a lookup");
        send(&gate, "a", &ticket, &done);
        send(&gate, "a", &ticket, &done);
        (0..look_ups).for_each(|_| release.send(()).unwrap());
        for _ in 0..3 {
            answers.recv_timeout(PATIENCE).expect("a verdict");
        }
        assert_eq!(starts.iter().take(look_ups - 1).count(), look_ups - 1);
        assert!(starts.try_recv().is_err(), "one lookup too many");
    }
}

#[test]
fn a_client_that_leaves_gives_up_its_place_and_one_too_many_is_told_so() {
    for is_local in [true, false] {
        let (gate, starts, release) = slow(is_local, Lane::new("test", 1, 2));
        let (stays, leaves, (done, answers)) = (Ticket::default(), Ticket::default(), channel());
        send(&gate, "a", &stays, &done);
        assert_eq!(starts.recv_timeout(PATIENCE).as_deref(), Ok("a"));
        send(&gate, "b", &leaves, &done);
        send(&gate, "c", &stays, &done);
        send(&gate, "d", &stays, &done);
        let verdict = answers.recv_timeout(PATIENCE).expect("there was no place");
        assert!(matches!(verdict, Verdict::Refused(Why::Broken, _)), "{verdict:?}");
        drop(leaves);
        send(&gate, "e", &stays, &done);
        (0..3).for_each(|_| release.send(()).unwrap());
        let seen: Vec<String> = (0..2).map(|_| starts.recv_timeout(PATIENCE).expect("a lookup")).collect();
        assert_eq!(seen, ["c", "e"], "nobody waits for b");
    }
}

#[test]
fn what_is_known_is_answered_while_every_helper_hangs() {
    let (gate, starts, release) = slow(false, Lane::new("test", 1, 2));
    let (ticket, (done, answers)) = (Ticket::default(), channel());
    send(&gate, "hangs", &ticket, &done);
    starts.recv_timeout(PATIENCE).expect("a lookup");
    send(&gate, "known", &ticket, &done);
    let verdict = answers.recv_timeout(PATIENCE).expect("a verdict");
    assert!(matches!(verdict, Verdict::Granted(_)), "{verdict:?}");
    release.send(()).unwrap();
    answers.recv_timeout(PATIENCE).expect("that of the other one");
}

#[test]
fn passwords_of_a_file_are_hashed_apart_from_look_ups() {
    let scratch = Scratch::new();
    let hash = "$2y$04$XlLS60TJaSPbKbq6/k9r8OSiE.VLOzirGWAaxpqyn5NxhfEZ7xPjS";
    let users = scratch.file("users", format!("me:{hash}\n"));
    let tokens = scratch.file("tokens", "a: host:5900\n");
    let argument = Argument::File(users.clone());
    let gate = Build::new().auth("BasicHTTPAuth", argument).tokens("TokenFile", &tokens).gate();
    // me:hunter2 and me:hunter3
    assert_eq!(session(&gate, "/?token=a", &[("Authorization", "Basic bWU6aHVudGVyMg==")]), "host:5900");
    assert_eq!(session(&gate, "/?token=a", &[("Authorization", "Basic bWU6aHVudGVyMw==")]), "401");
    assert_eq!(gate.files(), [("--auth-source", users.clone()), ("--token-source", tokens)]);
    std::fs::remove_file(users).unwrap();
    assert_eq!(session(&gate, "/?token=a", &[("Authorization", "Basic bWU6aHVudGVyMg==")]), "503");
}

/// Says when each lookup has to end, and waits before it ends.
struct Patient {
    deadlines: Mutex<Sender<Instant>>,
    release: Mutex<Receiver<()>>,
}

impl TokenPlugin for Patient {
    fn look_up(&self, _: &str) -> Answer {
        panic!("it is asked with a deadline")
    }

    fn look_up_until(&self, _: &str, _: Option<IpAddr>, deadline: Instant) -> Answer {
        self.deadlines.lock().unwrap().send(deadline).expect("the test listens");
        let _ = self.release.lock().unwrap().recv_timeout(PATIENCE);
        Answer::Unknown
    }
}

#[test]
fn the_wait_for_a_helper_is_part_of_the_deadline() {
    let ((deadlines, seen), (release, gate)) = (channel(), channel());
    let plugin = Patient { deadlines: Mutex::new(deadlines), release: Mutex::new(gate) };
    let keeper = keeper(Arc::new(plugin), false, Lane::new("test", 1, 10));
    let (gate, ticket, (done, answers)) = (Gate(Some(Arc::new(keeper))), Ticket::default(), channel());
    let before = Instant::now();
    send(&gate, "a", &ticket, &done);
    send(&gate, "b", &ticket, &done);
    let after = Instant::now();
    let first = seen.recv_timeout(PATIENCE).expect("a lookup");
    release.send(()).unwrap();
    release.send(()).unwrap();
    let second = seen.recv_timeout(PATIENCE).expect("another lookup");
    for deadline in [first, second] {
        assert!(before + LOOK_UP <= deadline && deadline <= after + LOOK_UP);
    }
    (0..2).for_each(|_| drop(answers.recv_timeout(PATIENCE).expect("a verdict")));
}
