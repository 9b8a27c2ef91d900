//! The Unix socket that a daemon is controlled by.
//!
//! Who can open the socket controls the daemon, so it has mode 0600 before anybody can connect, and stands in a
//! directory in which no other user can replace it.

use std::{
    fmt, fs, io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{
            fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
};

use claviger_files::{FileError, Refused, check_shared_directory};
use nix::{
    sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket},
    unistd::geteuid,
};

/// The longest path of a Unix socket, in octets: `sun_path` has 108, the last of them zero.
pub const PATH_LEN_MAX: usize = 107;

const SOCKET_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

/// The socket cannot be made. Each sentence names the path.
#[derive(Debug)]
pub enum SocketError {
    /// Another daemon answers there.
    InUse(PathBuf),
    /// The system refuses.
    Io(PathBuf, io::Error),
    /// The directory lets other users replace the socket.
    Directory(Refused),
    /// Another user's socket stands there.
    Foreign(PathBuf, u32),
    /// Something that is no socket stands there.
    NotSocket(PathBuf),
    /// The path exceeds [`PATH_LEN_MAX`] octets.
    TooLong(PathBuf),
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(refused) => write!(f, "the control socket cannot stand there: {refused}"),
            Self::Foreign(path, owner) => {
                write!(f, "{} is a socket of user {owner}; it is left alone", path.display())
            }
            Self::InUse(path) => write!(f, "another daemon already answers on {}", path.display()),
            Self::Io(path, error) => write!(f, "cannot make the control socket {}: {error}", path.display()),
            Self::NotSocket(path) => {
                write!(f, "{} exists and is not a socket; it is left alone", path.display())
            }
            Self::TooLong(path) => write!(
                f,
                "the path of a control socket has at most {PATH_LEN_MAX} octets, {} has {}",
                path.display(),
                path.as_os_str().len()
            ),
        }
    }
}

impl std::error::Error for SocketError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(_, error) => Some(error),
            Self::Directory(refused) => Some(refused),
            Self::Foreign(..) | Self::InUse(_) | Self::NotSocket(_) | Self::TooLong(_) => None,
        }
    }
}

/// A listening control socket. Its file is removed when it is dropped.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    file: SocketFile,
}

#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    device_inode: (u64, u64),
}

impl ControlSocket {
    /// Makes the socket, and its directory if there is none. A socket that a killed daemon left is replaced, one that
    /// answers is not.
    ///
    /// # Errors
    ///
    /// [`SocketError`] says what stands in the way.
    pub fn bind(path: &Path) -> Result<Self, SocketError> {
        if path.as_os_str().len() > PATH_LEN_MAX {
            return Err(SocketError::TooLong(path.to_owned()));
        }
        prepare_directory(path)?;
        remove_stale(path)?;
        let failed = |error: io::Error| SocketError::Io(path.to_owned(), error);
        let fd = bound(path).map_err(|error| {
            if error == nix::errno::Errno::EADDRINUSE {
                SocketError::InUse(path.to_owned())
            } else {
                failed(error.into())
            }
        })?;
        fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE)).map_err(failed)?;
        let metadata = fs::symlink_metadata(path).map_err(failed)?;
        let file = SocketFile { path: path.to_owned(), device_inode: (metadata.dev(), metadata.ino()) };
        listen(&fd, Backlog::MAXCONN).map_err(|error| failed(error.into()))?;
        Ok(Self { listener: UnixListener::from(fd), file })
    }

    /// Shows where the socket is.
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    pub(crate) fn into_parts(self) -> (UnixListener, SocketFile) {
        (self.listener, self.file)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.device_inode);
        if ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Binds without listening: nobody can connect before the mode is set.
fn bound(path: &Path) -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    bind(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(fd)
}

fn prepare_directory(path: &Path) -> Result<(), SocketError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let failed = |error: io::Error| SocketError::Io(path.to_owned(), error);
    fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory).map_err(failed)?;
    check_shared_directory(directory).map_err(|error| match error {
        FileError::Io(error) => failed(error),
        FileError::Refused(refused) => SocketError::Directory(refused),
    })
}

fn remove_stale(path: &Path) -> Result<(), SocketError> {
    let failed = |error: io::Error| SocketError::Io(path.to_owned(), error);
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(SocketError::NotSocket(path.to_owned()));
        }
        Ok(metadata) if metadata.uid() != geteuid().as_raw() => {
            return Err(SocketError::Foreign(path.to_owned(), metadata.uid()));
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(SocketError::InUse(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn only_its_own_user_can_open_it() {
        let directory = directory();
        let path = directory.path().join("run/claviger/server.sock");
        let socket = ControlSocket::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o7777, 0o700);
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn replaces_what_a_killed_daemon_left_and_nothing_else() {
        let directory = directory();
        let path = directory.path().join("server.sock");
        drop(UnixListener::bind(&path).unwrap());
        let socket = ControlSocket::bind(&path).unwrap();
        assert!(matches!(ControlSocket::bind(&path), Err(SocketError::InUse(_))));
        drop(socket);
        fs::write(&path, "precious").unwrap();
        assert!(matches!(ControlSocket::bind(&path), Err(SocketError::NotSocket(_))));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }

    #[test]
    fn another_users_socket_and_a_link_are_left_alone() {
        let directory = directory();
        let path = directory.path().join("server.sock");
        let elsewhere = directory.path().join("elsewhere.sock");
        drop(UnixListener::bind(&elsewhere).unwrap());
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert!(matches!(ControlSocket::bind(&path), Err(SocketError::NotSocket(_))));
        assert!(elsewhere.exists());
        // Only root can give a socket away.
        if geteuid().is_root() {
            fs::remove_file(&path).unwrap();
            std::os::unix::fs::chown(&elsewhere, Some(4711), None).unwrap();
            assert!(matches!(ControlSocket::bind(&elsewhere), Err(SocketError::Foreign(_, 4711))));
        }
        let link = directory.path().join("run");
        std::os::unix::fs::symlink(directory.path(), &link).unwrap();
        let error = ControlSocket::bind(&link.join("other.sock")).unwrap_err();
        assert!(matches!(error, SocketError::Directory(_)), "{error}");
    }

    #[test]
    fn does_not_remove_a_successors_socket() {
        let directory = directory();
        let path = directory.path().join("server.sock");
        let first = ControlSocket::bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let _second = ControlSocket::bind(&path).unwrap();
        drop(first);
        assert!(path.exists());
    }

    #[test]
    fn refuses_open_directories_and_long_paths() {
        let directory = directory();
        let open = directory.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        let error = ControlSocket::bind(&open.join("server.sock")).unwrap_err();
        assert!(matches!(error, SocketError::Directory(_)), "{error}");
        let error = ControlSocket::bind(&directory.path().join("x".repeat(108))).unwrap_err();
        assert!(matches!(error, SocketError::TooLong(_)), "{error}");
    }
}
