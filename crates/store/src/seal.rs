//! How records are named and sealed on the disk.

use std::collections::BTreeMap;

use claviger_crypto::{
    CryptoError, CryptoProvider, Random, SecretBytes,
    aead::{Aead, AeadAlgorithm, AeadKey, NONCE_LEN, TAG_LEN},
    hash::HashAlgorithm,
    hkdf,
    prf::Prf,
    random::array,
    secret::ct_eq,
};
use claviger_sansio::durable::{RecordKey, Table};
use claviger_wire::{DecodeError, Reader};
use zeroize::Zeroizing;

/// The format of the records, bound into every seal and into the key check.
pub(crate) const FORMAT: u32 = 1;

/// The octets of a record's key: 16 for its scope, 16 for its item.
pub(crate) const INDEX_LEN: usize = 2 * DIGEST_LEN;

/// The octets that prove a key to be the right one.
pub(crate) const CHECK_LEN: usize = 32;

/// The octets that prove a mark to be this store's.
pub(crate) const MARK_PROOF_LEN: usize = 16;

/// The octets kept of each keyed digest.
const DIGEST_LEN: usize = 16;

/// The octets of an epoch.
const EPOCH_LEN: usize = 16;

/// The octets before the sealed part: format, epoch, counter.
const HEADER_LEN: usize = 1 + EPOCH_LEN + 8;

/// The keys of epochs that a reader keeps at hand. More only cost a derivation each time.
const EPOCH_KEYS_MAX: usize = 64;

/// Marks the digest of a scope.
const SCOPE: u8 = 1;

/// Marks the digest of an item.
const ITEM: u8 = 2;

/// A record's key in the database.
pub(crate) type Index = [u8; INDEX_LEN];

type Epoch = [u8; EPOCH_LEN];

/// What is derived from the key file and does not change.
pub(crate) struct StoreKeys {
    prf: &'static dyn Prf,
    aead: &'static dyn Aead,
    root: SecretBytes,
    index: SecretBytes,
}

impl StoreKeys {
    /// Derives the keys from the content of the key file.
    pub(crate) fn derive(provider: &CryptoProvider, key: &SecretBytes) -> Result<Self, CryptoError> {
        let prf = provider.prf(HashAlgorithm::Sha256)?;
        let aead = provider.aead(AeadAlgorithm::Aes256Gcm)?;
        let root = hkdf::extract(prf, b"claviger store", key.expose());
        let index = hkdf::expand(prf, root.expose(), &[b"index"], 32)?;
        Ok(Self { prf, aead, root, index })
    }

    /// Computes what the database keeps to recognise the key by.
    pub(crate) fn check(&self) -> Result<SecretBytes, CryptoError> {
        hkdf::expand(self.prf, self.root.expose(), &[b"check", &FORMAT.to_be_bytes()], CHECK_LEN)
    }

    /// Says whether the database's check belongs to this key.
    pub(crate) fn proves(&self, check: &[u8]) -> Result<bool, CryptoError> {
        Ok(ct_eq(self.check()?.expose(), check))
    }

    /// Computes what proves that this store wrote the mark of so many commits.
    pub(crate) fn mark_proof(&self, commits: u64) -> Result<SecretBytes, CryptoError> {
        hkdf::expand(self.prf, self.root.expose(), &[b"mark", &commits.to_be_bytes()], MARK_PROOF_LEN)
    }

    /// Says whether this store wrote the mark of so many commits.
    pub(crate) fn proves_mark(&self, commits: u64, proof: &[u8]) -> Result<bool, CryptoError> {
        Ok(ct_eq(self.mark_proof(commits)?.expose(), proof))
    }

    /// Computes a record's key in the database.
    pub(crate) fn index(&self, table: Table, key: &RecordKey) -> Index {
        let mut index = [0; INDEX_LEN];
        index[..DIGEST_LEN].copy_from_slice(&self.digest(SCOPE, table, &key.scope, b""));
        index[DIGEST_LEN..].copy_from_slice(&self.digest(ITEM, table, &key.scope, &key.item));
        index
    }

    /// Computes the lowest and the highest key that a record of a scope can have.
    pub(crate) fn scope_bounds(&self, table: Table, scope: &[u8]) -> (Index, Index) {
        let (mut low, mut high) = ([0; INDEX_LEN], [0xff; INDEX_LEN]);
        let digest = self.digest(SCOPE, table, scope, b"");
        low[..DIGEST_LEN].copy_from_slice(&digest);
        high[..DIGEST_LEN].copy_from_slice(&digest);
        (low, high)
    }

    fn digest(&self, kind: u8, table: Table, scope: &[u8], item: &[u8]) -> [u8; DIGEST_LEN] {
        let table = table.name().as_bytes();
        // Lengths stand before all but the last part, so that no two names give the same octets.
        let head = [kind, u8::try_from(table.len()).expect("a table's name has at most 255 octets")];
        let scope_len = (scope.len() as u64).to_be_bytes();
        let digest = self.prf.prf(self.index.expose(), &[&head, table, &scope_len, scope, item]);
        *digest.first_chunk().expect("SHA-256 has more than 16 octets")
    }

    fn epoch_key(&self, epoch: &Epoch) -> Result<Box<dyn AeadKey>, CryptoError> {
        let length = AeadAlgorithm::Aes256Gcm.key_len();
        let key = hkdf::expand(self.prf, self.root.expose(), &[b"epoch", epoch], length)?;
        self.aead.key(key.expose())
    }
}

/// Seals records under the key of one epoch. It is made anew at each opening of a store, and not cloned.
pub(crate) struct Sealer {
    epoch: Epoch,
    key: Box<dyn AeadKey>,
    counter: u64,
}

impl Sealer {
    /// Draws an epoch.
    pub(crate) fn new(keys: &StoreKeys, random: &mut dyn Random) -> Result<Self, CryptoError> {
        let epoch = array(random);
        Ok(Self { epoch, key: keys.epoch_key(&epoch)?, counter: 0 })
    }

    /// Seals one record. The caller has checked its lengths.
    pub(crate) fn seal(
        &mut self,
        table: Table,
        index: &Index,
        key: &RecordKey,
        value: &SecretBytes,
    ) -> Result<Vec<u8>, CryptoError> {
        // Counted before use: a seal that fails, or whose commit does, has still used its nonce up.
        self.counter = self.counter.checked_add(1).expect("a process seals fewer than 2^64 records");
        let plaintext_len = 2 + key.scope.len() + 2 + key.item.len() + value.len();
        // The room is exact, so that no growing buffer leaves plaintext behind.
        let mut record = Zeroizing::new(Vec::with_capacity(HEADER_LEN + plaintext_len + TAG_LEN));
        record.push(FORMAT as u8);
        record.extend_from_slice(&self.epoch);
        record.extend_from_slice(&self.counter.to_be_bytes());
        for part in [&key.scope, &key.item] {
            let length = u16::try_from(part.len()).map_err(|_| CryptoError::Length)?;
            record.extend_from_slice(&length.to_be_bytes());
            record.extend_from_slice(part);
        }
        record.extend_from_slice(value.expose());
        let aad = additional_data(table, index);
        let tag = self.key.seal(&nonce(self.counter), &aad, &mut record[HEADER_LEN..])?;
        record.extend_from_slice(&tag);
        Ok(std::mem::take(&mut *record))
    }
}

/// Opens records of any epoch.
pub(crate) struct Opener<'a> {
    keys: &'a StoreKeys,
    epoch_keys: BTreeMap<Epoch, Box<dyn AeadKey>>,
}

impl<'a> Opener<'a> {
    /// Starts with no epoch's key at hand.
    pub(crate) fn new(keys: &'a StoreKeys) -> Self {
        Self { keys, epoch_keys: BTreeMap::new() }
    }

    /// Opens one record. An error means that it was altered, moved, or never written by this store.
    pub(crate) fn open(
        &mut self,
        table: Table,
        index: &Index,
        record: &[u8],
    ) -> Result<(RecordKey, SecretBytes), RecordError> {
        let mut r = Reader::new(record);
        if r.u8("format")? != FORMAT as u8 {
            return Err(RecordError);
        }
        let epoch: Epoch = r.array("epoch")?;
        let counter = r.u64("counter")?;
        let mut sealed = Zeroizing::new(r.take_rest().to_vec());
        let aad = additional_data(table, index);
        let plaintext = self.epoch_key(epoch)?.open(&nonce(counter), &aad, &mut sealed)?;

        let mut r = Reader::new(plaintext);
        let scope_len = r.u16("length of scope")?;
        let scope = r.slice(scope_len.into(), "scope")?;
        let item_len = r.u16("length of item")?;
        let item = r.slice(item_len.into(), "item")?;
        Ok((RecordKey::new(scope, item), SecretBytes::copy_of(r.take_rest())))
    }

    fn epoch_key(&mut self, epoch: Epoch) -> Result<&dyn AeadKey, CryptoError> {
        if !self.epoch_keys.contains_key(&epoch) {
            if self.epoch_keys.len() >= EPOCH_KEYS_MAX {
                self.epoch_keys.clear();
            }
            self.epoch_keys.insert(epoch, self.keys.epoch_key(&epoch)?);
        }
        Ok(&*self.epoch_keys[&epoch])
    }
}

/// A record that does not open. There is nothing more to tell: the table says where to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordError;

impl From<DecodeError> for RecordError {
    fn from(_: DecodeError) -> Self {
        Self
    }
}

impl From<CryptoError> for RecordError {
    fn from(_: CryptoError) -> Self {
        Self
    }
}

fn nonce(counter: u64) -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    nonce[NONCE_LEN - 8..].copy_from_slice(&counter.to_be_bytes());
    nonce
}

fn additional_data(table: Table, index: &Index) -> Vec<u8> {
    [&FORMAT.to_be_bytes()[..], index, table.name().as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use claviger_crypto::{SeededRandom, provider};

    use super::*;

    const MEMBER: Table = Table::new("member");
    const GROUP: Table = Table::new("group");

    fn keys() -> StoreKeys {
        StoreKeys::derive(provider(), &SecretBytes::copy_of(&[7; 32])).unwrap()
    }

    fn sealed(keys: &StoreKeys) -> (RecordKey, Index, Vec<u8>) {
        let key = RecordKey::new(*b"a group", *b"a member");
        let index = keys.index(MEMBER, &key);
        let mut sealer = Sealer::new(keys, &mut SeededRandom::new(1)).unwrap();
        let record = sealer.seal(MEMBER, &index, &key, &SecretBytes::copy_of(b"a value")).unwrap();
        (key, index, record)
    }

    #[test]
    fn opens_what_it_sealed() {
        let keys = keys();
        let (key, index, record) = sealed(&keys);
        let opened = Opener::new(&keys).open(MEMBER, &index, &record).unwrap();
        assert_eq!(opened, (key, SecretBytes::copy_of(b"a value")));
    }

    #[test]
    fn refuses_every_flipped_bit_and_every_cut() {
        let keys = keys();
        let (_, index, record) = sealed(&keys);
        for bit in 0..record.len() * 8 {
            let mut forged = record.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Opener::new(&keys).open(MEMBER, &index, &forged), Err(RecordError), "bit {bit}");
        }
        for length in 0..record.len() {
            assert_eq!(Opener::new(&keys).open(MEMBER, &index, &record[..length]), Err(RecordError));
        }
    }

    #[test]
    fn refuses_a_record_in_another_place_or_under_another_key() {
        let keys = keys();
        let (key, index, record) = sealed(&keys);
        let elsewhere = keys.index(MEMBER, &RecordKey::new(key.scope.clone(), *b"another"));
        assert_eq!(Opener::new(&keys).open(MEMBER, &elsewhere, &record), Err(RecordError));
        assert_eq!(Opener::new(&keys).open(GROUP, &index, &record), Err(RecordError));
        let other = StoreKeys::derive(provider(), &SecretBytes::copy_of(&[8; 32])).unwrap();
        assert_eq!(Opener::new(&other).open(MEMBER, &index, &record), Err(RecordError));
        assert!(!other.proves(keys.check().unwrap().expose()).unwrap());
        assert!(keys.proves(keys.check().unwrap().expose()).unwrap());
    }

    #[test]
    fn no_two_records_share_epoch_and_counter() {
        let keys = keys();
        let mut random = SeededRandom::new(2);
        let mut seen = BTreeSet::new();
        let (key, index, _) = sealed(&keys);
        for _ in 0..8 {
            let mut sealer = Sealer::new(&keys, &mut random).unwrap();
            for _ in 0..8 {
                let record = sealer.seal(MEMBER, &index, &key, &SecretBytes::copy_of(b"v")).unwrap();
                assert!(seen.insert(record[1..HEADER_LEN].to_vec()));
            }
        }
    }

    #[test]
    fn reads_more_epochs_than_it_keeps_keys_of() {
        let keys = keys();
        let mut random = SeededRandom::new(3);
        let mut opener = Opener::new(&keys);
        let (key, index, _) = sealed(&keys);
        for round in 0..EPOCH_KEYS_MAX as u32 + 2 {
            let mut sealer = Sealer::new(&keys, &mut random).unwrap();
            let value = SecretBytes::copy_of(&round.to_be_bytes());
            let record = sealer.seal(MEMBER, &index, &key, &value).unwrap();
            assert_eq!(opener.open(MEMBER, &index, &record).unwrap().1, value);
            assert!(opener.epoch_keys.len() <= EPOCH_KEYS_MAX);
        }
    }

    #[test]
    fn names_that_run_together_have_different_digests() {
        let keys = keys();
        let names = [(*b"ab", &b"c"[..]), (*b"a\0", b"bc"), (*b"ab", b""), (*b"ab", b"cc")];
        let indices: BTreeSet<Index> =
            names.iter().map(|(scope, item)| keys.index(MEMBER, &RecordKey::new(*scope, *item))).collect();
        assert_eq!(indices.len(), names.len());
        assert_ne!(
            keys.index(MEMBER, &RecordKey::new(*b"a", *b"bc")),
            keys.index(MEMBER, &RecordKey::new(*b"ab", *b"c"))
        );
        let (low, high) = keys.scope_bounds(MEMBER, b"ab");
        let inside = indices.iter().filter(|index| (low..=high).contains(*index)).count();
        assert_eq!(inside, 3, "a scope's records lie between its bounds, and no others");
    }
}
