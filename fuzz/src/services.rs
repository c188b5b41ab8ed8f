//! What must hold for what services answer, and for the URLs that they are asked by.

use websockify::token::{http_response, redis_reply, service_urls};

/// An answer of HTTP is the same however it is cut in two, and never larger than it may be.
pub fn http_answers(data: &[u8]) {
    let whole = http_response(data, 0);
    if let Some((status, body)) = &whole {
        assert!(*status < 1000 && body.len() <= 64 * 1024);
    }
    for cut in cuts(data.len()) {
        assert_eq!(http_response(data, cut), whole, "cut at {cut}");
    }
}

/// An answer of Redis is whole where it ends, and neither earlier nor by what stands after it.
pub fn redis_answers(data: &[u8]) {
    let Ok(Some(length)) = redis_reply(data) else { return };
    assert!(length <= data.len() && length >= 3);
    assert_eq!(redis_reply(&data[..length]), Ok(Some(length)));
    for cut in cuts(length) {
        assert_eq!(redis_reply(&data[..cut]), Ok(None), "cut at {cut}");
    }
}

/// The lines are a URL with the token's place, a token and a Location. Neither makes more than one line of a request,
/// and a token leads to no other server or path than another one.
pub fn service_urls_stay(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.splitn(3, '\n');
    let mut next = || lines.next().unwrap_or_default();
    let (template, token, location) = (next(), next(), next());
    let Some(urls) = service_urls(template, token, location) else { return };
    for (authority, target) in urls.iter().flatten() {
        assert!(
            authority.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#@".contains(&byte)),
            "{authority:?}"
        );
        assert!(
            target.starts_with('/') && target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'),
            "{target:?}"
        );
    }
    let other = service_urls(template, "x", location).and_then(|[url, _]| url);
    if let (Some((authority, target)), Some((other_authority, other_target))) = (&urls[0], other) {
        let place = template.split_once("://").map_or("", |(_, rest)| rest);
        let place = place.split(['/', '?', '#', '\\']).next().unwrap_or_default();
        assert!(*authority == other_authority || place.contains("%s"), "{authority} {other_authority}");
        let names = |target: &str| target.split('?').next().unwrap_or_default().split('/').count();
        assert_eq!(names(target), names(&other_target), "{target:?} {other_target:?}");
        assert_eq!(target.contains('?'), other_target.contains('?'));
    }
}

/// Where an input of this length is cut: everywhere, or at some places if it is long.
fn cuts(length: usize) -> impl Iterator<Item = usize> {
    (1..length).step_by((length / 200).max(1))
}
