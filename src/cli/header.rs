//! Headers on the command line: `Name: value` of `--web-header`, and the value of `--web-cache-control`.
//!
//! What is wrong is found here and not by the browsers of a running service. Headers that say how an answer is
//! framed or what it is can't be set, since only who makes the answer knows.

use std::ffi::OsStr;

/// Name and value of one header. The error is the text for the user.
pub(super) fn field(text: &OsStr) -> Result<(String, String), String> {
    let fault = |what: &str| format!("option --web-header: {what}: {}", text.display());
    let (name, value) =
        text.to_str().and_then(|text| text.split_once(':')).ok_or(fault("not a 'Name: value'"))?;
    let value = value.trim();
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(fault("not a header's name"));
    }
    if !is_value(value) {
        return Err(fault("not a header's value"));
    }
    if OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours)) {
        return Err(fault("this header can't be set"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// The value of `Cache-Control`, or what it is without the option. The error is the text for the user.
pub(super) fn cache_control(text: Option<&OsStr>) -> Result<String, String> {
    let Some(text) = text else { return Ok(DEFAULT_CACHE_CONTROL.to_owned()) };
    match text.to_str().map(str::trim) {
        Some(value) if is_value(value) && !value.is_empty() => Ok(value.to_owned()),
        _ => Err(format!("option --web-cache-control: not a header's value: {}", text.display())),
    }
}

/// The characters of a header's name (RFC 9110, 5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Visible ASCII, blanks and tabs (RFC 9110, 5.5).
fn is_value(value: &str) -> bool {
    value.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t'))
}

/// Browsers may keep files, but ask each time whether they are still good.
const DEFAULT_CACHE_CONTROL: &str = "no-cache";

/// Headers that depend on the answer.
const OURS: &[&str] = &[
    "Accept-Ranges",
    "Allow",
    "Cache-Control",
    "Connection",
    "Content-Encoding",
    "Content-Length",
    "Content-Range",
    "Content-Type",
    "Date",
    "ETag",
    "Keep-Alive",
    "Last-Modified",
    "Location",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_a_name_and_a_value() {
        for (text, name, value) in [
            ("Access-Control-Allow-Origin: *", "Access-Control-Allow-Origin", "*"),
            ("X-A:b: c ", "X-A", "b: c"),
            ("X-Empty:", "X-Empty", ""),
        ] {
            assert_eq!(field(OsStr::new(text)), Ok((name.to_owned(), value.to_owned())), "{text}");
        }
    }

    #[test]
    fn what_could_break_an_answer_is_refused() {
        for (text, what) in [
            ("X-A", "not a 'Name: value'"),
            (": b", "not a header's name"),
            ("X A: b", "not a header's name"),
            ("X-A : b", "not a header's name"),
            ("X-A: b\r\nSet-Cookie: c", "not a header's value"),
            ("X-A: \u{e4}", "not a header's value"),
            ("content-length: 5", "this header can't be set"),
        ] {
            assert_eq!(field(OsStr::new(text)), Err(format!("option --web-header: {what}: {text}")));
        }
        assert!(cache_control(Some(OsStr::new("a\nb"))).is_err());
        assert_eq!(cache_control(None).as_deref(), Ok("no-cache"));
        assert_eq!(cache_control(Some(OsStr::new(" max-age=60"))).as_deref(), Ok("max-age=60"));
    }
}
