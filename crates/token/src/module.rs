//! Libraries that speak with tokens, loaded once in a process.
//!
//! A library has one state for the whole process, whoever in it uses it (PKCS #11 section 5.4), so it is initialized once,
//! and never finalized: another user of it would lose its sessions.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Function, Pkcs11},
    error::{Error, RvError},
};

use crate::error::{LibraryFault, TokenError};

static LOADED: Mutex<BTreeMap<PathBuf, Pkcs11>> = Mutex::new(BTreeMap::new());

/// Loads a library, or finds it loaded, and sees to it that it is initialized.
pub(crate) fn load(path: &Path) -> Result<Pkcs11, TokenError> {
    let failed = |fault| TokenError::Library { path: path.to_owned(), fault };
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    // What is loaded runs with all rights of this process, and sees its memory.
    claviger_files::check_obeyed(path).map_err(|error| failed(LibraryFault::File(error)))?;
    let found = fs::canonicalize(path).map_err(|error| failed(LibraryFault::File(error.into())))?;
    let library = match loaded.get(&found) {
        Some(library) => library.clone(),
        None => Pkcs11::new(&found).map_err(|error| failed(LibraryFault::Load(error.to_string())))?,
    };
    match library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, Function::Initialize)) => {}
        Err(error) => return Err(error.into()),
    }
    loaded.insert(found, library.clone());
    Ok(library)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_library_that_others_could_have_written_is_not_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("module.so");
        fs::write(&path, "no library").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let error = load(&path).unwrap_err();
        assert!(matches!(error, TokenError::Library { fault: LibraryFault::File(_), .. }), "{error:?}");
        assert!(error.to_string().ends_with("other users can write to it (mode 0666)"), "{error}");
    }

    #[test]
    fn what_is_no_library_is_refused_in_the_words_of_the_system() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("module.so");
        fs::write(&path, "no library").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let error = load(&path).unwrap_err();
        assert!(matches!(error, TokenError::Library { fault: LibraryFault::Load(_), .. }), "{error:?}");
        assert!(error.to_string().contains("cannot be used: "), "{error}");
    }
}
