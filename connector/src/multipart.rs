//! The body of a `multipart/form-data` request (RFC 7578). Not here: which inputs become its parts (`actions/raw_request.rs`).

/// A field or a file of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub name: String,
    /// None for a plain field.
    pub file: Option<FileInfo>,
    pub content: Vec<u8>,
}

/// What makes a part a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileInfo {
    pub name: String,
    pub content_type: String,
}

/// A form, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Form {
    /// Value of the Content-Type header, with the boundary in it.
    pub content_type: String,
    pub body: Vec<u8>,
}

/// Encodes the parts in their order. The same parts and id give the same bytes, so that a repetition is one.
pub(crate) fn encode(parts: &[Part], invocation_id: &str) -> Form {
    let boundary = boundary(parts, invocation_id);
    let contents: usize = parts.iter().map(|part| part.content.len() + 256).sum();
    let mut body = Vec::with_capacity(contents + 128);
    for part in parts {
        body.extend_from_slice(head(part, &boundary).as_bytes());
        body.extend_from_slice(&part.content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Form { content_type: format!("multipart/form-data; boundary={boundary}"), body }
}

fn head(part: &Part, boundary: &str) -> String {
    let name = quoted(&part.name);
    let start = format!("--{boundary}\r\nContent-Disposition: form-data; name={name}");
    match &part.file {
        None => format!("{start}\r\n\r\n"),
        Some(file) => {
            let file_name = quoted(&file.name);
            let content_type = &file.content_type;
            format!("{start}; filename={file_name}\r\nContent-Type: {content_type}\r\n\r\n")
        }
    }
}

/// As browsers write it (HTML standard, multipart form data): only what would end the string or the line is escaped.
fn quoted(name: &str) -> String {
    let escaped = name.replace('\r', "%0D").replace('\n', "%0A").replace('"', "%22");
    format!("\"{escaped}\"")
}

/// A boundary that occurs in no content. Names cannot hold one, since it begins on a line of its own.
fn boundary(parts: &[Part], invocation_id: &str) -> String {
    // A boundary has at most 70 characters; a UUID with its hyphens is 36 of them.
    let id: String =
        invocation_id.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(40).collect();
    let mut number = 0_u32;
    loop {
        let candidate = format!("form-{id}-{number}");
        if !parts.iter().any(|part| contains(&part.content, candidate.as_bytes())) {
            return candidate;
        }
        number += 1;
    }
}

fn contains(content: &[u8], needle: &[u8]) -> bool {
    content.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn field(name: &str, content: &str) -> Part {
        Part { name: name.to_owned(), file: None, content: content.into() }
    }

    fn file(name: &str, file_name: &str, content: &[u8]) -> Part {
        let content_type = "text/csv".to_owned();
        let file = FileInfo { name: file_name.to_owned(), content_type };
        Part { name: name.to_owned(), file: Some(file), content: content.to_vec() }
    }

    #[test]
    fn fields_and_files_are_written_in_order() {
        let parts = [field("path", "/tmp/a"), file("contents", "a.csv", b"1,2\r\n")];
        let form = encode(&parts, "7f3e");
        assert_eq!(form.content_type, "multipart/form-data; boundary=form-7f3e-0");
        let expected = "--form-7f3e-0\r\n\
             Content-Disposition: form-data; name=\"path\"\r\n\r\n/tmp/a\r\n\
             --form-7f3e-0\r\n\
             Content-Disposition: form-data; name=\"contents\"; filename=\"a.csv\"\r\n\
             Content-Type: text/csv\r\n\r\n1,2\r\n\r\n\
             --form-7f3e-0--\r\n";
        assert_eq!(String::from_utf8(form.body).unwrap(), expected);
    }

    /// D22: names of fields and files are quoted, whatever they hold.
    #[test]
    fn names_cannot_add_headers_or_parts() {
        let parts = [file("a\"; x=\"", "b\r\nContent-Type: evil\r\n\r\n", b"")];
        let text = String::from_utf8(encode(&parts, "1").body).unwrap();
        assert!(text.contains(
            "name=\"a%22; x=%22\"; filename=\"b%0D%0AContent-Type: evil%0D%0A%0D%0A\"\r\n"
        ));
        assert_eq!(text.matches("\r\nContent-Type:").count(), 1);
    }

    proptest! {
        /// D22: a form has the parts that were put into it, whatever their names and contents hold.
        #[test]
        fn parts_stay_apart(name in "\\PC{0,12}|[\"\\r\\n;=-]{0,8}", content in "(--form-1-0|\\r\\n|-|\\PC){0,12}") {
            let parts = [file(&name, &name, content.as_bytes()), field(&name, &content)];
            let form = encode(&parts, "1");
            let boundary = form.content_type.rsplit('=').next().unwrap();
            let text = String::from_utf8(form.body).unwrap();
            let pieces: Vec<&str> = text.split(&format!("--{boundary}")).collect();
            prop_assert_eq!((pieces.len(), pieces[0], pieces[3]), (4, "", "--\r\n"));
            for piece in &pieces[1..3] {
                let (head, body) = piece.split_once("\r\n\r\n").unwrap();
                prop_assert_eq!(body.strip_suffix("\r\n"), Some(content.as_str()));
                let lines: Vec<&str> = head.split("\r\n").skip(1).collect();
                prop_assert!(lines[0].starts_with("Content-Disposition: form-data; name=\""), "{}", head);
                prop_assert!(lines.len() <= 2 && !lines.concat().contains(['\r', '\n']), "{}", head);
            }
        }
    }

    /// D22: the boundary is one that no part holds.
    #[test]
    fn boundary_is_not_in_the_content() {
        let parts = [field("a", "--form-id-0\r\n"), file("b", "b", b"\xffform-id-1\x00")];
        assert_eq!(
            encode(&parts, "i d\r\n").content_type,
            "multipart/form-data; boundary=form-id-2"
        );
    }

    #[test]
    fn bytes_are_kept() {
        let content: Vec<u8> = (0..=255).collect();
        let form = encode(&[file("f", "f", &content)], "1");
        assert!(contains(&form.body, &content));
    }

    #[test]
    fn long_ids_keep_the_boundary_within_its_limit() {
        let form = encode(&[field("a", "b")], &"x".repeat(500));
        assert!(form.content_type.len() < "multipart/form-data; boundary=".len() + 70);
    }
}
