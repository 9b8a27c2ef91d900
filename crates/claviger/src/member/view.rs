//! What the control interface shows of the member.

use std::net::SocketAddr;

use claviger_api::{
    MemberStatus,
    status::{EpochView, GroupKeys, MembershipState, SaState, SaView},
};
use claviger_dataplane::DataPlane;
use claviger_esp::plane::Stage;
use claviger_identity::Hit;
use claviger_member::{Event, Member, event::Places, subscription::Subscription};
use claviger_sansio::{Counts, Time};

use super::counter::Counter;
use crate::{
    counters::{self, CarrierCounts},
    settings::member::MemberSettings,
};

/// What the daemon has seen happen.
pub(super) struct Observed {
    started: Time,
    state: MembershipState,
    /// Datagrams that the kernel dropped because the receive buffer was full.
    kernel_drops: u64,
}

impl Observed {
    pub(super) fn new(now: Time) -> Self {
        Self { started: now, state: MembershipState::Registering, kernel_drops: 0 }
    }

    pub(super) fn note(&mut self, event: &Event) {
        self.state = match event {
            Event::Evicted { .. } => MembershipState::Evicted,
            Event::Refused { .. } => MembershipState::Refused,
            Event::Registered { .. } => MembershipState::Pulling,
            Event::RegistrationEnded { .. } => MembershipState::Registering,
            Event::Rekeyed { .. } => MembershipState::Keyed,
            Event::Unreachable { .. } => MembershipState::Unreachable,
            Event::Closed
            | Event::LeaseEnded { .. }
            | Event::LeaseResumed { .. }
            | Event::Listen { .. }
            | Event::Moved
            | Event::Narrowed { .. }
            | Event::PullAgain { .. } => self.state,
        };
    }

    /// Notes the kernel's own count, which only grows.
    pub(super) fn kernel_drops(&mut self, dropped: u32) {
        self.kernel_drops = self.kernel_drops.max(dropped.into());
    }

    /// Shows that count.
    pub(super) fn kernel_drop_count(&self) -> u32 {
        self.kernel_drops.try_into().unwrap_or(u32::MAX)
    }

    pub(super) fn status(
        &self,
        (core, plane): (&Member, &DataPlane),
        (hit, settings): (Hit, &MemberSettings),
        places: Option<&Places>,
        outside: (&CarrierCounts, &Counts<Counter>),
        now: Time,
    ) -> MemberStatus {
        let subscription = core.subscription(&settings.group);
        let mut lost = outside.1.clone();
        lost.add(Counter::ReceiveBufferFull, self.kernel_drops);
        let protected = plane.counts(&settings.group).cloned().unwrap_or_default();
        let outside = outside.0.figures().chain(lost.figures());
        let (drops, counters) =
            counters::views(core.counters().figures().chain(protected.figures()).chain(outside));
        let again = subscription.and_then(Subscription::pulls_again_at);
        let leased_until = subscription.and_then(Subscription::leased_until);
        MemberStatus {
            hit,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at_us: self.started,
            server_hit: settings.server.hit,
            server_address: settings.server.address,
            group: settings.group.clone(),
            role: settings.role,
            state: self.state,
            keys: subscription.map(|s| keys(s, plane, now)).unwrap_or_default(),
            tree_keys: subscription.map_or(0, Subscription::tree_keys),
            last_rekey_at_us: subscription.and_then(Subscription::last_rekey),
            leased_until_us: leased_until,
            leased_for_s: leased_until.map(|until| until.since(now).as_secs()),
            reregisters_at_us: again,
            reregisters_in_s: again.map(|at| at.since(now).as_secs()),
            data_address: places.map(|p| SocketAddr::new(p.channel.group(), p.encapsulation_port)),
            tun: settings.tun.as_ref().map(|tun| tun.name.clone().unwrap_or_else(|| "tun".to_owned())),
            drops,
            counters,
        }
    }
}

fn keys(subscription: &Subscription, plane: &DataPlane, now: Time) -> GroupKeys {
    let lifetime = subscription.kek_lifetime(now);
    let epoch = subscription.epoch().zip(lifetime).map(|((spi, sequence), (age, remaining))| EpochView {
        kek_spi: spi.0,
        sequence,
        age_s: age.as_secs(),
        lifetime_s: (age + remaining).as_secs(),
    });
    let sas = plane.status(subscription.group()).into_iter().map(|sa| SaView {
        spi: sa.spi.to_string(),
        transform: sa.transform,
        state: match sa.stage {
            Stage::Leading => SaState::Incoming,
            Stage::Current => SaState::Current,
            Stage::Trailing => SaState::Outgoing,
        },
        age_s: now.since(sa.activate_at).as_secs(),
        lifetime_s: sa.expires.since(sa.activate_at).as_secs(),
        datagrams: Some(sa.opened + u64::from(sa.sent)),
    });
    GroupKeys { epoch, sas: sas.collect() }
}
