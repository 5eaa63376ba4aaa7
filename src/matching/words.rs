//! What the matcher knows about single words before it has read any report: which say nothing, which every customer
//! says, which name a platform or a file format, which mean the same, and how an English ending is taken off.
//!
//! The lists are short on purpose. They carry a young stream until its own frequencies speak; they are no dictionary.

use std::sync::LazyLock;

use super::text::{Key, Sieve};

/// Words that carry no meaning of their own; they are not compared at all. Without apostrophes, in lower case.
const STOP: &str = "\
    a about after again all also am an and any anyone are arent as at be because been before being both but by can \
    cannot cant could couldnt did didnt do does doesnt doing done dont down each else even ever every few for from \
    get gets getting give gives go goes going got had has hasnt have havent having he her here hers him his how \
    however i id if ill im in into is isnt it its itself ive just know let lets like made make makes making may \
    maybe me might mine more most much must my need needs no nor not now of off on once one only or other our out \
    over own please pls plz really same she should since so some someone something still such tell than that thats \
    the their them teh then there theres these they theyre thing things this those through to too u under until up us \
    very want wants was wasnt way we were weve what whats when whenever where which while who why will with without \
    wont would wouldnt yes yet you your youre hi hello hey thanks thank hola hallo bonjour merci danke bitte gracias \
    der die das den dem des ein eine einen einem einer und oder aber nicht ich wir sie es ist sind war wird werden \
    wurde habe haben hat kann mit von zu zum zur auf für bei wenn wie mein meine le la les un une et ou mais ne pas \
    je nous vous il elle est sont du de au aux dans sur pour avec que qui quand mon ma mes ce cette el los las una y \
    o pero si yo lo se al del con por para en mi cuando não os um uma em eu meu minha che di non sono per quando het \
    een niet ik wij van op te als mijn";

/// Words a question begins with. They say nothing elsewhere.
const QUESTION: &str = "\
    how why what whats where wheres who when";

/// Words that say no.
const NEGATION: &str = "\
    no not cannot cant couldnt didnt doesnt dont hasnt havent isnt arent wasnt werent wont wouldnt unable never \
    without nicht kein keine não niet";

/// Words that reports of every kind share: a match on these alone is a catch-phrase, not a problem.
const GENERIC: &str = "\
    add app application attempt bad broken bug cause change check click com correct crash current customer day \
    default device differ different display doc error example expect fail failure feature file fine first fix follow \
    found function good happen help incorrect info instead invalid issue last long look many message minute miss \
    name need new nothing old open page phone possible press problem product program proper properly question report \
    reproduce request result run say screen see seem service set show shown software sometimes step stop support \
    sure system tap test time try unable update usage use used user using value version view wait web website weird \
    work wrong code suddenly today yesterday anymore always never keep back account actual button trouble urgent \
    complaint inquiry enquiry assistance asap fehler hilfe frage anfrage dringend problema ayuda consulta urgente aide \
    geht funktioniert fonctionne funciona erreur";

/// Names of what a report is about when the rest of the sentence is the same: iOS or Android, Mac or Windows, an export to
/// PDF or to CSV.
const FACETS: &str = "\
    android ios iphone ipad windows mac macos osx linux ubuntu debian fedora chrome firefox safari edge opera tizen \
    blackberry pdf pdfs csv excel xls xlsx powerpoint pptx docx epub xml json html png jpeg jpg gif svg heic";

/// Everyday words for the same thing: each first one is read as the second.
const SAME: &[(&str, &str)] = &[
    ("signin", "login"),
    ("logon", "login"),
    ("startup", "start"),
    ("launch", "start"),
    ("hang", "freeze"),
    ("hung", "freeze"),
    ("froze", "freeze"),
    ("frozen", "freeze"),
    ("pdfs", "pdf"),
    ("xls", "excel"),
    ("xlsx", "excel"),
    ("pptx", "powerpoint"),
    ("jpg", "jpeg"),
    ("pic", "image"),
    ("picture", "image"),
    ("photo", "image"),
    ("mail", "email"),
    ("pwd", "password"),
    ("passwd", "password"),
    ("passcode", "password"),
    ("delete", "remove"),
    ("sluggish", "slow"),
    ("lag", "slow"),
    ("mobile", "phone"),
    ("cellphone", "phone"),
    ("smartphone", "phone"),
    ("configuration", "config"),
    ("documentation", "doc"),
    ("acct", "account"),
    ("addr", "address"),
    ("amt", "amount"),
    ("appt", "appointment"),
    ("bday", "birthday"),
    ("btn", "button"),
    ("dept", "department"),
    ("dir", "directory"),
    ("err", "error"),
    ("hrs", "hour"),
    ("img", "image"),
    ("msg", "message"),
    ("param", "parameter"),
    ("pkg", "package"),
    ("ppl", "people"),
    ("pw", "password"),
    ("qty", "quantity"),
    ("rcvd", "receive"),
    ("recd", "receive"),
    ("repo", "repository"),
    ("req", "request"),
    ("resp", "response"),
    ("trx", "transaction"),
    ("txn", "transaction"),
    ("usr", "user"),
    ("ver", "version"),
    ("vid", "video"),
];

/// Words of greetings, thanks and closings. A line of nothing else is dropped.
const COURTESY: &str = "\
    hi hello hey dear team all there support sir madam folks everyone everybody guys good morning afternoon evening \
    day thanks thank you thx cheers regards best kind warm many sincerely yours faithfully truly in advance so very \
    much a lot and please help me hallo guten tag morgen abend liebe lieber sehr und geehrte geehrter damen herren \
    herr frau danke vielen dank mit freundlichen freundlichem grüßen gruß grüße viele beste mfg vg lg bonjour salut \
    madame monsieur merci cordialement bien à vous hola buenos buenas días dias tardes estimado estimada estimados \
    gracias muchas saludos cordiales un saludo atentamente olá oi bom dia obrigado obrigada ciao salve buongiorno \
    grazie distinti saluti hoi bedankt groeten met vriendelijke groet";

/// Words of courtesy that a name may follow at the end of a letter.
const CLOSING: &str = "\
    thanks thank thx cheers regards sincerely yours faithfully danke dank grüßen gruß grüße mfg vg lg merci \
    cordialement gracias saludos saludo atentamente obrigado obrigada grazie saluti bedankt groeten groet";

/// Words a greeting begins with.
const GREETING: &str = "\
    hi hello hey dear hallo liebe lieber bonjour salut hola estimado estimada olá ciao hoi greetings";

/// Whom a greeting without punctuation may address.
const GREETED: &str = "\
    team all there support sir madam folks everyone everybody guys";

/// Words after which a number names one case and not the problem.
const NAMES_ONE_CASE: &str = "\
    order ticket invoice ref reference id line account phone customer booking case transaction pid port bestellung \
    rechnung commande pedido factura";

/// Words after which a number is an error's.
const NAMES_CODE: &str = "\
    http https status error code errno errorcode exit statuscode fehler fehlercode erreur código erro";

/// Words before which a number of three digits is an HTTP status.
const AFTER_STATUS: &str = "\
    error errors internal unauthorized forbidden gateway unavailable response responses";

/// Words that a page's furniture is made of: menus, footers, invitations to share.
const MENU: &str = "\
    home about contact products services solutions support login signin signup register search menu news blog blogs faq \
    help privacy terms cookies careers jobs pricing docs documentation download downloads account cart shop store \
    facebook twitter linkedin instagram youtube reddit whatsapp pinterest rss next previous prev share print comments \
    tags categories archive archives sitemap newsletter subscribe events partners press community forum forums \
    language english login logout profile settings imprint impressum datenschutz kontakt startseite agb anmelden";

/// What a word is known for; several may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Traits(u16);

impl Traits {
    /// It says nothing.
    pub(super) const STOP: Self = Self(1);
    /// It begins a question.
    pub(super) const QUESTION: Self = Self(1 << 1);
    /// It says no.
    pub(super) const NEGATION: Self = Self(1 << 2);
    /// It names a platform or a file format.
    pub(super) const FACET: Self = Self(1 << 3);
    /// It belongs to a greeting, thanks or a closing.
    pub(super) const COURTESY: Self = Self(1 << 4);
    /// It begins a greeting.
    pub(super) const GREETING: Self = Self(1 << 5);
    /// It is addressed by a greeting.
    pub(super) const GREETED: Self = Self(1 << 6);
    /// The number after it names one case and not the problem.
    pub(super) const NAMES_ONE_CASE: Self = Self(1 << 7);
    /// The number after it is an error's.
    pub(super) const NAMES_CODE: Self = Self(1 << 8);
    /// It stands in menus.
    pub(super) const MENU: Self = Self(1 << 9);
    /// A name may follow it at the end of a letter.
    pub(super) const CLOSING: Self = Self(1 << 11);
    /// A three-digit number before it is an HTTP status.
    pub(super) const AFTER_STATUS: Self = Self(1 << 10);

    /// Whether any of `traits` holds.
    pub(super) const fn any(self, traits: Self) -> bool {
        self.0 & traits.0 != 0
    }
}

/// What a lower-case word is known for.
pub(super) fn traits(word: &str) -> Traits {
    TABLES.traits.get(word).copied().unwrap_or_default()
}

/// Whether a stem is one that reports of every kind share.
pub(super) fn is_generic(stem: &str) -> bool {
    TABLES.generic.get(stem).is_some()
}

/// The everyday word for the same thing, if this is another one for it.
pub(super) fn same(word: &str) -> Option<&'static str> {
    TABLES.same.get(word).copied()
}

/// A few texts and what they stand for, in a table that is sparse enough to answer at the first look.
struct Table<V> {
    /// Most words are in no list, and are answered by this.
    sieve: Sieve,
    slots: Box<[Option<(Key, V)>]>,
}

impl<V> Table<V> {
    fn new(capacity: usize) -> Self {
        let size = (capacity * 2).next_power_of_two();
        Self { sieve: Sieve::new(capacity), slots: std::iter::repeat_with(|| None).take(size).collect() }
    }

    /// The slot that holds a key, or the free one where it belongs.
    fn slot(&self, key: Key, hash: u64) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while let Some((other, _)) = &self.slots[at]
            && *other != key
        {
            at = (at + 1) & mask;
        }
        at
    }

    fn get(&self, text: &str) -> Option<&V> {
        let key = Key::of(text)?;
        let hash = key.hash();
        if !self.sieve.passes(hash) {
            return None;
        }
        let (_, value) = self.slots[self.slot(key, hash)].as_ref()?;
        Some(value)
    }

    fn entry(&mut self, text: &str, first: V) -> &mut V {
        let key = Key::of(text).expect("the words of the lists are short");
        let hash = key.hash();
        self.sieve.add(hash);
        let at = self.slot(key, hash);
        let (_, value) = self.slots[at].get_or_insert((key, first));
        value
    }
}

struct Tables {
    traits: Table<Traits>,
    generic: Table<()>,
    same: Table<&'static str>,
    same_stem: Table<Box<str>>,
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let lists = [
        (STOP, Traits::STOP),
        (QUESTION, Traits::QUESTION),
        (NEGATION, Traits::NEGATION),
        (FACETS, Traits::FACET),
        (COURTESY, Traits::COURTESY),
        (CLOSING, Traits::CLOSING),
        (GREETING, Traits::GREETING),
        (GREETED, Traits::GREETED),
        (NAMES_ONE_CASE, Traits::NAMES_ONE_CASE),
        (NAMES_CODE, Traits::NAMES_CODE),
        (MENU, Traits::MENU),
        (AFTER_STATUS, Traits::AFTER_STATUS),
    ];
    let count = lists.iter().map(|(list, _)| list.split_whitespace().count()).sum();
    let mut traits = Table::new(count);
    for (list, bit) in lists {
        for word in list.split_whitespace() {
            traits.entry(word, Traits::default()).0 |= bit.0;
        }
    }
    let mut stemmed = String::new();
    let mut generic = Table::new(GENERIC.split_whitespace().count());
    for word in GENERIC.split_whitespace() {
        strip_ending(word, &mut stemmed);
        generic.entry(&stemmed, ());
    }
    let (mut same, mut same_stem) = (Table::new(SAME.len()), Table::new(SAME.len()));
    for &(word, other) in SAME {
        same.entry(word, other);
        strip_ending(other, &mut stemmed);
        let other = stemmed.as_str().into();
        strip_ending(word, &mut stemmed);
        same_stem.entry(&stemmed, other);
    }
    Tables { traits, generic, same, same_stem }
});

/// Writes the stem of a lower-case word, with everyday words for the same thing folded together.
///
/// Only English plural, -ed and -ing endings are taken off, then a final `e` and a doubled last letter, so that
/// `saves`, `saved` and `saving` meet. Words with anything but ASCII letters stay as they are.
pub(super) fn stem(word: &str, stem: &mut String) {
    strip_ending(word, stem);
    if let Some(same) = TABLES.same_stem.get(stem) {
        stem.clear();
        stem.push_str(same);
    }
}

fn strip_ending(word: &str, stem: &mut String) {
    stem.clear();
    stem.push_str(word);
    if word.len() < 4 || !word.bytes().all(|b| b.is_ascii_lowercase()) {
        return;
    }
    let bytes = word.as_bytes();
    if bytes.ends_with(b"s") {
        let es = word.strip_suffix("es");
        if let Some(head) = word.strip_suffix("ies").filter(|head| head.len() >= 2) {
            stem.truncate(head.len());
            stem.push('y');
        } else if let Some(head) =
            es.filter(|head| head.len() >= 3 && ["sh", "ch", "x", "ss", "z"].iter().any(|end| head.ends_with(end)))
        {
            stem.truncate(head.len());
        } else if !word[..word.len() - 1].ends_with(['s', 'u', 'i']) {
            stem.pop();
        }
    }
    let has_vowel = |head: &str| head.bytes().any(|b| b"aeiouy".contains(&b));
    if let Some(head) = stem.strip_suffix("ied").filter(|head| head.len() >= 2) {
        stem.truncate(head.len());
        stem.push('y');
    } else if let Some(head) = stem.strip_suffix("ing").filter(|head| head.len() >= 3 && has_vowel(head)) {
        stem.truncate(head.len());
    } else if let Some(head) =
        stem.strip_suffix("ed").filter(|head| head.len() >= 3 && has_vowel(head) && !head.ends_with('e'))
    {
        stem.truncate(head.len());
    }
    if stem.len() > 3 && stem.ends_with('e') {
        stem.pop();
    }
    if let [.., before, last] = stem.as_bytes()
        && stem.len() > 3
        && before == last
        && !b"aeiou".contains(last)
    {
        stem.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stem_of(word: &str) -> String {
        let mut stemmed = String::new();
        stem(word, &mut stemmed);
        stemmed
    }

    #[test]
    fn a_word_may_have_several_traits() {
        assert!(traits("thanks").any(Traits::COURTESY) && traits("thanks").any(Traits::STOP));
        assert!(traits("order").any(Traits::NAMES_ONE_CASE) && !traits("order").any(Traits::STOP));
        assert_eq!(traits("pterodactyl"), Traits::default());
        assert!(is_generic("crash") && !is_generic("pterodactyl"));
    }

    #[test]
    fn endings_of_one_word_share_a_stem() {
        for family in [
            &["crash", "crashes", "crashed", "crashing"][..],
            &["save", "saves", "saved", "saving"],
            &["export", "exports", "exported", "exporting"],
            &["cancel", "cancelled", "cancelling", "cancels"],
            &["retry", "retries", "retried", "retrying"],
            &["install", "installing", "installed"],
            &["launch", "startup", "start", "starting"],
            &["txn", "trx", "transaction", "transactions"],
        ] {
            let stems: std::collections::BTreeSet<_> = family.iter().map(|word| stem_of(word)).collect();
            assert_eq!(stems.len(), 1, "{family:?} gave {stems:?}");
        }
    }

    #[test]
    fn short_and_foreign_words_keep_their_form() {
        for word in ["string", "red", "bus", "größe", "日本"] {
            assert_eq!(stem_of(word), word);
        }
    }
}
