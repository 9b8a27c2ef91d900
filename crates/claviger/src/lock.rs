//! One identity is in use by one process.
//!
//! Two processes with one identity would take each other's associations away at the key server, which knows hosts by
//! their HIT. The lock is the kernel's, so that a killed process leaves none behind.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process,
};

use nix::fcntl::{Flock, FlockArg};

use crate::{
    exit::{Exit, Failure, Outcome},
    settings::identity::IdentityName,
};

/// The most that is read of the file, for the sentence that names the holder.
const HOLDER_LEN_MAX: u64 = 200;

/// How the name of a lock's file ends.
const SUFFIX: &str = ".lock";

/// A lock that other processes of the same user see, until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: Flock<File>,
}

/// Who has the lock, as ` (process 7, claviger join)`; empty if that is not known.
pub(crate) struct Holder(pub(crate) String);

impl Lock {
    /// Takes a lock, or says who has it. `what` names this process to others, as `claviger server`.
    pub(crate) fn acquire(path: &Path, what: &str) -> Outcome<Result<Self, Holder>> {
        let failed = |error: std::io::Error| {
            Failure::new(Exit::Configuration, format!("cannot lock {}: {error}", path.display()))
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = claviger_files::open(path, &mut options).map_err(|error| failed(error.into()))?;
        let mut file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => file,
            Err((file, nix::errno::Errno::EWOULDBLOCK)) => return Ok(Err(Holder::read(file))),
            Err((_, error)) => return Err(failed(error.into())),
        };
        let holder = format!("process {}, {what}\n", process::id());
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(holder.as_bytes()))
            .map_err(failed)?;
        Ok(Ok(Self { _file: file }))
    }
}

impl Holder {
    fn read(file: File) -> Self {
        let mut holder = String::new();
        let read = file.take(HOLDER_LEN_MAX).read_to_string(&mut holder);
        Self(match holder.lines().next() {
            Some(line) if read.is_ok() && !line.is_empty() => format!(" ({line})"),
            _ => String::new(),
        })
    }
}

/// The right to use an identity of a state directory, until it is dropped.
#[derive(Debug)]
pub(crate) struct IdentityLock {
    _lock: Lock,
    state_dir: PathBuf,
    name: IdentityName,
}

impl IdentityLock {
    /// Takes the lock of an identity in an existing state directory. `what` names this process to others, as
    /// `claviger server`.
    pub(crate) fn acquire(state_dir: &Path, name: &IdentityName, what: &str) -> Outcome<Self> {
        match Lock::acquire(&path(state_dir, name), what)? {
            Ok(lock) => Ok(Self { _lock: lock, state_dir: state_dir.into(), name: name.clone() }),
            Err(holder) => Err(in_use(state_dir, name, &holder)),
        }
    }

    /// Shows where the identity is.
    pub(crate) fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// Says which identity it is.
    pub(crate) fn name(&self) -> &IdentityName {
        &self.name
    }
}

/// Names the lock's file of an identity.
pub(crate) fn path(state_dir: &Path, name: &IdentityName) -> PathBuf {
    state_dir.join(name.file_stem() + SUFFIX)
}

fn in_use(state_dir: &Path, name: &IdentityName, Holder(holder): &Holder) -> Failure {
    let directory = state_dir.display();
    let identity = name.name().map_or_else(|| "identity".to_owned(), |name| format!("identity {name}"));
    let message = format!("the {identity} in {directory} is in use by another process{holder}");
    Failure::new(Exit::InUse, message)
        .hint("stop that process, or give this one an identity of its own with --state-dir DIR")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: IdentityName = IdentityName::FIRST;
    const FILE_NAME: &str = "identity.lock";

    #[test]
    fn the_second_process_learns_who_holds_the_identity() {
        let directory = tempfile::tempdir().unwrap();
        let lock = IdentityLock::acquire(directory.path(), &FIRST, "claviger server").unwrap();
        assert_eq!(lock.state_dir(), directory.path());
        let failure = IdentityLock::acquire(directory.path(), &FIRST, "claviger join").unwrap_err();
        assert_eq!(failure.exit, Exit::InUse);
        let sentence = format!(
            "the identity in {} is in use by another process (process {}, claviger server)",
            directory.path().display(),
            process::id()
        );
        assert_eq!(failure.message, sentence);
        drop(lock);
        IdentityLock::acquire(directory.path(), &FIRST, "claviger join").unwrap();
    }

    #[test]
    fn each_identity_has_a_lock_of_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let guest = "guest".parse().unwrap();
        let _first = IdentityLock::acquire(directory.path(), &FIRST, "x").unwrap();
        let lock = IdentityLock::acquire(directory.path(), &guest, "x").unwrap();
        assert_eq!(lock.name(), &guest);
        let failure = IdentityLock::acquire(directory.path(), &guest, "x").unwrap_err();
        assert!(failure.message.starts_with("the identity guest in "), "{}", failure.message);
    }

    #[test]
    fn a_lock_that_is_a_link_is_refused_and_what_it_points_to_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let victim = directory.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, directory.path().join(FILE_NAME)).unwrap();
        let failure = IdentityLock::acquire(directory.path(), &FIRST, "x").unwrap_err();
        assert!(failure.message.ends_with("is refused: it is a symbolic link"), "{}", failure.message);
        assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
    }

    #[test]
    fn an_earlier_holders_longer_name_leaves_no_trace() {
        let directory = tempfile::tempdir().unwrap();
        drop(IdentityLock::acquire(directory.path(), &FIRST, "claviger with a very long name").unwrap());
        let _lock = IdentityLock::acquire(directory.path(), &FIRST, "x").unwrap();
        let text = std::fs::read_to_string(directory.path().join(FILE_NAME)).unwrap();
        assert_eq!(text, format!("process {}, x\n", process::id()));
    }
}
