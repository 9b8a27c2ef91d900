//! One association, several ways of keying: each service has a Reg Type, groups and keys of its own.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::{sync::Arc, time::Duration};

use claviger_crypto::{SeededRandom, provider, sign::KeyAlgorithm};
use claviger_group::Role;
use claviger_hip::{
    ApiMisuse, HostConfig,
    iana::{RegFailure, RegType},
    wire::Lifetime,
};
use claviger_hip_groups::{
    Event, GroupHost, Host, McastChannel, RegistrationAnswer, RegistrationRequest, Withdrawal,
    iana::{ChannelStatus, GCKS_GDOI, GCKS_GSAKMP, GCKS_MIKEY},
};
use claviger_identity::HostIdentity;
use claviger_sansio::{Datagram, Socket, Time};

const NOW: Time = Time::from_secs(1_800_000_000);
const HOUR: Duration = Duration::from_secs(3600);

/// A member and a key server, each with its address.
struct Pair {
    member: Host,
    server: Host,
}

impl Pair {
    /// Makes a key server with these services, and a member.
    fn new(services: &[RegType]) -> Self {
        let host = |seed, services: &[RegType]| {
            let mut random = SeededRandom::new(seed);
            let identity = HostIdentity::generate(provider(), KeyAlgorithm::EcdsaP256, &mut random).unwrap();
            let config =
                HostConfig { services: services.to_vec(), ..HostConfig::new(Arc::new(identity), provider()) };
            Host::new(config, Box::new(random), NOW).unwrap()
        };
        Self { member: host(1, &[]), server: host(2, services) }
    }

    /// Carries packets until nobody says anything more. The server grants all groups but those named `closed`. Returns
    /// what the member was told.
    fn run(&mut self) -> Vec<Event> {
        let mut told = Vec::new();
        loop {
            self.member.handle_timeout(NOW);
            let to_server: Vec<_> = std::iter::from_fn(|| self.member.poll_transmit()).collect();
            to_server.iter().for_each(|packet| hear(&mut self.server, &packet.payload, "192.0.2.1:10500"));
            while let Some(event) = self.server.poll_event() {
                if let Event::RegistrationRequested { ticket, request, .. } = event {
                    self.server.answer(NOW, ticket, decide(&request)).unwrap();
                }
            }
            let to_member: Vec<_> = std::iter::from_fn(|| self.server.poll_transmit()).collect();
            to_member.iter().for_each(|packet| hear(&mut self.member, &packet.payload, "192.0.2.2:10500"));
            told.extend(std::iter::from_fn(|| self.member.poll_event()));
            if to_server.is_empty() && to_member.is_empty() {
                return told;
            }
        }
    }

    /// Asks for groups of one service, over the association if there is one, and returns the answer.
    fn ask(&mut self, reg_type: RegType, groups: &[&str]) -> RegistrationAnswer {
        let items = groups.iter().map(|name| channel(reg_type, name)).collect();
        let request = RegistrationRequest { reg_type, lifetime: HOUR, items };
        let peer = self.server.hit();
        if self.member.association(&peer).is_some() {
            self.member.request(NOW, peer, request).unwrap();
        } else {
            let address = "192.0.2.2:10500".parse().unwrap();
            self.member.connect(NOW, peer, address, Socket::HipUdp, Some(request)).unwrap();
        }
        let told = self.run();
        let answer = told.into_iter().find_map(|event| match event {
            Event::Registered { answer, .. } => Some(answer),
            Event::Changed { .. }
            | Event::Closed { .. }
            | Event::Established { .. }
            | Event::Failed { .. }
            | Event::Lost { .. }
            | Event::MoveAcknowledged { .. }
            | Event::Moved { .. }
            | Event::Notified { .. }
            | Event::RegistrationRequested { .. }
            | Event::Rekeyed { .. }
            | Event::Rekeying { .. }
            | Event::RevokeAcknowledged { .. }
            | Event::Revoked { .. } => None,
        });
        answer.expect("the server answers")
    }
}

fn hear(host: &mut Host, payload: &[u8], source: &str) {
    let source = source.parse().unwrap();
    let destination = "192.0.2.3:10500".parse().unwrap();
    host.handle_datagram(NOW, Datagram { socket: Socket::HipUdp, source, destination, payload }).unwrap();
}

fn channel(reg_type: RegType, name: &str) -> McastChannel {
    McastChannel {
        reg_type,
        role: Role::Receiver,
        group: name.parse().unwrap(),
        channel: None,
        lifetime: Lifetime::at_most(HOUR),
        status: ChannelStatus::GRANTED,
    }
}

fn decide(request: &RegistrationRequest) -> RegistrationAnswer {
    let closed = "closed".parse().unwrap();
    let answered = request.items.iter().map(|asked| match asked.group == closed {
        true => asked.answer(ChannelStatus::NOT_AUTHORISED, asked.role, Lifetime::CANCEL),
        false => asked.clone(),
    });
    let items: Vec<McastChannel> = answered.collect();
    let granted =
        items.iter().any(|channel| channel.status == ChannelStatus::GRANTED).then_some(request.lifetime);
    let failure = granted.is_none().then_some(RegFailure::ADDITIONAL_CREDENTIALS);
    RegistrationAnswer { reg_type: request.reg_type, granted, failure, items }
}

// I2 { ENCRYPTED{ HOST_ID, MCAST_CHANNEL(201) }, REG_REQUEST(201) }      -->
//                                                    <--  R2 { MCAST_CHANNEL(201), REG_RESPONSE(201) }
// UPDATE { SEQ, ENCRYPTED{ MCAST_CHANNEL(203) }, REG_REQUEST(203) }      -->
//                                                    <--  UPDATE { MCAST_CHANNEL(203), REG_RESPONSE(203) }
#[test]
fn each_service_has_groups_and_keys_of_its_own() {
    let mut pair = Pair::new(&[GCKS_GDOI, GCKS_GSAKMP, GCKS_MIKEY]);
    let (member, server) = (pair.member.hit(), pair.server.hit());
    assert_eq!(pair.ask(GCKS_GDOI, &["market"]).items, [channel(GCKS_GDOI, "market")]);
    assert!(pair.member.registration_sa(&server, GCKS_MIKEY).is_none(), "not asked for");
    assert_eq!(pair.ask(GCKS_MIKEY, &["market"]).items, [channel(GCKS_MIKEY, "market")]);
    let refused = pair.ask(GCKS_GSAKMP, &["closed"]);
    assert_eq!(refused.items[0].status, ChannelStatus::NOT_AUTHORISED);
    assert!(pair.member.registration_sa(&server, GCKS_GSAKMP).is_none(), "nothing is granted");

    let mut keys = Vec::new();
    for reg_type in [GCKS_GDOI, GCKS_MIKEY] {
        let ours = pair.member.registration_sa(&server, reg_type).unwrap();
        let theirs = pair.server.registration_sa(&member, reg_type).unwrap();
        assert_eq!((ours.cookies, &ours.skeyid_a), (theirs.cookies, &theirs.skeyid_a));
        keys.push(ours);
    }
    assert_ne!(keys[0].cookies, keys[1].cookies);
    assert_ne!(keys[0].skeyid_a, keys[1].skeyid_a);
    assert_ne!(keys[0].skeyid_e, keys[1].skeyid_e);
}

#[test]
fn one_service_is_withdrawn_and_the_other_goes_on() {
    let mut pair = Pair::new(&[GCKS_GDOI, GCKS_MIKEY]);
    let (member, server) = (pair.member.hit(), pair.server.hit());
    pair.ask(GCKS_GDOI, &["market"]);
    pair.ask(GCKS_MIKEY, &["market"]);

    let foreign = vec![channel(GCKS_MIKEY, "market")];
    let mixed = pair.server.withdraw(NOW, member, GCKS_GDOI, Withdrawal::Revoked, foreign);
    assert_eq!(mixed, Err(ApiMisuse::Items), "groups of another service");
    pair.server.revoke(NOW, member, GCKS_GDOI, vec![]).unwrap();
    let told = pair.run();
    let revoked = |event: &Event| matches!(event, Event::Revoked { reg_type, .. } if *reg_type == GCKS_GDOI);
    assert!(told.iter().any(revoked), "{told:?}");
    assert!(pair.member.registration_sa(&server, GCKS_GDOI).is_none());
    assert!(pair.member.registration_sa(&server, GCKS_MIKEY).is_some());
    assert!(pair.server.registration_sa(&member, GCKS_MIKEY).is_some());
}
