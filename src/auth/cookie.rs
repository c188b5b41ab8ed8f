//! `--auth-cookie`: a cookie that replaces a verified password, because some browsers (Safari) send no
//! credentials with a WebSocket handshake, and pages can't add them.
//!
//! It contains the user and the expiry time, and is signed with a key that only this process has, over these
//! and the stored password: so it is valid until the process ends, it expires, or the password changes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Cookie;
use crate::http::credentials;
use crate::secret::{Key, Secret};

/// Issues cookies and recognises them.
pub(super) struct Cookies {
    name: String,
    key: Key,
}

impl Cookies {
    /// For a listener at this port: browsers send cookies to all ports of a host alike, so the name tells
    /// which one it is for.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub(super) fn new(port: Option<u16>) -> Result<Cookies, String> {
        let name = match port {
            Some(port) => format!("websockify-auth-{port}"),
            None => "websockify-auth".into(),
        };
        Ok(Cookies { name, key: Key::random()? })
    }

    /// A cookie for this user, whose stored password is `stored`.
    pub(super) fn issue(&self, user: &str, stored: &[u8]) -> Cookie {
        let until = (now() + LIFE).as_secs();
        let signature = self.key.sign(&[user.as_bytes(), &until.to_be_bytes(), stored]);
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let value = format!("{}.{until}.{}", encode(user.as_bytes()), encode(&signature));
        Cookie { name: self.name.clone(), value: Secret::new(value) }
    }

    /// The user of a valid cookie of ours in one of the headers. `stored` returns a user's stored password.
    pub(super) fn user<'a>(
        &self,
        headers: &[&[u8]],
        stored: impl Fn(&str) -> Option<&'a [u8]>,
    ) -> Option<String> {
        let values = headers.iter().flat_map(|header| credentials::cookies(header, &self.name));
        values.take(VALUES_MAX).find_map(|value| self.user_of(value, &stored))
    }

    fn user_of<'a>(&self, value: &[u8], stored: impl Fn(&str) -> Option<&'a [u8]>) -> Option<String> {
        let mut parts = std::str::from_utf8(value).ok()?.split('.');
        let (user, until, signature) = (parts.next()?, parts.next()?, parts.next()?);
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
        let (user, signature) = (String::from_utf8(decode(user)?).ok()?, decode(signature)?);
        let until: u64 = until.parse().ok()?;
        let is_ours = self.key.verify(&[user.as_bytes(), &until.to_be_bytes(), stored(&user)?], &signature);
        (is_ours && parts.next().is_none() && now().as_secs() < until).then_some(user)
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// How long a cookie is valid: a working day.
pub(super) const LIFE: Duration = Duration::from_secs(8 * 60 * 60);

/// Cookies of this name that are checked. Each costs a signature.
const VALUES_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn header(cookie: &Cookie) -> Vec<u8> {
        let mut header = b"other=1; ".to_vec();
        header.extend_from_slice(cookie.set(false).split(';').next().unwrap().as_bytes());
        header
    }

    #[test]
    fn a_cookie_is_good_for_its_user_and_password_only() {
        let cookies = Cookies::new(Some(6080)).expect("a key");
        let cookie = cookies.issue("me", b"stored");
        let header = header(&cookie);
        let admits = |headers: &[&[u8]], stored: &'static [u8]| {
            cookies.user(headers, |user| (user == "me").then_some(stored)).as_deref() == Some("me")
        };
        assert!(admits(&[&header], b"stored"));
        assert!(admits(&[b"websockify-auth-6080=junk", &header], b"stored"));
        assert!(!admits(&[&header], b"changed"));
        assert!(!admits(&[], b"stored"));
        assert!(cookies.user(&[&header], |_| None).is_none());
        assert!(Cookies::new(Some(6080)).expect("a key").user(&[&header], |_| Some(b"stored")).is_none());
        assert!(Cookies::new(Some(6081)).expect("a key").user(&[&header], |_| Some(b"stored")).is_none());
    }

    #[test]
    fn no_byte_of_a_cookie_can_be_changed() {
        let cookies = Cookies::new(None).expect("a key");
        let header = header(&cookies.issue("me", b"stored"));
        let start = header.iter().rposition(|&byte| byte == b'=').expect("a cookie") + 1;
        for at in start..header.len() {
            let mut other = header.clone();
            // Two signs away, so that the last digit's loose bits are not all that changes.
            other[at] = if other[at] == b'Q' { b'7' } else { b'Q' };
            assert!(cookies.user(&[&other], |_| Some(b"stored")).is_none(), "{at}");
            assert!(cookies.user(&[&header[..at]], |_| Some(b"stored")).is_none(), "{at}");
        }
        let mut longer = header.clone();
        longer.extend_from_slice(b".x");
        assert!(cookies.user(&[&longer], |_| Some(b"stored")).is_none());
    }

    #[test]
    fn a_cookie_ends() {
        let cookies = Cookies::new(None).expect("a key");
        let past = now().as_secs() - 1;
        let signature = cookies.key.sign(&[b"me", &past.to_be_bytes(), b"stored"]);
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let header = format!("websockify-auth={}.{past}.{}", encode(b"me"), encode(&signature));
        assert!(cookies.user(&[header.as_bytes()], |_| Some(b"stored")).is_none());
    }

    #[test]
    fn its_attributes_keep_it_from_scripts_and_other_sites() {
        let cookie = Cookies::new(Some(1)).expect("a key").issue("me", b"stored");
        let set = cookie.set(true);
        assert!(set.starts_with("websockify-auth-1="), "{set}");
        assert!(set.ends_with("; Path=/; Max-Age=28800; HttpOnly; SameSite=Strict; Secure"), "{set}");
        assert!(!cookie.set(false).contains("Secure"));
        assert!(!format!("{cookie:?}").contains(set.split(['=', ';']).nth(1).unwrap()));
    }
}
