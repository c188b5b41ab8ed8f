//! A refusal: an error of HTTP with its reason and headers, owned, so that one made from a plugin's words is
//! handled like our own.

use std::borrow::Cow;

use super::response::{self, Status};

/// Why a request is not granted, and what is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status to answer with.
    pub status: Status,
    /// What is wrong, in one line: the body of the answer, and the log's words where there is no note.
    pub reason: Cow<'static, str>,
    /// The log's words, where the client gets fewer.
    pub note: Option<Cow<'static, str>>,
    /// Whether the reason stands in the status line, in place of the usual phrase.
    pub is_phrase: bool,
    /// Further headers of the answer.
    pub headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
}

impl Refusal {
    /// A refusal without further headers.
    pub fn new(status: u16, reason: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal {
            status: Status(status),
            reason: reason.into(),
            note: None,
            is_phrase: false,
            headers: Vec::new(),
        }
    }

    /// The same with words for the log alone.
    pub fn noted(mut self, note: impl Into<Cow<'static, str>>) -> Refusal {
        self.note = Some(note.into());
        self
    }

    /// The same with its reason in the status line.
    pub fn phrased(mut self) -> Refusal {
        self.is_phrase = true;
        self
    }

    /// What the log says of it.
    pub fn log_words(&self) -> &str {
        self.note.as_deref().unwrap_or(&self.reason)
    }

    /// The same with a further header. A `Connection` replaces the usual `close`.
    pub fn with(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Cow<'static, str>>,
    ) -> Refusal {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Whether it is an error; the answer to OPTIONS is not.
    pub fn is_error(&self) -> bool {
        self.status.0 >= 400
    }

    /// The complete answer, which ends the connection; see [`response::refusal`]. `date` is that of now.
    pub fn response(&self, date: &str, head_only: bool) -> Vec<u8> {
        let own = self.headers.iter().map(|(name, value)| (name.as_ref(), value.as_ref()));
        let headers: Vec<(&str, &str)> = [("Date", date)].into_iter().chain(own).collect();
        let phrase = if self.is_phrase { &self.reason } else { self.status.reason() };
        response::refusal(self.status, phrase, &self.reason, &headers, head_only)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_carries_headers_that_were_made_at_run_time() {
        let realm = format!("Basic realm=\"{}\"", "a".repeat(3));
        let refusal = Refusal::new(401, String::from("who are you?")).with("WWW-Authenticate", realm);
        let answer = String::from_utf8(refusal.response("now", false)).expect("text");
        assert!(answer.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{answer}");
        assert!(answer.contains("\r\nWWW-Authenticate: Basic realm=\"aaa\"\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nwho are you?\n"), "{answer}");
    }

    #[test]
    fn the_client_is_not_told_what_the_log_is() {
        let refusal = Refusal::new(403, "Invalid Origin").phrased().noted("origin is http://evil.example");
        let answer = String::from_utf8(refusal.response("now", false)).expect("text");
        assert!(answer.starts_with("HTTP/1.1 403 Invalid Origin\r\n"), "{answer}");
        assert!(!answer.contains("evil"), "{answer}");
        assert_eq!(refusal.log_words(), "origin is http://evil.example");
        assert_eq!(Refusal::new(404, "Not Found").log_words(), "Not Found");
    }
}
