//! What a first start makes, what every later one must find, and who is let in.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use claviger_files::Fault;
use claviger_sansio::durable::{Change, RecordKey, Table};
use claviger_store::{FileStore, Notice, Store, StoreError, is_begun};
use redb::{Database, TableDefinition};

const MEMBER: Table = Table::new("member");

/// A directory with a store that holds one record and is closed.
fn made() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("state");
    put(&mut FileStore::open(&directory).unwrap());
    (parent, directory)
}

fn put(store: &mut FileStore) {
    let _ = store.commit(&[Change::put(MEMBER, RecordKey::new(*b"g", *b"1"), vec![1])]).unwrap();
}

fn count(store: &FileStore) -> usize {
    let mut count = 0;
    store
        .scan(MEMBER, &mut |_, _| {
            count += 1;
            Ok(())
        })
        .unwrap();
    count
}

fn refusal(directory: &Path) -> StoreError {
    let before = files(directory);
    let error = FileStore::open(directory).expect_err("the store is refused");
    // Not assert_eq, which would print the files.
    assert!(before == files(directory), "a refused store is left as it was");
    let sentence = error.to_string();
    assert!(sentence.contains(' ') && !sentence.ends_with('.') && !sentence.contains("Error"), "{sentence}");
    error
}

/// Lists the files and what they hold, but for the database: checking it is a commit of redb's own.
fn files(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| match path.ends_with("store.redb") {
            true => (path, Vec::new()),
            false => (path.clone(), fs::read(path).unwrap()),
        })
        .collect();
    files.sort();
    files
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn makes_directory_and_files_for_its_user_alone() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("above").join("state");
    let store = FileStore::open(&directory).unwrap();
    assert_eq!(store.directory(), directory);
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(mode(&parent.path().join("above")), 0o700);
    let names: Vec<_> = files(&directory)
        .iter()
        .map(|(path, _)| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["store.key", "store.lock", "store.mark", "store.redb"]);
    for name in names {
        assert_eq!(mode(&directory.join(&name)), 0o600, "{name}");
    }
    assert_eq!(fs::read(directory.join("store.key")).unwrap().len(), 32);
}

#[test]
fn every_store_has_its_own_key() {
    let ((_one_parent, one), (_other_parent, other)) = (made(), made());
    assert_ne!(fs::read(one.join("store.key")).unwrap(), fs::read(other.join("store.key")).unwrap());
}

#[test]
fn a_second_opening_finds_the_store_in_use() {
    let (_parent, directory) = made();
    let store = FileStore::open(&directory).unwrap();
    let error = FileStore::open(&directory).unwrap_err();
    assert!(matches!(&error, StoreError::InUse { directory: found } if *found == directory));
    assert!(error.to_string().starts_with("another process is using the store in "));
    drop(store);
    assert_eq!(count(&FileStore::open(&directory).unwrap()), 1);
}

#[test]
fn a_database_held_by_another_program_is_in_use() {
    let (_parent, directory) = made();
    let _held = Database::open(directory.join("store.redb")).unwrap();
    assert!(matches!(FileStore::open(&directory), Err(StoreError::InUse { .. })));
}

#[test]
fn a_missing_key_is_never_made_anew() {
    let (_parent, directory) = made();
    let key = fs::read(directory.join("store.key")).unwrap();
    fs::remove_file(directory.join("store.key")).unwrap();
    assert!(matches!(refusal(&directory), StoreError::KeyMissing { .. }));
    fs::rename(directory.join("store.lock"), directory.join("elsewhere")).unwrap();
    assert!(
        matches!(FileStore::open(&directory), Err(StoreError::KeyMissing { .. })),
        "by the database alone"
    );
    fs::rename(directory.join("elsewhere"), directory.join("store.lock")).unwrap();
    fs::remove_file(directory.join("store.redb")).unwrap();
    assert!(matches!(refusal(&directory), StoreError::KeyMissing { .. }), "by the mark alone");
    assert!(!directory.join("store.key").exists() && key.len() == 32);
}

#[test]
fn a_wrong_key_is_told_from_damage() {
    let ((_parent, directory), (_other_parent, other)) = (made(), made());
    fs::copy(other.join("store.key"), directory.join("store.key")).unwrap();
    assert!(matches!(refusal(&directory), StoreError::KeyWrong { .. }));
}

#[test]
fn a_key_with_one_bit_changed_is_wrong() {
    let (_parent, directory) = made();
    let path = directory.join("store.key");
    let key = fs::read(&path).unwrap();
    for octet in 0..key.len() {
        let mut wrong = key.clone();
        wrong[octet] ^= 0x80;
        fs::write(&path, wrong).unwrap();
        assert!(matches!(refusal(&directory), StoreError::KeyWrong { .. }), "octet {octet}");
    }
    fs::write(&path, key).unwrap();
    assert_eq!(count(&FileStore::open(&directory).unwrap()), 1);
}

#[test]
fn a_cut_or_grown_key_is_refused() {
    let (_parent, directory) = made();
    let path = directory.join("store.key");
    let key = fs::read(&path).unwrap();
    for wrong in [&b""[..], &key[..31], &[&key[..], b"\n"].concat(), &[0; 4096]] {
        fs::write(&path, wrong).unwrap();
        assert!(matches!(refusal(&directory), StoreError::KeyLength { expected: 32, .. }));
    }
}

#[test]
fn a_key_file_open_to_others_is_refused() {
    let (_parent, directory) = made();
    let path = directory.join("store.key");
    for bit in 0..6 {
        fs::set_permissions(&path, Permissions::from_mode(0o600 | 1 << bit)).unwrap();
        let error = refusal(&directory);
        assert!(matches!(error, StoreError::KeyTooOpen { mode, .. } if mode == 0o600 | 1 << bit));
        assert!(error.to_string().contains("chmod 600"));
    }
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    assert_eq!(count(&FileStore::open(&directory).unwrap()), 1);
}

#[test]
fn a_file_of_the_store_that_is_a_link_or_another_users_is_refused() {
    for name in ["store.key", "store.lock", "store.mark", "store.redb"] {
        let (parent, directory) = made();
        let (path, elsewhere) = (directory.join(name), parent.path().join("elsewhere"));
        fs::rename(&path, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        let before = fs::read(&elsewhere).unwrap();
        assert_eq!(refusal_of(&directory, &path), Fault::Link);
        assert_eq!(fs::read(&elsewhere).unwrap(), before, "{name}");
        fs::rename(&elsewhere, &path).unwrap();
        let us = fs::metadata(&path).unwrap().uid();
        // Only root can give a file away; for others what is refused is tested by files of root, in the crate `files`.
        if us == 0 {
            std::os::unix::fs::chown(&path, Some(us + 1), None).unwrap();
            assert_eq!(refusal_of(&directory, &path), Fault::Owner { us });
        }
    }
}

/// What is wrong with a file of a store.
fn refusal_of(directory: &Path, file: &Path) -> Fault {
    match refusal(directory) {
        StoreError::NotOurs(refused) if refused.path == file => refused.fault,
        error => panic!("{error}"),
    }
}

#[test]
fn a_database_that_vanished_is_not_begun_anew() {
    let (_parent, directory) = made();
    fs::remove_file(directory.join("store.redb")).unwrap();
    assert!(matches!(refusal(&directory), StoreError::DatabaseMissing { .. }));
}

#[test]
fn an_interrupted_first_start_is_taken_up() {
    let (_parent, complete) = made();
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path();

    // Killed while the key was written.
    fs::write(directory.join("store.key.new"), b"half a key").unwrap();
    assert_eq!(count(&FileStore::open(directory).unwrap()), 0);
    assert_eq!(files(directory).len(), 4);

    // Killed between the key's name and the database's, with half a database beside it.
    for file in ["store.mark", "store.redb"] {
        fs::remove_file(directory.join(file)).unwrap();
    }
    fs::copy(complete.join("store.key"), directory.join("store.key")).unwrap();
    fs::write(directory.join("store.redb.new"), b"half a database").unwrap();
    let key = fs::read(directory.join("store.key")).unwrap();
    put(&mut FileStore::open(directory).unwrap());
    assert_eq!(fs::read(directory.join("store.key")).unwrap(), key);

    // Killed between the database's name and the removal of the one it was made under, before the mark.
    fs::hard_link(directory.join("store.redb"), directory.join("store.redb.new")).unwrap();
    fs::remove_file(directory.join("store.mark")).unwrap();
    fs::write(directory.join("store.mark.new"), b"half a mark").unwrap();
    assert_eq!(count(&FileStore::open(directory).unwrap()), 1);
    assert_eq!(files(directory).len(), 4);
    fs::remove_file(directory.join("store.redb")).unwrap();
    assert!(matches!(refusal(directory), StoreError::DatabaseMissing { .. }), "the mark was made up for");
}

#[test]
fn what_may_have_been_removed_is_noticed_and_what_is_whole_is_not() {
    let (_parent, directory) = made();
    assert!(FileStore::open(&directory).unwrap().notices().is_empty());
    fs::remove_file(directory.join("store.mark")).unwrap();
    let mark = directory.join("store.mark");
    assert_eq!(FileStore::open(&directory).unwrap().notices(), [Notice::MarkMissing { mark: mark.clone() }]);
    assert!(FileStore::open(&directory).unwrap().notices().is_empty(), "it was made anew");

    fs::remove_file(&mark).unwrap();
    fs::remove_file(directory.join("store.redb")).unwrap();
    let store = FileStore::open(&directory).unwrap();
    let key = directory.join("store.key");
    assert_eq!(store.notices(), [Notice::BegunEmpty { key }]);
    drop(store);
    // An interrupted first start, before the first commit.
    fs::remove_file(&mark).unwrap();
    assert!(FileStore::open(&directory).unwrap().notices().is_empty());

    let first = tempfile::tempdir().unwrap();
    assert!(FileStore::open(first.path()).unwrap().notices().is_empty(), "a first start");
}

#[test]
fn a_directory_with_any_file_of_a_store_holds_one() {
    let empty = tempfile::tempdir().unwrap();
    assert!(!is_begun(empty.path()) && !is_begun(&empty.path().join("nowhere")));
    for name in ["store.key", "store.redb", "store.mark"] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("store.lock"), b"").unwrap();
        assert!(!is_begun(directory.path()), "a lock is none");
        fs::write(directory.path().join(name), b"").unwrap();
        assert!(is_begun(directory.path()), "{name}");
    }
}

#[test]
fn an_older_database_is_noticed_and_accepted_only_on_purpose() {
    let (_parent, directory) = made();
    let older = fs::read(directory.join("store.redb")).unwrap();
    let mut store = FileStore::open(&directory).unwrap();
    put(&mut store);
    put(&mut store);
    drop(store);
    fs::write(directory.join("store.redb"), older).unwrap();
    let error = refusal(&directory);
    assert!(matches!(error, StoreError::RolledBack { found: 1, answered: 3, .. }));
    assert!(error.to_string().contains("ends with commit 1, but commit 3 was answered"), "{error}");
    fs::remove_file(directory.join("store.mark")).unwrap();
    assert_eq!(count(&FileStore::open(&directory).unwrap()), 1);
}

#[test]
fn a_mark_behind_the_database_is_what_a_power_failure_leaves() {
    let (_parent, directory) = made();
    let older = fs::read(directory.join("store.mark")).unwrap();
    put(&mut FileStore::open(&directory).unwrap());
    fs::write(directory.join("store.mark"), older).unwrap();
    assert_eq!(count(&FileStore::open(&directory).unwrap()), 1);
}

#[test]
fn an_altered_or_cut_mark_is_damage() {
    let (_parent, directory) = made();
    let path = directory.join("store.mark");
    let genuine = fs::read(&path).unwrap();
    for octet in 0..genuine.len() {
        let mut forged = genuine.clone();
        forged[octet] ^= 1;
        fs::write(&path, forged).unwrap();
        assert!(matches!(refusal(&directory), StoreError::Damaged { .. }), "octet {octet}");
        fs::write(&path, &genuine[..octet]).unwrap();
        assert!(matches!(refusal(&directory), StoreError::Damaged { .. }), "{octet} octets");
    }
    fs::write(&path, [&genuine[..], &[0]].concat()).unwrap();
    assert!(matches!(refusal(&directory), StoreError::Damaged { .. }));
}

#[test]
fn an_empty_or_foreign_database_is_damage() {
    let (_parent, directory) = made();
    let path = directory.join("store.redb");
    let genuine = fs::read(&path).unwrap();
    for content in
        [&b""[..], b"not a database", &[0; 65_536], &genuine[..genuine.len() / 2], &genuine[..4096]]
    {
        fs::write(&path, content).unwrap();
        let error = FileStore::open(&directory).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{} octets: {error}", content.len());
        assert!(error.to_string().contains("is damaged"));
    }
    fs::remove_file(&path).unwrap();
    drop(Database::create(&path).unwrap());
    assert!(
        matches!(FileStore::open(&directory), Err(StoreError::Damaged { .. })),
        "a database without header"
    );
}

#[test]
fn a_newer_format_is_refused_with_both_numbers() {
    let (_parent, directory) = made();
    let set = |format: &[u8]| {
        let own: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("$store");
        let database = Database::open(directory.join("store.redb")).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(own).unwrap().insert("format", format).unwrap();
        transaction.commit().unwrap();
    };
    set(&7u32.to_be_bytes());
    let error = FileStore::open(&directory).unwrap_err();
    assert!(matches!(error, StoreError::NewerFormat { found: 7, supported: 1, .. }));
    assert!(error.to_string().contains("format 7 and this program knows none above 1"), "{error}");
    set(&0u32.to_be_bytes());
    assert!(matches!(FileStore::open(&directory), Err(StoreError::Damaged { .. })));
    set(b"1");
    assert!(matches!(FileStore::open(&directory), Err(StoreError::Damaged { .. })));
    set(&1u32.to_be_bytes());
    assert_eq!(count(&FileStore::open(&directory).unwrap()), 1);
}

#[test]
fn what_the_system_refuses_names_the_attempt_and_the_file() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = FileStore::open(&file.join("state")).unwrap_err();
    assert!(matches!(error, StoreError::File { .. }));
    assert!(error.to_string().starts_with("cannot "), "{error}");
    assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
}
