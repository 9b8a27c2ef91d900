//! A clock that was ahead before a restart.
//!
//! Instants are stored as the wall clock told them. If it stands behind the last of them at a restart, it was ahead
//! before, or is behind now; either way its word is taken, so that the instants that the key server tells mean
//! something to people and other hosts. Everything stored is moved back by the difference, in one commit and before
//! anything is sent: each key is as old as it was at the last change, and each registration lasts as long. The time
//! of the last change is moved in the same commit, so that nothing is moved twice.

use std::time::Duration;

use claviger_crypto::CryptoProvider;
use claviger_sansio::Time;

use crate::{
    Gcks, Record, RestoreError,
    admission::list::List,
    group::Group,
    record,
    restore::{decode, table},
};

/// By how much the clock may stand behind without anything being moved: the key server then runs ahead by so much. A
/// clock that is kept right by small steps does not have a large store written anew at each restart.
const STEP_BACK_MAX: Duration = Duration::from_secs(1);

/// Zero stands for no time at all in records: this much must remain of the earliest instant.
const EARLIEST: Duration = Duration::from_micros(1);

impl Gcks {
    /// Says when the last stored change happened.
    pub fn last_change(records: &[Record]) -> Result<Time, RestoreError> {
        let mut last = Time::EPOCH;
        for (_, value) in table(records, record::CLOCK) {
            last = last
                .max(decode(record::CLOCK, record::decode(value, |r| record::member::read_time(r, "time")))?);
        }
        Ok(last)
    }

    /// Says at what time a key server goes on from its records while the wall clock shows `wall`: at that, unless it
    /// stands a little behind the last change, or so near to 1970 that the age of what is stored cannot be told.
    pub fn start_at(provider: &CryptoProvider, records: &[Record], wall: Time) -> Result<Time, RestoreError> {
        let last = Self::last_change(records)?;
        if wall + STEP_BACK_MAX >= last {
            return Ok(wall.max(last));
        }
        let mut earliest = last;
        for (_, value) in table(records, record::GROUP) {
            let stored = decode(record::GROUP, record::group::decode(provider, value))?;
            let superseded = stored.teks.iter().filter_map(|tek| tek.superseded);
            let issued = stored.teks.iter().map(|tek| tek.issued);
            earliest =
                issued.chain(superseded).chain(stored.kek.map(|kek| kek.issued)).fold(earliest, Time::min);
        }
        for (_, value) in table(records, record::MEMBER) {
            let member = decode(record::MEMBER, record::member::decode_member(value))?;
            earliest = earliest.min(member.since).min(member.last_pull);
        }
        for (_, value) in table(records, record::DEPARTURE) {
            let departed = decode(record::DEPARTURE, record::departure::decode(value))?;
            let instants = departed.unreadable_from.into_iter().chain(departed.silent_from);
            earliest = instants.chain([departed.at]).fold(earliest, Time::min);
        }
        Ok(wall.max(Time::EPOCH + last.since(earliest) + EARLIEST))
    }

    /// Moves everything that was restored back, and has it stored so.
    pub(crate) fn move_back(&mut self, by: Duration) {
        let ids: Vec<_> = self.groups.iter().map(|(id, _)| id.clone()).collect();
        for id in ids {
            let Some(mut group) = self.groups.get_mut(&id) else { continue };
            group.move_back(by);
            self.changes.push(group.record());
            self.changes.extend(group.members.keys().map(|host| group.member_record(host)));
        }
        for (id, list) in self.roster.lists_mut() {
            list.move_back(by);
            self.changes.extend(list.departed.keys().map(|host| list.departure_record(id, host)));
        }
        for (host, group, mut grant) in self.roster.grants.all() {
            grant.expires = grant.expires - by;
            self.admission().store_grant(&host, group, grant);
        }
        self.hip.move_back(by);
        let peers: Vec<_> = self.hip.associations().map(|association| association.peer).collect();
        self.touched.extend(peers);
    }
}

impl List {
    /// Moves back every instant that is stored of departures.
    fn move_back(&mut self, by: Duration) {
        let earlier = |time: &mut Time| *time = *time - by;
        for departed in self.departed.values_mut() {
            earlier(&mut departed.at);
            departed.unreadable_from.iter_mut().for_each(earlier);
            departed.silent_from.iter_mut().for_each(earlier);
        }
    }
}

impl Group {
    /// Moves back every instant that is stored of the group.
    fn move_back(&mut self, by: Duration) {
        let earlier = |time: &mut Time| *time = *time - by;
        if let Some(kek) = &mut self.kek {
            earlier(&mut kek.issued);
        }
        for tek in &mut self.teks {
            earlier(&mut tek.issued);
            tek.superseded.iter_mut().for_each(earlier);
        }
        for member in self.members.values_mut() {
            earlier(&mut member.since);
            earlier(&mut member.last_pull);
        }
    }
}
