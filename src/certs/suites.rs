//! `--ssl-version` and `--ssl-ciphers`: which versions and cipher suites are supported.
//!
//! The provider of all cryptography is named here, once, instead of being installed for the whole process,
//! where a dependency could install another one.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{CipherSuite, SupportedCipherSuite, SupportedProtocolVersion, version};

use super::Versions;

/// Reads a list of cipher suites, separated by colons, commas or blanks, in IANA's names or OpenSSL's, or in
/// OpenSSL's words for groups of suites (`HIGH`, `ECDHE+AESGCM`, `!CHACHA20`; openssl-ciphers(1)), which
/// select those of ours that belong to them. Returns the suites and the unknown names, which are ignored.
///
/// # Errors
/// Nothing is left; in words for the user, with the known names.
pub fn parse_suites(list: &str) -> Result<(Vec<CipherSuite>, Vec<String>), String> {
    let (mut found, mut ignored, mut banned) = (Vec::new(), Vec::new(), Vec::new());
    for word in list.split([':', ',', ' ', '\t']).filter(|word| !word.is_empty()) {
        let (sign, name) = match word.as_bytes()[0] {
            sign @ (b'!' | b'-' | b'+' | b'@') => (sign, &word[1..]),
            _ => (b' ', word),
        };
        let meant: Vec<CipherSuite> =
            TABLE.iter().filter(|row| row.is_meant(name)).map(|row| row.suite).collect();
        match sign {
            // `@STRENGTH` and `@SECLEVEL` are ignored.
            b'@' => {}
            b'!' | b'-' => {
                found.retain(|suite| !meant.contains(suite));
                if sign == b'!' {
                    banned.extend(meant);
                }
            }
            b'+' => found.sort_by_key(|suite| meant.contains(suite)),
            _ if meant.is_empty() => ignored.push(name.to_owned()),
            _ => {
                let new = meant.iter().filter(|suite| !banned.contains(*suite));
                let new: Vec<CipherSuite> = new.filter(|suite| !found.contains(*suite)).copied().collect();
                found.extend(new);
            }
        }
    }
    match found.is_empty() {
        true => Err(format!("none of the cipher suites in '{list}' is supported (known: {})", known())),
        false => Ok((found, ignored)),
    }
}

/// The cryptography of clients' connections, with these cipher suites in this order. As with OpenSSL, suites of
/// TLS 1.3 stay as they are unless the list has one of them.
pub(super) fn provider(suites: Option<&[CipherSuite]>) -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    if let Some(suites) = suites {
        let has = |suite: &SupportedCipherSuite| suites.contains(&suite.suite());
        let names_13 = provider.cipher_suites.iter().any(|suite| is_13(suite) && has(suite));
        provider.cipher_suites.retain(|suite| has(suite) || (is_13(suite) && !names_13));
        let place = |suite: CipherSuite| suites.iter().position(|listed| *listed == suite);
        provider.cipher_suites.sort_by_key(|suite| place(suite.suite()));
    }
    Arc::new(provider)
}

/// The versions as the library wants them.
pub(super) fn versions(versions: Versions) -> &'static [&'static SupportedProtocolVersion] {
    match versions {
        Versions::From12 => FROM_12,
        Versions::Only13 => ONLY_13,
    }
}

fn is_13(suite: &SupportedCipherSuite) -> bool {
    suite.tls13().is_some()
}

fn known() -> String {
    TABLE.iter().map(|row| row.openssl).collect::<Vec<_>>().join(", ")
}

static FROM_12: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];
static ONLY_13: &[&SupportedProtocolVersion] = &[&version::TLS13];

/// A cipher suite and its names. TLS 1.3 has the same names everywhere.
struct Row {
    suite: CipherSuite,
    iana: &'static str,
    openssl: &'static str,
}

impl Row {
    /// Whether a word of a list means this suite: by its name, or as one of a group. Groups are of TLS 1.2, as with
    /// OpenSSL.
    fn is_meant(&self, word: &str) -> bool {
        if [self.iana, self.openssl].iter().any(|name| word.eq_ignore_ascii_case(name)) {
            return true;
        }
        !self.openssl.starts_with("TLS_") && word.split('+').all(|group| self.is_in(group))
    }

    /// Whether the suite belongs to one of OpenSSL's groups.
    fn is_in(&self, group: &str) -> bool {
        let has = |part: &str| self.openssl.contains(part);
        match group {
            "ALL" | "DEFAULT" | "PROFILE=SYSTEM" | "HIGH" | "TLSv1.2" | "ECDHE" | "EECDH" | "kECDHE"
            | "kEECDH" | "ECDH" => true,
            "aRSA" => has("-RSA-"),
            "aECDSA" | "ECDSA" => has("-ECDSA-"),
            "AES" | "AESGCM" => has("-GCM-"),
            "AES128" => has("-AES128-"),
            "AES256" => has("-AES256-"),
            "CHACHA20" => has("-CHACHA20-"),
            _ => false,
        }
    }
}

#[rustfmt::skip]
const TABLE: &[Row] = &[
    Row { suite: CipherSuite::TLS13_AES_256_GCM_SHA384,
          iana: "TLS_AES_256_GCM_SHA384", openssl: "TLS_AES_256_GCM_SHA384" },
    Row { suite: CipherSuite::TLS13_AES_128_GCM_SHA256,
          iana: "TLS_AES_128_GCM_SHA256", openssl: "TLS_AES_128_GCM_SHA256" },
    Row { suite: CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
          iana: "TLS_CHACHA20_POLY1305_SHA256", openssl: "TLS_CHACHA20_POLY1305_SHA256" },
    Row { suite: CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
          iana: "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", openssl: "ECDHE-ECDSA-AES256-GCM-SHA384" },
    Row { suite: CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
          iana: "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", openssl: "ECDHE-ECDSA-AES128-GCM-SHA256" },
    Row { suite: CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
          iana: "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", openssl: "ECDHE-ECDSA-CHACHA20-POLY1305" },
    Row { suite: CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
          iana: "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", openssl: "ECDHE-RSA-AES256-GCM-SHA384" },
    Row { suite: CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
          iana: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", openssl: "ECDHE-RSA-AES128-GCM-SHA256" },
    Row { suite: CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
          iana: "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", openssl: "ECDHE-RSA-CHACHA20-POLY1305" },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn suites(list: &str) -> Vec<CipherSuite> {
        let (listed, _) = parse_suites(list).expect("known names");
        provider(Some(&listed)).cipher_suites.iter().map(SupportedCipherSuite::suite).collect()
    }

    #[test]
    fn the_table_has_every_suite_of_the_library() {
        let supported = aws_lc_rs::ALL_CIPHER_SUITES.iter().map(SupportedCipherSuite::suite);
        assert!(supported.eq(TABLE.iter().map(|row| row.suite)));
        for row in TABLE {
            assert_eq!(parse_suites(row.iana), Ok((vec![row.suite], vec![])));
            assert_eq!(parse_suites(row.openssl), Ok((vec![row.suite], vec![])));
        }
    }

    #[test]
    fn a_list_may_be_separated_in_any_usual_way() {
        let expected = vec![
            CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
        ];
        for list in [
            "ECDHE-RSA-AES128-GCM-SHA256:TLS_CHACHA20_POLY1305_SHA256",
            "ecdhe-rsa-aes128-gcm-sha256, tls_chacha20_poly1305_sha256",
            " TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 TLS_CHACHA20_POLY1305_SHA256:ECDHE-RSA-AES128-GCM-SHA256:",
        ] {
            assert_eq!(parse_suites(list), Ok((expected.clone(), vec![])), "{list}");
        }
    }

    #[test]
    fn openssls_words_mean_those_of_its_suites_that_are_ours() {
        let names = |list: &str| {
            let (found, ignored) = parse_suites(list).expect("something is left");
            let name =
                |suite| TABLE.iter().find(|row| row.suite == suite).map(|row| row.openssl).expect("a row");
            (found.into_iter().map(name).collect::<Vec<_>>(), ignored)
        };
        let all: Vec<&str> = TABLE[3..].iter().map(|row| row.openssl).collect();
        for list in [
            "HIGH",
            "ALL",
            "DEFAULT",
            // Of Fedora and its kin.
            "PROFILE=SYSTEM",
            "HIGH:!aNULL",
            "ECDHE",
            "HIGH:!aNULL:!MD5:!3DES:@STRENGTH",
            "ALL:!EXPORT",
        ] {
            assert_eq!(names(list), (all.clone(), vec![]), "{list}");
        }
        let gcm: Vec<&str> = all.iter().filter(|name| name.contains("GCM")).copied().collect();
        assert_eq!(names("ECDHE+AESGCM").0, gcm);
        assert_eq!(names("EECDH+AESGCM:EDH+AESGCM"), (gcm.clone(), vec!["EDH+AESGCM".to_owned()]));
        assert_eq!(names("HIGH:!CHACHA20").0, gcm);
        assert_eq!(names("!CHACHA20:HIGH").0, gcm);
        assert_eq!(names("HIGH:-CHACHA20:CHACHA20+aRSA").0.last(), Some(&"ECDHE-RSA-CHACHA20-POLY1305"));
        let reordered = names("HIGH:+AES256").0;
        assert!(
            reordered.len() == 6 && reordered[4..].iter().all(|name| name.contains("AES256")),
            "{reordered:?}"
        );
        let published = "ECDHE-RSA-AES256-GCM-SHA384:DHE-RSA-AES256-GCM-SHA384:AES256-SHA";
        let left_out = ["DHE-RSA-AES256-GCM-SHA384", "AES256-SHA"].map(str::to_owned).to_vec();
        assert_eq!(names(published), (vec!["ECDHE-RSA-AES256-GCM-SHA384"], left_out));
    }

    #[test]
    fn a_list_that_leaves_nothing_is_an_error_that_lists_the_known_ones() {
        for list in [" : ", "AES256-SHA", "HIGH:!ALL", "RC4:MD5", "!aNULL", "ECDHE+RC4", "\u{e4}"] {
            let error = parse_suites(list).expect_err("nothing");
            let expected = format!(
                "none of the cipher suites in '{list}' is supported (known: TLS_AES_256_GCM_SHA384, "
            );
            assert!(
                error.starts_with(&expected) && error.contains("ECDHE-ECDSA-CHACHA20-POLY1305"),
                "{error}"
            );
        }
    }

    #[test]
    fn suites_of_version_1_3_stay_unless_one_is_named() {
        let all_13 = &TABLE[..3];
        let kept = suites("ECDHE-RSA-AES128-GCM-SHA256");
        assert_eq!(kept.len(), 4);
        assert!(all_13.iter().all(|row| kept.contains(&row.suite)));
        assert_eq!(suites("TLS_AES_128_GCM_SHA256"), [CipherSuite::TLS13_AES_128_GCM_SHA256]);
        assert_eq!(
            suites("ECDHE-RSA-AES256-GCM-SHA384:TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384"),
            [
                CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
                CipherSuite::TLS13_AES_128_GCM_SHA256,
                CipherSuite::TLS13_AES_256_GCM_SHA384,
            ]
        );
        assert_eq!(provider(None).cipher_suites.len(), TABLE.len());
    }
}
