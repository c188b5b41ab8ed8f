//! Request targets in logs: the shape stays, the secrets go.

use std::borrow::Cow;

/// A request target as it may be logged. For now the whole query is cut.
pub fn redact(target: &str) -> Cow<'_, str> {
    match target.find('?') {
        Some(at) => Cow::Owned(format!("{}?***", &target[..at])),
        None => Cow::Borrowed(target),
    }
}
