//! What a PULL announces in message 2 and downloads in message 4.

use std::time::Duration;

use claviger_gdoi::{
    iana::kek::MANAGEMENT_LKH_32,
    lkh,
    wire::{Gap, KeyDownload, Lkh32, LkhDownload, SaKek, SaPayload, SaTek, SenderIds},
};
use claviger_group::{CookiePair, KekManagement, MemberId, Spi};
use claviger_keytree::{Leaf, place::Place};
use claviger_sansio::Time;

use super::Voice;
use crate::group::{
    lease::LeaseNeed,
    sa::{IssuedTek, remaining},
};

impl Voice<'_> {
    /// Announces the SAs in force to a host that has been a member since `since`. It is given no SA that was used
    /// before it joined (RFC 6407 section 7.4.2), though senders may still be changing over from one.
    ///
    /// `place` is where it is, in a group that has places.
    pub(crate) fn offer_current(&self, since: Time, place: Place, lease: LeaseNeed) -> SaPayload {
        let activation = self.group.remaining_activation(self.now);
        SaPayload {
            kek: self.group.kek.map(|kek| self.placed(self.sa_kek(kek.spi, kek.issued), place)),
            gap: Some(self.leased(self.gap(activation), lease)),
            teks: self
                .group
                .teks_in_use(self.now)
                .filter(|issued| !self.group.precedes(issued, since))
                .map(|issued| sa_tek(issued, self.now))
                .collect(),
        }
    }

    /// Announces to a newcomer SAs that do not exist yet: its message 3 makes them (RFC 6407 section 7.4.2, the
    /// case of stored PUSHes). It is given no SA that was used before it joined. A member that begins anew, or comes from
    /// another place, is offered the same: its message 3 changes its path.
    pub(crate) fn offer_join(&self, host: &MemberId, place: Place, lease: LeaseNeed) -> SaPayload {
        let mut tek = self.group.current_tek().tek.clone();
        let next = self.group.announcements.open();
        tek.spi = next.tek;
        tek.lifetime = self.group.policy.times.tek_lifetime;
        // Nobody sends under another TEK then. Whoever is told of the rekey after the first one will not be alone.
        let is_alone =
            self.group.members.keys().all(|member| member == host) && !self.group.announcements.is_closed();
        let activation = if is_alone { Duration::ZERO } else { self.group.policy.times.activation_delay };
        SaPayload {
            kek: self.group.kek.map(|_| self.placed(self.sa_kek(next.kek, self.now), place)),
            gap: Some(self.leased(self.gap(activation), lease)),
            teks: vec![SaTek::from(&tek)],
        }
    }

    /// Downloads a member's keys: its path of the tree, the TEKs, the signing key, and sender ids if it sends.
    pub(crate) fn download(&self, leaf: Leaf, teks: &[Spi], sender_ids: Option<Vec<u32>>) -> KeyDownload {
        let signing_key = Some(self.group.signing_key.public().clone());
        let (mut lkh, mut lkh_32) = (None, None);
        match (self.group.kek, self.group.policy.rekey.management) {
            (None, KekManagement::Lkh | KekManagement::Lkh32) => {}
            (Some(kek), KekManagement::Lkh) => {
                let path = self.group.tree.path(leaf).expect("a member has a leaf");
                let download = Some(lkh::download_array(&self.links(&path)));
                lkh = Some(LkhDownload { spi: kek.spi, download, updates: Vec::new(), signing_key });
            }
            (Some(kek), KekManagement::Lkh32) => {
                let path = Some(self.path_array(leaf));
                lkh_32 = Some(Lkh32 { spi: kek.spi, path, update: None, signing_key });
            }
        }
        let named = self.group.teks.iter().filter(|issued| teks.contains(&issued.tek.spi));
        KeyDownload {
            teks: named.map(|issued| (issued.tek.spi, issued.tek.keys.clone())).collect(),
            kek: None,
            lkh,
            lkh_32,
            sender_ids: sender_ids
                .map(|values| SenderIds { bits: self.group.policy.data.sender_id_bits, values }),
        }
    }

    /// Describes a rekey SA, its lifetime counted from `issued`.
    pub(super) fn sa_kek(&self, spi: CookiePair, issued: Time) -> SaKek {
        SaKek {
            source: self.source,
            destination: (self.group.policy.push_destination(), self.port),
            spi,
            management: (self.group.policy.rekey.management == KekManagement::Lkh32)
                .then_some(MANAGEMENT_LKH_32),
            cipher: self.group.policy.rekey.kek_cipher,
            lifetime: remaining(self.group.policy.times.kek_lifetime, issued, self.now),
            signature: self.group.policy.rekey.signature,
            form: self.group.policy.rekey.authentication,
            place: None,
            rekey_first: None,
        }
    }

    /// Tells a member how long its leases last, if it needs any.
    fn leased(&self, gap: Gap, need: LeaseNeed) -> Gap {
        match need {
            LeaseNeed::None | LeaseNeed::Exempt => gap,
            LeaseNeed::Leased => {
                let lease = self.group.policy.lease;
                let time = lease.time.map(|time| time.as_secs() as u16);
                Gap { lease_time: time, lease_receiving: lease.receivers.then_some(1), ..gap }
            }
        }
    }

    /// Adds where messages go that only members at a place need, if the group has places.
    fn placed(&self, sa_kek: SaKek, place: Place) -> SaKek {
        let (_, port) = sa_kek.destination;
        SaKek { place: self.group.places.as_ref().map(|_| (self.destination_of(place), port)), ..sa_kek }
    }

    /// Tells the delays of rollover; parts of a second count as a whole one.
    pub(super) fn gap(&self, activation: Duration) -> Gap {
        let seconds = |d: Duration| d.as_secs() as u16 + u16::from(d.subsec_nanos() > 0);
        Gap {
            activation_delay: Some(seconds(activation)),
            deactivation_delay: Some(seconds(self.group.policy.times.deactivation_delay)),
            ..Gap::default()
        }
    }
}

/// Describes a data SA with what remains of its lifetime.
pub(super) fn sa_tek(issued: &IssuedTek, now: Time) -> SaTek {
    let mut tek = issued.tek.clone();
    tek.lifetime = remaining(tek.lifetime, issued.issued, now);
    SaTek::from(&tek)
}
