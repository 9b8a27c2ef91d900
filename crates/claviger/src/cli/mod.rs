//! The command line: one file for each command's arguments, and for what the command does where it is short.

pub(crate) mod group;
pub(crate) mod identity;
pub(crate) mod member;
pub(crate) mod rekey;
pub(crate) mod status;
pub(crate) mod value;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use claviger_api::Client;

use crate::{
    exit::{self, Exit, Failure, Outcome},
    logging::{self, LogFilter},
    paths::Paths,
    pipe, start,
};

pub(crate) mod demo;
pub(crate) mod join;
pub(crate) mod recv;
pub(crate) mod registration;
pub(crate) mod send;
pub(crate) mod server;

/// Keeps the keys of IP multicast groups.
///
/// A key server (`claviger server`) admits hosts to groups and replaces the groups' keys whenever somebody joins,
/// leaves, is evicted, or a key grows old. Members (`claviger join`) protect multicast traffic with those keys.
#[derive(Debug, Parser)]
#[command(name = "claviger", version, after_help = exit::help(), disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub(crate) globals: Globals,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, PartialEq, Eq, Default, Args)]
pub(crate) struct Globals {
    /// Directory of identity, store and sockets [default: /var/lib/claviger and /run/claviger as root,
    /// $XDG_STATE_HOME/claviger and $XDG_RUNTIME_DIR/claviger otherwise]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Control socket of the daemon [default: server.sock or member-NAME.sock; see --state-dir]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) socket: Option<PathBuf>,
    /// What to log on standard error, as `debug` or `warn,claviger_hip=trace` [default: info for daemons, warn
    /// otherwise]
    #[arg(long, global = true, value_name = "FILTER")]
    pub(crate) log: Option<LogFilter>,
}

impl Globals {
    /// Finds the directories.
    pub(crate) fn paths(&self) -> Outcome<Paths> {
        Paths::find(self.state_dir.as_deref())
    }

    /// Makes a client of the key server's daemon.
    pub(crate) fn server(&self) -> Outcome<Client> {
        Ok(Client::new(match &self.socket {
            Some(socket) => socket.clone(),
            None => self.paths()?.server_socket(),
        }))
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
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
    /// Makes and shows host identities.
    #[command(subcommand)]
    Identity(identity::IdentityCommand),
    /// Lets hosts into groups, shows them and puts them out.
    #[command(subcommand)]
    Member(member::MemberCommand),
    /// Replaces a group's keys now.
    Rekey(rekey::RekeyArgs),
    /// Shows what key server and member daemons hold and have seen.
    Status(status::StatusArgs),
    /// Shows the whole of it on this host: no privilege, no configuration, half a minute.
    Demo(demo::DemoArgs),
    #[command(hide = true)]
    DemoMember(crate::demo::child::MemberArgs),
    #[command(hide = true)]
    DemoObserver(crate::demo::child::ObserverArgs),
}

/// Does what the command line asks for.
pub(crate) fn run(cli: Cli) -> Outcome {
    let Cli { globals, command } = cli;
    match command {
        Command::Server(args) => start::server(&globals, &args),
        Command::Join(args) => start::join(&globals, &args),
        Command::Send(args) => pipe::send::run(&globals, &args),
        Command::Recv(args) => pipe::recv::run(&globals, &args),
        Command::Demo(args) => crate::demo::run(&args),
        Command::DemoMember(args) => crate::demo::child::join(&globals, &args),
        Command::DemoObserver(args) => crate::demo::child::observe(&globals, &args),
        Command::Group(command) => call(&globals, group::run(&globals, command)),
        Command::Identity(command) => begin_log(&globals).and_then(|()| identity::run(&globals, command)),
        Command::Member(command) => call(&globals, member::run(&globals, command)),
        Command::Rekey(args) => call(&globals, rekey::run(&globals, args)),
        Command::Status(args) => call(&globals, status::run(&globals, args)),
    }
}

/// Begins the log of a command that ends by itself; a daemon's begins once its configuration is read.
fn begin_log(globals: &Globals) -> Outcome {
    logging::init(&globals.log.clone().unwrap_or_else(LogFilter::of_commands))
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
    use clap::CommandFactory;

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
