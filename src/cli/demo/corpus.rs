//! What the demo's customers say: three products, their problems and a few hundred reports by lay people.
//!
//! The words live in `reports/*.txt`, written by hand, one entry a report, entries parted by a line `%`, each `##`
//! heading a problem (in `noise.txt` a product, `-` for none). A first line `@ key=value …` pins facts that the words
//! depend on: `source`, `platform`, `version`, `who` (the same name is the same human) and `reach` (`none`, `bounced`).
//! All other facts are drawn from a hash of the report, so that every run of the demo has the same cast, in the same
//! shuffled order; only messages of one human keep the order in which they were written.
//!
//! `problem` is the truth for checking the story. It is never submitted, and it is no fingerprint.

use std::collections::{BTreeMap, HashMap};

const TEXTS: [&str; 4] = [
    include_str!("reports/pocketfern.txt"),
    include_str!("reports/siltbox.txt"),
    include_str!("reports/bookabell.txt"),
    include_str!("reports/noise.txt"),
];

/// How a product's versions are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// Semantic versions that customers install.
    Semver,
    /// One running state that is deployed; customers have no version.
    Continuous,
}

/// What customers run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Product {
    /// Its key.
    pub(crate) key: &'static str,
    /// Its name for people.
    pub(crate) name: &'static str,
    /// How its versions are ordered.
    pub(crate) scheme: Scheme,
    /// Maintained release lines; empty if there is only one.
    pub(crate) lines: &'static [&'static str],
    /// What it runs on; empty for a web product.
    pub(crate) platforms: &'static [&'static str],
    /// What was released before the story begins, oldest first; empty for a web product.
    pub(crate) released: &'static [&'static str],
    /// Where it is deployed; empty for installed products.
    pub(crate) environments: &'static [&'static str],
    /// Regions it is served from; empty for installed products.
    pub(crate) regions: &'static [&'static str],
    /// Rollout rings, earliest first; empty for installed products.
    pub(crate) rings: &'static [&'static str],
}

/// Something wrong with a product that several customers report.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Problem {
    /// Its key, the truth that reports carry.
    pub(crate) key: &'static str,
    /// The product it is in.
    pub(crate) product: &'static str,
    /// One line for people.
    pub(crate) title: &'static str,
    /// The work item of the engineers, as `tracker:key`.
    pub(crate) tracker: &'static str,
    /// Versions that have it; empty for a web product.
    pub(crate) versions: &'static [&'static str],
    /// Platforms that have it; empty for a web product.
    pub(crate) platforms: &'static [&'static str],
}

/// A way to reach a customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ContactKind {
    /// A mail address.
    Email,
    /// A URL that begins with `{webhook}`, in whose place the demo puts the address of its receiver.
    Webhook,
    /// A reference of a help desk that posts the statement itself.
    Stream,
}

/// One report as a help desk would submit it, and the truth about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DemoReport {
    /// The system that took it: `zendesk`, `email`, `appstore` or `webchat`.
    pub(crate) source: &'static str,
    /// Its reference there, unique in the source.
    pub(crate) external_id: String,
    /// The same for all reports of one human. Truth for checking, never submitted.
    pub(crate) customer_key: String,
    /// The id under which the source knows the human. Mail knows only addresses, and a chat may have made up one of
    /// its own, so that some people can be recognised by their address alone.
    pub(crate) customer_external_id: Option<String>,
    /// How to address them.
    pub(crate) display_name: String,
    /// Where to reach them, in the order of preference; empty for some.
    pub(crate) contacts: Vec<(ContactKind, String)>,
    /// Whether they ask later in the story to hear nothing more.
    pub(crate) opts_out_later: bool,
    /// The product's key; empty if nobody said.
    pub(crate) product: &'static str,
    /// The headline.
    pub(crate) title: String,
    /// Their words.
    pub(crate) body: String,
    /// The version they run, if they said.
    pub(crate) version: Option<&'static str>,
    /// Their platform, if they said.
    pub(crate) platform: Option<&'static str>,
    /// The environment they use, of a web product.
    pub(crate) environment: Option<&'static str>,
    /// The region that serves them, of a web product, if known.
    pub(crate) region: Option<&'static str>,
    /// Their rollout ring, of a web product, if known.
    pub(crate) ring: Option<&'static str>,
    /// The problem they describe; `None` is noise: questions, wishes, thanks, one-offs.
    pub(crate) problem: Option<&'static str>,
}

/// The three products.
pub(crate) fn products() -> &'static [Product] {
    &PRODUCTS
}

/// All problems, product by product.
pub(crate) fn problems() -> &'static [Problem] {
    &PROBLEMS
}

/// All reports in the order in which they come in, the same in every run.
pub(crate) fn reports() -> Vec<DemoReport> {
    let entries: Vec<Entry> = TEXTS.iter().flat_map(|text| parse(text)).collect();
    let mut cast = Cast::default();
    let reports: Vec<DemoReport> =
        entries.iter().enumerate().map(|(ordinal, entry)| cast.report(ordinal, entry)).collect();
    shuffle(reports)
}

const MOBILE: &[&str] = &["android", "ios"];
const DESKTOP: &[&str] = &["linux", "macos", "windows"];
const FERN_PLATFORMS: &[&str] = &["android", "ios", "windows"];
const FERN_ALL: &[&str] = &["2.3.4", "2.3.5", "2.3.6", "2.4.0", "2.4.1"];
const FERN_LATE: &[&str] = &["2.3.6", "2.4.0", "2.4.1"];
const FERN_24: &[&str] = &["2.4.0", "2.4.1"];
const SILT_ALL: &[&str] = &["5.1.0", "5.2.0", "5.2.1"];
const SILT_52: &[&str] = &["5.2.0", "5.2.1"];

const PRODUCTS: [Product; 3] = [
    Product {
        key: "pocketfern",
        name: "Pocketfern Notes",
        scheme: Scheme::Semver,
        lines: &["2.3", "2.4"],
        platforms: FERN_PLATFORMS,
        released: FERN_ALL,
        environments: &[],
        regions: &[],
        rings: &[],
    },
    Product {
        key: "siltbox",
        name: "Siltbox Backup",
        scheme: Scheme::Semver,
        lines: &[],
        platforms: DESKTOP,
        released: SILT_ALL,
        environments: &[],
        regions: &[],
        rings: &[],
    },
    Product {
        key: "bookabell",
        name: "Bookabell",
        scheme: Scheme::Continuous,
        lines: &[],
        platforms: &[],
        released: &[],
        environments: &["production"],
        regions: &["eu-west", "us-east", "ap-south"],
        rings: &["early", "main"],
    },
];

#[rustfmt::skip]
const PROBLEMS: [Problem; 18] = [
    problem("pocketfern-photo-crash", "pocketfern", "Crash when a photo is attached to a note",
        "github:pocketfern/app#412", FERN_LATE, &["android"]),
    problem("pocketfern-sync-duplicates", "pocketfern", "Sync duplicates every note",
        "github:pocketfern/app#418", FERN_24, FERN_PLATFORMS),
    problem("pocketfern-reminder-hour", "pocketfern", "Reminders ring an hour late after the clock change",
        "github:pocketfern/app#397", FERN_ALL, MOBILE),
    problem("pocketfern-fingerprint-lock", "pocketfern", "Fingerprint no longer unlocks (BIO-7)",
        "github:pocketfern/app#421", FERN_LATE, MOBILE),
    problem("pocketfern-search-umlaut", "pocketfern", "Search finds no words with umlauts or accents",
        "github:pocketfern/app#388", FERN_ALL, FERN_PLATFORMS),
    problem("pocketfern-blank-window", "pocketfern", "Blank white window after start on Windows",
        "github:pocketfern/app#425", FERN_24, &["windows"]),
    problem("pocketfern-widget-stale", "pocketfern", "Home screen widget does not refresh",
        "github:pocketfern/app#409", FERN_24, MOBILE),
    problem("siltbox-external-drive", "siltbox", "Backup to a sleeping external drive fails (E2107)",
        "github:siltbox/siltbox#1093", SILT_ALL, DESKTOP),
    problem("siltbox-restore-empty", "siltbox", "Large files are restored empty",
        "github:siltbox/siltbox#1121", SILT_52, DESKTOP),
    problem("siltbox-agent-cpu", "siltbox", "siltbox-agent uses a whole CPU when idle",
        "github:siltbox/siltbox#1107", SILT_52, DESKTOP),
    problem("siltbox-licence-key", "siltbox", "Renewed licence keys are rejected (LIC-403)",
        "github:siltbox/siltbox#1115", SILT_ALL, DESKTOP),
    problem("siltbox-exclude-rules", "siltbox", "Exclude rules with a space are ignored",
        "github:siltbox/siltbox#1102", SILT_52, DESKTOP),
    problem("bookabell-double-booking", "bookabell", "Two clients can book the same slot",
        "jira:BELL-731", &[], &[]),
    problem("bookabell-invoice-vat", "bookabell", "Invoices add VAT to gross prices",
        "jira:BELL-744", &[], &[]),
    problem("bookabell-google-calendar", "bookabell", "Google Calendar disconnects every hour (GCAL-401)",
        "jira:BELL-702", &[], &[]),
    problem("bookabell-login-loop", "bookabell", "Login leads back to the login page",
        "jira:BELL-752", &[], &[]),
    problem("bookabell-csv-garbled", "bookabell", "CSV export has garbled characters in Excel",
        "jira:BELL-718", &[], &[]),
    problem("bookabell-card-deposit", "bookabell", "Deposits cannot be paid by card (PAY-51)",
        "jira:BELL-757", &[], &[]),
];

const fn problem(
    key: &'static str,
    product: &'static str,
    title: &'static str,
    tracker: &'static str,
    versions: &'static [&'static str],
    platforms: &'static [&'static str],
) -> Problem {
    Problem { key, product, title, tracker, versions, platforms }
}

/// One hand-written report with the facts that are pinned to it.
#[derive(Debug, Default)]
struct Entry {
    product: &'static str,
    problem: Option<&'static Problem>,
    title: &'static str,
    body: String,
    source: Option<&'static str>,
    platform: Option<&'static str>,
    version: Option<&'static str>,
    who: Option<&'static str>,
    reach: Option<&'static str>,
}

fn parse(text: &'static str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut section = "";
    let mut lines: Vec<&'static str> = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("## ") {
            Some(next) => {
                entries.extend(entry(section, &lines));
                section = next;
                lines.clear();
            }
            None if line == "%" => {
                entries.extend(entry(section, &lines));
                lines.clear();
            }
            None => lines.push(line),
        }
    }
    entries.extend(entry(section, &lines));
    entries
}

fn entry(section: &'static str, lines: &[&'static str]) -> Option<Entry> {
    let mut lines = lines.iter().copied().peekable();
    let problem = PROBLEMS.iter().find(|problem| problem.key == section);
    let product = match problem {
        Some(problem) => problem.product,
        None if section == "-" => "",
        None => section,
    };
    let mut entry = Entry { product, problem, ..Entry::default() };
    if let Some(pins) = lines.next_if(|line| line.starts_with("@ ")) {
        for (key, value) in pins.split_whitespace().filter_map(|pin| pin.split_once('=')) {
            match key {
                "source" => entry.source = Some(value),
                "platform" => entry.platform = Some(value),
                "version" => entry.version = Some(value),
                "who" => entry.who = Some(value),
                "reach" => entry.reach = Some(value),
                _ => panic!("the reports pin an unknown fact `{key}`"),
            }
        }
    }
    entry.title = lines.next()?;
    entry.body = lines.collect::<Vec<_>>().join("\n").trim().to_owned();
    Some(entry)
}

/// The version and the platform that a human says they run.
type Running = (Option<&'static str>, Option<&'static str>);

/// Gives every entry its human, its source and its facts.
#[derive(Default)]
struct Cast {
    /// What humans with several messages run, by human and product, so that they do not contradict themselves.
    running: HashMap<(&'static str, &'static str), Running>,
    /// How many humans with a single message there were.
    single_count: usize,
}

impl Cast {
    fn report(&mut self, ordinal: usize, entry: &Entry) -> DemoReport {
        let product = PRODUCTS.iter().find(|product| product.key == entry.product);
        let name = match entry.who {
            Some(who) => who.replace('_', " "),
            // The two counts share no factor, so that no pair repeats within their product.
            None => format!("{} {}", FIRST_NAMES[ordinal % 47], LAST_NAMES[ordinal % 46]),
        };
        let local = mail_local_part(&name);
        let reach = self.reach(entry);
        let source = entry.source.unwrap_or_else(|| source(ordinal, entry, reach));
        let account = format!("usr-{}", draw(&[&local, "account"], 900_000) + 100_000);
        let external_id = external_id(source, ordinal);

        let (version, platform) = self.running(ordinal, entry, product);
        let web = product.is_some_and(|product| product.scheme == Scheme::Continuous);
        let drawn = |fact: &str, known_percent: usize, among: &'static [&'static str]| {
            (!among.is_empty() && draw(&[&local, fact, "known"], 100) < known_percent)
                .then(|| among[draw(&[&local, fact], among.len())])
        };

        let contacts = contacts(reach, source, &local, &account, &external_id);
        let has_mail = contacts.iter().any(|(kind, _)| *kind == ContactKind::Email);
        let customer_external_id = match (source, entry.who) {
            ("email", _) if has_mail => None,
            ("webchat", Some(_)) if draw(&[&local, "visitor"], 2) == 0 => {
                Some(format!("visitor-{:05}", draw(&[&local, "chat"], 90_000) + 10_000))
            }
            _ => Some(account),
        };
        let fill = |text: &str| {
            text.replace("{name}", &name)
                .replace("{first}", name.split(' ').next().unwrap_or(&name))
                .replace("{version}", version.unwrap_or("the latest version"))
        };
        DemoReport {
            source,
            external_id,
            customer_external_id,
            contacts,
            opts_out_later: reach == Reach::OptsOut,
            product: entry.product,
            title: fill(entry.title),
            body: fill(&entry.body),
            version,
            platform,
            environment: drawn("environment", 80, product.map_or(&[], |product| product.environments)),
            region: drawn("region", 90, product.map_or(&[], |product| product.regions)),
            ring: web.then(|| if draw(&[&local, "ring"], 5) == 0 { "early" } else { "main" }),
            problem: entry.problem.map(|problem| problem.key),
            customer_key: local,
            display_name: name,
        }
    }

    /// How this human can be reached. People with several messages can by mail, or nobody could see that they are one.
    fn reach(&mut self, entry: &Entry) -> Reach {
        match entry.reach {
            Some("none") => return Reach::None,
            Some("bounced") => return Reach::Bounced,
            Some(other) => panic!("the reports pin an unknown reach `{other}`"),
            None if entry.who.is_some() => return Reach::Mail,
            None => self.single_count += 1,
        }
        // A review has no address: only the shop's help desk can answer below it. Mail, in turn, has one.
        match (entry.source, self.single_count % 25) {
            (Some("appstore"), _) => Reach::Stream,
            (_, 20) => Reach::OptsOut,
            (Some("email"), _) => Reach::Mail,
            (_, 3) => Reach::None,
            (_, 9) => Reach::Webhook,
            (_, 15) => Reach::Stream,
            (_, 22) => Reach::MailAndWebhook,
            _ => Reach::Mail,
        }
    }

    fn running(&mut self, ordinal: usize, entry: &Entry, product: Option<&Product>) -> Running {
        let released = product.map_or(&[][..], |product| product.released);
        let versions = entry.problem.map_or(released, |problem| problem.versions);
        let everywhere = product.map_or(&[][..], |product| product.platforms);
        let platforms = entry.problem.map_or(everywhere, |problem| problem.platforms);
        let possible = |(version, platform): &Running| {
            version.is_none_or(|version| versions.contains(&version))
                && platform.is_none_or(|platform| platforms.contains(&platform))
        };
        let known = entry.who.and_then(|who| self.running.get(&(who, entry.product))).copied().filter(possible);
        let ordinal = ordinal.to_string();
        let drawn = |fact: &str, known_percent: usize, among: &[&'static str]| {
            (!among.is_empty() && draw(&[&ordinal, fact, "known"], 100) < known_percent)
                .then(|| among[draw(&[&ordinal, fact], among.len())])
        };
        // Whoever only asks or thanks seldom says what they run; words that name their version always do.
        let says_version = if entry.body.contains("{version}") {
            100
        } else if entry.problem.is_some() {
            85
        } else {
            35
        };
        let (version, platform) =
            known.unwrap_or_else(|| (drawn("version", says_version, versions), drawn("platform", 92, platforms)));
        let running = (entry.version.or(version), entry.platform.or(platform));
        if let Some(who) = entry.who {
            self.running.insert((who, entry.product), running);
        }
        running
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Mail,
    OptsOut,
    Bounced,
    Webhook,
    MailAndWebhook,
    Stream,
    None,
}

fn contacts(reach: Reach, source: &str, local: &str, account: &str, external_id: &str) -> Vec<(ContactKind, String)> {
    // Reserved for examples (RFC 2606): nothing of the demo can reach a real mailbox.
    let domain = ["example.org", "example.net", "example.com"][draw(&[local, "domain"], 3)];
    let mail = (ContactKind::Email, format!("{local}@{domain}"));
    let webhook = (ContactKind::Webhook, format!("{{webhook}}/customers/{account}"));
    match reach {
        Reach::Mail | Reach::OptsOut => vec![mail],
        Reach::Bounced => vec![(ContactKind::Email, format!("bounced.{local}@{domain}"))],
        Reach::Webhook => vec![webhook],
        Reach::MailAndWebhook => vec![mail, webhook],
        Reach::Stream => vec![(ContactKind::Stream, format!("{source}/{external_id}"))],
        Reach::None => Vec::new(),
    }
}

fn source(ordinal: usize, entry: &Entry, reach: Reach) -> &'static str {
    let by_mail = matches!(reach, Reach::Mail | Reach::OptsOut | Reach::Bounced | Reach::MailAndWebhook);
    let formal = entry.body.contains("{name}");
    match draw(&[&ordinal.to_string(), "source"], 100) {
        0..40 if by_mail => "email",
        40..60 if !formal => "webchat",
        _ if formal && by_mail => "email",
        _ => "zendesk",
    }
}

fn external_id(source: &str, ordinal: usize) -> String {
    match source {
        "email" => format!("<{:08x}.{ordinal}@mail.example.org>", draw(&[&ordinal.to_string(), "mail"], 1 << 31)),
        "appstore" => format!("review-{}", 7_719_000 + ordinal * 37),
        "webchat" => format!("chat-{}", 90_400 + ordinal * 3),
        _ => format!("{}", 48_200 + ordinal * 2),
    }
}

/// The name as the part of a mail address before the `@`.
fn mail_local_part(name: &str) -> String {
    let mut local = String::new();
    for letter in name.to_lowercase().chars() {
        match letter {
            ' ' => local.push('.'),
            'ä' => local.push_str("ae"),
            'ö' | 'ø' => local.push_str("oe"),
            'ü' => local.push_str("ue"),
            'ß' => local.push_str("ss"),
            'á' | 'å' | 'ã' => local.push('a'),
            'é' | 'ê' | 'è' => local.push('e'),
            'í' => local.push('i'),
            'ó' => local.push('o'),
            'ñ' | 'ń' => local.push('n'),
            'ć' | 'ç' | 'č' => local.push('c'),
            'ł' => local.push('l'),
            'š' | 'ş' => local.push('s'),
            'ž' => local.push('z'),
            other => local.push(other),
        }
    }
    local
}

/// A number below `bound`, always the same for the same words: FNV-1a, then mixed so that near words part.
fn draw(words: &[&str], bound: usize) -> usize {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in words.iter().flat_map(|word| word.bytes().chain([0])) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^= hash >> 31;
    usize::try_from(hash % bound as u64).expect("it is below a usize")
}

/// Mixes the products and problems, and then puts each human's messages back in the order they were written.
fn shuffle(reports: Vec<DemoReport>) -> Vec<DemoReport> {
    let mut order: Vec<usize> = (0..reports.len()).collect();
    order.sort_by_key(|&index| draw(&[&index.to_string(), "order"], usize::MAX));
    let mut places: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, &index) in order.iter().enumerate() {
        places.entry(reports[index].customer_key.as_str()).or_default().push(place);
    }
    let mut sorted = order.clone();
    for places in places.values() {
        let mut theirs: Vec<usize> = places.iter().map(|&place| order[place]).collect();
        theirs.sort_unstable();
        for (&place, index) in places.iter().zip(theirs) {
            sorted[place] = index;
        }
    }
    let mut reports: Vec<Option<DemoReport>> = reports.into_iter().map(Some).collect();
    sorted.into_iter().filter_map(|index| reports[index].take()).collect()
}

#[rustfmt::skip]
const FIRST_NAMES: [&str; 47] = [
    "Abena", "Agnieszka", "Ahmed", "Aiko", "Amara", "Anders", "Anita", "Arjun", "Beatriz", "Björn", "Catriona", "Chen",
    "Claudia", "Daniel", "Deborah", "Elif", "Emeka", "Erik", "Fatima", "Florian", "Gabriela", "Gareth", "Hanna", "Hugo",
    "Ingrid", "Isaac", "Jana", "Jonas", "Joyce", "Karim", "Katarina", "Kenji", "Laura", "Lucía", "Magnus", "Marisol",
    "Nadia", "Nils", "Olga", "Patrick", "Rachel", "Rosa", "Samuel", "Shreya", "Thérèse", "Victor", "Zofia",
];

#[rustfmt::skip]
const LAST_NAMES: [&str; 46] = [
    "Abbott", "Acheampong", "Almeida", "Arslan", "Bakker", "Banerjee", "Bergström", "Bianchi", "Blake", "Castillo",
    "Cooper", "Dahl", "Delgado", "Dubois", "Eriksen", "Farouk", "Fischer", "Gallagher", "Gruber", "Hashimoto",
    "Horvath", "Hughes", "Iyer", "Jansen", "Kaminski", "Kelly", "Kovač", "Larsen", "Lefèvre", "Marchetti", "Mbeki", "Morgan",
    "Müller", "Nakamura", "Novák", "Ortega", "Petrov", "Quinn", "Rahman", "Santos", "Schäfer", "Sithole", "Turner",
    "Vasquez", "Whitfield", "Yilmaz",
];

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn by_human(reports: &[DemoReport]) -> BTreeMap<&str, Vec<&DemoReport>> {
        let mut humans: BTreeMap<&str, Vec<&DemoReport>> = BTreeMap::new();
        for report in reports {
            humans.entry(&report.customer_key).or_default().push(report);
        }
        humans
    }

    #[test]
    fn there_are_a_few_hundred_reports_and_the_same_ones_every_time() {
        let first = reports();
        assert!((320..=420).contains(&first.len()), "{}", first.len());
        assert_eq!(first, reports());
        let noise_count = first.iter().filter(|report| report.problem.is_none()).count();
        assert!((60..=80).contains(&noise_count), "{noise_count}");
    }

    #[test]
    fn no_two_reports_share_their_reference() {
        let reports = reports();
        let references: BTreeSet<_> = reports.iter().map(|report| (report.source, &report.external_id)).collect();
        assert_eq!(references.len(), reports.len());
    }

    #[test]
    fn every_problem_has_enough_reports_of_its_own_product() {
        let reports = reports();
        for problem in problems() {
            let theirs: Vec<_> = reports.iter().filter(|report| report.problem == Some(problem.key)).collect();
            assert!((8..=30).contains(&theirs.len()), "{}: {}", problem.key, theirs.len());
            for report in theirs {
                assert_eq!(report.product, problem.product);
                assert!(report.version.is_none_or(|version| problem.versions.contains(&version)), "{report:?}");
                assert!(report.platform.is_none_or(|platform| problem.platforms.contains(&platform)), "{report:?}");
            }
        }
    }

    #[test]
    fn every_section_is_a_problem_or_a_product() {
        for entry in TEXTS.iter().flat_map(|text| parse(text)) {
            let known = entry.product.is_empty() || products().iter().any(|product| product.key == entry.product);
            assert!(known && !entry.title.is_empty(), "{entry:?}");
        }
    }

    #[test]
    fn no_address_can_reach_anybody_real() {
        for report in reports() {
            for (kind, address) in &report.contacts {
                match kind {
                    ContactKind::Email => {
                        let (local, domain) = address.split_once('@').expect("mail addresses have an @");
                        assert!(["example.org", "example.net", "example.com"].contains(&domain), "{address}");
                        assert!(local.chars().all(|letter| letter.is_ascii_lowercase() || letter == '.'), "{address}");
                    }
                    ContactKind::Webhook => assert!(address.starts_with("{webhook}/"), "{address}"),
                    ContactKind::Stream => assert!(address.starts_with(report.source), "{address}"),
                }
            }
        }
    }

    #[test]
    fn many_people_report_one_problem_over_several_sources() {
        let reports = reports();
        let mut several_count = 0;
        for (key, theirs) in by_human(&reports) {
            if theirs.len() == 1 {
                continue;
            }
            let sources: BTreeSet<_> = theirs.iter().map(|report| report.source).collect();
            let problems: BTreeSet<_> = theirs.iter().map(|report| report.problem).collect();
            assert!(sources.len() > 1 && problems.len() < theirs.len(), "{key}");
            let addresses: BTreeSet<_> = theirs.iter().map(|report| &report.contacts).collect();
            assert_eq!(addresses.len(), 1, "{key} is one human with one address");
            several_count += 1;
        }
        assert!((23..=28).contains(&several_count), "{several_count}");
    }

    #[test]
    fn different_people_share_no_address_and_no_id() {
        let reports = reports();
        let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
        for report in &reports {
            let ids = report.contacts.iter().map(|(_, address)| address).chain(&report.customer_external_id);
            for id in ids {
                let owner = owners.entry(id).or_insert(&report.customer_key);
                assert_eq!(*owner, report.customer_key, "{id}");
            }
        }
    }

    #[test]
    fn every_way_of_being_reached_or_not_occurs_among_those_who_report_problems() {
        let reports = reports();
        let count = |wanted: &dyn Fn(&DemoReport) -> bool| {
            reports.iter().filter(|report| report.problem.is_some() && wanted(report)).count()
        };
        let only = |report: &DemoReport, kind| report.contacts.len() == 1 && report.contacts[0].0 == kind;
        assert!(count(&|report| report.contacts.is_empty()) >= 6);
        assert!(count(&|report| only(report, ContactKind::Webhook)) >= 6);
        assert!(count(&|report| only(report, ContactKind::Stream)) >= 12);
        assert!(count(&|report| report.contacts.len() == 2) >= 5);
        assert!(count(&|report| report.opts_out_later) >= 5);
        let bounces = |report: &DemoReport| report.contacts.iter().any(|(_, a)| a.starts_with("bounced."));
        assert_eq!(count(&bounces), 2);
        assert!(count(&|report| report.product != "bookabell" && report.version.is_none()) >= 15);
    }

    #[test]
    fn nothing_is_left_to_fill_in() {
        for report in reports() {
            for blank in ["{name}", "{first}", "{version}"] {
                assert!(!report.title.contains(blank) && !report.body.contains(blank), "{report:?}");
            }
        }
    }

    #[test]
    fn whoever_cannot_be_reached_is_known_by_an_id() {
        for report in reports() {
            assert!(!report.contacts.is_empty() || report.customer_external_id.is_some(), "{report:?}");
        }
    }
}
