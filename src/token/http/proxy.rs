//! Proxies from the environment: `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`, in lower or upper
//! case, as they are when the program starts.

use std::net::IpAddr;

use super::url::Url;

/// Which proxy is for which URL.
#[derive(Default)]
pub(super) struct Proxies {
    http: Option<Result<Url, String>>,
    https: Option<Result<Url, String>>,
    /// Hosts that are asked without one.
    direct: Vec<Exception>,
}

/// One word of `no_proxy`.
enum Exception {
    All,
    /// A host or a domain, in small letters, and a port.
    Name(String, Option<u16>),
    /// Addresses, by their leading bits.
    Network(IpAddr, u8),
}

impl Proxies {
    /// Those of this process.
    pub(super) fn from_environment() -> Proxies {
        Proxies::of(|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    /// Those of variables that `variable` knows.
    pub(super) fn of(variable: impl Fn(&str) -> Option<String>) -> Proxies {
        let either = |name: &str| {
            let small = variable(name).or_else(|| variable(&name.to_ascii_uppercase()));
            small.filter(|value| !value.trim().is_empty()).map(|value| (name.to_owned(), value))
        };
        let proxy = |names: [&str; 2]| {
            let (name, value) = either(names[0]).or_else(|| either(names[1]))?;
            let value = value.trim();
            let text = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
            let url = Url::parse(&text).map_err(|why| format!("the proxy in {name} can't be used: {why}"));
            Some(url)
        };
        let direct = either("no_proxy").map(|(_, value)| value).unwrap_or_default();
        Proxies {
            http: proxy(["http_proxy", "all_proxy"]),
            https: proxy(["https_proxy", "all_proxy"]),
            direct: direct.split([',', ' ', '\t', '\n']).filter_map(Exception::of).collect(),
        }
    }

    /// The proxy for a URL, if one is needed.
    ///
    /// # Errors
    /// The proxy can't be used, in words for the operator.
    pub(super) fn of_url(&self, url: &Url) -> Result<Option<&Url>, String> {
        let proxy = if url.is_secure { &self.https } else { &self.http };
        match proxy {
            Some(proxy) if !self.direct.iter().any(|exception| exception.covers(url)) => {
                proxy.as_ref().map(Some).map_err(Clone::clone)
            }
            _ => Ok(None),
        }
    }
}

impl Exception {
    fn of(word: &str) -> Option<Exception> {
        let word = word.trim().to_ascii_lowercase();
        match word.as_str() {
            "" => return None,
            "*" => return Some(Exception::All),
            _ => {}
        }
        let bare = word.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Some(Exception::Network(address, u8::MAX));
        }
        if let Some((address, bits)) = word.split_once('/')
            && let (Ok(address), Ok(bits)) = (address.parse(), bits.parse())
        {
            return Some(Exception::Network(address, bits));
        }
        let (name, port) = match word.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.parse().ok()?)),
            None => (word.as_str(), None),
        };
        let name = name.strip_prefix('*').unwrap_or(name).trim_start_matches('.');
        Some(Exception::Name(name.trim_start_matches('[').trim_end_matches(']').to_owned(), port))
    }

    fn covers(&self, url: &Url) -> bool {
        match self {
            Exception::All => true,
            Exception::Name(name, port) => {
                let is_below =
                    || url.host.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.'));
                !name.is_empty()
                    && port.is_none_or(|port| port == url.port)
                    && (url.host == *name || is_below())
            }
            Exception::Network(network, bits) => match (url.host.parse(), network) {
                (Ok(IpAddr::V4(host)), IpAddr::V4(network)) => {
                    let free = 32_u32.saturating_sub((*bits).into());
                    (u64::from(host.to_bits()) >> free) == (u64::from(network.to_bits()) >> free)
                }
                (Ok(IpAddr::V6(host)), IpAddr::V6(network)) => {
                    let free = 128_u32.saturating_sub((*bits).into());
                    let shifted = |bits: u128| bits.checked_shr(free).unwrap_or(0);
                    shifted(host.to_bits()) == shifted(network.to_bits())
                }
                _ => false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        let find =
            |name: &str| variables.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).into());
        Proxies::of(find)
    }

    fn proxy(variables: &[(&str, &str)], url: &str) -> Option<String> {
        let proxies = proxies(variables);
        let found = proxies.of_url(&Url::parse(url).expect(url)).expect("a sound proxy");
        found.map(Url::authority)
    }

    #[test]
    fn each_scheme_has_its_proxy_and_small_letters_win() {
        let both = [("http_proxy", "http://p:1"), ("HTTPS_PROXY", "q:2"), ("HTTP_PROXY", "r:3")];
        assert_eq!(proxy(&both, "http://h/").as_deref(), Some("p:1"));
        assert_eq!(proxy(&both, "https://h/").as_deref(), Some("q:2"));
        assert_eq!(proxy(&[("all_proxy", "p:1")], "https://h/").as_deref(), Some("p:1"));
        assert_eq!(proxy(&[("http_proxy", ""), ("ALL_PROXY", "")], "http://h/"), None);
        assert_eq!(proxy(&[("https_proxy", "p:1")], "http://h/"), None);
    }

    #[test]
    fn hosts_of_no_proxy_are_asked_without_one() {
        for (direct, url, is_direct) in [
            ("*", "http://h/", true),
            ("h", "http://h/", true),
            ("H", "http://h/", true),
            ("x, h", "http://h:81/", true),
            (".example.org", "http://example.org/", true),
            ("example.org", "http://a.example.org/", true),
            ("*.example.org", "http://a.example.org/", true),
            ("example.org", "http://notexample.org/", false),
            ("h:81", "http://h:81/", true),
            ("h:81", "http://h/", false),
            ("127.0.0.0/8", "http://127.1.2.3/", true),
            ("127.0.0.0/8", "http://128.1.2.3/", false),
            ("10.0.0.1", "http://10.0.0.1/", true),
            ("10.0.0.1", "http://10.0.0.2/", false),
            ("0.0.0.0/0", "http://10.0.0.2/", true),
            ("::/0", "http://[fd00::1]/", true),
            ("fd00::/8", "http://[fd00::1]/", true),
            ("fd00::/8", "http://[fe00::1]/", false),
            ("::1", "http://[::1]/", true),
            ("[::1]", "http://[::1]:81/", true),
            ("1.2.3.4/x", "http://1.2.3.4/", false),
            (".", "http://h/", false),
            ("h:x", "http://h/", false),
            ("", "http://h/", false),
        ] {
            assert_eq!(
                proxy(&[("http_proxy", "p:1"), ("no_proxy", direct)], url).is_none(),
                is_direct,
                "{direct}"
            );
        }
        assert_eq!(proxy(&[("http_proxy", "p:1"), ("NO_PROXY", "h")], "http://h/"), None);
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_an_error_and_never_passed_by() {
        let proxies = proxies(&[("http_proxy", "socks5://user:secret@p:1"), ("no_proxy", "direct")]);
        let why = proxies.of_url(&Url::parse("http://h/").unwrap()).err().expect("an error");
        assert_eq!(why, "the proxy in http_proxy can't be used: it is no URL of http or https");
        assert!(matches!(proxies.of_url(&Url::parse("http://direct/").unwrap()), Ok(None)));
    }
}
