//! The octets of everything that is stored.
//!
//! Each record begins with the octet [`VERSION`]; a record of another version is refused, not guessed at.
//! The scope of a record is the group that it dies with, as ID Type and octets; what belongs to the server has
//! an empty scope.

pub(crate) mod departure;
pub(crate) mod group;
pub(crate) mod member;
pub(crate) mod node;
pub(crate) mod place;
pub(crate) mod push;

use claviger_group::{GroupId, id::IdType};
use claviger_identity::Hit;
use claviger_sansio::durable::{RecordKey, Table};
use claviger_wire::{DecodeError, Reader, Writer};

/// A HIP association, under the peer's HIT.
pub(crate) const ASSOCIATION: Table = Table::new("association");
/// A group: policy, signing key, KEK, TEKs, counters.
pub(crate) const GROUP: Table = Table::new("group");
/// A host on a group's list, under its HIT.
pub(crate) const ACCESS: Table = Table::new("access");
/// A grant of a group to a host, under its HIT.
pub(crate) const GRANT: Table = Table::new("grant");
/// A member's leaf, under its HIT.
pub(crate) const MEMBER: Table = Table::new("member");
/// A node of a group's key tree, under its place.
pub(crate) const NODE: Table = Table::new("node");
/// Which subtrees of a group's key tree a place has, under its number.
pub(crate) const PLACE: Table = Table::new("place");
/// A GROUPKEY-PUSH whose copies have not all left, under rekey SA and sequence number.
pub(crate) const PUSH: Table = Table::new("push");
/// How a host departed, under its HIT: until its rekey has left, and an eviction as long as the host stays out.
pub(crate) const DEPARTURE: Table = Table::new("departure");
/// The time of the last change, so that time does not go back when the wall clock does.
pub(crate) const CLOCK: Table = Table::new("clock");

/// Every table, in the order in which they are read at a restart.
pub(crate) const TABLES: [Table; 10] =
    [GROUP, NODE, PLACE, ACCESS, MEMBER, GRANT, DEPARTURE, ASSOCIATION, PUSH, CLOCK];

/// The version of every record's octets.
const VERSION: u8 = 3;

/// Writes a record.
pub(crate) fn encode(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut w = Writer::new();
    w.u8(VERSION);
    write(&mut w);
    w.into_octets()
}

/// Reads a record to its end.
pub(crate) fn decode<'a, T>(
    octets: &'a [u8],
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let mut r = Reader::new(octets);
    match r.u8("record version")? {
        VERSION => {}
        version => return Err(DecodeError::Value { field: "record version", value: version.into() }),
    }
    let value = read(&mut r)?;
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
pub(crate) fn host_key(group: &GroupId, hit: &Hit) -> RecordKey {
    RecordKey::new(scope(group), *hit.octets())
}

/// Reads the host back from the name of a record.
pub(crate) fn host_of(item: &[u8]) -> Result<Hit, DecodeError> {
    Ok(Hit::new(item.try_into().map_err(|_| DecodeError::Length { field: "HIT" })?))
}
