//! Packets that no honest host sends: properly signed, and wrong in one place.

use std::sync::Arc;

use claviger_crypto::{SeededRandom, hash::HashAlgorithm, kx::KxPrivate, provider};
use claviger_hip::{
    iana::{CipherId, DhGroup, EspSuite, PacketType, ParameterType},
    keys::{Hosts, Keymat, Prk},
    puzzle,
    wire::{
        Cert, DhGroupList, DiffieHellman, Encrypted, EspInfo, EspTransform, HipCipher, HitSuiteList, Packet,
        PacketBuilder, ParameterBlock, Puzzle, R1Counter, RegInfo, RegRequest, Solution, TransportFormatList,
    },
};
use claviger_hip_groups::McastChannel;
use claviger_identity::{Hit, HitSuite, HostId, HostIdentity};
use claviger_sansio::{Datagram, Socket};

use super::{GDOI, HOUR, Pair, Side, group};

pub(crate) fn i1(from: Hit, to: Hit, groups: &[DhGroup]) -> Vec<u8> {
    PacketBuilder::new(PacketType::I1, from, to).add(&DhGroupList(groups.to_vec())).finish().unwrap()
}

/// What an I2 is made of. A test changes one field, and builds.
pub(crate) struct I2 {
    pub(crate) identity: Arc<HostIdentity>,
    pub(crate) sender: Hit,
    pub(crate) receiver: Hit,
    pub(crate) host_id: HostId,
    pub(crate) counter: Option<R1Counter>,
    pub(crate) solution: Solution,
    pub(crate) responder_value: DiffieHellman,
    pub(crate) group: DhGroup,
    pub(crate) public_value: Option<Vec<u8>>,
    pub(crate) ciphers: Vec<CipherId>,
    pub(crate) requests: Vec<RegRequest>,
    pub(crate) channels: Vec<McastChannel>,
    pub(crate) open_channels: bool,
    pub(crate) certs: Vec<Cert>,
    pub(crate) open_certs: Vec<Cert>,
    pub(crate) open_host_id: bool,
    pub(crate) formats: Vec<ParameterType>,
    pub(crate) suites: Vec<EspSuite>,
    /// Whose key the MAC is made with, if not the association's own.
    pub(crate) mac_keymat: Option<Keymat>,
    private: Box<dyn KxPrivate>,
    rhash: HashAlgorithm,
}

impl I2 {
    /// Calls the server as `identity` and prepares an I2 without fault, asking for one group.
    pub(crate) fn prepare(pair: &mut Pair, identity: Arc<HostIdentity>) -> Self {
        let (own, server) = (identity.hit(), pair.server.hit());
        pair.server_hears(&i1(own, server, &[DhGroup::NIST_P256])).unwrap();
        let r1 = pair.server.transmits().pop().unwrap().payload;
        let r1 = Packet::parse(&r1).unwrap();
        let suite = HitSuite::of_hit(server).unwrap();
        let rhash = provider().hash(suite.rhash()).unwrap();
        let puzzle: Puzzle = r1.one().unwrap();
        let mut random = SeededRandom::new(77);
        let solution = puzzle::solve(rhash, &puzzle, own, server, &mut random).unwrap();
        let responder_value: DiffieHellman = r1.one().unwrap();
        let kx = provider().kx_group(DhGroup::NIST_P256.kx().unwrap()).unwrap();
        Self {
            sender: own,
            receiver: server,
            host_id: identity.host_id().clone(),
            counter: r1.find().unwrap(),
            solution,
            group: responder_value.group,
            responder_value,
            public_value: None,
            ciphers: vec![CipherId::AES_256_CBC],
            requests: vec![RegRequest { lifetime: group("one", HOUR).lifetime, types: vec![GDOI] }],
            channels: vec![group("one", HOUR)],
            open_channels: false,
            certs: vec![],
            open_certs: vec![],
            open_host_id: false,
            formats: vec![],
            suites: vec![],
            mac_keymat: None,
            private: kx.generate(&mut random).unwrap(),
            rhash: suite.rhash(),
            identity,
        }
    }

    pub(crate) fn keymat(&self) -> Keymat {
        let shared = self.private.agree(&self.responder_value.public_value).unwrap();
        let prk = Prk::extract(provider(), self.rhash, &self.solution.i, &self.solution.j, &shared).unwrap();
        let cipher = self.ciphers[0];
        Keymat::derive(provider(), self.rhash, cipher, prk, Hosts { local: self.sender, peer: self.receiver })
            .unwrap()
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        self.try_build().unwrap()
    }

    /// Builds the I2, unless it would be longer than any packet.
    pub(crate) fn try_build(&self) -> Option<Vec<u8>> {
        let keymat = self.keymat();
        let mut random = SeededRandom::new(78);
        let mut block = ParameterBlock::new();
        if !self.open_host_id {
            block.add(&self.host_id);
        }
        for cert in &self.certs {
            block.add(cert);
        }
        if !self.open_channels {
            for channel in &self.channels {
                block.add(channel);
            }
        }
        let sealed = Encrypted::seal(
            provider(),
            keymat.cipher(),
            &keymat.outgoing().encryption,
            block.octets().ok()?,
            &mut random,
        );
        let public_value = self.public_value.clone().unwrap_or_else(|| self.private.public().to_vec());
        let mut builder = PacketBuilder::new(PacketType::I2, self.sender, self.receiver);
        if !self.suites.is_empty() {
            builder.add(&EspInfo { keymat_index: keymat.index(), old_spi: 0, new_spi: 4096 });
        }
        if let Some(counter) = &self.counter {
            builder.add(counter);
        }
        builder.add(&self.solution);
        builder.add(&DiffieHellman { group: self.group, public_value });
        builder.add(&HipCipher(self.ciphers.clone()));
        if !block.is_empty() {
            builder.add(&sealed.unwrap());
        }
        if self.open_host_id {
            builder.add(&self.host_id);
        }
        for cert in &self.open_certs {
            builder.add(cert);
        }
        for request in &self.requests {
            builder.add(request);
        }
        builder.add(&TransportFormatList(self.formats.clone()));
        if !self.suites.is_empty() {
            builder.add(&EspTransform(self.suites.clone()));
        }
        if self.open_channels {
            for channel in &self.channels {
                builder.add(channel);
            }
        }
        let prf = provider().prf(self.rhash).unwrap();
        let mac_keymat = self.mac_keymat.as_ref().unwrap_or(&keymat);
        builder.mac(prf, &mac_keymat.outgoing().integrity).sign(&self.identity).unwrap();
        builder.finish().ok()
    }

    /// Sends the I2 and speaks on as its sender.
    pub(crate) fn establish(self, pair: &mut Pair) -> Session {
        pair.server_hears(&self.build()).unwrap();
        pair.decide_requests();
        let r2 = pair.server.transmits().pop().unwrap().payload;
        assert_eq!(r2[2], PacketType::R2.0);
        Session { keymat: self.keymat(), identity: self.identity, peer: self.receiver, r2 }
    }
}

/// One end of an association whose keys the test holds.
pub(crate) struct Session {
    pub(crate) identity: Arc<HostIdentity>,
    pub(crate) peer: Hit,
    pub(crate) keymat: Keymat,
    pub(crate) r2: Vec<u8>,
}

impl Session {
    /// Builds a packet under the association's keys.
    pub(crate) fn packet(&self, packet_type: PacketType, fill: impl FnOnce(&mut PacketBuilder)) -> Vec<u8> {
        let mut builder = PacketBuilder::new(packet_type, self.identity.hit(), self.peer);
        fill(&mut builder);
        let prf = provider().prf(self.keymat.rhash()).unwrap();
        builder.mac(prf, &self.keymat.outgoing().integrity).sign(&self.identity).unwrap();
        builder.finish().unwrap()
    }

    pub(crate) fn encrypt(&self, channels: &[McastChannel]) -> Encrypted {
        let mut block = ParameterBlock::new();
        channels.iter().for_each(|channel| {
            block.add(channel);
        });
        self.seal(&block)
    }

    pub(crate) fn seal(&self, block: &ParameterBlock) -> Encrypted {
        self.seal_octets(block.octets().unwrap())
    }

    pub(crate) fn seal_octets(&self, octets: &[u8]) -> Encrypted {
        let key = &self.keymat.outgoing().encryption;
        Encrypted::seal(provider(), self.keymat.cipher(), key, octets, &mut SeededRandom::new(79)).unwrap()
    }
}

/// What an R1 is made of.
pub(crate) struct R1 {
    pub(crate) identity: Arc<HostIdentity>,
    pub(crate) sender: Hit,
    pub(crate) counter: u64,
    pub(crate) k: u8,
    pub(crate) i_len: usize,
    pub(crate) groups: Vec<DhGroup>,
    pub(crate) value: DiffieHellman,
    pub(crate) ciphers: Vec<CipherId>,
    pub(crate) services: Option<RegInfo>,
}

impl R1 {
    /// An R1 without fault by `identity`.
    pub(crate) fn prepare(identity: Arc<HostIdentity>) -> Self {
        let kx = provider().kx_group(DhGroup::NIST_P256.kx().unwrap()).unwrap();
        let public_value = kx.generate(&mut SeededRandom::new(80)).unwrap().public().to_vec();
        Self {
            sender: identity.hit(),
            identity,
            counter: 1,
            k: 1,
            i_len: 48,
            groups: vec![DhGroup::NIST_P256],
            value: DiffieHellman { group: DhGroup::NIST_P256, public_value },
            ciphers: vec![CipherId::AES_256_CBC],
            services: None,
        }
    }

    pub(crate) fn build(&self, receiver: Hit) -> Vec<u8> {
        let mut builder = PacketBuilder::new(PacketType::R1, self.sender, receiver);
        builder
            .add(&R1Counter::new(self.counter))
            .add(&Puzzle { k: self.k, lifetime: 38, opaque: [0; 2], i: vec![7; self.i_len] })
            .add(&DhGroupList(self.groups.clone()))
            .add(&self.value)
            .add(&HipCipher(self.ciphers.clone()))
            .add(self.identity.host_id())
            .add(&HitSuiteList::of(&HitSuite::ALL));
        if let Some(services) = &self.services {
            builder.add(services);
        }
        builder.add(&TransportFormatList(vec![])).sign_2(&self.identity).unwrap();
        builder.finish().unwrap()
    }
}

/// Hands octets to a host as if they came from an address.
pub(crate) fn hear(
    side: &mut Side,
    now: claviger_sansio::Time,
    source: ([u8; 4], u16),
    octets: &[u8],
) -> Result<(), claviger_hip::Error> {
    side.host.handle_datagram(
        now,
        Datagram {
            socket: Socket::HipUdp,
            source: source.into(),
            destination: side.address,
            payload: octets,
        },
    )
}
