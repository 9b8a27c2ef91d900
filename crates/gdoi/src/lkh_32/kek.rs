//! The group KEK out of the root's key, and what a path refuses, as GDOI names it.

use claviger_crypto::{SecretBytes, cipher::CipherAlgorithm};
use claviger_group::CookiePair;
use claviger_keypath::PathError;
use claviger_keywrap::Engine;

use crate::{
    error::{ApiMisuse, Error, PeerMisbehaved},
    push::KekMaterial,
};

/// Makes a KEK of a bare key, as key server and members do: the IV of its messages is derived from it.
///
/// # Errors
///
/// [`ApiMisuse::UnsupportedAlgorithm`] if the key has neither 16 nor 32 octets.
pub fn kek_material(spi: CookiePair, key: &[u8]) -> Result<KekMaterial, Error> {
    let cipher = [CipherAlgorithm::Aes128Cbc, CipherAlgorithm::Aes256Cbc]
        .into_iter()
        .find(|cipher| cipher.key_len() == key.len())
        .ok_or(ApiMisuse::UnsupportedAlgorithm)?;
    let iv = Engine::best().derive_iv_one(key)?;
    Ok(KekMaterial { spi, cipher, iv, key: SecretBytes::copy_of(key) })
}

impl From<PathError> for PeerMisbehaved {
    fn from(error: PathError) -> Self {
        match error {
            PathError::Content => Self::UpdateArrayContent,
            PathError::HandleWentBack => Self::HandleWentBack,
            PathError::HeadDiffers => Self::UpdateHeadDiffers,
            PathError::KeyLength => Self::KeyLength,
            PathError::NotForUs => Self::UpdateArrayNotForUs,
            PathError::PathContent => Self::PathContent,
            PathError::RootNotNewer => Self::RootNotNewer,
        }
    }
}

impl From<PathError> for Error {
    fn from(error: PathError) -> Self {
        PeerMisbehaved::from(error).into()
    }
}
