//! What goes to the log of messages and exchanges: types, names and lengths, and nothing of what is inside.

use claviger_group::MemberId;
use claviger_isakmp::{exchange::Registrations, iana::ExchangeType, wire::Header};
use claviger_sansio::{Datagram, Transmit};
use claviger_wire::{Decode, Reader};
use tracing::{Level, Span, debug, debug_span, enabled, field::display, span::EnteredSpan, trace};

use crate::error::Error;

/// Names the exchange, and who is at its other end, in the log of what is done for it.
pub(crate) fn exchange(exchange: ExchangeType, message_id: u32, peer: Option<&MemberId>) -> Span {
    debug_span!("exchange", %exchange, message_id, peer = peer.map(display))
}

/// Logs a message that came, and names its exchange in the log of what is done for it. Its header is read for that only
/// where somebody wants to know.
pub(crate) fn received(datagram: &Datagram<'_>, registrations: &Registrations) -> EnteredSpan {
    if !enabled!(Level::DEBUG) {
        return Span::none().entered();
    }
    let header = header(datagram.payload);
    let span = header.map_or_else(Span::none, |header| {
        let peer = registrations.get(&header.cookies).map(|registration| registration.peer());
        exchange(header.exchange, header.message_id, peer)
    });
    let entered = span.entered();
    let exchange = header.map(|header| display(header.exchange));
    let message_id = header.map(|header| header.message_id);
    trace!(source = %datagram.source, exchange, message_id, length = datagram.payload.len(), "message in");
    entered
}

/// Logs a message that is to be sent. `message` is its number in a GROUPKEY-PULL.
pub(crate) fn message_out(message: Option<u8>, transmit: &Transmit) {
    if !enabled!(Level::TRACE) {
        return;
    }
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
fn header(message: &[u8]) -> Option<Header> {
    Header::decode(&mut Reader::new(message)).ok()
}
