//! `hearback report`: submits one report, lists those there are, or explains why one is where it is.

use std::io::Read as _;

use anyhow::Context as _;
use uuid::Uuid;

use super::Globals;
use super::client::{self, CallError, Client, ClientArgs, request_id};
use super::import::parse_moment;
use super::output::{OutputFormat, Table, message, moment, print_json, print_line, short, visible, word};
use crate::grpc::proto;

/// Submit, list or explain reports.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum ReportCommand {
    /// Submit one report and print what is known about the problem.
    Submit(Box<Submit>),
    /// List reports, newest first.
    List(List),
    /// Say why a report is where it is: what was decided when it came and by what, and who put it there.
    Explain(Explain),
}

/// What a report says.
#[derive(Debug, clap::Args)]
pub(crate) struct Submit {
    #[command(flatten)]
    client: ClientArgs,
    /// The customer's headline.
    #[arg(long)]
    title: Option<String>,
    /// The customer's words; `-` reads them from standard input.
    #[arg(long)]
    body: Option<String>,
    /// The system that took the report.
    #[arg(long, default_value = "cli")]
    source: String,
    /// The report's reference there; the same one again is answered with the first answer. Made up if left out.
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,
    /// The product, by its key or id.
    #[arg(long)]
    product: Option<String>,
    /// The version the customer runs.
    #[arg(long, value_name = "VERSION")]
    product_version: Option<String>,
    /// The platform.
    #[arg(long)]
    platform: Option<String>,
    /// The deployment environment the customer uses.
    #[arg(long)]
    environment: Option<String>,
    /// The region the customer is served from.
    #[arg(long)]
    region: Option<String>,
    /// The rollout ring of the customer.
    #[arg(long)]
    ring: Option<String>,
    /// Your own grouping key.
    #[arg(long)]
    fingerprint: Option<String>,
    /// A label; may be given several times.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// When it happened, as 2026-05-03T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    occurred_time: Option<prost_types::Timestamp>,
    #[command(flatten)]
    reporter: Reporter,
}

/// Who reports. At least one of customer, reporter id and address is needed.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Reporter")]
struct Reporter {
    /// A known customer, `cus_…`.
    #[arg(long, value_name = "ID")]
    customer: Option<String>,
    /// Your own id of the customer.
    #[arg(long, value_name = "ID")]
    reporter: Option<String>,
    /// How to address them.
    #[arg(long, value_name = "NAME")]
    reporter_name: Option<String>,
    /// Their mail address; may be given several times.
    #[arg(long = "email", value_name = "ADDRESS")]
    emails: Vec<String>,
    /// A webhook that tells them; may be given several times.
    #[arg(long = "webhook", value_name = "URL")]
    webhooks: Vec<String>,
    /// Their reference in a help desk that posts announcements itself; may be given several times.
    #[arg(long = "stream", value_name = "REFERENCE")]
    streams: Vec<String>,
    /// Their language, as en-GB.
    #[arg(long)]
    locale: Option<String>,
    /// Their time zone, as Europe/Berlin.
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
}

/// Which reports.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    client: ClientArgs,
    /// Terms joined by AND, as: loop_state = OPEN AND cluster_id = clu_…
    #[arg(long, default_value = "")]
    filter: String,
    /// At most this many.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// `create_time desc` or `create_time`.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ORDER")]
    order_by: String,
}

/// Which report.
#[derive(Debug, clap::Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    client: ClientArgs,
    /// The report, `rep_…`.
    report: String,
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Runs the verb.
///
/// # Errors
/// What the server or the way to it refuses.
pub(crate) async fn run(command: ReportCommand, globals: &Globals) -> anyhow::Result<()> {
    match command {
        ReportCommand::Submit(submit) => submit.run(globals).await,
        ReportCommand::List(list) => list.run(globals).await,
        ReportCommand::Explain(explain) => explain.run(globals).await,
    }
}

impl Submit {
    async fn run(self, globals: &Globals) -> anyhow::Result<()> {
        let mut api = self.client.client()?.reports();
        let body = match self.body {
            Some(body) if body == "-" => {
                let mut text = String::new();
                std::io::stdin().read_to_string(&mut text).context("standard input is not text")?;
                text
            }
            body => body.unwrap_or_default(),
        };
        let report = proto::ReportInput {
            source: self.source,
            external_id: self.external_id.unwrap_or_else(|| Uuid::now_v7().to_string()),
            reporter: Some(self.reporter.input()),
            product: self.product.unwrap_or_default(),
            title: self.title.unwrap_or_default(),
            body,
            version: self.product_version.unwrap_or_default(),
            platform: self.platform.unwrap_or_default(),
            environment: self.environment.unwrap_or_default(),
            region: self.region.unwrap_or_default(),
            ring: self.ring.unwrap_or_default(),
            fingerprint: self.fingerprint.unwrap_or_default(),
            labels: self.labels.into_iter().collect(),
            occurred_time: self.occurred_time,
        };
        let request = proto::SubmitReportRequest { request_id: request_id(), report: Some(report) };
        let answer = client::call(request, async |request| api.submit_report(request).await).await?;
        match globals.output {
            OutputFormat::Json => print_json(&message("hearback.v1.SubmitReportResponse", &answer))?,
            OutputFormat::Table => print_line(&in_words(&answer))?,
        }
        Ok(())
    }
}

impl Reporter {
    fn input(self) -> proto::Reporter {
        let points = [
            (proto::Channel::Email, self.emails),
            (proto::Channel::Webhook, self.webhooks),
            (proto::Channel::Stream, self.streams),
        ];
        proto::Reporter {
            customer_id: self.customer.unwrap_or_default(),
            external_id: self.reporter.unwrap_or_default(),
            display_name: self.reporter_name.unwrap_or_default(),
            contact_points: points
                .into_iter()
                .flat_map(|(channel, addresses)| addresses.into_iter().map(move |address| (channel, address)))
                .map(|(channel, address)| proto::ContactPointInput { channel: channel.into(), address })
                .collect(),
            locale: self.locale.unwrap_or_default(),
            time_zone: self.time_zone.unwrap_or_default(),
        }
    }
}

fn in_words(answer: &proto::SubmitReportResponse) -> String {
    let report = answer.report.clone().unwrap_or_default();
    let placement = answer.placement.clone().unwrap_or_default();
    let again = if answer.replayed { " (accepted before; nothing was changed)" } else { "" };
    let mut lines = vec![
        format!("report    {}{again}", report.id),
        format!(
            "cluster   {} ({}, score {:.2})",
            report.cluster_id,
            word(placement.decision().as_str_name(), "DECISION_"),
            placement.score
        ),
    ];
    if !placement.suggested_cluster_id.is_empty() {
        lines.push(format!("resembles {}", placement.suggested_cluster_id));
    }
    if let Some(known) = &answer.known_problem {
        let state = word(known.state().as_str_name(), "STATE_");
        lines.push(format!("known     {} ({state}, {} reports)", visible(&known.title), known.report_count));
        if !known.workaround.is_empty() {
            lines.push(format!("meanwhile {}", visible(&known.workaround)));
        }
    }
    if let Some(fixed) = &answer.fixed_in {
        let verdict = word(fixed.verdict().as_str_name(), "VERDICT_");
        lines.push(format!("fixed in  {} ({verdict}, {})", visible(&fixed.version), fixed.rule));
    }
    if !answer.missing_facts.is_empty() {
        lines.push(format!("ask for   {}", answer.missing_facts.join(", ")));
    }
    lines.join("\n")
}

impl List {
    async fn run(self, globals: &Globals) -> anyhow::Result<()> {
        let client = self.client.client()?;
        let reports = list(&client, &self.filter, &self.order_by, self.limit as usize).await?;
        match globals.output {
            OutputFormat::Json => {
                let reports: Vec<_> = reports.iter().map(|report| message("hearback.v1.Report", report)).collect();
                print_json(&serde_json::json!({ "reports": reports }))?;
            }
            OutputFormat::Table => table(&reports).print()?,
        }
        Ok(())
    }
}

impl Explain {
    async fn run(self, globals: &Globals) -> anyhow::Result<()> {
        let mut api = self.client.client()?.reports();
        let request = proto::ExplainReportRequest { report_id: self.report };
        let why = client::call(request, async |request| api.explain_report(request).await).await?;
        match globals.output {
            OutputFormat::Json => print_json(&message("hearback.v1.ExplainReportResponse", &why))?,
            OutputFormat::Table => print_line(&explained(&why))?,
        }
        Ok(())
    }
}

/// Why a report is where it is: then, by which reasons, near to what, and now.
fn explained(why: &proto::ExplainReportResponse) -> String {
    let placement = why.placement.clone().unwrap_or_default();
    let decision = word(placement.decision().as_str_name(), "DECISION_");
    let mut lines = vec![
        format!("came      {}", moment(why.create_time.as_ref())),
        format!("decided   {decision}, score {:.2}, cluster {}", placement.score, placement.cluster_id),
    ];
    if !placement.suggested_cluster_id.is_empty() {
        lines.push(format!("resembles {}", placement.suggested_cluster_id));
    }
    if let Some(grounds) = &why.grounds {
        let proto::PlacementGrounds { matcher_version, attach_threshold, suggest_threshold, nearest: _ } = grounds;
        lines.push(format!(
            "by        matcher {matcher_version}, which attached from {attach_threshold:.2} and asked from \
             {suggest_threshold:.2}"
        ));
    }
    let membership = why.membership.clone().unwrap_or_default();
    let who = match membership.origin() {
        proto::membership::Origin::Human => format!("by {}", membership.actor),
        _ => "by the matcher".to_owned(),
    };
    let step = if why.operation_id.is_empty() { String::new() } else { format!(", {}", why.operation_id) };
    lines.push(format!("now in    {} ({who}: {}{step})", why.cluster_id, visible(&membership.reason)));
    if !placement.signals.is_empty() {
        let mut table = Table::new(["WEIGHT", "SIGNAL", "WHAT IT SAW"]);
        for signal in &placement.signals {
            table.row([format!("{:+.2}", signal.weight), signal.name.clone(), short(&signal.detail, 100)]);
        }
        lines.extend([String::new(), table.text()]);
    }
    let nearest = why.grounds.as_ref().map(|grounds| grounds.nearest.as_slice()).unwrap_or_default();
    if !nearest.is_empty() {
        let mut table = Table::new(["SCORE", "NEAR TO", "IN CLUSTER", "TITLE"]);
        for near in nearest {
            let (report, cluster) = (near.report_id.clone(), near.cluster_id.clone());
            table.row([format!("{:.2}", near.score), report, cluster, short(&near.title, 60)]);
        }
        lines.extend([String::new(), table.text()]);
    }
    lines.join("\n")
}

/// The reports that a filter finds, at most `limit`.
///
/// # Errors
/// What the server or the way to it refuses.
pub(crate) async fn list(
    client: &Client,
    filter: &str,
    order_by: &str,
    limit: usize,
) -> Result<Vec<proto::Report>, CallError> {
    let mut api = client.reports();
    client::pages(limit, async |page_size, page_token| {
        let (filter, order_by) = (filter.to_owned(), order_by.to_owned());
        let request = proto::ListReportsRequest { page_size, page_token, filter, order_by };
        let page = client::call(request, async |request| api.list_reports(request).await).await?;
        Ok((page.reports, page.next_page_token))
    })
    .await
}

/// Reports as a table.
pub(crate) fn table(reports: &[proto::Report]) -> Table {
    let mut table = Table::new(["REPORT", "REFERENCE", "LOOP", "CLUSTER", "CREATED", "TITLE"]);
    for report in reports {
        let state = word(report.loop_state().as_str_name(), "LOOP_STATE_");
        let headline = if report.title.is_empty() { &report.body } else { &report.title };
        table.row([
            report.id.clone(),
            short(&format!("{}/{}", report.source, report.external_id), 40),
            format!("{state} {}", report.loop_reason),
            report.cluster_id.clone(),
            moment(report.create_time.as_ref()),
            short(headline, 60),
        ]);
    }
    table
}
