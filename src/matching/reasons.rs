//! Why a probability is what it is, in a handful of reasons that add up to it.
//!
//! The gate is asked again and again: first with an ordinary candidate, whose every measure is the mean of all, then with
//! one group of measures after the other put in its place. What the answer moves by is the group's weight. The order is
//! fixed, what people would look at first comes first.

use super::decide::Signal;
use super::measures::{Measure, Measures};
use super::model::{GATE_INPUTS, Lead, Model, logistic};

use Measure as M;

/// The groups: a stable name, and the measures.
const GROUPS: &[(&str, &[usize])] = &[
    (
        "shared_terms",
        &[
            M::Whole as usize,
            M::Contained as usize,
            M::TellingWords as usize,
            M::GenericWords as usize,
            M::RarestShared as usize,
            M::SharedMass as usize,
            M::LexicalRank as usize,
            M::WholeGap as usize,
            M::WholeLag as usize,
            M::Rules as usize,
        ],
    ),
    ("title", &[M::Title as usize, M::TitleLag as usize]),
    (
        "meaning",
        &[
            M::Cosine as usize,
            M::Aligned as usize,
            M::VectorRank as usize,
            M::CosineGap as usize,
            M::CosineLag as usize,
            M::Support as usize,
        ],
    ),
    ("strong_terms", &[M::Strong as usize, M::TellingNames as usize, M::SameStack as usize]),
    ("differing_terms", &[M::UnsharedNew as usize, M::UnsharedKnown as usize, M::Alone as usize]),
    ("differing_numbers", &[M::NumbersDiffer as usize, M::NumbersShared as usize]),
    ("differing_platforms", &[M::FacetsDiffer as usize, M::FacetsShared as usize]),
    ("differing_codes", &[M::CodesDiffer as usize]),
    ("time", &[M::Days as usize, M::Recent as usize, M::ClusterDays as usize]),
    (
        "cluster",
        &[
            M::ClusterSize as usize,
            M::ClusterShare as usize,
            M::ClusterMean as usize,
            M::ClusterNearest as usize,
            M::ClusterWhole as usize,
            Lead::Fit as usize,
            Lead::Nearer as usize,
        ],
    ),
    (
        "lead",
        &[
            Lead::Odds as usize,
            Lead::Rank as usize,
            Lead::Margin as usize,
            Lead::OfTen as usize,
            Lead::Found as usize,
            Lead::KinOdds as usize,
            Lead::Kin as usize,
            Lead::Rival as usize,
        ],
    ),
    (
        "kind_of_text",
        &[M::BothBodies as usize, M::OneBody as usize, M::Terms as usize, M::LengthRatio as usize, M::Repeats as usize],
    ),
];
/// A reason that moved the probability by less is left out, and what it moved is given to the next.
const LEAST: f64 = 0.002;

/// The reasons of a verdict. `shared` names the shared terms, all and only codes and identifiers.
pub(super) fn of(model: &Model, inputs: &[f32; GATE_INPUTS], measures: &Measures, shared: &[String; 2]) -> Vec<Signal> {
    let gate = &model.gate;
    let (mut normal, mut known) = ([0.0; GATE_INPUTS], [0.0; GATE_INPUTS]);
    let mut units = vec![0.0; gate.hidden];
    gate.normal(inputs, &mut known);
    let mut last = logistic(gate.answer(&normal, &mut units));
    let mut signals =
        vec![Signal { name: "ordinary", weight: last, detail: "what is first found is right so often".to_owned() }];
    for (at, (name, places)) in GROUPS.iter().enumerate() {
        places.iter().for_each(|&place| normal[place] = known[place]);
        let now =
            if at + 1 == GROUPS.len() { model.probability(inputs) } else { logistic(gate.answer(&normal, &mut units)) };
        if (now - last).abs() >= LEAST || at + 1 == GROUPS.len() {
            signals.push(Signal { name, weight: now - last, detail: detail(name, measures, shared) });
            last = now;
        }
    }
    signals
}

fn detail(name: &str, measures: &Measures, [shared, strong]: &[String; 2]) -> String {
    let percent = |measure: Measure| measures.get(measure) * 100.0;
    match name {
        "shared_terms" => shared.clone(),
        "title" => format!("titles are {:.0} % alike", percent(M::Title)),
        "meaning" => format!("they mean the same to {:.0} %", percent(M::Cosine)),
        "strong_terms" => strong.clone(),
        "differing_terms" => "telling words of one title that the other report has or lacks".to_owned(),
        "differing_numbers" => differs(measures, M::NumbersDiffer, "numbers or versions"),
        "differing_platforms" => differs(measures, M::FacetsDiffer, "platforms"),
        "differing_codes" => differs(measures, M::CodesDiffer, "error codes"),
        "time" if measures.get(M::Days).is_nan() => "nobody knows how long ago the other came".to_owned(),
        "time" => format!("the other came {:.0} days before", measures.get(M::Days).exp_m1()),
        "cluster" => format!(
            "a cluster of {:.0}, whose reports mean the same to {:.0} %",
            measures.get(M::ClusterSize).exp(),
            percent(M::ClusterMean)
        ),
        "lead" => "how far it is ahead of other clusters".to_owned(),
        _ => "how long the texts are, and how much of the stream repeats itself".to_owned(),
    }
}

fn differs(measures: &Measures, measure: Measure, what: &str) -> String {
    if measures.get(measure) > 0.0 {
        format!("the titles name different {what}")
    } else {
        format!("the titles name no different {what}")
    }
}
