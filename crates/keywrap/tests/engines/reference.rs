//! The same operations by aws-lc, one job after the other.

use aws_lc_rs::{
    cmac,
    key_wrap::{AES_128, AES_256, AesKek, KeyWrap, KeyWrapPadded},
};
use claviger_crypto::{
    cipher::{CipherAlgorithm, CipherKey},
    provider,
};

/// RFC 3394.
pub(crate) fn wrap(under: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let mut out = vec![0; plaintext.len() + 8];
    let length = kek(under).wrap(plaintext, &mut out).expect("aws-lc wraps").len();
    assert_eq!(length, out.len());
    out
}

/// RFC 3394; `None` if the check value is wrong.
pub(crate) fn unwrap(under: &[u8], ciphertext: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![0; ciphertext.len()];
    kek(under).unwrap(ciphertext, &mut out).ok().map(|plaintext| plaintext.to_vec())
}

/// RFC 5649.
pub(crate) fn wrap_padded(under: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let mut out = vec![0; plaintext.len() + 15];
    kek(under).wrap_with_padding(plaintext, &mut out).expect("aws-lc wraps").to_vec()
}

/// RFC 5649; `None` if the check value or the padding is wrong.
pub(crate) fn unwrap_padded(under: &[u8], ciphertext: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![0; ciphertext.len()];
    kek(under).unwrap_with_padding(ciphertext, &mut out).ok().map(|plaintext| plaintext.to_vec())
}

/// AES-CBC without padding.
pub(crate) fn encrypt_cbc(under: &[u8], iv: &[u8; 16], plaintext: &[u8]) -> Vec<u8> {
    let mut out = plaintext.to_vec();
    cbc(under).encrypt(iv, &mut out).expect("the plaintext is whole blocks");
    out
}

/// AES-CBC without padding.
pub(crate) fn decrypt_cbc(under: &[u8], iv: &[u8; 16], ciphertext: &[u8]) -> Vec<u8> {
    let mut out = ciphertext.to_vec();
    cbc(under).decrypt(iv, &mut out).expect("the ciphertext is whole blocks");
    out
}

/// NIST SP 800-108r1 in counter mode with AES-CMAC, label `advance`, as many octets as the key has.
pub(crate) fn advance(key: &[u8]) -> Vec<u8> {
    derive(key, b"advance", key.len())
}

/// NIST SP 800-108r1 in counter mode with AES-CMAC, label `lkh iv `, 16 octets.
pub(crate) fn derive_iv(key: &[u8]) -> Vec<u8> {
    derive(key, b"lkh iv ", 16)
}

fn derive(key: &[u8], label: &[u8], length: usize) -> Vec<u8> {
    let algorithm = if key.len() == 16 { cmac::AES_128 } else { cmac::AES_256 };
    let key = cmac::Key::new(algorithm, key).expect("the key has the algorithm's length");
    let bits = u32::try_from(8 * length).expect("a key is short");
    let block = |i: u32| {
        let message = [&i.to_be_bytes()[..], label, &[0], &bits.to_be_bytes()].concat();
        cmac::sign(&key, &message).expect("aws-lc computes a CMAC")
    };
    (1..=length as u32 / 16).flat_map(|i| block(i).as_ref().to_vec()).collect()
}

fn kek(under: &[u8]) -> AesKek {
    let algorithm = if under.len() == 16 { &AES_128 } else { &AES_256 };
    AesKek::new(algorithm, under).expect("the key has the algorithm's length")
}

fn cbc(under: &[u8]) -> Box<dyn CipherKey> {
    let algorithm = if under.len() == 16 { CipherAlgorithm::Aes128Cbc } else { CipherAlgorithm::Aes256Cbc };
    let cipher = provider().cipher(algorithm).expect("the provider has AES-CBC");
    cipher.key(under).expect("the key has the cipher's length")
}
