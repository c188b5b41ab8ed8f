//! Plugins by the names that command lines call them, and their arguments. The classes themselves are rows of the
//! tables in `token` and `auth`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::plugin::PythonClass;
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
    /// The class, if it is one of Python.
    pub python: Option<PythonClass>,
    /// `--token-source`, in which a relative path stays relative, or the absolute path of `--target-config`.
    pub source: Option<Argument>,
}

impl TokenPlugin {
    /// What the log calls it.
    pub fn name(&self) -> &str {
        self.python.as_ref().map_or(self.class.name, |python| &python.name)
    }
}

/// An auth plugin and its argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthPlugin {
    /// Which one.
    pub class: &'static auth::Plugin,
    /// The class, if it is one of Python.
    pub python: Option<PythonClass>,
    /// `--auth-source`.
    pub source: Option<Argument>,
    /// `--auth-cookie`.
    pub cookie: bool,
}

/// The token plugin of that name, and that of its class if it is none of ours. The error is the text for the user.
pub(super) fn token(name: &OsStr) -> Result<(&'static token::Plugin, Option<String>), String> {
    let name = name.to_string_lossy();
    if name == token::EXEC.name {
        return Ok((&token::EXEC, None));
    }
    match token::plugin(&name) {
        Some(class) => Ok((class, None)),
        None if is_foreign(&name) => Ok((&token::PYTHON, Some(name.into_owned()))),
        None => Err(unknown("token", &name, token::PLUGINS.iter().map(|row| row.name))),
    }
}

/// The auth plugin of that name, and that of its class if it is none of ours. The error is the text for the user.
pub(super) fn auth(name: &OsStr) -> Result<(&'static auth::Plugin, Option<String>), String> {
    let name = name.to_string_lossy();
    if name == auth::EXEC.name {
        return Ok((&auth::EXEC, None));
    }
    match auth::plugin(&name) {
        Some(class) => Ok((class, None)),
        None if is_foreign(&name) => Ok((&auth::PYTHON, Some(name.into_owned()))),
        None => Err(unknown("auth", &name, auth::PLUGINS.iter().map(|row| row.name))),
    }
}

/// Whether it is the name of a class in a module, and not of the Python program's own modules.
fn is_foreign(name: &str) -> bool {
    let is_part =
        |part: &str| !part.is_empty() && !part.contains(|char: char| char.is_whitespace() || char == '/');
    name.contains('.') && name.split('.').all(is_part) && !OWN_MODULES.iter().any(|own| name.starts_with(own))
}

/// The classes in them are built in here.
const OWN_MODULES: [&str; 2] = ["websockify.token_plugins.", "websockify.auth_plugins."];

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
        "can't load the {kind} plugin {name}: the built-in ones are {} and exec; a Python class has its module in front, \
         as in package.Class",
        names.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_class_of_ours_a_command_or_a_class_of_python() {
        assert_eq!(
            auth(OsStr::new("Mine")),
            Err("can't load the auth plugin Mine: the built-in ones are BasicHTTPAuth, ExpectOrigin, ClientCertCNAuth \
                 and exec; a Python class has its module in front, as in package.Class"
                .to_owned())
        );
        for name in
            ["TokenFil", ".", "a.", ".b", "a..b", "a b.c", "./a.b", "websockify.token_plugins.Mine", ""]
        {
            assert!(token(OsStr::new(name)).is_err(), "{name}");
        }
        let named = |name: &str| token(OsStr::new(name)).map(|(class, python)| (class.name, python));
        assert_eq!(named("websockify.token_plugins.TokenFile"), Ok(("TokenFile", None)));
        assert_eq!(named("exec"), Ok(("exec", None)));
        for name in ["mine.TokenFile", "a.b.C", "websockify.mine.Plugin"] {
            assert_eq!(named(name), Ok(("a Python class", Some(name.to_owned()))));
        }
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
