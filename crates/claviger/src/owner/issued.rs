//! The certificates that an owner issued.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use claviger_crypto::provider;
use claviger_files::durable;
use claviger_pki::{Certificate, GroupOwner, Revocation};

use super::first_certificate;
use crate::{
    exit::{Exit, Failure, Outcome},
    public_file::{self, FILE_MODE, unusable},
};

/// How the names of the files end; before it stands the serial number.
const SUFFIX: &str = ".pem";

/// A certificate that an owner issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Issued {
    /// It.
    pub(crate) certificate: Certificate,
    /// Where it is kept.
    pub(crate) file: PathBuf,
}

/// Keeps a certificate.
pub(super) fn keep(directory: &Path, certificate: Certificate) -> Outcome<Issued> {
    let file = directory.join(hexadecimal(certificate.serial_number()) + SUFFIX);
    durable::create(&file, certificate.to_pem().as_bytes(), FILE_MODE)
        .map_err(|error| unusable(&file, "cannot be written", &error))?;
    Ok(Issued { certificate, file })
}

/// Reads all certificates, those first that began first.
pub(super) fn all(directory: &Path) -> Outcome<Vec<Issued>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unusable(directory, "cannot be read", &error)),
    };
    let mut issued = Vec::new();
    for entry in entries {
        let file = entry.map_err(|error| unusable(directory, "cannot be read", &error))?.path();
        if file.extension().is_none_or(|extension| extension != "pem") {
            continue;
        }
        let Some(octets) = public_file::read(&file)? else { continue };
        issued.push(Issued { certificate: first_certificate(&file, &octets)?, file });
    }
    issued
        .sort_by_key(|issued| (issued.certificate.not_before(), issued.certificate.serial_number().to_vec()));
    Ok(issued)
}

/// Finds the serial number that a word of the command line means: it is one, or the name of a file with a certificate.
pub(super) fn serial_number(word: &str, issued: &[Issued], owner: &Certificate) -> Outcome<Vec<u8>> {
    let path = Path::new(word);
    if let Some(octets) = public_file::read_trusted(path)? {
        let certificate = first_certificate(path, &octets)?;
        if !is_by(owner, &certificate) {
            let message = format!(
                "{word} is a certificate of {}, and not by the key of this owner, {}",
                certificate.issuer(),
                owner.subject()
            );
            return Err(Failure::new(Exit::Usage, message));
        }
        return Ok(certificate.serial_number().to_vec());
    }
    let Some(number) = octets(word) else {
        let message = format!("{word} is no file, and no serial number in hexadecimal digits");
        return Err(Failure::new(Exit::Usage, message).hint("claviger owner show"));
    };
    if !issued.iter().any(|issued| issued.certificate.serial_number() == number) {
        let message = format!("no certificate with the serial number {word} was issued here");
        return Err(Failure::new(Exit::Usage, message).hint("claviger owner show"));
    }
    Ok(number)
}

/// Says whether an owner issued a certificate, which may have expired since.
fn is_by(owner: &Certificate, certificate: &Certificate) -> bool {
    let roots = vec![owner.clone()];
    let judge = GroupOwner::new(provider(), roots, Revocation::NotChecked);
    let Some(key) = certificate.signing_key() else { return false };
    let judged = judge.judge(std::slice::from_ref(certificate), key, None, owner.not_before());
    judged.is_ok() || judged.is_err_and(|error| error.leads_to_root())
}

/// Writes octets as hexadecimal digits.
pub(crate) fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Reads hexadecimal digits, in upper or lower case, with or without colons between octets.
fn octets(word: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> =
        word.chars().filter(|c| *c != ':').map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    if digits.is_empty() || !pairs.remainder().is_empty() {
        return None;
    }
    pairs.map(|pair| u8::try_from(pair[0] << 4 | pair[1]).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers_are_read_as_programs_write_them() {
        for word in ["4a0bff", "4A0BFF", "4a:0b:ff"] {
            assert_eq!(octets(word), Some(vec![0x4a, 0x0b, 0xff]), "{word}");
        }
        assert_eq!(hexadecimal(&[0x4a, 0x0b, 0xff]), "4a0bff");
        for word in ["", "4", "4a0", "x.pem", ":"] {
            assert_eq!(octets(word), None, "{word}");
        }
    }
}
