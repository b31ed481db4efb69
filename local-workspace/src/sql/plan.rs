//! Statements: what each means to the catalog and to SQLite. Nothing is carried out here.

use rusqlite::types::Value as Stored;
use sqlparser::ast::{
    Assignment, AssignmentTarget, ColumnOption, CreateTable, Delete, FromTable, Insert, ObjectName,
    ObjectType, SchemaName, SetExpr, Statement, TableFactor, TableObject, TableWithJoins, Update,
};

use super::bind::Binder;
use super::catalog::{Column, FullName, idents, no_table, quoted};
use super::coerce::cast;
use super::failure::Failure;
use super::from::stored;
use super::operators::truth;
use super::scope::{Bound, Scope};
use super::select::Relation;
use super::types::Type;

#[derive(Debug)]
pub(crate) enum Plan {
    /// Rows from SQLite.
    Read(Relation),
    /// Rows that the catalog knows.
    Known {
        columns: Vec<(&'static str, Type)>,
        rows: Vec<Vec<Option<String>>>,
    },
    /// Changes to rows, carried out together. The rows that the last one hits are the result, once for each name.
    Change {
        sql: Vec<String>,
        counts: &'static [&'static str],
    },
    Define(Definition),
}

#[derive(Debug)]
pub(crate) enum Definition {
    Create {
        table: FullName,
        columns: Vec<Column>,
        replace: bool,
        if_not_exists: bool,
        rows: Option<String>,
    },
    Drop {
        table: FullName,
        if_exists: bool,
        missing: Failure,
    },
    CreateSchema {
        schema: (String, String),
        if_not_exists: bool,
    },
    DropSchema {
        schema: (String, String),
        if_exists: bool,
        cascade: bool,
    },
    /// Statements that set up a session, which ends with them here.
    Nothing,
}

impl Binder<'_> {
    pub(crate) fn plan(&mut self, statement: &Statement) -> Result<Plan, Failure> {
        match statement {
            Statement::Query(query) => match &*query.body {
                SetExpr::Insert(inner) | SetExpr::Update(inner) | SetExpr::Delete(inner) => {
                    self.plan(inner)
                }
                _ => Ok(Plan::Read(self.query(query, None)?)),
            },
            Statement::Insert(insert) => self.insert(insert),
            Statement::Update(update) => self.update(update),
            Statement::Delete(delete) => self.delete(delete),
            Statement::CreateTable(create) => self.create_table(create),
            Statement::Truncate(truncate) => {
                let [table] = truncate.table_names.as_slice() else {
                    return Err(Failure::unsupported("TRUNCATE of several tables"));
                };
                let (table, _) = self.catalog.find(&table.name, self.place)?;
                let sql = vec![format!("DELETE FROM {}", table.physical())];
                Ok(Plan::Change { sql, counts: &[] })
            }
            Statement::Drop { object_type, if_exists, names, cascade, .. } => {
                self.drop(*object_type, *if_exists, names, *cascade)
            }
            Statement::CreateSchema {
                schema_name: SchemaName::Simple(name),
                if_not_exists,
                ..
            } => {
                let schema = self.place.schema(name);
                Ok(Plan::Define(Definition::CreateSchema { schema, if_not_exists: *if_not_exists }))
            }
            Statement::CreateDatabase { db_name, if_not_exists, .. } => {
                let schema = self.place.schema(db_name);
                Ok(Plan::Define(Definition::CreateSchema { schema, if_not_exists: *if_not_exists }))
            }
            Statement::Use(_) | Statement::Set(_) => Ok(Plan::Define(Definition::Nothing)),
            Statement::OptimizeTable { name, .. } => {
                let (table, _) = self.catalog.find(name, self.place)?;
                Ok(Plan::Known {
                    columns: vec![("path", Type::String), ("metrics", Type::String)],
                    rows: vec![vec![Some(table.ticked()), Some("{}".to_owned())]],
                })
            }
            other => match self.show(other)? {
                Some(plan) => Ok(plan),
                None => {
                    let word = other.to_string();
                    let word = word.split(' ').next().unwrap_or_default();
                    Err(Failure::unsupported(&format!("{word} statements of this kind")))
                }
            },
        }
    }

    fn insert(&mut self, insert: &Insert) -> Result<Plan, Failure> {
        let TableObject::TableName(name) = &insert.table else {
            return Err(Failure::unsupported("INSERT into anything but a table"));
        };
        let (table, columns) = self.catalog.find(name, self.place)?;
        let targets: Vec<&Column> = match insert.columns.as_slice() {
            [] => columns.iter().collect(),
            names => names.iter().map(|name| column(columns, name)).collect::<Result<_, _>>()?,
        };
        let Some(source) = &insert.source else {
            return Err(Failure::unsupported("INSERT without rows"));
        };
        let relation = self.query(source, None)?;
        if relation.columns.len() != targets.len() {
            let text = format!(
                "Cannot write to {}, the reason is that the table expects {} columns and the data has {}.",
                table.ticked(),
                targets.len(),
                relation.columns.len()
            );
            return Err(Failure::bad("INSERT_COLUMN_ARITY_MISMATCH", "21S01", &text));
        }
        let mut cells = Vec::new();
        for (n, ((_, from), target)) in relation.columns.iter().zip(&targets).enumerate() {
            cells.push(cast(&Bound::new(format!("c{n}"), from.clone()), &target.kind, false)?);
        }
        let names: Vec<_> = targets.iter().map(|column| quoted(&column.name)).collect();
        let physical = table.physical();
        let rows = format!(
            "INSERT INTO {physical} ({}) SELECT {} FROM ({})",
            names.join(", "),
            cells.join(", "),
            relation.sql
        );
        let clear = insert.overwrite.then(|| format!("DELETE FROM {physical}"));
        let sql = clear.into_iter().chain([rows]).collect();
        Ok(Plan::Change { sql, counts: &["num_affected_rows", "num_inserted_rows"] })
    }

    fn update(&mut self, update: &Update) -> Result<Plan, Failure> {
        let (table, here, columns, scope) = self.target(&update.table)?;
        let mut sets = Vec::new();
        for Assignment { target, value } in &update.assignments {
            let AssignmentTarget::ColumnName(name) = target else {
                return Err(Failure::unsupported("SET of several columns at once"));
            };
            let column = column(&columns, name)?;
            let value = cast(&self.expr(value, &scope)?, &column.kind, false)?;
            sets.push(format!("{} = {value}", quoted(&column.name)));
        }
        let filter = match &update.selection {
            Some(condition) => format!(" WHERE {}", truth(&self.expr(condition, &scope)?)?),
            None => String::new(),
        };
        let sql = format!("UPDATE {table} AS {here} SET {}{filter}", sets.join(", "));
        Ok(Plan::Change { sql: vec![sql], counts: &["num_affected_rows"] })
    }

    fn delete(&mut self, delete: &Delete) -> Result<Plan, Failure> {
        let (FromTable::WithFromKeyword(tables) | FromTable::WithoutKeyword(tables)) = &delete.from;
        let [table] = tables.as_slice() else {
            return Err(Failure::unsupported("DELETE from several tables"));
        };
        let (table, here, _, scope) = self.target(table)?;
        let filter = match &delete.selection {
            Some(condition) => truth(&self.expr(condition, &scope)?)?,
            // Without a condition SQLite would not count the rows.
            None => "1".to_owned(),
        };
        let sql = vec![format!("DELETE FROM {table} AS {here} WHERE {filter}")];
        Ok(Plan::Change { sql, counts: &["num_affected_rows"] })
    }

    /// The table that a change goes to: its names in SQLite, its columns, and the scope of expressions.
    fn target(
        &mut self,
        table: &TableWithJoins,
    ) -> Result<(String, String, Vec<Column>, Scope<'static>), Failure> {
        let TableFactor::Table { name, alias, .. } = &table.relation else {
            return Err(Failure::unsupported("changes to anything but a table"));
        };
        let (full, columns) = self.catalog.find(name, self.place)?;
        let last = idents(name).last().map(|ident| ident.value.clone()).unwrap_or_default();
        let visible = alias.as_ref().map_or(last, |alias| alias.name.value.clone());
        let columns = columns.to_vec();
        let here = self.fresh("s");
        let mut scope = Scope::default();
        scope.sources.push(stored(&visible, &here, &columns, None));
        Ok((full.physical(), here, columns, scope))
    }

    fn create_table(&mut self, create: &CreateTable) -> Result<Plan, Failure> {
        let table = self.place.full(&create.name)?;
        let (columns, rows) = match &create.query {
            None => {
                let column = |definition: &sqlparser::ast::ColumnDef| {
                    Ok(Column {
                        name: definition.name.value.clone(),
                        kind: Type::of(&definition.data_type)?,
                        required: definition
                            .options
                            .iter()
                            .any(|option| matches!(option.option, ColumnOption::NotNull)),
                    })
                };
                (create.columns.iter().map(column).collect::<Result<Vec<_>, Failure>>()?, None)
            }
            Some(query) => {
                let relation = self.query(query, None)?;
                let columns = relation.columns.into_iter();
                let columns =
                    columns.map(|(name, kind)| Column { name, kind, required: false }).collect();
                (columns, Some(relation.sql))
            }
        };
        if columns.is_empty() {
            return Err(Failure::unsupported("CREATE TABLE without columns"));
        }
        Ok(Plan::Define(Definition::Create {
            table,
            columns,
            replace: create.or_replace,
            if_not_exists: create.if_not_exists,
            rows,
        }))
    }

    fn drop(
        &self,
        what: ObjectType,
        if_exists: bool,
        names: &[ObjectName],
        cascade: bool,
    ) -> Result<Plan, Failure> {
        let [name] = names else { return Err(Failure::unsupported("DROP of several objects")) };
        match what {
            ObjectType::Table => Ok(Plan::Define(Definition::Drop {
                table: self.place.full(name)?,
                if_exists,
                missing: no_table(name),
            })),
            ObjectType::Schema | ObjectType::Database => {
                let schema = self.place.schema(name);
                Ok(Plan::Define(Definition::DropSchema { schema, if_exists, cascade }))
            }
            other => Err(Failure::unsupported(&format!("DROP {other}"))),
        }
    }

    /// Takes the values of the parameters that were used.
    pub(crate) fn take_values(&mut self) -> Vec<Stored> {
        std::mem::take(&mut self.values)
    }
}

fn column<'a>(columns: &'a [Column], name: &ObjectName) -> Result<&'a Column, Failure> {
    let parts = idents(name);
    let last = parts.last().map(|ident| ident.value.as_str()).unwrap_or_default();
    columns.iter().find(|column| column.name.eq_ignore_ascii_case(last)).ok_or_else(|| {
        let text = format!("A column with name `{last}` cannot be resolved.");
        Failure::bad("UNRESOLVED_COLUMN.WITHOUT_SUGGESTION", "42703", &text)
    })
}
