//! The groups of a server, and when each has something to do.
//!
//! A server looks at its timers at every packet. So that a step costs the same with one group and with thousands, the
//! deadlines are kept in order; whoever changes a group does so through [`GroupMut`], which puts its deadline right.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::{Deref, DerefMut, Index},
};

use claviger_group::GroupId;
use claviger_sansio::Time;

use crate::group::Group;

/// The groups by their names.
#[derive(Default)]
pub(crate) struct Groups {
    by_id: BTreeMap<GroupId, Group>,
    deadlines: BTreeSet<(Time, GroupId)>,
}

impl Groups {
    pub(crate) fn contains_key(&self, id: &GroupId) -> bool {
        self.by_id.contains_key(id)
    }

    pub(crate) fn get(&self, id: &GroupId) -> Option<&Group> {
        self.by_id.get(id)
    }

    /// Lends a group for a change.
    pub(crate) fn get_mut(&mut self, id: &GroupId) -> Option<GroupMut<'_>> {
        let group = self.by_id.get_mut(id)?;
        let before = group.poll_timeout();
        Some(GroupMut { group, deadlines: &mut self.deadlines, before })
    }

    pub(crate) fn insert(&mut self, group: Group) {
        self.remove(&group.id);
        if let Some(deadline) = group.poll_timeout() {
            self.deadlines.insert((deadline, group.id.clone()));
        }
        self.by_id.insert(group.id.clone(), group);
    }

    pub(crate) fn remove(&mut self, id: &GroupId) -> Option<Group> {
        let group = self.by_id.remove(id)?;
        if let Some(deadline) = group.poll_timeout() {
            self.deadlines.remove(&(deadline, group.id.clone()));
        }
        Some(group)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&GroupId, &Group)> {
        self.by_id.iter()
    }

    /// Lists the groups whose deadlines have come.
    pub(crate) fn due(&self, now: Time) -> Vec<GroupId> {
        self.deadlines.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| id.clone()).collect()
    }

    /// Says when the first of them has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        self.deadlines.first().map(|(at, _)| *at)
    }
}

impl Index<&GroupId> for Groups {
    type Output = Group;

    fn index(&self, id: &GroupId) -> &Group {
        &self.by_id[id]
    }
}

/// A group that is being changed.
pub(crate) struct GroupMut<'a> {
    group: &'a mut Group,
    deadlines: &'a mut BTreeSet<(Time, GroupId)>,
    before: Option<Time>,
}

impl Deref for GroupMut<'_> {
    type Target = Group;

    fn deref(&self) -> &Group {
        self.group
    }
}

impl DerefMut for GroupMut<'_> {
    fn deref_mut(&mut self) -> &mut Group {
        self.group
    }
}

impl Drop for GroupMut<'_> {
    fn drop(&mut self) {
        let after = self.group.poll_timeout();
        if after == self.before {
            return;
        }
        if let Some(before) = self.before {
            self.deadlines.remove(&(before, self.group.id.clone()));
        }
        if let Some(after) = after {
            self.deadlines.insert((after, self.group.id.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use claviger_crypto::{SeededRandom, provider};
    use claviger_group::{Channel, GroupPolicy};

    use super::*;

    fn group(name: &str) -> Group {
        let policy = GroupPolicy::new(Channel::new("239.192.0.1".parse().unwrap(), None).unwrap());
        let id = name.parse().unwrap();
        Group::new(id, policy, provider(), &mut SeededRandom::new(1), Time::EPOCH)
            .unwrap_or_else(|_| unreachable!())
    }

    #[test]
    fn deadlines_follow_every_change() {
        let seconds = |s| Time::EPOCH + Duration::from_secs(s);
        let mut groups = Groups::default();
        let [red, blue] = ["red", "blue"].map(|name| -> GroupId { name.parse().unwrap() });
        for id in ["red", "blue"] {
            groups.insert(group(id));
        }
        assert_eq!(groups.poll_timeout(), None, "nobody is in them");
        groups.get_mut(&red).unwrap().waiting.due = Some(seconds(9));
        groups.get_mut(&blue).unwrap().waiting.due = Some(seconds(5));
        assert_eq!(groups.poll_timeout(), Some(seconds(5)));
        assert_eq!(groups.due(seconds(4)), Vec::new());
        assert_eq!(groups.due(seconds(9)), vec![blue.clone(), red.clone()]);
        groups.get_mut(&blue).unwrap().waiting.due = Some(seconds(20));
        assert_eq!(groups.due(seconds(9)), vec![red.clone()]);
        groups.remove(&red);
        assert_eq!(groups.poll_timeout(), Some(seconds(20)));
        groups.insert(group("blue"));
        assert_eq!(groups.poll_timeout(), None, "what replaces a group has its own deadline");
    }
}
