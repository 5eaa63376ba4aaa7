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

const PROBLEMS: [Problem; 18] = [
    fern("photo-crash", "Crash when a photo is attached to a note", "412", FERN_LATE, &["android"]),
    fern("sync-duplicates", "Sync duplicates every note", "418", FERN_24, FERN_PLATFORMS),
    fern("reminder-hour", "Reminders ring an hour late after the clock change", "397", FERN_ALL, MOBILE),
    fern("fingerprint-lock", "Fingerprint no longer unlocks (BIO-7)", "421", FERN_LATE, MOBILE),
    fern("search-umlaut", "Search finds no words with umlauts or accents", "388", FERN_ALL, FERN_PLATFORMS),
    fern("blank-window", "Blank white window after start on Windows", "425", FERN_24, &["windows"]),
    fern("widget-stale", "Home screen widget does not refresh", "409", FERN_24, MOBILE),
    silt("external-drive", "Backup to a sleeping external drive fails (E2107)", "1093", SILT_ALL),
    silt("restore-empty", "Large files are restored empty", "1121", SILT_52),
    silt("agent-cpu", "siltbox-agent uses a whole CPU when idle", "1107", SILT_52),
    silt("licence-key", "Renewed licence keys are rejected (LIC-403)", "1115", SILT_ALL),
    silt("exclude-rules", "Exclude rules with a space are ignored", "1102", SILT_52),
    bell("double-booking", "Two clients can book the same slot", "jira:BELL-731"),
    bell("invoice-vat", "Invoices add VAT to gross prices", "jira:BELL-744"),
    bell("google-calendar", "Google Calendar disconnects every hour (GCAL-401)", "jira:BELL-702"),
    bell("login-loop", "Login leads back to the login page", "jira:BELL-752"),
    bell("csv-garbled", "CSV export has garbled characters in Excel", "jira:BELL-718"),
    bell("card-deposit", "Deposits cannot be paid by card (PAY-51)", "jira:BELL-757"),
];
