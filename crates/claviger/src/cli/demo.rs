//! `claviger demo`: shows the whole of it on one host; and the hidden commands that its processes run.

use std::{net::IpAddr, path::PathBuf};

use clap::Args;

use crate::{
    cli::{globals::Globals, join::JoinArgs},
    exit::Outcome,
    settings::demo::{DemoSettings, ObserverSettings, RecordedMemberSettings},
};

/// Shows the whole of it on the loopback interface: a key server that is killed and restarted, members that join, leave
/// and are evicted, and what each of them could decrypt. Needs no privilege and no configuration.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct DemoArgs {
    /// Write the result as one JSON object on standard output; progress goes to standard error
    #[arg(long)]
    pub(crate) json: bool,
    /// File to stream, at most its first 8 MiB [default: this program's executable]
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Hands the evicted member the later TEKs before its keys are tried, so that the claims fail
    #[arg(long, hide = true)]
    pub(crate) betray: bool,
}

impl DemoArgs {
    /// Settles what the demonstration runs by.
    pub(crate) fn settings(&self) -> DemoSettings {
        DemoSettings { file: self.file.clone(), json: self.json, betray: self.betray }
    }
}

/// `claviger demo-observer`: records every datagram of a multicast address, and has no keys.
#[derive(Debug, Clone, Args)]
pub(crate) struct ObserverArgs {
    /// The multicast address.
    #[arg(long)]
    address: IpAddr,
    /// A UDP port; may be repeated.
    #[arg(long)]
    port: Vec<u16>,
    /// The file to write.
    #[arg(long)]
    recording: PathBuf,
}

/// `claviger demo-member`: a member that records what it receives and keeps every key.
#[derive(Debug, Clone, Args)]
pub(crate) struct MemberArgs {
    #[command(flatten)]
    join: JoinArgs,
    /// The file to write payloads to.
    #[arg(long)]
    recording: PathBuf,
    /// The file to write keys to at the end.
    #[arg(long)]
    ledger: PathBuf,
}

impl ObserverArgs {
    /// Settles what the observer runs by.
    pub(crate) fn settings(&self, globals: &Globals) -> ObserverSettings {
        ObserverSettings {
            address: self.address,
            ports: self.port.clone(),
            recording: self.recording.clone(),
            log: globals.log_of_daemon(),
        }
    }
}

impl MemberArgs {
    /// Settles what the member runs by.
    pub(crate) fn settings(&self, globals: &Globals) -> Outcome<RecordedMemberSettings> {
        Ok(RecordedMemberSettings {
            member: self.join.member_settings(globals)?,
            recording: self.recording.clone(),
            ledger: self.ledger.clone(),
            log: globals.log_of_daemon(),
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Demo {
        #[command(flatten)]
        args: DemoArgs,
    }

    #[test]
    fn every_option_is_read() {
        let demo = Demo::try_parse_from(["demo", "--json", "film"]).unwrap();
        assert_eq!(demo.args, DemoArgs { json: true, file: Some("film".into()), betray: false });
    }
}
