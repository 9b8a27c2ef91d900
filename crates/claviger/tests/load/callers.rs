//! Strangers who call the key server, and have solved its puzzles before they flood it.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddrV4},
    sync::Arc,
    thread,
    time::Duration,
};

use claviger_crypto::{SeededRandom, hash::HashAlgorithm, kx::KxPrivate, provider};
use claviger_hip::{
    iana::{CipherId, DhGroup, PacketType},
    keys::{Hosts, IntegrityKey, Keymat, Prk},
    puzzle,
    wire::{
        DiffieHellman, Encrypted, HipCipher, Lifetime, Packet, PacketBuilder, ParameterBlock, Puzzle,
        R1Counter, RegRequest, Solution, TransportFormatList,
    },
};
use claviger_hip_groups::{
    McastChannel,
    iana::{ChannelStatus, GCKS_GDOI},
};
use claviger_identity::{Hit, HitSuite, HostIdentity};
use claviger_testkit::{
    flood::{Flood, sources},
    network::new_identity,
};

use crate::{
    ground::{GROUP, Ground, HIP_PORT},
    hip,
};

/// How many call a second: fewer than the key server answers.
const CALLS_PER_SECOND: u32 = 800;

/// How long the last answers may take.
const ANSWERS: Duration = Duration::from_millis(200);

/// The source port of callers.
const PORT: u16 = 5_555;

/// How long strangers want to be registered.
const LIFETIME: Duration = Duration::from_secs(3_600);

/// Somebody with an identity and an address of its own, who has got an R1 and has solved its puzzle.
pub(crate) struct Caller {
    identity: Arc<HostIdentity>,
    server: Hit,
    address: SocketAddrV4,
    counter: Option<R1Counter>,
    solution: Solution,
    responder_value: DiffieHellman,
    rhash: HashAlgorithm,
}

/// Has so many call and solve.
pub(crate) fn call(ground: &Ground<'_>, count: usize) -> Vec<Caller> {
    let strangers: BTreeMap<Ipv4Addr, Arc<HostIdentity>> =
        sources().take(count).map(|address| (address, new_identity())).collect();
    let mut r1s = answers(ground, &strangers);
    let mut random = SeededRandom::new(13);
    let answered = strangers.into_iter().filter_map(|(address, identity)| {
        let (r1, address) = (r1s.remove(&address)?, SocketAddrV4::new(address, PORT));
        Some(Caller::solve(identity, ground.server.hit(), address, &r1, &mut random))
    });
    answered.collect()
}

/// Has one stranger call, and takes the R1 that it gets.
pub(crate) fn an_r1(ground: &Ground<'_>) -> Vec<u8> {
    let stranger = sources().take(1).map(|address| (address, new_identity())).collect();
    let (_, r1) = answers(ground, &stranger).pop_first().expect("a key server with nothing to do answers");
    r1
}

/// Has strangers call, and takes the R1s that come to their addresses.
fn answers(
    ground: &Ground<'_>,
    strangers: &BTreeMap<Ipv4Addr, Arc<HostIdentity>>,
) -> BTreeMap<Ipv4Addr, Vec<u8>> {
    let (server, to) = (ground.server.hit(), ground.server_at(HIP_PORT));
    let link = ground.link_to(ground.server.host);
    let i1s = strangers.iter().map(|(address, identity)| {
        link.udp(SocketAddrV4::new(*address, PORT), to, &hip::i1(identity.hit(), server))
    });
    let flood = Flood::new(i1s.collect(), CALLS_PER_SECOND);
    let capture = ground.flooder().capture();
    let count = u32::try_from(strangers.len()).expect("few call");
    let time = Duration::from_secs(1) * count / CALLS_PER_SECOND + ANSWERS;
    let ((), _) = flood.during(ground.flooder(), || thread::sleep(time));
    let packets = capture.stop().packets();
    let r1s = packets.into_iter().filter_map(|(_, packet)| match (packet.destination, packet.udp()?) {
        (IpAddr::V4(address), (HIP_PORT, PORT, data)) if hip::packet_type(data) == Some(PacketType::R1) => {
            Some((address, data.to_vec()))
        }
        _ => None,
    });
    r1s.collect()
}

impl Caller {
    fn solve(
        identity: Arc<HostIdentity>,
        server: Hit,
        address: SocketAddrV4,
        r1: &[u8],
        random: &mut SeededRandom,
    ) -> Self {
        let r1 = Packet::parse(hip::off_udp(r1).expect("it is marked")).expect("a key server's R1 is sound");
        let rhash = HitSuite::of_hit(server).expect("a key server's HIT is of a known suite").rhash();
        let hash = provider().hash(rhash).expect("every suite's hash is there");
        let puzzle: Puzzle = r1.one().expect("an R1 has a puzzle");
        let solution =
            puzzle::solve(hash, &puzzle, identity.hit(), server, random).expect("it is no monster");
        Self {
            identity,
            server,
            address,
            counter: r1.find().expect("at most one"),
            solution,
            responder_value: r1.one().expect("an R1 has a public value"),
            rhash,
        }
    }

    /// How difficult the puzzle was.
    pub(crate) fn difficulty(&self) -> u8 {
        self.solution.k
    }

    /// The frame of an I2 whose MAC is wrong: the key server finds out behind a Diffie-Hellman computation.
    pub(crate) fn failing_i2(&self, ground: &Ground<'_>, random: &mut SeededRandom) -> Vec<u8> {
        let mut builder = self.begin(&*self.private(random));
        builder.add(self.identity.host_id()).add(&TransportFormatList(vec![]));
        let prf = provider().prf(self.rhash).expect("every suite's hash is there");
        let key = IntegrityKey::new(vec![1; prf.output_len()]);
        builder.mac(prf, &key).sign(&self.identity).expect("it can sign");
        self.frame(ground, &builder)
    }

    /// The frame of an I2 without fault, by which a stranger asks for the group.
    pub(crate) fn valid_i2(&self, ground: &Ground<'_>, random: &mut SeededRandom) -> Vec<u8> {
        let private = self.private(random);
        let shared = private.agree(&self.responder_value.public_value).expect("the server's value is sound");
        let (i, j) = (&self.solution.i, &self.solution.j);
        let prk = Prk::extract(provider(), self.rhash, i, j, &shared).expect("it has the lengths");
        let hosts = Hosts { local: self.identity.hit(), peer: self.server };
        let keymat = Keymat::derive(provider(), self.rhash, CipherId::AES_256_CBC, prk, hosts)
            .expect("the algorithms are there");
        let lifetime = Lifetime::at_most(LIFETIME);
        let wish = McastChannel {
            reg_type: GCKS_GDOI,
            role: claviger_group::Role::Receiver,
            group: GROUP.parse().expect("a group's name"),
            channel: None,
            lifetime,
            status: ChannelStatus::GRANTED,
        };
        let mut block = ParameterBlock::new();
        block.add(self.identity.host_id()).add(&wish);
        let octets = block.octets().expect("it is short");
        let key = &keymat.outgoing().encryption;
        let sealed =
            Encrypted::seal(provider(), keymat.cipher(), key, octets, random).expect("it can encrypt");
        let mut builder = self.begin(&*private);
        builder
            .add(&sealed)
            .add(&RegRequest { lifetime, types: vec![GCKS_GDOI] })
            .add(&TransportFormatList(vec![]));
        let prf = provider().prf(self.rhash).expect("every suite's hash is there");
        builder.mac(prf, &keymat.outgoing().integrity).sign(&self.identity).expect("it can sign");
        self.frame(ground, &builder)
    }

    fn private(&self, random: &mut SeededRandom) -> Box<dyn KxPrivate> {
        let group = DhGroup::NIST_P256.kx().expect("a group that is known");
        provider().kx_group(group).expect("P-256 is there").generate(random).expect("a key can be made")
    }

    fn begin(&self, private: &dyn KxPrivate) -> PacketBuilder {
        let mut builder = PacketBuilder::new(PacketType::I2, self.identity.hit(), self.server);
        if let Some(counter) = &self.counter {
            builder.add(counter);
        }
        let value = DiffieHellman { group: DhGroup::NIST_P256, public_value: private.public().to_vec() };
        builder.add(&self.solution).add(&value).add(&HipCipher(vec![CipherId::AES_256_CBC]));
        builder
    }

    fn frame(&self, ground: &Ground<'_>, builder: &PacketBuilder) -> Vec<u8> {
        let packet = hip::on_udp(&builder.finish().expect("an I2 fits into a packet"));
        ground.link_to(ground.server.host).udp(self.address, ground.server_at(HIP_PORT), &packet)
    }
}
