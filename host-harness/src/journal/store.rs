//! The journal's database: its form, the check that nothing of it is missing or changed, and what is read and written.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fs, io};

use ring::digest::{Context, SHA256};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::locks::{self, Mark};
use super::record::{LogLine, Record};
use super::trouble::{Outcome, Trouble};
use crate::{digest, private};

const DATABASE: &str = "journal.db";

/// Raised when a program that knows only the form before it would misread this one.
pub(super) const VERSION: i64 = 1;
/// `jrnl` and our word for it.
const APPLICATION: i64 = 0x6a72_6e6c;

/// How long another process may take with the database.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// How long what has ended is kept.
const KEPT: Duration = Duration::from_hours(30 * 24);

const SCHEMA: &[&str] = &[
    "CREATE TABLE meta (id INTEGER PRIMARY KEY, sequence INTEGER NOT NULL, records INTEGER NOT NULL, \
     lines INTEGER NOT NULL, seal BLOB NOT NULL) STRICT",
    "CREATE TABLE record (id TEXT PRIMARY KEY, owner TEXT, body TEXT NOT NULL, seal BLOB NOT NULL) STRICT",
    "CREATE TABLE content (id TEXT NOT NULL, kind TEXT NOT NULL, bytes BLOB NOT NULL, \
     PRIMARY KEY (id, kind)) STRICT",
    "CREATE TABLE log (id TEXT NOT NULL, number INTEGER NOT NULL, at INTEGER NOT NULL, text TEXT NOT NULL, \
     seal BLOB NOT NULL, PRIMARY KEY (id, number)) STRICT",
    "CREATE TABLE wish (id TEXT PRIMARY KEY) STRICT",
];

/// What the database says of itself as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Totals {
    sequence: i64,
    records: i64,
    lines: i64,
}

/// The database, open and checked.
#[derive(Debug)]
pub(super) struct Store {
    db: Connection,
    folder: PathBuf,
    mark: Mark,
    /// What was found when it was opened that has outlived its use.
    pub(super) expired: Vec<String>,
}

impl Store {
    pub(super) fn open(folder: &Path) -> Outcome<Self> {
        private::folder(folder)?;
        let mark = Mark::open(folder)?;
        let alone = mark.lock()?;
        let Some(promised) = alone.read()? else {
            return Err(Trouble::Damaged("its mark is not readable".to_owned()));
        };
        let path = folder.join(DATABASE);
        // Made by us, so that it and the files that SQLite puts beside it are for their owner alone.
        locks::open(&path)?;
        check_header(&path)?;
        let db = Connection::open(&path)?;
        db.busy_timeout(PATIENCE)?;
        // A short command need not wait for the disk once more; the log is folded in when it has grown.
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        // What was removed is gone, inputs may be nobody's business.
        db.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA trusted_schema = OFF;",
        )?;
        let mut store =
            Self { db, folder: folder.to_owned(), mark: Mark::open(folder)?, expired: vec![] };
        if store.is_new(promised)? {
            store.create()?;
        }
        let owners = store.check(promised)?;
        locks::sweep(folder, &owners);
        drop(alone);
        Ok(store)
    }

    /// Folds the write-ahead log into the database, so that what was removed is in neither.
    pub(super) fn settle(&self) -> Outcome<()> {
        Ok(self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn number(&self, pragma: &str) -> Outcome<i64> {
        Ok(self.db.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))?)
    }

    fn is_new(&self, promised: u64) -> Outcome<bool> {
        let tables: i64 =
            self.db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        Ok(tables == 0 && promised == 0 && self.number("application_id")? == 0)
    }

    fn create(&self) -> Outcome<()> {
        self.db.execute_batch("BEGIN IMMEDIATE")?;
        for table in SCHEMA {
            self.db.execute_batch(table)?;
        }
        let none = Totals { sequence: 0, records: 0, lines: 0 };
        self.keep_totals(none)?;
        self.db.execute_batch(&format!(
            "PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}; COMMIT"
        ))?;
        Ok(())
    }

    /// Reads all of it once: a journal that is not whole is not used at all. Gives the owners of what has not ended.
    fn check(&mut self, promised: u64) -> Outcome<HashSet<String>> {
        let bad = |what: &str| Err(Trouble::Damaged(what.to_owned()));
        match self.number("application_id")? {
            APPLICATION => {}
            0 if promised > 0 => return bad("its last changes are missing"),
            _ => return bad("it is no journal"),
        }
        match self.number("user_version")? {
            VERSION => {}
            newer if newer > VERSION => return Err(Trouble::Newer(newer)),
            _ => return bad("its form is unknown"),
        }
        let mut tables = self.db.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")?;
        let tables: Vec<String> =
            tables.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        if tables != SCHEMA {
            return bad("its tables are other ones");
        }
        let verdict: String =
            self.db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        if verdict != "ok" {
            return bad(&verdict);
        }
        // One view of all that is counted, since another process may write meanwhile.
        self.db.execute_batch("BEGIN")?;
        let totals = self.totals()?;
        if u64::try_from(totals.sequence).is_ok_and(|sequence| sequence < promised) {
            return bad("its last changes are missing");
        }
        let records = self.records()?;
        let lines: i64 = self.db.query_row("SELECT count(*) FROM log", [], |row| row.get(0))?;
        self.db.execute_batch("COMMIT")?;
        if totals.records != i64::try_from(records.len()).unwrap_or(-1) || totals.lines != lines {
            return bad("something is missing");
        }
        let before = now_ms().saturating_sub(millis(KEPT));
        let (open, ended): (Vec<_>, Vec<_>) = records.into_iter().partition(|r| r.status.is_open());
        let expired = ended.into_iter().filter(|record| record.updated_ms < before);
        self.expired = expired.map(|record| record.id).collect();
        Ok(open.into_iter().filter_map(|record| record.owner).collect())
    }

    fn totals(&self) -> Outcome<Totals> {
        let (totals, seal) = self.db.query_row(
            "SELECT sequence, records, lines, seal FROM meta WHERE id = 1",
            [],
            |row| {
                let totals =
                    Totals { sequence: row.get(0)?, records: row.get(1)?, lines: row.get(2)? };
                Ok((totals, row.get::<_, Vec<u8>>(3)?))
            },
        )?;
        if totals.seal() == seal {
            return Ok(totals);
        }
        Err(Trouble::Damaged("its totals are not what was written".to_owned()))
    }

    fn keep_totals(&self, totals: Totals) -> Outcome<()> {
        let Totals { sequence, records, lines } = totals;
        self.db
            .prepare_cached("INSERT OR REPLACE INTO meta VALUES (1, ?, ?, ?, ?)")?
            .execute(params![sequence, records, lines, totals.seal()])?;
        Ok(())
    }

    /// Does the work in one transaction. What is to `last` is on the disk when this returns.
    pub(super) fn commit<T>(
        &self,
        lasts: bool,
        work: impl FnOnce(&mut Pen<'_>) -> Outcome<T>,
    ) -> Outcome<T> {
        let synchronous = if lasts { "FULL" } else { "NORMAL" };
        self.db.execute_batch(&format!("PRAGMA synchronous = {synchronous}; BEGIN IMMEDIATE"))?;
        let done = self.write(lasts, work);
        match done {
            Ok((done, sequence)) => {
                if lasts {
                    // It is committed, whatever becomes of the mark.
                    let _ = self.mark.lock().and_then(|alone| alone.advance(sequence));
                }
                Ok(done)
            }
            Err(error) => {
                // Some failures have ended the transaction already.
                let _ = self.db.execute_batch("ROLLBACK");
                Err(error)
            }
        }
    }

    fn write<T>(
        &self,
        lasts: bool,
        work: impl FnOnce(&mut Pen<'_>) -> Outcome<T>,
    ) -> Outcome<(T, u64)> {
        let before = self.totals()?;
        let mut pen = Pen { store: self, totals: before };
        let done = work(&mut pen)?;
        let mut totals = pen.totals;
        totals.sequence += i64::from(lasts);
        if totals != before {
            self.keep_totals(totals)?;
        }
        self.db.execute_batch("COMMIT")?;
        Ok((done, totals.sequence.try_into().unwrap_or(0)))
    }

    /// All records, the oldest first.
    pub(super) fn records(&self) -> Outcome<Vec<Record>> {
        let mut statement =
            self.db.prepare_cached("SELECT id, owner, body, seal FROM record ORDER BY rowid")?;
        let mut rows = statement.query([])?;
        let mut records = Vec::new();
        while let Some(row) = rows.next()? {
            records.push(record(row)?);
        }
        let mut alive = HashMap::new();
        for record in &mut records {
            if let Some(owner) = &record.owner {
                let is_alive = || locks::is_alive(&self.folder, owner);
                record.is_attended = *alive.entry(owner.clone()).or_insert_with(is_alive);
            }
        }
        Ok(records)
    }

    pub(super) fn record(&self, id: &str) -> Outcome<Option<Record>> {
        let mut statement =
            self.db.prepare_cached("SELECT id, owner, body, seal FROM record WHERE id = ?")?;
        let mut rows = statement.query([id])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let mut record = record(row)?;
        let owner = record.owner.as_ref();
        record.is_attended = owner.is_some_and(|owner| locks::is_alive(&self.folder, owner));
        Ok(Some(record))
    }

    pub(super) fn input(&self, record: &Record) -> Outcome<String> {
        let input = self.content(&record.id, "input")?.and_then(|it| String::from_utf8(it).ok());
        match input {
            Some(input) if digest::hex(input.as_bytes()) == record.input_sha256 => Ok(input),
            _ => Err(Trouble::Damaged("an input is not what was written".to_owned())),
        }
    }

    pub(super) fn content(&self, id: &str, kind: &str) -> Outcome<Option<Vec<u8>>> {
        let mut statement =
            self.db.prepare_cached("SELECT bytes FROM content WHERE id = ? AND kind = ?")?;
        Ok(statement.query_row([id, kind], |row| row.get(0)).optional()?)
    }

    pub(super) fn lines(&self, id: &str, after: u64) -> Outcome<Vec<LogLine>> {
        let mut statement = self.db.prepare_cached(
            "SELECT number, at, text, seal FROM log WHERE id = ? AND number > ? ORDER BY number",
        )?;
        let mut rows = statement.query(params![id, i64::try_from(after).unwrap_or(i64::MAX)])?;
        let mut lines = Vec::new();
        while let Some(row) = rows.next()? {
            let line = LogLine {
                number: row.get::<_, i64>(0)?.try_into().unwrap_or(0),
                at_ms: row.get::<_, i64>(1)?.try_into().unwrap_or(0),
                text: row.get(2)?,
            };
            if line.seal(id) != row.get::<_, Vec<u8>>(3)? {
                return Err(Trouble::Damaged("a log line is not what was written".to_owned()));
            }
            lines.push(line);
        }
        Ok(lines)
    }

    /// What somebody asked to be cancelled.
    pub(super) fn wishes(&self) -> Outcome<HashSet<String>> {
        let mut statement = self.db.prepare_cached("SELECT id FROM wish")?;
        let wishes = statement.query_map([], |row| row.get(0))?;
        Ok(wishes.collect::<Result<_, _>>()?)
    }

    /// Changes whenever another process has written something.
    pub(super) fn foreign_changes(&self) -> Outcome<i64> {
        self.number("data_version")
    }
}

/// Changes the database, within a transaction.
#[derive(Debug)]
pub(super) struct Pen<'a> {
    pub(super) store: &'a Store,
    totals: Totals,
}

impl Pen<'_> {
    pub(super) fn insert(&mut self, record: &Record) -> Outcome<()> {
        let (body, seal) = written(record)?;
        let insert = "INSERT INTO record (id, owner, body, seal) VALUES (?, ?, ?, ?)";
        let values = params![record.id, record.owner, body, seal];
        self.store.db.prepare_cached(insert)?.execute(values)?;
        self.totals.records += 1;
        Ok(())
    }

    /// Puts a record in the place of the one with its id, as long as that is held by this owner. True when it was.
    pub(super) fn put(&self, record: &Record, holder: Option<&str>) -> Outcome<bool> {
        let (body, seal) = written(record)?;
        let update = "UPDATE record SET owner = ?, body = ?, seal = ? WHERE id = ? AND owner IS ?";
        let values = params![record.owner, body, seal, record.id, holder];
        Ok(self.store.db.prepare_cached(update)?.execute(values)? > 0)
    }

    pub(super) fn keep(&self, id: &str, kind: &str, bytes: &[u8]) -> Outcome<()> {
        let keep = "INSERT OR REPLACE INTO content VALUES (?, ?, ?)";
        self.store.db.prepare_cached(keep)?.execute(params![id, kind, bytes])?;
        Ok(())
    }

    pub(super) fn log(&mut self, id: &str, text: String) -> Outcome<()> {
        let db = &self.store.db;
        let mut next =
            db.prepare_cached("SELECT coalesce(max(number), 0) + 1 FROM log WHERE id = ?")?;
        let number: i64 = next.query_row([id], |row| row.get(0))?;
        let line = LogLine { number: number.try_into().unwrap_or(0), at_ms: now_ms(), text };
        let at = i64::try_from(line.at_ms).unwrap_or(i64::MAX);
        let log = "INSERT INTO log VALUES (?, ?, ?, ?, ?)";
        db.prepare_cached(log)?.execute(params![id, number, at, line.text, line.seal(id)])?;
        self.totals.lines += 1;
        Ok(())
    }

    pub(super) fn wish(&self, id: &str) -> Outcome<()> {
        self.store.db.prepare_cached("INSERT OR IGNORE INTO wish VALUES (?)")?.execute([id])?;
        Ok(())
    }

    pub(super) fn unwish(&self, id: &str) -> Outcome<()> {
        self.store.db.prepare_cached("DELETE FROM wish WHERE id = ?")?.execute([id])?;
        Ok(())
    }

    /// Takes out all there is of a record.
    pub(super) fn remove(&mut self, id: &str) -> Outcome<()> {
        let delete = |table: &str| {
            let sql = format!("DELETE FROM {table} WHERE id = ?");
            Ok::<_, Trouble>(self.store.db.prepare_cached(&sql)?.execute([id])?)
        };
        let (records, lines) = (delete("record")?, delete("log")?);
        delete("content")?;
        delete("wish")?;
        self.totals.records -= i64::try_from(records).unwrap_or(0);
        self.totals.lines -= i64::try_from(lines).unwrap_or(0);
        let _ = fs::remove_file(result_path(&self.store.folder, id));
        Ok(())
    }
}

/// Where a large result is. Ids are anybody's texts, so their digests make the names.
pub(super) fn result_path(folder: &Path, id: &str) -> PathBuf {
    folder.join(format!("{}.result", digest::hex(id.as_bytes())))
}

/// A form of the file that we do not write makes SQLite take it for one that cannot be written.
fn check_header(path: &Path) -> Outcome<()> {
    let mut start = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(fs::File::open(path)?, 20), &mut start)?;
    match start.get(18..20) {
        None if start.is_empty() => Ok(()),
        Some([1 | 2, 1 | 2]) => Ok(()),
        _ => Err(Trouble::Damaged("its header is not one".to_owned())),
    }
}

/// A record as a row has it, with its seal.
fn written(record: &Record) -> Outcome<(String, Vec<u8>)> {
    let body = serde_json::to_string(record)
        .map_err(|error| Trouble::Damaged(format!("a record cannot be written: {error}")))?;
    let seal = seal(&[&record.id, record.owner.as_deref().unwrap_or_default(), &body]);
    Ok((body, seal))
}

fn record(row: &Row<'_>) -> Outcome<Record> {
    let (id, owner): (String, Option<String>) = (row.get(0)?, row.get(1)?);
    let (body, written): (String, Vec<u8>) = (row.get(2)?, row.get(3)?);
    let bad = || Trouble::Damaged("a record is not what was written".to_owned());
    if seal(&[&id, owner.as_deref().unwrap_or_default(), &body]) != written {
        return Err(bad());
    }
    serde_json::from_str(&body).map_err(|_| bad())
}

/// What a row carries so that a changed byte is noticed: SQLite checks its structure, not its content.
fn seal(parts: &[&str]) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part.as_bytes());
    }
    context.finish().as_ref().iter().take(16).copied().collect()
}

impl Totals {
    fn seal(self) -> Vec<u8> {
        seal(&[&format!("{} {} {}", self.sequence, self.records, self.lines)])
    }
}

impl LogLine {
    fn seal(&self, id: &str) -> Vec<u8> {
        seal(&[id, &format!("{} {}", self.number, self.at_ms), &self.text])
    }
}

pub(super) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
