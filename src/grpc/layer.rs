//! What every call passes, whatever it asks for.
//!
//! tonic's own limits answer with codes that clients do not retry, or not at all; so one layer, [`Front`], stands before
//! all services and does what they must agree on, in this order:
//!
//! 1. A server that goes down, has too much to do, or is sent too much metadata says so before it reads the request.
//! 2. A single call ends at the caller's deadline or the server's own, whichever is earlier; a stream at the caller's.
//! 3. A handler that panics costs its own call and nothing else.
//! 4. Errors that tonic makes by itself get the `ErrorInfo` that all others have.
//! 5. One log line tells what was called, how it ended and how long it took; never what was said.
//!
//! [`Gate`] is the part that all calls share, and where the server waits until the last of them has ended. Which methods
//! there are, and which of them stream, is read from the API's descriptors, so there is no list to keep. Health checks
//! need neither room nor a server that stays.

use std::any::Any;
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use tower::Service;
use tracing::{debug, info};

use super::proto::ErrorReason;
use super::status::{DOMAIN, reason_text};
use crate::app::Error;

/// How many calls there may be, and how long they may take.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Calls in progress in the whole process.
    pub(crate) max_in_flight: usize,
    /// No single call runs longer.
    pub(crate) request_timeout: Duration,
}

/// What all calls share.
pub(crate) struct Gate {
    methods: HashMap<String, Method>,
    room: Arc<Semaphore>,
    size: u32,
    request_timeout: Duration,
    shutdown: CancellationToken,
}

/// One method of one service.
#[derive(Debug)]
struct Method {
    /// Either side sends a stream.
    streams: bool,
    /// Answers whatever the server's state.
    always: bool,
}

impl Gate {
    /// A gate to the services of these descriptor sets. From the moment `shutdown` is cancelled it lets nobody in.
    pub(crate) fn new(
        limits: &Limits,
        shutdown: CancellationToken,
        descriptors: &[&[u8]],
    ) -> Result<Self, prost::DecodeError> {
        let mut methods = HashMap::new();
        for set in descriptors {
            for file in prost_types::FileDescriptorSet::decode(*set)?.file {
                for service in &file.service {
                    let name = format!("{}.{}", file.package(), service.name());
                    for method in &service.method {
                        let streams = method.client_streaming() || method.server_streaming();
                        let always = name == HEALTH;
                        methods.insert(format!("/{name}/{}", method.name()), Method { streams, always });
                    }
                }
            }
        }
        let size = u32::try_from(limits.max_in_flight).unwrap_or(u32::MAX);
        Ok(Self {
            methods,
            room: Arc::new(Semaphore::new(limits.max_in_flight.min(Semaphore::MAX_PERMITS))),
            size,
            request_timeout: limits.request_timeout,
            shutdown,
        })
    }

    /// Returns when no call is in progress. Only a gate that lets nobody in stays quiet.
    pub(crate) async fn quiet(&self) {
        let _all = self.room.acquire_many(self.size).await.expect("nobody closes the semaphore");
    }

    fn admit(&self, always: bool) -> Result<Option<OwnedSemaphorePermit>, Status> {
        if always {
            return Ok(None);
        }
        if self.shutdown.is_cancelled() {
            return Err(Error::ShuttingDown.into());
        }
        self.room.clone().try_acquire_owned().map(Some).map_err(|_| Error::Overloaded.into())
    }
}

/// Most bytes of a call's metadata, counted as HTTP/2 does.
const MAX_METADATA_BYTES: usize = 16 * 1024;
/// What HTTP/2 counts for each entry beside its name and value (RFC 9113, 6.5.2).
const ENTRY_OVERHEAD: usize = 32;
const HEALTH: &str = "grpc.health.v1.Health";
/// What the log calls a method that does not exist: its name is the caller's text.
const UNKNOWN: &str = "_OTHER";

/// The services behind their [`Gate`].
#[derive(Clone)]
pub(crate) struct Front {
    routes: Routes,
    gate: Arc<Gate>,
}

impl Front {
    /// These services behind this gate.
    pub(crate) fn new(routes: Routes, gate: Arc<Gate>) -> Self {
        Self { routes: routes.prepare(), gate }
    }
}

impl<B> Service<Request<B>> for Front
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(())) // Whoever finds no room is told so, not kept waiting.
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (rpc, method) = match self.gate.methods.get_key_value(request.uri().path()) {
            Some((path, method)) => (path.trim_start_matches('/').to_owned(), Some(method)),
            None => (UNKNOWN.to_owned(), None),
        };
        let mut record = Record { rpc, begin: Instant::now(), code: None };
        let admitted = check_metadata(request.headers())
            .and_then(|()| self.gate.admit(method.is_some_and(|method| method.always)));
        let permit = match admitted {
            Ok(permit) => permit,
            Err(status) => {
                record.code = Some(status.code());
                return Box::pin(std::future::ready(Ok(status.into_http())));
            }
        };
        let asked = timeout_of(request.headers());
        let streams = method.is_some_and(|method| method.streams);
        let timeout = if streams {
            asked
        } else {
            Some(asked.map_or(self.gate.request_timeout, |asked| asked.min(self.gate.request_timeout)))
        };
        let mut deadline = timeout.map(|timeout| Box::pin(tokio::time::sleep(timeout)));
        let handler = AssertUnwindSafe(self.routes.call(request)).catch_unwind();
        Box::pin(async move {
            let outcome = match deadline.as_mut() {
                Some(deadline) => tokio::select! {
                    biased; // An answer that is there in time is not thrown away.
                    outcome = handler => Some(outcome),
                    () = deadline => None,
                },
                None => Some(handler.await),
            };
            let mut response = match outcome {
                Some(Ok(Ok(response))) => response,
                Some(Ok(Err(never))) => match never {},
                Some(Err(panic)) => panicked(panic.as_ref()).into_http(),
                None => deadline_exceeded().into_http(),
            };
            // An answer without a body has its status in the headers.
            record.code = complete(response.headers_mut());
            Ok(response.map(|body| Answer {
                inner: Some(body),
                // A single answer that was begun is finished; a stream may go on for hours.
                deadline: deadline.filter(|_| streams),
                record,
                _permit: permit,
            }))
        })
    }
}

/// The body of an answer. The call is in progress, and not yet in the log, until it was sent or nobody wants it.
#[derive(Default)]
pub(crate) struct Answer {
    inner: Option<tonic::body::Body>,
    deadline: Option<Pin<Box<Sleep>>>,
    record: Record,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Answer {
    /// Ends the answer early, with this status.
    fn end(&mut self, status: &Status) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.inner = None;
        self.record.code = Some(status.code());
        let mut trailers = HeaderMap::new();
        Poll::Ready(Some(status.add_header(&mut trailers).map(|()| Frame::trailers(trailers))))
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| Pin::new(inner).poll_frame(context)));
        match polled {
            Err(panic) => this.end(&panicked(panic.as_ref())),
            Ok(Poll::Pending) => {
                let passed = this.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(context).is_ready());
                if passed { this.end(&deadline_exceeded()) } else { Poll::Pending }
            }
            Ok(Poll::Ready(Some(Ok(frame)))) => Poll::Ready(Some(Ok(match frame.into_trailers() {
                Ok(mut trailers) => {
                    this.record.code = complete(&mut trailers);
                    Frame::trailers(trailers)
                }
                Err(data) => data,
            }))),
            Ok(last) => last,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

/// One call, for the log: written when it is dropped, so that calls are told of whose caller has gone.
struct Record {
    rpc: String,
    begin: Instant,
    code: Option<Code>,
}

impl Default for Record {
    /// Of an answer that was refused at the gate, whose own record is written there.
    fn default() -> Self {
        Self { rpc: String::new(), begin: Instant::now(), code: None }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if self.rpc.is_empty() {
            return;
        }
        let rpc = &self.rpc;
        let elapsed_ms = u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        let code = self.code.unwrap_or(Code::Cancelled);
        match code {
            // What an operator would ask about. The rest is between the caller and the service.
            Code::Unknown | Code::DeadlineExceeded | Code::Internal | Code::Unavailable | Code::DataLoss => {
                info!(rpc, ?code, elapsed_ms, "{rpc} ended with {code:?}");
            }
            _ => debug!(rpc, ?code, elapsed_ms, "{rpc} ended with {code:?}"),
        }
    }
}

fn with_reason(code: Code, reason: ErrorReason, message: impl Into<String>) -> Status {
    let details = ErrorDetails::with_error_info(reason_text(reason), DOMAIN, HashMap::new());
    Status::with_error_details(code, message, details)
}

fn deadline_exceeded() -> Status {
    with_reason(
        Code::DeadlineExceeded,
        ErrorReason::DeadlineExceeded,
        "the deadline passed before the answer was ready",
    )
}

fn panicked(_panic: &(dyn Any + Send)) -> Status {
    // What a panic says may quote a report; the process's panic hook has logged where it was.
    Error::Internal("a handler panicked".into()).into()
}

/// Reads the status of an answer that has ended and, if tonic made it, gives it what our own errors have.
fn complete(headers: &mut HeaderMap) -> Option<Code> {
    let code = Code::from_bytes(headers.get(Status::GRPC_STATUS)?.as_bytes());
    if code == Code::Ok || headers.contains_key(Status::GRPC_STATUS_DETAILS) {
        return Some(code);
    }
    let message = Status::from_header_map(headers)?.message().to_owned();
    let status = match code {
        Code::OutOfRange | Code::ResourceExhausted
            if message.contains("too large") || message.contains("size limit") =>
        {
            // tonic calls it out of range, which clients take for the end of a list.
            let message = message.trim_start_matches("Error, ");
            with_reason(
                Code::ResourceExhausted,
                ErrorReason::MessageTooLarge,
                format!("{message}; send or ask for less at once"),
            )
        }
        Code::Unimplemented if message.is_empty() => {
            with_reason(code, ErrorReason::Unsupported, "this server has no such method")
        }
        Code::Unimplemented => with_reason(code, ErrorReason::Unsupported, message),
        // Our own internal errors carry details, so the message could not be read. tonic blames the server for that,
        // which would wake an operator for what a caller sent.
        Code::Internal => with_reason(Code::InvalidArgument, ErrorReason::MessageMalformed, message),
        _ => return Some(code),
    };
    // A status of ours is plain text and base64, which headers can hold.
    let _ = status.add_header(headers);
    Some(status.code())
}

/// Refuses more metadata than anybody needs. The connection takes more, because what it refuses has no gRPC status, and
/// clients call that an unknown error.
fn check_metadata(headers: &HeaderMap) -> Result<(), Status> {
    let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ENTRY_OVERHEAD).sum();
    if size <= MAX_METADATA_BYTES {
        return Ok(());
    }
    Err(with_reason(
        Code::ResourceExhausted,
        ErrorReason::MessageTooLarge,
        format!("metadata too large: found {size} bytes, the limit is: {MAX_METADATA_BYTES} bytes; send less"),
    ))
}

/// The caller's deadline: up to eight digits and a unit. Anything else is no deadline.
fn timeout_of(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 60 * 60)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Empty, Full};
    use tonic::service::AxumRouter;

    use super::super::proto::DESCRIPTORS;
    use super::*;

    const UNARY: &str = "/hearback.v1.ReportService/GetReport";
    const STREAM: &str = "/hearback.v1.EventService/Watch";

    fn front(router: AxumRouter, max_in_flight: usize) -> Front {
        let limits = Limits { max_in_flight, request_timeout: Duration::from_millis(40) };
        let sets = [DESCRIPTORS, tonic_health::pb::FILE_DESCRIPTOR_SET];
        let gate = Gate::new(&limits, CancellationToken::new(), &sets).expect("descriptors of the build");
        Front::new(Routes::from(router), Arc::new(gate))
    }

    /// Answers every method with what a function makes.
    fn always<F, R>(answer: F) -> AxumRouter
    where
        F: Fn() -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<tonic::body::Body>> + Send,
    {
        AxumRouter::new().fallback(answer)
    }

    fn request(path: &str) -> Request<Empty<Bytes>> {
        Request::post(path).body(Empty::new()).expect("a request")
    }

    async fn call(front: &Front, request: Request<Empty<Bytes>>) -> Status {
        let response = front.clone().call(request).await.expect("never fails");
        let (parts, body) = response.into_parts();
        let trailers = body.collect().await.expect("a whole body").trailers().cloned();
        Status::from_header_map(trailers.as_ref().unwrap_or(&parts.headers)).expect("a status")
    }

    fn reason(status: &Status) -> String {
        status.get_details_error_info().expect("every error has it").reason
    }

    fn timed(path: &str, timeout: &'static str) -> Request<Empty<Bytes>> {
        let mut request = request(path);
        request.headers_mut().insert("grpc-timeout", timeout.parse().expect("plain text"));
        request
    }

    #[tokio::test]
    async fn a_single_call_ends_at_the_earlier_deadline_and_a_stream_only_at_the_callers() {
        let front = front(always(std::future::pending), 10);
        for (request, at_least_ms) in
            [(request(UNARY), 40), (timed(UNARY, "20m"), 20), (timed(UNARY, "1H"), 40), (timed(STREAM, "60m"), 60)]
        {
            let begin = Instant::now();
            let status = call(&front, request).await;
            assert_eq!((status.code(), reason(&status)), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".to_owned()));
            assert!(begin.elapsed() >= Duration::from_millis(at_least_ms));
        }
        let endless = tokio::time::timeout(Duration::from_millis(200), call(&front, request(STREAM)));
        assert!(endless.await.is_err(), "nobody set a deadline");
    }

    #[tokio::test]
    async fn a_stream_that_has_begun_ends_at_the_callers_deadline() {
        let silent = || async {
            let body = http_body_util::StreamBody::new(futures::stream::pending::<Result<Frame<Bytes>, Status>>());
            Response::new(tonic::body::Body::new(body))
        };
        let status = call(&front(always(silent), 10), timed(STREAM, "50m")).await;
        assert_eq!(status.code(), Code::DeadlineExceeded);
    }

    #[tokio::test]
    async fn a_call_that_finds_no_room_is_told_to_come_back_but_health_is_not() {
        let front = front(always(|| async { Status::ok("").into_http() }), 1);
        let mut waiting = front.clone();
        let first = waiting.call(request(UNARY)).await.expect("never fails");
        let status = call(&front, request(UNARY)).await;
        assert_eq!((status.code(), reason(&status)), (Code::Unavailable, "OVERLOADED".to_owned()));
        assert!(status.get_details_retry_info().is_some());
        assert_eq!(call(&front, request("/grpc.health.v1.Health/Check")).await.code(), Code::Ok);
        assert!(front.gate.quiet().now_or_never().is_none(), "the first answer is still on its way");
        drop(first);
        assert_eq!(call(&front, request(UNARY)).await.code(), Code::Ok);
        assert!(front.gate.quiet().now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_server_that_goes_down_lets_nobody_in_but_health() {
        let front = front(always(|| async { Status::ok("").into_http() }), 1);
        front.gate.shutdown.cancel();
        let status = call(&front, request(UNARY)).await;
        assert_eq!((status.code(), reason(&status)), (Code::Unavailable, "SHUTTING_DOWN".to_owned()));
        assert_eq!(call(&front, request("/grpc.health.v1.Health/Check")).await.code(), Code::Ok);
    }

    #[tokio::test]
    async fn too_much_metadata_is_refused_with_a_reason() {
        let front = front(always(|| async { Status::ok("").into_http() }), 1);
        let with = |size: usize| {
            let mut request = request(UNARY);
            request.headers_mut().insert("x-note", "x".repeat(size).parse().expect("plain text"));
            request
        };
        assert_eq!(call(&front, with(MAX_METADATA_BYTES - 38)).await.code(), Code::Ok);
        let status = call(&front, with(MAX_METADATA_BYTES - 37)).await;
        assert_eq!((status.code(), reason(&status)), (Code::ResourceExhausted, "MESSAGE_TOO_LARGE".to_owned()));
    }

    #[tokio::test]
    async fn a_panic_costs_one_call() {
        let front = front(always(|| async { panic!("a bug that quotes a report") }), 1);
        for _ in 0..2 {
            let status = call(&front, request(UNARY)).await;
            assert_eq!((status.code(), reason(&status)), (Code::Internal, "INTERNAL".to_owned()));
            assert!(!status.message().contains("quotes"));
        }
    }

    #[tokio::test]
    async fn errors_that_tonic_makes_have_what_ours_have() {
        for (made, code, expected) in [
            (
                Status::out_of_range("Error, decoded message length too large: found 9 bytes, the limit is: 4 bytes"),
                Code::ResourceExhausted,
                "MESSAGE_TOO_LARGE",
            ),
            (
                Status::resource_exhausted("Error decompressing: size limit, of 4 bytes, exceeded"),
                Code::ResourceExhausted,
                "MESSAGE_TOO_LARGE",
            ),
            (Status::unimplemented(""), Code::Unimplemented, "UNSUPPORTED"),
            (Status::internal("failed to decode Protobuf message"), Code::InvalidArgument, "MESSAGE_MALFORMED"),
            (Error::CursorUnknown.into(), Code::OutOfRange, "CURSOR_UNKNOWN"),
        ] {
            let front = front(always(move || std::future::ready(made.clone().into_http())), 1);
            let status = call(&front, request(UNARY)).await;
            assert_eq!((status.code(), reason(&status).as_str()), (code, expected));
            assert!(!status.message().is_empty());
        }
    }

    #[tokio::test]
    async fn the_status_of_a_stream_is_completed_in_its_trailers() {
        let late = || async {
            let mut trailers = HeaderMap::new();
            Status::out_of_range("Error, decoded message length too large").add_header(&mut trailers).expect("plain");
            let body = Full::new(Bytes::from_static(b"x")).with_trailers(async { Some(Ok(trailers)) });
            Response::new(tonic::body::Body::new(body))
        };
        let status = call(&front(always(late), 1), request(STREAM)).await;
        assert_eq!((status.code(), reason(&status)), (Code::ResourceExhausted, "MESSAGE_TOO_LARGE".to_owned()));
    }

    #[test]
    fn only_well_formed_timeouts_are_obeyed() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().expect("a header"));
            timeout_of(&headers)
        };
        assert_eq!(read("250m"), Some(Duration::from_millis(250)));
        assert_eq!(read("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        for wrong in ["", "5", "S", "-5S", "123456789S", "5X", "5 S", "1.5S"] {
            assert_eq!(read(wrong).filter(|timeout| !timeout.is_zero()), None, "{wrong:?}");
        }
    }
}
