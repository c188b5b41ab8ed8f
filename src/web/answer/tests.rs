use std::path::{Path, PathBuf};

use super::*;
use crate::http::request::Request;
use crate::web::Settings;

/// A site in a directory of its own.
struct Place {
    root: PathBuf,
    site: Site,
}

impl Place {
    fn new(name: &str, change: impl FnOnce(&mut Settings)) -> Place {
        let root = std::env::temp_dir().join(format!("websockify-answer-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        std::fs::create_dir_all(&root).expect("made");
        let mut settings = Settings { root: root.clone(), ..Settings::default() };
        change(&mut settings);
        let place = Place { root, site: Site::open(settings).expect("a directory") };
        for (path, text) in [
            ("a.txt", "0123456789"),
            ("empty", ""),
            ("app.js", "plain"),
            ("app.js.br", "brotli"),
            ("app.js.gz", "gzip"),
            ("session.7", "var"),
            (".secret", "x"),
            ("page/index.htm", "index"),
            ("page/index.htm.gz", "small"),
            ("list/<b>.txt", "x"),
            ("list/.hidden", "x"),
        ] {
            let path = place.root.join(path);
            std::fs::create_dir_all(path.parent().expect("below the root")).expect("made");
            std::fs::write(&path, text).expect("written");
            set_date(&path, DATE);
        }
        place.settle("list/.hidden");
        place
    }

    /// Waits until a change of this file would show at its times.
    fn settle(&self, name: &str) {
        let started = std::time::Instant::now();
        let tag = || {
            let metadata = std::fs::metadata(self.root.join(name)).expect("it is there");
            validators(&metadata, SystemTime::now()).tag
        };
        while tag() != tag() {
            assert!(started.elapsed() < Duration::from_secs(30), "the clock of the file system stands");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn plain(name: &str) -> Place {
        Place::new(name, |_| ())
    }

    /// The answer to `METHOD TARGET` with these header lines, as text.
    fn ask(&self, line: &str, headers: &str) -> Answer {
        let head = format!("{line} HTTP/1.1\r\n{headers}\r\n");
        let request = Request::parse(head.as_bytes()).expect("well-formed");
        let options = ResponseOptions { head_only: request.method == "HEAD", keep: true, minor_version: 1 };
        let response = self.site.answer(&Question::new(&request, options), Lists::Made).expect("an answer");
        let (head, body) = response.bytes.split_at(response.head_len);
        let mut body = body.to_vec();
        if let Some(rest) = &response.body {
            rest.read(body.len() as u64, usize::MAX >> 1, &mut body).expect("nobody changes it");
        }
        Answer {
            status: response.status.0,
            reason: response.reason.into_owned(),
            head: String::from_utf8(head.to_vec()).expect("text"),
            body: String::from_utf8(body).expect("text"),
        }
    }

    fn get(&self, target: &str, headers: &str) -> Answer {
        self.ask(&format!("GET {target}"), headers)
    }
}

/// A date that means something, in seconds since the Unix epoch.
const DATE: u64 = 1_717_171_717;

fn set_date(path: &Path, seconds: u64) {
    let file = File::options().write(true).open(path).expect("it is there");
    file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds)).expect("its date can be set");
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

struct Answer {
    status: u16,
    head: String,
    body: String,
    reason: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

#[test]
fn a_file_comes_with_all_that_is_known_of_it() {
    let place = Place::plain("file");
    let answer = place.get("/a.txt", "");
    assert_eq!((answer.status, &answer.body[..]), (200, "0123456789"));
    for (name, value) in [
        ("Server", "websockify"),
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", "10"),
        ("Cache-Control", "no-cache"),
        ("X-Content-Type-Options", "nosniff"),
        ("Accept-Ranges", "bytes"),
        ("Vary", "Accept-Encoding"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    assert!(answer.header("Date").is_some() && answer.header("Last-Modified").is_some());
    assert_eq!(answer.header("Connection"), None);
    let head = place.ask("HEAD /a.txt", "");
    assert_eq!((head.status, head.header("Content-Length"), &head.body[..]), (200, Some("10"), ""));
    let recording = place.get("/session.7", "");
    assert_eq!(recording.header("X-Content-Type-Options"), None);
    assert_eq!(place.get("/empty", "").header("Content-Length"), Some("0"));
}

#[test]
fn directories_lead_to_their_index_their_list_or_their_slash() {
    let place = Place::plain("directories");
    let moved = place.get("//page?a=b", "");
    assert_eq!((moved.status, moved.header("Location")), (301, Some("/page/?a=b")));
    assert_eq!(place.get("/page/", "").body, "index");
    assert_eq!(place.get("/page/", "").header("Content-Type"), Some("text/html"));
    assert_eq!(place.get("/page/", "Accept-Encoding: gzip\r\n").body, "small");
    let list = place.get("/list/", "");
    assert!(list.body.contains("<title>Directory listing for /list/</title>"));
    assert!(list.body.contains("&lt;b&gt;.txt") && !list.body.contains("hidden"));
    assert_eq!(list.header("Content-Length"), Some(&list.body.len().to_string()[..]));
    assert_eq!(place.ask("HEAD /list/", "").body, "");
    let quiet = Place::new("quiet", |settings| settings.listings = false);
    assert_eq!(quiet.get("/list/", "").status, 404);
    assert_eq!(quiet.get("/list", "").status, 301);
    assert_eq!(quiet.get("/page/", "").body, "index");
}

#[test]
fn what_is_not_to_be_seen_is_not_there() {
    let place = Place::plain("unseen");
    for target in
        ["/gone", "/a.txt/", "/a.txt/b", "/.secret", "/list/.hidden", "/%2esecret", "/..%2f..%2fetc/passwd"]
    {
        assert_eq!(place.get(target, "").status, 404, "{target}");
    }
    assert_eq!(place.get("/a%00.txt", "").status, 400);
    let open = Place::new("open", |settings| settings.dot_files = true);
    assert_eq!(open.get("/.secret", "").body, "x");
    assert!(open.get("/list/", "").body.contains("hidden"));
}

#[test]
fn a_client_that_has_the_file_is_told_so() {
    let place = Place::plain("conditions");
    let first = place.get("/a.txt", "");
    let (tag, date) = (first.header("ETag").expect("a tag"), first.header("Last-Modified").expect("a date"));
    let again = place.get("/a.txt", &format!("If-None-Match: {tag}\r\n"));
    assert_eq!((again.status, again.header("ETag"), &again.body[..]), (304, Some(tag), ""));
    assert_eq!(again.header("Content-Length"), None);
    assert_eq!(place.get("/a.txt", &format!("If-Modified-Since: {date}\r\n")).status, 304);
    assert_eq!(
        place.get("/a.txt", &format!("If-Modified-Since: {date}\r\nIf-None-Match: \"x\"\r\n")).status,
        200
    );
    assert_eq!(place.get("/a.txt", "If-Match: \"x\"\r\n").status, 412);
    std::fs::write(place.root.join("a.txt"), "changed!!!!").expect("written");
    assert_eq!(place.get("/a.txt", &format!("If-None-Match: {tag}\r\n")).status, 200);
}

#[test]
fn parts_of_a_file_come_alone_or_several_together() {
    let place = Place::plain("ranges");
    let one = place.get("/a.txt", "Range: bytes=2-4\r\n");
    assert_eq!((one.status, &one.body[..]), (206, "234"));
    assert_eq!(
        (one.header("Content-Range"), one.header("Content-Length")),
        (Some("bytes 2-4/10"), Some("3"))
    );
    let several = place.get("/a.txt", "Range: bytes=0-0,-2\r\n");
    let kind = several.header("Content-Type").expect("a type");
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").expect("several parts");
    let expected = format!(
        "--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes 0-0/10\r\n\r\n0\r\n\
         --{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes 8-9/10\r\n\r\n89\r\n\
         --{boundary}--\r\n"
    );
    assert_eq!((several.status, &several.body[..]), (206, &expected[..]));
    assert_eq!(several.header("Content-Length"), Some(&expected.len().to_string()[..]));
    let beyond = place.get("/a.txt", "Range: bytes=10-\r\n");
    assert_eq!((beyond.status, beyond.header("Content-Range")), (416, Some("bytes */10")));
    let tag = place.get("/a.txt", "").header("ETag").expect("a tag").to_owned();
    assert_eq!(place.get("/a.txt", &format!("Range: bytes=0-1\r\nIf-Range: {tag}\r\n")).status, 206);
    assert_eq!(place.get("/a.txt", "Range: bytes=0-1\r\nIf-Range: \"x\"\r\n").body, "0123456789");
    assert_eq!(place.ask("HEAD /a.txt", "Range: bytes=0-1\r\n").status, 200);
}

#[test]
fn the_form_that_the_client_likes_best_is_sent() {
    let place = Place::plain("codings");
    for (accept, body, coding) in [
        ("", "plain", None),
        ("Accept-Encoding: gzip, br\r\n", "brotli", Some("br")),
        ("Accept-Encoding: gzip\r\nAccept-Encoding: br;q=0\r\n", "gzip", Some("gzip")),
        ("Accept-Encoding: zstd\r\n", "plain", None),
    ] {
        let answer = place.get("/app.js", accept);
        assert_eq!((&answer.body[..], answer.header("Content-Encoding")), (body, coding), "{accept}");
        assert_eq!(answer.header("Content-Type"), Some("text/javascript; charset=utf-8"));
        assert_eq!(answer.header("Vary"), Some("Accept-Encoding"));
    }
    let part = place.get("/app.js", "Accept-Encoding: br\r\nRange: bytes=0-1\r\n");
    assert_eq!((part.status, &part.body[..], part.header("Content-Range")), (206, "br", Some("bytes 0-1/6")));
    assert_eq!(place.get("/a.txt", "Accept-Encoding: br\r\n").header("Content-Encoding"), None);
}

#[test]
fn the_operator_s_headers_are_added_and_replace_ours() {
    let place = Place::new("headers", |settings| {
        settings.cache_control = "max-age=60".into();
        settings.headers = vec![
            ("Access-Control-Allow-Origin".into(), "*".into()),
            ("server".into(), "mine".into()),
            ("X-Content-Type-Options".into(), "none".into()),
        ];
    });
    for target in ["/a.txt", "/gone", "/list/", "/list", "/session.7"] {
        let answer = place.get(target, "");
        assert_eq!(answer.header("Access-Control-Allow-Origin"), Some("*"), "{target}");
        assert_eq!((answer.header("Server"), answer.header("server")), (None, Some("mine")), "{target}");
        assert_eq!(answer.header("X-Content-Type-Options"), Some("none"), "{target}");
        assert_eq!(answer.header("Cache-Control"), Some("max-age=60"), "{target}");
    }
}

#[test]
fn a_large_file_comes_in_pieces() {
    let place = Place::plain("large");
    let content: Vec<u8> = (0..3 * FIRST_BYTES).map(|at| b'a' + (at % 23) as u8).collect();
    std::fs::write(place.root.join("large"), &content).expect("written");
    let answer = place.get("/large", "");
    assert_eq!(answer.header("Content-Length"), Some(&content.len().to_string()[..]));
    assert!(answer.body.as_bytes() == content);
}

#[test]
fn a_tag_tells_each_state_of_a_file_from_all_others() {
    let place = Place::plain("tags");
    let path = place.root.join("a.txt");
    let mut before = place.get("/a.txt", "");
    for round in 0..60 {
        let content = format!("{round:010}");
        // In its place, or renamed to it; of the same length and date, and often within one tick of the clock.
        match round % 3 {
            0 => std::fs::write(&path, &content).expect("written"),
            1 => {
                let next = place.root.join("next");
                std::fs::write(&next, &content).expect("written");
                set_date(&next, DATE);
                std::fs::rename(&next, &path).expect("moved");
            }
            _ => {
                std::fs::write(&path, &content).expect("written");
                place.settle("a.txt");
            }
        }
        set_date(&path, DATE);
        let tag = before.header("ETag").expect("a tag").to_owned();
        let now = place.get("/a.txt", &format!("If-None-Match: {tag}\r\n"));
        assert_eq!((now.status, &now.body[..]), (200, &content[..]), "round {round}");
        let part = place.get("/a.txt", &format!("Range: bytes=0-3\r\nIf-Range: {tag}\r\n"));
        assert_eq!((part.status, &part.body[..]), (200, &content[..]), "round {round}");
        before = now;
    }
    place.settle("a.txt");
    let settled = place.get("/a.txt", "").header("ETag").expect("a tag").to_owned();
    assert_eq!(place.get("/a.txt", &format!("If-None-Match: {settled}\r\n")).status, 304);
}

#[test]
fn dates_that_mean_nothing_are_neither_sent_nor_believed() {
    let place = Place::plain("dates");
    let path = place.root.join("a.txt");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    // What builds that can be repeated, zip and npm set; the last second of 1999, some hours into 2000; just now;
    // to come.
    for seconds in [0, 1, 315_532_800, 499_162_500, 946_684_799, 946_720_800, now, now + 1, now + 86_400] {
        set_date(&path, seconds);
        place.settle("a.txt");
        let answer = place.get("/a.txt", "");
        assert_eq!(answer.header("Last-Modified"), None, "{seconds}");
        for since in [seconds, now, now + 100_000] {
            let headers = format!("If-Modified-Since: {}\r\n", date(since));
            assert_eq!(place.get("/a.txt", &headers).status, 200, "{seconds} {since}");
            let headers = format!("Range: bytes=0-1\r\nIf-Range: {}\r\n", date(since));
            assert_eq!(place.get("/a.txt", &headers).status, 200, "{seconds} {since}");
        }
        let tag = answer.header("ETag").expect("a tag");
        let again = place.get("/a.txt", &format!("If-None-Match: {tag}\r\n"));
        assert_eq!((again.status, again.header("Last-Modified")), (304, None), "{seconds}");
    }
    for seconds in [946_900_000, DATE, now - 60] {
        set_date(&path, seconds);
        let sent = date(seconds);
        assert_eq!(place.get("/a.txt", "").header("Last-Modified"), Some(&sent[..]));
        assert_eq!(place.get("/a.txt", &format!("If-Modified-Since: {sent}\r\n")).status, 304);
        // A date is of no use for putting a file together, where there are tags.
        assert_eq!(place.get("/a.txt", &format!("Range: bytes=0-1\r\nIf-Range: {sent}\r\n")).status, 200);
    }
}

#[test]
fn a_change_that_is_to_come_tells_nothing() {
    let metadata = std::fs::metadata(std::env::current_exe().expect("this program")).expect("it is there");
    let state = || validators(&metadata, UNIX_EPOCH + Duration::from_secs(DATE));
    assert_ne!(state().tag, state().tag, "the clock was set back, or is another machine's");
    assert_eq!(state().modified, None);
}

#[test]
fn a_compressed_form_that_is_older_than_its_file_is_not_sent() {
    let place = Place::plain("siblings");
    let dates = |plain: u64, br: u64, gz: u64| {
        for (name, seconds) in [("app.js", plain), ("app.js.br", br), ("app.js.gz", gz)] {
            set_date(&place.root.join(name), seconds);
        }
        place.get("/app.js", "Accept-Encoding: br, gzip\r\n").body
    };
    assert_eq!(dates(DATE, DATE, DATE), "brotli");
    assert_eq!(dates(DATE, DATE - 1, DATE), "gzip", "the other one may be newer");
    assert_eq!(dates(DATE, DATE - 1, DATE - 1), "plain");
    assert_eq!(dates(DATE, DATE + 9, DATE - 1), "brotli");
    assert_eq!(dates(0, 0, 0), "brotli", "an image in which all are of one date");
    let file = File::options().write(true).open(place.root.join("app.js")).expect("there");
    file.set_modified(UNIX_EPOCH + Duration::new(DATE, 1)).expect("set");
    assert_eq!(place.get("/app.js", "Accept-Encoding: br\r\n").body, "plain", "by a nanosecond");
    set_date(&place.root.join("page/index.htm.gz"), DATE - 1);
    assert_eq!(place.get("/page/", "Accept-Encoding: gzip\r\n").body, "index");
}

#[test]
fn an_index_that_leads_out_of_the_root_is_not_answered_with_a_list() {
    let place = Place::plain("outside");
    std::os::unix::fs::symlink("/etc/passwd", place.root.join("list/index.html")).expect("linked");
    let answer = place.get("/list/", "");
    assert_eq!((answer.status, &answer.body[..]), (404, "File not found\n"));
    assert_eq!(answer.reason, "File not found (a link leads out of the web root: --web-outside-links)");
    assert_eq!(
        place.get("/.secret", "").reason,
        "File not found (a name begins with a dot: --web-dot-files)"
    );
    assert_eq!(place.get("/gone", "").reason, "File not found");
    std::fs::remove_file(place.root.join("list/index.html")).expect("removed");
    std::os::unix::fs::symlink("gone", place.root.join("list/index.html")).expect("linked");
    assert_eq!(place.get("/list/", "").status, 200, "a link to nothing is no index");
}
