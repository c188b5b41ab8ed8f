//! Which bytes of a file a `Range` header asks for (RFC 9110, 14.2).
//!
//! A header that is not understood, or that asks for more work than the whole file would be, is ignored, as
//! the RFC allows: the answer is then the whole file, which is never wrong.

/// A run of bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub from: u64,
    /// How many there are, at least one.
    pub len: u64,
}

/// What a header asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// The whole file: the header does not count.
    Whole,
    /// These bytes, in the order asked for; at least one span and at most [`SPANS_MAX`], all inside the file.
    Spans(Vec<Span>),
    /// Nothing of what is asked for exists.
    Unsatisfiable,
}

/// The most spans of one answer. PDF readers, which ask for the most, send about ten.
pub const SPANS_MAX: usize = 16;

/// Reads the value of a `Range` header for a file of `length` bytes.
pub fn select(value: &[u8], length: u64) -> Selection {
    let Some((unit, list)) = split_once(value, b'=') else { return Selection::Whole };
    if !unit.trim_ascii().eq_ignore_ascii_case(b"bytes") {
        return Selection::Whole;
    }
    let mut spans = Vec::new();
    let (mut asked, mut total) = (0, 0_u128);
    for member in list.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
    {
        asked += 1;
        let Some(span) = span(member, length) else { return Selection::Whole };
        if let Some(span) = span {
            total += u128::from(span.len);
            spans.push(span);
        }
        if asked > SPANS_MAX {
            return Selection::Whole;
        }
    }
    match (asked, spans.is_empty()) {
        (0, _) => Selection::Whole,
        (_, true) => Selection::Unsatisfiable,
        // Spans that overlap so much that their sum exceeds the file save nothing.
        _ if total > u128::from(length) => Selection::Whole,
        _ => Selection::Spans(spans),
    }
}

/// One member of the list: `None` when it is malformed, `Some(None)` when none of it is in the file.
fn span(member: &[u8], length: u64) -> Option<Option<Span>> {
    let (first, last) = split_once(member, b'-')?;
    let (first, last) = (first.trim_ascii(), last.trim_ascii());
    if first.is_empty() {
        let len = number(last)?.min(length);
        return Some((len > 0).then(|| Span { from: length - len, len }));
    }
    let from = number(first)?;
    let last = if last.is_empty() { u64::MAX } else { number(last)? };
    if last < from {
        return None;
    }
    if from >= length {
        return Some(None);
    }
    Some(Some(Span { from, len: last.min(length - 1) - from + 1 }))
}

/// A number of digits only; one that is too large for any file is the largest there is.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |sum: u64, digit: &u8| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    Some(digits.iter().fold(0, add))
}

fn split_once(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(separator, text)?;
    Some((&text[..at], &text[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(list: &[(u64, u64)]) -> Selection {
        Selection::Spans(list.iter().map(|&(from, len)| Span { from, len }).collect())
    }

    #[test]
    fn a_range_selects_what_the_rfc_says() {
        let table = [
            ("bytes=0-0", spans(&[(0, 1)])),
            ("bytes=0-499", spans(&[(0, 500)])),
            ("bytes=500-", spans(&[(500, 500)])),
            ("bytes=-1", spans(&[(999, 1)])),
            ("bytes=-2000", spans(&[(0, 1000)])),
            ("bytes=999-99999999999999999999999", spans(&[(999, 1)])),
            ("BYTES = 1 - 2 ", spans(&[(1, 2)])),
            ("bytes=0-0,-1", spans(&[(0, 1), (999, 1)])),
            ("bytes=,5-9, ,1000-,", spans(&[(5, 5)])),
            ("bytes=1000-", Selection::Unsatisfiable),
            ("bytes=-0", Selection::Unsatisfiable),
            ("bytes=1000-2000,5000-", Selection::Unsatisfiable),
            ("bytes=18446744073709551615-", Selection::Unsatisfiable),
        ];
        for (value, expected) in table {
            assert_eq!(select(value.as_bytes(), 1000), expected, "{value}");
        }
    }

    #[test]
    fn what_is_malformed_or_costs_too_much_is_the_whole_file() {
        let many = format!("bytes={}", "0-0,".repeat(SPANS_MAX + 1));
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "lines=0-1",
            "bytes=5-1",
            "bytes=a-b",
            "bytes=-",
            "bytes=1",
            "bytes=+1-2",
            "bytes=0-1,x",
            "bytes=0-998,1-999",
            &many,
        ] {
            assert_eq!(select(value.as_bytes(), 1000), Selection::Whole, "{value}");
        }
        assert!(matches!(select(&many.as_bytes()[..many.len() - 4], 1000), Selection::Spans(_)));
    }

    #[test]
    fn an_empty_file_has_no_range() {
        assert_eq!(select(b"bytes=0-", 0), Selection::Unsatisfiable);
        assert_eq!(select(b"bytes=-5", 0), Selection::Unsatisfiable);
    }
}
