//! Why a probability is what it is, in a handful of reasons that add up to it.
//!
//! The gate is asked again and again: first with an ordinary candidate, whose every measure is the mean of all, then with
//! one group of measures after the other put in its place. What the answer moves by is the group's weight. The order is
//! fixed, what people would look at first comes first.

use super::decide::Signal;
use super::measures::{Measure, Measures};
use super::model::{GATE_INPUTS, Lead, Model, logistic};

use Measure as M;

/// What a reason is about before any group is looked at.
const ORDINARY: (&str, &str) = ("ordinary", "what is first found is right so often");
/// The groups: a stable name, the measures, and what they say where there is no more to tell.
const GROUPS: &[(&str, &[usize], &str)] = &[
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
        "they share no words",
    ),
    ("title", &[M::Title as usize, M::TitleLag as usize], "how alike the titles are"),
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
        "how near they are in meaning",
    ),
    (
        "strong_terms",
        &[M::Strong as usize, M::TellingNames as usize, M::SameStack as usize],
        "they share no code and no identifier",
    ),
    (
        "differing_terms",
        &[M::UnsharedNew as usize, M::UnsharedKnown as usize, M::Alone as usize],
        "telling words of one title that the other report has or lacks",
    ),
    (
        "differing_numbers",
        &[M::NumbersDiffer as usize, M::NumbersShared as usize],
        "the titles name no different numbers or versions",
    ),
    (
        "differing_platforms",
        &[M::FacetsDiffer as usize, M::FacetsShared as usize],
        "the titles name no different platforms or file formats",
    ),
    ("differing_codes", &[M::CodesDiffer as usize], "the titles name no different error codes"),
    (
        "time",
        &[M::Days as usize, M::Recent as usize, M::ClusterDays as usize],
        "nobody knows how long ago the other came",
    ),
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
        "how large the cluster is, and what its other reports mean",
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
        "how far it is ahead of other clusters",
    ),
    (
        "kind_of_text",
        &[M::BothBodies as usize, M::OneBody as usize, M::Terms as usize, M::LengthRatio as usize, M::Repeats as usize],
        "how long the texts are, and how much of the stream repeats itself",
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
    let mut signals = vec![Signal { name: ORDINARY.0, weight: last, detail: String::new() }];
    for (at, (name, places, _)) in GROUPS.iter().enumerate() {
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

/// What a reason of this name says where its detail is empty; nothing where no name is so.
pub fn usual_detail(name: &str) -> &'static str {
    let groups = GROUPS.iter().map(|&(name, _, usual)| (name, usual));
    groups.chain([ORDINARY]).find(|(known, _)| *known == name).map_or("", |(_, usual)| usual)
}

/// What a reason says beyond what it usually does: only that is kept with each report.
fn detail(name: &str, measures: &Measures, [shared, strong]: &[String; 2]) -> String {
    let percent = |measure: Measure| measures.get(measure) * 100.0;
    let differs = |measure: Measure, what: &str| {
        let differs = measures.get(measure) > 0.0;
        if differs { format!("the titles name different {what}") } else { String::new() }
    };
    match name {
        "shared_terms" => shared.clone(),
        "title" => format!("titles are {:.0} % alike", percent(M::Title)),
        "meaning" => format!("they mean the same to {:.0} %", percent(M::Cosine)),
        "strong_terms" => strong.clone(),
        "differing_numbers" => differs(M::NumbersDiffer, "numbers or versions"),
        "differing_platforms" => differs(M::FacetsDiffer, "platforms or file formats"),
        "differing_codes" => differs(M::CodesDiffer, "error codes"),
        "time" if !measures.get(M::Days).is_nan() => {
            format!("the other came {:.0} days before", measures.get(M::Days).exp_m1())
        }
        "cluster" => format!(
            "a cluster of {:.0}, whose reports mean the same to {:.0} %",
            measures.get(M::ClusterSize).exp(),
            percent(M::ClusterMean)
        ),
        _ => String::new(),
    }
}
