//! What brings the messages of a batch to those who missed some: repairs, announcements and directories, from the key
//! server to the group (private use; docs/hip-gdoi-binding.md section 7.6).
//!
//! ```text
//! HDR, DELIVERY, SIG
//! ```
//!
//! Nothing is encrypted, because what is repaired is ciphertext. One signature speaks for any number of controls, over the
//! root of a Merkle tree whose leaves are "control" | HDR | DELIVERY.

use std::collections::VecDeque;

use claviger_crypto::{
    hash_tree::{self, HashTree, Node},
    sign::{PublicKey, Signer, Verifier},
};
use claviger_group::CookiePair;
use claviger_isakmp::{
    iana::{ExchangeType, PayloadType},
    limits::{LeakyCounter, MESSAGE_LEN_MAX},
    rules::check,
    wire::{
        Header,
        payload::{Chain, ChainWriter, GENERIC_LEN},
    },
};
use claviger_sansio::Time;
use claviger_wire::{Decode, DecodeError, Encode, Writer};

use super::signature;
use crate::{
    error::{ApiMisuse, Error, Limit},
    limits::CONTROL_SIGNATURES_REMEMBERED_MAX,
    rules,
    wire::batch_signature::BatchSignature,
};

/// What precedes a control in its leaf. No leaf of a GROUPKEY-PUSH begins like it.
const CONTROL_PREFIX: &[u8] = b"control";

/// What precedes the statement under the signature. Nothing else that the key server signs begins like it.
const STATEMENT_PREFIX: &[u8] = b"delivery";

/// The controls that a signature speaks for: so many, under this rekey SA, in this tree.
///
/// ```text
/// "delivery" (8) | SPI (16) | count (2) | root (32)
/// ```
fn statement(spi: CookiePair, count: u16, root: Node) -> Vec<u8> {
    let mut w = Writer::new();
    w.slice(STATEMENT_PREFIX);
    w.slice(&spi.0);
    w.u16(count);
    w.slice(&root.0);
    w.into_octets()
}

/// Signs the controls of a round under the rekey SA `spi` and puts each into a message; one signature speaks for all.
///
/// # Errors
///
/// [`ApiMisuse::NotOneBatch`] unless they are 1 to 65,535, [`ApiMisuse::MessageTooLong`] if one exceeds 65,507 octets,
/// [`ApiMisuse::UnsupportedAlgorithm`] if the key does not sign.
pub fn seal_controls(
    spi: CookiePair,
    controls: &[Vec<u8>],
    signer: &dyn Signer,
) -> Result<Vec<Vec<u8>>, Error> {
    let count = u16::try_from(controls.len()).ok().filter(|count| *count > 0);
    let count = count.ok_or(ApiMisuse::NotOneBatch)?;
    let signature_len = signature::signature_len(signer.public());
    let unsigned = controls
        .iter()
        .enumerate()
        .map(|(index, control)| {
            let sig_len = BatchSignature::encoded_len(index, count.into(), signature_len)
                .expect("the index is one of the round");
            unsigned(spi, control, sig_len)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let leaves = unsigned
        .iter()
        .map(|(header, payloads)| Node::leaf(&[CONTROL_PREFIX, &header.to_octets(), payloads.octets()]));
    let tree = HashTree::new(leaves)?;
    let signature = signature::sign(signer, &statement(spi, count, tree.root()))?;
    (0..count)
        .zip(unsigned)
        .map(|(index, (header, mut payloads))| {
            let branch = tree.branch(index.into()).copied().collect();
            let sig = BatchSignature { index, count, branch, signature: &signature };
            payloads.value(PayloadType::SIG, &sig)?;
            let mut w = Writer::new();
            header.encode(&mut w);
            w.slice(payloads.octets());
            Ok(w.into_octets())
        })
        .collect()
}

/// Says how many octets a control may have, so that its message makes a UDP payload of at most `udp_len` octets; none
/// if not even an empty one fits. `sharing` is how many controls share a signature.
///
/// # Errors
///
/// [`ApiMisuse::UnsupportedAlgorithm`] if no key of this kind signs.
pub fn control_room(
    udp_len: usize,
    signing_key: &PublicKey,
    sharing: usize,
) -> Result<Option<usize>, ApiMisuse> {
    let signature_len = signature::signature_len(signing_key);
    // No branch is longer than that of the first control.
    let sig_len = BatchSignature::encoded_len(0, sharing, signature_len).ok_or(ApiMisuse::NotOneBatch)?;
    // Generic headers of DELIVERY and SIG.
    Ok(udp_len.checked_sub(Header::LEN + 2 * GENERIC_LEN + sig_len))
}

/// Writes what precedes a SIG payload whose body has `sig_len` octets.
fn unsigned(spi: CookiePair, control: &[u8], sig_len: usize) -> Result<(Header, ChainWriter), Error> {
    let mut payloads = ChainWriter::new();
    payloads.body(PayloadType::DELIVERY, control)?;
    let length = Header::LEN + payloads.octets().len() + GENERIC_LEN + sig_len;
    if length > MESSAGE_LEN_MAX {
        return Err(ApiMisuse::MessageTooLong.into());
    }
    payloads.announce(PayloadType::SIG);
    let header = Header {
        cookies: spi,
        next_payload: PayloadType::DELIVERY,
        exchange: ExchangeType::DELIVERY_CONTROL,
        encrypted: false,
        message_id: 0,
        length: length as u32,
    };
    Ok((header, payloads))
}

/// What a member remembers of the controls under one rekey SA.
#[derive(Debug)]
pub(super) struct Controls {
    /// Statements whose signature was verified, with it; the latest last.
    known: VecDeque<(Vec<u8>, Vec<u8>)>,
    /// Controls whose signature did not verify: anybody can make them, and each costs public-key work.
    failures: LeakyCounter,
}

impl Controls {
    pub(super) fn new() -> Self {
        Self { known: VecDeque::new(), failures: LeakyCounter::new() }
    }

    /// Verifies a control under the rekey SA `spi` and shows what it carries.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if it is malformed, [`Error::UnknownCookies`] if it belongs to another SA,
    /// [`Error::Auth`] if it is not the key server's, [`Limit::Controls`] if many were not.
    pub(super) fn open<'a>(
        &mut self,
        now: Time,
        spi: CookiePair,
        key: &Verifier,
        datagram: &'a [u8],
    ) -> Result<&'a [u8], Error> {
        let (header, octets) = Header::split_plain(datagram, ExchangeType::DELIVERY_CONTROL)?;
        if header.cookies != spi {
            return Err(Error::UnknownCookies);
        }
        if header.message_id != 0 {
            let value = header.message_id.into();
            return Err(DecodeError::Value { field: "message id", value }.into());
        }
        let chain = Chain::parse(header.next_payload, octets)?;
        check(rules::DELIVERY_CONTROL, &chain.payloads)?;
        let [control, sig] = &chain.payloads[..] else {
            return Err(DecodeError::Missing { what: "payload" }.into());
        };
        if chain.length != octets.len() {
            return Err(DecodeError::Length { field: "message" }.into());
        }
        let BatchSignature { index, count, branch, signature } = BatchSignature::from_octets(sig.body)?;
        let leaf = Node::leaf(&[CONTROL_PREFIX, &datagram[..Header::LEN + sig.start]]);
        let root = hash_tree::root_of(leaf, index.into(), count.into(), &branch)
            .map_err(|_| DecodeError::Length { field: "batch branch" })?;
        let statement = statement(spi, count, root);
        let is_known = self.known.iter().any(|(s, by)| *s == statement && by == signature);
        if !is_known {
            if !self.failures.has_room(now) {
                return Err(Limit::Controls.into());
            }
            signature::verify(key, &statement, signature).map_err(|error| {
                self.failures.count(now);
                Error::Auth(error)
            })?;
            if self.known.len() == CONTROL_SIGNATURES_REMEMBERED_MAX {
                self.known.pop_front();
            }
            self.known.push_back((statement, signature.to_vec()));
        }
        Ok(control.body)
    }
}
