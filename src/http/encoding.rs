//! Which compressed forms of a file a client accepts, and prefers at least as much as the plain one (RFC
//! 9110, 12.5.3).

/// A compressed form that may exist beside the plain file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// Brotli, in `FILE.br`.
    Brotli,
    /// gzip, in `FILE.gz`.
    Gzip,
}

impl Coding {
    /// The name in `Content-Encoding`.
    pub fn name(self) -> &'static str {
        match self {
            Coding::Brotli => "br",
            Coding::Gzip => "gzip",
        }
    }

    /// What is appended to the plain file's name.
    pub fn suffix(self) -> &'static str {
        match self {
            Coding::Brotli => ".br",
            Coding::Gzip => ".gz",
        }
    }

    fn is_named(self, name: &[u8]) -> bool {
        name.eq_ignore_ascii_case(self.name().as_bytes())
            || (self == Coding::Gzip && name.eq_ignore_ascii_case(b"x-gzip"))
    }
}

/// The codings to look for, best first, from the members of all `Accept-Encoding` headers. Among equals the
/// one that compresses better comes first.
pub fn accepted<'a>(members: impl Iterator<Item = &'a [u8]>) -> Vec<Coding> {
    let (mut brotli, mut gzip, mut identity, mut others) = (None, None, None, None);
    for member in members {
        let (name, weight) = weighted(member);
        let slot = match name {
            _ if Coding::Brotli.is_named(name) => &mut brotli,
            _ if Coding::Gzip.is_named(name) => &mut gzip,
            _ if name.eq_ignore_ascii_case(b"identity") => &mut identity,
            b"*" => &mut others,
            _ => continue,
        };
        *slot = Some(weight);
    }
    // The plain form has no weight of its own unless it is named; any accepted coding is preferred to it.
    let plain = identity.unwrap_or(1);
    let mut codings: Vec<(Coding, u16)> = [(Coding::Brotli, brotli), (Coding::Gzip, gzip)]
        .into_iter()
        .map(|(coding, weight)| (coding, weight.or(others).unwrap_or(0)))
        .filter(|&(_, weight)| weight > 0 && weight >= plain)
        .collect();
    codings.sort_by_key(|&(_, weight)| std::cmp::Reverse(weight));
    codings.into_iter().map(|(coding, _)| coding).collect()
}

/// A member's name and its weight in thousandths: 1000 without one, 0 when it is malformed.
fn weighted(member: &[u8]) -> (&[u8], u16) {
    let mut parts = member.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    let name = parts.next().unwrap_or_default();
    let weight = parts.find_map(|part| match part {
        [b'q' | b'Q', rest @ ..] => rest.trim_ascii_start().strip_prefix(b"="),
        _ => None,
    });
    (name, weight.map_or(1000, |text| thousandths(text.trim_ascii())))
}

/// `0`, `1`, or `0.` with up to three digits.
fn thousandths(text: &[u8]) -> u16 {
    match text {
        [b'1'] => 1000,
        [b'1', b'.', zeros @ ..] if zeros.len() <= 3 && zeros.iter().all(|&digit| digit == b'0') => 1000,
        [b'0', b'.', digits @ ..] if digits.len() <= 3 && digits.iter().all(u8::is_ascii_digit) => {
            [100, 10, 1].iter().zip(digits).map(|(unit, digit)| unit * u16::from(digit - b'0')).sum()
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_s_weights_decide_and_then_the_size() {
        use Coding::{Brotli, Gzip};
        let table: &[(&str, &[Coding])] = &[
            ("", &[]),
            ("gzip, deflate, br, zstd", &[Brotli, Gzip]),
            ("gzip", &[Gzip]),
            ("x-gzip", &[Gzip]),
            ("GZip;Q=1.000", &[Gzip]),
            ("br;q=0.5, gzip;q=0.6", &[Gzip, Brotli]),
            ("br;q=0, gzip", &[Gzip]),
            ("*", &[Brotli, Gzip]),
            ("*;q=0.1, br;q=0", &[Gzip]),
            ("gzip;q=0.5, identity", &[]),
            ("gzip ; q = 0.5 , identity;q=0.4", &[Gzip]),
            ("gzip;q=0.001", &[Gzip]),
            ("gzip;q=1.5, br;q=x", &[]),
            ("deflate, zstd", &[]),
            ("gzip;level=9;q=0.2", &[Gzip]),
        ];
        for (value, expected) in table {
            let members = value.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
            assert_eq!(accepted(members), *expected, "{value}");
        }
    }
}
