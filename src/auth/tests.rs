use super::*;
use crate::source::scratch::Scratch;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

fn open(name: &str, argument: Option<Argument>, cookie: bool) -> (Box<dyn AuthPlugin>, Arc<Log>) {
    let log = Arc::new(Log::in_memory(false));
    let cookie = cookie.then_some(Some(6080));
    let log_of = Arc::clone(&log);
    let source = Source { argument, cookie, log: log_of, python: None, directory: "/".into(), web: None };
    (((plugin(name).expect(name)).open)(&source).expect(name), log)
}

fn text(text: &str) -> Option<Argument> {
    Some(Argument::Text(Secret::new(text)))
}

fn file(scratch: &Scratch, content: &str) -> Option<Argument> {
    Some(Argument::File(scratch.file("f", content)))
}

fn basic(credentials: &str) -> Vec<u8> {
    format!("Basic {}", STANDARD.encode(credentials)).into_bytes()
}

/// The decision in a word, after whatever hashing it takes.
fn word(decision: Decision) -> &'static str {
    match decision {
        Decision::Admitted(_) => "admitted",
        Decision::Denied(Denial::Unauthenticated(_)) => "401",
        Decision::Denied(Denial::Forbidden(_)) => "403",
        Decision::Denied(Denial::InvalidOrigin) => "origin",
        Decision::Denied(Denial::InItsWords(_)) => "its words",
        Decision::Unproven(prove) => word(prove()),
        Decision::Broken(_) => "broken",
    }
}

fn with_password(plugin: &dyn AuthPlugin, credentials: &str) -> Decision {
    let value = basic(credentials);
    plugin.decide(&Presented { authorization: vec![&value], ..Presented::default() })
}

#[test]
fn every_class_is_found_by_its_short_and_its_dotted_name() {
    for row in PLUGINS {
        assert_eq!(plugin(row.name).expect(row.name).name, row.name);
        let dotted = format!("websockify.auth_plugins.{}", row.name);
        assert_eq!(plugin(&dotted).expect(row.name).name, row.name);
    }
    for name in ["BasicHttpAuth", "mine.Auth", "websockify.token_plugins.TokenFile", ".", ""] {
        assert!(plugin(name).is_none(), "{name}");
    }
}

#[test]
fn a_user_of_the_command_line_is_admitted_with_the_right_password_only() {
    let (plugin, _) = open("BasicHTTPAuth", text("user:pa:ss"), false);
    assert!(!plugin.may_block());
    assert_eq!(word(with_password(&*plugin, "user:pa:ss")), "admitted");
    for wrong in ["user:pa", "user:", "other:pa:ss", ":", "user:pa:ss ", "User:pa:ss"] {
        assert_eq!(word(with_password(&*plugin, wrong)), "401", "{wrong}");
    }
    assert_eq!(word(plugin.decide(&Presented::default())), "401");
    for malformed in [&b"Bearer x"[..], b"Basic !", b"", b"Basic dXA="] {
        let presented = Presented { authorization: vec![malformed], ..Presented::default() };
        assert_eq!(word(plugin.decide(&presented)), "403", "{malformed:?}");
    }
    let value = basic("user:pa:ss");
    let twice = Presented { authorization: vec![&value, &value], ..Presented::default() };
    assert_eq!(word(plugin.decide(&twice)), "403");
}

#[test]
fn without_an_argument_nobody_is_admitted() {
    let (plugin, log) = open("BasicHTTPAuth", None, false);
    assert_eq!(word(with_password(&*plugin, ":")), "401");
    assert!(log.take_lines().contains("admits nobody"));
    let (plugin, _) = open("BasicHTTPAuth", text("nocolon"), false);
    assert_eq!(word(with_password(&*plugin, "nocolon:")), "401");
    let (plugin, _) = open("ExpectOrigin", None, false);
    assert_eq!(word(plugin.decide(&Presented { origins: vec![b""], ..Presented::default() })), "origin");
    let (plugin, _) = open("ClientCertCNAuth", None, false);
    assert_eq!(word(plugin.decide(&Presented { common_name: Some(""), ..Presented::default() })), "403");
}

#[test]
fn a_file_of_passwords_counts_as_it_is_now() {
    let scratch = Scratch::new();
    let (plugin, log) = open("BasicHTTPAuth", file(&scratch, "a:one\nb:two\nbad\n"), false);
    assert!(plugin.may_block());
    assert_eq!(
        log.take_lines(),
        format!("{}: line 3 admits nobody: it is not user:password\n", scratch.path("f").display())
    );
    assert_eq!(word(with_password(&*plugin, "a:one")), "admitted");
    assert_eq!(word(with_password(&*plugin, "b:two")), "admitted");
    assert_eq!(word(with_password(&*plugin, "b:one")), "401");
    scratch.file("f", "a:new\n");
    assert_eq!(word(with_password(&*plugin, "a:one")), "401");
    assert_eq!(word(with_password(&*plugin, "a:new")), "admitted");
    std::fs::remove_file(scratch.path("f")).unwrap();
    assert_eq!(word(with_password(&*plugin, "a:new")), "broken");
    assert_eq!(plugin.files(), [scratch.path("f")]);
}

const HASH: &str = "$2y$04$XlLS60TJaSPbKbq6/k9r8OSiE.VLOzirGWAaxpqyn5NxhfEZ7xPjS";

#[test]
fn a_hashed_password_is_proven_once_a_minute() {
    let scratch = Scratch::new();
    let (plugin, _) = open("BasicHTTPAuth", file(&scratch, &format!("me:{HASH}\n")), false);
    let Decision::Unproven(prove) = with_password(&*plugin, "me:hunter2") else { panic!("not hashed") };
    let Decision::Unproven(other) = with_password(&*plugin, "me:hunter2") else { panic!("not hashed") };
    assert_eq!(word(prove()), "admitted");
    assert_eq!(word(other()), "admitted");
    assert!(matches!(with_password(&*plugin, "me:hunter2"), Decision::Admitted(_)));
    for wrong in ["me:hunter3", "you:hunter2", "me:"] {
        let Decision::Unproven(prove) = with_password(&*plugin, wrong) else {
            panic!("{wrong}: answered faster")
        };
        assert_eq!(word(prove()), "401", "{wrong}");
    }
    // Another hash of the same password has to be verified again.
    scratch.file("f", format!("me:{}\n", HASH.replace("2y", "2b")));
    assert!(matches!(with_password(&*plugin, "me:hunter2"), Decision::Unproven(_)));
}

#[test]
fn a_cookie_admits_until_the_password_changes() {
    let scratch = Scratch::new();
    let (plugin, _) = open("BasicHTTPAuth", file(&scratch, "me:one\n"), true);
    let Decision::Admitted(Admitted { cookie: Some(cookie), .. }) = with_password(&*plugin, "me:one") else {
        panic!("no cookie")
    };
    let header = cookie.set(false).split(';').next().unwrap().as_bytes().to_vec();
    let presented = Presented { cookies: vec![&header], ..Presented::default() };
    assert!(matches!(plugin.decide(&presented), Decision::Admitted(Admitted { cookie: None, .. })));
    scratch.file("f", "me:two\n");
    assert_eq!(word(plugin.decide(&presented)), "401");
    let (without, _) = open("BasicHTTPAuth", text("me:one"), false);
    assert_eq!(word(without.decide(&presented)), "401");
    assert!(matches!(with_password(&*without, "me:one"), Decision::Admitted(Admitted { cookie: None, .. })));
}

#[test]
fn only_pages_of_the_expected_origins_are_admitted() {
    let scratch = Scratch::new();
    let list = "http://localhost:3100 \n https://Example.org:443\tnull";
    for argument in [text(list), file(&scratch, list)] {
        let (plugin, _) = open("ExpectOrigin", argument, false);
        let decide = |origins: &[&'static str]| {
            let origins = origins.iter().map(|origin| origin.as_bytes()).collect();
            word(plugin.decide(&Presented { origins, ..Presented::default() }))
        };
        for origin in ["http://localhost:3100", "https://example.org", "null"] {
            assert_eq!(decide(&[origin]), "admitted", "{origin}");
        }
        for origin in ["http://localhost", "https://evil.example", "", "NULL", "http://localhost:3100 null"] {
            assert_eq!(decide(&[origin]), "origin", "{origin}");
        }
        assert_eq!(decide(&[]), "origin");
        assert_eq!(decide(&["null", "null"]), "origin");
    }
}

#[test]
fn only_certificates_of_the_known_names_are_admitted() {
    let (plugin, _) = open("ClientCertCNAuth", text("alice bob"), false);
    let decide = |common_name| word(plugin.decide(&Presented { common_name, ..Presented::default() }));
    assert_eq!((decide(Some("alice")), decide(Some("bob"))), ("admitted", "admitted"));
    for name in [None, Some("Alice"), Some(""), Some("alice bob"), Some("eve")] {
        assert_eq!(decide(name), "403", "{name:?}");
    }
}
