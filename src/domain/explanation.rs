//! Why a report was placed where it was, as it is remembered beside the report. Every decision has its explanation, so it
//! is kept in few bytes: rows of JSON without the names of their fields, and no more digits than anybody reads.

use serde::{Deserialize, Serialize, Serializer};

use super::id::{ClusterId, ReportId};

/// One piece of evidence for a placement.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(from = "KeptSignal")]
pub struct Signal {
    /// What spoke.
    pub name: String,
    /// How much it added to the score.
    pub weight: f64,
    /// What it saw; empty if that is what [`name`](Self::name) usually sees.
    pub detail: String,
}

/// The evidence for a placement, strongest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Signals(pub Vec<Signal>);

/// What the matcher went by when it decided where a report belongs. No word of any report is in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Grounds {
    /// The version of the matcher.
    pub version: u32,
    /// From this score on it attached: the tenant's threshold, or the lower one of near twins.
    pub attach: f64,
    /// From this score on it asked a person.
    pub suggest: f64,
    /// The nearest clusters, best first; the first decided.
    pub nearest: Vec<Nearest>,
}

/// A cluster that was near to a report, by the one of its reports that was most alike.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(from = "KeptNearest")]
pub struct Nearest {
    /// The cluster.
    pub cluster_id: ClusterId,
    /// The report.
    pub report_id: ReportId,
    /// How alike, 0 to 1.
    pub score: f64,
}

/// Steps that a weight, and a score, is told to in one.
const WEIGHT_STEPS: f64 = 1e6;
const SCORE_STEPS: f64 = 1e9;

fn rounded(number: f64, steps: f64) -> f64 {
    (number * steps).round() / steps
}

impl Serialize for Signal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.name, rounded(self.weight, WEIGHT_STEPS), &self.detail).serialize(serializer)
    }
}

impl Serialize for Nearest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.cluster_id, self.report_id, rounded(self.score, SCORE_STEPS)).serialize(serializer)
    }
}

/// A signal as it is kept, now and by earlier releases.
#[derive(Deserialize)]
#[serde(untagged)]
enum KeptSignal {
    Row(String, f64, String),
    Object { name: String, weight: f64, detail: String },
}

impl From<KeptSignal> for Signal {
    fn from(kept: KeptSignal) -> Self {
        let (KeptSignal::Row(name, weight, detail) | KeptSignal::Object { name, weight, detail }) = kept;
        Self { name, weight, detail }
    }
}

/// A near cluster as it is kept, now and by earlier releases.
#[derive(Deserialize)]
#[serde(untagged)]
enum KeptNearest {
    Row(ClusterId, ReportId, f64),
    Object { cluster_id: ClusterId, report_id: ReportId, score: f64 },
}

impl From<KeptNearest> for Nearest {
    fn from(kept: KeptNearest) -> Self {
        let (KeptNearest::Row(cluster_id, report_id, score) | KeptNearest::Object { cluster_id, report_id, score }) =
            kept;
        Self { cluster_id, report_id, score }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn signals() -> Signals {
        let signal =
            |name: &str, weight, detail: &str| Signal { name: name.to_owned(), weight, detail: detail.to_owned() };
        Signals(vec![signal("shared_terms", -0.090_997, "map, view"), signal("lead", 0.25, "")])
    }

    #[test]
    fn an_explanation_is_kept_in_rows() {
        assert_eq!(json!(signals()), json!([["shared_terms", -0.090_997, "map, view"], ["lead", 0.25, ""]]));
        let long = Signal { weight: -0.011_622_475_009_424_565, ..signals().0[0].clone() };
        assert_eq!(json!(long)[1], json!(-0.011_622));
        let (cluster_id, report_id) = (ClusterId::new(), ReportId::new());
        let near = Nearest { cluster_id, report_id, score: 0.007_967_940_466_021_68 };
        assert_eq!(json!(near), json!([cluster_id, report_id, 0.007_967_94]));
    }

    #[test]
    fn what_was_kept_is_read_again_and_so_is_what_earlier_releases_kept() {
        let signals = signals();
        assert_eq!(serde_json::from_value::<Signals>(json!(signals)).expect("our own form"), signals);
        let Signal { name, weight, detail } = &signals.0[0];
        let before = json!([{"name": name, "weight": weight, "detail": detail}]);
        assert_eq!(serde_json::from_value::<Signals>(before).expect("the form before").0, signals.0[..1]);

        let near = Nearest { cluster_id: ClusterId::new(), report_id: ReportId::new(), score: 0.5 };
        let Nearest { cluster_id, report_id, score } = near;
        let before = json!({"cluster_id": cluster_id, "report_id": report_id, "score": score});
        for kept in [json!(near), before] {
            assert_eq!(serde_json::from_value::<Nearest>(kept).expect("a form that was kept"), near);
        }
        assert!(serde_json::from_value::<Signals>(json!([["lead", "much", ""]])).is_err());
    }
}
