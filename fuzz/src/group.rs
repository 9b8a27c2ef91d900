//! One group: its policy, keys and addresses. All of it is the same in every run.

use std::{net::SocketAddr, sync::LazyLock, time::Duration};

use claviger_crypto::{
    SecretBytes, SeededRandom,
    cipher::CipherAlgorithm,
    hash::HashAlgorithm,
    provider,
    sign::{KeyAlgorithm, SigningKey},
};
use claviger_gdoi::{
    Gap, KeyDownload, SaKek, SaPayload, SaTek,
    lkh::{self, KeyArray, Link},
    push::KekMaterial,
    wire::{
        LkhDownload, SenderIds,
        lkh_32::{PathArray, Update},
    },
};
use claviger_group::{
    Channel, CookiePair, Encapsulation, EspTransform, GroupId, MemberId, RegistrationSa, Spi, Tek,
    tek::TekKeys,
};
use claviger_identity::Hit;
use claviger_keypath::{Degree, Entry, Handle, NodeId, Under, UpdateHead};
use claviger_keywrap::{Engine, Job};
use claviger_sansio::Time;

/// When everything happens.
pub const NOW: Time = Time::from_secs(1_000_000);
/// The cookies of the registration.
pub const COOKIES: CookiePair = CookiePair([0xc1; 16]);
/// The rekey SA.
pub const KEK_SPI: CookiePair = CookiePair([0x6b; 16]);

/// The group's signing key.
pub static SIGNER: LazyLock<SigningKey> = LazyLock::new(|| {
    // RFC 8410 section 7: a PKCS #8 prefix and the 32 octets of an Ed25519 key.
    let mut pkcs8 = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
    pkcs8.extend_from_slice(&[0x5e; 32]);
    SigningKey::from_pkcs8(provider(), KeyAlgorithm::Ed25519, SecretBytes::new(pkcs8))
        .expect("the octets are a key")
});

/// Where the member is.
pub fn member_address() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 2], 848))
}

/// Where the key server is.
pub fn server_address() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 848))
}

/// The group's name.
pub fn id() -> GroupId {
    "#1234".parse().expect("a number is a name")
}

/// What both sides derived from a registration.
pub fn registration() -> RegistrationSa {
    let secret = |octet| SecretBytes::new(vec![octet; 32]);
    RegistrationSa {
        peer: MemberId::Hit(Hit::new([0x20; 16])),
        cookies: COOKIES,
        skeyid_d: secret(1),
        skeyid_a: secret(2),
        skeyid_e: secret(3),
        phase1_iv: [4; 16],
        hash: HashAlgorithm::Sha256,
        cipher: CipherAlgorithm::Aes128Cbc,
    }
}

/// The group's data security association.
pub fn tek() -> Tek {
    let transform = EspTransform::Aes128Gcm16;
    Tek {
        spi: Spi::new(0x1000).expect("the SPI is not reserved"),
        transform,
        keys: TekKeys::generate(transform, &mut SeededRandom::new(7)),
        channel: Channel::new([239, 192, 0, 1].into(), None).expect("the address is multicast"),
        encapsulation: Encapsulation::UdpTransport,
        encapsulation_port: 4500,
        application_port: 0,
        lifetime: Duration::from_secs(3600),
    }
}

/// The keys of leaf 4: its own, node 2's, the root's.
pub fn path() -> [Link; 3] {
    [4, 2, 1].map(|id| Link::new(id, 1, [id as u8; 16], &[0x40 | id as u8; 16]))
}

/// The keys of leaf 5 in a tree of degree 2 with 32-bit node ids: its own, two above it, the root's.
pub fn path_32() -> PathArray {
    let key = |level: u8| {
        let handle = Handle::new(1, level).expect("epochs begin with 1");
        (handle, SecretBytes::new(vec![0x60 | level; 16]))
    };
    let degree = Degree::new(2).expect("2 is a degree");
    let first = NodeId::new(0, 5).expect("the index is small");
    PathArray { degree, first, keys: (0..4).map(key).collect() }
}

/// What the members of that tree learn when leaf 7 departs, and a key that leaf 5 needs.
pub fn updates_32() -> [Update; 2] {
    let node = |level, index| NodeId::new(level, index).expect("the index is small");
    let handle = |epoch, advances| Handle::new(epoch, advances).expect("epochs begin with 1");
    let head = UpdateHead {
        degree: Degree::new(2).expect("2 is a degree"),
        key_len: 16,
        epoch: 2,
        root: node(3, 0),
        root_handle: handle(2, 0),
    };
    let [mut lower, mut upper] = [0, 1].map(|_| Update::new(head).expect("the head is sound"));
    let wrap = |under: &[u8], key: u8| {
        Engine::Portable.wrap_one(Job { under, plaintext: &[key; 16] }).expect("the keys have 16 octets")
    };
    let held = path_32();
    let under = held.keys[1].1.expose();
    for (update, target, place, handle, wrapped) in [
        (&mut lower, node(2, 1), 0, handle(1, 1), wrap(under, 0x72)),
        (&mut upper, node(3, 0), 1, handle(2, 0), wrap(&[0x72; 16], 0x73)),
    ] {
        let entry = Entry { target, under: Under::Child(place), handle };
        update.push(entry, &wrapped).expect("the entry is sound");
    }
    [lower, upper]
}

/// The group's KEK: what [`path`] ends in.
pub fn kek() -> KekMaterial {
    let keys = KeyArray::new(&lkh::download_array(&path()), CipherAlgorithm::Aes128Cbc);
    keys.expect("the path is sound").kek(KEK_SPI)
}

/// What the key server offers.
pub fn sa() -> SaPayload {
    SaPayload {
        kek: Some(SaKek {
            source: None,
            destination: ([239, 192, 0, 1].into(), 848),
            spi: KEK_SPI,
            management: Some(1),
            cipher: CipherAlgorithm::Aes128Cbc,
            lifetime: Duration::from_secs(86_400),
            signature: KeyAlgorithm::Ed25519,
            form: claviger_group::PushAuthentication::Message,
            place: None,
            rekey_first: None,
        }),
        gap: Some(Gap { activation_delay: Some(1), deactivation_delay: Some(5), ..Gap::default() }),
        teks: vec![SaTek::from(&tek())],
    }
}

/// The keys to it, for one member.
pub fn kd() -> KeyDownload {
    let tek = tek();
    KeyDownload {
        teks: vec![(tek.spi, tek.keys)],
        lkh: Some(LkhDownload {
            spi: KEK_SPI,
            download: Some(lkh::download_array(&path())),
            updates: vec![],
            signing_key: Some(SIGNER.public().clone()),
        }),
        lkh_32: None,
        kek: None,
        sender_ids: Some(SenderIds { bits: 16, values: vec![7] }),
    }
}
