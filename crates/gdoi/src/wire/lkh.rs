//! The arrays of LKH keys inside a KD (RFC 6407 sections 5.6.3.1 and 5.6.3.2).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! !  LKH Version  !          # of LKH Keys        !  RESERVED     !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+  update
//! !            LKH ID             !           RESERVED2           !  array
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+  only
//! !                           Key Handle                          !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ~                            LKH Keys                           ~
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//!
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! !             LKH ID            !    Key Type   !    RESERVED   !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! !                        Key Creation Date                      !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! !                       Key Expiration Date                     !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! !                           Key Handle                          !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ~                            Key Data                           ~
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! An LKH key does not say how long it is. All keys of an array belong to one KEK and have one algorithm, so
//! they divide the attribute into equal parts. Key Data is the IV and then the key (RFC 6407 section 5.6.3.1);
//! in an update array that, encrypted.

use claviger_crypto::{SecretBytes, cipher::BLOCK_LEN};
use claviger_wire::{Decode, DecodeError, Reader, Writer};

use crate::{
    error::{ApiMisuse, Error, PeerIncompatible},
    limits::LKH_KEYS_MAX,
};

/// The keys from a member's leaf to the root, for that member alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LkhDownloadArray {
    /// The keys: the leaf's first, the group KEK last; 1 to 64.
    pub keys: Vec<LkhKey>,
}

/// New keys from above one node to the root, each encrypted under the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LkhUpdateArray {
    /// LKH ID of the node whose key encrypts the first.
    pub id: u16,
    /// Key Handle of that key.
    pub handle: u32,
    /// The keys: the new group KEK last; 1 to 64.
    pub keys: Vec<LkhKey>,
}

/// One key of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LkhKey {
    /// LKH ID: which node.
    pub id: u16,
    /// Key Type: the value of KEK_ALGORITHM.
    pub key_type: u8,
    /// Key Creation Date, in seconds since 1970; zero is unknown.
    pub created: u32,
    /// Key Expiration Date, in seconds since 1970; zero is never.
    pub expires: u32,
    /// Key Handle: which of the node's successive keys.
    pub handle: u32,
    /// Key Data: the IV of 16 octets, then the key; in an update array that, encrypted.
    pub data: SecretBytes,
}

/// The version of the arrays' format.
const VERSION: u8 = 1;

/// The octets of an LKH key before its data.
const KEY_HEADER_LEN: usize = 16;

/// The octets of an update array before its keys.
const UPDATE_HEADER_LEN: usize = 12;

impl Decode<'_, Error> for LkhDownloadArray {
    fn decode(r: &mut Reader<'_>) -> Result<Self, Error> {
        let count = decode_head(r)?;
        Ok(Self { keys: decode_keys(r, count)? })
    }
}

impl LkhDownloadArray {
    /// Writes the value of an LKH_DOWNLOAD_ARRAY attribute.
    ///
    /// # Errors
    ///
    /// [`Error::ApiMisuse`] for no keys, too many, or keys of unequal length.
    pub fn encode(&self, w: &mut Writer) -> Result<(), Error> {
        encode_head(w, &self.keys)?;
        encode_keys(w, &self.keys);
        Ok(())
    }
}

impl Decode<'_, Error> for LkhUpdateArray {
    fn decode(r: &mut Reader<'_>) -> Result<Self, Error> {
        let count = decode_head(r)?;
        let id = r.u16("LKH ID")?;
        r.zeros(2, "LKH RESERVED2")?;
        let handle = r.u32("LKH key handle")?;
        Ok(Self { id, handle, keys: decode_keys(r, count)? })
    }
}

impl LkhUpdateArray {
    /// Writes the value of an LKH_UPDATE_ARRAY attribute.
    ///
    /// # Errors
    ///
    /// [`Error::ApiMisuse`] for no keys, too many, or keys of unequal length.
    pub fn encode(&self, w: &mut Writer) -> Result<(), Error> {
        encode_head(w, &self.keys)?;
        w.u16(self.id);
        w.u16(0);
        w.u32(self.handle);
        encode_keys(w, &self.keys);
        Ok(())
    }

    /// Says how many octets the attribute has, its own header of four included.
    pub fn encoded_len(&self) -> usize {
        4 + UPDATE_HEADER_LEN + self.keys.iter().map(|key| KEY_HEADER_LEN + key.data.len()).sum::<usize>()
    }
}

fn decode_head(r: &mut Reader<'_>) -> Result<usize, Error> {
    let version = r.u8("LKH version")?;
    if version != VERSION {
        return Err(PeerIncompatible::LkhVersion(version).into());
    }
    let count = r.u16("number of LKH keys")?.into();
    r.zeros(1, "LKH RESERVED")?;
    match count {
        0 => Err(DecodeError::Missing { what: "LKH key" }.into()),
        1..=LKH_KEYS_MAX => Ok(count),
        _ => Err(DecodeError::TooMany { what: "LKH keys", limit: LKH_KEYS_MAX }.into()),
    }
}

fn encode_head(w: &mut Writer, keys: &[LkhKey]) -> Result<(), Error> {
    let length = keys.first().map_or(0, |key| key.data.len());
    let uniform = length > 0 && keys.iter().all(|key| key.data.len() == length);
    if keys.len() > LKH_KEYS_MAX || !uniform {
        return Err(ApiMisuse::MessageTooLong.into());
    }
    w.u8(VERSION);
    w.u16(keys.len() as u16);
    w.u8(0);
    Ok(())
}

fn decode_keys(r: &mut Reader<'_>, count: usize) -> Result<Vec<LkhKey>, Error> {
    let length = r.remaining() / count;
    let data_len = length.saturating_sub(KEY_HEADER_LEN);
    // An IV and a key of one or two blocks: nothing else is a key of AES in CBC mode.
    if r.remaining() != length * count || ![2 * BLOCK_LEN, 3 * BLOCK_LEN].contains(&data_len) {
        return Err(DecodeError::Length { field: "LKH keys" }.into());
    }
    (0..count)
        .map(|_| {
            let id = r.u16("LKH ID")?;
            let key_type = r.u8("LKH key type")?;
            r.zeros(1, "LKH key RESERVED")?;
            Ok(LkhKey {
                id,
                key_type,
                created: r.u32("LKH key creation date")?,
                expires: r.u32("LKH key expiration date")?,
                handle: r.u32("LKH key handle")?,
                data: SecretBytes::copy_of(r.slice(data_len, "LKH key data")?),
            })
        })
        .collect()
}

fn encode_keys(w: &mut Writer, keys: &[LkhKey]) {
    for key in keys {
        w.u16(key.id);
        w.u8(key.key_type);
        w.u8(0);
        w.u32(key.created);
        w.u32(key.expires);
        w.u32(key.handle);
        w.slice(key.data.expose());
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::wire::{octets_of, refuses_every_cut};

    pub(crate) fn key(id: u16, length: usize) -> LkhKey {
        LkhKey {
            id,
            key_type: 3,
            created: 1,
            expires: 2,
            handle: id.into(),
            data: SecretBytes::new(vec![7; 16 + length]),
        }
    }

    #[test]
    fn reads_what_it_writes_and_refuses_every_cut() {
        for length in [16, 32] {
            let keys = vec![key(1, length), key(2, length), key(3, length)];
            let download = LkhDownloadArray { keys: keys.clone() };
            let octets = octets_of(|w| download.encode(w));
            assert_eq!(refuses_every_cut(&octets, |octets| LkhDownloadArray::from_octets(octets)), download);
            let update = LkhUpdateArray { id: 4, handle: 5, keys };
            let octets = octets_of(|w| update.encode(w));
            assert_eq!(octets.len() + 4, update.encoded_len());
            assert_eq!(refuses_every_cut(&octets, |octets| LkhUpdateArray::from_octets(octets)), update);
        }
    }

    #[test]
    fn refuses_counts_that_do_not_divide_the_attribute() {
        let octets = octets_of(|w| LkhDownloadArray { keys: vec![key(1, 16), key(2, 16)] }.encode(w));
        for (count, reason) in
            [(0u16, "malformed"), (1, "malformed"), (3, "malformed"), (0xffff, "malformed")]
        {
            let mut octets = octets.clone();
            octets[1..3].copy_from_slice(&count.to_be_bytes());
            assert_eq!(LkhDownloadArray::from_octets(&octets).unwrap_err().reason(), reason, "{count}");
        }
        let mut other_version = octets;
        other_version[0] = 2;
        assert_eq!(LkhDownloadArray::from_octets(&other_version).unwrap_err().reason(), "unsupported");
    }

    #[test]
    fn does_not_write_what_cannot_be_read() {
        let mut w = Writer::new();
        for keys in [vec![], vec![key(1, 16), key(2, 32)], vec![key(1, 16); LKH_KEYS_MAX + 1]] {
            assert!(LkhDownloadArray { keys }.encode(&mut w).is_err());
        }
    }
}
