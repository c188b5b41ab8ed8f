//! Both forms of a line: to the letter, bounded, and at the levels that are wanted.

use super::*;

#[test]
fn a_line_is_of_bounded_length() {
    let log = Log::in_memory(false);
    log.info(format_args!("{}", "\u{20ac}\n".repeat(10_000)));
    let line = log.take_lines();
    assert!(line.ends_with("...\n") && line.len() <= LINE_BYTES_MAX + 4, "{} bytes", line.len());
}

/// What is said of one client, in both forms.
fn said(what: What<'_>) -> (String, serde_json::Value) {
    let (who, party) = ("127.0.0.1", Party { via: "direct", ..Party::default() });
    let event = Event { level: Level::Info, who: Some(&who), party: Some(&party), what };
    let (text, json) = (Log::in_memory(true), Log::in_memory_as_json(true));
    text.say(&event);
    json.say(&event);
    let object = json.take_lines();
    (text.take_lines(), serde_json::from_str(object.trim_end()).unwrap_or_default())
}

fn session_end<'a>(words: &'a dyn fmt::Display) -> SessionEnd<'a> {
    SessionEnd {
        to: &"desk:5900",
        words,
        end: "client-closed",
        by: "client",
        error: None,
        duration: Duration::from_millis(12_100),
        connect: None,
        bytes_up: 1,
        bytes_down: u64::MAX,
        idle: None,
        stalled: None,
        rtt: None,
        close_code: 1006,
        close_sent: None,
    }
}

#[test]
fn each_event_has_the_lines_that_scripts_grep_and_an_object_with_its_words() {
    let start = |secure, path| SessionStart { secure, path, agent: None };
    let (plain, tls) = (start(false, Some("/websockify")), start(true, None));
    let (closed, target) = ("Client closed connection", "Target closed connection");
    let (closed, target) = (session_end(&closed), session_end(&target));
    let request = Request {
        line: "GET /x HTTP/1.1",
        status: 200,
        method: "GET",
        target: "/x?token=***",
        agent: Some("curl"),
        body: Some(3),
        reason: None,
    };
    let dated = "127.0.0.1 - - [DATE] ";
    let rows: [(What<'_>, &str, &[&str]); 15] = [
        (
            What::Note(Topic::Start, format_args!("WebSocket server settings:")),
            "start",
            &["WebSocket server settings:"],
        ),
        (
            What::Note(Topic::Start, format_args!("  - proxying from :6080 to desk:5900")),
            "start",
            &["  - proxying from :6080 to desk:5900"],
        ),
        (What::Note(Topic::Stop, format_args!("In exit")), "stop", &["In exit"]),
        (
            What::Undated(Topic::Connection, format_args!("new connection")),
            "connection",
            &["127.0.0.1: new connection"],
        ),
        (
            What::SessionStart(&plain),
            "session.start",
            &[
                "{dated}127.0.0.1: Plain non-SSL (ws://) WebSocket connection",
                "{dated}127.0.0.1: Path: '/websockify'",
            ],
        ),
        (
            What::SessionStart(&tls),
            "session.start",
            &["{dated}127.0.0.1: SSL/TLS (wss://) WebSocket connection"],
        ),
        (
            What::SessionConnecting("connecting to: desk:5900 (using SSL)"),
            "session.connecting",
            &["{dated}connecting to: desk:5900 (using SSL)"],
        ),
        (What::SessionConnected(Duration::from_millis(100)), "session.connected", &[]),
        (
            What::SessionFailed(&"desk:5900", &"[Errno 111] Connection refused"),
            "session.failed",
            &["{dated}Failed to connect to desk:5900: [Errno 111] Connection refused"],
        ),
        (What::SessionEnd(&closed), "session.end", &["{dated}desk:5900: Client closed connection"]),
        (What::SessionEnd(&target), "session.end", &["{dated}desk:5900: Target closed connection"]),
        (What::Request(&request), "http.request", &["{dated}\"GET /x HTTP/1.1\" 200 -"]),
        (
            What::Refused(405, "Method Not Allowed"),
            "refused",
            &["{dated}code 405, message Method Not Allowed"],
        ),
        (
            What::ConnectionEnd("refused", &"non-SSL connection received but disallowed"),
            "connection.end",
            &["127.0.0.1: non-SSL connection received but disallowed"],
        ),
        (
            What::Dated(Topic::Recording, format_args!("opening record file: F.7")),
            "recording",
            &["{dated}opening record file: F.7"],
        ),
    ];
    for (what, name, lines) in rows {
        let (text, object) = said(what);
        let text: Vec<String> = text.lines().map(without_date).collect();
        let expected: Vec<String> = lines.iter().map(|line| line.replace("{dated}", dated)).collect();
        assert_eq!(text, expected);
        assert_eq!(object["event"], name, "{object}");
        let words = expected.first().map_or("connected", |line| {
            let line = line.strip_prefix(dated).unwrap_or(line);
            line.strip_prefix("127.0.0.1: ").unwrap_or(line)
        });
        assert_eq!(object["message"], words);
        assert_eq!((&object["severity"], &object["via"]), (&"info".into(), &"direct".into()));
    }
}

/// A line whose date, if it has one, is `DATE`.
fn without_date(line: &str) -> String {
    match line.split_once(" - - [") {
        Some((who, rest)) => {
            let (date, rest) = rest.split_at(20);
            assert!(date.is_ascii() && date.as_bytes()[2] == b'/', "{date}");
            format!("{who} - - [DATE{rest}")
        }
        None => line.to_owned(),
    }
}

#[test]
fn an_object_has_the_time_in_utc_and_the_process() {
    let log = Log::in_memory_as_json(false);
    log.note(Topic::Ready, Level::Info, format_args!("a \"word\"\n"));
    let object: serde_json::Value = serde_json::from_str(&log.take_lines()).expect("JSON");
    assert_eq!(object["service.instance.id"], log.instance().to_string());
    assert_eq!(object["process.pid"], std::process::id());
    assert_eq!(object["message"], "a \"word\"\n");
    let moment = UNIX_EPOCH + Duration::from_millis(1_795_569_604_123);
    assert_eq!(Stamp(moment).to_string(), "2026-11-25T01:20:04.123Z");
    let stamp = object["timestamp"].as_str().expect("a time");
    assert!(stamp.len() == 24 && stamp.ends_with('Z'), "{stamp}");
}

#[test]
fn an_object_is_no_longer_than_16_kib_however_long_its_values_are_and_a_message_of_syslog_parses() {
    for filling in ["x", "\u{1}", "\u{e0041}", "\"", "\u{20ac}"] {
        let long = filling.repeat(20_000);
        let party = Party {
            request_id: Some(&long),
            client: Some((std::net::Ipv6Addr::LOCALHOST.into(), Some(65535))),
            peer: Some((std::net::Ipv6Addr::LOCALHOST.into(), Some(65535))),
            unix: Some(&long),
            via: "forwarded-header",
            tls: Some(("1.3", long.clone())),
            subject: Some(long.clone()),
            user: Some(&long),
            server: Some((&long, Some(5900))),
            ..Party::default()
        };
        let request = Request {
            line: &long,
            status: 400,
            method: &long,
            target: &format!("/{long}?{long}"),
            agent: Some(&long),
            body: Some(u64::MAX),
            reason: Some(&long),
        };
        let end = SessionEnd { error: Some(long.clone()), ..session_end(&long) };
        for what in [What::Request(&request), What::SessionEnd(&end)] {
            let event = Event { level: Level::Info, who: Some(&long), party: Some(&party), what };
            let log = Log::in_memory_as_json(true);
            log.say(&event);
            let line = log.take_lines();
            assert!(line.len() <= OBJECT_BYTES_MAX, "{} bytes", line.len());
            serde_json::from_str::<serde_json::Value>(&line).expect("JSON");
            let settings = SyslogSettings {
                address: SyslogAddress::Unix("/dev/log".into()),
                legacy: false,
                daemon: false,
            };
            let form = Form::Syslog(Header::new(&settings).into());
            let sink = Sink::new("syslog", form, Style::Json(log.instance));
            sink.say_object(&event, line.trim_end());
            let message = String::from_utf8(sink.take()).expect("text");
            let object = message[message.find('{').expect("an object")..].trim_end();
            serde_json::from_str::<serde_json::Value>(object).expect("JSON");
        }
    }
}

/// The longest line.
const OBJECT_BYTES_MAX: usize = 16 * 1024;

#[test]
fn lines_that_matter_less_than_the_level_are_not_written_and_the_access_log_has_all() {
    for wanted in Level::ALL {
        let log = Log { level: wanted, ..Log::in_memory_as_json(false) };
        for level in Level::ALL {
            log.note(Topic::Message, level, format_args!("-"));
        }
        let lines = log.take_lines();
        let severities: Vec<String> = lines
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
            .map(|object| object["severity"].as_str().expect("a text").to_owned())
            .collect();
        let names: Vec<&str> =
            Level::ALL.into_iter().filter(|level| *level <= wanted).map(Level::name).collect();
        assert_eq!(severities, names);
        log.say_access(&Event {
            level: Level::Debug,
            who: None,
            party: None,
            what: What::SessionEnd(&session_end(&"over")),
        });
        assert_eq!(log.take_access_lines().lines().count(), 1);
    }
}

#[test]
fn topics_have_names_of_their_own() {
    let mut names: Vec<&str> = Topic::ALL.iter().map(|topic| topic.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Topic::ALL.len());
}
