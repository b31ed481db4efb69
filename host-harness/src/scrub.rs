//! Makes foreign text safe to show: no characters that steer what shows it, no secrets, no endless lines.

use aho_corasick::{AhoCorasick, packed};
use bytes::Bytes;
use serde_json::Value;

use crate::error::Error;
use crate::{call, forms};

/// True for what a terminal, an editor or a reader of lines obeys instead of showing it: control characters, line
/// separators, changes of the writing direction, and invisible tags.
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Text with the characters that steer shown as JSON's `\u001b` escapes, all but those that are `kept`.
pub fn harmless(text: &str, kept: &[char]) -> String {
    let obeyed = |c: char| steers(c) && !kept.contains(&c);
    if !text.contains(obeyed) {
        return text.to_owned();
    }
    let shown = |mut harmless: String, c: char| {
        if obeyed(c) {
            harmless.push_str(&forms::escaped(c, false))
        } else {
            harmless.push(c)
        }
        harmless
    };
    text.chars().fold(String::with_capacity(text.len() + 16), shown)
}

/// One line of foreign text.
pub(crate) fn printable(text: &str) -> String {
    if !text.contains(steers) {
        return text.to_owned();
    }
    harmless(&text.trim_end().replace(['\n', '\r', '\t'], " "), &[])
}

/// The start of a text, cut at a character boundary.
pub(crate) fn clip(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

/// Shorter texts are no secrets worth the name, and would garble every answer.
pub(crate) const SHORTEST: usize = 8;

/// Finds a connection's secrets in what comes back from outside, in every form of theirs, and overwrites them with
/// asterisks of the same length, so that declared lengths stay true.
#[derive(Default)]
pub(crate) struct Scrubber {
    forms: Vec<Vec<u8>>,
    finder: Option<Finder>,
}

/// The quick way to look for a few patterns at once, where the processor has what it takes, and the one for all others.
enum Finder {
    Packed(packed::Searcher),
    General(AhoCorasick),
}

impl Scrubber {
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let secrets = secrets.into_iter().filter(|secret| secret.len() >= SHORTEST);
        let mut forms: Vec<_> = secrets.flat_map(forms::of).collect();
        forms.sort_unstable();
        forms.dedup();
        let finder = Finder::new(&forms);
        Self { forms, finder }
    }

    pub(crate) fn finds(&self, bytes: &[u8]) -> bool {
        self.find(bytes, 0).is_some()
    }

    /// The same bytes; a copy only where there was something to overwrite.
    pub(crate) fn bytes(&self, bytes: Bytes) -> Bytes {
        if !self.finds(&bytes) {
            return bytes;
        }
        let mut copy = bytes.to_vec();
        self.overwrite(&mut copy, bytes.len());
        copy.into()
    }

    /// A part of a longer whole: what can be told of it now, and its end that may be the beginning of a secret, to be put
    /// in front of the next part. What is left when the whole ends is for `bytes`.
    pub(crate) fn part(&self, mut part: Bytes) -> (Bytes, Bytes) {
        let open = self.open(&part);
        if self.find(&part, 0).is_some_and(|(start, _)| start < open) {
            let mut copy = part.to_vec();
            self.overwrite(&mut copy, open);
            part = copy.into();
        }
        let rest = part.split_off(open);
        (part, rest)
    }

    pub(crate) fn text(&self, text: &str) -> String {
        if !self.finds(text.as_bytes()) {
            return text.to_owned();
        }
        let mut bytes = text.as_bytes().to_vec();
        let all = bytes.len();
        self.overwrite(&mut bytes, all);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// One line of foreign text without secrets.
    pub(crate) fn line(&self, text: &str) -> String {
        printable(&self.text(text))
    }

    /// An error as it may be shown.
    pub(crate) fn error(&self, mut error: Error) -> Error {
        error.message = self.line(&error.message);
        for text in [&mut error.error_code, &mut error.request_id].into_iter().flatten() {
            *text = self.line(text);
        }
        for value in [&mut error.handle, &mut error.details].into_iter().flatten() {
            self.json(value);
        }
        error
    }

    /// A result. Connectors hold no secret; this is for what a service answered in pieces that only together are one.
    pub(crate) fn value(&self, value: call::Value) -> call::Value {
        if !self.finds(value.as_bytes()) {
            return value;
        }
        match value {
            call::Value::Json(text) => call::Value::Json(self.text(&text)),
            call::Value::Text(text) => call::Value::Text(self.text(&text)),
            call::Value::Binary(bytes) => call::Value::Binary(self.bytes(bytes.into()).into()),
        }
    }

    pub(crate) fn json(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.json(item)),
            Value::Object(fields) => {
                if fields.keys().any(|name| self.finds(name.as_bytes())) {
                    let clean = std::mem::take(fields).into_iter();
                    *fields = clean.map(|(name, value)| (self.text(&name), value)).collect();
                }
                fields.values_mut().for_each(|value| self.json(value));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Overwrites what begins before `end`.
    fn overwrite(&self, bytes: &mut [u8], end: usize) {
        let mut from = 0;
        while let Some((start, stop)) = self.find(bytes, from)
            && start < end
        {
            if let Some(secret) = bytes.get_mut(start..stop) {
                secret.fill(b'*');
            }
            from = stop;
        }
    }

    fn find(&self, bytes: &[u8], from: usize) -> Option<(usize, usize)> {
        let rest = bytes.get(from..)?;
        let (start, end) = match self.finder.as_ref()? {
            Finder::Packed(finder) => finder.find(rest).map(|found| (found.start(), found.end())),
            Finder::General(finder) => finder.find(rest).map(|found| (found.start(), found.end())),
        }?;
        Some((from + start, from + end))
    }

    /// Where at the end of the bytes a secret may begin that goes on in the next part.
    fn open(&self, bytes: &[u8]) -> usize {
        let open = |form: &Vec<u8>| {
            let first = *form.first()?;
            let from = bytes.len().saturating_sub(form.len() - 1);
            let tail = bytes.get(from..)?;
            // Most of what begins like a secret is another text one byte later.
            let begins = |at: &usize| {
                let rest = tail.get(*at..).unwrap_or_default();
                rest.get(1).is_none_or(|next| form.get(1) == Some(next)) && form.starts_with(rest)
            };
            memchr::memchr_iter(first, tail).find(begins).map(|at| from + at)
        };
        self.forms.iter().filter_map(open).min().unwrap_or(bytes.len())
    }
}

impl Finder {
    fn new(forms: &[Vec<u8>]) -> Option<Self> {
        if forms.is_empty() {
            return None;
        }
        let kind = packed::MatchKind::LeftmostLongest;
        let quick = packed::Config::new().match_kind(kind).builder().extend(forms).build();
        quick.map(Self::Packed).or_else(|| {
            let kind = aho_corasick::MatchKind::LeftmostLongest;
            // Fails for gigabytes of patterns alone.
            AhoCorasick::builder().match_kind(kind).build(forms).ok().map(Self::General)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "dapi/5f+1d\"0c é";

    /// What a reader gets of a text that arrives in these parts.
    fn streamed(scrubber: &Scrubber, parts: &[&[u8]]) -> Vec<u8> {
        let mut held = Bytes::new();
        let mut read = Vec::new();
        for part in parts {
            let (ready, rest) = scrubber.part([&held[..], part].concat().into());
            read.extend(ready);
            held = rest;
        }
        read.extend(scrubber.bytes(held));
        read
    }

    #[test]
    fn secrets_are_overwritten_in_place() {
        let scrubber = Scrubber::new(["dapi-secret", "short"]);
        let bytes = scrubber.bytes(Bytes::from_static(b"a dapi-secret, short, dapi-secret"));
        assert_eq!(bytes, "a ***********, short, ***********");
    }

    #[test]
    fn only_the_beginning_of_a_secret_waits() {
        let scrubber = Scrubber::new(["dapi-secret"]);
        for (part, waits) in [("token dapi-se", 7), ("token d", 1), ("token x", 0)] {
            let (_, rest) = scrubber.part(Bytes::from_static(part.as_bytes()));
            assert_eq!(rest.len(), waits, "{part}");
        }
    }

    #[test]
    fn a_secret_that_begins_like_another_is_overwritten_whole() {
        let scrubber = Scrubber::new(["dapi-secret", "dapi-secret-of-old"]);
        let read = streamed(&scrubber, &[b"a dapi-secret", b"-of-old b dapi-secret", b"-of-ol"]);
        assert_eq!(read, b"a ****************** b ***********-of-ol");
    }

    /// J10: a secret in any of its forms is found wherever the parts of an answer are cut.
    #[test]
    fn secrets_are_found_across_parts() {
        let scrubber = Scrubber::new([SECRET, "dapi/5f+1d"]);
        for form in forms::of(SECRET) {
            let text = [b"before ", &form[..], b" after"].concat();
            for cut in 0..=text.len() {
                let (start, end) = text.split_at(cut);
                let read = streamed(&scrubber, &[start, end]);
                assert_eq!(read.len(), text.len());
                assert!(!read.windows(form.len()).any(|part| part == form), "{read:?}");
            }
        }
    }

    /// J2: errors are free of secrets in every part of theirs.
    #[test]
    fn no_part_of_an_error_has_a_secret() {
        let scrubber = Scrubber::new(["dapi-secret"]);
        let mut error = Error::new(crate::ErrorKind::Internal, "no dapi-secret\u{202e}\nx");
        error.error_code = Some("E dapi-secret".to_owned());
        error.request_id = Some("R dapi-secret".to_owned());
        error.handle = Some(serde_json::json!({"dapi-secret": ["dapi-secret"]}));
        error.details = Some(serde_json::json!([{"a": "646170692d736563726574"}]));
        let clean = scrubber.error(error);
        let text = serde_json::to_string(&clean).expect("JSON");
        assert!(!text.contains("secret") && !text.contains("6461706"), "{text}");
        assert_eq!(clean.message, "no ***********\\u202e x");
    }

    #[test]
    fn many_secrets_are_found_too() {
        let secrets: Vec<String> = (0..60).map(|n| format!("secret-number-{n}!")).collect();
        let scrubber = Scrubber::new(secrets.iter().map(String::as_str));
        assert!(matches!(scrubber.finder, Some(Finder::General(_))));
        assert_eq!(scrubber.text("a secret-number-59! b"), "a ***************** b");
    }

    /// J12: what would steer a terminal or forge a line is shown and not obeyed.
    #[test]
    fn steering_characters_are_shown_and_not_obeyed() {
        assert_eq!(printable("a\u{1b}[31m\nb\r\nerror: c"), "a\\u001b[31m b  error: c");
        assert_eq!(printable("\u{9b}2J\u{202e}evil\u{2066}"), "\\u009b2J\\u202eevil\\u2066");
        assert_eq!(printable("a\u{2028}b\u{e0041}"), "a\\u2028b\\udb40\\udc41");
        assert_eq!(harmless("a\u{7f}b\n\tc", &['\n', '\t']), "a\\u007fb\n\tc");
        assert_eq!(printable("Grüße, 日本語 👩‍👩‍👧"), "Grüße, 日本語 👩‍👩‍👧");
    }

    proptest! {
        /// J10: however an answer is cut, what is read of it is its length, and without the secret.
        #[test]
        fn no_cut_lets_a_secret_through(
            secret in "[+-~]{8,24}", noise in "[ -~]{0,40}", cuts in prop::collection::vec(0_usize..200, 0..6)
        ) {
            let scrubber = Scrubber::new([secret.as_str()]);
            let text = format!("{noise}{secret}{noise}{secret}");
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let parts: Vec<&[u8]> =
                cuts.windows(2).map(|cut| &text.as_bytes()[cut[0]..cut[1]]).collect();
            let read = String::from_utf8(streamed(&scrubber, &parts)).expect("text");
            prop_assert_eq!(read.len(), text.len());
            prop_assert!(!read.contains(&secret), "{}", read);
        }

        /// J12: no text of a service brings more than one line, or a character that steers.
        #[test]
        fn any_text_is_one_harmless_line(text in "\\PC*|[\\x00-\\x1f\\x7f-\\x9f\u{2028}-\u{202e}a]*") {
            prop_assert!(!printable(&text).contains(steers));
        }
    }
}
