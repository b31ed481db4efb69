//! Catalogs, schemas and tables by their names, and where SQLite keeps each table.

use std::collections::{BTreeMap, BTreeSet};

use sqlparser::ast::{Ident, ObjectName, Spanned};

use super::failure::Failure;
use super::types::Type;

#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: Type,
    pub(crate) required: bool,
}

/// Catalog, schema and table in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FullName(pub(crate) String, pub(crate) String, pub(crate) String);

impl FullName {
    /// The table's name in SQLite, quoted.
    pub(crate) fn physical(&self) -> String {
        quoted(&format!("{}.{}.{}", self.0, self.1, self.2))
    }

    /// As error messages spell it.
    pub(crate) fn ticked(&self) -> String {
        format!("`{}`.`{}`.`{}`", self.0, self.1, self.2)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Catalog {
    pub(crate) schemas: BTreeSet<(String, String)>,
    pub(crate) tables: BTreeMap<FullName, Vec<Column>>,
}

/// The catalog and schema that shorter names are completed with.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) catalog: String,
    pub(crate) schema: String,
}

impl Place {
    pub(crate) fn full(&self, name: &ObjectName) -> Result<FullName, Failure> {
        let lower = |ident: &Ident| ident.value.to_lowercase();
        match idents(name).as_slice() {
            [table] => Ok(FullName(self.catalog.clone(), self.schema.clone(), lower(table))),
            [schema, table] => Ok(FullName(self.catalog.clone(), lower(schema), lower(table))),
            [catalog, schema, table] => Ok(FullName(lower(catalog), lower(schema), lower(table))),
            _ => Err(Failure::bad(
                "IDENTIFIER_TOO_MANY_NAME_PARTS",
                "42601",
                &format!("{name} is not a valid identifier as it has more than 3 name parts."),
            )),
        }
    }

    /// A name of one or two parts that is a schema's.
    pub(crate) fn schema(&self, name: &ObjectName) -> (String, String) {
        let parts: Vec<String> =
            idents(name).iter().map(|ident| ident.value.to_lowercase()).collect();
        match parts.as_slice() {
            [catalog, schema, ..] => (catalog.clone(), schema.clone()),
            [schema] => (self.catalog.clone(), schema.clone()),
            [] => (self.catalog.clone(), self.schema.clone()),
        }
    }
}

impl Catalog {
    pub(crate) fn find(
        &self,
        name: &ObjectName,
        place: &Place,
    ) -> Result<(FullName, &[Column]), Failure> {
        let full = place.full(name)?;
        let Some(columns) = self.tables.get(&full) else { return Err(no_table(name)) };
        Ok((full, columns))
    }
}

pub(crate) fn no_table(name: &ObjectName) -> Failure {
    let ticked: Vec<_> = idents(name).iter().map(|part| format!("`{}`", part.value)).collect();
    let text = format!("The table or view {} cannot be found.", ticked.join("."));
    Failure::bad("TABLE_OR_VIEW_NOT_FOUND", "42P01", &text).at(name.span())
}

pub(crate) fn idents(name: &ObjectName) -> Vec<&Ident> {
    name.0.iter().filter_map(|part| part.as_ident()).collect()
}

pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text literal of SQLite.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
