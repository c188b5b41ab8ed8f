//! How log lines name tokens, and targets that would reveal them.

use crate::log::Log;
use crate::secret::{fingerprint, hide};
use crate::target::Target;

/// The token's name in the log: its fingerprint, or itself if the operator wants secrets there.
pub(super) fn token(token: &str, log: &Log) -> String {
    match log.shows_secrets() {
        true => format!("'{token}'"),
        false => fingerprint(token.as_bytes()),
    }
}

/// The target's name in the log, with the token in it replaced by its fingerprint. A host that is the token,
/// because the token is the name in Host, is no secret.
pub(super) fn target(target: &Target, token: &str, host_token: bool, log: &Log) -> String {
    let name = target.to_string();
    let is_host = host_token && matches!(target, Target::Tcp { .. });
    if log.shows_secrets() || is_host {
        name
    } else {
        {
            // A path's text without slashes may be the whole token.
            hide(&name, token.trim_matches('/'), &fingerprint(token.trim_matches('/').as_bytes()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_does_not_tell_the_token() {
        let mark = |token: &str| fingerprint(token.as_bytes());
        for (text, token, expected) in [
            ("/run/s/abcdef", "abcdef", format!("/run/s/{}", mark("abcdef"))),
            ("/run/s/abcdef.sock", "abcdef", format!("/run/s/{}.sock", mark("abcdef"))),
            ("/run/s/vm-abcdefx", "abcdef", format!("/run/s/vm-{}x", mark("abcdef"))),
            ("/run/a/vm1", "vm1", format!("/run/a/{}", mark("vm1"))),
            ("/run/vm1/vm1", "vm1", format!("/run/{0}/{0}", mark("vm1"))),
            ("/run/s/sub/b", "sub/b", format!("/run/s/{}", mark("sub/b"))),
            ("vm1.example.org:5900", "vm1", format!("{}.example.org:5900", mark("vm1"))),
            ("/run/avm1/vm12", "vm1", "/run/avm1/vm12".into()),
            ("/run/s/other", "abcdef", "/run/s/other".into()),
            ("/run/s/other", "", "/run/s/other".into()),
            ("/run/s/other", "/", "/run/s/other".into()),
        ] {
            let token = token.trim_matches('/');
            assert_eq!(hide(text, token, &fingerprint(token.as_bytes())), expected, "{token}");
        }
    }

    #[test]
    fn a_host_that_is_the_token_by_its_own_name_is_shown() {
        let log = Log::in_memory(false);
        let host = Target::Tcp { host: "vm1".into(), port: 5900 };
        assert_eq!(target(&host, "vm1", true, &log), "vm1:5900");
        assert_eq!(target(&host, "vm1", false, &log), format!("{}:5900", fingerprint(b"vm1")));
        let path = Target::Unix("/run/vm1".into());
        assert_eq!(target(&path, "vm1", true, &log), format!("/run/{}", fingerprint(b"vm1")));
        assert_eq!(token("vm1", &log), fingerprint(b"vm1"));
    }
}
