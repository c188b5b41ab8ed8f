//! JWTTokenApi: the token is signed and says itself where it leads (RFC 7519). It may also be encrypted, but
//! its content must then be signed: anybody may have the key that encrypts, and only a signature says who
//! wrote it.
//!
//! The key decides what is accepted, never the token: each key has a list of the algorithms for its type
//! (`key.rs`), and a token's header only chooses from it.

mod claims;
mod compact;
mod jwe;
mod jws;
mod key;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use super::{Answer, Source, Terms, TokenPlugin};
use crate::source::{CachedFile, Place};
use claims::Claims;
use key::Key;

pub(super) fn open(source: &Source) -> Result<Box<dyn TokenPlugin>, String> {
    let plugin = JwtTokenApi { place: source.place("JWTTokenApi").ok(), file: CachedFile::default() };
    match plugin.key().as_deref() {
        None => source.log.warn(format_args!("warning: {NO_SOURCE}")),
        Some(Err(why)) => source.log.warn(format_args!("warning: token source {why}")),
        Some(Ok(key)) if key.verifies_nothing() => {
            source.log.warn(format_args!("warning: token source: {}, so every token is refused", Key::SHORT));
        }
        Some(Ok(_)) => {}
    }
    Ok(Box::new(plugin))
}

struct JwtTokenApi {
    /// Where the key is; the program starts without one, too.
    place: Option<Place>,
    file: CachedFile<Result<Key, String>>,
}

impl TokenPlugin for JwtTokenApi {
    fn look_up(&self, token: &str) -> Answer {
        let Some(key) = self.key() else { return Answer::Invalid(NO_SOURCE.into()) };
        let key = match &*key {
            Ok(key) => key,
            Err(why) => return Answer::Broken(why.clone()),
        };
        match read(token, key, SystemTime::now()) {
            Ok(Claims { target, expires }) => Answer::Found(target, Terms { expires, ..Terms::default() }),
            Err(why) => Answer::Invalid(why),
        }
    }

    /// A public key is no secret, but the others are.
    fn files(&self) -> Vec<PathBuf> {
        self.place.iter().flat_map(Place::all).collect()
    }
}

impl JwtTokenApi {
    /// The key, as its file has it now; nothing without a source.
    fn key(&self) -> Option<Arc<Result<Key, String>>> {
        let path = self.place.as_ref()?.find();
        let named = |why: String| format!("{}: {why}", path.display());
        let key = self.file.get(path, |bytes| Key::parse(bytes).map_err(named));
        Some(key.unwrap_or_else(|fault| Arc::new(Err(named(fault.to_string())))))
    }
}

/// The token's claims, if it is signed with the key and valid at time `now`. The error is for the operator,
/// and contains no part of the token.
fn read(token: &str, key: &Key, now: SystemTime) -> Result<Claims, String> {
    let parts: Vec<&str> = token.splitn(PARTS_MAX + 1, '.').collect();
    let payload = match parts[..] {
        [header, payload, signature] => jws::verify(header, payload, signature, key)?,
        [header, wrapped, iv, ciphertext, tag] => {
            let inner = jwe::decrypt(&jwe::Sealed { header, wrapped, iv, ciphertext, tag }, key)?;
            let inner = std::str::from_utf8(&inner).map_err(|_| UNSIGNED)?;
            let parts: Vec<&str> = inner.splitn(PARTS_MAX + 1, '.').collect();
            let [header, payload, signature] = parts[..] else { return Err(UNSIGNED.into()) };
            jws::verify(header, payload, signature, key)?
        }
        _ => return Err("it is neither a signed nor an encrypted token".into()),
    };
    claims::read(&payload, now)
}

/// For tests and fuzzing: reads tokens with one key.
#[cfg(any(test, feature = "testing"))]
pub struct Reader(Key);

#[cfg(any(test, feature = "testing"))]
impl Reader {
    /// One with the key of a file that holds these bytes.
    ///
    /// # Errors
    /// It holds no key.
    pub fn new(file: &[u8]) -> Result<Reader, String> {
        Key::parse(file).map(Reader)
    }

    /// Where the token leads at this time.
    ///
    /// # Errors
    /// It leads nowhere; says why.
    pub fn read(&self, token: &str, now: SystemTime) -> Result<crate::target::Target, String> {
        read(token, &self.0, now).map(|claims| claims.target)
    }

    /// What an encrypted token holds, whatever that is.
    ///
    /// # Errors
    /// It does not decrypt; says why.
    pub fn decrypt(&self, token: &str) -> Result<Vec<u8>, String> {
        let parts: Vec<&str> = token.split('.').collect();
        let [header, wrapped, iv, ciphertext, tag] = parts[..] else { return Err("no JWE".into()) };
        jwe::decrypt(&jwe::Sealed { header, wrapped, iv, ciphertext, tag }, &self.0)
    }
}

/// An encrypted token has the most parts.
const PARTS_MAX: usize = 5;

const NO_SOURCE: &str = "JWTTokenApi has no --token-source with a key, so every token is refused";

const UNSIGNED: &str = "its encrypted content is not signed";

#[cfg(test)]
mod tests;
