//! The key server's configuration file, in TOML.
//!
//! Every field may be left out, and so may the file: what stands here are the reasons to change one. An option of the
//! command line beats the file, the file beats the default; `cli` puts them together. Groups and members are no part of
//! it: they are made by command and kept in the store.
//!
//! ```toml
//! state_dir = "state"          # beside this file
//!
//! [listen]
//! address = "192.0.2.1"
//! hip_port = 10500
//! gdoi_port = 848
//! ```

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{
    exit::{Exit, Failure},
    settings::{
        difficulty::Puzzle,
        files::Files,
        log::LogFilter,
        server::{HipOffers, Listen},
    },
};

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Where identity, store and key file are; relative to the file. Default: as without a file (see `--state-dir`).
    /// Change it to run several servers on one host, or to keep state on another disk.
    pub(crate) state_dir: Option<PathBuf>,
    /// The control socket; relative to the file. Default: `server.sock` in the runtime directory. Change it where
    /// another user or a container must reach it.
    pub(crate) socket: Option<PathBuf>,
    /// The certificates by which group owners say that this host is a key server, one file or several: each begins with the
    /// host's own, and goes on with those of the CAs above it but for the root; relative to this file. Default: none. Name
    /// them where hosts join with `--owner`.
    pub(crate) certificate: Files,
    /// The directory of lists of revoked certificates: its files *.crl and *.pem, read again within 2 seconds of a change;
    /// relative to this file. Default: none. Name it where groups have owners, unless they are made with
    /// `--without-revocation`.
    pub(crate) revocation_lists: Option<PathBuf>,
    /// Where the server is reached.
    pub(crate) listen: Listen,
    /// What is logged.
    pub(crate) log: Log,
    /// What a host pays to be heard.
    pub(crate) puzzle: Puzzle,
    /// What HIP offers.
    pub(crate) hip: HipOffers,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct Log {
    /// What is logged, as `info` or `warn,claviger_hip=debug`. Default: `info`, changes that users see. `trace` is a
    /// line for each packet.
    pub(crate) filter: Option<LogFilter>,
}

/// What is wrong with a file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigError {
    file: PathBuf,
    place: Option<Place>,
    field: Option<String>,
    message: String,
}

/// A place in a text; both count from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    line: usize,
    column: usize,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(Place { line, column }) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        if let Some(field) = &self.field {
            write!(f, ": {field}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(Exit::Configuration, error.to_string())
    }
}

impl Config {
    /// Reads a file.
    pub(crate) fn load(file: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(file).map_err(|error| ConfigError {
            file: file.into(),
            place: None,
            field: None,
            message: error.to_string(),
        })?;
        Self::parse(file, &text)
    }

    fn parse(file: &Path, text: &str) -> Result<Self, ConfigError> {
        let mut config: Self = toml::from_str(text).map_err(|error| {
            let offset = error.span().map(|span| span.start);
            ConfigError {
                file: file.into(),
                place: offset.map(|offset| place(text, offset)),
                field: offset.and_then(|offset| field(text, offset)),
                message: error.message().trim().replace('\n', ", "),
            }
        })?;
        let base = file.parent().unwrap_or(Path::new(""));
        let named = [&mut config.state_dir, &mut config.socket, &mut config.revocation_lists];
        for path in named.into_iter().flatten().chain(&mut config.certificate.0) {
            *path = base.join(&path);
        }
        Ok(config)
    }
}

fn place(text: &str, offset: usize) -> Place {
    let before = &text[..text.floor_char_boundary(offset)];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Place { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
}

/// Finds which field an offset lies in, as `listen.hip_port`.
fn field(text: &str, offset: usize) -> Option<String> {
    let root = DeTable::parse(text).ok()?;
    field_in(root.get_ref(), offset).map(|names| names.join("."))
}

fn field_in(table: &DeTable<'_>, offset: usize) -> Option<Vec<String>> {
    let covers = |key: &Spanned<_>, value: &Spanned<DeValue<'_>>| {
        key.span().contains(&offset) || value.span().contains(&offset)
    };
    let inner = |value: &Spanned<DeValue<'_>>| value.get_ref().as_table().and_then(|t| field_in(t, offset));
    let found = table.iter().find_map(|(key, value)| Some((key, inner(value)?)));
    let (key, rest) = match found {
        Some((key, rest)) => (key, rest),
        None => (table.iter().find(|(key, value)| covers(key, value))?.0, Vec::new()),
    };
    Some([vec![key.get_ref().to_string()], rest].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::hip::Ciphers;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(Path::new("/etc/claviger/server.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_file_is_the_default() {
        let config = parse("").unwrap();
        assert_eq!(config, Config::default());
        assert_eq!((config.listen.hip_port, config.listen.gdoi_port), (10_500, 848));
        assert_eq!((config.puzzle.difficulty.bits(), config.puzzle.difficulty_max.bits()), (10, 16));
    }

    #[test]
    fn every_field_is_read_and_paths_are_relative_to_the_file() {
        let config = parse(
            "state_dir = \"state\"\nsocket = \"/run/x.sock\"\n\
             certificate = [\"a.pem\", \"/b.pem\"]\nrevocation_lists = \"lists\"\n\
             [listen]\naddress = \"::1\"\nhip_port = 1\ngdoi_port = 2\nraw = true\ninterface = \"eth1\"\n\
             [log]\nfilter = \"debug\"\n[puzzle]\ndifficulty = 26\ndifficulty_max = 25\n[hip]\ndh_groups = [9, 8]\n\
             association_rekey = 0\n",
        );
        let listen = Listen {
            address: "::1".parse().unwrap(),
            hip_port: 1,
            gdoi_port: 2,
            raw: true,
            interface: Some("eth1".into()),
        };
        let expected = Config {
            state_dir: Some("/etc/claviger/state".into()),
            socket: Some("/run/x.sock".into()),
            certificate: Files(vec!["/etc/claviger/a.pem".into(), "/b.pem".into()]),
            revocation_lists: Some("/etc/claviger/lists".into()),
            listen,
            log: Log { filter: Some("debug".parse().unwrap()) },
            puzzle: Puzzle { difficulty: 26.try_into().unwrap(), difficulty_max: 25.try_into().unwrap() },
            hip: HipOffers {
                dh_groups: "9,8".parse().unwrap(),
                ciphers: Ciphers::default(),
                association_rekey: 0.try_into().unwrap(),
            },
        };
        assert_eq!(config, Ok(expected));
        let one = parse("certificate = \"a.pem\"").unwrap().certificate;
        assert_eq!(one, Files(vec!["/etc/claviger/a.pem".into()]));
    }

    #[test]
    fn errors_name_file_line_column_and_field() {
        for (text, sentence) in [
            (
                "[listen]\nhip_port = 99999\n",
                ":2:12: listen.hip_port: invalid value: integer `99999`, expected u16",
            ),
            (
                "[listen]\n\nhip_prot = 1\n",
                ":3:1: listen.hip_prot: unknown field `hip_prot`, expected one of `address`, `hip_port`, \
                 `gdoi_port`, `raw`, `interface`",
            ),
            (
                "\n[listne]\n",
                ":2:2: listne: unknown field `listne`, expected one of `state_dir`, `socket`, `certificate`, \
                 `revocation_lists`, `listen`, `log`, `puzzle`, `hip`",
            ),
            (
                "[hip]\nassociation_rekey = 59\n",
                ":2:21: hip.association_rekey: the keys of associations live for 60 s at least, or 0 for ever, not 59 s",
            ),
            ("[listen]\naddress = \"here\"\n", ":2:11: listen.address: invalid IP address syntax"),
            (
                "[listen]\nraw = \"yes\"\n",
                ":2:7: listen.raw: invalid type: string \"yes\", expected a boolean",
            ),
            (
                "[puzzle]\ndifficulty = 27\n",
                ":2:14: puzzle.difficulty: a puzzle's difficulty is 0 to 26 bits, not 27",
            ),
            (
                "puzzle = { difficulty = 300 }",
                ":1:25: puzzle.difficulty: invalid value: integer `300`, expected u8",
            ),
            ("puzzle.difficulty = -1", ":1:21: puzzle.difficulty: invalid value: integer `-1`, expected u8"),
            (
                "[log]\nfilter = \"a=loud\"\n",
                ":2:10: log.filter: `a=loud` is no log filter such as info or warn,claviger_hip=trace: \
                 error parsing level filter: expected one of \"off\", \"error\", \"warn\", \"info\", \
                 \"debug\", \"trace\", or a number 0-5",
            ),
            (
                "certificate = 7\n",
                ":1:15: certificate: invalid type: integer `7`, expected a file or a list of files",
            ),
            ("listen = 7\n", ":1:10: listen: invalid type: integer `7`, expected a table"),
            ("[listen]\nhip_port 7\n", ":2:10: key with no value, expected `=`"),
            (
                "raw = true\n[listen]\nraw = false",
                ":1:1: raw: unknown field `raw`, expected one of `state_dir`, \
              `socket`, `certificate`, `revocation_lists`, `listen`, `log`, `puzzle`, `hip`",
            ),
        ] {
            assert_eq!(parse(text), Err(format!("/etc/claviger/server.toml{sentence}")), "{text}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Config::load(Path::new("/nonexistent/server.toml")).unwrap_err();
        let failure = Failure::from(error);
        assert_eq!(failure.exit, Exit::Configuration);
        assert!(failure.message.starts_with("/nonexistent/server.toml: No such file"), "{}", failure.message);
    }
}
