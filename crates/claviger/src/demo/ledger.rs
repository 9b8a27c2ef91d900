//! How a member hands over every key it held.
//!
//! The file lies in the demonstration's own directory, mode 0600, and goes away with it. These are the keys of a
//! group that lives for twenty seconds; no other group's keys are ever written so.

use std::{fs::OpenOptions, io::Write, os::unix::fs::OpenOptionsExt, path::Path, time::Duration};

use claviger_crypto::{SecretBytes, cipher::CipherAlgorithm, sign::PublicKey};
use claviger_gdoi::{
    lkh::{self, KeyArray},
    push::KekMaterial,
    wire::LkhDownloadArray,
};
use claviger_group::{
    Channel, CookiePair, Encapsulation, EspTransform, PushAuthentication, Spi, Tek, tek::TekKeys,
};
use claviger_proof::{Ledger, ledger::LedgerRekey};
use claviger_wire::{Decode, DecodeError, Reader, Writer};

use crate::exit::{Exit, Failure, Outcome};

/// Writes a ledger.
pub(super) fn write(path: &Path, ledger: &Ledger) -> Outcome {
    let mut w = Writer::new();
    w.u16(ledger.teks.len() as u16);
    for tek in &ledger.teks {
        w.u32(tek.spi.as_u32());
        w.nested_u16(|w| w.slice(tek.keys.encryption.expose()));
    }
    w.u16(ledger.rekeys.len() as u16);
    for rekey in &ledger.rekeys {
        write_rekey(&mut w, rekey)?;
    }
    let octets = SecretBytes::new(w.into_octets());
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(octets.expose())?;
    Ok(())
}

fn write_rekey(w: &mut Writer, rekey: &LedgerRekey) -> Outcome {
    let PublicKey::EcdsaP256(point) = &rekey.signing_key else {
        return Err(Failure::new(Exit::Failed, "the demonstration's group signs with ECDSA P-256"));
    };
    if rekey.form != PushAuthentication::Message {
        return Err(Failure::new(Exit::Failed, "the demonstration's group signs each message"));
    }
    w.slice(&rekey.kek.spi.0);
    w.slice(&rekey.kek.iv);
    w.nested_u16(|w| w.slice(rekey.kek.key.expose()));
    w.nested_u16(|w| w.slice(point));
    let mut array = Writer::new();
    if let Some(held) = &rekey.lkh {
        lkh::download_array(held.keys())
            .encode(&mut array)
            .map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    }
    w.nested_u16(|w| w.slice(array.octets()));
    Ok(())
}

/// Reads a ledger back; the keys are those of the demonstration's one group.
pub(super) fn read(path: &Path, channel: Channel) -> Outcome<Ledger> {
    let octets = SecretBytes::new(std::fs::read(path)?);
    let malformed = |error: DecodeError| Failure::new(Exit::Failed, format!("{}: {error}", path.display()));
    decode(octets.expose(), channel).map_err(malformed)
}

fn decode(octets: &[u8], channel: Channel) -> Result<Ledger, DecodeError> {
    let mut r = Reader::new(octets);
    let mut ledger = Ledger::default();
    for _ in 0..r.u16("TEK count")? {
        ledger.teks.push(read_tek(&mut r, channel)?);
    }
    for _ in 0..r.u16("rekey SA count")? {
        ledger.rekeys.push(read_rekey(&mut r)?);
    }
    r.finish()?;
    Ok(ledger)
}

fn read_tek(r: &mut Reader<'_>, channel: Channel) -> Result<Tek, DecodeError> {
    let spi = r.u32("SPI")?;
    let spi = Spi::new(spi).ok_or(DecodeError::Value { field: "SPI", value: spi.into() })?;
    let key = nested(r, "TEK")?;
    let transform = EspTransform::Aes128Gcm16;
    let keys = TekKeys::new(transform, SecretBytes::copy_of(key), SecretBytes::new(Vec::new()))
        .map_err(|_| DecodeError::Length { field: "TEK" })?;
    Ok(Tek {
        spi,
        transform,
        keys,
        channel,
        encapsulation: Encapsulation::UdpTransport,
        encapsulation_port: 4500,
        application_port: 0,
        lifetime: Duration::from_secs(3600),
    })
}

fn read_rekey(r: &mut Reader<'_>) -> Result<LedgerRekey, DecodeError> {
    let cipher = CipherAlgorithm::Aes128Cbc;
    let spi = CookiePair(r.array("KEK SPI")?);
    let iv = r.array("KEK IV")?;
    let key = SecretBytes::copy_of(nested(r, "KEK")?);
    let signing_key = PublicKey::EcdsaP256(nested(r, "signing key")?.to_vec());
    let lkh = match nested(r, "LKH keys")? {
        [] => None,
        octets => {
            let malformed = DecodeError::Value { field: "LKH keys", value: 0 };
            let array = LkhDownloadArray::from_octets(octets).map_err(|_| malformed)?;
            Some(KeyArray::new(&array, cipher).map_err(|_| malformed)?)
        }
    };
    let form = PushAuthentication::Message;
    Ok(LedgerRekey { kek: KekMaterial { spi, cipher, iv, key }, signing_key, form, lkh })
}

fn nested<'a>(r: &mut Reader<'a>, field: &'static str) -> Result<&'a [u8], DecodeError> {
    let length = r.u16(field)?;
    r.slice(length.into(), field)
}
