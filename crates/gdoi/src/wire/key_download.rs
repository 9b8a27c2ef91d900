//! The Key Download payload (RFC 6407 section 5.6).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//! ! Number of Key Packets         !            RESERVED2          !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//! ~                    Key Packets                                ~
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//!
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//! !   KD Type     !   RESERVED    !            KD Length          !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//! !    SPI Size   !                   SPI (variable)              ~
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//! ~                    Key Packet Attributes                      ~
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//! ```

use claviger_crypto::{SecretBytes, cipher::BLOCK_LEN, sign::PublicKey};
use claviger_group::{CookiePair, Spi, tek::TekKeys};
use claviger_isakmp::wire::{
    attribute::{Attribute, basic, once, try_variable, variable},
    length_u16,
};
use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

use crate::{
    error::{ApiMisuse, Error, PeerIncompatible},
    iana::kd,
    limits::{LKH_UPDATES_MAX, SA_TEKS_MAX, SENDER_IDS_MAX},
    wire::{
        lkh::{LkhDownloadArray, LkhUpdateArray},
        lkh_32::{Lkh32, PathArray, Update},
        public_key::SubjectPublicKeyInfo,
    },
};

/// The keys of the security associations that an SA payload asserts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyDownload {
    /// The keys of data security SAs, by SPI; at most 64. Their lengths are checked where they meet their policy.
    pub teks: Vec<(Spi, TekKeys)>,
    /// The KEKs of a tree.
    pub lkh: Option<LkhDownload>,
    /// The KEKs of a tree with 32-bit node ids (private use), in place of the former.
    pub lkh_32: Option<Lkh32>,
    /// A single KEK.
    pub kek: Option<KekDownload>,
    /// Sender ids; in a GROUPKEY-PULL only.
    pub sender_ids: Option<SenderIds>,
}

/// The KEKs of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LkhDownload {
    /// The rekey SA whose KEK is the root's key.
    pub spi: CookiePair,
    /// The keys from a member's leaf to the root; in a GROUPKEY-PULL only.
    pub download: Option<LkhDownloadArray>,
    /// New keys; in a GROUPKEY-PUSH only.
    pub updates: Vec<LkhUpdateArray>,
    /// SIG_ALGORITHM_KEY: the key that verifies the rekey SA's messages.
    pub signing_key: Option<PublicKey>,
}

/// A single KEK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KekDownload {
    /// The rekey SA.
    pub spi: CookiePair,
    /// The IV of its messages.
    pub iv: [u8; BLOCK_LEN],
    /// The KEK: 16 or 32 octets.
    pub key: SecretBytes,
    /// SIG_ALGORITHM_KEY: the key that verifies the rekey SA's messages.
    pub signing_key: Option<PublicKey>,
}

/// Sender ids for the exclusive use of one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderIds {
    /// NUMBER_OF_SID_BITS: how many bits of the IV hold the id, 1 to 32.
    pub bits: u8,
    /// SID_VALUE: the ids, 1 to 64, all different.
    pub values: Vec<u32>,
}

impl Decode<'_, Error> for KeyDownload {
    fn decode(r: &mut Reader<'_>) -> Result<Self, Error> {
        let count = r.u16("number of key packets")?;
        r.zeros(2, "KD RESERVED2")?;
        let mut download = Self::default();
        for _ in 0..count {
            download.decode_packet(r)?;
        }
        Ok(download)
    }
}

impl KeyDownload {
    fn decode_packet(&mut self, r: &mut Reader<'_>) -> Result<(), Error> {
        let start = r.position();
        let kind = r.u8("KD type")?;
        r.zeros(1, "key packet RESERVED")?;
        let length = usize::from(r.u16("KD length")?);
        let head = r.position() - start;
        let length = length.checked_sub(head).ok_or(DecodeError::Length { field: "key packet" })?;
        let mut packet = r.sub(length, "key packet")?;
        let spi_size = packet.u8("key packet SPI size")?;
        let mut spi = packet.sub(spi_size.into(), "key packet SPI")?;
        match kind {
            kd::TEK => {
                let spi_number = spi.u32("TEK SPI")?;
                let keys = decode_tek(&mut packet)?;
                self.add_tek(spi_number, keys)?;
            }
            kd::KEK => {
                let kek = decode_kek(CookiePair(spi.array("KEK SPI")?), &mut packet)?;
                once(&mut self.kek, kek, "KEK key packet")?;
            }
            kd::LKH => {
                let lkh = LkhPacket::decode(CookiePair(spi.array("LKH SPI")?), &mut packet)?;
                if self.lkh.is_some() || self.lkh_32.is_some() {
                    return Err(DecodeError::Unexpected { what: "LKH key packet" }.into());
                }
                match lkh {
                    LkhPacket::Lkh(lkh) => self.lkh = Some(lkh),
                    LkhPacket::Lkh32(lkh) => self.lkh_32 = Some(lkh),
                }
            }
            kd::SID => once(&mut self.sender_ids, SenderIds::decode(&mut packet)?, "SID key packet")?,
            kind => return Err(PeerIncompatible::KdType(kind).into()),
        }
        Ok(spi.finish()?)
    }

    fn add_tek(&mut self, number: u32, keys: TekKeys) -> Result<(), DecodeError> {
        let spi = Spi::new(number).ok_or(DecodeError::Value { field: "TEK SPI", value: number.into() })?;
        if self.teks.iter().any(|(known, _)| *known == spi) {
            return Err(DecodeError::Unexpected { what: "second key packet of a TEK" });
        }
        if self.teks.len() == SA_TEKS_MAX {
            return Err(DecodeError::TooMany { what: "TEK key packets", limit: SA_TEKS_MAX });
        }
        self.teks.push((spi, keys));
        Ok(())
    }

    /// Writes the body of a KD payload: KEKs, then TEKs, then sender ids.
    ///
    /// # Errors
    ///
    /// [`Error::ApiMisuse`] if a part exceeds its length field or its limit.
    pub fn encode(&self, w: &mut Writer) -> Result<(), Error> {
        if self.teks.len() > SA_TEKS_MAX {
            return Err(ApiMisuse::MessageTooLong.into());
        }
        let others =
            [self.kek.is_some(), self.lkh.is_some(), self.lkh_32.is_some(), self.sender_ids.is_some()];
        let count = self.teks.len() + others.iter().filter(|&&present| present).count();
        w.u16(count as u16);
        w.u16(0);
        if let Some(kek) = &self.kek {
            packet(w, kd::KEK, &kek.spi.0, |w| kek.encode(w))?;
        }
        if let Some(lkh) = &self.lkh {
            packet(w, kd::LKH, &lkh.spi.0, |w| lkh.encode(w))?;
        }
        if let Some(lkh) = &self.lkh_32 {
            packet(w, kd::LKH, &lkh.spi.0, |w| {
                lkh.encode(w)?;
                encode_signing_key(w, kd::LKH_SIG_ALGORITHM_KEY, lkh.signing_key.as_ref())
            })?;
        }
        for (spi, keys) in &self.teks {
            packet(w, kd::TEK, &spi.as_u32().to_be_bytes(), |w| encode_tek(w, keys))?;
        }
        if let Some(sender_ids) = &self.sender_ids {
            //= rfc6407#section-5.6.4
            //# When the KD Type is
            //# SID, the SPI Size field MUST be zero, and the SPI field is omitted.
            packet(w, kd::SID, &[], |w| sender_ids.encode(w))?;
        }
        Ok(())
    }

    /// Says which rekey SA the KEK or the tree belongs to.
    pub fn kek_spi(&self) -> Option<CookiePair> {
        let lkh = self.lkh.as_ref().map(|lkh| lkh.spi).or(self.lkh_32.as_ref().map(|lkh| lkh.spi));
        lkh.or(self.kek.as_ref().map(|kek| kek.spi))
    }

    /// Shows the key that verifies the rekey SA's messages.
    pub fn signing_key(&self) -> Option<&PublicKey> {
        let lkh = self.lkh.as_ref().and_then(|lkh| lkh.signing_key.as_ref());
        let lkh_32 = self.lkh_32.as_ref().and_then(|lkh| lkh.signing_key.as_ref());
        lkh.or(lkh_32).or(self.kek.as_ref().and_then(|kek| kek.signing_key.as_ref()))
    }
}

/// A key packet of a tree, of one kind or the other.
enum LkhPacket {
    Lkh(LkhDownload),
    Lkh32(Lkh32),
}

impl LkhPacket {
    fn decode(spi: CookiePair, r: &mut Reader<'_>) -> Result<Self, Error> {
        let mut lkh = LkhDownload { spi, download: None, updates: Vec::new(), signing_key: None };
        let mut lkh_32 = Lkh32 { spi, path: None, update: None, signing_key: None };
        while let Some(attribute) = Attribute::next(r)? {
            match attribute.class {
                kd::LKH_DOWNLOAD_ARRAY => {
                    let what = "LKH_DOWNLOAD_ARRAY";
                    let array = LkhDownloadArray::from_octets(attribute.variable(what)?)?;
                    once(&mut lkh.download, array, what)?;
                }
                kd::LKH_UPDATE_ARRAY if lkh.updates.len() == LKH_UPDATES_MAX => {
                    let what = "LKH_UPDATE_ARRAYs";
                    return Err(DecodeError::TooMany { what, limit: LKH_UPDATES_MAX }.into());
                }
                kd::LKH_UPDATE_ARRAY => {
                    let octets = attribute.variable("LKH_UPDATE_ARRAY")?;
                    lkh.updates.push(LkhUpdateArray::from_octets(octets)?);
                }
                kd::LKH_SIG_ALGORITHM_KEY => {
                    let what = "SIG_ALGORITHM_KEY";
                    once(
                        &mut lkh.signing_key,
                        SubjectPublicKeyInfo::from_octets(attribute.variable(what)?)?.0,
                        what,
                    )?;
                }
                kd::LKH_32_PATH => {
                    let what = "LKH-32 path";
                    once(&mut lkh_32.path, PathArray::from_octets(attribute.variable(what)?)?, what)?;
                }
                kd::LKH_32_UPDATE => {
                    let what = "LKH-32 update";
                    once(&mut lkh_32.update, Update::from_octets(attribute.variable(what)?)?, what)?;
                }
                class => return Err(PeerIncompatible::LkhAttribute(class).into()),
            }
        }
        let is_lkh = lkh.download.is_some() || !lkh.updates.is_empty();
        let is_lkh_32 = lkh_32.path.is_some() || lkh_32.update.is_some();
        match (is_lkh, is_lkh_32) {
            (true, false) => Ok(Self::Lkh(lkh)),
            (false, true) => Ok(Self::Lkh32(Lkh32 { signing_key: lkh.signing_key, ..lkh_32 })),
            (true, true) => Err(DecodeError::Unexpected { what: "LKH array beside LKH-32" }.into()),
            (false, false) => Err(DecodeError::Missing { what: "LKH array" }.into()),
        }
    }
}

impl LkhDownload {
    fn encode(&self, w: &mut Writer) -> Result<(), Error> {
        if let Some(download) = &self.download {
            try_variable(w, kd::LKH_DOWNLOAD_ARRAY, |w| download.encode(w))?;
        }
        for update in &self.updates {
            try_variable(w, kd::LKH_UPDATE_ARRAY, |w| update.encode(w))?;
        }
        encode_signing_key(w, kd::LKH_SIG_ALGORITHM_KEY, self.signing_key.as_ref())
    }
}

impl KekDownload {
    fn encode(&self, w: &mut Writer) -> Result<(), Error> {
        //= rfc6407#section-5.6.2.1
        //# If the mode of operation for the algorithm requires an IV, an
        //# explicit IV MUST be included in the KEK_ALGORITHM_KEY before the
        //# actual key.
        variable(w, kd::KEK_ALGORITHM_KEY, |w| {
            w.slice(&self.iv);
            w.slice(self.key.expose());
        })?;
        encode_signing_key(w, kd::KEK_SIG_ALGORITHM_KEY, self.signing_key.as_ref())
    }
}

impl Decode<'_, Error> for SenderIds {
    fn decode(r: &mut Reader<'_>) -> Result<Self, Error> {
        let mut bits = None;
        let mut values = Vec::new();
        while let Some(attribute) = Attribute::next(r)? {
            match attribute.class {
                kd::NUMBER_OF_SID_BITS => {
                    let number = attribute.basic("NUMBER_OF_SID_BITS")?;
                    let wrong = DecodeError::Value { field: "NUMBER_OF_SID_BITS", value: number.into() };
                    let number = u8::try_from(number).ok().filter(|n| (1..=32).contains(n)).ok_or(wrong)?;
                    once(&mut bits, number, "NUMBER_OF_SID_BITS")?;
                }
                kd::SID_VALUE if values.len() == SENDER_IDS_MAX => {
                    return Err(DecodeError::TooMany { what: "SID_VALUEs", limit: SENDER_IDS_MAX }.into());
                }
                kd::SID_VALUE => values.push(attribute.number("SID_VALUE")?),
                class => return Err(PeerIncompatible::SidAttribute(class).into()),
            }
        }
        let bits = bits.ok_or(DecodeError::Missing { what: "NUMBER_OF_SID_BITS" })?;
        let ids = Self { bits, values };
        match ids.fault() {
            None => Ok(ids),
            Some(error) => Err(error.into()),
        }
    }
}

impl SenderIds {
    fn encode(&self, w: &mut Writer) -> Result<(), Error> {
        if self.fault().is_some() || self.values.len() > SENDER_IDS_MAX || !(1..=32).contains(&self.bits) {
            return Err(ApiMisuse::DownloadMismatch.into());
        }
        basic(w, kd::NUMBER_OF_SID_BITS, self.bits.into());
        let octets = usize::from(self.bits).div_ceil(8);
        for value in &self.values {
            variable(w, kd::SID_VALUE, |w| {
                w.slice(&value.to_be_bytes()[4 - octets..]);
            })?;
        }
        Ok(())
    }

    fn fault(&self) -> Option<DecodeError> {
        if self.values.is_empty() {
            return Some(DecodeError::Missing { what: "SID_VALUE" });
        }
        let too_wide = |value: &&u32| u64::from(**value) >> self.bits != 0;
        if let Some(&value) = self.values.iter().find(too_wide) {
            return Some(DecodeError::Value { field: "SID_VALUE", value: value.into() });
        }
        let repeated = |index: usize| self.values[..index].contains(&self.values[index]);
        (0..self.values.len()).any(repeated).then_some(DecodeError::Unexpected { what: "repeated SID_VALUE" })
    }
}

fn decode_tek(r: &mut Reader<'_>) -> Result<TekKeys, Error> {
    let (mut encryption, mut integrity) = (None, None);
    while let Some(attribute) = Attribute::next(r)? {
        let (place, what) = match attribute.class {
            kd::TEK_ALGORITHM_KEY => (&mut encryption, "TEK_ALGORITHM_KEY"),
            kd::TEK_INTEGRITY_KEY => (&mut integrity, "TEK_INTEGRITY_KEY"),
            class => return Err(PeerIncompatible::TekAttribute(class).into()),
        };
        once(place, SecretBytes::copy_of(attribute.variable(what)?), what)?;
    }
    let or_empty = |key: Option<SecretBytes>| key.unwrap_or_else(|| SecretBytes::copy_of(&[]));
    Ok(TekKeys { encryption: or_empty(encryption), integrity: or_empty(integrity) })
}

fn encode_tek(w: &mut Writer, keys: &TekKeys) -> Result<(), Error> {
    for (class, key) in [(kd::TEK_ALGORITHM_KEY, &keys.encryption), (kd::TEK_INTEGRITY_KEY, &keys.integrity)]
    {
        if !key.is_empty() {
            variable(w, class, |w| {
                w.slice(key.expose());
            })?;
        }
    }
    Ok(())
}

fn decode_kek(spi: CookiePair, r: &mut Reader<'_>) -> Result<KekDownload, Error> {
    let (mut material, mut signing_key) = (None, None);
    while let Some(attribute) = Attribute::next(r)? {
        match attribute.class {
            kd::KEK_ALGORITHM_KEY => {
                let what = "KEK_ALGORITHM_KEY";
                once(&mut material, attribute.variable(what)?, what)?;
            }
            kd::KEK_SIG_ALGORITHM_KEY => {
                let what = "SIG_ALGORITHM_KEY";
                once(
                    &mut signing_key,
                    SubjectPublicKeyInfo::from_octets(attribute.variable(what)?)?.0,
                    what,
                )?;
            }
            class => return Err(PeerIncompatible::KekKeyAttribute(class).into()),
        }
    }
    let material = material.ok_or(DecodeError::Missing { what: "KEK_ALGORITHM_KEY" })?;
    let mut material = Reader::new(material);
    let iv = material.array("KEK IV")?;
    let key = SecretBytes::copy_of(material.take_rest());
    if ![16, 32].contains(&key.len()) {
        return Err(DecodeError::Length { field: "KEK_ALGORITHM_KEY" }.into());
    }
    Ok(KekDownload { spi, iv, key, signing_key })
}

fn encode_signing_key(w: &mut Writer, class: u16, key: Option<&PublicKey>) -> Result<(), Error> {
    let Some(key) = key else { return Ok(()) };
    Ok(variable(w, class, |w| SubjectPublicKeyInfo(key.clone()).encode(w))?)
}

/// Writes a key packet; its length counts its header.
fn packet(
    w: &mut Writer,
    kind: u8,
    spi: &[u8],
    attributes: impl FnOnce(&mut Writer) -> Result<(), Error>,
) -> Result<(), Error> {
    w.u8(kind);
    w.u8(0);
    length_u16(w, 4, |w| {
        w.u8(spi.len() as u8);
        w.slice(spi);
        attributes(w)
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::wire::{lkh::tests::key, octets_of, refuses_every_cut};

    fn tek_keys() -> TekKeys {
        TekKeys { encryption: SecretBytes::new(vec![1; 20]), integrity: SecretBytes::new(vec![]) }
    }

    pub(crate) fn sample() -> KeyDownload {
        let updates = vec![LkhUpdateArray { id: 9, handle: 9, keys: vec![key(1, 16)] }; 2];
        KeyDownload {
            teks: vec![(Spi::new(256).unwrap(), tek_keys()), (Spi::new(257).unwrap(), tek_keys())],
            lkh: Some(LkhDownload {
                spi: CookiePair([4; 16]),
                download: Some(LkhDownloadArray { keys: vec![key(1, 16), key(2, 16)] }),
                updates,
                signing_key: Some(PublicKey::Ed25519([5; 32])),
            }),
            kek: Some(KekDownload {
                spi: CookiePair([6; 16]),
                iv: [7; 16],
                key: SecretBytes::new(vec![8; 32]),
                signing_key: Some(PublicKey::Ed25519([9; 32])),
            }),
            lkh_32: None,
            sender_ids: Some(SenderIds { bits: 12, values: vec![0, 4095] }),
        }
    }

    #[test]
    fn reads_what_it_writes_and_refuses_every_cut() {
        let whole = sample();
        for download in [
            whole.clone(),
            KeyDownload { lkh: None, ..whole.clone() },
            KeyDownload { kek: None, sender_ids: None, ..whole.clone() },
            KeyDownload { teks: vec![], ..whole.clone() },
        ] {
            let octets = octets_of(|w| download.encode(w));
            assert_eq!(refuses_every_cut(&octets, |octets| KeyDownload::from_octets(octets)), download);
        }
        assert_eq!(whole.kek_spi(), Some(CookiePair([4; 16])));
    }

    #[test]
    fn refuses_what_stands_twice() {
        let one = KeyDownload { teks: vec![], lkh: None, sender_ids: None, ..sample() };
        let octets = octets_of(|w| one.encode(w));
        let mut twice = [&octets[..], &octets[4..]].concat();
        twice[1] = 2;
        assert!(matches!(
            KeyDownload::from_octets(&twice),
            Err(Error::Decode(DecodeError::Unexpected { what: "KEK key packet" }))
        ));
    }

    #[test]
    fn sender_ids_fit_their_bits_and_differ() {
        let read = |bits: u8, values: &[u32]| {
            let octets = octets_of(|w| {
                w.slice(&[0, 1, 0, 0]);
                packet(w, kd::SID, &[], |w| {
                    basic(w, kd::NUMBER_OF_SID_BITS, bits.into());
                    values.iter().for_each(|value| basic(w, kd::SID_VALUE, *value as u16));
                    Ok(())
                })
            });
            KeyDownload::from_octets(&octets).map(|download| download.sender_ids.unwrap().values)
        };
        assert_eq!(read(8, &[0, 255]), Ok(vec![0, 255]));
        assert!(read(8, &[256]).is_err());
        assert!(read(16, &[7, 7]).is_err());
        assert!(read(16, &[]).is_err());
        assert!(read(0, &[0]).is_err());
        assert!(read(33, &[0]).is_err());
        assert!(read(16, &vec![0; SENDER_IDS_MAX + 1]).is_err());
    }

    #[test]
    fn aborts_at_packets_and_attributes_that_are_not_understood() {
        for (kind, attribute) in [(5u8, &[][..]), (kd::TEK, &[0, 3, 0, 1, 9]), (kd::SID, &[0x80, 3, 0, 1])] {
            let spi: &[u8] = if kind == kd::TEK { &[0, 0, 1, 0] } else { &[] };
            let octets = octets_of(|w| {
                w.slice(&[0, 1, 0, 0]);
                packet(w, kind, spi, |w| {
                    w.slice(attribute);
                    Ok(())
                })
            });
            assert_eq!(KeyDownload::from_octets(&octets).unwrap_err().reason(), "unsupported", "{kind}");
        }
    }
}
