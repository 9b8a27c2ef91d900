//! A registration that names no group and no host identity, as Phase 1 of IKEv1 makes it: the key server asks its list when
//! the PULL comes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::net::SocketAddr;

use claviger_crypto::{
    SecretBytes, SeededRandom, cipher::CipherAlgorithm, hash::HashAlgorithm, provider,
};
use claviger_gcks::{
    Event, Eviction,
    event::{Departure, RefusalReason},
};
use claviger_gdoi::{
    KeyDownload, Member as Puller, MemberConfig, MemberEvent as PullEvent, PullFailure, SaPayload,
    push::{KekMaterial, RekeySa},
};
use claviger_group::{Channel, CookiePair, GroupId, GroupPolicy, MemberId, RegistrationSa, Role};
use claviger_isakmp::iana::NotifyType;
use claviger_sansio::{Datagram, Socket};
use claviger_testkit::network::{Network, SECOND, SERVER};

const GDOI_PORT: u16 = 848;

fn market() -> GroupId {
    "market".parse().unwrap()
}

/// A host that has done Phase 1 with the key server.
struct Host {
    id: MemberId,
    cookies: CookiePair,
    address: SocketAddr,
    puller: Puller,
}

/// What a PULL brought.
struct Keys {
    sa: SaPayload,
    kd: KeyDownload,
}

impl Host {
    fn new(network: &mut Network, id: MemberId, number: u8, cipher: CipherAlgorithm) -> Self {
        let mut puller = Puller::new(MemberConfig::new(provider()), Box::new(SeededRandom::new(number.into())));
        let sa = |peer| RegistrationSa {
            peer,
            cookies: CookiePair([number; 16]),
            skeyid_d: SecretBytes::copy_of(&[number; 32]),
            skeyid_a: SecretBytes::copy_of(&[number; 32]),
            skeyid_e: SecretBytes::copy_of(&[number; 32]),
            phase1_iv: [number; 16],
            hash: HashAlgorithm::Sha256,
            cipher,
        };
        puller.add_registration(network.now, sa(network.server_hit().into())).unwrap();
        network.server.add_phase_1(network.now, sa(id.clone())).unwrap();
        let address = ([203, 0, 113, number], GDOI_PORT).into();
        Self { id, cookies: CookiePair([number; 16]), address, puller }
    }

    /// Pulls a group's keys.
    fn pull(&mut self, network: &mut Network) -> Result<Keys, PullFailure> {
        let server = (SERVER, GDOI_PORT).into();
        self.puller.pull(network.now, &self.cookies, server, market(), None).unwrap();
        for _ in 0..100 {
            while let Some(transmit) = self.puller.poll_transmit() {
                let (source, destination) = (self.address, transmit.destination);
                let payload = &transmit.payload[..];
                let datagram = Datagram { socket: Socket::Port848, source, destination, payload };
                let _ = network.server.handle_datagram(network.now, datagram);
            }
            network.settle();
            for transmit in network.sent_to(self.address) {
                let (source, destination) = ((SERVER, GDOI_PORT).into(), self.address);
                let payload = &transmit.payload[..];
                let datagram = Datagram { socket: Socket::Port848, source, destination, payload };
                let _ = self.puller.handle_datagram(network.now, datagram);
            }
            while let Some(event) = self.puller.poll_event() {
                match event {
                    PullEvent::Offered { pull, .. } => self.puller.accept(network.now, pull).unwrap(),
                    PullEvent::Pulled { sa, kd, .. } => return Ok(Keys { sa, kd }),
                    PullEvent::PullFailed { reason, .. } => return Err(reason),
                }
            }
            network.pass(SECOND / 10);
            self.puller.handle_timeout(network.now);
        }
        panic!("the PULL came to no end");
    }
}
