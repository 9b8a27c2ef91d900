//! The directory of revocation lists: looked at again and again, and read when something in it has changed.
//!
//! A file that cannot be read, because it is half copied, say, takes nothing away: what was read of it before holds on.
//! Only a file that is gone takes its lists with it. Who signed a list is for those to judge who go by it, so a file may be
//! anybody's; the directory is this user's or the administrator's, for who can take a list away lets revoked hosts in.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fmt, fs,
    fs::OpenOptions,
    io::Read,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use claviger_api::status::{ReadListView, RevocationListView};
use claviger_pki::{Crl, ReadError};
use claviger_sansio::Time;
use nix::fcntl::OFlag;
use tokio::{
    sync::mpsc,
    task::{AbortHandle, spawn_blocking},
};

use crate::{exit::Failure, public_file::unusable};

/// How often the directory is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The most octets of a file: the longest list has 16 MiB, and PEM makes four of three.
const FILE_LEN_MAX: u64 = 24 * 1024 * 1024;

/// The most files that are read: one for each CA of a few dozen owners. Those whose names come later are left.
const FILES_MAX: usize = 256;

/// The most octets of all files together, so that a directory of the longest lists does not fill the memory.
const OCTETS_MAX: u64 = 128 * 1024 * 1024;

/// What is read of the directory by now.
#[derive(Debug, Clone, Default)]
pub(super) struct Lists {
    files: BTreeMap<OsString, ListFile>,
}

/// A file of the directory.
#[derive(Debug, Clone)]
struct ListFile {
    stamp: Option<Stamp>,
    lists: Vec<Crl>,
    fault: Option<Fault>,
}

/// By what it is seen that a file has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Why a file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fault {
    /// What the system says.
    Io(String),
    /// It is no regular file.
    NotRegular,
    /// It is no list.
    Read(ReadError),
    /// There are too many files, or too long ones.
    TooMuch,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => f.write_str(error),
            Self::NotRegular => f.write_str("is no regular file"),
            Self::Read(error) => error.fmt(f),
            Self::TooMuch => write!(
                f,
                "is one file too many, or too long: {FILES_MAX} files are read, of {OCTETS_MAX} octets together"
            ),
        }
    }
}

/// Looks at a directory as long as it is there.
#[derive(Debug)]
pub(super) struct Watch {
    changes: mpsc::Receiver<Lists>,
    task: AbortHandle,
}

impl Watch {
    /// Begins to look, after what was read already.
    pub(super) fn start(directory: PathBuf, mut known: Lists) -> Self {
        let (sender, changes) = mpsc::channel(1);
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                let path = directory.clone();
                let look = spawn_blocking(move || {
                    let is_changed = known.look(&path);
                    (known, is_changed)
                });
                let Ok((looked, is_changed)) = look.await else { return };
                known = looked;
                if is_changed && sender.send(known.clone()).await.is_err() {
                    return;
                }
            }
        });
        Self { changes, task: task.abort_handle() }
    }

    /// Waits for something else in the directory. May be cancelled and called again without loss.
    pub(super) async fn changed(watch: &mut Option<Self>) -> Lists {
        let changed = match watch {
            Some(watch) => watch.changes.recv().await,
            None => None,
        };
        match changed {
            Some(lists) => lists,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Lists {
    /// Reads a directory for the first time.
    ///
    /// # Errors
    ///
    /// A directory that is not there, or that others can write to. Files that cannot be read are none: they are in the log.
    pub(super) fn read(directory: &Path) -> Result<Self, Failure> {
        claviger_files::check_shared_directory(directory).map_err(|error| {
            unusable(directory, "cannot be used as the directory of revocation lists", &error)
        })?;
        let mut lists = Self::default();
        lists.look(directory);
        Ok(lists)
    }

    /// Shows all lists.
    pub(super) fn all(&self) -> Vec<Crl> {
        self.files.values().flat_map(|file| &file.lists).cloned().collect()
    }

    /// Shows the files.
    pub(super) fn view(&self) -> Vec<RevocationListView> {
        let view = |(name, file): (&OsString, &ListFile)| RevocationListView {
            file: name.to_string_lossy().escape_debug().to_string(),
            lists: file.lists.iter().map(list_view).collect(),
            error: file.fault.as_ref().map(ToString::to_string),
        };
        self.files.iter().map(view).collect()
    }

    /// Looks at a directory, and reads the files that are other than before. Says whether anything is.
    fn look(&mut self, directory: &Path) -> bool {
        let names = match names(directory) {
            Ok(names) => names,
            Err(error) => {
                tracing::warn!(directory = %directory.display(), %error, "the directory of revocation lists cannot be read; what was read before holds on");
                return false;
            }
        };
        let mut is_changed = self.forget_missing(directory, &names);
        let mut octets_left = OCTETS_MAX;
        for (index, name) in names.into_iter().enumerate() {
            let path = directory.join(&name);
            let stamp = Stamp::of(&path);
            let length = stamp.map_or(0, |stamp| stamp.length);
            let has_room = index < FILES_MAX && length <= octets_left;
            octets_left = octets_left.saturating_sub(length);
            if self.files.get(&name).is_some_and(|known| known.is_still(stamp)) {
                continue;
            }
            let read = if has_room { read(&path) } else { Err(Fault::TooMuch) };
            is_changed |= self.take(directory, name, stamp, read);
        }
        is_changed
    }

    fn forget_missing(&mut self, directory: &Path, names: &[OsString]) -> bool {
        let before = self.files.len();
        self.files.retain(|name, _| {
            let is_there = names.contains(name);
            if !is_there {
                tracing::warn!(file = shown(directory, name), "a revocation list is gone");
            }
            is_there
        });
        self.files.len() != before
    }

    /// Takes what was read of a file. Says whether that is other than before.
    fn take(
        &mut self,
        directory: &Path,
        name: OsString,
        stamp: Option<Stamp>,
        read: Result<Vec<Crl>, Fault>,
    ) -> bool {
        let known = self.files.remove(&name);
        let (lists, fault) = match (read, &known) {
            (Ok(lists), _) => (lists, None),
            (Err(fault), Some(known)) => (known.lists.clone(), Some(fault)),
            (Err(fault), None) => (Vec::new(), Some(fault)),
        };
        let is_other = known.as_ref().is_none_or(|known| known.fault != fault || known.lists != lists);
        if is_other {
            let file = shown(directory, &name);
            match &fault {
                Some(error) => {
                    tracing::warn!(file, %error, "a revocation list cannot be read; what was read of it before holds on");
                }
                None => {
                    for list in &lists {
                        let revoked = list.revoked().count();
                        tracing::info!(file, issuer = %list.issuer(), number = list.number(), revoked, "read a revocation list");
                    }
                }
            }
        }
        self.files.insert(name, ListFile { stamp, lists, fault });
        is_other
    }
}

impl ListFile {
    /// Says whether a file need not be read again.
    fn is_still(&self, stamp: Option<Stamp>) -> bool {
        // There may be room for it by now.
        let was_left = self.fault == Some(Fault::TooMuch);
        stamp.is_some() && self.stamp == stamp && !was_left
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            file: (metadata.dev(), metadata.ino()),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// Shows a file, so that no name turns a terminal's text around.
fn shown(directory: &Path, name: &OsStr) -> String {
    directory.join(name).to_string_lossy().escape_debug().to_string()
}

/// Lists the files that may be lists, in order.
fn names(directory: &Path) -> std::io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let ending = Path::new(&name).extension();
        if ending.is_some_and(|ending| ending == "crl" || ending == "pem") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Reads the lists of a file: one in DER, or any number in PEM.
fn read(path: &Path) -> Result<Vec<Crl>, Fault> {
    let io = |error: std::io::Error| Fault::Io(error.to_string());
    // A pipe would wait for its other end; regular files do not care.
    let flags = OFlag::O_NONBLOCK.bits();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(io)?;
    if !file.metadata().map_err(io)?.is_file() {
        return Err(Fault::NotRegular);
    }
    let mut octets = Vec::new();
    file.take(FILE_LEN_MAX + 1).read_to_end(&mut octets).map_err(io)?;
    if octets.len() as u64 > FILE_LEN_MAX {
        return Err(Fault::Read(ReadError::Length));
    }
    Crl::all_of_file(&octets).map_err(Fault::Read)
}

fn list_view(list: &Crl) -> ReadListView {
    ReadListView {
        issuer: list.issuer().to_string(),
        number: list.number(),
        revoked: u32::try_from(list.revoked().count()).unwrap_or(u32::MAX),
        since_us: Time::from_secs(list.this_update()),
        until_us: list.next_update().map(Time::from_secs),
    }
}

#[cfg(test)]
mod tests {
    use claviger_crypto::sign::KeyAlgorithm;

    use super::*;
    use crate::{
        owner::{NewOwner, OwnerDirectory},
        settings::new_key::NewKey,
    };

    const NOW: u64 = 1_800_000_000;

    /// A list of an owner, and one of the same owner with one certificate more.
    fn samples(directory: &Path, subject: &str) -> (Vec<u8>, Vec<u8>) {
        let owner_directory = OwnerDirectory::new(directory.join(subject));
        let new = NewOwner {
            subject: format!("O={subject}"),
            key: NewKey::Made(KeyAlgorithm::Ed25519),
            lifetime: Duration::from_secs(86_400),
            list_lifetime: Duration::from_secs(3600),
        };
        let owner = owner_directory.create(&new, NOW).unwrap();
        let first = fs::read(owner_directory.list_file()).unwrap();
        owner.renew_list(NOW + 1, None).unwrap();
        (first, fs::read(owner_directory.list_file()).unwrap())
    }

    fn numbers(lists: &Lists) -> Vec<Option<u64>> {
        lists.all().iter().map(Crl::number).collect()
    }

    #[test]
    fn a_list_that_changes_is_read_again_and_one_that_is_broken_holds_on() {
        let directory = tempfile::tempdir().unwrap();
        let (first, second) = samples(directory.path(), "a");
        let lists_directory = directory.path().join("lists");
        fs::create_dir(&lists_directory).unwrap();
        let file = lists_directory.join("a.crl");
        let mut lists = Lists::read(&lists_directory).unwrap();
        assert!(lists.all().is_empty() && !lists.look(&lists_directory));

        fs::write(&file, &first).unwrap();
        assert!(lists.look(&lists_directory));
        assert_eq!(numbers(&lists), [Some(1)]);
        assert!(!lists.look(&lists_directory), "nothing has changed");

        fs::write(&file, &second[..second.len() / 2]).unwrap();
        assert!(lists.look(&lists_directory));
        assert_eq!(numbers(&lists), [Some(1)], "half a list takes nothing away");
        assert_eq!(lists.view()[0].error.as_deref(), Some("is not valid DER"));
        assert!(!lists.look(&lists_directory), "it is said once");

        fs::write(&file, &second).unwrap();
        assert!(lists.look(&lists_directory));
        assert_eq!(numbers(&lists), [Some(2)]);
        assert_eq!(lists.view()[0].error, None);

        fs::remove_file(&file).unwrap();
        assert!(lists.look(&lists_directory));
        assert!(lists.all().is_empty() && lists.view().is_empty());
    }

    #[test]
    fn a_file_may_have_several_lists_in_pem_or_one_in_der_and_other_files_are_none() {
        let directory = tempfile::tempdir().unwrap();
        let ((a, _), (b, _)) = (samples(directory.path(), "a"), samples(directory.path(), "b"));
        let lists_directory = directory.path().join("lists");
        fs::create_dir(&lists_directory).unwrap();
        fs::write(lists_directory.join("both.pem"), [&b"two lists\n"[..], &a, &b].concat()).unwrap();
        fs::write(lists_directory.join("notes.txt"), "no list").unwrap();
        fs::create_dir(lists_directory.join("more.crl")).unwrap();
        nix::unistd::mkfifo(&lists_directory.join("pipe.crl"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        fs::write(lists_directory.join("junk.crl"), [0x30, 0x80]).unwrap();
        let lists = Lists::read(&lists_directory).unwrap();
        let issuers: Vec<String> = lists.all().iter().map(|list| list.issuer().to_string()).collect();
        assert_eq!(issuers, ["O=a", "O=b"]);
        let errors: Vec<_> = lists.view().into_iter().map(|view| (view.file, view.error)).collect();
        let error = |text: &str| Some(text.to_owned());
        assert_eq!(
            errors,
            [
                ("both.pem".to_owned(), None),
                ("junk.crl".to_owned(), error("is not valid DER")),
                ("more.crl".to_owned(), error("is no regular file")),
                ("pipe.crl".to_owned(), error("is no regular file")),
            ]
        );
    }

    #[test]
    fn a_directory_that_others_can_write_to_is_refused() {
        use std::os::unix::fs::PermissionsExt;

        let directory = tempfile::tempdir().unwrap();
        let failure = Lists::read(&directory.path().join("none")).unwrap_err();
        assert!(
            failure.message.contains("cannot be used as the directory of revocation lists: No such file")
        );
        let lists_directory = directory.path().join("lists");
        fs::create_dir(&lists_directory).unwrap();
        fs::set_permissions(&lists_directory, fs::Permissions::from_mode(0o777)).unwrap();
        let failure = Lists::read(&lists_directory).unwrap_err();
        assert!(failure.message.contains("other users can write to it"), "{}", failure.message);
    }

    #[tokio::test]
    async fn a_change_is_noticed_within_two_seconds() {
        let directory = tempfile::tempdir().unwrap();
        let (first, _) = samples(directory.path(), "a");
        let lists_directory = directory.path().join("lists");
        fs::create_dir(&lists_directory).unwrap();
        let known = Lists::read(&lists_directory).unwrap();
        let mut watch = Some(Watch::start(lists_directory.clone(), known));
        fs::write(lists_directory.join("a.crl"), first).unwrap();
        let changed = tokio::time::timeout(Duration::from_secs(10), Watch::changed(&mut watch)).await;
        assert_eq!(numbers(&changed.unwrap()), [Some(1)]);
    }
}
