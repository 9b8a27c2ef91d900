//! RFC 2627 section 5.4.1, Table 1, row by row.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use claviger_crypto::SeededRandom;
use claviger_keytree::{Degree, Joining, KeyLength, KeyTree, Leaf, TreeConfig};

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

fn tree(k: u8, users: u32, joining: Joining, random: &mut SeededRandom) -> KeyTree {
    let degree = Degree::new(k).unwrap();
    let config = TreeConfig { degree, key_length: KeyLength::Octets16, capacity: users, joining };
    let mut tree = KeyTree::new(config, random);
    tree.batch(users as usize, &[], random).unwrap();
    tree
}

#[test]
fn storage_and_transmission_costs() {
    for row in TABLE_1 {
        let random = &mut SeededRandom::new(u64::from(row.users));
        let mut tree = tree(row.k, row.users, Joining::Replace, random);
        assert_eq!(tree.len(), row.users as usize);
        assert_eq!(u64::from(row.k).pow(u32::from(tree.depth())), u64::from(row.users), "the tree is full");

        for leaf in [0, row.users / 2, row.users - 1].map(Leaf::new) {
            assert_eq!(tree.path(leaf).unwrap().len(), row.storage, "storage, {} users", row.users);
            let leave = tree.batch(0, &[leaf], random).unwrap();
            assert_eq!(leave.wraps.len(), row.one_key, "one key per message, {} users", row.users);
            assert_eq!(
                leave.starts().count(),
                row.several_keys,
                "several keys per message, {} users",
                row.users
            );
            assert_eq!(leave.changed.len(), row.storage - 1, "each key of the path but the leaf's");

            let join = tree.batch(1, &[], random).unwrap();
            assert_eq!(join.joined, [leaf], "the hole is filled, and the tree full again");
        }
    }
}

/// The most that any departure may cost in a full tree, whatever the degree.
#[test]
fn no_departure_from_a_full_tree_costs_more() {
    for (k, joining) in (2..=8).flat_map(|k| [(k, Joining::Replace), (k, Joining::Advance)]) {
        for d in 1..=3 {
            let random = &mut SeededRandom::new(u64::from(k));
            let users = u32::from(k).pow(d);
            let mut tree = tree(k, users, joining, random);
            for leaf in (0..users).map(Leaf::new) {
                let leave = tree.batch(0, &[leaf], random).unwrap();
                let (k, d) = (usize::from(k), d as usize);
                // Two users of degree 2 leave a single one behind, whose tree has the same depth.
                assert_eq!((leave.wraps.len(), leave.starts().count()), (k * d - 1, (k - 1) * d));
                let join = tree.batch(1, &[], random).unwrap();
                if joining == Joining::Advance {
                    assert!(join.wraps.is_empty());
                }
            }
        }
    }
}

/// One batch of departures marks each node once: its cost falls from L·k·log_k(N) towards L·k·log_k(N / L).
#[test]
fn departures_together_cost_less_than_one_by_one() {
    for k in [2_u8, 4] {
        let random = &mut SeededRandom::new(7);
        let (users, departing) = (1 << 14, 1 << 8);
        let mut tree = tree(k, users, Joining::Replace, random);
        let kf = f64::from(k);
        let logarithm = |n: f64| n.ln() / kf.ln();

        // Evenly spread, the departures meet as late as can be: the worst case.
        let spread: Vec<Leaf> =
            (0..departing).map(|n| Leaf::new(n * (users / departing) + n % k as u32)).collect();
        let worst = tree.batch(0, &spread, random).unwrap().wraps.len() as f64;
        let (l, n) = (f64::from(departing), f64::from(users));
        // Below the meeting level each path costs as if alone; above it every node is replaced once for each child.
        let exact = l * (kf * logarithm(n / l) - 1.0) + (l - 1.0) / (kf - 1.0) * kf;
        assert_eq!(worst, exact.round(), "k = {k}");
        assert!(worst < 0.75 * l * (kf * logarithm(n) - 1.0));
        tree.batch(departing as usize, &[], random).unwrap();

        // Side by side, they share nearly everything.
        let together: Vec<Leaf> = (0..departing).map(Leaf::new).collect();
        let best = tree.batch(0, &together, random).unwrap().wraps.len() as f64;
        assert_eq!(best, (kf - 1.0) * logarithm(n / l) + logarithm(n / l) - 1.0, "k = {k}");
    }
}
