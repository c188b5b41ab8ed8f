//! The output of plugins: it goes to the log line by line, bounded in length and in rate, and without the
//! secrets in recent questions.

use std::collections::VecDeque;
use std::io::Read;
use std::process::ChildStderr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::process::is_ready;
use crate::http::credentials;
use crate::log::Log;
use crate::secret::{fingerprint, hide};
use rustix::event::PollFlags;

/// Secrets that must not appear in the log, and their replacements. Clones share them.
#[derive(Clone)]
pub(super) struct Secrets {
    /// Whether they may appear after all (`--log-tokens`).
    are_shown: bool,
    known: Arc<Mutex<VecDeque<(String, String)>>>,
}

impl Secrets {
    pub(super) fn new(log: &Log) -> Secrets {
        Secrets { are_shown: log.shows_secrets(), known: Arc::default() }
    }

    /// A token that is being asked about.
    pub(super) fn note_token(&self, token: &str) {
        self.note(token, fingerprint(token.as_bytes()));
    }

    /// The secrets in header fields.
    pub(super) fn note_headers(&self, headers: &[(String, String)]) {
        for (name, value) in headers {
            let is_authorization = name.eq_ignore_ascii_case("authorization");
            if !is_authorization && !name.eq_ignore_ascii_case("cookie") {
                continue;
            }
            for part in value.split([' ', ';', ',']) {
                self.note(part, "***".into());
                if let Some((_, value)) = part.split_once('=') {
                    self.note(value, "***".into());
                }
            }
            if is_authorization && let Ok(credentials) = credentials::basic(value.as_bytes()) {
                self.note(&String::from_utf8_lossy(credentials.password.reveal()), "***".into());
            }
        }
    }

    fn note(&self, secret: &str, shown: String) {
        // Shorter ones would match in too many ordinary words.
        if self.are_shown || secret.len() < SECRET_BYTES_MIN {
            return;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.iter().any(|(other, _)| other == secret) {
            return;
        }
        if known.len() == SECRETS_MAX {
            known.pop_front();
        }
        known.push_back((secret.to_owned(), shown));
    }

    /// `text` without them.
    pub(super) fn hide(&self, text: &str) -> String {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().fold(text.to_owned(), |text, (secret, shown)| match text.contains(secret.as_str()) {
            true => hide(&text, secret, shown),
            false => text,
        })
    }
}

/// Logs lines until the pipe ends, or the process has exited and nothing more comes.
pub(super) fn pass_on(
    mut pipe: ChildStderr,
    whose: &str,
    secrets: &Secrets,
    is_over: &AtomicBool,
    log: &Log,
) {
    let (mut lines, mut rate) = (Lines::default(), Rate::new(Instant::now()));
    let mut buffer = [0; READ_BYTES];
    let say = |line: &str, now: Instant, rate: &mut Rate| match rate.admit(now) {
        Some(0) => log.info(format_args!("{whose}: {}", secrets.hide(line))),
        Some(missing) => {
            log.info(format_args!("{whose}: {missing} more lines suppressed"));
            log.info(format_args!("{whose}: {}", secrets.hide(line)));
        }
        None => {}
    };
    loop {
        match is_ready(&pipe, PollFlags::IN, Instant::now() + LOOK_INTERVAL) {
            Ok(true) => {}
            // Any processes that still hold the pipe were not in the group.
            Ok(false) if is_over.load(Ordering::Relaxed) => break,
            Ok(false) => continue,
            Err(_) => break,
        }
        let count = match pipe.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(count) => count,
        };
        let now = Instant::now();
        lines.add(&buffer[..count], |line| say(line, now, &mut rate));
        // A plugin that prints without end is slowed down by the pipe, so that it costs little processor time
        // here.
        thread::sleep(rate.pause(count, now));
    }
    lines.end(|line| say(line, Instant::now(), &mut rate));
    if rate.left_out > 0 {
        log.info(format_args!("{whose}: {} more lines suppressed", rate.left_out));
    }
}

/// Splits what is read into lines. Only the beginning of a long one is kept.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    fn add(&mut self, bytes: &[u8], mut each: impl FnMut(&str)) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE_BYTES_MAX - self.0.len();
            self.0.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                self.end(&mut each);
            }
        }
    }

    fn end(&mut self, mut each: impl FnMut(&str)) {
        let line = std::mem::take(&mut self.0);
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if !text.is_empty() {
            each(text);
        }
    }
}

/// How much has been passed on lately.
struct Rate {
    since: Instant,
    lines: u32,
    left_out: u64,
    second: Instant,
    bytes: usize,
}

impl Rate {
    fn new(now: Instant) -> Rate {
        Rate { since: now, lines: 0, left_out: 0, second: now, bytes: 0 }
    }

    /// Whether a line may be written now; if so, how many were left out before it.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        if now.saturating_duration_since(self.since) >= WINDOW {
            (self.since, self.lines) = (now, 0);
        }
        if self.lines == LINES_MAX {
            self.left_out += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.left_out))
    }

    /// How long to pause reading after this many more bytes.
    fn pause(&mut self, bytes: usize, now: Instant) -> Duration {
        let elapsed = now.saturating_duration_since(self.second);
        if elapsed >= Duration::from_secs(1) {
            (self.second, self.bytes) = (now, 0);
        }
        self.bytes += bytes;
        match self.bytes > BYTES_A_SECOND {
            true => Duration::from_secs(1).saturating_sub(elapsed),
            false => Duration::ZERO,
        }
    }
}

/// Lines of one process in one [`WINDOW`]; a traceback has some twenty.
const LINES_MAX: u32 = 100;

/// After this time the counting starts over.
const WINDOW: Duration = Duration::from_secs(10);

/// Only the beginning of a longer line is kept.
const LINE_BYTES_MAX: usize = 1024;

/// What is read at a time.
const READ_BYTES: usize = 8192;

/// What one process can print in a second.
const BYTES_A_SECOND: usize = 256 * 1024;

/// How often it is checked whether the process has exited.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The number of secrets that are looked for, the most recent ones.
const SECRETS_MAX: usize = 64;

/// Shorter ones are not looked for, in bytes.
const SECRET_BYTES_MIN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_in_length_and_number() {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        lines.add(b"one\r\ntw", |line| seen.push(line.to_owned()));
        lines.add(b"o\n\n\xff\n", |line| seen.push(line.to_owned()));
        lines.add(&[b'x'; 100_000], |line| seen.push(line.to_owned()));
        assert!(lines.0.len() <= LINE_BYTES_MAX);
        lines.add(b"y\nlast", |line| seen.push(line.to_owned()));
        lines.end(|line| seen.push(line.to_owned()));
        assert_eq!(seen, ["one", "two", "\u{fffd}", &"x".repeat(LINE_BYTES_MAX), "last"]);
        let now = Instant::now();
        let mut rate = Rate::new(now);
        let admitted = (0..1000).filter(|_| rate.admit(now).is_some()).count();
        assert_eq!(admitted, LINES_MAX as usize);
        assert_eq!(rate.admit(now + WINDOW), Some(1000 - u64::from(LINES_MAX)));
    }

    #[test]
    fn who_prints_without_end_waits() {
        let now = Instant::now();
        let mut rate = Rate::new(now);
        assert_eq!(rate.pause(BYTES_A_SECOND, now), Duration::ZERO);
        assert_eq!(rate.pause(1, now + Duration::from_millis(300)), Duration::from_millis(700));
        assert_eq!(rate.pause(1, now + Duration::from_secs(1)), Duration::ZERO);
    }

    #[test]
    fn tokens_passwords_and_cookies_are_hidden() {
        let secrets = Secrets::new(&Log::in_memory(false));
        secrets.note_token("tOk3n");
        secrets.note_token("abc");
        let headers = [
            ("Authorization".into(), "Basic dTpodW50ZXIy".into()),
            ("cookie".into(), "a=sessionid; b=other".into()),
            ("X-Other".into(), "shown".into()),
        ];
        secrets.note_headers(&headers);
        assert_eq!(
            secrets.hide("tOk3n, hunter2 or dTpodW50ZXIy, sessionid and other: shown abc"),
            format!("{}, *** or ***, *** and ***: shown abc", fingerprint(b"tOk3n"))
        );
        for number in 0..1000 {
            secrets.note_token(&format!("token-{number}"));
        }
        assert!(secrets.known.lock().expect("no panic").len() <= SECRETS_MAX);
    }
}
