//! The forms in which a secret may come back from outside: as it is, and as the usual encodings write it.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_encode};

/// What `application/x-www-form-urlencoded` encodes. Hyphens of client ids stay: servers that compare Basic credentials
/// undecoded are common.
pub(crate) const FORM: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_');
/// What a strict encoder leaves alone is RFC 3986's unreserved set.
const COMPONENT: &AsciiSet = &FORM.remove(b'~').add(b'*');
/// What browsers leave alone in a component: `encodeURIComponent`.
const LENIENT: &AsciiSet =
    &COMPONENT.remove(b'!').remove(b'\'').remove(b'(').remove(b')').remove(b'*');
/// What cannot stand in a path or a query at all.
const URL: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'`')
    .add(b'{')
    .add(b'}');

/// Every form of a secret, each once. HTTP Basic credentials are among them: wherever a secret begins in what is encoded,
/// one of three alignments fits.
pub(crate) fn of(secret: &str) -> Vec<Vec<u8>> {
    let mut forms = BTreeSet::from([secret.as_bytes().to_vec()]);
    let mut basic = vec![secret.to_owned()];
    for set in [NON_ALPHANUMERIC, FORM, COMPONENT, LENIENT, URL] {
        let upper = percent_encode(secret.as_bytes(), set).to_string();
        forms.insert(lower_escapes(&upper).into_bytes());
        forms.insert(upper.replace("%20", "+").into_bytes());
        basic.push(upper.clone());
        forms.insert(upper.into_bytes());
    }
    forms.extend(json(secret).map(String::into_bytes));
    forms.extend(hex(secret.as_bytes()));
    for text in basic {
        forms.extend(base64(text.as_bytes()));
    }
    forms.into_iter().collect()
}

/// The same with `%2f` for `%2F`.
fn lower_escapes(text: &str) -> String {
    let mut parts = text.split('%');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |before, part| {
        let (digits, rest) = part.split_at_checked(2).unwrap_or((part, ""));
        format!("{before}%{}{rest}", digits.to_ascii_lowercase())
    })
}

/// As the writers of JSON do it: the least that has to be escaped, slashes too, all beyond ASCII, and what HTML would see.
fn json(secret: &str) -> impl Iterator<Item = String> {
    let all: [fn(char) -> bool; 4] = [
        |_| false,
        |c| c == '/',
        |c| !c.is_ascii(),
        |c| !c.is_ascii() || matches!(c, '<' | '>' | '&' | '\'' | '"' | '+' | '=' | '`' | '\u{7f}'),
    ];
    let shapes = [false, true].into_iter().flat_map(move |upper| all.map(|more| (upper, more)));
    shapes.map(move |(upper, more)| json_text(secret, upper, more))
}

fn json_text(secret: &str, upper: bool, more: fn(char) -> bool) -> String {
    let mut text = String::with_capacity(secret.len());
    for c in secret.chars() {
        match c {
            '/' if more('/') => text.push_str("\\/"),
            c if more(c) || c.is_control() => text.push_str(&escaped(c, upper)),
            '"' | '\\' => text.extend(['\\', c]),
            c => text.push(c),
        }
    }
    text
}

/// `\u00e9`, in two halves where one does not do.
pub(crate) fn escaped(c: char, upper: bool) -> String {
    let half = |unit: &u16| if upper { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") };
    c.encode_utf16(&mut [0; 2]).iter().map(half).collect()
}

fn hex(bytes: &[u8]) -> [Vec<u8>; 2] {
    let lower: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [lower.to_ascii_uppercase().into_bytes(), lower.into_bytes()]
}

/// What is the same whatever stands around the bytes: for each of the three places in a group of three where they may
/// begin, the characters that depend on them alone.
fn base64(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let engines: [&GeneralPurpose; 2] = [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD];
    let shapes = engines.into_iter().flat_map(|engine| (0..3).map(move |shift| (engine, shift)));
    shapes.map(move |(engine, shift)| {
        let shifted = [vec![0; shift], bytes.to_vec()].concat();
        let text = engine.encode(&shifted);
        let first = (shift * 8).div_ceil(6);
        let end = shifted.len() * 8 / 6;
        text.get(first..end).unwrap_or_default().as_bytes().to_vec()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(secret: &str, form: &str) -> bool {
        of(secret).iter().any(|known| known == form.as_bytes())
    }

    #[test]
    fn encodings_of_a_secret_are_its_forms() {
        let secret = "a/b+c \"é";
        for form in [
            "a/b+c \"é",
            "a%2Fb%2Bc%20%22%C3%A9",
            "a%2fb%2bc%20%22%c3%a9",
            "a%2Fb%2Bc+%22%C3%A9",
            "a/b+c%20%22%C3%A9",
            "a/b+c \\\"é",
            "a\\/b+c \\\"é",
            "a/b+c \\\"\\u00e9",
            "a/b\\u002Bc \\u0022\\u00E9",
            "612f622b632022c3a9",
            "612F622B632022C3A9",
        ] {
            assert!(has(secret, form), "{form}");
        }
    }

    #[test]
    fn every_alignment_of_base64_is_a_form() {
        let secret = "dose>>>???secret";
        for before in ["", "i", "id", "id:", "5c8d1f7e:"] {
            for after in ["", "x", "xy"] {
                let text = format!("{before}{secret}{after}");
                for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
                    let encoded = engine.encode(&text);
                    let known = of(secret);
                    let found = known.iter().any(|form| {
                        let form = std::str::from_utf8(form).expect("text");
                        form.len() > 8 && encoded.contains(form)
                    });
                    assert!(found, "{text}");
                }
            }
        }
    }

    #[test]
    fn plain_words_have_few_forms() {
        assert!(of("dapi0123456789abcdef").len() <= 12, "{}", of("dapi0123456789abcdef").len());
    }
}
