//! `hearback announcement`: looks at what would be said, lets it go out, lists what was said.

use super::Globals;
use super::client::{self, ClientArgs, request_id};
use super::output::{OutputFormat, Table, message, moment, print_json, print_line, short, visible, word};
use crate::grpc::proto;

/// Preview, approve or list announcements.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum AnnouncementCommand {
    /// Show who would be told what about a cluster now, and why the others would not.
    Preview(Preview),
    /// Let an announcement go out that waits for a person.
    Approve(Approve),
    /// List announcements, newest first.
    List(List),
}

/// Of which cluster.
#[derive(Debug, clap::Args)]
pub(crate) struct Preview {
    #[command(flatten)]
    client: ClientArgs,
    /// The cluster, `clu_…`.
    cluster: String,
    /// At most this many recipients.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Print each text in full.
    #[arg(long)]
    text: bool,
}

/// Which announcement.
#[derive(Debug, clap::Args)]
pub(crate) struct Approve {
    #[command(flatten)]
    client: ClientArgs,
    /// The announcement, `ann_…`.
    announcement: String,
    /// The plan digest that you looked at, as `preview` prints it. If the plan has changed since, nothing goes out.
    #[arg(long, value_name = "DIGEST")]
    digest: String,
}

/// Which announcements.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    client: ClientArgs,
    /// Terms joined by AND, as: state = AWAITING_APPROVAL
    #[arg(long, default_value = "")]
    filter: String,
    /// At most this many.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// `create_time desc` or `create_time`.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ORDER")]
    order_by: String,
}

/// Runs the verb.
///
/// # Errors
/// What the server or the way to it refuses.
pub(crate) async fn run(command: AnnouncementCommand, globals: &Globals) -> anyhow::Result<()> {
    match command {
        AnnouncementCommand::Preview(preview) => preview.run(globals).await,
        AnnouncementCommand::Approve(approve) => approve.run(globals).await,
        AnnouncementCommand::List(list) => list.run(globals).await,
    }
}

impl Preview {
    async fn run(self, globals: &Globals) -> anyhow::Result<()> {
        let mut api = self.client.client()?.announcements();
        let mut awaiting = None;
        let cluster = self.cluster;
        let recipients = client::pages(self.limit as usize, async |page_size, page_token| {
            let request = proto::PreviewAnnouncementRequest { cluster_id: cluster.clone(), page_size, page_token };
            let page = client::call(request, async |request| api.preview_announcement(request).await).await?;
            awaiting = awaiting.take().or(page.awaiting_approval);
            Ok((page.recipients, page.next_page_token))
        })
        .await?;
        if globals.output == OutputFormat::Json {
            let answer = proto::PreviewAnnouncementResponse {
                recipients,
                next_page_token: String::new(),
                awaiting_approval: awaiting,
            };
            print_json(&message("hearback.v1.PreviewAnnouncementResponse", &answer))?;
            return Ok(());
        }
        let mut table = Table::new(["CUSTOMER", "STAGE", "WHY NOT", "VERDICT", "RULE", "CHANNEL", "SUBJECT"]);
        for recipient in &recipients {
            let coverage = recipient.coverage.clone().unwrap_or_default();
            table.row([
                recipient.customer_id.clone(),
                said(recipient.stage()),
                recipient.reason.clone(),
                recipient
                    .coverage
                    .as_ref()
                    .map_or_else(String::new, |coverage| word(coverage.verdict().as_str_name(), "VERDICT_")),
                coverage.rule,
                channel(recipient.channel()),
                short(&recipient.subject, 60),
            ]);
        }
        table.print()?;
        if self.text {
            for recipient in recipients.iter().filter(|recipient| !recipient.text.is_empty()) {
                let text: Vec<_> = recipient.text.lines().map(|line| format!("  {}", visible(line))).collect();
                print_line(&format!(
                    "\n{}: {}\n{}",
                    recipient.customer_id,
                    visible(&recipient.subject),
                    text.join("\n")
                ))?;
            }
        }
        if let Some(announcement) = awaiting {
            print_line(&format!(
                "\n{} waits for approval ({} recipients):\n  hearback announcement approve {} --digest {}",
                announcement.id, announcement.recipient_count, announcement.id, announcement.plan_digest
            ))?;
        }
        Ok(())
    }
}

/// A stage as a table shows it: empty if nothing is said.
fn said(stage: proto::Stage) -> String {
    if stage == proto::Stage::Unspecified { String::new() } else { word(stage.as_str_name(), "STAGE_") }
}

fn channel(channel: proto::Channel) -> String {
    if channel == proto::Channel::Unspecified { String::new() } else { word(channel.as_str_name(), "CHANNEL_") }
}

impl Approve {
    async fn run(self, globals: &Globals) -> anyhow::Result<()> {
        let mut api = self.client.client()?.announcements();
        let request = proto::ApproveAnnouncementRequest {
            request_id: request_id(),
            announcement_id: self.announcement,
            plan_digest: self.digest,
        };
        let answer = client::call(request, async |request| api.approve_announcement(request).await).await?;
        if globals.output == OutputFormat::Json {
            print_json(&message("hearback.v1.ApproveAnnouncementResponse", &answer))?;
            return Ok(());
        }
        let again = if answer.replayed { " already" } else { "" };
        let announcement = answer.announcement.unwrap_or_default();
        print_line(&format!("{} is approved{again}: {} recipients", announcement.id, announcement.recipient_count))?;
        Ok(())
    }
}

impl List {
    async fn run(self, globals: &Globals) -> anyhow::Result<()> {
        let mut api = self.client.client()?.announcements();
        let announcements = client::pages(self.limit as usize, async |page_size, page_token| {
            let (filter, order_by) = (self.filter.clone(), self.order_by.clone());
            let request = proto::ListAnnouncementsRequest { page_size, page_token, filter, order_by };
            let page = client::call(request, async |request| api.list_announcements(request).await).await?;
            Ok((page.announcements, page.next_page_token))
        })
        .await?;
        if globals.output == OutputFormat::Json {
            let all: Vec<_> = announcements.iter().map(|one| message("hearback.v1.Announcement", one)).collect();
            print_json(&serde_json::json!({ "announcements": all }))?;
            return Ok(());
        }
        let mut table = Table::new(["ANNOUNCEMENT", "STAGE", "STATE", "TOLD", "CLUSTER", "APPROVED BY", "CREATED"]);
        for one in &announcements {
            table.row([
                one.id.clone(),
                said(one.stage()),
                word(one.state().as_str_name(), "STATE_"),
                format!("{} of {}", one.told_count, one.recipient_count),
                one.cluster_id.clone(),
                one.approved_by.clone(),
                moment(one.create_time.as_ref()),
            ]);
        }
        table.print()?;
        Ok(())
    }
}
