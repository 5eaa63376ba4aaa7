//! How fast one text finds its place among many clusters, and beside it what a team would otherwise use.
//!
//! The engine runs as the service runs it, in this process and on one thread: a text is read, compared, and decided.
//! Clusters are generated ([`Workload`]), one report each; a query tells the problem of one of them in other words. A hit
//! is that cluster among the first ten. The baselines get the same texts and the same queries in the same run.
//!
//! The clusters are read by several threads and inserted by one, as the service does when it has no snapshot.

use std::hint::black_box;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::Globals;
use super::super::output::{OutputFormat, print_json, print_line};
use super::rounded;
use super::workload::{Workload, mix};
use crate::domain::id::{ClusterId, ReportId};
use crate::matching::{Features, Index, Policy, Text};

mod scan;
#[cfg(feature = "baselines")]
mod tantivy;

/// As many candidates are asked for.
const FIRST: usize = 10;
/// New reports for which it is measured when the next one finds them.
const NEWCOMERS: u64 = 50;
/// Texts that a thread reads at a time while the index is filled; few, as what it holds of them counts as memory, too.
const PAGE: u64 = 100;
/// Texts that are read before memory is measured.
const WARMING: u64 = 2_000;
/// Queries that the exact scan is asked: it reads everything each time.
const SCANS: u64 = 50;

/// Among how many, and how often.
#[derive(Debug, clap::Args)]
pub(crate) struct MatchArgs {
    /// Clusters that are known.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=5_000_000))]
    clusters: u64,
    /// Texts that are matched.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    queries: u64,
    /// Measure the engine alone.
    #[arg(long)]
    no_baselines: bool,
    /// The same texts in every run with the same number.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print JSON, like --output json.
    #[arg(long)]
    json: bool,
}

/// What is searched: the text of each cluster and, of each query, the cluster that it is about.
struct Task {
    workload: Workload,
    clusters: u64,
    queries: u64,
}

impl Task {
    fn text(&self, cluster: u64) -> (String, String) {
        self.workload.telling(cluster, 0)
    }

    fn texts(&self) -> impl Iterator<Item = (String, String)> {
        (0..self.clusters).map(|cluster| self.text(cluster))
    }

    /// Reads the clusters' texts by as many threads as there are processors, and hands them to `take` in their order.
    fn read_all(&self, mut take: impl FnMut(u64, &Features)) {
        let readers = std::thread::available_parallelism().map_or(1, usize::from);
        let page = |number: u64| (number * PAGE)..((number + 1) * PAGE).min(self.clusters);
        let pages = self.clusters.div_ceil(PAGE);
        std::thread::scope(|scope| {
            let reading: Vec<_> = (0..pages.min(readers as u64))
                .map(|first| {
                    let (send, receive) = mpsc::sync_channel(1);
                    scope.spawn(move || {
                        for number in (first..pages).step_by(readers) {
                            let texts = page(number).map(|cluster| self.text(cluster));
                            let read: Vec<Features> = texts.map(|(title, body)| read(&title, &body)).collect();
                            if send.send(read).is_err() {
                                return;
                            }
                        }
                    });
                    receive
                })
                .collect();
            for (number, receive) in (0..pages).zip(reading.iter().cycle()) {
                let Ok(features) = receive.recv() else { return };
                page(number).zip(&features).for_each(|(cluster, features)| take(cluster, features));
            }
        });
    }

    /// The cluster that query `number` is about, and its words.
    fn query(&self, number: u64) -> (u64, String, String) {
        let about = self.workload.pick(number, self.clusters);
        let (title, body) = self.workload.telling(about, number + 1);
        (about, title, body)
    }

    /// A report about something new, and another one about the same.
    fn newcomer(&self, number: u64) -> [(String, String); 2] {
        [0, 1].map(|teller| self.workload.telling(self.clusters + number, teller))
    }
}

/// What one contestant came to.
struct Figures {
    name: &'static str,
    latencies: Vec<Duration>,
    /// On the processor, over all queries; `None` where the system does not tell.
    cpu: Option<Duration>,
    hits: u64,
    /// Of the first contestant only: those after it use again what it gave back.
    bytes_per_cluster: Option<f64>,
    /// From when a report was given until a query found it.
    visible_after: Option<Duration>,
    /// How long it took to make, read and insert all clusters; of the engine only.
    filled_in: Option<Duration>,
}

impl Figures {
    fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
        sorted.get(at).map_or(0.0, |latency| latency.as_secs_f64() * 1_000.0)
    }

    fn share_of_hits(&self) -> f64 {
        self.hits as f64 / self.latencies.len().max(1) as f64
    }

    fn json(&self) -> Value {
        let queries = self.latencies.len().max(1) as f64;
        json!({
            "p50_ms": rounded(self.percentile(50), 4),
            "p99_ms": rounded(self.percentile(99), 4),
            "cpu_us_per_match": self.cpu.map(|cpu| rounded(cpu.as_secs_f64() * 1e6 / queries, 1)),
            "bytes_per_cluster": self.bytes_per_cluster.map(|bytes| rounded(bytes, 0)),
            "filled_in_s": self.filled_in.map(|filled| rounded(filled.as_secs_f64(), 2)),
            "visible_after_ms": self.visible_after.map(|after| rounded(after.as_secs_f64() * 1_000.0, 4)),
            "hit_at_10": rounded(self.share_of_hits(), 4),
            "queries": self.latencies.len(),
        })
    }

    fn line(&self) -> String {
        let or_unknown = |number: Option<f64>| number.map_or_else(|| "unknown".to_owned(), |n| format!("{n:.3}"));
        format!(
            "{:<12} p50 {:.3} ms, p99 {:.3} ms, hit@10 {:.3}, bytes/cluster {}, visible after {} ms",
            self.name,
            self.percentile(50),
            self.percentile(99),
            self.share_of_hits(),
            or_unknown(self.bytes_per_cluster),
            or_unknown(self.visible_after.map(|after| after.as_secs_f64() * 1_000.0)),
        )
    }
}

/// Asks all queries, one after the other.
fn ask(
    task: &Task,
    queries: u64,
    mut search: impl FnMut(&str, &str) -> Vec<u64>,
) -> (Vec<Duration>, Option<Duration>, u64) {
    let mut latencies = Vec::new();
    let mut hits = 0;
    let mut cpu = Duration::ZERO;
    let mut cpu_is_known = true;
    for number in 0..queries {
        let (about, title, body) = task.query(number);
        let (before, begin) = (thread_cpu(), Instant::now());
        let found = black_box(search(&title, &body));
        latencies.push(begin.elapsed());
        match before.zip(thread_cpu()) {
            Some((before, after)) => cpu += after.saturating_sub(before),
            None => cpu_is_known = false,
        }
        hits += u64::from(found.iter().take(FIRST).any(|&cluster| cluster == about));
    }
    (latencies, cpu_is_known.then_some(cpu), hits)
}

/// What this thread has had of a processor; `None` where the system does not tell.
fn thread_cpu() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    stat.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// What this process holds in memory; `None` where the system does not tell.
fn resident_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok().map(|kilobytes| kilobytes * 1_024.0)
}

/// What holding the clusters adds to the memory of this process, for each of them.
fn measured<T>(task: &Task, build: impl FnOnce() -> T) -> (T, Option<f64>) {
    let before = resident_bytes();
    let built = build();
    let grown = before.zip(resident_bytes()).map(|(before, after)| (after - before) / task.clusters as f64);
    (built, grown)
}

fn median(mut durations: Vec<Duration>) -> Option<Duration> {
    durations.sort_unstable();
    durations.get(durations.len() / 2).copied()
}

fn read(title: &str, body: &str) -> Features {
    Features::of(&Text { product: None, fingerprint: None, title, body })
}

/// The id of the cluster of this number: as good as drawn by lot, and it tells the number, so that nothing beside the index
/// has to remember it.
fn named(number: u64) -> ClusterId {
    let drawn = mix(number);
    ClusterId::from_uuid(Uuid::from_u64_pair(drawn, drawn ^ number))
}

fn number_of(cluster: ClusterId) -> u64 {
    let (drawn, both) = cluster.uuid().as_u64_pair();
    drawn ^ both
}

/// The engine of the service.
fn engine(task: &Task) -> anyhow::Result<Figures> {
    // The program's own tables are not what the clusters take.
    for number in 0..WARMING {
        let (_, title, body) = task.query(number);
        black_box(read(&title, &body));
    }
    let begin = Instant::now();
    let (mut index, bytes_per_cluster) = measured(task, || {
        let mut index = Index::new(Policy::default());
        task.read_all(|number, features| index.insert(ReportId::new(), named(number), false, features));
        index
    });
    let filled_in = Some(begin.elapsed());
    let (latencies, cpu, hits) = ask(task, task.queries, |title, body| {
        let (_, candidates) = index.place_among(&read(title, body), FIRST);
        candidates.iter().map(|candidate| number_of(candidate.cluster)).collect()
    });
    let mut visible = Vec::new();
    for number in 0..NEWCOMERS {
        let [first, second] = task.newcomer(number);
        let begin = Instant::now();
        let cluster = named(task.clusters + number);
        index.insert(ReportId::new(), cluster, false, &read(&first.0, &first.1));
        let found = index.candidates(&read(&second.0, &second.1), FIRST);
        visible.push(begin.elapsed());
        let is_found = found.iter().any(|candidate| candidate.cluster == cluster);
        is_found.then_some(()).context("a report was not found by the next one about the same")?;
    }
    let visible_after = median(visible);
    Ok(Figures { name: "hearback", latencies, cpu, hits, bytes_per_cluster, visible_after, filled_in })
}

/// Runs the verb.
///
/// # Errors
/// If a new report is not found at once, or a baseline fails.
pub(super) fn run(args: &MatchArgs, globals: &Globals) -> anyhow::Result<()> {
    let task = Task { workload: Workload::new(args.seed), clusters: args.clusters, queries: args.queries };
    let engine = engine(&task)?;
    let mut baselines = Vec::new();
    if !args.no_baselines {
        baselines.push(scan::measure(&task));
        #[cfg(feature = "baselines")]
        baselines.push(tantivy::measure(&task)?);
    }
    if args.json || globals.output == OutputFormat::Json {
        let mut all = engine.json();
        all["clusters"] = json!(args.clusters);
        all["optimised"] = json!(!cfg!(debug_assertions));
        for baseline in &baselines {
            all[baseline.name] = baseline.json();
        }
        return Ok(print_json(&all)?);
    }
    print_line(&format!("{} clusters, one thread", args.clusters))?;
    print_line(&engine.line())?;
    if let Some(filled_in) = engine.filled_in {
        print_line(&format!("filled in {:.1} s by all processors", filled_in.as_secs_f64()))?;
    }
    for baseline in &baselines {
        print_line(&baseline.line())?;
    }
    if !args.no_baselines && !cfg!(feature = "baselines") {
        print_line("tantivy is measured by a build with --features baselines")?;
    }
    Ok(())
}
