//! An established association: UPDATE, CLOSE, CLOSE_ACK and NOTIFY of made-up parameters, with keys and without.

use std::{sync::LazyLock, time::Duration};

use claviger_crypto::SecretBytes;
use claviger_hip::{
    iana::{PacketType, ParameterType},
    keys::Keymat,
    wire::{Lifetime, RegRequest},
};
use claviger_hip_groups::{Event, Host, RegistrationAnswer};
use claviger_wire::Encode;

use crate::{
    group::NOW,
    hip::{self, Parameters},
    script,
};

const DATAGRAMS_MAX: usize = 8;

/// How old the association is: keys are not renewed within a second.
const AGE: Duration = Duration::from_secs(2);

const PACKETS: [PacketType; 8] = [
    PacketType::UPDATE,
    PacketType::CLOSE,
    PacketType::CLOSE_ACK,
    PacketType::NOTIFY,
    PacketType::I1,
    PacketType::R1,
    PacketType::I2,
    PacketType::R2,
];

/// The association as the host stored it, and its keys.
static ASSOCIATION: LazyLock<(SecretBytes, Keymat)> = LazyLock::new(|| {
    let mut host = hip::host();
    let (i2, keymat) = hip::call_host(&mut host);
    // A host that asks for nothing is a stranger, of which nothing is stored.
    let request = RegRequest { lifetime: Lifetime(100), types: vec![hip::SERVICE] };
    let request = script::piece(hip::kind_of(ParameterType::REG_REQUEST), &request.to_octets());
    let i2 = hip::protected(PacketType::I2, i2.made_up(&request), &keymat).expect("I2 is short enough");
    host.handle_datagram(NOW, hip::datagram(&i2)).expect("I2 is as it should be");
    grant_all(&mut host);
    (host.snapshot(&hip::peer_hit()).expect("the association exists"), keymat)
});

/// Grants what the host is asked for.
fn grant_all(host: &mut Host) {
    while let Some(event) = host.poll_event() {
        if let Event::RegistrationRequested { ticket, request, .. } = event {
            let (reg_type, items) = (request.reg_type, request.items);
            let answer =
                RegistrationAnswer { reg_type, granted: Some(request.lifetime), failure: None, items };
            let _ = host.answer(NOW, ticket, answer);
        }
    }
}

/// Feeds one input.
pub(super) fn feed(input: &[u8]) {
    let (snapshot, keymat) = &*ASSOCIATION;
    let mut host = hip::host();
    let now = NOW + AGE;
    host.restore(NOW, snapshot.expose()).expect("what is stored is restored");
    while host.poll_event().is_some() {}

    for (kind, piece) in script::pieces(input).take(DATAGRAMS_MAX) {
        let is_protected = kind & 1 == 1;
        let made_up = Parameters::default().made_up(piece);
        let packet_type = PACKETS[usize::from(kind >> 1) % PACKETS.len()];
        let packet = match is_protected {
            true => hip::protected(packet_type, made_up, keymat),
            false => hip::plain(packet_type, &made_up),
        };
        let octets = packet.as_deref().unwrap_or(piece);
        let datagram = match kind & 0x10 {
            0 => hip::datagram(octets),
            _ => hip::datagram_from_elsewhere(octets),
        };
        let _ = host.handle_datagram(now, datagram);
        while let Some(event) = host.poll_event() {
            assert!(is_protected, "nothing comes of what nothing protects: {event:?}");
            hip::check_certificates(&event);
            if let Event::RegistrationRequested { ticket, request, .. } = event {
                let (reg_type, items) = (request.reg_type, request.items);
                let answer =
                    RegistrationAnswer { reg_type, granted: Some(request.lifetime), failure: None, items };
                let _ = host.answer(now, ticket, answer);
            }
        }
        while host.poll_transmit().is_some() {}
        if !is_protected {
            continue;
        }
        // What the association has become can be stored and taken up.
        if let Some(snapshot) = host.snapshot(&hip::peer_hit()) {
            let again = hip::host().restore(now, snapshot.expose());
            assert_eq!(again, Ok(hip::peer_hit()));
        }
    }
}
