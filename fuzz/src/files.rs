//! What must hold for the headers and the path of a plain request, whatever they are.

use websockify::http::body::{BODY_MAX, BodyError, Framing, Skipper};
use websockify::http::conditional::{Conditions, Validators, Verdict};
use websockify::http::encoding::accepted;
use websockify::http::mime;
use websockify::http::range::{SPANS_MAX, Selection, select};
use websockify::http::request::Request;
use websockify::http::resource::Resource;

use super::{ends, framing, plan, work};

/// A path only goes down, a redirection stays here, ranges are inside of the file, conditions are decided, and
/// a body ends at the same place whole and in pieces. The stream is a request's target, a line end, its
/// headers, an empty line and its body.
pub fn files(data: &[u8]) {
    let (sizes, stream) = plan(data);
    let at = stream.windows(4).position(|bytes| bytes == b"\r\n\r\n").map_or(stream.len(), |at| at + 4);
    let (head, body) = stream.split_at(at);
    let head = [b"GET ", head].concat();
    let Ok(text) = std::str::from_utf8(&head) else { return };
    let head = text.replacen("\r\n", " HTTP/1.1\r\n", 1);
    let Ok(request) = Request::parse(head.as_bytes()) else { return };
    work::bounded("path", request.target.len(), || path(request.target));
    if let Some(value) = request.header("range") {
        [0, 1, 10, 1 << 40, u64::MAX].into_iter().for_each(|length| range(value, length));
    }
    work::bounded("headers", head.len(), || {
        let codings = accepted(request.list("accept-encoding"));
        assert!(codings.len() <= 2 && (codings.len() < 2 || codings[0] != codings[1]));
        conditions(&request);
    });
    if let Ok(framing) = Framing::of(&request) {
        let whole = skip(framing, &[], body);
        assert_eq!(skip(framing, sizes, body), whole, "in pieces of {sizes:?}");
        // What is passed over here must be what any other server would pass over.
        if let Ok(ours) = whole {
            assert_eq!(framing::body_len(head.as_bytes(), body), Ok(ours), "{framing:?}");
        }
        if let Ok(Some(len)) = whole {
            assert!(len as u64 <= BODY_MAX);
            assert_eq!(skip(framing, &[], &body[..len]), whole, "what follows does not count");
        }
    }
}

fn path(target: &str) {
    let Ok(resource) = Resource::parse(target) else { return };
    for name in &resource.names {
        assert!(!matches!(&name[..], b"" | b"." | b"..") && !name.contains(&b'/') && !name.contains(&0));
        mime::of(name);
    }
    assert!(resource.slash || !resource.names.is_empty());
    let location = resource.location();
    assert!(location.starts_with('/') && !location.starts_with("//"));
    assert!(location.bytes().all(|byte| byte.is_ascii_graphic()));
    assert!(!location.split('?').next().unwrap_or_default().contains('\\'));
    let again = Resource::parse(&location).expect("no NUL comes out");
    assert_eq!((&again.names, again.slash), (&resource.names, true), "{location}");
    assert_eq!(again.location(), location, "it is encoded once");
}

fn range(value: &[u8], length: u64) {
    let Selection::Spans(spans) = select(value, length) else { return };
    assert!(!spans.is_empty() && spans.len() <= SPANS_MAX);
    let mut total = 0_u64;
    for span in spans {
        assert!(span.len > 0 && span.from < length && span.len <= length - span.from);
        total += span.len;
    }
    assert!(total <= length);
}

fn conditions(request: &Request<'_>) {
    let conditions = Conditions::of(request);
    let state = Validators { tag: "\"a-1\"".into(), modified: Some(784_111_777), changed: 784_111_777 };
    let verdict = conditions.verdict(&state);
    let names = ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since"];
    if names.iter().all(|name| request.header(name).is_none()) {
        assert_eq!(verdict, Verdict::Go);
    }
    if request.header("range").is_none() {
        assert_eq!(conditions.range(&state), None);
    }
}

fn skip(framing: Framing, sizes: &[u8], body: &[u8]) -> Result<Option<usize>, BodyError> {
    let mut skipper = Skipper::new(framing)?;
    let (mut start, mut len) = (0, 0);
    for end in ends(sizes, body.len()) {
        len += skipper.skip(&body[start..end])?;
        start = end;
    }
    Ok(skipper.is_done().then_some(len))
}
