//! A process that commits is killed again and again; what it was told is durable must be there, all or none.
//!
//! ```text
//! child:  commit n ----------> "commit n" on stdout, commit n+1 ...
//! parent: reads, SIGKILL at any instant, opens the store: n or n+1 commits, each whole
//! ```

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use claviger_sansio::durable::{Change, RecordKey, Table};
use claviger_store::{FileStore, Store};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

/// One record with the number of the last commit.
const COUNTER: Table = Table::new("counter");
/// The records of the last commit alone; each commit removes those of the one before.
const BATCH: Table = Table::new("batch");
/// A record of every commit.
const HISTORY: Table = Table::new("history");

/// The records that a commit writes into [`BATCH`].
const BATCH_LEN: u32 = 40;

/// Tells a re-executed test binary that it is the child, and where the store is.
const CHILD: &str = "CLAVIGER_STORE_KILL_TEST_DIRECTORY";

const KILLS: u32 = 20;
const FIRST_START_KILLS: u32 = 30;

#[test]
fn commits_that_were_answered_survive_every_kill() {
    let directory = tempfile::tempdir().unwrap();
    let (mut last, mut unanswered) = (0, 0);
    for kill in 0..KILLS {
        let mut child = start_child(directory.path());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // At least one commit is answered; then the kill comes at an instant that differs each time.
        let mut answered = number(&lines.by_ref().find_map(commit_line).expect("the child commits"));
        thread::sleep(Duration::from_micros(u64::from(kill) * 1_733 % 20_000));
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines.filter_map(commit_line) {
            answered = number(&line);
        }
        assert!(answered > last, "the child went on where its predecessor was killed");

        let found = check(&FileStore::open(directory.path()).unwrap());
        assert!(
            found == answered || found == answered + 1,
            "kill {kill}: commit {answered} was answered and {found} found"
        );
        unanswered += found - answered;
        last = found;
    }
    println!("{last} commits, {unanswered} of {KILLS} kills came between a commit and its answer");
    check_nonces(directory.path(), last);
}

#[test]
fn a_first_start_survives_a_kill_at_any_instant() {
    let mut interrupted = 0;
    for kill in 0..FIRST_START_KILLS {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("state");
        let mut child = start_child(&directory);
        while !directory.exists() {
            thread::sleep(Duration::from_micros(20));
        }
        thread::sleep(Duration::from_micros(u64::from(kill) * 250));
        child.kill().unwrap();
        child.wait().unwrap();
        interrupted += u32::from(!directory.join("store.mark").exists());
        check(&FileStore::open(&directory).unwrap());
        check(&FileStore::open(&directory).unwrap());
    }
    println!("{interrupted} of {FIRST_START_KILLS} kills came before the first start was complete");
}

/// The child: not a test of its own, and a no-op but in a process that the tests above start.
#[test]
#[ignore = "started by the tests of this file, to be killed"]
fn child_commits_until_it_is_killed() {
    let Some(directory) = env::var_os(CHILD) else { return };
    let mut store = FileStore::open(Path::new(&directory)).unwrap();
    let mut stdout = std::io::stdout().lock();
    for next in check(&store) + 1.. {
        let changes = changes(next);
        let receipt = store.commit(&changes).unwrap();
        assert_eq!(receipt.changes(), BATCH_LEN as usize + 3);
        // One write, which a pipe takes as a whole or not at all.
        stdout.write_all(format!("\ncommit {next}\n").as_bytes()).unwrap();
        stdout.flush().unwrap();
    }
}

fn start_child(directory: &Path) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "child_commits_until_it_is_killed", "--ignored", "--nocapture"])
        .env(CHILD, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Passes the child's answers, and not what the test harness says.
fn commit_line(line: std::io::Result<String>) -> Option<String> {
    line.unwrap().strip_prefix("commit ").map(str::to_owned)
}

fn number(line: &str) -> u32 {
    line.parse().unwrap()
}

fn changes(commit: u32) -> Vec<Change> {
    let number = commit.to_be_bytes();
    let mut changes = vec![
        Change::put(COUNTER, RecordKey::new(*b"", *b"commits"), number.to_vec()),
        Change::remove_scope(BATCH, (commit - 1).to_be_bytes()),
        Change::put(HISTORY, RecordKey::new(*b"", number), number.to_vec()),
    ];
    changes.extend((0..BATCH_LEN).map(|item| {
        let value = number.repeat(1 + item as usize * 10);
        Change::put(BATCH, RecordKey::new(number, item.to_be_bytes()), value)
    }));
    changes
}

/// Checks that the store holds exactly what its number of commits makes, and returns the number.
fn check(store: &dyn Store) -> u32 {
    let records = |table| {
        let mut records = Vec::new();
        store
            .scan(table, &mut |key, value| {
                records.push((key.clone(), value.expose().to_vec()));
                Ok(())
            })
            .unwrap();
        records.sort();
        records
    };
    let counter = records(COUNTER);
    let commits = counter.first().map_or(0, |(_, value)| u32::from_be_bytes(value[..].try_into().unwrap()));

    let history: Vec<u32> =
        records(HISTORY).iter().map(|(_, value)| u32::from_be_bytes(value[..].try_into().unwrap())).collect();
    assert_eq!(history, (1..=commits).collect::<Vec<_>>(), "every commit left its record");

    let batch = records(BATCH);
    let expected = if commits == 0 { 0 } else { BATCH_LEN as usize };
    assert_eq!(batch.len(), expected, "the last commit is there as a whole, and the one before is gone");
    for (key, value) in batch {
        assert_eq!(key.scope, commits.to_be_bytes());
        assert!(value.chunks(4).all(|number| number == commits.to_be_bytes()));
    }
    commits
}

/// Checks that no two records are sealed under one epoch and counter, over all that the kills left.
fn check_nonces(directory: &Path, commits: u32) {
    let database = Database::open(directory.join("store.redb")).unwrap();
    let transaction = database.begin_read().unwrap();
    let (mut nonces, mut epochs, mut records) = (BTreeSet::new(), BTreeSet::new(), 0);
    for table in [COUNTER, BATCH, HISTORY] {
        let rows: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new(table.name());
        for row in transaction.open_table(rows).unwrap().iter().unwrap() {
            let (_, record) = row.unwrap();
            nonces.insert(record.value()[1..25].to_vec());
            epochs.insert(record.value()[1..17].to_vec());
            records += 1;
        }
    }
    assert_eq!(records, (commits + BATCH_LEN + 1) as usize);
    assert_eq!(nonces.len(), records);
    assert!(epochs.len() >= KILLS as usize, "each opening that committed has its own epoch");
}
