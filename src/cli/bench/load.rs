//! Many callers at once, and how long each of them waits.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use secrecy::SecretString;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::super::client::{self, CallError, Client, endpoint, request_id};
use super::process::Process;
use super::workload::Workload;
use crate::grpc::proto::placement::Decision;
use crate::grpc::proto::{self, stream_reports_response};

/// Longer ones count as this: an hour, in microseconds.
const LATENCY_MAX: u64 = 3_600_000_000;

const WARMING: u8 = 0;
const MEASURING: u8 = 1;
const STOPPING: u8 = 2;

/// How to load a server.
pub(super) struct Load {
    /// The key, if the server asks for one.
    pub(super) key: Option<SecretString>,
    /// Connections.
    pub(super) connections: u32,
    /// Reports on their way at once on each.
    pub(super) in_flight: u32,
    /// Over one stream on each connection, instead of by single calls.
    pub(super) stream: bool,
    /// Of the reports.
    pub(super) seed: u64,
    /// How long to load before measuring.
    pub(super) warm_up: Duration,
    /// How long to measure.
    pub(super) measured: Duration,
}

/// What was measured.
#[derive(Debug)]
pub(super) struct Figures {
    latencies: Histogram<u64>,
    elapsed: Duration,
    cpu: Option<Duration>,
    /// Answered reports that joined a cluster.
    pub(super) attached_count: u64,
    /// Reports that were not accepted, while warming up too.
    pub(super) error_count: u64,
    /// Why the first of them was not.
    pub(super) first_error: Option<String>,
}

impl Figures {
    fn new() -> Self {
        let latencies = Histogram::new_with_bounds(1, LATENCY_MAX, 3).expect("these bounds are well formed");
        Self { latencies, elapsed: Duration::ZERO, cpu: None, attached_count: 0, error_count: 0, first_error: None }
    }

    /// Reports that were accepted while measuring.
    pub(super) fn answered(&self) -> u64 {
        self.latencies.len()
    }

    /// Accepted reports in a second.
    pub(super) fn per_second(&self) -> f64 {
        self.answered() as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency that this share of the reports, in percent, did not exceed; in milliseconds.
    pub(super) fn latency_ms(&self, percentile: f64) -> f64 {
        self.latencies.value_at_quantile(percentile / 100.0) as f64 / 1_000.0
    }

    /// CPU time of the server for one accepted report, in microseconds.
    pub(super) fn cpu_us_per_call(&self) -> Option<f64> {
        let cpu = self.cpu?;
        (self.answered() > 0).then(|| cpu.as_micros() as f64 / self.answered() as f64)
    }

    fn answer(&mut self, phase: &AtomicU8, begin: Instant, answer: &proto::SubmitReportResponse) {
        if phase.load(Ordering::Relaxed) != MEASURING {
            return;
        }
        let micros = u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.latencies.saturating_record(micros);
        let decision = answer.placement.as_ref().map(proto::Placement::decision);
        self.attached_count += u64::from(decision == Some(Decision::Attach));
    }

    fn error(&mut self, why: impl FnOnce() -> String) {
        self.error_count += 1;
        self.first_error.get_or_insert_with(why);
    }

    fn add(&mut self, other: Self) {
        let Self { latencies, elapsed: _, cpu: _, attached_count, error_count, first_error } = other;
        self.latencies.add(latencies).expect("both have the same bounds");
        self.attached_count += attached_count;
        self.error_count += error_count;
        self.first_error = self.first_error.take().or(first_error);
    }
}

/// What all callers share.
struct Shared {
    workload: Workload,
    next: AtomicU64,
    phase: AtomicU8,
}

impl Shared {
    fn report(&self) -> proto::ReportInput {
        self.workload.report(self.next.fetch_add(1, Ordering::Relaxed))
    }

    fn is_stopping(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == STOPPING
    }
}

impl Load {
    /// Loads a server and measures.
    ///
    /// # Errors
    /// If it cannot be reached.
    pub(super) async fn run(self, server: &Process) -> anyhow::Result<Figures> {
        let shared = Arc::new(Shared {
            workload: Workload::new(self.seed),
            next: AtomicU64::new(0),
            phase: AtomicU8::new(WARMING),
        });
        let mut callers = JoinSet::new();
        for connection in 0..self.connections {
            let channel = endpoint(&server.address())?.connect().await?;
            let key = self.key.clone().unwrap_or_else(|| SecretString::from("hb_none"));
            let client = Client::new(channel, &key)?;
            if connection == 0 && self.key.is_some() {
                create_products(&client).await?;
            }
            if self.stream {
                callers.spawn(stream(client, Arc::clone(&shared), self.in_flight as usize));
            } else {
                for _ in 0..self.in_flight {
                    callers.spawn(call(client.clone(), Arc::clone(&shared)));
                }
            }
        }

        tokio::time::sleep(self.warm_up).await;
        let (begin, cpu) = (Instant::now(), server.cpu());
        shared.phase.store(MEASURING, Ordering::Relaxed);
        tokio::time::sleep(self.measured).await;
        shared.phase.store(STOPPING, Ordering::Relaxed);
        let (elapsed, cpu_after) = (begin.elapsed(), server.cpu());

        let mut figures = Figures::new();
        while let Some(caller) = callers.join_next().await {
            figures.add(caller?);
        }
        figures.elapsed = elapsed;
        figures.cpu = cpu_after.zip(cpu).map(|(after, before)| after.saturating_sub(before));
        Ok(figures)
    }
}

async fn create_products(client: &Client) -> Result<(), CallError> {
    let mut admin = client.admin();
    for key in Workload::products() {
        let request =
            proto::UpsertProductRequest { request_id: request_id(), key: key.to_owned(), ..Default::default() };
        client::call(request, async |request| admin.upsert_product(request).await).await?;
    }
    Ok(())
}

/// One caller that submits one report after the other.
async fn call(client: Client, shared: Arc<Shared>) -> Figures {
    let mut reports = client.reports();
    let mut figures = Figures::new();
    while !shared.is_stopping() {
        let request = proto::SubmitReportRequest { request_id: String::new(), report: Some(shared.report()) };
        let begin = Instant::now();
        match reports.submit_report(request).await {
            Ok(answer) => figures.answer(&shared.phase, begin, answer.get_ref()),
            Err(status) => figures.error(|| CallError::from(status).to_string()),
        }
    }
    figures
}

/// One stream that is kept full.
async fn stream(client: Client, shared: Arc<Shared>, in_flight: usize) -> Figures {
    let mut figures = Figures::new();
    if let Err(status) = fill_stream(&client, &shared, in_flight, &mut figures).await {
        figures.error(|| CallError::from(status).to_string());
    }
    figures
}

async fn fill_stream(client: &Client, shared: &Shared, in_flight: usize, figures: &mut Figures) -> Result<(), Status> {
    use stream_reports_response::Result as Answer;
    let (sender, requests) = mpsc::channel(in_flight);
    let mut sender = Some(sender);
    let mut answers = client.reports().stream_reports(ReceiverStream::new(requests)).await?.into_inner();
    // Answers come in the order sent.
    let mut sent: VecDeque<Instant> = VecDeque::with_capacity(in_flight);
    loop {
        if shared.is_stopping() {
            sender = None;
        }
        while sent.len() < in_flight
            && let Some(sender) = &sender
        {
            let request = proto::StreamReportsRequest { client_token: String::new(), report: Some(shared.report()) };
            sent.push_back(Instant::now());
            // Its room was left by the answers; if the stream broke, the next answer says so.
            let _ = sender.try_send(request);
        }
        let Some(answer) = answers.message().await? else { return Ok(()) };
        let begin = sent.pop_front().unwrap_or_else(Instant::now);
        match answer.result {
            Some(Answer::Accepted(accepted)) => figures.answer(&shared.phase, begin, &accepted),
            Some(Answer::Refused(refused)) => figures.error(|| refused.message),
            None => figures.error(|| "an acknowledgement that says nothing".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_answers_are_not_cut_short() {
        let mut figures = Figures::new();
        for micros in [1_000, 2_000, 900_000, u64::MAX] {
            figures.latencies.saturating_record(micros);
        }
        assert!((figures.latency_ms(50.0) - 2.0).abs() < 0.01, "{}", figures.latency_ms(50.0));
        assert!(figures.latency_ms(75.0) > 899.0);
        assert_eq!(figures.answered(), 4);
    }
}
