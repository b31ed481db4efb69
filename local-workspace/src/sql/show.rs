//! Statements and views that tell about the catalog: SHOW, DESCRIBE, `information_schema`.

use sqlparser::ast::{ObjectName, ShowStatementOptions, Statement};

use super::bind::Binder;
use super::catalog::{FullName, literal};
use super::failure::Failure;
use super::plan::Plan;
use super::select::Relation;
use super::types::Type;

impl Binder<'_> {
    /// `None` for statements that show nothing.
    pub(crate) fn show(&self, statement: &Statement) -> Result<Option<Plan>, Failure> {
        let text = |name: &'static str| (name, Type::String);
        let some = |value: &str| Some(value.to_owned());
        let (columns, rows) = match statement {
            Statement::ShowTables { show_options, .. } => {
                let (catalog, schema) = self.shown(show_options);
                if !self.catalog.schemas.contains(&(catalog.clone(), schema.clone())) {
                    return Err(no_schema(&catalog, &schema));
                }
                let inside = |name: &&FullName| name.0 == catalog && name.1 == schema;
                let row = |name: &FullName| vec![some(&name.1), some(&name.2), some("false")];
                let rows = self.catalog.tables.keys().filter(inside).map(row).collect();
                let columns =
                    vec![text("database"), text("tableName"), ("isTemporary", Type::Boolean)];
                (columns, rows)
            }
            Statement::ShowSchemas { show_options, .. }
            | Statement::ShowDatabases { show_options, .. } => {
                let named =
                    show_options.show_in.as_ref().and_then(|show| show.parent_name.as_ref());
                let catalog = named
                    .map_or(self.place.catalog.clone(), |name| name.to_string().to_lowercase());
                let schemas = self.catalog.schemas.iter().filter(|(one, _)| *one == catalog);
                (vec![text("databaseName")], schemas.map(|(_, name)| vec![some(name)]).collect())
            }
            Statement::ShowCatalogs { .. } => {
                let mut names: Vec<_> = self.catalog.schemas.iter().map(|(name, _)| name).collect();
                names.dedup();
                (vec![text("catalog")], names.into_iter().map(|name| vec![some(name)]).collect())
            }
            Statement::ExplainTable { table_name, .. } => (
                vec![text("col_name"), text("data_type"), text("comment")],
                self.described(table_name)?,
            ),
            Statement::ShowColumns { show_options, .. } => {
                let named =
                    show_options.show_in.as_ref().and_then(|show| show.parent_name.as_ref());
                let Some(name) = named else { return Ok(None) };
                let rows = self.described(name)?.into_iter();
                (
                    vec![text("col_name")],
                    rows.map(|row| row.into_iter().take(1).collect()).collect(),
                )
            }
            _ => return Ok(None),
        };
        Ok(Some(Plan::Known { columns, rows }))
    }

    fn shown(&self, options: &ShowStatementOptions) -> (String, String) {
        match options.show_in.as_ref().and_then(|show| show.parent_name.as_ref()) {
            Some(name) => self.place.schema(name),
            None => (self.place.catalog.clone(), self.place.schema.clone()),
        }
    }

    fn described(&self, name: &ObjectName) -> Result<Vec<Vec<Option<String>>>, Failure> {
        let (_, columns) = self.catalog.find(name, self.place)?;
        let row = |column: &super::catalog::Column| {
            vec![Some(column.name.clone()), Some(column.kind.text().to_lowercase()), None]
        };
        Ok(columns.iter().map(row).collect())
    }

    /// `information_schema.tables` and `.columns` of a catalog.
    pub(crate) fn information(&self, catalog: &str, schema: &str, table: &str) -> Option<Relation> {
        if schema != "information_schema" {
            return None;
        }
        let mut rows = Vec::new();
        let tables = self.catalog.tables.iter().filter(|(name, _)| name.0 == catalog);
        let names: &[&str] = match table {
            "tables" => {
                for (FullName(catalog, schema, table), _) in tables {
                    let cells = [catalog, schema, table, "MANAGED"].map(literal);
                    rows.push(cells.join(", "));
                }
                &["table_catalog", "table_schema", "table_name", "table_type"]
            }
            "columns" => {
                for (FullName(catalog, schema, table), columns) in tables {
                    for column in columns {
                        let kind = column.kind.text();
                        let cells =
                            [catalog, schema, table, &column.name, &kind].map(|c| literal(c));
                        rows.push(cells.join(", "));
                    }
                }
                &["table_catalog", "table_schema", "table_name", "column_name", "full_data_type"]
            }
            _ => return None,
        };
        let nothing = vec!["NULL"; names.len()].join(", ");
        let cells =
            (0..names.len()).map(|n| format!("column{} AS c{n}", n + 1)).collect::<Vec<_>>();
        // A VALUES clause has at least one row; the filter takes it out again.
        let values: Vec<_> = rows.iter().chain([&nothing]).map(|row| format!("({row})")).collect();
        let sql = format!(
            "SELECT {} FROM (VALUES {}) WHERE column1 IS NOT NULL",
            cells.join(", "),
            values.join(", ")
        );
        let columns = names.iter().map(|name| ((*name).to_owned(), Type::String)).collect();
        Some(Relation { sql, columns })
    }
}

pub(crate) fn no_schema(catalog: &str, schema: &str) -> Failure {
    let text = format!("The schema `{catalog}`.`{schema}` cannot be found.");
    Failure::bad("SCHEMA_NOT_FOUND", "42704", &text)
}
