//! What strangers with certificates learn and cost, and what of a host with a certificate is to be seen on the wire.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use claviger_crypto::{SeededRandom, provider};
use claviger_gcks::{Admits, Owner, RevocationPolicy, event::RefusalReason};
use claviger_group::{GroupId, Role};
use claviger_hip::{AssociationState, CertificateChain, HostConfig, wire::Lifetime};
use claviger_hip_groups::{
    Event as HipEvent, Host, McastChannel, RegistrationAnswer, RegistrationRequest,
    iana::{ChannelStatus, GCKS_GDOI},
};
use claviger_identity::HostIdentity;
use claviger_member::Event;
use claviger_sansio::{Datagram, Socket};
use claviger_testkit::{
    network::{HIP_PORT, Network, Origin, SERVER, group_id, new_identity, policy},
    owner::{Ca, chain, counting},
};

const SECOND: Duration = Duration::from_secs(1);

/// Where a host is that is no member of the laboratory.
const ELSEWHERE: [u8; 4] = [203, 0, 113, 1];

fn channel(group: &GroupId) -> McastChannel {
    McastChannel {
        reg_type: GCKS_GDOI,
        role: Role::Receiver,
        group: group.clone(),
        channel: None,
        lifetime: Lifetime::at_most(Duration::from_secs(3600)),
        status: ChannelStatus::GRANTED,
    }
}

/// Calls the key server as a plain HIP host that shows chains. Returns the answer, and the length of the R2.
fn ask(
    network: &mut Network,
    identity: &Arc<HostIdentity>,
    chains: Vec<CertificateChain>,
    groups: &[GroupId],
) -> (RegistrationAnswer, usize) {
    let mut config = HostConfig::new(identity.clone(), provider());
    config.dh_groups.truncate(1);
    config.certificates = chains;
    // A puzzle of before is spent.
    network.pass(SECOND);
    let random = Box::new(SeededRandom::new(network.draw(u64::MAX)));
    let mut host = Host::new(config, random, network.now).unwrap();
    let (source, server) = (SocketAddr::from((ELSEWHERE, HIP_PORT)), SocketAddr::from((SERVER, HIP_PORT)));
    let items = groups.iter().map(channel).collect();
    let request = RegistrationRequest { reg_type: GCKS_GDOI, lifetime: Duration::from_secs(3600), items };
    host.connect(network.now, network.server_hit(), server, Socket::HipUdp, Some(request)).unwrap();
    let mut length = 0;
    let mut told = Vec::new();
    while let Some(transmit) = host.poll_transmit() {
        let payload = &transmit.payload[..];
        let datagram = Datagram { socket: Socket::HipUdp, source, destination: server, payload };
        network.server.handle_datagram(network.now, datagram).unwrap();
        for answer in network.said_to(source) {
            let payload = &answer.payload[..];
            length = payload.len();
            let datagram = Datagram { socket: Socket::HipUdp, source: server, destination: source, payload };
            // An R2 that refuses everything may be an error to who takes it.
            let _ = host.handle_datagram(network.now, datagram);
            while !host.associations().any(|info| info.state != AssociationState::I1Sent)
                && host.poll_timeout().is_some_and(|due| due <= network.now)
            {
                host.handle_timeout(network.now);
            }
        }
        told.extend(std::iter::from_fn(|| host.poll_event()));
    }
    let answer = told.into_iter().find_map(|event| match event {
        HipEvent::Registered { answer, .. } => Some(answer),
        _ => None,
    });
    (answer.unwrap(), length)
}

/// Adds a group with an owner.
fn add_owned(network: &mut Network, number: u8, name: &str, owner: Owner) {
    let group = group_id(name);
    network.add_group(&group, policy(number));
    network.server.set_owner(network.now, &group, Some(owner)).unwrap();
    network.settle();
}

/// Groups that are not there, have no owner, or one who has nothing to do with the host: it cannot tell them apart, whatever
/// it shows.
#[test]
fn a_stranger_cannot_tell_groups_apart_by_any_certificate() {
    let mut network = Network::new(1);
    let ca = Ca::new("CN=Owner,O=Example");
    let required = |admits| Owner { revocation: RevocationPolicy::Required, ..ca.owner(admits) };
    network.add_group(&group_id("bare_"), policy(1));
    add_owned(&mut network, 2, "eithr", required(Admits::ListOrCertificate));
    add_owned(&mut network, 3, "both_", required(Admits::ListAndCertificate));
    add_owned(&mut network, 4, "plain", ca.owner(Admits::ListOrCertificate));
    let names = ["none_", "bare_", "eithr", "both_", "plain"].map(group_id);
    let identity = new_identity();
    let somebody = Ca::new("CN=Somebody");
    let (impostor, member) = (ca.impostor(), somebody.certify_no_ca("CN=member"));
    let market = group_id("bare_");
    let by = |ca: &Ca| ca.certify_member(&identity, &market, Role::Both);
    let forged_below = impostor.certify_ca("CN=Site");
    let (mut many, below) = (Vec::new(), by(&forged_below));
    let not_signing = impostor.certify(&identity, &market, Role::Both.rights(), |request| {
        request.not_after = request.not_before;
    });
    many.push(("nothing", Vec::new(), ChannelStatus::NOT_AUTHORISED));
    for (what, chains) in [
        ("by somebody", vec![chain(&[&by(&somebody)])]),
        ("with the owner's name", vec![chain(&[&by(&impostor)])]),
        ("with the owner's name, and over", vec![chain(&[&not_signing])]),
        ("through one who has the owner's name", vec![chain(&[&below, &forged_below.certificate])]),
        ("with its own root", vec![chain(&[&by(&impostor), &impostor.certificate])]),
        ("through no CA", vec![chain(&[&by(&member), &member.certificate])]),
    ] {
        many.push((what, chains, ChannelStatus::UNKNOWN_CA));
    }
    let octets = vec![CertificateChain(vec![b"certificate".to_vec()])];
    many.push(("octets", octets, ChannelStatus::BAD_CERTIFICATE));
    for (what, chains, status) in many {
        let mut answers = Vec::new();
        for group in &names {
            let (mut answer, length) =
                ask(&mut network, &identity, chains.clone(), std::slice::from_ref(group));
            assert_eq!(answer.items.len(), 1);
            assert_eq!((answer.items[0].status, &answer.items[0].group), (status, group), "{what}");
            // It repeats this.
            answer.items[0].group = market.clone();
            answers.push((format!("{answer:?}"), length));
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{what}: {answers:?}");
        // All in one request tell no more.
        let (answer, _) = ask(&mut network, &identity, chains, &names);
        assert!(answer.items.iter().all(|item| item.status == status), "{what}: {:?}", answer.items);
    }
}

#[test]
fn many_groups_in_a_request_cost_no_more_signatures_than_one() {
    let (provider, signatures) = counting();
    let mut network = Network::provided(provider, 2);
    let ca = Ca::new("CN=Owner,O=Example");
    let names: Vec<GroupId> = (0..20).map(|number| group_id(&format!("group-{number}"))).collect();
    for (number, name) in (1..).zip(&names) {
        add_owned(&mut network, number, &name.to_string(), ca.owner(Admits::ListOrCertificate));
    }
    let identity = new_identity();
    let below = ca.certify_ca("CN=Site");
    let certificate = below.certify_member(&identity, &group_id("elsewhere"), Role::Both);
    let shown = vec![chain(&[&certificate, &below.certificate])];
    let cost = |network: &mut Network, names: &[GroupId]| {
        let before = signatures.load(Ordering::Relaxed);
        let (answer, _) = ask(network, &identity, shown.clone(), names);
        let other = ChannelStatus::CERTIFICATE_FOR_OTHER_GROUPS;
        assert!(answer.items.iter().all(|item| item.status == other));
        signatures.load(Ordering::Relaxed) - before
    };
    let (one, all) = (cost(&mut network, &names[..1]), cost(&mut network, &names));
    assert_eq!((one, all), (2, 2));
    // Somebody who knows no owner costs none.
    let stranger = Ca::new("CN=Somebody").certify_member(&identity, &names[0], Role::Both);
    let before = signatures.load(Ordering::Relaxed);
    ask(&mut network, &identity, vec![chain(&[&stranger])], &names);
    assert_eq!(signatures.load(Ordering::Relaxed), before);
}

#[test]
fn certificates_are_judged_for_a_few_owners_in_a_request() {
    let (provider, signatures) = counting();
    let mut network = Network::provided(provider, 3);
    let identity = new_identity();
    let names: Vec<GroupId> = (0..7).map(|number| group_id(&format!("group-{number}"))).collect();
    // All of them have one name, so that a name does not tell them apart.
    let cas: Vec<Ca> = names.iter().map(|_| Ca::new("CN=Owner")).collect();
    for ((number, name), ca) in (1..).zip(&names).zip(&cas) {
        add_owned(&mut network, number, &name.to_string(), ca.owner(Admits::ListOrCertificate));
    }
    // As many as fit into a packet, of one name, each perhaps issued by each.
    let other = Ca::new("CN=Owner");
    let own = other.certify(&identity, &names[0], Role::Both.rights(), |request| {
        request.subject = "CN=Owner".to_owned();
    });
    let shown = chain(&[&own, &other.certificate]);
    let before = signatures.load(Ordering::Relaxed);
    let (answer, _) = ask(&mut network, &identity, vec![shown], &names);
    assert!(answer.items.iter().all(|item| item.status == ChannelStatus::UNKNOWN_CA));
    let cost = signatures.load(Ordering::Relaxed) - before;
    assert!((4..=40).contains(&cost), "{cost}");
    let counted = |reason: RefusalReason| {
        let figures: Vec<_> = network.server.counters().figures().collect();
        figures.iter().find(|figure| figure.name == reason.as_str()).map_or(0, |figure| figure.count)
    };
    assert_eq!(counted(RefusalReason::TooManyOwners), 3);
}

/// Says whether a part of these octets stands in a packet.
fn shows(packet: &[u8], secret: &[u8]) -> bool {
    secret.windows(8).step_by(4).any(|part| packet.windows(8).any(|window| window == part))
}

#[test]
fn an_anonymous_host_joins_under_a_fresh_identity_that_nothing_links_to_the_earlier_one() {
    let mut network = Network::new(4);
    let ca = Ca::new("CN=Owner,O=Example");
    let group = group_id("market");
    add_owned(&mut network, 1, "market", ca.owner(Admits::ListOrCertificate));
    let mut known = Vec::new();
    for anonymous in [false, true] {
        let identity = new_identity();
        // The HIT is to be seen in each packet of HIP: it does not stand in the certificate.
        let certificate = ca.certify(&identity, &group, Role::Both.rights(), |_| ());
        let shown = vec![chain(&[&certificate])];
        let place = network.add_member_with(identity.clone(), |config| {
            config.hip.anonymous = anonymous;
            config.hip.certificates = shown;
        });
        network.ask(place, &group, Role::Both);
        network.until(10 * SECOND, |network| network.is_keyed(place, &group));
        // It renews its registration once, which shows the certificate again.
        network.pass(Duration::from_secs(20 * 3600));
        let secrets = [identity.host_id().host_identity().to_vec(), certificate.der().to_vec()]
            .map(|octets| octets[8..].to_vec());
        let of_host = |origin: Origin| origin == Origin::Member(place) || origin == Origin::Server;
        for sent in network.wire.iter().filter(|sent| of_host(sent.origin)) {
            for secret in &secrets {
                // The CA's name and algorithms are in every certificate; what only this one has counts.
                assert!(!shows(&sent.octets, &secret[secret.len() / 2..]), "in the clear at {}", sent.at);
            }
            if anonymous && sent.origin == Origin::Member(place) {
                assert!(known.iter().all(|hit: &[u8; 16]| !sent.octets.windows(16).any(|part| part == hit)));
            }
        }
        known.push(*identity.hit().octets());
        let closed = |event: &Event| matches!(event, Event::Closed);
        let now = network.now;
        network.members[place].member.leave(now);
        network.settle();
        network.until(10 * SECOND, |network| network.members[place].count(closed) == 1);
        network.wire.clear();
    }
}
