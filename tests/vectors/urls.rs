//! Reads `urls.tsv`, for the tests of more than one crate.

/// A line of the list.
pub(crate) struct Vector {
    /// `authorized`, `bare` or `refused`.
    pub(crate) verdict: String,
    pub(crate) url: String,
    pub(crate) note: String,
}

pub(crate) fn read() -> Vec<Vector> {
    let text = include_str!("urls.tsv");
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let vector = |line: &str| {
        let mut columns = line.split('\t');
        let mut column = || columns.next().unwrap().to_owned();
        let (verdict, url, note) = (column(), column(), column());
        Vector { verdict, url: unescaped(&url), note }
    };
    lines.map(vector).collect()
}

/// What a text file cannot show as it is stands there as `\u{…}`, and a backslash as two.
fn unescaped(text: &str) -> String {
    let mut whole = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        whole.push_str(before);
        rest = if let Some(rest) = after.strip_prefix('\\') {
            whole.push('\\');
            rest
        } else {
            let (code, rest) =
                after.strip_prefix("u{").and_then(|after| after.split_once('}')).unwrap();
            let code = u32::from_str_radix(code, 16).unwrap();
            whole.push(char::from_u32(code).unwrap());
            rest
        };
    }
    whole + rest
}
