//! A stream as it would be if its customers wrote otherwise, were fewer, or came at other times.

use std::collections::HashMap;

use chrono::DateTime;

use super::slips::misspell;
use super::stream::Labelled;
use crate::matching::Dice;

/// So many reports come in equally quick succession where times are made up; seconds between them, at least and at most.
const AS_BUSY: usize = 150;
const QUICKEST: f64 = 2.0;
const SLOWEST: f64 = 100_000.0;

/// One in so many reports is kept where a stream is thinned.
const THINNED: usize = 6;

/// Messages that are one body, at most.
const MOST_SENTENCES: usize = 3;

/// Of so many problems in a row one shows an error code of its own and two share one: a code is often of what failed (a
/// payment, a connection), not of why. One in so many of their messages tells it.
const CODES_IN: usize = 6;
const TELL_CODES: usize = 2;

/// What stands around a message in a mail. It says nothing.
const SUBJECTS: [&str; 5] = ["Question", "Problem", "Help needed", "Support request", "App problem"];
const OPENINGS: [&str; 5] = ["Hello,", "Hi team,", "Dear support,", "Good morning,", "Hi,"];
const CLOSINGS: [&str; 5] = ["Thanks, Ada", "Best regards\nGrace", "Thank you!", "Kind regards,\nAlan", "Cheers"];

/// Further streams to learn from, and what is other in them. Of a stream with bodies there is one.
pub(crate) fn further(reports: &[Labelled]) -> Vec<(&'static str, Vec<Labelled>)> {
    let mut further = vec![("otherwise timed", otherwise_timed(reports))];
    if let Some(mails) = as_mails(reports) {
        further.push(("thinned", thinned(reports)));
        further.push(("as mails, thinned", thinned(&mails)));
        further.push(("as mails, otherwise timed", otherwise_timed(&mails)));
        further.push(("as mails", mails));
    }
    if let (Some(coded), Some(titled)) = (titled(&coded(reports)), titled(reports)) {
        further.push(("titled, thinned", thinned(&titled)));
        further.push(("titled, otherwise timed", otherwise_timed(&titled)));
        further.push(("coded, titled", coded));
        further.push(("titled", titled));
    }
    further
}

/// The same stream as mails, if it is one of bare messages: customers write both.
pub(crate) fn as_mails(reports: &[Labelled]) -> Option<Vec<Labelled>> {
    let as_mail = |(at, report): (usize, &Labelled)| {
        let some_words = report.title.split_whitespace().skip(at % 3).take(4).collect::<Vec<_>>();
        let title = SUBJECTS.get(at * 7 % 12).map_or_else(|| some_words.join(" "), |&subject| subject.to_owned());
        Labelled { title, body: mail(&report.title, at), embedding: None, ..report.clone() }
    };
    are_bare(reports).then(|| reports.iter().enumerate().map(as_mail).collect())
}

/// The same stream as reports with a title and a body that tell the problem in different words: one message is the title,
/// the next ones of the same truth, up to three by lot, are a mail. `None` if it is not one of bare messages.
pub(crate) fn titled(reports: &[Labelled]) -> Option<Vec<Labelled>> {
    if !are_bare(reports) {
        return None;
    }
    let mut dice = Dice::new(reports.len() as u64);
    // The messages of each truth that make the next report of it.
    let mut told: HashMap<&str, Vec<&str>> = HashMap::new();
    let mut titled = Vec::new();
    for (at, report) in reports.iter().enumerate() {
        let messages = told.entry(&report.truth).or_default();
        messages.push(&report.title);
        let [title, sentences @ ..] = &messages[..] else { continue };
        let goes_on = sentences.len() < MOST_SENTENCES && (sentences.is_empty() || dice.below(MOST_SENTENCES) > 0);
        if !goes_on {
            let (title, body) = ((*title).to_owned(), mail(&sentences.join(". "), at));
            titled.push(Labelled { title, body, embedding: None, ..report.clone() });
            messages.clear();
        }
    }
    Some(titled)
}

/// The same stream with error codes in the titles of some of its reports: half of its problems show one.
pub(crate) fn coded(reports: &[Labelled]) -> Vec<Labelled> {
    let mut dice = Dice::new(reports.len() as u64);
    let mut problems: HashMap<&str, usize> = HashMap::new();
    let mut coded = Vec::with_capacity(reports.len());
    for report in reports {
        let next = problems.len();
        let code = code_of(*problems.entry(&report.truth).or_insert(next));
        let title = match code.filter(|_| dice.below(TELL_CODES) == 0) {
            None => report.title.clone(),
            Some(code) => match dice.below(3) {
                0 => format!("{} ({code})", report.title),
                1 => format!("{}: error {code}", report.title),
                _ => format!("{code}: {}", report.title),
            },
        };
        coded.push(Labelled { title, embedding: None, ..report.clone() });
    }
    coded
}

/// The error code that a problem shows, if any.
fn code_of(problem: usize) -> Option<String> {
    let (group, place) = (problem / CODES_IN, problem % CODES_IN);
    let number = match place {
        0 => 1_005 + 37 * group,
        1 | 4 => 1_020 + 37 * group,
        _ => return None,
    };
    Some(match group % 3 {
        0 => format!("E{number}"),
        1 => format!("ERR-{number}"),
        _ => format!("0x8007{number:04X}"),
    })
}

/// A stream of fewer customers: some of its reports, drawn by lot. Less of it repeats.
pub(crate) fn thinned(reports: &[Labelled]) -> Vec<Labelled> {
    let mut dice = Dice::new(reports.len() as u64);
    reports.iter().filter(|_| dice.below(THINNED) == 0).cloned().collect()
}

/// The same stream without its times, if it has any; else with made-up ones: when a report is from must not tell the judge
/// how many of its kind are duplicates.
pub(crate) fn otherwise_timed(reports: &[Labelled]) -> Vec<Labelled> {
    let is_timed = reports.iter().any(|report| report.created_at.is_some());
    let mut dice = Dice::new(reports.len() as u64);
    let (mut time, mut gap) = (1_500_000_000.0, 1.0);
    let mut other = Vec::with_capacity(reports.len());
    for (at, report) in reports.iter().enumerate() {
        if at % AS_BUSY == 0 {
            gap = QUICKEST * (SLOWEST / QUICKEST).powf(f64::from(dice.unit()));
        }
        time += gap * 2.0 * f64::from(dice.unit());
        let created_at = DateTime::from_timestamp(time as i64, 0).filter(|_| !is_timed).map(|time| time.to_rfc3339());
        other.push(Labelled { created_at, ..report.clone() });
    }
    other
}

/// The same stream with a slip of the hand in every text: in its title, or in its body if it has none.
pub(crate) fn misspelt(reports: &[Labelled]) -> Vec<Labelled> {
    let mut dice = Dice::new(reports.len() as u64);
    let mut misspelt = reports.to_vec();
    for report in &mut misspelt {
        let said = if report.title.is_empty() { &mut report.body } else { &mut report.title };
        *said = misspell(said, &mut dice);
    }
    misspelt
}

fn are_bare(reports: &[Labelled]) -> bool {
    reports.iter().all(|report| report.body.is_empty())
}

/// What was said, with what stands around it in a mail.
fn mail(said: &str, at: usize) -> String {
    format!("{}\n\n{said}\n\n{}", OPENINGS[at % 5], CLOSINGS[at * 3 % 5])
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn message(at: usize) -> Labelled {
        let (truth, wording) = (at % 2, at / 2);
        Labelled {
            id: at.to_string(),
            title: format!("problem{truth} wording{wording}"),
            body: String::new(),
            created_at: None,
            truth: truth.to_string(),
            embedding: None,
        }
    }

    #[test]
    fn a_titled_report_tells_one_problem_in_the_words_of_several_messages() {
        let messages: Vec<Labelled> = (0..60).map(message).collect();
        let titled = titled(&messages).expect("no message has a body");
        assert!((15..=30).contains(&titled.len()), "two to four messages make a report: {}", titled.len());
        for report in &titled {
            let said = format!("{} {}", report.title, report.body);
            let of_problem = |truth: &str| said.matches(&format!("problem{truth} ")).count();
            let other = if report.truth == "0" { "1" } else { "0" };
            assert!((2..=4).contains(&of_problem(&report.truth)) && of_problem(other) == 0, "{said}");
        }
        let in_order: Vec<usize> = titled.iter().map(|report| report.id.parse().expect("a number")).collect();
        assert!(in_order.is_sorted(), "a report comes when its last message came");
        assert!(super::titled(&titled).is_none(), "what has a body is no message");
    }

    #[test]
    fn a_code_is_told_by_some_reports_of_its_problem_and_shared_by_two_problems_at_most() {
        let message = |at: usize| Labelled { truth: (at % 24).to_string(), ..message(at) };
        let messages: Vec<Labelled> = (0..480).map(message).collect();
        let (mut told, mut problems) = (HashMap::<String, usize>::new(), HashMap::<String, HashSet<&str>>::new());
        let coded = coded(&messages);
        for (report, message) in coded.iter().zip(&messages) {
            assert!(report.title.contains(&message.title), "what was said is still said: {}", report.title);
            let code = report.title.replace(&message.title, "").replace("error", "");
            let code = code.trim_matches(|c: char| !c.is_alphanumeric());
            if !code.is_empty() {
                *told.entry(report.truth.clone()).or_default() += 1;
                problems.entry(code.to_owned()).or_default().insert(&report.truth);
            }
        }
        assert_eq!(told.len(), 12, "half of the problems show a code: {told:?}");
        assert!(told.values().all(|&told| (3..20).contains(&told)), "some of the reports tell it: {told:?}");
        let mut shared: Vec<usize> = problems.values().map(HashSet::len).collect();
        shared.sort_unstable();
        assert_eq!(shared, [1, 1, 1, 1, 2, 2, 2, 2]);
    }

    #[test]
    fn a_stream_with_bodies_only_has_other_times() {
        let names = |reports: &[Labelled]| further(reports).iter().map(|(name, _)| *name).collect::<Vec<_>>();
        let messages: Vec<Labelled> = (0..12).map(message).collect();
        assert_eq!(names(&messages).len(), 9);
        assert_eq!(names(&titled(&messages).expect("no message has a body")), ["otherwise timed"]);
    }
}
