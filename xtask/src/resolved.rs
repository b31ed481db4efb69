//! What cargo resolves for one package on one target: the parts that end up in the built file, and who needs whom.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use xtask::{cargo, output_of};

/// A part of a built file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// An SPDX expression, as the package has it.
    pub(crate) license: String,
}

/// A package and all that is built into it.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) root: String,
    pub(crate) target: String,
    /// In order, the root among them.
    pub(crate) packages: BTreeSet<Package>,
    needs: BTreeSet<(Package, Package)>,
}

impl Resolved {
    /// Asks cargo, by the features that a build of this package alone has.
    pub(crate) fn ask(root: &str, target: &str) -> Result<Self> {
        let tree = output_of(cargo().args([
            "tree",
            "--locked",
            "--package",
            root,
            "--target",
            target,
            "--edges",
            "normal,no-proc-macro",
            "--prefix",
            "depth",
            "--format",
            "\t{p}\t{l}",
        ]))?;
        Self::read(root, target, &tree).with_context(|| format!("cargo tree of {root}"))
    }

    pub(crate) fn dependencies(&self, of: &Package) -> impl Iterator<Item = &Package> {
        self.needs.iter().filter(move |(needing, _)| needing == of).map(|(_, needed)| needed)
    }

    /// Reads lines of depth, package and licence. A package that has been there before has no children below it.
    fn read(root: &str, target: &str, tree: &str) -> Result<Self> {
        let (mut packages, mut needs) = (BTreeSet::new(), BTreeSet::new());
        let mut path: Vec<Package> = Vec::new();
        for line in tree.lines() {
            let (depth, package) =
                entry(line).with_context(|| format!("an unknown line: {line}"))?;
            path.truncate(depth);
            if let Some(parent) = path.last() {
                needs.insert((parent.clone(), package.clone()));
            }
            packages.insert(package.clone());
            path.push(package);
        }
        Ok(Self { root: root.to_owned(), target: target.to_owned(), packages, needs })
    }
}

/// `2⇥name v1.2.3 (where)⇥licence (*)`
fn entry(line: &str) -> Option<(usize, Package)> {
    let mut cells = line.split('\t');
    let depth = cells.next()?.parse().ok()?;
    let mut words = cells.next()?.split(' ');
    let name = words.next()?.to_owned();
    let version = words.next()?.strip_prefix('v')?.to_owned();
    let license = cells.next()?.trim_end_matches(" (*)").to_owned();
    Some((depth, Package { name, version, license }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_read_with_its_edges() {
        let tree = "0\tapp v0.1.0 (/somewhere/app)\tApache-2.0\n1\ta v1.0.0\tMIT\n2\tb v2.0.0\tMIT OR Apache-2.0\n\
                    1\tb v2.0.0\tMIT OR Apache-2.0 (*)\n";
        let resolved = Resolved::read("app", "somewhere", tree).unwrap();
        let names: Vec<&str> =
            resolved.packages.iter().map(|package| package.name.as_str()).collect();
        assert_eq!(names, ["a", "app", "b"]);
        let needs = |name: &str| -> Vec<&str> {
            let package = resolved.packages.iter().find(|package| package.name == name).unwrap();
            resolved.dependencies(package).map(|package| package.name.as_str()).collect()
        };
        assert_eq!((needs("app"), needs("a"), needs("b")), (vec!["a", "b"], vec!["b"], vec![]));
        let b = resolved.packages.iter().find(|package| package.name == "b").unwrap();
        assert_eq!(b.license, "MIT OR Apache-2.0");
    }

    #[test]
    fn lines_of_another_shape_are_refused() {
        for line in ["", "app v0.1.0", "0\tapp\tMIT", "x\tapp v0.1.0\tMIT", "0\tapp v0.1.0"] {
            assert!(Resolved::read("app", "somewhere", &format!("{line}\n")).is_err(), "{line}");
        }
    }
}
