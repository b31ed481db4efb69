//! The register of faults: every way in which a call can go wrong that we have an answer to, and where that is proven.
//!
//! `tests/faults.tsv` holds the rows. A test that proves some begins its doc comment with their ids, as in
//! `A1, A5: what holds`; so does a module of nothing but such tests. A row has either tests or a reason why it has none.
//! A goal of `cargo xtask goals` that tests hold is claimed in the same way, by its M and number.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::tree;

/// The reason of a row whose time has not come.
pub const NOT_BUILT_YET: &str = "not built yet";

/// A row of the register.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// A letter for the area and a number.
    pub id: String,
    pub area: String,
    /// What happens, and what must come of it.
    pub wording: String,
    /// Why no test proves it, where none does.
    pub reason: Option<String>,
}

/// A test's claim to prove rows.
#[derive(Debug, PartialEq, Eq)]
pub struct Proof {
    /// `file:line` of the claim.
    pub place: String,
    /// The function, or the module.
    pub test: String,
    pub ids: Vec<String>,
}

/// The register beside the proofs of it.
#[derive(Debug, Default)]
pub struct Register {
    pub rows: Vec<Row>,
    pub proofs: Vec<Proof>,
    /// Claims that stand where no test is, or are not written as a claim is.
    stray: Vec<String>,
}

impl Register {
    /// Reads the register and every Rust source of a tree.
    pub fn read(root: &Path) -> Result<Self> {
        let path = root.join("tests/faults.tsv");
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("could not read {}", path.display()))?;
        let mut register = Self { rows: rows(&text)?, ..Self::default() };
        for (file, text) in tree::rust_sources(root)? {
            register.collect(&file.display().to_string(), &text);
        }
        Ok(register)
    }

    /// Where each row is proven.
    pub fn proven(&self) -> BTreeMap<&str, Vec<&Proof>> {
        let mut proven: BTreeMap<&str, Vec<&Proof>> = BTreeMap::new();
        for proof in &self.proofs {
            for id in &proof.ids {
                proven.entry(id).or_default().push(proof);
            }
        }
        proven
    }

    /// Everything that is wrong with it, a line each.
    pub fn mistakes(&self) -> Vec<String> {
        let proven = self.proven();
        let known = |id: &str| id.starts_with('M') || self.rows.iter().any(|row| row.id == id);
        let mut wrong = self.stray.clone();
        for proof in &self.proofs {
            let unknown = proof.ids.iter().filter(|id| !known(id));
            wrong.extend(unknown.map(|id| format!("{}: there is no row {id}", proof.place)));
        }
        for row in &self.rows {
            match (&row.reason, proven.get(row.id.as_str())) {
                (None, None) => wrong.push(format!("{}: neither a test nor a reason", row.id)),
                (Some(reason), Some(proofs)) => {
                    let places: Vec<&str> =
                        proofs.iter().map(|proof| proof.place.as_str()).collect();
                    let places = places.join(", ");
                    wrong.push(format!(
                        "{}: a reason ({reason}) although {places} proves it",
                        row.id
                    ));
                }
                _ => {}
            }
        }
        wrong
    }

    /// How many rows are proven, how many have a reason, and how many still have the placeholder.
    pub fn counts(&self) -> Counts {
        let proven = self.proven();
        let mut counts = Counts { rows: self.rows.len(), ..Counts::default() };
        for row in &self.rows {
            match row.reason.as_deref() {
                _ if proven.contains_key(row.id.as_str()) => counts.proven += 1,
                Some(NOT_BUILT_YET) | None => counts.open += 1,
                Some(_) => counts.reasoned += 1,
            }
        }
        counts
    }

    /// Takes in the claims of one source.
    fn collect(&mut self, file: &str, text: &str) {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let mut inside_doc = false;
        for (index, line) in lines.iter().enumerate() {
            let begins_doc = doc(line).filter(|_| !inside_doc);
            inside_doc = doc(line).is_some();
            if let Some(doc) = begins_doc.filter(|doc| begins_like_a_claim(doc)) {
                let below = lines.get(index..).unwrap_or_default();
                let module = line.starts_with("//!");
                let test = if module { has_test(below).then_some(file) } else { test_below(below) };
                self.take(format!("{file}:{}", index + 1), doc, test);
            }
        }
    }

    /// Takes in one claim, or what is wrong with it.
    fn take(&mut self, place: String, doc: &str, test: Option<&str>) {
        match (ids(doc), test) {
            (Some(ids), Some(test)) => {
                self.proofs.push(Proof { place, test: test.to_owned(), ids })
            }
            (Some(_), None) => self.stray.push(format!("{place}: a claim, but no test")),
            (None, _) => self.stray.push(format!(
                "{place}: `{doc}` names rows in a form of its own; write `A1, A5: what holds`"
            )),
        }
    }
}

/// Numbers of rows.
#[derive(Debug, Default)]
pub struct Counts {
    pub rows: usize,
    pub proven: usize,
    pub reasoned: usize,
    pub open: usize,
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { rows, proven, reasoned, open } = self;
        write!(
            f,
            "{proven} of {rows} rows proven by tests, {reasoned} with a reason, {open} not built yet"
        )
    }
}

/// The rows of the file: id, area, wording and, for some, a reason, with tabs between them.
fn rows(text: &str) -> Result<Vec<Row>> {
    let mut lines = text.lines();
    let head = lines.next().unwrap_or_default();
    ensure!(head == "id\tarea\tfault and answer\tno test because", "unknown columns: {head}");
    lines
        .map(|line| {
            let cells: Vec<&str> = line.split('\t').collect();
            let &[id, area, wording, reason] = cells.as_slice() else {
                anyhow::bail!("not four columns: {line}");
            };
            ensure!(
                is_id(id) && !id.starts_with('M') && !area.is_empty() && !wording.is_empty(),
                "unreadable row: {line}"
            );
            let reason = (!reason.is_empty()).then(|| reason.to_owned());
            Ok(Row {
                id: id.to_owned(),
                area: area.to_owned(),
                wording: wording.to_owned(),
                reason,
            })
        })
        .collect()
}

/// The text of a line of documentation.
fn doc(line: &str) -> Option<&str> {
    line.strip_prefix("///").or_else(|| line.strip_prefix("//!")).map(str::trim)
}

/// The rows that a claim names. Promises of an action, such as P-SQL, may stand among them.
fn ids(doc: &str) -> Option<Vec<String>> {
    let (names, text) = doc.split_once(": ")?;
    let (ids, others): (Vec<&str>, Vec<&str>) = names.split(", ").partition(|name| is_id(name));
    let well_formed = !text.is_empty() && others.iter().all(|name| is_promise(name));
    well_formed.then(|| ids.into_iter().map(str::to_owned).collect())
}

/// Whether an id stands where a claim has its ids, so that a claim with a slip is found and not lost.
fn begins_like_a_claim(doc: &str) -> bool {
    let names = doc.split_once(": ").map_or("", |(names, _)| names).split(", ");
    let first = doc.split([' ', ',', ':', ';', '/', '.']).next();
    let plain = |word: &str| is_id(word.trim_matches(['(', ')', '[', ']', '`', '*']));
    names.chain(first).any(plain)
}

/// `P-` and the name of a promise.
fn is_promise(word: &str) -> bool {
    word.strip_prefix("P-").is_some_and(|name| name.chars().all(|c| c.is_ascii_alphanumeric()))
}

/// A letter from A to K, or M for a goal, and a number from 1 to 99.
fn is_id(word: &str) -> bool {
    let Some(number) = word.strip_prefix(|area| matches!(area, 'A'..='K' | 'M')) else {
        return false;
    };
    matches!(number.as_bytes(), [b'1'..=b'9'] | [b'1'..=b'9', b'0'..=b'9'])
}

/// The name of the test that the documentation at the beginning of these lines belongs to.
fn test_below<'a>(lines: &[&'a str]) -> Option<&'a str> {
    let mut is_test = false;
    let mut inside_attribute = false;
    for line in lines.iter().skip_while(|line| doc(line).is_some()) {
        if inside_attribute || line.starts_with("#[") {
            is_test |= is_test_attribute(line);
            inside_attribute = !line.ends_with(']');
        } else if !line.starts_with("//") {
            let signature = line.trim_start_matches("pub ").trim_start_matches("async ");
            let name = signature.strip_prefix("fn ")?;
            return name.split('(').next().filter(|_| is_test);
        }
    }
    None
}

/// Whether a test is among these lines.
fn has_test(lines: &[&str]) -> bool {
    lines.iter().any(|line| is_test_attribute(line))
}

fn is_test_attribute(line: &str) -> bool {
    line.starts_with("#[test]") || line.starts_with("#[tokio::test")
}

#[cfg(test)]
mod tests;
