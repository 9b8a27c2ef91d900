//! What the control interface shows of the key server.

use std::net::SocketAddr;

use claviger_api::{
    CertifiedView, EvictedView, GrantedByView, GroupView, LaggardView, MemberView, OwnerView, PolicyView,
    RefusedView, ServerStatus, command,
    status::{EpochView, GroupKeys, GroupStatus, ListenView, SaState, SaView, UnsentView},
    view::MemberState,
};
use claviger_gcks::{
    Admits, Gcks, LaggardView as CoreLaggard, Owner, RevocationPolicy,
    event::Refusal,
    view::{GroupView as CoreGroup, HostView},
};
use claviger_group::{GroupId, MemberId};
use claviger_hip::CertificateChain;
use claviger_identity::Hit;
use claviger_pki::Certificate;
use claviger_sansio::Time;

use super::lists::Lists;
use crate::{
    counters::{self, CarrierCounts},
    sentences,
};

/// What a server says of itself that its core does not know.
pub(super) struct About {
    pub(super) hit: Hit,
    pub(super) listens: Vec<(&'static str, SocketAddr)>,
    pub(super) hip_port: u16,
    pub(super) gdoi_port: u16,
    /// The certificates that it shows to hosts.
    pub(super) certificates: Vec<CertifiedView>,
}

impl About {
    /// Writes `HIT@ADDRESS[:PORT]` as `join` reads it; without an address of its own, `ADDRESS` is to be filled in.
    pub(super) fn server_argument(&self) -> String {
        let hip = self
            .listens
            .iter()
            .find(|(protocol, address)| *protocol == "hip-udp" && !address.ip().is_unspecified());
        let address = match hip {
            Some((_, SocketAddr::V4(address))) => address.ip().to_string(),
            Some((_, SocketAddr::V6(address))) => format!("[{}]", address.ip()),
            None => "ADDRESS".to_owned(),
        };
        match self.hip_port {
            10500 => format!("{}@{address}", self.hit),
            port => format!("{}@{address}:{port}", self.hit),
        }
    }
}

/// A host that was put out, and what is known of that.
pub(super) struct Evicted {
    pub(super) host: MemberId,
    pub(super) was_member: bool,
    /// From when on nothing is readable to it that those send who heard the rekey.
    pub(super) deaf_at: Time,
    pub(super) epoch: Option<EpochView>,
}

/// Shows a host that was put out, with those who may not have heard of it.
pub(super) fn evicted(core: &Gcks, now: Time, group: &GroupId, evicted: Evicted) -> EvictedView {
    let Evicted { host, was_member, deaf_at, epoch } = evicted;
    EvictedView { was_member, deaf_at_us: Some(deaf_at), epoch, ..evicting(core, now, group, host) }
}

/// Shows a member that was put out and whose rekey is to leave.
pub(super) fn evicting(core: &Gcks, now: Time, group: &GroupId, host: MemberId) -> EvictedView {
    let silence = core.silence(now, group, &host);
    let members = silence.as_ref().and_then(|silence| silence.members);
    let laggard = |laggard: &CoreLaggard| LaggardView {
        host: laggard.host.clone(),
        until_us: laggard.until,
        without_lease: laggard.without_lease,
    };
    EvictedView {
        host,
        was_member: true,
        deaf_at_us: None,
        epoch: None,
        silent_from_us: silence.as_ref().and_then(|silence| silence.from),
        unheard_from_us: silence.as_ref().and_then(|silence| silence.unheard_from),
        counted: members.map(|(_, counted)| counted as u32),
        stated: members.map(|(stated, _)| stated as u32),
        laggards: silence.iter().flat_map(|silence| &silence.laggards).map(laggard).collect(),
        stated_at_us: silence.as_ref().and_then(|silence| silence.stated_at),
        now_us: now,
        hosts: Vec::new(),
    }
}

/// Shows the certificates of chains that are about this host.
pub(super) fn certified(chains: &[CertificateChain]) -> Vec<CertifiedView> {
    let own = chains.iter().filter_map(|chain| Certificate::from_der(chain.0.first()?).ok());
    own.map(|own| certified_by(&own)).collect()
}

fn certified_by(certificate: &Certificate) -> CertifiedView {
    let subject = certificate.subject().to_string();
    CertifiedView { subject, until_us: Time::from_secs(certificate.not_after()) }
}

pub(super) fn status(
    core: &Gcks,
    about: &About,
    lists: &Lists,
    outside: &CarrierCounts,
    started: Time,
    now: Time,
    last_rekey: impl Fn(&claviger_group::GroupId) -> Option<Time>,
) -> ServerStatus {
    let groups = core.groups(now);
    let (drops, counters) = counters::views(core.counters().figures().chain(outside.figures()));
    ServerStatus {
        hit: about.hit,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at_us: started,
        listens: about
            .listens
            .iter()
            .map(|(protocol, address)| ListenView { protocol: (*protocol).to_owned(), address: *address })
            .collect(),
        associations: core.associations() as u32,
        certificates: about.certificates.clone(),
        revocation_lists: lists.view(),
        groups: groups
            .iter()
            .map(|group| GroupStatus {
                name: group.id.clone(),
                members: group.members as u32,
                replayable: group.policy.data.replayable,
                keys: keys(group),
                last_rekey_at_us: last_rekey(&group.id),
                next_rekey_at_us: group.next_rekey,
                unsent: group.unsent.map(|unsent| UnsentView {
                    messages: unsent.messages as u32,
                    since_us: unsent.since,
                    error: unsent.reason.to_string(),
                }),
            })
            .collect(),
        drops,
        counters,
    }
}

pub(super) fn group(group: &CoreGroup) -> GroupView {
    let push_port = Some(group.push_destination.port());
    GroupView {
        name: group.id.clone(),
        policy: PolicyView { push_port, ..PolicyView::from(&group.policy) },
        allowed: group.allowed as u32,
        members: group.members as u32,
        senders: group.senders as u32,
        owner: group.owner.as_ref().map(owner),
        keys: keys(group),
    }
}

fn owner(owner: &Owner) -> OwnerView {
    OwnerView {
        roots: owner.roots.iter().map(certified_by).collect(),
        require_list: owner.admits == Admits::ListAndCertificate,
        without_revocation: owner.revocation == RevocationPolicy::NotChecked,
    }
}

pub(super) fn keys(group: &CoreGroup) -> GroupKeys {
    let epoch = group.kek.map(|kek| EpochView {
        kek_spi: kek.spi.0,
        sequence: kek.sequence,
        age_s: kek.age.as_secs(),
        lifetime_s: group.policy.times.kek_lifetime.as_secs(),
    });
    let sas = group.teks.iter().map(|tek| SaView {
        spi: tek.spi.to_string(),
        transform: group.policy.data.transform,
        state: match (tek.superseded, tek.active) {
            (true, _) => SaState::Outgoing,
            (false, true) => SaState::Current,
            (false, false) => SaState::Incoming,
        },
        age_s: tek.age.as_secs(),
        lifetime_s: group.policy.times.tek_lifetime.as_secs(),
        datagrams: None,
    });
    GroupKeys { epoch, sas: sas.collect() }
}

pub(super) fn member(host: &HostView, now: Time) -> MemberView {
    let state = match (host.member_since, host.granted) {
        (Some(_), _) => MemberState::Member,
        (None, Some(_)) => MemberState::Registered,
        (None, None) if host.denied && host.allowed.is_none() => MemberState::Denied,
        (None, None) => MemberState::Allowed,
    };
    MemberView {
        host: host.host.clone(),
        allowed: host.allowed,
        without_lease: host.without_lease,
        denied: host.denied,
        certificate: host.certificate.as_ref().map(|certificate| GrantedByView {
            subject: certificate.subject.to_string(),
            role: certificate.role,
            until_us: certificate.until,
            with_list: certificate.with_list,
        }),
        granted: host.granted.map(|(role, _)| role),
        role: host.role,
        state,
        address: host.address,
        place: host.place,
        joined_at_us: host.member_since,
        pulled_at_us: host.last_pull,
        registered_until_us: host.granted.map(|(_, remaining)| now + remaining),
    }
}

pub(super) fn refused(refusal: &Refusal) -> RefusedView {
    RefusedView {
        host: refusal.host.clone(),
        group: refusal.group.to_string(),
        role: Some(refusal.role),
        address: refusal.address,
        at_us: refusal.at,
        reason: refusal.reason.as_str().to_owned(),
        allow_command: refusal
            .reason
            .is_curable()
            .then(|| command::allow(&refusal.group, &refusal.host, refusal.role)),
        hint: sentences::cure(refusal.reason).map(str::to_owned),
    }
}
