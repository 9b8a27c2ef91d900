//! What goes to the log of messages and exchanges: types, names and lengths, and nothing of what is inside.

use claviger_group::registration::PeerIdentity;
use claviger_sansio::{Datagram, Transmit};
use claviger_wire::{Decode, Reader};
use tracing::{Span, debug, debug_span, field::display, trace};

use crate::{error::Error, iana::ExchangeType, wire::Header};

/// Names the exchange, and who is at its other end, in the log of what is done for it.
pub(crate) fn exchange(exchange: ExchangeType, message_id: u32, peer: Option<PeerIdentity>) -> Span {
    debug_span!("exchange", %exchange, message_id, peer = peer.map(display))
}

/// Logs a message that came.
pub(crate) fn message_in(datagram: &Datagram<'_>) {
    let header = header(datagram.payload);
    let exchange = header.map(|header| display(header.exchange));
    let message_id = header.map(|header| header.message_id);
    trace!(source = %datagram.source, exchange, message_id, length = datagram.payload.len(), "message in");
}

/// Logs a message that is to be sent. `message` is its number in a GROUPKEY-PULL.
pub(crate) fn message_out(message: Option<u8>, transmit: &Transmit) {
    let Transmit { destination, payload, .. } = transmit;
    let header = header(payload);
    let exchange = header.map(|header| display(header.exchange));
    let message_id = header.map(|header| header.message_id);
    trace!(%destination, exchange, message_id, message, length = payload.len(), "message out");
}

/// Logs why a message was dropped.
pub(crate) fn dropped(datagram: &Datagram<'_>, error: &Error) {
    debug!(source = %datagram.source, length = datagram.payload.len(), reason = error.reason(), %error, "dropped");
}

/// Reads the header of a message, if it has one.
pub(crate) fn header(message: &[u8]) -> Option<Header> {
    Header::decode(&mut Reader::new(message)).ok()
}
