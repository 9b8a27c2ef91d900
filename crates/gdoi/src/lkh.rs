//! The member's array of tree keys, and the arrays that replace them (RFC 6407 sections 4.4, 5.6.3; RFC 2627
//! section 5.4).
//!
//! A member holds the keys on the path from its leaf to the root; the root's is the group KEK. When the tree
//! changes, the key server replaces the keys above some node. Each update array begins at a node whose key did not
//! change and leads up to the root:
//!
//! ```text
//! header: node 5, handle 1      the key that encrypts the first
//! keys:   node 2 { under 5 }    node 1 { under the new 2 }    root { under the new 1 }
//! ```
//!
//! An array may also begin with a new key of its first node, encrypted by that node's old key; a member then holds the
//! new one instead. So a member holds one key for each node of its path, however often keys are replaced.
//!
//! Key and IV of a node travel together; what a key encrypts, it encrypts with its own IV.

use claviger_crypto::{
    CryptoError, CryptoProvider, SecretBytes,
    cipher::{BLOCK_LEN, CipherAlgorithm},
};
use claviger_group::CookiePair;
use claviger_keywrap::{CbcJob, Engine};

use crate::{
    error::{ApiMisuse, Error, PeerMisbehaved},
    iana::kek,
    limits::LKH_KEYS_MAX,
    policy::check_lkh_key,
    push::KekMaterial,
    wire::{LkhDownloadArray, LkhKey, LkhUpdateArray},
};

/// One key of a tree, in the clear: a link of the chain from a leaf to the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// LKH ID: which node.
    pub id: u16,
    /// Key Handle: which of the node's successive keys.
    pub handle: u32,
    /// The IV with which the key encrypts.
    pub iv: [u8; BLOCK_LEN],
    /// The key.
    pub key: SecretBytes,
}

impl Link {
    /// Takes a node's key.
    pub fn new(id: u16, handle: u32, iv: [u8; BLOCK_LEN], key: &[u8]) -> Self {
        Self { id, handle, iv, key: SecretBytes::copy_of(key) }
    }

    fn from_wire(key: &LkhKey, plaintext: &[u8]) -> Result<Self, Error> {
        let (iv, octets) =
            plaintext.split_first_chunk::<BLOCK_LEN>().ok_or(PeerMisbehaved::UpdateArrayContent)?;
        Ok(Self { id: key.id, handle: key.handle, iv: *iv, key: SecretBytes::copy_of(octets) })
    }

    fn to_wire(&self, data: SecretBytes) -> LkhKey {
        let key_type = kek::ALGORITHM_AES as u8;
        LkhKey { id: self.id, key_type, created: 0, expires: 0, handle: self.handle, data }
    }

    /// Key Data: the IV, then the key.
    fn data(&self) -> SecretBytes {
        SecretBytes::with(BLOCK_LEN + self.key.len(), |octets| {
            octets[..BLOCK_LEN].copy_from_slice(&self.iv);
            octets[BLOCK_LEN..].copy_from_slice(self.key.expose());
        })
    }
}

/// The keys that a member holds: its leaf's first, the root's last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyArray {
    keys: Vec<Link>,
}

/// New keys that are not in use yet. [`KeyArray::commit`] takes them into use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedKeys {
    keys: Vec<Link>,
}

impl KeyArray {
    /// Takes the keys that a GROUPKEY-PULL brought.
    ///
    /// # Errors
    ///
    /// [`PeerMisbehaved`] if a key has not the KEK's type and length, or there is none.
    pub fn new(download: &LkhDownloadArray, cipher: CipherAlgorithm) -> Result<Self, Error> {
        let keys = download
            .keys
            .iter()
            .map(|key| {
                check_lkh_key(cipher, key)?;
                Link::from_wire(key, key.data.expose())
            })
            .collect::<Result<Vec<_>, Error>>()?;
        if keys.is_empty() {
            return Err(PeerMisbehaved::KeyMissing.into());
        }
        Ok(Self { keys })
    }

    //= rfc6407#section-4.4
    //# If the KD payload
    //# includes an LKH update array, the group member compares the LKH ID in
    //# each key update packet to the LKH IDs that it holds.  If it finds a
    //# match, it decrypts the key using the key prior to it in the key array
    //# and stores the new key in the LKH key array that it holds.  The final
    //# decryption yields the new group KEK.
    /// Decrypts the new keys that are meant for this member. An array leads up to the root, so that it replaces
    /// everything above the node where it begins, and that node's own key too if it brings a new one.
    ///
    /// # Errors
    ///
    /// [`PeerMisbehaved::UpdateArrayNotForUs`] if no array begins at a key that is held here: this member is
    /// excluded, or its array is in another message. [`PeerMisbehaved::KeyLength`] and
    /// [`PeerMisbehaved::LkhKeyType`] if a new key is not for `cipher`, which is the new rekey SA's.
    pub fn apply(
        &self,
        updates: &[LkhUpdateArray],
        provider: &CryptoProvider,
        cipher: CipherAlgorithm,
    ) -> Result<StagedKeys, Error> {
        let mut keys = self.keys.clone();
        let mut found = false;
        for update in updates {
            let held = keys.iter().position(|key| key.id == update.id && key.handle == update.handle);
            let Some(held) = held else { continue };
            if keys.len().min(held + 1) + update.keys.len() > LKH_KEYS_MAX {
                return Err(PeerMisbehaved::UpdateArrayContent.into());
            }
            found = true;
            keys.truncate(held + 1);
            for wrapped in &update.keys {
                check_lkh_key(cipher, wrapped)?;
                let wrapping = keys.last().ok_or(PeerMisbehaved::UpdateArrayContent)?;
                let unwrapped = unwrap(provider, wrapping, wrapped)?;
                // A node has one key at a time. Its new key may come under its old one, as the root's does when nobody
                // joined or left: what it replaces must not stay.
                keys.retain(|key| key.id != unwrapped.id);
                keys.push(unwrapped);
            }
        }
        if found { Ok(StagedKeys { keys }) } else { Err(PeerMisbehaved::UpdateArrayNotForUs.into()) }
    }

    /// Takes new keys into use.
    pub fn commit(&mut self, staged: StagedKeys) {
        self.keys = staged.keys;
    }

    /// Shows the keys: the leaf's first, the root's last.
    pub fn keys(&self) -> &[Link] {
        &self.keys
    }

    /// Shows IV and key of the root: the group KEK.
    pub fn root(&self) -> (&[u8; BLOCK_LEN], &SecretBytes) {
        root(&self.keys)
    }

    /// Makes the group KEK of a rekey SA.
    pub fn kek(&self, spi: CookiePair) -> KekMaterial {
        kek_material(&self.keys, spi)
    }
}

impl StagedKeys {
    /// Shows the keys: the leaf's first, the root's last.
    pub fn keys(&self) -> &[Link] {
        &self.keys
    }

    /// Shows IV and key of the root: the new group KEK.
    pub fn root(&self) -> (&[u8; BLOCK_LEN], &SecretBytes) {
        root(&self.keys)
    }

    /// Makes the new group KEK of a rekey SA.
    pub fn kek(&self, spi: CookiePair) -> KekMaterial {
        kek_material(&self.keys, spi)
    }
}

fn root(keys: &[Link]) -> (&[u8; BLOCK_LEN], &SecretBytes) {
    let root = keys.last().expect("an array of keys is never empty");
    (&root.iv, &root.key)
}

fn kek_material(keys: &[Link], spi: CookiePair) -> KekMaterial {
    let root = keys.last().expect("an array of keys is never empty");
    let cipher = cipher_of(root).expect("every key was checked when it arrived");
    KekMaterial { spi, cipher, iv: root.iv, key: root.key.clone() }
}

/// Says for which cipher a key is: its length tells. Old and new keys can differ when the policy changed.
fn cipher_of(key: &Link) -> Result<CipherAlgorithm, CryptoError> {
    [CipherAlgorithm::Aes128Cbc, CipherAlgorithm::Aes256Cbc]
        .into_iter()
        .find(|cipher| cipher.key_len() == key.key.len())
        .ok_or(CryptoError::Key)
}

fn unwrap(provider: &CryptoProvider, wrapping: &Link, wrapped: &LkhKey) -> Result<Link, Error> {
    let key = provider.cipher(cipher_of(wrapping)?)?.key(wrapping.key.expose())?;
    let mut result = Ok(());
    let data = SecretBytes::with(wrapped.data.len(), |octets| {
        octets.copy_from_slice(wrapped.data.expose());
        result = key.decrypt(&wrapping.iv, octets);
    });
    result?;
    Link::from_wire(wrapped, data.expose())
}

/// A new key, and where it stands among the new keys of one change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// The key.
    pub link: Link,
    /// The new key of the node above, by its place in the list; none for the root's.
    pub parent: Option<usize>,
}

/// Where an array begins: a key that did not change, and that members hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The key.
    pub held: Link,
    /// The new key of the node above, by its place in the list.
    pub first: usize,
}

/// How many keys one change of the tree takes.
///
/// RFC 6407's arrays each lead up to the group KEK, so that the keys on the upper levels stand in many of them. The tree
/// itself needs each only once: kd - 1 for a departure from a full tree of degree k and depth d.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Keys that were encrypted: what the tree needs.
    pub tree_keys: usize,
    /// Keys in the arrays: what this encoding makes of it.
    pub array_keys: usize,
}

/// Makes the arrays of one change of the tree. Every link is encrypted once, all of them together, and its ciphertext is
/// repeated in each array that passes there.
///
/// # Errors
///
/// [`ApiMisuse::KeyTree`] if a place is beyond the list, or parents do not lead to a root within 64 keys;
/// [`ApiMisuse::UnsupportedAlgorithm`] if a new key is not of `cipher`, or a key of none.
pub fn update_arrays(
    new_keys: &[NewKey],
    starts: &[Start],
    cipher: CipherAlgorithm,
) -> Result<(Vec<LkhUpdateArray>, Figures), Error> {
    if new_keys.iter().any(|new| new.link.key.len() != cipher.key_len()) {
        return Err(ApiMisuse::UnsupportedAlgorithm.into());
    }
    let data: Vec<SecretBytes> = new_keys.iter().map(|new| new.link.data()).collect();
    let data_of = |place: usize| data.get(place).ok_or(ApiMisuse::KeyTree);
    // First the links between new keys, by the place of the lower one; then the first links of the arrays.
    let inner = new_keys.iter().filter_map(|new| Some((&new.link, new.parent?)));
    let first = starts.iter().map(|start| (&start.held, start.first));
    let links = inner.chain(first).map(|(under, place)| Ok((under, data_of(place)?)));
    let links = links.collect::<Result<Vec<_>, ApiMisuse>>()?;
    let ciphertexts = encrypt(&links, BLOCK_LEN + cipher.key_len())?;
    let mut ciphertexts = ciphertexts.iter();
    let above: Vec<_> = new_keys.iter().map(|new| new.parent.and_then(|_| ciphertexts.next())).collect();

    let mut arrays = Vec::with_capacity(starts.len());
    for (start, ciphertext) in starts.iter().zip(ciphertexts) {
        let mut keys = Vec::new();
        let mut step = Some((start.first, ciphertext));
        while let Some((place, ciphertext)) = step {
            if keys.len() == LKH_KEYS_MAX {
                return Err(ApiMisuse::KeyTree.into());
            }
            keys.push(new_keys[place].link.to_wire(ciphertext.clone()));
            step = new_keys[place].parent.zip(above[place]);
        }
        arrays.push(LkhUpdateArray { id: start.held.id, handle: start.held.handle, keys });
    }
    let array_keys = arrays.iter().map(|array| array.keys.len()).sum();
    Ok((arrays, Figures { tree_keys: links.len(), array_keys }))
}

/// Makes one array by itself: it leads from a node whose key did not change up to the root.
///
/// `start` is that node's key; `chain` are the new keys above it, the root's last.
///
/// # Errors
///
/// [`ApiMisuse`] if the chain is empty or longer than 64, or a key does not fit the cipher.
pub fn update_array(start: &Link, chain: &[Link], cipher: CipherAlgorithm) -> Result<LkhUpdateArray, Error> {
    let above = |place: usize| Some(place + 1).filter(|above| *above < chain.len());
    let new_key = |(place, link): (usize, &Link)| NewKey { link: link.clone(), parent: above(place) };
    let new_keys: Vec<_> = chain.iter().enumerate().map(new_key).collect();
    let (mut arrays, _) = update_arrays(&new_keys, &[Start { held: start.clone(), first: 0 }], cipher)?;
    Ok(arrays.remove(0))
}

/// Encrypts each text under its link's key and IV. One call of the engine takes keys of one length, and there may be two:
/// members can hold shorter or longer keys than the new ones.
fn encrypt(links: &[(&Link, &SecretBytes)], length: usize) -> Result<Vec<SecretBytes>, Error> {
    let mut ciphertexts: Vec<Option<SecretBytes>> = vec![None; links.len()];
    for cipher in [CipherAlgorithm::Aes128Cbc, CipherAlgorithm::Aes256Cbc] {
        let is_its = |place: &usize| links[*place].0.key.len() == cipher.key_len();
        let places: Vec<usize> = (0..links.len()).filter(is_its).collect();
        let jobs = places.iter().map(|&place| {
            let (under, data) = links[place];
            CbcJob { under: under.key.expose(), iv: &under.iv, plaintext: data.expose() }
        });
        let mut out = vec![0; places.len() * length];
        Engine::best().encrypt_cbc(jobs, &mut out)?;
        for (place, ciphertext) in places.into_iter().zip(out.chunks(length)) {
            ciphertexts[place] = Some(SecretBytes::copy_of(ciphertext));
        }
    }
    ciphertexts
        .into_iter()
        .map(|ciphertext| ciphertext.ok_or(ApiMisuse::UnsupportedAlgorithm.into()))
        .collect()
}

/// Makes the array that gives a member its keys: the leaf's first, the root's last.
pub fn download_array(keys: &[Link]) -> LkhDownloadArray {
    LkhDownloadArray { keys: keys.iter().map(|key| key.to_wire(key.data())).collect() }
}

#[cfg(test)]
mod tests {
    use claviger_crypto::provider;

    use super::*;

    const CIPHER: CipherAlgorithm = CipherAlgorithm::Aes128Cbc;

    fn node(id: u16, handle: u32) -> Link {
        let seed = (id as u8).wrapping_mul(31) ^ handle as u8;
        Link { id, handle, iv: [seed; 16], key: SecretBytes::new(vec![seed ^ 0x55; 16]) }
    }

    fn array(keys: &[Link]) -> KeyArray {
        KeyArray::new(&download_array(keys), CIPHER).unwrap()
    }

    /// Members at the leaves 4, 5 (under 2) and 6 (under 3); leaf 5 leaves: 2 and 1 get new keys.
    #[test]
    fn remaining_members_follow_and_the_departed_cannot() {
        let (l4, l5, l6) = (|| node(4, 1), || node(5, 1), || node(6, 1));
        let (n2, n3, n1) = (|| node(2, 1), || node(3, 1), || node(1, 1));
        let (new2, new1) = (|| node(2, 2), || node(1, 2));
        let updates = [
            update_array(&l4(), &[new2(), new1()], CIPHER).unwrap(),
            update_array(&n3(), &[new1()], CIPHER).unwrap(),
        ];
        let mut four = array(&[l4(), n2(), n1()]);
        four.commit(four.apply(&updates, provider(), CIPHER).unwrap());
        assert_eq!(four, array(&[l4(), new2(), new1()]));
        let mut six = array(&[l6(), n3(), n1()]);
        six.commit(six.apply(&updates, provider(), CIPHER).unwrap());
        assert_eq!(six.keys(), [l6(), n3(), new1()]);
        assert_eq!(six.root(), (&new1().iv, &new1().key));
        let five = array(&[l5(), n2(), n1()]);
        assert_eq!(five.apply(&updates, provider(), CIPHER), Err(PeerMisbehaved::UpdateArrayNotForUs.into()));
    }

    #[test]
    fn links_between_new_keys_are_encrypted_once() {
        let leaves: Vec<_> = (8..12).map(|id| node(id, 1)).collect();
        let chain = [node(2, 9), node(1, 9), node(0, 9)];
        let parents = [Some(1), Some(2), None];
        let new_keys: Vec<_> =
            chain.iter().zip(parents).map(|(link, parent)| NewKey { link: link.clone(), parent }).collect();
        let starts: Vec<_> = leaves.iter().map(|leaf| Start { held: leaf.clone(), first: 0 }).collect();
        let (arrays, figures) = update_arrays(&new_keys, &starts, CIPHER).unwrap();
        assert_eq!(figures, Figures { tree_keys: 4 + 2, array_keys: 4 * 3 });
        assert!(arrays.iter().all(|array| array.keys[1..] == arrays[0].keys[1..]));
        for leaf in &leaves {
            let held = array(&[leaf.clone(), node(2, 8), node(1, 8), node(0, 8)]);
            let staged = held.apply(&arrays, provider(), CIPHER).unwrap();
            assert_eq!(staged.keys()[1..], chain);
            assert_eq!(staged.kek(CookiePair([1; 16])).key, chain[2].key);
        }
    }

    /// Leaves 4 to 11 under 2 to 5 (of ids 20 and up), those under 40 and 41, those under the root; leaf 4 departs.
    #[test]
    fn all_arrays_at_once_are_those_made_one_by_one() {
        for (cipher, length) in [(CipherAlgorithm::Aes128Cbc, 16), (CipherAlgorithm::Aes256Cbc, 32)] {
            let fresh = |id: u16, parent| {
                let link = Link::new(id, 2, [id as u8; 16], &vec![id as u8 ^ 0x33; length]);
                NewKey { link, parent }
            };
            let new_keys = [fresh(20, Some(1)), fresh(40, Some(2)), fresh(0, None)];
            let starts = [(node(5, 1), 0), (node(21, 1), 1), (node(41, 1), 2)]
                .map(|(held, first)| Start { held, first });
            let (arrays, figures) = update_arrays(&new_keys, &starts, cipher).unwrap();
            let chain: Vec<_> = new_keys.iter().map(|new| new.link.clone()).collect();
            let one_by_one: Vec<_> = starts
                .iter()
                .map(|start| update_array(&start.held, &chain[start.first..], cipher).unwrap())
                .collect();
            assert_eq!(arrays, one_by_one);
            // Degree 2, depth 3: kd - 1 keys for the tree, 3 + 2 + 1 in the arrays.
            assert_eq!(figures, Figures { tree_keys: 5, array_keys: 6 });
        }
        assert_eq!(update_arrays(&[], &[], CIPHER), Ok((vec![], Figures::default())));
    }

    #[test]
    fn arrays_need_a_tree() {
        let new = |id, parent| NewKey { link: node(id, 2), parent };
        let start = |first| [Start { held: node(9, 1), first }];
        let refused =
            |new_keys: &[NewKey], starts: &[Start]| update_arrays(new_keys, starts, CIPHER).unwrap_err();
        assert_eq!(refused(&[new(0, None)], &start(1)), ApiMisuse::KeyTree.into());
        assert_eq!(refused(&[new(0, Some(1))], &start(0)), ApiMisuse::KeyTree.into());
        assert_eq!(refused(&[new(0, Some(0))], &start(0)), ApiMisuse::KeyTree.into(), "round and round");
        let long = NewKey { link: Link::new(0, 2, [0; 16], &[0; 32]), parent: None };
        assert_eq!(refused(&[long], &start(0)), ApiMisuse::UnsupportedAlgorithm.into());
        let odd = [Start { held: Link::new(9, 1, [0; 16], &[0; 24]), first: 0 }];
        assert_eq!(refused(&[new(0, None)], &odd), ApiMisuse::UnsupportedAlgorithm.into());
    }

    #[test]
    fn a_path_grows_and_shrinks_with_its_tree() {
        let (leaf, between) = (node(9, 1), node(4, 1));
        let grown = [update_array(&leaf, &[between, node(0, 2)], CIPHER).unwrap()];
        let mut member = array(&[leaf.clone(), node(0, 1)]);
        member.commit(member.apply(&grown, provider(), CIPHER).unwrap());
        assert_eq!(member.keys().len(), 3);
        let shrunk = [update_array(&leaf, &[node(0, 3)], CIPHER).unwrap()];
        member.commit(member.apply(&shrunk, provider(), CIPHER).unwrap());
        assert_eq!(member.keys(), [leaf, node(0, 3)]);
    }

    //   header: root, 1    root, 2 { under root, 1 }
    //   header: root, 2    root, 3 { under root, 2 } ...
    #[test]
    fn a_root_that_is_replaced_under_itself_leaves_nothing_behind() {
        let path = [node(9, 1), node(4, 1)];
        let mut member = array(&[path[0].clone(), path[1].clone(), node(0, 1)]);
        for handle in 2..1000 {
            let update = update_array(&node(0, handle - 1), &[node(0, handle)], CIPHER).unwrap();
            member.commit(member.apply(&[update], provider(), CIPHER).unwrap());
            assert_eq!(member.keys(), [path[0].clone(), path[1].clone(), node(0, handle)]);
        }
    }

    #[test]
    fn any_node_can_be_replaced_under_itself() {
        let (leaf, between, root) = (node(9, 1), node(4, 1), node(0, 1));
        let held = || array(&[leaf.clone(), between.clone(), root.clone()]);
        let new = [node(4, 2), node(0, 2)];
        let after = [leaf.clone(), node(4, 2), node(0, 2)];
        let through_between = update_array(&between, &new, CIPHER).unwrap();
        let through_root = update_array(&root, &new[1..], CIPHER).unwrap();
        for updates in [
            vec![through_between.clone()],
            // A member may hold what several arrays begin with; their order does not count.
            vec![through_between.clone(), through_root.clone()],
            vec![through_root, through_between],
        ] {
            assert_eq!(held().apply(&updates, provider(), CIPHER).unwrap().keys(), after);
        }
        let new_leaf = update_array(&leaf, &[node(9, 2), node(4, 2), node(0, 2)], CIPHER).unwrap();
        let staged = held().apply(&[new_leaf], provider(), CIPHER).unwrap();
        assert_eq!(staged.keys(), [node(9, 2), node(4, 2), node(0, 2)]);
    }

    #[test]
    fn keys_can_become_longer() {
        let leaf = node(9, 1);
        let long = |id| Link::new(id, 2, [id as u8; 16], &[id as u8; 32]);
        let update = update_array(&leaf, &[long(4), long(0)], CipherAlgorithm::Aes256Cbc).unwrap();
        let member = array(&[leaf, node(0, 1)]);
        let staged = member.apply(&[update], provider(), CipherAlgorithm::Aes256Cbc).unwrap();
        assert_eq!(staged.keys()[1..], [long(4), long(0)]);
        assert_eq!(staged.kek(CookiePair([1; 16])).cipher, CipherAlgorithm::Aes256Cbc);
    }

    #[test]
    fn refuses_keys_of_another_kind_and_endless_arrays() {
        let leaf = node(9, 1);
        let member = array(&[leaf.clone(), node(0, 1)]);
        let good = update_array(&leaf, &[node(0, 2)], CIPHER).unwrap();
        let mut other_type = good.clone();
        other_type.keys[0].key_type = 2;
        let refused = |update: LkhUpdateArray| member.apply(&[update], provider(), CIPHER).unwrap_err();
        assert_eq!(refused(other_type), PeerMisbehaved::LkhKeyType.into());
        let mut endless = good.clone();
        endless.keys = vec![good.keys[0].clone(); LKH_KEYS_MAX];
        assert_eq!(refused(endless), PeerMisbehaved::UpdateArrayContent.into());
        assert_eq!(
            member.apply(&[good], provider(), CipherAlgorithm::Aes256Cbc),
            Err(PeerMisbehaved::KeyLength.into())
        );
        assert!(update_array(&leaf, &[], CIPHER).is_err());
    }
}
