//! Those who damage, repeat, forge and ask for what is not theirs.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::{cell::RefCell, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use claviger_crypto::{
    SeededRandom, SystemRandom, provider,
    sign::{KeyAlgorithm, SigningKey},
};
use claviger_gcks::{Admits, Counter, Owner, RekeyWhat, RevocationPolicy};
use claviger_gdoi::{
    Member as Puller, MemberConfig as PullerConfig, MemberEvent as PullEvent, PullFailure,
    push::{self, Push},
    wire::Delete,
};
use claviger_group::{CookiePair, GroupId, Role};
use claviger_hip::{
    HostConfig,
    iana::{PacketType, ParameterType},
    wire::{Lifetime, Packet},
};
use claviger_hip_groups::{
    Event as HipEvent, GroupHost, Host, McastChannel, RegistrationRequest,
    iana::{ChannelStatus, GCKS_GDOI},
};
use claviger_identity::{Hit, HostIdentity};
use claviger_isakmp::{
    iana::{ExchangeType, NotifyType},
    wire::header,
};
use claviger_member::{Event, event::Refusal};
use claviger_pki::Revocation;
use claviger_sansio::{Datagram, Socket, Transmit};
use claviger_testkit::{
    judge::{judge, laggards},
    network::{GDOI_PORT, HIP_PORT, Kind, Network, Origin, SERVER, group_id, new_identity, policy},
    owner::{Ca, KEY_SERVER, chain},
};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Where the GROUPKEY-PUSHes of a group go, as its first member was told.
fn push_address(network: &Network, group: &GroupId) -> SocketAddr {
    network.members[0].member.subscription(group).unwrap().places().unwrap().push.unwrap()
}

/// Which octets of a datagram are authentic. Nothing covers the padding of a HIP_SIGNATURE at the end of a packet, nor
/// #I and Opaque of R1's PUZZLE, which no state of the key server stands behind: the HIP crate's own tests damage those.
fn covered(socket: Socket, octets: &[u8]) -> Vec<usize> {
    if socket == Socket::Port848 {
        return (0..octets.len()).collect();
    }
    let packet = Packet::parse(octets).unwrap();
    let puzzle = packet.parameters().raw(ParameterType::PUZZLE);
    let puzzle = puzzle.map_or(0..0, |raw| raw.offset()..raw.offset() + raw.octets().len());
    (0..octets.len() - 8).filter(|position| !puzzle.contains(position)).collect()
}

fn market() -> GroupId {
    group_id("market")
}

/// Cuts a datagram at a dozen lengths and flips a bit in each of some forty octets, at other places each time.
fn damaged(turn: usize, socket: Socket, octets: &[u8]) -> Vec<Vec<u8>> {
    let mut copies: Vec<Vec<u8>> =
        (0..12).map(|part| octets[..(octets.len() * part + turn % 12) / 13].to_vec()).collect();
    let covered = covered(socket, octets);
    // Behind one solved puzzle an I2 may fail, and under one KEK a few signatures of PUSHes, and no more.
    let flips = match socket {
        Socket::Port848 if matches!(header::peek(octets), Some((ExchangeType::GROUPKEY_PUSH, _))) => 6,
        Socket::HipUdp | Socket::HipRaw if octets[2] == PacketType::I2.0 => 1,
        Socket::Port848 | Socket::HipUdp | Socket::HipRaw => 40,
    };
    for position in covered.iter().skip(turn % 11).step_by((covered.len() / flips).max(1)).take(flips) {
        let mut copy = octets.to_vec();
        copy[*position] ^= 1 << (turn % 8);
        copies.push(copy);
    }
    copies
}

// I2, R2 and the UPDATEs of a renewal, with CERT in each, preceded by their damaged copies
#[test]
fn damaged_messages_with_certificates_change_nothing_and_genuine_ones_succeed_behind_them() {
    let mut network = Network::new(41);
    let group = market();
    let mut short = policy(1);
    short.access.registration_lifetime = 120 * SECOND;
    network.add_group(&group, short);
    let ca = Ca::new("CN=Owner,O=Example");
    let owner = Owner { revocation: RevocationPolicy::Required, ..ca.owner(Admits::ListOrCertificate) };
    network.server.set_owner(network.now, &group, Some(owner)).unwrap();
    network.server.set_revocation_lists(network.now, vec![ca.list(&[], network.now)]);
    let server = ca.certify(network.server_identity(), &group, KEY_SERVER, |_| ());
    network.show_certificates(vec![chain(&[&server])]);
    network.settle();
    let made = Rc::new(RefCell::new(0));
    let count = Rc::clone(&made);
    network.damage = Some(Box::new(move |socket, octets| {
        *count.borrow_mut() += 1;
        damaged(*count.borrow(), socket, octets)
    }));
    let identity = new_identity();
    let certificate = ca.certify_member(&identity, &group, Role::Both);
    let place = network.add_member_with(identity, |config| {
        config.hip.certificates = vec![chain(&[&certificate])];
        config.owner = Some(ca.judge(Revocation::NotChecked));
    });
    network.ask(place, &group, Role::Both);
    network.until(10 * SECOND, |network| network.is_keyed(place, &group));
    network.pass(200 * SECOND);
    assert!(network.is_current(place, &group), "its registration was renewed twice");
    assert!(*made.borrow() > 10);
    assert_eq!(network.server.refused().count(), 0);
}

// every datagram between key server and members, each preceded by its damaged copies:
// I1, R1, I2, R2, GROUPKEY-PULL 1..4, GROUPKEY-PUSH, UPDATE both ways, CLOSE, CLOSE_ACK
#[test]
fn damaged_messages_change_nothing_and_genuine_ones_succeed_behind_them() {
    let mut network = Network::new(40);
    let group = market();
    network.add_group(&group, policy(1));
    let forum = group_id("forum");
    network.add_group(&forum, policy(2));
    let made = Rc::new(RefCell::new(0));
    let count = Rc::clone(&made);
    network.damage = Some(Box::new(move |socket, octets| {
        *count.borrow_mut() += 1;
        damaged(*count.borrow(), socket, octets)
    }));
    let first = network.joined(&group, Role::Both);
    let second = network.joined(&group, Role::Both);
    network.join(second, &forum, Role::Receiver);
    network.until(10 * SECOND, |n| n.is_keyed(second, &forum));
    network.server.rekey(network.now, &group, RekeyWhat::Kek).unwrap();
    network.settle();
    network.pass(2 * SECOND);
    assert!(laggards(&network, &group).is_empty());
    let now = network.now;
    network.members[second].member.leave_group(now, &forum);
    network.settle();
    network.pass(2 * SECOND);
    let id = network.members[second].id();
    network.server.evict(network.now, &group, &id).unwrap();
    network.settle();
    network.pass(2 * SECOND);
    assert_eq!(network.members[second].count(|event| matches!(event, Event::Evicted { .. })), 1);
    assert!(network.is_current(first, &group));
    let now = network.now;
    network.members[first].member.leave(now);
    network.settle();
    network.pass(2 * SECOND);
    assert_eq!(network.members[first].count(|event| *event == Event::Closed), 1);
    assert!(*made.borrow() > 30, "{}", made.borrow());
}

//   GROUPKEY-PUSH { SEQ, D(all) }, under the KEK, signed by a member   ==>   everybody
#[test]
fn a_member_cannot_speak_for_the_key_server() {
    let mut network = Network::new(41);
    let group = market();
    network.add_group(&group, policy(1));
    let places: Vec<usize> = (0..3).map(|_| network.joined(&group, Role::Both)).collect();
    network.pass(2 * SECOND);
    let rekey = network.members[0].ledger(&group).unwrap().rekeys.last().cloned().unwrap();
    let view = network.server.group(network.now, &group).unwrap();
    let kek = view.kek.unwrap();
    assert_eq!(rekey.kek.spi, kek.spi);
    let own_key =
        SigningKey::generate(provider(), KeyAlgorithm::EcdsaP256, &mut SystemRandom::new().unwrap()).unwrap();
    let deletes = [Delete::AllTeks, Delete::AllKeks];
    let forged = Push { kek: &rekey.kek, sequence: kek.sequence + 1, deletes: &deletes, sa: None, kd: None };
    let forged = push::seal(provider(), &forged, &own_key).unwrap();
    let destination = push_address(&network, &group);
    let before = network.fingerprint();
    network.fly(
        Origin::Server,
        (SERVER, GDOI_PORT).into(),
        Kind::Control(Socket::Port848),
        destination,
        forged,
    );
    network.pass(SECOND);
    assert_eq!(network.drops.get("bad_signature"), Some(&3), "{:?}", network.drops);
    let after = network.fingerprint();
    assert!(before.0 == after.0);
    assert!(places.iter().all(|place| network.is_current(*place, &group)));
    // The genuine message bears the number that the forged one had taken.
    network.server.rekey(network.now, &group, RekeyWhat::Tek).unwrap();
    network.settle();
    network.pass(2 * SECOND);
    assert!(laggards(&network, &group).is_empty());
}

#[test]
fn strangers_cannot_tell_groups_apart() {
    let mut network = Network::new(42);
    let group = market();
    let mut full = policy(1);
    full.access.members_max = 1;
    network.add_group(&group, full);
    network.add_group(&group_id("forum"), policy(2));
    network.joined(&group, Role::Both);
    let mut bare = Bare::new(&mut network, 1);
    let mut statuses = Vec::new();
    for name in ["market", "forum", "nowhere"] {
        bare.ask(&mut network, &[name], Role::Receiver, None);
        statuses.push(bare.statuses.pop().unwrap());
        let elsewhere = claviger_group::Channel::new([239, 9, 9, 9].into(), None).unwrap();
        bare.ask(&mut network, &[name], Role::Sender, Some(elsewhere));
        statuses.push(bare.statuses.pop().unwrap());
    }
    assert_eq!(statuses, [ChannelStatus::NOT_AUTHORISED; 6]);
    assert!(bare.sa(&network).is_none(), "nothing is granted, so that no keys are derived");
    // The same host, once it is on a list, is told the truth about that group and nothing of the others.
    network.server.allow(network.now, &group, &bare.hit.into(), Role::Receiver).unwrap();
    bare.ask(&mut network, &["market"], Role::Receiver, None);
    assert_eq!(bare.statuses.pop(), Some(ChannelStatus::GROUP_FULL));
    bare.ask(&mut network, &["forum"], Role::Receiver, None);
    assert_eq!(bare.statuses.pop(), Some(ChannelStatus::NOT_AUTHORISED));
}

//   PULL 1 { ID: a group not granted }   -->
//                                        <--   Informational { INVALID-ID-INFORMATION }
#[test]
fn a_pull_for_a_group_that_was_not_granted_is_refused() {
    let mut network = Network::new(43);
    network.add_group(&market(), policy(1));
    network.add_group(&group_id("forum"), policy(2));
    network.joined(&group_id("forum"), Role::Both);
    let mut bare = Bare::registered(&mut network, 2, Role::Receiver);
    let before = network.fingerprint();
    for name in ["forum", "nowhere"] {
        let failure = bare.pull(&mut network, name, None).unwrap_err();
        assert!(matches!(failure, PullFailure::Refused(NotifyType::INVALID_ID_INFORMATION)), "{failure:?}");
    }
    assert!(before == network.fingerprint());
    bare.pull(&mut network, "market", None).unwrap();
    assert_eq!(network.server.group(network.now, &market()).unwrap().members, 1);
}

#[test]
fn a_receiver_gets_no_sender_ids_and_nobody_gets_many() {
    let mut network = Network::new(44);
    network.add_group(&market(), policy(1));
    let mut receiver = Bare::registered(&mut network, 3, Role::Receiver);
    let failure = receiver.pull(&mut network, "market", Some(1)).unwrap_err();
    assert!(matches!(failure, PullFailure::Refused(NotifyType::ATTRIBUTES_NOT_SUPPORTED)), "{failure:?}");
    assert_eq!(network.server.group(network.now, &market()).unwrap().members, 0, "and it did not join by it");
    let mut sender = Bare::registered(&mut network, 4, Role::Both);
    let failure = sender.pull(&mut network, "market", Some(65)).unwrap_err();
    assert!(matches!(failure, PullFailure::Refused(NotifyType::ATTRIBUTES_NOT_SUPPORTED)), "{failure:?}");
    assert_eq!(sender.pull(&mut network, "market", Some(64)).unwrap(), 64);
    assert_eq!(receiver.pull(&mut network, "market", None).unwrap(), 0);
}

//   GROUPKEY-PULL { GAP(64 sender ids) }, without end, and base exchanges in between   -->
#[test]
fn a_sender_that_asks_for_ids_without_end_comes_to_the_end_of_its_own_and_nobody_elses() {
    let mut network = Network::new(51);
    let mut few = policy(1);
    few.data.sender_id_bits = 12;
    network.add_group(&market(), few);
    let honest: Vec<usize> = (0..10).map(|_| network.joined(&market(), Role::Both)).collect();
    network.pass(10 * SECOND);
    let mut greedy = Bare::registered(&mut network, 5, Role::Both);
    let (mut granted, mut refused, began) = (0, 0, network.now);
    for turn in 0..150 {
        network.pass(SECOND / 5);
        match greedy.pull(&mut network, "market", Some(64)) {
            Ok(ids) => granted += ids,
            Err(PullFailure::Refused(NotifyType::ATTRIBUTES_NOT_SUPPORTED)) => refused += 1,
            // It has come too often, or the group was rekeyed meanwhile.
            Err(PullFailure::Refused(NotifyType::INVALID_SPI)) => refused += 1,
            Err(failure) => panic!("{failure:?}"),
        }
        if turn % 5 == 4 {
            // A key server answers few I1s at once.
            network.pass(SECOND / 2);
            greedy.begin_anew(&mut network, 5, 2_000 + turn as u64);
        }
        network.send(honest[turn % 10], &market(), b"business").unwrap();
    }
    assert!(network.now.since(began) < 60 * SECOND, "within the period over which arrivals are counted");
    // Its share is 186 of 4,096, of which it gets two times 64 with each TEK that is made for it.
    assert!((1024..=17 * 128).contains(&granted), "{granted}");
    assert!(refused > 50, "{refused}");
    let counters = &network.server.counters().gcks;
    assert!(counters[Counter::SenderIdsRefused] > 0 && counters[Counter::TooOften] > 0);
    let arrivals = counters[Counter::Returns] + 1;
    assert_eq!(arrivals, 16, "with its join: each is a rekey, and no host has more in a period");
    network.pass(5 * SECOND);
    for host in honest {
        let again = network.members[host].count(|event| matches!(event, Event::PullAgain { .. }));
        assert_eq!(again, 0, "nobody else has to fetch anything");
        assert!(network.is_current(host, &market()));
    }
    judge(&network, &market(), &[]).acquit();
}

#[test]
fn what_an_evicted_host_said_before_does_not_bring_it_back() {
    let mut network = Network::new(45);
    let group = market();
    network.add_group(&group, policy(1));
    let stayer = network.joined(&group, Role::Both);
    let mut bare = Bare::registered(&mut network, 5, Role::Both);
    bare.pull(&mut network, "market", None).unwrap();
    bare.ask(&mut network, &["market"], Role::Both, None);
    bare.pull(&mut network, "market", None).unwrap();
    network.pass(2 * SECOND);
    network.server.evict(network.now, &group, &bare.hit.into()).unwrap();
    network.settle();
    network.pass(3 * SECOND);
    let said = bare.said.clone();
    assert!(said.len() >= 8);
    let members = network.server.group(network.now, &group).unwrap().members;
    for _ in 0..2 {
        for transmit in &said {
            bare.say(&mut network, transmit);
            network.pass(Duration::from_millis(10));
            let view = network.server.group(network.now, &group).unwrap();
            assert_eq!((view.members, members), (1, 1));
            let hosts = network.server.hosts(network.now, &group).unwrap();
            assert!(
                hosts.iter().all(|host| host.host != bare.hit.into()),
                "no grant, no membership, no place on the list"
            );
        }
        network.restart();
    }
    let failure = bare.pull(&mut network, "market", None).unwrap_err();
    assert!(matches!(failure, PullFailure::Refused(NotifyType::INVALID_ID_INFORMATION)), "{failure:?}");
    assert!(network.is_current(stayer, &group));
    // What others said does not put them out either.
    let others: Vec<Vec<u8>> = network
        .wire
        .iter()
        .filter(|sent| sent.origin == Origin::Member(stayer) && matches!(sent.kind, Kind::Control(_)))
        .map(|sent| sent.octets.clone())
        .collect();
    for octets in others {
        for socket in [Socket::HipUdp, Socket::Port848] {
            bare.say(
                &mut network,
                &Transmit { socket, source: None, destination: bare.address, payload: octets.clone() },
            );
        }
    }
    network.pass(3 * SECOND);
    assert_eq!(network.server.group(network.now, &group).unwrap().members, 1);
    assert!(network.is_current(stayer, &group));
    judge(&network, &group, &[]).acquit();
}

#[test]
fn an_old_close_does_not_end_a_new_association() {
    let mut network = Network::new(46);
    let group = market();
    network.add_group(&group, policy(1));
    let place = network.joined(&group, Role::Both);
    network.pass(SECOND);
    let mark = network.wire.len();
    let now = network.now;
    network.members[place].member.leave(now);
    network.settle();
    network.pass(SECOND);
    let close = network.wire[mark].octets.clone();
    network.join(place, &group, Role::Both);
    network.until(5 * SECOND, |n| n.is_current(place, &market()));
    let source = (network.members[place].address, HIP_PORT).into();
    network.fly(
        Origin::Member(place),
        source,
        Kind::Control(Socket::HipUdp),
        (SERVER, HIP_PORT).into(),
        close,
    );
    network.pass(2 * SECOND);
    assert!(network.is_current(place, &group));
    assert_eq!(network.server.group(network.now, &group).unwrap().members, 1);
}

#[test]
fn forged_signs_make_nobody_pull_and_few_questions() {
    let mut network = Network::new(47);
    let group = market();
    network.add_group(&group, policy(1));
    let place = network.joined(&group, Role::Both);
    network.joined(&group, Role::Both);
    network.pass(5 * SECOND);
    let view = network.server.group(network.now, &group).unwrap();
    let data = SocketAddr::new(view.policy.data.channel.group(), view.policy.data.encapsulation_port);
    let pushes = push_address(&network, &group);
    let genuine = network.pushes().last().unwrap().octets.clone();
    let before = network.members[place].member.subscription(&group).unwrap().pulls();
    for number in 0u32..600 {
        let mut forged = vec![0x5a; 64];
        forged[..4].copy_from_slice(&(0x1000 + number).to_be_bytes());
        network.fly(Origin::Server, (SERVER, 4500).into(), Kind::Esp, data, forged);
        let mut forged = genuine.clone();
        forged[..4].copy_from_slice(&(0x1000 + number).to_be_bytes());
        network.fly(
            Origin::Server,
            (SERVER, GDOI_PORT).into(),
            Kind::Control(Socket::Port848),
            pushes,
            forged,
        );
        network.pass(SECOND);
    }
    let pulls = network.members[place].member.subscription(&group).unwrap().pulls() - before;
    assert_eq!(pulls, 0);
    let asked = network.server.counters().gcks[Counter::LeaseRequests];
    assert!((2 * 60..2 * 150).contains(&asked), "{asked}");
    let refused = |event: &Event| matches!(event, Event::Refused { refusal: Refusal::Policy(_), .. });
    assert_eq!(network.members[place].count(refused), 0);
}

/// A host that speaks HIP and GDOI as it pleases.
struct Bare {
    identity: Arc<HostIdentity>,
    hit: Hit,
    address: SocketAddr,
    host: Host,
    puller: Puller,
    cookies: Option<CookiePair>,
    /// What the server said of the channels, the last behind.
    statuses: Vec<ChannelStatus>,
    /// All that it ever sent.
    said: Vec<Transmit>,
    outcomes: Vec<Result<usize, PullFailure>>,
}

impl Bare {
    fn new(network: &mut Network, number: u8) -> Self {
        Self::with(new_identity(), network, number, number.into())
    }

    fn with(identity: Arc<HostIdentity>, network: &mut Network, number: u8, seed: u64) -> Self {
        let mut config = HostConfig::new(identity.clone(), provider());
        config.dh_groups.truncate(1);
        let random = |seed| Box::new(SeededRandom::new(seed));
        Self {
            hit: identity.hit(),
            identity,
            address: ([203, 0, 113, number], HIP_PORT).into(),
            host: Host::new(config, random(seed), network.now).unwrap(),
            puller: Puller::new(PullerConfig::new(provider()), random(1000 + seed)),
            cookies: None,
            statuses: Vec::new(),
            said: Vec::new(),
            outcomes: Vec::new(),
        }
    }

    /// One that is allowed in `market` and has registered.
    fn registered(network: &mut Network, number: u8, role: Role) -> Self {
        let mut bare = Self::new(network, number);
        network.server.allow(network.now, &market(), &bare.hit.into(), role).unwrap();
        bare.ask(network, &["market"], role, None);
        assert_eq!(bare.statuses.pop(), Some(ChannelStatus::GRANTED));
        bare
    }

    /// Forgets everything but who it is, and registers by a new base exchange.
    fn begin_anew(&mut self, network: &mut Network, number: u8, seed: u64) {
        *self = Self::with(self.identity.clone(), network, number, seed);
        self.ask(network, &["market"], Role::Both, None);
    }

    fn ask(
        &mut self,
        network: &mut Network,
        names: &[&str],
        role: Role,
        at: Option<claviger_group::Channel>,
    ) {
        let channel = |name: &&str| McastChannel {
            reg_type: GCKS_GDOI,
            role,
            group: group_id(name),
            channel: at,
            lifetime: Lifetime::at_most(HOUR),
            status: ChannelStatus::GRANTED,
        };
        let channels = names.iter().map(channel).collect();
        let request = RegistrationRequest { reg_type: GCKS_GDOI, lifetime: HOUR, items: channels };
        let server = network.server_hit();
        if self.host.request(network.now, server, request.clone()).is_err() {
            let address = (SERVER, HIP_PORT).into();
            self.host.connect(network.now, server, address, Socket::HipUdp, Some(request)).unwrap();
        }
        self.talk(network);
        if let Some(sa) = self.sa(network)
            && self.cookies != Some(sa.cookies)
        {
            self.cookies = Some(sa.cookies);
            self.puller.add_registration(network.now, sa).unwrap();
        }
    }

    fn sa(&self, network: &Network) -> Option<claviger_group::RegistrationSa> {
        self.host.registration_sa(&network.server_hit(), GCKS_GDOI)
    }

    /// Pulls a group's keys; returns how many sender ids came with them.
    fn pull(&mut self, network: &mut Network, name: &str, ids: Option<u16>) -> Result<usize, PullFailure> {
        let server = (SERVER, GDOI_PORT).into();
        let cookies = self.cookies.unwrap();
        self.puller.pull(network.now, &cookies, server, group_id(name), ids).unwrap();
        for _ in 0..100 {
            self.talk(network);
            if let Some(outcome) = self.outcomes.pop() {
                return outcome;
            }
            network.pass(Duration::from_millis(20));
            network.server.handle_timeout(network.now);
        }
        panic!(
            "the PULL has no end {:?} {:?} {:?}",
            network.now,
            network
                .server
                .counters()
                .gdoi
                .figures()
                .collect::<Vec<_>>()
                .iter()
                .map(|f| format!("{f:?}"))
                .collect::<Vec<_>>(),
            network.drops
        );
    }

    fn say(&mut self, network: &mut Network, transmit: &Transmit) {
        let port = if transmit.socket == Socket::Port848 { GDOI_PORT } else { HIP_PORT };
        let datagram = Datagram {
            socket: transmit.socket,
            source: self.address,
            destination: (SERVER, port).into(),
            payload: &transmit.payload,
        };
        // Refusals are what is expected.
        let _ = network.server.handle_datagram(network.now, datagram);
        self.hear(network);
    }

    /// Takes what the server has for this host; what it has for others goes its way.
    fn hear(&mut self, network: &mut Network) {
        for transmit in network.said_to(self.address) {
            let port = if transmit.socket == Socket::Port848 { GDOI_PORT } else { HIP_PORT };
            let datagram = Datagram {
                socket: transmit.socket,
                source: (SERVER, port).into(),
                destination: self.address,
                payload: &transmit.payload,
            };
            let _ = match transmit.socket {
                Socket::Port848 => self.puller.handle_datagram(network.now, datagram).map_err(|_| ()),
                _ => self.host.handle_datagram(network.now, datagram).map_err(|_| ()),
            };
        }
    }

    fn talk(&mut self, network: &mut Network) {
        self.hear(network);
        loop {
            while let Some(event) = self.host.poll_event() {
                if let HipEvent::Registered { answer, .. } = event {
                    self.statuses.extend(answer.items.iter().map(|channel| channel.status));
                }
            }
            while let Some(event) = self.puller.poll_event() {
                match event {
                    PullEvent::Offered { pull, .. } => self.puller.accept(network.now, pull).unwrap(),
                    PullEvent::Pulled { kd, .. } => {
                        self.outcomes.push(Ok(kd.sender_ids.map_or(0, |ids| ids.values.len())));
                    }
                    PullEvent::PullFailed { reason, .. } => self.outcomes.push(Err(reason)),
                    PullEvent::LeasesAnswered { .. } | PullEvent::LeasesUnanswered { .. } => {}
                }
            }
            let hip = std::iter::from_fn(|| self.host.poll_transmit());
            let mut out: Vec<Transmit> = hip.collect();
            out.extend(std::iter::from_fn(|| self.puller.poll_transmit()));
            if out.is_empty() {
                return;
            }
            for transmit in out {
                self.said.push(transmit.clone());
                self.say(network, &transmit);
            }
        }
    }
}
