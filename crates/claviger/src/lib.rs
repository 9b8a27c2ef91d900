//! Everything behind the binary `claviger`: key server, member, sender, receiver, control and demonstration.
//!
//! | module | what |
//! |---|---|
//! | `cli` | the arguments of every command |
//! | `start`, `config`, `paths`, `lock`, `identity_file` | from arguments to a running daemon |
//! | [`server`] | the key server around its core |
//! | `member` | the member daemon around its core |
//! | `pipe` | `send` and `recv` |
//! | `demo` | the demonstration |
//! | `carrier`, `counters`, `signal`, `logging` | sockets, what is counted, signals, logs |
//! | [`difficulty`] | how hard the puzzle of HIP is |
//! | [`hip_offers`] | which algorithms HIP offers, as people write them |
//! | `output`, [`exit`], `refusals`, `sentences` | what people and programs are told |

#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

mod carrier;
mod cli;
mod config;
mod counters;
mod demo;
pub mod difficulty;
pub mod exit;
pub mod hip_offers;
mod identity_file;
mod lock;
mod logging;
mod member;
mod output;
mod paths;
mod pipe;
mod refusals;
mod route;
mod sentences;
pub mod server;
mod signal;
mod start;

use std::process::ExitCode;

use clap::Parser;

/// Does what the command line asks for.
pub fn main() -> ExitCode {
    exit::report(cli::run(cli::Cli::parse()))
}
