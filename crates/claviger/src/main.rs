//! One binary: key server, member, sender, receiver, control and demonstration.

mod carrier;
mod cli;
mod config;
mod demo;
mod exit;
mod identity_file;
mod lock;
mod logging;
mod member;
mod output;
mod paths;
mod pipe;
mod refusals;
mod server;
mod signal;
mod start;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    exit::report(cli::run(cli::Cli::parse()))
}
