//! How alike two texts are, as a number between 0 and 1 and the reasons for it.
//!
//! The ground is BM25F made symmetric: each term counts its idf times its saturated weight in either text, and the sum
//! over shared terms is divided by the geometric mean of what each text would score against itself. So a text is like
//! itself with 1, and a long text is not like everything. Upon that a few adjustments that a person can follow: how
//! alike the titles are, shared codes and identifiers, and numbers, platforms, file formats or codes that differ.

use super::features::{Features, MAX_TERMS};
use super::lexical::{Document, Lexicon, Places, Query};
use super::measures::{Measure, Measures};
use super::text::Kind;

/// The title's greatest share of the score, where both texts have more than a title.
const TITLE_SHARE: f64 = 0.40;
/// The idf in the poorer title at which it gets half of that share: `App crash` says less than its body.
const TITLE_HALF: f64 = 8.0;
/// What shared codes and identifiers add at most.
const STRONG_BONUS: f64 = 0.10;
/// Shared idf at which half of [`STRONG_BONUS`] is given.
const STRONG_HALF: f64 = 8.0;
/// What different numbers or versions in the titles take away: JDK 13 is not JDK 14.
const NUMBERS_DIFFER: f64 = 0.25;
/// What different platforms or file formats in the titles take away.
const FACETS_DIFFER: f64 = 0.20;
/// What different error codes anywhere take away.
const CODES_DIFFER: f64 = 0.15;
/// What takes away that each title has a word of its own, for texts with a body and for short ones: of long texts about
/// the same part of a product most words are alike, and the one that is not makes the difference.
const LONG_DIFFERS: f64 = 0.10;
const SHORT_DIFFERS: f64 = 0.10;
/// The idf of such a word at which half of it is taken.
const UNSHARED_HALF: f64 = 4.0;
/// What is taken from long texts, and the terms of the shorter at which half of it is taken: templates, logs and
/// descriptions of one part of a product are alike without being about one problem.
const WORDY: f64 = 0.30;
const WORDY_HALF: f64 = 60.0;
/// How many shared terms an explanation names.
const NAMED_TERMS: usize = 6;

/// Two texts, compared.
#[derive(Debug, Clone, Default)]
pub(super) struct Comparison {
    /// Likeness of all words, 0 to 1.
    whole: f64,
    /// Likeness of the titles, 0 to 1.
    title: f64,
    /// The title's share of the score.
    title_share: f64,
    long: bool,
    /// Distinct terms of the shorter text.
    size: f64,
    /// Shared idf of codes and identifiers.
    strong: f64,
    /// The share of the poorer text's weight that is shared.
    contained: f64,
    /// The greatest shared idf of a term that names something, and all of it.
    rarest: f64,
    mass: f64,
    /// The rarest word of the query's title that the document lacks, and the other way round.
    unshared_query: f64,
    unshared_document: f64,
    numbers_shared: bool,
    facets_shared: bool,
    /// How many times longer one is than the other.
    length_ratio: f64,
    one_body: bool,
    numbers_differ: bool,
    facets_differ: bool,
    codes_differ: bool,
    /// The rarest word of either title that the other title lacks, by idf; the smaller of the two.
    unshared: f64,
    /// Shared plain words that are not everybody's.
    telling_words: u32,
    /// Shared words that are everybody's.
    generic_words: u32,
    /// Shared codes and identifiers.
    telling_names: u32,
    /// Whether exactly one of the two names its product.
    pub(super) product_unknown: bool,
}

/// What of one kind stands in the query, in the document, and in both.
#[derive(Default, Clone, Copy)]
struct Sides {
    query: u32,
    document: u32,
    shared: u32,
}

impl Sides {
    fn differ(self) -> bool {
        self.query > 0 && self.document > 0 && self.shared == 0
    }
}

/// What of a text is the same whatever it is compared with.
#[derive(Debug, Default)]
pub(super) struct Asked {
    own: f64,
    own_head: f64,
    numbers: u32,
    facets: u32,
    codes: u32,
    /// The places of its title's telling terms, the most telling first.
    telling: Vec<(u32, f64)>,
}

impl Asked {
    pub(super) fn of(query: &Query) -> Self {
        let mut asked = Self::default();
        for (place, term) in (0..).zip(&query.terms) {
            asked.own += term.idf * term.weight * term.weight;
            if term.head {
                asked.own_head += term.idf * term.kind.weight();
                if names_a_thing(term.kind) && !term.generic {
                    asked.telling.push((place, term.idf));
                }
            }
            match term.kind {
                Kind::Number if term.head => asked.numbers += 1,
                Kind::Facet if term.head => asked.facets += 1,
                Kind::Code => asked.codes += 1,
                _ => {}
            }
        }
        asked.telling.sort_by(|a, b| b.1.total_cmp(&a.1));
        asked
    }
}

/// A set of places in a query.
#[derive(Default)]
struct Met([u64; MAX_TERMS.div_ceil(64)]);

impl Met {
    fn add(&mut self, place: usize) {
        self.0[place / 64] |= 1 << (place % 64);
    }

    fn has(&self, place: usize) -> bool {
        self.0[place / 64] >> (place % 64) & 1 == 1
    }
}

/// Compares a text with a document.
pub(super) fn compare(
    lexicon: &Lexicon,
    places: &Places,
    query: &Query,
    text: &Asked,
    document: &Document<'_>,
) -> Comparison {
    let (mut shared, mut shared_head) = (0.0, 0.0);
    let &Asked { own, own_head, .. } = text;
    let (mut other, mut other_head) = (0.0, 0.0);
    let sides = |query| Sides { query, ..Sides::default() };
    let (mut numbers, mut facets, mut codes) = (sides(text.numbers), sides(text.facets), sides(text.codes));
    let mut comparison = Comparison {
        long: query.has_body && document.has_body,
        size: query.terms.len().min(document.terms.len()) as f64,
        product_unknown: query.product.is_some() != document.product.is_some(),
        ..Comparison::default()
    };
    let ln_of_all = lexicon.ln_of_all();
    let mut met = Met::default();
    let mut unshared_document: f64 = 0.0;
    for term in document.terms.iter() {
        let weight = f64::from(term.weight);
        let place = places.of(term.id);
        let idf = place.map_or_else(|| lexicon.idf_beside(ln_of_all, term.id), |place| query.terms[place].idf);
        other += idf * weight * weight;
        if term.head {
            other_head += idf * term.kind.weight();
        }
        match term.kind {
            Kind::Number if term.head => numbers.document += 1,
            Kind::Facet if term.head => facets.document += 1,
            Kind::Code => codes.document += 1,
            _ => {}
        }
        let Some(place) = place else {
            if term.head && names_a_thing(term.kind) && !lexicon.is_generic(term.id) {
                unshared_document = unshared_document.max(idf);
            }
            continue;
        };
        met.add(place);
        let asked = &query.terms[place];
        shared += idf * weight * asked.weight;
        if term.kind.max(asked.kind) >= Kind::Word {
            comparison.rarest = comparison.rarest.max(idf);
            comparison.mass += idf;
        }
        if term.head && asked.head {
            shared_head += idf * (term.kind.weight() * asked.kind.weight()).sqrt();
        }
        match term.kind.max(asked.kind) {
            Kind::Number => numbers.shared += 1,
            Kind::Facet => facets.shared += 1,
            Kind::Code => {
                codes.shared += 1;
                comparison.telling_names += 1;
                comparison.strong += idf;
            }
            Kind::Identifier => {
                comparison.telling_names += 1;
                comparison.strong += idf;
            }
            Kind::Word if asked.generic => comparison.generic_words += 1,
            Kind::Word => comparison.telling_words += 1,
            Kind::Part | Kind::Function => {}
        }
    }
    let unshared_query = text.telling.iter().find(|&&(place, _)| !met.has(place as usize)).map_or(0.0, |&(_, idf)| idf);
    comparison.unshared = unshared_query.min(unshared_document);
    (comparison.unshared_query, comparison.unshared_document) = (unshared_query, unshared_document);
    comparison.contained = if own.min(other) > 0.0 { (shared / own.min(other)).min(1.5) } else { 0.0 };
    comparison.numbers_shared = numbers.shared > 0;
    comparison.facets_shared = facets.shared > 0;
    let (longer, shorter) = (query.terms.len().max(document.terms.len()), query.terms.len().min(document.terms.len()));
    comparison.length_ratio = (longer as f64 + 1.0) / (shorter as f64 + 1.0);
    comparison.one_body = query.has_body != document.has_body;
    comparison.whole = ratio(shared, own, other);
    comparison.title = ratio(shared_head, own_head, other_head);
    if comparison.long {
        let mass = own_head.min(other_head);
        comparison.title_share = TITLE_SHARE * mass / (mass + TITLE_HALF);
    }
    comparison.numbers_differ = numbers.differ();
    comparison.facets_differ = facets.differ();
    comparison.codes_differ = codes.differ();
    comparison
}

fn names_a_thing(kind: Kind) -> bool {
    matches!(kind, Kind::Word | Kind::Identifier | Kind::Facet)
}

fn ratio(shared: f64, own: f64, other: f64) -> f64 {
    let both = (own * other).sqrt();
    if both > 0.0 { (shared / both).clamp(0.0, 1.0) } else { 0.0 }
}

impl Comparison {
    /// What each observation adds to the score: name, weight.
    fn parts(&self) -> [(&'static str, f64); 8] {
        let wordy = if self.long { WORDY * self.size / (self.size + WORDY_HALF) } else { 0.0 };
        let differing = if self.long { LONG_DIFFERS } else { SHORT_DIFFERS };
        let take = |differ: bool, weight: f64| if differ { -weight } else { 0.0 };
        [
            ("shared_terms", (1.0 - self.title_share) * self.whole),
            ("title", self.title_share * self.title),
            ("strong_terms", STRONG_BONUS * self.strong / (self.strong + STRONG_HALF)),
            ("differing_terms", -differing * self.unshared / (self.unshared + UNSHARED_HALF)),
            ("long_text", -wordy),
            ("differing_numbers", take(self.numbers_differ, NUMBERS_DIFFER)),
            ("differing_platforms", take(self.facets_differ, FACETS_DIFFER)),
            ("differing_codes", take(self.codes_differ, CODES_DIFFER)),
        ]
    }

    /// The score, 0 to 1.
    pub(super) fn score(&self) -> f64 {
        self.parts().iter().map(|(_, weight)| weight).sum::<f64>().clamp(0.0, 1.0)
    }

    /// What of a comparison is measured, all but what depends on others.
    pub(super) fn measures(&self, most_idf: f64) -> Measures {
        let flag = |holds: bool| f64::from(u8::from(holds));
        let mut measures = Measures::default();
        for (measure, value) in [
            (Measure::Whole, self.whole),
            (Measure::Title, self.title),
            (Measure::Contained, self.contained),
            (Measure::Strong, self.strong / (self.strong + STRONG_HALF)),
            (Measure::TellingWords, f64::from(self.telling_words).ln_1p()),
            (Measure::TellingNames, f64::from(self.telling_names).ln_1p()),
            (Measure::GenericWords, f64::from(self.generic_words).ln_1p()),
            (Measure::RarestShared, self.rarest / most_idf),
            (Measure::SharedMass, self.mass.ln_1p()),
            (Measure::UnsharedNew, self.unshared_query / most_idf),
            (Measure::UnsharedKnown, self.unshared_document / most_idf),
            (Measure::NumbersDiffer, flag(self.numbers_differ)),
            (Measure::FacetsDiffer, flag(self.facets_differ)),
            (Measure::CodesDiffer, flag(self.codes_differ)),
            (Measure::NumbersShared, flag(self.numbers_shared)),
            (Measure::FacetsShared, flag(self.facets_shared)),
            (Measure::BothBodies, flag(self.long)),
            (Measure::OneBody, flag(self.one_body)),
            (Measure::LengthRatio, self.length_ratio.ln()),
            (Measure::Rules, self.score()),
        ] {
            measures.set(measure, value);
        }
        measures
    }

    /// Whether so little is shared that no score is enough to attach: a catch-phrase is not a problem.
    pub(super) fn has_little_evidence(&self) -> bool {
        // Three everyday words make up for one that is not, but only beside another.
        self.telling_names == 0 && (self.telling_words == 0 || 3 * self.telling_words + self.generic_words < 5)
    }

    /// Whether a number, a platform, a file format or a code differs.
    pub(super) fn is_contradicted(&self) -> bool {
        self.numbers_differ || self.facets_differ || self.codes_differ
    }
}

/// Names the shared terms that weigh most: of all, and of the codes and identifiers.
pub(super) fn shared_terms(
    features: &Features,
    query: &Query,
    places: &Places,
    document: &Document<'_>,
) -> [String; 2] {
    let is_strong = |kind: Kind| matches!(kind, Kind::Code | Kind::Identifier);
    let mut shared: Vec<(f64, bool, &str)> = document
        .terms
        .iter()
        .filter_map(|term| {
            let asked = &query.terms[places.of(term.id)?];
            let worth = asked.idf * asked.weight * f64::from(term.weight);
            Some((worth, is_strong(term.kind.max(asked.kind)), features.term_text(&features.terms()[asked.at])))
        })
        .collect();
    shared.sort_by(|(a, _, left), (b, _, right)| b.total_cmp(a).then(left.cmp(right)));
    [false, true].map(|only_strong| {
        let named = shared.iter().filter(|(_, strong, _)| *strong || !only_strong);
        named.take(NAMED_TERMS).map(|&(.., text)| text).collect::<Vec<_>>().join(", ")
    })
}
