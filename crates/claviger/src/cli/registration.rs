//! Options of every command that registers to a key server by itself.

use std::path::PathBuf;

use clap::Args;
use claviger_gdoi::Extensions;
use claviger_group::{GroupId, Role};

use crate::{
    cli::globals::Globals,
    exit::Outcome,
    settings::{
        hip::DhGroups,
        identity::IdentityName,
        member::{MemberSettings, TunSettings},
        ports::GDOI_PORT,
        server_address::ServerAddress,
        stream::Through,
    },
};

/// How to reach a key server, beside its address.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct RegistrationArgs {
    /// Speak HIP on IP protocol 139 instead of UDP (needs CAP_NET_RAW)
    #[arg(long)]
    pub(crate) raw: bool,
    /// UDP port of GDOI at the key server
    #[arg(long, value_name = "PORT", default_value_t = GDOI_PORT, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) gdoi_port: u16,
    /// Network interface that multicast is received and sent on, by name [default: the one that the routing table
    /// chooses]
    #[arg(long, value_name = "NAME")]
    pub(crate) interface: Option<String>,
    /// Identity of this host, by the name that `claviger identity new --name` gave it [default: the one without a name,
    /// which is made where there is none]
    #[arg(long, value_name = "NAME")]
    pub(crate) identity: Option<IdentityName>,
    /// Certificate by which the group's owner lets this host in, as PEM, with those of the CAs above it but for the root; may
    /// be repeated, for several owners
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate: Vec<PathBuf>,
    /// The group owner's certificate (`owner.pem`): keys are taken only from a key server that shows a certificate by this
    /// owner for the group
    #[arg(long, value_name = "FILE")]
    pub(crate) owner: Option<PathBuf>,
    /// Say that this identity is anonymous: it stands in no directory. For an identity of its own (--identity) with a
    /// certificate, so that nobody but the owner can tell whose it is
    #[arg(long)]
    pub(crate) anonymous: bool,
    /// Diffie-Hellman groups of HIP, by number, such as 8,9: what a group with 256-bit keys needs [default: 7,8,9,4]
    #[arg(long, value_name = "LIST")]
    pub(crate) dh_groups: Option<DhGroups>,
    /// Refuse groups that need extensions of GDOI for private use: LKH-32, signatures over whole rekeys
    #[arg(long)]
    pub(crate) standard_only: bool,
}

/// What a member asks a key server for.
pub(crate) struct Membership<'a> {
    pub(crate) server: &'a ServerAddress,
    pub(crate) group: &'a GroupId,
    pub(crate) role: Role,
    pub(crate) tun: Option<TunSettings>,
}

impl RegistrationArgs {
    /// Settles what a member runs by.
    pub(crate) fn settings(&self, globals: &Globals, asked: Membership<'_>) -> Outcome<MemberSettings> {
        Ok(MemberSettings {
            paths: globals.paths()?,
            identity: self.identity.clone().unwrap_or_default(),
            server: *asked.server,
            gdoi_port: self.gdoi_port,
            raw: self.raw,
            group: asked.group.clone(),
            role: asked.role,
            interface: self.interface.clone(),
            certificate: self.certificate.clone(),
            owner: self.owner.clone(),
            anonymous: self.anonymous,
            dh_groups: self.dh_groups.clone().unwrap_or_default(),
            extensions: if self.standard_only { Extensions::NONE } else { Extensions::ALL },
            tun: asked.tun,
        })
    }

    /// Settles which member a stream goes through: one that registers to the server named, or the group's daemon.
    pub(crate) fn through(
        &self,
        globals: &Globals,
        server: Option<&ServerAddress>,
        group: &GroupId,
        role: Role,
    ) -> Outcome<Through> {
        let Some(server) = server else { return Ok(Through::Daemon(globals.member_socket(group)?)) };
        let asked = Membership { server, group, role, tun: None };
        Ok(Through::OwnMember(Box::new(self.settings(globals, asked)?)))
    }
}
