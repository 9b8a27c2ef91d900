//! `claviger join`: the member daemon.

use clap::Args;
use claviger_group::{GroupId, Role};

use std::net::IpAddr;

use crate::{
    cli::{
        globals::Globals,
        registration::{Membership, RegistrationArgs},
        value::{multicast_address, network},
    },
    exit::Outcome,
    settings::{
        member::{JoinSettings, MemberSettings, TunSettings},
        server_address::ServerAddress,
    },
};

/// Registers to a key server, keeps a group's keys and protects its traffic until it is stopped; SIGTERM and SIGINT
/// leave the group.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct JoinArgs {
    /// Key server, as HIT@ADDR or HIT@ADDR:PORT with its UDP port of HIP (10500 unless named)
    #[arg(long, value_name = "HIT@ADDR[:PORT]")]
    pub(crate) server: ServerAddress,
    /// Group, by name; #1234 or 0x4d2 is a number of four octets
    #[arg(long, value_name = "NAME")]
    pub(crate) group: GroupId,
    /// Ask to send as well as to receive
    #[arg(long)]
    pub(crate) sender: bool,
    /// TUN device to make for the group's traffic, by name (needs CAP_NET_ADMIN); without it, traffic goes through
    /// `claviger send` and `claviger recv`
    #[arg(long, value_name = "NAME")]
    pub(crate) tun: Option<String>,
    /// Address of the TUN device, with its prefix; may be given twice, for IPv4 and IPv6
    #[arg(long, value_name = "ADDR/PREFIX", requires = "tun", value_parser = network)]
    pub(crate) tun_address: Vec<(IpAddr, u8)>,
    /// The group's address, which the key server must confirm: it is guarded at once, and not only when the key server
    /// has said it
    #[arg(long, value_name = "ADDR", requires = "tun", value_parser = multicast_address)]
    pub(crate) address: Option<IpAddr>,
    /// Make no guard: programs send to the group in the clear whenever the daemon does not run. By default nothing for
    /// the group's address leaves this host but ESP, until `claviger release`
    #[arg(long, requires = "tun")]
    pub(crate) fail_open: bool,
    /// How the key server is reached.
    #[command(flatten)]
    pub(crate) registration: RegistrationArgs,
}

impl JoinArgs {
    /// Says what the member asks for.
    pub(crate) fn role(&self) -> Role {
        if self.sender { Role::Both } else { Role::Receiver }
    }

    /// Settles what the daemon runs by.
    pub(crate) fn settings(&self, globals: &Globals) -> Outcome<JoinSettings> {
        Ok(JoinSettings {
            member: self.member_settings(globals)?,
            socket: globals.member_socket(&self.group)?,
            log: globals.log_of_daemon(),
        })
    }

    /// Settles what the member in it runs by.
    pub(crate) fn member_settings(&self, globals: &Globals) -> Outcome<MemberSettings> {
        let tun = self.tun.as_ref().map(|name| TunSettings {
            name: Some(name.clone()),
            addresses: self.tun_address.clone(),
            group_address: self.address,
            fail_open: self.fail_open,
        });
        let asked = Membership { server: &self.server, group: &self.group, role: self.role(), tun };
        self.registration.settings(globals, asked)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Join {
        #[command(flatten)]
        args: JoinArgs,
    }

    fn parse(line: &str) -> Result<JoinArgs, String> {
        Join::try_parse_from(line.split(' ')).map(|join| join.args).map_err(|error| error.to_string())
    }

    #[test]
    fn every_option_is_read() {
        let line = "join --server 2001:22::1@192.0.2.1 --group #7 --sender --tun grp0 --tun-address 10.9.0.1/24 --address 239.192.7.7 --fail-open --raw --gdoi-port 1848 \
                    --interface lo --identity guest --certificate a --certificate b --owner o --anonymous \
                    --standard-only";
        let expected = JoinArgs {
            server: "2001:22::1@192.0.2.1:10500".parse().unwrap(),
            group: "0x7".parse().unwrap(),
            sender: true,
            tun: Some("grp0".into()),
            tun_address: vec![("10.9.0.1".parse().unwrap(), 24)],
            address: Some("239.192.7.7".parse().unwrap()),
            fail_open: true,
            registration: RegistrationArgs {
                raw: true,
                gdoi_port: 1848,
                interface: Some("lo".into()),
                identity: Some("guest".parse().unwrap()),
                certificate: vec!["a".into(), "b".into()],
                owner: Some("o".into()),
                anonymous: true,
                dh_groups: None,
                standard_only: true,
            },
        };
        assert_eq!(parse(line).as_ref(), Ok(&expected));
        assert_eq!(expected.role(), Role::Both);
        let plain = parse("join --server 2001:22::1@192.0.2.1 --group x").unwrap();
        assert_eq!((plain.role(), plain.registration.gdoi_port), (Role::Receiver, 848));
    }

    #[test]
    fn says_which_option_is_wrong_and_why() {
        let error = parse("join --server 2001:22::1 --group x").unwrap_err();
        assert!(error.contains("--server <HIT@ADDR[:PORT]>"), "{error}");
        assert!(error.contains("there is no @"), "{error}");
        assert!(parse("join --group x").unwrap_err().contains("--server <HIT@ADDR[:PORT]>"));
        let error = parse("join --server 2001:22::1@192.0.2.1 --group #x").unwrap_err();
        assert!(error.contains("a group number is # and a decimal"), "{error}");
        assert!(parse("join --server 2001:22::1@192.0.2.1 --group x --gdoi-port 0").is_err());
        let error =
            parse("join --server 2001:22::1@192.0.2.1 --group x --tun grp0 --address 192.0.2.7").unwrap_err();
        assert!(error.contains("192.0.2.7 is no multicast address"), "{error}");
        let error = parse("join --server 2001:22::1@192.0.2.1 --group x --identity a/b").unwrap_err();
        assert!(error.contains("an identity's name has 1 to 32 ASCII letters"), "{error}");
        for option in ["--address 239.192.7.7", "--fail-open"] {
            let error = parse(&format!("join --server 2001:22::1@192.0.2.1 --group x {option}")).unwrap_err();
            assert!(error.contains("--tun <NAME>"), "{error}");
        }
    }
}
