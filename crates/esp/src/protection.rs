//! The algorithms of one association, keyed and ready.

use claviger_crypto::{
    CryptoError, CryptoProvider, SecretBytes,
    aead::{AeadKey, NONCE_LEN},
    cipher::{BLOCK_LEN, CipherKey},
    hash::HashAlgorithm,
    prf::Prf,
};
use claviger_group::{Tek, tek::TekKeys, transform::EspCipher};

use crate::{
    Error,
    layout::{HEADER_LEN, ICV_LEN, Layout, PAYLOAD_LEN_MAX, TRAILER_LEN},
    trailer,
};

/// The keyed algorithms and the shape that they give to packets.
pub(crate) struct Protection {
    pub(crate) layout: Layout,
    cipher: Keyed,
}

enum Keyed {
    /// AES-GCM (RFC 4106).
    Gcm { key: Box<dyn AeadKey>, salt: SecretBytes },
    /// AES-CBC (RFC 3602) and HMAC-SHA-256-128 (RFC 4868).
    CbcHmac { key: Box<dyn CipherKey>, mac: &'static dyn Prf, mac_key: SecretBytes },
}

impl Protection {
    /// Prepares the keys of a TEK.
    pub(crate) fn new(provider: &CryptoProvider, tek: &Tek) -> Result<Self, Error> {
        let keys = TekKeys::new(tek.transform, tek.keys.encryption.clone(), tek.keys.integrity.clone())?;
        let cipher = match tek.transform.cipher() {
            EspCipher::Aead(algorithm) => {
                // RFC 4106 section 8.1: the salt stands behind the cipher's key.
                let (key, salt) = keys.encryption.expose().split_at(algorithm.key_len());
                Keyed::Gcm { key: provider.aead(algorithm)?.key(key)?, salt: SecretBytes::copy_of(salt) }
            }
            EspCipher::CbcHmac(algorithm) => Keyed::CbcHmac {
                key: provider.cipher(algorithm)?.key(keys.encryption.expose())?,
                mac: provider.prf(HashAlgorithm::Sha256)?,
                mac_key: keys.integrity,
            },
        };
        Ok(Self { layout: Layout::of(tek.transform), cipher })
    }

    /// Builds a packet around the concatenation of `payload`. The caller never repeats an `iv` of counter mode.
    pub(crate) fn seal(
        &self,
        header: [u8; HEADER_LEN],
        iv: &[u8],
        next_header: u8,
        payload: &[&[u8]],
    ) -> Result<Vec<u8>, Error> {
        let payload_len = payload.iter().map(|part| part.len()).sum();
        if payload_len > PAYLOAD_LEN_MAX {
            return Err(Error::TooLong);
        }
        let body_start = self.layout.body_start();
        let mut esp = Vec::with_capacity(self.layout.sealed_len(payload_len));
        esp.extend_from_slice(&header);
        esp.extend_from_slice(iv);
        for part in payload {
            esp.extend_from_slice(part);
        }
        trailer::append(&mut esp, body_start, self.layout.block_len, next_header);
        let (front, body) = esp.split_at_mut(body_start);
        match &self.cipher {
            Keyed::Gcm { key, salt } => {
                let tag = key.seal(&nonce(salt, iv)?, &front[..HEADER_LEN], body)?;
                esp.extend_from_slice(&tag);
            }
            Keyed::CbcHmac { key, mac, mac_key } => {
                key.encrypt(block(iv)?, body)?;
                let tag = mac.prf(mac_key.expose(), &[&esp]);
                esp.extend_from_slice(&tag[..ICV_LEN]);
            }
        }
        Ok(esp)
    }

    /// Says whether a received packet has the lengths that it must have.
    pub(crate) fn check_form(&self, esp: &[u8]) -> Result<(), Error> {
        let Some(body_len) = esp.len().checked_sub(self.layout.body_start() + ICV_LEN) else {
            return Err(Error::Truncated);
        };
        if body_len < TRAILER_LEN {
            return Err(Error::Truncated);
        }
        if body_len.is_multiple_of(self.layout.block_len) { Ok(()) } else { Err(Error::Alignment) }
    }

    /// Authenticates and decrypts a packet that [`Self::check_form`] let pass. What it returns ends in the trailer.
    pub(crate) fn open(&self, esp: &[u8]) -> Result<Vec<u8>, Error> {
        let body_start = self.layout.body_start();
        let iv = &esp[HEADER_LEN..body_start];
        match &self.cipher {
            Keyed::Gcm { key, salt } => {
                let mut body = esp[body_start..].to_vec();
                let body_len = key.open(&nonce(salt, iv)?, &esp[..HEADER_LEN], &mut body)?.len();
                body.truncate(body_len);
                Ok(body)
            }
            Keyed::CbcHmac { key, mac, mac_key } => {
                let (covered, icv) = esp.split_at(esp.len() - ICV_LEN);
                if !mac.verify(mac_key.expose(), &[covered], icv, ICV_LEN) {
                    return Err(Error::Authentication);
                }
                let mut body = covered[body_start..].to_vec();
                key.decrypt(block(iv)?, &mut body)?;
                Ok(body)
            }
        }
    }
}

/// Joins salt and initialization vector (RFC 4106 section 4).
fn nonce(salt: &SecretBytes, iv: &[u8]) -> Result<[u8; NONCE_LEN], CryptoError> {
    let (head, tail) = (salt.expose(), iv);
    let mut nonce = [0; NONCE_LEN];
    if head.len() + tail.len() != NONCE_LEN {
        return Err(CryptoError::Length);
    }
    nonce[..head.len()].copy_from_slice(head);
    nonce[head.len()..].copy_from_slice(tail);
    Ok(nonce)
}

fn block(iv: &[u8]) -> Result<&[u8; BLOCK_LEN], CryptoError> {
    iv.try_into().map_err(|_| CryptoError::Length)
}
