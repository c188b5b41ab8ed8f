//! The names of the built-in plugins. The classes are Python's; what they do is built in here.
//!
//! A class may be named short (`TokenFile`) or with its Python module in front, as scripts do both.

use std::ffi::{OsStr, OsString};

/// What finds a target by a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenClass {
    /// A file or directory of `token: host:port` lines, read at each look-up.
    TokenFile,
    /// The same, read once.
    ReadOnlyTokenFile,
    /// A directory with one file per token.
    TokenFileName,
    /// A URL that answers with `host:port`.
    BaseTokenApi,
    /// A URL that answers with JSON.
    JsonTokenApi,
    /// The token itself, signed or encrypted.
    JwtTokenApi,
    /// A Redis server.
    TokenRedis,
    /// A directory of Unix sockets.
    UnixDomainSocketDirectory,
}

/// What decides whether a client is admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthClass {
    /// User name and password.
    BasicHttpAuth,
    /// The Origin header.
    ExpectOrigin,
    /// The common name in the client's certificate.
    ClientCertCnAuth,
}

/// A token plugin and its argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenPlugin {
    /// Which one.
    pub class: TokenClass,
    /// `--token-source` as it was given (a relative path stays relative), or the absolute path of
    /// `--target-config`. May hold bytes that are not UTF-8.
    pub source: Option<OsString>,
}

/// An auth plugin and its argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthPlugin {
    /// Which one.
    pub class: AuthClass,
    /// `--auth-source` as it was given.
    pub source: Option<OsString>,
}

impl TokenClass {
    /// The name that Python gives the class, as logs print it.
    pub fn name(self) -> &'static str {
        name_in(TOKEN_CLASSES, self)
    }

    /// The class of that name. The error is the text for the user.
    pub(super) fn named(name: &OsStr) -> Result<TokenClass, String> {
        find(TOKEN_CLASSES, "token", name)
    }
}

impl AuthClass {
    /// The name that Python gives the class.
    pub fn name(self) -> &'static str {
        name_in(AUTH_CLASSES, self)
    }

    /// The class of that name. The error is the text for the user.
    pub(super) fn named(name: &OsStr) -> Result<AuthClass, String> {
        find(AUTH_CLASSES, "auth", name)
    }
}

fn name_in<C: Copy + PartialEq>(table: &[(&'static str, C)], class: C) -> &'static str {
    table.iter().find(|row| row.1 == class).map(|row| row.0).expect("every class has a row in its table")
}

fn find<C: Copy>(table: &[(&'static str, C)], kind: &str, name: &OsStr) -> Result<C, String> {
    let name = name.to_string_lossy();
    let module = format!("websockify.{kind}_plugins.");
    let class = name.strip_prefix(&module).unwrap_or(&name);
    if let Some(row) = table.iter().find(|row| row.0 == class) {
        return Ok(row.1);
    }
    let names: Vec<&str> = table.iter().map(|row| row.0).collect();
    Err(format!(
        "can't load the {kind} plugin {name}: Python classes can't be loaded, the built-in {kind} plugins \
         are {}",
        names.join(", ")
    ))
}

const TOKEN_CLASSES: &[(&str, TokenClass)] = &[
    ("TokenFile", TokenClass::TokenFile),
    ("ReadOnlyTokenFile", TokenClass::ReadOnlyTokenFile),
    ("TokenFileName", TokenClass::TokenFileName),
    ("BaseTokenAPI", TokenClass::BaseTokenApi),
    ("JSONTokenApi", TokenClass::JsonTokenApi),
    ("JWTTokenApi", TokenClass::JwtTokenApi),
    ("TokenRedis", TokenClass::TokenRedis),
    ("UnixDomainSocketDirectory", TokenClass::UnixDomainSocketDirectory),
];

const AUTH_CLASSES: &[(&str, AuthClass)] = &[
    ("BasicHTTPAuth", AuthClass::BasicHttpAuth),
    ("ExpectOrigin", AuthClass::ExpectOrigin),
    ("ClientCertCNAuth", AuthClass::ClientCertCnAuth),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_found_by_its_short_and_its_dotted_name() {
        for (name, class) in TOKEN_CLASSES {
            assert_eq!(TokenClass::named(OsStr::new(name)), Ok(*class));
            let dotted = format!("websockify.token_plugins.{name}");
            assert_eq!(TokenClass::named(OsStr::new(&dotted)), Ok(*class));
            assert_eq!(class.name(), *name);
        }
        for (name, class) in AUTH_CLASSES {
            assert_eq!(AuthClass::named(OsStr::new(name)), Ok(*class));
            let dotted = format!("websockify.auth_plugins.{name}");
            assert_eq!(AuthClass::named(OsStr::new(&dotted)), Ok(*class));
            assert_eq!(class.name(), *name);
        }
    }

    #[test]
    fn an_unknown_class_is_told_what_there_is() {
        assert_eq!(
            AuthClass::named(OsStr::new("mine.Auth")),
            Err("can't load the auth plugin mine.Auth: Python classes can't be loaded, the built-in auth \
                 plugins are BasicHTTPAuth, ExpectOrigin, ClientCertCNAuth"
                .to_owned())
        );
        for name in [
            "TokenFil",
            "tokenfile",
            "mine.TokenFile",
            "websockify.auth_plugins.TokenFile",
            "ExpectOrigin",
            ".",
        ] {
            assert!(TokenClass::named(OsStr::new(name)).is_err(), "{name}");
        }
    }
}
