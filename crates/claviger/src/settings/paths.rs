//! Where state and sockets are.
//!
//! | | root | other users | with `--state-dir DIR` |
//! |---|---|---|---|
//! | state | /var/lib/claviger | $XDG_STATE_HOME/claviger, else ~/.local/state/claviger | DIR |
//! | sockets | /run/claviger | $XDG_RUNTIME_DIR/claviger, else where the state is | DIR |
//!
//! A key server's socket is `server.sock`, a member daemon's `member-NAME.sock`; `--socket` names it whole. With
//! `--state-dir` the sockets stand beside the state, so that several daemons of one user keep apart, and one option
//! finds both.

use std::{
    env,
    ffi::OsString,
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use claviger_crypto::{hash::HashAlgorithm, provider};
use claviger_files::{Fault, FileError, Refused, check_directory};
use claviger_group::GroupId;

use crate::exit::{Exit, Failure, Outcome};

const DIRECTORY_MODE: u32 = 0o700;

/// The longest part of a socket's file name that a group's name makes: a socket's whole path has 107 octets.
const NAME_LEN_MAX: usize = 40;

/// How much of a longer name is kept before its digest.
const NAME_HEAD_LEN: usize = 23;

/// The directories of one daemon or of the command that calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Paths {
    /// Holds identity, store and key file.
    pub(crate) state_dir: PathBuf,
    /// Holds control sockets.
    pub(crate) runtime_dir: PathBuf,
}

impl Paths {
    /// Finds the directories of this process.
    pub(crate) fn find(state_dir: Option<&Path>) -> Outcome<Self> {
        Self::choose(state_dir, nix::unistd::geteuid().is_root(), |name| env::var_os(name))
    }

    fn choose(
        state_dir: Option<&Path>,
        is_root: bool,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Outcome<Self> {
        if let Some(directory) = state_dir {
            return Ok(Self { state_dir: directory.into(), runtime_dir: directory.into() });
        }
        if is_root {
            return Ok(Self { state_dir: "/var/lib/claviger".into(), runtime_dir: "/run/claviger".into() });
        }
        // The XDG base directory specification has relative paths ignored.
        let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let state_home = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
        let Some(state_home) = state_home else {
            return Err(Failure::new(Exit::Configuration, "neither XDG_STATE_HOME nor HOME is set")
                .hint("name a directory with --state-dir"));
        };
        let state_dir = state_home.join("claviger");
        let runtime_dir =
            absolute("XDG_RUNTIME_DIR").map_or_else(|| state_dir.clone(), |path| path.join("claviger"));
        Ok(Self { state_dir, runtime_dir })
    }

    /// Makes the state directory, for its user alone, if there is none. One that another user owns or can write to, or
    /// that is a symbolic link, is refused.
    pub(crate) fn make_state_dir(&self) -> Outcome {
        let path = self.state_dir.display();
        let made = fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(&self.state_dir);
        let checked = made.map_err(FileError::Io).and_then(|()| check_directory(&self.state_dir));
        checked.map_err(|error| {
            let exit = match &error {
                FileError::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => Exit::Privilege,
                FileError::Io(_) | FileError::Refused(_) => Exit::Configuration,
            };
            let hint = match &error {
                FileError::Refused(Refused { path, fault: Fault::Writable { .. }, .. }) => {
                    format!("chmod go-w {}", path.display())
                }
                FileError::Io(_) | FileError::Refused(_) => "name another with --state-dir".to_owned(),
            };
            Failure::new(exit, format!("cannot use the state directory {path}: {error}")).hint(hint)
        })
    }

    /// Names the key server's socket.
    pub(crate) fn server_socket(&self) -> PathBuf {
        self.runtime_dir.join("server.sock")
    }

    /// Names the socket of the member daemon of a group.
    pub(crate) fn member_socket(&self, group: &GroupId) -> PathBuf {
        self.runtime_dir.join(format!("member-{}.sock", file_name(group)))
    }

    /// Lists the member daemons' sockets that there are, alive or left behind, in order.
    pub(crate) fn member_sockets(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.runtime_dir).into_iter().flatten().flatten();
        let is_member = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with("member-") && name.ends_with(".sock"))
        };
        let mut sockets: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_member).collect();
        sockets.sort();
        sockets
    }
}

/// Makes a group's name safe as part of a file name: percent-encoded, and cut with a digest where it is long.
///
/// Two spellings of one group (`#16`, `0x10`) make one name, two groups make two.
pub(crate) fn file_name(group: &GroupId) -> String {
    // A name of UTF-8 is encoded from its own octets, shown escaped or not: so files of earlier versions are found again.
    let is_plain = |text: &&str| {
        !text.starts_with('#')
            && !text.starts_with("0x")
            && !text.contains(|c: char| c == '\\' || c.is_control())
    };
    let plain = std::str::from_utf8(group.octets()).ok().filter(is_plain);
    let text = plain.map_or_else(|| group.to_string(), str::to_owned);
    let mut name = String::new();
    for octet in text.bytes() {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(octet.into()),
            _ => name.push_str(&format!("%{octet:02X}")),
        }
    }
    if name.len() <= NAME_LEN_MAX {
        return name;
    }
    let hash = provider().hash(HashAlgorithm::Sha256).expect("the default provider has SHA-256");
    let digest = hash.digest(&[group.octets()]);
    let digits: String = digest.iter().take(8).map(|octet| format!("{octet:02x}")).collect();
    // '~' stands in no encoded name, so a cut name is never a whole one.
    format!("{}~{digits}", &name[..NAME_HEAD_LEN])
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    fn choose(state_dir: Option<&str>, is_root: bool, set: &[(&str, &str)]) -> Outcome<(PathBuf, PathBuf)> {
        let variable =
            |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value));
        let paths = Paths::choose(state_dir.map(Path::new), is_root, variable)?;
        Ok((paths.state_dir, paths.runtime_dir))
    }

    fn pair(state: &str, runtime: &str) -> Outcome<(PathBuf, PathBuf)> {
        Ok((state.into(), runtime.into()))
    }

    #[test]
    fn directories_follow_user_environment_and_option() {
        let home = ("HOME", "/home/u");
        let state = ("XDG_STATE_HOME", "/s");
        let runtime = ("XDG_RUNTIME_DIR", "/run/user/7");
        assert_eq!(choose(None, true, &[home, state]), pair("/var/lib/claviger", "/run/claviger"));
        assert_eq!(choose(None, false, &[home, state, runtime]), pair("/s/claviger", "/run/user/7/claviger"));
        let local = "/home/u/.local/state/claviger";
        assert_eq!(choose(None, false, &[home]), pair(local, local));
        assert_eq!(choose(None, false, &[home, ("XDG_STATE_HOME", "s")]), pair(local, local));
        assert_eq!(choose(Some("/x"), true, &[]), pair("/x", "/x"));
        assert_eq!(choose(None, false, &[]).unwrap_err().exit, Exit::Configuration);
    }

    #[test]
    fn sockets_have_names_of_their_own() {
        let paths = Paths { state_dir: "/s".into(), runtime_dir: "/r".into() };
        let socket = |name: &str| paths.member_socket(&name.parse().unwrap()).display().to_string();
        assert_eq!(paths.server_socket(), Path::new("/r/server.sock"));
        assert_eq!(socket("market"), "/r/member-market.sock");
        assert_eq!(socket("#16"), "/r/member-%2316.sock");
        assert_eq!(socket("caf\u{e9}"), "/r/member-caf%C3%A9.sock");
        assert_ne!(socket(r"a\\xc3"), socket(r"a\xc3"));
        assert_eq!(socket("0x10"), socket("#16"));
        assert_eq!(socket("../a"), "/r/member-%2E%2E%2Fa.sock");
        let (one, two) = (socket(&("x".repeat(254) + "1")), socket(&("x".repeat(254) + "2")));
        assert_ne!(one, two);
        assert_eq!(one.len(), "/r/member-.sock".len() + NAME_LEN_MAX);
    }

    #[test]
    fn the_state_directory_is_private() {
        let temporary = tempfile::tempdir().unwrap();
        let paths = Paths::find(Some(&temporary.path().join("a/b"))).unwrap();
        paths.make_state_dir().unwrap();
        assert_eq!(fs::metadata(&paths.state_dir).unwrap().mode() & 0o777, 0o700);
        fs::set_permissions(&paths.state_dir, fs::Permissions::from_mode(0o777)).unwrap();
        let failure = paths.make_state_dir().unwrap_err();
        assert!(failure.message.ends_with("is refused: other users can write to it (mode 0777)"));
        assert_eq!(failure.exit, Exit::Configuration);
        assert!(failure.hint.unwrap().starts_with("chmod go-w "));
    }
}
