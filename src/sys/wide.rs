//! Functions that process 64 bytes at a time where the processor can. The slow twin of each is where it is
//! used, and its tests compare the two.

/// Writes the text of the first whole blocks of 64 bytes of `bytes` to the start of `room`, as
/// `record/escape` does: printable ASCII as it is, `\\`, `\'`, `\t`, `\n` and `\r` in two characters, and
/// everything else as `\x` and two digits. Returns the bytes of `bytes` that were taken and the length of
/// their text. After the text, `room` is overwritten up to four bytes per byte taken.
///
/// Takes nothing if the processor lacks the instructions, or if `room` has less than 256 bytes for the next
/// block.
pub fn escape(bytes: &[u8], room: &mut [u8]) -> (usize, usize) {
    #[cfg(target_arch = "x86_64")]
    {
        let able = is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vbmi2")
            && is_x86_feature_detected!("bmi2");
        if able {
            // SAFETY: there is no safe way to call a function that only some processors can run. The lines
            // above have checked that this one can; each of these features includes AVX-512F.
            return unsafe { x86::escape(bytes, room) };
        }
    }
    let _ = (bytes, room);
    (0, 0)
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    /// Bytes of a block, and of a register.
    const BLOCK: usize = 64;

    /// The first of every four characters.
    const FIRST: u64 = 0x1111_1111_1111_1111;

    /// Expands each byte to four characters, and compresses those that count.
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,bmi2")]
    pub(super) fn escape(bytes: &[u8], room: &mut [u8]) -> (usize, usize) {
        let digits = of_four(b"0123456789abcdef");
        // The second character of those that take two, by the low half of the byte.
        let letters = of_four(b"\0\0\0\0\0\0\0'\0tn\0\\r\0\0");
        let all = |byte: u8| _mm512_set1_epi8(byte as i8);
        let low_half = all(0x0f);
        // Interleaving works inside quarters of a register. This puts each quarter's bytes where they will follow
        // each other.
        let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        let (mut taken, mut at) = (0, 0);
        for block in bytes.chunks_exact(BLOCK) {
            let Some(place) = room[at..].first_chunk_mut::<{ 4 * BLOCK }>() else { break };
            let v = load(block.first_chunk().unwrap_or(&[0; BLOCK]));
            let is = |byte: u8| _mm512_cmpeq_epi8_mask(v, all(byte));
            let printable = _mm512_cmplt_epu8_mask(_mm512_sub_epi8(v, all(b' ')), all(b'~' + 1 - b' '));
            let quoted = is(b'\\') | is(b'\'');
            let one = printable & !quoted;
            let two = quoted | is(b'\t') | is(b'\n') | is(b'\r');
            let four = !(one | two);

            let low = _mm512_and_si512(v, low_half);
            let high = _mm512_and_si512(_mm512_srli_epi16::<4>(v), low_half);
            let first = _mm512_mask_mov_epi8(all(b'\\'), one, v);
            let second = _mm512_mask_shuffle_epi8(all(b'x'), two, letters, low);
            let third = _mm512_shuffle_epi8(digits, high);
            let fourth = _mm512_shuffle_epi8(digits, low);
            let [a, b, c, d] = [first, second, third, fourth].map(|v| _mm512_permutexvar_epi32(order, v));
            let (ab, cd) = (_mm512_unpacklo_epi8(a, b), _mm512_unpacklo_epi8(c, d));
            let (ab_high, cd_high) = (_mm512_unpackhi_epi8(a, b), _mm512_unpackhi_epi8(c, d));
            let texts = [
                _mm512_unpacklo_epi16(ab, cd),
                _mm512_unpackhi_epi16(ab, cd),
                _mm512_unpacklo_epi16(ab_high, cd_high),
                _mm512_unpackhi_epi16(ab_high, cd_high),
            ];
            let mut length = 0;
            for (number, text) in texts.into_iter().enumerate() {
                let more = _pdep_u64(!one >> (16 * number), FIRST << 1);
                let most = _pdep_u64(four >> (16 * number), FIRST << 2);
                let keep = FIRST | more | most | most << 1;
                let Some(place) = place[length..].first_chunk_mut() else { break };
                store(place, _mm512_maskz_compress_epi8(keep, text));
                length += keep.count_ones() as usize;
            }
            taken += BLOCK;
            at += length;
        }
        (taken, at)
    }

    /// Sixteen bytes in each quarter of a register.
    #[target_feature(enable = "avx512f")]
    fn of_four(bytes: &[u8; 16]) -> __m512i {
        let number = u128::from_le_bytes(*bytes);
        _mm512_broadcast_i32x4(_mm_set_epi64x((number >> 64) as i64, number as i64))
    }

    #[target_feature(enable = "avx512f")]
    fn load(bytes: &[u8; BLOCK]) -> __m512i {
        // SAFETY: the safe ways go byte by byte. The pointer is of a reference to just as many bytes, and the
        // instruction needs no alignment.
        unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx512f")]
    fn store(place: &mut [u8; BLOCK], v: __m512i) {
        // SAFETY: as in `load`; the reference is an exclusive one.
        unsafe { _mm512_storeu_si512(place.as_mut_ptr().cast(), v) };
    }
}
