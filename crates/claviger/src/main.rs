//! One binary: key server, member, sender, receiver, control and demonstration.

mod cli;
#[allow(dead_code, reason = "read by the key server's runtime")]
mod config;
mod exit;
#[allow(dead_code, reason = "identities are also made by the daemons' runtimes")]
mod identity_file;
mod lock;
#[allow(dead_code, reason = "daemons log by another filter")]
mod logging;
mod output;
mod paths;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    exit::report(cli::run(cli::Cli::parse()))
}
