//! Everything behind the binary `claviger`: key server, member, sender, receiver, control and demonstration.
//!
//! | module | what |
//! |---|---|
//! | `cli` | the arguments of every command, which fill settings; it alone knows `pipe` and `demo` |
//! | [`settings`], `config_file` | what everything runs by, and the file that says it |
//! | `start`, `lock`, `identity_file`, `private` | from settings to a running daemon |
//! | `owner` | a group owner's certificate authority in a directory |
//! | `certificates` | the files of certificates that hosts show, and go by |
//! | `key_file`, `token`, `public_file` | files that keep private keys or name one in a token, and those that everybody may read |
//! | `guard` | what keeps a group's packets from leaving in the clear, and the files that remember it |
//! | [`server`] | the key server around its core |
//! | `member` | the member daemon around its core |
//! | `pipe` | `send` and `recv` |
//! | `demo` | the demonstration |
//! | `carrier`, `counters`, `signal`, `logging` | sockets, what is counted, signals, logs |
//! | `output`, [`exit`], `refusals`, `sentences` | what people and programs are told |

#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

mod carrier;
mod certificates;
mod cli;
mod config_file;
mod counters;
mod demo;
pub mod exit;
mod guard;
mod identity_file;
mod key_file;
mod lock;
mod logging;
mod member;
mod output;
mod owner;
mod pipe;
mod private;
mod public_file;
mod refusals;
mod route;
mod sentences;
pub mod server;
pub mod settings;
mod signal;
mod start;
mod token;

use std::process::ExitCode;

/// Does what the command line asks for.
pub fn main() -> ExitCode {
    private::close();
    exit::report(cli::run())
}
