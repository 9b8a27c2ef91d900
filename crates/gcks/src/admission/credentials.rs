//! What a host shows of certificates with a request, and what that is worth.
//!
//! A chain is judged once for each owner, whatever number of groups the request names, and for a few owners only: so a
//! request costs a bounded number of signatures.

use std::{net::Ipv6Addr, sync::Arc};

use claviger_crypto::sign::PublicKey;
use claviger_identity::{Hit, HostId};
use claviger_pki::{Certificate, OwnerError, Rule, Warrant};
use claviger_sansio::Time;
use tracing::debug;

use super::{
    certified::KeptChain,
    owner::{TrustId, Trusts},
};
use crate::event::RefusalReason;

/// For how many owners the certificates of one request are judged. A packet has four certificates at most, and few CAs are
/// trusted by several owners.
pub(crate) const OWNERS_JUDGED_MAX: usize = 4;

/// Why a host is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) reason: RefusalReason,
    /// Whether the host may know that there is the group: it is on its list, or has a certificate of its owner. Others are
    /// told what their packet shows, whichever group they ask for.
    pub(crate) is_known: bool,
}

impl Refused {
    /// Refuses a host that may know why.
    pub(crate) fn known(reason: RefusalReason) -> Self {
        Self { reason, is_known: true }
    }

    /// Refuses a host that is to learn nothing.
    pub(crate) fn unknown(reason: RefusalReason) -> Self {
        Self { reason, is_known: false }
    }
}

/// What stood in the packet.
pub(crate) enum Shown {
    /// No certificate.
    Nothing,
    /// Chains, each with the host's own certificate first.
    Chains(Vec<Vec<Certificate>>),
    /// Certificates of which none can be used.
    Unusable(RefusalReason),
}

/// What a host shows, and what each owner makes of it.
pub(crate) struct Credentials {
    shown: Shown,
    /// The key that the host has proven, and its HIT.
    holder: Option<(PublicKey, Hit)>,
    verdicts: Vec<(TrustId, Vec<Result<Warrant, Refused>>)>,
}

impl Credentials {
    /// Shows nothing.
    pub(crate) fn none() -> Self {
        Self { shown: Shown::Nothing, holder: None, verdicts: Vec::new() }
    }

    /// Reads the chains that a host shows which has proven its identity.
    pub(crate) fn new(hit: Hit, host_id: &HostId, chains: &[&[Vec<u8>]]) -> Self {
        let read = |chain: &&[Vec<u8>]| {
            chain.iter().map(|octets| Certificate::from_der(octets)).collect::<Result<Vec<_>, _>>().ok()
        };
        let chains: Vec<_> = chains.iter().filter_map(read).filter(|chain| !chain.is_empty()).collect();
        let shown = if chains.is_empty() {
            Shown::Unusable(RefusalReason::CertificateMalformed)
        } else {
            Shown::Chains(chains)
        };
        let holder = host_id.public_key().ok().map(|key| (key, hit));
        Self { shown, holder, verdicts: Vec::new() }
    }

    /// Takes chains that a host has shown before: they are about its key.
    pub(crate) fn kept(hit: Hit, chains: &[Arc<KeptChain>]) -> Self {
        let chains: Vec<_> = chains.iter().filter_map(|chain| chain.certificates().ok()).collect();
        let key = chains.iter().flatten().next().and_then(|own| own.signing_key()).cloned();
        let shown = if chains.is_empty() { Shown::Nothing } else { Shown::Chains(chains) };
        Self { shown, holder: key.map(|key| (key, hit)), verdicts: Vec::new() }
    }

    /// Takes certificates that cannot be used.
    pub(crate) fn unusable(reason: RefusalReason) -> Self {
        Self { shown: Shown::Unusable(reason), ..Self::none() }
    }

    /// Says what stood in the packet.
    pub(crate) fn shown(&self) -> &Shown {
        &self.shown
    }

    /// Says what each chain is worth to an owner.
    pub(crate) fn judged(
        &mut self,
        now: Time,
        id: TrustId,
        trusts: &Trusts,
    ) -> Result<&[Result<Warrant, Refused>], Refused> {
        let chains = match &self.shown {
            Shown::Nothing => return Err(Refused::unknown(RefusalReason::CertificateMissing)),
            Shown::Unusable(reason) => return Err(Refused::unknown(*reason)),
            Shown::Chains(chains) => chains,
        };
        if let Some(index) = self.verdicts.iter().position(|(judged, _)| *judged == id) {
            return Ok(&self.verdicts[index].1);
        }
        let trust = trusts.get(id);
        let unknown_ca = Refused::unknown(RefusalReason::CertificateUnknownCa);
        let Some((key, hit)) = &self.holder else { return Err(unknown_ca) };
        if !chains.iter().any(|chain| trust.is_named_by(chain)) {
            return Err(unknown_ca);
        }
        if self.verdicts.len() == OWNERS_JUDGED_MAX {
            return Err(Refused::unknown(RefusalReason::TooManyOwners));
        }
        let address = Some(Ipv6Addr::from(*hit));
        let judge = |chain: &Vec<Certificate>| {
            trust.judge().judge(chain, key, address, now.as_secs()).map_err(|error| {
                debug!(peer = %hit, %error, "a chain of certificates does not hold");
                Refused::from(error)
            })
        };
        let verdicts = chains.iter().map(judge).collect();
        self.verdicts.push((id, verdicts));
        Ok(&self.verdicts.last().expect("one was added").1)
    }
}

impl From<OwnerError> for Refused {
    fn from(error: OwnerError) -> Self {
        let is_known = error.leads_to_root();
        let reason = match error {
            OwnerError::Certificate(error) => reason(error.rule),
            OwnerError::Hit | OwnerError::KeyMismatch => RefusalReason::CertificateOfOtherKey,
            OwnerError::NoCertificate => RefusalReason::CertificateMissing,
        };
        Self { reason, is_known }
    }
}

fn reason(rule: Rule) -> RefusalReason {
    match rule {
        Rule::CertificateAuthority => RefusalReason::CertificateOfNoCa,
        Rule::Issuer => RefusalReason::CertificateUnknownCa,
        Rule::Revoked => RefusalReason::CertificateRevoked,
        Rule::RevocationUnknown => RefusalReason::RevocationUnknown,
        Rule::Signature => RefusalReason::CertificateForged,
        Rule::ValidityEnd => RefusalReason::CertificateExpired,
        Rule::ValidityStart => RefusalReason::CertificateNotYetValid,
        Rule::CriticalExtension | Rule::Key | Rule::SignatureAlgorithm => {
            RefusalReason::CertificateUnsupported
        }
        Rule::ChainLength
        | Rule::ExtendedKeyUsage
        | Rule::KeyUsage
        | Rule::NameConstraints
        | Rule::PathLength
        | Rule::SignatureCount => RefusalReason::CertificateOther,
    }
}
