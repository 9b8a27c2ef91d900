//! Which parameter may stand in which packet, and how often (RFC 7401 section 5.3, RFC 7402, 8002, 8003, 8046).
//!
//! A critical parameter that stands where the table has no row makes the packet malformed; a non-critical one is
//! ignored there (RFC 7401 section 5.2.1), but for the [`Item`]s of services, which must never be seen outside ENCRYPTED.

use claviger_wire::{
    DecodeError,
    rules::{Element, Rule, check as check_elements, nothing, one, one_to, optional, up_to},
};

use crate::{
    iana::{PacketType, ParameterType},
    item::Item,
    wire::{Packet, Parameters},
};

/// The most certificates in a packet.
pub const CERTS_MAX: usize = 4;

/// The most ECHO_REQUEST_UNSIGNED or ECHO_RESPONSE_UNSIGNED in a packet: a path has fewer middleboxes that add them.
pub const ECHOES_UNSIGNED_MAX: usize = 16;

/// The most NOTIFICATIONs in a packet: one would do.
pub const NOTIFICATIONS_MAX: usize = 8;

/// The most REG_REQUESTs, REG_RESPONSEs or REG_FAILEDs in a packet: RFC 8003 wants several understood.
pub const REGISTRATIONS_MAX: usize = 8;

use ParameterType as P;

/// I1 (RFC 7401 section 5.3.1).
pub const I1: &[Rule<P>] = &[
    one(P::DH_GROUP_LIST),
    up_to(CERTS_MAX, P::CERT),
    optional(P::COOKIE),
    up_to(ECHOES_UNSIGNED_MAX, P::ECHO_REQUEST_UNSIGNED),
];

/// R1 that brings a cookie and nothing else (binding section 3.1): COOKIE, and no PUZZLE.
pub const COOKIE_R1: &[Rule<P>] = &[one(P::COOKIE)];

/// R1 (RFC 7401 section 5.3.2).
pub const R1: &[Rule<P>] = &[
    optional(P::R1_COUNTER),
    optional(P::LOCATOR_SET),
    one(P::PUZZLE),
    one(P::DH_GROUP_LIST),
    one(P::DIFFIE_HELLMAN),
    one(P::HIP_CIPHER),
    one(P::HOST_ID),
    one(P::HIT_SUITE_LIST),
    up_to(CERTS_MAX, P::CERT),
    optional(P::ECHO_REQUEST_SIGNED),
    optional(P::REG_INFO),
    one(P::TRANSPORT_FORMAT_LIST),
    optional(P::ESP_TRANSFORM),
    one(P::HIP_SIGNATURE_2),
    up_to(ECHOES_UNSIGNED_MAX, P::ECHO_REQUEST_UNSIGNED),
];

/// I2 (RFC 7401 section 5.3.3); besides, HOST_ID stands there or in ENCRYPTED.
pub const I2: &[Rule<P>] = &[
    optional(P::ESP_INFO),
    optional(P::R1_COUNTER),
    optional(P::LOCATOR_SET),
    one(P::SOLUTION),
    one(P::DIFFIE_HELLMAN),
    one(P::HIP_CIPHER),
    optional(P::ENCRYPTED),
    optional(P::HOST_ID),
    up_to(CERTS_MAX, P::CERT),
    up_to(REGISTRATIONS_MAX, P::REG_REQUEST),
    optional(P::ECHO_RESPONSE_SIGNED),
    one(P::TRANSPORT_FORMAT_LIST),
    optional(P::ESP_TRANSFORM),
    one(P::HIP_MAC),
    one(P::HIP_SIGNATURE),
    up_to(ECHOES_UNSIGNED_MAX, P::ECHO_RESPONSE_UNSIGNED),
    up_to(ECHOES_UNSIGNED_MAX, P::ECHO_REQUEST_UNSIGNED),
];

/// R2 (RFC 7401 section 5.3.4).
pub const R2: &[Rule<P>] = &[
    optional(P::ESP_INFO),
    optional(P::LOCATOR_SET),
    optional(P::ENCRYPTED),
    up_to(CERTS_MAX, P::CERT),
    up_to(NOTIFICATIONS_MAX, P::NOTIFICATION),
    optional(P::REG_INFO),
    up_to(REGISTRATIONS_MAX, P::REG_RESPONSE),
    up_to(REGISTRATIONS_MAX, P::REG_FAILED),
    one(P::HIP_MAC_2),
    one(P::HIP_SIGNATURE),
    up_to(ECHOES_UNSIGNED_MAX, P::ECHO_RESPONSE_UNSIGNED),
    up_to(ECHOES_UNSIGNED_MAX, P::ECHO_REQUEST_UNSIGNED),
];

/// UPDATE (RFC 7401 section 5.3.5); besides, SEQ or ACK stands there.
pub const UPDATE: &[Rule<P>] = &[
    optional(P::ESP_INFO),
    optional(P::LOCATOR_SET),
    optional(P::SEQ),
    optional(P::ACK),
    optional(P::DIFFIE_HELLMAN),
    optional(P::ENCRYPTED),
    optional(P::HOST_ID),
    up_to(CERTS_MAX, P::CERT),
    up_to(NOTIFICATIONS_MAX, P::NOTIFICATION),
    optional(P::ECHO_REQUEST_SIGNED),
    optional(P::REG_INFO),
    up_to(REGISTRATIONS_MAX, P::REG_REQUEST),
    up_to(REGISTRATIONS_MAX, P::REG_RESPONSE),
    up_to(REGISTRATIONS_MAX, P::REG_FAILED),
    optional(P::ECHO_RESPONSE_SIGNED),
    one(P::HIP_MAC),
    one(P::HIP_SIGNATURE),
    up_to(ECHOES_UNSIGNED_MAX, P::ECHO_RESPONSE_UNSIGNED),
    up_to(ECHOES_UNSIGNED_MAX, P::ECHO_REQUEST_UNSIGNED),
];

/// NOTIFY (RFC 7401 section 5.3.6).
pub const NOTIFY: &[Rule<P>] = &[
    optional(P::HOST_ID),
    up_to(CERTS_MAX, P::CERT),
    one_to(NOTIFICATIONS_MAX, P::NOTIFICATION),
    optional(P::HIP_MAC),
    one(P::HIP_SIGNATURE),
    up_to(ECHOES_UNSIGNED_MAX, P::ECHO_RESPONSE_UNSIGNED),
    up_to(ECHOES_UNSIGNED_MAX, P::ECHO_REQUEST_UNSIGNED),
];

/// CLOSE (RFC 7401 section 5.3.7).
pub const CLOSE: &[Rule<P>] = &[
    up_to(CERTS_MAX, P::CERT),
    one(P::ECHO_REQUEST_SIGNED),
    one(P::HIP_MAC),
    one(P::HIP_SIGNATURE),
    up_to(ECHOES_UNSIGNED_MAX, P::ECHO_RESPONSE_UNSIGNED),
    up_to(ECHOES_UNSIGNED_MAX, P::ECHO_REQUEST_UNSIGNED),
];

/// CLOSE_ACK (RFC 7401 section 5.3.8).
pub const CLOSE_ACK: &[Rule<P>] = &[
    up_to(CERTS_MAX, P::CERT),
    one(P::ECHO_RESPONSE_SIGNED),
    one(P::HIP_MAC),
    one(P::HIP_SIGNATURE),
    up_to(ECHOES_UNSIGNED_MAX, P::ECHO_RESPONSE_UNSIGNED),
    up_to(ECHOES_UNSIGNED_MAX, P::ECHO_REQUEST_UNSIGNED),
];

/// ENCRYPTED in I2 with the Initiator's HOST_ID inside; in every packet, nothing but these two and, behind them, the
/// [`Item`]s of services.
pub const ENCRYPTED: &[Rule<P>] = &[optional(P::HOST_ID), up_to(CERTS_MAX, P::CERT)];

/// Returns the rules of a packet type; none for unknown ones.
pub fn of(packet_type: PacketType) -> &'static [Rule<P>] {
    match packet_type {
        PacketType::I1 => I1,
        PacketType::R1 => R1,
        PacketType::I2 => I2,
        PacketType::R2 => R2,
        PacketType::UPDATE => UPDATE,
        PacketType::NOTIFY => NOTIFY,
        PacketType::CLOSE => CLOSE,
        PacketType::CLOSE_ACK => CLOSE_ACK,
        _ => &[],
    }
}

/// Says whether a packet is an R1 that brings a cookie instead of a puzzle.
pub fn brings_a_cookie(packet: &Packet<'_>) -> bool {
    let has = |parameter| packet.parameters().raw(parameter).is_some();
    packet.packet_type() == PacketType::R1 && has(P::COOKIE) && !has(P::PUZZLE)
}

/// Checks which parameters stand in a packet. It interprets and authenticates none of them.
///
/// # Errors
///
/// [`DecodeError::Missing`], [`DecodeError::Unexpected`] or [`DecodeError::TooMany`], each naming the parameter.
pub fn check<I: Item>(packet: &Packet<'_>) -> Result<(), DecodeError> {
    let parameters = packet.parameters();
    if I::COUNT_MAX > 0 && parameters.raw(I::TYPE).is_some() {
        return Err(DecodeError::Unexpected { what: I::NAME });
    }
    let has = |parameter| parameters.raw(parameter).is_some();
    let rules = if brings_a_cookie(packet) { COOKIE_R1 } else { of(packet.packet_type()) };
    check_elements(rules, types(parameters), |stray| !stray.is_critical())?;
    match packet.packet_type() {
        PacketType::I2 if !has(P::HOST_ID) && !has(P::ENCRYPTED) => {
            Err(DecodeError::Missing { what: "HOST_ID" })
        }
        //= rfc7401#section-5.3.5
        //# An UPDATE packet without
        //# either a SEQ or an ACK parameter is invalid
        PacketType::UPDATE if !has(P::SEQ) && !has(P::ACK) => {
            Err(DecodeError::Missing { what: "SEQ or ACK" })
        }
        // RFC 8046 section 5.2: whoever announces locators waits for the acknowledgement.
        PacketType::UPDATE if has(P::LOCATOR_SET) && !has(P::SEQ) => {
            Err(DecodeError::Missing { what: "SEQ" })
        }
        _ => Ok(()),
    }
}

/// Checks which parameters stand inside ENCRYPTED: only HOST_ID, CERT and the items of services, and HOST_ID in I2 only,
/// where it must be unless the packet shows it openly.
///
/// # Errors
///
/// As [`check`].
pub fn check_encrypted<I: Item>(packet: &Packet<'_>, inner: &Parameters<'_>) -> Result<(), DecodeError> {
    let is_item = |parameter: P| I::COUNT_MAX > 0 && parameter == I::TYPE;
    check_elements(ENCRYPTED, types(inner).filter(|parameter| !is_item(*parameter)), nothing)?;
    if inner.count(I::TYPE) > I::COUNT_MAX {
        return Err(DecodeError::TooMany { what: I::NAME, limit: I::COUNT_MAX });
    }
    let inside = inner.raw(P::HOST_ID).is_some();
    let outside = packet.parameters().raw(P::HOST_ID).is_some();
    let wanted = packet.packet_type() == PacketType::I2 && !outside;
    match (wanted, inside) {
        (true, false) => Err(DecodeError::Missing { what: "HOST_ID" }),
        (false, true) => Err(DecodeError::Unexpected { what: "HOST_ID" }),
        _ => Ok(()),
    }
}

fn types(parameters: &Parameters<'_>) -> impl Iterator<Item = P> + Clone {
    parameters.iter().map(|raw| raw.parameter_type())
}

impl Element for ParameterType {
    fn name(self) -> &'static str {
        ParameterType::name(self).unwrap_or("parameter")
    }
}

#[cfg(test)]
mod tests {
    use claviger_crypto::sign::PublicKey;
    use claviger_identity::{DomainIdentifier, HiAlgorithm, Hit, HostId};
    use claviger_wire::{Decode, Encode, Reader, Writer};

    use super::*;
    use crate::{
        iana::{DhGroup, NotifyType, RegFailure, RegType},
        item::NoItem,
        security::Security,
        wire::{
            DhGroupList, HipMac, HipSignature, Lifetime, Notification, PacketBuilder, Parameter,
            ParameterBlock, RegRequest, Seq,
        },
    };

    fn judge(packet_type: PacketType, fill: impl FnOnce(&mut PacketBuilder)) -> Result<(), DecodeError> {
        let mut builder = PacketBuilder::new(packet_type, Hit::NULL, Hit::NULL);
        fill(&mut builder);
        check::<Word>(&Packet::parse(&builder.finish().unwrap()).unwrap())
    }

    fn groups() -> DhGroupList {
        DhGroupList(vec![DhGroup::NIST_P256])
    }

    fn signature() -> HipSignature {
        HipSignature { algorithm: HiAlgorithm::EDDSA, signature: vec![] }
    }

    /// What some service says.
    #[derive(Debug, Clone, PartialEq, Eq)]
    struct Word(Vec<u8>);

    impl Parameter for Word {
        const TYPE: ParameterType = ParameterType(32768);
    }

    impl Encode for Word {
        fn encode(&self, w: &mut Writer) {
            w.slice(&self.0);
        }
    }

    impl<'a> Decode<'a> for Word {
        fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
            Ok(Self(r.take_rest().to_vec()))
        }
    }

    impl Item for Word {
        const NAME: &'static str = "WORD";
        const COUNT_MAX: usize = 2;

        fn reg_type(&self) -> RegType {
            RegType(255)
        }

        fn lifetime(&self) -> Lifetime {
            Lifetime::CANCEL
        }

        fn is_granted(&self) -> bool {
            true
        }

        fn is_same(&self, other: &Self) -> bool {
            self == other
        }

        fn refused(&self, _: RegFailure) -> Self {
            self.clone()
        }

        fn must_be_acknowledged(&self) -> bool {
            false
        }

        fn check_all(_: &[Self]) -> Result<(), DecodeError> {
            Ok(())
        }

        fn is_protected(_: RegType, _: &Security) -> bool {
            true
        }
    }

    fn word() -> Word {
        Word(b"word".to_vec())
    }

    #[test]
    fn tables_ascend_and_name_known_parameters() {
        for rules in [I1, R1, COOKIE_R1, I2, R2, UPDATE, NOTIFY, CLOSE, CLOSE_ACK, ENCRYPTED] {
            assert!(rules.iter().all(|rule| rule.element.is_known() && rule.least <= rule.most));
            assert!(rules.windows(2).all(|pair| pair[0].element < pair[1].element), "{rules:?}");
        }
    }

    #[test]
    fn an_i1_needs_its_group_list_once() {
        let once = judge(PacketType::I1, |builder| {
            builder.add(&groups());
        });
        assert_eq!(once, Ok(()));
        let never = judge(PacketType::I1, |_| ());
        assert_eq!(never, Err(DecodeError::Missing { what: "DH_GROUP_LIST" }));
        let twice = judge(PacketType::I1, |builder| {
            builder.add(&groups()).add(&groups());
        });
        assert_eq!(twice, Err(DecodeError::Unexpected { what: "DH_GROUP_LIST" }));
    }

    #[test]
    fn critical_parameters_must_be_in_their_place_and_others_are_ignored() {
        let critical = judge(PacketType::I1, |builder| {
            builder.add(&groups()).add(&HipMac(vec![]));
        });
        assert_eq!(critical, Err(DecodeError::Unexpected { what: "HIP_MAC" }));
        let other = judge(PacketType::I1, |builder| {
            builder.add(&groups()).add(&RegRequest { lifetime: Lifetime(1), types: vec![] });
        });
        assert_eq!(other, Ok(()));
        let open = judge(PacketType::I1, |builder| {
            builder.add(&groups()).add(&word());
        });
        assert_eq!(open, Err(DecodeError::Unexpected { what: "WORD" }));
    }

    #[test]
    fn counts_have_limits() {
        let judge = |count| {
            judge(PacketType::NOTIFY, |builder| {
                for _ in 0..count {
                    builder.add(&Notification::new(NotifyType::INVALID_SYNTAX));
                }
                builder.add(&signature());
            })
        };
        assert_eq!(judge(NOTIFICATIONS_MAX), Ok(()));
        let limit = NOTIFICATIONS_MAX;
        assert_eq!(judge(limit + 1), Err(DecodeError::TooMany { what: "NOTIFICATION", limit }));
    }

    #[test]
    fn an_update_has_seq_or_ack() {
        let neither = judge(PacketType::UPDATE, |builder| {
            builder.add(&HipMac(vec![])).add(&signature());
        });
        assert_eq!(neither, Err(DecodeError::Missing { what: "SEQ or ACK" }));
        let seq = judge(PacketType::UPDATE, |builder| {
            builder.add(&Seq(0)).add(&HipMac(vec![])).add(&signature());
        });
        assert_eq!(seq, Ok(()));
    }

    #[test]
    fn encrypted_holds_host_id_certificates_and_items_only() {
        let host_id = HostId::new(&PublicKey::Ed25519([7; 32]), DomainIdentifier::None).unwrap();
        let judge = |packet_type, outside: bool, fill: &dyn Fn(&mut ParameterBlock)| {
            let mut block = ParameterBlock::new();
            fill(&mut block);
            let mut builder = PacketBuilder::new(packet_type, Hit::NULL, Hit::NULL);
            if outside {
                builder.add(&host_id);
            }
            let packet = builder.finish().unwrap();
            let inner = Parameters::parse(block.octets().unwrap()).unwrap();
            check_encrypted::<Word>(&Packet::parse(&packet).unwrap(), &inner)
        };
        let with_host_id = |block: &mut ParameterBlock| {
            block.add(&host_id).add(&word());
        };
        let word_only = |block: &mut ParameterBlock| {
            block.add(&word());
        };
        let with_seq = |block: &mut ParameterBlock| {
            block.add(&Seq(1)).add(&host_id);
        };
        assert_eq!(judge(PacketType::I2, false, &with_host_id), Ok(()));
        assert_eq!(judge(PacketType::I2, true, &word_only), Ok(()));
        assert_eq!(judge(PacketType::R2, false, &word_only), Ok(()));
        let words = |count| {
            move |block: &mut ParameterBlock| {
                for _ in 0..count {
                    block.add(&word());
                }
            }
        };
        assert_eq!(judge(PacketType::R2, false, &words(2)), Ok(()));
        let too_many = DecodeError::TooMany { what: "WORD", limit: 2 };
        assert_eq!(judge(PacketType::R2, false, &words(3)), Err(too_many));
        for (packet_type, outside, fill, what) in [
            (PacketType::I2, false, &word_only as &dyn Fn(&mut ParameterBlock), "HOST_ID"),
            (PacketType::I2, true, &with_host_id, "HOST_ID"),
            (PacketType::R2, false, &with_host_id, "HOST_ID"),
            (PacketType::I2, false, &with_seq, "SEQ"),
        ] {
            let error = judge(packet_type, outside, fill).unwrap_err();
            assert!(
                matches!(error, DecodeError::Missing { what: w } | DecodeError::Unexpected { what: w } if w == what),
                "{error}"
            );
        }
    }

    /// To a host whose services have no items each is a parameter like others that it does not know.
    #[test]
    fn a_host_without_items_takes_none() {
        let mut block = ParameterBlock::new();
        block.add(&word());
        let inner = Parameters::parse(block.octets().unwrap()).unwrap();
        let octets = PacketBuilder::new(PacketType::R2, Hit::NULL, Hit::NULL).finish().unwrap();
        let packet = Packet::parse(&octets).unwrap();
        let unexpected = Err(DecodeError::Unexpected { what: "parameter" });
        assert_eq!(check_encrypted::<NoItem>(&packet, &inner), unexpected);
        let mut builder = PacketBuilder::new(PacketType::I1, Hit::NULL, Hit::NULL);
        let octets = builder.add(&groups()).add(&word()).finish().unwrap();
        assert_eq!(check::<NoItem>(&Packet::parse(&octets).unwrap()), Ok(()));
    }
}
