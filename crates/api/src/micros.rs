//! Instants that stand in JSON as microseconds since 1970-01-01T00:00:00 UTC.

use claviger_sansio::Time;
use serde::{Deserialize, Deserializer, Serializer};

/// Writes an instant.
pub fn serialize<S: Serializer>(time: &Time, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(time.as_micros())
}

/// Reads an instant.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
    u64::deserialize(deserializer).map(Time::from_micros)
}

/// Instants that may be absent: `null`.
pub mod option {
    use claviger_sansio::Time;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes an instant, or null.
    pub fn serialize<S: Serializer>(time: &Option<Time>, serializer: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => serializer.serialize_some(&time.as_micros()),
            None => serializer.serialize_none(),
        }
    }

    /// Reads an instant, or null.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Time::from_micros))
    }
}
