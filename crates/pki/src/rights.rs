//! The extension by which a group owner says who may do what in which groups.
//!
//! ```text
//! GroupRights ::= SEQUENCE SIZE (1..64) OF GroupRight
//! GroupRight  ::= SEQUENCE {
//!     idType   INTEGER (0..255),
//!     groupId  OCTET STRING (SIZE (1..255)),
//!     roles    BIT STRING { receiver(0), sender(1), keyServer(2) } }
//! ```
//!
//! It is always critical. In the certificate of a host it gives rights; in that of a CA it bounds what certificates below
//! can give.

use std::fmt;

use der::{
    Decode, Encode, Sequence,
    asn1::{BitStringRef, OctetStringRef},
};

use crate::{extension::Extension, limits::GROUP_RIGHTS_MAX, oid::Oid};

/// The octets of a group's id at most, as in ISAKMP's identification of a group.
const GROUP_ID_LEN_MAX: usize = 255;

const RECEIVER_BIT: u8 = 0x80;
const SENDER_BIT: u8 = 0x40;
const KEY_SERVER_BIT: u8 = 0x20;

/// What somebody may be in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Roles {
    /// A member that receives.
    pub receiver: bool,
    /// A member that sends.
    pub sender: bool,
    /// A key server of the group.
    pub key_server: bool,
}

impl Roles {
    /// Nothing.
    pub const NONE: Self = Self { receiver: false, sender: false, key_server: false };

    /// Whatever there is.
    pub const ALL: Self = Self { receiver: true, sender: true, key_server: true };

    /// Says that there is no role.
    pub fn is_empty(self) -> bool {
        self == Self::NONE
    }

    /// Says that all roles of the other are among these.
    pub fn contains(self, other: Self) -> bool {
        self.intersection(other) == other
    }

    /// What both have.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self {
            receiver: self.receiver && other.receiver,
            sender: self.sender && other.sender,
            key_server: self.key_server && other.key_server,
        }
    }

    /// What either has.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self {
            receiver: self.receiver || other.receiver,
            sender: self.sender || other.sender,
            key_server: self.key_server || other.key_server,
        }
    }

    /// Reads the first octet of the BIT STRING.
    fn from_bits(bits: u8) -> Self {
        Self {
            receiver: bits & RECEIVER_BIT != 0,
            sender: bits & SENDER_BIT != 0,
            key_server: bits & KEY_SERVER_BIT != 0,
        }
    }

    fn to_bits(self) -> u8 {
        let bit = |is_there, bit| if is_there { bit } else { 0 };
        bit(self.receiver, RECEIVER_BIT) | bit(self.sender, SENDER_BIT) | bit(self.key_server, KEY_SERVER_BIT)
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = [(self.receiver, "receiver"), (self.sender, "sender"), (self.key_server, "key server")];
        let words: Vec<_> = named.iter().filter(|(is_there, _)| *is_there).map(|(_, word)| *word).collect();
        f.write_str(if words.is_empty() { "no role" } else { "" })?;
        f.write_str(&words.join(" and "))
    }
}

/// What somebody may be in one group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupRight {
    /// What kind of name the group has: an ID Type of ISAKMP's identification payload.
    pub id_type: u8,
    /// The name: 1 to 255 octets.
    pub group_id: Vec<u8>,
    /// What the subject may be there.
    pub roles: Roles,
}

/// What a certificate says of groups: at least one, none twice, each with at least one role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRights {
    rights: Vec<GroupRight>,
}

/// Why octets, or a list of rights, are no GroupRights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RightsError {
    /// There is no group.
    Empty,
    /// They are no DER of this form.
    Der,
    /// A group's id is empty, or longer than 255 octets.
    GroupId,
    /// A group has no role.
    NoRole,
    /// The extension is not marked as critical.
    NotCritical,
    /// A group stands twice.
    Repeated,
    /// There are more than [`GROUP_RIGHTS_MAX`] groups.
    TooMany,
    /// A role is not known.
    UnknownRole,
}

impl fmt::Display for RightsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "has rights in no group",
            Self::Der => "has rights that are not valid DER",
            Self::GroupId => "has rights in a group whose name has a wrong length",
            Self::NoRole => "has no role in a group that it names",
            Self::NotCritical => "has rights that are not critical",
            Self::Repeated => "names a group twice",
            Self::TooMany => "has rights in too many groups",
            Self::UnknownRole => "has an unknown role in a group",
        })
    }
}

impl std::error::Error for RightsError {}

/// GroupRight, as it stands in DER.
#[derive(Sequence)]
struct Entry<'a> {
    id_type: u8,
    group_id: &'a OctetStringRef,
    roles: BitStringRef<'a>,
}

impl GroupRights {
    /// The extension's object identifier: 2.25 and the UUID 6ce0dca8-aa58-45a5-9465-89900e9108c5 (X.667 section 7).
    pub const OID: Oid = Oid::from_static(&[
        0x69, 0x81, 0xd9, 0xe0, 0xee, 0xaa, 0x95, 0xa5, 0xc2, 0x96, 0xcb, 0x94, 0xb2, 0xe2, 0xb2, 0x80, 0xf4,
        0xc4, 0x91, 0x45,
    ]);

    /// Takes rights in groups.
    ///
    /// # Errors
    ///
    /// [`RightsError`], where the extension cannot say them.
    pub fn new(rights: Vec<GroupRight>) -> Result<Self, RightsError> {
        if rights.is_empty() {
            return Err(RightsError::Empty);
        }
        if rights.len() > GROUP_RIGHTS_MAX {
            return Err(RightsError::TooMany);
        }
        for (i, right) in rights.iter().enumerate() {
            if right.group_id.is_empty() || right.group_id.len() > GROUP_ID_LEN_MAX {
                return Err(RightsError::GroupId);
            }
            if right.roles.is_empty() {
                return Err(RightsError::NoRole);
            }
            if rights[..i].iter().any(|earlier| earlier.names(right.id_type, &right.group_id)) {
                return Err(RightsError::Repeated);
            }
        }
        Ok(Self { rights })
    }

    /// Reads the value of the extension.
    ///
    /// # Errors
    ///
    /// [`RightsError`], by what is wrong with the octets.
    pub fn from_der(octets: &[u8]) -> Result<Self, RightsError> {
        let entries: Vec<Entry<'_>> = Decode::from_der(octets).map_err(|_| RightsError::Der)?;
        let rights = entries.iter().map(GroupRight::read).collect::<Result<_, _>>()?;
        let read = Self::new(rights)?;
        // Whatever is not the one encoding of these rights is none.
        if read.to_der() == octets { Ok(read) } else { Err(RightsError::Der) }
    }

    /// Writes the value of the extension.
    pub fn to_der(&self) -> Vec<u8> {
        let octets: Vec<_> = self.rights.iter().map(|right| [right.roles.to_bits()]).collect();
        let entries: der::Result<Vec<_>> =
            self.rights.iter().zip(&octets).map(|(right, roles)| right.entry(roles)).collect();
        entries.and_then(|entries| entries.to_der()).expect("all lengths are within limits")
    }

    /// Makes the extension.
    pub fn extension(&self) -> Extension {
        Extension { id: Self::OID, critical: true, value: self.to_der() }
    }

    /// Shows the rights, in the order in which they stand.
    pub fn rights(&self) -> &[GroupRight] {
        &self.rights
    }

    /// Says what the subject may be in a group.
    pub fn roles_for(&self, id_type: u8, group_id: &[u8]) -> Roles {
        roles_for(&self.rights, id_type, group_id)
    }
}

impl GroupRight {
    fn names(&self, id_type: u8, group_id: &[u8]) -> bool {
        self.id_type == id_type && self.group_id == group_id
    }

    fn read(entry: &Entry<'_>) -> Result<Self, RightsError> {
        let bits = match entry.roles.raw_bytes() {
            [] => return Err(RightsError::NoRole),
            [bits] => *bits,
            [_, ..] => return Err(RightsError::UnknownRole),
        };
        let roles = Roles::from_bits(bits);
        if roles.to_bits() != bits {
            return Err(RightsError::UnknownRole);
        }
        Ok(Self { id_type: entry.id_type, group_id: entry.group_id.as_bytes().to_vec(), roles })
    }

    /// DER leaves zeros at the end of a named bit list out (X.690 section 11.2.2).
    fn entry<'a>(&'a self, roles: &'a [u8; 1]) -> der::Result<Entry<'a>> {
        let unused = roles[0].trailing_zeros() as u8;
        Ok(Entry {
            id_type: self.id_type,
            group_id: OctetStringRef::new(&self.group_id)?,
            roles: BitStringRef::new(unused, roles)?,
        })
    }
}

/// What these rights say of a group.
pub(crate) fn roles_for(rights: &[GroupRight], id_type: u8, group_id: &[u8]) -> Roles {
    let found = rights.iter().find(|right| right.names(id_type, group_id));
    found.map_or(Roles::NONE, |right| right.roles)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECEIVER: Roles = Roles { receiver: true, ..Roles::NONE };
    const SENDER: Roles = Roles { sender: true, ..Roles::NONE };
    const KEY_SERVER: Roles = Roles { key_server: true, ..Roles::NONE };

    fn right(id_type: u8, group_id: &[u8], roles: Roles) -> GroupRight {
        GroupRight { id_type, group_id: group_id.to_vec(), roles }
    }

    fn rights() -> GroupRights {
        let both = RECEIVER.union(SENDER);
        GroupRights::new(vec![right(11, &[0, 0, 0x12, 0x34], both), right(2, b"a.example", KEY_SERVER)])
            .unwrap()
    }

    #[test]
    fn rights_are_written_as_der_has_them() {
        let one = |roles| GroupRights::new(vec![right(11, &[0, 0, 0x12, 0x34], roles)]).unwrap().to_der();
        let expected = |roles: [u8; 2]| {
            [&[0x30, 15, 0x30, 13, 2, 1, 11, 4, 4, 0, 0, 0x12, 0x34, 3, 2][..], &roles].concat()
        };
        assert_eq!(one(RECEIVER), expected([7, 0x80]));
        assert_eq!(one(SENDER), expected([6, 0x40]));
        assert_eq!(one(KEY_SERVER), expected([5, 0x20]));
        assert_eq!(one(RECEIVER.union(SENDER)), expected([6, 0xc0]));
        assert_eq!(one(Roles::ALL), expected([5, 0xe0]));
    }

    #[test]
    fn rights_are_read_as_they_were_written() {
        assert_eq!(GroupRights::from_der(&rights().to_der()), Ok(rights()));
        let high = GroupRights::new(vec![right(255, &[7; 255], RECEIVER)]).unwrap();
        assert_eq!(GroupRights::from_der(&high.to_der()), Ok(high));
        let extension = rights().extension();
        assert!(extension.critical);
        assert_eq!((extension.id, extension.value), (GroupRights::OID, rights().to_der()));
    }

    #[test]
    fn a_group_that_is_not_named_gives_no_role() {
        let rights = rights();
        assert_eq!(rights.roles_for(11, &[0, 0, 0x12, 0x34]), RECEIVER.union(SENDER));
        assert_eq!(rights.roles_for(2, b"a.example"), KEY_SERVER);
        assert_eq!(rights.roles_for(12, &[0, 0, 0x12, 0x34]), Roles::NONE);
        assert_eq!(rights.roles_for(2, b"a.exampl"), Roles::NONE);
    }

    #[test]
    fn what_the_extension_cannot_say_is_not_made() {
        let made = |rights: &[GroupRight]| GroupRights::new(rights.to_vec()).err();
        assert_eq!(made(&[]), Some(RightsError::Empty));
        assert_eq!(made(&[right(11, b"", RECEIVER)]), Some(RightsError::GroupId));
        assert_eq!(made(&[right(11, &[0; 256], RECEIVER)]), Some(RightsError::GroupId));
        assert_eq!(made(&[right(11, b"a", Roles::NONE)]), Some(RightsError::NoRole));
        assert_eq!(made(&[right(11, b"a", RECEIVER), right(11, b"a", SENDER)]), Some(RightsError::Repeated));
        assert_eq!(made(&[right(11, b"a", RECEIVER), right(12, b"a", SENDER)]), None);
        let many = |count: u8| (0..count).map(|i| right(11, &[i], RECEIVER)).collect::<Vec<_>>();
        assert_eq!(made(&many(64)), None);
        assert_eq!(made(&many(65)), Some(RightsError::TooMany));
    }

    #[test]
    fn octets_that_are_no_rights_are_refused_by_name() {
        let outer = |inner: &[u8]| [&[0x30, inner.len() as u8], inner].concat();
        let entry = |inner: &[u8]| GroupRights::from_der(&outer(&outer(inner))).err();
        assert_eq!(entry(&[2, 1, 11, 4, 1, 7, 3, 2, 7, 0x80]), None);
        assert_eq!(GroupRights::from_der(&[0x30, 0]), Err(RightsError::Empty));
        // An integer that is not minimal, is negative, or is greater than 255.
        assert_eq!(entry(&[2, 2, 0, 11, 4, 1, 7, 3, 2, 7, 0x80]), Some(RightsError::Der));
        assert_eq!(entry(&[2, 1, 0x8b, 4, 1, 7, 3, 2, 7, 0x80]), Some(RightsError::Der));
        assert_eq!(entry(&[2, 2, 1, 0, 4, 1, 7, 3, 2, 7, 0x80]), Some(RightsError::Der));
        assert_eq!(entry(&[2, 1, 11, 4, 0, 3, 2, 7, 0x80]), Some(RightsError::GroupId));
        // No bits; one that is zero; a zero behind the last; a bit that counts as unused.
        assert_eq!(entry(&[2, 1, 11, 4, 1, 7, 3, 1, 0]), Some(RightsError::NoRole));
        assert_eq!(entry(&[2, 1, 11, 4, 1, 7, 3, 2, 7, 0]), Some(RightsError::NoRole));
        assert_eq!(entry(&[2, 1, 11, 4, 1, 7, 3, 2, 6, 0x80]), Some(RightsError::Der));
        assert_eq!(entry(&[2, 1, 11, 4, 1, 7, 3, 2, 7, 0xc0]), Some(RightsError::Der));
        // A fourth role, and a ninth.
        assert_eq!(entry(&[2, 1, 11, 4, 1, 7, 3, 2, 4, 0x90]), Some(RightsError::UnknownRole));
        assert_eq!(entry(&[2, 1, 11, 4, 1, 7, 3, 3, 7, 0x80, 0x80]), Some(RightsError::UnknownRole));
        // Something behind the roles, and behind the whole.
        assert_eq!(entry(&[2, 1, 11, 4, 1, 7, 3, 2, 7, 0x80, 5, 0]), Some(RightsError::Der));
        assert_eq!(GroupRights::from_der(&[&rights().to_der()[..], &[0]].concat()), Err(RightsError::Der));
        // The length of the whole in two octets where one does.
        let long = [&[0x30, 0x81], &rights().to_der()[1..]].concat();
        assert_eq!(GroupRights::from_der(&long), Err(RightsError::Der));
    }

    #[test]
    fn rights_that_are_cut_are_none_and_a_flipped_bit_makes_others_or_none() {
        let octets = rights().to_der();
        for length in 0..octets.len() {
            assert!(GroupRights::from_der(&octets[..length]).is_err(), "{length}");
        }
        for i in 0..octets.len() * 8 {
            let mut flipped = octets.clone();
            flipped[i / 8] ^= 1 << (i % 8);
            if let Ok(read) = GroupRights::from_der(&flipped) {
                assert_ne!(read, rights(), "bit {i}");
                assert_eq!(read.to_der(), flipped, "bit {i}");
            }
        }
    }

    #[test]
    fn roles_are_sets() {
        assert!(Roles::ALL.contains(SENDER) && !SENDER.contains(RECEIVER) && SENDER.contains(Roles::NONE));
        assert_eq!(RECEIVER.union(SENDER).intersection(SENDER.union(KEY_SERVER)), SENDER);
        assert_eq!(Roles::ALL.to_string(), "receiver and sender and key server");
        assert_eq!(Roles::NONE.to_string(), "no role");
    }
}
