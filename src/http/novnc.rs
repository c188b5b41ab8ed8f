//! The address of noVNC's page that `/` leads to: it connects at once, and takes a token along.

use std::borrow::Cow;

use super::query;
use super::resource::{encode, push_printable};

/// noVNC's page, by which its directory is known.
pub const PAGE: &str = "vnc.html";

/// Where noVNC's page connects to if nothing else is said.
const PATH: &str = "websockify";

/// The page's address, relative to `/`, for a request of `/` with this query.
///
/// noVNC takes its WebSocket's address from the parameter `path`, and that is where the token goes; it stays
/// encoded as it came, since noVNC decodes the parameter once. Everything else is handed on, so that
/// `/?resize=scale` sets what it sets in the page, and `/?autoconnect=0` waits for a click.
pub fn location(asked: Option<&str>) -> String {
    let pairs = || asked.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let value = |name: &str| pairs().find_map(|pair| query::value(pair, name));
    let mut out = format!("{PAGE}?");
    if !pairs().any(|pair| query::name(pair) == "autoconnect") {
        out.push_str("autoconnect=1&");
    }
    out.push_str("path=");
    let path = value("path").unwrap_or(PATH);
    push_printable(&mut out, path);
    if let Some(token) = value("token") {
        let decoded: Cow<'_, str> = query::decoded(path);
        let sign = if decoded.contains('?') { '&' } else { '?' };
        encode(&mut out, format!("{sign}token={token}").as_bytes());
    }
    for pair in pairs().filter(|pair| !["path", "token"].contains(&&*query::name(pair))) {
        out.push('&');
        push_printable(&mut out, pair);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_connects_at_once_with_what_it_was_asked_with() {
        for (query, expected) in [
            (None, "autoconnect=1&path=websockify"),
            (Some(""), "autoconnect=1&path=websockify"),
            (Some("&&"), "autoconnect=1&path=websockify"),
            (Some("resize=scale&view_only"), "autoconnect=1&path=websockify&resize=scale&view_only"),
            (Some("autoconnect=0"), "path=websockify&autoconnect=0"),
            (Some("token=abc"), "autoconnect=1&path=websockify%3Ftoken%3Dabc"),
            (Some("a=b&token=abc&c=d"), "autoconnect=1&path=websockify%3Ftoken%3Dabc&a=b&c=d"),
            (Some("%74oken=abc"), "autoconnect=1&path=websockify%3Ftoken%3Dabc"),
            (Some("token=&token=b&token=c"), "autoconnect=1&path=websockify%3Ftoken%3Db"),
            (Some("token"), "autoconnect=1&path=websockify"),
            // It is decoded by noVNC, and then by us.
            (Some("token=a%26b+c%2Bd"), "autoconnect=1&path=websockify%3Ftoken%3Da%2526b%2Bc%252Bd"),
            (Some("path=x/y&token=t"), "autoconnect=1&path=x/y%3Ftoken%3Dt"),
            (Some("path=x%3Fa=b&token=t"), "autoconnect=1&path=x%3Fa=b%26token%3Dt"),
            (Some("path=x?a&token=t"), "autoconnect=1&path=x?a%26token%3Dt"),
            (Some("path="), "autoconnect=1&path=websockify"),
            (Some("x=\u{e9}\u{7f}\"'"), "autoconnect=1&path=websockify&x=%C3%A9%7F\"'"),
        ] {
            assert_eq!(location(query), format!("vnc.html?{expected}"), "{query:?}");
        }
    }

    #[test]
    fn the_token_arrives_as_it_was_sent() {
        for token in ["abc", "a%26b", "a+b", "a%2Bb", "%2525", "a=b", "%C3%BC"] {
            let query = format!("x=y&token={token}");
            let location = location(Some(&query));
            let path = location.split('&').find_map(|pair| pair.strip_prefix("path=")).expect("a path");
            // decodeURIComponent, as noVNC does it: a plus is a plus.
            let decoded = query::decoded(&path.replace('+', "%2B")).into_owned();
            assert_eq!(query::token(&format!("/{decoded}")), query::token(&format!("/?{query}")), "{token}");
        }
    }
}
