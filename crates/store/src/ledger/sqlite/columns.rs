//! How values are written into columns and read back. What does not parse is damage, never a panic.

use std::{error::Error, str::FromStr};

use icefield_protocol::{PartSize, Timestamp, TreeHash, UploadToken};
use rusqlite::{
    Connection, Params, Row, ToSql, params,
    types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, Type, ValueRef},
};

use crate::{
    entry::{
        ArchiveNumber, DeliveryNumber, Extent, IdSeal, JobNumber, PayloadId, UploadNumber,
        VaultNumber,
    },
    ledger::PartRow,
};

macro_rules! number_column {
    ($($name:ident)*) => {$(
        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                self.0.to_sql()
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                u64::column_result(value).map(Self)
            }
        }
    )*};
}

number_column!(VaultNumber ArchiveNumber UploadNumber JobNumber DeliveryNumber);

impl ToSql for PayloadId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.as_bytes().to_sql()
    }
}

impl FromSql for PayloadId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        FromSql::column_result(value).map(Self::from_bytes)
    }
}

/// A value of another crate as a column: bytes, an integer, or text that is parsed.
pub(super) trait Column: Sized {
    /// Reads the value of a column that is not null.
    fn read(value: ValueRef<'_>) -> FromSqlResult<Self>;
}

impl Column for Timestamp {
    fn read(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(Self::from_unix_millis)
    }
}

impl Column for TreeHash {
    fn read(value: ValueRef<'_>) -> FromSqlResult<Self> {
        FromSql::column_result(value).map(Self::from_bytes)
    }
}

impl Column for UploadToken {
    fn read(value: ValueRef<'_>) -> FromSqlResult<Self> {
        FromSql::column_result(value).map(Self::from_bytes)
    }
}

impl Column for PartSize {
    fn read(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Self::new(u64::column_result(value)?).map_err(FromSqlError::other)
    }
}

/// Reads the columns of a row from left to right.
pub(super) struct Columns<'r> {
    row: &'r Row<'r>,
    next: usize,
}

impl<'r> Columns<'r> {
    pub(super) fn of(row: &'r Row<'r>) -> Self {
        Self { row, next: 0 }
    }

    pub(super) fn skip(&mut self, columns: usize) {
        self.next += columns;
    }

    /// The error for a value, just read, that means nothing.
    pub(super) fn damage(&self, what: String) -> rusqlite::Error {
        let index = self.next.saturating_sub(1);
        rusqlite::Error::FromSqlConversionFailure(index, Type::Text, what.into())
    }

    pub(super) fn get<T: FromSql>(&mut self) -> rusqlite::Result<T> {
        let index = self.next;
        self.next += 1;
        self.row.get(index)
    }

    pub(super) fn read<T: Column>(&mut self) -> rusqlite::Result<T> {
        self.get::<Read<T>>().map(|column| column.0)
    }

    pub(super) fn read_opt<T: Column>(&mut self) -> rusqlite::Result<Option<T>> {
        Ok(self.get::<Option<Read<T>>>()?.map(|column| column.0))
    }

    pub(super) fn parse<T: FromStr<Err: Error + Send + Sync + 'static>>(
        &mut self,
    ) -> rusqlite::Result<T> {
        self.get::<Parsed<T>>().map(|column| column.0)
    }

    pub(super) fn parse_opt<T: FromStr<Err: Error + Send + Sync + 'static>>(
        &mut self,
    ) -> rusqlite::Result<Option<T>> {
        Ok(self.get::<Option<Parsed<T>>>()?.map(|column| column.0))
    }

    /// Text of a type that is read from a `String`.
    pub(super) fn convert_opt<T: TryFrom<String, Error: Error + Send + Sync + 'static>>(
        &mut self,
    ) -> rusqlite::Result<Option<T>> {
        Ok(self.get::<Option<Converted<T>>>()?.map(|column| column.0))
    }

    pub(super) fn seal(&mut self) -> rusqlite::Result<IdSeal> {
        Ok(IdSeal { key: self.get()?, salt: self.get()? })
    }

    pub(super) fn extent(&mut self) -> rusqlite::Result<Extent> {
        Ok(Extent { payload: self.get()?, size: self.get()?, tree_hash: self.read()? })
    }

    pub(super) fn part(&mut self) -> rusqlite::Result<PartRow> {
        Ok(PartRow { index: self.get()?, extent: self.extent()? })
    }
}

struct Read<T>(T);

impl<T: Column> FromSql for Read<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        T::read(value).map(Self)
    }
}

struct Parsed<T>(T);

impl<T: FromStr<Err: Error + Send + Sync + 'static>> FromSql for Parsed<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map(Self).map_err(FromSqlError::other)
    }
}

struct Converted<T>(T);

impl<T: TryFrom<String, Error: Error + Send + Sync + 'static>> FromSql for Converted<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        T::try_from(value.as_str()?.to_owned()).map(Self).map_err(FromSqlError::other)
    }
}

/// Runs a statement that returns no rows; how many it changed.
pub(super) fn execute(db: &Connection, sql: &str, params: impl Params) -> rusqlite::Result<usize> {
    db.prepare_cached(sql)?.execute(params)
}

/// Asks how many rows of a vault there are, up to `most`.
pub(super) fn count(
    db: &Connection,
    sql: &str,
    vault: VaultNumber,
    most: usize,
) -> rusqlite::Result<usize> {
    let counted = find(db, sql, params![vault, bound(most)], |mut columns| columns.get())?;
    Ok(counted.unwrap_or_default())
}

/// Reads at most one row.
pub(super) fn find<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(Columns<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Option<T>> {
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    rows.next()?.map(|row| read(Columns::of(row))).transpose()
}

/// Reads all rows.
pub(super) fn list<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    mut read: impl FnMut(Columns<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    let mut statement = db.prepare_cached(sql)?;
    statement.query_map(params, |row| read(Columns::of(row)))?.collect()
}

/// A bound in a comparison: beyond the largest integer there is nothing to compare with.
pub(super) fn bound(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}
