//! The machine: input, output, commands.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
};

use claviger_crypto::{CryptoProvider, Random, erase_stack, random::fork};
use claviger_gdoi::{PullId, ServerEvent as GdoiEvent};
use claviger_group::{GroupId, GroupPolicy, MemberId, RegistrationSa};
use claviger_hip as hip;
use claviger_identity::Hit;
use claviger_isakmp::{self as isakmp, Unread};
use claviger_pki::Crl;
use claviger_sansio::{Datagram, Socket, Time, durable::Change};
use tracing::{debug, debug_span};

use crate::{
    admission::{
        self, Admission,
        admittance::Admittance,
        departure::{Eviction, SilenceView},
        owner::Owner,
        roster::Roster,
    },
    config::GcksConfig,
    counter::{Counter, Counters},
    distribution::{
        Rekey, Route, SealedRekey,
        delivery::Deliveries,
        gdoi::{
            Gdoi,
            pull::{Answering, PullRefusal},
        },
        push_queue::{Milestone, Outbox, PushQueue, REMOVED_RETRY_MAX, Ready, UnderWay},
    },
    error::{CommandError, Error},
    event::{Departure, Event, RekeyCause, RekeyId, Rekeyed},
    group::{
        self, Group, NewError,
        arrival::Arrival,
        distribution::Distribution,
        epoch::{Epoch, KeyChange},
        lease::LeaseNeed,
    },
    groups::Groups,
    record,
};

/// The key server of any number of groups.
pub struct Gcks {
    pub(crate) provider: &'static CryptoProvider,
    pub(crate) random: Box<dyn Random>,
    pub(crate) hip: claviger_hip_groups::Host,
    pub(crate) gdoi: Gdoi,
    pub(crate) groups: Groups,
    pub(crate) roster: Roster,
    pub(crate) push_queue: PushQueue,
    pub(crate) deliveries: Deliveries,
    /// Why those depart who wait for their rekey.
    pub(crate) departures: BTreeMap<(GroupId, MemberId), Departure>,
    pub(crate) events: VecDeque<Event>,
    pub(crate) changes: Vec<Change>,
    pub(crate) counters: Counters,
    /// Hosts whose association changed since the last step.
    pub(crate) touched: BTreeSet<Hit>,
    /// Datagrams of the next step.
    pub(crate) held: Outbox,
    /// Whether a step was staged and is not released.
    pub(crate) step_is_out: bool,
    /// Whether this server's HIP offers what 256-bit groups need.
    offers_256_bits: bool,
}

/// Which keys a command replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RekeyWhat {
    /// The KEK.
    Kek,
    /// The TEK.
    Tek,
}

impl Gcks {
    /// Makes a key server without groups.
    pub fn new(mut config: GcksConfig, mut random: Box<dyn Random>, now: Time) -> Result<Self, hip::Error> {
        config.hip.services = admission::hip::services();
        config.hip.requires_registration = true;
        let offers_256_bits = admission::hip::offers_256_bits(&config.hip);
        Ok(Self {
            provider: config.provider,
            gdoi: Gdoi::new(
                config.provider,
                fork(&mut random),
                config.gdoi_port,
                config.push_source_v4,
                config.push_source_v6,
            ),
            hip: claviger_hip_groups::Host::new(config.hip, fork(&mut random), now)?,
            random,
            groups: Groups::default(),
            roster: Roster::default(),
            push_queue: PushQueue::default(),
            deliveries: Deliveries::default(),
            departures: BTreeMap::new(),
            events: VecDeque::new(),
            changes: Vec::new(),
            counters: Counters::default(),
            touched: BTreeSet::new(),
            held: Outbox::new(),
            step_is_out: false,
            offers_256_bits,
        })
    }

    /// Adds a group under a policy; it is closed: hosts are allowed one by one.
    pub fn add_group(&mut self, now: Time, id: GroupId, policy: GroupPolicy) -> Result<(), CommandError> {
        if self.groups.contains_key(&id) {
            return Err(CommandError::GroupExists(id));
        }
        group::degree(&policy)?;
        if policy.data.transform.key_bits() > 128 && !self.offers_256_bits {
            return Err(CommandError::PolicyBeyondOffer);
        }
        let group = Group::new(id.clone(), policy, self.provider, &mut self.random, now).map_err(
            |error| match error {
                NewError::Policy(error) => CommandError::Policy(error),
                NewError::Crypto(error) => CommandError::Crypto(error),
            },
        )?;
        self.changes.push(group.record());
        self.changes.extend(group.tree_records());
        self.changes.extend(group.place_records());
        self.roster.add_group(now, group.id.clone());
        self.groups.insert(group);
        Ok(())
    }

    /// Removes a group: its members are told to delete every SA, its hosts lose their grants.
    pub fn remove_group(&mut self, now: Time, id: &GroupId) -> Result<(), CommandError> {
        let mut group = self.groups.remove(id).ok_or_else(|| CommandError::GroupUnknown(id.clone()))?;
        let end = KeyChange::Everything(RekeyCause::ByHand);
        let last_words = group.change(now, &mut *self.random, end).map(|epoch| {
            // Nothing of it is stored: the group is no more.
            tell(&self.gdoi, now, self.provider, &mut group, &epoch, &mut Vec::new()).messages
        });
        self.push_queue.forget(id);
        self.deliveries.forget(id);
        self.departures.retain(|(left, _), _| left != id);
        self.send_last_words(now, &group, last_words.unwrap_or_default());
        self.changes.extend(group.removal());
        for host in self.roster.grants.hosts_of(id) {
            self.admission().withdraw_grant(now, &host, id);
        }
        self.roster.remove_group(id);
        self.settle(now);
        Ok(())
    }

    /// Plans the messages by which the members of a group that is removed delete their keys.
    fn send_last_words(&mut self, now: Time, group: &Group, pushes: Vec<SealedRekey>) {
        if pushes.is_empty() {
            return;
        }
        let rekey = self.push_queue.name_rekey();
        let until = Some(now + REMOVED_RETRY_MAX);
        let what = UnderWay::new(group.id.clone(), pushes.len(), 0);
        self.push_queue.follow(rekey, UnderWay { until, ..what });
        self.push_queue.schedule(now, now, rekey, group.policy.rekey.authentication, pushes, true);
    }

    /// Puts a host on a group's list, in place of what it was allowed before: as what, and whether it may send without a
    /// lease. A role alone lets it send under a lease where the group has them.
    ///
    /// What the host was granted, or is a member as, is narrowed to the role; a host with a grant is told. One that may not
    /// send any more loses its sender ids, and the TEK is replaced. If nothing is left of it, the host is put out.
    pub fn allow(
        &mut self,
        now: Time,
        id: &GroupId,
        host: &MemberId,
        admittance: impl Into<Admittance>,
    ) -> Result<(), CommandError> {
        let admittance = admittance.into();
        if !self.groups.contains_key(id) {
            return Err(CommandError::GroupUnknown(id.clone()));
        }
        if !admittance.is_coherent() {
            return Err(CommandError::NoSender);
        }
        self.changes.extend(self.roster.allow(id, host, admittance));
        self.narrow_all(now, id, self.roster.meant_by(host, id));
        self.settle(now);
        Ok(())
    }

    /// Leaves hosts no more than they are allowed.
    fn narrow_all(&mut self, now: Time, id: &GroupId, hosts: Vec<MemberId>) {
        let mut lost_senders = false;
        for host in hosts {
            let allowed = self.roster.allowed(&host, id);
            lost_senders |= self.admission().narrow(now, &host, id, allowed);
        }
        if lost_senders {
            // The group was found by who calls.
            let _ = self.rekey_because(now, id, RekeyWhat::Tek, RekeyCause::NarrowedRole);
        }
    }

    /// Has a group let hosts in by certificates of an owner, or by its list alone again.
    ///
    /// Who is in by a certificate is judged anew: that takes the verification of some signatures for each. Who is not
    /// allowed any more is put out.
    pub fn set_owner(&mut self, now: Time, id: &GroupId, owner: Option<Owner>) -> Result<(), CommandError> {
        if !self.groups.contains_key(id) {
            return Err(CommandError::GroupUnknown(id.clone()));
        }
        if owner.as_ref().is_some_and(|owner| !record::certificate::fits(owner.roots.len())) {
            return Err(CommandError::Roots);
        }
        self.changes.extend(self.roster.set_owner(self.provider, id, owner));
        self.admission().judge_anew(now, id);
        let members = self.groups[id].members.keys().cloned();
        let hosts: BTreeSet<MemberId> = self.roster.grants.hosts_of(id).into_iter().chain(members).collect();
        self.narrow_all(now, id, hosts.into_iter().collect());
        self.settle(now);
        Ok(())
    }

    /// Shows other certificates to members from now on: that this host may be a key server of their groups.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse`](hip::ApiMisuse) if they are too many or too long; those so far stay.
    pub fn set_certificates(&mut self, chains: Vec<hip::CertificateChain>) -> Result<(), hip::ApiMisuse> {
        self.hip.set_certificates(chains)
    }

    /// Takes lists of revoked certificates in place of those so far: all that the operator has. Hosts whose certificates
    /// they name are put out, where the owner's lists have to be there. They are not stored: a key server that was started
    /// again is given them again.
    pub fn set_revocation_lists(&mut self, now: Time, lists: Vec<Crl>) {
        let provider = self.provider;
        self.admission().set_revocation_lists(now, provider, lists);
        self.settle(now);
    }

    /// Takes a host off a group's list and puts it out of the group. A group with an owner it is denied until it is allowed
    /// again, for its certificate holds on; so is everybody with a certificate about the subject that is taken off.
    ///
    /// A host that was evicted before is answered by what is remembered of that, for an answer may be lost.
    pub fn evict(&mut self, now: Time, id: &GroupId, host: &MemberId) -> Result<Eviction, CommandError> {
        self.admission().evict(now, id, host)?;
        self.settle(now);
        self.eviction(id, host).ok_or(CommandError::HostUnknown(host.clone()))
    }

    /// Says how far the eviction of a host has come; none if it was not evicted, or allowed again since.
    pub fn eviction(&self, id: &GroupId, host: &MemberId) -> Option<Eviction> {
        self.roster.eviction(id, host)
    }

    /// Says who may go on under the keys of a host that was evicted; none if it was not, or was allowed again since.
    pub fn silence(&self, now: Time, id: &GroupId, host: &MemberId) -> Option<SilenceView> {
        self.roster.silence(now, self.groups.get(id)?, host)
    }

    /// Takes a registration SA that Phase 1 has made, in place of the peer's earlier one.
    ///
    /// # Errors
    ///
    /// [`CommandError::CookiesInUse`] if another registration has its cookies.
    pub fn add_phase_1(&mut self, now: Time, sa: RegistrationSa) -> Result<(), CommandError> {
        if self.admission().add_phase_1(now, sa) { Ok(()) } else { Err(CommandError::CookiesInUse) }
    }

    /// Forgets the registration SA of a peer, whose Phase 1 has ended. A member it stays.
    pub fn remove_phase_1(&mut self, peer: &MemberId) {
        self.admission().remove_phase_1(peer);
    }

    /// Replaces keys now.
    pub fn rekey(&mut self, now: Time, id: &GroupId, what: RekeyWhat) -> Result<Rekeyed, CommandError> {
        self.rekey_because(now, id, what, RekeyCause::ByHand)
    }

    /// Replaces keys now, for a reason.
    fn rekey_because(
        &mut self,
        now: Time,
        id: &GroupId,
        what: RekeyWhat,
        cause: RekeyCause,
    ) -> Result<Rekeyed, CommandError> {
        self.renew_if_spent(now, id);
        let change = match what {
            RekeyWhat::Kek => KeyChange::Kek(cause),
            RekeyWhat::Tek => KeyChange::Tek(cause),
        };
        if !self.groups.contains_key(id) {
            return Err(CommandError::GroupUnknown(id.clone()));
        }
        let report =
            self.change_keys(now, id, change).ok_or_else(|| CommandError::GroupWithoutKek(id.clone()))?;
        self.settle(now);
        Ok(report)
    }

    /// Takes in a datagram. An error is for the log and was counted; nothing has changed.
    pub fn handle_datagram(&mut self, now: Time, datagram: Datagram<'_>) -> Result<(), Error> {
        let result = match datagram.socket {
            Socket::Port848 => self.handle_isakmp(now, datagram),
            Socket::HipRaw | Socket::HipUdp => self.hip.handle_datagram(now, datagram).map_err(Error::Hip),
        };
        if let Err(error) = &result {
            self.count_drop(error);
        }
        self.settle(now);
        result
    }

    fn handle_isakmp(&mut self, now: Time, datagram: Datagram<'_>) -> Result<(), Error> {
        match isakmp::route(datagram.payload) {
            isakmp::Route::GroupkeyPull(_)
            | isakmp::Route::Informational(_)
            | isakmp::Route::DeliveryReport(_)
            | isakmp::Route::Lease(_)
            // Nobody should send these to a key server; GDOI says why it does not take them.
            | isakmp::Route::GroupkeyPush(_)
            | isakmp::Route::DeliveryControl(_)
            | isakmp::Route::Unknown => self.gdoi.server.handle_datagram(now, datagram).map_err(Error::Gdoi),
            isakmp::Route::Ikev2 => Err(unread(Unread::Ikev2, &datagram)),
            isakmp::Route::Marked(_) => Err(unread(Unread::Marked, &datagram)),
            isakmp::Route::Phase1(_) => Err(unread(Unread::Phase1, &datagram)),
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Time) {
        self.hip.handle_timeout(now);
        self.gdoi.server.handle_timeout(now);
        self.admission().expire_grants(now);
        self.rekey_timed(now);
        self.settle(now);
    }

    /// Says when [`Gcks::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Time> {
        [
            self.hip.poll_timeout(),
            self.gdoi.server.poll_timeout(),
            self.push_queue.poll_timeout(),
            self.deliveries.poll_timeout(),
            self.roster.grants.next_expiry(),
            self.groups.poll_timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Lets the nested machines' outputs take effect until nothing moves.
    pub(crate) fn settle(&mut self, now: Time) {
        let mut has_moved = false;
        loop {
            let mut moved = false;
            while let Some(event) = self.hip.poll_event() {
                self.admission().handle_hip_event(now, event);
                moved = true;
            }
            while let Some(event) = self.gdoi.server.poll_event() {
                self.handle_gdoi_event(now, event);
                moved = true;
            }
            moved |= self.rekey_due(now);
            has_moved |= moved;
            if !moved {
                break;
            }
        }
        self.gdoi.note_message_ids(&mut self.changes);
        while let Some(transmit) = self.hip.poll_transmit() {
            self.held.push_back(Ready::Plain(transmit));
        }
        while let Some(transmit) = self.gdoi.server.poll_transmit() {
            self.held.push_back(Ready::Plain(transmit));
        }
        let (queue, outbox, changes) = (&mut self.push_queue, &mut self.held, &mut self.changes);
        queue.take_due(now, outbox);
        self.deliveries.take_due(now, &self.groups, queue, outbox, changes, &mut self.counters.delivery);
        queue.take_due(now, outbox);
        // What nobody is proven to have sent took no key, and a flood of it must cost little.
        if has_moved || !self.changes.is_empty() {
            erase_stack();
        }
    }

    /// Takes what a member misses of a rekey. What is refused is counted.
    fn handle_report(&mut self, now: Time, host: &MemberId, route: Route, report: &[u8]) {
        // What it asks for is much more than it says. It goes only where the member has been shown to be; elsewhere it
        // gives up and pulls, which shows it.
        if self.address(host) != Some(route.peer.ip()) {
            self.counters.gcks.count(Counter::ReportElsewhere);
            debug!(peer = %host, source = %route.peer, "a report comes from where the member was not shown to be");
            return;
        }
        if let Err(error) = self.deliveries.handle_report(now, &self.groups, host, route, report) {
            self.counters.delivery.count((&error).into());
            debug!(peer = %host, reason = error.reason(), %error, "a report is refused");
        }
    }

    /// Lets admission work on the state of the key server.
    pub(crate) fn admission(&mut self) -> Admission<'_> {
        Admission {
            hip: &mut self.hip,
            roster: &mut self.roster,
            groups: &mut self.groups,
            departures: &mut self.departures,
            touched: &mut self.touched,
            keyed: &mut self.gdoi,
            changes: &mut self.changes,
            events: &mut self.events,
            counters: &mut self.counters.gcks,
        }
    }

    fn answering(&mut self) -> Answering<'_> {
        Answering {
            gdoi: &mut self.gdoi,
            groups: &mut self.groups,
            changes: &mut self.changes,
            counters: &mut self.counters.gcks,
        }
    }

    fn handle_gdoi_event(&mut self, now: Time, event: GdoiEvent) {
        match event {
            GdoiEvent::PullRequested { pull, peer, group, peer_address, .. } => {
                self.gdoi.pulls.expire(now);
                let address = peer_address.ip();
                if !self.admission().admits_pull(now, &peer, &group, address) {
                    return self.answering().refuse_pull(now, pull, PullRefusal::NotAuthorised);
                }
                let lease = self.lease_need(now, &peer, &group);
                let asked = (peer.clone(), group.clone());
                // Not `answering`: whether the host may come by a rekey of its own is asked while it works.
                let (limiter, counters) = (&mut self.roster.limiter, &mut self.counters.gcks);
                let (gdoi, groups, changes) = (&mut self.gdoi, &mut self.groups, &mut self.changes);
                let may_arrive = || limiter.admit(now, &peer, &group);
                Answering { gdoi, groups, changes, counters }
                    .offer(now, pull, asked, lease, address, may_arrive);
            }
            GdoiEvent::PullConfirmed { pull, peer, sender_ids, proven_address, .. } => {
                let associated = self.associated_address(&peer);
                self.gdoi.pulls.note_address(&peer, proven_address, associated);
                let offered = self.gdoi.pulls.offered(pull).map(|(host, id)| (host.clone(), id.clone()));
                let role = offered.and_then(|(host, id)| {
                    Some((self.roster.authorised(now, &host, &id)?, self.lease_need(now, &host, &id)))
                });
                self.answering().confirm(now, pull, role, sender_ids, proven_address);
            }
            GdoiEvent::PullDeclined { pull, peer, group, notify } => {
                debug!(%peer, %group, notify_type = notify.0, "the host declines the policy");
                // It cannot follow the policy, and says so before message 3: nothing was made for it.
                self.withdraw_offer(now, pull);
                self.counters.gcks.count(Counter::PullsDeclined);
            }
            GdoiEvent::PullDisplaced { pull } => self.withdraw_offer(now, pull),
            GdoiEvent::Reported { peer, report, peer_address, own_address } => {
                let route = Route { peer: peer_address, own: own_address };
                self.handle_report(now, &peer, route, &report);
            }
            GdoiEvent::LeasesRequested { ticket, peer, groups } => {
                let mut answers = Vec::with_capacity(groups.len());
                for (id, question, held) in groups {
                    let need = self.lease_need(now, &peer, &id);
                    let asked = (question, held);
                    let (answer, is_new) = self.answering().confirm_keys(now, (&peer, &id), need, asked);
                    if is_new {
                        self.admission().note_silence(now, &id);
                    }
                    let (verdict, in_force) = answer;
                    answers.push((id, verdict, in_force));
                }
                self.gdoi.answer_leases(ticket, answers);
                self.counters.gcks.count(Counter::LeaseRequests);
            }
        }
    }

    /// Forgets what was announced in a PULL whose message 3 will not come.
    fn withdraw_offer(&mut self, now: Time, pull: PullId) {
        if let Some((host, id)) = self.gdoi.pulls.offered(pull)
            && let Some(mut group) = self.groups.get_mut(id)
        {
            group.answered(now, host);
        }
        self.gdoi.pulls.decline(pull);
    }

    /// Says whether a host needs leases of a group, in the role in which it may have its keys now.
    fn lease_need(&self, now: Time, host: &MemberId, id: &GroupId) -> LeaseNeed {
        match (self.groups.get(id), self.roster.authorised(now, host, id)) {
            (Some(group), Some(role)) => group.lease_need(role, self.roster.sends_without_lease(id, host)),
            (None, _) | (_, None) => LeaseNeed::None,
        }
    }

    /// Has a group start over of whose sender ids too many were given before it was noted to whom.
    pub(crate) fn renew_unaccounted(&mut self, now: Time, id: &GroupId) {
        if self.groups.get(id).is_some_and(|group| group.sender_ids.is_unaccounted()) {
            self.change_keys(now, id, KeyChange::Everything(RekeyCause::SenderIdsSpent));
        }
    }

    /// Returns where a host has been shown to be: only there is it sent what it did not ask for with a round trip.
    fn address(&self, host: &MemberId) -> Option<IpAddr> {
        self.gdoi.pulls.address(host, self.associated_address(host))
    }

    fn associated_address(&self, host: &MemberId) -> Option<IpAddr> {
        self.address_of(host).map(|address| address.ip())
    }

    fn count_drop(&mut self, error: &Error) {
        match error {
            Error::Gdoi(error) => self.counters.gdoi.count(error.into()),
            Error::Hip(error) => self.counters.hip.count(error.into()),
            Error::Unread(unread) => self.counters.isakmp.count((*unread).into()),
        }
    }

    /// Gives a group a new tree if the epochs of its tree are nearly spent.
    fn renew_if_spent(&mut self, now: Time, id: &GroupId) {
        if self.groups.get(id).is_some_and(Group::is_spent) {
            self.change_keys(now, id, KeyChange::Everything(RekeyCause::EpochsSpent));
        }
    }

    /// Carries out the changes of membership whose time has come. Says whether there were any.
    fn rekey_due(&mut self, now: Time) -> bool {
        let mut due = self.groups.due(now);
        due.retain(|id| self.groups[id].waiting.due.is_some_and(|due| due <= now));
        due.retain(|id| !self.puts_off(now, id));
        for id in &due {
            self.renew_if_spent(now, id);
            self.change_keys(now, id, KeyChange::Membership);
            if let Some(mut group) = self.groups.get_mut(id)
                && group.waiting.all_joins().next().is_some()
            {
                group.schedule_rekey(now);
            }
        }
        !due.is_empty()
    }

    /// Puts off a change of membership that is due, if it waits for others, and has copies that it waits for leave sooner.
    /// Says whether it was put off.
    fn puts_off(&mut self, now: Time, id: &GroupId) -> bool {
        let Some(mut group) = self.groups.get_mut(id) else { return false };
        if group.quiet_at > now && !self.deliveries.is_in_first_round(id) {
            group.quiet_at = self.push_queue.hurry(now, id).unwrap_or(group.quiet_at);
        }
        let until = group.waits_until(now, &mut *self.random);
        group.waiting.due = until.or(group.waiting.due);
        until.is_some()
    }

    /// Replaces the KEKs and TEKs whose time has come, in groups that have members.
    fn rekey_timed(&mut self, now: Time) {
        for id in self.groups.due(now) {
            let group = &self.groups[&id];
            if group.members.is_empty() {
                continue;
            }
            let is_due = |due: Time| due <= now;
            let whats = [
                (group.kek_due().is_some_and(is_due), RekeyWhat::Kek),
                (is_due(group.tek_due()), RekeyWhat::Tek),
            ];
            for (_, what) in whats.into_iter().filter(|(due, _)| *due) {
                // The group was found a moment ago.
                let _ = self.rekey_because(now, &id, what, RekeyCause::Timer);
            }
        }
    }

    /// Replaces keys of a group and lets that take effect: told to those who remain, given to those who come, stored,
    /// reported. None if there is no such group, or nothing to replace.
    fn change_keys(&mut self, now: Time, id: &GroupId, what: KeyChange) -> Option<Rekeyed> {
        let _group = debug_span!("group", group = %id).entered();
        let mut group = self.groups.get_mut(id)?;
        let mut epoch = group.change(now, &mut *self.random, what)?;
        let mut changes = std::mem::take(&mut epoch.changes);
        let rekey = tell(&self.gdoi, now, self.provider, &mut group, &epoch, &mut changes);
        // It holds the numbers of the messages.
        changes.push(group.record());
        let (distribution, report) = (group.distribution, report(now, id, &epoch, &rekey));
        if let Some(tree) = epoch.tree.take() {
            group.tree.recycle(tree);
        }
        drop(group);
        self.changes.append(&mut changes);
        Some(self.apply(now, (id, distribution), epoch, rekey, report))
    }

    /// Lets a change of keys take effect beyond the group.
    fn apply(
        &mut self,
        now: Time,
        (id, distribution): (&GroupId, Distribution),
        epoch: Epoch,
        rekey: Rekey,
        mut report: Rekeyed,
    ) -> Rekeyed {
        let departed = self.admission().note_departures(now, id, &epoch.departed);
        report.cause.extend(departed.iter().map(|(_, why, _)| RekeyCause::from(*why)));
        let name = self.push_queue.name_rekey();
        if rekey.messages.is_empty() {
            // Nobody is left who could send.
            let what = UnderWay { departed, ..UnderWay::new(id.clone(), 0, 0) };
            self.rekey_is_through(now, name, what);
        } else {
            report.rekey = Some(name);
            self.plan_messages(now, id, name, departed, rekey, epoch.tek.is_some());
        }
        for join in &epoch.joined {
            // It is a member even if its PULL has ended meanwhile: the next one gives it the keys in force.
            let (host, group) = (join.host.clone(), id.clone());
            self.events.push_back(match join.arrival {
                Arrival::Joins => Event::Joined { host, group },
                Arrival::Moves => Event::Relocated { host, group },
                Arrival::Replenishes | Arrival::Returns => Event::Returned { host, group },
            });
            match distribution {
                Distribution::Gdoi => self.answering().download_to_joiner(now, id, join),
            }
        }
        for join in &epoch.refused {
            match distribution {
                Distribution::Gdoi => self.answering().refuse_joiner(now, join),
            }
        }
        for (counter, count) in [
            (Counter::Rekeys, 1),
            (Counter::Joins, report.joined),
            (Counter::Relocations, report.moved),
            (Counter::Returns, report.returned),
            (Counter::Departures, report.departed),
            (Counter::Pushes, report.messages),
            (Counter::PushOctets, report.octets),
            (Counter::PushKeys, report.message_keys),
        ] {
            self.counters.gcks.add(counter, count as u64);
        }
        self.events.push_back(Event::Rekeyed(report.clone()));
        report
    }

    /// Takes what the queue of rekey messages tells.
    pub(crate) fn take_milestones(&mut self) {
        while let Some(milestone) = self.push_queue.poll_milestone() {
            match milestone {
                Milestone::Stopped { group, destination, reason } => {
                    self.events.push_back(Event::PushesStopped { group, destination, reason });
                }
                Milestone::Resumed { group, since } => {
                    self.events.push_back(Event::PushesResumed { group, since });
                }
                Milestone::Sent { rekey, group, at } => {
                    self.events.push_back(Event::RekeySent { group, rekey, at });
                }
                Milestone::Through { rekey, what, at } => self.rekey_is_through(at, rekey, what),
                Milestone::Dropped { group, messages, again } => {
                    self.counters.gcks.add(Counter::PushesDropped, messages as u64);
                    if !again {
                        self.events.push_back(Event::PushesDropped { group, messages });
                    }
                }
            }
        }
    }

    /// Notes that all copies of a rekey's messages have left, the last at `at`.
    pub(crate) fn rekey_is_through(&mut self, at: Time, rekey: RekeyId, what: UnderWay) {
        let UnderWay { group, departed, needs_pull, .. } = what;
        self.admission().rekey_is_through(at, rekey, &group, departed, needs_pull);
    }

    /// Plans the messages of a rekey, and follows them until they have left.
    fn plan_messages(
        &mut self,
        now: Time,
        id: &GroupId,
        rekey: RekeyId,
        departed: Vec<(MemberId, Departure, Time)>,
        Rekey { messages, batches, .. }: Rekey,
        tells_new_tek: bool,
    ) {
        let Some(mut group) = self.groups.get_mut(id) else { return };
        let start = group.messages_from().max(now);
        let authentication = group.policy.rekey.authentication;
        let begun = self.deliveries.begin((now, start), rekey, &group, messages, &batches);
        let what = UnderWay::new(id.clone(), begun.copied.len(), begun.delivered);
        debug!(
            group = %id,
            copied = begun.copied.len(),
            delivered = begun.delivered,
            departed = departed.len(),
            "the messages of a rekey are planned"
        );
        self.push_queue.follow(rekey, UnderWay { departed, ..what });
        // What is copied behind a delivery stands under the new KEK, and its records stay as long as the delivery's.
        let removes = begun.first_round_ends.is_none();
        let start = begun.first_round_ends.unwrap_or(start);
        group.quiet_at = self.push_queue.schedule(now, start, rekey, authentication, begun.copied, removes);
        if group.announcements.expects_more(now) && removes {
            group.quiet_at = self.push_queue.hurry(now, id).unwrap_or(group.quiet_at);
        }
        if self.push_queue.drop_superseded(now, id, rekey, &mut self.changes) {
            debug!(group = %id, "too many earlier messages could not leave; they are dropped");
            self.deliveries.drop_superseded(id, rekey, &mut self.changes);
            group.tek_under_way = group.tek_under_way.map(|_| rekey);
        }
        if tells_new_tek {
            group.tek_under_way = Some(rekey);
        }
    }
}

/// Has those who remain told of a change of keys, by the group's own protocol.
fn tell(
    gdoi: &Gdoi,
    now: Time,
    provider: &'static CryptoProvider,
    group: &mut Group,
    epoch: &Epoch,
    changes: &mut Vec<Change>,
) -> Rekey {
    match group.distribution {
        Distribution::Gdoi => gdoi.rekey(now, provider, group, epoch, changes),
    }
}

/// Says what a change of keys was, and what it cost.
fn report(now: Time, id: &GroupId, epoch: &Epoch, rekey: &Rekey) -> Rekeyed {
    let moved = epoch.joined.iter().filter(|join| join.arrival == Arrival::Moves).count();
    let returned = epoch.joined.iter().filter(|join| join.arrival.begins_anew()).count();
    Rekeyed {
        group: id.clone(),
        cause: epoch.causes.clone(),
        rekey: None,
        at: now,
        joined: epoch.joined.len() - moved - returned,
        moved,
        returned,
        departed: epoch.departed.len(),
        tree_keys: epoch.tree.as_ref().map_or(0, |tree| tree.wraps.len()),
        message_keys: rekey.keys,
        messages: rekey.messages.len(),
        octets: rekey.messages.iter().map(|message| message.transmit.payload.len()).sum(),
        kek: epoch.kek,
        tek: epoch.tek,
    }
}

/// Says and logs that no machine here reads a datagram.
fn unread(unread: Unread, datagram: &Datagram<'_>) -> Error {
    let error = Error::Unread(unread);
    debug!(source = %datagram.source, length = datagram.payload.len(), reason = error.reason(), %error, "dropped");
    error
}
