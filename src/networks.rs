//! The proxies that are trusted to say who a client is: networks, and the clients of the Unix sockets.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

/// A list of networks, and whether clients of Unix sockets are on it, too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    networks: Vec<IpNet>,
    /// Whether clients of Unix sockets are on the list.
    pub unix: bool,
}

impl Networks {
    /// Adds an address, a network (`10.0.0.0/8`, `fd00::/8`) or `unix`.
    ///
    /// # Errors It is none of these; in words for the user.
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        if text == "unix" {
            self.unix = true;
            return Ok(());
        }
        let network =
            parse(text).ok_or_else(|| format!("neither an address, a network nor unix: '{text}'"))?;
        self.networks.push(network);
        Ok(())
    }

    /// Adds the words of a file: one or more a line, `#` begins a comment.
    ///
    /// # Errors
    /// What is wrong, and in which line.
    pub fn add_file(&mut self, text: &str) -> Result<(), String> {
        for (number, line) in text.lines().enumerate() {
            let words = line.split('#').next().unwrap_or_default().split_whitespace();
            for word in words {
                self.add(word).map_err(|fault| format!("line {}: {fault}", number + 1))?;
            }
        }
        Ok(())
    }

    /// Whether nobody is on the list.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty() && !self.unix
    }

    /// Whether this address is on the list. A mapped IPv4 address is one of IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }
}

/// Reads an address or a network (`10.0.0.0/8`, `fd00::/8`). Mapped IPv4 addresses are IPv4 addresses.
pub fn parse(text: &str) -> Option<IpNet> {
    parse_as(text, |address| address.to_canonical())
}

/// The same where `canonical` says which IPv6 addresses are IPv4 addresses.
pub fn parse_as(text: &str, canonical: impl Fn(IpAddr) -> IpAddr) -> Option<IpNet> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse().ok()?,
    };
    // A network of such addresses is one of IPv4, as the addresses are that it is compared with.
    match (network, canonical(network.addr()), network.prefix_len().checked_sub(96)) {
        (IpNet::V6(_), IpAddr::V4(address), Some(bits)) => Ipv4Net::new(address, bits).map(IpNet::V4).ok(),
        _ => Some(network),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_on_the_list_in_whatever_form_it_is_written() {
        let mut list = Networks::default();
        assert!(list.is_empty());
        for text in ["10.0.0.0/8", "192.0.2.7", "fd00::/8", "::ffff:198.51.100.0/120", "2001:db8::1"] {
            list.add(text).expect("a network");
        }
        let has = |text: &str| list.contains(text.parse().expect("an address"));
        for text in [
            "10.255.0.1",
            "::ffff:10.1.2.3",
            "192.0.2.7",
            "::ffff:192.0.2.7",
            "fdff::1",
            "198.51.100.200",
            "::ffff:198.51.100.0",
            "2001:db8::1",
        ] {
            assert!(has(text), "{text}");
        }
        for text in
            ["11.0.0.1", "192.0.2.8", "fe80::1", "198.51.101.0", "2001:db8::2", "64:ff9b::10.0.0.1", "::1"]
        {
            assert!(!has(text), "{text}");
        }
        assert!(!list.unix && !list.is_empty());
    }

    #[test]
    fn a_file_has_words_and_comments_and_a_bad_word_is_told_with_its_line() {
        let mut list = Networks::default();
        list.add_file("# proxies\n10.0.0.0/8 unix\n\n  fd00::/8 # ours\r\n").expect("in order");
        assert!(list.unix && list.contains("fd00::1".parse().expect("an address")));
        let wrong = list.add_file("10.0.0.1\n10.0.0.0/33\n").expect_err("no network");
        assert_eq!(wrong, "line 2: neither an address, a network nor unix: '10.0.0.0/33'");
        for text in [
            "",
            "Unix",
            "10.0.0",
            "10.0.0.0/",
            "example.org",
            "10.0.0.1:80",
            "[::1]",
            "*",
            "0.0.0.0/-1",
            "010.0.0.1",
        ] {
            assert!(list.add(text).is_err(), "{text}");
        }
        // A network that is written by one of its addresses is that network.
        list.add("172.16.5.4/12").expect("a network");
        assert!(list.contains("172.31.0.1".parse().expect("an address")));
    }
}
