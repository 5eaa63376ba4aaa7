//! What `ReleaseService` promises beyond the laws.

use tonic::Code;

use crate::support::proto::*;
use crate::support::{Server, a_release, a_report, fields, reason};

const DEFECT: &str = "github:acme/app#12";

#[tokio::test]
async fn a_release_recorded_again_adds_fixes_and_platforms() {
    let server = Server::start().await;
    let planned = server.release(a_release("2.4.1").platform("Windows").planned()).await;
    assert_eq!((planned.state(), planned.release_time), (release::State::Planned, None));
    let released = server.release(a_release("2.4.1").platform("linux").fixing(DEFECT)).await;
    assert_eq!(released.id, planned.id);
    assert_eq!(released.state(), release::State::Released);
    assert!(released.release_time.is_some());
    assert_eq!((released.platforms.len(), released.defect_ids.len()), (2, 1));
    let again = server.releases().record_release(a_release("2.4.1").fixing(DEFECT).request).await.expect("nothing new");
    let again = again.into_inner();
    assert!(again.replayed && !again.created);
    // A released one does not go back.
    let back = server.releases().record_release(a_release("2.4.1").planned().request).await;
    match back {
        Ok(answer) => assert_eq!(answer.into_inner().release.expect("it").state(), release::State::Released),
        Err(refused) => {
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "STATE_FORBIDS"))
        }
    }
}

#[tokio::test]
async fn a_yanked_release_stays_yanked() {
    let server = Server::start().await;
    let release = server.release(a_release("2.4.1").fixing(DEFECT)).await;
    let yanked = server.yank(&release).await;
    assert_eq!((yanked.state(), yanked.yank_reason.as_str()), (release::State::Yanked, "it made things worse"));
    let request = YankReleaseRequest { release_id: release.id.clone(), ..Default::default() };
    assert!(server.releases().yank_release(request).await.expect("it is").into_inner().replayed);
    let refused = server.releases().record_release(a_release("2.4.1").request).await.expect_err("gone for good");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "STATE_FORBIDS"));
}

#[tokio::test]
async fn versions_are_read_in_the_products_scheme() {
    let server = Server::start().await;
    let refused = server.releases().record_release(a_release("banana").request).await.expect_err("no version");
    assert_eq!(fields(&refused), ["version"]);
    server.product_of("cloud", "Cloud", product::VersionScheme::Continuous, &[]).await;
    server.release(a_release("banana").of("cloud")).await;
}

#[tokio::test]
async fn a_deployment_says_its_percentage_and_grows() {
    let server = Server::start().await;
    let release = server.release(a_release("2.4.1")).await;
    let unsaid = RecordDeploymentRequest { release_id: release.id.clone(), ..Default::default() };
    assert_eq!(fields(&server.releases().record_deployment(unsaid).await.expect_err("unsaid")), ["percent"]);
    for percent in [-1, 101] {
        let wrong =
            RecordDeploymentRequest { release_id: release.id.clone(), percent: Some(percent), ..Default::default() };
        assert_eq!(fields(&server.releases().record_deployment(wrong).await.expect_err("wrong")), ["percent"]);
    }
    let none = server.deploy(&release, 0).await;
    let half = server.deploy(&release, 50).await;
    assert_eq!((none.id.as_str(), half.percent), (half.id.as_str(), 50));
    assert_eq!(half.environment, "production");
    let beta = server.deploy_to(&release, "beta", 100).await;
    assert_ne!(beta.id, half.id);
    let request = GetReleaseRequest { release_id: release.id.clone() };
    let known = server.releases().get_release(request).await.expect("it").into_inner().release.expect("it");
    assert_eq!(known.deployments.len(), 2);
    server.roll_back(&beta).await;
    let request = RollBackDeploymentRequest { deployment_id: beta.id.clone(), ..Default::default() };
    assert!(server.releases().roll_back_deployment(request).await.expect("it is").into_inner().replayed);
}

#[tokio::test]
async fn coverage_names_the_verdict_and_the_rule_that_decided() {
    let server = Server::start().await;
    server.product_of("app", "", product::VersionScheme::Unspecified, &["2.2", "2.3", "2.4"]).await;
    server.release(a_release("2.3.7").fixing(DEFECT)).await;
    server.release(a_release("2.4.1").fixing(DEFECT)).await;
    let judge = async |version: &str| {
        let installation =
            InstallationFacts { product: "app".to_owned(), version: version.to_owned(), ..Default::default() };
        let request = GetCoverageRequest {
            defect: DEFECT.to_owned(),
            subject: Some(get_coverage_request::Subject::Installation(installation)),
        };
        let mut coverages = server.releases().get_coverage(request).await.expect("a verdict").into_inner().coverages;
        assert_eq!(coverages.len(), 1);
        let coverage = coverages.remove(0);
        assert!(!coverage.rule.is_empty(), "{version}");
        (coverage.verdict(), coverage.version)
    };
    use coverage::Verdict::{Covered, UpgradeAvailable};
    assert_eq!(judge("2.3.6").await, (UpgradeAvailable, "2.3.7".to_owned()));
    assert_eq!(judge("2.4.0").await, (UpgradeAvailable, "2.4.1".to_owned()));
    assert_eq!(judge("2.3.8").await.0, Covered);
    assert_eq!(judge("2.5.0").await.0, Covered);
    assert_eq!(judge("").await.0, coverage::Verdict::Unknown);
    assert_eq!(judge("banana").await.0, coverage::Verdict::Unknown);
    assert!(!matches!(judge("2.2.9").await.0, Covered), "2.2 gets no fix");
}

#[tokio::test]
async fn coverage_of_a_customer_is_that_of_what_they_run() {
    let server = Server::start().await;
    let ada = server.submit(a_report().from("ada@example.org")).await;
    server.release(a_release("2.4.1").fixing(DEFECT)).await;
    let judge = async || {
        let subject = get_coverage_request::Subject::CustomerId(ada.customer_id.clone());
        let request = GetCoverageRequest { defect: DEFECT.to_owned(), subject: Some(subject) };
        server.releases().get_coverage(request).await.expect("a verdict").into_inner().coverages.remove(0)
    };
    assert_eq!(judge().await.verdict(), coverage::Verdict::Unknown);
    server.now_runs(&ada, "2.4.1").await;
    assert_eq!(judge().await.verdict(), coverage::Verdict::Covered);
    let nobody = GetCoverageRequest { defect: DEFECT.to_owned(), subject: None };
    let refused = server.releases().get_coverage(nobody).await.expect_err("for whom?");
    assert_eq!(reason(&refused), "FIELD_INVALID");
}

#[tokio::test]
async fn releases_are_listed_and_filtered() {
    let server = Server::start().await;
    let first = server.release(a_release("2.4.1").fixing(DEFECT).line("2.4")).await;
    let second = server.release(a_release("2.4.2").line("2.4").planned()).await;
    let list = async |filter: &str| -> Vec<String> {
        let request = ListReleasesRequest { filter: filter.to_owned(), ..Default::default() };
        let page = server.releases().list_releases(request).await.expect("a page").into_inner();
        page.releases.into_iter().map(|release| release.version).collect()
    };
    assert_eq!(list("").await, [second.version.as_str(), first.version.as_str()]);
    assert_eq!(list("state = PLANNED").await, ["2.4.2"]);
    assert_eq!(list("version = 2.4.1").await, ["2.4.1"]);
    assert_eq!(list(&format!("defect_id = {}", first.defect_ids[0])).await, ["2.4.1"]);
    assert_eq!(list(&format!("product_id = {} AND line = 2.4", first.product_id)).await.len(), 2);
}
