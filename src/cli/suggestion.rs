//! `hearback suggestion`: lists what waits for a person's word, and gives it.

use super::Globals;
use super::client::{self, ClientArgs, request_id};
use super::output::{OutputFormat, Table, message, moment, print_json, print_line, short, word};
use crate::grpc::proto;
use crate::grpc::proto::resolve_suggestion_request::Answer as Word;

/// List and answer suggestions.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum SuggestionCommand {
    /// List suggestions, newest first.
    List(List),
    /// Say yes: move the report, merge the clusters or split the reports off.
    Confirm(Answer),
    /// Say no: it is not proposed again.
    Reject(Answer),
}

/// Which suggestions.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    client: ClientArgs,
    /// Terms joined by AND, as: kind = MERGE AND score >= 0.5
    #[arg(long, default_value = "state = PENDING")]
    filter: String,
    /// At most this many.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// `create_time desc` or `create_time`.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ORDER")]
    order_by: String,
}

/// Which suggestion, and why.
#[derive(Debug, clap::Args)]
pub(crate) struct Answer {
    #[command(flatten)]
    client: ClientArgs,
    /// The suggestion, `sug_…`.
    suggestion: String,
    /// Why; it is kept with the step.
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
}

/// Runs the verb.
///
/// # Errors
/// What the server or the way to it refuses.
pub(crate) async fn run(command: SuggestionCommand, globals: &Globals) -> anyhow::Result<()> {
    match command {
        SuggestionCommand::List(list) => list.run(globals).await,
        SuggestionCommand::Confirm(answer) => answer.run(Word::Confirm, globals).await,
        SuggestionCommand::Reject(answer) => answer.run(Word::Reject, globals).await,
    }
}

impl List {
    async fn run(self, globals: &Globals) -> anyhow::Result<()> {
        let mut api = self.client.client()?.clusters();
        let suggestions = client::pages(self.limit as usize, async |page_size, page_token| {
            let (filter, order_by) = (self.filter.clone(), self.order_by.clone());
            let request = proto::ListSuggestionsRequest { page_size, page_token, filter, order_by };
            let page = client::call(request, async |request| api.list_suggestions(request).await).await?;
            Ok((page.suggestions, page.next_page_token))
        })
        .await?;
        if globals.output == OutputFormat::Json {
            let all: Vec<_> = suggestions.iter().map(|one| message("hearback.v1.Suggestion", one)).collect();
            print_json(&serde_json::json!({ "suggestions": all }))?;
            return Ok(());
        }
        let mut table = Table::new(["SUGGESTION", "KIND", "STATE", "SCORE", "WHAT", "CLUSTER", "TITLE", "WHY", "MADE"]);
        for one in &suggestions {
            table.row([
                one.id.clone(),
                word(one.kind().as_str_name(), "KIND_"),
                word(one.state().as_str_name(), "STATE_"),
                format!("{:.2}", one.score),
                short(&what(one), 60),
                one.cluster_id.clone(),
                short(&one.cluster_title, 40),
                short(&one.signals.first().map(|signal| signal.detail.clone()).unwrap_or_default(), 60),
                moment(one.create_time.as_ref()),
            ]);
        }
        table.print()?;
        Ok(())
    }
}

/// What would go to the cluster, or leave it.
fn what(suggestion: &proto::Suggestion) -> String {
    match suggestion.kind() {
        proto::suggestion::Kind::Merge => {
            format!("merge {} ({}) into", suggestion.from_cluster_id, suggestion.from_cluster_title)
        }
        proto::suggestion::Kind::Split => {
            let count = suggestion.report_ids.len();
            let reports = if count == 1 { "1 report" } else { &format!("{count} reports") };
            format!("split {reports} ({}) off", suggestion.report_title)
        }
        _ => format!("put {} ({}) into", suggestion.report_id, suggestion.report_title),
    }
}

impl Answer {
    async fn run(self, answer: Word, globals: &Globals) -> anyhow::Result<()> {
        let mut api = self.client.client()?.clusters();
        let request = proto::ResolveSuggestionRequest {
            request_id: request_id(),
            suggestion_id: self.suggestion,
            answer: answer.into(),
            reason: self.reason,
        };
        let done = client::call(request, async |request| api.resolve_suggestion(request).await).await?;
        if globals.output == OutputFormat::Json {
            print_json(&message("hearback.v1.ResolveSuggestionResponse", &done))?;
            return Ok(());
        }
        let suggestion = done.suggestion.unwrap_or_default();
        let again = if done.replayed { " already" } else { "" };
        let state = word(suggestion.state().as_str_name(), "STATE_").to_lowercase();
        let step = match done.operation {
            Some(operation) => format!(" by {}, which can be taken back", operation.id),
            None => String::new(),
        };
        print_line(&format!("{} is {state}{again}{step}", suggestion.id))?;
        Ok(())
    }
}
