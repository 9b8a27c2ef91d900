//! What is said of leases (private use): HDR, HASH, LEASE, not encrypted, under the registration SA, in both directions.
//!
//! It has no message id: a request is told from another by its nonce, an answer from a request by its type. So neither side
//! remembers anything of it, and nothing under a registration is used up. Wrong HASHes are not counted with those of other
//! messages: to check one costs no more than to drop it, and nobody is to keep a member from its leases by sending junk.

use claviger_isakmp::{
    exchange::message::plain,
    iana::{ExchangeType, PayloadType},
    keys::ExchangeKeys,
    wire::{
        Header,
        payload::{Chain, ChainWriter, GENERIC_LEN},
    },
};
use claviger_wire::{Decode, DecodeError, Encode};

use crate::{
    error::{ApiMisuse, AuthError, Error},
    limits::LEASE_LEN_MAX,
    rules::LEASE,
};

/// Writes a request or an answer.
pub(crate) fn seal(keys: &ExchangeKeys, lease: &impl Encode) -> Result<Vec<u8>, Error> {
    let mut payloads = ChainWriter::new();
    payloads.value(PayloadType::LEASE, lease)?;
    let octets =
        plain(keys, ExchangeType::LEASE, 0, &payloads, |header| keys.lease_hash(header, payloads.octets()))?;
    if octets.len() > LEASE_LEN_MAX {
        return Err(ApiMisuse::MessageTooLong.into());
    }
    Ok(octets)
}

/// Reads one. Nothing of it is interpreted before its HASH verifies.
pub(crate) fn open<'a, T: Decode<'a>>(keys: &ExchangeKeys, datagram: &'a [u8]) -> Result<T, Error> {
    if datagram.len() > LEASE_LEN_MAX {
        return Err(DecodeError::Length { field: "lease" }.into());
    }
    let (header, octets) = Header::split_plain(datagram, ExchangeType::LEASE)?;
    if header.message_id != 0 {
        return Err(DecodeError::Value { field: "message id", value: header.message_id.into() }.into());
    }
    let chain = Chain::parse(header.next_payload, octets)?;
    claviger_isakmp::rules::check(LEASE, &chain.payloads)?;
    let [hash, lease] = &chain.payloads[..] else {
        return Err(DecodeError::Missing { what: "lease" }.into());
    };
    if hash.body.len() != keys.hash_len() || chain.length != octets.len() {
        return Err(DecodeError::Length { field: "HASH" }.into());
    }
    let behind = &octets[GENERIC_LEN + hash.body.len()..];
    if !keys.lease_hash(&datagram[..Header::LEN], behind).ct_eq(hash.body) {
        return Err(AuthError::Hash.into());
    }
    Ok(T::from_octets(lease.body)?)
}
