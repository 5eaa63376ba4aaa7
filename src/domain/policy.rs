//! What a tenant lets be said, and how.

use std::time::Duration;

use chrono::{NaiveTime, TimeZone, Timelike};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::time::Timestamp;
use super::violation::Violations;

/// When a cluster has several defects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MultiDefect {
    /// Speak when every defect's fix has reached the customer.
    #[default]
    All,
    /// Speak about each as it arrives.
    Any,
}

/// A daily span of local time in which nothing is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuietHours {
    /// Minutes after local midnight, 0 to 1439.
    pub start_minute: u16,
    /// Minutes after local midnight; before the start, it means the next day.
    pub end_minute: u16,
}

/// No clock jumped further than a day, and all by whole quarters of an hour in the time this is about.
const LONGEST_JUMP_QUARTERS: i64 = 25 * 4;

/// What a tenant lets be said, and how. Stored as JSON; a missing key takes its default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// Say ACKNOWLEDGED when a defect is linked.
    pub acknowledge: bool,
    /// When a cluster has several defects.
    pub multi_defect: MultiDefect,
    /// Announcements to more recipients wait for a person; `None`: none does.
    pub approval_threshold: Option<u64>,
    /// How long a fix must have stood, in seconds.
    pub settle_delay_seconds: u64,
    /// Tell customers whose version is unknown in conditional words.
    pub tell_unknown_conditionally: bool,
    /// When nothing is sent.
    pub quiet_hours: Option<QuietHours>,
    /// Time zone of customers who have none.
    pub time_zone: String,
    /// The share of what the matcher attaches by itself that should be right.
    pub attach_precision: f64,
    /// Only what people answered from here on teaches the matcher; `None`: everything.
    pub answers_since: Option<Timestamp>,
}

/// The share of what the matcher attaches by itself that should be right, unless the tenant says otherwise. A wrong
/// attach is worse than a missed one: somebody may be told something false.
pub const ATTACH_PRECISION: f64 = 0.95;

impl Default for Policy {
    fn default() -> Self {
        Self {
            acknowledge: false,
            multi_defect: MultiDefect::All,
            approval_threshold: None,
            settle_delay_seconds: 0,
            tell_unknown_conditionally: false,
            quiet_hours: None,
            time_zone: "UTC".to_owned(),
            attach_precision: ATTACH_PRECISION,
            answers_since: None,
        }
    }
}

impl Policy {
    /// How long a fix must have stood before it is spoken of.
    pub fn settle_delay(&self) -> Duration {
        Duration::from_secs(self.settle_delay_seconds)
    }

    /// Everything that is wrong with it.
    pub fn check(&self, violations: &mut Violations) {
        if self.settle_delay_seconds > 7 * 24 * 3600 {
            violations.add("policy.settle_delay", "is longer than 7 days; set at most 604800s");
        }
        if self.time_zone.parse::<Tz>().is_err() {
            violations.add("policy.time_zone", "is not an IANA time zone; set one like Europe/Berlin");
        }
        if !(0.5..=0.999).contains(&self.attach_precision) {
            violations.add("policy.attach_precision", "is not from 0.5 to 0.999; set it, or 0 for the default");
        }
        if let Some(quiet) = self.quiet_hours {
            if quiet.start_minute > 1439 || quiet.end_minute > 1439 {
                violations.add("policy.quiet_start_minute", "quiet hours are minutes after midnight, 0 to 1439");
            }
            if quiet.start_minute == quiet.end_minute {
                violations.add("policy.quiet_end_minute", "equals the start; unset both for no quiet hours");
            }
        }
    }

    /// If `now` is in the customer's quiet hours, when they end. `time_zone` is the customer's own, or empty.
    pub fn quiet_until(&self, time_zone: &str, now: Timestamp) -> Option<Timestamp> {
        let quiet = self.quiet_hours?;
        let zone: Tz = time_zone.parse().or_else(|_| self.time_zone.parse()).unwrap_or(Tz::UTC);
        let local = now.to_chrono()?.with_timezone(&zone);
        let minute = u16::try_from(local.hour() * 60 + local.minute()).unwrap_or(0);
        let (start, end) = (quiet.start_minute, quiet.end_minute);
        let inside = if start < end { (start..end).contains(&minute) } else { minute >= start || minute < end };
        if !inside {
            return None;
        }
        let ends_today = minute < end;
        let date = if ends_today { local.date_naive() } else { local.date_naive().succ_opt()? };
        let time = NaiveTime::from_hms_opt(u32::from(end) / 60, u32::from(end) % 60, 0)?;
        // The clock may jump over this time, and where a country changed sides of the date line over a whole day: then
        // they end when the clock goes on. Where it shows this time twice, the later one is surely outside.
        let end = (0..=LONGEST_JUMP_QUARTERS).find_map(|quarters| {
            let time = date.and_time(time) + chrono::TimeDelta::minutes(15 * quarters);
            zone.from_local_datetime(&time).latest()
        })?;
        Some(Timestamp::from_chrono(end.to_utc()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_chrono(text.parse().expect("a moment in RFC 3339"))
    }

    fn quiet(start_minute: u16, end_minute: u16) -> Policy {
        Policy { quiet_hours: Some(QuietHours { start_minute, end_minute }), ..Policy::default() }
    }

    #[test]
    fn law_12_quiet_hours_are_the_customers_own() {
        let policy = quiet(21 * 60, 8 * 60);
        let now = at("2026-06-01T20:30:00Z");
        assert_eq!(policy.quiet_until("Europe/Berlin", now), Some(at("2026-06-02T06:00:00Z")));
        assert_eq!(policy.quiet_until("America/New_York", now), None);
        assert_eq!(policy.quiet_until("", now), None);
    }

    #[test]
    fn law_12_quiet_hours_end_where_the_clock_jumps_over_their_end() {
        // Berlin goes from two to three; Troll, in Antarctica, from one to three.
        for (zone, end, now, until) in [
            ("Europe/Berlin", 2 * 60 + 30, "2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z"),
            ("Antarctica/Troll", 60 + 30, "2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z"),
            ("Europe/Berlin", 2 * 60 + 30, "2026-10-25T00:15:00Z", "2026-10-25T01:30:00Z"),
            // The 30th of December 2011 does not exist in Samoa.
            ("Pacific/Apia", 8 * 60, "2011-12-30T09:00:00Z", "2011-12-30T10:00:00Z"),
        ] {
            assert_eq!(quiet(21 * 60, end).quiet_until(zone, at(now)), Some(at(until)), "{zone} {now}");
        }
    }

    proptest! {
        #[test]
        fn law_12_quiet_hours_are_kept_in_every_zone_and_end_within_a_day_and_outside_themselves(
            start in 0u16..1440, end in 0u16..1440, seconds in 0i64..(40 * 365 * 86_400), zone in 0usize..chrono_tz::TZ_VARIANTS.len(),
        ) {
            prop_assume!(start != end);
            let policy = quiet(start, end);
            let zone = chrono_tz::TZ_VARIANTS[zone];
            let minute_at = |moment: Timestamp| {
                let local = moment.to_chrono().expect("a moment of our time").with_timezone(&zone);
                u16::try_from(local.hour() * 60 + local.minute()).expect("a day is short")
            };
            let now = Timestamp::from_micros(seconds * 1_000_000);
            // Minutes since they began, and how long they last.
            let since = (minute_at(now) + 1440 - start) % 1440;
            let length = (end + 1440 - start) % 1440;
            let until = policy.quiet_until(zone.name(), now);
            prop_assert_eq!(until.is_some(), since < length, "{} at {}", zone, now);
            if let Some(until) = until {
                prop_assert!(until > now);
                prop_assert!(until.since(now) <= Duration::from_secs(26 * 3600), "{until} is too late");
                // Only where the clock jumped over their end may they have begun again.
                let jumped = minute_at(until) != end;
                prop_assert!(jumped || policy.quiet_until(zone.name(), until).is_none(), "{until} is inside");
            }
        }
    }
}
