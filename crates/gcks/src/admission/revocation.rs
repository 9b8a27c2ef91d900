//! Hosts whose certificates are revoked while they hold a grant.
//!
//! A new list is looked through for every certificate that a grant rests on, by issuer and number: that needs no signature.
//! Only where it names one its own signature is verified, once for each issuer's key. So a list that somebody else made puts
//! nobody out, and costs little, however many it names. That a list is over puts nobody out either: who has a grant is asked
//! for a current one when it renews.

use std::collections::BTreeMap;

use claviger_crypto::CryptoProvider;
use claviger_group::{GroupId, MemberId};
use claviger_hip_groups::{Withdrawal, iana::ChannelStatus};
use claviger_identity::Hit;
use claviger_pki::{Certificate, Crl, Name};
use claviger_sansio::Time;
use tracing::debug;

use super::{
    Admission,
    certified::KeptChain,
    grants::Grant,
    hip::{association, hit_of},
    owner::Trust,
    roster::Roster,
};
use crate::event::{Departure, Refusal, RefusalReason};

impl Admission<'_> {
    /// Takes lists of revoked certificates in place of those so far, and puts out whose certificates they name.
    pub(crate) fn set_revocation_lists(
        &mut self,
        now: Time,
        provider: &'static CryptoProvider,
        lists: Vec<Crl>,
    ) {
        if !self.roster.trusts.set_lists(lists) {
            return;
        }
        let revoked = self.roster.revoked(now, provider);
        debug!(revoked = revoked.len(), "the lists of revoked certificates are others");
        for (host, group) in revoked {
            self.put_out_revoked(now, &host, &group);
        }
        self.roster.issuers.forget_unused();
    }

    /// Judges anew every chain that a grant of a group rests on: its owner is another.
    pub(crate) fn judge_anew(&mut self, now: Time, id: &GroupId) {
        let of_group = |(host, granted, grant): (&MemberId, &GroupId, &Grant)| {
            let is_meant = granted == id && grant.certified.is_some();
            Some((*hit_of(host)?, grant.clone())).filter(|_| is_meant)
        };
        let certified: Vec<(Hit, Grant)> = self.roster.grants.iter().filter_map(of_group).collect();
        for (hit, grant) in certified {
            let kept = grant.certified.as_ref();
            let certified = kept.and_then(|kept| self.roster.judge_kept(now, hit, id, kept));
            let until = certified.as_ref().map_or(grant.expires, |certified| certified.until);
            let expires = grant.expires.min(until);
            self.store_grant(&hit.into(), id.clone(), Grant { expires, certified, ..grant });
        }
    }

    /// Puts a host out whose certificate was revoked, and tells it so. Another certificate may let it in again.
    pub(crate) fn put_out_revoked(&mut self, now: Time, host: &MemberId, group: &GroupId) {
        let Some(grant) = self.drop_grant(host, group) else { return };
        debug!(peer = %host, %group, role = %grant.role, "a host is put out whose certificate was revoked");
        let address = association(self.hip, host).map(|association| association.address.ip());
        let reason = RefusalReason::CertificateRevoked;
        let (refused, asked) = (host.clone(), group.clone());
        self.refuse(Refusal { host: refused, group: asked, role: grant.role, address, reason, at: now });
        let is_member = self.groups.get(group).is_some_and(|group| group.members.contains_key(host));
        if let Some(list) = self.roster.list_mut(group) {
            self.changes.extend(list.note_eviction(now, group, host, is_member));
        }
        self.depart(now, group, host, Departure::Evicted);
        let why = Withdrawal::Refused(ChannelStatus::CERTIFICATE_REVOKED);
        self.tell_withdrawn(now, host, group, grant.role, why);
    }
}

impl Roster {
    /// Lists the grants that rest on certificates which the lists revoke.
    fn revoked(&self, now: Time, provider: &'static CryptoProvider) -> Vec<(MemberId, GroupId)> {
        let mut search = Search::new(now, provider, self.trusts.lists());
        let mut revoked = Vec::new();
        for (host, id, grant) in self.grants.iter() {
            let (Some(certified), Some(list)) = (&grant.certified, self.list(id)) else { continue };
            let Some(owned) = &list.owned else { continue };
            let trust = self.trusts.get(owned.trust);
            if trust.requires_lists()
                && search.names(&certified.chain)
                && search.revokes(&certified.chain, trust)
            {
                revoked.push((host.clone(), id.clone()));
            }
        }
        revoked
    }
}

/// Lists by their issuers, and which of these have signed them, as far as that was asked.
struct Search<'a> {
    now: Time,
    provider: &'static CryptoProvider,
    lists: BTreeMap<&'a Name, Vec<(usize, &'a Crl)>>,
    signed: BTreeMap<(usize, Vec<u8>), bool>,
}

impl<'a> Search<'a> {
    fn new(now: Time, provider: &'static CryptoProvider, all: &'a [Crl]) -> Self {
        let mut lists: BTreeMap<&Name, Vec<(usize, &Crl)>> = BTreeMap::new();
        for (index, list) in all.iter().enumerate() {
            lists.entry(list.issuer()).or_default().push((index, list));
        }
        Self { now, provider, lists, signed: BTreeMap::new() }
    }

    /// Says whether a list names a certificate of the chain, by issuer and number alone.
    fn names(&self, chain: &KeptChain) -> bool {
        chain.numbers().any(|(issuer, number)| {
            let lists = self.lists.get(issuer).map(Vec::as_slice).unwrap_or_default();
            lists.iter().any(|(_, list)| list.has_serial_number(number))
        })
    }

    /// Says whether a current list that the issuer has signed revokes a certificate of the chain.
    fn revokes(&mut self, chain: &KeptChain, trust: &Trust) -> bool {
        let Ok(chain) = chain.certificates() else { return true };
        (0..chain.len()).any(|at| {
            let certificate = &chain[at];
            let lists = self.lists.get(certificate.issuer()).cloned().unwrap_or_default();
            let roots = trust.judge().roots();
            let issuers = chain.get(at + 1..=at + 1).unwrap_or(roots).iter();
            let issuers: Vec<_> = issuers.filter(|issuer| issuer.subject() == certificate.issuer()).collect();
            lists.into_iter().any(|(index, list)| {
                list.revokes(certificate, self.now.as_secs())
                    && issuers.iter().any(|issuer| self.is_signed_by(index, list, issuer))
            })
        })
    }

    fn is_signed_by(&mut self, index: usize, list: &Crl, issuer: &Certificate) -> bool {
        let provider = self.provider;
        let question = (index, issuer.der().to_vec());
        *self.signed.entry(question).or_insert_with(|| list.is_signed_by(provider, issuer))
    }
}
