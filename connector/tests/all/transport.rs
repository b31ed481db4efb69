//! The one way to the network.

use std::path::{Path, PathBuf};

/// B21: waki's own client, whose `body()` and `json()` read without a limit and whose streams end the same whether they broke
/// or not, is nowhere used: only its bindings are, and the codes of their errors.
#[test]
fn wakis_client_is_not_used() {
    let mut uses = 0;
    for file in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let text = std::fs::read_to_string(&file).unwrap();
        for (at, _) in text.match_indices("waki::") {
            let path = &text[at..];
            let known = ["waki::bindings::", "waki::ErrorCode"];
            assert!(known.iter().any(|known| path.starts_with(known)), "{}", file.display());
            uses += 1;
        }
    }
    assert!(uses > 0, "nothing was searched");
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let nested = entries.map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    nested.flatten().collect()
}
