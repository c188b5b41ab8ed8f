//! What the options say of proxies.

use std::path::PathBuf;

use super::config;
use crate::cli::ProxyOptions;
use crate::conn::frontend::RealIpHeader;
use crate::http::forwarded::Form;
use crate::proxy::Version;

#[test]
fn proxies_are_what_the_options_say() {
    assert_eq!(config("6080 a:1").proxies, ProxyOptions::default());
    let of = |line: &str| config(&format!("{line} 6080 a:1")).proxies;
    let all = of("--proxy-protocol on --trusted-proxy 10.0.0.0/8 --trusted-proxy unix --trusted-proxy @list");
    assert!(all.proxies.protocol && all.proxies.trusted.unix);
    assert!(all.proxies.trusted.contains("10.1.2.3".parse().expect("an address")));
    assert_eq!(all.files, [PathBuf::from("/start/list")]);
    assert_eq!(all.proxies.header, Some(RealIpHeader::new("X-Forwarded-For")));
    assert_eq!(of("--trusted-proxy unix --real-ip-header none").proxies.header, None);
    let forwarded = of("--trusted-proxy unix --real-ip-header forwarded").proxies.header.expect("one");
    assert_eq!(forwarded.form, Form::Forwarded);
    assert!(!of("--trusted-proxy unix --proxy-protocol off").proxies.protocol);
    assert_eq!(of("--proxy-protocol-out v1").proxies.out, Some(Version::V1));
    assert_eq!(of("--proxy-protocol-out v2").proxies.out, Some(Version::V2));
}
