//! Values that a flow file holds as text, read once.

use std::fmt::Display;

use document::Code;

/// An error of the deserialiser that carries a code of the catalogue; [`split_coded`] takes it apart again.
pub(crate) fn coded<E: serde::de::Error>(code: Code, why: &dyn Display) -> E {
    E::custom(format_args!("{code}\u{1f}{why}"))
}

/// The code and the words of an error made by [`coded`]; others are `None` and stay as they are.
pub(crate) fn split_coded(message: &str) -> (Option<Code>, &str) {
    match message.split_once('\u{1f}') {
        Some((code, why)) => (code.parse().ok(), why),
        None => (None, message),
    }
}

/// The zone of an IANA name.
pub(crate) fn parse_zone(text: &str) -> Result<chrono_tz::Tz, String> {
    text.parse().map_err(|_| format!("{text:?} is not a time zone: use an IANA name such as Asia/Shanghai"))
}

pub(crate) mod zone {
    use chrono_tz::Tz;
    use document::Code;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(zone: &Tz, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(zone.name())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Tz, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::parse_zone(&text).map_err(|why| super::coded(Code::Zone, &why))
    }
}

pub(crate) mod optional_zone {
    use chrono_tz::Tz;
    use document::Code;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(zone: &Option<Tz>, serializer: S) -> Result<S::Ok, S::Error> {
        match zone {
            Some(zone) => super::zone::serialize(zone, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Tz>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        let zone = text.map(|text| super::parse_zone(&text)).transpose();
        zone.map_err(|why| super::coded(Code::Zone, &why))
    }
}

pub(crate) mod instant {
    use chrono::{DateTime, FixedOffset};
    use document::Code;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        instant: &Option<DateTime<FixedOffset>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match instant {
            Some(instant) => serializer.serialize_str(&instant.to_rfc3339()),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<DateTime<FixedOffset>>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        match DateTime::parse_from_rfc3339(&text) {
            Ok(instant) => Ok(Some(instant)),
            Err(source) => Err(super::coded(
                Code::Instant,
                &format_args!("{text:?} is not an instant with offset such as 2024-01-01T00:00:00+08:00: {source}"),
            )),
        }
    }
}
