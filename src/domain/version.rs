//! Versions and release lines, as far as they can be compared honestly.
//!
//! A [`Version`] is a semantic version read leniently: a leading `v` is ignored, missing numbers count as 0, and more
//! than three numbers compare after the patch. Prereleases sort before their version and build metadata does not sort
//! at all, as semver.org has it. Everything else does not parse: what cannot be compared stays unknown, because a
//! guessed order would tell customers something false.
//!
//! A [`Line`] is a maintained branch such as `2.4`. Whether a fix has reached an installation is decided in
//! [`coverage`](super::coverage), not here.

use std::cmp::Ordering;
use std::str::FromStr;

use semver::{BuildMetadata, Prerelease};
use serde::{Deserialize, Serialize};

/// A text is not one of the words a type knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is not a {kind}")]
pub struct UnknownWordError {
    /// What was expected.
    pub kind: &'static str,
}

/// How the versions of a product compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum VersionScheme {
    /// Semantic versions; a missing minor or patch counts as 0.
    Semver,
    /// No versions customers would know: each release replaces the one before and arrives by deployments.
    Continuous,
}

impl VersionScheme {
    /// Its name, as stored and sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Semver => "SEMVER",
            Self::Continuous => "CONTINUOUS",
        }
    }
}

impl FromStr for VersionScheme {
    type Err = UnknownWordError;

    fn from_str(text: &str) -> Result<Self, UnknownWordError> {
        match text {
            "SEMVER" => Ok(Self::Semver),
            "CONTINUOUS" => Ok(Self::Continuous),
            _ => Err(UnknownWordError { kind: "version scheme" }),
        }
    }
}

/// Why a text is not a version. Reads on after the name of the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// Nothing but white space.
    #[error("is empty")]
    Empty,
    /// One of the dotted parts is not a number.
    #[error("has {part:?} where a number belongs; semantic versions look like 2.4.1 or 2.4.1-rc.1")]
    NotANumber {
        /// The part.
        part: String,
    },
    /// A number is written with zeros in front, which calendar versions sort differently.
    #[error("has a leading zero in {part:?}")]
    LeadingZero {
        /// The part.
        part: String,
    },
    /// A number does not fit 64 bits.
    #[error("has a number too large to compare: {part}")]
    TooLarge {
        /// The part.
        part: String,
    },
    /// What follows the hyphen is not a prerelease.
    #[error("has {part:?} after the hyphen, which is not a prerelease such as rc.1")]
    Prerelease {
        /// What follows the hyphen.
        part: String,
    },
    /// What follows the plus sign is not build metadata.
    #[error("has {part:?} after the plus sign, which is not build metadata such as build.7")]
    Build {
        /// What follows the plus sign.
        part: String,
    },
}

/// Says whether a release of a product with this scheme can have this version.
///
/// # Errors
///
/// Under `SEMVER`, what keeps the text from being a semantic version; under `CONTINUOUS`, only that it is empty.
pub fn check(scheme: VersionScheme, text: &str) -> Result<(), VersionError> {
    match scheme {
        VersionScheme::Semver => Version::parse(text).map(|_| ()),
        VersionScheme::Continuous if text.trim().is_empty() => Err(VersionError::Empty),
        VersionScheme::Continuous => Ok(()),
    }
}

/// A semantic version. Equal means equal in precedence: `v2.4`, `2.4.0` and `2.4.0+build.7` are equal.
#[derive(Debug, Clone)]
pub struct Version {
    numbers: Vec<u64>,
    prerelease: Prerelease,
    build: BuildMetadata,
}

impl Version {
    /// Reads a version, leniently as the module says.
    ///
    /// # Errors
    ///
    /// What keeps the text from being one.
    pub fn parse(text: &str) -> Result<Self, VersionError> {
        let text = without_v(text.trim());
        if text.is_empty() {
            return Err(VersionError::Empty);
        }
        let (text, build) = text.split_once('+').map_or((text, None), |(rest, build)| (rest, Some(build)));
        let (text, prerelease) = text.split_once('-').map_or((text, None), |(rest, pre)| (rest, Some(pre)));
        Ok(Self {
            numbers: text.split('.').map(number).collect::<Result<_, _>>()?,
            prerelease: match prerelease {
                None => Prerelease::EMPTY,
                Some(part) => Prerelease::new(part)
                    .ok()
                    .filter(|read| !read.is_empty())
                    .ok_or_else(|| VersionError::Prerelease { part: part.to_owned() })?,
            },
            build: match build {
                None => BuildMetadata::EMPTY,
                Some(part) => BuildMetadata::new(part)
                    .ok()
                    .filter(|read| !read.is_empty())
                    .ok_or_else(|| VersionError::Build { part: part.to_owned() })?,
            },
        })
    }

    /// Whether it comes before the version it is named after.
    pub fn is_prerelease(&self) -> bool {
        !self.prerelease.is_empty()
    }

    /// What follows the plus sign; empty if nothing does. It does not take part in comparing.
    pub fn build(&self) -> &str {
        self.build.as_str()
    }

    /// Its first so many numbers; the missing ones are 0.
    pub fn first_numbers(&self, count: usize) -> impl Iterator<Item = u64> {
        self.numbers.iter().copied().chain(std::iter::repeat(0)).take(count)
    }

    /// Whether both are patches of one minor version.
    pub fn same_minor(&self, other: &Self) -> bool {
        self.first_numbers(2).eq(other.first_numbers(2))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let count = self.numbers.len().max(other.numbers.len());
        self.first_numbers(count).cmp(other.first_numbers(count)).then_with(|| self.prerelease.cmp(&other.prerelease))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Version {}

/// A release line as it compares: `2.4`, `v2.4` and `2.4.x` are the same line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Line {
    /// A word, such as `lts`: it has no order and no version tells that it belongs to it.
    Named(String),
    /// The numbers that the versions of the line begin with.
    Numbered(Vec<u64>),
}

impl Line {
    /// Reads the name of a line; `None` if it is empty.
    pub fn parse(name: &str) -> Option<Self> {
        let name = line_name(name);
        if name.is_empty() {
            return None;
        }
        let numbers: Result<_, _> = name.split('.').map(number).collect();
        Some(numbers.map_or_else(|_| Self::Named(name.to_owned()), Self::Numbered))
    }

    /// The line that would hold a version, were lines named by so many numbers.
    pub fn around(version: &Version, count: usize) -> Self {
        Self::Numbered(version.first_numbers(count).collect())
    }

    /// Where a version stands: below the line, inside it (`Equal`), or above. `None` for a named line.
    pub fn place(&self, version: &Version) -> Option<Ordering> {
        match self {
            Self::Named(_) => None,
            Self::Numbered(numbers) => Some(version.first_numbers(numbers.len()).cmp(numbers.iter().copied())),
        }
    }
}

/// The longest of the lines that holds this version: `2.3` holds `2.3.6`, `v2.3` and `2.3-rc.1` but not `2.30.1`.
///
/// Texts that are no semantic versions are compared as dotted text.
pub fn line_of<'a, S>(version: &str, lines: impl IntoIterator<Item = &'a S>) -> Option<&'a str>
where
    S: AsRef<str> + ?Sized + 'a,
{
    let parsed = Version::parse(version).ok();
    let version = without_v(version.trim());
    let mut longest: Option<(usize, &str)> = None;
    for line in lines.into_iter().map(S::as_ref) {
        let held = match (Line::parse(line), &parsed) {
            (None, _) => false,
            (Some(numbered @ Line::Numbered(_)), Some(version)) => numbered.place(version) == Some(Ordering::Equal),
            _ => version
                .strip_prefix(line_name(line))
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-', '+'])),
        };
        let length = line_name(line).split('.').count();
        if held && longest.is_none_or(|(other, _)| length > other) {
            longest = Some((length, line));
        }
    }
    longest.map(|(_, line)| line)
}

/// Takes the `v` off `v2.4.1`, but not off a word.
fn without_v(text: &str) -> &str {
    text.strip_prefix(['v', 'V']).filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit())).unwrap_or(text)
}

/// A line's name without what people decorate it with: `v2.4.x` is `2.4`.
fn line_name(name: &str) -> &str {
    let name = without_v(name.trim());
    [".x", ".X", ".*"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
}

fn number(part: &str) -> Result<u64, VersionError> {
    if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(VersionError::NotANumber { part: part.to_owned() });
    }
    if part.len() > 1 && part.starts_with('0') {
        return Err(VersionError::LeadingZero { part: part.to_owned() });
    }
    part.parse().map_err(|_| VersionError::TooLarge { part: part.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn v(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    #[test]
    fn versions_sort_as_semver_org_says() {
        let sorted = [
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.0.1",
            "1.0.1",
            "1.2",
            "1.10",
            "2",
        ];
        assert!(sorted.map(v).is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn spellings_of_one_version_are_equal() {
        for spelling in ["2.4", "v2.4.0", "V2.4", " 2.4.0 ", "2.4.0.0", "2.4.0+build.7"] {
            assert_eq!(v(spelling), v("2.4.0"), "{spelling:?}");
        }
        assert_eq!(v("2.4-rc.1"), v("2.4.0-rc.1"));
        assert!(v("2.4-rc.1").is_prerelease());
    }

    #[test]
    fn what_is_no_version_says_why() {
        let why = |text| check(VersionScheme::Semver, text).unwrap_err().to_string();
        assert_eq!(why(" "), "is empty");
        assert_eq!(why("2.x"), "has \"x\" where a number belongs; semantic versions look like 2.4.1 or 2.4.1-rc.1");
        assert_eq!(why("2024.01.3"), "has a leading zero in \"01\"");
        assert_eq!(why("2.99999999999999999999"), "has a number too large to compare: 99999999999999999999");
        assert_eq!(why("2.4.1-rc..1"), "has \"rc..1\" after the hyphen, which is not a prerelease such as rc.1");
        assert_eq!(why("2.4.1+"), "has \"\" after the plus sign, which is not build metadata such as build.7");
        for wrong in ["v", "2.", ".4", "2..4", "2.4.1-", "2.4 beta", "release-2.4", "２.4", "-1", "+1", "2.4.1-01"] {
            assert!(Version::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_continuous_version_is_anything_but_empty() {
        assert_eq!(check(VersionScheme::Continuous, "deploy 4711 (blue)"), Ok(()));
        assert_eq!(check(VersionScheme::Continuous, "\t"), Err(VersionError::Empty));
    }

    #[test]
    fn a_version_belongs_to_the_longest_line_that_begins_it() {
        let lines = ["2", "2.3", "2.4.x", "v3", "web", ""];
        for (version, line) in [
            ("2.3.6", Some("2.3")),
            ("v2.3", Some("2.3")),
            ("2.3-rc.1", Some("2.3")),
            ("2.30.1", Some("2")),
            ("2.4.1", Some("2.4.x")),
            ("3.0.0", Some("v3")),
            ("30.0.0", None),
            ("web.17", Some("web")),
            ("website", None),
            ("2.3.6_patched", Some("2.3")),
            ("", None),
        ] {
            assert_eq!(line_of(version, &lines), line, "{version:?}");
        }
        assert_eq!(line_of("2", &["2.0".to_owned()]), Some("2.0"), "a missing minor is 0");
    }

    #[test]
    fn a_line_knows_what_is_below_inside_and_above() {
        let line = Line::parse("2.4").unwrap();
        assert_eq!(line.place(&v("2.3.99")), Some(Ordering::Less));
        assert_eq!(line.place(&v("2.4")), Some(Ordering::Equal));
        assert_eq!(line.place(&v("2.4.1-rc.1")), Some(Ordering::Equal));
        assert_eq!(line.place(&v("2.40")), Some(Ordering::Greater));
        assert_eq!(Line::parse("lts").unwrap().place(&v("2.4")), None);
        assert_eq!(Line::parse("v2.4.x"), Line::parse("2.4"));
        assert_eq!(Line::parse(" "), None);
    }

    #[test]
    fn a_scheme_reads_back_from_its_name() {
        for scheme in [VersionScheme::Semver, VersionScheme::Continuous] {
            assert_eq!(scheme.as_str().parse(), Ok(scheme));
            assert_eq!(serde_json::to_value(scheme).unwrap(), scheme.as_str());
        }
        assert!("semver".parse::<VersionScheme>().is_err());
    }

    proptest! {
        #[test]
        fn three_numbers_compare_as_the_semver_crate_does(
            a in "[0-3]\\.[0-3]\\.[0-3](-(rc|alpha)(\\.[0-9])?)?", b in "[0-3]\\.[0-3]\\.[0-3](-(rc|alpha)(\\.[0-9])?)?",
        ) {
            let (theirs_a, theirs_b) = (semver::Version::parse(&a).unwrap(), semver::Version::parse(&b).unwrap());
            prop_assert_eq!(v(&a).cmp(&v(&b)), theirs_a.cmp_precedence(&theirs_b));
        }

        #[test]
        fn reading_any_text_never_panics(text in any::<String>(), line in any::<String>()) {
            let _ = Version::parse(&text);
            let _ = line_of(&text, [line.as_str()]);
        }
    }
}
