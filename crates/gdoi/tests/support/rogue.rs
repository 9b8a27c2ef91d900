//! A peer that holds the registration's keys and follows no rule.

use claviger_crypto::{cipher::CipherAlgorithm, hash::HashAlgorithm, provider};
use claviger_gdoi::Error;
use claviger_group::CookiePair;
use claviger_isakmp::{
    iana::{ExchangeType, PayloadType},
    keys::ExchangeKeys,
    wire::{Header, payload::ChainWriter},
};
use claviger_wire::{Encode, Writer};

use super::{COOKIES, registration};

pub(crate) struct Rogue {
    keys: ExchangeKeys,
    skeyid_e: Vec<u8>,
}

pub(crate) type Body = (PayloadType, Vec<u8>);

impl Rogue {
    pub(crate) fn new() -> Self {
        let sa = registration(COOKIES, HashAlgorithm::Sha256, CipherAlgorithm::Aes128Cbc);
        let skeyid_e = sa.skeyid_e.expose()[..16].to_vec();
        Self { keys: ExchangeKeys::new(provider(), &sa).unwrap(), skeyid_e }
    }

    pub(crate) fn first_iv(&self, message_id: u32) -> [u8; 16] {
        self.keys.first_iv(message_id)
    }

    /// The payloads of a message in the clear, as its receiver walks through them.
    pub(crate) fn open(&self, datagram: &[u8], iv: [u8; 16]) -> Vec<Body> {
        let (header, ciphertext) = Header::split(datagram).unwrap();
        let mut octets = ciphertext.to_vec();
        self.cipher().decrypt(&iv, &mut octets).unwrap();
        let chain = claviger_isakmp::wire::payload::Chain::parse(header.next_payload, &octets).unwrap();
        chain.payloads.iter().map(|payload| (payload.kind, payload.body.to_vec())).collect()
    }

    /// Seals any payloads, under a HASH that verifies.
    pub(crate) fn seal(
        &self,
        exchange: ExchangeType,
        message_id: u32,
        iv: [u8; 16],
        nonces: &[&[u8]],
        payloads: &[Body],
    ) -> Vec<u8> {
        let behind = chain(payloads);
        let hash = self.keys.hash(message_id, nonces, behind.octets());
        let mut all = vec![(PayloadType::HASH, hash.to_vec())];
        all.extend_from_slice(payloads);
        let all = chain(&all);
        let length = Header::LEN + all.octets().len().next_multiple_of(16);
        let header = Header {
            cookies: COOKIES,
            next_payload: all.first(),
            exchange,
            encrypted: true,
            message_id,
            length: length as u32,
        };
        let mut w = Writer::new();
        header.encode(&mut w);
        w.slice(all.octets());
        w.pad_to(Header::LEN, 16);
        let mut octets = w.into_octets();
        self.cipher().encrypt(&iv, &mut octets[Header::LEN..]).unwrap();
        octets
    }

    fn cipher(&self) -> Box<dyn claviger_crypto::cipher::CipherKey> {
        provider().cipher(CipherAlgorithm::Aes128Cbc).unwrap().key(&self.skeyid_e).unwrap()
    }
}

pub(crate) fn chain(payloads: &[Body]) -> ChainWriter {
    let mut chain = ChainWriter::new();
    for (kind, body) in payloads {
        chain.body(*kind, body).unwrap();
    }
    chain
}

/// The octets that an encoder writes.
pub(crate) fn octets(encode: impl FnOnce(&mut Writer) -> Result<(), Error>) -> Vec<u8> {
    let mut w = Writer::new();
    encode(&mut w).unwrap();
    w.into_octets()
}

pub(crate) fn message_id(datagram: &[u8]) -> u32 {
    Header::split(datagram).unwrap().0.message_id
}

pub(crate) fn cookies(datagram: &[u8]) -> CookiePair {
    Header::split(datagram).unwrap().0.cookies
}

pub(crate) fn last_block(datagram: &[u8]) -> [u8; 16] {
    *datagram.last_chunk().unwrap()
}
