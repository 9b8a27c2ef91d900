//! What the first start makes, step by step, and what later starts must find.

use claviger_crypto::{Random, SecretBytes};
use redb::{Builder, Database, Durability, ReadableDatabase, TableDefinition, backends::FileBackend};

use crate::{
    StoreError,
    directory::{LockedDirectory, failure},
    file::damage,
    key_file::{self, KEY_FILE, KEY_FILE_NEW},
    seal::{CHECK_LEN, FORMAT, StoreKeys},
};

/// The database's name.
pub(crate) const DATABASE: &str = "store.redb";

/// The name it has while it is made.
const DATABASE_NEW: &str = "store.redb.new";

/// The store's own table. No core can name one like it.
const OWN: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("$store");

/// The row with the format, four octets.
const ROW_FORMAT: &str = "format";

/// The row with the key check.
const ROW_CHECK: &str = "check";

/// The memory that redb may use for its cache: the core has the state in memory, and reads here at start only.
const CACHE_BYTES: usize = 16 << 20;

/// Removes what a kill left of files in the making.
pub(crate) fn remove_leftovers(directory: &LockedDirectory) -> Result<(), StoreError> {
    directory.remove_leftover(KEY_FILE_NEW)?;
    directory.remove_leftover(DATABASE_NEW)
}

/// Reads the key. Makes one only where nothing was ever kept under another.
pub(crate) fn key(directory: &LockedDirectory, random: &mut dyn Random) -> Result<SecretBytes, StoreError> {
    let path = directory.file(KEY_FILE);
    if !directory.holds(KEY_FILE)? {
        if directory.holds(DATABASE)? || directory.is_marked_made()? {
            return Err(StoreError::KeyMissing { path });
        }
        key_file::make(directory, random)?;
    }
    key_file::read(&path)
}

/// Opens the database, made first if there never was one, and proves the key by it.
pub(crate) fn database(directory: &mut LockedDirectory, keys: &StoreKeys) -> Result<Database, StoreError> {
    let path = directory.file(DATABASE);
    let made = directory.is_marked_made()?;
    if !directory.holds(DATABASE)? {
        if made {
            return Err(StoreError::DatabaseMissing { path });
        }
        make_database(directory, keys)?;
    }
    let mut builder = Builder::new();
    // Without this check redb trusts the file, and may panic on one that was altered.
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    let database = builder.open(&path).map_err(|error| damage(directory, error))?;
    prove_key(directory, &database, keys)?;
    if !made {
        directory.mark_made()?;
    }
    Ok(database)
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
        }
        transaction.commit()?;
        database.close()?;
        Ok(())
    };
    Ok(write())
}

fn prove_key(directory: &LockedDirectory, database: &Database, keys: &StoreKeys) -> Result<(), StoreError> {
    let (format, check) = read_header(database).map_err(|error| damage(directory, error))?;
    let path = directory.file(DATABASE);
    // The format comes first: a newer one may have another check.
    match format.map(u32::from_be_bytes) {
        Some(FORMAT) => {}
        Some(found) if found > FORMAT => {
            return Err(StoreError::NewerFormat { path, found, supported: FORMAT });
        }
        _ => return Err(StoreError::Damaged { path, source: "its format is not known".into() }),
    }
    let Some(check) = check else {
        return Err(StoreError::Damaged { path, source: "its key check is missing".into() });
    };
    if !keys.proves(&check)? {
        return Err(StoreError::KeyWrong { path: directory.file(KEY_FILE) });
    }
    Ok(())
}

type Header = (Option<[u8; 4]>, Option<[u8; CHECK_LEN]>);

fn read_header(database: &Database) -> Result<Header, redb::Error> {
    let own = database.begin_read()?.open_table(OWN)?;
    let format = own.get_owned(ROW_FORMAT)?.and_then(|row| row.value().try_into().ok());
    let check = own.get_owned(ROW_CHECK)?.and_then(|row| row.value().try_into().ok());
    Ok((format, check))
}
