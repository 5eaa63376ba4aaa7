//! A database for one test: a SQLite file in a temporary folder, or a Postgres database of its own.

use std::env;
use std::path::Path;
use std::time::Duration;

use hearback::config::StoreConfig;
use sea_orm::{ConnectOptions, ConnectionTrait, Database as Connection};
use tempfile::TempDir;
use url::Url;

/// Where Postgres is, if the tests are to use it.
pub(crate) fn postgres_url() -> Option<String> {
    env::var("TEST_DATABASE_URL").ok().filter(|url| !url.is_empty())
}

/// Removed with everything in it when dropped.
pub(crate) struct Database {
    folder: TempDir,
    postgres: Option<Postgres>,
}

struct Postgres {
    server: String,
    name: String,
}

impl Database {
    /// An empty one.
    pub(crate) async fn fresh() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let postgres = match postgres_url() {
            None => None,
            Some(server) => {
                let name = format!("it_{}", uuid::Uuid::now_v7().simple());
                execute(&server, &format!("CREATE DATABASE {name}")).await;
                Some(Postgres { server, name })
            }
        };
        Self { folder, postgres }
    }

    /// Where a server keeps its other files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// How a server finds it.
    pub(crate) fn store(&self) -> StoreConfig {
        match &self.postgres {
            None => StoreConfig::Sqlite { path: self.folder().join("hearback.db") },
            Some(postgres) => StoreConfig::Postgres {
                url: postgres.url().into(),
                max_connections: 8,
                min_connections: 0,
                acquire_timeout: Duration::from_secs(30),
                statement_timeout: Duration::from_secs(30),
            },
        }
    }

    /// The same as flags of the command line.
    pub(crate) fn flags(&self) -> Vec<String> {
        let mut flags = vec![format!("data_dir={}", self.folder().display())];
        if let Some(postgres) = &self.postgres {
            flags.push("store.kind=postgres".to_owned());
            flags.push(format!("store.url={}", postgres.url()));
        }
        flags
    }
}

impl Postgres {
    fn url(&self) -> String {
        let mut url = Url::parse(&self.server).expect("TEST_DATABASE_URL is a URL");
        url.set_path(&self.name);
        url.into()
    }
}

async fn execute(server: &str, sql: &str) {
    let mut options = ConnectOptions::new(server);
    options.max_connections(1).sqlx_logging(false);
    let db = Connection::connect(options).await.expect("TEST_DATABASE_URL can be reached");
    db.execute_unprepared(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    db.close().await.expect("the connection closes");
}

impl Drop for Database {
    fn drop(&mut self) {
        let Some(postgres) = self.postgres.take() else { return };
        // Dropped inside a runtime, which must not be blocked on: a thread has its own.
        let drop_it = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", postgres.name);
            runtime.block_on(execute(&postgres.server, &sql));
        });
        let _ = drop_it.join();
    }
}
