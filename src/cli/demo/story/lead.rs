//! The support lead: puts together what is one problem, and takes apart what is not.
//!
//! The lead knows the truth because the corpus does. What is done here is what a person does by reading.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::super::super::client::Client;
use super::super::super::report;
use super::super::corpus::{self, DemoReport};
use super::super::truth::reference_of;
use super::{ALL, acts};

/// A submitted report, where the server put it.
pub(super) struct Placed {
    id: String,
    cluster: String,
    /// Its problem; noise is each about something of its own.
    about: Option<&'static str>,
}

/// What the lead did.
pub(super) struct Care {
    /// The one cluster of each problem.
    pub(super) homes: HashMap<&'static str, String>,
    /// Merges.
    pub(super) merges: usize,
    /// Moves.
    pub(super) moves: usize,
}

/// Where all reports are.
///
/// # Errors
/// If the server refuses, or a report is not there.
pub(super) async fn placed(client: &Client, reports: &[DemoReport]) -> anyhow::Result<Vec<Placed>> {
    let stored = report::list(client, "", "create_time", ALL).await?;
    let about: HashMap<String, Option<&'static str>> =
        reports.iter().map(|report| (reference_of(report), report.problem)).collect();
    anyhow::ensure!(stored.len() == about.len(), "{} reports went in, {} are there", about.len(), stored.len());
    let placed = stored.into_iter().map(|report| {
        let reference = format!("{}/{}", report.source, report.external_id);
        Placed { id: report.id, cluster: report.cluster_id, about: about.get(&reference).copied().flatten() }
    });
    Ok(placed.collect())
}

/// The problem that most of a cluster's reports are about, for each cluster. Noise owns what it is in only when it is
/// there alone or among noise.
fn owners(placed: &[Placed]) -> BTreeMap<&str, Option<&'static str>> {
    let mut counts: BTreeMap<&str, BTreeMap<&'static str, usize>> = BTreeMap::new();
    for report in placed {
        let counts = counts.entry(report.cluster.as_str()).or_default();
        if let Some(problem) = report.about {
            *counts.entry(problem).or_default() += 1;
        }
    }
    let largest = |counts: &BTreeMap<&'static str, usize>| {
        counts.iter().max_by_key(|(_, count)| **count).map(|(problem, _)| *problem)
    };
    counts.iter().map(|(cluster, counts)| (*cluster, largest(counts))).collect()
}

/// The share of reports that are among their own kind: in a cluster of their problem, or for noise, of no problem.
pub(super) fn purity(placed: &[Placed]) -> f64 {
    let owners = owners(placed);
    let pure = placed.iter().filter(|report| owners[report.cluster.as_str()] == report.about).count();
    pure as f64 / placed.len().max(1) as f64
}

/// How many clusters belong to problems, and not to noise.
pub(super) fn spread(placed: &[Placed]) -> usize {
    owners(placed).values().filter(|owner| owner.is_some()).count()
}

/// Puts every problem into one cluster of its own.
///
/// # Errors
/// If the server refuses, or people's word did not hold.
pub(super) async fn look_over(client: &Client, reports: &[DemoReport]) -> anyhow::Result<Care> {
    let before = placed(client, reports).await?;
    let owners = owners(&before);
    let mut care = Care { homes: HashMap::new(), merges: 0, moves: 0 };
    for problem in corpus::problems() {
        let mut own: Vec<(usize, &str)> = owners
            .iter()
            .filter(|(_, owner)| **owner == Some(problem.key))
            .map(|(cluster, _)| {
                let theirs = |report: &&Placed| report.cluster == **cluster && report.about == Some(problem.key);
                (before.iter().filter(theirs).count(), *cluster)
            })
            .collect();
        own.sort_by(|a, b| b.cmp(a));
        if let Some((_, largest)) = own.first() {
            care.homes.insert(problem.key, (*largest).to_owned());
        }
    }
    // First apart, then together: a merge must not carry what does not belong.
    for stray in before.iter().filter(|report| owners[report.cluster.as_str()] != report.about) {
        let home = stray.about.and_then(|problem| care.homes.get(problem)).cloned().unwrap_or_default();
        let now = acts::move_report(client, &stray.id, &home).await?;
        if let Some(problem) = stray.about {
            care.homes.entry(problem).or_insert(now);
        }
        care.moves += 1;
    }
    for (cluster, owner) in &owners {
        let Some(home) = owner.and_then(|problem| care.homes.get(problem)) else { continue };
        if home != cluster {
            acts::merge(client, cluster, home).await?;
            care.merges += 1;
        }
    }
    let now = placed(client, reports).await?;
    for (problem, home) in &care.homes {
        let places: BTreeSet<&str> =
            now.iter().filter(|report| report.about == Some(problem)).map(|report| report.cluster.as_str()).collect();
        anyhow::ensure!(places == BTreeSet::from([home.as_str()]), "{problem} is in {places:?} after the merges");
        let guests = now.iter().filter(|report| report.cluster == *home && report.about != Some(problem)).count();
        anyhow::ensure!(guests == 0, "{guests} reports of something else are with {problem}");
    }
    Ok(care)
}
