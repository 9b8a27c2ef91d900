//! What another user could have put there is refused, by what is wrong with it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs::{self, OpenOptions, Permissions},
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
};

use claviger_files::{
    Fault, FileError, Refused, check_directory, check_obeyed, check_shared_directory, open, open_trusted,
};
use nix::unistd::geteuid;

/// Some user that this process does not act as.
const STRANGER: u32 = 4711;

/// A directory of this user's own, and a file in it.
fn ours() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "ours").unwrap();
    (directory, file)
}

/// Gives a path to a stranger; a user who may not do so gets the path of something that is root's.
fn given_away(path: &Path, roots: &str) -> (PathBuf, u32) {
    if !geteuid().is_root() {
        return (roots.into(), 0);
    }
    chown(path, Some(STRANGER), None).unwrap();
    (path.to_owned(), STRANGER)
}

fn refused<T>(result: Result<T, FileError>) -> Refused {
    match result.err().expect("it is refused") {
        FileError::Refused(refused) => refused,
        FileError::Io(error) => panic!("{error}"),
    }
}

fn writing() -> OpenOptions {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).clone()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_is_ours_is_opened_and_made() {
    let (directory, file) = ours();
    open(&file, &mut writing()).unwrap();
    open(&directory.path().join("new"), &mut writing()).unwrap();
    check_directory(directory.path()).unwrap();
    let missing = open(&directory.path().join("none"), OpenOptions::new().read(true)).unwrap_err();
    assert!(missing.is_missing());
}

#[test]
fn a_symbolic_link_is_not_followed_even_to_a_file_of_ours() {
    let (directory, file) = ours();
    for (name, target) in [("link", file.as_path()), ("dangling", &directory.path().join("made by nobody"))] {
        let link = directory.path().join(name);
        symlink(target, &link).unwrap();
        let refused = refused(open(&link, &mut writing()));
        assert_eq!((refused.path, refused.fault), (link, Fault::Link));
    }
    assert!(!directory.path().join("made by nobody").exists());
    let link = directory.path().join("directory");
    symlink(directory.path(), &link).unwrap();
    assert_eq!(refused(check_directory(&link)).fault, Fault::Link);
}

#[test]
fn a_file_or_directory_of_another_user_is_refused() {
    let (_directory, file) = ours();
    let (path, owner) = given_away(&file, "/etc/passwd");
    let us = geteuid().as_raw();
    assert_eq!(
        refused(open(&path, OpenOptions::new().read(true))),
        Refused { path, owner, fault: Fault::Owner { us } }
    );
    let (directory, _file) = ours();
    let (path, owner) = given_away(directory.path(), "/usr");
    assert_eq!(refused(check_directory(&path)), Refused { path, owner, fault: Fault::Owner { us } });
}

#[test]
fn a_directory_below_one_of_another_user_is_refused_with_that_one() {
    if !geteuid().is_root() {
        // Nobody else can make the case; that of a directory that all can write to stands for it below.
        return below_a_directory_that_all_can_write_to();
    }
    let (directory, _file) = ours();
    let below = directory.path().join("below");
    fs::create_dir(&below).unwrap();
    chown(directory.path(), Some(STRANGER), None).unwrap();
    let refused = refused(check_directory(&below));
    assert_eq!((refused.path.as_path(), refused.owner), (directory.path(), STRANGER));
    // Nor does it help to come there by a link of one's own.
    let (other, _file) = ours();
    let link = other.path().join("link");
    symlink(directory.path(), &link).unwrap();
    assert!(check_directory(&link.join("below")).is_err());
}

#[test]
fn below_a_directory_that_all_can_write_to() {
    let (directory, _file) = ours();
    let below = directory.path().join("below");
    fs::create_dir(&below).unwrap();
    set_mode(&below, 0o700);
    set_mode(directory.path(), 0o777);
    assert_eq!(refused(check_directory(&below)).fault, Fault::Writable { mode: 0o777 });
    set_mode(directory.path(), 0o1777);
    check_directory(&below).expect("nobody else can replace it there, as in /tmp");
}

#[test]
fn what_other_users_can_write_to_is_refused() {
    for mode in [0o620, 0o602] {
        let (_directory, file) = ours();
        set_mode(&file, mode);
        assert_eq!(refused(open(&file, &mut writing())).fault, Fault::Writable { mode });
    }
    for mode in [0o720, 0o702, 0o1777] {
        let (directory, _file) = ours();
        set_mode(directory.path(), mode);
        assert_eq!(refused(check_directory(directory.path())).fault, Fault::Writable { mode });
        let is_shared = check_shared_directory(directory.path()).is_ok();
        assert_eq!(is_shared, mode == 0o1777, "{mode:o}");
    }
}

#[test]
fn what_is_no_file_is_not_opened_and_nothing_waits_for_a_pipe() {
    let (directory, file) = ours();
    nix::unistd::mkfifo(&directory.path().join("pipe"), nix::sys::stat::Mode::from_bits_truncate(0o600))
        .unwrap();
    for path in [directory.path().join("pipe"), directory.path().to_owned()] {
        assert_eq!(refused(open(&path, OpenOptions::new().read(true))).fault, Fault::NotRegular);
    }
    assert_eq!(refused(check_directory(&file)).fault, Fault::NotDirectory);
}

#[test]
fn a_library_is_obeyed_behind_links_where_it_is_ours_or_root_s() {
    let (directory, file) = ours();
    let link = directory.path().join("link");
    symlink(&file, &link).unwrap();
    check_obeyed(&file).unwrap();
    check_obeyed(&link).unwrap();
    check_obeyed(Path::new("/etc/passwd")).unwrap();
    assert!(check_obeyed(&directory.path().join("none")).unwrap_err().is_missing());
}

#[test]
fn a_library_that_others_can_write_to_or_exchange_is_not_obeyed() {
    let (directory, file) = ours();
    assert_eq!(refused(check_obeyed(directory.path())).fault, Fault::NotRegular);
    set_mode(&file, 0o664);
    assert_eq!(refused(check_obeyed(&file)).fault, Fault::Writable { mode: 0o664 });
    set_mode(&file, 0o644);
    set_mode(directory.path(), 0o777);
    let refused_above = refused(check_obeyed(&file));
    assert_eq!(
        (refused_above.path.as_path(), refused_above.fault),
        (directory.path(), Fault::Writable { mode: 0o777 })
    );
    set_mode(directory.path(), 0o700);
    // Only root can give a file away.
    if geteuid().is_root() {
        chown(&file, Some(STRANGER), None).unwrap();
        let refused = refused(check_obeyed(&file));
        assert_eq!((refused.owner, refused.fault), (STRANGER, Fault::Owner { us: 0 }));
    }
}

#[test]
fn what_is_only_gone_by_may_be_the_administrators() {
    open_trusted(Path::new("/etc/passwd")).expect("it is root's, and nobody else can write to it");
    let (directory, file) = ours();
    open_trusted(&file).unwrap();
    symlink(&file, directory.path().join("link")).unwrap();
    assert_eq!(refused(open_trusted(&directory.path().join("link"))).fault, Fault::Link);
    set_mode(&file, 0o666);
    assert_eq!(refused(open_trusted(&file)).fault, Fault::Writable { mode: 0o666 });
    if geteuid().is_root() {
        set_mode(&file, 0o644);
        chown(&file, Some(STRANGER), None).unwrap();
        assert_eq!(refused(open_trusted(&file)).fault, Fault::Owner { us: 0 });
    }
}
