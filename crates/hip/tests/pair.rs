//! Two hosts in memory, in every exchange.

mod support;

use std::time::Duration;

use claviger_crypto::sign::KeyAlgorithm;
use claviger_hip::{
    ApiMisuse, AssociationState, Error, Event, FailReason, HostConfig, PeerIncompatible, RegistrationAnswer,
    RegistrationRequest, TransportFormats,
    iana::{ChannelStatus, CipherId, DhGroup, EspSuite, PacketType, RegFailure, RegType},
};
use claviger_identity::HitSuite;
use claviger_sansio::Carriage;

use support::*;

#[test]
fn a_base_exchange_registers_a_member() {
    let mut pair = Pair::default_pair();
    // I1 -->  <-- R1  I2 { ENCRYPTED{ HOST_ID, MCAST_CHANNEL }, REG_REQUEST } -->  <-- R2 { REG_RESPONSE }
    pair.establish(Some(join(&["market"])));
    let (member, server) = (pair.member.take_events(), pair.server.take_events());
    assert_eq!(names(&member), ["established", "registered", "changed"]);
    assert_eq!(names(&server), ["requested", "established", "changed"]);
    let Event::Registered { answer, .. } = &member[1] else { panic!() };
    assert_eq!(answer.channels.len(), 1);
    assert_eq!(answer.channels[0].status, ChannelStatus::GRANTED);
    assert!(answer.granted.is_some());
    assert!(pair.keys_agree());
    assert_eq!(pair.log.len(), 4);
    assert_eq!(
        pair.member.host.association(&pair.server.hit()).unwrap().state,
        AssociationState::Established
    );
    assert_eq!(pair.server.host.association(&pair.member.hit()).unwrap().state, AssociationState::R2Sent);
}
