//! Which subtrees of a key tree a place has.

use claviger_group::GroupId;
use claviger_keytree::place::{Binding, Place};
use claviger_sansio::durable::RecordKey;
use claviger_wire::DecodeError;

pub(crate) fn key(group: &GroupId, place: Place) -> RecordKey {
    RecordKey::new(super::scope(group), place.value().to_be_bytes())
}

pub(crate) fn encode(binding: &Binding) -> Vec<u8> {
    super::encode(|w| w.slice(&binding.to_octets()))
}

pub(crate) fn decode(octets: &[u8]) -> Result<Binding, DecodeError> {
    super::decode(octets, |r| {
        Binding::from_octets(r.take_rest()).map_err(|_| DecodeError::Length { field: "binding of a place" })
    })
}
