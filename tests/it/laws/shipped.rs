//! Laws 6 and 7: closed is not shipped, and no falsehood is said.

use crate::support::proto::*;
use crate::support::{Server, a_release, a_report, days};

const DEFECT: &str = "github:acme/app#12";

#[tokio::test]
async fn law_6_a_closed_defect_without_a_release_tells_nobody() {
    let server = Server::start().await;
    let ada = server.submit(a_report().from("ada@example.org").version("2.4.0")).await;
    server.link(&ada, DEFECT).await;
    for state in [defect::State::FixMerged, defect::State::Closed] {
        server.defect(DEFECT, state).await;
        server.after(days(30)).await;
        assert_eq!(server.mailbox.all().len(), 0, "{state:?}");
        assert_eq!(server.loop_of(&ada).await, "OPEN waiting_for_release");
        assert_eq!(server.cluster(&ada.cluster_id).await.state(), cluster::State::FixMerged);
    }
}

#[tokio::test]
async fn law_6_a_planned_release_tells_nobody_until_it_is_released() {
    let server = Server::start().await;
    let ada = server.submit(a_report().from("ada@example.org").version("2.4.0")).await;
    server.link(&ada, DEFECT).await;
    server.release(a_release("2.4.1").fixing(DEFECT).planned()).await;
    server.after(days(30)).await;
    assert_eq!(server.mailbox.all().len(), 0);
    assert_eq!(server.loop_of(&ada).await.split(' ').next(), Some("OPEN"));
    server.release(a_release("2.4.1")).await;
    server.run_until_idle().await;
    assert_eq!(server.mail_to("ada@example.org").len(), 1);
}

#[tokio::test]
async fn law_6_a_defect_closed_without_a_fix_ends_the_loop_with_that_reason() {
    let server = Server::start().await;
    let ada = server.submit(a_report().from("ada@example.org").version("2.4.0")).await;
    server.link(&ada, DEFECT).await;
    server.defect(DEFECT, defect::State::ClosedWithoutFix).await;
    server.run_until_idle().await;
    assert_eq!(server.mailbox.all().len(), 0);
    assert_eq!(server.loop_of(&ada).await, "CLOSED closed_without_fix");
    assert_eq!(server.cluster(&ada.cluster_id).await.state(), cluster::State::ClosedWithoutFix);
}

#[tokio::test]
async fn law_6_a_link_made_after_the_release_is_as_good_as_one_before() {
    let server = Server::start().await;
    let ada = server.submit(a_report().from("ada@example.org").version("2.4.0")).await;
    server.release(a_release("2.4.1").fixing(DEFECT)).await;
    server.after(days(1)).await;
    assert_eq!(server.mailbox.all().len(), 0);
    server.link(&ada, DEFECT).await;
    server.run_until_idle().await;
    assert_eq!(server.mail_to("ada@example.org").len(), 1);
}

/// What somebody who reported from `version` on `platform` is told when fixes came in 2.3.7 and 2.4.1, on Linux only in
/// 2.4.2.
async fn told(version: &str, platform: &str) -> (Option<String>, String) {
    let server = Server::start().await;
    server.product_of("app", "", product::VersionScheme::Unspecified, &["2.2", "2.3", "2.4"]).await;
    let ada = server.submit(a_report().from("ada@example.org").version(version).platform(platform)).await;
    server.link(&ada, DEFECT).await;
    server.release(a_release("2.3.7").fixing(DEFECT).platform("windows")).await;
    server.release(a_release("2.4.1").fixing(DEFECT).platform("windows")).await;
    server.release(a_release("2.4.2").fixing(DEFECT).platform("linux")).await;
    server.run_until_idle().await;
    (server.subjects("ada@example.org").into_iter().next(), server.loop_of(&ada).await)
}

#[tokio::test]
async fn law_7_who_can_have_the_fix_by_updating_is_told_the_release_of_their_own_line_and_platform() {
    for (version, platform, release) in
        [("2.3.6", "windows", "2.3.7"), ("2.4.0", "windows", "2.4.1"), ("2.4.0", "linux", "2.4.2")]
    {
        let (subject, state) = told(version, platform).await;
        let subject = subject.unwrap_or_else(|| panic!("{version} on {platform} waits: {state}"));
        assert!(subject.starts_with(&format!("Fixed in Acme App {release}:")), "{version} on {platform}: {subject}");
        assert_eq!(state, "TOLD told");
    }
}

#[tokio::test]
async fn law_7_what_is_unknown_or_cannot_be_compared_waits() {
    for (version, platform) in [("", "windows"), ("banana", "windows"), ("2.4.0-nightly+x", "amiga"), ("2.4.0", "")] {
        let (subject, state) = told(version, platform).await;
        if let Some(subject) = &subject {
            // Both platforms have a fix on this line: if something is said, it must be true on either.
            assert!(
                version == "2.4.0" && platform.is_empty() && subject.contains("2.4.2"),
                "{version:?} {platform:?}: {subject}"
            );
        } else {
            assert!(
                state.starts_with("OPEN ") || state == "CLOSED not_applicable",
                "{version:?} {platform:?}: {state}"
            );
        }
    }
}

#[tokio::test]
async fn law_7_a_line_that_gets_no_fix_is_told_of_none() {
    let (subject, state) = told("2.2.9", "windows").await;
    assert_eq!(subject, None, "{state}");
    assert!(!state.starts_with("TOLD"), "{state}");
}

#[tokio::test]
async fn law_7_who_waits_for_a_rollout_waits_for_months_and_hears_when_it_arrives() {
    let server = Server::start().await;
    server.product_of("cloud", "Acme Cloud", product::VersionScheme::Continuous, &[]).await;
    let report =
        |from: &str, ring: &str| a_report().product("cloud").from(from).with(|input| input.ring = ring.to_owned());
    let ada = server.submit(report("ada@example.org", "beta")).await;
    let ben = server.submit(report("ben@example.org", "stable")).await;
    let cai = server.submit(report("cai@example.org", "")).await;
    server.link(&ada, DEFECT).await;
    let release = server.release(a_release("2026-06-01.1").of("cloud").fixing(DEFECT)).await;
    server.deploy_to(&release, "beta", 10).await;
    server.after(days(1)).await;
    assert_eq!(server.mailbox.all().len(), 0, "a tenth of a ring is nobody in particular");
    server.deploy_to(&release, "beta", 100).await;
    server.run_until_idle().await;
    assert_eq!(server.mail_to("ada@example.org").len(), 1);
    assert!(server.mail_to("ada@example.org")[0].text.contains("There is nothing you need to do"));
    server.after(days(200)).await;
    assert_eq!(server.mail_to("ben@example.org").len(), 0);
    assert_eq!(server.loop_of(&ben).await, "OPEN waiting_for_rollout");
    assert_eq!(server.mail_to("cai@example.org").len(), 0, "an unknown ring waits");
    server.deploy_to(&release, "stable", 100).await;
    server.run_until_idle().await;
    assert_eq!(server.mail_to("ben@example.org").len(), 1);
    server.deploy(&release, 100).await;
    server.run_until_idle().await;
    assert_eq!(server.loop_of(&cai).await, "TOLD told", "now it is everywhere");
    assert_eq!(server.mailbox.all().len(), 3);
}

#[tokio::test]
async fn law_7_unknown_is_told_in_conditional_words_if_the_tenant_says_so() {
    let server = Server::start().await;
    let ada = server.submit(a_report().from("ada@example.org")).await;
    server.link(&ada, DEFECT).await;
    server.release(a_release("2.4.1").fixing(DEFECT)).await;
    server.run_until_idle().await;
    assert_eq!(server.loop_of(&ada).await, "OPEN coverage_unknown");
    let policy = Policy { tell_unknown_conditionally: true, ..Policy::default() };
    server.policy(policy, &["tell_unknown_conditionally"]).await;
    server.after(days(1)).await;
    let mails = server.mail_to("ada@example.org");
    assert_eq!(mails.len(), 1);
    assert!(mails[0].text.contains("We do not know what you run"), "{}", mails[0].text);
}

#[tokio::test]
async fn law_7_a_cluster_with_two_defects_waits_for_both_unless_policy_says_any() {
    for any in [false, true] {
        let server = Server::start().await;
        if any {
            let policy = Policy { multi_defect: policy::MultiDefect::Any.into(), ..Policy::default() };
            server.policy(policy, &["multi_defect"]).await;
        }
        let ada = server.submit(a_report().from("ada@example.org").version("2.4.0")).await;
        server.link(&ada, DEFECT).await;
        server.link(&ada, "jira:APP-7").await;
        server.release(a_release("2.4.1").fixing(DEFECT)).await;
        server.run_until_idle().await;
        assert_eq!(server.mailbox.all().len(), usize::from(any));
        server.release(a_release("2.4.2").fixing("jira:APP-7")).await;
        server.run_until_idle().await;
        assert_eq!(server.mailbox.all().len(), 1 + usize::from(any), "any: {any}");
        assert_eq!(server.loop_of(&ada).await, "TOLD told");
    }
}

/// Ada runs 1.0.0. One of her two defects is fixed in 2.0.0, the other in a 1.1.0 that came later: 2.0.0 lacks it.
async fn two_defects_that_no_release_fixes(server: &Server) -> Report {
    let ada = server.submit(a_report().from("ada@example.org").version("1.0.0")).await;
    server.link(&ada, DEFECT).await;
    server.link(&ada, "jira:APP-7").await;
    server.release(a_release("2.0.0").fixing(DEFECT)).await;
    server.release(a_release("1.1.0").fixing("jira:APP-7")).await;
    server.run_until_idle().await;
    ada
}

#[tokio::test]
async fn law_7_who_waits_for_two_defects_is_told_of_a_release_that_has_both() {
    let server = Server::start().await;
    let ada = two_defects_that_no_release_fixes(&server).await;
    assert_eq!(server.mailbox.all().len(), 0, "each of the two releases lacks a fix");
    assert_eq!(server.loop_of(&ada).await, "OPEN waiting_for_other_defects");
    server.release(a_release("2.0.1").fixing("jira:APP-7")).await;
    server.run_until_idle().await;
    let mails = server.mail_to("ada@example.org");
    assert_eq!(mails.len(), 1);
    assert!(mails[0].text.contains("Please update to Acme App 2.0.1"), "{}", mails[0].text);
    assert_eq!(server.loop_of(&ada).await, "TOLD told");
}

#[tokio::test]
async fn law_7_who_is_told_of_each_defect_gets_a_letter_for_each_release() {
    let server = Server::start().await;
    let policy = Policy { multi_defect: policy::MultiDefect::Any.into(), ..Policy::default() };
    server.policy(policy, &["multi_defect"]).await;
    // Both fixes are known before anything is said.
    server.release(a_release("2.0.0").fixing(DEFECT)).await;
    server.release(a_release("1.1.0").fixing("jira:APP-7")).await;
    let ada = server.submit(a_report().from("ada@example.org").version("1.0.0")).await;
    server.link(&ada, DEFECT).await;
    server.link(&ada, "jira:APP-7").await;
    server.run_until_idle().await;
    let mails = server.mail_to("ada@example.org");
    assert_eq!(mails.len(), 2);
    for version in ["1.1.0", "2.0.0"] {
        let text = format!("Please update to Acme App {version}");
        assert_eq!(mails.iter().filter(|mail| mail.text.contains(&text)).count(), 1, "{version}");
    }
}

#[tokio::test]
async fn law_7_a_fix_withdrawn_within_the_settle_delay_was_never_spoken_of() {
    let server = Server::start().await;
    let policy = Policy { settle_delay: Some(prost_types::Duration { seconds: 3600, nanos: 0 }), ..Policy::default() };
    server.policy(policy, &["settle_delay"]).await;
    let ada = server.submit(a_report().from("ada@example.org").version("2.4.0")).await;
    server.link(&ada, DEFECT).await;
    let release = server.release(a_release("2.4.1").fixing(DEFECT)).await;
    server.run_until_idle().await;
    assert_eq!(server.loop_of(&ada).await, "OPEN settling");
    server.yank(&release).await;
    server.after(days(1)).await;
    assert_eq!(server.mailbox.all().len(), 0);
    server.release(a_release("2.4.2").fixing(DEFECT)).await;
    server.run_until_idle().await;
    assert_eq!(server.mailbox.all().len(), 0);
    server.after(std::time::Duration::from_secs(3600)).await;
    assert_eq!(server.mailbox.all().len(), 1, "time alone brings it");
}

#[tokio::test]
async fn law_7_what_was_planned_and_stopped_being_true_before_it_was_sent_is_not_sent() {
    let server = Server::start().await;
    let ada = server.submit(a_report().from("ada@example.org").version("2.4.0")).await;
    server.link(&ada, DEFECT).await;
    let release = server.release(a_release("2.4.1").fixing(DEFECT)).await;
    let now = server.clock.now();
    server.app().reconcile_once(now).await.expect("it is planned");
    assert_eq!(server.delivery_to(&ada).await.state(), delivery::State::Pending);
    server.yank(&release).await;
    server.app().deliver_once(now).await.expect("a pass");
    server.run_until_idle().await;
    assert_eq!(server.mailbox.all().len(), 0);
    let delivery = server.delivery_to(&ada).await;
    assert_eq!((delivery.state(), delivery.reason.as_str()), (delivery::State::Cancelled, "no_longer_true"));
    assert_eq!(server.loop_of(&ada).await, "OPEN waiting_for_release");
}

#[tokio::test]
async fn law_7_a_backport_is_not_announced_to_those_who_run_what_was_there_before_it() {
    let server = Server::start().await;
    for version in ["2.3.6", "2.4.0"] {
        server.release(a_release(version)).await;
    }
    let old = server.submit(a_report().from("old@example.org").version("2.3.6")).await;
    let new = server.submit(a_report().from("new@example.org").version("2.4.0")).await;
    server.link(&old, DEFECT).await;
    // Nobody declared lines, and the pipeline tells of the two releases one after the other.
    server.release(a_release("2.3.7").fixing(DEFECT)).await;
    server.run_until_idle().await;
    assert_eq!(server.mail_to("old@example.org").len(), 1);
    assert_eq!(server.mail_to("new@example.org").len(), 0, "2.4.0 is older than the fix");
    assert_eq!(server.loop_of(&new).await, "OPEN waiting_for_release");
    server.release(a_release("2.4.1").fixing(DEFECT)).await;
    server.run_until_idle().await;
    assert!(server.mail_to("new@example.org")[0].text.contains("Please update to Acme App 2.4.1"));
    assert_eq!(server.mailbox.all().len(), 2);
}
