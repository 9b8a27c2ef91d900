//! The store in a directory.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    io,
    path::Path,
};

use claviger_crypto::{SystemRandom, erase_stack, provider};
use claviger_sansio::durable::{Change, Receipt, Table};
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, TableError};

use crate::{
    Notice, Store, StoreError,
    directory::LockedDirectory,
    first_start::{self, DATABASE, OWN, ROW_COMMITS},
    key_file::KEY_FILE,
    mark::{MARK, Mark},
    seal::{INDEX_LEN, Opener, Sealer, StoreKeys},
    store::{Each, check_lengths},
};

/// Keeps records sealed in a redb database. The crate's documentation tells the files, the format and the threats.
pub struct FileStore {
    // Dropped in this order: the database is closed before the lock is given up.
    database: Database,
    commits: u64,
    mark: Mark,
    sealer: Sealer,
    keys: StoreKeys,
    notices: Vec<Notice>,
    directory: LockedDirectory,
}

/// Says whether a directory holds anything of a store: its key, database or mark.
pub fn is_begun(directory: &Path) -> bool {
    [KEY_FILE, DATABASE, MARK].iter().any(|name| directory.join(name).symlink_metadata().is_ok())
}

impl FileStore {
    /// Opens the store in `directory`; makes directory, key and database where there never were any.
    ///
    /// The whole database is read and its checksums are verified, so this takes time in proportion to its size.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`] while another process has it open; the `Key` errors if the key file is not exactly as
    /// it was made; [`StoreError::DatabaseMissing`], [`StoreError::RolledBack`], [`StoreError::Damaged`] or [`StoreError::NewerFormat`] if
    /// the database is not; [`StoreError::File`] if the system refuses.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let mut random = SystemRandom::new()?;
        let directory = LockedDirectory::lock(directory)?;
        first_start::remove_leftovers(&directory)?;
        let notices = first_start::notices(&directory)?;
        let key = first_start::key(&directory, &mut random)?;
        let keys = StoreKeys::derive(provider(), &key)?;
        let (database, commits) = first_start::database(&directory, &keys)?;
        let mark = Mark::open(&directory, &keys, commits)?;
        let sealer = Sealer::new(&keys, &mut random)?;
        // Without a commit there is nothing that could be lost: a first start was interrupted before the mark.
        let may_be_lost = |notice: &Notice| commits > 0 || matches!(notice, Notice::BegunEmpty { .. });
        let notices = notices.into_iter().filter(may_be_lost).collect();
        Ok(Self { database, commits, mark, sealer, keys, notices, directory })
    }

    /// Shows what was found at the opening that may be a loss.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// Returns the directory that it is in.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

impl Store for FileStore {
    fn commit<'c>(&mut self, changes: &'c [Change]) -> Result<Receipt<'c>, StoreError> {
        check_lengths(changes)?;
        if !changes.is_empty() {
            let rows = changes
                .iter()
                .map(|change| Row::new(&self.keys, &mut self.sealer, change))
                .collect::<Result<Vec<_>, _>>()?;
            let commits = self.commits + 1;
            write(&self.database, &rows, commits).map_err(|error| damage(&self.directory, error))?;
            self.commits = commits;
            self.mark.advance(&self.keys, commits)?;
            erase_stack();
        }
        Ok(Receipt::attest(changes))
    }

    fn scan(&self, table: Table, each: &mut Each<'_>) -> Result<(), StoreError> {
        let mut opener = Opener::new(&self.keys);
        let Some(records) = read(&self.database, table).map_err(|error| damage(&self.directory, error))?
        else {
            return Ok(());
        };
        for record in records.iter().map_err(|error| damage(&self.directory, error))? {
            let (index, record) = record.map_err(|error| damage(&self.directory, error))?;
            let (key, value) = opener
                .open(table, index.value(), record.value())
                .map_err(|_| StoreError::Corrupt { table })?;
            each(&key, value)?;
        }
        erase_stack();
        Ok(())
    }
}

impl std::fmt::Debug for FileStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileStore").field("directory", &self.directory()).finish_non_exhaustive()
    }
}

type Records = redb::ReadOnlyTable<&'static [u8; INDEX_LEN], &'static [u8]>;

/// A change as the database sees it.
struct Row {
    table: Table,
    edit: Edit,
}

enum Edit {
    Insert([u8; INDEX_LEN], Vec<u8>),
    Remove([u8; INDEX_LEN]),
    RemoveBetween([u8; INDEX_LEN], [u8; INDEX_LEN]),
}

impl Row {
    fn new(keys: &StoreKeys, sealer: &mut Sealer, change: &Change) -> Result<Self, StoreError> {
        let table = change.table();
        let edit = match change {
            Change::Put { key, value, .. } => {
                let index = keys.index(table, key);
                Edit::Insert(index, sealer.seal(table, &index, key, value)?)
            }
            Change::Remove { key, .. } => Edit::Remove(keys.index(table, key)),
            Change::RemoveScope { scope, .. } => {
                let (low, high) = keys.scope_bounds(table, scope);
                Edit::RemoveBetween(low, high)
            }
        };
        Ok(Self { table, edit })
    }
}

/// Applies rows in one transaction and waits until the disk has them.
fn write(database: &Database, rows: &[Row], commits: u64) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    // With one phase, redb takes a damaged last commit for an interrupted one, and goes back to the one before.
    transaction.set_two_phase_commit(true);
    transaction.open_table(OWN)?.insert(ROW_COMMITS, &commits.to_be_bytes()[..])?;
    {
        let mut tables = BTreeMap::new();
        for row in rows {
            let table = match tables.entry(row.table) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => entry.insert(transaction.open_table(definition(row.table))?),
            };
            match &row.edit {
                Edit::Insert(index, record) => drop(table.insert(index, record.as_slice())?),
                Edit::Remove(index) => drop(table.remove(index)?),
                Edit::RemoveBetween(low, high) => {
                    table.retain_in::<&[u8; INDEX_LEN], _>(low..=high, |_, _| false)?
                }
            }
        }
    }
    transaction.commit()?;
    Ok(())
}

/// Opens a table for reading; there is none before its first record.
fn read(database: &Database, table: Table) -> Result<Option<Records>, redb::Error> {
    match database.begin_read()?.open_table(definition(table)) {
        Ok(records) => Ok(Some(records)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn definition(table: Table) -> TableDefinition<'static, &'static [u8; INDEX_LEN], &'static [u8]> {
    TableDefinition::new(table.name())
}

/// Tells damage from what the system refused and from a second process.
#[expect(clippy::wildcard_enum_match_arm, reason = "whatever else redb finds is damage")]
pub(crate) fn damage(directory: &LockedDirectory, error: impl Into<redb::Error>) -> StoreError {
    let path = directory.file(DATABASE);
    match error.into() {
        redb::Error::DatabaseAlreadyOpen => StoreError::InUse { directory: directory.path().to_owned() },
        redb::Error::Io(source)
            if !matches!(source.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
        {
            StoreError::File { action: "use", path, source }
        }
        error => StoreError::Damaged { path, source: Box::new(error) },
    }
}
