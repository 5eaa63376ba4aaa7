//! Law 8: withdrawn truth is corrected, for exactly those who were told, and the re-fix is told to them.

use crate::support::proto::*;
use crate::support::{Server, a_release, a_report, days, minutes};

const DEFECT: &str = "github:acme/app#12";

/// Ada was told; Ben runs something the fix has not reached; Cai came later and runs what has the fix.
struct Scene {
    server: Server,
    ada: Report,
    ben: Report,
    release: Release,
}

async fn told() -> Scene {
    let server = Server::start().await;
    let ada = server.submit(a_report().from("ada@example.org").version("2.4.0")).await;
    let ben = server.submit(a_report().from("ben@example.org")).await;
    assert_eq!(ben.cluster_id, ada.cluster_id);
    server.link(&ada, DEFECT).await;
    let release = server.release(a_release("2.4.1").fixing(DEFECT)).await;
    server.run_until_idle().await;
    assert_eq!(server.subjects("ada@example.org").len(), 1);
    Scene { server, ada, ben, release }
}

impl Scene {
    /// Ada, and only she, was corrected; nothing more was said since.
    async fn is_corrected(&self) {
        self.server.run_until_idle().await;
        self.server.after(days(2)).await;
        let subjects = self.server.subjects("ada@example.org");
        assert_eq!(subjects.len(), 2, "{subjects:?}");
        assert!(subjects[1].starts_with("Correction:"), "{subjects:?}");
        assert_eq!(self.server.subjects("ben@example.org").len(), 0);
        let state = self.server.loop_of(&self.ada).await;
        assert!(state.starts_with("OPEN "), "{state}");
        assert!(self.server.loop_of(&self.ben).await.starts_with("OPEN "));
    }

    /// The fix came again, and Ada was told again, once.
    async fn is_told_again(&self) {
        self.server.run_until_idle().await;
        self.server.after(days(2)).await;
        let subjects = self.server.subjects("ada@example.org");
        assert_eq!(subjects.len(), 3, "{subjects:?}");
        assert!(subjects[2].starts_with("Fixed in"), "{subjects:?}");
        assert_eq!(self.server.loop_of(&self.ada).await, "TOLD told");
        assert_eq!(self.server.subjects("ben@example.org").len(), 0);
    }
}

#[tokio::test]
async fn law_8_a_yank_is_corrected_and_the_next_release_told_again() {
    let scene = told().await;
    scene.server.yank(&scene.release).await;
    scene.is_corrected().await;
    scene.server.release(a_release("2.4.2").fixing(DEFECT)).await;
    scene.is_told_again().await;
    let mails = scene.server.mail_to("ada@example.org");
    assert!(mails[1].text.contains("Acme App 2.4.1 fixes"), "{}", mails[1].text);
    assert!(mails[1].text.contains("The release was withdrawn"), "{}", mails[1].text);
    assert!(mails[2].text.contains("Earlier we named Acme App 2.4.1"), "{}", mails[2].text);
}

#[tokio::test]
async fn law_8_a_reopened_defect_is_corrected_and_old_releases_count_no_more() {
    let scene = told().await;
    scene.server.defect(DEFECT, defect::State::Closed).await;
    scene.server.defect(DEFECT, defect::State::Open).await;
    scene.is_corrected().await;
    // Closing it again is no release.
    scene.server.defect(DEFECT, defect::State::Closed).await;
    scene.server.after(days(5)).await;
    assert_eq!(scene.server.subjects("ada@example.org").len(), 2);
    scene.server.release(a_release("2.4.2").fixing(DEFECT)).await;
    scene.is_told_again().await;
}

#[tokio::test]
async fn law_8_a_link_taken_back_is_corrected_and_the_right_one_told_again() {
    let scene = told().await;
    scene.server.unlink(&scene.ada.cluster_id, DEFECT).await;
    scene.is_corrected().await;
    assert_eq!(scene.server.loop_of(&scene.ada).await, "OPEN no_defect_linked");
    scene.server.link(&scene.ada, "jira:APP-7").await;
    scene.server.release(a_release("2.4.2").fixing("jira:APP-7")).await;
    scene.is_told_again().await;
}

#[tokio::test]
async fn law_8_a_link_taken_back_and_made_again_is_told_again() {
    let scene = told().await;
    scene.server.unlink(&scene.ada.cluster_id, DEFECT).await;
    scene.is_corrected().await;
    scene.server.link(&scene.ada, DEFECT).await;
    scene.is_told_again().await;
}

#[tokio::test]
async fn law_8_who_is_split_off_is_corrected_and_nobody_else() {
    let server = Server::start().await;
    let ada = server.submit(a_report().from("ada@example.org").version("2.4.0")).await;
    let ben = server.submit(a_report().from("ben@example.org").version("2.4.0")).await;
    server.link(&ada, DEFECT).await;
    server.release(a_release("2.4.1").fixing(DEFECT)).await;
    server.run_until_idle().await;
    let split = server.split(&ada.cluster_id, &[&ben]).await;
    server.run_until_idle().await;
    assert_eq!(server.subjects("ada@example.org").len(), 1);
    let mails = server.mail_to("ben@example.org");
    assert_eq!(mails.len(), 2);
    assert!(mails[1].text.contains("it is not the problem you reported"), "{}", mails[1].text);
    // Ben's own problem gets its own defect and fix.
    server.link_cluster(&split.new_cluster.expect("a cluster").id, "jira:APP-7").await;
    server.release(a_release("2.4.2").fixing("jira:APP-7")).await;
    server.after(days(1)).await;
    assert_eq!(server.subjects("ben@example.org").len(), 3);
    assert_eq!(server.subjects("ada@example.org").len(), 1);
}

#[tokio::test]
async fn law_8_a_report_moved_away_is_corrected_and_moved_back_told_again() {
    let scene = told().await;
    let step = scene.server.move_report(&scene.ada, "").await.operation.expect("a step");
    scene.server.run_until_idle().await;
    assert_eq!(scene.server.subjects("ada@example.org").len(), 2);
    scene.server.undo(&step).await;
    scene.server.run_until_idle().await;
    let subjects = scene.server.subjects("ada@example.org");
    assert_eq!(subjects.len(), 3, "{subjects:?}");
    assert!(subjects[2].starts_with("Fixed in Acme App 2.4.1"), "{subjects:?}");
}

#[tokio::test]
async fn law_8_a_rollout_taken_back_is_corrected_and_told_again_when_it_returns() {
    let server = Server::start().await;
    server.product_of("cloud", "Acme Cloud", product::VersionScheme::Continuous, &[]).await;
    let ada = server.submit(a_report().product("cloud").from("ada@example.org")).await;
    server.link(&ada, DEFECT).await;
    server.clock.advance(minutes(1));
    server.deploy(&server.release(a_release("41").of("cloud")).await, 100).await;
    let release = server.release(a_release("42").of("cloud").fixing(DEFECT)).await;
    let deployment = server.deploy(&release, 100).await;
    server.run_until_idle().await;
    assert_eq!(server.subjects("ada@example.org").len(), 1);
    server.roll_back(&deployment).await;
    server.run_until_idle().await;
    let mails = server.mail_to("ada@example.org");
    assert_eq!(mails.len(), 2);
    assert!(mails[1].text.contains("The rollout was taken back"), "{}", mails[1].text);
    server.deploy(&server.release(a_release("43").of("cloud").fixing(DEFECT)).await, 100).await;
    server.run_until_idle().await;
    assert_eq!(server.subjects("ada@example.org").len(), 3);
    assert_eq!(server.loop_of(&ada).await, "TOLD told");
}

#[tokio::test]
async fn law_8_what_became_false_and_true_again_before_the_correction_left_is_not_spoken_of() {
    let scene = told().await;
    scene.server.unlink(&scene.ada.cluster_id, DEFECT).await;
    scene.server.app().reconcile_once(scene.server.clock.now()).await.expect("the correction is planned");
    scene.server.link(&scene.ada, DEFECT).await;
    scene.server.after(days(1)).await;
    assert_eq!(scene.server.subjects("ada@example.org").len(), 1);
    assert_eq!(scene.server.loop_of(&scene.ada).await, "TOLD told");
}

#[tokio::test]
async fn law_8_a_second_release_that_still_holds_spares_the_correction() {
    let scene = told().await;
    scene.server.release(a_release("2.4.2").fixing(DEFECT)).await;
    scene.server.run_until_idle().await;
    scene.server.yank(&scene.release).await;
    scene.server.after(days(1)).await;
    let subjects = scene.server.subjects("ada@example.org");
    assert_eq!(subjects.len(), 1, "the fix can still be had: {subjects:?}");
    assert_eq!(scene.server.loop_of(&scene.ada).await, "TOLD told");
}

#[tokio::test]
async fn law_8_a_correction_needs_nobodys_approval() {
    let scene = told().await;
    scene.server.policy(Policy { approval_threshold: Some(0), ..Policy::default() }, &["approval_threshold"]).await;
    scene.server.yank(&scene.release).await;
    scene.is_corrected().await;
}

#[tokio::test]
async fn law_8_a_correction_that_must_not_be_sent_leaves_its_reason_and_goes_when_it_may() {
    let scene = told().await;
    scene.server.opt_out(&scene.ada.customer_id, true).await;
    scene.server.yank(&scene.release).await;
    scene.server.after(days(1)).await;
    assert_eq!(scene.server.loop_of(&scene.ada).await, "CLOSED opted_out");
    assert_eq!(scene.server.subjects("ada@example.org").len(), 1);
    scene.server.opt_out(&scene.ada.customer_id, false).await;
    scene.is_corrected().await;
    assert_eq!(scene.server.loop_of(&scene.ada).await, "OPEN waiting_for_release");
}

#[tokio::test]
async fn law_8_who_moved_to_what_the_fix_does_not_reach_is_told_just_that() {
    let scene = told().await;
    scene.server.product_of("app", "", product::VersionScheme::Unspecified, &["2.3", "2.4"]).await;
    scene.server.now_runs(&scene.ada, "2.3.9").await;
    scene.server.run_until_idle().await;
    let mails = scene.server.mail_to("ada@example.org");
    assert_eq!(mails.len(), 2);
    assert!(mails[1].text.contains("The reason: What you run does not have the fix yet."), "{}", mails[1].text);
    scene.server.release(a_release("2.3.10").fixing(DEFECT)).await;
    scene.is_told_again().await;
}
