//! Lines over `StreamReports`, with a window of lines that wait for their acknowledgement.
//!
//! Lines are settled in their order: a line counts once it and all lines before it were answered. So the counts always
//! belong to one line number, which is what a checkpoint needs, and refused lines are printed in order. When the stream
//! breaks, or the server is too busy for a report, what was not answered is sent again on a new one.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::time::Duration;

use indicatif::ProgressBar;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use super::super::client::{self, CallError, Client, backoff, request_id};
use super::super::output::visible;
use super::checkpoint::{Checkpoint, Counts};
use super::input::Input;
use super::record::Mapper;
use crate::domain::id::ClusterId;
use crate::grpc::proto::{self, stream_reports_response};

/// Lines read ahead of the window.
const READ_AHEAD: usize = 64;
/// How often to remember how far it came.
const TICK: Duration = Duration::from_secs(1);
/// Broken streams in a row without one answer: a minute of trying, with their pauses.
const FAILURES_MAX: u32 = 10;

/// One line, read.
pub(super) struct Line {
    number: u64,
    report: Result<proto::ReportInput, Vec<proto::FieldViolation>>,
}

/// Reads lines after `after` in a thread of its own. The task answers with the fields that were left out.
pub(super) fn read(
    mut input: Input,
    mut mapper: Mapper,
    after: u64,
) -> (mpsc::Receiver<Line>, JoinHandle<anyhow::Result<BTreeSet<String>>>) {
    let (sender, lines) = mpsc::channel(READ_AHEAD);
    let reader = tokio::task::spawn_blocking(move || {
        while let Some(row) = input.next()? {
            if row.number <= after {
                continue;
            }
            let report = match row.fields {
                Ok(fields) => mapper.report(fields),
                Err(description) => Err(vec![proto::FieldViolation { field: "line".to_owned(), description }]),
            };
            if sender.blocking_send(Line { number: row.number, report }).is_err() {
                break; // The import stopped; it says why.
            }
        }
        Ok(mapper.into_ignored())
    });
    (lines, reader)
}

/// What became of a line.
enum Settled {
    Accepted,
    Replayed,
    Refused(String),
}

/// A line that is not settled yet.
struct Open {
    number: u64,
    report: proto::ReportInput,
    settled: Option<Settled>,
}

/// An import in progress.
pub(super) struct Import<'a> {
    /// The server.
    pub(super) client: &'a Client,
    /// Lines that may wait for their answer.
    pub(super) window: usize,
    /// Whether products that do not exist are created.
    pub(super) creates_products: bool,
    /// What is on the screen.
    pub(super) bar: &'a ProgressBar,
    /// Told how far it came, now and then.
    pub(super) progress: &'a (dyn Fn(&Counts) + Sync),
}

/// What an import has to remember between streams.
struct State<'a> {
    lines: mpsc::Receiver<Line>,
    at_end: bool,
    open: VecDeque<Open>,
    counts: Counts,
    clusters: HashSet<ClusterId>,
    products: Products,
    checkpoint: Option<&'a mut Checkpoint>,
}

impl Import<'_> {
    /// Sends every line, beginning with these counts. Answers with the counts at the end and the number of clusters
    /// that were touched.
    ///
    /// # Errors
    /// What the server refuses for good, or that it stays away.
    pub(super) async fn run(
        &self,
        lines: mpsc::Receiver<Line>,
        checkpoint: Option<&mut Checkpoint>,
        start: Counts,
    ) -> Result<(Counts, usize), CallError> {
        let mut state = State {
            lines,
            at_end: false,
            open: VecDeque::new(),
            counts: start,
            clusters: HashSet::new(),
            products: Products { known: HashSet::new(), creates: self.creates_products },
            checkpoint,
        };
        let mut failures = 0;
        loop {
            let before = state.counts;
            let ended = self.stream(&mut state).await;
            self.remember(&mut state);
            let status = match ended {
                Ok(()) => return Ok((state.counts, state.clusters.len())),
                Err(status) => status,
            };
            failures = if state.counts == before { failures + 1 } else { 1 };
            if failures > FAILURES_MAX || !is_passing(&status) {
                return Err(status.into());
            }
            let pause = backoff(failures, &status);
            if failures > 1 {
                let error = CallError::from(status);
                self.bar.suspend(|| eprintln!("{error}; trying again in {}", humantime::format_duration(pause)));
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// One stream, to the end of the lines or until it breaks.
    async fn stream(&self, state: &mut State<'_>) -> Result<(), Status> {
        // The window fits, so that sending never waits.
        let (sender, requests) = mpsc::channel(self.window);
        for open in state.open.iter().filter(|open| open.settled.is_none()) {
            send(&sender, open);
        }
        let mut sender = Some(sender);
        let mut answers = self.client.reports().stream_reports(ReceiverStream::new(requests)).await?.into_inner();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if state.at_end && state.open.is_empty() {
                sender = None;
            }
            tokio::select! {
                answer = answers.message() => match answer? {
                    Some(answer) => self.answered(state, answer)?,
                    None if sender.is_none() => return Ok(()),
                    None => return Err(Status::unavailable("the server ended the stream")),
                },
                line = state.lines.recv(), if !state.at_end && state.open.len() < self.window => match line {
                    Some(line) => self.take(state, line, sender.as_ref()).await?,
                    None => state.at_end = true,
                },
                _ = tick.tick() => self.remember(state),
            }
        }
    }

    async fn take(
        &self,
        state: &mut State<'_>,
        line: Line,
        sender: Option<&mpsc::Sender<proto::StreamReportsRequest>>,
    ) -> Result<(), Status> {
        let Line { number, report } = line;
        let open = match report {
            Ok(report) => Open { number, report, settled: None },
            Err(violations) => {
                let refused = Settled::Refused(words("", &violations));
                Open { number, report: proto::ReportInput::default(), settled: Some(refused) }
            }
        };
        // It stands in the queue before anything can fail, so that it is not lost.
        let product = open.report.product.clone();
        state.open.push_back(open);
        if !product.is_empty() {
            state.products.ensure(self.client, self.bar, product).await?;
        }
        if let (Some(sender), Some(open)) = (sender, state.open.back().filter(|open| open.settled.is_none())) {
            send(sender, open);
        }
        self.settle(state);
        Ok(())
    }

    fn answered(&self, state: &mut State<'_>, answer: proto::StreamReportsResponse) -> Result<(), Status> {
        use stream_reports_response::Result as Answer;
        let Ok(number) = answer.client_token.parse::<u64>() else {
            return Err(Status::internal("the server acknowledged a line that was not sent"));
        };
        let Ok(index) = state.open.binary_search_by_key(&number, |open| open.number) else { return Ok(()) };
        let settled = match answer.result {
            Some(Answer::Accepted(accepted)) => {
                let report = accepted.report.unwrap_or_default();
                state.clusters.extend(report.cluster_id.parse::<ClusterId>().ok());
                if accepted.replayed { Settled::Replayed } else { Settled::Accepted }
            }
            // Too busy is not a refusal of the line.
            Some(Answer::Refused(refused)) if is_passing_code(Code::from(refused.code)) => {
                return Err(Status::new(Code::from(refused.code), refused.message));
            }
            Some(Answer::Refused(refused)) => Settled::Refused(words(&refused.message, &refused.field_violations)),
            None => return Err(Status::internal("the server's acknowledgement says nothing")),
        };
        state.open[index].settled = Some(settled);
        self.settle(state);
        Ok(())
    }

    /// Counts the answered lines at the front.
    fn settle(&self, state: &mut State<'_>) {
        while let Some(open) = state.open.pop_front_if(|open| open.settled.is_some()) {
            state.counts.line = open.number;
            match open.settled {
                Some(Settled::Accepted) => state.counts.accepted += 1,
                Some(Settled::Replayed) => state.counts.replayed += 1,
                Some(Settled::Refused(why)) => {
                    state.counts.refused += 1;
                    self.bar.suspend(|| eprintln!("line {}: {why}", open.number));
                }
                None => {}
            }
        }
    }

    fn remember(&self, state: &mut State<'_>) {
        (self.progress)(&state.counts);
        if let Some(checkpoint) = &mut state.checkpoint {
            checkpoint.save(state.counts);
        }
    }
}

fn send(sender: &mpsc::Sender<proto::StreamReportsRequest>, open: &Open) {
    let request =
        proto::StreamReportsRequest { client_token: open.number.to_string(), report: Some(open.report.clone()) };
    // Closed only when the stream broke, which the next answer says.
    let _ = sender.try_send(request);
}

/// Whether trying again later may help.
fn is_passing(status: &Status) -> bool {
    // Without a word of the server the connection broke; tonic calls that unknown or, for a reset stream, internal.
    let is_broken = matches!(status.code(), Code::Unknown | Code::Internal | Code::Cancelled)
        && CallError::from(status.clone()).reason.is_empty();
    is_broken || is_passing_code(status.code())
}

fn is_passing_code(code: Code) -> bool {
    matches!(code, Code::Unavailable | Code::DeadlineExceeded | Code::Aborted)
}

/// What is wrong with a line, on one line.
fn words(message: &str, violations: &[proto::FieldViolation]) -> String {
    if violations.is_empty() {
        return visible(message);
    }
    let all: Vec<_> = violations.iter().map(|wrong| format!("{}: {}", wrong.field, wrong.description)).collect();
    visible(&all.join("; "))
}

/// The products that are known to exist.
struct Products {
    known: HashSet<String>,
    creates: bool,
}

impl Products {
    async fn ensure(&mut self, client: &Client, bar: &ProgressBar, key: String) -> Result<(), Status> {
        if !self.creates || self.known.contains(&key) {
            return Ok(());
        }
        let mut admin = client.admin();
        let get = proto::GetProductRequest { product: key.clone() };
        let mut answer = client::call(get, async |request| admin.get_product(request).await).await.map(drop);
        if matches!(&answer, Err(error) if error.code == Code::NotFound) {
            let create =
                proto::UpsertProductRequest { request_id: request_id(), key: key.clone(), ..Default::default() };
            answer = client::call(create, async |request| admin.upsert_product(request).await).await.map(drop);
        }
        match answer {
            Ok(()) => {}
            // The reports of a product that cannot be created are refused by the server, each with its reason.
            Err(error) if error.code == Code::InvalidArgument => {}
            Err(error) if error.code == Code::PermissionDenied => {
                self.creates = false;
                bar.suspend(|| eprintln!("products are not created: {error}"));
            }
            Err(error) => return Err(Status::new(error.code, error.to_string())),
        }
        self.known.insert(key);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
