//! What the matcher knows about single words before it has read any report: which say nothing, which every customer
//! says, which name a platform, which mean the same, and how an English ending is taken off.
//!
//! The lists are short on purpose. They carry a young stream until its own frequencies speak; they are no dictionary.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

/// Words that carry no meaning of their own; they are not compared at all. Without apostrophes, in lower case.
const STOP: &str = "\
    a about after again all also am an and any anyone are arent as at be because been before being both but by can \
    cannot cant could couldnt did didnt do does doesnt doing done dont down each else even ever every few for from \
    get gets getting give gives go goes going got had has hasnt have havent having he her here hers him his how \
    however i id if ill im in into is isnt it its itself ive just know let lets like made make makes making may \
    maybe me might mine more most much must my need needs no nor not now of off on once one only or other our out \
    over own please pls plz really same she should since so some someone something still such tell than that thats \
    the their them then there theres these they theyre thing things this those through to too u under until up us \
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
    name new nothing old open page phone possible press problem product program proper properly question report \
    reproduce request result run say screen see seem service set show shown software sometimes step stop support \
    sure system tap test time try unable update usage use used user using value version view wait web website weird \
    work wrong code suddenly today yesterday anymore always never keep back account actual button trouble fehler \
    problema geht funktioniert fonctionne funciona erreur";

/// Names of what a report is about when the rest of the sentence is the same: iOS or Android, Mac or Windows.
const FACETS: &str = "\
    android ios iphone ipad windows mac macos osx linux ubuntu debian fedora chrome firefox safari edge opera tizen \
    blackberry";

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

/// Whether a lower-case word begins a question.
pub(super) fn is_question(word: &str) -> bool {
    table(|t| t.question.contains(word))
}

/// Whether a lower-case word says no.
pub(super) fn is_negation(word: &str) -> bool {
    table(|t| t.negation.contains(word))
}

/// Whether a lower-case word says nothing.
pub(super) fn is_stop(word: &str) -> bool {
    table(|t| t.stop.contains(word))
}

/// Whether a stem is one that reports of every kind share.
pub(super) fn is_generic(stem: &str) -> bool {
    table(|t| t.generic.contains(stem))
}

/// Whether a lower-case word names a platform.
pub(super) fn is_facet(word: &str) -> bool {
    table(|t| t.facets.contains(word))
}

/// Whether a lower-case word belongs to a greeting, thanks or a closing.
pub(super) fn is_courtesy(word: &str) -> bool {
    table(|t| t.courtesy.contains(word))
}

/// Whether a lower-case word begins a greeting.
pub(super) fn is_greeting(word: &str) -> bool {
    table(|t| t.greeting.contains(word))
}

/// Whether a lower-case word is addressed by a greeting.
pub(super) fn is_greeted(word: &str) -> bool {
    table(|t| t.greeted.contains(word))
}

/// Whether the number after this word names one case and not the problem.
pub(super) fn names_one_case(word: &str) -> bool {
    table(|t| t.names_one_case.contains(word))
}

struct Table {
    stop: HashSet<&'static str>,
    question: HashSet<&'static str>,
    negation: HashSet<&'static str>,
    facets: HashSet<&'static str>,
    courtesy: HashSet<&'static str>,
    greeting: HashSet<&'static str>,
    greeted: HashSet<&'static str>,
    names_one_case: HashSet<&'static str>,
    generic: HashSet<String>,
    same: HashMap<String, String>,
}

fn table<T>(look: impl FnOnce(&Table) -> T) -> T {
    static TABLE: LazyLock<Table> = LazyLock::new(|| {
        let set = |list: &'static str| list.split_whitespace().collect();
        Table {
            stop: set(STOP),
            question: set(QUESTION),
            negation: set(NEGATION),
            facets: set(FACETS),
            courtesy: set(COURTESY),
            greeting: set(GREETING),
            greeted: set(GREETED),
            names_one_case: set(NAMES_ONE_CASE),
            generic: GENERIC.split_whitespace().map(strip_ending).collect(),
            same: SAME.iter().map(|(word, same)| (strip_ending(word), strip_ending(same))).collect(),
        }
    });
    look(&TABLE)
}

/// The stem of a lower-case word, with everyday words for the same thing folded together.
///
/// Only English plural, -ed and -ing endings are taken off, then a final `e` and a doubled last letter, so that
/// `saves`, `saved` and `saving` meet. Words with anything but ASCII letters stay as they are.
pub(super) fn stem(word: &str) -> String {
    let stem = strip_ending(word);
    table(|t| t.same.get(&stem).cloned()).unwrap_or(stem)
}

fn strip_ending(word: &str) -> String {
    if word.len() < 4 || !word.bytes().all(|b| b.is_ascii_lowercase()) {
        return word.to_owned();
    }
    let mut stem = word.to_owned();
    if let Some(head) = word.strip_suffix("ies").filter(|head| head.len() >= 2) {
        stem = format!("{head}y");
    } else if let Some(head) = word
        .strip_suffix("es")
        .filter(|head| ["sh", "ch", "x", "ss", "z"].iter().any(|end| head.ends_with(end)) && head.len() >= 3)
    {
        stem = head.to_owned();
    } else if let Some(head) = word.strip_suffix('s').filter(|head| !head.ends_with(['s', 'u', 'i'])) {
        stem = head.to_owned();
    }
    let has_vowel = |head: &str| head.bytes().any(|b| b"aeiouy".contains(&b));
    if let Some(head) = stem.strip_suffix("ied").filter(|head| head.len() >= 2) {
        stem = format!("{head}y");
    } else if let Some(head) = stem.strip_suffix("ing").filter(|head| head.len() >= 3 && has_vowel(head)) {
        stem = head.to_owned();
    } else if let Some(head) =
        stem.strip_suffix("ed").filter(|head| head.len() >= 3 && has_vowel(head) && !head.ends_with('e'))
    {
        stem = head.to_owned();
    }
    if stem.len() > 3 && stem.ends_with('e') {
        stem.pop();
    }
    let bytes = stem.as_bytes();
    if bytes.len() > 3
        && bytes[bytes.len() - 1] == bytes[bytes.len() - 2]
        && !b"aeiou".contains(&bytes[bytes.len() - 1])
    {
        stem.pop();
    }
    stem
}

#[cfg(test)]
mod tests {
    use super::*;

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
        ] {
            let stems: std::collections::BTreeSet<_> = family.iter().map(|word| stem(word)).collect();
            assert_eq!(stems.len(), 1, "{family:?} gave {stems:?}");
        }
    }

    #[test]
    fn short_and_foreign_words_keep_their_form() {
        for word in ["string", "red", "bus", "größe", "日本"] {
            assert_eq!(stem(word), word);
        }
    }
}
