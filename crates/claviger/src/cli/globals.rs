//! Options of every command.

use std::path::PathBuf;

use clap::Args;
use claviger_api::Client;
use claviger_group::GroupId;

use crate::{
    exit::Outcome,
    settings::{log::LogFilter, paths::Paths},
};

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

    /// Names the control socket of a group's member daemon.
    pub(crate) fn member_socket(&self, group: &GroupId) -> Outcome<PathBuf> {
        match &self.socket {
            Some(socket) => Ok(socket.clone()),
            None => Ok(self.paths()?.member_socket(group)),
        }
    }

    /// Says what a command logs that ends by itself.
    pub(crate) fn log_of_command(&self) -> LogFilter {
        self.log.clone().unwrap_or_else(LogFilter::of_commands)
    }

    /// Says what a daemon logs that has no configuration file.
    pub(crate) fn log_of_daemon(&self) -> LogFilter {
        self.log.clone().unwrap_or_else(LogFilter::of_daemons)
    }
}
