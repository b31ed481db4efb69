//! Messages about names that do not exist, with the near ones that do.

/// `there is no action getCluter; did you mean getCluster?`, or the whole choice where it is small.
pub fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let name = crate::scrub::printable(crate::scrub::clip(name, 60));
    let lower = name.to_ascii_lowercase();
    let distance = |known: &str| strsim::damerau_levenshtein(&lower, &known.to_ascii_lowercase());
    let mut near: Vec<(usize, &str)> = known
        .clone()
        .map(|known| (distance(known), known))
        .filter(|(distance, known)| *distance <= known.len() / 3 || is_part(&lower, known))
        .collect();
    near.sort_unstable();
    let near: Vec<&str> = near.into_iter().take(3).map(|(_, known)| known).collect();
    let all: Vec<&str> = known.take(9).collect();
    if !near.is_empty() {
        format!("there is no {what} {name:?}; did you mean {}?", near.join(", "))
    } else if all.len() < 9 {
        format!("there is no {what} {name:?}; there is {}", all.join(", "))
    } else {
        format!("there is no {what} {name:?}, nor one with a name near to it")
    }
}

fn is_part(name: &str, known: &str) -> bool {
    name.len() >= 3 && known.to_ascii_lowercase().contains(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 3] = ["getCluster", "listClusters", "runSql"];

    #[test]
    fn near_names_are_offered() {
        let message = unknown("action", "getCluter", KNOWN.into_iter());
        assert_eq!(message, "there is no action \"getCluter\"; did you mean getCluster?");
        let message = unknown("action", "sql", KNOWN.into_iter());
        assert_eq!(message, "there is no action \"sql\"; did you mean runSql?");
    }

    #[test]
    fn a_small_choice_is_listed_whole() {
        let message = unknown("action", "x", KNOWN.into_iter());
        assert_eq!(message, "there is no action \"x\"; there is getCluster, listClusters, runSql");
    }
}
