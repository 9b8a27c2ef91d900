//! Files that keep a private key for their user alone: PKCS #8 in PEM, or the URI of a key in a PKCS #11 token.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
};

use claviger_crypto::{
    SecretBytes, SystemRandom, erase_stack, provider,
    sign::{Signer, SigningKey},
};
use claviger_files::{Fault, FileError, Refused, durable};
use claviger_identity::{IdentityError, pem};

use crate::{
    exit::{Exit, Failure, Outcome},
    settings::new_key::{NewKey, is_in_token},
    token,
};

/// The most octets of a file; the largest key that is accepted needs less than half.
const FILE_LEN_MAX: u64 = 16 * 1024;

const FILE_MODE: u32 = 0o600;
const OPEN_TO_OTHERS: u32 = 0o077;

/// A file that keeps a private key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyFile<'a> {
    /// What it is called in sentences: "the identity file".
    pub(crate) what: &'static str,
    /// Where it is.
    pub(crate) path: &'a Path,
    /// What is to be done if others may have read it.
    pub(crate) if_read: &'static str,
}

impl KeyFile<'_> {
    /// Reads the text; `None` if there is no file. A file that is open to other users, or theirs, or a symbolic link is
    /// an error and is left as it is.
    pub(crate) fn read(&self) -> Outcome<Option<SecretBytes>> {
        let file = match claviger_files::open(self.path, OpenOptions::new().read(true)) {
            Ok(file) => file,
            Err(error) if error.is_missing() => return Ok(None),
            Err(FileError::Refused(Refused { fault: Fault::Writable { mode }, .. })) => {
                return Err(self.open_to_others(mode));
            }
            Err(error) => return Err(self.unusable("cannot be read", &error)),
        };
        let metadata = file.metadata().map_err(|error| self.unusable("cannot be read", &error))?;
        self.check(&metadata)?;
        let text = text(file, metadata.len()).map_err(|error| self.unusable("cannot be read", &error))?;
        Ok(Some(text))
    }

    /// Reads the key; `None` if there is no file. One in a token is opened.
    pub(crate) fn load(&self) -> Outcome<Option<Box<dyn Signer>>> {
        let Some(text) = self.read()? else { return Ok(None) };
        let uri = str::from_utf8(text.expose()).ok().filter(|text| is_in_token(text));
        if let Some(uri) = uri {
            return token::open(uri.trim_ascii_end()).map(Some);
        }
        let key = signing_key(&text).map_err(|error| self.unusable("holds no key", &error))?;
        erase_stack();
        Ok(Some(Box::new(key)))
    }

    /// Writes the file, where nothing stands.
    pub(crate) fn create(&self, text: &SecretBytes) -> io::Result<()> {
        durable::create(self.path, text.expose(), FILE_MODE)
    }

    /// Says that the file does not serve.
    pub(crate) fn unusable(&self, how: &str, error: &dyn std::fmt::Display) -> Failure {
        let message = format!("{} {} {how}: {error}", self.what, self.path.display());
        Failure::new(Exit::Configuration, message)
    }

    fn check(&self, metadata: &fs::Metadata) -> Outcome {
        if metadata.mode() & OPEN_TO_OTHERS != 0 {
            return Err(self.open_to_others(metadata.mode() & 0o7777));
        }
        if metadata.len() > FILE_LEN_MAX {
            let message =
                format!("{} {} has more than {FILE_LEN_MAX} octets", self.what, self.path.display());
            return Err(Failure::new(Exit::Configuration, message));
        }
        Ok(())
    }

    fn open_to_others(&self, mode: u32) -> Failure {
        let shown = self.path.display();
        let message = format!("{} {shown} is open to other users (mode {mode:04o})", self.what);
        Failure::new(Exit::Configuration, message)
            .hint(format!("chmod 600 {shown}, and {} if others may have read this one", self.if_read))
    }
}

/// Makes a key, or opens the one in a token, and writes the text of its file.
pub(crate) fn make(new: &NewKey) -> Outcome<(Box<dyn Signer>, SecretBytes)> {
    match new {
        NewKey::Made(algorithm) => {
            let key = SigningKey::generate(provider(), *algorithm, &mut SystemRandom::new()?)?;
            let text = pem::encode(key.pkcs8());
            Ok((Box::new(key), text))
        }
        NewKey::Token(uri) => {
            let key = token::open(uri)?;
            Ok((key, SecretBytes::new(format!("{uri}\n").into_bytes())))
        }
    }
}

fn signing_key(text: &SecretBytes) -> Result<SigningKey, IdentityError> {
    let pkcs8 = pem::decode(text.expose())?;
    let algorithm = pem::key_algorithm(pkcs8.expose())?;
    Ok(SigningKey::from_pkcs8(provider(), algorithm, pkcs8)?)
}

fn text(file: File, length: u64) -> io::Result<SecretBytes> {
    let mut result = Ok(());
    let length = usize::try_from(length).unwrap_or(0);
    let mut file = file.take(FILE_LEN_MAX);
    let text = SecretBytes::with(length, |octets| result = file.read_exact(octets));
    result.map(|()| text)
}
