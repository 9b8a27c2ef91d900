//! The key server's GDOI endpoint under one registration, opposite a member with the real keys and no manners.

use claviger_crypto::{SeededRandom, provider};
use claviger_gdoi::{Server, ServerEvent};
use claviger_isakmp::iana::{ExchangeType, NotifyType};

use crate::{
    group::{self, NOW},
    isakmp::{self, Exchange},
    script,
};

const MESSAGES_MAX: usize = 16;

/// Feeds one input.
pub(super) fn feed(input: &[u8]) {
    let mut server = Server::new(provider(), Box::new(SeededRandom::new(2)));
    server.add_registration(NOW, group::registration()).expect("it is the first");
    let mut exchange = Exchange::new(1);
    for (kind, piece) in script::pieces(input).take(MESSAGES_MAX) {
        let datagram = match kind % 4 {
            0 => piece.to_vec(),
            1 => exchange.seal(ExchangeType::INFORMATIONAL, &isakmp::chain(piece)),
            _ => exchange.seal(ExchangeType::GROUPKEY_PULL, &isakmp::chain(piece)),
        };
        let _ = server.handle_datagram(NOW, isakmp::datagram(&datagram, true));
        let mut asked = 0;
        while let Some(event) = server.poll_event() {
            asked += 1;
            match event {
                ServerEvent::PullRequested { pull, group, .. } if group == group::id() => {
                    server.offer(NOW, pull, &group::sa()).expect("message 1 awaits an answer");
                }
                ServerEvent::PullRequested { pull, .. } => {
                    let refused = server.refuse(NOW, pull, NotifyType::INVALID_ID_INFORMATION);
                    refused.expect("message 1 awaits an answer");
                }
                ServerEvent::PullConfirmed { pull, group, .. } => {
                    assert_eq!(group, group::id(), "nothing else was offered");
                    server.download(NOW, pull, Some(0), &group::kd()).expect("message 3 awaits an answer");
                }
                ServerEvent::LeasesRequested { .. }
                | ServerEvent::PullDeclined { .. }
                | ServerEvent::PullDisplaced { .. }
                | ServerEvent::Reported { .. } => {}
            }
        }
        assert!(asked <= 1, "one message, one event");
        while let Some(transmit) = server.poll_transmit() {
            if isakmp::message_id(&transmit.payload) == 1 {
                exchange.follow(&transmit.payload);
            }
        }
    }
}
