//! CRC-32C (Castagnoli), bit by bit: it is computed once per connection, over a few hundred bytes.

/// The checksum of `pieces`, one behind the other.
pub(super) fn of<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    let mut crc = u32::MAX;
    for byte in pieces.into_iter().flatten() {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { POLYNOMIAL } else { 0 };
        }
    }
    !crc
}

/// 0x1edc6f41, its bits turned round.
const POLYNOMIAL: u32 = 0x82f6_3b78;

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3720, B.4, and the usual check value.
    #[test]
    fn known_values_come_out() {
        assert_eq!(of([&b"123456789"[..]]), 0xe306_9283);
        assert_eq!(of([&b"1234"[..], b"", b"56789"]), 0xe306_9283);
        assert_eq!(of([&[0; 32][..]]), 0x8a91_36aa);
        assert_eq!(of([&[0xff; 32][..]]), 0x62a8_ab43);
    }
}
