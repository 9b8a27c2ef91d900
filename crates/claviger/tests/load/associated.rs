//! Floods in the name of a host that has an association.

use claviger_hip::iana::{PacketType, ParameterType};
use claviger_testkit::{lab::INTERFACE, network::new_identity, process::eventually};

use crate::{
    ground::{Ground, HIP_PORT, play},
    hip,
    recorded::received,
    support::PATIENCE,
    toll::Shown,
};

/// What a forged or repeated packet may cost of what junk costs: it is read further, and no public key is used for it.
const RATIO_MAX: f64 = 3.0;

/// Where the member goes.
const AWAY: &str = "10.7.0.22";

#[test]
fn a_forged_notify_costs_a_key_server_about_as_much_as_junk() {
    play("associated::a_forged_notify_costs_a_key_server_about_as_much_as_junk", &[], |ground| {
        let member = ground.member(&[]);
        let forged = hip::notify(member.hit.parse().unwrap(), ground.server.hit(), &new_identity());
        ground.compare("forged NOTIFY", std::iter::repeat(forged), RATIO_MAX).map(drop)
    });
}

#[test]
fn a_repeated_update_with_another_signature_costs_a_key_server_about_as_much_as_junk() {
    let test =
        "associated::a_repeated_update_with_another_signature_costs_a_key_server_about_as_much_as_junk";
    play(test, &[], repeated_updates);
}

fn repeated_updates(ground: Ground<'_>) -> Shown {
    let member = ground.member(&[]);
    let capture = ground.server.host.capture();
    member.host.ip(&format!(
        "addr add {AWAY}/24 dev {INTERFACE}\n\
         addr del {}/24 dev {INTERFACE}\n\
         addr replace {AWAY}/24 dev {INTERFACE}\n\
         route replace 224.0.0.0/4 dev {INTERFACE}",
        member.host.ipv4()
    ));
    eventually("the key server knows of the move", PATIENCE, || {
        member.daemon.errors().contains("the key server knows of the move").then_some(())
    });
    let heard = received(&capture.stop(), AWAY.parse().unwrap(), HIP_PORT);
    let updates: Vec<_> = heard
        .into_iter()
        .map(|(_, data)| data)
        .filter(|data| hip::packet_type(data) == Some(PacketType::UPDATE) && hip::asks_for_ack(data))
        .collect();
    let last = updates.last().expect("a move is told by an UPDATE");
    let repeated = hip::with_altered_signature(last, ParameterType::HIP_SIGNATURE);
    ground.compare("repeated UPDATE", repeated, RATIO_MAX).map(drop)
}
