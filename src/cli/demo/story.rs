//! The story: three products, eighteen problems, a few weeks in fast motion.
//!
//! Everything is done in gRPC, by [`acts`]. After every chapter the server gets the time it needs, and what arrived is
//! judged and told.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::super::client::Client;
use super::super::output::{short, visible, word};
use super::super::{cluster, report};
use super::Narrator;
use super::corpus::{self, ContactKind, DemoReport};
use super::inbox::{Inbox, Received, Said};
use super::judge::{Judge, Tally};
use super::stage::Stage;
use super::truth::{Case, Truth, reference_of};
use crate::grpc::proto;

mod acts;
mod lead;

/// More than there are, so that lists are whole.
const ALL: usize = 100_000;
/// How long one chapter's work may take the server.
const CHAPTER_MAX: Duration = Duration::from_secs(30);
/// How long to wait in the whole story for messages that are missing although the server seems to rest.
const PATIENCE: Duration = Duration::from_secs(10);

const PHOTO_CRASH: &str = "pocketfern-photo-crash";
const REMINDER: &str = "pocketfern-reminder-hour";
const SEARCH: &str = "pocketfern-search-umlaut";
/// In the new line and, as a backport, in the old one.
const FERN_BOTH: [&str; 2] = [PHOTO_CRASH, REMINDER];
/// In the new line only.
const FERN_NEW: [&str; 3] = ["pocketfern-sync-duplicates", "pocketfern-blank-window", SEARCH];
/// Closed in the tracker, in no release.
const FERN_CLOSED: &str = "pocketfern-fingerprint-lock";
/// Nobody has found the defect yet.
const UNLINKED: [&str; 2] = ["pocketfern-widget-stale", "siltbox-exclude-rules"];
const SILT: [&str; 3] = ["siltbox-external-drive", "siltbox-restore-empty", "siltbox-agent-cpu"];
/// Closed without a fix.
const SILT_REFUSED: &str = "siltbox-licence-key";
const BELL: [&str; 3] = ["bookabell-double-booking", "bookabell-invoice-vat", "bookabell-login-loop"];
/// Rolled out in one region only.
const BELL_REGION: &str = "bookabell-card-deposit";
const REGION: &str = "eu-west";

/// The story so far.
struct Story<'a> {
    stage: &'a Stage,
    client: &'a Client,
    narrator: &'a mut Narrator,
    truth: Truth,
    inbox: Inbox,
    judge: Judge,
    /// Those that were submitted.
    reports: Vec<DemoReport>,
    /// The server's ids of submitted reports, by reference.
    report_ids: HashMap<String, String>,
    /// The server's ids of customers.
    customer_ids: HashMap<String, String>,
    /// The one cluster of each problem.
    homes: HashMap<&'static str, String>,
    patience: Duration,
}

/// Plays the story and answers with what it came to.
///
/// # Errors
/// If the server refuses anything, or does not come to rest.
pub(super) async fn play(stage: &Stage, narrator: &mut Narrator) -> anyhow::Result<Tally> {
    let all = corpus::reports();
    let (mut late, early) = hold_back(all);
    late.extend(colleague(&early));
    let everybody: Vec<_> = early.iter().chain(&late).cloned().collect();
    let mut story = Story {
        stage,
        client: stage.client(),
        narrator,
        truth: Truth::default(),
        inbox: Inbox::new(&everybody),
        judge: Judge::default(),
        reports: Vec::new(),
        report_ids: HashMap::new(),
        customer_ids: HashMap::new(),
        homes: HashMap::new(),
        patience: PATIENCE,
    };
    story.products().await?;
    story.reports_come_in(early).await?;
    story.a_lead_looks().await?;
    story.defects().await?;
    story.pocketfern_ships().await?;
    story.some_upgrade_late().await?;
    story.bookabell_rolls_out().await?;
    story.siltbox_is_withdrawn().await?;
    story.late_reporters(late).await?;
    story.end().await
}

/// Takes out reports that come late: of two who run into a problem that is fixed by then, and of one who has it still
/// with the version that fixes it.
fn hold_back(all: Vec<DemoReport>) -> (Vec<DemoReport>, Vec<DemoReport>) {
    let mut count: HashMap<String, usize> = HashMap::new();
    for report in &all {
        *count.entry(report.customer_key.clone()).or_default() += 1;
    }
    let (mut late, mut early) = (Vec::new(), Vec::new());
    let (mut crashes, mut regressions) = (0, 0);
    for mut report in all {
        let plain = count[&report.customer_key] == 1
            && !report.opts_out_later
            && matches!(report.contacts.first(), Some((ContactKind::Email, address)) if !address.starts_with("bounced."))
            && report.version.is_some_and(|version| !report.body.contains(version));
        match report.problem {
            Some(PHOTO_CRASH) if plain && crashes < 2 => {
                crashes += 1;
                late.push(report);
            }
            Some(REMINDER) if plain && regressions < 1 => {
                regressions += 1;
                report.version = Some("2.4.2");
                late.push(report);
            }
            _ => early.push(report),
        }
    }
    (late, early)
}

/// Somebody else's words again, sent on by a colleague who has the same problem.
fn colleague(early: &[DemoReport]) -> Option<DemoReport> {
    let words = early.iter().find(|report| report.problem == Some(PHOTO_CRASH) && report.body.len() > 100)?;
    Some(DemoReport {
        source: "zendesk",
        external_id: "99001".to_owned(),
        customer_key: "robin.vale".to_owned(),
        customer_external_id: Some("usr-99001".to_owned()),
        display_name: "Robin Vale".to_owned(),
        contacts: vec![(ContactKind::Email, "robin.vale@example.org".to_owned())],
        opts_out_later: false,
        version: Some("2.4.0"),
        platform: Some("android"),
        ..words.clone()
    })
}

impl Story<'_> {
    async fn products(&mut self) -> anyhow::Result<()> {
        self.narrator.chapter("Three products");
        acts::webhook_secret(self.client).await?;
        for product in corpus::products() {
            acts::product(self.client, product).await?;
            for version in product.released {
                acts::release(self.client, product.key, version, &[]).await?;
            }
            let what = match product.scheme {
                corpus::Scheme::Semver => format!("versions {}", product.released.join(", ")),
                corpus::Scheme::Continuous => {
                    format!(
                        "one state, in rings {} and regions {}",
                        product.rings.join(", "),
                        product.regions.join(", ")
                    )
                }
            };
            self.narrator.line(&format!("   {:<18} {what}", product.name));
        }
        Ok(())
    }

    async fn reports_come_in(&mut self, early: Vec<DemoReport>) -> anyhow::Result<()> {
        self.narrator.chapter(&format!("{} reports come in", early.len()));
        let begin = Instant::now();
        let answers = acts::submit_all(self.client, &early, &self.stage.webhooks.url()).await?;
        let elapsed = begin.elapsed();
        let mut known = 0;
        for (report, answer) in early.into_iter().zip(answers) {
            known += usize::from(answer.known_problem.is_some());
            self.note(report, &answer)?;
        }
        let mut sources: BTreeMap<&str, usize> = BTreeMap::new();
        let mut by_customer: HashMap<&str, BTreeSet<&str>> = HashMap::new();
        for report in &self.reports {
            *sources.entry(report.source).or_default() += 1;
            by_customer.entry(&report.customer_key).or_default().insert(report.source);
        }
        let sources: Vec<_> = sources.iter().map(|(source, count)| format!("{count} {source}")).collect();
        let several = by_customer.values().filter(|sources| sources.len() > 1).count();
        self.narrator.line(&format!(
            "   {} in {:.1} s: {}.",
            self.reports.len(),
            elapsed.as_secs_f64(),
            sources.join(", ")
        ));
        self.narrator.line(&format!(
            "   {known} were recognised as known problems at once. {several} people wrote over several channels, and are \
             one customer each."
        ));
        self.show_clusters().await
    }

    /// Remembers a submitted report, here and in the book.
    fn note(&mut self, report: DemoReport, answer: &proto::SubmitReportResponse) -> anyhow::Result<()> {
        let stored = answer.report.as_ref().context("an accepted report is in the answer")?;
        self.truth.reported(&report);
        self.report_ids.insert(reference_of(&report), stored.id.clone());
        let known = self.customer_ids.entry(report.customer_key.clone()).or_insert_with(|| stored.customer_id.clone());
        anyhow::ensure!(*known == stored.customer_id, "{} became two customers", report.customer_key);
        self.reports.push(report);
        Ok(())
    }

    async fn show_clusters(&mut self) -> anyhow::Result<()> {
        let clusters = cluster::list(self.client, "", "report_count desc", ALL).await?;
        let placed = lead::placed(self.client, &self.reports).await?;
        let pure = lead::purity(&placed);
        let single = clusters.iter().filter(|cluster| cluster.report_count == 1).count();
        self.narrator.line(&format!(
            "   {} clusters, {single} of them with a single report; the {} problems are spread over {}. {:.1} % of the \
             reports are among their own kind.",
            clusters.len(),
            corpus::problems().len(),
            lead::spread(&placed),
            pure * 100.0
        ));
        self.narrator.line("   The largest:");
        for cluster in clusters.iter().take(6) {
            let line = format!(
                "   {:>5} reports of {:>2} customers  {}",
                cluster.report_count,
                cluster.reporter_count,
                visible(&short(&cluster.title, 60))
            );
            self.narrator.line(&line);
        }
        Ok(())
    }

    async fn a_lead_looks(&mut self) -> anyhow::Result<()> {
        self.narrator.chapter("A support lead looks the clusters over");
        let care = lead::look_over(self.client, &self.reports).await?;
        self.homes = care.homes;
        self.narrator.line(&format!(
            "   {} merges of clusters about one problem, {} reports moved that were in the wrong one. The matcher obeys \
             from now on.",
            care.merges, care.moves
        ));
        Ok(())
    }

    async fn defects(&mut self) -> anyhow::Result<()> {
        self.narrator.chapter("Engineering names the defects, and some customers have had enough");
        let mut linked = 0;
        for problem in corpus::problems().iter().filter(|problem| !UNLINKED.contains(&problem.key)) {
            acts::defect(self.client, problem, proto::defect::State::Open).await?;
            acts::link(self.client, &self.homes[problem.key], problem.tracker).await?;
            linked += 1;
        }
        let workaround = "Wake the drive in the file manager before the backup begins.";
        acts::workaround(self.client, &self.homes[SILT[0]], workaround).await?;
        for (key, state) in
            [(FERN_CLOSED, proto::defect::State::Closed), (SILT_REFUSED, proto::defect::State::ClosedWithoutFix)]
        {
            acts::defect(self.client, problem(key), state).await?;
        }
        let leaving: BTreeSet<String> = self
            .reports
            .iter()
            .filter(|report| report.opts_out_later)
            .map(|report| report.customer_key.clone())
            .collect();
        for customer in &leaving {
            acts::opt_out(self.client, &self.customer_ids[customer]).await?;
            self.truth.opted_out(customer);
        }
        self.narrator.line(&format!(
            "   {linked} defects linked, {} problems without one. {} customers unsubscribed.",
            UNLINKED.len(),
            leaving.len()
        ));
        self.narrator.line(&format!(
            "   {} was closed in the tracker. No release has it, so that tells nobody anything.",
            problem(FERN_CLOSED).tracker
        ));
        let news = self.settle().await?;
        let problems: Vec<_> = corpus::problems().iter().map(|problem| problem.key).collect();
        self.tell(&news, &problems).await
    }

    async fn pocketfern_ships(&mut self) -> anyhow::Result<()> {
        self.narrator.chapter("Pocketfern Notes 2.4.2 ships, and 2.3.7 with a part of it for the old line");
        let new_line: Vec<_> = FERN_BOTH.into_iter().chain(FERN_NEW).collect();
        self.release("pocketfern", "2.4.2", &new_line).await?;
        self.release("pocketfern", "2.3.7", &FERN_BOTH).await?;
        let news = self.settle().await?;
        self.tell(&news, &new_line).await?;
        let mail = news.iter().find(|received| received.kind == ContactKind::Email && received.said == Said::Fix);
        if let Some(mail) = mail {
            self.narrator.line("\n   One of the mails, as it arrived:");
            self.narrator.line(&format!("   │ Subject: {}\n   │", visible(&mail.subject)));
            for line in mail.text.lines() {
                self.narrator.line(format!("   │ {}", visible(line)).trim_end());
            }
        }
        Ok(())
    }

    async fn some_upgrade_late(&mut self) -> anyhow::Result<()> {
        self.narrator.chapter("Some upgrade late, and one says at last which version they run");
        let mut fixed: Vec<_> = FERN_BOTH.into_iter().chain(FERN_NEW).collect();
        let waits =
            |report: &&DemoReport, truth: &Truth| report.platform.is_some() && truth.can_hear(&report.customer_key);
        let on_old_line = |report: &DemoReport| {
            report.problem == Some(SEARCH) && report.version.is_some_and(|version| version.starts_with("2.3."))
        };
        let of_unknown_version = |report: &DemoReport| {
            report.version.is_none() && report.problem.is_some_and(|problem| fixed.contains(&problem))
        };
        let once = |report: &&DemoReport| {
            self.reports.iter().filter(|other| other.customer_key == report.customer_key).count() == 1
        };
        let waiting = || self.reports.iter().filter(|report| waits(report, &self.truth)).filter(once);
        let upgrading: Vec<DemoReport> = waiting()
            .filter(|report| on_old_line(report))
            .take(3)
            .chain(waiting().filter(|report| of_unknown_version(report)).take(1))
            .cloned()
            .collect();
        for report in &upgrading {
            let platform = report.platform.unwrap_or_default();
            acts::installation(
                self.client,
                &self.customer_ids[&report.customer_key],
                report.product,
                "2.4.2",
                platform,
            )
            .await?;
            self.truth.upgraded(&report.customer_key, report.product, "2.4.2");
            let before = report.version.unwrap_or("an unknown version");
            self.narrator.line(&format!("   {} ran {before} and runs 2.4.2 now.", visible(&report.display_name)));
        }
        let news = self.settle().await?;
        fixed.retain(|problem| upgrading.iter().any(|report| report.problem == Some(*problem)));
        self.tell(&news, &fixed).await
    }

    async fn bookabell_rolls_out(&mut self) -> anyhow::Result<()> {
        self.narrator.chapter("Bookabell 2026.46 rolls out: to 10 %, then to everybody");
        let release = self.release("bookabell", "2026.46", &BELL).await?;
        acts::deployment(self.client, &release, None, 10).await?;
        let news = self.settle().await?;
        self.narrator.line("   At 10 % nobody can say who has it:");
        self.tell(&news, &BELL).await?;
        acts::deployment(self.client, &release, None, 100).await?;
        self.truth.rolled_out("2026.46", None);
        let news = self.settle().await?;
        self.narrator.line("   At 100 %:");
        self.tell(&news, &BELL).await?;

        let release = self.release("bookabell", "2026.47", &[BELL_REGION]).await?;
        acts::deployment(self.client, &release, Some(REGION), 100).await?;
        self.truth.rolled_out("2026.47", Some(REGION));
        let news = self.settle().await?;
        self.narrator.line(&format!("   2026.47 reaches {REGION} only:"));
        self.tell(&news, &[BELL_REGION]).await
    }

    async fn siltbox_is_withdrawn(&mut self) -> anyhow::Result<()> {
        self.narrator.chapter("Siltbox Backup 5.2.2 ships, proves bad, and is withdrawn");
        let release = self.release("siltbox", "5.2.2", &SILT).await?;
        let news = self.settle().await?;
        self.tell(&news, &SILT).await?;

        let told = self.judge.standing(&SILT);
        acts::yank(self.client, &release, "It cannot read backups of version 5.1.").await?;
        self.truth.yanked("siltbox", "5.2.2");
        let news = self.settle().await?;
        let left = self.judge.standing(&SILT);
        self.narrator.line(&format!(
            "   Withdrawn. {} had been told it helps them; {} of them are corrected:",
            told.len(),
            told.difference(&left).count()
        ));
        self.tell(&news, &SILT).await?;

        self.release("siltbox", "5.2.3", &SILT).await?;
        let news = self.settle().await?;
        let again: BTreeSet<Case> = self.judge.standing(&SILT).intersection(&told).cloned().collect();
        self.narrator.line(&format!("   5.2.3 has it right. {} hear again:", again.len()));
        self.tell(&news, &SILT).await
    }

    async fn late_reporters(&mut self, late: Vec<DemoReport>) -> anyhow::Result<()> {
        self.narrator.chapter("Late reporters");
        let mut problems = Vec::new();
        for report in late {
            let Some(problem) = report.problem else { continue };
            let answer = acts::submit(self.client, &report, &self.stage.webhooks.url()).await?;
            let said = match (&answer.fixed_in, &answer.known_problem) {
                (Some(fixed), _) => format!(
                    "is told in the same breath: fixed in {} ({})",
                    visible(&fixed.version),
                    word(fixed.verdict().as_str_name(), "VERDICT_")
                ),
                (None, Some(_)) => {
                    "is recognised as a known problem; nothing says that it is fixed for them".to_owned()
                }
                (None, None) => "is not recognised; the lead will find the cluster".to_owned(),
            };
            let version = report.version.unwrap_or("?");
            self.narrator.line(&format!("   {}, on {version}, {said}.", visible(&report.display_name)));
            let placed = answer.report.as_ref().map(|report| report.cluster_id.clone()).unwrap_or_default();
            if report.version == Some("2.4.2") {
                self.truth.regressed((report.customer_key.clone(), problem));
            }
            self.note(report.clone(), &answer)?;
            let home = &self.homes[problem];
            if placed != *home {
                acts::move_report(self.client, &self.report_ids[&reference_of(&report)], home).await?;
            }
            problems.push(problem);
        }
        let news = self.settle().await?;
        self.tell(&news, &problems).await
    }

    async fn end(self) -> anyhow::Result<Tally> {
        let clusters = cluster::list(self.client, "", "", ALL).await?.len();
        let loops = loops(self.client, |_| true).await?;
        let mut tally = self.judge.tally(&self.truth, clusters, &loops);
        if tally.reports != self.reports.len() {
            tally.problems.push(format!(
                "{} reports were submitted, and {} are there",
                self.reports.len(),
                tally.reports
            ));
        }
        Ok(tally)
    }

    async fn release(
        &mut self,
        product: &'static str,
        version: &str,
        fixes: &[&'static str],
    ) -> anyhow::Result<String> {
        let defects: Vec<_> = fixes.iter().map(|key| problem(key).tracker).collect();
        self.truth.released(product, version, fixes);
        Ok(acts::release(self.client, product, version, &defects).await?)
    }

    /// Waits until the server has done its part, and takes note of what arrived.
    async fn settle(&mut self) -> anyhow::Result<Vec<Received>> {
        let mut news = Vec::new();
        loop {
            self.stage.quiet(Instant::now() + CHAPTER_MAX).await?;
            let arrived = self.inbox.fetch(self.stage);
            self.judge.hear(&self.truth, &arrived);
            let is_waste = arrived.is_empty();
            news.extend(arrived);
            if self.judge.forgotten(&self.truth).is_empty() || self.patience.is_zero() {
                return Ok(news);
            }
            if is_waste {
                let pause = Duration::from_millis(250).min(self.patience);
                tokio::time::sleep(pause).await;
                self.patience -= pause;
            }
        }
    }

    /// Says who was told what, and why the others who have these problems were not.
    async fn tell(&mut self, news: &[Received], problems: &[&'static str]) -> anyhow::Result<()> {
        let by = |kind| news.iter().filter(|received| received.kind == kind).count();
        let ways = [
            (ContactKind::Email, "by mail"),
            (ContactKind::Webhook, "by webhook"),
            (ContactKind::Stream, "by the help desk"),
        ];
        let ways: Vec<_> = ways
            .iter()
            .map(|(kind, way)| (by(*kind), way))
            .filter(|(count, _)| *count > 0)
            .map(|(count, way)| format!("{count} {way}"))
            .collect();
        if news.is_empty() {
            self.narrator.line("   Nobody is told anything.");
        } else {
            self.narrator.line(&format!("   {} messages arrive: {}.", news.len(), ways.join(", ")));
        }
        for received in news.iter().take(3) {
            let name = self.reports.iter().find(|report| Some(&report.customer_key) == received.customer.as_ref());
            let name = name.map_or("?", |report| &report.display_name);
            self.narrator.line(&format!("     {} ← {}", visible(name), visible(&short(&received.subject, 72))));
        }
        let ids: BTreeSet<&String> = self
            .reports
            .iter()
            .filter(|report| report.problem.is_some_and(|problem| problems.contains(&problem)))
            .filter_map(|report| self.report_ids.get(&reference_of(report)))
            .collect();
        let loops = loops(self.client, |report| ids.contains(&report.id)).await?;
        let told: usize = loops.iter().filter(|((state, _), _)| state == "TOLD").map(|(_, count)| count).sum();
        self.narrator.line(&format!("   Of {} reports {told} are answered. The others:", ids.len()));
        for ((state, reason), count) in loops.iter().filter(|((state, _), _)| state != "TOLD") {
            let ends = if state == "CLOSED" { "closed" } else { "waits" };
            self.narrator.line(&format!("   {count:>5} {ends:<7} {reason:<24} {}", in_words(reason)));
        }
        Ok(())
    }
}

fn problem(key: &str) -> &'static corpus::Problem {
    corpus::problems().iter().find(|problem| problem.key == key).expect("the story names problems of the corpus")
}

/// Loops of reports by state and reason.
async fn loops(
    client: &Client,
    wanted: impl Fn(&proto::Report) -> bool,
) -> anyhow::Result<BTreeMap<(String, String), usize>> {
    let mut loops = BTreeMap::new();
    for report in report::list(client, "", "create_time", ALL).await?.iter().filter(|report| wanted(report)) {
        let state = word(report.loop_state().as_str_name(), "LOOP_STATE_");
        *loops.entry((state, report.loop_reason.clone())).or_default() += 1;
    }
    Ok(loops)
}

/// What the reason of a loop means.
fn in_words(reason: &str) -> &'static str {
    match reason {
        "no_defect_linked" => "nobody has named a defect",
        "waiting_for_release" => "no release has the fix",
        "waiting_for_rollout" => "the fix has not reached what they run",
        "coverage_unknown" => "nobody knows which version they run",
        "regression_reported" => "reported from a version that has the fix: it did not help",
        "closed_without_fix" => "there will be no fix",
        "not_applicable" => "the fix will not come to what they run",
        "opted_out" => "they want to hear nothing",
        "no_contact_point" => "nobody knows how to reach them",
        "bounced" => "their mailbox does not exist",
        _ => "",
    }
}
