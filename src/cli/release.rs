//! `hearback release`: records what was shipped, as a build pipeline does.

use super::Globals;
use super::client::{self, ClientArgs, request_id};
use super::output::{OutputFormat, message, print_json, print_line, visible, word};
use crate::grpc::proto;

/// Record releases.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum ReleaseCommand {
    /// Record a release and the defects it fixes; recorded again, platforms and fixes are added.
    Record(Record),
}

/// What was shipped.
#[derive(Debug, clap::Args)]
pub(crate) struct Record {
    #[command(flatten)]
    client: ClientArgs,
    /// The product, by its key or id.
    product: String,
    /// The version.
    #[arg(value_name = "VERSION")]
    release_version: String,
    /// The release line, as 2.4; without it, the product's line that the version begins with.
    #[arg(long)]
    line: Option<String>,
    /// A platform it exists for; may be given several times. None means all.
    #[arg(long = "platform", value_name = "PLATFORM")]
    platforms: Vec<String>,
    /// A defect it fixes, as `def_…` or TRACKER:KEY; may be given several times.
    #[arg(long = "fixes", value_name = "DEFECT")]
    defects: Vec<String>,
    /// It is announced and not to be had yet: nobody is told.
    #[arg(long)]
    planned: bool,
}

/// Runs the verb.
///
/// # Errors
/// What the server or the way to it refuses.
pub(crate) async fn run(command: ReleaseCommand, globals: &Globals) -> anyhow::Result<()> {
    match command {
        ReleaseCommand::Record(record) => record.run(globals).await,
    }
}

impl Record {
    async fn run(self, globals: &Globals) -> anyhow::Result<()> {
        let mut api = self.client.client()?.releases();
        let state = if self.planned { proto::release::State::Planned } else { proto::release::State::Released };
        let request = proto::RecordReleaseRequest {
            request_id: request_id(),
            product: self.product,
            version: self.release_version,
            line: self.line.unwrap_or_default(),
            platforms: self.platforms,
            state: state.into(),
            defects: self.defects,
        };
        let answer = client::call(request, async |request| api.record_release(request).await).await?;
        if globals.output == OutputFormat::Json {
            print_json(&message("hearback.v1.RecordReleaseResponse", &answer))?;
            return Ok(());
        }
        let news = if answer.created { "recorded" } else { "recorded before" };
        let release = answer.release.unwrap_or_default();
        let line = if release.line.is_empty() { String::new() } else { format!(", line {}", visible(&release.line)) };
        print_line(&format!(
            "{} {news}: version {}{line}, {}, fixes {} defects",
            release.id,
            visible(&release.version),
            word(release.state().as_str_name(), "STATE_"),
            release.defect_ids.len(),
        ))?;
        Ok(())
    }
}
