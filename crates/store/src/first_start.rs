//! What the first start makes, step by step, and what later starts must find.

use claviger_crypto::{Random, SecretBytes};
use redb::{
    Builder, Database, Durability, ReadOnlyTable, ReadableDatabase, TableDefinition, backends::FileBackend,
};

use crate::{
    Notice, StoreError,
    directory::{LockedDirectory, failure},
    file::damage,
    key_file::{self, KEY_FILE, KEY_FILE_NEW},
    mark::{self, MARK, MARK_NEW},
    seal::{CHECK_LEN, FORMAT, StoreKeys},
};

/// The database's name.
pub(crate) const DATABASE: &str = "store.redb";

/// The name it has while it is made.
const DATABASE_NEW: &str = "store.redb.new";

/// The store's own table. No core can name one like it.
pub(crate) const OWN: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("$store");

/// The row with the format, four octets.
const ROW_FORMAT: &str = "format";

/// The row with the key check.
const ROW_CHECK: &str = "check";

/// The row with the number of commits, eight octets.
pub(crate) const ROW_COMMITS: &str = "commits";

/// The memory that redb may use for its cache: the core has the state in memory, and reads here at start only.
const CACHE_BYTES: usize = 16 << 20;

/// Removes what a kill left of files in the making.
pub(crate) fn remove_leftovers(directory: &LockedDirectory) -> Result<(), StoreError> {
    for name in [KEY_FILE_NEW, DATABASE_NEW, MARK_NEW] {
        directory.remove_leftover(name)?;
    }
    Ok(())
}

/// Looks for what is missing before anything is made.
pub(crate) fn notices(directory: &LockedDirectory) -> Result<Vec<Notice>, StoreError> {
    let [key, database, mark] = [KEY_FILE, DATABASE, MARK].map(|name| directory.holds(name));
    Ok(match (key?, database?, mark?) {
        (true, false, false) => vec![Notice::BegunEmpty { key: directory.file(KEY_FILE) }],
        (true, true, false) => vec![Notice::MarkMissing { mark: directory.file(MARK) }],
        // All or none of them is there, or what is missing is refused.
        (_, _, true) | (false, _, false) => Vec::new(),
    })
}

/// Reads the key. Makes one only where nothing was ever kept under another.
pub(crate) fn key(directory: &LockedDirectory, random: &mut dyn Random) -> Result<SecretBytes, StoreError> {
    let path = directory.file(KEY_FILE);
    if !directory.holds(KEY_FILE)? {
        if directory.holds(DATABASE)? || mark::is_made(directory)? {
            return Err(StoreError::KeyMissing { path });
        }
        key_file::make(directory, random)?;
    }
    key_file::read(&path)
}

/// Opens the database, made first if there never was one, proves the key by it, and says how many commits it has.
pub(crate) fn database(directory: &LockedDirectory, keys: &StoreKeys) -> Result<(Database, u64), StoreError> {
    let path = directory.file(DATABASE);
    if !directory.holds(DATABASE)? {
        if mark::is_made(directory)? {
            return Err(StoreError::DatabaseMissing { path });
        }
        make_database(directory, keys)?;
    }
    // What redb opens by its path is this file: the directory is ours, so that nobody can exchange it.
    drop(directory.open(DATABASE)?);
    let mut builder = Builder::new();
    // Without this check redb trusts the file, and may panic on one that was altered.
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    let database = builder.open(&path).map_err(|error| damage(directory, error))?;
    let commits = prove_key(directory, &database, keys)?;
    Ok((database, commits))
}

fn make_database(directory: &LockedDirectory, keys: &StoreKeys) -> Result<(), StoreError> {
    let file = directory.create(DATABASE_NEW)?;
    let synced = file.try_clone().map_err(failure("open", &directory.file(DATABASE_NEW)))?;
    write_header(file, keys)?.map_err(|error| damage(directory, error))?;
    synced.sync_all().map_err(failure("sync", &directory.file(DATABASE_NEW)))?;
    drop(synced);
    directory.publish(DATABASE_NEW, DATABASE)
}

/// Writes format and key check into a new database, and closes it.
fn write_header(file: std::fs::File, keys: &StoreKeys) -> Result<Result<(), redb::Error>, StoreError> {
    let check = keys.check()?;
    let write = || -> Result<(), redb::Error> {
        let database = Builder::new().create_with_backend(FileBackend::new(file)?)?;
        let mut transaction = database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        transaction.set_two_phase_commit(true);
        {
            let mut own = transaction.open_table(OWN)?;
            own.insert(ROW_FORMAT, &FORMAT.to_be_bytes()[..])?;
            own.insert(ROW_CHECK, check.expose())?;
            own.insert(ROW_COMMITS, &0u64.to_be_bytes()[..])?;
        }
        transaction.commit()?;
        database.close()?;
        Ok(())
    };
    Ok(write())
}

fn prove_key(directory: &LockedDirectory, database: &Database, keys: &StoreKeys) -> Result<u64, StoreError> {
    let header = read_header(database).map_err(|error| damage(directory, error))?;
    let path = directory.file(DATABASE);
    // The format comes first: a newer one may have other rows.
    match header.format.map(u32::from_be_bytes) {
        Some(FORMAT) => {}
        Some(found) if found > FORMAT => {
            return Err(StoreError::NewerFormat { path, found, supported: FORMAT });
        }
        _ => return Err(StoreError::Damaged { path, source: "its format is not known".into() }),
    }
    let (Some(check), Some(commits)) = (header.check, header.commits) else {
        return Err(StoreError::Damaged { path, source: "its header is not complete".into() });
    };
    if !keys.proves(&check)? {
        return Err(StoreError::KeyWrong { path: directory.file(KEY_FILE) });
    }
    Ok(u64::from_be_bytes(commits))
}

/// The rows of the store's own table, each as far as it has its length.
struct Header {
    format: Option<[u8; 4]>,
    check: Option<[u8; CHECK_LEN]>,
    commits: Option<[u8; 8]>,
}

fn read_header(database: &Database) -> Result<Header, redb::Error> {
    let own = database.begin_read()?.open_table(OWN)?;
    Ok(Header {
        format: row(&own, ROW_FORMAT)?,
        check: row(&own, ROW_CHECK)?,
        commits: row(&own, ROW_COMMITS)?,
    })
}

fn row<const N: usize>(
    own: &ReadOnlyTable<&'static str, &'static [u8]>,
    name: &str,
) -> Result<Option<[u8; N]>, redb::Error> {
    Ok(own.get_owned(name)?.and_then(|row| row.value().try_into().ok()))
}
