//! Status lines, and the short answers that end a connection.

/// An HTTP status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u16);

impl Status {
    /// The standard phrase (RFC 9110, 15), for the status line and the log; `Unknown` for a code that this
    /// program never sends.
    pub fn reason(self) -> &'static str {
        REASONS.iter().find(|(code, _)| *code == self.0).map_or("Unknown", |(_, reason)| reason)
    }
}

/// A complete answer that says `reason` in one line of plain text and ends the connection. `extra` are
/// further headers; a `Connection` among them replaces the usual `close`. With `head_only` (for HEAD) the
/// body is left out and the headers stay as they are.
///
/// Control characters in `reason` and `extra` are left out, so that text from elsewhere can't add lines.
pub fn refusal(status: Status, reason: &str, extra: &[(&str, &str)], head_only: bool) -> Vec<u8> {
    let mut body = String::with_capacity(reason.len() + 1);
    push_line(&mut body, &[reason]);
    body.push('\n');

    let mut out = String::with_capacity(192 + body.len());
    push_header(&mut out, &["HTTP/1.1 ", &status.0.to_string(), " ", status.reason()]);
    push_header(&mut out, &["Content-Type: text/plain; charset=utf-8"]);
    push_header(&mut out, &["Content-Length: ", &body.len().to_string()]);
    if !extra.iter().any(|(name, _)| name.eq_ignore_ascii_case("connection")) {
        push_header(&mut out, &["Connection: close"]);
    }
    for (name, value) in extra {
        push_header(&mut out, &[name, ": ", value]);
    }
    push_header(&mut out, &[]);
    if !head_only {
        out.push_str(&body);
    }
    out.into_bytes()
}

fn push_header(out: &mut String, parts: &[&str]) {
    push_line(out, parts);
    out.push_str("\r\n");
}

fn push_line(out: &mut String, parts: &[&str]) {
    for part in parts {
        out.extend(part.chars().filter(|char| !char.is_control()));
    }
}

/// Every status that this program sends.
const REASONS: &[(u16, &str)] = &[
    (101, "Switching Protocols"),
    (200, "OK"),
    (206, "Partial Content"),
    (301, "Moved Permanently"),
    (304, "Not Modified"),
    (400, "Bad Request"),
    (401, "Unauthorized"),
    (403, "Forbidden"),
    (404, "Not Found"),
    (405, "Method Not Allowed"),
    (408, "Request Timeout"),
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
        let answer = text(refusal(Status(405), "only GET", &[("Allow", "GET")], false));
        let expected = "HTTP/1.1 405 Method Not Allowed\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\
             Content-Length: 9\r\n\
             Connection: close\r\n\
             Allow: GET\r\n\
             \r\n\
             only GET\n";
        assert_eq!(answer, expected);
    }

    #[test]
    fn a_refusal_of_head_has_no_body_but_its_length() {
        let answer = text(refusal(Status(404), "no such file", &[], true));
        assert!(answer.contains("Content-Length: 13\r\n"));
        assert!(answer.ends_with("\r\n\r\n"));
    }

    #[test]
    fn foreign_text_can_not_add_a_header() {
        let extra = [("Location", "/a\r\nSet-Cookie: b"), ("Connection", "Upgrade, close")];
        let answer = text(refusal(Status(400), "bad\r\n\r\nbody", &extra, false));
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
