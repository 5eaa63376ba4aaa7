//! Turns a letter's facts into the words a customer reads: subject, plain text and HTML.
//!
//! The words are minijinja templates beside this file, one folder a locale (`templates/en/`), compiled into the binary.
//! Another language is another folder and a choice in [`render`]. Whatever came from outside is a value and never a
//! template: it is cleaned to one line, cut, and escaped in HTML. An undefined name is an error, and a template that does
//! too much work is stopped.
//!
//! The wording carries a law: what is not known is said conditionally, and nobody is told that they have a fix unless
//! coverage says so.

use std::sync::LazyLock;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior, Value, context};
use serde::{Deserialize, Serialize};
use url::Url;

use super::text;
use crate::domain::time::Timestamp;

/// The folder that is used as long as there is only one.
const LOCALE: &str = "en";

/// Enough for some hundred reports; a letter needs a small part of it.
const FUEL: u64 = 100_000;

/// A letter names at most this many reports and says how many more there are.
const MAX_REPORTS: usize = 50;

const MAX_TITLE_CHARS: usize = 120;
const MAX_SUBJECT_TITLE_CHARS: usize = 70;
const MAX_WORD_CHARS: usize = 80;
const MAX_TEXT_CHARS: usize = 2_000;

macro_rules! templates {
    ($($name:literal),+ $(,)?) => { [$(($name, include_str!(concat!("templates/", $name)))),+] };
}

#[rustfmt::skip]
const TEMPLATES: [(&str, &str); 13] = templates![
    "en/letter.txt", "en/letter.html", "en/reports.txt", "en/reports.html", "en/acknowledged.subject",
    "en/acknowledged.txt", "en/acknowledged.html", "en/fix_available.subject", "en/fix_available.txt",
    "en/fix_available.html", "en/correction.subject", "en/correction.txt", "en/correction.html",
];

/// What the letter says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LetterStage {
    /// We have your report.
    Acknowledged,
    /// There is a fix.
    FixAvailable,
    /// What we said before no longer holds.
    Correction,
}

/// What is known about the fix and what this customer runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LetterVerdict {
    /// They run it already.
    Covered,
    /// They get it by updating.
    UpgradeAvailable,
    /// We do not know what they run.
    Unknown,
}

/// One report the letter answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LetterReport {
    /// The help desk it came through.
    pub source: String,
    /// Its reference there.
    pub external_id: String,
    /// What the customer called it; may be empty.
    pub title: String,
    /// When it was reported.
    pub date: Timestamp,
}

/// The facts of one letter to one customer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Letter {
    /// What is said.
    pub stage: LetterStage,
    /// The customer's name, if known; one that does not look like a name is not used.
    pub customer_name: Option<String>,
    /// What the product is called.
    pub product_name: Option<String>,
    /// The customer's own reports, at least one.
    pub reports: Vec<LetterReport>,
    /// The release that holds the fix; absent for products without versions. In a correction: the release that was
    /// said to hold it, unless `previous_version` says so.
    pub version: Option<String>,
    /// The release that an earlier statement named and that no longer counts.
    pub previous_version: Option<String>,
    /// What is known about this customer and the fix. Only read for a fix.
    pub verdict: LetterVerdict,
    /// What helps until there is a fix for this customer.
    pub workaround: Option<String>,
    /// Why there is a correction.
    pub reason: Option<String>,
    /// Where one click ends such letters.
    pub unsubscribe_url: Option<String>,
}

/// A letter in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// One line without control characters.
    pub subject: String,
    /// The whole letter as plain text.
    pub text: String,
    /// The whole letter as HTML.
    pub html: String,
}

/// Why a letter has no words.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// Nobody may be written to about nothing.
    #[error("the letter names no report")]
    NoReport,
    /// It would become a link, so it must be a web address.
    #[error("the unsubscribe link is not a web address")]
    UnsubscribeUrl,
    /// A template is wrong or too expensive.
    #[error("the letter could not be rendered")]
    Render(#[from] minijinja::Error),
}

/// Writes the letter.
pub fn render(letter: &Letter) -> Result<Rendered, TemplateError> {
    let view = view(letter)?;
    let stage = match letter.stage {
        LetterStage::Acknowledged => "acknowledged",
        LetterStage::FixAvailable => "fix_available",
        LetterStage::Correction => "correction",
    };
    let part = |kind: &str| ENVIRONMENT.get_template(&format!("{LOCALE}/{stage}.{kind}"))?.render(view.clone());
    Ok(Rendered { subject: text::one_line(&part("subject")?, 200), text: part("txt")?, html: part("html")? })
}

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build();
    environment.set_syntax(syntax.expect("the delimiters are the usual ones"));
    for (name, source) in TEMPLATES {
        environment.add_template(name, source).expect("the embedded templates are well-formed; a test renders each");
    }
    environment
});

/// What the templates see: everything cleaned, dates and references in words.
fn view(letter: &Letter) -> Result<Value, TemplateError> {
    let first = letter.reports.first().ok_or(TemplateError::NoReport)?;
    // "Acme 2.4.1" or "version 2.4.1".
    let release = |version: &Option<String>| {
        let version = word(version.as_deref()?)?;
        let product = letter.product_name.as_deref().and_then(word);
        Some(format!("{} {version}", product.as_deref().unwrap_or("version")))
    };
    let unnamed = letter.stage == LetterStage::Correction && letter.previous_version.is_none();
    let previous = if unnamed { &letter.version } else { &letter.previous_version };
    let prose =
        |words: &Option<String>| words.as_deref().and_then(|words| non_empty(text::lines(words, MAX_TEXT_CHARS)));
    Ok(context! {
        name => letter.customer_name.as_deref().and_then(name),
        release => release(&letter.version),
        previous => release(previous),
        verdict => match letter.verdict {
            LetterVerdict::Covered => "covered",
            LetterVerdict::UpgradeAvailable => "upgrade_available",
            LetterVerdict::Unknown => "unknown",
        },
        reports => letter.reports.iter().take(MAX_REPORTS).map(report_view).collect::<Vec<Value>>(),
        count => letter.reports.len(),
        more => letter.reports.len().saturating_sub(MAX_REPORTS),
        title => non_empty(text::one_line(&first.title, MAX_SUBJECT_TITLE_CHARS)),
        workaround => prose(&letter.workaround),
        reason => prose(&letter.reason),
        unsubscribe_url => letter.unsubscribe_url.as_deref().map(web_address).transpose()?,
    })
}

fn report_view(report: &LetterReport) -> Value {
    let reference = text::one_line(&report.external_id, MAX_WORD_CHARS);
    context! {
        title => non_empty(text::one_line(&report.title, MAX_TITLE_CHARS)),
        reference => match word(&report.source) {
            Some(source) => format!("{reference} at {source}"),
            None => reference,
        },
        date => report.date.to_chrono().map_or_else(String::new, |date| date.format("%-d %B %Y").to_string()),
    }
}

/// How to call the customer, or `None` if what we have is more likely a login, an address or an advertisement.
fn name(text: &str) -> Option<String> {
    let name = text::one_line(text, MAX_WORD_CHARS);
    let odd = |c: char| matches!(c, '@' | '/' | '\\' | '<' | '>' | '{' | '}' | ':' | '_' | '=' | '&' | '$' | '%');
    let link = name.to_ascii_lowercase().contains("www.") || name.split(' ').any(looks_like_a_domain);
    (name.chars().any(char::is_alphabetic) && !name.contains(odd) && !link && name.chars().count() <= 60)
        .then_some(name)
}

/// `evil.example` but not `J.R.R.` or `Jr.`: mail programs turn such words into links.
fn looks_like_a_domain(word: &str) -> bool {
    word.trim_end_matches(['.', '!', ','])
        .rsplit_once('.')
        .is_some_and(|(left, right)| !left.is_empty() && right.len() >= 2 && right.chars().all(char::is_lowercase))
}

fn word(text: &str) -> Option<String> {
    non_empty(text::one_line(text, MAX_WORD_CHARS))
}

fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn web_address(text: &str) -> Result<String, TemplateError> {
    Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "https" | "http"))
        .map(String::from)
        .ok_or(TemplateError::UnsubscribeUrl)
}

#[cfg(test)]
mod tests {
    use super::super::wire::NOON;
    use super::*;

    fn a_letter(stage: LetterStage, verdict: LetterVerdict) -> Letter {
        Letter {
            stage,
            customer_name: Some("Ada Lovelace".to_owned()),
            product_name: Some("Acme".to_owned()),
            reports: vec![LetterReport {
                source: "zendesk".to_owned(),
                external_id: "4711".to_owned(),
                title: "Export fails".to_owned(),
                date: NOON,
            }],
            version: Some("2.4.1".to_owned()),
            previous_version: None,
            verdict,
            workaround: Some("Export to CSV instead.".to_owned()),
            reason: None,
            unsubscribe_url: Some("https://hearback.example/u/abc".to_owned()),
        }
    }

    fn every_letter() -> Vec<Letter> {
        let mut letters = Vec::new();
        for stage in [LetterStage::Acknowledged, LetterStage::FixAvailable, LetterStage::Correction] {
            for verdict in [LetterVerdict::Covered, LetterVerdict::UpgradeAvailable, LetterVerdict::Unknown] {
                let full = Letter {
                    previous_version: Some("2.4.0".to_owned()),
                    reason: Some("It was withdrawn.".to_owned()),
                    ..a_letter(stage, verdict)
                };
                let mut many = full.clone();
                many.reports = vec![many.reports[0].clone(); 60];
                let mut bare = full.clone();
                (bare.customer_name, bare.product_name, bare.version, bare.previous_version) = (None, None, None, None);
                (bare.workaround, bare.reason, bare.unsubscribe_url) = (None, None, None);
                bare.reports[0].title.clear();
                letters.extend([full, many, bare]);
            }
        }
        letters
    }

    #[test]
    fn every_letter_has_words() {
        for letter in every_letter() {
            let rendered = render(&letter).unwrap();
            for part in [&rendered.subject, &rendered.text, &rendered.html] {
                assert!(
                    !part.is_empty() && !part.contains("None") && !part.contains("none") && !part.contains("{{"),
                    "{part}"
                );
            }
            assert!(!rendered.text.contains("\n\n\n"), "{}", rendered.text);
            assert!(rendered.text.contains("reference 4711 at zendesk, 3 May 2026"), "{}", rendered.text);
            assert_eq!(rendered.text.contains("and 10 more"), letter.reports.len() == 60);
        }
    }

    #[test]
    fn a_covered_customer_has_nothing_to_do() {
        let rendered = render(&a_letter(LetterStage::FixAvailable, LetterVerdict::Covered)).unwrap();
        assert_eq!(rendered.subject, "Fixed in Acme 2.4.1: \"Export fails\"");
        assert_eq!(
            rendered.text,
            "Hello Ada Lovelace,

thank you for reporting this to us. There is a fix for it now:

  - \"Export fails\" (reference 4711 at zendesk, 3 May 2026)

The fix came with Acme 2.4.1, and what you run already contains it. There is nothing you need to do.

If the problem is still there afterwards, please tell us and mention the reference above.

-- 
You get this message because you reported a problem to us. To get no more of them:
https://hearback.example/u/abc
"
        );
    }

    #[test]
    fn a_customer_who_must_update_is_told_to_what() {
        let rendered = render(&a_letter(LetterStage::FixAvailable, LetterVerdict::UpgradeAvailable)).unwrap();
        assert!(rendered.text.contains("Please update to Acme 2.4.1 to get it."), "{}", rendered.text);
        assert!(
            rendered.text.contains("Until you have it, this may help:\n\nExport to CSV instead.\n"),
            "{}",
            rendered.text
        );
    }

    #[test]
    fn a_customer_of_whom_nothing_is_known_is_not_told_that_they_have_it() {
        let mut letter = a_letter(LetterStage::FixAvailable, LetterVerdict::Unknown);
        for version in [Some("2.4.1".to_owned()), None] {
            letter.version = version;
            let Rendered { subject, text, html } = render(&letter).unwrap();
            assert!(text.contains("We do not know what you run"), "{text}");
            for part in [subject, text, html] {
                for claim in ["already", "live for you", "nothing you need to do", "you have the fix"] {
                    assert!(!part.contains(claim), "{claim}: {part}");
                }
            }
        }
        assert_eq!(render(&letter).unwrap().subject, "There is a fix: \"Export fails\"");
    }

    #[test]
    fn a_correction_says_what_no_longer_holds() {
        let mut letter = a_letter(LetterStage::Correction, LetterVerdict::Unknown);
        letter.reason = Some("2.4.1 was withdrawn.".to_owned());
        letter.workaround = None;
        letter.unsubscribe_url = None;
        let rendered = render(&letter).unwrap();
        assert_eq!(rendered.subject, "Correction: what we told you about \"Export fails\"");
        assert_eq!(
            rendered.text,
            "Hello Ada Lovelace,

we told you that Acme 2.4.1 fixes what you reported:

  - \"Export fails\" (reference 4711 at zendesk, 3 May 2026)

That statement no longer holds: please do not count on Acme 2.4.1 for it. We are sorry.

The reason: 2.4.1 was withdrawn.

You need not ask again: we will write to you when it is fixed for you.
"
        );
        letter.previous_version = Some("2.4.0".to_owned());
        assert!(render(&letter).unwrap().text.contains("we told you that Acme 2.4.0 fixes"));
    }

    #[test]
    fn a_fix_after_a_correction_takes_the_place_of_the_first() {
        let letter = Letter {
            previous_version: Some("2.4.0".to_owned()),
            ..a_letter(LetterStage::FixAvailable, LetterVerdict::UpgradeAvailable)
        };
        assert!(render(&letter).unwrap().text.contains("Earlier we named Acme 2.4.0 to you. That no longer holds;"));
    }

    #[test]
    fn a_product_without_versions_has_its_own_words() {
        let mut letter = a_letter(LetterStage::FixAvailable, LetterVerdict::Covered);
        letter.version = None;
        let rendered = render(&letter).unwrap();
        assert_eq!(rendered.subject, "Fixed: \"Export fails\"");
        assert!(rendered.text.contains("The fix is live for you."), "{}", rendered.text);
        letter.version = Some("2026-05".to_owned());
        letter.product_name = None;
        assert_eq!(render(&letter).unwrap().subject, "Fixed in version 2026-05: \"Export fails\"");
    }

    #[test]
    fn what_does_not_look_like_a_name_is_not_used() {
        for odd in [
            "",
            "  ",
            "12345",
            "ada@example.org",
            "evil.example",
            "Win at www.Evil.example",
            "https://x",
            "<b>",
            "{{ 7*7 }}",
            "user_17",
            "DROP TABLE x;=1",
            "Visit casino.bet now",
            &"A".repeat(61),
        ] {
            let letter = Letter {
                customer_name: Some(odd.to_owned()),
                ..a_letter(LetterStage::Acknowledged, LetterVerdict::Unknown)
            };
            assert!(render(&letter).unwrap().text.starts_with("Hello,\n"), "{odd:?}");
        }
        for fine in [
            "Ada",
            "José Ángel",
            "李小龍",
            "O'Brien",
            "J.R.R. Tolkien",
            "Martin Luther King Jr.",
            "Anne-Marie",
            "شيرين",
        ] {
            assert_eq!(name(fine).as_deref(), Some(fine));
        }
    }

    #[test]
    fn text_from_outside_stays_text() {
        let evil =
            "{{ 7*7 }}{% include 'x' %}<script>alert(1)</script>\" onload=\"x\r\nBcc: eve@x.example\u{202e}\u{200b}\0";
        let letter = Letter {
            product_name: Some(evil.to_owned()),
            version: Some(evil.to_owned()),
            workaround: Some(evil.to_owned()),
            reason: Some(evil.to_owned()),
            reports: vec![LetterReport {
                source: evil.to_owned(),
                external_id: evil.to_owned(),
                title: evil.to_owned(),
                date: NOON,
            }],
            ..a_letter(LetterStage::Correction, LetterVerdict::Unknown)
        };
        let Rendered { subject, text, html } = render(&letter).unwrap();
        assert!(!subject.contains(char::is_control), "{subject:?}");
        for part in [&subject, &text, &html] {
            assert!(!part.contains(['\u{202e}', '\u{200b}', '\0', '\r']) && !part.contains("49"), "{part}");
        }
        assert!(text.contains("{{ 7*7 }}") && text.contains("<script>"), "plain text is not escaped: {text}");
        assert!(!html.contains("<script>") && !html.contains("\" onload"), "{html}");
    }

    #[test]
    fn a_megabyte_of_title_is_cut() {
        let mut letter = a_letter(LetterStage::FixAvailable, LetterVerdict::Covered);
        letter.reports[0].title = "word ".repeat(200_000);
        let rendered = render(&letter).unwrap();
        assert!(rendered.subject.chars().count() < 130, "{}", rendered.subject);
        assert!(rendered.text.lines().all(|line| line.chars().count() < 200) && rendered.text.contains('…'));
    }

    #[test]
    fn a_letter_about_nothing_or_with_a_hostile_link_is_refused() {
        let mut letter = a_letter(LetterStage::FixAvailable, LetterVerdict::Covered);
        letter.unsubscribe_url = Some("javascript:alert(1)".to_owned());
        assert!(matches!(render(&letter), Err(TemplateError::UnsubscribeUrl)));
        letter.reports.clear();
        assert!(matches!(render(&letter), Err(TemplateError::NoReport)));
    }
}
