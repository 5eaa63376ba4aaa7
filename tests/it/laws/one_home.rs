//! Law 3: a report has one home, and counters equal a recount.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::support::proto::{Operation, Report, cluster};
use crate::support::{Server, a_report};

/// Texts that have nothing to do with each other.
const TOPICS: [&str; 4] = [
    "Export to PDF stops at page three",
    "Login shows a blank screen after the update",
    "Battery drains overnight while the tablet is locked",
    "Invoice totals ignore the reduced tax rate",
];

/// Recounts everything from the reports and compares.
async fn recount(server: &Server, reports: &[Report]) {
    let mut homes: BTreeMap<String, (i64, BTreeSet<String>)> = BTreeMap::new();
    for report in server.list_reports("").await {
        let home = homes.entry(report.cluster_id).or_default();
        home.0 += 1;
        home.1.insert(report.customer_id);
    }
    assert_eq!(homes.values().map(|(count, _)| *count).sum::<i64>(), reports.len() as i64, "each report once");
    for cluster in server.list_clusters().await {
        let (count, reporters) = homes.remove(&cluster.id).unwrap_or_default();
        assert_eq!((cluster.report_count, cluster.reporter_count), (count, reporters.len() as i64), "{}", cluster.id);
    }
    assert!(homes.is_empty(), "reports are in clusters that are listed: {homes:?}");
}

#[tokio::test]
async fn law_3_counters_equal_a_recount_after_any_moves_merges_splits_and_undos() {
    for seed in 0..3 {
        let mut dice = StdRng::seed_from_u64(seed);
        let server = Server::start().await;
        let mut reports = Vec::new();
        let mut steps: Vec<Operation> = Vec::new();
        for number in 0..40 {
            let open: Vec<_> = server.list_clusters().await;
            match dice.random_range(0..6) {
                _ if number < 8 => {
                    let topic = TOPICS.choose(&mut dice).expect("topics");
                    let customer = format!("c{}@example.org", dice.random_range(0..4));
                    reports.push(server.submit(a_report().from(&customer).saying(topic)).await);
                }
                0 | 1 => {
                    let report = reports.choose(&mut dice).expect("reports");
                    let home = server.report(&report.id).await.cluster_id;
                    let to = open.choose(&mut dice).map(|cluster| cluster.id.clone()).filter(|id| *id != home);
                    let to = to.unwrap_or_default();
                    // Alone already: nowhere of its own to go.
                    if !to.is_empty() || server.cluster(&home).await.report_count > 1 {
                        steps.extend(server.move_report(report, &to).await.operation);
                    }
                }
                2 => {
                    let pair: Vec<_> = open.choose_multiple(&mut dice, 2).collect();
                    if let [from, into] = pair[..] {
                        steps.push(server.merge(&from.id, &into.id).await);
                    }
                }
                3 => {
                    if let Some(cluster) = open.iter().find(|cluster| cluster.report_count > 1) {
                        let members = server.list_reports(&format!("cluster_id = {}", cluster.id)).await;
                        steps.extend(server.split(&cluster.id, &[&members[0]]).await.operation);
                    }
                }
                4 => {
                    // The last step can always be taken back; earlier ones may have others standing on them.
                    if let Some(step) = steps.pop() {
                        server.undo(&step).await;
                    }
                }
                _ => {
                    let topic = TOPICS.choose(&mut dice).expect("topics");
                    reports.push(server.submit(a_report().from("late@example.org").saying(topic)).await);
                }
            }
        }
        recount(&server, &reports).await;
        let server = server.restart().await;
        recount(&server, &reports).await;
    }
}

#[tokio::test]
async fn law_3_a_merged_cluster_is_found_and_says_where_its_reports_went() {
    let server = Server::start().await;
    let ada = server.submit(a_report().from("ada@example.org").saying(TOPICS[0])).await;
    let ben = server.submit(a_report().from("ben@example.org").saying(TOPICS[1])).await;
    server.merge(&ben.cluster_id, &ada.cluster_id).await;
    let gone = server.cluster(&ben.cluster_id).await;
    assert_eq!((gone.state(), gone.report_count), (cluster::State::Merged, 0));
    assert_eq!(gone.merged_into_cluster_id, ada.cluster_id);
    assert_eq!(server.report(&ben.id).await.cluster_id, ada.cluster_id);
    assert_eq!(server.cluster(&ada.cluster_id).await.report_count, 2);
}
