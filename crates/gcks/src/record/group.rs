//! A group: policy, signing key, KEK, TEKs, counters.

use std::time::Duration;

use claviger_crypto::{
    CryptoProvider, SecretBytes,
    cipher::CipherAlgorithm,
    sign::{KeyAlgorithm, SigningKey},
};
use claviger_group::{
    Channel, CookiePair, Encapsulation, EspTransform, GroupPlace, GroupPolicy, KekManagement, Prefix,
    PushAuthentication, Spi, Tek, tek::TekKeys,
};
use claviger_keytree::Header;
use claviger_wire::{DecodeError, Reader, Writer};

use super::{
    member::{read_time, write_time},
    push::{read_address, write_address},
};
use crate::group::{IssuedTek, RekeyState};

/// What the group table holds of a group.
pub(crate) struct GroupRecord {
    pub(crate) policy: GroupPolicy,
    pub(crate) signing_key: SigningKey,
    pub(crate) tree: Header,
    pub(crate) kek: RekeyState,
    pub(crate) teks: Vec<IssuedTek>,
    pub(crate) sender_ids_issued: u32,
}

/// Borrowed parts of a group to be written.
pub(crate) struct GroupParts<'a> {
    pub(crate) policy: &'a GroupPolicy,
    pub(crate) signing_key: &'a SigningKey,
    pub(crate) tree: Header,
    pub(crate) kek: &'a RekeyState,
    pub(crate) teks: &'a [IssuedTek],
    pub(crate) sender_ids_issued: u32,
}

/// The most TEKs that live side by side: the record's count is one octet.
pub(crate) const TEKS_MAX: usize = u8::MAX as usize;

pub(crate) fn encode(group: &GroupParts<'_>) -> Vec<u8> {
    super::encode(|w| {
        write_policy(w, group.policy);
        w.nested_u16(|w| w.slice(group.signing_key.pkcs8().expose()));
        w.slice(&group.tree.to_octets());
        w.slice(&group.kek.spi.0);
        w.u32(group.kek.sequence);
        write_time(w, group.kek.issued);
        w.u64(group.kek.pushes);
        w.u32(group.sender_ids_issued);
        w.u8(group.teks.len() as u8);
        for issued in group.teks {
            write_tek(w, issued);
        }
    })
}

pub(crate) fn decode(provider: &CryptoProvider, octets: &[u8]) -> Result<GroupRecord, DecodeError> {
    super::decode(octets, |r| {
        let policy = read_policy(r)?;
        let length = r.u16("signing key length")?;
        let pkcs8 = SecretBytes::copy_of(r.slice(length.into(), "signing key")?);
        let signing_key = SigningKey::from_pkcs8(provider, policy.push_signature, pkcs8)
            .map_err(|_| DecodeError::Value { field: "signing key", value: 0 })?;
        let tree = Header::from_octets(&r.array::<{ Header::LEN }>("tree header")?)
            .map_err(|_| DecodeError::Value { field: "tree header", value: 0 })?;
        let kek = RekeyState {
            spi: CookiePair(r.array("KEK SPI")?),
            sequence: r.u32("sequence number")?,
            issued: read_time(r, "KEK issued")?,
            pushes: r.u64("pushes")?,
        };
        let sender_ids_issued = r.u32("sender ids issued")?;
        let count = r.u8("TEK count")?;
        let teks = (0..count).map(|_| read_tek(r)).collect::<Result<_, _>>()?;
        Ok(GroupRecord { policy, signing_key, tree, kek, teks, sender_ids_issued })
    })
}

fn write_policy(w: &mut Writer, policy: &GroupPolicy) {
    write_channel(w, &policy.channel);
    w.u8(policy.encapsulation as u8);
    w.u16(policy.encapsulation_port);
    w.u16(policy.application_port);
    w.u8(transform_code(policy.transform));
    match policy.push_address {
        Some(address) => write_address(w, address),
        None => w.u8(0),
    }
    w.u16(policy.push_port.unwrap_or(0));
    w.u16(policy.kek_cipher.key_len() as u16);
    w.u8(signature_code(policy.push_signature));
    w.u8(u8::from(policy.push_authentication == PushAuthentication::Batch));
    w.u8(u8::from(policy.kek_management == KekManagement::Lkh32));
    w.u8(policy.degree);
    w.u32(policy.members_max);
    w.u32(policy.batch_max);
    w.u8(policy.sender_id_bits);
    for duration in [
        policy.tek_lifetime,
        policy.tek_rekey,
        policy.kek_lifetime,
        policy.kek_rekey,
        policy.activation_delay,
        policy.deactivation_delay,
        policy.batch_interval,
        policy.registration_lifetime,
    ] {
        w.u64(duration.as_micros() as u64);
    }
    write_places(w, &policy.places);
}

fn read_policy(r: &mut Reader<'_>) -> Result<GroupPolicy, DecodeError> {
    let mut policy = GroupPolicy::new(read_channel(r)?);
    policy.encapsulation = read_encapsulation(r)?;
    policy.encapsulation_port = r.u16("encapsulation port")?;
    policy.application_port = r.u16("application port")?;
    policy.transform = read_transform(r)?;
    policy.push_address = read_address(r)?;
    policy.push_port = Some(r.u16("push port")?).filter(|port| *port != 0);
    policy.kek_cipher = match r.u16("KEK length")? {
        16 => CipherAlgorithm::Aes128Cbc,
        32 => CipherAlgorithm::Aes256Cbc,
        length => return Err(DecodeError::Value { field: "KEK length", value: length.into() }),
    };
    let code = r.u8("signature algorithm")?;
    policy.push_signature = SIGNATURES
        .into_iter()
        .find(|algorithm| signature_code(*algorithm) == code)
        .ok_or(DecodeError::Value { field: "signature algorithm", value: code.into() })?;
    policy.push_authentication = match r.u8("push authentication")? {
        0 => PushAuthentication::Message,
        1 => PushAuthentication::Batch,
        code => return Err(DecodeError::Value { field: "push authentication", value: code.into() }),
    };
    policy.kek_management = match r.u8("KEK management")? {
        0 => KekManagement::Lkh,
        1 => KekManagement::Lkh32,
        code => return Err(DecodeError::Value { field: "KEK management", value: code.into() }),
    };
    policy.degree = r.u8("degree")?;
    policy.members_max = r.u32("members max")?;
    policy.batch_max = r.u32("batch max")?;
    policy.sender_id_bits = r.u8("sender id bits")?;
    for duration in [
        &mut policy.tek_lifetime,
        &mut policy.tek_rekey,
        &mut policy.kek_lifetime,
        &mut policy.kek_rekey,
        &mut policy.activation_delay,
        &mut policy.deactivation_delay,
        &mut policy.batch_interval,
        &mut policy.registration_lifetime,
    ] {
        *duration = Duration::from_micros(r.u64("duration")?);
    }
    policy.places = read_places(r)?;
    Ok(policy)
}

fn write_places(w: &mut Writer, places: &[GroupPlace]) {
    w.u16(places.len() as u16);
    for place in places {
        write_address(w, place.prefix.address());
        w.u8(place.prefix.length());
        write_address(w, place.push_address);
        w.u32(place.members);
    }
}

fn read_places(r: &mut Reader<'_>) -> Result<Vec<GroupPlace>, DecodeError> {
    let missing = DecodeError::Missing { what: "address of a place" };
    let count = r.u16("place count")?;
    let mut place = || {
        let address = read_address(r)?.ok_or(missing)?;
        let length = r.u8("prefix length")?;
        let wrong = |_| DecodeError::Value { field: "prefix length", value: length.into() };
        let prefix = Prefix::new(address, length).map_err(wrong)?;
        let push_address = read_address(r)?.ok_or(missing)?;
        Ok(GroupPlace { prefix, push_address, members: r.u32("members of a place")? })
    };
    (0..count).map(|_| place()).collect()
}

fn write_tek(w: &mut Writer, issued: &IssuedTek) {
    let tek = &issued.tek;
    w.u32(tek.spi.as_u32());
    w.u8(transform_code(tek.transform));
    w.nested_u16(|w| w.slice(tek.keys.encryption.expose()));
    w.nested_u16(|w| w.slice(tek.keys.integrity.expose()));
    write_channel(w, &tek.channel);
    w.u8(tek.encapsulation as u8);
    w.u16(tek.encapsulation_port);
    w.u16(tek.application_port);
    w.u64(tek.lifetime.as_micros() as u64);
    write_time(w, issued.issued);
    write_time(w, issued.superseded.unwrap_or_default());
}

fn read_tek(r: &mut Reader<'_>) -> Result<IssuedTek, DecodeError> {
    let spi = r.u32("TEK SPI")?;
    let spi = Spi::new(spi).ok_or(DecodeError::Value { field: "TEK SPI", value: spi.into() })?;
    let transform = read_transform(r)?;
    let mut key = |field| {
        let length = r.u16(field)?;
        Ok(SecretBytes::copy_of(r.slice(length.into(), field)?))
    };
    let (encryption, integrity) = (key("encryption key")?, key("integrity key")?);
    let keys = TekKeys::new(transform, encryption, integrity)
        .map_err(|_| DecodeError::Length { field: "traffic key" })?;
    let tek = Tek {
        spi,
        transform,
        keys,
        channel: read_channel(r)?,
        encapsulation: read_encapsulation(r)?,
        encapsulation_port: r.u16("encapsulation port")?,
        application_port: r.u16("application port")?,
        lifetime: Duration::from_micros(r.u64("TEK lifetime")?),
    };
    let issued = read_time(r, "TEK issued")?;
    let superseded = Some(read_time(r, "TEK superseded")?).filter(|time| *time != Default::default());
    Ok(IssuedTek { tek, issued, superseded })
}

fn write_channel(w: &mut Writer, channel: &Channel) {
    write_address(w, channel.group());
    match channel.source() {
        Some(source) => write_address(w, source),
        None => w.u8(0),
    }
}

fn read_channel(r: &mut Reader<'_>) -> Result<Channel, DecodeError> {
    let group = read_address(r)?.ok_or(DecodeError::Missing { what: "group address" })?;
    let source = read_address(r)?;
    Channel::new(group, source).map_err(|_| DecodeError::Value { field: "channel", value: 0 })
}

fn read_encapsulation(r: &mut Reader<'_>) -> Result<Encapsulation, DecodeError> {
    let value = r.u8("encapsulation")?;
    Encapsulation::from_value(value.into())
        .ok_or(DecodeError::Value { field: "encapsulation", value: value.into() })
}

fn read_transform(r: &mut Reader<'_>) -> Result<EspTransform, DecodeError> {
    let code = r.u8("transform")?;
    EspTransform::ALL
        .into_iter()
        .find(|transform| transform_code(*transform) == code)
        .ok_or(DecodeError::Value { field: "transform", value: code.into() })
}

fn transform_code(transform: EspTransform) -> u8 {
    match transform {
        EspTransform::Aes128Gcm16 => 1,
        EspTransform::Aes256Gcm16 => 2,
        EspTransform::Aes128CbcHmacSha256 => 3,
        EspTransform::Aes256CbcHmacSha256 => 4,
    }
}

const SIGNATURES: [KeyAlgorithm; 4] =
    [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::Ed25519, KeyAlgorithm::Rsa];

fn signature_code(algorithm: KeyAlgorithm) -> u8 {
    match algorithm {
        KeyAlgorithm::EcdsaP256 => 1,
        KeyAlgorithm::EcdsaP384 => 2,
        KeyAlgorithm::Ed25519 => 3,
        KeyAlgorithm::Rsa => 4,
        other => unreachable!("no policy names {other:?}"),
    }
}
