//! What holds for every payload: what is written is read again, and no octets make a decoder panic.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{net::IpAddr, time::Duration};

use claviger_crypto::{
    SecretBytes,
    cipher::CipherAlgorithm,
    sign::{KeyAlgorithm, PublicKey},
};
use claviger_gdoi::{
    Delete, Dialect, Error, Exchange, Gap, KeyDownload, SaKek, SaPayload, SaTek,
    wire::{
        AddressPreservation, Deletes, Identification, KekDownload, Lkh32, LkhDownload, LkhDownloadArray,
        LkhKey, LkhUpdateArray, Nonce, Notification, SaDirection, SenderIds, SequenceNumber,
        SubjectPublicKeyInfo,
        batch_signature::BatchSignature,
        lkh_32::{PathArray, Update},
    },
};
use claviger_group::{
    Channel, CookiePair, Encapsulation, EspTransform, GroupId, PushAuthentication, Spi, id::IdType,
    tek::TekKeys,
};
use claviger_isakmp::{
    iana::{NotifyType, PayloadType},
    wire::payload::Chain,
};
use claviger_keypath::{Degree, Entry, Handle, NodeId, Under, UpdateHead};
use claviger_wire::{Decode, Encode, Writer};
use proptest::{collection::vec, option, prelude::*, sample::select};

fn octets(encode: impl FnOnce(&mut Writer) -> Result<(), Error>) -> Vec<u8> {
    let mut w = Writer::new();
    encode(&mut w).unwrap();
    w.into_octets()
}

fn spis() -> impl Strategy<Value = Spi> {
    (256..=u32::MAX).prop_map(|number| Spi::new(number).unwrap())
}

fn cookies() -> impl Strategy<Value = CookiePair> {
    any::<[u8; 16]>().prop_filter("zero means all", |octets| *octets != [0; 16]).prop_map(CookiePair)
}

fn channels() -> impl Strategy<Value = Channel> {
    select(vec![
        ("239.192.3.4", None),
        ("239.192.3.4", Some("10.1.2.3")),
        ("232.0.1.1", Some("192.0.2.1")),
        ("ff15::1234", None),
        ("ff3e::8000:1", Some("2001:db8::1")),
    ])
    .prop_map(|(group, source): (&str, Option<&str>)| {
        Channel::new(group.parse().unwrap(), source.map(|s| s.parse().unwrap())).unwrap()
    })
}

fn seconds() -> impl Strategy<Value = Duration> {
    (1..=u32::MAX).prop_map(|secs| Duration::from_secs(secs.into()))
}

fn ciphers() -> impl Strategy<Value = CipherAlgorithm> {
    select(vec![CipherAlgorithm::Aes128Cbc, CipherAlgorithm::Aes256Cbc])
}

fn sa_keks() -> impl Strategy<Value = SaKek> {
    let addresses = || select(vec!["10.0.0.1", "239.1.2.3", "2001:db8::1", "ff15::9"]);
    let kinds =
        vec![KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::Ed25519, KeyAlgorithm::Rsa];
    let identities = (option::of(addresses()), addresses(), any::<u16>());
    let forms = select(vec![PushAuthentication::Message, PushAuthentication::Batch]);
    let signatures = (select(kinds), forms);
    let places = (option::of((addresses(), any::<u16>())), option::of(1..=u32::MAX));
    (identities, cookies(), option::of(any::<u16>()), ciphers(), seconds(), signatures, places).prop_map(
        |(
            (source, destination, port),
            spi,
            management,
            cipher,
            lifetime,
            (signature, form),
            (place, rekey_first),
        )| {
            let parse = |text: &str| text.parse::<IpAddr>().unwrap();
            let (source, destination) = (source.map(parse), (parse(destination), port));
            SaKek {
                source,
                destination,
                spi,
                management,
                cipher,
                lifetime,
                signature,
                form,
                place: place.map(|(address, port)| (parse(address), port)),
                rekey_first,
            }
        },
    )
}

fn sa_teks() -> impl Strategy<Value = SaTek> {
    let directions = vec![SaDirection::SenderOnly, SaDirection::ReceiverOnly, SaDirection::Symmetric];
    let preservations = vec![
        AddressPreservation::None,
        AddressPreservation::SourceOnly,
        AddressPreservation::DestinationOnly,
        AddressPreservation::SourceAndDestination,
    ];
    let ports = (1..=u16::MAX, any::<u16>());
    let modes = (1u16..=4, select(preservations), select(directions));
    (spis(), select(EspTransform::ALL.to_vec()), channels(), ports, modes, seconds()).prop_map(
        |(spi, transform, channel, (port, application_port), (mode, preservation, direction), lifetime)| {
            let encapsulation = Encapsulation::from_value(mode).unwrap();
            // Only UDP has a port, and only a tunnel preserves addresses.
            let encapsulation_port = if encapsulation.is_udp() { port } else { 4500 };
            let preservation =
                if encapsulation.is_tunnel() { preservation } else { AddressPreservation::default() };
            SaTek {
                spi,
                transform,
                channel,
                encapsulation,
                encapsulation_port,
                application_port,
                lifetime,
                preservation,
                direction,
            }
        },
    )
}

fn gaps() -> impl Strategy<Value = Gap> {
    let value = || option::of(any::<u16>());
    let lease = option::of((1..=u16::MAX, option::of(Just(1))));
    (value(), value(), value(), lease).prop_map(
        |(activation_delay, deactivation_delay, sender_id_request, lease)| Gap {
            activation_delay,
            deactivation_delay,
            sender_id_request,
            lease_time: lease.map(|(time, _)| time),
            lease_receiving: lease.and_then(|(_, receiving)| receiving),
        },
    )
}

fn sas() -> impl Strategy<Value = SaPayload> {
    (option::of(sa_keks()), option::of(gaps()), vec(sa_teks(), 0..4))
        .prop_map(|(kek, gap, teks)| SaPayload { kek, gap, teks })
        .prop_filter("something is asserted", |sa| sa.kek.is_some() || !sa.teks.is_empty())
}

fn secrets(lengths: Vec<usize>) -> impl Strategy<Value = SecretBytes> {
    (select(lengths), any::<u8>()).prop_map(|(length, octet)| SecretBytes::new(vec![octet; length]))
}

fn lkh_keys() -> impl Strategy<Value = Vec<LkhKey>> {
    let key = (any::<u16>(), any::<u8>(), any::<[u32; 3]>(), any::<u8>());
    (select(vec![32usize, 48]), vec(key, 1..8)).prop_map(|(length, keys)| {
        keys.into_iter()
            .map(|(id, key_type, [created, expires, handle], octet)| {
                let data = SecretBytes::new(vec![octet; length]);
                LkhKey { id, key_type, created, expires, handle, data }
            })
            .collect()
    })
}

fn public_keys() -> impl Strategy<Value = PublicKey> {
    prop_oneof![
        vec(any::<u8>(), 64).prop_map(PublicKey::EcdsaP256),
        vec(any::<u8>(), 96).prop_map(PublicKey::EcdsaP384),
        any::<[u8; 32]>().prop_map(PublicKey::Ed25519),
        (1u8.., vec(any::<u8>(), 255..512)).prop_map(|(first, rest)| PublicKey::Rsa {
            modulus: [&[first], &rest[..]].concat(),
            exponent: vec![1, 0, 1],
        }),
    ]
}

fn lkh_downloads() -> impl Strategy<Value = LkhDownload> {
    let updates = (any::<u16>(), any::<u32>(), lkh_keys()).prop_map(|(id, handle, keys)| LkhUpdateArray {
        id,
        handle,
        keys,
    });
    let download = option::of(lkh_keys().prop_map(|keys| LkhDownloadArray { keys }));
    (cookies(), download, vec(updates, 0..5), option::of(public_keys()))
        .prop_map(|(spi, download, updates, signing_key)| LkhDownload { spi, download, updates, signing_key })
        .prop_filter("an array", |lkh| lkh.download.is_some() || !lkh.updates.is_empty())
}

fn degrees() -> impl Strategy<Value = Degree> {
    (2..=Degree::MAX.k()).prop_map(|k| Degree::new(k).unwrap())
}

/// Handles of any age at `epoch`, each written in another form.
fn handles(epoch: u32) -> impl Strategy<Value = Handle> {
    let ages = prop_oneof![Just(0), 0..epoch.min(0x1000), 0..epoch.min(0x10_0000), 0..epoch];
    (ages, 0u8..16).prop_map(move |(age, advances)| Handle::new(epoch - age, advances).unwrap())
}

fn path_arrays() -> impl Strategy<Value = PathArray> {
    let keys = |length| {
        vec(((1u32..1 << 28), 0u8..16, any::<u8>()), 1..=32).prop_map(move |keys| {
            let key = |(epoch, advances, octet)| {
                (Handle::new(epoch, advances).unwrap(), SecretBytes::new(vec![octet; length]))
            };
            keys.into_iter().map(key).collect()
        })
    };
    (degrees(), any::<u32>().prop_map(NodeId::from_u32), prop_oneof![keys(16), keys(32)])
        .prop_map(|(degree, first, keys)| PathArray { degree, first, keys })
}

fn updates() -> impl Strategy<Value = Update> {
    let epochs = prop_oneof![1u32..40, 1u32..1 << 28];
    (degrees(), select(vec![16u8, 32]), epochs, 1u8..=26).prop_flat_map(|(degree, key_len, epoch, level)| {
        let unders = proptest::collection::btree_map(0u8..=degree.k(), (handles(epoch), any::<u8>()), 1..=9);
        let targets = proptest::collection::btree_map((1..level + 1, 0u32..2000), unders, 0..12);
        (targets, handles(epoch)).prop_map(move |(targets, root_handle)| {
            let root = NodeId::new(level, 0).unwrap();
            let head = UpdateHead { degree, key_len, epoch, root, root_handle };
            let mut update = Update::new(head).unwrap();
            for ((at, index), unders) in targets {
                let target = if at == level { root } else { NodeId::new(at, index).unwrap() };
                for (place, (handle, octet)) in unders {
                    let under = if place == degree.k() { Under::Itself } else { Under::Child(place) };
                    // Two indices at the root's level are one target; its keys stand once.
                    let _ =
                        update.push(Entry { target, under, handle }, &vec![octet; usize::from(key_len) + 8]);
                }
            }
            update
        })
    })
}

fn lkh_32s() -> impl Strategy<Value = Lkh32> {
    (cookies(), option::of(path_arrays()), option::of(updates()), option::of(public_keys()))
        .prop_map(|(spi, path, update, signing_key)| Lkh32 { spi, path, update, signing_key })
        .prop_filter("something is there", |lkh| lkh.path.is_some() || lkh.update.is_some())
}

fn kek_downloads() -> impl Strategy<Value = KekDownload> {
    (cookies(), any::<[u8; 16]>(), secrets(vec![16, 32]), option::of(public_keys()))
        .prop_map(|(spi, iv, key, signing_key)| KekDownload { spi, iv, key, signing_key })
}

fn sender_ids() -> impl Strategy<Value = SenderIds> {
    (1u8..=32, proptest::collection::btree_set(any::<u32>(), 1..6)).prop_map(|(bits, values)| {
        let mask = u32::MAX >> (32 - bits);
        let values: std::collections::BTreeSet<u32> = values.into_iter().map(|value| value & mask).collect();
        SenderIds { bits, values: values.into_iter().collect() }
    })
}

fn kds() -> impl Strategy<Value = KeyDownload> {
    let keys = (secrets(vec![0, 16, 20, 32, 36]), secrets(vec![0, 32]))
        .prop_map(|(encryption, integrity)| TekKeys { encryption, integrity });
    let teks = proptest::collection::btree_map(spis(), keys, 0..4)
        .prop_map(|teks| teks.into_iter().collect::<Vec<_>>());
    // A KD has a tree of one kind or the other.
    let trees = prop_oneof![
        Just((None, None)),
        lkh_downloads().prop_map(|lkh| (Some(lkh), None)),
        lkh_32s().prop_map(|lkh| (None, Some(lkh))),
    ];
    (teks, trees, option::of(kek_downloads()), option::of(sender_ids()))
        .prop_map(|(teks, (lkh, lkh_32), kek, sender_ids)| KeyDownload { teks, lkh, lkh_32, kek, sender_ids })
}

/// Puts octets to every decoder; only a panic would fail.
fn feed_every_decoder(octets: &[u8]) {
    let lenient =
        Dialect { tek_addresses_reversed: true, key_length_zero: true, keys_do_not_fit_policy: true };
    let _ = SaPayload::from_octets_in(octets, Exchange::Push, Dialect::RFC);
    let _ = SaPayload::from_octets_in(octets, Exchange::Pull, lenient);
    let _ = SaKek::from_octets_in(octets, Exchange::Push);
    let _ = SaKek::from_octets_in(octets, Exchange::Pull);
    let _ = SaTek::from_octets_in(octets, Dialect::RFC);
    let _ = Gap::from_octets(octets);
    let _ = KeyDownload::from_octets(octets);
    let _ = LkhDownloadArray::from_octets(octets);
    let _ = LkhUpdateArray::from_octets(octets);
    let _ = PathArray::from_octets(octets);
    let _ = Update::from_octets(octets);
    let _ = BatchSignature::from_octets(octets);
    let _ = Deletes::from_octets(octets);
    let _ = Notification::from_octets(octets);
    let _ = Identification::from_octets(octets);
    let _ = Nonce::from_octets(octets);
    let _ = SequenceNumber::from_octets(octets);
    let _ = SubjectPublicKeyInfo::from_octets(octets);
    let _ = claviger_isakmp::wire::Header::split(octets);
    let _ = claviger_isakmp::wire::header::peek(octets);
    let _ = claviger_gdoi::push::cookies(octets);
    for first in [PayloadType::HASH, PayloadType::NONE, PayloadType::SEQUENCE_NUMBER] {
        let _ = Chain::parse(first, octets);
    }
}

proptest! {
    #[test]
    fn an_sa_payload_survives(mut sa in sas()) {
        let read = SaPayload::from_octets_in(&octets(|w| sa.encode(Exchange::Push, w)), Exchange::Push, Dialect::RFC);
        // Where messages for the member's place go is told in a PULL.
        if let Some(kek) = &mut sa.kek {
            kek.place = None;
        }
        prop_assert_eq!(read, Ok(sa));
    }

    #[test]
    fn a_key_download_survives(kd in kds()) {
        prop_assert_eq!(KeyDownload::from_octets(&octets(|w| kd.encode(w))), Ok(kd));
    }

    #[test]
    fn an_lkh_32_path_survives(path in path_arrays()) {
        prop_assert_eq!(PathArray::from_octets(&octets(|w| path.encode(w))), Ok(path));
    }

    #[test]
    fn an_lkh_32_update_survives(update in updates()) {
        let written = octets(|w| update.encode(w));
        prop_assert_eq!(written.len() + 4, update.encoded_len());
        prop_assert_eq!(Update::from_octets(&written), Ok(update));
    }

    #[test]
    fn an_sa_payload_survives_a_pull(mut sa in sas()) {
        let read = SaPayload::from_octets_in(&octets(|w| sa.encode(Exchange::Pull, w)), Exchange::Pull, Dialect::RFC);
        // Of the management algorithms only those of private use are told.
        if let Some(kek) = &mut sa.kek {
            kek.management = kek.management.filter(|value| (128..=255).contains(value));
            kek.rekey_first = None;
        }
        prop_assert_eq!(read, Ok(sa));
    }

    #[test]
    fn a_public_key_survives(key in public_keys()) {
        let key = SubjectPublicKeyInfo(key);
        prop_assert_eq!(SubjectPublicKeyInfo::from_octets(&key.to_octets()), Ok(key));
    }

    #[test]
    fn deletes_survive(teks in vec(spis(), 1..9), keks in vec(cookies(), 1..9)) {
        let teks = Deletes(teks.into_iter().map(Delete::Tek).collect());
        prop_assert_eq!(Deletes::from_octets(&octets(|w| teks.encode(w))), Ok(teks));
        let keks = Deletes(keks.into_iter().map(Delete::Kek).collect());
        prop_assert_eq!(Deletes::from_octets(&octets(|w| keks.encode(w))), Ok(keks));
    }

    #[test]
    fn names_and_notifications_survive(
        id_type in any::<u8>(), name in vec(any::<u8>(), 1..255), notify in any::<u16>(), about in option::of(any::<u32>()),
    ) {
        let id = Identification(GroupId::new(IdType(id_type), name).unwrap());
        prop_assert_eq!(Identification::from_octets(&id.to_octets()), Ok(id));
        let notification = Notification { notify: NotifyType(notify), message_id: about };
        prop_assert_eq!(Notification::from_octets(&notification.to_octets()), Ok(notification));
    }

    #[test]
    fn no_octets_make_a_decoder_panic(octets in vec(any::<u8>(), 0..200)) {
        feed_every_decoder(&octets);
    }

    #[test]
    fn no_damage_to_a_payload_makes_a_decoder_panic(
        sa in sas(), kd in kds(), at in any::<proptest::sample::Index>(), octet in any::<u8>(), cut in any::<bool>(),
    ) {
        for mut damaged in [octets(|w| sa.encode(Exchange::Push, w)), octets(|w| kd.encode(w))] {
            let at = at.index(damaged.len());
            damaged[at] = octet;
            if cut {
                damaged.truncate(at);
            }
            feed_every_decoder(&damaged);
        }
    }
}
