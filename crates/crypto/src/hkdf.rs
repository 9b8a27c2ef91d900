//! Key derivation by extraction and expansion (RFC 5869), over any [`Prf`].

use zeroize::Zeroizing;

use crate::{CryptoError, SecretBytes, hash::Digest, prf::Prf};

/// HKDF-Extract(salt, input keying material); the result has the prf's output length.
pub fn extract(prf: &dyn Prf, salt: &[u8], input: &[u8]) -> SecretBytes {
    SecretBytes::copy_of(&prf.prf(salt, &[input]))
}

/// HKDF-Expand(prk, info, length), where info is the concatenation of `info`.
///
/// # Errors
///
/// [`CryptoError::Length`] if more than 255 outputs are asked for.
pub fn expand(prf: &dyn Prf, prk: &[u8], info: &[&[u8]], length: usize) -> Result<SecretBytes, CryptoError> {
    let mut output = Zeroizing::new(Vec::with_capacity(length + prf.output_len()));
    let mut block: Option<Digest> = None;
    for counter in 1u8..=255 {
        if output.len() >= length {
            break;
        }
        let mut parts: Vec<&[u8]> = vec![block.as_deref().unwrap_or_default()];
        parts.extend_from_slice(info);
        let counter = [counter];
        parts.push(&counter);
        let next = prf.prf(prk, &parts);
        output.extend_from_slice(&next);
        block = Some(next);
    }
    let wanted = output.get(..length).ok_or(CryptoError::Length)?;
    Ok(SecretBytes::copy_of(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{hash::HashAlgorithm, provider};

    /// RFC 5869 appendix A.1.
    #[test]
    fn rfc5869_test_case_1() {
        let prf = provider().prf(HashAlgorithm::Sha256).unwrap();
        let salt: Vec<u8> = (0..=0x0c).collect();
        let info: Vec<u8> = (0xf0..=0xf9).collect();
        let prk = extract(prf, &salt, &[0x0b; 22]);
        assert_eq!(prk.expose()[..4], [0x07, 0x77, 0x09, 0x36]);
        let okm = expand(prf, prk.expose(), &[&info[..3], &info[3..]], 42).unwrap();
        let expected = [
            0x3c, 0xb2, 0x5f, 0x25, 0xfa, 0xac, 0xd5, 0x7a, 0x90, 0x43, 0x4f, 0x64, 0xd0, 0x36, 0x2f, 0x2a,
            0x2d, 0x2d, 0x0a, 0x90, 0xcf, 0x1a, 0x5a, 0x4c, 0x5d, 0xb0, 0x2d, 0x56, 0xec, 0xc4, 0xc5, 0xbf,
            0x34, 0x00, 0x72, 0x08, 0xd5, 0xb8, 0x87, 0x18, 0x58, 0x65,
        ];
        assert_eq!(okm.expose(), expected);
    }

    #[test]
    fn refuses_more_than_255_outputs() {
        let prf = provider().prf(HashAlgorithm::Sha256).unwrap();
        assert!(expand(prf, &[1; 32], &[], 255 * 32).is_ok());
        assert_eq!(expand(prf, &[1; 32], &[], 255 * 32 + 1), Err(CryptoError::Length));
    }
}
