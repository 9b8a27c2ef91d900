//! `claviger recv`: writes what a protected group receives to standard output.

use std::{num::NonZeroU64, time::Duration};

use clap::Args;
use claviger_group::{GroupId, Role};

use crate::{
    cli::{globals::Globals, registration::RegistrationArgs, value::duration},
    exit::Outcome,
    settings::{server_address::ServerAddress, stream::ReceiveSettings},
};

/// Writes what a protected group receives to standard output, payload after payload, and counts on standard
/// error what has not come. Ends at SIGINT, or as --idle and --count say.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct RecvArgs {
    /// Group, by name; #1234 or 0x4d2 is a number of four octets
    #[arg(long, value_name = "NAME")]
    pub(crate) group: GroupId,
    /// Key server to register to in this process, as HIT@ADDR or HIT@ADDR:PORT [default: none; the running member
    /// daemon of the group receives]
    #[arg(long, value_name = "HIT@ADDR[:PORT]")]
    pub(crate) server: Option<ServerAddress>,
    /// UDP destination port inside [default: the group's; 5000 if it protects every port]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,
    /// End when nothing has arrived for so many seconds; other units as 500ms or 2min [default: never]
    #[arg(long, value_name = "SECONDS", value_parser = duration)]
    pub(crate) idle: Option<Duration>,
    /// End after so many datagrams [default: never]
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<NonZeroU64>,
    /// How the key server is reached.
    #[command(flatten)]
    pub(crate) registration: RegistrationArgs,
}

impl RecvArgs {
    /// Settles what the command runs by.
    pub(crate) fn settings(&self, globals: &Globals) -> Outcome<ReceiveSettings> {
        let server = self.server.as_ref();
        Ok(ReceiveSettings {
            through: self.registration.through(globals, server, &self.group, Role::Receiver)?,
            group: self.group.clone(),
            idle: self.idle,
            count: self.count,
            log: globals.log_of_command(),
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Recv {
        #[command(flatten)]
        args: RecvArgs,
    }

    fn parse(line: &str) -> Result<RecvArgs, String> {
        Recv::try_parse_from(line.split(' ')).map(|recv| recv.args).map_err(|error| error.to_string())
    }

    #[test]
    fn every_option_is_read() {
        let args = parse("recv --group x --idle 2 --count 10 --port 7 --interface lo").unwrap();
        assert_eq!((args.idle, args.count), (Some(Duration::from_secs(2)), NonZeroU64::new(10)));
        assert_eq!((args.port, args.server), (Some(7), None));
        assert_eq!(args.registration.interface.as_deref(), Some("lo"));
    }

    #[test]
    fn says_which_option_is_wrong_and_why() {
        let error = parse("recv --group x --idle soon").unwrap_err();
        assert!(error.contains("--idle <SECONDS>") && error.contains("`soon` is no duration"), "{error}");
        assert!(parse("recv --group x --count 0").unwrap_err().contains("--count <N>"));
        assert!(parse("recv").unwrap_err().contains("--group <NAME>"));
    }
}
