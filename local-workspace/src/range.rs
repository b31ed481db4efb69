//! Which part of a body a `Range` header asks for (RFC 9110, 14). What is no range, or several, asks for all of it.

use std::ops::Range;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    Some(Range<usize>),
    /// The range lies beyond the end.
    Nothing,
}

pub(crate) fn read(header: &str, length: usize) -> Part {
    let Some((first, last)) = header.strip_prefix("bytes=").and_then(|range| range.split_once('-'))
    else {
        return Part::Whole;
    };
    match (number(first), number(last)) {
        (Some(first), Some(last)) if last < first => Part::Whole,
        (Some(first), _) if first >= length => Part::Nothing,
        (Some(first), Some(last)) => Part::Some(first..length.min(last.saturating_add(1))),
        (Some(first), None) if last.is_empty() => Part::Some(first..length),
        (None, Some(0)) if first.is_empty() => Part::Nothing,
        (None, Some(_)) if first.is_empty() && length == 0 => Part::Nothing,
        (None, Some(last)) if first.is_empty() => Part::Some(length.saturating_sub(last)..length),
        _ => Part::Whole,
    }
}

fn number(text: &str) -> Option<usize> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_rfc_has_them() {
        for (header, part) in [
            ("bytes=0-0", Part::Some(0..1)),
            ("bytes=2-4", Part::Some(2..5)),
            ("bytes=2-99", Part::Some(2..10)),
            ("bytes=9-", Part::Some(9..10)),
            ("bytes=-3", Part::Some(7..10)),
            ("bytes=-99", Part::Some(0..10)),
            ("bytes=10-", Part::Nothing),
            ("bytes=10-12", Part::Nothing),
            ("bytes=-0", Part::Nothing),
            ("bytes=4-2", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=a-b", Part::Whole),
            ("bytes=+1-2", Part::Whole),
            ("bytes=0-1,3-4", Part::Whole),
            ("lines=0-1", Part::Whole),
        ] {
            assert_eq!(read(header, 10), part, "{header}");
        }
        assert_eq!(read("bytes=-1", 0), Part::Nothing);
    }
}
