//! The M-ID of an exchange that a member began: it is not taken again under the same cookies.

use claviger_group::CookiePair;
use claviger_sansio::{
    Time,
    durable::{Change, RecordKey},
};
use claviger_wire::{DecodeError, Reader};

use super::member::{read_time, write_time};

/// The scope of what is stored under a registration SA.
fn scope(cookies: &CookiePair) -> Vec<u8> {
    cookies.0.to_vec()
}

/// Notes that an M-ID was taken by an exchange that began then.
pub(crate) fn taken(cookies: &CookiePair, message_id: u32, began: Time) -> Change {
    Change::put(super::MESSAGE_ID, key(cookies, message_id), encode(began))
}

/// Forgets all M-IDs that were taken under a registration SA.
pub(crate) fn forgotten(cookies: &CookiePair) -> Change {
    Change::remove_scope(super::MESSAGE_ID, scope(cookies))
}

fn key(cookies: &CookiePair, message_id: u32) -> RecordKey {
    RecordKey::new(scope(cookies), message_id.to_be_bytes().to_vec())
}

/// Reads cookies and M-ID back from the name of a record.
pub(crate) fn name_of(key: &RecordKey) -> Result<(CookiePair, u32), DecodeError> {
    let mut scope = Reader::new(&key.scope);
    let cookies = CookiePair(scope.array("cookies")?);
    scope.finish()?;
    let mut item = Reader::new(&key.item);
    let message_id = item.u32("message id")?;
    item.finish()?;
    Ok((cookies, message_id))
}

/// Writes when the exchange began.
fn encode(began: Time) -> Vec<u8> {
    super::encode(|w| write_time(w, began))
}

/// Reads when the exchange began.
pub(crate) fn decode(octets: &[u8]) -> Result<Time, DecodeError> {
    super::decode(octets, |r| read_time(r, "exchange began"))
}
