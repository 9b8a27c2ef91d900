//! What a member misses of a batch (private use): HDR, HASH(1), DELIVERY, not encrypted, under its registration SA.

use claviger_crypto::Random;
use claviger_isakmp::{
    exchange::{Registration, message::seal_plain},
    iana::{ExchangeType, PayloadType},
    wire::{
        Header,
        payload::{ChainWriter, GENERIC_LEN},
    },
};
use claviger_sansio::Time;
use claviger_wire::DecodeError;

use crate::{
    error::{ApiMisuse, Error},
    limits::REPORT_LEN_MAX,
    rules::DELIVERY_REPORT,
};

/// Writes a delivery report.
pub(crate) fn report(
    registration: &mut Registration,
    random: &mut dyn Random,
    report: &[u8],
) -> Result<Vec<u8>, Error> {
    if report.len() > REPORT_LEN_MAX {
        return Err(ApiMisuse::MessageTooLong.into());
    }
    let message_id = registration.draw_message_id(random)?;
    let mut payloads = ChainWriter::new();
    payloads.body(PayloadType::DELIVERY, report)?;
    Ok(seal_plain(registration.keys(), ExchangeType::DELIVERY_REPORT, message_id, &payloads)?)
}

/// Reads a delivery report of the peer. Nothing of it is interpreted before its HASH verifies; wrong ones count as
/// other messages' do.
pub(crate) fn read(
    registration: &mut Registration,
    now: Time,
    header: &Header,
    octets: &[u8],
) -> Result<Vec<u8>, Error> {
    registration.check_message_id(header.message_id)?;
    let hash_len = registration.keys().hash_len();
    if octets.len() > GENERIC_LEN * 2 + hash_len + REPORT_LEN_MAX {
        return Err(DecodeError::Length { field: "delivery report" }.into());
    }
    let message = registration.open_plain(now, header, octets)?;
    registration.remember(header.message_id);
    message.check(DELIVERY_REPORT)?;
    let report = message.required(PayloadType::DELIVERY)?;
    if 2 * GENERIC_LEN + hash_len + report.len() != octets.len() {
        return Err(DecodeError::Length { field: "message" }.into());
    }
    Ok(report.to_vec())
}
