//! RFC 2627 §5.4.1, Table 1, row by row.

use claviger_crypto::SeededRandom;
use claviger_keytree::{Degree, KeyLength, KeyTree, Leaf};

struct Row {
    users: u32,
    k: u8,
    /// Keys that each user stores, d + 1.
    storage: usize,
    /// Transmissions with one key in each, kd - 1.
    one_key: usize,
    /// Transmissions with several keys in each, (k - 1)d.
    several_keys: usize,
}

const fn row(users: u32, k: u8, storage: usize, one_key: usize, several_keys: usize) -> Row {
    Row { users, k, storage, one_key, several_keys }
}

const TABLE_1: [Row; 7] = [
    row(8, 2, 4, 5, 3),
    row(9, 3, 3, 5, 4),
    row(16, 2, 5, 7, 4),
    row(2048, 2, 12, 21, 11),
    row(2187, 3, 8, 20, 14),
    row(131_072, 2, 18, 33, 17),
    row(177_147, 3, 12, 32, 22),
];

#[test]
fn storage_and_transmission_costs() {
    for row in TABLE_1 {
        let random = &mut SeededRandom::new(u64::from(row.users));
        let degree = Degree::new(row.k).unwrap();
        let mut tree = KeyTree::new(degree, KeyLength::Octets16, row.users, random);
        tree.batch(row.users as usize, &[], random).unwrap();
        assert_eq!(tree.len(), row.users as usize);
        assert_eq!(u64::from(row.k).pow(u32::from(tree.depth())), u64::from(row.users), "the tree is full");

        for leaf in [0, row.users / 2, row.users - 1].map(Leaf::new) {
            assert_eq!(tree.path(leaf).unwrap().len(), row.storage, "storage, {} users", row.users);
            let leave = tree.batch(0, &[leaf], random).unwrap();
            assert_eq!(leave.wraps.len(), row.one_key, "one key per message, {} users", row.users);
            assert_eq!(leave.starts.len(), row.several_keys, "several keys per message, {} users", row.users);
            assert_eq!(leave.changed.len(), row.storage - 1, "each key of the path but the leaf's");

            let join = tree.batch(1, &[], random).unwrap();
            assert_eq!(join.joined, [leaf], "the hole is filled, and the tree full again");
        }
    }
}

/// The most that any departure may cost in a full tree, whatever the degree.
#[test]
fn no_departure_from_a_full_tree_costs_more() {
    for k in 2..=8 {
        for d in 1..=3 {
            let random = &mut SeededRandom::new(u64::from(k));
            let users = u32::from(k).pow(d);
            let mut tree = KeyTree::new(Degree::new(k).unwrap(), KeyLength::Octets32, users, random);
            tree.batch(users as usize, &[], random).unwrap();
            for leaf in (0..users).map(Leaf::new) {
                let leave = tree.batch(0, &[leaf], random).unwrap();
                let (k, d) = (usize::from(k), d as usize);
                // Two users of degree 2 leave a single one behind, whose tree has the same depth.
                assert_eq!((leave.wraps.len(), leave.starts.len()), (k * d - 1, (k - 1) * d));
                tree.batch(1, &[], random).unwrap();
            }
        }
    }
}
