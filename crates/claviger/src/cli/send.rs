//! `claviger send`: sends standard input to a protected group.

use std::num::NonZeroU64;

use clap::Args;
use claviger_group::{GroupId, Role};

use crate::{
    cli::{globals::Globals, registration::RegistrationArgs, value::quantity},
    exit::Outcome,
    settings::{
        server_address::ServerAddress,
        stream::{SIZE_DEFAULT, SIZE_MAX, SendSettings},
    },
};

/// Sends standard input to a protected group, cut into datagrams. Nothing is repeated: what the network loses is lost.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct SendArgs {
    /// Group, by name; #1234 or 0x4d2 is a number of four octets
    #[arg(long, value_name = "NAME")]
    pub(crate) group: GroupId,
    /// Key server to register to in this process, as HIT@ADDR or HIT@ADDR:PORT [default: none; the running member
    /// daemon of the group sends]
    #[arg(long, value_name = "HIT@ADDR[:PORT]")]
    pub(crate) server: Option<ServerAddress>,
    /// Pace in payload octets per second, with k, M or G
    #[arg(long, value_name = "OCTETS/s", default_value = "1M", value_parser = quantity)]
    pub(crate) rate: u64,
    /// UDP destination port inside [default: the group's; 5000 if it protects every port]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,
    /// Payload of a datagram, in octets
    #[arg(long, value_name = "OCTETS", default_value_t = SIZE_DEFAULT,
          value_parser = clap::value_parser!(u16).range(1..=SIZE_MAX.into()))]
    pub(crate) size: u16,
    /// How the key server is reached.
    #[command(flatten)]
    pub(crate) registration: RegistrationArgs,
}

impl SendArgs {
    /// Settles what the command runs by.
    pub(crate) fn settings(&self, globals: &Globals) -> Outcome<SendSettings> {
        let server = self.server.as_ref();
        Ok(SendSettings {
            through: self.registration.through(globals, server, &self.group, Role::Sender)?,
            group: self.group.clone(),
            rate: NonZeroU64::new(self.rate).unwrap_or(NonZeroU64::MIN),
            port: self.port,
            size: self.size,
            log: globals.log_of_command(),
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Send {
        #[command(flatten)]
        args: SendArgs,
    }

    fn parse(line: &str) -> Result<SendArgs, String> {
        Send::try_parse_from(line.split(' ')).map(|send| send.args).map_err(|error| error.to_string())
    }

    #[test]
    fn every_option_is_read() {
        let args =
            parse("send --group x --server 2001:22::1@192.0.2.1 --rate 64k --port 7 --size 100").unwrap();
        assert_eq!((args.rate, args.port, args.size), (64_000, Some(7), 100));
        assert_eq!(args.group, "x".parse().unwrap());
        assert_eq!(args.server, Some("2001:22::1@192.0.2.1".parse().unwrap()));
        let args = parse("send --group x").unwrap();
        assert_eq!((args.server, args.rate, args.port, args.size), (None, 1_000_000, None, 1400));
    }

    #[test]
    fn says_which_option_is_wrong_and_why() {
        let error = parse("send --group x --rate fast").unwrap_err();
        assert!(error.contains("--rate <OCTETS/s>") && error.contains("no positive quantity"), "{error}");
        assert!(parse("send --group x --size 0").unwrap_err().contains("--size <OCTETS>"));
        assert!(parse("send --group x --size 65500").is_err());
        assert!(parse("send --group x --port 0").is_err());
    }
}
