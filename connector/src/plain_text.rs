//! Makes what a notebook would draw into plain text: HTML tags and entities, terminal colours and `Out[n]:` go.
//! Which parts of an answer that applies to is not decided here.

use std::borrow::Cow;

/// Console output of a command, the way a terminal would show it.
pub(crate) fn output(text: &str) -> String {
    without_prompts(&plain(text))
}

/// Text without markup. Angle brackets that are no HTML stay: `a < b`, `<command-12>`, `<object object at 0x7f>`.
pub(crate) fn plain(text: &str) -> String {
    decode_entities(&without_tags(&without_ansi(text)))
}

/// One line of at most `max` characters, for messages.
pub(crate) fn line(text: &str, max: usize) -> String {
    let joined = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match joined.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", joined.get(..end).unwrap_or_default()),
        None => joined,
    }
}

/// Removes ECMA-48 control sequences (`ESC [ … m` and its kin) and operating system commands (`ESC ] … BEL`).
fn without_ansi(text: &str) -> Cow<'_, str> {
    if !text.contains('\u{1b}') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            plain.push(c);
            continue;
        }
        match chars.next() {
            Some('[') => {
                chars.find(|c| ('\u{40}'..='\u{7e}').contains(c));
            }
            Some(']') => {
                let mut last = ' ';
                chars.find(|&c| {
                    let ends = c == '\u{7}' || (last == '\u{1b}' && c == '\\');
                    last = c;
                    ends
                });
            }
            _ => {}
        }
    }
    Cow::Owned(plain)
}

/// Elements that Databricks and Python libraries draw text with. Others are likelier to be a program's own words.
const TAGS: [&str; 34] = [
    "a",
    "b",
    "blockquote",
    "body",
    "br",
    "code",
    "div",
    "em",
    "font",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "head",
    "hr",
    "html",
    "i",
    "li",
    "ol",
    "p",
    "pre",
    "small",
    "span",
    "strong",
    "table",
    "tbody",
    "td",
    "th",
    "thead",
    "tr",
    "tt",
    "ul",
];

fn without_tags(text: &str) -> Cow<'_, str> {
    if !text.contains('<') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        let (before, from) = rest.split_at(start);
        plain.push_str(before);
        let tag = tag_length(from);
        if tag == 0 {
            plain.push('<');
        } else if from.starts_with("<br") {
            plain.push('\n');
        }
        rest = from.get(tag.max(1)..).unwrap_or_default();
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

/// Length of the tag that `text` starts with, 0 when it starts with none.
fn tag_length(text: &str) -> usize {
    let inside = text.strip_prefix('<').unwrap_or(text);
    // Not past the next `<`, so that the whole text is looked at once.
    let Some(end) = inside.find(['<', '>']) else { return 0 };
    let (inside, after) = inside.split_at(end);
    if after.starts_with('<') {
        return 0;
    }
    let length = inside.len() + "<>".len();
    let inside = inside.strip_prefix('/').unwrap_or(inside);
    let inside = inside.strip_suffix('/').unwrap_or(inside);
    let name_end = inside.find(char::is_whitespace).unwrap_or(inside.len());
    let (name, attributes) = inside.split_at(name_end);
    let known = TAGS.iter().any(|tag| tag.eq_ignore_ascii_case(name));
    // Python writes `<code object f at 0x7f>`; HTML that draws text has attributes with values.
    let attributes = attributes.trim();
    let html = attributes.is_empty() || attributes.contains('=');
    if known && html { length } else { 0 }
}

fn decode_entities(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('&') {
        let (before, from) = rest.split_at(start);
        plain.push_str(before);
        let after = from.get(1..).unwrap_or_default();
        let found = after.find(['&', ';']).and_then(|end| {
            let (name, end) = after.split_at(end);
            Some((entity(name)?, end.strip_prefix(';')?))
        });
        let (decoded, after) = found.unwrap_or(('&', after));
        plain.push(decoded);
        rest = after;
    }
    plain.push_str(rest);
    plain
}

/// The named entities that HTML escaping makes, and every numeric one.
fn entity(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some(' '),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

/// Removes `Out[7]: ` where a line starts with it: IPython writes it before the value of the last expression.
fn without_prompts(text: &str) -> String {
    text.split_inclusive('\n').map(|line| after_prompt(line).unwrap_or(line)).collect()
}

fn after_prompt(line: &str) -> Option<&str> {
    let (number, value) = line.strip_prefix("Out[")?.split_once("]:")?;
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| value.strip_prefix(' ').unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_goes_and_words_stay() {
        let check = |markup: &str, expected: &str| assert_eq!(plain(markup), expected, "{markup}");
        check(
            "<span class=\"ansi-red-fg\">NameError</span>: name &#39;x&#39;",
            "NameError: name 'x'",
        );
        check(
            "<div class='ansiout'>1 &lt; 2 &amp;&amp; 3 &gt; 2<br/>ok</div>",
            "1 < 2 && 3 > 2\nok",
        );
        check("\u{1b}[0;31mred\u{1b}[0m and \u{1b}]0;title\u{7}bell", "red and bell");
        check("&lt;b&gt; &quot;&#x41;&#66;&nbsp;&apos;", "<b> \"AB '");
        check("<SPAN>upper</SPAN>", "upper");
    }

    #[test]
    fn angle_brackets_and_ampersands_of_programs_stay() {
        for text in [
            "a < b and b > c",
            "File <command-3940172651>, line 1",
            "<class 'int'> <code object f at 0x7f> <map object at 0x7f>",
            "<code object <module> at 0x7f>",
            "x << 2 &y &unknown; && &#xFFFFFFFF; &",
            "List<Integer> <",
        ] {
            assert_eq!(plain(text), text);
        }
    }

    #[test]
    fn unfinished_sequences_end_with_the_text() {
        for text in ["\u{1b}", "\u{1b}[31", "\u{1b}]0;t", "<span", "&lt", "Out[1]"] {
            let _ = output(text);
        }
        assert_eq!(output("é\u{1b}[31mü"), "éü");
    }

    #[test]
    fn prompts_go_at_line_starts_only() {
        assert_eq!(output("Out[12]: 5"), "5");
        assert_eq!(output("printed\nOut[3]: 'x'\n"), "printed\n'x'\n");
        assert_eq!(output("see Out[3]: x"), "see Out[3]: x");
        assert_eq!(output("Out[x]: y"), "Out[x]: y");
    }

    #[test]
    fn a_line_is_one_line_and_bounded() {
        assert_eq!(line(" a\n b\tc ", 10), "a b c");
        assert_eq!(line("ééééé", 3), "ééé…");
        assert_eq!(line("ééé", 3), "ééé");
    }
}
