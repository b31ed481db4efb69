use super::*;

/// What a source claims: the tests with their ids, and what is wrong.
fn collected(text: &str) -> (Vec<(String, String)>, Vec<String>) {
    let mut register = Register::default();
    register.collect("a.rs", text);
    let proofs = register.proofs.iter().map(|proof| (proof.test.clone(), proof.ids.join(" ")));
    (proofs.collect(), register.stray)
}

#[test]
fn claims_on_tests_are_collected() {
    let text = "//! A1: a module of tests.\n\n/// B2, B3: holds.\n/// And more.\n#[tokio::test]\n#[expect(\n    \
                x,\n    reason = \"y\"\n)]\nasync fn one() {}\n\nproptest! {\n    /// C4: any text.\n    #[test]\n    fn \
                two(text in \".*\") {}\n}\n";
    let (proofs, stray) = collected(text);
    let wanted = [("a.rs", "A1"), ("one", "B2 B3"), ("two", "C4")];
    assert_eq!(proofs, wanted.map(|(test, ids)| (test.to_owned(), ids.to_owned())));
    assert_eq!(stray, [""; 0]);
}

#[test]
fn claims_that_prove_nothing_are_found() {
    let (proofs, stray) = collected("/// A1: no test.\nfn helper() {}\n");
    assert_eq!((proofs.len(), stray.len()), (0, 1));
    let (proofs, stray) = collected("//! A1: a module without tests.\nfn helper() {}\n");
    assert_eq!((proofs.len(), stray.len()), (0, 1));
    for slip in ["A1,A2: text", "A1 and A2: text", "A1 text", "(A1) text", "A1:", "A1, text: more"]
    {
        let (proofs, stray) = collected(&format!("/// {slip}\n#[test]\nfn one() {{}}\n"));
        assert_eq!((proofs.len(), stray.len()), (0, 1), "{slip}");
    }
}

#[test]
fn promises_may_stand_among_the_ids() {
    let text = "/// P-SQL, G3, M16, P-SQL2: holds.\n#[test]\nfn one() {}\n";
    assert_eq!(collected(text), (vec![("one".to_owned(), "G3 M16".to_owned())], Vec::new()));
}

#[test]
fn talk_is_no_claim() {
    let text = "/// P-1, P-2: the label.\n#[test]\nfn one() {}\n/// Text.\n/// A1: in a later line.\n#[test]\nfn two() {}\n// \
                A1: a comment.\n/// L1: no area.\n#[test]\nfn three() {}\n";
    assert_eq!(collected(text), (Vec::new(), Vec::new()));
}

#[test]
fn a_row_has_tests_or_a_reason() {
    let text = "id\tarea\tfault and answer\tno test because\nA1\tx\ty\t\nA2\tx\ty\tnot built yet\nA3\tx\ty\t\nA4\tx\ty\tno\n";
    let mut register = Register { rows: rows(text).unwrap(), ..Register::default() };
    register.collect("a.rs", "/// A1, A2, M3, B9: holds.\n#[test]\nfn one() {}\n");
    let wrong = register.mistakes();
    assert_eq!(wrong.len(), 3, "{wrong:?}");
    assert!(wrong.iter().any(|line| line.contains("there is no row B9")));
    assert!(wrong.iter().any(|line| line.starts_with("A2: a reason")));
    assert!(wrong.iter().any(|line| line.starts_with("A3: neither")));
    let counts = register.counts();
    assert_eq!((counts.rows, counts.proven, counts.reasoned, counts.open), (4, 2, 1, 1));
}

#[test]
fn unreadable_rows_are_refused() {
    let head = "id\tarea\tfault and answer\tno test because\n";
    for row in ["A1\tx\ty", "M1\tx\ty\t", "L1\tx\ty\t", "A0\tx\ty\t", "A1\t\ty\t", "A1\tx\t\t", ""]
    {
        assert!(rows(&format!("{head}{row}\n")).is_err(), "{row}");
    }
    assert!(rows("something else\n").is_err());
}

/// How many faults each area has. A row is never dropped, only proven or given a reason.
const AREAS: [(char, usize); 11] = [
    ('A', 16),
    ('B', 22),
    ('C', 19),
    ('D', 26),
    ('E', 20),
    ('F', 12),
    ('G', 16),
    ('H', 26),
    ('I', 12),
    ('J', 12),
    ('K', 6),
];

#[test]
fn the_register_is_complete() {
    let register = Register::read(&crate::root()).unwrap();
    let wanted =
        AREAS.iter().flat_map(|(area, rows)| (1..=*rows).map(move |n| format!("{area}{n}")));
    let ids: Vec<&str> = register.rows.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids, wanted.collect::<Vec<_>>());
}

#[test]
fn every_row_is_proven_or_says_why_not() {
    let register = Register::read(&crate::root()).unwrap();
    let wrong = register.mistakes();
    assert!(wrong.is_empty(), "tests/faults.tsv:\n  {}", wrong.join("\n  "));
    println!("{:?}", register.counts());
}

/// A promise of SECURITY.md stands on rows that are proven; a row that has a reason instead cannot carry one.
#[test]
fn the_security_policy_stands_on_proven_rows() {
    let register = Register::read(&crate::root()).unwrap();
    let policy = std::fs::read_to_string(crate::root().join("SECURITY.md")).unwrap();
    let words = policy.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| is_id(word));
    let mut named = 0;
    for id in words {
        let row = register.rows.iter().find(|row| row.id == id);
        let row = row.unwrap_or_else(|| panic!("SECURITY.md names {id}, which is no row"));
        let open = row.reason.as_deref().is_none_or(|reason| reason == NOT_BUILT_YET);
        assert!(open, "SECURITY.md leans on {id}, which has no test: {:?}", row.reason);
        named += 1;
    }
    assert!(named > 0, "SECURITY.md names no rows");
}
