//! Law 12: opt-out wins to the last moment, and so do quiet hours and what the customer runs.

use crate::support::proto::*;
use crate::support::{Server, a_release, a_report, days, minutes};

const DEFECT: &str = "github:acme/app#12";

/// Something is planned for this customer and due, and nothing is sent yet.
async fn planned(server: &Server, report: crate::support::builders::ReportBuilder) -> Report {
    let report = server.submit(report.version("2.4.0")).await;
    server.link(&report, DEFECT).await;
    server.release(a_release("2.4.1").fixing(DEFECT)).await;
    server.app().reconcile_once(server.clock.now()).await.expect("it is planned");
    assert_eq!(server.delivery_to(&report).await.state(), delivery::State::Pending);
    report
}

#[tokio::test]
async fn law_12_an_opt_out_between_planning_and_sending_wins() {
    let server = Server::start().await;
    let ada = planned(&server, a_report().from("ada@example.org")).await;
    server.opt_out(&ada.customer_id, true).await;
    server.app().deliver_once(server.clock.now()).await.expect("a pass");
    server.run_until_idle().await;
    assert_eq!(server.mailbox.all().len(), 0);
    assert_eq!(server.loop_of(&ada).await, "CLOSED opted_out");
    // And is taken back by the customer's own word alone.
    server.after(days(30)).await;
    assert_eq!(server.mailbox.all().len(), 0);
    server.opt_out(&ada.customer_id, false).await;
    server.run_until_idle().await;
    assert_eq!(server.mail_to("ada@example.org").len(), 1);
}

#[tokio::test]
async fn law_12_an_address_opted_out_between_planning_and_sending_gives_way_to_the_next() {
    let server = Server::start().await;
    let ada = planned(&server, a_report().from("first@example.org").from("second@example.org")).await;
    let first = server.customer(&ada.customer_id).await.contact_points.remove(0);
    let request = UpdatePreferencesRequest {
        customer_id: ada.customer_id.clone(),
        opt_out_contact_point_ids: vec![first.id],
        ..UpdatePreferencesRequest::default()
    };
    server.customers().update_preferences(request).await.expect("her wish");
    server.run_until_idle().await;
    assert_eq!(server.mail_to("first@example.org").len(), 0);
    assert_eq!(server.mail_to("second@example.org").len(), 1);
}

#[tokio::test]
async fn law_12_one_click_in_a_mail_ends_mails_to_that_address() {
    let server = Server::start().await;
    let ada = planned(&server, a_report().from("ada@example.org")).await;
    server.run_until_idle().await;
    let mail = server.mail_to("ada@example.org").remove(0);
    assert_eq!(mail.header("list-unsubscribe-post"), "List-Unsubscribe=One-Click");
    let link = server.page(&mail.unsubscribe_url());
    let client = crate::support::browser();
    let form = "application/x-www-form-urlencoded";
    let post = client.post(&link).header("content-type", form).body("List-Unsubscribe=One-Click");
    assert_eq!(post.send().await.expect("an answer").status(), 200);

    let customer = server.customer(&ada.customer_id).await;
    assert_eq!(customer.contact_points[0].state(), contact_point::State::OptedOut);
    // Something new would be said; it is not.
    let again =
        server.submit(a_report().from("ada@example.org").version("2.4.0").saying("Login shows a blank screen")).await;
    server.link(&again, "jira:APP-7").await;
    server.release(a_release("2.4.2").fixing("jira:APP-7")).await;
    server.after(days(1)).await;
    assert_eq!(server.mailbox.all().len(), 1);
    assert_eq!(server.loop_of(&again).await, "CLOSED opted_out");
}

#[tokio::test]
async fn law_12_quiet_hours_that_began_after_planning_are_kept_in_the_customers_time_zone() {
    let server = Server::start().await;
    // Noon in UTC: seven in the evening in Bangkok, two in the afternoon in Berlin.
    let policy = Policy { quiet_start_minute: Some(20 * 60), quiet_end_minute: Some(8 * 60), ..Policy::default() };
    let ada = planned(&server, a_report().from("ada@example.org").time_zone("Asia/Bangkok")).await;
    let ben = server.submit(a_report().from("ben@example.org").time_zone("Europe/Berlin").version("2.4.0")).await;
    server.app().reconcile_once(server.clock.now()).await.expect("his is planned too");
    server.policy(policy, &["quiet_start_minute", "quiet_end_minute"]).await;
    server.after(minutes(60)).await;
    assert_eq!(server.mail_to("ben@example.org").len(), 1);
    assert_eq!(server.mail_to("ada@example.org").len(), 0, "eight in the evening");
    assert_eq!(server.delivery_to(&ada).await.reason, "quiet_hours");
    assert_eq!(server.loop_of(&ben).await, "TOLD told");
    server.after(minutes(11 * 60)).await;
    assert_eq!(server.mail_to("ada@example.org").len(), 0, "seven in the morning");
    server.after(minutes(60)).await;
    assert_eq!(server.mail_to("ada@example.org").len(), 1, "eight");
}

#[tokio::test]
async fn law_12_what_the_customer_runs_is_looked_at_again_when_sending() {
    let server = Server::start().await;
    server.product_of("app", "", product::VersionScheme::Unspecified, &["2.3", "2.4"]).await;
    let ada = planned(&server, a_report().from("ada@example.org")).await;
    server.now_runs(&ada, "built-from-source").await;
    server.app().deliver_once(server.clock.now()).await.expect("a pass");
    server.run_until_idle().await;
    assert_eq!(server.mailbox.all().len(), 0, "what she runs now cannot be compared");
    assert_eq!(server.loop_of(&ada).await, "OPEN coverage_unknown");
}
