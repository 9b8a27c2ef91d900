//! Where logs go: to standard error, so that standard output holds results alone.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::exit::{Exit, Failure, Outcome};

/// What commands log that end by themselves.
pub(crate) const FILTER_COMMAND: &str = "warn";

/// What daemons log.
pub(crate) const FILTER_DAEMON: &str = "info";

/// Says whether a text filters logs, such as `info` or `warn,claviger_hip=trace`.
pub(crate) fn check(filter: &str) -> Result<(), String> {
    match EnvFilter::try_new(filter) {
        Ok(_) => Ok(()),
        Err(error) => {
            Err(format!("`{filter}` is no log filter such as info or warn,claviger_hip=trace: {error}"))
        }
    }
}

/// Begins to log what `filter` lets through. To be called once.
pub(crate) fn init(filter: &str) -> Outcome {
    check(filter).map_err(|error| Failure::new(Exit::Usage, error))?;
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // A line that cannot be written, to a terminal that was closed, must not end the program: the complaint about
        // it would be written there too, and panic.
        .log_internal_errors(false)
        .try_init()
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot log: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_filters_from_other_text() {
        for filter in ["info", "warn,claviger_hip=trace", "off"] {
            assert_eq!(check(filter), Ok(()), "{filter}");
        }
        assert!(check("claviger=loud").unwrap_err().starts_with("`claviger=loud` is no log filter"));
    }
}
