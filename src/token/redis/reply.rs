//! Answers of a Redis server, in its protocol's version 2.

use std::fmt;

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// `+OK` and the like.
    Status,
    /// The code of an error. Its text may repeat what was asked, secrets included, so it is left out.
    Error(String),
    /// A value.
    Value(Vec<u8>),
    /// There is no value.
    Nil,
}

/// The bytes are not a reply that any of our commands can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    NotRedis,
    TooLarge,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::NotRedis => "the answer is not Redis's",
            Fault::TooLarge => "the answer is larger than 64 KiB",
        })
    }
}

/// Reads the answer at the beginning of `bytes`, and how long it is; nothing as long as it is not whole.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Reply, usize)>, Fault> {
    let Some((&kind, _)) = bytes.split_first() else { return Ok(None) };
    if !b"+-$:".contains(&kind) {
        return Err(Fault::NotRedis);
    }
    let Some(end) = memchr::memchr(b'\n', &bytes[..bytes.len().min(LINE_MAX)]) else {
        return if bytes.len() < LINE_MAX { Ok(None) } else { Err(Fault::NotRedis) };
    };
    let line = bytes[1..end].strip_suffix(b"\r").ok_or(Fault::NotRedis)?;
    let behind = end + 1;
    let reply = match kind {
        b'+' | b':' => Reply::Status,
        b'-' => Reply::Error(code(line)),
        _ if line == b"-1" => Reply::Nil,
        _ => {
            let length = length(line).ok_or(Fault::NotRedis)?;
            if length > VALUE_MAX {
                return Err(Fault::TooLarge);
            }
            let Some(value) = bytes.get(behind..behind + length + 2) else { return Ok(None) };
            let value = value.strip_suffix(b"\r\n").ok_or(Fault::NotRedis)?;
            return Ok(Some((Reply::Value(value.to_vec()), behind + length + 2)));
        }
    };
    Ok(Some((reply, behind)))
}

/// The first word of an error, if it is one that servers use.
fn code(line: &[u8]) -> String {
    let word = line.split(|&byte| byte == b' ').next().unwrap_or_default();
    let is_code = word.len() <= CODE_MAX && word.iter().all(u8::is_ascii_uppercase) && !word.is_empty();
    if is_code { String::from_utf8_lossy(word).into_owned() } else { "an error without a code".into() }
}

fn length(line: &[u8]) -> Option<usize> {
    let is_number = !line.is_empty() && line.len() <= DIGITS_MAX && line.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(line).ok().filter(|_| is_number)?.parse().ok()
}

/// A command in the form in which servers take it from programs.
pub(super) fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// The value of a token is a host and a port.
const VALUE_MAX: usize = 64 * 1024;

/// Lines are statuses, errors and lengths.
const LINE_MAX: usize = 4096;

/// No code of a Redis error is longer.
const CODE_MAX: usize = 20;

/// Digits of a length; nine fit into every `usize`.
const DIGITS_MAX: usize = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_when_it_is_whole() {
        for (text, expected) in [
            ("+OK\r\n", Reply::Status),
            (":1\r\n", Reply::Status),
            ("$-1\r\n", Reply::Nil),
            ("$0\r\n\r\n", Reply::Value(Vec::new())),
            ("$6\r\na\r\nb\r\r\r\n", Reply::Value(b"a\r\nb\r\r".to_vec())),
            (
                "-ERR unknown command 'AUTH', with args beginning with: 'hunter2'\r\n",
                Reply::Error("ERR".into()),
            ),
            ("-WRONGPASS invalid\r\n", Reply::Error("WRONGPASS".into())),
            ("-hunter2\r\n", Reply::Error("an error without a code".into())),
        ] {
            assert_eq!(parse(text.as_bytes()), Ok(Some((expected, text.len()))), "{text:?}");
            for cut in 0..text.len() {
                assert_eq!(parse(&text.as_bytes()[..cut]), Ok(None), "{text:?} cut at {cut}");
            }
        }
        assert_eq!(parse(b"+OK\r\n+OK\r\n"), Ok(Some((Reply::Status, 5))));
    }

    #[test]
    fn what_is_no_answer_is_seen_at_once() {
        for text in [
            "HTTP/1.1 400",
            "*1\r\n",
            "x",
            "+OK\n",
            "$\r\n",
            "$1x\r\n",
            "$-2\r\n",
            "$+1\r\n",
            "$2\r\nabcd",
            "$1\r\nabc",
        ] {
            assert_eq!(parse(text.as_bytes()), Err(Fault::NotRedis), "{text:?}");
        }
        assert_eq!(parse(&[b'+'; 5000]), Err(Fault::NotRedis));
        assert_eq!(parse(b"$65537\r\n"), Err(Fault::TooLarge));
        assert_eq!(parse(b"$999999999\r\n"), Err(Fault::TooLarge));
        assert_eq!(parse(b"$9999999999\r\n"), Err(Fault::NotRedis));
    }

    #[test]
    fn a_command_says_how_long_its_words_are() {
        assert_eq!(command(&[b"GET", b"a\r\nb"]), b"*2\r\n$3\r\nGET\r\n$4\r\na\r\nb\r\n");
    }
}
