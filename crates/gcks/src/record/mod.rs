//! The octets of everything that is stored.
//!
//! Each record begins with its [`Version`] in an octet. Those of the versions before are read as they were written; one of
//! an unknown version is refused, not guessed at.
//! The scope of a record is what it dies with: a group, as ID Type and octets, or a registration SA, as cookies. What belongs
//! to the server has an empty scope.

pub(crate) mod certificate;
pub(crate) mod departure;
mod field;
pub(crate) mod group;
pub(crate) mod member;
pub(crate) mod message_id;
pub(crate) mod node;
pub(crate) mod owner;
pub(crate) mod place;
mod policy;
pub(crate) mod push;

use claviger_group::{GroupId, MemberId, id::IdType};
use claviger_identity::Hit;
use claviger_sansio::durable::{RecordKey, Table};
use claviger_wire::{DecodeError, Reader, Writer};

/// Whose store it is: the HIT of the key server.
pub(crate) const OWNER: Table = Table::new("owner");
/// A HIP association, under the peer's HIT.
pub(crate) const ASSOCIATION: Table = Table::new("association");
/// A group: policy, signing key, KEK, TEKs, counters.
pub(crate) const GROUP: Table = Table::new("group");
/// Whose certificates let hosts into a group.
pub(crate) const GROUP_OWNER: Table = Table::new("group-owner");
/// A host on a group's list, under its identity.
pub(crate) const ACCESS: Table = Table::new("access");
/// A host that was put out of a group with an owner, under its identity: until it is allowed again.
pub(crate) const DENIED: Table = Table::new("denied");
/// The certificates that a grant rests on, under the host's identity.
pub(crate) const CERTIFICATE: Table = Table::new("certificate");
/// A grant of a group to a host, under its identity.
pub(crate) const GRANT: Table = Table::new("grant");
/// A member's leaf, under its identity.
pub(crate) const MEMBER: Table = Table::new("member");
/// A node of a group's key tree, under its place.
pub(crate) const NODE: Table = Table::new("node");
/// Which subtrees of a group's key tree a place has, under its number.
pub(crate) const PLACE: Table = Table::new("place");
/// A GROUPKEY-PUSH whose copies have not all left, under rekey SA and sequence number.
pub(crate) const PUSH: Table = Table::new("push");
/// How a host departed, under its identity: until its rekey has left, and an eviction as long as the host stays out.
pub(crate) const DEPARTURE: Table = Table::new("departure");
/// The M-ID of an exchange that a member began, under the cookies of its registration SA.
pub(crate) const MESSAGE_ID: Table = Table::new("message-id");
/// The time of the last change, so that nothing becomes younger when the wall clock goes back.
pub(crate) const CLOCK: Table = Table::new("clock");

/// Every table, in the order in which they are read at a restart.
pub(crate) const TABLES: [Table; 15] = [
    OWNER,
    GROUP,
    NODE,
    PLACE,
    GROUP_OWNER,
    ACCESS,
    DENIED,
    MEMBER,
    CERTIFICATE,
    GRANT,
    DEPARTURE,
    ASSOCIATION,
    MESSAGE_ID,
    PUSH,
    CLOCK,
];

/// How the octets of a record are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// As of the first stores that are taken over.
    Three = 3,
    /// The policy of a group stands in parts.
    Four = 4,
    /// The policy of a group says for how long members may go without word from the key server, and its list who may send
    /// all the same.
    Five = 5,
    /// Each member's sender ids are noted, those of earlier PULLs too, and which M-IDs its registration has used.
    Six = 6,
    /// A grant says what a certificate gave.
    Seven = 7,
}

impl Version {
    const ALL: [Self; 5] = [Self::Three, Self::Four, Self::Five, Self::Six, Self::Seven];

    /// The version that is written.
    const CURRENT: Self = Self::Seven;
}

/// Writes a record.
pub(crate) fn encode(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut w = Writer::new();
    w.u8(Version::CURRENT as u8);
    write(&mut w);
    w.into_octets()
}

/// Reads a record to its end, where every version has the same octets.
pub(crate) fn decode<'a, T>(
    octets: &'a [u8],
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    decode_any(octets, |_, r| read(r))
}

/// Reads a record to its end, as its version wants.
pub(crate) fn decode_any<'a, T>(
    octets: &'a [u8],
    read: impl FnOnce(Version, &mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let mut r = Reader::new(octets);
    let octet = r.u8("record version")?;
    let version = Version::ALL.into_iter().find(|version| *version as u8 == octet);
    let version = version.ok_or(DecodeError::Value { field: "record version", value: octet.into() })?;
    let value = read(version, &mut r)?;
    r.finish()?;
    Ok(value)
}

/// Returns the scope of a group's records.
pub(crate) fn scope(group: &GroupId) -> Vec<u8> {
    let mut scope = vec![group.id_type().0];
    scope.extend_from_slice(group.octets());
    scope
}

/// Reads the group back from a scope.
pub(crate) fn group_of(scope: &[u8]) -> Result<GroupId, DecodeError> {
    let mut r = Reader::new(scope);
    let id_type = IdType(r.u8("group id type")?);
    GroupId::new(id_type, r.take_rest()).map_err(|_| DecodeError::Length { field: "group id" })
}

/// Returns the name of a group's record about a host.
///
/// A HIT is its 16 octets. Other identities stand behind the HIT that no host has, with their kind: longer, so that none is
/// taken for a HIT, and the names of the versions before stay as they are.
pub(crate) fn host_key(group: &GroupId, host: &MemberId) -> RecordKey {
    let item = match host {
        MemberId::Hit(hit) => hit.octets().to_vec(),
        MemberId::Address(_)
        | MemberId::DomainName(_)
        | MemberId::KeyId(_)
        | MemberId::Subject(_)
        | MemberId::UserName(_) => [&Hit::NULL.octets()[..], &[host.kind()], &host.octets()].concat(),
    };
    RecordKey::new(scope(group), item)
}

/// Reads the host back from the name of a record.
pub(crate) fn host_of(item: &[u8]) -> Result<MemberId, DecodeError> {
    let mut r = Reader::new(item);
    let hit = Hit::new(r.array("HIT")?);
    if r.is_empty() {
        return Ok(hit.into());
    }
    let kind = r.u8("kind of member id")?;
    let host = MemberId::from_octets(kind, r.take_rest()).ok();
    // One host has one name.
    let host = host.filter(|host| hit.is_null() && host.kind() != MemberId::Hit(hit).kind());
    host.ok_or(DecodeError::Value { field: "member id", value: kind.into() })
}
