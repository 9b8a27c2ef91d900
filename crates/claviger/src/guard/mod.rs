//! Guards: what keeps packets for a group's address from leaving this host in the clear, whatever becomes of the daemon.
//!
//! A member with a TUN device has programs of the host send to its group. Its guard (`claviger_net::guard`) stands from
//! `claviger join` until `claviger release`, and a state directory remembers it, so that it can be made again after the
//! host was started anew.
//!
//! | module | what |
//! |---|---|
//! | [`file`] | the files that remember guards |
//! | [`listing`] | the guards of a host, remembered and others |

mod file;
pub(crate) mod listing;

use std::{
    collections::BTreeSet,
    fs::{self, File},
    net::IpAddr,
    os::unix::ffi::OsStrExt,
    path::{self, Path, PathBuf},
};

use claviger_crypto::{hash::HashAlgorithm, provider};
use claviger_files::FileError;
use claviger_group::GroupId;
use claviger_net::{Guard, guard};
use nix::fcntl::{Flock, FlockArg};

use crate::{
    exit::{Exit, Failure, Outcome},
    settings::paths::file_name,
};
pub(crate) use file::Remembered;

/// Octets of the digest that the name of a guard's chain has.
const NAME_DIGEST_LEN: usize = 8;

/// The guards of one state directory.
#[derive(Debug, Clone)]
pub(crate) struct Guards {
    state_dir: PathBuf,
    /// The state directory by its one name, which tells guards of different directories apart.
    whole_path: PathBuf,
}

/// What became of a guard that was to be taken down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Release {
    /// There was none.
    Nothing,
    /// It is gone; others may guard the same address still, and say so of themselves.
    Done { address: IpAddr, others: Vec<String> },
}

impl Guards {
    /// Names the guards of a state directory, which need not be there.
    pub(crate) fn of(state_dir: &Path) -> Self {
        let whole = fs::canonicalize(state_dir).or_else(|_| path::absolute(state_dir));
        Self { state_dir: state_dir.into(), whole_path: whole.unwrap_or_else(|_| state_dir.into()) }
    }

    /// Names the guards of a state directory and of those in it: a host with several members has a directory for each.
    pub(crate) fn below(state_dir: &Path) -> Vec<Self> {
        let entries = fs::read_dir(state_dir).into_iter().flatten().flatten();
        let mut directories: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        directories.retain(|path| path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()));
        directories.sort();
        std::iter::once(state_dir.to_path_buf()).chain(directories).map(|path| Self::of(&path)).collect()
    }

    /// Shows the state directory.
    pub(crate) fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// Says what is remembered of a group.
    pub(crate) fn find(&self, group: &GroupId) -> Outcome<Option<Remembered>> {
        file::find(&self.state_dir, group)
    }

    /// Lists what is remembered: each guard, or what is wrong with its file. Of a directory that is not this user's own
    /// nothing is believed.
    pub(crate) fn remembered(&self) -> Outcome<Vec<Outcome<Remembered>>> {
        let found = file::all(&self.state_dir)?;
        match claviger_files::check_directory(&self.state_dir) {
            Err(FileError::Refused(refused)) if !found.is_empty() => {
                Err(Failure::new(Exit::Configuration, format!("guards are not believed: {refused}")))
            }
            Ok(()) | Err(_) => Ok(found),
        }
    }

    /// Remembers a guard durably, and makes it.
    pub(crate) fn hold(&self, wanted: &Remembered) -> Outcome<Guard> {
        let _lock = self.lock()?;
        if self.find(&wanted.group)?.as_ref() != Some(wanted) {
            file::write(&self.state_dir, wanted)?;
        }
        let guard = self.guard(wanted);
        guard.raise()?;
        Ok(guard)
    }

    /// Makes a guard again that is remembered. Says whether anything of it was missing; `None` if it is remembered no
    /// more.
    pub(crate) fn restore(&self, remembered: &Remembered) -> Outcome<Option<bool>> {
        let _lock = self.lock()?;
        if self.find(&remembered.group)?.as_ref() != Some(remembered) {
            return Ok(None);
        }
        Ok(Some(!self.guard(remembered).raise()?.is_whole()))
    }

    /// Takes down the guard of a group and forgets it. No daemon may run with this state directory meanwhile.
    pub(crate) fn release(&self, group: &GroupId) -> Outcome<Release> {
        let is_there = self.state_dir.is_dir();
        let _lock = if is_there { Some(self.lock()?) } else { None };
        let name = self.name(group);
        let remembered = if is_there { self.find(group)? } else { None };
        let standing = guard::guards()?;
        let found = standing.iter().find(|found| found.name == name);
        // They are one, unless somebody has written the file by hand.
        let remembered = remembered.map(|remembered| remembered.address);
        let standing_at = found.and_then(|found| found.address);
        let Some(address) = remembered.or(standing_at) else { return Ok(Release::Nothing) };
        for address in BTreeSet::from_iter([Some(address), standing_at]).into_iter().flatten() {
            self.guard(&Remembered { group: group.clone(), address }).release()?;
        }
        // Only now: whoever ends this process before can repeat it.
        if is_there {
            file::remove(&self.state_dir, group)?;
        }
        let others =
            standing.into_iter().filter(|other| other.name != name && other.address == Some(address));
        Ok(Release::Done { address, others: others.map(|other| other.comment).collect() })
    }

    /// Describes the guard of what is remembered.
    pub(crate) fn guard(&self, remembered: &Remembered) -> Guard {
        let Remembered { group, address } = remembered;
        let comment = format!("{} in {}", file_name(group), self.whole_path.display());
        Guard::new(*address, self.name(group), comment)
    }

    /// Names the chain of a group's guard: no two groups of a host, in whatever directories, have one name.
    pub(crate) fn name(&self, group: &GroupId) -> String {
        let hash = provider().hash(HashAlgorithm::Sha256).expect("the default provider has SHA-256");
        let kind = [group.id_type().0];
        let digest = hash.digest(&[self.whole_path.as_os_str().as_bytes(), &[0], &kind, group.octets()]);
        let digits: String =
            digest.iter().take(NAME_DIGEST_LEN).map(|octet| format!("{octet:02x}")).collect();
        format!("group-{digits}")
    }

    /// Keeps other processes from making and removing guards of this directory at the same time.
    fn lock(&self) -> Outcome<Flock<File>> {
        let failed = |error: std::io::Error| {
            let path = self.state_dir.display();
            Failure::new(Exit::Configuration, format!("cannot lock {path}: {error}"))
        };
        let directory = File::open(&self.state_dir).map_err(failed)?;
        Flock::lock(directory, FlockArg::LockExclusive).map_err(|(_, error)| failed(error.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guards_have_names_of_their_own() {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let [outside, inside] = [directory.path(), &inner].map(Guards::of);
        let detour = Guards::of(&inner.join("../inner/."));
        let name = |guards: &Guards, group: &str| guards.name(&group.parse().unwrap());
        assert_eq!(name(&inside, "x"), name(&detour, "x"));
        assert_ne!(name(&inside, "x"), name(&outside, "x"));
        assert_ne!(name(&inside, "x"), name(&inside, "y"));
        assert_eq!(name(&inside, "#16"), name(&inside, "0x00000010"));
        let long = name(&inside, &"x".repeat(255));
        assert!(long.starts_with("group-") && long.len() == 22, "{long}");
    }

    #[test]
    fn the_directories_in_a_directory_are_looked_at_too() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["b", "a"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        fs::write(directory.path().join("file"), "").unwrap();
        std::os::unix::fs::symlink("a", directory.path().join("link")).unwrap();
        let found: Vec<_> =
            Guards::below(directory.path()).iter().map(|guards| guards.state_dir.clone()).collect();
        assert_eq!(found, [directory.path().into(), directory.path().join("a"), directory.path().join("b")]);
        let none = directory.path().join("none");
        assert_eq!(Guards::below(&none).len(), 1);
        assert_eq!(Guards::of(&none).remembered().unwrap(), vec![]);
    }

    #[test]
    fn of_a_directory_that_others_can_write_to_or_exchange_nothing_is_believed() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let remembered = Remembered { group: "x".parse().unwrap(), address: "239.1.1.1".parse().unwrap() };
        file::write(directory.path(), &remembered).unwrap();
        let guards = Guards::of(directory.path());
        assert_eq!(guards.remembered().unwrap(), [Ok(remembered)]);
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(guards.remembered().unwrap_err().exit, Exit::Configuration);
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let other = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(directory.path(), other.path().join("link")).unwrap();
        let linked = Guards::of(&other.path().join("link"));
        assert_eq!(linked.remembered().unwrap_err().exit, Exit::Configuration);
    }
}
