//! What both stores do alike: commits, scans, scopes, and what they refuse.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use claviger_crypto::SecretBytes;
use claviger_sansio::durable::{Change, RecordKey, Table};
use claviger_store::{FileStore, MemoryStore, Store, StoreError, store::VALUE_LEN_MAX};

const GROUP: Table = Table::new("group");
const MEMBER: Table = Table::new("member");

type Records = BTreeMap<RecordKey, Vec<u8>>;

fn records(store: &dyn Store, table: Table) -> Records {
    let mut records = Records::new();
    store
        .scan(table, &mut |key, value| {
            assert!(records.insert(key.clone(), value.expose().to_vec()).is_none(), "a record came twice");
            Ok(())
        })
        .unwrap();
    records
}

fn on_each_store(test: impl Fn(&mut dyn Store)) {
    test(&mut MemoryStore::new());
    let directory = tempfile::tempdir().unwrap();
    test(&mut FileStore::open(directory.path()).unwrap());
}

fn key(scope: &[u8], item: &[u8]) -> RecordKey {
    RecordKey::new(scope, item)
}

#[test]
fn keeps_the_last_value_of_each_record() {
    on_each_store(|store| {
        assert!(records(store, MEMBER).is_empty(), "a table that was never written is empty");
        let changes = [
            Change::put(MEMBER, key(b"g", b"1"), vec![1]),
            Change::put(MEMBER, key(b"g", b"2"), vec![2]),
            Change::put(MEMBER, key(b"g", b"1"), vec![3; 100_000]),
            Change::put(GROUP, key(b"", b""), Vec::new()),
        ];
        let receipt = store.commit(&changes).unwrap();
        assert_eq!(receipt.changes(), 4);
        let expected = Records::from([(key(b"g", b"1"), vec![3; 100_000]), (key(b"g", b"2"), vec![2])]);
        assert_eq!(records(store, MEMBER), expected);
        assert_eq!(records(store, GROUP), Records::from([(key(b"", b""), vec![])]));

        let changes = [Change::remove(MEMBER, key(b"g", b"1")), Change::remove(GROUP, key(b"g", b"1"))];
        let receipt = store.commit(&changes).unwrap();
        assert_eq!(receipt.changes(), 2, "removing what is not there is no error");
        assert_eq!(records(store, MEMBER), Records::from([(key(b"g", b"2"), vec![2])]));
        assert_eq!(store.commit(&[]).unwrap().changes(), 0);
    });
}

#[test]
fn removes_a_scope_and_nothing_that_begins_alike() {
    on_each_store(|store| {
        let mut changes = Vec::new();
        for scope in [&b""[..], b"g", b"gg", b"g\0", b"h"] {
            for item in [&b""[..], b"g", b"1", b"2"] {
                changes.push(Change::put(MEMBER, key(scope, item), scope));
                changes.push(Change::put(GROUP, key(scope, item), scope));
            }
        }
        let _ = store.commit(&changes).unwrap();
        let _ = store
            .commit(&[
                Change::remove_scope(MEMBER, *b"g"),
                Change::remove_scope(MEMBER, *b"nobody"),
                Change::put(MEMBER, key(b"g", b"new"), vec![9]),
            ])
            .unwrap();
        let left = records(store, MEMBER);
        let of_scope: Vec<_> = left.keys().filter(|key| key.scope == b"g").collect();
        assert_eq!(of_scope, [&key(b"g", b"new")], "what was put after the removal stays");
        assert_eq!(left.len(), 4 * 4 + 1);
        assert_eq!(records(store, GROUP).len(), 5 * 4, "another table keeps its scope");
    });
}

#[test]
fn a_scan_ends_with_the_first_error_of_its_caller() {
    on_each_store(|store| {
        let _ = store
            .commit(&[1u8, 2, 3].map(|item| Change::put(MEMBER, key(b"g", &[item]), vec![item])))
            .unwrap();
        let mut calls = 0;
        let error = store.scan(MEMBER, &mut |_, _| {
            calls += 1;
            Err(StoreError::Corrupt { table: MEMBER })
        });
        assert!(matches!(error, Err(StoreError::Corrupt { table: MEMBER })));
        assert_eq!(calls, 1);
    });
}

#[test]
fn refuses_what_is_too_long_and_then_changes_nothing() {
    on_each_store(|store| {
        let long = vec![0; RecordKey::PART_LEN_MAX + 1];
        let refused = [
            Change::put(MEMBER, key(&long, b""), vec![1]),
            Change::put(MEMBER, key(b"", &long), vec![1]),
            Change::remove(MEMBER, key(b"", &long)),
            Change::remove_scope(MEMBER, long.clone()),
            Change::put(MEMBER, key(b"", b""), SecretBytes::new(vec![0; VALUE_LEN_MAX + 1])),
        ];
        for change in refused {
            let changes = [Change::put(MEMBER, key(b"g", b"1"), vec![1]), change];
            assert!(matches!(store.commit(&changes), Err(StoreError::TooLong { table: MEMBER })));
        }
        assert!(records(store, MEMBER).is_empty());
        let longest = &long[1..];
        let _ = store
            .commit(&[Change::put(MEMBER, key(longest, longest), SecretBytes::new(vec![0; VALUE_LEN_MAX]))])
            .unwrap();
        assert_eq!(records(store, MEMBER)[&key(longest, longest)].len(), VALUE_LEN_MAX);
    });
}

#[test]
fn a_file_store_remembers_across_many_openings() {
    let directory = tempfile::tempdir().unwrap();
    let mut expected = Records::new();
    for round in 0..10u8 {
        let mut store = FileStore::open(directory.path()).unwrap();
        assert_eq!(records(&store, MEMBER), expected);
        let _ = store.commit(&[Change::put(MEMBER, key(b"g", &[round]), vec![round; 3])]).unwrap();
        expected.insert(key(b"g", &[round]), vec![round; 3]);
    }
}

#[test]
fn both_stores_agree_on_a_long_history() {
    let directory = tempfile::tempdir().unwrap();
    let mut file = FileStore::open(directory.path()).unwrap();
    let mut memory = MemoryStore::new();
    // A linear congruential generator: the history is long and the same each time.
    let mut state = 1u32;
    let mut draw = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) % below
    };
    for _ in 0..60 {
        let changes: Vec<Change> = (0..draw(12))
            .map(|_| {
                let table = if draw(2) == 0 { GROUP } else { MEMBER };
                let key = RecordKey::new(vec![draw(4) as u8], vec![draw(8) as u8]);
                match draw(8) {
                    0 => Change::remove_scope(table, key.scope),
                    1 | 2 => Change::remove(table, key),
                    _ => Change::put(table, key, vec![draw(256) as u8; draw(600) as usize]),
                }
            })
            .collect();
        assert_eq!(file.commit(&changes).unwrap(), memory.commit(&changes).unwrap());
        for table in [GROUP, MEMBER] {
            assert_eq!(records(&file, table), records(&memory, table));
        }
    }
    drop(file);
    let reopened = FileStore::open(directory.path()).unwrap();
    for table in [GROUP, MEMBER] {
        assert_eq!(records(&reopened, table), records(&memory, table));
    }
}

#[test]
fn a_clone_of_a_memory_store_is_what_a_crash_leaves() {
    let mut live = MemoryStore::new();
    let _ = live.commit(&[Change::put(MEMBER, key(b"g", b"1"), vec![1])]).unwrap();
    let crashed = live.clone();
    let _ = live.commit(&[Change::remove(MEMBER, key(b"g", b"1"))]).unwrap();
    assert!(records(&live, MEMBER).is_empty());
    assert_eq!(records(&crashed, MEMBER), Records::from([(key(b"g", b"1"), vec![1])]));
}
