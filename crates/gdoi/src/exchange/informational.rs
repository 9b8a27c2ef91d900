//! What is told of a GROUPKEY-PULL in an Informational exchange under the same registration SA: HDR*, HASH(1), N.

use claviger_crypto::Random;
use claviger_isakmp::{
    exchange::Registration,
    iana::{NotifyType, PayloadType},
    wire::Header,
};
use claviger_sansio::Time;
use claviger_wire::Decode;

use crate::{error::Error, rules::INFORMATIONAL, wire::Notification};

/// Writes a notification about the exchange `about`.
pub(crate) fn inform(
    registration: &mut Registration,
    random: &mut dyn Random,
    notify: NotifyType,
    about: u32,
) -> Result<Vec<u8>, Error> {
    let notification = Notification { notify, message_id: Some(about) };
    Ok(registration.inform(random, PayloadType::NOTIFICATION, &notification)?)
}

/// Reads a notification of the peer.
pub(crate) fn read(
    registration: &mut Registration,
    now: Time,
    header: &Header,
    ciphertext: &[u8],
) -> Result<Notification, Error> {
    let notification = registration.open_informational(now, header, ciphertext, |message| {
        message.check(INFORMATIONAL)?;
        Notification::from_octets(message.required(PayloadType::NOTIFICATION)?)
    })?;
    Ok(notification?)
}
