//! One group: its policy, keys and addresses. All of it is the same in every run.

use std::{net::SocketAddr, sync::LazyLock, time::Duration};

use claviger_crypto::{
    SecretBytes, SeededRandom,
    cipher::CipherAlgorithm,
    hash::HashAlgorithm,
    sign::{KeyAlgorithm, SigningKey},
};
use claviger_gdoi::{
    Gap, KeyDownload, SaKek, SaPayload, SaTek,
    lkh::{self, KeyArray, Link},
    push::KekMaterial,
    wire::{LkhDownload, SenderIds},
};
use claviger_group::{
    Channel, CookiePair, Encapsulation, EspTransform, GroupId, RegistrationSa, Spi, Tek,
    registration::PeerIdentity, tek::TekKeys,
};
use claviger_identity::Hit;
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
    SigningKey::from_pkcs8(KeyAlgorithm::Ed25519, SecretBytes::new(pkcs8)).expect("the octets are a key")
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
        peer: PeerIdentity::Hit(Hit::new([0x20; 16])),
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
            form: claviger_gdoi::wire::SignatureForm::Message,
        }),
        gap: Some(Gap { activation_delay: Some(1), deactivation_delay: Some(5), sender_id_request: None }),
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
