//! What the matcher keeps of a text: its exact keys and its weighed terms.

use std::sync::Arc;

use super::embed::{self, Vector};
use super::embedding::Embedding;
use super::signature::Signature;
use super::text::{self, Kind, Reading};
use super::words;
use crate::domain::id::ProductId;

/// How much more a word counts in the title than in the body.
const TITLE_BOOST: f64 = 3.0;
/// BM25F's saturation: how soon repeating a word stops adding.
const K1: f64 = 1.2;
/// BM25F's length normalisation of title and body.
const B_TITLE: f64 = 0.5;
const B_BODY: f64 = 0.6;
/// Lengths of an ordinary title and body in tokens. Constants and not the stream's averages, so that the weight of a
/// stored term never depends on what else is stored.
const USUAL_TITLE: f64 = 6.0;
const USUAL_BODY: f64 = 60.0;
/// A body whose title does not lead says its problem within so many tokens.
const HEAD_TOKENS: usize = 12;
/// How much a word of a title that does not lead counts beside one of the body.
const SUBJECT: f64 = 0.3;
/// Distinct terms kept of one text, title first. More describe a pasted log, not the problem.
pub(super) const MAX_TERMS: usize = 400;
/// An odd number of well mixed bits.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// What the matcher reads of a report.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    /// The product it is about, if known.
    pub product: Option<ProductId>,
    /// The caller's own key for the problem; taken as it comes. Blank means none.
    pub fingerprint: Option<&'a str>,
    /// The customer's title; may be empty.
    pub title: &'a str,
    /// The customer's words; may be empty.
    pub body: &'a str,
}

/// Everything the matcher needs of a report. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Features {
    text: Arc<Inner>,
    time: Option<i64>,
    embedding: Option<Arc<Embedding>>,
}

#[derive(Debug)]
struct Inner {
    product: Option<ProductId>,
    signature: Signature,
    fingerprint: Option<Signature>,
    stack: Option<Signature>,
    says_something: bool,
    has_body: bool,
    terms: Box<[Term]>,
    texts: Box<str>,
    words: u64,
    vector: Vector,
    pieces: Box<[u16]>,
}

/// A distinct term of a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Term {
    /// Names the term in every index.
    pub(super) key: u64,
    start: u32,
    length: u32,
    pub(super) kind: Kind,
    /// Whether it stands in the title, or in the beginning of a text without title.
    pub(super) head: bool,
    /// Saturated frequency times the root of the kind's weight.
    pub(super) weight: f32,
}

impl Features {
    /// Reads a text. Linear in its length; any text will do.
    pub fn of(text: &Text<'_>) -> Features {
        let title = text::read_title(text.title);
        let body = text::read_body(text.body);
        let leads = title_leads(&title, &body);
        let (terms, texts) = weigh(&title, &body, leads);
        let (vector, pieces) = embed::read(if leads { &title.sentences } else { "" }, &body.sentences);
        let fingerprint = text.fingerprint.map(str::trim).filter(|fingerprint| !fingerprint.is_empty());
        let says_something = title.says_something || body.says_something;
        let text = Inner {
            product: text.product,
            signature: Signature::of_text(text.product, &title.canonical, &body.canonical),
            fingerprint: fingerprint.map(|fingerprint| Signature::of_fingerprint(text.product, fingerprint)),
            stack: body.stack.as_ref().and_then(|trace| Signature::of_stack(text.product, trace)),
            says_something,
            has_body: leads && !body.tokens.is_empty(),
            words: words_of(&terms) ^ vector.signs().wrapping_mul(MIX) ^ u64::from(!says_something),
            terms,
            texts,
            vector,
            pieces,
        };
        Features { text: Arc::new(text), time: None, embedding: None }
    }

    /// The same report, known to have come at this time, in seconds since 1970.
    pub fn arrived(self, time: i64) -> Features {
        Features { time: Some(time), ..self }
    }

    /// The same report, with what another embedder than the table says of it.
    pub fn with_embedding(self, embedding: Embedding) -> Features {
        Features { embedding: Some(Arc::new(embedding)), ..self }
    }

    /// What another embedder than the table says of the report.
    pub fn embedding(&self) -> Option<&Embedding> {
        self.embedding.as_deref()
    }

    /// When the report came, if that is known.
    pub(super) fn time(&self) -> Option<i64> {
        self.time
    }

    /// Names what scores see: the words, roughly where they point, and whether they say something. Texts of one signature
    /// may differ in it, and texts of two may have the same.
    pub(super) fn words(&self) -> u64 {
        self.text.words
    }

    /// What the text is about.
    pub(super) fn vector(&self) -> &Vector {
        &self.text.vector
    }

    /// The rows of the telling pieces that the text begins with.
    pub(super) fn pieces(&self) -> &[u16] {
        &self.text.pieces
    }

    /// The exact key of the normalised text within its product.
    pub fn signature(&self) -> Signature {
        self.text.signature
    }

    /// The exact key of the caller's fingerprint within its product.
    pub fn fingerprint(&self) -> Option<Signature> {
        self.text.fingerprint
    }

    /// The exact key of the stack trace within its product, if there is one that can only be this problem's.
    pub fn stack(&self) -> Option<Signature> {
        self.text.stack
    }

    /// The product the text is about.
    pub(super) fn product(&self) -> Option<ProductId> {
        self.text.product
    }

    /// Whether any word is more than a number, a mask or a courtesy. What says nothing is like nothing.
    pub(super) fn says_something(&self) -> bool {
        self.text.says_something
    }

    /// Whether there are words beyond a title that leads.
    pub(super) fn has_body(&self) -> bool {
        self.text.has_body
    }

    /// The terms in the order of their keys.
    pub(super) fn terms(&self) -> &[Term] {
        &self.text.terms
    }

    /// How a term reads.
    pub(super) fn term_text(&self, term: &Term) -> &str {
        &self.text.texts[term.start as usize..(term.start + term.length) as usize]
    }
}

/// Whether the title says what the report is about. A mail's subject often does not: "Question", "Problem with the app"
/// go with anything.
fn title_leads(title: &Reading, body: &Reading) -> bool {
    let tells = |kind: Kind, text: &str| match kind {
        Kind::Word => !words::is_generic(text),
        Kind::Part | Kind::Identifier | Kind::Code => true,
        Kind::Function | Kind::Number | Kind::Facet => false,
    };
    body.tokens.is_empty() || title.tokens.iter().any(|&token| tells(token.kind, title.text(token)))
}

/// A name for the terms and their weights.
fn words_of(terms: &[Term]) -> u64 {
    terms.iter().fold(0, |words: u64, term| {
        let flags = u64::from(term.head) << 8 | term.kind as u64;
        (words.rotate_left(5) ^ term.key ^ u64::from(term.weight.to_bits()) << 16 ^ flags).wrapping_mul(MIX)
    })
}

struct Count<'t> {
    key: u64,
    text: &'t str,
    kind: Kind,
    title: f64,
    body: f64,
    head: bool,
}

/// Weighs the distinct terms of a text by BM25F. What a person wrote counts more than what was pasted.
fn weigh(title: &Reading, body: &Reading, title_leads: bool) -> (Box<[Term]>, Box<str>) {
    let (title_length, tokens) = (title.tokens.len(), title.tokens.len() + body.tokens.len());
    let mut counted: Vec<Count<'_>> = Vec::with_capacity(tokens.min(2 * MAX_TERMS));
    // Keys are well mixed already: where the count of a key stands, one more than its place.
    let mut slots = vec![0_u32; (2 * tokens + 1).next_power_of_two()];
    let mask = slots.len() - 1;
    let mut body_length = 0.0;
    let read = [title, body].into_iter().flat_map(|field| field.tokens.iter().map(move |&token| (field, token)));
    for (place, (field, token)) in read.enumerate() {
        let in_title = place < title_length;
        let mut slot = token.key as usize & mask;
        while slots[slot] != 0 && counted[slots[slot] as usize - 1].key != token.key {
            slot = (slot + 1) & mask;
        }
        if slots[slot] == 0 {
            let (key, text, kind) = (token.key, field.text(token), token.kind);
            counted.push(Count { key, text, kind, title: 0.0, body: 0.0, head: false });
            slots[slot] = counted.len() as u32;
        }
        let count = &mut counted[slots[slot] as usize - 1];
        // The same text read as a piece here and whole there counts as the stronger.
        count.kind = count.kind.max(token.kind);
        // A number, a platform or a file format tells reports apart, whatever else the title says.
        count.head |= match in_title {
            true => title_leads || token.kind != Kind::Word,
            false => !title_leads && place < title_length + HEAD_TOKENS,
        };
        if in_title && title_leads {
            count.title += 1.0;
        } else {
            let weight = if in_title { SUBJECT } else { token.zone.weight() };
            count.body += weight;
            body_length += weight;
        }
    }
    counted.truncate(MAX_TERMS);

    let title_norm = 1.0 - B_TITLE + B_TITLE * title_length as f64 / USUAL_TITLE;
    let body_norm = 1.0 - B_BODY + B_BODY * body_length / USUAL_BODY;
    let mut texts = String::with_capacity(counted.iter().map(|count| count.text.len()).sum());
    let mut terms: Vec<Term> = counted
        .into_iter()
        .map(|count| {
            let kind = count.kind;
            let frequency = TITLE_BOOST * count.title / title_norm + count.body / body_norm;
            let start = texts.len() as u32;
            texts.push_str(count.text);
            Term {
                key: count.key,
                start,
                length: count.text.len() as u32,
                kind,
                head: count.head,
                weight: (kind.weight().sqrt() * frequency / (K1 + frequency)) as f32,
            }
        })
        .collect();
    // The order of keys decides the order of sums, so it must be the same on every machine.
    terms.sort_unstable_by_key(|term| term.key);
    (terms.into(), texts.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(title: &str, body: &str) -> Features {
        Features::of(&Text { product: None, fingerprint: None, title, body })
    }

    #[test]
    fn the_same_statement_has_the_same_signature() {
        assert_eq!(of("Export  FAILS!", "Hi,\norder 4711").signature(), of("export fails", "Order #4712").signature());
        assert_ne!(of("Export fails on 13", "").signature(), of("Export fails on 14", "").signature());
    }

    /// Signatures are kept in databases: when this fails, raise [`super::super::VERSION`] and only then the value here.
    #[test]
    fn a_signature_changes_only_with_the_version() {
        let features = of("Re: FooException on save", "Hi team,\nOrder #4711 fails with E1234 since v2.4.1.\nThanks");
        assert_eq!(features.signature().to_string(), "v8:9db69e5f595ec275c7557fa8d3425107");
    }

    #[test]
    fn nothing_but_courtesy_and_numbers_says_nothing() {
        for (title, body) in [("", ""), ("Hello", "Thanks!"), ("12345", "!!!"), ("please help me", "https://a.example")]
        {
            assert!(!of(title, body).says_something(), "{title:?} {body:?}");
        }
        assert!(of("", "Refund").says_something());
    }

    #[test]
    fn a_subject_that_goes_with_anything_is_no_title() {
        let body = "My card was charged twice for one order";
        let bare = of("", body);
        for subject in ["Question", "Help needed", "Problem with the app", "Urgent support request", "Frage"] {
            let mail = of(subject, body);
            assert_eq!(mail.vector(), bare.vector(), "{subject}");
            assert!(!mail.has_body() && mail.terms().iter().any(|term| term.head && mail.term_text(term) == "card"));
        }
        let named = of("Charged twice", body);
        assert!(named.has_body() && named.vector() != bare.vector());
        assert!(!named.terms().iter().any(|term| term.head && named.term_text(term) == "card"));
        // What tells reports apart is read in any subject, and a subject is all there is where nothing follows.
        let heads = |features: &Features, text: &str| {
            features.terms().iter().any(|term| term.head && features.term_text(term) == text)
        };
        assert!(heads(&of("Problem on Android", body), "android") && heads(&of("Question", ""), "question"));
    }

    #[test]
    fn a_blank_fingerprint_is_none() {
        let features = Features::of(&Text { product: None, fingerprint: Some("  "), title: "x", body: "" });
        assert_eq!(features.fingerprint(), None);
    }
}
