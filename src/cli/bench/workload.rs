//! Reports to measure with: no two alike, as plain as people write them, the same in every run.
//!
//! Report `n` is a function of the seed and `n`, so any number of tasks can make them side by side. Most are about a
//! problem of their own; one in five words an earlier problem anew, with its telling terms in other sentences, so that
//! the matcher attaches some. They have 300 to 900 characters, and come from customers who mostly report once.

use crate::grpc::proto;

/// One report in so many is about a problem that was reported before.
const AGAIN_ONE_IN: u64 = 5;

const PRODUCTS: [(&str, &[&str]); 4] = [
    ("bench-notes", &["2.3.6", "2.4.0", "2.4.1"]),
    ("bench-backup", &["5.1.0", "5.2.0", "5.2.1"]),
    ("bench-booking", &["11.0.2", "11.1.0"]),
    ("bench-maps", &["0.9.4", "1.0.0", "1.0.1"]),
];
const PLATFORMS: [&str; 4] = ["ios", "android", "windows", "linux"];
const PARTS: [&str; 24] = [
    "calendar",
    "export",
    "search",
    "invoice",
    "login page",
    "widget",
    "photo import",
    "reminder",
    "sync",
    "editor",
    "printer setup",
    "map view",
    "address book",
    "shopping list",
    "backup plan",
    "password change",
    "language menu",
    "chart",
    "attachment",
    "timeline",
    "payment form",
    "dark mode",
    "offline copy",
    "voice note",
];
const ACTIONS: [&str; 16] = [
    "open it from the start screen",
    "press save twice",
    "rotate the phone",
    "paste a long text",
    "switch the account",
    "come back from a call",
    "drag an entry to another day",
    "unplug the charger",
    "scroll to the very end",
    "choose another folder",
    "turn on the flight mode",
    "share it with a colleague",
    "type the first letter",
    "close the lid",
    "change the currency",
    "pick a date in the past",
];
const SYMPTOMS: [&str; 16] = [
    "it freezes and I have to kill it",
    "everything I typed is gone",
    "the numbers are doubled",
    "the screen stays white",
    "it shows the entries of yesterday",
    "a red banner flashes and vanishes",
    "the battery is empty within an hour",
    "the sound stops",
    "letters with accents turn into boxes",
    "it asks for my password again and again",
    "the wrong file is opened",
    "it jumps back to the first page",
    "the total is off by a cent",
    "nothing happens at all",
    "two windows open on top of each other",
    "it says that I have no permission",
];
const OPENINGS: [&str; 8] =
    ["Hello,", "Hi there,", "Good morning,", "Dear team,", "Hey,", "To whom it may concern,", "Hello support,", "Hi,"];
const CLOSINGS: [&str; 8] = [
    "Could you have a look, please?",
    "This worked before the last update.",
    "I can send more details if that helps.",
    "It happens on both of my devices.",
    "I lost an hour of work over this.",
    "Please tell me when it is fixed.",
    "My colleague sees exactly the same.",
    "Restarting does not change anything.",
];
const FILLERS: [&str; 12] = [
    "I have used your product for three years and was always happy with it.",
    "We are a small office with four people and depend on this every day.",
    "I already looked into the settings but found nothing that would explain it.",
    "A friend told me to reinstall, which I did, without any success.",
    "It started last week, on Tuesday if I remember right, after lunch.",
    "At first I thought it was my network, but other programs work fine.",
    "There is plenty of free space and memory left on the machine.",
    "I tried it in the morning and in the evening and there was no difference.",
    "It does not happen every time, but I would say in nine out of ten tries.",
    "If you need a recording of the screen, just tell me where to put it.",
    "I could not find anything about this in your help pages.",
    "For now I write things down on paper, which is no fun.",
];
const SYLLABLES: [&str; 32] = [
    "ba", "cor", "del", "fen", "gil", "hov", "jun", "kel", "lum", "mar", "nox", "oru", "pel", "qui", "ras", "sil",
    "tor", "ulm", "ver", "wen", "xan", "yor", "zet", "bri", "cla", "dro", "fli", "gra", "pli", "sto", "tri", "vel",
];

/// A maker of reports.
#[derive(Debug, Clone, Copy)]
pub(super) struct Workload {
    seed: u64,
}

impl Workload {
    /// Reports of this seed.
    pub(super) fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The products that the reports are about.
    pub(super) fn products() -> impl Iterator<Item = &'static str> {
        PRODUCTS.iter().map(|(key, _)| *key)
    }

    /// Report `n`.
    pub(super) fn report(&self, n: u64) -> proto::ReportInput {
        let mut wording = Draw(mix(self.seed ^ mix(n)));
        let is_again = n > 0 && wording.below(AGAIN_ONE_IN) == 0;
        let about = if is_again { wording.below(n) } else { n };
        let problem = Problem::new(self.seed, about);
        let body = problem.letter(&mut wording);
        let (product, versions) = PRODUCTS[problem.product];
        proto::ReportInput {
            source: "bench".to_owned(),
            external_id: format!("{}-{n}", self.seed),
            reporter: Some(proto::Reporter {
                external_id: format!("customer-{}", wording.below(n.max(1) * 4)),
                ..Default::default()
            }),
            product: product.to_owned(),
            title: problem.title(&mut wording),
            body,
            version: wording.of(versions).to_owned(),
            platform: wording.of(&PLATFORMS).to_owned(),
            ..Default::default()
        }
    }

    /// Title and body of somebody's report about problem `about`; each `teller` has words of their own.
    pub(super) fn telling(&self, about: u64, teller: u64) -> (String, String) {
        let mut wording = Draw(mix(self.seed ^ mix(about).rotate_left(29) ^ mix(teller)));
        let problem = Problem::new(self.seed, about);
        let body = problem.letter(&mut wording);
        (problem.title(&mut wording), body)
    }

    /// One of `bound` things, the same in every run.
    pub(super) fn pick(&self, number: u64, bound: u64) -> u64 {
        Draw(mix(self.seed ^ mix(number ^ 0x2545_f491_4f6c_dd1d))).below(bound)
    }
}

/// What a report is about: the terms that tell it from others.
struct Problem {
    product: usize,
    part: &'static str,
    action: &'static str,
    symptom: &'static str,
    feature: String,
    second: String,
    code: String,
}

impl Problem {
    fn new(seed: u64, about: u64) -> Self {
        let mut draw = Draw(mix(seed.rotate_left(17) ^ mix(about ^ 0x5bf0_3635)));
        Self {
            product: draw.below(PRODUCTS.len() as u64) as usize,
            part: draw.of(&PARTS),
            action: draw.of(&ACTIONS),
            symptom: draw.of(&SYMPTOMS),
            feature: draw.name(),
            second: draw.name(),
            code: format!("{}-{}", draw.of(&SYLLABLES).to_uppercase(), 100 + draw.below(9_900)),
        }
    }

    /// What somebody writes about it.
    fn letter(&self, wording: &mut Draw) -> String {
        let mut body = format!("{}\n\n", wording.of(&OPENINGS));
        if wording.below(2) == 0 {
            body.push_str(wording.of(&FILLERS));
            body.push(' ');
        }
        body.push_str(&self.tell(wording));
        let long = 300 + wording.below(500) as usize;
        while body.len() < long {
            body.push(' ');
            body.push_str(wording.of(&FILLERS));
        }
        body.push_str("\n\n");
        body.push_str(wording.of(&CLOSINGS));
        body
    }

    fn title(&self, wording: &mut Draw) -> String {
        let Self { part, feature, symptom, .. } = self;
        match wording.below(4) {
            0 => format!("{feature} in the {part}: {symptom}"),
            1 => format!("Problem with {feature} ({part})"),
            2 => format!("{part}, {feature}: broken since the update"),
            _ => format!("Cannot use {feature} any more, {symptom}"),
        }
    }

    fn tell(&self, wording: &mut Draw) -> String {
        let Self { part, action, symptom, feature, second, code, .. } = self;
        match wording.below(4) {
            0 => format!(
                "When I use {feature} in the {part} and {action}, {symptom}. The same with {second}. It says {code}."
            ),
            1 => format!("In the {part} I have {feature} next to {second}. As soon as I {action}, {symptom} ({code})."),
            2 => format!(
                "{feature} does not work: I {action}, and then {symptom}. Only the {part} with {second} has it. \
                 There is a code, {code}."
            ),
            _ => format!(
                "After I {action} in {feature}, {symptom}. My {part} is set to {second}; the message was {code}."
            ),
        }
    }
}

/// Numbers that look like chance and are the same in every run (SplitMix64).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn of(&mut self, among: &[&'static str]) -> &'static str {
        among[self.below(among.len() as u64) as usize]
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        for _ in 0..3 {
            name.push_str(self.of(&SYLLABLES));
        }
        name[..1].make_ascii_uppercase();
        name
    }
}

/// Mixes the bits of a number well: the finish of SplitMix64.
pub(super) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn reports_are_the_same_in_every_run_and_differ_from_each_other() {
        let workload = Workload::new(7);
        let bodies: HashSet<_> = (0..5_000).map(|n| workload.report(n).body).collect();
        assert_eq!(bodies.len(), 5_000);
        assert_eq!(workload.report(42), Workload::new(7).report(42));
        assert_ne!(workload.report(42), Workload::new(8).report(42));
    }

    #[test]
    fn one_problem_is_told_in_many_words() {
        let workload = Workload::new(7);
        let tellings: HashSet<_> = (0..20).map(|teller| workload.telling(3, teller)).collect();
        assert_eq!(tellings.len(), 20);
        assert_eq!(workload.telling(3, 1), Workload::new(7).telling(3, 1));
    }

    #[test]
    fn reports_are_as_long_as_people_write() {
        let workload = Workload::new(1);
        for n in 0..2_000 {
            let length = workload.report(n).body.chars().count();
            assert!((250..=950).contains(&length), "{length}");
        }
    }
}
