//! Counts what a daemon drops outside its machines, by reason.
//!
//! The machines count what they refuse themselves. What never reaches them, or is lost behind them, is counted here,
//! so that `status` accounts for every packet.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The counts of one daemon; its clones share them, because the tasks that read sockets count too.
#[derive(Debug, Clone, Default)]
pub(crate) struct Drops(Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl Drops {
    /// Counts one packet; `reason` is in lower case, its words joined by underscores.
    pub(crate) fn count(&self, reason: &'static str) {
        *self.counts().entry(reason).or_default() += 1;
    }

    /// Adds the counts to `totals`.
    pub(crate) fn add_to(&self, totals: &mut BTreeMap<String, u64>) {
        add(totals, &self.counts());
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<&'static str, u64>> {
        // Whoever panicked while counting left whole numbers behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds counts to `totals`: two machines may drop for reasons of the same name.
pub(crate) fn add(totals: &mut BTreeMap<String, u64>, counts: &BTreeMap<&'static str, u64>) {
    for (reason, count) in counts {
        *totals.entry((*reason).to_owned()).or_default() += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_count_together_and_equal_names_add_up() {
        let drops = Drops::default();
        let clone = drops.clone();
        drops.count("truncated");
        clone.count("truncated");
        clone.count("unmarked");
        let mut totals = BTreeMap::from([("truncated".to_owned(), 5)]);
        drops.add_to(&mut totals);
        assert_eq!(totals, BTreeMap::from([("truncated".to_owned(), 7), ("unmarked".to_owned(), 1)]));
    }
}
