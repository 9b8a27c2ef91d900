//! A host that calls: R1 and R2 of made-up parameters, genuinely signed.

use std::time::Duration;

use claviger_group::Role;
use claviger_hip::wire::Lifetime;
use claviger_hip_groups::{McastChannel, RegistrationRequest, iana::ChannelStatus};
use claviger_sansio::Socket;

use crate::{
    group::NOW,
    hip::{self, Parameters},
    script,
};

const DATAGRAMS_MAX: usize = 8;

/// Feeds one input.
pub(super) fn feed(input: &[u8]) {
    let mut host = hip::host();
    let channel = McastChannel {
        reg_type: hip::SERVICE,
        role: Role::Receiver,
        group: crate::group::id(),
        channel: None,
        lifetime: Lifetime(100),
        status: ChannelStatus::GRANTED,
    };
    let request = RegistrationRequest {
        reg_type: hip::SERVICE,
        lifetime: Duration::from_secs(600),
        items: vec![channel],
    };
    let address = ([192, 0, 2, 2], 10500).into();
    host.connect(NOW, hip::peer_hit(), address, Socket::HipUdp, Some(request))
        .expect("nobody is called yet");
    let (genuine, private) = hip::called();
    let (mut genuine, mut keymat) = (Some(genuine), None);
    for (kind, piece) in script::pieces(input).take(DATAGRAMS_MAX) {
        let packet = match (kind % 2, genuine.take(), &keymat) {
            (1, Some(genuine), _) => hip::r1(&genuine.made_up(piece)),
            (1, None, Some(keymat)) => hip::r2(Parameters::default().made_up(piece), keymat),
            (_, still, _) => {
                genuine = still;
                Some(piece.to_vec())
            }
        };
        let Some(packet) = packet else { continue };
        let _ = host.handle_datagram(NOW, hip::datagram(&packet));
        // The puzzle is solved in steps.
        host.handle_timeout(NOW);
        while let Some(transmit) = host.poll_transmit() {
            keymat = hip::keys_of_i2(&transmit.payload, &*private).or(keymat);
        }
        while let Some(event) = host.poll_event() {
            let early = keymat.is_none() && matches!(event, claviger_hip::Event::Established { .. });
            assert!(!early, "nobody is associated before I2");
            hip::check_certificates(&event);
        }
    }
}
