//! A host that registers by Phase 1 of ISAKMP, without HIP and without grants.

use std::{net::SocketAddr, time::Duration};

use claviger_crypto::{SecretBytes, SeededRandom, cipher::CipherAlgorithm, hash::HashAlgorithm, provider};
use claviger_gdoi::{
    KeyDownload, Member as Puller, MemberConfig, MemberEvent as PullEvent, PullFailure, SaPayload,
    lkh::KeyArray, push::RekeySa,
};
use claviger_group::{CookiePair, GroupId, MemberId, RegistrationSa};
use claviger_sansio::{Datagram, Socket, Transmit};

use super::{GDOI_PORT, Network, SERVER};

/// A host that has done Phase 1 with the key server.
pub struct Phase1Host {
    /// Who it is.
    pub id: MemberId,
    /// Where it is.
    pub address: SocketAddr,
    cookies: CookiePair,
    puller: Puller,
}

/// What a PULL brought.
pub struct Keys {
    /// The policy.
    pub sa: SaPayload,
    /// The keys.
    pub kd: KeyDownload,
}

impl Phase1Host {
    /// Does Phase 1: both ends hold the same registration SA, as the exchange would have left it. `number` tells hosts apart.
    pub fn new(network: &mut Network, id: MemberId, number: u8, cipher: CipherAlgorithm) -> Self {
        let mut puller =
            Puller::new(MemberConfig::new(provider()), Box::new(SeededRandom::new(number.into())));
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
        puller.add_registration(network.now, sa(network.server_hit().into())).expect("nothing is in the way");
        network.server.add_phase_1(network.now, sa(id.clone())).expect("nothing is in the way");
        let address = ([203, 0, 113, number], GDOI_PORT).into();
        Self { id, cookies: CookiePair([number; 16]), address, puller }
    }

    /// Pulls a group's keys.
    ///
    /// # Panics
    ///
    /// If the PULL has no end.
    pub fn pull(&mut self, network: &mut Network, group: &GroupId) -> Result<Keys, PullFailure> {
        let server = (SERVER, GDOI_PORT).into();
        self.puller.pull(network.now, &self.cookies, server, group.clone(), None).expect("it is registered");
        for _ in 0..100 {
            while let Some(transmit) = self.puller.poll_transmit() {
                let (source, destination) = (self.address, transmit.destination);
                let payload = &transmit.payload[..];
                let datagram = Datagram { socket: Socket::Port848, source, destination, payload };
                network.server.handle_datagram(network.now, datagram).expect("nothing is in the way");
            }
            self.hear(network);
            while let Some(event) = self.puller.poll_event() {
                match event {
                    PullEvent::Offered { pull, .. } => {
                        self.puller.accept(network.now, pull).expect("nothing is in the way")
                    }
                    PullEvent::Pulled { sa, kd, .. } => return Ok(Keys { sa, kd }),
                    PullEvent::PullFailed { reason, .. } => return Err(reason),
                    // It asks for none.
                    PullEvent::LeasesAnswered { .. } | PullEvent::LeasesUnanswered { .. } => {}
                }
            }
            network.pass(Duration::from_millis(100));
        }
        panic!("the PULL has no end");
    }

    fn hear(&mut self, network: &mut Network) {
        for Transmit { socket, payload, .. } in network.said_to(self.address) {
            let (source, destination) = ((SERVER, GDOI_PORT).into(), self.address);
            let datagram = Datagram { socket, source, destination, payload: &payload };
            self.puller.handle_datagram(network.now, datagram).expect("the key server answers as it should");
        }
    }
}

impl Keys {
    /// Makes what opens the group's rekey messages.
    ///
    /// # Panics
    ///
    /// If the group is not keyed by LKH.
    pub fn rekey_sa(&self) -> RekeySa {
        let policy = self.sa.kek.as_ref().expect("the group is keyed by LKH");
        let lkh = self.kd.lkh.as_ref().expect("the group is keyed by LKH");
        let array = KeyArray::new(lkh.download.as_ref().expect("the group is keyed by LKH"), policy.cipher)
            .expect("the group is keyed by LKH");
        let signer = self.kd.signing_key().expect("the group is keyed by LKH").clone();
        RekeySa::new(provider(), array.kek(policy.spi), signer, policy.signature, 0)
            .expect("the group is keyed by LKH")
    }
}
