//! A file of passwords: lines `user:password`, or those of htpasswd with bcrypt and SHA-crypt.

use std::collections::HashMap;

use sha_crypt::{PasswordVerifier, ShaCrypt};

use crate::secret::{self, Secret};

/// What a file says.
#[derive(Default)]
pub(super) struct Passwords {
    users: HashMap<String, Stored>,
    /// Any hash, for unknown users, so that refusing them takes as long.
    decoy: Option<Stored>,
    /// Numbers of lines that can't be used, from 1, and why.
    pub(super) bad: Vec<(usize, &'static str)>,
}

/// A stored password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    kind: Kind,
    text: Secret,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Bcrypt,
    ShaCrypt,
}

impl Passwords {
    /// Reads a file. A bad line does not affect the others; of several lines for a user the first counts.
    pub(super) fn parse(bytes: &[u8]) -> Passwords {
        let mut passwords = Passwords::default();
        for (number, line) in (1..).zip(bytes.split(|&byte| byte == b'\n')) {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.trim_ascii().is_empty() || line.starts_with(b"#") {
                continue;
            }
            match entry(line) {
                Ok((user, stored)) => {
                    if stored.is_hashed() && passwords.decoy.is_none() {
                        passwords.decoy = Some(stored.clone());
                    }
                    passwords.users.entry(user.to_owned()).or_insert(stored);
                }
                Err(why) => passwords.bad.push((number, why)),
            }
        }
        passwords
    }

    /// A user's stored password.
    pub(super) fn get(&self, user: &str) -> Option<&Stored> {
        self.users.get(user)
    }

    /// A hash with which the password of an unknown user can be compared, in vain.
    pub(super) fn decoy(&self) -> Option<&Stored> {
        self.decoy.as_ref()
    }

    /// How many users and bad lines there are.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn count(&self) -> (usize, usize) {
        (self.users.len(), self.bad.len())
    }
}

impl Stored {
    /// A password that is stored as plain text.
    pub(super) fn plain(text: &[u8]) -> Stored {
        Stored { kind: Kind::Plain, text: Secret::new(text) }
    }

    /// Whether comparing takes long.
    pub(super) fn is_hashed(&self) -> bool {
        self.kind != Kind::Plain
    }

    /// Identifies this state of a user's password.
    pub(super) fn text(&self) -> &[u8] {
        self.text.reveal()
    }

    /// Whether it is this password.
    pub(super) fn is(&self, password: &[u8]) -> bool {
        let text = std::str::from_utf8(self.text.reveal()).unwrap_or_default();
        match self.kind {
            Kind::Plain => secret::is_same(password, self.text.reveal()),
            // The work grows with the password's length.
            _ if password.len() > PASSWORD_BYTES_MAX => false,
            Kind::Bcrypt => bcrypt::verify(password, text).unwrap_or(false),
            Kind::ShaCrypt => ShaCrypt::default().verify_password(password, text).is_ok(),
        }
    }
}

/// User and password of one line.
fn entry(line: &[u8]) -> Result<(&str, Stored), &'static str> {
    let line = std::str::from_utf8(line).map_err(|_| "it is not UTF-8")?;
    let (user, text) = line.split_once(':').ok_or("it is not user:password")?;
    let kind = match text {
        // A hash may be followed by blanks.
        _ if text.starts_with("$5$") || text.starts_with("$6$") => Kind::ShaCrypt,
        _ if ["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|id| text.starts_with(id)) => Kind::Bcrypt,
        _ if FOREIGN.iter().any(|id| text.starts_with(id)) => {
            return Err("its hash is neither bcrypt (htpasswd -B) nor SHA-crypt");
        }
        _ => Kind::Plain,
    };
    let text = if kind == Kind::Plain { text } else { text.trim_end() };
    match kind {
        Kind::Plain => {}
        Kind::Bcrypt => {
            let parts: bcrypt::HashParts = text.parse().map_err(|_| "its bcrypt hash is malformed")?;
            if !(4..=BCRYPT_COST_MAX).contains(&parts.get_cost()) {
                return Err("its bcrypt hash would take too long");
            }
        }
        Kind::ShaCrypt => {
            let fields: Vec<&str> = text.split('$').skip(2).collect();
            let rounds = match fields[..] {
                [rounds, _, _] => {
                    let rounds = rounds.strip_prefix("rounds=").and_then(|rounds| rounds.parse::<u32>().ok());
                    rounds.ok_or("its SHA-crypt hash is malformed")?
                }
                [_, _] => 5000,
                _ => return Err("its SHA-crypt hash is malformed"),
            };
            if !(1000..=SHA_ROUNDS_MAX).contains(&rounds) {
                return Err("its SHA-crypt hash has too few or too many rounds");
            }
        }
    }
    Ok((user, Stored { kind, text: Secret::new(text) }))
}

/// How other hashes begin.
const FOREIGN: &[&str] =
    &["$apr1$", "$1$", "$7$", "$y$", "$gy$", "$argon2", "$scrypt$", "{SHA}", "{SSHA}", "{PLAIN}"];

/// Longer passwords are never right. bcrypt uses only 72 bytes, and the work of SHA-crypt grows with the
/// length.
const PASSWORD_BYTES_MAX: usize = 512;

/// Each step doubles the work: at 15 a password takes some three seconds, and a client waits for ten.
const BCRYPT_COST_MAX: u32 = 15;

/// With this many a password takes about a second.
const SHA_ROUNDS_MAX: u32 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `openssl passwd -6 -salt abcdefgh hunter2` and `-5`, and by Python 3.11's crypt.
    const HASHES: &[&str] = &[
        "$6$abcdefgh$M/eYsB4rVXAm3ZNc88J.UD9rCKAT6FB1rahiwJCHtEndQNORCub5qhjxn50qbqVVthkM.9HpEwtf0t.iV9uH0/",
        "$5$abcdefgh$XEPmEiAJvPG31m/DaIsyckkv.Sxd.8NrmElXxCKFQr/",
        "$5$rounds=7000$abcdefgh$BIp8DL778REoKNQb0qHPBds5ZNLEz4BKA5CrLVpGew1",
        "$2b$04$XlLS60TJaSPbKbq6/k9r8OSiE.VLOzirGWAaxpqyn5NxhfEZ7xPjS",
        // The same hash, as htpasswd writes it.
        "$2y$04$XlLS60TJaSPbKbq6/k9r8OSiE.VLOzirGWAaxpqyn5NxhfEZ7xPjS",
    ];

    #[test]
    fn hashes_of_other_programs_are_verified() {
        for hash in HASHES {
            let passwords = Passwords::parse(format!("me:{hash}\r\n").as_bytes());
            let stored = passwords.get("me").expect(hash);
            assert!(stored.is_hashed() && stored.is(b"hunter2"), "{hash}");
            for wrong in [&b"hunter3"[..], b"hunter", b"hunter22", b"", hash.as_bytes(), &[b'x'; 100_000]] {
                assert!(!stored.is(wrong), "{hash}");
            }
        }
    }

    #[test]
    fn other_lines_are_passwords_as_they_are() {
        let text = "\u{feff}# comment\n\nu:p\nv: p:w \r\nw:\nü:pässword\nu:second\n$:$2\n";
        let passwords = Passwords::parse(crate::source::without_mark(text.as_bytes()));
        for (user, password) in [("u", "p"), ("v", " p:w "), ("w", ""), ("ü", "pässword"), ("$", "$2")] {
            assert!(passwords.get(user).expect(user).is(password.as_bytes()), "{user}");
        }
        assert!(!passwords.get("u").expect("u").is(b"second"));
        assert_eq!(passwords.count(), (5, 0));
        assert!(passwords.decoy().is_none());
    }

    #[test]
    fn a_line_that_can_not_be_used_admits_nobody_and_spoils_no_other() {
        let lines = [
            "nonsense",
            "a:$apr1$abcdefgh$4sXzGMzwEAfHgF3e1uKd51",
            "a:{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=",
            "a:$2y$31$XlLS60TJaSPbKbq6/k9r8OSiE.VLOzirGWAaxpqyn5NxhfEZ7xPjS",
            "a:$2y$04$short",
            "a:$2y$04$",
            "a:$5$rounds=999999999$abcdefgh$BIp8DL778REoKNQb0qHPBds5ZNLEz4BKA5CrLVpGew1",
            "a:$5$rounds=x$abcdefgh$BIp8DL778REoKNQb0qHPBds5ZNLEz4BKA5CrLVpGew1",
            "a:$5$",
            "a:$6$a$b$c$d",
        ];
        let text = format!("{}\nz:good\n", lines.join("\n"));
        let passwords = Passwords::parse(text.as_bytes());
        assert_eq!(passwords.count(), (1, lines.len()));
        assert!(passwords.get("z").expect("z").is(b"good"));
        assert_eq!(Passwords::parse(b"a:\xff\n").count(), (0, 1));
        // One that only looks like a hash is none, and nothing is its password.
        let odd = Passwords::parse(b"a:$5$salt$notahash\n");
        assert!(odd.get("a").is_none_or(|stored| !stored.is(b"notahash") && !stored.is(b"")));
    }
}
