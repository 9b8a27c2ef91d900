//! The LKH key packet of trees with 32-bit node ids (private use; docs/hip-gdoi-binding.md section 7.5).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! !    Version    !    Degree     ! Octets of key !   RESERVED    !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! !                    Node ID of the first key                   !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+ path
//! !                            Handle                             ! of a
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+ member,
//! ~                        Key (16 or 32)                         ~ (each
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+ level)
//!
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! !    Version    !    Degree     ! Octets of key !   RESERVED    ! update
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! !                             Epoch                             !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! !                       Node ID of the root                     !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! !                  Handle of the root, afterwards               !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! !                   Target: a node with a new key               ! (each
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+ target)
//! !L! H !  Under  !   Handle of the key under (0, 2, 3 or 4)      ! (each key
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+  that it
//! ~              Wrapped key (Octets of key + 8)                  ~  is under)
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! L is set in the last wrapped key of a target. Under is the place of a child, or 31 for the target's own previous
//! key. H says how the handle is written, each in the shortest way:
//!
//! | H | octets | when |
//! |---|---|---|
//! | 0 | none | Epoch, no advances: the key is new in this rekey |
//! | 1 | 2 | 12 bits by how many epochs older, 4 bits of advances |
//! | 2 | 3 | 20 bits by how many epochs older, 4 bits of advances |
//! | 3 | 4 | the handle |
//!
//! A new key's own handle is not written: it is that of Epoch without advances.

use claviger_crypto::{SecretBytes, cipher::CipherAlgorithm, sign::PublicKey};
use claviger_group::CookiePair;
use claviger_isakmp::wire::attribute::try_variable;
use claviger_keypath::{Degree, Entry, Handle, KeyPath, NodeId, Under, UpdateHead, audience};
use claviger_wire::{Decode, DecodeError, Reader, Writer};

use crate::{
    error::{ApiMisuse, Error, PeerIncompatible},
    iana::kd,
    limits::LKH_32_PATH_MAX,
};

/// The keys of a tree with 32-bit node ids: a path in a GROUPKEY-PULL, an update in a GROUPKEY-PUSH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lkh32 {
    /// The rekey SA whose KEK is the root's key.
    pub spi: CookiePair,
    /// The keys from a member's leaf to the root; in a GROUPKEY-PULL only.
    pub path: Option<PathArray>,
    /// New keys; in a GROUPKEY-PUSH only.
    pub update: Option<Update>,
    /// SIG_ALGORITHM_KEY: the key that verifies the rekey SA's messages.
    pub signing_key: Option<PublicKey>,
}

/// The keys from a member's leaf to the root, one for each level, for that member alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathArray {
    /// The degree of the tree.
    pub degree: Degree,
    /// The node of the first key: the member's leaf.
    pub first: NodeId,
    /// Handle and key of each node: the leaf's first, the root's last; 1 to 32, all of 16 or all of 32 octets.
    pub keys: Vec<(Handle, SecretBytes)>,
}

/// New keys of some nodes, each wrapped under keys that members hold or learn in the same rekey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    head: UpdateHead,
    entries: Vec<Entry>,
    /// The wrapped keys, one after the other.
    wrapped: Vec<u8>,
}

/// The version of both formats.
const VERSION: u8 = 1;

/// What AES key wrap adds to a key (RFC 3394).
const WRAP_LEN: usize = 8;

/// The bit that marks the last wrapped key of a target.
const LAST: u8 = 0x80;

/// Where H stands.
const FORM_SHIFT: u32 = 5;

/// The bits of Under.
const UNDER: u8 = 0x1f;

/// Under: the target's own previous key.
const ITSELF: u8 = 31;

/// The octets of an update before its targets.
const UPDATE_HEAD_LEN: usize = 16;

/// The octets that name a target.
const TARGET_LEN: usize = 4;

/// Number of Key Packets and RESERVED2.
const KD_HEAD_LEN: usize = 4;

/// KD Type, RESERVED, KD Length, SPI Size and the SPI.
const PACKET_HEAD_LEN: usize = 5 + 16;

impl Decode<'_, Error> for PathArray {
    fn decode(r: &mut Reader<'_>) -> Result<Self, Error> {
        let (degree, key_len) = decode_kind(r)?;
        let first = decode_node(r, "LKH-32 node id")?;
        let mut keys = Vec::new();
        while !r.is_empty() {
            if keys.len() == LKH_32_PATH_MAX {
                return Err(DecodeError::TooMany { what: "LKH-32 keys", limit: LKH_32_PATH_MAX }.into());
            }
            let handle = decode_full_handle(r, "LKH-32 handle")?;
            keys.push((handle, SecretBytes::copy_of(r.slice(key_len.into(), "LKH-32 key")?)));
        }
        if keys.is_empty() {
            return Err(DecodeError::Missing { what: "LKH-32 key" }.into());
        }
        Ok(Self { degree, first, keys })
    }
}

impl PathArray {
    /// Writes the value of the attribute.
    ///
    /// # Errors
    ///
    /// [`Error::ApiMisuse`] for no keys, too many, or keys that have not 16 or 32 octets alike.
    pub fn encode(&self, w: &mut Writer) -> Result<(), Error> {
        let key_len = self.key_len();
        let uniform = self.keys.iter().all(|(_, key)| key.len() == key_len);
        if ![16, 32].contains(&key_len) || !uniform || self.keys.len() > LKH_32_PATH_MAX {
            return Err(ApiMisuse::KeyTree.into());
        }
        encode_kind(w, self.degree, key_len as u8);
        w.u32(self.first.as_u32());
        for (handle, key) in &self.keys {
            w.u32(handle.as_u32());
            w.slice(key.expose());
        }
        Ok(())
    }

    /// Takes the keys into use: a member's path in the tree.
    ///
    /// # Errors
    ///
    /// [`crate::error::PeerMisbehaved::KeyLength`] if the keys are not for `cipher`,
    /// [`crate::error::PeerMisbehaved::PathContent`] if the path does not end at a root.
    pub fn to_path(&self, cipher: CipherAlgorithm) -> Result<KeyPath, Error> {
        Ok(KeyPath::new(self.degree, self.first, cipher.into(), self.keys.iter().cloned())?)
    }

    /// Says how many octets each key has.
    pub fn key_len(&self) -> usize {
        self.keys.first().map_or(0, |(_, key)| key.len())
    }
}

impl From<&KeyPath> for PathArray {
    /// Writes the keys of a path down as a GROUPKEY-PULL carries them.
    fn from(path: &KeyPath) -> Self {
        let keys = path.keys().iter().map(|held| (held.handle, SecretBytes::copy_of(held.key()))).collect();
        Self { degree: path.degree(), first: path.leaf(), keys }
    }
}

impl Update {
    /// The octets of the attribute before its targets, its own header of four included.
    pub const OVERHEAD: usize = 4 + UPDATE_HEAD_LEN;

    /// The octets that the first entry of a target adds to those of the entry.
    pub(crate) const TARGET_LEN: usize = TARGET_LEN;

    /// Starts without new keys: members advance the ones that they hold.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::KeyTree`] if the keys have neither 16 nor 32 octets, the root is not at index 0, or the epoch is
    /// none.
    pub fn new(head: UpdateHead) -> Result<Self, ApiMisuse> {
        if head_fault(&head).is_some() {
            return Err(ApiMisuse::KeyTree);
        }
        Ok(Self { head, entries: Vec::new(), wrapped: Vec::new() })
    }

    /// Appends a wrapped key. Those of one target stand together, in the order of [`Under`].
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::KeyTree`] if they do not, or if the entry does not fit the tree.
    pub fn push(&mut self, entry: Entry, wrapped: &[u8]) -> Result<(), ApiMisuse> {
        if wrapped.len() != wrapped_len(&self.head) || self.fault(&entry).is_some() {
            return Err(ApiMisuse::KeyTree);
        }
        self.entries.push(entry);
        self.wrapped.extend_from_slice(wrapped);
        Ok(())
    }

    /// Shows what all messages of the rekey say.
    pub fn head(&self) -> &UpdateHead {
        &self.head
    }

    /// Goes through the wrapped keys.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (&Entry, &[u8])> {
        self.entries.iter().zip(self.wrapped.chunks(wrapped_len(&self.head)))
    }

    /// Names the nodes below which, and at which, members need this message.
    pub fn audience(&self) -> Vec<NodeId> {
        audience(self.head.degree, &self.entries)
    }

    /// Says how many octets the attribute has, its own header of four included.
    pub fn encoded_len(&self) -> usize {
        let targets = self.entries.chunk_by(|a, b| a.target == b.target).count() * TARGET_LEN;
        let entries: usize = self.entries.iter().map(|entry| entry_len(&self.head, entry.handle)).sum();
        Self::OVERHEAD + targets + entries
    }
}

impl Decode<'_, Error> for Update {
    fn decode(r: &mut Reader<'_>) -> Result<Self, Error> {
        let (degree, key_len) = decode_kind(r)?;
        let head = UpdateHead {
            degree,
            key_len,
            epoch: r.u32("LKH-32 epoch")?,
            root: decode_node(r, "LKH-32 root")?,
            root_handle: decode_full_handle(r, "LKH-32 root handle")?,
        };
        if let Some(error) = head_fault(&head) {
            return Err(error.into());
        }
        let mut update = Self { head, entries: Vec::new(), wrapped: Vec::new() };
        while !r.is_empty() {
            update.decode_target(r)?;
        }
        Ok(update)
    }
}

impl Update {
    fn decode_target(&mut self, r: &mut Reader<'_>) -> Result<(), Error> {
        let target = decode_node(r, "LKH-32 target")?;
        if self.entries.last().is_some_and(|entry| entry.target == target) {
            return Err(DecodeError::Unexpected { what: "second record of an LKH-32 target" }.into());
        }
        loop {
            let octet = r.u8("LKH-32 under")?;
            let under = match octet & UNDER {
                ITSELF => Under::Itself,
                place => Under::Child(place),
            };
            let handle = decode_handle(r, (octet & !LAST) >> FORM_SHIFT, self.head.epoch)?;
            let entry = Entry { target, under, handle };
            if let Some(error) = self.fault(&entry) {
                return Err(error.into());
            }
            self.entries.push(entry);
            self.wrapped.extend_from_slice(r.slice(wrapped_len(&self.head), "LKH-32 wrapped key")?);
            if octet & LAST != 0 {
                return Ok(());
            }
        }
    }

    /// Writes the value of the attribute.
    ///
    /// # Errors
    ///
    /// None today; the other codecs have some.
    pub fn encode(&self, w: &mut Writer) -> Result<(), Error> {
        encode_kind(w, self.head.degree, self.head.key_len);
        w.u32(self.head.epoch);
        w.u32(self.head.root.as_u32());
        w.u32(self.head.root_handle.as_u32());
        let mut wrapped = self.wrapped.chunks(wrapped_len(&self.head));
        for entries in self.entries.chunk_by(|a, b| a.target == b.target) {
            w.u32(entries[0].target.as_u32());
            for (left, (entry, wrapped)) in (0..entries.len()).rev().zip(entries.iter().zip(&mut wrapped)) {
                let (form, length) = form(self.head.epoch, entry.handle);
                let under = match entry.under {
                    Under::Child(place) => place,
                    Under::Itself => ITSELF,
                };
                w.u8(if left == 0 { LAST } else { 0 } | form << FORM_SHIFT | under);
                let handle = handle_number(form, self.head.epoch, entry.handle);
                w.slice(&handle.to_be_bytes()[4 - length..]);
                w.slice(wrapped);
            }
        }
        Ok(())
    }

    /// Says what is wrong with an entry behind those that are there.
    fn fault(&self, entry: &Entry) -> Option<DecodeError> {
        let (level, root) = (entry.target.level(), self.head.root.level());
        if level > root || level == root && entry.target != self.head.root {
            return Some(DecodeError::Value { field: "LKH-32 target", value: entry.target.as_u32().into() });
        }
        let is_child = |place| entry.target.child(self.head.degree, place).is_some();
        if let Under::Child(place) = entry.under
            && !is_child(place)
        {
            return Some(DecodeError::Value { field: "LKH-32 under", value: place.into() });
        }
        if entry.handle.epoch() > self.head.epoch {
            return Some(DecodeError::Value { field: "LKH-32 handle", value: entry.handle.as_u32().into() });
        }
        let last = self.entries.last().filter(|last| last.target == entry.target);
        last.filter(|last| last.under >= entry.under)
            .map(|_| DecodeError::Unexpected { what: "order of an LKH-32 target's keys" })
    }
}

impl Lkh32 {
    /// The octets of a KD payload's body that holds only a key packet of this kind without signing key, besides the
    /// attribute.
    pub const OVERHEAD: usize = KD_HEAD_LEN + PACKET_HEAD_LEN;

    /// Writes the attributes of the key packet.
    pub(super) fn encode(&self, w: &mut Writer) -> Result<(), Error> {
        if let Some(path) = &self.path {
            try_variable(w, kd::LKH_32_PATH, |w| path.encode(w))?;
        }
        if let Some(update) = &self.update {
            try_variable(w, kd::LKH_32_UPDATE, |w| update.encode(w))?;
        }
        Ok(())
    }
}

/// Says how many octets a wrapped key has.
fn wrapped_len(head: &UpdateHead) -> usize {
    usize::from(head.key_len) + WRAP_LEN
}

/// Says how many octets an entry adds behind another of the same target.
pub(crate) fn entry_len(head: &UpdateHead, handle: Handle) -> usize {
    1 + form(head.epoch, handle).1 + wrapped_len(head)
}

/// Says what is wrong with a head.
fn head_fault(head: &UpdateHead) -> Option<DecodeError> {
    let wrong = |field, value: u32| Some(DecodeError::Value { field, value: value.into() });
    if ![16, 32].contains(&head.key_len) {
        return wrong("LKH-32 octets of key", head.key_len.into());
    }
    if Handle::drawn(head.epoch).is_none() {
        return wrong("LKH-32 epoch", head.epoch);
    }
    if head.root.index() != 0 {
        return wrong("LKH-32 root", head.root.as_u32());
    }
    if !(1..=head.epoch).contains(&head.root_handle.epoch()) {
        return wrong("LKH-32 root handle", head.root_handle.as_u32());
    }
    None
}

fn decode_node(r: &mut Reader<'_>, field: &'static str) -> Result<NodeId, DecodeError> {
    Ok(NodeId::from_u32(r.u32(field)?))
}

/// Reads a handle that is written in full. A key is of some epoch.
fn decode_full_handle(r: &mut Reader<'_>, field: &'static str) -> Result<Handle, DecodeError> {
    let handle = Handle::from_u32(r.u32(field)?);
    if handle.epoch() == 0 {
        return Err(DecodeError::Value { field, value: handle.as_u32().into() });
    }
    Ok(handle)
}

fn decode_kind(r: &mut Reader<'_>) -> Result<(Degree, u8), Error> {
    let version = r.u8("LKH-32 version")?;
    if version != VERSION {
        return Err(PeerIncompatible::Lkh32Version(version).into());
    }
    let degree = r.u8("LKH-32 degree")?;
    let degree = Degree::new(degree)
        .map_err(|_| DecodeError::Value { field: "LKH-32 degree", value: degree.into() })?;
    let key_len = r.u8("LKH-32 octets of key")?;
    if ![16, 32].contains(&key_len) {
        return Err(DecodeError::Value { field: "LKH-32 octets of key", value: key_len.into() }.into());
    }
    r.zeros(1, "LKH-32 RESERVED")?;
    Ok((degree, key_len))
}

fn encode_kind(w: &mut Writer, degree: Degree, key_len: u8) {
    w.u8(VERSION);
    w.u8(degree.k());
    w.u8(key_len);
    w.u8(0);
}

/// Says in which form a handle is written, and in how many octets: the shortest that holds it.
fn form(epoch: u32, handle: Handle) -> (u8, usize) {
    match epoch.saturating_sub(handle.epoch()) {
        0 if handle.advances() == 0 => (0, 0),
        0..0x1000 => (1, 2),
        0x1000..0x10_0000 => (2, 3),
        _ => (3, 4),
    }
}

/// The number that stands for a handle in a form.
fn handle_number(form: u8, epoch: u32, handle: Handle) -> u32 {
    match form {
        3 => handle.as_u32(),
        _ => (epoch - handle.epoch()) << 4 | u32::from(handle.advances()),
    }
}

fn decode_handle(r: &mut Reader<'_>, found: u8, epoch: u32) -> Result<Handle, DecodeError> {
    let field = "LKH-32 handle";
    let number = match found {
        0 => 0,
        1 => r.u16(field)?.into(),
        2 => u32::from(r.u8(field)?) << 16 | u32::from(r.u16(field)?),
        _ => r.u32(field)?,
    };
    let wrong = DecodeError::Value { field, value: number.into() };
    let handle = match found {
        3 => Handle::from_u32(number),
        _ => {
            let drawn = epoch.checked_sub(number >> 4).ok_or(wrong)?;
            Handle::new(drawn, (number & 0xf) as u8).ok_or(wrong)?
        }
    };
    // There is one way to write each.
    if handle.epoch() == 0 || handle.epoch() > epoch || form(epoch, handle).0 != found {
        return Err(wrong);
    }
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::octets_of;

    fn head(epoch: u32) -> UpdateHead {
        UpdateHead {
            degree: Degree::new(4).unwrap(),
            key_len: 32,
            epoch,
            root: NodeId::new(5, 0).unwrap(),
            root_handle: Handle::new(epoch, 0).unwrap(),
        }
    }

    fn entry(level: u8, index: u32, under: Under, epoch: u32, advances: u8) -> Entry {
        let target = NodeId::new(level, index).unwrap();
        Entry { target, under, handle: Handle::new(epoch, advances).unwrap() }
    }

    /// Two targets, every form of a handle.
    fn sample() -> Update {
        let mut update = Update::new(head(0x20_0000)).unwrap();
        for (octet, entry) in (1u8..).zip([
            entry(1, 7, Under::Child(0), 0x20_0000, 0),
            entry(1, 7, Under::Child(1), 0x20_0000, 3),
            entry(1, 7, Under::Child(3), 0x1f_f001, 15),
            entry(1, 7, Under::Itself, 0x1f_f000, 0),
            entry(5, 0, Under::Child(2), 0x10_0001, 1),
            entry(5, 0, Under::Child(3), 0x10_0000, 1),
        ]) {
            update.push(entry, &[octet; 40]).unwrap();
        }
        update
    }

    fn written(update: &Update) -> Vec<u8> {
        octets_of(|w| update.encode(w))
    }

    #[test]
    fn an_update_is_written_as_documented() {
        let octets = written(&sample());
        assert_eq!(octets.len() + 4, sample().encoded_len());
        assert_eq!(octets[..4], [1, 4, 32, 0]);
        assert_eq!(octets[4..16], [0, 0x20, 0, 0, 0x28, 0, 0, 0, 2, 0, 0, 0]);
        let wrapped = |octet: u8| vec![octet; 40];
        let expected: Vec<Vec<u8>> = vec![
            vec![0x08, 0, 0, 7],
            vec![0x00],
            wrapped(1),
            vec![0x21, 0x00, 0x03],
            wrapped(2),
            vec![0x23, 0xff, 0xff],
            wrapped(3),
            vec![0xdf, 0x01, 0x00, 0x00],
            wrapped(4),
            vec![0x28, 0, 0, 0],
            vec![0x42, 0xff, 0xff, 0xf1],
            wrapped(5),
            vec![0xe3, 0x01, 0x00, 0x00, 0x01],
            wrapped(6),
        ];
        assert_eq!(octets[16..], expected.concat());
    }

    #[test]
    fn an_update_survives_and_is_cut_between_targets_only() {
        let (update, octets) = (sample(), written(&sample()));
        assert_eq!(Update::from_octets(&octets), Ok(update.clone()));
        let root = octets.windows(4).rposition(|octets| octets == [0x28, 0, 0, 0]).unwrap();
        for length in 0..octets.len() {
            match Update::from_octets(&octets[..length]) {
                Ok(cut) => {
                    assert!([16, root].contains(&length), "cut at {length}");
                    assert!(cut.entries().len() < update.entries().len());
                }
                Err(error) => assert_eq!(error.reason(), "malformed", "cut at {length}"),
            }
        }
        assert!(Update::from_octets(&[&octets[..], &[0]].concat()).is_err());
    }

    #[test]
    fn a_handle_is_written_in_one_way() {
        let with = |first: &[u8]| {
            let mut octets = written(&Update::new(head(0x20_0000)).unwrap());
            octets.extend_from_slice(&[0x08, 0, 0, 7]);
            octets.extend_from_slice(first);
            octets.extend_from_slice(&[0; 40]);
            Update::from_octets(&octets).map_err(|error| error.reason())
        };
        for good in [
            &[0x80][..],
            &[0xa0, 0, 1],
            &[0xa0, 0, 0x10],
            &[0xc0, 1, 0, 0],
            &[0xe0, 0, 0, 0, 0x10],
            &[0xff, 1, 0, 0, 0],
        ] {
            assert_eq!(with(good).map(|update| update.entries().len()), Ok(1), "{good:x?}");
        }
        for bad in [
            &[0xa0, 0, 0][..],               // no advances, no age: there is a shorter form
            &[0xc0, 0, 0xff, 0xff],          // the form before would do
            &[0xe0, 0x01, 0xff, 0xff, 0xf0], // younger than the form is for
            &[0xe0, 0, 0, 0, 0],             // no handle
            &[0xe0, 0, 0, 0, 0x0f],          // of no epoch
            &[0xe0, 0xff, 0xff, 0xff, 0xff], // of an epoch to come
        ] {
            assert_eq!(with(bad), Err("malformed"), "{bad:x?}");
        }
    }

    #[test]
    fn refuses_targets_and_unders_that_the_tree_has_not() {
        let update = Update::new(head(9)).unwrap();
        let refused = |entry: Entry| {
            let pushed = update.clone().push(entry, &[0; 40]);
            // What is not written is not read either.
            let mut octets = written(&update);
            octets.extend_from_slice(&entry.target.as_u32().to_be_bytes());
            let under = match entry.under {
                Under::Child(place) => place,
                Under::Itself => ITSELF,
            };
            let (form, length) = form(9, entry.handle);
            octets.push(LAST | form << FORM_SHIFT | under);
            let number = if entry.handle.epoch() > 9 { 0 } else { handle_number(form, 9, entry.handle) };
            octets.extend_from_slice(&number.to_be_bytes()[4 - length..]);
            octets.extend_from_slice(&[0; 40]);
            let read = Update::from_octets(&octets);
            assert_eq!(pushed.is_ok(), read.is_ok(), "{entry:?}");
            pushed.is_err()
        };
        assert!(!refused(entry(5, 0, Under::Child(3), 9, 0)));
        assert!(!refused(entry(0, 7, Under::Itself, 8, 0)));
        assert!(refused(entry(5, 0, Under::Child(4), 9, 0)), "beyond the degree");
        assert!(refused(entry(5, 0, Under::Child(30), 9, 0)), "beyond every degree");
        assert!(refused(entry(0, 7, Under::Child(0), 9, 0)), "below a leaf");
        assert!(refused(entry(6, 0, Under::Child(0), 9, 0)), "above the root");
        assert!(refused(entry(5, 1, Under::Child(0), 9, 0)), "beside the root");
        assert!(refused(entry(1, 1 << 26, Under::Child(0), 9, 0)), "beyond the last index");
        let mut update = update.clone();
        update.push(entry(1, 7, Under::Child(1), 8, 0), &[0; 40]).unwrap();
        for (wrong, length) in [
            (entry(1, 7, Under::Child(1), 8, 0), 40),  // twice
            (entry(1, 7, Under::Child(0), 8, 0), 40),  // out of order
            (entry(1, 8, Under::Child(0), 10, 0), 40), // from the future
            (entry(1, 8, Under::Child(0), 8, 0), 24),  // of another length
        ] {
            assert_eq!(update.push(wrong, &vec![0; length]), Err(ApiMisuse::KeyTree), "{wrong:?}");
        }
        let mut octets = written(&update);
        octets.extend_from_slice(&written(&update)[16..]);
        assert_eq!(
            Update::from_octets(&octets),
            Err(DecodeError::Unexpected { what: "second record of an LKH-32 target" }.into())
        );
    }

    #[test]
    fn a_head_is_of_a_tree() {
        let good = written(&sample());
        let with = |at: usize, octets: &[u8]| {
            let mut changed = good.clone();
            changed[at..at + octets.len()].copy_from_slice(octets);
            Update::from_octets(&changed).unwrap_err().reason()
        };
        assert_eq!(with(0, &[2]), "unsupported", "another version");
        for (at, octets, what) in [
            (1, &[1][..], "degree 1"),
            (1, &[9], "degree 9"),
            (2, &[24], "24 octets of key"),
            (3, &[1], "RESERVED"),
            (4, &[0, 0, 0, 0], "no epoch"),
            (4, &[0x10, 0, 0, 0], "an epoch beyond the last"),
            (8, &[0x28, 0, 0, 1], "a root that is not the only node of its level"),
            (12, &[0, 0, 0, 15], "no root handle"),
            (12, &[2, 0, 0, 0x10], "a root handle of an epoch to come"),
        ] {
            assert_eq!(with(at, octets), "malformed", "{what}");
        }
        for wrong in [
            UpdateHead { key_len: 24, ..head(9) },
            UpdateHead { epoch: 0, ..head(9) },
            UpdateHead { root: NodeId::new(5, 1).unwrap(), ..head(9) },
            UpdateHead { root_handle: Handle::new(10, 0).unwrap(), ..head(9) },
        ] {
            assert_eq!(Update::new(wrong), Err(ApiMisuse::KeyTree), "{wrong:?}");
        }
    }

    #[test]
    fn a_path_survives_and_is_cut_between_keys_only() {
        for length in [16, 32] {
            let keys =
                (1..=3u8).map(|n| (Handle::new(n.into(), n).unwrap(), vec![n; length].into())).collect();
            let first = NodeId::new(0, 9).unwrap();
            let path = PathArray { degree: Degree::new(3).unwrap(), first, keys };
            let octets = octets_of(|w| path.encode(w));
            assert_eq!(octets[..12], [1, 3, length as u8, 0, 0, 0, 0, 9, 0, 0, 0, 0x11]);
            assert_eq!(PathArray::from_octets(&octets), Ok(path.clone()));
            for cut in 0..octets.len() {
                let between = cut > 8 && (cut - 8) % (4 + length) == 0;
                assert_eq!(PathArray::from_octets(&octets[..cut]).is_ok(), between, "cut at {cut}");
            }
            let mut long = path.clone();
            long.keys = vec![path.keys[0].clone(); LKH_32_PATH_MAX + 1];
            let mut mixed = path.clone();
            mixed.keys[1].1 = vec![0; 48 - length].into();
            let mut none = path;
            none.keys.clear();
            for wrong in [&long, &mixed, &none] {
                assert_eq!(wrong.encode(&mut Writer::new()), Err(ApiMisuse::KeyTree.into()));
            }
            let endless = [&octets[..8], &octets[8..12 + length].repeat(LKH_32_PATH_MAX + 1)].concat();
            assert_eq!(PathArray::from_octets(&endless).unwrap_err().reason(), "malformed");
        }
    }
}
