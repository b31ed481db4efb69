//! The database behind the engine: connections to one SQLite in memory, the catalog, and the carrying out of plans.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rusqlite::types::{Value as Stored, ValueRef};
use rusqlite::{Connection, OpenFlags};

use super::bind::Binder;
use super::catalog::{Catalog, Column, FullName, Place, quoted};
use super::failure::Failure;
use super::plan::{Definition, Plan};
use super::show::no_schema;
use super::types::Type;
use super::{Query, functions, parse, values};
use crate::auth::USER_NAME;
use crate::clock;

/// A row as text, or NULL.
pub(crate) type Row<'a> = &'a [Option<Cow<'a, str>>];
/// Takes a row with the names and types of its columns; false ends the reading.
pub(crate) type Each<'a> = dyn FnMut(&[(String, Type)], Row<'_>) -> Result<bool, Failure> + 'a;

type Columns = Vec<(String, Type)>;

/// Catalogs and schemas that are there from the start.
const SCHEMAS: &[(&str, &str)] = &[("main", "default"), ("main", "sales"), ("samples", "nyctaxi")];

#[derive(Debug)]
pub(crate) struct Database {
    address: String,
    /// Connections that nobody uses. The database lives as long as one of them is open.
    idle: Mutex<Vec<Connection>>,
    catalog: RwLock<Arc<Catalog>>,
    /// Held while the catalog changes.
    defining: Mutex<()>,
    _anchor: Mutex<Connection>,
}

impl Database {
    /// A new database with the demo data.
    pub(crate) fn open() -> Result<Database, Failure> {
        // The name starts with a slash, which makes connections of this process share it.
        let address = format!("file:/{}?vfs=memdb", uuid::Uuid::new_v4());
        let mut catalog = Catalog::default();
        for (name, schema) in SCHEMAS {
            catalog.schemas.insert(((*name).to_owned(), (*schema).to_owned()));
        }
        let database = Database {
            idle: Mutex::default(),
            catalog: RwLock::new(Arc::new(catalog)),
            defining: Mutex::default(),
            _anchor: Mutex::new(connect(&address)?),
            address,
        };
        let never = Arc::<AtomicBool>::default();
        for text in include_str!("../../seed/tables.sql").split(";\n").map(str::trim) {
            if !text.is_empty() {
                let query = Query { text, ..Query::default() };
                database.run(&query, &never, &mut |_, _| Ok(true))?;
            }
        }
        Ok(database)
    }

    /// Carries a statement out, hands its rows to `each` and answers with its columns. Once `cancel` is set it ends soon.
    pub(crate) fn run(
        &self,
        query: &Query<'_>,
        cancel: &Arc<AtomicBool>,
        each: &mut Each<'_>,
    ) -> Result<Columns, Failure> {
        let statement = parse(query.text)?;
        let catalog = Arc::clone(&self.catalog.read().unwrap_or_else(PoisonError::into_inner));
        let name = |given: Option<&str>, default: &str| {
            given.filter(|name| !name.is_empty()).unwrap_or(default).to_lowercase()
        };
        let place =
            Place { catalog: name(query.catalog, "main"), schema: name(query.schema, "default") };
        let mut binder = Binder {
            catalog: &catalog,
            place: &place,
            parameters: query.parameters,
            values: Vec::new(),
            now: clock::iso(jiff::Timestamp::now()),
            user: if query.user.is_empty() { USER_NAME } else { query.user },
            ctes: Vec::new(),
            sources: 0,
        };
        let plan = binder.plan(&statement)?;
        let values = binder.take_values();
        self.with_connection(cancel, |connection| match plan {
            Plan::Read(relation) => {
                read(connection, &relation.sql, &values, &relation.columns, each)?;
                Ok(relation.columns)
            }
            Plan::Known { columns, rows } => {
                let columns: Columns =
                    columns.into_iter().map(|(n, kind)| (n.to_owned(), kind)).collect();
                give(&columns, &rows, each)?;
                Ok(columns)
            }
            Plan::Change { sql, counts } => {
                let hit = change(connection, &sql, &values)?;
                let columns: Columns =
                    counts.iter().map(|n| ((*n).to_owned(), Type::Long)).collect();
                let row = vec![Some(hit.to_string()); counts.len()];
                if !columns.is_empty() {
                    give(&columns, &[row], each)?;
                }
                Ok(columns)
            }
            Plan::Define(definition) => {
                self.define(connection, definition, &values)?;
                Ok(Columns::new())
            }
        })
    }

    fn with_connection<T>(
        &self,
        cancel: &Arc<AtomicBool>,
        work: impl FnOnce(&mut Connection) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => connect(&self.address)?,
        };
        let flag = Arc::clone(cancel);
        connection.progress_handler(1000, Some(move || flag.load(Ordering::Relaxed)))?;
        let result = work(&mut connection);
        connection.progress_handler(0, None::<fn() -> bool>)?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        result
    }

    fn define(
        &self,
        connection: &mut Connection,
        definition: Definition,
        values: &[Stored],
    ) -> Result<(), Failure> {
        let _defining = self.defining.lock().unwrap_or_else(PoisonError::into_inner);
        let current = Arc::clone(&self.catalog.read().unwrap_or_else(PoisonError::into_inner));
        let mut catalog =
            Catalog { schemas: current.schemas.clone(), tables: current.tables.clone() };
        define(&mut catalog, connection, definition, values)?;
        *self.catalog.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(catalog);
        Ok(())
    }
}

fn connect(address: &str) -> Result<Connection, Failure> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(address, flags)?;
    connection.busy_timeout(Duration::from_secs(60))?;
    // LIKE minds the case in Databricks.
    connection.pragma_update(None, "case_sensitive_like", true)?;
    rusqlite::vtab::series::load_module(&connection)?;
    functions::register(&connection)?;
    Ok(connection)
}

fn bind(statement: &mut rusqlite::Statement<'_>, values: &[Stored]) -> Result<(), Failure> {
    // A change of several parts shares the values; each part takes those it names.
    for (n, value) in values.iter().enumerate().take(statement.parameter_count()) {
        statement.raw_bind_parameter(n + 1, value)?;
    }
    Ok(())
}

fn read(
    connection: &Connection,
    sql: &str,
    values: &[Stored],
    columns: &[(String, Type)],
    each: &mut Each<'_>,
) -> Result<(), Failure> {
    let mut statement = connection.prepare(sql)?;
    bind(&mut statement, values)?;
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next()? {
        let mut cells = Vec::with_capacity(columns.len());
        for (n, (_, kind)) in columns.iter().enumerate() {
            cells.push(text(row.get_ref(n)?, kind));
        }
        if !each(columns, &cells)? {
            break;
        }
    }
    Ok(())
}

/// A value as it leaves, by the type of its column.
fn text<'a>(value: ValueRef<'a>, kind: &Type) -> Option<Cow<'a, str>> {
    Some(match (value, kind) {
        (ValueRef::Null, _) => return None,
        (ValueRef::Integer(number), Type::Boolean) => {
            Cow::Borrowed(if number == 0 { "false" } else { "true" })
        }
        #[expect(clippy::cast_precision_loss, reason = "SQLite stores whole doubles as integers")]
        (ValueRef::Integer(number), Type::Float | Type::Double) => {
            values::double(number as f64).into()
        }
        (ValueRef::Integer(number), _) => number.to_string().into(),
        (ValueRef::Real(number), _) => values::double(number).into(),
        (ValueRef::Text(text), _) => String::from_utf8_lossy(text),
        (ValueRef::Blob(bytes), _) => STANDARD.encode(bytes).into(),
    })
}

fn give(
    columns: &[(String, Type)],
    rows: &[Vec<Option<String>>],
    each: &mut Each<'_>,
) -> Result<(), Failure> {
    for row in rows {
        let cells: Vec<_> = row.iter().map(|cell| cell.as_deref().map(Cow::Borrowed)).collect();
        if !each(columns, &cells)? {
            break;
        }
    }
    Ok(())
}

/// Carries changes out together; the answer is how many rows the last one hit.
fn change(
    connection: &mut Connection,
    sql: &[String],
    values: &[Stored],
) -> Result<usize, Failure> {
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let mut hit = 0;
    for sql in sql {
        let mut statement = transaction.prepare(sql)?;
        bind(&mut statement, values)?;
        hit = statement.raw_execute()?;
    }
    transaction.commit()?;
    Ok(hit)
}

fn define(
    catalog: &mut Catalog,
    connection: &mut Connection,
    definition: Definition,
    values: &[Stored],
) -> Result<(), Failure> {
    match definition {
        Definition::Nothing => {}
        Definition::Create { table, columns, replace, if_not_exists, rows } => {
            let schema = (table.0.clone(), table.1.clone());
            if !catalog.schemas.contains(&schema) {
                return Err(no_schema(&schema.0, &schema.1));
            }
            let exists = catalog.tables.contains_key(&table);
            if exists && if_not_exists {
                return Ok(());
            }
            if exists && !replace {
                let text = format!(
                    "Cannot create table or view {} because it already exists.",
                    table.ticked()
                );
                return Err(Failure::bad("TABLE_OR_VIEW_ALREADY_EXISTS", "42P07", &text));
            }
            create(connection, &table, &columns, rows, values)?;
            catalog.tables.insert(table, columns);
        }
        Definition::Drop { table, if_exists, missing } => match catalog.tables.remove(&table) {
            Some(_) => {
                change(connection, &[format!("DROP TABLE {}", table.physical())], &[])?;
            }
            None if if_exists => {}
            None => return Err(missing),
        },
        Definition::CreateSchema { schema, if_not_exists } => {
            let text = format!("Cannot create schema `{}` because it already exists.", schema.1);
            if !catalog.schemas.insert(schema) && !if_not_exists {
                return Err(Failure::bad("SCHEMA_ALREADY_EXISTS", "42P06", &text));
            }
        }
        Definition::DropSchema { schema, if_exists, cascade } => {
            let inside = |name: &&FullName| (&name.0, &name.1) == (&schema.0, &schema.1);
            let tables: Vec<_> = catalog.tables.keys().filter(inside).cloned().collect();
            if !cascade && !tables.is_empty() {
                let text =
                    format!("Cannot drop a schema `{}` because it contains objects.", schema.1);
                return Err(Failure::bad("SCHEMA_NOT_EMPTY", "2BP01", &text));
            }
            if !catalog.schemas.remove(&schema) && !if_exists {
                return Err(no_schema(&schema.0, &schema.1));
            }
            let sql: Vec<_> =
                tables.iter().map(|table| format!("DROP TABLE {}", table.physical())).collect();
            change(connection, &sql, &[])?;
            catalog.tables.retain(|name, _| !tables.contains(name));
        }
    }
    Ok(())
}

fn create(
    connection: &mut Connection,
    table: &FullName,
    columns: &[Column],
    rows: Option<String>,
    values: &[Stored],
) -> Result<(), Failure> {
    let physical = table.physical();
    let column = |column: &Column| {
        let null = if column.required { " NOT NULL" } else { "" };
        format!("{} {}{null}", quoted(&column.name), column.kind.affinity())
    };
    let columns: Vec<_> = columns.iter().map(column).collect();
    // Rows may come from the table that is replaced, so the new one is made beside it.
    let beside = quoted(&format!("new.{}", uuid::Uuid::new_v4()));
    let mut sql = vec![format!("CREATE TABLE {beside} ({})", columns.join(", "))];
    sql.extend(rows.map(|rows| format!("INSERT INTO {beside} {rows}")));
    sql.push(format!("DROP TABLE IF EXISTS {physical}"));
    sql.push(format!("ALTER TABLE {beside} RENAME TO {physical}"));
    change(connection, &sql, values)?;
    Ok(())
}
