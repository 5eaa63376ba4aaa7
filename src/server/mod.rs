//! Composition: opens, wires, serves and drains. The only place that knows everything.
//!
//! [`Server::start`] opens the database, puts the [`App`] together and opens two doors: one for programs (gRPC) and one
//! for people and probes (HTTP). Every task is spawned on one tracker and ends with it. Going down has an order and a
//! deadline:
//!
//! 1. Health says so, so that balancers look elsewhere.
//! 2. Nothing new begins: no connection is accepted, no pass is run, no call is let in, streams end with what is needed
//!    to resume them, and connections are told to go away.
//! 3. Calls in progress finish; then connections have a moment to say goodbye.
//! 4. At the deadline, or when all is quiet, what is left is cut off, and the database is closed.
//!
//! Nothing is lost by a harsher end: what was acknowledged is durable, and work lives in the database.

mod channels;
mod door;
pub(crate) mod embedder;
#[cfg(test)]
mod tests;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use secrecy::ExposeSecret;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::app::App;
use crate::app::admin::FirstKey;
use crate::app::intake::Intake;
use crate::app::matcher::Save;
use crate::channel::ChannelConfigError;
use crate::clock::Clock;
use crate::config::{Config, Problem, StoreConfig};
use crate::embedder::EmbedderConfigError;
use crate::grpc::Api;
use crate::grpc::services::{Services, ServicesError};
use crate::store::{PostgresOptions, Store, StoreError};
use crate::telemetry::chain;
use crate::{http, worker};

use door::{Door, Ending, GrpcConnections};

pub use tls::TlsError;

/// How long connections without calls have to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);
/// Tasks that were told to end do so at their next `.await`; this is for those that are slow to get there.
const CUT_OFF: Duration = Duration::from_secs(5);

/// How a server is started, beyond what an operator configures.
#[derive(Debug, Clone)]
pub struct StartOptions {
    /// What tells the time.
    pub clock: Clock,
    /// Whether passes run by themselves. Tests say no and run them when they want to
    /// ([`worker::run_until_idle`]).
    pub run_passes: bool,
}

impl Default for StartOptions {
    fn default() -> Self {
        Self { clock: Clock::system(), run_passes: true }
    }
}

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Settings that cannot work.
    #[error("the configuration cannot work: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Config(Vec<Problem>),
    /// The data directory.
    #[error("cannot make the data directory {}", .path.display())]
    DataDir {
        /// Which.
        path: std::path::PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The database.
    #[error("cannot open the database")]
    Store(#[from] StoreError),
    /// A way out.
    #[error("cannot set up a channel")]
    Channel(#[from] ChannelConfigError),
    /// The embedder.
    #[error("cannot set up the embedder")]
    Embedder(#[from] EmbedderConfigError),
    /// Certificates.
    #[error("cannot offer TLS")]
    Tls(#[from] TlsError),
    /// An address.
    #[error("cannot listen on {address} ({key})")]
    Listen {
        /// The setting.
        key: &'static str,
        /// Its value.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The services.
    #[error("cannot offer the services")]
    Services(#[from] ServicesError),
    /// The first rows.
    #[error("cannot prepare the service")]
    Bootstrap(#[from] crate::app::Error),
}

/// A server, before it runs.
#[derive(Debug)]
pub struct Server;

/// A server that runs. Dropping it cuts everything off; [`Running::shut_down`] is kinder.
pub struct Running {
    /// Where programs connect; with port 0 configured, the port the system chose.
    pub grpc_address: SocketAddr,
    /// Where people and probes connect.
    pub http_address: SocketAddr,
    /// The service behind the doors.
    pub app: Arc<App>,
    /// The key made because the database was new. It is shown only now.
    pub first_key: Option<FirstKey>,
    services: Services,
    passes: Vec<JoinHandle<()>>,
    ending: Ending,
    pages_stop: CancellationToken,
    grpc_closed: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>,
    drain_timeout: Duration,
    _cut_off: DropGuard,
}

/// Opens the configured database, which brings its schema up to date.
pub async fn open_store(config: &Config) -> Result<Store, StartError> {
    match &config.store {
        StoreConfig::Sqlite { path } => {
            std::fs::create_dir_all(&config.data_dir)
                .map_err(|source| StartError::DataDir { path: config.data_dir.clone(), source })?;
            Ok(Store::open_sqlite(path).await?)
        }
        StoreConfig::Postgres { url, max_connections, min_connections, acquire_timeout, statement_timeout } => {
            let options = PostgresOptions {
                max_connections: *max_connections,
                min_connections: *min_connections,
                acquire_timeout: *acquire_timeout,
                statement_timeout: *statement_timeout,
            };
            Ok(Store::open_postgres(url.expose_secret(), &options).await?)
        }
    }
}

impl Server {
    /// Starts serving. When it returns, both doors are open.
    ///
    /// # Errors
    /// Anything that is not as configured; nothing is left running then.
    pub async fn start(config: Config, options: StartOptions) -> Result<Running, StartError> {
        config.check().map_err(StartError::Config)?;
        let ending =
            Ending { stop: CancellationToken::new(), end: CancellationToken::new(), tasks: TaskTracker::new() };
        // Whatever fails below, nothing stays behind.
        let cut_off = ending.end.clone().drop_guard();

        let bind = async |key, address| -> Result<(Door, SocketAddr), StartError> {
            let listen_error = |source| StartError::Listen { key, address, source };
            let door = Door::bind(address).await.map_err(listen_error)?;
            let bound = door.address().map_err(listen_error)?;
            Ok((door, bound))
        };
        let deliverer = channels::deliverer(&config)?;
        let tls = config.grpc.tls.as_ref().map(tls::acceptor).transpose()?;
        let (grpc_door, grpc_address) = bind("grpc.listen", config.grpc.listen).await?;
        let (http_door, http_address) = bind("http.listen", config.http.listen).await?;

        let store = open_store(&config).await?;
        let intake = Intake::new(ending.tasks.clone(), config.intake.max_batch, config.intake.queue);
        let endpoint = embedder::endpoint(&config.embedder, options.clock.clone(), ending.tasks.clone())?;
        let app = App::with_embedder(store, options.clock, intake, deliverer, endpoint);
        if config.matching.snapshots {
            let folder = config.matching.snapshot_dir.clone();
            app.matcher.keep_snapshots_in(folder.unwrap_or_else(|| config.data_dir.join("matching")));
        }
        let first_key = app.bootstrap().await?;

        let api = Api::new(app.clone(), ending.stop.clone(), ending.tasks.clone());
        let services = Services::new(api, &config.grpc, ending.stop.clone()).await?;
        services.set_serving(true).await;

        let grpc_closed = Box::pin(grpc_door.closed());
        let connections = GrpcConnections::new(&config.grpc, tls, services.front.clone(), ending.clone());
        grpc_door.open(&ending, move |stream| connections.clone().serve(stream));

        // Probes are answered until the end: a server that finishes its calls is alive, and says it is not ready.
        let pages_stop = CancellationToken::new();
        let pages = http::router(app.clone(), ending.stop.clone());
        let pages_ending = Ending { stop: pages_stop.clone(), ..ending.clone() };
        let stop = pages_stop.clone();
        http_door.open(&pages_ending, move |stream| door::serve_http(stream, pages.clone(), stop.clone()));

        // Nobody's first report has to wait for the tenant's past to be read.
        let warmed = app.clone();
        ending.spawn(async move {
            if let Err(error) = warmed.warm_matcher().await {
                warn!(error = %chain(&error), "the matching indexes are not read yet; the first reports will do it");
            }
        });

        let passes = if options.run_passes {
            let Config { reconcile, delivery, idempotency, matching, .. } = &config;
            worker::passes(&worker::Settings::new(reconcile, delivery, idempotency, matching))
                .into_iter()
                .map(|pass| ending.spawn(worker::drive(pass, app.clone(), ending.stop.clone())))
                .collect()
        } else {
            Vec::new()
        };
        info!(%grpc_address, %http_address, "serving gRPC on {grpc_address} and pages on {http_address}");
        Ok(Running {
            grpc_address,
            http_address,
            app,
            first_key,
            services,
            passes,
            ending,
            pages_stop,
            grpc_closed,
            drain_timeout: config.grpc.drain_timeout,
            _cut_off: cut_off,
        })
    }
}

impl Running {
    /// Asks the server to go down from elsewhere: whoever [waits](Running::wait) for it then drains it.
    pub fn stopper(&self) -> CancellationToken {
        self.ending.stop.clone()
    }

    /// Serves until the [stopper](Running::stopper) is cancelled, then drains.
    pub async fn wait(self) {
        self.ending.stop.cancelled().await;
        self.shut_down().await;
    }

    /// Drains, as told in the module's docs, and returns when nothing of the server is left.
    pub async fn shut_down(self) {
        info!("going down: finishing what has begun");
        self.services.set_serving(false).await;
        self.ending.stop.cancel();
        let quiet = async {
            tokio::join!(self.services.gate.quiet(), join_all(self.passes));
            // Those that never spoke, or do not listen, would never leave.
            let _ = timeout(GOODBYE, self.grpc_closed).await;
            if let Err(error) = self.app.save_indexes(Save::Last).await {
                warn!(error = %chain(&error), "the matching indexes are not kept; the next start reads the reports");
            }
        };
        if timeout(self.drain_timeout, quiet).await.is_err() {
            warn!("cutting off what did not finish within {:?}", self.drain_timeout);
        }
        self.pages_stop.cancel();
        self.ending.end.cancel();
        self.ending.tasks.close();
        if timeout(CUT_OFF, self.ending.tasks.wait()).await.is_err() {
            warn!("{} tasks do not end; leaving them", self.ending.tasks.len());
        }
        if let Err(error) = self.app.store.clone().close().await {
            warn!(error = %chain(&error), "the database did not close well");
        }
        info!("gone down");
    }
}
