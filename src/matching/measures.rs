//! What is measured of a candidate before anybody judges: numbers that mean the same in every stream.
//!
//! Three kinds stand side by side in [`Measures`]: what the two texts show ([`Measure::Whole`] to
//! [`Measure::LengthRatio`]), how the candidate stands among the others (ranks, gaps, support), and what its cluster adds
//! (its size, how near its other exemplars are, when it was last heard of).

/// The measures, by their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Measure {
    /// Likeness of all words: BM25F by the geometric mean of the selves.
    Whole,
    /// Likeness of the titles' words.
    Title,
    /// The share of the poorer text's words that the other has.
    Contained,
    /// The cosine of the vectors.
    Cosine,
    /// How near each piece of either text is to its like in the other, and the weight of what nothing answers to; unknown
    /// if a text has no telling piece.
    Aligned,
    Alone,
    /// Shared codes and identifiers, by idf, saturated.
    Strong,
    /// Shared telling words, as a logarithm.
    TellingWords,
    /// Shared codes and identifiers, as a logarithm.
    TellingNames,
    /// Shared everyday words, as a logarithm.
    GenericWords,
    /// The rarest shared term, by idf beside the greatest idf possible.
    RarestShared,
    /// All shared idf, as a logarithm.
    SharedMass,
    /// The rarest word of the new title that the other text lacks, likewise.
    UnsharedNew,
    /// The rarest word of the known title that the new text lacks, likewise.
    UnsharedKnown,
    /// The titles name different numbers; 1 or 0, as the following.
    NumbersDiffer,
    FacetsDiffer,
    CodesDiffer,
    NumbersShared,
    FacetsShared,
    SameStack,
    /// Both have a body.
    BothBodies,
    /// Exactly one has a body.
    OneBody,
    /// Distinct terms of the new text, as a logarithm.
    Terms,
    /// How many times longer one is than the other, as a logarithm.
    LengthRatio,
    /// One by the place in the list by words, and in the list by vectors; 0 if it is not there.
    LexicalRank,
    VectorRank,
    /// Whole and cosine beside the mean of the ten best.
    WholeGap,
    CosineGap,
    /// Whole, cosine and title beside the best.
    WholeLag,
    CosineLag,
    TitleLag,
    /// How near the candidate is to what else is near.
    Support,
    /// Days since the text was last heard, as a logarithm; [`UNTOLD`] if a time is not known, as the next two.
    Days,
    /// Close to 1 within days, 0 after weeks.
    Recent,
    /// Days since the cluster was last heard of, as a logarithm.
    ClusterDays,
    /// Reports of the cluster, as a logarithm.
    ClusterSize,
    /// The cluster's share of the candidates found.
    ClusterShare,
    /// Mean cosine of the cluster's exemplars, and of its three nearest.
    ClusterMean,
    ClusterNearest,
    /// Mean likeness of the cluster's three best candidates.
    ClusterWhole,
    /// The judgement by rules of thumb.
    Rules,
    /// How much of the stream repeats what was there: a share of its reports.
    Repeats,
}

/// How many there are.
pub(super) const COUNT: usize = Measure::Repeats as usize + 1;

/// Measures of which more can only speak for the same problem, whatever else is measured. In a stream where equal titles are
/// mostly chores, a judge that is free to would learn that a title is alike by chance.
pub(super) const SPEAK_FOR: [Measure; 12] = [
    Measure::Whole,
    Measure::Title,
    Measure::Contained,
    Measure::Cosine,
    Measure::Aligned,
    Measure::Strong,
    Measure::RarestShared,
    Measure::TellingNames,
    Measure::NumbersShared,
    Measure::FacetsShared,
    Measure::SameStack,
    Measure::Rules,
];

/// Measures of which more can only speak against it.
pub(super) const SPEAK_AGAINST: [Measure; 6] = [
    Measure::Alone,
    Measure::UnsharedNew,
    Measure::UnsharedKnown,
    Measure::NumbersDiffer,
    Measure::FacetsDiffer,
    Measure::CodesDiffer,
];

/// The value of what is not known. To the judge it is as good as the ordinary: not to know when a report is from says
/// nothing about the report.
pub(super) const UNTOLD: f64 = f64::NAN;

/// A candidate's measures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Measures(pub(super) [f32; COUNT]);

impl Default for Measures {
    fn default() -> Self {
        Self([0.0; COUNT])
    }
}

impl Measures {
    pub(super) fn get(&self, measure: Measure) -> f32 {
        self.0[measure as usize]
    }

    pub(super) fn set(&mut self, measure: Measure, value: f64) {
        self.0[measure as usize] = value as f32;
    }
}

/// What a cluster adds to its candidates.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ClusterView {
    pub(super) size: u32,
    pub(super) mean: f64,
    pub(super) nearest: f64,
    pub(super) days: Option<f64>,
}

/// Days between two times in seconds.
pub(super) fn days(now: Option<i64>, then: Option<i64>) -> Option<f64> {
    Some((now?.saturating_sub(then?)).max(0) as f64 / 86_400.0)
}

/// Measures how each candidate stands among the others.
pub(super) fn relate(all: &mut [Measures]) {
    for (measure, gap, lag) in [
        (Measure::Whole, Some(Measure::WholeGap), Measure::WholeLag),
        (Measure::Cosine, Some(Measure::CosineGap), Measure::CosineLag),
        (Measure::Title, None, Measure::TitleLag),
    ] {
        let mut values: Vec<f32> = all.iter().map(|measures| measures.get(measure)).collect();
        values.sort_unstable_by(|a, b| b.total_cmp(a));
        let best = values.first().copied().unwrap_or(0.0);
        values.truncate(10);
        let mean = values.iter().sum::<f32>() / values.len().max(1) as f32;
        for measures in all.iter_mut() {
            let value = measures.get(measure);
            measures.set(lag, f64::from(value - best));
            if let Some(gap) = gap {
                measures.set(gap, f64::from(value - mean));
            }
        }
    }
}
