//! The mark: how many commits were answered, kept beside the database so that an older database is noticed.

use std::{
    fs::File,
    io::{Read, Write},
    os::unix::fs::FileExt,
    path::PathBuf,
};

use claviger_wire::{DecodeError, Reader};

use crate::{
    StoreError,
    directory::{LockedDirectory, failure},
    first_start::DATABASE,
    seal::{MARK_PROOF_LEN, StoreKeys},
};

/// The file's name. It is there from the moment that the database was complete.
pub(crate) const MARK: &str = "store.mark";

/// The name it has while it is made.
pub(crate) const MARK_NEW: &str = "store.mark.new";

/// The octets of the mark: the number of commits, and a proof that this store wrote it.
const MARK_LEN: usize = 8 + MARK_PROOF_LEN;

/// The mark, open for writing.
pub(crate) struct Mark {
    file: File,
    path: PathBuf,
}

impl Mark {
    /// Compares the mark with a database of so many commits, or makes it if it is not there.
    pub(crate) fn open(
        directory: &LockedDirectory,
        keys: &StoreKeys,
        commits: u64,
    ) -> Result<Self, StoreError> {
        if !directory.holds(MARK)? {
            make(directory, keys, commits)?;
        }
        let path = directory.file(MARK);
        let file = directory.open(MARK)?;
        let mut octets = Vec::new();
        (&file).take(MARK_LEN as u64 + 1).read_to_end(&mut octets).map_err(failure("read", &path))?;
        let damaged = |source| StoreError::Damaged { path: path.clone(), source };
        let (answered, proof) = decode(&octets).map_err(|error| damaged(error.into()))?;
        if !keys.proves_mark(answered, &proof)? {
            return Err(damaged("it was not written with this key".into()));
        }
        if commits < answered {
            return Err(StoreError::RolledBack {
                path: directory.file(DATABASE),
                mark: path,
                found: commits,
                answered,
            });
        }
        Ok(Self { file, path })
    }

    /// Notes that so many commits are durable.
    ///
    /// It is not synced. A killed process leaves it to the system, which writes it; where the power fails, the mark
    /// is behind the database, never before it.
    pub(crate) fn advance(&self, keys: &StoreKeys, commits: u64) -> Result<(), StoreError> {
        self.file.write_all_at(&encode(keys, commits)?, 0).map_err(failure("write", &self.path))
    }
}

/// Says whether the database was complete once.
pub(crate) fn is_made(directory: &LockedDirectory) -> Result<bool, StoreError> {
    directory.holds(MARK)
}

fn make(directory: &LockedDirectory, keys: &StoreKeys, commits: u64) -> Result<(), StoreError> {
    let path = directory.file(MARK_NEW);
    let mut file = directory.create(MARK_NEW)?;
    file.write_all(&encode(keys, commits)?).map_err(failure("write", &path))?;
    file.sync_all().map_err(failure("sync", &path))?;
    directory.publish(MARK_NEW, MARK)
}

fn encode(keys: &StoreKeys, commits: u64) -> Result<Vec<u8>, StoreError> {
    Ok([&commits.to_be_bytes()[..], keys.mark_proof(commits)?.expose()].concat())
}

fn decode(octets: &[u8]) -> Result<(u64, [u8; MARK_PROOF_LEN]), DecodeError> {
    let mut r = Reader::new(octets);
    let mark = (r.u64("commits")?, r.array("proof")?);
    r.finish()?;
    Ok(mark)
}
