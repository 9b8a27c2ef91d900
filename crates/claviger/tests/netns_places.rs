//! A group whose tree follows places, on a snooping switch: what one place needs is heard there alone, and a member whose
//! host moves is served where it comes.
//!
//! | host | what |
//! |---|---|
//! | 1 | the key server |
//! | 2 | a member in the north, which stays |
//! | 3 | a member in the north, which moves south |
//! | 4 | a member in the south, which is put out |
//! | 5 | a member in the south, which stays |

mod support;

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use claviger_testkit::{
    lab::{Host, INTERFACE, laboratory},
    process::eventually,
};
use support::{KeyServer, Member, PATIENCE};

const GROUP: &str = "239.192.7.20";
const NORTH: &str = "239.192.7.21";
const SOUTH: &str = "239.192.7.22";

#[test]
fn rekeys_go_where_they_are_needed_and_members_may_move() {
    laboratory("rekeys_go_where_they_are_needed_and_members_may_move", 5, |lab| {
        let server = KeyServer::start(lab, lab.host(1), false);
        // The hosts are 10.7.0.1 and so on.
        let (north, south) = (format!("10.7.0.0/30={NORTH},16"), format!("10.7.0.0/24={SOUTH},16"));
        server.add_group("sites", &["--address", GROUP, "--place", &north, "--place", &south]);
        let join = |number: u8| {
            let identity = server.identity(lab.host(number));
            server.allow("sites", &identity, "both");
            let mut member = server.join(identity, GROUP.parse().unwrap(), "sites", &[]);
            member.wait_until_keyed();
            member
        };
        let mut members = [2, 3, 4, 5].map(join);
        current(&server, &mut members);

        let away = Ipv4Addr::new(10, 7, 0, 33);
        relocate(members[1].host, away);
        eventually("the member moves", PATIENCE, || {
            (server.ask(&["status"])[0]["counters"]["gcks"]["relocations"] == 1).then_some(())
        });
        current(&server, &mut members);

        let pulls = |members: &mut [Member<'_>]| -> Vec<u64> {
            let pulls =
                |m: &mut Member<'_>| m.status()["counters"]["member"]["pulls_again"].as_u64().unwrap_or(0);
            members.iter_mut().map(pulls).collect()
        };
        let before = pulls(&mut members);
        let (in_the_north, in_the_south) = (lab.host(2).capture(), lab.host(3).capture());
        assert!(server.evict("sites", &members[2].hit).was_member);
        let [stays, moved, mut out, other] = members;
        assert!(!out.daemon.wait(PATIENCE).success());
        let mut staying = [stays, moved, other];
        current(&server, &mut staying);
        assert_eq!(pulls(&mut staying), [before[0], before[1], before[3]], "by PUSH alone");

        let [in_the_north, in_the_south] = [in_the_north, in_the_south].map(|capture| {
            let packets = capture.stop().packets();
            let to = |address: &str| {
                let address: IpAddr = address.parse().unwrap();
                packets.iter().filter(|(_, packet)| packet.destination == address).count()
            };
            (to(NORTH), to(SOUTH), to(GROUP))
        });
        assert!(in_the_north.0 > 0 && in_the_north.1 == 0 && in_the_north.2 > 0, "{in_the_north:?}");
        assert!(in_the_south.1 > 0, "{in_the_south:?}");
        staying.iter_mut().for_each(Member::leave);
    });
}

/// Waits until members hold the keys in force.
fn current(server: &KeyServer<'_>, members: &mut [Member<'_>]) {
    eventually("all hold the keys in force", PATIENCE, || {
        let wanted = server.keys("sites");
        let is_current = |member: &mut Member<'_>| member.keys().kek() == wanted.kek();
        members.iter_mut().all(is_current).then_some(())
    });
}

/// A host gets another address, as from another network.
fn relocate(host: &Host, to: Ipv4Addr) {
    host.ip(&format!("addr del {}/24 dev {INTERFACE}", host.ipv4()));
    std::thread::sleep(Duration::from_millis(300));
    host.ip(&format!(
        "addr add {to}/24 dev {INTERFACE}\n\
         route replace 224.0.0.0/4 dev {INTERFACE}"
    ));
}
