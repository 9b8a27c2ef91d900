//! The SA KEK payload: the policy of the rekey SA (RFC 6407 section 5.3).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//! !    Protocol   !  SRC ID Type  !         SRC ID Port           !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//! !SRC ID Data Len!          SRC Identification Data              ~
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//! ! DST ID Type   !         DST ID Port           !DST ID Data Len!
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//! !                    DST Identification Data                    ~
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//! ~                            SPI (16)                           ~
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//! !                           RESERVED2                           !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//! ~                        KEK Attributes                         ~
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//! ```

use std::{net::IpAddr, time::Duration};

use claviger_crypto::{
    cipher::CipherAlgorithm,
    sign::{KeyAlgorithm, SignatureAlgorithm},
};
use claviger_group::{
    PushAuthentication,
    {CookiePair, id::IdType},
};
use claviger_isakmp::wire::attribute::{self, Attribute, basic, once};
use claviger_wire::{DecodeError, Reader, Writer};

use crate::{
    error::{Error, PeerIncompatible},
    iana::kek,
    wire::Exchange,
};

/// The policy of a rekey SA: where its messages go, and how they are protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaKek {
    /// Who sends the messages; `None` is anybody.
    pub source: Option<IpAddr>,
    /// Where the messages go: an address and a UDP port.
    pub destination: (IpAddr, u16),
    /// The cookies in the header of the messages.
    pub spi: CookiePair,
    /// KEK_MANAGEMENT_ALGORITHM; LKH is 1, trees with 32-bit node ids are 128 (private use). It stands in a
    /// GROUPKEY-PUSH only; what is of private use stands in a GROUPKEY-PULL too, as an attribute of private use.
    pub management: Option<u16>,
    /// The cipher of the KEK, and of every key of its tree.
    pub cipher: CipherAlgorithm,
    /// How long the KEK is valid, in whole seconds; if the key server says nothing, as long as it may.
    pub lifetime: Duration,
    /// The kind of the key that signs the messages.
    pub signature: KeyAlgorithm,
    /// What a signature is over.
    pub form: PushAuthentication,
    /// PLACE_DESTINATION (private use), in a GROUPKEY-PULL only: where messages go besides that only members at the
    /// member's place need. In a group that has places every member is told; one that is at none is told
    /// `destination` again.
    pub place: Option<(IpAddr, u16)>,
    /// REKEY_FIRST (private use), in a GROUPKEY-PUSH only: the number of the first message of the rekey. Those between it
    /// and the message's own batch may have gone to other places.
    pub rekey_first: Option<u32>,
}

/// IPPROTO_UDP, the protocol of a GROUPKEY-PUSH.
const PROTOCOL_UDP: u8 = 17;

/// What RESERVED2 holds.
const RESERVED2_LEN: usize = 4;

/// The lifetime of a KEK whose policy gives none.
const LIFETIME_UNSTATED: Duration = Duration::from_secs(u32::MAX as u64);

impl SaKek {
    /// Reads the body of an SA KEK payload.
    ///
    /// # Errors
    ///
    /// [`Error::PeerIncompatible`] for an attribute or algorithm that is not understood, [`Error::Decode`] for a
    /// wrong form.
    pub fn from_octets_in(octets: &[u8], exchange: Exchange) -> Result<Self, Error> {
        let mut r = Reader::new(octets);
        let protocol = r.u8("KEK protocol")?;
        if protocol != PROTOCOL_UDP {
            return Err(PeerIncompatible::KekProtocol(protocol).into());
        }
        let source_type = r.u8("KEK SRC ID type")?;
        r.u16("KEK SRC ID port")?;
        let source = address(&mut r, source_type, false)?;
        let destination_type = r.u8("KEK DST ID type")?;
        let destination_port = r.u16("KEK DST ID port")?;
        let destination = address(&mut r, destination_type, false)?
            .ok_or(DecodeError::Missing { what: "KEK DST identification" })?;
        let spi = CookiePair(r.array("KEK SPI")?);
        r.zeros(RESERVED2_LEN, "KEK RESERVED2")?;
        let attributes = KekAttributes::decode_in(&mut r, exchange)?;
        let (signature, form) = attributes.signature()?;
        Ok(Self {
            source,
            destination: (destination, destination_port),
            spi,
            management: match exchange {
                //= rfc6407#section-5.3
                //# The
                //# KEK_MANAGEMENT_ALGORITHM attribute MUST NOT be included in a
                //# GROUPKEY-PULL message, and MUST be ignored if present.
                Exchange::Pull => attributes.pull_management,
                Exchange::Push => attributes.management,
            },
            cipher: attributes.cipher()?,
            lifetime: attributes.lifetime.map_or(LIFETIME_UNSTATED, |secs| Duration::from_secs(secs.into())),
            signature,
            form,
            place: attributes.place,
            rekey_first: attributes.rekey_first,
        })
    }

    /// Writes the body of an SA KEK payload.
    ///
    /// # Errors
    ///
    /// [`Error::ApiMisuse`] for a kind of key that does not sign messages.
    pub fn encode(&self, exchange: Exchange, w: &mut Writer) -> Result<(), Error> {
        w.u8(PROTOCOL_UDP);
        let source_type = id_type(&self.source.unwrap_or(self.destination.0));
        w.u8(source_type);
        w.u16(0);
        encode_address(w, self.source);
        w.u8(id_type(&self.destination.0));
        w.u16(self.destination.1);
        encode_address(w, Some(self.destination.0));
        w.slice(&self.spi.0);
        w.zeros(RESERVED2_LEN);
        self.encode_attributes(exchange, w)
    }

    fn encode_attributes(&self, exchange: Exchange, w: &mut Writer) -> Result<(), Error> {
        match (exchange, self.management) {
            (Exchange::Push, Some(management)) => basic(w, kek::MANAGEMENT_ALGORITHM, management),
            (Exchange::Pull, Some(management)) if kek::MANAGEMENT_PRIVATE.contains(&management) => {
                basic(w, kek::PULL_MANAGEMENT_ALGORITHM, management);
            }
            _ => {}
        }
        basic(w, kek::ALGORITHM, kek::ALGORITHM_AES);
        basic(w, kek::KEY_LENGTH, self.cipher.key_len() as u16 * 8);
        let lifetime = u32::try_from(self.lifetime.as_secs()).unwrap_or(u32::MAX);
        attribute::variable(w, kek::KEY_LIFETIME, |w| w.u32(lifetime))?;
        let (algorithm, hash) = signature_codes(self.signature, self.form)?;
        if let Some(hash) = hash {
            basic(w, kek::SIG_HASH_ALGORITHM, hash);
        }
        basic(w, kek::SIG_ALGORITHM, algorithm);
        match (exchange, self.place, self.rekey_first) {
            (Exchange::Pull, Some((address, port)), _) => {
                attribute::variable(w, kek::PLACE_DESTINATION, |w| {
                    w.u16(port);
                    encode_octets(w, address);
                })?;
            }
            (Exchange::Push, _, Some(number)) => {
                attribute::variable(w, kek::REKEY_FIRST, |w| w.u32(number))?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Says how SIG_ALGORITHM names the signatures.
    ///
    /// # Errors
    ///
    /// [`Error::ApiMisuse`] for a kind of key that does not sign messages.
    pub fn signature_code(&self) -> Result<u16, Error> {
        signature_codes(self.signature, self.form).map(|(code, _)| code)
    }

    /// Says how the messages are signed.
    pub fn signature_algorithm(&self) -> SignatureAlgorithm {
        signature_algorithm(self.signature)
    }
}

/// Says how a key of this kind signs a GROUPKEY-PUSH.
pub fn signature_algorithm(key: KeyAlgorithm) -> SignatureAlgorithm {
    match key {
        KeyAlgorithm::EcdsaP256 => SignatureAlgorithm::EcdsaP256Sha256,
        KeyAlgorithm::EcdsaP384 => SignatureAlgorithm::EcdsaP384Sha384,
        KeyAlgorithm::Ed25519 => SignatureAlgorithm::Ed25519,
        //= rfc6407#section-5.3.6.1
        //# This algorithm specifies the RSA digital signature algorithm using
        //# the EMSA-PKCS1-v1_5 encoding method, as described in [RFC3447].
        KeyAlgorithm::Rsa => SignatureAlgorithm::RsaPkcs1Sha256,
    }
}

/// How SIG_ALGORITHM names each kind of key in each form, and the hash function that belongs to it.
const SIGNATURES: [(u16, KeyAlgorithm, PushAuthentication, Option<u16>); 8] = {
    use KeyAlgorithm as K;
    use PushAuthentication::{Batch, Message};
    const SHA256: Option<u16> = Some(kek::SIG_HASH_SHA256);
    const SHA384: Option<u16> = Some(kek::SIG_HASH_SHA384);
    [
        (kek::SIG_RSA, K::Rsa, Message, SHA256),
        (kek::SIG_ECDSA_256, K::EcdsaP256, Message, SHA256),
        (kek::SIG_ECDSA_384, K::EcdsaP384, Message, SHA384),
        (kek::SIG_ED25519, K::Ed25519, Message, None),
        (kek::SIG_BATCH_RSA, K::Rsa, Batch, SHA256),
        (kek::SIG_BATCH_ECDSA_256, K::EcdsaP256, Batch, SHA256),
        (kek::SIG_BATCH_ECDSA_384, K::EcdsaP384, Batch, SHA384),
        (kek::SIG_BATCH_ED25519, K::Ed25519, Batch, None),
    ]
};

/// SIG_ALGORITHM, and SIG_HASH_ALGORITHM where it is not implicit.
fn signature_codes(key: KeyAlgorithm, form: PushAuthentication) -> Result<(u16, Option<u16>), Error> {
    let found = SIGNATURES.iter().find(|(_, kind, known, _)| (*kind, *known) == (key, form));
    let (code, _, _, hash) = found.ok_or(crate::ApiMisuse::UnsupportedAlgorithm)?;
    Ok((*code, hash.filter(|_| key == KeyAlgorithm::Rsa)))
}

#[derive(Default)]
struct KekAttributes {
    management: Option<u16>,
    pull_management: Option<u16>,
    algorithm: Option<u16>,
    key_length: Option<u16>,
    lifetime: Option<u32>,
    sig_hash: Option<u16>,
    sig_algorithm: Option<u16>,
    sig_key_length: Option<u16>,
    place: Option<(IpAddr, u16)>,
    rekey_first: Option<u32>,
}

impl KekAttributes {
    fn decode_in(r: &mut Reader<'_>, exchange: Exchange) -> Result<Self, Error> {
        let mut found = Self::default();
        while let Some(attribute) = Attribute::next(r)? {
            let (place, what) = match attribute.class {
                kek::MANAGEMENT_ALGORITHM => (&mut found.management, "KEK_MANAGEMENT_ALGORITHM"),
                kek::ALGORITHM => (&mut found.algorithm, "KEK_ALGORITHM"),
                kek::KEY_LENGTH => (&mut found.key_length, "KEK_KEY_LENGTH"),
                kek::KEY_LIFETIME => {
                    let what = "KEK_KEY_LIFETIME";
                    let seconds = attribute.number(what)?;
                    if seconds == 0 {
                        return Err(DecodeError::Value { field: what, value: 0 }.into());
                    }
                    once(&mut found.lifetime, seconds, what)?;
                    continue;
                }
                kek::SIG_HASH_ALGORITHM => (&mut found.sig_hash, "SIG_HASH_ALGORITHM"),
                kek::SIG_ALGORITHM => (&mut found.sig_algorithm, "SIG_ALGORITHM"),
                kek::SIG_KEY_LENGTH => (&mut found.sig_key_length, "SIG_KEY_LENGTH"),
                kek::PULL_MANAGEMENT_ALGORITHM if exchange == Exchange::Pull => {
                    let what = "PULL_MANAGEMENT_ALGORITHM";
                    let management = attribute.basic(what)?;
                    if !kek::MANAGEMENT_PRIVATE.contains(&management) {
                        return Err(DecodeError::Value { field: what, value: management.into() }.into());
                    }
                    once(&mut found.pull_management, management, what)?;
                    continue;
                }
                kek::PLACE_DESTINATION if exchange == Exchange::Pull => {
                    once(&mut found.place, place(attribute.variable(PLACE)?)?, PLACE)?;
                    continue;
                }
                kek::REKEY_FIRST if exchange == Exchange::Push => {
                    let what = "REKEY_FIRST";
                    let octets = attribute.variable(what)?.try_into();
                    let number = u32::from_be_bytes(octets.map_err(|_| DecodeError::Length { field: what })?);
                    if number == 0 {
                        return Err(DecodeError::Value { field: what, value: 0 }.into());
                    }
                    once(&mut found.rekey_first, number, what)?;
                    continue;
                }
                //= rfc6407#section-5.3.2
                //# A GDOI implementation MUST abort if it encounters an attribute or
                //# capability that it does not understand.
                class => return Err(PeerIncompatible::KekAttribute(class).into()),
            };
            once(place, attribute.basic(what)?, what)?;
        }
        Ok(found)
    }

    fn cipher(&self) -> Result<CipherAlgorithm, Error> {
        //= rfc6407#section-5.3
        //# The KEK_ALGORITHM and SIG_ALGORITHM attributes MUST be included;
        //# others are OPTIONAL and are included depending on group policy.
        let algorithm = self.algorithm.ok_or(DecodeError::Missing { what: "KEK_ALGORITHM" })?;
        if algorithm != kek::ALGORITHM_AES {
            return Err(PeerIncompatible::KekAlgorithm(algorithm).into());
        }
        match self.key_length.ok_or(DecodeError::Missing { what: "KEK_KEY_LENGTH" })? {
            128 => Ok(CipherAlgorithm::Aes128Cbc),
            256 => Ok(CipherAlgorithm::Aes256Cbc),
            length => Err(PeerIncompatible::KekKeyLength(length).into()),
        }
    }

    fn signature(&self) -> Result<(KeyAlgorithm, PushAuthentication), Error> {
        let algorithm = self.sig_algorithm.ok_or(DecodeError::Missing { what: "SIG_ALGORITHM" })?;
        let found = SIGNATURES.iter().find(|(code, ..)| *code == algorithm);
        let &(_, key, form, hash) = found.ok_or(PeerIncompatible::Signature(algorithm))?;
        match self.sig_hash {
            None if key == KeyAlgorithm::Rsa => {
                Err(DecodeError::Missing { what: "SIG_HASH_ALGORITHM" }.into())
            }
            Some(found) if Some(found) != hash => Err(PeerIncompatible::SignatureHash(found).into()),
            _ => Ok((key, form)),
        }
    }
}

const PLACE: &str = "PLACE_DESTINATION";

/// Reads where messages for one place go: a port, and an address whose length says of which family it is.
fn place(octets: &[u8]) -> Result<(IpAddr, u16), DecodeError> {
    let mut r = Reader::new(octets);
    let port = r.u16(PLACE)?;
    let wrong = DecodeError::Length { field: PLACE };
    let rest = r.take_rest();
    let address = match rest.len() {
        4 => <[u8; 4]>::try_from(rest).map_err(|_| wrong)?.into(),
        _ => <[u8; 16]>::try_from(rest).map_err(|_| wrong)?.into(),
    };
    Ok((address, port))
}

/// Reads the length and the octets of an address identity. No octets, or zeros, are any address.
pub(crate) fn address(r: &mut Reader<'_>, id_type: u8, reversed: bool) -> Result<Option<IpAddr>, Error> {
    let length = r.u8("identification data length")?;
    let mut octets = r.slice(length.into(), "identification data")?.to_vec();
    if reversed {
        octets.reverse();
    }
    // RFC 6407 section 5.5.1: "Set to 3 octets or zero for multiple-source multicast groups".
    if octets.is_empty() || octets == [0; 3] {
        return Ok(None);
    }
    let wrong = DecodeError::Length { field: "identification data" };
    let address: IpAddr = match IdType(id_type) {
        IdType::IPV4_ADDR => <[u8; 4]>::try_from(&octets[..]).map_err(|_| wrong)?.into(),
        IdType::IPV6_ADDR => <[u8; 16]>::try_from(&octets[..]).map_err(|_| wrong)?.into(),
        IdType(other) => return Err(PeerIncompatible::IdentificationType(other).into()),
    };
    Ok(Some(address).filter(|address| !address.is_unspecified()))
}

/// Says of which ID Type an address is.
pub(crate) fn id_type(address: &IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => IdType::IPV4_ADDR.0,
        IpAddr::V6(_) => IdType::IPV6_ADDR.0,
    }
}

/// Writes the length and the octets of an address identity.
pub(crate) fn encode_address(w: &mut Writer, address: Option<IpAddr>) {
    let Some(address) = address else { return w.u8(0) };
    w.u8(if address.is_ipv4() { 4 } else { 16 });
    encode_octets(w, address);
}

fn encode_octets(w: &mut Writer, address: IpAddr) {
    match address {
        IpAddr::V4(address) => w.slice(&address.octets()),
        IpAddr::V6(address) => w.slice(&address.octets()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::wire::octets_of;

    pub(crate) fn sample() -> SaKek {
        SaKek {
            source: None,
            destination: ("239.192.0.1".parse().unwrap(), 848),
            spi: CookiePair([9; 16]),
            management: None,
            cipher: CipherAlgorithm::Aes128Cbc,
            lifetime: Duration::from_secs(86_400),
            signature: KeyAlgorithm::EcdsaP256,
            form: PushAuthentication::Message,
            place: None,
            rekey_first: None,
        }
    }

    const PUSH: Exchange = Exchange::Push;

    fn decode_with(extra: &[u8]) -> Result<SaKek, Error> {
        let mut octets = octets_of(|w| sample().encode(PUSH, w));
        octets.extend_from_slice(extra);
        SaKek::from_octets_in(&octets, PUSH)
    }

    #[test]
    fn reads_what_it_writes() {
        for signature in
            [KeyAlgorithm::Rsa, KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::Ed25519]
        {
            for source in [None, Some("2001:db8::1".parse().unwrap())] {
                let destination = ("ff3e::8000:1".parse().unwrap(), 10_848);
                let cipher = CipherAlgorithm::Aes256Cbc;
                for form in [PushAuthentication::Message, PushAuthentication::Batch] {
                    let policy = SaKek {
                        source,
                        destination,
                        cipher,
                        signature,
                        form,
                        management: Some(1),
                        ..sample()
                    };
                    assert_eq!(
                        SaKek::from_octets_in(&octets_of(|w| policy.encode(PUSH, w)), PUSH),
                        Ok(policy)
                    );
                }
            }
        }
    }

    #[test]
    fn refuses_every_cut_inside_its_fields() {
        let octets = octets_of(|w| sample().encode(PUSH, w));
        let without_attributes = octets.len() - 20;
        for length in 0..octets.len() {
            let cut_between_attributes = length >= without_attributes && (octets.len() - length) % 4 == 0;
            let result = SaKek::from_octets_in(&octets[..length], PUSH);
            assert!(result.is_err() || cut_between_attributes, "cut at {length}");
            assert_ne!(result, Ok(sample()));
        }
    }

    #[test]
    fn aborts_at_what_it_does_not_understand() {
        for (extra, unknown) in [
            (&[0x80, 8, 0, 0][..], PeerIncompatible::KekAttribute(8)),
            (&[0x80, 128, 0, 0], PeerIncompatible::KekAttribute(128)),
            (&[0, 129, 0, 6, 3, 80, 239, 192, 0, 2], PeerIncompatible::KekAttribute(129)),
            (&[0x80, 131, 0, 0], PeerIncompatible::KekAttribute(131)),
            (&[0x80, 5, 0, 2], PeerIncompatible::SignatureHash(2)),
        ] {
            assert_eq!(decode_with(extra), Err(unknown.into()), "{extra:?}");
        }
        assert_eq!(
            decode_with(&[0x80, 2, 0, 3]).unwrap_err().reason(),
            "malformed",
            "a second KEK_ALGORITHM"
        );
        assert_eq!(decode_with(&[0x80, 7, 1, 0]), Ok(sample()), "SIG_KEY_LENGTH is understood");
    }

    #[test]
    fn a_lifetime_may_stand_in_the_basic_form_and_is_never_zero() {
        let octets = octets_of(|w| sample().encode(PUSH, w));
        let at = octets.windows(4).position(|w| w == [0, 4, 0, 4]).unwrap();
        let with = |lifetime: &[u8]| {
            SaKek::from_octets_in(&[&octets[..at], lifetime, &octets[at + 8..]].concat(), PUSH)
        };
        assert_eq!(with(&[0x80, 4, 0, 60]).unwrap().lifetime, Duration::from_secs(60));
        assert_eq!(with(&[]).unwrap().lifetime, LIFETIME_UNSTATED);
        assert_eq!(with(&[0x80, 4, 0, 0]).unwrap_err().reason(), "malformed");
    }

    #[test]
    fn a_pull_says_only_which_private_management_there_is() {
        let read =
            |octets: &[u8]| SaKek::from_octets_in(octets, Exchange::Pull).map(|policy| policy.management);
        let written = |management| octets_of(|w| SaKek { management, ..sample() }.encode(Exchange::Pull, w));
        for (management, found) in [
            (None, None),
            (Some(1), None),
            (Some(127), None),
            (Some(128), Some(128)),
            (Some(255), Some(255)),
            (Some(256), None),
        ] {
            assert_eq!(read(&written(management)), Ok(found), "{management:?}");
        }
        // KEK_MANAGEMENT_ALGORITHM itself is ignored, whatever it says.
        let octets = octets_of(|w| SaKek { management: Some(128), ..sample() }.encode(PUSH, w));
        assert_eq!(read(&octets), Ok(None));
        let octets = written(Some(128));
        assert_eq!(
            SaKek::from_octets_in(&octets, PUSH),
            Err(PeerIncompatible::KekAttribute(128).into()),
            "as by one that does not know it"
        );
        for (extra, reason) in [
            ([0x80, 128, 0, 128], "malformed"),
            ([0x80, 128, 0, 1], "malformed"),
            ([0, 128, 0, 0], "malformed"),
        ] {
            assert_eq!(read(&[&octets[..], &extra].concat()).unwrap_err().reason(), reason, "{extra:?}");
        }
        let octets = written(None);
        assert_eq!(read(&[&octets[..], &[0x80, 128, 0, 1]].concat()).unwrap_err().reason(), "malformed");
        assert_eq!(read(&[&octets[..], &[0x80, 131, 0, 1]].concat()).unwrap_err().reason(), "unsupported");
    }

    #[test]
    fn a_pull_says_where_messages_for_the_place_go_and_a_push_where_its_rekey_begins() {
        let addresses = ["239.192.0.2", "ff15::2"].map(|address| address.parse::<IpAddr>().unwrap());
        for place in addresses.map(|address| (address, 848)) {
            let policy = SaKek { place: Some(place), rekey_first: Some(7), ..sample() };
            let pull =
                SaKek::from_octets_in(&octets_of(|w| policy.encode(Exchange::Pull, w)), Exchange::Pull);
            assert_eq!(pull, Ok(SaKek { rekey_first: None, ..policy.clone() }));
            let push = SaKek::from_octets_in(&octets_of(|w| policy.encode(PUSH, w)), PUSH);
            assert_eq!(push, Ok(SaKek { place: None, ..policy }));
        }
        let with = |exchange, extra: &[u8]| {
            let octets = octets_of(|w| sample().encode(exchange, w));
            SaKek::from_octets_in(&[&octets[..], extra].concat(), exchange)
        };
        let first = [0, 130, 0, 4, 0, 0, 0, 9];
        assert_eq!(with(PUSH, &first), Ok(SaKek { rekey_first: Some(9), ..sample() }));
        assert_eq!(with(Exchange::Pull, &first), Err(PeerIncompatible::KekAttribute(130).into()));
        for (exchange, extra) in [
            (PUSH, &[0, 130, 0, 4, 0, 0, 0, 0][..]),
            (PUSH, &[0, 130, 0, 3, 0, 0, 9]),
            (PUSH, &[0, 130, 0, 5, 0, 0, 0, 9, 0]),
            (PUSH, &[0x80, 130, 0, 9]),
            (PUSH, &[first, first].concat()),
            (Exchange::Pull, &[0, 129, 0, 0]),
            (Exchange::Pull, &[0, 129, 0, 2, 3, 80]),
            (Exchange::Pull, &[0, 129, 0, 5, 3, 80, 239, 192, 0]),
            (Exchange::Pull, &[0, 129, 0, 7, 3, 80, 239, 192, 0, 2, 0]),
            (Exchange::Pull, &[0x80, 129, 3, 80]),
        ] {
            assert_eq!(with(exchange, extra).unwrap_err().reason(), "malformed", "{extra:?}");
        }
    }
}
