//! Conveniences for who has a single key in hand, as members have.

use claviger_crypto::{CryptoError, SecretBytes};

use crate::{
    engine::Engine,
    job::{BLOCK_LEN, HALF_LEN, Job, Wrapped, padded_len, wrapped_len},
};

impl Engine {
    /// Wraps one key as RFC 3394 says.
    ///
    /// # Errors
    ///
    /// As for [`Engine::wrap`].
    pub fn wrap_one(self, job: Job<'_>) -> Result<Vec<u8>, CryptoError> {
        let mut wrapped = vec![0; wrapped_len(job.plaintext.len())];
        self.wrap([job], &mut wrapped)?;
        Ok(wrapped)
    }

    /// Unwraps one key as RFC 3394 says.
    ///
    /// # Errors
    ///
    /// As for [`Engine::unwrap`]; [`CryptoError::Authentication`] if the check value is wrong.
    pub fn unwrap_one(self, job: Wrapped<'_>) -> Result<SecretBytes, CryptoError> {
        let length = job.ciphertext.len().checked_sub(HALF_LEN).ok_or(CryptoError::Length)?;
        fill(length, |out| self.unwrap([job], out)?.into_iter().try_for_each(|verdict| verdict.map(drop)))
    }

    /// Wraps one key as RFC 5649 says.
    ///
    /// # Errors
    ///
    /// As for [`Engine::wrap_padded`].
    pub fn wrap_padded_one(self, job: Job<'_>) -> Result<Vec<u8>, CryptoError> {
        let mut wrapped = vec![0; padded_len(job.plaintext.len())];
        self.wrap_padded([job], &mut wrapped)?;
        Ok(wrapped)
    }

    /// Unwraps one key as RFC 5649 says.
    ///
    /// # Errors
    ///
    /// As for [`Engine::unwrap_padded`]; [`CryptoError::Authentication`] if the check value or the padding is wrong.
    pub fn unwrap_padded_one(self, job: Wrapped<'_>) -> Result<SecretBytes, CryptoError> {
        let length = job.ciphertext.len().checked_sub(HALF_LEN).ok_or(CryptoError::Length)?;
        let mut plaintext_len = 0;
        let padded = fill(length, |out| {
            for verdict in self.unwrap_padded([job], out)? {
                plaintext_len = verdict?;
            }
            Ok(())
        })?;
        Ok(SecretBytes::copy_of(&padded.expose()[..plaintext_len]))
    }

    /// Derives the successor of one key.
    ///
    /// # Errors
    ///
    /// [`CryptoError::Key`] if it has neither 16 nor 32 octets.
    pub fn advance_one(self, key: &[u8]) -> Result<SecretBytes, CryptoError> {
        fill(key.len(), |out| self.advance([key], out))
    }

    /// Derives the IV that belongs to one key.
    ///
    /// # Errors
    ///
    /// [`CryptoError::Key`] if it has neither 16 nor 32 octets.
    pub fn derive_iv_one(self, key: &[u8]) -> Result<[u8; BLOCK_LEN], CryptoError> {
        let mut iv = [0; BLOCK_LEN];
        self.derive_iv([key], &mut iv)?;
        Ok(iv)
    }
}

/// Makes a secret of `length` octets with what `write` puts there.
fn fill(
    length: usize,
    write: impl FnOnce(&mut [u8]) -> Result<(), CryptoError>,
) -> Result<SecretBytes, CryptoError> {
    let mut result = Ok(());
    let secret = SecretBytes::with(length, |out| result = write(out));
    result.map(|()| secret)
}
