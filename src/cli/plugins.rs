//! Plugins by the names that command lines call them, and their arguments. The classes themselves are rows of the
//! tables in `token` and `auth`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::secret::Secret;
use crate::{auth, token};

/// The value of an option that may hold secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// The value itself. May hold bytes that are not UTF-8.
    Text(Secret),
    /// `@FILE`: the file that holds it, absolute.
    File(PathBuf),
}

impl Argument {
    /// The argument that `text` is.
    pub(super) fn of(text: &OsStr, absolute: impl Fn(&Path) -> PathBuf) -> Argument {
        match text.as_bytes().strip_prefix(b"@") {
            Some(path) if !path.is_empty() => Argument::File(absolute(Path::new(OsStr::from_bytes(path)))),
            _ => Argument::text(text),
        }
    }

    /// The text as it is.
    pub(super) fn text(text: &OsStr) -> Argument {
        Argument::Text(Secret::new(text.as_bytes()))
    }

    /// The text, as a path or whatever it is meant to be.
    pub fn to_os_string(text: &Secret) -> OsString {
        OsString::from_vec(text.reveal().to_vec())
    }
}

/// A token plugin and its argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenPlugin {
    /// Which one.
    pub class: &'static token::Plugin,
    /// `--token-source`, in which a relative path stays relative, or the absolute path of `--target-config`.
    pub source: Option<Argument>,
}

/// An auth plugin and its argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthPlugin {
    /// Which one.
    pub class: &'static auth::Plugin,
    /// `--auth-source`.
    pub source: Option<Argument>,
    /// `--auth-cookie`.
    pub cookie: bool,
}

/// The token plugin of that name. The error is the text for the user.
pub(super) fn token(name: &OsStr) -> Result<&'static token::Plugin, String> {
    let name = name.to_string_lossy();
    token::plugin(&name).ok_or_else(|| unknown("token", &name, token::PLUGINS.iter().map(|row| row.name)))
}

/// The auth plugin of that name. The error is the text for the user.
pub(super) fn auth(name: &OsStr) -> Result<&'static auth::Plugin, String> {
    let name = name.to_string_lossy();
    auth::plugin(&name).ok_or_else(|| unknown("auth", &name, auth::PLUGINS.iter().map(|row| row.name)))
}

/// All names, for the help: `A, B or C`.
pub(super) fn listed(names: impl Iterator<Item = &'static str>) -> String {
    let names: Vec<&str> = names.collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

fn unknown(kind: &str, name: &str, names: impl Iterator<Item = &'static str>) -> String {
    let names: Vec<&str> = names.collect();
    format!(
        "can't load the {kind} plugin {name}: Python classes can't be loaded, the built-in {kind} plugins are {}",
        names.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_class_is_told_what_there_is() {
        assert_eq!(
            auth(OsStr::new("mine.Auth")),
            Err("can't load the auth plugin mine.Auth: Python classes can't be loaded, the built-in auth \
                 plugins are BasicHTTPAuth, ExpectOrigin, ClientCertCNAuth"
                .to_owned())
        );
        for name in ["TokenFil", "mine.TokenFile", "ExpectOrigin", "."] {
            assert!(token(OsStr::new(name)).is_err(), "{name}");
        }
        assert!(token(OsStr::new("websockify.token_plugins.TokenFile")).is_ok());
    }

    #[test]
    fn an_argument_that_begins_with_an_at_sign_is_a_file() {
        let of = |text: &str| Argument::of(OsStr::new(text), |path| Path::new("/start").join(path));
        assert_eq!(of("@secret"), Argument::File("/start/secret".into()));
        assert_eq!(of("@/run/secret"), Argument::File("/run/secret".into()));
        for text in ["user:pass", "user@host:pass", "", "@"] {
            assert_eq!(of(text), Argument::text(OsStr::new(text)));
        }
        assert!(!format!("{:?}", of("user:hunter2")).contains("hunter2"));
    }

    #[test]
    fn names_are_listed_as_in_a_sentence() {
        assert_eq!(listed(["A", "B", "C"].into_iter()), "A, B or C");
        assert_eq!(listed(["A"].into_iter()), "A");
    }
}
