//! The command line: one file for each command's arguments, and for what the command does where it is short.
//!
//! Arguments fill the types of `settings`, which is all that the rest of the program knows of them. [`run`] alone hands
//! them to those parts.

mod demo;
mod eviction;
mod globals;
mod group;
mod guard;
mod identity;
mod join;
mod member;
mod owner;
mod recv;
mod registration;
mod rekey;
mod send;
mod server;
mod status;
mod value;

use clap::{Parser, Subcommand};

use crate::{
    exit::{self, Exit, Failure, Outcome},
    logging, pipe, start,
};
use globals::Globals;

/// Keeps the keys of IP multicast groups.
///
/// A key server (`claviger server`) admits hosts to groups and replaces the groups' keys whenever somebody joins,
/// leaves, is evicted, or a key grows old. Members (`claviger join`) protect multicast traffic with those keys.
#[derive(Debug, Parser)]
#[command(name = "claviger", version, after_help = exit::help(), disable_help_subcommand = true)]
struct Cli {
    /// Options of every command.
    #[command(flatten)]
    globals: Globals,
    /// What to do.
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the key server.
    Server(server::ServerArgs),
    /// Joins a group and keeps its keys until stopped: the member daemon.
    Join(join::JoinArgs),
    /// Sends standard input to a protected group.
    Send(send::SendArgs),
    /// Writes what a protected group receives to standard output.
    Recv(recv::RecvArgs),
    /// Makes, shows and removes groups of a running key server.
    #[command(subcommand)]
    Group(group::GroupCommand),
    /// Shows and restores what keeps groups' packets from leaving this host in the clear.
    #[command(subcommand)]
    Guard(guard::GuardCommand),
    /// Takes down the guard of a group that this host has left for good.
    Release(guard::ReleaseArgs),
    /// Makes and shows host identities.
    #[command(subcommand)]
    Identity(identity::IdentityCommand),
    /// Lets hosts into groups, shows them and puts them out.
    #[command(subcommand)]
    Member(member::MemberCommand),
    /// Makes a group owner, who says by certificates which hosts may join which groups, and takes that back.
    #[command(subcommand)]
    Owner(owner::OwnerCommand),
    /// Replaces a group's keys now.
    Rekey(rekey::RekeyArgs),
    /// Shows what key server and member daemons hold and have seen.
    Status(status::StatusArgs),
    /// Shows the whole of it on this host: no privilege, no configuration, half a minute.
    Demo(demo::DemoArgs),
    #[command(hide = true)]
    DemoMember(demo::MemberArgs),
    #[command(hide = true)]
    DemoObserver(demo::ObserverArgs),
}

/// Does what the command line asks for.
pub(crate) fn run() -> Outcome {
    let Cli { globals, command } = Cli::parse();
    match command {
        Command::Server(args) if args.check => server::check(&globals, &args),
        Command::Server(args) => start::server(&args.settings(&globals)?),
        Command::Join(args) => start::join(&args.settings(&globals)?),
        Command::Send(args) => pipe::send::run(&args.settings(&globals)?),
        Command::Recv(args) => pipe::recv::run(&args.settings(&globals)?),
        Command::Demo(args) => crate::demo::run(&args.settings()),
        Command::DemoMember(args) => crate::demo::child::join(&args.settings(&globals)?),
        Command::DemoObserver(args) => crate::demo::child::observe(&args.settings(&globals)),
        Command::Group(command) => call(&globals, group::run(&globals, command)),
        Command::Guard(command) => begin_log(&globals).and_then(|()| guard::run(&globals, command)),
        Command::Release(args) => begin_log(&globals).and_then(|()| guard::release(&globals, &args)),
        Command::Identity(command) => begin_log(&globals).and_then(|()| identity::run(&globals, command)),
        Command::Member(command) => call(&globals, member::run(&globals, command)),
        Command::Owner(command) => begin_log(&globals).and_then(|()| owner::run(&globals, command)),
        Command::Rekey(args) => call(&globals, rekey::run(&globals, args)),
        Command::Status(args) => call(&globals, status::run(&globals, args)),
    }
}

/// Begins the log of a command that ends by itself; a daemon's begins once its configuration is read.
fn begin_log(globals: &Globals) -> Outcome {
    logging::init(&globals.log_of_command())
}

/// Runs a command that calls a daemon and waits for its answer.
fn call(globals: &Globals, command: impl Future<Output = Outcome>) -> Outcome {
    begin_log(globals)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::Failed, format!("cannot start: {error}")))?;
    runtime.block_on(command)
}

#[cfg(test)]
mod tests {
    use clap::{Args, CommandFactory};

    use super::*;

    /// The whole command line, and the arguments of the commands beside it.
    fn commands() -> Vec<clap::Command> {
        let alone = clap::Command::new;
        vec![
            Cli::command(),
            demo::DemoArgs::augment_args(alone("demo")),
            join::JoinArgs::augment_args(alone("join")),
            recv::RecvArgs::augment_args(alone("recv")),
            send::SendArgs::augment_args(alone("send")),
            server::ServerArgs::augment_args(alone("server")),
        ]
    }

    fn check_help(command: &clap::Command, path: &str) {
        let path = format!("{path} {}", command.get_name());
        assert!(command.get_about().is_some() || path.matches(' ').count() == 1, "{path} has no help");
        for argument in command.get_arguments() {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(!help.is_empty(), "{path} {} has no help", argument.get_id());
        }
        for inner in command.get_subcommands() {
            check_help(inner, &path);
        }
    }

    #[test]
    fn every_option_of_every_command_has_a_help_text() {
        for command in commands() {
            check_help(&command, "");
        }
    }

    #[test]
    fn the_command_line_is_coherent() {
        for command in commands() {
            command.debug_assert();
        }
    }

    #[test]
    fn the_help_ends_with_the_exit_codes() {
        let help = Cli::command().render_help().to_string();
        assert!(help.trim_end().ends_with(&exit::help()), "{help}");
    }
}
