//! `--ssl-version` and `--ssl-ciphers`: which versions and cipher suites are spoken.
//!
//! The provider of all cryptography is named here, once, instead of being installed for the whole process,
//! where a dependency could install another one.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{CipherSuite, SupportedCipherSuite, SupportedProtocolVersion, version};

use super::Versions;

/// Reads a list of cipher suites, separated by colons, commas or blanks, in IANA's names or OpenSSL's.
/// OpenSSL's words for groups of suites (`HIGH`) are not understood: what they stand for changes, and a list
/// that was written for another library should be looked at, not guessed at.
///
/// # Errors
/// A name is unknown, or there is none; in words for the user, with the known ones.
pub fn parse_suites(list: &str) -> Result<Vec<CipherSuite>, String> {
    let mut found = Vec::new();
    for word in list.split([':', ',', ' ', '\t']).filter(|word| !word.is_empty()) {
        let row = TABLE
            .iter()
            .find(|row| word.eq_ignore_ascii_case(row.iana) || word.eq_ignore_ascii_case(row.openssl));
        match row {
            Some(row) if found.contains(&row.suite) => {}
            Some(row) => found.push(row.suite),
            None => return Err(format!("unknown cipher suite: '{word}' (known: {})", known())),
        }
    }
    if found.is_empty() {
        return Err(format!("no cipher suite given (known: {})", known()));
    }
    Ok(found)
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
        let listed = parse_suites(list).expect("known names");
        provider(Some(&listed)).cipher_suites.iter().map(SupportedCipherSuite::suite).collect()
    }

    #[test]
    fn the_table_has_every_suite_of_the_library() {
        let supported = aws_lc_rs::ALL_CIPHER_SUITES.iter().map(SupportedCipherSuite::suite);
        assert!(supported.eq(TABLE.iter().map(|row| row.suite)));
        for row in TABLE {
            assert_eq!(parse_suites(row.iana), Ok(vec![row.suite]));
            assert_eq!(parse_suites(row.openssl), Ok(vec![row.suite]));
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
            assert_eq!(parse_suites(list), Ok(expected.clone()), "{list}");
        }
    }

    #[test]
    fn an_unknown_name_is_an_error_that_lists_the_known_ones() {
        let error = parse_suites("ECDHE-RSA-AES128-GCM-SHA256:HIGH:!aNULL").expect_err("a group");
        assert!(
            error.starts_with("unknown cipher suite: 'HIGH' (known: TLS_AES_256_GCM_SHA384, "),
            "{error}"
        );
        assert!(error.contains("ECDHE-ECDSA-CHACHA20-POLY1305"));
        assert!(parse_suites(" : ").expect_err("nothing").starts_with("no cipher suite given (known: "));
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
