//! What is logged.

use std::{fmt, str::FromStr};

use serde::Deserialize;
use tracing_subscriber::EnvFilter;

/// A text that filters logs, as `info` or `warn,claviger_hip=trace`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct LogFilter(String);

impl LogFilter {
    /// What commands log that end by themselves.
    pub(crate) fn of_commands() -> Self {
        Self("warn".to_owned())
    }

    /// What daemons log.
    pub(crate) fn of_daemons() -> Self {
        Self("info".to_owned())
    }

    /// Makes the filter itself.
    pub(crate) fn to_filter(&self) -> EnvFilter {
        EnvFilter::new(&self.0)
    }
}

impl TryFrom<String> for LogFilter {
    type Error = String;

    fn try_from(filter: String) -> Result<Self, String> {
        match EnvFilter::try_new(&filter) {
            Ok(_) => Ok(Self(filter)),
            Err(error) => {
                Err(format!("`{filter}` is no log filter such as info or warn,claviger_hip=trace: {error}"))
            }
        }
    }
}

impl FromStr for LogFilter {
    type Err = String;

    fn from_str(filter: &str) -> Result<Self, String> {
        filter.to_owned().try_into()
    }
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_filters_from_other_text() {
        for filter in ["info", "warn,claviger_hip=trace", "off"] {
            assert_eq!(filter.parse(), Ok(LogFilter(filter.to_owned())), "{filter}");
        }
        let error = "claviger=loud".parse::<LogFilter>().unwrap_err();
        assert!(error.starts_with("`claviger=loud` is no log filter"));
    }
}
