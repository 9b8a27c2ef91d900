//! The file that keeps a host identity: PKCS #8 in PEM, for its user alone.
//!
//! A new file is written whole beside its place, synchronised, and then linked into it, which fails if something
//! stands there: a process that is killed at any instant leaves either no identity or a whole one, and no identity is
//! ever replaced.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use claviger_crypto::{
    SecretBytes, SystemRandom, erase_stack, provider,
    sign::{KeyAlgorithm, SigningKey},
};
use claviger_files::{Fault, FileError, Refused};
use claviger_identity::{DomainIdentifier, HostIdentity, IdentityError, pem};

use crate::{
    exit::{Exit, Failure, Outcome},
    lock::IdentityLock,
};

/// The identity's file in a state directory.
pub(crate) const FILE_NAME: &str = "identity.pem";

/// Where a new identity is written before it is linked into its place.
const NEW_FILE_NAME: &str = "identity.pem.new";

/// The kind of identity that is made when nobody chose: the smallest signatures that every HIPv2 host must verify.
pub(crate) const ALGORITHM_DEFAULT: KeyAlgorithm = KeyAlgorithm::EcdsaP256;

/// The most octets of the file; the largest key that is accepted needs less than half.
const FILE_LEN_MAX: u64 = 16 * 1024;

const FILE_MODE: u32 = 0o600;
const OPEN_TO_OTHERS: u32 = 0o077;

/// Names the identity's file in a state directory.
pub(crate) fn path(state_dir: &Path) -> PathBuf {
    state_dir.join(FILE_NAME)
}

/// Reads the identity of a state directory; `None` if there is no file. A file that is open to other users, or
/// theirs, or a symbolic link, or that holds no private key, is an error and is left as it is.
pub(crate) fn load(state_dir: &Path) -> Outcome<Option<HostIdentity>> {
    let path = path(state_dir);
    let file = match claviger_files::open(&path, OpenOptions::new().read(true)) {
        Ok(file) => file,
        Err(error) if error.is_missing() => return Ok(None),
        Err(FileError::Refused(Refused { fault: Fault::Writable { mode }, .. })) => {
            return Err(open_to_others(&path, mode));
        }
        Err(error) => return Err(unusable(&path, "cannot be read", &error)),
    };
    let metadata = file.metadata().map_err(|error| unusable(&path, "cannot be read", &error))?;
    check(&path, &metadata)?;
    let pem = read(file, metadata.len()).map_err(|error| unusable(&path, "cannot be read", &error))?;
    let identity = HostIdentity::from_pem(provider(), pem.expose());
    let identity = identity.map_err(|error| unusable(&path, "holds no identity", &error))?;
    Ok(Some(identity))
}

/// Makes an identity and its file, unless a key server's store in the directory shows that there was one.
pub(crate) fn create(lock: &IdentityLock, algorithm: KeyAlgorithm) -> Outcome<HostIdentity> {
    let path = path(lock.state_dir());
    if path.symlink_metadata().is_ok() {
        return Err(exists(&path));
    }
    // The identity is made before the store, so no kill leaves a store without one.
    if claviger_store::is_begun(lock.state_dir()) {
        return Err(lost(&path));
    }
    let (identity, pem) = make(algorithm)
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot make an identity: {error}")))?;
    write_new(lock.state_dir(), &pem).map_err(|error| {
        let is_there = error.kind() == io::ErrorKind::AlreadyExists;
        if is_there { exists(&path) } else { unusable(&path, "cannot be written", &error) }
    })?;
    Ok(identity)
}

/// Makes an identity and the text of its file.
fn make(algorithm: KeyAlgorithm) -> Result<(HostIdentity, SecretBytes), IdentityError> {
    let key = SigningKey::generate(provider(), algorithm, &mut SystemRandom::new()?)?;
    let pem = pem::encode(key.pkcs8());
    Ok((HostIdentity::new(provider(), Box::new(key), DomainIdentifier::None)?, pem))
}

/// Reads the identity of a state directory, or makes one where there is none. Says which it did: `true` for made.
pub(crate) fn load_or_create(lock: &IdentityLock) -> Outcome<(HostIdentity, bool)> {
    let identity = match load(lock.state_dir())? {
        Some(identity) => (identity, false),
        None => (create(lock, ALGORITHM_DEFAULT)?, true),
    };
    erase_stack();
    Ok(identity)
}

fn check(path: &Path, metadata: &fs::Metadata) -> Outcome {
    let shown = path.display();
    if metadata.mode() & OPEN_TO_OTHERS != 0 {
        return Err(open_to_others(path, metadata.mode() & 0o7777));
    }
    if metadata.len() > FILE_LEN_MAX {
        let message = format!("the identity file {shown} has more than {FILE_LEN_MAX} octets");
        return Err(Failure::new(Exit::Configuration, message));
    }
    Ok(())
}

fn open_to_others(path: &Path, mode: u32) -> Failure {
    let shown = path.display();
    let message = format!("the identity file {shown} is open to other users (mode {mode:04o})");
    Failure::new(Exit::Configuration, message)
        .hint(format!("chmod 600 {shown}, and make a new identity if others may have read this one"))
}

fn read(file: File, length: u64) -> io::Result<SecretBytes> {
    let mut result = Ok(());
    let length = usize::try_from(length).unwrap_or(0);
    let mut file = file.take(FILE_LEN_MAX);
    let pem = SecretBytes::with(length, |octets| result = file.read_exact(octets));
    result.map(|()| pem)
}

fn write_new(state_dir: &Path, pem: &SecretBytes) -> io::Result<()> {
    let new = state_dir.join(NEW_FILE_NAME);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&new)?;
    file.write_all(pem.expose())?;
    file.sync_all()?;
    let linked = fs::hard_link(&new, path(state_dir));
    fs::remove_file(&new)?;
    linked?;
    File::open(state_dir)?.sync_all()
}

fn exists(path: &Path) -> Failure {
    let message = format!("there is an identity already: {}", path.display());
    Failure::new(Exit::Failed, message)
        .hint("claviger identity show; an identity is replaced only by moving its file away")
}

fn lost(path: &Path) -> Failure {
    let shown = path.display();
    let message = format!(
        "the identity file {shown} is missing, and the key server's store beside it belongs to that identity; no new one is made"
    );
    Failure::new(Exit::Configuration, message)
        .hint("restore the file, or move the store's files (store.*) away too to begin anew")
}

fn unusable(path: &Path, what: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Configuration, format!("the identity file {} {what}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn locked() -> (tempfile::TempDir, IdentityLock) {
        let directory = tempfile::tempdir().unwrap();
        let lock = IdentityLock::acquire(directory.path(), "test").unwrap();
        (directory, lock)
    }

    #[test]
    fn an_identity_is_made_once_and_read_again() {
        let (directory, lock) = locked();
        assert!(load(directory.path()).unwrap().is_none());
        let (made, is_new) = load_or_create(&lock).unwrap();
        assert!(is_new);
        let (again, is_new) = load_or_create(&lock).unwrap();
        assert!(!is_new);
        assert_eq!(again.hit(), made.hit());
        assert_eq!(fs::metadata(path(directory.path())).unwrap().mode() & 0o777, 0o600);
        let failure = create(&lock, KeyAlgorithm::Ed25519).unwrap_err();
        assert!(failure.message.starts_with("there is an identity already: "));
        assert_eq!(load(directory.path()).unwrap().unwrap().hit(), made.hit());
    }

    #[test]
    fn a_kill_while_the_file_was_written_leaves_no_identity() {
        let (directory, lock) = locked();
        fs::write(directory.path().join(NEW_FILE_NAME), "-----BEGIN PRIV").unwrap();
        assert!(load(directory.path()).unwrap().is_none());
        create(&lock, KeyAlgorithm::Ed25519).unwrap();
        assert!(!directory.path().join(NEW_FILE_NAME).exists());
        assert!(load(directory.path()).unwrap().is_some());
    }

    #[test]
    fn an_identity_that_is_lost_beside_a_store_is_never_made_anew() {
        for name in ["store.redb", "store.key", "store.mark"] {
            let (directory, lock) = locked();
            fs::write(directory.path().join(name), "").unwrap();
            for failure in
                [load_or_create(&lock).unwrap_err(), create(&lock, KeyAlgorithm::Ed25519).unwrap_err()]
            {
                assert_eq!(failure.exit, Exit::Configuration);
                assert!(
                    failure.message.contains("is missing, and the key server's store"),
                    "{}",
                    failure.message
                );
            }
            assert!(!path(directory.path()).exists());
        }
        // What an interrupted start leaves before there is a store is none.
        let (directory, lock) = locked();
        fs::write(directory.path().join("store.lock"), "").unwrap();
        load_or_create(&lock).unwrap();
    }

    #[test]
    fn bad_files_are_errors_and_never_replaced() {
        for (text, mode, sentence) in [
            ("", 0o600, "holds no identity: text is no PKCS #8"),
            ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", 0o600, "holds no identity: "),
            ("anything", 0o640, "is open to other users (mode 0640)"),
            ("anything", 0o604, "is open to other users (mode 0604)"),
            (&"x".repeat(20_000), 0o600, "has more than 16384 octets"),
        ] {
            let (directory, lock) = locked();
            let path = path(directory.path());
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let failure = load_or_create(&lock).unwrap_err();
            assert!(failure.message.contains(sentence), "{}", failure.message);
            assert_eq!(failure.exit, Exit::Configuration);
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        let (directory, lock) = locked();
        fs::create_dir(path(directory.path())).unwrap();
        assert!(load_or_create(&lock).unwrap_err().message.ends_with("it is not a regular file"));
    }

    #[test]
    fn an_identity_that_another_user_planted_is_not_taken_up() {
        let (directory, lock) = locked();
        let (elsewhere, other) = locked();
        create(&other, KeyAlgorithm::Ed25519).unwrap();
        std::os::unix::fs::symlink(path(elsewhere.path()), path(directory.path())).unwrap();
        let failure = load_or_create(&lock).unwrap_err();
        assert!(failure.message.ends_with("it is a symbolic link"), "{}", failure.message);
        fs::remove_file(path(directory.path())).unwrap();
        fs::rename(path(elsewhere.path()), path(directory.path())).unwrap();
        let us = nix::unistd::geteuid();
        // Only root can give a file away; for others it is tested in the crate `files`.
        if us.is_root() {
            std::os::unix::fs::chown(path(directory.path()), Some(4711), None).unwrap();
            let failure = load_or_create(&lock).unwrap_err();
            assert!(failure.message.contains("user 4711 owns it"), "{}", failure.message);
        }
    }
}
