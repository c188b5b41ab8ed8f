//! Conditional requests (RFC 9110, 13): whether a file is sent whole, in parts, or not at all.

use std::time::{Duration, UNIX_EPOCH};

use super::request::Request;

/// What distinguishes one state of a file from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validators {
    /// The strong entity tag, with its quotes.
    pub tag: String,
    /// The file's own date, in seconds since the Unix epoch, if it is meaningful.
    pub modified: Option<u64>,
    /// When the file was last changed in any way, likewise. A file that replaced a newer one has an earlier
    /// date than that.
    pub changed: u64,
}

/// The conditions of a request, in bytes of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    if_match: Option<Vec<u8>>,
    if_none_match: Option<Vec<u8>>,
    if_unmodified_since: Option<u64>,
    if_modified_since: Option<u64>,
    if_range: Option<Vec<u8>>,
    range: Option<Vec<u8>>,
}

/// What the conditions say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Answer as if there were no conditions, except for [`Conditions::range`].
    Go,
    /// 304: the client has this state.
    NotModified,
    /// 412: the client wanted another state.
    Failed,
}

impl Conditions {
    /// Takes what a request says. Dates that can't be read are ignored.
    pub fn of(request: &Request<'_>) -> Conditions {
        let joined = |name: &str| {
            let lines: Vec<&[u8]> = request.headers(name).collect();
            (!lines.is_empty()).then(|| lines.join(&b", "[..]))
        };
        let single = |name: &str| match request.headers(name).count() {
            1 => request.header(name).map(<[u8]>::to_vec),
            _ => None,
        };
        let since = |name: &str| single(name).and_then(|value| parse_date(&value));
        Conditions {
            if_match: joined("if-match"),
            if_none_match: joined("if-none-match"),
            if_unmodified_since: since("if-unmodified-since"),
            if_modified_since: since("if-modified-since"),
            if_range: joined("if-range"),
            range: single("range"),
        }
    }

    /// Evaluates the conditions of a GET or HEAD in the order of RFC 9110, 13.2.2.
    pub fn verdict(&self, state: &Validators) -> Verdict {
        let matched = match (&self.if_match, self.if_unmodified_since) {
            (Some(list), _) => is_listed(list, &state.tag, true),
            (None, Some(since)) => state.is_unmodified_since(since).unwrap_or(true),
            (None, None) => true,
        };
        if !matched {
            return Verdict::Failed;
        }
        let known = match (&self.if_none_match, self.if_modified_since) {
            (Some(list), _) => is_listed(list, &state.tag, false),
            (None, Some(since)) => state.is_unmodified_since(since).unwrap_or(false),
            (None, None) => false,
        };
        if known { Verdict::NotModified } else { Verdict::Go }
    }

    /// The value of `Range`, if it counts for this state of the file. A client that could have sent a tag but
    /// sends a date is answered as if the file had changed: a date can't distinguish two states within one
    /// second (RFC 9110, 13.1.5).
    pub fn range(&self, state: &Validators) -> Option<&[u8]> {
        let range = self.range.as_deref()?;
        let counts = match self.if_range.as_deref() {
            None => true,
            Some(value) => value == state.tag.as_bytes(),
        };
        counts.then_some(range)
    }
}

impl Validators {
    /// Whether the file is the same as at that moment; `None` if its dates can't say so. The date that it was sent
    /// with is believed; a later one only if nothing was done to the file since.
    fn is_unmodified_since(&self, since: u64) -> Option<bool> {
        self.modified.map(|modified| since == modified || since >= modified.max(self.changed))
    }
}

/// Whether a list of entity tags has this one, or is `*`. The strong comparison passes over weak tags.
fn is_listed(list: &[u8], tag: &str, strong: bool) -> bool {
    let mut rest = list.trim_ascii();
    if rest == b"*" {
        return true;
    }
    loop {
        while let [b' ' | b'\t' | b',', tail @ ..] = rest {
            rest = tail;
        }
        let (weak, opaque) = match rest {
            [b'W', b'/', tail @ ..] => (true, tail),
            _ => (false, rest),
        };
        // A tag may have commas; it ends with its second quote. What has no quotes is not a tag, nor is the rest.
        let [b'"', tail @ ..] = opaque else { return false };
        let Some(len) = memchr::memchr(b'"', tail) else { return false };
        if &opaque[..len + 2] == tag.as_bytes() && !(weak && strong) {
            return true;
        }
        rest = &tail[len + 1..];
    }
}

/// A date for a header, from seconds since the Unix epoch; those beyond the year 9999 are its last second.
pub fn date(seconds: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds.min(SECONDS_MAX)))
}

/// Seconds since the Unix epoch of a date in one of the three forms of RFC 9110, 5.6.7.
fn parse_date(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    let moment = httpdate::parse_http_date(text).ok()?;
    moment.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

/// The last second of the year 9999.
const SECONDS_MAX: u64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(headers: &str) -> Conditions {
        let head = format!("GET / HTTP/1.1\r\n{headers}\r\n");
        Conditions::of(&Request::parse(head.as_bytes()).expect("well-formed"))
    }

    fn state() -> Validators {
        Validators { tag: "\"a-1\"".into(), modified: Some(784_111_777), changed: 784_111_777 }
    }

    #[test]
    fn conditions_are_evaluated_in_the_rfc_s_order() {
        use Verdict::{Failed, Go, NotModified};
        let (same, before, after) = (
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:36 GMT",
            "Sunday, 06-Nov-94 08:49:38 GMT",
        );
        let table = [
            (String::new(), Go),
            ("If-None-Match: \"a-1\"\r\n".into(), NotModified),
            ("If-None-Match: W/\"a-1\"\r\n".into(), NotModified),
            ("If-None-Match: \"x,y\" ,W/\"z\"\r\nIf-None-Match: \"a-1\"\r\n".into(), NotModified),
            ("If-None-Match: *\r\n".into(), NotModified),
            ("If-None-Match: a-1\r\n".into(), Go),
            ("If-None-Match: \"a-1\r\n".into(), Go),
            ("If-None-Match: \"b\", x, \"a-1\"\r\n".into(), Go),
            (format!("If-Modified-Since: {same}\r\n"), NotModified),
            (format!("If-Modified-Since: {after}\r\n"), NotModified),
            (format!("If-Modified-Since: {before}\r\n"), Go),
            ("If-Modified-Since: yesterday\r\n".into(), Go),
            (format!("If-Modified-Since: {same}\r\nIf-None-Match: \"b\"\r\n"), Go),
            ("If-Match: \"a-1\"\r\n".into(), Go),
            ("If-Match: W/\"a-1\"\r\n".into(), Failed),
            ("If-Match: \"b\"\r\n".into(), Failed),
            ("If-Match: *\r\n".into(), Go),
            (format!("If-Unmodified-Since: {before}\r\n"), Failed),
            (format!("If-Unmodified-Since: {same}\r\n"), Go),
            (format!("If-Match: \"a-1\"\r\nIf-Unmodified-Since: {before}\r\n"), Go),
            ("If-Match: \"b\"\r\nIf-None-Match: \"a-1\"\r\n".into(), Failed),
        ];
        for (headers, verdict) in table {
            assert_eq!(conditions(&headers).verdict(&state()), verdict, "{headers}");
        }
    }

    #[test]
    fn a_range_counts_only_for_the_state_it_was_meant_for() {
        let table = [
            ("", false),
            ("Range: bytes=0-\r\n", true),
            ("Range: bytes=0-\r\nIf-Range: \"a-1\"\r\n", true),
            ("Range: bytes=0-\r\nIf-Range: W/\"a-1\"\r\n", false),
            ("Range: bytes=0-\r\nIf-Range: \"b\"\r\n", false),
            ("Range: bytes=0-\r\nIf-Range: Sun, 06 Nov 1994 08:49:37 GMT\r\n", false),
            ("Range: bytes=0-\r\nIf-Range: Sun, 06 Nov 1994 08:49:38 GMT\r\n", false),
            ("Range: bytes=0-\r\nIf-Range: Sun, 06 Nov 1994 08:49:36 GMT\r\n", false),
            ("Range: bytes=0-\r\nIf-Range: x\r\n", false),
            ("Range: bytes=0-\r\nRange: bytes=1-\r\n", false),
        ];
        for (headers, counts) in table {
            assert_eq!(conditions(headers).range(&state()).is_some(), counts, "{headers}");
        }
    }

    #[test]
    fn dates_are_believed_only_as_far_as_they_say_something() {
        use Verdict::{Failed, Go, NotModified};
        let since = |at: u64| (conditions(&format!("If-Modified-Since: {}\r\n", date(at))), at);
        let until = |at: u64| (conditions(&format!("If-Unmodified-Since: {}\r\n", date(at))), at);
        let dated = |modified, changed| Validators { tag: "\"a\"".into(), modified, changed };
        // A file that was replaced by an older one: its date is before the one that clients know.
        let rolled_back = dated(Some(1_700_000_000), 1_760_000_000);
        for (at, known) in [
            (1_600_000_000, false),
            (1_700_000_000, true),
            (1_750_000_000, false),
            (1_760_000_000, true),
            (1_790_000_000, true),
        ] {
            let (not_modified, unmodified) = if known { (NotModified, Go) } else { (Go, Failed) };
            assert_eq!(since(at).0.verdict(&rolled_back), not_modified, "since {at}");
            assert_eq!(until(at).0.verdict(&rolled_back), unmodified, "until {at}");
        }
        // Without a meaningful date there is nothing to compare with.
        for at in [0, 1, 315_532_800, 4_000_000_000] {
            assert_eq!(since(at).0.verdict(&dated(None, 1)), Go);
            assert_eq!(until(at).0.verdict(&dated(None, 1)), Go);
        }
    }

    #[test]
    fn every_second_has_a_date() {
        assert_eq!(date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date(u64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
