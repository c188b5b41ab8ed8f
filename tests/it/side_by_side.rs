//! The same plain requests to Python websockify 0.13.0 and to this program, on the same files. Every
//! difference in what comes back has to be one of those intended, which are listed by name with their reason;
//! any other fails, and so does an intended one that no request shows.
//!
//! `WEBSOCKIFY_PYTHON` names a Python that has websockify 0.13.0; without it the test is skipped and says so.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use crate::common::client::Client;
use crate::common::server::Server;
use crate::common::{Scratch, eventually, free_port};

/// A request, and what it is about. `{DATE}` in it is the last change of the file that is asked for.
struct Case {
    name: &'static str,
    request: &'static str,
}

const fn case(name: &'static str, request: &'static str) -> Case {
    Case { name, request }
}

const WITHOUT_HOST: &str = "a file without Host";

/// Requests to servers with `--web`. They get a Host where they have none.
const WEB: &[Case] = &[
    case("a file", "GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n"),
    case(WITHOUT_HOST, "GET /a.txt HTTP/1.1\r\n\r\n"),
    case("a file with a query", "GET /a.txt?b=c/ HTTP/1.1\r\n\r\n"),
    case("the head of a file", "HEAD /a.txt HTTP/1.1\r\n\r\n"),
    case("an empty file", "GET /empty HTTP/1.1\r\n\r\n"),
    case("a script", "GET /app.js HTTP/1.1\r\n\r\n"),
    case("a module", "GET /app.mjs HTTP/1.1\r\n\r\n"),
    case("a style sheet", "GET /app.css HTTP/1.1\r\n\r\n"),
    case("a picture", "GET /a.png HTTP/1.1\r\n\r\n"),
    case("a vector picture", "GET /a.svg HTTP/1.1\r\n\r\n"),
    case("JSON", "GET /a.json HTTP/1.1\r\n\r\n"),
    case("a font", "GET /a.woff2 HTTP/1.1\r\n\r\n"),
    case("WebAssembly", "GET /a.wasm HTTP/1.1\r\n\r\n"),
    case("sound", "GET /a.oga HTTP/1.1\r\n\r\n"),
    case("an archive", "GET /a.tar.gz HTTP/1.1\r\n\r\n"),
    case("a source map", "GET /a.js.map HTTP/1.1\r\n\r\n"),
    case("a recording", "GET /session.7 HTTP/1.1\r\n\r\n"),
    case("a file of unknown type", "GET /a.unknown HTTP/1.1\r\n\r\n"),
    case("two slashes", "GET //a.txt HTTP/1.1\r\n\r\n"),
    case("slashes in the middle", "GET /sub//b.txt HTTP/1.1\r\n\r\n"),
    case("an encoded name", "GET /%61%2Etxt HTTP/1.1\r\n\r\n"),
    case("a name that is encoded twice", "GET /%2561.txt HTTP/1.1\r\n\r\n"),
    case("a malformed encoding", "GET /%zz HTTP/1.1\r\n\r\n"),
    case("a dot on the way", "GET /./sub/./b.txt HTTP/1.1\r\n\r\n"),
    case("dots on the way", "GET /sub/../a.txt HTTP/1.1\r\n\r\n"),
    case("dots to the outside", "GET /../secret.txt HTTP/1.1\r\n\r\n"),
    case("encoded dots to the outside", "GET /%2e%2e/secret.txt HTTP/1.1\r\n\r\n"),
    case("dots and an encoded slash", "GET /..%2fsecret.txt HTTP/1.1\r\n\r\n"),
    case("a missing file", "GET /gone.txt HTTP/1.1\r\n\r\n"),
    case("the head of a missing file", "HEAD /gone.txt HTTP/1.1\r\n\r\n"),
    case("a file with a slash behind it", "GET /a.txt/ HTTP/1.1\r\n\r\n"),
    case("a file as a directory", "GET /a.txt/b HTTP/1.1\r\n\r\n"),
    case("a name that is too long", include_str!("../side_by_side/long_name")),
    case("a NUL", "GET /a%00.txt HTTP/1.1\r\n\r\n"),
    case("a directory", "GET /sub HTTP/1.1\r\n\r\n"),
    case("a directory with a query", "GET /sub?a=b&c HTTP/1.1\r\n\r\n"),
    case("a directory with two slashes", "GET //sub HTTP/1.1\r\n\r\n"),
    case("a directory of another host", "GET //a/..//sub HTTP/1.1\r\n\r\n"),
    case("the head of a directory", "HEAD /sub HTTP/1.1\r\n\r\n"),
    case("a list", "GET /sub/ HTTP/1.1\r\n\r\n"),
    case("the head of a list", "HEAD /sub/ HTTP/1.1\r\n\r\n"),
    case("a list with a query", "GET /sub/?a=b HTTP/1.1\r\n\r\n"),
    case("an index page", "GET /page/ HTTP/1.1\r\n\r\n"),
    case("an old index page", "GET /old/ HTTP/1.1\r\n\r\n"),
    case("the same state by date", "GET /a.txt HTTP/1.1\r\nIf-Modified-Since: {DATE}\r\n\r\n"),
    case(
        "an older state by date",
        "GET /a.txt HTTP/1.1\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n",
    ),
    case("a malformed date", "GET /a.txt HTTP/1.1\r\nIf-Modified-Since: yesterday\r\n\r\n"),
    case(
        "a date and a tag",
        "GET /a.txt HTTP/1.1\r\nIf-Modified-Since: {DATE}\r\nIf-None-Match: \"x\"\r\n\r\n",
    ),
    case("any tag", "GET /a.txt HTTP/1.1\r\nIf-None-Match: *\r\n\r\n"),
    case("a range", "GET /a.txt HTTP/1.1\r\nRange: bytes=1-2\r\n\r\n"),
    case("a range behind the end", "GET /a.txt HTTP/1.1\r\nRange: bytes=100-\r\n\r\n"),
    case("a compressed sibling", "GET /app.js HTTP/1.1\r\nAccept-Encoding: gzip\r\n\r\n"),
    case("a link inside of the root", "GET /inside.txt HTTP/1.1\r\n\r\n"),
    case("a link out of the root", "GET /outside.txt HTTP/1.1\r\n\r\n"),
    case("a dot file", "GET /.hidden HTTP/1.1\r\n\r\n"),
    case("the client's last request", "GET /a.txt HTTP/1.1\r\nConnection: close\r\n\r\n"),
    case("a request of HTTP/1.0", "GET /a.txt HTTP/1.0\r\n\r\n"),
    case("HTTP/1.0 that wants to stay", "GET /a.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
    case("an absolute target", "GET http://a/a.txt HTTP/1.1\r\nHost: a\r\n\r\n"),
    case("a post", "POST /a.txt HTTP/1.1\r\nContent-Length: 0\r\n\r\n"),
    case("a put", "PUT /a.txt HTTP/1.1\r\nContent-Length: 0\r\n\r\n"),
    case("a delete", "DELETE /a.txt HTTP/1.1\r\n\r\n"),
    case("a patch", "PATCH /a.txt HTTP/1.1\r\nContent-Length: 0\r\n\r\n"),
    case("options", "OPTIONS /a.txt HTTP/1.1\r\n\r\n"),
    case("an unknown method", "FROB /a.txt HTTP/1.1\r\n\r\n"),
    case("a post that asks first", "POST /a HTTP/1.1\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n"),
    case("a get that asks first", "GET /a.txt HTTP/1.1\r\nExpect: 100-continue\r\n\r\n"),
    case("a body of a get", "GET /a.txt HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody"),
    case("garbage", "garbage\r\n\r\n"),
    case("a version of the future", "GET /a.txt HTTP/2.0\r\n\r\n"),
    case(
        "an upgrade to something else",
        "GET /a.txt HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    ),
];

/// Requests to servers with `--web` and `--file-only`.
const FILES_ONLY: &[Case] = &[
    case("a file", "GET /a.txt HTTP/1.1\r\n\r\n"),
    case("a directory", "GET /sub HTTP/1.1\r\n\r\n"),
    case("a list", "GET /sub/ HTTP/1.1\r\n\r\n"),
    case("the root's list", "GET / HTTP/1.1\r\n\r\n"),
    case("an index page", "GET /page/ HTTP/1.1\r\n\r\n"),
];

/// Requests to servers without `--web`.
const NO_WEB: &[Case] = &[
    case("a file", "GET /a.txt HTTP/1.1\r\n\r\n"),
    case("the head of a file", "HEAD /a.txt HTTP/1.1\r\n\r\n"),
    case("a post", "POST /a.txt HTTP/1.1\r\nContent-Length: 0\r\n\r\n"),
];

/// One thing that the two answer differently.
#[derive(Debug, PartialEq, Eq)]
enum Difference {
    Status(u16, u16),
    Header {
        name: String,
        theirs: Option<String>,
        ours: Option<String>,
    },
    Body,
    /// Whether the connection takes another request: theirs, ours.
    Stays(bool, bool),
    /// Whether `100 Continue` came first.
    Interim(bool, bool),
}

/// A difference that is meant to be.
struct Intended {
    name: &'static str,
    /// Why it is better so; for whoever reads this list.
    #[allow(dead_code)]
    reason: &'static str,
    covers: fn(&Case, &Seen, &Difference) -> bool,
}

#[test]
fn every_difference_to_the_python_program_is_intended() {
    let Ok(python) = std::env::var("WEBSOCKIFY_PYTHON") else {
        crate::common::skipped("WEBSOCKIFY_PYTHON does not name a Python with websockify 0.13.0");
        return;
    };
    let site = site();
    let root = site.arg("root");
    let mut shown = BTreeSet::new();
    let mut faults = Vec::new();
    let setups: [(&str, &[&str], &[Case]); 3] = [
        ("--web", &["--web", &root], WEB),
        ("--web --file-only", &["--web", &root, "--file-only"], FILES_ONLY),
        ("without --web", &[], NO_WEB),
    ];
    for (setup, options, cases) in setups {
        let theirs = start_python(&python, options);
        let ours = Server::start(&[options, &["127.0.0.1:0", "127.0.0.1:1"]].concat());
        for case in cases {
            let (theirs, ours) = (see(&theirs, case), see(&ours, case));
            for difference in differences(&theirs, &ours) {
                match INTENDED.iter().find(|intended| (intended.covers)(case, &ours, &difference)) {
                    Some(intended) => drop(shown.insert(intended.name)),
                    None => faults.push(format!("{setup}, {}: {difference}", case.name)),
                }
            }
        }
    }
    assert!(faults.is_empty(), "differences that are not intended:\n{}", faults.join("\n"));
    let idle: Vec<_> = INTENDED.iter().map(|one| one.name).filter(|name| !shown.contains(name)).collect();
    assert!(idle.is_empty(), "no request shows these intended differences: {idle:?}");
}

/// The intended differences. The first one that covers a difference accounts for it.
const INTENDED: &[Intended] = &[
    Intended {
        name: "a NUL in a path",
        reason: "there the connection is dropped with a traceback in the log",
        covers: |case, _, _| case.name == "a NUL",
    },
    Intended {
        name: "garbage and unknown versions",
        reason: "there they are answered with a page and no head, as in HTTP/0.9, which no client understands",
        covers: |case, _, _| matches!(case.name, "garbage" | "a version of the future"),
    },
    Intended {
        name: "links out of the root",
        reason: "whoever can write into the web root could publish any file; --web-outside-links allows it",
        covers: |case, _, _| case.name == "a link out of the root",
    },
    Intended {
        name: "dot files",
        reason: ".git and .htpasswd are not meant to be published; --web-dot-files allows it",
        covers: |case, _, _| case.name == "a dot file",
    },
    Intended {
        name: "absolute targets",
        reason: "every server has to accept them (RFC 9112, 3.2.2)",
        covers: |case, _, _| case.name == "an absolute target",
    },
    Intended {
        name: "conditions by tag",
        reason: "there are tags here, and the condition may be any",
        covers: |case, _, _| case.name == "any tag",
    },
    Intended {
        name: "ranges",
        reason: "players and resumed downloads need them",
        covers: |case, _, _| case.name.starts_with("a range"),
    },
    Intended {
        name: "compressed siblings",
        reason: "less to send for the same page",
        covers: |case, _, _| case.name == "a compressed sibling",
    },
    Intended {
        name: "the path of a redirection",
        reason: "it is made from what was found, not copied from the request",
        covers: |case, _, found| {
            case.name == "a directory of another host" && is_header(found, &["location"])
        },
    },
    Intended {
        name: "the page of a list",
        reason: "it suits light and dark, leaves dot files out, and its title leaves out the query",
        covers: |case, ours, found| {
            case.name.contains("list")
                && ours.status == 200
                && (*found == Difference::Body || is_header(found, &["content-length"]))
        },
    },
    Intended {
        name: "methods that are not served",
        reason: "405 and Allow say that the file is there and how to get it; 501 would deny the method as such",
        covers: |_, _, found| *found == Difference::Status(501, 405) || is_header(found, &["allow"]),
    },
    Intended {
        name: "requests without Host",
        reason: "RFC 9112, 3.2, wants 400: what is in front may have believed another one",
        covers: |case, _, _| case.name == WITHOUT_HOST,
    },
    Intended {
        name: "health checks",
        reason: "load balancers ask for OPTIONS and want no error",
        covers: |case, ours, _| case.request.starts_with("OPTIONS ") && ours.status == 204,
    },
    Intended {
        name: "errors in a line of text",
        reason: "nobody reads the page around it, and nothing of the request is repeated in it",
        covers: |_, ours, found| {
            ours.status >= 400
                && (*found == Difference::Body || is_header(found, &["content-type", "content-length"]))
        },
    },
    Intended {
        name: "errors keep the connection",
        reason: "a missing icon should not cost a page a new connection and a new TLS handshake",
        covers: |_, ours, found| {
            let closes = |value: &Option<String>| value.as_deref() == Some("close");
            let header = matches!(found, Difference::Header { name, theirs, ours: None } if name == "connection" && closes(theirs));
            ours.status >= 400 && (header || *found == Difference::Stays(false, true))
        },
    },
    Intended {
        name: "what becomes of the connection",
        reason: "clients of HTTP/1.0 have to be told that it stays, and a server that closes has to say so",
        covers: |case, _, found| {
            let asks = case.request.contains("Connection: ") || case.request.contains("HTTP/1.0");
            asks && matches!(found, Difference::Header { name, theirs: None, .. } if name == "connection")
        },
    },
    Intended {
        name: "leave to send a body",
        reason: "who has nothing to send needs no leave, and who is refused should not send (RFC 9110, 10.1.1)",
        covers: |_, _, found| *found == Difference::Interim(true, false),
    },
    Intended {
        name: "types by a fixed table",
        reason: "there they depend on the machine, and text has no charset",
        covers: |_, ours, found| ours.status == 200 && is_header(found, &["content-type"]),
    },
    Intended {
        name: "tags, ranges and forms of files",
        reason: "that is how a client knows that there are such",
        covers: |_, _, found| is_header(found, &["etag", "accept-ranges", "vary"]),
    },
    Intended {
        name: "the date of what has not changed",
        reason: "caches may take it over",
        covers: |_, ours, found| ours.status == 304 && is_header(found, &["last-modified"]),
    },
    Intended {
        name: "caching",
        reason: "browsers that guess show old pages after an update; --web-cache-control decides otherwise",
        covers: |_, _, found| is_header(found, &["cache-control"]),
    },
    Intended {
        name: "no guessing of types",
        reason: "a browser should not run what is no script",
        covers: |_, _, found| is_header(found, &["x-content-type-options"]),
    },
    Intended {
        name: "the name of the server",
        reason: "it is another, and its version is nobody's business",
        covers: |_, _, found| is_header(found, &["server"]),
    },
];

/// Whether a header of one of these names differs.
fn is_header(found: &Difference, names: &[&str]) -> bool {
    matches!(found, Difference::Header { name, .. } if names.contains(&name.as_str()))
}

/// What one server has answered to one request.
struct Seen {
    interim: bool,
    /// Zero if there was no answer, or none with a status.
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
    stays: bool,
}

/// Sends a request on a connection of its own, reads the answer, and tries another request after it.
fn see(server: &Server, case: &Case) -> Seen {
    let mut client = Client::connect(server);
    let mut request = case.request.to_owned();
    if !request.contains("Host:") && case.name != WITHOUT_HOST {
        request = request.replacen("HTTP/1.1\r\n", "HTTP/1.1\r\nHost: a\r\n", 1);
    }
    if request.contains("{DATE}") {
        let answer = client.ask(b"HEAD /a.txt HTTP/1.1\r\nHost: a\r\n\r\n");
        request = request.replace("{DATE}", answer.header("last-modified").expect("a date"));
    }
    client.wire.send(request.as_bytes());
    let mut head = read_head(&mut client);
    let interim = head.starts_with("HTTP/1.1 100 ");
    if interim {
        head = read_head(&mut client);
    }
    let status = head.get(9..12).and_then(|digits| digits.parse().ok()).unwrap_or(0);
    let fields = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let headers: BTreeMap<String, String> =
        fields.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    let length = headers.get("content-length").map_or(0, |digits| digits.parse().expect("a length"));
    let body = match request.starts_with("HEAD ") {
        true => Vec::new(),
        false => client.wire.read_exactly(length),
    };
    client.wire.send_what_goes(b"GET /again HTTP/1.1\r\nHost: a\r\n\r\n");
    let (body, stays) = (String::from_utf8_lossy(&body).into_owned(), client.wire.brings_something());
    Seen { interim, status, headers, body, stays }
}

/// The head of an answer, or whatever comes up to the end of the connection.
fn read_head(client: &mut Client) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && client.wire.brings_something_into(&mut head) {}
    String::from_utf8_lossy(&head).into_owned()
}

fn differences(theirs: &Seen, ours: &Seen) -> Vec<Difference> {
    let mut found = Vec::new();
    if theirs.interim != ours.interim {
        found.push(Difference::Interim(theirs.interim, ours.interim));
    }
    if theirs.status != ours.status {
        found.push(Difference::Status(theirs.status, ours.status));
    }
    for name in theirs.headers.keys().chain(ours.headers.keys()).collect::<BTreeSet<_>>() {
        let [theirs, ours] = [theirs, ours].map(|seen| seen.headers.get(name).cloned());
        // A second may pass between the two.
        if theirs != ours && !(name == "date" && theirs.is_some() && ours.is_some()) {
            found.push(Difference::Header { name: name.to_owned(), theirs, ours });
        }
    }
    if theirs.body != ours.body {
        found.push(Difference::Body);
    }
    if theirs.stays != ours.stays {
        found.push(Difference::Stays(theirs.stays, ours.stays));
    }
    found
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::Status(theirs, ours) => write!(f, "status {theirs} there, {ours} here"),
            Difference::Header { name, theirs, ours } => {
                let [theirs, ours] = [theirs, ours].map(|value| value.as_deref().unwrap_or("none"));
                write!(f, "{name} {theirs} there, {ours} here")
            }
            Difference::Body => f.write_str("another body"),
            Difference::Stays(theirs, ours) => write!(f, "stays: {theirs} there, {ours} here"),
            Difference::Interim(theirs, ours) => write!(f, "100 first: {theirs} there, {ours} here"),
        }
    }
}

/// The files that are asked for.
fn site() -> Scratch {
    let scratch = Scratch::new();
    let root = scratch.path("root");
    for folder in ["sub", "page", "old"] {
        fs::create_dir_all(root.join(folder)).expect("make a directory");
    }
    for name in [
        "../secret.txt",
        "a.txt",
        "app.js",
        "app.js.gz",
        "app.mjs",
        "app.css",
        "a.png",
        "a.svg",
        "a.json",
        "a.woff2",
        "a.wasm",
        "a.oga",
        "a.tar.gz",
        "a.js.map",
        "session.7",
        "a.unknown",
        "sub/b.txt",
        "sub/<c>&.txt",
        "sub/Upper",
        "sub/.hidden",
        "page/index.html",
        "old/index.htm",
        ".hidden",
    ] {
        fs::write(root.join(name), format!("content of {name}\n")).expect("write a file");
    }
    fs::write(root.join("empty"), "").expect("write a file");
    // The date of a file of just now would not be sent.
    for folder in [root.clone(), root.join("sub"), root.join("page"), root.join("old")] {
        for entry in fs::read_dir(&folder).expect("a folder").flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_file()) {
                let file = fs::File::options().write(true).open(entry.path()).expect("open a file");
                file.set_modified(UNIX_EPOCH + Duration::from_secs(1_717_171_717)).expect("set a date");
            }
        }
    }
    symlink("sub/b.txt", root.join("inside.txt")).expect("link");
    symlink("../secret.txt", root.join("outside.txt")).expect("link");
    scratch
}

/// Starts the Python program. It wants a port by its number, and one that was free just now may be taken by a
/// connection of a test beside this one, so it may need several attempts.
fn start_python(python: &str, options: &[&str]) -> Server {
    start_python_with(python, options, &["127.0.0.1:1"])
}

/// The same with other words behind the source.
pub(crate) fn start_python_with(python: &str, options: &[&str], rest: &[&str]) -> Server {
    start_python_in(python, &[], options, rest)
}

/// The same with these variables in its environment.
pub(crate) fn start_python_in(
    python: &str,
    environment: &[(&str, &str)],
    options: &[&str],
    rest: &[&str],
) -> Server {
    for _ in 0..20 {
        let server = try_python(python, environment, options, rest);
        let count = |text| server.log.count(text);
        eventually("Python's websockify to listen", || {
            count("  - proxying from ") + count("already in use") > 0
        });
        if count("already in use") == 0 {
            return server;
        }
    }
    panic!("no port stays free");
}

/// Starts it on a port that was free just now.
fn try_python(python: &str, environment: &[(&str, &str)], options: &[&str], rest: &[&str]) -> Server {
    let port = free_port();
    let mut command = Command::new(python);
    command.args(["-m", "websockify"]).args(options).arg(format!("127.0.0.1:{port}")).args(rest);
    command.env("PYTHONDONTWRITEBYTECODE", "1").envs(environment.iter().copied());
    let mut server = Server::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()));
    server.port = port;
    server
}
