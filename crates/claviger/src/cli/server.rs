//! `claviger server`: runs the key server.

use std::{net::IpAddr, path::PathBuf};

use clap::Args;

use crate::{cli::Globals, config::ServerSettings, exit::Outcome, output};

/// Runs the key server. Without a configuration it makes an identity and an empty store, and says its HIT.
#[derive(Debug, Clone, PartialEq, Eq, Default, Args)]
pub(crate) struct ServerArgs {
    /// Configuration file, in TOML [default: none; every setting has a default]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Check the configuration, show what would run, and end
    #[arg(long)]
    pub(crate) check: bool,
    /// Address to listen on [default: 0.0.0.0]
    #[arg(long, value_name = "ADDR")]
    pub(crate) address: Option<IpAddr>,
    /// UDP port of HIP; 0 lets the system choose [default: 10500]
    #[arg(long, value_name = "PORT")]
    pub(crate) hip_port: Option<u16>,
    /// UDP port of GDOI; 0 lets the system choose; below 1024 it needs CAP_NET_BIND_SERVICE [default: 848]
    #[arg(long, value_name = "PORT")]
    pub(crate) gdoi_port: Option<u16>,
    /// Speak HIP on IP protocol 139 too (needs CAP_NET_RAW)
    #[arg(long)]
    pub(crate) raw: bool,
    /// Network interface that multicast rekey messages leave by, by name [default: the one that the routing table
    /// chooses]
    #[arg(long, value_name = "NAME")]
    pub(crate) interface: Option<String>,
}

/// Does what `--check` asks for: settles all settings and shows them.
pub(crate) fn check(globals: &Globals, args: &ServerArgs) -> Outcome {
    let settings = ServerSettings::new(globals, args)?;
    let what =
        args.config.as_ref().map_or("the default configuration".to_owned(), |f| f.display().to_string());
    output::print_text(&format!("{what} is valid\n{settings}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Server {
        #[command(flatten)]
        args: ServerArgs,
    }

    #[test]
    fn every_option_is_read() {
        let line =
            "server --config c --check --address ::1 --hip-port 0 --gdoi-port 1848 --raw --interface lo";
        let expected = ServerArgs {
            config: Some("c".into()),
            check: true,
            address: Some("::1".parse().unwrap()),
            hip_port: Some(0),
            gdoi_port: Some(1848),
            raw: true,
            interface: Some("lo".into()),
        };
        assert_eq!(Server::try_parse_from(line.split(' ')).unwrap().args, expected);
        assert_eq!(Server::try_parse_from(["server"]).unwrap().args, ServerArgs::default());
    }
}
