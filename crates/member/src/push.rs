//! GROUPKEY-PUSH and the signs of missed ones.

use std::net::SocketAddr;

use claviger_esp::plane::{Event as PlaneEvent, Stage};
use claviger_group::CookiePair;
use claviger_sansio::{Datagram, Time};

use crate::{
    Error, Member,
    event::{Event, Source},
    rekey::Standing,
    repull::{REKEY_SPREAD, REKEY_SPREAD_MAX, Sign},
};

impl Member {
    pub(crate) fn handle_push(
        &mut self,
        now: Time,
        cookies: CookiePair,
        datagram: Datagram<'_>,
    ) -> Result<(), Error> {
        let standing =
            self.subscriptions.values_mut().find_map(|s| s.knows_rekey_sa(&cookies).map(|known| (s, known)));
        let Some((subscription, standing)) = standing else {
            self.note_unknown_rekey_sa(now, datagram.destination, cookies);
            return Err(Error::RekeySaUnknown);
        };
        match standing {
            Standing::InForce => {}
            Standing::Late => {
                return subscription.follow_late(now, &mut self.random, datagram.payload);
            }
            // Its copies come again.
            Standing::Announced => return Err(Error::RekeySaIncomplete),
            Standing::Superseded => {
                subscription.repull.still_coming(now, &mut self.random);
                return Ok(());
            }
        }
        let brought = subscription.follow(now, self.provider, &mut self.random, datagram.payload)?;
        if !brought.is_something() {
            return Ok(());
        }
        let (kek, sequence) = subscription.epoch().unwrap_or((cookies, 0));
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

    /// A rekey message that went to a group's place under cookies that the group does not have: the message that
    /// brought them was missed.
    fn note_unknown_rekey_sa(&mut self, now: Time, destination: SocketAddr, cookies: CookiePair) {
        for subscription in self.subscriptions.values_mut() {
            // A newcomer hears messages that told the others of it, under the KEK before its first.
            if let Some(keys) = &mut subscription.keys
                && now < keys.new_until
            {
                keys.new_until = (now + REKEY_SPREAD).min(keys.keyed_at + REKEY_SPREAD_MAX);
                continue;
            }
            if subscription.places().and_then(|places| places.push) == Some(destination) {
                subscription.repull.note(now, Sign::UnknownRekeySa(cookies), &mut self.random);
            }
        }
    }

    pub(crate) fn handle_plane_events(&mut self, now: Time) {
        for subscription in self.subscriptions.values_mut() {
            let Some(keys) = &mut subscription.keys else { continue };
            while let Some(event) = keys.plane.poll_event() {
                let sign = match event {
                    // A newcomer hears the group's old TEK until the senders change over to its first one.
                    PlaneEvent::UnknownSpi(_)
                        if keys.plane.status().iter().all(|sa| sa.stage == Stage::Leading) =>
                    {
                        continue;
                    }
                    PlaneEvent::UnknownSpi(spi) => Sign::UnknownSpi(spi),
                    PlaneEvent::Exhausting(_) => Sign::SenderIdSpent,
                    PlaneEvent::Expired(_) => Sign::Gap,
                    _ => continue,
                };
                subscription.repull.note(now, sign, &mut self.random);
            }
        }
    }
}
