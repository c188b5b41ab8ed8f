//! Status lines, heads, and the short answers that end a connection.

use std::fmt::{self, Write as _};

/// An HTTP status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u16);

impl Status {
    /// The standard phrase (RFC 9110, 15), for the status line and the log; `Unknown` for a code that this
    /// program never sends.
    pub fn reason(self) -> &'static str {
        REASONS.iter().find(|(code, _)| *code == self.0).map_or("Unknown", |(_, reason)| reason)
    }

    /// Every status that this program sends.
    pub fn all() -> impl Iterator<Item = Status> {
        REASONS.iter().map(|(code, _)| Status(*code))
    }

    /// Which one of [`Status::all`] it is.
    pub fn index(self) -> Option<usize> {
        REASONS.iter().position(|(code, _)| *code == self.0)
    }

    /// Whether an answer with it has a body, and fields about that (RFC 9110, 6.4.1 and 8.6).
    pub fn has_body(self) -> bool {
        self != Status(204)
    }
}

/// What this program is called in its answers.
pub const SERVER: &str = "websockify";

/// A complete answer that says `reason` in one line of plain text and ends the connection. `phrase` stands in the
/// status line. `extra` are
/// further headers; a `Connection` among them replaces the usual `close`. With `head_only` (for HEAD) the
/// body is left out and the headers stay as they are.
///
/// Control characters in `reason` and `extra` are left out, so that text from elsewhere can't add lines.
pub fn refusal(
    status: Status,
    phrase: &str,
    reason: &str,
    extra: &[(&str, &str)],
    head_only: bool,
) -> Vec<u8> {
    let mut head = Head::phrased(status, phrase);
    head.field("Server", SERVER);
    let mut body = String::with_capacity(reason.len() + 1);
    if status.has_body() {
        push_line(&mut body, &[reason]);
        body.push('\n');
        head.field("Content-Type", "text/plain; charset=utf-8");
        head.field("Content-Length", body.len());
    }
    if !extra.iter().any(|(name, _)| name.eq_ignore_ascii_case("connection")) {
        head.field("Connection", "close");
    }
    for (name, value) in extra {
        head.field(name, value);
    }
    let mut out = head.finish();
    if !head_only {
        out.extend_from_slice(body.as_bytes());
    }
    out
}

/// The head of an answer, field by field. Control characters are removed from everything that is written into
/// it.
#[derive(Debug)]
pub struct Head(String);

impl Head {
    /// Begins with the status line.
    pub fn new(status: Status) -> Head {
        Head::phrased(status, status.reason())
    }

    /// Begins with a status line that has this phrase.
    pub fn phrased(status: Status, phrase: &str) -> Head {
        let mut out = String::with_capacity(HEAD_BYTES_USUAL);
        push_line(&mut out, &["HTTP/1.1 ", &status.0.to_string(), " ", phrase]);
        out.push_str("\r\n");
        Head(out)
    }

    /// Adds a field.
    pub fn field(&mut self, name: &str, value: impl fmt::Display) {
        // Writing to a String can't fail; a Display that reports an error leaves a shorter line.
        let _ = write!(Line(&mut self.0), "{name}: {value}");
        self.0.push_str("\r\n");
    }

    /// The bytes, up to and with the empty line.
    pub fn finish(mut self) -> Vec<u8> {
        self.0.push_str("\r\n");
        self.0.into_bytes()
    }
}

/// Passes text on without its control characters.
struct Line<'a>(&'a mut String);

impl fmt::Write for Line<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        push_line(self.0, &[text]);
        Ok(())
    }
}

fn push_line(out: &mut String, parts: &[&str]) {
    for part in parts {
        out.extend(part.chars().filter(|char| !char.is_control()));
    }
}

/// Most heads are no longer than this, in bytes.
const HEAD_BYTES_USUAL: usize = 512;

/// Every status that this program sends.
const REASONS: &[(u16, &str)] = &[
    (101, "Switching Protocols"),
    (200, "OK"),
    (202, "Accepted"),
    (204, "No Content"),
    (206, "Partial Content"),
    (301, "Moved Permanently"),
    (302, "Found"),
    (304, "Not Modified"),
    (400, "Bad Request"),
    (401, "Unauthorized"),
    (403, "Forbidden"),
    (404, "Not Found"),
    (405, "Method Not Allowed"),
    (408, "Request Timeout"),
    (411, "Length Required"),
    (412, "Precondition Failed"),
    (413, "Content Too Large"),
    (414, "URI Too Long"),
    (416, "Range Not Satisfiable"),
    (417, "Expectation Failed"),
    (426, "Upgrade Required"),
    (431, "Request Header Fields Too Large"),
    (500, "Internal Server Error"),
    (501, "Not Implemented"),
    (503, "Service Unavailable"),
    (505, "HTTP Version Not Supported"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).expect("an answer is text")
    }

    #[test]
    fn a_refusal_is_a_complete_answer() {
        let answer = text(refusal(Status(405), Status(405).reason(), "only GET", &[("Allow", "GET")], false));
        let expected = "HTTP/1.1 405 Method Not Allowed\r\n\
             Server: websockify\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\
             Content-Length: 9\r\n\
             Connection: close\r\n\
             Allow: GET\r\n\
             \r\n\
             only GET\n";
        assert_eq!(answer, expected);
    }

    #[test]
    fn an_answer_without_content_says_nothing_about_it() {
        let answer = text(refusal(Status(204), "No Content", "", &[("Allow", "GET")], false));
        let expected =
            "HTTP/1.1 204 No Content\r\nServer: websockify\r\nConnection: close\r\nAllow: GET\r\n\r\n";
        assert_eq!(answer, expected);
    }

    #[test]
    fn a_refusal_of_head_has_no_body_but_its_length() {
        let answer = text(refusal(Status(404), Status(404).reason(), "no such file", &[], true));
        assert!(answer.contains("Content-Length: 13\r\n"));
        assert!(answer.ends_with("\r\n\r\n"));
    }

    #[test]
    fn foreign_text_can_not_add_a_header() {
        let extra = [("Location", "/a\r\nSet-Cookie: b"), ("Connection", "Upgrade, close")];
        let answer = text(refusal(Status(400), Status(400).reason(), "bad\r\n\r\nbody", &extra, false));
        assert!(answer.contains("\r\nLocation: /aSet-Cookie: b\r\n"));
        assert!(answer.ends_with("\r\n\r\nbadbody\n"));
        assert_eq!(answer.matches("Connection").count(), 1);
    }

    #[test]
    fn codes_without_a_phrase_are_still_sent() {
        assert_eq!(Status(101).reason(), "Switching Protocols");
        assert_eq!(Status(299).reason(), "Unknown");
    }
}
