//! Small letters for capital ones, of the alphabets that names of clusters and warehouses are written in. The tables of the
//! standard library know those of all of Unicode, and are 18 KB of the component.

/// The text with small letters: Latin, Greek and Cyrillic ones; all else stays.
pub(crate) fn lower(text: &str) -> String {
    text.chars().map(small).collect()
}

fn small(letter: char) -> char {
    let code = u32::from(letter);
    let code = match code {
        // A final sigma is a sigma.
        0x3c2 => 0x3c3,
        0x41..=0x5a | 0xc0..=0xd6 | 0xd8..=0xde | 0x391..=0x3a1 | 0x3a3..=0x3ab | 0x410..=0x42f => {
            code + 32
        }
        0x400..=0x40f => code + 80,
        0x386 => 0x3ac,
        0x388..=0x38a => code + 37,
        0x38c => 0x3cc,
        0x38e..=0x38f => code + 63,
        0x178 => 0xff,
        // Capital and small letters alternate, beginning with an even one, or with an odd one.
        0x130 => code,
        0x100..=0x137 | 0x14a..=0x177 | 0x1a0..=0x1a5 | 0x1de..=0x1ef | 0x1f8..=0x21f => code | 1,
        0x222..=0x233 | 0x460..=0x481 | 0x48a..=0x4bf | 0x4d0..=0x52f => code | 1,
        0x1e00..=0x1e95 | 0x1ea0..=0x1eff => code | 1,
        0x139..=0x148 | 0x179..=0x17e | 0x1cd..=0x1dc | 0x4c1..=0x4ce => code + code % 2,
        0x1af => 0x1b0,
        0x4c0 => 0x4cf,
        _ => code,
    };
    char::from_u32(code).unwrap_or(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_the_alphabets_are_those_of_the_standard_library() {
        let blocks = [0..0x180, 0x1cd..0x1dd, 0x370..0x3d0, 0x400..0x530, 0x1e00..0x1f00];
        for code in blocks.into_iter().flatten() {
            let letter = char::from_u32(code).unwrap();
            let expected = match letter {
                'ς' => 'σ',
                // It would become two.
                'İ' => letter,
                // No letters of words.
                'Ͱ' | 'Ͳ' | 'Ͷ' | 'Ϳ' | 'Ϗ' | 'ẞ' => continue,
                _ => letter.to_lowercase().next().unwrap(),
            };
            assert_eq!(small(letter), expected, "{letter} U+{code:04X}");
        }
    }

    #[test]
    fn no_other_letter_becomes_what_it_is_not() {
        for letter in ('\0'..=char::MAX).filter(|letter| *letter != 'ς') {
            let small = small(letter);
            assert!(small == letter || letter.to_lowercase().eq([small]), "{letter}");
        }
    }
}
