//! The files that keep host identities: PKCS #8 in PEM, or the URI of a key in a token, for their user alone.
//!
//! A process that is killed at any instant leaves either no identity or a whole one, and no identity is ever replaced.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use claviger_crypto::{erase_stack, provider, sign::KeyAlgorithm};
use claviger_identity::{DomainIdentifier, HostIdentity};

use crate::{
    exit::{Exit, Failure, Outcome},
    key_file::{self, KeyFile},
    lock::IdentityLock,
    settings::{identity::IdentityName, new_key::NewKey},
};

/// How the names of identities' files end.
const SUFFIX: &str = ".pem";

/// The kind of identity that is made when nobody chose: the smallest signatures that every HIPv2 host must verify.
pub(crate) const ALGORITHM_DEFAULT: KeyAlgorithm = KeyAlgorithm::EcdsaP256;

/// Names the file of an identity in a state directory.
pub(crate) fn path(state_dir: &Path, name: &IdentityName) -> PathBuf {
    state_dir.join(name.file_stem() + SUFFIX)
}

/// Lists the identities of a state directory: the first, then the others by name.
pub(crate) fn all(state_dir: &Path) -> Outcome<Vec<IdentityName>> {
    let unreadable = |error: io::Error| {
        Failure::new(Exit::Configuration, format!("cannot read {}: {error}", state_dir.display()))
    };
    let entries = match fs::read_dir(state_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let file = entry.map_err(unreadable)?.file_name();
        let stem = file.to_str().and_then(|file| file.strip_suffix(SUFFIX));
        names.extend(stem.and_then(IdentityName::of_file_stem));
    }
    names.sort();
    Ok(names)
}

/// Reads an identity of a state directory; `None` if there is no file. A file that is open to other users, or theirs, or
/// a symbolic link, or that holds no private key, is an error and is left as it is.
pub(crate) fn load(state_dir: &Path, name: &IdentityName) -> Outcome<Option<HostIdentity>> {
    let path = path(state_dir, name);
    let file = key_file(&path);
    let Some(key) = file.load()? else { return Ok(None) };
    let identity = HostIdentity::new(provider(), key, DomainIdentifier::None);
    let identity = identity.map_err(|error| file.unusable("holds no identity", &error))?;
    Ok(Some(identity))
}

/// Makes an identity and its file, unless a key server's store in the directory shows that there was one.
pub(crate) fn create(lock: &IdentityLock, new: &NewKey) -> Outcome<HostIdentity> {
    let path = path(lock.state_dir(), lock.name());
    if path.symlink_metadata().is_ok() {
        return Err(exists(lock.name(), &path));
    }
    // The first identity is made before the store, so no kill leaves a store without one.
    if *lock.name() == IdentityName::FIRST && claviger_store::is_begun(lock.state_dir()) {
        return Err(lost(&path));
    }
    let (key, text) = key_file::make(new)?;
    let identity = HostIdentity::new(provider(), key, DomainIdentifier::None)
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot make an identity: {error}")))?;
    let file = key_file(&path);
    file.create(&text).map_err(|error| {
        let is_there = error.kind() == io::ErrorKind::AlreadyExists;
        if is_there { exists(lock.name(), &path) } else { file.unusable("cannot be written", &error) }
    })?;
    Ok(identity)
}

/// Reads the first identity of a state directory, or makes one where there is none. Says which it did: `true` for made.
/// One with a name is only read: a slip of the pen is no wish for another identity.
pub(crate) fn load_or_create(lock: &IdentityLock) -> Outcome<(HostIdentity, bool)> {
    let identity = match load(lock.state_dir(), lock.name())? {
        Some(identity) => (identity, false),
        None if *lock.name() == IdentityName::FIRST => {
            (create(lock, &NewKey::Made(ALGORITHM_DEFAULT))?, true)
        }
        None => return Err(missing(lock.state_dir(), lock.name())),
    };
    erase_stack();
    Ok(identity)
}

/// Says that there is no such identity.
pub(crate) fn missing(state_dir: &Path, name: &IdentityName) -> Failure {
    let directory = state_dir.display();
    let message = match name.name() {
        None => format!("there is no identity in {directory}"),
        Some(name) => format!("there is no identity {name} in {directory}"),
    };
    Failure::new(Exit::Configuration, message).hint(format!("claviger identity new{}", name.option()))
}

fn key_file(path: &Path) -> KeyFile<'_> {
    KeyFile { what: "the identity file", path, if_read: "make a new identity" }
}

fn exists(name: &IdentityName, path: &Path) -> Failure {
    let message = format!("there is an identity already: {}", path.display());
    Failure::new(Exit::Failed, message).hint(format!(
        "claviger identity show{}; an identity is replaced only by moving its file away",
        name.option()
    ))
}

fn lost(path: &Path) -> Failure {
    let shown = path.display();
    let message = format!(
        "the identity file {shown} is missing, and the key server's store beside it belongs to that identity; no new one is made"
    );
    Failure::new(Exit::Configuration, message)
        .hint("restore the file, or move the store's files (store.*) away too to begin anew")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const FIRST: IdentityName = IdentityName::FIRST;
    const ED25519: NewKey = NewKey::Made(KeyAlgorithm::Ed25519);

    fn load(state_dir: &Path) -> Outcome<Option<HostIdentity>> {
        super::load(state_dir, &FIRST)
    }

    fn path(state_dir: &Path) -> PathBuf {
        super::path(state_dir, &FIRST)
    }

    fn locked() -> (tempfile::TempDir, IdentityLock) {
        let directory = tempfile::tempdir().unwrap();
        let lock = IdentityLock::acquire(directory.path(), &FIRST, "test").unwrap();
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
        assert_eq!(fs::metadata(path(directory.path())).unwrap().permissions().mode() & 0o777, 0o600);
        let failure = create(&lock, &ED25519).unwrap_err();
        assert!(failure.message.starts_with("there is an identity already: "));
        assert_eq!(load(directory.path()).unwrap().unwrap().hit(), made.hit());
    }

    #[test]
    fn a_host_has_several_identities() {
        let (directory, lock) = locked();
        let first = create(&lock, &ED25519).unwrap().hit();
        let mut hits = vec![first];
        for name in ["b", "a"] {
            let name = name.parse().unwrap();
            let lock = IdentityLock::acquire(directory.path(), &name, "test").unwrap();
            let failure = load_or_create(&lock).unwrap_err();
            assert!(failure.message.starts_with(&format!("there is no identity {name} in ")));
            assert_eq!(failure.hint, Some(format!("claviger identity new --name {name}")));
            hits.push(create(&lock, &ED25519).unwrap().hit());
            assert_eq!(super::load(directory.path(), &name).unwrap().unwrap().hit(), hits[hits.len() - 1]);
        }
        let names: Vec<String> = all(directory.path()).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["-", "a", "b"]);
        hits.sort();
        hits.dedup();
        assert_eq!(hits.len(), 3);
        assert_eq!(all(&directory.path().join("none")), Ok(vec![]));
    }

    #[test]
    fn a_kill_while_the_file_was_written_leaves_no_identity() {
        let (directory, lock) = locked();
        fs::write(directory.path().join("identity.pem.new"), "-----BEGIN PRIV").unwrap();
        assert!(load(directory.path()).unwrap().is_none());
        create(&lock, &ED25519).unwrap();
        assert!(!directory.path().join("identity.pem.new").exists());
        assert!(load(directory.path()).unwrap().is_some());
    }

    #[test]
    fn an_identity_that_is_lost_beside_a_store_is_never_made_anew() {
        for name in ["store.redb", "store.key", "store.mark"] {
            let (directory, lock) = locked();
            fs::write(directory.path().join(name), "").unwrap();
            for failure in [load_or_create(&lock).unwrap_err(), create(&lock, &ED25519).unwrap_err()] {
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
            ("", 0o600, "holds no key: text is no PKCS #8"),
            ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", 0o600, "holds no key: "),
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
        create(&other, &ED25519).unwrap();
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
