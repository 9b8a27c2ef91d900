//! GDOI: what a group says in it, and what its members ask (RFC 6407).
//!
//! | module | what |
//! |---|---|
//! | [`pull`] | GROUPKEY-PULLs: who is offered what, and who is given it |
//! | [`lease`] | requests for leases: who may go on, and under what |
//! | [`offer`] | what a PULL announces and downloads |
//! | [`push`] | the GROUPKEY-PUSHes that tell a change of keys |
//! | [`update`] | the new keys of a tree, as either KEK management sends them |
//! | [`controls`] | what a delivery says besides the messages |
//! | [`names`] | nodes and keys of the tree as GDOI names them |

pub(crate) mod controls;
pub(crate) mod lease;
pub(crate) mod names;
pub(crate) mod offer;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod update;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use claviger_crypto::{CryptoProvider, Random};
use claviger_gdoi::{MessageIdChange, Server, limits::EXCHANGE_LIFETIME};
use claviger_group::{CookiePair, MemberId, RegistrationSa};
use claviger_sansio::{Time, durable::Change};

use crate::{admission::registration::UnderRegistration, group::Group, record::message_id};
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
    /// Makes a GDOI that listens on `port`. Rekey messages come from the source of their family, if one is named.
    pub(crate) fn new(
        provider: &'static CryptoProvider,
        random: Box<dyn Random>,
        port: u16,
        source_v4: Option<Ipv4Addr>,
        source_v6: Option<Ipv6Addr>,
    ) -> Self {
        Self {
            server: Server::new(provider, random),
            pulls: Pulls::default(),
            port,
            source_v4: source_v4.map(IpAddr::V4),
            source_v6: source_v6.map(IpAddr::V6),
        }
    }

    /// Has it stored which M-IDs were taken.
    pub(crate) fn note_message_ids(&mut self, changes: &mut Vec<Change>) {
        while let Some(change) = self.server.poll_message_id() {
            changes.push(match change {
                MessageIdChange::Taken { cookies, message_id, began } => {
                    message_id::taken(&cookies, message_id, began)
                }
                MessageIdChange::Forgotten { cookies } => message_id::forgotten(&cookies),
            });
        }
    }

    /// Lets a group speak.
    pub(crate) fn voice<'a>(&self, now: Time, group: &'a Group) -> Voice<'a> {
        let source = if group.policy.push_destination().is_ipv4() { self.source_v4 } else { self.source_v6 };
        Voice { group, now, port: group.policy.push_port_at(self.port), source }
    }
}

impl UnderRegistration for Gdoi {
    fn add_registration(&mut self, now: Time, sa: RegistrationSa) -> bool {
        self.server.add_registration(now, sa).is_ok()
    }

    fn remove_registration(&mut self, cookies: &CookiePair) {
        self.server.remove_registration(cookies);
    }

    fn retire_registration(&mut self, now: Time, cookies: &CookiePair) {
        self.server.remove_after(cookies, now + EXCHANGE_LIFETIME);
    }

    fn forget_address(&mut self, host: &MemberId) {
        self.pulls.forget_address(host);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use claviger_crypto::{SeededRandom, provider};

    use super::*;

    /// A key server's GDOI that speaks for groups.
    pub(crate) fn gdoi() -> Gdoi {
        Gdoi::new(provider(), Box::new(SeededRandom::new(4)), claviger_gdoi::iana::GDOI_PORT, None, None)
    }
}
