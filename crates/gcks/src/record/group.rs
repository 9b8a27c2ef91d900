//! A group: policy, signing key, KEK, TEKs, counters.

use std::time::Duration;

use claviger_crypto::{CryptoProvider, SecretBytes, sign::SigningKey};
use claviger_group::{CookiePair, GroupPolicy, Spi, Tek, tek::TekKeys};
use claviger_keytree::Header;
use claviger_sansio::Time;
use claviger_wire::{DecodeError, Reader, Writer};

use super::{
    Version,
    field::{read_channel, read_encapsulation, read_transform, write_channel, write_transform},
    member::{read_time, write_time},
    policy,
};
use crate::group::{
    distribution::Distribution,
    sa::{IssuedTek, RekeySa},
    sender_ids::Spent,
};

/// What the group table holds of a group.
pub(crate) struct GroupRecord {
    pub(crate) policy: GroupPolicy,
    pub(crate) signing_key: SigningKey,
    pub(crate) tree: Header,
    pub(crate) kek: Option<RekeySa>,
    pub(crate) distribution: Distribution,
    pub(crate) teks: Vec<IssuedTek>,
    pub(crate) sender_ids: Spent,
}

/// Borrowed parts of a group to be written.
pub(crate) struct GroupParts<'a> {
    pub(crate) policy: &'a GroupPolicy,
    pub(crate) signing_key: &'a SigningKey,
    pub(crate) tree: Header,
    pub(crate) kek: Option<RekeySa>,
    pub(crate) distribution: Distribution,
    pub(crate) teks: &'a [IssuedTek],
    pub(crate) sender_ids: Spent,
}

pub(crate) fn encode(group: &GroupParts<'_>) -> Vec<u8> {
    match group.distribution {
        // The record does not say it.
        Distribution::Gdoi => {}
    }
    super::encode(|w| {
        policy::write(w, group.policy);
        w.nested_u16(|w| w.slice(group.signing_key.pkcs8().expose()));
        w.slice(&group.tree.to_octets());
        write_kek(w, group.kek);
        w.u32(group.sender_ids.issued);
        w.u32(group.sender_ids.first);
        w.u8(group.teks.len() as u8);
        for issued in group.teks {
            write_tek(w, issued);
        }
    })
}

pub(crate) fn decode(provider: &CryptoProvider, octets: &[u8]) -> Result<GroupRecord, DecodeError> {
    super::decode_any(octets, |version, r| {
        let policy = policy::read(version, r)?;
        let length = r.u16("signing key length")?;
        let pkcs8 = SecretBytes::copy_of(r.slice(length.into(), "signing key")?);
        let signing_key = SigningKey::from_pkcs8(provider, policy.rekey.signature, pkcs8)
            .map_err(|_| DecodeError::Value { field: "signing key", value: 0 })?;
        let tree = Header::from_octets(&r.array::<{ Header::LEN }>("tree header")?)
            .map_err(|_| DecodeError::Value { field: "tree header", value: 0 })?;
        let kek = read_kek(r)?;
        let sender_ids = read_sender_ids(version, r)?;
        let count = r.u8("TEK count")?;
        let teks = (0..count.into()).map(|number| read_tek(r, number)).collect::<Result<_, _>>()?;
        // The record does not say it.
        let distribution = Distribution::Gdoi;
        Ok(GroupRecord { policy, signing_key, tree, kek, distribution, teks, sender_ids })
    })
}

/// Writes the rekey SA; of a group without one zeros: no rekey SA has a zero cookie.
fn write_kek(w: &mut Writer, kek: Option<RekeySa>) {
    let none = RekeySa { spi: CookiePair([0; 16]), sequence: 0, issued: Time::EPOCH, pushes: 0 };
    let RekeySa { spi, sequence, issued, pushes } = kek.unwrap_or(none);
    w.slice(&spi.0);
    w.u32(sequence);
    write_time(w, issued);
    w.u64(pushes);
}

fn read_kek(r: &mut Reader<'_>) -> Result<Option<RekeySa>, DecodeError> {
    let kek = RekeySa {
        spi: CookiePair(r.array("KEK SPI")?),
        sequence: r.u32("sequence number")?,
        issued: read_time(r, "KEK issued")?,
        pushes: r.u64("pushes")?,
    };
    Ok(Some(kek).filter(|kek| !kek.spi.has_zero()))
}

/// Reads how far sender ids were given. Until it was noted to whom, none of them may be given again.
fn read_sender_ids(version: Version, r: &mut Reader<'_>) -> Result<Spent, DecodeError> {
    let issued = r.u32("sender ids issued")?;
    let first = match version {
        Version::Three | Version::Four | Version::Five => issued,
        Version::Six | Version::Seven => r.u32("first sender id")?,
    };
    Ok(Spent { issued, first })
}

fn write_tek(w: &mut Writer, issued: &IssuedTek) {
    let tek = &issued.tek;
    w.u32(tek.spi.as_u32());
    write_transform(w, tek.transform);
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

fn read_tek(r: &mut Reader<'_>, number: u64) -> Result<IssuedTek, DecodeError> {
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
    Ok(IssuedTek { tek, issued, number, superseded })
}
