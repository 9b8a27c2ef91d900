//! Where logs go: to standard error, so that standard output holds results alone.

use std::io::IsTerminal;

use crate::{
    exit::{Exit, Failure, Outcome},
    settings::log::LogFilter,
};

/// Begins to log what `filter` lets through. To be called once.
pub(crate) fn init(filter: &LogFilter) -> Outcome {
    tracing_subscriber::fmt()
        .with_env_filter(filter.to_filter())
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // A line that cannot be written, to a terminal that was closed, must not end the program: the complaint about
        // it would be written there too, and panic.
        .log_internal_errors(false)
        .try_init()
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot log: {error}")))
}
