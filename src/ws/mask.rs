//! Masking of payload (RFC 6455, 5.3): XOR with a repeated four-byte key, in three shapes.
//!
//! It touches every byte that a client sends, so it works on blocks that the compiler turns into vector
//! instructions. The data may move on the way: closing the gap that a frame header leaves costs nothing
//! extra, because each block is loaded and stored anyway.

use std::cell::Cell;

/// Unmasks `data` in place. `offset` is the position of `data[0]` in the frame's payload (only its
/// remainder by 4 counts).
pub fn unmask(data: &mut [u8], key: [u8; 4], offset: usize) {
    let key = aligned(key, offset);
    let (blocks, rest) = data.as_chunks_mut::<BLOCK>();
    for block in blocks {
        *block = xor(*block, key);
    }
    let (words, tail) = rest.as_chunks_mut::<WORD>();
    for word in words {
        *word = xor(*word, key);
    }
    for (byte, key) in tail.iter_mut().zip(twice(key)) {
        *byte ^= key;
    }
}

/// Unmasks `buf[from..from + len]` while moving it to `buf[to..to + len]`. The two may overlap; `to` must
/// not be greater than `from`. `offset` is the position of `buf[from]` in the frame's payload.
///
/// # Panics
///
/// When a range leaves the buffer or `to` is greater than `from`.
#[inline(always)]
pub fn unmask_down(buf: &mut [u8], from: usize, to: usize, len: usize, key: [u8; 4], offset: usize) {
    assert!(to <= from, "the move goes towards the start");
    // Shared cells let the two ranges overlap. Reading runs ahead of writing, so nothing is read that
    // has been overwritten.
    let cells = Cell::from_mut(buf).as_slice_of_cells();
    shift(&cells[from..from + len], &cells[to..to + len], aligned(key, offset));
}

/// [`unmask_down`] for short payloads in a burst: works in whole blocks, so it also overwrites up to
/// [`SLACK`] bytes behind the moved payload with garbage. The distance must be at least that long, so that
/// they fall on what has been read, and as many bytes must follow the payload in the buffer.
#[inline(always)]
pub(super) fn unmask_down_loosely(buf: &mut [u8], from: usize, to: usize, len: usize, key: [u8; 4]) {
    debug_assert!(from - to >= SLACK, "garbage falls on bytes that have been read");
    let rounded = len.next_multiple_of(SHORT_BLOCK);
    let cells = Cell::from_mut(buf).as_slice_of_cells();
    let (from_blocks, _) = cells[from..from + rounded].as_chunks::<SHORT_BLOCK>();
    let (to_blocks, _) = cells[to..to + rounded].as_chunks::<SHORT_BLOCK>();
    for (from, to) in from_blocks.iter().zip(to_blocks) {
        store(to, xor(load(from), key));
    }
}

/// The body of [`unmask_down`]: each block is in a local before anything is stored.
fn shift(from: &[Cell<u8>], to: &[Cell<u8>], key: [u8; 4]) {
    let (from_blocks, from_rest) = from.as_chunks::<BLOCK>();
    let (to_blocks, to_rest) = to.as_chunks::<BLOCK>();
    for (from, to) in from_blocks.iter().zip(to_blocks) {
        store(to, xor(load(from), key));
    }
    let (from_words, from_tail) = from_rest.as_chunks::<WORD>();
    let (to_words, to_tail) = to_rest.as_chunks::<WORD>();
    for (from, to) in from_words.iter().zip(to_words) {
        store(to, xor(load(from), key));
    }
    for ((from, to), key) in from_tail.iter().zip(to_tail).zip(twice(key)) {
        to.set(from.get() ^ key);
    }
}

/// The key as it applies to the byte at `offset`. (In a register: rotating an array by a variable distance
/// costs as much as unmasking 500 bytes.)
#[inline(always)]
pub(super) fn aligned(key: [u8; 4], offset: usize) -> [u8; 4] {
    u32::from_le_bytes(key).rotate_right(8 * (offset & 3) as u32).to_le_bytes()
}

/// The key for up to seven bytes at the end.
#[inline(always)]
fn twice([a, b, c, d]: [u8; 4]) -> [u8; 8] {
    [a, b, c, d, a, b, c, d]
}

#[inline(always)]
fn xor<const N: usize>(block: [u8; N], key: [u8; 4]) -> [u8; N] {
    std::array::from_fn(|at| block[at] ^ key[at & 3])
}

#[inline(always)]
fn load<const N: usize>(cells: &[Cell<u8>; N]) -> [u8; N] {
    std::array::from_fn(|at| cells[at].get())
}

#[inline(always)]
fn store<const N: usize>(cells: &[Cell<u8>; N], block: [u8; N]) {
    for (cell, byte) in cells.iter().zip(block) {
        cell.set(byte);
    }
}

/// Two vector registers on the smallest x86-64 and on AArch64; larger blocks measured no faster.
const BLOCK: usize = 32;

/// Between the blocks and the last bytes: one general register.
const WORD: usize = 8;

/// One vector register: a short payload seldom fills two.
const SHORT_BLOCK: usize = 16;

/// How far [`unmask_down_loosely`] may reach beyond the payload's end, in bytes.
pub(super) const SLACK: usize = SHORT_BLOCK - 1;

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    fn sample(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at * 31 + 7) as u8).collect()
    }

    fn byte_by_byte(data: &[u8], offset: usize) -> Vec<u8> {
        data.iter().enumerate().map(|(at, byte)| byte ^ KEY[(at + offset) % 4]).collect()
    }

    #[test]
    fn the_example_of_the_rfc_says_hello() {
        let mut data = [0x7f, 0x9f, 0x4d, 0x51, 0x58];
        unmask(&mut data, KEY, 0);
        assert_eq!(&data, b"Hello");
    }

    #[test]
    fn unmasking_in_place_agrees_with_a_byte_loop_at_every_length_and_offset() {
        for len in 0..=200 {
            let data = sample(len);
            for offset in 0..8 {
                let expected = byte_by_byte(&data, offset);
                let mut place = data.clone();
                unmask(&mut place, KEY, offset);
                assert_eq!(place, expected, "in place, {len} bytes at {offset}");
            }
        }
    }

    #[test]
    fn moving_down_agrees_at_every_distance_and_touches_nothing_else() {
        for len in 0..=200 {
            for gap in [0, 1, 2, 6, 7, 8, 14, 31, 32, 33, 63, 100, 300] {
                for offset in 0..8 {
                    let before = sample(3 + gap + len + 5);
                    let mut buf = before.clone();
                    unmask_down(&mut buf, 3 + gap, 3, len, KEY, offset);
                    let expected = byte_by_byte(&before[3 + gap..][..len], offset);
                    assert_eq!(buf[3..][..len], expected, "{len} bytes by {gap} at {offset}");
                    assert_eq!(buf[..3], before[..3]);
                    assert_eq!(buf[3 + len..], before[3 + len..]);
                }
            }
        }
    }

    #[test]
    fn moving_loosely_agrees_and_spoils_only_what_has_been_read() {
        for len in 0..=130 {
            for gap in [SLACK, SLACK + 1, 32, 100] {
                let before = sample(3 + gap + len + SLACK);
                let mut buf = before.clone();
                unmask_down_loosely(&mut buf, 3 + gap, 3, len, KEY);
                assert_eq!(buf[3..][..len], byte_by_byte(&before[3 + gap..][..len], 0));
                assert_eq!(buf[..3], before[..3]);
                assert_eq!(buf[3 + gap + len..], before[3 + gap + len..], "{len} bytes by {gap}");
            }
        }
    }

    #[test]
    fn a_payload_unmasked_in_pieces_is_the_same() {
        let data = sample(97);
        for cut in 0..=data.len() {
            let mut pieces = data.clone();
            let (first, second) = pieces.split_at_mut(cut);
            unmask(first, KEY, 0);
            unmask(second, KEY, cut);
            assert_eq!(pieces, byte_by_byte(&data, 0), "cut at {cut}");
        }
    }

    #[test]
    #[should_panic(expected = "towards the start")]
    fn moving_up_is_refused() {
        unmask_down(&mut [0; 8], 1, 2, 3, KEY, 0);
    }
}
