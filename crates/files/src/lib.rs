//! Opens files and directories that no other user can have put there, and writes files that are whole or not there.
//!
//! What a program reads as its own, and writes to as its own, must be its own: a file that another user planted, or a
//! symbolic link to somewhere else, is refused before anything is read or written.
//!
//! | module | what |
//! |---|---|
//! | [`durable`] | files that are written whole |
//! | [`file`](mod@file) | regular files: owner, mode, and no link; files that are obeyed, such as libraries |
//! | [`directory`](mod@directory) | directories, and those above them |
//! | [`refusal`] | what is wrong, with path and owner |
//!
//! ```
//! let directory = tempfile::tempdir()?;
//! let path = directory.path().join("identity.lock");
//! claviger_files::check_directory(directory.path())?;
//! let file = claviger_files::open(&path, std::fs::OpenOptions::new().write(true).create(true));
//! assert!(file.is_ok());
//! std::os::unix::fs::symlink("/etc/passwd", directory.path().join("link"))?;
//! let error = claviger_files::open(&directory.path().join("link"), std::fs::OpenOptions::new().read(true)).unwrap_err();
//! assert!(error.to_string().ends_with("it is a symbolic link"), "{error}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

pub mod directory;
pub mod durable;
pub mod file;
mod owner;
pub mod refusal;

pub use directory::{check_directory, check_shared_directory};
pub use file::{check, check_obeyed, open, open_trusted};
pub use refusal::{Fault, FileError, Refused};
