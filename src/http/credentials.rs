//! Who a client says it is: `Authorization: Basic` (RFC 7617) and cookies (RFC 6265).

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::secret::Secret;

/// A user and a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name.
    pub user: String,
    /// The password, in UTF-8.
    pub password: Secret,
}

/// The value of `Authorization` is not that of Basic, or is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Reads the value of `Authorization`. The scheme may be in any case, and the first colon ends the user's name.
/// What is not UTF-8 is taken for Latin-1, which old clients send.
///
/// # Errors
/// It is of another scheme, not base64, or has no colon.
pub fn basic(value: &[u8]) -> Result<Credentials, Malformed> {
    let end = value.iter().position(|byte| matches!(byte, b' ' | b'\t')).ok_or(Malformed)?;
    let (scheme, rest) = value.split_at(end);
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return Err(Malformed);
    }
    let bytes = BASE64.decode(rest.trim_ascii()).map_err(|_| Malformed)?;
    let text = String::from_utf8(bytes)
        .unwrap_or_else(|error| error.as_bytes().iter().map(|&byte| char::from(byte)).collect());
    let (user, password) = text.split_once(':').ok_or(Malformed)?;
    Ok(Credentials { user: user.to_owned(), password: Secret::new(password) })
}

/// The values that cookies of this name have in one `Cookie` header. There may be several, and the server
/// can't tell which one is right.
pub fn cookies<'a>(header: &'a [u8], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    header.split(|&byte| byte == b';').filter_map(move |pair| {
        let at = pair.iter().position(|&byte| byte == b'=')?;
        let (found, value) = (pair[..at].trim_ascii(), pair[at + 1..].trim_ascii());
        let inner = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
        (found == name.as_bytes()).then_some(inner.unwrap_or(value))
    })
}

/// Base64 as clients send it: padding may be left out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Option<(String, String)> {
        let credentials = basic(value.as_bytes()).ok()?;
        let password = String::from_utf8(credentials.password.reveal().to_vec()).expect("UTF-8");
        Some((credentials.user, password))
    }

    #[test]
    fn user_and_password_are_read_in_every_form_that_clients_send() {
        for (value, user, password) in [
            ("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame"),
            ("basic QWxhZGRpbjpvcGVuIHNlc2FtZQ", "Aladdin", "open sesame"),
            ("BASIC \t QWxhZGRpbjpvcGVuIHNlc2FtZQ==  ", "Aladdin", "open sesame"),
            ("Basic dTpwOnc=", "u", "p:w"),
            ("Basic Og==", "", ""),
            // The example of RFC 7617, 2.1.
            ("Basic dGVzdDoxMjPCow==", "test", "123£"),
            // The same in Latin-1.
            ("Basic dGVzdDoxMjOj", "test", "123£"),
        ] {
            assert_eq!(read(value), Some((user.to_owned(), password.to_owned())), "{value}");
        }
    }

    #[test]
    fn what_is_not_basic_is_malformed() {
        for value in [
            "",
            "Basic",
            "Basic ",
            "Bearer abc",
            "Basic !!!!",
            "Basic dTpw=dTpw",
            "Basic dXA=",
            "Basicx dTpw",
        ] {
            assert_eq!(read(value), None, "{value}");
        }
        assert_eq!(basic(b"Basic \xff\xff"), Err(Malformed));
    }

    #[test]
    fn a_password_is_not_printed() {
        let credentials = basic(b"Basic dTpodW50ZXIy").expect("well formed");
        assert!(!format!("{credentials:?}").contains("hunter2"));
    }

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let find = |header: &'static str| -> Vec<&[u8]> { cookies(header.as_bytes(), "a").collect() };
        assert_eq!(find("a=1"), [b"1"]);
        assert_eq!(find("b=2; a=1;c=3"), [b"1"]);
        assert_eq!(find("a=1; a=2"), [b"1", b"2"]);
        assert_eq!(find("a=\"1\""), [b"1"]);
        assert_eq!(find("a=x=y"), [b"x=y"]);
        assert_eq!(find("a="), [b""]);
        for header in ["", "a", "aa=1", "A=1", "b=a=1", ";;;", "=1"] {
            assert!(find(header).is_empty(), "{header}");
        }
    }
}
