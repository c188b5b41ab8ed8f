//! Answers to requests.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::exposition;
use crate::http::conditional::date;
use crate::http::response::{Head, SERVER, Status};

/// An answer, which is the last one of its connection.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    kind: &'static str,
    body: Vec<u8>,
    extra: Option<(&'static str, &'static str)>,
}

impl Answer {
    /// Lines of text.
    pub(super) fn text(status: u16, body: impl Into<String>) -> Answer {
        Answer { status, kind: "text/plain; charset=utf-8", body: body.into().into_bytes(), extra: None }
    }

    /// An object.
    pub(super) fn json(status: u16, value: &Value) -> Answer {
        let body = format!("{value}\n").into_bytes();
        Answer { status, kind: "application/json", body, extra: None }
    }

    /// A page of metrics.
    pub(super) fn metrics(body: String) -> Answer {
        Answer { kind: exposition::KIND, ..Answer::text(200, body) }
    }

    /// Why a request is refused.
    pub(super) fn error(status: u16, reason: impl AsRef<str>) -> Answer {
        Answer::json(status, &json!({ "error": reason.as_ref() }))
    }

    /// The same with a further field.
    pub(super) fn with(self, name: &'static str, value: &'static str) -> Answer {
        Answer { extra: Some((name, value)), ..self }
    }

    /// All of it in bytes; `head_only` for HEAD.
    pub(super) fn bytes(&self, head_only: bool) -> Vec<u8> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut head = Head::new(Status(self.status));
        head.field("Server", SERVER);
        head.field("Date", date(now));
        head.field("Content-Type", self.kind);
        head.field("Content-Length", self.body.len());
        head.field("Cache-Control", "no-store");
        head.field("X-Content-Type-Options", "nosniff");
        head.field("Referrer-Policy", "no-referrer");
        if let Some((name, value)) = self.extra {
            head.field(name, value);
        }
        head.field("Connection", "close");
        let mut bytes = head.finish();
        if !head_only {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}
