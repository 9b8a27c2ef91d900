//! Answers the calls of the control interface.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use claviger_api::{
    ApiError, Call, ErrorCode, EvictWait, EvictedView, GroupAdd, GroupAdded, GroupPolicyOptions,
    GroupRemoved, GroupView, MemberAllow, MemberView, OwnerOptions, RekeyOrder, RekeyView, Reply, StatusView,
    command,
    policy::member_needs,
    view::{Answer, RekeyKey},
};
use claviger_gcks::{Admits, Admittance, CommandError, Eviction, Owner, RekeyWhat, RevocationPolicy};
use claviger_group::{GroupId, MemberId};
use claviger_pki::Certificate;
use claviger_sansio::Time;
use claviger_store::Store;

use super::{
    Server, log,
    view::{self, Evicted},
};
use crate::{certificates, sentences};

/// The organisation's own IPv4 addresses, and the bits in which they differ.
const V4_BASE: Ipv4Addr = Ipv4Addr::new(239, 192, 0, 0);
const V4_NUMBERS: u32 = (1 << 18) - 1;

/// What a group gets if all of them are taken: a name for them all.
const V4_LAST_RESORT: IpAddr = IpAddr::V4(Ipv4Addr::new(239, 192, 0, 1));

/// The organisation's own IPv6 addresses, and what marks a group id as chosen by a host.
const V6_BASE: u128 = 0xff18 << 112;
const DYNAMIC_GROUP_ID: u32 = 1 << 31;

impl<S: Store> Server<S> {
    pub(super) fn take_call(&mut self, call: Call) {
        let now = self.clock.now();
        log::command(&call);
        match call {
            Call::GroupAdd(add, reply) => {
                let answer = self.group_add(add);
                self.answer_when_durable(reply, answer);
            }
            Call::GroupList(reply) => {
                let groups = self.core.groups(now).iter().map(view::group).collect();
                self.answer_when_durable(reply, Ok(groups));
            }
            Call::GroupShow(group, reply) => {
                let answer = self.group_show(&group);
                self.answer_when_durable(reply, answer);
            }
            Call::GroupRemove(group, reply) => {
                let answer = self.group_remove(&group);
                self.answer_when_durable(reply, answer);
            }
            Call::MemberList(group, reply) => {
                let answer = self.member_list(&group);
                self.answer_when_durable(reply, answer);
            }
            Call::MemberAllow(group, host, allow, reply) => {
                let answer = self.member_allow(&group, host, allow);
                self.answer_when_durable(reply, answer);
            }
            Call::MemberEvict(group, host, wait, reply) => self.member_evict(&group, host, wait, reply),
            Call::EvictionShow(group, host, reply) => {
                let answer = self.eviction_show(&group, host);
                self.answer_when_durable(reply, answer);
            }
            Call::RefusedList(group, reply) => {
                let wanted = |g: &GroupId| group.as_ref().is_none_or(|group| group == g);
                let refused = self.core.refused().filter(|refusal| wanted(&refusal.group));
                reply.send(Ok(refused.map(view::refused).collect()));
            }
            Call::Rekey(group, order, reply) => self.rekey(&group, order, reply),
            // At once: whoever asks may want to know why nothing else is answered.
            Call::Status(reply) => {
                let last = |group: &GroupId| self.last_rekeys.get(group).map(|rekeyed| rekeyed.at);
                let status =
                    view::status(&self.core, &self.about, &self.lists, &self.counts, self.started, now, last);
                reply.send(Ok(StatusView::Server(status)));
            }
            other @ (Call::Leave(..) | Call::Receive(_) | Call::Send(_)) => other.not_served("key server"),
        }
    }

    /// Answers after the commit that the answer rests on: a kill in between must not take back what was confirmed or
    /// shown.
    fn answer_when_durable<T: Send + 'static>(&mut self, reply: Reply<T>, answer: Answer<T>) {
        self.answers.push(move |_| reply.send(answer));
    }

    fn group_add(&mut self, add: GroupAdd) -> Result<GroupAdded, ApiError> {
        let now = self.clock.now();
        let owner = add.owner.map(|owner| owner_of(&owner, now)).transpose()?;
        let free = || self.free_addresses(&add.name, false).next().unwrap_or(V4_LAST_RESORT);
        let address = add.policy.address.unwrap_or_else(free);
        let mut options = add.policy;
        self.choose_places(&add.name, address, &mut options);
        let wanted = options.resolve(address)?;
        options.kek_management.get_or_insert(claviger_gcks::kek_management_for(&wanted));
        let policy = options.resolve(address)?;
        let needs = member_needs(&policy).iter().map(sentences::need).collect();
        self.core.add_group(now, add.name.clone(), policy).map_err(refused)?;
        if owner.is_some() {
            self.core.set_owner(now, &add.name, owner).map_err(refused)?;
        }
        // The news of an earlier group of this name may have come after its removal.
        self.last_rekeys.remove(&add.name);
        self.core.group(now, &add.name).iter().for_each(|group| self.warn_without_way_out(group));
        let gdoi_port = (self.about.gdoi_port != 848).then_some(self.about.gdoi_port);
        let group = self.group_show(&add.name)?;
        let tun = (!group.policy.encapsulation.is_udp()).then_some(address);
        Ok(GroupAdded {
            group,
            join_command: command::join(&self.about.server_argument(), &add.name, gdoi_port, tun),
            allow_command: command::allow_somebody(&add.name),
            member_needs: needs,
        })
    }

    /// Gives each place without a push address a free one of the family of the group's address.
    fn choose_places(&self, name: &GroupId, address: IpAddr, options: &mut GroupPolicyOptions) {
        let chosen = options.places.iter().filter_map(|place| place.push_address);
        let own: BTreeSet<IpAddr> = chosen.chain(options.push_address).chain([address]).collect();
        let free = self.free_addresses(name, address.is_ipv6()).filter(|address| !own.contains(address));
        let unchosen = options.places.iter_mut().filter(|place| place.push_address.is_none());
        for (place, address) in unchosen.zip(free) {
            place.push_address = Some(address);
        }
    }

    /// Goes through the addresses of the organisation's own, 239.192/14 (RFC 2365 section 6.2) or those of ff18::/16 with
    /// dynamic group ids (RFC 4291 section 2.7, RFC 3307 section 4.3), that no group has: from a place on that the name
    /// decides, so that a group made again has its addresses again.
    fn free_addresses(&self, name: &GroupId, v6: bool) -> impl Iterator<Item = IpAddr> + use<S> {
        let start = name
            .octets()
            .iter()
            .fold(2_166_136_261u32, |hash, octet| (hash ^ u32::from(*octet)).wrapping_mul(16_777_619));
        let mut taken = BTreeSet::new();
        for group in self.core.groups(self.clock.now()) {
            taken.extend([group.policy.data.channel.group(), group.policy.push_destination()]);
            taken.extend(group.policy.tree.places.iter().map(|place| place.push_address));
        }
        let address = move |step: u32| -> IpAddr {
            let number = start.wrapping_add(step);
            if v6 {
                return Ipv6Addr::from(V6_BASE | u128::from(number | DYNAMIC_GROUP_ID)).into();
            }
            Ipv4Addr::from(u32::from(V4_BASE) | (number & V4_NUMBERS)).into()
        };
        // The first and last octet pairs look like network and broadcast addresses to some equipment.
        let inconspicuous =
            |address: &IpAddr| !matches!(address, IpAddr::V4(a) if matches!(a.octets()[3], 0 | 255));
        let free = (0..=V4_NUMBERS).map(address).filter(inconspicuous);
        free.filter(move |address| !taken.contains(address))
    }

    fn group_show(&self, group: &GroupId) -> Result<GroupView, ApiError> {
        let found = self.core.group(self.clock.now(), group);
        found.as_ref().map(view::group).ok_or_else(|| refused(CommandError::GroupUnknown(group.clone())))
    }

    fn group_remove(&mut self, group: &GroupId) -> Result<GroupRemoved, ApiError> {
        let members = self.group_show(group)?.members;
        self.core.remove_group(self.clock.now(), group).map_err(refused)?;
        self.last_rekeys.remove(group);
        let removed = group.clone();
        self.answers.push(move |waiting| waiting.removed(&removed));
        Ok(GroupRemoved { name: group.clone(), members })
    }

    fn member_list(&self, group: &GroupId) -> Result<Vec<MemberView>, ApiError> {
        let now = self.clock.now();
        let hosts = self.core.hosts(now, group);
        let hosts = hosts.ok_or_else(|| refused(CommandError::GroupUnknown(group.clone())))?;
        Ok(hosts.iter().map(|host| view::member(host, now)).collect())
    }

    fn member_allow(
        &mut self,
        group: &GroupId,
        host: MemberId,
        allow: MemberAllow,
    ) -> Result<MemberView, ApiError> {
        let MemberAllow { role, without_lease } = allow;
        let admittance = Admittance { role, without_lease };
        self.core.allow(self.clock.now(), group, &host, admittance).map_err(refused)?;
        let members = self.member_list(group)?;
        members
            .into_iter()
            .find(|member| member.host == host)
            .ok_or_else(|| refused(CommandError::HostUnknown(host)))
    }

    /// Says how far an eviction has come.
    fn eviction_show(&self, group: &GroupId, host: MemberId) -> Result<EvictedView, ApiError> {
        let now = self.clock.now();
        match self.core.eviction(group, &host) {
            Some(Eviction::Leaving) => Ok(view::evicting(&self.core, now, group, host)),
            Some(Eviction::Unreadable { from, was_member }) => {
                let evicted = Evicted { host, was_member, deaf_at: from, epoch: None };
                Ok(view::evicted(&self.core, now, group, evicted))
            }
            None => Err(refused(CommandError::HostUnknown(host))),
        }
    }

    /// Puts a member out; the caller hears of it when that is what it waits for, or that the rekey does not leave.
    fn member_evict(&mut self, group: &GroupId, host: MemberId, wait: EvictWait, reply: Reply<EvictedView>) {
        let now = self.clock.now();
        match (self.core.evict(now, group, &host), wait) {
            (Ok(_), EvictWait::No) => {
                let answer = self.eviction_show(group, host);
                self.answer_when_durable(reply, answer);
            }
            (Ok(Eviction::Leaving), EvictWait::Deaf) => {
                let epoch = self.core.group(now, group).and_then(|group| view::keys(&group).epoch);
                let group = group.clone();
                self.answers.push(move |waiting| waiting.for_eviction(now, group, host, epoch, reply));
            }
            (Ok(Eviction::Unreadable { from, was_member }), EvictWait::Deaf) => {
                let evicted = Evicted { host, was_member, deaf_at: from, epoch: None };
                let group = group.clone();
                self.answers.push(move |waiting| waiting.for_instant(now, group, evicted, reply));
            }
            (Err(error), _) => self.answer_when_durable(reply, Err(refused(error))),
        }
    }

    /// Replaces keys; the caller hears of it when a copy of each message has left, or that none does.
    fn rekey(&mut self, group: &GroupId, order: RekeyOrder, reply: Reply<RekeyView>) {
        let now = self.clock.now();
        let what = match order.key {
            RekeyKey::Kek => RekeyWhat::Kek,
            RekeyKey::Tek => RekeyWhat::Tek,
        };
        let report = match self.core.rekey(now, group, what) {
            Ok(report) => report,
            Err(error) => return self.answer_when_durable(reply, Err(refused(error))),
        };
        let Some(view) = self.core.group(now, group) else { return };
        let activation_delay =
            if report.tek.is_some() { view.policy.times.activation_delay } else { Default::default() };
        let rekeyed = RekeyView {
            group: group.clone(),
            key: order.key,
            messages: report.messages as u32,
            octets: report.octets as u64,
            keys: report.message_keys as u32,
            active_at_us: now + activation_delay,
            now: view::keys(&view),
        };
        match report.rekey {
            Some(rekey) => self.answers.push(move |waiting| {
                waiting.for_rekey(now, rekey, rekeyed, activation_delay, reply);
            }),
            None => self.answer_when_durable(reply, Ok(rekeyed)),
        }
    }
}

/// Reads the owner that is to be a group's.
fn owner_of(options: &OwnerOptions, now: Time) -> Result<Owner, ApiError> {
    let wrong = |message: String| {
        ApiError::new(ErrorCode::PolicyInvalid, format!("the file is not an owner's: {message}"))
            .hint("--owner with the owner.pem that `claviger owner new` made")
    };
    let roots = Certificate::from_pem(options.roots.as_bytes());
    let roots = roots.map_err(|error| wrong(format!("what it holds {error}")))?;
    certificates::check_roots(&roots, now.as_secs()).map_err(wrong)?;
    Ok(Owner {
        roots,
        admits: if options.require_list { Admits::ListAndCertificate } else { Admits::ListOrCertificate },
        revocation: match options.without_revocation {
            true => RevocationPolicy::NotChecked,
            false => RevocationPolicy::Required,
        },
    })
}

fn refused(error: CommandError) -> ApiError {
    tracing::info!(reason = %error, "the command is refused");
    let code = match &error {
        CommandError::CookiesInUse | CommandError::GroupExists(_) => ErrorCode::AlreadyExists,
        CommandError::GroupUnknown(_) => ErrorCode::GroupUnknown,
        CommandError::HostUnknown(_) => ErrorCode::MemberUnknown,
        // It names the option to change.
        CommandError::Policy(error) => return (*error).into(),
        CommandError::GroupWithoutKek(_)
        | CommandError::NoSender
        | CommandError::PolicyBeyondOffer
        | CommandError::Roots => ErrorCode::PolicyInvalid,
        CommandError::Crypto(_) => ErrorCode::Internal,
    };
    let refusal = ApiError::new(code, error.to_string());
    if error == CommandError::NoSender {
        return refusal.hint("add --role sender or --role both, or leave --without-lease out");
    }
    refusal
}
