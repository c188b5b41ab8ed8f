//! The lines that are exchanged with a plugin: one JSON object each way for a question, and none without.
//! `docs/plugins.md` has them for those who write plugins.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use crate::http::refusal::Refusal;
use crate::http::response::Status;
use crate::printable::push_json_escape;
use crate::target::Target;

/// A question to a plugin.
#[derive(Clone, Copy, Debug)]
pub enum Question<'a> {
    /// The first one: whether the plugin is there.
    Hello(&'a Hello),
    /// Where a token leads.
    LookUp {
        /// The token.
        token: &'a str,
        /// The client's address, if the question is for one client.
        client: Option<IpAddr>,
    },
    /// Whether a client is admitted.
    Authenticate {
        /// Names and values of its header fields, in their order.
        headers: &'a [(String, String)],
        /// Host and port that it wants to go to, where they are known.
        target: Option<(&'a str, u16)>,
        /// Its address, if it has one.
        client: Option<IpAddr>,
    },
}

/// What a plugin is told at its start.
#[derive(Clone, Debug)]
pub struct Hello {
    /// `token` or `auth`.
    pub kind: &'static str,
    /// The class that a bridge is to load, with its module.
    pub class: Option<String>,
    /// The argument of the class.
    pub source: Option<String>,
    /// The working directory from then on.
    pub directory: Option<String>,
}

/// A valid answer: the members of its object.
pub type Answer = Map<String, Value>;

/// What is wrong with an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// The plugin says that it can't answer, and why.
    Said(String),
    /// It is not an answer.
    Rubbish(&'static str),
}

impl Question<'_> {
    /// The line that asks it, in ASCII, with its end.
    pub fn line(&self, id: u64) -> String {
        let mut question = match self {
            Question::Hello(hello) => json!({
                "method": "hello",
                "protocol": PROTOCOL,
                "kind": hello.kind,
                "class": hello.class,
                "source": hello.source,
                "directory": hello.directory,
            }),
            Question::LookUp { token, client } => {
                json!({ "method": "lookup", "token": token, "client": address(*client) })
            }
            Question::Authenticate { headers, target, client } => {
                json!({
                    "method": "authenticate",
                    "client": address(*client),
                    "headers": headers,
                    "target_host": target.map(|(host, _)| host),
                    "target_port": target.map(|(_, port)| port),
                })
            }
        };
        question["id"] = id.into();
        let mut line = String::new();
        for sign in question.to_string().chars() {
            // ASCII, so that programs without UTF-8 can read it, too.
            match sign.is_ascii() {
                true => line.push(sign),
                false => push_json_escape(&mut line, sign),
            }
        }
        line.push('\n');
        line
    }
}

fn address(client: Option<IpAddr>) -> Option<String> {
    client.map(|client| client.to_canonical().to_string())
}

/// Reads the answer to the question `id`.
///
/// # Errors
/// It is none, or it says that there is none.
pub fn answer(line: &[u8], id: u64) -> Result<Answer, Fault> {
    let Ok(Value::Object(answer)) = serde_json::from_slice(line) else {
        return Err(Fault::Rubbish("its answer is not a JSON object"));
    };
    // An extra line would be taken for the answer to the next question.
    if answer.get("id").and_then(Value::as_u64) != Some(id) {
        return Err(Fault::Rubbish("it answered a different question"));
    }
    match answer.get("error") {
        None | Some(Value::Null) => Ok(answer),
        Some(Value::String(text)) => Err(Fault::Said(text.clone())),
        Some(_) => Err(Fault::Rubbish("its error is not text")),
    }
}

/// The target in an answer; none for an unknown token.
///
/// # Errors
/// The existing file is neither.
pub fn target(answer: &Answer) -> Result<Option<Target>, &'static str> {
    let wrong = "its answer is not a target";
    let pair = match answer.get("target") {
        Some(Value::Null) => return Ok(None),
        Some(Value::Array(pair)) => &pair[..],
        _ => return Err(wrong),
    };
    match pair {
        [Value::String(kind), Value::String(path)] if kind == UNIX => {
            match path.is_empty() || path.contains('\0') {
                true => Err(wrong),
                false => Ok(Some(Target::Unix(path.into()))),
            }
        }
        [Value::String(host), Value::String(port)] => Target::tcp(host, port).map(Some).ok_or(wrong),
        [Value::String(host), Value::Number(port)] => {
            Target::tcp(host, &port.to_string()).map(Some).ok_or(wrong)
        }
        _ => Err(wrong),
    }
}

/// Whether an answer admits the client; if not, what the client is answered.
///
/// # Errors
/// It says neither, or what can't be answered.
pub fn admission(answer: &Answer) -> Result<Result<(), Refusal>, &'static str> {
    match answer.get("admitted") {
        Some(Value::Bool(true)) => return Ok(Ok(())),
        Some(Value::Bool(false)) => {}
        _ => return Err("it has not answered whether the client is admitted"),
    }
    let text = |name| match answer.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err("it refuses with a message that is no text"),
    };
    let code = match answer.get("code") {
        None | Some(Value::Null) => 403,
        Some(code) => code
            .as_u64()
            .and_then(|code| u16::try_from(code).ok())
            .filter(|code| (200..600).contains(code) && !BODILESS.contains(code))
            .ok_or("it refuses with a status that can't be answered")?,
    };
    let mut refusal = match text("msg")?.filter(|phrase| !phrase.is_empty()) {
        Some(phrase) => Refusal::new(code, phrase).phrased(),
        None => Refusal::new(code, Status(code).reason()),
    };
    for field in answer.get("headers").and_then(Value::as_array).into_iter().flatten() {
        let field = field.as_array().map(Vec::as_slice);
        let Some([Value::String(name), Value::String(value)]) = field else {
            return Err("it refuses with headers that are none");
        };
        if is_name(name) && !OURS.iter().any(|own| name.eq_ignore_ascii_case(own)) {
            refusal = refusal.with(name.clone(), value.clone());
        }
    }
    let note = text(FOR_THE_LOG)?.unwrap_or_else(|| "the plugin does not admit the client".into());
    Ok(Err(refusal.noted(note)))
}

/// A token of HTTP (RFC 9110, section 5.6.2).
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// The member of a refusal that is meant for the operator.
pub(super) const FOR_THE_LOG: &str = "log_msg";

/// The version of what is spoken here.
const PROTOCOL: u32 = 1;

/// Instead of a host: the next element is the path of a Unix socket.
const UNIX: &str = "unix_socket";

/// Statuses of answers that have no body (RFC 9110, section 6.4.1).
const BODILESS: [u16; 3] = [204, 205, 304];

/// Header fields that frame an answer, which only we may set.
const OURS: [&str; 6] =
    ["date", "content-type", "content-length", "transfer-encoding", "connection", "upgrade"];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Answer, Fault> {
        answer(line.as_bytes(), 7)
    }

    fn found(target: &str) -> Result<Option<Target>, &'static str> {
        super::target(&read(&format!("{{\"id\":7,\"target\":{target}}}")).expect("an answer"))
    }

    fn refused(members: &str) -> Result<Result<(), Refusal>, &'static str> {
        admission(&read(&format!("{{\"id\":7,\"admitted\":false{members}}}")).expect("an answer"))
    }

    #[test]
    fn questions_are_lines_of_ascii() {
        assert_eq!(
            Question::LookUp { token: "a\n\"\u{e9}\u{1f600}", client: None }.line(7),
            "{\"client\":null,\"id\":7,\"method\":\"lookup\",\"token\":\"a\\n\\\"\\u00e9\\ud83d\\ude00\"}\n"
        );
        let client = Some("::ffff:203.0.113.7".parse().expect("an address"));
        let headers = [("Host".into(), "a".into()), ("X".into(), "\"\u{e9}\u{80}".into())];
        assert_eq!(
            Question::Authenticate { headers: &headers, target: Some(("vm", 5900)), client }.line(8),
            "{\"client\":\"203.0.113.7\",\"headers\":[[\"Host\",\"a\"],[\"X\",\"\\\"\\u00e9\\u0080\"]],\"id\":8,\"method\":\"authenticate\",\
             \"target_host\":\"vm\",\"target_port\":5900}\n"
        );
        let unknown = Question::Authenticate { headers: &[], target: None, client: None }.line(9);
        assert!(unknown.contains("\"target_host\":null,\"target_port\":null"), "{unknown}");
    }

    #[test]
    fn an_answer_belongs_to_its_question() {
        assert!(read("{\"id\":7}").is_ok());
        assert_eq!(read("{\"id\":7,\"error\":\"no\"}"), Err(Fault::Said("no".into())));
        for line in ["", "x", "7", "[]", "{", "{\"id\":7} {}", "\u{feff}{\"id\":7}", "{\"id\":7,\"error\":1}"]
        {
            assert!(matches!(read(line), Err(Fault::Rubbish(_))), "{line}");
        }
        for line in ["{}", "{\"id\":6}", "{\"id\":\"7\"}", "{\"id\":7.5}", "{\"id\":8,\"error\":\"no\"}"] {
            assert_eq!(read(line), Err(Fault::Rubbish("it answered a different question")), "{line}");
        }
        let deep = format!("{{\"id\":7,\"x\":{}{}}}", "[".repeat(1000), "]".repeat(1000));
        assert!(matches!(read(&deep), Err(Fault::Rubbish(_))));
    }

    #[test]
    fn a_target_is_a_host_and_a_port_or_a_socket() {
        let tcp = |host: &str, port| Ok(Some(Target::Tcp { host: host.into(), port }));
        assert_eq!(found("null"), Ok(None));
        assert_eq!(found("[\"vm\",5900]"), tcp("vm", 5900));
        assert_eq!(found("[\"vm\",\"5900\"]"), tcp("vm", 5900));
        assert_eq!(found("[\"::1\",5900]"), tcp("::1", 5900));
        assert_eq!(found("[\"unix_socket\",\"/run/x\"]"), Ok(Some(Target::Unix("/run/x".into()))));
        for wrong in [
            "false",
            "\"vm:5900\"",
            "[]",
            "[\"vm\"]",
            "[\"vm\",5900,1]",
            "[\"vm\",0]",
            "[\"vm\",65536]",
            "[\"vm\",-1]",
            "[\"vm\",59.5]",
            "[\"vm\",null]",
            "[\"\",5900]",
            "[null,5900]",
            "[\"vm\",\"x\"]",
            "[\"unix_socket\",\"\"]",
            "[\"unix_socket\",\"a\\u0000b\"]",
            "{\"host\":\"vm\",\"port\":5900}",
            "[5900,\"vm\"]",
        ] {
            assert!(found(wrong).is_err(), "{wrong}");
        }
        assert!(super::target(&read("{\"id\":7}").expect("an answer")).is_err());
    }

    #[test]
    fn a_refusal_is_answered_as_the_plugin_words_it_and_never_breaks_the_answer() {
        let plain = refused("").expect("a refusal").expect_err("not admitted");
        assert_eq!((plain.status.0, plain.status.reason(), plain.is_phrase), (403, "Forbidden", false));
        let all = ",\"code\":401,\"msg\":\"Who?\",\"log_msg\":\"no\",\"headers\":[[\"WWW-Authenticate\",\"Basic\"],\
                   [\"Content-Length\",\"9\"],[\"connection\",\"keep-alive\"],[\"a b\",\"c\"],[\"\",\"c\"],\
                   [\"X-A\",\"1\\r\\nX-B: 2\"]]";
        let refusal = refused(all).expect("a refusal").expect_err("not admitted");
        assert_eq!(refusal.log_words(), "no");
        let answer = String::from_utf8(refusal.response("today", false)).expect("text");
        assert_eq!(
            answer,
            "HTTP/1.1 401 Who?\r\nServer: websockify\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 5\r\n\
             Connection: close\r\nDate: today\r\nWWW-Authenticate: Basic\r\nX-A: 1X-B: 2\r\n\r\nWho?\n"
        );
        for wrong in [
            ",\"code\":101",
            ",\"code\":0",
            ",\"code\":600",
            ",\"code\":304",
            ",\"code\":-1",
            ",\"code\":\"403\"",
            ",\"code\":403.5",
            ",\"msg\":1",
            ",\"log_msg\":[]",
            ",\"headers\":[1]",
            ",\"headers\":[[\"a\"]]",
        ] {
            assert!(refused(wrong).is_err(), "{wrong}");
        }
        assert!(admission(&read("{\"id\":7,\"admitted\":1}").expect("an answer")).is_err());
        assert!(admission(&read("{\"id\":7}").expect("an answer")).is_err());
    }
}
