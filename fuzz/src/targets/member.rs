//! The whole member, opposite a key server with real keys and no manners. Time passes by the high bits of a piece's
//! kind.

use std::time::Duration;

use claviger_crypto::{SeededRandom, provider};
use claviger_isakmp::iana::ExchangeType;
use claviger_group::Role;
use claviger_hip::iana::PacketType;
use claviger_member::{Member, MemberConfig, PlaneKind};
use claviger_sansio::{Socket, RetransmitPolicy};

use crate::{
    group::{self, NOW},
    hip::{self, Parameters},
    isakmp::{self, Exchange},
    script,
};

const DATAGRAMS_MAX: usize = 12;

fn config() -> MemberConfig {
    MemberConfig {
        hip: hip::config(),
        provider: provider(),
        owner: None,
        server: hip::peer_hit(),
        server_address: hip::datagram(&[]).source,
        socket: Socket::HipUdp,
        gdoi_port: 848,
        extensions: Default::default(),
        plane: PlaneKind::Any,
        registration_lifetime: Duration::from_secs(600),
        retransmit: RetransmitPolicy::default(),
    }
}

/// Feeds one input.
pub(super) fn feed(input: &[u8]) {
    let mut now = NOW;
    let random = Box::new(SeededRandom::new(1));
    let mut member = Member::new(config(), random, NOW).expect("the configuration is usable");
    member.join(NOW, group::id(), Role::Both);
    let (r1, private) = hip::called();
    let (mut r1, mut keymat, mut exchange) = (Some(r1), None, None);
    for (kind, piece) in script::pieces(input).take(DATAGRAMS_MAX) {
        now = now + Duration::from_secs((kind >> 4).into());
        let made_up = Parameters::default().made_up(piece);
        let (is_hip, octets) = match (kind & 7, &keymat, &mut exchange) {
            (0, ..) => (true, Some(piece.to_vec())),
            (1, None, _) => (true, r1.take().and_then(|r1| hip::r1(&r1.made_up(piece)))),
            (1, Some(keymat), _) => (true, hip::r2(made_up, keymat)),
            (2, Some(keymat), _) => (true, hip::protected(PacketType::UPDATE, made_up, keymat)),
            (3, Some(keymat), _) => (true, hip::protected(PacketType::CLOSE, made_up, keymat)),
            (4, Some(keymat), _) => (true, hip::protected(PacketType::NOTIFY, made_up, keymat)),
            (5, _, Some(exchange)) => {
                (false, Some(Exchange::seal(exchange, ExchangeType::GROUPKEY_PULL, &isakmp::chain(piece))))
            }
            (6, _, Some(exchange)) => {
                (false, Some(Exchange::seal(exchange, ExchangeType::INFORMATIONAL, &isakmp::chain(piece))))
            }
            (7, ..) => (false, Some(isakmp::push(&group::kek(), isakmp::chain(piece)))),
            _ => (false, Some(piece.to_vec())),
        };
        let Some(octets) = octets else { continue };
        let datagram = if is_hip { hip::datagram(&octets) } else { hip::gdoi_datagram(&octets) };
        let _ = member.handle_datagram(now, datagram);
        member.handle_timeout(now);
        while let Some(sent) = member.poll_transmit() {
            if sent.socket != Socket::Port848 {
                keymat = hip::keys_of_i2(&sent.payload, &*private).or(keymat);
                continue;
            }
            let keymat = keymat.as_ref().expect("nothing is pulled before there are keys");
            let current: &mut Exchange = match &mut exchange {
                Some(current) if current.is_of(&sent.payload) => current,
                other => {
                    let sa = hip::registration(keymat, false);
                    other.insert(Exchange::under(&sa, isakmp::message_id(&sent.payload)))
                }
            };
            current.follow(&sent.payload);
        }
        while member.poll_event().is_some() {}
    }
}
