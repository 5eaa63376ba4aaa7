//! `hearback cluster`: lists and searches clusters, or shows one with its reports.

use super::Globals;
use super::client::{self, CallError, Client, ClientArgs};
use super::output::{OutputFormat, Table, message, moment, print_json, print_line, short, visible, word};
use super::report;
use crate::grpc::proto;

/// List, search or show clusters.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum ClusterCommand {
    /// List clusters, newest first.
    List(List),
    /// Find clusters by what their reports say, best first.
    Search(Search),
    /// Show one cluster with its reports.
    Show(Show),
}

/// Which clusters.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    client: ClientArgs,
    /// Terms joined by AND, as: state = OPEN AND report_count >= 5
    #[arg(long, default_value = "")]
    filter: String,
    /// At most this many.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// `report_count desc`, `create_time desc` or `create_time`.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ORDER")]
    order_by: String,
}

/// What to look for.
#[derive(Debug, clap::Args)]
pub(crate) struct Search {
    #[command(flatten)]
    client: ClientArgs,
    /// A few words or a whole complaint.
    #[arg(required = true, num_args = 1..)]
    query: Vec<String>,
    /// Terms joined by AND, as: state = OPEN AND report_count >= 5
    #[arg(long, default_value = "")]
    filter: String,
    /// At most this many.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=50))]
    limit: u32,
}

/// Which cluster.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    #[command(flatten)]
    client: ClientArgs,
    /// The cluster, `clu_…`.
    cluster: String,
    /// At most this many of its reports.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

/// Runs the verb.
///
/// # Errors
/// What the server or the way to it refuses.
pub(crate) async fn run(command: ClusterCommand, globals: &Globals) -> anyhow::Result<()> {
    match command {
        ClusterCommand::List(list) => list.run(globals).await,
        ClusterCommand::Search(search) => search.run(globals).await,
        ClusterCommand::Show(show) => show.run(globals).await,
    }
}

impl Search {
    async fn run(self, globals: &Globals) -> anyhow::Result<()> {
        let client = self.client.client()?;
        let request = proto::SearchClustersRequest {
            query: self.query.join(" "),
            filter: self.filter,
            page_size: i32::try_from(self.limit).unwrap_or(i32::MAX),
        };
        let answer = client::call(request, async |request| client.clusters().search_clusters(request).await).await?;
        if globals.output == OutputFormat::Json {
            print_json(&message("hearback.v1.SearchClustersResponse", &answer))?;
            return Ok(());
        }
        let mut table = Table::new(["CLUSTER", "SCORE", "STATE", "REPORTS", "TITLE", "KEY TERMS"]);
        for found in answer.results {
            let cluster = found.cluster.unwrap_or_default();
            table.row([
                cluster.id.clone(),
                format!("{:.2}", found.score),
                word(cluster.state().as_str_name(), "STATE_"),
                cluster.report_count.to_string(),
                short(&cluster.title, 60),
                short(&cluster.key_terms.join(", "), 40),
            ]);
        }
        table.print()?;
        Ok(())
    }
}

impl List {
    async fn run(self, globals: &Globals) -> anyhow::Result<()> {
        let client = self.client.client()?;
        let clusters = list(&client, &self.filter, &self.order_by, self.limit as usize).await?;
        if globals.output == OutputFormat::Json {
            let clusters: Vec<_> = clusters.iter().map(|cluster| message("hearback.v1.Cluster", cluster)).collect();
            print_json(&serde_json::json!({ "clusters": clusters }))?;
            return Ok(());
        }
        let headings =
            ["CLUSTER", "STATE", "REVIEW", "REPORTS", "REPORTERS", "DEFECTS", "CREATED", "TITLE", "KEY TERMS"];
        let mut table = Table::new(headings);
        for cluster in clusters {
            table.row([
                cluster.id.clone(),
                word(cluster.state().as_str_name(), "STATE_"),
                if cluster.needs_review { "yes" } else { "" }.to_owned(),
                cluster.report_count.to_string(),
                cluster.reporter_count.to_string(),
                cluster.defect_ids.len().to_string(),
                moment(cluster.create_time.as_ref()),
                short(&cluster.title, 60),
                short(&cluster.key_terms.join(", "), 40),
            ]);
        }
        table.print()?;
        Ok(())
    }
}

/// The clusters that a filter finds, at most `limit`.
///
/// # Errors
/// What the server or the way to it refuses.
pub(crate) async fn list(
    client: &Client,
    filter: &str,
    order_by: &str,
    limit: usize,
) -> Result<Vec<proto::Cluster>, CallError> {
    let mut api = client.clusters();
    client::pages(limit, async |page_size, page_token| {
        let (filter, order_by) = (filter.to_owned(), order_by.to_owned());
        let request = proto::ListClustersRequest { page_size, page_token, filter, order_by };
        let page = client::call(request, async |request| api.list_clusters(request).await).await?;
        Ok((page.clusters, page.next_page_token))
    })
    .await
}

impl Show {
    async fn run(self, globals: &Globals) -> anyhow::Result<()> {
        let client = self.client.client()?;
        let mut api = client.clusters();
        let request = proto::GetClusterRequest { cluster_id: self.cluster };
        let answer = client::call(request, async |request| api.get_cluster(request).await).await?;
        let cluster = answer.cluster.unwrap_or_default();
        let filter = format!("cluster_id = {}", cluster.id);
        let reports = report::list(&client, &filter, "create_time", self.limit as usize).await?;
        if globals.output == OutputFormat::Json {
            let reports: Vec<_> = reports.iter().map(|report| message("hearback.v1.Report", report)).collect();
            let cluster = message("hearback.v1.Cluster", &cluster);
            print_json(&serde_json::json!({ "cluster": cluster, "reports": reports }))?;
            return Ok(());
        }
        let mut lines = vec![
            format!("{}  {}", cluster.id, visible(&cluster.title)),
            format!("state       {}", word(cluster.state().as_str_name(), "STATE_")),
            format!("reports     {} of {} customers", cluster.report_count, cluster.reporter_count),
        ];
        let title_by = if cluster.title_by_person { "a person" } else { "derived" };
        let review = format!(
            "some of its reports may be another problem: hearback suggestion list --filter 'cluster_id = {}'",
            cluster.id
        );
        let more = [
            ("title", title_by.to_owned()),
            ("key terms", cluster.key_terms.join(", ")),
            ("review", if cluster.needs_review { review } else { String::new() }),
            ("defects", cluster.defect_ids.join(", ")),
            ("workaround", cluster.workaround.clone()),
            ("guidance", cluster.guidance.clone()),
            ("merged into", cluster.merged_into_cluster_id.clone()),
            ("created", moment(cluster.create_time.as_ref())),
            ("updated", moment(cluster.update_time.as_ref())),
        ];
        lines.extend(
            more.iter()
                .filter(|(_, text)| !text.is_empty())
                .map(|(name, text)| format!("{name:<11} {}", visible(text))),
        );
        lines.push(String::new());
        lines.push(report::table(&reports).text());
        let left = usize::try_from(cluster.report_count).unwrap_or(0).saturating_sub(reports.len());
        if left > 0 {
            lines.push(format!("and {left} more (--limit)"));
        }
        print_line(&lines.join("\n"))?;
        Ok(())
    }
}
