//! GDOI: what a group says in it, and what its members ask (RFC 6407).
//!
//! | module | what |
//! |---|---|
//! | [`pull`] | GROUPKEY-PULLs: who is offered what, and who is given it |
//! | [`offer`] | what a PULL announces and downloads |
//! | [`push`] | the GROUPKEY-PUSHes that tell a change of keys |
//! | [`update`] | the new keys of a tree, as either KEK management sends them |
//! | [`names`] | nodes and keys of the tree as GDOI names them |

pub(crate) mod names;
pub(crate) mod offer;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod update;

use std::net::IpAddr;

use claviger_crypto::Random;
use claviger_gdoi::Server;
use claviger_sansio::Time;

use crate::{config::GcksConfig, group::Group};
use pull::Pulls;

/// The key server's GDOI.
pub(crate) struct Gdoi {
    pub(crate) server: Server,
    pub(crate) pulls: Pulls,
    /// The UDP port to which members listen where their group's policy says none.
    pub(crate) port: u16,
    source_v4: Option<IpAddr>,
    source_v6: Option<IpAddr>,
}

/// What a group says in GDOI at an instant.
#[derive(Clone, Copy)]
pub(crate) struct Voice<'a> {
    group: &'a Group,
    now: Time,
    port: u16,
    /// Where rekey messages come from; none if this host chooses.
    source: Option<IpAddr>,
}

impl Gdoi {
    pub(crate) fn new(config: &GcksConfig, random: Box<dyn Random>) -> Self {
        Self {
            server: Server::new(config.provider, random),
            pulls: Pulls::default(),
            port: config.gdoi_port,
            source_v4: config.push_source_v4.map(IpAddr::V4),
            source_v6: config.push_source_v6.map(IpAddr::V6),
        }
    }

    /// Lets a group speak.
    pub(crate) fn voice<'a>(&self, now: Time, group: &'a Group) -> Voice<'a> {
        let source = if group.policy.push_destination().is_ipv4() { self.source_v4 } else { self.source_v6 };
        Voice { group, now, port: group.policy.push_port_at(self.port), source }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use claviger_crypto::{
        SecretBytes, SeededRandom, cipher::CipherAlgorithm, hash::HashAlgorithm, provider,
    };
    use claviger_gdoi::{Member, MemberConfig};
    use claviger_group::{CookiePair, MemberId, RegistrationSa};

    use super::*;
    use crate::distribution::Request;

    /// A key server's GDOI that speaks for groups.
    pub(crate) fn gdoi() -> Gdoi {
        Gdoi {
            server: Server::new(provider(), Box::new(SeededRandom::new(4))),
            pulls: Pulls::default(),
            port: claviger_gdoi::iana::GDOI_PORT,
            source_v4: None,
            source_v6: None,
        }
    }

    /// Makes the name of a PULL.
    pub(crate) fn request() -> Request {
        let mut member = Member::new(MemberConfig::new(provider()), Box::new(SeededRandom::new(3)));
        let secret = || SecretBytes::copy_of(&[7; 32]);
        let registration = RegistrationSa {
            peer: MemberId::key_id(vec![9; 4]).expect("a key id has 1 to 255 octets"),
            cookies: CookiePair([9; 16]),
            skeyid_d: secret(),
            skeyid_a: secret(),
            skeyid_e: secret(),
            phase1_iv: [9; 16],
            hash: HashAlgorithm::Sha256,
            cipher: CipherAlgorithm::Aes128Cbc,
        };
        let (now, server) = (Time::EPOCH, ([192, 0, 2, 1], 848).into());
        member.add_registration(now, registration).expect("the cookies are free");
        let pull = member.pull(now, &CookiePair([9; 16]), server, "small".parse().expect("a name"), None);
        Request::Pull(pull.expect("the registration is known"))
    }
}
