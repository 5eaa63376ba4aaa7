//! Between the words of the wire and the words of the domain, where more than one service needs the same.

use std::str::FromStr;

use uuid::Uuid;

use crate::domain::customer::{ChannelKind, ContactAddress};
use crate::domain::defect::DefectRef;
use crate::domain::id::ParseIdError;
use crate::domain::time::Timestamp;
use crate::domain::violation::Violations;

use super::proto;

/// A moment as the wire has it.
pub(crate) fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    let micros = time.micros();
    prost_types::Timestamp {
        seconds: micros.div_euclid(1_000_000),
        nanos: i32::try_from(micros.rem_euclid(1_000_000) * 1_000).expect("less than a second in nanoseconds"),
    }
}

/// Seconds from year 1 to year 9999, the range of the protobuf type.
const TIMESTAMP_SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// A moment a caller sent, cut to microseconds.
pub(crate) fn read_timestamp(
    field: &str,
    time: Option<&prost_types::Timestamp>,
    violations: &mut Violations,
) -> Option<Timestamp> {
    let time = time?;
    if !TIMESTAMP_SECONDS.contains(&time.seconds) || !(0..1_000_000_000).contains(&time.nanos) {
        violations.add(field, "is outside the years 1 to 9999 or has nanos outside 0 to 999999999; send a valid time");
        return None;
    }
    Some(Timestamp::from_micros(time.seconds * 1_000_000 + i64::from(time.nanos) / 1_000))
}

/// An id that may be left out.
pub(crate) fn optional_id<T: FromStr<Err = ParseIdError>>(
    field: &str,
    text: &str,
    violations: &mut Violations,
) -> Option<T> {
    if text.is_empty() {
        return None;
    }
    match text.parse() {
        Ok(id) => Some(id),
        Err(error) => {
            violations.add(field, error.to_string());
            None
        }
    }
}

/// An id that must be there.
pub(crate) fn required_id<T: FromStr<Err = ParseIdError>>(
    field: &str,
    text: &str,
    violations: &mut Violations,
) -> Option<T> {
    if text.is_empty() {
        violations.add(field, "is required; set it");
    }
    optional_id(field, text, violations)
}

/// The same where reading goes on, so that the caller learns everything at once: what is no id is noted, and nobody's id
/// stands in its place until the violations are answered.
pub(crate) fn noted_id<T>(field: &str, text: &str, violations: &mut Violations) -> T
where
    T: FromStr<Err = ParseIdError> + From<Uuid>,
{
    required_id(field, text, violations).unwrap_or_else(|| T::from(Uuid::nil()))
}

/// A defect by id or by tracker and key.
pub(crate) fn defect_ref(field: &str, text: &str, violations: &mut Violations) -> Option<DefectRef> {
    if text.is_empty() {
        violations.add(field, "is required; set it");
        return None;
    }
    text.parse()
        .map_err(|error: crate::domain::defect::ParseDefectRefError| violations.add(field, error.to_string()))
        .ok()
}

/// A text that means "not known" when empty. Surrounding space is nobody's meaning.
pub(crate) fn optional_text(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// A channel; `None` for what this server does not know.
pub(crate) fn read_channel(channel: i32) -> Option<ChannelKind> {
    match proto::Channel::try_from(channel) {
        Ok(proto::Channel::Email) => Some(ChannelKind::Email),
        Ok(proto::Channel::Webhook) => Some(ChannelKind::Webhook),
        Ok(proto::Channel::Stream) => Some(ChannelKind::Stream),
        Ok(proto::Channel::Unspecified) | Err(_) => None,
    }
}

/// A channel for the wire.
pub(crate) fn channel(channel: ChannelKind) -> proto::Channel {
    match channel {
        ChannelKind::Email => proto::Channel::Email,
        ChannelKind::Webhook => proto::Channel::Webhook,
        ChannelKind::Stream => proto::Channel::Stream,
    }
}

/// Addresses a caller sent.
pub(crate) fn read_contact_points(inputs: &[proto::ContactPointInput]) -> Vec<ContactAddress> {
    inputs
        .iter()
        .map(|input| ContactAddress { channel: read_channel(input.channel), address: input.address.trim().to_owned() })
        .collect()
}
