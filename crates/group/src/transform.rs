//! Which ESP algorithms protect the data.

use std::{fmt, str::FromStr};

use claviger_crypto::{aead::AeadAlgorithm, cipher::CipherAlgorithm};

use crate::{Channel, Encapsulation};

/// The ESP transforms that a group can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum EspTransform {
    /// AES-128-GCM with a 16-octet ICV (RFC 4106).
    #[default]
    Aes128Gcm16,
    /// AES-256-GCM with a 16-octet ICV (RFC 4106).
    Aes256Gcm16,
    /// AES-128-CBC (RFC 3602) with HMAC-SHA-256-128 (RFC 4868).
    Aes128CbcHmacSha256,
    /// AES-256-CBC (RFC 3602) with HMAC-SHA-256-128 (RFC 4868).
    Aes256CbcHmacSha256,
}

/// The algorithms behind a transform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EspCipher {
    /// A counter-mode AEAD: senders must never share an IV (RFC 6054).
    Aead(AeadAlgorithm),
    /// A CBC cipher beside HMAC-SHA-256-128.
    CbcHmac(CipherAlgorithm),
}

/// The octets of salt behind an AES-GCM key (RFC 4106 section 4).
pub const GCM_SALT_LEN: usize = 4;

/// The octets of an HMAC-SHA-256-128 key (RFC 4868 section 2.1.1).
pub const HMAC_SHA256_KEY_LEN: usize = 32;

impl EspTransform {
    /// Every transform, in order of preference.
    pub const ALL: [Self; 4] =
        [Self::Aes128Gcm16, Self::Aes256Gcm16, Self::Aes128CbcHmacSha256, Self::Aes256CbcHmacSha256];

    /// Says which algorithms the transform consists of.
    pub const fn cipher(self) -> EspCipher {
        match self {
            Self::Aes128Gcm16 => EspCipher::Aead(AeadAlgorithm::Aes128Gcm),
            Self::Aes256Gcm16 => EspCipher::Aead(AeadAlgorithm::Aes256Gcm),
            Self::Aes128CbcHmacSha256 => EspCipher::CbcHmac(CipherAlgorithm::Aes128Cbc),
            Self::Aes256CbcHmacSha256 => EspCipher::CbcHmac(CipherAlgorithm::Aes256Cbc),
        }
    }

    /// Says whether outsiders who repeat a packet are refused: what tells the packets of its senders apart is
    /// authenticated, or there is one sender. That fails with AES-CBC in transport mode with any source, where a sender is its
    /// source address, which no integrity check covers: under another address its packet is new.
    pub fn refuses_replays(self, channel: &Channel, encapsulation: Encapsulation) -> bool {
        self.is_counter_mode() || channel.source().is_some() || encapsulation.is_tunnel()
    }

    /// Says how many bits the cipher's key has: 128 or 256.
    pub const fn key_bits(self) -> u16 {
        match self {
            Self::Aes128Gcm16 | Self::Aes128CbcHmacSha256 => 128,
            Self::Aes256Gcm16 | Self::Aes256CbcHmacSha256 => 256,
        }
    }

    /// Says how many octets of TEK_ALGORITHM_KEY the transform needs: the cipher's key, and the salt of GCM.
    pub const fn encryption_key_len(self) -> usize {
        self.key_bits() as usize / 8 + if self.is_counter_mode() { GCM_SALT_LEN } else { 0 }
    }

    /// Says how many octets of TEK_INTEGRITY_KEY the transform needs: none for an AEAD.
    pub const fn integrity_key_len(self) -> usize {
        if self.is_counter_mode() { 0 } else { HMAC_SHA256_KEY_LEN }
    }

    /// Says whether senders need sender ids because the cipher counts (RFC 6407 section 3.5).
    pub const fn is_counter_mode(self) -> bool {
        matches!(self, Self::Aes128Gcm16 | Self::Aes256Gcm16)
    }
}

impl fmt::Display for EspTransform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aes128Gcm16 => "aes128-gcm",
            Self::Aes256Gcm16 => "aes256-gcm",
            Self::Aes128CbcHmacSha256 => "aes128-cbc-sha256",
            Self::Aes256CbcHmacSha256 => "aes256-cbc-sha256",
        })
    }
}

/// The text names no transform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseTransformError;

impl fmt::Display for ParseTransformError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a transform is one of aes128-gcm, aes256-gcm, aes128-cbc-sha256, aes256-cbc-sha256")
    }
}

impl std::error::Error for ParseTransformError {}

impl FromStr for EspTransform {
    type Err = ParseTransformError;

    fn from_str(text: &str) -> Result<Self, ParseTransformError> {
        Self::ALL.into_iter().find(|transform| transform.to_string() == text).ok_or(ParseTransformError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_key_lengths() {
        for transform in EspTransform::ALL {
            assert_eq!(transform.to_string().parse(), Ok(transform));
        }
        assert_eq!(EspTransform::Aes128Gcm16.encryption_key_len(), 20);
        assert_eq!(EspTransform::Aes256CbcHmacSha256.encryption_key_len(), 32);
        assert_eq!("des".parse::<EspTransform>(), Err(ParseTransformError));
    }
}
