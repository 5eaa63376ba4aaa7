//! A listener and its connections, each of which can be ended: gently when the server goes down or the connection has
//! grown old, and for good when the time for that is over. Ready-made loops offer no deadline, and wait for ever for a
//! connection that never says anything.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rand::Rng;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::config::GrpcConfig;
use crate::grpc::layer::Front;
use crate::telemetry::chain;

/// Open connections of one door. Beyond that new ones wait in the kernel's queue.
const MAX_CONNECTIONS: u32 = 4096;
/// From the first byte until both sides know how to talk; also for the head of a page request.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// What is refused here has no gRPC status, so it is more than any client sends by mistake; what calls may send is for the
/// front to say.
const MAX_HEADER_BYTES: u32 = 64 * 1024;
/// How long to wait after a failure to accept: most likely too many files are open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What every HTTP/2 client says first.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// For browsers and probes that came to the wrong door.
const WRONG_DOOR: &[u8] = b"HTTP/1.1 426 Upgrade Required\r\nupgrade: h2c\r\nconnection: close\r\n\
    content-type: text/plain\r\n\r\nThis port speaks gRPC over HTTP/2. Pages have another one.\n";

/// When and how everything ends.
#[derive(Clone)]
pub(super) struct Ending {
    /// Begin nothing new.
    pub(super) stop: CancellationToken,
    /// End at once.
    pub(super) end: CancellationToken,
    /// Owns every task.
    pub(super) tasks: TaskTracker,
}

impl Ending {
    /// Runs a task until it is done or everything ends.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> tokio::task::JoinHandle<()> {
        let end = self.end.clone();
        self.tasks.spawn(async move {
            end.run_until_cancelled_owned(task).await;
        })
    }
}

/// Lets hyper run its streams as tasks of ours.
impl<F> hyper::rt::Executor<F> for Ending
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, task: F) {
        self.spawn(async move {
            task.await;
        });
    }
}

/// A bound listener.
pub(super) struct Door {
    listener: TcpListener,
    connections: Arc<Semaphore>,
}

impl Door {
    /// Binds the address.
    pub(super) async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self { listener, connections: Arc::new(Semaphore::new(MAX_CONNECTIONS as usize)) })
    }

    /// Where it listens; with port 0 the one the system chose.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Tells when every connection is closed.
    pub(super) fn closed(&self) -> impl Future<Output = ()> + Send + 'static {
        let connections = self.connections.clone();
        async move {
            let _all = connections.acquire_many(MAX_CONNECTIONS).await.expect("nobody closes the semaphore");
        }
    }

    /// Accepts connections until told to stop, and serves each as a task of its own.
    pub(super) fn open<F, C>(self, ending: &Ending, serve: F)
    where
        F: Fn(TcpStream) -> C + Send + Sync + 'static,
        C: Future<Output = ()> + Send + 'static,
    {
        let ending = ending.clone();
        ending.clone().spawn(async move {
            let accept = async {
                loop {
                    let place = self.connections.clone().acquire_owned().await.expect("nobody closes the semaphore");
                    match self.listener.accept().await {
                        Ok((stream, _)) => {
                            // Answers are small and somebody waits for them.
                            let _ = stream.set_nodelay(true);
                            let connection = serve(stream);
                            ending.spawn(async move {
                                connection.await;
                                drop(place);
                            });
                        }
                        Err(error) => {
                            warn!(error = %chain(&error), "a connection could not be accepted");
                            sleep(ACCEPT_PAUSE).await;
                        }
                    }
                }
            };
            ending.stop.run_until_cancelled(accept).await;
        });
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// How connections of programs are served.
#[derive(Clone)]
pub(super) struct GrpcConnections {
    http2: hyper::server::conn::http2::Builder<Ending>,
    tls: Option<TlsAcceptor>,
    max_age: Duration,
    front: Front,
    ending: Ending,
}

impl GrpcConnections {
    pub(super) fn new(config: &GrpcConfig, tls: Option<TlsAcceptor>, front: Front, ending: Ending) -> Self {
        let mut http2 = hyper::server::conn::http2::Builder::new(ending.clone());
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(config.max_concurrent_streams)
            .max_header_list_size(MAX_HEADER_BYTES)
            .keep_alive_interval(config.keepalive_interval)
            .keep_alive_timeout(config.keepalive_timeout);
        Self { http2, tls, max_age: config.max_connection_age, front, ending }
    }

    /// Serves one connection until it is closed.
    pub(super) async fn serve(self, stream: TcpStream) {
        let stream = match timeout(HANDSHAKE, greet(stream, self.tls)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return debug!(error = %chain(&error), "a connection failed before its first call"),
            Err(_) => return debug!("a connection was closed because nothing was said"),
        };
        // The preface has been read; HTTP/2 wants to read it too.
        let (read, write) = tokio::io::split(stream);
        let stream = tokio::io::join(PREFACE.as_slice().chain(read), write);
        let connection = self.http2.serve_connection(TokioIo::new(stream), TowerToHyperService::new(self.front));
        let mut connection = pin!(connection);
        // All that connected at once, after a restart, should not come back at once.
        let age = self.max_age.mul_f64(rand::rng().random_range(0.9..1.1));
        let early = tokio::select! {
            closed = connection.as_mut() => Some(closed),
            () = self.ending.stop.cancelled() => None,
            () = sleep(age) => None,
        };
        let closed = match early {
            Some(closed) => closed,
            None => {
                // Further calls are sent elsewhere; it ends when those under way have.
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = closed {
            debug!(error = %chain(&error), "a connection broke");
        }
    }
}

/// TLS, if it is spoken here, and the preface of HTTP/2.
async fn greet(stream: TcpStream, tls: Option<TlsAcceptor>) -> io::Result<Box<dyn Stream>> {
    let mut stream: Box<dyn Stream> = match tls {
        Some(tls) => Box::new(tls.accept(stream).await?),
        None => Box::new(stream),
    };
    let mut said = [0; PREFACE.len()];
    let mut length = 0;
    while length < said.len() {
        let count = stream.read(&mut said[length..]).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        length += count;
        if said[..length] != PREFACE[..length] {
            stream.write_all(WRONG_DOOR).await?;
            stream.shutdown().await?;
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it does not speak HTTP/2"));
        }
    }
    Ok(stream)
}

/// Serves one connection of a browser, a mail program or a probe.
pub(super) async fn serve_http(stream: TcpStream, pages: axum::Router, stop: CancellationToken) {
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HANDSHAKE)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(pages));
    let mut connection = pin!(connection);
    let closed = tokio::select! {
        closed = connection.as_mut() => closed,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = closed {
        debug!(error = %chain(&error), "a page connection broke");
    }
}
