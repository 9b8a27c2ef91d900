//! Key server and members in memory, where every secret is at hand.

use std::{
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use claviger_gcks::{RekeyWhat, event::RekeyCause};
use claviger_group::{EspTransform, GroupId, KekManagement, PushAuthentication, Role};
use claviger_identity::Hit;
use claviger_sansio::{Socket, durable::Change};
use claviger_testkit::{
    judge::laggards,
    network::{Kind, Network, Origin, SERVER, group_id, policy},
};
use tracing_subscriber::fmt::MakeWriter;

use super::{lines, search::Secrets};

const SECOND: Duration = Duration::from_secs(1);

/// A payload that nobody may find in a log.
const PAYLOAD: &[u8; 32] = b"\x8a1.Wt\xf0\x11z@e\x9cQm\x03\xd7k{T\x90b\xee#s\x5aV\x1c\xb8Jr\xff,8";

/// Takes what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Runs something whose log, at TRACE, it takes.
    fn of<T>(&self, run: impl FnOnce() -> T) -> T {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(self.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, run)
    }

    fn octets(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for Log {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Adds every record of a key server from now on to secrets, as it is stored.
fn watch_store(network: &mut Network, secrets: &Arc<Mutex<Secrets>>) {
    let (server, secrets) = (network.server_hit(), Arc::clone(secrets));
    network.tamper = Some(Box::new(move |changes| {
        let mut secrets = secrets.lock().unwrap();
        for change in &changes {
            let Change::Put { table, key, value } = change else { continue };
            match table.name() {
                "association" => {
                    let peer = Hit::new(key.item[..].try_into().unwrap());
                    secrets.add_association(server, peer, value.expose());
                }
                "group" => secrets.add("group record: signing key, TEKs", value.expose()),
                "node" => secrets.add("node record: tree key", value.expose()),
                // Ciphertext and names.
                _ => {}
            }
        }
        changes
    }));
}

/// Adds what the members hold and held, and the private keys of all hosts.
fn add_held(network: &Network, groups: &[&GroupId], secrets: &mut Secrets) {
    let identities = network.members.iter().map(|node| &node.identity).chain([network.server_identity()]);
    for identity in identities {
        let pem = identity.to_pem().unwrap();
        let pkcs8 = claviger_identity::pem::decode(pem.expose()).unwrap();
        secrets.add("identity key", pkcs8.expose());
    }
    for (node, group) in network.members.iter().flat_map(|node| groups.iter().map(move |group| (node, group)))
    {
        if let Some(ledger) = node.ledger(group) {
            secrets.add_ledger(&ledger);
            ledger.rekeys.iter().for_each(|rekey| secrets.except(&rekey.kek.spi.0));
        }
    }
    for view in network.server.groups(network.server_now()) {
        view.kek.iter().for_each(|kek| secrets.except(&kek.spi.0));
    }
}

/// Names of rekey SAs that the key server told of; they are in records, and no secrets.
fn except_names(network: &Network, secrets: &mut Secrets) {
    for (_, event) in &network.told {
        if let claviger_gcks::Event::Rekeyed(rekeyed) = event {
            rekeyed.kek.iter().for_each(|kek| secrets.except(&kek.0));
        }
    }
}

/// Lets a group live through everything that can happen to it, but for what needs many members.
fn live(network: &mut Network, group: &GroupId) {
    let [sender, evicted, leaves] =
        [Role::Both, Role::Receiver, Role::Receiver].map(|role| network.joined(group, role));
    let refused = network.add_member();
    network.ask(refused, group, Role::Receiver);
    network.pass(10 * SECOND);
    network.send(sender, group, PAYLOAD).unwrap();
    network.pass(SECOND);
    assert_eq!(network.members[leaves].received.last().unwrap().1, PAYLOAD);
    for what in [RekeyWhat::Kek, RekeyWhat::Tek] {
        network.server.rekey(network.server_now(), group, what).unwrap();
        network.settle();
        network.pass(10 * SECOND);
    }
    // A member that hears nothing of a rekey fetches its keys again.
    network.members[leaves].connected = false;
    network.server.rekey(network.server_now(), group, RekeyWhat::Kek).unwrap();
    network.settle();
    network.pass(10 * SECOND);
    network.members[leaves].connected = true;
    network.server.rekey(network.server_now(), group, RekeyWhat::Tek).unwrap();
    network.settle();
    network.pass(20 * SECOND);
    let [evicted, id] = [evicted, sender].map(|place| network.members[place].id());
    network.server.evict(network.server_now(), group, &evicted).unwrap();
    network.settle();
    network.pass(10 * SECOND);
    network.restart();
    network.send(sender, group, PAYLOAD).unwrap();
    network.pass(5 * SECOND);
    network.server.allow(network.server_now(), group, &id, Role::Receiver).unwrap();
    network.settle();
    network.pass(5 * SECOND);
    network.members[leaves].member.leave(network.now);
    network.settle();
    network.pass(5 * SECOND);
    // By the timers.
    network.pass(Duration::from_secs(90_000));
}

fn all_groups(network: &mut Network) -> Vec<GroupId> {
    let names = ["plain", "wide", "cbc"].map(group_id);
    for (number, name) in (1..).zip(&names) {
        let mut policy = policy(number);
        match &*name.to_string() {
            "wide" => {
                policy.rekey.management = KekManagement::Lkh32;
                policy.rekey.authentication = PushAuthentication::Batch;
            }
            "cbc" => {
                policy.data.transform = EspTransform::Aes128CbcHmacSha256;
                policy.data.replayable = true;
            }
            _ => {}
        }
        network.add_group(name, policy);
    }
    names.into()
}

#[test]
fn no_log_of_any_machine_has_a_secret_in_it() {
    let secrets = Arc::new(Mutex::new(Secrets::default()));
    let log = Log::default();
    let mut network = Network::new(1);
    watch_store(&mut network, &secrets);
    let groups = log.of(|| {
        let groups = all_groups(&mut network);
        groups.iter().for_each(|group| live(&mut network, group));
        groups
    });
    let mut secrets = std::mem::take(&mut *secrets.lock().unwrap());
    secrets.add("payload", PAYLOAD);
    add_held(&network, &groups.iter().collect::<Vec<_>>(), &mut secrets);
    except_names(&network, &mut secrets);
    for kind in [
        "HIP association",
        "HIP encryption key",
        "HIP integrity key",
        "KEK",
        "LKH key",
        "LKH-32 key",
        "SKEYID",
        "TEK encryption key",
        "TEK integrity key",
        "group record: signing key, TEKs",
        "identity key",
        "node record: tree key",
        "payload",
    ] {
        assert!(secrets.kinds()[kind] > 0, "{kind}");
    }
    let text = String::from_utf8(log.octets()).unwrap();
    for (machine, debug, trace) in
        [("hip", 100, 100), ("gdoi", 50, 100), ("gcks", 100, 50), ("member", 100, 20), ("esp", 20, 6)]
    {
        let found = [lines(&text, machine, "DEBUG"), lines(&text, machine, "TRACE")];
        assert!(found[0] >= debug && found[1] >= trace, "{machine}: {found:?}");
    }
    assert_eq!(secrets.found_in(text.as_bytes()), Vec::<String>::new());

    // The same search finds a key that somebody logs, by the same way.
    let key = network.members[0].ledger(&groups[0]).unwrap().teks[0].keys.encryption.clone();
    let planted = Log::default();
    planted.of(|| tracing::trace!(key = ?key.expose(), "planted"));
    assert_eq!(secrets.found_in(&planted.octets()), ["TEK encryption key, list"]);
    let causes: Vec<RekeyCause> = network
        .told
        .iter()
        .filter_map(|(_, event)| match event {
            claviger_gcks::Event::Rekeyed(rekeyed) => Some(rekeyed.cause.iter().collect::<Vec<_>>()),
            _ => None,
        })
        .flatten()
        .collect();
    for cause in [
        RekeyCause::ByHand,
        RekeyCause::Eviction,
        RekeyCause::Join,
        RekeyCause::Leave,
        RekeyCause::NarrowedRole,
        RekeyCause::Timer,
    ] {
        assert!(causes.contains(&cause), "{cause:?}");
    }
}

#[test]
fn each_packet_has_a_line_at_trace() {
    let log = Log::default();
    let mut network = Network::new(3);
    let group = group_id("plain");
    log.of(|| {
        network.add_group(&group, policy(1));
        let [sender, leaves] = [Role::Both, Role::Receiver].map(|role| network.joined(&group, role));
        let refused = network.add_member();
        network.ask(refused, &group, Role::Receiver);
        network.pass(5 * SECOND);
        network.send(sender, &group, PAYLOAD).unwrap();
        network.server.rekey(network.server_now(), &group, RekeyWhat::Kek).unwrap();
        network.settle();
        network.pass(5 * SECOND);
        network.members[leaves].member.leave(network.now);
        network.settle();
        network.pass(5 * SECOND);
    });
    let text = String::from_utf8(log.octets()).unwrap();
    let said = |machine: &str, words: &str| {
        let of_machine = |line: &&str| {
            line.contains("TRACE")
                && line.contains(&format!(" claviger_{machine}::"))
                && line.contains("length=")
        };
        text.lines().filter(of_machine).filter(|line| line.contains(words)).count()
    };
    let sent = |kind: Kind, multicast: bool| {
        let is_one = |sent: &&claviger_testkit::network::Sent| {
            sent.kind == kind && sent.destination.ip().is_multicast() == multicast
        };
        network.wire.iter().filter(is_one).count()
    };
    // Nothing is lost, and everybody is there.
    let hip = sent(Kind::Control(Socket::HipUdp), false);
    assert!(hip >= 14);
    assert_eq!([said("hip", ": packet out"), said("hip", ": packet in")], [hip; 2]);
    let isakmp = sent(Kind::Control(Socket::Port848), false);
    assert!(isakmp >= 8);
    assert_eq!([said("gdoi", ": message out"), said("gdoi", ": message in")], [isakmp; 2]);
    let pushes = sent(Kind::Control(Socket::Port848), true);
    assert!(pushes >= 6);
    assert_eq!(said("gcks", ": a copy to the group has left"), pushes);
    assert!(said("member", ": message in") >= pushes);
    let esp = sent(Kind::Esp, true);
    assert_eq!([said("esp", ": packet out"), said("esp", ": packet in")], [esp; 2]);
    assert_eq!(esp, 1);
}

#[test]
fn debug_says_why_something_is_dropped_refused_or_sent_again() {
    let log = Log::default();
    let mut network = Network::new(4);
    let group = group_id("plain");
    network.add_group(&group, policy(1));
    log.of(|| {
        // The first I2 is lost.
        let mut lost = 0;
        network.passes = Some(Box::new(move |sent| {
            let is_i2 = sent.kind == Kind::Control(Socket::HipUdp) && sent.octets.get(2) == Some(&3);
            lost += u32::from(is_i2);
            !is_i2 || lost > 1
        }));
        network.joined(&group, Role::Receiver);
        // Of two that join at once, one is not heard at first, and meets keys that are replaced already.
        let both = [0; 2].map(|_| network.add_member());
        let mut pulls = 0;
        network.passes = Some(Box::new(move |sent| {
            let is_pull =
                sent.kind == Kind::Control(Socket::Port848) && sent.origin == Origin::Member(both[0]);
            pulls += u32::from(is_pull);
            !is_pull || pulls != 2
        }));
        both.iter().for_each(|place| network.join(*place, &group, Role::Receiver));
        let stranger = network.add_member();
        network.ask(stranger, &group, Role::Receiver);
        for socket in [Socket::HipUdp, Socket::Port848] {
            let source = "198.51.100.9:7000".parse().unwrap();
            let kind = Kind::Control(socket);
            network.fly(Origin::Member(0), source, kind, (SERVER, 1).into(), vec![7; 60]);
        }
        network.pass(20 * SECOND);
    });
    let text = String::from_utf8(log.octets()).unwrap();
    for (machine, words) in [
        ("hip", &["no R2 has come; I2 is sent again", "peer{peer=2001:"][..]),
        ("hip", &["dropped", "source=198.51.100.9:7000", "length=60", "reason="]),
        ("gdoi", &["dropped", "source=198.51.100.9:7000", "length=60", "reason="]),
        ("gdoi", &["exchange{exchange=GROUPKEY-PULL message_id="]),
        ("gcks", &["the host is refused", "group{group=plain}", "reason=\"not_authorised\""]),
        ("gcks", &["the PULL is refused", "reason=\"keys_replaced\""]),
        ("gcks", &["a new KEK is told to those who remain", "management=Lkh"]),
        ("member", &["a rekey SA is in force", "group{group=plain}"]),
        ("member", &["the group is given up", "NotAuthorised"]),
    ] {
        let target = format!(" claviger_{machine}::");
        let is_said = |line: &str| {
            line.contains("DEBUG") && line.contains(&target) && words.iter().all(|word| line.contains(word))
        };
        assert!(text.lines().any(is_said), "{machine}: {words:?}");
    }
}

/// Enough members, in so narrow a tree, that a rekey for half of them is delivered, not copied.
const MANY: usize = 200;

#[test]
fn no_log_of_a_delivery_has_a_secret_in_it() {
    let secrets = Arc::new(Mutex::new(Secrets::default()));
    let mut network = Network::new(2);
    watch_store(&mut network, &secrets);
    let group = group_id("delivered");
    let mut policy = policy(1);
    policy.rekey.management = KekManagement::Lkh32;
    policy.rekey.authentication = PushAuthentication::Batch;
    policy.rekey.batch_interval = SECOND;
    policy.tree.degree = 2;
    network.add_group(&group, policy);
    let places: Vec<usize> = (0..MANY).map(|_| network.add_member()).collect();
    for place in &places {
        network.join(*place, &group, Role::Receiver);
    }
    network.until(60 * SECOND, |network| {
        let everybody = network.server.group(network.now, &group).unwrap().members == MANY;
        everybody && laggards(network, &group).is_empty()
    });
    network.pass(20 * SECOND);
    for place in places.iter().filter(|place| **place % 2 == 1) {
        network.members[*place].member.leave(network.now);
    }
    network.settle();
    network.pass(SECOND / 2);
    network.conditions.loss_permille = 50;
    let log = Log::default();
    log.of(|| network.pass(30 * SECOND));
    let mut secrets = std::mem::take(&mut *secrets.lock().unwrap());
    add_held(&network, &[&group], &mut secrets);
    except_names(&network, &mut secrets);
    let text = String::from_utf8(log.octets()).unwrap();
    let found = ["DEBUG", "TRACE"].map(|level| lines(&text, "delivery", level));
    assert!(found[0] >= 10 && found[1] >= 100, "{found:?}");
    assert_eq!(secrets.found_in(text.as_bytes()), Vec::<String>::new());
}
