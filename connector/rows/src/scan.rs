//! Eight bytes at a time: what of a JSON text can be copied as it is.

pub(crate) type Word = [u8; 8];

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Whether a byte of JSON text is anything but itself: the end, an escape, or a control character, which may not be there.
fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// The same of eight bytes at once: the lowest bit that is set belongs to the first special one (borrows of the
/// subtractions only reach later bytes).
fn specials(word: u64) -> u64 {
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
    let quotes = zeros(word ^ (ONES * 0x22));
    let escapes = zeros(word ^ (ONES * 0x5c));
    let controls = word.wrapping_sub(ONES * 0x20) & !word;
    (quotes | escapes | controls) & HIGH
}

/// Copies up to the first special byte, and tells how many that were.
pub(crate) fn copy_plain(text: &[u8], out: &mut Vec<u8>) -> usize {
    let (words, tail) = text.as_chunks::<8>();
    let mut copied = 0;
    for word in words {
        let specials = specials(u64::from_le_bytes(*word));
        // All eight are copied and some are taken back: a copy of fixed size is one instruction.
        out.extend_from_slice(word);
        if specials != 0 {
            let plain = specials.trailing_zeros() as usize / 8;
            out.truncate(out.len() - word.len() + plain);
            return copied + plain;
        }
        copied += word.len();
    }
    for &byte in tail {
        if is_special(byte) {
            break;
        }
        out.push(byte);
        copied += 1;
    }
    copied
}

/// Appends the first `length` bytes of some words.
pub(crate) fn copy_words(words: &[Word], length: usize, out: &mut Vec<u8>) {
    let end = out.len() + length;
    for word in words {
        out.extend_from_slice(word);
    }
    out.truncate(end);
}

/// A word of up to eight bytes.
pub(crate) fn filled(bytes: &[u8]) -> Word {
    let mut word = Word::default();
    word.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    word
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_copied_ends_at_the_first_special_byte(
            text in prop::collection::vec(prop_oneof![any::<u8>(), 0x1e..0x24_u8, 0x5b..0x5e_u8], 0..40),
        ) {
            let mut out = b"x".to_vec();
            let copied = copy_plain(&text, &mut out);
            let expected = text.iter().position(|&byte| is_special(byte)).unwrap_or(text.len());
            prop_assert_eq!(copied, expected);
            prop_assert_eq!(&out[1..], &text[..expected]);
        }
    }
}
