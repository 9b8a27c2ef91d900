//! ENCRYPTED (RFC 7401 section 5.2.18).

use claviger_crypto::{CryptoError, CryptoProvider, Random, cipher::BLOCK_LEN};
use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

use crate::{
    iana::{CipherId, ParameterType},
    keys::EncryptionKey,
};

use super::{Parameter, parameter::PARAMETER_ALIGNMENT};

/// Parameters that only the peer can read: the IV, if the cipher has one, and the ciphertext.
///
/// ```text
/// |                           Reserved                            |
/// |                              IV                               /
/// /                        Encrypted data                         /
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encrypted {
    octets: Vec<u8>,
}

impl Encrypted {
    /// Encrypts whole parameters, as a [`super::ParameterBlock`] holds them.
    ///
    /// # Errors
    ///
    /// [`CryptoError::Unsupported`] if the cipher is unknown, [`CryptoError::Key`] if the key has a wrong length.
    pub fn seal(
        provider: &CryptoProvider,
        cipher: CipherId,
        key: &EncryptionKey,
        parameters: &[u8],
        random: &mut dyn Random,
    ) -> Result<Self, CryptoError> {
        let Some(algorithm) = cipher.algorithm() else {
            return match cipher {
                CipherId::NULL_ENCRYPT => Ok(Self { octets: parameters.to_vec() }),
                _ => Err(CryptoError::Unsupported),
            };
        };
        let key = provider.cipher(algorithm)?.key(key.expose())?;
        let iv: [u8; BLOCK_LEN] = claviger_crypto::random::array(random);
        // PKCS #5: n octets of value n, a whole block of them behind whole blocks.
        let padding = BLOCK_LEN - parameters.len() % BLOCK_LEN;
        let mut data = parameters.to_vec();
        data.resize(parameters.len() + padding, padding as u8);
        key.encrypt(&iv, &mut data)?;
        Ok(Self { octets: [&iv[..], &data].concat() })
    }

    /// Decrypts the parameters; [`super::Parameters::parse`] splits them.
    ///
    /// The caller verifies MAC or signature first: this cipher protects no integrity.
    ///
    /// # Errors
    ///
    /// [`CryptoError::Length`] if the octets are no IV and whole blocks, otherwise as [`Encrypted::seal`].
    pub fn open(
        &self,
        provider: &CryptoProvider,
        cipher: CipherId,
        key: &EncryptionKey,
    ) -> Result<Vec<u8>, CryptoError> {
        let Some(algorithm) = cipher.algorithm() else {
            return match cipher {
                CipherId::NULL_ENCRYPT => Ok(self.octets.clone()),
                _ => Err(CryptoError::Unsupported),
            };
        };
        let key = provider.cipher(algorithm)?.key(key.expose())?;
        let (iv, data) = self.octets.split_first_chunk().ok_or(CryptoError::Length)?;
        let mut data = data.to_vec();
        key.decrypt(iv, &mut data)?;
        data.truncate(data.len() - padding_len(&data));
        Ok(data)
    }
}

/// Says how many octets of padding end the data. Parameters fill multiples of 8 octets, so it is 8, or 16; or none,
/// by senders who read section 5.2.18 as padding only what does not fill its last block.
fn padding_len(data: &[u8]) -> usize {
    let claimed = usize::from(data.last().copied().unwrap_or(0));
    let possible = claimed == PARAMETER_ALIGNMENT || claimed == BLOCK_LEN;
    let uniform = possible && data.iter().rev().take(claimed).all(|&octet| usize::from(octet) == claimed);
    if uniform && data.len() >= claimed { claimed } else { 0 }
}

impl Parameter for Encrypted {
    const TYPE: ParameterType = ParameterType::ENCRYPTED;
}

impl Encode for Encrypted {
    fn encode(&self, w: &mut Writer) {
        w.zeros(4);
        w.slice(&self.octets);
    }
}

impl<'a> Decode<'a> for Encrypted {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        r.u32("reserved")?;
        Ok(Self { octets: r.take_rest().to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use claviger_crypto::{SecretBytes, SeededRandom, provider};

    use super::*;
    use crate::wire::{ParameterBlock, Parameters, Seq, test::survives};

    const CIPHERS: [CipherId; 3] = [CipherId::NULL_ENCRYPT, CipherId::AES_128_CBC, CipherId::AES_256_CBC];

    fn key(cipher: CipherId) -> EncryptionKey {
        EncryptionKey::new(SecretBytes::new(vec![7; cipher.key_len().unwrap()]))
    }

    #[test]
    fn opens_what_it_sealed_for_one_and_two_parameters() {
        let mut random = SeededRandom::new(1);
        for cipher in CIPHERS {
            for count in 1..=3u32 {
                let mut block = ParameterBlock::new();
                (0..count).for_each(|id| {
                    block.add(&Seq(0x0808_0808 + id));
                });
                let octets = block.octets().unwrap();
                let sealed = Encrypted::seal(provider(), cipher, &key(cipher), octets, &mut random).unwrap();
                survives(&sealed);
                let opened = sealed.open(provider(), cipher, &key(cipher)).unwrap();
                assert_eq!(opened, octets);
                assert_eq!(Parameters::parse(&opened).unwrap().all::<Seq>().unwrap().len(), count as usize);
            }
        }
    }

    #[test]
    fn every_sealing_has_its_own_iv() {
        let mut random = SeededRandom::new(2);
        let cipher = CipherId::AES_128_CBC;
        let mut seal = || Encrypted::seal(provider(), cipher, &key(cipher), &[0; 16], &mut random).unwrap();
        assert_ne!(seal(), seal());
    }

    #[test]
    fn accepts_data_without_padding() {
        let cipher = CipherId::AES_256_CBC;
        let mut data = [1; 32];
        let algorithm = cipher.algorithm().unwrap();
        provider().cipher(algorithm).unwrap().key(&[7; 32]).unwrap().encrypt(&[9; 16], &mut data).unwrap();
        let encrypted = Encrypted { octets: [&[9; 16][..], &data].concat() };
        assert_eq!(encrypted.open(provider(), cipher, &key(cipher)).unwrap(), [1; 32]);
    }

    #[test]
    fn refuses_partial_blocks_and_unknown_ciphers() {
        let cipher = CipherId::AES_128_CBC;
        for length in [0, 15, 17, 31] {
            let encrypted = Encrypted { octets: vec![0; length] };
            assert_eq!(
                encrypted.open(provider(), cipher, &key(cipher)),
                Err(CryptoError::Length),
                "{length}"
            );
        }
        assert_eq!(Encrypted { octets: vec![0; 16] }.open(provider(), cipher, &key(cipher)), Ok(vec![]));
        let encrypted = Encrypted { octets: vec![0; 32] };
        assert_eq!(encrypted.open(provider(), CipherId(3), &key(cipher)), Err(CryptoError::Unsupported));
        assert_eq!(encrypted.open(provider(), CipherId::AES_256_CBC, &key(cipher)), Err(CryptoError::Key));
    }
}
