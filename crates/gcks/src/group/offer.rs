//! What a PULL announces in message 2 and downloads in message 4.

use std::time::Duration;

use claviger_gdoi::{
    iana::kek::MANAGEMENT_LKH_32,
    lkh,
    wire::{Gap, KeyDownload, Lkh32, LkhDownload, SaKek, SaPayload, SaTek, SenderIds},
};
use claviger_group::{CookiePair, KekManagement, Spi};
use claviger_keytree::{Leaf, place::Place};
use claviger_sansio::Time;

use super::{Context, Group, IssuedTek};

impl Group {
    /// Announces the SAs in force to a host that has been a member since `since`. It is given no SA that was used
    /// before it joined (RFC 6407 section 7.4.2), though senders may still be changing over from one.
    ///
    /// `place` is where it is, in a group that has places.
    pub(crate) fn offer_current(&self, context: &Context<'_>, since: Time, place: Place) -> SaPayload {
        let activation = self.remaining_activation(context.now);
        SaPayload {
            kek: Some(self.placed(self.sa_kek(context, self.kek.spi, self.kek.issued), place)),
            gap: Some(self.gap(activation)),
            teks: self
                .teks_in_use(context.now)
                .filter(|issued| !self.precedes(issued, since))
                .map(|issued| sa_tek(issued, context.now))
                .collect(),
        }
    }

    /// Says what remains of the current TEK's activation delay, as a PULL is to say it in whole seconds.
    ///
    /// Once all copies of the TEK's message have left, everybody has the new TEK, and one who changes over early loses
    /// nothing; one who changed over late would send what the departed still read. Until then others may have to hear it
    /// yet: after a restart of the server, or where the system refuses the copies, they leave later than the TEK was issued.
    fn remaining_activation(&self, now: Time) -> Duration {
        let delay = self.policy.times.activation_delay;
        let remaining = (self.current_tek().issued + delay).since(now);
        let copies_leave_for = self.quiet_at.since(now);
        match self.tek_under_way {
            None => Duration::from_secs(remaining.as_secs()),
            // They should have left by now, and nobody knows when they will.
            Some(_) if copies_leave_for.is_zero() => delay,
            Some(_) => remaining.max(copies_leave_for).min(delay),
        }
    }

    /// Says whether a TEK was issued before a member joined: of those of the very instant of its joining, all but the
    /// last were.
    fn precedes(&self, issued: &IssuedTek, since: Time) -> bool {
        let first = self.teks.iter().rfind(|tek| tek.issued <= since);
        issued.issued < since
            || issued.issued == since && first.is_some_and(|first| first.tek.spi != issued.tek.spi)
    }

    /// Announces to a newcomer SAs that do not exist yet: its message 3 makes them (RFC 6407 section 7.4.2, the
    /// case of stored PUSHes). It is given no SA that was used before it joined. A member that comes from another place
    /// is offered the same: its message 3 changes its path.
    pub(crate) fn offer_join(&self, context: &Context<'_>, place: Place) -> SaPayload {
        let mut tek = self.current_tek().tek.clone();
        tek.spi = self.next.tek;
        tek.lifetime = self.policy.times.tek_lifetime;
        let activation =
            if self.members.is_empty() { Duration::ZERO } else { self.policy.times.activation_delay };
        SaPayload {
            kek: Some(self.placed(self.sa_kek(context, self.next.kek, context.now), place)),
            gap: Some(self.gap(activation)),
            teks: vec![SaTek::from(&tek)],
        }
    }

    /// Downloads a member's keys: its path of the tree, the TEKs, the signing key, and sender ids if it sends.
    pub(crate) fn download(&self, leaf: Leaf, teks: &[Spi], sender_ids: Option<Vec<u32>>) -> KeyDownload {
        let signing_key = Some(self.signing_key.public().clone());
        let (mut lkh, mut lkh_32) = (None, None);
        match self.policy.rekey.management {
            KekManagement::Lkh => {
                let path = self.tree.path(leaf).expect("a member has a leaf");
                let download = Some(lkh::download_array(&self.links(&path)));
                lkh = Some(LkhDownload { spi: self.kek.spi, download, updates: Vec::new(), signing_key });
            }
            KekManagement::Lkh32 => {
                let path = Some(self.path_array(leaf));
                lkh_32 = Some(Lkh32 { spi: self.kek.spi, path, update: None, signing_key });
            }
        }
        let named = self.teks.iter().filter(|issued| teks.contains(&issued.tek.spi));
        KeyDownload {
            teks: named.map(|issued| (issued.tek.spi, issued.tek.keys.clone())).collect(),
            kek: None,
            lkh,
            lkh_32,
            sender_ids: sender_ids.map(|values| SenderIds { bits: self.policy.data.sender_id_bits, values }),
        }
    }

    /// Describes a rekey SA, its lifetime counted from `issued`.
    pub(super) fn sa_kek(&self, context: &Context<'_>, spi: CookiePair, issued: Time) -> SaKek {
        SaKek {
            source: context.push_source,
            destination: (self.policy.push_destination(), self.policy.push_port_at(context.gdoi_port)),
            spi,
            management: (self.policy.rekey.management == KekManagement::Lkh32).then_some(MANAGEMENT_LKH_32),
            cipher: self.policy.rekey.kek_cipher,
            lifetime: Self::remaining(self.policy.times.kek_lifetime, issued, context.now),
            signature: self.policy.rekey.signature,
            form: self.policy.rekey.authentication,
            place: None,
            rekey_first: None,
        }
    }

    /// Adds where messages go that only members at a place need, if the group has places.
    fn placed(&self, sa_kek: SaKek, place: Place) -> SaKek {
        let (_, port) = sa_kek.destination;
        SaKek { place: self.places.as_ref().map(|_| (self.push_destination_of(place), port)), ..sa_kek }
    }

    /// Tells the delays of rollover; parts of a second count as a whole one.
    pub(super) fn gap(&self, activation: Duration) -> Gap {
        let seconds = |d: Duration| d.as_secs() as u16 + u16::from(d.subsec_nanos() > 0);
        Gap {
            activation_delay: Some(seconds(activation)),
            deactivation_delay: Some(seconds(self.policy.times.deactivation_delay)),
            sender_id_request: None,
        }
    }

    /// Goes through the TEKs that senders may be using: the current one, and those whose successor is not active.
    pub(crate) fn teks_in_use(&self, now: Time) -> impl Iterator<Item = &IssuedTek> {
        let delay = self.policy.times.activation_delay;
        self.teks.iter().filter(move |issued| issued.superseded.is_none_or(|at| at + delay > now))
    }
}

/// Describes a data SA with what remains of its lifetime.
pub(super) fn sa_tek(issued: &IssuedTek, now: Time) -> SaTek {
    let mut tek = issued.tek.clone();
    tek.lifetime = Group::remaining(tek.lifetime, issued.issued, now);
    SaTek::from(&tek)
}
