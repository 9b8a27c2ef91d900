//! What the database shows to who has no key, and what becomes of altered ones.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use claviger_sansio::durable::{Change, RecordKey, Table};
use claviger_store::{FileStore, Store, StoreError};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

const GROUP: Table = Table::new("group");
const MEMBER: Table = Table::new("member");

const ROWS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("member");

fn made() -> (tempfile::TempDir, PathBuf) {
    // In memory where that is at hand: the store is opened a thousand times, and a disk would sync each time.
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let directory = parent.path().join("state");
    let mut store = FileStore::open(&directory).unwrap();
    for item in 0..8 {
        let _ = store.commit(&[change(item)]).unwrap();
    }
    (parent, directory)
}

fn change(item: u8) -> Change {
    Change::put(MEMBER, RecordKey::new(*b"the wardens of the keys", [item]), vec![item; 40])
}

/// Returns the items read, or why they were not.
fn read(directory: &Path) -> Result<BTreeSet<u8>, StoreError> {
    let store = FileStore::open(directory)?;
    let mut items = BTreeSet::new();
    for table in [GROUP, MEMBER] {
        store.scan(table, &mut |key, value| {
            assert_eq!(value.expose(), [key.item[0]; 40], "a record opens only as it was sealed");
            items.insert(key.item[0]);
            Ok(())
        })?;
    }
    Ok(items)
}

fn rows(directory: &Path) -> Vec<([u8; 32], Vec<u8>)> {
    let database = Database::open(directory.join("store.redb")).unwrap();
    let table = database.begin_read().unwrap().open_table(ROWS).unwrap();
    let rows = table.iter().unwrap().map(|row| row.unwrap());
    rows.map(|(index, record)| (*index.value(), record.value().to_vec())).collect()
}

fn set_row(directory: &Path, table: TableDefinition<'_, &[u8; 32], &[u8]>, index: &[u8; 32], record: &[u8]) {
    let database = Database::open(directory.join("store.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(table).unwrap().insert(index, record).unwrap();
    transaction.commit().unwrap();
}

#[test]
fn the_files_hold_neither_names_nor_values() {
    let parent = tempfile::tempdir().unwrap();
    let (scope, item, value) =
        (&b"the wardens of the keys"[..], &b"hit 2001:21::7"[..], &b"a traffic key"[..]);
    let mut store = FileStore::open(parent.path()).unwrap();
    let _ = store.commit(&[Change::put(MEMBER, RecordKey::new(scope, item), value)]).unwrap();
    let _ = store.commit(&[Change::remove_scope(MEMBER, scope)]).unwrap();
    let _ = store.commit(&[Change::put(GROUP, RecordKey::new(scope, item), value)]).unwrap();
    drop(store);
    let key = fs::read(parent.path().join("store.key")).unwrap();
    let database = fs::read(parent.path().join("store.redb")).unwrap();
    for secret in [scope, item, value, &key[..8]] {
        assert!(!database.windows(secret.len()).any(|window| window == secret));
    }
    assert!(database.windows(6).any(|window| window == b"member"), "tables' names are not hidden");
}

#[test]
fn equal_records_look_different_each_time() {
    let (_parent, directory) = made();
    let before = rows(&directory);
    let mut store = FileStore::open(&directory).unwrap();
    let _ = store.commit(&[change(0), change(0)]).unwrap();
    drop(store);
    let after = rows(&directory);
    let changed = before.iter().zip(&after).filter(|(before, after)| before != after).count();
    assert_eq!((before.len(), after.len(), changed), (8, 8, 1));
}

#[test]
fn a_record_altered_behind_valid_checksums_is_corrupt() {
    let (_parent, directory) = made();
    let (index, record) = rows(&directory).swap_remove(3);
    for octet in 0..record.len() {
        let mut forged = record.clone();
        forged[octet] ^= 0x10;
        set_row(&directory, ROWS, &index, &forged);
        assert!(matches!(read(&directory), Err(StoreError::Corrupt { table: MEMBER })), "octet {octet}");
    }
    for length in [0, 1, 24, 25, 40, record.len() - 1] {
        set_row(&directory, ROWS, &index, &record[..length]);
        assert!(matches!(read(&directory), Err(StoreError::Corrupt { table: MEMBER })), "{length} octets");
    }
    set_row(&directory, ROWS, &index, &record);
    assert_eq!(read(&directory).unwrap().len(), 8);
}

#[test]
fn a_record_moved_to_another_name_or_table_is_corrupt() {
    let (_parent, directory) = made();
    let all = rows(&directory);
    set_row(&directory, ROWS, &all[0].0, &all[1].1);
    assert!(matches!(read(&directory), Err(StoreError::Corrupt { table: MEMBER })));
    set_row(&directory, ROWS, &all[0].0, &all[0].1);
    set_row(&directory, TableDefinition::new("group"), &all[0].0, &all[0].1);
    let error = read(&directory).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { table: GROUP }));
    assert_eq!(error.to_string(), "a record of the table group was altered or is damaged");
}

#[test]
fn a_table_of_another_shape_is_damage() {
    let (_parent, directory) = made();
    {
        let database = Database::open(directory.join("store.redb")).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.delete_table(ROWS).unwrap();
        let other: TableDefinition<'_, u64, u64> = TableDefinition::new("member");
        transaction.open_table(other).unwrap().insert(1, 2).unwrap();
        transaction.commit().unwrap();
    }
    assert!(matches!(read(&directory), Err(StoreError::Damaged { .. })));
}

/// Every bit of the file's first 64 octets, one of each in its two commit slots, and bits all over the rest: an
/// altered file is refused or does not matter, and is never read as it was before its last commit.
fn refuses_flipped_bits(directory: &Path, genuine: &[u8], items: u8) {
    let complete: BTreeSet<u8> = (0..items).collect();
    let (mut refused, mut harmless) = (0, 0);
    let header = (0..64 * 8).chain((64..320).map(|octet| octet * 8 + octet % 8));
    let used = genuine
        .chunks(64)
        .enumerate()
        .skip(5)
        .filter(|(_, chunk)| chunk.iter().any(|octet| *octet != 0))
        .map(|(chunk, _)| chunk * 64 * 8 + chunk * 7 % 512);
    for bit in header.chain(used) {
        let mut forged = genuine.to_vec();
        forged[bit / 8] ^= 1 << (bit % 8);
        fs::write(directory.join("store.redb"), forged).unwrap();
        match read(directory) {
            Ok(items) => {
                assert_eq!(items, complete, "bit {bit} took the store back");
                harmless += 1;
            }
            Err(StoreError::Corrupt { .. } | StoreError::Damaged { .. } | StoreError::RolledBack { .. }) => {
                refused += 1
            }
            Err(error) => panic!("bit {bit}: {error}"),
        }
    }
    assert!(refused > 0 && harmless > 0, "{refused} refused, {harmless} harmless");
}

#[test]
fn a_closed_file_with_a_flipped_bit_is_refused_or_whole() {
    let (_parent, directory) = made();
    let genuine = fs::read(directory.join("store.redb")).unwrap();
    refuses_flipped_bits(&directory, &genuine, 8);
}

#[test]
fn a_killed_file_with_a_flipped_bit_is_refused_or_whole() {
    let (_parent, directory) = made();
    let mut store = FileStore::open(&directory).unwrap();
    for item in 8..10 {
        let _ = store.commit(&[change(item)]).unwrap();
    }
    let killed = fs::read(directory.join("store.redb")).unwrap();
    drop(store);
    refuses_flipped_bits(&directory, &killed, 10);
}

#[test]
fn a_restored_backup_never_seals_twice_under_one_nonce() {
    let (_parent, directory) = made();
    let backup = ["store.redb", "store.mark"].map(|name| (name, fs::read(directory.join(name)).unwrap()));
    let mut seen: BTreeSet<Vec<u8>> = BTreeSet::new();
    for _ in 0..5 {
        for (name, content) in &backup {
            fs::write(directory.join(name), content).unwrap();
        }
        let mut store = FileStore::open(&directory).unwrap();
        let _ = store.commit(&[change(100)]).unwrap();
        drop(store);
        let old: BTreeSet<Vec<u8>> = seen.clone();
        let epochs: Vec<_> = rows(&directory).into_iter().map(|(_, record)| record[1..25].to_vec()).collect();
        assert_eq!(epochs.len(), 9);
        let new = epochs.into_iter().filter(|epoch| !old.contains(epoch));
        let added: Vec<_> = new.collect();
        assert_eq!(added.len(), if old.is_empty() { 9 } else { 1 }, "each opening seals under its own epoch");
        seen.extend(added);
    }
}
