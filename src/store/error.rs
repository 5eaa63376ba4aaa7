//! What can go wrong with the database, by who can put it right.

use sea_orm::{DbErr, RuntimeErr, SqlErr};

/// A failure of the database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, is busy or full: time may put it right.
    #[error("the database is not available")]
    Unavailable(#[source] DbErr),
    /// A row with this identity exists: somebody was faster.
    #[error("a row with this identity exists already")]
    Exists(#[source] DbErr),
    /// Anything else is ours.
    #[error("the database refused a statement")]
    Broken(#[source] DbErr),
    /// The database is not what this program can work with.
    #[error("{0}")]
    Unfit(String),
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) {
            return Self::Exists(error);
        }
        if is_passing(&error) { Self::Unavailable(error) } else { Self::Broken(error) }
    }
}

/// SQLite's primary result codes that pass: SQLITE_BUSY, SQLITE_LOCKED, SQLITE_IOERR, SQLITE_FULL, SQLITE_CANTOPEN.
const PASSING_SQLITE: [i64; 5] = [5, 6, 10, 13, 14];

fn is_passing(error: &DbErr) -> bool {
    let runtime = match error {
        DbErr::ConnectionAcquire(_) => return true,
        DbErr::Conn(runtime) | DbErr::Exec(runtime) | DbErr::Query(runtime) => runtime,
        _ => return false,
    };
    let RuntimeErr::SqlxError(error) = runtime else { return matches!(error, DbErr::Conn(_)) };
    match error.as_ref() {
        sea_orm::sqlx::Error::Database(database) => {
            let code = database.code().unwrap_or_default();
            // Postgres classes: 08 connection, 53 resources, 57 operator, 40 rollback, 25006 read-only after fail-over.
            let postgres = ["08", "53", "57", "40"].iter().any(|class| code.len() == 5 && code.starts_with(class));
            let sqlite = code.parse::<i64>().is_ok_and(|code| PASSING_SQLITE.contains(&(code & 0xff)));
            postgres || code == "25006" || (code.len() != 5 && sqlite)
        }
        sea_orm::sqlx::Error::Io(_)
        | sea_orm::sqlx::Error::Tls(_)
        | sea_orm::sqlx::Error::PoolTimedOut
        | sea_orm::sqlx::Error::PoolClosed
        | sea_orm::sqlx::Error::WorkerCrashed => true,
        _ => false,
    }
}
