//! TLS or not: the first byte of a connection decides, so that one port serves both.

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// A TLS handshake.
    Tls,
    /// Anything else; the HTTP parser deals with it.
    Plain,
}

/// Tells from the first byte of a connection. 0x16 is a TLS handshake record; 0x80 is how an SSL 2
/// compatible hello of old clients begins, which the TLS library then refuses in its own words.
/// Neither can begin an HTTP request.
pub fn classify(first: u8) -> Protocol {
    match first {
        0x16 | 0x80 => Protocol::Tls,
        _ => Protocol::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_two_first_bytes_are_tls() {
        let tls: Vec<u8> = (0..=255).filter(|&first| classify(first) == Protocol::Tls).collect();
        assert_eq!(tls, [0x16, 0x80]);
    }
}
