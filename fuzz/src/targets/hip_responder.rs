//! A host that is called: anything at all, then an I2 of made-up parameters under genuine MAC and signature.

use claviger_hip::iana::PacketType;
use claviger_hip_groups::{Event, RegistrationAnswer};

use crate::{
    group::NOW,
    hip::{self, Parameters},
    script,
};

const DATAGRAMS_MAX: usize = 8;

/// Feeds one input.
pub(super) fn feed(input: &[u8]) {
    let mut host = hip::host();
    let (genuine, keymat) = hip::call_host(&mut host);
    let mut genuine = Some(genuine);
    for (kind, piece) in script::pieces(input).take(DATAGRAMS_MAX) {
        let (is_protected, packet) = match (kind % 2, genuine.take()) {
            (1, Some(genuine)) => (true, hip::protected(PacketType::I2, genuine.made_up(piece), &keymat)),
            (_, still) => {
                genuine = still;
                let made_up = Parameters::default().made_up(piece);
                (false, hip::plain(PacketType(kind >> 1), &made_up))
            }
        };
        let _ = host.handle_datagram(NOW, hip::datagram(packet.as_deref().unwrap_or(piece)));
        while let Some(event) = host.poll_event() {
            assert!(is_protected, "nothing comes of what nothing protects: {event:?}");
            hip::check_certificates(&event);
            if let Event::RegistrationRequested { ticket, request, .. } = event {
                let (reg_type, items) = (request.reg_type, request.items);
                let answer =
                    RegistrationAnswer { reg_type, granted: Some(request.lifetime), failure: None, items };
                let _ = host.answer(NOW, ticket, answer);
            }
        }
        while host.poll_transmit().is_some() {}
    }
}
