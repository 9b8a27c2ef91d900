//! What the machine shows of itself: no secret among it.

use std::{net::SocketAddr, time::Duration};

use claviger_group::{CookiePair, GroupId, GroupPolicy, MemberId, Prefix, Role, Spi};
use claviger_pki::Name;
use claviger_sansio::{NotSent, Time};

use crate::{
    Counters, Gcks, Owner, admission::hip::association, distribution::push_queue::Unsent, event::Refusal,
};

/// One group.
#[derive(Debug, Clone)]
pub struct GroupView {
    /// Its identifier.
    pub id: GroupId,
    /// Its policy.
    pub policy: GroupPolicy,
    /// Where its GROUPKEY-PUSHes go.
    pub push_destination: SocketAddr,
    /// How many hosts completed a PULL.
    pub members: usize,
    /// How many of them are members with a role that sends.
    pub senders: usize,
    /// When the next timed rekey is due, in a group that has members.
    pub next_rekey: Option<Time>,
    /// How many hosts are on the list.
    pub allowed: usize,
    /// Whose certificates let hosts in too.
    pub owner: Option<Owner>,
    /// The rekey SA, in a group that has one.
    pub kek: Option<KekView>,
    /// How many levels the key tree has above its leaves.
    pub tree_depth: u8,
    /// The TEKs in force, oldest first.
    pub teks: Vec<TekView>,
    /// The rekey messages that do not leave, if there are any.
    pub unsent: Option<UnsentView>,
}

/// Rekey messages that the system does not send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnsentView {
    /// How many messages have copies that wait.
    pub messages: usize,
    /// Since when none leaves.
    pub since: Time,
    /// Why, the last time that it was tried.
    pub reason: NotSent,
}

/// The rekey SA.
#[derive(Debug, Clone, Copy)]
pub struct KekView {
    /// Its SPI.
    pub spi: CookiePair,
    /// The last sequence number under it.
    pub sequence: u32,
    /// How old its key is.
    pub age: Duration,
}

/// One data SA.
#[derive(Debug, Clone, Copy)]
pub struct TekView {
    /// Its SPI.
    pub spi: Spi,
    /// How old it is.
    pub age: Duration,
    /// Whether its successor was issued.
    pub superseded: bool,
    /// Whether senders have changed over to it.
    pub active: bool,
}

/// One host of a group.
#[derive(Debug, Clone)]
pub struct HostView {
    /// Who.
    pub host: MemberId,
    /// What the list allows it; `None` if it is on no list any more.
    pub allowed: Option<Role>,
    /// Whether the list lets it send without a lease.
    pub without_lease: bool,
    /// Whether it was put out of a group with an owner, and not allowed again since.
    pub denied: bool,
    /// Its role in the grant it holds, and how long that lasts.
    pub granted: Option<(Role, Duration)>,
    /// The certificate on which the grant rests, if not on the list alone.
    pub certificate: Option<CertificateView>,
    /// As what it is a member: a grant may give it more, which it has not fetched yet.
    pub role: Option<Role>,
    /// Since when it is a member, or has come back as one that registered anew.
    pub member_since: Option<Time>,
    /// When it last pulled.
    pub last_pull: Option<Time>,
    /// Where its association is, if it has one.
    pub address: Option<SocketAddr>,
    /// The place that it is served at; none in a group without places, and for one elsewhere.
    pub place: Option<Prefix>,
    /// The sender ids of its last PULL.
    pub sender_ids: Vec<u32>,
}

/// A certificate on which a grant rests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateView {
    /// Whom it is about.
    pub subject: Name,
    /// What it gives in the group; none where only the list says what this subject may do.
    pub role: Option<Role>,
    /// From this instant on it, or one of the CAs', is over; no grant lasts longer.
    pub until: Time,
    /// Whether the grant rests on the list as well.
    pub with_list: bool,
}

impl Gcks {
    /// Shows all groups.
    pub fn groups(&self, now: Time) -> Vec<GroupView> {
        self.groups.iter().filter_map(|(id, _)| self.group(now, id)).collect()
    }

    /// Shows one group.
    pub fn group(&self, now: Time, id: &GroupId) -> Option<GroupView> {
        let group = self.groups.get(id)?;
        let teks = group.teks.iter().filter(|issued| {
            issued.superseded.is_none_or(|at| at + group.policy.times.deactivation_delay > now)
        });
        Some(GroupView {
            id: id.clone(),
            policy: group.policy.clone(),
            push_destination: (group.policy.push_destination(), group.policy.push_port_at(self.gdoi.port))
                .into(),
            members: group.members.len(),
            senders: group.members.values().filter(|member| member.role.sends()).count(),
            next_rekey: group.poll_timeout(),
            allowed: self.roster.list(id).map_or(0, |list| list.access.len()),
            owner: self.roster.list(id).and_then(|list| Some(list.owned.as_ref()?.owner.clone())),
            kek: group.kek.map(|kek| KekView {
                spi: kek.spi,
                sequence: kek.sequence,
                age: now.since(kek.issued),
            }),
            tree_depth: group.tree.depth(),
            teks: teks
                .map(|issued| TekView {
                    spi: issued.tek.spi,
                    age: now.since(issued.issued),
                    superseded: issued.superseded.is_some(),
                    active: issued.issued + group.policy.times.activation_delay <= now,
                })
                .collect(),
            unsent: self.unsent(id),
        })
    }

    /// Says which keys of a group are the newest: the SPIs of its KEK, if it has one, and of its TEK.
    pub fn newest_keys(&self, id: &GroupId) -> Option<(Option<CookiePair>, Spi)> {
        let group = self.groups.get(id)?;
        Some((group.kek.map(|kek| kek.spi), group.current_tek().tek.spi))
    }

    /// Shows whether rekey messages of a group do not leave.
    pub fn unsent(&self, id: &GroupId) -> Option<UnsentView> {
        let Unsent { messages, since, reason } = self.push_queue.unsent(id)?;
        Some(UnsentView { messages, since, reason })
    }

    /// Shows the hosts of a group: on the list, granted, members.
    pub fn hosts(&self, now: Time, id: &GroupId) -> Option<Vec<HostView>> {
        let group = self.groups.get(id)?;
        let list = self.roster.list(id)?;
        let named = list.access.keys().chain(list.denied.keys()).chain(group.members.keys());
        let mut hosts: Vec<MemberId> = named.cloned().collect();
        hosts.extend(self.roster.grants.hosts_of(id));
        hosts.sort();
        hosts.dedup();
        let view = |host: MemberId| {
            let member = group.members.get(&host);
            let grant = self.roster.grants.find(&host, id);
            HostView {
                allowed: list.allowed(&host),
                without_lease: self.roster.sends_without_lease(id, &host),
                denied: list.is_denied(&host, None),
                certificate: grant.and_then(|grant| grant.certified.as_ref()).map(|certified| {
                    let subject = certified.chain.subject().clone();
                    let with_list = list.names(&host, Some(&subject));
                    CertificateView { subject, role: certified.role, until: certified.until, with_list }
                }),
                granted: grant.map(|grant| (grant.role, grant.expires.since(now))),
                role: member.map(|member| member.role),
                member_since: member.map(|member| member.since),
                last_pull: member.map(|member| member.last_pull),
                address: association(&self.hip, &host).map(|association| association.address),
                place: group.place_of(&host).and_then(|place| group.listed(place)).map(|place| place.prefix),
                sender_ids: member.map(|member| member.sender_ids.latest().to_vec()).unwrap_or_default(),
                host,
            }
        };
        Some(hosts.into_iter().map(view).collect())
    }

    /// Returns the address at which a host has proven to be reached: by its base exchange, or by the verification of
    /// a move since (RFC 8046 section 5.4). `None` without an association, and when the lifetime that the host gave the
    /// address is over. On IP protocol 139 the port is zero.
    pub fn address_of(&self, host: &MemberId) -> Option<SocketAddr> {
        let association = association(&self.hip, host)?;
        let is_verified = association.established_at.is_some() && !association.is_deprecated;
        is_verified.then_some(association.address)
    }

    /// Shows the hosts that were refused, the latest first; at most [`REFUSED_MAX`](crate::event::REFUSED_MAX).
    pub fn refused(&self) -> impl Iterator<Item = &Refusal> {
        self.roster.refused()
    }

    /// Shows what has been done and what was dropped or refused since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Counts the live associations.
    pub fn associations(&self) -> usize {
        self.hip.associations().count()
    }
}
