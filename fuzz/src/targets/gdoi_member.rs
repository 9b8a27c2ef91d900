//! The member's GDOI endpoint in a pull, opposite a key server with the real keys and no manners.

use claviger_crypto::{SeededRandom, provider};
use claviger_gdoi::{Member, MemberConfig, MemberEvent};
use claviger_isakmp::iana::ExchangeType;

use crate::{
    group::{self, NOW},
    isakmp::{self, Exchange},
    script,
};

const MESSAGES_MAX: usize = 16;

/// Feeds one input.
pub(super) fn feed(input: &[u8]) {
    let mut member = Member::new(MemberConfig::new(provider()), Box::new(SeededRandom::new(1)));
    member.add_registration(NOW, group::registration()).expect("it is the first");
    let pulled = member.pull(NOW, &group::COOKIES, group::server_address(), group::id(), Some(2));
    pulled.expect("no exchange is in progress");
    let message_1 = member.poll_transmit().expect("a pull begins with a message").payload;
    let mut exchange = Exchange::new(isakmp::message_id(&message_1));
    exchange.follow(&message_1);

    for (kind, piece) in script::pieces(input).take(MESSAGES_MAX) {
        let datagram = match kind % 4 {
            0 => piece.to_vec(),
            1 => exchange.seal(ExchangeType::INFORMATIONAL, &isakmp::chain(piece)),
            _ => exchange.seal(ExchangeType::GROUPKEY_PULL, &isakmp::chain(piece)),
        };
        let _ = member.handle_datagram(NOW, isakmp::datagram(&datagram, false));
        while let Some(event) = member.poll_event() {
            match event {
                MemberEvent::Offered { pull, .. } => member.accept(NOW, pull).expect("the offer awaits an answer"),
                MemberEvent::Pulled { sa, kd, .. } => {
                    // What a member is told to use fits together.
                    for (spi, keys) in &kd.teks {
                        let policy = sa.teks.iter().find(|tek| tek.spi == *spi).expect("keys have a policy");
                        let lengths = (keys.encryption.len(), keys.integrity.len());
                        let transform = policy.transform;
                        assert_eq!(lengths, (transform.encryption_key_len(), transform.integrity_key_len()));
                    }
                }
                MemberEvent::PullFailed { .. } => {}
                MemberEvent::LeasesAnswered { .. } | MemberEvent::LeasesUnanswered { .. } => {
                    panic!("no lease was asked for")
                }
            }
        }
        while let Some(transmit) = member.poll_transmit() {
            if isakmp::message_id(&transmit.payload) == isakmp::message_id(&message_1) {
                exchange.follow(&transmit.payload);
            }
        }
    }
}
