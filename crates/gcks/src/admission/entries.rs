//! Hosts by their identities, and those that are named by the subjects of certificates by these names too.

use std::collections::{BTreeMap, BTreeSet};

use claviger_group::MemberId;
use claviger_pki::Name;

/// Something about each of some hosts.
///
/// Subjects are found by their octets, as a host that registers by its subject has them, and by their names, which are the
/// same for several octets (RFC 5280 section 7.1).
pub(crate) struct Entries<T> {
    by_id: BTreeMap<MemberId, T>,
    by_name: BTreeMap<Name, BTreeSet<MemberId>>,
}

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self { by_id: BTreeMap::new(), by_name: BTreeMap::new() }
    }
}

impl<T> Entries<T> {
    pub(crate) fn insert(&mut self, host: MemberId, entry: T) {
        if let Some(name) = name_of(&host) {
            self.by_name.entry(name).or_default().insert(host.clone());
        }
        self.by_id.insert(host, entry);
    }

    pub(crate) fn remove(&mut self, host: &MemberId) -> Option<T> {
        if let Some(name) = name_of(host)
            && let Some(hosts) = self.by_name.get_mut(&name)
        {
            hosts.remove(host);
            if hosts.is_empty() {
                self.by_name.remove(&name);
            }
        }
        self.by_id.remove(host)
    }

    pub(crate) fn get(&self, host: &MemberId) -> Option<&T> {
        self.by_id.get(host)
    }

    pub(crate) fn contains_key(&self, host: &MemberId) -> bool {
        self.by_id.contains_key(host)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &MemberId> {
        self.by_id.keys()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Goes through what is said of the subject with a name.
    pub(crate) fn named(&self, name: &Name) -> impl Iterator<Item = &T> {
        self.by_name.get(name).into_iter().flatten().filter_map(|host| self.by_id.get(host))
    }
}

/// Says how the subject is called that a host is named by, if it is and its octets are a name.
pub(crate) fn name_of(host: &MemberId) -> Option<Name> {
    match host {
        MemberId::Subject(_) => Name::from_der(&host.octets()).ok(),
        MemberId::Hit(_)
        | MemberId::Address(_)
        | MemberId::DomainName(_)
        | MemberId::KeyId(_)
        | MemberId::UserName(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_found_by_its_name_however_its_octets_are() {
        let utf8: MemberId = "dn:CN=host-1,O=Example".parse().unwrap();
        // The same with a PrintableString.
        let octets = utf8.octets();
        let at = octets.windows(2).position(|pair| pair == [0x0c, 7]).unwrap();
        let mut printable = octets.clone();
        printable[at] = 0x13;
        let printable = MemberId::subject(printable).unwrap();
        assert_ne!(utf8, printable);
        let mut entries = Entries::default();
        entries.insert(utf8.clone(), 1);
        let name = name_of(&printable).unwrap();
        assert_eq!(entries.named(&name).collect::<Vec<_>>(), [&1]);
        entries.insert(printable.clone(), 2);
        assert_eq!(entries.named(&name).count(), 2);
        assert_eq!(entries.remove(&utf8), Some(1));
        assert_eq!(entries.named(&name).collect::<Vec<_>>(), [&2]);
        assert_eq!(entries.remove(&printable), Some(2));
        assert_eq!((entries.named(&name).count(), entries.len()), (0, 0));
    }
}
