//! `claviger server`: runs the key server.

use std::{net::IpAddr, path::PathBuf};

use clap::Args;

use crate::{
    certificates,
    cli::{globals::Globals, value},
    config_file::Config,
    exit::Outcome,
    output,
    settings::{
        association_rekey::AssociationRekey,
        difficulty::{Difficulty, Puzzle},
        files::Files,
        log::LogFilter,
        paths::Paths,
        server::{HipOffers, Listen, ServerSettings},
    },
};

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
    /// Network interface that multicast rekey messages leave by, by name [default: that of the address, if one is
    /// named; else the one that the routing table chooses]
    #[arg(long, value_name = "NAME")]
    pub(crate) interface: Option<String>,
    /// Difficulty of HIP's puzzle without load, 0 to 26 bits [default: 10]
    #[arg(long, value_name = "BITS")]
    pub(crate) puzzle_difficulty: Option<Difficulty>,
    /// Difficulty up to which it rises by itself under a flood, 0 to 26 bits [default: 16]
    #[arg(long, value_name = "BITS")]
    pub(crate) puzzle_difficulty_max: Option<Difficulty>,
    /// Certificate by which a group owner says that this host is a key server, as PEM, with those of the CAs above it but for
    /// the root; may be repeated, one file for each owner [default: none]
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate: Vec<PathBuf>,
    /// Directory of lists of revoked certificates, read again within 2 seconds of a change [default: none; no certificate
    /// lets a host in then, but in groups made --without-revocation]
    #[arg(long, value_name = "DIR")]
    pub(crate) revocation_lists: Option<PathBuf>,
    /// Time within which the keys of each registered host's association are renewed, 1 minute at least; `off` is never
    /// [default: 1d]
    #[arg(long, value_name = "TIME", value_parser = value::association_rekey)]
    pub(crate) association_rekey: Option<AssociationRekey>,
}

impl ServerArgs {
    /// Settles what the key server runs by: options over file over environment over defaults.
    pub(crate) fn settings(&self, globals: &Globals) -> Outcome<ServerSettings> {
        let config = self.config.as_deref().map(Config::load).transpose()?.unwrap_or_default();
        let chosen_dir = globals.state_dir.as_deref().or(config.state_dir.as_deref());
        let paths = Paths::find(chosen_dir)?;
        let listen = Listen {
            address: self.address.unwrap_or(config.listen.address),
            hip_port: self.hip_port.unwrap_or(config.listen.hip_port),
            gdoi_port: self.gdoi_port.unwrap_or(config.listen.gdoi_port),
            raw: self.raw || config.listen.raw,
            interface: self.interface.clone().or(config.listen.interface),
        };
        let certificate = match self.certificate.as_slice() {
            [] => config.certificate,
            named => Files(named.to_vec()),
        };
        let association_rekey = self.association_rekey.unwrap_or(config.hip.association_rekey);
        Ok(ServerSettings {
            listen,
            puzzle: Puzzle {
                difficulty: self.puzzle_difficulty.unwrap_or(config.puzzle.difficulty),
                difficulty_max: self.puzzle_difficulty_max.unwrap_or(config.puzzle.difficulty_max),
            },
            hip: HipOffers { association_rekey, ..config.hip },
            certificate,
            revocation_lists: self.revocation_lists.clone().or(config.revocation_lists),
            log: globals.log.clone().or(config.log.filter).unwrap_or_else(LogFilter::of_daemons),
            socket: globals.socket.clone().or(config.socket).unwrap_or_else(|| paths.server_socket()),
            state_dir: paths.state_dir,
        })
    }
}

/// Does what `--check` asks for: settles all settings and shows them.
pub(crate) fn check(globals: &Globals, args: &ServerArgs) -> Outcome {
    let settings = args.settings(globals)?;
    certificates::warn_of_time(&settings.certificate.0, certificates::now())?;
    let what =
        args.config.as_ref().map_or("the default configuration".to_owned(), |f| f.display().to_string());
    output::print_text(&format!("{what} is valid\n{settings}"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Server {
        #[command(flatten)]
        args: ServerArgs,
    }

    #[test]
    fn every_option_is_read() {
        let line = "server --config c --check --address ::1 --hip-port 0 --gdoi-port 1848 --raw --interface lo \
                    --puzzle-difficulty 0 --puzzle-difficulty-max 20 --association-rekey 2h \
                    --certificate a --certificate b --revocation-lists l";
        let expected = ServerArgs {
            config: Some("c".into()),
            check: true,
            address: Some("::1".parse().unwrap()),
            hip_port: Some(0),
            gdoi_port: Some(1848),
            raw: true,
            interface: Some("lo".into()),
            puzzle_difficulty: Some(0.try_into().unwrap()),
            puzzle_difficulty_max: Some(20.try_into().unwrap()),
            association_rekey: Some(7200.try_into().unwrap()),
            certificate: vec!["a".into(), "b".into()],
            revocation_lists: Some("l".into()),
        };
        assert_eq!(Server::try_parse_from(line.split(' ')).unwrap().args, expected);
        assert_eq!(Server::try_parse_from(["server"]).unwrap().args, ServerArgs::default());
    }

    #[test]
    fn options_beat_the_file_and_the_file_beats_defaults() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("server.toml");
        fs::write(
            &file,
            "state_dir = \"s\"\ncertificate = \"c\"\nrevocation_lists = \"l\"\n[listen]\nhip_port = 1\ngdoi_port = 2\n[log]\nfilter=\"warn\"\n\
             [puzzle]\ndifficulty = 4\ndifficulty_max = 5",
        )
        .unwrap();
        let puzzle_difficulty_max = Some(6.try_into().unwrap());
        let mut args = ServerArgs {
            config: Some(file),
            gdoi_port: Some(3),
            puzzle_difficulty_max,
            ..ServerArgs::default()
        };
        let settings = args.settings(&Globals::default()).unwrap();
        assert_eq!((settings.listen.hip_port, settings.listen.gdoi_port), (1, 3));
        assert_eq!(settings.state_dir, directory.path().join("s"));
        assert_eq!(settings.socket, directory.path().join("s/server.sock"));
        assert_eq!(settings.log.to_string(), "warn");
        assert_eq!(settings.puzzle.to_string(), "4 bits, up to 6 bits under load");
        assert_eq!(settings.certificate, Files(vec![directory.path().join("c")]));
        let (certificate, lists) = (directory.path().join("c"), directory.path().join("l"));
        let shown =
            format!("\ncertificate: {}\nrevocation lists: {}\n", certificate.display(), lists.display());
        assert!(settings.to_string().contains(&shown), "{settings}");
        args.certificate = vec!["/d".into()];
        assert_eq!(args.settings(&Globals::default()).unwrap().certificate, Files(vec!["/d".into()]));
        args.certificate.clear();
        args.config = None;
        let globals = Globals {
            state_dir: Some("/x".into()),
            socket: Some("/y.sock".into()),
            log: Some("debug".parse().unwrap()),
        };
        let settings = args.settings(&globals).unwrap();
        assert_eq!(
            settings.to_string(),
            "listens on 0.0.0.0: HIP on UDP 10500, GDOI on UDP 3\n\
             puzzle difficulty: 10 bits, up to 10 bits under load\n\
             keys of associations are renewed: within 86400 s\nlog: debug\nstate: /x\ncontrol socket: /y.sock"
        );
    }
}
