//! The files that remember guards: one for each group in a state directory, for its user alone.
//!
//! A file is written whole beside its place, synchronised and renamed before its guard is made, and removed when the
//! guard is gone: a process that is killed at any instant leaves no guard that nobody remembers.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read},
    net::IpAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

use claviger_files::durable;
use claviger_group::GroupId;
use serde::{Deserialize, Serialize};

use crate::{
    exit::{Exit, Failure, Outcome},
    settings::paths::file_name,
};

/// How the names of the files begin and end; between stands the group's name.
const PREFIX: &str = "guard-";
const SUFFIX: &str = ".json";

/// What a file is called until it is whole.
const NEW_FILE_NAME: &str = "guard.new";

/// The most octets of a file: a group's name has at most 255, each written with at most six.
const FILE_LEN_MAX: u64 = 4096;

const FILE_MODE: u32 = 0o600;

/// A guard that a state directory remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remembered {
    /// The group.
    pub(crate) group: GroupId,
    /// The address that is guarded.
    pub(crate) address: IpAddr,
}

/// What stands in a file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    group: String,
    address: IpAddr,
}

/// Names the file of a group.
pub(super) fn path(state_dir: &Path, group: &GroupId) -> PathBuf {
    state_dir.join(format!("{PREFIX}{}{SUFFIX}", file_name(group)))
}

/// Reads what a state directory remembers of a group.
pub(super) fn find(state_dir: &Path, group: &GroupId) -> Outcome<Option<Remembered>> {
    let path = path(state_dir, group);
    let Some(remembered) = read(&path)? else { return Ok(None) };
    if remembered.group != *group {
        return Err(unusable(&path, "names another group"));
    }
    Ok(Some(remembered))
}

/// Reads all that a state directory remembers, in the order of the files' names: each guard, or what is wrong with its
/// file.
pub(super) fn all(state_dir: &Path) -> Outcome<Vec<Outcome<Remembered>>> {
    let entries = match fs::read_dir(state_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unusable(state_dir, &error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let name = entry.map_err(|error| unusable(state_dir, &error))?.file_name();
        if name.to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX)) {
            paths.push(state_dir.join(name));
        }
    }
    paths.sort();
    Ok(paths.iter().filter_map(|path| read(path).transpose()).collect())
}

/// Writes a file, durably.
pub(super) fn write(state_dir: &Path, remembered: &Remembered) -> Outcome {
    let path = path(state_dir, &remembered.group);
    let record = Record { group: remembered.group.to_string(), address: remembered.address };
    let mut text = serde_json::to_string(&record).map_err(|error| unusable(&path, &error))?;
    text.push('\n');
    durable::replace_by(&state_dir.join(NEW_FILE_NAME), &path, text.as_bytes(), FILE_MODE)
        .map_err(|error| unusable(&path, &error))
}

/// Removes the file of a group, if there is one.
pub(super) fn remove(state_dir: &Path, group: &GroupId) -> Outcome {
    let path = path(state_dir, group);
    match fs::remove_file(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        removed => removed,
    }
    .and_then(|()| durable::synchronise(&path))
    .map_err(|error| unusable(&path, &error))
}

fn read(path: &Path) -> Outcome<Option<Remembered>> {
    let text = match read_text(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(path, &error)),
    };
    let record: Record = serde_json::from_str(&text).map_err(|error| unusable(path, &error))?;
    let group = GroupId::from_str(&record.group).map_err(|error| unusable(path, &error))?;
    if !record.address.is_multicast() {
        return Err(unusable(path, &format!("{} is no multicast address", record.address)));
    }
    Ok(Some(Remembered { group, address: record.address }))
}

fn read_text(path: &Path) -> io::Result<String> {
    let file = claviger_files::open(path, OpenOptions::new().read(true))?;
    if file.metadata()?.len() > FILE_LEN_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is too long"));
    }
    let mut text = String::new();
    file.take(FILE_LEN_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn unusable(path: &Path, what: &(impl std::fmt::Display + ?Sized)) -> Failure {
    Failure::new(Exit::Configuration, format!("cannot use {}: {what}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    fn remembered(group: &str, address: &str) -> Remembered {
        Remembered { group: group.parse().unwrap(), address: address.parse().unwrap() }
    }

    #[test]
    fn what_was_written_is_read_and_what_was_removed_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let all_of = || all(directory.path()).unwrap().into_iter().map(Result::unwrap).collect::<Vec<_>>();
        assert_eq!(all(&directory.path().join("none")).unwrap(), vec![]);
        let groups = [
            remembered("../a b\"\u{e9}", "ff15::7"),
            remembered("#7", "239.192.7.7"),
            remembered("x", "239.1.1.1"),
        ];
        for guard in &groups {
            assert_eq!(find(directory.path(), &guard.group).unwrap(), None);
            write(directory.path(), guard).unwrap();
            assert_eq!(find(directory.path(), &guard.group).unwrap().as_ref(), Some(guard));
            assert_eq!(fs::metadata(path(directory.path(), &guard.group)).unwrap().mode() & 0o777, 0o600);
        }
        assert_eq!(all_of().len(), groups.len());
        remove(directory.path(), &groups[0].group).unwrap();
        remove(directory.path(), &groups[0].group).expect("a second time changes nothing");
        assert_eq!(all_of(), groups[1..]);
        assert!(!directory.path().join(NEW_FILE_NAME).exists());
    }

    #[test]
    fn a_kill_while_a_file_was_written_leaves_none() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(NEW_FILE_NAME), "{\"group\"").unwrap();
        assert_eq!(all(directory.path()).unwrap(), vec![]);
        write(directory.path(), &remembered("x", "239.1.1.1")).unwrap();
        assert_eq!(all(directory.path()).unwrap().len(), 1);
    }

    #[test]
    fn a_file_that_is_no_memory_of_a_guard_is_an_error_that_names_it() {
        let directory = tempfile::tempdir().unwrap();
        let group = "x".parse().unwrap();
        let path = path(directory.path(), &group);
        for (text, mode, sentence) in [
            ("", 0o600, "EOF while parsing"),
            ("{\"group\":\"x\"}", 0o600, "missing field `address`"),
            ("{\"group\":\"x\",\"address\":\"239.1.1.1\",\"more\":1}", 0o600, "unknown field `more`"),
            ("{\"group\":\"x\",\"address\":\"192.0.2.1\"}", 0o600, "192.0.2.1 is no multicast address"),
            ("{\"group\":\"y\",\"address\":\"239.1.1.1\"}", 0o600, "names another group"),
            ("{\"group\":\"x\",\"address\":\"239.1.1.1\"}", 0o622, "other users can write to it"),
            (&" ".repeat(5_000), 0o600, "it is too long"),
        ] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let failure = find(directory.path(), &group).unwrap_err();
            assert_eq!(failure.exit, Exit::Configuration);
            assert!(failure.message.contains("guard-x.json"), "{}", failure.message);
            assert!(failure.message.contains(sentence), "{}", failure.message);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        fs::rename(&path, directory.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink(directory.path().join("elsewhere"), &path).unwrap();
        let failure = find(directory.path(), &group).unwrap_err();
        assert!(failure.message.ends_with("it is a symbolic link"), "{}", failure.message);
    }
}
