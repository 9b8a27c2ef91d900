//! Whether the key server is one by the word of the groups' owner.

use claviger_group::GroupId;
use claviger_hip::{CertRefusal, CertificateChain, Certificates};
use claviger_pki::{Certificate, OwnerError, Roles, Rule, Warrant};
use claviger_sansio::Time;
use tracing::debug;

use crate::{
    Member,
    event::{KeyServerFault, Refusal},
};

/// What the key server has shown of that.
pub(super) enum Proof {
    /// Nothing had to be shown: this member asks for no owner's word.
    NotNeeded,
    /// Certificates that hold.
    Warrants(Vec<Warrant>),
    /// Nothing that holds.
    Nothing(KeyServerFault),
}

impl Proof {
    /// Says why the key server may not be one of a group, if it may not.
    pub(super) fn fault(&self, group: &GroupId) -> Option<KeyServerFault> {
        let warrants = match self {
            Self::NotNeeded => return None,
            Self::Nothing(fault) => return Some(*fault),
            Self::Warrants(warrants) => warrants,
        };
        let roles = warrants.iter().map(|warrant| warrant.roles_for(group.id_type().0, group.octets()));
        let roles = roles.fold(Roles::NONE, Roles::union);
        match (roles.key_server, roles.is_empty()) {
            (true, _) => None,
            (false, true) => Some(KeyServerFault::ForOtherGroups),
            (false, false) => Some(KeyServerFault::NotKeyServer),
        }
    }
}

impl Member {
    /// Judges the certificates that came with an answer.
    pub(super) fn judge_key_server(&self, now: Time, shown: &Certificates) -> Proof {
        let Some(owner) = &self.owner else { return Proof::NotNeeded };
        let chains = match shown {
            Certificates::Chains(chains) => chains,
            Certificates::None => return Proof::Nothing(KeyServerFault::Missing),
            Certificates::Refused(CertRefusal::Incomplete) => {
                return Proof::Nothing(KeyServerFault::Incomplete);
            }
            Certificates::Refused(CertRefusal::Unsupported(_)) => {
                return Proof::Nothing(KeyServerFault::Unsupported);
            }
        };
        let Some(Ok(key)) = self.hip.host_id(&self.server).map(|host_id| host_id.public_key()) else {
            return Proof::Nothing(KeyServerFault::OfOtherKey);
        };
        let address = Some(self.server.into());
        let judge = |CertificateChain(chain): &CertificateChain| {
            let chain: Result<Vec<_>, _> = chain.iter().map(|octets| Certificate::from_der(octets)).collect();
            let chain = chain.map_err(|_| (false, KeyServerFault::Malformed))?;
            owner.judge(&chain, &key, address, now.as_secs()).map_err(|error| {
                debug!(peer = %self.server, %error, "a chain of the key server's certificates does not hold");
                (error.leads_to_root(), fault(&error))
            })
        };
        let (held, faults): (Vec<_>, Vec<_>) = chains.iter().map(judge).partition(Result::is_ok);
        if !held.is_empty() {
            return Proof::Warrants(held.into_iter().flatten().collect());
        }
        // What is said of a certificate of the owner tells more than what is said of others.
        let most = faults.into_iter().filter_map(Result::err).max_by_key(|(leads_to_root, _)| *leads_to_root);
        Proof::Nothing(most.map_or(KeyServerFault::Missing, |(_, fault)| fault))
    }

    /// Gives up the groups whose keys the key server may not give out, and tells it so.
    pub(super) fn leave_impostor(&mut self, groups: Vec<(GroupId, KeyServerFault)>) {
        for (group, fault) in groups {
            let Some(subscription) = self.subscriptions.get(&group) else { continue };
            self.leaving.insert(group.clone(), subscription.role);
            self.refused(group, Refusal::KeyServer(fault));
        }
    }
}

fn fault(error: &OwnerError) -> KeyServerFault {
    let rule = match error {
        OwnerError::Certificate(error) => error.rule,
        OwnerError::Hit | OwnerError::KeyMismatch => return KeyServerFault::OfOtherKey,
        OwnerError::NoCertificate => return KeyServerFault::Missing,
    };
    match rule {
        Rule::CertificateAuthority => KeyServerFault::OfNoCa,
        Rule::Issuer => KeyServerFault::UnknownCa,
        Rule::Revoked => KeyServerFault::Revoked,
        Rule::RevocationUnknown => KeyServerFault::RevocationUnknown,
        Rule::Signature => KeyServerFault::Forged,
        Rule::ValidityEnd => KeyServerFault::Expired,
        Rule::ValidityStart => KeyServerFault::NotYetValid,
        Rule::CriticalExtension | Rule::Key | Rule::SignatureAlgorithm => KeyServerFault::Unsupported,
        Rule::ChainLength
        | Rule::ExtendedKeyUsage
        | Rule::KeyUsage
        | Rule::NameConstraints
        | Rule::PathLength
        | Rule::SignatureCount => KeyServerFault::Other,
    }
}
