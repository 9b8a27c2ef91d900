//! GROUPKEY-PUSH and the signs of missed ones.

use std::net::IpAddr;

use claviger_group::CookiePair;
use claviger_isakmp::{Route, route};
use claviger_sansio::{Datagram, Time};
use tracing::debug;

use super::{
    origin::Origin,
    rekey::{Collected, Standing},
};
use crate::{
    Error, Member,
    doubt::DoubtfulSign,
    event::{Event, Places, Source},
    repull::{REKEY_SPREAD, REKEY_SPREAD_MAX, Sign},
    subscription::Subscription,
    witness::Means,
};

impl Member {
    /// Takes a rekey message that came from the network.
    pub(crate) fn handle_push(
        &mut self,
        now: Time,
        cookies: CookiePair,
        datagram: Datagram<'_>,
    ) -> Result<(), Error> {
        let origin = self.origin_of(datagram.source.ip());
        let result = self.follow_push(now, cookies, datagram.payload, origin);
        if matches!(result, Err(Error::RekeySaUnknown)) {
            self.note_unknown_rekey_sa(now, &datagram, cookies, origin);
        }
        result
    }

    /// Says where a rekey message from an address claims to come from.
    fn origin_of(&self, source: IpAddr) -> Origin {
        let announces = |subscription: &Subscription| {
            subscription.places().is_some_and(|places| places.push_source == Some(source))
        };
        if source == self.gdoi_address.ip() || self.subscriptions.values().any(announces) {
            Origin::KeyServer
        } else {
            Origin::Elsewhere
        }
    }

    /// Follows a rekey message, wherever it came from.
    fn follow_push(
        &mut self,
        now: Time,
        cookies: CookiePair,
        octets: &[u8],
        origin: Origin,
    ) -> Result<(), Error> {
        let standing =
            self.subscriptions.values_mut().find_map(|s| s.knows_rekey_sa(&cookies).map(|known| (s, known)));
        let Some((subscription, standing)) = standing else { return Err(Error::RekeySaUnknown) };
        let _group = subscription.span().entered();
        let (random, witness) = (&mut *self.random, &mut self.witness);
        let mut means = Means { provider: self.provider, random, witness };
        match standing {
            Standing::InForce => {}
            Standing::Late => return subscription.follow_late(now, &mut means, octets, origin),
            Standing::Announced if subscription.keep_early(octets, origin) => {
                debug!(rekey_sa = %cookies, "a message waits for its KEK");
                return Ok(());
            }
            // Its copies come again.
            Standing::Announced => return Err(Error::RekeySaIncomplete),
            Standing::Superseded => {
                debug!(rekey_sa = %cookies, "a message under a rekey SA that is superseded");
                subscription.repull.still_coming(now, means.random);
                return Ok(());
            }
        }
        let brought = subscription.follow(now, &mut means, octets, origin)?;
        if !brought.is_something() {
            return Ok(());
        }
        let (kek, sequence) = subscription.epoch().unwrap_or((cookies, 0));
        let tek = brought.tek.map(tracing::field::display);
        debug!(
            kek = brought.kek.map(tracing::field::display),
            tek, sequence, "a GROUPKEY-PUSH has brought keys"
        );
        self.events.push_back(Event::Rekeyed {
            group: subscription.group.clone(),
            by: Source::Push,
            kek: brought.kek.unwrap_or(kek),
            sequence,
            tek: brought.tek,
            activates: brought.activates,
        });
        Ok(())
    }

    /// Takes a repair or an announcement of a rekey that is delivered.
    pub(crate) fn handle_control(
        &mut self,
        now: Time,
        cookies: CookiePair,
        octets: &[u8],
    ) -> Result<(), Error> {
        let standing = self.subscriptions.values_mut().find_map(|s| Some((s.knows_rekey_sa(&cookies)?, s)));
        match standing {
            Some((Standing::InForce, subscription)) => {
                let _group = subscription.span().entered();
                subscription.collect(now, &mut self.random, octets)
            }
            // What it would bring is here.
            Some(_) => Ok(()),
            // A newcomer hears the delivery of the rekey that brought it in.
            None => Err(Error::RekeySaUnknown),
        }
    }

    /// Follows what repair has brought and what waited for it, and tells the key server what is still missing.
    pub(crate) fn attend_deliveries(&mut self, now: Time) {
        while let Some(collected) = self.subscriptions.values_mut().find_map(Subscription::poll_collected) {
            let Collected { group, place, octets } = collected;
            let Route::GroupkeyPush(cookies) = route(&octets) else { continue };
            let result = self.follow_push(now, cookies, &octets, Origin::Kept);
            if let (None, Err(Error::RekeySaUnknown)) = (place, &result)
                && let Some(subscription) = self.subscriptions.get_mut(&group)
            {
                // It is of a rekey that is still to come.
                subscription.keep_early(&octets, Origin::Kept);
            }
            if let (Some(place), Err(error)) = (place, result)
                && !matches!(error, Error::Gdoi(claviger_gdoi::Error::Replayed))
                && let Some(subscription) = self.subscriptions.get_mut(&group)
            {
                subscription.reject(place);
            }
        }
        for subscription in self.subscriptions.values_mut() {
            let Some(keys) = &mut subscription.keys else { continue };
            while let Some(report) = keys.follower.collecting.poll_report() {
                debug!(group = %subscription.group, length = report.len(), "what is missed of a rekey is reported");
                // Without a registration there is nobody to tell; a PULL follows it.
                if let Some(cookies) = self.cookies {
                    let _ = self.gdoi.report(&cookies, self.gdoi_address, &report);
                }
            }
            if keys.follower.collecting.poll_failure() {
                debug!(group = %subscription.group, "no batch can help any more");
                subscription.repull.note(now, Sign::NotForUs, &mut self.random);
            }
            subscription.repull.hold(keys.follower.collecting.is_working());
        }
    }

    /// A rekey message that went to a group's place under cookies that the group does not have: the message that
    /// brought them was missed, or is still being collected.
    fn note_unknown_rekey_sa(
        &mut self,
        now: Time,
        datagram: &Datagram<'_>,
        cookies: CookiePair,
        origin: Origin,
    ) {
        let Datagram { destination, payload: octets, .. } = *datagram;
        for subscription in self.subscriptions.values_mut() {
            // A newcomer hears messages that told the others of it, under the KEK before its first.
            if let Some(keys) = &mut subscription.keys
                && now < keys.follower.new_until
            {
                debug!(group = %subscription.group, rekey_sa = %cookies, "a newcomer hears the rekey that brought it in");
                keys.follower.new_until = (now + REKEY_SPREAD).min(keys.held.keyed_at + REKEY_SPREAD_MAX);
                subscription.keep_early(octets, origin);
                continue;
            }
            let hears = |places: Places| [places.push, places.place].contains(&Some(destination));
            if subscription.places().is_some_and(hears) {
                let _group = subscription.span().entered();
                subscription.keep_early(octets, origin);
                let sign = DoubtfulSign::UnknownRekeySa(cookies);
                subscription.repull.doubt.note(now, sign, &mut self.random);
            }
        }
    }
}
