//! What is said of leases, at either GDOI endpoint: made-up messages, and made-up payloads behind a genuine HASH.

use claviger_crypto::{SeededRandom, provider};
use claviger_gdoi::{
    InForce, LeaseQuestion, LeaseVerdict, Member, MemberConfig, MemberEvent, Server, ServerEvent,
    limits::LEASE_LEN_MAX,
    wire::{LeaseAnswer, LeaseRequest},
};
use claviger_isakmp::iana::PayloadType;
use claviger_wire::{Decode, Encode};

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
    let mut member = Member::new(MemberConfig::new(provider()), Box::new(SeededRandom::new(1)));
    member.add_registration(NOW, group::registration()).expect("it is the first");
    let exchange = Exchange::new(1);
    let held = vec![(group::id(), LeaseQuestion::Keys, InForce::default())];
    for (kind, piece) in script::pieces(input).take(MESSAGES_MAX) {
        let asked = member.request_leases(NOW, &group::COOKIES, group::server_address(), held.clone());
        let asked = asked.expect("one group fits");
        let request = member.poll_transmit().expect("it asks").payload;
        let datagram = match kind % 3 {
            0 => piece.to_vec(),
            1 => exchange.seal_lease(&isakmp::chain(piece)),
            _ => exchange.seal_lease(&isakmp::chain(&script::piece(PayloadType::LEASE.0, piece))),
        };
        let said = (kind % 3 == 2 && datagram.len() <= LEASE_LEN_MAX).then_some(piece);

        let taken = server.handle_datagram(NOW, isakmp::datagram(&datagram, true)).is_ok();
        if let Some(read) = said.map(LeaseRequest::from_octets) {
            assert_eq!(taken, read.is_ok(), "a genuine request is taken");
        }
        if let Some(ServerEvent::LeasesRequested { ticket, groups, .. }) = server.poll_event() {
            let read = LeaseRequest { nonce: ticket.nonce(), groups: groups.clone() };
            assert!(said.is_none_or(|said| read.to_octets() == said), "it is written in one way");
            let granted = groups.into_iter().map(|(group, _, held)| (group, LeaseVerdict::Granted, held));
            server.answer_leases(ticket, granted.collect()).expect("the groups are those that were asked for");
            let answer = server.poll_transmit().expect("it answers").payload;
            assert_eq!(answer.len(), datagram.len(), "an answer is no longer than its request");
        }

        let taken = member.handle_datagram(NOW, isakmp::datagram(&datagram, false)).is_ok();
        let answer = said.and_then(|said| LeaseAnswer::from_octets(said).ok());
        match member.poll_event() {
            Some(MemberEvent::LeasesAnswered { request, groups }) => {
                assert!(taken && request == asked);
                assert!(answer.is_none_or(|answer| answer.groups == groups));
            }
            Some(MemberEvent::LeasesUnanswered { .. } | MemberEvent::Offered { .. }) => panic!("nothing else is asked for"),
            Some(MemberEvent::Pulled { .. } | MemberEvent::PullFailed { .. }) => panic!("nothing is pulled"),
            None => assert!(!taken),
        }
        // What answers the member is the server's, and nobody else's.
        server.handle_datagram(NOW, isakmp::datagram(&request, true)).expect("a genuine request");
        assert!(matches!(server.poll_event(), Some(ServerEvent::LeasesRequested { .. })));
    }
}
