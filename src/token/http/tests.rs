use super::*;
use crate::proxy::Version;
use crate::token::Terms;

fn tcp(host: &str, port: u16) -> Option<Target> {
    Some(Target::Tcp { host: host.into(), port })
}

#[test]
fn a_body_of_text_is_a_target() {
    for (body, expected) in [
        ("h:5900", tcp("h", 5900)),
        ("\r\n h:5900 \n", tcp("h", 5900)),
        ("[::1]:5900", tcp("::1", 5900)),
        ("unix_socket:/run/x\n", Some(Target::Unix("/run/x".into()))),
        ("::1:5900", None),
        ("h", None),
        (":5900", None),
        ("h:65536", None),
        ("h:0", None),
        ("", None),
        ("{\"host\": \"h\", \"port\": 1}", None),
    ] {
        assert_eq!(text_target(body.as_bytes()), expected, "{body:?}");
    }
    assert_eq!(text_target(b"\xff:1"), None);
}

#[test]
fn a_body_of_json_is_a_target() {
    for (body, expected) in [
        (r#"{"host": "h", "port": 5900}"#, tcp("h", 5900)),
        (r#" {"port": "5900", "host": "h", "more": [1]} "#, tcp("h", 5900)),
        (r#"{"host": "::1", "port": 5900}"#, tcp("::1", 5900)),
        (r#"{"host": "[::1]", "port": 5900}"#, tcp("::1", 5900)),
        (r#"{"host": "unix_socket", "port": "/run/x"}"#, Some(Target::Unix("/run/x".into()))),
        (r#"{"host": "", "port": 5900}"#, None),
        (r#"{"host": null, "port": 5900}"#, None),
        (r#"{"host": "h", "port": 70000}"#, None),
        (r#"{"host": "h", "port": -1}"#, None),
        (r#"{"host": "h", "port": 5900.5}"#, None),
        (r#"{"host": "h", "port": null}"#, None),
        (r#"{"host": "h:5900"}"#, None),
        (r#"["h", 5900]"#, None),
        (r#""h:5900""#, None),
        ("h:5900", None),
        ("", None),
    ] {
        assert_eq!(json_answer(body.as_bytes()), expected.map(Answer::to), "{body}");
    }
    assert_eq!(json_answer("[".repeat(60_000).as_bytes()), None, "no recursion without end");
}

#[test]
fn a_body_of_json_may_say_that_the_target_is_told_of_its_client() {
    let found = tcp("h", 5900).expect("a target");
    let telling =
        |version| Some(Answer::Found(found.clone(), Terms { expires: None, header: Some(version) }));
    for (member, expected) in [
        (r#""v1""#, telling(Version::V1)),
        (r#""v2""#, telling(Version::V2)),
        ("null", Some(Answer::to(found.clone()))),
        (r#""v3""#, None),
        (r#""V2""#, None),
        (r#""""#, None),
        ("2", None),
        ("true", None),
        (r#"["v2"]"#, None),
    ] {
        let body = format!(r#"{{"host": "h", "port": 5900, "proxy_protocol": {member}}}"#);
        assert_eq!(json_answer(body.as_bytes()), expected, "{body}");
    }
}

#[test]
fn a_source_that_is_no_template_is_an_error_that_does_not_tell_it() {
    let source = |text: Option<&str>| Source {
        text: text.map(Into::into),
        directory: "/".into(),
        web: None,
        log: Arc::new(Log::in_memory(false)),
        remote: super::super::Remote::default(),
        python: None,
    };
    for text in ["http://u:hunter2@h/", "http://u:hunter2@h/%d", "hunter2", "ftp://u:hunter2@h/%s"] {
        let why = open_text(&source(Some(text))).err().expect(text);
        assert!(why.starts_with("BaseTokenAPI: --token-source: ") && !why.contains("hunter2"), "{why}");
    }
    for text in [None, Some("")] {
        assert_eq!(open_json(&source(text)).err().as_deref(), Some("JSONTokenApi needs --token-source"));
    }
    assert!(open_json(&source(Some("http://127.0.0.1:8086/api/getVncAddress?token=%s"))).is_ok());
}
