//! Paths and queries of requests: characters that every server reads alike, and nothing that a server could resolve to
//! another path than the one that was decided about.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// Beside letters, digits and escapes, what RFC 3986 lets stand in a path.
const IN_PATH: &[u8] = b"/-._~!$&'()*+,;=:@";
/// What may stand in a query besides; brackets are not of the RFC, and usual.
const IN_QUERY: &[u8] = b"?[]";

/// Checks that a path and its query are made of the characters of RFC 3986.
pub(crate) fn check_characters(path: &str, query: Option<&str>) -> Result<(), &'static str> {
    if !path.starts_with('/') {
        return Err("the path does not begin with a slash");
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || IN_PATH.contains(&byte);
    if !has_only(path, is_plain) {
        return Err("the path has a character that must be escaped, or half an escape");
    }
    if !has_only(query.unwrap_or_default(), |b| is_plain(b) || IN_QUERY.contains(&b)) {
        return Err("the query has a character that must be escaped, or half an escape");
    }
    Ok(())
}

fn has_only(text: &str, is_plain: impl Fn(u8) -> bool) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let fits = match byte {
            b'%' => (0..2).all(|_| bytes.next().is_some_and(|b| b.is_ascii_hexdigit())),
            byte => is_plain(byte),
        };
        if !fits {
            return false;
        }
    }
    true
}

/// Checks that a path means the same to every server, whatever it decodes and normalises before it looks.
pub(crate) fn check_meaning(path: &str) -> Result<(), &'static str> {
    let decoded = decoded(path).ok_or("the path has escapes that are not UTF-8 text")?;
    if decoded.chars().any(char::is_control) {
        return Err("the path has a control character");
    }
    if path.contains("//") {
        return Err("the path has an empty segment");
    }
    if segments(&decoded).any(|segment| is_dots(name(segment))) {
        return Err("the path has . or .. segments");
    }
    Ok(())
}

/// The names of a path's segments as the most lenient server reads them, for comparison with what is forbidden.
pub(crate) fn canonical(path: &str) -> Option<Vec<String>> {
    let decoded = decoded(path)?;
    let names = segments(&decoded).map(name).filter(|name| !name.is_empty());
    Some(names.map(str::to_lowercase).collect())
}

/// Without any escape, however often they are escaped themselves; none when it is not text.
fn decoded(path: &str) -> Option<Cow<'_, str>> {
    let mut path = Cow::Borrowed(path);
    while path.contains('%') {
        let next = percent_decode_str(&path).decode_utf8().ok()?.into_owned();
        if next == path {
            break;
        }
        path = Cow::Owned(next);
    }
    Some(path)
}

/// What stands between slashes, or between what normalises to one (Unicode NFKC).
pub(crate) fn segments(decoded: &str) -> impl Iterator<Item = &str> {
    decoded.split(['/', '\\', '\u{ff0f}', '\u{2044}', '\u{2215}', '\u{ff3c}', '\u{fe68}'])
}

/// A segment without its parameters and the space that some servers cut off.
fn name(segment: &str) -> &str {
    segment.split(';').next().unwrap_or_default().trim()
}

/// True for `.` and `..`, also of characters that normalise to dots.
fn is_dots(name: &str) -> bool {
    let dots = |c| match c {
        '.' | '\u{ff0e}' | '\u{2024}' | '\u{fe52}' | '\u{3002}' | '\u{ff61}' => Some(1),
        '\u{2025}' => Some(2),
        _ => None,
    };
    let count = name.chars().map(dots).sum::<Option<u32>>();
    matches!(count, Some(1 | 2))
}

/// True when a segment as it is sent stands for one segment to every server.
pub(crate) fn is_one_segment(segment: &str) -> bool {
    decoded(segment).is_some_and(|decoded| {
        !decoded.is_empty() && segments(&decoded).count() == 1 && !decoded.contains(['?', '#'])
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_paths_pass() {
        for path in [
            "/",
            "/api/2.1/clusters/get",
            "/api/2.0/fs/files/Volumes/a%2Fb..c/...",
            "/api/2.0/fs/files/%C3%A4%20b/100%25",
            "/api/2.0/preview/scim/v2/Users/@me",
            "/api/2.0/a/.hidden/b.c",
        ] {
            assert_eq!(check_characters(path, Some("a=b&c=%2F?[1]")), Ok(()), "{path}");
            assert_eq!(check_meaning(path), Ok(()), "{path}");
        }
    }

    #[test]
    fn paths_begin_with_a_slash_and_have_the_characters_of_paths() {
        for path in ["", "api", "*", "/a b", "/a%2", "/a\\b", "/ä"] {
            assert!(check_characters(path, None).is_err(), "{path}");
        }
        for query in ["a b", "%", "%2", "%zz", "a\\b", "ä", "{", "#"] {
            assert!(check_characters("/", Some(query)).is_err(), "{query}");
        }
    }

    #[test]
    fn a_segment_is_one_and_not_none() {
        for (segment, is_one) in [
            ("a", true),
            ("a%20b", true),
            ("", false),
            ("a%2Fb", false),
            ("a%5Cb", false),
            ("a%252Fb", false),
            ("a%EF%BC%8Fb", false),
            ("a%3Fb", false),
            ("a%23b", false),
        ] {
            assert_eq!(is_one_segment(segment), is_one, "{segment}");
        }
    }

    #[test]
    fn canonical_paths_are_what_lenient_servers_read() {
        for path in [
            "/api/2.0/secrets/get",
            "/API/2.0/Secrets/GET/",
            "/api//2.0/secrets/get",
            "/api/2.0/%73ecrets/%2567et",
            "/api/2.0/secrets%2Fget",
            "/api/2.0/secrets;v=1/get;x",
            "/api/2.0/secrets%5cget%20",
        ] {
            assert_eq!(canonical(path).expect("text"), ["api", "2.0", "secrets", "get"], "{path}");
        }
    }

    /// Dots and slashes as they have been written to get past a check, in up to three layers of escapes.
    fn sly(text: &'static str) -> impl Strategy<Value = String> {
        let spellings: Vec<String> = match text {
            "." => vec![".", "%2e", "%2E", "%EF%BC%8E", "%E2%80%A4"],
            _ => vec!["/", "%2f", "%2F", "%5c", "%EF%BC%8F", ";a/", "%3Bx%2f", "%20/"],
        }
        .into_iter()
        .map(str::to_owned)
        .collect();
        (proptest::sample::select(spellings), 0..3_u8)
            .prop_map(|(text, layers)| (0..layers).fold(text, |text, _| text.replace('%', "%25")))
    }

    proptest! {
        /// D5: no spelling of dot segments passes, wherever it stands.
        #[test]
        fn dot_segments_never_pass(
            (one, two, three) in (sly("."), sly("."), sly("/")),
            double in any::<bool>(),
            before in "([a-z]{1,5}/)?",
        ) {
            let dots = if double { format!("{one}{two}") } else { one };
            let path = format!("/api/{before}{dots}{three}oidc/v1/token");
            prop_assert!(check_meaning(&path).is_err(), "{}", path);
        }

        /// D3, D5: what passes has only characters that nobody reads in two ways, and no text is too odd to be judged.
        #[test]
        fn any_text_is_judged(text in "\\PC{0,40}|[/.%25eEfF;\\\\ \\x00-\\x1f]{0,30}") {
            let path = format!("/{text}");
            if check_characters(&path, None).is_ok() && check_meaning(&path).is_ok() {
                prop_assert!(path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\'), "{}", path);
                let canonical = canonical(&path).expect("text");
                prop_assert!(!canonical.iter().any(|name| name == "." || name == ".."), "{}", path);
            }
        }
    }
}
