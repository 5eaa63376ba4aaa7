//! What is remembered. One code for two databases: SQLite, one file and one writer, and Postgres, shared by replicas.
//!
//! Reads take a [`Reader`] and writes a [`Txn`]; both need a [`TenantScope`], which only authentication and the
//! service's own stored work can make. Functions speak the domain's types; SeaORM's entities stay inside.

use std::path::Path;
use std::time::Duration;

use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseBackend, DatabaseConnection, DatabaseExecutor,
    DatabaseTransaction, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait,
};
use sea_orm_migration::MigratorTrait;

use crate::domain::id::TenantId;

#[path = "../../migrations/mod.rs"]
mod migrations;

mod entity;
mod error;
mod page;
#[cfg(test)]
mod plans;
mod scope;
mod sql_types;
mod txn;

pub mod announcement;
pub mod cluster;
pub mod constraint;
pub mod customer;
pub mod defect;
pub mod delivery;
pub mod dirty;
pub mod event;
pub mod operation;
pub mod release;
pub mod report;
pub mod request;
pub mod second_look;
pub mod statement;
pub mod suggestion;
pub mod tenant;
pub mod vector;

pub use error::StoreError;
pub use page::{Direction, Page};
pub use scope::TenantScope;
pub use txn::Txn;

/// The database.
#[derive(Clone)]
pub struct Store {
    write: DatabaseConnection,
    read: DatabaseConnection,
}

/// Reads one tenant's rows: from the pool, or inside a transaction that sees its own writes.
pub struct Reader<'a> {
    db: DatabaseExecutor<'a>,
    scope: TenantScope,
}

impl Reader<'_> {
    /// Whose rows.
    pub fn scope(&self) -> TenantScope {
        self.scope
    }

    /// The tenant's id, for filters.
    pub(in crate::store) fn tenant(&self) -> TenantId {
        self.scope.tenant()
    }

    /// What statements go through.
    pub(in crate::store) fn db(&self) -> &DatabaseExecutor<'_> {
        &self.db
    }
}

/// How to reach Postgres.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Connections of this process, at most.
    pub max_connections: u32,
    /// Of them, kept open when nobody needs them.
    pub min_connections: u32,
    /// How long to wait for one.
    pub acquire_timeout: Duration,
    /// How long one statement may take.
    pub statement_timeout: Duration,
}

/// Longest wait for SQLite's writer. Batches take milliseconds; a second process doing a migration takes longer.
const SQLITE_BUSY: Duration = Duration::from_secs(10);
/// Before this version, two connections that write and checkpoint at once could corrupt the file.
const SQLITE_FLOOR: (u32, u32, u32) = (3, 51, 3);

impl Store {
    /// Opens the SQLite file, making it and its folder if missing, and brings its schema up to date.
    pub async fn open_sqlite(path: &Path) -> Result<Self, StoreError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)
                .map_err(|error| StoreError::Unfit(format!("cannot make the folder {}: {error}", folder.display())))?;
        }
        let options = |read_only: bool| {
            let path = path.to_owned();
            let mut options = ConnectOptions::new("sqlite::memory:");
            options
                .max_connections(if read_only { 4 } else { 1 })
                .min_connections(1)
                .acquire_timeout(Duration::from_secs(30))
                .sqlx_logging(false)
                .map_sqlx_sqlite_opts(move |sqlite| {
                    use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
                    sqlite
                        .filename(&path)
                        .in_memory(false)
                        .shared_cache(false)
                        .create_if_missing(!read_only)
                        .read_only(read_only)
                        .journal_mode(SqliteJournalMode::Wal)
                        // Acknowledged is durable: every commit is flushed before it is answered (law 1).
                        .synchronous(SqliteSynchronous::Full)
                        .busy_timeout(SQLITE_BUSY)
                        .foreign_keys(true)
                        .statement_cache_capacity(512)
                        .pragma("cache_size", "-65536")
                        .pragma("temp_store", "memory")
                });
            options
        };
        let write = Database::connect(options(false)).await?;
        check_sqlite_version(&write).await?;
        migrate(&write).await?;
        let read = Database::connect(options(true)).await?;
        Ok(Self { write, read })
    }

    /// Connects to Postgres and brings its schema up to date.
    pub async fn open_postgres(url: &str, postgres: &PostgresOptions) -> Result<Self, StoreError> {
        let mut options = ConnectOptions::new(url);
        options
            .max_connections(postgres.max_connections)
            .min_connections(postgres.min_connections)
            .acquire_timeout(postgres.acquire_timeout)
            .connect_timeout(postgres.acquire_timeout)
            .max_lifetime(Duration::from_secs(30 * 60))
            .statement_timeout(postgres.statement_timeout)
            .sqlx_logging(false);
        let pool = Database::connect(options).await?;
        migrate(&pool).await?;
        Ok(Self { write: pool.clone(), read: pool })
    }

    /// For reading a tenant's rows outside a transaction.
    pub fn reader(&self, scope: TenantScope) -> Reader<'_> {
        Reader { db: DatabaseExecutor::Connection(&self.read), scope }
    }

    /// Answers if the database does.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.read.ping().await?;
        Ok(())
    }

    /// Closes every connection; on SQLite this also folds the write-ahead log into the file.
    pub async fn close(self) -> Result<(), StoreError> {
        self.read.close().await?;
        self.write.close().await?;
        Ok(())
    }

    /// Begins a write transaction outside any tenant.
    pub(in crate::store) async fn begin_write(&self) -> Result<DatabaseTransaction, StoreError> {
        begin_write(&self.write).await
    }
}

/// Begins a write transaction. On SQLite it takes the write lock at once: a transaction that reads first and writes later
/// would fail instead of waiting.
async fn begin_write(db: &DatabaseConnection) -> Result<DatabaseTransaction, StoreError> {
    let mode = (db.get_database_backend() == DatabaseBackend::Sqlite).then_some(SqliteTransactionMode::Immediate);
    let options = TransactionOptions { sqlite_transaction_mode: mode, ..TransactionOptions::default() };
    Ok(db.begin_with_options(options).await?)
}

/// Brings the schema up to date, or leaves it as it was. Processes that start together do this one after the other: the
/// second waits for the lock and then finds nothing left to do.
async fn migrate(db: &DatabaseConnection) -> Result<(), StoreError> {
    let txn = begin_write(db).await?;
    if db.get_database_backend() == DatabaseBackend::Postgres {
        const MIGRATION_LOCK: i64 = 0x4845_4152_4241_434B; // "HEARBACK"
        // A change to a large table may take longer than any statement of a request.
        txn.execute_unprepared("SET LOCAL statement_timeout = 0").await?;
        let lock = "SELECT pg_advisory_xact_lock($1)";
        txn.execute_raw(Statement::from_sql_and_values(DatabaseBackend::Postgres, lock, [MIGRATION_LOCK.into()]))
            .await?;
    }
    migrations::Migrator::up(&txn, None).await?;
    Ok(txn.commit().await?)
}

async fn check_sqlite_version(db: &DatabaseConnection) -> Result<(), StoreError> {
    let row = db.query_one_raw(Statement::from_string(DatabaseBackend::Sqlite, "SELECT sqlite_version() AS v")).await?;
    let text: String =
        row.ok_or_else(|| StoreError::Unfit("SQLite does not tell its version".to_owned()))?.try_get("", "v")?;
    let mut parts = text.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if version < SQLITE_FLOOR {
        return Err(StoreError::Unfit(format!("SQLite {text} can corrupt its file; 3.51.3 or later is needed")));
    }
    Ok(())
}

/// Rows of one INSERT. Both databases limit the parameters of a statement (SQLite to 32,766), and every new length is
/// a new prepared statement.
const ROWS_PER_INSERT: usize = 256;

fn chunks<T>(rows: impl IntoIterator<Item = T>) -> std::vec::IntoIter<Vec<T>> {
    let mut rows = rows.into_iter();
    let next = || {
        let chunk: Vec<T> = rows.by_ref().take(ROWS_PER_INSERT).collect();
        (!chunk.is_empty()).then_some(chunk)
    };
    std::iter::from_fn(next).collect::<Vec<_>>().into_iter()
}
