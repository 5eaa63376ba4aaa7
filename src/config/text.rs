//! How single values are written: durations, networks, addresses and secrets, to and from text.
//!
//! Lists also come as one string with commas, because that is all an environment variable can hold.

use std::fmt;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use secrecy::SecretString;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serializer};

/// What is printed in place of a secret.
const REDACTED: &str = "[redacted]";

/// `"30s"`.
pub(super) mod duration {
    use super::*;

    pub(in super::super) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format_duration(*duration))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        parse_duration(&Text::deserialize(from)?.0).map_err(D::Error::custom)
    }
}

/// `["5s", "5m"]`.
pub(super) mod durations {
    use super::*;

    pub(in super::super) fn serialize<S: Serializer>(durations: &[Duration], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(durations.iter().map(|duration| format_duration(*duration)))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Duration>, D::Error> {
        from.deserialize_any(List { parse: parse_duration, item: PhantomData })
    }
}

/// `["10.0.0.0/8"]`; a bare address means that address alone.
pub(super) mod networks {
    use super::*;

    pub(in super::super) fn serialize<S: Serializer>(networks: &[IpNet], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(networks.iter().map(IpNet::to_string))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<IpNet>, D::Error> {
        from.deserialize_any(List { parse: parse_network, item: PhantomData })
    }
}

/// `"https://example.org"`.
pub(super) mod url {
    use super::*;
    use ::url::Url;

    pub(in super::super) fn serialize<S: Serializer>(url: &Url, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(url.as_str())
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Url, D::Error> {
        let text = Text::deserialize(from)?.0;
        Url::parse(&text).map_err(|error| D::Error::custom(format!("{text:?} is not a URL: {error}")))
    }
}

/// A URL that may be absent.
pub(super) mod optional_url {
    use super::*;
    use ::url::Url;

    pub(in super::super) fn serialize<S: Serializer>(url: &Option<Url>, to: S) -> Result<S::Ok, S::Error> {
        match url {
            Some(url) => to.serialize_some(url.as_str()),
            None => to.serialize_none(),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Url>, D::Error> {
        let Some(Text(text)) = Option::deserialize(from)? else { return Ok(None) };
        // It may hold a secret, so it is not repeated.
        Url::parse(&text).map(Some).map_err(|error| D::Error::custom(format!("is not a URL: {error}")))
    }
}

/// Reads a duration that may be absent.
pub(super) fn optional_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let text = Option::<Text>::deserialize(from)?;
    text.map(|text| parse_duration(&text.0).map_err(D::Error::custom)).transpose()
}

/// Writes a mark in place of a secret.
pub(super) fn redacted<S: Serializer>(_: &SecretString, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(REDACTED)
}

/// Writes a mark in place of a secret that is there.
pub(super) fn redacted_option<S: Serializer>(_: &Option<SecretString>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(REDACTED)
}

/// The domain of `name@domain` or `Name <name@domain>`; `None` if it cannot be a mailbox.
pub(super) fn mailbox_domain(mailbox: &str) -> Option<&str> {
    if mailbox.chars().any(char::is_control) {
        return None;
    }
    let address = match mailbox.trim().split_once('<') {
        Some((_, rest)) => rest.strip_suffix('>')?,
        None => mailbox.trim(),
    };
    let (local, domain) = address.rsplit_once('@')?;
    let is_plain = |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || "<>,;".contains(c));
    (is_plain(local) && is_plain(domain)).then_some(domain)
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{text:?} is not a duration such as \"30s\": {error}"))
}

fn parse_network(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| format!("{text:?} is not a network such as \"10.1.0.0/16\""))
}

/// The one largest unit that says it exactly, so that what was written as `76h` is printed as `76h`.
fn format_duration(duration: Duration) -> String {
    const UNITS: [(u128, &str); 5] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
    let millis = duration.as_millis();
    if duration.is_zero() {
        return "0s".to_owned();
    }
    if !duration.subsec_nanos().is_multiple_of(1_000_000) {
        return humantime::format_duration(duration).to_string();
    }
    let (size, name) = UNITS.into_iter().find(|(size, _)| millis.is_multiple_of(*size)).unwrap_or((1, "ms"));
    format!("{}{name}", millis / size)
}

/// A string, with an error that says to quote it: an unquoted `30` is the usual slip.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Quoted;
        impl Visitor<'_> for Quoted {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text in quotes, such as \"30s\"")
            }

            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }
        }
        from.deserialize_str(Quoted)
    }
}

/// A list of strings, or one string with commas, each part read by `parse`.
struct List<T> {
    parse: fn(&str) -> Result<T, String>,
    item: PhantomData<T>,
}

impl<'de, T> Visitor<'de> for List<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of text")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Vec<T>, E> {
        let text = text.trim();
        let inside = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        inside
            .split(',')
            .map(|part| part.trim().trim_matches(['"', '\'']))
            .filter(|part| !part.is_empty())
            .map(|part| (self.parse)(part).map_err(E::custom))
            .collect()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(Text(part)) = parts.next_element()? {
            list.push((self.parse)(&part).map_err(A::Error::custom)?);
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_printed_as_people_write_them() {
        for text in ["0s", "1ms", "1500ms", "30s", "90s", "5m", "76h", "7d"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
        assert_eq!(format_duration(Duration::from_micros(1_500)), "1ms 500us");
    }

    #[test]
    fn a_bare_address_is_a_network_of_one() {
        assert_eq!(parse_network("10.0.0.7").unwrap().to_string(), "10.0.0.7/32");
        assert_eq!(parse_network("fd00::/8").unwrap().to_string(), "fd00::/8");
        assert!(parse_network("10.0.0.0/40").is_err());
    }

    #[test]
    fn a_mailbox_has_a_domain_or_is_none() {
        assert_eq!(mailbox_domain("help@example.org"), Some("example.org"));
        assert_eq!(mailbox_domain("Help Desk <help@example.org>"), Some("example.org"));
        for bad in ["", "help", "@example.org", "help@", "a@b.c\r\nBcc: d@e.f", "Help <help@example.org", "a@b c"] {
            assert_eq!(mailbox_domain(bad), None, "{bad:?}");
        }
    }
}
