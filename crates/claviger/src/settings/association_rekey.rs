//! How long the keys of HIP associations live (docs/hip-gdoi-binding.md section 4.1).

use std::{fmt, time::Duration};

use claviger_hip::HostConfig;
use serde::Deserialize;

/// After how long the keys of an association are renewed where nothing else is said: a host that is taken gives away a day.
const DEFAULT: Duration = Duration::from_secs(86_400);

/// After how long the keys of an association are renewed; in the file, a number of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct AssociationRekey(Option<Duration>);

impl AssociationRekey {
    /// Returns the time; `None` if keys live as long as their association.
    pub const fn after(self) -> Option<Duration> {
        self.0
    }
}

impl Default for AssociationRekey {
    fn default() -> Self {
        Self(Some(DEFAULT))
    }
}

impl fmt::Display for AssociationRekey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(after) => write!(f, "within {} s", after.as_secs()),
            None => f.write_str("never"),
        }
    }
}

impl TryFrom<u32> for AssociationRekey {
    type Error = String;

    /// Takes seconds; zero is never.
    fn try_from(seconds: u32) -> Result<Self, String> {
        let after = Duration::from_secs(seconds.into());
        let least = HostConfig::REKEY_AFTER_MIN;
        if after.is_zero() {
            Ok(Self(None))
        } else if after >= least {
            Ok(Self(Some(after)))
        } else {
            let least = least.as_secs();
            Err(format!(
                "the keys of associations live for {least} s at least, or 0 for ever, not {seconds} s"
            ))
        }
    }
}
