//! Lists, grants, refusals and limits: one look-up for each question.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use claviger_crypto::CryptoProvider;
use claviger_group::{Channel, CookiePair, GroupId, MemberId, Role};
use claviger_identity::Hit;
use claviger_pki::{Certificate, Warrant};
use claviger_sansio::{Time, durable::Change};

use super::{
    admittance::Admittance,
    certified::{Certified, Issuers, KeptChain},
    credentials::{Credentials, Refused},
    entries::name_of,
    grants::{Grant, Grants},
    limiter::JoinLimiter,
    list::List,
    owner::{Admits, Owned, Owner, TrustId, Trusts},
    refusals::Refusals,
    registration::{Registration, Strength},
};
use crate::{
    event::{Refusal, RefusalReason},
    group::Group,
};

/// Who may join, who may not, and who is gone.
#[derive(Default)]
pub(crate) struct Roster {
    lists: BTreeMap<GroupId, List>,
    pub(crate) grants: Grants,
    pub(crate) limiter: JoinLimiter,
    pub(crate) trusts: Trusts,
    pub(crate) issuers: Issuers,
    refused: Refusals,
    registrations: BTreeMap<MemberId, Registration>,
    /// The other registration SAs of hosts whose keys are being renewed.
    pub(crate) renewals: BTreeMap<MemberId, CookiePair>,
}

/// What a host asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) role: Role,
    /// Where it expects the group, if it says so.
    pub(crate) channel: Option<Channel>,
    pub(crate) strength: Strength,
}

/// A host that may register: for how long at most, and what of that a certificate gives.
pub(crate) struct Admitted {
    pub(crate) longest: Duration,
    pub(crate) certified: Option<Certified>,
}

impl Roster {
    pub(crate) fn add_group(&mut self, now: Time, id: GroupId) {
        self.lists.insert(id, List { unreadable_from: now, silent_from: now, ..List::default() });
    }

    pub(crate) fn remove_group(&mut self, id: &GroupId) {
        self.lists.remove(id);
    }

    pub(crate) fn list(&self, id: &GroupId) -> Option<&List> {
        self.lists.get(id)
    }

    pub(crate) fn list_mut(&mut self, id: &GroupId) -> Option<&mut List> {
        self.lists.get_mut(id)
    }

    pub(crate) fn lists_mut(&mut self) -> impl Iterator<Item = (&GroupId, &mut List)> {
        self.lists.iter_mut()
    }

    /// Puts a host on a list, in place of what it was allowed before: it was neither refused nor evicted then.
    pub(crate) fn allow(&mut self, id: &GroupId, host: &MemberId, admittance: Admittance) -> Vec<Change> {
        self.refused.forget(host, id);
        let Some(list) = self.lists.get_mut(id) else { return Vec::new() };
        list.access.insert(host.clone(), admittance);
        let mut changes = vec![list.access_record(id, host)];
        changes.extend(list.forget_eviction(id, host));
        changes.extend(list.deny(id, host, false));
        changes
    }

    /// Has a group let hosts in by certificates of an owner too, or by none.
    pub(crate) fn set_owner(
        &mut self,
        provider: &'static CryptoProvider,
        id: &GroupId,
        owner: Option<Owner>,
    ) -> Option<Change> {
        let used: Vec<TrustId> =
            self.lists.values().filter_map(|list| Some(list.owned.as_ref()?.trust)).collect();
        let owned = owner.map(|owner| {
            let trust = self.trusts.of(provider, &owner, |id| used.contains(&id));
            Owned { owner, trust }
        });
        let list = self.lists.get_mut(id)?;
        list.owned = owned;
        Some(list.owner_record(id))
    }

    /// Says whether a host may register to a group, and for how long.
    pub(crate) fn ask(
        &mut self,
        now: Time,
        group: Option<&Group>,
        host: &MemberId,
        asked: Asked,
        credentials: &mut Credentials,
    ) -> Result<Admitted, Refused> {
        let group = group.ok_or(Refused::unknown(RefusalReason::GroupUnknown))?;
        let certified = self.admit(now, &group.id, host, asked.role, credentials)?;
        self.check_group(now, group, host, asked).map_err(Refused::known)?;
        Ok(Admitted { longest: group.policy.access.registration_lifetime, certified })
    }

    /// Says whether a host is let into a group in a role, and by which certificate, if by one.
    pub(crate) fn admit(
        &mut self,
        now: Time,
        id: &GroupId,
        host: &MemberId,
        role: Role,
        credentials: &mut Credentials,
    ) -> Result<Option<Certified>, Refused> {
        let list = self.lists.get(id).ok_or(Refused::unknown(RefusalReason::GroupUnknown))?;
        let listed = list.allowed(host);
        let by_list = || match listed {
            Some(allowed) if allowed.covers(role) => Ok(None),
            Some(_) => Err(Refused::known(RefusalReason::RoleNotAuthorised)),
            None => Err(Refused::unknown(RefusalReason::NotAuthorised)),
        };
        let Some(owned) = &list.owned else { return by_list() };
        let admits = owned.owner.admits;
        if list.is_denied(host, None) {
            return Err(Refused::known(RefusalReason::Denied));
        }
        if admits == Admits::ListOrCertificate && by_list().is_ok() {
            return Ok(None);
        }
        let verdicts = match credentials.judged(now, owned.trust, &self.trusts) {
            Err(refused)
                if refused.reason == RefusalReason::CertificateMissing
                    && admits == Admits::ListOrCertificate =>
            {
                return by_list();
            }
            verdicts => verdicts
                .map_err(|refused| Refused { is_known: refused.is_known || listed.is_some(), ..refused })?,
        };
        let mut best: Option<&Warrant> = None;
        let mut refusal: Option<Refused> = None;
        for verdict in verdicts {
            let refused = match verdict {
                Ok(warrant) => match check_warrant(list, id, host, role, admits, warrant) {
                    Ok(()) => {
                        best = best.into_iter().chain([warrant]).max_by_key(|warrant| warrant.not_after());
                        continue;
                    }
                    Err(reason) => Refused::known(reason),
                },
                Err(refused) => Refused { is_known: refused.is_known || listed.is_some(), ..*refused },
            };
            // What is said of a certificate of the owner tells more than what is said of others.
            refusal = refusal.filter(|earlier| earlier.is_known >= refused.is_known).or(Some(refused));
        }
        match best {
            Some(warrant) => Ok(Some(certify(id, warrant, &mut self.issuers))),
            None => Err(refusal.unwrap_or(Refused::unknown(RefusalReason::CertificateUnknownCa))),
        }
    }

    fn check_group(
        &mut self,
        now: Time,
        group: &Group,
        host: &MemberId,
        asked: Asked,
    ) -> Result<(), RefusalReason> {
        if asked.channel.is_some_and(|channel| channel != group.policy.data.channel) {
            return Err(RefusalReason::ChannelUnknown);
        }
        if group.policy.data.transform.key_bits() > 128 && asked.strength < Strength::Bits256 {
            return Err(RefusalReason::WeakAssociation);
        }
        if !group.members.contains_key(host) {
            if group.is_full() {
                return Err(RefusalReason::GroupFull);
            }
            if !self.limiter.admit(now, host, &group.id) {
                return Err(RefusalReason::TooOften);
            }
        }
        Ok(())
    }

    /// Says in which role a host may have a group's keys at this moment.
    pub(crate) fn authorised(&self, now: Time, host: &MemberId, group: &GroupId) -> Option<Role> {
        let list = self.lists.get(group)?;
        match self.registrations.get(host) {
            Some(Registration::Phase1 { .. }) => list.authorised(host, None),
            Some(Registration::Hip(_)) | None => {
                let grant = self.grants.find(host, group).filter(|grant| grant.expires > now)?;
                let allowed = list.authorised(host, grant.certified.as_ref())?;
                allowed.covers(grant.role).then_some(grant.role)
            }
        }
    }

    /// Says as what a host may be in a group, by the list and by what a certificate has given it.
    pub(crate) fn allowed(&self, host: &MemberId, group: &GroupId) -> Option<Role> {
        self.lists.get(group)?.authorised(host, self.certified(host, group))
    }

    fn certified(&self, host: &MemberId, group: &GroupId) -> Option<&Certified> {
        self.grants.find(host, group)?.certified.as_ref()
    }

    /// Lists the hosts about whom an entry of a group's list is: that host, or those whose certificates are about the
    /// subject.
    pub(crate) fn meant_by(&self, entry: &MemberId, group: &GroupId) -> Vec<MemberId> {
        let mut meant = vec![entry.clone()];
        if let Some(name) = name_of(entry) {
            let is_about = |grant: &Grant| {
                grant.certified.as_ref().is_some_and(|certified| *certified.chain.subject() == name)
            };
            let granted = self.grants.iter().filter(|(_, id, grant)| *id == group && is_about(grant));
            meant.extend(granted.map(|(host, ..)| host.clone()));
        }
        meant
    }

    /// Lists the chains on which the grants of a host rest, each once.
    pub(crate) fn kept_chains(&self, host: &MemberId) -> Vec<Arc<KeptChain>> {
        let mut chains: Vec<Arc<KeptChain>> = Vec::new();
        for (_, grant) in self.grants.of(host) {
            if let Some(certified) = &grant.certified
                && !chains.contains(&certified.chain)
            {
                chains.push(Arc::clone(&certified.chain));
            }
        }
        chains
    }

    /// Judges anew on what a grant rests, by the owner that the group has now.
    pub(crate) fn judge_kept(
        &mut self,
        now: Time,
        hit: Hit,
        id: &GroupId,
        certified: &Certified,
    ) -> Option<Certified> {
        let trust = self.lists.get(id)?.owned.as_ref()?.trust;
        let mut credentials = Credentials::kept(hit, std::slice::from_ref(&certified.chain));
        let verdicts = credentials.judged(now, trust, &self.trusts).ok()?;
        let warrant = verdicts.iter().find_map(|verdict| verdict.as_ref().ok())?;
        Some(certify(id, warrant, &mut self.issuers))
    }

    /// Takes up on what a grant rests that was stored.
    pub(crate) fn restore_certified(
        &mut self,
        host: &MemberId,
        (role, until): (Option<Role>, Time),
        chain: &[Certificate],
    ) -> Certified {
        let chain = KeptChain::new(chain, &mut self.issuers);
        let known = self.kept_chains(host).into_iter().find(|known| **known == chain);
        Certified { role, until, chain: known.unwrap_or_else(|| Arc::new(chain)) }
    }

    /// Says whether a host may send in a group without a lease.
    pub(crate) fn sends_without_lease(&self, id: &GroupId, host: &MemberId) -> bool {
        let Some(list) = self.lists.get(id) else { return false };
        let subject = self.certified(host, id).map(|certified| certified.chain.subject());
        let named = subject.into_iter().flat_map(|subject| list.access.named(subject));
        list.access.get(host).into_iter().chain(named).any(|admittance| admittance.without_lease)
    }

    /// Says whether a member stays one after a restart: where its registration grants, by a grant, and otherwise because
    /// it is on the list.
    pub(crate) fn holds(&self, host: &MemberId, group: &GroupId) -> bool {
        match host {
            MemberId::Hit(_) => self.grants.find(host, group).is_some(),
            MemberId::Address(_)
            | MemberId::DomainName(_)
            | MemberId::KeyId(_)
            | MemberId::Subject(_)
            | MemberId::UserName(_) => {
                self.lists.get(group).is_some_and(|list| list.access.contains_key(host))
            }
        }
    }

    /// Notes how a host has registered. Returns the registration that it had before.
    pub(crate) fn registered(&mut self, host: MemberId, by: Registration) -> Option<Registration> {
        self.registrations.insert(host, by)
    }

    /// Forgets how a host has registered.
    pub(crate) fn unregister(&mut self, host: &MemberId) -> Option<Registration> {
        self.registrations.remove(host)
    }

    pub(crate) fn registration(&self, host: &MemberId) -> Option<Registration> {
        self.registrations.get(host).copied()
    }

    /// Notes that a host was refused, so that an administrator finds the one to allow.
    pub(crate) fn refuse(&mut self, refusal: Refusal) {
        let is_listed = |host: &MemberId| self.lists.values().any(|list| list.access.contains_key(host));
        self.refused.note(refusal, is_listed);
    }

    /// Lists those who were refused, the latest first.
    pub(crate) fn refused(&self) -> impl Iterator<Item = &Refusal> {
        self.refused.iter()
    }
}

/// Says why a chain that holds does not let a host into a group, in a role.
fn check_warrant(
    list: &List,
    id: &GroupId,
    host: &MemberId,
    role: Role,
    admits: Admits,
    warrant: &Warrant,
) -> Result<(), RefusalReason> {
    let (subject, given) = (warrant.subject(), role_given(id, warrant));
    if list.is_denied(host, Some(subject)) {
        return Err(RefusalReason::Denied);
    }
    let allowed = list.role_of(host, Some((subject, given)));
    if allowed.is_some_and(|allowed| allowed.covers(role)) {
        return Ok(());
    }
    let is_named = !warrant.roles_for(id.id_type().0, id.octets()).is_empty();
    Err(match (admits, given) {
        (Admits::ListAndCertificate, _) if !list.names(host, Some(subject)) => RefusalReason::NotAuthorised,
        (Admits::ListOrCertificate, None) if list.names(host, Some(subject)) => {
            RefusalReason::RoleNotAuthorised
        }
        (_, None) if !is_named => RefusalReason::CertificateForOtherGroups,
        (Admits::ListAndCertificate, Some(given)) if given.covers(role) => RefusalReason::RoleNotAuthorised,
        (_, None | Some(_)) => RefusalReason::CertificateForOtherRoles,
    })
}

/// Says what a chain that holds gives in a group.
fn role_given(id: &GroupId, warrant: &Warrant) -> Option<Role> {
    Role::of_rights(warrant.roles_for(id.id_type().0, id.octets()))
}

/// Says what a chain that holds gives in a group, and keeps it.
fn certify(id: &GroupId, warrant: &Warrant, issuers: &mut Issuers) -> Certified {
    // The root stays with the owner.
    let (_, shown) = warrant.chain().split_last().expect("a chain ends with a root");
    let chain = Arc::new(KeptChain::new(shown, issuers));
    // The last second still belongs to it.
    let until = Time::from_secs(warrant.not_after().saturating_add(1));
    Certified { role: role_given(id, warrant), until, chain }
}
