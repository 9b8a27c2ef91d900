//! Registrations by HIP (RFC 8003; binding section 2): each group is asked for by name, granted for a time, renewed and given up.

use std::time::Duration;

use claviger_group::{GroupId, MemberId, Role};
use claviger_hip::{
    AssociationInfo, CertRefusal, CertificateChain, Certificates, HostConfig, Security, Ticket,
    iana::{RegFailure, RegType},
    wire::Lifetime,
};
use claviger_hip_groups::{
    Event as HipEvent, GroupHost, McastChannel, RegistrationAnswer, RegistrationRequest, Withdrawal,
    iana::{ChannelStatus, GCKS_GDOI},
    keys::carries_256_bit_keys,
};
use claviger_identity::{Hit, HostId};
use claviger_sansio::Time;
use tracing::{debug, debug_span};

use super::{
    Admission,
    certified::Certified,
    credentials::{Credentials, Refused, Shown},
    grants::Grant,
    registration::{Registration, Strength},
    roster::{Admitted, Asked},
};
use crate::{
    Counter,
    event::{Departure, Event, Refusal, RefusalReason},
};

/// The services of this key server (binding section 2).
pub(crate) fn services() -> Vec<RegType> {
    vec![GCKS_GDOI]
}

/// Says whether hosts can associate strongly enough for 256-bit groups (binding section 4).
pub(crate) fn offers_256_bits(hip: &HostConfig) -> bool {
    hip.ciphers.iter().any(|cipher| hip.dh_groups.iter().any(|group| carries_256_bit_keys(*cipher, *group)))
}

impl Admission<'_> {
    pub(crate) fn handle_hip_event(&mut self, now: Time, event: HipEvent) {
        match event {
            HipEvent::RegistrationRequested {
                ticket,
                peer,
                host_id,
                request,
                certificates,
                anonymous,
                security,
                fresh,
            } => {
                if anonymous {
                    debug!(%peer, "the host's identity is anonymous");
                }
                let credentials = self.credentials(peer, &host_id, &certificates, fresh);
                self.register(now, ticket, peer, &request, credentials, (&security, fresh));
            }
            HipEvent::Closed { peer, .. } => self.forget_association(now, peer),
            HipEvent::Moved { peer, from, to } => {
                self.counters.count(Counter::Moves);
                // It is newer than what the last PULL has shown.
                self.keyed.forget_address(&MemberId::Hit(peer));
                self.events.push_back(Event::Moved { hit: peer, from, to });
            }
            HipEvent::Rekeying { peer } => self.follow_keys(now, peer),
            HipEvent::Rekeyed { peer } => {
                self.counters.count(Counter::AssociationRekeys);
                self.follow_keys(now, peer);
            }
            HipEvent::Changed { peer } => self.touch(peer),
            HipEvent::Lost { peer } => self.lose_association(peer),
            // The key server asks for no registration, begins no exchange and does not move.
            HipEvent::Registered { .. }
            | HipEvent::Revoked { .. }
            | HipEvent::Failed { .. }
            | HipEvent::MoveAcknowledged { .. } => {}
            // An association without a registration gives nothing, a revocation stands whether it is confirmed or not,
            // and a NOTIFY changes nothing.
            HipEvent::Established { .. }
            | HipEvent::RevokeAcknowledged { .. }
            | HipEvent::Notified { .. } => {}
        }
    }

    /// Tells a host what becomes of its grant.
    pub(crate) fn tell_withdrawn(
        &mut self,
        now: Time,
        host: &MemberId,
        group: &GroupId,
        role: Role,
        why: Withdrawal,
    ) {
        let channel = McastChannel {
            reg_type: GCKS_GDOI,
            role,
            group: group.clone(),
            channel: None,
            lifetime: Lifetime::CANCEL,
            status: why.status(),
        };
        let Some(hit) = hit_of(host) else { return };
        // Without an association there is nobody to tell.
        let _ = self.hip.withdraw(now, *hit, GCKS_GDOI, why, vec![channel]);
    }

    /// Takes the certificates of a packet; of one over a live association that has none, those on which the host's grants
    /// rest.
    fn credentials(
        &self,
        hit: Hit,
        host_id: &HostId,
        certificates: &Certificates,
        fresh: bool,
    ) -> Credentials {
        match certificates {
            Certificates::Chains(chains) => {
                let chains: Vec<_> = chains.iter().map(|CertificateChain(chain)| &chain[..]).collect();
                Credentials::new(hit, host_id, &chains)
            }
            Certificates::Refused(CertRefusal::Incomplete) => {
                Credentials::unusable(RefusalReason::CertificateIncomplete)
            }
            Certificates::Refused(CertRefusal::Unsupported(_)) => {
                Credentials::unusable(RefusalReason::CertificateUnsupported)
            }
            Certificates::None if fresh => Credentials::none(),
            Certificates::None => Credentials::kept(hit, &self.roster.kept_chains(&MemberId::Hit(hit))),
        }
    }

    /// Answers a registration, group by group.
    fn register(
        &mut self,
        now: Time,
        ticket: Ticket,
        hit: Hit,
        request: &RegistrationRequest,
        mut credentials: Credentials,
        (security, fresh): (&Security, bool),
    ) {
        let host = MemberId::Hit(hit);
        let mut revoked = Vec::new();
        let answer = if request.reg_type == GCKS_GDOI {
            self.decide(now, &host, request, &mut credentials, (security, fresh), &mut revoked)
        } else {
            let failure = Some(RegFailure::TYPE_UNAVAILABLE);
            RegistrationAnswer { reg_type: request.reg_type, granted: None, failure, items: Vec::new() }
        };
        let granted = answer.granted.is_some();
        debug!(peer = %host, fresh, channels = answer.items.len(), granted, "a registration is decided");
        // The peer may have closed meanwhile; its grants end with the association.
        if self.hip.answer(now, ticket, answer).is_ok() && granted {
            self.take_up_keys(now, hit);
        }
        for group in revoked {
            self.put_out_revoked(now, &host, &group);
        }
    }

    fn decide(
        &mut self,
        now: Time,
        host: &MemberId,
        request: &RegistrationRequest,
        credentials: &mut Credentials,
        (security, fresh): (&Security, bool),
        revoked: &mut Vec<GroupId>,
    ) -> RegistrationAnswer {
        let mut lifetime = request.lifetime;
        let decide = |channel| self.decide_channel(now, host, channel, credentials, security);
        let channels: Vec<McastChannel> = request.items.iter().map(decide).collect();
        if fresh {
            let named = |group: &GroupId| request.items.iter().any(|channel| channel.group == *group);
            for group in self.roster.grants.groups_of(host).into_iter().filter(|group| !named(group)) {
                self.leave(now, host, &group, Departure::NotNamedAgain);
            }
        } else if request.items.is_empty() && request.lifetime.is_zero() {
            for group in self.roster.grants.groups_of(host) {
                self.leave(now, host, &group, Departure::Left);
            }
        } else if request.items.is_empty() {
            lifetime = self.renew_all(now, host, request.lifetime, credentials, revoked);
        }
        let holds_any = self.roster.grants.has_any(host);
        answer(request, lifetime, channels, holds_any)
    }

    /// Decides on one group and repeats its channel with the status.
    fn decide_channel(
        &mut self,
        now: Time,
        host: &MemberId,
        channel: &McastChannel,
        credentials: &mut Credentials,
        security: &Security,
    ) -> McastChannel {
        let _group = debug_span!("group", group = %channel.group).entered();
        if channel.lifetime == Lifetime::CANCEL {
            debug!(peer = %host, "the host leaves");
            self.leave(now, host, &channel.group, Departure::Left);
            return channel.answer(ChannelStatus::GRANTED, channel.role, Lifetime::CANCEL);
        }
        let strength = if carries_256_bit_keys(security.cipher, security.dh_group) {
            Strength::Bits256
        } else {
            Strength::Bits128
        };
        let asked = Asked { role: channel.role, channel: channel.channel, strength };
        match self.roster.ask(now, self.groups.get(&channel.group), host, asked, credentials) {
            Ok(Admitted { longest, certified }) => {
                let longest = within_certificate(now, certified.as_ref(), longest);
                let lifetime = Lifetime::at_most(channel.lifetime.duration().min(longest));
                // The least lifetime that has a code may be longer than what remains.
                let duration = within_certificate(now, certified.as_ref(), lifetime.duration());
                debug!(
                    peer = %host, role = %channel.role, lifetime = ?duration, by_certificate = certified.is_some(),
                    "the host is admitted"
                );
                let group = channel.group.clone();
                if certified.is_some()
                    && let Some(list) = self.roster.list_mut(&group)
                {
                    self.changes.extend(list.forget_eviction(&group, host));
                }
                let (role, expires) = (channel.role, now + duration);
                self.store_grant(host, group.clone(), Grant { role, lifetime: duration, expires, certified });
                self.stay(host, &group);
                // What it does not ask for any more it has given up, and its sender ids with it.
                self.narrow_member(host, &group, channel.role);
                self.events.push_back(Event::Registered { host: host.clone(), group, role: channel.role });
                channel.answer(ChannelStatus::GRANTED, channel.role, lifetime)
            }
            Err(refused) => {
                self.note_refused(now, host, &channel.group, channel.role, refused.reason);
                channel.answer(status(refused, credentials.shown()), channel.role, Lifetime::CANCEL)
            }
        }
    }

    fn note_refused(
        &mut self,
        now: Time,
        host: &MemberId,
        group: &GroupId,
        role: Role,
        reason: RefusalReason,
    ) {
        debug!(peer = %host, %group, %role, reason = reason.as_str(), "the host is refused");
        let address = association(self.hip, host).map(|association| association.address.ip());
        let (host, group) = (host.clone(), group.clone());
        self.refuse(Refusal { host, group, role, address, reason, at: now });
    }

    /// Renews every group that a host may still have. Returns the shortest of their lifetimes, which is what the
    /// answer says: a group's own may be shorter than what was asked for.
    ///
    /// Where its certificate does not hold any more the grant runs to its end, and the host is told then; where it is
    /// revoked the host is put out, behind the answer.
    fn renew_all(
        &mut self,
        now: Time,
        host: &MemberId,
        lifetime: Duration,
        credentials: &mut Credentials,
        revoked: &mut Vec<GroupId>,
    ) -> Duration {
        let mut shortest = lifetime;
        for group in self.roster.grants.groups_of(host) {
            let Some(grant) = self.roster.grants.find(host, &group).cloned() else { continue };
            let Some(longest) = self.groups.get(&group).map(|g| g.policy.access.registration_lifetime) else {
                continue;
            };
            if self.roster.authorised(now, host, &group).is_none() {
                continue;
            }
            match self.roster.admit(now, &group, host, grant.role, credentials) {
                Ok(certified) => {
                    let lifetime = within_certificate(now, certified.as_ref(), lifetime.min(longest));
                    shortest = shortest.min(lifetime);
                    let expires = now + lifetime;
                    self.store_grant(host, group, Grant { lifetime, expires, certified, ..grant });
                }
                Err(Refused { reason: RefusalReason::CertificateRevoked, .. }) => revoked.push(group),
                Err(Refused { reason, .. }) => self.note_refused(now, host, &group, grant.role, reason),
            }
        }
        shortest
    }

    /// Makes the keys of a registration known, in place of the host's earlier ones. Where they are not, because the
    /// cookies are in use, the host makes a new base exchange (binding section 4).
    pub(crate) fn take_up_keys(&mut self, now: Time, hit: Hit) {
        if let Some(sa) = self.hip.registration_sa(&hit, GCKS_GDOI) {
            self.take_up(now, Registration::Hip(sa.cookies), sa);
            self.follow_keys(now, hit);
        }
    }

    /// Makes the keys of a registration known after a restart.
    pub(crate) fn restore_keys(&mut self, now: Time, hit: Hit) {
        if let Some(sa) = self.hip.registration_sa(&hit, GCKS_GDOI) {
            self.restore_registration(now, Registration::Hip(sa.cookies), sa);
            self.follow_keys(now, hit);
        }
    }

    /// Has a host's association stored again at the end of the step.
    pub(crate) fn touch(&mut self, hit: Hit) {
        self.touched.insert(hit);
    }

    /// Notes that a host does not answer. What it was granted it keeps, and the keys to fetch it by.
    fn lose_association(&mut self, hit: Hit) {
        let host = &MemberId::Hit(hit);
        if self.roster.grants.groups_of(host).is_empty()
            && let Some(registration) = self.roster.unregister(host)
        {
            self.keyed.remove_registration(&registration.cookies());
            self.forget_renewal(host);
        }
    }

    fn forget_association(&mut self, now: Time, hit: Hit) {
        let host = &MemberId::Hit(hit);
        debug!(peer = %host, "the association has ended");
        for group in self.roster.grants.groups_of(host) {
            self.leave(now, host, &group, Departure::Left);
        }
        if let Some(registration) = self.roster.unregister(host) {
            self.keyed.remove_registration(&registration.cookies());
        }
        self.forget_renewal(host);
        self.keyed.forget_address(host);
    }
}

/// Shows the HIP association of a host, if it has one.
pub(crate) fn association(hip: &claviger_hip_groups::Host, host: &MemberId) -> Option<AssociationInfo> {
    hip.association(hit_of(host)?)
}

/// Sums up (binding section 2): the service is granted if any group is, and renewed while the host has one. Who leaves
/// its last group, or asks to leave what it never had, leaves the service.
fn answer(
    request: &RegistrationRequest,
    lifetime: Duration,
    channels: Vec<McastChannel>,
    holds_any: bool,
) -> RegistrationAnswer {
    let first_refusal =
        channels.iter().map(|channel| channel.status).find(|status| *status != ChannelStatus::GRANTED);
    let any_granted = channels.iter().any(|channel| channel.status == ChannelStatus::GRANTED);
    let granted = match (holds_any, channels.is_empty()) {
        (true, true) => Some(lifetime),
        (true, false) => any_granted.then_some(lifetime),
        (false, true) => request.lifetime.is_zero().then_some(Duration::ZERO),
        (false, false) => any_granted.then_some(Duration::ZERO),
    };
    let failure = match first_refusal {
        Some(ChannelStatus::GROUP_FULL) => RegFailure::INSUFFICIENT_RESOURCES,
        refusal => refusal.and_then(ChannelStatus::failure).unwrap_or(RegFailure::ADDITIONAL_CREDENTIALS),
    };
    let failure = Some(failure).filter(|_| granted.is_none());
    RegistrationAnswer { reg_type: request.reg_type, granted, failure, items: channels }
}

/// Shortens a lifetime to that of a certificate: no grant outlives one.
fn within_certificate(now: Time, certified: Option<&Certified>, lifetime: Duration) -> Duration {
    certified.map_or(lifetime, |certified| lifetime.min(certified.until.since(now)))
}

/// Tells a refusal so that a host that is not on the list, and has no certificate of the group's owner, learns nothing of
/// the group (binding section 2): what it is told follows from its own packet.
fn status(refused: Refused, shown: &Shown) -> ChannelStatus {
    let Refused { reason, is_known } = refused;
    if !is_known {
        return match shown {
            Shown::Nothing => ChannelStatus::NOT_AUTHORISED,
            Shown::Chains(_) => ChannelStatus::UNKNOWN_CA,
            Shown::Unusable(RefusalReason::CertificateUnsupported) => ChannelStatus::UNSUPPORTED_CERTIFICATE,
            Shown::Unusable(_) => ChannelStatus::BAD_CERTIFICATE,
        };
    }
    match reason {
        RefusalReason::CertificateExpired | RefusalReason::CertificateNotYetValid => {
            ChannelStatus::CERTIFICATE_EXPIRED
        }
        RefusalReason::CertificateForOtherGroups => ChannelStatus::CERTIFICATE_FOR_OTHER_GROUPS,
        RefusalReason::CertificateForOtherRoles => ChannelStatus::CERTIFICATE_FOR_OTHER_ROLES,
        RefusalReason::CertificateForged
        | RefusalReason::CertificateIncomplete
        | RefusalReason::CertificateMalformed
        | RefusalReason::CertificateOfNoCa => ChannelStatus::BAD_CERTIFICATE,
        RefusalReason::CertificateMissing => ChannelStatus::INVALID_CERTIFICATE,
        RefusalReason::CertificateOfOtherKey => ChannelStatus::CERTIFICATE_OF_OTHER_KEY,
        RefusalReason::CertificateOther => ChannelStatus::CERTIFICATE_OTHER,
        RefusalReason::CertificateRevoked => ChannelStatus::CERTIFICATE_REVOKED,
        RefusalReason::CertificateUnknownCa => ChannelStatus::UNKNOWN_CA,
        RefusalReason::CertificateUnsupported => ChannelStatus::UNSUPPORTED_CERTIFICATE,
        RefusalReason::RevocationUnknown => ChannelStatus::REVOCATION_UNKNOWN,
        RefusalReason::Denied => ChannelStatus::NOT_AUTHORISED,
        RefusalReason::TooManyOwners => ChannelStatus::INSUFFICIENT_RESOURCES,
        RefusalReason::GroupUnknown | RefusalReason::NotAuthorised => ChannelStatus::NOT_AUTHORISED,
        RefusalReason::ChannelUnknown => ChannelStatus::GROUP_UNKNOWN,
        RefusalReason::RoleNotAuthorised => ChannelStatus::ROLE_NOT_AUTHORISED,
        RefusalReason::GroupFull => ChannelStatus::GROUP_FULL,
        RefusalReason::TooOften => ChannelStatus::INSUFFICIENT_RESOURCES,
        RefusalReason::WeakAssociation => ChannelStatus::ADDITIONAL_CREDENTIALS,
    }
}

/// Says under which HIT a host has its HIP association, if that is how it registers.
pub(crate) const fn hit_of(host: &MemberId) -> Option<&Hit> {
    match host {
        MemberId::Hit(hit) => Some(hit),
        MemberId::Address(_)
        | MemberId::DomainName(_)
        | MemberId::KeyId(_)
        | MemberId::Subject(_)
        | MemberId::UserName(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host that may know nothing is told what its own packet shows, whatever it is refused for.
    #[test]
    fn what_a_stranger_is_told_follows_from_its_packet_alone() {
        let shown = [
            (Shown::Nothing, ChannelStatus::NOT_AUTHORISED),
            (Shown::Chains(Vec::new()), ChannelStatus::UNKNOWN_CA),
            (Shown::Unusable(RefusalReason::CertificateUnsupported), ChannelStatus::UNSUPPORTED_CERTIFICATE),
            (Shown::Unusable(RefusalReason::CertificateIncomplete), ChannelStatus::BAD_CERTIFICATE),
            (Shown::Unusable(RefusalReason::CertificateMalformed), ChannelStatus::BAD_CERTIFICATE),
        ];
        for (shown, expected) in shown {
            for reason in [
                RefusalReason::GroupUnknown,
                RefusalReason::NotAuthorised,
                RefusalReason::CertificateForged,
                RefusalReason::CertificateIncomplete,
                RefusalReason::CertificateMissing,
                RefusalReason::CertificateUnknownCa,
                RefusalReason::CertificateUnsupported,
                RefusalReason::TooManyOwners,
            ] {
                assert_eq!(status(Refused::unknown(reason), &shown), expected, "{reason:?}");
            }
        }
    }

    #[test]
    fn who_may_know_is_told_of_each_packet_what_is_wrong_with_it() {
        for (reason, expected) in [
            (RefusalReason::CertificateIncomplete, ChannelStatus::BAD_CERTIFICATE),
            (RefusalReason::CertificateUnsupported, ChannelStatus::UNSUPPORTED_CERTIFICATE),
            (RefusalReason::CertificateMissing, ChannelStatus::INVALID_CERTIFICATE),
            (RefusalReason::RevocationUnknown, ChannelStatus::REVOCATION_UNKNOWN),
        ] {
            assert_eq!(status(Refused::known(reason), &Shown::Nothing), expected);
        }
    }
}
