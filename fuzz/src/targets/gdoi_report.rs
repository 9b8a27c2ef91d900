//! What members report of a delivery, at the key server's GDOI endpoint: made-up messages, and made-up payloads behind a
//! genuine HASH.

use claviger_crypto::{SeededRandom, provider};
use claviger_delivery::wire::Report;
use claviger_gdoi::{Server, ServerEvent, limits::REPORT_LEN_MAX};
use claviger_isakmp::iana::{ExchangeType, PayloadType};
use claviger_wire::Encode;

use crate::{
    claim,
    group::{self, NOW},
    isakmp::{self, Exchange},
    script,
};

const MESSAGES_MAX: usize = 16;

/// Feeds one input.
pub(super) fn feed(input: &[u8]) {
    let mut server = Server::new(provider(), Box::new(SeededRandom::new(2)));
    server.add_registration(NOW, group::registration()).expect("it is the first");
    for ((kind, piece), message_id) in script::pieces(input).take(MESSAGES_MAX).zip(1..) {
        let exchange = Exchange::new(message_id);
        let genuine = |piece| exchange.seal_plain(ExchangeType::DELIVERY_REPORT, &isakmp::chain(piece));
        let (datagram, said) = match kind % 3 {
            0 => (piece.to_vec(), None),
            1 => (genuine(piece), None),
            _ => (genuine(&script::piece(PayloadType::DELIVERY.0, piece)), Some(piece)),
        };
        let taken = server.handle_datagram(NOW, isakmp::datagram(&datagram, true)).is_ok();
        assert!(taken || said.is_none_or(|said| said.len() > REPORT_LEN_MAX), "a genuine report is taken");
        let Some(ServerEvent::Reported { report, .. }) = server.poll_event() else { continue };
        assert!(taken && kind % 3 != 0 && report.len() <= REPORT_LEN_MAX);
        assert!(said.is_none_or(|said| said == report));
        if let Some(read) = claim::codec::<Report>(&report) {
            assert_eq!(read.to_octets(), report, "it is written in one way");
        }
        let again = server.handle_datagram(NOW, isakmp::datagram(&datagram, true));
        assert!(again.is_err() && server.poll_event().is_none(), "once and never again");
    }
}
