//! What a cell becomes once all of its text is there, which then is the end of what was written. Works in place.

/// Whether text is a number by the grammar of JSON (RFC 8259, 6).
pub fn is_number(text: &[u8]) -> bool {
    let rest = text.strip_prefix(b"-").unwrap_or(text);
    let (whole, rest) = digits(rest);
    if whole.is_empty() || (whole.len() > 1 && whole.starts_with(b"0")) {
        return false;
    }
    let rest = match rest.strip_prefix(b".") {
        Some(fraction) => match digits(fraction) {
            ([], _) => return false,
            (_, rest) => rest,
        },
        None => rest,
    };
    match rest {
        [] => true,
        [b'e' | b'E', b'+' | b'-', exponent @ ..] | [b'e' | b'E', exponent @ ..] => {
            matches!(digits(exponent), ([_, ..], []))
        }
        _ => false,
    }
}

fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

/// Puts quotes around what was written since `start`.
pub(crate) fn quote(out: &mut Vec<u8>, start: usize) {
    out.insert(start, b'"');
    out.push(b'"');
}

/// Makes a field of CSV of what was written since `start`: in quotes where it is empty or has a comma, a quote or a line end.
pub(crate) fn quote_csv(out: &mut Vec<u8>, start: usize) {
    let text = out.get(start..).unwrap_or_default();
    if !text.is_empty() && !text.iter().any(|b| matches!(b, b',' | b'"' | b'\r' | b'\n')) {
        return;
    }
    let text = out.split_off(start);
    out.push(b'"');
    for byte in text {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// Makes one line of the complete JSON since `start`, where line ends are nothing but space.
pub(crate) fn join_lines(out: &mut [u8], start: usize) {
    for byte in out.get_mut(start..).unwrap_or_default() {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
}

/// Resolves the escapes of the JSON text since `start`, whose escapes are well formed; no escape is shorter than what it
/// stands for. Half of a surrogate pair that stands alone becomes U+FFFD.
pub(crate) fn unescape(out: &mut Vec<u8>, start: usize) {
    let (mut read, mut write) = (start, start);
    while let Some(&byte) = out.get(read) {
        let mut utf8 = [0; 4];
        let (resolved, length): (&[u8], usize) = match (byte, out.get(read + 1)) {
            (b'\\', Some(b'u')) => {
                let (c, length) = escaped_char(out, read);
                (c.encode_utf8(&mut utf8).as_bytes(), length)
            }
            (b'\\', Some(&name)) => {
                utf8[0] = simple_escape(name);
                (&utf8[..1], 2)
            }
            _ => {
                utf8[0] = byte;
                (&utf8[..1], 1)
            }
        };
        for &byte in resolved {
            if let Some(place) = out.get_mut(write) {
                *place = byte;
            }
            write += 1;
        }
        read += length;
    }
    out.truncate(write);
}

fn simple_escape(name: u8) -> u8 {
    match name {
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        same => same,
    }
}

/// The character of the escape `\uXXXX` there, or of the pair of two, and how long that is.
fn escaped_char(text: &[u8], at: usize) -> (char, usize) {
    let first = hex(text, at).unwrap_or_default();
    if let Some(c) = char::from_u32(first) {
        return (c, 6);
    }
    match hex(text, at + 6) {
        Some(second @ 0xdc00..=0xdfff) if first < 0xdc00 => {
            let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12)
        }
        _ => (char::REPLACEMENT_CHARACTER, 6),
    }
}

fn hex(text: &[u8], at: usize) -> Option<u32> {
    let [b'\\', b'u', digits @ ..] = text.get(at..at + 6)? else { return None };
    digits.iter().try_fold(0, |code, &digit| Some(code << 4 | char::from(digit).to_digit(16)?))
}
