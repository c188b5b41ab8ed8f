//! Lines of a child's output, collected by a thread, so that a test can wait for one.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::DEADLINE;

/// The lines that have come so far; clones share them.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<(Mutex<Lines>, Condvar)>);

#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    ended: bool,
}

impl Log {
    /// Reads `source` to its end on a thread of its own.
    pub(crate) fn collect(source: impl Read + Send + 'static) -> Self {
        Self::collect_if(source, |_| true)
    }

    /// The same, keeping only some lines, for programs that write for hours.
    pub(crate) fn collect_if(source: impl Read + Send + 'static, keep: fn(&str) -> bool) -> Self {
        let log = Self::default();
        let writer = log.clone();
        std::thread::spawn(move || {
            let mut source = BufReader::new(source);
            let mut line = Vec::new();
            while matches!(source.read_until(b'\n', &mut line), Ok(count) if count > 0) {
                let text = String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned();
                if keep(&text) {
                    writer.lock().lines.push(text);
                    writer.0.1.notify_all();
                }
                line.clear();
            }
            writer.lock().ended = true;
            writer.0.1.notify_all();
        });
        log
    }

    /// A copy of all lines.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lock().lines.clone()
    }

    /// How many lines contain `text`.
    pub(crate) fn count(&self, text: &str) -> usize {
        self.lock().lines.iter().filter(|line| line.contains(text)).count()
    }

    /// Waits until `count` lines contain `text`, and panics if there are more by then. The log has a thread of
    /// its own, so a line may come later than what it tells of.
    #[track_caller]
    pub(crate) fn expect(&self, text: &str, count: usize) {
        self.wait_for_nth(text, count);
        assert_eq!(self.count(text), count, "{text:?} in:\n{}", self.lines().join("\n"));
    }

    /// Waits for a line that contains `text` and returns the first such line.
    pub(crate) fn wait_for(&self, text: &str) -> String {
        self.wait_for_nth(text, 1)
    }

    /// Waits until `count` lines contain `text` and returns the last of them.
    pub(crate) fn wait_for_nth(&self, text: &str, count: usize) -> String {
        self.wait_until(&format!("{count} × {text:?} in the output"), |lines| {
            lines.iter().filter(|line| line.contains(text)).nth(count - 1).cloned()
        })
    }

    /// Waits until the output has ended and returns all of it.
    pub(crate) fn wait_for_end(&self) -> Vec<String> {
        let start = Instant::now();
        let mut guard = self.lock();
        while !guard.ended {
            guard = self.wait(guard, start, "the end of the output");
        }
        let lines = guard.lines.clone();
        drop(guard);
        lines.iter().for_each(|line| assert_is_for_people(line));
        lines
    }

    fn wait_until<T>(&self, what: &str, find: impl Fn(&[String]) -> Option<T>) -> T {
        let start = Instant::now();
        let mut guard = self.lock();
        loop {
            if let Some(found) = find(&guard.lines) {
                return found;
            }
            assert!(!guard.ended, "the output ended without {what}:\n{}", guard.lines.join("\n"));
            guard = self.wait(guard, start, what);
        }
    }

    fn wait<'a>(&'a self, guard: MutexGuard<'a, Lines>, start: Instant, what: &str) -> MutexGuard<'a, Lines> {
        let left = DEADLINE.saturating_sub(start.elapsed());
        assert!(!left.is_zero(), "timed out waiting for {what}:\n{}", guard.lines.join("\n"));
        self.0.1.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Panics if a text has an error in the form that libraries print for programmers (`{:?}`), or in words of theirs
/// that an operator can't look up.
#[track_caller]
pub(crate) fn assert_is_for_people(text: &str) {
    let is_for_programmers = FOR_PROGRAMMERS.iter().any(|form| text.contains(form)) || has_variant(text);
    assert!(!is_for_programmers, "this is no text for people: {text}");
}

/// What only programmers know.
const FOR_PROGRAMMERS: &[&str] = &[
    "(os error",
    "SUN_LEN",
    "Some(",
    "Err(",
    "OID",
    "ASN.1",
    "uncategorized error",
    "other error",
    "kind: ",
];

/// Whether a text has a variant with contents, such as `Custom { kind` or `InvalidCertificate(UnknownIssuer`.
fn has_variant(text: &str) -> bool {
    let is_camel = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_uppercase())
            && word.contains(|sign: char| sign.is_ascii_lowercase())
            && word.chars().all(|sign| sign.is_ascii_alphanumeric())
    };
    let word_before =
        |at: usize| text[..at].rsplit(|sign: char| !sign.is_ascii_alphanumeric()).next().unwrap_or("");
    let word_behind =
        |at: usize| text[at..].split(|sign: char| !sign.is_ascii_alphanumeric()).next().unwrap_or("");
    let braces = text.match_indices(" { ").any(|(at, _)| is_camel(word_before(at)));
    let is_inner = |at: usize| {
        is_camel(word_behind(at)) && text[at + word_behind(at).len()..].starts_with([')', '(', ' ', ','])
    };
    braces || text.match_indices('(').any(|(at, _)| is_camel(word_before(at)) && is_inner(at + 1))
}

/// The message of a line about one connection: what follows `ADDRESS - - [22/Nov/2026 13:10:22] `.
/// `None` if the line is not of that form, the date included.
pub(crate) fn message<'a>(line: &'a str, address: &str) -> Option<&'a str> {
    let (date, rest) = line.strip_prefix(address)?.strip_prefix(" - - [")?.split_at_checked(20)?;
    is_date(date).then_some(())?;
    rest.strip_prefix("] ")
}

/// Whether `text` reads like `22/Nov/2026 13:10:22`.
fn is_date(text: &str) -> bool {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let shape = text.bytes().zip(b"00/Aaa/0000 00:00:00").all(|(byte, &kind)| match kind {
        b'0' => byte.is_ascii_digit(),
        b'A' => byte.is_ascii_uppercase(),
        b'a' => byte.is_ascii_lowercase(),
        other => byte == other,
    });
    shape && text.get(3..6).is_some_and(|month| MONTHS.contains(month))
}
