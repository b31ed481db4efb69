//! The names that a mistyped one comes near to, for error messages.

/// How much of a name has to agree (Jaro-Winkler) to be worth a mention.
const NEAR: f64 = 0.75;

/// `; did you mean …?` with up to three names, nearest first, or nothing.
pub(crate) fn hint<'a>(given: &str, names: impl Iterator<Item = &'a str>) -> String {
    hint_of(given, names.map(|name| (name, name)))
}

/// The same for things that go by a second name, which counts but is not shown. The pairs are (shown, other).
pub(crate) fn hint_of<'a>(given: &str, names: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let given = given.to_ascii_lowercase();
    let score = |name: &str| strsim::jaro_winkler(&given, &name.to_ascii_lowercase());
    let mut near: Vec<(f64, &str)> = names
        .map(|(shown, other)| (score(shown).max(score(other)), shown))
        .filter(|(score, _)| *score >= NEAR)
        .collect();
    near.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let names: Vec<&str> = near.into_iter().take(3).map(|(_, name)| name).collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => format!("; did you mean {one}?"),
        [head @ .., last] => format!("; did you mean {} or {last}?", head.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_come_nearest_first() {
        let names = ["getCluster", "getWarehouse", "listClusters"];
        let text = hint("getClutser", names.into_iter());
        assert!(text.starts_with("; did you mean getCluster"), "{text}");
        assert_eq!(hint("zzz", names.into_iter()), "");
    }

    #[test]
    fn a_label_of_before_leads_to_the_key_of_today() {
        let names = [("runSql", "SQL: Execute an SQL Statement"), ("runCommand", "Run Command")];
        let text = hint_of("Execute SQL Statement", names.into_iter());
        assert_eq!(text, "; did you mean runSql?");
    }
}
