//! What the data plane is asked for, and what is heard from it.

use claviger_group::{GroupId, PlaneCommand, PlaneEvent};
use claviger_sansio::Time;
use tracing::debug;

use crate::{
    Member,
    doubt::DoubtfulSign,
    event::{PolicyFault, Refusal, Source},
    repull::{REKEY_SPREAD, Sign},
    subscription::Subscription,
};

impl Member {
    /// Gives what the data plane of a group is to do, in order. The program drains it whenever it drains
    /// [`Member::poll_event`], and before packets that came meanwhile are opened.
    pub fn poll_plane(&mut self) -> Option<(GroupId, PlaneCommand)> {
        // What follows in such a group belongs to a later membership.
        if let Some(group) = self.closed_planes.pop_front() {
            return Some((group, PlaneCommand::Close));
        }
        self.subscriptions.values_mut().find_map(|subscription| {
            let command = subscription.keys.as_mut()?.held.poll_command()?;
            Some((subscription.group.clone(), command))
        })
    }

    /// Takes in what the data plane of a group has met.
    pub fn handle_plane_event(&mut self, now: Time, group: &GroupId, event: PlaneEvent) {
        let Some(subscription) = self.subscriptions.get_mut(group) else { return };
        let span = subscription.span();
        let Some(keys) = &mut subscription.keys else { return };
        let _group = span.entered();
        keys.held.advance(now);
        let doubt = &mut subscription.repull.doubt;
        let sign = match event {
            PlaneEvent::ChangedOver(spi) => {
                debug!(%spi, "nothing is sent under an older SA any more");
                subscription.changed_over = Some(spi);
                None
            }
            // A newcomer hears the group's old TEK until the senders change over to its first one; those that hear a later
            // copy of it do so later.
            PlaneEvent::UnknownSpi(_) if keys.held.is_waiting(now - REKEY_SPREAD) => None,
            PlaneEvent::UnknownSpi(spi) => {
                doubt.note(now, DoubtfulSign::UnknownSpi(spi), &mut self.random);
                None
            }
            PlaneEvent::SenderIdSpent(_) => Some(Sign::SenderIdSpent),
            PlaneEvent::Refused(spi) => match keys.held.came_by(spi) {
                // Its key server may have another one by now.
                Some(Source::Push) => Some(Sign::Gap),
                Some(Source::Pull) => {
                    debug!(%spi, "the data plane does not take an SA that was pulled");
                    self.refused(group.clone(), Refusal::Policy(PolicyFault::DataPlane));
                    None
                }
                None => None,
            },
        };
        if let Some(sign) = sign
            && let Some(subscription) = self.subscriptions.get_mut(group)
        {
            subscription.repull.note(now, sign, &mut self.random);
        }
        self.settle(now);
    }

    /// Notes data SAs that were held to the end of their lifetimes.
    pub(crate) fn note_ended_lifetimes(&mut self, now: Time) {
        for subscription in self.subscriptions.values_mut() {
            let Some(keys) = &mut subscription.keys else { continue };
            if keys.held.take_lifetime_ended() {
                let _group = subscription.span().entered();
                subscription.repull.note(now, Sign::Gap, &mut self.random);
            }
        }
    }

    /// Forgets a group with its keys; its data plane will hear of it.
    pub(crate) fn forget(&mut self, group: &GroupId) -> Option<Subscription> {
        let subscription = self.subscriptions.remove(group)?;
        if subscription.keys.is_some() {
            self.closed_planes.push_back(group.clone());
        }
        Some(subscription)
    }
}
