//! The hosts that were refused lately, so that an administrator finds the one to allow.

use std::{collections::BTreeMap, net::IpAddr};

use claviger_group::{GroupId, MemberId};

use crate::event::{REFUSED_MAX, Refusal};

/// At most [`REFUSED_MAX`] hosts, each with its last refusal, the latest last.
///
/// Anybody can have itself refused under any number of identities. So each host has one line, whatever it asks for, and
/// where there is no room the line goes that can best be spared: of a host that is on no list, from the address with most
/// such lines.
#[derive(Default)]
pub(crate) struct Refusals(Vec<Refusal>);

impl Refusals {
    /// Notes that a host was refused, in place of what it was refused before. `is_listed` says who is on a list.
    pub(crate) fn note(&mut self, refusal: Refusal, is_listed: impl Fn(&MemberId) -> bool) {
        if let Some(index) = self.0.iter().position(|earlier| earlier.host == refusal.host) {
            let earlier = &self.0[index];
            // What it asks for at once is refused for several reasons, and the one that can be helped counts.
            if earlier.at == refusal.at && earlier.reason.is_curable() && !refusal.reason.is_curable() {
                return;
            }
            self.0.remove(index);
        }
        if self.0.len() == REFUSED_MAX {
            self.0.remove(self.spared(is_listed));
        }
        self.0.push(refusal);
    }

    /// Forgets that a host was refused a group.
    pub(crate) fn forget(&mut self, host: &MemberId, group: &GroupId) {
        self.0.retain(|refusal| refusal.host != *host || refusal.group != *group);
    }

    /// Lists the refusals, the latest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Refusal> {
        self.0.iter().rev()
    }

    /// Chooses the line that goes: the oldest of the address that has most lines of hosts on no list; the oldest of all
    /// where every host is on one.
    fn spared(&self, is_listed: impl Fn(&MemberId) -> bool) -> usize {
        let strangers: Vec<usize> =
            (0..self.0.len()).filter(|index| !is_listed(&self.0[*index].host)).collect();
        let mut lines: BTreeMap<Option<IpAddr>, usize> = BTreeMap::new();
        for index in &strangers {
            *lines.entry(self.0[*index].address).or_default() += 1;
        }
        let most = lines.values().max().copied();
        strangers.into_iter().find(|index| lines.get(&self.0[*index].address).copied() == most).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use claviger_group::Role;
    use claviger_sansio::Time;

    use super::*;
    use crate::event::RefusalReason;

    /// The identity with a number.
    fn host(number: u32) -> MemberId {
        MemberId::key_id(number.to_be_bytes().to_vec()).unwrap()
    }

    /// A refusal of that host at a second, from the address 192.0.2.`from`.
    fn refusal(number: u32, group: &str, from: u8, second: u64) -> Refusal {
        Refusal {
            host: host(number),
            group: group.parse().unwrap(),
            role: Role::Receiver,
            address: Some([192, 0, 2, from].into()),
            reason: RefusalReason::GroupUnknown,
            at: Time::from_micros(0) + Duration::from_secs(second),
        }
    }

    fn noted(refusals: &Refusals) -> Vec<MemberId> {
        refusals.iter().map(|refusal| refusal.host.clone()).collect()
    }

    #[test]
    fn a_host_has_one_line_whatever_it_asks_for() {
        let mut refusals = Refusals::default();
        refusals.note(refusal(7, "first", 7, 0), |_| false);
        for stranger in 0..8 {
            for name in 0..32 {
                refusals.note(refusal(100 + stranger, &format!("made up {name}"), 1, 1), |_| false);
            }
        }
        assert_eq!(refusals.iter().count(), 9);
        assert_eq!(noted(&refusals).last(), Some(&host(7)));
    }

    #[test]
    fn strangers_of_one_address_push_out_nobody_but_each_other() {
        let mut refusals = Refusals::default();
        refusals.note(refusal(1, "wanted", 1, 0), |_| false);
        for stranger in 0..10_000 {
            refusals.note(refusal(100 + stranger, "x", 2, 1), |_| false);
        }
        assert_eq!(refusals.iter().count(), REFUSED_MAX);
        assert_eq!(noted(&refusals).first(), Some(&host(10_099)));
        assert!(noted(&refusals).contains(&host(1)));
    }

    #[test]
    fn a_host_that_is_on_a_list_stays_though_strangers_come_from_everywhere() {
        let is_listed = |member: &MemberId| *member == host(1);
        let mut refusals = Refusals::default();
        refusals.note(refusal(1, "wanted", 1, 0), is_listed);
        for stranger in 0..1_000 {
            refusals.note(refusal(100 + stranger, "x", stranger as u8, 1), is_listed);
        }
        assert!(noted(&refusals).contains(&host(1)));
        refusals.forget(&host(1), &"another".parse().unwrap());
        assert!(noted(&refusals).contains(&host(1)));
        refusals.forget(&host(1), &"wanted".parse().unwrap());
        assert!(!noted(&refusals).contains(&host(1)));
        assert_eq!(refusals.iter().count(), REFUSED_MAX - 1);
    }

    #[test]
    fn of_what_is_refused_at_once_the_line_has_what_can_be_helped() {
        let mut refusals = Refusals::default();
        let curable = Refusal { reason: RefusalReason::NotAuthorised, ..refusal(1, "wanted", 1, 5) };
        for noted in [refusal(1, "unknown", 1, 5), curable.clone(), refusal(1, "other", 1, 5)] {
            refusals.note(noted, |_| false);
        }
        assert_eq!(refusals.iter().collect::<Vec<_>>(), [&curable]);
        refusals.note(refusal(1, "later", 1, 6), |_| false);
        assert_eq!(refusals.iter().next().unwrap().group, "later".parse().unwrap());
    }
}
