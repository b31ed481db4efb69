//! Which names mean which columns while a query is bound.

use sqlparser::ast::Ident;

use super::failure::Failure;
use super::types::Type;

/// An expression in SQLite's words, and its type in Databricks'.
#[derive(Debug, Clone)]
pub(crate) struct Bound {
    pub(crate) sql: String,
    pub(crate) kind: Type,
}

impl Bound {
    pub(crate) fn new(sql: impl Into<String>, kind: Type) -> Bound {
        Bound { sql: sql.into(), kind }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Visible {
    pub(crate) name: String,
    pub(crate) bound: Bound,
    /// The right side of a USING, which `*` and plain names pass over.
    pub(crate) hidden: bool,
}

/// A table, or what stands for one.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) columns: Vec<Visible>,
}

#[derive(Debug, Default)]
pub(crate) struct Scope<'a> {
    pub(crate) sources: Vec<Source>,
    /// Columns of the SELECT list by alias, which later expressions may use.
    pub(crate) aliases: Vec<(String, Bound)>,
    pub(crate) outer: Option<&'a Scope<'a>>,
}

impl<'a> Scope<'a> {
    pub(crate) fn inside(outer: Option<&'a Scope<'a>>) -> Scope<'a> {
        Scope { outer, ..Scope::default() }
    }

    pub(crate) fn alias(&self, name: &str) -> Option<&Bound> {
        let same = |(alias, _): &&(String, Bound)| alias.eq_ignore_ascii_case(name);
        self.aliases.iter().find(same).map(|(_, bound)| bound)
    }

    /// A name of one part.
    pub(crate) fn plain(&self, ident: &Ident) -> Result<Bound, Failure> {
        let name = &ident.value;
        let mut found = self
            .columns()
            .filter(|column| column.name.eq_ignore_ascii_case(name) && !column.hidden);
        match (found.next(), found.next()) {
            (Some(column), None) => Ok(column.bound.clone()),
            (Some(_), Some(_)) => {
                let text = format!("Reference `{name}` is ambiguous.");
                Err(Failure::bad("AMBIGUOUS_REFERENCE", "42704", &text).at(ident.span))
            }
            (None, _) => match (self.alias(name), self.outer) {
                (Some(bound), _) => Ok(bound.clone()),
                (None, Some(outer)) => outer.plain(ident).map_err(|_| self.unresolved(&[ident])),
                (None, None) => Err(self.unresolved(&[ident])),
            },
        }
    }

    /// A column of a named source.
    pub(crate) fn qualified(&self, source: &str, column: &str) -> Option<Bound> {
        let mut sources = self.sources.iter().filter(|one| one.name.eq_ignore_ascii_case(source));
        let found = sources
            .find_map(|one| one.columns.iter().find(|c| c.name.eq_ignore_ascii_case(column)));
        match found {
            Some(found) => Some(found.bound.clone()),
            None => self.outer?.qualified(source, column),
        }
    }

    pub(crate) fn unresolved(&self, path: &[&Ident]) -> Failure {
        let ticked: Vec<_> = path.iter().map(|part| format!("`{}`", part.value)).collect();
        let known: Vec<_> = self.columns().take(5).map(|c| format!("`{}`", c.name)).collect();
        let what = format!(
            "A column, variable, or function parameter with name {} cannot be resolved.",
            ticked.join(".")
        );
        let failure = if known.is_empty() {
            Failure::bad("UNRESOLVED_COLUMN.WITHOUT_SUGGESTION", "42703", &what)
        } else {
            let text = format!("{what} Did you mean one of the following? [{}].", known.join(", "));
            Failure::bad("UNRESOLVED_COLUMN.WITH_SUGGESTION", "42703", &text)
        };
        match path.first() {
            Some(first) => failure.at(first.span),
            None => failure,
        }
    }

    fn columns(&self) -> impl Iterator<Item = &Visible> {
        self.sources.iter().flat_map(|source| &source.columns)
    }
}
